"""Which kind of report a file is, and everything that a folder holds."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from firmware.reports import cosim, csynth_rpt, csynth_xml, export_xml, log, power, saved, timing, utilization, yosys
from firmware.reports.report import SynthesisReport
from trigger.errors import ReportError

KINDS: tuple[ModuleType, ...] = (
    export_xml, csynth_xml, csynth_rpt, cosim, utilization, timing, power, yosys, saved, log,
)  # fmt: skip
"""One module a kind, each with `KIND`, `recognises` and `parse`; the first that recognises a text reads it."""
SUFFIXES = (".xml", ".rpt", ".log", ".json", ".txt")
MAX_BYTES = 200 << 20


def kind_of(text: str) -> ModuleType | None:
    """The module that reads a text; `None` where it is no report."""
    return next((one for one in KINDS if one.recognises(text)), None)


def parse_report(text: str, name: str) -> SynthesisReport:
    """Read a report of any kind.

    Args:
        text: The whole file.
        name: What messages call it.

    Raises:
        ReportError: It is of no known kind, cut off, or not what its kind is.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = kind_of(text)
    if found is None and re.search(r"<(AutoPilot:project|Project)\b", text[:2000]):
        raise ReportError(f"{name}: the description of a project, which has no figures, and not a report")
    if found is None:
        known = ", ".join(one.KIND for one in KINDS)
        raise ReportError(f"{name}: not a report that is known, or its head is missing; known are {known}")
    try:
        report: SynthesisReport = found.parse(text)
    except ReportError as error:
        raise ReportError(f"{name}: {found.KIND}: {error}") from error
    return report


def read_report(path: Path) -> SynthesisReport:
    """Read a file.

    Raises:
        ReportError: See `parse_report`; or the file cannot be read.
    """
    return parse_report(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReportError(f"{path}: larger than {MAX_BYTES >> 20} MiB: this is no report")
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise ReportError(f"{path}: no such file") from error
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from error


def reports_in(folder: Path) -> dict[Path, SynthesisReport]:
    """Every report below a folder by its path, in order. Other files and hidden folders are passed over, and of two that say the
    same, as `csynth.xml` and `<top>_csynth.xml` do, the one with fewer modules.

    Raises:
        ReportError: One of them is cut off, or there is none.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            text = _text(path)
            if kind_of(text) is not None:
                found[path] = parse_report(text, str(path))
    if not found:
        raise ReportError(f"{folder}: there is no report in it; reports end with {', '.join(SUFFIXES)}")
    best: dict[str, Path] = {}
    for path, report in sorted(found.items(), key=lambda one: -len(one[1].modules)):
        best.setdefault(f"{path.parent} {report.model_dump_json(exclude={'modules', 'notes', 'date'})}", path)
    return {path: report for path, report in found.items() if path in best.values()}
