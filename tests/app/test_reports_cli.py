"""`jetgate report` and what `jetgate synth` says before it runs anything: exit statuses, one JSON object, messages of a line."""

from __future__ import annotations

import json
import shutil

import pytest

from firmware import synthesis
from firmware.project import FirmwareProject
from firmware.reports.report import Resources, Stage, SynthesisReport
from tests.conftest import realdata
from trigger.app import cli

CSYNTH = """<profile>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments>
<unit>ns</unit>
<ProductFamily>virtexuplus</ProductFamily>
<Part>{part}</Part>
<TopModelName>{top}</TopModelName>
<TargetClockPeriod>2.78</TargetClockPeriod>
<ClockUncertainty>0.75</ClockUncertainty>
<FlowTarget>vivado</FlowTarget>
</UserAssignments>
<PerformanceEstimates>
<PipelineType>function</PipelineType>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>2.020</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>{latency}</Best-caseLatency>
<Average-caseLatency>{latency}</Average-caseLatency>
<Worst-caseLatency>{latency}</Worst-caseLatency>
<Best-caseRealTimeLatency>{time}</Best-caseRealTimeLatency>
<Average-caseRealTimeLatency>{time}</Average-caseRealTimeLatency>
<Worst-caseRealTimeLatency>{time}</Worst-caseRealTimeLatency>
<PipelineInitiationInterval>1</PipelineInitiationInterval>
<Interval-min>1</Interval-min>
<Interval-max>1</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
<Resources><BRAM_18K>2</BRAM_18K><DSP>14</DSP><FF>980</FF><LUT>{lut}</LUT><URAM>0</URAM></Resources>
<AvailableResources><BRAM_18K>5376</BRAM_18K><DSP>12288</DSP><FF>3456000</FF><LUT>1728000</LUT><URAM>1280</URAM></AvailableResources>
</AreaEstimates>
</profile>
"""
COSIM = """
Report time       : Tue Feb  6 10:11:12 AM CET 2024.
Solution          : hls.
Simulation tool   : xsim.

+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |             Latency(Clock Cycles)             |              Interval(Clock Cycles)           |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|
|   Verilog|{status:>10}|{number:>15}|{number:>15}|{number:>15}|              1|              1|              1|
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""


def csynth(path, top="tagger", latency=9, lut=1230, part="xcvu13p-flga2577-2-e"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CSYNTH.format(top=top, latency=latency, time=f"{2.78 * latency:.3f} ns", lut=lut, part=part))
    return path


def target(path, budget, part="xcvu13p-flga2577-2-e", clock_ns=2.7778):
    path.write_text(f"name: t\npart: {part}\nclock_ns: {clock_ns}\nbackend: {{kind: hls}}\nbudget: {budget}\n")
    return path


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A command in this process, in an empty folder: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        status = cli.status_of([str(one) for one in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture
def wrong(call):
    """A command that must fail with a message of one line and say nothing on standard output."""

    def run(*arguments):
        status, out, err = call(*arguments)
        assert (status, out) == (2, ""), err
        assert err.startswith("jetgate: ")
        assert err.count("\n") == 1
        return err

    return run


@pytest.fixture
def copy(project, tmp_path):
    shutil.copytree(project.folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("build"))
    return FirmwareProject.load(tmp_path / "tiny")


def squeezed(text):
    return "".join(text.split())


def test_text(call, tmp_path):
    csynth(tmp_path / "csynth.xml")
    status, out, _ = call("report", "csynth.xml")
    assert status == 0
    for shown in ("csynth.xml: tagger, HLS estimate", "Vitis HLS 2023.2", "2.78 ns asked for", "2.02 ns reached", "9 clocks",
                  "25.0 ns (1.00 bunch crossings, timing not closed)", "1,230", "1,728,000", "0.07 %", "0.28 %"):  # fmt: skip
        assert shown in out
    assert "PASS" not in out


def test_what_is_not_known_says_so(call, tmp_path):
    (tmp_path / "x_cosim.rpt").write_text(COSIM.format(status="Pass", number=23))
    status, out, _ = call("report", "x_cosim.rpt")
    assert status == 0
    assert "x_cosim.rpt: design not known, co-simulation" in out
    assert out.count("not known") >= 4
    assert "23 clocks" in out
    assert "passed" in out


def test_markdown(call, tmp_path):
    csynth(tmp_path / "csynth.xml")
    status, out, _ = call("report", "csynth.xml", "--format", "md")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "## csynth.xml: tagger, HLS estimate"
    assert "| LUT | 1,230 | 1,728,000 | 0.07 % | 0.28 % |" in lines
    assert "| BRAM36 | 1 | 2,688 | 0.04 % | 0.15 % |" in lines
    assert "Verdict" not in out
    target(tmp_path / "t.yaml", "{hls: {lut: 1000, latency_cycles: 9}, implementation: {required: false, lut: 1000}}")
    status, out, _ = call("report", "csynth.xml", "--format", "md", "--budget", "t.yaml")
    assert status == 1
    lines = out.splitlines()
    assert "## Verdict: FAIL" in lines
    assert "| hls:lut | FAIL | 1,230 | <= 1000 | yes | HLS estimate by Vitis HLS 2023.2 |" in lines
    assert [
        line
        for line in lines
        if line.startswith("| implementation:lut | NOT MEASURED |  | <= 1000 | no | no report of")
    ]
    # Every line of a table has the columns of its head.
    for block in out.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1


def test_json(call, tmp_path):
    csynth(tmp_path / "csynth.xml")
    target(tmp_path / "t.yaml", "{hls: {lut: 5%}}")
    status, out, _ = call("report", "csynth.xml", "--json")
    assert status == 0
    content = json.loads(out)
    assert set(content) == {"reports"}
    one = content["reports"]["csynth.xml"]
    assert (one["stage"], one["used"]["lut"], one["used"]["bram36"], one["latency_cycles"]) == ("hls", 1230, 1.0, 9)
    assert one["latency_crossings"] == pytest.approx(25.02 * 40.0789e-3)
    assert one["worst_slack_ns"] == pytest.approx(2.78 - 0.75 - 2.02)
    assert one["share"]["lut"] == 1230 / 1_728_000
    assert one["share_of_slr"]["lut"] == 1230 / 432_000
    assert one["hold_slack_ns"] is one["power_w"] is one["timing_met"] is None
    status, out, _ = call("report", "csynth.xml", "--json", "--budget", "t.yaml")
    content = json.loads(out)
    assert (status, content["overall"]) == (0, "PASS")
    (requirement,) = content["requirements"]
    assert (requirement["name"], requirement["limit"]) == ("hls:lut", "<= 5 % of the device")


@pytest.mark.parametrize(
    ("budget", "options", "status", "overall"),
    [
        ("{hls: {lut: 1230, slack_ns: 0, latency_cycles: 9, interval_cycles: 1, dsp: 1% SLR}}", {}, 0, "PASS"),
        ("{hls: {lut: 1229}}", {}, 1, "FAIL"),
        ("{hls: {latency_cycles: 8}}", {}, 1, "FAIL"),
        ("{hls: {power_w: 5}}", {}, 3, "INCOMPLETE"),
        ("{hls: {lut: 5%}, implementation: {lut: 5%}}", {}, 3, "INCOMPLETE"),
        ("{hls: {lut: 1229}, implementation: {lut: 5%}}", {}, 1, "FAIL"),
        ("{hls: {lut: 5%}, implementation: {required: false, lut: 5%}}", {}, 0, "PASS"),
        ("{hls: {lut: 5%}}", {"part": "xcvu9p-flga2104-2L-e"}, 3, "INCOMPLETE"),
        ("{hls: {slack_ns: 0}}", {"clock_ns": 1.5}, 3, "INCOMPLETE"),
    ],
)
def test_budget(call, tmp_path, budget, options, status, overall):
    csynth(tmp_path / "csynth.xml")
    target(tmp_path / "t.yaml", budget, **options)
    found, out, err = call("report", "csynth.xml", "--budget", "t.yaml")
    assert found == status, err
    assert out.splitlines()[-1] == overall


def test_a_failed_simulation_is_within_no_budget(call, tmp_path):
    target(tmp_path / "t.yaml", "{cosim: {latency_cycles: 50}}")
    for outcome, status in (("Pass", 0), ("Fail", 1)):
        (tmp_path / "x_cosim.rpt").write_text(COSIM.format(status=outcome, number=23))
        found, out, _ = call("report", "x_cosim.rpt", "--budget", "t.yaml")
        assert found == status, out


def test_a_folder_of_reports(call, tmp_path):
    csynth(tmp_path / "new[draft]" / "a" / "csynth.xml")
    csynth(tmp_path / "new[draft]" / "b" / "csynth.xml", top="other", lut=99_999)
    (tmp_path / "new[draft]" / "notes.txt").write_text("nothing of interest\n")
    status, out, _ = call("report", "new[draft]")
    assert status == 0
    assert "new[draft]/a/csynth.xml: tagger, HLS estimate" in out
    assert "new[draft]/b/csynth.xml: other, HLS estimate" in out
    target(tmp_path / "t.yaml", "{hls: {lut: 5%}}")
    status, out, _ = call("report", "new[draft]", "--json", "--budget", "t.yaml")
    assert status == 1
    assert [(one["status"], one["note"].split(":")[0]) for one in json.loads(out)["requirements"]] == [
        ("PASS", "new[draft]/a/csynth.xml"), ("FAIL", "new[draft]/b/csynth.xml"),
    ]  # fmt: skip
    status, out, _ = call("report", "new[draft]", "--budget", "t.yaml")
    assert "new[draft]/b/csynth.xml:99,999used" in squeezed(out).replace("┃", "").replace("│", "")


def test_baseline_of_a_file(call, tmp_path):
    csynth(tmp_path / "old" / "csynth.xml")
    csynth(tmp_path / "new" / "csynth.xml", lut=1242)
    status, out, _ = call("report", "new/csynth.xml", "--baseline", "old/csynth.xml", "--json")
    content = json.loads(out)
    assert (status, content["overall"]) == (0, "PASS")
    by_name = {one["name"]: one for one in content["requirements"]}
    assert by_name["baseline:hls:lut"]["note"] == "1,230 before, 1 % more is tolerated"
    assert by_name["baseline:hls:lut"]["limit"] == "<= 1242.3"
    assert {one["status"] for one in by_name.values()} == {"PASS"}
    csynth(tmp_path / "new" / "csynth.xml", lut=1243)
    assert call("report", "new/csynth.xml", "--baseline", "old/csynth.xml")[0] == 1
    status, out, _ = call("report", "new/csynth.xml", "--baseline", "old/csynth.xml", "--tolerance", 2)
    assert status == 0
    assert "2 % more is tolerated" in out
    assert call("report", "new/csynth.xml", "--baseline", "old/csynth.xml", "--tolerance", 0)[0] == 1
    csynth(tmp_path / "new" / "csynth.xml", latency=10)
    status, out, _ = call("report", "new/csynth.xml", "--baseline", "old/csynth.xml")
    assert status == 1
    assert out.splitlines()[-1] == "FAIL"


def test_baseline_of_a_folder(call, tmp_path):
    for folder, lut in (("old", 1000), ("new", 1005)):
        csynth(tmp_path / folder / "one" / "csynth.xml", top="one", lut=lut)
        csynth(tmp_path / folder / "two" / "csynth.xml", top="two", lut=7)
        (tmp_path / folder / "x_cosim.rpt").write_text(COSIM.format(status="Pass", number=23))
    status, out, _ = call("report", "new", "--baseline", "old", "--json")
    content = json.loads(out)
    assert status == 0
    assert {one["status"] for one in content["requirements"]} == {"PASS"}
    found = [one["note"] for one in content["requirements"] if one["name"] == "baseline:hls:lut"]
    assert [note.split(" before")[0] for note in found] == ["new/one/csynth.xml: 1,000", "new/two/csynth.xml: 7"]
    assert {one["name"] for one in content["requirements"]} >= {
        "baseline:cosim:latency_cycles",
        "baseline:cosim:test_bench",
    }
    csynth(tmp_path / "new" / "two" / "csynth.xml", top="two", lut=8)
    status, out, _ = call("report", "new", "--baseline", "old", "--json")
    (failed,) = [one for one in json.loads(out)["requirements"] if one["status"] == "FAIL"]
    assert (status, failed["name"], failed["figure"]) == (1, "baseline:hls:lut", 8)
    assert failed["note"].startswith("new/two/csynth.xml: 7 before")


def test_a_figure_that_became_unknown(call, tmp_path):
    report = SynthesisReport.model_validate({"kind": "k", "stage": "hls", "used": {"lut": 5, "ff": 6}})
    report.save(tmp_path / "old.json")
    report.model_copy(update={"used": Resources(ff=6)}).save(tmp_path / "new.json")
    status, out, _ = call("report", "new.json", "--baseline", "old.json")
    assert (status, out.splitlines()[-1]) == (3, "INCOMPLETE")


def test_what_is_no_report(wrong, tmp_path):
    whole = csynth(tmp_path / "csynth.xml").read_text()
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.rpt").touch()
    (tmp_path / "letter.txt").write_text("Dear reader,\n" * 50)
    (tmp_path / "bytes.rpt").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "other.json").write_text('{"kind": "k", "stage": "hls", "used": 5}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "half.json").write_text('{"kind": "k", "sta')
    assert "missing.rpt: no such file" in wrong("report", "missing.rpt")
    assert "missing: no such file" in wrong("report", "missing")
    assert "empty: there is no report in it; reports end with .xml, .rpt" in wrong("report", "empty")
    for name in ("nothing.rpt", "letter.txt", "bytes.rpt", "list.json"):
        assert f"{name}: not a report that is known" in wrong("report", name)
    assert "other.json: kept by jetgate: cut off, or changed: 1 entries are wrong" in wrong("report", "other.json")
    assert "half.json: not a report that is known" in wrong("report", "half.json")
    (tmp_path / "half.json").write_text('{"kind": "k", "stage": "hls", "to')
    assert "half.json: kept by jetgate: cut off, or changed" in wrong("report", "half.json")
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "cut.xml").write_text(whole[: int(share * len(whole))])
        assert "cut.xml: " in wrong("report", "cut.xml")
        # Beside a good one too, and in a folder: nothing is passed over.
        assert "cut.xml: " in wrong("report", "csynth.xml", "cut.xml")
        assert "cut.xml: " in wrong("report", ".")


def test_options_that_are_wrong(wrong, call, tmp_path):
    csynth(tmp_path / "csynth.xml")
    assert "--format 'pdf' is not known; nearest: 'md', 'text'" in wrong("report", "csynth.xml", "--format", "pdf")
    for value in ("5", "0"):
        assert "--tolerance: only with --baseline" in wrong("report", "csynth.xml", "--tolerance", value)
    status, out, err = call("report", "csynth.xml", "--baseline", "csynth.xml", "--tolerance", "-1")
    assert (status, out) == (2, "")
    assert "--tolerance" in err
    assert "there is no packaged target 'vu13' and no such file; nearest: 'vu13p'" in wrong(
        "report", "csynth.xml", "--budget", "vu13"
    )
    assert "nope.yaml: no such file" in wrong("report", "csynth.xml", "--budget", "nope.yaml")
    target(tmp_path / "t.yaml", "{}")
    assert "target 't' has no budget: there is nothing to hold the reports to" in wrong(
        "report", "csynth.xml", "--budget", "t.yaml"
    )
    target(tmp_path / "t.yaml", "{hls: {lut: 5 percent}}")
    assert "t.yaml: budget.hls.lut: found '5 percent': a count such as" in wrong(
        "report", "csynth.xml", "--budget", "t.yaml"
    )


def test_baselines_that_are_wrong(wrong, tmp_path):
    csynth(tmp_path / "csynth.xml")
    (tmp_path / "x_cosim.rpt").write_text(COSIM.format(status="Pass", number=23))
    assert "nope.xml: no such file" in wrong("report", "csynth.xml", "--baseline", "nope.xml")
    (tmp_path / "empty").mkdir()
    assert "empty: there is no report in it" in wrong("report", "csynth.xml", "--baseline", "empty")
    message = wrong("report", "csynth.xml", "--baseline", "x_cosim.rpt")
    assert "x_cosim.rpt: no report in it is of the same kind, stage and design as those now; it has cosim of" in message
    csynth(tmp_path / "other.xml", top="other")
    assert "it has csynth.xml of other (hls)" in wrong("report", "csynth.xml", "--baseline", "other.xml")
    csynth(tmp_path / "part.xml", part="xcvu9p-flga2104-2L-e")
    message = wrong("report", "csynth.xml", "--baseline", "part.xml")
    assert "a report for xcvu13p-flga2577-2-e cannot be compared with one for xcvu9p-flga2104-2L-e" in message
    for number in (1, 2):
        csynth(tmp_path / "twice" / str(number) / "csynth.xml")
    assert "twice: 2 earlier reports are like csynth.xml; name one of them" in wrong(
        "report", "csynth.xml", "--baseline", "twice"
    )


def saved(project, **content):
    """A report of the HLS stage as `jetgate synth` keeps it."""
    digest = synthesis.sources_digest(project, Stage.HLS, "cpp")
    report = SynthesisReport.model_validate({
        "kind": "hls of cpp", "stage": "hls", "tool": "Vitis HLS", "version": "2023.2", "design": "tiny",
        "part": project.target.part, "clock_ns": 2.78, "latency_cycles": 9, "used": {"lut": 1000}, "sources_digest": digest,
        **content,
    })  # fmt: skip
    path = project.folder / "reports" / "hls.json"
    path.parent.mkdir(exist_ok=True)
    report.save(path)
    return path


def test_a_project_of_ours(call, copy):
    status, out, _ = call("report", "tiny", "--json")
    assert status == 0
    (one,) = json.loads(out)["reports"].values()
    assert (one["stage"], one["used"]["lut"]) == ("estimate", round(copy.manifest.rtl.cost))
    path = saved(copy)
    status, out, _ = call("report", "tiny", "--json")
    reports = json.loads(out)["reports"]
    assert {name: one["stage"] for name, one in reports.items()} == {"tiny/hls": "hls", "tiny/estimate": "estimate"}
    assert reports["tiny/hls"]["available_slr"]["lut"] == 432_000
    # Itself, and a copy of its report elsewhere, as baselines.
    shutil.copy(path, "earlier.json")
    shutil.copytree(path.parent, "before")
    for baseline in ("tiny", "earlier.json", "before"):
        assert call("report", "tiny", "--baseline", baseline)[0] == 0
    saved(copy, used={"lut": 1011})
    for baseline in ("earlier.json", "before"):
        assert call("report", "tiny", "--baseline", baseline)[0] == 1
    target(copy.folder.parent / "t.yaml", "{hls: {lut: 1011, latency_cycles: 9}}")
    assert call("report", "tiny", "--budget", "t.yaml")[0] == 0


def test_projects_of_one_name(call, copy, tmp_path):
    """None of them hides another."""
    shutil.copytree(copy.folder, tmp_path / "elsewhere" / "tiny")
    status, out, _ = call("report", "tiny", "elsewhere/tiny", "--json")
    assert status == 0
    assert list(json.loads(out)["reports"]) == ["tiny/estimate", "elsewhere/tiny/estimate"]
    status, out, _ = call("report", ".", "--json")
    assert (status, sorted(json.loads(out)["reports"])) == (0, ["elsewhere/tiny/estimate", "tiny/estimate"])


def test_a_stale_report(call, wrong, copy):
    path = saved(copy)
    csynth(copy.folder.parent / "csynth.xml")
    assert call("report", "tiny")[0] == 0
    for name, text in (("firmware/tiny.cpp", "\n"), ("tcl/csynth.tcl", "\n")):
        source = copy.folder / name
        before = source.read_text()
        source.write_text(before + text)
        message = wrong("report", "tiny")
        assert f"{path.relative_to(copy.folder.parent)}: stale: it was made of other sources" in message
        assert "stale" in wrong("report", "csynth.xml", "--baseline", "tiny")
        source.write_text(before)
    assert call("report", "tiny")[0] == 0
    for digest in ("0" * 64, None):
        saved(copy, sources_digest=digest)
        assert "stale" in wrong("report", "tiny")
        # However it is named; a copy elsewhere is what it was, a baseline.
        for name in (".", "tiny/reports", "tiny/reports/hls.json"):
            assert "stale" in wrong("report", name)
        shutil.copy(path, "kept.json")
        assert call("report", "kept.json")[0] == 0
    path.write_text("{}")
    assert "hls.json: not a report that is known" in wrong("report", "tiny")


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_synth_says_what_would_be_right(wrong, copy):
    before = files(copy.folder)
    assert "--stage 'nonsense' is not known; nearest: 'open'" in wrong("synth", "tiny", "--stage", "nonsense")
    assert "--stage 'synth' is not known; nearest: 'synthesis'" in wrong("synth", "tiny", "--stage", "synth")
    assert "--stage 'implementaton' is not known; nearest: 'implementation'" in wrong(
        "synth", "tiny", "--stage", "implementaton"
    )
    assert "--stage 'placement' is not known" in wrong("synth", "tiny", "--stage", "placement")
    message = wrong("synth", "tiny", "--stage", "hls", "--design", "vhdl")
    assert "--design 'vhdl' is not known; it is 'cpp', what HLS makes of the C++, or 'rtl', our own Verilog" in message
    assert "missing: not a firmware project" in wrong("synth", "missing", "--stage", "hls")
    assert files(copy.folder) == before


def test_dry_run(call, copy, monkeypatch):
    monkeypatch.setenv("PATH", "")
    before = files(copy.folder)
    expected = [
        "cd tiny",
        "mkdir -p reports",
        "vitis-run --mode hls --tcl tcl/csim.tcl > reports/csim.log 2>&1",
        "vitis-run --mode hls --tcl tcl/csynth.tcl > reports/csynth.log 2>&1",
    ]
    status, out, err = call("synth", "tiny", "--stage", "hls", "--dry-run")
    assert (status, out.splitlines(), err) == (0, expected, "")
    status, out, _ = call("synth", "tiny", "--stage", "hls", "--dry-run", "--json")
    assert json.loads(out) == {"project": "tiny", "commands": expected}
    status, out, _ = call("synth", "tiny", "--stage", "implementation", "--design", "rtl", "--dry-run")
    assert [line.split(" -source ")[-1] for line in out.splitlines()] == [
        "cd tiny",
        "mkdir -p reports",
        "tcl/synthesis.tcl -tclargs rtl > reports/synthesis-rtl.log 2>&1",
        "tcl/implementation.tcl -tclargs rtl > reports/implementation-rtl.log 2>&1",
    ]
    assert files(copy.folder) == before
    copy.folder.rename("a b; c")
    assert call("synth", "a b; c", "--stage", "hls", "--dry-run")[1].splitlines()[0] == "cd 'a b; c'"


def test_what_would_be_in_vain_is_not_begun(wrong, copy, monkeypatch):
    monkeypatch.setenv("PATH", "")
    manifest = copy.folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["rtl"]["cost"] = 2e6
    manifest.write_text(json.dumps(content))
    before = files(copy.folder)
    message = wrong("synth", "tiny", "--stage", "synthesis", "--design", "rtl")
    assert "size: about 2,000,000 look-up tables are expected, the xcvu13p has 1,728,000" in message
    assert files(copy.folder) == before


def test_public_reports(call, tmp_path):
    folder = realdata("reports/vivado_2024.1")
    wanted = {"part": "xcvu9p-flgb2104-2-i", "clock_ns": 1.3}
    target(tmp_path / "t.yaml", "{implementation: {slack_ns: 0}}", **wanted)
    status, out, _ = call("report", folder, "--budget", "t.yaml")
    assert (status, out.splitlines()[-1]) == (1, "FAIL")
    assert "pulse width -0.055" in out
    target(tmp_path / "t.yaml", "{synthesis: {lut: 1%, ff: 5000, dsp: 0}, implementation: {power_w: 4}}", **wanted)
    status, out, _ = call("report", folder, "--budget", "t.yaml", "--json")
    assert (status, json.loads(out)["overall"]) == (0, "PASS")
    target(tmp_path / "t.yaml", "{synthesis: {latency_cycles: 9}}", **wanted)
    assert call("report", folder, "--budget", "t.yaml")[0] == 3
    assert call("report", folder, "--baseline", folder)[0] == 0


@pytest.mark.parametrize(
    "folder", ["vitis_hls_2022.2_2023.2", "vivado_hls_2016.4_2018.2", "vivado_hls_2020.1", "vivado_2024.1"]
)
def test_every_public_folder(call, folder):
    path = realdata(f"reports/{folder}")
    status, out, _ = call("report", path, "--json")
    assert status == 0
    content = json.loads(out)["reports"]
    assert len(content) >= 3
    for form in ("text", "md"):
        status, out, _ = call("report", path, "--format", form)
        assert status == 0
        names = [name.rsplit("/", 1)[-1] for name in content]
        assert all(squeezed(name) in squeezed(out) for name in names)
