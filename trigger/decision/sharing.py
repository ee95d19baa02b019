"""How a total rate is best shared out among seeds.

Thresholds are chosen on one half of the crossings and of the signals, and measured on the other: whatever is gained by
choosing what fluctuated up is not there. That goes for the rate too: of the menus that fit on one half the search takes
one that fluctuated down, so on the other half it is above the target on average, within its uncertainty; menus are to be
compared at the rates that were measured. Where the pool has folds, whole folds are in one half or in the other, and the
halves share nothing; else whole sources are, and they may share collisions that are not the hardest.

The search goes up from a menu that accepts nothing. Each step lowers the threshold that gains the most mean efficiency for
the rate that it adds to the OR, as far as it does so best, until nothing fits; then each seed in turn is taken back, in part or
whole, and what it frees is shared out again, which is kept where it is better, until nothing is. It is not proven to
find the best of all menus; the tests compare it with all of them where these can be counted.

References:
    Greedy choice by gain over cost: Khuller, Moss, Naor, doi:10.1016/S0020-0190(99)00031-9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.acceptance import Efficiency, share_of
from trigger.decision.efficiency import Estimate
from trigger.decision.menu import MenuRates, Seed, check_names, menu_acceptance, menu_rates
from trigger.decision.rates import RESOLUTION, Array, Crossings, Rate, Scores
from trigger.decision.stability import efficiency_change
from trigger.errors import InputError, nearest

LEVELS = 60
"""Thresholds that are tried for each seed, spread evenly in its rate's logarithm."""
_ROUNDING = 1 + 1e-9
_ROUNDS = 20  # of taking back and sharing out; it has always ended before
_DECADES = 3  # thresholds of a seed reach from the total down to a thousandth of it


@dataclass(frozen=True)
class Shared:
    """A menu whose thresholds were chosen for a total rate.

    Attributes:
        target_hz: Total rate that was to be shared out.
        thresholds: Smallest code that each seed accepts, by its name; one above all that were seen closes a seed.
        menu: Rates on the half that nothing was chosen on.
        efficiency: Share of each signal that the menu accepts there.
        mean_efficiency: Mean over the signals.
        chosen_rate: Total rate on the half that thresholds were chosen on.
        chosen_mean_efficiency: Mean efficiency on that half, which chance has made look better.
        accepted: Whether each event of each signal is accepted there, for comparison event by event.
        note: What a reader needs to judge it.
    """

    target_hz: float
    thresholds: dict[str, int]
    menu: MenuRates
    efficiency: dict[str, Efficiency]
    mean_efficiency: float
    chosen_rate: Rate
    chosen_mean_efficiency: float
    accepted: dict[str, NDArray[np.bool_]]
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            **{name: value for name, value in vars(self).items() if name != "accepted"},
            "menu": self.menu.summary(),
            "efficiency": {name: one.summary() for name, one in self.efficiency.items()},
            "chosen_rate": self.chosen_rate.summary(),
        }


def shared_out(
    crossings: Crossings, signals: Mapping[str, Mapping[str, Scores]], seeds: Sequence[Seed], total_hz: float, seed: int
) -> Shared:
    """Thresholds that give the largest mean efficiency for a total rate.

    Args:
        crossings: The sample.
        signals: For each signal its scores, by the names that the seeds have, shape `(events,)` each.
        seeds: Which scores may be cut on; their own thresholds and rates are not looked at.
        total_hz: Rate that the OR of all seeds may have.
        seed: Seed of the halves.

    Raises:
        InputError: A prescaled seed, a score that the crossings or a signal have not, no signal, a rate that all crossings
            together do not have or that half of the sample cannot resolve.
    """
    check_names(seeds)
    if prescaled := [one.name for one in seeds if one.prescale > 1]:
        raise InputError(
            f"seed {', '.join(map(repr, prescaled))} is prescaled; a rate is shared out by thresholds alone"
        )
    if not 0 < total_hz < crossings.total_hz:
        raise InputError(
            f"a total rate of {total_hz:g} Hz; right would be above 0 and below the {crossings.total_hz:g} Hz of all crossings"
        )
    _check_signals(crossings, signals, seeds)
    generator = np.random.default_rng(seed)
    here = _half_of_crossings(crossings, generator)
    choosing, measuring = crossings.take(here), crossings.take(~here)
    halves = {
        name: generator.permutation(len(next(iter(one.values())))) % 2 == 0 for name, one in signals.items()
    }  # fmt: skip
    thresholds = _choose(choosing, _part(signals, halves, True), seeds, total_hz)
    fixed = [Seed(name=one.name, score=one.score, threshold=thresholds[one.name]) for one in seeds]
    chosen_rate = menu_rates(choosing, fixed).total
    found = menu_rates(measuring, fixed)
    chosen, accepted = (
        {name: menu_acceptance(one, fixed, thresholds) > 0 for name, one in _part(signals, halves, which).items()}
        for which in (True, False)
    )
    measured = {name: share_of(one) for name, one in accepted.items()}
    return Shared(
        total_hz, thresholds, found, measured, _mean(measured), chosen_rate,
        float(np.mean([one.mean() for one in chosen.values()])), accepted, _note(total_hz, chosen_rate, found.total),
    )  # fmt: skip


def gain(without: Shared, with_it: Shared) -> dict[str, Estimate]:
    """Efficiency of each signal that one more seed adds at the same total rate, paired: both menus see the same events.

    The uncertainty is that of the signals' events; which thresholds were chosen is not varied.

    Raises:
        InputError: The menus were measured on other events, or for another rate.
    """
    if without.target_hz != with_it.target_hz or without.accepted.keys() != with_it.accepted.keys():
        raise InputError(
            f"menus for {without.target_hz:g} and {with_it.target_hz:g} Hz on {', '.join(without.accepted)} and "
            f"{', '.join(with_it.accepted)} cannot be compared; right would be one rate and the same signals"
        )
    return {name: efficiency_change(one, with_it.accepted[name]) for name, one in without.accepted.items()}


def _note(total_hz: float, chosen: Rate, measured: Rate) -> str:
    if not (chosen.resolved and measured.resolved):
        worse = min(chosen, measured, key=lambda one: one.effective_events)
        return (
            f"below the pool's resolution: {total_hz / 1e3:.3g} kHz has {worse.sources} sources and "
            f"{worse.effective_events:.3g} effective events in one half, {RESOLUTION} of both are needed"
        )
    if chosen.hz < 0.9 * total_hz:
        return f"no thresholds reach {total_hz / 1e3:.3g} kHz: the most below it is {chosen.hz / 1e3:.3g} kHz"
    return ""


def _mean(efficiency: Mapping[str, Efficiency]) -> float:
    return float(np.mean([one.value for one in efficiency.values()]))


def _check_signals(crossings: Crossings, signals: Mapping[str, Mapping[str, Scores]], seeds: Sequence[Seed]) -> None:
    if not signals:
        raise InputError("there is no signal to share a rate out for; at least one is needed")
    for one in seeds:
        crossings.codes(one.score)
        for name, scores in signals.items():
            if one.score not in scores:
                raise InputError(f"signal {name!r} has no score {one.score!r}; nearest: {nearest(one.score, scores)}")
            shape, first = scores[one.score].shape, next(iter(scores.values())).shape
            if shape != first or len(shape) != 1 or shape[0] < 2 or scores[one.score].dtype.kind not in "iu":
                raise InputError(
                    f"signal {name!r}: score {one.score!r} of shape {shape} and type {scores[one.score].dtype}; right would "
                    f"be one integer code for each of two events or more, as many as the other scores have"
                )


def _half_of_crossings(crossings: Crossings, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Rows of one half; no fold is in both, or where there is one fold or none, no source."""
    groups = crossings.source if crossings.fold is None or np.ptp(crossings.fold) == 0 else crossings.fold
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError("all crossings have one source; two halves that share none need two at least")
    half: NDArray[np.bool_] = (generator.permutation(len(names)) % 2 == 0)[place]
    return half


def _part(
    signals: Mapping[str, Mapping[str, Scores]], halves: Mapping[str, NDArray[np.bool_]], which: bool
) -> dict[str, dict[str, Scores]]:
    return {
        name: {score: values[halves[name] == which] for score, values in one.items()} for name, one in signals.items()
    }


# ------------------------------------------------------------------------------------------------------------- search


@dataclass(frozen=True, eq=False)
class _Ladders:
    """Thresholds of every seed from the tightest to the loosest, and from which on each row passes.

    Level 0 of a seed accepts nothing; level `k` accepts what is at or above its `k`-th threshold.

    Attributes:
        background: First level that accepts each crossing, shape `(seeds, n)`.
        hz: Rate of each crossing.
        signals: First level that accepts each event of any signal, shape `(seeds, events)`.
        gain: What an event that is accepted adds to the mean efficiency.
        sizes: Levels of each seed, level 0 included.
    """

    background: NDArray[np.int64]
    hz: Array
    signals: NDArray[np.int64]
    gain: Array
    sizes: tuple[int, ...]

    def measured(self, levels: Sequence[int]) -> tuple[float, float]:
        """Rate and mean efficiency of a menu."""
        height = np.asarray(levels)[:, None]
        return (
            float(self.hz[(self.background <= height).any(axis=0)].sum()),
            float(self.gain[(self.signals <= height).any(axis=0)].sum()),
        )

    def filled(self, levels: Sequence[int], total_hz: float) -> tuple[int, ...]:
        """The menu, with what is left of the total shared out by gain over rate."""
        at = list(levels)
        while True:
            height = np.asarray(at)[:, None]
            back = ~(self.background <= height).any(axis=0)
            missed = ~(self.signals <= height).any(axis=0)
            room = total_hz * _ROUNDING - float(self.hz[~back].sum())
            best, step = 0.0, None
            for seed, size in enumerate(self.sizes):
                hz = np.bincount(self.background[seed, back], self.hz[back], minlength=size + 1)[:size].cumsum()
                gain = np.bincount(self.signals[seed, missed], self.gain[missed], minlength=size + 1)[:size].cumsum()
                worth = np.where((hz <= room) & (gain > 1e-12), gain / np.maximum(hz, 1e-9 * total_hz), 0.0)
                level = int(worth.argmax())
                if worth[level] > best:
                    best, step = float(worth[level]), (seed, level)
            if step is None:
                return tuple(at)
            at[step[0]] = step[1]

    def best(self, total_hz: float) -> tuple[int, ...]:
        """The menu that the search ends with."""
        levels = self.filled([0] * len(self.sizes), total_hz)
        reached = self.measured(levels)[1]
        for _ in range(_ROUNDS):
            better = False
            for seed in range(len(levels)):
                for kept in {0, levels[seed] // 2, levels[seed] - 4, levels[seed] - 2, levels[seed] - 1}:
                    if not 0 <= kept < levels[seed]:
                        continue
                    tried = self._exchanged(levels, seed, kept, total_hz)
                    found = self.measured(tried)[1]
                    if found > reached + 1e-12:
                        levels, reached, better = tried, found, True
            if not better:
                break
        return levels

    def _exchanged(self, levels: tuple[int, ...], seed: int, kept: int, total_hz: float) -> tuple[int, ...]:
        """With one seed taken back to a level: the others get what is free first, then all."""
        taken = (*levels[:seed], kept, *levels[seed + 1 :])
        others = _Ladders(self.background, self.hz, self.signals, self.gain, tuple(
            kept + 1 if at == seed else size for at, size in enumerate(self.sizes)
        ))  # fmt: skip
        return self.filled(others.filled(taken, total_hz), total_hz)


def _choose(
    crossings: Crossings, signals: Mapping[str, Mapping[str, Scores]], seeds: Sequence[Seed], total_hz: float
) -> dict[str, int]:
    """Thresholds by the seeds' names; a seed without a part is closed by one above all codes seen."""
    tried = [_tried(crossings, one.score, total_hz) for one in seeds]
    if not any(len(one) for one in tried):
        raise InputError(
            f"no threshold of {', '.join(repr(one.name) for one in seeds)} has at most {total_hz / 1e3:.3g} kHz by itself; "
            f"there is nothing to share out"
        )

    def first(values: Scores, thresholds: NDArray[np.int64]) -> NDArray[np.int64]:
        """First level that accepts each: 1 for the first threshold, one more than there are for none."""
        return 1 + len(thresholds) - np.searchsorted(thresholds[::-1], values, side="right")

    background = np.stack([first(crossings.codes(s.score), one) for s, one in zip(seeds, tried, strict=True)])
    rows = (background <= np.array([[len(one)] for one in tried])).any(axis=0)
    events = np.concatenate(
        [np.stack([first(one[s.score], t) for s, t in zip(seeds, tried, strict=True)]) for one in signals.values()],
        axis=1,
    )
    counts = [len(next(iter(one.values()))) for one in signals.values()]
    gain = np.repeat([1 / (count * len(counts)) for count in counts], counts)
    sizes = tuple(len(one) + 1 for one in tried)
    levels = _Ladders(background[:, rows], crossings.rate_hz[rows], events, gain, sizes).best(total_hz)
    closed = [
        max(int(crossings.codes(s.score).max()), *(int(one[s.score].max()) for one in signals.values())) + 1 for s in seeds
    ]  # fmt: skip
    return {
        s.name: int(one[level - 1]) if level else above
        for s, one, level, above in zip(seeds, tried, levels, closed, strict=True)
    }


def _tried(crossings: Crossings, score: str, total_hz: float) -> NDArray[np.int64]:
    """Thresholds that are tried, falling: some codes, evenly in the logarithm of their rate, up to the total."""
    values, place = np.unique(crossings.codes(score), return_inverse=True)
    hz = np.bincount(place, crossings.rate_hz)[::-1].cumsum()[::-1]
    allowed = np.flatnonzero((hz <= total_hz * _ROUNDING) & (hz > 0))
    if len(allowed) > LEVELS:
        wanted = total_hz * np.logspace(-_DECADES, 0, LEVELS)
        allowed = allowed[np.unique(np.searchsorted(-hz[allowed], -wanted).clip(max=len(allowed) - 1))]
    return values[allowed][::-1]
