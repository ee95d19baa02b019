"""Four-vectors as plain arrays: transverse momentum, pseudorapidity, azimuth, mass. GeV and radians throughout."""

from __future__ import annotations

from typing import Any

import numpy as np


def transverse_momentum(px: Any, py: Any) -> Any:
    """Transverse momentum pT, numpy or awkward, in the unit of the inputs."""
    return np.sqrt(px**2 + py**2)


def pseudorapidity(px: Any, py: Any, pz: Any) -> Any:
    """Pseudorapidity eta of momenta; along the beam it is +-infinity, at rest NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.arcsinh(pz / transverse_momentum(px, py))


def azimuth(px: Any, py: Any) -> Any:
    """Azimuth phi of momenta, in (-pi, pi]."""
    return np.arctan2(py, px)


def invariant_mass(px: Any, py: Any, pz: Any, energy: Any) -> Any:
    """Mass; a negative square, from rounding or smearing, counts as 0."""
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))


def delta_phi(phi1: Any, phi2: Any) -> Any:
    """`phi1 - phi2`, brought into [-pi, pi)."""
    return (phi1 - phi2 + np.pi) % (2 * np.pi) - np.pi


def from_pt_eta_phi_mass(pt: Any, eta: Any, phi: Any, mass: Any) -> tuple[Any, Any, Any, Any]:
    """`(px, py, pz, E)` of four-vectors, numpy or awkward."""
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)


def from_pt_rapidity_phi_mass(pt: Any, rapidity: Any, phi: Any, mass: Any) -> tuple[Any, Any, Any, Any]:
    """`(px, py, pz, E)` of four-vectors of a rapidity, not a pseudorapidity, numpy or awkward."""
    transverse_mass = np.sqrt(pt**2 + mass**2)
    return pt * np.cos(phi), pt * np.sin(phi), transverse_mass * np.sinh(rapidity), transverse_mass * np.cosh(rapidity)
