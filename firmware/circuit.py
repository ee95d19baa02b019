"""A network as a circuit: steps on integer codes, each with its exact arithmetic and its bounds.

This is our own reading of a network, independent of the libraries that write firmware. Every step can be called on codes
(int64, nothing is rounded that is not said to be) and can say which interval its outputs lie in, given that of its inputs.
A convolution is a `Gather` of patches and a `Dense` on each of them; pooling is a `Gather` and a `Max` or a `Sum`.

References:
    Interval arithmetic: R. E. Moore, R. B. Kearfott, M. J. Cloud, doi:10.1137/1.9780898717716.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import MAX_WIDTH, Codes, FixedPoint, Overflow, Rounding

CARRIED = MAX_WIDTH - 1
"""Bits of the largest sum, without the sign, that formats and int64 carry with certainty."""
_BLOCK = 4096
_NUMBERS = 1 << 22
"""Numbers of one tensor held at once."""
_PRODUCTS = 1 << 22
"""Products held at once where each of them is cast."""


def unbounded(fraction: int, rounding: Rounding = Rounding.TRN, overflow: Overflow = Overflow.WRAP) -> FixedPoint:
    """The widest format with so many fraction bits."""
    return FixedPoint(True, MAX_WIDTH - 1 - fraction, fraction, rounding, overflow)


@dataclass(frozen=True)
class Bounds:
    """What the codes of a tensor lie between, ends included; both of the tensor's shape."""

    low: Codes
    high: Codes

    @property
    def largest(self) -> int:
        """The largest absolute value."""
        return max(-int(self.low.min()), int(self.high.max()))

    def source(self, fraction: int) -> FixedPoint:
        """The narrowest format that holds all of them."""
        signed = bool(self.low.min() < 0)
        bits = max((~int(self.low.min()) if signed else 0).bit_length(), int(self.high.max()).bit_length(), 1 - signed)
        return FixedPoint(signed, bits - fraction, fraction)


@dataclass(frozen=True)
class Cast:
    """An assignment to another format.

    Attributes:
        layer: Name of the layer.
        source: A format that holds everything that is cast.
        form: The format that is cast to.
    """

    layer: str
    source: FixedPoint
    form: FixedPoint

    @property
    def fraction(self) -> int:
        """Fraction bits of the outputs."""
        return self.form.fraction

    def __call__(self, codes: Codes) -> Codes:
        """Codes of the format."""
        shift = self.form.fraction - self.source.fraction
        if shift > 0 and self.form.overflow in (Overflow.SAT, Overflow.SAT_SYM):
            # What saturates need not overflow first.
            near = np.clip(codes, (self.form.min_code >> shift) - 1, (self.form.max_code >> shift) + 1)
            clipped: Codes = np.clip(near << shift, self.form.min_code, self.form.max_code)
            return clipped
        return self.form.cast(codes, self.source)

    def bounds(self, given: Bounds) -> Bounds:
        """Casts that saturate keep order; one that wraps may give anything as soon as one code wraps."""
        low, high = self(given.low), self(given.high)
        if self.form.overflow in (Overflow.WRAP, Overflow.SAT_ZERO):
            lost = self.overflows(given.low) | self.overflows(given.high)
            low = np.where(lost, self.form.min_code, low)
            high = np.where(lost, self.form.max_code, high)
        return Bounds(low, high)

    def overflows(self, codes: Codes) -> NDArray[np.bool_]:
        """Which codes do not fit the format after rounding."""
        shift = self.form.fraction - self.source.fraction
        if shift > 0:
            top, bottom = self.form.max_code >> shift, -((-self.form.min_code) >> shift)
            return np.asarray((codes > top) | (codes < bottom))
        # Rounding goes to the code below or to the one above it: where that one is beyond either end so is the other.
        below = codes >> min(-shift, 63)
        rounded = unbounded(self.form.fraction, self.form.rounding, Overflow.SAT).cast(codes, self.source)
        beyond = (below > self.form.max_code) | (below < self.form.min_code - 1)
        return np.asarray(beyond | (rounded > self.form.max_code) | (rounded < self.form.min_code))


@dataclass(frozen=True, eq=False)
class Dense:
    """Sums of products over the last axis, nothing rounded.

    Attributes:
        layer: Name of the layer.
        kernel: Integer weights, shape `(inputs, outputs)`.
        bias: Integer biases in units of the sums, shape `(outputs,)`.
        fraction: Fraction bits of the sums.
    """

    layer: str
    kernel: Codes
    bias: Codes
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The sums."""
        result: Codes = codes @ self.kernel + self.bias
        return result

    def bounds(self, given: Bounds) -> Bounds:
        """Every input at its own worst end."""
        self.partial(given)
        up, down = np.maximum(self.kernel, 0), np.minimum(self.kernel, 0)
        low = given.low @ up + given.high @ down + self.bias
        return Bounds(low, given.high @ up + given.low @ down + self.bias)

    def partial(self, given: Bounds) -> int:
        """The largest absolute value of any partial sum in any order, as an integer of any size.

        Raises:
            UnsupportedError: It does not fit 64 bits with certainty.
        """
        largest = np.maximum(np.abs(given.low), np.abs(given.high)).astype(object)  # Python's integers have no end
        sums = largest @ np.abs(self.kernel).astype(object) + np.abs(self.bias).astype(object)
        return carried(self.layer, int(np.max(sums)))


@dataclass(frozen=True, eq=False)
class Accumulate:
    """Sums of products in a declared accumulator: each product is cast to it before it is added, and every sum is cast.

    Attributes:
        layer: Name of the layer.
        kernel: Integer weights, shape `(inputs, outputs)`.
        bias: Biases as codes of the accumulator, shape `(outputs,)`.
        product: The format of an exact product.
        form: The accumulator.
    """

    layer: str
    kernel: Codes
    bias: Codes
    product: FixedPoint
    form: FixedPoint

    @property
    def fraction(self) -> int:
        """Fraction bits of the sums."""
        return self.form.fraction

    def __call__(self, codes: Codes) -> Codes:
        """The accumulators, shape `(..., outputs)`; added in the order of the inputs, after the bias."""
        flat = codes.reshape(-1, codes.shape[-1])
        parts = [self._sum(flat[start : start + self.block]) for start in range(0, max(len(flat), 1), self.block)]
        return np.concatenate(parts).reshape(*codes.shape[:-1], self.kernel.shape[1])

    @property
    def block(self) -> int:
        """Events whose products are held at once."""
        return max(1, _PRODUCTS // self.kernel.size)

    def _sum(self, codes: Codes) -> Codes:
        products = self.form.cast(codes[..., :, None] * self.kernel, self.product)
        wide = self.wide
        if self.form.overflow is Overflow.WRAP:  # wrapping once or every time is the same
            return self.form.cast(self.bias + products.sum(axis=-2), wide)
        total = np.broadcast_to(self.bias, (len(codes), self.kernel.shape[1])).copy()
        for index in range(products.shape[-2]):
            total = self.form.cast(total + products[:, index], wide)
        return total

    def bounds(self, given: Bounds) -> Bounds:
        """The ends of the format where a sum may overflow."""
        low, high, fits = self.exact(given)
        return Bounds(np.where(fits, low, self.form.min_code), np.where(fits, high, self.form.max_code))

    @property
    def wide(self) -> FixedPoint:
        """The accumulator without an end to the left."""
        return unbounded(self.form.fraction, self.form.rounding)

    def exact(self, given: Bounds) -> tuple[Codes, Codes, NDArray[np.bool_]]:
        """Bounds of the sums of cast products if the accumulator were wide enough, and whether it is wide enough.

        Where the accumulator wraps the order does not matter and only the whole sum has to fit; where it saturates every
        partial sum has to.
        """
        wide = self.wide
        ends = [wide.cast(end[..., :, None] * self.kernel, self.product) for end in (given.low, given.high)]
        least, most = np.minimum(*ends), np.maximum(*ends)
        total = np.maximum(np.abs(least), np.abs(most)).astype(object).sum(axis=-2) + np.abs(self.bias).astype(object)
        carried(self.layer, int(np.max(total)))
        low, high = np.cumsum(least, axis=-2) + self.bias, np.cumsum(most, axis=-2) + self.bias
        checked = [(low, high), (least, most)]
        if self.form.overflow is Overflow.WRAP:  # what wraps on the way does no harm where the whole sum fits
            checked = [(low[..., -1:, :], high[..., -1:, :])]
        fits = np.ones(low.shape[:-2] + low.shape[-1:], dtype=bool)
        for bottom, top in checked:
            fits &= (bottom >= self.form.min_code).all(axis=-2) & (top <= self.form.max_code).all(axis=-2)
        return low[..., -1, :], high[..., -1, :], np.asarray(fits)


@dataclass(frozen=True, eq=False)
class Scale:
    """Channel by channel a factor and an offset, nothing rounded: batch normalisation.

    Attributes:
        layer: Name of the layer.
        factor: Integer factors, shape `(channels,)`.
        offset: Integer offsets in units of the products, shape `(channels,)`.
        fraction: Fraction bits of the result.
    """

    layer: str
    factor: Codes
    offset: Codes
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The scaled codes."""
        result: Codes = codes * self.factor + self.offset
        return result

    def bounds(self, given: Bounds) -> Bounds:
        """Either end, whichever way the factor turns it."""
        ends = np.stack([self(given.low), self(given.high)])
        return Bounds(ends.min(axis=0), ends.max(axis=0))


@dataclass(frozen=True)
class Relu:
    """Negative numbers times a slope, nothing rounded.

    Attributes:
        layer: Name of the layer.
        slope: Integer slope, in units of `2**-slope_fraction`; 0 for the plain ReLU.
        slope_fraction: Fraction bits of the slope; the result has so many more than what is given.
        fraction: Fraction bits of the result.
    """

    layer: str
    slope: int
    slope_fraction: int
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The rectified codes."""
        result: Codes = np.where(codes > 0, codes << self.slope_fraction, codes * self.slope)
        return result

    def bounds(self, given: Bounds) -> Bounds:
        """Both ends, and 0 where it lies between them."""
        ends = np.stack([self(given.low), self(given.high), self(np.clip(0, given.low, given.high))])
        return Bounds(ends.min(axis=0), ends.max(axis=0))


@dataclass(frozen=True, eq=False)
class Table:
    """A function by table: the argument is scaled, cut off towards 0 to an index, clipped, and looked up.

    Attributes:
        layer: Name of the layer.
        function: What the table is of, such as `sigmoid`.
        entries: Codes of the table, shape `(size,)`.
        form: Format of the entries.
        factor: What the argument's code is multiplied by.
        divisor: What the product is divided by; the quotient is cut off towards 0.
        up: Bits that the quotient is shifted up by, for arguments without fraction bits.
        offset: Added to the index.
    """

    layer: str
    function: str
    entries: Codes
    form: FixedPoint
    factor: int
    divisor: int
    up: int
    offset: int

    @property
    def fraction(self) -> int:
        """Fraction bits of the entries."""
        return self.form.fraction

    def index(self, codes: Codes) -> Codes:
        """Which entry each code looks up."""
        scaled = codes * self.factor
        whole = (np.sign(scaled) * (np.abs(scaled) // self.divisor)) << self.up
        found: Codes = np.clip(whole + self.offset, 0, len(self.entries) - 1)
        return found

    def __call__(self, codes: Codes) -> Codes:
        """The entries."""
        found: Codes = self.entries[self.index(codes)]
        return found

    def bounds(self, given: Bounds) -> Bounds:
        """The least and the greatest entry between the indices of the two ends."""
        first, last = self.index(given.low), self.index(given.high)
        low = np.array([self.entries[a : b + 1].min() for a, b in zip(first.flat, last.flat, strict=True)])
        high = np.array([self.entries[a : b + 1].max() for a, b in zip(first.flat, last.flat, strict=True)])
        return Bounds(low.reshape(first.shape), high.reshape(first.shape))


@dataclass(frozen=True, eq=False)
class Softmax:
    """Exponentials and the inverse of their sum, by tables that are looked up by the leading bits of their arguments.

    Attributes:
        layer: Name of the layer.
        stable: Whether the arguments are the distances from the largest one.
        source: Format of what is given.
        distance: Format of the argument of the exponential.
        exponentials: Codes of that table, shape `(size,)`.
        exponential: Their format.
        accum: Format of the exponentials as they are added, and of their sum.
        total: Format of the argument of the inverse.
        inverses: Codes of that table, shape `(size,)`.
        inverse: Their format.
    """

    layer: str
    stable: bool
    source: FixedPoint
    distance: FixedPoint
    exponentials: Codes
    exponential: FixedPoint
    accum: FixedPoint
    total: FixedPoint
    inverses: Codes
    inverse: FixedPoint

    @property
    def fraction(self) -> int:
        """Fraction bits of the products of exponential and inverse."""
        return self.accum.fraction + self.inverse.fraction

    def __call__(self, codes: Codes) -> Codes:
        """The products, shape `(events, classes)`."""
        away = self.distance.cast(codes.max(axis=-1, keepdims=True) - codes, self.source) if self.stable else codes
        up = self.accum.cast(_looked_up(self.exponentials, away, self.distance), self.exponential)
        whole = self.total.cast(self._added(up), self.accum)
        result: Codes = up * _looked_up(self.inverses, whole, self.total)[..., None]
        return result

    def _added(self, terms: Codes) -> Codes:
        """A tree whose left half has the largest power of two of the terms that is less than all of them."""
        count = terms.shape[-1]
        if count == 1:
            return terms[..., 0]
        left = 1 << ((count - 1).bit_length() - 1)
        wide = unbounded(self.accum.fraction)
        return self.accum.cast(self._added(terms[..., :left]) + self._added(terms[..., left:]), wide)

    def bounds(self, given: Bounds) -> Bounds:
        """The ends of both formats, whatever is given."""
        ends = [a * b for a in (self.accum.min_code, self.accum.max_code)
                for b in (self.inverse.min_code, self.inverse.max_code)]  # fmt: skip
        return Bounds(np.full_like(given.low, min(ends)), np.full_like(given.high, max(ends)))


@dataclass(frozen=True)
class Sum:
    """The sum over the first axis of an event; the mean over a power of two is the same codes with another binary point."""

    layer: str
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The sums, shape `(events, ...)` without the first axis."""
        result: Codes = codes.sum(axis=1)
        return result

    def bounds(self, given: Bounds) -> Bounds:
        """All entries at the same end."""
        carried(self.layer, len(given.low) * given.largest)
        return Bounds(given.low.sum(axis=0), given.high.sum(axis=0))


@dataclass(frozen=True)
class Max:
    """The largest over the first axis of an event."""

    layer: str
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The largest codes, shape `(events, ...)` without the first axis."""
        result: Codes = codes.max(axis=1)
        return result

    def bounds(self, given: Bounds) -> Bounds:
        """The largest of either end."""
        return Bounds(given.low.max(axis=0), given.high.max(axis=0))


@dataclass(frozen=True)
class Shape:
    """Another shape of the same numbers."""

    layer: str
    shape: tuple[int, ...]
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The same codes."""
        shaped: Codes = codes.reshape(len(codes), *self.shape)
        return shaped

    def bounds(self, given: Bounds) -> Bounds:
        """The same bounds."""
        return Bounds(given.low.reshape(self.shape), given.high.reshape(self.shape))


@dataclass(frozen=True, eq=False)
class Gather:
    """Numbers picked from anywhere in an event, any of them any number of times: patches, windows, exchanged axes.

    Attributes:
        layer: Name of the layer.
        index: Place of each in the flattened event, in the shape of the result; -1 for a 0 of the padding.
        fraction: Fraction bits, as given.
    """

    layer: str
    index: NDArray[np.int64]
    fraction: int

    def __call__(self, codes: Codes) -> Codes:
        """The numbers, shape `(events, *index.shape)`."""
        flat = codes.reshape(len(codes), -1)
        if self.padded:
            flat = np.concatenate([flat, np.zeros((len(flat), 1), dtype=flat.dtype)], axis=1)
        picked: Codes = flat[:, self.index]
        return picked

    @property
    def padded(self) -> bool:
        """Whether there is a 0 among them that is not of the event."""
        return bool((self.index < 0).any())

    def bounds(self, given: Bounds) -> Bounds:
        """Each with its own bounds."""
        return Bounds(self(given.low[None])[0], self(given.high[None])[0])


@dataclass(frozen=True)
class Add:
    """Sums and differences of tensors of one shape, nothing rounded.

    Attributes:
        layer: Name of the layer.
        signs: 1 or -1 for each tensor.
        shifts: Bits by which each is shifted up, so that the binary points are in line.
        fraction: Fraction bits of the result.
    """

    layer: str
    signs: tuple[int, ...]
    shifts: tuple[int, ...]
    fraction: int

    def __call__(self, *given: Codes) -> Codes:
        """The sums."""
        terms = [sign * (codes << shift) for codes, sign, shift in zip(given, self.signs, self.shifts, strict=True)]
        result: Codes = np.sum(terms, axis=0)
        return result

    def bounds(self, *given: Bounds) -> Bounds:
        """Every term at its own worst end."""
        carried(self.layer, sum(one.largest << shift for one, shift in zip(given, self.shifts, strict=True)))
        ends = [
            (one.low << shift, one.high << shift) if sign > 0 else (-(one.high << shift), -(one.low << shift))
            for one, sign, shift in zip(given, self.signs, self.shifts, strict=True)
        ]
        return Bounds(np.sum([low for low, _ in ends], axis=0), np.sum([high for _, high in ends], axis=0))


@dataclass(frozen=True)
class Multiply:
    """Products of two tensors of one shape, nothing rounded; of one tensor with itself, which is never negative.

    Attributes:
        layer: Name of the layer.
        square: Whether there is one tensor.
        fraction: Fraction bits of the products.
    """

    layer: str
    square: bool
    fraction: int

    def __call__(self, *given: Codes) -> Codes:
        """The products."""
        result: Codes = given[0] * given[-1]
        return result

    def bounds(self, *given: Bounds) -> Bounds:
        """The least and the greatest product of ends."""
        one, other = given[0], given[-1]
        carried(self.layer, one.largest * other.largest)
        if self.square:
            ends = np.stack([one.low**2, one.high**2, np.clip(0, one.low, one.high) ** 2])
        else:
            ends = np.stack([a * b for a in (one.low, one.high) for b in (other.low, other.high)])
        return Bounds(ends.min(axis=0), ends.max(axis=0))


@dataclass(frozen=True)
class Concatenate:
    """Tensors side by side.

    Attributes:
        layer: Name of the layer.
        axis: Along which axis of an event.
        shifts: Bits by which each is shifted up, so that the binary points are in line.
        fraction: Fraction bits of the result.
    """

    layer: str
    axis: int
    shifts: tuple[int, ...]
    fraction: int

    def __call__(self, *given: Codes) -> Codes:
        """All of them."""
        return np.concatenate([one << up for one, up in zip(given, self.shifts, strict=True)], axis=self.axis + 1)

    def bounds(self, *given: Bounds) -> Bounds:
        """All of their bounds."""
        low, high = (self(*(getattr(one, end)[None] for one in given))[0] for end in ("low", "high"))
        return Bounds(low, high)


Step = (
    Cast
    | Dense
    | Accumulate
    | Scale
    | Relu
    | Table
    | Softmax
    | Sum
    | Max
    | Shape
    | Gather
    | Add
    | Multiply
    | Concatenate
)


@dataclass(frozen=True, eq=False)
class Circuit:
    """A network as steps on integers.

    Tensors are numbered: 0 is the input, `k + 1` is what step `k` gives.

    Attributes:
        shape: Of an event at the input.
        wire: Format of the input codes.
        steps: From input to output; each reads what was there before it.
        reads: The tensors that each step reads; by default each reads what the one before it gives.
    """

    shape: tuple[int, ...]
    wire: FixedPoint
    steps: tuple[Step, ...]
    reads: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.reads:
            object.__setattr__(self, "reads", tuple((number,) for number in range(len(self.steps))))
        assert all(max(read) <= number for number, read in enumerate(self.reads))

    @property
    def fraction(self) -> int:
        """Fraction bits of the outputs."""
        return self.steps[-1].fraction

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an event at the output."""
        return self.bounds()[-1].low.shape

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For each tensor the steps that read it."""
        return tuple(
            tuple(number for number, read in enumerate(self.reads) if tensor in read)
            for tensor in range(len(self.steps) + 1)
        )

    def following(self, number: int) -> list[int]:
        """The steps after one, as long as each is the only one that reads what the last one gives, and nothing else."""
        found: list[int] = []
        while len(self.readers[number + 1]) == 1 and len(self.reads[self.readers[number + 1][0]]) == 1:
            (number,) = self.readers[number + 1]
            found.append(number)
        return found

    def walk(self, codes: Codes) -> Iterator[tuple[Step, tuple[Codes, ...], Codes]]:
        """Every step with the codes that it reads and those that it gives, each of shape `(events, ...)`."""
        tensors: dict[int, Codes] = {0: codes.reshape(-1, *self.shape)}
        for number, (step, read) in enumerate(zip(self.steps, self.reads, strict=True)):
            given = tuple(tensors[one] for one in read)
            tensors[number + 1] = step(*given)
            yield step, given, tensors[number + 1]
            for one in read:  # what nobody reads any more need not be kept
                if self.readers[one][-1] == number:
                    tensors.pop(one, None)

    def __call__(self, codes: Codes) -> Codes:
        """Codes of the outputs, shape `(events, outputs)`, with `fraction` bits right of the point."""
        parts = []
        for start in range(0, max(len(codes), 1), self.block):
            *_, (_, _, out) = self.walk(codes[start : start + self.block])
            parts.append(out.reshape(len(out), int(np.prod(out.shape[1:]))))
        return np.concatenate(parts)

    @cached_property
    def block(self) -> int:
        """Events that are computed at once."""
        widest = max(bounds.low.size for bounds in self.bounds())
        return max(64, min(_BLOCK, _NUMBERS // widest))

    def bounds(self) -> list[Bounds]:
        """Of every tensor, for any input codes."""
        return self._bounds

    @cached_property
    def _bounds(self) -> list[Bounds]:
        whole = np.full(self.shape, self.wire.min_code, dtype=np.int64)
        found = [Bounds(whole, np.full(self.shape, self.wire.max_code, dtype=np.int64))]
        for step, read in zip(self.steps, self.reads, strict=True):
            found.append(step.bounds(*(found[one] for one in read)))
        return found

    def bounded(self) -> Iterator[tuple[Step, tuple[Bounds, ...]]]:
        """Every step with the bounds of what it reads."""
        found = self.bounds()
        for step, read in zip(self.steps, self.reads, strict=True):
            yield step, tuple(found[one] for one in read)

    def to_port(self, codes: Codes, port: FixedPoint) -> Codes:
        """Outputs as codes of the firmware's output format.

        Raises:
            InputError: One is not a number of that format: formats and network do not belong together.
        """
        shift = port.fraction - self.fraction
        aligned = codes << shift if shift >= 0 else codes >> -shift
        inexact = shift < 0 and bool((aligned << -shift != codes).any())
        if inexact or (aligned < port.min_code).any() or (aligned > port.max_code).any():
            raise InputError(f"outputs of the network are not numbers of the firmware's output port, {port}")
        return aligned


def _looked_up(entries: Codes, codes: Codes, form: FixedPoint) -> Codes:
    """Entries by the leading bits of the register."""
    bits = max(1, (len(entries) - 1).bit_length())
    found: Codes = entries[(codes & ((1 << form.width) - 1)) >> (form.width - bits)]
    return found


def carried(layer: str, largest: int) -> int:
    """The same number, if int64 and the formats hold it.

    Raises:
        UnsupportedError: They do not.
    """
    if largest >= 1 << CARRIED:
        raise UnsupportedError(f"layer {layer!r}: sums may need {largest.bit_length()} bits, {CARRIED} are the most")
    return largest
