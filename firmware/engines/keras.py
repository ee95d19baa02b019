"""The reference: the quantised network itself, computed in float64 and read as integer codes.

In float32 the network can be wrong: sums that do not fit 24 bits are rounded where firmware rounds nothing. In float64 a
sum of products is exact up to 53 bits, which is checked for every layer from its formats before anything is computed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from firmware.backends import qkeras_layers
from firmware.project import FirmwareProject
from trigger.digest import network_digest
from trigger.errors import InputError, ToolError, UnsupportedError
from trigger.fixed_point import Codes, FixedPoint, Values

if TYPE_CHECKING:
    import keras

_BLOCK = 8192
_FLOATX = threading.Lock()


def load_reference(project: FirmwareProject) -> keras.Model:
    """The network that the project was made from.

    Raises:
        InputError: `model.keras` is not the network of the manifest any more.
    """
    import keras

    qkeras_layers.register_layers()
    path = project.folder / "model.keras"
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the broken part raised
        raise InputError(f"{path}: cannot be read: {error}") from error
    if network_digest(model) != project.manifest.network:
        raise InputError(f"{path}: this is not the network that the project was made from")
    return model


def run(project: FirmwareProject, model: keras.Model, values: Values) -> Codes:
    """Output codes of the reference, shape `(events, outputs)`.

    Args:
        project: Gives the format of the outputs.
        model: The network, from `load_reference`.
        values: Real input values, shape `(events, inputs)`.

    Raises:
        UnsupportedError: A layer's sums may need more than 53 bits.
        InputError: An output is not a number of the firmware's output format: formats and network do not belong together.
        ToolError: The Keras backend does not compute in float64.
    """
    _check_exact(model)
    shaped = values.reshape(len(values), *project.contract.network_shape)
    with _float64():
        reference = qkeras_layers.float64_reference(model)
        parts = []
        for start in range(0, len(shaped), _BLOCK):
            out = np.asarray(reference(shaped[start : start + _BLOCK], training=False))
            if out.dtype != np.float64:
                raise ToolError(f"the Keras backend computed in {out.dtype}, not float64; for JAX set JAX_ENABLE_X64=1")
            parts.append(out.reshape(len(out), -1))
    return project.manifest.outputs.fixed_point.codes_of_exact(np.concatenate(parts))


def _check_exact(model: keras.Model) -> None:
    """Bound the sums of every layer, in units of their last place, from its weights and the formats before it."""
    step, largest = 1.0, 0.0
    for layer in qkeras_layers.chain(model):
        match type(layer).__name__:
            case "QActivation":
                step, largest = _span(qkeras_layers.quantizer_format(layer.activation, layer.name))
            case "QDense":
                kernel, bias = qkeras_layers.quantized_weights(layer)
                largest *= float(np.abs(kernel).sum(axis=0).max())
                step *= 2.0 ** -qkeras_layers.fraction_bits(kernel)
                if bias is not None:
                    largest, step = (
                        largest + float(np.abs(bias).max()),
                        min(step, 2.0 ** -qkeras_layers.fraction_bits(bias)),
                    )
                _require_53_bits(layer.name, largest, step)
                if not qkeras_layers.is_linear(layer):
                    step, largest = _span(qkeras_layers.quantizer_format(layer.activation, layer.name))
            case "GlobalAveragePooling1D":
                _require_53_bits(layer.name, largest * layer.input.shape[1], step)
                step /= layer.input.shape[1]


def _span(form: FixedPoint) -> tuple[float, float]:
    return form.step, max(-form.min_value, form.max_value)


def _require_53_bits(name: str, largest: float, step: float) -> None:
    bits = np.log2(max(largest / step, 1.0))
    if bits > 53:
        raise UnsupportedError(f"layer {name!r}: sums may need {bits:.0f} bits, float64 is exact to 53")


@contextmanager
def _float64() -> Iterator[None]:
    import keras

    with _FLOATX:  # the setting is the whole process's
        before = keras.config.floatx()
        keras.config.set_floatx("float64")
        try:
            yield
        finally:
            keras.config.set_floatx(before)
