"""The Verilog, translated by Verilator and clocked, one event every clock."""

from __future__ import annotations

import ctypes
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware import tools, vectors
from firmware.backends import rtl as rtl_backend
from firmware.backends import rtl_program
from firmware.backends.rtl_program import Stage
from firmware.circuit import Circuit
from firmware.engines.cpp import BUILD_TIMEOUT_S, MAX_THREADS, load
from firmware.project import FirmwareProject, PortRecord, Rtl, Wire
from trigger.digest import SHORT, digest, file_digest
from trigger.errors import InputError
from trigger.files import make_folder, replacing
from trigger.fixed_point import Codes
from trigger.verdict import Requirement, equal_to, not_measured

FLAGS = ("-std=c++20", "-fPIC", "-w", "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE_FST=0",
         "-DVM_TRACE_SAIF=0")  # fmt: skip
OPTIMISED, PLAIN = "-O1", "-O0"
"""-O2 takes several times as long to compile and simulates no faster; start-up code is not worth optimising."""
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_PROBE = 256
_BRIDGE = Path(__file__).parent / "rtl_bridge.cpp"


@dataclass(frozen=True)
class Timing:
    """What the simulation showed of the pipeline.

    Attributes:
        declared_cycles: Latency that the design declares.
        measured_cycles: Clock edges between the one that takes an event and the one that shows its outputs, when a new event
            comes every clock; `None` where no number of them, or more than one, gives the expected outputs.
        events: Events that were streamed, one every clock.
        fitting: How many numbers of clocks give the expected outputs.
    """

    declared_cycles: int
    measured_cycles: int | None
    events: int
    fitting: int = 1

    def requirement(self, clock_ns: float) -> Requirement:
        """The measured latency is the declared one."""
        cycles = self.declared_cycles
        if self.measured_cycles is None:
            return not_measured(
                "latency:rtl", f"== {cycles}", required=True,
                note=f"the outputs of {self.events} events follow by {self.fitting} numbers of clocks, and 1 would be right",
            )  # fmt: skip
        note = (
            f"simulated, {self.events} events, one every clock; {cycles} x {clock_ns:g} ns = {cycles * clock_ns:.1f} ns "
            "if the target's clock is met: timing not closed"
        )
        return equal_to("latency:rtl", self.measured_cycles, cycles, note=note)


def build(project: FirmwareProject, jobs: int = 2, trace: bool = False) -> Path:
    """Translate and compile the Verilog as it is now, unless that was done before.

    Args:
        project: The firmware.
        jobs: Compilers at once.
        trace: Whether every signal can be written; such a library is slow.

    Raises:
        ToolError: Verilator or g++ is missing or fails.
        InputError: The project has no Verilog.
    """
    return build_top(project, design_of(project).top, (), jobs, trace)


def build_top(project: FirmwareProject, top: str, beside: tuple[str, ...], jobs: int = 2, trace: bool = False) -> Path:
    """The same for another top module, of files beside the Verilog; its ports are `clk`, `model_inp` and `model_out`, too.

    Args:
        project: The firmware.
        top: Name of the module.
        beside: Paths of the files in the project.
        jobs: Compilers at once.
        trace: Whether every signal can be written.

    Raises:
        ToolError: Verilator or g++ is missing or fails.
    """
    verilator = tools.verilator()
    digests = project.source_digests("rtl") | {path: file_digest(project.folder / path) for path in beside}
    sources = [path for path in digests if path.endswith(".v")]
    key = digest(
        digests,
        FLAGS,
        tools.compiler(),
        verilator.version,
        _BRIDGE.read_text(encoding="utf-8"),
        trace,
    )
    library = project.folder / "build" / f"rtl-{key[:SHORT]}.so"
    if library.is_file():
        return library
    work = project.folder / "build" / f"rtl-{key[:SHORT]}"
    make_folder(work)
    waves = ("--trace-vcd", "--trace-underscore", "--trace-depth", "3", "--no-trace-params") if trace else ()
    command = [
        verilator.path, "--cc", "--Mdir", str(work.absolute()), "--prefix", "Vjetgate", "--top-module", top,
        "--x-assign", "fast", *waves, *sources,
    ]  # fmt: skip
    tools.run(command, project.folder, work / "verilator.log", BUILD_TIMEOUT_S, {"VERILATOR_ROOT": str(verilator.root)})
    include = [f"-I{work.absolute()}", f"-I{verilator.root / 'include'}", f"-I{verilator.root / 'include' / 'vltstd'}"]
    flags = [
        *FLAGS,
        *include,
        f"-DVM_TRACE={int(trace)}",
        f"-DVM_TRACE_VCD={int(trace)}",
        f"-DJETGATE_TRACE={int(trace)}",
    ]
    shared = tools.cache_folder() / "verilator" / digest(verilator.version, FLAGS, tools.compiler(), trace)[:SHORT]
    runtime = [verilator.root / "include" / name for name in (*RUNTIME, *(("verilated_vcd_c.cpp",) if trace else ()))]

    def compile_one(source: Path) -> Path:
        common = source in runtime
        made = (shared if common else work) / f"{source.stem}.o"
        if not common or not made.is_file():
            level = PLAIN if trace or "__Slow" in source.name or "_Syms" in source.name else OPTIMISED
            with replacing(made) as fresh:
                log, chosen = work / f"{source.stem}.log", OPTIMISED if common else level
                command = ["g++", *flags, chosen, "-c", str(source.absolute()), "-o", str(fresh.absolute())]
                tools.run(command, project.folder, log, BUILD_TIMEOUT_S)
        return made

    translated = sorted(work.glob("*.cpp"), key=lambda path: -path.stat().st_size)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        objects = list(pool.map(compile_one, [*translated, _BRIDGE, *runtime]))
    with replacing(library) as fresh:
        tools.run(["g++", "-shared", "-pthread", "-o", str(fresh.absolute()), *(str(one.absolute()) for one in objects)],
                  project.folder, work / "link.log", BUILD_TIMEOUT_S)  # fmt: skip
    return library


def run(project: FirmwareProject, codes: Codes, threads: int = 1, argument: str | None = None) -> Codes:
    """Output codes of the Verilog in the format of the firmware's port, shape `(events, outputs)`.

    Args:
        project: The firmware; it is built if need be.
        codes: Input codes, shape `(events, inputs)`.
        threads: Simulations at once, each with its share of the events.
        argument: A plus-argument of the simulation.

    Raises:
        ToolError: The Verilog cannot be built.
        InputError: The project has no Verilog, the shape is wrong, a code is outside its range, or an output is not a number
            of the port's format.
    """
    return run_library(load(build(project)), project, codes, threads, argument)


def run_library(
    library: ctypes.CDLL, project: FirmwareProject, codes: Codes, threads: int = 1, argument: str | None = None
) -> Codes:
    """The same for a library that is loaded."""
    rtl = design_of(project)
    used = max(1, min(threads, len(codes), MAX_THREADS))
    found = _stream(library, project, codes, rtl.latency_cycles, used, argument)
    return aligned(found, rtl.outputs, project)


def measure(project: FirmwareProject, circuit: Circuit) -> Timing:
    """Stream random events, a new one every clock, and find by how many clocks the outputs follow them.

    Raises:
        ToolError: The Verilog cannot be built.
    """
    rtl = design_of(project)
    spare = 2 * rtl.latency_cycles + 8
    codes = vectors.random(project.contract, _PROBE, 7).codes
    expected = circuit.to_port(circuit(codes), project.manifest.outputs.fixed_point)
    held = np.concatenate([codes, np.repeat(codes[-1:], spare, axis=0)])
    seen = aligned(_stream(load(build(project)), project, held, 0, 1, None), rtl.outputs, project)
    shifts = [shift for shift in range(spare) if np.array_equal(seen[shift : shift + _PROBE], expected)]
    return Timing(rtl.latency_cycles, shifts[0] if len(shifts) == 1 else None, _PROBE, len(shifts))


@dataclass(frozen=True)
class Wrong:
    """A wire that does not carry what it must.

    Attributes:
        layer: First layer of the network whose outputs it is needed for.
        stage: Pipeline stage, from 0.
        signal: Name in that stage's module.
        index: The operation.
        expected: Code that the program gives.
        found: Code in the simulation.
    """

    layer: str
    stage: int
    signal: str
    index: int
    expected: int
    found: int


def first_wrong(project: FirmwareProject, circuit: Circuit, codes: Codes, argument: str | None = None) -> Wrong | None:
    """Hold one event until it fills the pipeline and compare every wire with the program's, in data-flow order.

    Args:
        project: The firmware.
        circuit: The network.
        codes: Input codes of the event, shape `(inputs,)`.
        argument: A plus-argument of the simulation.

    Raises:
        ToolError: The Verilog cannot be built.
    """
    rtl = design_of(project)
    path = build(project, trace=True)
    given = np.ascontiguousarray(packed(codes[None], rtl.inputs, project.manifest.inputs))
    width = np.array([one.width for one in rtl.inputs], dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "signals.vcd"
        function = load(path).jetgate_rtl_signals
        function.restype = None
        size = ctypes.c_size_t
        function(_pointer(given), size(given.shape[1]), _pointer(width), size(rtl.latency_cycles + 2),
                 str(dump).encode(), argument.encode() if argument else None)  # fmt: skip
        carried = _read_dump(dump)
    stages, layers = attribution(project, circuit, codes)
    for number, stage in enumerate(stages):
        for index, bits in enumerate(stage.widths):
            found = carried.get(f"top.{rtl.top}._inst_logic{number}.v{index}")
            expected = int(stage.codes[index, 0]) & ((1 << bits) - 1)
            if found is not None and found != expected:
                return Wrong(layers[number, index], number, f"logic{number}.v{index}", index, expected, found)
    return None


def wires(project: FirmwareProject) -> int:
    """Wires that `first_wrong` compares for an event."""
    return sum(len(program.ops) for program in rtl_backend.programs(project.folder / "rtl"))


def attribution(
    project: FirmwareProject, circuit: Circuit, codes: Codes
) -> tuple[list[Stage], dict[tuple[int, int], str]]:
    """Every wire's code for one event, shape `(inputs,)`, and the layer that every wire belongs to."""
    some = np.concatenate([codes[None], vectors.random(project.contract, _PROBE, 11).codes])
    rtl = design_of(project)
    programs = rtl_backend.programs(project.folder / "rtl")
    stages = rtl_program.evaluate(
        programs, packed(some, rtl.inputs, project.manifest.inputs), [one.fraction for one in rtl.inputs]
    )
    points = {step.layer: out.reshape(len(some), -1) for step, _, out in circuit.walk(some)}
    return stages, rtl_program.attribute(stages, points)


def _read_dump(path: Path) -> dict[str, int]:
    """Last value of every signal of a value change dump (IEEE 1364, section 18), by its full name."""
    names: dict[str, list[str]] = {}
    values: dict[str, int] = {}
    scope: list[str] = []
    for line in path.read_text(encoding="ascii").splitlines():
        words = line.split()
        match words[:1]:
            case ["$scope"]:
                scope.append(words[2])
            case ["$upscope"]:
                scope.pop()
            case ["$var"]:
                names.setdefault(words[3], []).append(".".join([*scope, words[4]]))
            case [first] if first[0] == "b":
                values[words[1]] = int(first[1:].replace("x", "0").replace("z", "0"), 2)
            case [first] if first[0] in "01":
                values[first[1:]] = int(first[0])
    return {name: values[key] for key, group in names.items() if key in values for name in group}


def design_of(project: FirmwareProject) -> Rtl:
    """What the Verilog of a project says of itself.

    Raises:
        InputError: The project has no Verilog.
    """
    if project.manifest.rtl is None:
        raise InputError(f"{project.folder}: this project has no Verilog")
    return project.manifest.rtl


def _stream(
    library: ctypes.CDLL, project: FirmwareProject, codes: Codes, latency: int, threads: int, argument: str | None
) -> Codes:
    rtl = design_of(project)
    project.contract.check_codes(codes)
    given = packed(codes, rtl.inputs, project.manifest.inputs)
    return simulate(library, given, rtl.inputs, rtl.outputs, latency, threads, argument)


def simulate(
    library: ctypes.CDLL, codes: Codes, inputs: tuple[Wire, ...], outputs: tuple[Wire, ...], latency: int, threads: int = 1,
    argument: str | None = None,
) -> Codes:  # fmt: skip
    """What a library that is loaded gives for codes in the fractions of its own elements, a new event every clock.

    Args:
        library: From `build` or `build_top`.
        codes: Shape `(events, len(inputs))`.
        inputs: Elements of the input port.
        outputs: Elements of the output port.
        latency: By how many clocks the outputs follow.
        threads: Simulations at once.
        argument: A plus-argument of the simulation.

    Returns:
        Codes in the fractions of the output port's elements, shape `(events, len(outputs))`.
    """
    given = np.ascontiguousarray(codes, dtype=np.int64)
    result = np.zeros((len(codes), len(outputs)), dtype=np.int64)
    widths = [np.array([one.width for one in port], dtype=np.int64) for port in (inputs, outputs)]
    signs = np.array([one.signed for one in outputs], dtype=np.int64)
    function = library.jetgate_rtl_run
    function.restype = None
    size = ctypes.c_size_t
    function(_pointer(given), size(given.shape[1]), _pointer(widths[0]), _pointer(result), size(result.shape[1]),
             _pointer(widths[1]), _pointer(signs), size(len(codes)), size(latency), size(threads),
             argument.encode() if argument else None)  # fmt: skip
    return result


def packed(codes: Codes, wires: tuple[Wire, ...], port: PortRecord) -> Codes:
    """Codes of a port in the fractions of its elements: bits that alkaid found not to matter are left out."""
    shift = np.array([port.fixed_point.fraction - one.fraction for one in wires])
    found: Codes = np.where(shift >= 0, codes >> np.maximum(shift, 0), codes << np.maximum(-shift, 0)).astype(np.int64)
    return found


def aligned(codes: Codes, wires: tuple[Wire, ...], project: FirmwareProject) -> Codes:
    """The other way for the outputs: codes in the format of the firmware's port.

    Raises:
        InputError: One is not a number of that format.
    """
    port = project.manifest.outputs.fixed_point
    shift = np.array([port.fraction - one.fraction for one in wires])
    down = np.maximum(-shift, 0)
    if (codes & ((1 << down) - 1)).any():
        raise InputError(f"{project.folder}: outputs of the Verilog are not numbers of the output port, {port}")
    found: Codes = np.where(shift >= 0, codes << np.maximum(shift, 0), codes >> down).astype(np.int64)
    return found


def _pointer(array: Codes) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
