"""Transverse energy of jets, and how it is moved before an image is made of it.

Every step moves the deposits themselves and not filled pixels: nothing is interpolated (arXiv:1511.05190 turns the pixels with
a cubic spline).

References:
    Centring, rotation, flip: arXiv:1407.5675. Subjets, trimming, the principal axis where there is one subjet:
    arXiv:1511.05190. Trimming: arXiv:0912.1342.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import MOMENTUM, JetDataset
from trigger.errors import InputError
from trigger.kinematics import azimuth, delta_phi, from_pt_eta_phi_mass, pseudorapidity, transverse_momentum

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_ON_THE_LINE = 1e-9
"""Distance from an axis within which a deposit is on neither side: nearer, rounding would decide."""


@dataclass(frozen=True)
class Deposits:
    """Transverse energy of many jets, flat: every array but `jets` has one entry a deposit, ordered by jet.

    Attributes:
        et_gev: Transverse energy, above 0.
        eta: Pseudorapidity, absolute or from the image's centre.
        phi: Azimuth in radians, absolute or from the image's centre.
        jet: Index of the jet, not falling.
        jets: Number of jets.

    Raises:
        InputError: Shapes differ, a number is NaN or infinite, an energy is not positive, jets are not in order.
    """

    et_gev: Floats
    eta: Floats
    phi: Floats
    jet: Indices
    jets: int

    def __post_init__(self) -> None:
        shapes = {name: getattr(self, name).shape for name in ("et_gev", "eta", "phi", "jet")}
        if self.et_gev.ndim != 1 or len(set(shapes.values())) > 1:
            raise InputError(f"deposits are flat arrays of one length, found {shapes}")
        for name in ("et_gev", "eta", "phi"):
            wrong = ~np.isfinite(getattr(self, name))
            if wrong.any():
                first = self.jet[wrong.argmax()]
                raise InputError(
                    f"{name} of {np.count_nonzero(wrong)} of {wrong.size} deposits is NaN or infinite, first in jet {first}"
                )
        if (self.et_gev <= 0).any():
            raise InputError(
                f"{np.count_nonzero(self.et_gev <= 0)} deposits have no transverse energy or less than none"
            )
        if len(self.jet) and (self.jet[0] < 0 or self.jet[-1] >= self.jets or (np.diff(self.jet) < 0).any()):
            raise InputError(f"deposits are ordered by jet, from 0 to {self.jets - 1}")

    @property
    def counts(self) -> Indices:
        """Deposits of each jet, shape `(jets,)`."""
        return np.bincount(self.jet, minlength=self.jets)

    def total(self, quantity: Any = 1.0) -> Floats:
        """Sum of transverse energy times a quantity over each jet, shape `(jets,)`."""
        return np.bincount(self.jet, self.et_gev * quantity, minlength=self.jets).astype(np.float64)

    def mean(self, quantity: Floats) -> Floats:
        """Mean of a quantity over each jet, weighted with transverse energy, shape `(jets,)`."""
        return self.total(quantity) / self.total()

    def take(self, selection: NDArray[np.bool_]) -> Deposits:
        """The deposits that a mask picks, of as many jets as before."""
        return Deposits(
            self.et_gev[selection], self.eta[selection], self.phi[selection], self.jet[selection], self.jets
        )


def deposits_of(jets: JetDataset) -> Deposits:
    """What the jets' constituents leave in a calorimeter: `E * pt / |p|` each; those along the beam leave nothing.

    Raises:
        InputError: A jet has no transverse energy.
    """
    import awkward as ak

    px, py, pz, energy = (ak.to_numpy(ak.flatten(jets.constituents[name])).astype(np.float64) for name in MOMENTUM)
    jet = np.repeat(np.arange(len(jets)), ak.to_numpy(ak.num(jets.constituents)))
    pt = transverse_momentum(px, py)
    seen = pt > 0
    px, py, pz, pt = px[seen], py[seen], pz[seen], pt[seen]
    et = energy[seen] * pt / np.hypot(pt, pz)
    found = Deposits(et, pseudorapidity(px, py, pz), azimuth(px, py), jet[seen], len(jets))
    if (found.counts == 0).any():
        refuse_jets(found.counts == 0, jets.events, "has no constituent with transverse energy")
    return found


def centroid(deposits: Deposits) -> tuple[Floats, Floats]:
    """Mean pseudorapidity and azimuth of each jet, weighted with transverse energy, shape `(jets,)` each."""
    near = azimuth(deposits.total(np.cos(deposits.phi)), deposits.total(np.sin(deposits.phi)))
    return deposits.mean(deposits.eta), near + deposits.mean(delta_phi(deposits.phi, near[deposits.jet]))


def axis(deposits: Deposits) -> tuple[Floats, Floats]:
    """Direction of each jet: rapidity and azimuth of the sum of its deposits, each without mass, shape `(jets,)` each.

    Of the jet it is the rapidity, because that moves with its deposits when all are moved, as its pseudorapidity does not.
    """
    middle = deposits.mean(deposits.eta)
    eta = deposits.eta - middle[deposits.jet]  # near 0, where tanh and its inverse lose nothing
    rapidity = middle + np.arctanh(deposits.total(np.sinh(eta)) / deposits.total(np.cosh(eta)))
    return rapidity, azimuth(deposits.total(np.cos(deposits.phi)), deposits.total(np.sin(deposits.phi)))


def subjets(deposits: Deposits, radius: float) -> tuple[Deposits, Indices]:
    """The kt subjets of each jet.

    Args:
        deposits: Jets, none of them empty.
        radius: Radius parameter of the kt algorithm.

    Returns:
        The subjets, as deposits at their centroids, by falling transverse energy within each jet; and for each of the given
        deposits the index of its subjet.

    References:
        kt: hep-ph/9305266. Subjets of radius 0.3: arXiv:1407.5675, arXiv:1511.05190.
    """
    from trigger.inputs.subjets import inclusive_subjets  # compiled

    momentum = np.stack(from_pt_eta_phi_mass(deposits.et_gev, deposits.eta, deposits.phi, 0.0), axis=1)
    found = inclusive_subjets(momentum, np.concatenate([[0], np.cumsum(deposits.counts)]), radius)
    member, jet = found.member, found.jet

    et = np.bincount(member, deposits.et_gev)
    order = np.lexsort((-et, jet))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    member = rank[member]
    by_subjet = np.argsort(member, kind="stable")
    whole = Deposits(
        deposits.et_gev[by_subjet], deposits.eta[by_subjet], deposits.phi[by_subjet], member[by_subjet], len(order)
    )
    return Deposits(whole.total(), *centroid(whole), jet[order], deposits.jets), member


def trimmed(deposits: Deposits, parts: Deposits, member: Indices, fraction: float) -> tuple[Deposits, Deposits]:
    """Deposits and subjets without the subjets that have too little of their jet (arXiv:0912.1342).

    Args:
        deposits: The jets.
        parts: Their subjets, as `subjets` has them.
        member: Number of the subjet that each deposit belongs to, likewise.
        fraction: A subjet that has less than this of its jet's transverse energy is left out.
    """
    kept = parts.et_gev >= fraction * deposits.total()[parts.jet]
    return deposits.take(kept[member]), parts.take(kept)


def centred(deposits: Deposits, eta: Floats, phi: Floats) -> Deposits:
    """Places from a centre of each jet, shape `(jets,)` each."""
    jet = deposits.jet
    return replace(deposits, eta=deposits.eta - eta[jet], phi=delta_phi(deposits.phi, phi[jet]))


def rotated(deposits: Deposits, angle: Floats) -> Deposits:
    """Turned about the centre by an angle of each jet, shape `(jets,)`, from the direction of eta towards that of phi."""
    cosine, sine = np.cos(angle)[deposits.jet], np.sin(angle)[deposits.jet]
    return replace(
        deposits,
        eta=cosine * deposits.eta - sine * deposits.phi,
        phi=sine * deposits.eta + cosine * deposits.phi,
    )


def angle_of_second_subjet(parts: Deposits) -> Floats:
    """The angle that turns the second subjet straight below the leading one (1511.05190); NaN where there is no second."""
    first = np.searchsorted(parts.jet, np.arange(parts.jets))
    two = parts.counts > 1
    angle = np.full(parts.jets, np.nan)
    leading = first[two]
    angle[two] = -np.pi / 2 - np.arctan2(
        delta_phi(parts.phi[leading + 1], parts.phi[leading]), parts.eta[leading + 1] - parts.eta[leading]
    )
    return angle


def angle_of_principal_axis(deposits: Deposits) -> Floats:
    """The angle that turns the jet's longest extension upright, the end with more transverse energy downwards.

    The principal axis is the eigenvector of the larger eigenvalue of the second moments about the centroid, weighted with
    transverse energy (1407.5675).
    """
    eta, phi = deposits.mean(deposits.eta)[deposits.jet], deposits.mean(deposits.phi)[deposits.jet]
    x, y = deposits.eta - eta, deposits.phi - phi
    angle = -np.pi / 2 - 0.5 * np.arctan2(2 * deposits.total(x * y), deposits.total(x**2 - y**2))
    upright = rotated(deposits, angle).phi
    above, below = deposits.total(upright > _ON_THE_LINE), deposits.total(upright < -_ON_THE_LINE)
    return angle + np.where(above > below, np.pi, 0.0)


def flipped(deposits: Deposits) -> Deposits:
    """Mirrored where the left has more transverse energy than the right (1407.5675, 1511.05190)."""
    right, left = deposits.total(deposits.eta > _ON_THE_LINE), deposits.total(deposits.eta < -_ON_THE_LINE)
    return replace(deposits, eta=np.where((left > right)[deposits.jet], -deposits.eta, deposits.eta))


def refuse_jets(wrong: NDArray[np.bool_], events: Indices, what: str) -> NoReturn:
    """Raise an `InputError` that names the first jet of which something is wrong, and says of how many it is."""
    first = int(wrong.argmax())
    raise InputError(
        f"jet {first} (event {events[first]}) {what}; of {len(wrong)} jets this is so of {np.count_nonzero(wrong)}"
    )
