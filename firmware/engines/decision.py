"""Accept bits, run: the C++ compiled by g++ beside the network's own library, the Verilog translated by Verilator."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from firmware import tools
from firmware.backends.decision import FOLDER, check_module
from firmware.engines import cpp, rtl
from firmware.project import FirmwareProject, Wire, filled
from trigger.digest import SHORT, digest, file_digest
from trigger.files import replacing, write_text
from trigger.fixed_point import Codes

_BIT = Wire(signed=False, integer=1, fraction=0)
_BRIDGE = Path(__file__).parent / "decision.cpp"


def build_cpp(project: FirmwareProject, cuts: int) -> Path:
    """Compile the top function with accept bits as it is now, and link it with the network's library.

    Args:
        project: The firmware; its decision is written.
        cuts: How many bits there are.

    Raises:
        ToolError: g++ is missing or fails.
    """
    network = cpp.build(project)
    bridge = _bridge(project, cuts)
    folder = project.folder / FOLDER
    key = digest(network.name, bridge, {path.name: file_digest(path) for path in folder.glob("*") if path.is_file()})
    library = network.with_name(f"decision-{key[:SHORT]}.so")
    if not library.is_file():
        write_text(library.with_suffix(".cpp"), bridge)
        with replacing(library) as fresh:
            source = f"{FOLDER}/{project.manifest.top}_decision.cpp"
            command = cpp.build_command(source, str(fresh.absolute()), f"{library.parent.name}/{library.stem}.cpp")
            tools.run(
                [*command, *cpp.linked(network)], project.folder, library.with_suffix(".log"), cpp.BUILD_TIMEOUT_S
            )
    return library


def run_cpp(
    library: ctypes.CDLL, project: FirmwareProject, cuts: int, codes: Codes, threads: int = 1
) -> tuple[Codes, Codes]:
    """Output codes of the network, shape `(events, outputs)`, and its accept bits, shape `(events, cuts)`.

    Args:
        library: From `build_cpp`, loaded.
        project: The firmware.
        cuts: How many bits there are.
        codes: Input codes, shape `(events, inputs)`.
        threads: Threads to run on.

    Raises:
        InputError: The shape is wrong, or a code is outside its input's range.
    """
    project.contract.check_codes(codes)
    outputs = len(project.manifest.outputs.elements)
    found = cpp.call(library.jetgate_decision, codes, outputs + cuts, _threads(threads, codes))
    return found[:, :outputs], found[:, outputs:]


def compare_cpp(library: ctypes.CDLL, cuts: int, outputs: Codes) -> Codes:
    """Accept bits of the comparison alone, shape `(events, cuts)`, of output codes, shape `(events, outputs)`."""
    return cpp.call(library.jetgate_comparison, outputs, cuts, 1)


def build_rtl(project: FirmwareProject, cuts: int) -> Path:
    """Translate and compile the Verilog with accept bits as it is now, and the comparison alone beside it.

    Args:
        project: The firmware; its decision is written.
        cuts: How many bits there are.

    Raises:
        ToolError: Verilator or g++ is missing or fails.
        InputError: The project has no Verilog.
    """
    top, text = check_module(rtl.design_of(project), cuts)
    beside = project.folder / "build" / f"decision-{digest(text)[:SHORT]}.v"
    write_text(beside, text)
    written = f"{FOLDER}/{project.manifest.top}_decision.v"
    return rtl.build_top(project, top, (written, str(beside.relative_to(project.folder))))


def run_rtl(
    library: ctypes.CDLL, project: FirmwareProject, cuts: int, codes: Codes, threads: int = 1
) -> tuple[Codes, Codes]:
    """Output codes of the network, shape `(events, outputs)`, and its accept bits, shape `(events, cuts)`.

    Args:
        library: From `build_rtl`, loaded.
        project: The firmware.
        cuts: How many bits there are.
        codes: Input codes, shape `(events, inputs)`.
        threads: Simulations at once, each with its share of the events.

    Raises:
        InputError: The shape is wrong, a code is outside its range, or an output is not a number of the port's format.
    """
    design = rtl.design_of(project)
    project.contract.check_codes(codes)
    given = rtl.packed(codes, design.inputs, project.manifest.inputs)
    idle = np.zeros((len(codes), len(design.outputs)), dtype=np.int64)
    found = _simulated(library, project, cuts, (given, idle), design.latency_cycles, _threads(threads, codes))
    outputs = len(design.outputs)
    return rtl.aligned(found[:, :outputs], design.outputs, project), found[:, outputs : outputs + cuts]


def compare_rtl(library: ctypes.CDLL, project: FirmwareProject, cuts: int, outputs: Codes) -> Codes:
    """Accept bits of the comparison alone, shape `(events, cuts)`, of output codes that its wires can carry, shape
    `(events, outputs)`.
    """
    design = rtl.design_of(project)
    given = rtl.packed(outputs, design.outputs, project.manifest.outputs)
    idle = np.zeros((len(outputs), len(design.inputs)), dtype=np.int64)
    return _simulated(library, project, cuts, (idle, given), 0, 1)[:, -cuts:]  # without a clock: in the same cycle


def _simulated(
    library: ctypes.CDLL, project: FirmwareProject, cuts: int, given: tuple[Codes, Codes], latency: int, threads: int
) -> Codes:
    design = rtl.design_of(project)
    inputs, outputs = (*design.inputs, *design.outputs), (*design.outputs, *(_BIT,) * (2 * cuts))
    return rtl.simulate(library, np.concatenate(given, axis=1), inputs, outputs, latency, threads)


def _threads(wanted: int, codes: Codes) -> int:
    return max(1, min(wanted, len(codes), cpp.MAX_THREADS))


def _bridge(project: FirmwareProject, cuts: int) -> str:
    source, result = project.manifest.inputs, project.manifest.outputs
    names = {
        "TOP": project.manifest.top, "N_CUTS": cuts, "INPUT": source.cpp_type, "INPUT_BITS": source.fixed_point.width,
        "N_INPUTS": len(source.elements), "OUTPUT": result.cpp_type, "OUTPUT_BITS": result.fixed_point.width,
        "N_OUTPUTS": len(result.elements), "OUTPUT_RAW": "ap_int" if result.fixed_point.signed else "ap_uint",
    }  # fmt: skip
    return filled(_BRIDGE.read_text(encoding="utf-8"), names)
