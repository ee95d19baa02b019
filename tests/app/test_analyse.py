"""Offline studies from the command line."""

from __future__ import annotations

import json

import pytest

from tests.conftest import jetgate

TINY = (
    "--set", "study.energy={kind: toy, classes: [W, quark], jets_per_class: 100, learn: true}",
    "--set", "study.mass={kind: toy, classes: [W, quark], jets_per_class: 100, learn: true}",
    "--set", "study.fitting.epochs=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished tiny study: the folder that it was made in, and what the command said."""
    home = tmp_path_factory.mktemp("analyse")
    result = jetgate("analyse", "regression", *TINY, "--json", folder=home)
    assert result.returncode == 3, result.stderr  # toys: nothing was measured
    return home, json.loads(result.stdout)


def test_a_study_leaves_what_it_found(done):
    home, said = done
    folder = home / said["folder"]
    assert said["overall"] == "INCOMPLETE"
    assert said["synthetic"]
    assert {path.name for path in folder.iterdir()} >= {
        "recipe.yaml",
        "result.json",
        "verdict.json",
        "curves.npz",
        "plots",
    }
    assert {path.stem for path in (folder / "plots").iterdir()} == set(said["figures"])
    assert said["taggers"]["classifier"]["auc"]["uncertainty"] > 0


def test_it_does_nothing_twice(done):
    home, said = done
    before = (home / said["folder"] / "result.json").stat().st_mtime_ns
    again = jetgate("analyse", "regression", *TINY, folder=home)
    assert again.returncode == 3
    assert "done before" in again.stderr
    assert "pT:resolution" in again.stdout
    assert (home / said["folder"] / "result.json").stat().st_mtime_ns == before
    # What it wrote down is a recipe that gives the same.
    own = jetgate("analyse", f"{said['folder']}/recipe.yaml", folder=home)
    assert "done before" in own.stderr


def test_studies_side_by_side(done):
    home, said = done
    other = jetgate("analyse", "regression", *TINY, "--set", "seed=2", "--json", folder=home)
    folders = [said["folder"], json.loads(other.stdout)["folder"]]
    found = jetgate("analyse", "--compare", *folders, "--json", folder=home)
    assert found.returncode == 0, found.stderr
    table = json.loads(found.stdout)
    assert [row[0].split(": ")[1] for row in table["rows"]] == ["classifier"] * 2
    assert table["rows"][0][1]["value"] == said["taggers"]["classifier"]["auc"]["value"]
    for name in ("comparison.json", "comparison.png", "comparison.svg"):
        assert (home / name).stat().st_size > 100
    shown = jetgate("analyse", "--compare", *folders, "--out", "elsewhere", folder=home)
    assert "classifier" in shown.stdout
    assert (home / "elsewhere" / "comparison.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("regresion",), "no packaged study 'regresion' and no such file; nearest: 'regression'"),
        (("regression", "--set", "study.kind=regresion"), "study.kind: 'regresion' is not known"),
        (("regression", "--set", "study.fitting.epoch=3"), "there is no such key; nearest: 'epochs'"),
        (("regression", "--set", "study.fitting.precision=half"), "study.fitting.precision: 'half' is not known"),
        (
            ("regression", "--set", "study.energy={kind: toy, classes: [W, quark]}", "--set", "study.signal=[top]"),
            "study: signal: there is no class 'top'",
        ),
        (("regression", "regression"), "one at a time"),
        (("--compare", "nowhere"), "nowhere: there is no result.json"),
        (("--compare", "x", "--set", "seed=1"), "--set: not with --compare"),
        (("missing.yaml",), "missing.yaml: no such file"),
    ],
)
def test_wrong_inputs_are_named(arguments, message, tmp_path):
    result = jetgate("analyse", *arguments, folder=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_studies_are_listed(tmp_path):
    listed = json.loads(jetgate("studies", "--json", folder=tmp_path).stdout)
    assert listed["regression"].startswith("Jet energy and mass")
    copied = jetgate("studies", "--copy", "regression", folder=tmp_path)
    assert copied.returncode == 0
    assert (tmp_path / "regression.yaml").is_file()
