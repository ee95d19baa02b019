"""The community's comparison of top taggers: networks on images, observables, constituents and clouds, side by side.

Every network sees the same jets, is trained with the same seeds, and is judged by the same held-out jets. A linear
discriminant of energy flow polynomials, the ratio of likelihoods of mass and tau_32, and a combination of all taggers stand
beside them. The combination is a logistic regression on their answers; it is learnt from the validation jets, of which the
networks saw nothing but which epoch to keep.

References:
    The comparison: arXiv:1902.09914. Published figures of ParticleNet and ParticleNet-Lite: arXiv:1902.08570.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import (
    Cell,
    Result,
    Study,
    Table,
    Workplace,
    beyond,
    compatible,
    judged,
    not_below,
    require_classes,
)  # fmt: skip
from models.offline.fitting import Fitting, predict
from models.offline.merit import HeldOut, Merit, Scored, gain, merit
from models.offline.networks import CloudNetwork
from models.offline.observables import standardised
from models.offline.polynomials import Polynomials
from models.offline.tagging import Trial, fisher, likelihood, logistic_regression, train_tagger, trial_of
from trigger.data.jets import JetDataset, Split
from trigger.data.offline_jets import OfflineJets
from trigger.data.public import PublicJets
from trigger.data.sources import JetSource, content_of
from trigger.decision.efficiency import Estimate
from trigger.kinematics import transverse_momentum
from trigger.verdict import Requirement, not_measured

Floats = NDArray[np.float64]
POLYNOMIALS, COMBINATION, MASS, MASS_AND_TAU = "energy_flow_polynomials", "combination", "mass", "mass and tau32"
SIGMAS = 3


@dataclass(frozen=True)
class Published:
    """What a paper says of a tagger of the Top Landscape jets; single models.

    Attributes:
        auc: Area under the ROC curve.
        accuracy: Share of jets on the right side.
        rejection_30: Inverse of the background efficiency at 30 % signal efficiency.
        parameters: Trained numbers.
        paper: arXiv number.
    """

    auc: float
    accuracy: float
    rejection_30: float
    parameters: int
    paper: str = "1902.09914"


PUBLISHED = {
    "image_cnn": Published(0.981, 0.930, 914, 610_000),
    "topo_dnn": Published(0.972, 0.916, 295, 59_000),
    "multi_body 6": Published(0.979, 0.922, 792, 57_000),
    "multi_body 8": Published(0.981, 0.929, 867, 58_000),
    POLYNOMIALS: Published(0.980, 0.932, 384, 1_000),
    "lola": Published(0.980, 0.929, 722, 127_000),
    "energy_flow": Published(0.979, 0.927, 633, 82_000),
    "particle_flow": Published(0.982, 0.932, 891, 82_000),
    "particle_net_lite": Published(0.9844, 0.937, 1262, 26_000, "1902.08570"),
    "particle_net": Published(0.9858, 0.940, 1615, 366_000, "1902.08570"),
    COMBINATION: Published(0.985, 0.939, 1368, 35_000),
}
"""By what a tagger is; of a dense network on N-subjettiness with the number of bodies. The combination is the paper's GoaT."""


@dataclass(frozen=True)
class Entry:
    """A tagger of the comparison.

    Attributes:
        scored: Its answers to the held-out jets.
        validated: Its answers to the validation jets, shape `(models, jets)`.
        published: What papers say of it; `None` where no figure is for such jets.
    """

    scored: Scored
    validated: Floats
    published: Published | None


class TopTagging(Study):
    """The community's comparison of top taggers.

    Attributes:
        data: The jets.
        signal: Classes that are signal.
        constituents: Of each jet so many constituents are kept, those of largest pT.
        networks: What is compared, by name.
        fittings: Of networks, by name, that are not trained as `fitting` says.
        polynomials: What the linear discriminant sees; `null` leaves it out.
        pileup: Jets with pileup, on which TopoDNN is trained and judged once more; `null` leaves it out.
        claims_order: Whether the sample is large enough to require that ParticleNet is above particle flow; otherwise
            ParticleNet-Lite is to be compatible with particle flow.
    """

    PAPERS: ClassVar[tuple[str, ...]] = (
        "1902.09914", "1704.02124", "1803.00107", "1807.04769", "1712.07124", "1707.08966", "1810.05165", "1711.09059",
        "1902.08570",
    )  # fmt: skip
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "The jets are of Pythia 8 and a parametrised detector in place of Delphes' ATLAS card, and are weighted to a flat pT "
        "spectrum in the window; published figures stand beside ours and are not what ours should be.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "Where the recipe does not claim the order of the table (claims_order), the sample is smaller than the 1.2 million of "
        "the comparison and so may networks be: nothing is claimed of the order but what is required.",
        "TopoDNN divides pT by what the recipe says; its paper has 1700 GeV, for jets up to 2500 GeV.",
        "The combination is a logistic regression on the answers of the taggers that are here, learnt from the validation "
        "jets, which also decided when the networks stopped; the comparison has a network and more taggers.",
        "The recurrent network was not in the comparison; its paper has another range of pT.",
        "ResNeXt, TreeNiN, P-CNN, LBN and LDA of the comparison are not here.",
    )

    kind: Literal["top_tagging"]
    data: JetSource
    signal: tuple[str, ...] = Field(default=("top",), min_length=1)
    constituents: int = Field(default=200, gt=0)
    networks: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], CloudNetwork] = Field(min_length=1)
    fittings: dict[str, Fitting] = Field(default_factory=dict)
    polynomials: Polynomials | None = Polynomials()
    pileup: JetSource | None = None
    claims_order: bool = False

    @model_validator(mode="after")
    def _known(self) -> Self:
        require_classes("signal", self.signal, self.data.classes)
        for name in self.fittings:
            if name not in self.networks:
                raise ValueError(f"fittings: there is no network {name!r} among {', '.join(self.networks)}")
        for name in (POLYNOMIALS, COMBINATION, MASS):
            if name in self.networks:
                raise ValueError(f"networks: {name!r} is the name of another tagger of the comparison")
        if self.pileup is not None:
            if self.pileup.classes != self.data.classes:
                raise ValueError(f"pileup: its classes are {self.pileup.classes}, those of data {self.data.classes}")
            if self._of_kind("topo_dnn") is None:
                raise ValueError(
                    "pileup: TopoDNN is trained on these jets, and none of the networks is of kind topo_dnn"
                )
        return self

    def content(self, seed: int) -> Any:
        """Digests of both samples."""
        return content_of(self.data, seed), None if self.pileup is None else content_of(self.pileup, seed)

    def run(self, place: Workplace) -> Result:
        """Train all, combine them, and put them into one table."""
        jets = self._jets(self.data, place)
        trial = trial_of(jets, self.signal, place.seed)
        entries = {name: self._trained(name, name, jets, trial, place) for name in self.networks}
        if self.polynomials is not None:
            entries[POLYNOMIALS] = _linear(self.polynomials, jets, trial, place)
        singles = {name: one.scored for name, one in entries.items()}
        published = {name: one.published for name, one in entries.items()}
        answers = [(one.validated, one.scored.scores) for one in entries.values()]
        several = [combination(answers, trial)] if len(answers) > 1 else []  # one alone is not combined
        published |= {one.name: PUBLISHED[COMBINATION] for one in several}
        if not self.of_the_comparison:
            published = dict.fromkeys(published)
        baselines = _baselines(jets, trial)
        held = trial.held
        merits, curves = judged([*singles.values(), *several, *baselines], held, place.seed)
        requirements = self._requirements(singles, several, baselines[-1], merits, held, place.seed)
        tables = [
            *([_beside_published(merits, published)] if self.of_the_comparison else []),
            _differences([*singles.values(), *several], baselines, merits, held, place.seed, self.claims_order),
        ]
        figures = _figures(merits, published, place, jets.origin.simulated)
        if self.pileup is not None:
            crowded = self._with_pileup(self.pileup, jets, place)
            tables.append(_pileup_table(crowded))
            merits |= crowded
        return Result(
            self.kind, self.PAPERS, self.departures(self.data), tuple(requirements), merits, curves, tuple(tables),
            figures, _details(jets, trial), jets.origin.synthetic, jets.origin.simulated,
        )  # fmt: skip

    @property
    def of_the_comparison(self) -> bool:
        """Whether the jets are such as the comparison has, so that its figures may stand beside ours."""
        ours = isinstance(self.data, OfflineJets)
        theirs = isinstance(self.data, PublicJets) and self.data.layout == "top_landscape"
        return (ours or theirs) and self.signal == ("top",)

    def _of_kind(self, kind: str) -> str | None:
        return next((name for name, network in self.networks.items() if network.kind == kind), None)

    def _jets(self, source: JetSource, place: Workplace) -> JetDataset:
        jets = place.jets(source)
        return leading_constituents(jets, self.constituents)

    def _trained(self, name: str, network: str, jets: JetDataset, trial: Trial, place: Workplace) -> Entry:
        """A network, trained on these jets under a name."""
        chosen = self.networks[network]
        inputs = chosen.seen(jets, place.workers)
        shapes = {one: array.shape[1:] for one, array in inputs.items()}
        tagger, models = train_tagger(
            name, lambda: chosen.build(shapes, 2), inputs, trial, self.fittings.get(network, self.fitting), self.seeds,
            place.seed, place.trainings, place.progress,
        )  # fmt: skip
        place.keep(name, models[0])
        validation = trial.rows(inputs, Split.VALIDATION).inputs
        outputs = [predict(model, validation) for model in models]
        kind = f"multi_body {chosen.bodies}" if chosen.kind == "multi_body" else chosen.kind
        return Entry(tagger, np.stack([one[:, 1] - one[:, 0] for one in outputs]), PUBLISHED.get(kind))

    def _requirements(
        self, singles: dict[str, Scored], combined: list[Scored], baseline: Scored, merits: Mapping[str, Merit], held: HeldOut,
        seed: int,
    ) -> list[Requirement]:  # fmt: skip
        best = max(singles, key=lambda name: merits[name].auc.value)
        return [
            self._order(singles, held, seed),
            beyond("baseline:auc", gain(singles[best], baseline, held, seed), SIGMAS,
                   f"AUC of {best}, the best single one, minus that of the likelihood of {MASS_AND_TAU}"),
            *(not_below("combination:auc", gain(one, singles[best], held, seed), 0, SIGMAS,
                        f"AUC of the combination minus that of {best}") for one in combined),
        ]  # fmt: skip

    def _order(self, singles: dict[str, Scored], held: HeldOut, seed: int) -> Requirement:
        graph = "particle_net" if self.claims_order else "particle_net_lite"
        first, second = self._of_kind(graph), self._of_kind("particle_flow")
        title = f"order:{graph}"
        if first is None or second is None:
            missing = graph if first is None else "particle_flow"
            return not_measured(
                title, "an AUC that particle flow has too", required=False, note=f"no network is of kind {missing}"
            )
        found = gain(singles[first], singles[second], held, seed)
        published = PUBLISHED[graph].auc - PUBLISHED["particle_flow"].auc
        note = f"AUC of {first} minus that of {second}; published {published:+.4f} for top jets"
        if self.claims_order:
            return beyond(title, found, SIGMAS, note, required=self.of_the_comparison)
        return compatible(title, found, 0, SIGMAS, note, required=self.of_the_comparison)

    def _with_pileup(self, source: JetSource, jets: JetDataset, place: Workplace) -> dict[str, Merit]:
        """TopoDNN on jets with pileup, and on as many jets without."""
        name = self._of_kind("topo_dnn") or ""
        crowded = self._jets(source, place)
        merits = {}
        for label, sample in (("without", as_many(jets, crowded)), ("with", crowded)):
            trial = trial_of(sample, self.signal, place.seed)
            entry = self._trained(f"{name}_{label}_pileup", name, sample, trial, place)
            merits[entry.scored.name] = merit(entry.scored, trial.held, place.seed)
        return merits


def leading_constituents(jets: JetDataset, most: int) -> JetDataset:
    """The jets with no more than the `most` constituents of largest pT each."""
    import awkward as ak

    if ak.max(ak.num(jets.constituents)) <= most:
        return jets
    pt = transverse_momentum(jets.constituents.px, jets.constituents.py)
    order = ak.argsort(pt, axis=1, ascending=False, stable=True)
    return replace(jets, constituents=jets.constituents[order][:, :most])


def as_many(jets: JetDataset, others: JetDataset) -> JetDataset:
    """Of each class the first jets, no more than others has of it."""
    counts = np.bincount(others.labels, minlength=len(others.class_names))
    return jets.take(np.concatenate([np.flatnonzero(jets.labels == k)[:count] for k, count in enumerate(counts)]))


def combination(answers: list[tuple[Floats, Floats]], trial: Trial) -> Scored:
    """A logistic regression on the answers of several taggers, learnt from the validation jets; one for each seed.

    Args:
        answers: Of each tagger those to the validation and to the held-out jets, shape `(models, jets)` each; a tagger with
            fewer models than another enters with its last one again.
        trial: Which jets are what.
    """
    validation = trial.splits[Split.VALIDATION]
    scores = []
    for number in range(max(len(held) for _, held in answers)):
        learn, test = (
            np.column_stack([pair[which][min(number, len(pair[which]) - 1)] for pair in answers]) for which in (0, 1)
        )
        mean, spread = learn.mean(axis=0), np.maximum(learn.std(axis=0), 1e-12)
        scores.append(logistic_regression(
            (learn - mean) / spread, trial.is_signal[validation], trial.weights[validation], (test - mean) / spread
        ))  # fmt: skip
    return Scored(COMBINATION, np.stack(scores), threshold=0.0, parameters=len(answers) + 1)


def _linear(settings: Polynomials, jets: JetDataset, trial: Trial, place: Workplace) -> Entry:
    """Fisher's discriminant of the polynomials; jets judged in a second are those whose polynomials are made."""
    values, rate = settings.table(jets, place.folder / "polynomials.npz", place.workers, place.progress)
    table = standardised(values.astype(np.float64), trial.splits[Split.TRAIN], trial.weights).astype(np.float64)
    others = replace(trial, splits={**trial.splits, Split.TEST: trial.splits[Split.VALIDATION]})
    judging, validating = fisher(POLYNOMIALS, table, trial), fisher(POLYNOMIALS, table, others)
    return Entry(replace(judging, judged_per_s=rate), validating.scores, PUBLISHED[POLYNOMIALS])


def _baselines(jets: JetDataset, trial: Trial) -> list[Scored]:
    """Ratios of likelihoods of the mass, and of mass and tau_32 together."""
    from trigger.inputs.nsubjettiness import nsubjettiness, tau_ratio
    from trigger.inputs.trees import flat_momenta

    mass = jets.kinematics()["mass_gev"]
    tau32 = tau_ratio(nsubjettiness(*flat_momenta(jets.constituents)), 3, 2)
    return [
        likelihood(MASS, mass[:, None], trial),
        likelihood(MASS_AND_TAU, np.column_stack([mass, tau32]), trial),
    ]


def _beside_published(merits: Mapping[str, Merit], published: Mapping[str, Published | None]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, paper in published.items():
        ours = merits[name]
        pairs: list[Cell] = []
        for figure in ("auc", "accuracy", "rejection_30", "parameters"):
            pairs += [getattr(ours, figure), None if paper is None else getattr(paper, figure)]
        rows.append((name, *pairs, "" if paper is None else f"arXiv:{paper.paper}"))
    columns = [
        column
        for figure in ("AUC", "accuracy", "rejection at 30 %", "parameters")
        for column in (figure, f"published {figure}")
    ]
    return Table(
        "beside the published figures, which are of another simulation", ("tagger", *columns, "paper"), tuple(rows)
    )


def _differences(
    taggers: list[Scored], baselines: list[Scored], merits: Mapping[str, Merit], held: HeldOut, seed: int, claimed: bool
) -> Table:
    """From the best to the worst, each with what it gains over the next and over the baselines."""
    falling = sorted(taggers, key=lambda one: -merits[one.name].auc.value)
    rows: list[tuple[Cell, ...]] = []
    for one, worse in zip(falling, [*falling[1:], None], strict=True):
        over = [None if worse is None else gain(one, worse, held, seed)]
        over += [gain(one, baseline, held, seed) for baseline in baselines]
        rows.append((one.name, merits[one.name].auc, *over, None if over[0] is None else over[0].significance))
    title = "taggers by AUC" if claimed else "taggers by AUC; the sample is too small for a claim on their order"
    columns = ("tagger", "AUC", "above the next", *(f"above {one.name}" for one in baselines), "sigmas above the next")
    return Table(title, columns, tuple(rows))


def _pileup_table(crowded: Mapping[str, Merit]) -> Table:
    rows = [(name, one.auc, one.rejection_30, one.rejection_50) for name, one in crowded.items()]
    without, with_ = crowded.values()
    loss = Estimate(
        with_.auc.value - without.auc.value, float(np.hypot(with_.auc.uncertainty, without.auc.uncertainty))
    )
    return Table(
        "TopoDNN with pileup, and without on as many jets", ("tagger", "AUC", "rejection at 30 %", "rejection at 50 %"),
        (*rows, ("difference", loss, None, None)),
    )  # fmt: skip


def _figures(
    merits: Mapping[str, Merit], published: Mapping[str, Published | None], place: Workplace, simulated: bool
) -> tuple[str, ...]:
    from trigger.plots.top_tagging import rejection_and_size, rejections

    sizes = {name: (one.parameters, one.rejection_30) for name, one in merits.items() if one.parameters is not None}
    papers = {name: one.rejection_30 for name, one in published.items() if one is not None}
    return (
        place.draw(
            "rejections", rejections({name: one.rejection_30 for name, one in merits.items()}, papers, simulated)
        ),
        place.draw("rejection_and_size", rejection_and_size(sizes, simulated)),
    )


def _details(jets: JetDataset, trial: Trial) -> dict[str, Any]:
    import awkward as ak

    counts = ak.to_numpy(ak.num(jets.constituents))
    return {
        "jets": {str(split): int(chosen.sum()) for split, chosen in trial.splits.items()},
        "constituents": {"mean": float(counts.mean()), "most": int(counts.max())},
        "combination": "logistic regression on the answers of all other taggers, learnt from the validation jets",
    }
