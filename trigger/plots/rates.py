"""Figures of a trigger's rate: against the threshold, what signals are left there, and what disturbs it. All are simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.acceptance import Efficiency, TurnOn
from trigger.decision.efficiency import Estimate
from trigger.decision.stability import PileupBin
from trigger.decision.thresholds import RateCurve
from trigger.decision.working_points import WorkingPoint
from trigger.plots.style import COLOURS, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOWEST_KHZ = 0.05
_FEWEST = 8


def rate_against_threshold(curve: RateCurve, targets_khz: Sequence[float], score: str) -> Figure:
    """Rate at or above every code, with its 68 % interval, the target rates and the lowest rate that the sample supports."""
    with styled():
        figure, axes = labelled_axes(True)
        khz, band = curve.hz / 1e3, curve.interval_68 / 1e3
        axes.fill_between(curve.codes, band[:, 0], band[:, 1], step="pre", color=COLOURS[0], alpha=0.3, label="68 %")
        axes.step(curve.codes, khz, where="pre", color=COLOURS[0], label="rate")
        for colour, target in enumerate(targets_khz, 1):
            axes.axhline(target, color=COLOURS[colour % len(COLOURS)], linestyle="--", label=f"{target:g} kHz")
        bottom = min([_LOWEST_KHZ, *(target / 10 for target in targets_khz)])
        if curve.lowest_rate_hz / 1e3 >= bottom:  # not where it is NaN
            axes.axhline(curve.lowest_rate_hz / 1e3, color="grey", linestyle=":", label="resolution of the sample")
        axes.set(xlabel=f"threshold on '{score}', code of the firmware", ylabel="rate in kHz", yscale="log",
                 ylim=(bottom, 3 * khz.max()), xlim=_shown(curve.codes, khz, bottom))  # fmt: skip
        axes.locator_params(axis="x", nbins=4)
        axes.ticklabel_format(axis="x", style="plain")
        axes.legend(loc="upper right")
        axes.grid(alpha=0.3)
    return figure


def _shown(codes: NDArray[np.int64], khz: NDArray[np.float64], bottom: float) -> tuple[float, float]:
    """From the first code on, to where the rate leaves the axis below."""
    seen = codes[khz >= bottom]
    last = float(seen.max()) if len(seen) else float(codes.max())
    first = float(codes[khz >= 0.999 * khz.max()].max())
    return min(first, last - 1), last


def efficiencies_at(found: Mapping[str, Mapping[str, Efficiency]]) -> Figure:
    """Efficiency of each signal, with its 68 % interval, at every working point."""
    with styled():
        figure, axes = labelled_axes(True)
        signals = list(dict.fromkeys(signal for one in found.values() for signal in one))
        for number, (name, one) in enumerate(found.items()):
            place = np.array([signals.index(signal) for signal in one]) + 0.8 * ((number + 0.5) / len(found) - 0.5)
            values, errors = _with_errors(list(one.values()))
            axes.errorbar(place, values, errors, fmt="o", color=COLOURS[number % len(COLOURS)], label=name, capsize=3)
        axes.set_xticks(range(len(signals)), signals, rotation=40, ha="right")
        axes.set(ylabel="signal efficiency", ylim=(0, 1), xlabel="signal")
        axes.xaxis.minorticks_off()
        _legend_below(figure, axes)
        axes.grid(axis="y", alpha=0.3)
    return figure


def turn_ons(found: Mapping[str, TurnOn], quantity: str, label: str) -> Figure:
    """Efficiency of each signal in bins of an offline quantity, with 68 % intervals; bins of a handful of events are left out."""
    with styled():
        figure, axes = labelled_axes(True)
        for number, (name, one) in enumerate(found.items()):
            known = [at for at, events in enumerate(one.events) if events >= _FEWEST]
            edges = np.array(one.edges)
            middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
            values, errors = _with_errors([each for at in known if (each := one.bins[at]) is not None])
            axes.errorbar(
                middle[known], values, errors, half[known], fmt="o", markersize=4, color=COLOURS[number % len(COLOURS)],
                label=name, capsize=2,
            )  # fmt: skip
        axes.set(xlabel=quantity, ylabel=label, ylim=(0, 1.05))
        _legend_below(figure, axes)
        axes.grid(alpha=0.3)
    return figure


def stability(changes: Mapping[str, Estimate]) -> Figure:
    """Rate under each disturbance, relative to the undisturbed one, with its paired standard deviation."""
    with styled():
        figure, axes = labelled_axes(True)
        figure.set_size_inches(12, 8)
        names: list[Any] = list(changes)
        values, errors = ([getattr(changes[name], what) for name in names] for what in ("value", "uncertainty"))
        axes.barh(range(len(names)), values, xerr=np.nan_to_num(errors), color=COLOURS[0], capsize=3)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.yaxis.minorticks_off()
        axes.invert_yaxis()
        axes.set(xlabel="rate at the same threshold / undisturbed rate", xlim=(0, None))
    return figure


def against_pileup(bins: Sequence[PileupBin]) -> Figure:
    """Rate, and below it the efficiency of each signal, in bins of pileup."""
    with styled():
        figure, axes = labelled_axes(True)
        figure.set_size_inches(9, 11)
        grid = figure.add_gridspec(2, 1)
        axes.set_subplotspec(grid[0])
        lower = figure.add_subplot(grid[1], sharex=axes)
        known = [one for one in bins if one.rate is not None]
        middle, half = _middle(known)
        khz = np.array([one.rate.hz / 1e3 for one in known if one.rate is not None])
        edges = np.array([one.rate.interval_68 for one in known if one.rate is not None]).T / 1e3
        axes.errorbar(middle, khz, np.abs(np.stack([khz - edges[0], edges[1] - khz])), half, fmt="o", color=COLOURS[0])
        axes.set(ylabel="rate in kHz", ylim=(0, None))
        axes.tick_params(labelbottom=False)
        for number, name in enumerate(bins[0].signals):
            there = [one for one in bins if one.signals[name] is not None]
            place, _ = _middle(there)
            values, errors = _with_errors([each for one in there if (each := one.signals[name]) is not None])
            lower.errorbar(place, values, errors, fmt="o-", color=COLOURS[number % len(COLOURS)], label=name, capsize=2)
        lower.set(xlabel="collisions in the crossing", ylabel="efficiency", ylim=(0, 1.05))
        _legend_below(figure, lower)
        for one in (axes, lower):
            one.grid(alpha=0.3)
    return figure


def working_points(found: Mapping[str, Sequence[WorkingPoint]], simulated: bool) -> Figure:
    """Background of each score at fixed efficiencies of each class, with one standard deviation."""
    with styled():
        figure, axes = labelled_axes(simulated)
        markers = ("o", "s", "^")
        for number, (name, points) in enumerate(found.items()):
            for at, which in enumerate(points[0].background):
                shares = [one.background[which] for one in points]
                place = np.array([one.efficiency for one in points]) + 0.012 * (at - 1)
                axes.errorbar(
                    place, [one.value for one in shares], np.nan_to_num([one.uncertainty for one in shares]),
                    fmt=markers[at % len(markers)], color=COLOURS[number % len(COLOURS)], label=f"{name}, {which}", capsize=3,
                )  # fmt: skip
        axes.set(xlabel="efficiency", ylabel="share of the background that passes", yscale="log", xlim=(0, 1))
        _legend_below(figure, axes)
        axes.grid(alpha=0.3)
    return figure


def _middle(bins: Sequence[PileupBin]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles and half-widths; a bin of whole numbers ends one below its upper edge."""
    low, high = (np.array([getattr(one, what) for one in bins]) for what in ("low", "high"))
    return (low + high - 1) / 2, (high - 1 - low) / 2


def _with_errors(shares: Sequence[Efficiency]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, and distances to the lower and the upper edge of their 68 % intervals."""
    values = np.array([one.value for one in shares])
    edges = np.array([one.interval_68 for one in shares]).reshape(-1, 2).T
    return values, np.abs(np.stack([values - edges[0], edges[1] - values]))


def _legend_below(figure: Figure, axes: Any) -> None:
    """A legend that covers nothing."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=14)
