"""What vendors' tools need in a project's folder: Tcl, configuration, clock constraints, the test bench and its vectors.

Everything is relative to the folder, which can be copied to a machine with the tools and built there by hand.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from firmware import vectors
from firmware.circuit import Circuit
from firmware.target import Target
from trigger.fixed_point import Codes, FixedPoint
from trigger.inputs.contract import InputSpec

TCL, VECTORS, CONFIGURATION, TEST_BENCH = "tcl", "tb_data", "hls_config.cfg", "jetgate_test.cpp"
LINES = "JETGATE_LINES"
"""Macro before everything that layers remember of the places before: empty, but where many threads run the C++."""
CLOCK_PORTS = {"cpp": "ap_clk", "rtl": "clk"}
"""Name of the clock's port, by design: what HLS makes of the C++, and our own Verilog."""
UNCERTAINTY = {"vivado": "12.5%", "vitis": "27%"}
"""Share of the period that the compilers keep for routing; their own defaults."""
EVENTS = 400
"""Events of the test bench of each kind: enough to see a fault, few enough for a simulation of gates."""


def write(folder: Path, top: str, target: Target, has_rtl: bool) -> None:
    """Write scripts, configuration and constraints into a project's folder."""
    (folder / TCL).mkdir()
    for script in sorted(Path(str(files("firmware") / "tcl")).glob("*.tcl")):
        (folder / TCL / script.name).write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / TCL / "settings.tcl").write_text(settings_of(top, target), encoding="utf-8")
    for design, port in CLOCK_PORTS.items():
        if design == "cpp" or has_rtl:
            (folder / TCL / f"{design}.xdc").write_text(_constraints(target.clock_ns, port), encoding="utf-8")
    (folder / CONFIGURATION).write_text(_configuration(top, target), encoding="utf-8")


def _constraints(clock_ns: float, port: str) -> str:
    """The clock, and the ports as if registers stood right outside, so that what is before the first register is timed too."""
    return f"""create_clock -name clk -period {clock_ns:.10g} [get_ports {port}]
set_input_delay -clock clk -max 0 [get_ports -filter {{DIRECTION == IN && NAME != {port}}}]
set_output_delay -clock clk -max 0 [all_outputs]
"""


def settings_of(top: str, target: Target) -> str:
    """What the scripts need to know of a target, as Tcl."""
    compiler = target.backend.tool
    values = {"top": top, "part": target.part, "clock_ns": f"{target.clock_ns:.10g}", "compiler": compiler,
              "uncertainty": UNCERTAINTY[compiler]}  # fmt: skip
    lines = [f"set {name} {{{value}}}\n" for name, value in values.items()]
    return "# Written by jetgate from target.yaml.\n" + "".join(lines)


def _configuration(top: str, target: Target) -> str:
    """The unified flow's configuration file; paths are relative to it."""
    return f"""# Written by jetgate from target.yaml, for 'v++ -c --mode hls' and 'vitis-run --mode hls'.
part={target.part}

[hls]
clock={target.clock_ns:.10g}ns
clock_uncertainty={UNCERTAINTY["vitis"]}
flow_target=vivado
syn.compile.name_max_length=80
syn.schedule.enable_dsp_full_reg=false
syn.top={top}
syn.file=firmware/{top}.cpp
tb.file={TEST_BENCH}
tb.file={VECTORS}
package.output.format=rtl
"""


def write_vectors(folder: Path, contract: InputSpec, circuit: Circuit, port: FixedPoint, physics: Codes | None) -> None:
    """Write the test bench's inputs and the outputs that are expected, computed in int64 from the network.

    Args:
        folder: The project.
        contract: Its inputs.
        circuit: The network.
        port: Format of the outputs.
        physics: Events that came with the network, in codes, shape `(events, inputs)`.
    """
    boundary = vectors.boundary(contract, 1).codes
    spread = boundary[:: max(1, len(boundary) // EVENTS)]
    given = np.concatenate([
        *([physics[:EVENTS]] if physics is not None else []), spread, vectors.random(contract, EVENTS, 1).codes
    ])  # fmt: skip
    expected = circuit.to_port(circuit(given), port)
    (folder / VECTORS).mkdir(exist_ok=True)
    for name, codes, form in (("inputs", given, contract.common_format), ("outputs", expected, port)):
        (folder / VECTORS / f"{name}.hex").write_text(hexadecimal(codes, form.width), encoding="ascii")


def hexadecimal(codes: Codes, width: int) -> str:
    """Codes as the test bench reads them: a head line, then a line an event, two's complement."""
    mask, digits = (1 << width) - 1, (width + 3) // 4
    lines = [" ".join(f"{code & mask:0{digits}x}" for code in event) for event in codes.tolist()]
    return "\n".join([f"{codes.shape[0]} {codes.shape[1]} {width}", *lines]) + "\n"
