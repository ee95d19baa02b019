"""Requirements and the verdict over them: the sentence every run ends with."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, computed_field

from trigger.errors import EXIT_ANSWER_IS_NO, EXIT_OK, EXIT_TOOL_FAILED
from trigger.files import read_json, write_json


class Status(StrEnum):
    """What is known of one requirement."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_MEASURED = "NOT MEASURED"


class Overall(StrEnum):
    """What is known of all that is required."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCOMPLETE = "INCOMPLETE"


class Requirement(BaseModel):
    """One thing that was asked and what was found.

    Attributes:
        name: Stable, beginning with its subject: `bits:cpp`, `physics:accuracy_loss`.
        status: PASS, FAIL or NOT MEASURED.
        figure: What was measured; `None` where nothing was.
        limit: What it is held to, as a sentence such as `<= 0.015`.
        required: Whether it decides. What is not required is shown and does not decide.
        uncertainty: One standard deviation of the figure, where it has one.
        note: What a reader needs to judge the figure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    status: Status
    figure: float | int | None
    limit: str
    required: bool
    uncertainty: float | None = None
    note: str = ""


def at_most(
    name: str, figure: float | int | None, limit: float, *, required: bool = True, uncertainty: float | None = None,
    note: str = "",
) -> Requirement:  # fmt: skip
    """A requirement that `figure` does not exceed `limit`; `None` is NOT MEASURED, NaN fails."""
    return _held_to(
        name, figure, f"<= {limit:.10g}", figure is not None and figure <= limit, required, uncertainty, note
    )


def at_least(
    name: str, figure: float | int | None, limit: float, *, required: bool = True, uncertainty: float | None = None,
    note: str = "",
) -> Requirement:  # fmt: skip
    """A requirement that `figure` reaches `limit`; `None` is NOT MEASURED, NaN fails."""
    return _held_to(
        name, figure, f">= {limit:.10g}", figure is not None and figure >= limit, required, uncertainty, note
    )


def equal_to(name: str, figure: int | None, limit: int, *, required: bool = True, note: str = "") -> Requirement:
    """A requirement that an integer is exactly another one; `None` is NOT MEASURED."""
    return _held_to(name, figure, f"== {limit}", figure == limit, required, None, note)


def not_measured(name: str, limit: str, *, required: bool, note: str) -> Requirement:
    """A requirement that nothing was measured for, and why."""
    return Requirement(name=name, status=Status.NOT_MEASURED, figure=None, limit=limit, required=required, note=note)


def _held_to(
    name: str, figure: float | int | None, limit: str, good: bool, required: bool, uncertainty: float | None, note: str
) -> Requirement:
    if figure is None:
        return not_measured(name, limit, required=required, note=note)
    if not math.isfinite(figure):
        note = f"the figure is {figure}; {note}".rstrip("; ")
        return Requirement(name=name, status=Status.FAIL, figure=None, limit=limit, required=required, note=note)
    status = Status.PASS if good else Status.FAIL
    return Requirement(
        name=name, status=status, figure=figure, limit=limit, required=required, uncertainty=uncertainty, note=note
    )


class Verdict(BaseModel):
    """A list of requirements and what follows from them."""

    model_config = ConfigDict(frozen=True)

    requirements: tuple[Requirement, ...]
    synthetic: bool = False

    @computed_field  # type: ignore[prop-decorator]
    @property
    def overall(self) -> Overall:
        """PASS when all that is required passed, FAIL when one failed, INCOMPLETE when one was not measured."""
        required = [requirement.status for requirement in self.requirements if requirement.required]
        if Status.FAIL in required:
            return Overall.FAIL
        if Status.NOT_MEASURED in required or not required:
            return Overall.INCOMPLETE
        return Overall.PASS

    @property
    def exit_status(self) -> int:
        """0 for PASS, 1 for FAIL, 3 where a required figure was not measured."""
        return {Overall.PASS: EXIT_OK, Overall.FAIL: EXIT_ANSWER_IS_NO, Overall.INCOMPLETE: EXIT_TOOL_FAILED}[
            self.overall
        ]

    def save(self, path: Path) -> None:
        """Write the verdict, `overall` included, as JSON."""
        content = self.model_dump(mode="json")
        write_json(path, {"overall": content.pop("overall"), **content})

    @classmethod
    def load(cls, path: Path) -> Verdict:
        """Read a saved verdict; `overall` is derived anew."""
        content = read_json(path)
        content.pop("overall", None)
        return cls.model_validate(content)
