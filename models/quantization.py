"""Quantised layers: the door to QKeras for everything that is trained.

QKeras counts no sign bit in `integer`, rounds to nearest with ties to even and saturates; `FixedPoint` counts the sign
apart too, so the two integers are the same number. All scales (`alpha`) are 1: values are exactly the format's. Binary and
ternary weights alone have another scale, a power of two for each layer.

References:
    QKeras: arXiv:2006.10159. Its continuation on Keras 3: the PyPI distribution qkeras-v3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer, field_validator, model_validator

from trigger.config import Format, Settings
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

if TYPE_CHECKING:
    import keras

Signs = Literal["binary", "ternary"]
"""Weights that are a sign alone, or a sign or 0, times one power of two a layer."""


def _weight(spelling: object) -> object:
    if isinstance(spelling, FixedPoint) or spelling in get_args(Signs):
        return spelling
    try:
        return FixedPoint.parse(str(spelling), Rounding.RND_CONV, Overflow.SAT)
    except InputError as error:
        raise ValueError(f"{error}; or binary, or ternary") from error


class Quantization(Settings):
    """Formats of a network's numbers.

    Attributes:
        weight: Of kernels: a format, or `binary` (-a, +a), or `ternary` (-a, 0, +a), where `a` is the power of two nearest
            to the standard deviation with which the layer's weights begin.
        activation: Of what follows a rectifier; unsigned.
        bias: Of biases; those of `weight` if it is not given.
        linear: Of what has a sign and follows no rectifier inside the network: an autoencoder's latent values and its
            reconstruction. The inputs' format if it is not given.
    """

    weight: Annotated[FixedPoint | Signs, BeforeValidator(_weight), PlainSerializer(str)]
    activation: Format
    bias: Format | None = None
    linear: Format | None = None

    @field_validator("weight", "activation", "bias", "linear")
    @classmethod
    def _representable(cls, given: FixedPoint | str | None) -> FixedPoint | str | None:
        return representable(given) if isinstance(given, FixedPoint) else given

    @field_validator("activation")
    @classmethod
    def _unsigned(cls, given: FixedPoint) -> FixedPoint:
        return rectified(given)

    @model_validator(mode="after")
    def _bias_has_a_format(self) -> Quantization:
        if self.bias is None and not isinstance(self.weight, FixedPoint):
            raise ValueError(f"{self.weight} weights give biases no format: set 'bias' as well")
        return self

    def dense(self, units: int, name: str, inputs: int, bias: str = "zeros") -> keras.layers.Layer:
        """A dense layer with quantised kernel and bias; `inputs` is what each node sums over."""
        from qkeras import QDense

        return QDense(
            units, name=name, kernel_initializer="he_uniform", kernel_quantizer=self._kernel(inputs),
            bias_initializer=bias, bias_quantizer=self._bias(),
        )  # fmt: skip

    def selection(self, units: int, name: str) -> keras.layers.Layer:
        """A dense layer without bias for a fixed kernel of 0 and 1."""
        from qkeras import QDense

        bits = linear(FixedPoint(True, 1, 0, Rounding.RND_CONV, Overflow.SAT))
        return QDense(units, name=name, use_bias=False, kernel_quantizer=bits, trainable=False)

    def convolution(self, axes: int, inputs: int, **settings: Any) -> keras.layers.Layer:
        """A convolution over one or two axes; `settings` are Keras's own."""
        from qkeras import QConv1D, QConv2D

        return (QConv1D, QConv2D)[axes - 1](
            kernel_initializer="he_uniform",
            kernel_quantizer=self._kernel(inputs),
            bias_quantizer=self._bias(),
            **settings,
        )

    def depthwise(self, inputs: int, **settings: Any) -> keras.layers.Layer:
        """A convolution of each channel by itself; `settings` are Keras's own."""
        from qkeras import QDepthwiseConv2D

        return QDepthwiseConv2D(
            depthwise_initializer="he_uniform", depthwise_quantizer=self._kernel(inputs), bias_quantizer=self._bias(),
            **settings,
        )  # fmt: skip

    def relu(self, name: str, form: FixedPoint | None = None) -> keras.layers.Layer:
        """A rectifier that rounds and saturates to `form`, or to the activation format."""
        from qkeras import QActivation, quantized_relu

        given = form or self.activation
        return QActivation(quantized_relu(given.width, given.integer), name=name)

    def cast(self, form: FixedPoint, name: str) -> keras.layers.Layer:
        """A cast to a format."""
        return quantised_input(form, name)

    def _kernel(self, inputs: int) -> Any:
        if isinstance(self.weight, FixedPoint):
            return linear(self.weight)
        from qkeras import binary, ternary

        # The standard deviation of he_uniform (arXiv:1502.01852), so that sums neither grow nor shrink from layer to layer.
        scale = 2.0 ** round(math.log2(math.sqrt(2 / inputs)))
        return binary(alpha=scale) if self.weight == "binary" else ternary(alpha=scale, threshold=scale / 2)

    def _bias(self) -> Any:
        given = self.bias or self.weight
        assert isinstance(given, FixedPoint)  # the validator saw to it
        return linear(given)


def register_layers() -> None:
    """Make Keras know the quantised layers, so that a saved network can be loaded."""
    import qkeras  # noqa: F401  its import registers them


def quantised_input(input_format: FixedPoint, name: str) -> keras.layers.Layer:
    """The cast of the inputs to their format; on codes of that format it changes nothing."""
    from qkeras import QActivation

    return QActivation(linear(input_format), name=name)


def linear(given: FixedPoint) -> Any:
    """The QKeras quantiser of a format.

    Raises:
        UnsupportedError: QKeras has none that is exactly this format.
    """
    from qkeras import quantized_bits

    _check(given)
    symmetric = given.overflow is Overflow.SAT_SYM
    return quantized_bits(given.width, given.integer, symmetric=int(symmetric), keep_negative=given.signed, alpha=1.0)


def representable(given: FixedPoint) -> FixedPoint:
    """The format itself, for the schema.

    Raises:
        ValueError: QKeras has no quantiser that is exactly this format.
    """
    try:
        _check(given)
    except UnsupportedError as error:
        raise ValueError(str(error)) from error
    return given


def rectified(given: FixedPoint) -> FixedPoint:
    """The format itself, for the schema.

    Raises:
        ValueError: It cannot follow a rectifier.
    """
    if given.signed or given.integer < 0:
        raise ValueError(f"what follows a rectifier is ap_ufixed<W,I> with I >= 0, not {given}")
    return given


def _check(given: FixedPoint) -> None:
    if given.rounding is not Rounding.RND_CONV or given.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        raise UnsupportedError(
            f"{given}: QKeras rounds ties to even and saturates: AP_RND_CONV with AP_SAT or AP_SAT_SYM"
        )
    if given.signed and given.width == 1:
        raise UnsupportedError(f"{given}: QKeras takes one signed bit for -1 and +1, not for -1 and 0")
