"""What the page shows of a detector's rates: tables and figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trigger.app.page_parts import Cell, Table
from trigger.decision.acceptance import Efficiency, efficiency

if TYPE_CHECKING:
    from trigger.app.rates import Rates

CURVE, EFFICIENCY, STABILITY = "rate_curve", "rate_efficiencies", "rate_stability"


def rate_tables(found: Rates) -> tuple[Table, ...]:
    """Requirements, thresholds, efficiencies, what quantisation costs, the menu, what the network adds to it, stability."""
    return (
        _requirements(found), _thresholds(found), _efficiencies(found), _menu(found),
        *((_shared(found),) if found.alone is not None else ()), _stability(found),
    )  # fmt: skip


def draw_rates(found: Rates, folder: Path) -> tuple[str, ...]:
    """Every figure of rates; their names."""
    from trigger.plots.rates import efficiencies_at, rate_against_threshold, stability
    from trigger.plots.style import save

    names = [CURVE]
    save(rate_against_threshold(found.curve, found.menu.rates_khz, True), folder / CURVE)
    if points := working_points(found):
        save(efficiencies_at(points, True), folder / EFFICIENCY)
        names.append(EFFICIENCY)
    if found.stability:
        save(stability(found.stability, True), folder / STABILITY)
        names.append(STABILITY)
    return tuple(f"{name}.svg" for name in names)


def working_points(found: Rates) -> dict[str, dict[str, Efficiency]]:
    """Efficiency of every signal at each threshold that is known."""
    return {
        f"{one.target_hz / 1e3:g} kHz": {
            name: efficiency(scores["network"], one.code) for name, scores in found.signals.items()
        }
        for one in found.thresholds
        if one.code is not None and one.resolved
    }


def _measured(value: float, uncertainty: float) -> Cell:
    return {"value": value, "uncertainty": uncertainty if math.isfinite(uncertainty) else None}


def _khz(one: Mapping[str, Any] | None) -> Cell:
    return None if one is None else _measured(one["hz"] / 1e3, (one["uncertainty"] or float("nan")) / 1e3)


def _requirements(found: Rates) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one.name, str(one.status), None if one.figure is None else _measured(one.figure, one.uncertainty or float("nan")),
         one.limit, "yes" if one.required else "no", one.note)
        for one in found.verdict.requirements
    ]  # fmt: skip
    return Table(
        title=f"Requirements of the menu: {found.verdict.overall}",
        columns=("requirement", "status", "figure", "limit", "required", "note"), rows=tuple(rows),
    )  # fmt: skip


def _thresholds(found: Rates) -> Table:
    rows = []
    for one in found.thresholds:
        told = one.summary()
        rows.append((
            f"{one.target_hz / 1e3:g}", one.code, _khz(told["rate"]), _khz(told["above"]), one.step_khz,
            None if one.rate is None else one.rate.sources, None if one.rate is None else round(one.rate.effective_events, 1),
            "yes" if one.resolved else one.note,
        ))  # fmt: skip
    sample = found.crossings.summary()
    saturated = found.thresholds[0].saturated
    note = (
        f"A threshold is a code of the firmware's output, which accepts codes at and above it. {sample['crossings']:,} crossings "
        f"with {sample['sources']:,} different hardest collisions stand for {sample['total_hz'] / 1e6:.2f} MHz of filled ones; "
        f"{found.thresholds[0].distinct:,} distinct codes, {0 if saturated is None else saturated:.2g} of the rate in the "
        f"largest. The lowest rate that this sample supports for this score is {found.curve.lowest_rate_hz / 1e3:.3g} kHz."
    )
    return Table(
        title="Thresholds", columns=("asked for, kHz", "code", "rate, kHz", "one code lower, kHz", "kHz a code",
                                     "hardest collisions", "effective events", "resolved"),
        rows=tuple(rows), note=note,
    )  # fmt: skip


def _efficiencies(found: Rates) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one, cost in zip(found.thresholds, found.costs, strict=True):
        if cost is None:
            continue
        rows += [
            (f"{one.target_hz / 1e3:g}", name, *(_measured(part.value, part.uncertainty) for part in
                                                 (signal.other, signal.reference, signal.loss)))
            for name, signal in cost.signals.items()
        ]  # fmt: skip
    changes = "; ".join(
        f"{cost.target_hz / 1e3:g} kHz: {cost.rate_change_hz.value / 1e3:+.3g} ± {cost.rate_change_hz.uncertainty / 1e3:.2g} kHz"
        for cost in found.costs if cost is not None
    )  # fmt: skip
    return Table(
        title="Efficiency, and what quantisation costs",
        columns=("at, kHz", "signal", "firmware", "float network", "lost, paired"),
        rows=tuple(rows),
        note=f"Change of the rate at the same threshold, firmware minus float: {changes or 'not known'}.",
    )  # fmt: skip


def _menu(found: Rates) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, one["threshold"], one["prescale"], _khz(one["rate"]), _khz(one["pure"]), one["note"] or "")
        for name, one in found.seeds["seeds"].items()
    ]
    rows.append(("all", None, None, _khz(found.seeds["total"]), None, ""))
    return Table(
        title=f"Menu {found.menu.name}, with the network beside it", rows=tuple(rows),
        columns=("seed", "threshold, code", "prescale", "rate, kHz", "pure rate, kHz", "note"),
    )  # fmt: skip


def _shared(found: Rates) -> Table:
    alone, beside = found.alone, found.beside
    assert alone is not None
    assert beside is not None
    rows: list[tuple[Cell, ...]] = []
    for name, without in alone.efficiency.items():
        with_it = beside.efficiency[name]
        rows.append((name, *(_measured(one.value, _half(one)) for one in (without, with_it)),
                     _measured(with_it.value - without.value, (_half(without) ** 2 + _half(with_it) ** 2) ** 0.5)))  # fmt: skip
    note = (
        f"Thresholds of all seeds chosen for {alone.target_hz / 1e3:g} kHz on one half of the sample, measured on the other: "
        f"{alone.menu.total.hz / 1e3:.3g} ± {alone.menu.total.uncertainty / 1e3:.2g} kHz without the network, "
        f"{beside.menu.total.hz / 1e3:.3g} ± {beside.menu.total.uncertainty / 1e3:.2g} kHz with it. Uncertainties of the "
        f"gain are not paired, which makes them too large."
    )
    return Table(
        title="What the network adds to the menu at the same total rate",
        columns=("signal", "menu", "menu and network", "gain"), rows=tuple(rows), note=note,
    )  # fmt: skip


def _half(one: Efficiency) -> float:
    low, high = one.interval_68
    return (high - low) / 2


def _stability(found: Rates) -> Table:
    return Table(
        title="Stability", columns=("disturbed", "rate at the same threshold over the undisturbed one"),
        rows=tuple(found.stability.items()),
        note="The same crossings, disturbed, so that chance is the same in both. Towers that objects are made of stay.",
    )  # fmt: skip
