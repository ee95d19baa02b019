"""What a QKeras network is, exactly: the door to QKeras for everything that makes firmware.

A quantiser is read into a `FixedPoint` or refused by name. Nothing is approximated: what cannot be represented bit for bit
is an error that says what can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware.circuit import (
    Add,
    Bounds,
    Cast,
    Circuit,
    Concatenate,
    Dense,
    Gather,
    Max,
    Multiply,
    Shape,
    Step,
    Sum,
    carried,
)
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

if TYPE_CHECKING:
    import keras

WEIGHTED = ("QDense", "QConv1D", "QConv2D", "QDepthwiseConv2D")
FOLDED = {
    "QDenseBatchnorm": "QDense", "QConv2DBatchnorm": "QConv2D", "QDepthwiseConv2DBatchnorm": "QDepthwiseConv2D",
}  # fmt: skip
"""Layers with a batch normalisation in them, and what `folded` makes of each."""
POOLING = ("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
GLOBAL_POOLING = ("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D")
MERGING = ("Add", "Subtract", "Multiply", "Concatenate", "Dot")
SHAPING = ("Flatten", "Reshape", "Permute", "Dropout")
"""Layers that leave numbers as they are."""
SUPPORTED_LAYERS = ("InputLayer", "QActivation", *WEIGHTED, *FOLDED, *POOLING, *GLOBAL_POOLING, *MERGING, *SHAPING)
WEIGHT_FRACTION = 40
"""Finest fraction of a weight; every quantised weight is a multiple of 2^-40, or refused."""
SUPPORTED_QUANTIZERS = ("quantized_bits", "quantized_relu", "quantized_tanh")
WEIGHT_QUANTIZERS = ("quantized_bits", "binary", "ternary")


def register_layers() -> None:
    """Make Keras know the quantised layers, so that a saved network can be loaded."""
    import qkeras  # noqa: F401  its import registers them


def layer_classes() -> dict[str, type]:
    """The quantised layers that make arithmetic."""
    import qkeras

    return {name: getattr(qkeras, name) for name in ("QActivation", *WEIGHTED)}


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
    model, faults = folded(model), []
    for placed in layers_in_order(model):
        try:
            _check_layer(placed)
        except InputError as error:
            text = str(error)
            faults.append(text if placed.layer.name in text else f"layer {placed.layer.name!r}: {text}")
    if not faults:
        faults = _check_order(model)
    if faults:
        raise UnsupportedError("\n".join(faults))


@dataclass(frozen=True)
class Placed:
    """A layer in its place.

    Attributes:
        layer: The Keras layer.
        sources: The tensors that it reads.
        result: The tensor that it gives.
    """

    layer: Any
    sources: tuple[Any, ...]
    result: Any

    @property
    def kind(self) -> str:
        """Name of the layer's class."""
        return type(self.layer).__name__

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of what it reads, without the axis of events."""
        return [tuple(one.shape[1:]) for one in self.sources]


def layers_in_order(model: keras.Model) -> list[Placed]:
    """The layers as data flows from input to output, without the input itself.

    Raises:
        UnsupportedError: A layer is used twice.
    """
    found: dict[Any, Placed] = {}
    seen: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(model.outputs[0], False)]
    while waiting:
        tensor, ready = waiting.pop()
        history = tensor._keras_history
        layer = history.operation
        if type(layer).__name__ == "InputLayer" or (id(tensor) in seen and not ready):
            continue
        sources = tuple(layer._inbound_nodes[history.node_index].input_tensors)
        if not ready:
            seen.add(id(tensor))
            waiting += [(tensor, True), *((source, False) for source in sources[::-1])]
        elif layer in found:
            raise UnsupportedError(f"layer {layer.name!r} is used twice; firmware has one of each")
        else:
            found[layer] = Placed(layer, sources, tensor)
    return list(found.values())


def folded(model: keras.Model) -> keras.Model:
    """The same network with each batch normalisation folded into the layer that it belongs to.

    A `QDenseBatchnorm` (and its like) computes with `gamma / sqrt(variance + epsilon)` times its kernel, quantised; what comes
    out is a plain layer that has this product as its weights and quantises it in the same way.

    References:
        Folding: B. Jacob et al., arXiv:1712.05877, section 3.2.
    """
    import keras
    import qkeras

    if not any(type(layer).__name__ in FOLDED for layer in model.layers):
        return model

    def plain(layer: Any) -> Any:
        kind = FOLDED.get(type(layer).__name__)
        if kind is None:
            return layer.__class__.from_config(layer.get_config())
        given, plainer = layer.get_config(), getattr(qkeras, kind)
        least = {"QDense": {"units": 1}, "QConv2D": {"filters": 1, "kernel_size": 1}}.get(kind, {"kernel_size": 1})
        kept = {key: given[key] for key in plainer(**least).get_config() if key in given}
        return plainer.from_config(kept | {"use_bias": True})

    tensor = model.inputs[0]
    start = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor._keras_history.operation.name)
    twin = keras.models.clone_model(model, input_tensors=start, clone_function=plain)
    for placed in layers_in_order(twin):
        source = model.get_layer(placed.layer.name)
        weights = source.get_folded_weights() if type(source).__name__ in FOLDED else source.weights
        placed.layer.set_weights([np.asarray(one) for one in weights])
    return twin


def circuit(model: keras.Model, wire: FixedPoint) -> Circuit:
    """Read a network into steps on integers.

    Args:
        model: A network that `check_network` accepts.
        wire: Format of the input codes.

    Raises:
        UnsupportedError: The network is not accepted, or a sum may need more bits than int64 carries.
    """
    check_network(model)
    model = folded(model)
    shape = tuple(model.inputs[0].shape[1:])
    steps: list[Step] = []
    reads: list[tuple[int, ...]] = []
    bounds = [Bounds(*(np.full(shape, end, dtype=np.int64) for end in (wire.min_code, wire.max_code)))]
    fractions = [wire.fraction]
    tensors = {id(model.inputs[0]): 0}
    for placed in layers_in_order(model):
        read = tuple(tensors[id(source)] for source in placed.sources)
        for step in _steps(placed, [bounds[one] for one in read], [fractions[one] for one in read], len(set(read))):
            if isinstance(step, Multiply) and step.square:
                read = read[:1]
            reads.append(read)
            steps.append(step)
            bounds.append(step.bounds(*(bounds[one] for one in read)))
            fractions.append(step.fraction)
            read = (len(steps),)
        tensors[id(placed.result)] = read[0]
    return Circuit(shape, wire, tuple(steps), tuple(reads))


def _steps(placed: Placed, given: list[Bounds], fractions: list[int], different: int) -> Iterator[Step]:
    """What a layer does, given what comes in."""
    layer, bounds, fraction = placed.layer, given[0], fractions[0]
    name, shape = layer.name, bounds.low.shape
    match placed.kind:
        case "QActivation":
            yield Cast(name, bounds.source(fraction), quantizer_format(layer.activation, name))
        case kind if kind in WEIGHTED:
            if kind != "QDense":
                gather = Gather(name, _patches(layer, shape), fraction)
                yield gather
                bounds = gather.bounds(bounds)
            dense = _dense(layer, fraction)
            yield dense
            if not is_linear(layer):
                source = dense.bounds(bounds).source(dense.fraction)
                yield Cast(name, source, quantizer_format(layer.activation, name))
        case kind if kind in (*POOLING, *GLOBAL_POOLING):
            yield from _pooling_steps(placed, shape, fraction)
        case "Flatten" | "Reshape":
            yield Shape(name, tuple(placed.result.shape[1:]), fraction)
        case "Permute":
            yield Gather(name, _places(shape).transpose([one - 1 for one in layer.dims]), fraction)
        case kind if kind in MERGING:
            yield from _merging_steps(placed, shape, fractions, different)


def _pooling_steps(placed: Placed, shape: tuple[int, ...], fraction: int) -> Iterator[Step]:
    """Windows, and the largest or the mean of each."""
    layer, kind, name = placed.layer, placed.kind, placed.layer.name
    size = int(np.prod(shape[:-1] if kind in GLOBAL_POOLING else layer.pool_size))
    point = fraction if "Max" in kind else fraction + size.bit_length() - 1  # the size is a power of two
    if kind in POOLING:
        windows = _windows(layer.pool_size, layer.strides, "valid", shape)
        flat = windows.reshape(*windows.shape[: len(shape)], size)
        yield Gather(name, np.moveaxis(flat, -1, 0), fraction)
    elif len(shape) > 2:
        yield Shape(name, (size, shape[-1]), fraction)
    yield Max(name, point) if "Max" in kind else Sum(name, point)
    if getattr(layer, "keepdims", False):
        yield Shape(name, tuple(placed.result.shape[1:]), point)


def _merging_steps(placed: Placed, shape: tuple[int, ...], fractions: list[int], different: int) -> Iterator[Step]:
    """Tensors put together, their binary points in line."""
    name, finest = placed.layer.name, max(fractions)
    shifts = tuple(finest - one for one in fractions)
    match placed.kind:
        case "Concatenate":
            yield Concatenate(name, placed.layer.axis % (len(shape) + 1) - 1, shifts, finest)
        case "Add" | "Subtract" as kind:
            yield Add(name, (1, 1) if kind == "Add" else (1, -1), shifts, finest)
        case kind:
            point = sum(fractions)
            yield Multiply(name, different == 1, point)
            if kind == "Dot":
                yield Shape(name, (*shape, 1), point)
                yield Sum(name, point)


def _places(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The place of each number in the flattened event."""
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)


def _windows(
    size: tuple[int, ...], strides: tuple[int, ...], padding: str, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Places of what each position of a kernel or a pool sees, shape `(*positions, channels, *size)`; -1 is padding."""
    before = [0] * len(size)
    after = [0] * len(size)
    if padding == "same":  # as TensorFlow, Keras and hls4ml have it: the odd one goes to the end
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(shape, strides, size, strict=False)]
        before, after = [one // 2 for one in total], [one - one // 2 for one in total]
    margins = [*zip(before, after, strict=True), (0, 0)]
    padded = np.pad(_places(shape), margins, constant_values=-1)
    axes = tuple(range(len(size)))
    every = np.lib.stride_tricks.sliding_window_view(padded, size, axis=axes)
    return every[tuple(slice(None, None, step) for step in strides)]


def _patches(layer: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Places of the patch that a kernel sees at each position, shape `(*positions, taps)`: channels within pixels."""
    windows = _windows(layer.kernel_size, layer.strides, layer.padding, shape)
    rank = len(layer.kernel_size)
    return np.moveaxis(windows, rank, -1).reshape(*windows.shape[:rank], -1)


def _dense(layer: Any, fraction: int) -> Dense:
    kernel, bias = quantized_weights(layer)
    kernel = matrix(layer, kernel)
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
    first = layers_in_order(model)[0].layer
    return quantizer_format(first.activation, first.name)


def _check_order(model: keras.Model) -> list[str]:
    """What is wrong with the order of layers that are each good."""
    faults = []
    layers = layers_in_order(model)
    first = [one for one in layers if any(source is model.inputs[0] for source in one.sources)]
    if len(first) != 1 or first[0].kind != "QActivation":
        faults.append(
            "the layer after the input is not a QActivation with quantized_bits: the input's format is not known"
        )
    if not any(one.kind in WEIGHTED for one in layers):
        faults.append("the network has no QDense or convolution layer: there is nothing to compute")
    quantised_by: dict[int, str] = {}
    for one in layers:
        before = quantised_by.get(id(one.sources[0]))
        if one.kind == "QActivation" and before is not None:
            faults.append(
                f"layer {one.layer.name!r} quantises what {before!r} has quantised: hls4ml keeps only one cast of the two; "
                f"leave one of them out"
            )
        if one.kind == "QActivation" or (one.kind in WEIGHTED and not is_linear(one.layer)):
            quantised_by[id(one.result)] = one.layer.name
        elif one.kind in SHAPING and before is not None:
            quantised_by[id(one.result)] = before
    return faults


def is_linear(layer: Any) -> bool:
    """Whether a layer with weights has no activation of its own."""
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
    if kind == "quantized_tanh":
        if quantizer.use_real_tanh or _internal_sigmoid() != "hard":
            raise UnsupportedError(
                f"{where}: quantized_tanh is a cast only of the hard tanh; use use_real_tanh=0 and the internal sigmoid 'hard'"
            )
        overflow = Overflow.SAT_SYM if quantizer.symmetric else Overflow.SAT
        return FixedPoint(True, 0, bits - 1, Rounding.RND_CONV, overflow)
    raise UnsupportedError(
        f"{where}: quantiser {kind} is not supported; supported are {', '.join(SUPPORTED_QUANTIZERS)}"
    )


def _internal_sigmoid() -> str:
    """Which of its sigmoids QKeras makes `quantized_tanh` of; it is a setting of the whole process."""
    from qkeras import quantizers

    return str(quantizers._default_sigmoid_type)


def quantized_weights(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Kernel and bias of a layer as the network computes with them, in Keras's shapes.

    Raises:
        UnsupportedError: A quantiser is missing, or its weights are not on a grid of a power of two.
    """
    if "Depthwise" in type(layer).__name__:
        kernel = _quantized(
            layer.depthwise_quantizer_internal, layer.depthwise_kernel, f"{layer.name}.depthwise_kernel"
        )
    else:
        kernel = _quantized(layer.kernel_quantizer_internal, layer.kernel, f"{layer.name}.kernel")
    bias = _quantized(layer.bias_quantizer_internal, layer.bias, f"{layer.name}.bias") if layer.use_bias else None
    return kernel, bias


def matrix(layer: Any, kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """A kernel as the matrix from a patch, channels within pixels, to the outputs of a position."""
    if "Depthwise" not in type(layer).__name__:
        return kernel.reshape(-1, kernel.shape[-1])
    channels = kernel.shape[-2]
    taps = kernel.reshape(-1, channels)  # the multiplier is 1
    spread: NDArray[np.float64] = (taps[:, :, None] * np.eye(channels)).reshape(-1, channels)
    return spread


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


def _check_layer(placed: Placed) -> None:
    layer, kind, name = placed.layer, placed.kind, placed.layer.name
    if kind not in SUPPORTED_LAYERS:
        hint = {
            "Dense": "; QDense is its quantised form",
            "Activation": "; QActivation is its quantised form, and the softmax stays outside the chip",
            "Softmax": "; it stays outside the chip, end the network with the logits",
            "ReLU": "; use QActivation with quantized_relu",
            "BatchNormalization": "; use QDenseBatchnorm, QConv2DBatchnorm or QDepthwiseConv2DBatchnorm, which are folded",
            **{one.removeprefix("Q"): f"; {one} is its quantised form" for one in WEIGHTED if one != "QDense"},
        }.get(kind, "")
        raise UnsupportedError(
            f"layer {name!r} is a {kind}, which is not supported{hint}; supported are {', '.join(SUPPORTED_LAYERS)}"
        )
    if kind == "QActivation":
        quantizer_format(layer.activation, f"layer {name!r}")
    if kind in WEIGHTED:
        quantized_weights(layer)
    if kind in WEIGHTED and not is_linear(layer):
        if type(layer.activation).__name__ == "function":
            raise UnsupportedError(f"layer {name!r}: activation {layer.activation.__name__!r} is not quantised")
        quantizer_format(layer.activation, f"layer {name!r}")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UnsupportedError(f"layer {name!r} has its channels first; use data_format='channels_last'")
    if "Conv" in kind:
        _check_convolution(layer)
    if "Pooling" in kind:
        _check_pooling(placed)
    if kind in MERGING:
        _check_merging(placed)


def _check_convolution(layer: Any) -> None:
    name = layer.name
    for what, one in (("dilation_rate", 1), ("groups", 1), ("depth_multiplier", 1)):
        found = getattr(layer, what, one)
        if set(np.atleast_1d(found).tolist()) != {one}:
            raise UnsupportedError(f"layer {name!r}: {what}={found} is not supported; use {one}")
    if layer.padding not in ("valid", "same"):
        raise UnsupportedError(
            f"layer {name!r}: padding={layer.padding!r} fails in QKeras itself; use 'valid' or 'same'"
        )


def _check_pooling(placed: Placed) -> None:
    layer, kind, name = placed.layer, placed.kind, placed.layer.name
    shape = placed.shapes[0][:-1]
    size = shape if "Global" in kind else layer.pool_size
    entries = int(np.prod(size))
    if "Average" in kind and entries & (entries - 1):
        raise UnsupportedError(
            f"layer {name!r} averages over {entries} entries: the mean has no exact code unless the number is a power of "
            f"two; use 2, 4, 8, 16 ... entries, or a sum"
        )
    if "Global" in kind:
        return
    over = [-(-n // s) * s > n or k > s for n, s, k in zip(shape, layer.strides, size, strict=True)]
    if layer.padding == "same" and any(over):
        raise UnsupportedError(
            f"layer {name!r} pools {tuple(size)} windows beyond the edge of {tuple(shape)}; use padding='valid'"
        )


def _check_merging(placed: Placed) -> None:
    layer, kind, name, shapes = placed.layer, placed.kind, placed.layer.name, placed.shapes
    flat = all(len(one) == 1 for one in shapes)
    if kind == "Dot" and (not flat or layer.axes not in (1, -1, (1, 1), [1, 1]) or layer.normalize):
        raise UnsupportedError(f"layer {name!r}: Dot is of two flat tensors, axes=1, not normalised; found {shapes}")
    if kind not in ("Concatenate", "Dot") and len(set(shapes)) > 1:
        raise UnsupportedError(f"layer {name!r}: tensors of one shape are needed, found {shapes}")
    if len(shapes) != 2:
        raise UnsupportedError(f"layer {name!r} joins {len(shapes)} tensors; hls4ml joins two at a time")


def _quantized(quantizer: Any, weight: Any, where: str) -> NDArray[np.float64]:
    if quantizer is None:
        raise UnsupportedError(f"{where} has no quantiser; use quantized_bits")
    kind = type(quantizer).__name__
    if kind not in WEIGHT_QUANTIZERS:
        raise UnsupportedError(
            f"{where}: quantiser {kind} is not supported for weights; supported are {', '.join(WEIGHT_QUANTIZERS)}"
        )
    _refuse_noise(quantizer, where)
    alpha, scale = quantizer.alpha, getattr(quantizer, "post_training_scale", None)
    scalar = alpha is None or isinstance(alpha, str | int | float)
    power = isinstance(alpha, int | float) and alpha > 0 and float(np.log2(float(alpha))).is_integer()
    if not scalar or alpha == "auto" or (isinstance(alpha, int | float) and not power):
        raise UnsupportedError(
            f"{where}: {kind}(alpha={alpha!r}) scales by a number that is not a power of two and has no exact "
            f"fixed-point format; use alpha=1 or 'auto_po2'"
        )
    if scale is not None:
        raise UnsupportedError(
            f"{where}: {kind}(post_training_scale={scale}) is not supported; use alpha=1 or 'auto_po2'"
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
