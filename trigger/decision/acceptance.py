"""The share of a signal that a threshold accepts, in all and in bins of what is really there.

References:
    Clopper, Pearson, doi:10.1093/biomet/26.4.404. Effective number of weighted events: Kish, Survey Sampling (1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.rates import CONFIDENCE_68, CONFIDENCE_95, Array, Scores
from trigger.errors import InputError


@dataclass(frozen=True)
class Efficiency:
    """A share that is accepted.

    Attributes:
        value: The share, 0 to 1.
        interval_68: Lower and upper edge of a central interval that holds the true share in 68 % of samples at least.
        interval_95: The same for 95 %.
        effective_events: Equally heavy events that would know it as well; their number, where none is weighted.
    """

    value: float
    interval_68: tuple[float, float]
    interval_95: tuple[float, float]
    effective_events: float

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {**vars(self), "interval_68": list(self.interval_68), "interval_95": list(self.interval_95)}


@dataclass(frozen=True)
class TurnOn:
    """Efficiency in bins of an offline quantity.

    Attributes:
        edges: Rising edges; the lower edge of a bin belongs to it.
        bins: Efficiency in each; `None` where there is no event.
        events: Events in each, whatever their weights.
    """

    edges: tuple[float, ...]
    bins: tuple[Efficiency | None, ...]
    events: tuple[int, ...]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; empty bins are `None`."""
        return {
            "edges": list(self.edges),
            "bins": [None if one is None else one.summary() for one in self.bins],
            "events": list(self.events),
        }


def efficiency(codes: Scores, threshold: float, weights: Array | None = None) -> Efficiency:
    """The share of events whose score is at or above a threshold.

    Args:
        codes: Scores, shape `(events,)`.
        threshold: Smallest that is accepted.
        weights: Weight of each event, not negative; all the same where not given.

    Raises:
        InputError: No event, or none with a weight; shapes that differ; NaN.
    """
    if codes.dtype.kind not in "iuf" or not np.isfinite(codes).all():
        raise InputError(f"scores of type {codes.dtype} are not all finite numbers; an efficiency needs them all")
    return share_of(codes >= threshold, weights)


def share_of(passed: NDArray[np.bool_], weights: Array | None = None) -> Efficiency:
    """The share of events that passed, with Clopper-Pearson intervals.

    With weights these are for an effective number of events, the smaller of Kish's (squared sum of the weights over the sum of
    their squares) and the one that the variance of the weighted share is that of a binomial with.

    Raises:
        InputError: No event, or none with a weight; shapes that differ; a weight that is negative or not finite.
    """
    weight = np.ones(passed.shape) if weights is None else weights
    _check(passed, {"weights": weight})
    if not weight.sum() > 0:
        raise InputError(f"{len(passed)} events, and none has a weight: there is no share of nothing")
    total, squares = weight.sum(), (weight**2).sum()
    value = float(weight[passed].sum() / total)
    events = float(total**2 / squares)
    variance = float((weight**2 * (passed - value) ** 2).sum() / total**2)
    if weights is not None and 0 < value < 1 and variance > 0:
        events = min(events, value * (1 - value) / variance)
    return Efficiency(
        value, _clopper_pearson(value, events, CONFIDENCE_68), _clopper_pearson(value, events, CONFIDENCE_95), events
    )


def turn_on(passed: NDArray[np.bool_], quantity: Array, edges: Sequence[float], weights: Array | None = None) -> TurnOn:
    """Efficiency in bins of an offline quantity.

    Args:
        passed: Whether each event is accepted, shape `(events,)`.
        quantity: The offline quantity of each, such as a true pT in GeV; events outside of all bins do not enter.
        edges: Rising edges of the bins.
        weights: Weight of each event, not negative.

    Raises:
        InputError: Edges that do not rise, shapes that differ, NaN.
    """
    rising = np.asarray(edges, np.float64)
    if len(rising) < 2 or not (np.diff(rising) > 0).all():
        raise InputError(f"edges {list(edges)}; right would be two or more that rise")
    weight = np.ones(passed.shape) if weights is None else weights
    _check(passed, {"weights": weight})
    if quantity.shape != passed.shape or not np.isfinite(quantity).all():
        raise InputError(f"a quantity of shape {quantity.shape} does not fit {len(passed)} events or is not finite")
    bins = [(low <= quantity) & (quantity < high) & (weight > 0) for low, high in pairwise(rising)]
    return TurnOn(
        tuple(rising.tolist()),
        tuple(
            share_of(passed[rows], None if weights is None else weight[rows]) if rows.any() else None for rows in bins
        ),
        tuple(int(rows.sum()) for rows in bins),
    )


def _check(passed: NDArray[np.bool_], weights: dict[str, Array]) -> None:
    if passed.ndim != 1 or passed.dtype != np.bool_:
        raise InputError(f"passed of shape {passed.shape} and type {passed.dtype}; right would be one truth an event")
    for name, one in weights.items():
        if one.shape != passed.shape or not np.isfinite(one).all() or (one < 0).any():
            raise InputError(f"{name} of shape {one.shape} do not fit {len(passed)} events, or one is negative or NaN")


def _clopper_pearson(value: float, events: float, confidence: float) -> tuple[float, float]:
    """Central interval for a share of a number of events that need not be whole."""
    from scipy.special import betaincinv

    tail, hits = (1 - confidence) / 2, value * events
    low = 0.0 if value <= 0 else float(betaincinv(hits, events - hits + 1, tail))
    high = 1.0 if value >= 1 else float(betaincinv(hits + 1, events - hits, 1 - tail))
    return low, high
