"""Yosys's `stat`, as JSON and as text, and the packing of look-up tables in a netlist of its `write_json`.

A slice's look-up table has six inputs, or is two of at most five that see the same five signals. Yosys counts tables before they
share one; how many do is decided when a design is placed, so what is given here is an estimate with a rule:

1. Every place of a carry whose select input is a signal needs a look-up table of its own: the one that feeds it, again where it
   feeds several, or one to pass through.
2. A table that feeds nothing but the carry's data input next to such a table shares it, if both see no more than five signals.
3. Inverters count as tables of one input.
4. Of the rest, two tables share one wherever they see no more than five signals together; each that is left over counts.

References:
    AMD UG574, UltraScale Architecture Configurable Logic Block: figure of the carry logic and "Look-Up Table".
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.text import complete_lines
from trigger.errors import ReportError

KIND = "yosys stat"
LUT_INPUTS = 6
SHARED_INPUTS = 5
NOT_CELLS = ("$scopeinfo",)


def recognises(text: str) -> bool:
    """Whether a text is what `stat` or `stat -json` wrote."""
    as_json = re.match(r'\s*\{\s*"creator":\s*"Yosys', text) is not None and '"num_cells_by_type"' in text
    return as_json or (_SECTION.search(text) is not None and _TOTAL.search(text) is not None)


def parse(text: str) -> SynthesisReport:
    """Read the statistics. Tables count as they are, before any of them share one: see `packed_luts` for what is shared.

    Raises:
        ReportError: It is cut off, or there is no module in it.
    """
    as_json = text.lstrip().startswith("{")
    version, modules, whole = _from_json(text) if as_json else _from_text(text)
    if not modules:
        raise ReportError("there is no module in it")
    parts = tuple(
        Module(name=name, cells=cells, used=resources(_primitives(cells, modules))) for name, cells in modules.items()
    )
    if whole is None and len(parts) > 1:
        raise ReportError("there are several modules, and the total of the design is missing")
    total = parts[0].cells if whole is None else _primitives(whole, modules)
    notes = ["look-up tables before any two of them share one"]
    if strange := [cell for cell in total if not _KNOWN.fullmatch(cell)]:
        notes.append(
            f"not counted, so that no total is known, for they are no primitives: {', '.join(sorted(strange))}"
        )
    if not as_json and len(parts) == 1:
        notes.append("a text has no mark of its end: there may be more modules, which `stat -json` would show")
    return SynthesisReport(
        kind=KIND, stage=Stage.OPEN, tool="Yosys", version=version, used=resources(total), cells=total,
        modules=parts if len(parts) > 1 else (), design=parts[0].name if len(parts) == 1 else None, notes=tuple(notes),
    )  # fmt: skip


def _primitives(cells: dict[str, int], modules: Iterable[str]) -> dict[str, int]:
    return {cell: n for cell, n in cells.items() if cell not in modules}


_Counts = dict[str, dict[str, int]]


class _Cells(BaseModel):
    """Cells of a module or of the design; a count that is no integer, as for more than seven digits, is wrong."""

    num_cells_by_type: dict[str, Annotated[int, Field(strict=True, ge=0)]]

    @property
    def cells(self) -> dict[str, int]:
        return {name.removeprefix("\\"): n for name, n in self.num_cells_by_type.items() if name not in NOT_CELLS}


class _Statistics(BaseModel):
    creator: str
    modules: dict[str, _Cells]
    design: _Cells | None = None


def _from_json(text: str) -> tuple[str | None, _Counts, dict[str, int] | None]:
    """Version, cells of each module, and of the whole design where it is given."""
    try:
        content = _Statistics.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ReportError(
            f"{'/'.join(str(step) for step in first['loc'])} is missing or wrong: {first['msg']}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ReportError(f"not complete JSON: {error}") from error
    version = re.match(r"Yosys (\S+)", content.creator)
    modules = {name.removeprefix("\\"): one.cells for name, one in content.modules.items()}
    return version[1] if version else None, modules, None if content.design is None else content.design.cells


_SECTION = re.compile(r"^=== (.+) ===$", re.MULTILINE)
_TOTAL = re.compile(r"^\s*(?:Number of cells:\s+(\d+)|(\d+|-) cells)$", re.MULTILINE)
_CELL = re.compile(r"^\s+(?:(\S+)\s+(\d+)|(\d+)\s+(\S+))$")


def _from_text(text: str) -> tuple[str | None, _Counts, dict[str, int] | None]:
    """The same from text: name before count up to version 0.56, count before name since."""
    found: _Counts = {}
    sections = list(_SECTION.finditer(text))
    for section, after in zip(sections, [*sections[1:], None], strict=True):
        if section[1] in found:
            raise ReportError(
                f"there are several statistics in it: {section[1]!r} is twice; `tee -o FILE stat` writes one"
            )
        body = text[section.end() : after.start() if after else len(text)]
        found[section[1]] = _section_cells(complete_lines(body), section[1])
    whole = found.pop("design hierarchy", None)
    version = re.search(r"Yosys (\d\S+)", text)
    return version[1] if version else None, found, whole


def _section_cells(lines: list[str], name: str) -> dict[str, int]:
    """The cells of a section, which must add up to what it says there are; a line that is none must follow."""
    given = {index: found for index, line in enumerate(lines) if (found := _TOTAL.match(line))}
    if not given:
        raise ReportError(f"{name}: the number of cells is missing")
    start = min(given)
    wanted = int((given[start][1] or given[start][2]).replace("-", "0"))
    cells: dict[str, int] = {}
    for line in lines[start + 1 :]:
        match = _CELL.match(line)
        if match is None:
            break
        if match[4] == "submodules":  # since version 0.57 they are not among the cells
            wanted += int(match[3])
        else:
            cells[match[1] or match[4]] = int(match[2] or match[3])
    else:
        raise ReportError(f"{name}: the list of cells is cut off: what follows it is missing")
    if sum(cells.values()) != wanted:
        raise ReportError(f"{name}: {sum(cells.values())} of {wanted} cells are listed: some are missing")
    return {cell: n for cell, n in cells.items() if cell not in NOT_CELLS}


def resources(cells: dict[str, int]) -> Resources:
    """What primitives of Xilinx parts are, tables before sharing; nothing is known where there is any other cell.

    Distributed memory is counted by its bits and ports.
    """
    if not all(_KNOWN.fullmatch(name) for name in cells):
        return Resources()
    lut = sum(count * _luts(name) for name, count in cells.items())
    ff = sum(count for name, count in cells.items() if re.fullmatch(_FLIP_FLOP, name))
    dsp = sum(count for name, count in cells.items() if name.startswith("DSP"))
    bram18 = sum(
        count * (2 if "36" in name else 1) for name, count in cells.items() if name.startswith(("RAMB", "FIFO"))
    )
    uram = sum(count for name, count in cells.items() if name.startswith("URAM"))
    return Resources(lut=lut, ff=ff, dsp=dsp, bram18=bram18, uram=uram)


_FLIP_FLOP = r"FD[RSCP]E(_1)?|LD[CP]E"
_TABLE = r"LUT[1-6]|LUT6_2|INV|CFGLUT5|SRL16E|SRLC(16|32)E"
_MEMORY = re.compile(r"RAM(?P<depth>[0-9]+)(X(?P<width>[0-9]+)(?P<ports>[SDQ])(_1)?|M(?P<many>8|16)?)")
_OTHER = (  # neither tables, flip-flops nor memory
    r"MUXF[789]|CARRY[48]|MUXCY|XORCY|VCC|GND|KEEPER|PULLUP|PULLDOWN|(I|O|IO|IN)?BUF[A-Z0-9_]*"
    r"|(MMCM|PLL|GT|STARTUP|BSCAN|XADC|SYSMON|[IO]DELAY|[IO]SERDES|[IO]DDR)[A-Z0-9_]*"
)
_KNOWN = re.compile(
    rf"{_TABLE}|{_FLIP_FLOP}|{_MEMORY.pattern}|{_OTHER}|DSP(48(A1?|E[12345]?)?|58|FP32)|(RAMB|FIFO)(18|36)(SDP)?(E[0-9])?|URAM288(_BASE)?"
)
_PORTS = {"S": 1, "D": 2, "Q": 4}


def _luts(cell: str) -> int:
    if re.fullmatch(_TABLE, cell):
        return 1
    memory = _MEMORY.fullmatch(cell)
    if memory is None:
        return 0
    if memory["ports"] is None:  # RAM32M, RAM64M: four tables; RAM32M16, RAM64M8: eight
        return 8 if memory["many"] else 4
    return max(1, int(memory["depth"]) // 64) * int(memory["width"]) * _PORTS[memory["ports"]]


# -------------------------------------------------------------------------------------------------------------- packing


@dataclass
class _Netlist:
    """Tables of a netlist: the signals each sees, who drives a signal, and who else reads it."""

    inputs: dict[str, frozenset[int]] = field(default_factory=dict)
    driver: dict[int, str] = field(default_factory=dict)
    readers: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    outputs: set[int] = field(default_factory=set)
    carries: list[dict[str, list[Any]]] = field(default_factory=list)


def packed_luts(module: dict[str, Any]) -> int:
    """Look-up tables of a module after sharing, by the rule at the head of this file.

    Args:
        module: A module as `write_json` writes it.
    """
    net = _read_netlist(module)
    selects: set[str] = set()
    folded: set[str] = set()
    places = 0
    for carry in net.carries:
        for select, data in zip(carry["S"], carry["DI"], strict=True):
            if isinstance(select, str):
                continue  # a constant
            places += 1
            table = net.driver.get(select)
            if table is None:
                continue
            selects.add(table)
            beside = None if isinstance(data, str) else net.driver.get(data)
            if beside is None or net.readers[data] != ["DI"] or data in net.outputs:
                continue
            if len(net.inputs[table] | net.inputs[beside]) <= SHARED_INPUTS:
                folded.add(beside)
    rest = [seen for name, seen in net.inputs.items() if name not in selects and name not in folded]
    memory = sum(
        _luts(cell["type"]) for cell in module["cells"].values() if not re.fullmatch(r"LUT\d|INV", cell["type"])
    )
    return places + memory + _paired(rest)


def _read_netlist(module: dict[str, Any]) -> _Netlist:
    net = _Netlist()
    for port in module["ports"].values():
        if port["direction"] == "output":
            net.outputs.update(bit for bit in port["bits"] if not isinstance(bit, str))
    for name, cell in module["cells"].items():
        wires = cell["connections"]
        if re.fullmatch(r"LUT\d|INV", cell["type"]):
            seen = [
                bit for pin, bits in wires.items() if pin.startswith("I") for bit in bits if not isinstance(bit, str)
            ]
            net.inputs[name] = frozenset(seen)
            net.driver.update((bit, name) for bit in wires["O"])
        if cell["type"] in ("CARRY4", "CARRY8"):
            net.carries.append(wires)
        for pin, bits in wires.items():
            if cell.get("port_directions", {}).get(pin) == "input":
                for bit in bits:
                    if not isinstance(bit, str):
                        net.readers[bit].append(pin)
    return net


def _paired(tables: Iterable[frozenset[int]]) -> int:
    """Look-up tables that hold `tables`, the largest first, each with the largest one that fits beside it."""
    ordered = sorted(tables, key=lambda seen: (-len(seen), sorted(seen)))
    small = [seen for seen in ordered if len(seen) < LUT_INPUTS]
    free: Counter[frozenset[int]] = Counter(small)
    by_signal: dict[int, set[frozenset[int]]] = defaultdict(set)
    by_size: dict[int, dict[frozenset[int], None]] = defaultdict(dict)
    for seen in free:
        by_size[len(seen)][seen] = None
        for signal in seen:
            by_signal[signal].add(seen)
    used = len(ordered) - len(small)
    for seen in small:
        if not free[seen]:
            continue
        free[seen] -= 1
        used += 1
        partner = _partner(seen, free, by_signal, by_size)
        if partner is not None:
            free[partner] -= 1
    return used


def _partner(
    seen: frozenset[int], free: Counter[frozenset[int]], by_signal: dict[int, set[frozenset[int]]],
    by_size: dict[int, dict[frozenset[int], None]],
) -> frozenset[int] | None:  # fmt: skip
    """The largest free table that fits: first of those that share a signal, then of those small enough to share none."""
    near = {
        other for signal in seen for other in by_signal[signal] if free[other] and len(other | seen) <= SHARED_INPUTS
    }
    if near:
        return min(near, key=lambda other: (-len(other), sorted(other)))
    for size in range(SHARED_INPUTS - len(seen), 0, -1):
        group = by_size[size]
        while group:
            other = next(iter(group))
            if free[other]:
                return other
            del group[other]
    return None
