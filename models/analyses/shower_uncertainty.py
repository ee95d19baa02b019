"""What a tagger on jet images owes to the parton shower that it was trained on.

A convolutional network is trained on the default simulation and judged by jets of others: another shower, other parameters of
the Lund strings, and the default's own jets with the weights of varied shower scales. Each simulation also trains a network on
its own jets, as many in each, which is compared with the default's on the same held-out jets. Simulations that are not at hand
are named and not measured; they come in as further `showers`, for example of kind `hepmc`.

References:
    Study: arXiv:1609.00607. Weights of varied showers: arXiv:1605.08352. Vincia: arXiv:2003.00702.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import Cell, Result, Seeds, Study, Table, Workplace, beyond, compatible, require_classes
from models.offline.fitting import predict
from models.offline.image_cnn import ImageCnn
from models.offline.merit import (
    REPLICAS,
    HeldOut,
    Merit,
    Scored,
    mean_difference,
    mean_over_models,
    median_curve,
    merit,
)
from models.offline.tagging import Trial, train_tagger, trial_of
from trigger.data.generate import SHOWERS
from trigger.data.jets import Origin, Split, split_by_event
from trigger.data.sources import JetSource, content_of
from trigger.decision.efficiency import Estimate, auc_and_rejections, bootstrap
from trigger.errors import InputError
from trigger.verdict import Requirement, not_measured

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
DEFAULT = "default"
NOT_AT_HAND = ("Herwig", "Sherpa")
"""Showers of the paper that no packaged simulation has; a user gives their events."""
EFFICIENCIES = tuple(float(one) for one in np.linspace(0.1, 0.9, 17))
MIDDLE = EFFICIENCIES.index(0.5)
VALIDATION, TEST = 0.1, 0.4
"""Shares of events: a difference of two simulations takes many held-out jets to be seen."""
ENSEMBLES = 2000
"""Of figures without any difference, that say how wide an envelope chance makes."""


@dataclass(frozen=True)
class Simulation:
    """Jets of one simulation, as the networks see them.

    Attributes:
        name: Of the simulation.
        trial: Which jets are what.
        inputs: Of the network, by name.
        class_names: Names of the classes.
        labels: Class of each jet as an index into them.
        variations: Weights of varied showers, where there are.
    """

    name: str
    trial: Trial
    inputs: dict[str, NDArray[np.float32]]
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    variations: Floats | None

    def held(self, chosen: NDArray[np.bool_], relative: Floats | None = None) -> HeldOut:
        """Jets that judge, perhaps with other weights relative to theirs."""
        weights = self.trial.weights if relative is None else self.trial.weights * relative
        return HeldOut(self.trial.is_signal[chosen], weights[chosen], self.trial.events[chosen])


@dataclass(frozen=True)
class Judgement:
    """The default's network judged by one simulation.

    Attributes:
        name: Of the simulation.
        scored: Its answers.
        held: The jets.
        areas: AUC, shape `(models, 1 + replicas)`.
        rejections: At `EFFICIENCIES`, shape `(efficiencies, models, 1 + replicas)`.
    """

    name: str
    scored: Scored
    held: HeldOut
    areas: Floats
    rejections: Floats


class ShowerUncertainty(Study):
    """A tagger on jet images, trained on one simulation and judged by others.

    Attributes:
        default: The simulation that the network is trained on.
        showers: By name, other simulations of the same classes.
        signal: Which classes are signal.
        network: What is trained.
        own_seeds: How many models each simulation trains on its own jets; none for 0.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("1609.00607", "1605.08352", "2003.00702")
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Pythia's own shower, Vincia and variations of Lund strings and of shower scales; Herwig and Sherpa only where a user "
        "gives their events.",
        "Jets of R = 1.0 without multiple interactions; images are not of trimmed jets, and there is no window of the mass.",
        "The strings' parameters are moved by about half their value, which is no fit to data.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "A small convolutional network in place of the paper's, no zooming, one window of pT.",
    )

    kind: Literal["shower_uncertainty"]
    default: JetSource
    showers: dict[str, JetSource] = Field(min_length=1)
    signal: tuple[str, ...] = Field(min_length=1)
    network: ImageCnn
    own_seeds: Seeds | Literal[0] = 3

    @model_validator(mode="after")
    def _named(self) -> Self:
        taken = next((name for name in self.showers if name == DEFAULT or name in SHOWERS), None)
        if taken is not None:
            raise ValueError(f"showers: {taken!r} is the name of something else")
        require_classes("signal", self.signal, self.default.classes)
        return self

    def content(self, seed: int) -> Any:
        """Digests of all samples."""
        return content_of(self.default, seed), {name: content_of(one, seed) for name, one in self.showers.items()}

    def run(self, place: Workplace) -> Result:
        """Train on the default, judge by all, then train on each."""
        from trigger.plots.shower_uncertainty import ratios, shower_images

        origin, default = self._simulation(DEFAULT, self.default, place)
        others = [self._simulation(name, source, place)[1] for name, source in self.showers.items()]
        for one in others:
            if one.class_names != default.class_names:
                raise InputError(
                    f"showers: {one.name} has the classes {one.class_names}, the default {default.class_names}"
                )
        scored, models = self._train("default's network", default, self.seeds, place)
        found = judgements(scored, models, default, others, place.seed)
        ratio = {one.name: against(one, found[0]) for one in found[1:]}
        own = self._own([default, *others], place) if self.own_seeds else {}
        requirements = [
            *_weights(default, place.seed), *_requirements(ratio, list(self.showers), place.seed),
            *(not_measured(f"shower:{name}", "AUC and rejection", required=False, note="no events of it were given; right "
                           f"would be study.showers.{name}={{kind: hepmc, ...}}")
              for name in NOT_AT_HAND if name not in self.showers),
        ]  # fmt: skip
        simulated = origin.simulated
        figures = [
            place.draw("rejection_ratio", ratios(EFFICIENCIES, ratio, simulated)),
            place.draw("difference_images", shower_images(
                {one.name: _means(one) for one in (default, *others)}, default.class_names, self.network.images, simulated)),
        ]  # fmt: skip
        absent = [name for name in NOT_AT_HAND if name not in self.showers]
        tables = [_table(found, ratio, absent)]
        if own:
            tables.append(_own_table(own))
        taggers = {one.name: merit(one.scored, one.held, place.seed) for one in found}
        curves = {one.name: median_curve(one.scored, one.held) for one in found}
        return Result(
            self.kind, self.PAPERS, self.departures(self.default, *self.showers.values()),
            tuple(requirements), taggers, curves, tuple(tables), tuple(figures),
            {"jets": {one.name: len(one.labels) for one in (default, *others)}}, origin.synthetic, origin.simulated,
        )  # fmt: skip

    def _simulation(self, name: str, source: JetSource, place: Workplace) -> tuple[Origin, Simulation]:
        jets = place.jets(source)
        seen = self.network.seen(jets, place.workers)
        whole = trial_of(jets, self.signal, place.seed)
        whole = replace(whole, splits=split_by_event(jets.events, place.seed, VALIDATION, TEST))
        return jets.origin, Simulation(name, whole, seen, jets.class_names, jets.labels, jets.variations)

    def _train(
        self, name: str, on: Simulation, seeds: int, place: Workplace, trial: Trial | None = None
    ) -> tuple[Scored, list[keras.Model]]:
        shapes = {which: array.shape[1:] for which, array in on.inputs.items()}
        return train_tagger(
            name, lambda: self.network.build(shapes, 2), on.inputs, trial or on.trial, self.fitting, seeds, place.seed,
            place.trainings, place.progress,
        )  # fmt: skip

    def _own(
        self, simulations: list[Simulation], place: Workplace
    ) -> dict[str, tuple[Merit, Estimate | None, Estimate | None]]:
        """Networks trained on each simulation's own jets, as many in each.

        Returns:
            For each how well its own does on its held-out jets, and gain in AUC and in ln of the rejection at 50 % over the
            default's, which has none over itself.
        """
        fewest = {
            (split, signal): int(min(_used(one.trial, split, signal).sum() for one in simulations))
            for split in (Split.TRAIN, Split.VALIDATION)
            for signal in (True, False)
        }
        own: dict[str, Scored] = {}
        models: list[keras.Model] = []
        for one in simulations:
            scored, trained = self._train(
                f"network of {one.name}", one, self.own_seeds, place, _only(one.trial, fewest)
            )
            own[one.name] = scored
            models = models or trained
        found: dict[str, tuple[Merit, Estimate | None, Estimate | None]] = {}
        for place_of, one in enumerate(simulations):
            test = one.trial.splits[Split.TEST]
            held, seed = one.held(test), place.seed + place_of
            figures = merit(own[one.name], held, seed)
            if one.name == DEFAULT:
                found[one.name] = figures, None, None
                continue
            defaults = _judge(DEFAULT, _scores(models, one, test), held, seed)
            owns = _judge(one.name, own[one.name], held, seed)
            more = mean_difference(np.log(owns.rejections[MIDDLE]), np.log(defaults.rejections[MIDDLE]))
            found[one.name] = figures, mean_difference(owns.areas, defaults.areas), more
        return found


def _scores(models: list[keras.Model], of: Simulation, chosen: NDArray[np.bool_]) -> Scored:
    """What networks say of some jets of a simulation."""
    inputs = {name: array[chosen] for name, array in of.inputs.items()}
    outputs = [predict(model, inputs) for model in models]
    return Scored(of.name, np.stack([one[:, 1] - one[:, 0] for one in outputs]), threshold=0.0)


def _judge(name: str, scored: Scored, held: HeldOut, seed: int) -> Judgement:
    """Figures of every model and replica."""
    sampled = bootstrap(held.events, held.weights, seed, REPLICAS)
    figures = [auc_and_rejections(one, held.is_signal, sampled, EFFICIENCIES) for one in scored.scores]
    return Judgement(name, scored, held, np.stack([area for area, _ in figures]),
                     np.stack([rejections for _, rejections in figures], axis=1))  # fmt: skip


def judgements(
    scored: Scored, models: list[keras.Model], default: Simulation, others: list[Simulation], seed: int
) -> list[Judgement]:
    """The default's network on held-out jets of the default, on these with varied weights, and on all jets of the others.

    The replicas of varied weights are those of the default; other simulations have replicas of their own.
    """
    test = default.trial.splits[Split.TEST]
    found = [_judge(DEFAULT, scored, default.held(test), seed)]
    if default.variations is not None:
        found += [
            _judge(name, scored, default.held(test, default.variations[:, place]), seed)
            for place, name in enumerate(SHOWERS)
        ]
    for place, one in enumerate(others, 1):
        everything = np.ones(len(one.labels), dtype=bool)
        found.append(_judge(one.name, _scores(models, one, everything), one.held(everything), seed + place))
    return found


def _used(trial: Trial, split: Split, signal: bool) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = trial.splits[split] & (trial.is_signal == signal)
    return chosen


def _only(trial: Trial, fewest: dict[tuple[Split, bool], int]) -> Trial:
    """The trial with so many jets of signal, and of background, in the splits that are named, the first ones."""
    splits = dict(trial.splits)
    for split in {split for split, _ in fewest}:
        kept = np.zeros(len(trial.is_signal), dtype=bool)
        for signal in (True, False):
            kept[np.flatnonzero(_used(trial, split, signal))[: fewest[split, signal]]] = True
        splits[split] = kept
    return replace(trial, splits=splits)


def against(one: Judgement, default: Judgement) -> tuple[Estimate, list[Estimate]]:
    """AUC on a simulation minus that on the default, and ln of the rejections' ratio at each of `EFFICIENCIES`.

    The models are the same, so that what they have in common does not count.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(one.rejections) - np.log(default.rejections)
    logarithms[~np.isfinite(logarithms)] = np.nan  # where nothing passes
    return mean_over_models(one.areas - default.areas), [mean_over_models(row) for row in logarithms]


def envelope(ratios: dict[str, Estimate], seed: int) -> tuple[Estimate, float, str]:
    """How far the largest of some figures is from the smallest, the default's 0 among them.

    Args:
        ratios: Of each simulation against the default.
        seed: Of the figures without a difference.

    Returns:
        The width; the width that chance would make of figures that do not differ; names of both ends.
    """
    known = {name: one for name, one in ratios.items() if np.isfinite([one.value, one.uncertainty]).all()}
    ends = {DEFAULT: Estimate(0.0, 0.0), **known}
    values = np.array([one.value for one in ends.values()])
    uncertainties = np.array([one.uncertainty for one in ends.values()])
    low, high = int(values.argmin()), int(values.argmax())
    names = list(ends)
    chance = np.random.default_rng(seed).normal(size=(ENSEMBLES, len(values))) * uncertainties
    width = Estimate(float(values[high] - values[low]), float(np.hypot(uncertainties[low], uncertainties[high])))
    return width, float(np.ptp(chance, axis=1).mean()), f"{names[low]} to {names[high]}"


def mean_weights(variations: Floats, events: NDArray[np.int64], seed: int) -> list[Estimate]:
    """Mean of each column of weights over jets, with the uncertainty of a bootstrap over events."""
    sampled = bootstrap(events, np.ones(len(events)), seed, REPLICAS)
    means = sampled @ variations / sampled.sum(axis=1, keepdims=True)
    return [Estimate(float(column[0]), float(column[1:].std(ddof=1))) for column in means.T]


def _weights(default: Simulation, seed: int) -> list[Requirement]:
    if default.variations is None:
        limit = "1 within 4 standard deviations"
        return [not_measured(f"weights:{name}", limit, required=False, note="the default has no weights of varied showers")
                for name in SHOWERS]  # fmt: skip
    means = mean_weights(default.variations, default.trial.events, seed)
    return [compatible(f"weights:{name}", one, 1.0, 4, "mean over the selected jets")
            for name, one in zip(SHOWERS, means, strict=True)]  # fmt: skip


def _requirements(
    ratio: dict[str, tuple[Estimate, list[Estimate]]], showers: list[str], seed: int
) -> list[Requirement]:
    width, chance, names = envelope({name: rows[MIDDLE] for name, (_, rows) in ratio.items()}, seed)
    beyond_chance = Estimate(width.value - chance, width.uncertainty)
    note = f"ln of the largest over the smallest rejection at 50 % ({names}), less the {chance:.3f} that chance makes"
    found = [beyond("envelope", beyond_chance, 3, note, required=False)]  # an uncertainty need not be large
    for name in showers:
        area = ratio[name][0]
        note = f"|AUC - default's|; {'more' if area.value > 0 else 'less'} than the default's"
        found.append(beyond(f"auc:{name}", Estimate(abs(area.value), area.uncertainty), 3, note, required=False))
    return found


def _means(of: Simulation) -> Floats:
    """Mean image of each class, weighted, shape `(classes, rows, columns)`."""
    image = of.inputs["image"][..., 0]
    return np.stack([
        np.average(image[of.labels == label], axis=0, weights=of.trial.weights[of.labels == label])
        for label in range(len(of.class_names))
    ])  # fmt: skip


def _table(found: list[Judgement], ratio: dict[str, tuple[Estimate, list[Estimate]]], absent: list[str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        area, rejection = mean_over_models(one.areas), mean_over_models(one.rejections[MIDDLE])
        more = ratio.get(one.name)
        rows.append((one.name, area, more[0] if more else None, rejection, more[1][MIDDLE] if more else None))
    rows += [(f"{name} (NOT MEASURED)", None, None, None, None) for name in absent]
    columns = ("judged by", "AUC", "AUC - default's", "rejection at 50 %", "ln of it over default's")
    return Table("trained on the default", columns, tuple(rows))


def _own_table(own: dict[str, tuple[Merit, Estimate | None, Estimate | None]]) -> Table:
    rows = [(name, merit.auc, gain, merit.rejection_50, more) for name, (merit, gain, more) in own.items()]
    columns = ("trained on and judged by", "AUC", "AUC - that of default's network", "rejection at 50 %",
               "ln of it over that of default's network")  # fmt: skip
    return Table("trained on itself, as many jets in each", columns, tuple(rows))
