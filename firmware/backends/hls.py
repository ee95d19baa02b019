"""Firmware as C++ for high-level synthesis: the door to hls4ml.

Precisions are hls4ml's bit-exact ones, derived from the quantisers that our handlers hand over. Weights are written into
the headers only (`write_weights_txt=False`): otherwise the C simulation would read text files by an absolute path while
synthesis uses the arrays, and what is simulated would not be what is synthesised.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.backends import keras_layers, qkeras_layers
from firmware.backends.keras_layers import Operation
from firmware.circuit import Cast, Circuit
from firmware.precision import from_hls4ml, kbi
from firmware.scripts import LINES
from firmware.target import HlsBackend, Io, Target
from trigger.errors import InputError, UnsupportedError, nearest
from trigger.fixed_point import FixedPoint

if TYPE_CHECKING:
    import keras


TAKEN = ("input", *"input", "result", "accum")
"""Names that hls4ml keeps to itself, or changes in silence: the letters are of a set that is made from one word."""

NOT_STREAMED = ("Dot", "Permute")
"""Layers that hls4ml has no streamed function for."""


@dataclass(frozen=True)
class Port:
    """A port of the top function.

    Attributes:
        name: The C++ argument.
        cpp_type: Name of its type in the generated headers.
        format: The format of each element.
        size: Number of elements.
        word: Elements of a word, where the port is a stream.
    """

    name: str
    cpp_type: str
    format: FixedPoint
    size: int
    word: int | None


def write(model: keras.Model, wire: FixedPoint, target: Target, top: str, folder: Path) -> tuple[Port, Port]:
    """Convert a network and write the HLS project into `folder`.

    Args:
        model: A network that `qkeras_layers.check_network` accepts, or `keras_layers.operations` where the target declares
            types.
        wire: Format of the inputs.
        target: Part, clock and options.
        top: Name of the top function.
        folder: An empty or missing folder.

    Returns:
        The input and the output port.

    Raises:
        UnsupportedError: hls4ml cannot represent something exactly.
        InputError: The target names a layer that is not there, or a reuse factor that a layer cannot have.
    """
    backend = target.backend
    declared = None if backend.types is None else keras_layers.operations(model, backend.types)
    if declared is None:
        _check_saturation(qkeras_layers.circuit(model, wire))
        _register_handlers()
    _check_layer_names(model, backend)
    _check_shared(model, backend)
    if backend.io == "stream":
        _check_streams(model)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        import hls4ml

        try:
            graph = hls4ml.converters.convert_from_keras_model(
                model, output_dir=str(folder), project_name=top, backend=backend.tool.capitalize(), io_type=f"io_{backend.io}",
                part=target.part, clock_period=target.clock_ns, hls_config=_configuration(model, wire, backend),
                bit_exact=declared is None, allow_da_fallback=False, allow_v2_fallback=declared is not None,
                write_weights_txt=False, write_tar=False,
            )  # fmt: skip
            _check_reuse(graph, backend)
            if declared is not None:
                _check_declared(graph, declared)
            graph.write()
        except (InputError, OSError):
            raise
        except Exception as error:  # whatever a conversion pass did not expect
            raise UnsupportedError(f"hls4ml cannot convert this network: {error}") from error
    inexact = [str(one.message) for one in warned if "bit-exact" in str(one.message).lower()]
    if inexact:
        raise UnsupportedError(f"hls4ml cannot convert this network bit for bit: {' '.join(inexact[0].split())}")
    if backend.io == "stream":
        _mark_lines(folder / "firmware" / "nnet_utils")
    (source,), (result,) = graph.get_input_variables(), graph.get_output_variables()
    return _port(source, backend.io), _port(result, backend.io)


def _port(variable: Any, io: Io) -> Port:
    word = int(variable.shape[-1]) if io == "stream" else None
    return Port(variable.name, variable.type.name, from_hls4ml(variable.type.precision), int(variable.size()), word)


def _mark_lines(folder: Path) -> None:
    """Put a macro before the lines of pixels, windows and counters that streamed layers keep in static variables.

    It is empty for the compilers, so that what they read is hls4ml's; our own engine gives each of its threads its own.
    """
    kept = r"^( +static )(?=int [ps][XY] = 0;|typename data_T::value_type kernel_data\[|ap_shift_reg<)"
    empty = f"#ifndef {LINES}\n#define {LINES}\n#endif\n"
    for path in sorted(folder.glob("*_stream.h")):
        text, count = re.subn(kept, rf"\1{LINES} ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if count:
            path.write_text(empty + text, encoding="utf-8")


def _configuration(model: keras.Model, wire: FixedPoint, backend: HlsBackend) -> dict[str, Any]:
    layers: dict[str, dict[str, Any]] = {}
    if backend.types is not None:
        layers[model.inputs[0]._keras_history.operation.name] = {"Precision": {"result": str(wire)}}
        form = wire
        for operation in keras_layers.operations(model, backend.types):
            layers[operation.name] = _declaration(operation, form)
            form = operation.of("result")
    elif _unrolled(backend):
        # By default hls4ml gives a convolution one circuit, which the pixels go through one after the other.
        for placed in qkeras_layers.layers_in_order(model):
            positions = math.prod(placed.result.shape[1:-1])
            if placed.kind in qkeras_layers.WEIGHTED and positions > 1:
                layers[placed.layer.name] = {"ParallelizationFactor": positions}
    for name, options in backend.layers.items():
        given = {"ReuseFactor": options.reuse_factor, "Strategy": options.strategy and options.strategy.capitalize()}
        layers.setdefault(name, {}).update({key: value for key, value in given.items() if value is not None})
    # Without declared types the precision here is overwritten everywhere by the bit-exact derivation.
    whole = {
        "Precision": "ap_fixed<16,6>" if backend.types is None else str(backend.types.default),
        "ReuseFactor": backend.reuse_factor,
        "Strategy": backend.strategy.capitalize(),
    }
    if _unrolled(backend):
        whole["PipelineStyle"] = "pipeline"
    return {"Model": whole, "LayerName": layers}


def _unrolled(backend: HlsBackend) -> bool:
    """Whether every multiplication has a circuit of its own, so that an event can come every clock."""
    shared = backend.strategy != "latency" or backend.reuse_factor != 1 or bool(backend.layers)
    return backend.io == "parallel" and backend.types is None and not shared


def _declaration(operation: Operation, form: FixedPoint) -> dict[str, Any]:
    """Every type of an operation, spelled out, so that hls4ml infers none."""
    parts = {"dense": ("weight", "bias", "accum"), "scale": ("scale", "bias"), "softmax": ("accum",)}.get(
        operation.kind, ()
    )
    precision = {what: str(operation.of(what)) for what in (*parts, "result")}
    if operation.kind == "relu":
        precision["param"] = str(operation.of("slope"))
    if operation.kind == "softmax":
        given = operation.softmax(form)
        return {
            "Precision": precision, "Implementation": "stable" if given.stable else "latency",
            "exp_table_t": str(given.exponential), "inv_table_t": str(given.inverse), "inv_inp_t": str(given.total),
            **({"inp_norm_t": str(given.distance)} if given.stable else {}),
            "TableSize": given.inverses, "ExpTableSize": given.exponents, "InvTableSize": given.inverses,
        }  # fmt: skip
    if operation.kind in keras_layers.TABLES:
        return {"Precision": precision, "table_t": str(operation.table), "TableSize": operation.size}
    return {"Precision": precision}


def _check_declared(graph: Any, declared: list[Operation]) -> None:
    """hls4ml renames, merges and leaves out layers; here that is an error, because what was declared would be lost."""
    kept = {layer.name: layer for layer in graph.get_layers() if layer.class_name != "Input"}
    wanted = {one.name: one for one in declared}
    if list(kept) != list(wanted):
        raise UnsupportedError(f"hls4ml made the layers {', '.join(kept)} of {', '.join(wanted)}")
    for name, layer in kept.items():
        types = {"accum": layer.types.get("accum_t"), "result": layer.get_output_variable().type}
        for what, found in types.items():
            if found is not None and from_hls4ml(found.precision) != wanted[name].of(what):
                raise UnsupportedError(
                    f"layer {name!r}: {what} was declared {wanted[name].of(what)}, hls4ml made it {found.precision}"
                )


def _check_saturation(circuit: Circuit) -> None:
    """Refuse casts that saturate at a number finer than anything that they are given.

    hls4ml gives such a cast no more fraction bits than what comes in has, and the narrower type saturates elsewhere: 15/16
    instead of 31/32.
    """
    for step, (given, *_) in circuit.bounded():
        if not isinstance(step, Cast):
            continue
        shift = step.form.fraction - step.source.fraction
        ends = [(int(given.high.max()), step.form.max_code), (-int(given.low.min()), -step.form.min_code)]
        if shift > 0 and any(reach << shift > end and end % (1 << shift) for reach, end in ends):
            raise UnsupportedError(
                f"layer {step.layer!r} saturates at {step.form.max_code * step.form.step:g}, with {step.form.fraction} fraction "
                f"bits, and what comes in has {step.source.fraction}: hls4ml would saturate elsewhere; give the layer "
                f"{step.source.fraction} fraction bits, or weights before it with {shift} more"
            )


def _check_layer_names(model: keras.Model, backend: HlsBackend) -> None:
    """A layer's name becomes a C++ type, and an attribute of hls4ml's own layer; some of these names it takes itself."""
    known = [layer.name for layer in model.layers]
    for name in known:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in TAKEN:
            raise UnsupportedError(
                f"layer {name!r}: hls4ml makes C++ of a layer's name, which is of letters, digits and '_', begins with no "
                f"digit, and is none of {', '.join(TAKEN)}; call the layer otherwise"
            )
    for name in backend.layers:
        if name not in known:
            raise InputError(
                f"target: backend.layers names a layer {name!r} that is not there; nearest: {nearest(name, known)}"
            )


def _check_shared(model: keras.Model, backend: HlsBackend) -> None:
    """hls4ml has no shared multipliers for these layers; the C++ aborts when it is run."""
    for layer in model.layers:
        if "Depthwise" in type(layer).__name__ and backend.strategy_of(layer.name) == "resource":
            raise UnsupportedError(
                f"layer {layer.name!r}: a depthwise convolution has no strategy 'resource' in hls4ml; "
                f"'layers: {{{layer.name}: {{strategy: latency}}}}' would be right"
            )


def _check_streams(model: keras.Model) -> None:
    """hls4ml fails on these layers, or what it writes for them takes whole arrays and does not compile, or aborts."""
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in NOT_STREAMED:
            raise UnsupportedError(
                f"layer {layer.name!r}: a {kind} cannot be streamed by hls4ml; 'io: parallel' would be right"
            )
        if kind.endswith("Pooling2D") and kind in qkeras_layers.POOLING and layer.pool_size != layer.strides:
            raise UnsupportedError(
                f"layer {layer.name!r} pools windows of {layer.pool_size} in steps of {layer.strides}, which hls4ml cannot "
                f"stream; strides={layer.pool_size} or 'io: parallel' would be right"
            )


def _check_reuse(graph: Any, backend: HlsBackend) -> None:
    """hls4ml moves a reuse factor it cannot realise to the nearest possible one, or keeps it; here that is an error."""
    for layer in graph.get_layers():
        if "weight" not in layer.weights:
            continue
        options = backend.layers.get(layer.name)
        wanted = (options and options.reuse_factor) or backend.reuse_factor
        shared = backend.strategy_of(layer.name) == "resource"
        n_in, n_out = graph.config.backend.get_layer_mult_size(layer)
        possible = graph.config.backend.get_valid_reuse_factors(n_in, n_out) if shared else [wanted]
        if wanted not in possible or int(layer.get_attr("reuse_factor")) != wanted:
            near = ", ".join(str(one) for one in sorted(possible, key=lambda one: abs(one - wanted))[:3])
            raise InputError(
                f"target: layer {layer.name!r} ({n_in} x {n_out}) cannot have a reuse factor of {wanted}; nearest: {near}"
            )


@cache
def _register_handlers() -> None:
    """Teach hls4ml the qkeras-v3 layers; defining the classes registers them."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hls4ml.converters.keras_v3._base import KerasV3LayerHandler
        from hls4ml.converters.keras_v3.conv import ConvHandler
        from hls4ml.converters.keras_v3.core import DenseHandler

    def cast(name: str, given: FixedPoint, source: str, result: str) -> dict[str, Any]:
        return {
            "name": name, "class_name": "FixedPointQuantizer", "mask_kbi": kbi(given), "SAT": str(given.overflow),
            "RND": str(given.rounding), "fusible": None, "overrides": {}, "input_keras_tensor_names": [source],
            "output_keras_tensor_names": [result],
        }  # fmt: skip

    def activated(layer: Any, config: dict[str, Any], result: str) -> tuple[dict[str, Any], ...]:
        """A layer with weights, and the cast that is its activation."""
        if qkeras_layers.is_linear(layer):
            return (config,)
        given = qkeras_layers.quantizer_format(layer.activation, layer.name)
        between = f"{result}_before_activation"
        config["output_keras_tensor_names"] = [between]
        return config, cast(f"{layer.name}_activation", given, between, result)

    class QActivationHandler(KerasV3LayerHandler):  # type: ignore[misc]
        handles = ("qkeras.qlayers.QActivation",)

        def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> Any:
            given = qkeras_layers.quantizer_format(layer.activation, layer.name)
            return (cast(layer.name, given, in_tensors[0].name, out_tensors[0].name),)

    class QDenseHandler(DenseHandler):  # type: ignore[misc]
        handles = ("qkeras.qlayers.QDense",)

        def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> Any:
            kernel, bias = qkeras_layers.quantized_weights(layer)
            n_in, n_out = kernel.shape
            dense = {
                **self.default_config, "class_name": "Dense", "data_format": "channels_last", "weight_data": kernel,
                "bias_data": bias, "use_bias": bias is not None, "n_in": n_in, "n_out": n_out,
            }  # fmt: skip
            return activated(layer, dense, out_tensors[0].name)

    class QConvHandler(ConvHandler):  # type: ignore[misc]
        handles = tuple(f"qkeras.qconvolutional.{kind}" for kind in ("QConv1D", "QConv2D", "QDepthwiseConv2D"))

        def load_weight(self, layer: Any, key: str) -> Any:
            kernel, bias = qkeras_layers.quantized_weights(layer)
            return bias if key == "bias" else kernel

        def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> Any:
            kind = type(layer).__name__.removeprefix("Q")
            convolution = {**self.default_config, "class_name": kind, **super().handle(layer, in_tensors, out_tensors)}
            return activated(layer, convolution, out_tensors[0].name)
