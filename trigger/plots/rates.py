"""Figures of a trigger's rate: against the threshold, what signals are left there, and what disturbs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.acceptance import Efficiency
from trigger.decision.thresholds import RateCurve
from trigger.plots.style import COLOURS, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOWEST_KHZ = 0.05


def rate_against_threshold(curve: RateCurve, targets_khz: Sequence[float], simulated: bool) -> Figure:
    """Rate at or above every code, with its 68 % interval, the target rates and the lowest rate that the sample supports."""
    with styled():
        figure, axes = labelled_axes(simulated)
        khz, band = curve.hz / 1e3, curve.interval_68 / 1e3
        axes.fill_between(curve.codes, band[:, 0], band[:, 1], step="pre", color=COLOURS[0], alpha=0.3, label="68 %")
        axes.step(curve.codes, khz, where="pre", color=COLOURS[0], label="rate")
        for colour, target in enumerate(targets_khz, 1):
            axes.axhline(target, color=COLOURS[colour % len(COLOURS)], linestyle="--", label=f"{target:g} kHz")
        if np.isfinite(curve.lowest_rate_hz):
            axes.axhline(curve.lowest_rate_hz / 1e3, color="grey", linestyle=":", label="resolution of the sample")
        bottom = min([_LOWEST_KHZ, *(target / 10 for target in targets_khz)])
        axes.set(xlabel="threshold, code of the firmware's score", ylabel="rate in kHz", yscale="log",
                 ylim=(bottom, 3 * khz.max()), xlim=_shown(curve.codes, khz, bottom))  # fmt: skip
        axes.legend(loc="upper right")
        axes.grid(alpha=0.3)
    return figure


def _shown(codes: NDArray[np.int64], khz: NDArray[np.float64], bottom: float) -> tuple[float, float]:
    """From the first code on, to where the rate leaves the axis below."""
    seen = codes[khz >= bottom]
    last = float(seen.max()) if len(seen) else float(codes.max())
    first = float(codes[khz >= 0.999 * khz.max()].max())
    return min(first, last - 1), last


def efficiencies_at(
    found: Mapping[str, Mapping[str, Efficiency]], simulated: bool, label: str = "signal efficiency"
) -> Figure:
    """Efficiency of each signal, with its 68 % interval, at every working point.

    Args:
        found: For each working point the efficiency of each signal.
        simulated: Whether the signals are simulated.
        label: Of the vertical axis.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        signals = list(dict.fromkeys(signal for one in found.values() for signal in one))
        for number, (name, one) in enumerate(found.items()):
            place = np.array([signals.index(signal) for signal in one]) + 0.8 * ((number + 0.5) / len(found) - 0.5)
            value = np.array([each.value for each in one.values()])
            edges = np.array([each.interval_68 for each in one.values()]).T
            errors = np.abs(np.stack([value - edges[0], edges[1] - value]))
            axes.errorbar(place, value, errors, fmt="o", color=COLOURS[number % len(COLOURS)], label=name, capsize=3)
        axes.set_xticks(range(len(signals)), signals, rotation=40, ha="right")
        axes.set(ylabel=label, ylim=(0, 1), xlabel="signal")
        axes.xaxis.minorticks_off()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=14)
        axes.grid(axis="y", alpha=0.3)
    return figure


def stability(changes: Mapping[str, float], simulated: bool) -> Figure:
    """Rate under each disturbance, relative to the undisturbed one."""
    with styled():
        figure, axes = labelled_axes(simulated)
        names: list[Any] = list(changes)
        axes.barh(range(len(names)), [changes[name] for name in names], color=COLOURS[0])
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.yaxis.minorticks_off()
        axes.invert_yaxis()
        axes.set(xlabel="rate at the same threshold, relative to the undisturbed one", xlim=(0, None))
    return figure
