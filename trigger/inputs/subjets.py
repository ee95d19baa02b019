"""Subjets: the constituents of jets clustered again, either with a small radius or down to a given number.

Both come from the merging of `trees.py`; fastjet is the oracle of the tests. Where distances are equal, as those of towers on a
grid can be, rounding decides what is merged first, here and in fastjet not always alike: of jets in towers,
at R = 0.3, in about one image in six thousand.

References:
    Inclusive kt: hep-ph/9305266. Exclusive kt: Nucl. Phys. B406 (1993) 187. The family: arXiv:0802.1189.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from trigger.errors import InputError
from trigger.inputs.trees import KT, Floats, Indices, checked, merge


@dataclass(frozen=True)
class Subjets:
    """Subjets of many jets, by falling pT within each jet.

    Attributes:
        momentum: `px, py, pz, E` in GeV, flat over all jets, shape `(subjets, 4)`.
        offsets: Those of jet `j` are rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        member: Row of the subjet that each constituent belongs to, shape `(constituents,)`.
    """

    momentum: Floats
    offsets: Indices
    member: Indices

    @property
    def jet(self) -> Indices:
        """Index of each subjet's jet, shape `(subjets,)`."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def rank(self) -> Indices:
        """Place of each subjet in its jet, 0 for that of highest pT, shape `(subjets,)`."""
        return np.arange(len(self.momentum)) - self.offsets[self.jet]


def inclusive_subjets(momentum: Floats, offsets: Indices, radius: float, power: float = KT) -> Subjets:
    """Each jet clustered again with a radius, as the inclusive generalised-kt algorithms do it.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        radius: The radius parameter R.
        power: `trees.KT`, `trees.CAMBRIDGE`, `trees.ANTI_KT` or any other p.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, the radius is not positive.
    """
    momentum, offsets = checked(momentum, offsets)
    if not radius > 0:
        raise InputError(f"a radius of subjets is positive, not {radius}")
    return Subjets(*_all_subjets(momentum, offsets, float(power), float(radius) ** 2, 0))


def exclusive_subjets(momentum: Floats, offsets: Indices, count: int, power: float = KT) -> Subjets:
    """Each jet merged until `count` subjets are left; a jet of fewer constituents has as many subjets as constituents.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        count: How many.
        power: `trees.KT`, `trees.CAMBRIDGE`, `trees.ANTI_KT` or any other p.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, the count is not positive.
    """
    momentum, offsets = checked(momentum, offsets)
    if count < 1:
        raise InputError(f"a jet has at least one exclusive subjet, not {count}")
    return Subjets(*_all_subjets(momentum, offsets, float(power), np.inf, count))


@numba.njit(cache=True, nogil=True)
def _all_subjets(
    momentum: Any, offsets: Any, power: float, radius2: float, count: int
) -> Any:  # pragma: no cover, compiled
    found, member = np.empty((len(momentum), 4)), np.empty(len(momentum), dtype=np.int64)
    found_offsets = np.zeros(len(offsets), dtype=np.int64)
    for jet in range(len(offsets) - 1):
        start, stop, base = offsets[jet], offsets[jet + 1], found_offsets[jet]
        subjets, place = split(momentum[start:stop], power, radius2, count)
        found[base : base + len(subjets)] = subjets
        member[start:stop] = base + place
        found_offsets[jet + 1] = base + len(subjets)
    return found[: found_offsets[-1]].copy(), found_offsets, member


@numba.njit(cache=True, nogil=True)
def split(momentum: Any, power: float, radius2: float, count: int) -> Any:  # pragma: no cover, compiled
    """The subjets of one jet by falling pT and for each constituent which it belongs to, for other compiled code.

    The squared radius is infinite for exclusive subjets, the count 0 for inclusive ones.
    """
    n = len(momentum)
    first, second, nodes, _, made = merge(momentum, power, radius2, False, 0.0, np.inf)
    if count > 0:
        made = 2 * n - min(count, n)
    top = np.arange(made)
    for node in range(made - 1, n - 1, -1):
        top[first[node]] = top[node]
        top[second[node]] = top[node]
    roots = np.flatnonzero(top == np.arange(made))
    falling = np.argsort(-np.hypot(nodes[roots, 0], nodes[roots, 1]), kind="mergesort")
    roots = roots[falling]
    rank = np.empty(made, dtype=np.int64)
    for place in range(len(roots)):
        rank[roots[place]] = place
    return nodes[roots], rank[top[:n]]
