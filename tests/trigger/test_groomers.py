"""Groomers against fastjet's tools, and pruning once more against a slow second version."""

from __future__ import annotations

import itertools
import math

import awkward as ak
import numpy as np
import pytest

from trigger.data.jets import MOMENTUM
from trigger.errors import InputError
from trigger.inputs.groomers import filter_hardest, groomed_jets, prune, trim
from trigger.inputs.grooming import mmdt, soft_drop
from trigger.inputs.trees import CAMBRIDGE, KT, flat_momenta


@pytest.fixture(scope="module")
def sample(toy):
    """Every tenth of the toy jets, with soft particles far from the others, so that there is something to groom."""
    momentum, offsets = flat_momenta(toy.take(np.arange(0, len(toy), 10)).constituents)
    generator = np.random.default_rng(4)
    jets = []
    for start, stop in itertools.pairwise(offsets):
        jet = momentum[start:stop]
        total = jet.sum(axis=0)
        y, phi = 0.5 * math.log((total[3] + total[2]) / (total[3] - total[2])), math.atan2(total[1], total[0])
        pt = generator.exponential(10, 12)
        eta, azimuth = y + generator.normal(0, 0.4, 12), phi + generator.normal(0, 0.4, 12)
        soft = np.stack([pt * np.cos(azimuth), pt * np.sin(azimuth), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
        jets.append(np.concatenate([jet, soft]))
    return np.concatenate(jets), np.concatenate([[0], np.cumsum([len(jet) for jet in jets])])


@pytest.fixture
def fastjet_kept(fastjet_sequence):
    """The constituents that a tool of fastjet keeps, one jet at a time: a function."""

    def found(momentum, offsets, tool):
        kept = np.zeros(len(momentum), dtype=bool)
        for start, stop in itertools.pairwise(offsets):
            sequence = fastjet_sequence(momentum[start:stop])
            (jet,) = sequence.inclusive_jets()
            groomed = tool(jet)
            kept[[start + one.user_index() for one in groomed.constituents()]] = True
        return kept

    return found


@pytest.mark.parametrize(("radius", "fraction"), [(0.3, 0.05), (0.2, 0.03), (0.1, 0.1)])
@pytest.mark.parametrize("power", [KT, CAMBRIDGE])
def test_trimming_is_fastjets(sample, fastjet_kept, radius, fraction, power):
    import fastjet
    from fastjet import _swig

    algorithm = {KT: fastjet.kt_algorithm, CAMBRIDGE: fastjet.cambridge_algorithm}[power]
    tool = _swig.Filter(fastjet.JetDefinition(algorithm, radius), _swig.SelectorPtFractionMin(fraction))
    kept = trim(*sample, radius, fraction, power)
    np.testing.assert_array_equal(kept, fastjet_kept(*sample, tool))
    assert 0 < kept.mean() < 1


@pytest.mark.parametrize("count", [1, 3])
def test_filtering_is_fastjets(sample, fastjet_kept, count):
    import fastjet
    from fastjet import _swig

    tool = _swig.Filter(fastjet.JetDefinition(fastjet.cambridge_algorithm, 0.2), _swig.SelectorNHardest(count))
    kept = filter_hardest(*sample, 0.2, count)
    np.testing.assert_array_equal(kept, fastjet_kept(*sample, tool))
    assert 0 < kept.mean() < 1


@pytest.mark.parametrize(("z_cut", "factor"), [(0.1, 0.5), (0.05, 0.3), (0.3, 0.0)])
@pytest.mark.parametrize("power", [KT, CAMBRIDGE])
def test_pruning_is_fastjets(sample, fastjet_kept, z_cut, factor, power):
    import fastjet
    from fastjet import _swig

    algorithm = {KT: fastjet.kt_algorithm, CAMBRIDGE: fastjet.cambridge_algorithm}[power]
    kept = prune(*sample, z_cut, factor, power)
    np.testing.assert_array_equal(kept, fastjet_kept(*sample, _swig.Pruner(algorithm, z_cut, factor)))
    assert 0 < kept.mean() < 1


def slow_prune(particles, z_cut, factor):
    """Cambridge/Aachen with vetoed mergings, in plain Python; returns the numbers of the kept particles."""

    def place(p):
        return 0.5 * math.log((p[3] + p[2]) / (p[3] - p[2])), math.atan2(p[1], p[0])

    def distance(a, b):
        (y1, phi1), (y2, phi2) = place(a[0]), place(b[0])
        return math.hypot(y1 - y2, math.remainder(phi1 - phi2, 2 * math.pi))

    def pt(p):
        return math.hypot(p[0], p[1])

    px, py, pz, energy = (sum(column) for column in zip(*particles, strict=True))
    d_cut = factor * 2 * math.sqrt(energy**2 - px**2 - py**2 - pz**2) / math.hypot(px, py)
    nodes = [(tuple(p), [number]) for number, p in enumerate(particles)]
    while len(nodes) > 1:
        a, b = min(itertools.combinations(nodes, 2), key=lambda pair: distance(*pair))
        nodes = [node for node in nodes if node is not a and node is not b]
        both = tuple(x + y for x, y in zip(a[0], b[0], strict=True))
        if distance(a, b) > d_cut and min(pt(a[0]), pt(b[0])) < z_cut * pt(both):
            nodes.append(max(a, b, key=lambda node: pt(node[0])))
        else:
            nodes.append((both, a[1] + b[1]))
    return sorted(nodes[0][1])


def test_pruning_in_plain_python(sample):
    momentum, offsets = sample
    kept = prune(momentum, offsets)
    for start, stop in list(itertools.pairwise(offsets))[::12]:
        assert np.flatnonzero(kept[start:stop]).tolist() == slow_prune(momentum[start:stop].tolist(), 0.1, 0.5)


@pytest.mark.parametrize(("beta", "z_cut"), [(0.0, 0.1), (1.0, 0.2), (2.0, 0.1), (-1.0, 0.05)])
def test_soft_drop_is_fastjets(sample, beta, z_cut):
    import fastjet

    momentum, offsets = sample
    four = ak.zip(
        {name: ak.unflatten(momentum[:, k], np.diff(offsets)) for k, name in enumerate(MOMENTUM)},
        with_name="Momentum4D",
    )
    sequence = fastjet.ClusterSequence(four, fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0))
    expected = sequence.exclusive_jets_softdrop_grooming(beta=beta, symmetry_cut=z_cut, R0=0.7)
    kept = soft_drop(momentum, offsets, z_cut, beta, 0.7)
    # Where fastjet drops the whole jet, one particle is left here.
    single = np.add.reduceat(kept.astype(int), offsets[:-1]) == 1
    found = groomed_jets(momentum, offsets, kept)
    assert single.mean() < 0.5
    np.testing.assert_allclose(found.mass_gev[~single], ak.to_numpy(expected.msoftdrop)[~single], rtol=1e-6)
    np.testing.assert_allclose(found.pt_gev[~single], ak.to_numpy(expected.ptsoftdrop)[~single], rtol=1e-9)


def test_the_mass_drop_tagger_is_soft_drop_without_angle(sample):
    np.testing.assert_array_equal(mmdt(*sample, 0.1), soft_drop(*sample, 0.1, 0.0, 0.3))


def test_groomed_jets_are_sums_of_what_was_kept(sample):
    momentum, offsets = sample
    kept = np.random.default_rng(1).random(len(momentum)) < 0.5
    kept[: offsets[1]] = False
    found = groomed_jets(momentum, offsets, kept)
    for jet, (start, stop) in enumerate(itertools.pairwise(offsets)):
        px, py, pz, energy = momentum[start:stop][kept[start:stop]].sum(axis=0)
        assert found.mass_gev[jet] == pytest.approx(math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0)), rel=1e-9)
        assert found.pt_gev[jet] == pytest.approx(math.hypot(px, py))
    assert not found.momentum[0].any()


GROOMERS = [trim, filter_hardest, prune, soft_drop, mmdt]


@pytest.mark.parametrize("groomer", GROOMERS)
def test_jets_of_one_and_two_constituents(groomer):
    momentum = np.array([[3, 0, 1, 4], [100, 0, 0, 100], [0, 90, 0, 90], [100, 0, 0, 100], [0, 1, 0, 1.0]])
    kept = groomer(momentum, np.array([0, 1, 3, 5]))
    assert kept.tolist() == [True, True, True, True, groomer is filter_hardest]


def test_wrong_settings_are_refused(sample):
    momentum, offsets = sample
    for call, message in [
        (lambda: trim(*sample, fraction=1.0), "fraction is a share"),
        (lambda: prune(*sample, z_cut=-0.1), "z_cut is a share"),
        (lambda: prune(*sample, radius_factor=-1), "radius factor of pruning"),
        (lambda: filter_hardest(*sample, count=0), "at least one subjet"),
        (lambda: soft_drop(*sample, radius=0), "radius of soft drop"),
        (lambda: groomed_jets(*sample, np.ones(3, dtype=bool)), "mask of shape \\(3,\\)"),
        (lambda: prune(momentum, np.insert(offsets, 0, 0)), "no constituent"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
