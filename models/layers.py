"""Layers that exist in two forms, float and quantised, so that every network is written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    from models.quantization import Quantization


def inputs(contract: InputSpec, quantization: Quantization | None) -> tuple[Any, Any]:
    """The input tensor, and the same after the cast to the contract's format where the network is quantised."""
    import keras

    start = keras.Input(contract.network_shape, name="inputs")
    if quantization is None:
        return start, start
    from models.quantization import quantised_input

    return start, quantised_input(contract.common_format, "input_cast")(start)


def dense(x: Any, units: int, quantization: Quantization | None, name: str) -> Any:
    """A dense layer on the last axis."""
    import keras

    if quantization is None:
        return keras.layers.Dense(units, kernel_initializer="he_uniform", name=name)(x)
    return quantization.dense(units, name)(x)


def relu(x: Any, quantization: Quantization | None, name: str) -> Any:
    """A rectifier."""
    import keras

    if quantization is None:
        return keras.layers.ReLU(name=name)(x)
    return quantization.relu(name)(x)
