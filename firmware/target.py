"""A target: the FPGA, its clock and how firmware is made for it. One model is built for many targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from firmware.device import find_device
from trigger import config
from trigger.config import CppType, Settings
from trigger.errors import InputError

Strategy = Literal["latency", "resource"]
Io = Literal["parallel", "stream"]
"""How an event comes in: all of it at once, or a word of it every clock, a word being all channels of one place."""
Flow = Literal["vivado_hls", "vitis_hls", "vitis-run", "unified"]
"""How HLS is driven: Vivado HLS by Tcl, Vitis HLS by Tcl (`vitis_hls`, since 2023.2 `vitis-run`), or `v++` by a configuration."""
SLOWEST_NS = 100.0
"""A longer clock period is a frequency in MHz, written into the wrong key."""
FASTEST_NS = 0.5
"""A shorter one is in seconds, or a frequency in GHz: no FPGA has such a clock."""


class LayerTypes(Settings):
    """Declared types of one layer; what is not given is the default's.

    Attributes:
        weight: Of kernels.
        bias: Of biases, also of a batch normalisation's offsets.
        accum: Of accumulators; each product is cast to it before it is added.
        result: Of outputs.
        scale: Of a batch normalisation's factors.
        slope: Of a leaky rectifier's slope.
        table: Of a table's entries.
        table_size: Entries of its tables.
        implementation: Of a softmax.
        exp_input: Of the arguments of a softmax's exponential.
        exp_table: Of a softmax's exponentials.
        inv_input: Of the sum of exponentials that is looked up.
        inv_table: Of a softmax's inverses.
    """

    weight: CppType | None = None
    bias: CppType | None = None
    accum: CppType | None = None
    result: CppType | None = None
    scale: CppType | None = None
    slope: CppType | None = None
    table: CppType | None = None
    table_size: int | None = Field(default=None, ge=2, le=1 << 16)
    implementation: Literal["stable", "latency"] | None = None
    exp_input: CppType | None = None
    exp_table: CppType | None = None
    inv_input: CppType | None = None
    inv_table: CppType | None = None


class DeclaredTypes(Settings):
    """Types of a legacy project, for a plain Keras network.

    Attributes:
        default: Of everything that is not declared.
        layers: By layer; a dense layer's activation is `<layer>_<activation>`.
    """

    default: CppType
    layers: dict[str, LayerTypes] = {}


class LayerOptions(Settings):
    """Options of one layer that differ from the model's."""

    reuse_factor: int | None = Field(default=None, gt=0)
    strategy: Strategy | None = None


class HlsBackend(Settings):
    """Firmware as C++ for high-level synthesis, written by hls4ml.

    Attributes:
        tool: Vitis HLS, or Vivado HLS up to 2020.1.
        flow: How it is driven; what is found decides where it is not given.
        version: Release of the tools that must be found, such as `2023.2`; any where it is not given.
        io: Ports and what lies between layers: arrays, or streams for networks that are too large to unroll.
        strategy: hls4ml's: unrolled for latency, or shared multipliers.
        reuse_factor: How often a multiplier is used for one event.
        layers: Options by layer name.
        types: Declared types, for a plain Keras network as legacy projects have; without them every type follows from the
            network's quantisers, bit for bit.
    """

    kind: Literal["hls"]
    tool: Literal["vitis", "vivado"] = "vitis"
    flow: Flow | None = None
    version: str | None = None
    io: Io = "parallel"
    strategy: Strategy = "latency"
    reuse_factor: int = Field(default=1, gt=0)
    layers: dict[str, LayerOptions] = {}
    types: DeclaredTypes | None = None

    @field_validator("version", mode="before")
    @classmethod
    def _release(cls, version: object) -> object:
        """Without quotes YAML has read a number."""
        spelled = str(version) if isinstance(version, float) else version
        if spelled is not None and not (isinstance(spelled, str) and re.fullmatch(r"20\d\d\.\d", spelled)):
            raise ValueError("a release as the vendor counts them would be right, such as 2023.2")
        return spelled

    @model_validator(mode="after")
    def _one_compiler(self) -> HlsBackend:
        if self.flow is not None and (self.flow == "vivado_hls") != (self.tool == "vivado"):
            raise ValueError(f"flow {self.flow!r} does not drive the tool {self.tool!r}")
        return self

    @property
    def without_verilog(self) -> str | None:
        """Why there is no Verilog of ours beside the C++; `None` where there is."""
        if self.io == "stream":
            return (
                "the ports are streams: our own Verilog takes whole events, one every clock, so that there is none here"
            )
        if self.types is not None:
            return "the types are declared: such networks are written as C++ alone"
        return None

    def strategy_of(self, layer: str) -> Strategy:
        """The strategy of a layer."""
        options = self.layers.get(layer)
        return (options and options.strategy) or self.strategy


def _count_or_share(given: object) -> object:
    count = isinstance(given, int) and not isinstance(given, bool) and given >= 0
    if count or (isinstance(given, str) and re.fullmatch(r"\d+(\.\d+)?\s*%(\s*SLR)?", given)):
        return given
    raise ValueError(
        "a count such as 5000 would be right, or a share: '5%' of the device, '20% SLR' of one of its dies"
    )


Amount = Annotated[int | str, BeforeValidator(_count_or_share)]
"""A count, or a share of the device (`5%`) or of one of its dies (`20% SLR`)."""
Positive = Annotated[float, Field(gt=0)]


class Limits(Settings):
    """What a design may use at one stage; what is not given is not limited.

    Attributes:
        required: Whether the limits decide; where they do not they are shown.
        latency_ns: Longest latency. Before timing is closed it is clocks times the period asked for, and says so.
        latency_crossings: The same in bunch crossings of 24.951 ns.
        latency_cycles: The same in clocks.
        interval_cycles: Most clocks between two events.
        slack_ns: Least of setup, hold and pulse width slack.
        power_w: Most power on the chip.
        lut: Look-up tables; of the open stage those after sharing.
        ff: Flip-flops.
        dsp: DSP slices.
        bram18: Block RAMs of 18 kbit.
        bram36: Block RAMs in tiles of 36 kbit.
        uram: UltraRAMs.
    """

    required: bool = True
    latency_ns: Positive | None = None
    latency_crossings: Positive | None = None
    latency_cycles: Annotated[int, Field(ge=0)] | None = None
    interval_cycles: Annotated[int, Field(ge=1)] | None = None
    slack_ns: float | None = None
    power_w: Positive | None = None
    lut: Amount | None = None
    ff: Amount | None = None
    dsp: Amount | None = None
    bram18: Amount | None = None
    bram36: Amount | None = None
    uram: Amount | None = None


class Budget(Settings):
    """Limits by stage: figures of different stages are never held to the same one.

    Attributes:
        estimate: Without any tool: the Verilog's cost and registers, and its simulated latency.
        open: After synthesis by Yosys, of the Verilog.
        hls: By the HLS compiler's estimate.
        cosim: By co-simulation.
        synthesis: After Vivado's synthesis.
        implementation: After placement and routing.
    """

    estimate: Limits | None = None
    open: Limits | None = None
    hls: Limits | None = None
    cosim: Limits | None = None
    synthesis: Limits | None = None
    implementation: Limits | None = None


class Target(Settings):
    """Part, clock, backend and budget.

    Attributes:
        name: Letters, digits, `_` and `-`.
        part: Full part number.
        clock_ns: Clock period asked for.
        backend: How firmware is made.
        budget: What it may use, by stage.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    part: str
    clock_ns: float = Field(gt=0)
    backend: HlsBackend
    budget: Budget = Budget()

    @field_validator("clock_ns")
    @classmethod
    def _a_period(cls, clock_ns: float) -> float:
        if clock_ns > SLOWEST_NS:
            raise ValueError(
                f"a period of {clock_ns:g} ns; if {clock_ns:g} MHz are meant, right would be {1e3 / clock_ns:.4f}"
            )
        if clock_ns < FASTEST_NS:
            meant, right = ("seconds", 1e9 * clock_ns) if clock_ns < 1e-6 else ("GHz", 1 / clock_ns)
            raise ValueError(
                f"a period of {clock_ns:g} ns; if {clock_ns:g} {meant} are meant, right would be {right:.4f}"
            )
        return clock_ns

    @field_validator("part")
    @classmethod
    def _known(cls, part: str) -> str:
        try:
            find_device(part)
        except InputError as error:
            raise ValueError(str(error)) from error
        return part


def load_target(name: str, overrides: tuple[str, ...] = ()) -> Target:
    """A target by packaged name or path.

    Raises:
        InputError: There is none, or it has faults; each is named.
    """
    path = find_target(name)
    return config.load(path, Target, overrides)


def find_target(name: str) -> Path:
    """The file of a packaged target, or the path itself."""
    return config.find(name, "firmware", "targets")
