"""Our own walk over the quantised network, in integers, independent of hls4ml and of Keras's arithmetic.

Numbers are integer codes all the way. Where every sum of a layer is proven to fit, from its integer weights and the range of
its inputs, they are carried by float32 (24 bits) or float64 (53 bits), so that the products run at the speed of a matrix
product; otherwise by int64. The proof is of the sum of *absolute* values, so it holds for partial sums in any order.

References:
    Integers up to 2^24 and 2^53 are exact in IEEE 754 binary32 and binary64: doi:10.1109/IEEESTD.2019.8766229.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware.backends import qkeras_layers
from firmware.project import FirmwareProject
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import MAX_WIDTH, Codes, FixedPoint

if TYPE_CHECKING:
    import keras

_BLOCK = 4096
_EXACT = (("float32", 24), ("float64", 53), ("int64", 62))
"""What carries integers, and up to how many bits exactly."""


@dataclass(frozen=True)
class Cast:
    """Round to nearest, ties to even, and saturate.

    Attributes:
        name: The layer.
        form: The format that is cast to.
        fraction: Fraction bits of what is cast.
    """

    name: str
    form: FixedPoint
    fraction: int

    def __call__(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Codes of the format."""
        low, high, shift = self.form.min_code, self.form.max_code, self.fraction - self.form.fraction
        if shift > 0 and codes.dtype == np.int64:
            return self.form.cast(codes, FixedPoint(True, MAX_WIDTH - 1 - self.fraction, self.fraction))
        rounded: NDArray[Any]
        if shift > 0:
            rounded = np.rint(codes * codes.dtype.type(2.0**-shift))
        else:
            up = 1 << -shift
            near = np.clip(codes, low // up - 1, high // up + 1)  # what saturates need not overflow first
            rounded = near * codes.dtype.type(up)
        clipped: NDArray[Any] = np.clip(rounded, low, high)
        return clipped


@dataclass(frozen=True)
class Product:
    """A matrix product with a bias, in integer weights.

    Attributes:
        name: The layer.
        kernel: Integer weights, shape `(inputs, outputs)`, in the type that is proven to carry every sum.
        bias: Integer biases in units of the sums, shape `(outputs,)`, in the same type.
        bits: What the proof found that the largest sum may need, without the sign.
    """

    name: str
    kernel: NDArray[Any]
    bias: NDArray[Any]
    bits: int

    def __call__(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Sums of products over the last axis."""
        result: NDArray[Any] = codes.astype(self.kernel.dtype, copy=False) @ self.kernel + self.bias
        return result


@dataclass(frozen=True)
class Sum:
    """The sum over the second axis; the mean is the same codes with another binary point."""

    name: str
    dtype: str

    def __call__(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Sums, shape `(events, channels)`."""
        result: NDArray[Any] = codes.astype(self.dtype, copy=False).sum(axis=1)
        return result


@dataclass(frozen=True)
class Shape:
    """Another shape of the same numbers."""

    name: str
    shape: tuple[int, ...]

    def __call__(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The same codes."""
        return codes.reshape(len(codes), *self.shape)


@dataclass(frozen=True)
class Plan:
    """A network as steps on integers.

    Attributes:
        steps: From input to output.
        fraction: Fraction bits of the outputs.
    """

    steps: tuple[Cast | Product | Sum | Shape, ...]
    fraction: int

    def proofs(self) -> dict[str, str]:
        """For each matrix product, what carries it and why that is exact."""
        return {
            step.name: f"{step.kernel.dtype}: sums of at most {step.bits} bits"
            for step in self.steps
            if isinstance(step, Product)
        }


def plan(model: keras.Model, wire: FixedPoint) -> Plan:
    """Read a network into steps on integers and prove what carries each of them.

    Args:
        model: A network that `qkeras_layers.check_network` accepts.
        wire: Format of the input codes.

    Raises:
        UnsupportedError: A sum may need more than 62 bits.
    """
    qkeras_layers.check_network(model)
    steps: list[Cast | Product | Sum | Shape] = []
    fraction, largest = wire.fraction, max(-wire.min_code, wire.max_code)
    for layer in qkeras_layers.chain(model):
        kind, cast = type(layer).__name__, None
        if kind == "QActivation":
            cast = qkeras_layers.quantizer_format(layer.activation, layer.name)
        elif kind == "QDense":
            step, fraction, largest = _product(layer, fraction, largest)
            steps.append(step)
            if not qkeras_layers.is_linear(layer):
                cast = qkeras_layers.quantizer_format(layer.activation, layer.name)
        elif kind == "GlobalAveragePooling1D":
            entries = int(layer.input.shape[1])
            largest *= entries
            fraction += entries.bit_length() - 1
            steps.append(Sum(layer.name, _carrier(layer.name, largest)))
        elif kind in ("Flatten", "Reshape"):
            steps.append(Shape(layer.name, tuple(layer.output.shape[1:])))
        if cast is not None:
            steps.append(Cast(layer.name, cast, fraction))
            fraction, largest = cast.fraction, max(-cast.min_code, cast.max_code)
    return Plan(tuple(steps), fraction)


def run(project: FirmwareProject, steps: Plan, codes: Codes) -> Codes:
    """Output codes of the network, shape `(events, outputs)`.

    Args:
        project: Gives the shape of the input and the format of the output.
        steps: From `plan`.
        codes: Input codes, shape `(events, inputs)`.

    Raises:
        InputError: An output is not a number of the firmware's output format.
    """
    parts = []
    for start in range(0, len(codes), _BLOCK):
        x: NDArray[Any] = codes[start : start + _BLOCK].reshape(-1, *project.contract.network_shape).astype(np.float64)
        for step in steps.steps:
            x = step(x)
        parts.append(x.reshape(len(x), -1).astype(np.int64))
    port = project.manifest.outputs.fixed_point
    found = np.concatenate(parts)
    shift = port.fraction - steps.fraction
    aligned = found << shift if shift >= 0 else found >> -shift
    if (
        (shift < 0 and (aligned << -shift != found).any())
        or (aligned < port.min_code).any()
        or (aligned > port.max_code).any()
    ):
        raise InputError(f"outputs of the network are not numbers of the firmware's output port, {port}")
    return aligned


def _product(layer: Any, fraction: int, largest: int) -> tuple[Product, int, int]:
    kernel, bias = qkeras_layers.quantized_weights(layer)
    bias = np.zeros(kernel.shape[1]) if bias is None else bias
    kernel_fraction = qkeras_layers.fraction_bits(kernel)
    # Sums have the fraction of the products, or the bias's where that is finer.
    out = max(fraction + kernel_fraction, qkeras_layers.fraction_bits(bias))
    whole = np.ldexp(kernel, out - fraction)
    offset = np.ldexp(bias, out)
    bound = int(np.ceil((np.abs(whole).sum(axis=0) * largest + np.abs(offset)).max()))
    dtype = _carrier(layer.name, bound)
    return Product(layer.name, whole.astype(dtype), offset.astype(dtype), bound.bit_length()), out, bound


def _carrier(name: str, largest: int) -> str:
    """The fastest type that carries integers up to `largest` exactly."""
    for dtype, bits in _EXACT:
        if largest <= 1 << bits:
            return dtype
    raise UnsupportedError(f"layer {name!r}: sums may need {largest.bit_length()} bits, 62 are the most")
