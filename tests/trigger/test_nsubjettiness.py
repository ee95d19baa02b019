"""N-subjettiness against nested loops over fastjet's axes, and what its minimisation must do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs.nsubjettiness import MULTI_BODY_BETAS, multi_body_names, nsubjettiness, tau_ratio
from trigger.inputs.trees import flat_momenta
from trigger.kinematics import from_pt_eta_phi_mass

R0 = 0.8


@pytest.fixture(scope="module")
def sample(toy):
    return flat_momenta(toy.take(np.arange(0, len(toy), 15)).constituents)


def wrapped(angle):
    return math.remainder(angle, 2 * math.pi)


def slow_axes(sequence, n):
    """Rapidity and azimuth of fastjet's exclusive jets."""
    return [(jet.rap(), jet.phi_std()) for jet in sequence.exclusive_jets(n)]


def slow_tau(particles, axes, beta):
    numerator = denominator = 0.0
    for px, py, pz, energy in particles:
        pt, y, phi = math.hypot(px, py), 0.5 * math.log((energy + pz) / (energy - pz)), math.atan2(py, px)
        numerator += pt * min(math.hypot(y - axis[0], wrapped(phi - axis[1])) for axis in axes) ** beta
        denominator += pt * R0**beta
    return numerator / denominator


@pytest.mark.parametrize("axes", ["kt", "winner_take_all_kt"])
def test_every_tau_in_plain_python(sample, fastjet_sequence, axes):
    momentum, offsets = sample
    scheme = {"kt": "E_scheme", "winner_take_all_kt": "WTA_pt_scheme"}[axes]
    betas = (*MULTI_BODY_BETAS, 1.3)
    found = nsubjettiness(momentum, offsets, 5, betas, axes, R0)
    assert list(found)[:5] == ["tau1_b0.5", "tau1_b1", "tau1_b2", "tau1_b1.3", "tau2_b0.5"]
    for jet, (start, stop) in enumerate(itertools.pairwise(offsets)):
        particles = momentum[start:stop].tolist()
        sequence = fastjet_sequence(particles, "kt", scheme)
        for n in range(1, 6):
            expected = slow_axes(sequence, n) if n < len(particles) else None
            for beta in betas:
                slow = slow_tau(particles, expected, beta) if expected else 0.0
                assert found[f"tau{n}_b{beta:g}"][jet] == pytest.approx(slow, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3.0])
def test_minimisation_ends_in_a_minimum(sample, beta):
    momentum, offsets = sample
    start = nsubjettiness(momentum, offsets, 3, (beta,), "kt", R0)
    least = nsubjettiness(momentum, offsets, 3, (beta,), "kt", R0, minimise=True)
    for name, tau in least.items():
        assert (tau <= start[name] * (1 + 1e-12)).all()
        # Axes of added four-momenta are nearly the best for beta 2.
        assert (tau < (0.999 if beta != 2.0 else 1.0) * start[name]).any()


@pytest.mark.parametrize("axes", ["kt", "winner_take_all_kt"])
def test_minimised_tau_one_is_the_best_of_a_search(sample, fastjet_sequence, axes):
    from scipy.optimize import minimize

    momentum, offsets = sample
    found = nsubjettiness(momentum, offsets, 1, (1.0, 1.4, 2.0, 3.0), axes, R0, minimise=True)
    for jet, (start, stop) in list(enumerate(itertools.pairwise(offsets)))[::8]:
        particles = momentum[start:stop].tolist()
        guess = slow_axes(fastjet_sequence(particles, "kt"), 1)[0]
        for beta in (1.0, 1.4, 2.0, 3.0):
            best = minimize(
                lambda axis, particles=particles, beta=beta: slow_tau(particles, [axis], beta), guess, method="Nelder-Mead",
                options={"xatol": 1e-7, "fatol": 1e-12},
            )  # fmt: skip
            assert found[f"tau1_b{beta:g}"][jet] == pytest.approx(best.fun, rel=2e-4)


def test_minimised_axes_cross_the_seam_of_azimuth():
    pt, eta, phi = np.array([5.0, 5, 1, 1]), np.array([0.1, -0.1, 0.3, -0.3]), np.array([3.1, -3.1, 3.0, -3.0])
    here = np.stack(from_pt_eta_phi_mass(pt, eta, phi, 0.0), axis=1)
    there = np.stack(from_pt_eta_phi_mass(pt, eta, phi - 2.0, 0.0), axis=1)
    offsets = np.array([0, 4])
    for minimise in (False, True):
        one, other = (nsubjettiness(p, offsets, 3, (0.5, 1.0), "kt", R0, minimise) for p in (here, there))
        for name, tau in one.items():
            # Steps end at a moved axis, not at the last bit.
            assert tau == pytest.approx(other[name], rel=1e-5 if minimise else 1e-9)


def test_prongs_are_counted(toy):
    taus = nsubjettiness(*flat_momenta(toy.constituents), 3, (1.0,))
    tau21, tau32 = tau_ratio(taus, 2, 1), tau_ratio(taus, 3, 2)
    mean = {
        name: (tau21[toy.labels == k].mean(), tau32[toy.labels == k].mean()) for k, name in enumerate(toy.class_names)
    }
    assert mean["W"][0] < 0.7 * mean["quark"][0]
    assert mean["top"][1] < 0.8 * mean["W"][1]


@pytest.mark.parametrize("axes", ["kt", "winner_take_all_kt"])
@pytest.mark.parametrize("minimise", [False, True])
def test_jets_of_one_and_two_constituents(axes, minimise):
    momentum = np.stack(
        from_pt_eta_phi_mass(np.array([3.0, 2, 1]), np.array([0.1, 0.0, 0.0]), np.array([0, 0, 0.4]), 0.0)
    )
    taus = nsubjettiness(momentum.T, np.array([0, 1, 3]), 3, (1.0,), axes, R0, minimise)
    assert not any(taus[f"tau{n}_b1"][0] for n in (1, 2, 3))
    assert taus["tau2_b1"][1] == taus["tau3_b1"][1] == 0
    # The harder one is the axis of winner-take-all, and the minimum for beta 1; elsewhere is nothing gained.
    of_the_harder = 1 * 0.4 / (3 * R0)
    if axes == "winner_take_all_kt":
        assert taus["tau1_b1"][1] == pytest.approx(of_the_harder)
    else:
        assert taus["tau1_b1"][1] >= of_the_harder * (1 - 1e-9)
    assert tau_ratio(taus, 2, 1).tolist() == [0, 0]


def test_the_multi_body_set():
    assert multi_body_names(2) == ("tau1_b1", "tau1_b2")
    assert multi_body_names(3) == ("tau1_b0.5", "tau1_b1", "tau1_b2", "tau2_b1", "tau2_b2")
    for bodies in range(2, 9):
        assert len(set(multi_body_names(bodies))) == 3 * bodies - 4


def test_wrong_settings_are_refused(sample):
    momentum, offsets = sample
    for call, message in [
        (lambda: nsubjettiness(*sample, 0), "at least one axis, not 0"),
        (lambda: nsubjettiness(*sample, 1, ()), "positive and different"),
        (lambda: nsubjettiness(*sample, 1, (1.0, 1.0)), "positive and different"),
        (lambda: nsubjettiness(*sample, 1, (0.0,)), "positive and different"),
        (lambda: nsubjettiness(*sample, radius=0), "radius is positive"),
        (lambda: nsubjettiness(*sample, axes="ca"), "'kt' or 'winner_take_all_kt', not 'ca'"),
        (lambda: nsubjettiness(momentum, np.insert(offsets, 0, 0)), "no constituent"),
        (lambda: nsubjettiness(momentum * [0, 0, 1, 1], offsets), "40 of 40 jets have no transverse momentum"),
        (lambda: tau_ratio({"tau1_b1": np.ones(1)}, 2, 1), "no tau2_b1 among tau1_b1"),
        (lambda: multi_body_names(1), "at least two bodies"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
