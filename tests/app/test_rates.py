"""What rates do before and after the long part: disturbed events, requirements, and runs that have no rate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.conftest import jetgate
from trigger.app import cli
from trigger.app.rates import _requirements, scaled, with_region
from trigger.data.toy import ToyEventData, toy_events
from trigger.decision.menu import Menu, Seed, load_menu
from trigger.decision.rates import Crossings
from trigger.decision.thresholds import rate_curve
from trigger.errors import InputError
from trigger.files import read_json


@pytest.fixture(scope="module")
def events():
    (sample,) = toy_events(ToyEventData(kind="toy_events", crossings=300, events_per_signal=20), 1)
    return sample


def test_scaled_energies(events):
    factor = np.random.default_rng(1).uniform(0.5, 1.5, len(events))
    found = scaled(events, factor)  # checks itself: order, ranges, empty entries
    np.testing.assert_array_equal(found.muons, events.muons)
    np.testing.assert_array_equal(found.met[:, 1], events.met[:, 1])
    inside = events.jets[:, :, 0] * factor[:, None] < 2000
    np.testing.assert_allclose(
        found.jets[:, :, 0][inside], (events.jets[:, :, 0] * factor[:, None])[inside], atol=0.5
    )  # fmt: skip
    same = scaled(events, np.ones(len(events)))
    assert same.digest() == events.digest()


def test_a_region_that_always_reads_the_same(events):
    found = with_region(events, 64)
    assert (found.regions[:, 9, 7] == 64).all()
    changed = found.regions != events.regions
    changed[:, 9, 7] = False
    assert not changed.any()


def menu(**more):
    return Menu(name="m", seeds=(Seed(name="jet", score="jet_pt", threshold=100),), **more)


def test_requirements():
    generator = np.random.default_rng(2)
    crossings = Crossings({"network": generator.geometric(0.02, 50_000)}, np.full(50_000, 500.0), np.arange(50_000))
    curve = rate_curve(crossings, "network", 4095)
    thresholds = (curve.threshold_for(1e4), curve.threshold_for(1.0))
    found = {
        one.name: one for one in _requirements(menu(), thresholds, (None, None), {"x": 1.2, "pileup below 3": 9.0})
    }
    assert found["rate:10_khz"].status == "PASS"
    assert found["rate:10_khz"].figure == pytest.approx(thresholds[0].rate.hz / 1e3)
    assert found["rate:0.001_khz"].status == "NOT MEASURED"
    assert "resolution" in found["rate:0.001_khz"].note
    assert found["stability:rate"].status == "PASS"
    assert found["stability:rate"].figure == pytest.approx(0.2)  # pileup is shown, no disturbance of the detector
    strict = menu(limits={"rate_change": 0.1})
    assert {one.name: one for one in _requirements(strict, thresholds, (None, None), {"x": 0.8})}[
        "stability:rate"
    ].status == "FAIL"
    none = {one.name: one for one in _requirements(menu(), thresholds[1:], (None,), {})}
    assert none["stability:rate"].status == "NOT MEASURED"


def test_a_tagger_of_jets_has_no_rate(toy_run, tmp_path, capsys):
    answer = toy_run(tmp_path)
    assert cli.status_of(["rates", str(tmp_path / answer["folder"]), "--menu", "level1"]) == 2
    assert "rates in kHz are counted from crossings, of a detector on data of kind 'events'" in capsys.readouterr().err


def test_menus(tmp_path):
    assert load_menu("level1").total_hz == pytest.approx(2340 * 11245.5)
    with pytest.raises(InputError, match="nearest: 'level1'"):
        load_menu("levell")
    (tmp_path / "own.yaml").write_text("name: own\nseeds: [{name: a, score: jet_pt}]\nrates_khz: [0]\n")
    with pytest.raises(InputError) as caught:
        load_menu(str(tmp_path / "own.yaml"))
    assert "has neither of 'threshold' and 'rate_khz'" in str(caught.value)
    assert "rates_khz.0" in str(caught.value)


SMALL = """
name: small
data: {kind: events, signals: [ttbar], crossings: 2000, events_per_signal: 120, pileup: 10, pool: 2000, slices_gev: [20], crossings_per_slice: 100}
inputs: {kind: event_objects, format: "ap_fixed<12,8>"}
network: {kind: variational, hidden: [6], latent: 2}
quantization: {weight: "ap_fixed<8,2>", activation: "ap_ufixed<9,5>", linear: "ap_fixed<10,4>"}
training: {epochs: 3, batch_size: 64, validation: 0.1, test: 0.5, classes: [background]}
requirements: {auc_loss: null, fraction: 0.1, mutants: 0}
target: vu9p_240
"""
MENU = """
name: small
rates_khz: [1, 3000]
total_khz: 6000
seeds: [{name: jet, score: jet_pt, rate_khz: 2000}, {name: ht, score: ht, rate_khz: 2000}]
sample: {crossings: 1500, pool: 1000, slices_gev: [20, 40], crossings_per_slice: 150, events_per_signal: 60}
"""


@pytest.mark.long
def test_rates_of_real_crossings(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "menu.yaml").write_text(MENU)
    run = jetgate("run", "small.yaml", "--json", folder=tmp_path)
    folder = tmp_path / json.loads(run.stdout)["folder"]
    result = jetgate("rates", folder, "--menu", "menu.yaml", "--json", folder=tmp_path)
    found = json.loads(result.stdout)
    assert result.returncode == 3, result.stderr  # 1 kHz cannot be known from so few crossings
    assert found["sample"]["total_hz"] == pytest.approx(2340 * 11245.5, rel=0.1)
    low, high = found["thresholds"]
    assert not low["resolved"]
    assert high["rate"]["hz"] <= 3e6
    assert high["above"]["hz"] > 3e6
    by_code = dict(zip(found["curve"]["codes"], found["curve"]["hz"], strict=True))
    assert high["rate"]["hz"] == pytest.approx(next(hz for code, hz in by_code.items() if code >= high["code"]))
    assert set(found["shared_out"]["alone"]["efficiency"]) == {"ttbar"}
    page = (folder / "report" / "index.html").read_text()
    assert "Thresholds" in page
    assert "What the network adds to the menu" in page
    again = read_json(folder / "rates.json")
    assert again["thresholds"] == found["thresholds"]
