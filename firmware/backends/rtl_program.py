"""The program that the Verilog was written from, run by ourselves: what every wire of every stage must carry.

alkaid's program is a list of operations on fixed-point numbers for each pipeline stage. Here each is evaluated in int64, and
each is attributed to a layer of the network: the first one whose outputs it is needed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trigger.errors import UnsupportedError
from trigger.fixed_point import Codes

CONSTANT, INPUT = 5, -1


@dataclass(frozen=True, eq=False)
class Stage:
    """One pipeline stage with the codes of all its wires.

    Attributes:
        codes: Code of every operation's result, shape `(operations, events)`.
        fractions: Fraction bits of each.
        widths: Bits of each; 0 where there is no wire.
        operands: Operations that each one reads.
        results: The operations that leave the stage, in order.
        taken: For each operation which result of the stage before it takes, or -1.
    """

    codes: Codes
    fractions: list[int]
    widths: list[int]
    operands: list[tuple[int, ...]]
    results: list[int]
    taken: list[int]


def evaluate(programs: list[Any], codes: Codes, fractions: list[int]) -> list[Stage]:
    """Run every stage.

    Args:
        programs: From `rtl.programs`.
        codes: Input codes, shape `(events, inputs)`.
        fractions: Fraction bits of each input.

    Raises:
        UnsupportedError: The program has an operation that is not known here.
    """
    stages = []
    given, point = list(codes.T), fractions
    for program in programs:
        stage = _stage(program, given, point)
        stages.append(stage)
        given, point = [], []
        for index, shift, negative in zip(program.out_idxs, program.out_shifts, program.out_negs, strict=True):
            given.append(-stage.codes[index] if negative else stage.codes[index])
            point.append(stage.fractions[index] - shift)
    return stages


def _stage(program: Any, given: list[Codes], point: list[int]) -> Stage:
    formats = [tuple(int(one) for one in op.qint.kif) for op in program.ops]
    events = len(given[0])
    found = np.zeros((len(program.ops), events), dtype=np.int64)
    fractions = [f for _, _, f in formats]
    widths = [max(0, k + i + f) for k, i, f in formats]
    for index, (op, (signed, _, fraction)) in enumerate(zip(program.ops, formats, strict=True)):
        if widths[index]:
            exact, at = _value(op, found, fractions, widths, given, point, program.inp_shifts)
            aligned = exact << (fraction - at) if fraction >= at else exact >> (at - fraction)
            found[index] = _wrapped(aligned, signed, widths[index])
    taken = [int(op.data[0]) if op.opcode == INPUT else -1 for op in program.ops]
    return Stage(found, fractions, widths, [tuple(op.addr) for op in program.ops], list(program.out_idxs), taken)


def _value(  # noqa: PLR0912  one branch an operation
    op: Any, found: Codes, fractions: list[int], widths: list[int], given: list[Codes], point: list[int], shifts: Any
) -> tuple[Any, int]:
    """The exact result of an operation and its fraction bits."""
    operands, data = op.addr, op.data
    match op.opcode:
        case -1:
            return given[data[0]], point[data[0]] - int(shifts[data[0]])
        case -2:
            return -found[operands[0]], fractions[operands[0]]
        case 0 | 1:
            return _sum([(operands[0], 1, 0), (operands[1], 1 - 2 * op.opcode, data[0])], found, fractions)
        case 11:
            terms = [(a, 1 if data[2 * n] else -1, data[2 * n + 1]) for n, a in enumerate(operands)]
            return _sum(terms, found, fractions)
        case 2:
            return np.maximum(found[operands[0]], 0), fractions[operands[0]]
        case 3:
            return found[operands[0]], fractions[operands[0]] - data[0]
        case 4:
            at = max(fractions[operands[0]], data[1])
            return (found[operands[0]] << (at - fractions[operands[0]])) + (data[0] << (at - data[1])), at
        case 5:
            fraction = op.qint.kif[2]
            return np.int64(round(data[0] * op.qint.step * 2.0**fraction)), int(fraction)
        case 6:
            first, second, key = operands
            at = max(fractions[first], fractions[second] - data[0])
            one = found[first] << (at - fractions[first])
            other = found[second] << (at - fractions[second] + data[0])
            return np.where(found[key] >> (widths[key] - 1) & 1, one, other), at
        case 7:
            first, second = operands
            return found[first] * found[second], fractions[first] + fractions[second]
        case 9:
            raw, width = found[operands[0]], widths[operands[0]]
            if data[0] == 0:
                return ~raw, fractions[operands[0]]
            return (raw != 0 if data[0] == 1 else (raw & ((1 << width) - 1)) == (1 << width) - 1).astype(np.int64), 0
        case 10:
            at = max(fractions[operands[0]], fractions[operands[1]] - data[0])
            one = found[operands[0]] << (at - fractions[operands[0]])
            other = found[operands[1]] << (at - fractions[operands[1]] + data[0])
            return (one & other, one | other, one ^ other)[data[1]], at
        case _:
            raise UnsupportedError(f"operation {op.opcode} of the Verilog's program is not known")


def _sum(terms: list[tuple[int, int, int]], found: Codes, fractions: list[int]) -> tuple[Any, int]:
    at = max(fractions[index] - shift for index, _, shift in terms)
    return sum(sign * (found[index] << (at - fractions[index] + shift)) for index, sign, shift in terms), at


def _wrapped(codes: Codes, signed: int, width: int) -> Codes:
    low = codes & ((1 << width) - 1)
    return low - ((low >> (width - 1) & 1) << width) if signed else low


def attribute(stages: list[Stage], layers: Mapping[str, Codes]) -> dict[tuple[int, int], str]:
    """For each operation (stage, index) the first layer whose outputs it is needed for.

    Args:
        stages: Evaluated on random events.
        layers: In data-flow order, codes of each layer's outputs on the same events, shape `(events, channels)`.
    """
    places: dict[bytes, list[tuple[int, int]]] = {}
    for number, stage in enumerate(stages):
        for index, codes in enumerate(stage.codes):
            if codes.any():
                places.setdefault(_signature(codes), []).append((number, index))
    attributed: dict[tuple[int, int], str] = {}
    for name, outputs in layers.items():
        waiting = [place for column in outputs.T if column.any() for place in places.get(_signature(column), [])]
        while waiting:
            place = waiting.pop()
            if place in attributed:
                continue
            attributed[place] = name
            number, index = place
            stage = stages[number]
            waiting += [(number, operand) for operand in stage.operands[index]]
            if stage.taken[index] >= 0 and number > 0:
                waiting.append((number - 1, stages[number - 1].results[stage.taken[index]]))
    last = list(layers)[-1]
    for number, stage in enumerate(stages):
        for index in range(len(stage.codes)):
            attributed.setdefault((number, index), last)
    return attributed


def _signature(codes: Codes) -> bytes:
    """The same for numbers that differ by a power of two or a sign: alkaid moves both to where they are cheap."""
    lowest = int(np.bitwise_or.reduce(codes))
    odd = codes // (lowest & -lowest)
    return (odd if codes[np.flatnonzero(codes)[0]] > 0 else -odd).tobytes()
