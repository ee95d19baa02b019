"""How well a score tells signal from background, with uncertainties.

One definition for float networks, quantised ones and firmware: the chosen class is the one of the largest logit (the first
of equals); one-against-rest scores are the softmax of the logits, computed outside the chip.

Uncertainties are of a bootstrap over *events* (all jets of an event enter or stay out together) with Poisson(1) weights.
Differences are paired: both scores see the same replicas.

References:
    Bootstrap: Efron, doi:10.1214/aos/1176344552. Poisson weights: Chamandy et al., Google Research, 2012.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError, nearest

Array = NDArray[np.float64]
REPLICAS = 200


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard deviation."""

    value: float
    uncertainty: float

    @property
    def significance(self) -> float:
        """The figure in its standard deviations; NaN where these are zero or not known."""
        return self.value / self.uncertainty if self.uncertainty > 0 else float("nan")

    def summary(self) -> dict[str, float | None]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {name: one if np.isfinite(one) else None for name, one in vars(self).items()}


@dataclass(frozen=True)
class Performance:
    """How well one set of logits does.

    Attributes:
        accuracy: Weighted share of jets whose largest logit is that of their class.
        macro_auc: Mean over the classes of the area under the one-against-rest ROC curve.
        auc: The area for each class.
        rejection: For each class the inverse of the background efficiency at half of the signal efficiency; infinite where
            no background passes.
    """

    accuracy: Estimate
    macro_auc: Estimate
    auc: dict[str, Estimate]
    rejection: dict[str, Estimate]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            "accuracy": self.accuracy.summary(),
            "macro_auc": self.macro_auc.summary(),
            "auc": {name: one.summary() for name, one in self.auc.items()},
            "rejection_at_half_efficiency": {name: one.summary() for name, one in self.rejection.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """Several sets of logits on the same jets.

    Attributes:
        performance: For each set.
        accuracy_loss: For each set but the first: accuracy of the first minus its own, paired.
        auc_loss: The same for the macro AUC.
        agreement: For each set but the first: weighted share of jets for which it chooses the same class as the first.
        baseline: How well another tagger does on the same jets, for each of its sets.
        auc_gain: For each set that the baseline has too: its macro AUC minus the baseline's, paired.
    """

    performance: dict[str, Performance]
    accuracy_loss: dict[str, Estimate]
    auc_loss: dict[str, Estimate]
    agreement: dict[str, Estimate]
    baseline: dict[str, Performance] = field(default_factory=dict)
    auc_gain: dict[str, Estimate] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            what: {name: one.summary() for name, one in getattr(self, what).items()}
            for what in ("performance", "accuracy_loss", "auc_loss", "agreement", "baseline", "auc_gain")
        }


def chosen_class(logits: Array) -> NDArray[np.int64]:
    """The class of the largest logit; the first of equals. Shape `(jets,)`."""
    classes: NDArray[np.int64] = np.argmax(logits, axis=1).astype(np.int64)
    return classes


def softmax(logits: Array) -> Array:
    """Probabilities from logits, shape `(..., classes)`."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def compare(
    logits: Mapping[str, Array], labels: NDArray[np.int64], class_names: Sequence[str], weights: Array,
    events: NDArray[np.int64], seed: int, replicas: int = REPLICAS, baseline: Mapping[str, Array] | None = None,
) -> Comparison:  # fmt: skip
    """Evaluate several sets of logits on the same jets.

    Args:
        logits: Name to logits of shape `(jets, classes)`; the first is what the others are compared with.
        labels: True classes, shape `(jets,)`.
        class_names: Names of the classes.
        weights: Weight of each jet.
        events: Event number of each jet.
        seed: Seed of the bootstrap.
        replicas: Number of bootstrap replicas.
        baseline: Logits of another tagger on the same jets, row by row, and with the same classes; a set is compared with
            the one of `logits` of the same name (float with float, firmware with firmware).

    Raises:
        InputError: A class has no jets here, a logit is NaN, or the baseline has a set that `logits` has not.
    """
    other = dict(baseline or {})
    if unknown := next((name for name in other if name not in logits), None):
        raise InputError(
            f"the baseline's logits {unknown!r} have no counterpart; there are: {nearest(unknown, logits)}"
        )
    for name, one in [*logits.items(), *((f"baseline {name}", one) for name, one in other.items())]:
        if one.shape != (len(labels), len(class_names)) or not np.isfinite(one).all():
            raise InputError(f"logits {name!r} of shape {one.shape} do not fit the sample or are not finite")
    missing = [name for label, name in enumerate(class_names) if not weights[labels == label].sum() > 0]
    if missing:
        raise InputError(
            f"class {', '.join(map(repr, missing))} has no jets (or none with a weight) in the test sample"
        )
    sampled = bootstrap(events, weights, seed, replicas)
    figures = {name: _figures(one, labels, sampled) for name, one in logits.items()}
    others = {name: _figures(one, labels, sampled) for name, one in other.items()}
    first, *rest = logits
    return Comparison(
        performance={name: one.performance(class_names) for name, one in figures.items()},
        accuracy_loss={name: estimate(figures[first].accuracy - figures[name].accuracy) for name in rest},
        auc_loss={name: estimate(figures[first].macro_auc - figures[name].macro_auc) for name in rest},
        agreement={
            name: estimate(_share(chosen_class(logits[first]) == chosen_class(logits[name]), sampled)) for name in rest
        },
        baseline={name: one.performance(class_names) for name, one in others.items()},
        auc_gain={name: estimate(figures[name].macro_auc - one.macro_auc) for name, one in others.items()},
    )


@dataclass(frozen=True)
class _Figures:
    """What `Performance` estimates, for the sample and every replica: shapes `(1 + replicas,)`, `(classes, 1 + replicas)`."""

    accuracy: Array
    auc: Array
    rejection: Array

    @property
    def macro_auc(self) -> Array:
        mean: Array = self.auc.mean(axis=0)
        return mean

    def performance(self, class_names: Sequence[str]) -> Performance:
        return Performance(
            estimate(self.accuracy),
            estimate(self.macro_auc),
            {c: estimate(row) for c, row in zip(class_names, self.auc, strict=True)},
            {c: estimate(row) for c, row in zip(class_names, self.rejection, strict=True)},
        )


def _figures(logits: Array, labels: NDArray[np.int64], sampled: Array) -> _Figures:
    probability = softmax(logits)
    curves = [_curves(probability[:, label], labels == label, sampled) for label in range(logits.shape[1])]
    auc, rejection = (np.stack(one) for one in zip(*curves, strict=True))
    return _Figures(_share(chosen_class(logits) == labels, sampled), auc, rejection)


def roc_curve(score: Array, is_signal: NDArray[np.bool_], weights: Array) -> tuple[Array, Array]:
    """Background and signal efficiency for every threshold on `score`, from none to all accepted."""
    values, place = np.unique(-score, return_inverse=True)
    signal = np.bincount(place, weights * is_signal, minlength=len(values)).cumsum()
    background = np.bincount(place, weights * ~is_signal, minlength=len(values)).cumsum()
    return (
        np.concatenate([[0.0], background / background[-1]]),
        np.concatenate([[0.0], signal / signal[-1]]),
    )


def weighted_quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """Values that cut a sample into parts of the same weight, `parts - 1` of them; none for an empty sample."""
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    wanted = np.arange(1, parts) / parts * below[-1]
    return np.asarray(values[order][np.searchsorted(below, wanted)])


def replica_quantiles(values: Array, sampled: Array, shares: Sequence[float]) -> list[Array]:
    """Weighted quantiles of every replica: the least value with so much of the weight at or below it.

    Args:
        values: Shape `(rows,)`.
        sampled: Weights of the replicas, shape `(replicas, rows)`.
        shares: Between 0 and 1.

    Returns:
        For each share an array of shape `(replicas,)`.
    """
    order = np.argsort(values)
    below = sampled[:, order].cumsum(axis=1)
    return [values[order][(below >= share * below[:, -1:]).argmax(axis=1)] for share in shares]


def bootstrap(events: NDArray[np.int64], weights: Array, seed: int, replicas: int = REPLICAS) -> Array:
    """Weights of every jet in the replicas of the sample: those of an event enter or stay out together.

    Returns:
        Shape `(1 + replicas, jets)`; the first row is the sample itself.
    """
    _, place = np.unique(events, return_inverse=True)
    draws = np.random.default_rng(seed).poisson(1.0, (replicas, place.max() + 1))
    sampled: Array = np.concatenate([weights[None], draws[:, place] * weights])
    return sampled


def _share(hit: NDArray[np.bool_], sampled: Array) -> Array:
    share: Array = (sampled * hit).sum(axis=1) / sampled.sum(axis=1)
    return share


def _curves(score: Array, is_signal: NDArray[np.bool_], sampled: Array) -> tuple[Array, Array]:
    """AUC and rejection of every replica, some replicas at a time, so that memory follows the sample alone."""
    size = max(1, 4_000_000 // len(score))
    blocks = [
        auc_and_rejections(score, is_signal, sampled[start : start + size], (0.5,))
        for start in range(0, len(sampled), size)
    ]
    return np.concatenate([block[0] for block in blocks]), np.concatenate([block[1][0] for block in blocks])


def auc_and_rejections(
    score: Array, is_signal: NDArray[np.bool_], sampled: Array, efficiencies: Sequence[float]
) -> tuple[Array, Array]:
    """How well a score tells signal from background, for every replica of the sample.

    Args:
        score: Larger for signal, shape `(jets,)`.
        is_signal: Shape `(jets,)`.
        sampled: Weights of the jets in the replicas, of `bootstrap`.
        efficiencies: Signal efficiencies.

    Returns:
        The area under the ROC curve (ties count half), shape `(replicas,)`, and the inverse of the background efficiency
        at each signal efficiency, shape `(efficiencies, replicas)`: infinite where no background passes.
    """
    order = np.argsort(-score, kind="stable")
    edges = np.flatnonzero(np.diff(score[order], prepend=np.inf) != 0)  # first jet of each distinct score
    ordered = sampled[:, order]
    signal = np.add.reduceat(ordered * is_signal[order], edges, axis=1)
    background = np.add.reduceat(ordered * ~is_signal[order], edges, axis=1)
    signal_above = np.cumsum(signal, axis=1)
    background_above = np.cumsum(background, axis=1)
    total_signal, total_background = signal_above[:, -1:], background_above[:, -1:]
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # a replica may have no jet of a class: its figure is not known
        area = (background * (signal_above - signal / 2)).sum(axis=1) / (total_signal * total_background)[:, 0]
    rejections = []
    for efficiency in efficiencies:
        threshold = np.argmax(signal_above >= efficiency * total_signal, axis=1)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            passed = np.take_along_axis(background_above, threshold, axis=1)[:, 0] / total_background[:, 0]
            rejections.append(1 / passed)
    return area, np.stack(rejections)


def estimate(row: Array) -> Estimate:
    """The sample's figure (first entry) with the standard deviation over the replicas that have one."""
    known = row[1:][np.isfinite(row[1:])]
    enough = np.isfinite(row[0]) and len(known) > max(1, len(row) // 2)
    return Estimate(float(row[0]), float(np.std(known, ddof=1)) if enough else float("nan"))
