"""Weights of signal that give it the background's spectrum of one variable or two, so that these tell nothing any more.

Signal jets of a bin are weighted with background over signal there, both of the jets that are learnt from; the same factors
are for the held-out ones. Bins that hold too few jets of signal or of background for a factor are left out on both sides.

References:
    Weights that take away jet mass and tau21: arXiv:1511.05190. The idea in general ("planing"): arXiv:1709.10106.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.offline.merit import REPLICAS, kept_models
from models.offline.tagging import Trial, balanced
from trigger.data.jets import Split
from trigger.decision.efficiency import auc_and_rejections, bootstrap, weighted_quantiles
from trigger.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matching:
    """Bins in which signal is weighted to background.

    Attributes:
        name: Of the variables.
        place: Bin of each jet, shape `(jets,)`.
        used: Which bins hold enough jets of both, shape `(bins,)`.
    """

    name: str
    place: NDArray[np.int64]
    used: NDArray[np.bool_]

    def factors(self, trial: Trial, weights: Floats) -> Floats:
        """What each jet's weight is multiplied with, shape `(jets,)`; 0 in bins that are not used, 1 for other background.

        Args:
            trial: Which jets are what.
            weights: Of each jet; those that are learnt from decide.
        """
        learn = trial.splits[Split.TRAIN]
        signal, background = (
            np.bincount(self.place[learn & chosen], weights[learn & chosen], minlength=len(self.used))
            for chosen in (trial.is_signal, ~trial.is_signal)
        )
        ratio = np.divide(background, signal, out=np.zeros_like(signal), where=self.used & (signal > 0))
        return np.where(trial.is_signal, ratio[self.place], (ratio > 0)[self.place].astype(np.float64))

    def weighted(self, trial: Trial) -> Trial:
        """The trial with these weights; signal and background weigh the same again.

        Raises:
            InputError: No bin is used.
        """
        factors = self.factors(trial, trial.weights)
        if not factors.any():
            raise InputError(
                f"weights by {self.name}: of {len(self.used)} bins none holds enough jets of both; fewer bins would be right"
            )
        return replace(trial, weights=balanced(trial.is_signal, trial.weights * factors))

    def left_out(self, trial: Trial) -> tuple[float, float]:
        """Share of signal and of background, by weight, that lies in bins that are not used."""
        outside = ~self.used[self.place]
        signal, background = (
            float(np.average(outside[chosen], weights=trial.weights[chosen]))
            for chosen in (trial.is_signal, ~trial.is_signal)
        )
        return signal, background

    def areas(self, trial: Trial, scores: Floats, seed: int) -> Floats:
        """Area under the ROC curve of the weighted held-out jets, for each model and replica.

        A replica draws events of all splits anew, so that the factors scatter as the jets do that they come from.

        Args:
            trial: Which jets are what, with the weights before.
            scores: Of the held-out jets, larger for signal, shape `(models, jets)`.
            seed: Of the replicas.

        Returns:
            Shape `(models, 1 + replicas)`, the sample itself first; models are left out by the rule of `models.offline.merit`.
        """
        test = trial.splits[Split.TEST]
        sampled = bootstrap(trial.events, trial.weights, seed, REPLICAS)
        weights = np.stack([row[test] * self.factors(trial, row)[test] for row in sampled])
        areas = np.stack([auc_and_rejections(one, trial.is_signal[test], weights, (0.5,))[0] for one in scores])
        return areas[kept_models(areas[:, 0])]


def matching(name: str, table: Floats, trial: Trial, bins: int, least: int) -> Matching:
    """Bins of one variable, or of the second within those of the first.

    Edges are quantiles of the jets that are learnt from, signal and background weighing the same.

    Args:
        name: Of the variables.
        table: Shape `(jets, 1)` or `(jets, 2)`.
        trial: Which jets are what.
        bins: Of each variable.
        least: A bin that is used holds so many jets of signal, and of background, that are learnt from.

    Raises:
        InputError: There are more variables than two.
    """
    if table.shape[1] not in (1, 2):
        raise InputError(f"weights by {name}: bins are of one or two variables, not of {table.shape[1]}")
    learn = trial.splits[Split.TRAIN]
    place = np.zeros(len(table), dtype=np.int64)
    for column in table.T:
        inner = np.zeros(len(table), dtype=np.int64)
        for number in range(place.max() + 1):
            here = place == number
            edges = weighted_quantiles(column[here & learn], trial.weights[here & learn], bins)
            inner[here] = np.searchsorted(edges, column[here], side="right")
        place = place * bins + inner
    size = bins ** table.shape[1]
    counts = [np.bincount(place[learn & chosen], minlength=size) for chosen in (trial.is_signal, ~trial.is_signal)]
    return Matching(name, place, np.minimum(*counts) >= least)
