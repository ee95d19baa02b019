"""Quantised layers: the door to QKeras for everything that is trained.

QKeras counts no sign bit in `integer`, rounds to nearest with ties to even and saturates; `FixedPoint` counts the sign
apart too, so the two integers are the same number. All scales (`alpha`) are 1: values are exactly the format's.

References:
    QKeras: arXiv:2006.10159. Its continuation on Keras 3: the PyPI distribution qkeras-v3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from trigger.config import Format, Settings
from trigger.errors import UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

if TYPE_CHECKING:
    import keras


class Quantization(Settings):
    """Formats of a network's numbers.

    Attributes:
        weight: Of kernels.
        activation: Of what follows a rectifier; unsigned.
        bias: Of biases; those of `weight` if it is not given.
    """

    weight: Format
    activation: Format
    bias: Format | None = None

    @field_validator("weight", "activation", "bias")
    @classmethod
    def _representable(cls, given: FixedPoint | None) -> FixedPoint | None:
        return None if given is None else representable(given)

    @field_validator("activation")
    @classmethod
    def _unsigned(cls, given: FixedPoint) -> FixedPoint:
        if given.signed or given.integer < 0:
            raise ValueError(f"what follows a rectifier is ap_ufixed<W,I> with I >= 0, not {given}")
        return given

    def dense(self, units: int, name: str) -> keras.layers.Layer:
        """A dense layer with quantised kernel and bias."""
        from qkeras import QDense

        return QDense(
            units, name=name, kernel_initializer="he_uniform", kernel_quantizer=linear(self.weight),
            bias_quantizer=linear(self.bias or self.weight),
        )  # fmt: skip

    def relu(self, name: str) -> keras.layers.Layer:
        """A rectifier that rounds and saturates to the activation format."""
        from qkeras import QActivation, quantized_relu

        return QActivation(quantized_relu(self.activation.width, self.activation.integer), name=name)


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


def _check(given: FixedPoint) -> None:
    if given.rounding is not Rounding.RND_CONV or given.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        raise UnsupportedError(
            f"{given}: QKeras rounds ties to even and saturates: AP_RND_CONV with AP_SAT or AP_SAT_SYM"
        )
    if given.signed and given.width == 1:
        raise UnsupportedError(f"{given}: QKeras takes one signed bit for -1 and +1, not for -1 and 0")
