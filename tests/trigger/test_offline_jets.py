"""Jets for the offline analyses: what their settings do to real collisions."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from trigger.config import parse
from trigger.data.generate import SHOWERS, generate, read_generated
from trigger.data.jets import concatenate_jets
from trigger.data.offline_jets import GHOST_KINDS, OfflineJets, without_ghosts
from trigger.errors import InputError


def made(tmp_path, **settings):
    data = OfflineJets(kind="offline_jets", detector="perfect", **settings)
    return concatenate_jets(list(read_generated(generate(data, 1, tmp_path))))


@pytest.fixture(scope="module")
def top_and_qcd(tmp_path_factory):
    """Jets with ghosts, varied showers and a target."""
    return made(
        tmp_path_factory.mktemp("jets"), classes=("qcd", "top"), jets_per_class=80, pt_gev=(550, 650), vary_showers=True,
        multiple_interactions=False, ghosts_of_heavy_hadrons=True, learn="mass",
    )  # fmt: skip


def test_ghosts_tell_heavy_flavour_and_change_nothing_else(top_and_qcd):
    bottom = ak.to_numpy(ak.any(top_and_qcd.constituents.pdg_id == 5, axis=1))
    top = top_and_qcd.labels == 1
    assert bottom[top].mean() > 0.95, "the b quark of a contained top is in its jet, its hadron nearly always"
    assert bottom[~top].mean() < 0.5
    bare = without_ghosts(top_and_qcd)
    assert not np.isin(ak.to_numpy(ak.flatten(bare.constituents.pdg_id)), GHOST_KINDS).any()
    assert len(bare) == len(top_and_qcd)
    for name, column in bare.momentum().items():
        np.testing.assert_allclose(column, top_and_qcd.momentum()[name], rtol=1e-12, err_msg=name)


def test_weights_of_varied_showers_travel_with_the_jets(top_and_qcd):
    assert top_and_qcd.variations.shape == (len(top_and_qcd), len(SHOWERS))
    assert (top_and_qcd.variations > 0).all()
    assert 0 < np.std(top_and_qcd.variations) < 3
    some = top_and_qcd.take(np.arange(5))
    np.testing.assert_array_equal(some.variations, top_and_qcd.variations[:5])
    assert some.digest() != top_and_qcd.digest()


def test_the_true_mass_of_what_was_seen_perfectly_is_the_measured_one(top_and_qcd):
    # Ghosts are no part of the true jets; what the detector accepts is.
    close = np.abs(top_and_qcd.target - 1) < 1e-6
    assert close.mean() > 0.9


def test_whole_collisions_keep_every_jet(tmp_path):
    jets = made(
        tmp_path, classes=("qcd", "wz"), jets_per_class={"wz": 50, "qcd": 70}, pt_gev=(250, 300), radius=1.0,
        multiple_interactions=False,
    )  # fmt: skip
    assert np.bincount(jets.labels).tolist() == [70, 50]
    mass = jets.kinematics()["mass_gev"]
    near = np.abs(mass - 85) < 15
    assert near[jets.labels == 1].mean() > 2 * near[jets.labels == 0].mean()


def test_vincia_is_another_shower(tmp_path):
    settings = {"classes": ("qcd", "top"), "jets_per_class": 15, "multiple_interactions": False}
    one, two = (made(tmp_path, shower=shower, **settings) for shower in ("pythia", "vincia"))
    assert one.digest() != two.digest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [qcd, quark]", "'qcd' holds all jets of its collisions, so it does not go with 'quark'"),
        ("classes: [wz, Z]", "does not go with 'Z'"),
        ("vary_showers: true\nshower: vincia", "right would be shower: pythia"),
        ("shower: dire", "nearest"),
        ("jets_per_class: {qcd: 10}", r"a number for each of \['qcd', 'top'\]"),
        ("jets_per_class: {qcd: 10, top: 0}", "greater than 0"),
        ("pt_gev: [50, 60]", "100 GeV or above"),
    ],
)
def test_wrong_settings_are_named(text, message):
    with pytest.raises(InputError, match=message):
        parse(f"kind: offline_jets\n{text}\n", OfflineJets, "test")
