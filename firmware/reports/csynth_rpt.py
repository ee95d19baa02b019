"""`<top>_csynth.rpt`, a module's report, and `csynth.rpt`, the summary of all modules, of Vivado HLS and Vitis HLS."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from firmware.reports.csynth_xml import hls_elapsed, hls_slack
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
    if not timing.rows or timing.names[1:] != ("Target", "Estimated", "Uncertainty"):
        raise ReportError("the table of timing has no clock, or no columns Target, Estimated and Uncertainty")
    clock, estimated, uncertainty = (duration_ns(cell) for cell in timing.rows[0][1:])
    latency = table_after(lines, _section(lines, r"\+ Latency"), "latency")
    best, worst, elapsed, interval, pipeline = _latency_row(latency.rows[0] if latency.rows else (), latency.names)
    elapsed = hls_elapsed(worst, clock, estimated) if elapsed is None else elapsed
    used = table_after(lines, _section(lines, r"== Utilization Estimates"), "utilization")
    totals = {
        name: _resources(used.row(name))
        for name in ("Total", "Available", "Available SLR")
    }  # fmt: skip
    for name in ("Total", "Available"):
        if totals[name].lut is None:
            raise ReportError(f"the row {name!r} of the table of utilization is missing, or its LUT")
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


_Latency = tuple[int | None, int | None, float | None, int | None, str]
_NO_LATENCY: _Latency = (None, None, None, None, "")


def _latency_row(cells: Sequence[str], names: Sequence[str]) -> _Latency:
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
    found: dict[tuple[str, str], tuple[list[_Latency], list[Resources]]] = defaultdict(lambda: ([], []))
    for which, start in enumerate(starts[:2]):
        if start + 1 >= len(lines):
            raise ReportError("a list of instances is cut off")
        if lines[start + 1].strip() == "N/A":
            continue
        table = table_after(lines, start, "instances", within=2)
        for cells in table.rows:
            key = (cells[0].strip(), cells[1])
            if which == 0:
                found[key][0].append(_latency_row(cells, table.names))
            elif key[0] != "Total":
                found[key][1].append(_resources(dict(zip(table.names, cells, strict=True))))
    modules = []
    for (instance, name), (latencies, resources) in sorted(found.items()):
        if max(len(latencies), len(resources)) == 1:
            pairs = list(zip_longest(latencies, resources))
        else:  # of the same name, so which figures belong together is not known
            pairs = [*((latency, None) for latency in latencies), *((None, used) for used in resources)]
        for latency, used in pairs:
            _, worst, _, interval, _ = latency or _NO_LATENCY
            modules.append(Module(
                name=name, instance=instance, latency_cycles=worst, interval_cycles=interval, used=used or Resources()
            ))  # fmt: skip
    return tuple(modules)


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
    elapsed = _column(top, "Latency (ns)")
    notes = ["the latency in time is rounded to four digits"] if "e" in elapsed else []
    notes += [f"{_plain(row[first])}: the tool reports a violation: {issue}" for row in rows
              if (issue := _column(row, "Issue Type")) not in ("", "-")]  # fmt: skip
    return SynthesisReport(
        kind=SUMMARY, stage=Stage.HLS, tool="Vitis HLS", **general, slack_ns=number(_column(top, "Slack")),
        latency_cycles=count(_column(top, "Latency (cycles)")), latency_ns=duration_ns(elapsed),
        interval_cycles=count(_column(top, "Interval")), used=_resources(top),
        modules=tuple(
            Module(name=_plain(row[first]), latency_cycles=count(_column(row, "Latency (cycles)")),
                   interval_cycles=count(_column(row, "Interval")), used=_resources(row))
            for row in others if row[first].strip().startswith("+")
        ),
        notes=tuple(notes),
    )  # fmt: skip


def _plain(name: str) -> str:
    """A module's or a loop's name without the mark of its kind and the star of one with a dataflow."""
    return re.sub(r"^[+o]\s+", "", name.strip()).rstrip("*").strip()


def _column(row: Mapping[str, str], ending: str) -> str:
    found = [cell for name, cell in row.items() if name.endswith(ending)]
    if not found:
        raise ReportError(f"the table of performance and resources has no column {ending!r}")
    return found[0]
