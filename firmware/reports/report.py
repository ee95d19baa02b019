"""What a report says, in one form for every tool. What it does not say is `None`, never 0."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from trigger.files import write_json
from trigger.lhc import CROSSING_NS


class Stage(StrEnum):
    """How far a design had come when a figure was taken. Figures of different stages are never compared.

    `ESTIMATE` uses no tool at all, `HLS` is the compiler's own guess, `COSIM` a simulation of what it wrote, `OPEN` synthesis by
    Yosys; `SYNTHESIS`, `PLACEMENT` and `IMPLEMENTATION` (routed) are Vivado's.
    """

    ESTIMATE = "estimate"
    HLS = "hls"
    COSIM = "cosim"
    OPEN = "open"
    SYNTHESIS = "synthesis"
    PLACEMENT = "placement"
    IMPLEMENTATION = "implementation"

    @property
    def label(self) -> str:
        """What a reader should see."""
        return _LABELS[self]


_LABELS = {
    Stage.ESTIMATE: "estimate without a tool",
    Stage.HLS: "HLS estimate",
    Stage.COSIM: "co-simulation",
    Stage.OPEN: "open synthesis",
    Stage.SYNTHESIS: "synthesis, not placed",
    Stage.PLACEMENT: "placed, not routed",
    Stage.IMPLEMENTATION: "placed and routed",
}


Count = Annotated[int, Field(ge=0)] | None
"""A count, or `None` where it is not known."""


class Resources(BaseModel):
    """Counts of what a design uses or a device has; `None` where a report does not say.

    Attributes:
        lut: Look-up tables.
        ff: Flip-flops.
        dsp: DSP slices.
        bram18: Block RAMs in units of 18 kbit, as HLS counts them.
        uram: UltraRAMs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lut: Count = None
    ff: Count = None
    dsp: Count = None
    bram18: Count = None
    uram: Count = None

    @property
    def bram36(self) -> float | None:
        """Block RAMs in tiles of 36 kbit, as Vivado counts them; 12.5 is possible."""
        return None if self.bram18 is None else self.bram18 / 2

    @property
    def known(self) -> bool:
        """Whether there is any figure."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)


RESOURCES = ("lut", "ff", "dsp", "bram18", "bram36", "uram")
"""The resources in the order in which they are shown."""


class Module(BaseModel):
    """One module of a design.

    Attributes:
        name: Name of the module.
        instance: Where it is used, with `/` between levels; empty where a report does not say.
        latency_cycles: Worst latency.
        interval_cycles: Clocks between two events that it can take.
        used: What it uses, in itself and below, except where a report counts the module alone.
        cells: Primitives by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    instance: str = ""
    latency_cycles: int | None = None
    interval_cycles: int | None = None
    used: Resources = Resources()
    cells: dict[str, int] = {}


class SynthesisReport(BaseModel):
    """One report, or what the reports of one run say together.

    Attributes:
        kind: What was read: `csynth.xml`, `utilization`, ...
        stage: How far the design had come.
        tool: The program, as it names itself; `None` where the report does not say, as for the rest.
        version: Its version.
        design: Name of the top module.
        part: The part, as the tool spells it.
        date: When it was written, as the tool spells it.
        clock_ns: Clock period asked for.
        achieved_ns: Clock period that the tool expects to reach, or reached, by setup: pulse widths may need a longer one.
        slack_ns: Worst setup slack; for HLS estimates the clock less its uncertainty and the estimated period.
        hold_slack_ns: Worst hold slack.
        pulse_slack_ns: Worst slack of pulse widths: a clock that is too fast for the device's own cells fails here alone.
        timing_met: Whether the tool says that every constraint is met.
        latency_cycles: Worst latency.
        latency_min_cycles: Best latency.
        latency_ns: Worst latency, where the tool gives it in time or a clock is known.
        interval_cycles: Clocks between two events that it can take, the worst.
        passed: What a simulation said of the test bench.
        whole: Whether the figures are of the whole design: not of some cells or regions, and without black boxes.
        used: What the design uses.
        available: What the device has.
        available_slr: What one of its dies has.
        power_w: Power on the chip.
        modules: Parts of the design.
        cells: Primitives by name.
        notes: What a reader needs to judge the figures.
        sources_digest: Digest of the sources it was made from, for reports of our own projects.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    stage: Stage | None
    tool: str | None = None
    version: str | None = None
    design: str | None = None
    part: str | None = None
    date: str | None = None
    clock_ns: float | None = None
    achieved_ns: float | None = None
    slack_ns: float | None = None
    hold_slack_ns: float | None = None
    pulse_slack_ns: float | None = None
    timing_met: bool | None = None
    latency_cycles: Count = None
    latency_min_cycles: Count = None
    latency_ns: float | None = None
    interval_cycles: Count = None
    passed: bool | None = None
    whole: bool = True
    used: Resources = Resources()
    available: Resources = Resources()
    available_slr: Resources = Resources()
    power_w: float | None = None
    modules: tuple[Module, ...] = ()
    cells: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    sources_digest: str | None = None

    @property
    def latency_crossings(self) -> float | None:
        """Worst latency in bunch crossings of 24.951 ns."""
        return None if self.latency_ns is None else self.latency_ns / CROSSING_NS

    @property
    def worst_slack_ns(self) -> float | None:
        """The least of the slacks; `None` where the setup slack is not known, whatever the others are."""
        if self.slack_ns is None:
            return None
        others = (self.hold_slack_ns, self.pulse_slack_ns)
        return min([self.slack_ns, *(slack for slack in others if slack is not None)])

    def figure(self, name: str) -> float | int | None:
        """A figure by name: an attribute, or one of the resources that are used."""
        found: float | int | None = getattr(self.used if name in RESOURCES else self, name)
        return found

    def share(self, resource: str, of_slr: bool = False) -> float | None:
        """Used of available, as a fraction; `None` where either is unknown. None used is no share of anything."""
        used = self.figure(resource)
        if used == 0:
            return 0.0
        available = getattr(self.available_slr if of_slr else self.available, resource)
        return None if used is None or not available else used / available

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it, with what follows from the figures."""
        content = self.model_dump(mode="json")
        for name in ("used", "available", "available_slr"):
            content[name]["bram36"] = getattr(self, name).bram36
        content["latency_crossings"] = self.latency_crossings
        content["worst_slack_ns"] = self.worst_slack_ns
        content["share"] = {name: self.share(name) for name in RESOURCES}
        content["share_of_slr"] = {name: self.share(name, of_slr=True) for name in RESOURCES}
        return content

    def save(self, path: Path) -> None:
        """Write it as JSON, which `firmware/reports/saved.py` reads."""
        write_json(path, self.model_dump(mode="json"))
