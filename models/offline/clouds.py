"""Jets as clouds of particles: the leading constituents of each jet and what the offline networks are shown of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.data.detector import ELECTRON, MUON, PHOTON
from trigger.data.jets import MOMENTUM, JetDataset
from trigger.errors import InputError
from trigger.inputs.deposits import refuse_jets
from trigger.kinematics import azimuth, delta_phi, pseudorapidity, transverse_momentum

Floats = NDArray[np.float64]
Padded = NDArray[np.float32]

PARTICLE_FEATURES = ("delta_eta", "delta_phi", "log_pt", "log_energy", "log_pt_share", "log_energy_share", "delta_r")
"""What ParticleNet is shown of each particle: table 2 of arXiv:1902.08570, in its order, energies in GeV."""
IDENTITY_FEATURES = ("charge", "electron", "muon", "charged_hadron", "neutral_hadron", "photon")
"""What a particle was taken for: the rest of the same table, in its order."""

_ON_THE_LINE = 1e-9
"""Distance from a line within which a constituent is on neither side: nearer, rounding would decide."""


@dataclass(frozen=True)
class Cloud:
    """The leading constituents of many jets, flat: ordered by jet, then by falling pT.

    Constituents along the beam have no direction in the detector and are left out.

    Attributes:
        momentum: `px, py, pz, E` in GeV, shape `(constituents, 4)`.
        charge: In units of e, shape `(constituents,)`.
        pdg_id: Absolute PDG code of what each was taken for, 0 where that is unknown, shape `(constituents,)`.
        jet: Index of the jet, shape `(constituents,)`.
        slot: Place in the jet from 0, below `particles`, shape `(constituents,)`.
        axis: `px, py, pz, E` of the jets in GeV, the sum over all constituents, shape `(jets, 4)`.
        scalar_pt_gev: Sum of the pT of all constituents of each jet, shape `(jets,)`.
        particles: Number of slots.
    """

    momentum: Floats
    charge: Floats
    pdg_id: NDArray[np.int64]
    jet: NDArray[np.int64]
    slot: NDArray[np.int64]
    axis: Floats
    scalar_pt_gev: Floats
    particles: int

    @property
    def pt_gev(self) -> Floats:
        """Transverse momentum of each constituent, shape `(constituents,)`."""
        found: Floats = transverse_momentum(self.momentum[:, 0], self.momentum[:, 1])
        return found

    @property
    def eta(self) -> Floats:
        """Pseudorapidity of each constituent, shape `(constituents,)`."""
        found: Floats = pseudorapidity(*self.momentum[:, :3].T)
        return found

    @property
    def phi(self) -> Floats:
        """Azimuth of each constituent in radians, shape `(constituents,)`."""
        found: Floats = azimuth(self.momentum[:, 0], self.momentum[:, 1])
        return found

    @property
    def share(self) -> Floats:
        """Of its jet's scalar sum of pT the share that each constituent has, shape `(constituents,)`."""
        found: Floats = self.pt_gev / self.scalar_pt_gev[self.jet]
        return found

    def offsets(self) -> tuple[Floats, Floats]:
        """Pseudorapidity and azimuth of each constituent from its jet's, shape `(constituents,)` each."""
        return self._from(pseudorapidity(*self.axis[:, :3].T))

    def rapidity_offsets(self) -> tuple[Floats, Floats]:
        """As `offsets`, but from the jet's rapidity, which moves with its constituents when all are boosted along the beam."""
        return self._from(np.arctanh(self.axis[:, 2] / self.axis[:, 3]))

    def features(self) -> Floats:
        """The columns `PARTICLE_FEATURES`, shape `(constituents, 7)`; shares are of the jet's own pT and energy."""
        delta_eta, delta_phi_ = self.offsets()
        log_pt, log_energy = np.log(self.pt_gev), np.log(self.momentum[:, 3])
        jet_pt = transverse_momentum(self.axis[:, 0], self.axis[:, 1])
        columns = (
            delta_eta, delta_phi_, log_pt, log_energy, log_pt - np.log(jet_pt)[self.jet],
            log_energy - np.log(self.axis[:, 3])[self.jet], np.hypot(delta_eta, delta_phi_),
        )  # fmt: skip
        return np.stack(columns, axis=1)

    def identity(self) -> Floats:
        """The columns `IDENTITY_FEATURES`, shape `(constituents, 6)`.

        Raises:
            InputError: Nothing is known of any constituent.
        """
        if not self.pdg_id.any():
            raise InputError(
                "the network is to see what each constituent was taken for, and the sample does not say it of any: all "
                "pdg_id are 0; right would be 'identity: false'"
            )
        hadron = (self.pdg_id != 0) & ~np.isin(self.pdg_id, (PHOTON, ELECTRON, MUON))
        charged = self.charge != 0
        columns = (
            self.charge, self.pdg_id == ELECTRON, self.pdg_id == MUON, hadron & charged, hadron & ~charged,
            self.pdg_id == PHOTON,
        )  # fmt: skip
        return np.stack(columns, axis=1).astype(np.float64)

    def padded(self, columns: NDArray[Any]) -> Padded:
        """Values of the constituents in their slots, 0 in the empty ones.

        Args:
            columns: Shape `(constituents, fields)`.

        Returns:
            Shape `(jets, particles, fields)`.

        Raises:
            InputError: A number is NaN or infinite in single precision.
        """
        filled = np.zeros((len(self.axis), self.particles, columns.shape[1]), dtype=np.float32)
        filled[self.jet, self.slot] = columns
        if not np.isfinite(filled).all():
            jet = int(np.argmin(np.isfinite(filled).all(axis=(1, 2))))
            raise InputError(f"what the network is to see of jet {jet} is NaN or infinite")
        return filled

    def mask(self) -> Padded:
        """1 in slots with a constituent, 0 in the others, shape `(jets, particles)`."""
        return self.padded(np.ones((len(self.jet), 1)))[:, :, 0]

    def _from(self, eta: Floats) -> tuple[Floats, Floats]:
        phi = azimuth(self.axis[:, 0], self.axis[:, 1])
        return self.eta - eta[self.jet], delta_phi(self.phi, phi[self.jet])


def leading(jets: JetDataset, particles: int) -> Cloud:
    """The `particles` constituents of largest pT of every jet.

    Raises:
        InputError: A jet, or each of its constituents, has no transverse momentum.
    """
    import awkward as ak

    def flat(name: str) -> NDArray[Any]:
        column: NDArray[Any] = ak.to_numpy(ak.flatten(jets.constituents[name]))
        return column

    jet = np.repeat(np.arange(len(jets)), ak.to_numpy(ak.num(jets.constituents)))
    momentum = np.stack([flat(name).astype(np.float64) for name in MOMENTUM], axis=1)
    pt = transverse_momentum(momentum[:, 0], momentum[:, 1])
    order = np.lexsort((-pt, jet))
    order = order[pt[order] > 0]
    ordered = jet[order]
    slot = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    order, slot = order[slot < particles], slot[slot < particles]

    axis = np.stack([np.bincount(jet, column, minlength=len(jets)).astype(np.float64) for column in momentum.T], axis=1)
    at_rest = transverse_momentum(axis[:, 0], axis[:, 1]) <= 0
    if at_rest.any():
        refuse_jets(at_rest, jets.events, "has no transverse momentum")
    return Cloud(
        momentum=momentum[order],
        charge=flat("charge")[order].astype(np.float64),
        pdg_id=np.abs(flat("pdg_id")[order]).astype(np.int64),
        jet=jet[order],
        slot=slot,
        axis=axis,
        scalar_pt_gev=np.bincount(jet, pt, minlength=len(jets)).astype(np.float64),
        particles=particles,
    )


def aligned(cloud: Cloud) -> Floats:
    """`pt_gev, eta, phi` of every constituent after its jet was moved, turned and mirrored; shape `(constituents, 3)`.

    In three steps: the jet is moved along eta and phi until its leading constituent is at (0, 0); it is turned about that
    direction, as momenta are, until the second constituent is at eta = 0 and below (phi < 0; seen from the leading one, at
    an angle of -pi/2); and it is mirrored where the side of negative eta has more pT. Constituents count as massless.

    References:
        arXiv:1704.02124, section 3.2.
    """
    first = np.flatnonzero(cloud.slot == 0)  # of every jet there is one
    pt, eta = cloud.pt_gev, cloud.eta - cloud.eta[first][cloud.jet]
    phi = delta_phi(cloud.phi, cloud.phi[first][cloud.jet])
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)

    second = np.flatnonzero(cloud.slot == 1)
    angle = np.full(len(first), -np.pi / 2)
    angle[cloud.jet[second]] = np.arctan2(py[second], pz[second])
    turn = (-np.pi / 2 - angle)[cloud.jet]
    py, pz = np.cos(turn) * py + np.sin(turn) * pz, np.cos(turn) * pz - np.sin(turn) * py
    pt = transverse_momentum(px, py)
    eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=pt > 0))
    side = np.where(np.abs(eta) > _ON_THE_LINE, np.sign(eta), 0.0)
    balance = np.bincount(cloud.jet, pt * side, minlength=len(first))
    eta *= np.where(balance < 0, -1.0, 1.0)[cloud.jet]
    return np.stack([pt, eta, azimuth(px, py)], axis=1)
