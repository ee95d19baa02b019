"""What can go wrong, by whose fault it is, and the exit status that says so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

EXIT_OK = 0
EXIT_ANSWER_IS_NO = 1
EXIT_WRONG_INPUT = 2
EXIT_TOOL_FAILED = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class JetgateError(Exception):
    """An error with a message for the user; `exit_status` is what the command ends with."""

    exit_status = EXIT_BUG


class InputError(JetgateError):
    """Something the user gave is wrong: a file, a recipe, a model, a sample."""

    exit_status = EXIT_WRONG_INPUT


class UnsupportedError(InputError):
    """A layer, quantiser or option that cannot be represented exactly in firmware."""


class ReportError(InputError):
    """A tool's report that cannot be believed: cut off, of another run, or of no known kind."""


class BitsDifferError(JetgateError):
    """A simulator of a vendor's found outputs that are not the reference's."""

    exit_status = EXIT_ANSWER_IS_NO


class ToolError(JetgateError):
    """A tool is missing or failed.

    Attributes:
        log: The file in which its output was kept, if any.
        status: What it ended with, if it ended by itself.
    """

    exit_status = EXIT_TOOL_FAILED

    def __init__(self, message: str, log: Path | None = None, status: int | None = None) -> None:
        super().__init__(message if log is None else f"{message}\nlog: {log}")
        self.log = log
        self.status = status


def nearest(name: str, choices: Iterable[str], count: int = 3) -> str:
    """The choices most like `name`, quoted and comma-separated, for an error message.

    Falls back to the first choices in sorted order where nothing is similar, so that the message always shows
    what would have been right.
    """
    known = sorted({str(choice) for choice in choices})
    lower = {choice.lower(): choice for choice in known}
    word = name.lower()

    def unlikeness(choice: str) -> tuple[float, int]:
        """Of those that are equally like it, first those that begin like it: 'xcvu13p' for 'xcvu14p', not 'xcvu47p'."""
        begin = next((at for at, (one, other) in enumerate(zip(choice, word, strict=False)) if one != other), len(word))
        return -difflib.SequenceMatcher(None, choice, word).ratio(), -begin

    close = sorted(difflib.get_close_matches(word, list(lower), n=max(1, len(lower)), cutoff=0.5), key=unlikeness)
    close = [lower[match] for match in close[:count]]
    return ", ".join(repr(choice) for choice in close or known[:count]) or "(none)"
