"""Runs side by side: what each detector or tagger is worth, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.project import FirmwareProject
from models.recipe import Recipe
from trigger.app.finished import FinishedRun
from trigger.errors import InputError

UNKNOWN = "not known"


@dataclass(frozen=True)
class Row:
    """One figure of every run.

    Attributes:
        name: What it is.
        unit: Its unit; empty where it has none.
        figures: One a run: a number, a number with its uncertainty, a text, or `None` where it is not known.
    """

    name: str
    unit: str
    figures: tuple[Any, ...]

    @property
    def title(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def cells(self) -> tuple[str, ...]:
        """As text."""
        return (self.title, *(_text(one) for one in self.figures))


@dataclass(frozen=True)
class _Run:
    """A finished run, and what is read of it more than once."""

    finished: FinishedRun
    recipe: Recipe
    performance: Mapping[str, Any]
    project: FirmwareProject


def compare_runs(folders: Sequence[Path]) -> tuple[tuple[str, ...], list[Row]]:
    """Names of runs, and a row for every figure that at least one of them has.

    Args:
        folders: Folders of finished runs, taggers or detectors of anomalies.

    Raises:
        InputError: A folder is not of a finished run, or one is of a tagger and another of a detector.
    """
    runs = [_read(folder) for folder in folders]
    tasks = {run.performance["task"] for run in runs}
    if len(tasks) > 1:
        raise InputError("taggers and detectors of anomalies have no figure in common; compare runs of one kind")
    if len({(str(run.recipe.data), run.recipe.seed, run.recipe.training.test) for run in runs}) > 1:
        samples = Row("held-out rows of", "", tuple(run.recipe.data.kind for run in runs))
    else:
        samples = Row("held-out rows, the same of all", "", tuple(run.performance["test_rows"] for run in runs))
    worth = _detectors(runs) if tasks == {"anomaly"} else _taggers(runs)
    names = tuple(run.recipe.name for run in runs)
    return names, [Row("network", "", tuple(run.recipe.network.kind for run in runs)), samples, *worth, *_cost(runs)]


def _read(folder: Path) -> _Run:
    finished = FinishedRun.open(folder)
    return _Run(finished, finished.recipe, finished.content("performance.json"), finished.project)


def _detectors(runs: list[_Run]) -> list[Row]:
    """AUC of every signal, and its efficiency at the fractions of the background that all runs have."""
    quality = [run.performance["detection"]["performance"]["firmware"] for run in runs]
    floating = [run.performance["detection"]["performance"]["float"] for run in runs]
    signals = list(dict.fromkeys(signal for one in quality for signal in one["auc"]))
    points = [{point["fraction"]: point for point in one["points"]} for one in quality]
    common = sorted(set.intersection(*(set(one) for one in points)), reverse=True)
    rows = [Row("mean AUC, firmware", "", tuple(one["mean_auc"] for one in quality)),
            Row("mean AUC, float", "", tuple(one["mean_auc"] for one in floating))]  # fmt: skip
    rows += [Row(f"AUC, {signal}", "", tuple(one["auc"].get(signal) for one in quality)) for signal in signals]
    for fraction in common:
        rows += [
            Row(f"efficiency at {fraction:g} of the background, {signal}", "",
                tuple(one[fraction]["efficiency"].get(signal) for one in points))
            for signal in signals
        ]  # fmt: skip
    if any("cuts" in run.performance for run in runs):
        for what, name in (("gain_over_best_cut", "best single cut"), ("gain_over_menu", "menu of cuts")):
            rows += [
                Row(f"gain over the {name}, {signal}", "", tuple(_gain(run, signal, what) for run in runs))
                for signal in signals
            ]
    return rows


def _gain(run: _Run, signal: str, what: str) -> Any:
    found = (run.performance.get("cuts") or {"signals": {}})["signals"].get(signal)
    return found and found[what]


def _taggers(runs: list[_Run]) -> list[Row]:
    """Accuracy and AUC in every form."""
    rows = []
    for form in ("float", "quantised", "firmware"):
        rows += [
            Row(f"{what}, {form}", "", tuple(run.performance["performance"][form][key] for run in runs))
            for what, key in (("macro AUC", "macro_auc"), ("accuracy", "accuracy"))
        ]
    rows.append(
        Row("accuracy lost by the firmware", "", tuple(run.performance["accuracy_loss"]["firmware"] for run in runs))
    )
    gains = [run.performance["auc_gain"].get("quantised") for run in runs]
    if any(gains):
        rows.append(Row("macro AUC over the baseline's, quantised", "", tuple(gains)))
    return rows


def _cost(runs: list[_Run]) -> list[Row]:
    """Size, time and bits of the firmware."""
    rtl = [run.project.manifest.rtl for run in runs]
    quantization = [run.recipe.quantization for run in runs]
    return [
        Row("parameters", "", tuple(int(run.finished.step("quantised", of_models=True)["parameters"]) for run in runs)),
        Row("input bits", "", tuple(_bits(run) for run in runs)),
        Row("weights", "", tuple(str(one.weight) for one in quantization)),
        Row("output", "", tuple(run.project.manifest.outputs.format for run in runs)),
        Row("target", "", tuple(run.project.target.name for run in runs)),
        Row("latency", "clocks", tuple(None if one is None else one.latency_cycles for one in rtl)),
        Row("latency, timing not closed", "ns", tuple(None if one is None else one.latency_cycles * one.clock_ns for one in rtl)),
        Row("look-up tables, alkaid's estimate", "", tuple(None if one is None else round(one.cost) for one in rtl)),
        Row("registers", "bits", tuple(None if one is None else one.registers for one in rtl)),
        Row("verdict", "", tuple(str(run.finished.verdict.overall) for run in runs)),
    ]  # fmt: skip


def _bits(run: _Run) -> str:
    wire = run.project.contract.common_format
    return f"{len(run.project.contract.inputs)} x {wire.width}"


def _text(figure: Any) -> str:
    match figure:
        case None:
            return UNKNOWN
        case {"value": value, "uncertainty": uncertainty}:
            if value is None:
                return UNKNOWN
            return f"{value:.4f}" if uncertainty is None else f"{value:.4f} ± {uncertainty:.4f}"
        case float():
            return f"{figure:,.1f}"
        case int():
            return f"{figure:,}"
        case _:
            return str(figure)
