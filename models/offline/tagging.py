"""Taggers on one sample: networks, cuts, likelihoods, Fisher discriminants and boosted trees, all judged alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from models.offline.fitting import Arrays, Fitting, Loss, Rows, Steps, cross_entropy, fit, inference_rate, predict
from models.offline.merit import HeldOut, Scored
from trigger.data.jets import JetDataset, Split, split_by_event
from trigger.decision.efficiency import weighted_quantiles
from trigger.errors import InputError, nearest

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are to be."""
FEWEST_EFFECTIVE = 2.0
"""Held-out jets of signal and of background, (sum of weights)^2 / sum of their squares; figures of fewer are no figures."""
LIKELIHOOD_BINS = 40
"""Of a likelihood of one variable; of two, half as many each."""


@dataclass(frozen=True)
class Trial:
    """Signal against background, split into what is learnt from, what chooses, and what judges.

    Attributes:
        is_signal: Shape `(jets,)`.
        weights: With these signal and background weigh the same in all, shape `(jets,)`.
        events: Event numbers, shape `(jets,)`.
        splits: Masks of the jets, events kept whole.

    Raises:
        InputError: A split has no signal or no background, or a few jets of large weights are nearly all of the held-out ones.
    """

    is_signal: NDArray[np.bool_]
    weights: Floats
    events: NDArray[np.int64]
    splits: dict[Split, NDArray[np.bool_]]

    def __post_init__(self) -> None:
        for split, chosen in self.splits.items():
            counts = {
                name: self.weights[chosen & kind]
                for name, kind in (("signal", self.is_signal), ("background", ~self.is_signal))
            }
            told = " and ".join(f"{(one > 0).sum()} of {name}" for name, one in counts.items())
            if not all((one > 0).any() for one in counts.values()):
                raise InputError(f"the {split} split has {told} jets with a weight; a larger sample would be right")
            effective = {name: float(one.sum() ** 2 / np.square(one).sum()) for name, one in counts.items()}
            if split is Split.TEST and min(effective.values()) < FEWEST_EFFECTIVE:
                raise InputError(
                    f"the held-out jets are {told}, with their weights worth "
                    + " and ".join(f"{one:.3g} of {name}" for name, one in effective.items())
                    + f": less than {FEWEST_EFFECTIVE:g} say nothing; a larger sample, or one with other weights, would be right"
                )

    @property
    def held(self) -> HeldOut:
        """The jets that judge."""
        test = self.splits[Split.TEST]
        return HeldOut(self.is_signal[test], self.weights[test], self.events[test])

    def rows(self, inputs: Arrays, split: Split) -> Rows:
        """What a network is shown of a split; answers are 1 for signal."""
        chosen = self.splits[split]
        return Rows(
            {name: array[chosen] for name, array in inputs.items()}, self.is_signal[chosen].astype(np.int32),
            self.weights[chosen],
        )  # fmt: skip


def trial_of(jets: JetDataset, signal: tuple[str, ...], seed: int) -> Trial:
    """Some classes against all others.

    Args:
        jets: The sample; its weights are kept within signal and within background.
        signal: Names of the classes that are signal.
        seed: Of the split.

    Raises:
        InputError: A class is not known, or signal or background has no jets.
    """
    unknown = next((name for name in signal if name not in jets.class_names), None)
    if unknown is not None:
        raise InputError(f"signal: there is no class {unknown!r}; nearest: {nearest(unknown, jets.class_names)}")
    is_signal = np.isin(jets.labels, [jets.class_names.index(name) for name in signal])
    return trial(is_signal, jets.weights, jets.events, seed)


def trial(is_signal: NDArray[np.bool_], weights: Floats, events: NDArray[np.int64], seed: int) -> Trial:
    """A trial of rows that are signal or background. See `trial_of`."""
    return Trial(is_signal, balanced(is_signal, weights), events, split_by_event(events, seed))


def balanced(is_signal: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weights with which signal and background weigh the same, each half of the number of jets.

    Raises:
        InputError: There is no signal or no background, or none with a weight.
    """
    even = np.array(weights, dtype=np.float64)
    for name, chosen in (("signal", is_signal), ("background", ~is_signal)):
        if not even[chosen].sum() > 0:
            raise InputError(f"the sample of {len(is_signal)} jets has no {name}, or none with a weight")
        even[chosen] *= len(even) / 2 / even[chosen].sum()
    return even


@dataclass(frozen=True)
class Trained:
    """Several trainings of one network.

    Attributes:
        models: One for each seed.
        parameters: Trained numbers of each.
        rows_per_s: Rows learnt from in a second, median over the models.
    """

    models: list[keras.Model]
    parameters: int
    rows_per_s: float | None


def trained(
    name: str, build: Callable[[], keras.Model], learn: Rows, validate: Rows, how: Fitting, loss: Loss, seeds: int, seed: int,
    folder: Path, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Train a network with several seeds.

    Args:
        name: Of what is trained.
        build: Makes the untrained network.
        learn: What it learns from.
        validate: What chooses the epoch.
        how: How it is trained.
        loss: Of answers and outputs.
        seeds: How many models.
        seed: Of the first; the others follow.
        folder: Of this study's trainings.
        progress: Told of every epoch.
    """
    steps, models, speeds = Steps(), [], []
    for number in range(seeds):

        def told(epoch: int, epochs: int, number: int = number) -> None:
            if progress is not None:
                progress(f"epochs of {name}, model {number + 1} of {seeds}", epoch, epochs)

        home = folder / f"{quote(name, safe=' ,+')}-{number}"
        fitted = fit(build, learn, validate, how, loss, seed + number, home, told, steps)
        models.append(fitted.model)
        if fitted.rows_per_s is not None:
            speeds.append(fitted.rows_per_s)
    parameters = int(sum(np.prod(one.shape) for one in models[0].trainable_variables))
    return Trained(models, parameters, float(np.median(speeds)) if speeds else None)


def train_tagger(
    name: str, build: Callable[[], keras.Model], inputs: Arrays, trial: Trial, how: Fitting, seeds: int, seed: int,
    folder: Path, progress: Progress | None = None,
) -> tuple[Scored, list[keras.Model]]:  # fmt: skip
    """Train a network of two logits, background and signal, with several seeds, and let it judge the held-out jets.

    Args:
        name: Of the tagger.
        build: Makes the untrained network.
        inputs: What it is shown of all jets.
        trial: Which jets are what.
        how: How it is trained.
        seeds: How many models.
        seed: Of the first; the others follow.
        folder: Of this study's trainings.
        progress: Told of every epoch.

    Returns:
        Its answers, as signal's logit over background's; and the trained models.
    """
    learn, validate, test = (trial.rows(inputs, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST))
    found = trained(name, build, learn, validate, how, cross_entropy, seeds, seed, folder, progress)
    outputs = [predict(model, test.inputs) for model in found.models]
    return Scored(
        name, np.stack([one[:, 1] - one[:, 0] for one in outputs]), threshold=0.0, parameters=found.parameters,
        trained_per_s=found.rows_per_s, judged_per_s=inference_rate(found.models[0], test.inputs),
    ), found.models  # fmt: skip


def cut(name: str, values: Floats, trial: Trial) -> Scored:
    """A single cut: larger is signal, or smaller, whichever learns better.

    Args:
        name: Of the variable.
        values: Of every jet, shape `(jets,)`.
        trial: Which jets are what.
    """
    from sklearn.metrics import roc_auc_score

    learn = trial.splits[Split.TRAIN]
    area = roc_auc_score(trial.is_signal[learn], values[learn], sample_weight=trial.weights[learn])
    return Scored(name, (values if area >= 0.5 else -values)[None, trial.splits[Split.TEST]])


def likelihood(name: str, table: Floats, trial: Trial) -> Scored:
    """The ratio of binned likelihoods of one or two variables together.

    Bins hold equal weights of the jets that are learnt from. One half of a jet is added to each bin of each class, so that
    an empty one decides nothing.

    Args:
        name: Of the tagger.
        table: Shape `(jets, 1)` or `(jets, 2)`.
        trial: Which jets are what.

    Raises:
        InputError: There are more variables than two.
    """
    variables = table.shape[1]
    if variables > 2:
        raise InputError(f"{name}: a binned likelihood is of one or two variables, not of {variables}")
    learn, test = trial.splits[Split.TRAIN], trial.splits[Split.TEST]
    bins = LIKELIHOOD_BINS // variables
    edges = [weighted_quantiles(column[learn], trial.weights[learn], bins) for column in table.T]
    place = sum(
        np.searchsorted(edge, column) * bins**k for k, (edge, column) in enumerate(zip(edges, table.T, strict=True))
    )
    weights = trial.weights / trial.weights[learn].mean()
    filled = [
        np.bincount(place[learn & chosen], weights[learn & chosen], minlength=bins**variables) + 0.5
        for chosen in (trial.is_signal, ~trial.is_signal)
    ]
    ratio = np.log(filled[0] / filled[0].sum()) - np.log(filled[1] / filled[1].sum())
    return Scored(name, ratio[place[test]][None], threshold=0.0)


def fisher(name: str, table: Floats, trial: Trial) -> Scored:
    """Fisher's linear discriminant of several variables, shape `(jets, variables)`; signal and background weigh the same.

    References:
        Fisher, doi:10.1111/j.1469-1809.1936.tb02137.x.
    """
    learn, test = trial.splits[Split.TRAIN], trial.splits[Split.TEST]
    means, covariance = [], np.zeros((table.shape[1],) * 2)
    for chosen in (learn & trial.is_signal, learn & ~trial.is_signal):
        weights = trial.weights[chosen]
        means.append(np.average(table[chosen], axis=0, weights=weights))
        covariance += np.atleast_2d(np.cov(table[chosen].T, aweights=weights))
    direction = np.linalg.lstsq(covariance, means[0] - means[1], rcond=None)[0]
    middle = (means[0] + means[1]) @ direction / 2
    return Scored(name, (table[test] @ direction)[None], threshold=float(middle), parameters=len(direction))


def boosted_trees(name: str, table: Floats, trial: Trial, seeds: int, seed: int) -> Scored:
    """Gradient-boosted trees on several variables, shape `(jets, variables)`; the best number of trees by validation.

    In one thread: several that wait for each other at every node take ten times as long where a core is busy otherwise.

    References:
        Friedman, doi:10.1214/aos/1013203451; scikit-learn's HistGradientBoostingClassifier.
    """
    from threadpoolctl import threadpool_limits

    learn, test = trial.splits[Split.TRAIN] | trial.splits[Split.VALIDATION], trial.splits[Split.TEST]
    scores = []
    for number in range(seeds):
        trees = boosted_classifier(seed + number)
        with threadpool_limits(1, "openmp"):
            trees.fit(table[learn], trial.is_signal[learn], sample_weight=trial.weights[learn])
            scores.append(trees.decision_function(table[test]))
    return Scored(name, np.stack(scores), threshold=0.0)


def boosted_classifier(seed: int) -> Any:
    """The trees that every study takes."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=300, learning_rate=0.1, max_leaf_nodes=31, early_stopping=True, validation_fraction=0.2,
        n_iter_no_change=15, random_state=seed,
    )  # fmt: skip


def boosted_regression(table: Floats, answers: Floats, weights: Floats, judged: Floats, seed: int) -> Floats:
    """Gradient-boosted trees that learn a number by its absolute difference; what they say of other rows.

    Args:
        table: What they learn from, shape `(rows, variables)`.
        answers: Shape `(rows,)`.
        weights: Shape `(rows,)`.
        judged: Shape `(others, variables)`.
        seed: Of what stops them.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    trees = HistGradientBoostingRegressor(loss="absolute_error", early_stopping=True, random_state=seed)
    with threadpool_limits(1, "openmp"):
        trees.fit(table, answers, sample_weight=weights)
        found: Floats = trees.predict(judged)
    return found


def logistic_regression(table: Floats, is_signal: NDArray[np.bool_], weights: Floats, judged: Floats) -> Floats:
    """The logits that a logistic regression gives to other rows.

    Args:
        table: What it learns from, shape `(rows, variables)`.
        is_signal: Shape `(rows,)`.
        weights: Shape `(rows,)`.
        judged: Shape `(others, variables)`.
    """
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(max_iter=1000)
    regression.fit(table, is_signal, sample_weight=weights)
    found: Floats = regression.decision_function(judged)
    return found
