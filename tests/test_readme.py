"""Every command and every example of the README is run here, or by CI where it is a make target."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from trigger.app import cli
from trigger.app.zero_bias import ZeroBias
from trigger.config import load
from trigger.data.rootfile import write_columns
from trigger.data.toy import ToyData, toy_jets
from trigger.inputs.contract import InputSpec
from trigger.kinematics import pseudorapidity

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder with the files that the README speaks of."""
    home = tmp_path_factory.mktemp("readme")
    for text in blocks("yaml"):
        (home / re.match(r"# (\S+)\n", text)[1]).write_text(text)
    (home / "my_jets").mkdir()
    with uproot.recreate(home / "my_jets" / "one.root") as file:
        columns = nanoaod()
        file.mktree("Events", {key: ak.type(ak.Array(column)).content for key, column in columns.items()}).extend(
            columns
        )
    return home


def nanoaod():
    """Toy jets in the layout of CMS nanoAOD, two jets an event."""
    (jets,) = toy_jets(
        ToyData(kind="toy", classes=("quark", "gluon"), jets_per_class=300, pt_gev=(200.0, 600.0)), seed=2
    )
    order = np.random.default_rng(1).permutation(600)
    c, labels = jets.constituents[order], jets.labels[order]
    pairs = ak.unflatten(c, np.full(300, 2))
    flat = ak.flatten(pairs, axis=2)
    jet_of = ak.flatten(ak.broadcast_arrays(ak.local_index(pairs, axis=1), pairs.px)[0], axis=2)
    momenta = {
        "pt": np.sqrt(flat.px**2 + flat.py**2),
        "eta": pseudorapidity(flat.px, flat.py, flat.pz),
        "phi": np.arctan2(flat.py, flat.px),
    }
    return {
        "event": np.arange(300), "Jet": ak.zip({"partonFlavour": ak.unflatten(np.array([1, 21])[labels], np.full(300, 2))}),
        "PFCands": ak.zip({**momenta, "mass": 0 * momenta["pt"]}),
        "JetPFCands": ak.zip({"jetIdx": jet_of, "pFCandsIdx": ak.local_index(jet_of)}),
    }  # fmt: skip


@pytest.fixture
def network(folder):
    """The user's own networks and events, of the inputs that the README's contract describes."""
    import keras
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    contract = InputSpec.load(folder / "contract.yaml")
    weights = {"kernel_quantizer": quantized_bits(6, 0, alpha=1.0), "bias_quantizer": quantized_bits(6, 0, alpha=1.0)}
    x = start = keras.Input((len(contract.inputs),))
    x = QActivation(quantized_bits(16, 6, alpha=1.0))(x)
    x = QActivation(quantized_relu(6, 2))(QDense(4, **weights)(x))
    keras.Model(start, QDense(len(contract.outputs), **weights)(x)).save(folder / "my_model.keras")
    hidden = keras.layers.Dense(4, "sigmoid", name="hidden")(start)
    keras.Model(start, keras.layers.Dense(len(contract.outputs), name="outputs")(hidden)).save(
        folder / "old_model.keras"
    )
    columns = {name: np.random.default_rng(k).normal(60, 20, 500) for k, name in enumerate(contract.names)}
    write_columns(folder / "events1.root", "Events", iter([columns]))


def test_every_command(folder, network, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    ci, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert len(lines) >= 10
    for line in lines:
        program, *arguments = shlex.split(line)
        if program == "make":
            assert f"\n{arguments[0]}: $(INSTALLED)" in makefile
            assert line in ci, f"CI does not run '{line}'"
            continue
        if program == "cp":
            (source,) = Path().glob(arguments[1])
            shutil.copytree(source, arguments[2])
            continue
        assert program == "jetgate"
        arguments = [
            found for word in arguments for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
        ]
        status = cli.status_of(arguments)
        captured = capsys.readouterr()
        # Six hundred toy jets and five epochs may well miss what is required: then the answer is no. Of these jets too few pass
        # for a background to be known.
        allowed = {"run": (0, 1), "rates": (0, 1, 3), "analyse": (0, 1)}
        assert status in allowed.get(arguments[0], (0,)), f"{line}\n{captured.out}\n{captured.err}"


def test_python_example(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})  # our own text
    assert capsys.readouterr().out.strip().endswith("PASS")


def test_make_targets_that_it_names():
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    for target in re.findall(r"`make (\w+)`", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
        assert target == "lock" or f"make {target}" in ci


def test_links():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).is_file()


def test_the_menu(folder):
    from trigger.decision.menu import load_menu

    menu = load_menu(str(folder / "my_menu.yaml"))
    assert [seed.threshold for seed in menu.seeds] == [None, 360]
    assert load(folder / "zero_bias.yaml", ZeroBias).mapping.jets is not None
