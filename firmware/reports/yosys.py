"""Yosys's `stat`, as JSON and as text, and the packing of look-up tables in a netlist of its `write_json`.

A slice's look-up table has six inputs, or is two of at most five that see the same five signals. Yosys counts tables before they
share one; how many do is decided when a design is placed, so what is given here is an estimate with a rule:

1. The table that feeds the select input of a carry is one look-up table; a select signal without a table needs one to pass through.
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
from typing import Any

from firmware.reports.report import Module, Resources, Stage, SynthesisReport
from firmware.reports.text import complete_lines
from trigger.errors import ReportError

KIND = "yosys stat"
LUT_INPUTS = 6
SHARED_INPUTS = 5
_NOT_CELLS = ("$scopeinfo",)


def recognises(text: str) -> bool:
    """Whether a text is what `stat` or `stat -json` wrote."""
    as_json = re.match(r'\s*\{\s*"creator":\s*"Yosys', text) is not None and '"num_cells_by_type"' in text
    return as_json or (_SECTION.search(text) is not None and _TOTAL.search(text) is not None)


def parse(text: str) -> SynthesisReport:
    """Read the statistics. Tables count as they are, before any of them share one: see `packed_luts` for what is shared.

    Raises:
        ReportError: It is cut off, or there is no module in it.
    """
    version, modules, whole = _from_json(text) if text.lstrip().startswith("{") else _from_text(text)
    if not modules:
        raise ReportError("there is no module in it")
    parts = tuple(Module(name=name, cells=_cells(one), used=resources(one)) for name, one in modules.items())
    if whole is None and len(parts) > 1:
        raise ReportError("there are several modules and no total of the design")
    total = parts[0].cells if whole is None else {cell: n for cell, n in _cells(whole).items() if cell not in modules}
    return SynthesisReport(
        kind=KIND, stage=Stage.OPEN, tool="Yosys", version=version, used=resources(total), cells=total,
        modules=parts if len(parts) > 1 else (), design=parts[0].name if len(parts) == 1 else None,
        notes=("look-up tables before any two of them share one",),
    )  # fmt: skip


def _cells(found: dict[str, int]) -> dict[str, int]:
    return {cell: n for cell, n in found.items() if cell not in _NOT_CELLS}


_Counts = dict[str, dict[str, int]]


def _from_json(text: str) -> tuple[str | None, _Counts, dict[str, int] | None]:
    """Version, cells of each module, and of the whole design where it is given."""
    try:
        content = json.loads(text)
        modules = {name.lstrip("\\"): one["num_cells_by_type"] for name, one in (content["modules"] or {}).items()}
        whole = content.get("design", {}).get("num_cells_by_type")
    except KeyError as error:
        raise ReportError(f"{error} is missing") from error
    except ValueError as error:
        raise ReportError(f"not complete JSON: {error}") from error
    version = re.match(r"Yosys (\S+)", content["creator"])
    whole = whole and {name.lstrip("\\"): n for name, n in whole.items()}
    return version[1] if version else None, modules, whole


_SECTION = re.compile(r"^=== (.+) ===$", re.MULTILINE)
_TOTAL = re.compile(r"^\s*(?:Number of cells:\s+(\d+)|(\d+) cells)$", re.MULTILINE)
_CELL = re.compile(r"^\s+(?:(\S+)\s+(\d+)|(\d+)\s+(\S+))$")


def _from_text(text: str) -> tuple[str | None, _Counts, dict[str, int] | None]:
    """The same from text: name before count up to version 0.56, count before name since."""
    found: _Counts = {}
    sections = list(_SECTION.finditer(text))
    for section, after in zip(sections, [*sections[1:], None], strict=True):
        body = text[section.end() : after.start() if after else len(text)]
        found[section[1].strip()] = _section_cells(complete_lines(body), section[1])
    whole = found.pop("design hierarchy", None)
    version = re.search(r"Yosys (\d\S+)", text)
    if whole is not None:
        whole = {name: n for name, n in whole.items() if name not in found}
    return version[1] if version else None, found, whole


def _section_cells(lines: list[str], name: str) -> dict[str, int]:
    """The cells of a section, which must add up to what it says there are."""
    start = next((index for index, line in enumerate(lines) if _TOTAL.match(line)), None)
    if start is None:
        raise ReportError(f"{name}: the number of cells is missing")
    given = _TOTAL.match(lines[start])
    assert given is not None
    cells: dict[str, int] = {}
    for line in lines[start + 1 :]:
        match = _CELL.match(line)
        if match is None:
            break
        if match[4] == "submodules":
            continue
        cells[match[1] or match[4]] = int(match[2] or match[3])
    wanted = int(given[1] or given[2])
    if sum(cells.values()) < wanted:
        raise ReportError(f"{name}: {sum(cells.values())} of {wanted} cells are listed: it is cut off")
    return cells


def resources(cells: dict[str, int]) -> Resources:
    """What primitives of Xilinx parts are, tables before sharing; wide tables of distributed memory are counted by their bits."""
    lut = sum(count * _luts(name) for name, count in cells.items())
    ff = sum(count for name, count in cells.items() if re.fullmatch(r"(FD[RSCP]E(_1)?|LD[CP]E)", name))
    dsp = sum(count for name, count in cells.items() if name.startswith("DSP"))
    bram18 = sum(count * (2 if "36" in name else 1) for name, count in cells.items() if name.startswith("RAMB"))
    uram = sum(count for name, count in cells.items() if name.startswith("URAM"))
    return Resources(lut=lut, ff=ff, dsp=dsp, bram18=bram18, uram=uram)


def _luts(cell: str) -> int:
    if re.fullmatch(r"LUT[1-6]|INV|SRL16E|SRLC32E", cell):
        return 1
    memory = re.fullmatch(r"RAM(\d+)[XM](\d+)[SDQ]\w*", cell)
    return 0 if memory is None else max(1, int(memory[1]) // 64) * int(memory[2])


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
    passing = 0
    for carry in net.carries:
        for select, data in zip(carry["S"], carry["DI"], strict=True):
            if isinstance(select, str):
                continue  # a constant
            table = net.driver.get(select)
            if table is None:
                passing += 1
            else:
                selects.add(table)
            beside = None if isinstance(data, str) else net.driver.get(data)
            if table is not None and beside is not None and net.readers[data] == ["DI"] and data not in net.outputs:
                if len(net.inputs[table] | net.inputs[beside]) <= SHARED_INPUTS:
                    folded.add(beside)
    rest = [seen for name, seen in net.inputs.items() if name not in selects and name not in folded]
    memory = sum(
        _luts(cell["type"]) for cell in module["cells"].values() if not re.fullmatch(r"LUT\d|INV", cell["type"])
    )
    return len(selects) + passing + memory + _paired(rest)


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
            net.driver[wires["O"][0]] = name
        if cell["type"] in ("CARRY4", "CARRY8"):
            net.carries.append(wires)
        for pin, bits in wires.items():
            if cell["port_directions"].get(pin) == "input":
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
