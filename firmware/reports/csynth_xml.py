"""`<top>_csynth.xml` and `csynth.xml`: what Vivado HLS and Vitis HLS expect after C synthesis."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.text import count, duration_ns
from firmware.reports.xml import parse_xml, required_text, text_at
from trigger.errors import ReportError

KIND = "csynth.xml"
LAST_VIVADO_HLS = (2020, 1)


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return "<profile>" in text[:2000]


def parse(text: str) -> SynthesisReport:
    """Read the report.

    Raises:
        ReportError: It is cut off, or something that every version writes is missing.
    """
    root = parse_xml(text)
    asked = root.find("UserAssignments")
    timing = root.find("PerformanceEstimates/SummaryOfTimingAnalysis")
    area = root.find("AreaEstimates")
    version = required_text(root, "ReportVersion/Version")
    if asked is None or timing is None or area is None:
        raise ReportError("UserAssignments, PerformanceEstimates/SummaryOfTimingAnalysis or AreaEstimates is missing")
    unit = text_at(asked, "unit") or "ns"
    clock = duration_ns(required_text(asked, "TargetClockPeriod"), unit)
    uncertainty = duration_ns(text_at(asked, "ClockUncertainty"), unit)
    estimated = duration_ns(text_at(timing, "EstimatedClockPeriod"), text_at(timing, "unit") or "ns")
    best, worst, interval, elapsed = _latency(root.find("PerformanceEstimates"))
    elapsed = hls_elapsed(worst, clock, estimated) if elapsed is None else elapsed
    top = required_text(asked, "TopModelName")
    return SynthesisReport(
        kind=KIND, stage=Stage.HLS, tool=tool_of(version), version=version,
        design=top, part=text_at(asked, "Part"), clock_ns=clock, achieved_ns=estimated,
        slack_ns=hls_slack(clock, uncertainty, estimated), latency_cycles=worst, latency_min_cycles=best,
        latency_ns=elapsed, interval_cycles=interval,
        used=_resources(area.find("Resources"), "Resources"),
        available=_resources(area.find("AvailableResources"), "AvailableResources"),
        modules=tuple(one for one in map(_module, root.findall("ModuleInformation/Module")) if one.name != top),
        notes=_notes(root),
    )  # fmt: skip


def tool_of(version: str) -> str | None:
    """Which of the two compilers wrote a report of some version."""
    found = re.match(r"(20[0-9]{2})\.([0-9])\b", version)
    if found is None:
        return None
    return "Vivado HLS" if (int(found[1]), int(found[2])) <= LAST_VIVADO_HLS else "Vitis HLS"


def hls_slack(clock: float | None, uncertainty: float | None, estimated: float | None) -> float | None:
    """Slack as the compilers define it: what is left of the period after the uncertainty and the estimated delay."""
    if clock is None or uncertainty is None or estimated is None:
        return None
    return round(clock - uncertainty - estimated, 3)


def hls_elapsed(cycles: int | None, clock: float | None, estimated: float | None) -> float | None:
    """A latency in nanoseconds as the compilers give it since 2019.2: with the slower of the two periods."""
    return None if cycles is None or clock is None else round(cycles * max(clock, estimated or 0.0), 6)


def _latency(performance: Element | None) -> tuple[int | None, int | None, int | None, float | None]:
    """Best and worst latency, worst interval, and worst latency in nanoseconds."""
    overall = None if performance is None else performance.find("SummaryOfOverallLatency")
    if overall is None:
        return None, None, None, None
    unit = text_at(overall, "unit") or "clock cycles"
    if unit != "clock cycles":
        raise ReportError(f"latencies are in {unit!r}; right would be 'clock cycles'")
    return (
        count(text_at(overall, "Best-caseLatency")),
        count(text_at(overall, "Worst-caseLatency")),
        count(text_at(overall, "Interval-max") or text_at(overall, "PipelineInitiationInterval")),
        duration_ns(text_at(overall, "Worst-caseRealTimeLatency")),
    )


def _resources(area: Element | None, what: str) -> Resources:
    found = Resources() if area is None else _counts(area)
    if found.lut is None or found.ff is None:
        raise ReportError(f"AreaEstimates/{what} or its LUT or FF is missing")
    return found


def _counts(area: Element) -> Resources:
    dsp = text_at(area, "DSP") or text_at(area, "DSP48E")  # renamed after 2019
    return Resources(
        lut=count(text_at(area, "LUT")), ff=count(text_at(area, "FF")), dsp=count(dsp),
        bram18=count(text_at(area, "BRAM_18K")), uram=count(text_at(area, "URAM")),
    )  # fmt: skip


def _module(element: Element) -> Module:
    _, worst, interval, _ = _latency(element.find("PerformanceEstimates"))
    area = element.find("AreaEstimates/Resources")
    used = Resources() if area is None else _counts(area)
    return Module(name=required_text(element, "Name"), latency_cycles=worst, interval_cycles=interval, used=used)


def _notes(root: Element) -> tuple[str, ...]:
    kinds = [text_at(one, "IssueType") for one in root.findall("PerformanceEstimates/SummaryOfViolations")]
    pipeline = text_at(root, "PerformanceEstimates/PipelineType")
    violations = [f"the tool reports a violation: {kind}" for kind in kinds if kind not in (None, "-")]
    return (*([f"pipeline: {pipeline}"] if pipeline else []), *violations)
