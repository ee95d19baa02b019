"""Synthesis without a vendor's licence: the Verilog of a project by Yosys for Xilinx parts.

Every pipeline stage is a module without a register, and the registers stand between them; so each is synthesised by itself, side
by side, and nothing is lost that synthesis of the whole could win, except that a chain of registers stays registers where Vivado
makes a shift register of it. Tables are counted as Yosys leaves them and after sharing (the rule is in
`firmware/reports/yosys.py`). Nothing is placed, and no time is taken from it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firmware import tools
from firmware.device import find_device
from firmware.engines.rtl import Timing
from firmware.project import FirmwareProject
from firmware.reports.merge import with_device
from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.yosys import packed_luts, resources
from trigger.digest import SHORT, digest
from trigger.errors import InputError, ReportError
from trigger.files import make_folder, read_json, write_json

TIMEOUT_S = 3600.0
_IGNORED = ("$scopeinfo",)
_STAGE = "synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top {name}\n"
# The registers between the stages. Yosys's whole flow takes minutes over tens of thousands of them and finds the same.
_REGISTERS = """blackbox logic*
proc
opt_clean
simplemap
dfflegalize -cell $_DFFE_?P?P_ 01 -cell $_SDFFE_?P?P_ 01
techmap -map +/xilinx/ff_map.v
opt_clean
"""
Progress = Callable[[str, int, int], None]


def synthesize(project: FirmwareProject, jobs: int = 1, progress: Progress | None = None) -> SynthesisReport:
    """Synthesise every module of the Verilog as it is now; what was done before is not done again.

    Args:
        project: The firmware.
        jobs: Modules at once.
        progress: Told of every module that is done.

    Returns:
        Resources by module and of the whole; the latency is not known here.

    Raises:
        InputError: The project has no Verilog, or Yosys does not know the part's family.
        ToolError: Yosys is missing or fails.
    """
    rtl = project.manifest.rtl
    if rtl is None:
        raise InputError(f"{project.folder}: this project has no Verilog")
    family = find_device(project.target.part).yosys_family
    if family is None:
        raise InputError(f"part {project.target.part}: Yosys does not synthesise for its family")
    command, version = tools.yosys()
    sources = project.source_digests("rtl")
    folder = project.folder / "build" / f"yosys-{digest(sources, version, family, _STAGE, _REGISTERS)[:SHORT]}"
    make_folder(folder)
    files = " ".join(sorted(path for path in sources if path.endswith(".v")))
    stages = sorted((Path(path).stem for path in sources if Path(path).name.startswith("logic")), key=_number)

    def one(name: str) -> Module:
        counted = folder / f"{name}.json"
        if not counted.is_file():
            netlist, script = folder / f"{name}.netlist", folder / f"{name}.ys"
            steps = (_REGISTERS if name == rtl.top else _STAGE).format(family=family, name=name)
            read, write = f"read_verilog -sv {files}", f"write_json {netlist.relative_to(project.folder)}"
            script.write_text(f"{read}\nhierarchy -check -top {name}\n{steps}{write}\n", encoding="utf-8")
            tools.run(
                [*command, str(script.relative_to(project.folder))], project.folder, folder / f"{name}.log", TIMEOUT_S
            )
            write_json(counted, _counted(netlist, name).model_dump(mode="json"))
            netlist.unlink()
        return Module.model_validate(read_json(counted))

    modules: dict[str, Module] = {}
    largest_first = sorted(stages, key=lambda name: -(project.folder / "rtl" / "src" / f"{name}.v").stat().st_size)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        for done, module in enumerate(pool.map(one, [rtl.top, *largest_first]), 1):
            modules[module.name] = module
            if progress is not None:
                progress("modules", done, len(stages) + 1)
    if project.source_digests("rtl") != sources:
        raise InputError(f"{project.folder}: the Verilog changed while it was synthesised")
    parts = tuple(modules[name] for name in [rtl.top, *stages])
    return with_device(_whole(project, parts, version))


def _number(name: str) -> int:
    return int(name.removeprefix("logic"))


def _counted(netlist: Path, name: str) -> Module:
    """Primitives and resources of a module in Yosys's netlist.

    Raises:
        ReportError: Yosys left something that is not a primitive of the part, or no such module.
    """
    try:
        module = json.loads(netlist.read_text(encoding="utf-8"))["modules"][name]
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f"{netlist}: Yosys left no netlist of the module {name!r}") from error
    types = Counter(cell["type"] for cell in module["cells"].values())
    cells = {
        kind: count for kind, count in sorted(types.items()) if kind not in _IGNORED and not kind.startswith("logic")
    }
    left = [kind for kind in cells if kind.startswith("$")]
    if left:
        raise ReportError(f"{netlist}: Yosys left {', '.join(left)}, which is no primitive of the part")
    used = resources(cells).model_copy(update={"lut": packed_luts(module)})
    return Module(name=name, cells=cells, used=used)


def _whole(project: FirmwareProject, parts: tuple[Module, ...], version: str) -> SynthesisReport:
    cells: Counter[str] = Counter()
    for part in parts:
        cells.update(part.cells)
    names = tuple(Resources.model_fields)
    used = Resources(**{name: sum(getattr(part.used, name) for part in parts) for name in names})
    before = resources(dict(cells)).lut
    return SynthesisReport(
        kind="yosys", stage=Stage.OPEN, tool="Yosys", version=version, design=project.manifest.top, part=project.target.part,
        clock_ns=project.target.clock_ns, used=used, cells=dict(sorted(cells.items())), modules=parts,
        notes=(f"{used.lut:,} look-up tables after sharing, by rule; {before:,} before any two share one",),
        sources_digest=digest(project.source_digests("rtl")),
    )  # fmt: skip


def with_latency(report: SynthesisReport, timing: Timing) -> SynthesisReport:
    """The report with the latency that a simulation of the Verilog measured, a new event every clock.

    Where that is not the one that the Verilog declares, no latency is known.
    """
    if timing.measured_cycles != timing.declared_cycles:
        note = f"{timing.declared_cycles} clocks are declared, the simulation shows {timing.measured_cycles or 'no latency'}"
        return report.model_copy(update={"notes": (*report.notes, note)})
    elapsed = None if report.clock_ns is None else round(timing.declared_cycles * report.clock_ns, 6)
    return report.model_copy(
        update={"latency_cycles": timing.declared_cycles, "latency_min_cycles": timing.declared_cycles, "latency_ns": elapsed,
                "interval_cycles": 1}
    )  # fmt: skip
