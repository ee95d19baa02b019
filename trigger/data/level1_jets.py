"""Jets as a particle-flow trigger at the HL-LHC sees them: light, gluon, b and hadronic tau.

Anti-kt jets of R = 0.4 of particle-flow candidates, pT 30 to 500 GeV. A jet is `b` if a b hadron of more than 5 GeV lies
within its radius; jets with a c hadron and without a b hadron are left out. `light` (u, d, s) and `gluon` are the nearest
outgoing parton of the hard 2 -> 2 scattering, within half the radius. `tau` is a jet within half the radius of what is
visible of a generated hadronic tau decay; leptonic decays are left out. b jets come from b pairs of the hard scattering
alone: gluon splitting and flavour excitation make no jet of this sample. Taus come from a broad Z' that nothing else is
taken from; its width and mass are chosen so that their visible pT fills the window.

The detector is `level1_particle_flow`: particle flow with tracks of 2 GeV and more. There is no pileup unless it is asked
for, and then nothing takes it away again (no PUPPI). The transverse impact parameter of a track is that of its particle
with respect to the collision, smeared with `sqrt(a^2 + (b / pT)^2)`:

| `d0_resolution_um` | a, b / GeV | b against light | source |
| --- | --- | --- | --- |
| outer tracker | 70, 850 | 0.84 | our estimate, below |
| with pixels | 20, 90 | 0.95 | 90 um at 1 GeV and 25 um at 10 GeV for tracks in jets: CMS, arXiv:1405.6569, abstract |
| no impact parameter | | 0.72 | |

The first is the default, for the pixels take no part in the Level-1 trigger of CMS. It is what a least-squares parabola through
six layers at 25 to 108 cm with strips of 100 um gives, with 3 % of a radiation length in each of nine layers from the pixels
on and 1 % in the beam pipe. The areas under the curve are of a boosted tree on the integers of `trigger/inputs/particles.py`,
known to about 0.02. Tails, wrong hits and the size of the luminous region are left out.

What a second head may learn (`target`) is the pT of the nearest particle-level jet, of all visible stable particles, over
that of the jet; jets without one within half the radius are left out.

References:
    The Phase-2 Level-1 trigger of CMS: CERN-LHCC-2020-004. Its tracker: CERN-LHCC-2017-009. Jet flavour by hadrons:
    arXiv:1712.07158, section 2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, field_validator

from trigger.data.detector import Particles, PresetName
from trigger.data.generate import Process, Record, SimulatedJets, hard_partons
from trigger.data.jets import Distinct, PtWindow
from trigger.data.particle_codes import NEUTRINOS
from trigger.inputs.clustering import Clustered, cluster
from trigger.kinematics import delta_phi, pseudorapidity, transverse_momentum

Level1JetClass = Literal["light", "gluon", "b", "tau"]
HADRON_MIN_PT_GEV = 5.0
PARTICLE_JET_MIN_PT_GEV = 10.0
TAU, TAU_NEUTRINO = 15, 16


def _resolution(d0_resolution_um: tuple[float, float]) -> tuple[float, float]:
    if min(d0_resolution_um) < 0 or max(d0_resolution_um) == 0:
        raise ValueError(f"a resolution of the impact parameter is positive, found {list(d0_resolution_um)}")
    return d0_resolution_um


class Level1JetData(SimulatedJets):
    """Level-1 jets of particle-flow candidates, simulated with Pythia 8 and a parametrised detector.

    Attributes:
        d0_resolution_um: Resolution of the transverse impact parameter of a track, `[a, b]` in micrometres and micrometres
            times GeV.
    """

    kind: Literal["level1_jets"]
    classes: Annotated[tuple[Level1JetClass, ...], Distinct] = ("light", "gluon", "b", "tau")
    pt_gev: PtWindow = (30.0, 500.0)
    max_abs_eta: float = Field(default=2.4, gt=0, le=2.5)
    energy_tev: float = Field(default=14.0, gt=0, le=100)
    radius: float = Field(default=0.4, gt=0, le=1.0)
    detector: PresetName = "level1_particle_flow"
    d0_resolution_um: Annotated[tuple[float, float], AfterValidator(_resolution)] = (70.0, 850.0)

    @field_validator("pt_gev")
    @classmethod
    def _perturbative(cls, pt_gev: tuple[float, float]) -> tuple[float, float]:
        if pt_gev[0] < 20:
            raise ValueError(f"a pT window begins at 20 GeV or above, found {list(pt_gev)}: softer jets are not of the "
                             "hard scattering")  # fmt: skip
        return pt_gev

    @property
    def processes(self) -> dict[str, Process]:
        """QCD, b pairs, tau pairs."""
        return PROCESSES

    def match(
        self, process: str, record: Record, event: NDArray[np.int64], eta: NDArray[np.float64], phi: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Labels by hadrons, the partons of the hard process, and generated taus."""
        name = np.full(len(event), "", dtype="<U5")
        jets = (event, eta, phi)
        if process == "tau":
            name[nearest_objects(*hadronic_taus(record), *jets)[0] < self.radius / 2] = "tau"
        else:
            with_b, with_c = (
                nearest_objects(*heavy_hadrons(record, digit), *jets)[0] < self.radius for digit in (5, 4)
            )
            parton = hard_partons(record)
            distance = np.hypot(eta[:, None] - parton.eta[event], delta_phi(phi[:, None], parton.phi[event]))
            distance[parton.code[event] == 0] = np.inf
            closest = distance.argmin(axis=1)
            row = np.arange(len(event))
            flavour = np.where(distance[row, closest] < self.radius / 2, np.abs(parton.code[event][row, closest]), 0)
            name[np.isin(flavour, (1, 2, 3))] = "light"
            name[flavour == 21] = "gluon"
            name[with_c] = ""
            name[with_b] = "b"
        label = np.full(len(event), -1, dtype=np.int64)
        for index, wanted in enumerate(self.classes):
            if wanted in self.processes[process].classes:
                label[name == wanted] = index
        return label

    def tracked(self, seen: Particles, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        """Smeared impact parameters of tracks and their significances."""
        is_track = seen.charge != 0
        constant, over_pt = self.d0_resolution_um
        resolution_mm = 1e-3 * np.hypot(constant, over_pt / transverse_momentum(seen.px, seen.py))
        true = np.zeros(len(is_track)) if seen.d0_mm is None else seen.d0_mm
        d0 = np.where(is_track, true + resolution_mm * generator.standard_normal(len(is_track)), 0.0)
        return {"d0_mm": d0, "d0_significance": d0 / resolution_mm}

    def target(self, particles: Particles, jets: Clustered, events: int) -> NDArray[np.float64]:
        """The pT of the nearest particle-level jet over that of the jet, NaN where none is near."""
        made = particle_jets(particles, self.radius, events)
        axes = [direction(found.momentum) for found in (made, jets)]
        distance, nearest = nearest_objects(made.event, *axes[0], jets.event, *axes[1])
        near = distance < self.radius / 2
        true, measured = (transverse_momentum(found.momentum["px"], found.momentum["py"]) for found in (made, jets))
        target = np.full(len(measured), np.nan)
        target[near] = true[nearest[near]] / measured[near]
        return target


# The parton starts below the window's lower edge and ends above its upper one; the spectrum falls with about the fifth
# power of pT; light jets are the rarer the softer they are, and a bias a little weaker fills the window for both.
_BIASED = (
    "PhaseSpace:pTHatMin = 0.8 * low",
    "PhaseSpace:pTHatMax = 1.25 * high",
    "PhaseSpace:bias2Selection = on",
    "PhaseSpace:bias2SelectionPow = 4.5",
    "PhaseSpace:bias2SelectionRef = 1.0 * low",
)
PROCESSES: dict[str, Process] = {
    "qcd": Process(("light", "gluon"), ("HardQCD:all = on", *_BIASED)),
    "bottom": Process(("b",), ("HardQCD:gg2bbbar = on", "HardQCD:qqbar2bbbar = on", *_BIASED)),
    "tau": Process(
        ("tau",),
        (
            # A Z' above the window and as broad: below its pole the cross-section rises as steeply as quarks become rare.
            "NewGaugeBoson:ffbar2gmZZprime = on",
            "Zprime:gmZmode = 3",
            "32:onMode = off",
            "32:onIfAny = 15",
            "32:doForceWidth = on",
            "32:m0 = 1.8 * high",
            "32:mWidth = 1.0 * high",
            "32:mMin = 2.2 * low",
            "32:mMax = 3.2 * high",
        ),
    ),
}
"""The collisions that Level-1 jets come from."""

_Directions = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def particle_jets(particles: Particles, radius: float, events: int) -> Clustered:
    """Jets of 10 GeV and more of all visible stable particles, of any pseudorapidity."""
    import awkward as ak

    columns = {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy}
    counts = np.bincount(particles.event, minlength=events)
    return cluster(ak.unflatten(ak.zip(columns), counts), radius, PARTICLE_JET_MIN_PT_GEV)


def heavy_hadrons(record: Record, digit: int) -> _Directions:
    """Event, pseudorapidity and azimuth of every hadron of more than 5 GeV with a quark of that number (4 c, 5 b)."""
    code = np.abs(record.code)
    chosen = ((code // 100 % 10 == digit) | (code // 1000 % 10 == digit)) & (code > 100)
    chosen &= transverse_momentum(record.momentum["px"], record.momentum["py"]) > HADRON_MIN_PT_GEV
    places = np.flatnonzero(chosen)
    return record.event_of(places), *direction({name: column[places] for name, column in record.momentum.items()})


def hadronic_taus(record: Record) -> _Directions:
    """Event, pseudorapidity and azimuth of what is visible of every tau that decays to hadrons."""
    code = np.abs(record.code)
    neutrinos = np.flatnonzero(np.isin(code, NEUTRINOS))
    event = record.event_of(neutrinos)
    tau = record.offsets[event] + record.mother[neutrinos]
    from_tau = code[tau] == TAU
    is_own = code[neutrinos] == TAU_NEUTRINO
    hadronic = from_tau & is_own & ~np.isin(tau, tau[from_tau & ~is_own])
    visible = {name: column[tau[hadronic]] - column[neutrinos[hadronic]] for name, column in record.momentum.items()}
    return event[hadronic], *direction(visible)


def direction(momentum: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pseudorapidity and azimuth of `px`, `py`, `pz`."""
    px, py, pz = (momentum[name] for name in ("px", "py", "pz"))
    return pseudorapidity(px, py, pz), np.arctan2(py, px)


def nearest_objects(
    event: NDArray[np.int64], eta: NDArray[np.float64], phi: NDArray[np.float64],
    jet_event: NDArray[np.int64], jet_eta: NDArray[np.float64], jet_phi: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:  # fmt: skip
    """For each jet the distance in eta and phi to the nearest object of its event, infinite without any, and its index.

    Objects are ordered by event.
    """
    if len(event) == 0:
        return np.full(len(jet_event), np.inf), np.zeros(len(jet_event), dtype=np.int64)
    first, last = (np.searchsorted(event, jet_event, side=side) for side in ("left", "right"))
    place = first[:, None] + np.arange((last - first).max(initial=1))
    is_one = place < last[:, None]
    place = np.minimum(place, len(event) - 1)
    distance = np.hypot(jet_eta[:, None] - eta[place], delta_phi(jet_phi[:, None], phi[place]))
    distance[~is_one] = np.inf
    best = distance.argmin(axis=1)
    row = np.arange(len(jet_event))
    return distance[row, best], place[row, best]
