"""The trigger's menu: which scores are cut on, where, and the rates that come of it.

A crossing is accepted by the menu where one seed at least accepts it. A prescale of p lets one in p of what a seed accepts
pass, whichever it is and whatever the other seeds do; rates are expectations over that, so no random numbers are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from trigger import config
from trigger.config import Settings
from trigger.decision.rates import Array, Crossings, Rate, Scores, rate
from trigger.decision.thresholds import rate_curve
from trigger.errors import InputError, nearest
from trigger.lhc import BUNCH_SLOTS, FILLED_BUNCHES, REVOLUTION_HZ

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class Seed(Settings):
    """A cut on one score.

    Attributes:
        name: Letters, digits, `_` and `-`.
        score: What is cut on: of events `muon_pt`, `egamma_pt`, `jet_pt`, `met`, `ht`, `total_et` or the firmware's `network`;
            of Level-1 jets `jet_pt`, `ht` or a tagged class.
        threshold: Smallest integer code that is accepted; or
        rate_khz: the rate that the seed alone may have after its prescale, for which the threshold is then found.
        prescale: One in so many of what the seed accepts passes.
    """

    name: Name
    score: Name
    threshold: int | None = None
    rate_khz: float | None = Field(default=None, gt=0)
    prescale: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.threshold is None) == (self.rate_khz is None):
            found = "neither" if self.threshold is None else "both"
            raise ValueError(
                f"seed {self.name!r} has {found} of 'threshold' and 'rate_khz'; right would be one of them"
            )
        return self


class RateSample(Settings):
    """The simulated crossings that rates are counted from.

    Attributes:
        crossings: Crossings of minimum bias alone; of whole events only.
        pool: Collisions that they are drawn from; of whole events only.
        slices_gev: Lower edges of slices of pTHat, stitched to them.
        crossings_per_slice: Crossings with one collision of each slice; of jets, collisions of each slice.
        signals: Signals of a tagger of jets; detectors are judged on those of their recipe.
        events_per_signal: Events of each signal.
        pileup: Mean number of collisions in a crossing; the recipe's where not given.
        faulty: Share of the crossings of minimum bias that are made again with faulty towers; all of the slices are.
    """

    crossings: int = Field(default=400_000, gt=0)
    pool: int = Field(default=200_000, gt=0)
    slices_gev: tuple[float, ...] = (20.0, 30.0, 50.0, 80.0, 120.0, 200.0, 400.0)
    crossings_per_slice: int = Field(default=2000, gt=0)
    signals: tuple[Name, ...] = ("ttbar", "vbf_bb", "h_tautau", "hplus_taunu")
    events_per_signal: int = Field(default=1000, gt=0)
    pileup: float | None = Field(default=None, gt=0, le=200)
    faulty: float = Field(default=0.05, gt=0, le=1)


class JetScores(Settings):
    """Which scores of a tagger of jets are judged.

    Attributes:
        tagged: Classes; the score of each is its output minus the largest of those that it is against.
        against: The background's classes.
        pt_gev: Smallest measured pT of a jet that may fire the trigger.
        efficiencies: Where the sample has no rate (jets of one window of pT): efficiencies of a tagged class at which that of the
            background is given.
    """

    tagged: tuple[Name, ...] = Field(min_length=1)
    against: tuple[Name, ...] = Field(min_length=1)
    pt_gev: float = Field(default=60.0, gt=0)
    efficiencies: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(default=(0.8, 0.9), min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = (*self.tagged, *self.against)
        if len(set(self.efficiencies)) < len(self.efficiencies):
            raise ValueError(f"efficiencies {list(self.efficiencies)}: each once")
        if len(set(names)) < len(names):
            raise ValueError(
                f"tagged {list(self.tagged)} and against {list(self.against)}: each class once, in one of them"
            )
        return self


class Limits(Settings):
    """What is required; what is `None` is shown and does not decide.

    Attributes:
        rate_excess: Most by which the upper edge of a rate's 68 % interval may exceed the target, relative to it.
        efficiency_loss: Most efficiency that any signal may lose to the float network at the same rate.
        background_increase: Where the sample has no rate: largest relative increase of the background that the firmware lets
            pass over the float network's, at the same efficiency.
        rate_change: Largest change of the rate under any disturbance, at the same threshold of the largest rate that is
            resolved: the larger over the smaller, minus 1.
        efficiency_change: Largest change of the efficiency of any signal, likewise.
        efficiency: Least efficiency of a signal at the largest of the rates, by its name.
    """

    rate_excess: float | None = Field(default=0.5, ge=0)
    efficiency_loss: float | None = Field(default=0.05, ge=0, le=1)
    background_increase: float | None = Field(default=0.25, ge=0)
    rate_change: float | None = Field(default=1.0, ge=0)
    efficiency_change: float | None = Field(default=0.1, ge=0, le=1)
    efficiency: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


class Menu(Settings):
    """Seeds, and the machine that they run at.

    Attributes:
        name: Letters, digits, `_` and `-`.
        filled_bunches: Pairs of bunches that collide in one turn.
        seeds: What accepts a crossing, besides the firmware that is judged.
        rates_khz: Rates that the network's score is judged at.
        total_khz: Rate that is shared out among the seeds, without and with the network; not done where it is `None`.
        jets: What a tagger of jets is judged by.
        accept_bits: Whether the chosen thresholds are written into the firmware.
        sample: Crossings that rates are counted from.
        limits: What is required.
    """

    name: Name
    filled_bunches: int = Field(default=FILLED_BUNCHES, ge=1, le=BUNCH_SLOTS)
    seeds: tuple[Seed, ...] = ()
    rates_khz: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0, 10.0), min_length=1)
    total_khz: float | None = Field(default=None, gt=0)
    jets: JetScores | None = None
    accept_bits: bool = True
    sample: RateSample = RateSample()
    limits: Limits = Limits()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[Seed, ...]) -> tuple[Seed, ...]:
        try:
            if seeds:
                check_names(seeds)
        except InputError as error:
            raise ValueError(str(error)) from error
        return seeds

    @field_validator("rates_khz")
    @classmethod
    def _different(cls, rates_khz: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(rates_khz)) < len(rates_khz):
            raise ValueError(f"rates {list(rates_khz)}: each once")
        return rates_khz

    @model_validator(mode="after")
    def _shareable(self) -> Self:
        if self.total_khz is not None and not self.seeds:
            raise ValueError("total_khz: there is no seed that it could be shared out among; name some in 'seeds'")
        if self.total_khz is not None and any(seed.prescale > 1 for seed in self.seeds):
            raise ValueError("total_khz: a rate is shared out by thresholds alone; leave prescales out, or it")
        if max(self.rates_khz) * 1e3 >= self.total_hz or (self.total_khz or 0) * 1e3 >= self.total_hz:
            raise ValueError(
                f"rates_khz and total_khz have to be below the {self.total_hz / 1e3:,.0f} kHz of all filled crossings"
            )
        return self

    @property
    def total_hz(self) -> float:
        """Rate of filled crossings, in Hz."""
        return self.filled_bunches * REVOLUTION_HZ


def load_menu(name: str, overrides: tuple[str, ...] = ()) -> Menu:
    """A menu by packaged name or path, with `key.sub=value` overrides.

    Raises:
        InputError: There is none, or it has faults; each is named.
    """
    return config.load(config.find(name, "trigger", "decision/menus"), Menu, overrides)


@dataclass(frozen=True)
class SeedRate:
    """What one seed does.

    Attributes:
        threshold: Smallest code that it accepts.
        prescale: One in so many of what it accepts passes.
        rate: What passes.
        pure: Part of it that no other seed lets pass.
        note: Why its threshold does not give what was asked for.
    """

    threshold: int
    prescale: int
    rate: Rate
    pure: Rate
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {**vars(self), "rate": self.rate.summary(), "pure": self.pure.summary()}


@dataclass(frozen=True)
class MenuRates:
    """What a menu does.

    Attributes:
        total: Rate of crossings that one seed at least lets pass.
        seeds: What each seed does, by its name.
        overlap: For each two seeds the rate that both let pass, by their names; of a seed with itself its rate.
    """

    total: Rate
    seeds: dict[str, SeedRate]
    overlap: dict[str, dict[str, Rate]]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            "total": self.total.summary(),
            "seeds": {name: one.summary() for name, one in self.seeds.items()},
            "overlap": {
                name: {other: one.summary() for other, one in row.items()} for name, row in self.overlap.items()
            },
        }


def menu_rates(crossings: Crossings, seeds: Sequence[Seed], largest: Mapping[str, int] | None = None) -> MenuRates:
    """Rates of a menu: in all, of each seed, of each seed alone, and of every two together.

    Prescales count independently of each other, so a crossing that passes the cuts of some seeds is accepted with the
    probability `1 - prod(1 - 1 / prescale)` over them.

    Args:
        crossings: The sample.
        seeds: What accepts a crossing.
        largest: Largest code that a score can have, where that is known.

    Raises:
        InputError: There is no seed, two have one name, the crossings have no such score, or it cannot have the threshold.
    """
    check_names(seeds)
    found = {seed.name: _threshold(crossings, seed, (largest or {}).get(seed.score)) for seed in seeds}
    passing = np.stack([
        (crossings.codes(seed.score) >= found[seed.name][0]) / seed.prescale for seed in seeds
    ])  # fmt: skip
    most = np.array([1 / seed.prescale for seed in seeds])
    names = [seed.name for seed in seeds]
    overlap = {
        name: {
            other: rate(
                crossings, passing[at] * (1 if at == to else passing[to]), most[at] * (1 if at == to else most[to])
            )
            for to, other in enumerate(names)
        }
        for at, name in enumerate(names)
    }
    rates = {
        seed.name: SeedRate(
            found[seed.name][0], seed.prescale, overlap[seed.name][seed.name],
            rate(crossings, passing[at] * (1 - either(np.delete(passing, at, axis=0))), most[at]), found[seed.name][1],
        )
        for at, seed in enumerate(seeds)
    }  # fmt: skip
    return MenuRates(rate(crossings, either(passing), float(either(most[:, None])[0])), rates, overlap)


def menu_acceptance(scores: Mapping[str, Scores], seeds: Sequence[Seed], thresholds: Mapping[str, int]) -> Array:
    """Probability that a menu accepts each of some events, shape `(events,)`; of a signal, say.

    Args:
        scores: For each score that a seed cuts on its codes, shape `(events,)`.
        seeds: The seeds.
        thresholds: Smallest code that each accepts, by its name, as `menu_rates` found them.

    Raises:
        InputError: A score or a threshold is missing.
    """
    check_names(seeds)
    for seed in seeds:
        for what, name, there in (("score", seed.score, scores), ("threshold", seed.name, thresholds)):
            if name not in there:
                raise InputError(f"seed {seed.name!r}: there is no {what} {name!r}; nearest: {nearest(name, there)}")
    return either(np.stack([(scores[seed.score] >= thresholds[seed.name]) / seed.prescale for seed in seeds]))


def either(passing: Array) -> Array:
    """Probability that one at least lets pass, from those of each, shape `(seeds, n)` to `(n,)`; of none it is 0."""
    missed: Array = np.prod(1 - passing, axis=0)
    return 1 - missed


def check_names(seeds: Sequence[Seed]) -> None:
    """Refuse seeds that are none, or not told apart by their names."""
    names = [seed.name for seed in seeds]
    if not names:
        raise InputError("there is no seed; at least one is needed")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the seeds' names are not distinct: {', '.join(map(repr, twice))} twice or more")


def _threshold(crossings: Crossings, seed: Seed, largest: int | None) -> tuple[int, str]:
    """The code that a seed cuts at, and why it is not what was asked for."""
    if seed.threshold is not None or seed.rate_khz is None:
        code = int(seed.threshold or 0)
        if largest is not None and code > largest:
            raise InputError(
                f"seed {seed.name!r}: a threshold of {code} accepts nothing, for {seed.score!r} has codes up to {largest}"
            )
        return code, ""
    target_hz = seed.rate_khz * 1e3 * seed.prescale
    found = rate_curve(crossings, seed.score, largest).threshold_for(target_hz)
    if found.code is None:
        raise InputError(f"seed {seed.name!r}: {found.note}")
    return found.code, found.note
