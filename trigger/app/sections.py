"""What a sign-off page says, section by section, as data: taken from what a finished run left on disk."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from firmware.reports.report import RESOURCES, SynthesisReport
from trigger.app.finished import PLOTS, FinishedRun
from trigger.app.merit_tables import detector_tables, tagger_tables
from trigger.app.page_parts import Cell, Figure, Section, Table, flattened
from trigger.app.report_tables import module_rows, report_rows
from trigger.data.jets import Split, split_by_event
from trigger.errors import InputError
from trigger.files import read_json
from trigger.verdict import Requirement, Status

RATES = "rates.json"
CAPTIONS = {
    "spectra": ("data", "Spectra of the sample, by class."),
    "groomed_mass": ("data", "Groomed mass, by class, each normalised to 1."),
    "average_images": ("data", "Mean image of each class, weighted, on one logarithmic colour scale."),
    "image_differences": ("data", "Mean image of each class minus that of the first class."),
    "history": ("training", "Loss by epoch, in training and in validation."),
    "roc": (
        "quantisation",
        "Background against signal efficiency on the held-out rows: float, quantised and firmware.",
    ),
    "scores": ("quantisation", "Scores of the firmware on the held-out rows, by class."),
    "cuts": (
        "quantisation",
        "Efficiency of the score, of single cuts and of their menu, at the same share of the background.",
    ),
}
"""Section and caption of the figures that are known; others come last, by their names."""


class Rates(BaseModel):
    """What `rates.json` must hold to be shown; what else it holds is left alone."""

    tables: tuple[Table, ...] = ()
    figures: dict[str, str] = {}  # file to caption


def sections(run: FinishedRun, reports: Mapping[str, SynthesisReport]) -> tuple[Section, ...]:
    """Every section of the page but the verdict.

    Args:
        run: The run.
        reports: What is known of the firmware's size and timing, by stage.

    Raises:
        InputError: A file of the run is missing or damaged; it is named.
    """
    rates = _read_rates(run)
    try:
        found = [_data(run), _training(run), _quantisation(run), _bits(run), _synthesis(run, reports), _rates(rates)]
        found.append(_provenance(run))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{run.folder}: files of this run are damaged or of another version ({what}); run the recipe again"
        ) from error
    return _with_figures(run, found, rates)


def unit_of(requirement: Requirement) -> str:
    """Unit of a requirement's figure, as far as its name and limit say; empty where it is a share or unknown."""
    subject, _, what = requirement.name.partition(":")
    if "%" in requirement.limit:
        return "%"
    for suffix, unit in (
        ("_ns", "ns"),
        ("_cycles", "clocks"),
        ("_crossings", "bunch crossings"),
        ("_w", "W"),
        ("_gev", "GeV"),
    ):
        if what.endswith(suffix):
            return unit
    if what.startswith("mass_peak"):
        return "GeV"
    named = {
        "bits": "differing codes",
        "latency": "clocks",
        "overflow": "accumulators",
        "testbench": "differing outputs",
        "rate": "kHz",
    }
    return "rows" if requirement.name == "data:rows" else named.get(subject, "")


def _settings(title: str, settings: Mapping[str, Any], note: str = "") -> Table:
    return Table(title=title, rows=tuple(flattened(settings)), note=note)


# ------------------------------------------------------------------------------------------------------- data, training


def _data(run: FinishedRun) -> Section:
    """What the run learnt from and was measured on."""
    recipe, record = run.recipe, run.step("features", of_models=True)
    origin = record["origin"]
    clipped = run.step("firmware")["clipped"]
    worst = max(clipped, key=lambda name: clipped[name])
    contract = run.project.contract
    seen: list[tuple[Cell, ...]] = [
        ("inputs of the network", len(contract.inputs)),
        ("format on the wire", str(contract.common_format)),
        ("largest share of values out of its range", clipped[worst]),
        ("of the input", worst),
    ]
    tables = [
        _settings("Source and selection", recipe.data.model_dump(mode="json"), "The block 'data' of the recipe."),
        _counts(run, record),
        *_processes(origin["details"]),
        _settings("Inputs", recipe.inputs.model_dump(mode="json"), "The block 'inputs' of the recipe."),
        Table(title="Input contract", rows=tuple(seen)),
        *_mass_peaks(run.content("performance.json").get("mass_peaks", {})),
    ]
    notes = ["A synthetic sample: nothing physical follows from it."] if origin["synthetic"] else []
    return Section(name="data", title="Data", notes=tuple(notes), tables=tuple(tables))


def _counts(run: FinishedRun, record: Mapping[str, Any]) -> Table:
    """Rows of each class in each split."""
    recipe, path = run.recipe, run.models / "features.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels, events = stored["labels"], stored["events"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read: {error}; run the recipe again") from error
    parts = split_by_event(events, recipe.seed, recipe.training.validation, recipe.training.test)
    learnt = recipe.training.classes or tuple(record["class_names"])
    rows: list[tuple[Cell, ...]] = []
    for label, name in enumerate(record["class_names"]):
        own = labels == label
        each = [int((own & parts[split]).sum()) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)]
        rows.append((name, int(own.sum()), *each, name in learnt))
    every = [int(parts[split].sum()) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)]
    rows.append(("all", len(labels), *every, ""))
    columns = ("class", "rows", "training split", "validation split", "held out", "trained on")
    return Table(
        title="Samples and classes", columns=columns, rows=tuple(rows),
        note="Split by event. All figures of merit are of the held-out rows, which neither training nor its stopping saw.",
    )  # fmt: skip


def _processes(details: Mapping[str, Any]) -> list[Table]:
    """What a generator says of its processes, where there was one."""
    found = []
    if isinstance(processes := details.get("processes"), Mapping):
        rows = tuple((name, one.get("events"), one.get("cross_section_pb")) for name, one in processes.items())
        found.append(Table(title="Generated processes", columns=("process", "events", "cross section, pb"), rows=rows))
    if isinstance(sections_pb := details.get("cross_section_pb"), Mapping):
        found.append(
            Table(title="Generated signals", columns=("signal", "cross section, pb"), rows=tuple(sections_pb.items()))
        )
    return found


def _mass_peaks(peaks: Mapping[str, Any]) -> list[Table]:
    if not peaks:
        return []
    rows = tuple(
        (
            name,
            {"value": one["position_gev"], "uncertainty": one["uncertainty_gev"]},
            one["below"],
            one["threshold_gev"],
        )
        for name, one in peaks.items()
    )
    columns = ("class", "peak, GeV", "share of jets below", "threshold, GeV")
    return [Table(title="Peaks of the groomed mass", columns=columns, rows=rows)]


def _training(run: FinishedRun) -> Section:
    """How each network was trained."""
    rows: list[tuple[Cell, ...]] = []
    for name, record in run.networks().items():
        history = _history(run, name)
        best = int(np.argmin(history["val_loss"]))
        rows.append((
            name.replace("_", " "), record["parameters"], record["epochs"], best + 1, history["loss"][best],
            history["val_loss"][best], record["seconds"],
        ))  # fmt: skip
    columns = (
        "network",
        "parameters",
        "epochs",
        "best epoch",
        "training loss there",
        "validation loss there",
        "seconds",
    )
    recipe = run.recipe
    tables = (
        Table(title="Networks", columns=columns, rows=tuple(rows), note="The weights of the best epoch are kept."),
        _settings("Network", recipe.network.model_dump(mode="json"), "The block 'network' of the recipe."),
        _settings("Training", recipe.training.model_dump(mode="json"), "The block 'training' of the recipe."),
    )
    return Section(name="training", title="Training", tables=tables)


def _history(run: FinishedRun, network: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = read_json(run.models / network / "history.json")
    return found


# --------------------------------------------------------------------------------------------------------- quantisation


def _quantisation(run: FinishedRun) -> Section:
    """Float, quantised and firmware side by side."""
    performance = run.content("performance.json")
    formats = dict(flattened(run.recipe.quantization.model_dump(mode="json")))
    manifest = run.project.manifest
    ports = {"input port": manifest.inputs.format, "output port": manifest.outputs.format}
    merit = detector_tables(performance) if performance["task"] == "anomaly" else tagger_tables(performance)
    notes = ["Uncertainties are one standard deviation; losses are paired, row by row."]
    if run.verdict.synthetic:
        notes.insert(0, "A synthetic sample: nothing physical follows from these figures.")
    tables = (*merit, Table(title="Formats", rows=tuple({**formats, **ports}.items())))
    return Section(name="quantisation", title="Quantisation", notes=tuple(notes), tables=tables)


# ----------------------------------------------------------------------------------------------------------------- bits


def _bits(run: FinishedRun) -> Section:
    """What was compared, whether the comparison could fail, and what can overflow."""
    emulation, mutation = run.content("emulation.json"), run.optional("mutation.json")
    engines = list(dict.fromkeys(one["engine"] for one in emulation["agreements"]))
    agreements = tuple(
        (one["engine"], one["vectors"], one["events"], one["codes"], one["differing_codes"], one["differing_events"])
        for one in sorted(emulation["agreements"], key=lambda one: engines.index(one["engine"]))
    )
    columns = ("engine", "vectors", "events", "codes compared", "differing codes", "differing events")
    note = f"{emulation['codes_compared']:,} codes compared with the quantised network in float64, "
    note += f"{emulation['differing_codes']:,} differ."
    tables = [Table(title="Comparison, code by code", columns=columns, rows=agreements, note=note)]
    if emulation["absent"]:
        absent = tuple((name, "NOT MEASURED", reason) for name, reason in emulation["absent"].items())
        tables.append(Table(title="Engines that were not run", columns=("engine", "status", "reason"), rows=absent))
    if emulation["divergences"]:
        parted = tuple((one["engine"], one["layer"], one["sentence"]) for one in emulation["divergences"])
        heads = ("engine", "first layer that differs", "what was found")
        tables.append(Table(title="First differences", columns=heads, rows=parted))
    notes = []
    if mutation is None:
        notes.append("Mutation: not measured; none were asked for, or the bits differ without any fault.")
    else:
        tables += _mutants(mutation)
    tables.append(_overflow(emulation["overflow"]))
    proofs = tuple(emulation["integer_proofs"].items())
    if proofs:
        tables.append(
            Table(title="Exactness of the integer engine", columns=("layer", "carried exactly by"), rows=proofs)
        )
    return Section(name="bits", title="Bits", notes=tuple(notes), tables=tuple(tables))


def _mutants(mutation: Mapping[str, Any]) -> list[Table]:
    counts = tuple((key, mutation[key]) for key in ("mutants", "caught", "equivalent", "survived", "score"))
    outcomes = tuple(
        (one["fate"], one["kind"], one["layer"], one["file"], one["what"], one["reason"])
        for one in mutation["outcomes"]
    )
    columns = ("fate", "kind", "layer", "file", "what was changed", "found by, or why it changes nothing")
    note = "Faults put into copies of the firmware. The score is the share caught of those that change anything."
    return [
        Table(title="Mutation", rows=counts, note=note),
        Table(title="Mutants", columns=columns, rows=outcomes),
    ]


def _overflow(nodes: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for one in nodes:
        scale = 2.0 ** -one["fraction"]
        outside = [one[end] / one["tried"] if one["tried"] else None for end in ("below", "above")]
        span = f"{one['low'] * scale:g}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{one['high'] * scale:g}"
        rows.append(
            (one["layer"], one["kind"], one["declared"], span, one["safety"], *outside, one["spare_bits"], one["safe"])
        )
    columns = ("layer", "what", "declared", "values that can come", "overflow", "share below", "share above", "spare bits",
               "format that holds all")  # fmt: skip
    note = "Shares are of the values that the vectors gave. A rectifier saturates below by design."
    return Table(title="Overflow", columns=columns, rows=tuple(rows), note=note)


# ------------------------------------------------------------------------------------------------------------ synthesis


def _synthesis(run: FinishedRun, reports: Mapping[str, SynthesisReport]) -> Section:
    """What is known of size and timing, by stage, against the budget."""
    target = run.target
    stages = set(type(target.budget).model_fields)
    held = [one for one in run.verdict.requirements if one.name.partition(":")[0] in stages]
    budget = tuple(
        (one.name.partition(":")[0], one.name.partition(":")[2], str(one.status), shown_figure(one), unit_of(one), one.limit,
         one.required) for one in held
    )  # fmt: skip
    about = (("target", target.name), ("part", target.part), ("clock asked for, ns", target.clock_ns),
             ("backend", f"{target.backend.kind}, {target.backend.tool}, {target.backend.io}"))  # fmt: skip
    columns = ("stage", "figure", "status", "found", "unit", "limit", "required")
    tables = [Table(title="Target", rows=about), Table(title="Budget", columns=columns, rows=budget)]
    for name, report in reports.items():
        label = report.stage.label if report.stage else "stage not known"
        title = label if report.stage == name else f"{name} ({label})"
        tables.append(Table(title=f"Report: {title}", rows=tuple(report_rows(report))))
        tables.append(_resources(title, report))
        if report.modules:
            columns = ("module", "latency", "interval", "LUT", "FF", "DSP", "BRAM18")
            tables.append(Table(title=f"Largest modules: {title}", columns=columns, rows=tuple(module_rows(report))))
    without = [
        one for one in dict.fromkeys(row[0] for row in budget) if one not in {str(r.stage) for r in reports.values()}
    ]
    notes = [f"No report of the stage {stage}: not measured." for stage in without]
    notes.append("A time in ns before placement and routing is clocks times the period asked for: timing not closed.")
    return Section(name="synthesis", title="Synthesis", notes=tuple(notes), tables=tuple(tables))


def _resources(title: str, report: SynthesisReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in RESOURCES:
        shares = [report.share(name), report.share(name, of_slr=True)]
        percent = [None if share is None else 100 * share for share in shares]
        rows.append((name.upper(), report.figure(name), getattr(report.available, name), *percent))
    columns = ("resource", "used", "available", "of the device, %", "of one die, %")
    return Table(title=f"Resources: {title}", columns=columns, rows=tuple(rows))


def shown_figure(requirement: Requirement) -> Cell:
    """Figure of a requirement with its uncertainty, or that it was not measured."""
    if requirement.figure is None:
        return "not measured" if requirement.status is Status.NOT_MEASURED else None
    if requirement.uncertainty is None:
        return requirement.figure
    return {"value": float(requirement.figure), "uncertainty": requirement.uncertainty}


# ------------------------------------------------------------------------------------------------- rates and provenance


def _read_rates(run: FinishedRun) -> Rates | None:
    content = run.optional(RATES)
    if content is None:
        return None
    path = run.folder / RATES
    try:
        rates = Rates.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise InputError(
            f"{path}: 'tables' of title, columns, rows, note and 'figures' in plots/ with captions would be right; {faults}"
        ) from error
    ragged = [one.title for one in rates.tables if any(len(row) != len(one.columns or row) for row in one.rows)]
    if ragged:
        raise InputError(f"{path}: table {ragged[0]!r} has rows of another length than its columns")
    missing = [name for name in rates.figures if Path(name).name != name or not (run.folder / PLOTS / name).is_file()]
    if missing:
        raise InputError(f"{path}: figure {missing[0]!r} is not in {run.folder / PLOTS}")
    return rates


def _rates(rates: Rates | None) -> Section:
    """Rates, thresholds, menu, efficiencies and stability, where they were measured."""
    title = "Rates and menu"
    if rates is None:
        return Section(name="rates", title=title, notes=("Rates, thresholds, menu and stability: not measured.",))
    return Section(name="rates", title=title, tables=rates.tables)


def _provenance(run: FinishedRun) -> Section:
    """Of what, by what and how it was made."""
    record = run.record
    digests = [(name, value) for name, value in record["digests"].items()]
    manifest = run.project.manifest
    digests += [
        ("network in the firmware", manifest.network),
        ("sources compared", run.content("emulation.json")["sources_digest"]),
    ]
    versions = {**manifest.versions, **record["versions"]}
    name, project = shlex.quote(run.folder.name), run.project_folder.name
    commands = (
        ("the whole run again", f"jetgate run runs/{name}/recipe.yaml --target runs/{name}/target.yaml"),
        ("whether anything changed since", f"jetgate verify runs/{name}"),
        ("the comparison of bits alone", f"jetgate emulate vivado_projects/{project}"),
        ("this page", f"jetgate page runs/{name}"),
    )
    about = (("recipe", record["recipe"]), ("target", record["target"]), ("run", f"runs/{name}"),
             ("networks", f"runs/models/{run.models.name}"), ("firmware", f"vivado_projects/{project}"),
             ("seed", str(run.recipe.seed)),
             ("changed by --set", ", ".join(record.get("overrides", [])) or "nothing"))  # fmt: skip
    tables = (
        Table(title="What was run", rows=about),
        Table(title="Digests of content (SHA-256)", rows=tuple(digests)),
        Table(title="Versions", rows=tuple(sorted(versions.items()))),
        Table(title="Time of each step, s", rows=tuple(record.get("seconds", {}).items())),
        Table(
            title="Commands that repeat it",
            rows=commands,
            note="From the folder that holds runs/ and vivado_projects/.",
        ),
    )
    return Section(name="provenance", title="Provenance", tables=tables)


# -------------------------------------------------------------------------------------------------------------- figures


def _with_figures(run: FinishedRun, found: Sequence[Section], rates: Rates | None) -> tuple[Section, ...]:
    """Every figure in `plots/` in exactly one section."""
    files = sorted(path.name for path in (run.folder / PLOTS).glob("*.svg"))
    placed: dict[str, list[Figure]] = {section.name: [] for section in found}
    further: list[Figure] = []
    order = {f"{name}.svg": number for number, name in enumerate(CAPTIONS)}
    for file in sorted(files, key=lambda name: (order.get(name, len(order)), name)):
        section, caption = CAPTIONS.get(file.removesuffix(".svg"), ("", _spelled(file)))
        if rates is not None and file in rates.figures:
            section, caption = "rates", rates.figures[file]
        placed.get(section, further).append(Figure(file=file, caption=caption))
    whole = [one.model_copy(update={"figures": tuple(placed[one.name])}) for one in found]
    if further:
        whole.insert(-1, Section(name="further", title="Further figures", figures=tuple(further)))
    return tuple(whole)


def _spelled(file: str) -> str:
    return file.removesuffix(".svg").replace("_", " ").capitalize() + "."
