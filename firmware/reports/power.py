"""Vivado's `report_power`."""

from __future__ import annotations

import re

from firmware.reports.report import SynthesisReport
from firmware.reports.text import number, table_after
from firmware.reports.vivado import is_vivado, section, vivado_header
from trigger.errors import ReportError

KIND = "power"


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return is_vivado(text, "report_power", r"^Power Report$")


def parse(text: str) -> SynthesisReport:
    """Read the report.

    Raises:
        ReportError: It is cut off, or the total is missing.
    """
    lines, header = vivado_header(text)
    start = section(lines, "Summary")
    if start is None:
        raise ReportError("the section 'Summary' is missing")
    table = table_after(lines, start, "power", header=False)
    values = {cells[0].strip(): cells[1] for cells in table.rows if len(cells) == 2}
    cell = values.get("Total On-Chip Power (W)", "")
    remark = re.search(r"\((.+)\)$", cell)
    total = number(cell[: remark.start()] if remark else cell)
    if total is None:
        raise ReportError("the row 'Total On-Chip Power (W)' is missing or has no number")
    confidence = values.get("Confidence Level")
    notes = [f"confidence in the power: {confidence.lower()}"] if confidence else []
    if remark:
        notes.append(remark[1])
    return SynthesisReport(kind=KIND, **header, power_w=total, notes=tuple(notes))
