"""`<top>_cosim.rpt`: what the simulation of the synthesised design said.

The report names neither design, tool version nor part.
"""

from __future__ import annotations

import re

from firmware.reports.report import Stage, SynthesisReport
from firmware.reports.text import complete_lines, count
from trigger.errors import ReportError

KIND = "cosim"


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return re.search(r"^\+?\s*\+\s+RTL\s+\+\s+Status", text[:6000], re.MULTILINE) is not None


def parse(text: str) -> SynthesisReport:
    """Read the report. A pass without a latency, as some versions write it for a design that was not simulated, is no pass.

    Raises:
        ReportError: It is cut off, or no simulation was run.
    """
    lines = complete_lines(text)
    rows: dict[str, list[str]] = {}
    borders = [index for index, line in enumerate(lines) if re.fullmatch(r"(\+-+)+\+", line.strip())]
    last = None
    for index, line in enumerate(lines):
        match = re.fullmatch(r"\|\s*(VHDL|Verilog)\s*\|(.+)\|", line.strip())
        if match:
            rows[match[1]] = [cell.strip() for cell in match[2].split("|")]
            last = index
    if last is None or not any(border > last for border in borders):
        raise ReportError("the table of the simulation is missing or cut off")
    simulated = sorted((name for name, row in rows.items() if row[0] != "NA"), key=lambda name: rows[name][0] != "Fail")
    if not simulated:
        raise ReportError("no simulation was run: the status of every language is NA")
    language = simulated[0]  # one that failed, where there are two
    cells = rows[language]
    if cells[0] not in ("Pass", "Fail") or len(cells) < 7:
        raise ReportError(
            f"the row of {language} has the status {cells[0]!r} and {len(cells)} cells; Pass or Fail and 7 are right"
        )
    best, _, worst, _, _, interval = (count(cell) for cell in cells[1:7])
    notes = [f"simulated in {' and '.join(simulated)}"]
    passed = cells[0] == "Pass"
    if passed and worst is None:
        passed = False
        notes.append("the report says Pass without any latency: nothing was simulated")
    if passed and interval is None:
        notes.append("the interval needs more than one call")
    date = re.search(r"^Report time\s*:\s*(.+?)\.?$", text, re.MULTILINE)
    return SynthesisReport(
        kind=KIND, stage=Stage.COSIM, date=date[1].strip() if date else None, latency_cycles=worst,
        latency_min_cycles=best, interval_cycles=interval, passed=passed, notes=tuple(notes),
    )  # fmt: skip
