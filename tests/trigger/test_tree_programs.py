"""Trees as programs: run on a machine of sets, and with as few registers as a search over all orders finds."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs.tree_programs import leading_constituents, most_registers, node_features, tree_programs
from trigger.inputs.trees import ANTI_KT, CAMBRIDGE, KT, merging_trees, random_trees, sequential_trees

TREES = {
    "kt": lambda *jets: merging_trees(*jets, KT),
    "cambridge": lambda *jets: merging_trees(*jets, CAMBRIDGE),
    "anti-kt": lambda *jets: merging_trees(*jets, ANTI_KT),
    "in a row": sequential_trees,
    "random": lambda *jets: random_trees(*jets, 3),
}
MOST = 24


def sample(counts, seed=1):
    generator = np.random.default_rng(seed)
    total = int(np.sum(counts))
    pt, eta, phi = generator.exponential(3.0, total) + 0.3, *generator.normal(0, 0.4, (2, total))
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    return momentum, np.concatenate([[0], np.cumsum(counts)])


@pytest.fixture(scope="module")
def jets():
    return sample(np.concatenate([[1, 2, 3, MOST], np.random.default_rng(2).integers(1, MOST + 1, 60)]))


@pytest.mark.parametrize("name", TREES)
def test_programs_make_the_jets(jets, name):
    trees = TREES[name](*jets)
    programs = tree_programs(trees, MOST - 1)
    assert programs.target.max() + 1 <= most_registers(MOST)
    for jet, n in enumerate(trees.constituents):
        start = trees.offsets[jet]
        held = {}
        for step in range(MOST - 1):
            node, target = programs.node[jet, step], programs.target[jet, step]
            if step >= max(n - 1, 1):
                assert node == target == -1
                assert (programs.children[jet, step] == -1).all()
                continue
            if n == 1:
                held[target] = {node}
                continue
            pair = programs.children[jet, step]
            assert sorted(pair) == sorted(start + np.array([trees.first[node], trees.second[node]]))
            pt = np.hypot(trees.nodes[pair, 0], trees.nodes[pair, 1])
            assert pt[0] >= pt[1]
            made = set()
            for child, register in zip(pair, programs.registers[jet, step], strict=True):
                found = {child} if register < 0 else held.pop(register)
                assert (register < 0) == (child < start + n)
                assert child in found
                made |= found
            assert target not in held, "what is still needed is not overwritten"
            held[target] = made | {node}
        assert list(held) == [0]
        assert held[0] == set(range(start, trees.offsets[jet + 1])), "every node is in the jet"


def least_registers(first, second):
    """Search over all orders for the smallest number of results that are held at once."""
    inner = [k for k in range(len(first)) if first[k] >= 0]

    @cache
    def best(done):
        if len(done) == len(inner):
            return 1
        found = []
        for k in inner:
            children = {int(c) for c in (first[k], second[k]) if first[c] >= 0}
            if k in done or not children <= done:
                continue
            after = done | {k}
            taken = {int(c) for m in after for c in (first[m], second[m])}
            held = len([m for m in after if m not in taken])
            found.append(max(held, best(frozenset(after))))
        return min(found)

    return best(frozenset())


@pytest.mark.parametrize("name", ["kt", "random", "in a row"])
def test_no_order_needs_fewer_registers(name):
    jets = sample(np.random.default_rng(5).integers(2, 11, 30), 4)
    trees = TREES[name](*jets)
    for jet, n in enumerate(trees.constituents):
        one = TREES[name](jets[0][jets[1][jet] : jets[1][jet + 1]], np.array([0, n])) if name != "random" else None
        nodes = slice(trees.offsets[jet], trees.offsets[jet + 1])
        least = least_registers(trees.first[nodes], trees.second[nodes])
        programs = tree_programs(trees, 9)
        assert programs.target[jet].max() + 1 == least
        if one is not None:
            assert tree_programs(one, 9).target.max() + 1 == least


def test_a_balanced_tree_needs_most():
    momentum = np.array([[1.0, 0, 0, 1]] * 8)
    trees = sequential_trees(momentum, np.array([0, 8]))
    first, second = trees.first.copy(), trees.second.copy()
    first[8:], second[8:] = [0, 2, 4, 6, 8, 10, 12], [1, 3, 5, 7, 9, 11, 13]
    balanced = type(trees)(first, second, trees.nodes, trees.distance, trees.offsets)
    assert tree_programs(balanced, 7).target.max() + 1 == most_registers(8) == 3
    assert tree_programs(trees, 7).target.max() == 0


def test_too_short_programs_are_refused(jets):
    with pytest.raises(InputError, match="10 steps are too short for a jet of 24"):
        tree_programs(sequential_trees(*jets), 10)


def test_features_of_a_node():
    momentum = np.array([[3.0, 4.0, 12.0, 13.5], [0.0, 0.0, 5.0, 5.0]])
    features = node_features(momentum, np.array([27.0, 20.0]))
    polar = math.atan2(5.0, 12.0)
    expected = [13.0, -math.log(math.tan(polar / 2)), polar, math.atan2(4.0, 3.0), 13.5, 0.5, 5.0]
    np.testing.assert_allclose(features[0], expected)
    np.testing.assert_allclose(features[1], [5.0, 0.0, math.pi / 2, 0.0, 5.0, 0.25, 0.0])
    with pytest.raises(InputError, match="1 of 2 nodes are of jets without energy"):
        node_features(momentum, np.array([1.0, 0.0]))


def test_the_hardest_constituents_are_kept(jets):
    momentum, offsets = leading_constituents(*jets, 5)
    for jet in range(len(offsets) - 1):
        own = jets[0][jets[1][jet] : jets[1][jet + 1]]
        expected = sorted(own.tolist(), key=lambda p: -math.hypot(p[0], p[1]))[:5]
        np.testing.assert_array_equal(momentum[offsets[jet] : offsets[jet + 1]], expected)
