"""What a plain Keras network is when its firmware is given declared types: legacy projects, `ap_fixed<16,6>` everywhere.

Nothing here is bit-exact to the Keras network, and nothing claims to be: the truth is the circuit that the declared types
make, narrow accumulators, cast products, tables and all. It is read from the network and the target alone, so that it can
be compared with what hls4ml's C++ computes.

References:
    hls4ml 1.3.0, `nnet_utils`: the order of operations and the tables.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware.backends import qkeras_layers
from firmware.circuit import Accumulate, Cast, Circuit, Relu, Scale, Softmax, Step, Table
from firmware.target import DeclaredTypes, LayerTypes
from trigger.errors import UnsupportedError, nearest
from trigger.fixed_point import MAX_WIDTH, Codes, FixedPoint, Overflow, Rounding

if TYPE_CHECKING:
    import keras

SUPPORTED_LAYERS = ("InputLayer", "Dense", "BatchNormalization", "ReLU", "LeakyReLU", "Activation", "Softmax")
TABLES = ("sigmoid", "tanh", "softplus", "softsign")
ACTIVATIONS = ("linear", "relu", "softmax", *TABLES)
TAKEN = ("input", "i", "n", "p", "u", "t")
"""Names of layers that hls4ml renames or trips over, so that what is declared for them is lost."""
_TABLE = FixedPoint.parse("ap_fixed<18,8>")
_SOFTMAX_TABLE = FixedPoint.parse("ap_fixed<18,8,AP_RND,AP_SAT>")
_INDEX_BITS = 31


@dataclass(frozen=True)
class Operation:
    """One operation as hls4ml splits a network, with every type that it has.

    Attributes:
        name: What hls4ml calls it: the layer, or `layer_activation` where a dense layer has one.
        kind: `dense`, `scale`, `relu`, `linear`, `softmax` or a table's name.
        layer: The Keras layer.
        types: What is declared for it.
        default: What holds where nothing is declared.
    """

    name: str
    kind: str
    layer: Any
    types: LayerTypes
    default: FixedPoint

    def of(self, what: str) -> FixedPoint:
        """The type of `weight`, `bias`, `accum`, `result`, `scale` or `slope`."""
        found: FixedPoint | None = getattr(self.types, what)
        return found or self.default

    @property
    def table(self) -> FixedPoint:
        """Type of the entries of a table."""
        return self.types.table or _TABLE

    @property
    def size(self) -> int:
        """Entries of a table."""
        return self.types.table_size or 1024

    @property
    def slope(self) -> float:
        """Slope for negative numbers."""
        return float(getattr(self.layer, "negative_slope", 0.0)) if type(self.layer).__name__ == "LeakyReLU" else 0.0

    def softmax(self, source: FixedPoint) -> SoftmaxTypes:
        """Every type and size of a softmax whose arguments are of `source`."""
        stable = self.types.implementation != "latency"
        inverse = self.types.inv_table or _SOFTMAX_TABLE
        size = min(self.size, 1 << min(source.width, inverse.width))
        exponents = size
        distance = self.types.exp_input
        if not stable:
            distance = source
        elif distance is None:
            distance = FixedPoint(False, source.integer, source.fraction)
            if source.signed:
                exponents = min(size, 1 << (source.width - 1))
        return SoftmaxTypes(
            stable, distance, self.types.exp_table or _SOFTMAX_TABLE, inverse, self.types.inv_input or _SOFTMAX_TABLE,
            self.of("accum"), exponents, size,
        )  # fmt: skip


@dataclass(frozen=True)
class SoftmaxTypes:
    """Types and sizes of a softmax.

    Attributes:
        stable: Whether exponentials are of the distance from the largest argument.
        distance: Type of the argument of the exponential.
        exponential: Type of that table's entries.
        inverse: Type of the other table's entries.
        total: Type of the sum as it is looked up.
        accum: Type of the exponentials as they are added, and of their sum.
        exponents: Entries of the table of exponentials.
        inverses: Entries of the other table.
    """

    stable: bool
    distance: FixedPoint
    exponential: FixedPoint
    inverse: FixedPoint
    total: FixedPoint
    accum: FixedPoint
    exponents: int
    inverses: int


def operations(model: keras.Model, declared: DeclaredTypes) -> list[Operation]:
    """The operations of a network, from input to output.

    Raises:
        UnsupportedError: A layer is not supported; names each, and each name in `declared` that is not there.
    """
    faults: list[str] = []
    found: list[Operation] = []
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.inputs[0].shape) != 2:
        raise UnsupportedError("a network with declared types has one flat input and one output")
    placed = qkeras_layers.layers_in_order(model)
    faults += [
        f"layer {one.layer.name!r} has {len(one.sources)} inputs; with declared types there is one"
        for one in placed
        if len(one.sources) != 1
    ]
    for layer in [model.layers[0], *(one.layer for one in placed)]:
        kind, name = type(layer).__name__, layer.name
        if kind not in SUPPORTED_LAYERS:
            faults.append(f"layer {name!r} is a {kind}; with declared types there are {', '.join(SUPPORTED_LAYERS)}")
        elif name.lower() in TAKEN:
            faults.append(
                f"layer {name!r}: hls4ml changes this name and loses what is declared for it; rename the layer"
            )
        else:
            found += [
                Operation(made, kind_of, layer, declared.layers.get(made, LayerTypes()), declared.default)
                for made, kind_of in _split(layer, faults)
            ]
    names = [one.name for one in found]
    faults += [
        f"types are declared for a layer {name!r} that is not there; nearest: {nearest(name, names)}"
        for name in declared.layers
        if name not in names
    ]
    if faults:
        raise UnsupportedError("\n".join(faults))
    return found


def _split(layer: Any, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Name and kind of each operation of a layer."""
    name, kind = layer.name, type(layer).__name__
    match kind:
        case "Dense" | "Activation":
            activation = getattr(layer.activation, "__name__", "linear")
            if activation not in ACTIVATIONS:
                faults.append(f"layer {name!r}: activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
            elif kind == "Activation":
                yield name, activation
            else:
                yield name, "dense"
                if activation != "linear":
                    yield f"{name}_{activation}", activation
        case "BatchNormalization":
            factor, offset = _normalisation(layer)
            if not ((factor == 1).all() and (offset == 0).all()):  # hls4ml leaves such a layer out, and its cast
                yield name, "scale"
        case "ReLU":
            if layer.max_value is not None or layer.threshold or layer.negative_slope:
                faults.append(f"layer {name!r}: a ReLU with max_value, threshold or negative_slope is not supported")
            yield name, "relu"
        case "LeakyReLU":
            yield name, "relu"
        case "Softmax":
            yield name, "softmax"


def circuit(model: keras.Model, wire: FixedPoint, declared: DeclaredTypes) -> Circuit:
    """The network in its declared types, as steps on integers.

    Args:
        model: A network of the supported layers, one after the other.
        wire: Format of the input codes.
        declared: Types of every operation.

    Raises:
        UnsupportedError: A layer is not supported, or a type has no defined result in the C++ headers.
    """
    steps: list[Step] = []
    form = wire
    for operation in operations(model, declared):
        made = list(_steps(operation, form))
        steps += made
        form = operation.of("result")
    network = Circuit(tuple(model.inputs[0].shape[1:]), wire, tuple(steps))
    network.bounds()  # refuses sums that int64 does not hold
    return network


def _steps(operation: Operation, form: FixedPoint) -> Iterator[Step]:
    """What an operation does to numbers of `form`; the last step is the cast to its result type."""
    name, result = operation.name, operation.of("result")
    match operation.kind:
        case "dense":
            weight, accum = operation.of("weight"), operation.of("accum")
            kernel, bias = (np.asarray(one, dtype=np.float32) for one in _weights(operation.layer))
            product = _wide(
                name, form.signed or weight.signed, form.width + weight.width, form.fraction + weight.fraction
            )
            biases = operation.of("bias")
            # Where there is no bias the C++ has one of a single bit, which is 0 and is cast all the same.
            _castable(name, biases if operation.layer.use_bias else FixedPoint(False, 1, 0), accum)
            _castable(name, product, accum)
            yield Accumulate(name, _printed(kernel, weight), accum.cast(_printed(bias, biases), biases), product, accum)
            yield _cast(name, accum, result)
        case "scale":
            yield from _scale(operation, form)
        case "relu":
            yield from _relu(operation, form)
        case "linear":
            yield _cast(name, form, result)
        case "softmax":
            given = operation.softmax(form)
            yield _softmax(name, given, form)
            width, fraction = given.accum.width + given.inverse.width, given.accum.fraction + given.inverse.fraction
            yield _cast(name, _wide(name, given.accum.signed or given.inverse.signed, width, fraction), result)
        case _:
            yield _lookup(name, operation, form)
            yield _cast(name, operation.table, result)


def _scale(operation: Operation, form: FixedPoint) -> Iterator[Step]:
    name, scale, biases = operation.name, operation.of("scale"), operation.of("bias")
    factors, offsets = _normalisation(operation.layer)
    fraction = max(form.fraction + scale.fraction, biases.fraction)
    factor = _printed(factors, scale) << (fraction - form.fraction - scale.fraction)
    yield Scale(name, factor, _printed(offsets, biases) << (fraction - biases.fraction), fraction)
    # The C++ type of product plus offset: one more integer bit than the wider of the two, and one for a sign that one has.
    signed = form.signed or scale.signed
    product = form.integer + form.signed + scale.integer + scale.signed + (biases.signed and not signed)
    integer = max(product, biases.integer + biases.signed + (signed and not biases.signed)) + 1
    yield _cast(name, _wide(name, signed or biases.signed, integer + fraction, fraction), operation.of("result"))


def _relu(operation: Operation, form: FixedPoint) -> Iterator[Step]:
    """Positive numbers are cast as they are; negative ones are multiplied by the slope first."""
    name, result = operation.name, operation.of("result")
    _castable(name, form, result)
    slope = operation.of("slope") if operation.slope else FixedPoint(False, 1, 0)
    width, fraction = form.width + slope.width, form.fraction + slope.fraction
    if operation.slope:
        _castable(name, _wide(name, form.signed or slope.signed, width, fraction), result)
    finer = max(slope.fraction, 0)
    code = int(slope.codes(operation.slope)) << (finer - slope.fraction)
    yield Relu(name, code, finer, form.fraction + finer)
    yield Cast(name, _wide(name, True, 1 + width + finer - slope.fraction, form.fraction + finer), result)


def _weights(layer: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    kernel = np.asarray(layer.kernel)
    return kernel, np.asarray(layer.bias) if layer.use_bias else np.zeros(kernel.shape[1])


def _normalisation(layer: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and offset of a batch normalisation, in float32 as hls4ml has them."""
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    gamma = np.asarray(layer.gamma) if layer.scale else np.float32(1)
    beta = np.asarray(layer.beta) if layer.center else np.float32(0)
    factor = gamma / np.sqrt(variance + layer.epsilon)
    return factor.astype(np.float32), (beta - factor * mean).astype(np.float32)


def _printed(values: NDArray[Any], form: FixedPoint) -> Codes:
    """Codes of weights that are written as decimals into a header first, with as many digits as the type has fraction bits."""
    digits = max(0, form.fraction)
    return form.codes(np.vectorize(lambda value: float(f"{float(value):.{digits}f}"), otypes=[float])(values))


def _wide(name: str, signed: bool, width: int, fraction: int) -> FixedPoint:
    if width > MAX_WIDTH:
        raise UnsupportedError(f"layer {name!r}: its products have {width} bits, {MAX_WIDTH} are the most")
    return FixedPoint(bool(signed), width - signed - fraction, fraction)


def _cast(name: str, source: FixedPoint, form: FixedPoint) -> Cast:
    _castable(name, source, form)
    return Cast(name, source, form)


def _castable(name: str, source: FixedPoint, form: FixedPoint) -> None:
    """The C++ headers read a bit that is not there when more bits are rounded away than there are."""
    if form.rounding is not Rounding.TRN and source.fraction - form.fraction > source.width:
        raise UnsupportedError(
            f"layer {name!r}: {source} to {form} rounds away more bits than there are, which the C++ headers do not "
            f"define; use AP_TRN or more fraction bits"
        )


# --------------------------------------------------------------------------------------------------------------- tables


def _lookup(name: str, operation: Operation, form: FixedPoint) -> Table:
    """A table of a function between -8 and 8 (of tanh between -4 and 4)."""
    size, kind = operation.size, operation.kind
    span = 8 if kind == "tanh" else 16
    entries = operation.table.codes([_function(kind, span * (k - size / 2.0) / size) for k in range(size)])
    if form.integer + form.signed + size.bit_length() + max(0, -form.fraction) > _INDEX_BITS:
        raise UnsupportedError(f"layer {name!r}: the index of its table does not fit 32 bits for arguments of {form}")
    down = max(form.fraction, 0)
    return Table(
        name, kind, entries, operation.table, size, span << down, max(-form.fraction, 0), span // 2 * size // span
    )


def _function(kind: str, argument: float) -> float:
    """A table's entry as the C++ fills it in, float32 where it has float32."""
    x = np.float32(argument)
    match kind:
        case "sigmoid":
            return float(np.float32(1.0 / float(np.float32(1) + np.float32(_libm("expf")(float(-x))))))
        case "tanh":
            return _libm("tanhf")(float(x))
        case "softplus":
            return float(np.float32(np.log(_libm("expf")(float(x)) + 1.0)))
        case _:
            return float(np.float32(float(x) / (abs(float(x)) + 1.0)))


@cache
def _libm(name: str) -> Callable[[float], float]:
    """A float32 function of the C library: numpy's own may differ in the last place."""
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return lambda value: float(function(value))


def _softmax(name: str, given: SoftmaxTypes, form: FixedPoint) -> Softmax:
    sign = -1.0 if given.stable else 1.0
    exponentials = [
        _libm("expf")(float(np.float32(sign * real))) for real in _arguments(given.distance, given.exponents)
    ]
    with np.errstate(divide="ignore"):
        inverses = np.float32(1) / np.array(_arguments(given.total, given.inverses), dtype=np.float32)
    for source, size in ((given.distance, given.exponents), (given.total, given.inverses)):
        if size & (size - 1):
            raise UnsupportedError(f"layer {name!r}: a softmax has tables of a power of two of entries, not {size}")
        if source.width < _index_bits(size):
            raise UnsupportedError(f"layer {name!r}: {source} has too few bits to look up one of {size} entries")
    _castable(name, form, given.distance)
    _castable(name, given.exponential, given.accum)
    _castable(name, given.accum, given.total)
    return Softmax(
        name, given.stable, form, given.distance, _saturated(given.exponential, np.array(exponentials)),
        given.exponential, given.accum, given.total, _saturated(given.inverse, inverses), given.inverse,
    )  # fmt: skip


def _saturated(form: FixedPoint, values: NDArray[Any]) -> Codes:
    """Codes of values that may be infinite: the end of a type that saturates, otherwise 0."""
    finite = np.isfinite(values)
    codes = form.codes(np.where(finite, values, 0.0))
    top = form.max_code if form.overflow in (Overflow.SAT, Overflow.SAT_SYM) else 0
    bottom = form.min_code if top else 0
    return np.where(finite, codes, np.where(values > 0, top, bottom))


def _index_bits(size: int) -> int:
    """Bits that look up one of `size` entries, 1 at the least."""
    return max(1, (size - 1).bit_length())


def _arguments(form: FixedPoint, size: int) -> list[float]:
    """The number that stands for all those with the same leading bits, in float32."""
    bits = _index_bits(size)
    codes = (
        np.arange(size, dtype=np.int64) << (form.width - bits) if form.width >= bits else np.zeros(size, dtype=np.int64)
    )
    wrapped = np.where(form.signed & (codes >= 1 << (form.width - 1)), codes - (1 << form.width), codes)
    return [float(np.float32(value)) for value in form.values(wrapped)]


def table_network() -> keras.Model:
    """A small network with a table in it, for what is to be shown of tables where a network has none."""
    import keras

    source = keras.Input((4,), name="inputs")
    hidden = keras.layers.Dense(6, activation="sigmoid", name="hidden")(source)
    model = keras.Model(source, keras.layers.Dense(2, name="outputs")(hidden))
    generator = np.random.default_rng(3)
    model.set_weights([generator.normal(0, 1, weight.shape) for weight in model.get_weights()])
    return model
