"""Firmware as Verilog without a vendor's compiler: the door to alkaid.

alkaid traces the network into additions, shifts and selections of fixed-point numbers, shares what is common, and cuts the
result into pipeline stages, one event a clock. Its tracer replays a Keras network layer by layer; `register_layers`, which
alkaid finds by its entry point `alkaid_keras`, teaches it the quantised layers.

References:
    Distributed arithmetic with shared terms, as alkaid's predecessor da4ml has it: arXiv:2507.04535.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.backends import qkeras_layers
from firmware.project import Rtl, Wire
from firmware.target import Target
from trigger.errors import InputError, UnsupportedError
from trigger.files import read_json
from trigger.fixed_point import FixedPoint

if TYPE_CHECKING:
    import keras

FOLDER = "rtl"
LOGIC_SHARE = 0.9
"""Share of a clock period that the logic of one stage may take by alkaid's delay model; the rest is for registers and skew."""


def write(model: keras.Model, wire: FixedPoint, target: Target, top: str, folder: Path) -> Rtl:
    """Write the pipelined Verilog of a network into `folder`.

    Args:
        model: A network that `qkeras_layers.check_network` accepts.
        wire: Format of the inputs.
        target: Its clock decides how many stages there are.
        top: Name of the top module.
        folder: Where to.

    Returns:
        What the Verilog is: its latency and its ports.

    Raises:
        UnsupportedError: alkaid cannot represent something exactly.
    """
    qkeras_layers.check_network(model)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alkaid.codegen import RTLModel
        from alkaid.converter import trace_model
        from alkaid.trace import HWConfig, trace
        from alkaid.trace.passes import optimize

        try:
            kif = (int(wire.signed), wire.integer, wire.fraction)
            # Without tables of sums of bits: where bits are constant alkaid 0.8.2 fails on them.
            options = {"binary_lut": False}
            source, result = trace_model(model, HWConfig(1, 1, -1), options, False, inputs_kif=kif)
            # Traced once more, as it is by default, a cast that saturates can give the other end (alkaid 0.8.2): in 4 of 300
            # random networks of two layers, for up to half of the events. Left out, it costs under a hundredth of the logic.
            logic = optimize(trace(source, result, optimize=False), retrace=False)
            design = RTLModel(
                logic, folder, prj_name=top, latency_cutoff=LOGIC_SHARE * target.clock_ns,
                clock_period=target.clock_ns, part_name=target.part,
            )  # fmt: skip
            design.write()
        except OSError:
            raise
        except Exception as error:  # whatever its passes did not expect
            raise UnsupportedError(f"alkaid cannot convert this network: {error}") from error
    for leftover in (
        "sim",
        f"src/{top}_wrapper.v",
        "build_vivado_prj.tcl",
    ):  # its own emulation and build; ours replace them
        path = folder / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for program in (folder / "model").glob("*.gz"):  # the same bytes every time: without the time of writing
        program.write_bytes(gzip.compress(gzip.decompress(program.read_bytes()), mtime=0))
    said = read_json(folder / "metadata.json")
    return Rtl(
        top=top, latency_cycles=int(design.latency), clock_ns=target.clock_ns, cost=float(said["cost"]),
        registers=int(said["reg_bits"]),
        inputs=_wires(logic.inp_kifs), outputs=_wires(logic.out_kifs),
    )  # fmt: skip


def _wires(kifs: Any) -> tuple[Wire, ...]:
    return tuple(Wire(signed=bool(k), integer=int(i), fraction=int(f)) for k, i, f in zip(*kifs, strict=True))


def register_layers() -> None:
    """Teach alkaid's Keras tracer the qkeras-v3 layers; defining the classes registers them."""
    import keras
    import numpy as np
    from alkaid.converter.builtin.keras.layers._base import ReplayOperationBase
    from alkaid.converter.builtin.keras.layers.conv import ReplayConv
    from alkaid.trace import FVArray

    layers = qkeras_layers.layer_classes()

    def cast(x: Any, quantizer: Any, where: str) -> Any:
        form = qkeras_layers.quantizer_format(quantizer, where)
        y = x.quantize(
            int(form.signed),
            form.integer,
            form.fraction,
            overflow_mode=str(form.overflow),
            round_mode=str(form.rounding),
        )
        # alkaid 0.8.2 rounds what is constant wrongly: 0.375 to quarters became 0, which is neither of its neighbours.
        exact = [
            after.from_const(float(form.values(form.codes([before.low]))[0]), hwconf=after.hwconf)
            if before.low == before.high
            else after
            for before, after in zip(np.ravel(x), np.ravel(y), strict=True)
        ]
        return FVArray(np.array(exact, dtype=object).reshape(y.shape), y.solver_options)

    def activated(y: Any, layer: Any) -> Any:
        return y if qkeras_layers.is_linear(layer) else cast(y, layer.activation, layer.name)

    class ReplayQDense(ReplayOperationBase):  # type: ignore[misc]
        handles = (layers["QDense"],)
        __activation_handled__ = True

        def call(self, x: Any) -> Any:
            kernel, bias = qkeras_layers.quantized_weights(self.op)
            return activated(x @ kernel + (np.zeros(kernel.shape[1]) if bias is None else bias), self.op)

    class ReplayQConv(ReplayConv):  # type: ignore[misc]
        handles = (layers["QConv1D"], layers["QConv2D"], layers["QDepthwiseConv2D"])
        __activation_handled__ = True

        def _load_weight(self, name: str) -> Any:
            kernel, bias = qkeras_layers.quantized_weights(self.op)
            found = bias if name == "bias" else kernel
            return np.array(0.0) if found is None else found

        def call(self, x: Any) -> Any:
            return activated(super().call(x), self.op)

    class ReplayQActivation(ReplayOperationBase):  # type: ignore[misc]
        handles = (layers["QActivation"],)
        __activation_handled__ = True

        def call(self, x: Any) -> Any:
            return cast(x, self.op.activation, self.op.name)

    class ReplayShape(ReplayOperationBase):  # type: ignore[misc]
        """alkaid's own drops the axis of events, and what follows reduces over the wrong one."""

        handles = (keras.layers.Flatten, keras.layers.Reshape)

        def call(self, x: Any) -> Any:
            return x.reshape((x.shape[0], *self.op.output.shape[1:]))


def programs(folder: Path) -> list[Any]:
    """The logic of each stage as alkaid's program, in order, from what was written beside the Verilog.

    Raises:
        InputError: It cannot be read.
    """
    from alkaid.stateful import FSM

    path = folder / "model" / "fsm.json.gz"
    try:
        logic = FSM.load(path).logic
        return [logic[f"logic{stage}"] for stage in range(len(logic))]
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise InputError(f"{path}: the program of the Verilog cannot be read: {error}") from error


def interpreter(folder: Path) -> Any:
    """Alkaid's own interpreter of the program, without the pipeline: another opinion, and another speed."""
    from alkaid.types import CombLogic

    return CombLogic.load(folder / "model" / "comb.json.gz")
