"""Synthesis by Yosys: real, on the tiny project."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from firmware import open_lane, tools
from firmware.engines.rtl import Timing
from firmware.project import FirmwareProject
from firmware.reports.read import read_report
from firmware.reports.report import Stage
from trigger.errors import InputError, ToolError


@pytest.fixture(scope="module")
def synthesised(project):
    told = []
    report = open_lane.synthesize(project, 2, lambda what, done, total: told.append((done, total)))
    assert told[-1] == (len(report.modules), len(report.modules))
    return report


def test_the_whole_design(project, synthesised):
    report = synthesised
    rtl = project.manifest.rtl
    assert (report.stage, report.tool, report.design) == (Stage.OPEN, "Yosys", "tiny")
    assert report.used.ff == rtl.registers == report.cells["FDRE"], "every register of the pipeline, and no other"
    assert report.used.dsp == report.used.bram18 == 0
    before = sum(count for name, count in report.cells.items() if name.startswith("LUT") or name == "INV")
    assert 0.4 * rtl.cost < report.used.lut <= before + 4 * report.cells["CARRY4"]
    assert f"{report.used.lut:,} look-up tables after sharing" in report.notes[0]
    assert report.available_slr.lut == 432_000
    assert report.latency_ns is None
    assert report.slack_ns is report.achieved_ns is None, "nothing of Yosys is a time"


def test_modules(project, synthesised):
    stages = {path.stem for path in (project.folder / "rtl" / "src").glob("logic*.v")}
    assert {module.name for module in synthesised.modules} == {"tiny", *stages}
    by_name = {module.name: module for module in synthesised.modules}
    assert by_name["tiny"].used.ff == project.manifest.rtl.registers
    assert by_name["tiny"].used.lut == 0
    assert sum(by_name[name].used.ff for name in stages) == 0
    assert sum(module.used.lut for module in synthesised.modules) == synthesised.used.lut


def test_nothing_is_done_twice(project, synthesised, monkeypatch):
    monkeypatch.setattr(tools, "run", None)
    assert open_lane.synthesize(project) == synthesised


def test_what_is_kept_and_damaged_is_done_again(project, synthesised):
    kept = next(path for path in (project.folder / "build").glob("yosys-*/*.json"))
    for damage in ('[{"name": "logic3"}]', "[{"):
        kept.write_text(damage)
        assert open_lane.synthesize(project, 2) == synthesised


def test_dry_run(project, synthesised):
    commands = open_lane.commands(project)
    scripts = sorted(path.name for path in (project.folder / "build").glob("yosys-*/*.ys"))
    assert sorted(command[-1].rsplit("/", 1)[1] for command in commands) == scripts


def test_kept_and_read(synthesised, tmp_path):
    synthesised.save(tmp_path / "open.json")
    assert read_report(tmp_path / "open.json") == synthesised


def test_latency_by_simulation(synthesised):
    timed = open_lane.with_latency(synthesised, Timing(9, 9, 256))
    assert (timed.latency_cycles, timed.interval_cycles) == (9, 1)
    assert timed.latency_ns == pytest.approx(9 * 2.7778)
    untimed = open_lane.with_latency(timed, Timing(9, 8, 256))
    assert untimed.latency_cycles is untimed.latency_ns is None
    assert untimed.notes[-1] == "9 clocks are declared, the simulation shows 8"


def test_refusals(project):
    versal = project.target.model_copy(update={"part": "xcvc1902-vsva2197-2MP-e-S"})
    with pytest.raises(InputError, match="Yosys does not synthesise for its family"):
        open_lane.synthesize(dataclasses.replace(project, target=versal))
    legacy = project.manifest.model_copy(update={"rtl": None})
    with pytest.raises(InputError, match="has no Verilog"):
        open_lane.synthesize(dataclasses.replace(project, manifest=legacy))


def test_yosys_fails_or_is_missing(project, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    shutil.copytree(project.folder, broken, ignore=shutil.ignore_patterns("build"))
    source = broken / "rtl" / "src" / "logic0.v"
    source.write_text(source.read_text().replace("endmodule", "nonsense"))
    with pytest.raises(ToolError, match=r"(?s)ERROR: syntax error.*log: "):
        open_lane.synthesize(FirmwareProject.load(broken))
    tools.yosys.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))

    def absent(name):
        raise tools.PackageNotFoundError(name)

    monkeypatch.setattr(tools, "version", absent)
    with pytest.raises(ToolError, match="yosys is not installed"):
        open_lane.synthesize(project)
    tools.yosys.cache_clear()
