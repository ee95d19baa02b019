"""The generated C++, compiled by g++ and run on integer codes."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from firmware import tools
from firmware.project import FirmwareProject
from trigger.digest import SHORT, digest
from trigger.errors import InputError, ToolError
from trigger.files import replacing
from trigger.fixed_point import Codes

# The four warnings that are switched off share one analysis, which takes g++ 12 fourteen of seventeen seconds on the long
# lists of weights; the ap_types headers give no reason for them. Unknown -Wno- options are ignored by older compilers.
QUICK = ("-Wno-dangling-pointer", "-Wno-use-after-free", "-Wno-mismatched-new-delete", "-Wno-free-nonheap-object")
FLAGS = ("-O2", "-std=c++17", "-fPIC", "-shared", "-pthread", *QUICK, "-fno-gnu-unique", "-Ifirmware/ap_types", "-I.")
BUILD_TIMEOUT_S = 3600.0
MAX_THREADS = 256


def build_command(project: FirmwareProject, library: str) -> list[str]:
    """The compiler's command line, to be run in the project's folder."""
    return ["g++", *FLAGS, f"firmware/{project.manifest.top}.cpp", "jetgate_bridge.cpp", "-o", library]


def library_path(project: FirmwareProject) -> Path:
    """Where the library of the sources, as they are now, is or would be."""
    return project.folder / "build" / f"{digest(project.source_digests(), FLAGS)[:SHORT]}.so"


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
            tools.run(build_command(project, str(fresh.absolute())), project.folder, log, BUILD_TIMEOUT_S)
    return library


def run(project: FirmwareProject, codes: Codes, threads: int = 1) -> Codes:
    """Output codes of the firmware, shape `(events, outputs)`.

    Args:
        project: The firmware; it is compiled if need be.
        codes: Input codes, shape `(events, inputs)`.
        threads: Threads to run on.

    Raises:
        ToolError: The library cannot be built or loaded.
        InputError: The shape is wrong.
    """
    n_inputs, n_outputs = len(project.manifest.inputs.elements), len(project.manifest.outputs.elements)
    if codes.ndim != 2 or codes.shape[1] != n_inputs:
        raise InputError(f"codes of shape {codes.shape} do not fit {n_inputs} inputs")
    path = build(project)
    try:
        library = ctypes.CDLL(str(path.absolute()))
    except OSError as error:
        raise ToolError(f"{path}: the library cannot be loaded: {error}") from error
    library.jetgate_inputs.restype = library.jetgate_outputs.restype = ctypes.c_size_t
    if (library.jetgate_inputs(), library.jetgate_outputs()) != (n_inputs, n_outputs):
        raise InputError(f"{project.folder}: the firmware's ports are not those of the manifest")
    given = np.ascontiguousarray(codes, dtype=np.int64)
    result = np.empty((len(codes), n_outputs), dtype=np.int64)
    pointer = ctypes.POINTER(ctypes.c_int64)
    library.jetgate_run.argtypes = [pointer, pointer, ctypes.c_size_t, ctypes.c_size_t]
    library.jetgate_run.restype = None
    library.jetgate_run(
        given.ctypes.data_as(pointer),
        result.ctypes.data_as(pointer),
        len(given),
        max(1, min(threads, len(given), MAX_THREADS)),
    )
    return result
