"""Synthesis without a vendor's licence: the Verilog of a project by Yosys for Xilinx parts.

Every pipeline stage is a module without a register, and the registers stand between them; so each is synthesised by itself, side
by side, and nothing is lost that synthesis of the whole could win, except that a chain of registers stays registers where Vivado
makes a shift register of it. Tables are counted as Yosys leaves them and after sharing (the rule is in
`firmware/reports/yosys.py`). Nothing is placed, and no time is taken from it.
"""

from __future__ import annotations

import json
import re
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
GROUP_BYTES = 30_000
"""Verilog of small stages that one process takes together."""
_STAGES = """setattr -mod -set keep_hierarchy 1 logic*
synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top jetgate_stages
"""
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
    folder = project.folder / "build" / f"yosys-{digest(sources, version, family, _STAGES, _REGISTERS)[:SHORT]}"
    make_folder(folder)
    files = sorted(path for path in sources if path.endswith(".v"))
    sizes = {
        Path(path).stem: (project.folder / path).stat().st_size
        for path in files
        if re.fullmatch(r"logic\d+", Path(path).stem)
    }

    def one(group: tuple[str, ...]) -> list[Module]:
        counted = folder / f"{group[0]}.json"
        if not counted.is_file():
            netlist = counted.with_suffix(".netlist")
            script = _script(project, group, folder, files, netlist, family)
            log = counted.with_suffix(".log")
            tools.run([*command, str(script.relative_to(project.folder))], project.folder, log, TIMEOUT_S)
            found = [_counted(netlist, name).model_dump(mode="json") for name in group]
            write_json(counted, found)
            netlist.unlink()
        return [Module.model_validate(module) for module in read_json(counted)]

    modules: dict[str, Module] = {}
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        for group in pool.map(one, [(rtl.top,), *_groups(sizes)]):
            modules |= {module.name: module for module in group}
            if progress is not None:
                progress("modules", len(modules), len(sizes) + 1)
    if project.source_digests("rtl") != sources:
        raise InputError(f"{project.folder}: the Verilog changed while it was synthesised")
    parts = tuple(modules[name] for name in [rtl.top, *sorted(sizes, key=_number)])
    return with_device(_whole(project, parts, version))


def _groups(sizes: dict[str, int]) -> list[tuple[str, ...]]:
    """Modules that one process synthesises, the largest first: what every process reads at first takes seconds."""
    groups: list[tuple[str, ...]] = []
    room = 0
    for name in sorted(sizes, key=lambda name: (-sizes[name], _number(name))):
        if groups and sizes[name] <= room:
            groups[-1] = (*groups[-1], name)
            room -= sizes[name]
        else:
            groups.append((name,))
            room = GROUP_BYTES - sizes[name]
    return groups


def _script(
    project: FirmwareProject, group: tuple[str, ...], folder: Path, files: list[str], netlist: Path, family: str
) -> Path:
    """Yosys's script for the registers, or for some stages below a module that does nothing but hold them."""
    script = folder / f"{group[0]}.ys"
    top, steps = group[0], _REGISTERS
    if top != (project.manifest.rtl and project.manifest.rtl.top):
        top, steps = "jetgate_stages", _STAGES.format(family=family)
        holder = script.with_suffix(".v")
        holder.write_text(_holder(project, top, group), encoding="utf-8")
        files = [*files, str(holder.relative_to(project.folder))]
    lines = [f"read_verilog -sv {' '.join(files)}", f"hierarchy -check -top {top}", steps.rstrip(),
             f"write_json {netlist.relative_to(project.folder)}", ""]  # fmt: skip
    script.write_text("\n".join(lines), encoding="utf-8")
    return script


def _holder(project: FirmwareProject, top: str, group: tuple[str, ...]) -> str:
    ports, instances = [], []
    for name in group:
        text = (project.folder / "rtl" / "src" / f"{name}.v").read_text(encoding="utf-8")
        match = re.search(r"input \[(\d+):0\] model_inp,\s*output \[(\d+):0\] model_out", text)
        if match is None:
            raise InputError(f"{project.folder}/rtl/src/{name}.v: its ports are not declared as alkaid does")
        ports += [f"input [{match[1]}:0] {name}_i", f"output [{match[2]}:0] {name}_o"]
        instances.append(f"  {name} u_{name} (.model_inp({name}_i), .model_out({name}_o));")
    return "\n".join([f"module {top} ({', '.join(ports)});", *instances, "endmodule", ""])


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
