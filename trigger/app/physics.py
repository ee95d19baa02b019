"""What float, quantised and firmware scores are worth on the held-out rows of a run, and the figures of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.recipe import EVENTS
from trigger.app import chain as steps
from trigger.app import sample as sample_of
from trigger.data.jets import FeatureDataset, Split
from trigger.files import read_json
from trigger.fixed_point import Codes
from trigger.inputs.images import JetGridInputs, JetImageInputs

if TYPE_CHECKING:
    from firmware.project import FirmwareProject
    from trigger.app.chain import Chain, View
    from trigger.decision.anomaly import CutComparison

Array = NDArray[np.float64]
FRACTIONS = (1e-1, 1e-2, 2.5e-3)
"""Shares of the background at which efficiencies of detectors are given, besides the recipe's."""


@dataclass(frozen=True)
class Measured:
    """The figures of merit of a run, and what they were made from.

    Attributes:
        chain: The run.
        sample: The whole sample as the network sees it.
        test: Its held-out rows.
        outputs: Outputs of the float and the quantised network and of the firmware, as values, shape `(rows, outputs)`.
        summary: As `performance.json` holds them.
        codes: Output codes of the firmware.
        cuts: An anomaly detector against cuts, where the data has whole events.
    """

    chain: Chain
    sample: FeatureDataset
    test: FeatureDataset
    outputs: dict[str, Array]
    summary: dict[str, Any]
    codes: Codes
    cuts: CutComparison | None = field(default=None)


def measured(chain: Chain, sample: FeatureDataset, project: FirmwareProject, codes: Codes) -> Measured:
    """Everything that is measured of a run.

    Args:
        chain: The run.
        sample: What its network sees.
        project: Its firmware.
        codes: What the firmware answered to the held-out rows, shape `(rows, outputs)`.
    """
    test = sample.take(steps.splits(chain.recipe, sample)[Split.TEST])
    outputs = {
        **_outputs(chain, chain.main, test),
        "firmware": project.manifest.outputs.fixed_point.values(codes),
    }
    common = {"task": chain.recipe.network.task, "test_rows": len(test), "mass_peaks": _mass_peaks(sample)}
    if chain.recipe.network.task == "anomaly":
        figures, cuts = _detector(chain, sample, test, outputs, codes)
        return Measured(chain, sample, test, outputs, {**common, **figures}, codes, cuts)
    return Measured(chain, sample, test, outputs, {**common, **_tagger(chain, test, outputs)}, codes)


def draw(found: Measured, folder: Path) -> None:
    """Every figure of a run."""
    from trigger.plots import anomaly, images, tagging
    from trigger.plots.style import save

    chain, test = found.chain, found.test
    simulated = found.sample.origin.simulated
    names = [f"{view.prefix}{form}" for view in chain.views for form in view.forms]
    histories = {name: read_json(chain.model_folder / name / "history.json") for name in names}
    save(tagging.history(histories, simulated), folder / "history")
    if "mass_gev" in found.sample.names:
        save(tagging.mass_by_class(found.sample, simulated), folder / "groomed_mass")
    if isinstance(chain.recipe.inputs, JetImageInputs | JetGridInputs):
        save(images.average_images(found.sample, chain.recipe.inputs, simulated), folder / "average_images")
        first = found.sample.class_names[0]
        save(
            images.difference_images(found.sample, chain.recipe.inputs, first, simulated), folder / "image_differences"
        )
    about = (test.labels, test.weights, test.class_names)
    if chain.recipe.network.task == "anomaly":
        background = chain.recipe.training.classes or ()
        scores = {name: one[:, 0] for name, one in found.outputs.items()}
        save(anomaly.roc(scores, *about, background, simulated), folder / "roc")
        save(anomaly.score_distributions(scores["firmware"], *about, background, simulated), folder / "scores")
        if found.cuts is not None and any(one is not None for one in found.cuts.signals.values()):
            save(anomaly.efficiencies(found.cuts, simulated), folder / "cuts")
    else:
        logits = {name: one[:, : len(test.class_names)] for name, one in found.outputs.items()}
        save(tagging.roc(logits, *about, simulated), folder / "roc")
        save(tagging.scores(logits["firmware"], *about, simulated), folder / "scores")


def _outputs(chain: Chain, view: View, test: FeatureDataset) -> dict[str, Array]:
    """Outputs of the float and the quantised network, those that were trained."""
    from models.training import logits

    found = {}
    for which in sorted(view.forms):  # the float one is what the others are compared with
        trained = steps.load_trained(chain, f"{view.prefix}{which}")
        found[which] = logits(trained.network, steps.network_inputs(trained.contract, test, which == "quantised"))
    return found


def _tagger(chain: Chain, test: FeatureDataset, outputs: Mapping[str, Array]) -> dict[str, Any]:
    from trigger.decision.efficiency import compare
    from trigger.decision.response import correction_summary

    classes, seed = len(test.class_names), chain.recipe.seed
    baseline = None
    for view in chain.views[1:]:
        seen = steps.features(chain, view)
        baseline = _outputs(chain, view, seen.take(steps.splits(chain.recipe, seen)[Split.TEST]))
    logits = {name: one[:, :classes] for name, one in outputs.items()}
    found = compare(
        logits, test.labels, test.class_names, test.weights, test.events, seed, baseline=baseline
    ).summary()  # fmt: skip
    if test.target is not None and outputs["float"].shape[1] > classes:
        predicted = {name: one[:, classes] for name, one in outputs.items()}
        bins = correction_summary(test.target, predicted, test.weights, test.events, seed)
        found["correction"] = [one.summary() for one in bins]
    return found


def _detector(
    chain: Chain, sample: FeatureDataset, test: FeatureDataset, outputs: Mapping[str, Array], codes: Codes
) -> tuple[dict[str, Any], CutComparison | None]:
    from trigger.decision.anomaly import compare_scores, gain_over_cuts
    from trigger.inputs.objects import single_cuts

    recipe = chain.recipe
    background = recipe.training.classes or ()
    held_out = steps.splits(recipe, sample)[Split.TEST]
    events = None
    if isinstance(recipe.data, EVENTS):
        events = sample_of.events(recipe, chain.samples, chain.workers, chain.report)
    # Crossings that share their hardest collision are one piece of evidence.
    source = test.events if events is None or events.source is None else events.source[held_out]
    about = (test.labels, test.class_names, background, test.weights, source, recipe.seed)
    scores: dict[str, NDArray[Any]] = {name: one[:, 0] for name, one in outputs.items()} | {"firmware": codes[:, 0]}
    fractions = tuple(sorted({*FRACTIONS, recipe.requirements.fraction}, reverse=True))
    found = {"detection": compare_scores(scores, *about, fractions=fractions).summary()}
    if recipe.inverse is not None:
        (view,) = (one for one in chain.views if one.prefix == "inverse_")
        inverse = _outputs(chain, view, test)["float"][:, 0]
        turned = compare_scores(
            {"float": inverse}, test.labels, test.class_names, recipe.inverse, test.weights, source, recipe.seed,
            fractions=FRACTIONS[:1],
        )  # fmt: skip
        found["inverse"] = turned.summary()
    if events is None:
        return found, None
    absent = events.origin.details.get("absent", [])
    cuts = {name: one[held_out] for name, one in single_cuts(events).items() if name.removesuffix("_gev") not in absent}
    compared = gain_over_cuts(codes[:, 0], cuts, *about, fraction=recipe.requirements.fraction)
    return found | {"cuts": compared.summary()}, compared


def _mass_peaks(sample: FeatureDataset) -> dict[str, dict[str, float | None]]:
    from trigger.inputs.observables import mass_peak

    if "mass_gev" not in sample.names:
        return {}
    peaks = {
        name: mass_peak(sample.column("mass_gev")[sample.labels == label])
        for label, name in enumerate(sample.class_names)
        if name in ("W", "Z", "top", "higgs")
    }
    return {
        name: {what: float(value) if np.isfinite(value) else None for what, value in vars(peak).items()}
        for name, peak in peaks.items()
    }
