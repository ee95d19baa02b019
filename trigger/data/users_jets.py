"""What is asked of all jets that users bring, from whatever files: numbers that are numbers, and jets that there can be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError
from trigger.kinematics import transverse_momentum

BEAM_ENERGY_GEV = 7000.0
"""Energy of a beam of the LHC at 14 TeV, which no jet can have more of."""


def require_numbers(name: str, array: Any) -> None:
    """Refuse what is neither truth values nor whole nor real numbers: text, complex numbers, dates.

    Args:
        name: What the file calls it.
        array: Of numpy or awkward.

    Raises:
        InputError: Names the array and its type.
    """
    import awkward as ak

    kind = array.dtype if isinstance(array, np.ndarray) else ak.to_numpy(ak.flatten(array[:0], axis=None)).dtype
    if kind.kind in "biuf":
        return
    flat = array.ravel() if isinstance(array, np.ndarray) else ak.flatten(array, axis=None)
    first = f" (the first is {str(flat[0])[:40]!r})" if len(flat) else ""
    raise InputError(f"array {name!r} does not hold numbers but {kind}{first}; right would be real or whole numbers")


def require_finite(name: str, values: NDArray[Any]) -> None:
    """Refuse NaN and infinity.

    Raises:
        InputError: Says how many there are.
    """
    wrong = np.count_nonzero(~np.isfinite(values))
    if wrong:
        raise InputError(f"{wrong} of {values.size} values of {name!r} are NaN or infinite")


def require_whole(name: str, values: NDArray[Any], low: int, high: int) -> None:
    """Refuse numbers that are not whole, or not from `low` to `high`.

    Raises:
        InputError: Says how many there are, and the first of them.
    """
    require_finite(name, values)
    wrong = (
        (values % 1 != 0) | (values < low) | (values > high) if values.dtype.kind != "b" else np.zeros(0, dtype=bool)
    )
    if wrong.any():
        raise InputError(f"{np.count_nonzero(wrong)} of {values.size} values of {name!r} are no whole numbers from {low} to "
                         f"{high}, the first is {values[wrong][0]}")  # fmt: skip


def require_possible_energies(energy: NDArray[np.float64], places: NDArray[np.int64], place: str) -> None:
    """Refuse jets of more energy than a beam has.

    Args:
        energy: Energy of each jet, in GeV.
        places: Where each jet is in its file, counted from 0.
        place: What is counted.

    Raises:
        InputError: Names the first such jet.
    """
    high = np.flatnonzero(energy > BEAM_ENERGY_GEV)
    if len(high):
        raise InputError(
            f"{place} {places[high[0]]} (from 0): a jet has an energy of {energy[high[0]]:.6g} GeV; {len(high)} of "
            f"{len(energy)} jets have more than {BEAM_ENERGY_GEV:g} GeV, which is all that a beam of the LHC has: are these "
            "MeV? Right would be GeV"
        )


def require_transverse_momentum(
    px: NDArray[np.float64], py: NDArray[np.float64], places: NDArray[np.int64], place: str
) -> None:
    """Refuse jets of no transverse momentum, which have no direction; see `require_possible_energies` for the arguments.

    Raises:
        InputError: Names the first such jet.
    """
    none = np.flatnonzero(~(transverse_momentum(px, py) > 0))
    if len(none):
        raise InputError(
            f"{place} {places[none[0]]} (from 0): a jet has a pT of 0; {len(none)} of {len(px)} jets have, which have no "
            "direction: right would be px and py in GeV of particles that were measured, or a 'pt_gev' without 0"
        )


def named(paths: Iterable[Path], most: int = 3) -> str:
    """Some files for a message: the first few, and how many more there are."""
    names = list(dict.fromkeys(map(str, paths)))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
