"""Firmware that decides on jets of one window of pT: its background at fixed efficiencies, and why it has no rate in kHz.

Thresholds are integer codes of the firmware, on the held-out rows of the run. A rate needs collisions as they come; where the
jets are simulated, all collisions that the background's jets come from have a rate, which no threshold exceeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.recipe import Recipe
from trigger.app import sample as sample_of
from trigger.app.accept_bits import AcceptBits, accept_bits
from trigger.app.chain import splits, stored_features
from trigger.app.console import Reporter, start_keras
from trigger.app.jet_rates import scaled
from trigger.app.rates import check_classes, held, stable
from trigger.app.scored import (
    FLOAT,
    QUANTISED,
    SHIFTS,
    Disturbed,
    FirmwareScore,
    Subject,
    firmware_codes,
    network_values,
)
from trigger.data.generate import SimulatedJets
from trigger.data.jets import FeatureDataset, Split
from trigger.decision.menu import JetScores, Menu
from trigger.decision.rates import RESOLUTION, Crossings, Scores
from trigger.decision.stability import Stability
from trigger.decision.working_points import WorkingPoint, working_points
from trigger.errors import InputError
from trigger.files import read_json
from trigger.lhc import INELASTIC_PB
from trigger.verdict import Requirement, Verdict, at_most, not_measured

FIRMWARE = "firmware"
PILEUP = 50.0
"""Mean number of collisions in a crossing where the menu names none."""


@dataclass(frozen=True)
class TaggerPoints:
    """What is known of a tagger of jets.

    Attributes:
        menu: What was asked.
        against: Classes of the background.
        points: For each tagged class, at each efficiency that was asked for, the threshold and the background.
        highest_khz: Rate of all collisions that the background's jets come from; `None` where it is not known.
        luminosity: For it, in 1e34 / cm2 s.
        rows: Jets that were held out.
        stability: For each tagged class, at the loosest of its thresholds, what becomes of background (as `rate`) and
            efficiency when all energies are measured wrongly; empty where the jets are not simulated.
        bits: The thresholds in the firmware.
        verdict: What is required.
    """

    menu: Menu
    against: tuple[str, ...]
    points: dict[str, tuple[WorkingPoint, ...]]
    highest_khz: float | None
    luminosity: float
    rows: int
    stability: dict[str, dict[str, Stability]]
    bits: AcceptBits
    verdict: Verdict

    @property
    def chosen_menu(self) -> Menu:
        """The menu; its thresholds are in `bits` alone, for jets of one window have no rate that a seed could be asked for."""
        return self.menu

    def summary(self) -> dict[str, Any]:
        """As `rates.json` holds it."""
        return {
            "menu": self.menu.model_dump(mode="json"),
            "against": list(self.against),
            "points": {name: [one.summary() for one in each] for name, each in self.points.items()},
            "highest_khz": self.highest_khz,
            "luminosity_1e34": self.luminosity,
            "held_out_rows": self.rows,
            "stability": {
                name: {what: one.summary() for what, one in each.items()} for name, each in self.stability.items()
            },
            "accept_bits": self.bits.summary(),
            "verdict": self.verdict.model_dump(mode="json"),
        }


def check_points(recipe: Recipe, menu: Menu) -> None:
    """Refuse a menu that says what jets of one window cannot have, or names a class that there is not.

    Raises:
        InputError: It does.
    """
    asked = {"seeds": menu.seeds, "total_khz": menu.total_khz, "limits.efficiency": menu.limits.efficiency}
    if useless := [name for name, value in asked.items() if value]:
        raise InputError(
            f"menu {menu.name!r}: {', '.join(useless)}: the sample of {recipe.name!r} holds chosen jets and has no rate, so that "
            "these mean nothing; leave them out"
        )
    if recipe.network.task != "anomaly" and menu.jets is None:
        raise InputError(
            f"menu {menu.name!r} does not say which classes of jets are tagged; add 'jets: {{tagged: [...], against: [...]}}' "
            f"of {', '.join(recipe.class_names)}, as the packaged menu 'boosted' does"
        )
    if recipe.network.task != "anomaly":
        check_classes(recipe.class_names, menu)


def tagger_points(subject: Subject, menu: Menu, workers: int, report: Reporter) -> TaggerPoints:
    """Background of a firmware at fixed efficiencies of what it tags.

    Args:
        subject: The firmware; its features are where its networks are.
        menu: Names the classes, unless the firmware is a detector, whose background is what it learnt.
        workers: Threads.
        report: Told of progress.

    Raises:
        InputError: The firmware was edited since its conversion, the menu names no classes or one that there is not.
    """
    subject.project.require_unedited()
    start_keras()
    recipe = subject.recipe
    sample = stored_features(subject.models / "features.npz", read_json(subject.models / "steps" / "features.json"))
    held_out = splits(recipe, sample)[Split.TEST]
    test = sample.take(held_out)
    tagged, against = _classes(subject, menu, test.class_names)
    report.say("thresholds for fixed efficiencies")
    outputs = _outputs(subject, test, workers)
    scores = _scores(subject, tagged, against)
    found = {score.name: _points(subject, menu, test, outputs, score, against) for score in scores}
    luminosity = menu.total_hz * (menu.sample.pileup or PILEUP) / INELASTIC_PB * 1e36 / 1e34
    highest = _highest_khz(subject, sample, against, luminosity)
    report.say("stability")
    stability = _stability(subject, test, held_out, scores, found, outputs[FIRMWARE], against, workers, report)
    chosen = [(one, f"at_{point.efficiency:g}", point.threshold) for one in scores for point in found[one.name]]
    bits = accept_bits(subject, chosen, menu.accept_bits, workers, report)
    asked = list(_requirements(menu, found, highest, luminosity, against))
    for name, changes in stability.items():
        asked += stable(menu, f"stability:background_{name}", f"stability:efficiency_{name}", changes, "", "")
    return TaggerPoints(
        menu, against, found, highest, luminosity, len(test), stability, bits,
        Verdict(requirements=(*asked, *bits.requirements), synthetic=sample.origin.synthetic),
    )  # fmt: skip


def _scores(subject: Subject, tagged: tuple[str, ...], against: tuple[str, ...]) -> tuple[FirmwareScore, ...]:
    """The score of each class: a detector's only output, or the class's own less the largest of those that it is against."""
    port = subject.project.manifest.outputs
    form = port.fixed_point
    if subject.recipe.network.task == "anomaly":
        return tuple(FirmwareScore(name, port.elements[0], (), form.max_code, form.step) for name in tagged)
    largest = form.max_code - form.min_code
    return tuple(FirmwareScore(name, name, against, largest, form.step) for name in tagged)


def _classes(subject: Subject, menu: Menu, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is tagged, and against what."""
    learnt = subject.recipe.training.classes
    if subject.recipe.network.task == "anomaly":
        return tuple(name for name in names if name not in (learnt or ())), learnt or ()
    assert menu.jets is not None
    return menu.jets.tagged, menu.jets.against


def _outputs(subject: Subject, test: FeatureDataset, workers: int) -> dict[str, Scores]:
    """Outputs of the float and the quantised network, and codes of the firmware, shape `(rows, outputs)`."""
    values: dict[str, Scores] = {which: network_values(subject, test, which) for which in (FLOAT, QUANTISED)}
    return values | {FIRMWARE: firmware_codes(subject, test, workers)}


def _points(
    subject: Subject, menu: Menu, test: FeatureDataset, outputs: Mapping[str, Scores], score: FirmwareScore,
    against: tuple[str, ...],
) -> tuple[WorkingPoint, ...]:  # fmt: skip
    """Working points of one class; jets of classes that are neither it nor background are left out."""
    names, elements = test.class_names, subject.project.manifest.outputs.elements
    rows = np.isin(test.labels, [names.index(one) for one in (score.name, *against)])
    scores = {which: score.of(one, elements)[rows] for which, one in outputs.items()}
    efficiencies = JetScores.model_fields["efficiencies"].default if menu.jets is None else menu.jets.efficiencies
    return working_points(
        scores, FIRMWARE, test.labels[rows] == names.index(score.name), test.weights[rows], test.events[rows], efficiencies,
        subject.recipe.seed,
    )  # fmt: skip


def _stability(
    subject: Subject, test: FeatureDataset, held_out: NDArray[np.bool_], scores: tuple[FirmwareScore, ...],
    found: Mapping[str, tuple[WorkingPoint, ...]], codes: Scores, against: tuple[str, ...], workers: int, report: Reporter,
) -> dict[str, dict[str, Stability]]:  # fmt: skip
    """The same jets with all energies measured wrongly, at unchanged thresholds."""
    if not isinstance(subject.recipe.data, SimulatedJets):
        return {}
    changed: dict[str, dict[str, Stability]] = {name: {} for name in found}
    names, elements = test.class_names, subject.project.manifest.outputs.elements
    background = np.isin(test.labels, [names.index(one) for one in against])
    seen: Any = subject.recipe.inputs
    for what, factor in SHIFTS.items():
        first, parts = 0, []
        for block in sample_of.jets(subject.recipe, subject.samples, workers, report):
            rows = np.flatnonzero(held_out[first : first + len(block)])
            first += len(block)
            jets = block.take(rows)
            parts.append(
                firmware_codes(subject, seen.table(scaled(jets, np.full(len(jets), factor)), workers), workers)
            )
        after = np.concatenate(parts)
        for score in scores:
            name, own = score.name, test.labels == names.index(score.name)
            before_after = [score.of(one, elements) for one in (codes, after)]
            crossings = [
                Crossings({name: one[background]}, test.weights[background], test.events[background])
                for one in before_after
            ]
            signals = [{name: {name: one[own]}} for one in before_after]
            disturbed = Disturbed(crossings[0], crossings[1], signals[0], signals[1])
            changed[name][what] = disturbed.change(name, max(found[name], key=lambda one: one.efficiency).threshold)
    return changed


def _highest_khz(subject: Subject, sample: FeatureDataset, against: tuple[str, ...], luminosity: float) -> float | None:
    """Rate of all simulated collisions of the background's processes, whether or not they have a jet in the window."""
    data, made = subject.recipe.data, sample.origin.details.get("processes", {})
    if not isinstance(data, SimulatedJets):
        return None
    names = {name for name, process in data.processes.items() if set(process.classes) & set(against)}
    if not names or not names <= set(made):
        return None
    return float(sum(made[name]["cross_section_pb"] for name in names)) * luminosity * 1e34 * 1e-36 / 1e3


def _requirements(
    menu: Menu, found: Mapping[str, tuple[WorkingPoint, ...]], highest_khz: float | None, luminosity: float,
    against: tuple[str, ...],
) -> tuple[Requirement, ...]:  # fmt: skip
    requirements = []
    for khz in menu.rates_khz:
        name, limit = f"rate:{khz:g}_khz", f"<= {khz:g}"
        if highest_khz is None or highest_khz > khz:
            note = "the sample holds chosen jets, not collisions as they come: it has no rate"
            requirements.append(not_measured(name, limit, required=False, note=note))
            continue
        note = (
            f"the simulated collisions that {', '.join(against)} jets of this window come from, at {luminosity:.2g}e34 / cm2 s, "
            f"with every one accepted: no threshold has {khz:g} kHz"
        )
        requirements.append(at_most(name, highest_khz, khz, required=False, note=note))
    for name, points in found.items():
        for point in points:
            increase, background = point.increase[FIRMWARE], point.background
            note = (
                f"background at code {point.threshold}: float {background[FLOAT].value:.4g} +- "
                f"{background[FLOAT].uncertainty:.2g}, firmware {background[FIRMWARE].value:.4g} +- "
                f"{background[FIRMWARE].uncertainty:.2g} (95 %: {point.share.interval_95[0]:.2g} to "
                f"{point.share.interval_95[1]:.2g}); {point.passed:,} jets pass; paired"
            )
            few = point.passed < RESOLUTION or point.effective < RESOLUTION or not np.isfinite(increase.value)
            if few:
                note = f"fewer than {RESOLUTION} background jets pass: the sample is too small; {note}"
            requirements.append(
                held(f"quantisation:background_{name}_at_{point.efficiency:g}", None if few else increase.value,
                     menu.limits.background_increase, None if few else increase.uncertainty, note)
            )  # fmt: skip
    return tuple(requirements)
