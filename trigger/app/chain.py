"""The chain from a recipe to a verdict, each step done once.

```
sample -> inputs -> quantised and float network -> firmware project -> emulation -> performance -> rates -> verdict, figures
                                                     firmware project -> test bench, open synthesis -----------^
```

Every step has a key, the digest of what it reads, and leaves a record with that key and the digests of what it wrote. A
step whose record is there, has the same key and whose files are unchanged is not done again; so a second run is quick and
a killed one goes on where it stopped. Nothing of a step is seen before it is complete.

```
OUT/runs/data/<kind>-<digest>/               the sample, shared by all recipes that ask for the same
OUT/runs/models/<recipe>-<digest>/           inputs and networks, shared by all targets
OUT/runs/<recipe>-<digest>/                  verdict, emulation, performance, figures: one recipe on one target
OUT/runs/<recipe>-<digest>/report/           the sign-off page, and the same as data
OUT/vivado_projects/<recipe>-<target>-<digest>/
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from firmware import tools
from firmware.project import FirmwareProject, convert, writers
from firmware.target import Target
from models.quantization import Quantization
from models.recipe import Inputs, Network, Recipe
from trigger import config
from trigger.app import sample as sample_of
from trigger.app.console import Reporter, raise_if_interrupted, start_keras
from trigger.data.events import EVENT_FORMAT
from trigger.data.generate import SAMPLE_FORMAT
from trigger.data.jets import FeatureDataset, Origin, Split, split_by_event
from trigger.digest import SHORT, digest, file_digest
from trigger.errors import InputError
from trigger.files import make_folder, read_json, replacing, write_json, write_text
from trigger.inputs.contract import InputSpec
from trigger.verdict import Requirement, Status, Verdict

if TYPE_CHECKING:
    from firmware.emulation import EmulationResult
    from models.trained import TrainedModel

STEP_FORMAT = 5
"""Part of every key; raised when a step gives something else for the same inputs."""


@dataclass(frozen=True)
class View:
    """A network and what it sees of the sample: the recipe's own, the baseline's, or that of the inverse task.

    Attributes:
        prefix: Begins the names of its files.
        inputs: What the network sees.
        network: The network.
        quantization: Formats of its numbers.
        classes: What it is trained on; all classes where it is `None`.
        forms: Which are trained, of `quantised` and `float`.
    """

    prefix: str
    inputs: Inputs
    network: Network
    quantization: Quantization
    classes: tuple[str, ...] | None
    forms: tuple[str, ...] = ("quantised", "float")


@dataclass(frozen=True)
class Chain:
    """One recipe on one target, in one output folder.

    Attributes:
        recipe: What is made.
        target: What it is made for.
        out: Folder in which `runs/` and `vivado_projects/` are.
        workers: Processes and threads.
        report: Told of progress.
        overrides: What `--set` changed, for the record.
    """

    recipe: Recipe
    target: Target
    out: Path
    workers: int
    report: Reporter
    overrides: tuple[str, ...] = ()

    @cached_property
    def views(self) -> tuple[View, ...]:
        """Every network that is trained, the one that becomes firmware first."""
        recipe = self.recipe
        found = [View("", recipe.inputs, recipe.network, recipe.quantization, recipe.training.classes)]
        if recipe.baseline is not None:
            other = recipe.baseline
            found.append(View("baseline_", other.inputs, other.network, other.quantization, None))
        if recipe.inverse is not None:
            found.append(
                View("inverse_", recipe.inputs, recipe.network, recipe.quantization, recipe.inverse, ("float",))
            )
        return tuple(found)

    @property
    def main(self) -> View:
        """The network that becomes firmware."""
        return self.views[0]

    @property
    def samples(self) -> Path:
        """Where generated samples are kept."""
        return self.out / "runs" / "data"

    @cached_property
    def model_folder(self) -> Path:
        """Features and networks of the recipe; what is required of them does not change them."""
        decides = self.recipe.model_dump(mode="json", exclude={"requirements", "target", "menu"})
        return self.out / "runs" / "models" / f"{self.recipe.name}-{digest(decides)[:SHORT]}"

    @cached_property
    def folder(self) -> Path:
        """Everything of the recipe on this target."""
        return (
            self.out
            / "runs"
            / f"{self.recipe.name}-{digest(self.recipe.model_dump(mode='json', exclude={'target'}), self.target)[:SHORT]}"
        )

    @property
    def projects(self) -> Path:
        """Where firmware projects go."""
        return self.out / "vivado_projects"


def run(chain: Chain) -> Verdict:
    """The whole chain.

    Returns:
        The verdict, which is in `verdict.json` too.
    """
    tools.find_tool("g++")  # found missing now, not after the collisions
    tools.verilator()
    if chain.target.budget.open is not None:
        tools.yosys()
    if chain.recipe.menu is not None:
        from trigger.app import rate_report
        from trigger.decision.menu import load_menu

        rate_report.check(chain.recipe, load_menu(chain.recipe.menu))
    make_folder(chain.out)
    sample = features(chain)
    write_text(chain.folder / "recipe.yaml", config.dump(chain.recipe))
    write_text(chain.folder / "target.yaml", config.dump(chain.target))
    train(chain, sample, "quantised")
    record = make_firmware(chain, sample)
    # Compiling is g++'s work, synthesis Yosys's, and training ours: side by side.
    with _ending_together() as pool:
        compiled, synthesised = pool.submit(_compile, chain, record), pool.submit(synthesize_openly, chain, record)
        train(chain, sample, "float")
        for view in chain.views[1:]:
            seen = features(chain, view)
            for which in view.forms:
                train(chain, seen, which, view)
        compiled.result()
        emulation = emulate_project(chain, record)
        mutation = mutate_project(chain, record, emulation)
        performance = measure(chain, sample, record, emulation)
        bench = run_test_bench(chain, record)
        rated = rate(chain, record)
        synthesised.result()
    return conclude(chain, sample, emulation, mutation, performance, (bench, *rated))


@contextmanager
def _ending_together() -> Iterator[ThreadPoolExecutor]:
    """Two threads whose programs are ended, and not waited for, when something goes wrong beside them."""
    with ThreadPoolExecutor(2) as pool:
        try:
            yield pool
        except BaseException as error:
            tools.interrupted.set()
            pool.shutdown(cancel_futures=True)
            if not isinstance(error, KeyboardInterrupt):
                tools.interrupted.clear()
            raise


# ---------------------------------------------------------------------------------------------------------------- steps


def step(
    folder: Path, name: str, key: str, outputs: Iterable[Path], action: Callable[[], dict[str, Any] | None]
) -> dict[str, Any]:
    """Do a step unless its record says that it was done.

    Args:
        folder: Where records are kept.
        name: Name of the step.
        key: Digest of what it reads.
        outputs: Files that it writes; a file that is missing or changed makes it be done again.
        action: The step itself; what it returns is kept in the record.

    Returns:
        The record: `key`, `seconds`, `files`, and what the action returned.
    """
    raise_if_interrupted()
    path = folder / "steps" / f"{name}.json"
    outputs = list(outputs)
    record = _read_record(path)
    if record.get("key") == key and record.get("files") == _seals(outputs):
        return record
    start = time.monotonic()
    result = action() or {}
    record = {"key": key, "seconds": round(time.monotonic() - start, 2), "files": _seals(outputs), **result}
    write_json(path, record)
    return record


def _read_record(path: Path) -> dict[str, Any]:
    """A step's record; one that is missing or damaged is of a step that was not done."""
    try:
        record = read_json(path)
    except InputError:
        return {}
    return record if isinstance(record, dict) else {}


def _seals(outputs: list[Path]) -> dict[str, str | None]:
    return {path.name: file_digest(path) if path.is_file() else None for path in outputs}


# ------------------------------------------------------------------------------------------------------------ features


def features(chain: Chain, view: View | None = None) -> FeatureDataset:
    """What a network sees of the whole sample, computed once."""
    view = view or chain.main
    path = chain.model_folder / f"{view.prefix}features.npz"

    def compute() -> dict[str, Any]:
        chain.report.say(f"{view.inputs.kind} of {chain.recipe.name}")
        table = sample_of.table(chain.recipe, view.inputs, chain.samples, chain.workers, chain.report)
        with replacing(path) as fresh:
            columns = {name: getattr(table, name) for name in ("values", "labels", "weights", "events", "target")}
            np.savez(fresh, allow_pickle=False, **{name: one for name, one in columns.items() if one is not None})
        return {
            "digest": table.digest(), "rows": len(table), "names": list(table.names),
            "class_names": list(table.class_names), "origin": asdict(table.origin),
        }  # fmt: skip

    key = digest(
        STEP_FORMAT,
        version("jetgate"),
        chain.recipe.data,
        chain.recipe.seed,
        view.inputs,
        sample_of.content(chain.recipe),
    )
    record = step(chain.model_folder, f"{view.prefix}features", key, [path], compute)
    return stored_features(path, record)


def stored_features(path: Path, record: Mapping[str, Any]) -> FeatureDataset:
    """The table that `features` wrote, by the record of its step.

    Raises:
        InputError: One of them is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return FeatureDataset(
                stored["values"], tuple(record["names"]), stored["labels"], tuple(record["class_names"]), stored["weights"],
                stored["events"], Origin(**record["origin"]), stored.get("target"),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: missing or damaged, or its record is ({what}); run the recipe again") from error


def splits(recipe: Recipe, sample: FeatureDataset) -> dict[Split, NDArray[np.bool_]]:
    """Which rows are for training, validation and test."""
    return split_by_event(sample.events, recipe.seed, recipe.training.validation, recipe.training.test)


# ------------------------------------------------------------------------------------------------------------- networks


def learnt(chain: Chain, view: View, sample: FeatureDataset, split: Split) -> FeatureDataset:
    """The rows of a split that a network is trained on or validated with.

    Raises:
        InputError: There is none.
    """
    chosen = splits(chain.recipe, sample)[split]
    if view.classes is not None:
        chosen &= np.isin(sample.labels, [sample.class_names.index(name) for name in view.classes])
    if not chosen.any():
        raise InputError(f"no row of {', '.join(view.classes or sample.class_names)} is in the {split} split")
    return sample.take(chosen)


def contract_of(chain: Chain, view: View, sample: FeatureDataset) -> InputSpec:
    """The input contract, from the rows that are trained on alone."""
    contract = view.inputs.contract(learnt(chain, view, sample, Split.TRAIN))
    return contract.model_copy(update={"outputs": view.network.outputs(sample.class_names)})


def train(chain: Chain, sample: FeatureDataset, which: str, view: View | None = None) -> dict[str, Any]:
    """Train the `quantised` or the `float` network, once; returns the step's record."""
    view, recipe = view or chain.main, chain.recipe
    name = f"{view.prefix}{which}"
    folder = chain.model_folder / name
    quantization = view.quantization if which == "quantised" else None

    def teach() -> dict[str, Any]:
        start_keras()
        from models.trained import TrainedModel
        from models.training import Batch
        from models.training import train as fit_network

        chain.report.say(f"training the {name.replace('_', ' ')} network")
        contract = contract_of(chain, view, sample)

        def batch(split: Split) -> Batch:
            one = learnt(chain, view, sample, split)
            return Batch(network_inputs(contract, one, quantization is not None), one.labels, one.weights, one.target)

        with chain.report.progress(f"{name.replace('_', ' ')} network") as progress:
            network, history = fit_network(
                view.network, contract, len(sample.class_names), quantization, recipe.training, recipe.seed,
                batch(Split.TRAIN), batch(Split.VALIDATION), lambda done, total: progress("epochs", done, total),
            )  # fmt: skip
        trained = TrainedModel(network, contract, history)
        trained.save(folder)
        return {"digest": trained.digest(), "epochs": len(history["loss"]), "parameters": int(network.count_params())}

    key = digest(
        STEP_FORMAT, version("jetgate"), sample.digest(), view.network, quantization, recipe.training, view.classes,
        view.inputs, recipe.seed, _keras_versions(),
    )  # fmt: skip
    outputs = [folder / name for name in ("model.keras", "contract.yaml", "history.json")]
    return step(chain.model_folder, name, key, outputs, teach)


def network_inputs(contract: InputSpec, sample: FeatureDataset, on_the_wire: bool) -> NDArray[np.float64]:
    """What a network is given: a quantised one what the wire carries, a float one what was there before."""
    inputs = contract.values(contract.codes(sample.values)) if on_the_wire else contract.scaled(sample.values)
    return inputs.reshape(len(sample), *contract.network_shape)


def _keras_versions() -> list[str]:
    import os

    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    engine = "jax" if backend == "jax" else "tensorflow"
    return [backend, version("keras"), version("qkeras-v3"), version(engine)]


def load_trained(chain: Chain, which: str) -> TrainedModel:
    """A network that `train` made, by the name of its step."""
    start_keras()
    from models.trained import TrainedModel

    return TrainedModel.load(chain.model_folder / which)


# ------------------------------------------------------------------------------------------------------------- firmware


def make_firmware(chain: Chain, sample: FeatureDataset) -> dict[str, Any]:
    """Convert the quantised network; the record holds the project's folder and its digest."""
    trained_record = read_json(chain.model_folder / "steps" / "quantised.json")

    def make() -> dict[str, Any]:
        chain.report.say(f"firmware for {chain.target.name}")
        trained = load_trained(chain, "quantised")
        held_out = sample.take(splits(chain.recipe, sample)[Split.TEST])
        project = convert(
            trained.network, trained.contract, chain.target, chain.recipe.name, chain.projects,
            trained.contract.codes(held_out.values),
        )  # fmt: skip
        clipped = {k: v / len(sample) for k, v in trained.contract.clipped(sample.values).items()}
        return {"project": project.folder.name, "digest": project.digest(), "clipped": clipped}

    key = digest(STEP_FORMAT, version("jetgate"), trained_record["digest"], sample.digest(), chain.target, writers())
    record = step(chain.folder, "firmware", key, [], make)
    folder = chain.projects / record["project"]
    if not (folder / "manifest.json").is_file():
        (chain.folder / "steps" / "firmware.json").unlink()
        return make_firmware(chain, sample)
    FirmwareProject.load(folder).require_unedited()
    return record


def open_project(chain: Chain, record: Mapping[str, Any]) -> FirmwareProject:
    """The project that `make_firmware` recorded."""
    return FirmwareProject.load(chain.projects / record["project"])


def _compile(chain: Chain, record: Mapping[str, Any]) -> None:
    from firmware.engines import cpp, rtl

    project = open_project(chain, record)
    if not cpp.library_path(project).is_file():
        chain.report.say("compiling the firmware, C++ and Verilog")
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(rtl.build, project)] if project.manifest.rtl is not None else []
        builds.append(pool.submit(cpp.build, project))
        for one in builds:
            one.result()


def synthesize_openly(chain: Chain, record: Mapping[str, Any]) -> None:
    """Synthesise the Verilog by Yosys, once, where the target limits what it may use; the report is kept in the project."""
    from firmware import open_lane
    from firmware.reports.report import Stage
    from firmware.synthesis import report_path

    project = open_project(chain, record)
    if chain.target.budget.open is None or project.manifest.rtl is None:
        return
    path = report_path(project, Stage.OPEN, "rtl")

    def synthesize() -> None:
        chain.report.say("synthesis by Yosys, beside the rest")
        open_lane.synthesize(project, chain.workers).save(path)

    key = digest(STEP_FORMAT, version("jetgate"), project.source_digests("rtl"), tools.yosys()[1])
    step(chain.folder, "open", key, [path], synthesize)


def run_test_bench(chain: Chain, record: Mapping[str, Any]) -> Requirement:
    """The test bench that vendors' simulators run, by g++, once."""
    from firmware.engines import testbench

    project = open_project(chain, record)

    def run_it() -> dict[str, Any]:
        return {"requirement": testbench.run(project).requirement().model_dump(mode="json")}

    key = digest(STEP_FORMAT, version("jetgate"), record["digest"])
    found = Requirement.model_validate(step(chain.folder, "testbench", key, [], run_it)["requirement"])
    if found.status is Status.NOT_MEASURED:
        (chain.folder / "steps" / "testbench.json").unlink()  # the next run tries again
    return found


def emulate_project(chain: Chain, record: Mapping[str, Any]) -> EmulationResult:
    """Compare the firmware with the reference, once."""
    from firmware.emulation import RANDOM_VECTORS, TIE_VECTORS, EmulationResult, emulate

    summary, physics = chain.folder / "emulation.json", chain.folder / "emulation_physics.npz"

    def compare() -> None:
        start_keras()
        chain.report.say("emulation: every engine against the reference")
        project = open_project(chain, record)
        with chain.report.progress("emulation") as progress:
            result = emulate(project, seed=chain.recipe.seed, threads=chain.workers, progress=progress)
        result.save(summary)
        with replacing(physics) as fresh:
            np.savez_compressed(fresh, codes=np.asarray(result.physics))

    key = digest(
        STEP_FORMAT, version("jetgate"), record["digest"], chain.recipe.seed, RANDOM_VECTORS, TIE_VECTORS, _keras_versions()
    )  # fmt: skip
    step(chain.folder, "emulation", key, [summary, physics], compare)
    with np.load(physics, allow_pickle=False) as stored:
        return EmulationResult.load(summary, stored["codes"])


def mutate_project(chain: Chain, record: Mapping[str, Any], emulation: EmulationResult) -> dict[str, Any] | None:
    """Put faults into copies of the firmware, once; `None` where none are asked for, or where the bits differ anyway."""
    from firmware.mutation import mutate

    path, count = chain.folder / "mutation.json", chain.recipe.requirements.mutants
    if count == 0 or not emulation.agrees:
        return None

    def test() -> None:
        start_keras()
        chain.report.say("mutation: faults that the comparison must find")
        with chain.report.progress("mutation") as progress:
            result = mutate(
                open_project(chain, record),
                count=count,
                seed=chain.recipe.seed,
                threads=chain.workers,
                progress=progress,
            )
        write_json(path, result.summary())

    key = digest(STEP_FORMAT, version("jetgate"), record["digest"], chain.recipe.seed, count)
    step(chain.folder, "mutation", key, [path], test)
    found: dict[str, Any] = read_json(path)
    return found


# ---------------------------------------------------------------------------------------------------------- performance


def measure(
    chain: Chain, sample: FeatureDataset, record: Mapping[str, Any], emulation: EmulationResult
) -> dict[str, Any]:
    """What float, quantised and firmware scores are worth on the held-out rows, and the figures; once."""
    from trigger.app import physics

    path, plots = chain.folder / "performance.json", chain.folder / "plots"
    found = sorted(read_json(one)["digest"] for one in _trained_records(chain))

    def evaluate() -> None:
        start_keras()
        chain.report.say("performance of float, quantised and firmware scores")
        assert emulation.physics is not None
        measured = physics.measured(chain, sample, open_project(chain, record), np.asarray(emulation.physics))
        write_json(path, measured.summary)
        with replacing(plots) as fresh:
            fresh.mkdir()
            physics.draw(measured, fresh)

    wanted = chain.recipe.requirements
    key = digest(
        STEP_FORMAT, version("jetgate"), found, sample.digest(), emulation.sources_digest, emulation.physics,
        wanted.fraction, chain.recipe.class_names,
    )  # fmt: skip
    drawn = [plots / f"{name}{suffix}" for name in ("history", "roc", "scores") for suffix in (".svg", ".png")]
    step(chain.folder, "performance", key, [path, *drawn], evaluate)
    performance: dict[str, Any] = read_json(path)
    return performance


def _trained_records(chain: Chain) -> list[Path]:
    """Records of every network that was trained for the recipe."""
    names = [f"{view.prefix}{which}" for view in chain.views for which in view.forms]
    return [chain.model_folder / "steps" / f"{name}.json" for name in names]


def rate(chain: Chain, record: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """What is required of rates, thresholds and efficiencies by the recipe's menu, once; nothing where it names none."""
    from firmware.decision import decision_path
    from trigger.app import rate_report
    from trigger.app.scored import Subject
    from trigger.app.sections import RATES
    from trigger.decision.menu import load_menu

    if chain.recipe.menu is None:
        return ()
    menu = load_menu(chain.recipe.menu)
    path = chain.folder / RATES

    def judge() -> None:
        start_keras()
        chain.report.say(f"rates under the menu {menu.name}")
        subject = Subject(chain.recipe, open_project(chain, record), chain.model_folder, chain.samples)
        rate_report.record(rate_report.judge(subject, menu, chain.workers, chain.report), chain.folder)

    # Figures of rates lie beside those of the performance, which are all drawn anew when that is.
    before = [read_json(folder / "steps" / f"{name}.json")["key"] for folder, name in (
        (chain.folder, "performance"), (chain.model_folder, "float"), (chain.model_folder, "quantised"))]  # fmt: skip
    key = digest(
        STEP_FORMAT, rate_report.RATES_FORMAT, version("jetgate"), record["digest"], menu, before, EVENT_FORMAT, SAMPLE_FORMAT
    )  # fmt: skip
    bits = decision_path(open_project(chain, record).folder)
    step(chain.folder, "rates", key, [path, chain.folder / rate_report.MENU, bits], judge)
    return rate_report.requirements_in(path)


# -------------------------------------------------------------------------------------------------------------- verdict


def conclude(
    chain: Chain, sample: FeatureDataset, emulation: EmulationResult, mutation: Mapping[str, Any] | None,
    performance: Mapping[str, Any], further: tuple[Requirement, ...],
) -> Verdict:  # fmt: skip
    """Hold everything to what is required, and write it down: the verdict, what it came from, and the page that shows it."""
    from firmware.budget import judge
    from trigger.app.page import write_page
    from trigger.app.signoff import requirements
    from trigger.app.synthesis import estimate_requirement, latest

    firmware = read_json(chain.folder / "steps" / "firmware.json")
    project = open_project(chain, firmware)
    reports = latest(project, emulation.timing)
    shown = () if chain.target.budget.estimate else (estimate_requirement(project),)
    told = (*further, *shown, *judge(chain.target, reports))
    verdict = Verdict(
        requirements=requirements(chain.recipe, sample, emulation, mutation, performance, firmware["clipped"], told),
        synthetic=sample.origin.synthetic,
    )
    verdict.save(chain.folder / "verdict.json")
    write_json(chain.folder / "run.json", _provenance(chain, firmware))
    write_page(chain.folder)
    return verdict


def _provenance(chain: Chain, firmware: Mapping[str, Any]) -> dict[str, Any]:
    """Digests of the content of every product, and the versions that made them."""
    steps = {
        name: read_json(folder / "steps" / f"{name}.json")
        for folder, names in (
            (chain.model_folder, ("features", *(one.stem for one in _trained_records(chain)))),
            (chain.folder, ("emulation", "mutation", "testbench", "open", "rates")),
        )
        for name in names
        if (folder / "steps" / f"{name}.json").is_file()
    }
    return {
        "recipe": chain.recipe.name,
        "target": chain.target.name,
        "overrides": list(chain.overrides),
        "models": str(chain.model_folder.relative_to(chain.out)),
        "project": f"vivado_projects/{firmware['project']}",
        "digests": {
            **{name: steps[name]["digest"] for name in ("features", "quantised", "float")},
            "firmware": firmware["digest"],
        },
        "files": _seals([chain.folder / name for name in ("recipe.yaml", "target.yaml", "verdict.json")]),
        "seconds": {name: one["seconds"] for name, one in steps.items()},
        "versions": {name: version(name) for name in ("jetgate", "keras", "qkeras-v3", "hls4ml", "numpy")},
    }
