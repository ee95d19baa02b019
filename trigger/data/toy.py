"""Small seeded jets and events for tests, made without any simulation. Nothing physical follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from trigger.config import Settings
from trigger.data.events import MET, OBJECTS, REGION_BITS, REGIONS, SUMS, EventDataset, leading
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
        learn: Whether jets have a target: a factor that rises with the number of their particles.
    """

    kind: Literal["toy"]
    classes: Annotated[tuple[ToyClass, ...], Distinct] = ("quark", "gluon", "W", "Z", "top")
    jets_per_class: int = Field(default=500, gt=0)
    pt_gev: PtWindow = (800.0, 1200.0)
    learn: bool = False


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
    target = np.exp(0.005 * counts + generator.normal(0, 0.02, jets)) if data.learn else None
    yield JetDataset(
        ak.unflatten(ak.zip(columns), counts), labels.astype(np.int64), data.classes, np.ones(jets),
        np.arange(jets, dtype=np.int64) // 2, Origin("toy", True, {"settings": data.model_dump(mode="json"), "seed": seed}),
        target,
    )  # fmt: skip


class ToyEventData(Settings):
    """Synthetic events: physics requirements of a recipe on them are not measured.

    Attributes:
        crossings: Number of background events.
        events_per_signal: Number of events with two hard muons (`toy_muons`), and with six hard jets (`toy_jets`).
    """

    kind: Literal["toy_events"]
    crossings: int = Field(default=2000, gt=0)
    events_per_signal: int = Field(default=400, gt=0)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, the background first."""
        return tuple(_TOY_EVENTS)


# Of each class: how many objects of a kind an event has on average, and their mean pT in counts.
_TOY_EVENTS: dict[str, dict[str, tuple[float, float]]] = {
    "background": {"egammas": (2.0, 12.0), "muons": (0.2, 8.0), "jets": (6.0, 40.0)},
    "toy_muons": {"egammas": (2.0, 12.0), "muons": (2.5, 60.0), "jets": (6.0, 40.0)},
    "toy_jets": {"egammas": (2.0, 12.0), "muons": (0.2, 8.0), "jets": (12.0, 160.0)},
}


def toy_events(data: ToyEventData, seed: int) -> Iterator[EventDataset]:
    """The events, in one block, each with a number of its own; regions hold the jets and a little noise."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), [data.crossings, data.events_per_signal, data.events_per_signal])
    n = len(labels)
    columns: dict[str, Any] = {}
    for name, (scale, count) in OBJECTS.items():
        mean, mean_pt = np.array([objects[name] for objects in _TOY_EVENTS.values()])[labels].T
        event = np.repeat(np.arange(n), generator.poisson(mean))
        pt = np.minimum(1 + generator.exponential(mean_pt[event]), 2**scale.pt_bits - 1).astype(np.int64)
        eta = scale.eta_codes(generator.uniform(-2.3, 2.3, len(event)))
        columns[name] = leading(event, pt, eta, generator.integers(0, scale.phi_steps, len(event)), n, count)
    jet_pt, jet_eta, jet_phi = np.moveaxis(columns["jets"], -1, 0)
    scale = OBJECTS["jets"][0]
    regions = generator.poisson(4, (n, *REGIONS))
    row = jet_phi * REGIONS[0] // scale.phi_steps
    column = np.floor((jet_eta * scale.eta_step / 3.0 + 1) / 2 * REGIONS[1]).astype(np.int64)
    np.add.at(regions, (np.arange(n)[:, None], row, column), jet_pt)
    phi = jet_phi * scale.phi_step
    x, y = -(jet_pt * np.cos(phi)).sum(axis=1), -(jet_pt * np.sin(phi)).sum(axis=1)
    met = np.minimum(np.hypot(x, y), 2**MET.pt_bits - 1).astype(np.int64)
    sums = np.stack([regions.sum(axis=(1, 2)), jet_pt.sum(axis=1)], axis=1)
    yield EventDataset(
        met=np.stack([met, MET.phi_codes(np.arctan2(y, x))], axis=1), **columns,
        sums=np.minimum(sums, 2**SUMS.pt_bits - 1), labels=labels, class_names=tuple(_TOY_EVENTS), weights=np.ones(n),
        events=np.arange(n), origin=Origin("toy_events", True, {"settings": data.model_dump(mode="json"), "seed": seed}),
        regions=np.minimum(regions, 2**REGION_BITS - 1), collisions=np.zeros(n, dtype=np.int64),
    )  # fmt: skip
