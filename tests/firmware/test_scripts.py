"""The Tcl of a project that was copied elsewhere, run by a Tcl interpreter with the vendors' commands as recorders."""

from __future__ import annotations

import configparser
import shutil
import tkinter
from pathlib import Path

import pytest

from firmware import scripts
from firmware.project import FirmwareProject
from trigger.errors import InputError

COMMANDS = (
    "open_project", "set_top", "add_files", "open_solution", "set_part", "create_clock", "set_clock_uncertainty",
    "config_compile", "config_array_partition", "config_schedule", "csim_design", "csynth_design", "cosim_design",
    "read_verilog", "read_xdc", "synth_design", "opt_design", "place_design", "phys_opt_design", "route_design",
    "create_project", "set_msg_config", "add_files", "open_checkpoint", "write_checkpoint", "report_utilization", "report_timing_summary", "report_power",
)  # fmt: skip


@pytest.fixture
def elsewhere(project, tmp_path):
    """The project's folder alone, copied to a place whose name has a blank."""
    folder = tmp_path / "another place"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("build"))
    return folder


def run(script, *arguments, failing=""):
    """Calls of the vendors' commands, in order, and the status that the script ends with."""
    tcl = tkinter.Tcl()
    calls = []
    for command in COMMANDS:

        def record(*words, command=command):
            calls.append((command, *map(str, words)))
            if command == failing:
                raise RuntimeError("it failed")

        tcl.createcommand(f"py_{command}", record)
        tcl.eval(f"proc {command} {{args}} {{ if {{[catch {{py_{command} {{*}}$args}}]}} {{ error {{it failed}} }} }}")
    tcl.createcommand("py_exit", lambda status: calls.append(("exit", int(status))))
    tcl.eval("proc exit {status} { py_exit $status; return -level 99 }")
    tcl.eval("proc puts {args} {}")
    tcl.eval(f"set argv {{{' '.join(arguments)}}}")
    tcl.eval(f"catch {{source {{{script}}}}}")
    *found, (name, status) = calls
    assert name == "exit"
    return found, status


def names(calls):
    return [call[0] for call in calls]


OPENING = ["open_project", "set_top", "add_files", "add_files", "add_files", "open_solution", "set_part", "create_clock",
           "set_clock_uncertainty", "config_compile"]  # fmt: skip


@pytest.mark.parametrize("step", ["csim", "csynth", "cosim"])
def test_hls(elsewhere, step):
    calls, status = run(elsewhere / "tcl" / f"{step}.tcl")
    assert status == 0
    assert names(calls) == [*OPENING, "config_schedule", f"{step}_design"]
    assert calls[0] == (("open_project", "-reset", "hls") if step == "csim" else ("open_project", "hls"))
    given = dict(zip(names(calls), calls, strict=True))
    assert given["set_top"] == ("set_top", "tiny")
    assert given["set_part"] == ("set_part", "xcvu13p-flga2577-2-e")
    assert given["create_clock"] == ("create_clock", "-period", "2.7778", "-name", "default")
    files = [call[-1] if call[1] == "-tb" and len(call) == 3 else call[2] if call[1] == "-tb" else call[1]
             for call in calls if call[0] == "add_files"]  # fmt: skip
    assert files == ["firmware/tiny.cpp", "jetgate_test.cpp", "tb_data"]
    assert all((elsewhere / file).exists() for file in files)


@pytest.mark.parametrize("step", ["csim", "csynth", "cosim"])
def test_a_step_that_fails_ends_with_1(elsewhere, step):
    calls, status = run(elsewhere / "tcl" / f"{step}.tcl", failing=f"{step}_design")
    assert calls[-1][0] == f"{step}_design"
    assert status == 1


REPORTED = ["write_checkpoint", "report_utilization", "report_utilization", "report_timing_summary", "report_power"]


def test_synthesis_of_our_verilog(elsewhere):
    calls, status = run(elsewhere / "tcl" / "synthesis.tcl", "rtl")
    assert status == 0
    assert names(calls[:2]) == ["create_project", "set_msg_config"]
    assert calls[0][1:] == ("-in_memory", "-part", "xcvu13p-flga2577-2-e")
    calls = calls[2:]
    assert names(calls) == ["read_verilog", "read_xdc", "synth_design", "opt_design", *REPORTED]
    read = tkinter.Tcl().splitlist(calls[0][1])
    assert {Path(path).name for path in read} == {path.name for path in (elsewhere / "rtl" / "src").rglob("*.v")}
    assert calls[1][1:] == ("-mode", "out_of_context", "tcl/rtl.xdc")
    assert (
        (elsewhere / "tcl" / "rtl.xdc")
        .read_text()
        .startswith("create_clock -name clk -period 2.7778 [get_ports clk]\n")
    )
    assert calls[2][1:7] == ("-mode", "out_of_context", "-top", "tiny", "-part", "xcvu13p-flga2577-2-e")
    assert [call[-1] for call in calls[-4:]] == [
        f"vivado/rtl/{kind}_synth.rpt" for kind in ("utilization", "hierarchy", "timing", "power")
    ]


def test_implementation(elsewhere):
    calls, status = run(elsewhere / "tcl" / "implementation.tcl", "rtl")
    assert status == 0
    assert names(calls) == ["open_checkpoint", "place_design", "phys_opt_design", "route_design", *REPORTED]
    _, status = run(elsewhere / "tcl" / "implementation.tcl", "rtl", failing="route_design")
    assert status == 1


@pytest.mark.parametrize("solution", ["solution1", "hls"])
def test_synthesis_of_what_hls_wrote(elsewhere, solution):
    calls, status = run(elsewhere / "tcl" / "synthesis.tcl", "cpp")
    assert (names(calls), status) == (["create_project", "set_msg_config"], 1), (
        "without C synthesis there is nothing to synthesise"
    )
    verilog = elsewhere / "hls" / solution / "syn" / "verilog"
    verilog.mkdir(parents=True)
    (verilog / "tiny.v").touch()
    (verilog / "table.dat").touch()
    calls, status = run(elsewhere / "tcl" / "synthesis.tcl", "cpp")
    assert status == 0
    assert calls[2] == ("read_verilog", f"hls/{solution}/syn/verilog/tiny.v")
    assert calls[3] == ("add_files", f"hls/{solution}/syn/verilog/table.dat")
    assert calls[4][-1] == "tcl/cpp.xdc"
    assert "[get_ports ap_clk]" in (elsewhere / "tcl" / "cpp.xdc").read_text()


def test_a_design_that_is_not_there(elsewhere):
    assert run(elsewhere / "tcl" / "synthesis.tcl", "vhdl") == ([], 1)


def test_options_that_a_release_does_not_know(elsewhere):
    calls, status = run(elsewhere / "tcl" / "csynth.tcl", failing="config_schedule")
    assert (names(calls)[-1], status) == ("csynth_design", 0)


def test_vivado_hls_splits_arrays_further(elsewhere):
    settings = elsewhere / "tcl" / "settings.tcl"
    settings.write_text(settings.read_text().replace("{vitis}", "{vivado}"))
    calls, _ = run(elsewhere / "tcl" / "csynth.tcl")
    assert names(calls) == [*OPENING, "config_array_partition", "config_schedule", "csynth_design"]


def test_configuration_of_the_unified_flow(elsewhere):
    parser = configparser.ConfigParser(strict=False)
    parser.read_string("[top]\n" + (elsewhere / "hls_config.cfg").read_text())
    assert parser["top"]["part"] == "xcvu13p-flga2577-2-e"
    hls = parser["hls"]
    assert (hls["clock"], hls["syn.top"], hls["syn.file"]) == ("2.7778ns", "tiny", "firmware/tiny.cpp")
    assert (elsewhere / hls["syn.file"]).is_file()


def test_no_path_of_this_machine(elsewhere, project):
    for name in project.source_digests("tool"):
        text = (elsewhere / name).read_text()
        assert str(project.folder.parent) not in text
        assert str(Path(scripts.__file__).parent) not in text


def test_sources_of_the_tools_are_sealed(elsewhere):
    (elsewhere / "tcl" / "csynth.tcl").write_text("csim_design\n")
    vectors = elsewhere / "tb_data" / "outputs.hex"
    vectors.unlink()
    with pytest.raises(InputError, match=r"1 files of the project are missing: tb_data/outputs\.hex"):
        FirmwareProject.load(elsewhere)
    vectors.touch()
    assert FirmwareProject.load(elsewhere).edited() == ["tb_data/outputs.hex", "tcl/csynth.tcl"]
