"""Figures of variables and networks before and after signal is weighted to the background's spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.plots.style import COLOURS, histogram, label, labelled_axes, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_BINS, _TAIL = 40, 0.002


@dataclass(frozen=True)
class Shown:
    """A variable to be shown: its name and the value of each jet, shape `(jets,)`."""

    name: str
    values: Floats


def spectra(
    shown: Sequence[Shown], is_signal: NDArray[np.bool_], before: Floats, after: Floats, simulated: bool = True
) -> Figure:
    """Spectra of variables: signal before and after it is weighted, and background; a panel each.

    Args:
        shown: The variables.
        is_signal: Shape `(jets,)`.
        before: Weights before, shape `(jets,)`.
        after: Weights after, shape `(jets,)`.
        simulated: Whether the jets are of a simulation.
    """
    with styled():
        figure, alone = new_figure()
        alone.remove()
        across = min(2, len(shown))
        down = -(-len(shown) // across)
        figure.set_size_inches(8 * across, 6.5 * down)
        panels: Any = figure.subplots(down, across, squeeze=False)
        for axes in panels.flat[len(shown) :]:
            axes.set_visible(False)
        for axes, one in zip(panels.flat, shown, strict=False):
            low, high = np.quantile(one.values, [_TAIL, 1 - _TAIL])
            edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
            for colour, (name, chosen, weights, line) in enumerate((
                ("signal", is_signal, before, "--"), ("signal, weighted", is_signal, after, "-"),
                ("background", ~is_signal, after, "-"),
            )):  # fmt: skip
                histogram(axes, one.values[chosen], weights[chosen], edges, name, colour, line)
            axes.set_xlabel(one.name, fontsize=14)
            axes.set_ylabel("share of jets / bin", fontsize=16)
            axes.legend(fontsize=13)
        label(panels[0, 0], simulated, fontsize=16)
    return figure


def rejections(
    before: Mapping[str, tuple[Floats, Floats]], after: Mapping[str, tuple[Floats, Floats]], simulated: bool = True
) -> Figure:
    """Background rejection against signal efficiency, before weighting dashed and after it solid.

    Args:
        before: By name of the tagger, signal efficiencies and rejections.
        after: The same after weighting; a tagger has one colour in both.
        simulated: Whether the jets are of a simulation.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        colours = dict(zip(dict.fromkeys((*before, *after)), COLOURS, strict=False))
        for curves, line, when in ((before, "--", ", before"), (after, "-", "")):
            for name, (efficiency, rejection) in curves.items():
                known = np.isfinite(rejection)
                axes.plot(efficiency[known], rejection[known], line, color=colours[name], label=f"{name}{when}")
        guess = np.linspace(0.01, 1, 100)
        axes.plot(guess, 1 / guess, ":", color="grey", label="random guess")
        axes.set(xlabel="signal efficiency", ylabel="background rejection", yscale="log", xlim=(0, 1), ylim=(0.8, None))
        axes.legend(fontsize=12)
        axes.grid(alpha=0.3)
    return figure
