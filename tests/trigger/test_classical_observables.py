"""The table of observables: what its columns are, and the flavours and tags of subjets made by hand."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import fastjet
import numpy as np
import pytest

from trigger.data.jets import JetDataset, Origin
from trigger.data.offline_jets import GHOST_SCALE, without_ghosts
from trigger.errors import InputError
from trigger.inputs.classical_observables import FAMILIES, SUBJETS, classical_observables, subjet_flavours
from trigger.inputs.features import jet_features
from trigger.inputs.subjet_btag import btag_probability
from trigger.kinematics import from_pt_eta_phi_mass

RADIUS = 0.8


def jets_of(rows):
    """Jets of massless constituents, each `(pt, eta, phi, pdg_id)`; those with a code of 4 or 5 are ghosts."""
    flat = np.array([one for jet in rows for one in jet], dtype=float)
    ghost = np.isin(flat[:, 3], (4, 5))
    pt = np.where(ghost, GHOST_SCALE, 1.0) * flat[:, 0]
    px, py, pz, energy = from_pt_eta_phi_mass(pt, flat[:, 1], flat[:, 2], 0.0)
    columns = {"px": px, "py": py, "pz": pz, "E": energy, "charge": np.zeros(len(flat), dtype=np.int8),
               "pdg_id": flat[:, 3].astype(np.int32), "vertex": np.zeros(len(flat), dtype=np.int8)}  # fmt: skip
    jets = len(rows)
    return JetDataset(
        ak.unflatten(ak.zip(columns), [len(jet) for jet in rows]), np.arange(jets, dtype=np.int64) % 2, ("x", "y"),
        np.ones(jets), np.arange(jets, dtype=np.int64), Origin("toy", True),
    )  # fmt: skip


def prong(pt, eta, phi, generator, particles=6):
    return [(pt / particles, eta + d, phi + e, 211) for d, e in generator.normal(0, 0.01, (particles, 2))]


@pytest.fixture(scope="module")
def three_prongs():
    """Prongs of 300, 200 and 100 GeV; the ghosts of each jet, and the flavours by falling pT."""
    generator = np.random.default_rng(1)
    places = ((300, 0.3, 0.0), (200, -0.3, 0.2), (100, 0.0, -0.4))
    cases = [
        ([], (0, 0, 0)),
        ([(5, 1)], (0, 5, 0)),
        ([(4, 2), (5, 0)], (5, 0, 4)),
        ([(4, 0), (5, 0), (4, 1)], (5, 4, 0)),
        ([(5, 0), (5, 1), (5, 2)], (5, 5, 5)),
    ]
    rows = []
    for ghosts, _ in cases:
        jet = [one for place in places for one in prong(*place, generator)]
        jet += [(80, places[at][1] + 0.02, places[at][2] - 0.01, code) for code, at in ghosts]
        rows.append([jet[k] for k in generator.permutation(len(jet))])
    return jets_of(rows), np.array([flavours for _, flavours in cases])


def test_ghosts_give_their_subjets_a_flavour(three_prongs):
    jets, expected = three_prongs
    flavour, pt = subjet_flavours(jets.constituents)
    np.testing.assert_array_equal(flavour, expected)
    np.testing.assert_allclose(pt, np.tile([300, 200, 100], (len(jets), 1)), rtol=1e-3)


def test_flavours_are_those_of_fastjet(toy):
    generator = np.random.default_rng(2)
    jets = toy.take(np.arange(0, len(toy), 10))
    rows = []
    for jet in ak.to_list(jets.constituents):
        real = [(np.hypot(p["px"], p["py"]), np.arcsinh(p["pz"] / np.hypot(p["px"], p["py"])),
                 np.arctan2(p["py"], p["px"]), 211) for p in jet]  # fmt: skip
        on = [real[k] for k in generator.integers(0, len(real), 2)]
        rows.append([*real, *((one[0], one[1] + 1e-4, one[2], code) for one, code in zip(on, (4, 5), strict=True))])
    with_ghosts = jets_of(rows)
    flavour, pt = subjet_flavours(with_ghosts.constituents)
    definition = fastjet.JetDefinition(fastjet.kt_algorithm, 10.0)
    for number, jet in enumerate(ak.to_list(with_ghosts.constituents)):
        particles = []
        for p in jet:
            particles.append(fastjet.PseudoJet(p["px"], p["py"], p["pz"], p["E"]))
            particles[-1].set_user_index(p["pdg_id"] if p["pdg_id"] in (4, 5) else 0)
        sequence = fastjet.ClusterSequence(particles, definition)
        found = fastjet.sorted_by_pt(sequence.exclusive_jets(SUBJETS))
        np.testing.assert_allclose(pt[number], [one.pt() for one in found], rtol=1e-9)
        assert flavour[number].tolist() == [max(p.user_index() for p in one.constituents()) for one in found]


def test_a_jet_of_two_particles_has_two_subjets():
    jets = jets_of([[(100, 0, 0, 211), (50, 0.2, 0, 211), (30, 0.2, 0.01, 5)]] * 2)
    flavour, pt = subjet_flavours(jets.constituents)
    # The ghost may be a subjet of its own: there is nothing to merge it with before three are left.
    assert flavour[0].max() == 5
    np.testing.assert_allclose(pt[0, :2], [100, 50])
    assert pt[0, 2] < 1e-10


def test_tags_are_as_frequent_as_the_parametrisation_says(three_prongs):
    jets, flavours = three_prongs
    repeats = 3000
    many = jets.take(np.tile(np.arange(len(jets)), repeats))
    table = classical_observables(many, RADIUS, np.random.default_rng(3), workers=2)
    _, pt = subjet_flavours(jets.constituents)
    expected = btag_probability(flavours, pt)
    tags = np.stack([table.column(f"btag_{rank + 1}") for rank in range(SUBJETS)], axis=1)
    found = tags.reshape(repeats, len(jets), SUBJETS).mean(axis=0)
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / repeats)).all()
    np.testing.assert_array_equal(table.column("btags"), tags.sum(axis=1))


def test_ghosts_change_nothing_but_tags(three_prongs):
    jets, _ = three_prongs
    with_tags = classical_observables(jets, RADIUS, np.random.default_rng(1))
    bare = classical_observables(without_ghosts(jets), RADIUS)
    assert set(with_tags.names) - set(bare.names) == set(FAMILIES["b tags"])
    for name in bare.names:
        np.testing.assert_array_equal(with_tags.column(name), bare.column(name), err_msg=name)


def test_columns_are_what_they_are_called(toy):
    table = classical_observables(toy, RADIUS)
    np.testing.assert_allclose(table.column("mass_gev"), toy.kinematics()["mass_gev"], atol=1e-4)
    features = jet_features(toy, ("mass_gev", "n2_b1"))
    np.testing.assert_array_equal(table.column("mmdt_mass_gev"), features.column("mass_gev"))
    np.testing.assert_array_equal(table.column("n2_b1"), features.column("n2_b1"))
    for name in FAMILIES["masses"]:
        assert (table.column(name) <= table.column("mass_gev") * (1 + 1e-9)).all(), name
    # The angle makes soft drop with beta 1 drop less of the jet than the mass-drop tagger does.
    assert (table.column("soft_drop_mass_gev") >= table.column("mmdt_mass_gev") - 1e-9).all()
    assert (table.column("soft_drop_mass_gev") > table.column("mmdt_mass_gev") + 1).any()
    medians = {name: [np.median(table.column(name)[toy.labels == label]) for label in range(5)] for name in table.names}
    assert medians["tau21"][2] < 0.5 * medians["tau21"][0], "two prongs have a small tau21"
    assert medians["tau32"][4] < 0.7 * medians["tau32"][2], "three prongs have a small tau32"


def test_the_table_does_not_depend_on_workers_or_blocks(toy, monkeypatch):
    whole = classical_observables(toy, RADIUS, np.random.default_rng(1))
    monkeypatch.setattr("trigger.inputs.classical_observables._BLOCK", 100)
    assert classical_observables(toy, RADIUS, np.random.default_rng(1), workers=3).digest() == whole.digest()
    one, parts = np.random.default_rng(1), (np.arange(250), np.arange(250, len(toy)))
    values = np.concatenate([classical_observables(toy.take(part), RADIUS, one).values for part in parts])
    np.testing.assert_array_equal(values, whole.values)


def test_a_jet_of_ghosts_alone_is_refused(three_prongs):
    jets, _ = three_prongs
    ghosts = jets_of([[(100, 0, 0, 5)], [(100, 0, 0, 211)]])
    broken = replace(jets, constituents=ak.concatenate([jets.constituents[:3], ghosts.constituents]))
    with pytest.raises(InputError, match="1 of 5 jets hold nothing but ghosts"):
        classical_observables(broken, RADIUS)
