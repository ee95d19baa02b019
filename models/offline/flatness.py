"""How much a tagger bends the background's spectrum of a protected number, and what flatness costs in rejection.

The spectrum of the background that passes a threshold, p, is compared with that of the background that fails, q, in bins, by
the Jensen-Shannon divergence with logarithms to base 2, so in bits:

    JSD = (K(p, m) + K(q, m)) / 2,    m = (p + q) / 2,    K(p, m) = sum_i p_i log2(p_i / m_i).

It is between 0, nothing bent, and 1. The threshold is that of 50 % signal efficiency.

References:
    Divergence: doi:10.1109/18.61115. 1/JSD against rejection at 50 %: ATLAS, ATL-PHYS-PUB-2018-014; arXiv:2001.05310.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.offline.merit import REPLICAS, HeldOut, Scored, mean_difference, mean_over_models
from trigger.decision.efficiency import Estimate, bootstrap
from trigger.errors import InputError

Floats = NDArray[np.float64]
SIGNAL_EFFICIENCY = 0.5
GRID = 25
"""Flatnesses at which two trade-off curves are compared."""


@dataclass(frozen=True)
class Bending:
    """Divergence and rejection of a tagger, for every model and replica of the held-out jets.

    Attributes:
        name: Of the tagger.
        divergence: In bits, shape `(models, 1 + replicas)`; the first replica is the sample itself.
        rejection: Inverse of the background efficiency, of the same shape.
    """

    name: str
    divergence: Floats
    rejection: Floats

    @property
    def flatness(self) -> Estimate:
        """1/JSD, of the mean over the models."""
        return _inverse(mean_over_models(self.divergence))

    @property
    def background_rejection(self) -> Estimate:
        """Mean over the models."""
        return mean_over_models(self.rejection)

    @property
    def logarithms(self) -> tuple[Floats, Floats]:
        """Logarithms of 1/JSD and of the rejection, which is how the two are compared."""
        with np.errstate(divide="ignore"):
            return -np.log(self.divergence), np.log(self.rejection)


def jensen_shannon(first: Floats, second: Floats) -> Floats:
    """The divergence of two spectra in bits.

    Args:
        first: Contents of the bins, not negative, shape `(..., bins)`.
        second: Of the same shape.

    Returns:
        Shape `(...)`; NaN where a spectrum is empty.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = (one / one.sum(axis=-1, keepdims=True) for one in (first, second))
    middle = (p + q) / 2
    terms = [one * np.log2(np.where(one > 0, one / np.where(middle > 0, middle, 1), 1)) for one in (p, q)]
    divergence: Floats = np.sum(terms, axis=(0, -1)) / 2
    return divergence


def bending(tagger: Scored, held: HeldOut, values: Floats, edges: Floats, seed: int) -> Bending:
    """How much a tagger bends the background's spectrum at 50 % signal efficiency.

    Args:
        tagger: Its answers.
        held: The jets.
        values: The protected number of each, shape `(jets,)`.
        edges: Inner edges of the bins, shape `(bins - 1,)`.
        seed: Of the bootstrap over events; the same seed gives the same replicas of the same jets.
    """
    sampled = bootstrap(held.events, held.weights, seed, REPLICAS)
    place = np.searchsorted(edges, values, side="right")
    bins = len(edges) + 1
    divergences, rejections = [], []
    for scores in tagger.scores:
        order = np.argsort(-scores, kind="stable")
        ordered, falling = sampled[:, order], scores[order]
        is_signal, where = held.is_signal[order], place[order]
        signal = np.cumsum(ordered * is_signal, axis=1)
        first = np.argmax(signal >= SIGNAL_EFFICIENCY * signal[:, -1:], axis=1)
        last = np.searchsorted(-falling, -falling[first], side="right")  # of the jets with the score of the threshold
        spectra = np.zeros((2, len(sampled), bins))
        for replica, (weights, stop) in enumerate(zip(ordered * ~is_signal, last, strict=True)):
            for part, chosen in enumerate((slice(0, stop), slice(stop, None))):
                spectra[part, replica] = np.bincount(where[chosen], weights[chosen], minlength=bins)
        passing, failing = spectra.sum(axis=-1)
        divergences.append(jensen_shannon(*spectra))
        with np.errstate(divide="ignore", invalid="ignore"):
            rejections.append((passing + failing) / passing)
    return Bending(tagger.name, np.stack(divergences), np.stack(rejections))


def chance_divergence(held: HeldOut, bins: int, rejection: float) -> float:
    """About what divergence a threshold that knows nothing of the spectrum has, for the sample is finite.

    The mean of a likelihood ratio of equal spectra is half its degrees of freedom, `bins - 1` (Wilks,
    doi:10.1214/aoms/1177732360).

    Args:
        held: The jets.
        bins: Of the spectrum.
        rejection: Inverse of the background efficiency, at least 1.

    Returns:
        In bits; infinite where nothing passes or nothing fails.
    """
    if not 1 < rejection < np.inf:
        return float("inf")
    weights = held.weights[~held.is_signal]
    effective = weights.sum() ** 2 / (weights**2).sum()
    passing, failing = effective / rejection, effective * (1 - 1 / rejection)
    return float((bins - 1) / (8 * np.log(2)) * (1 / passing + 1 / failing))


def log_ratio(first: Floats, second: Floats) -> Estimate:
    """Natural logarithm of the ratio of two figures of shape `(models, 1 + replicas)`, the replicas being the same."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = [np.log(one) for one in (first, second)]
    return mean_difference(logarithms[0], logarithms[1])


def gain_at_equal_flatness(first: list[Bending], second: list[Bending]) -> Estimate:
    """How much more background one method rejects than another, where both bend the spectrum alike.

    Each method is a curve of ln of the rejection against ln 1/JSD: a point for each of its strengths, straight lines between
    them. The difference of the two curves is averaged over the flatnesses that both reach. Models are paired by their number.

    Args:
        first: One method, a tagger for each strength, each with the same number of models.
        second: The other.

    Returns:
        The mean of ln(rejection of the first / that of the second); NaN where there is no flatness that both reach.

    Raises:
        InputError: A method has fewer than two strengths.
    """
    if min(len(first), len(second)) < 2:
        raise InputError("a trade-off curve needs at least two strengths of each method")
    curves = [tuple(np.stack(axis) for axis in zip(*(one.logarithms for one in method), strict=True)) for method in
              (first, second)]  # fmt: skip
    reached = [x[:, :, 0].mean(axis=1) for x, _ in curves]
    low, high = max(one.min() for one in reached), min(one.max() for one in reached)
    if not low < high:
        return Estimate(float("nan"), float("nan"))
    grid = np.linspace(low, high, GRID)
    means = []
    for x, y in curves:
        order = np.argsort(x, axis=0)
        x, y = np.take_along_axis(x, order, axis=0), np.take_along_axis(y, order, axis=0)  # noqa: PLW2901
        means.append(np.array([[np.interp(grid, x[:, m, r], y[:, m, r]).mean() for r in range(x.shape[2])]
                               for m in range(x.shape[1])]))  # fmt: skip
    return mean_difference(means[0], means[1])


def _inverse(one: Estimate) -> Estimate:
    if not one.value > 0:
        return Estimate(float("inf"), float("nan"))
    return Estimate(1 / one.value, one.uncertainty / one.value**2)
