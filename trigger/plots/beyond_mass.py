"""Figures of variables and networks before and after signal is weighted to the background's spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trigger.plots.style import histogram, label, new_panels, styled

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
        across = min(2, len(shown))
        down = -(-len(shown) // across)
        figure, panels = new_panels(down, across, (8 * across, 6.5 * down))
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
