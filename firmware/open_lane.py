"""Synthesis without a vendor's licence: the Verilog of a project by Yosys for Xilinx parts.

Every pipeline stage is a module without a register, and the registers stand between them; so each is synthesised by itself, side
by side, and nothing is lost that synthesis of the whole could win, except that a chain of registers stays registers where Vivado
makes a shift register of it. Tables are counted as Yosys leaves them and after sharing (the rule is in
`firmware/reports/yosys.py`). Nothing is placed, and no time is taken from it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from firmware import tools
from firmware.device import find_device
from firmware.engines.rtl import Timing
from firmware.project import FirmwareProject
from firmware.reports.merge import with_device
from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.yosys import NOT_CELLS, packed_luts, resources
from trigger.digest import SHORT, digest
from trigger.errors import InputError, ReportError
from trigger.files import locked, read_json, write_json

TIMEOUT_S = 3600.0
FORMAT = 1
"""Part of the name of what is kept; raised when the same netlist gives other figures."""
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
    plan = _plan(project)
    modules: dict[str, Module] = {}
    with locked(plan.folder), ThreadPoolExecutor(max(1, jobs)) as pool:
        for group in pool.map(partial(_group, project, plan), plan.groups):
            modules |= {module.name: module for module in group}
            if progress is not None:
                progress("modules", len(modules), sum(map(len, plan.groups)))
    if project.source_digests("rtl") != plan.sources:
        raise InputError(f"{project.folder}: the Verilog changed while it was synthesised")
    (top,), *_ = plan.groups
    parts = (modules.pop(top), *sorted(modules.values(), key=lambda module: _number(module.name)))
    return with_device(_whole(project, parts, tools.yosys()[1]))


def commands(project: FirmwareProject) -> list[list[str]]:
    """Every command that `synthesize` runs in the project's folder; it writes the scripts before."""
    plan = _plan(project)
    return [_command(project, plan, group) for group in plan.groups]


@dataclass(frozen=True)
class _Plan:
    """What is synthesised: the registers by themselves, then groups of stages, the largest first.

    Attributes:
        sources: Digests of the Verilog.
        family: Yosys's name of the part's.
        folder: Where everything of it is kept.
        groups: Modules that one process takes.
    """

    sources: dict[str, str]
    family: str
    folder: Path
    groups: tuple[tuple[str, ...], ...]


def _plan(project: FirmwareProject) -> _Plan:
    rtl = project.manifest.rtl
    if rtl is None:
        raise InputError(f"{project.folder}: this project has no Verilog")
    family = find_device(project.target.part).yosys_family
    if family is None:
        raise InputError(f"part {project.target.part}: Yosys does not synthesise for its family")
    sources = project.source_digests("rtl")
    key = digest(FORMAT, version("jetgate"), sources, tools.yosys()[1], family, GROUP_BYTES, _STAGES, _REGISTERS)
    stages = [path for path in sources if re.fullmatch(r"logic\d+\.v", Path(path).name)]
    sizes = {Path(path).stem: (project.folder / path).stat().st_size for path in stages}
    folder = project.folder / "build" / f"yosys-{key[:SHORT]}"
    return _Plan(sources, family, folder, ((rtl.top,), *_groups(sizes)))


def _command(project: FirmwareProject, plan: _Plan, group: tuple[str, ...]) -> list[str]:
    return [*tools.yosys()[0], str((plan.folder / f"{group[0]}.ys").relative_to(project.folder))]


def _group(project: FirmwareProject, plan: _Plan, group: tuple[str, ...]) -> list[Module]:
    """The modules of a group, kept or synthesised now."""
    counted = plan.folder / f"{group[0]}.json"
    with contextlib.suppress(InputError, ValidationError, TypeError):  # not there, or not as it is written now
        kept = [Module.model_validate(module) for module in read_json(counted)]
        if [module.name for module in kept] == list(group):
            return kept
    netlist = counted.with_suffix(".netlist")
    _write_script(project, plan, group, netlist)
    tools.run(_command(project, plan, group), project.folder, counted.with_suffix(".log"), TIMEOUT_S)
    found = [_counted(netlist, name) for name in group]
    write_json(counted, [module.model_dump(mode="json") for module in found])
    netlist.unlink()
    return found


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


def _write_script(project: FirmwareProject, plan: _Plan, group: tuple[str, ...], netlist: Path) -> None:
    """Yosys's script for the registers, or for some stages below a module that does nothing but hold them."""
    script = plan.folder / f"{group[0]}.ys"
    files = sorted(path for path in plan.sources if path.endswith(".v"))
    top, steps = group[0], _REGISTERS
    if group != plan.groups[0]:
        top, steps = "jetgate_stages", _STAGES.format(family=plan.family)
        holder = script.with_suffix(".v")
        holder.write_text(_holder(project, top, group), encoding="utf-8")
        files = [*files, str(holder.relative_to(project.folder))]
    lines = [f"read_verilog -sv {' '.join(files)}", f"hierarchy -check -top {top}", steps.rstrip(),
             f"write_json {netlist.relative_to(project.folder)}", ""]  # fmt: skip
    script.write_text("\n".join(lines), encoding="utf-8")


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
        kind: count for kind, count in sorted(types.items()) if kind not in NOT_CELLS and not kind.startswith("logic")
    }
    left = [kind for kind in cells if kind.startswith("$")]
    if left:
        raise ReportError(f"{netlist}: Yosys left {', '.join(left)}, which is no primitive of the part")
    used = resources(cells).model_copy(update={"lut": packed_luts(module)})
    return Module(name=name, cells=cells, used=used)


def _whole(project: FirmwareProject, parts: tuple[Module, ...], release: str) -> SynthesisReport:
    cells: Counter[str] = Counter()
    for part in parts:
        cells.update(part.cells)
    names = tuple(Resources.model_fields)
    used = Resources(**{name: sum(getattr(part.used, name) for part in parts) for name in names})
    before = resources(dict(cells)).lut
    return SynthesisReport(
        kind="yosys", stage=Stage.OPEN, tool="Yosys", version=release, design=project.manifest.top, part=project.target.part,
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
        unknown = dict.fromkeys(("latency_cycles", "latency_min_cycles", "latency_ns", "interval_cycles"))
        return report.model_copy(update={**unknown, "notes": (*report.notes, note)})
    elapsed = None if report.clock_ns is None else round(timing.declared_cycles * report.clock_ns, 6)
    return report.model_copy(
        update={"latency_cycles": timing.declared_cycles, "latency_min_cycles": timing.declared_cycles, "latency_ns": elapsed,
                "interval_cycles": 1}
    )  # fmt: skip
