"""Clouds of particles against loops over particles."""

from __future__ import annotations

import math
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from models.offline.clouds import IDENTITY_FEATURES, PARTICLE_FEATURES, aligned, leading
from trigger.data.jets import JetDataset, Origin
from trigger.errors import InputError
from trigger.kinematics import from_pt_eta_phi_mass


def sample(jets, pdg_id=None, charge=None):
    """Jets of given `(px, py, pz, E)`."""
    counts = [len(jet) for jet in jets]
    flat = np.array([vector for jet in jets for vector in jet], dtype=float)
    n = len(flat)
    columns = {"px": flat[:, 0], "py": flat[:, 1], "pz": flat[:, 2], "E": flat[:, 3],
               "charge": np.zeros(n) if charge is None else np.array(charge, dtype=float),
               "pdg_id": np.zeros(n, dtype=int) if pdg_id is None else np.array(pdg_id), "vertex": np.zeros(n, dtype=int)}  # fmt: skip
    return JetDataset(
        ak.unflatten(ak.zip(columns), counts), np.arange(len(jets)) % 2, ("a", "b"), np.ones(len(jets)),
        np.arange(len(jets)) + 70, Origin("test"),
    )  # fmt: skip


def particle(pt, eta, phi, mass=0.0):
    return from_pt_eta_phi_mass(pt, eta, phi, mass)


def test_features_are_those_of_a_loop(toy):
    jets = toy.take(np.arange(0, 600, 61))
    cloud = leading(jets, 9)
    found, mask = cloud.padded(cloud.features()), cloud.mask()
    assert found.shape == (len(jets), 9, len(PARTICLE_FEATURES))
    for index, constituents in enumerate(ak.to_list(jets.constituents)):
        total = [sum(one[name] for one in constituents) for name in ("px", "py", "pz", "E")]
        jet_pt = math.hypot(total[0], total[1])
        jet_eta, jet_phi = math.asinh(total[2] / jet_pt), math.atan2(total[1], total[0])
        ranked = sorted(constituents, key=lambda one: -math.hypot(one["px"], one["py"]))[:9]
        assert mask[index].tolist() == [1.0] * len(ranked) + [0.0] * (9 - len(ranked))
        for slot, one in enumerate(ranked):
            pt = math.hypot(one["px"], one["py"])
            deta = math.asinh(one["pz"] / pt) - jet_eta
            dphi = math.remainder(math.atan2(one["py"], one["px"]) - jet_phi, 2 * math.pi)
            wanted = [deta, dphi, math.log(pt), math.log(one["E"]), math.log(pt / jet_pt), math.log(one["E"] / total[3]),
                      math.hypot(deta, dphi)]  # fmt: skip
            np.testing.assert_allclose(found[index, slot], wanted, rtol=1e-5, atol=1e-6)
        assert not found[index, len(ranked) :].any()


def test_shares_are_of_all_constituents():
    jets = sample([[particle(60, 0, 0), particle(30, 0.1, 0.1), particle(10, -0.1, 0.2)], [particle(5, 1, 1)]])
    cloud = leading(jets, 2)
    np.testing.assert_allclose(cloud.padded(cloud.share[:, None])[:, :, 0], [[0.6, 0.3], [1.0, 0.0]], rtol=1e-6)


def test_rapidity_offsets_do_not_change_when_all_is_boosted(toy):
    jets = toy.take(np.arange(400, 420))
    beta = 0.6
    gamma = 1 / math.sqrt(1 - beta**2)
    boosted = jets.constituents
    pz, energy = boosted["pz"], boosted["E"]
    boosted = ak.with_field(boosted, gamma * (pz + beta * energy), "pz")
    boosted = ak.with_field(boosted, gamma * (energy + beta * pz), "E")
    before, after = leading(jets, 40), leading(replace(jets, constituents=boosted), 40)
    np.testing.assert_allclose(after.rapidity_offsets(), before.rapidity_offsets(), atol=1e-8)
    assert np.abs(np.subtract(after.offsets(), before.offsets())).max() > 1e-4


def test_identity():
    vectors = [particle(50 - k, 0.1 * k, 0.0) for k in range(6)]
    cloud = leading(sample([vectors], pdg_id=[211, 130, 22, 11, -13, 0], charge=[-1, 0, 0, 1, -1, 1]), 6)
    wanted = {
        "charge": [-1, 0, 0, 1, -1, 1],
        "electron": [0, 0, 0, 1, 0, 0],
        "muon": [0, 0, 0, 0, 1, 0],
        "charged_hadron": [1, 0, 0, 0, 0, 0],
        "neutral_hadron": [0, 1, 0, 0, 0, 0],
        "photon": [0, 0, 1, 0, 0, 0],
    }
    assert tuple(wanted) == IDENTITY_FEATURES
    np.testing.assert_array_equal(cloud.identity().T, list(wanted.values()))


def test_unknown_identity_is_refused(toy):
    with pytest.raises(InputError, match="pdg_id are 0"):
        leading(toy, 5).identity()


def test_what_goes_along_the_beam_is_left_out():
    along = (0.0, 0.0, 50.0, 50.0)
    cloud = leading(sample([[along, particle(20, 0.3, 1.0)], [particle(5, 1, 1)]]), 3)
    assert cloud.mask().tolist() == [[1, 0, 0], [1, 0, 0]]
    with pytest.raises(InputError, match=r"jet 1 \(event 71\) has no transverse momentum"):
        leading(sample([[particle(5, 1, 1)], [along]]), 3)


def test_numbers_that_are_too_large_are_refused(toy):
    cloud = leading(toy, 3)
    with pytest.raises(InputError, match="jet 0 is NaN or infinite"), np.errstate(over="ignore"):
        cloud.padded(np.full((len(cloud.jet), 1), 1e300))


def test_aligned_jets(toy):
    cloud = leading(toy, 200)
    found = cloud.padded(aligned(cloud))
    pt, eta, phi = np.moveaxis(found, 2, 0)
    np.testing.assert_allclose(found[:, 0, 1:], 0, atol=1e-6)
    np.testing.assert_allclose(eta[:, 1], 0, atol=1e-6)
    assert (phi[:, 1] < 0).all()
    np.testing.assert_allclose(pt[:, 0], cloud.padded(cloud.pt_gev[:, None])[:, 0, 0], rtol=1e-6)
    balance = (pt * np.where(np.abs(eta) > 1e-6, np.sign(eta), 0)).sum(axis=1)
    assert (balance > -1e-3 * pt.sum(axis=1)).all()
    # All steps are Lorentz transformations or mirrors, and toys are massless: the mass of the whole stays.
    momentum = np.stack(from_pt_eta_phi_mass(pt.astype(float), eta, phi, 0.0)).sum(axis=2)
    mass = np.sqrt(momentum[3] ** 2 - (momentum[:3] ** 2).sum(axis=0))
    np.testing.assert_allclose(mass, toy.kinematics()["mass_gev"], rtol=1e-3)


def test_aligned_jets_do_not_know_where_they_were(toy):
    jets = toy.take(np.arange(0, 600, 37))
    cloud = leading(jets, 30)
    pt, eta, phi = cloud.pt_gev, cloud.eta, cloud.phi
    moved = np.stack(from_pt_eta_phi_mass(pt, 0.7 - eta, phi + 2.0, 0.0), axis=1)
    np.testing.assert_allclose(aligned(replace(cloud, momentum=moved)), aligned(cloud), atol=1e-6, rtol=1e-6)


def test_aligned_by_hand():
    # The second particle is at a right angle above the first: it is brought below it, and the third follows.
    jets = sample([[particle(100, 0.0, 0.0), particle(50, 0.0, 0.4), particle(20, 0.0, -0.3)], [particle(7, 2, 1)]])
    np.testing.assert_allclose(
        aligned(leading(jets, 3)), [[100, 0, 0], [50, 0, -0.4], [20, 0, 0.3], [7, 0, 0]], atol=1e-9
    )
