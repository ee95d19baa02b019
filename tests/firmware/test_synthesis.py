"""Drivers against fake tools: each way of driving HLS and Vivado, succeeding, failing, hanging and leaving old reports."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from firmware import synthesis, tools
from firmware.project import FirmwareProject
from firmware.reports.report import Stage
from firmware.scripts import settings_of
from tests.firmware import vendor
from trigger.app import cli
from trigger.errors import BitsDifferError, InputError, ReportError, ToolError

# Way of driving, release, programs, stage, design, the steps that are run.
DRIVERS = {
    "vivado_hls": ("2019.1", ("vivado_hls",), Stage.HLS, "cpp", ["csim", "csynth"]),
    "vitis_hls": ("2022.2", ("vitis_hls",), Stage.COSIM, "cpp", ["csim", "csynth", "cosim"]),
    "vitis-run": ("2023.2", ("vitis-run",), Stage.HLS, "cpp", ["csim", "csynth"]),
    "unified": ("2024.2", ("vitis-run", "v++"), Stage.COSIM, "cpp", ["csim", "csynth", "cosim"]),
    "vivado": ("2023.2", ("vitis-run", "vivado"), Stage.IMPLEMENTATION, "rtl", ["synthesis", "implementation"]),
}


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The file to which the fake tools write each step they are asked for."""
    path = tmp_path / "calls"
    path.touch()
    monkeypatch.setenv("FAKE_CALLS", str(path))
    return path


@pytest.fixture
def driven(project, tmp_path, monkeypatch, calls):
    """A copy of the project, and the fake tools of a driver on the PATH."""

    def make(driver, release=None):
        usual, programs, *_ = DRIVERS[driver]
        vendor.install(tmp_path / "bin", release or usual, *programs)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        copy = tmp_path / "project"
        if not copy.exists():
            shutil.copytree(project.folder, copy, ignore=shutil.ignore_patterns("build"))
        settings = copy / "tcl" / "settings.tcl"
        compiler = "vivado" if driver == "vivado_hls" else "vitis"
        loaded = FirmwareProject.load(copy)
        flow = None if driver == "vivado" else driver
        backend = loaded.target.backend.model_copy(update={"tool": compiler, "flow": flow})
        target = loaded.target.model_copy(update={"backend": backend})
        settings.write_text(settings_of("tiny", target))
        return replace(loaded, target=target)

    return make


def run(project, driver, **options):
    _, _, stage, design, _ = DRIVERS[driver]
    return synthesis.synthesize(project, stage, design, **options)


@pytest.mark.parametrize("driver", DRIVERS)
def test_success(driven, driver, calls):
    project = driven(driver)
    report = run(project, driver)
    release, _, stage, design, steps = DRIVERS[driver]
    assert calls.read_text().split() == steps
    assert (report.stage, report.design, report.part) == (stage, "tiny", "xcvu13p-flga2577-2-e")
    assert report.sources_digest == synthesis.sources_digest(project, stage, design)
    assert report.version == release
    if stage is Stage.HLS:
        assert (report.latency_cycles, report.used.lut, report.used.bram18) == (7, 1234, 3)
    if stage is Stage.COSIM:
        assert (report.latency_cycles, report.passed, report.used.lut) == (8, True, None)
        assert report.latency_ns == pytest.approx(8 * 2.7778)
    if stage is Stage.IMPLEMENTATION:
        assert (report.used.lut, report.used.bram36, report.slack_ns, report.power_w) == (1111, 1.5, 0.123, 2.5)
        assert report.latency_cycles == project.manifest.rtl.latency_cycles
        assert report.available_slr.lut == 432_000
        assert [one.name for one in report.modules] == ["logic0"]
    assert synthesis.saved_reports(project) == {synthesis.report_path(project, stage, design): report}
    run(project, driver)
    assert calls.read_text().split() == steps, "nothing is run twice"


STEPS = [(driver, step) for driver, (*_, steps) in DRIVERS.items() for step in steps]


@pytest.mark.parametrize(("driver", "step"), STEPS)
def test_a_step_that_does_nothing(driven, driver, step, monkeypatch, calls):
    """An exit status of 0 proves nothing: C simulation must say what it compared, the others must have written."""
    project = driven(driver)
    monkeypatch.setenv("FAKE", "nothing")
    monkeypatch.setenv("FAKE_STEP", step)
    with pytest.raises(ToolError, match=r"no log says that the test bench compared|ended well but did not write"):
        run(project, driver)
    assert calls.read_text().split()[-1] == step
    assert synthesis.saved_reports(project) == {}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fail", r"failed with exit status 1: ERROR: \[HLS 200-70\] the first error\nlog: "),
        ("licence", r"A valid license was not found.*\nthere is no licence.*XILINXD_LICENSE_FILE"),
        ("part", r"Part 'xcvu13p-flga2577-2-e' is not installed\.\nthe part's device family is not installed"),
        ("nothing", "ended well but did not write"),
        ("cut", r"cut off|missing"),
    ],
)
def test_failures(driven, driver, how, message, monkeypatch, calls):
    project = driven(driver)
    last = DRIVERS[driver][-1][1]  # of those that write a report, the first
    monkeypatch.setenv("FAKE", how)
    monkeypatch.setenv("FAKE_STEP", last)
    with pytest.raises(ToolError, match=f"(?s){message}") as caught:
        run(project, driver)
    assert caught.value.log.is_file()
    assert caught.value.exit_status == 3
    assert synthesis.saved_reports(project) == {}
    before = calls.read_text().split()
    monkeypatch.setenv("FAKE", "")
    run(project, driver)
    assert calls.read_text().split() == [*before, *DRIVERS[driver][-1][1:]], "it goes on where it was"


@pytest.mark.parametrize("driver", DRIVERS)
def test_hanging(driven, driver, monkeypatch):
    project = driven(driver)
    monkeypatch.setenv("FAKE", "hang")
    ticks = []
    with pytest.raises(ToolError, match=r"did not end within 1\.5 s"):
        run(project, driver, limit_hours=1.5 / 3600, tick=lambda what, seconds: ticks.append((what, seconds)))
    assert ticks[0][0].startswith(DRIVERS[driver][-1][0])
    child = int((project.folder / "child").read_text())
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the program behind the script still runs")


@pytest.mark.parametrize("driver", DRIVERS)
def test_old_reports(driven, driver, monkeypatch):
    project = driven(driver)
    monkeypatch.setenv("FAKE", "old")
    with pytest.raises(ToolError, match=r"older than the run|before the run") as caught:
        run(project, driver)
    assert caught.value.exit_status == 3
    assert synthesis.saved_reports(project) == {}


def test_a_report_that_a_run_leaves_from_before_is_not_read(driven, monkeypatch):
    project = driven("vitis-run")
    run(project, "vitis-run")
    source = project.folder / "firmware" / "tiny.cpp"
    source.write_text(source.read_text() + "\n")
    monkeypatch.setenv("FAKE", "nothing")
    monkeypatch.setenv("FAKE_STEP", "csynth")
    with pytest.raises(ToolError, match=r"did not write hls/\*/syn/report/csynth.xml"):
        run(project, "vitis-run")


def test_another_compiler_is_another_run(driven, calls, tmp_path):
    """Vivado is run again on what another release of the compiler wrote, and nothing of the earlier one is left."""
    vendor.install(tmp_path / "bin", "2022.2", "vivado")
    synthesis.synthesize(driven("vitis_hls"), Stage.SYNTHESIS, "cpp")
    assert calls.read_text().split() == ["csim", "csynth", "synthesis"]
    report = synthesis.synthesize(driven("unified"), Stage.SYNTHESIS, "cpp")
    assert calls.read_text().split() == ["csim", "csynth", "synthesis"] * 2
    assert not list((tmp_path / "project").glob("hls/solution1/syn/verilog/*"))
    assert "latency and interval as C synthesis expects them" in report.notes


def test_stale_reports(driven):
    project = driven("vitis-run")
    run(project, "vitis-run")
    weights = next((project.folder / "firmware" / "weights").glob("w*.h"))
    weights.write_text(weights.read_text() + "\n")
    with pytest.raises(ReportError, match="stale: it was made of other sources"):
        synthesis.saved_reports(project)


def test_reports_of_something_else(driven, monkeypatch):
    project = driven("vivado")
    monkeypatch.setenv("FAKE", "other part")
    with pytest.raises(ToolError, match="the report is of the part 'xcku115-flvb2104-2-i', the project of 'xcvu13p"):
        run(project, "vivado")
    project = driven("vitis_hls")
    monkeypatch.setenv("FAKE", "cosim")
    with pytest.raises(BitsDifferError, match="the simulation of the test bench failed") as caught:
        run(project, "vitis_hls")
    assert caught.value.exit_status == 1


def test_bits_that_differ_in_c_simulation(driven, monkeypatch, capsys):
    project = driven("vitis-run")
    monkeypatch.setenv("FAKE", "differ")
    assert cli.status_of(["synth", str(project.folder), "--stage", "hls"]) == 1
    assert "3 of 3555 outputs of 1185 events differ" in capsys.readouterr().err


def test_what_later_steps_read_is_sealed(driven, calls):
    project = driven("vivado")
    run(project, "vivado")
    (project.folder / "vivado" / "rtl" / "synthesis.dcp").write_text("another one")
    run(project, "vivado")
    assert calls.read_text().split() == ["synthesis", "implementation", "synthesis"]
    edited = project.folder / "rtl" / "src" / "logic0.v"
    edited.write_text(edited.read_text() + "// one more register, perhaps\n")
    assert run(project, "vivado").latency_cycles is None, "of an edited Verilog nobody knows the latency"


def test_an_old_report_does_not_outlive_a_failing_run(driven, monkeypatch):
    project = driven("vivado")
    run(project, "vivado")
    (project.folder / "rtl" / "src" / "logic0.v").touch()
    (project.folder / "vivado" / "rtl" / "implementation.dcp").unlink()
    monkeypatch.setenv("FAKE", "fail")
    with pytest.raises(ToolError):
        run(project, "vivado")
    assert synthesis.saved_reports(project) == {}


def test_an_edited_clock_is_refused(driven, capsys):
    project = driven("vivado")
    target = project.folder / "target.yaml"
    target.write_text(target.read_text().replace("2.7778", "2.0"))
    for stage in (["open"], ["implementation", "--design", "rtl"]):
        assert cli.status_of(["synth", str(project.folder), "--stage", *stage]) == 2
        assert "convert the network again for that target" in capsys.readouterr().err


def test_the_design_of_hls_is_the_c(project):
    with pytest.raises(InputError, match="--design rtl: stage hls is of the C"):
        synthesis.plan(project, Stage.HLS, "rtl", "vitis-run")


def test_what_is_there_decides(driven, tmp_path):
    project = driven("vitis_hls")
    free = replace(project, target=project.target.model_copy(
        update={"backend": project.target.backend.model_copy(update={"flow": None})}))  # fmt: skip
    assert synthesis.find_flow(free) == "vitis_hls"
    vendor.install(tmp_path / "bin", "2024.1", "vitis-run")
    assert synthesis.find_flow(free) == "vitis-run"


def test_releases(driven, tmp_path):
    project = driven("vitis-run", "2022.2")
    with pytest.raises(ToolError, match=r"vitis-run 2022\.2 cannot be driven so: this way exists from 2023\.2"):
        synthesis.find_flow(project)
    asked = project.target.backend.model_copy(update={"version": "2023.2"})
    asking = replace(project, target=project.target.model_copy(update={"backend": asked}))
    with pytest.raises(ToolError, match=r"vitis-run is 2022\.2, the target asks for 2023\.2"):
        synthesis.find_flow(asking)
    driven("vitis-run", "2023.2")
    assert synthesis.find_flow(asking) == "vitis-run"
    (tmp_path / "bin" / "vitis-run").unlink()
    with pytest.raises(ToolError, match="vitis-run is not installed"):
        synthesis.find_flow(asking)


def test_release_by_the_place(tmp_path, monkeypatch):
    place = tmp_path / "Vitis_HLS" / "2021.2" / "bin"
    place.mkdir(parents=True)
    (place / "vitis_hls").write_text("#!/bin/sh\necho hello\n")
    (place / "vitis_hls").chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    assert tools.vendor_version("vitis_hls") == "2021.2"


@pytest.mark.parametrize(
    ("flow", "stage", "design", "commands"),
    [
        ("vivado_hls", "hls", "cpp", ["vivado_hls -f tcl/csim.tcl", "vivado_hls -f tcl/csynth.tcl"]),
        ("vitis_hls", "cosim", "cpp", [f"vitis_hls -f tcl/{step}.tcl" for step in ("csim", "csynth", "cosim")]),
        ("vitis-run", "hls", "cpp", [f"vitis-run --mode hls --tcl tcl/{step}.tcl" for step in ("csim", "csynth")]),
        ("unified", "cosim", "cpp", [
            "vitis-run --csim --mode hls --config hls_config.cfg --work_dir hls",
            "v++ -c --mode hls --config hls_config.cfg --work_dir hls",
            "vitis-run --cosim --mode hls --config hls_config.cfg --work_dir hls",
        ]),
        ("vitis-run", "implementation", "rtl", [
            f"vivado -mode batch -nojournal -nolog -notrace -source tcl/{step}.tcl -tclargs rtl"
            for step in ("synthesis", "implementation")
        ]),
    ],
)  # fmt: skip
def test_plans(project, flow, stage, design, commands):
    plan = synthesis.plan(project, Stage(stage), design, flow)
    assert [" ".join(command.arguments) for command in plan] == commands


def test_implementation_of_the_c_begins_with_hls(project):
    names = [command.name for command in synthesis.plan(project, Stage.IMPLEMENTATION, "cpp", "vitis-run")]
    assert names == ["csim", "csynth", "synthesis-cpp", "implementation-cpp"]
    with pytest.raises(InputError, match="stage open needs no vendor's tool"):
        synthesis.plan(project, Stage.OPEN, "rtl", "vitis-run")


def test_on_the_command_line(driven, monkeypatch, capsys):
    project = driven("vivado")
    stage = ["--stage", "implementation", "--design", "rtl"]
    assert cli.status_of(["synth", str(project.folder), *stage, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["commands"]
    assert planned[1] == "mkdir -p reports"
    assert planned[2] == (
        "vivado -mode batch -nojournal -nolog -notrace -source tcl/synthesis.tcl -tclargs rtl > reports/synthesis-rtl.log 2>&1"
    )
    assert not (project.folder / "vivado").exists()
    assert cli.status_of(["synth", str(project.folder), *stage, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["report"]["worst_slack_ns"] == 0.011
    assert {one["name"]: one["status"] for one in answer["requirements"]} == {
        f"implementation:{name}": "PASS" for name in ("latency_crossings", "interval_cycles", "slack_ns", "lut", "ff")
    }
    assert cli.status_of(["report", str(project.folder)]) == 0
    shown = capsys.readouterr().out
    assert "placed and routed" in shown
    assert "1,111" in shown
    assert "estimate without a tool" in shown


def test_over_budget_on_the_command_line(driven, monkeypatch, capsys):
    project = driven("vivado")
    monkeypatch.setenv("FAKE", "slow")
    target = project.folder / "target.yaml"
    target.write_text(target.read_text().replace("required: false", "required: true"))
    status = cli.status_of(["synth", str(project.folder), "--stage", "implementation", "--design", "rtl"])
    assert status == 1
    shown = capsys.readouterr().out
    assert "FAIL" in shown
    assert "setup -0.1" in shown


def test_a_missing_tool_on_the_command_line(project, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.status_of(["synth", str(project.folder), "--stage", "hls"]) == 3
    assert "vitis-run is not installed or not on the PATH (AMD Vitis, 2023.2" in capsys.readouterr().err


def test_interrupted(driven, monkeypatch):
    project = driven("vitis-run")
    monkeypatch.setenv("FAKE", "hang")
    monkeypatch.setattr(tools, "interrupted", tools.threading.Event())

    def interrupt(what, seconds):
        tools.interrupted.set()

    with pytest.raises(KeyboardInterrupt):
        run(project, "vitis-run", tick=interrupt)
    assert not (project.folder / "reports" / "csim.record.json").exists()
    tools.interrupted.clear()
    monkeypatch.setenv("FAKE", "")
    assert run(project, "vitis-run").latency_cycles == 7
