"""That `jetgate verify` holds a run to its records, and that each kind of change is found and named."""

from __future__ import annotations

import json
import shutil

import numpy as np

from trigger.app.verify import Finding, holds, verify


def failing(run):
    return {one.name: one.finding for one in verify(run) if one.finding is not Finding.HOLDS}


def models_of(run):
    return run.parents[1] / json.loads((run / "run.json").read_text())["models"]


def project_of(run):
    return run.parents[1] / json.loads((run / "run.json").read_text())["project"]


def test_a_run_that_nobody_touched(run, call, monkeypatch):
    checks = verify(run)
    assert holds(checks)
    names = [one.name for one in checks]
    home, models = f"runs/{run.name}", f"runs/models/{models_of(run).name}"
    for name in ("verdict.json", "recipe.yaml", "target.yaml", "emulation.json", "emulation_physics.npz", "mutation.json",
                 "performance.json", "plots/roc.svg", "plots/history.png"):  # fmt: skip
        assert f"{home}/{name}" in names
    for name in ("features.npz", "quantised/model.keras", "float/contract.yaml", "quantised", "float"):
        assert f"{models}/{name}" in names
    assert f"vivado_projects/{project_of(run).name}" in names
    assert f"vivado_projects/{project_of(run).name}/reports/open.json" in names
    assert all(one.found == one.recorded for one in checks)
    recorded = json.loads((run / "run.json").read_text())["digests"].values()
    assert set(recorded) <= {one.recorded for one in checks}
    monkeypatch.chdir(run.parents[1])
    status, out, err = call("verify", f"runs/{run.name}", "--json")
    answer = json.loads(out)
    assert (status, err, answer["holds"]) == (0, "", True)
    assert answer["checks"] == [one.summary() for one in checks]
    status, out, _ = call("verify", f"runs/{run.name}")
    assert status == 0
    assert f"all {len(checks)} digests hold" in out


def test_files_that_changed_or_went(run, call):
    (run / "performance.json").write_text((run / "performance.json").read_text() + " ")
    (run / "plots" / "roc.svg").unlink()
    (run / "verdict.json").write_text((run / "verdict.json").read_text().replace("PASS", "FAIL", 1))
    home = f"runs/{run.name}"
    assert failing(run) == {
        f"{home}/performance.json": Finding.CHANGED,
        f"{home}/plots/roc.svg": Finding.MISSING,
        f"{home}/verdict.json": Finding.CHANGED,
    }
    status, out, _ = call("verify", run)
    assert status == 1
    assert "3 of " in out
    assert "performance.json" in out
    status, out, _ = call("verify", run, "--json")
    assert status == 1
    assert not json.loads(out)["holds"]


def test_firmware_that_was_edited(run):
    project = project_of(run)
    (weights, *_) = sorted(project.glob("firmware/weights/w*.h"))
    weights.write_text(weights.read_text() + "\n")
    (project / "rtl" / "src" / "added.v").write_text("module added; endmodule\n")
    home = f"vivado_projects/{project.name}"
    assert failing(run) == {
        home: Finding.CHANGED,
        f"{home}/firmware/weights/{weights.name}": Finding.CHANGED,
        f"{home}/rtl/src/added.v": Finding.CHANGED,
    }
    weights.unlink()
    (check,) = [one for one in verify(run) if one.name == home]
    assert check.finding is Finding.DAMAGED
    assert f"firmware/weights/{weights.name}" in check.note
    shutil.rmtree(project)
    assert failing(run)[home] is Finding.MISSING


def test_a_network_that_was_exchanged(run):
    """Its files are found by their bytes, and it by what it is: the record was made to fit."""
    models = models_of(run)
    shutil.copy(models / "float" / "model.keras", models / "quantised" / "model.keras")
    home = f"runs/models/{models.name}"
    changed = {f"{home}/quantised/model.keras": Finding.CHANGED, f"{home}/quantised": Finding.CHANGED}
    assert failing(run) == changed
    record = json.loads((models / "steps" / "quantised.json").read_text())
    other = json.loads((models / "steps" / "float.json").read_text())
    record["digest"] = other["digest"]
    (models / "steps" / "quantised.json").write_text(json.dumps(record))
    assert failing(run)[f"{home}/steps/quantised.json"] is Finding.CHANGED
    (models / "quantised" / "model.keras").write_bytes(b"no network")
    assert failing(run)[f"{home}/quantised"] is Finding.DAMAGED
    shutil.rmtree(models / "quantised")
    found = failing(run)
    assert found[f"{home}/quantised"] is Finding.MISSING
    assert found[f"{home}/quantised/model.keras"] is Finding.MISSING


def test_features_that_changed(run):
    path = models_of(run) / "features.npz"
    with np.load(path) as stored:
        content = dict(stored)
    np.savez(path, **content)
    name = f"runs/models/{path.parent.name}/features.npz"
    again = [one for one in verify(run) if one.name == name and one.what != "file"]
    assert [one.finding for one in again] == [Finding.HOLDS]  # written anew, the same content
    content["values"][0, 0] += 1e-6
    np.savez(path, **content)
    again = [one for one in verify(run) if one.name == name]
    assert [one.finding for one in again] == [Finding.CHANGED] * 2
    path.write_bytes(b"")
    assert Finding.DAMAGED in [one.finding for one in verify(run) if one.name == name]


def test_records_that_are_damaged_or_gone(run):
    models = models_of(run)
    (run / "steps" / "emulation.json").write_text("[]")
    (models / "steps" / "float.json").unlink()
    assert failing(run) == {
        f"runs/{run.name}/steps/emulation.json": Finding.DAMAGED,
        f"runs/models/{models.name}/steps/float.json": Finding.MISSING,
    }
    shutil.rmtree(models)
    found = failing(run)
    assert found[f"runs/models/{models.name}/steps"] is Finding.MISSING
    assert found[f"runs/models/{models.name}/steps/features.json"] is Finding.MISSING


def test_wrong_input(run, call, tmp_path):
    for folder, message in ((tmp_path / "nothing", "no such folder"), (run.parent, "not a finished run")):
        status, out, err = call("verify", folder)
        assert (status, out) == (2, "")
        assert message in err
    (run / "run.json").write_text("{}")
    status, _, err = call("verify", run)
    assert status == 2
    assert "run.json: damaged" in err
