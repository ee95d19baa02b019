"""Energy flow polynomials of jets: a linear basis of what is infrared and collinear safe.

For a multigraph G of N vertices

    EFP_G = sum over i_1, ..., i_N of z_(i_1) ... z_(i_N) times the product over edges (k, l) of theta_(i_k i_l)^beta

with z_i = pT_i / sum pT and theta_ij the distance in rapidity and azimuth. A graph of several parts is the product of its
parts' polynomials, so that only connected graphs are summed. Sums over vertices are done one at a time, those with one
neighbour as products of a matrix and a vector and those with two as products of matrices, and what several graphs have in
common is done once.

References:
    Definition and variable elimination: arXiv:1712.07124. Numbers of graphs: OEIS A076864 (connected) and A050535 (all).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import chain, combinations, permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError
from trigger.kinematics import delta_phi

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Graph = tuple[tuple[int, int], ...]
"""A multigraph: one pair of vertices an edge, vertices numbered from 0."""
Polynomial = tuple[Graph, ...]
"""A product of connected graphs."""

MOST_EDGES = 7

_CELLS = 1 << 17
"""Largest number of pairs of constituents of the jets that are worked on together: what is held of them then stays in a
processor's cache."""


@lru_cache(maxsize=MOST_EDGES)
def connected_multigraphs(edges: int) -> tuple[Graph, ...]:
    """All connected multigraphs without loops that have 1 to `edges` edges, one of each kind.

    Returns:
        Graphs, by number of edges, then of vertices.

    Raises:
        InputError: The number of edges is not in 1 to `MOST_EDGES`.
    """
    if not 1 <= edges <= MOST_EDGES:
        raise InputError(f"graphs of energy flow polynomials have 1 to {MOST_EDGES} edges, not {edges}")
    if edges == 1:
        return (((0, 1),),)
    smaller = connected_multigraphs(edges - 1)
    grown = set()
    # Some edge of every connected graph can be left out, or left out with its end, so that the rest is connected.
    for graph in (graph for graph in smaller if len(graph) == edges - 1):
        vertices = _vertices(graph)
        for edge in chain(combinations(range(vertices), 2), ((vertex, vertices) for vertex in range(vertices))):
            grown.add(_canonical((*graph, edge)))
    return (*smaller, *sorted(grown, key=lambda graph: (_vertices(graph), graph)))


def polynomials(edges: int, prime_only: bool = False) -> tuple[Polynomial, ...]:
    """The energy flow polynomials with up to so many edges, without the constant one.

    Args:
        edges: Largest number of edges.
        prime_only: Only connected graphs, without their products.

    Raises:
        InputError: The number of edges is not in 1 to `MOST_EDGES`.
    """
    graphs = connected_multigraphs(edges)
    if prime_only:
        return tuple((graph,) for graph in graphs)

    def products(start: int, left: int) -> list[tuple[int, ...]]:
        return [()] + [
            (k, *rest)
            for k in range(start, len(graphs))
            if len(graphs[k]) <= left
            for rest in products(k, left - len(graphs[k]))
        ]

    found = [factors for factors in products(0, edges) if factors]
    found.sort(key=lambda factors: (sum(len(graphs[k]) for k in factors), len(factors), factors))
    return tuple(tuple(graphs[k] for k in factors) for factors in found)


def polynomial_name(polynomial: Polynomial) -> str:
    """A name that is the graph: vertices of each edge, edges parted by points, connected graphs by asterisks."""
    return "*".join(".".join(f"{a}{b}" for a, b in graph) for graph in polynomial)


def energy_flow_polynomials(
    momentum: Floats, offsets: Indices, edges: int = 5, beta: float = 1.0, prime_only: bool = False, most: int = 200
) -> dict[str, Floats]:
    """The energy flow polynomials of every jet, dimensionless.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        edges: Largest number of edges of a graph.
        beta: Exponent of the distances.
        prime_only: Only those of connected graphs.
        most: Of each jet so many constituents are used, those of highest pT; z is their share of what is used.

    Returns:
        By `polynomial_name`, an array of shape `(jets,)`; in the order of `polynomials`.

    Raises:
        InputError: A jet is empty or has no transverse momentum, a number is NaN or infinite, a setting is out of range.
    """
    from trigger.inputs.trees import checked, rapidity_azimuth

    if not beta > 0 or most < 1:
        raise InputError(f"beta and the number of constituents are positive, not {beta} and {most}")
    momentum, offsets = checked(momentum, offsets)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    counts = np.diff(offsets)
    if not np.add.reduceat(pt, offsets[:-1]).all():
        raise InputError("a jet has no transverse momentum")
    falling = np.lexsort((-pt, np.repeat(np.arange(len(counts)), counts)))
    columns = np.stack([pt, *rapidity_azimuth(momentum)])[:, falling]
    used = np.minimum(counts, most)
    graphs = connected_multigraphs(edges)
    prime = {graph: np.empty(len(counts)) for graph in graphs}
    for jets in _blocks(used):
        width = used[jets].max()
        rank = np.arange(width)
        there = rank < used[jets, None]
        pt_y_phi = np.where(there, columns[:, np.where(there, offsets[jets, None] + rank, 0)], 0.0)
        contraction = _Contraction(pt_y_phi[0], pt_y_phi[1], pt_y_phi[2], beta)
        for graph in graphs:
            prime[graph][jets] = contraction.value(graph)
    return {
        polynomial_name(factors): np.prod([prime[graph] for graph in factors], axis=0)
        for factors in polynomials(edges, prime_only)
    }


def _blocks(counts: Indices) -> list[Indices]:
    """Jets of about the same number of constituents, as many together as `_CELLS` allows."""
    order = np.argsort(-counts, kind="stable")
    found, start = [], 0
    while start < len(order):
        stop = start + max(1, _CELLS // int(counts[order[start]]) ** 2)
        found.append(order[start:stop])
        start = stop
    return found


class _Contraction:
    """The sums over vertices for a block of jets.

    A key says how an array is made. A vertex has a tuple of keys of vectors, the sums over neighbours that are done, which are
    multiplied with z; a pair of vertices has a tuple of keys of matrices, which are multiplied element by element.
    """

    def __init__(self, pt: Floats, y: Floats, phi: Floats, beta: float) -> None:
        self._z: Floats = pt / pt.sum(axis=1, keepdims=True)
        turn = delta_phi(phi[:, :, None], phi[:, None, :])
        self._theta: Floats = ((y[:, :, None] - y[:, None, :]) ** 2 + turn**2) ** (0.5 * beta)
        self._made: dict[Any, Floats] = {}

    def value(self, graph: Graph) -> Floats:
        """The polynomial of one connected graph, shape `(jets,)`."""
        vertices: dict[int, tuple[Any, ...]] = dict.fromkeys(range(_vertices(graph)), ())
        pairs = {edge: (("theta", graph.count(edge)),) for edge in graph}
        while len(vertices) > 1:
            near = {v: [w for pair in pairs for w in pair if v in pair and w != v] for v in vertices}
            vertex = min(vertices, key=lambda v: len(near[v]))
            if len(near[vertex]) > 2:
                return self._four(vertices, pairs)
            inner = vertices.pop(vertex)
            into = [self._facing(pairs.pop((min(vertex, w), max(vertex, w))), w < vertex) for w in near[vertex]]
            if len(into) == 1:
                (w,) = near[vertex]
                vertices[w] = _sorted((*vertices[w], ("vector", into[0], inner)))
                continue
            w, x = near[vertex]
            if w > x:
                w, x, into = x, w, into[::-1]
            path = ("path", into[0], inner, into[1])
            pairs[w, x] = _sorted((*pairs.get((w, x), ()), path))
        (last,) = vertices.values()
        return np.asarray(self._vertex(last).sum(axis=1))

    def _facing(self, pair: tuple[Any, ...], straight: bool) -> tuple[Any, ...]:
        """The matrices of a pair with the remaining vertex for rows."""
        return pair if straight else _sorted(tuple(_transposed(key) for key in pair))

    def _vertex(self, keys: tuple[Any, ...]) -> Floats:
        """Product of z and of the sums over neighbours, shape `(jets, constituents)`."""
        if not keys:
            return self._z
        return self._once(("vertex", keys), lambda: self._vertex(keys[:-1]) * self._vector(keys[-1]))

    def _vector(self, key: Any) -> Floats:
        _, pair, inner = key
        return self._once(key, lambda: np.asarray((self._pair(pair) @ self._vertex(inner)[:, :, None])[:, :, 0]))

    def _pair(self, keys: tuple[Any, ...]) -> Floats:
        """Product of the matrices of a pair, shape `(jets, constituents, constituents)`."""
        if len(keys) == 1:
            return self._matrix(keys[0])
        return self._once(("pair", keys), lambda: self._pair(keys[:-1]) * self._matrix(keys[-1]))

    def _matrix(self, key: Any) -> Floats:
        if key[0] == "theta":
            count = key[1]
            if count == 1:
                return self._theta
            return self._once(key, lambda: self._matrix(("theta", count - 1)) * self._theta)
        if key not in self._made and _transposed(key) in self._made:
            return np.swapaxes(self._made[_transposed(key)], 1, 2)
        _, one, inner, other = key
        # The second is turned to have the summed vertex for rows.
        turned = self._facing(other, False)
        weighted = self._once(("weighted", one, inner), lambda: self._pair(one) * self._vertex(inner)[:, None, :])
        return self._once(key, lambda: np.asarray(weighted @ self._pair(turned)))

    def _four(self, vertices: dict[int, tuple[Any, ...]], pairs: dict[tuple[int, int], Any]) -> Floats:
        """The sum over four vertices of which each has the other three for neighbours.

        Up to seven edges nothing else is left where every vertex has three neighbours; six edges have it first.
        """
        a, b, c, d = sorted(vertices)
        z = [self._vertex(vertices[vertex]) for vertex in (a, b, c, d)]
        ab, ac, bc, ad, bd, cd = (self._pair(pairs[pair]) for pair in ((a, b), (a, c), (b, c), (a, d), (b, d), (c, d)))
        found = np.empty(len(self._z))
        for jet in range(len(found)):  # a cube of constituents is large enough
            z_a, z_b, z_c, z_d = (one[jet] for one in z)
            inner = (ad[jet, :, None] * bd[jet] * z_d) @ cd[jet].T
            inner *= (ac[jet] * z_c)[:, None] * bc[jet]
            found[jet] = (inner.sum(axis=2) * ab[jet] * z_b).sum(axis=1) @ z_a
        return found

    def _once(self, key: Any, make: Callable[[], Floats]) -> Floats:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _transposed(key: Any) -> Any:
    if key[0] == "theta":
        return key
    _, one, inner, other = key
    return ("path", other, inner, one)


def _sorted(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(keys, key=repr))


def _vertices(graph: Graph) -> int:
    return 1 + max(max(edge) for edge in graph)


def _canonical(graph: Graph) -> Graph:
    """The same for all graphs that differ in their vertices' numbers: the first by size of all numberings.

    Vertices that look different from where they are keep their order, so that only those alike are exchanged.
    """
    vertices = range(_vertices(graph))
    near = {v: [sum(edge) - v for edge in graph if v in edge] for v in vertices}
    colour = dict.fromkeys(vertices, 0)
    for _ in vertices:
        look = {v: (colour[v], sorted(colour[w] for w in near[v])) for v in vertices}
        kinds = sorted({(one, tuple(others)) for one, others in look.values()})
        colour = {v: kinds.index((look[v][0], tuple(look[v][1]))) for v in vertices}
    groups = [[v for v in vertices if colour[v] == kind] for kind in sorted(set(colour.values()))]
    best: Graph | None = None
    for order in product(*(permutations(group) for group in groups)):
        number = {v: k for k, v in enumerate(chain(*order))}
        renamed = tuple(sorted((min(number[a], number[b]), max(number[a], number[b])) for a, b in graph))
        best = renamed if best is None else min(best, renamed)
    return best or graph
