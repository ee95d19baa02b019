"""Tagging by observables alone: masses, N-subjettiness, energy correlations, a top finder and b tags, and all in boosted trees.

Two questions are asked of the same jets. Tops, Higgs, W and Z each against quarks and gluons together: every mass alone by its
ratio of binned likelihoods, every family of observables by boosted trees, and all observables by boosted trees. And every class
against every other: boosted trees on all observables, learnt for each pair, beside the observable that is best alone.

The best of several is chosen by the held-out jets themselves; that favours it, and not the combination.

References:
    `trigger.inputs.classical_observables` names those of the observables. W against Z: arXiv:1509.04939.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import Cell, Result, Study, Table, Workplace, beyond, judged, require_classes
from models.offline.merit import HeldOut, Merit, Scored, gain, merit
from models.offline.tagging import Trial, boosted_trees, likelihood, trial
from trigger.data.generate import SimulatedJets
from trigger.data.jets import FeatureDataset, concatenate_features
from trigger.data.offline_jets import OfflineJets
from trigger.data.sources import JetSource, content_of, jets_of, weights_of
from trigger.decision.efficiency import Estimate, auc_and_rejections
from trigger.digest import SHORT, digest
from trigger.errors import nearest
from trigger.files import replacing
from trigger.inputs.classical_observables import FAMILIES, MASSES, classical_observables
from trigger.verdict import Requirement
from trigger.workers import in_order

Floats = NDArray[np.float64]
COMBINATION = "all observables"
SIGMAS = 3
WITHOUT_TAGS = "The jets hold no ghosts of heavy hadrons, so that no subjet can be tagged: the b tags are left out."


@dataclass(frozen=True)
class Task:
    """What boosted trees are to tell apart.

    Attributes:
        name: Of no other task.
        signal: A class.
        others: The classes that it is told from.
        columns: The observables that they learn from.
    """

    name: str
    signal: str
    others: tuple[str, ...]
    columns: tuple[str, ...]

    def trial(self, jets: FeatureDataset, seed: int) -> tuple[FeatureDataset, Trial]:
        """The jets of these classes alone, and which of them are what."""
        wanted = [jets.class_names.index(name) for name in (self.signal, *self.others)]
        chosen = jets.take(np.isin(jets.labels, wanted))
        return chosen, trial(chosen.labels == wanted[0], chosen.weights, chosen.events, seed)


@dataclass(frozen=True)
class Pair:
    """Two classes told apart.

    Attributes:
        background: The one of the two that comes first in the sample.
        signal: The other.
        combined: Of the trees on all observables.
        best: The observable that is best alone, by its ratio of binned likelihoods.
        single: Of it.
        gain: AUC of the trees minus that of the best.
    """

    background: str
    signal: str
    combined: Merit
    best: str
    single: Merit
    gain: Estimate


class ClassicalTagging(Study):
    """Jets told apart by observables alone, each family for itself and all in boosted trees.

    Attributes:
        data: The jets.
        signal: Classes that are each told from all that are not named here.
        apart: Pairs of classes that are required to be told apart.
        radius: The jets' radius.
    """

    PAPERS: ClassVar[tuple[str, ...]] = (
        "1307.0007", "1402.2657", "0912.0033", "0912.1342", "1011.2268", "1108.2701", "1305.0007", "1409.6298", "1609.07483",
        "1006.2833", "1211.4462", "1509.04939",
    )  # fmt: skip
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Our own simulation and a parametrised detector; signal jets contain all quarks of their decay.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "The top finder follows 1006.2833 within the jets that are here, not within ones of radius 1.5, and without its later "
        "variants.",
        "A b tag is drawn from the true flavour by the parametrisation in Delphes' CMS card of the tagger of 1211.4462, which "
        "was measured on whole jets; tracks are not looked at.",
        "Energy correlations are of the groomed jet, N-subjettiness is of the ungroomed one.",
        "The number of constituents and sum z ln z are a family beside the classical ones: they tell quarks from gluons.",
        "W and Z are told apart without the charge of the jet, which 1509.04939 has beside mass and b tags.",
    )

    kind: Literal["classical_tagging"]
    data: JetSource
    signal: tuple[str, ...] = Field(default=("W", "Z", "higgs", "top"), min_length=1)
    apart: tuple[tuple[str, str], ...] = (("W", "Z"),)
    radius: float = Field(default=0.8, gt=0)

    @model_validator(mode="after")
    def _known(self) -> Self:
        classes = self.data.classes
        require_classes("signal", self.signal, classes)
        for first, second in self.apart:
            unknown = next((name for name in (first, second) if name not in classes), None)
            if unknown is not None:
                raise ValueError(f"apart: there is no class {unknown!r}; nearest: {nearest(unknown, classes)}")
            if first == second:
                raise ValueError(f"apart: {first!r} is not told apart from itself")
        if isinstance(self.data, SimulatedJets) and self.data.radius != self.radius:
            raise ValueError(f"radius: {self.radius}, but the jets of data have {self.data.radius}")
        return self

    @property
    def has_tags(self) -> bool:
        """Whether subjets can be tagged."""
        return isinstance(self.data, OfflineJets) and self.data.ghosts_of_heavy_hadrons

    def content(self, seed: int) -> Any:
        """Digest of the sample."""
        return content_of(self.data, seed)

    def run(self, place: Workplace) -> Result:
        """Every signal against quarks and gluons, and every class against every other."""
        from trigger.plots.classical_tagging import mass_spectra, pairwise
        from trigger.plots.studies import rejection_curves

        jets = self._observables(place)
        names, families = jets.class_names, families_of(jets)
        others = tuple(name for name in names if name not in self.signal)
        versus = {
            signal: [Task(f"{signal}: {what}", signal, others, columns)
                     for what, columns in (*families.items(), (COMBINATION, jets.names))]
            for signal in self.signal
        }  # fmt: skip
        pairs = [Task(f"{one} from {other}", one, (other,), jets.names) for other, one in combinations(names, 2)]
        trees = learnt([*chain(*versus.values()), *pairs], jets, self.seeds, place)

        requirements, figures = [], []
        taggers: dict[str, Merit] = {}
        curves: dict[str, tuple[Floats, Floats]] = {}
        for signal, tasks in versus.items():
            chosen, one = tasks[0].trial(jets, place.seed)
            alone = [likelihood(f"{signal}: {mass}", _columns(chosen, (mass,)), one) for mass in families[MASSES]]
            *more, combined = (trees[task.name] for task in tasks)
            merits, drawn = judged([*alone, *more, combined], one.held, place.seed)
            best = max((*alone, *more), key=lambda tagger, of=merits: of[tagger.name].auc.value)  # type: ignore[misc]
            requirements.append(_gains(signal, combined, best, one.held, place.seed))
            taggers |= merits
            curves |= {tagger.name: drawn[tagger.name] for tagger in (combined, best)}
            figures.append(place.draw(f"rejection_{signal}", rejection_curves(drawn, jets.origin.simulated)))
        told = [_pair(task, trees[task.name], jets, place.seed) for task in pairs]
        requirements += [_told_apart(pair, told) for pair in self.apart]
        spectra = mass_spectra(jets, families[MASSES], jets.origin.simulated)
        between = pairwise(
            names,
            {(one.background, one.signal): (one.combined.auc, one.combined.rejection_50) for one in told},
            jets.origin.simulated,
        )
        figures += [place.draw("masses", spectra), place.draw("pairs", between)]
        return Result(
            self.kind, self.PAPERS, (*self.departures(self.data), *(() if self.has_tags else (WITHOUT_TAGS,))),
            tuple(requirements), taggers, curves,
            (_family_table(self.signal, taggers), pairwise_table(names, told), _pair_table(told)),
            tuple(figures), {"jets": len(jets), "observables": list(jets.names)}, jets.origin.synthetic, jets.origin.simulated,
        )  # fmt: skip

    def _observables(self, place: Workplace) -> FeatureDataset:
        tags = np.random.default_rng(place.seed) if self.has_tags else None
        parts, pts = [], []
        for block in jets_of(self.data, place.seed, place.samples, place.workers, place.progress):
            parts.append(classical_observables(block, self.radius, tags, place.workers))
            pts.append(block.kinematics()["pt_gev"])
        whole = concatenate_features(parts)
        weights = weights_of(self.data, np.concatenate(pts), whole.labels, whole.weights)
        return replace(whole, weights=weights)


def families_of(jets: FeatureDataset) -> dict[str, tuple[str, ...]]:
    """The families of observables that a table has."""
    return {family: columns for family, columns in FAMILIES.items() if set(columns) <= set(jets.names)}


def learnt(tasks: list[Task], jets: FeatureDataset, seeds: int, place: Workplace) -> dict[str, Scored]:
    """The answers of boosted trees to the held-out jets, by the names of their tasks.

    Trees are trained side by side, `place.workers` at once; those that were trained before are read again.
    """

    def answers(task: Task) -> Scored:
        path = place.trainings / f"trees-{digest(task.name)[:SHORT]}.npy"
        if path.is_file():
            return Scored(task.name, np.load(path, allow_pickle=False), threshold=0.0)
        chosen, one = task.trial(jets, place.seed)
        scored = boosted_trees(task.name, _columns(chosen, task.columns), one, seeds, place.seed)
        with replacing(path) as fresh:
            np.save(fresh, scored.scores, allow_pickle=False)
        return scored

    found: dict[str, Scored] = {}
    with ThreadPoolExecutor(place.workers) as pool:
        for scored in in_order(pool, answers, tasks, place.workers + 1):
            found[scored.name] = scored
            place.progress("boosted trees", len(found), len(tasks))
    return found


def pairwise_table(classes: tuple[str, ...], pairs: list[Pair]) -> Table:
    """Every class against every other: AUC above the diagonal, below it how often the class of the column is rejected at half
    the efficiency of that of the row.
    """
    cells: list[list[Cell]] = [[None] * len(classes) for _ in classes]
    for pair in pairs:
        first, second = classes.index(pair.background), classes.index(pair.signal)
        cells[first][second], cells[second][first] = pair.combined.auc, pair.combined.rejection_50
    rows = tuple((name, *row) for name, row in zip(classes, cells, strict=True))
    return Table("pairs: AUC above, rejection at 50 % below the diagonal", ("class", *classes), rows)


def _pair(task: Task, combined: Scored, jets: FeatureDataset, seed: int) -> Pair:
    chosen, one = task.trial(jets, seed)
    held = one.held
    alone = [likelihood(name, _columns(chosen, (name,)), one) for name in jets.names]
    areas = [auc_and_rejections(each.scores[0], held.is_signal, held.weights[None], (0.5,))[0][0] for each in alone]
    best = alone[int(np.argmax(areas))]
    return Pair(
        task.others[0], task.signal, merit(combined, held, seed), best.name, merit(best, held, seed),
        gain(combined, best, held, seed),
    )  # fmt: skip


def _columns(jets: FeatureDataset, names: tuple[str, ...]) -> Floats:
    return jets.values[:, [jets.names.index(name) for name in names]]


def _gains(signal: str, combined: Scored, best: Scored, held: HeldOut, seed: int) -> Requirement:
    found = gain(combined, best, held, seed)
    note = f"AUC of all observables minus that of the best alone, {best.name}"
    return beyond(f"{signal}:combination", found, SIGMAS, note)


def _told_apart(wanted: tuple[str, str], pairs: list[Pair]) -> Requirement:
    pair = next(one for one in pairs if {one.background, one.signal} == set(wanted))
    area = pair.combined.auc
    above = Estimate(area.value - 0.5, area.uncertainty)
    return beyond(f"{pair.signal} from {pair.background}:AUC above 0.5", above, SIGMAS, f"AUC {area.value:.4f}")


def _family_table(signals: tuple[str, ...], merits: dict[str, Merit]) -> Table:
    """AUC of each mass, family and the combination, a column a signal."""
    names = [name.removeprefix(f"{signals[0]}: ") for name in merits if name.startswith(f"{signals[0]}: ")]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(merits[f"{signal}: {name}"].auc for signal in signals)) for name in names
    )
    return Table("AUC against all classes that are no signal", ("observables", *signals), rows)


def _pair_table(pairs: list[Pair]) -> Table:
    columns = ("pair", "AUC", "rejection at 50 %", "best observable alone", "its AUC", "difference")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (f"{one.signal} from {one.background}", one.combined.auc, one.combined.rejection_50, one.best, one.single.auc, one.gain)
        for one in pairs
    )  # fmt: skip
    return Table("boosted trees on all observables, pair by pair", columns, rows)
