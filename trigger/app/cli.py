"""The command line. Each command is short: it reads its arguments, calls a room, shows what came back."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firmware.tools import LIMIT_HOURS
from trigger.errors import (
    EXIT_ANSWER_IS_NO,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TOOL_FAILED,
    InputError,
    JetgateError,
    nearest,
)
from trigger.files import read_json

if TYPE_CHECKING:
    from firmware.project import FirmwareProject
    from trigger.app.chain import Chain
    from trigger.verdict import Requirement, Verdict

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="From collisions to jet taggers whose firmware is proven bit by bit.",
)  # fmt: skip

RecipeName = Annotated[
    str, typer.Argument(help="A packaged recipe (see 'jetgate recipes') or the path of a YAML file.")
]
TargetName = Annotated[str, typer.Option("--target", "-t", help="A packaged target (see 'jetgate targets') or a path.")]
OwnTarget = Annotated[
    str | None,
    typer.Option(
        "--target", "-t", help="A packaged target (see 'jetgate targets') or a path; the recipe's if not given."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for runs/ and vivado_projects/.")]
Workers = Annotated[
    int, typer.Option("--workers", "-j", min=1, help="Processes and threads; results do not depend on it.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="key.sub=value: change the recipe; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else there.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, in runs/.")]
ProjectFolder = Annotated[Path, typer.Argument(help="A folder in vivado_projects/.")]
DEFAULT_TARGET = "vu13p"
FORMS = ("text", "md")
CORES = os.cpu_count() or 1


@app.command()
def run(
    recipe: RecipeName, target: OwnTarget = None, out: Out = Path(), workers: Workers = CORES,
    set_: Set = None, as_json: AsJson = False,
) -> int:  # fmt: skip
    """The whole chain, from collisions to a verdict. Goes on where it was stopped; does nothing twice."""
    from trigger.app.chain import run as run_chain
    from trigger.app.console import overall_line, verdict_table
    from trigger.app.page import page_path

    chain = _chain(recipe, target, out, workers, set_)
    verdict = run_chain(chain)
    page = page_path(chain.folder)
    if as_json:
        _print_json({"folder": str(chain.folder), "page": str(page), **read_json(chain.folder / "verdict.json")})
    else:
        _print(verdict_table(verdict), f"{overall_line(verdict)}  {chain.folder}", page)
    return verdict.exit_status


@app.command()
def data(
    recipe: RecipeName, out: Out = Path(), workers: Workers = CORES, set_: Set = None, as_json: AsJson = False
) -> int:
    """Make or read the sample of a recipe, compute its features, and say what is in it."""
    from trigger.app.chain import features
    from trigger.app.sample import generated

    chain = _chain(recipe, None, out, workers, set_)
    sample = features(chain)
    path = generated(chain.recipe, chain.samples, chain.workers, chain.report)
    counts = {name: int((sample.labels == label).sum()) for label, name in enumerate(sample.class_names)}
    content = {
        "sample": str(path) if path else None, "features": str(chain.model_folder / "features.npz"), "jets": counts,
        "synthetic": sample.origin.synthetic, "digest": sample.digest(),
    }  # fmt: skip
    if as_json:
        _print_json(content)
    else:
        _print(
            f"{len(sample):,} rows: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()),
            f"sample    {path or 'as given'}",
            f"features  {content['features']}",
            f"digest    {content['digest']}",
        )
    return EXIT_OK


@app.command()
def train(
    recipe: RecipeName, out: Out = Path(), workers: Workers = CORES, set_: Set = None, as_json: AsJson = False
) -> int:
    """Train the quantised network of a recipe and its float twin."""
    from trigger.app import chain as chain_of

    chain = _chain(recipe, None, out, workers, set_)
    sample = chain_of.features(chain)
    records = {which: chain_of.train(chain, sample, which) for which in ("quantised", "float")}
    networks = {}
    for which, record in records.items():
        history = read_json(chain.model_folder / which / "history.json")
        networks[which] = {name: record[name] for name in ("digest", "epochs", "parameters")}
        networks[which]["best_val_loss"] = min(history["val_loss"])
    if as_json:
        _print_json({"folder": str(chain.model_folder), **networks})
    else:
        for which, one in networks.items():
            _print(f"{which}: {one['epochs']} epochs, {one['parameters']:,} parameters, "
                   f"validation loss {one['best_val_loss']:.4f}")  # fmt: skip
        _print(chain.model_folder)
    return EXIT_OK


@app.command()
def convert(
    model: Annotated[Path, typer.Argument(help="A folder that 'jetgate train' or 'run' made, or a .keras file.")],
    inputs: Annotated[Path | None, typer.Option(help="The input contract (YAML), for a .keras file.")] = None,
    target: TargetName = DEFAULT_TARGET, out: Out = Path(), as_json: AsJson = False,
) -> int:  # fmt: skip
    """Make a firmware project of a trained network, also of one that was made elsewhere."""
    from firmware.project import convert as convert_network
    from firmware.target import load_target
    from trigger.app.console import start_keras
    from trigger.inputs.contract import InputSpec

    wanted = load_target(target)
    if model.is_dir():
        model, inputs, name = _trained_in(model)
    else:
        name = model.stem
        if inputs is None:
            raise InputError(f"{model}: a .keras file does not say what its inputs are: give --inputs CONTRACT.yaml")
    contract = InputSpec.load(inputs)
    start_keras()
    from models.trained import load_network

    project = convert_network(load_network(model), contract, wanted, name, out / "vivado_projects")
    content = {"project": str(project.folder), "top": project.manifest.top, "digest": project.digest(),
               "inputs": project.manifest.inputs.model_dump(mode="json"),
               "outputs": project.manifest.outputs.model_dump(mode="json")}  # fmt: skip
    if as_json:
        _print_json(content)
    else:
        _print(f"{len(contract.inputs)} inputs of {project.manifest.inputs.format}",
               f"{len(contract.outputs)} outputs of {project.manifest.outputs.format}", project.folder)  # fmt: skip
    return EXIT_OK


@app.command()
def emulate(
    project: ProjectFolder,
    vectors: Annotated[int | None, typer.Option(min=1, help="Random vectors; 100,000 by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random vectors.")] = 1,
    engine: Annotated[list[str] | None, typer.Option(help="integer, cpp or rtl; may be given again; all by default.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Compare every layer as well, of every engine.")] = False,
    mutate: Annotated[bool, typer.Option("--mutate", help="Put faults into copies, each of which must be found.")] = False,
    mutants: Annotated[int | None, typer.Option(min=1, help="How many, with --mutate; 24 by default.")] = None,
    events: Annotated[list[str] | None, typer.Option(help="ROOT files to emulate instead: a branch for each input.")] = None,
    tree: Annotated[str | None, typer.Option(help="Their tree; Events by default.")] = None,
    scores: Annotated[Path | None, typer.Option(help="A ROOT file for the output codes of --events.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler, for --events.")] = None,
    workers: Workers = CORES, as_json: AsJson = False,
) -> int:  # fmt: skip
    """Compare every engine with the reference network, code by code. One difference fails, and is traced to its layer."""
    from firmware.emulation import RANDOM_VECTORS, engines_of
    from firmware.emulation import emulate as compare
    from firmware.mutation import MUTANTS
    from firmware.project import FirmwareProject
    from trigger.app.accept_bits import bits_of
    from trigger.app.console import Reporter, divergence_tables, overall_line, start_keras, verdict_table
    from trigger.verdict import Verdict

    if not events:
        _refuse({"--tree": tree, "--scores": scores, "--scheduler": scheduler}, "only with --events")
    else:
        _refuse({"--vectors": vectors, "--trace": trace, "--mutate": mutate}, "not with --events")
    if not mutate:
        _refuse({"--mutants": mutants}, "only with --mutate")
    report = Reporter()
    opened = FirmwareProject.load(project)
    if edited := opened.edited():
        report.say(f"[yellow]edited after the conversion: {', '.join(edited)}[/]; building it anew")
    if events:
        return _stream(
            opened,
            events,
            tree or "Events",
            tuple(engine or engines_of(opened)[:1]),
            scores,
            scheduler,
            workers,
            as_json,
        )
    start_keras()
    with report.progress("emulation") as progress:
        result = compare(
            opened, engines=tuple(engine) if engine else None, random_vectors=vectors or RANDOM_VECTORS, seed=seed,
            threads=workers, trace=trace, progress=progress,
        )  # fmt: skip
    requirements, content = result.requirements(), result.summary()
    if not engine:
        requirements = (*requirements, *bits_of(opened, workers))
    if mutate:
        faults = _mutate(opened, result.agrees, mutants or MUTANTS, seed, workers)
        requirements = (*requirements, faults[0])
        content["mutation"] = faults[1]
    verdict = Verdict(requirements=requirements)
    if as_json:
        _print_json({**verdict.model_dump(mode="json", exclude={"synthetic"}), **content})
    else:
        _print(verdict_table(verdict), *divergence_tables(result.divergences), overall_line(verdict))
    return verdict.exit_status


@app.command()
def synth(
    project: ProjectFolder,
    stage: Annotated[str, typer.Option("--stage", "-s", help="hls, cosim, synthesis, implementation, or open (Yosys).")],
    design: Annotated[str, typer.Option(help="For Vivado: cpp, what HLS makes of the C++, or rtl, our own Verilog.")] = "cpp",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
    hours: Annotated[float, typer.Option(min=0, help="Time limit of each program.")] = LIMIT_HOURS,
    workers: Workers = CORES, as_json: AsJson = False,
) -> int:  # fmt: skip
    """Run a stage of synthesis and hold what it says to the target's budget. An interrupted stage goes on where it was."""
    from firmware.project import FirmwareProject
    from trigger.app import synthesis
    from trigger.app.console import overall_line, verdict_table
    from trigger.app.report_tables import report_tables

    opened = FirmwareProject.load(project)
    wanted, chosen = synthesis.stage_named(stage), synthesis.design_named(design)
    if dry_run:
        lines = synthesis.planned(opened, wanted, chosen)
        _print_json({"project": str(project), "commands": lines}) if as_json else _print(*lines)
        return EXIT_OK
    findings, report, verdict = synthesis.run_stage(opened, wanted, chosen, hours, workers)
    if as_json:
        _print_json({"preflight": [vars(one) for one in findings], "report": report.summary(),
                     **verdict.model_dump(mode="json", exclude={"synthetic"})})  # fmt: skip
    else:
        _print(*report_tables({stage: report}), *_judged(verdict, verdict_table, overall_line))
    return synthesis.exit_status(verdict)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, in runs/.")],
    form: Annotated[str, typer.Option("--format", help="text or md.")] = "text", as_json: AsJson = False,
) -> int:  # fmt: skip
    """Runs side by side: AUC, efficiencies, losses, latency, look-up tables and bits."""
    from trigger.app.comparison import compare_runs
    from trigger.app.report_tables import comparison_markdown, comparison_table

    if form not in FORMS:
        raise InputError(f"--format {form!r} is not known; nearest: {nearest(form, FORMS)}")
    names, rows = compare_runs(runs)
    if as_json:
        _print_json(
            {
                "runs": list(map(str, runs)),
                "figures": {row.title: dict(zip(map(str, runs), row.figures, strict=True)) for row in rows},
            }
        )
    elif form == "md":
        sys.stdout.write(comparison_markdown(names, rows))
    else:
        _print(comparison_table(names, rows))
    return EXIT_OK


@app.command()
def rates(
    run_folder: RunFolder,
    menu: Annotated[
        str | None, typer.Option("--menu", help="A packaged menu or the path of a YAML file; the recipe's if not given.")
    ] = None,
    zero_bias: Annotated[
        str | None,
        typer.Option("--zero-bias", help="YAML file: where crossings of the detector itself are, in place of simulated ones."),
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler, with --zero-bias.")] = None,
    workers: Workers = CORES, set_: Set = None, as_json: AsJson = False,
) -> int:  # fmt: skip
    """Rates in kHz, integer thresholds, efficiencies and stability under a menu; of jets of one window, their background."""
    from trigger.app.console import Reporter, overall_line, verdict_table
    from trigger.app.rate_report import menu_of, rates_of_run

    if zero_bias is None:
        _refuse({"--scheduler": scheduler}, "only with --zero-bias")
    asked = menu_of(run_folder, menu, tuple(set_ or ()))
    found = rates_of_run(run_folder, asked, workers, Reporter(), zero_bias, scheduler)
    if as_json:
        _print_json({"folder": str(run_folder), **found.summary()})
    else:
        _print(verdict_table(found.verdict), f"{overall_line(found.verdict)}  {run_folder / 'rates.json'}")
    return found.verdict.exit_status


@app.command()
def analyse(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="A packaged study (see 'jetgate studies') or a path; with --compare folders."),
    ],
    compare: Annotated[bool, typer.Option("--compare", help="Put finished studies, given as folders, side by side.")] = False,
    out: Out = Path(), workers: Workers = CORES, set_: Set = None, as_json: AsJson = False,
) -> int:  # fmt: skip
    """An offline study: a published analysis, from collisions to figures of merit and the effects that it is to show."""
    from rich.markup import escape

    from trigger.app import analyse as studies
    from trigger.app.console import Reporter, overall_line, verdict_table
    from trigger.app.report_tables import study_table

    if compare:
        _refuse({"--set": set_}, "not with --compare")
        found = studies.compare_studies([Path(one) for one in recipes], out)
        if as_json:
            _print_json({"written": str(found.path), **found.summary()})
        else:
            _print(*map(study_table, found.shown), *map(escape, found.notes), found.path)
        return EXIT_OK
    if len(recipes) > 1:
        raise InputError(f"{len(recipes)} studies were named; one at a time is right, and --compare for finished ones")
    folder, _, result = studies.analyse(recipes[0], tuple(set_ or ()), out, workers, Reporter())
    verdict = result.verdict
    if as_json:
        _print_json({"folder": str(folder), "overall": verdict.overall, **result.summary()})
    else:
        _print(
            *(study_table(one) for one in studies.tables_of(result)), verdict_table(verdict),
            f"{overall_line(verdict)}  {folder}",
        )  # fmt: skip
    return verdict.exit_status


@app.command()
def page(
    run_folder: RunFolder,
    as_json: AsJson = False,
) -> int:
    """Make the sign-off page of a finished run again: one file that opens anywhere, and the same as JSON."""
    from trigger.app.page import DATA, write_page

    path = write_page(run_folder)
    content = read_json(path.parent / DATA)
    if as_json:
        _print_json({"page": str(path), "data": str(path.parent / DATA), "overall": content["overall"]})
    else:
        _print(path)
    return EXIT_OK


@app.command()
def verify(
    run_folder: RunFolder,
    as_json: AsJson = False,
) -> int:
    """Compute every digest again that a run recorded, and name what changed since. Ends with 1 where something did."""
    from trigger.app.console import verified_table
    from trigger.app.verify import Finding, holds
    from trigger.app.verify import verify as compute_again

    checks = compute_again(run_folder)
    good = holds(checks)
    if as_json:
        _print_json({"holds": good, "checks": [one.summary() for one in checks]})
    else:
        changed = sum(one.finding is not Finding.HOLDS for one in checks)
        line = (
            f"[bold green]all {len(checks)} digests hold[/]"
            if good
            else f"[bold red]{changed} of {len(checks)} do not hold[/]"
        )
        _print(verified_table(checks), f"{line}  {run_folder}")
    return EXIT_OK if good else EXIT_ANSWER_IS_NO


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(help="Projects of ours, folders of reports, or reports of any tool.")],
    form: Annotated[str, typer.Option("--format", help="text or md.")] = "text",
    baseline: Annotated[Path | None, typer.Option(help="An earlier report or folder: fail where a figure got worse.")] = None,
    tolerance: Annotated[float | None, typer.Option(min=0, help="Percent tolerated, with --baseline; 1 by default.")] = None,
    budget: Annotated[str | None, typer.Option(help="Hold the reports to the budget of this target.")] = None,
    as_json: AsJson = False,
) -> int:  # fmt: skip
    """Read what tools wrote, of any of their versions, and hold it to a budget or to an earlier report."""
    from trigger.app import synthesis
    from trigger.app.console import overall_line, verdict_table
    from trigger.app.report_tables import report_markdown, report_tables

    if form not in FORMS:
        raise InputError(f"--format {form!r} is not known; nearest: {nearest(form, FORMS)}")
    if baseline is None:
        _refuse({"--tolerance": tolerance}, "only with --baseline")
    found = synthesis.read_all(paths)
    verdict = synthesis.judged(found, budget, baseline, None if tolerance is None else tolerance / 100)
    if as_json:
        content = {"reports": {name: one.summary() for name, one in found.items()}}
        _print_json(content | ({} if verdict is None else verdict.model_dump(mode="json", exclude={"synthetic"})))
    elif form == "md":
        sys.stdout.write(report_markdown(found, verdict))
    else:
        _print(*report_tables(found), *([] if verdict is None else _judged(verdict, verdict_table, overall_line)))
    return EXIT_OK if verdict is None else synthesis.exit_status(verdict)


def _judged(verdict: Verdict, table: Any, line: Any) -> list[Any]:
    return [table(verdict), line(verdict)] if verdict.requirements else []


def _refuse(options: dict[str, Any], why: str) -> None:
    """Refuse options that would do nothing."""
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        raise InputError(f"{', '.join(given)}: {why}")


def _stream(
    project: FirmwareProject, events: list[str], tree: str, engines: tuple[str, ...], scores: Path | None,
    scheduler: str | None, workers: int, as_json: bool,
) -> int:  # fmt: skip
    from firmware.streaming import stream
    from trigger.app.console import Reporter, overall_line, start_keras, verdict_table
    from trigger.files import matching
    from trigger.workers import workers_of

    files = matching(events)
    with workers_of(workers, scheduler, start_keras) as found, Reporter().progress("emulation") as progress:
        result = stream(project, files, tree, found.pool, engines=engines, scores=scores, at_once=2 * found.count,
                        progress=progress)  # fmt: skip
    verdict = result.verdict()
    if as_json:
        _print_json({**verdict.model_dump(mode="json", exclude={"synthetic"}), **result.summary()})
    else:
        _print(verdict_table(verdict), overall_line(verdict))
    return verdict.exit_status


def _mutate(
    project: FirmwareProject, agrees: bool, count: int, seed: int, workers: int
) -> tuple[Requirement, dict[str, Any] | None]:
    from firmware.mutation import mutate
    from trigger.app.console import Reporter
    from trigger.verdict import not_measured

    if not agrees:
        return not_measured("mutation", ">= 1", required=True, note="the bits differ without any fault"), None
    with Reporter().progress("mutation") as progress:
        found = mutate(project, count=count, seed=seed, threads=workers, progress=progress)
    return found.requirement(), found.summary()


@app.command()
def recipes(
    copy: Annotated[str | None, typer.Option(help="Copy this one into the current folder, to be changed.")] = None,
    as_json: AsJson = False,
) -> int:
    """The packaged recipes."""
    return _packaged("models", "recipes", "recipe", copy, as_json)


@app.command()
def studies(
    copy: Annotated[str | None, typer.Option(help="Copy this one into the current folder, to be changed.")] = None,
    as_json: AsJson = False,
) -> int:
    """The packaged offline studies; those that end in _large want a GPU."""
    from models.analyses.recipe import FOLDER

    return _packaged("models", FOLDER, "study", copy, as_json)


@app.command()
def targets(
    copy: Annotated[str | None, typer.Option(help="Copy this one into the current folder, to be changed.")] = None,
    as_json: AsJson = False,
) -> int:
    """The packaged targets."""
    return _packaged("firmware", "targets", "target", copy, as_json)


@app.command()
def menus(
    copy: Annotated[str | None, typer.Option(help="Copy this one into the current folder, to be changed.")] = None,
    as_json: AsJson = False,
) -> int:
    """The packaged menus."""
    return _packaged("trigger", "decision/menus", "menu", copy, as_json)


@app.command()
def check(as_json: AsJson = False) -> int:
    """What is installed, which tools are found where, and whether another package is in the way."""
    from rich.table import Table

    from trigger.app.check import check as look_around

    findings = look_around()
    missing = [one for one in findings if one.required and not one.good]
    if as_json:
        _print_json({"good": not missing, "findings": [vars(one) for one in findings]})
    else:
        table = Table("", "subject", "found", header_style="bold")
        for one in findings:
            mark = "[green]ok[/]" if one.good else "[red]missing[/]" if one.required else "[dim]none[/]"
            table.add_row(mark, one.subject, one.found)
        _print(table)
    return EXIT_TOOL_FAILED if missing else EXIT_OK


def main() -> None:
    """Entry point: runs a command and turns whatever happens into an exit status and a message."""
    from trigger.app.console import catch_interrupts

    catch_interrupts()
    sys.exit(status_of(sys.argv[1:]))


def status_of(arguments: list[str]) -> int:
    """Run a command line and return its exit status; every error becomes a message on standard error."""
    try:
        status = app(arguments, standalone_mode=False)
    except JetgateError as error:
        print(f"jetgate: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as stop:
        return _interrupted() if stop.code == EXIT_INTERRUPTED else int(stop.code or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away, as 'head' does
        return EXIT_OK
    except Exception as error:
        if hasattr(error, "show") and hasattr(
            error, "exit_code"
        ):  # a wrong option, as the command-line library says it
            error.show()
            return int(error.exit_code)
        if type(error).__name__ == "Abort" and not isinstance(error.__cause__, EOFError):  # which is a fault of a file
            return _interrupted()
        traceback.print_exc()
        print("jetgate: this is a bug of jetgate", file=sys.stderr)  # noqa: T201
        return EXIT_BUG
    if status == EXIT_INTERRUPTED:  # the command-line library's own word for it
        return _interrupted()
    return status if isinstance(status, int) else EXIT_OK


def _interrupted() -> int:
    print("jetgate: interrupted; the same command goes on where it was", file=sys.stderr)  # noqa: T201
    return EXIT_INTERRUPTED


def _chain(recipe: str, target: str | None, out: Path, workers: int, set_: list[str] | None) -> Chain:
    from firmware.target import load_target
    from models.recipe import load_recipe
    from trigger.app.chain import Chain
    from trigger.app.console import Reporter

    overrides = tuple(set_ or ())
    given = load_recipe(recipe, overrides)
    return Chain(given, load_target(target or given.target), out, workers, Reporter(), overrides)


def _trained_in(folder: Path) -> tuple[Path, Path, str]:
    """The quantised network of a folder that a run or a training made, its contract and its name."""
    record = folder / "run.json"
    models = folder
    if record.is_file():
        content = read_json(record)
        if not isinstance(content, dict) or not isinstance(content.get("models"), str):
            raise InputError(f"{record}: it does not say where the networks are; run the recipe again")
        models = folder.parent / "models" / Path(content["models"]).name
    quantised = models / "quantised"
    if not (quantised / "model.keras").is_file():
        raise InputError(
            f"{folder}: there is no trained network in it; 'jetgate train' and 'jetgate run' make such folders"
        )
    return quantised / "model.keras", quantised / "contract.yaml", models.name.rsplit("-", 1)[0]


def _packaged(package: str, folder: str, what: str, copy: str | None, as_json: bool) -> int:
    from trigger.config import find, packaged

    if copy is not None:
        source = find(copy, package, folder, what)
        destination = Path(source.name)
        if destination.exists():
            raise InputError(f"{destination}: there is such a file already")
        try:
            shutil.copy(source, destination)
        except OSError as error:
            raise InputError(f"{destination}: cannot be written: {error.strerror}") from error
        _print_json({"copied": str(destination)}) if as_json else _print(destination)
        return EXIT_OK
    found = packaged(package, folder)
    about = {name: path.read_text().splitlines()[0].lstrip("# ") for name, path in found.items()}
    if as_json:
        _print_json(about)
    else:
        _print(*(_hanging(f"{name:26}", text) for name, text in about.items()))
    return EXIT_OK


def _hanging(start: str, text: str) -> str:
    """A line, broken where the width is known so that what follows stands under the text."""
    width = shutil.get_terminal_size().columns if _width() is None else 0
    if width <= 2 * len(start):
        return start + text
    return textwrap.fill(text, width, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)


def _width() -> int | None:
    """Of what is written, where neither a terminal nor `COLUMNS` says it."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").lstrip("0").isdigit() else 160


def _print(*content: Any) -> None:
    from trigger.app.console import OutputConsole

    console = OutputConsole(highlight=False, soft_wrap=not sys.stdout.isatty(), width=_width())
    for one in content:
        console.print(one if not isinstance(one, Path) else str(one))


def _print_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
