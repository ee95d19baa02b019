"""Jets turned into one direction: what is kept, where the subjets are, and that nothing depends on where the jet was."""

from __future__ import annotations

import numpy as np
import pytest

from trigger.inputs.alignment import aligned, aligned_pixels
from trigger.inputs.subjets import inclusive_subjets
from trigger.inputs.trees import flat_momenta
from trigger.kinematics import from_pt_eta_phi_mass


@pytest.fixture(scope="module")
def sample(toy):
    return flat_momenta(toy.constituents)


def mass2(momentum, offsets):
    total = np.add.reduceat(momentum, offsets[:-1])
    return total[:, 3] ** 2 - (total[:, :3] ** 2).sum(axis=1)


def test_subjets_are_where_they_should_be(sample):
    momentum, offsets = sample
    parts = inclusive_subjets(momentum, offsets, 0.3)
    turned = aligned(momentum, offsets)
    total = np.zeros_like(parts.momentum)
    np.add.at(total, parts.member, turned)
    first, counts = parts.offsets[:-1], np.diff(parts.offsets)
    leading = total[first]
    np.testing.assert_allclose(leading[:, 1:3] / leading[:, 3:], 0, atol=1e-9)
    assert (leading[:, 0] > 0).all()
    second = total[first[counts > 1] + 1]
    assert (counts > 1).any()
    np.testing.assert_allclose(second[:, 2] / second[:, 3], 0, atol=1e-9)
    assert (second[:, 1] < 0).all()
    assert (total[first[counts > 2] + 2, 2] >= 0).all()
    np.testing.assert_allclose(mass2(turned, offsets), mass2(momentum, offsets), rtol=1e-6, atol=1e-4)


def test_it_does_not_matter_where_a_jet_was(sample):
    momentum, offsets = sample
    angle, rapidity = 2.1, 0.8
    moved = momentum.copy()
    moved[:, 0] = np.cos(angle) * momentum[:, 0] - np.sin(angle) * momentum[:, 1]
    moved[:, 1] = np.sin(angle) * momentum[:, 0] + np.cos(angle) * momentum[:, 1]
    moved[:, 2] = np.cosh(rapidity) * momentum[:, 2] + np.sinh(rapidity) * momentum[:, 3]
    moved[:, 3] = np.cosh(rapidity) * momentum[:, 3] + np.sinh(rapidity) * momentum[:, 2]
    moved *= [1, 1, -1, 1]  # and mirrored
    here, there = aligned(momentum, offsets), aligned(moved, offsets)
    three = np.diff(inclusive_subjets(momentum, offsets, 0.3).offsets) > 2
    chosen = np.repeat(three, np.diff(offsets))
    np.testing.assert_allclose(there[chosen], here[chosen], atol=1e-6)


def test_particles_along_the_beam_are_no_numbers_less():
    momentum = np.array([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, -3.0, 3.0]])
    assert np.isfinite(aligned(momentum, np.array([0, 1, 2]))).all()


def test_pixels_hold_the_jet(toy):
    momentum, offsets = aligned_pixels(toy, 25, 0.1)
    assert len(offsets) == len(toy) + 1
    energy = momentum[:, 3]
    np.testing.assert_allclose(energy**2, (momentum[:, :3] ** 2).sum(axis=1), rtol=1e-9)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    eta, phi = np.arcsinh(momentum[:, 2] / pt), np.arctan2(momentum[:, 1], momentum[:, 0])
    for place in (eta, phi):
        np.testing.assert_allclose(place / 0.1, np.round(place / 0.1), atol=1e-6)
        assert np.abs(place).max() <= 1.2 + 1e-9
    flat, borders = flat_momenta(toy.constituents)
    before = np.add.reduceat(np.hypot(flat[:, 0], flat[:, 1]), borders[:-1])
    np.testing.assert_allclose(np.add.reduceat(pt, offsets[:-1]), before, rtol=1e-6)
    jet = np.repeat(np.arange(len(toy)), np.diff(offsets))
    assert len(np.unique(np.stack([jet, np.round(eta / 0.1), np.round(phi / 0.1)]), axis=1).T) == len(jet)


def test_a_jet_of_one_particle_is_one_pixel_in_the_middle(toy):
    from dataclasses import replace

    import awkward as ak

    px, py, pz, energy = from_pt_eta_phi_mass(100.0, 0.7, -2.0, 0.0)
    one = {"px": [[px]], "py": [[py]], "pz": [[pz]], "E": [[energy]]}
    rest = {name: [[0]] for name in ("charge", "pdg_id", "vertex")}
    jets = replace(toy.take(np.arange(1)), constituents=ak.zip({name: ak.Array(x) for name, x in (one | rest).items()}))
    momentum, offsets = aligned_pixels(jets)
    np.testing.assert_allclose(momentum, [[100.0, 0.0, 0.0, 100.0]], atol=1e-9)
    np.testing.assert_array_equal(offsets, [0, 1])
