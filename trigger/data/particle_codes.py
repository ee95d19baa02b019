"""Charges and masses of particles by their PDG codes.

References:
    Review of Particle Physics, Phys. Rev. D 110 (2024) 030001: "Monte Carlo particle numbering scheme" (section 45) for the
    codes, the summary tables for the masses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError

NEUTRINOS = (12, 14, 16)
MASSES_GEV: dict[int, float] = {
    11: 0.000510999, 13: 0.105658, 22: 0.0,
    211: 0.139570, 321: 0.493677, 130: 0.497611, 310: 0.497611, 311: 0.497611, 111: 0.134977,
    2212: 0.938272, 2112: 0.939565,
    3122: 1.115683, 3222: 1.18937, 3212: 1.192642, 3112: 1.197449, 3322: 1.31486, 3312: 1.32171, 3334: 1.67245,
}  # fmt: skip
"""Mass by absolute code of what lives long enough to be in a jet: leptons, the photon, light and strange hadrons."""

Number = TypeVar("Number", bound=np.generic)


def masses(code: NDArray[np.int64]) -> NDArray[np.float64]:
    """Masses in GeV.

    Args:
        code: PDG codes, of any shape.

    Raises:
        InputError: A code is none of `MASSES_GEV`.
    """

    def mass(one: int) -> float:
        if abs(one) not in MASSES_GEV:
            known = ", ".join(str(each) for each in sorted(MASSES_GEV))
            raise InputError(f"a particle has the PDG code {one}, of which the mass is not known (known: {known})")
        return MASSES_GEV[abs(one)]

    return _by_code(code, mass, np.float64)


def charges(code: NDArray[np.int64]) -> NDArray[np.int8]:
    """Charges in units of e, by the digits of the codes.

    Args:
        code: PDG codes of leptons, photons, hadrons and nuclei, of any shape.

    Raises:
        InputError: A code is of nothing that leaves a trace in a detector: a quark, a diquark, a particle beyond the
            Standard Model, or no code at all.
    """
    return _by_code(code, _charge, np.int8)


def _charge(code: int) -> int:
    size, sign = abs(code), 1 if code > 0 else -1
    third, second, first = (
        size // 10 % 10,
        size // 100 % 10,
        size // 1000 % 10,
    )  # the digits of the quarks, lightest first
    if 11 <= size <= 18:
        return -sign if size % 2 else 0
    if size in (22, 130, 310):
        return 0
    if 10**9 < size < 2 * 10**9:  # nuclei are 10LZZZAAAI
        return sign * (size // 10_000 % 1000)
    heaviest = max(first, second, third)
    if size < 100 or size > 10**7 or second == 0 or third == 0 or not 1 <= heaviest <= 6:
        raise InputError(f"a particle has the PDG code {code}, which is of no lepton, photon, hadron or nucleus")
    if first:
        return sign * sum(_thirds(quark) for quark in (first, second, third)) // 3
    # Of a meson's quark and antiquark the heavier is the quark where it is of the up kind, else the antiquark.
    charge = (_thirds(second) - _thirds(third)) // 3
    return sign * (charge if second % 2 == 0 else -charge)


def _thirds(quark: int) -> int:
    """Three times the charge of a quark."""
    return 2 if quark % 2 == 0 else -1


def _by_code(code: NDArray[np.int64], of: Callable[[int], float], kind: type[Number]) -> NDArray[Number]:
    """Something of every code, worked out once for each that occurs."""
    distinct, place = np.unique(code, return_inverse=True)
    return np.array([of(int(one)) for one in distinct], dtype=kind)[place].reshape(np.shape(code))
