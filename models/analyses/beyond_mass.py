"""Does a network on jet images learn more than mass and tau21? It is asked where these tell nothing.

Signal jets are weighted so that their spectrum of mass, of tau21 or of both together is that of the background. The weighted
variables then are no better than a random guess. A network that had learnt nothing else would be so too; both the network that
was trained before, and one that is trained on the weighted jets, are looked at.

References:
    arXiv:1511.05190.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.analyses.study import Cell, Result, Study, Table, Workplace, beyond, compatible, judged
from models.analyses.trimmed_jets import CONVOLUTIONS, TrimmedJets, TrimmedSample
from models.offline.image_cnn import ImageCnn
from models.offline.matching import Matching, matching
from models.offline.merit import Scored, mean_difference, mean_over_models, median_curve
from models.offline.tagging import Trial, boosted_trees, likelihood, train_tagger
from trigger.data.jets import Split
from trigger.decision.efficiency import Estimate, auc_and_rejections
from trigger.verdict import Requirement

Floats = NDArray[np.float64]
NETWORK = "network"
VARIABLES: dict[str, tuple[int, ...]] = {"mass": (0,), "tau21": (1,), "mass + tau21": (0, 1)}
"""What is made to tell nothing: name, and columns of `Substructure.table`."""
BOTH = "mass + tau21"
LABELS = ("mass [GeV]", "tau21")


@dataclass(frozen=True)
class Weighted:
    """What is left under one choice of weights.

    Attributes:
        bins: How it is weighted.
        taggers: All that judge the held-out jets.
        areas: Area under the ROC curve of each for every model and replica, by name, shape `(models, 1 + replicas)`.
    """

    bins: Matching
    taggers: dict[str, Scored]
    areas: dict[str, Floats]

    @property
    def trained_on(self) -> str:
        """Name of the network that was trained on the weighted jets."""
        return trained_on(self.bins.name)

    @property
    def trees(self) -> str:
        """Name of the trees of mass and tau21 that were trained on the weighted jets."""
        return trees_on(self.bins.name)

    def area(self, tagger: str) -> Estimate:
        """Area under the ROC curve of a tagger."""
        return mean_over_models(self.areas[tagger])

    def gain(self, of: str, over: str) -> Estimate:
        """Area of one tagger minus that of another, the replicas being the same."""
        return mean_difference(self.areas[of], self.areas[over])


class BeyondMass(Study):
    """Whether a network on jet images knows more than mass and tau21, by weights that take these away.

    Attributes:
        sample: The jets.
        network: The network on their images.
        bins: Of one variable.
        bins_each: Of each of two.
        least: A bin holds at least so many signal jets and background jets that are learnt from, or it is left out.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("1511.05190",)
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "The sample is that of the study jet_images and departs from the paper's as it says there.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "Bins are quantiles of few jets, and what their width leaves of a variable is stated; for the uncertainties events are "
        "drawn anew and the weights made anew of them.",
        "Mass and tau21 are judged by their likelihood ratio before weighting, which is at its best in any direction.",
    )

    kind: Literal["beyond_mass"]
    sample: TrimmedJets
    network: ImageCnn = CONVOLUTIONS
    bins: int = Field(default=40, gt=1)
    bins_each: int = Field(default=12, gt=1)
    least: int = Field(default=5, gt=0)

    def content(self, seed: int) -> Any:
        """Digest of the jets."""
        return self.sample.content(seed)

    def run(self, place: Workplace) -> Result:
        """Train on all, then weight, look again, and train on the weighted."""
        sample = self.sample.sample(place)
        images, table, trial = sample.images(self.network), sample.numbers.table(), sample.trial
        before = [likelihood(name, table[:, columns], trial) for name, columns in VARIABLES.items()]
        before.append(self._trained(NETWORK, images, sample, None, place))
        found = {name: self._weighted(name, images, sample, before, place) for name in VARIABLES}
        held = trial.held
        taggers, curves = judged(before, held, place.seed)
        unweighted = {name: one.auc for name, one in taggers.items()}
        tables = (_areas(found, unweighted), _bins(found, sample, table))
        figures = self._figures(found, before, sample, table, place)
        return Result(
            self.kind, self.PAPERS, self.departures(self.sample.data),
            tuple(_requirements(found, unweighted)), taggers, curves, tables,
            tuple(figures), sample.details(), sample.jets.origin.synthetic, sample.jets.origin.simulated,
        )  # fmt: skip

    def _trained(
        self, name: str, images: NDArray[np.float32], sample: TrimmedSample, bins: Matching | None, place: Workplace
    ) -> Scored:
        trial = sample.trial if bins is None else bins.weighted(sample.trial)
        return train_tagger(
            name, sample.builder(self.network), {"image": images}, trial, self.fitting, self.seeds, place.seed,
            place.trainings, place.progress,
        )[0]  # fmt: skip

    def _weighted(
        self, name: str, images: NDArray[np.float32], sample: TrimmedSample, before: list[Scored], place: Workplace
    ) -> Weighted:
        table, trial = sample.numbers.table(), sample.trial
        columns = VARIABLES[name]
        bins = matching(name, table[:, columns], trial, self.bins if len(columns) == 1 else self.bins_each, self.least)
        judges = {one.name: one for one in before}
        judges[trees_on(name)] = boosted_trees(
            trees_on(name), table[:, VARIABLES[BOTH]], bins.weighted(trial), self.seeds, place.seed
        )
        judges[trained_on(name)] = self._trained(trained_on(name), images, sample, bins, place)
        areas = {which: bins.areas(trial, one.scores, place.seed) for which, one in judges.items()}
        return Weighted(bins, judges, areas)

    def _figures(
        self, found: dict[str, Weighted], before: list[Scored], sample: TrimmedSample, table: Floats, place: Workplace
    ) -> list[str]:
        from trigger.plots.beyond_mass import Shown, spectra
        from trigger.plots.studies import rejection_curves

        trial, simulated, drawn = sample.trial, sample.jets.origin.simulated, []
        test = trial.splits[Split.TEST]
        for name, one in found.items():
            weighted = one.bins.weighted(trial)
            title = name.replace(" + ", "_and_")
            shown = [Shown(LABELS[column], table[test, column]) for column in VARIABLES[BOTH]]
            shown += [
                Shown(f"output of the {which}", one.taggers[which].scores[0]) for which in (NETWORK, one.trained_on)
            ]
            figure = spectra(shown, trial.is_signal[test], trial.weights[test], weighted.weights[test], simulated)
            drawn.append(place.draw(f"spectra_weighted_by_{title}", figure))
            earlier = {which.name: median_curve(which, trial.held) for which in before}
            later = {which: median_curve(judge, weighted.held) for which, judge in one.taggers.items()}
            drawn.append(place.draw(f"rejection_weighted_by_{title}", rejection_curves(later, simulated, earlier)))
        return drawn


def trained_on(name: str) -> str:
    """Name of the network that is trained on jets weighted by these variables."""
    return f"network trained on jets weighted by {name}"


def trees_on(name: str) -> str:
    """Name of the trees of mass and tau21 that are trained on jets weighted by these variables."""
    return f"trees of {BOTH}, trained on jets weighted by {name}"


def residual(values: Floats, bins: Matching, trial: Trial) -> float:
    """How far the area of a variable is from 1/2 among the weighted jets that the weights come from: the width of bins."""
    learn = trial.splits[Split.TRAIN]
    weights = bins.weighted(trial).weights[learn]
    return float(auc_and_rejections(values[learn], trial.is_signal[learn], weights[None], (0.5,))[0][0] - 0.5)


def _requirements(found: dict[str, Weighted], before: dict[str, Estimate]) -> list[Requirement]:
    """Under each choice of weights its variables are powerless, each of them alone too, and the network is above them.

    Where the weights take away one variable, a network is also above it by what it knows of the other; only where both are
    taken away, it is held against trees that learnt from the two under these weights.
    """
    requirements = []
    for name, one in found.items():
        for powerless in VARIABLES if name == BOTH else (name,):
            note = f"AUC was {before[powerless].value:.4f}"
            requirements.append(compatible(f"weighted by {name}:{powerless}", one.area(powerless), 0.5, 3, note))
        was = f"AUC; that of the network was {before[NETWORK].value:.4f}"
        over = one.trees if name == BOTH else name
        requirements += [
            beyond(f"weighted by {name}:network", one.gain(NETWORK, name), 3, f"over {name}; {was}"),
            beyond(f"weighted by {name}:network trained on these", one.gain(one.trained_on, over), 3, f"over {over}"),
        ]
    return requirements


def _areas(found: dict[str, Weighted], before: dict[str, Estimate]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (which, before[which], *(one.area(which) for one in found.values())) for which in before
    ]
    rows += [
        ("network trained on these", None, *(one.area(one.trained_on) for one in found.values())),
        ("trees of mass + tau21 trained on these", None, *(one.area(one.trees) for one in found.values())),
        ("their difference", None, *(one.gain(one.trained_on, one.trees) for one in found.values())),
    ]
    return Table("AUC of held-out jets", ("tagger", "before", *(f"weighted by {name}" for name in found)), tuple(rows))


def _bins(found: dict[str, Weighted], sample: TrimmedSample, table: Floats) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, one in found.items():
        signal, background = one.bins.left_out(sample.trial)
        left = [
            residual(table[:, column], one.bins, sample.trial) if column in VARIABLES[name] else None
            for column in VARIABLES[BOTH]
        ]
        weights = one.bins.weighted(sample.trial).weights[sample.trial.splits[Split.TEST] & sample.trial.is_signal]
        effective = float(weights.sum() ** 2 / np.square(weights).sum())
        rows.append((name, len(one.bins.used), int(one.bins.used.sum()), signal, background, effective, *left))
    return Table(
        "weights",
        ("by", "bins", "used", "signal left out", "background left out", "effective held-out signal jets",
         "mass: AUC - 0.5 by the bins' width", "tau21: AUC - 0.5 by the bins' width"),
        tuple(rows),
    )  # fmt: skip
