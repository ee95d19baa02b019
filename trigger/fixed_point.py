"""The one definition of a fixed-point number.

Two words are kept apart everywhere: a *code* is the integer in the register, a *value* is the real number it stands
for, and `value == code * step`.

References:
    The `ap_fixed` rounding and overflow modes: AMD UG1399, "Arbitrary Precision Fixed-Point Data Types".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trigger.errors import InputError

Codes = NDArray[np.int64]
Values = NDArray[np.float64]

MAX_WIDTH = 60
"""Widest format whose codes, and the sums that casting needs, fit 64 bits."""


MAX_POINT = 256
"""Farthest that the binary point may lie from the bits."""


class Rounding(StrEnum):
    """What becomes of the bits below the last one kept; the `RND` modes differ only on ties."""

    TRN = "TRN"
    TRN_ZERO = "TRN_ZERO"
    RND = "RND"
    RND_ZERO = "RND_ZERO"
    RND_INF = "RND_INF"
    RND_MIN_INF = "RND_MIN_INF"
    RND_CONV = "RND_CONV"


class Overflow(StrEnum):
    """What becomes of a number that does not fit."""

    WRAP = "WRAP"
    SAT = "SAT"
    SAT_SYM = "SAT_SYM"
    SAT_ZERO = "SAT_ZERO"


_SPELLING = re.compile(
    r"ap_(?P<unsigned>u?)fixed<(?P<width>\d+),(?P<integer>-?\d+)(,AP_(?P<rounding>\w+))?(,AP_(?P<overflow>\w+))?>"
)


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format.

    Attributes:
        signed: Whether there is a sign bit (two's complement).
        integer: Bits left of the binary point, *without* the sign; may be negative.
        fraction: Bits right of the binary point; may be negative.
        rounding: How values between two codes are rounded.
        overflow: What happens to values beyond the ends.

    Raises:
        InputError: The width is not between 1 and `MAX_WIDTH`.
    """

    signed: bool
    integer: int
    fraction: int
    rounding: Rounding = Rounding.TRN
    overflow: Overflow = Overflow.WRAP

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise InputError(f"a fixed-point number has 1 to {MAX_WIDTH} bits, not {self.width}")
        if not -MAX_POINT <= self.integer <= MAX_POINT:
            raise InputError(f"the binary point lies within {MAX_POINT} bits of the number, not at {self.integer}")

    @classmethod
    def parse(cls, text: str, rounding: Rounding = Rounding.TRN, overflow: Overflow = Overflow.WRAP) -> FixedPoint:
        """Read the `ap_fixed<W,I[,AP_rounding[,AP_overflow]]>` spelling, in which `I` counts the sign bit.

        Args:
            text: For example `ap_fixed<16,7>` or `ap_ufixed<6,0,AP_RND_CONV,AP_SAT>`.
            rounding: What is meant where `text` names no rounding (`TRN` in C++).
            overflow: What is meant where `text` names no overflow (`WRAP` in C++).

        Raises:
            InputError: The text is spelled otherwise, or names no known mode.
        """
        match = _SPELLING.fullmatch(re.sub(r"\s", "", text))
        if match is None:
            raise InputError(
                f"{text!r} is not a fixed-point format; right would be 'ap_fixed<16,7>' or 'ap_ufixed<6,0>'"
            )
        modes: list[Any] = []
        for kind, name, default in (
            (Rounding, match["rounding"], rounding),
            (Overflow, match["overflow"], overflow),
        ):
            if name is not None and name not in list(kind):
                known = ", ".join(f"AP_{mode}" for mode in kind)
                raise InputError(f"{text!r}: AP_{name} is not a {kind.__name__.lower()} mode; there are {known}")
            modes.append(default if name is None else kind(name))
        signed = not match["unsigned"]
        integer = int(match["integer"]) - signed
        return cls(signed, integer, int(match["width"]) - signed - integer, *modes)

    def __str__(self) -> str:
        """The full `ap_fixed` spelling."""
        name = "ap_fixed" if self.signed else "ap_ufixed"
        return f"{name}<{self.width},{self.integer + self.signed},AP_{self.rounding},AP_{self.overflow}>"

    @property
    def width(self) -> int:
        """Bits in all."""
        return self.signed + self.integer + self.fraction

    @property
    def step(self) -> float:
        """The value of one unit in the last place."""
        return float(2.0**-self.fraction)

    @cached_property
    def min_code(self) -> int:
        """Lowest code that a result can take.

        Symmetric saturation leaves the lowest of the register out, but not of a register that is a sign bit alone: so does
        the C++ type.
        """
        if not self.signed:
            return 0
        return -(1 << (self.width - 1)) + (self.overflow is Overflow.SAT_SYM and self.width > 1)

    @cached_property
    def max_code(self) -> int:
        """Highest code."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def min_value(self) -> float:
        """Value of the lowest code."""
        return self.min_code * self.step

    @property
    def max_value(self) -> float:
        """Value of the highest code."""
        return self.max_code * self.step

    def codes(self, values: ArrayLike) -> Codes:
        """Quantise real values, exactly as an assignment to this type does in C++.

        Args:
            values: Real numbers of any shape, taken as float64.

        Raises:
            InputError: A value is NaN or infinite.
        """
        real = np.asarray(values, dtype=np.float64)
        if not np.isfinite(real).all():
            raise InputError(f"{np.count_nonzero(~np.isfinite(real))} values are NaN or infinite and have no code")
        scaled = np.ldexp(real, self.fraction)
        below = np.floor(scaled)
        rounded = below + self._round_up(below, scaled - below, np.full_like(scaled, 0.5))
        if self.overflow is Overflow.WRAP:
            rounded = np.fmod(rounded, 2.0**self.width)  # exact, where mod would round small negative numbers
        else:
            bound = 2.0 ** (self.width + 1)  # beyond both ends, and far below 2**63
            rounded = np.clip(rounded, -bound, bound)
        return self._fit(rounded.astype(np.int64))

    def cast(self, codes: ArrayLike, source: FixedPoint) -> Codes:
        """Convert codes of another format to this one, in integers alone.

        Raises:
            InputError: The shift needs more than 64 bits.
        """
        given = np.asarray(codes, dtype=np.int64)
        shift = source.fraction - self.fraction
        if shift <= 0:
            if source.width - shift > MAX_WIDTH:
                raise InputError(f"casting {source} to {self} needs more than {MAX_WIDTH} bits")
            return self._fit(given << -shift)
        if shift > MAX_WIDTH + 1:  # everything is far below half a step: only the sign is left
            given, shift = np.sign(given), 2
        below = given >> shift
        return self._fit(below + self._round_up(below, given - (below << shift), np.int64(1) << np.int64(shift - 1)))

    def values(self, codes: ArrayLike) -> Values:
        """The real values of `codes`; exact for widths up to 53."""
        return np.ldexp(np.asarray(codes, dtype=np.float64), -self.fraction)

    def codes_of_exact(self, values: ArrayLike) -> Codes:
        """The codes of values that must already be multiples of the step and in range.

        Raises:
            InputError: A value is not representable: then something upstream is not what it claims to be.
        """
        real = np.asarray(values, dtype=np.float64)
        codes = self.codes(real)
        wrong = self.values(codes) != real
        if wrong.any():
            first = float(real[wrong].flat[0])
            raise InputError(f"{np.count_nonzero(wrong)} values are not numbers of {self}, the first is {first!r}")
        return codes

    def fits(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Which values lie within the range, before rounding (half a step of grace at either end)."""
        real = np.asarray(values, dtype=np.float64)
        low: NDArray[np.bool_] = real >= self.min_value - self.step / 2
        return low & (real <= self.max_value + self.step / 2)

    def _round_up(self, below: NDArray[Any], rest: NDArray[Any], half: NDArray[Any] | np.int64) -> NDArray[np.bool_]:
        """Whether to go to the code above `below`, for a remainder `rest` of which `half` is the tie."""
        tie, above, negative = rest == half, rest > half, below < 0
        up: NDArray[np.bool_]
        match self.rounding:
            case Rounding.TRN:
                up = np.zeros_like(tie)
            case Rounding.TRN_ZERO:
                up = negative & (rest > 0)
            case Rounding.RND:
                up = above | tie
            case Rounding.RND_ZERO:
                up = above | (tie & negative)
            case Rounding.RND_INF:
                up = above | (tie & ~negative)
            case Rounding.RND_MIN_INF:
                up = above
            case Rounding.RND_CONV:
                up = above | (tie & (np.mod(below, 2) == 1))
        return up

    def _fit(self, codes: Codes) -> Codes:
        match self.overflow:
            case Overflow.WRAP:
                wrapped = codes & ((1 << self.width) - 1)
                return wrapped - ((wrapped >> (self.width - 1)) << self.width) if self.signed else wrapped
            case Overflow.SAT | Overflow.SAT_SYM:
                return np.clip(codes, self.min_code, self.max_code)
            case Overflow.SAT_ZERO:
                return np.where((codes < self.min_code) | (codes > self.max_code), np.int64(0), codes)
