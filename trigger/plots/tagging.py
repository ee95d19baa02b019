"""Figures of a tagger: what it was given, how it learned, what it tells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import FeatureDataset
from trigger.decision.efficiency import roc_curve, softmax
from trigger.plots.style import COLOURS, LINES, histogram, labelled_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mass_by_class(sample: FeatureDataset, simulated: bool) -> Figure:
    """The groomed mass of each class, normalised."""
    bins = np.linspace(0, 250, 51)
    with styled():
        figure, axes = labelled_axes(simulated)
        for label, name in enumerate(sample.class_names):
            chosen = sample.labels == label
            histogram(axes, sample.column("mass_gev")[chosen], sample.weights[chosen], bins, name, label)
        axes.set(xlabel="groomed mass [GeV]", ylabel="share of jets", xlim=(0, 250))
        axes.legend()
    return figure


def roc(
    logits: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64], weights: NDArray[np.float64],
    class_names: Sequence[str], simulated: bool,
) -> Figure:  # fmt: skip
    """Background against signal efficiency of each class against the rest, for every set of logits together."""
    with styled():
        figure, axes = labelled_axes(simulated)
        for style, (which, one) in zip(LINES, logits.items(), strict=False):
            probability = softmax(one)
            for label, name in enumerate(class_names):
                background, signal = roc_curve(probability[:, label], labels == label, weights)
                axes.plot(signal, background, style, color=COLOURS[label % len(COLOURS)],
                          label=name if style == LINES[0] else None)  # fmt: skip
            axes.plot([], [], style, color="grey", label=which)
        axes.set(xlabel="signal efficiency", ylabel="background efficiency", yscale="log", ylim=(1e-3, 1), xlim=(0, 1))
        axes.legend(ncols=2)
        axes.grid(alpha=0.3)
    return figure


def history(histories: Mapping[str, Mapping[str, Sequence[float]]], simulated: bool) -> Figure:
    """Loss by epoch, in training and validation."""
    with styled():
        figure, axes = labelled_axes(simulated)
        for number, (name, one) in enumerate(histories.items()):
            epochs = np.arange(1, len(one["loss"]) + 1)
            axes.plot(epochs, one["loss"], color=COLOURS[number], label=f"{name}, training")
            axes.plot(epochs, one["val_loss"], "--", color=COLOURS[number], label=f"{name}, validation")
        axes.set(xlabel="epoch", ylabel="loss")
        axes.legend()
    return figure


def scores(
    logits: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64], class_names: Sequence[str],
    simulated: bool,
) -> Figure:  # fmt: skip
    """For each class, the probability that its own jets are given and the one that all others are given."""
    probability = softmax(logits)
    bins = np.linspace(0, 1, 41)
    with styled():
        figure, axes = labelled_axes(simulated)
        for label, name in enumerate(class_names):
            own = labels == label
            histogram(axes, probability[own, label], weights[own], bins, name, label)
            histogram(axes, probability[~own, label], weights[~own], bins, None, label, "--")
        axes.plot([], [], "--", color="grey", label="other classes")
        axes.set(xlabel="probability of the class", ylabel="share of jets", yscale="log", xlim=(0, 1))
        axes.legend(ncols=2)
    return figure
