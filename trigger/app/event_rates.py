"""Crossings as a detector of anomalies scores them, and what changes its scores.

Crossings of a sample of their own, which no network was trained on, go through the firmware's C++. Minimum bias is stitched
with crossings that hold one collision of QCD jets of a slice of pTHat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.app.console import Reporter
from trigger.app.scored import (
    FLOAT,
    QUANTISED,
    SHIFTS,
    Disturbed,
    FirmwareScore,
    Scored,
    Subject,
    firmware_codes,
    network_values,
    of,
)
from trigger.data.events import MET, OBJECTS, REGION_BITS, SUMS, EventDataset, read_events
from trigger.data.generate import SHOWERS
from trigger.data.generate_events import (
    EventData,
    crossing_rates,
    disturbed_events,
    folds,
    generate_events,
    slice_number,
)
from trigger.data.level1 import FAULTS
from trigger.decision.menu import RateSample
from trigger.decision.rates import Array, Crossings, Scores
from trigger.inputs.objects import single_counts

NETWORK = "network"
"""Name of the one score that a detector has."""
SMEARING = 0.05
LARGEST = {
    **{f"{name}_pt": 2 ** OBJECTS[f"{name}s"][0].pt_bits - 1 for name in ("muon", "egamma", "jet")},
    "met": 2**MET.pt_bits - 1,
    "ht": 2**SUMS.pt_bits - 1,
    "total_et": 2**SUMS.pt_bits - 1,
}
"""Largest count of every single object that a seed may cut on."""
OFFLINE = "HT of particle-level jets in GeV"
OFFLINE_EDGES_GEV = (0.0, 60.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 700.0, 1000.0)
Factors = Callable[[tuple[int, ...]], Array]


def sample_of(data: EventData, wanted: RateSample) -> EventData:
    """The recipe's crossings, as many and with the slices that rates want."""
    return EventData.model_validate({
        **data.model_dump(), "crossings": wanted.crossings, "pool": wanted.pool, "slices_gev": wanted.slices_gev,
        "crossings_per_slice": wanted.crossings_per_slice, "events_per_signal": wanted.events_per_signal,
        "pileup": data.pileup if wanted.pileup is None else wanted.pileup,
    })  # fmt: skip


def scored(
    subject: Subject, data: EventData, share: float, total_hz: float, seed: int, workers: int, report: Reporter
) -> Scored:
    """A sample of crossings with all scores.

    Args:
        subject: The firmware, of one output.
        data: What crossings are made.
        share: Part of the minimum-bias crossings that is made again with faulty towers.
        total_hz: Rate of filled crossings.
        seed: Seed of the sample; another one than the network's.
        workers: Processes and threads.
        report: Told of progress.
    """
    with report.progress("collisions") as progress:
        path = generate_events(data, seed, subject.samples, workers=workers, progress=progress)
    events = read_events(path)
    report.say("scores of every crossing")
    scores = network_scores(subject, events, workers) | single_counts(events)
    names = events.class_names
    background = np.flatnonzero(~np.isin(events.labels, [names.index(name) for name in data.signals]))
    rows: dict[str, NDArray[np.intp]] = {
        name: np.flatnonzero(events.labels == names.index(name)) for name in data.signals
    }
    assert events.source is not None
    assert events.offline_gev is not None
    assert events.collisions is not None
    crossings = Crossings(
        {name: one[background] for name, one in scores.items()},
        crossing_rates(data, events.take(background), total_hz), events.source[background],
        folds(events.events[background], seed),
    )  # fmt: skip
    signals: dict[str, dict[str, Scores]] = {
        name: {which: one[own] for which, one in scores.items()} for name, own in rows.items()
    }
    port = subject.project.manifest.outputs.fixed_point
    (output,) = subject.project.manifest.outputs.elements
    several = len(data.slices_gev) > 0
    # A collision of a slice was put in beside those that were counted.
    forced = slice_number(data, events.events[background]) > 0
    return Scored(
        crossings=crossings, signals=signals, scores=(FirmwareScore(NETWORK, output, (), port.max_code, port.step),),
        offline={name: events.offline_gev[own] for name, own in rows.items()}, offline_label=OFFLINE,
        offline_edges=OFFLINE_EDGES_GEV, largest=LARGEST,
        pileup=events.collisions[background] + forced,
        signal_pileup={name: events.collisions[own] for name, own in rows.items()},
        disturbed=_disturbances(
            subject, data, seed, share, total_hz, events, background, rows, crossings, signals, workers, report
        ),
        notes=(
            f"Minimum bias at a mean of {data.pileup:g} collisions from a pool of {data.pool:,}"
            + (f", stitched with {len(data.slices_gev)} slices of pTHat from {data.slices_gev[0]:g} GeV on." if several else "."),
            "A crossing is counted once, whatever is in it; collisions of neighbouring crossings are not overlaid.",
        ),
    )  # fmt: skip


def network_scores(subject: Subject, events: EventDataset, workers: int) -> dict[str, Scores]:
    """The firmware's codes and both networks' values of every event."""
    seen: Any = subject.recipe.inputs
    table = seen.table(events, workers)
    values = {of(NETWORK, which): network_values(subject, table, which)[:, 0] for which in (QUANTISED, FLOAT)}
    return {NETWORK: firmware_codes(subject, table, workers)[:, 0], **values}


# ------------------------------------------------------------------------------------------------------------ stability


def _disturbances(
    subject: Subject, data: EventData, seed: int, share: float, total_hz: float, events: EventDataset,
    background: NDArray[np.intp], rows: dict[str, NDArray[np.intp]], crossings: Crossings,
    signals: dict[str, dict[str, Scores]], workers: int, report: Reporter,
) -> dict[str, Callable[[], Disturbed]]:  # fmt: skip
    """Energies and towers of the detector, parton showers of the simulation."""

    def codes(sample: EventDataset) -> Scores:
        seen: Any = subject.recipe.inputs
        found: Scores = firmware_codes(subject, seen.table(sample, workers), workers)[:, 0]
        return found

    before = {name: {NETWORK: one[NETWORK]} for name, one in signals.items()}

    def energies(factors: Factors) -> Disturbed:
        found = codes(scaled(events, factors))
        after = {name: {NETWORK: found[own]} for name, own in rows.items()}
        return Disturbed(crossings, replace(crossings, scores={NETWORK: found[background]}), before, after)

    def shower(column: int) -> Disturbed:
        """Of crossings with a collision of a slice those alone in which it was put in, and so varied; with the rate of all."""
        assert events.showers is not None
        hz = crossing_rates(data, events.take(background), total_hz, varied=True)
        kept = np.flatnonzero(hz > 0)
        assert crossings.fold is not None
        before = Crossings(
            {NETWORK: crossings.score(NETWORK)[kept]}, hz[kept], crossings.source[kept], crossings.fold[kept]
        )
        return Disturbed(before, replace(before, rate_hz=before.rate_hz * events.showers[background, column][kept]))

    def towers(name: str) -> Disturbed:
        with report.progress(f"crossings with {name}") as progress:
            faulty = disturbed_events(
                data, seed, subject.samples, FAULTS[name], share=share, workers=workers, progress=progress
            )
        number = events.events[background]
        order = np.argsort(number)
        same = order[
            np.searchsorted(number, faulty.events, sorter=order)
        ]  # the undisturbed crossing of each faulty one
        assert crossings.fold is not None
        undisturbed = Crossings(
            {NETWORK: crossings.score(NETWORK)[same]}, crossing_rates(data, faulty, total_hz), crossings.source[same],
            crossings.fold[same],
        )  # fmt: skip
        return Disturbed(undisturbed, replace(undisturbed, scores={NETWORK: codes(faulty)}))

    generator = np.random.default_rng(seed)

    def smeared(shape: tuple[int, ...]) -> Array:
        return generator.normal(1, SMEARING, shape).clip(0.5, 1.5)

    return {
        **{name: partial(energies, partial(np.full, fill_value=factor)) for name, factor in SHIFTS.items()},
        f"energies smeared by {SMEARING:.0%}": partial(energies, smeared),
        **{name: partial(shower, column) for column, name in enumerate(SHOWERS)},
        **{name: partial(towers, name) for name in FAULTS},
    }


def scaled(events: EventDataset, factors: Factors) -> EventDataset:
    """The events with all transverse energies multiplied and rounded to hardware steps.

    Muons are not of the calorimeter and stay as they are; missing energy keeps its direction.

    Args:
        events: The events.
        factors: Gives a factor for each number of an array of that shape: the same one for a shift of the scale, random ones
            for a worse resolution.
    """

    def turned(counts: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
        changed: NDArray[np.int64] = np.minimum(np.rint(counts * factors(counts.shape)), 2**bits - 1).astype(np.int64)
        return changed

    columns: dict[str, Any] = {}
    for name in ("egammas", "jets"):
        table = getattr(events, name).copy()
        pt = turned(table[:, :, 0], OBJECTS[name][0].pt_bits)
        table[pt == 0] = 0
        table[:, :, 0] = pt
        order = np.argsort(-pt, axis=1, kind="stable")  # the hardest comes first, whichever it is now
        columns[name] = np.take_along_axis(table, order[:, :, None], axis=1)
    met = np.stack([turned(events.met[:, 0], MET.pt_bits), events.met[:, 1]], axis=1)
    regions = None if events.regions is None else turned(events.regions, REGION_BITS)
    return replace(events, **columns, met=met, sums=turned(events.sums, SUMS.pt_bits), regions=regions)
