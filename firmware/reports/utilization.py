"""Vivado's `report_utilization`: flat, and with `-hierarchical`; 7 series to Versal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from firmware.reports.report import Module, Resources, SynthesisReport
from firmware.reports.text import Table, count, number, table_after
from firmware.reports.vivado import is_vivado, listed, notes_of_part, section, vivado_header
from trigger.errors import ReportError

KIND, HIERARCHICAL = "utilization", "utilization by hierarchy"
# Name of each resource's section and of its row, in 7 series, UltraScale and Versal.
_SECTIONS = {
    "logic": ("Slice Logic", "CLB Logic", "Netlist Logic"),
    "memory": ("Memory", "BLOCKRAM"),
    "dsp": ("DSP", "ARITHMETIC"),
}
_LUT = ("Slice LUTs", "CLB LUTs", "LUTs")
_FF = ("Slice Registers", "CLB Registers", "Registers", "Register as Flip Flop")
_DSP = ("DSPs", "DSP Slices")


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return is_vivado(text, "report_utilization", r"^(Utilization Design Information|\d+\. (Slice|CLB|Netlist) Logic)$")


def parse(text: str) -> SynthesisReport:
    """Read the report.

    Raises:
        ReportError: It is cut off, or something that every version writes is missing.
    """
    lines, header = vivado_header(text)
    if listed(lines, "Utilization by Hierarchy"):
        return _hierarchical(lines, header)
    logic, memory, dsp = (_section_table(lines, what, titles) for what, titles in _SECTIONS.items())
    if logic is None:
        raise ReportError(f"the section of logic ({', '.join(_SECTIONS['logic'])}) is missing")
    rows = {"lut": _row(logic, "LUTs", *_LUT), "ff": _row(logic, "registers", *_FF)}
    if dsp is not None:
        rows["dsp"] = _row(dsp, "DSPs", *_DSP)
    if memory is not None:
        rows["bram18"] = _row(memory, "block RAM", "Block RAM Tile")
        # The section lists every kind of memory of a family: without a row there are none.
        rows["uram"] = memory.row("URAM") or {"Used": "0", "Available": "0"}
    used, available = (
        Resources(**{name: (_half_tiles if name == "bram18" else count)(row.get(column)) for name, row in rows.items()})
        for column in ("Used", "Available")
    )
    boxes = (f"a black box, of which nothing is counted: {name}" for name in _counts(lines, "Black Boxes"))
    notes = (*notes_of_part(lines), *boxes)
    return SynthesisReport(
        kind=KIND, **header, used=used, available=available, cells=_counts(lines, "Primitives"),
        notes=notes, whole=not notes,
    )  # fmt: skip


def _section_table(lines: Sequence[str], what: str, titles: tuple[str, ...]) -> Table | None:
    """The table of a section; `None` where the report does not list the section."""
    start = section(lines, *titles)
    if start is not None:
        return table_after(lines, start, what)
    if any(listed(lines, title) for title in titles):
        raise ReportError(f"the section of {what} ({', '.join(titles)}) is missing")
    return None


def _row(table: Table, what: str, *names: str) -> Mapping[str, str]:
    row = table.row(*names)
    if not row:
        raise ReportError(f"there is no row of {what} ({', '.join(names)})")
    if "Used" not in row or "Available" not in row:
        raise ReportError(f"the table of {what} has no column Used or Available")
    if count(row["Used"].split(".")[0]) is None:
        raise ReportError(f"the row of {what} does not say how many are used")
    return row


def _half_tiles(text: str | None) -> int | None:
    """Tiles of 36 kbit, of which a half may be used, in blocks of 18 kbit."""
    tiles = number(text)
    if tiles is None:
        return None
    if 2 * tiles != int(2 * tiles):
        raise ReportError(f"{text!r} is not a number of block RAM tiles and halves")
    return int(2 * tiles)


def _counts(lines: Sequence[str], title: str) -> dict[str, int]:
    """Counts by name, of one of the sections at the end; empty where the report does not list it."""
    table = _section_table(lines, title, (title,))
    if table is None:
        return {}
    if table.names[:2] != ("Ref Name", "Used"):
        raise ReportError(f"the table of {title} has no columns Ref Name and Used")
    return {cells[0].strip(): used for cells in table.rows if (used := count(cells[1])) is not None}


# ---------------------------------------------------------------------------------------------------------- by hierarchy


def _hierarchical(lines: Sequence[str], header: dict[str, Any]) -> SynthesisReport:
    start = section(lines, "Utilization by Hierarchy")
    if start is None:
        raise ReportError("the section 'Utilization by Hierarchy' is missing")
    table = table_after(lines, start, "utilization by hierarchy")
    if not table.rows or table.names[:2] != ("Instance", "Module"):
        raise ReportError("the table of utilization by hierarchy has no rows, or no columns Instance and Module")
    tops = [cells for cells in table.rows if not cells[0][1:].startswith(" ")]
    top, others = (table.rows[0], table.rows[1:]) if len(tops) == 1 else (None, table.rows)
    path: list[str] = []
    modules = []
    for cells in others:
        depth = (len(cells[0]) - len(cells[0].lstrip()) - 1) // 2
        instance = cells[0].strip()
        if re.fullmatch(r"\(.+\)", instance):
            continue  # what a level has besides its instances
        path = [*path[: max(0, depth - (top is not None))], instance]
        modules.append(Module(name=cells[1], instance="/".join(path), used=_by_column(table.names, cells)))
    if "Total LUTs" not in table.names or "FFs" not in table.names:
        raise ReportError("the table of utilization by hierarchy has no column Total LUTs or FFs")
    used = Resources() if top is None else _by_column(table.names, top)
    notes = (*notes_of_part(lines), *(() if top is not None else ("there is no total",)))
    return SynthesisReport(kind=HIERARCHICAL, **header, used=used, modules=tuple(modules), notes=notes, whole=not notes)


def _by_column(names: Sequence[str], cells: Sequence[str]) -> Resources:
    row = dict(zip(names, cells, strict=True))
    dsp = next((row[name] for name in row if name.startswith("DSP")), None)
    full, half = count(row.get("RAMB36")), count(row.get("RAMB18"))
    return Resources(
        lut=count(row.get("Total LUTs")), ff=count(row.get("FFs")), dsp=count(dsp),
        bram18=None if full is None or half is None else 2 * full + half, uram=count(row.get("URAM")),
    )  # fmt: skip
