"""A parametrised detector: what particles look like after tracker and calorimeters.

Fast and simple on purpose: cylinders, towers, Gaussian resolutions. Numbers follow the CMS card of Delphes
(arXiv:1307.6346, `delphes_card_CMS.tcl` of 2024) and the papers that it names. Not simulated: nuclear interactions,
photon conversions, shower spread over towers, the share of hadrons' energy that the electromagnetic calorimeter sees, the
coarser hadronic towers beyond |eta| 1.74, loss of tracking efficiency in dense jet cores, dead channels.

The jet resolutions of the presets, measured by `tests/benchmarks/bench_detector.py` on quark, gluon, W, Z and top jets of
800 to 1200 GeV without pileup, stand in `Preset.jet_resolution`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trigger.kinematics import azimuth, pseudorapidity, transverse_momentum

PresetName = Literal["perfect", "particle_flow", "level1_particle_flow", "calorimeter"]

PION_MASS_GEV = 0.13957
CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON, TOWER = 211, 130, 22, 11, 13, 0


@dataclass(frozen=True)
class Preset:
    """What a detector can do.

    Attributes:
        acceptance: Largest |eta| of any particle seen.
        smear: Whether anything below happens at all; without it every visible particle is seen as it is.
        tracks: Whether there is a tracker.
        field_tesla: Solenoid field.
        radius_m: Radius of the calorimeter face, at which the azimuth of a charged particle has turned.
        track_acceptance: Largest |eta| of a track.
        track_min_pt_gev: Smallest pT of a track.
        ecal_cell: Cell width of the electromagnetic calorimeter in eta and phi.
        hcal_tower: The same of the hadronic one.
        jet_resolution: Measured: width (half of the central 68 %) over median of the jet pT response.
        jet_response: Measured: median of reconstructed over particle-level jet pT.
    """

    acceptance: float
    smear: bool = True
    tracks: bool = True
    field_tesla: float = 3.8  # CMS, doi:10.1088/1748-0221/3/08/S08004
    radius_m: float = 1.29
    track_acceptance: float = 2.5
    track_min_pt_gev: float = 0.1
    ecal_cell: float = 0.0174
    hcal_tower: float = 0.087
    jet_resolution: float | None = None
    jet_response: float | None = None


PRESETS: dict[PresetName, Preset] = {
    "perfect": Preset(acceptance=5.0, smear=False, jet_resolution=0.0, jet_response=1.0),
    "particle_flow": Preset(acceptance=3.0, jet_resolution=0.039, jet_response=0.986),
    # The stubs of the outer tracker, which Level-1 tracks are made of, are of 2 GeV and more (CMS-TDR-014).
    "level1_particle_flow": Preset(acceptance=3.0, track_min_pt_gev=2.0),
    "calorimeter": Preset(acceptance=3.0, tracks=False, ecal_cell=0.087, jet_resolution=0.055, jet_response=0.960),
}


@dataclass(frozen=True)
class Particles:
    """Particles of many events, flat: every array has one entry a particle, ordered by event.

    Attributes:
        event: Index of the event.
        px: Momentum in GeV.
        py: Momentum in GeV.
        pz: Momentum in GeV.
        energy: Energy in GeV.
        charge: In units of e.
        kind: Absolute PDG code.
        vertex: 0 for the leading vertex, 1 for pileup.
        d0_mm: Transverse impact parameter of charged particles, as they are made; `None` where nobody asked for it.
    """

    event: NDArray[np.int64]
    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    energy: NDArray[np.float64]
    charge: NDArray[np.int8]
    kind: NDArray[np.int32]
    vertex: NDArray[np.int8]
    d0_mm: NDArray[np.float64] | None = None

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays that there are, by name."""
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: column for name, column in columns.items() if column is not None}

    def take(self, selection: NDArray[np.bool_] | NDArray[np.int64]) -> Particles:
        """The particles that `selection` (a mask or indices) picks."""
        return Particles(**{name: column[selection] for name, column in self.columns().items()})


def concatenate(parts: list[Particles]) -> Particles:
    """Several lists of particles in one, ordered by event; what has no impact parameter gets 0 beside what has one."""
    if any(part.d0_mm is not None for part in parts):
        parts = [part if part.d0_mm is not None else replace(part, d0_mm=np.zeros(len(part.event))) for part in parts]
    columns = {name: np.concatenate([part.columns()[name] for part in parts]) for name in parts[0].columns()}
    order = np.argsort(columns["event"], kind="stable")
    return Particles(**{name: column[order] for name, column in columns.items()})


def detect(particles: Particles, preset: Preset, generator: np.random.Generator) -> Particles:
    """What the detector makes of stable particles (neutrinos already left out).

    Tracks are made of charged particles, smeared in pT. All particles that reach the calorimeters deposit their energy
    in cells there, smeared cell by cell. With a tracker, the energy of the tracks that point to a cell is subtracted and
    what is left, if significant, is a photon or a neutral hadron (particle flow as in Delphes). Without one, the cells
    themselves are seen.

    Args:
        particles: Stable visible particles.
        preset: The detector.
        generator: The source of randomness.

    Returns:
        What is seen, ordered by event. A calorimeter cell belongs to the leading vertex if most of its energy does.
    """
    eta = pseudorapidity(particles.px, particles.py, particles.pz)
    inside = np.abs(eta) < preset.acceptance
    particles, eta = particles.take(inside), eta[inside]
    if not preset.smear:
        return particles
    pt = transverse_momentum(particles.px, particles.py)
    phi = azimuth(particles.px, particles.py)

    if preset.tracks:
        found = generator.random(len(pt)) < _tracking_efficiency(particles, pt, np.abs(eta), preset)
        tracks = _smeared_tracks(particles.take(found), pt[found], eta[found], phi[found], generator)
    else:
        found = np.zeros(len(pt), dtype=bool)
        tracks = particles.take(found)

    # Turn of the azimuth from the vertex to the calorimeter face; pT [GeV] = 0.3 B [T] r [m].
    bend = 0.15 * preset.field_tesla * preset.radius_m / np.maximum(pt, 1e-6)
    reaches = ((particles.charge == 0) | (bend < 1)) & (particles.kind != MUON)
    face_phi = np.where(particles.charge == 0, phi, phi - np.sign(particles.charge) * np.arcsin(np.minimum(bend, 1.0)))
    electromagnetic = (particles.kind == PHOTON) | (particles.kind == ELECTRON)
    track_energy = np.zeros(len(pt))
    track_energy[found] = tracks.energy
    seen = [tracks]
    for chosen, cell, is_ecal in (
        (reaches & electromagnetic, preset.ecal_cell, True),
        (reaches & ~electromagnetic, preset.hcal_tower, False),
    ):
        seen.append(_cells(particles.take(chosen), eta[chosen], face_phi[chosen], track_energy[chosen], cell, is_ecal,
                           preset.tracks, generator))  # fmt: skip
    return concatenate(seen)


def _tracking_efficiency(
    particles: Particles, pt: NDArray[np.float64], abs_eta: NDArray[np.float64], preset: Preset
) -> NDArray[np.float64]:
    """Efficiencies of the Delphes CMS card for hadrons, electrons and muons; 0 for neutral particles."""
    barrel, soft, hard = abs_eta <= 1.5, pt <= 1.0, pt > 100.0
    hadron = np.where(barrel, np.where(soft, 0.70, 0.95), np.where(soft, 0.60, 0.85))
    electron = np.where(
        barrel, np.select([soft, hard], [0.73, 0.99], 0.95), np.select([soft, hard], [0.50, 0.90], 0.83)
    )
    muon = np.where(barrel, np.where(soft, 0.75, 0.99), np.where(soft, 0.70, 0.98))
    efficiency = np.select([particles.kind == ELECTRON, particles.kind == MUON], [electron, muon], hadron)
    visible = (particles.charge != 0) & (pt > preset.track_min_pt_gev) & (abs_eta <= preset.track_acceptance)
    return np.where(visible, efficiency, 0.0)


def _smeared_tracks(
    tracks: Particles, pt: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64],
    generator: np.random.Generator,
) -> Particles:  # fmt: skip
    """Tracks with the pT resolution of the Delphes CMS card (arXiv:1405.6569); hadrons get the pion's mass."""
    region = np.digitize(np.abs(eta), [0.5, 1.5])
    constant = np.select(
        [tracks.kind == ELECTRON], [np.array([0.03, 0.05, 0.15])[region]], np.array([0.01, 0.015, 0.025])[region]
    )
    linear = np.select(
        [tracks.kind == ELECTRON, tracks.kind == MUON],
        [np.array([1.3e-3, 1.7e-3, 3.1e-3])[region], np.array([1.0e-4, 1.5e-4, 3.5e-4])[region]],
        np.array([1.5e-4, 2.5e-4, 5.5e-4])[region],
    )
    resolution = np.hypot(constant, linear * pt)
    # Log-normal with mean 1, as Delphes has it: a smeared pT is never negative.
    width = np.sqrt(np.log1p(resolution**2))
    smeared = pt * np.exp(width * generator.standard_normal(len(pt)) - width**2 / 2)
    kind = np.where((tracks.kind == ELECTRON) | (tracks.kind == MUON), tracks.kind, CHARGED_HADRON).astype(np.int32)
    mass = np.select([kind == ELECTRON, kind == MUON], [0.000511, 0.10566], PION_MASS_GEV)
    px, py, pz = smeared * np.cos(phi), smeared * np.sin(phi), smeared * np.sinh(eta)
    energy = np.sqrt((smeared * np.cosh(eta)) ** 2 + mass**2)
    return Particles(tracks.event, px, py, pz, energy, tracks.charge, kind, tracks.vertex, tracks.d0_mm)


def _cells(
    particles: Particles, eta: NDArray[np.float64], phi: NDArray[np.float64], track_energy: NDArray[np.float64],
    width: float, is_ecal: bool, subtract: bool, generator: np.random.Generator,
) -> Particles:  # fmt: skip
    """Energy above the tracks' in each cell of one calorimeter."""
    columns = round(2 * np.pi / width)
    ieta = np.floor(eta / width).astype(np.int64)
    iphi = np.floor(np.mod(phi, 2 * np.pi) / (2 * np.pi / columns)).astype(np.int64) % columns
    rows = 2 * 512
    key = (particles.event * rows + ieta + rows // 2) * columns + iphi
    keys, place = np.unique(key, return_inverse=True)
    deposited: NDArray[np.float64] = np.bincount(place, particles.energy, minlength=len(keys)).astype(np.float64)
    leading = np.bincount(place, particles.energy * (particles.vertex == 0), minlength=len(keys))
    tracked = np.bincount(place, track_energy, minlength=len(keys))
    event, rest = np.divmod(keys, rows * columns)
    cell_eta = (rest // columns - rows // 2 + 0.5) * width
    cell_phi = (rest % columns + 0.5) * (2 * np.pi / columns)

    sigma = _energy_resolution(deposited, np.abs(cell_eta), is_ecal)
    log_width = np.sqrt(np.log1p((sigma / deposited) ** 2))
    measured = deposited * np.exp(log_width * generator.standard_normal(len(keys)) - log_width**2 / 2)
    excess = measured - tracked if subtract else measured
    # Noise thresholds of the Delphes CMS card: energy, and significance of what is left.
    sigma = _energy_resolution(measured, np.abs(cell_eta), is_ecal)
    kept = (excess > (0.5 if is_ecal else 1.0)) & (excess > 2.0 * sigma)
    event, cell_eta, cell_phi, excess = event[kept], cell_eta[kept], cell_phi[kept], excess[kept]
    pt = excess / np.cosh(cell_eta)
    kind = (PHOTON if is_ecal else NEUTRAL_HADRON) if subtract else TOWER
    return Particles(
        event=event,
        px=pt * np.cos(cell_phi),
        py=pt * np.sin(cell_phi),
        pz=pt * np.sinh(cell_eta),
        energy=excess,
        charge=np.zeros(len(event), dtype=np.int8),
        kind=np.full(len(event), kind, dtype=np.int32),
        vertex=np.where(leading[kept] >= 0.5 * deposited[kept], 0, 1).astype(np.int8),
    )


def _energy_resolution(energy: NDArray[np.float64], abs_eta: NDArray[np.float64], is_ecal: bool) -> NDArray[np.float64]:
    """Absolute resolution in GeV: ECAL arXiv:1306.2016 and 1502.02701, HCAL as in the Delphes CMS card."""
    if not is_ecal:
        return np.sqrt((0.050 * energy) ** 2 + 1.50**2 * energy)
    shape = np.where(abs_eta <= 1.5, 1 + 0.64 * abs_eta**2, 2.16 + 5.6 * (abs_eta - 2) ** 2)
    precise = shape * np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    return np.where(abs_eta <= 2.5, precise, np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy))
