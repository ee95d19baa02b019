"""Figures of what convolutional networks see in jet images, and of what they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import Estimate
from trigger.inputs.images import JetImageInputs
from trigger.plots.style import COLOURS, label, labelled_axes, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_DECADES = 1e-4
"""Fainter than this share of the brightest pixel is drawn as nothing."""


def growing_images(
    averages: Mapping[int, tuple[Floats, Floats]], inputs: JetImageInputs, simulated: bool = True
) -> Figure:
    """Mean images of signal and background and their difference, a column for each number of jets.

    Args:
        averages: By the number of jets of each: the image of signal and that of background, with one unit.
        inputs: How the images were made.
        simulated: Whether the jets are of a simulation.
    """
    with styled():
        from matplotlib.colors import LogNorm, SymLogNorm

        figure, panels = new_panels(3, len(averages), (3.4 * len(averages) + 2, 11), shared=True)
        brightest = max(float(image.max()) for pair in averages.values() for image in pair) or 1.0
        last = list(averages.values())[-1]
        largest = float(np.abs(last[0] - last[1]).max()) or 1.0
        means = LogNorm(brightest * _DECADES, brightest, clip=True)
        differences = SymLogNorm(largest / 100, vmin=-largest, vmax=largest)
        for column, (count, (signal, background)) in enumerate(averages.items()):
            rows = (
                (signal, means, "viridis"),
                (background, means, "viridis"),
                (signal - background, differences, "RdBu_r"),
            )
            meshes = [
                panels[row, column].pcolormesh(*inputs.edges, image, norm=norm, cmap=colours, rasterized=True)
                for row, (image, norm, colours) in enumerate(rows)
            ]
            noun = "jet" if count == 1 else "jets"
            panels[1, column].set_title(f"{count:,} {noun} each", fontsize=16)
            panels[2, column].set_xlabel(inputs.axes[0], fontsize=16)
        for row, name in enumerate(("signal", "background", "difference")):
            panels[row, 0].set_ylabel(f"{name}\n{inputs.axes[1]}", fontsize=16)
        for axes in panels.flat:
            axes.set_aspect("equal")
            axes.tick_params(labelsize=12)
        label(panels[0, 0], simulated, fontsize=16)
        figure.colorbar(meshes[0], ax=panels[:2]).set_label("mean pixel", fontsize=16)
        figure.colorbar(meshes[2], ax=panels[2]).set_label("difference", fontsize=16)
    return figure


def filters(kernels: NDArray[np.floating[Any]]) -> Figure:
    """The filters of a first convolution, shape `(filters, rows, columns)`, each on a scale of its own about 0."""
    with styled():
        return _about_zero(kernels, "weight / the filter's largest", own=True)


def convolved_differences(responses: Floats) -> Figure:
    """For each filter what it makes of the mean signal image minus that of the background, on one scale about 0.

    Args:
        responses: Shape `(filters, rows, columns)`.
    """
    with styled():
        return _about_zero(responses, "convolved signal minus background", own=False)


def correlation_image(correlation: Floats, inputs: JetImageInputs, simulated: bool = True) -> Figure:
    """Correlation of a network's output with each pixel, shape `(rows, columns)`."""
    with styled():
        figure, axes = labelled_axes(simulated)
        largest = float(np.abs(correlation).max()) or 1.0
        mesh = axes.pcolormesh(*inputs.edges, correlation, vmin=-largest, vmax=largest, cmap="RdBu_r", rasterized=True)
        axes.set(xlabel=inputs.axes[0], ylabel=inputs.axes[1], aspect="equal")
        figure.colorbar(mesh, ax=axes).set_label("correlation of the output with the pixel")
    return figure


def filter_sizes(areas: Mapping[int, Estimate], simulated: bool = True) -> Figure:
    """Area under the ROC curve against the side of the first convolution's filters."""
    with styled():
        figure, axes = labelled_axes(simulated)
        axes.errorbar(
            list(areas), [one.value for one in areas.values()], [one.uncertainty for one in areas.values()], fmt="o-",
            capsize=4, color=COLOURS[0],
        )  # fmt: skip
        axes.set(xlabel="side of the first filters [pixels]", ylabel="area under the ROC curve", xticks=list(areas))
        axes.grid(alpha=0.3)
    return figure


def _about_zero(images: Sequence[Any] | NDArray[Any], scale: str, own: bool) -> Figure:
    """Small images with colours about 0, each divided by its own largest value or all on one scale."""
    across = min(8, len(images))
    down = -(-len(images) // across)
    figure, panels = new_panels(down, across, (2 * across + 2, 2 * down + 0.8), shared=True)
    largest = float(np.abs(images).max()) or 1.0
    for axes in panels.flat[len(images) :]:
        axes.set_visible(False)
    for axes, image in zip(panels.flat, images, strict=False):
        size = (float(np.abs(image).max()) or 1.0) if own else 1.0
        reach = 1.0 if own else largest
        mesh = axes.imshow(image / size, origin="lower", cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(mesh, ax=panels).set_label(scale, fontsize=14)
    return figure
