"""Figures of an anomaly detector: what it tells apart, what its score looks like, what it adds to cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trigger.decision.anomaly import RESOLUTION, CutComparison, Scores
from trigger.decision.efficiency import Estimate, roc_curve
from trigger.errors import InputError
from trigger.plots.style import COLOURS, LINES, histogram, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 60
_SHOWN = 0.999
"""Share of every class's rows within the axis of a score distribution; a squared error has a tail without an end."""


def roc(
    scores: Mapping[str, Scores], labels: NDArray[np.int64], weights: NDArray[np.float64], class_names: Sequence[str],
    background: Sequence[str], simulated: bool,
) -> Figure:  # fmt: skip
    """Efficiency of each signal against the share of the background that is accepted, for every set of scores together.

    Curves begin where `RESOLUTION` rows of the background are accepted.
    """
    back = np.isin(labels, [class_names.index(name) for name in background])
    smallest = min(0.1, RESOLUTION / max(1, back.sum()))
    with styled():
        figure, axes = labelled_axes(simulated)
        for style, (which, score) in zip(LINES, scores.items(), strict=False):
            for colour, (name, rows) in enumerate(_signals(labels, class_names, background).items()):
                pair = back | rows
                accepted, efficiency = roc_curve(score[pair].astype(np.float64), rows[pair], weights[pair])
                seen = accepted >= smallest
                axes.plot(accepted[seen], efficiency[seen], style, color=COLOURS[colour % len(COLOURS)],
                          label=name if style == LINES[0] else None)  # fmt: skip
            axes.plot([], [], style, color="grey", label=which)
        chance = np.geomspace(smallest, 1, 50)
        axes.plot(chance, chance, color="lightgrey", linewidth=1, label="chance")
        axes.set(
            xlabel="background efficiency", ylabel="signal efficiency", xscale="log", xlim=(smallest, 1), ylim=(0, 1)
        )
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=14)
        axes.grid(alpha=0.3)
    return figure


def score_distributions(
    score: Scores, labels: NDArray[np.int64], weights: NDArray[np.float64], class_names: Sequence[str],
    background: Sequence[str], simulated: bool, threshold: float | None = None,
) -> Figure:  # fmt: skip
    """The score of the background and of each signal, normalised; what is beyond the axis is in its last bin.

    Args:
        score: One score a row, shape `(rows,)`.
        labels: True classes.
        weights: Weight of each row.
        class_names: Names of the classes.
        background: Those of them that are the background, which is drawn as one.
        simulated: Whether the rows are of a simulation.
        threshold: Drawn where it is given.
    """
    values = score.astype(np.float64)
    bins = _bins(score, labels)
    inside = np.clip(values, bins[0], np.nextafter(bins[-1], -np.inf))
    back = np.isin(labels, [class_names.index(name) for name in background])
    with styled():
        figure, axes = labelled_axes(simulated)
        counts, _ = np.histogram(inside[back], bins, weights=weights[back] / weights[back].sum())
        axes.stairs(counts, bins, fill=True, color="lightgrey", label=", ".join(background))
        for colour, (name, rows) in enumerate(_signals(labels, class_names, background).items()):
            histogram(axes, inside[rows], weights[rows], bins, name, colour)
        if threshold is not None:
            axes.axvline(threshold, color="black", linestyle=":", label="threshold")
        axes.set(xlabel="anomaly score", ylabel="share", yscale="log", xlim=(bins[0], bins[-1]))
        axes.legend(ncols=2, fontsize=13)
    return figure


def efficiencies(found: CutComparison, simulated: bool) -> Figure:
    """For each signal what the score, every cut, the best of them, the menu, and menu and score accept.

    Less than a tenth of the background's share is drawn as that.

    Raises:
        InputError: Nothing is known, because the background is too small for the fraction.
    """
    known = {name: one for name, one in found.signals.items() if one is not None}
    if not known:
        raise InputError(f"no efficiency to draw: {'; '.join(found.notes)}")
    with styled():
        figure, axes = labelled_axes(simulated)
        figure.set_size_inches(10, 3.5 + 1.1 * len(known))
        drawn: list[tuple[str, str, str, list[Estimate | None]]] = [
            ("best cut", "s", COLOURS[4], [one.best_cut for one in known.values()]),
            ("menu of cuts", "D", COLOURS[0], [one.menu for one in known.values()]),
            ("menu and score", "^", COLOURS[2], [one.menu_and_score for one in known.values()]),
            ("score", "o", COLOURS[1], [one.score for one in known.values()]),
        ]
        places = np.arange(len(known), dtype=float)
        floor = found.fraction / 10
        for place, one in zip(places, known.values(), strict=True):
            cuts = [max(cut.value, floor) for cut in one.cuts.values()]
            axes.plot(cuts, np.full(len(cuts), place), "|", color="grey", markersize=14,
                      label="each cut" if place == 0 else None)  # fmt: skip
        for offset, (label, marker, colour, row) in zip((-0.24, -0.08, 0.08, 0.24), drawn, strict=True):
            there = [
                (at, one) for at, one in zip(places, row, strict=True) if one is not None and np.isfinite(one.value)
            ]
            if there:
                axes.errorbar(
                    [max(one.value, floor) for _, one in there], [at + offset for at, _ in there],
                    xerr=[one.uncertainty if np.isfinite(one.uncertainty) else 0 for _, one in there],
                    fmt=marker, color=colour, label=label, capsize=3, markersize=8,
                )  # fmt: skip
        axes.axvline(found.fraction, color="lightgrey", linestyle="--", label="background")
        axes.set(xscale="log", xlim=(floor * 0.9, 1.1), xlabel=f"efficiency at {found.fraction:.3g} of the background")
        axes.set_yticks(places, list(known))
        axes.set_ylim(len(known) - 0.5, -0.5)
        axes.tick_params(axis="y", which="minor", left=False, right=False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=14)
    return figure


def _signals(
    labels: NDArray[np.int64], class_names: Sequence[str], background: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    return {name: labels == label for label, name in enumerate(class_names) if name not in background}


def _bins(score: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Edges that hold nearly all rows of every class; of integer codes each bin has equally many."""
    low = float(score.min())
    high = max(float(np.quantile(score[labels == label], _SHOWN)) for label in np.unique(labels))
    if score.dtype.kind in "iu":
        width = max(1, int(np.ceil((high - low + 1) / _BINS)))
        edges: NDArray[np.float64] = np.arange(low, high + width + 1, width) - 0.5
        return edges
    return np.linspace(low, high if high > low else low + 1, _BINS + 1)
