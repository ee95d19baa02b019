"""What the trigger will do with a firmware: rates, thresholds on integers, efficiencies, what quantisation costs, stability.

Detectors of anomalies are judged on simulated crossings, taggers of Level-1 jets on inclusive collisions, both with scores of
the firmware's own C++; thresholds are codes of its outputs. A tagger of other jets has no rate: it is judged by its background
at fixed efficiencies (`trigger/app/tagger_points.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from models.recipe import Recipe
from trigger.app import event_rates, jet_rates
from trigger.app.accept_bits import AcceptBits, accept_bits, at_rate, cut_name
from trigger.app.console import Reporter, start_keras
from trigger.app.scored import FLOAT, QUANTISED, FirmwareScore, Scored, Subject, of
from trigger.data.generate_events import EventData
from trigger.data.level1_collisions import Level1Collisions
from trigger.data.level1_jets import Level1JetData
from trigger.decision.acceptance import Efficiency, TurnOn, efficiency, turn_on
from trigger.decision.cost import Cost, cost
from trigger.decision.efficiency import Estimate
from trigger.decision.menu import Menu, MenuRates, Seed, menu_rates
from trigger.decision.rates import Crossings
from trigger.decision.sharing import Shared, gain, shared_out
from trigger.decision.stability import (
    PileupBin,
    Stability,
    against_pileup,
    pileup_edges,
)
from trigger.decision.thresholds import RateCurve, Threshold, rate_curve
from trigger.errors import InputError, nearest
from trigger.verdict import Requirement, Verdict, at_least, at_most, not_measured

OTHER_SEED = 1_000_003
"""Added to the recipe's seed: crossings that rates are counted from are not those that the network learnt from."""
CURVE_POINTS = 500
"""Points of a rate curve that are written down, evenly in its logarithm."""


@dataclass(frozen=True)
class Judged:
    """One score of the firmware at every target rate.

    Attributes:
        score: The score.
        curve: Rate for every code.
        thresholds: For each target rate.
        costs: For each target rate what the firmware's integers cost against the float network; `None` where not resolved.
        quantised: The same of the quantised network in floating point, which tells conversion from quantisation.
        efficiencies: For each target rate the efficiency of each signal; empty where there is no threshold.
        turn_ons: For each target rate the efficiency of each signal against the offline quantity.
        stability: At the last resolved threshold what each disturbance does.
        pileup: There, rate and efficiencies in bins of pileup; empty where there is none.
    """

    score: FirmwareScore
    curve: RateCurve
    thresholds: tuple[Threshold, ...]
    costs: tuple[Cost | None, ...]
    quantised: tuple[Cost | None, ...]
    efficiencies: tuple[dict[str, Efficiency], ...]
    turn_ons: tuple[dict[str, TurnOn], ...]
    stability: dict[str, Stability]
    pileup: tuple[PileupBin, ...]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        points = zip(self.thresholds, self.costs, self.quantised, self.efficiencies, self.turn_ons, strict=True)
        return {
            "output": self.score.output,
            "against": list(self.score.against),
            "curve": self.curve.thinned(CURVE_POINTS).summary(),
            "thresholds": [
                {
                    **threshold.summary(),
                    "quantisation": None if firmware is None else firmware.summary(),
                    "quantised_network": None if network is None else network.summary(),
                    "efficiency": {name: one.summary() for name, one in signals.items()},
                    "turn_on": {name: one.summary() for name, one in turned.items()},
                }
                for threshold, firmware, network, signals, turned in points
            ],
            "stability": {name: one.summary() for name, one in self.stability.items()},
            "pileup": [one.summary() for one in self.pileup],
        }


@dataclass(frozen=True)
class Rates:
    """What is known of a firmware's rates.

    Attributes:
        menu: What was asked.
        sample: Background and signals with all scores.
        judged: Each score of the firmware.
        seeds: Rates of the menu's own seeds, and of the firmware's scores beside them.
        alone: The menu's rate shared out among its seeds alone.
        beside: The same with the firmware's scores as further seeds.
        bits: The chosen thresholds in the firmware.
        verdict: What is required.
    """

    menu: Menu
    sample: Scored
    judged: tuple[Judged, ...]
    seeds: MenuRates
    alone: Shared | None
    beside: Shared | None
    bits: AcceptBits
    verdict: Verdict

    @property
    def chosen_menu(self) -> Menu:
        """The menu with every threshold as the code that it came to, those of the firmware's scores among its seeds."""
        ours = {
            cut_name(score, what): Seed(name=cut_name(score, what), score=score.name, threshold=code)
            for score, what, code in chosen(self.judged)
        }
        asked = [
            seed.model_copy(update={"threshold": self.seeds.seeds[seed.name].threshold, "rate_khz": None})
            for seed in self.menu.seeds
            if seed.name not in ours
        ]
        return self.menu.model_copy(update={"seeds": (*asked, *ours.values())})

    @property
    def gain(self) -> dict[str, Estimate]:
        """Efficiency of each signal that the firmware adds to the menu at the same total; empty where that is not resolved."""
        if self.alone is None or self.beside is None or self.alone.note or self.beside.note:
            return {}
        return gain(self.alone, self.beside)

    def summary(self) -> dict[str, Any]:
        """As `rates.json` holds it."""
        shared = (("alone", self.alone), ("beside", self.beside))
        return {
            "menu": self.menu.model_dump(mode="json"),
            "sample": {**self.sample.crossings.summary(), "notes": list(self.sample.notes)},
            "scores": {one.score.name: one.summary() for one in self.judged},
            "seeds": self.seeds.summary(),
            "shared_out": {name: None if one is None else one.summary() for name, one in shared},
            "gain": {name: one.summary() for name, one in self.gain.items()},
            "accept_bits": self.bits.summary(),
            "verdict": self.verdict.model_dump(mode="json"),
        }


def has_rates(recipe: Recipe) -> bool:
    """Whether there is a sample of collisions as they come for what the firmware decides."""
    detector = isinstance(recipe.data, EventData) and recipe.network.task == "anomaly"
    return detector or (isinstance(recipe.data, Level1JetData) and recipe.network.task == "classification")


def sample_data(recipe: Recipe, menu: Menu) -> EventData | Level1Collisions:
    """What is simulated for rates of a recipe under a menu.

    Raises:
        InputError: The menu is not one for this recipe, or what it wants cannot be simulated.
    """
    data, wanted = recipe.data, menu.sample
    try:
        if isinstance(data, EventData):
            if menu.jets is not None:
                raise InputError(
                    f"menu {menu.name!r} tags jets, and {recipe.name!r} decides on events; leave 'jets' out"
                )
            return event_rates.sample_of(data, wanted)
        if menu.jets is None:
            raise InputError(
                f"menu {menu.name!r} does not say which classes of jets are tagged; add 'jets: {{tagged: [...], against: "
                f"[...], pt_gev: 100}}' of {', '.join(recipe.class_names)}, as the packaged menu 'level1_jets' does"
            )
        check_classes(recipe.class_names, menu)
        return Level1Collisions.model_validate({
            "jets": data, "slices_gev": wanted.slices_gev, "collisions_per_slice": wanted.crossings_per_slice,
            "signals": wanted.signals, "collisions_per_signal": wanted.events_per_signal,
            "pt_gev": menu.jets.pt_gev * jet_rates.LOWEST,
        })  # fmt: skip
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError(f"menu {menu.name!r}, sample: {faults}") from error


def check_classes(names: Sequence[str], menu: Menu) -> None:
    """Refuse classes that there are not."""
    for name in () if menu.jets is None else (*menu.jets.tagged, *menu.jets.against):
        if name not in names:
            raise InputError(f"menu {menu.name!r}: there is no class {name!r}; nearest: {nearest(name, names)}")


def rates(subject: Subject, menu: Menu, workers: int, report: Reporter, sample: Scored | None = None) -> Rates:
    """Rates of a firmware under a menu.

    Args:
        subject: The firmware; without a sample `has_rates` of its recipe has to be true.
        menu: Rates that are asked for, other seeds, and how large the sample is.
        workers: Processes and threads.
        report: Told of progress.
        sample: Somebody's own crossings; simulated ones where not given.

    Raises:
        InputError: The firmware was edited since its conversion, or the menu names an unknown score or signal.
    """
    subject.project.require_unedited()
    start_keras()
    sample = sample or _sample(subject, menu, workers, report)
    _check_names(menu, sample)
    report.say("thresholds, efficiencies, the cost of quantisation")
    curves = [rate_curve(sample.crossings, score.name, score.max_code) for score in sample.scores]
    thresholds = [tuple(curve.threshold_for(1e3 * khz) for khz in menu.rates_khz) for curve in curves]
    report.say("stability")
    stability = _stability(sample, thresholds)
    judged = tuple(
        _judged(subject, sample, score, curve, own, stability[score.name])
        for score, curve, own in zip(sample.scores, curves, thresholds, strict=True)
    )
    report.say("the menu")
    ours = tuple(Seed(name=score.name, score=score.name, rate_khz=menu.rates_khz[0]) for score in sample.scores)
    alone = beside = None
    if menu.total_khz is not None:
        about = (1e3 * menu.total_khz, subject.recipe.seed)
        alone = shared_out(sample.crossings, sample.signals, menu.seeds, *about)
        beside = shared_out(sample.crossings, sample.signals, (*menu.seeds, *ours), *about)
    bits = accept_bits(subject, chosen(judged), menu.accept_bits, workers, report)
    asked = requirements(menu, judged)
    return Rates(
        menu, sample, judged, menu_rates(sample.crossings, (*menu.seeds, *ours), _largest(sample)), alone, beside, bits,
        Verdict(requirements=(*asked, *bits.requirements)),
    )  # fmt: skip


def _largest(sample: Scored) -> dict[str, int]:
    """Largest code of every score that a seed may cut on."""
    return {**sample.largest, **{score.name: score.max_code for score in sample.scores}}


def chosen(judged: Sequence[Judged]) -> list[tuple[FirmwareScore, str, int]]:
    """Every threshold that is resolved: its score, what it is for, and its code."""
    return [
        (one.score, at_rate(threshold.target_hz / 1e3), threshold.code)
        for one in judged
        for threshold in one.thresholds
        if threshold.resolved and threshold.code is not None
    ]


def _sample(subject: Subject, menu: Menu, workers: int, report: Reporter) -> Scored:
    """The crossings or collisions that rates of this firmware are counted from."""
    recipe, wanted = subject.recipe, menu.sample
    seed = recipe.seed + OTHER_SEED
    data = sample_data(recipe, menu)
    if isinstance(data, EventData):
        return event_rates.scored(subject, data, wanted.faulty, menu.total_hz, seed, workers, report)
    assert menu.jets is not None
    assert isinstance(recipe.data, Level1JetData)
    pileup = recipe.data.pileup if wanted.pileup is None else wanted.pileup
    return jet_rates.scored(
        subject,
        data,
        menu.jets.tagged,
        menu.jets.against,
        menu.jets.pt_gev,
        menu.total_hz,
        pileup,
        seed,
        workers,
        report,
    )


def _check_names(menu: Menu, sample: Scored) -> None:
    """Refuse names that nothing has, or that are taken."""
    for one in menu.seeds:
        sample.crossings.codes(one.score)
    unknown = [name for name in menu.limits.efficiency if name not in sample.signals]
    if unknown:
        raise InputError(
            f"menu {menu.name!r}: limits.efficiency names {unknown[0]!r}; there are {', '.join(sample.signals)}"
        )
    own = {cut_name(score, at_rate(khz)): score.name for score in sample.scores for khz in menu.rates_khz}
    own |= {score.name: score.name for score in sample.scores}
    for seed in menu.seeds:
        if seed.name in own and (seed.name == own[seed.name] or seed.score != own[seed.name]):
            raise InputError(f"menu {menu.name!r}: seed {seed.name!r} has the name of one of the firmware's; rename it")


def _last_resolved(thresholds: tuple[Threshold, ...]) -> Threshold | None:
    """The one of the largest rate that is resolved."""
    known = [one for one in thresholds if one.resolved and one.code is not None]
    return max(known, key=lambda one: one.target_hz, default=None)


def _stability(sample: Scored, thresholds: list[tuple[Threshold, ...]]) -> dict[str, dict[str, Stability]]:
    """For each score what each disturbance does at its last resolved threshold; each sample is made once and let go."""
    found: dict[str, dict[str, Stability]] = {score.name: {} for score in sample.scores}
    working = {score.name: _last_resolved(own) for score, own in zip(sample.scores, thresholds, strict=True)}
    if not any(working.values()):
        return found
    for name, make in sample.disturbed.items():
        disturbed = make()
        for score, one in working.items():
            if one is not None and one.code is not None:
                found[score][name] = disturbed.change(score, one.code)
    return found


def _judged(
    subject: Subject, sample: Scored, score: FirmwareScore, curve: RateCurve, thresholds: tuple[Threshold, ...],
    stability: dict[str, Stability],
) -> Judged:  # fmt: skip
    seed, crossings, signals = subject.recipe.seed, sample.crossings, sample.signals
    costs: dict[str, list[Cost | None]] = {
        other: [
            cost(crossings, signals, of(score.name, FLOAT), other, one.target_hz, seed, score.step)
            if one.resolved
            else None
            for one in thresholds
        ]
        for other in (score.name, of(score.name, QUANTISED))
    }
    known = [one.code if one.resolved else None for one in thresholds]
    working = _last_resolved(thresholds)
    return Judged(
        score, curve, thresholds, tuple(costs[score.name]), tuple(costs[of(score.name, QUANTISED)]),
        tuple({} if code is None else {name: efficiency(one[score.name], code) for name, one in signals.items()}
              for code in known),
        tuple({} if code is None else {
            name: turn_on(signals[name][score.name] >= code, quantity, sample.offline_edges)
            for name, quantity in sample.offline.items()
        } for code in known),
        stability, () if working is None or working.code is None else _against_pileup(sample, score, working.code),
    )  # fmt: skip


def _against_pileup(sample: Scored, score: FirmwareScore, code: int) -> tuple[PileupBin, ...]:
    if sample.pileup is None:
        return ()
    crossings: Crossings = sample.crossings
    return against_pileup(
        crossings, sample.pileup, crossings.codes(score.name) >= code, pileup_edges(sample.pileup, crossings.rate_hz),
        {name: (sample.signal_pileup[name], one[score.name] >= code) for name, one in sample.signals.items()},
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- verdict


def requirements(menu: Menu, judged: tuple[Judged, ...]) -> tuple[Requirement, ...]:
    """What is required of each score."""
    return tuple(
        requirement
        for one in judged
        for requirement in (*_at_rates(menu, one), *_efficient(menu, one), *_stable(menu, one))
    )


def held(name: str, figure: float | None, limit: float | None, uncertainty: float | None, note: str) -> Requirement:
    """A figure that may not exceed a limit; without a limit it is shown, and what is not known is NOT MEASURED."""
    most = float("inf") if limit is None else limit
    return at_most(name, figure, most, required=limit is not None, uncertainty=uncertainty, note=note)


def _called(one: Judged, what: str) -> str:
    """Name of a requirement's subject; a detector has one score, which needs no name."""
    return what if one.score.name == event_rates.NETWORK else f"{one.score.name}_{what}"


def _at_rates(menu: Menu, one: Judged) -> list[Requirement]:
    found, limits = [], menu.limits
    for threshold, costs in zip(one.thresholds, one.costs, strict=True):
        khz = threshold.target_hz / 1e3
        name = f"rate:{_called(one, at_rate(khz))}"
        cost_name = f"quantisation:{_called(one, f'efficiency_at_{at_rate(khz)}')}"
        highest = None if limits.rate_excess is None else khz * (1 + limits.rate_excess)
        figure, note = _known(threshold)
        found.append(held(name, figure, highest, None, note))
        if costs is None:
            found.append(held(cost_name, None, limits.efficiency_loss, None, threshold.note))
        else:
            found.append(_quantisation(cost_name, limits.efficiency_loss, costs))
    return found


def _known(threshold: Threshold) -> tuple[float | None, str]:
    """Upper edge of the rate's 68 % interval in kHz, where it is resolved, and what a reader needs to judge it."""
    rate = threshold.rate
    if not threshold.resolved or rate is None:
        return None, threshold.note
    low, high = rate.interval_68
    return high / 1e3, (
        f"upper edge of the 68 % interval {low / 1e3:.3g} to {high / 1e3:.3g}; {rate.hz / 1e3:.3g} +- "
        f"{rate.uncertainty / 1e3:.2g} kHz at code {threshold.code}, {rate.sources:,} hardest collisions, "
        f"{rate.effective_events:.0f} effective; one code is {1e3 * (threshold.step_khz or 0):.3g} Hz"
    )


def _quantisation(name: str, limit: float | None, costs: Cost) -> Requirement:
    change = costs.rate_change_hz
    losses = ", ".join(
        f"{signal} {part.loss.value:+.3f} +- {part.loss.uncertainty:.3f}" for signal, part in costs.signals.items()
    )
    worst = max(costs.signals.values(), key=lambda part: part.loss.value).loss
    return held(
        name, worst.value, limit, worst.uncertainty,
        f"largest loss of a signal against the float network at the same rate; {losses}; at the same threshold the rate "
        f"changes by {change.value / 1e3:+.3g} +- {change.uncertainty / 1e3:.2g} kHz",
    )  # fmt: skip


def _efficient(menu: Menu, one: Judged) -> list[Requirement]:
    """Efficiencies at the largest rate that have a limit."""
    khz = max(menu.rates_khz)
    at = menu.rates_khz.index(khz)
    efficiencies, found = one.efficiencies[at], []
    for name, least in menu.limits.efficiency.items():
        called = f"efficiency:{_called(one, name)}"
        if not efficiencies:
            found.append(not_measured(called, f">= {least:g}", required=True, note=one.thresholds[at].note))
            continue
        low, high = efficiencies[name].interval_68
        found.append(
            at_least(called, efficiencies[name].value, least, required=True, uncertainty=(high - low) / 2,
                     note=f"of {name} at {khz:g} kHz")
        )  # fmt: skip
    return found


def _stable(menu: Menu, one: Judged) -> list[Requirement]:
    """The largest changes of rate and efficiency under any disturbance."""
    working = _last_resolved(one.thresholds)
    why = "" if one.stability else "nothing could be disturbed" if working else "no threshold is resolved"
    at = "" if working is None else f" at {working.target_hz / 1e3:g} kHz"
    names = [f"stability:{_called(one, what)}" for what in ("rate", "efficiency")]
    return stable(menu, names[0], names[1], one.stability, at, why)


def stable(
    menu: Menu, rate_name: str, efficiency_name: str, stability: Mapping[str, Stability], at: str, why: str
) -> list[Requirement]:  # fmt: skip
    """Requirements on what disturbances do to a rate, or a background, and to efficiencies.

    Args:
        menu: Has the limits.
        rate_name: Name of the requirement on the rate.
        efficiency_name: Of that on efficiencies.
        stability: What each disturbance does.
        at: Where, for the notes.
        why: Why nothing is known, where nothing is.
    """
    limits = menu.limits
    told = ", ".join(
        f"{name} {'not measured' if part.rate is None else f'x{part.rate.value:.2f}'}"
        for name, part in stability.items()
    )
    known = [(part.rate_change, part.rate) for part in stability.values() if part.rate_change is not None]
    largest, ratio = max(known, key=lambda one: one[0], default=(None, None))
    if len(known) < len(stability):
        largest, why = None, "too little is accepted to know all changes"
    changes = [
        (abs(change.value), change.uncertainty, signal, name)
        for name, part in stability.items()
        for signal, change in part.signals.items()
    ]
    value, spread, what = None, None, why or "signals were not disturbed"
    if changes:
        value, spread, signal, name = max(changes)
        what = f"largest change of an efficiency{at}: {signal}, {name}"
    note = f"largest change of the rate{at}; {told}" if largest is not None else "; ".join(filter(None, (why, told)))
    return [
        held(
            rate_name,
            largest,
            limits.rate_change,
            None if largest is None or ratio is None else ratio.uncertainty,
            note,
        ),
        held(efficiency_name, value, limits.efficiency_change, spread, what),
    ]
