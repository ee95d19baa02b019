"""Figures of the offline studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from trigger.decision.response import ResponseBin
from trigger.plots.style import COLOURS, LINES, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


class Calibrated(Protocol):
    """A classifier's probabilities against the shares of signal that they stand for, by bin."""

    @property
    def predicted(self) -> Floats:
        """Mean probability."""

    @property
    def found(self) -> Floats:
        """Share of signal."""

    @property
    def uncertainty(self) -> Floats:
        """Of the share."""


def rejection_curves(
    curves: Mapping[str, tuple[Floats, Floats]], simulated: bool = True,
    before: Mapping[str, tuple[Floats, Floats]] | None = None,
) -> Figure:  # fmt: skip
    """Background rejection against signal efficiency of several taggers.

    Args:
        curves: By name, signal efficiencies and rejections; where no background passes the curve ends, and of a tagger of
            which that is so everywhere the legend says it.
        simulated: Whether the sample is simulated.
        before: The same before the sample was weighted, of these taggers or others, dashed; a tagger has one colour in both.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        names = list(dict.fromkeys((*curves, *(before or {}))))
        for drawn, when in ((before or {}, ", before"), (curves, "")):
            for name, (efficiency, rejection) in drawn.items():
                known, number = np.isfinite(rejection), names.index(name)
                line = "--" if when else LINES[number // len(COLOURS) % len(LINES)]
                axes.plot(efficiency[known], rejection[known], line, color=COLOURS[number % len(COLOURS)],
                          label=f"{name}{when}{'' if known.any() else ' (no background passes)'}")  # fmt: skip
        guess = np.linspace(0.01, 1, 100)
        axes.plot(guess, 1 / guess, ":", color="grey", label="random guess")
        axes.set(xlabel="signal efficiency", ylabel="background rejection", yscale="log", xlim=(0, 1), ylim=(1, None))
        axes.legend(fontsize=12)
        axes.grid(alpha=0.3)
    return figure


def calibration_curve(found: Calibrated, simulated: bool = True) -> Figure:
    """Share of signal against the probability that its jets were given."""
    with styled():
        figure, axes = labelled_axes(simulated)
        axes.plot([0, 1], [0, 1], ":", color="grey")
        axes.errorbar(found.predicted, found.found, found.uncertainty, fmt="o", color=COLOURS[0])
        axes.set(xlabel="mean probability of signal", ylabel="share of signal", xlim=(0, 1), ylim=(0, 1))
    return figure


def responses(bins: Sequence[ResponseBin], what: str, simulated: bool = True) -> Figure:
    """Bias with the resolution as bars, by bin of the true pT or mass, as measured and after corrections."""
    with styled():
        figure, axes = labelled_axes(simulated)
        shown = [one for one in bins if one.pt_gev is not None and one.before is not None]
        names = ["measured", *(shown[0].after if shown else ())]
        for number, name in enumerate(names):
            found = [one.before if name == "measured" else one.after[name] for one in shown]
            known = [
                (one.pt_gev, response) for one, response in zip(shown, found, strict=True) if one.pt_gev and response
            ]
            axes.errorbar(
                [(low + high) / 2 + 0.15 * (number - 1) * (high - low) for (low, high), _ in known],
                [response.bias.value for _, response in known], [response.resolution.value for _, response in known],
                fmt="o", capsize=4, color=COLOURS[number], label=name,
            )  # fmt: skip
        axes.axhline(0, linestyle=":", color="grey")
        axes.set(xlabel=f"true {what} [GeV]", ylabel="bias, bars: resolution")
        axes.legend()
    return figure
