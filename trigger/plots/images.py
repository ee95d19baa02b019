"""Figures of jet images: what the jets of a class look like on average, and where classes differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import FeatureDataset
from trigger.errors import InputError, nearest
from trigger.inputs.images import JetGridInputs, JetImageInputs, pixels
from trigger.plots.style import label, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DECADES = 1e-4
"""Fainter than this share of the brightest pixel is drawn as nothing: it is a handful of jets."""


def average_images(sample: FeatureDataset, inputs: JetImageInputs | JetGridInputs, simulated: bool) -> Figure:
    """The mean image of each class, weighted, all on one logarithmic colour scale.

    Args:
        sample: The table that `inputs` made.
        inputs: How it was made.
        simulated: Whether the jets are of a simulation.
    """
    means = class_means(sample, inputs)
    with styled():
        from matplotlib.colors import LogNorm

        brightest = float(means.max())
        if brightest <= 0:
            raise InputError(f"all pixels of all {len(sample)} images are 0: there is nothing to draw")
        norm = LogNorm(brightest * _DECADES, brightest, clip=True)
        return _panels(means, sample.class_names, inputs, simulated, norm, "viridis", f"mean {inputs.quantity}")


def difference_images(
    sample: FeatureDataset, inputs: JetImageInputs | JetGridInputs, reference: str, simulated: bool
) -> Figure:
    """The mean image of every other class minus the reference's, logarithmic both ways from a thousandth of the largest.

    Args:
        sample: The table that `inputs` made.
        inputs: How it was made.
        reference: Name of the class that is subtracted.
        simulated: Whether the jets are of a simulation.

    Raises:
        InputError: There is no such class.
    """
    if reference not in sample.class_names:
        raise InputError(f"there is no class {reference!r}; nearest: {nearest(reference, sample.class_names)}")
    means = class_means(sample, inputs)
    at = sample.class_names.index(reference)
    differences = np.delete(means, at, axis=0) - means[at]
    names = [f"{name} - {reference}" for name in sample.class_names if name != reference]
    with styled():
        from matplotlib.colors import SymLogNorm

        largest = float(np.abs(differences).max()) or 1.0
        norm = SymLogNorm(largest / 1000, vmin=-largest, vmax=largest)
        return _panels(differences, names, inputs, simulated, norm, "RdBu_r", f"difference of mean {inputs.quantity}")


def class_means(sample: FeatureDataset, inputs: JetImageInputs | JetGridInputs) -> NDArray[np.float64]:
    """Weighted mean image of each class, shape `(classes, rows, columns)`.

    Raises:
        InputError: The table is not of these images, or a class has no jet or no weight.
    """
    image = pixels(sample, inputs.rows, inputs.columns)
    weight = np.bincount(sample.labels, sample.weights, minlength=len(sample.class_names))
    if (weight == 0).any():
        raise InputError(f"class {sample.class_names[int(weight.argmin())]!r} has no jets of any weight to average")
    share = np.zeros((len(weight), len(sample)))
    share[sample.labels, np.arange(len(sample))] = sample.weights / weight[sample.labels]
    means: NDArray[np.float64] = np.tensordot(share, image, axes=1)
    return means


def _panels(
    images: NDArray[np.float64], names: Sequence[str], inputs: JetImageInputs | JetGridInputs, simulated: bool, norm: Any,
    colours: str, scale: str,
) -> Figure:  # fmt: skip
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure, panels = new_panels(down, across, (5 * across + 2, 4.6 * down + 0.6), shared=True)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    eta, phi = inputs.edges
    for number, (axes, image, name) in enumerate(zip(panels.flat, images, names, strict=False)):
        mesh = axes.pcolormesh(eta, phi, image, norm=norm, cmap=colours, rasterized=True)
        axes.set_aspect("equal")
        axes.text(0.95, 0.95, name, transform=axes.transAxes, ha="right", va="top", fontsize=16,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8})  # fmt: skip
        if number >= len(names) - across:
            axes.set_xlabel(inputs.axes[0])
            axes.tick_params(labelbottom=True)
        if number % across == 0:
            axes.set_ylabel(inputs.axes[1])
    label(panels[0, 0], simulated, fontsize=16)
    figure.colorbar(mesh, ax=panels).set_label(scale, fontsize=16)
    return figure
