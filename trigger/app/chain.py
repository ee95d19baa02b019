"""The chain from a recipe to a verdict, each step done once.

```
sample -> features -> quantised and float network -> firmware project -> emulation -> performance -> verdict, figures
                                                     firmware project -> test bench, open synthesis --^
```

Every step has a key, the digest of what it reads, and leaves a record with that key and the digests of what it wrote. A
step whose record is there, has the same key and whose files are unchanged is not done again; so a second run is quick and
a killed one goes on where it stopped. Nothing of a step is seen before it is complete.

```
OUT/runs/data/pythia-<digest>/jets.root      the sample, shared by all recipes that ask for the same
OUT/runs/models/<recipe>-<digest>/           features and networks, shared by all targets
OUT/runs/<recipe>-<digest>/                  verdict, emulation, performance, figures: one recipe on one target
OUT/vivado_projects/<recipe>-<target>-<digest>/
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware import tools
from firmware.project import FirmwareProject, convert, writers
from firmware.target import Target
from models.recipe import Recipe
from trigger import config
from trigger.app.console import Reporter, raise_if_interrupted, start_keras
from trigger.data.generate import PythiaData, generate, read_generated, sample_digest
from trigger.data.jets import FeatureDataset, JetDataset, Origin, Split, concatenate_features, split_by_event
from trigger.data.rootfile import RootData, final_weights, input_files, read_jets
from trigger.data.table import TableData, read_table
from trigger.data.toy import ToyData, toy_jets
from trigger.digest import SHORT, digest, file_digest
from trigger.errors import InputError, nearest
from trigger.files import make_folder, matching, read_json, replacing, write_json, write_text
from trigger.inputs.contract import InputSpec, standardised
from trigger.inputs.features import JET_FEATURES, jet_features
from trigger.verdict import Requirement, Status, Verdict

if TYPE_CHECKING:
    from firmware.emulation import EmulationResult
    from models.trained import TrainedModel
    from trigger.decision.efficiency import Comparison

STEP_FORMAT = 1
"""Part of every key; raised when a step gives something else for the same inputs."""


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
    def model_folder(self) -> Path:
        """Features and networks of the recipe; what is required of them does not change them."""
        decides = self.recipe.model_dump(mode="json", exclude={"requirements"})
        return self.out / "runs" / "models" / f"{self.recipe.name}-{digest(decides)[:SHORT]}"

    @cached_property
    def folder(self) -> Path:
        """Everything of the recipe on this target."""
        return self.out / "runs" / f"{self.recipe.name}-{digest(self.recipe, self.target)[:SHORT]}"

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
        compiled.result()
        emulation = emulate_project(chain, record)
        mutation = mutate_project(chain, record, emulation)
        performance = measure(chain, sample, record, emulation)
        bench = run_test_bench(chain, record)
        synthesised.result()
    return conclude(chain, sample, emulation, mutation, performance, bench)


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


# ----------------------------------------------------------------------------------------------------- sample, features


def sample_path(chain: Chain) -> Path | None:
    """The generated sample, made if need be; `None` where the data is the user's own or a toy."""
    data = chain.recipe.data
    if not isinstance(data, PythiaData):
        return None
    with chain.report.progress("collisions") as progress:
        return generate(data, chain.recipe.seed, chain.out / "runs" / "data", workers=chain.workers, progress=progress)


def jets(chain: Chain) -> Iterator[JetDataset]:
    """The jets of the recipe, block by block.

    Raises:
        InputError: The recipe's data is a table, which has no jets in it.
    """
    data = chain.recipe.data
    match data:
        case PythiaData():
            path = sample_path(chain)
            assert path is not None
            yield from read_generated(path)
        case RootData():
            yield from read_jets(data)
        case ToyData():
            yield from toy_jets(data, chain.recipe.seed)
        case TableData():
            raise InputError("the recipe's data is a table of features: there are no jets in it")


def features(chain: Chain) -> FeatureDataset:
    """The features of the whole sample, computed once."""
    path = chain.model_folder / "features.npz"

    def compute() -> dict[str, Any]:
        chain.report.say(f"features of {chain.recipe.name}")
        sample = _compute_features(chain)
        with replacing(path) as fresh:
            np.savez(fresh, values=sample.values, labels=sample.labels, weights=sample.weights, events=sample.events)
        return {
            "digest": sample.digest(), "jets": len(sample), "names": list(sample.names),
            "class_names": list(sample.class_names),
            "origin": {"kind": sample.origin.kind, "synthetic": sample.origin.synthetic, "details": sample.origin.details},
        }  # fmt: skip

    data = chain.recipe.data
    content = sample_digest(data, chain.recipe.seed) if isinstance(data, PythiaData) else _files_digest(data)
    key = digest(STEP_FORMAT, version("jetgate"), data, chain.recipe.seed, chain.recipe.inputs, content)
    record = step(chain.model_folder, "features", key, [path], compute)
    with np.load(path, allow_pickle=False) as stored:
        return FeatureDataset(
            stored["values"], tuple(record["names"]), stored["labels"], tuple(record["class_names"]), stored["weights"],
            stored["events"], Origin(**record["origin"]),
        )  # fmt: skip


def _compute_features(chain: Chain) -> FeatureDataset:
    data, wanted = chain.recipe.data, chain.recipe.inputs.features
    if isinstance(data, TableData):
        table = read_table(data)
        if wanted is None:
            return table
        unknown = [name for name in wanted if name not in table.names]
        if unknown:
            raise InputError(
                f"inputs.features: the table has no {unknown[0]!r}; nearest: {nearest(unknown[0], table.names)}"
            )
        columns = [table.names.index(name) for name in wanted]
        return FeatureDataset(
            table.values[:, columns], wanted, table.labels, table.class_names, table.weights, table.events, table.origin
        )
    parts, pts = [], []
    for block in jets(chain):
        parts.append(jet_features(block, wanted or tuple(JET_FEATURES), chain.workers))
        pts.append(block.kinematics()["pt_gev"])
    whole = concatenate_features(parts)
    if isinstance(data, RootData):
        weights = final_weights(data, np.concatenate(pts), whole.labels, whole.weights)
        whole = FeatureDataset(
            whole.values, whole.names, whole.labels, whole.class_names, weights, whole.events, whole.origin
        )
    return whole


def _files_digest(data: RootData | TableData | ToyData) -> list[list[str]]:
    """Digest of every file that the recipe reads."""
    if isinstance(data, RootData):
        paths = [path for _, group in input_files(data) for path in group]
    elif isinstance(data, TableData):
        paths = matching(data.files)
    else:
        paths = []
    return [[str(path), file_digest(path)] for path in paths]


def splits(recipe: Recipe, sample: FeatureDataset) -> dict[Split, NDArray[np.bool_]]:
    """Which jets are for training, validation and test."""
    return split_by_event(sample.events, recipe.seed, recipe.training.validation, recipe.training.test)


# ------------------------------------------------------------------------------------------------------------- networks


def contract_of(recipe: Recipe, sample: FeatureDataset) -> InputSpec:
    """The input contract: standardised on the training jets alone."""
    learn = sample.take(splits(recipe, sample)[Split.TRAIN])
    units = recipe.data.units if isinstance(recipe.data, TableData) else JET_FEATURES
    return standardised(
        learn.values, learn.names, tuple(units.get(name, "1") for name in learn.names), learn.weights,
        recipe.inputs.format, learn.class_names,
    )  # fmt: skip


def train(chain: Chain, sample: FeatureDataset, which: str) -> dict[str, Any]:
    """Train the `quantised` or the `float` network, once; returns the step's record."""
    recipe, folder = chain.recipe, chain.model_folder / which
    quantization = recipe.quantization if which == "quantised" else None

    def fit() -> dict[str, Any]:
        start_keras()
        from models.trained import TrainedModel
        from models.training import Batch
        from models.training import train as fit_network

        chain.report.say(f"training the {which} network")
        contract = contract_of(recipe, sample)
        parts = splits(recipe, sample)

        def batch(split: Split) -> Batch:
            one = sample.take(parts[split])
            # The quantised network sees what the wire carries; the float network what was there before.
            inputs = (
                contract.scaled(one.values) if quantization is None else contract.values(contract.codes(one.values))
            )
            return Batch(inputs.reshape(len(one), *contract.network_shape), one.labels, one.weights)

        with chain.report.progress(f"{which} network") as progress:
            network, history = fit_network(
                recipe.network, contract, len(sample.class_names), quantization, recipe.training, recipe.seed,
                batch(Split.TRAIN), batch(Split.VALIDATION), lambda done, total: progress("epochs", done, total),
            )  # fmt: skip
        trained = TrainedModel(network, contract, history)
        trained.save(folder)
        return {"digest": trained.digest(), "epochs": len(history["loss"]), "parameters": int(network.count_params())}

    key = digest(
        STEP_FORMAT, version("jetgate"), sample.digest(), recipe.network, quantization, recipe.training, recipe.inputs,
        recipe.seed, _keras_versions(),
    )  # fmt: skip
    outputs = [folder / name for name in ("model.keras", "contract.yaml", "history.json")]
    return step(chain.model_folder, which, key, outputs, fit)


def _keras_versions() -> list[str]:
    import os

    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    engine = "jax" if backend == "jax" else "tensorflow"
    return [backend, version("keras"), version("qkeras-v3"), version(engine)]


def load_trained(chain: Chain, which: str) -> TrainedModel:
    """A network that `train` made."""
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
    """Float, quantised and firmware scores on the held-out jets, their figures of merit, and the figures; once."""
    path, plots = chain.folder / "performance.json", chain.folder / "plots"
    names = ("groomed_mass", "roc", "history", "scores")
    networks = {which: read_json(chain.model_folder / "steps" / f"{which}.json") for which in ("float", "quantised")}

    def evaluate() -> None:
        start_keras()
        chain.report.say("performance of float, quantised and firmware scores")
        comparison, logits = _scores(chain, sample, record, emulation)
        write_json(path, {**comparison.summary(), "test_jets": len(next(iter(logits.values()))),
                          "mass_peaks": _mass_peaks(sample)})  # fmt: skip
        _draw(chain, sample, logits, plots)

    key = digest(
        STEP_FORMAT, version("jetgate"), {name: one["digest"] for name, one in networks.items()}, sample.digest(),
        emulation.sources_digest, emulation.physics,
    )  # fmt: skip
    outputs = [path, *(plots / f"{name}{suffix}" for name in names for suffix in (".svg", ".png"))]
    outputs = [one for one in outputs if one.stem != "groomed_mass" or "mass_gev" in sample.names]
    step(chain.folder, "performance", key, outputs, evaluate)
    performance: dict[str, Any] = read_json(path)
    return performance


def _scores(
    chain: Chain, sample: FeatureDataset, record: Mapping[str, Any], emulation: EmulationResult
) -> tuple[Comparison, dict[str, NDArray[np.float64]]]:
    from models.training import logits as network_logits
    from trigger.decision.efficiency import compare

    test = sample.take(splits(chain.recipe, sample)[Split.TEST])
    quantised, floating = load_trained(chain, "quantised"), load_trained(chain, "float")
    contract = quantised.contract
    project = open_project(chain, record)
    assert emulation.physics is not None
    shape = (len(test), *contract.network_shape)
    logits = {
        "float": network_logits(floating.network, contract.scaled(test.values).reshape(shape)),
        "quantised": network_logits(quantised.network, contract.values(contract.codes(test.values)).reshape(shape)),
        "firmware": project.manifest.outputs.fixed_point.values(emulation.physics),
    }
    return compare(logits, test.labels, test.class_names, test.weights, test.events, chain.recipe.seed), logits


def _mass_peaks(sample: FeatureDataset) -> dict[str, dict[str, float | None]]:
    from trigger.inputs.observables import mass_peak

    if "mass_gev" not in sample.names:
        return {}
    peaks = {
        name: mass_peak(sample.column("mass_gev")[sample.labels == label])
        for label, name in enumerate(sample.class_names)
        if name in ("W", "Z", "top", "higgs")
    }
    return {
        name: {what: float(value) if np.isfinite(value) else None for what, value in vars(peak).items()}
        for name, peak in peaks.items()
    }


def _draw(chain: Chain, sample: FeatureDataset, logits: dict[str, NDArray[np.float64]], plots: Path) -> None:
    from trigger.plots import tagging
    from trigger.plots.style import save

    simulated = sample.origin.kind in ("pythia", "toy")
    test = sample.take(splits(chain.recipe, sample)[Split.TEST])
    histories = {which: read_json(chain.model_folder / which / "history.json") for which in ("quantised", "float")}
    if "mass_gev" in sample.names:
        save(tagging.mass_by_class(sample, simulated), plots / "groomed_mass")
    save(tagging.roc(logits, test.labels, test.weights, test.class_names, simulated), plots / "roc")
    save(tagging.history(histories, simulated), plots / "history")
    save(tagging.scores(logits["firmware"], test.labels, test.weights, test.class_names, simulated), plots / "scores")


# -------------------------------------------------------------------------------------------------------------- verdict


def conclude(
    chain: Chain, sample: FeatureDataset, emulation: EmulationResult, mutation: Mapping[str, Any] | None,
    performance: Mapping[str, Any], bench: Requirement,
) -> Verdict:  # fmt: skip
    """Hold everything to what is required, and write it down."""
    from firmware.budget import judge
    from trigger.app.signoff import requirements
    from trigger.app.synthesis import estimate_requirement, latest

    firmware = read_json(chain.folder / "steps" / "firmware.json")
    project = open_project(chain, firmware)
    reports = latest(project, emulation.timing)
    told = (bench, estimate_requirement(project), *judge(chain.target, reports))
    verdict = Verdict(
        requirements=requirements(chain.recipe, sample, emulation, mutation, performance, firmware["clipped"], told),
        synthetic=sample.origin.synthetic,
    )
    write_json(chain.folder / "run.json", _provenance(chain, firmware))
    verdict.save(chain.folder / "verdict.json")
    return verdict


def _provenance(chain: Chain, firmware: Mapping[str, Any]) -> dict[str, Any]:
    """Digests of the content of every product, and the versions that made them."""
    steps = {
        name: read_json(folder / "steps" / f"{name}.json")
        for folder, names in (
            (chain.model_folder, ("features", "quantised", "float")),
            (chain.folder, ("emulation", "mutation", "testbench", "open")),
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
        "seconds": {name: one["seconds"] for name, one in steps.items()},
        "versions": {name: version(name) for name in ("jetgate", "keras", "qkeras-v3", "hls4ml", "numpy")},
    }
