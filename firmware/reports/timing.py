"""Vivado's `report_timing_summary`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from firmware.reports.report import SynthesisReport
from firmware.reports.text import find_line, number
from firmware.reports.vivado import is_vivado, vivado_header
from trigger.errors import ReportError

KIND = "timing summary"
_SENTENCES = {
    "All user specified timing constraints are met.": True,
    "Timing constraints are not met.": False,
    "There are no user specified timing constraints.": None,
}


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return is_vivado(text, "report_timing_summary", r"^Timing Summary Report$")


def parse(text: str) -> SynthesisReport:
    """Read the report; without a clock nothing is known of the timing, and nothing is met.

    Raises:
        ReportError: It is cut off, or something that every version writes is missing.
    """
    lines, header = vivado_header(text)
    start = _section(lines, "Design Timing Summary")
    after = _section(lines, "Clock Summary", start)
    end = find_line(lines, r"\| Intra Clock Table", after)
    if end is None:
        raise ReportError("the clock summary is cut off: the heading 'Intra Clock Table' after it is missing")
    slacks = _slacks(lines[start:after])
    met = _met(lines[start:after])
    periods = _periods(lines[after:end])
    notes = [sentence for sentence, value in _SENTENCES.items() if value is met and value is not True]
    if not periods:
        notes.append("there is no clock")
    if len(periods) > 1:
        notes.append("clocks: " + ", ".join(f"{name} {period:g} ns" for name, period in periods.items()))
    clock = min(periods.values(), default=None)
    setup, hold, pulse = slacks if periods else (None, None, None)
    achieved = None if len(periods) != 1 or clock is None or setup is None else round(clock - setup, 6)
    return SynthesisReport(
        kind=KIND, **header, clock_ns=clock, achieved_ns=achieved, slack_ns=setup, hold_slack_ns=hold,
        pulse_slack_ns=pulse, timing_met=met if periods else None, notes=tuple(notes),
    )  # fmt: skip


def _section(lines: Sequence[str], title: str, start: int = 0) -> int:
    found = find_line(lines, rf"\| {title}\s*$", start)
    if found is None:
        raise ReportError(f"the section {title!r} is missing")
    return found


def _slacks(lines: Sequence[str]) -> tuple[float | None, float | None, float | None]:
    """Worst setup, hold and pulse width slack."""
    header = find_line(lines, r"\s*WNS\(ns\)")
    if header is None or header + 2 >= len(lines):
        raise ReportError("the row of the design timing summary is missing")
    names, values = lines[header].split("  "), lines[header + 2].split()
    names = [name.strip() for name in names if name.strip()]
    if len(names) != len(values):
        raise ReportError(f"the row of the design timing summary has {len(values)} numbers, {len(names)} are right")
    row = dict(zip(names, values, strict=True))
    return number(row.get("WNS(ns)")), number(row.get("WHS(ns)")), number(row.get("WPWS(ns)"))


def _met(lines: Sequence[str]) -> bool | None:
    for line in lines:
        if line.strip() in _SENTENCES:
            return _SENTENCES[line.strip()]
    raise ReportError("the sentence that says whether the timing constraints are met is missing")


def _periods(lines: Sequence[str]) -> dict[str, float]:
    """Period of each clock in nanoseconds; generated clocks are indented."""
    found = {}
    for line in lines:
        match = re.fullmatch(r"\s*(\S.*?)\s+\{[^}]*\}\s+([0-9]+\.[0-9]+)\s+([0-9]+\.[0-9]+)\s*", line)
        if match:
            found[match[1]] = float(match[2])
        elif "{" in line:
            raise ReportError(
                f"a row of the clock summary is not name, waveform, period and frequency: {line.strip()!r}"
            )
    return found
