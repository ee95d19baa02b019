"""Rates in Hz that crossings stand for, and intervals that hold the true ones as often as they say.

A simulated sample of bunch crossings has few collisions in it that matter: a crossing is accepted because of one hard
collision, and when collisions are drawn from a pool the same one makes many crossings pass. These are then one piece of
evidence, not many. So variances count *sources*, the hardest collision of each crossing, and, where the pool was drawn from
in separate folds, also what the scatter between the folds says, which knows of everything that crossings share.

References:
    Stitching of samples with pileup: Ehatäht, Veelken, arXiv:2106.04360.
    Weights of a mixture of samples: Veach, Guibas, doi:10.1145/218380.218498 (balance heuristic).
    Mecke's formula: Last, Penrose, Lectures on the Poisson Process, doi:10.1017/9781316104477, theorem 4.1.
    Intervals: Garwood, doi:10.1093/biomet/28.3-4.437; with weights: Fay, Feuer, doi:10.1002/(SICI)1097-0258(19970415)
    16:7<791::AID-SIM500>3.0.CO;2-#; a scaled Poisson distribution for weighted sums: Bohm, Zech, arXiv:1309.1287.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError, nearest

Array = NDArray[np.float64]
Scores = NDArray[Any]
"""One score a crossing, as integer codes (or real values, where a network is compared with its firmware)."""

CONFIDENCE_68 = 0.682689
CONFIDENCE_95 = 0.95
RESOLUTION = 10
"""Independent sources, and effective events, that a rate needs; with fewer its own uncertainty is a third of it and more."""
FEWEST_FOLDS = 10
"""Folds whose scatter is believed; a standard deviation of ten numbers is known to 24 %."""


@dataclass(frozen=True, eq=False)
class Crossings:
    """Bunch crossings with what a trigger computes of each, and what each stands for.

    Attributes:
        scores: For each quantity, such as `jet_pt` or `network`, its value in every crossing, shape `(n,)`; larger is more.
            Integer codes as the hardware has them; real values serve only to be compared with.
        rate_hz: Rate that each crossing stands for, in Hz, shape `(n,)`; their sum is the rate of filled crossings.
        source: Number of the hardest collision in each crossing, shape `(n,)`, one and the same wherever that collision was
            used: crossings of one source are not independent. Crossings without a collision have a number each.
        fold: Group of the pool that all collisions of a crossing were drawn from, shape `(n,)`: crossings of different folds
            share nothing. `None` where the pool has no groups.
    """

    scores: Mapping[str, Scores]
    rate_hz: Array
    source: NDArray[np.int64]
    fold: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.rate_hz.ndim != 1 or not len(self.rate_hz):
            raise InputError(
                f"rates of shape {self.rate_hz.shape}; one number a crossing, and one crossing, are needed"
            )
        whole = {"source": self.source, **({} if self.fold is None else {"fold": self.fold})}
        given = {"rate_hz": self.rate_hz, **whole, **{f"score {name!r}": one for name, one in self.scores.items()}}
        for name, one in given.items():
            kinds = "iu" if name in whole else "iuf"
            if one.shape != self.rate_hz.shape or one.dtype.kind not in kinds or not np.isfinite(one).all():
                raise InputError(
                    f"{name} of shape {one.shape} and type {one.dtype} does not fit {len(self.rate_hz)} crossings or is "
                    f"not finite; right would be one {'whole' if kinds == 'iu' else 'finite'} number a crossing"
                )
        if (self.rate_hz < 0).any() or not self.rate_hz.sum() > 0:
            raise InputError(
                f"rates from {self.rate_hz.min():g} to {self.rate_hz.max():g} Hz; none is negative, and one is positive"
            )

    def __len__(self) -> int:
        return len(self.rate_hz)

    def score(self, name: str) -> Scores:
        """The values of a quantity.

        Raises:
            InputError: There is no such quantity; the nearest are named.
        """
        if name not in self.scores:
            raise InputError(f"the crossings have no score {name!r}; nearest: {nearest(name, self.scores)}")
        return self.scores[name]

    def codes(self, name: str) -> NDArray[np.int64]:
        """The integer codes of a quantity.

        Raises:
            InputError: There is no such quantity, or it is real.
        """
        values = self.score(name)
        if values.dtype.kind not in "iu":
            raise InputError(f"score {name!r} has real values of type {values.dtype}; a threshold is an integer code")
        return values.astype(np.int64, copy=False)

    @property
    def total_hz(self) -> float:
        """Rate of all crossings."""
        return float(self.rate_hz.sum())

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """The sources, numbered from 0, shape `(n,)`."""
        return np.unique(self.source, return_inverse=True)[1]

    @cached_property
    def by_source_hz(self) -> Array:
        """Rate of all crossings of each source, by `place`."""
        return np.bincount(self.place, self.rate_hz).astype(np.float64)

    @cached_property
    def fold_place(self) -> NDArray[np.intp] | None:
        """The folds, numbered from 0, shape `(n,)`; `None` where there are too few of them."""
        if self.fold is None:
            return None
        names, place = np.unique(self.fold, return_inverse=True)
        return place if len(names) >= FEWEST_FOLDS else None

    @cached_property
    def fold_share(self) -> Array:
        """Share of the total rate that each fold has; empty where there are too few."""
        if self.fold_place is None:
            return np.zeros(0)
        return np.bincount(self.fold_place, self.rate_hz) / self.total_hz

    def take(self, rows: NDArray[np.bool_]) -> Crossings:
        """The crossings that are chosen, which then stand for all: their sum remains the total."""
        kept = self.rate_hz[rows].sum()
        if not kept > 0:
            raise InputError(f"{int(rows.sum())} of {len(self)} crossings are chosen, and none has a rate")
        return Crossings(
            {name: one[rows] for name, one in self.scores.items()}, self.rate_hz[rows] * (self.total_hz / kept),
            self.source[rows], None if self.fold is None else self.fold[rows],
        )  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "crossings": len(self),
            "total_hz": self.total_hz,
            "sources": len(self.by_source_hz),
            "folds": None if self.fold is None else len(np.unique(self.fold)),
            "lowest_rate_hz": lowest_rate_hz(self),
            "scores": sorted(self.scores),
        }


@dataclass(frozen=True)
class Rate:
    """A rate and what is known of it.

    Attributes:
        hz: The rate, in Hz.
        uncertainty: One standard deviation, in Hz; NaN where nothing was accepted, as nothing then tells.
        interval_68: Lower and upper edge of a central interval that holds the true rate in 68 % of samples at least.
        interval_95: The same for 95 %.
        effective_events: Rate squared over its variance: equally heavy independent events that would know it as well.
        sources: Distinct sources among what is accepted.
        heaviest_hz: Rate of the heaviest crossing of the sample, accepted or not.
        note: What a reader needs to judge it.
    """

    hz: float
    uncertainty: float
    interval_68: tuple[float, float]
    interval_95: tuple[float, float]
    effective_events: float
    sources: int
    heaviest_hz: float = 0.0
    note: str = ""

    @property
    def resolved(self) -> bool:
        """Whether the sample has enough independent evidence of it."""
        return bool(enough_evidence(self.hz, self.effective_events, self.sources, self.heaviest_hz))

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        told: dict[str, Any] = {
            **vars(self),
            "interval_68": list(self.interval_68),
            "interval_95": list(self.interval_95),
        }
        return {**told, "uncertainty": self.uncertainty if np.isfinite(self.uncertainty) else None}


def enough_evidence(hz: Any, effective_events: Any, sources: Any, heaviest_hz: float) -> Any:
    """Whether rates are resolved, of numbers or of arrays: ten sources, ten effective events, and well above one crossing.

    A stratum of heavy crossings of which none was accepted says nothing by itself; one more of them, as heavy as the heaviest
    of the sample, must not be more than a third of the rate, as ten effective events are known to.
    """
    return (
        (np.asarray(sources) >= RESOLUTION)
        & (np.asarray(effective_events) >= RESOLUTION * (1 - 1e-9))
        & (np.asarray(hz) >= np.sqrt(RESOLUTION) * heaviest_hz * (1 - 1e-9))
    )


def rate(crossings: Crossings, accepted: NDArray[Any], ceiling: float = 1.0) -> Rate:
    """The rate of what is accepted.

    The variance is the larger of two. One is the sum over sources of their accepted rate squared, as sources come and go by
    chance. The other, with ten folds or more, is of the scatter of the folds' sums about their shares; its intervals are
    wider by Student's t over the normal quantile. The interval is that of Fay and Feuer, a Garwood interval for the
    effective number of events whose upper edge allows for one more source as heavy as the heaviest accepted one, or as the
    heaviest crossing of the sample. Where nothing is accepted, that is the heaviest source of the sample, with all of its
    crossings.

    Args:
        crossings: The sample.
        accepted: Whether each crossing is accepted, or with what probability (a prescale), shape `(n,)`.
        ceiling: Largest probability that any crossing could be accepted with; needed for a limit where none is.

    Raises:
        InputError: The shape does not fit, or a probability is not between 0 and the ceiling.
    """
    if accepted.shape != crossings.rate_hz.shape:
        raise InputError(f"acceptance of shape {accepted.shape} does not fit {len(crossings)} crossings")
    share = accepted.astype(np.float64)
    if not ((share >= 0) & (share <= ceiling * (1 + 1e-9))).all() or not 0 < ceiling <= 1:
        raise InputError(f"probabilities from {share.min():g} to {share.max():g}; right would be 0 to {ceiling:g}")
    part = crossings.rate_hz * share
    by_source = np.bincount(crossings.place, part)
    sums = Sums(
        np.array([part.sum()]), np.array([(by_source**2).sum()]), np.array([by_source.max()]),
        np.array([np.count_nonzero(by_source)]), fold_variance(crossings, _by_fold(crossings, part)[None]),
        len(crossings.fold_share), ceiling * float(crossings.rate_hz.max()),
    )  # fmt: skip
    return sums.rate(0, ceiling * float(crossings.by_source_hz.max()))


def lowest_rate_hz(crossings: Crossings) -> float:
    """Lowest rate that the sample supports whichever crossings are accepted: ten times the mean source's, in Hz.

    The mean is one over accepted rate, not over sources. Where heavy and light crossings are stitched, a score that accepts
    light ones alone is supported further down; `RateCurve.lowest_rate_hz` says how far.
    """
    squares, total = float((crossings.by_source_hz**2).sum()), crossings.total_hz
    return RESOLUTION * squares / total


def _by_fold(crossings: Crossings, part: Array) -> Array:
    if crossings.fold_place is None:
        return np.zeros(0)
    return np.bincount(crossings.fold_place, part, minlength=len(crossings.fold_share)).astype(np.float64)


def fold_variance(crossings: Crossings, by_fold: Array) -> Array:
    """Variance of a sum from the scatter of what the folds have of it, shape `(k, folds)` to `(k,)`; 0 without folds.

    Each fold's part is compared with its share of the sample; for parts whose variance goes as that share it is unbiased.
    """
    share = crossings.fold_share
    if not len(share):
        return np.zeros(len(by_fold))
    scatter = by_fold - by_fold.sum(axis=1, keepdims=True) * share
    variance: Array = (scatter**2).sum(axis=1) / (1 - (share**2).sum())
    return variance


@dataclass(frozen=True, eq=False)
class Sums:
    """What intervals are made of, for `k` sets of accepted crossings at once, each of shape `(k,)`.

    Attributes:
        hz: Rate accepted.
        squares: Sum over sources of their accepted rate squared.
        largest: Largest accepted rate of a source.
        sources: Sources with an accepted rate.
        scatter: Variance that the folds show.
        folds: Number of folds; 0 where there are too few.
        heaviest_hz: Rate of the heaviest crossing of the sample.
    """

    hz: Array
    squares: Array
    largest: Array
    sources: NDArray[np.int64]
    scatter: Array
    folds: int
    heaviest_hz: float

    @cached_property
    def variance(self) -> Array:
        """Variance of the rate."""
        return np.maximum(self.squares, self.scatter)

    @cached_property
    def effective_events(self) -> Array:
        """Rate squared over its variance; 0 where nothing is accepted."""
        return np.divide(self.hz**2, self.variance, out=np.zeros_like(self.hz), where=self.variance > 0)

    def interval(self, confidence: float) -> Array:
        """Lower and upper edges, shape `(k, 2)`; where nothing is accepted `largest` has to be that of the sample."""
        from scipy.special import gammaincinv, ndtri, stdtrit

        tail = (1 - confidence) / 2
        wider = (stdtrit(self.folds - 1, 1 - tail) / ndtri(1 - tail)) ** 2 if self.folds else 1.0
        variance = np.maximum(self.squares, wider * self.scatter)
        some = self.hz > 0
        hz, spread = np.where(some, self.hz, 1.0), np.where(some, variance, 1.0)
        low = np.where(some, spread / hz * gammaincinv(hz**2 / spread, tail), 0.0)
        another = np.maximum(self.largest, self.heaviest_hz)
        more, wide = self.hz + another, variance + another**2
        return np.stack([low, wide / more * gammaincinv(more**2 / wide, 1 - tail)], axis=1)

    def rate(self, at: int, limit_hz: float) -> Rate:
        """One of the rates; `limit_hz` is what the heaviest source of the sample could add, for one that has none."""
        here = slice(at, at + 1)
        one = Sums(
            self.hz[here], self.squares[here], self.largest[here], self.sources[here], self.scatter[here], self.folds,
            self.heaviest_hz,
        )  # fmt: skip
        none = not one.hz[0] > 0
        if none:
            one = replace(one, largest=np.array([limit_hz]), squares=np.zeros(1), scatter=np.zeros(1))
        narrow, wide = one.interval(CONFIDENCE_68)[0], one.interval(CONFIDENCE_95)[0]
        return Rate(
            float(one.hz[0]), float("nan") if none else float(np.sqrt(one.variance[0])),
            (float(narrow[0]), float(narrow[1])), (float(wide[0]), float(wide[1])),
            float(one.effective_events[0]), int(one.sources[0]), self.heaviest_hz,
            f"nothing is accepted: the upper edges are limits, of a source of {limit_hz:.4g} Hz" if none else "",
        )  # fmt: skip
