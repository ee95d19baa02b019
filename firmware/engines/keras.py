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
from firmware.engines import integer
from firmware.project import FirmwareProject
from trigger.digest import network_digest
from trigger.errors import InputError, ToolError, UnsupportedError
from trigger.fixed_point import Codes, Values

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
    _check_exact(model, project)
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


def layer_outputs(project: FirmwareProject, model: keras.Model, values: Values) -> list[tuple[str, Values]]:
    """Outputs of every layer in float64, from input to output: name and values of shape `(events, ...)`."""
    import keras

    _check_exact(model, project)
    shaped = values.reshape(len(values), *project.contract.network_shape)
    with _float64():
        twin = qkeras_layers.float64_reference(model)
        layers = [one.layer for one in qkeras_layers.layers_in_order(twin)]
        outputs = keras.Model(twin.inputs[0], [one.output for one in layers])(shaped, training=False)
    return [(layer.name, np.asarray(out)) for layer, out in zip(layers, outputs, strict=True)]


def _check_exact(model: keras.Model, project: FirmwareProject) -> None:
    """Bound every partial sum, in units of its last place, from the integer weights and the formats before it."""
    for proof in integer.sums(qkeras_layers.circuit(model, project.contract.common_format)).values():
        if proof.largest > 1 << 53:
            bits = proof.largest.bit_length()
            raise UnsupportedError(f"layer {proof.layer!r}: sums may need {bits} bits, float64 is exact to 53")


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
