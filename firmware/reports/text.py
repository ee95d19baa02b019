"""Reading vendors' text: boxed tables, numbers that may be unknown, durations in any unit, headings.

A report that was cut off must not give a wrong number, so a table counts only with its last border, and a line only with
its end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trigger.errors import ReportError

UNKNOWN = ("", "-", "?", "na", "n/a", "undef", "x", "~0", "none", "inf", "-inf")
"""What tools write where they do not know."""
_UNBOUNDED = (2**32 - 1, 2**64 - 1)
"""-1 in 32 or 64 bits without sign: no interval was asked for, or none is known."""
_LARGEST_DIGITS = 20
_UNITS_NS = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9}
_BORDER = re.compile(r"\s*\+(-+\+)+\s*$")


def count(text: str | None) -> int | None:
    """A count, without the share behind it (`1725 (~0%)`, `788(45.61%)`) and without thousands separators.

    Raises:
        ReportError: It is neither a count nor one of the spellings of unknown.
    """
    cleaned = re.sub(r"\s*\([^)]*\)$", "", (text or "").strip())
    if cleaned.lower() in UNKNOWN:
        return None
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+", cleaned):
        cleaned = cleaned.replace(",", "")
    if not re.fullmatch(rf"[0-9]{{1,{_LARGEST_DIGITS}}}", cleaned):
        raise ReportError(f"{text!r} is not a count")
    value = int(cleaned)
    return None if value in _UNBOUNDED else value


def number(text: str | None) -> float | None:
    """A number without a unit.

    Raises:
        ReportError: It is neither a number nor one of the spellings of unknown.
    """
    cleaned = (text or "").strip()
    if cleaned.lower() in UNKNOWN:
        return None
    found = re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", cleaned)
    if found is None or not math.isfinite(float(cleaned)):
        raise ReportError(f"{text!r} is not a number")
    return float(cleaned)


def duration_ns(text: str | None, unit: str = "ns") -> float | None:
    """A duration in nanoseconds, from `50.000 ns`, `1.2 us` or a bare number in `unit`.

    Raises:
        ReportError: It is not a duration, or in a unit that is not known.
    """
    words = (text or "").split()
    if len(words) == 2:
        words, unit = words[:1], words[1]
    value = number(" ".join(words))
    if unit not in _UNITS_NS:
        raise ReportError(f"{text!r}: the unit {unit!r} is not one of {', '.join(_UNITS_NS)}")
    return None if value is None else round(value * _UNITS_NS[unit], 6)


def complete_lines(text: str) -> list[str]:
    """The lines that have their end; one that was cut off is left out."""
    return text.split("\n")[:-1]  # not `splitlines`, which also splits at form feeds and other letters


@dataclass(frozen=True)
class Table:
    """A table between borders.

    Attributes:
        names: Header of each column, what stands above each other joined by a blank; empty where the table has none.
        rows: Cells of the rows; the first cell keeps the blanks before it, which may show a hierarchy.
        end: Index of the line after the table.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    end: int

    def row(self, *beginnings: str) -> dict[str, str]:
        """The first row whose first cell, without its footnote mark, is one of `beginnings`; empty where there is none."""
        for cells in self.rows:
            if cells[0].strip().rstrip("*").strip() in beginnings:
                return dict(zip(self.names, cells, strict=True))
        return {}


def table_after(lines: Sequence[str], start: int, what: str, within: int = 6, header: bool = True) -> Table:
    """The table that begins in one of the next lines.

    Args:
        lines: Complete lines.
        start: Where to look from.
        what: What it is called in messages.
        within: How many lines may stand before it.
        header: Whether its first lines name its columns.

    Raises:
        ReportError: There is none, it has no end, or a row has too few or too many cells.
    """
    for index in range(start, min(start + within, len(lines))):
        if _BORDER.match(lines[index]):
            return _read_table(lines, index, what, header)
    raise ReportError(f"the table of {what} is missing")


def _read_table(lines: Sequence[str], first: int, what: str, with_header: bool) -> Table:
    border = lines[first].strip()
    edges = [index for index, letter in enumerate(lines[first].rstrip()) if letter == "+"]
    groups: list[list[str]] = [[]]
    index = first + 1
    while index < len(lines) and lines[index].strip().startswith(("|", "+")):
        if _BORDER.match(lines[index]):
            groups.append([])
        else:
            groups[-1].append(lines[index].rstrip())
        index += 1
    empty = (
        with_header and len(groups) == 2
    )  # a table without rows has one border after its header, as one cut off there
    if lines[index - 1].strip() != border or len(groups) < 2 or (empty and index == len(lines)):
        raise ReportError(f"the table of {what} is cut off after line {index}")
    names = _column_names(groups.pop(0) if with_header else [], edges)
    rows = [_cells(line, len(edges) - 1, what) for group in groups for line in group]
    return Table(names, tuple(rows), index)


def _cells(line: str, columns: int, what: str) -> tuple[str, ...]:
    cells = line.strip()[1:-1].split("|")
    if len(cells) != columns or not line.endswith("|"):
        raise ReportError(
            f"a row of the table of {what} has {len(cells)} cells, its header {columns}: {line.strip()!r}"
        )
    return (cells[0].rstrip(), *(cell.strip() for cell in cells[1:]))


def _column_names(header: list[str], edges: list[int]) -> tuple[str, ...]:
    """Names by column; a name that spans several columns is taken by each of them."""
    names = [""] * (len(edges) - 1)
    for line in header:
        bars = [index for index, letter in enumerate(line) if letter == "|"]
        for left, right in pairwise(bars):
            words = " ".join(line[left + 1 : right].split())
            for column, (begin, end) in enumerate(pairwise(edges)):
                if left <= begin and end <= right and words:
                    names[column] = f"{names[column]} {words}".strip()
    return tuple(names)


def find_line(lines: Sequence[str], pattern: str, start: int = 0) -> int | None:
    """Index of the first line that a regular expression matches from its beginning, or `None`."""
    matcher = re.compile(pattern)
    return next((index for index in range(start, len(lines)) if matcher.match(lines[index])), None)


def header_fields(lines: Sequence[str], separator: str = ":") -> dict[str, str]:
    """`| Name : value` or `* Name: value` lines, by name; the first of each."""
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(rf"\s*[|*]\s*([A-Za-z][\w ]*?)\s*{separator}\s+(\S.*?)\s*$", line)
        if match:
            found.setdefault(match[1], match[2])
    return found
