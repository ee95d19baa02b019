"""`<top>_csynth.rpt`, a module's report, and `csynth.rpt`, the summary of all modules, of Vivado HLS and Vitis HLS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from firmware.reports.csynth_xml import hls_slack
from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.text import complete_lines, count, duration_ns, find_line, header_fields, number, table_after
from trigger.errors import ReportError

KIND, SUMMARY = "csynth.rpt", "csynth.rpt summary"
_TITLE = re.compile(r"== (?:(Vivado|Vitis) HLS|Synthesis Summary) Report (?:for|of) '(.+)'")


def recognises(text: str) -> bool:
    """Whether a text is such a report."""
    return _TITLE.search(text[:2000]) is not None


def parse(text: str) -> SynthesisReport:
    """Read the report of a module or the summary.

    Raises:
        ReportError: It is cut off, or something that every version writes is missing.
    """
    lines = complete_lines(text)
    title = _TITLE.search("\n".join(lines[:20]))
    if title is None:
        raise ReportError("the title, '== Vivado HLS Report for ...', is missing")
    body = find_line(lines, r"={20,}", find_line(lines, "== ") or 0)
    headers = header_fields(lines[: 40 if body is None else body + 14])
    for name in ("Version", "Target device", "Date"):
        if name not in headers:
            raise ReportError(f"the line '* {name}:' is missing")
    general = {
        "version": headers["Version"].split()[0], "design": title[2], "part": headers["Target device"], "date": headers["Date"],
    }  # fmt: skip
    return _module_report(lines, title[1], general) if title[1] else _summary(lines, general)


# ------------------------------------------------------------------------------------------------------ a module's report


def _module_report(lines: Sequence[str], compiler: str, general: Mapping[str, str]) -> SynthesisReport:
    timing = table_after(lines, _section(lines, r"\+ Timing"), "timing")
    if not timing.rows:
        raise ReportError("the table of timing has no clock")
    clock, estimated, uncertainty = (duration_ns(cell) for cell in timing.rows[0][1:4])
    latency = table_after(lines, _section(lines, r"\+ Latency"), "latency")
    best, worst, elapsed, interval, pipeline = _latency_row(latency.rows[0] if latency.rows else (), latency.names)
    if elapsed is None and worst is not None and clock is not None:
        elapsed = round(worst * clock, 6)
    used = table_after(lines, _section(lines, r"== Utilization Estimates"), "utilization")
    totals = {
        name: _resources(used.row(name))
        for name in ("Total", "Available", "Available SLR")
    }  # fmt: skip
    for name in ("Total", "Available"):
        if totals[name].lut is None:
            raise ReportError(f"the table of utilization has no row {name!r}")
    return SynthesisReport(
        kind=KIND, stage=Stage.HLS, tool=f"{compiler} HLS", **general, clock_ns=clock, achieved_ns=estimated,
        slack_ns=hls_slack(clock, uncertainty, estimated), latency_cycles=worst, latency_min_cycles=best,
        latency_ns=elapsed, interval_cycles=interval, used=totals["Total"], available=totals["Available"],
        available_slr=totals["Available SLR"], modules=_instances(lines), notes=(f"pipeline: {pipeline}",) if pipeline else (),
    )  # fmt: skip


def _section(lines: Sequence[str], pattern: str) -> int:
    found = find_line(lines, pattern)
    if found is None:
        raise ReportError(f"the section {pattern.replace(chr(92), '').lstrip('+= ')!r} is missing")
    return found


def _latency_row(
    cells: Sequence[str], names: Sequence[str]
) -> tuple[int | None, int | None, float | None, int | None, str]:
    """Best and worst latency, worst latency in nanoseconds, worst interval, and the kind of pipeline, of a row's last cells.

    Versions up to 2019.1 have no latency in time: then there are five cells and not seven.
    """
    timed = any("absolute" in name for name in names)
    wanted = 7 if timed else 5
    if len(cells) < wanted:
        raise ReportError(f"the table of latency has a row of {len(cells)} cells, {wanted} are right")
    best, worst, *rest, _, interval, pipeline = cells[-wanted:]
    return count(best), count(worst), duration_ns(rest[1]) if timed else None, count(interval), pipeline.strip()


def _resources(row: Mapping[str, str]) -> Resources:
    dsp = next((row[name] for name in row if name.startswith("DSP")), None)
    return Resources(
        lut=count(row.get("LUT")), ff=count(row.get("FF")), dsp=count(dsp),
        bram18=count(row.get("BRAM_18K", row.get("BRAM"))), uram=count(row.get("URAM")),
    )  # fmt: skip


def _instances(lines: Sequence[str]) -> tuple[Module, ...]:
    """The instances of the detail tables: latencies from one, resources from the other."""
    starts = [index for index, line in enumerate(lines) if line.strip() == "* Instance:"]
    if len(starts) < 2:
        raise ReportError("one of the two lists of instances is missing")
    performance: dict[tuple[str, str], Sequence[str]] = {}
    names: Sequence[str] = ()
    resources: dict[tuple[str, str], Resources] = {}
    for which, start in enumerate(starts[:2]):
        if start + 1 >= len(lines):
            raise ReportError("a list of instances is cut off")
        if lines[start + 1].strip() == "N/A":
            continue
        table = table_after(lines, start, "instances", within=2)
        for cells in table.rows:
            key = (cells[0].strip(), cells[1])
            if which == 0:
                performance[key], names = cells, table.names
            elif key[0] != "Total":
                resources[key] = _resources(dict(zip(table.names, cells, strict=True)))
    modules = []
    for key in performance.keys() | resources.keys():
        _, worst, _, interval, _ = _latency_row(performance[key], names) if key in performance else (None,) * 5
        modules.append(Module(
            name=key[1], instance=key[0], latency_cycles=worst, interval_cycles=interval, used=resources.get(key, Resources())
        ))  # fmt: skip
    return tuple(sorted(modules, key=lambda one: (one.instance, one.name)))


# -------------------------------------------------------------------------------------------------------------- summary


def _summary(lines: Sequence[str], general: Mapping[str, str]) -> SynthesisReport:
    table = table_after(
        lines, _section(lines, r"\+ Performance & Resource Estimates"), "performance and resources", within=8
    )
    if not table.rows:
        raise ReportError("the table of performance and resources has no rows")
    rows = [dict(zip(table.names, cells, strict=True)) for cells in table.rows]
    top, *others = rows
    first = table.names[0]
    return SynthesisReport(
        kind=SUMMARY, stage=Stage.HLS, tool="Vitis HLS", **general, slack_ns=number(_column(top, "Slack")),
        latency_cycles=count(_column(top, "Latency (cycles)")), latency_ns=duration_ns(_column(top, "Latency (ns)")),
        interval_cycles=count(_column(top, "Interval")), used=_resources(top),
        modules=tuple(
            Module(name=_plain(row[first]), latency_cycles=count(_column(row, "Latency (cycles)")),
                   interval_cycles=count(_column(row, "Interval")), used=_resources(row))
            for row in others if row[first].strip().startswith("+")
        ),
        notes=tuple(f"{_plain(row[first])}: the tool reports a violation: {issue}" for row in rows
                    if (issue := _column(row, "Issue Type")) not in ("", "-")),
    )  # fmt: skip


def _plain(name: str) -> str:
    """A module's name without the mark of its kind and the star of one with a dataflow."""
    return name.strip().lstrip("+").strip().rstrip("*").strip()


def _column(row: Mapping[str, str], ending: str) -> str:
    found = [cell for name, cell in row.items() if name.endswith(ending)]
    if not found:
        raise ReportError(f"the table of performance and resources has no column {ending!r}")
    return found[0]
