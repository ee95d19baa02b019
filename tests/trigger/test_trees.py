"""Merging trees against fastjet's, and trees whose shape is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs.trees import (
    ANTI_KT,
    CAMBRIDGE,
    KT,
    flat_momenta,
    merging_trees,
    random_trees,
    sequential_trees,
)

WIDE = 1000.0  # that of `fastjet_sequence`


@pytest.fixture(scope="module")
def sample(toy):
    return flat_momenta(toy.constituents)


def leaves(trees, jet):
    """Of each node of a jet the set of its constituents."""
    start, stop = trees.offsets[jet : jet + 2]
    found = []
    for node, (a, b) in enumerate(zip(trees.first[start:stop], trees.second[start:stop], strict=True)):
        found.append(frozenset({node}) if a < 0 else found[a] | found[b])
    return found


def fastjet_nodes(sequence):
    """Every pseudojet of the only jet: its constituents and its four-momentum."""
    import fastjet

    (jet,) = sequence.inclusive_jets()
    found, stack = {}, [jet]
    while stack:
        node = stack.pop()
        found[frozenset(one.user_index() for one in node.constituents())] = (node.px(), node.py(), node.pz(), node.e())
        a, b = fastjet.PseudoJet(), fastjet.PseudoJet()
        if node.has_parents(a, b):
            stack += [a, b]
    return found


@pytest.mark.parametrize("recombination", ["E", "winner_take_all"])
@pytest.mark.parametrize(("algorithm", "power"), [("kt", KT), ("cambridge", CAMBRIDGE), ("antikt", ANTI_KT)])
def test_every_splitting_is_fastjets(sample, fastjet_sequence, algorithm, power, recombination):
    momentum, offsets = sample
    trees = merging_trees(momentum, offsets, power, recombination=recombination)
    scheme = {"E": "E_scheme", "winner_take_all": "WTA_pt_scheme"}[recombination]
    for jet in range(0, len(trees), 30):
        sequence = fastjet_sequence(momentum[offsets[jet] : offsets[jet + 1]], algorithm, scheme)
        expected = fastjet_nodes(sequence)
        found = leaves(trees, jet)
        assert set(found) == set(expected)
        nodes = trees.nodes[trees.offsets[jet] : trees.offsets[jet + 1]]
        np.testing.assert_allclose(nodes, [expected[one] for one in found], rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(("algorithm", "power"), [("kt", KT), ("cambridge", CAMBRIDGE)])
def test_order_and_distances_of_mergings_are_fastjets(sample, fastjet_sequence, algorithm, power):
    momentum, offsets = sample
    trees = merging_trees(momentum, offsets, power, radius=WIDE)
    for jet in range(0, len(trees), 60):
        n = trees.constituents[jet]
        sequence = fastjet_sequence(momentum[offsets[jet] : offsets[jet + 1]], algorithm)
        expected = [sequence.exclusive_dmerge(int(n - 1 - step)) for step in range(n - 1)]
        found = trees.distance[trees.offsets[jet] + n : trees.offsets[jet + 1]]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_radius_scales_distances_alone(sample):
    one, half = (merging_trees(*sample, KT, radius=radius) for radius in (1.0, 0.5))
    np.testing.assert_array_equal(one.first, half.first)
    np.testing.assert_allclose(half.distance, 4 * one.distance, rtol=1e-15)


@pytest.mark.parametrize("power", [-2.5, -0.5, 0.3, 2.0])
def test_other_powers_by_looking_at_every_pair(sample, power):
    momentum, offsets = sample
    trees = merging_trees(momentum, offsets, power)
    for jet in (0, 250, 599):
        base, n = trees.offsets[jet], trees.constituents[jet]
        nodes = trees.nodes[base : trees.offsets[jet + 1]]
        pt = np.hypot(nodes[:, 0], nodes[:, 1])
        y, phi = 0.5 * np.log((nodes[:, 3] + nodes[:, 2]) / (nodes[:, 3] - nodes[:, 2])), np.arctan2(*nodes.T[1::-1])
        left = list(range(n))
        for node in range(n, 2 * n - 1):
            pairs = [(i, j) for i in left for j in left if i < j]
            i, j = np.array(pairs).T
            d = np.minimum(pt[i] ** (2 * power), pt[j] ** (2 * power)) * (
                (y[i] - y[j]) ** 2 + ((phi[i] - phi[j] + np.pi) % (2 * np.pi) - np.pi) ** 2
            )
            children = {int(trees.first[base + node]), int(trees.second[base + node])}
            assert children == set(pairs[d.argmin()])
            assert trees.distance[base + node] == pytest.approx(d.min(), rel=1e-6)
            left = [k for k in left if k not in children] + [node]


def momenta(*pt):
    pt = np.array(pt, dtype=float)
    phi = np.linspace(0, 0.5, len(pt))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), np.zeros(len(pt)), pt], axis=1)


def test_jets_of_one_and_two_constituents():
    momentum = momenta(3, 2, 1)
    for trees in (
        merging_trees(momentum, np.array([0, 1, 3]), ANTI_KT),
        sequential_trees(momentum, np.array([0, 1, 3])),
        random_trees(momentum, np.array([0, 1, 3]), seed=1),
    ):
        assert len(trees) == 2
        assert trees.offsets.tolist() == [0, 1, 4]
        assert trees.constituents.tolist() == [1, 2]
        assert trees.first[:3].tolist() == [-1, -1, -1]
        assert sorted([trees.first[3], trees.second[3]]) == [0, 1]
        np.testing.assert_allclose(trees.nodes[[0, 3]], [momentum[0], momentum[1] + momentum[2]])
        assert trees.distance[3] > 0
        assert not trees.distance[:3].any()


@pytest.mark.parametrize(
    ("order", "expected"), [("descending", [{1, 3}, {1, 2, 3}]), ("ascending", [{0, 2}, {0, 2, 3}])]
)
def test_trees_along_the_order_of_pt(order, expected):
    trees = sequential_trees(momenta(4, 1, 3, 2), np.array([0, 4]), order)
    assert leaves(trees, 0)[4:] == [*map(frozenset, expected), frozenset(range(4))]


def test_sequential_and_random_nodes_are_sums(sample):
    momentum, offsets = sample
    for trees in (sequential_trees(momentum, offsets), random_trees(momentum, offsets, seed=5)):
        for jet in range(0, len(trees), 50):
            parts = leaves(trees, jet)
            assert parts[-1] == frozenset(range(trees.constituents[jet]))
            particles = momentum[offsets[jet] : offsets[jet + 1]]
            expected = [particles[sorted(part)].sum(axis=0) for part in parts]
            np.testing.assert_allclose(trees.nodes[trees.offsets[jet] : trees.offsets[jet + 1]], expected, rtol=1e-9)


def test_random_trees_choose_every_pair_alike():
    jets = 6000
    momentum, offsets = np.tile(momenta(1, 2, 3, 4), (jets, 1)), 4 * np.arange(jets + 1)
    trees = random_trees(momentum, offsets, seed=2)
    again, other = random_trees(momentum, offsets, seed=2), random_trees(momentum, offsets, seed=3)
    np.testing.assert_array_equal(trees.first, again.first)
    assert (trees.first != other.first).any()
    pair = np.sort(np.stack([trees.first, trees.second], axis=1).reshape(jets, 7, 2)[:, 4], axis=1)
    _, counts = np.unique(pair, axis=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - jets / 6) ** 2 / (jets / 6)).sum() < 25  # chi-square of 5 degrees: one in ten thousand is above


def test_constituents_along_the_beam_and_on_top_of_each_other():
    momentum = np.array([[0, 0, 5, 5], [0, 0, 5, 5], [1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0.0]])
    for power in (KT, CAMBRIDGE, ANTI_KT, -3.0):
        for recombination in ("E", "winner_take_all"):
            trees = merging_trees(momentum, np.array([0, 5]), power, recombination=recombination)
            assert np.isfinite(trees.nodes).all()
            assert np.isfinite(trees.distance).all()
            assert leaves(trees, 0)[-1] == frozenset(range(5))


@pytest.mark.parametrize(
    ("momentum", "offsets", "message"),
    [
        (momenta(1, 2), [0, 0, 2], "1 of 2 jets have no constituent, first jet 0"),
        (momenta(1, 2), [0, 1], "run from 0 to the 2 constituents; shape \\(2,\\), found 0 to 1"),
        (momenta(1, 2)[:, :3], [0, 2], "found \\(2, 3\\)"),
        (momenta(1, np.nan), [0, 1, 2], "1 of 2 constituents have a NaN or infinite momentum, first in jet 1"),
        (momenta(), [0], "offsets of shape"),
    ],
)
def test_wrong_samples_are_refused(momentum, offsets, message):
    for make in (lambda *a: merging_trees(*a, KT), sequential_trees, lambda *a: random_trees(*a, seed=1)):
        with pytest.raises(InputError, match=message):
            make(momentum, np.array(offsets))


def test_wrong_settings_are_refused():
    momentum, offsets = momenta(1, 2), np.array([0, 2])
    with pytest.raises(InputError, match="radius is positive, not 0"):
        merging_trees(momentum, offsets, KT, radius=0)
    with pytest.raises(InputError, match="power"):
        merging_trees(momentum, offsets, np.nan)
    with pytest.raises(InputError, match="'E' or 'winner_take_all', not 'pt'"):
        merging_trees(momentum, offsets, KT, recombination="pt")
    with pytest.raises(InputError, match="'descending' or 'ascending', not 'pt'"):
        sequential_trees(momentum, offsets, "pt")
