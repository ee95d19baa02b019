"""Subjets against fastjet's."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from trigger.data.jets import MOMENTUM
from trigger.errors import InputError
from trigger.inputs.clustering import cluster
from trigger.inputs.subjets import exclusive_subjets, inclusive_subjets
from trigger.inputs.trees import ANTI_KT, CAMBRIDGE, KT, flat_momenta

ALGORITHMS = [("kt", KT), ("cambridge", CAMBRIDGE), ("antikt", ANTI_KT)]


@pytest.fixture(scope="module")
def sample(toy):
    return flat_momenta(toy.constituents)


@pytest.mark.parametrize("radius", [0.05, 0.2, 0.6])
@pytest.mark.parametrize(("algorithm", "power"), ALGORITHMS)
def test_inclusive_subjets_are_fastjets(toy, sample, algorithm, power, radius):
    expected = cluster(toy.constituents, radius, 0.0, algorithm)
    found = inclusive_subjets(*sample, radius, power)
    np.testing.assert_array_equal(np.diff(found.offsets), np.bincount(expected.event))
    np.testing.assert_array_equal(found.jet, expected.event)
    jet = np.repeat(np.arange(len(toy)), ak.num(toy.constituents.px))
    members = [[] for _ in range(len(found.momentum))]
    for constituent, subjet in enumerate(found.member):
        members[subjet].append(constituent - sample[1][jet[constituent]])
    pairs = zip(expected.event.tolist(), expected.constituents.to_list(), strict=True)
    assert sorted((event, sorted(one)) for event, one in pairs) == sorted(zip(found.jet.tolist(), members, strict=True))
    total = np.zeros_like(found.momentum)
    np.add.at(total, found.member, sample[0])
    np.testing.assert_allclose(found.momentum, total, rtol=1e-9)


def test_subjets_are_ordered_and_ranked(sample):
    found = inclusive_subjets(*sample, 0.1)
    pt = np.hypot(*found.momentum[:, :2].T)
    assert (np.diff(pt)[found.rank[1:] > 0] <= 0).all()
    np.testing.assert_array_equal(np.flatnonzero(found.rank == 0), found.offsets[:-1])


@pytest.mark.filterwarnings("ignore:dcut and exclusive jets")  # the binding says so of kt too
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_exclusive_subjets_are_fastjets(toy, sample, count):
    import fastjet

    four = ak.zip({name: toy.constituents[name] for name in MOMENTUM}, with_name="Momentum4D")
    sequence = fastjet.ClusterSequence(four, fastjet.JetDefinition(fastjet.kt_algorithm, 1000.0))
    expected = sequence.exclusive_jets(n_jets=count)
    found = exclusive_subjets(*sample, count)
    np.testing.assert_array_equal(np.diff(found.offsets), ak.num(expected.px))
    order = ak.argsort(expected.px**2 + expected.py**2, ascending=False)
    flat = np.stack([ak.to_numpy(ak.flatten(expected[name][order])) for name in MOMENTUM], axis=1)
    np.testing.assert_allclose(found.momentum, flat, rtol=1e-7)


def test_jets_of_one_and_two_constituents():
    momentum = np.array([[3, 0, 1, 4], [1, 0, 0, 1], [0, 2, 0, 2.0]])
    offsets = np.array([0, 1, 3])
    for found in (inclusive_subjets(momentum, offsets, 0.4), exclusive_subjets(momentum, offsets, 2)):
        assert found.offsets.tolist() == [0, 1, 3]
        assert found.member.tolist() == [0, 2, 1]
        np.testing.assert_array_equal(found.momentum, momentum[[0, 2, 1]])
    one = exclusive_subjets(momentum, offsets, 1)
    assert one.member.tolist() == [0, 1, 1]
    assert inclusive_subjets(momentum, offsets, 1.6).member.tolist() == [0, 1, 1]


def test_wrong_settings_are_refused(sample):
    with pytest.raises(InputError, match="radius of subjets is positive, not -1"):
        inclusive_subjets(*sample, -1)
    with pytest.raises(InputError, match="at least one exclusive subjet, not 0"):
        exclusive_subjets(*sample, 0)
    with pytest.raises(InputError, match="no constituent"):
        inclusive_subjets(sample[0], np.insert(sample[1], 0, 0), 0.3)
