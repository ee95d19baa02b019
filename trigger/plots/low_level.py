"""Figures of networks on what the layers of a detector see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.plots.style import COLOURS, LINES, histogram, label, labelled_axes, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trigger.decision.efficiency import Estimate

Floats = NDArray[np.float64]
_RESPONSES = np.linspace(0.2, 1.8, 65)


def average_images(averages: Mapping[str, NDArray[Any]], channels: Sequence[str], max_abs_eta: float) -> Figure:
    """Mean transverse energy of each pixel, a row a class and a column a channel.

    Args:
        averages: By class, shape `(rows, columns, channels)`.
        channels: Their names.
        max_abs_eta: Where the images end.
    """
    from matplotlib.colors import LogNorm

    with styled():
        figure, panels = new_panels(len(averages), len(channels), (6 * len(channels), 5.5 * len(averages)))
        for column, channel in enumerate(channels):
            whole = np.stack([image[..., column] for image in averages.values()])
            top = float(whole.max()) or 1.0
            for axes, (name, image) in zip(panels[:, column], averages.items(), strict=True):
                drawn = axes.imshow(
                    np.maximum(image[..., column], top * 1e-3), origin="lower", aspect="auto", cmap="viridis",
                    extent=(-max_abs_eta, max_abs_eta, -np.pi, np.pi), norm=LogNorm(top * 1e-3, top),
                )  # fmt: skip
                axes.set_xlabel(r"$\eta$", fontsize=14)
                axes.set_ylabel(r"$\phi$", fontsize=14)
                axes.set_title(f"{name.replace('_', ' ')}: {channel}", fontsize=14)
                figure.colorbar(drawn, ax=axes, label="mean E$_T$ [GeV]")
    return figure


def response_histograms(found: Mapping[str, Floats]) -> Figure:
    """Energy that showers were given over what they have, synthetic.

    Args:
        found: By the name of the clustering, the responses, shape `(showers,)`; NaN are left out.
    """
    with styled():
        figure, axes = labelled_axes(simulated=True)
        for colour, (name, values) in enumerate(found.items()):
            known = values[np.isfinite(values)]
            line = LINES[colour % len(LINES)]
            histogram(axes, known, np.ones(len(known)), _RESPONSES, name, colour, line)
        axes.axvline(1, linestyle=":", color="grey")
        axes.set(xlabel="energy given / energy of the shower", ylabel="share of showers / bin")
        axes.legend(title="synthetic showers")
    return figure


def track_scan(
    scans: Mapping[str, Sequence[tuple[float, float | None]]], thresholds: Sequence[float], scanned: str
) -> Figure:
    """Efficiency and fake rate of tracks: against the threshold of the network, and against each other.

    Args:
        scans: By name, efficiency and fake rate at each step; `None` where there is no candidate.
        thresholds: Of the steps of the one that is drawn against them.
        scanned: Its name.
    """
    with styled():
        figure, panels = new_panels(1, 2, (17, 7.5))
        left, right = panels.flat
        rates = np.array([(efficiency, np.nan if fake is None else fake) for efficiency, fake in scans[scanned]])
        for column, name in enumerate(("efficiency", "fake rate")):
            left.plot(thresholds, rates[:, column], LINES[column], color=COLOURS[column], label=name)
        left.set(xlabel="threshold of an edge's logit", ylabel="tracks (synthetic)", ylim=(0, 1.05))
        left.legend()
        for colour, (name, scan) in enumerate(scans.items()):
            points = np.array([(fake, efficiency) for efficiency, fake in scan if fake is not None]).reshape(-1, 2)
            right.plot(points[:, 0], points[:, 1], "o-", color=COLOURS[colour], label=name)
        right.set(xlabel="fake rate", ylabel="efficiency", xlim=(0, 1), ylim=(0, 1.05))
        right.legend()
        label(left, simulated=True, fontsize=16)
    return figure


def efficiency_by_pt(found: Mapping[str, tuple[Floats, Sequence[Estimate | None]]]) -> Figure:
    """Efficiency of tracks against pT, synthetic.

    Args:
        found: By name, edges of bins in GeV, and the efficiency of each; `None` where there is no particle.
    """
    with styled():
        figure, axes = labelled_axes(simulated=True)
        for colour, (name, (edges, shares)) in enumerate(found.items()):
            known = [
                (low, high, one) for low, high, one in zip(edges, edges[1:], shares, strict=False) if one is not None
            ]
            axes.errorbar(
                [np.sqrt(low * high) for low, high, _ in known], [one.value for *_, one in known],
                [one.uncertainty for *_, one in known], fmt="o-", color=COLOURS[colour], label=name,
            )  # fmt: skip
        axes.set(xlabel="pT of the particle [GeV]", ylabel="efficiency of tracks", xscale="log", ylim=(0, 1.05))
        axes.legend(title="synthetic tracks")
    return figure
