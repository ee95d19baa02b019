"""Figures of the comparison of top taggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import Estimate
from trigger.plots.style import COLOURS, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rejections(ours: Mapping[str, Estimate], published: Mapping[str, float], simulated: bool = True) -> Figure:
    """Background rejection at 30 % signal efficiency of every tagger, and what is published of some.

    Args:
        ours: By tagger, from the top.
        published: By tagger.
        simulated: Whether the sample is simulated.
    """
    names = list(ours)
    with styled():
        figure, axes = labelled_axes(simulated)
        place = np.arange(len(names))[::-1]
        known = [row for row, one in enumerate(ours.values()) if np.isfinite(one.value)]
        found = [list(ours.values())[row] for row in known]
        axes.errorbar([one.value for one in found], place[known], xerr=_errors(found), fmt="o", color=COLOURS[0],
                      label="here")  # fmt: skip
        beside = [(published[name], place[row]) for row, name in enumerate(names) if name in published]
        axes.plot([one for one, _ in beside], [row for _, row in beside], "D", fillstyle="none", color=COLOURS[1],
                  label="published, other simulation")  # fmt: skip
        axes.set(xlabel="background rejection at 30 % signal efficiency", xscale="log", ylim=(-0.7, len(names) + 0.9))
        low, high = axes.get_xlim()
        axes.set(
            xlim=(low * (low / high) ** 0.6, high), yticks=[]
        )  # names inside: outside they would push the label away
        for row, name in zip(place, names, strict=True):
            axes.text(0.02, row, name.replace("_", " "), transform=axes.get_yaxis_transform(), va="center", fontsize=14)
        axes.minorticks_on()
        axes.tick_params(axis="y", which="both", length=0)
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="upper left", ncols=2)
    return figure


def rejection_and_size(taggers: Mapping[str, tuple[int, Estimate]], simulated: bool = True) -> Figure:
    """Background rejection at 30 % signal efficiency against the number of trained parameters."""
    with styled():
        figure, axes = labelled_axes(simulated)
        for number, (name, (parameters, rejection)) in enumerate(taggers.items()):
            if not np.isfinite(rejection.value):
                continue
            axes.errorbar([parameters], [rejection.value], yerr=_errors([rejection]), fmt="os^Dv<>"[number % 7], markersize=9,
                          color=COLOURS[number % len(COLOURS)], label=name.replace("_", " "))  # fmt: skip
        axes.set(
            xlabel="parameters", ylabel="background rejection at 30 % signal efficiency", xscale="log", yscale="log"
        )
        axes.grid(alpha=0.3)
        axes.legend(fontsize=12)
    return figure


def _errors(found: list[Estimate]) -> NDArray[np.float64]:
    """Standard deviations to below and above; on a logarithmic axis a bar may not end at 0."""
    known = np.array([one.uncertainty if np.isfinite(one.uncertainty) else 0.0 for one in found])
    return np.stack([np.minimum(known, 0.9 * np.array([one.value for one in found])), known])
