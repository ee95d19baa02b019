"""Binary merging trees of jets, compiled: the generalised-kt family, pT-ordered and random ones.

Of two pseudojets the generalised-kt distance is

    d_ij = min(pT_i^(2 p), pT_j^(2 p)) R_ij^2 / R^2,    p = 1: kt, 0: Cambridge/Aachen, -1: anti-kt

with R_ij in rapidity and azimuth. The nearest two are merged until one is left: there is no distance to the beam, so every
jet becomes one tree of all its constituents. fastjet is the oracle of the tests.

References:
    kt: hep-ph/9305266. Cambridge/Aachen: hep-ph/9707323. Anti-kt and the family: arXiv:0802.1189, eq. 1. Why the smallest
    d_ij is found among geometrically nearest neighbours: hep-ph/0512210. Winner-take-all: arXiv:1310.7584. Trees ordered by
    pT and random trees: arXiv:1702.00748.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import MOMENTUM
from trigger.errors import InputError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Recombination = Literal["E", "winner_take_all"]

KT, CAMBRIDGE, ANTI_KT = 1.0, 0.0, -1.0
"""Powers p of the generalised-kt distance."""

_SMALLEST_PT2, _LARGEST_WEIGHT = 1e-300, 1e200  # a constituent along the beam may not make a distance NaN


@dataclass(frozen=True)
class MergingTrees:
    """One binary tree of each jet: of n constituents, `2 n - 1` nodes, flat over all jets.

    Node `k < n` of a jet is its constituent `k`; the others are in the order in which they were merged, each after its
    children; the last is the jet.

    Attributes:
        first: One child, as the number of a node within the jet, -1 for a constituent, shape `(nodes,)`.
        second: The other child; no order of the two is promised.
        nodes: `px, py, pz, E` in GeV, shape `(nodes, 4)`.
        distance: d_ij at which the node was merged (of pT-ordered and random trees: R_ij^2), 0 for a constituent, shape
            `(nodes,)`. It need not rise along a tree.
        offsets: Jet `j` is nodes `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
    """

    first: Indices
    second: Indices
    nodes: Floats
    distance: Floats
    offsets: Indices

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def constituents(self) -> Indices:
        """How many constituents each jet has, shape `(jets,)`."""
        return (np.diff(self.offsets) + 1) // 2


def flat_momenta(constituents: Any) -> tuple[Floats, Indices]:
    """Constituents of jets (awkward, as in `JetDataset`) as `px, py, pz, E`, shape `(constituents, 4)`, and offsets.

    Jet `j` is rows `offsets[j]` to `offsets[j + 1]`.
    """
    import awkward as ak

    momentum = np.stack([ak.to_numpy(ak.flatten(constituents[name])) for name in MOMENTUM], axis=1).astype(np.float64)
    return momentum, np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(constituents)))]).astype(np.int64)


def checked(momentum: NDArray[Any], offsets: NDArray[Any]) -> tuple[Floats, Indices]:
    """Flat momenta and offsets as compiled code wants them.

    Raises:
        InputError: A shape is wrong, a number is NaN or infinite, a jet has no constituent.
    """
    momentum = np.ascontiguousarray(momentum, dtype=np.float64)
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    if momentum.ndim != 2 or momentum.shape[1] != 4:
        raise InputError(f"momenta are px, py, pz, E of shape (constituents, 4), found {momentum.shape}")
    if offsets.ndim != 1 or len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(momentum):
        ends = f", found {offsets[0]} to {offsets[-1]}" if offsets.ndim == 1 and len(offsets) > 1 else ""
        raise InputError(
            f"offsets of shape (jets + 1,) run from 0 to the {len(momentum)} constituents; shape {offsets.shape}{ends}"
        )
    counts = np.diff(offsets)
    if counts.min() < 1:
        first = int((counts < 1).argmax())
        raise InputError(f"{np.count_nonzero(counts < 1)} of {len(counts)} jets have no constituent, first jet {first}")
    wrong = ~np.isfinite(momentum).all(axis=1)
    if wrong.any():
        jet = int(np.searchsorted(offsets, wrong.argmax(), side="right")) - 1
        raise InputError(
            f"{np.count_nonzero(wrong)} of {len(wrong)} constituents have a NaN or infinite momentum, first in jet {jet}"
        )
    return momentum, offsets


def rapidity_azimuth(momentum: Floats) -> tuple[Floats, Floats]:
    """Rapidity and azimuth of `px, py, pz, E`, shape `(particles, 4)`, with the same function that the clustering uses."""
    place = _places(np.ascontiguousarray(momentum))
    return place[:, 0], place[:, 1]


def merging_trees(
    momentum: Floats, offsets: Indices, power: float, radius: float = 1.0, recombination: Recombination = "E"
) -> MergingTrees:
    """The generalised-kt tree of each jet.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        power: `KT`, `CAMBRIDGE`, `ANTI_KT` or any other p.
        radius: R; it scales the distances and does not change the trees.
        recombination: "E" adds four-momenta; "winner_take_all" adds pT and keeps rapidity, azimuth and mass of the branch of
            higher pT.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite, the radius is not positive.
    """
    momentum, offsets = checked(momentum, offsets)
    if not radius > 0:
        raise InputError(f"a radius is positive, not {radius}")
    if not np.isfinite(power):
        raise InputError(f"the power of the generalised-kt distance is finite, not {power}")
    if recombination not in ("E", "winner_take_all"):
        raise InputError(f"a recombination is 'E' or 'winner_take_all', not {recombination!r}")
    first, second, nodes, distance, node_offsets = _all_trees(
        momentum, offsets, float(power), recombination == "winner_take_all"
    )
    return MergingTrees(first, second, nodes, distance / radius**2, node_offsets)


def sequential_trees(
    momentum: Floats, offsets: Indices, order: Literal["descending", "ascending"] = "descending"
) -> MergingTrees:
    """Constituents in a row by pT, merged one by one from the row's end.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        order: "descending": the two of lowest pT are merged first and that of highest pT is merged last, at the root;
            "ascending": the other way round. Equal pT stay in the order of the constituents.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite.

    References:
        arXiv:1702.00748 (desc-pT, asc-pT).
    """
    momentum, offsets = checked(momentum, offsets)
    if order not in ("descending", "ascending"):
        raise InputError(f"an order by pT is 'descending' or 'ascending', not {order!r}")
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    row = np.lexsort((-pt if order == "descending" else pt, jet)) - offsets[jet]
    return MergingTrees(*_chosen_trees(momentum, offsets, row, np.empty((0, 2))))


def random_trees(momentum: Floats, offsets: Indices, seed: int) -> MergingTrees:
    """Two pseudojets drawn at random are merged, each pair with equal chance, until one is left (arXiv:1702.00748).

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        seed: The same seed and sample give the same trees.

    Raises:
        InputError: A jet is empty, a number is NaN or infinite.
    """
    momentum, offsets = checked(momentum, offsets)
    draws = np.random.default_rng(seed).random((len(momentum) - len(offsets) + 1, 2))
    return MergingTrees(*_chosen_trees(momentum, offsets, np.empty(0, dtype=np.int64), draws))


@numba.njit(cache=True, nogil=True)
def _all_trees(momentum: Any, offsets: Any, power: float, winner: bool) -> Any:  # pragma: no cover, compiled
    first, second, nodes, distance, node_offsets = _empty_trees(momentum, offsets)
    for jet in range(len(offsets) - 1):
        a, b = node_offsets[jet], node_offsets[jet + 1]
        first[a:b], second[a:b], nodes[a:b], distance[a:b] = merging_tree(
            momentum[offsets[jet] : offsets[jet + 1]], power, winner
        )
    return first, second, nodes, distance, node_offsets


@numba.njit(cache=True, nogil=True)
def _empty_trees(momentum: Any, offsets: Any) -> Any:  # pragma: no cover, compiled
    total = 2 * len(momentum) - (len(offsets) - 1)
    node_offsets = 2 * offsets - np.arange(len(offsets))
    return np.full(total, -1), np.full(total, -1), np.empty((total, 4)), np.zeros(total), node_offsets


@numba.njit(cache=True, nogil=True)
def merging_tree(momentum: Any, power: float, winner: bool) -> Any:  # pragma: no cover, compiled
    """The tree of one jet, for other compiled code: `first`, `second`, `nodes`, `distance` (with R = 1) as in `MergingTrees`."""
    first, second, nodes, merged, _ = merge(momentum, power, np.inf, winner, 0.0, np.inf)
    return first, second, nodes, merged


@numba.njit(cache=True, nogil=True)
def merge(
    momentum: Any, power: float, radius2: float, winner: bool, z_cut: float, d_cut2: float
) -> Any:  # pragma: no cover, compiled
    """The trees of one jet, for other compiled code.

    Args:
        momentum: `px, py, pz, E` of the jet's constituents.
        power: p of the generalised-kt distance.
        radius2: A pseudojet that has no other within this squared radius when its turn comes is not merged any more;
            infinity makes one tree.
        winner: Whether to recombine by winner-take-all.
        z_cut: Share of the pT of both that the softer must have, where pruning looks (`d_cut2`).
        d_cut2: Two pseudojets whose squared distance is above this are not added when the softer has less than `z_cut` of
            their pT: the node is the harder alone, its `first`, and its `second` is -1; infinity merges all.

    Returns:
        `first`, `second`, `nodes`, `distance` (with R = 1) as in `MergingTrees`, and how many nodes were made: the entries
        after that are not filled.
    """
    n = len(momentum)
    nodes = np.empty((2 * n - 1, 4))
    nodes[:n] = momentum
    place = np.empty((2 * n - 1, 2))  # rapidity, azimuth
    weight = np.empty(2 * n - 1)
    for k in range(n):
        place[k] = place_of(nodes[k])
        weight[k] = _weight(nodes[k], power)
    first, second = np.full(2 * n - 1, -1), np.full(2 * n - 1, -1)
    merged = np.zeros(2 * n - 1)
    active = np.arange(n)
    count = n
    nearest, distance = np.empty(2 * n - 1, dtype=np.int64), np.empty(2 * n - 1)
    for a in range(count):
        _find_nearest(active[a], active, count, place, nearest, distance)
    node = n
    while count > 0:
        best = _closest(active, count, weight, distance, radius2)
        if not distance[best] < radius2:
            # Those whose nearest it was are as far from all others, so that what they have for nearest is never used.
            count = _without(active, count, best, best)
            continue
        other = nearest[best]
        merged[node] = min(weight[best], weight[other]) * distance[best]
        if distance[best] > d_cut2 and _too_soft(nodes[best], nodes[other], z_cut):
            first[node] = best if _pt(nodes[best]) >= _pt(nodes[other]) else other
            nodes[node], place[node] = nodes[first[node]], place[first[node]]
        else:
            first[node], second[node] = best, other
            _recombine(nodes, place, best, other, node, winner)
        weight[node] = _weight(nodes[node], power)
        count = _without(active, count, best, other) + 1
        active[count - 1] = node
        _renew(best, other, active, count, place, nearest, distance)
        node += 1
    return first, second, nodes, merged, node


@numba.njit(cache=True, nogil=True)
def _closest(active: Any, count: int, weight: Any, distance: Any, radius2: float) -> int:  # pragma: no cover, compiled
    best = active[0]
    least = weight[best] * min(distance[best], radius2)
    for a in range(1, count):
        d = weight[active[a]] * min(distance[active[a]], radius2)
        if d < least:
            best, least = active[a], d
    return best  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _renew(
    best: int, other: int, active: Any, count: int, place: Any, nearest: Any, distance: Any
) -> None:  # pragma: no cover, compiled
    """Nearest neighbours after two have become the last of the active."""
    node = active[count - 1]
    _find_nearest(node, active, count, place, nearest, distance)
    for a in range(count - 1):
        k = active[a]
        if nearest[k] in (best, other):
            _find_nearest(k, active, count, place, nearest, distance)
        else:
            d = distance2(place[k], place[node])
            if d < distance[k]:
                nearest[k], distance[k] = node, d


@numba.njit(cache=True, nogil=True)
def _without(active: Any, count: int, a: int, b: int) -> int:  # pragma: no cover, compiled
    left = 0
    for k in range(count):
        if active[k] not in (a, b):
            active[left] = active[k]
            left += 1
    return left


@numba.njit(cache=True, nogil=True)
def _too_soft(p: Any, q: Any, z_cut: float) -> bool:  # pragma: no cover, compiled
    return min(_pt(p), _pt(q)) < z_cut * np.hypot(p[0] + q[0], p[1] + q[1])  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _pt(p: Any) -> float:  # pragma: no cover, compiled
    return np.hypot(p[0], p[1])  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def mark_constituents(node: int, first: Any, second: Any, kept: Any) -> None:  # pragma: no cover, compiled
    """Set `kept` of the constituents that a node was made of, for other compiled code; what was pruned is not set."""
    stack = np.empty(len(first) + 1, dtype=np.int64)
    stack[0] = node
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if first[node] < 0:
            kept[node] = True
            continue
        stack[depth] = first[node]
        depth += 1
        if second[node] >= 0:
            stack[depth] = second[node]
            depth += 1


@numba.njit(cache=True, nogil=True)
def _chosen_trees(momentum: Any, offsets: Any, row: Any, draws: Any) -> Any:  # pragma: no cover, compiled
    """Trees along a row of each jet's constituents or, where there are draws, of two drawn pseudojets at a time."""
    first, second, nodes, distance, node_offsets = _empty_trees(momentum, offsets)
    for jet in range(len(offsets) - 1):
        start, n = offsets[jet], offsets[jet + 1] - offsets[jet]
        base = node_offsets[jet]
        tree = nodes[base : base + 2 * n - 1]
        tree[:n] = momentum[start : start + n]
        active = np.arange(n) if len(row) == 0 else row[start : start + n].copy()
        count = n
        for node in range(n, 2 * n - 1):
            if len(row) == 0:
                draw = draws[start - jet + node - n]
                # The drawn two go to the row's end.
                for u in range(2):
                    chosen, last = int(draw[u] * (count - u)), count - 1 - u
                    active[chosen], active[last] = active[last], active[chosen]
            a, b = active[count - 2], active[count - 1]
            first[base + node], second[base + node] = a, b
            distance[base + node] = distance2(np.array(place_of(tree[a])), np.array(place_of(tree[b])))
            tree[node] = tree[a] + tree[b]
            active[count - 2] = node
            count -= 1
    return first, second, nodes, distance, node_offsets


@numba.njit(cache=True, nogil=True)
def _recombine(nodes: Any, place: Any, a: int, b: int, node: int, winner: bool) -> None:  # pragma: no cover, compiled
    if not winner:
        nodes[node] = nodes[a] + nodes[b]
        place[node] = place_of(nodes[node])
        return
    pt_a, pt_b = _pt(nodes[a]), _pt(nodes[b])
    hard, pt = (a, pt_a) if pt_a >= pt_b else (b, pt_b)
    place[node] = place[hard]
    if pt == 0.0:
        nodes[node] = nodes[a] + nodes[b]
        return
    # At fixed rapidity pz and E go with the transverse mass.
    p = nodes[hard]
    mass2 = max(0.0, (p[3] + p[2]) * (p[3] - p[2]) - pt**2)
    grown = np.sqrt(((pt_a + pt_b) ** 2 + mass2) / (pt**2 + mass2))
    nodes[node, :2] = p[:2] * ((pt_a + pt_b) / pt)
    nodes[node, 2:] = p[2:] * grown


@numba.njit(cache=True, nogil=True)
def _weight(p: Any, power: float) -> float:  # pragma: no cover, compiled
    if power == 0.0:
        return 1.0
    pt2 = max(p[0] ** 2 + p[1] ** 2, _SMALLEST_PT2)
    return min(pt2**power, _LARGEST_WEIGHT)  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def place_of(p: Any) -> Any:  # pragma: no cover, compiled
    """Rapidity and azimuth of one `px, py, pz, E`, for other compiled code.

    The mass is clipped at 0, as fastjet has it, so that rounding cannot make the rapidity infinite.
    """
    mass2 = max(0.0, (p[3] + p[2]) * (p[3] - p[2]) - p[0] ** 2 - p[1] ** 2)
    pt2 = p[0] ** 2 + p[1] ** 2
    if pt2 + mass2 == 0.0 or p[3] + abs(p[2]) <= 0.0:
        return 1e5 if p[2] >= 0 else -1e5, 0.0
    y = 0.5 * np.log((pt2 + mass2) / (p[3] + abs(p[2])) ** 2)
    return (-y if p[2] > 0 else y), np.arctan2(p[1], p[0])


@numba.njit(cache=True, nogil=True)
def _places(momentum: Any) -> Any:  # pragma: no cover, compiled
    place = np.empty((len(momentum), 2))
    for k in range(len(momentum)):
        place[k] = place_of(momentum[k])
    return place


@numba.njit(cache=True, nogil=True)
def distance2(a: Any, b: Any) -> float:  # pragma: no cover, compiled
    """Squared distance of two places, each rapidity and azimuth, for other compiled code."""
    dphi = abs(a[1] - b[1])
    if dphi > np.pi:
        dphi = 2 * np.pi - dphi
    return (a[0] - b[0]) ** 2 + dphi**2  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _find_nearest(k: int, active: Any, count: int, place: Any, nearest: Any, distance: Any) -> None:  # pragma: no cover
    nearest[k], distance[k] = -1, np.inf
    for a in range(count):
        if active[a] != k:
            d = distance2(place[k], place[active[a]])
            if d < distance[k]:
                nearest[k], distance[k] = active[a], d
