"""Shared fixtures: one small sample, one small network and one compiled project for the whole session."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The same examples every time, so that a failure is the change's; no deadline, because machines are noisy.
settings.register_profile("jetgate", derandomize=True, deadline=None, max_examples=300)
settings.load_profile("jetgate")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.pop("COLUMNS", None)  # make, xdist or a terminal may say how wide lines are; tests that mean a width say it

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


TOY = """
name: toy_tagger
data: {kind: toy, classes: [quark, W, top], jets_per_class: 400}
inputs: {kind: jet_features, format: "ap_fixed<12,5>", features: [mass_gev, multiplicity, n2_b1, c1_b1]}
network: {kind: mlp, hidden: [8]}
quantization: {weight: "ap_fixed<6,1>", activation: "ap_ufixed<6,2>"}
training: {epochs: 4, batch_size: 128}
requirements: {accuracy_loss: null, mutants: 4}
"""


def jetgate(*arguments, folder, env=None, timeout=300):
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "trigger.app.cli", *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        timeout=timeout, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def realdata(path: str) -> Path:
    """A public file that the project does not ship; the test is skipped where it is not there."""
    found = REALDATA / path
    if not found.exists():
        pytest.skip(f"the public file {path} is not here")
    return found


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """A finished run of the toy recipe, made once for all processes of the tests: a function `copied(folder)` that gives a
    copy to change, as the answer of the command.
    """
    from trigger.files import locked

    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toy_run"
    with locked(home):
        if not (home / "answer.json").is_file():
            (home / "toy.yaml").write_text(TOY)
            result = jetgate("run", "toy.yaml", "--json", folder=home)
            assert result.returncode == 0, result.stderr
            (home / "answer.json").write_text(result.stdout)

    def copied(folder):
        shutil.copytree(home, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock", "answer.json"))
        return json.loads((home / "answer.json").read_text())

    return copied


@pytest.fixture(scope="session")
def toy():
    """Toy jets of five classes, 120 each."""
    from trigger.data.toy import ToyData, toy_jets

    (jets,) = toy_jets(ToyData(kind="toy", jets_per_class=120), seed=3)
    return jets


@pytest.fixture(scope="session")
def contract():
    """A contract of six inputs of ten bits."""
    from trigger.fixed_point import FixedPoint, Overflow, Rounding
    from trigger.inputs.contract import Input, InputSpec

    wire = FixedPoint(True, 4, 5, Rounding.RND_CONV, Overflow.SAT)
    inputs = tuple(Input(name=f"x{k}", unit="GeV", format=wire, offset=float(k), scale=0.5) for k in range(6))
    return InputSpec(inputs=inputs, outputs=("a", "b", "c"))


@pytest.fixture(scope="session")
def network(contract):
    """A small quantised network with random weights, biases included."""
    from models.networks.mlp import Mlp
    from models.quantization import Quantization
    from trigger.config import parse

    quantization = parse('weight: "ap_fixed<5,1>"\nactivation: "ap_ufixed<5,2>"\n', Quantization, "test")
    model = Mlp(kind="mlp", hidden=(8, 4)).build(contract, 3, quantization)
    generator = np.random.default_rng(5)
    model.set_weights([generator.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def project(network, contract, tmp_path_factory):
    """The firmware project of `network`, compiled."""
    from firmware.engines import cpp
    from firmware.project import convert
    from firmware.target import load_target

    codes = np.random.default_rng(6).integers(-300, 300, (400, 6))
    folder = tmp_path_factory.mktemp("projects")
    made = convert(network, contract, load_target("vu13p"), "tiny", folder, codes)
    cpp.build(made)
    return made
