"""Holding reports to limits, and to an earlier report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from firmware.device import find_device, reported_device, same_part, speed_grade
from firmware.reports.report import RESOURCES, Stage, SynthesisReport
from firmware.target import Budget, Limits, Target
from trigger.errors import InputError
from trigger.verdict import Requirement, Status, at_least, at_most, equal_to, not_measured

FIGURES = ("latency_ns", "latency_crossings", "latency_cycles", "interval_cycles", "power_w")
"""Figures of a report that may at most be what a limit says, besides resources."""
TOLERANCE = 0.01
"""Share by which a figure may be worse than in an earlier report: less is noise of placement."""
_CLOSED = (Stage.IMPLEMENTATION,)
_CLOCKED = ("slack_ns", "latency_cycles", "interval_cycles")
"""Figures that a slower clock than the target's flatters."""
_SAME_CLOCK_NS = 0.01
"""HLS reports write a clock with two decimals."""


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
            return self.not_known(f"of a part of the design only: {'; '.join(report.notes)}")
        if self.figure == "slack_ns":
            slack, note = report.worst_slack_ns, _slack_note(report)
            if report.timing_met is False and slack is not None and slack >= self.bound:
                note = f"{note}; the tool says that constraints are not met: a bus or maximum skew, or another path"
                return self.not_known(note).model_copy(update={"status": Status.FAIL})
            return at_least(self.name, slack, self.bound, required=self.required, note=note)
        figure, note = report.figure(self.figure), "; ".join(filter(None, [_tool(report), *_note(self.figure, report)]))
        share = report.share(self.figure, of_slr=self.of == "SLR") if self.of else None
        if figure is None:
            return self.not_known(f"not known; {note}")
        if self.of and share is None:
            return self.not_known(f"{figure:,} used, but what the {self.of} has is not known; {note}")
        if share is None:
            return at_most(self.name, figure, self.bound, required=self.required, note=note)
        found = at_most(
            self.name, 100 * share, 100 * self.bound, required=self.required, note=f"{figure:,} used; {note}"
        )
        return found.model_copy(update={"limit": self._limit()})

    def missing(self) -> Requirement:
        """The verdict where there is no report of this stage."""
        return self.not_known(f"no report of this stage: {self.stage.label}")

    def not_known(self, note: str) -> Requirement:
        """The verdict where the figure is not known of the target, and why."""
        return not_measured(self.name, self._limit(), required=self.required, note=note)

    def _limit(self) -> str:
        if self.of:
            return f"<= {100 * self.bound:g} % of {'an SLR' if self.of == 'SLR' else 'the device'}"
        return f"{'>=' if self.figure == 'slack_ns' else '<='} {self.bound:.10g}"


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
                found.append(
                    Limit(stage, figure, float(Fraction(match[1]) / 100), match[2] or "device", given.required)
                )
    return tuple(found)


def judge(
    target: Target, reports: Mapping[str, SynthesisReport], stages: Iterable[Stage] = tuple(Stage)
) -> tuple[Requirement, ...]:
    """Every limit of a target's budget, held to each report of its stage that knows the figure.

    A design of which no report knows it is not measured, whatever is known of others. So is a report of another device than the
    target's, and what a slower clock flatters.

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
        verdicts = _decisive(mine, {name: _judge(limit, target, one) for name, one in mine.items()})
        for name, verdict in verdicts.items():
            note = verdict.note if len(verdicts) == 1 else f"{name}: {verdict.note}"
            found.append(verdict.model_copy(update={"note": note}))
        if not mine:
            found.append(limit.missing())
    for name, one in reports.items():
        given: Limits | None = getattr(target.budget, one.stage, None) if one.stage in wanted and one.stage else None
        if given is not None and one.passed is False:
            note = f"{name}: the simulation failed: its figures are of a design that is wrong"
            found.append(equal_to(f"{one.stage}:test_bench", 0, 1, required=given.required, note=note))
    return tuple(found)


def _judge(limit: Limit, target: Target, report: SynthesisReport) -> Requirement:
    """The verdict of one report; not measured where it is of another device or of a slower clock than the target."""
    device = reported_device(report.part)
    if device is not None and device is not find_device(target.part):
        return limit.not_known(f"not judged: it is of {report.part}, the target of {target.part}")
    if limit.figure == "slack_ns" and report.clock_ns is None and report.worst_slack_ns is not None:
        return limit.not_known("not judged: it does not say for which clock")
    if limit.figure in _CLOCKED and speed_grade(report.part) not in (None, speed_grade(target.part)):
        return limit.not_known(
            f"not judged: it is of another speed grade, {report.part}, than the target, {target.part}"
        )
    if limit.figure in _CLOCKED and (report.clock_ns or 0.0) > target.clock_ns + _SAME_CLOCK_NS:
        return limit.not_known(
            f"not judged: its clock is of {report.clock_ns:g} ns, the target's of {target.clock_ns:g}"
        )
    return limit.judge(report)


def _decisive(reports: Mapping[str, SynthesisReport], verdicts: Mapping[str, Requirement]) -> dict[str, Requirement]:
    """Of each design the verdicts that are known, or else the first; a report that names no design stands for none."""
    known = [name for name, verdict in verdicts.items() if verdict.status is not Status.NOT_MEASURED]
    designs = {reports[name].design for name in known}
    silent: dict[str | None, str] = {}
    for name, one in reports.items():
        if one.design not in designs:
            silent.setdefault(one.design, name)
    if known or len(silent) > 1:
        silent.pop(None, None)
    return {name: verdict for name, verdict in verdicts.items() if name in known or name in silent.values()}


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
    if now.whole is not before.whole:
        raise InputError("a report of a whole design cannot be compared with one of a part of it")
    if now.part and before.part and not same_part(now.part, before.part):
        raise InputError(f"a report for {now.part} cannot be compared with one for {before.part}")
    if now.clock_ns and before.clock_ns and abs(now.clock_ns - before.clock_ns) > _SAME_CLOCK_NS:
        raise InputError(
            f"a report for a clock of {now.clock_ns:g} ns cannot be compared with one for {before.clock_ns:g} ns"
        )
    found = []
    for figure in (*FIGURES, *RESOURCES):
        earlier = before.figure(figure)
        if figure in ("bram36", "latency_crossings") or earlier is None:  # the first two follow from others
            continue
        note = f"{earlier:,.10g} before, {100 * tolerance:g} % more is tolerated"
        most = round(earlier * (1 + tolerance), 6)
        found.append(at_most(f"baseline:{now.stage}:{figure}", now.figure(figure), most, note=note))
    if before.worst_slack_ns is not None:
        margin = tolerance * (before.clock_ns or 0.0)
        found.append(at_least(
            f"baseline:{now.stage}:slack_ns", now.worst_slack_ns, round(before.worst_slack_ns - margin, 6),
            note=f"{before.worst_slack_ns:g} ns before, {100 * tolerance:g} % of the clock period less is tolerated",
        ))  # fmt: skip
    if before.passed:
        passed = None if now.passed is None else int(now.passed)
        found.append(equal_to(f"baseline:{now.stage}:test_bench", passed, 1, note="the simulation passed before"))
    if not found:
        raise InputError("the earlier report has no figure to compare with")
    return tuple(found)


def closed(report: SynthesisReport) -> bool:
    """Whether its clock is known to work: placed, routed, and every constraint met."""
    return report.stage in _CLOSED and bool(report.timing_met)


def _tool(report: SynthesisReport) -> str:
    stage = report.stage.label if report.stage else "stage not known"
    if report.stage is Stage.ESTIMATE:
        return stage
    return " ".join([stage, "by", report.tool or "an unknown tool", *([report.version] if report.version else [])])


def _note(figure: str, report: SynthesisReport) -> list[str]:
    if figure in ("latency_ns", "latency_crossings") and report.latency_ns is not None:
        # Not always the product of what is asked for: where timing fails HLS counts with the period that it expects to reach.
        elapsed = (report.latency_cycles or 0) * (report.clock_ns or 0.0)
        follows = elapsed > 0 and abs(elapsed - report.latency_ns) <= 0.005 * elapsed
        product = f"{report.latency_cycles} x {report.clock_ns:g} ns" if follows else ""
        return [": ".join(filter(None, [product, "" if closed(report) else "timing not closed"]))]
    if figure == "lut" and report.stage is Stage.OPEN:
        return [note for note in report.notes if "share" in note]
    return []


def _slack_note(report: SynthesisReport) -> str:
    slacks = (("setup", report.slack_ns), ("hold", report.hold_slack_ns), ("pulse width", report.pulse_slack_ns))
    known = ", ".join(f"{name} {slack:g}" for name, slack in slacks if slack is not None)
    if known and report.slack_ns is None:
        return f"setup not known; {known}; {_tool(report)}"
    return f"ns; {known}; {_tool(report)}" if known else f"not known; {_tool(report)}"
