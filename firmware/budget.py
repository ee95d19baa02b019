"""Holding reports to limits, and to an earlier report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from firmware.device import same_part
from firmware.reports.report import RESOURCES, Stage, SynthesisReport
from firmware.target import Budget, Limits, Target
from trigger.errors import InputError
from trigger.verdict import Requirement, at_least, at_most, not_measured

FIGURES = ("latency_ns", "latency_crossings", "latency_cycles", "interval_cycles", "power_w")
"""Figures of a report that may at most be what a limit says, besides resources."""
TOLERANCE = 0.01
"""Share by which a figure may be worse than in an earlier report: less is noise of placement."""
_CLOSED = (Stage.IMPLEMENTATION,)


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        stage: At which stage it holds.
        figure: Attribute of a report, or of its resources.
        bound: The most, for slacks the least; a share where `of` says of what.
        of: `""` for a count, `device` or `SLR` for a share.
        required: Whether it decides.
    """

    stage: Stage
    figure: str
    bound: float
    of: str
    required: bool

    @property
    def name(self) -> str:
        """Name of the requirement."""
        return f"{self.stage}:{self.figure}"

    def judge(self, report: SynthesisReport) -> Requirement:
        """The verdict of one report of this stage; an unknown figure is not measured.

        Raises:
            InputError: The report is of another stage.
        """
        if report.stage is not self.stage:
            raise InputError(f"{self.name} cannot be judged by a report of the stage {report.stage}")
        if not report.whole:
            return self._not_known(f"of a part of the design only: {'; '.join(report.notes)}")
        if self.figure == "slack_ns":
            return at_least(
                self.name, report.worst_slack_ns, self.bound, required=self.required, note=_slack_note(report)
            )
        figure, note = report.figure(self.figure), "; ".join([_tool(report), *_note(self.figure, report)])
        share = report.share(self.figure, of_slr=self.of == "SLR") if self.of else None
        if figure is None or (self.of and share is None):
            return self._not_known(f"not known; {note}")
        if share is None:
            return at_most(self.name, figure, self.bound, required=self.required, note=note)
        found = at_most(
            self.name, 100 * share, 100 * self.bound, required=self.required, note=f"{figure:,g} used; {note}"
        )
        return found.model_copy(update={"limit": self._limit()})

    def missing(self) -> Requirement:
        """The verdict where there is no report of this stage."""
        return self._not_known(f"no report of this stage: {self.stage.label}")

    def _not_known(self, note: str) -> Requirement:
        return not_measured(self.name, self._limit(), required=self.required, note=note)

    def _limit(self) -> str:
        if self.of:
            return f"<= {100 * self.bound:g} % of the {self.of}"
        return f"{'>=' if self.figure == 'slack_ns' else '<='} {self.bound:g}"


def limits(budget: Budget) -> tuple[Limit, ...]:
    """Every limit of a budget."""
    found = []
    for stage in Stage:
        given: Limits | None = getattr(budget, stage.value, None)
        if given is None:
            continue
        for figure in (*FIGURES, "slack_ns", *RESOURCES):
            bound = getattr(given, figure)
            if bound is None:
                continue
            match = re.match(r"([\d.]+)\s*%\s*(SLR)?", bound) if isinstance(bound, str) else None
            if match is None:
                found.append(Limit(stage, figure, float(bound), "", given.required))
            else:
                found.append(Limit(stage, figure, float(match[1]) / 100, match[2] or "device", given.required))
    return tuple(found)


def judge(
    target: Target, reports: Mapping[str, SynthesisReport], stages: Iterable[Stage] = tuple(Stage)
) -> tuple[Requirement, ...]:
    """Every limit of a target's budget, held to each report of its stage that knows the figure.

    Args:
        target: Whose budget.
        reports: By what they are called.
        stages: Those whose limits are asked for.
    """
    wanted = set(stages)
    found = []
    for limit in limits(target.budget):
        if limit.stage not in wanted:
            continue
        mine = {name: one for name, one in reports.items() if one.stage is limit.stage}
        knowing = {name: one for name, one in mine.items() if one.figure(limit.figure) is not None}
        if not knowing:
            found.append(limit.judge(next(iter(mine.values()))) if mine else limit.missing())
        for name, one in knowing.items():
            verdict = limit.judge(one)
            found.append(
                verdict if len(knowing) == 1 else verdict.model_copy(update={"note": f"{name}: {verdict.note}"})
            )
    return tuple(found)


def regressions(now: SynthesisReport, before: SynthesisReport, tolerance: float = TOLERANCE) -> tuple[Requirement, ...]:
    """Each figure that both reports know, which may not have become worse.

    Args:
        now: The new report.
        before: The earlier one.
        tolerance: Share by which a figure may be worse; for slacks, of the clock period.

    Raises:
        InputError: They are of different stages or parts: such figures cannot be compared.
    """
    if now.stage is not before.stage or now.stage is None:
        raise InputError(f"a report of the stage {now.stage} cannot be compared with one of the stage {before.stage}")
    if now.part and before.part and not same_part(now.part, before.part):
        raise InputError(f"a report for {now.part} cannot be compared with one for {before.part}")
    found = []
    for figure in (*FIGURES, *RESOURCES):
        earlier = before.figure(figure)
        if figure in ("bram36", "latency_crossings") or earlier is None:  # the first two follow from others
            continue
        note = f"{earlier:,g} before, {100 * tolerance:g} % more is tolerated"
        found.append(
            at_most(f"baseline:{now.stage}:{figure}", now.figure(figure), earlier * (1 + tolerance), note=note)
        )
    if before.worst_slack_ns is not None:
        margin = tolerance * (before.clock_ns or 0.0)
        found.append(at_least(
            f"baseline:{now.stage}:slack_ns", now.worst_slack_ns, round(before.worst_slack_ns - margin, 6),
            note=f"{before.worst_slack_ns:g} ns before, {100 * tolerance:g} % of the clock period less is tolerated",
        ))  # fmt: skip
    if not found:
        raise InputError("the earlier report has no figure to compare with")
    return tuple(found)


def _tool(report: SynthesisReport) -> str:
    stage = report.stage.label if report.stage else "stage not known"
    return " ".join([stage, "by", report.tool or "an unknown tool", *([report.version] if report.version else [])])


def _note(figure: str, report: SynthesisReport) -> list[str]:
    if (
        figure in ("latency_ns", "latency_crossings")
        and report.latency_cycles is not None
        and report.clock_ns is not None
    ):
        closed = report.stage in _CLOSED and report.timing_met
        return [f"{report.latency_cycles} x {report.clock_ns:g} ns" + ("" if closed else ": timing not closed")]
    if figure == "lut" and report.stage is Stage.OPEN:
        return [note for note in report.notes if "share" in note]
    return []


def _slack_note(report: SynthesisReport) -> str:
    slacks = (("setup", report.slack_ns), ("hold", report.hold_slack_ns), ("pulse width", report.pulse_slack_ns))
    known = ", ".join(f"{name} {slack:g}" for name, slack in slacks if slack is not None)
    return f"ns; {known}; {_tool(report)}" if known else f"not known; {_tool(report)}"
