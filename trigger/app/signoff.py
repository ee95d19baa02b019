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
            "data:jets", len(sample), 1, required=False, note=f"{recipe.data.kind}, {len(sample.class_names)} classes"
        ),
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
    wanted = recipe.requirements
    loss = performance["accuracy_loss"]["firmware"]
    quality = performance["performance"]
    auc = quality["firmware"]["macro_auc"]
    agreement = performance["agreement"]["firmware"]["value"]
    accuracies = ", ".join(
        f"{name} {quality[name]['accuracy']['value']:.4f}" for name in ("float", "quantised", "firmware")
    )
    jets = f"{performance['test_jets']:,} held-out jets"
    if synthetic:
        note = "synthetic jets: nothing physical is measured"
        return [
            not_measured(f"physics:{name}", "none set" if limit is None else f"{sign} {limit:g}", required=limit is not None,
                         note=note)
            for name, sign, limit in (("accuracy_loss", "<=", wanted.accuracy_loss), ("macro_auc", ">=", wanted.macro_auc))
        ]  # fmt: skip
    return [
        at_most("physics:accuracy_loss", loss["value"], 1.0 if wanted.accuracy_loss is None else wanted.accuracy_loss,
                required=wanted.accuracy_loss is not None, uncertainty=loss["uncertainty"],
                note=f"accuracy {accuracies}; paired; the same class chosen for {agreement:.1%} of {jets}"),
        at_least("physics:macro_auc", auc["value"], wanted.macro_auc or 0.0, required=wanted.macro_auc is not None,
                 uncertainty=auc["uncertainty"], note=f"firmware; float {quality['float']['macro_auc']['value']:.4f}"),
    ]  # fmt: skip


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
