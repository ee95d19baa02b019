"""Driving vendors' tools: which commands a stage needs, as data; running them; and what they must have written.

A command that was done for the same sources, settings and tool is not run again, so an interrupted stage goes on where it was.
What a tool wrote before is removed before it runs, and what it writes must be of this run: newer than its start, of this design
and part.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from firmware import tools
from firmware.device import same_part
from firmware.engines.testbench import SENTENCE
from firmware.project import FirmwareProject
from firmware.reports.merge import merged, with_device
from firmware.reports.read import read_report
from firmware.reports.report import Stage, SynthesisReport
from firmware.scripts import CONFIGURATION, TCL, settings_of
from firmware.target import Flow
from trigger.digest import digest, file_digest
from trigger.errors import BitsDifferError, InputError, ReportError, ToolError
from trigger.files import locked, make_folder, read_json, write_json

Design = Literal["cpp", "rtl"]
VENDOR_STAGES = (Stage.HLS, Stage.COSIM, Stage.SYNTHESIS, Stage.IMPLEMENTATION)
REPORTS = "reports"
RELEASES: dict[str, tuple[str, str]] = {
    "vivado_hls": ("2016.1", "2020.1"),
    "vitis_hls": ("2020.1", "2024.2"),
    "vitis-run": ("2023.2", "2099.9"),
    "unified": ("2024.2", "2099.9"),
}
"""First and last release in which each way of driving HLS exists."""
_PROGRAMS: dict[str, str] = {"unified": "v++"}
_CLOCK_S = 120.0
"""By how much a report may be dated before the start of its run: clocks of a host and its file server differ."""
Tick = Callable[[str, float], None]


@dataclass(frozen=True)
class Command:
    """One program to run in a project's folder.

    Attributes:
        name: What it does; name of its log and of its record.
        arguments: The program and its arguments.
        writes: Patterns, below the project, of the reports that it must write; the first that is there counts in each group.
        parts: Parts of the sources that it reads.
        keeps: Patterns of what later commands read; it must write that, and what is changed since makes it run again.
        bench: Whether it runs the test bench, whose last line must then be in its log.
    """

    name: str
    arguments: tuple[str, ...]
    writes: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]
    keeps: tuple[str, ...] = ()
    bench: bool = False

    @property
    def log(self) -> str:
        """Path of its log below the project."""
        return f"{REPORTS}/{self.name}.log"

    def shown(self) -> str:
        """As one would type it in the project's folder."""
        return f"{shlex.join(self.arguments)} > {self.log} 2>&1"


def plan(project: FirmwareProject, stage: Stage, design: Design, flow: Flow) -> tuple[Command, ...]:
    """Every command of a stage, in order; nothing is looked for or run.

    Args:
        project: The firmware.
        stage: One of `VENDOR_STAGES`.
        design: For Vivado's stages: what HLS makes of the C++, or our own Verilog.
        flow: How HLS is driven.

    Raises:
        InputError: The project has no such design, or the stage is not a vendor's.
    """
    if stage not in VENDOR_STAGES:
        raise InputError(f"stage {stage} needs no vendor's tool; those that do are {', '.join(VENDOR_STAGES)}")
    if design == "rtl" and stage in (Stage.HLS, Stage.COSIM):
        raise InputError(
            f"--design rtl: stage {stage} is of the C++; it is for the stages synthesis and implementation"
        )
    if design == "rtl" and project.manifest.rtl is None:
        raise InputError(f"{project.folder}: this project has no Verilog of our own: choose --design cpp")
    csynth = _hls(flow, "csynth", _csynth_reports(project))
    hls = (_hls(flow, "csim", ()), csynth)
    if stage is Stage.HLS:
        return hls
    if stage is Stage.COSIM:
        return (*hls, _hls(flow, "cosim", ((f"hls/*/sim/report/{project.manifest.top}_cosim.rpt",),)))
    before = hls if design == "cpp" else ()
    synthesis = _vivado("synthesis", design, "synth")
    return (
        (*before, synthesis)
        if stage is Stage.SYNTHESIS
        else (*before, synthesis, _vivado("implementation", design, "routed"))
    )


def _csynth_reports(project: FirmwareProject) -> tuple[tuple[str, ...], ...]:
    return (("hls/*/syn/report/csynth.xml", f"hls/*/syn/report/{project.manifest.top}_csynth.xml"),)


def _hls(flow: Flow, step: str, writes: tuple[tuple[str, ...], ...]) -> Command:
    script = f"{TCL}/{step}.tcl"
    configured = ("--mode", "hls", "--config", CONFIGURATION, "--work_dir", "hls")
    arguments: dict[Flow, tuple[str, ...]] = {
        "vivado_hls": ("vivado_hls", "-f", script),
        "vitis_hls": ("vitis_hls", "-f", script),
        "vitis-run": ("vitis-run", "--mode", "hls", "--tcl", script),
        "unified": ("v++", "-c", *configured) if step == "csynth" else ("vitis-run", f"--{step}", *configured),
    }
    keeps = ("hls/*/syn/verilog/*",) if step == "csynth" else ()
    return Command(step, arguments[flow], writes, ("cpp", "tool"), keeps, bench=step == "csim")


def _vivado(step: str, design: Design, state: str) -> Command:
    folder = f"vivado/{design}"
    quiet = ("-nojournal", "-nolog", "-notrace")
    arguments = ("vivado", "-mode", "batch", *quiet, "-source", f"{TCL}/{step}.tcl", "-tclargs", design)
    kinds = ("utilization", "timing", "hierarchy", "power")
    writes = tuple((f"{folder}/{kind}_{state}.rpt",) for kind in kinds)
    return Command(f"{step}-{design}", arguments, writes, (design, "tool"), keeps=(f"{folder}/{step}.dcp",))


def find_flow(project: FirmwareProject) -> Flow:
    """How HLS is driven here: as the target says, or by what is found.

    Raises:
        ToolError: The program is missing, or is not of a release that can be driven so, or not the one that the target asks for.
    """
    backend = project.target.backend
    flow: Flow
    if backend.flow is not None:
        flow = backend.flow
    elif backend.tool == "vivado":
        flow = "vivado_hls"
    else:
        flow = "vitis-run" if tools.look_up("vitis-run").path or not tools.look_up("vitis_hls").path else "vitis_hls"
    require_release(_PROGRAMS.get(flow, flow), backend.version, RELEASES[flow])
    return flow


def default_flow(project: FirmwareProject) -> Flow:
    """How HLS would be driven if every tool were here."""
    backend = project.target.backend
    return backend.flow or ("vivado_hls" if backend.tool == "vivado" else "vitis-run")


def require_release(program: str, wanted: str | None, between: tuple[str, str] = ("2016.1", "2099.9")) -> None:
    """Refuse a program that is missing or of another release; one that does not say its release is taken.

    Raises:
        ToolError: Says what was found and what would be right.
    """
    tools.find_tool(program)
    found = tools.vendor_version(program)
    if found is None:
        if wanted is not None:
            raise ToolError(f"{program} does not say its release; the target asks for {wanted}")
        return
    if wanted is not None and found != wanted:
        raise ToolError(f"{program} is {found}, the target asks for {wanted}: source the settings64.sh of that release")
    if not between[0] <= found <= between[1]:
        raise ToolError(f"{program} {found} cannot be driven so: this way exists from {between[0]} to {between[1]}")


def synthesize(
    project: FirmwareProject,
    stage: Stage,
    design: Design = "cpp",
    limit_hours: float = tools.LIMIT_HOURS,
    tick: Tick | None = None,
) -> SynthesisReport:
    """Run a stage and read what the tools wrote.

    Args:
        project: The firmware.
        stage: One of `VENDOR_STAGES`.
        design: For Vivado's stages: what HLS makes of the C++, or our own Verilog.
        limit_hours: Time limit of each command.
        tick: Told of the command and its seconds, about once a second.

    Returns:
        The report of the stage, which is in `reports/` too.

    Raises:
        ToolError: A tool is missing, failed, took too long, or left no report or an old one.
        BitsDifferError: The test bench found outputs that are not the reference's.
        InputError: The project has no such design, its sources changed meanwhile, or its target was edited.
    """
    require_one_target(project)
    flow = find_flow(project) if design == "cpp" else default_flow(project)
    if stage in (Stage.SYNTHESIS, Stage.IMPLEMENTATION):
        require_release("vivado", project.target.backend.version)
    commands = plan(project, stage, design, flow)
    saved = report_path(project, stage, design)
    before = ""
    with locked(make_folder(project.folder / REPORTS)):
        for command in commands:
            before = _run(project, command, before, saved, limit_hours, tick)
        reports = [read_report(path) for path in _written(project, commands[-1])]
        try:
            report = _finished(project, stage, design, merged(reports, f"{stage} of {design}"))
        except ReportError as error:
            raise ToolError(str(error), project.folder / commands[-1].log) from error
        report.save(saved)
    return report


def require_one_target(project: FirmwareProject) -> None:
    """Refuse a project whose target was edited in what its sources follow from; its budget may be edited.

    Raises:
        InputError: Part, clock or compiler are no longer those of the scripts and the Verilog.
    """
    rtl, target = project.manifest.rtl, project.target
    path = project.folder / TCL / "settings.tcl"
    same = path.is_file() and path.read_text(encoding="utf-8") == settings_of(project.manifest.top, target)
    if not same or (rtl is not None and rtl.clock_ns != target.clock_ns):
        raise InputError(
            f"{project.folder}: target.yaml and {TCL}/settings.tcl differ in part, clock or compiler, or the Verilog was made "
            "for another clock: convert the network again for that target"
        )


def _run(
    project: FirmwareProject, command: Command, before: str, saved: Path, limit_hours: float, tick: Tick | None
) -> str:
    """Run a command unless it was done for the same sources, and require what it must have written.

    Returns:
        Its key, which is part of the key of the next command: what that reads, this one wrote.
    """
    record = project.folder / REPORTS / f"{command.name}.record.json"
    key = _key(project, command, before)
    if _done(project, command, record, key):
        return key
    record.unlink(missing_ok=True)
    saved.unlink(missing_ok=True)
    for pattern in (*command.keeps, *(pattern for group in command.writes for pattern in group)):
        for old in project.folder.glob(pattern):
            if old.is_file():
                old.unlink()
    start = time.time()
    log = project.folder / command.log
    try:
        tools.run(
            command.arguments, project.folder, log, limit_hours * 3600,
            tick=None if tick is None else lambda seconds: tick(command.name, seconds),
        )  # fmt: skip
    except ToolError:
        _require_equal_bits(project, log, start)
        raise
    compared = _require_equal_bits(project, log, start)
    if command.bench and not compared:
        raise ToolError(
            f"{command.arguments[0]} ended well, but no log says that the test bench compared anything", log
        )
    written = _written(project, command)
    if len(written) < len(command.writes):
        missing = [group[0] for group in command.writes if not any(list(project.folder.glob(one)) for one in group)]
        raise ToolError(f"{command.arguments[0]} ended well but did not write {', '.join(missing)}", log)
    absent = [pattern for pattern in command.keeps if not any(project.folder.glob(pattern))]
    if absent:
        raise ToolError(f"{command.arguments[0]} ended well but did not write {', '.join(absent)}", log)
    for path in written:
        _require_fresh(path, start, log)
    if _key(project, command, before) != key:
        raise InputError(f"{project.folder}: the sources changed while {command.name} ran; run it again")
    write_json(record, {
        "key": key, "command": list(command.arguments), "seconds": round(time.time() - start, 1),
        "files": _sealed(project, command),
    })  # fmt: skip
    return key


def _key(project: FirmwareProject, command: Command, before: str) -> str:
    version = tools.vendor_version(command.arguments[0])
    return digest(before, command.arguments, version, [project.source_digests(part) for part in command.parts])


def _done(project: FirmwareProject, command: Command, record: Path, key: str) -> bool:
    """Whether a command was done for the same sources and what it wrote is unchanged."""
    try:
        content = read_json(record)
        return bool(content["key"] == key and content["files"] == _sealed(project, command))
    except (InputError, KeyError, TypeError):
        return False


def _sealed(project: FirmwareProject, command: Command) -> dict[str, str]:
    """Digests of the reports of a command and of what later ones read."""
    kept = [path for pattern in command.keeps for path in sorted(project.folder.glob(pattern)) if path.is_file()]
    return {str(path.relative_to(project.folder)): file_digest(path) for path in [*_written(project, command), *kept]}


def _require_equal_bits(project: FirmwareProject, log: Path, start: float) -> bool:
    """Whether the test bench says that it compared and nothing differs, in a command's log or in the compiler's own.

    Raises:
        BitsDifferError: Outputs differ.
    """
    compared = False
    own = [*project.folder.glob("hls/*/csim/report/*csim.log"), *project.folder.glob("hls/logs/*csim*.log")]
    for path in [log, *(one for one in own if one.stat().st_mtime >= start - 2.0)]:
        for match in SENTENCE.finditer(path.read_text(encoding="utf-8", errors="replace")):
            compared = True
            if int(match[1]):
                raise BitsDifferError(f"{match[0].strip().removeprefix('jetgate: ')}\nlog: {path}")
    return compared


def _written(project: FirmwareProject, command: Command) -> list[Path]:
    """The report of each group that is there, the newest where a pattern matches several."""
    found = []
    for group in command.writes:
        for pattern in group:
            matches = sorted(project.folder.glob(pattern), key=lambda path: path.stat().st_mtime)
            if matches:
                found.append(matches[-1])
                break
    return found


def _require_fresh(path: Path, start: float, log: Path) -> None:
    """A report older than the run that should have written it is an error.

    Raises:
        ToolError: It is older, by its time stamp or by the date in it, or cannot be read.
    """
    if path.stat().st_mtime < start - 2.0:  # file systems keep whole seconds
        raise ToolError(f"{path} is older than the run that should have written it", log)
    try:
        date = read_report(path).date
    except ReportError as error:
        raise ToolError(str(error), log) from error
    try:
        written = datetime.strptime(" ".join((date or "").split()), "%a %b %d %H:%M:%S %Y").timestamp()
    except ValueError:
        return  # no date, or spelled otherwise
    if written < start - _CLOCK_S:
        raise ToolError(f"{path} is of {date}, before the run that should have written it", log)


def _finished(project: FirmwareProject, stage: Stage, design: Design, report: SynthesisReport) -> SynthesisReport:
    """The report with what the project knows, after it was seen to be of this project.

    Raises:
        ReportError: It is of another design, part or stage.
        BitsDifferError: A simulation failed.
    """
    expected = {"design": project.manifest.top, "part": project.target.part}
    if report.design is not None and report.design != expected["design"]:
        raise ReportError(f"the report is of the design {report.design!r}, the project of {expected['design']!r}")
    if report.part is not None and not same_part(report.part, expected["part"]):
        raise ReportError(f"the report is of the part {report.part!r}, the project of {expected['part']!r}")
    if report.stage is not stage:
        raise ReportError(f"the report is of the stage {report.stage}, {stage} was asked for")
    if report.passed is False:
        raise BitsDifferError(f"the simulation of the test bench failed: {'; '.join(report.notes)}")
    update: dict[str, object] = {**expected, "sources_digest": sources_digest(project, stage, design)}
    estimate = _estimate(project) if design == "cpp" else None
    rtl = project.manifest.rtl
    if report.clock_ns is None:
        update["clock_ns"] = project.target.clock_ns
    edited = any(path.startswith("rtl/") for path in project.edited())
    if report.latency_cycles is None and design == "rtl" and rtl is not None and not edited:
        update |= {"latency_cycles": rtl.latency_cycles, "interval_cycles": 1}
        update["notes"] = (
            *report.notes,
            "latency and interval as the Verilog declares them; 'jetgate emulate' measures them",
        )
    if report.latency_cycles is None and estimate is not None:
        update |= {"latency_cycles": estimate.latency_cycles, "interval_cycles": estimate.interval_cycles}
        update["notes"] = (*report.notes, "latency and interval as C synthesis expects them")
    if report.tool is None and estimate is not None:
        update |= {"tool": estimate.tool, "version": estimate.version}
    full = report.model_copy(update=update)
    if full.latency_ns is None and full.latency_cycles is not None and full.clock_ns is not None:
        full = full.model_copy(update={"latency_ns": round(full.latency_cycles * full.clock_ns, 6)})
    return with_device(full)


def _estimate(project: FirmwareProject) -> SynthesisReport | None:
    """What C synthesis said, where it was run: the reports of later stages have no latency."""
    paths = _written(project, _hls("vitis-run", "csynth", _csynth_reports(project)))
    return read_report(paths[0]) if paths else None


# ---------------------------------------------------------------------------------------------------------------- saved


def report_path(project: FirmwareProject, stage: Stage, design: Design) -> Path:
    """Where the report of a stage is kept."""
    name = f"{stage}-{design}" if stage in (Stage.SYNTHESIS, Stage.IMPLEMENTATION) else str(stage)
    return project.folder / REPORTS / f"{name}.json"


def sources_digest(project: FirmwareProject, stage: Stage, design: Design) -> str:
    """Digest of the sources that a stage reads."""
    if stage is Stage.OPEN:
        return digest(project.source_digests("rtl"))
    return digest(project.source_digests(design), project.source_digests("tool"))


def saved_reports(project: FirmwareProject) -> dict[Path, SynthesisReport]:
    """Every report that is kept in a project.

    Raises:
        ReportError: One is of other sources than those that are there now, or was changed.
    """
    found = {}
    for path in sorted((project.folder / REPORTS).glob("*.json")):
        if path.name.endswith(".record.json"):
            continue
        report = read_report(path)
        design: Design = "rtl" if path.stem.endswith("-rtl") else "cpp"
        if report.stage is None or report.sources_digest != sources_digest(project, report.stage, design):
            raise ReportError(
                f"{path}: stale: it was made of other sources than those in the project now; run the stage again"
            )
        found[path] = report
    return found
