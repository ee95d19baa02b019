"""A search for hadronic top decays in jets after the HEPTopTagger, compiled.

1. The jet is merged with Cambridge/Aachen and taken apart again. Of the two parts j1, j2 of a pseudojet j, j1 the heavier,
   both stay where m_j1 < 0.8 m_j, else j1 alone; what is lighter than 30 GeV is a hard subjet and stays whole.
2. Every three hard subjets are filtered: clustered with Cambridge/Aachen of radius min(0.3, half of the smallest distance of
   two of the three), the five subjets of highest pT stay. Of all threes the one whose filtered mass is nearest the top's is the
   candidate.
3. What stayed is merged to three subjets, by falling pT 1, 2, 3. The candidate is a top where its mass and pT are in range and
   the masses of the pairs fit a W's, see `TopSearch`.

Left out against the published tagger: the jet is what it is given, not one of radius 1.5 (a small radius loses decays); no
optimal radius, no Q-jets, no cut on the subjets' pT, no energy scale of subjets.

References:
    The tagger and its criteria: arXiv:1006.2833. The ratio f_W: arXiv:1503.05921.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError
from trigger.inputs.subjets import split
from trigger.inputs.trees import (
    CAMBRIDGE,
    Floats,
    Indices,
    checked,
    distance2,
    mark_constituents,
    merging_tree,
    place_of,
)


@dataclass(frozen=True)
class TopSearch:
    """The settings of the search; the defaults are those of arXiv:1006.2833 (with a top of 172.3 GeV).

    Attributes:
        mass_drop: Of the mass of two parts, the heavier one may have less than this for both to stay.
        subjet_mass_gev: What is lighter is not taken apart.
        filter_radius: Largest radius of the filtering.
        filter_count: How many filtered subjets stay.
        top_gev: Mass of the top.
        w_gev: Mass of the W.
        mass_range_gev: The candidate's mass lies in it.
        w_tolerance: The relative half width of the W: with r = m_W / m_top (1 -+ w_tolerance) and m23 / m123 the candidate
            fits where 0.2 < arctan(m13 / m12) < 1.3 and r_min < m23 / m123 < r_max, or
            r_min^2 (1 + x^2) < 1 - (m23 / m123)^2 < r_max^2 (1 + x^2) with x either m13 / m12 or its inverse and
            m23 / m123 > 0.35.
        pt_gev: The candidate has more pT.

    Raises:
        InputError: A setting is out of range.
    """

    mass_drop: float = 0.8
    subjet_mass_gev: float = 30.0
    filter_radius: float = 0.3
    filter_count: int = 5
    top_gev: float = 172.3
    w_gev: float = 80.4
    mass_range_gev: tuple[float, float] = (150.0, 200.0)
    w_tolerance: float = 0.15
    pt_gev: float = 200.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if np.min(value) < 0 or (one.name.startswith(("filter", "top", "w_gev")) and value == 0):
                raise InputError(f"{one.name} of the search for tops is out of range: {value}")
        if self.filter_count < 3:
            raise InputError(f"filtering leaves at least the three subjets of a top, not {self.filter_count}")


@dataclass(frozen=True)
class TopCandidates:
    """The candidate of each jet; every number is 0 where there is none.

    Attributes:
        found: Whether it is a top by all criteria, shape `(jets,)`.
        candidate: Whether there is one: three hard subjets, three particles after filtering.
        hard_subjets: How many hard subjets the jet has.
        mass_gev: Mass of the candidate.
        pt_gev: Its transverse momentum.
        f_w: |(m_ij / m123) / (m_W / m_top) - 1| of the two subjets of which it is least.
        m23_ratio: m23 / m123.
        arctan: arctan(m13 / m12).
    """

    found: NDArray[np.bool_]
    candidate: NDArray[np.bool_]
    hard_subjets: Indices
    mass_gev: Floats
    pt_gev: Floats
    f_w: Floats
    m23_ratio: Floats
    arctan: Floats


def find_tops(momentum: Floats, offsets: Indices, search: TopSearch | None = None) -> TopCandidates:
    """The top candidate of each jet.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        search: Settings, those of `TopSearch` by default.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite.
    """
    search = search or TopSearch()
    momentum, offsets = checked(momentum, offsets)
    table = _all_tops(
        momentum, offsets, search.mass_drop, search.subjet_mass_gev, search.filter_radius, search.filter_count, search.top_gev
    )  # fmt: skip
    hard, mass, pt, m12, m13, m23 = table.T
    candidate = mass > 0
    m123 = np.where(candidate, mass, 1.0)
    expected = search.w_gev / search.top_gev
    off = np.abs(np.stack([m12, m13, m23]) / m123 / expected - 1).min(axis=0)
    arctan = np.arctan2(m13, m12)
    low, high = search.mass_range_gev
    fits = _fits_a_w(m23 / m123, arctan, (1 - search.w_tolerance) * expected, (1 + search.w_tolerance) * expected)
    return TopCandidates(
        found=candidate & (low < mass) & (mass < high) & (pt > search.pt_gev) & fits,
        candidate=candidate,
        hard_subjets=hard.astype(np.int64),
        mass_gev=mass,
        pt_gev=pt,
        f_w=np.where(candidate, off, 0.0),
        m23_ratio=m23 / m123,
        arctan=arctan,
    )


def _fits_a_w(ratio: Floats, arctan: Floats, r_min: float, r_max: float) -> NDArray[np.bool_]:
    """The three criteria of arXiv:1006.2833 on the masses of the pairs."""
    fits = (arctan > 0.2) & (arctan < 1.3) & (r_min < ratio) & (ratio < r_max)
    rest = 1 - ratio**2
    # 1 + (m13 / m12)^2 and 1 + (m12 / m13)^2, multiplied by what may be 0.
    for share in (np.cos(arctan) ** 2, np.sin(arctan) ** 2):
        fits |= (ratio > 0.35) & (r_min**2 < rest * share) & (rest * share < r_max**2)
    return np.asarray(fits)


@numba.njit(cache=True, nogil=True)
def _all_tops(
    momentum: Any, offsets: Any, mass_drop: float, subjet_mass: float, radius: float, count: int, top: float
) -> Any:  # pragma: no cover, compiled
    table = np.zeros((len(offsets) - 1, 6))
    for jet in range(len(offsets) - 1):
        particles = momentum[offsets[jet] : offsets[jet + 1]]
        first, second, nodes, _ = merging_tree(particles, CAMBRIDGE, False)
        hard = _hard_subjets(first, second, nodes, mass_drop, subjet_mass)
        table[jet, 0] = len(hard)
        best = np.empty((0, 4))
        nearest = np.inf
        for a in range(len(hard)):
            for b in range(a):
                for c in range(b):
                    three = np.array([hard[a], hard[b], hard[c]])
                    left = _filtered(particles, first, second, nodes, three, radius, count)
                    away = abs(_mass(left.sum(axis=0)) - top)
                    if len(left) >= 3 and away < nearest:
                        best, nearest = left, away
        if len(best) > 0:
            table[jet, 1:] = _masses(best)
    return table


@numba.njit(cache=True, nogil=True)
def _hard_subjets(first: Any, second: Any, nodes: Any, mass_drop: float, light: float) -> Any:  # pragma: no cover
    hard, stack = np.empty(len(nodes), dtype=np.int64), np.empty(len(nodes) + 1, dtype=np.int64)
    stack[0] = len(nodes) - 1
    found, depth = 0, 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        mass = _mass(nodes[node])
        if mass < light or first[node] < 0:
            hard[found] = node
            found += 1
            continue
        heavy, other = first[node], second[node]
        if _mass(nodes[heavy]) < _mass(nodes[other]):
            heavy, other = other, heavy
        stack[depth] = heavy
        depth += 1
        if _mass(nodes[heavy]) < mass_drop * mass:
            stack[depth] = other
            depth += 1
    return hard[:found]


@numba.njit(cache=True, nogil=True)
def _filtered(
    particles: Any, first: Any, second: Any, nodes: Any, three: Any, radius: float, count: int
) -> Any:  # pragma: no cover, compiled
    """The particles of three subjets that filtering leaves."""
    r2 = np.inf
    kept = np.zeros(len(particles), dtype=np.bool_)
    for a in range(3):
        mark_constituents(three[a], first, second, kept)
        for b in range(a):
            r2 = min(r2, distance2(np.array(place_of(nodes[three[a]])), np.array(place_of(nodes[three[b]]))))
    chosen = particles[kept]
    _, rank = split(chosen, CAMBRIDGE, min(radius**2, r2 / 4), 0)
    return chosen[rank < count]


@numba.njit(cache=True, nogil=True)
def _masses(particles: Any) -> Any:  # pragma: no cover, compiled
    """Mass and pT of the candidate, masses of the pairs of its three subjets."""
    total = particles.sum(axis=0)
    one, _ = split(particles, CAMBRIDGE, np.inf, 3)
    return np.array(
        [
            _mass(total), np.hypot(total[0], total[1]),
            _mass(one[0] + one[1]), _mass(one[0] + one[2]), _mass(one[1] + one[2]),
        ]
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _mass(p: Any) -> float:  # pragma: no cover, compiled
    return np.sqrt(max(0.0, (p[3] + p[2]) * (p[3] - p[2]) - p[0] ** 2 - p[1] ** 2))  # type: ignore[no-any-return]
