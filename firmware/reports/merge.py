"""What several reports of one run say together, and what the data sheet adds."""

from __future__ import annotations

from collections.abc import Sequence

from firmware.device import Device, reported_device
from firmware.reports.report import Resources, SynthesisReport
from trigger.errors import ReportError

_SAME = ("stage", "tool", "version", "design")
_FIRST = ("clock_ns", "achieved_ns", "slack_ns", "hold_slack_ns", "pulse_slack_ns", "timing_met", "latency_cycles",
          "latency_min_cycles", "latency_ns", "interval_cycles", "passed", "power_w", "part", "date")  # fmt: skip


def merged(reports: Sequence[SynthesisReport], kind: str) -> SynthesisReport:
    """One report of several that a tool wrote in one run; where two know a figure, the earlier in the list decides.

    Raises:
        ReportError: They are not of one run: stage, tool, version or design differ.
    """
    content: dict[str, object] = {}
    for name in _SAME:
        values = list(dict.fromkeys(value for one in reports if (value := getattr(one, name)) is not None))
        if len(values) > 1:
            raise ReportError(f"reports of one run differ in their {name}: {', '.join(str(value) for value in values)}")
        content[name] = values[0] if values else None
    for name in _FIRST:
        content[name] = next((value for one in reports if (value := getattr(one, name)) is not None), None)
    for name in ("used", "available", "available_slr"):
        content[name] = _first_known([getattr(one, name) for one in reports])
    for name in ("modules", "cells"):
        content[name] = next(
            (value for one in reports if (value := getattr(one, name))), () if name == "modules" else {}
        )
    content["whole"] = all(one.whole for one in reports)
    notes = tuple(dict.fromkeys(note for one in reports for note in one.notes))
    return SynthesisReport.model_validate({"kind": kind, **content, "notes": notes})


def with_device(report: SynthesisReport) -> SynthesisReport:
    """The report with what its device has, from the data sheet where the report does not say."""
    device = reported_device(report.part)
    if device is None:
        return report
    whole, die = _has(device, 1), _has(device, device.slr)
    return report.model_copy(
        update={
            "available": _first_known([report.available, whole]),
            "available_slr": _first_known([report.available_slr, die]),
        }
    )


def _first_known(counts: Sequence[Resources]) -> Resources:
    """Each count from the first that knows it."""
    return Resources(**{
        name: next((value for one in counts if (value := getattr(one, name)) is not None), None)
        for name in Resources.model_fields
    })  # fmt: skip


def _has(device: Device, parts: int) -> Resources:
    """What a device has, or the mean of its dies."""
    return Resources(
        lut=device.lut // parts, ff=device.ff // parts, dsp=device.dsp // parts, bram18=2 * device.bram36 // parts,
        uram=device.uram // parts,
    )  # fmt: skip
