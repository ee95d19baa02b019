"""Small seeded jets for tests, made without any simulation. Nothing physical follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from trigger.config import Settings
from trigger.data.jets import Distinct, JetDataset, Origin, PtWindow
from trigger.kinematics import from_pt_eta_phi_mass

# Number of prongs, their spread in the jet, particles of each, spread of particles about a prong.
_SHAPES = {
    "quark": (1, 0.0, 20, 0.06),
    "gluon": (1, 0.0, 40, 0.15),
    "W": (2, 0.16, 12, 0.03),
    "Z": (2, 0.19, 12, 0.03),
    "top": (3, 0.30, 12, 0.04),
    "higgs": (2, 0.26, 16, 0.04),
}
ToyClass = Literal["quark", "gluon", "W", "Z", "top", "higgs"]


class ToyData(Settings):
    """Synthetic jets: physics requirements of a recipe on them are not measured.

    Attributes:
        classes: Which shapes, in the order of the network's outputs.
        jets_per_class: How many of each.
        pt_gev: Window of the jet's pT.
    """

    kind: Literal["toy"]
    classes: Annotated[tuple[ToyClass, ...], Distinct] = ("quark", "gluon", "W", "Z", "top")
    jets_per_class: int = Field(default=500, gt=0)
    pt_gev: PtWindow = (800.0, 1200.0)


def toy_jets(data: ToyData, seed: int) -> Iterator[JetDataset]:
    """The jets, in one block; two consecutive jets share an event number."""
    import awkward as ak

    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(data.classes)), data.jets_per_class)
    shape = np.array([_SHAPES[data.classes[label]] for label in labels])
    jets = len(labels)
    prongs, spread, mean, width = shape[:, 0].astype(int), shape[:, 1], shape[:, 2], shape[:, 3]
    counts = np.maximum(generator.poisson(prongs * mean), 3)
    jet = np.repeat(np.arange(jets), counts)
    prong = generator.integers(0, prongs[jet])
    angle = generator.uniform(0, 2 * np.pi, jets)[jet] + 2 * np.pi * prong / prongs[jet]
    distance = np.where(prongs > 1, spread, 0.0)[jet]
    eta = (
        generator.uniform(-1.5, 1.5, jets)[jet]
        + distance * np.cos(angle)
        + width[jet] * generator.normal(size=len(jet))
    )
    phi = (
        generator.uniform(-np.pi, np.pi, jets)[jet]
        + distance * np.sin(angle)
        + width[jet] * generator.normal(size=len(jet))
    )
    pt = generator.exponential(1.0, len(jet)) + 0.01
    pt *= (generator.uniform(*data.pt_gev, jets) / np.bincount(jet, pt))[jet]
    px, py, pz, energy = from_pt_eta_phi_mass(pt, eta, phi, 0.0)
    columns = {"px": px, "py": py, "pz": pz, "E": energy, "charge": generator.integers(-1, 2, len(jet)).astype(np.int8),
               "pdg_id": np.zeros(len(jet), dtype=np.int32), "vertex": np.zeros(len(jet), dtype=np.int8)}  # fmt: skip
    yield JetDataset(
        ak.unflatten(ak.zip(columns), counts), labels.astype(np.int64), data.classes, np.ones(jets),
        np.arange(jets, dtype=np.int64) // 2, Origin("toy", True, {"settings": data.model_dump(mode="json"), "seed": seed}),
    )  # fmt: skip
