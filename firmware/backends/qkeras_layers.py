"""What a QKeras network is, exactly: the door to QKeras for everything that makes firmware.

A quantiser is read into a `FixedPoint` or refused by name. Nothing is approximated: what cannot be represented bit for bit
is an error that says what can.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware.circuit import Bounds, Cast, Circuit, Dense, Shape, Step, Sum, carried
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

if TYPE_CHECKING:
    import keras

SUPPORTED_LAYERS = (
    "InputLayer", "QDense", "QActivation", "Flatten", "Reshape", "Dropout", "GlobalAveragePooling1D",
)  # fmt: skip
WEIGHT_FRACTION = 40
"""Finest fraction of a weight; every quantised weight is a multiple of 2^-40, or refused."""
SUPPORTED_QUANTIZERS = ("quantized_bits", "quantized_relu")


def register_layers() -> None:
    """Make Keras know the quantised layers, so that a saved network can be loaded."""
    import qkeras  # noqa: F401  its import registers them


def layer_classes() -> dict[str, type]:
    """The quantised layers that make arithmetic."""
    from qkeras import QActivation, QDense

    return {"QActivation": QActivation, "QDense": QDense}


def fraction_bits(values: NDArray[np.float64]) -> int:
    """Bits right of the binary point that the weights of a layer use; 0 where all are 0."""
    used = int(np.bitwise_or.reduce(np.ldexp(values, WEIGHT_FRACTION).astype(np.int64).ravel()))
    return WEIGHT_FRACTION + 1 - (used & -used).bit_length() if used else 0


def check_network(model: keras.Model) -> None:
    """Refuse a network that cannot be made into firmware bit for bit.

    Raises:
        UnsupportedError: Names each layer that is the reason, and what would be right.
    """
    if not model.built or not getattr(model, "inputs", None):
        raise UnsupportedError("the model has no inputs yet: begin it with keras.Input, or call it once")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UnsupportedError(
            f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one of each is right"
        )
    if None in model.inputs[0].shape[1:]:
        raise UnsupportedError(f"the input's shape {tuple(model.inputs[0].shape[1:])} is not fixed")
    faults = []
    for layer in model.layers:
        try:
            _check_layer(layer)
        except InputError as error:
            text = str(error)
            faults.append(text if layer.name in text else f"layer {layer.name!r}: {text}")
    if not faults:
        faults = _check_order(chain(model))
    if faults:
        raise UnsupportedError("\n".join(faults))


def chain(model: keras.Model) -> list[Any]:
    """The layers from input to output, without the input itself.

    Raises:
        UnsupportedError: A layer has several inputs, or is used twice.
    """
    found: list[Any] = []
    tensor = model.outputs[0]
    while type(tensor._keras_history.operation).__name__ != "InputLayer":
        history = tensor._keras_history
        sources = history.operation._inbound_nodes[history.node_index].input_tensors
        if len(sources) != 1:
            raise UnsupportedError(
                f"layer {history.operation.name!r} has {len(sources)} inputs, which is not supported"
            )
        if history.operation in found:
            raise UnsupportedError(f"layer {history.operation.name!r} is used twice; firmware has one of each")
        found.append(history.operation)
        tensor = sources[0]
    return found[::-1]


def circuit(model: keras.Model, wire: FixedPoint) -> Circuit:
    """Read a network into steps on integers.

    Args:
        model: A network that `check_network` accepts.
        wire: Format of the input codes.

    Raises:
        UnsupportedError: The network is not accepted, or a sum may need more bits than int64 carries.
    """
    check_network(model)
    shape = tuple(model.inputs[0].shape[1:])
    steps: list[Step] = []
    bounds = Bounds(*(np.full(shape, end, dtype=np.int64) for end in (wire.min_code, wire.max_code)))
    fraction = wire.fraction
    for layer in chain(model):
        for step in _steps(layer, bounds, fraction):
            steps.append(step)
            bounds, fraction = step.bounds(bounds), step.fraction
    return Circuit(shape, wire, tuple(steps))


def _steps(layer: Any, bounds: Bounds, fraction: int) -> Iterator[Step]:
    """What a layer does, given what comes in."""
    match type(layer).__name__:
        case "QActivation":
            yield Cast(layer.name, bounds.source(fraction), quantizer_format(layer.activation, layer.name))
        case "QDense":
            dense = _dense(layer, fraction)
            yield dense
            if not is_linear(layer):
                source = dense.bounds(bounds).source(dense.fraction)
                yield Cast(layer.name, source, quantizer_format(layer.activation, layer.name))
        case "GlobalAveragePooling1D":
            yield Sum(layer.name, fraction + int(layer.input.shape[1]).bit_length() - 1)
        case "Flatten" | "Reshape":
            yield Shape(layer.name, tuple(layer.output.shape[1:]), fraction)


def _dense(layer: Any, fraction: int) -> Dense:
    kernel, bias = quantized_weights(layer)
    bias = np.zeros(kernel.shape[1]) if bias is None else bias
    # Sums have the fraction of the products, or the bias's where that is finer.
    out = max(fraction + fraction_bits(kernel), fraction_bits(bias))
    largest = max(float(np.abs(np.ldexp(kernel, out - fraction)).max()), float(np.abs(np.ldexp(bias, out)).max()))
    carried(layer.name, int(largest))
    return Dense(
        layer.name, np.ldexp(kernel, out - fraction).astype(np.int64), np.ldexp(bias, out).astype(np.int64), out
    )


def input_format(model: keras.Model) -> FixedPoint:
    """The format that the network casts its input to."""
    first = chain(model)[0]
    return quantizer_format(first.activation, first.name)


def _check_order(layers: list[Any]) -> list[str]:
    """What is wrong with the order of layers that are each good."""
    faults = []
    if not layers or type(layers[0]).__name__ != "QActivation":
        faults.append(
            "the layer after the input is not a QActivation with quantized_bits: the input's format is not known"
        )
    if not any(type(layer).__name__ == "QDense" for layer in layers):
        faults.append("the network has no QDense layer: there is nothing to compute")
    quantised_by = None
    for layer in layers:
        kind = type(layer).__name__
        if kind == "QActivation" and quantised_by is not None:
            faults.append(
                f"layer {layer.name!r} quantises what {quantised_by!r} has quantised: hls4ml keeps only one cast of the two; "
                f"leave one of them out"
            )
        if kind not in ("Flatten", "Reshape", "Dropout"):
            quantised = kind == "QActivation" or (kind == "QDense" and not is_linear(layer))
            quantised_by = layer.name if quantised else None
    return faults


def is_linear(layer: Any) -> bool:
    """Whether a QDense has no activation of its own."""
    return getattr(layer.activation, "__name__", "") == "linear" or layer.activation is None


def quantizer_format(quantizer: Any, where: str) -> FixedPoint:
    """The format of an activation quantiser.

    Args:
        quantizer: A QKeras quantiser.
        where: What messages call it.

    Raises:
        UnsupportedError: The quantiser is not a cast to one fixed-point format.
    """
    _refuse_noise(quantizer, where)
    kind = type(quantizer).__name__
    bits, integer = int(getattr(quantizer, "bits", 0)), int(getattr(quantizer, "integer", 0))
    if kind == "quantized_bits":
        if quantizer.alpha is not None and (isinstance(quantizer.alpha, str) or float(quantizer.alpha) != 1.0):
            raise UnsupportedError(
                f"{where}: quantized_bits(alpha={quantizer.alpha!r}) scales what it quantised and is not a cast; use alpha=1"
            )
        signed = bool(quantizer.keep_negative)
        if signed and bits == 1:
            raise UnsupportedError(f"{where}: quantized_bits(1) takes the values -1 and +1, which no 1-bit format has")
        overflow = Overflow.SAT_SYM if quantizer.symmetric and signed else Overflow.SAT
        return FixedPoint(signed, integer, bits - signed - integer, Rounding.RND_CONV, overflow)
    if kind == "quantized_relu":
        if quantizer.use_sigmoid:
            raise UnsupportedError(f"{where}: quantized_relu(use_sigmoid=1) is not a cast; use use_sigmoid=0")
        if quantizer.negative_slope:
            raise UnsupportedError(
                f"{where}: quantized_relu(negative_slope={quantizer.negative_slope}) is not a cast; use negative_slope=0"
            )
        if quantizer.relu_upper_bound is not None and not quantizer.is_quantized_clip:
            raise UnsupportedError(
                f"{where}: quantized_relu(relu_upper_bound={quantizer.relu_upper_bound}) is not a cast"
            )
        if integer < 0:
            raise UnsupportedError(
                f"{where}: quantized_relu with integer={integer} fails in QKeras itself; use integer >= 0"
            )
        return FixedPoint(False, integer, bits - integer, Rounding.RND_CONV, Overflow.SAT)
    raise UnsupportedError(
        f"{where}: quantiser {kind} is not supported; supported are {', '.join(SUPPORTED_QUANTIZERS)}"
    )


def quantized_weights(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Kernel and bias of a QDense as the network computes with them.

    Raises:
        UnsupportedError: A quantiser is missing, or its weights are not on a grid of a power of two.
    """
    kernel = _quantized(layer.kernel_quantizer_internal, layer.kernel, f"{layer.name}.kernel")
    bias = _quantized(layer.bias_quantizer_internal, layer.bias, f"{layer.name}.bias") if layer.use_bias else None
    return kernel, bias


def float64_reference(model: keras.Model) -> keras.Model:
    """The same network with every layer computing in float64, to be called under `keras.config.set_floatx('float64')`.

    QKeras's `quantized_relu` casts to float32 whatever the precision around it; here it is replaced by the same function
    in the precision of its input.
    """
    import keras

    config = _in_float64(model.get_config())
    reference = type(model).from_config(config)
    reference.set_weights([weight.astype(np.float64) for weight in model.get_weights()])
    for layer in reference.layers:
        quantizer = getattr(layer, "activation", None)
        if type(quantizer).__name__ == "quantized_relu":
            given = quantizer_format(quantizer, layer.name)

            def rectify(x: Any, given: FixedPoint = given) -> Any:
                rounded = keras.ops.round(x * (1 / given.step))  # ties to even
                return keras.ops.clip(rounded, 0, given.max_code) * given.step

            layer.activation = rectify
    return reference


def _check_layer(layer: Any) -> None:
    kind, name = type(layer).__name__, layer.name
    if kind not in SUPPORTED_LAYERS:
        hint = {
            "Dense": "; QDense is its quantised form",
            "Activation": "; QActivation is its quantised form, and the softmax stays outside the chip",
            "Softmax": "; it stays outside the chip, end the network with the logits",
            "ReLU": "; use QActivation with quantized_relu",
        }.get(kind, "")
        raise UnsupportedError(
            f"layer {name!r} is a {kind}, which is not supported{hint}; supported are {', '.join(SUPPORTED_LAYERS)}"
        )
    if kind == "QActivation":
        quantizer_format(layer.activation, f"layer {name!r}")
    if kind == "QDense":
        quantized_weights(layer)
        if not is_linear(layer):
            if type(layer.activation).__name__ == "function":
                raise UnsupportedError(f"layer {name!r}: activation {layer.activation.__name__!r} is not quantised")
            quantizer_format(layer.activation, f"layer {name!r}")
    if kind == "GlobalAveragePooling1D":
        entries = int(layer.input.shape[1])
        if entries & (entries - 1):
            raise UnsupportedError(
                f"layer {name!r} averages over {entries} entries: the mean has no exact code unless the number is a power of "
                f"two; use 2, 4, 8, 16 ... entries, or a sum"
            )


def _quantized(quantizer: Any, weight: Any, where: str) -> NDArray[np.float64]:
    if quantizer is None:
        raise UnsupportedError(f"{where} has no quantiser; use quantized_bits")
    kind = type(quantizer).__name__
    if kind != "quantized_bits":
        raise UnsupportedError(f"{where}: quantiser {kind} is not supported for weights; use quantized_bits")
    _refuse_noise(quantizer, where)
    alpha, scale = quantizer.alpha, getattr(quantizer, "post_training_scale", None)
    scalar = alpha is None or isinstance(alpha, str | int | float)
    power = isinstance(alpha, int | float) and alpha > 0 and float(np.log2(float(alpha))).is_integer()
    if not scalar or alpha == "auto" or (isinstance(alpha, int | float) and not power):
        raise UnsupportedError(
            f"{where}: quantized_bits(alpha={alpha!r}) scales by a number that is not a power of two and has no exact "
            f"fixed-point format; use alpha=1 or 'auto_po2'"
        )
    if scale is not None:
        raise UnsupportedError(
            f"{where}: quantized_bits(post_training_scale={scale}) is not supported; use alpha=1 or 'auto_po2'"
        )
    values = np.asarray(quantizer(weight), dtype=np.float64)
    codes = np.ldexp(values, WEIGHT_FRACTION).astype(np.int64)
    # Each output channel must be a power of two times integers of no more than the quantiser's bits.
    used = np.bitwise_or.reduce(codes.reshape(-1, codes.shape[-1]), axis=0)
    lowest = np.where(used == 0, 1, used & -used)
    if (np.ldexp(values, WEIGHT_FRACTION) != codes).any() or (np.abs(codes) // lowest > 1 << int(quantizer.bits)).any():
        raise UnsupportedError(
            f"{where}: the quantised weights are not {int(quantizer.bits)}-bit multiples of powers of two"
        )
    return values


def _refuse_noise(quantizer: Any, where: str) -> None:
    if getattr(quantizer, "use_stochastic_rounding", False):
        raise UnsupportedError(
            f"{where}: stochastic rounding cannot be repeated in firmware; use use_stochastic_rounding=0"
        )
    noise = getattr(quantizer, "qnoise_factor", 1.0)
    if float(np.asarray(noise)) != 1.0:
        raise UnsupportedError(f"{where}: qnoise_factor={float(np.asarray(noise)):g} quantises only in part; use 1")


def _in_float64(config: Any) -> Any:
    """A Keras configuration with its data types replaced."""
    if isinstance(config, dict):
        return {key: _in_float64(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float64(value) for value in config)
    return "float64" if isinstance(config, str) and config == "float32" else config
