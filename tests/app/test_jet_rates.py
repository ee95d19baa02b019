"""Scores of collisions from scores of jets, by hand; and the whole with a small tagger of real collisions."""

from __future__ import annotations

import json
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest

from tests.conftest import jetgate
from trigger.app.console import Reporter
from trigger.app.finished import FinishedRun
from trigger.app.jet_rates import SHIFTS, SMEARED, Tag, jet_counts, scaled, scored
from trigger.app.scored import FLOAT, QUANTISED, Subject, of
from trigger.data.generate import SHOWERS
from trigger.data.level1_collisions import Level1Collisions
from trigger.data.level1_jets import Level1JetData
from trigger.decision.thresholds import rate_curve
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint

CLASSES = ("light", "gluon", "b", "tau")
PORT = FixedPoint.parse("ap_fixed<8,4>")  # codes from -128 to 127, of 1/16


def tag(tagged=("b", "tau"), against=("light", "gluon"), pt_gev=50.0):
    return Tag(tagged, against, CLASSES, PORT, pt_gev)


OUTPUTS = np.array([
    [3, 9, 20, -5, 99],
    [10, -4, 12, 30, 99],
    [0, 0, 100, 100, 99],
    [-128, -128, 127, -128, 99],
])  # fmt: skip
PT = np.array([60.0, 50.0, 49.9, 80.0])
COLLISION = np.array([0, 0, 1, 3])


def test_a_jet_against_the_background_s_classes():
    assert {one.name: one.of(OUTPUTS, tag().classes).tolist() for one in tag().scores()} == {
        "b": [11, 2, 100, 255],
        "tau": [-14, 20, 100, 0],
    }
    (gluon,) = tag(("gluon",), ("tau",)).scores()
    assert gluon.of(OUTPUTS, tag().classes).tolist() == [14, -34, -100, 0]


def test_a_collision_has_its_best_jet_of_those_that_are_hard_enough():
    found = tag().of_collisions(OUTPUTS, PT, COLLISION, 4)
    # Collision 1 has one jet, which is too soft; collision 2 has none.
    assert found["b"].tolist() == [11, -255, -255, 255]
    assert found["tau"].tolist() == [20, -255, -255, 0]
    assert all(one.dtype == np.int64 for one in found.values())
    (score, _) = tag().scores()
    assert (score.name, score.output, score.against, score.step) == ("b", "b", ("light", "gluon"), 1 / 16)
    assert score.max_code == 255 == found["b"].max()


def test_values_of_a_network_have_no_ends():
    values = OUTPUTS * PORT.step
    found = tag().of_collisions(values, PT, COLLISION, 4)
    np.testing.assert_array_equal(found["b"], np.array([11, -255, -255, 255]) / 16)
    found = tag().of_collisions(values - [0, 0, 50, 0, 0], PT, COLLISION, 4)
    assert found["b"][1] == found["b"][2] == found["b"].min() == -50 + 2 / 16  # the worst jet has no less


def test_counts_of_jets():
    found = jet_counts(PT, COLLISION, 4, 50.0)
    assert found["jet_pt"].tolist() == [120, 100, 0, 160]
    assert found["ht"].tolist() == [220, 0, 0, 160]
    many = jet_counts(np.full(3, 1500.0), np.zeros(3, dtype=np.int64), 1, 50.0)
    assert many["jet_pt"].tolist() == [2047]  # both saturate
    assert many["ht"].tolist() == [4095]


@pytest.mark.parametrize(
    ("tagged", "against", "message"),
    [
        (("bee",), ("light",), "tagged: there is no class 'bee'; nearest: 'b'"),
        (("b",), ("quark",), "against: there is no class 'quark'; nearest: "),
        (("b", "tau"), ("light", "b"), "class 'b' is named twice .* nearest of those that are left: 'gluon'"),
        (("b", "b"), ("light",), "class 'b' is named twice"),
        ((), ("light",), "tagged: no class is named; there are light, gluon, b, tau"),
        (("b",), (), "against: no class is named"),
        (("pt_correction",), ("light",), "there is no class 'pt_correction'"),
    ],
)
def test_wrong_classes(tagged, against, message):
    with pytest.raises(InputError, match=message):
        tag(tagged, against)


def test_a_sample_that_begins_too_high(tmp_path):
    outputs = SimpleNamespace(elements=(*CLASSES, "pt_correction"), fixed_point=PORT)
    project = SimpleNamespace(manifest=SimpleNamespace(outputs=outputs))
    subject = Subject(SimpleNamespace(class_names=CLASSES), project, tmp_path, tmp_path)
    data = Level1Collisions(jets=Level1JetData(kind="level1_jets"), pt_gev=49.0)
    with pytest.raises(
        InputError, match=r"sample that begins at 49 GeV: .*right would be pt_gev of 48\.54 GeV or less"
    ):
        scored(subject, data, ("b",), ("light",), 50.0, 1e6, 50.0, 1, 1, Reporter())
    assert not list(tmp_path.iterdir())


def test_scaled_jets(toy):
    factor = np.random.default_rng(1).uniform(0.5, 1.5, len(toy))
    found = scaled(toy, factor)
    for name, values in toy.momentum().items():
        np.testing.assert_allclose(found.momentum()[name], values * factor)
    np.testing.assert_allclose(found.kinematics()["eta"], toy.kinematics()["eta"])
    assert ak.fields(found.constituents) == ak.fields(toy.constituents)
    assert ak.array_equal(found.constituents.charge, toy.constituents.charge)
    assert scaled(toy, np.ones(len(toy))).digest() == toy.digest()


SMALL = """
name: small
data: {kind: level1_jets, jets_per_class: 150}
inputs: {kind: particles, particles: 4, fields: [pt, log_pt, charge, photon], format: "ap_fixed<10,4>"}
network: {kind: deepsets, particle: [4], hidden: [4], correction: true, correction_hidden: [4]}
quantization: {weight: "ap_fixed<7,1>", activation: "ap_ufixed<8,2>"}
training: {epochs: 3, batch_size: 64}
requirements: {accuracy_loss: null, mutants: 0}
target: vu13p_360
"""


@pytest.mark.long
def test_a_tagger_of_real_collisions(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    result = jetgate("run", "small.yaml", "--json", folder=tmp_path, timeout=900)
    assert result.returncode == 0, result.stderr
    run = FinishedRun.open(tmp_path / json.loads(result.stdout)["folder"])
    subject = Subject(run.recipe, run.project, run.models, run.out / "runs" / "data")
    data = Level1Collisions(
        jets=run.recipe.data, slices_gev=(30, 60), collisions_per_slice=120, signals=("ttbar",), collisions_per_signal=40,
        pt_gev=45,
    )  # fmt: skip
    found = scored(subject, data, ("tau",), ("light", "gluon"), 50.0, 3e7, 100.0, 5, 1, Reporter())
    crossings = found.crossings
    assert len(crossings) == 240
    assert len(np.unique(crossings.source)) == 240
    assert set(crossings.scores) == {"tau", of("tau", QUANTISED), of("tau", FLOAT), "jet_pt", "ht"}
    assert set(found.signals) == set(found.offline) == {"ttbar"}
    assert all(score.shape == (40,) for score in (*found.signals["ttbar"].values(), found.offline["ttbar"]))
    assert 0.6e6 < crossings.total_hz < 30e6  # HardQCD above 30 GeV is 0.2 of 79 mb
    (score,) = found.scores
    without = crossings.scores["jet_pt"] < 100
    assert (crossings.scores["tau"][without] == -score.max_code).all()
    np.testing.assert_array_equal(
        crossings.scores["tau"][~without] * score.step, crossings.scores[of("tau", QUANTISED)][~without]
    )  # fmt: skip
    assert len(rate_curve(crossings, "tau", score.max_code).codes) > 10
    assert list(found.disturbed) == [*SHIFTS, SMEARED, *SHOWERS]
    for name, make in found.disturbed.items():
        changed = make()
        np.testing.assert_array_equal(changed.before.rate_hz, crossings.rate_hz)
        if name in SHOWERS:
            np.testing.assert_array_equal(changed.after.scores["tau"], changed.before.scores["tau"])
            assert (changed.after.rate_hz != changed.before.rate_hz).any()
            assert changed.signals_after == {}
            continue
        before, after = changed.before.scores["jet_pt"], changed.after.scores["jet_pt"]
        if name in SHIFTS:
            np.testing.assert_allclose(after, before * SHIFTS[name], atol=1)
        assert (after != before).any()
        assert set(changed.signals_after["ttbar"]) == set(changed.signals_before["ttbar"]) == {"tau", "jet_pt", "ht"}
    assert found.notes
