"""What is looked at of large jets with two prongs: their towers, what trimming leaves of them, and three numbers.

References:
    The numbers, and jets of towers of 0.1 x 0.1: arXiv:1511.05190. Trimming: arXiv:0912.1342. N-subjettiness:
    arXiv:1011.2268. Winner-take-all axes: arXiv:1401.2158.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import JetDataset, optional_fields
from trigger.errors import InputError
from trigger.kinematics import azimuth, delta_phi, from_pt_eta_phi_mass, pseudorapidity, transverse_momentum

Floats = NDArray[np.float64]

OBSERVABLES = ("mass", "tau21", "Delta R")
"""Names of the columns of `Substructure.table`."""


@dataclass(frozen=True)
class Substructure:
    """Numbers of jets with two prongs, each of shape `(jets,)`.

    Attributes:
        pt_gev: Transverse momentum.
        mass_gev: Mass.
        tau21: tau_2 / tau_1 with beta 1 about the exclusive winner-take-all kt axes; 0 where tau_1 is.
        delta_r: Distance of the two kt subjets of highest pT in rapidity and azimuth; 0 where there is one.
    """

    pt_gev: Floats
    mass_gev: Floats
    tau21: Floats
    delta_r: Floats

    def table(self) -> Floats:
        """The columns `OBSERVABLES`, shape `(jets, 3)`."""
        return np.column_stack([self.mass_gev, self.tau21, self.delta_r])


def concatenate_substructure(parts: list[Substructure]) -> Substructure:
    """The numbers of several samples, one after the other."""
    return Substructure(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def in_towers(jets: JetDataset, width: float) -> JetDataset:
    """The jets with a massless constituent for each tower that their constituents hit.

    A tower has the sum of their energies and the direction of its middle. Edges are at multiples of the width in
    pseudorapidity, and in azimuth at multiples of 2 pi over the nearest whole number of towers. Constituents along the beam
    hit none.

    Args:
        jets: Jets with constituents.
        width: Of a tower in pseudorapidity, and about that in azimuth.

    Raises:
        InputError: The width is not positive, or a jet hits no tower.
    """
    import awkward as ak

    from trigger.inputs.trees import flat_momenta

    if not 0 < width <= np.pi:
        raise InputError(f"the width of a tower is above 0 and at most pi, not {width}")
    around = round(2 * np.pi / width)
    momentum, offsets = flat_momenta(jets.constituents)
    jet = np.repeat(np.arange(len(jets)), np.diff(offsets))
    pt = transverse_momentum(momentum[:, 0], momentum[:, 1])
    jet, momentum = jet[pt > 0], momentum[pt > 0]
    row = np.floor(pseudorapidity(*momentum[:, :3].T) / width).astype(np.int64)
    column = np.floor(np.mod(azimuth(momentum[:, 0], momentum[:, 1]) * around / (2 * np.pi), around)).astype(np.int64)
    lowest = int(row.min(initial=0))
    rows = int(row.max(initial=0)) - lowest + 1
    keys, place = np.unique((jet * rows + row - lowest) * around + column, return_inverse=True)
    energy = np.bincount(place, momentum[:, 3], minlength=len(keys))
    eta, phi = (keys // around % rows + lowest + 0.5) * width, (keys % around + 0.5) * (2 * np.pi / around)
    px, py, pz, energy = from_pt_eta_phi_mass(energy / np.cosh(eta), eta, phi, 0.0)
    counts = np.bincount(keys // (around * rows), minlength=len(jets))
    if not counts.all():
        raise InputError(f"{np.count_nonzero(counts == 0)} of {len(jets)} jets hit no tower")
    columns = {
        "px": px, "py": py, "pz": pz, "E": energy, "charge": np.zeros(len(keys), dtype=np.int8),
        "pdg_id": np.zeros(len(keys), dtype=np.int32), "vertex": np.zeros(len(keys), dtype=np.int8),
        **{name: np.zeros(len(keys)) for name in optional_fields(jets.constituents)},
    }  # fmt: skip
    return replace(jets, constituents=ak.unflatten(ak.zip(columns), counts))


def trimmed_jets(jets: JetDataset, subjet_radius: float, fraction: float) -> JetDataset:
    """Jets without the subjets that trimming takes away; jets that nothing is left of are left out.

    Args:
        jets: Jets with constituents.
        subjet_radius: Of the kt subjets.
        fraction: Of the jet's pT, that a subjet must have.

    Raises:
        InputError: Nothing is left of any jet, or a setting is out of range.
    """
    import awkward as ak

    from trigger.inputs.groomers import trim
    from trigger.inputs.trees import flat_momenta

    kept = trim(*flat_momenta(jets.constituents), subjet_radius, fraction)
    constituents = jets.constituents[ak.unflatten(kept, ak.num(jets.constituents))]
    left = ak.to_numpy(ak.num(constituents) > 0)
    if not left.any():
        raise InputError(f"trimming leaves nothing of any of {len(jets)} jets: all subjets have less than {fraction:g}")
    return replace(jets.take(left), constituents=constituents[left])


def substructure(jets: JetDataset, subjet_radius: float) -> Substructure:
    """The numbers of every jet, of all its constituents.

    Args:
        jets: Jets with constituents, trimmed or not.
        subjet_radius: Of the kt subjets of Delta R.

    Raises:
        InputError: A jet has no transverse momentum.
    """
    from trigger.inputs.nsubjettiness import nsubjettiness, tau_ratio
    from trigger.inputs.subjets import inclusive_subjets
    from trigger.inputs.trees import flat_momenta, rapidity_azimuth

    momentum, offsets = flat_momenta(jets.constituents)
    kinematics = jets.kinematics()
    subjets = inclusive_subjets(momentum, offsets, subjet_radius)
    rapidity, phi = rapidity_azimuth(subjets.momentum)
    first = subjets.offsets[:-1]
    two = np.diff(subjets.offsets) > 1
    second = np.where(two, first + 1, first)
    distance = np.hypot(rapidity[second] - rapidity[first], delta_phi(phi[second], phi[first]))
    tau21 = tau_ratio(nsubjettiness(momentum, offsets, n_max=2), 2, 1)
    return Substructure(kinematics["pt_gev"], kinematics["mass_gev"], tau21, distance)
