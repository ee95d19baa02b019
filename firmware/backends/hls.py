"""Firmware as C++ for high-level synthesis: the door to hls4ml.

Precisions are hls4ml's bit-exact ones, derived from the quantisers that our handlers hand over. Weights are written into
the headers only (`write_weights_txt=False`): otherwise the C simulation would read text files by an absolute path while
synthesis uses the arrays, and what is simulated would not be what is synthesised.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.backends import qkeras_layers
from firmware.precision import from_hls4ml, kbi
from firmware.target import HlsBackend, Target
from trigger.errors import InputError, UnsupportedError, nearest
from trigger.fixed_point import FixedPoint

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Port:
    """A port of the top function.

    Attributes:
        name: The C++ argument.
        cpp_type: Name of its type in the generated headers.
        format: The format of each element.
        size: Number of elements.
    """

    name: str
    cpp_type: str
    format: FixedPoint
    size: int


def write(model: keras.Model, target: Target, top: str, folder: Path) -> tuple[Port, Port]:
    """Convert a network and write the HLS project into `folder`.

    Args:
        model: A network that `qkeras_layers.check_network` accepts.
        target: Part, clock and options.
        top: Name of the top function.
        folder: An empty or missing folder.

    Returns:
        The input and the output port.

    Raises:
        UnsupportedError: hls4ml cannot represent something exactly.
        InputError: The target names a layer that is not there, or a reuse factor that a layer cannot have.
    """
    qkeras_layers.check_network(model)
    _register_handlers()
    backend = target.backend
    _check_layer_names(model, backend)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        import hls4ml

        try:
            graph = hls4ml.converters.convert_from_keras_model(
                model, output_dir=str(folder), project_name=top, backend=backend.tool.capitalize(), io_type="io_parallel",
                part=target.part, clock_period=target.clock_ns, hls_config=_configuration(backend), bit_exact=True,
                allow_da_fallback=False, allow_v2_fallback=False, write_weights_txt=False, write_tar=False,
            )  # fmt: skip
            _check_reuse(graph, backend)
            graph.write()
        except (InputError, OSError):
            raise
        except Exception as error:  # whatever a conversion pass did not expect
            raise UnsupportedError(f"hls4ml cannot convert this network: {error}") from error
    inexact = [str(one.message) for one in warned if "bit-exact" in str(one.message).lower()]
    if inexact:
        raise UnsupportedError(f"hls4ml cannot convert this network bit for bit: {' '.join(inexact[0].split())}")
    (source,), (result,) = graph.get_input_variables(), graph.get_output_variables()
    return _port(source), _port(result)


def _port(variable: Any) -> Port:
    return Port(variable.name, variable.type.name, from_hls4ml(variable.type.precision), int(variable.size()))


def _configuration(backend: HlsBackend) -> dict[str, Any]:
    layers = {}
    for name, options in backend.layers.items():
        given = {"ReuseFactor": options.reuse_factor, "Strategy": options.strategy and options.strategy.capitalize()}
        layers[name] = {key: value for key, value in given.items() if value is not None}
    # The precision here is overwritten everywhere by the bit-exact derivation.
    model = {
        "Precision": "ap_fixed<16,6>",
        "ReuseFactor": backend.reuse_factor,
        "Strategy": backend.strategy.capitalize(),
    }
    return {"Model": model, "LayerName": layers}


def _check_layer_names(model: keras.Model, backend: HlsBackend) -> None:
    known = [layer.name for layer in model.layers]
    for name in backend.layers:
        if name not in known:
            raise InputError(
                f"target: backend.layers names a layer {name!r} that is not there; nearest: {nearest(name, known)}"
            )


def _check_reuse(graph: Any, backend: HlsBackend) -> None:
    """hls4ml moves a reuse factor it cannot realise to the nearest possible one, or keeps it; here that is an error."""
    for layer in graph.get_layers():
        if "weight" not in layer.weights:
            continue
        options = backend.layers.get(layer.name)
        wanted = (options and options.reuse_factor) or backend.reuse_factor
        shared = ((options and options.strategy) or backend.strategy) == "resource"
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
        from hls4ml.converters.keras_v3.core import DenseHandler

    def cast(name: str, given: FixedPoint, source: str, result: str) -> dict[str, Any]:
        return {
            "name": name, "class_name": "FixedPointQuantizer", "mask_kbi": kbi(given), "SAT": str(given.overflow),
            "RND": str(given.rounding), "fusible": None, "overrides": {}, "input_keras_tensor_names": [source],
            "output_keras_tensor_names": [result],
        }  # fmt: skip

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
            if qkeras_layers.is_linear(layer):
                return (dense,)
            given = qkeras_layers.quantizer_format(layer.activation, layer.name)
            between = f"{out_tensors[0].name}_before_activation"
            dense["output_keras_tensor_names"] = [between]
            return dense, cast(f"{layer.name}_activation", given, between, out_tensors[0].name)
