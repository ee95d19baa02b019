"""Taggers that are kept from the mass of the jet, and from what simulation gets wrong.

**Mass.** Signal against background with one dense network on observables, trained plainly, with planed weights, against an
adversary, and with distance correlation (DisCo) in its loss, the last two with several strengths; and cuts on tau21 with and
without its linear dependence on the scaled mass (DDT). For each the background rejection at 50 % signal efficiency, against
1/JSD of the background's mass spectrum there. The two methods with a strength are compared as curves, at equal 1/JSD.

**Nuisance.** The same network on a mixture of jets of two values of a nuisance, the sample itself and another one, against an
adversary that tries to tell from which of the two a background jet is. AUC at both, and the approximate median significance of a
search whose background is as uncertain as the nuisance makes it, against the strength.

References:
    Planing: arXiv:1908.08959. Adversary: arXiv:1611.01046, arXiv:1703.03507. DisCo: arXiv:2001.05310. DDT: arXiv:1603.00027.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import Cell, Result, Study, Table, Workplace, beyond, judged, not_below, require_classes
from models.offline.adversary import adversarial_loss, with_adversary
from models.offline.decorrelated import Lesson, entropy, train_decorrelated
from models.offline.disco import disco_loss
from models.offline.fitting import Fitting
from models.offline.flatness import (
    Bending,
    bending,
    chance_divergence,
    gain_at_equal_flatness,
    log_ratio,
)
from models.offline.merit import HeldOut, Scored, mean_difference, merit
from models.offline.observables import dense_network, standardised
from models.offline.significance import EFFICIENCIES, Stability, stability
from models.offline.tagging import Trial, balanced, cut, trial, trial_of
from trigger.data.jets import JetDataset, PtWindow, Split, flattening_weights, split_by_event
from trigger.data.sources import JetSource, content_of
from trigger.decision.efficiency import Estimate, weighted_quantiles
from trigger.inputs.features import JET_FEATURES, jet_features
from trigger.inputs.nsubjettiness import nsubjettiness, tau_ratio
from trigger.inputs.trees import flat_momenta
from trigger.verdict import Requirement

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
Strengths = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
VALIDATION, TEST = 0.05, 0.45
"""Shares of events. Nothing is chosen by validation here, and a flat spectrum takes many held-out jets to be seen."""
ADVERSARY, DISCO, PLAIN, PLANED, TAU21, DDT = "adversary", "DisCo", "plain", "planed", "tau21", "tau21 DDT"
LARGEST_WEIGHT = 30.0
"""Of planing, over the mean of the class."""


@dataclass(frozen=True)
class Sculpting:
    """What came out of decorrelation from the mass.

    Attributes:
        taggers: All of them.
        bent: For each by name, divergence and rejection.
        strengths: For the taggers that have one, by name, the method and the strength.
        chance: For each by name, 1/JSD that a threshold without any knowledge of the mass has on so many jets.
    """

    taggers: list[Scored]
    bent: dict[str, Bending]
    strengths: dict[str, tuple[str, float]]
    chance: dict[str, float]

    def method(self, name: str) -> list[Bending]:
        """The plain tagger, whose strength is 0, then those of a method by strength."""
        return [self.bent[PLAIN], *(self.bent[one] for one, (of, _) in self.strengths.items() if of == name)]


class Decorrelation(Study):
    """Decorrelation from the jet's mass, and from nuisances.

    Attributes:
        jets: The sample.
        signal: Which of its classes are signal.
        mass_gev: Window of the jets' ungroomed mass, for decorrelation from it.
        mass_bins: Bins of the mass spectrum, with equal background that is learnt from.
        categories: Into how many bins of equal background the adversary divides the mass.
        features: Observables that the taggers learn from, beside tau21, tau32 and, with `mass_seen`, mass and pT.
        mass_seen: Whether the taggers that are decorrelated from the mass are shown it, so that their threshold can follow it.
        hidden: Width of each hidden layer of the taggers.
        adversary_hidden: The same of the adversary.
        adversary: Its strengths.
        disco: Strengths of DisCo.
        disco_odds: Background jets for each signal jet, for which the probability is meant that DisCo decorrelates.
        disco_batch: Rows in a step with DisCo.
        nuisances: By name, samples of the other value of a nuisance, of the same classes.
        nuisance: Strengths of the adversary against nuisances.
        nuisance_fitting: How the networks against nuisances are trained.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("2001.05310", "1611.01046", "1703.03507", "1908.08959", "1603.00027")
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Our own simulation and a parametrised detector, without multiple interactions; ungroomed mass of jets without pileup in "
        "place of the trimmed mass with it.",
        "The nuisance pileup is an extreme one as in 1611.01046: nothing is subtracted. Its jets are taken from a window of pT "
        "higher by what pileup adds.",
        "With a disco_odds of 1 DisCo stayed behind the adversary here: ln of the rejections' ratio -0.21 ± 0.06.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "Observables are those of this house, tau21 and tau32, and not the ten of the recast ATLAS study.",
        "The mass enters DisCo and the adversary as its rank among background jets, so that tails count no more than bulk.",
        "DisCo decorrelates the probability that a jet has where background is disco_odds times as frequent as signal; the paper "
        "has equal parts. At 50 % signal efficiency little background is left, and a correlation over all of it sees little of "
        "that.",
        "The adversary tells ten mass bins apart in place of a mixture density, and learns at the same time as the tagger, by "
        "gradient reversal, in place of alternating steps after pretraining.",
        "The bins of the mass spectrum hold equal background, and are fewer than in the papers where the sample is small.",
    )

    kind: Literal["decorrelation"]
    jets: JetSource
    signal: tuple[str, ...] = Field(min_length=1)
    mass_gev: PtWindow = (50.0, 300.0)
    mass_bins: int = Field(default=12, gt=1)
    categories: int = Field(default=10, gt=1)
    features: tuple[str, ...] = tuple(JET_FEATURES)
    mass_seen: bool = True
    hidden: tuple[int, ...] = (64, 64, 64)
    adversary_hidden: tuple[int, ...] = (64,)
    adversary: Strengths = (1.0, 3.0, 10.0, 30.0)
    disco: Strengths = (1.0, 3.0, 10.0, 30.0)
    disco_odds: float = Field(default=20.0, ge=1)
    disco_batch: int = Field(default=512, gt=1)
    nuisances: dict[str, JetSource] = Field(default_factory=dict)
    nuisance: Strengths = (1.0, 10.0, 100.0)
    nuisance_fitting: Fitting = Fitting(keep="last", schedule="cosine")
    fitting: Fitting = Fitting(keep="last", schedule="cosine")

    @model_validator(mode="after")
    def _known(self) -> Self:
        require_classes("signal", self.signal, self.jets.classes)
        return self

    def content(self, seed: int) -> Any:
        """Digests of all samples."""
        return content_of(self.jets, seed), {name: content_of(one, seed) for name, one in self.nuisances.items()}

    def run(self, place: Workplace) -> Result:
        """First from the mass, then from each nuisance."""
        from trigger.plots.decorrelation import mass_spectra, tradeoff

        jets = place.jets(self.jets)
        observed = self._observables(jets, place.workers)
        low, high = self.mass_gev
        mass = jets.kinematics()["mass_gev"]
        inside = (mass >= low) & (mass < high)
        sculpted, held, held_mass = self._from_mass(jets.take(inside), observed[inside], mass[inside], place)
        requirements = _requirements(sculpted)
        tables = [_mass_table(sculpted, held, place.seed)]
        simulated = jets.origin.simulated
        shown = {one.name: one.scores[0] for one in sculpted.taggers if one.name in _shown(sculpted)}
        figures = [
            place.draw("tradeoff", tradeoff(_points(sculpted), self._limit(held), simulated)),
            place.draw("mass_spectra", mass_spectra(shown, held.is_signal, held.weights, held_mass, self.mass_gev, simulated)),
        ]  # fmt: skip
        for name, source in self.nuisances.items():
            found = self._from_nuisance(name, jets, observed, source, place)
            requirements += found[0]
            tables.append(found[1])
            figures.append(found[2])
        taggers, curves = judged(sculpted.taggers, held, place.seed)
        return Result(
            self.kind, self.PAPERS, self.departures(self.jets, *self.nuisances.values()),
            tuple(requirements), taggers, curves, tuple(tables), tuple(figures),
            {"jets": len(jets), "held-out background jets in the mass window": int((~held.is_signal).sum())},
            jets.origin.synthetic, jets.origin.simulated,
        )  # fmt: skip

    def _limit(self, held: HeldOut) -> tuple[Floats, Floats]:
        """1/JSD and rejection of taggers that know nothing of the mass."""
        rejection = np.geomspace(1.2, 100, 60)
        return np.array([1 / chance_divergence(held, self.mass_bins, one) for one in rejection]), rejection

    def _observables(self, jets: JetDataset, workers: int) -> Floats:
        taus = nsubjettiness(*flat_momenta(jets.constituents))
        return np.column_stack(
            [jet_features(jets, self.features, workers).values, tau_ratio(taus, 2, 1), tau_ratio(taus, 3, 2)]
        )

    def _tagger(self, observables: int) -> keras.Model:
        return dense_network(observables, self.hidden, 1)

    def _from_mass(
        self, jets: JetDataset, observed: Floats, mass: Floats, place: Workplace
    ) -> tuple[Sculpting, HeldOut, Floats]:
        """Train all taggers and see how they bend the mass spectrum; also the held-out jets and their masses."""
        whole = trial_of(jets, self.signal, place.seed)
        whole = replace(whole, splits=split_by_event(jets.events, place.seed, VALIDATION, TEST))
        learn, test = whole.splits[Split.TRAIN], whole.splits[Split.TEST]
        background = learn & ~whole.is_signal
        pt = jets.kinematics()["pt_gev"]
        table = np.column_stack([observed, np.log(mass), np.log(pt)]) if self.mass_seen else observed
        ranks = _ranks(mass, mass[background], whole.weights[background])
        lesson = Lesson(standardised(table, learn, whole.weights), ranks, whole)
        taggers, strengths = self._trained(lesson, self._planing(whole, mass), place)
        tau21 = observed[:, -2]
        rho = np.log(mass**2 / pt)
        slope = np.polyfit(rho[background], tau21[background], 1, w=np.sqrt(whole.weights[background]))[0]
        taggers += [cut(TAU21, tau21, whole), cut(DDT, tau21 - slope * rho, whole)]
        edges = weighted_quantiles(mass[background], whole.weights[background], self.mass_bins)
        bent = {one.name: bending(one, whole.held, mass[test], edges, place.seed) for one in taggers}
        chance = {
            name: 1 / chance_divergence(whole.held, self.mass_bins, one.background_rejection.value)
            for name, one in bent.items()
        }
        return Sculpting(taggers, bent, strengths, chance), whole.held, mass[test]

    def _planing(self, whole: Trial, mass: Floats) -> Floats:
        """Weights that make the mass spectra of signal and of background flat."""
        labels = whole.is_signal.astype(np.int64)
        flat = flattening_weights(mass, labels, whole.weights, self.mass_gev, 2 * self.mass_bins, LARGEST_WEIGHT)
        return balanced(whole.is_signal, flat)

    def _trained(
        self, lesson: Lesson, planed: Floats, place: Workplace
    ) -> tuple[list[Scored], dict[str, tuple[str, float]]]:
        width = lesson.observables.shape[1]
        taggers, strengths = [], {}

        def learnt(name: str, build: Callable[[], keras.Model], loss: Any, how: Fitting, weights: Any = None) -> None:
            taggers.append(
                train_decorrelated(
                    name, build, loss, lesson, how, self.seeds, place.seed, place.trainings, place.progress, weights
                )
            )

        learnt(PLAIN, lambda: self._tagger(width), entropy, self.fitting)
        learnt(PLANED, lambda: self._tagger(width), entropy, self.fitting, planed)
        for strength in self.adversary:
            name = f"{ADVERSARY} {strength:g}"
            strengths[name] = ADVERSARY, strength
            learnt(
                name,
                self._adversarial(width, self.categories, strength),
                adversarial_loss(self.categories),
                self.fitting,
            )
        how = self.fitting.model_copy(update={"batch_size": self.disco_batch})
        for strength in self.disco:
            name = f"{DISCO} {strength:g}"
            strengths[name] = DISCO, strength
            learnt(name, lambda: self._tagger(width), disco_loss(strength, self.disco_odds), how)
        return taggers, strengths

    def _adversarial(self, width: int, categories: int, strength: float) -> Callable[[], keras.Model]:
        return lambda: with_adversary(self._tagger(width), self.adversary_hidden, categories, strength)

    def _from_nuisance(
        self, name: str, nominal: JetDataset, observed: Floats, source: JetSource, place: Workplace
    ) -> tuple[list[Requirement], Table, str]:
        """Train against a nuisance with every strength, and see how stable the taggers are."""
        from trigger.plots.decorrelation import pivots

        other = place.jets(source)
        table = np.concatenate([observed, self._observables(other, place.workers)])
        whole, is_nominal = _mixture(nominal, other, self.signal, place.seed)
        learn, test = whole.splits[Split.TRAIN], whole.splits[Split.TEST]
        lesson = Lesson(standardised(table, learn, whole.weights), np.where(is_nominal, 0.0, 1.0), whole)
        width = table.shape[1]
        alone = balanced(whole.is_signal[is_nominal], whole.weights[is_nominal])
        only = np.zeros(len(whole.weights))
        only[is_nominal] = alone
        found = []
        for strength in (None, 0.0, *self.nuisance):
            title = f"{name}, " + ("nominal only" if strength is None else f"strength {strength:g}")
            build = self._adversarial(width, 2, strength) if strength else lambda: self._tagger(width)
            loss = adversarial_loss(2) if strength else entropy
            found.append(train_decorrelated(
                title, build, loss, lesson, self.nuisance_fitting, self.seeds, place.seed, place.trainings, place.progress,
                only if strength is None else None,
            ))  # fmt: skip
        stable = [
            stability(one, whole.is_signal[test], is_nominal[test], whole.weights[test], whole.events[test], place.seed)
            for one in found
        ]
        areas = [[_at(one, whole, is_nominal == chosen, place.seed) for chosen in (True, False)] for one in found]
        figure = place.draw(
            f"nuisance_{name.replace(' ', '_')}", pivots(stable, areas, EFFICIENCIES, name, other.origin.simulated)
        )
        return _nuisance_requirements(name, stable), _nuisance_table(name, stable, areas), figure


def _ranks(values: Floats, among: Floats, weights: Floats) -> Floats:
    """Weighted share of some values that is below each value, shape of `values`."""
    order = np.argsort(among, kind="stable")
    shares = np.cumsum(weights[order]) / weights.sum()
    ranks: Floats = np.interp(values, among[order], shares)
    return ranks


def _mixture(
    nominal: JetDataset, other: JetDataset, signal: tuple[str, ...], seed: int
) -> tuple[Trial, NDArray[np.bool_]]:
    """Jets of both values of a nuisance, which weigh the same in signal and in background; and which are nominal.

    Events of one number are in one split: where both samples are of the same collisions, those that judge are not learnt from.
    """
    parts = [trial_of(one, signal, seed) for one in (nominal, other)]
    weights = np.concatenate([one.weights / one.weights.sum() for one in parts])
    events = np.concatenate([2 * one.events + place for place, one in enumerate(parts)])
    is_nominal = np.repeat([True, False], [len(nominal), len(other)])
    whole = trial(np.concatenate([one.is_signal for one in parts]), weights, events, seed)
    numbers = np.concatenate([one.events for one in parts])
    return replace(whole, splits=split_by_event(numbers, seed, VALIDATION, TEST)), is_nominal


def _at(tagger: Scored, whole: Trial, chosen: NDArray[np.bool_], seed: int) -> Estimate:
    """AUC of a tagger on the held-out jets of one value of a nuisance."""
    test = whole.splits[Split.TEST]
    of_test = chosen & test
    held = HeldOut(whole.is_signal[of_test], whole.weights[of_test], whole.events[of_test])
    return merit(replace(tagger, scores=tagger.scores[:, chosen[test]]), held, seed).auc


def _requirements(found: Sculpting) -> list[Requirement]:
    plain, strongest = found.bent[PLAIN], found.method(DISCO)[-1]
    flatter = log_ratio(plain.divergence, strongest.divergence)
    costs = log_ratio(plain.rejection, strongest.rejection)
    gain = gain_at_equal_flatness(found.method(DISCO), found.method(ADVERSARY))
    return [
        beyond("mass:flatter", flatter, 3, f"ln of 1/JSD of {strongest.name} over that of the plain tagger"),
        beyond("mass:costs_rejection", costs, 3, f"ln of the plain tagger's rejection over that of {strongest.name}"),
        not_below("mass:disco_against_adversary", gain, 0.0, 2, "ln of DisCo's rejection over the adversary's at equal 1/JSD"),
    ]  # fmt: skip


def _nuisance_requirements(name: str, found: list[Stability]) -> list[Requirement]:
    """That the strongest adversary makes the background move less, which is not required."""
    mixture, strongest = found[1], found[-1]
    less = mean_difference(mixture.shifts, strongest.shifts)
    note = f"fall of |ln of the background efficiencies' ratio| with the strongest adversary, from {mixture.shift.value:.3f}"
    return [beyond(f"{name}:pivot", less, 3, note, required=False)]


def _mass_table(found: Sculpting, held: HeldOut, seed: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in found.taggers:
        bent = found.bent[one.name]
        rows.append(
            (one.name, merit(one, held, seed).auc, bent.background_rejection, bent.flatness, found.chance[one.name])
        )
    columns = ("tagger", "AUC", "rejection at 50 %", "1/JSD", "1/JSD of chance")
    return Table("decorrelation from the mass", columns, tuple(rows))


def _nuisance_table(name: str, found: list[Stability], areas: list[list[Estimate]]) -> Table:
    columns = ("tagger", "AUC, nominal", f"AUC, {name}", "|ln of background efficiencies' ratio| at 80 %", "largest AMS",
               "AMS - that at strength 0")  # fmt: skip
    rows = [
        (one.name, at, other, one.shift, one.largest, mean_difference(one.best, found[1].best))
        for one, (at, other) in zip(found, areas, strict=True)
    ]
    return Table(f"nuisance {name}", columns, tuple(rows))


def _points(found: Sculpting) -> dict[str, list[tuple[Estimate, Estimate]]]:
    """By method, 1/JSD and rejection of each of its taggers."""
    methods = {name: found.method(name) for name in (ADVERSARY, DISCO)}
    methods |= {name: [found.bent[name]] for name in (PLAIN, PLANED, TAU21, DDT)}
    return {name: [(one.flatness, one.background_rejection) for one in taggers] for name, taggers in methods.items()}


def _shown(found: Sculpting) -> list[str]:
    """Taggers whose mass spectra are drawn: without anything, planed, and the strongest of each method."""
    return [PLAIN, PLANED, *(found.method(name)[-1].name for name in (ADVERSARY, DISCO))]
