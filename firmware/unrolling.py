"""How many multiplications a network has when all of it is unrolled, counted before anything is written.

Our own Verilog, and HLS by the latency strategy on whole events, have a circuit for every weight at every place that it is
applied to. With streams, or shared multipliers, there is one for every weight at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from firmware.backends import qkeras_layers
from firmware.device import find_device
from firmware.target import Target
from trigger.errors import UnsupportedError

if TYPE_CHECKING:
    import keras

TABLES = 4
"""Look-up tables that a multiplication and its addition take at least, sums shared: by alkaid 0.8.2's cost, with inputs of 8
bits, 3.8 to 5.5 for ternary weights, 5.1 to 6.3 for weights of 3 bits and 5.9 to 8.2 for weights of 5 bits, in dense and 3 x 3
convolution layers of 530 to 13,000 multiplications."""
SHOWN = 3


@dataclass(frozen=True)
class Unrolled:
    """A layer with weights, unrolled.

    Attributes:
        layer: Its name.
        weights: How many of them are not 0.
        positions: To how many pixels or particles each of them is applied.
    """

    layer: str
    weights: int
    positions: int

    @property
    def multiplications(self) -> int:
        """Multiplications, none of them shared."""
        return self.weights * self.positions


def unrolled(model: keras.Model) -> tuple[Unrolled, ...]:
    """Every layer with weights, the largest first."""
    found = [
        Unrolled(
            layer.name,
            int((qkeras_layers.quantized_weights(layer)[0] != 0).sum()),
            prod(int(one) for one in layer.output.shape[1:-1]),
        )
        for layer in qkeras_layers.folded(model).layers
        if type(layer).__name__ in qkeras_layers.WEIGHTED
    ]
    return tuple(sorted(found, key=lambda one: -one.multiplications))


def most_multiplications(part: str) -> int:
    """How many multiplications one die of a part has room for; what spans dies does not keep a trigger's clock."""
    device = find_device(part)
    return device.lut // device.slr // TABLES


def require_unrollable(model: keras.Model, target: Target) -> None:
    """Refuse a network that is too large to unroll, before hours are spent on it.

    Raises:
        UnsupportedError: Says how many multiplications there are, the limit, where they are, and what can be done.
    """
    layers = unrolled(model)
    total, limit = sum(one.multiplications for one in layers), most_multiplications(target.part)
    if total <= limit:
        return
    where = ", ".join(
        f"{one.layer!r} {one.multiplications:,} ({one.weights:,} weights other than 0 at {one.positions:,} places)"
        for one in layers[:SHOWN]
    )
    raise UnsupportedError(
        f"the network is too large to unroll: {total:,} multiplications, of which {where}; one die of the {target.part} has "
        f"room for {limit:,}, of {TABLES} look-up tables each. Fewer channels, larger strides, pooling "
        "before it, or more weights of 0 would be right; or a target with 'io: stream', which has one multiplier for each "
        "weight and takes a pixel at a time, with 'strategy: resource' and a 'reuse_factor' where that is still too large"
    )
