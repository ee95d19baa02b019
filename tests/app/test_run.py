"""The whole chain on toy jets, as a user runs it: in processes of their own, killed and run again."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import TOY, jetgate


@pytest.fixture(scope="module")
def done(toy_run, tmp_path_factory):
    """A finished run of the toy recipe."""
    folder = tmp_path_factory.mktemp("run")
    return folder, toy_run(folder)


def test_run_ends_in_a_verdict(done):
    folder, answer = done
    home = folder / answer["folder"]
    verdict = json.loads((home / "verdict.json").read_text())
    assert verdict["overall"] == answer["overall"] == "PASS"
    assert verdict["synthetic"]
    by_name = {one["name"]: one for one in verdict["requirements"]}
    assert by_name["bits:cpp"]["status"] == "PASS"
    assert by_name["bits:cpp"]["figure"] == 0
    assert by_name["physics:macro_auc"]["status"] == "NOT MEASURED"
    emulation = json.loads((home / "emulation.json").read_text())
    assert emulation["codes_compared"] > 3 * 110_000
    assert (folder / answer["page"]).is_file()
    for name in ("roc", "history", "scores", "groomed_mass"):
        for suffix in (".svg", ".png"):
            assert (home / "plots" / f"{name}{suffix}").stat().st_size > 5000


def test_physics_that_is_required_of_toys_is_not_measured(done):
    folder, _ = done
    result = jetgate("run", "toy.yaml", "--set", "requirements.macro_auc=0.5", folder=folder)
    assert result.returncode == 3
    assert "INCOMPLETE" in result.stdout


def test_nothing_is_done_twice(done):
    folder, answer = done
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = jetgate("run", "toy.yaml", "--json", folder=folder)
    assert json.loads(again.stdout) == answer
    assert again.stderr == ""
    rewritten = {"recipe.yaml", "target.yaml", "run.json", "verdict.json", "index.html", "report.json"}
    changed = {path.name for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed <= rewritten


@pytest.mark.parametrize("moment", ["training the quantised", "compiling"])
def test_killed_and_run_again(done, tmp_path, moment):
    folder, answer = done
    (tmp_path / "toy.yaml").write_text(TOY)
    process = subprocess.Popen(
        [sys.executable, "-m", "trigger.app.cli", "run", "toy.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for line in process.stderr:
        if moment in line:
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
            break
    process.wait(60)
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    result = jetgate("run", "toy.yaml", "--json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    digests = [
        json.loads((where / answer["folder"] / "run.json").read_text())["digests"] for where in (folder, tmp_path)
    ]
    assert digests[0] == digests[1]


def test_the_steps_one_by_one(done):
    folder, _ = done
    data = json.loads(jetgate("data", "toy.yaml", "--json", folder=folder).stdout)
    assert data["jets"] == {"quark": 400, "W": 400, "top": 400}
    trained = json.loads(jetgate("train", "toy.yaml", "--json", folder=folder).stdout)
    assert trained["quantised"]["parameters"] == trained["float"]["parameters"] == 4 * 8 + 8 + 8 * 3 + 3
    made = json.loads(jetgate("convert", trained["folder"], "--target", "vu9p", "--json", folder=folder).stdout)
    result = jetgate("emulate", made["project"], "--vectors", 17_000, "--json", folder=folder)
    assert result.returncode == 0
    assert json.loads(result.stdout)["overall"] == "PASS"
    weights = next((folder / made["project"] / "firmware" / "weights").glob("w*.h"))
    text = weights.read_text()
    first = re.search(r"= \{(-?[0-9.]+)", text)
    weights.write_text(text.replace(first[0], f"= {{{float(first[1]) + (0.5 if float(first[1]) < 0 else -0.5)}", 1))
    result = jetgate("emulate", made["project"], "--vectors", 17_000, folder=folder)
    assert result.returncode == 1
    assert f"edited after the conversion: firmware/weights/{weights.name}" in result.stderr
    assert "FAIL" in result.stdout
    assert "first difference in" in " ".join(result.stdout.replace("│", " ").split())


def test_killed_while_collisions_are_made(tmp_path):
    """Its workers end with it, what it made is used, and the sample is that of an undisturbed run."""
    arguments = [
        "data",
        "jet_tagger",
        "--json",
        "--set",
        "data.classes=[W, Z]",
        "--set",
        "data.jets_per_class=120",
        "-j",
        "2",
    ]
    for folder in ("killed", "undisturbed"):
        (tmp_path / folder).mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "trigger.app.cli", *arguments], cwd=tmp_path / "killed", start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(600):
        if list((tmp_path / "killed").glob("runs/data/*/chunks/wz-*.root")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    left = list((tmp_path / "killed").glob("runs/data/*/chunks/wz-*.root"))
    assert left
    for _ in range(100):
        if subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, check=False).returncode != 0:
            break
        time.sleep(0.1)
    else:
        pytest.fail("workers outlived the run that started them")
    contents = [json.loads(jetgate(*arguments, folder=tmp_path / where).stdout) for where in ("killed", "undisturbed")]
    assert contents[0] == contents[1]


def test_interrupted(tmp_path):
    (tmp_path / "toy.yaml").write_text(TOY)
    process = subprocess.Popen(
        [sys.executable, "-m", "trigger.app.cli", "run", "toy.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "training" in line:
            process.send_signal(signal.SIGINT)
            break
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the same command goes on where it was" in said
    assert "Traceback" not in said


def test_damaged_records_are_steps_not_done(done):
    folder, answer = done
    for content in ("", "[]"):
        (folder / answer["folder"] / "steps" / "performance.json").write_text(content)
        result = jetgate("run", "toy.yaml", "--json", folder=folder)
        assert json.loads(result.stdout) == answer


def test_a_run_can_be_repeated_from_its_own_record(done):
    folder, answer = done
    again = jetgate(
        "run", f"{answer['folder']}/recipe.yaml", "--target", f"{answer['folder']}/target.yaml", "--json", folder=folder
    )
    assert json.loads(again.stdout) == answer


def test_a_reader_that_goes_away_is_no_failure(tmp_path):
    shell = f"{sys.executable} -m trigger.app.cli recipes | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", shell], cwd=tmp_path, check=False, stderr=subprocess.DEVNULL).returncode == 0


def test_no_compiler(done, tmp_path):
    folder, _ = done
    project = next((folder / "vivado_projects").glob("toy_tagger-vu13p-*"))
    shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(tmp_path / "project" / "build")
    result = jetgate("emulate", "project", folder=tmp_path, env={"PATH": str(tmp_path)})
    assert result.returncode == 3
    assert "g++ is not installed or not on the PATH" in result.stderr
    assert "Traceback" not in result.stderr
