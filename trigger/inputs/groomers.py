"""Trimming, pruning and filtering of jets, compiled, and the mass of groomed jets.

Every groomer says which constituents it keeps, as `mmdt` and `soft_drop` of `grooming.py` do; `groomed_jets` makes jets of
that. fastjet's own tools are the oracles of the tests.

References:
    Trimming: arXiv:0912.1342. Pruning: arXiv:0912.0033. Filtering: arXiv:0802.2470.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError
from trigger.inputs.subjets import inclusive_subjets
from trigger.inputs.trees import CAMBRIDGE, KT, Floats, Indices, checked, mark_constituents, merge
from trigger.kinematics import invariant_mass, transverse_momentum

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class GroomedJets:
    """Jets after grooming.

    Attributes:
        momentum: `px, py, pz, E` in GeV, 0 where nothing was kept, shape `(jets, 4)`.
    """

    momentum: Floats

    @property
    def mass_gev(self) -> Floats:
        """Mass, shape `(jets,)`; a negative square, from rounding, counts as 0."""
        return np.asarray(invariant_mass(*self.momentum.T))

    @property
    def pt_gev(self) -> Floats:
        """Transverse momentum, shape `(jets,)`."""
        return np.asarray(transverse_momentum(self.momentum[:, 0], self.momentum[:, 1]))


def groomed_jets(momentum: Floats, offsets: Indices, kept: Mask) -> GroomedJets:
    """The sum of the kept constituents of each jet.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        kept: What a groomer returned, shape `(constituents,)`.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, the mask is of another length.
    """
    momentum, offsets = checked(momentum, offsets)
    if kept.shape != (len(momentum),):
        raise InputError(f"{len(momentum)} constituents have a mask of shape {kept.shape}")
    return GroomedJets(np.add.reduceat(np.where(kept[:, None], momentum, 0.0), offsets[:-1], axis=0))


def trim(
    momentum: Floats, offsets: Indices, subjet_radius: float = 0.3, fraction: float = 0.05, power: float = KT
) -> Mask:
    """Trimming: subjets that have less than a fraction of the jet's pT are left out.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        subjet_radius: R of the subjets' clustering.
        fraction: f_cut. Where every subjet has less, nothing of the jet is kept.
        power: p of the subjets' clustering: kt in 0912.1342.

    Returns:
        A mask, shape `(constituents,)`.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, a setting is out of range.
    """
    _require_share("fraction", fraction)
    subjets = inclusive_subjets(momentum, offsets, subjet_radius, power)
    px, py = np.add.reduceat(momentum[:, :2], offsets[:-1], axis=0).T
    kept = _pt(subjets.momentum) >= fraction * transverse_momentum(px, py)[subjets.jet]
    return np.asarray(kept[subjets.member])


def filter_hardest(
    momentum: Floats, offsets: Indices, subjet_radius: float = 0.3, count: int = 3, power: float = CAMBRIDGE
) -> Mask:
    """Filtering: the subjets of highest pT are kept.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        subjet_radius: R of the subjets' clustering.
        count: How many subjets are kept.
        power: p of the subjets' clustering: Cambridge/Aachen in 0802.2470.

    Returns:
        A mask, shape `(constituents,)`.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, a setting is out of range.
    """
    if count < 1:
        raise InputError(f"filtering keeps at least one subjet, not {count}")
    subjets = inclusive_subjets(momentum, offsets, subjet_radius, power)
    return np.asarray((subjets.rank < count)[subjets.member])


def prune(
    momentum: Floats, offsets: Indices, z_cut: float = 0.1, radius_factor: float = 0.5, power: float = CAMBRIDGE
) -> Mask:
    """Pruning: the jet is merged again, and the softer of two is dropped where they are far apart and it is soft.

    That is where R_ij > D_cut and min(pT_i, pT_j) < z_cut pT_(i+j), with D_cut = radius_factor * 2 m / pT of the whole jet.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        z_cut: Momentum fraction, 0.1 in 0912.0033 for Cambridge/Aachen.
        radius_factor: 0.5 there.
        power: p of the merging: Cambridge/Aachen or kt there.

    Returns:
        A mask, shape `(constituents,)`.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, a setting is out of range.
    """
    _require_share("z_cut", z_cut)
    if radius_factor < 0:
        raise InputError(f"the radius factor of pruning is not negative, but is {radius_factor}")
    momentum, offsets = checked(momentum, offsets)
    kept: Mask = _prune_all(momentum, offsets, float(power), float(z_cut), float(radius_factor))
    return kept


@numba.njit(cache=True, nogil=True)
def _prune_all(
    momentum: Any, offsets: Any, power: float, z_cut: float, factor: float
) -> Any:  # pragma: no cover, compiled
    kept = np.zeros(len(momentum), dtype=np.bool_)
    for jet in range(len(offsets) - 1):
        particles = momentum[offsets[jet] : offsets[jet + 1]]
        px, py, pz, energy = particles[:, 0].sum(), particles[:, 1].sum(), particles[:, 2].sum(), particles[:, 3].sum()
        pt2 = px**2 + py**2
        d_cut2 = np.inf
        if pt2 > 0.0:
            d_cut2 = 4 * factor**2 * max(0.0, (energy + pz) * (energy - pz) - pt2) / pt2
        first, second, _, _, made = merge(particles, power, np.inf, False, z_cut, d_cut2)
        mark_constituents(made - 1, first, second, kept[offsets[jet] : offsets[jet + 1]])
    return kept


def _pt(momentum: Floats) -> Floats:
    return np.asarray(transverse_momentum(momentum[:, 0], momentum[:, 1]))


def _require_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        raise InputError(f"{name} is a share of the transverse momentum from 0 to below 1, not {share}")
