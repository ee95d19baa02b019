"""Runs of a detector on events and of a tagger on particles, from data to verdict and side by side; and every packaged recipe
as far as its network. The samples are synthetic and small.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from distributed import LocalCluster

from firmware import decision
from firmware.backends import qkeras_layers
from firmware.engines import cpp
from firmware.target import load_target
from firmware.unrolling import require_unrollable
from models.recipe import load_recipe
from tests.conftest import jetgate
from trigger.app import cli
from trigger.app.finished import FinishedRun
from trigger.config import packaged
from trigger.data.event_rootfile import write_root_events
from trigger.data.toy import ToyEventData, toy_events
from trigger.decision.menu import load_menu
from trigger.errors import InputError
from trigger.inputs.contract import Input, InputSpec

EVENTS = """
name: toy_detector
data: {kind: toy_events, crossings: 1500, events_per_signal: 300}
inputs: {kind: event_objects, format: "ap_fixed<8,5>"}
network: {kind: variational, hidden: [4], latent: 2}
quantization: {weight: "ap_fixed<5,1>", activation: "ap_ufixed<6,4>", linear: "ap_fixed<6,3>"}
training: {epochs: 2, batch_size: 256, classes: [background], test: 0.5}
requirements: {auc_loss: null, mutants: 0, fraction: 0.1}
target: vu9p_240
"""
PARTICLES = """
name: toy_particles
data: {kind: toy, classes: [quark, top], jets_per_class: 300}
inputs: {kind: particles, particles: 4, fields: [pt, deta, dphi], format: "ap_fixed<8,4>"}
network: {kind: deepsets, particle: [4], hidden: [4]}
quantization: {weight: "ap_fixed<5,1>", activation: "ap_ufixed<5,2>"}
training: {epochs: 2, batch_size: 128}
baseline:
  inputs: {kind: jet_features, format: "ap_fixed<10,5>", features: [mass_gev, multiplicity]}
  network: {kind: mlp, hidden: [4]}
  quantization: {weight: "ap_fixed<5,1>", activation: "ap_ufixed<5,2>"}
requirements: {accuracy_loss: null, mutants: 0}
target: vu13p_360
"""
SHAPES = {"jet_features": (16,), "event_objects": (57,), "regions": (18, 14, 1)}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Both toy recipes, run: the folder, and for each recipe the answer of the command."""
    folder = tmp_path_factory.mktemp("family")
    answers = {}
    for name, text in (("events", EVENTS), ("particles", PARTICLES)):
        (folder / f"{name}.yaml").write_text(text)
        result = jetgate("run", f"{name}.yaml", "--json", folder=folder)
        assert result.returncode == 0, result.stderr
        answers[name] = json.loads(result.stdout)
    return folder, answers


def test_a_detector_on_events(ran):
    folder, answers = ran
    home = folder / answers["events"]["folder"]
    by_name = {one["name"]: one for one in answers["events"]["requirements"]}
    for engine in ("integer", "cpp", "rtl"):
        assert (by_name[f"bits:{engine}"]["status"], by_name[f"bits:{engine}"]["figure"]) == ("PASS", 0)
    assert by_name["estimate:latency_crossings"]["status"] == "PASS"
    assert by_name["physics:auc_toy_jets"]["status"] == "NOT MEASURED"  # synthetic
    found = json.loads((home / "performance.json").read_text())
    assert found["task"] == "anomaly"
    assert set(found["detection"]["performance"]) == {"float", "quantised", "firmware"}
    assert found["detection"]["performance"]["firmware"]["auc"]["toy_jets"]["uncertainty"] > 0
    assert set(found["cuts"]["signals"]) == {"toy_muons", "toy_jets"}
    # What the quantised network says in float32 is what the firmware says: the scores are exact there.
    assert found["detection"]["mean_auc_loss"]["firmware"]["value"] == pytest.approx(
        found["detection"]["mean_auc_loss"]["quantised"]["value"], abs=1e-9
    )
    for name in ("roc", "history", "scores", "cuts"):
        assert (home / "plots" / f"{name}.svg").stat().st_size > 5000


def test_a_tagger_on_particles_and_its_baseline(ran):
    folder, answers = ran
    home = folder / answers["particles"]["folder"]
    by_name = {one["name"]: one for one in answers["particles"]["requirements"]}
    assert by_name["bits:rtl"]["figure"] == by_name["bits:cpp"]["figure"] == 0
    assert {"physics:over_baseline_float", "physics:over_baseline_quantised"} <= set(by_name)
    found = json.loads((home / "performance.json").read_text())
    assert set(found["auc_gain"]) == {"float", "quantised"}
    models = folder / json.loads((home / "run.json").read_text())["models"]
    assert (models / "baseline_quantised" / "model.keras").is_file()


def test_side_by_side(ran):
    folder, answers = ran
    events, particles = (answers[name]["folder"] for name in ("events", "particles"))
    result = jetgate("compare", events, events, "--json", folder=folder)
    figures = json.loads(result.stdout)["figures"]
    assert figures["network"][events] == "variational"
    assert figures["latency, clocks"][events] > 0
    assert figures["AUC, toy_muons"][events]["value"] > 0.3
    assert "| latency, clocks |" in jetgate("compare", events, "--format", "md", folder=folder).stdout
    mixed = jetgate("compare", events, particles, folder=folder)
    assert mixed.returncode == 2
    assert "compare runs of one kind" in mixed.stderr
    for other, message in (("runs/data", "no such folder"), ("runs/models", "not a finished run, it has no run.json")):
        refused = jetgate("compare", other, folder=folder)
        assert refused.returncode == 2
        assert f"{other}: {message}" in refused.stderr


@pytest.mark.parametrize("name", packaged("models", "recipes"))
def test_every_packaged_recipe_has_a_network_that_fits_its_target(name):
    recipe = load_recipe(name)
    inputs, target = recipe.inputs, load_target(recipe.target)
    shape = SHAPES.get(inputs.kind)
    if inputs.kind == "jet_images":
        shape = (inputs.rows, inputs.columns, 1)
    elif inputs.kind == "particles":
        shape = (inputs.particles, len(inputs.fields))
    contract = InputSpec(
        inputs=tuple(Input(name=f"x{k}", format=inputs.format) for k in range(int(np.prod(shape)))),
        outputs=recipe.network.outputs(recipe.class_names), shape=shape,
    )  # fmt: skip
    model = recipe.network.build(contract, len(recipe.class_names), recipe.quantization)
    qkeras_layers.check_network(model)
    assert model.outputs[0].shape[1:] == (len(contract.outputs),)
    require_unrollable(model, target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("inputs.kind=regions", "'regions' does not go with data of kind 'pythia'"),
        ("training.classes=[quark]", "a tagger learns all classes"),
        ("inverse=[top]", "of a detector of anomalies alone"),
        ("requirements.signal_auc={Top: 0.7}", "there is no class 'Top'"),
    ],
)
def test_recipes_that_contradict_themselves(change, message):
    changes = (change, "inputs.features=null") if "kind" not in change else (change,)
    with pytest.raises(InputError, match=message):
        load_recipe("jet_tagger", changes)


def test_a_detector_needs_its_background():
    with pytest.raises(InputError, match="name the background that a detector of anomalies learns"):
        load_recipe("feature_autoencoder", ("training.classes=null",))


ZERO_BIAS = """
files: ["events*.root"]
tree: events
mapping: jetgate
"""
MENU = """
name: small
rates_khz: [2000, 8000]
limits: {rate_excess: 1.0}
seeds: [{name: jet, score: jet_pt, rate_khz: 1000}, {name: everything, score: ht, threshold: 0, prescale: 1000}]
"""


def test_rates_of_events_in_files(ran, tmp_path, monkeypatch, capsys):
    folder, answers = ran
    monkeypatch.chdir(tmp_path)
    for name in ("runs", "vivado_projects"):
        shutil.copytree(folder / name, tmp_path / name)
    home = tmp_path / answers["events"]["folder"]
    (events,) = toy_events(ToyEventData(kind="toy_events", crossings=6000, events_per_signal=1), 5)
    events = events.take(events.labels == 0)
    events = replace(events, labels=np.zeros(len(events), np.int64), class_names=("background",))
    for number, rows in enumerate(np.array_split(np.arange(len(events)), 3)):
        write_root_events(tmp_path / f"events{number}.root", events.take(rows))
    (tmp_path / "zero_bias.yaml").write_text(ZERO_BIAS)
    (tmp_path / "menu.yaml").write_text(MENU)
    command = ["rates", str(home), "--menu", "menu.yaml", "--zero-bias", "zero_bias.yaml", "--json"]
    status = cli.status_of([*command, "--workers", "1"])
    out, err = capsys.readouterr()
    assert status in (0, 1, 3), err
    found = json.loads(out)
    assert found["sample"]["crossings"] == len(events)
    assert found["sample"]["total_hz"] == pytest.approx(2340 * 11245.5)
    run = FinishedRun.open(home)
    seen = run.recipe.inputs.table(events).values
    codes = cpp.run(run.project, run.project.contract.codes(seen), 2)[:, 0]
    each = 2340 * 11245.5 / len(events)
    for point in found["scores"]["network"]["thresholds"]:
        assert point["rate"]["hz"] == pytest.approx(each * (codes >= point["code"]).sum())
        assert point["rate"]["hz"] <= point["target_hz"] * 1.0001
        assert point["above"]["hz"] == pytest.approx(each * (codes >= point["code"] - 1).sum())
        assert point["rate"]["sources"] == (codes >= point["code"]).sum()
    assert found["seeds"]["seeds"]["everything"]["rate"]["hz"] == pytest.approx(2340 * 11245.5 / 1000)
    stability = [one for one in found["verdict"]["requirements"] if one["name"].startswith("stability")]
    assert [one["status"] for one in stability] == ["NOT MEASURED"] * 2
    # One number, in the firmware, in the menu that came out, and in the verdict.
    resolved = {f"network_{one['target_hz'] / 1e3:g}_khz": one["code"]
                for one in found["scores"]["network"]["thresholds"] if one["resolved"]}  # fmt: skip
    assert resolved
    assert {cut.name: cut.threshold for cut in decision.load(run.project).cuts} == resolved
    assert {
        seed.name: seed.threshold for seed in load_menu(str(home / "menu.yaml")).seeds if seed.score == "network"
    } == resolved
    by_name = {one["name"]: one for one in found["verdict"]["requirements"]}
    assert all(
        f"at code {code}," in by_name[f"rate:{name.removeprefix('network_')}"]["note"]
        for name, code in resolved.items()
    )
    assert by_name["bits:decision_cpp"]["status"] == by_name["bits:decision_rtl"]["status"] == "PASS"
    header = (run.project.folder / "decision" / "jetgate_decision.h").read_text()
    assert all(str(code) in header for code in resolved.values())
    assert "Accept bits in the firmware" in (home / "report" / "index.html").read_text()
    again = cli.status_of(["rates", str(home), "--menu", str(home / "menu.yaml"), *command[4:]])  # it is a menu itself
    second = json.loads(capsys.readouterr().out)
    assert again == status
    for name, code in resolved.items():
        assert second["seeds"]["seeds"][name]["threshold"] == code
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        scheduler = ("--scheduler", cluster.scheduler_address, "--set", "accept_bits=false")
        assert cli.status_of([*command, *scheduler]) == status
    elsewhere = json.loads(capsys.readouterr().out)
    assert elsewhere["scores"] == found["scores"]
    (tmp_path / "zero_bias.yaml").write_text(ZERO_BIAS.replace("events*", "nothing*"))
    assert cli.status_of(command) == 2
    assert "nothing*.root" in capsys.readouterr().err
    assert cli.status_of(["rates", str(home), "--menu", "menu.yaml", "--scheduler", "tcp://x:1"]) == 2
    assert "only with --zero-bias" in capsys.readouterr().err
    particles = str(tmp_path / answers["particles"]["folder"])
    assert cli.status_of(["rates", particles, *command[2:]]) == 2
