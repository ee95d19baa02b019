"""Jets for the offline analyses: as `pythia` data, with showers, multiple interactions and heavy flavour as settings.

Beside the matched classes there are two of whole collisions: `qcd` is every jet in the window of a QCD collision, and `wz`
every jet in the window of a W' to W Z, whatever it came from. Samples that are labelled so know nothing that data would not.

With `ghosts_of_heavy_hadrons` each b or c hadron, as it came out of a string, is clustered with what the detector saw, its
momentum scaled to next to nothing; so a jet, and each of its subjets, can be told to hold it. Strip them off before anything
else is computed: `without_ghosts`.

References:
    Ghosts: arXiv:0707.1378, arXiv:0802.1188. Vincia: arXiv:2003.00702. Variations of showers: arXiv:1605.08352.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.data.detector import Particles
from trigger.data.generate import PROCESSES, SHOWER_LINES, Process, PythiaData, Record
from trigger.data.jets import Distinct, JetDataset, PtWindow, Vertex
from trigger.data.level1_jets import direction, nearest_objects, particle_jets
from trigger.inputs.clustering import Clustered
from trigger.kinematics import invariant_mass, transverse_momentum

JetCount = Annotated[int, Field(gt=0)]
OfflineClass = Literal["quark", "gluon", "W", "Z", "top", "higgs", "qcd", "wz"]
WHOLE = {"qcd": ("quark", "gluon"), "wz": ("W", "Z")}
"""Classes of whole collisions, and the matched classes of the same collisions."""
GHOST_SCALE = 1e-18
"""What the momentum of a ghost is multiplied with: far below the rounding of any sum."""
GHOST_KINDS = (4, 5)
"""What ghosts have for a PDG code: the heaviest quark of the hadron."""
OFFLINE_PROCESSES: dict[str, Process] = {
    name: replace(process, classes=(*process.classes, name)) if name in WHOLE else process
    for name, process in PROCESSES.items()
}
_FIRST_HADRON, _LAST_HADRON = 81, 89
"""Pythia's status codes of hadrons straight from strings."""


class OfflineJets(PythiaData):
    """Large jets of matched partons or of whole collisions, simulated with Pythia 8 and a parametrised detector.

    Attributes:
        shower: Pythia's own parton shower, or Vincia.
        multiple_interactions: Whether the protons' other partons scatter too.
        vary_showers: Whether each jet has weights of the variations `trigger.data.generate.SHOWERS` (Pythia's own shower).
        ghosts_of_heavy_hadrons: Whether jets hold ghosts of their b and c hadrons.
        jets_per_class: How many of each, or by the name of the class.
        learn: What a network may learn beside the class: the pT or the mass of the jet of all visible particles of the
            leading collision that is nearest, over what was measured; jets without one are left out.
    """

    kind: Literal["offline_jets"]  # type: ignore[assignment]
    classes: Annotated[tuple[OfflineClass, ...], Distinct] = ("qcd", "top")  # type: ignore[assignment]
    pt_gev: PtWindow = (550.0, 650.0)
    shower: Literal["pythia", "vincia"] = "pythia"
    multiple_interactions: bool = True
    vary_showers: bool = False
    ghosts_of_heavy_hadrons: bool = False
    learn: Literal["pt", "mass"] | None = None
    jets_per_class: JetCount | dict[OfflineClass, JetCount] = 10_000  # type: ignore[assignment]

    @model_validator(mode="after")
    def _exclusive(self) -> Self:
        for whole, parts in WHOLE.items():
            both = [name for name in parts if name in self.classes]
            if whole in self.classes and both:
                raise ValueError(
                    f"classes: {whole!r} holds all jets of its collisions, so it does not go with {both[0]!r}"
                )
        if isinstance(self.jets_per_class, dict) and set(self.jets_per_class) != set(self.classes):
            raise ValueError(
                f"jets_per_class: a number for each of {list(self.classes)} would be right, found {list(self.jets_per_class)}"
            )
        if self.vary_showers and self.shower != "pythia":
            raise ValueError(
                "vary_showers: the weights are those of Pythia's own shower; right would be shower: pythia"
            )
        return self

    @property
    def wanted(self) -> NDArray[np.int64]:
        """How many jets of each class, in their order."""
        if isinstance(self.jets_per_class, dict):
            return np.array([self.jets_per_class[name] for name in self.classes])
        return super().wanted

    @property
    def processes(self) -> dict[str, Process]:
        """QCD, W' to W Z, top pairs, ZH."""
        return OFFLINE_PROCESSES

    @property
    def lines(self) -> tuple[str, ...]:
        """Settings of the shower and of multiple interactions, then those of `pythia`."""
        shower = ("PartonShowers:model = 2",) if self.shower == "vincia" else ()
        alone = () if self.multiple_interactions else ("PartonLevel:MPI = off",)
        return (*shower, *alone, *(SHOWER_LINES if self.vary_showers else ()), *self.pythia)

    def match(
        self, process: str, record: Record, event: NDArray[np.int64], eta: NDArray[np.float64], phi: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Labels by the partons of the hard process, or by the process alone."""
        for name in WHOLE:
            if name == process and name in self.classes:
                return np.full(len(event), self.classes.index(name), dtype=np.int64)
        return super().match(process, record, event, eta, phi)

    def ghosts(self, record: Record) -> Particles | None:
        """Ghosts of the b and c hadrons that came out of strings; those of decays are left to their mothers."""
        if not self.ghosts_of_heavy_hadrons:
            return None
        status, code = np.abs(record.status), np.abs(record.code)
        heaviest = np.maximum(code // 100 % 10, code // 1000 % 10)
        chosen = (status >= _FIRST_HADRON) & (status <= _LAST_HADRON) & np.isin(heaviest, GHOST_KINDS)
        places = np.flatnonzero(chosen)
        px, py, pz, energy = (GHOST_SCALE * record.momentum[name][places] for name in ("px", "py", "pz", "e"))
        return Particles(
            record.event_of(places), px, py, pz, energy, np.zeros(len(places), dtype=np.int8),
            heaviest[places].astype(np.int32), np.full(len(places), Vertex.LEADING, dtype=np.int8),
        )  # fmt: skip

    def target(self, particles: Particles, jets: Clustered, events: int) -> NDArray[np.float64] | None:
        """The true pT or mass over the measured one; NaN where no true jet is within half the radius, or a mass is 0."""
        if self.learn is None:
            return None
        true = particle_jets(particles, self.radius, events)
        distance, found = nearest_objects(true.event, *direction(true.momentum), jets.event, *direction(jets.momentum))
        quantity = _transverse if self.learn == "pt" else _mass
        above, below = quantity(true), quantity(jets)
        target = np.full(len(below), np.nan)
        good = (distance < self.radius / 2) & (below > 0)
        target[good] = above[found[good]] / below[good]
        return np.where(target > 0, target, np.nan)


def without_ghosts(jets: JetDataset) -> JetDataset:
    """The jets without the ghosts of heavy hadrons; those that held nothing else are left out."""
    import awkward as ak

    real = ~_is_ghost(jets.constituents.pdg_id)
    bare = jets.constituents[real]
    filled = ak.to_numpy(ak.num(bare) > 0)
    return replace(jets.take(filled), constituents=bare[filled])


def _is_ghost(codes: Any) -> Any:
    return (codes == GHOST_KINDS[0]) | (codes == GHOST_KINDS[1])


def _transverse(jets: Clustered) -> NDArray[np.float64]:
    pt: NDArray[np.float64] = transverse_momentum(jets.momentum["px"], jets.momentum["py"])
    return pt


def _mass(jets: Clustered) -> NDArray[np.float64]:
    p = jets.momentum
    mass: NDArray[np.float64] = invariant_mass(p["px"], p["py"], p["pz"], p["E"])
    return mass
