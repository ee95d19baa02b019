"""The search for tops against a slow second version on fastjet, and on decays of tops made by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs.top_finder import TopSearch, find_tops
from trigger.inputs.trees import flat_momenta
from trigger.kinematics import from_pt_eta_phi_mass

TOP, W = 172.3, 80.4


def decay(generator, parent, m1, m2):
    """Two-body decay, isotropic where the parent rests; four-vectors px, py, pz, E."""
    mass = math.sqrt(parent[3] ** 2 - (parent[:3] ** 2).sum())
    p = math.sqrt((mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2)) / (2 * mass)
    cosine, phi = generator.uniform(-1, 1), generator.uniform(0, 2 * math.pi)
    sine = math.sqrt(1 - cosine**2)
    way = p * np.array([sine * math.cos(phi), sine * math.sin(phi), cosine])
    beta, gamma = parent[:3] / parent[3], parent[3] / mass
    found = []
    for sign, m in ((1, m1), (-1, m2)):
        energy = math.hypot(p, m)
        along = beta @ (sign * way)
        space = sign * way + beta * (gamma * energy + gamma**2 / (gamma + 1) * along)
        found.append(np.array([*space, gamma * (energy + along)]))
    return found


def shower(generator, quark, pieces=8):
    """A quark as some massless particles near its direction that add up to about its momentum."""
    share = generator.dirichlet(np.ones(pieces))
    pt, eta = math.hypot(*quark[:2]), math.asinh(quark[2] / math.hypot(*quark[:2]))
    phi = math.atan2(quark[1], quark[0])
    spread = 0.02
    return np.stack(
        from_pt_eta_phi_mass(
            share * pt, eta + generator.normal(0, spread, pieces), phi + generator.normal(0, spread, pieces), 0.0
        ),
        axis=1,
    )


@pytest.fixture(scope="module")
def tops():
    generator = np.random.default_rng(8)
    jets = []
    for _ in range(150):
        pt, eta, phi = generator.uniform(350, 500), generator.uniform(-1, 1), generator.uniform(-3, 3)
        top = np.array(from_pt_eta_phi_mass(pt, eta, phi, TOP))
        bottom, w = decay(generator, top, 4.8, W)
        quarks = [bottom, *decay(generator, w, 0.0, 0.0)]
        soft = generator.exponential(2, 6)
        around = np.stack(
            from_pt_eta_phi_mass(soft, eta + generator.normal(0, 0.5, 6), phi + generator.normal(0, 0.5, 6), 0.0),
            axis=1,
        )
        jets.append(np.concatenate([*(shower(generator, quark) for quark in quarks), around]))
    return np.concatenate(jets), np.concatenate([[0], np.cumsum([len(jet) for jet in jets])])


def slow_search(particles):
    """One jet, with fastjet and plain loops."""
    import fastjet

    def clustered(jets, radius):
        return fastjet.ClusterSequence(jets, fastjet.JetDefinition(fastjet.cambridge_algorithm, radius))

    def total(jets):
        return [sum(getattr(jet, name)() for jet in jets) for name in ("px", "py", "pz", "e")]

    def mass(jets):
        px, py, pz, energy = total(jets)
        return math.sqrt(max(0.0, energy**2 - px**2 - py**2 - pz**2))

    whole = clustered([fastjet.PseudoJet(*map(float, p)) for p in particles], 1000.0)
    hard, left = [], list(whole.inclusive_jets())
    while left:
        jet = left.pop()
        a, b = fastjet.PseudoJet(), fastjet.PseudoJet()
        if mass([jet]) < 30 or not jet.has_parents(a, b):
            hard.append(jet)
            continue
        a, b = sorted((a, b), key=lambda one: -mass([one]))
        left.append(a)
        if mass([a]) < 0.8 * mass([jet]):
            left.append(b)
    best = None
    for three in itertools.combinations(hard, 3):
        radius = min(0.3, min(a.delta_R(b) for a, b in itertools.combinations(three, 2)) / 2)
        sequence = clustered([one for jet in three for one in jet.constituents()], radius)
        stay = sorted(sequence.inclusive_jets(), key=lambda jet: -jet.pt())[:5]
        inside = [fastjet.PseudoJet(one) for jet in stay for one in jet.constituents()]
        if len(inside) >= 3 and (best is None or abs(mass(inside) - TOP) < abs(mass(best) - TOP)):
            best = inside
    if best is None:
        return {"hard": len(hard), "found": False}
    sequence = clustered(best, 1000.0)
    j1, j2, j3 = sorted(sequence.exclusive_jets(3), key=lambda jet: -jet.pt())
    m12, m13, m23, m123 = mass([j1, j2]), mass([j1, j3]), mass([j2, j3]), mass(best)
    pt = math.hypot(*total(best)[:2])
    low, high, r, x = 0.85 * W / TOP, 1.15 * W / TOP, m23 / m123, m13 / m12
    fits = (
        (0.2 < math.atan(x) < 1.3 and low < r < high)
        or (low**2 * (1 + x**2) < 1 - r**2 < high**2 * (1 + x**2) and r > 0.35)
        or (low**2 * (1 + 1 / x**2) < 1 - r**2 < high**2 * (1 + 1 / x**2) and r > 0.35)
    )
    f_w = min(abs(ratio * TOP / W - 1) for ratio in (m12 / m123, m13 / m123, r))
    return {
        "hard": len(hard), "found": 150 < m123 < 200 and pt > 200 and fits, "mass": m123, "pt": pt, "f_w": f_w,
        "m23_ratio": r, "arctan": math.atan(x),
    }  # fmt: skip


@pytest.mark.usefixtures("quiet_fastjet")
@pytest.mark.parametrize("which", ["tops", "toys"])
def test_the_search_in_plain_python(tops, toy, which):
    momentum, offsets = tops if which == "tops" else flat_momenta(toy.take(np.arange(0, len(toy), 12)).constituents)
    found = find_tops(momentum, offsets)
    candidates = 0
    for jet, (start, stop) in enumerate(itertools.pairwise(offsets)):
        expected = slow_search(momentum[start:stop])
        assert found.hard_subjets[jet] == expected["hard"]
        assert found.found[jet] == expected["found"]
        assert found.candidate[jet] == ("mass" in expected)
        if "mass" in expected:
            candidates += 1
            assert found.mass_gev[jet] == pytest.approx(expected["mass"], rel=1e-6)
            assert found.pt_gev[jet] == pytest.approx(expected["pt"], rel=1e-9)
            for name in ("f_w", "m23_ratio", "arctan"):
                assert getattr(found, name)[jet] == pytest.approx(expected[name], rel=1e-5, abs=1e-6)
    assert candidates > 20


def test_tops_are_found_and_single_prongs_are_not(tops, toy):
    found = find_tops(*tops)
    assert found.found.mean() > 0.5
    good = found.found
    assert np.median(found.mass_gev[good]) == pytest.approx(TOP, rel=0.03)
    assert np.median(found.f_w[good]) < 0.05
    quarks = find_tops(*flat_momenta(toy.take(toy.labels == toy.class_names.index("quark")).constituents))
    assert quarks.found.mean() < 0.2


def test_jets_of_one_and_two_constituents():
    momentum = np.array([[300, 0, 0, 300], [300, 0, 0, 300], [0, 200, 0, 200.0]])
    found = find_tops(momentum, np.array([0, 1, 3]))
    assert not found.found.any()
    assert not found.candidate.any()
    assert found.hard_subjets.tolist() == [1, 2]
    for name in ("mass_gev", "pt_gev", "f_w", "m23_ratio", "arctan"):
        assert getattr(found, name).tolist() == [0, 0]


def test_wrong_settings_are_refused(tops):
    for settings, message in [
        ({"mass_drop": -1}, "mass_drop of the search"),
        ({"filter_radius": 0}, "filter_radius"),
        ({"w_gev": 0}, "w_gev"),
        ({"filter_count": 2}, "at least the three subjets"),
        ({"mass_range_gev": (-1.0, 200.0)}, "mass_range_gev"),
    ]:
        with pytest.raises(InputError, match=message):
            TopSearch(**settings)
    with pytest.raises(InputError, match="no constituent"):
        find_tops(tops[0], np.insert(tops[1], 0, 0))
