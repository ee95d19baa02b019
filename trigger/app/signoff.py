"""What is required of a run, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.recipe import Recipe
from trigger.data.jets import FeatureDataset
from trigger.verdict import Requirement, at_least, at_most, not_measured

if TYPE_CHECKING:
    from firmware.emulation import EmulationResult


def requirements(
    recipe: Recipe, sample: FeatureDataset, emulation: EmulationResult, mutation: Mapping[str, Any] | None,
    performance: Mapping[str, Any], clipped: Mapping[str, float], firmware: tuple[Requirement, ...],
) -> tuple[Requirement, ...]:  # fmt: skip
    """Every requirement of a run, decided or shown.

    Args:
        recipe: Says what is required.
        sample: The jets.
        emulation: The comparison of bits.
        mutation: What became of faults put into copies; `None` where none were.
        performance: Figures of merit, as `performance.json` has them.
        clipped: For each input the share of values outside its format.
        firmware: What the test bench and the target's budget say.
    """
    return (
        at_least(
            "data:rows", len(sample), 1, required=False, note=f"{recipe.data.kind}, {len(sample.class_names)} classes"
        ),
        *_outside(sample),
        _clipping(clipped),
        *emulation.requirements(),
        _mutation(recipe, mutation),
        *firmware,
        *_physics(recipe, performance, sample.origin.synthetic),
        *_mass_peaks(performance, sample.origin.synthetic),
    )


def _mutation(recipe: Recipe, mutation: Mapping[str, Any] | None) -> Requirement:
    from firmware.mutation import mutation_requirement

    if mutation is not None:
        return mutation_requirement(mutation["outcomes"])
    wanted = recipe.requirements.mutants > 0
    note = "the bits differ without any fault" if wanted else "no mutants are asked for"
    return not_measured("mutation", ">= 1", required=wanted, note=note)


def _outside(sample: FeatureDataset) -> list[Requirement]:
    """Transverse energy that images leave out."""
    counted = sample.origin.details.get("images")
    if counted is None:
        return []
    share = counted["et_outside_gev"] / counted["et_gev"]
    note = f"share of the transverse energy outside the images; {counted['saturated_pixels']:,} pixels saturate, "
    note += f"{counted['empty_images']:,} images are empty"
    return [at_most("inputs:outside", share, 0.05, required=False, note=note)]


def _clipping(clipped: Mapping[str, float]) -> Requirement:
    worst = max(clipped, key=lambda name: clipped[name])
    return at_most(
        "inputs:clipped",
        clipped[worst],
        0.001,
        required=False,
        note=f"largest share of values out of range, of {worst!r}",
    )


def _physics(recipe: Recipe, performance: Mapping[str, Any], synthetic: bool) -> list[Requirement]:
    found = _detector(recipe, performance) if performance["task"] == "anomaly" else _tagger(recipe, performance)
    if not synthetic:
        return found
    note = "a synthetic sample: nothing physical is measured"
    return [not_measured(one.name, one.limit, required=one.required, note=note) for one in found]


def _tagger(recipe: Recipe, performance: Mapping[str, Any]) -> list[Requirement]:
    wanted = recipe.requirements
    loss = performance["accuracy_loss"]["firmware"]
    quality = performance["performance"]
    auc = quality["firmware"]["macro_auc"]
    agreement = performance["agreement"]["firmware"]["value"]
    accuracies = ", ".join(
        f"{name} {quality[name]['accuracy']['value']:.4f}" for name in ("float", "quantised", "firmware")
    )
    rows = f"{performance['test_rows']:,} held-out jets"
    found = [
        at_most("physics:accuracy_loss", loss["value"], 1.0 if wanted.accuracy_loss is None else wanted.accuracy_loss,
                required=wanted.accuracy_loss is not None, uncertainty=loss["uncertainty"],
                note=f"accuracy {accuracies}; paired; the same class chosen for {agreement:.1%} of {rows}"),
        at_least("physics:macro_auc", auc["value"], wanted.macro_auc or 0.0, required=wanted.macro_auc is not None,
                 uncertainty=auc["uncertainty"], note=f"firmware; float {quality['float']['macro_auc']['value']:.4f}"),
    ]  # fmt: skip
    for name, gain in performance["auc_gain"].items():
        other = performance["baseline"][name]["macro_auc"]["value"]
        note = f"macro AUC {name} {quality[name]['macro_auc']['value']:.4f}, baseline {other:.4f}; paired"
        found.append(
            at_least(f"physics:over_baseline_{name}", gain["value"], 0.0, required=False, uncertainty=gain["uncertainty"],
                     note=note)
        )  # fmt: skip
    if "correction" in performance:
        whole = performance["correction"][0]
        before, after = whole["before"], whole["after"]["firmware"]
        gain = whole["resolution_gain"]["firmware"]
        note = (
            f"resolution {before['resolution']['value']:.3f} before, {after['resolution']['value']:.3f} after; bias "
            f"{before['bias']['value']:+.3f} and {after['bias']['value']:+.3f}; {whole['jets']:,} jets, paired"
        )
        found.append(
            at_least(
                "physics:correction", gain["value"], 0.0, required=False, uncertainty=gain["uncertainty"], note=note
            )
        )
    return found


SIGNIFICANT = 3.0
"""Standard deviations that a gain must be away from 0 to count."""


def _detector(recipe: Recipe, performance: Mapping[str, Any]) -> list[Requirement]:
    wanted, detection = recipe.requirements, performance["detection"]
    quality = detection["performance"]
    loss = detection["mean_auc_loss"]["firmware"]
    means = ", ".join(f"{name} {quality[name]['mean_auc']['value']:.4f}" for name in ("float", "quantised", "firmware"))
    rows = (
        f"{detection['background_events']:,.0f} effective background events, {performance['test_rows']:,} rows held out"
    )
    found = [
        at_most("physics:auc_loss", loss["value"], 1.0 if wanted.auc_loss is None else wanted.auc_loss,
                required=wanted.auc_loss is not None, uncertainty=loss["uncertainty"],
                note=f"mean AUC over the signals {means}; paired; {rows}"),
    ]  # fmt: skip
    for signal, auc in quality["firmware"]["auc"].items():
        limit = wanted.signal_auc.get(signal)
        points = [
            f"{point['efficiency'][signal]['value']:.3f} at {point['reached']:.2g}"
            for point in quality["firmware"]["points"]
            if (point["efficiency"].get(signal) or {}).get("value") is not None
        ]
        note = f"firmware; float {quality['float']['auc'][signal]['value']:.4f}"
        note += f"; efficiency {', '.join(points)} of the background" if points else ""
        found.append(
            at_least(f"physics:auc_{signal}", auc["value"], limit or 0.5, required=limit is not None,
                     uncertainty=auc["uncertainty"], note=note)
        )  # fmt: skip
    if "inverse" in performance:
        inverse = performance["inverse"]["performance"]["float"]
        areas = ", ".join(f"{name} {one['value']:.4f}" for name, one in inverse["auc"].items())
        found.append(
            at_least("physics:inverse_auc", inverse["mean_auc"]["value"], 0.5, required=False,
                     uncertainty=inverse["mean_auc"]["uncertainty"],
                     note=f"float, trained on {', '.join(recipe.inverse or ())}: {areas}")
        )  # fmt: skip
    if "cuts" in performance:
        found.append(_gained(recipe, performance["cuts"]))
    return found


def _gained(recipe: Recipe, cuts: Mapping[str, Any]) -> Requirement:
    """For how many signals the score finds significantly more than the best single cut."""
    wanted = recipe.requirements.gained
    known = {signal: one for signal, one in cuts["signals"].items() if one and one["gain_over_best_cut"]}
    if not known:
        note = "; ".join(cuts["notes"]) or "no signal can be judged"
        return not_measured("physics:gained", f">= {wanted or 0}", required=wanted is not None, note=note)

    def told(gain: Mapping[str, Any] | None) -> str:
        return (
            "unknown"
            if gain is None or gain["value"] is None
            else f"{gain['value']:+.3f} +- {gain['uncertainty'] or 0:.3f}"
        )

    gained = [
        signal for signal, one in known.items()
        if one["gain_over_best_cut"]["value"] > 0 and (one["gain_over_best_cut"]["significance"] or 0) >= SIGNIFICANT
    ]  # fmt: skip
    each = "; ".join(
        f"{signal} {told(one['gain_over_best_cut'])} over {'/'.join(dict.fromkeys(one['chosen']))}, "
        f"{told(one['gain_beside_menu'])} beside the menu"
        for signal, one in known.items()
    )
    note = f"signals with {SIGNIFICANT:g} sigma over the best single cut, at {cuts['fraction']:.2g} of the background: {each}"
    return at_least("physics:gained", len(gained), wanted or 0, required=wanted is not None, note=note)


_MASSES_GEV = {"W": 80.4, "Z": 91.2, "top": 172.5, "higgs": 125.0}


def _mass_peaks(performance: Mapping[str, Any], synthetic: bool) -> list[Requirement]:
    """Distance of each class's groomed-mass peak from the particle's mass; shown, not required: detectors shift it."""
    if synthetic:
        return []
    return [
        at_most(
            f"physics:mass_peak_{name}", None if peak["position_gev"] is None else abs(peak["position_gev"] - _MASSES_GEV[name]),
            6.0 if name == "top" else 3.0, required=False, uncertainty=peak["uncertainty_gev"],
            note=f"GeV from {_MASSES_GEV[name]} GeV; {peak['below']:.1%} of jets below {peak['threshold_gev']:g} GeV",
        )
        for name, peak in performance["mass_peaks"].items()
    ]  # fmt: skip
