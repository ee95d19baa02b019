"""`export_impl.xml`, `export_syn.xml` and the older `<top>_export.xml`: Vivado's figures for what HLS exported."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.text import count, duration_ns
from firmware.reports.xml import parse_xml, required_text, text_at
from trigger.errors import ReportError

KIND = "export.xml"
_MET = {"TRUE": True, "FALSE": False}


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return re.search(r"<profile>\s*<(RunData|AreaReport|TimingReport)>", text[:2000]) is not None


def parse(text: str) -> SynthesisReport:
    """Read the report. Older versions do not say whether the design was routed; then the stage is not known.

    Raises:
        ReportError: It is cut off, or its resources or timing are missing.
    """
    root = parse_xml(text)
    timing, used, available = (
        root.find(path) for path in ("TimingReport", "AreaReport/Resources", "AreaReport/AvailableResources")
    )
    if timing is None or used is None or available is None:
        raise ReportError("TimingReport, AreaReport/Resources or AreaReport/AvailableResources is missing")
    clock = duration_ns(required_text(timing, "TargetClockPeriod"))
    achieved = duration_ns(text_at(timing, "AchievedClockPeriod"))
    slack = duration_ns(text_at(timing, "SLACK_FINAL"))
    if slack is None and clock is not None and achieved is not None:
        slack = round(clock - achieved, 6)
    told = text_at(timing, "TIMING_MET")  # not in older versions
    met = _MET.get(told) if told else None if slack is None else slack >= 0
    general = {item.get("NAME", ""): item.get("VALUE", "") for item in root.findall("GeneralInfo/item")}
    stage = {"synth": Stage.SYNTHESIS, "impl": Stage.IMPLEMENTATION}.get(text_at(root, "RunData/RUN_TYPE") or "")
    modules = root.findall("RtlModules/RtlModule")
    version = text_at(root, "RunData/VIVADO_VERSION")
    top = next((one.get("RTLNAME") or one.get("MODULENAME") for one in modules if one.get("IS_TOP") == "1"), None)
    return SynthesisReport(
        kind=KIND, stage=stage, tool="Vivado", version=version.removeprefix("v.") if version else None, design=top,
        part=general.get("Target device") or None, date=general.get("Date") or None, clock_ns=clock, achieved_ns=achieved,
        slack_ns=slack, timing_met=met, used=_resources(used), available=_resources(available),
        modules=tuple(_module(one) for one in modules if one.get("IS_TOP") != "1"),
        notes=() if stage else ("the report does not say whether this is before or after routing",),
    )  # fmt: skip


def _resources(element: Element) -> Resources:
    found = Resources(
        lut=count(text_at(element, "LUT")), ff=count(text_at(element, "FF")), dsp=count(text_at(element, "DSP")),
        bram18=count(text_at(element, "BRAM")), uram=count(text_at(element, "URAM")),
    )  # fmt: skip
    if found.lut is None or found.ff is None:
        raise ReportError(f"AreaReport/{element.tag} has no LUT or no FF")
    return found


def _module(element: Element) -> Module:
    resources = element.find("Resources")
    figures = {} if resources is None else {  # what is 0 is left out
        name: count(resources.get(key, "0"))
        for name, key in (("lut", "LUT"), ("ff", "FF"), ("dsp", "DSP"), ("bram18", "BRAM"), ("uram", "URAM"))
    }  # fmt: skip
    name = element.get("RTLNAME") or element.get("MODULENAME") or element.get("CELL") or ""
    return Module(name=name, instance=element.get("CELL") or "", used=Resources(**figures))
