"""How well one score, of a network that knows the background alone, finds signals that it was never shown.

A row is accepted where its score is at or above a threshold, and a threshold is set by the share of the background that
it accepts: the *fraction*, which a trigger's rate is proportional to. Integer scores have ties, so the fraction really
reached may be smaller than what was asked for; it is always given beside. Everything that is compared is compared at the
same total fraction, on the same rows.

Uncertainties are those of `trigger.decision.efficiency`: a bootstrap over events in which every threshold is set anew, and
the same replicas for all, so that differences are paired.

References:
    Scores at a fixed background, and the signals they are quoted for: Govorkova et al., arXiv:2108.03986.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import REPLICAS, Array, Estimate, bootstrap, estimate
from trigger.errors import InputError, nearest

Scores = NDArray[Any]
"""One score a row, as real values or as integer codes; larger is more anomalous."""
Rows = NDArray[np.intp]

RESOLUTION = 10
"""Independent background events that a threshold has to be set by; with fewer, it is known to a third and worse."""
_SCORE, _CUT = "score", "cut:"
_ROUNDING = 1 + 1e-9  # sums of weights are rounded: a fraction that is reached exactly is not exceeded
_STAGGER = 1e-12  # more than rounding, less than any event


@dataclass(frozen=True)
class WorkingPoint:
    """What one threshold does.

    Attributes:
        fraction: Share of the background that may be accepted.
        reached: Share of it that is accepted; `None` where the sample cannot tell.
        threshold: Smallest score that is accepted, as a code where scores are codes.
        efficiency: For each signal the share that is accepted; its uncertainty is NaN where all or none are.
        note: Why something is not known, or not what was asked for.
    """

    fraction: float
    reached: float | None
    threshold: float | None
    efficiency: dict[str, Estimate | None]
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {**vars(self), "efficiency": _summary(self.efficiency)}


@dataclass(frozen=True)
class Detection:
    """How well one set of scores does.

    Attributes:
        auc: For each signal the area under the ROC curve against the whole background; ties count half.
        mean_auc: Their mean over the signals.
        points: For each fraction what its threshold does.
    """

    auc: dict[str, Estimate]
    mean_auc: Estimate
    points: dict[float, WorkingPoint]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "auc": _summary(self.auc),
            "mean_auc": self.mean_auc.summary(),
            "points": [point.summary() for point in self.points.values()],
        }


@dataclass(frozen=True)
class AnomalyComparison:
    """Several sets of scores on the same rows.

    Attributes:
        background: Classes that are the background; all others are signals.
        background_events: Their number, less where weights differ (Kish's effective number).
        performance: For each set.
        auc_loss: For each set but the first and each signal: AUC of the first minus its own, paired.
        mean_auc_loss: The same for the mean over signals.
        efficiency_loss: The same for the efficiency at each fraction.
    """

    background: tuple[str, ...]
    background_events: float
    performance: dict[str, Detection]
    auc_loss: dict[str, dict[str, Estimate]]
    mean_auc_loss: dict[str, Estimate]
    efficiency_loss: dict[str, dict[float, dict[str, Estimate | None]]]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            "background": list(self.background),
            "background_events": self.background_events,
            "performance": {name: one.summary() for name, one in self.performance.items()},
            "auc_loss": {name: _summary(one) for name, one in self.auc_loss.items()},
            "mean_auc_loss": _summary(self.mean_auc_loss),
            "efficiency_loss": {
                name: [{"fraction": fraction, **_summary(lost)} for fraction, lost in one.items()]
                for name, one in self.efficiency_loss.items()
            },
        }


@dataclass(frozen=True)
class SignalGain:
    """What a score adds to cuts for one signal; every efficiency is at the same total fraction of the background.

    Attributes:
        score: Efficiency of the score alone.
        cuts: Efficiency of each cut alone.
        best_cut: Efficiency of the best of them, chosen on one half of the events and measured on the other, both ways.
        chosen: Which was the best on each half.
        menu: Efficiency of the OR of all cuts.
        menu_and_score: Efficiency of the OR of all cuts and the score.
        gain_over_best_cut: Score minus best cut, paired, on the same halves.
        gain_over_menu: Score minus menu, paired.
        gain_beside_menu: Menu and score minus menu, paired.
    """

    score: Estimate
    cuts: dict[str, Estimate]
    best_cut: Estimate | None
    chosen: tuple[str, ...]
    menu: Estimate
    menu_and_score: Estimate | None
    gain_over_best_cut: Estimate | None
    gain_over_menu: Estimate
    gain_beside_menu: Estimate | None

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; gains with their significance in standard deviations."""
        told: dict[str, Any] = {"cuts": _summary(self.cuts), "chosen": list(self.chosen)}
        for name, one in vars(self).items():
            if name not in told:
                told[name] = None if one is None else one.summary()
                if one is not None and name.startswith("gain"):
                    told[name]["significance"] = one.significance if np.isfinite(one.significance) else None
        return told


@dataclass(frozen=True)
class CutComparison:
    """A score against cuts at one total fraction of the background.

    Attributes:
        fraction: Share of the background that each may accept in all.
        share: Part of it that the score has beside the menu, which has the rest.
        background: Classes that are the background.
        background_events: Their number, less where weights differ.
        reached: Share of the background really accepted by `score`, `menu`, `menu_and_score` and every cut (`cut:NAME`).
        thresholds: Smallest value that each accepts alone, by the same names.
        menu_thresholds: Smallest value of each cut that the menu accepts: each cut alone has the same share.
        signals: For each signal what is gained; `None` where the sample cannot tell.
        notes: Why something is not known.
    """

    fraction: float
    share: float
    background: tuple[str, ...]
    background_events: float
    reached: dict[str, float]
    thresholds: dict[str, float]
    menu_thresholds: dict[str, float]
    signals: dict[str, SignalGain | None]
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            **vars(self),
            "background": list(self.background),
            "signals": _summary(self.signals),
            "notes": list(self.notes),
        }


def compare_scores(
    scores: Mapping[str, Scores], labels: NDArray[np.int64], class_names: Sequence[str], background: Sequence[str],
    weights: Array, events: NDArray[np.int64], seed: int, fractions: Sequence[float] = (1e-2, 1e-3),
    replicas: int = REPLICAS,
) -> AnomalyComparison:  # fmt: skip
    """Evaluate several sets of scores on the same rows.

    Args:
        scores: Name to scores of shape `(rows,)`; the first is what the others are compared with.
        labels: True classes, shape `(rows,)`.
        class_names: Names of the classes.
        background: Those of them that are the background.
        weights: Weight of each row, not negative.
        events: Event number of each row.
        seed: Seed of the bootstrap.
        fractions: Shares of the background at which efficiencies are given.
        replicas: Number of bootstrap replicas.

    Raises:
        InputError: No background, no signal, a signal without rows, a score that is NaN or infinite, or shapes that differ.
    """
    for fraction in fractions:
        _check_fraction("fraction", fraction)
    sample = _sample(scores, labels, class_names, background, weights, events, seed, replicas)
    areas, shares, performance, resolved = {}, {}, {}, {}
    for name, score in scores.items():
        levels = _levels(score, sample)
        resolved[name] = {fraction: _resolves(sample.evidence(levels, fraction)) for fraction in fractions}
        areas[name] = _areas(score, levels, sample)
        shares[name] = {fraction: levels.accepted(sample, levels.loosest(fraction)) for fraction in fractions}
        points = {fraction: _point(levels, sample, fraction, shares[name][fraction]) for fraction in fractions}
        performance[name] = Detection(_by_signal(sample, areas[name]), estimate(areas[name].mean(axis=0)), points)
    first, *rest = scores

    def efficiency_loss(name: str, fraction: float) -> dict[str, Estimate | None]:
        if not (resolved[first][fraction] and resolved[name][fraction]):
            return dict.fromkeys(sample.signals)
        return {**_by_signal(sample, shares[first][fraction] - shares[name][fraction])}

    return AnomalyComparison(
        tuple(background), sample.events, performance,
        auc_loss={name: _by_signal(sample, areas[first] - areas[name]) for name in rest},
        mean_auc_loss={name: estimate((areas[first] - areas[name]).mean(axis=0)) for name in rest},
        efficiency_loss={
            name: {fraction: efficiency_loss(name, fraction) for fraction in fractions} for name in rest
        },
    )  # fmt: skip


def gain_over_cuts(
    score: Scores, cuts: Mapping[str, Scores], labels: NDArray[np.int64], class_names: Sequence[str],
    background: Sequence[str], weights: Array, events: NDArray[np.int64], seed: int, fraction: float = 1e-3,
    share: float = 0.5, replicas: int = REPLICAS,
) -> CutComparison:  # fmt: skip
    """What a score finds beyond cuts on single quantities and their menu, all at the same total background fraction.

    The menu is the OR of all cuts, its thresholds set so that each cut alone has the same share of the background (as far
    as its steps allow) and their OR the fraction. Beside the score it has `1 - share` of the fraction, and the score's
    threshold is set so that both together have all of it. What is left when no event can be added for all cuts goes to the
    first of them.

    Args:
        score: The score, shape `(rows,)`.
        cuts: Name to the quantity that is cut on, shape `(rows,)`: a transverse momentum, a missing or total energy.
        labels: True classes, shape `(rows,)`.
        class_names: Names of the classes.
        background: Those of them that are the background.
        weights: Weight of each row, not negative.
        events: Event number of each row.
        seed: Seed of the halves and of the bootstrap.
        fraction: Share of the background that is accepted in all.
        share: Part of it that the score is given beside the menu.
        replicas: Number of bootstrap replicas.

    Raises:
        InputError: There is no cut, or what `compare_scores` refuses.
    """
    if not cuts:
        raise InputError("no cut to compare the score with; at least one is needed")
    _check_fraction("fraction", fraction)
    _check_fraction("share", share)
    named = {_SCORE: score, **{f"{_CUT}{name}": one for name, one in cuts.items()}}
    sample = _sample(named, labels, class_names, background, weights, events, seed, replicas)
    levels = {name: _levels(one, sample, fraction) for name, one in named.items()}
    evidence = min(sample.evidence(one, fraction) for one in levels.values())
    notes = _unresolved(evidence, fraction, share)
    known = CutComparison(fraction, share, tuple(background), sample.events, {}, {}, {}, dict.fromkeys(sample.signals),
                          tuple(notes.values()))  # fmt: skip
    if "fraction" in notes:
        return known
    passed = {name: one.accepted(sample, one.loosest(fraction)) for name, one in levels.items()}
    parts = {name: levels[f"{_CUT}{name}"].staggered(at) for at, name in enumerate(cuts)}
    menu = _menu(list(parts.values()), levels[_SCORE], sample, fraction)
    limit, room = menu.limit(fraction), menu.limit(fraction * (1 - share))
    bar = menu.bar(room, fraction)
    passed |= {"menu": menu.accepted(limit, None), "menu_and_score": menu.accepted(room, bar)}
    halved = None if "best_cut" in notes else _best_cut(named, _halves(sample, labels, events, seed), fraction)
    return replace(
        known,
        reached={
            **{name: float(one.above[0, one.loosest(fraction)[0]]) for name, one in levels.items()},
            "menu": menu.reached(limit, None), "menu_and_score": menu.reached(room, bar),
        },
        thresholds={name: one.threshold(one.loosest(fraction)[0]) for name, one in levels.items()},
        menu_thresholds={
            name: one.threshold(np.searchsorted(one.above[0], limit[0]) - 1) for name, one in parts.items()
        },
        signals={
            signal: _gain(
                {name: one[at] for name, one in passed.items() if name not in notes},
                None if halved is None else halved[at],
            )
            for at, signal in enumerate(sample.signals)
        },
    )  # fmt: skip


def _gain(passed: Mapping[str, Array], halved: _Halved | None) -> SignalGain:
    """Of one signal, from the shares accepted in the sample and every replica."""
    both = passed.get("menu_and_score")
    return SignalGain(
        score=_efficiency(passed[_SCORE]),
        cuts={name.removeprefix(_CUT): _efficiency(one) for name, one in passed.items() if name.startswith(_CUT)},
        best_cut=None if halved is None else _efficiency(halved.cut),
        chosen=() if halved is None else halved.chosen,
        menu=_efficiency(passed["menu"]),
        menu_and_score=None if both is None else _efficiency(both),
        gain_over_best_cut=None if halved is None else estimate(halved.score - halved.cut),
        gain_over_menu=estimate(passed[_SCORE] - passed["menu"]),
        gain_beside_menu=None if both is None else estimate(both - passed["menu"]),
    )


# ------------------------------------------------------------------------------------------------- rows and thresholds


@dataclass(frozen=True)
class _Sample:
    """The rows that scores are measured on.

    Attributes:
        background: Rows of the background.
        signals: Rows of each signal.
        weights: Their weights in the sample and every replica, shape `(1 + replicas, rows)`.
        events: Effective number of background events.
        event: Of each row of the background its event, numbered from 0.
    """

    background: Rows
    signals: dict[str, Rows]
    weights: Array
    events: float
    event: NDArray[np.intp]

    @cached_property
    def total(self) -> Array:
        """Weight of the background, shape `(1 + replicas, 1)`; NaN in a replica without any."""
        total: Array = self.weights[:, self.background].sum(axis=1, keepdims=True)
        total[total == 0] = np.nan
        return total

    def share(self, signal: str, accepted: NDArray[np.bool_]) -> Array:
        """Share of a signal's weight where `accepted`, shape `(1 + replicas, its rows)`, holds; NaN where not known."""
        weights = self.weights[:, self.signals[signal]]
        total = np.where(np.isnan(self.total[:, 0]), np.nan, weights.sum(axis=1))
        total[total == 0] = np.nan
        share: Array = np.where(accepted, weights, 0).sum(axis=1) / total
        return share

    def evidence(self, levels: _Levels, fraction: float) -> float:
        """Effective number of events that a threshold for a fraction is set by: those at and next below it.

        Few hard collisions may be in most of them, however many events the background has in all.
        """
        count = min(int(levels.loosest(fraction)[0]) + 1, len(levels.above[0]) - 1)
        near = levels.depth[self.background] <= count
        by_event = np.bincount(self.event[near], self.weights[0, self.background[near]])
        return float(by_event.sum() ** 2 / (by_event**2).sum() * min(1.0, fraction / levels.above[0, count]))

    def take(self, chosen: NDArray[np.bool_]) -> _Sample:
        """The rows that are chosen; weights and row numbers stay those of the whole."""
        signals = {name: rows[chosen[rows]] for name, rows in self.signals.items()}
        kept = chosen[self.background]
        return replace(self, background=self.background[kept], signals=signals, event=self.event[kept])


def _sample(
    scores: Mapping[str, Scores], labels: NDArray[np.int64], class_names: Sequence[str], background: Sequence[str],
    weights: Array, events: NDArray[np.int64], seed: int, replicas: int,
) -> _Sample:  # fmt: skip
    if not scores:
        raise InputError("no scores to evaluate; at least one set is needed")
    for name, one in {**scores, "weights": weights, "events": events}.items():
        if one.shape != labels.shape or one.dtype.kind not in "iuf" or not np.isfinite(one).all():
            raise InputError(
                f"{name!r} of shape {one.shape} and type {one.dtype} does not fit the sample's {len(labels)} rows "
                f"or is not finite; one finite number a row is needed"
            )
    if (weights < 0).any():
        raise InputError(f"a weight is {weights.min():g}; weights are not negative")
    for name in background:
        if name not in class_names:
            raise InputError(
                f"the background's class {name!r} is none of the sample; nearest: {nearest(name, class_names)}"
            )
    rows = {
        name: np.flatnonzero((labels == label) & (weights > 0)) for label, name in enumerate(class_names)
    }  # a row without weight says nothing, and would only make a threshold's steps finer than they are
    back = np.flatnonzero(np.isin(labels, [class_names.index(name) for name in background]) & (weights > 0))
    signals = {name: one for name, one in rows.items() if name not in background}
    if not len(back):
        raise InputError(f"the background ({', '.join(background) or 'no class'}) has no rows, or none with a weight")
    if not signals:
        raise InputError(f"every class ({', '.join(class_names)}) is background: there is no signal to find")
    if empty := [name for name, one in signals.items() if not len(one)]:
        raise InputError(f"signal {', '.join(map(repr, empty))} has no rows, or none with a weight")
    _, event = np.unique(events[back], return_inverse=True)
    by_event = np.bincount(event, weights[back])
    return _Sample(
        back,
        signals,
        bootstrap(events, weights, seed, replicas),
        float(by_event.sum() ** 2 / (by_event**2).sum()),
        event,
    )


def _halves(
    sample: _Sample, labels: NDArray[np.int64], events: NDArray[np.int64], seed: int
) -> tuple[_Sample, _Sample]:
    """Two samples without an event in both, and with half of the events of every class each."""
    _, first, event = np.unique(events, return_index=True, return_inverse=True)
    order = np.lexsort((np.random.default_rng([seed, 1]).random(len(first)), labels[first]))
    odd = np.empty(len(order), bool)
    odd[order] = np.arange(len(order)) % 2 == 1
    return sample.take(odd[event]), sample.take(~odd[event])


@dataclass(frozen=True)
class _Levels:
    """The background's distinct scores: what thresholds can tell apart.

    Attributes:
        values: The levels, from the largest, shape `(levels,)`.
        above: Share of the background in the first `k` of them, shape `(1 + replicas, 1 + levels)`, from none on.
        depth: For every row how many levels are at or above its score: accepting `k` levels accepts the rows of depth `k`
            and less.
    """

    values: Scores
    above: Array
    depth: NDArray[np.int64]

    def loosest(self, fraction: float) -> NDArray[np.int64]:
        """How many levels can be accepted without exceeding a fraction, shape `(1 + replicas,)`."""
        levels: NDArray[np.int64] = (self.above <= fraction * _ROUNDING).sum(axis=1) - 1
        return levels

    def threshold(self, levels: int | np.integer[Any]) -> float:
        """Smallest score that is accepted with so many levels: the one next above the first level that is not."""
        value = self.values[levels]
        return int(value) + 1 if self.values.dtype.kind in "iu" else float(np.nextafter(value, np.inf))

    def accepted(self, sample: _Sample, levels: NDArray[np.int64]) -> Array:
        """Share of every signal that is accepted with so many levels, shape `(signals, 1 + replicas)`."""
        return np.stack([
            sample.share(name, self.depth[rows] <= levels[:, None]) for name, rows in sample.signals.items()
        ])  # fmt: skip

    def staggered(self, place: int) -> _Levels:
        """Shares a trifle larger, by its place among the cuts of a menu, so that no two cuts have equal ones.

        Else the menu could go on only by an event of every cut at once, and be short of its fraction by nearly as many.
        """
        return replace(self, above=self.above * (1 + place * _STAGGER))


def _levels(score: Scores, sample: _Sample, fraction: float = 1.0) -> _Levels:
    """The levels; below a fraction of 1 only what thresholds need there, and one level more, for what is not accepted."""
    values, count = np.unique(score[sample.background], return_counts=True)
    rows = sample.background[np.argsort(score[sample.background], kind="stable")[::-1]]
    ends = count[::-1].cumsum()
    nominal = sample.weights[0, rows].cumsum()[ends - 1] / sample.total[0]
    deepest = min(len(values), int(np.searchsorted(nominal, 3 * fraction)) + 1)
    while True:
        above = np.zeros((len(sample.weights), deepest + 1))
        above[:, 1:] = sample.weights[:, rows[: ends[deepest - 1]]].cumsum(axis=1)[:, ends[:deepest] - 1] / sample.total
        if deepest == len(values) or not (above[:, -1] <= fraction * _ROUNDING).any():
            break
        deepest = min(len(values), 2 * deepest)  # a replica has less there than three times what it should have
    return _Levels(values[::-1], above, len(values) - np.searchsorted(values, score, side="left"))


def _areas(score: Scores, levels: _Levels, sample: _Sample) -> Array:
    """AUC of every signal, shape `(signals, 1 + replicas)`."""
    areas = []
    for rows in sample.signals.values():
        strictly = len(levels.values) - np.searchsorted(levels.values[::-1], score[rows], side="right")
        below = 1 - (levels.above[:, levels.depth[rows]] + levels.above[:, strictly]) / 2
        weights = sample.weights[:, rows]
        total = weights.sum(axis=1)
        areas.append((weights * below).sum(axis=1) / np.where(total > 0, total, np.nan))
    return np.stack(areas)


def _point(levels: _Levels, sample: _Sample, fraction: float, shares: Array) -> WorkingPoint:
    evidence = sample.evidence(levels, fraction)
    if not _resolves(evidence):
        return WorkingPoint(fraction, None, None, dict.fromkeys(sample.signals), _too_few(evidence, fraction))
    count = levels.loosest(fraction)[0]
    reached = float(levels.above[0, count])
    note = ""
    if reached < 0.9 * fraction:
        step = levels.above[0, count + 1] - reached
        note = f"{step:.3g} of the background has one and the same score, so that only {reached:.3g} can be accepted"
    efficiency: dict[str, Estimate | None] = {
        name: _efficiency(row) for name, row in zip(sample.signals, shares, strict=True)
    }
    return WorkingPoint(fraction, reached, levels.threshold(count), efficiency, note)


# ------------------------------------------------------------------------------------------------------- cuts and menus


@dataclass(frozen=True)
class _Halved:
    """Of one signal, means over two halves in the sample and every replica; the best cut is chosen on the other half."""

    score: Array
    cut: Array
    chosen: tuple[str, ...]


def _best_cut(named: Mapping[str, Scores], halves: tuple[_Sample, _Sample], fraction: float) -> list[_Halved]:
    """For every signal the score and the best cut, each half with thresholds of its own background."""
    shares = []  # of each half, (score and cuts, signals, 1 + replicas)
    for half in halves:
        ladders = (_levels(one, half, fraction) for one in named.values())
        shares.append(np.stack([one.accepted(half, one.loosest(fraction)) for one in ladders]))
    best = [one[1:].argmax(axis=0)[None] for one in shares]
    cut = [np.take_along_axis(one[1:], choice, axis=0)[0] for one, choice in zip(shares, reversed(best), strict=True)]
    size = [np.stack([half.weights[:, rows].sum(axis=1) for rows in half.signals.values()]) for half in halves]
    total = np.where(size[0] + size[1] > 0, size[0] + size[1], np.nan)

    def mean(one: Sequence[Array]) -> Array:
        whole: Array = (one[0] * size[0] + one[1] * size[1]) / total
        return whole

    names = [name.removeprefix(_CUT) for name in named][1:]
    return [
        _Halved(score, chosen_cut, tuple(names[int(choice[0, at, 0])] for choice in best))
        for at, (score, chosen_cut) in enumerate(zip(mean([one[0] for one in shares]), mean(cut), strict=True))
    ]


@dataclass(frozen=True)
class _Menu:
    """The OR of cuts, and a score beside it.

    A cut that has the share `g` of the background accepts what has no more background at or above it than `g`. So a row is
    accepted by the menu when the least of its own shares over all cuts is small enough: one number a row, and one limit.

    Attributes:
        sample: The rows.
        own: Least own share of every candidate, shape `(1 + replicas, candidates)`: rows of the background that some cut or
            the score accepts in some replica. No other can be accepted, for an OR accepts no less than each of its parts.
        weights: Shares of the background that the candidates are.
        depth: Depth of the candidates in the score's levels.
        score: The score's levels.
        signals: Least own share of every row of each signal, shape `(1 + replicas, its rows)`.
    """

    sample: _Sample
    own: Array
    weights: Array
    depth: NDArray[np.int64]
    score: _Levels
    signals: dict[str, Array]

    def limit(self, fraction: float) -> Array:
        """First own share that is too much, shape `(1 + replicas,)`, for the menu to accept no more than the fraction."""
        order = np.argsort(self.own, axis=1)
        over = np.take_along_axis(self.weights, order, axis=1).cumsum(axis=1) > fraction * _ROUNDING
        first = np.take_along_axis(order, over.argmax(axis=1)[:, None], axis=1)
        beyond = np.nextafter(fraction * _ROUNDING, np.inf)
        found = np.where(over.any(axis=1), np.take_along_axis(self.own, first, axis=1)[:, 0], beyond)
        return np.minimum(found, beyond)

    def bar(self, limit: Array, fraction: float) -> NDArray[np.int64]:
        """First depth of the score that is too much beside the menu, shape `(1 + replicas,)`."""
        order = np.argsort(self.depth, kind="stable")
        menu = self.own < limit[:, None]
        pure = np.where(menu, 0, self.weights)[:, order].cumsum(axis=1)
        over = pure + np.where(menu, self.weights, 0).sum(axis=1, keepdims=True) > fraction * _ROUNDING
        beyond = self.score.loosest(fraction) + 1
        return np.where(over.any(axis=1), np.minimum(self.depth[order][over.argmax(axis=1)], beyond), beyond)

    def accepted(self, limit: Array, bar: NDArray[np.int64] | None) -> Array:
        """Share of every signal that is accepted, shape `(signals, 1 + replicas)`; without a bar by the menu alone."""
        shares = []
        for name, own in self.signals.items():
            accepted = own < limit[:, None]
            if bar is not None:
                accepted |= self.score.depth[self.sample.signals[name]] < bar[:, None]
            shares.append(self.sample.share(name, accepted))
        return np.stack(shares)

    def reached(self, limit: Array, bar: NDArray[np.int64] | None) -> float:
        """Share of the background that is accepted."""
        accepted = self.own[0] < limit[0]
        if bar is not None:
            accepted |= self.depth < bar[0]
        return float(self.weights[0, accepted].sum())


def _menu(cuts: Sequence[_Levels], score: _Levels, sample: _Sample, fraction: float) -> _Menu:
    back = sample.background
    candidates = back[np.logical_or.reduce([one.depth[back] <= one.loosest(fraction).max() for one in (*cuts, score)])]

    def own(rows: Rows) -> Array:
        """Least share, over the cuts, of the background at or above each row's own value."""
        least: Array = np.full((len(sample.weights), len(rows)), np.inf)
        for one in cuts:
            np.minimum(least, one.above[:, np.minimum(one.depth[rows], one.above.shape[1] - 1)], out=least)
        return least

    return _Menu(
        sample, own(candidates), sample.weights[:, candidates] / sample.total, score.depth[candidates], score,
        {name: own(rows) for name, rows in sample.signals.items()},
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- figures


def _check_fraction(name: str, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise InputError(f"{name} {fraction:g}: it is a share, between 0 and 1 and neither")


def _resolves(evidence: float) -> bool:
    """Whether there are enough events to set a threshold by."""
    return evidence * _ROUNDING >= RESOLUTION


def _too_few(evidence: float, fraction: float) -> str:
    return (
        f"below resolution: {fraction:g} of the background is {evidence:.2g} independent events; {RESOLUTION} are needed, "
        f"so {RESOLUTION / max(evidence, 0.01):.3g} times as many"
    )


def _unresolved(evidence: float, fraction: float, share: float) -> dict[str, str]:
    """What the sample is too small for, and why."""
    needed = {"fraction": 1.0, "best_cut": 0.5, "menu_and_score": min(share, 1 - share)}
    return {
        name: f"{'all' if name == 'fraction' else name}: {_too_few(evidence * part, fraction * part)}"
        for name, part in needed.items()
        if not _resolves(evidence * part)
    }


def _efficiency(row: Array) -> Estimate:
    """An efficiency; where all or nothing is accepted, replicas of the sample cannot tell how far it is from that."""
    one = estimate(row)
    return replace(one, uncertainty=float("nan")) if one.uncertainty == 0 and one.value in (0, 1) else one


def _by_signal(sample: _Sample, rows: Array) -> dict[str, Estimate]:
    return {name: estimate(row) for name, row in zip(sample.signals, rows, strict=True)}


def _summary(estimates: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if one is None else one.summary() for name, one in estimates.items()}
