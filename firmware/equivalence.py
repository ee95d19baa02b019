"""Proofs that a fault changes nothing: because what it changes is dead, or because all codes that can reach it were
enumerated. What is not proven here counts against the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile

import numpy as np

from firmware.circuit import Bounds, Cast, Circuit, Dense, Table
from firmware.faults import TYPES, Kind, Mutant
from trigger.fixed_point import Codes, FixedPoint, Overflow

_ENUMERATED = 1 << 25


def equivalent(circuit: Circuit, mutant: Mutant, accumulators: Mapping[str, FixedPoint]) -> str | None:
    """Why a mutant changes nothing, or `None` where that cannot be proven.

    Args:
        circuit: The network without the fault.
        mutant: The fault.
        accumulators: Declared type of each layer's accumulator.
    """
    given = [read[0] for _, read in circuit.bounded()]
    sought = {Kind.WEIGHT: Dense, Kind.BIAS: Dense, Kind.TABLE: Table}.get(
        mutant.kind, object
    )  # a layer may be several steps
    number = next(
        (k for k, step in enumerate(circuit.steps) if step.layer == mutant.layer and isinstance(step, sought)), None
    )
    if number is None:
        return None
    step = circuit.steps[number]
    if mutant.kind in TYPES:
        chain = [number, *circuit.following(number)]
        at = next((k for k in chain if isinstance(circuit.steps[k], Cast)), None)
        return None if at is None else _same_cast(circuit, at, given[at], mutant)
    match step:
        case Dense() if mutant.kind in (Kind.WEIGHT, Kind.BIAS):
            return _dead_sum(circuit, number, given[number], mutant, accumulators.get(step.layer))
        case Table() if mutant.kind is Kind.TABLE:
            first, last = step.index(given[number].low).min(), step.index(given[number].high).max()
            entry = mutant.index[0]
            if not first <= entry <= last:
                return f"entry {entry} is never looked up: only {first} to {last} are"
            return _dead_bit(circuit, step.function, mutant)
        case _:
            return None


def _dead_bit(circuit: Circuit, function: str, mutant: Mutant) -> str | None:
    """A bit of a table's entry that no cast behind any table of the function keeps."""
    entry, bit = mutant.index
    for number, step in enumerate(circuit.steps):
        if not isinstance(step, Table) or step.function != function:
            continue
        flipped = int(step.entries[entry]) ^ (1 << bit)
        if step.form.signed and bit == step.form.width - 1:  # the sign's bit counts downwards
            flipped = int(step.entries[entry]) + (-1 if step.entries[entry] >= 0 else 1) * (1 << bit)
        codes = np.array([[step.entries[entry]], [flipped]], dtype=np.int64)
        for cast in takewhile(lambda one: isinstance(one, Cast), (circuit.steps[k] for k in circuit.following(number))):
            assert isinstance(cast, Cast)
            codes = cast(codes)
        if codes[0] != codes[1]:
            return None
    return f"bit {bit} of entry {entry} is kept by no cast behind the table"


def _dead_sum(
    circuit: Circuit, number: int, given: Bounds, mutant: Mutant, accumulator: FixedPoint | None
) -> str | None:
    """A weight of an input that is always 0, or of a neuron that nothing reads or whose casts give one code whatever comes."""
    step, channel = circuit.steps[number], mutant.index[-1]
    assert isinstance(step, Dense)
    if (
        mutant.kind is Kind.WEIGHT
        and given.low[..., mutant.index[0]].min() == 0 == given.high[..., mutant.index[0]].max()
    ):
        return f"input {mutant.index[0]} of the layer is always 0"
    chain = [circuit.steps[one] for one in circuit.following(number)]
    casts = list(takewhile(lambda one: isinstance(one, Cast), chain))
    after = chain[len(casts) :][:1]
    if after and isinstance(after[0], Dense) and not after[0].kernel[channel].any():
        return f"nothing reads neuron {channel}"
    if accumulator is not None and _beyond(circuit, number, mutant, accumulator):
        return f"the fault lies left of all bits of {accumulator}, which wraps"
    changed = _with_fault(circuit, number, mutant)
    if not casts or changed is None or accumulator is None:
        return None
    sums = changed.bounds(given)
    finer = max(accumulator.fraction - changed.fraction, 0)
    if accumulator.fraction < changed.fraction or (sums.low << finer).min() < accumulator.min_code:
        return None  # the declared accumulator does not hold the sums with the fault
    if (sums.high << finer).max() > accumulator.max_code:
        return None
    ends = []
    for one in (step, changed):
        reach = one.bounds(given)
        for cast in casts:
            reach = cast.bounds(reach)
        ends.append((int(reach.low[..., channel].min()), int(reach.high[..., channel].max())))
    if ends[0] == ends[1] and ends[0][0] == ends[0][1]:
        return f"neuron {channel} gives {ends[0][0]} whatever comes, with the fault and without"
    return None


def _beyond(circuit: Circuit, number: int, mutant: Mutant, accumulator: FixedPoint) -> bool:
    """Whether whatever the fault adds is a multiple of what the accumulator wraps by."""
    assert mutant.form is not None
    before = _fraction_before(circuit, number)
    unit = mutant.change * 2.0 ** (
        accumulator.fraction - mutant.form.fraction - (before if mutant.kind is Kind.WEIGHT else 0)
    )
    return accumulator.overflow is Overflow.WRAP and unit.is_integer() and int(unit) % (1 << accumulator.width) == 0


def _fraction_before(circuit: Circuit, number: int) -> int:
    """Fraction bits of what a step is given."""
    (source,) = circuit.reads[number]
    return circuit.steps[source - 1].fraction if source else circuit.wire.fraction


def _with_fault(circuit: Circuit, number: int, mutant: Mutant) -> Dense | None:
    """The sums with the fault, where it is a whole number of their steps."""
    step = circuit.steps[number]
    assert isinstance(step, Dense)
    assert mutant.form is not None
    before = _fraction_before(circuit, number)
    change = mutant.change * 2.0 ** (
        step.fraction - mutant.form.fraction - (before if mutant.kind is Kind.WEIGHT else 0)
    )
    if not change.is_integer():
        return None
    kernel, bias = step.kernel.copy(), step.bias.copy()
    if mutant.kind is Kind.BIAS:
        bias[mutant.index[-1]] += int(change)
    else:
        kernel[mutant.index] += int(change)
    return replace(step, kernel=kernel, bias=bias)


def _same_cast(circuit: Circuit, at: int, reach: Bounds, mutant: Mutant) -> str | None:
    """All codes that can come, enumerated; sums are multiples of what their weights have in common, off the bias."""
    cast, source = circuit.steps[at], circuit.reads[at][0]
    before = circuit.steps[source - 1] if source else None
    assert isinstance(cast, Cast)
    assert mutant.form is not None
    changed = replace(cast, form=mutant.form)
    if changed.form.fraction != cast.form.fraction:
        return None
    low, high = int(reach.low.min()), int(reach.high.max())
    if high - low < _ENUMERATED and _cast_alike(cast, changed, np.arange(low, high + 1, dtype=np.int64)):
        return f"all {high - low + 1:,} codes that can come were cast both ways"
    if not isinstance(before, Dense):
        return None
    total = 0
    for channel in range(reach.low.shape[-1]):
        common, offset = max(1, int(np.gcd.reduce(np.abs(before.kernel[:, channel])))), int(before.bias[channel])
        low, high = int(reach.low[..., channel].min()), int(reach.high[..., channel].max())
        total += (high - low) // common + 1
        if total > _ENUMERATED:
            return None
        codes = np.arange(-((offset - low) // common), (high - offset) // common + 1, dtype=np.int64) * common + offset
        if not _cast_alike(cast, changed, codes):
            return None
    return f"all {total:,} sums that can come were cast both ways"


def _cast_alike(one: Cast, other: Cast, codes: Codes) -> bool:
    block = 1 << 20
    return all(
        np.array_equal(one(codes[k : k + block]), other(codes[k : k + block])) for k in range(0, len(codes), block)
    )
