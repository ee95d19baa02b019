"""How well offline taggers do, over several seeds.

A tagger is trained with several seeds. Trainings that failed are left out by a stated rule (arXiv:1702.00748): mean
and standard deviation are taken without the best and the worst models (five of thirty each, or as large a share of fewer), and
a model more than three of these standard deviations from that mean is dropped (the standard deviation of the middle is small,
so that of thirty models without a fault some three are dropped too). A figure is the mean over the kept models. Its
uncertainty has two parts, added in quadrature: that of the held-out sample (bootstrap over events, the same replicas for all
models), and the standard deviation over the models divided by the root of their number, times Student's factor (of 1.84 for
two models, 1.32 for three): few models show their scatter badly. A tagger of a single model is one that no seed changes, such
as a cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import Estimate, auc_and_rejections, bootstrap, roc_curve
from trigger.errors import InputError

SIGNAL_EFFICIENCIES = (0.3, 0.5)
"""At which the background rejection is quoted."""
FIGURES = ("auc", "rejection_30", "rejection_50")
REPLICAS = 100
TRIMMED_OF_30, OUTLIER_SIGMA = 5, 3.0
CURVE_POINTS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """The jets that taggers are judged by.

    Attributes:
        is_signal: Shape `(jets,)`.
        weights: Shape `(jets,)`.
        events: Event numbers, shape `(jets,)`.

    Raises:
        InputError: There is no signal or no background.
    """

    is_signal: NDArray[np.bool_]
    weights: Floats
    events: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, chosen in (("signal", self.is_signal), ("background", ~self.is_signal)):
            if not self.weights[chosen].sum() > 0:
                raise InputError(f"the held-out sample of {len(self.weights)} jets has no {name}")

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Scored:
    """A tagger's answers to the held-out jets.

    Attributes:
        name: Of the tagger.
        scores: Larger for signal, shape `(models, jets)`, one model a seed.
        threshold: Score above which a jet is called signal, for the accuracy; `None` where the tagger has none.
        parameters: Trained numbers; `None` where nothing was trained.
        trained_per_s: Jets learnt from in a second.
        judged_per_s: Jets judged in a second.

    Raises:
        InputError: A score is NaN or infinite.
    """

    name: str
    scores: Floats
    threshold: float | None = None
    parameters: int | None = None
    trained_per_s: float | None = None
    judged_per_s: float | None = None

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or not np.isfinite(self.scores).all():
            raise InputError(f"{self.name}: scores of shape {self.scores.shape} are no table of finite numbers")


@dataclass(frozen=True)
class Merit:
    """Figures of merit of one tagger.

    Attributes:
        name: Of the tagger.
        auc: Area under the ROC curve.
        rejection_30: Inverse of the background efficiency at 30 % signal efficiency.
        rejection_50: The same at 50 %.
        accuracy: Weighted share of jets on the right side of the threshold, signal and background counted alike.
        spread: Standard deviation over the kept models of each figure, by name; empty for a single model, without a figure
            that is infinite for one of them.
        models: How many were trained.
        dropped: How many of them the rule dropped.
        parameters: Trained numbers.
        trained_per_s: Jets learnt from in a second.
        judged_per_s: Jets judged in a second.
    """

    name: str
    auc: Estimate
    rejection_30: Estimate
    rejection_50: Estimate
    accuracy: Estimate | None
    spread: dict[str, float]
    models: int
    dropped: int
    parameters: int | None
    trained_per_s: float | None
    judged_per_s: float | None

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {name: one.summary() if isinstance(one, Estimate) else one for name, one in vars(self).items()}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Merit:
        """What `summary` gave; figures that were not known are NaN."""
        estimates = {
            name: Estimate(*(float("nan") if one is None else one for one in content[name].values()))
            for name in (*FIGURES, "accuracy")
            if content[name] is not None
        }
        return cls(**{"accuracy": None, **dict(content), **estimates})


def kept_models(figures: Floats) -> NDArray[np.bool_]:
    """Which models are no outliers in a figure; the module says by what rule.

    Args:
        figures: Of each model, shape `(models,)`.
    """
    trimmed = len(figures) * TRIMMED_OF_30 // 30
    middle = np.sort(figures)[trimmed : len(figures) - trimmed]
    if trimmed == 0 or len(middle) < 2:
        return np.ones(len(figures), dtype=bool)
    kept: NDArray[np.bool_] = np.abs(figures - middle.mean()) <= OUTLIER_SIGMA * middle.std(ddof=1)
    return kept


def merit(tagger: Scored, held: HeldOut, seed: int) -> Merit:
    """Judge a tagger.

    Args:
        tagger: Its answers.
        held: The jets.
        seed: Of the bootstrap.
    """
    figures, kept = _replicas(tagger, held, seed)
    good = {name: one[kept] for name, one in figures.items()}
    return Merit(
        name=tagger.name, **{name: mean_over_models(good[name]) for name in FIGURES},
        accuracy=mean_over_models(good["accuracy"]) if "accuracy" in good else None,
        spread={
            name: float(one[:, 0].std(ddof=1))
            for name, one in good.items()
            if kept.sum() > 1 and np.isfinite(one[:, 0]).all()
        },
        models=len(kept), dropped=int((~kept).sum()), parameters=tagger.parameters,
        trained_per_s=tagger.trained_per_s, judged_per_s=tagger.judged_per_s,
    )  # fmt: skip


def gain(of: Scored, over: Scored, held: HeldOut, seed: int, figure: str = "auc") -> Estimate:
    """A figure of one tagger minus that of another on the same jets; the bootstrap is paired.

    Args:
        of: One tagger.
        over: The other.
        held: The jets.
        seed: Of the bootstrap.
        figure: One of `FIGURES`.
    """
    first, second = (_kept_replicas(tagger, held, seed, figure) for tagger in (of, over))
    return mean_difference(first, second)


def median_curve(tagger: Scored, held: HeldOut) -> tuple[Floats, Floats]:
    """Signal efficiency and background rejection of the model whose AUC is the median, for drawing.

    Returns:
        At `CURVE_POINTS` signal efficiencies, shape `(points,)` each; rejection is infinite where nothing passes.
    """
    alone = held.weights[None]
    areas = [auc_and_rejections(one, held.is_signal, alone, (0.5,))[0][0] for one in tagger.scores]
    middle = tagger.scores[np.argsort(areas)[(len(areas) - 1) // 2]]
    background, signal = roc_curve(middle, held.is_signal, held.weights)
    efficiency = np.linspace(0.01, 1.0, CURVE_POINTS)
    reached = np.searchsorted(signal, efficiency - 1e-12).clip(
        max=len(signal) - 1
    )  # the next threshold: ties are not divided
    with np.errstate(divide="ignore"):
        return efficiency, 1 / background[reached]


def _kept_replicas(tagger: Scored, held: HeldOut, seed: int, figure: str) -> Floats:
    figures, kept = _replicas(tagger, held, seed)
    return figures[figure][kept]


def _replicas(tagger: Scored, held: HeldOut, seed: int) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Each figure for every model and replica, `(models, 1 + replicas)`, and which models are kept (by their AUC)."""
    if tagger.scores.shape[1] != len(held):
        raise InputError(f"{tagger.name}: {tagger.scores.shape[1]} scores for {len(held)} held-out jets")
    sampled = bootstrap(held.events, held.weights, seed, REPLICAS)
    rows = [auc_and_rejections(one, held.is_signal, sampled, SIGNAL_EFFICIENCIES) for one in tagger.scores]
    figures = {"auc": np.stack([row[0] for row in rows])}
    for place, name in enumerate(FIGURES[1:]):
        figures[name] = np.stack([row[1][place] for row in rows])
    if tagger.threshold is not None:
        figures["accuracy"] = np.stack([_accuracy(one > tagger.threshold, held, sampled) for one in tagger.scores])
    return figures, kept_models(figures["auc"][:, 0])


def _accuracy(called: NDArray[np.bool_], held: HeldOut, sampled: Floats) -> Floats:
    shares = [
        (sampled[:, chosen] * (called[chosen] == held.is_signal[chosen])).sum(axis=1) / sampled[:, chosen].sum(axis=1)
        for chosen in (held.is_signal, ~held.is_signal)
    ]
    accuracy: Floats = np.mean(shares, axis=0)
    return accuracy


def mean_over_models(rows: Floats) -> Estimate:
    """Mean over models of the sample's figure; rows are models, columns the sample and its replicas."""
    mean = rows.mean(axis=0)
    known = mean[1:][np.isfinite(mean[1:])]
    if not np.isfinite(mean[0]) or len(known) <= len(mean) // 2:
        return Estimate(float(mean[0]), float("nan"))
    return Estimate(float(mean[0]), float(np.hypot(known.std(ddof=1), _scatter(rows[:, 0]))))


def over_models(found: list[Estimate]) -> Estimate:
    """Mean over models of a figure whose uncertainty of the sample is common to all."""
    values = np.array([one.value for one in found])
    sample = float(np.mean([one.uncertainty for one in found]))
    return Estimate(float(values.mean()), float(np.hypot(sample, _scatter(values))))


def mean_difference(first: Floats, second: Floats) -> Estimate:
    """Mean over models of one figure minus that of another; the replicas are the same, the models are others.

    Args:
        first: Of each model and replica, the sample itself first, shape `(models, 1 + replicas)`.
        second: The same; the number of models may be another.
    """
    with np.errstate(invalid="ignore"):  # infinite where nothing passes
        replicas = first.mean(axis=0) - second.mean(axis=0)
    known = replicas[1:][np.isfinite(replicas[1:])]
    if not np.isfinite(replicas[0]) or len(known) <= len(replicas) // 2:
        return Estimate(float(replicas[0]), float("nan"))
    models = sum(_scatter(one[:, 0]) ** 2 for one in (first, second))
    return Estimate(float(replicas[0]), float(np.sqrt(known.var(ddof=1) + models)))


def _scatter(figures: Floats) -> float:
    """Standard deviation of the mean over models, with Student's factor (doi:10.2307/2331554); 0 for one."""
    from scipy.special import ndtr, stdtrit

    number = len(figures)
    if number < 2:
        return 0.0
    return float(figures.std(ddof=1) / np.sqrt(number) * stdtrit(number - 1, ndtr(1.0)))
