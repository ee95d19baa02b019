"""Figures of how a tagger depends on the parton shower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import Estimate
from trigger.inputs.images import JetImageInputs
from trigger.plots.style import COLOURS, LINES, label, labelled_axes, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


def ratios(
    efficiencies: Sequence[float], found: Mapping[str, tuple[Estimate, Sequence[Estimate]]], simulated: bool = True
) -> Figure:
    """Rejection on other simulations over that on the default, against the signal efficiency, and the envelope.

    Args:
        efficiencies: Of the signal.
        found: By simulation, difference of AUC, and ln of the ratio at each efficiency.
        simulated: Whether the jets are of a simulation.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        logarithms = np.array([[one.value for one in rows] for _, rows in found.values()])
        uncertainties = np.array([[one.uncertainty for one in rows] for _, rows in found.values()])
        with np.errstate(over="ignore"):
            low, high = (np.exp(np.nan_to_num(end, posinf=0, neginf=0)) for end in
                         (np.minimum(logarithms.min(axis=0), 0), np.maximum(logarithms.max(axis=0), 0)))  # fmt: skip
        axes.fill_between(efficiencies, low, high, color="grey", alpha=0.2, linewidth=0, label="envelope")
        axes.axhline(1, color="black", linewidth=1.5, label="default")
        for number, (name, row, errors) in enumerate(zip(found, logarithms, uncertainties, strict=True)):
            ratio = np.exp(row)
            shift = 0.004 * (number - len(found) / 2)
            axes.errorbar(
                np.asarray(efficiencies) + shift, ratio, ratio * np.nan_to_num(errors), capsize=2, label=name,
                fmt=LINES[number // len(COLOURS) % len(LINES)], color=COLOURS[number % len(COLOURS)],
            )  # fmt: skip
        axes.set(xlabel="signal efficiency", ylabel="rejection / rejection on the default", xlim=(0, 1))
        axes.legend(fontsize=12, ncols=2)
        axes.grid(alpha=0.3)
    return figure


def shower_images(
    means: Mapping[str, Floats], class_names: Sequence[str], images: JetImageInputs, simulated: bool = True
) -> Figure:
    """Mean image of each class minus the first simulation's, logarithmic both ways from a hundredth of the largest.

    Args:
        means: By simulation, mean image of each class, shape `(classes, rows, columns)`; the first is what is subtracted.
        class_names: Names of the classes.
        images: How they were made.
        simulated: Whether the jets are of a simulation.
    """
    reference, *others = means
    differences = np.stack([means[name] - means[reference] for name in others], axis=1)  # classes, simulations
    with styled():
        from matplotlib.colors import SymLogNorm

        largest = float(np.abs(differences).max()) or 1.0
        norm = SymLogNorm(largest / 100, vmin=-largest, vmax=largest)
        size = (4.6 * len(others) + 2, 4.6 * len(class_names) + 0.6)
        figure, panels = new_panels(len(class_names), len(others), size, shared=True)
        eta, phi = images.edges
        for row, name in enumerate(class_names):
            for column, other in enumerate(others):
                axes = panels[row, column]
                mesh = axes.pcolormesh(eta, phi, differences[row, column], norm=norm, cmap="RdBu_r", rasterized=True)
                axes.set_aspect("equal")
                axes.text(0.95, 0.95, f"{name}: {other} - {reference}", transform=axes.transAxes, ha="right", va="top",
                          fontsize=13, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8})  # fmt: skip
                if row == len(class_names) - 1:
                    axes.set_xlabel(images.axes[0])
                if column == 0:
                    axes.set_ylabel(images.axes[1])
        label(panels[0, 0], simulated, fontsize=16)
        figure.colorbar(mesh, ax=panels).set_label(f"difference of mean {images.quantity}", fontsize=16)
    return figure
