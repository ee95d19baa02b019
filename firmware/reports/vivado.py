"""What Vivado's reports have in common: the header and numbered sections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from firmware.reports.report import Stage
from firmware.reports.text import complete_lines, find_line, header_fields
from trigger.errors import ReportError

_STAGES = (
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
    first = find_line(lines, r"\| Tool Version") or 0
    end = find_line(lines, r"(?!\|)", first)
    if end is None or not lines[first].startswith("|"):
        raise ReportError("the header is missing or cut off")
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
        if word in state.lower():
            return stage
    raise ReportError(
        f"the state of the design {state!r} is not known; known are Synthesized, Optimized, Placed, Routed"
    )


def section(lines: Sequence[str], *titles: str) -> int | None:
    """Index of the line of the heading `N. title`, underlined, of the first title that is there; `None` where none is."""
    for title in titles:
        for index, line in enumerate(lines[:-1]):
            if re.fullmatch(rf"[\d.]+ {title}", line) and re.fullmatch(r"-{3,}", lines[index + 1]):
                return index
    return None


def listed(lines: Sequence[str], title: str) -> bool:
    """Whether the table of contents lists a section."""
    return any(re.fullmatch(rf"[\d.]+ {title}", line) for line in lines)
