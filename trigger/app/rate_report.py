"""The rates of a run: judged, written down, shown."""

from __future__ import annotations

from pathlib import Path

from firmware.decision import decision_path
from models.recipe import Recipe
from trigger.app import event_rates, jet_rates
from trigger.app.console import Reporter
from trigger.app.finished import PLOTS, STEPS, FinishedRun
from trigger.app.page import write_page
from trigger.app.rate_tables import PREFIX, draw_rates, rate_tables
from trigger.app.rates import Rates, has_rates, rates, sample_data
from trigger.app.scored import Subject
from trigger.app.sections import RATES
from trigger.app.tagger_points import TaggerPoints, check_points, tagger_points
from trigger.app.zero_bias import ZeroBias, scored
from trigger.config import dump, load, packaged
from trigger.data.generate_events import EventData
from trigger.decision.menu import Menu, load_menu
from trigger.digest import file_digest
from trigger.errors import InputError, nearest
from trigger.files import read_json, write_json, write_text
from trigger.verdict import Requirement, Verdict

RATES_FORMAT = 1
"""Part of the key of a run's rates; raised when they come out otherwise for the same firmware, menu and sample."""
MENU, VERDICT = "menu.yaml", "verdict.json"
SUBJECTS = ("rate", "quantisation", "efficiency", "stability")
"""What requirements that come of a menu begin with,"""
BITS = "bits:decision"
"""and those of accept bits."""


def menu_of(folder: Path, name: str | None, overrides: tuple[str, ...] = ()) -> Menu:
    """The menu of that name, or the one that the run's recipe names.

    Raises:
        InputError: There is none, or neither was named.
    """
    named = name or FinishedRun.open(folder).recipe.menu
    if named is None:
        packaged_menus = ", ".join(packaged("trigger", "decision/menus"))
        raise InputError(f"{folder}: its recipe names no menu; name one with --menu: {packaged_menus}, or a YAML file")
    return load_menu(named, overrides)


def check(recipe: Recipe, menu: Menu) -> None:
    """Refuse a menu that does not fit a recipe, before anything long is done.

    Raises:
        InputError: It names what is not there, or asks for what cannot be.
    """
    if not has_rates(recipe):
        check_points(recipe, menu)
        return
    data = sample_data(recipe, menu)
    counts = event_rates.LARGEST if isinstance(data, EventData) else (jet_rates.JET_PT, jet_rates.HT)
    ours = (event_rates.NETWORK,) if menu.jets is None else menu.jets.tagged
    for seed in menu.seeds:
        if seed.score not in (*counts, *ours):
            raise InputError(
                f"menu {menu.name!r}, seed {seed.name!r}: there is no score {seed.score!r}; nearest: "
                f"{nearest(seed.score, (*counts, *ours))}"
            )
    for name in menu.limits.efficiency:
        if name not in data.signals:
            raise InputError(f"menu {menu.name!r}: limits.efficiency: there is no signal {name!r}; nearest: "
                             f"{nearest(name, data.signals)}")  # fmt: skip


def rates_of_run(
    folder: Path, menu: Menu, workers: int, report: Reporter, zero_bias: str | None = None, scheduler: str | None = None
) -> Rates | TaggerPoints:
    """Judge a finished run under a menu; its folder, its verdict and its page say what was found.

    Args:
        folder: The run's folder.
        menu: What is asked.
        workers: Processes and threads.
        report: Told of progress.
        zero_bias: A YAML file that says where crossings of the detector itself are, in place of simulated ones.
        scheduler: Address of a dask scheduler for them.

    Raises:
        InputError: The run is not finished, the firmware was edited since, or the menu does not fit it.
    """
    run = FinishedRun.open(folder)
    subject = Subject(run.recipe, run.project, run.models, run.out / "runs" / "data")
    run.project.require_unedited()
    if zero_bias is None:
        found = judge(subject, menu, workers, report)
    else:
        data = load(Path(zero_bias), ZeroBias)
        found = rates(subject, menu, workers, report, scored(subject, data, menu.total_hz, workers, report, scheduler))
    record(found, run.folder)
    _judge_anew(run, found.verdict)
    write_page(folder)
    return found


def judge(subject: Subject, menu: Menu, workers: int, report: Reporter) -> Rates | TaggerPoints:
    """Rates in kHz where there are any, else the background at fixed efficiencies."""
    check(subject.recipe, menu)
    return (rates if has_rates(subject.recipe) else tagger_points)(subject, menu, workers, report)


def record(found: Rates | TaggerPoints, folder: Path) -> None:
    """Write what was found into a run's folder: `rates.json`, the menu as it came out, and figures beside the others."""
    figures = draw_rates(found, folder / PLOTS)
    tables = [one.model_dump(mode="json") for one in rate_tables(found)]
    write_text(folder / MENU, dump(found.chosen_menu))
    write_json(folder / RATES, {"tables": tables, "figures": figures, **found.summary()})
    drawn = {Path(name).stem for name in figures}
    for old in (folder / PLOTS).glob(f"{PREFIX}*"):  # of another menu
        if old.stem not in drawn:
            old.unlink()


def requirements_in(path: Path) -> tuple[Requirement, ...]:
    """The requirements that a `rates.json` holds."""
    return tuple(Requirement.model_validate(one) for one in read_json(path)["verdict"]["requirements"])


def _judge_anew(run: FinishedRun, verdict: Verdict) -> None:
    """Put requirements of another menu in the place of those of the run's verdict, and record what became of the files.

    'jetgate run' of the recipe puts its own menu back.
    """
    others = [
        one
        for one in run.verdict.requirements
        if one.name.partition(":")[0] not in SUBJECTS and not one.name.startswith(BITS)
    ]
    Verdict(requirements=(*others, *verdict.requirements), synthetic=run.verdict.synthetic).save(run.folder / VERDICT)
    files = {**run.record.get("files", {}), VERDICT: file_digest(run.folder / VERDICT)}
    write_json(run.folder / "run.json", {**run.record, "files": files})
    step = run.folder / STEPS / "rates.json"
    written = {name: file_digest(run.folder / name) for name in (RATES, MENU)}
    bits = decision_path(run.project_folder)
    sealed = {bits.name: file_digest(bits) if bits.is_file() else None}
    write_json(step, {"key": "by jetgate rates", "seconds": 0, "files": written | sealed})
