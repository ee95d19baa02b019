"""Can an accumulator overflow? A static proof for every node, and counts on real events.

The worst case of each sum follows from its integer weights and the bounds of its inputs. A node whose declared type holds it
is *proven*. One that does not hold it, but overflowed for no event that was tried, is *safe on this data only*; one that did
overflow is *unsafe*. Casts that saturate do so by design and are counted, not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from firmware.circuit import Accumulate, Bounds, Cast, Circuit, Dense, Sum
from trigger.errors import InputError
from trigger.fixed_point import MAX_WIDTH, Codes, FixedPoint, Overflow
from trigger.verdict import Requirement, at_most, not_measured


class Safety(StrEnum):
    """What is known of a node."""

    PROVEN = "proven"
    DATA_ONLY = "safe on this data only"
    UNSAFE = "unsafe"
    BY_DESIGN = "saturates by design"


@dataclass(frozen=True)
class Node:
    """One place where a number is put into a declared type.

    Attributes:
        layer: Name of the layer.
        kind: `accumulator` or `cast`.
        declared: The declared type; `None` where the sources declare none.
        low: Worst case, in codes of the exact sum or of what is cast.
        high: The other end.
        fraction: Fraction bits of these codes.
        neuron: Index of the neuron (channel) with the worst case.
        safe: The narrowest type with the same fraction that holds everything.
        safety: What is known.
        below: Events and channels, of those tried, that fell below the type's range.
        above: That went above it.
        tried: Events and channels tried.
    """

    layer: str
    kind: str
    declared: FixedPoint | None
    low: int
    high: int
    fraction: int
    neuron: int
    safe: FixedPoint
    safety: Safety
    below: int = 0
    above: int = 0
    tried: int = 0

    @property
    def spare_bits(self) -> int | None:
        """Bits that the declared type has too many, or too few where negative."""
        return None if self.declared is None else self.declared.integer - self.safe.integer

    def sentence(self) -> str:
        """What a person needs to know."""
        if self.safety is Safety.PROVEN:
            return f"{self.layer}: proven to hold its worst case, {self.spare_bits} bits to spare"
        step, safe = 2.0**-self.fraction, self.safe
        return (
            f"{self.layer}: neuron {self.neuron} may reach {self.low * step:g} to {self.high * step:g}, which {self.declared} "
            f"does not hold: it takes {safe.width} bits, {safe.integer + safe.signed} of them integer; "
            f"{self.below + self.above:,} of {self.tried:,} did overflow"
        )

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            **vars(self), "declared": self.declared and str(self.declared), "safe": str(self.safe),
            "safety": str(self.safety), "spare_bits": self.spare_bits,
        }  # fmt: skip


def analyse(circuit: Circuit, declared: Mapping[str, FixedPoint]) -> tuple[Node, ...]:
    """The static proof for every node of a network.

    Args:
        circuit: The network.
        declared: Declared accumulators by layer, for layers whose arithmetic in the circuit is exact.

    Raises:
        InputError: The sources declare no accumulator for a layer that adds.
    """
    nodes = []
    for step, (given, *_) in circuit.bounded():
        match step:
            case Accumulate():
                low, high, fits = step.exact(given)
                safety = Safety.PROVEN if fits.all() else Safety.DATA_ONLY
                nodes.append(_node(step.layer, "accumulator", step.form, Bounds(low, high), step.fraction, safety))
            case Dense() if step.layer not in declared:
                raise InputError(f"the sources declare no accumulator for layer {step.layer!r}")
            case Dense() | Sum() if step.layer in declared:
                nodes.append(_accumulator(step.layer, declared[step.layer], step.bounds(given), step.fraction))
            case Cast() if step.form.overflow is Overflow.WRAP:
                lost = step.overflows(given.low) | step.overflows(given.high)
                safety = Safety.DATA_ONLY if lost.any() else Safety.PROVEN
                nodes.append(_node(step.layer, "cast", step.form, given, step.source.fraction, safety))
            case Cast():
                nodes.append(_node(step.layer, "cast", step.form, given, step.source.fraction, Safety.BY_DESIGN))
    return tuple(nodes)


def count(circuit: Circuit, nodes: tuple[Node, ...], codes: Codes) -> tuple[Node, ...]:
    """The same nodes with what was counted on events.

    Args:
        circuit: The network.
        nodes: From `analyse`, or from an earlier `count`.
        codes: Input codes, shape `(events, inputs)`.
    """
    found = {(node.layer, node.kind): node for node in nodes}
    for start in range(0, len(codes), circuit.block):
        for step, (given, *_), x in circuit.walk(codes[start : start + circuit.block]):
            kind = "cast" if isinstance(step, Cast) else "accumulator"
            node = found.get((step.layer, kind))
            if node is None:
                continue
            below, above = _counted(step, node, given, x)
            found[step.layer, kind] = replace(
                node, below=node.below + below, above=node.above + above, tried=node.tried + x.size,
                safety=Safety.UNSAFE if below + above and node.safety is Safety.DATA_ONLY else node.safety,
            )  # fmt: skip
            if below + above and node.safety is Safety.PROVEN:
                raise InputError(f"{node.layer}: {below + above} events overflow {node.declared}, proven never to")
    return tuple(found.values())


def requirement(nodes: tuple[Node, ...]) -> Requirement:
    """No accumulator overflowed for any event that was tried."""
    sums = [node for node in nodes if node.safety is not Safety.BY_DESIGN]
    proven = sum(node.safety is Safety.PROVEN for node in sums)
    rest = [node.sentence() for node in sums if node.safety is not Safety.PROVEN]
    saturated = [
        f"{node.layer} {node.above / node.tried:.2%}" for node in nodes
        if node.safety is Safety.BY_DESIGN and node.above
    ]  # fmt: skip
    note = f"{proven} of {len(sums)} accumulators proven"
    if rest:
        note += "; " + "; ".join(rest[:3])
    if saturated:
        note += "; saturated by design, at the upper end: " + ", ".join(saturated)
    if not sums:
        return not_measured("overflow:accumulators", "<= 0", required=True, note="the network has no accumulator")
    return at_most("overflow:accumulators", sum(node.safety is Safety.UNSAFE for node in sums), 0, note=note)


def _accumulator(layer: str, form: FixedPoint, exact: Bounds, fraction: int) -> Node:
    shift = fraction - form.fraction
    low, high = (end << -shift if shift < 0 else end >> shift for end in (exact.low, exact.high))
    # A sum that is exact in the circuit must be exact in the declared type: bits below its last place would be lost.
    # One that saturates on the way to a sum that fits is not looked at here, and so not proven.
    fits = (
        shift <= 0
        and form.overflow is Overflow.WRAP
        and int(low.min()) >= form.min_code
        and int(high.max()) <= form.max_code
    )
    return _node(layer, "accumulator", form, exact, fraction, Safety.PROVEN if fits else Safety.DATA_ONLY)


def _node(layer: str, kind: str, form: FixedPoint, worst: Bounds, fraction: int, safety: Safety) -> Node:
    low, high = worst.low.reshape(-1, worst.low.shape[-1]), worst.high.reshape(-1, worst.high.shape[-1])
    reach = np.maximum(-low, high + 1).max(axis=0)
    source = worst.source(fraction)
    integer = max(source.integer, 1 - source.signed - form.fraction)
    width_left = MAX_WIDTH - form.signed - integer
    safe = FixedPoint(
        form.signed or source.signed, integer, min(form.fraction, width_left), form.rounding, form.overflow
    )
    neuron = int(np.argmax(reach))
    return Node(layer, kind, form, int(low.min()), int(high.max()), fraction, neuron, safe, safety)


def _counted(step: Any, node: Node, given: Codes, out: Codes) -> tuple[int, int]:
    """How many events and channels fell below and went above the declared type."""
    form = node.declared
    assert form is not None
    match step:
        case Cast():
            lost = step.overflows(given)
            negative = given < 0
        case Accumulate():
            blocks = range(0, len(given), step.block)
            parts = [
                step.wide.cast(given[k : k + step.block][..., :, None] * step.kernel, step.product).sum(axis=-2)
                for k in blocks
            ]
            exact = step.bias + np.concatenate(parts)
            lost, negative = exact != out, exact < 0
        case _:
            shift = step.fraction - form.fraction
            aligned = out << -shift if shift < 0 else out >> shift
            lost, negative = (aligned < form.min_code) | (aligned > form.max_code), aligned < 0
    return int((lost & negative).sum()), int((lost & ~negative).sum())
