"""Logs of Vivado HLS, Vitis HLS, `vitis-run`, `v++` and Vivado: tool, version, errors, and whether it came to its end."""

from __future__ import annotations

import re

from firmware.reports.report import SynthesisReport
from trigger.errors import ReportError

KIND = "log"
_BANNER = re.compile(
    r"^\s*(?:\*{4,} *(.+?),?|(?:# )?(Vivado)) v(20[0-9]{2}\.[0-9](?:\.[0-9]+)?)\b", re.MULTILINE | re.IGNORECASE
)
_NAMES = {
    "vivado(tm) hls": "Vivado HLS",
    "vitis hls": "Vitis HLS",
    "hls build": "Vitis HLS",
    "vivado": "Vivado",
    "vitis-run": "vitis-run",
    "v++": "v++",
}
_ERROR = re.compile(r"^\s*((?:CRITICAL )?ERROR|@E)\b")
_ENDED = re.compile(r"(Exiting \w+|Total elapsed time:|Exiting Vivado)", re.IGNORECASE)
SHOWN_ERRORS = 20


def recognises(text: str) -> bool:
    """Whether a text is such a log."""
    return _BANNER.search(text[:3000]) is not None


def parse(text: str) -> SynthesisReport:
    """Read the log; it has no figures of a design, and its errors are in the notes.

    Raises:
        ReportError: It has no banner with the tool and its version, or it ends within a line.
    """
    banner = _BANNER.search(text)
    if banner is None:
        raise ReportError("the banner with the tool and its version is missing")
    if not text.endswith("\n"):
        raise ReportError("it is cut off: it ends within a line")
    spelled = banner[1] or banner[2]
    name = next((name for start, name in _NAMES.items() if spelled.lower().startswith(start)), spelled)
    errors = error_lines(text)
    ended = _ENDED.search("\n".join(text.splitlines()[-40:])) is not None
    notes = [*errors[:SHOWN_ERRORS], f"{len(errors)} errors"] if errors else ["no errors"]
    if not ended:
        notes.append("the log does not come to its end: there may be more")
    return SynthesisReport(kind=KIND, stage=None, tool=name, version=banner[3], notes=tuple(notes))


def error_lines(text: str) -> list[str]:
    """The lines that report an error, in order."""
    return [line.strip() for line in text.splitlines() if _ERROR.match(line)]
