"""Layers that exist in two forms, float and quantised, so that every network is written once.

Each takes a tensor and returns a tensor; `quantization` is `None` for the float form. What is quantised uses only layers
that firmware has exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trigger.errors import InputError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    from models.quantization import Quantization

Nodes = tuple[Annotated[int, Field(gt=0)], ...]
"""Nodes of each of several layers."""
Padding = Literal["valid", "same"]
Pooling = Literal["none", "max", "average"]


def inputs(contract: InputSpec, quantization: Quantization | None) -> tuple[Any, Any]:
    """The input tensor, and the same after the cast to the contract's format where the network is quantised."""
    import keras

    start = keras.Input(contract.network_shape, name="inputs")
    if quantization is None:
        return start, start
    from models.quantization import quantised_input

    return start, quantised_input(contract.common_format, "input_cast")(start)


def require_shape(contract: InputSpec, axes: tuple[str, ...], network: str) -> None:
    """Refuse a contract whose shape has another number of axes than `axes` names.

    Raises:
        InputError: It has.
    """
    if len(contract.network_shape) != len(axes):
        raise InputError(
            f"the network {network!r} needs inputs of shape ({', '.join(axes)}); the contract has the shape "
            f"{list(contract.network_shape)}"
        )


def require_bottleneck(contract: InputSpec, latent: int, network: str) -> None:
    """Refuse as many latent values as inputs: nothing would have to be learnt.

    Raises:
        InputError: There are.
    """
    if latent >= len(contract.inputs):
        raise InputError(
            f"the network {network!r} has {latent} latent values for {len(contract.inputs)} inputs (shape "
            f"{list(contract.network_shape)}); fewer would be right"
        )


def require_signed(contract: InputSpec, quantization: Quantization | None, network: str) -> None:
    """Refuse an unsigned format for what has a sign inside the network.

    Raises:
        InputError: `quantization.linear`, or the inputs' format in its place, is unsigned.
    """
    if quantization is None:
        return
    found = quantization.linear or contract.common_format
    if not found.signed:
        raise InputError(
            f"the network {network!r} has latent values of both signs, and {found} has none: set 'quantization.linear' to "
            f"an ap_fixed<W,I>"
        )


def dense(
    x: Any, units: int, quantization: Quantization | None, name: str, bias: Literal["zeros", "ones"] = "zeros"
) -> Any:
    """A dense layer on the last axis; `bias` is where its biases begin."""
    import keras

    if quantization is None:
        return keras.layers.Dense(units, kernel_initializer="he_uniform", bias_initializer=bias, name=name)(x)
    return quantization.dense(units, name, inputs=int(x.shape[-1]), bias=bias)(x)


def select(x: Any, matrix: NDArray[np.int64], quantization: Quantization | None, name: str) -> Any:
    """Sums of entries of the first axis by a fixed matrix of 0 and 1: `(n, fields)` to `(m, fields)`.

    A row of one 1 picks an entry. Written as a dense layer that is not trained, between two changes of axes: a product
    with 0 or 1 costs nothing on the chip.

    Args:
        x: Tensor of shape `(n, fields)`.
        matrix: Shape `(m, n)`.
        quantization: Formats.
        name: Of the layer.
    """
    import keras

    if quantization is None:
        layer = keras.layers.Dense(len(matrix), use_bias=False, name=name, trainable=False)
    else:
        layer = quantization.selection(len(matrix), name)
    x = layer(keras.layers.Permute((2, 1), name=f"{name}_in")(x))
    layer.set_weights([matrix.T.astype(np.float32)])
    return keras.layers.Permute((2, 1), name=f"{name}_out")(x)


def convolution(
    x: Any, filters: int, kernel: int, stride: int, padding: Padding, quantization: Quantization | None, name: str,
) -> Any:  # fmt: skip
    """A convolution over `(rows, columns, channels)` or `(length, channels)`, the kernel as wide as it is high."""
    import keras

    settings = {"filters": filters, "kernel_size": kernel, "strides": stride, "padding": padding, "name": name}
    if quantization is None:
        kind = keras.layers.Conv2D if len(x.shape) == 4 else keras.layers.Conv1D
        return kind(kernel_initializer="he_uniform", **settings)(x)
    axes = len(x.shape) - 2
    return quantization.convolution(axes, inputs=kernel**axes * int(x.shape[-1]), **settings)(x)


def depthwise(x: Any, kernel: int, stride: int, padding: Padding, quantization: Quantization | None, name: str) -> Any:
    """A convolution of each channel by itself, over `(rows, columns, channels)`."""
    import keras

    settings = {"kernel_size": kernel, "strides": stride, "padding": padding, "name": name}
    if quantization is None:
        return keras.layers.DepthwiseConv2D(depthwise_initializer="he_uniform", **settings)(x)
    return quantization.depthwise(inputs=kernel**2, **settings)(x)


def pooling(x: Any, how: Pooling, size: int, name: str) -> Any:
    """Greatest or average of squares (or stretches) of `size` entries a side."""
    import keras

    if how == "none":
        return x
    axes = len(x.shape) - 2
    return getattr(keras.layers, f"{how.capitalize()}Pooling{axes}D")(size, name=name)(x)


def global_pooling(x: Any, how: Literal["max", "average"], network: str, name: str) -> Any:
    """Greatest or average over all entries, channel by channel.

    Raises:
        InputError: The average of so many entries has no exact code.
    """
    import keras

    entries = int(np.prod(x.shape[1:-1]))
    if how == "average":
        require_power_of_two(entries, f"the network {network!r}", "max")
    return getattr(keras.layers, f"Global{how.capitalize()}Pooling{len(x.shape) - 2}D")(name=name)(x)


def require_power_of_two(entries: int, where: str, instead: str) -> None:
    """Refuse an average whose value has no exact fixed-point code.

    Raises:
        InputError: `entries` is not a power of two.
    """
    if entries & (entries - 1):
        raise InputError(
            f"{where} averages over {entries} entries: the mean has an exact fixed-point code only for a power of two; "
            f"use 2, 4, 8, 16 ... entries, or {instead!r} in place of 'average'"
        )


def flat(x: Any, name: str = "flatten") -> Any:
    """All entries on one axis; a tensor that has one is left as it is."""
    import keras

    return x if len(x.shape) == 2 else keras.layers.Flatten(name=name)(x)


def relu(x: Any, quantization: Quantization | None, name: str, form: FixedPoint | None = None) -> Any:
    """A rectifier; quantised to `form` where that is given."""
    import keras

    if quantization is None:
        return keras.layers.ReLU(name=name)(x)
    return quantization.relu(name, form)(x)


def linear(x: Any, contract: InputSpec, quantization: Quantization | None, name: str) -> Any:
    """A cast to `quantization.linear`, or to the inputs' format where that is not given; nothing in the float form."""
    if quantization is None:
        return x
    return quantization.cast(quantization.linear or contract.common_format, name)(x)


def squared_norm(x: Any, name: str) -> Any:
    """The sum of the squares of a flat tensor, shape `(1,)`."""
    import keras

    return keras.layers.Dot(axes=1, name=name)([x, x])
