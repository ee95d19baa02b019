"""Energy and mass of jets by regression, and two checks of a classifier: its calibration, and whether it was overtrained.

A network of observables learns the factor that takes the measured pT, or mass, to the true one, of the jet of all visible
particles of the leading collision. Boosted trees learn the same from the same. Response, bias and resolution are those of
`trigger.decision.response`.

The classifier tells the two classes of the sample apart. It is calibrated where of the jets that are given a probability so
many are signal; the expected calibration error is the mean distance between the two, over bins. It was overtrained where its
scores of jets that it learnt from differ from those of held-out jets, by the Kolmogorov-Smirnov distance of each class; the
distance that is expected by chance alone comes from random splits of the same jets, events kept whole.

References:
    Regression of the energy of b jets: CMS, arXiv:1912.06046. Calibration error: arXiv:1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import Cell, Result, Study, Table, Workplace, beyond, compatible, judged, require_classes
from models.offline.fitting import Rows, predict
from models.offline.merit import over_models
from models.offline.observables import dense_network, standardised
from models.offline.tagging import Trial, boosted_regression, train_tagger, trained, trial_of
from trigger.data.jets import JetDataset, Split, split_by_event
from trigger.data.sources import JetSource, content_of
from trigger.decision.efficiency import Estimate
from trigger.decision.response import Response, ResponseBin, correction_summary
from trigger.errors import InputError
from trigger.inputs.features import JET_FEATURES, jet_features
from trigger.verdict import Requirement, at_least, at_most

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
KINEMATICS = ("pt_gev", "mass_gev", "eta")
TREES, NETWORK = "trees", "network"
CALIBRATION_BINS = 10
SPLITS = 200
"""Random splits that say how far two samples of one classifier are apart by chance."""


@dataclass(frozen=True)
class Calibration:
    """A classifier's probabilities against what they stand for, in bins of equal numbers of jets.

    Attributes:
        predicted: Mean probability of signal that a bin's jets are given.
        found: Weighted share of them that is signal, with its standard deviation.
        uncertainty: Of `found`.
        error: Expected calibration error.
    """

    predicted: Floats
    found: Floats
    uncertainty: Floats
    error: float


class Regression(Study):
    """Jet energy and mass by regression; calibration and overtraining of a classifier.

    Attributes:
        energy: Jets with the true over the measured pT as a target.
        mass: Jets with the true over the measured mass as a target.
        signal: Classes of `energy` that the classifier calls signal.
        features: Observables that everything learns from, beside pT, eta and ungroomed mass.
        hidden: Width of each hidden layer.
        bins: Number of bins of the true pT, or mass, with equal numbers of jets.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("1912.06046", "1706.04599")
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Large jets of our own simulation and a parametrised detector in place of CMS's b jets.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "The network is small and learns from observables; its loss is the absolute difference, whose best answer is the "
        "median; no quantiles are learnt for a resolution of each jet.",
        "What is learnt leans towards what is frequent in the sample: rare true masses keep a bias, which is shown by bins.",
    )

    kind: Literal["regression"]
    energy: JetSource
    mass: JetSource
    signal: tuple[str, ...] = Field(min_length=1)
    features: tuple[str, ...] = tuple(JET_FEATURES)
    hidden: tuple[int, ...] = (64, 64)
    bins: int = Field(default=5, gt=0)

    @model_validator(mode="after")
    def _known(self) -> Self:
        require_classes("signal", self.signal, self.energy.classes)
        return self

    def content(self, seed: int) -> Any:
        """Digests of both samples."""
        return content_of(self.energy, seed), content_of(self.mass, seed)

    def run(self, place: Workplace) -> Result:
        """Correct the energy, then the mass, then look at the classifier."""
        from trigger.plots.studies import calibration_curve, responses

        requirements, tables, figures = [], [], []
        for what, source in (("pT", self.energy), ("mass", self.mass)):
            found, simulated = self._corrected(what, source, place)
            requirements += _requirements(what, found)
            tables.append(_table(what, found))
            figures.append(place.draw(f"response_{what}", responses(found, what, simulated)))
        jets = place.jets(self.energy)
        trial = trial_of(jets, self.signal, place.seed)
        inputs = {"observables": standardised(self._observables(jets, place.workers), trial.splits[Split.TRAIN])}
        tagger, models = train_tagger(
            "classifier", self._network(2), inputs, trial, self.fitting, self.seeds, place.seed, place.trainings,
            place.progress,
        )  # fmt: skip
        held = trial.held
        found_calibration = calibration(_sigmoid(tagger.scores[0]), held.is_signal, held.weights)
        figures.append(place.draw("calibration", calibration_curve(found_calibration, jets.origin.simulated)))
        logits = predict(models[0], inputs)
        distances = overtraining(logits[:, 1] - logits[:, 0], trial, place.seed)
        tables.append(Table(
            "overtraining of the classifier", ("class", "distance of learnt from held-out jets", "share of random splits beyond"),
            tuple((name, distance, share) for name, (distance, share) in distances.items()),
        ))  # fmt: skip
        requirements += [
            at_most("calibration:error", found_calibration.error, 0.03, note="expected calibration error of the classifier"),
            *(at_least(f"overtraining:{name}", share, 0.01, note=f"Kolmogorov-Smirnov distance {distance:.4f}")
              for name, (distance, share) in distances.items()),
        ]  # fmt: skip
        taggers, curves = judged([tagger], held, place.seed)
        return Result(
            self.kind, self.PAPERS, self.departures(self.energy, self.mass),
            tuple(requirements), taggers, curves, tuple(tables), tuple(figures),
            {"jets": len(jets)}, jets.origin.synthetic, jets.origin.simulated,
        )  # fmt: skip

    def _network(self, outputs: int) -> Callable[[], keras.Model]:
        return lambda: dense_network(len(self.features) + len(KINEMATICS), self.hidden, outputs)

    def _observables(self, jets: JetDataset, workers: int) -> Floats:
        kinematics = jets.kinematics()
        more = [
            np.log(np.maximum(kinematics[name], 1e-3)) if name.endswith("gev") else kinematics[name]
            for name in KINEMATICS
        ]
        return np.column_stack([jet_features(jets, self.features, workers).values, *more])

    def _corrected(self, what: str, source: JetSource, place: Workplace) -> tuple[tuple[ResponseBin, ...], bool]:
        """Response of the pT or mass as measured, corrected by trees, and by the networks of all seeds; all jets, then bins.

        Also whether the jets are known to be simulated.
        """
        jets = place.jets(source)
        if jets.target is None:
            raise InputError(f"{what}: the jets have no target; right would be 'learn' in data of kind offline_jets")
        splits = split_by_event(jets.events, place.seed)
        learn, test = splits[Split.TRAIN], splits[Split.TEST]
        table = self._observables(jets, place.workers)
        answers = np.log(jets.target)  # of ratios too small and too large alike
        seen = standardised(table, learn)
        middle, width = float(np.median(answers[learn])), float(answers[learn].std())
        told = ((answers - middle) / max(width, 1e-9))[:, None].astype(np.float32)
        learnt, validated = (
            Rows({"observables": seen[chosen]}, told[chosen], jets.weights[chosen])
            for chosen in (learn, splits[Split.VALIDATION])
        )
        networks = trained(
            f"regression of {what}", self._network(1), learnt, validated, self.fitting, _absolute, self.seeds, place.seed,
            place.trainings, place.progress,
        ).models  # fmt: skip
        trees = boosted_regression(table[learn], answers[learn], jets.weights[learn], table[test], place.seed)
        predicted = {TREES: np.exp(trees)} | {
            _network_name(number): np.exp(middle + width * predict(model, {"observables": seen[test]})[:, 0])
            for number, model in enumerate(networks)
        }
        measured = jets.kinematics()["pt_gev" if what == "pT" else "mass_gev"][test]
        truth = jets.target[test] * measured
        edges = np.unique(np.quantile(truth, np.linspace(0, 1, self.bins + 1)))
        edges[-1] *= 1 + 1e-9
        found = correction_summary(
            jets.target[test], predicted, jets.weights[test], jets.events[test], place.seed, measured, tuple(edges)
        )
        return tuple(_one_network(one, self.seeds) for one in found), jets.origin.simulated


def calibration(probability: Floats, is_signal: NDArray[np.bool_], weights: Floats) -> Calibration:
    """How far probabilities are from the shares of signal that they stand for.

    Args:
        probability: Of signal, of each held-out jet.
        is_signal: Which jets are signal.
        weights: Weight of each jet.
    """
    edges = np.quantile(probability, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    place = np.searchsorted(edges, probability, side="right")
    filled = np.bincount(place, weights, minlength=CALIBRATION_BINS)
    there = filled > 0
    predicted = np.bincount(place, weights * probability, minlength=CALIBRATION_BINS)[there] / filled[there]
    found = np.bincount(place, weights * is_signal, minlength=CALIBRATION_BINS)[there] / filled[there]
    effective = filled[there] ** 2 / np.bincount(place, weights**2, minlength=CALIBRATION_BINS)[there]
    uncertainty = np.sqrt(np.maximum(found * (1 - found), 1 / effective) / effective)
    return Calibration(
        predicted, found, uncertainty, float(np.average(np.abs(predicted - found), weights=filled[there]))
    )


def overtraining(scores: Floats, trial: Trial, seed: int) -> dict[str, tuple[float, float]]:
    """How far the scores of jets that were learnt from are from those of held-out ones, for signal and background.

    Args:
        scores: Of all jets, shape `(jets,)`.
        trial: Which jets are what.
        seed: Of the random splits.

    Returns:
        For each the weighted Kolmogorov-Smirnov distance, and the share of random splits that have one at least as large.
    """
    generator = np.random.default_rng(seed)
    used = trial.splits[Split.TRAIN] | trial.splits[Split.TEST]
    found = {}
    for name, chosen in (("signal", trial.is_signal & used), ("background", ~trial.is_signal & used)):
        numbers, event = np.unique(trial.events[chosen], return_inverse=True)
        learnt = np.zeros(len(numbers), dtype=bool)
        learnt[event] = trial.splits[Split.TRAIN][chosen]
        order = np.argsort(scores[chosen], kind="stable")
        weights, event = trial.weights[chosen][order], event[order]
        distance = _distance(learnt[event], weights)
        random = [_distance(generator.permutation(learnt)[event], weights) for _ in range(SPLITS)]
        found[name] = distance, (1 + sum(one >= distance for one in random)) / (1 + SPLITS)
    return found


def _distance(first: NDArray[np.bool_], weights: Floats) -> float:
    """Kolmogorov-Smirnov distance of two parts of a sorted sample; where scores are equal it is too large for both alike."""
    above, below = np.cumsum(weights * first), np.cumsum(weights * ~first)
    return float(np.abs(above / above[-1] - below / below[-1]).max())


def _sigmoid(logit: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logit, -500, 500)))


def _absolute(answers: Any, outputs: Any) -> Any:
    import keras

    return keras.ops.mean(keras.ops.abs(answers - outputs), axis=-1)


def _network_name(number: int) -> str:
    return f"{NETWORK} of seed {number}"


def _one_network(found: ResponseBin, seeds: int) -> ResponseBin:
    """The bin with the mean over the networks of all seeds in place of each of them."""
    if found.before is None:
        return found
    names = [_network_name(number) for number in range(seeds)]
    mean = Response(
        *(over_models([getattr(found.after[name], figure) for name in names]) for figure in ("bias", "resolution"))
    )
    return replace(
        found, after={TREES: found.after[TREES], NETWORK: mean},
        gain={TREES: found.gain[TREES], NETWORK: over_models([found.gain[name] for name in names])},
    )  # fmt: skip


def binned_gain(found: tuple[ResponseBin, ...], name: str) -> Estimate:
    """By how much a correction makes the resolution better at equal truth: mean over the bins, by their numbers of jets.

    The resolution of all jets together also falls where a bias that depends on the truth goes away, and grows where one comes.

    Args:
        found: All jets, then the bins; those with too few jets are left out.
        name: Of the correction.
    """
    bins = [one for one in found[1:] if one.before is not None]
    shares = np.array([one.jets for one in bins]) / sum(one.jets for one in bins)
    gains = [one.gain[name] for one in bins]
    return Estimate(
        float(shares @ [one.value for one in gains]),
        float(np.sqrt(shares**2 @ np.square([one.uncertainty for one in gains]))),
    )


def _requirements(what: str, found: tuple[ResponseBin, ...]) -> list[Requirement]:
    """The pT is to be measured better at equal truth; of the mass this is shown, and required without regard to the truth."""
    whole = found[0]
    if whole.before is None or all(one.before is None for one in found[1:]):
        raise InputError(
            f"{what}: {whole.jets} held-out jets are too few for a response; a larger sample would be right"
        )
    at_equal_truth, network = binned_gain(found, NETWORK), whole.after[NETWORK]
    largest = max(
        (one.after[NETWORK].bias for one in found[1:] if one.before is not None), key=lambda bias: abs(bias.value)
    )
    return [
        beyond(f"{what}:resolution", whole.gain[NETWORK], 3, f"of {whole.before.resolution.value:.4f}, all jets together; "
               f"trees gain {whole.gain[TREES].value:.4f}"),
        beyond(f"{what}:resolution at equal truth", at_equal_truth, 3, "mean over the bins of the true one; trees gain "
               f"{binned_gain(found, TREES).value:.4f}", required=what == "pT"),
        compatible(f"{what}:bias", network.bias, 0.0, 4, f"was {whole.before.bias.value:+.4f}; in the bins of the true one "
                   f"{largest.value:+.4f} at most"),
    ]  # fmt: skip


def _table(what: str, found: tuple[ResponseBin, ...]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        name = "all" if one.pt_gev is None else f"{one.pt_gev[0]:.0f} to {one.pt_gev[1]:.0f} GeV"
        cells: list[Cell] = [name, one.jets]
        for response in (one.before, one.after.get(TREES), one.after.get(NETWORK)):
            cells += [None, None] if response is None else [response.bias, response.resolution]
        rows.append(tuple(cells))
    pairs = [f"{figure}, {which}" for which in ("measured", TREES, NETWORK) for figure in ("bias", "resolution")]
    columns = (f"true {what}", "jets", *pairs)
    return Table(f"regression of {what}", columns, tuple(rows))
