"""The generated C++, compiled by g++ and run on integer codes."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware import tools
from firmware.precision import typedefs, words
from firmware.project import FirmwareProject, PortRecord
from firmware.scripts import LINES
from trigger.digest import SHORT, digest
from trigger.errors import InputError, ToolError
from trigger.files import replacing
from trigger.fixed_point import Codes, FixedPoint

# The four warnings that are switched off share one analysis, which takes g++ 12 fourteen of seventeen seconds on the long
# lists of weights; the ap_types headers give no reason for them. Unknown -Wno- options are ignored by older compilers.
QUICK = ("-Wno-dangling-pointer", "-Wno-use-after-free", "-Wno-mismatched-new-delete", "-Wno-free-nonheap-object")
INCLUDES = ("-Ifirmware/ap_types", "-I.", "-include", "jetgate_stream.h")
# Every thread sends images of its own through layers that remember the lines before.
FLAGS = (
    "-O2",
    "-std=c++17",
    "-fPIC",
    "-shared",
    "-pthread",
    *QUICK,
    "-fno-gnu-unique",
    f"-D{LINES}=thread_local",
    *INCLUDES,
)
BUILD_TIMEOUT_S = 3600.0
MAX_THREADS = 256
MOVING = ("clone_stream", "repack_stream", "zeropad1d_cl", "zeropad2d_cl")
"""Functions between layers that carry numbers from one stream to others and change none."""


def build_command(top: str, library: str, bridge: str = "jetgate_bridge.cpp") -> list[str]:
    """The compiler's command line, to be run in the project's folder."""
    return ["g++", *FLAGS, top, bridge, "-o", library]


def linked(library: Path) -> list[str]:
    """What links something beside a library with it, wherever their folder is moved."""
    return [f"-L{library.parent.absolute()}", f"-l:{library.name}", "-Wl,-rpath,$ORIGIN"]


def library_path(project: FirmwareProject) -> Path:
    """Where the library of the sources, as they are now, is or would be."""
    key = digest(project.source_digests("cpp"), FLAGS, tools.compiler())
    return project.folder / "build" / f"cpp-{key[:SHORT]}.so"


def build(project: FirmwareProject) -> Path:
    """Compile the sources as they are now, unless that was done before.

    The library is named by the digest of the sources, so that one of other sources is never taken.

    Raises:
        ToolError: g++ is missing or fails.
    """
    library = library_path(project)
    if not library.is_file():
        with replacing(library) as fresh:
            log = library.with_suffix(".log")
            command = build_command(f"firmware/{project.manifest.top}.cpp", str(fresh.absolute()))
            tools.run(command, project.folder, log, BUILD_TIMEOUT_S)
    return library


def run(project: FirmwareProject, codes: Codes, threads: int = 1) -> Codes:
    """Output codes of the firmware, shape `(events, outputs)`.

    Args:
        project: The firmware; it is compiled if need be.
        codes: Input codes, shape `(events, inputs)`.
        threads: Threads to run on.

    Raises:
        ToolError: The library cannot be built or loaded.
        InputError: The shape is wrong, a code is outside its input's range, or a stream was read while empty or left with
            words.
    """
    return run_library(load(build(project)), project, codes, threads)


def run_library(library: ctypes.CDLL, project: FirmwareProject, codes: Codes, threads: int = 1) -> Codes:
    """The same for a library that is loaded."""
    n_inputs, n_outputs = len(project.manifest.inputs.elements), len(project.manifest.outputs.elements)
    project.contract.check_codes(codes)
    library.jetgate_inputs.restype = library.jetgate_outputs.restype = ctypes.c_size_t
    if (library.jetgate_inputs(), library.jetgate_outputs()) != (n_inputs, n_outputs):
        raise InputError(f"{project.folder}: the firmware's ports are not those of the manifest")
    return call(library.jetgate_run, codes, n_outputs, max(1, min(threads, len(codes), MAX_THREADS)))


@dataclass(frozen=True)
class Layer:
    """A layer of the generated C++.

    Attributes:
        name: Its name, from the comment at its call.
        size: Number of its outputs.
        type_name: What the C++ calls their type, or that of the words that they are streamed in.
        form: Their format.
        source: Format of what goes into it; of the first of two.
        arguments: The arrays that it is called with besides its inputs and output: weights and biases.
    """

    name: str
    size: int
    type_name: str
    form: FixedPoint
    source: FixedPoint
    arguments: tuple[str, ...]


_CALL = re.compile(r"^ *nnet::(\w+)<(.*)>\(([^;]*)\); // (\w+)$", re.MULTILINE)


def layers(project: FirmwareProject) -> tuple[tuple[Layer, ...], str]:
    """The layers that the top function calls, and its source with a tap after each of them.

    Raises:
        InputError: The source does not look as hls4ml writes it.
    """
    path = project.folder / "firmware" / f"{project.manifest.top}.cpp"
    source = path.read_text(encoding="utf-8")
    declared = (project.folder / "firmware" / "defines.h").read_text(encoding="utf-8")
    types = typedefs(declared)
    variables = _variables(source, words(declared), project.manifest.outputs)
    found: list[Layer] = []

    def tap(match: re.Match[str]) -> str:
        function, given, arguments, name = match[1], match[2], re.findall(r"\w+", match[3]), match[4]
        if function in MOVING:
            return match[0]
        # The output is the last variable of this function that is given; weights are declared in headers of their own.
        output = next((one for one in arguments[:0:-1] if one in variables), "")
        kind, size = variables.get(output, ("", 0))
        first = given.split(",")[0]
        if kind not in types or first not in types:
            raise InputError(f"{path}: input or output of layer {name!r} is not declared as hls4ml does")
        numbers = tuple(one for one in arguments[1:] if one not in variables)
        found.append(Layer(name, size, kind, types[kind], types[first], numbers))
        return f"{match[0]}\n    jetgate_tap({output}, {size});"

    tapped, calls = _CALL.sub(tap, source), len(re.findall(r"^ *nnet::", source, re.MULTILINE))
    moving = sum(match[1] in MOVING for match in _CALL.finditer(source))
    if not found or calls != len(found) + moving:
        raise InputError(
            f"{path}: {calls} layers are called, {len(found) + moving} of them as hls4ml does, with their name behind"
        )
    return tuple(found), f'#include "jetgate_tap.h"\n{tapped}'


def _variables(source: str, lanes: dict[str, int], result: PortRecord) -> dict[str, tuple[str, int]]:
    """Type and number of elements of the arrays, and of the streams, whose FIFOs hold a whole event, of the top function."""
    found = {
        name: (kind, int(np.prod([int(one) for one in size.split("*")])))
        for kind, name, size in re.findall(r"(\w+) (\w+)\[([\d*]+)\]", source)
    }
    depths = dict(re.findall(r"#pragma HLS STREAM variable=(\w+) depth=(\d+)", source))
    for kind, name in re.findall(r"hls::stream<(\w+)> &?(\w+)", source):
        found[name] = (kind, int(depths.get(name, 0)) * lanes.get(kind, 0))
    if result.name in found:
        found[result.name] = (found[result.name][0], len(result.elements))
    return found


def trace(project: FirmwareProject, codes: Codes) -> list[tuple[Layer, Codes]]:
    """Codes of the outputs of every layer of the firmware, each of shape `(events, size)`.

    Raises:
        ToolError: The traced library cannot be built.
        InputError: The sources are not as hls4ml writes them.
    """
    return trace_library(load(build_traced(project)).jetgate_trace, layers(project)[0], codes)


def build_traced(project: FirmwareProject) -> Path:
    """Compile a copy of the top function with a tap after each layer; the sources that synthesis reads have none."""
    tapped = layers(project)[1]
    path = library_path(project)
    library = path.with_name(f"{path.stem}-trace.so")
    if not library.is_file():
        with replacing(path.with_name(f"{path.stem}-trace.cpp")) as top:
            top.write_text(tapped, encoding="utf-8")
        with replacing(library) as fresh:
            command = [
                *build_command(f"build/{path.stem}-trace.cpp", str(fresh.absolute())),
                "-DJETGATE_TRACE",
                "-Ifirmware",
            ]
            tools.run(command, project.folder, library.with_suffix(".log"), BUILD_TIMEOUT_S)
    return library


def trace_library(function: Any, found: tuple[Layer, ...], codes: Codes) -> list[tuple[Layer, Codes]]:
    """Codes of the outputs of every layer, from the function `jetgate_trace` of a library that is loaded."""
    sizes = [layer.size for layer in found]
    flat = call(function, codes, sum(sizes), sum(sizes))
    return list(zip(found, np.split(flat, np.cumsum(sizes)[:-1], axis=1), strict=True))


def load(path: Path) -> ctypes.CDLL:
    """Load a library that an engine compiled.

    Raises:
        ToolError: It cannot be loaded.
    """
    try:
        return ctypes.CDLL(str(path.absolute()))
    except OSError as error:
        raise ToolError(f"{path}: the library cannot be loaded: {error}") from error


def call(function: Any, codes: Codes, n_outputs: int, option: int) -> Codes:
    """What a function of a library that is loaded makes of codes, shape `(events, n_outputs)`.

    Args:
        function: Takes where the codes are and where the results go, the number of events and an option; gives a fault.
        codes: Shape `(events, n)`.
        n_outputs: Results of an event.
        option: Threads, or whatever the function takes.

    Raises:
        InputError: The function gave a fault.
    """
    given = np.ascontiguousarray(codes, dtype=np.int64)
    result = np.empty((len(codes), n_outputs), dtype=np.int64)
    pointer = ctypes.POINTER(ctypes.c_int64)
    function.argtypes = [pointer, pointer, ctypes.c_size_t, ctypes.c_size_t]
    function.restype = ctypes.c_char_p
    fault = function(given.ctypes.data_as(pointer), result.ctypes.data_as(pointer), len(given), option)
    if fault is not None:
        raise InputError(f"the C++ does not pass events on as it should: {fault.decode()}")
    return result
