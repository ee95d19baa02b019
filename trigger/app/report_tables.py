"""How reports are shown: as tables for a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from firmware.budget import closed
from firmware.reports.report import RESOURCES, SynthesisReport
from trigger.app.comparison import Row
from trigger.decision.efficiency import Estimate
from trigger.verdict import Verdict

NOT_KNOWN = "not known"
SHOWN_MODULES = 12
NARROW = 110
"""Columns of a terminal below which a table that does not fit is shown as lists."""


def report_rows(report: SynthesisReport) -> list[tuple[str, str]]:
    """What a report says, a line a subject."""
    period = "" if report.clock_ns is None else f"{report.clock_ns:g} ns asked for"
    reached = "" if report.achieved_ns is None else f"{report.achieved_ns:g} ns reached"
    slacks = ((report.slack_ns, "setup"), (report.hold_slack_ns, "hold"), (report.pulse_slack_ns, "pulse width"))
    slack = [f"{name} {value:g} ns" for value, name in slacks if value is not None]
    met = {True: "met", False: "NOT MET", None: ""}[report.timing_met]
    latency = [] if report.latency_cycles is None else [f"{report.latency_cycles:,} clocks"]
    if report.latency_ns is not None and report.latency_crossings is not None:
        label = "" if closed(report) else ", timing not closed"
        latency.append(f"{report.latency_ns:,.1f} ns ({report.latency_crossings:.2f} bunch crossings{label})")
    rows = [
        (
            "tool",
            " ".join(filter(None, [report.tool or NOT_KNOWN, report.version, report.date and f"({report.date})"])),
        ),
        ("part", report.part or NOT_KNOWN),
        ("clock", ", ".join(filter(None, [period, reached, met])) or NOT_KNOWN),
        ("slack", ", ".join(slack) or NOT_KNOWN),
        ("latency", ", ".join(latency) or NOT_KNOWN),
        ("interval", NOT_KNOWN if report.interval_cycles is None else f"{report.interval_cycles:,} clocks"),
    ]
    if report.passed is not None:
        rows.append(("test bench", "passed" if report.passed else "FAILED"))
    if report.power_w is not None:
        rows.append(("power", f"{report.power_w:g} W"))
    if report.cells:
        rows.append(("cells", ", ".join(f"{name} {count:,}" for name, count in report.cells.items())))
    return rows + [("note", note) for note in report.notes]


def resource_rows(report: SynthesisReport) -> list[tuple[str, ...]]:
    """Resources: name, used, available, share of the device and of one die."""
    shown: list[tuple[str, ...]] = []
    for name in RESOURCES:
        used, there = report.figure(name), getattr(report.available, name)
        shares = [report.share(name), report.share(name, of_slr=True)]
        shown.append((
            name.upper(), NOT_KNOWN if used is None else f"{used:,g}" if isinstance(used, float) else f"{used:,}",
            NOT_KNOWN if there is None else f"{there:,.0f}",
            *(NOT_KNOWN if share is None else f"{100 * share:.2f} %" for share in shares),
        ))  # fmt: skip
    return shown


def module_rows(report: SynthesisReport) -> list[tuple[str, ...]]:
    """The largest modules: name, latency, interval, resources."""
    largest = sorted(report.modules, key=lambda one: (-(one.used.lut or 0), one.instance, one.name))[:SHOWN_MODULES]
    return [
        (one.instance or one.name, *(NOT_KNOWN if value is None else f"{value:,}" for value in (
            one.latency_cycles, one.interval_cycles, one.used.lut, one.used.ff, one.used.dsp, one.used.bram18)))
        for one in largest
    ]  # fmt: skip


_RESOURCE_COLUMNS = ("resource", "used", "available", "of the device", "of one die")
_MODULE_COLUMNS = ("module", "latency", "interval", "LUT", "FF", "DSP", "BRAM18")


def _title(name: str, report: SynthesisReport) -> str:
    stage = report.stage.label if report.stage else "no stage"
    return f"{name}: {report.design or 'design not known'}, {stage}"


def _more(report: SynthesisReport) -> str:
    return f"{len(report.modules)} modules, the largest {SHOWN_MODULES}; --json has all"


def report_tables(reports: Mapping[str, SynthesisReport]) -> list[Any]:
    """Reports for a terminal: what each says, its resources, its modules."""
    shown: list[Any] = []
    for name, report in reports.items():
        table = Table(title=escape(_title(name, report)), title_justify="left", title_style="bold", show_header=False)
        table.add_column("")
        table.add_column("", overflow="fold")
        for row in report_rows(report):
            table.add_row(*map(escape, row))
        shown.append(table)
        tables: list[tuple[Sequence[str], Sequence[Sequence[str]]]] = []
        if report.used.known:
            tables.append((_RESOURCE_COLUMNS, resource_rows(report)))
        if report.modules:
            tables.append((_MODULE_COLUMNS, module_rows(report)))
        for columns, rows in tables:
            table = Table(header_style="bold")
            for column in columns:
                table.add_column(column, justify="left" if column == columns[0] else "right", overflow="fold")
            for cells in rows:
                table.add_row(*map(escape, cells))
            shown.append(table)
        if len(report.modules) > SHOWN_MODULES:
            shown.append(_more(report))
    return shown


def report_markdown(reports: Mapping[str, SynthesisReport], verdict: Verdict | None) -> str:
    """Reports and a verdict as Markdown, for a merge request or a log book."""
    parts = []
    for name, report in reports.items():
        parts.append(f"## {_title(name, report)}\n\n{_markdown(('', ''), report_rows(report))}")
        if report.used.known:
            parts.append(_markdown(_RESOURCE_COLUMNS, resource_rows(report)))
        if report.modules:
            more = f"\n{_more(report)}\n" if len(report.modules) > SHOWN_MODULES else ""
            parts.append(_markdown(_MODULE_COLUMNS, module_rows(report)) + more)
    if verdict is not None:
        rows = [(one.name, str(one.status), "" if one.figure is None else f"{one.figure:,.10g}", one.limit,
                 "yes" if one.required else "no", one.note) for one in verdict.requirements]  # fmt: skip
        table = _markdown(("requirement", "status", "figure", "limit", "required", "note"), rows)
        parts.append(f"## Verdict: {verdict.overall}\n\n{table}")
    return "\n".join(parts)


@dataclass(frozen=True)
class StudyTable:
    """A table of an offline study for a terminal: where it is narrow and the table wide, a list for each row.

    Attributes:
        title: What it is of.
        columns: Their names.
        rows: A text for each cell.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of it, by the width that there is."""
        table = self._table()
        wide = console.measure(table, options=options.update_width(1000)).maximum
        if options.max_width >= NARROW or wide <= options.max_width:
            yield table
            return
        yield Text(self.title, style="bold")
        for name, *cells in self.rows:
            yield Text(f"  {name}")
            shown = zip(self.columns[1:], cells, strict=True)
            for column, cell in shown:
                if cell not in ("", NOT_KNOWN):
                    yield Padding(Text(f"{column}: {cell}"), (0, 0, 0, 4), expand=False)

    def _table(self) -> Table:
        table = Table(title=escape(self.title), title_justify="left", title_style="bold", header_style="bold")
        for number, column in enumerate(self.columns):
            table.add_column(escape(column), justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table


def study_table(found: Any) -> StudyTable:
    """A table of an offline study, for a terminal, without columns in which nothing is known."""
    rows = [tuple(_cell(cell) for cell in row) for row in found.rows]
    kept = [
        number
        for number in range(len(found.columns))
        if number == 0 or any(row[number] not in ("", NOT_KNOWN) for row in rows)
    ]
    columns = tuple(found.columns[number] for number in kept)
    return StudyTable(found.title, columns, tuple(tuple(row[number] for number in kept) for row in rows))


def _cell(cell: Any) -> str:
    match cell:
        case None:
            return NOT_KNOWN
        case Estimate() if not math.isfinite(cell.value):  # such as a rejection where no background passes
            return NOT_KNOWN
        case Estimate() if not math.isfinite(cell.uncertainty):
            return f"{cell.value:.4g}, uncertainty {NOT_KNOWN}"
        case Estimate():
            return f"{cell.value:.4g} ± {cell.uncertainty:.2g}"
        case int():
            return f"{cell:,}"
        case float() if not math.isfinite(cell):
            return NOT_KNOWN
        case float():
            return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return str(cell)


def comparison_table(names: Sequence[str], rows: Sequence[Row]) -> Table:
    """Runs side by side, for a terminal."""
    table = Table(header_style="bold")
    table.add_column("figure", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row.cells()))
    return table


def comparison_markdown(names: Sequence[str], rows: Sequence[Row]) -> str:
    """The same as Markdown."""
    return _markdown(("figure", *names), [row.cells() for row in rows])


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |\n" for line in lines
    )
