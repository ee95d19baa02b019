"""The significance that a tagger gives a search, where the background is not known well.

References:
    Approximate median significance (AMS): Adam-Bourdarios et al., "Learning to discover: the Higgs boson machine learning
    challenge" (2014), eq. 20; from the likelihood ratio of arXiv:1007.1727. Background uncertain by what a nuisance does to
    it: arXiv:1611.01046, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.offline.merit import REPLICAS, Scored, mean_over_models
from trigger.decision.efficiency import Estimate, bootstrap

Floats = NDArray[np.float64]
SIGNAL_EVENTS, BACKGROUND_EVENTS = 100.0, 1000.0
"""Before any threshold, as in arXiv:1611.01046, section 5.2."""
EFFICIENCIES = np.linspace(0.02, 1.0, 50)
"""Of the signal at the nominal value of the nuisance, at which thresholds are put."""
SHIFT_EFFICIENCY = 0.8
"""Of the signal, at which the background is compared; at 50 % a good tagger leaves too little of it."""
FEWEST = 10.0
"""Background jets (effective number) that pass a threshold at either value of the nuisance; with fewer it is not looked at."""


def approximate_median_significance(signal: Floats, background: Floats, uncertainty: Floats) -> Floats:
    """The median significance of a counting experiment whose background is known with a Gaussian uncertainty.

    With b0 = (b - u^2 + sqrt((b - u^2)^2 + 4 (s + b) u^2)) / 2, the background that a fit without signal would find,

        AMS = sqrt(2 ((s + b) ln((s + b) / b0) - s - b + b0) + (b - b0)^2 / u^2).

    Args:
        signal: Expected signal s, above 0.
        background: Expected background b, not negative.
        uncertainty: Standard deviation u of the background, not negative; where 0 the formula's limit is taken.

    Returns:
        Of the common shape; 0 where there is no signal, infinite where there is signal, no background and no uncertainty.
    """
    s, b, u = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in (signal, background, uncertainty)))
    variance = u**2
    fitted = (b - variance + np.sqrt((b - variance) ** 2 + 4 * (s + b) * variance)) / 2
    fitted = np.where(variance > 0, fitted, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = np.where(variance > 0, (b - fitted) ** 2 / variance, 0.0)
        squared = 2 * ((s + b) * np.log((s + b) / fitted) - s - b + fitted) + pull
    return np.where(s > 0, np.sqrt(np.maximum(squared, 0.0)), 0.0)


@dataclass(frozen=True)
class Stability:
    """What a nuisance does to a tagger.

    Attributes:
        name: Of the tagger.
        significance: AMS by threshold, NaN where too few jets pass, shape `(EFFICIENCIES,)`.
        uncertainty: Its standard deviation, of the same shape.
        best: AMS at the best threshold, which is chosen on the sample itself, of each model and replica, shape
            `(models, 1 + replicas)`; NaN where too few jets pass everywhere.
        shifts: Absolute value of ln(background efficiency at the other value of the nuisance / at the nominal one) at 80 %
            nominal signal efficiency, of the same shape.
    """

    name: str
    significance: Floats
    uncertainty: Floats
    best: Floats
    shifts: Floats

    @property
    def largest(self) -> Estimate:
        """AMS at the best threshold."""
        return mean_over_models(self.best)

    @property
    def shift(self) -> Estimate:
        """How far the nuisance moves the background."""
        return mean_over_models(self.shifts)


def stability(
    tagger: Scored, is_signal: NDArray[np.bool_], is_nominal: NDArray[np.bool_], weights: Floats, events: NDArray[np.int64],
    seed: int,
) -> Stability:  # fmt: skip
    """Judge a tagger by held-out jets of two values of a nuisance.

    Signal and background are those of the nominal value; the uncertainty of the background is how far it is from that of the
    other value.

    Args:
        tagger: Its answers.
        is_signal: Shape `(jets,)`.
        is_nominal: Whether a jet is of the nominal value, shape `(jets,)`.
        weights: Shape `(jets,)`.
        events: Event numbers, shape `(jets,)`; those of the two values are different.
        seed: Of the bootstrap.
    """
    sampled = bootstrap(events, weights, seed, REPLICAS)
    kinds = (is_signal & is_nominal, ~is_signal & is_nominal, ~is_signal & ~is_nominal)
    shown = int(np.argmin(np.abs(EFFICIENCIES - SHIFT_EFFICIENCY)))
    significances, shifts = [], []
    for scores in tagger.scores:
        thresholds = _thresholds(scores[kinds[0]], weights[kinds[0]])
        signal, background, other = (_passing(scores[kind], sampled[:, kind], thresholds) for kind in kinds)
        events_of = BACKGROUND_EVENTS * background
        found = approximate_median_significance(
            SIGNAL_EVENTS * signal, events_of, BACKGROUND_EVENTS * np.abs(background - other)
        )
        few = np.minimum(*(_effective(scores[kind], weights[kind], thresholds) for kind in kinds[1:])) < FEWEST
        significances.append(np.where(few[:, None], np.nan, found))
        with np.errstate(divide="ignore", invalid="ignore"):
            shifts.append(np.abs(np.log(other[shown] / background[shown])))
    each = np.stack(significances, axis=1)
    by_threshold = [mean_over_models(one) for one in each]
    values, uncertainties = (
        np.array([getattr(one, name) for one in by_threshold]) for name in ("value", "uncertainty")
    )
    best = each[0 if np.isnan(values).all() else int(np.nanargmax(values))]
    return Stability(tagger.name, values, uncertainties, best, np.stack(shifts))


def _thresholds(scores: Floats, weights: Floats) -> Floats:
    order = np.argsort(-scores, kind="stable")
    shares = np.cumsum(weights[order]) / weights.sum()
    found: Floats = scores[order][np.minimum(np.searchsorted(shares, EFFICIENCIES - 1e-9), len(scores) - 1)]
    return found


def _passing(scores: Floats, sampled: Floats, thresholds: Floats) -> Floats:
    """Share of the weights at or above each threshold in every replica, shape `(thresholds, 1 + replicas)`."""
    above = (scores >= thresholds[:, None]).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Floats = above @ sampled.T / sampled.sum(axis=1)
    return shares


def _effective(scores: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Effective number of jets at or above each threshold, shape `(thresholds,)`."""
    above = (scores >= thresholds[:, None]).astype(np.float64)
    squares = above @ weights**2
    found: Floats = np.divide((above @ weights) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)
    return found
