"""A target: the FPGA, its clock and how firmware is made for it. One model is built for many targets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from firmware.device import find_device
from trigger import config
from trigger.config import CppType, Settings
from trigger.errors import InputError

Strategy = Literal["latency", "resource"]


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
        strategy: hls4ml's: unrolled for latency, or shared multipliers.
        reuse_factor: How often a multiplier is used for one event.
        layers: Options by layer name.
        types: Declared types, for a plain Keras network as legacy projects have; without them every type follows from the
            network's quantisers, bit for bit.
    """

    kind: Literal["hls"]
    tool: Literal["vitis", "vivado"] = "vitis"
    strategy: Strategy = "latency"
    reuse_factor: int = Field(default=1, gt=0)
    layers: dict[str, LayerOptions] = {}
    types: DeclaredTypes | None = None

    def strategy_of(self, layer: str) -> Strategy:
        """The strategy of a layer."""
        options = self.layers.get(layer)
        return (options and options.strategy) or self.strategy


class Target(Settings):
    """Part, clock and backend.

    Attributes:
        name: Letters, digits, `_` and `-`.
        part: Full part number.
        clock_ns: Clock period asked for.
        backend: How firmware is made.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    part: str
    clock_ns: float = Field(gt=0, le=1000)
    backend: HlsBackend

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
