"""The commands and what they say to wrong input, each in an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot

from tests.conftest import TOY, jetgate
from trigger.app import cli


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A command in this process, in an empty folder: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        status = cli.status_of([str(one) for one in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def wrong(call, tmp_path):
    """A command that must fail with a message, leaving nothing behind."""

    def run(*arguments, status=2):
        before = set(tmp_path.rglob("*"))
        found, out, err = call(*arguments)
        assert found == status, out + err
        assert "Traceback" not in err
        assert out == ""
        left = [path for path in set(tmp_path.rglob("*")) - before if path.is_file()]
        assert left == []
        return err

    return run


def test_a_model_made_elsewhere(call, network, contract, tmp_path):
    network.save(tmp_path / "theirs.keras")
    contract.save(tmp_path / "contract.yaml")
    status, out, err = call("convert", "theirs.keras", "--inputs", "contract.yaml", "--json")
    assert status == 0, err
    assert (tmp_path / json.loads(out)["project"] / "manifest.json").is_file()
    status, _, err = call("convert", "theirs.keras")
    assert status == 2
    assert "give --inputs CONTRACT.yaml" in err


def test_wrong_recipes_and_targets(wrong, tmp_path):
    assert "nearest: 'jet_tagger'" in wrong("run", "jet_taggr")
    assert "no such file" in wrong("run", "missing.yaml")
    assert "data.jets_per_class: found 0" in wrong("run", "jet_tagger", "--set", "data.jets_per_class=0")
    (tmp_path / "t.yaml").write_text("name: t\npart: xcvu14p-flga2577-2-e\nclock_ns: 5\nbackend: {kind: hls}\n")
    assert "its device is not known; nearest: 'xcvu1" in wrong("run", "jet_tagger", "--target", "t.yaml")
    for setting in (
        "network.hidden=[8, 0]",
        "inputs.features=[mass_gev, mass_gev]",
        "seed=5000000000",
        "inputs.format=ap_fixed<12,5,AP_TRN>",
    ):
        assert setting.split("=")[0] in wrong("run", "jet_tagger", "--set", setting)
    assert "No such option" in wrong("run", "jet_tagger", "--frobnicate")


def test_wrong_root_files(wrong, tmp_path):
    with uproot.recreate(tmp_path / "jets.root") as file:
        file.mktree("Events", {"Jet_pt": "float64", "Jet_phi": "float64"}).extend(
            {"Jet_pt": np.ones(3), "Jet_phi": np.ones(3)}
        )
    text = TOY.split("data:", maxsplit=1)[0] + (
        "data: {kind: root, classes: [a, b], samples: [{files: [jets.root], label: a}], "
        "layout: {kind: nested, constituents: {pt: Jet_Pt, eta: Jet_eta, phi: Jet_phi}}}\n"
    ) + "inputs:" + TOY.split("inputs:")[1]  # fmt: skip
    (tmp_path / "root.yaml").write_text(text)
    message = wrong("run", "root.yaml")
    assert "jets.root: tree 'Events' has no branch 'Jet_Pt'; nearest: 'Jet_pt', 'Jet_phi'" in message
    whole = (tmp_path / "jets.root").read_bytes()
    (tmp_path / "jets.root").write_bytes(whole[:300])
    assert "jets.root: not a ROOT file, or a damaged one" in wrong("run", "root.yaml")


def test_an_output_folder_that_cannot_be_written(wrong, tmp_path):
    (tmp_path / "toy.yaml").write_text(TOY)
    (tmp_path / "file").touch()
    assert "cannot be made" in wrong("run", "toy.yaml", "--out", "file/here")


def test_networks_that_cannot_be_converted(wrong, contract, tmp_path):
    import keras
    from qkeras import QActivation, QDense, quantized_bits

    contract.save(tmp_path / "contract.yaml")
    weights = {"kernel_quantizer": quantized_bits(4, 0, alpha=1.0), "bias_quantizer": quantized_bits(4, 0, alpha=1.0)}

    def save(*layers):
        x = start = keras.Input((6, 2))
        for layer in (QActivation(quantized_bits(10, 4, alpha=1.0)), *layers):
            x = layer(x)
        keras.Model(start, x).save(tmp_path / "m.keras")
        return wrong("convert", "m.keras", "--inputs", "contract.yaml")

    assert "layer 'memory' is a LSTM, which is not supported" in save(keras.layers.LSTM(3, name="memory"))
    assert "averages over 6 entries" in save(QDense(3, **weights), keras.layers.GlobalAveragePooling1D(name="mean"))
    auto = {**weights, "kernel_quantizer": quantized_bits(4, 0, alpha="auto")}
    assert "alpha='auto'" in save(QDense(3, **auto))


def test_packaged_files(call, tmp_path):
    assert "jet_tagger" in json.loads(call("recipes", "--json")[1])
    assert {"vu13p", "vu9p"} <= set(json.loads(call("targets", "--json")[1]))
    assert call("targets", "--copy", "vu9p")[0] == 0
    assert (tmp_path / "vu9p.yaml").is_file()
    status, _, err = call("targets", "--copy", "vu9p")
    assert (status, "there is such a file already" in err) == (2, True)


def test_check(tmp_path):
    result = jetgate("check", "--json", folder=tmp_path)
    assert result.returncode == 0, result.stdout
    findings = {one["subject"]: one for one in json.loads(result.stdout)["findings"]}
    assert findings["package qkeras"]["found"] == "installed by qkeras-v3"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    result = jetgate("check", "--json", folder=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 3
    broken = {
        one["subject"]: one["found"]
        for one in json.loads(result.stdout)["findings"]
        if one["required"] and not one["good"]
    }
    assert set(broken) == {"package models"}
    assert str(tmp_path / "models") in broken["package models"]
    assert (
        json.loads(jetgate("check", "--json", folder=tmp_path / "models", env={"KERAS_BACKEND": "theano"}).stdout)[
            "good"
        ]
        is False
    )


def test_help_is_quick(tmp_path):
    heavy = [
        "awkward",
        "keras",
        "tensorflow",
        "uproot",
        "hls4ml",
        "matplotlib",
        "numba",
        "sklearn",
        "numpy",
        "pydantic",
    ]
    code = f"import sys, trigger, trigger.app.cli; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout.strip() == "[]"


def test_wheel_from_an_empty_folder(tmp_path):
    """Build the wheel, unpack it elsewhere, and run it from an empty folder: recipes and targets are in it."""
    root = Path(__file__).resolve().parents[2]
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(root)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("jetgate-*.whl")
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = archive.namelist()
    assert not [name for name in names if name.startswith("tests/")]
    for wanted in (
        "models/recipes/jet_tagger.yaml",
        "firmware/targets/vu13p.yaml",
        "firmware/engines/bridge.cpp",
        "trigger/app/page.html.j2",
        "trigger/py.typed",
    ):
        assert wanted in names
    (tmp_path / "empty").mkdir()
    result = jetgate("check", "--json", folder=tmp_path / "empty", env={"PYTHONPATH": str(tmp_path / "site")})
    assert result.returncode == 0, result.stdout
    places = {one["subject"]: one["found"] for one in json.loads(result.stdout)["findings"]}
    assert places["package firmware"] == str(tmp_path / "site" / "firmware")
    few = ["--set", "data.classes=[W, Z]", "--set", "data.jets_per_class=5", "--workers", "1", "--json"]
    result = jetgate("data", "jet_tagger", *few, folder=tmp_path / "empty", env={"PYTHONPATH": str(tmp_path / "site")})
    assert json.loads(result.stdout)["jets"] == {"W": 5, "Z": 5}, result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scores", "x.root"], "--scores: only with --events"),
        (["--events", "x.root", "--mutate"], "--mutate: not with --events"),
        (["--mutants", "3"], "--mutants: only with --mutate"),
        (["--engine", "foo"], "there is no engine 'foo' for it; there are integer, cpp, rtl"),
        (["--engine", "cpp", "--engine", "cpp"], "an engine is named twice in cpp, cpp"),
    ],
)
def test_options_of_emulate_that_would_do_nothing(project, capsys, options, message):
    assert cli.status_of(["emulate", str(project.folder), *options]) == 2
    assert message in capsys.readouterr().err
