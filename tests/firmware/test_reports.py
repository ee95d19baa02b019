"""Readers of tools' reports: public files against what a reader sees in them, our own files, and files cut off anywhere."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from pathlib import Path

import pytest

from firmware.reports.read import parse_report, read_report, reports_in
from firmware.reports.report import Resources, SynthesisReport
from firmware.reports.text import count, duration_ns, number
from tests.conftest import realdata
from trigger.errors import ReportError

OURS = Path(__file__).parent / "reports"
FIELDS = ("lut", "ff", "dsp", "bram18", "uram")
XCU115 = {"part": "xcku115-flva1517-2-e", "available": (663360, 1326720, 5520, 4320, None)}
X690 = {"part": "xc7vx690tffg1927-2", "available": (433200, 866400, 3600, 2940, None)}
X7Z020 = {"part": "xc7z020-clg400-1", "available": (53200, 106400, 220, 280, 0)}
VU13P = {"part": "xcvu13p-flga2577-2-e", "available": (1728000, 3456000, 12288, 5376, 1280)}
VU13P_SLR = {"available_slr": (432000, 864000, 3072, 1344, 320)}
XCU115_SLR = {"available_slr": (331680, 663360, 2760, 2160, None)}
VU9P = {"part": "xcvu9p-flgb2104-2-i", "available": (1182240, 2364480, 6840, 4320, 960)}


def hls(kind, tool, version, design, clock, estimated, slack, latency, latency_ns, interval, used, **more):
    return {
        "kind": kind, "stage": "hls", "tool": tool, "version": version, "design": design, "clock_ns": clock,
        "achieved_ns": estimated, "slack_ns": slack, "latency_cycles": latency, "latency_min_cycles": latency,
        "latency_ns": latency_ns, "interval_cycles": interval, "used": used, **more,
    }  # fmt: skip


def vivado(kind, stage, version="2024.1", design="top", **more):
    return {"kind": kind, "stage": stage, "tool": "Vivado", "version": version, "design": design, **more}


# Read from the files by eye, not by the readers.
PUBLIC = {
    "vitis_hls_2022.2_2023.2/activation_csynth_a.rpt": hls(
        "csynth.rpt", "Vitis HLS", "2022.2", "activation", 2.0, 1.425, 0.035, 18, 36.0, 1, (1804, 1243, 0, 1, 0),
        date="Thu Jul 18 08:45:10 2024", **VU13P, **VU13P_SLR),
    "vitis_hls_2022.2_2023.2/activation_csynth_a.xml": hls(
        "csynth.xml", "Vitis HLS", "2022.2", "activation", 2.0, 1.425, 0.035, 18, 36.0, 1, (1804, 1243, 0, 1, 0), **VU13P),
    "vitis_hls_2022.2_2023.2/activation_design_csynth_a.rpt": {
        "kind": "csynth.rpt summary", "stage": "hls", "tool": "Vitis HLS", "version": "2022.2", "design": "activation",
        "part": "xcvu13p-flga2577-2-e", "date": "Thu Jul 18 08:05:38 2024", "slack_ns": -0.38, "latency_cycles": 104,
        "latency_ns": 208.0, "interval_cycles": 1, "used": (1454, 2947, 6, 1, None)},
    "vitis_hls_2022.2_2023.2/hls4ml_jets_KAN_csynth.rpt": hls(
        "csynth.rpt", "Vitis HLS", "2023.2", "KAN", 3.0, 2.141, 0.049, 4, 12.0, 1, (8346, 1725, 0, 0, 0),
        date="Mon Jul 22 09:44:08 2024", **VU13P, **VU13P_SLR),
    "vitis_hls_2022.2_2023.2/hls4ml_jets_KAN_csynth.xml": hls(
        "csynth.xml", "Vitis HLS", "2023.2", "KAN", 3.0, 2.141, 0.049, 4, 12.0, 1, (8346, 1725, 0, 0, 0), **VU13P),
    "vitis_hls_2022.2_2023.2/hls4ml_jets_csynth.rpt": {
        "kind": "csynth.rpt summary", "stage": "hls", "tool": "Vitis HLS", "version": "2023.2", "design": "KAN",
        "part": "xcvu13p-flga2577-2-e", "date": "Mon Jul 22 09:44:08 2024", "slack_ns": 0.05, "latency_cycles": 4,
        "latency_ns": 12.0, "interval_cycles": 1, "used": (8346, 1725, None, None, None)},
    "vitis_hls_2022.2_2023.2/hls4ml_jets_csynth.xml": hls(
        "csynth.xml", "Vitis HLS", "2023.2", "KAN", 3.0, 2.141, 0.049, 4, 12.0, 1, (8346, 1725, 0, 0, 0), **VU13P),
    "vivado_2024.1/top_power_routed.rpt": vivado(
        "power", "implementation", part="xcvu9p-flgb2104-2-i", date="Mon Sep 15 04:51:28 2025", power_w=3.752),
    "vivado_2024.1/top_timing_summary_routed.rpt": vivado(
        "timing summary", "implementation", part="xcvu9p-flgb2104-2", date="Mon Sep 15 04:51:25 2025", clock_ns=1.3,
        achieved_ns=1.283, slack_ns=0.017, hold_slack_ns=0.011, pulse_slack_ns=-0.055, timing_met=False),
    "vivado_2024.1/top_utilization_placed.rpt": vivado(
        "utilization", "placement", date="Mon Sep 15 11:42:59 2025", used=(6173, 4530, 0, 0, 0), **VU9P),
    "vivado_2024.1/top_utilization_synth.rpt": vivado(
        "utilization", "synthesis", date="Mon Sep 15 11:39:33 2025", used=(6295, 4525, 0, 0, 0), **VU9P),
    "vivado_hls_2016.4_2018.2/1a1f6bba_vivado_hls.log": {
        "kind": "log", "stage": None, "tool": "Vivado HLS", "version": "2018.2"},
    "vivado_hls_2016.4_2018.2/2381149c_myproject_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2016.4", "myproject", 5.0, 4.33, 0.05, 17, 85.0, 7, (5151, 5280, 48, 1, None), **X690),
    "vivado_hls_2016.4_2018.2/30d69d31_softmax_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2018.2", "softmax", 5.0, 3.958, 0.422, 6, 30.0, 1, (7002, 1621, 0, 18, None), **XCU115),
    "vivado_hls_2016.4_2018.2/39d96e4e_relu_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2016.4", "relu", 5.0, 2.02, 2.36, 0, 0.0, 1, (768, 0, 0, 0, None), **X690),
    "vivado_hls_2016.4_2018.2/3a38c553_myproject_csynth.rpt": hls(
        "csynth.rpt", "Vivado HLS", "2016.4", "myproject", 5.0, 4.33, 0.05, 14, 70.0, 2, (5630, 5113, 100, 1, None),
        date="Tue Dec 19 09:29:25 2017", **X690),
    "vivado_hls_2016.4_2018.2/5af1c5d2_softmax_csynth.rpt": hls(
        "csynth.rpt", "Vivado HLS", "2018.2", "softmax", 5.0, 3.958, 0.422, 6, 30.0, 1, (7002, 1621, 0, 18, None),
        date="Sun Mar 31 23:52:45 2019", **XCU115, **XCU115_SLR),
    "vivado_hls_2016.4_2018.2/711a5ec1_myproject_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2020.1", "myproject", 5.0, 4.049, 0.331, 10, 50.0, 8, (2532, 7969, 73, 0, 0), **X7Z020),
    "vivado_hls_2016.4_2018.2/a6b268e9_myproject_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2018.2", "myproject", 5.0, 4.168, 0.212, 14, 70.0, 1, (21809, 43219, 792, 18, None),
        **XCU115),
    "vivado_hls_2016.4_2018.2/c635fbd0_myproject_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2016.4", "myproject", 5.0, 4.33, 0.05, 12, 60.0, 1, (4047, 4769, 163, 1, None), **X690),
    "vivado_hls_2016.4_2018.2/d5544e64_myproject_csynth.rpt": hls(
        "csynth.rpt", "Vivado HLS", "2018.2", "myproject", 5.0, 4.168, 0.212, 14, 70.0, 1, (21809, 43219, 792, 18, None),
        date="Sun Mar 31 23:52:47 2019", **XCU115, **XCU115_SLR),
    "vivado_hls_2016.4_2018.2/e32dd369_myproject_csynth.rpt": hls(
        "csynth.rpt", "Vivado HLS", "2016.4", "myproject", 5.0, 4.33, 0.05, 17, 85.0, 7, (5151, 5280, 48, 1, None),
        date="Tue Dec 19 09:36:48 2017", **X690),
    "vivado_hls_2016.4_2018.2/e585124a_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2018.2", "myproject_galapagos", 5.0, 4.312, 0.068, 115, 575.0, 116,
        (43343, 44641, 792, 18, None), **XCU115),
    "vivado_hls_2020.1/myproject_csynth.rpt": hls(
        "csynth.rpt", "Vivado HLS", "2020.1", "myproject", 5.0, 4.049, 0.331, 10, 50.0, 8, (2532, 7969, 73, 0, 0),
        date="Sat Mar 18 22:59:37 2023", **X7Z020),
    "vivado_hls_2020.1/myproject_csynth.xml": hls(
        "csynth.xml", "Vivado HLS", "2020.1", "myproject", 5.0, 4.049, 0.331, 10, 50.0, 8, (2532, 7969, 73, 0, 0), **X7Z020),
    "vivado_hls_2020.1/vivado_synth.rpt": vivado(
        "utilization", "synthesis", "2020.1", "myproject", part="7z020clg400-1", date="Sun Mar 19 07:48:36 2023",
        used=(1526, 2428, 66, 0, 0), available=(53200, 106400, 220, 280, 0)),
}  # fmt: skip
# Number of modules, then one: instance, module, worst latency, interval, resources.
MODULES = {
    "vitis_hls_2022.2_2023.2/activation_csynth_a.rpt": (
        1, "fpext_32ns_64_3_no_dsp_1_U1", "fpext_32ns_64_3_no_dsp_1", None, None, (0, 0, 0, 0, 0)),
    "vivado_hls_2016.4_2018.2/3a38c553_myproject_csynth.rpt": (
        4, "grp_compute_layer_0_0_0_1_fu_169", "compute_layer_0_0_0_1", 5, 2, (762, 888, 16, 0, None)),
    "vivado_hls_2016.4_2018.2/d5544e64_myproject_csynth.rpt": (
        4, "grp_softmax_fu_58", "softmax", 6, 1, (7002, 1621, 0, 18, None)),
    "vivado_hls_2016.4_2018.2/e32dd369_myproject_csynth.rpt": (
        4, "grp_compute_layer_0_0_0_s_fu_145", "compute_layer_0_0_0_s", 6, 4, (3480, 3116, 40, 0, None)),
    "vivado_hls_2020.1/myproject_csynth.rpt": (
        2, "relu_array_array_ap_fixed_5u_relu_config3_U0", "relu_array_array_ap_fixed_5u_relu_config3_s", 2, 1,
        (256, 84, 0, 0, 0)),
}  # fmt: skip
CELLS = {
    "vivado_2024.1/top_utilization_placed.rpt": (
        15,
        {"FDRE": 4434, "LUT6": 3300, "MUXF7": 993, "LUT1": 126, "BUFGCE": 1},
    ),
    "vivado_2024.1/top_utilization_synth.rpt": (
        15,
        {"FDRE": 4429, "LUT2": 2105, "CARRY8": 406, "LUT1": 127, "LUT3": 91},
    ),
    "vivado_hls_2020.1/vivado_synth.rpt": (14, {"FDRE": 2410, "LUT4": 499, "DSP48E1": 66, "SRL16E": 48, "BUFG": 1}),
}
NOTES = {
    "vitis_hls_2022.2_2023.2/activation_design_csynth_a.rpt": ("activation: the tool reports a violation: Timing",),
    "vitis_hls_2022.2_2023.2/hls4ml_jets_csynth.rpt": (),
    "vivado_2024.1/top_power_routed.rpt": ("confidence in the power: low",),
    "vivado_2024.1/top_timing_summary_routed.rpt": ("Timing constraints are not met.",),
    "vivado_2024.1/top_utilization_placed.rpt": (),
    "vivado_hls_2016.4_2018.2/1a1f6bba_vivado_hls.log": (
        "no errors", "the log does not come to its end: there may be more"),
    "vivado_hls_2020.1/myproject_csynth.xml": ("pipeline: dataflow",),
}  # fmt: skip


def resources(figures):
    return Resources(**dict(zip(FIELDS, figures, strict=True)))


def ours(name, *replacements):
    """A file of our own making, with other words in some places."""
    text = (OURS / name).read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


def parse(name, *replacements):
    return parse_report(ours(name, *replacements), name)


def figures(report):
    return tuple(getattr(report.used, name) for name in FIELDS)


@pytest.mark.parametrize("path", PUBLIC)
def test_public_reports_say_what_a_reader_sees(path):
    report = read_report(realdata(f"reports/{path}"))
    sets = ("used", "available", "available_slr")
    wanted = {key: resources(value) if key in sets else value for key, value in PUBLIC[path].items()}
    assert report.model_copy(update={"modules": (), "cells": {}, "notes": ()}) == SynthesisReport(**wanted)
    assert report.notes == NOTES.get(path, report.notes)
    number_of_modules, *module = MODULES.get(path, (0,))
    assert len(report.modules) == number_of_modules
    if module:
        (found,) = (one for one in report.modules if one.instance == module[0])
        assert [found.name, found.latency_cycles, found.interval_cycles, found.used] == [
            *module[1:4],
            resources(module[4]),
        ]
    kinds, cells = CELLS.get(path, (0, {}))
    assert len(report.cells) == kinds
    assert cells.items() <= report.cells.items()


def test_a_project_file_is_no_report():
    with pytest.raises(ReportError, match=r"vivado_hls\.app: the description of a project, .*not a report"):
        read_report(realdata("reports/vivado_hls_2020.1/vivado_hls.app"))


def check_cuts(content, cuts):
    """A report that was cut off gives the same figures as the whole, or an error that says what is missing."""
    whole = parse_report(content.decode(), "whole")
    wrong = []
    for cut in sorted(cuts):
        try:
            if parse_report(content[:cut].decode(errors="replace"), "cut") != whole:
                wrong.append((cut, "another report"))
        except ReportError as error:
            if not re.search(r"missing|cut off|not complete", str(error)):
                wrong.append((cut, str(error)))
    assert wrong == []


@pytest.mark.parametrize("path", PUBLIC)
def test_public_reports_cut_off(path):
    content = realdata(f"reports/{path}").read_bytes()
    generator = random.Random(11)
    lines = [index + 1 for index, letter in enumerate(content) if letter == 10][:80]
    even = [len(content) * part // 12 for part in range(12)]
    check_cuts(content, {*lines, *even, *(generator.randrange(len(content)) for _ in range(30))})


# Statistics of Yosys as text have no end: those cut off between two sections are tested below.
OURS_WITH_AN_END = sorted(path.name for path in OURS.iterdir() if path.suffix != ".txt")


@pytest.mark.parametrize("name", OURS_WITH_AN_END)
def test_our_reports_cut_off(name):
    content = (OURS / name).read_bytes()
    generator = random.Random(12)
    lines = [index + 1 for index, letter in enumerate(content) if letter == 10]
    check_cuts(content, {*lines, *(generator.randrange(len(content)) for _ in range(30))})


@pytest.mark.parametrize("name", ["stat_old.txt", "stat_new.txt"])
def test_statistics_as_text_cut_off(name):
    text = ours(name)
    whole = parse_report(text, name)
    for cut in range(len(text)):
        try:
            report = parse_report(text[:cut], name)
        except ReportError:
            continue
        alone = report.design == "leaf" and any("no mark of its end" in note for note in report.notes)
        assert report == whole or alone, cut


@pytest.mark.parametrize("name", sorted(path.name for path in OURS.iterdir()))
def test_line_ends_of_windows_change_nothing(name, tmp_path):
    wanted = parse(name)
    text = ours(name).replace("\n", "\r\n")
    assert parse_report(text, name) == wanted
    (tmp_path / name).write_bytes(text.encode())
    assert read_report(tmp_path / name) == wanted


@pytest.mark.parametrize("name", sorted(path.name for path in OURS.iterdir()))
def test_damaged_reports_give_reports_or_report_errors(name):
    text = ours(name)
    generator = random.Random(name)
    for _ in range(60):
        damaged = list(text)
        for _ in range(generator.choice((1, 3, 30))):
            place = generator.randrange(len(damaged))
            damaged[place : place + generator.choice((0, 1, 5))] = generator.choice('0-9|+ \n<>{}"[]é\x0c\x00')
        with contextlib.suppress(ReportError):  # anything else is a crash
            parse_report("".join(damaged), name)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\x00\xff\xfe" * 999, b"<profile>", b'{"creator": "Yosys', b"=== a ===", b"\x7fELF"]
)
def test_what_is_no_report(content, tmp_path):
    path = tmp_path / "some.rpt"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=r"some\.rpt: "):
        read_report(path)


def test_folders_are_read_whole(tmp_path):
    with pytest.raises(ReportError, match="cannot be read"):
        read_report(tmp_path)
    with pytest.raises(ReportError, match="no such file"):
        read_report(tmp_path / "absent.rpt")
    with pytest.raises(ReportError, match="there is no report in it"):
        reports_in(tmp_path)
    for name in ("csynth.xml", "power.rpt", "stat.json"):
        (tmp_path / name).write_text(ours(name))
    (tmp_path / "settings.json").write_text("{}")
    assert [path.name for path in reports_in(tmp_path)] == ["csynth.xml", "power.rpt", "stat.json"]


def test_random_letters_are_no_report():
    generator = random.Random(5)
    for _ in range(200):
        with pytest.raises(ReportError):
            parse_report("".join(chr(generator.randrange(1, 0x250)) for _ in range(300)), "garbage")


# ------------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("1725 (~0%)", 1725), ("788(45.61%)", 788), ("1,234,567", 1234567), ("-", None), ("?", None), ("undef", None),
     ("", None), (None, None), ("4294967295", None), ("18446744073709551615", None), ("0", 0)],
)  # fmt: skip
def test_counts(text, value):
    assert count(text) == value


@pytest.mark.parametrize("text", ["-5", "1.5", "1,2", "12,34", "1.23E+07", "<1", "0x10", "٣", "9" * 5000, "12 13"])
def test_what_is_no_count(text):
    with pytest.raises(ReportError, match="is not a count"):
        count(text)


def test_durations_and_numbers():
    assert [duration_ns(text) for text in ("50.000 ns", "1.2 us", "3 ms", "0.5 sec", "7 ps", "4.5", "undef", "?")] == [
        50.0, 1200.0, 3e6, 5e8, 0.007, 4.5, None, None]  # fmt: skip
    assert duration_ns("2.5", "us") == 2500.0
    assert [number(text) for text in ("-0.38", "inf", "NA", "1.234e+05")] == [-0.38, None, None, 123400.0]
    for text in ("7.331ns", "1 2 ns", "3 fortnights", "1e999", "1.2.3", "9" * 400):
        with pytest.raises(ReportError):
            duration_ns(text)


# ---------------------------------------------------------------------------------------------------- co-simulation


@pytest.mark.parametrize(
    ("name", "language", "latency", "interval"),
    [("cosim_old.rpt", "Verilog", (41, 43), 13), ("cosim_new.rpt", "VHDL", (21, 23), 2)],
)
def test_cosimulation_that_passed(name, language, latency, interval):
    report = parse(name)
    assert (report.kind, report.stage, report.passed) == ("cosim", "cosim", True)
    assert (report.latency_min_cycles, report.latency_cycles, report.interval_cycles) == (*latency, interval)
    assert report.notes == (f"simulated in {language}",)
    assert (report.tool, report.design, report.part) == (None, None, None)


def test_cosimulation_that_did_not_pass():
    numbers = "|             41|             42|             43|             11|             12|             13|"
    unknown = "|             NA|             NA|             NA|             NA|             NA|             NA|"
    failed = parse("cosim_old.rpt", ("Pass" + numbers, "Fail" + unknown))
    assert (failed.passed, failed.latency_cycles) == (False, None)
    empty = parse("cosim_old.rpt", ("Pass" + numbers, "Pass" + unknown))
    assert (empty.passed, empty.latency_cycles) == (False, None)
    assert "nothing was simulated" in empty.notes[1]
    once = parse(
        "cosim_old.rpt",
        ("|             11|             12|             13|", "|             NA|             NA|             NA|"),
    )
    assert (once.passed, once.latency_cycles, once.interval_cycles) == (True, 43, None)
    with pytest.raises(ReportError, match="no simulation was run"):
        parse("cosim_old.rpt", ("Pass" + numbers, "  NA" + unknown))
    with pytest.raises(ReportError, match="'Passed'"):
        parse("cosim_old.rpt", ("      Pass|", "    Passed|"))


def test_one_language_that_failed_is_enough():
    row = "Verilog|      Fail|             NA|             NA|             NA|             NA|             NA|             NA|                    NA|"
    old = row.replace("Fail", "  NA")
    report = parse("cosim_new.rpt", (old, row))
    assert (report.passed, report.latency_cycles) == (False, None)


# ------------------------------------------------------------------------------------------------------------ XML


def test_export_of_newer_versions():
    routed, synthesised = parse("export_impl.xml"), parse("export_syn.xml")
    assert (routed.stage, routed.version, routed.design, routed.part) == (
        "implementation",
        "2023.2",
        "tagger",
        "xcku5p-ffvb676-2-e",
    )
    assert (routed.clock_ns, routed.achieved_ns, routed.slack_ns, routed.timing_met) == (4.0, 3.1, 0.9, True)
    assert (figures(routed), routed.available) == ((210, 321, 5, 6, 1), resources((216960, 433920, 1824, 960, 64)))
    dense, relu = routed.modules
    assert (dense.instance, dense.name, dense.used) == ("inst/dense_U", "tagger_dense", resources((180, 0, 5, 6, 0)))
    assert relu.used == Resources()  # nothing is said
    assert (synthesised.stage, synthesised.slack_ns, synthesised.timing_met) == ("synthesis", -0.2, False)
    combinational = parse(
        "export_impl.xml",
        ("<AchievedClockPeriod>3.100<", "<AchievedClockPeriod>NA<"),
        (">0.900<", ">NA<"),
        (">TRUE<", ">NA<"),
    )
    assert (combinational.achieved_ns, combinational.slack_ns, combinational.timing_met) == (None, None, None)
    assert parse("export_impl.xml", (">TRUE<", ">NA<")).timing_met is None


def test_export_of_older_versions():
    report = parse("export_old.xml")
    assert (report.stage, report.tool, report.version, report.design) == (None, "Vivado", None, None)
    assert (report.clock_ns, report.achieved_ns, report.slack_ns, report.timing_met) == (4.0, 4.25, -0.25, False)
    assert figures(report) == (120, 90, 2, 1, None)
    with pytest.raises(ReportError, match="has no LUT"):
        parse("export_old.xml", ("<LUT>120</LUT>\n", ""))


def test_estimates_as_xml():
    report = parse("csynth.xml")
    assert (report.tool, report.version, report.design) == ("Vitis HLS", "2024.1", "tagger")
    assert (report.clock_ns, report.achieved_ns, report.slack_ns) == (4.0, 3.12, -0.2)
    assert (report.latency_min_cycles, report.latency_cycles, report.latency_ns, report.interval_cycles) == (
        250,
        270,
        1080.0,
        271,
    )
    (loop,) = report.modules  # the top itself is not one of its parts
    assert (loop.name, loop.latency_cycles, loop.interval_cycles) == ("tagger_Pipeline_LOOP_1", 66, 64)
    assert loop.used == resources((700, 500, 9, None, None))
    assert report.notes == (
        "pipeline: loop auto-rewind stp (delay=0 clock cycles(s))",
        "the tool reports a violation: Timing",
    )


@pytest.mark.parametrize("unknown", ["undef", "?", "", "4294967295"])
def test_unknown_latencies_are_not_zero(unknown):
    report = parse(
        "csynth.xml",
        (">250<", f">{unknown}<"),
        (">270<", f">{unknown}<"),
        (">271<", f">{unknown}<"),
        (">1.080 us<", ">undef<"),
    )
    assert (report.latency_min_cycles, report.latency_cycles, report.interval_cycles, report.latency_ns) == (None,) * 4


@pytest.mark.parametrize(
    ("text", "ns"), [("12.000 ns", 12.0), ("1.5 us", 1500.0), ("56.308 ms", 56308000.0), ("1.2 sec", 1.2e9)]
)
def test_units_of_latencies(text, ns):
    assert parse("csynth.xml", ("1.080 us", text)).latency_ns == ns


def test_latency_without_a_time_takes_the_slower_clock():
    without = ("            <Worst-caseRealTimeLatency>1.080 us</Worst-caseRealTimeLatency>\n", "")
    assert parse("csynth.xml", without).latency_ns == 270 * 4.0
    assert parse("csynth.xml", without, (">3.120<", ">5.000<")).latency_ns == 270 * 5.0


@pytest.mark.parametrize(
    ("version", "tool"), [("2016.4", "Vivado HLS"), ("2019.2.1", "Vivado HLS"), ("2020.1.1", "Vivado HLS"), ("2020.2", "Vitis HLS"),
                          ("2025.2", "Vitis HLS"), ("next", None)],
)  # fmt: skip
def test_compilers_by_their_version(version, tool):
    assert parse("csynth.xml", (">2024.1<", f">{version}<")).tool == tool


def test_older_names_and_absent_memories_in_xml():
    report = parse("csynth.xml", ("<DSP>", "<DSP48E>"), ("</DSP>", "</DSP48E>"), ("            <URAM>0</URAM>\n", ""))
    assert figures(report) == (1230, 980, 14, 2, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("<LUT>1230</LUT>", "", "LUT or FF is missing"), (">1230<", ">-1230<", "is not a count"), (">1230<", ">1.2E+03<", "is not a count"),
     ("clock cycles<", "ns<", "latencies are in 'ns'"), ("<TopModelName>tagger</TopModelName>", "", "TopModelName is missing"),
     ("<unit>ns<", "<unit>MHz<", "the unit 'MHz'"), ("</FF>", "</LUT>", "not complete XML"),
     ("<profile>", "<!DOCTYPE profile>\n<profile>", "document type"), ("<profile>", '<profile><!ENTITY a "b">', "entities")],
)  # fmt: skip
def test_wrong_xml(old, new, message):
    with pytest.raises(ReportError, match=message):
        parse("csynth.xml", (old, new))


def test_xml_with_a_declaration_is_read():
    assert parse("csynth.xml", ("<profile>", '<?xml version="1.0" encoding="UTF-16"?>\n<profile>')) == parse(
        "csynth.xml"
    )


# ---------------------------------------------------------------------------------------------------- csynth.rpt


def test_a_modules_report():
    report = parse("csynth_top.rpt")
    assert (report.kind, report.design, report.version) == ("csynth.rpt", "tagger_top_s", "2023.1")
    assert (report.latency_min_cycles, report.latency_cycles, report.latency_ns, report.interval_cycles) == (
        200,
        300,
        1200.0,
        301,
    )
    assert (report.clock_ns, report.achieved_ns, report.slack_ns) == (4.0, 3.2, -0.28)
    assert figures(report) == (990, 700, 12, 2, None)  # '-' is not 0
    assert report.available_slr == Resources()
    unknown, dense, multiplier = report.modules
    assert (dense.instance, dense.name, dense.latency_cycles, dense.interval_cycles) == (
        "grp_dense_1_fu_100",
        "dense_1",
        5,
        2,
    )
    assert dense.used == resources((600, 500, 12, 1, 0))
    assert (unknown.latency_cycles, unknown.interval_cycles, unknown.used.lut) == (None, None, 300)
    assert (multiplier.latency_cycles, multiplier.used.lut) == (None, 0)


def test_instances_whose_cut_names_are_the_same_are_kept_apart():
    report = parse(
        "csynth_top.rpt", ("|grp_a_name_that_ends_  |a_name_that_en |", "|grp_dense_1_fu_100     |dense_1        |")
    )
    same = [one for one in report.modules if one.name == "dense_1"]
    assert sorted((one.latency_cycles or 0, one.used.lut or 0) for one in same) == [(0, 0), (0, 300), (0, 600), (5, 0)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("* Version:        2023.1 (Build 1234567 on May  7 2023)\n", "", "Version:' is missing"),
     ("|ap_clk  |  4.00 ns|  3.200 ns|     1.08 ns|\n", "", "no clock"), ("Estimated|", "Guesswork|", "no columns"),
     ("|      200|", "|      2OO|", "is not a count"), ("|Available            |", "|Present              |", "row 'Available' .*missing"),
     ("+ Latency: ", "+ Delay: ", "'Latency' is missing"), ("    * Instance: \n    +", "    +", "lists of instances is missing"),
     ("|Total                |        2|    12|", "|Total                |        2|", "has 5 cells, its header 6")],
)  # fmt: skip
def test_wrong_reports_of_a_module(old, new, message):
    with pytest.raises(ReportError, match=message):
        parse("csynth_top.rpt", (old, new))


def test_the_summary_of_all_modules():
    report = parse("csynth_summary.rpt")
    assert (report.kind, report.design, report.version, report.part) == (
        "csynth.rpt summary",
        "tagger",
        "2023.2.1",
        "xcku5p-ffvb676-2-e",
    )
    assert (report.slack_ns, report.latency_cycles, report.latency_ns, report.interval_cycles) == (
        -0.42,
        123456,
        493800.0,
        120000,
    )
    assert figures(report) == (14559, 15478, 139, 14, None)
    assert [one.name for one in report.modules] == [
        "first_layer",
        "first_layer_Pipeline_1",
        "entry_proc",
    ]  # loops are none
    first, pipeline, entry = report.modules
    assert (first.latency_cycles, first.interval_cycles, first.used) == (
        None,
        None,
        resources((425, 168, 1, None, None)),
    )
    assert (pipeline.latency_cycles, pipeline.used.dsp, entry.latency_cycles) == (258, None, 0)
    assert report.notes == ("the latency in time is rounded to four digits", "tagger: the tool reports a violation: Timing",
                            "outer_loop: the tool reports a violation: II")  # fmt: skip
    with pytest.raises(ReportError, match="no column 'Slack'"):
        parse("csynth_summary.rpt", ("| Slack|", "| Spare|"))


# ------------------------------------------------------------------------------------------------------------ Vivado


@pytest.mark.parametrize(
    ("name", "stage", "part", "used", "available"),
    [("utilization_7series.rpt", "synthesis", "7a100tcsg324-1", (812, 655, 240, 7, 0), (63400, 126800, 240, 270, 0)),
     ("utilization_usp.rpt", "placement", "xcku5p-ffvb676-2-e", (20, 31, 9, 25, 4), (216960, 433920, 1824, 960, 64)),
     ("utilization_versal.rpt", "implementation", "xcvc1902-vsva2197-2MP-e-S", (4096, 5120, 33, 17, 2), (899840, 1799680, 1968, 1934, 463))],
)  # fmt: skip
def test_utilization_of_three_families(name, stage, part, used, available):
    report = parse(name)
    assert (report.stage, report.design, report.part) == (stage, "demo", part)
    assert (report.used, report.available) == (resources(used), resources(available))


def test_tiles_shares_and_black_boxes():
    report = parse("utilization_7series.rpt")
    assert (report.used.bram36, report.share("dsp")) == (3.5, 1.0)
    assert report.cells == {"FDRE": 655, "LUT3": 402, "CARRY4": 77}
    assert report.notes == ("a black box, of which nothing is counted: secret_core",)
    assert parse("utilization_usp.rpt").used.bram36 == 12.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("| Block RAM Tile | 12.5 |", "| Block RAM Tile | 12.3 |", "tiles and halves"), ("CLB LUTs ", "ALM LUTs ", "no row of LUTs"),
     ("| CLB LUTs                |   20 |", "| CLB LUTs                |      |", "does not say how many"),
     ("1. CLB Logic\n", "1. Logic\n", "section of logic"), ("| Design State : Fully Placed", "| Design State : Unplaced", "is not known"),
     ("| Design       : demo\n", "", "version and the design"), ("| Used | Fixed |", "| Many | Fixed |", "no column Used"),
     ("Copyright notice of a vendor.\n", "| Tool Version : Vivado v.2020.1\n", "2 reports in one file, from the lines 1, 3")],
)  # fmt: skip
def test_wrong_utilization(old, new, message):
    with pytest.raises(ReportError, match=message):
        parse("utilization_usp.rpt", (old, new))


@pytest.mark.parametrize(
    ("state", "stage"),
    [("Routed", "implementation"), ("Fully Routed", "implementation"), ("Partially Routed", "placement"), ("Placed", "placement"),
     ("Physopt postPlace", "placement"), ("Partially Placed", "synthesis"), ("Optimized", "synthesis")],
)  # fmt: skip
def test_stages_of_vivado(state, stage):
    assert parse("utilization_usp.rpt", ("Fully Placed", state)).stage == stage


def test_what_a_utilization_leaves_out_is_unknown():
    text = ours("utilization_usp.rpt")
    for title in ("BLOCKRAM", "ARITHMETIC", "Primitives", "Black Boxes"):
        text = re.sub(rf"[0-9]+\. {title}\n(-+\n\n\+(.+\n)+)?", "", text)
    report = parse_report(text, "logic only")
    assert (figures(report), report.cells) == ((20, 31, None, None, None), {})
    blank = re.sub(r"(\| URAM .*\|) +64 (\|)", r"\1      \2", ours("utilization_usp.rpt"))
    assert (parse_report(blank, "blank").used.uram, parse_report(blank, "blank").available.uram) == (4, None)
    part = parse("utilization_usp.rpt", ("report_utilization -file", "report_utilization -cells [get_cells a/b] -file"))
    assert part.notes[0].startswith("of a part of the design only: -cells [get_cells a/b]")
    wrapped = parse("utilization_usp.rpt", ("-file demo.rpt\n", "-file\na/very/long/name.rpt\n"))
    assert wrapped == parse("utilization_usp.rpt")


def test_utilization_by_hierarchy():
    report = parse("hierarchy.rpt")
    assert (report.kind, report.design, figures(report)) == ("utilization by hierarchy", "chip", (500, 610, 7, 7, 1))
    assert [(one.instance, one.name) for one in report.modules] == [
        ("first", "layer_1"),
        ("first/mult", "mult_a"),
        ("second", "layer_2"),
    ]
    assert report.modules[1].used == resources((290, 350, 5, 4, 1))
    shares = parse("hierarchy_share.rpt")
    assert (figures(shares), shares.modules[0].used) == ((500, 610, 7, 7, None), resources((300, 400, 5, 5, None)))
    cells = parse("hierarchy_cells.rpt")
    assert [one.instance for one in cells.modules] == ["f0", "f0/g", "f1"]
    assert (cells.used, cells.notes[1]) == (Resources(), "there is no total")
    with pytest.raises(ReportError, match="no column Total LUTs"):
        parse("hierarchy.rpt", ("Total LUTs", "Sum of LUT"))


@pytest.mark.parametrize(
    ("name", "clock", "achieved", "slacks", "met"),
    [("timing_met.rpt", 4.0, 3.269, (0.731, 0.094, 1.238), True), ("timing_failed.rpt", 2.5, None, (-0.312, 0.02, 1.238), False),
     ("timing_pulse.rpt", 1.2, 1.15, (0.05, 0.02, -0.155), False), ("timing_none.rpt", None, None, (None,) * 3, None),
     ("timing_inf.rpt", None, None, (None,) * 3, None)],
)  # fmt: skip
def test_timing(name, clock, achieved, slacks, met):
    report = parse(name)
    assert (report.clock_ns, report.achieved_ns, report.timing_met) == (clock, achieved, met)
    assert (report.slack_ns, report.hold_slack_ns, report.pulse_slack_ns) == slacks
    assert report.worst_slack_ns == min((slack for slack in slacks if slack is not None), default=None)


def test_notes_on_timing():
    assert parse("timing_failed.rpt").notes[1] == "clocks: board 10 ns, mmcm/clkfbout 10 ns, core[0] fast 2.5 ns"
    assert parse("timing_failed.rpt").stage is None  # versions before 2015 do not say
    assert parse("timing_none.rpt").notes == ("There are no user specified timing constraints.", "there is no clock")
    idle = parse("timing_met.rpt", ("      0.731 ", "        inf "))
    assert (idle.slack_ns, idle.achieved_ns, idle.clock_ns) == (None, None, 4.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("      0.731 ", "            ", "has 11 numbers, 12 are right"), ("All user", "No user", "sentence that says"),
     ("4.000           250.000", "4.0.0           250.000", "row of the clock summary"), ("| Clock Summary", "| Clocks", "'Clock Summary' is missing")],
)  # fmt: skip
def test_wrong_timing(old, new, message):
    with pytest.raises(ReportError, match=message):
        parse("timing_met.rpt", (old, new))


def test_power():
    report = parse("power.rpt")
    assert (report.kind, report.stage, report.power_w, report.notes) == (
        "power",
        "implementation",
        1.375,
        ("confidence in the power: medium",),
    )
    assert parse("power.rpt", ("| Medium       |", "|              |")).notes == ()
    hot = parse("power.rpt", ("| 1.375        |", "| 98.7 (Too hot!) |"))
    assert (hot.power_w, hot.notes[1]) == (98.7, "Too hot!")
    with pytest.raises(ReportError, match="has no number"):
        parse("power.rpt", ("| 1.375        |", "| NA           |"))


# ------------------------------------------------------------------------------------------------------------- Yosys


@pytest.mark.parametrize("name", ["stat_old.txt", "stat_new.txt", "stat.json"])
def test_statistics_of_a_design(name):
    report = parse(name)
    assert (report.kind, report.stage, report.tool, report.design) == ("yosys stat", "open", "Yosys", None)
    assert report.cells == {"FDRE": 8, "LUT3": 3, "LUT6": 4, "RAMB36E1": 2}
    assert figures(report) == (7, 8, 0, 4, 0)
    leaf, whole = report.modules
    assert (leaf.name, leaf.cells, leaf.used.lut) == ("leaf", {"LUT6": 2, "RAMB36E1": 1}, 2)
    assert (whole.name, whole.cells, whole.used.ff) == ("whole", {"FDRE": 8, "LUT3": 3, "leaf": 2}, 8)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("stat_new.txt", "        4   LUT6", "  1.23E+07   LUT6"), ("stat_new.txt", "       18 cells", " 1.23E+07 cells"),
     ("stat_new.txt", "        8   FDRE\n        3   LUT3\n        4", "        8   FDRE\n        4"),
     ("stat_old.txt", "     LUT6                            4\n", ""), ("stat_old.txt", "     leaf                            2\n\n   Est", "\n   Est"),
     ("stat_old.txt", "=== leaf ===", "=== whole ==="), ("stat_new.txt", "=== design hierarchy ===", "=== other ==="),
     ("stat.json", '"LUT6": 4', '"LUT6": 1.23E+07'), ("stat.json", '"LUT6": 4', '"LUT6": "4"'), ("stat.json", '"LUT6": 4', '"LUT6": -4'),
     ("stat.json", '"LUT6": 4', '"LUT6": true'), ("stat.json", '"LUT6": 4', '"LUT6": NaN'), ("stat.json", '"modules"', '"module"'),
     ("stat.json", '"design"', '"a design"'), ("stat.json", '"LUT6": 4', '"LUT6": ' + "[" * 200_000)],
)  # fmt: skip
def test_wrong_statistics(name, old, new):
    with pytest.raises(ReportError):
        parse(name, (old, new))


def test_unmapped_and_unknown_cells_give_no_totals():
    for cell in ("$add", "SB_LUT4", "black_box"):
        report = parse("stat.json", ('"LUT3"', f'"{cell}"'))
        assert report.used == Resources()
        assert cell in report.notes[1]


@pytest.mark.parametrize(
    ("cell", "lut"),
    [("LUT6", 1), ("INV", 1), ("SRL16E", 1), ("SRLC32E", 1), ("RAM32M", 4), ("RAM64M", 4), ("RAM64M8", 8), ("RAM32X1S", 1),
     ("RAM64X1D", 2), ("RAM128X1D", 4), ("RAM256X1S", 4), ("MUXF7", 0), ("CARRY4", 0), ("BUFG", 0)],
)  # fmt: skip
def test_look_up_tables_of_primitives(cell, lut):
    from firmware.reports.yosys import resources as of

    assert of({cell: 3}).lut == 3 * lut


# ----------------------------------------------------------------------------------------------------------- packing


def netlist(tables=(), carries=(), outputs=()):
    """A module as `write_json` has it: tables as inputs and output, carries as selects and data."""
    cells = {}
    for index, (inputs, output) in enumerate(tables):
        pins = {f"I{k}": [bit] for k, bit in enumerate(inputs)} | {"O": [output]}
        directions = {pin: "output" if pin == "O" else "input" for pin in pins}
        cells[f"t{index}"] = {"type": f"LUT{len(inputs)}", "connections": pins, "port_directions": directions}
    for index, (selects, data) in enumerate(carries):
        pins = {"S": selects, "DI": data}
        cells[f"c{index}"] = {"type": "CARRY4", "connections": pins, "port_directions": dict.fromkeys(pins, "input")}
    return {"cells": cells, "ports": {"y": {"direction": "output", "bits": list(outputs)}}}


ZEROS = ["0", "0", "0"]


@pytest.mark.parametrize(
    ("tables", "carries", "outputs", "wanted"),
    [
        ([((1, 2, 3), 10), ((3, 4, 5), 11)], [], [], 1),  # five signals together
        ([((1, 2, 3), 10), ((4, 5, 6), 11)], [], [], 2),  # six
        ([((1, 2, 3, 4, 5), 10), ((2,), 11)], [], [], 1),  # a subset
        ([((1, 2, 3, 4, 5), 10), ((6,), 11)], [], [], 2),
        ([((1, 2, 3, 4, 5, 6), 10), ((1,), 11)], [], [], 2),  # all six inputs are taken
        ([((1, 2), 10), ((3, 4), 11), ((5,), 12)], [], [], 2),
        ([((1, 2, "0"), 10), ((3, 4, 5), 11)], [], [], 1),  # a constant is no signal
        (
            [((1, 2), 10), ((1, 3), 11)],
            [([10, *ZEROS], [11, *ZEROS])],
            [],
            1,
        ),  # its data shares the table of the select
        ([((1, 2), 10), ((1, 3), 11)], [([10, *ZEROS], [11, *ZEROS])], [11], 2),  # unless something else reads it
        ([((1, 2, 3), 10), ((4, 5, 6), 11)], [([10, *ZEROS], [11, *ZEROS])], [], 2),  # or it sees too much
        ([], [([7, *ZEROS], [8, *ZEROS])], [], 1),  # a select without a table passes through one
        ([((1, 2), 10)], [([10, 7, "0", "1"], [1, 2, "x", "x"])], [], 2),
    ],
)
def test_packing_counted_by_hand(tables, carries, outputs, wanted):
    from firmware.reports.yosys import packed_luts

    assert packed_luts(netlist(tables, carries, outputs)) == wanted


def test_packing_of_inverters_and_memory():
    from firmware.reports.yosys import packed_luts

    module = netlist([((1, 2, 3, 4), 10)])
    directions = {"I": "input", "O": "output"}
    module["cells"]["n"] = {"type": "INV", "connections": {"I": [9], "O": [12]}, "port_directions": directions}
    assert packed_luts(module) == 1
    module["cells"]["m"] = {"type": "RAM64M", "connections": {}, "port_directions": {}}
    module["cells"]["f"] = {
        "type": "FDRE",
        "connections": {"D": [12], "Q": [9]},
        "port_directions": {"D": "input", "Q": "output"},
    }
    module["cells"]["u"] = {
        "type": "LUT1",
        "connections": {"I0": [1], "O": []},
        "port_directions": {"I0": "input", "O": "output"},
    }
    assert packed_luts(module) == 6


def fewest(tables):
    """Look-up tables with the best pairing, by trying all."""
    if not tables:
        return 0
    first, rest = tables[0], tables[1:]
    alone = 1 + fewest(rest)
    pairs = (
        1 + fewest(rest[:k] + rest[k + 1 :])
        for k, other in enumerate(rest)
        if len(first | other) <= 5 and len(first) < 6 > len(other)
    )
    return min(itertools.chain([alone], pairs))


def test_packing_is_never_better_than_the_best():
    from firmware.reports.yosys import packed_luts

    generator = random.Random(8)
    best = packed = 0
    for _ in range(300):
        tables = [
            (tuple(generator.sample(range(1, 10), generator.randint(1, 6))), 100 + k)
            for k in range(generator.randint(0, 7))
        ]
        found = packed_luts(netlist(tables))
        optimum = fewest([frozenset(inputs) for inputs, _ in tables])
        assert optimum <= found <= len(tables)
        best, packed = best + optimum, packed + found
    assert packed <= 1.05 * best  # and on the whole nearly as good


# -------------------------------------------------------------------------------------------------------------- logs


@pytest.mark.parametrize(
    ("banner", "tool", "version"),
    [("****** Vivado v2022.1 (64-bit)", "Vivado", "2022.1"), ("****** vivado v2024.1 (64-bit)", "Vivado", "2024.1"),
     ("# Vivado v2019.2.1 (64-bit)", "Vivado", "2019.2.1"), ("vivado v2024.1 (64-bit)", "Vivado", "2024.1"),
     ("****** v++ v2023.2 (64-bit)", "v++", "2023.2"), ("****** vitis-run v2024.2 (64-bit)", "vitis-run", "2024.2"),
     ("****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v2023.2 (64-bit)", "Vitis HLS", "2023.2"),
     ("****** Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v2018.1 (64-bit)", "Vivado HLS", "2018.1"),
     ("  **** HLS Build v2024.2 1234567", "Vitis HLS", "2024.2")],
)  # fmt: skip
def test_banners_of_logs(banner, tool, version):
    report = parse_report(f"\n{banner}\n  **** SW Build 1 on a day\nINFO: [x 1-2] Exiting some_tool at a time\n", "log")
    assert (report.kind, report.tool, report.version, report.notes) == ("log", tool, version, ("no errors",))


def test_errors_of_logs():
    start = "****** Vivado v2022.1 (64-bit)\n"
    lines = "CRITICAL WARNING: a\nERROR: [Coretcl 2-106] no part\nan ERROR: within\n@E old\n  ERROR: [v++ 60-300] b\nERRORS: 0\n"
    report = parse_report(f"{start}{lines}", "log")
    assert report.notes == ("ERROR: [Coretcl 2-106] no part", "@E old", "ERROR: [v++ 60-300] b", "3 errors",
                            "the log does not come to its end: there may be more")  # fmt: skip
    many = parse_report(start + "ERROR: x\n" * 500 + "Total elapsed time: 3 s\n", "log")
    assert (len(many.notes), many.notes[-1]) == (21, "500 errors")
    with pytest.raises(ReportError, match="within a line"):
        parse_report(f"{start}ERROR: [Coretcl 2-1", "log")


def test_a_report_is_saved_and_read_back(tmp_path):
    report = parse("csynth_top.rpt")
    report.save(tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == report
    text = (tmp_path / "report.json").read_text()
    (tmp_path / "report.json").write_text(text.replace('"notes"', '"note"'))
    with pytest.raises(ReportError, match="kept by jetgate: cut off, or changed"):
        read_report(tmp_path / "report.json")
