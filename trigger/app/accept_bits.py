"""Chosen thresholds on their way into the firmware: accept bits, written and proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware.decision import Cut, load, prove, remove, write
from firmware.project import FirmwareProject
from trigger.app.console import Reporter
from trigger.app.scored import FirmwareScore, Subject
from trigger.errors import InputError, UnsupportedError
from trigger.verdict import Requirement, not_measured


@dataclass(frozen=True)
class AcceptBits:
    """What became of the thresholds.

    Attributes:
        cuts: The accept bits, in order; none where none were written.
        requirements: Whether every bit is what it has to be, in C++ and in Verilog.
        proof: As JSON would hold it.
    """

    cuts: tuple[Cut, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    proof: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {"cuts": [one.model_dump(mode="json") for one in self.cuts], "proof": self.proof}


def accept_bits(
    subject: Subject, chosen: Sequence[tuple[FirmwareScore, str, int]], wanted: bool, workers: int, report: Reporter
) -> AcceptBits:
    """Write thresholds into the firmware's project as accept bits, and prove them on the physics events that came with it.

    Args:
        subject: The firmware.
        chosen: Score, what its threshold is for (`1_khz`), and the code.
        wanted: Whether the menu asks for it.
        workers: Threads.
        report: Told of progress.

    Raises:
        InputError: The project has no physics events.
    """
    if not wanted or not chosen:
        remove(subject.project)  # those of another menu would be taken for this one's
        return AcceptBits()
    cuts = tuple(
        Cut(
            name=cut_name(score, what),
            output=score.output,
            against=score.against,
            threshold=code,
            condition=score.condition,
        )
        for score, what, code in chosen
    )
    report.say("accept bits in C++ and Verilog")
    try:
        decision = write(subject.project, cuts)
    except UnsupportedError as error:
        return AcceptBits(requirements=(not_measured("bits:decision_cpp", "== 0", required=False, note=str(error)),))
    codes = subject.project.physics_codes()
    if codes is None:
        raise InputError(f"{subject.project.folder}: there are no physics events to compare accept bits on")
    found = prove(subject.project, decision, codes, workers)
    return AcceptBits(cuts, found.requirements(), found.summary())


def bits_of(project: FirmwareProject, workers: int) -> tuple[Requirement, ...]:
    """Whether the accept bits of a project are right; nothing where it has none. Those of other sources are not measured."""
    try:
        decision = load(project)
    except InputError as error:
        return (not_measured("bits:decision_cpp", "== 0", required=True, note=str(error)),)
    if decision is None:
        return ()
    codes = project.physics_codes()
    if codes is None:
        return (not_measured("bits:decision_cpp", "== 0", required=False, note="the project has no physics events"),)
    return prove(project, decision, codes, workers).requirements()


def cut_name(score: FirmwareScore, what: str) -> str:
    """Name of a threshold, the same in firmware, menu and verdict."""
    return f"{score.name}_{what}".replace(".", "_")


def at_rate(khz: float) -> str:
    """What a threshold for a rate is for."""
    return f"{khz:g}_khz"
