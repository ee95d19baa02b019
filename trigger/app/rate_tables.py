"""What the page shows of rates, or of a tagger's working points: tables and figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trigger.app.page_parts import Cell, Table
from trigger.app.scored import FLOAT, QUANTISED
from trigger.app.tagger_points import FIRMWARE, TaggerPoints
from trigger.decision.acceptance import Efficiency
from trigger.decision.efficiency import Estimate
from trigger.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trigger.app.rates import Judged, Rates

PREFIX = "rate_"
"""Begins the name of every figure of rates."""
POINTS = 2000
"""Points of a curve that is drawn."""


def rate_tables(found: Rates | TaggerPoints) -> tuple[Table, ...]:
    """Requirements, and whatever they rest on."""
    if isinstance(found, TaggerPoints):
        return (_requirements(found.verdict), _points(found), *_shifted(found), *_bits(found))
    each = [
        table for one in found.judged
        for table in (_thresholds(found, one), _efficiencies(one), *_stability(one), *_pileup(one))
    ]  # fmt: skip
    shared = () if found.alone is None else (_shared(found),)
    return (_requirements(found.verdict), *each, *_bits(found), _menu(found), _overlap(found), *shared)


def draw_rates(found: Rates | TaggerPoints, folder: Path) -> dict[str, str]:
    """Every figure: the name of its file, and what it shows."""
    from trigger.plots.style import save

    captions = {}
    for name, caption, figure in _figures(found):
        save(figure, folder / name)
        captions[f"{name}.svg"] = caption
    return captions


def _figures(found: Rates | TaggerPoints) -> Iterator[tuple[str, str, Figure]]:
    from trigger.plots import rates as plots

    if isinstance(found, TaggerPoints):
        yield (
            f"{PREFIX}working_points",
            "Background that float, quantised and firmware scores let pass at fixed efficiencies of each class.",
            plots.working_points(found.points, True),
        )
        return
    for one in found.judged:
        name = one.score.name
        yield (
            f"{PREFIX}curve_{name}", f"Rate at or above every threshold on the score '{name}', with its 68 % interval.",
            plots.rate_against_threshold(one.curve.thinned(POINTS), found.menu.rates_khz, name),
        )  # fmt: skip
        points = _working_points(one)
        if not points:
            continue
        yield (
            f"{PREFIX}efficiencies_{name}", f"Efficiency of each signal at the thresholds of '{name}', with 68 % intervals.",
            plots.efficiencies_at(points),
        )  # fmt: skip
        turned = [(t.target_hz / 1e3, each) for t, each in zip(one.thresholds, one.turn_ons, strict=True) if each]
        for khz, turn_ons in turned[-1:]:
            yield (
                f"{PREFIX}turn_on_{name}",
                f"Efficiency at {khz:g} kHz of '{name}' against an offline quantity, 68 % intervals.",
                plots.turn_ons(turn_ons, found.sample.offline_label, f"efficiency at {khz:g} kHz"),
            )  # fmt: skip
        if any(part.rate is not None for part in one.stability.values()):
            yield (
                f"{PREFIX}stability_{name}",
                f"Rate of '{name}' at its threshold under each disturbance, over the undisturbed one.",
                plots.stability({what: part.rate for what, part in one.stability.items() if part.rate is not None}),
            )  # fmt: skip
        if one.pileup:
            yield (
                f"{PREFIX}pileup_{name}",
                f"Rate of '{name}' at its threshold, and efficiencies, if all crossings were of that pileup.",
                plots.against_pileup(one.pileup),
            )  # fmt: skip


def _working_points(one: Judged) -> dict[str, dict[str, Efficiency]]:
    """Efficiency of every signal at each threshold that is known."""
    return {
        f"{threshold.target_hz / 1e3:g} kHz": signals
        for threshold, signals in zip(one.thresholds, one.efficiencies, strict=True)
        if signals
    }


def _measured(value: float | None, uncertainty: float | None) -> Cell:
    known = uncertainty is not None and math.isfinite(uncertainty)
    if value is None or not math.isfinite(value):
        return None
    return {"value": value, "uncertainty": uncertainty if known else None}


def _estimate(one: Estimate) -> Cell:
    return _measured(one.value, one.uncertainty)


def _khz(one: Mapping[str, Any] | None) -> Cell:
    if one is None:
        return None
    return _measured(one["hz"] / 1e3, None if one["uncertainty"] is None else one["uncertainty"] / 1e3)


def _requirements(verdict: Verdict) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one.name, str(one.status), _measured(one.figure, one.uncertainty), one.limit, one.required, one.note)
        for one in verdict.requirements
    ]
    return Table(
        title=f"Requirements of the menu: {verdict.overall}",
        columns=("requirement", "status", "figure", "limit", "required", "note"), rows=tuple(rows),
    )  # fmt: skip


def _thresholds(found: Rates, one: Judged) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for threshold in one.thresholds:
        told = threshold.summary()
        known = threshold.rate
        rows.append((
            f"{threshold.target_hz / 1e3:g}", threshold.code, _khz(told["rate"]), _khz(told["above"]),
            None if threshold.step_khz is None else 1e3 * threshold.step_khz,
            None if known is None else known.sources, None if known is None else round(known.effective_events, 1),
            "yes" if threshold.resolved else threshold.note,
        ))  # fmt: skip
    sample, score, first = found.sample.crossings.summary(), one.score, one.thresholds[0]
    against = f" minus the largest of {', '.join(score.against)}" if score.against else ""
    note = (
        f"A threshold is an integer code of the firmware, output {score.output!r}{against}, which accepts codes at and above it. "
        f"{sample['crossings']:,} crossings with {sample['sources']:,} independent hardest collisions stand for "
        f"{sample['total_hz'] / 1e6:.2f} MHz; {first.distinct:,} distinct codes, {first.saturated or 0:.2g} of the rate in the "
        f"largest possible one. The lowest rate that this sample supports for this score is "
        f"{one.curve.lowest_rate_hz / 1e3:.3g} kHz; a threshold below it is NOT MEASURED. {' '.join(found.sample.notes)}"
    )
    return Table(
        title=f"Thresholds on {score.name!r}",
        columns=("asked for, kHz", "code", "rate, kHz", "one code lower, kHz", "Hz a code", "hardest collisions",
                 "effective events", "resolved"),
        rows=tuple(rows), note=note,
    )  # fmt: skip


def _efficiencies(one: Judged) -> Table:
    rows: list[tuple[Cell, ...]] = []
    changes = []
    for threshold, firmware, network in zip(one.thresholds, one.costs, one.quantised, strict=True):
        if firmware is None or network is None:
            continue
        khz, change = f"{threshold.target_hz / 1e3:g}", firmware.rate_change_hz
        changes.append(f"{khz} kHz: {change.value / 1e3:+.3g} ± {change.uncertainty / 1e3:.2g} kHz")
        for name, signal in firmware.signals.items():
            parts = (signal.other, network.signals[name].other, signal.reference, signal.loss)
            rows.append((khz, name, *(_estimate(part) for part in parts)))
    return Table(
        title=f"Efficiency of {one.score.name!r}, and what quantisation costs",
        columns=("at, kHz", "signal", "firmware", "quantised network", "float network", "lost to float, paired"),
        rows=tuple(rows),
        note=f"Each with its own threshold for the rate. Change of the rate at the same threshold, firmware minus float: "
        f"{'; '.join(changes) or 'not known'}.",
    )  # fmt: skip


def _stability(one: Judged) -> tuple[Table, ...]:
    if not one.stability:
        return ()
    names = list(dict.fromkeys(signal for part in one.stability.values() for signal in part.signals))
    rows = tuple(
        (what, None if part.rate is None else _estimate(part.rate),
         *(_estimate(part.signals[name]) if name in part.signals else "unchanged"
           for name in names))
        for what, part in one.stability.items()
    )  # fmt: skip
    return (
        Table(
            title=f"Stability of {one.score.name!r}",
            columns=("disturbed", "rate over the undisturbed one", *(f"{name}, change" for name in names)), rows=rows,
            note="At the threshold of the largest rate that is resolved. The same events, disturbed, so that chance is the same "
            "in both. Parton showers are varied by weights, of hard collisions; faulty towers are in the background alone.",
        ),
    )  # fmt: skip


def _pileup(one: Judged) -> tuple[Table, ...]:
    if not one.pileup:
        return ()
    names = list(dict.fromkeys(name for part in one.pileup for name in part.signals))
    rows = tuple(
        (f"{part.low:g} to {part.high - 1:g}", None if part.rate is None else _khz(part.rate.summary()),
         *(_efficiency(part.signals.get(name)) for name in names))
        for part in one.pileup
    )  # fmt: skip
    return (
        Table(title=f"{one.score.name!r} against pileup", columns=("collisions", "rate, kHz", *names), rows=rows,
              note="The rate if all crossings had that many collisions, at an unchanged threshold."),
    )  # fmt: skip


def _efficiency(one: Efficiency | None) -> Cell:
    if one is None:
        return None
    low, high = one.interval_68
    return _measured(one.value, (high - low) / 2)


def _shifted(found: TaggerPoints) -> tuple[Table, ...]:
    rows = tuple(
        (name, what, None if one.rate is None else _estimate(one.rate), _estimate(one.signals[name]))
        for name, changes in found.stability.items()
        for what, one in changes.items()
    )
    if not rows:
        return ()
    columns = ("class", "disturbed", "background over the undisturbed one", "efficiency, change")
    return (
        Table(title="Stability", columns=columns, rows=rows,
              note="The same held-out jets at the loosest of each class's thresholds; selection by pT was before."),
    )  # fmt: skip


def _bits(found: Rates | TaggerPoints) -> tuple[Table, ...]:
    if not found.bits.cuts:
        return ()
    rows = tuple(
        (number, one.name, one.output, ", ".join(one.against) or "nothing", one.threshold, one.condition or "none")
        for number, one in enumerate(found.bits.cuts)
    )
    return (
        Table(title="Accept bits in the firmware", rows=rows,
              columns=("bit", "name", "output", "less the largest of", "threshold, code", "where"),
              note="In the folder decision/ of the firmware's project, in C++ and in Verilog."),
    )  # fmt: skip


def _menu(found: Rates) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, one.threshold, one.prescale, _khz(one.rate.summary()), _khz(one.pure.summary()), one.note)
        for name, one in found.seeds.seeds.items()
    ]
    rows.append(("all", None, None, _khz(found.seeds.total.summary()), None, ""))
    return Table(
        title=f"Menu {found.menu.name}, with the firmware's scores beside it", rows=tuple(rows),
        columns=("seed", "threshold, code", "prescale", "rate, kHz", "pure rate, kHz", "note"),
    )  # fmt: skip


def _overlap(found: Rates) -> Table:
    names = list(found.seeds.overlap)
    rows = tuple(
        (name, *(_khz(found.seeds.overlap[name][other].summary()) for other in names)) for name in names
    )  # fmt: skip
    return Table(title="Overlap of every two seeds, kHz", columns=("seed", *names), rows=rows)


def _shared(found: Rates) -> Table:
    alone, beside = found.alone, found.beside
    assert alone is not None
    assert beside is not None
    gained = found.gain
    rows: list[tuple[Cell, ...]] = [
        (name, _efficiency(alone.efficiency[name]), _efficiency(beside.efficiency[name]),
         _estimate(gained[name]) if name in gained else None)
        for name in alone.efficiency
    ]  # fmt: skip
    unresolved = " ".join(dict.fromkeys((alone.note, beside.note)))
    totals = [f"{one.menu.total.hz / 1e3:.3g} ± {one.menu.total.uncertainty / 1e3:.2g} kHz" for one in (alone, beside)]
    note = (
        f"Thresholds of all seeds chosen for {alone.target_hz / 1e3:g} kHz on one half of the sample, measured on the other: "
        f"{totals[0]} without the firmware's scores, {totals[1]} with them. The gain is paired, event by event; it is "
        f"not one at exactly the same rate, as far as these two differ. {unresolved}"
    )
    return Table(
        title="What the firmware adds to the menu at the same total rate",
        columns=("signal", "menu", "menu and firmware", "gain, paired"), rows=tuple(rows), note=note,
    )  # fmt: skip


def _points(found: TaggerPoints) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, points in found.points.items():
        rows += [
            (name, point.efficiency, point.threshold, _estimate(point.reached[FIRMWARE]),
             *(_estimate(point.background[which]) for which in (FLOAT, QUANTISED, FIRMWARE)),
             f"{point.share.interval_95[0]:.2g} to {point.share.interval_95[1]:.2g}", point.passed,
             _estimate(point.increase[FIRMWARE]))
            for point in points
        ]  # fmt: skip
    rate = "Their rate is not known." if found.highest_khz is None else (
        f"All collisions that these backgrounds come from have {found.highest_khz * 1e3:.3g} Hz at "
        f"{found.luminosity:.2g}e34 / cm2 s: where that is below a target, no threshold has it."
    )  # fmt: skip
    return Table(
        title="Background at fixed efficiency",
        columns=("class", "efficiency", "threshold, code", "reached by the firmware", "background, float",
                 "background, quantised", "background, firmware", "95 % interval", "jets that pass",
                 "firmware over float, minus 1, paired"),
        rows=tuple(rows),
        note=f"Against {', '.join(found.against)}, on {found.rows:,} held-out rows with their weights; each score with the "
        f"largest threshold that keeps the efficiency. {rate}",
    )  # fmt: skip
