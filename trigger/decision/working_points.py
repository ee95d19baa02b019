"""The background that a tagger lets pass at a fixed efficiency of what it tags.

Where a sample has no rate, because it holds jets of one window of pT alone, this is what a threshold is chosen by. The
threshold is an integer code of the firmware; everything is of one bootstrap over events, in which all scores see the same
replicas and each replica sets its threshold anew, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.acceptance import Efficiency, share_of
from trigger.decision.efficiency import REPLICAS, Estimate, bootstrap, estimate
from trigger.decision.rates import Array, Scores
from trigger.errors import InputError


@dataclass(frozen=True)
class WorkingPoint:
    """A threshold for an efficiency.

    Attributes:
        efficiency: What was asked for.
        threshold: Largest code of the firmware whose efficiency is not below it.
        reached: Efficiency that each score has at its own threshold: steps and ties give some more than was asked for.
        background: Share of the background that each score lets pass there.
        increase: Of each score but the first, its background over the first one's, minus 1, paired.
        passed: Background jets that the firmware lets pass; their number, whatever their weights.
        effective: Effective number of them, squared sum of their weights over the sum of the squares.
        share: Share of the background that the firmware lets pass, with intervals that hold where few jets pass, or none.
    """

    efficiency: float
    threshold: int
    reached: dict[str, Estimate]
    background: dict[str, Estimate]
    increase: dict[str, Estimate]
    passed: int
    effective: float
    share: Efficiency

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        told = {
            what: {name: one.summary() for name, one in getattr(self, what).items()}
            for what in ("reached", "background", "increase")
        }
        return {**vars(self), **told, "share": self.share.summary()}


def working_points(
    scores: Mapping[str, Scores], firmware: str, is_signal: NDArray[np.bool_], weights: Array, events: NDArray[np.int64],
    efficiencies: tuple[float, ...], seed: int, replicas: int = REPLICAS,
) -> tuple[WorkingPoint, ...]:  # fmt: skip
    """Thresholds for fixed efficiencies, and the background there.

    Args:
        scores: Name to a score of each jet, shape `(jets,)`; the first is what the others are compared with.
        firmware: The one whose values are integer codes.
        is_signal: Whether each jet is of the tagged class; all others are background.
        weights: Weight of each jet, not negative.
        events: Event number of each jet.
        efficiencies: Efficiencies that are asked for, each above 0 and below 1.
        seed: Seed of the bootstrap.
        replicas: Number of bootstrap replicas.

    Raises:
        InputError: Shapes differ, a score is NaN, the firmware's is no integer, one of signal and background has no weight, or
            an efficiency is not between 0 and 1.
    """
    for name, one in scores.items():
        kinds = "iu" if name == firmware else "iuf"
        if one.shape != is_signal.shape or one.dtype.kind not in kinds or not np.isfinite(one).all():
            raise InputError(
                f"score {name!r} of shape {one.shape} and type {one.dtype} does not fit {len(is_signal)} jets or is not finite; "
                f"right would be one {'integer code' if name == firmware else 'finite number'} a jet"
            )
    if not (weights[is_signal].sum() > 0 and weights[~is_signal].sum() > 0):
        raise InputError(
            f"{int(is_signal.sum())} jets of {len(is_signal)} are signal; both kinds need some with a weight"
        )
    if any(not 0 < one < 1 for one in efficiencies):
        raise InputError(f"efficiencies {list(efficiencies)}; right would be above 0 and below 1")
    sampled = bootstrap(events, weights, seed, replicas)
    curves = {name: _Curve.of(one, is_signal, sampled) for name, one in scores.items()}
    first, *others = scores
    found = []
    for wanted in efficiencies:
        at = {name: one.at(wanted) for name, one in curves.items()}
        threshold = int(curves[firmware].values[at[firmware][2]])
        with np.errstate(
            divide="ignore", invalid="ignore"
        ):  # a replica in which the first lets nothing pass says nothing
            increase = {name: estimate(at[name][1] / at[first][1] - 1) for name in others}
        found.append(
            WorkingPoint(
                wanted, threshold, {name: estimate(one[0]) for name, one in at.items()},
                {name: estimate(one[1]) for name, one in at.items()}, increase,
                int((scores[firmware][~is_signal] >= threshold).sum()),
                _kish(weights[~is_signal & (scores[firmware] >= threshold)]),
                share_of(scores[firmware][~is_signal] >= threshold, weights[~is_signal]),
            )
        )  # fmt: skip
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Curve:
    """Share of signal and background at or above each value, for the sample and every replica.

    Attributes:
        values: Distinct values, falling, shape `(k,)`.
        signal: Share at or above each, shape `(1 + replicas, k)`.
        background: The same of the background.
    """

    values: NDArray[Any]
    signal: Array
    background: Array

    @classmethod
    def of(cls, score: Scores, is_signal: NDArray[np.bool_], sampled: Array) -> _Curve:
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        starts = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])

        def share(rows: NDArray[np.bool_]) -> Array:
            above = np.add.reduceat(sampled[:, order] * rows[order], starts, axis=1).cumsum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):  # a replica may have no jet of one kind
                part: Array = above / above[:, -1:]
            return part

        return cls(falling[starts], share(is_signal), share(~is_signal))

    def at(self, wanted: float) -> tuple[Array, Array, int]:
        """Efficiency and background of every replica at its own threshold, and where that of the sample is in `values`."""
        place = np.argmax(self.signal >= wanted * (1 - 1e-12), axis=1)[:, None]
        reached, passed = (np.take_along_axis(one, place, axis=1)[:, 0] for one in (self.signal, self.background))
        return reached, passed, int(place[0, 0])


def _kish(weights: Array) -> float:
    """Equally heavy events that would be known as well; 0 for none."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
