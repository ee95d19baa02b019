"""Energy flow polynomials against nested loops, against the authors' package, and in what must not change them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs import energy_flow
from trigger.inputs.correlators import correlators
from trigger.inputs.energy_flow import connected_multigraphs, energy_flow_polynomials, polynomial_name, polynomials
from trigger.inputs.trees import flat_momenta, rapidity_azimuth
from trigger.kinematics import from_pt_eta_phi_mass


@pytest.fixture(scope="module")
def sample(toy):
    return flat_momenta(toy.take(np.arange(0, len(toy), 15)).constituents)


def canonical(edges):
    """By trying all numberings: the same for graphs that are alike."""
    vertices = sorted({v for edge in edges for v in edge})
    return min(
        tuple(sorted(tuple(sorted((number[a], number[b]))) for a, b in edges))
        for order in itertools.permutations(range(len(vertices)))
        for number in [dict(zip(vertices, order, strict=True))]
    )


def every_connected(edges, vertices):
    """Connected multigraphs of so many edges on so many vertices, by going through all choices of edges."""
    pairs = list(itertools.combinations(range(vertices), 2))
    found = set()
    for chosen in itertools.combinations_with_replacement(pairs, edges):
        reached, before = {0}, 0
        while before < len(reached):
            before = len(reached)
            reached |= {v for edge in chosen if set(edge) & reached for v in edge}
        if len(reached) == vertices:
            found.add(canonical(chosen))
    return found


def test_numbers_of_graphs():
    for edges, (connected, together) in enumerate(
        [(1, 1), (2, 4), (5, 12), (12, 35), (33, 101), (103, 313), (333, 999)], 1
    ):
        graphs = connected_multigraphs(edges)
        assert sum(len(graph) == edges for graph in graphs) == connected
        assert len(set(graphs)) == len(graphs)
        assert len(polynomials(edges, prime_only=True)) == len(graphs)
        assert len({polynomial_name(one) for one in polynomials(edges)}) == together


@pytest.mark.parametrize("edges", [1, 2, 3, 4])
def test_graphs_are_those_of_going_through_all(edges):
    expected = set().union(*(every_connected(edges, vertices) for vertices in range(2, edges + 2)))
    assert {canonical(graph) for graph in connected_multigraphs(edges) if len(graph) == edges} == expected


def test_products_have_up_to_so_many_edges():
    names = [polynomial_name(one) for one in polynomials(3)]
    assert names[:4] == ["01", "01.01", "02.12", "01*01"]
    assert names[-1] == "01*01*01"
    assert all(sum(map(len, one)) <= 4 for one in polynomials(4))


def small_jets():
    """Jets of one to four constituents, across the seam of azimuth; shares and distances of each beside them."""
    generator = np.random.default_rng(2)
    pt, eta, phi = generator.exponential(10, 10), generator.normal(0, 0.4, 10), generator.normal(3.1, 0.4, 10)
    offsets = np.concatenate([[0], np.cumsum([1, 2, 3, 4])])
    jets = []
    for start, stop in itertools.pairwise(offsets):
        one = slice(start, stop)
        jets.append((pt[one] / pt[one].sum(), np.hypot(eta[one, None] - eta[one], phi[one, None] - phi[one])))
    return np.stack(from_pt_eta_phi_mass(pt, eta, phi, 0.0), axis=1), offsets, jets


def slow_polynomial(z, angle, polynomial):
    found = 1.0
    for graph in polynomial:
        found *= sum(
            math.prod(z[i] for i in place) * math.prod(angle[place[a], place[b]] for a, b in graph)
            for place in itertools.product(range(len(z)), repeat=1 + max(map(max, graph)))
        )
    return found


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_every_polynomial_in_nested_loops(beta):
    momentum, offsets, jets = small_jets()
    found = energy_flow_polynomials(momentum, offsets, 5, beta)
    for jet, (z, angle) in enumerate(jets):
        for polynomial in polynomials(5):
            expected = slow_polynomial(z, angle**beta, polynomial)
            assert found[polynomial_name(polynomial)][jet] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_seven_edges_on_four_and_five_vertices():
    """Among them every four vertices that are all neighbours of each other, doubled and with a tail."""
    momentum, offsets, jets = small_jets()
    found = energy_flow_polynomials(momentum, offsets, 7, prime_only=True)
    some = [one for one in polynomials(7, prime_only=True) if len(one[0]) >= 6 and max(map(max, one[0])) in (3, 4)]
    complete = [one for (one,) in some if set(itertools.combinations(range(4), 2)) <= set(one)]
    assert len(complete) >= 2
    for polynomial in some:
        expected = slow_polynomial(*jets[3], polynomial)
        assert found[polynomial_name(polynomial)][3] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("beta", "edges"), [(1.0, 5), (0.5, 3), (1.0, 6)])
def test_the_authors_package(sample, beta, edges):
    package = pytest.importorskip("energyflow")
    momentum, offsets = sample
    some = slice(0, 41) if edges < 6 else slice(0, 4)
    momentum, offsets = momentum[: offsets[some][-1]], offsets[some]
    efps = package.EFPSet(f"d<={edges}", "p==1", measure="hadr", beta=beta, normed=True, coords="ptyphim")
    number = {canonical(graph): k for k, graph in enumerate(efps.graphs()) if graph}
    found = energy_flow_polynomials(momentum, offsets, edges, beta, prime_only=True)
    assert len(number) == len(found)
    y, phi = rapidity_azimuth(momentum)
    particles = np.stack([np.hypot(*momentum[:, :2].T), y, phi], axis=1)
    expected = np.array([efps.compute(particles[start:stop]) for start, stop in itertools.pairwise(offsets)])
    for (graph,) in polynomials(edges, prime_only=True):
        column = expected[:, number[canonical(graph)]]
        np.testing.assert_allclose(found[polynomial_name((graph,))], column, rtol=1e-8)


def test_the_first_is_twice_the_correlation_function(sample):
    momentum, offsets = sample
    e = correlators(np.hypot(*momentum[:, :2].T), *rapidity_azimuth(momentum), offsets)
    found = energy_flow_polynomials(momentum, offsets, 3)
    np.testing.assert_allclose(found["01"], 2 * e["e2_b1"], rtol=1e-9)
    np.testing.assert_allclose(found["01.02.12"], 6 * e["3e3_b1"], rtol=1e-9)


def test_products_are_products(sample):
    found = energy_flow_polynomials(*sample, 4)
    np.testing.assert_allclose(found["01*02.12"], found["01"] * found["02.12"], rtol=1e-14)
    prime = energy_flow_polynomials(*sample, 4, prime_only=True)
    assert list(prime) == [name for name in found if "*" not in name]


def test_blocks_and_order_change_nothing(sample, monkeypatch):
    momentum, offsets = sample
    whole = energy_flow_polynomials(momentum, offsets, 5)
    monkeypatch.setattr(energy_flow, "_CELLS", 1)  # one jet at a time
    alone = energy_flow_polynomials(momentum, offsets, 5)
    generator = np.random.default_rng(1)
    shuffled = np.concatenate([generator.permutation(momentum[a:b]) for a, b in itertools.pairwise(offsets)])
    mixed = energy_flow_polynomials(shuffled, offsets, 5)
    for name, column in whole.items():
        np.testing.assert_allclose(alone[name], column, rtol=1e-9)
        np.testing.assert_allclose(mixed[name], column, rtol=1e-9)


def test_the_hardest_constituents_are_used(sample):
    momentum, offsets = sample
    found = energy_flow_polynomials(momentum, offsets, 2, most=5)
    pt = np.hypot(*momentum[:, :2].T)
    hard = np.concatenate([a + np.sort(np.argsort(-pt[a:b])[:5]) for a, b in itertools.pairwise(offsets)])
    expected = energy_flow_polynomials(
        momentum[hard], np.concatenate([[0], np.cumsum(np.minimum(np.diff(offsets), 5))]), 2
    )
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-12)


def test_wrong_settings_are_refused(sample):
    momentum, offsets = sample
    for call, message in [
        (lambda: energy_flow_polynomials(*sample, 0), "1 to 7 edges, not 0"),
        (lambda: polynomials(8), "1 to 7 edges, not 8"),
        (lambda: energy_flow_polynomials(*sample, beta=0), "positive, not 0 and 200"),
        (lambda: energy_flow_polynomials(*sample, most=0), "positive, not 1.0 and 0"),
        (lambda: energy_flow_polynomials(momentum * [0, 0, 1, 1], offsets), "no transverse momentum"),
        (lambda: energy_flow_polynomials(momentum, np.insert(offsets, 0, 0)), "no constituent"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
