"""Figures of the study of jet trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trigger.decision.efficiency import Estimate
from trigger.plots.style import COLOURS, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def tree_orders(
    found: Mapping[str, tuple[Estimate, Estimate]], reference_name: str, reference: Estimate, simulated: bool = True
) -> Figure:
    """AUC of the simple and of the gated network for each order of merging.

    Args:
        found: By order, of the simple and of the gated network.
        reference_name: What the band is.
        reference: Drawn as a band one standard deviation wide to either side.
        simulated: Whether the sample is simulated.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        place = np.arange(len(found))
        for number, name in enumerate(("simple", "gated")):
            pair = [one[number] for one in found.values()]
            axes.errorbar(
                place + 0.2 * number - 0.1, [one.value for one in pair], [one.uncertainty for one in pair], fmt="os"[number],
                capsize=4, color=COLOURS[number], label=name,
            )  # fmt: skip
        low, high = reference.value - reference.uncertainty, reference.value + reference.uncertainty
        axes.axhspan(low, high, color=COLOURS[2], alpha=0.4, label=reference_name)
        axes.set_xticks(place, list(found), rotation=20, ha="right")
        axes.set(ylabel="AUC", xlim=(-0.5, len(found) - 0.5))
        axes.grid(axis="y", alpha=0.3)
        axes.legend()
    return figure


def event_readings(found: Mapping[str, Estimate], simulated: bool = True) -> Figure:
    """AUC of each way to read events.

    Args:
        found: By way.
        simulated: Whether the sample is simulated.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        place = np.arange(len(found))
        values = list(found.values())
        axes.errorbar(place, [one.value for one in values], [one.uncertainty for one in values], fmt="o", capsize=6,
                      color=COLOURS[0])  # fmt: skip
        axes.set_xticks(place, list(found), rotation=15, ha="right")
        axes.set(ylabel="AUC", xlim=(-0.5, len(found) - 0.5))
        axes.grid(axis="y", alpha=0.3)
    return figure
