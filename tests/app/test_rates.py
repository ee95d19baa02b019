"""What rates do before and after the long part: disturbed events, requirements, jets without a rate, events of files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.recipe import load_recipe
from tests.conftest import jetgate
from trigger.app import cli
from trigger.app.event_rates import NETWORK, scaled
from trigger.app.rate_report import check
from trigger.app.rates import Judged, requirements
from trigger.app.scored import FirmwareScore
from trigger.config import packaged
from trigger.data.toy import ToyEventData, toy_events
from trigger.decision.efficiency import Estimate
from trigger.decision.menu import Menu, Seed, load_menu
from trigger.decision.rates import Crossings
from trigger.decision.stability import Stability
from trigger.decision.thresholds import rate_curve
from trigger.errors import InputError
from trigger.files import read_json


@pytest.fixture(scope="module")
def events():
    (sample,) = toy_events(ToyEventData(kind="toy_events", crossings=300, events_per_signal=20), 1)
    return sample


def test_scaled_energies(events):
    found = scaled(events, lambda shape: np.full(shape, 1.2))  # checks itself: order, ranges, empty entries
    np.testing.assert_array_equal(found.muons, events.muons)
    np.testing.assert_array_equal(found.met[:, 1], events.met[:, 1])
    inside = events.jets[:, :, 0] * 1.2 < 2000
    np.testing.assert_allclose(found.jets[:, :, 0][inside], (events.jets[:, :, 0] * 1.2)[inside], atol=0.5)
    same = scaled(events, np.ones)
    assert same.digest() == events.digest()


def test_smeared_energies_are_in_order_again(events):
    generator = np.random.default_rng(1)
    found = scaled(events, lambda shape: generator.uniform(0.5, 1.5, shape))  # an event checks the order of its objects
    assert (found.jets[:, :, 0] != events.jets[:, :, 0]).any()
    moved = (found.jets[:, 0, 1:] != events.jets[:, 0, 1:]).any(axis=1)
    assert 0 < moved.sum() < len(events)  # another jet is the hardest one now and then, with its own eta and phi


def menu(**more):
    return Menu(name="m", seeds=(Seed(name="jet", score="jet_pt", threshold=100),), **more)


def judged(thresholds, stability, efficiencies=None):
    curve = rate_curve(sample(), NETWORK, 4095)
    none = (None,) * len(thresholds)
    return Judged(
        FirmwareScore(NETWORK, "score", (), 4095, 1.0), curve, thresholds, none, none,
        efficiencies or ({},) * len(thresholds), ({},) * len(thresholds), stability, (),
    )  # fmt: skip


def sample():
    generator = np.random.default_rng(2)
    return Crossings({NETWORK: generator.geometric(0.02, 50_000)}, np.full(50_000, 500.0), np.arange(50_000))


def change(rate, **signals):
    return Stability(
        None if rate is None else Estimate(rate, 0.01), {name: Estimate(value, 0.01) for name, value in signals.items()}
    )


def test_requirements():
    curve = rate_curve(sample(), NETWORK, 4095)
    thresholds = (curve.threshold_for(1e4), curve.threshold_for(1.0))

    def asked(stability, wanted=None, thresholds=thresholds):
        found = requirements(wanted or menu(rates_khz=(10, 0.001)), (judged(thresholds, stability),))
        return {one.name: one for one in found}

    found = asked({"x": change(1.2, top=-0.03), "y": change(0.9, top=0.01)})
    assert found["rate:10_khz"].status == "PASS"
    assert found["rate:10_khz"].figure == pytest.approx(thresholds[0].rate.interval_68[1] / 1e3)
    assert f"at code {thresholds[0].code}," in found["rate:10_khz"].note
    assert found["rate:0.001_khz"].status == "NOT MEASURED"
    assert "resolution" in found["rate:0.001_khz"].note
    assert found["stability:rate"].status == "PASS"
    assert found["stability:rate"].figure == pytest.approx(0.2)
    assert found["stability:efficiency"].figure == pytest.approx(0.03)
    assert "top, x" in found["stability:efficiency"].note
    strict = menu(
        rates_khz=(10, 0.001),
        limits={"rate_excess": 0.0, "rate_change": 0.1, "efficiency_change": 0.02, "efficiency_loss": None},
    )
    found = asked({"x": change(0.8, top=-0.03)}, strict)
    assert found["rate:10_khz"].status == "FAIL"  # its interval reaches above the target
    assert [found[f"stability:{what}"].status for what in ("rate", "efficiency")] == ["FAIL", "FAIL"]
    assert found["stability:rate"].figure == pytest.approx(0.25)  # a loss counts as much as a gain
    assert not found["quantisation:efficiency_at_0.001_khz"].required
    assert asked({"x": change(0.0, top=-0.03)})["stability:rate"].status == "FAIL"
    assert asked({"x": change(1.1), "y": change(None)})["stability:rate"].status == "NOT MEASURED"
    none = asked({}, menu(rates_khz=(0.001,), limits={"efficiency": {"top": 0.1}}), thresholds[1:])
    assert {name: one.status for name, one in none.items()} == dict.fromkeys(
        (
            "rate:0.001_khz",
            "quantisation:efficiency_at_0.001_khz",
            "efficiency:top",
            "stability:rate",
            "stability:efficiency",
        ),
        "NOT MEASURED",
    )


@pytest.mark.parametrize(
    ("recipe", "wrong", "message"),
    [
        ("event_vae", "sample.slices_gev=[30,20]", "edges of slices rise"),
        ("event_vae", "sample.pool=5", "pool: Input should be greater than or equal to 20"),
        ("event_vae", "seeds=[{name: a, score: jet, rate_khz: 1}]", "there is no score 'jet'; nearest: 'jet_pt'"),
        ("event_vae", "limits.efficiency={top: 0.1}", "limits.efficiency: there is no signal 'top'; nearest:"),
        ("event_vae", "jets={tagged: [a], against: [b]}", "decides on events; leave 'jets' out"),
        ("event_vae", "rates_khz=[1,1]", "each once"),
        ("event_vae", "rates_khz=[1e6]", "have to be below"),
        ("event_vae", "total_khz=1e6", "have to be below"),
        ("particle_tagger", "seeds=[]", "no seed that it could be shared out among"),
        ("particle_tagger", "sample.signals=[foo]", "signals.0"),
        ("particle_tagger", "sample.slices_gev=[]", "slices_gev"),
        ("particle_tagger", "jets.pt_gev=50", "jets would be missing"),
        ("particle_tagger", "jets.tagged=[bottom]", "there is no class 'bottom'; nearest:"),
        ("jet_tagger", "jets.efficiencies=[]", "at least 1"),
        (
            "jet_tagger",
            "seeds=[{name: a, score: jet_pt, rate_khz: 1}]",
            "seeds: the sample of 'jet_tagger' holds chosen jets",
        ),
        ("jet_tagger", "jets=null", "does not say which classes of jets are tagged"),
    ],
)
def test_a_menu_that_does_not_fit_is_refused_at_once(recipe, wrong, message):
    recipe = load_recipe(recipe)
    with pytest.raises(InputError) as caught:
        check(recipe, load_menu(recipe.menu, (wrong,)))
    assert message in str(caught.value)


def test_packaged_menus_fit_their_recipes():
    for name in packaged("models", "recipes"):
        recipe = load_recipe(name)
        if recipe.menu is not None:
            check(recipe, load_menu(recipe.menu))


def test_jets_of_one_window_have_no_rate(toy_run, tmp_path, capsys):
    answer = toy_run(tmp_path)
    folder = tmp_path / answer["folder"]
    assert cli.status_of(["rates", str(folder), "--menu", "level1"]) == 2
    assert (
        "seeds, total_khz, limits.efficiency: the sample of 'toy_tagger' holds chosen jets" in capsys.readouterr().err
    )
    assert cli.status_of(["rates", str(folder)]) == 2
    assert (
        "its recipe names no menu; name one with --menu: boosted, level1, level1_10khz, level1_jets"
        in capsys.readouterr().err
    )
    first, second, *_ = read_json(folder / "performance.json")["performance"]["firmware"]["auc"]
    (tmp_path / "own.yaml").write_text(
        f"name: own\njets: {{tagged: [{first}], against: [{second}], efficiencies: [0.5]}}\n"
    )
    status = cli.status_of(["rates", str(folder), "--menu", str(tmp_path / "own.yaml"), "--json"])
    found = json.loads(capsys.readouterr().out)
    (point,) = found["points"][first]
    assert isinstance(point["threshold"], int)
    assert point["reached"]["firmware"]["value"] >= 0.5
    assert 0 <= point["background"]["firmware"]["value"] <= 1
    by_name = {one["name"]: one for one in found["verdict"]["requirements"]}
    assert by_name["rate:1_khz"]["status"] == "NOT MEASURED"
    assert "it has no rate" in by_name["rate:1_khz"]["note"]
    increase = by_name[f"quantisation:background_{first}_at_0.5"]
    assert increase["figure"] == pytest.approx(point["increase"]["firmware"]["value"])
    assert status == {"PASS": 0, "FAIL": 1, "NOT MEASURED": 3}[increase["status"]]
    verdict = read_json(folder / "verdict.json")["requirements"]
    assert increase in verdict  # the page's verdict is of this menu now
    assert cli.status_of(["verify", str(folder)]) == 0
    header = next((tmp_path / "vivado_projects").glob("*/decision/jetgate_decision.h"))
    header.write_text(header.read_text().replace(f"= {point['threshold']};", f"= {point['threshold'] + 1};"))
    assert cli.status_of(["verify", str(folder)]) == 1
    assert "jetgate_decision.h" in capsys.readouterr().out
    assert "Background at fixed efficiency" in (folder / "report" / "index.html").read_text()
    (tmp_path / "own.yaml").write_text(f"name: own\njets: {{tagged: [{first}s], against: [{second}]}}\n")
    assert cli.status_of(["rates", str(folder), "--menu", str(tmp_path / "own.yaml")]) == 2
    assert f"there is no class '{first}s'; nearest: '{first}'" in capsys.readouterr().err


def test_menus(tmp_path, capsys):
    assert load_menu("level1").total_hz == pytest.approx(2340 * 11245.5)
    assert cli.status_of(["menus"]) == 0
    assert {"boosted", "level1", "level1_jets"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
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
    result = jetgate("rates", folder, "--menu", "menu.yaml", "--json", folder=tmp_path, timeout=900)
    found = json.loads(result.stdout)
    assert result.returncode == 3, result.stderr  # 1 kHz cannot be known from so few crossings
    assert found["sample"]["total_hz"] == pytest.approx(2340 * 11245.5, rel=0.1)
    score = found["scores"]["network"]
    low, high = score["thresholds"]
    assert not low["resolved"]
    assert low["efficiency"] == low["turn_on"] == {}
    assert high["rate"]["hz"] <= 3e6
    assert high["above"]["hz"] > 3e6
    by_code = dict(zip(score["curve"]["codes"], score["curve"]["hz"], strict=True))
    codes = [code for code in by_code if code >= high["code"]]
    assert by_code[min(codes)] <= high["rate"]["hz"]
    passed = high["efficiency"]["ttbar"]["value"]
    bins = high["turn_on"]["ttbar"]
    seen = [(one["value"], count) for one, count in zip(bins["bins"], bins["events"], strict=True) if one is not None]
    assert sum(value * count for value, count in seen) / sum(count for _, count in seen) == pytest.approx(
        passed, abs=0.1
    )
    assert {"energy scale +3 %", "FSR scale x2", "dead towers", "a hot tower"} <= set(score["stability"])
    faulty = [score["stability"][name]["rate"] for name in ("dead towers", "a hot tower")]  # the score may rise or fall
    assert all(0.5 < one["value"] < 2 and one["value"] != 1 and one["uncertainty"] > 0 for one in faulty)
    assert sum(one["rate"]["hz"] for one in score["pileup"]) / len(score["pileup"]) == pytest.approx(
        high["rate"]["hz"], rel=0.3
    )
    shared = found["shared_out"]
    assert set(shared["alone"]["efficiency"]) == {"ttbar"}
    resolved = not (shared["alone"]["note"] or shared["beside"]["note"])
    assert set(found["gain"]) == ({"ttbar"} if resolved else set())
    assert [cut["threshold"] for cut in found["accept_bits"]["cuts"]] == [high["code"]]
    page = (folder / "report" / "index.html").read_text()
    for title in (
        "Thresholds on",
        "What the firmware adds to the menu",
        "against pileup",
        "Accept bits in the firmware",
    ):
        assert title in page
    again = read_json(folder / "rates.json")
    assert again["scores"] == found["scores"]
