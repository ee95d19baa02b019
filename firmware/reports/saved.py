"""Reports that jetgate itself kept, as `SynthesisReport.save` writes them."""

from __future__ import annotations

import re

from pydantic import ValidationError

from firmware.reports.report import SynthesisReport
from trigger.errors import ReportError

KIND = "kept by jetgate"


def recognises(text: str) -> bool:
    """Whether a text begins as ours do."""
    return re.match(r'\s*\{\s*"kind": "[^"]*",\s*"stage": ("|null)', text) is not None


def parse(text: str) -> SynthesisReport:
    """Read what was kept.

    Raises:
        ReportError: It is cut off, or was changed to something that is no report.
    """
    try:
        return SynthesisReport.model_validate_json(text)
    except ValidationError as error:
        raise ReportError(f"cut off, or changed: {error.error_count()} entries are wrong") from error
