"""Figures of tagging by observables: masses of each class by groomer, and how well each two classes are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trigger.data.jets import FeatureDataset
from trigger.decision.efficiency import Estimate
from trigger.plots.style import histogram, label, labelled_axes, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEAVIEST_GEV, _BINS, _ACROSS = 250.0, 50, 3
_DARK = 0.75
"""AUC above which the colour is dark, so that text on it is white."""


def mass_spectra(jets: FeatureDataset, masses: Sequence[str], simulated: bool = True) -> Figure:
    """Weighted shares of the jets of each class by mass, a panel a mass.

    Args:
        jets: A table with columns of these names, in GeV.
        masses: Such as `mass_gev`, `soft_drop_mass_gev`.
        simulated: Whether the jets are simulated.
    """
    with styled():
        down = -(-(len(masses) + 1) // _ACROSS)
        figure, grid = new_panels(down, _ACROSS, (5.5 * _ACROSS, 5 * down))
        panels = grid.flat
        edges = np.linspace(0, _HEAVIEST_GEV, _BINS + 1)
        for axes, name in zip(panels, masses, strict=False):
            for number, one in enumerate(jets.class_names):
                of = jets.take(jets.labels == number)
                histogram(axes, of.column(name), of.weights, edges, one, number)
            axes.set(xlim=(0, _HEAVIEST_GEV), ylim=(0, None))
            axes.set_xlabel(f"{name.removesuffix('_gev').replace('_', ' ')} [GeV]", fontsize=18)
            axes.set_ylabel(f"jets / {_HEAVIEST_GEV / _BINS:.0f} GeV", fontsize=18)
        label(panels[0], simulated, fontsize=16)
        lines, names = panels[0].get_legend_handles_labels()
        for axes in panels[len(masses) :]:
            axes.set_axis_off()
        panels[len(masses)].legend(lines, names, loc="center", fontsize=20)
    return figure


def pairwise(
    classes: Sequence[str], pairs: Mapping[tuple[str, str], tuple[Estimate, Estimate]], simulated: bool = True
) -> Figure:
    """A table in colours: AUC above the diagonal, rejection below.

    Args:
        classes: In the order of rows and columns.
        pairs: By background and signal, of which the background comes first among the classes: the AUC, and how often the
            background is rejected at half of the signal's efficiency.
        simulated: Whether the jets are simulated.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        figure.set_size_inches(11, 9)
        area = np.full((len(classes), len(classes)), np.nan)
        for (background, signal), (auc, rejection) in pairs.items():
            row, column = classes.index(background), classes.index(signal)
            area[row, column] = area[column, row] = auc.value
            for at, text in (((column, row), _text(auc, 3)), ((row, column), _text(rejection, 1))):
                axes.text(*at, text, ha="center", va="center", fontsize=14,
                          color="white" if auc.value > _DARK else "black")  # fmt: skip
        image = axes.imshow(area, cmap="Blues", vmin=0.5, vmax=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(range(len(classes)), classes)
            axis.set_tick_params(which="both", length=0)
        axes.set_xlabel("above the diagonal: AUC\nbelow: rejection of the column's class at half the row's efficiency",
                        loc="center", fontsize=16)  # fmt: skip
        figure.colorbar(image, ax=axes).set_label("AUC")
    return figure


def _text(found: Estimate, digits: int) -> str:
    if not np.isfinite(found.value):
        return "-"
    spread = f"\n±{found.uncertainty:.{digits}f}" if np.isfinite(found.uncertainty) else ""
    return f"{found.value:.{digits}f}{spread}"
