"""The rate for every threshold on a score, and the threshold for a rate.

A threshold is an integer code; a crossing is accepted where its score is at or above it. Scores of firmware have few codes,
and a top one that saturates, so there may be no threshold for a rate that is asked for: this is then said, never hidden by
what is nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.rates import (
    CONFIDENCE_68,
    CONFIDENCE_95,
    RESOLUTION,
    Array,
    Crossings,
    Rate,
    Sums,
    enough_evidence,
    fold_variance,
    rate,
)  # fmt: skip
from trigger.errors import InputError

REACHED = 0.9
"""Part of a target rate that a threshold has to have, for it to be called reached."""
SLOPE_SOURCES = 30
"""Sources between two codes that tell what one code is worth."""
_ROUNDING = 1 + 1e-9  # sums of rates are rounded: one that is reached exactly is not exceeded


@dataclass(frozen=True)
class Threshold:
    """The smallest code whose rate does not exceed a target.

    Attributes:
        target_hz: Rate that may not be exceeded.
        code: Smallest integer code with at most that rate; `None` where even the largest possible code has more.
        rate: What is accepted with it; `None` where there is none.
        above: What is accepted with a threshold one code lower, which is more than the target; `None` where every crossing
            together has less.
        step_khz: What one code is worth here, in kHz: the rate between two codes around the threshold over their distance. They
            are the nearest two with thirty sources between them, which know it to a fifth; neighbours where these have as many.
        distinct: Distinct codes of the score in the sample.
        saturated: Share of the total rate whose score is the largest possible code; `None` where that is not known.
        resolved: Whether the target is reached (to a tenth) and the sample has evidence enough of it.
        note: Why not.
    """

    target_hz: float
    code: int | None
    rate: Rate | None
    above: Rate | None
    step_khz: float | None
    distinct: int
    saturated: float | None
    resolved: bool
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are not known become `None`."""
        rates = {
            name: None if one is None else one.summary() for name, one in (("rate", self.rate), ("above", self.above))
        }
        return {**vars(self), **rates}


@dataclass(frozen=True, eq=False)
class RateCurve:
    """What is accepted for every threshold on one score.

    Attributes:
        score: Name of the score.
        codes: Its distinct codes, rising, shape `(k,)`.
        hz: Rate at or above each of them, in Hz, shape `(k,)`.
        uncertainty: One standard deviation of each.
        interval_68: Lower and upper edges, shape `(k, 2)`; see `Rate`.
        interval_95: The same for 95 %.
        effective_events: Of each rate; see `Rate`.
        sources: Distinct sources at or above each code.
        none: What a threshold above every code accepts, which is nothing: a limit.
        max_code: Largest code that the score can have; `None` where that is not known.
    """

    score: str
    codes: NDArray[np.int64]
    hz: Array
    uncertainty: Array
    interval_68: Array
    interval_95: Array
    effective_events: Array
    sources: NDArray[np.int64]
    none: Rate
    max_code: int | None = None

    @property
    def saturated(self) -> float | None:
        """Share of the total rate whose score is the largest possible code."""
        if self.max_code is None:
            return None
        return float(self.hz[-1] / self.hz[0]) if self.codes[-1] == self.max_code else 0.0

    @cached_property
    def lowest_rate_hz(self) -> float:
        """Lowest rate of a threshold that has ten sources and ten effective events; NaN where none has."""
        enough = enough_evidence(self.hz, self.effective_events, self.sources, self.none.heaviest_hz)
        return float(self.hz[enough].min()) if enough.any() else float("nan")

    def at(self, code: int) -> Rate:
        """What a threshold at any code accepts."""
        return self._level(int(np.searchsorted(self.codes, code)))

    def _level(self, level: int) -> Rate:
        if level == len(self.codes):
            return self.none
        narrow, wide = self.interval_68[level], self.interval_95[level]
        return Rate(
            float(self.hz[level]), float(self.uncertainty[level]), (float(narrow[0]), float(narrow[1])),
            (float(wide[0]), float(wide[1])), float(self.effective_events[level]), int(self.sources[level]),
            self.none.heaviest_hz,
        )  # fmt: skip

    def threshold_for(self, target_hz: float) -> Threshold:
        """The smallest integer code whose rate is at most `target_hz`.

        Raises:
            InputError: The target is not a positive number.
        """
        if not (np.isfinite(target_hz) and target_hz > 0):
            raise InputError(f"a target rate of {target_hz:g} Hz; right would be a positive number")
        level = int((self.hz > target_hz * _ROUNDING).sum())
        found, above = self._level(level), self._level(level - 1) if level else None
        code = int(self.codes[level - 1]) + 1 if level else int(self.codes[0])
        beyond = self.max_code is not None and code > self.max_code
        note = self._fault(target_hz, code, found, above, beyond)
        return Threshold(
            target_hz, None if beyond else code, None if beyond else found, above,
            None if above is None else self._step_khz(level), len(self.codes), self.saturated, not note, note,
        )  # fmt: skip

    def _step_khz(self, level: int) -> float:
        """Slope of the curve just above a level; the rate falls to the next populated code, which may be thousands away."""
        low, high = level - 1, level
        last = len(self.codes)  # above all codes, where nothing is accepted
        while True:
            above, below = self._level(low), self._level(high)
            if above.sources - below.sources >= SLOPE_SOURCES or (low == 0 and high == last):
                break
            low, high = max(low - 1, 0), min(high + 1, last)
        top = int(self.codes[-1]) + 1
        distance = (top if high == last else int(self.codes[high])) - int(self.codes[low])
        return (above.hz - below.hz) / distance / 1e3

    def _fault(self, target_hz: float, code: int, found: Rate, above: Rate | None, beyond: bool) -> str:
        """Why a target is not resolved; empty where it is."""
        if above is None:
            return "" if found.hz * _ROUNDING >= target_hz else f"all crossings together have {_khz(found.hz)} only"
        if above.resolved and found.hz < REACHED * target_hz:
            below = "nothing, for that is the largest code" if beyond else f"{_khz(found.hz)} (code {code})"
            return f"no threshold reaches {_khz(target_hz)}: nearest above {_khz(above.hz)} (code {code - 1}), below {below}"
        if not (above.resolved and found.resolved):
            lowest = self.lowest_rate_hz
            known = f"the lowest rate it supports is {_khz(lowest)}" if np.isfinite(lowest) else "it supports none"
            return (
                f"below the pool's resolution: {_khz(target_hz)} has {found.sources} sources and "
                f"{found.effective_events:.3g} effective events, {RESOLUTION} of both are needed, and one crossing stands for "
                f"{_khz(found.heaviest_hz)}; {known}"
            )
        return ""

    def thinned(self, points: int) -> RateCurve:
        """The curve at some of its codes, about evenly in the rate's logarithm, both ends included; every number is as it was.

        What `saturated` says holds still, `lowest_rate_hz` only about.
        """
        if len(self.codes) <= points:
            return self
        wanted = np.logspace(np.log10(self.hz[0]), np.log10(self.hz[-1]), points)
        kept = np.unique(np.r_[np.searchsorted(-self.hz, -wanted).clip(max=len(self.codes) - 1), len(self.codes) - 1])
        arrays = ("codes", "hz", "uncertainty", "interval_68", "interval_95", "effective_events", "sources")
        return replace(self, **{name: getattr(self, name)[kept] for name in arrays})

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            "score": self.score,
            **{name: getattr(self, name).tolist() for name in (
                "codes", "hz", "uncertainty", "interval_68", "interval_95", "effective_events", "sources")},
            "none": self.none.summary(),
            "max_code": self.max_code,
            "saturated": self.saturated,
            "lowest_rate_hz": self.lowest_rate_hz if np.isfinite(self.lowest_rate_hz) else None,
        }  # fmt: skip


def rate_curve(crossings: Crossings, score: str, max_code: int | None = None) -> RateCurve:
    """The rate for every threshold on a score.

    Args:
        crossings: The sample.
        score: Name of one of its scores, of integer codes.
        max_code: Largest code that the score can have, for what saturates and for thresholds that cannot be set.

    Raises:
        InputError: There is no such score, it is real, or a code is larger than the largest possible one.
    """
    values = crossings.codes(score)
    if max_code is not None and values.max() > max_code:
        raise InputError(f"score {score!r} has a code {values.max()} above {max_code}, the largest that it can have")
    rows = np.flatnonzero(crossings.rate_hz > 0)  # a crossing without a rate would only make steps finer than they are
    rows = rows[np.argsort(-values[rows], kind="stable")]
    codes, count = np.unique(values[rows], return_counts=True)
    ends = count[::-1].cumsum() - 1  # the last crossing of each code, from the largest code
    sums = _cumulative(crossings, rows, ends)
    return RateCurve(
        score, codes, sums.hz[::-1], np.sqrt(sums.variance)[::-1], sums.interval(CONFIDENCE_68)[::-1],
        sums.interval(CONFIDENCE_95)[::-1], sums.effective_events[::-1], sums.sources[::-1],
        rate(crossings, np.zeros(len(crossings))), max_code,
    )  # fmt: skip


def _cumulative(crossings: Crossings, rows: NDArray[np.intp], ends: NDArray[np.intp]) -> Sums:
    """Sums over the first rows up to each of `ends`.

    A crossing of rate w adds 2 S w + w^2 to the sum of squares, where S is what its source has of crossings before it.
    """
    part, place = crossings.rate_hz[rows], crossings.place[rows]
    _, first, source = np.unique(place, return_index=True, return_inverse=True)
    order = np.lexsort(
        (np.arange(len(rows)), first[source])
    )  # by source, those that come first before others: small sums
    starts = np.searchsorted(first[source][order], np.sort(first))
    running = part[order].cumsum()
    before = np.repeat(np.r_[0.0, running[starts[1:] - 1]], np.diff(np.r_[starts, len(rows)]))
    own = np.empty(len(rows))
    own[order] = running - before  # what the source of a row has so far, the row included
    new = np.zeros(len(rows), np.int64)
    new[first] = 1
    scatter = np.zeros(len(ends))
    if crossings.fold_place is not None:
        folds, level = len(crossings.fold_share), np.searchsorted(ends, np.arange(len(rows)))
        cells = np.bincount(level * folds + crossings.fold_place[rows], part, minlength=len(ends) * folds)
        scatter = fold_variance(crossings, cells.reshape(len(ends), folds).cumsum(axis=0))
    return Sums(
        part.cumsum()[ends], (part * (2 * own - part)).cumsum()[ends], np.maximum.accumulate(own)[ends],
        new.cumsum()[ends], scatter, len(crossings.fold_share), float(crossings.rate_hz.max()),
    )  # fmt: skip


def _khz(hz: float) -> str:
    return f"{hz / 1e3:.3g} kHz"
