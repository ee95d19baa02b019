"""What the trigger will do with a firmware: rates, thresholds on integers, efficiencies, what quantisation costs, stability.

Detectors of anomalies are judged on simulated crossings, taggers of Level-1 jets on inclusive collisions, both with scores of
the firmware's own C++; thresholds are codes of its outputs. A tagger of other jets has no rate: it is judged by its background
at fixed efficiencies (`trigger/app/tagger_points.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from trigger.errors import InputError
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
        own = {one.score.name for one in self.judged}
        asked = [
            seed.model_copy(update={"threshold": self.seeds.seeds[seed.name].threshold, "rate_khz": None})
            for seed in self.menu.seeds if seed.score not in own
        ]  # fmt: skip
        ours = [
            Seed(name=cut_name(score, what), score=score.name, threshold=code)
            for score, what, code in chosen(self.judged)
        ]
        return self.menu.model_copy(update={"seeds": (*asked, *ours)})

    @property
    def gain(self) -> dict[str, Estimate]:
        """Efficiency of each signal that the firmware adds to the menu at the same total rate."""
        return {} if self.alone is None or self.beside is None else gain(self.alone, self.beside)

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


def has_rates(subject: Subject) -> bool:
    """Whether there is a sample of collisions as they come for what the firmware decides."""
    recipe = subject.recipe
    detector = isinstance(recipe.data, EventData) and recipe.network.task == "anomaly"
    return detector or (isinstance(recipe.data, Level1JetData) and recipe.network.task == "classification")


def rates(subject: Subject, menu: Menu, workers: int, report: Reporter, sample: Scored | None = None) -> Rates:
    """Rates of a firmware under a menu.

    Args:
        subject: The firmware; without a sample `has_rates` of it has to be true.
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
    asked = requirements(menu, judged, bool(sample.disturbed))
    return Rates(
        menu, sample, judged, menu_rates(sample.crossings, (*menu.seeds, *ours)), alone, beside, bits,
        Verdict(requirements=(*asked, *bits.requirements)),
    )  # fmt: skip


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
    if isinstance(recipe.data, EventData):
        return event_rates.scored(
            subject, event_rates.sample_of(recipe.data, wanted), wanted.faulty, menu.total_hz, seed, workers, report
        )
    assert isinstance(recipe.data, Level1JetData)
    if menu.jets is None:
        raise InputError(
            f"menu {menu.name!r} does not say which classes of jets are tagged; add 'jets: {{tagged: [...], against: [...], "
            f"pt_gev: 60}}' of {', '.join(recipe.class_names)}, as the packaged menu 'level1_jets' does"
        )
    data = Level1Collisions.model_validate({
        "jets": recipe.data, "slices_gev": wanted.slices_gev, "collisions_per_slice": wanted.crossings_per_slice,
        "signals": wanted.signals, "collisions_per_signal": wanted.events_per_signal,
        "pt_gev": menu.jets.pt_gev * jet_rates.LOWEST,
    })  # fmt: skip
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
    """Refuse names that nothing has, now and not after minutes."""
    for one in menu.seeds:
        sample.crossings.codes(one.score)
    unknown = [name for name in menu.limits.efficiency if name not in sample.signals]
    if unknown:
        raise InputError(
            f"menu {menu.name!r}: limits.efficiency names {unknown[0]!r}; there are {', '.join(sample.signals)}"
        )
    if taken := {one.name for one in menu.seeds} & {score.name for score in sample.scores}:
        raise InputError(f"menu {menu.name!r}: seed {taken.pop()!r} has the name of a score of the firmware; rename it")


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


def requirements(menu: Menu, judged: tuple[Judged, ...], disturbed: bool) -> tuple[Requirement, ...]:
    """What is required of each score.

    Args:
        menu: Has the limits.
        judged: The scores.
        disturbed: Whether the sample could be disturbed; nothing is required of stability else.
    """
    return tuple(
        requirement
        for one in judged
        for requirement in (*_at_rates(menu, one), *_efficient(menu, one), *_stable(menu, one, disturbed))
    )


def _called(one: Judged, what: str) -> str:
    """Name of a requirement's subject; a detector has one score, which needs no name."""
    return what if one.score.name == event_rates.NETWORK else f"{one.score.name}_{what}"


def _at_rates(menu: Menu, one: Judged) -> list[Requirement]:
    found = []
    for threshold, costs in zip(one.thresholds, one.costs, strict=True):
        khz = threshold.target_hz / 1e3
        name, limit = f"rate:{_called(one, at_rate(khz))}", f"<= {khz:g}"
        if not threshold.resolved or threshold.rate is None:
            found.append(not_measured(name, limit, required=True, note=threshold.note))
            continue
        rate = threshold.rate
        low, high = rate.interval_68
        note = (
            f"at code {threshold.code}, 68 % interval {low / 1e3:.3g} to {high / 1e3:.3g}; {rate.sources:,} hardest "
            f"collisions, {rate.effective_events:.0f} effective; one code is {threshold.step_khz or 0:.3g} kHz"
        )
        found.append(at_most(name, rate.hz / 1e3, khz, required=True, uncertainty=rate.uncertainty / 1e3, note=note))
        if costs is not None:
            found.append(_quantisation(menu, one, khz, costs))
    return found


def _quantisation(menu: Menu, one: Judged, khz: float, costs: Cost) -> Requirement:
    change = costs.rate_change_hz
    losses = ", ".join(
        f"{signal} {part.loss.value:+.3f} +- {part.loss.uncertainty:.3f}" for signal, part in costs.signals.items()
    )
    worst = max(costs.signals.values(), key=lambda part: part.loss.value).loss
    return at_most(
        f"quantisation:{_called(one, f'efficiency_at_{at_rate(khz)}')}", worst.value, menu.limits.efficiency_loss, required=True,
        uncertainty=worst.uncertainty,
        note=f"largest loss of a signal against the float network at the same rate; {losses}; at the same threshold the rate "
        f"changes by {change.value / 1e3:+.3g} +- {change.uncertainty / 1e3:.2g} kHz",
    )  # fmt: skip


def _efficient(menu: Menu, one: Judged) -> list[Requirement]:
    """Efficiencies at the largest rate: those with a limit are required, the best one is shown."""
    khz = max(menu.rates_khz)
    at = menu.rates_khz.index(khz)
    efficiencies, wanted = one.efficiencies[at], menu.limits.efficiency
    if not efficiencies:
        note = one.thresholds[at].note
        return [
            not_measured(f"efficiency:{_called(one, name)}", f">= {least:g}", required=True, note=note)
            for name, least in wanted.items()
        ]
    found = []
    for name in wanted or (max(efficiencies, key=lambda name: efficiencies[name].value),):
        value = efficiencies[name]
        low, high = value.interval_68
        found.append(
            at_least(f"efficiency:{_called(one, name)}", value.value, wanted.get(name, 0.0), required=name in wanted,
                     uncertainty=(high - low) / 2, note=f"of {name} at {khz:g} kHz")
        )  # fmt: skip
    return found


def _stable(menu: Menu, one: Judged, disturbed: bool) -> list[Requirement]:
    """The largest changes of rate and efficiency under any disturbance."""
    limits = menu.limits
    if not disturbed:
        return []
    rate, lost = f"stability:{_called(one, 'rate')}", f"stability:{_called(one, 'efficiency')}"
    if not one.stability:
        note = "no threshold is resolved"
        return [
            not_measured(rate, f"<= {limits.rate_change:g}", required=True, note=note),
            not_measured(lost, f"<= {limits.efficiency_change:g}", required=True, note=note),
        ]
    working = _last_resolved(one.thresholds)
    assert working is not None
    at = f"at {working.target_hz / 1e3:g} kHz"
    told = ", ".join(f"{name} x{part.rate.value:.2f}" for name, part in one.stability.items())
    worst = max((part.rate for part in one.stability.values()), key=lambda each: abs(each.value - 1))
    found = [
        at_most(rate, abs(worst.value - 1), limits.rate_change, required=True, uncertainty=worst.uncertainty,
                note=f"largest relative change of the rate {at}; {told}")
    ]  # fmt: skip
    changes = [
        (abs(change.value), change.uncertainty, signal, name)
        for name, part in one.stability.items()
        for signal, change in part.signals.items()
    ]
    if changes:
        value, uncertainty, signal, name = max(changes)
        found.append(
            at_most(lost, value, limits.efficiency_change, required=True, uncertainty=uncertainty,
                    note=f"largest change of an efficiency {at}: {signal}, {name}")
        )  # fmt: skip
    return found
