"""Formats as the conversion libraries spell them; each convention is translated here and nowhere else."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.fixed_point import MAX_WIDTH, FixedPoint, Overflow, Rounding


def kbi(given: FixedPoint) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    """hls4ml's `mask_kbi`: keep-negative, bits with the sign, integer bits with the sign."""
    numbers = (int(given.signed), given.width, given.integer + given.signed)
    k, b, i = (np.array([number], dtype=np.int16) for number in numbers)
    return k, b, i


def from_hls4ml(precision: Any) -> FixedPoint:
    """hls4ml's `FixedPrecisionType` (or `IntegerPrecisionType`), whose `integer` counts the sign."""
    integer = getattr(precision, "integer", precision.width)
    signed = bool(precision.signed)
    rounding, overflow = (getattr(precision, name, None) for name in ("rounding_mode", "saturation_mode"))
    return FixedPoint(
        signed,
        int(integer) - signed,
        int(precision.width) - int(integer),
        Rounding(rounding.name) if rounding is not None else Rounding.TRN,
        Overflow(overflow.name) if overflow is not None else Overflow.WRAP,
    )


_TYPEDEF = re.compile(
    r"^typedef (?:nnet::array<)?(ap_u?(?:fixed|int)<[^>]*>)(?:, (\d+(?:\*\d+)*)>)? (\w+);$", re.MULTILINE
)


def typedefs(header: str) -> dict[str, FixedPoint]:
    """The fixed-point types that a generated C++ header declares, by name; of a stream's words the type of each element."""
    declared = {}
    for spelled, _, name in _TYPEDEF.findall(header):
        fixed = re.sub(r"ap_(u?)int<(\d+)>", r"ap_\1fixed<\2,\2>", spelled)
        if int(re.findall(r"\d+", fixed)[0]) <= MAX_WIDTH:
            declared[name] = FixedPoint.parse(re.sub(r"(AP_\w+),0>$", r"\1>", fixed))
    return declared


def words(header: str) -> dict[str, int]:
    """How many elements a word of a stream has, by the name of the word's type in a generated C++ header."""
    return {name: prod(int(one) for one in size.split("*")) for _, size, name in _TYPEDEF.findall(header) if size}
