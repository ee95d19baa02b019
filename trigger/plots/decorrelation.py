"""Figures of taggers that are kept from the mass and from nuisances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import Estimate
from trigger.plots.style import COLOURS, histogram, label, labelled_axes, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


class Stable(Protocol):
    """What a nuisance does to a tagger."""

    @property
    def name(self) -> str:
        """Of the tagger."""

    @property
    def significance(self) -> Floats:
        """By threshold."""

    @property
    def uncertainty(self) -> Floats:
        """Of the significance."""

    @property
    def largest(self) -> Estimate:
        """Significance at the best threshold."""


def tradeoff(
    methods: Mapping[str, Sequence[tuple[Estimate, Estimate]]], limit: tuple[Floats, Floats], simulated: bool = True
) -> Figure:
    """Background rejection at 50 % signal efficiency against 1/JSD.

    Args:
        methods: By name, 1/JSD and rejection of each tagger; those of a method with several are joined.
        limit: 1/JSD and rejection of a tagger that knows nothing of the mass, on so many jets.
        simulated: Whether the jets are of a simulation.
    """
    with styled():
        figure, axes = labelled_axes(simulated)
        rejections = [pair[1].value for points in methods.values() for pair in points if np.isfinite(pair[1].value)]
        for number, (name, points) in enumerate(methods.items()):
            flatness, rejection = ([pair[part] for pair in points] for part in (0, 1))
            axes.errorbar(
                [one.value for one in flatness], [one.value for one in rejection], _bars(rejection), _bars(flatness),
                fmt="o-" if len(points) > 1 else "s", capsize=3, color=COLOURS[number % len(COLOURS)], label=name,
            )  # fmt: skip
        reach = axes.get_xlim(), axes.get_ylim()
        axes.plot(*limit, ":", color="grey", label="limit of the sample")
        axes.set(xlabel="1/JSD", ylabel="background rejection at 50 %", xscale="log", yscale="log")
        axes.set(
            xlim=(1, max(reach[0][1], 10)), ylim=(max(min(rejections, default=2) / 2, 1), max(2 * reach[1][1], 10))
        )
        axes.legend(fontsize=13)
        axes.grid(alpha=0.3, which="both")
    return figure


def mass_spectra(
    scores: Mapping[str, Floats], is_signal: NDArray[np.bool_], weights: Floats, mass_gev: Floats,
    window: tuple[float, float], simulated: bool = True,
) -> Figure:  # fmt: skip
    """The background's mass spectrum, all of it and what passes each tagger at 50 % signal efficiency.

    Args:
        scores: By tagger, of each held-out jet, larger for signal.
        is_signal: Which are signal.
        weights: Weight of each.
        mass_gev: Mass of each.
        window: Range of the mass.
        simulated: Whether the jets are of a simulation.
    """
    bins = np.linspace(*window, 26)
    with styled():
        figure, axes = labelled_axes(simulated)
        histogram(axes, mass_gev[~is_signal], weights[~is_signal], bins, "all background", 6)
        for number, (name, one) in enumerate(scores.items()):
            order = np.argsort(-one[is_signal], kind="stable")
            shares = np.cumsum(weights[is_signal][order]) / weights[is_signal].sum()
            passing = ~is_signal & (one >= one[is_signal][order][np.searchsorted(shares, 0.5)])
            if weights[passing].sum() > 0:
                histogram(axes, mass_gev[passing], weights[passing], bins, f"passes {name}", number)
        axes.set(xlabel="mass [GeV]", ylabel="share of background jets", xlim=window)
        axes.legend(fontsize=14)
    return figure


def pivots(
    found: Sequence[Stable], areas: Sequence[Sequence[Estimate]], efficiencies: Floats, nuisance: str, simulated: bool = True
) -> Figure:  # fmt: skip
    """AUC at both values of a nuisance by tagger, and the approximate median significance by threshold.

    Args:
        found: What the nuisance does to each tagger.
        areas: For each, AUC at the nominal and at the other value.
        efficiencies: Signal efficiency of each threshold.
        nuisance: Its name.
        simulated: Whether the jets are of a simulation.
    """
    with styled():
        figure, panels = new_panels(1, 2, (17, 7.5))
        left, right = panels.flat
        label(left, simulated, fontsize=16)
        names = [one.name.partition(", ")[2] for one in found]
        for part, name in enumerate(("nominal", nuisance)):
            column = [pair[part] for pair in areas]
            left.errorbar(
                np.arange(len(names)) + 0.1 * part, [one.value for one in column], _bars(column), fmt="o-", capsize=3,
                color=COLOURS[part], label=f"AUC on {name}",
            )  # fmt: skip
        best = left.twinx()
        largest = [one.largest for one in found]
        best.errorbar(np.arange(len(names)) + 0.2, [one.value for one in largest], _bars(largest), fmt="s--", capsize=3,
                      color=COLOURS[2], label="largest AMS")  # fmt: skip
        best.set_ylabel("largest AMS")
        left.set_xticks(np.arange(len(names)), names, rotation=25, ha="right", fontsize=14)
        left.set_ylabel("AUC")
        left.legend(handles=[*_handles(left), *_handles(best)], fontsize=13)
        for number, (name, one) in enumerate(zip(names, found, strict=True)):
            colour = COLOURS[number % len(COLOURS)]
            right.plot(efficiencies, one.significance, color=colour, label=name)
            right.fill_between(efficiencies, one.significance - one.uncertainty, one.significance + one.uncertainty,
                               color=colour, alpha=0.15, linewidth=0)  # fmt: skip
        right.set(xlabel="signal efficiency", ylabel="approximate median significance", xlim=(0, 1))
        right.legend(fontsize=13)
    return figure


def _handles(axes: Any) -> list[Any]:
    handles: list[Any] = axes.get_legend_handles_labels()[0]
    return handles


def _bars(column: Sequence[Estimate]) -> list[float]:
    """Lengths of error bars; none where an uncertainty is not known."""
    return [one.uncertainty if np.isfinite(one.uncertainty) else 0.0 for one in column]
