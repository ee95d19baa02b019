"""Where two engines part, and why: the first layer in data-flow order whose codes differ, and a cause found by trying causes.

The layers before the first difference agree, so what goes into it is the same for both sides. A cause is then a change of
that one layer that gives exactly the other engine's codes for every event: it is found by making the change and looking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from firmware.circuit import Accumulate, Cast, Circuit, Dense, Step, Table, unbounded
from trigger.errors import InputError
from trigger.fixed_point import MAX_WIDTH, Codes, FixedPoint, Overflow, Rounding

_SHOWN = 12
"""Steps of the histogram that are shown."""
_EVENTS = 2000
"""Events that causes are tried on."""
_ENTRY_BITS = 22
"""Widest entries of a table for which all values are tried."""
INPUT = "input"


@dataclass(frozen=True)
class Tap:
    """The codes of one layer's output, as an engine gave them.

    Attributes:
        name: What the engine calls the layer.
        layer: Name of the network's layer whose output it is; where the engine does two in one, the last of them.
        fraction: Fraction bits of the codes.
        codes: Shape `(events, channels)`.
    """

    name: str
    layer: str
    fraction: int
    codes: Codes


@dataclass(frozen=True)
class Divergence:
    """The first difference of an engine.

    Attributes:
        engine: Which.
        vectors: Which vectors it was found on.
        layer: First layer in data-flow order that differs.
        event: First event in which it does.
        channel: First channel of that event.
        expected: Code of the reference there.
        found: Code of the engine.
        differing: Codes of the layer that differ.
        compared: Codes of the layer that were compared.
        histogram: How often the engine was off by so many steps; the most frequent ones.
        causes: Changes of that layer, each of which explains every code of it; empty where none of those tried does.
    """

    engine: str
    vectors: str
    layer: str
    event: int
    channel: int
    expected: int
    found: int
    differing: int
    compared: int
    histogram: Mapping[int, int]
    causes: tuple[str, ...]

    def sentence(self) -> str:
        """For a person."""
        cause = self.causes[0] if self.causes else "no single cause that was tried explains it"
        return (
            f"{self.engine} parts from the reference in layer {self.layer!r}: {self.differing:,} of {self.compared:,} codes, "
            f"first in {self.vectors} event {self.event}, channel {self.channel}: {self.found} instead of {self.expected}; "
            f"{cause}"
        )

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {**vars(self), "histogram": {str(step): count for step, count in self.histogram.items()}}


def first_difference(
    engine: str, vectors: str, circuit: Circuit, codes: Codes, taps: list[Tap], causes: bool = True
) -> Divergence | None:
    """Compare an engine's layers with the circuit's, in the order in which data flows.

    Args:
        engine: Its name.
        vectors: Name of the vectors.
        circuit: The network, which gives the expected codes.
        codes: Input codes, shape `(events, inputs)`.
        taps: The engine's layers, in data-flow order.
        causes: Whether to look for the cause.

    Raises:
        InputError: A tap is of a layer that is not in the network.
    """
    expected = expected_codes(circuit, codes, taps)
    for index, (want, tap) in enumerate(zip(expected, taps, strict=True)):
        wrong = want != tap.codes
        if not wrong.any():
            continue
        event, channel = (int(one) for one in np.argwhere(wrong)[0])
        steps, counts = np.unique((tap.codes - want)[wrong], return_counts=True)
        order = np.argsort(-counts)[:_SHOWN]
        before = [one.layer for one in taps[:index]]
        found = tuple(explain(circuit, codes, before, tap)) if causes else ()
        return Divergence(
            engine, vectors, tap.name, event, channel, int(want[event, channel]), int(tap.codes[event, channel]),
            int(wrong.sum()), wrong.size, {int(steps[k]): int(counts[k]) for k in order}, found,
        )  # fmt: skip
    return None


def expected_codes(circuit: Circuit, codes: Codes, taps: list[Tap]) -> list[Codes]:
    """The circuit's own codes at the taps, in their fractions."""
    found: dict[str, tuple[int, Codes]] = {INPUT: (circuit.wire.fraction, codes)}
    for step, _, out in circuit.walk(codes):
        found[step.layer] = (step.fraction, out.reshape(len(out), int(np.prod(out.shape[1:]))))
    expected = []
    for tap in taps:
        if tap.layer not in found:
            raise InputError(f"layer {tap.layer!r} is not in the network; there are {', '.join(found)}")
        own, out = found[tap.layer]
        # A tap with fewer bits right of the point than the network has is compared on the bits that it has.
        expected.append(out << (tap.fraction - own) if tap.fraction >= own else out >> (own - tap.fraction))
    return expected


def explain(circuit: Circuit, codes: Codes, before: list[str], tap: Tap) -> Iterator[str]:
    """Changes of the steps between a tap and those before it that give the engine's codes."""
    wanted = tap.codes[:_EVENTS]
    last = {step.layer: number for number, step in enumerate(circuit.steps)}
    end = last.get(tap.layer, -1)
    start = max((last[name] + 1 for name in before if name != INPUT and last[name] < end), default=0)
    tensors = [codes[:_EVENTS].reshape(-1, *circuit.shape)]
    for step, read in zip(circuit.steps[: end + 1], circuit.reads, strict=False):
        tensors.append(step(*(tensors[one] for one in read)))

    def gives(at: int, changed: Step) -> bool:
        made = {at + 1: changed(*(tensors[one] for one in circuit.reads[at]))}
        for number in range(at + 1, end + 1):
            made[number + 1] = circuit.steps[number](*(made.get(one, tensors[one]) for one in circuit.reads[number]))
        shift = tap.fraction - (changed if at == end else circuit.steps[end]).fraction
        y = made[end + 1].reshape(len(wanted), -1)
        aligned = y << shift if shift >= 0 else y >> -shift
        return bool(np.array_equal(aligned, wanted))

    for number in range(start, end + 1):
        step, rest = circuit.steps[number], circuit.steps[number + 1 : end + 1]
        for text, made in _changes(step, tensors[circuit.reads[number][0]], wanted, rest):
            try:
                if gives(number, made()):
                    yield f"input cast, {text}" if number == 0 else text
            except InputError:
                continue  # the change is no format at all


Change = tuple[str, Callable[[], Step]]
"""What is changed, and how to make the changed step; making it may fail, for not every change is a format."""


def _changes(step: Step, x: Codes, wanted: Codes, rest: tuple[Step, ...]) -> Iterator[Change]:
    """Changes of a step that is given `x` and followed by `rest` up to the tap."""
    match step:
        case Cast():
            yield from _other_casts(step)
        case Dense():
            yield from _other_accumulators(step)
            yield from _other_weights(step, x, wanted, rest)
        case Accumulate():
            yield from _other_sums(step)
        case Table():
            yield from _other_entries(step, x, wanted, rest)
        case _:
            return


def _with(step: Cast | Accumulate, **changes: Any) -> Callable[[], Step]:
    """The step with another format."""
    return lambda: replace(step, form=replace(step.form, **changes))


def _other_casts(step: Cast) -> Iterator[Change]:
    form = step.form
    for overflow in Overflow:
        if overflow is not form.overflow:
            kind = "wrap" if overflow is Overflow.WRAP else "saturation"
            yield f"{kind}: {overflow} instead of {form.overflow}", _with(step, overflow=overflow)
    for rounding in Rounding:
        if rounding is not form.rounding:
            yield f"rounding mode: {rounding} instead of {form.rounding}", _with(step, rounding=rounding)
    for shift in (1, -1, 2, -2):
        moved = _with(step, integer=form.integer + shift, fraction=form.fraction - shift)
        yield f"shift: the binary point is {shift:+d} bits off", moved
    for bits in (1, -1, 2, -2):
        yield f"width: {bits:+d} fraction bits", _with(step, fraction=form.fraction + bits)
        yield f"width: {bits:+d} integer bits", _with(step, integer=form.integer + bits)


def _accumulating(step: Dense, form: FixedPoint) -> Step:
    """The same sums in a declared accumulator."""
    product = unbounded(step.fraction)
    return Accumulate(step.layer, step.kernel, form.cast(step.bias, product), product, form)


def _other_accumulators(step: Dense) -> Iterator[Change]:
    """An accumulator that is narrower than the sums: whole sums cast, or every product before it is added."""
    reach = int(np.abs(step.kernel).sum(axis=0).max()).bit_length() + 24 - step.fraction
    for integer in range(min(reach, MAX_WIDTH - 2 - step.fraction), -step.fraction, -1):
        form = FixedPoint(True, integer, step.fraction)
        yield f"accumulator too narrow: {integer + 1} integer bits", partial(_accumulating, step, form)
    for lost in range(1, min(step.fraction, 12) + 1):
        for rounding in (Rounding.TRN, Rounding.RND):
            form = replace(unbounded(step.fraction, rounding), fraction=step.fraction - lost)
            text = f"product cast: each product loses {lost} bits ({rounding}) before it is added"
            yield text, partial(_accumulating, step, form)


def _other_sums(step: Accumulate) -> Iterator[Change]:
    form = step.form
    for rounding in Rounding:
        if rounding is not form.rounding:
            yield f"product cast: {rounding} instead of {form.rounding}", _with(step, rounding=rounding)
    for overflow in Overflow:
        if overflow is not form.overflow:
            yield f"accumulator: {overflow} instead of {form.overflow}", _with(step, overflow=overflow)
    yield "accumulator too narrow: the other side's is wider", _with(step, integer=MAX_WIDTH - 1 - form.fraction)
    fraction = step.product.fraction
    if fraction >= form.fraction:
        exact = Dense(step.layer, step.kernel, step.bias << (fraction - form.fraction), fraction)
        yield "product cast: the other side casts no product", lambda: exact
    for bits in (1, 2, 3, 4):
        yield f"accumulator too narrow: {bits} integer bits fewer", _with(step, integer=form.integer - bits)


def _other_weights(step: Dense, x: Codes, wanted: Codes, rest: tuple[Step, ...]) -> Iterator[Change]:
    """One weight or one bias changed. Only channels that differ are looked at, and only if it is a single one."""
    y = step(x)
    if y.size != wanted.size or not all(isinstance(one, Cast) for one in rest):
        return
    x, y = (one.reshape(-1, one.shape[-1]) for one in (x, y))  # a kernel is the same at every position
    wanted = wanted.reshape(y.shape)
    own = _through(rest, y)
    channels = np.flatnonzero((own != wanted).any(axis=0))
    if len(channels) != 1:
        return
    channel = int(channels[0])
    for change in (sign << bit for bit in range(24) for sign in (1, -1)):
        if _matches(rest, y[:, channel] + change, channel, wanted):
            bias = step.bias.copy()
            bias[channel] += change
            text = f"bias of neuron {channel}: off by {change} steps of the sum"
            yield text, partial(replace, step, bias=bias)
        for source in range(step.kernel.shape[0]):
            if _matches(rest, y[:, channel] + change * x[..., source], channel, wanted):
                kernel = step.kernel.copy()
                kernel[source, channel] += change
                ours, theirs = step.kernel[source, channel], kernel[source, channel]
                text = f"weight from {source} to neuron {channel}: {theirs} instead of {ours}"
                yield text, partial(replace, step, kernel=kernel)


def _matches(rest: tuple[Step, ...], column: Codes, channel: int, wanted: Codes) -> bool:
    """Whether a changed column of sums gives the wanted codes; a few of them are looked at first."""
    return all(
        np.array_equal(_through(rest, column[some, None])[:, 0], wanted[some, channel])
        for some in (slice(0, 64), slice(None))
    )


def _other_entries(step: Table, x: Codes, wanted: Codes, rest: tuple[Step, ...]) -> Iterator[Change]:
    """One entry of a table changed: all codes that differ looked up the same entry and found the same there."""
    own = _through(rest, step(x))
    if own.shape != wanted.shape or step.form.width > _ENTRY_BITS or not all(isinstance(one, Cast) for one in rest):
        return
    wrong = own != wanted
    looked_up = np.unique(step.index(x).reshape(own.shape)[wrong])
    found = np.unique(wanted[wrong])
    if len(looked_up) != 1 or len(found) != 1:
        return
    possible = np.arange(step.form.min_code, step.form.max_code + 1, dtype=np.int64)
    good = possible[_through(rest, possible[:, None])[:, 0] == found[0]]
    if len(good):
        entries, entry = step.entries.copy(), int(looked_up[0])
        entries[entry] = good[np.argmin(np.abs(good - step.entries[entry]))]
        text = f"table entry {entry}: {entries[entry]} instead of {step.entries[entry]}"
        yield text, partial(replace, step, entries=entries)


def _through(rest: tuple[Step, ...], y: Codes) -> Codes:
    for one in rest:
        y = one(y)
    return y.reshape(len(y), -1)
