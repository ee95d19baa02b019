"""What a tagger of Level-1 jets computes of inclusive collisions.

The score of a jet for a class is the code of its output less the largest code of the classes that it is told from; that of a
collision is the largest over its jets above a pT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.app.console import Reporter, start_keras
from trigger.app.scored import (
    FLOAT,
    QUANTISED,
    SHIFTS,
    Disturbed,
    FirmwareScore,
    Scored,
    Subject,
    firmware_codes,
    network_values,
    of,
)
from trigger.data.events import JET, SUMS
from trigger.data.generate import SHOWERS
from trigger.data.jets import MOMENTUM, JetDataset
from trigger.data.level1_collisions import Collisions, Level1Collisions, generate_collisions, read_collisions
from trigger.decision.rates import Array, Crossings, Scores
from trigger.errors import InputError, nearest
from trigger.fixed_point import Codes, FixedPoint

JET_PT, HT = "jet_pt", "ht"
OFFLINE_LABEL = "pT of the leading particle-level jet in GeV"
SMEARING = 0.10
LOWEST = 0.75
"""Softest jet that is kept, over the softest one that is looked at: energies may be measured too low."""
SMEARED = f"energies smeared by {SMEARING:.0%}"


@dataclass(frozen=True)
class Tag:
    """How a collision is scored: by those of its jets that are hard enough, and by the best of them.

    Attributes:
        tagged: Classes that each are one score.
        against: Classes whose largest output is subtracted.
        classes: Names of the outputs, in order, up to the last class.
        port: Format of the firmware's outputs.
        pt_gev: Smallest pT of a jet that is looked at.

    Raises:
        InputError: A class is not known or is named twice, or none is named.
    """

    tagged: tuple[str, ...]
    against: tuple[str, ...]
    classes: tuple[str, ...]
    port: FixedPoint
    pt_gev: float

    def __post_init__(self) -> None:
        for what, names in (("tagged", self.tagged), ("against", self.against)):
            if not names:
                raise InputError(f"{what}: no class is named; there are {', '.join(self.classes)}")
            for name in names:
                if name not in self.classes:
                    raise InputError(f"{what}: there is no class {name!r}; nearest: {nearest(name, self.classes)}")
        named = (*self.tagged, *self.against)
        if twice := sorted({name for name in named if named.count(name) > 1}):
            left = [name for name in self.classes if name not in named]
            raise InputError(
                f"class {', '.join(map(repr, twice))} is named twice in tagged {list(self.tagged)} and against "
                f"{list(self.against)}; right would be each once, nearest of those that are left: {nearest(twice[0], left)}"
            )

    @property
    def lowest(self) -> int:
        """Smallest code of a difference of two outputs; what a collision without a jet has."""
        return self.port.min_code - self.port.max_code

    def scores(self) -> tuple[FirmwareScore, ...]:
        """The scores of the firmware."""
        condition = f"jets of {self.pt_gev:g} GeV and more"
        return tuple(
            FirmwareScore(name, name, self.against, -self.lowest, self.port.step, condition) for name in self.tagged
        )

    def of_collisions(
        self, outputs: NDArray[Any], pt_gev: Array, collision: NDArray[np.int64], collisions: int
    ) -> dict[str, NDArray[Any]]:
        """The largest score of each collision over its jets of `pt_gev` and more, shape `(collisions,)`.

        Without such a jet it is the smallest possible code or, of values, no larger than its value and any jet's.

        Args:
            outputs: Codes or values of all outputs, shape `(jets, outputs)`.
            pt_gev: Measured pT of each jet.
            collision: Index of each jet's collision.
            collisions: Number of collisions.
        """
        chosen = pt_gev >= self.pt_gev
        found = {}
        for one in self.scores():
            score = one.of(outputs, self.classes)
            lowest: float = self.lowest
            if outputs.dtype.kind == "f":  # the values of a network have no ends
                lowest = min(self.lowest * self.port.step, float(score.min(initial=0.0)))
            best = np.full(collisions, lowest, dtype=outputs.dtype)
            np.maximum.at(best, collision[chosen], score[chosen])
            found[one.name] = best
        return found


def scored(
    subject: Subject, data: Level1Collisions, tagged: tuple[str, ...], against: tuple[str, ...], pt_gev: float,
    total_hz: float, mean_pileup: float, seed: int, workers: int, report: Reporter,
) -> Scored:  # fmt: skip
    """A tagger's scores of inclusive collisions, of which the rates are known.

    Args:
        subject: The tagger.
        data: The collisions.
        tagged: Classes that are triggered on, each by itself.
        against: Classes of the background.
        pt_gev: Smallest measured pT of a jet that is looked at.
        total_hz: Rate of filled crossings.
        mean_pileup: Mean number of inelastic collisions in a crossing.
        seed: Seed of the sample.
        workers: Processes and threads.
        report: Told of progress.

    Raises:
        InputError: A class is not known or named twice, or the sample does not reach below `pt_gev`.
    """
    ports = subject.project.manifest.outputs
    classes = ports.elements[: len(subject.recipe.class_names)]  # a correction of pT comes after them
    tag = Tag(tagged, against, classes, ports.fixed_point, pt_gev)
    enough = pt_gev / max(SHIFTS.values())
    if data.pt_gev > enough:
        raise InputError(
            f"jets of {pt_gev:g} GeV and more in a sample that begins at {data.pt_gev:g} GeV: the energy scale could not be "
            f"raised; right would be pt_gev of {enough:.4g} GeV or less in the sample"
        )
    with report.progress("collisions") as progress:
        path = generate_collisions(data, seed, subject.samples, workers=workers, progress=progress)
    start_keras()
    collisions = read_collisions(path)
    report.say("scores of every jet")
    inputs: Any = subject.recipe.inputs
    table = inputs.table(collisions.jets, workers)
    scores = _counts(collisions, collisions.jets, tag, firmware_codes(subject, table, workers))
    for which in (QUANTISED, FLOAT):
        values = network_values(subject, table, which)
        found = _by_collision(collisions, collisions.jets, tag, values)
        scores |= {of(name, which): one for name, one in found.items()}
    crossings = _crossings(collisions, scores, total_hz, mean_pileup)
    signals = _signals(collisions, scores)
    offline = _signals(collisions, {OFFLINE_LABEL: collisions.offline_gev})
    return Scored(
        crossings, signals, tag.scores(), {name: one[OFFLINE_LABEL] for name, one in offline.items()}, OFFLINE_LABEL,
        largest={JET_PT: 2**JET.pt_bits - 1, HT: 2**SUMS.pt_bits - 1},
        disturbed=_disturbed(subject, collisions, tag, crossings, signals, seed, workers),
        notes=_notes(data, pt_gev, total_hz, mean_pileup),
    )  # fmt: skip


def _by_collision(
    collisions: Collisions, jets: JetDataset, tag: Tag, outputs: NDArray[Any]
) -> dict[str, NDArray[Any]]:  # fmt: skip
    return tag.of_collisions(outputs, jets.kinematics()["pt_gev"], jets.events, len(collisions))


def _counts(collisions: Collisions, jets: JetDataset, tag: Tag, codes: Codes) -> dict[str, NDArray[Any]]:
    """What the firmware and simple cuts see of every collision, in integers."""
    simple = jet_counts(jets.kinematics()["pt_gev"], jets.events, len(collisions), tag.pt_gev)
    return _by_collision(collisions, jets, tag, codes) | simple


def jet_counts(
    pt_gev: Array, collision: NDArray[np.int64], collisions: int, min_pt_gev: float
) -> dict[str, NDArray[np.int64]]:  # fmt: skip
    """The leading jet's pT of each collision, and the sum over its jets of `min_pt_gev` and more, in hardware counts.

    Args:
        pt_gev: Measured pT of each jet.
        collision: Index of each jet's collision.
        collisions: Number of collisions.
        min_pt_gev: Softer jets are not in the sum.
    """
    leading = np.zeros(collisions)
    np.maximum.at(leading, collision, pt_gev)
    hard = pt_gev >= min_pt_gev
    total = np.bincount(collision[hard], pt_gev[hard], minlength=collisions)
    return {JET_PT: JET.pt_codes(leading), HT: SUMS.pt_codes(total)}


def scaled(jets: JetDataset, factor: Array) -> JetDataset:
    """The jets with the momenta of all constituents multiplied, those of each jet by its own factor.

    Args:
        jets: The jets.
        factor: One number a jet, positive, shape `(jets,)`.
    """
    import awkward as ak

    fields = {name: jets.constituents[name] for name in ak.fields(jets.constituents)}
    fields |= {name: fields[name] * factor for name in MOMENTUM}
    return replace(jets, constituents=ak.zip(fields))


def _crossings(
    collisions: Collisions, scores: Mapping[str, Scores], total_hz: float, mean_pileup: float
) -> Crossings:  # fmt: skip
    """The background, each collision with the rate that it stands for."""
    rows = collisions.labels == 0
    share = collisions.cross_section_pb[rows] / collisions.inelastic_cross_section_pb
    hz = share * mean_pileup * total_hz
    return Crossings({name: one[rows] for name, one in scores.items()}, hz, np.flatnonzero(rows))


def _signals(collisions: Collisions, scores: Mapping[str, Scores]) -> dict[str, dict[str, Scores]]:
    """Scores of each signal."""
    return {
        name: {which: one[collisions.labels == label] for which, one in scores.items()}
        for label, name in enumerate(collisions.class_names) if label > 0
    }  # fmt: skip


def _disturbed(
    subject: Subject, collisions: Collisions, tag: Tag, crossings: Crossings, signals: dict[str, dict[str, Scores]],
    seed: int, workers: int,
) -> dict[str, Callable[[], Disturbed]]:  # fmt: skip
    """What may be otherwise than simulated: the parton shower, and the energies that the detector measures."""
    names = (*tag.tagged, JET_PT, HT)
    before = replace(crossings, scores={name: crossings.scores[name] for name in names})
    background = collisions.labels == 0

    def reweighted(at: int) -> Disturbed:
        weight = collisions.showers[background, at]
        return Disturbed(before, replace(before, rate_hz=before.rate_hz * weight))

    def remeasured(factor: Array) -> Disturbed:
        jets = scaled(collisions.jets, factor)
        inputs: Any = subject.recipe.inputs
        scores = _counts(collisions, jets, tag, firmware_codes(subject, inputs.table(jets, workers), workers))
        after = replace(before, scores={name: one[background] for name, one in scores.items()})
        whole = {signal: {name: each[name] for name in names} for signal, each in signals.items()}
        return Disturbed(before, after, whole, _signals(collisions, scores))

    def smeared() -> Disturbed:
        drawn = np.random.default_rng(seed).normal(1, SMEARING, len(collisions.jets))
        return remeasured(drawn.clip(0.5, 1.5))

    size = len(collisions.jets)
    return {
        **{name: partial(remeasured, np.full(size, shift)) for name, shift in SHIFTS.items()},
        SMEARED: smeared,
        **{name: partial(reweighted, at) for at, name in enumerate(SHOWERS)},
    }


def _notes(data: Level1Collisions, pt_gev: float, total_hz: float, mean_pileup: float) -> tuple[str, ...]:
    return (
        f"Jets of {pt_gev:g} GeV and more, of inelastic collisions {mean_pileup:g} to a crossing at {total_hz / 1e6:.3g} MHz.",
        "Collisions are counted one by one: two that are accepted in one crossing count twice, which adds to a rate the share "
        f"that it is of all crossings at the most, {1e4 / total_hz:.1e} at 10 kHz.",
        "There is no pileup in the detector, as if it were removed perfectly.",
        f"Collisions whose hardest scattering is below {data.slices_gev[0]:g} GeV are left out; so are prompt photons, W, Z "
        "and top quarks.",
    )
