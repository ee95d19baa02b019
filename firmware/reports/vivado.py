"""What Vivado's reports have in common: the header and numbered sections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from firmware.reports.report import Stage
from firmware.reports.text import complete_lines, find_line, header_fields
from trigger.errors import ReportError

_STAGES = (
    ("partially routed", Stage.PLACEMENT),
    ("partially placed", Stage.SYNTHESIS),
    ("routed", Stage.IMPLEMENTATION),
    ("postroute", Stage.IMPLEMENTATION),
    ("placed", Stage.PLACEMENT),
    ("postplace", Stage.PLACEMENT),
    ("synthesized", Stage.SYNTHESIS),
    ("optimized", Stage.SYNTHESIS),
)


def is_vivado(text: str, command: str, heading: str) -> bool:
    """Whether a text is Vivado's report of some command, by its header or, where that is left out, by a heading."""
    head = text[:10_000]
    if re.search(r"^\| Tool Version\s*: Vivado", head, re.MULTILINE) is None:
        return False
    named = re.search(r"^\| Command\s*: (\w+)", head, re.MULTILINE)
    return named[1] == command if named else re.search(heading, head, re.MULTILINE) is not None


def vivado_header(text: str) -> tuple[list[str], dict[str, Any]]:
    """The complete lines of a report, and what its header says, as fields of a `SynthesisReport`.

    Raises:
        ReportError: The header is cut off, or the version or the state of the design is not known.
    """
    lines = complete_lines(text)
    heads = [index for index, line in enumerate(lines) if line.startswith("| Tool Version")]
    end = find_line(lines, r"-{10,}", heads[0]) if heads else None  # a long command may go on in a line without a bar
    if end is None:
        raise ReportError("the header is missing or cut off")
    if len(heads) > 1:
        raise ReportError(f"{len(heads)} reports in one file, from the lines {', '.join(str(n + 1) for n in heads)}")
    first = heads[0]
    fields = header_fields(lines[first:end])
    version = re.match(r"Vivado v\.(\S+)", fields.get("Tool Version", ""))
    if version is None or "Design" not in fields:
        raise ReportError("the header does not name Vivado's version and the design")
    state = fields.get("Design State")  # not in 2014
    return lines, {
        "tool": "Vivado", "version": version[1], "date": fields.get("Date"), "design": fields["Design"],
        "part": _part(fields), "stage": None if state is None else stage_of(state),
    }  # fmt: skip


def _part(fields: dict[str, str]) -> str | None:
    """The part with its speed grade, where the report has it in a line of its own."""
    part, grade = fields.get("Device"), fields.get("Speed File", "").split()
    return None if part is None else part if not grade or grade[0] in part else part + grade[0]


def stage_of(state: str) -> Stage:
    """The stage of a state of the design, such as `Fully Placed` or `Physopt postRoute`.

    Raises:
        ReportError: It is not known.
    """
    for word, stage in _STAGES:
        if re.search(rf"\b{word}\b", state.lower()):
            return stage
    raise ReportError(
        f"the state of the design {state!r} is not known; known are Synthesized, Optimized, Placed, Routed"
    )


def section(lines: Sequence[str], *titles: str) -> int | None:
    """Index of the line of the heading `N. title`, underlined, of the first title that is there; `None` where none is."""
    for title in titles:
        for index, line in enumerate(lines[:-1]):
            if re.fullmatch(rf"[\d.]+ {title}\s*", line) and re.fullmatch(r"-{3,}\s*", lines[index + 1]):
                return index
    return None


def listed(lines: Sequence[str], title: str) -> bool:
    """Whether the table of contents lists a section."""
    return any(re.fullmatch(rf"[\d.]+ {title}\s*", line) for line in lines)


def notes_of_part(lines: Sequence[str]) -> tuple[str, ...]:
    """A note where a report was asked for some cells or regions, and so is not of the whole design."""
    command = next((line for line in lines if line.startswith("| Command")), "")
    found = re.search(r"\s-(cells|pblocks)\b[^|]*", command)
    return () if found is None else (f"of a part of the design only: {found[0].strip()}",)
