"""What the trigger will do with a detector of anomalies: rates, thresholds on integers, and what they cost.

Crossings of a sample of their own, which no network was trained on, go through the firmware's C++; thresholds are codes of
its output. Minimum bias is stitched with crossings that hold one collision of QCD jets of a slice of pTHat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.app.chain import network_inputs
from trigger.app.console import Reporter, start_keras
from trigger.app.finished import PLOTS, FinishedRun
from trigger.app.page import write_page
from trigger.app.rate_tables import draw_rates, rate_tables
from trigger.app.sections import RATES
from trigger.config import dump
from trigger.data.events import MET, OBJECTS, REGION_BITS, SUMS, EventDataset, read_events
from trigger.data.generate_events import EventData, folds, generate_events
from trigger.decision.acceptance import efficiency
from trigger.decision.cost import Cost, cost
from trigger.decision.menu import Menu, Seed, menu_rates
from trigger.decision.rates import Crossings
from trigger.decision.sharing import Shared, shared_out
from trigger.decision.thresholds import RateCurve, Threshold, rate_curve
from trigger.errors import InputError
from trigger.files import write_json, write_text
from trigger.fixed_point import Codes
from trigger.inputs.objects import single_counts
from trigger.verdict import Requirement, Verdict, at_most, not_measured

if TYPE_CHECKING:
    from firmware.project import FirmwareProject

NETWORK, FLOAT, QUANTISED = "network", "float", "quantised"
OTHER_SEED = 1_000_003
"""Added to the recipe's seed: crossings that rates are counted from are not those that the network learnt from."""
SHIFTS = {"energy scale +3 %": 1.03, "energy scale -3 %": 0.97}
SMEARING = 0.05
Scores = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Rates:
    """What is known of a detector's rates.

    Attributes:
        run: The run.
        menu: What was asked.
        crossings: Background, stitched.
        signals: Scores of each signal.
        curve: Rate for every code of the firmware's score.
        thresholds: For each target rate.
        costs: For each target rate what the firmware's integers cost against the float network.
        seeds: Rates of the menu's own seeds, and of the network beside them.
        alone: The menu's rate shared out among its seeds alone.
        beside: The same with the network as one more seed.
        stability: Rate at the last resolved threshold, relative to what it is undisturbed, by what is disturbed.
        verdict: What is required of it.
    """

    run: FinishedRun
    menu: Menu
    crossings: Crossings
    signals: dict[str, Scores]
    curve: RateCurve
    thresholds: tuple[Threshold, ...]
    costs: tuple[Cost | None, ...]
    seeds: dict[str, Any]
    alone: Shared | None
    beside: Shared | None
    stability: dict[str, float]
    verdict: Verdict

    def summary(self) -> dict[str, Any]:
        """As `rates.json` holds it."""
        return {
            "menu": self.menu.model_dump(mode="json"),
            "sample": self.crossings.summary(),
            "curve": self.curve.summary(),
            "thresholds": [
                {
                    **one.summary(),
                    "efficiency": {} if one.code is None else {
                        name: efficiency(scores[NETWORK], one.code).summary() for name, scores in self.signals.items()
                    },
                }
                for one in self.thresholds
            ],
            "quantisation": [None if one is None else one.summary() for one in self.costs],
            "seeds": self.seeds,
            "shared_out": {
                name: None if one is None else one.summary() for name, one in (("alone", self.alone), ("beside", self.beside))
            },
            "stability": self.stability,
            "verdict": self.verdict.model_dump(mode="json"),
        }  # fmt: skip


def rates(folder: Path, menu: Menu, workers: int, report: Reporter) -> Rates:
    """Rates of a finished run under a menu; `rates.json`, `menu.yaml` and the page in its folder say them.

    Args:
        folder: A finished run of a detector of anomalies on simulated crossings.
        menu: Rates that are asked for, other seeds, and how large the sample is.
        workers: Processes and threads.
        report: Told of progress.

    Raises:
        InputError: The run is of another kind, the firmware was edited since, or the menu names an unknown score.
    """
    run = FinishedRun.open(folder)
    data = _data(run, menu)
    run.project.require_unedited()
    with report.progress("collisions") as progress:
        path = generate_events(
            data, run.recipe.seed + OTHER_SEED, run.out / "runs" / "data", workers=workers, progress=progress
        )
    start_keras()
    events = read_events(path)
    report.say("scores of every crossing")
    scores = _scores(run, events, workers)
    names = events.class_names
    is_signal = np.isin(events.labels, [names.index(name) for name in data.signals])
    crossings = _crossings(events, ~is_signal, scores, data, run.recipe.seed + OTHER_SEED, menu.total_hz)
    signals: dict[str, Scores] = {
        name: {which: one[events.labels == names.index(name)] for which, one in scores.items()} for name in data.signals
    }
    port = run.project.manifest.outputs.fixed_point
    curve = rate_curve(crossings, NETWORK, port.max_code)
    report.say("thresholds and the menu")
    thresholds = tuple(curve.threshold_for(1e3 * khz) for khz in menu.rates_khz)
    costs = tuple(
        cost(crossings, signals, FLOAT, NETWORK, one.target_hz, run.recipe.seed, port.step) if one.resolved else None
        for one in thresholds
    )
    network = Seed(name=NETWORK, score=NETWORK, rate_khz=menu.rates_khz[0])
    alone, beside = _shared(crossings, signals, menu, network, run.recipe.seed)
    report.say("stability")
    stability = _stability(run, events, ~is_signal, crossings, thresholds, workers)
    stability |= _against_pileup(crossings, events.collisions, ~is_signal, thresholds)
    found = Rates(
        run, menu, crossings, signals, curve, thresholds, costs,
        menu_rates(crossings, (*menu.seeds, network)).summary(), alone, beside, stability,
        Verdict(requirements=_requirements(menu, thresholds, costs, stability), synthetic=False),
    )  # fmt: skip
    figures = draw_rates(found, run.folder / PLOTS)
    tables = [one.model_dump(mode="json") for one in rate_tables(found)]
    write_text(run.folder / "menu.yaml", dump(menu))
    write_json(run.folder / RATES, {"tables": tables, "figures": list(figures), **found.summary()})
    write_page(folder)
    return found


def _data(run: FinishedRun, menu: Menu) -> EventData:
    data, wanted = run.recipe.data, menu.sample
    if not isinstance(data, EventData) or run.recipe.network.task != "anomaly":
        raise InputError(
            f"{run.folder}: a {run.recipe.network.task} of data {data.kind!r}; rates in kHz are counted from crossings, of a "
            "detector on data of kind 'events'"
        )
    return EventData.model_validate({
        **data.model_dump(), "crossings": wanted.crossings, "pool": wanted.pool, "slices_gev": wanted.slices_gev,
        "crossings_per_slice": wanted.crossings_per_slice, "events_per_signal": wanted.events_per_signal,
        "pileup": data.pileup if wanted.pileup is None else wanted.pileup,
    })  # fmt: skip


def _scores(run: FinishedRun, events: EventDataset, workers: int) -> dict[str, NDArray[Any]]:
    """The firmware's codes, both networks' values, and the counts of single objects, of every event."""
    from models.trained import TrainedModel
    from models.training import logits

    seen: Any = run.recipe.inputs
    table = seen.table(events, workers)
    found: dict[str, NDArray[Any]] = {
        NETWORK: _firmware(run.project, run.project.contract.codes(table.values), workers)
    }
    for which in (QUANTISED, FLOAT):
        trained = TrainedModel.load(run.models / which)
        given = network_inputs(trained.contract, table, which == QUANTISED)
        found[which] = logits(trained.network, given)[:, 0]
    return found | single_counts(events)


def _firmware(project: FirmwareProject, codes: Codes, workers: int) -> Codes:
    """Output codes of the compiled C++, shape `(events,)`."""
    from firmware.engines import cpp

    return cpp.run(project, codes, workers)[:, 0]


def _crossings(
    events: EventDataset, rows: NDArray[np.bool_], scores: Scores, data: EventData, seed: int, total_hz: float
) -> Crossings:
    """The background, each crossing with the rate that it stands for."""
    assert events.source is not None
    hz = events.weights[rows] * (total_hz / data.crossings)  # the weights of stitched crossings sum up to these
    return Crossings(
        {name: one[rows] for name, one in scores.items()}, hz, events.source[rows], folds(events.events[rows], seed)
    )


def _shared(
    crossings: Crossings, signals: Mapping[str, Scores], menu: Menu, network: Seed, seed: int
) -> tuple[Shared | None, Shared | None]:
    """The menu's total rate shared out without and with the network."""
    if menu.total_khz is None:
        return None, None
    total_hz = 1e3 * menu.total_khz
    return (
        shared_out(crossings, signals, menu.seeds, total_hz, seed),
        shared_out(crossings, signals, (*menu.seeds, network), total_hz, seed),
    )


# ------------------------------------------------------------------------------------------------------------ stability


def _stability(
    run: FinishedRun, events: EventDataset, rows: NDArray[np.bool_], crossings: Crossings,
    thresholds: tuple[Threshold, ...], workers: int,
) -> dict[str, float]:  # fmt: skip
    """Rate at the last resolved threshold when the detector is disturbed, relative to the undisturbed one."""
    known = [one for one in thresholds if one.resolved and one.code is not None and one.rate is not None]
    if not known:
        return {}
    threshold, background = known[-1], events.take(rows)
    assert threshold.code is not None
    assert threshold.rate is not None
    disturbed: dict[str, Callable[[], EventDataset]] = {
        name: lambda factor=factor: scaled(background, np.full(len(background), factor))  # type: ignore[misc]
        for name, factor in SHIFTS.items()
    }
    generator = np.random.default_rng(run.recipe.seed)
    disturbed[f"energies smeared by {SMEARING:.0%}"] = lambda: scaled(
        background, generator.normal(1, SMEARING, len(background)).clip(0.5, 1.5)
    )
    if run.recipe.inputs.kind == "regions":
        disturbed["a dead region"] = lambda: with_region(background, 0)
        disturbed["a hot region"] = lambda: with_region(background, 2**REGION_BITS // 16)
    found = {}
    for name, make in disturbed.items():
        seen: Any = run.recipe.inputs
        codes = run.project.contract.codes(seen.table(make(), workers).values)
        passed = _firmware(run.project, codes, workers) >= threshold.code
        found[name] = float(crossings.rate_hz[passed].sum() / threshold.rate.hz)
    return found


def _against_pileup(
    crossings: Crossings,
    collisions: NDArray[np.int64] | None,
    rows: NDArray[np.bool_],
    thresholds: tuple[Threshold, ...],
) -> dict[str, float]:
    """Share of crossings of little and of much pileup that is accepted, over the share of all, at the last threshold."""
    known = [one for one in thresholds if one.resolved and one.code is not None]
    if not known or collisions is None:
        return {}
    code = known[-1].code
    assert code is not None
    number, passed = collisions[rows], crossings.codes(NETWORK) >= code
    middle = np.median(number)
    whole = crossings.rate_hz[passed].sum() / crossings.total_hz
    found = {}
    for name, part in (
        (f"pileup below {middle:g}", number < middle),
        (f"pileup of {middle:g} and more", number >= middle),
    ):
        if part.any():
            found[name] = float(crossings.rate_hz[passed & part].sum() / crossings.rate_hz[part].sum() / whole)
    return found


def scaled(events: EventDataset, factor: NDArray[np.float64]) -> EventDataset:
    """The events with all transverse energies multiplied, each event's by its own factor, and rounded to hardware steps.

    Muons are not of the calorimeter and stay as they are; missing energy keeps its direction.
    """

    def turned(counts: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
        by_event = factor.reshape(-1, *[1] * (counts.ndim - 1))
        changed: NDArray[np.int64] = np.minimum(np.rint(counts * by_event), 2**bits - 1).astype(np.int64)
        return changed

    columns = {}
    for name in ("egammas", "jets"):
        table = getattr(events, name).copy()
        pt = turned(table[:, :, 0], OBJECTS[name][0].pt_bits)
        table[pt == 0] = 0
        table[:, :, 0] = pt
        columns[name] = table
    met = np.stack([turned(events.met[:, 0], MET.pt_bits), events.met[:, 1]], axis=1)
    regions = None if events.regions is None else turned(events.regions, REGION_BITS)
    return replace(events, **columns, met=met, sums=turned(events.sums, SUMS.pt_bits), regions=regions)


def with_region(events: EventDataset, counts: int) -> EventDataset:
    """The events with one central region of the calorimeter that always reads the same."""
    if events.regions is None:
        raise InputError("these events have no calorimeter regions")
    regions = events.regions.copy()
    regions[:, regions.shape[1] // 2, regions.shape[2] // 2] = counts
    return replace(events, regions=regions)


# -------------------------------------------------------------------------------------------------------------- verdict


def _requirements(
    menu: Menu, thresholds: tuple[Threshold, ...], costs: tuple[Cost | None, ...], stability: Mapping[str, float]
) -> tuple[Requirement, ...]:
    found = []
    for threshold, one in zip(thresholds, costs, strict=True):
        khz = threshold.target_hz / 1e3
        name, limit = f"rate:{khz:g}_khz", f"<= {khz:g}"
        if not threshold.resolved or threshold.rate is None:
            found.append(not_measured(name, limit, required=True, note=threshold.note))
            continue
        rate = threshold.rate
        low, high = rate.interval_68
        note = (
            f"kHz at code {threshold.code}, 68 % interval {low / 1e3:.3g} to {high / 1e3:.3g}; {rate.sources:,} hardest "
            f"collisions, {rate.effective_events:.0f} effective; one code is {threshold.step_khz or 0:.3g} kHz"
        )
        found.append(at_most(name, rate.hz / 1e3, khz, required=True, uncertainty=rate.uncertainty / 1e3, note=note))
        if one is not None:
            change = one.rate_change_hz
            losses = ", ".join(
                f"{signal} {part.loss.value:+.3f} +- {part.loss.uncertainty:.3f}"
                for signal, part in one.signals.items()
            )
            worst = max(one.signals.values(), key=lambda part: part.loss.value).loss
            found.append(
                at_most(
                    f"quantisation:efficiency_at_{khz:g}_khz", worst.value, menu.limits.efficiency_loss, required=True,
                    uncertainty=worst.uncertainty,
                    note=f"largest loss of a signal against the float network at the same rate; {losses}; at the same threshold "
                    f"the rate changes by {change.value / 1e3:+.3g} +- {change.uncertainty / 1e3:.2g} kHz",
                )
            )  # fmt: skip
    name, limit = "stability:rate", f"<= {menu.limits.rate_change:g}"
    disturbed = {what: value for what, value in stability.items() if not what.startswith("pileup")}
    if not disturbed:
        note = "no threshold is resolved"
        return (*found, not_measured(name, limit, required=True, note=note))
    told = ", ".join(f"{what} x{value:.2f}" for what, value in stability.items())
    largest = max(abs(value - 1) for value in disturbed.values())
    return (*found, at_most(name, largest, menu.limits.rate_change, required=True,
                            note=f"largest relative change of the rate; {told}"))  # fmt: skip
