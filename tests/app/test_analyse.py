"""Offline studies from the command line."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.analyses.study import Result, Table
from models.offline.merit import Merit
from tests.conftest import jetgate
from trigger.app import analyse as studies
from trigger.app import cli, console
from trigger.app.report_tables import study_table
from trigger.decision.efficiency import Estimate
from trigger.errors import ToolError
from trigger.files import locked
from trigger.plots.studies import rejection_curves

TINY = (
    "--set", "study.energy={kind: toy, classes: [W, quark], jets_per_class: 400, learn: true}",
    "--set", "study.mass={kind: toy, classes: [W, quark], jets_per_class: 400, learn: true}",
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


def test_what_was_lost_of_a_run_comes_back(done, tmp_path):
    home, said = done
    shutil.copytree(home / "runs", tmp_path / "runs")
    folder = tmp_path / said["folder"]
    before = (folder / "verdict.json").read_text()
    (folder / "verdict.json").unlink()
    assert "done before" in jetgate("analyse", "regression", *TINY, folder=tmp_path).stderr
    assert (folder / "verdict.json").read_text() == before
    shutil.rmtree(folder / "plots")
    (folder / "verdict.json").unlink()
    again = jetgate("analyse", "regression", *TINY, "--json", folder=tmp_path)
    assert again.returncode == 3, again.stderr
    lost = (len(said["figures"]) * 2) - 1
    assert f"done before, but lost: plots/{said['figures'][0]}.svg and {lost} more; done again" in again.stderr
    assert "epochs" not in again.stderr, "trainings are kept"
    assert {path.stem for path in (folder / "plots").iterdir()} == set(said["figures"])
    assert (folder / "verdict.json").read_text() == before
    (folder / "curves.npz").write_bytes(b"")
    broken = jetgate("analyse", "regression", *TINY, folder=tmp_path)
    assert broken.returncode == 2
    assert "curves.npz: cannot be read: this is no whole npz file; remove it, and it is made anew" in broken.stderr
    (folder / "curves.npz").unlink()
    mended = jetgate("analyse", "regression", *TINY, folder=tmp_path)
    assert "lost: curves.npz; done again" in mended.stderr
    assert Result.load(folder).curves


def test_a_verdict_is_there_before_the_result(tmp_path, monkeypatch):
    """Killed between the two a run is not done, and is done again."""

    class KilledError(Exception):
        pass

    def killed(*_):
        raise KilledError

    monkeypatch.setattr(Result, "save", killed)
    overrides = tuple(one for one in TINY if one != "--set")
    with pytest.raises(KilledError):
        studies.analyse("regression", overrides, tmp_path, 1, console.Reporter())
    (folder,) = (tmp_path / "runs" / "analyses").iterdir()
    assert (folder / "verdict.json").is_file()
    assert not (folder / "result.json").exists()


def test_who_waits_says_for_whom(done):
    home, said = done
    told = []

    class Told(console.Reporter):
        def say(self, text):
            told.append(text)
            if "waits" in text:
                holder.close()

    overrides = tuple(one for one in TINY if one != "--set")
    holder = (home / said["folder"] / ".lock").open("w")
    import fcntl

    fcntl.flock(holder, fcntl.LOCK_EX)
    folder, *_ = studies.analyse("regression", overrides, home, 1, Told())
    assert told == [f"regression: waits for another jetgate in {folder}", "regression: done before"]
    with locked(folder):
        pass


def test_studies_side_by_side(done):
    home, said = done
    other = jetgate("analyse", "regression", *TINY, "--set", "seed=2", "--json", folder=home)
    folders = [said["folder"], json.loads(other.stdout)["folder"]]
    found = jetgate("analyse", "--compare", *folders, "--json", folder=home)
    assert found.returncode == 0, found.stderr
    table = json.loads(found.stdout)
    assert table["columns"][:3] == ["tagger", "study", "AUC"]
    assert [row[0] for row in table["rows"]] == ["classifier"] * 2
    assert [row[1] for row in table["rows"]] == [f"{Path(one).name} (synthetic)" for one in folders]
    assert table["rows"][0][2]["value"] == said["taggers"]["classifier"]["auc"]["value"]
    assert table["notes"] == ["these are of different samples (seed): which tagger is better does not follow"]
    assert json.loads((home / "comparison.json").read_text())["notes"] == table["notes"]
    for name in ("comparison.json", "comparison.png", "comparison.svg"):
        assert (home / name).stat().st_size > 100
    shown = jetgate("analyse", "--compare", *folders, "--out", "elsewhere", folder=home)
    assert "classifier" in shown.stdout
    assert "different samples" in shown.stdout
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


@pytest.mark.parametrize("name", ["foo", "JAX", "torch", "numpy"])
def test_backends_that_are_none_of_ours_are_refused_before_anything_is_made(call, monkeypatch, tmp_path, name):
    monkeypatch.setenv("KERAS_BACKEND", name)
    status, _, err = call("analyse", "regression", "--out", tmp_path)
    assert (status, err) == (2, f"jetgate: KERAS_BACKEND is {name!r}; right would be tensorflow or jax\n")
    assert not list(tmp_path.iterdir())


def test_a_backend_that_is_not_installed_is_named(call, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    found = console.importlib.util.find_spec
    monkeypatch.setattr(console.importlib.util, "find_spec", lambda name: None if name == "jax" else found(name))
    status, _, err = call("analyse", "regression", "--out", tmp_path)
    assert (status, err) == (2, "jetgate: KERAS_BACKEND=jax: jax is not installed: pip install 'jetgate[jax]'\n")


def test_a_backend_that_cannot_be_imported_is_named(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise ImportError('no jax today')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = jetgate("analyse", "regression", *TINY, folder=tmp_path, env={"KERAS_BACKEND": "jax", "PYTHONPATH": path})
    assert result.returncode == ToolError.exit_status
    assert "jetgate: Keras cannot be imported with KERAS_BACKEND=jax: no jax today" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_empty_backend_is_none(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert console.keras_backend() == "tensorflow"
    monkeypatch.delenv("KERAS_BACKEND")
    assert console.keras_backend() == "tensorflow"


@pytest.mark.parametrize("name", ["study.fitting", "study.fittings"])
def test_distribution_is_refused_before_a_sample_is_made(call, monkeypatch, tmp_path, name):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    change = f"{name}={'{lola: {distributed: true}}' if name.endswith('s') else '{distributed: true}'}"
    status, _, err = call("analyse", "top_tagging", "--set", change, "--out", tmp_path)
    where = f"{name}.lola" if name.endswith("s") else name
    assert status == 2
    assert f"{where}.distributed: Keras spreads a step over devices with JAX, not tensorflow" in err
    assert not list(tmp_path.iterdir())


def test_the_end_of_a_file_is_no_interrupt(call, monkeypatch):
    def ends(*_):
        raise EOFError("No data left in file")

    monkeypatch.setattr(cli, "_packaged", ends)
    status, _, err = call("recipes")
    assert (status, "No data left in file" in err, "interrupted" in err) == (70, True, False)

    def interrupts(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_packaged", interrupts)
    assert call("recipes")[0] == 130


@pytest.mark.parametrize(("command", "what"), [("studies", "study"), ("menus", "menu"), ("recipes", "recipe")])
def test_what_cannot_be_copied_is_called_by_its_name(call, command, what):
    status, _, err = call(command, "--copy", "nosuch")
    assert status == 2
    assert f"there is no packaged {what} 'nosuch' and no such file; nearest: '" in err


def test_the_list_of_studies_is_indented_where_it_wraps(call, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    whole = call("studies")[1].splitlines()
    monkeypatch.setenv("COLUMNS", "80")
    narrow = call("studies")[1].splitlines()
    assert max(map(len, narrow)) <= 80 < max(map(len, whole))
    assert len(narrow) > len(whole)
    assert all(line[:24].strip() or line.startswith(" " * 26) for line in narrow)
    assert [line.split() for line in whole] == [
        line.split() for line in "\n".join(narrow).replace("\n" + " " * 26, " ").splitlines()
    ]


def shown(table, width):
    console = Console(file=StringIO(), width=width)
    console.print(study_table(table))
    return console.file.getvalue()


def test_narrow_tables_are_lists():
    columns = ("tagger", "AUC", "rejection", "accuracy of the tagger", "jets/s learnt", "nothing", "a note")
    nan = float("nan")
    rows = tuple((name, Estimate(0.9, 0.01), nan if name == "b" else 1234.5, 0.5, 3, None, "") for name in "ab")
    table = Table("[some] title", columns, rows)
    wide = shown(table, 160)
    assert "accuracy of the tagger" in wide
    assert "nothing" not in wide, "a column in which nothing is known"
    assert "a note" not in wide
    assert shown(table, 60) == (
        "[some] title\n  a\n    AUC: 0.9 ± 0.01\n    rejection: 1,234\n    accuracy of the tagger: 0.5\n    jets/s learnt: 3\n"
        "  b\n    AUC: 0.9 ± 0.01\n    accuracy of the tagger: 0.5\n    jets/s learnt: 3\n"
    )
    assert "┃" in shown(replace(table, columns=("a", "b"), rows=((1, 2),)), 60), "it fits"


def test_unknown_numbers_are_shown_as_they_are_when_read_again():
    inf, nan = float("inf"), float("nan")
    rows = (("x", nan), ("y", inf), ("z", Estimate(inf, nan)), ("k", Estimate(1.0, inf)), ("l", 2.0))
    table = Table("t", ("a", "b"), rows)
    again = Table.read(json.loads(json.dumps(table.summary())))
    assert shown(table, 100) == shown(again, 100)
    assert "nan" not in shown(table, 100)
    assert shown(table, 100).count("not known") == 4


def test_the_legend_names_taggers_of_which_nothing_can_be_drawn():
    efficiency = np.linspace(0.1, 1, 4)
    figure = rejection_curves({"one": (efficiency, 1 / efficiency), "all": (efficiency, np.full(4, np.inf))})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["one", "all (no background passes)", "random guess"]


@pytest.fixture
def kept(tmp_path):
    """A function that writes a result into a folder of its own."""
    one = Estimate(0.5, 0.1)
    merit = Merit("a", one, one, one, one, {}, 2, 0, 10, 1.5, 2.5)
    efficiency = np.linspace(0.1, 1, 4)

    def write(name, **settings):
        whole = {
            "taggers": {"a": merit},
            "curves": {"a": (efficiency, 1 / efficiency)},
            "details": {"jets": {"test": 3}},
        }
        Result("x", (), (), (), tables=(Table("more", ("a", "b"), (("x", 1),)),), **{**whole, **settings}).save(
            tmp_path / name
        )
        return tmp_path / name

    return write


def test_studies_of_the_same_sample_are_compared_without_a_note(kept, tmp_path):
    found = studies.compare_studies([kept("one"), kept("two", synthetic=True)], tmp_path)
    assert found.notes == ()
    assert [row[:2] for row in found.taggers.rows] == [("a", "one"), ("a", "two (synthetic)")]
    svg = (tmp_path / "comparison.svg").read_text()
    assert all(f"<!-- {name} -->" in svg for name in ("one: a", "two (synthetic): a"))
    other = studies.compare_studies([kept("one"), kept("two", details={"jets": {"test": 4}})], tmp_path)
    assert other.notes == ("these are of different samples (jets): which tagger is better does not follow",)
    alone = studies.compare_studies([kept("two", synthetic=True)], tmp_path)
    assert alone.taggers.title == "comparison: two (synthetic)"
    assert alone.taggers.rows[0][0] == "a"


def test_a_study_without_taggers_shows_its_tables(kept, tmp_path):
    none = {"taggers": {}, "curves": {}}
    found = studies.compare_studies([kept("one"), kept("two", **none)], tmp_path)
    assert found.notes == ("two: there are no taggers in it; its tables are shown as they are",)
    assert [one.title for one in found.shown] == ["comparison", "two: more"]
    alone = studies.compare_studies([kept("two", **none)], tmp_path / "alone")
    assert [one.title for one in alone.shown] == ["two: more"]
    assert json.loads(alone.path.read_text())["tables"][0]["rows"] == [["x", 1]]
    assert not (tmp_path / "alone" / "comparison.png").exists()
