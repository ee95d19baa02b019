"""What quantisation costs a trigger, in Hz and in efficiency: the same crossings, scored twice.

Everything is of one bootstrap over sources, in which both scores see the same replicas, so that differences are paired; a
signal's events are resampled beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trigger.decision.efficiency import REPLICAS, Estimate, bootstrap, estimate
from trigger.decision.rates import Array, Crossings, Scores
from trigger.decision.thresholds import REACHED
from trigger.errors import InputError, nearest

_ROUNDING = 1 + 1e-9
_DEPTH = 4  # crossings are kept down to four times the target rate: no replica has so little there


@dataclass(frozen=True)
class SignalCost:
    """Of one signal, both scores at the same rate.

    Attributes:
        reference: Efficiency of the reference.
        other: Efficiency of the other score.
        loss: Reference minus other, paired.
    """

    reference: Estimate
    other: Estimate
    loss: Estimate

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {name: one.summary() for name, one in vars(self).items()}


@dataclass(frozen=True)
class Cost:
    """One score against a reference on the same crossings.

    Attributes:
        target_hz: Rate that neither may exceed.
        threshold: Code at which the reference has at most that rate, in steps of `other`.
        reference_hz: Rate of the reference at that threshold.
        other_hz: Rate of the other at the same threshold.
        rate_change_hz: Other minus reference at the same threshold, paired; positive costs bandwidth.
        reached_hz: Rate that each really has at its own threshold for the target: what steps and ties leave of it.
        signals: For each signal the efficiencies, each score at its own threshold for the target.
        note: What a reader needs to judge it.
    """

    target_hz: float
    threshold: int
    reference_hz: Estimate
    other_hz: Estimate
    rate_change_hz: Estimate
    reached_hz: dict[str, float]
    signals: dict[str, SignalCost]
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            **vars(self),
            **{name: getattr(self, name).summary() for name in ("reference_hz", "other_hz", "rate_change_hz")},
            "signals": {name: one.summary() for name, one in self.signals.items()},
        }


def cost(
    crossings: Crossings, signals: Mapping[str, Mapping[str, Scores]], reference: str, other: str, target_hz: float,
    seed: int, step: float = 1.0, replicas: int = REPLICAS,
) -> Cost:  # fmt: skip
    """What changes when one score takes the place of another.

    At the same threshold, an integer code that the reference has the target rate at, the rate changes. At the same rate,
    each score with a threshold of its own that is set anew in every replica, the efficiencies do. A score of few codes may
    stay below the rate; that is part of what it costs, and `reached_hz` tells how far.

    Args:
        crossings: The sample, with both scores.
        signals: For each signal both scores, shape `(events,)` each.
        reference: Name of the score that is compared with; its values may be real.
        other: Name of the score that takes its place.
        target_hz: Rate that neither may exceed.
        seed: Seed of the bootstrap.
        step: Value of one code, where one score is of codes and the other of values: real scores are divided by it.
        replicas: Number of bootstrap replicas.

    Raises:
        InputError: A score is missing or has another shape, a signal has no event, the step is not positive, or the target
            is not below the rate of all crossings.
    """
    if not (0 < target_hz < crossings.total_hz and step > 0 and np.isfinite(step)):
        raise InputError(
            f"a target of {target_hz:g} Hz and a step of {step:g}; right would be above 0, and the target below the "
            f"{crossings.total_hz:g} Hz of all crossings"
        )
    pair = {"reference": reference, "other": other}
    for name, scores in signals.items():
        _check_signal(name, scores, pair)
    whole = {which: _in_steps(crossings.score(name), step) for which, name in pair.items()}
    bottom = {which: _bottom(one, crossings.rate_hz, _DEPTH * target_hz) for which, one in whole.items()}
    kept = np.logical_or.reduce([one >= bottom[which] for which, one in whole.items()]) & (crossings.rate_hz > 0)
    background = {which: one[kept] for which, one in whole.items()}
    sampled = bootstrap(crossings.source[kept], crossings.rate_hz[kept], seed, replicas)
    cuts = {which: _loosest(one, sampled, target_hz, bottom[which]) for which, one in background.items()}
    threshold = int(np.floor(cuts["reference"][0])) + 1
    same = {which: (sampled * (one >= threshold)).sum(axis=1) for which, one in background.items()}
    reached = {pair[which]: float(sampled[0, one > cuts[which][0]].sum()) for which, one in background.items()}
    found = {}
    for at, (name, scores) in enumerate(signals.items()):
        values = {which: _in_steps(scores[one], step) for which, one in pair.items()}
        found[name] = _signal_cost(values, cuts, seed + 1 + at, replicas)
    short = {name: hz for name, hz in reached.items() if hz < REACHED * target_hz}
    return Cost(
        target_hz, threshold, estimate(same["reference"]), estimate(same["other"]),
        estimate(same["other"] - same["reference"]), reached, found,
        "; ".join(f"{name!r} reaches {hz / 1e3:.3g} of {target_hz / 1e3:.3g} kHz only" for name, hz in short.items()),
    )  # fmt: skip


def _check_signal(signal: str, scores: Mapping[str, Scores], pair: Mapping[str, str]) -> None:
    for name in pair.values():
        if name not in scores:
            raise InputError(f"signal {signal!r} has no score {name!r}; nearest: {nearest(name, scores)}")
        one, shape = scores[name], scores[pair["reference"]].shape
        if (
            one.shape != shape
            or one.ndim != 1
            or not len(one)
            or one.dtype.kind not in "iuf"
            or not np.isfinite(one).all()
        ):
            raise InputError(
                f"signal {signal!r}: score {name!r} of shape {one.shape} and type {one.dtype}; right would be one finite "
                f"number for each event, as many as the other score has, and one event"
            )


def _in_steps(scores: Scores, step: float) -> Array:
    """Values in codes: real ones are divided by the step, codes are what they are (exact up to 2**53)."""
    return scores / step if scores.dtype.kind == "f" else scores.astype(np.float64)


def _bottom(score: Array, rate_hz: Array, deepest_hz: float) -> float:
    """The value down to which a score has a rate, so that nothing below it need be kept; minus infinity for all."""
    order = np.argsort(-score, kind="stable")
    last = int(np.searchsorted(rate_hz[order].cumsum(), deepest_hz))
    return float(score[order[last]]) if last < len(order) else float("-inf")


def _loosest(score: Array, sampled: Array, target_hz: float, bottom: float) -> Array:
    """The largest value that may not be accepted any more, for the rate to be at most the target.

    Returns:
        Of the sample and every replica, shape `(1 + replicas,)`; what is larger is accepted. Minus infinity where all may be,
        NaN where that value is below `bottom`, under which crossings are missing.
    """
    order = np.argsort(-score, kind="stable")
    values, count = np.unique(-score, return_counts=True)
    over = sampled[:, order].cumsum(axis=1)[:, count.cumsum() - 1] > target_hz * _ROUNDING
    found = np.where(over.any(axis=1), -values[over.argmax(axis=1)], -np.inf)
    loosest: Array = np.where(found >= bottom, found, np.nan)
    return loosest


def _signal_cost(values: Mapping[str, Array], cuts: Mapping[str, Array], seed: int, replicas: int) -> SignalCost:
    events = len(values["reference"])
    sampled = bootstrap(np.arange(events), np.ones(events), seed, replicas)
    total = sampled.sum(axis=1)
    total[total == 0] = np.nan
    share = {}
    for which, cut in cuts.items():
        accepted = (sampled * (values[which] > cut[:, None])).sum(axis=1) / total
        share[which] = np.where(np.isnan(cut), np.nan, accepted)
    lost = share["reference"] - share["other"]
    return SignalCost(estimate(share["reference"]), estimate(share["other"]), estimate(lost))
