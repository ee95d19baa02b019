"""What `jetgate synth` and `jetgate report` do, between the command line and the firmware's room."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from firmware import budget, open_lane, synthesis
from firmware.device import find_device
from firmware.estimates import estimate
from firmware.preflight import Finding, preflight
from firmware.project import FirmwareProject
from firmware.reports.merge import with_device
from firmware.reports.read import read_report, reports_in
from firmware.reports.report import Stage, SynthesisReport
from firmware.synthesis import Design
from firmware.target import load_target
from trigger.app.console import Reporter, start_keras
from trigger.errors import EXIT_OK, InputError, ReportError, ToolError, nearest
from trigger.verdict import Requirement, Verdict, at_most, not_measured

if TYPE_CHECKING:
    from firmware.engines.rtl import Timing

STAGES = (*synthesis.VENDOR_STAGES, Stage.OPEN)
MANIFEST = "manifest.json"


def stage_named(name: str) -> Stage:
    """The stage of that name.

    Raises:
        InputError: There is none.
    """
    if name not in STAGES:
        raise InputError(f"--stage {name!r} is not known; nearest: {nearest(name, STAGES, len(STAGES))}")
    return Stage(name)


def design_named(name: str) -> Design:
    """The design of that name.

    Raises:
        InputError: There is none.
    """
    if name not in ("cpp", "rtl"):
        raise InputError(
            f"--design {name!r} is not known; it is 'cpp', what HLS makes of the C++, or 'rtl', our own Verilog"
        )
    return cast(Design, name)


def planned(project: FirmwareProject, stage: Stage, design: Design) -> list[str]:
    """Exactly what would be run, as one would type it: with what is found here, or else with what the target means."""
    where = f"cd {shlex.quote(str(project.folder))}"
    if stage is Stage.OPEN:
        return [where, *(shlex.join(command) for command in open_lane.commands(project))]
    try:
        flow = synthesis.find_flow(project)
    except ToolError:
        flow = synthesis.default_flow(project)
    commands = synthesis.plan(project, stage, design, flow)
    return [where, f"mkdir -p {synthesis.REPORTS}", *(command.shown() for command in commands)]


def run_stage(
    project: FirmwareProject, stage: Stage, design: Design, hours: float, workers: int
) -> tuple[tuple[Finding, ...], SynthesisReport, Verdict]:
    """Preflight, the stage itself, and the target's budget for it.

    Raises:
        InputError: The preflight found that it would be in vain.
        ToolError: A tool is missing or failed.
    """
    console = Reporter()
    findings = preflight(project, "rtl" if stage is Stage.OPEN else design)
    in_vain = any(finding.fatal for finding in findings) and stage is not Stage.OPEN  # Yosys knows no device's size
    for finding in findings:
        if not (in_vain and finding.fatal):
            console.say(f"[yellow]{finding.subject}: {finding.sentence}[/]")
    if in_vain:
        raise InputError("\n".join(f"{one.subject}: {one.sentence}" for one in findings if one.fatal))
    requirements: list[Requirement] = []
    if stage is Stage.OPEN:
        report, requirements = _open(project, workers, console)
    else:
        with console.elapsed() as tick:
            report = synthesis.synthesize(project, stage, design, hours, tick)
    judged_by = budget.judge(project.target, {str(stage): report}, [stage])
    return findings, report, Verdict(requirements=(*requirements, *judged_by))


def _open(project: FirmwareProject, workers: int, console: Reporter) -> tuple[SynthesisReport, list[Requirement]]:
    """Everything that needs no licence: the test bench, synthesis by Yosys, and the latency by simulation."""
    from firmware.emulation import Truth
    from firmware.engines import rtl, testbench

    synthesis.require_one_target(project)
    console.say("test bench, compiled by g++")
    bench = testbench.run(project)
    with console.progress("Yosys") as progress:
        report = open_lane.synthesize(project, workers, progress)
    console.say("latency of the Verilog, by Verilator")
    start_keras()
    timing = rtl.measure(project, Truth.of(project).circuit)
    timed = open_lane.with_latency(report, timing)
    timed.save(synthesis.report_path(project, Stage.OPEN, "rtl"))
    return timed, [bench.requirement(), timing.requirement(project.target.clock_ns), estimate_requirement(project)]


def estimate_requirement(project: FirmwareProject) -> Requirement:
    """What is expected without any tool, shown beside what tools say."""
    found = estimate(project)
    return at_most(
        "estimate:lut", found.used.lut, find_device(project.target.part).lut, required=False, note=found.notes[0]
    )


def read_all(paths: Sequence[Path]) -> dict[str, SynthesisReport]:
    """Every report of the paths by its name: of our projects what is kept there and the estimate without a tool, of folders
    their projects or else whatever is recognised, of files what they are.

    Raises:
        ReportError: One is cut off, stale, or no report.
    """
    found: dict[str, SynthesisReport] = {}
    for path in paths:
        projects = (
            [path]
            if _is_project(path)
            else sorted(one.parent for one in path.rglob(MANIFEST) if _is_project(one.parent))
        )
        for folder in projects:
            project = FirmwareProject.load(folder)
            kept = {f"{folder}/{one.stem}": report for one, report in synthesis.saved_reports(project).items()}
            found |= kept or _built_by_hand(folder)
            found[f"{folder}/estimate"] = estimate(project)
        if not projects:
            found |= _read_foreign(path)
    return {name: with_device(report) for name, report in found.items()}


def _built_by_hand(folder: Path) -> dict[str, SynthesisReport]:
    """What tools wrote into a project in which jetgate kept nothing; of which sources, nobody knows."""
    found: dict[str, SynthesisReport] = {}
    for part in ("hls", "vivado"):
        if (folder / part).is_dir():
            found |= {str(one): report for one, report in reports_in(folder / part).items()}
    note = "built by hand: not tied to the sources that are there now"
    return {name: one.model_copy(update={"notes": (*one.notes, note)}) for name, one in found.items()}


def _is_project(path: Path) -> bool:
    return (path / MANIFEST).is_file() and (path / "target.yaml").is_file()


def _read_foreign(path: Path) -> dict[str, SynthesisReport]:
    """The reports of a folder or a file; those that are kept in a project are held against its sources."""
    kept = path.absolute() if path.is_dir() else path.absolute().parent
    if kept.name == synthesis.REPORTS and _is_project(kept.parent):
        synthesis.saved_reports(FirmwareProject.load(kept.parent))
    if path.is_dir():
        return {str(one): report for one, report in reports_in(path).items()}
    return {str(path): read_report(path)}


def judged(
    reports: Mapping[str, SynthesisReport], target: str | None, baseline: Path | None, tolerance: float | None
) -> Verdict | None:
    """The verdict over a budget and an earlier report; `None` where neither is asked for.

    Raises:
        InputError: There is nothing in the earlier reports to compare with.
    """
    requirements: list[Requirement] = []
    if target is not None:
        wanted = load_target(target)
        requirements += budget.judge(wanted, reports)
        if not requirements:
            raise InputError(f"target {wanted.name!r} has no budget: there is nothing to hold the reports to")
    if baseline is not None:
        requirements += _regressions(reports, baseline, budget.TOLERANCE if tolerance is None else tolerance)
    return Verdict(requirements=tuple(requirements)) if target is not None or baseline is not None else None


def _regressions(reports: Mapping[str, SynthesisReport], baseline: Path, tolerance: float) -> list[Requirement]:
    """Each report against the earlier one of the same kind, stage and design."""
    earlier = read_all([baseline])
    found: list[Requirement] = []
    for name, now in reports.items():
        same = [
            one for one in earlier.values() if (one.kind, one.stage, one.design) == (now.kind, now.stage, now.design)
        ]
        if len(same) > 1:
            raise InputError(f"{baseline}: {len(same)} earlier reports are like {name}; name one of them")
        for before in same:
            found += [
                one.model_copy(update={"note": f"{name}: {one.note}"}) if len(reports) > 1 else one
                for one in budget.regressions(now, before, tolerance)
            ]
    for name, before in earlier.items():
        alike = [
            one
            for one in reports.values()
            if (one.kind, one.stage, one.design) == (before.kind, before.stage, before.design)
        ]
        if found and not alike and before.stage is not None:
            note = f"{name}: there is no such report now"
            found.append(not_measured(f"baseline:{before.stage}", "as before", required=True, note=note))
    if not found:
        kinds = ", ".join(
            f"{one.kind} of {one.design or 'an unknown design'} ({one.stage})" for one in earlier.values()
        )
        raise ReportError(
            f"{baseline}: no report in it is of the same kind, stage and design as those now; it has {kinds}"
        )
    return found


def exit_status(verdict: Verdict) -> int:
    """Of a verdict in which, unlike in a run's, nothing need be required."""
    return verdict.exit_status if any(one.required for one in verdict.requirements) else EXIT_OK


def latest(project: FirmwareProject, timing: Timing | None) -> dict[str, SynthesisReport]:
    """The reports that are kept in a project and the estimate without a tool, with the latency that was simulated just now.

    Raises:
        ReportError: One is stale.
    """
    found = {path.stem: report for path, report in synthesis.saved_reports(project).items()}
    found["estimate"] = with_device(estimate(project))
    if timing is not None:
        for name in {"estimate", "open"} & found.keys():
            found[name] = open_lane.with_latency(found[name], timing)
    return found
