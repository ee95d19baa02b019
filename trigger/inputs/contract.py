"""The input contract: what every input of a network is, in physics and in bits.

One source for the preprocessing in training, the emulator's vectors, the C++ header and whoever packs the inputs on the
board.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationInfo, field_validator

from trigger import config
from trigger.config import Format, Settings
from trigger.errors import InputError
from trigger.files import write_text
from trigger.fixed_point import Codes, FixedPoint, Values


class Input(Settings):
    """One input: `code = format((physical - offset) * scale)`.

    Attributes:
        name: What it is.
        unit: Unit of the physical quantity, `1` where it has none.
        format: Fixed-point format on the wire.
        offset: Subtracted first, in the unit.
        scale: Multiplied then, in one over the unit; not 0.
    """

    name: str = Field(min_length=1)
    unit: str = "1"
    format: Format
    offset: float = 0.0
    scale: float = 1.0

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("a scale of 0 leaves nothing of the input")
        return scale


class InputSpec(Settings):
    """All inputs of a network, in order, and the names of its outputs.

    Attributes:
        inputs: The inputs; their order is the order on the wire.
        outputs: Names of the outputs, in order.
        shape: Shape of the network's input without the batch axis; the inputs fill it row by row. `None` is flat.
    """

    inputs: tuple[Input, ...] = Field(min_length=1)
    outputs: tuple[str, ...] = Field(min_length=1)
    shape: tuple[int, ...] | None = None

    @field_validator("inputs")
    @classmethod
    def _distinct(cls, inputs: tuple[Input, ...]) -> tuple[Input, ...]:
        names = [one.name for one in inputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"inputs named more than once: {', '.join(twice)}")
        return inputs

    @field_validator("shape")
    @classmethod
    def _filled(cls, shape: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        inputs = info.data.get("inputs")
        if shape is not None and inputs is not None and math.prod(shape) != len(inputs):
            raise ValueError(f"a shape of {list(shape)} does not hold {len(inputs)} inputs")
        return shape

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(one.name for one in self.inputs)

    @property
    def network_shape(self) -> tuple[int, ...]:
        """Shape of the network's input without the batch axis."""
        return self.shape or (len(self.inputs),)

    @property
    def common_format(self) -> FixedPoint:
        """The one format of all inputs.

        Raises:
            InputError: They differ, and the port of an HLS project is an array of one type.
        """
        formats = {one.format for one in self.inputs}
        if len(formats) > 1:
            raise InputError(f"all inputs of an HLS port have one format; found {', '.join(sorted(map(str, formats)))}")
        return formats.pop()

    def code_ranges(self) -> tuple[Codes, Codes]:
        """Lowest and highest code of every input."""
        low = np.array([one.format.min_code for one in self.inputs], dtype=np.int64)
        return low, np.array([one.format.max_code for one in self.inputs], dtype=np.int64)

    def check_codes(self, codes: Codes, what: str = "codes") -> None:
        """Refuse codes that are not of these inputs.

        Raises:
            InputError: The shape is wrong, or a code is outside its input's range.
        """
        if codes.ndim != 2 or codes.shape[1] != len(self.inputs):
            raise InputError(f"{what} of shape {codes.shape} do not fit {len(self.inputs)} inputs")
        if len(codes) == 0:
            return
        low, high = self.code_ranges()
        if (codes.min(axis=0) >= low).all() and (codes.max(axis=0) <= high).all():
            return
        outside = (codes < low) | (codes > high)
        event, column = np.argwhere(outside)[0]
        raise InputError(
            f"{what}: code {codes[event, column]} of input {self.names[column]!r} in event {event} is outside "
            f"[{low[column]}, {high[column]}]; {np.count_nonzero(outside)} codes are"
        )

    def scaled(self, physical: ArrayLike) -> Values:
        """Offset taken off and scale applied: real values before quantisation, shape `(events, inputs)`."""
        table = self._table(physical)
        offset, scale = np.array([(one.offset, one.scale) for one in self.inputs]).T
        scaled: Values = (table - offset) * scale
        return scaled

    def codes(self, physical: ArrayLike) -> Codes:
        """Physical quantities to integer codes, shape `(events, inputs)`."""
        scaled = self.scaled(physical)
        columns = [one.format.codes(scaled[:, index]) for index, one in enumerate(self.inputs)]
        return np.stack(columns, axis=1)

    def values(self, codes: ArrayLike) -> Values:
        """Integer codes to the values that the network computes with, shape `(events, inputs)`."""
        given = np.asarray(codes, dtype=np.int64)
        return np.stack([one.format.values(given[:, index]) for index, one in enumerate(self.inputs)], axis=1)

    def network_input(self, codes: ArrayLike) -> Values:
        """The values in the shape of the network's input, `(events, *shape)`."""
        values = self.values(codes)
        return values.reshape(len(values), *self.network_shape)

    def clipped(self, physical: ArrayLike) -> dict[str, int]:
        """For each input how many values lie outside its format and are clipped."""
        scaled = self.scaled(physical)
        return {
            one.name: int(np.count_nonzero(~one.format.fits(scaled[:, index]))) for index, one in enumerate(self.inputs)
        }

    def save(self, path: Path) -> None:
        """Write the contract as YAML."""
        write_text(path, config.dump(self))

    @classmethod
    def load(cls, path: Path) -> InputSpec:
        """Read a contract from YAML."""
        return config.load(path, cls)

    def _table(self, physical: ArrayLike) -> NDArray[np.float64]:
        table: NDArray[Any] = np.asarray(physical, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != len(self.inputs):
            raise InputError(f"the contract has {len(self.inputs)} inputs, the table has shape {table.shape}")
        return table


def standardised(
    values: NDArray[np.float64], names: tuple[str, ...], units: tuple[str, ...], weights: NDArray[np.float64],
    input_format: FixedPoint, outputs: tuple[str, ...],
) -> InputSpec:  # fmt: skip
    """The contract that brings every input to mean 0 and standard deviation 1 on the given (training) sample.

    An input that never varies gets scale 1.
    """
    mean = np.average(values, axis=0, weights=weights)
    deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    rounding = 1e-12 * np.abs(values).max(axis=0)  # what the mean of equal numbers may be off by
    return InputSpec(
        inputs=tuple(
            Input(name=name, unit=unit, format=input_format, offset=float(m), scale=float(1 / d) if d > tiny else 1.0)
            for name, unit, m, d, tiny in zip(names, units, mean, deviation, rounding, strict=True)
        ),
        outputs=outputs,
    )
