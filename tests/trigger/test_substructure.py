"""Towers, trimmed jets and their numbers against loops, fastjet and cases worked out by hand."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from trigger.data.jets import JetDataset, Origin
from trigger.data.toy import ToyData, toy_jets
from trigger.errors import InputError
from trigger.inputs.clustering import cluster
from trigger.inputs.substructure import concatenate_substructure, in_towers, substructure, trimmed_jets
from trigger.kinematics import delta_phi, from_pt_eta_phi_mass

DATA = ToyData(kind="toy", classes=("quark", "W"), jets_per_class=40)


@pytest.fixture(scope="module")
def jets():
    return next(iter(toy_jets(DATA, 3)))


def made(pt, eta, phi):
    """A single jet of massless particles."""
    px, py, pz, energy = from_pt_eta_phi_mass(*map(np.array, (pt, eta, phi)), 0.0)
    columns = {"px": px, "py": py, "pz": pz, "E": energy, "charge": np.ones(len(pt), dtype=np.int8),
               "pdg_id": np.full(len(pt), 211, dtype=np.int32), "vertex": np.zeros(len(pt), dtype=np.int8)}  # fmt: skip
    constituents = ak.unflatten(ak.zip(columns), [len(pt)])
    return JetDataset(constituents, np.zeros(1, dtype=int), ("a", "b"), np.ones(1), np.zeros(1, dtype=int), Origin("x"))


def rows(jet):
    return np.array([[particle[name] for name in ("px", "py", "pz", "E")] for particle in jet.to_list()])


def test_towers_are_those_of_a_loop(jets):
    width, around = 0.1, 63
    found = in_towers(jets, width)
    for jet, towers in zip(jets.constituents, found.constituents, strict=True):
        energies: dict[tuple[int, int], float] = {}
        for px, py, pz, energy in rows(jet):
            row = int(np.floor(np.arcsinh(pz / np.hypot(px, py)) / width))
            column = int(np.floor((np.arctan2(py, px) % (2 * np.pi)) * around / (2 * np.pi))) % around
            energies[row, column] = energies.get((row, column), 0.0) + energy
        p = rows(towers)
        eta, phi = np.arcsinh(p[:, 2] / np.hypot(p[:, 0], p[:, 1])), np.arctan2(p[:, 1], p[:, 0]) % (2 * np.pi)
        keys = [(round(y / width - 0.5), round(x * around / (2 * np.pi) - 0.5)) for y, x in zip(eta, phi, strict=True)]
        assert sorted(keys) == sorted(energies)
        assert p[:, 3] == pytest.approx([energies[key] for key in keys], rel=1e-12)
        assert p[:, 3] == pytest.approx(np.sqrt((p[:, :3] ** 2).sum(axis=1)), rel=1e-12)
    assert (found.labels == jets.labels).all()


def test_towers_at_the_end_of_azimuth():
    """One particle just below 2 pi and one just above 0 are in neighbouring towers, the last and the first."""
    found = in_towers(made([10.0, 20.0], [0.05, 0.05], [-0.01, 0.01]), 0.1)
    p = rows(found.constituents[0])
    half = np.pi / 63
    phi = np.arctan2(p[:, 1], p[:, 0])
    assert sorted(phi) == pytest.approx([-half, half])


def test_trimming_is_that_of_fastjet(jets):
    found = trimmed_jets(jets, 0.2, 0.1)
    assert len(found) == len(jets)
    particles = jets.constituents[["px", "py", "pz", "E"]]
    subjets = cluster(particles, 0.2, 0.0, "kt")
    total = np.hypot(*(ak.to_numpy(ak.sum(particles[name], axis=1)) for name in ("px", "py")))
    kept = np.hypot(subjets.momentum["px"], subjets.momentum["py"]) >= 0.1 * total[subjets.event]
    for name in ("px", "pz", "E"):
        wanted = np.bincount(subjets.event[kept], subjets.momentum[name][kept], minlength=len(jets))
        assert found.momentum()[name] == pytest.approx(wanted, rel=1e-9, abs=1e-6)


def test_jets_of_which_nothing_is_left():
    """Eleven single particles have a ninth of the jet each at the most."""
    phi = np.linspace(-0.8, 0.8, 11)
    with pytest.raises(InputError, match="leaves nothing"):
        trimmed_jets(made(np.ones(11), np.zeros(11), phi), 0.1, 0.2)


def test_numbers_of_two_prongs():
    """Two particles of pT a and b at distance d: m^2 = 2 a b (cosh dy - cos dphi); no tau_2; subjets at d."""
    a, b, dy, dphi = 150.0, 120.0, 0.3, 0.4
    found = substructure(made([a, b], [0.5, 0.5 + dy], [3.0, 3.0 + dphi]), 0.3)  # across pi
    assert found.mass_gev[0] == pytest.approx(np.sqrt(2 * a * b * (np.cosh(dy) - np.cos(dphi))))
    assert found.delta_r[0] == pytest.approx(np.hypot(dy, dphi))
    assert found.tau21[0] == 0
    assert found.pt_gev[0] == pytest.approx(np.sqrt(a**2 + b**2 + 2 * a * b * np.cos(dphi)))


def test_tau21_of_three_particles():
    """Winner-take-all axes of three on a line at 0, 1, 3 tenths: tau_1 from the hardest, tau_2 from the last two left.

    kt distances: the pair (0, 1) is nearer than (1, 3) and softer by its own weight; its axis stays at the harder, 0.
    """
    pt, phi = [100.0, 40.0, 60.0], [0.0, 0.1, 0.3]
    found = substructure(made(pt, [0.0, 0.0, 0.0], phi), 0.05)
    tau2 = 40 * 0.1
    tau1 = 40 * 0.1 + 60 * 0.3
    assert found.tau21[0] == pytest.approx(tau2 / tau1)
    assert found.delta_r[0] == pytest.approx(0.3)  # the subjets of 100 and 60 GeV


def test_one_subjet_has_no_distance():
    assert substructure(made([100.0, 40.0], [0.0, 0.1], [0.0, 0.0]), 0.3).delta_r[0] == 0


def test_delta_r_is_that_of_fastjets_subjets(jets):
    found = substructure(jets, 0.2)
    subjets = cluster(jets.constituents[["px", "py", "pz", "E"]], 0.2, 0.0, "kt")
    p = subjets.momentum
    pt, phi = np.hypot(p["px"], p["py"]), np.arctan2(p["py"], p["px"])
    rapidity = np.arctanh(p["pz"] / p["E"])
    for jet in range(len(jets)):
        mine = np.flatnonzero(subjets.event == jet)
        mine = mine[np.argsort(-pt[mine])][:2]
        wanted = (
            0.0
            if len(mine) < 2
            else np.hypot(rapidity[mine[0]] - rapidity[mine[1]], delta_phi(phi[mine[0]], phi[mine[1]]))
        )
        assert found.delta_r[jet] == pytest.approx(wanted, abs=1e-9)


def test_pieces_make_the_whole(jets):
    whole = substructure(jets, 0.2)
    first, second = jets.take(np.arange(10)), jets.take(np.arange(10, len(jets)))
    joined = concatenate_substructure([substructure(first, 0.2), substructure(second, 0.2)])
    assert (joined.table() == whole.table()).all()
    assert (whole.pt_gev[:10] == substructure(first, 0.2).pt_gev).all()


@pytest.mark.parametrize("width", [0.0, -0.1, 4.0])
def test_a_width_of_towers_that_is_none(jets, width):
    with pytest.raises(InputError, match="width of a tower"):
        in_towers(jets, width)
