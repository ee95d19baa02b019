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
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError

Array = NDArray[np.float64]
REPLICAS = 200


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard deviation."""

    value: float
    uncertainty: float

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
    """

    performance: dict[str, Performance]
    accuracy_loss: dict[str, Estimate]
    auc_loss: dict[str, Estimate]
    agreement: dict[str, Estimate]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "performance": {name: one.summary() for name, one in self.performance.items()},
            **{
                what: {name: one.summary() for name, one in getattr(self, what).items()}
                for what in ("accuracy_loss", "auc_loss", "agreement")
            },
        }


def chosen_class(logits: Array) -> NDArray[np.int64]:
    """The class of the largest logit; the first of equals. Shape `(jets,)`."""
    classes: NDArray[np.int64] = np.argmax(logits, axis=1).astype(np.int64)
    return classes


def softmax(logits: Array) -> Array:
    """Probabilities from logits, shape `(jets, classes)`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Array = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def compare(
    logits: Mapping[str, Array], labels: NDArray[np.int64], class_names: Sequence[str], weights: Array,
    events: NDArray[np.int64], seed: int, replicas: int = REPLICAS,
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

    Raises:
        InputError: A class has no jets here, or a logit is NaN.
    """
    for name, one in logits.items():
        if one.shape != (len(labels), len(class_names)) or not np.isfinite(one).all():
            raise InputError(f"logits {name!r} of shape {one.shape} do not fit the sample or are not finite")
    missing = [name for label, name in enumerate(class_names) if not weights[labels == label].sum() > 0]
    if missing:
        raise InputError(
            f"class {', '.join(map(repr, missing))} has no jets (or none with a weight) in the test sample"
        )
    sampled = _replicas(events, weights, seed, replicas)
    accuracy, auc, rejection = {}, {}, {}
    for name, one in logits.items():
        accuracy[name] = _share(chosen_class(one) == labels, sampled)
        probability = softmax(one)
        curves = [_curves(probability[:, label], labels == label, sampled) for label in range(len(class_names))]
        auc[name] = np.stack([curve[0] for curve in curves])
        rejection[name] = np.stack([curve[1] for curve in curves])
    first = next(iter(logits))
    return Comparison(
        performance={
            name: Performance(
                _estimate(accuracy[name]),
                _estimate(auc[name].mean(axis=0)),
                {c: _estimate(row) for c, row in zip(class_names, auc[name], strict=True)},
                {c: _estimate(row) for c, row in zip(class_names, rejection[name], strict=True)},
            )
            for name in logits
        },
        accuracy_loss={name: _estimate(accuracy[first] - accuracy[name]) for name in logits if name != first},
        auc_loss={
            name: _estimate(auc[first].mean(axis=0) - auc[name].mean(axis=0)) for name in logits if name != first
        },
        agreement={
            name: _estimate(_share(chosen_class(logits[first]) == chosen_class(one), sampled))
            for name, one in logits.items()
            if name != first
        },
    )


def roc_curve(score: Array, is_signal: NDArray[np.bool_], weights: Array) -> tuple[Array, Array]:
    """Background and signal efficiency for every threshold on `score`, from none to all accepted."""
    values, place = np.unique(-score, return_inverse=True)
    signal = np.bincount(place, weights * is_signal, minlength=len(values)).cumsum()
    background = np.bincount(place, weights * ~is_signal, minlength=len(values)).cumsum()
    return (
        np.concatenate([[0.0], background / background[-1]]),
        np.concatenate([[0.0], signal / signal[-1]]),
    )


def _replicas(events: NDArray[np.int64], weights: Array, seed: int, replicas: int) -> Array:
    """Weights of every jet, shape `(1 + replicas, jets)`; the first row is the sample itself."""
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
        _auc_and_rejection(score, is_signal, sampled[start : start + size]) for start in range(0, len(sampled), size)
    ]
    return np.concatenate([block[0] for block in blocks]), np.concatenate([block[1] for block in blocks])


def _auc_and_rejection(score: Array, is_signal: NDArray[np.bool_], sampled: Array) -> tuple[Array, Array]:
    """AUC (ties count half) and inverse background efficiency at 50 % signal efficiency, for every replica."""
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
    threshold = np.argmax(signal_above >= 0.5 * total_signal, axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        passed = np.take_along_axis(background_above, threshold, axis=1)[:, 0] / total_background[:, 0]
        return area, 1 / passed


def _estimate(row: Array) -> Estimate:
    """The sample's figure (first entry) with the standard deviation over the replicas that have one."""
    known = row[1:][np.isfinite(row[1:])]
    enough = np.isfinite(row[0]) and len(known) > max(1, len(row) // 2)
    return Estimate(float(row[0]), float(np.std(known, ddof=1)) if enough else float("nan"))
