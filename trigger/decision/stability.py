"""What becomes of a rate and of efficiencies when something changes: the detector, the simulation, the pileup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.acceptance import Efficiency, share_of
from trigger.decision.efficiency import Estimate
from trigger.decision.rates import RESOLUTION, Array, Crossings, Rate, rate
from trigger.errors import InputError


@dataclass(frozen=True)
class Stability:
    """What one disturbance does at an unchanged threshold.

    Attributes:
        rate: Rate after over rate before; `None` where too little is accepted undisturbed to know.
        signals: For each signal its efficiency after minus before; empty where signals were not disturbed.
    """

    rate: Estimate | None
    signals: dict[str, Estimate]

    @property
    def rate_change(self) -> float | None:
        """The larger of the two rates over the smaller, minus 1; infinite where the rate is gone."""
        if self.rate is None:
            return None
        ratio = self.rate.value
        return max(ratio, 1 / ratio) - 1 if ratio > 0 else float("inf")

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        rate = None if self.rate is None else self.rate.summary()
        return {"rate": rate, "signals": {name: one.summary() for name, one in self.signals.items()}}


@dataclass(frozen=True)
class PileupBin:
    """Crossings of some pileup.

    Attributes:
        low: Smallest number of collisions.
        high: Smallest one that is not in it any more.
        rate: What would be accepted if all crossings were of this pileup; `None` where there are none.
        signals: Efficiency of each signal there; `None` where it has no event.
    """

    low: float
    high: float
    rate: Rate | None
    signals: dict[str, Efficiency | None]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "low": self.low,
            "high": self.high,
            "rate": None if self.rate is None else self.rate.summary(),
            "signals": {name: None if one is None else one.summary() for name, one in self.signals.items()},
        }


def rate_ratio(before: Crossings, after: Crossings, score: str, threshold: int) -> Estimate | None:
    """Rate of the disturbed crossings over that of the same ones undisturbed, at one threshold.

    The uncertainty is paired: what a source brings to both rates is known together, so only what changes counts. It is that
    of the ratio in first order, sqrt(sum over sources of (after - ratio * before)^2) / before. The scatter of folds is not in
    it: collisions that are not the hardest are the same before and after.

    Returns:
        The ratio; `None` where undisturbed fewer than ten sources or effective events are accepted.

    Raises:
        InputError: The crossings are not the same ones.
    """
    if len(before) != len(after) or not np.array_equal(before.source, after.source):
        raise InputError(
            f"{len(before)} crossings before and {len(after)} after are not the same ones in the same order"
        )
    rates = [
        np.bincount(before.place, one.rate_hz * (one.codes(score) >= threshold), minlength=len(before.by_source_hz))
        for one in (before, after)
    ]
    total, squares = float(rates[0].sum()), float((rates[0] ** 2).sum())
    if np.count_nonzero(rates[0]) < RESOLUTION or total**2 < RESOLUTION * squares * (1 - 1e-9):
        return None
    ratio = float(rates[1].sum()) / total
    return Estimate(ratio, float(np.sqrt(((rates[1] - ratio * rates[0]) ** 2).sum()) / total))


def efficiency_change(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Estimate:
    """Efficiency after minus before, of the same events; paired.

    Args:
        before: Whether each event is accepted, shape `(events,)`.
        after: The same, disturbed.

    Raises:
        InputError: Shapes differ, or there is no event.
    """
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise InputError(f"shapes {before.shape} and {after.shape}; right would be the same events twice, one at least")
    change = after.astype(np.float64) - before
    return Estimate(float(change.mean()), float(change.std() / np.sqrt(len(change))))


def against_pileup(
    crossings: Crossings, pileup: NDArray[np.int64], accepted: NDArray[np.bool_], edges: Sequence[float],
    signals: dict[str, tuple[NDArray[np.int64], NDArray[np.bool_]]],
) -> tuple[PileupBin, ...]:  # fmt: skip
    """Rate and efficiencies in bins of the number of collisions.

    Args:
        crossings: The sample.
        pileup: Number of collisions of each crossing.
        accepted: Whether each is accepted.
        edges: Rising edges; the lower edge of a bin belongs to it.
        signals: For each signal the number of collisions and whether they are accepted, of its events.

    Raises:
        InputError: Edges that do not rise, or shapes that differ.
    """
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
        raise InputError(f"edges {list(edges)}; right would be two or more that rise")
    if pileup.shape != crossings.rate_hz.shape:
        raise InputError(f"the pileup of {len(pileup)} crossings does not fit {len(crossings)}")
    bins = []
    for low, high in pairwise(edges):
        rows = (low <= pileup) & (pileup < high)
        found = rate(crossings.take(rows), accepted[rows]) if crossings.rate_hz[rows].sum() > 0 else None
        efficiencies: dict[str, Efficiency | None] = {}
        for name, (number, passed) in signals.items():
            own = (low <= number) & (number < high)
            efficiencies[name] = share_of(passed[own]) if own.any() else None
        bins.append(PileupBin(float(low), float(high), found, efficiencies))
    return tuple(bins)


def pileup_edges(pileup: NDArray[np.int64], rate_hz: Array, bins: int = 5) -> tuple[float, ...]:
    """Edges of bins of about the same rate of crossings; fewer where pileup is hardly spread."""
    order = np.argsort(pileup, kind="stable")
    share = rate_hz[order].cumsum() / rate_hz.sum()
    inner = [float(pileup[order][np.searchsorted(share, k / bins)]) for k in range(1, bins)]
    return tuple(np.unique([float(pileup.min()), *inner, float(pileup.max()) + 1]))
