"""Vectors that a network is compared on besides physics: the ends of every format, each layer's saturation points, ties,
and random codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from firmware.circuit import Accumulate, Cast, Circuit, Dense
from trigger.errors import InputError
from trigger.fixed_point import Codes, FixedPoint, Values
from trigger.inputs.contract import InputSpec

DISTINCT_OUTPUTS = 8
"""Different outputs that physics and random vectors must at least give."""
_NUMBERS = 1 << 24
"""Numbers of one tensor held at once."""
_ASLEEP, _PARENTS, _CHILDREN, _GENERATIONS = 64, 32, 8, 40
_BETWEEN = 512
_FAR = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Vectors:
    """Inputs of a comparison.

    Attributes:
        name: What they are: `physics`, `boundary`, `saturation`, `ties`, `random`.
        codes: Integer codes, shape `(events, inputs)`.
        values: What the reference network is given, shape `(events, inputs)`; the values of `codes` unless they are to be
            rounded by the network itself.
    """

    name: str
    codes: Codes
    values: Values


def from_codes(name: str, codes: Codes, contract: InputSpec) -> Vectors:
    """Vectors that are given as codes.

    Raises:
        InputError: There is none, or a code is outside its input's range.
    """
    if len(codes) == 0:
        raise InputError(f"there are no {name} vectors")
    contract.check_codes(codes, f"{name} vectors")
    return Vectors(name, codes, contract.values(codes))


def boundary(contract: InputSpec, seed: int) -> Vectors:
    """The ends of every input's format: lowest, highest, 0, one step either side; all inputs at once, and each alone on
    backgrounds of zeros and of random codes.
    """
    low, high = contract.code_ranges()
    zero = np.zeros(len(low), dtype=np.int64)
    corners = [np.clip(corner, low, high) for corner in (low, high, zero, zero + 1, zero - 1, low + 1, high - 1)]
    generator = np.random.default_rng([seed, 1])
    rows = [*corners]
    for column in range(len(low)):
        for background in (zero, *(generator.integers(low, high, endpoint=True) for _ in range(8))):
            for corner in corners:
                row = np.clip(background, low, high)
                row[column] = corner[column]
                rows.append(row)
    return from_codes("boundary", np.stack(rows), contract)


def saturation(circuit: Circuit, contract: InputSpec, pool: Codes) -> Vectors:
    """Events at the saturation points of every layer: for each channel of each cast those, of a pool, that lie nearest to
    either end of its format on either side, and the extremes; for the first layer the worst case of every neuron as well. For
    channels that no event of the pool moves, events are searched that do.

    Args:
        circuit: The network.
        contract: Its inputs.
        pool: Input codes to choose from, shape `(events, inputs)`.
    """
    low, high = contract.code_ranges()
    first = next((step for step in circuit.steps[:2] if isinstance(step, Dense | Accumulate)), None)
    worst = [] if first is None or first.kernel.shape[0] != len(low) else [
        np.where(row > 0, *ends) for row in first.kernel.T for ends in ((high, low), (low, high))
    ]  # fmt: skip
    widest = max(bounds.low.size for bounds in circuit.bounds())
    pool = pool[:: -(-len(pool) * widest // _NUMBERS)]  # of a large network fewer events
    pool = np.concatenate([pool, np.stack(worst)]) if worst else pool
    chosen = set(range(len(pool) - len(worst), len(pool)))
    asleep: list[tuple[int, int]] = []
    for number, (step, (given, *_), out) in enumerate(circuit.walk(pool)):
        if isinstance(step, Cast):
            lasting = (out == out[:1]).reshape(-1, out.shape[-1]).all(axis=0) if out.ndim > 1 else np.zeros(0, bool)
            asleep += [(number, int(channel)) for channel in np.flatnonzero(lasting)]
            shift = step.source.fraction - step.form.fraction
            flat = given.reshape(len(given), int(np.prod(given.shape[1:])))
            chosen.update(np.argmin(flat, axis=0).tolist(), np.argmax(flat, axis=0).tolist())
            for end in (step.form.min_code, step.form.max_code):
                edge = end << shift if shift >= 0 else end >> -shift
                for side in (flat - edge, edge - flat - 1):
                    chosen.update(np.argmin(np.where(side >= 0, side, _FAR), axis=0).tolist())
    found = [pool[sorted(chosen)], *(_woken(circuit, *one, pool, (low, high)) for one in asleep[:_ASLEEP])]
    return from_codes("saturation", np.concatenate(found), contract)


def _woken(circuit: Circuit, number: int, channel: int, pool: Codes, ends: tuple[Codes, Codes]) -> Codes:
    """Events that drive one channel of a cast as far up as a search finds: the best of many small changes, again and again.
    And those met on the way for which it is between the ends of its format, where every weight before it can be seen.

    A rectifier that is 0 for every event of a pool hides all that comes before it and all that reads it.
    """
    step = circuit.steps[number]
    assert isinstance(step, Cast)
    low, high = (
        step.form.values(np.array(code)) / step.source.step for code in (step.form.min_code, step.form.max_code)
    )
    generator = np.random.default_rng([number, channel])
    corners = np.stack([*ends, np.zeros_like(ends[0])])

    def reached(codes: Codes) -> Codes:
        _, (given, *_), _ = next(islice(circuit.walk(codes), number, None))
        largest: Codes = given[..., channel].reshape(len(codes), -1).max(axis=1)
        return largest

    alone = np.diag(
        ends[1]
    )  # one input at its largest and all others 0: where most weights are negative, few are enough
    start = np.concatenate([pool, alone, corners])
    best = start[np.argsort(-reached(start), kind="stable")[:_PARENTS]]
    between = []
    for _ in range(_GENERATIONS):
        children = np.repeat(best, _CHILDREN, axis=0)
        changed = generator.random(children.shape) < generator.choice([0.02, 0.1, 0.3], (len(children), 1))
        corner = corners[generator.integers(0, len(corners), children.shape), np.arange(children.shape[1])]
        fresh = np.where(
            generator.random(children.shape) < 0.5, corner, generator.integers(*ends, children.shape, endpoint=True)
        )
        both = np.concatenate([best, np.where(changed, fresh, children)])
        value = reached(both)
        best = both[np.argsort(-value, kind="stable")[:_PARENTS]]
        between.append(both[(value > low) & (value < high)])
    met = np.unique(np.concatenate(between), axis=0)
    if len(met):  # first those which the outputs are not at an end for, where what is before them can be seen
        outputs = circuit(met).reshape(len(met), -1)
        free = ((outputs > outputs.min(axis=0)) & (outputs < outputs.max(axis=0))).any(axis=1)
        order = generator.permutation(len(met))
        met = met[order[np.argsort(~free[order], kind="stable")][:_BETWEEN]]
    return np.concatenate([best, met])


def ties(contract: InputSpec, count: int, seed: int) -> Vectors:
    """Real values exactly half-way between two codes: the contract rounds them for the firmware, the network's own cast
    for the reference, and both must go the same way.
    """
    low, high = contract.code_ranges()
    steps = np.array([one.format.step for one in contract.inputs])
    generator = np.random.default_rng([seed, 2])
    below = generator.integers(low - 2, high + 2, (count, len(low)), endpoint=True)
    # Events of many large numbers saturate a network whatever becomes of a tie: half of them are small as a whole.
    below[::2] >>= generator.integers(0, _widest(contract), (len(below[::2]), 1))
    values = (below + 0.5) * steps
    codes = np.stack([one.format.codes(values[:, index]) for index, one in enumerate(contract.inputs)], axis=1)
    return Vectors("ties", codes, values)


def random(contract: InputSpec, count: int, seed: int) -> Vectors:
    """Random codes: half spread evenly over the range, a quarter evenly over the orders of magnitude, so that small numbers,
    where rounding decides, are as common as large ones, where saturation does; and a quarter of events that are small as a
    whole, because many inputs of which some are large saturate a network nearly always.
    """
    low, high = contract.code_ranges()
    generator = np.random.default_rng([seed, 3])
    even = generator.integers(low, high, (count // 2, len(low)), endpoint=True)
    rest = generator.integers(low, high, (count - count // 2, len(low)), endpoint=True)
    shift = generator.integers(0, _widest(contract), rest.shape)
    shift[::2] = shift[::2, :1]
    logarithmic = rest >> shift  # keeps the sign
    return from_codes("random", np.concatenate([even, logarithmic]), contract)


def _widest(contract: InputSpec) -> int:
    return max(one.format.width for one in contract.inputs)


def require_test(group: Vectors, outputs: Codes, output: FixedPoint) -> None:
    """Refuse vectors that test nothing.

    Args:
        group: The vectors.
        outputs: What the reference gives for them, shape `(events, outputs)`.
        output: Format of the outputs.

    Raises:
        InputError: All inputs are 0, the outputs never change, or there are too few different ones.
    """
    if not group.codes.any():
        raise InputError(f"{group.name} vectors test nothing: every input code is 0")
    wanted = min(DISTINCT_OUTPUTS, len(outputs), 1 << min(output.width * outputs.shape[1], 30))
    distinct = len(np.unique(outputs, axis=0))
    if distinct < min(2, wanted):
        raise InputError(f"{group.name} vectors test nothing: the reference gives the same outputs for every event")
    if group.name in ("physics", "random") and distinct < wanted:
        raise InputError(
            f"{group.name} vectors test too little: {len(outputs):,} events give {distinct} different outputs, at least "
            f"{wanted} are needed"
        )
