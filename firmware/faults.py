"""Where faults can be put into firmware: bits of numbers, modes and binary points of types, entries of tables, vector files,
lines of Verilog.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from firmware import divergence
from firmware.circuit import Accumulate, Cast, Dense, Table
from firmware.emulation import Truth, taps_of
from firmware.engines import cpp, rtl
from firmware.precision import typedefs
from firmware.project import PHYSICS, FirmwareProject
from trigger.fixed_point import FixedPoint, Overflow, Rounding


class Kind(StrEnum):
    """What is changed."""

    WEIGHT = "weight bit"
    BIAS = "bias bit"
    ROUNDING = "rounding mode"
    SATURATION = "saturation mode"
    SHIFT = "shift"
    TABLE = "table entry"
    VECTORS = "vector file"
    VERILOG = "line of Verilog"


SWITCHED = (Kind.WEIGHT, Kind.BIAS, Kind.TABLE)
TYPES = (Kind.ROUNDING, Kind.SATURATION, Kind.SHIFT)


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        kind: What is changed.
        layer: The layer that it is in.
        path: The file, below the project.
        what: The change, for a person.
        before: Text that is replaced; the place is `at` where it is not unique.
        after: Text that replaces it. In a switched mutant `@` stands for its number.
        at: Position of `before` in the file.
        index: Where in the layer: input and output of a weight, output of a bias, entry and bit of a table, stage and wire of
            Verilog.
        change: By how many steps a weight or bias is changed.
        form: The type that a cast is changed to.
    """

    kind: Kind
    layer: str
    path: str
    what: str
    before: str = ""
    after: str = ""
    at: int = 0
    index: tuple[int, ...] = ()
    change: int = 0
    form: FixedPoint | None = None


def choose(sites: dict[Kind, list[Mutant]], count: int, generator: np.random.Generator) -> list[Mutant]:
    """One of each kind, then the kinds in turn while there are any left; one fault a number."""
    waiting = {kind: [found[k] for k in generator.permutation(len(found))] for kind, found in sites.items()}
    chosen: list[Mutant] = []
    taken: set[tuple[str, int]] = set()
    while len(chosen) < count and any(waiting.values()):
        for found in waiting.values():
            if found and len(chosen) < count:
                mutant = found.pop()
                if mutant.kind not in (Kind.WEIGHT, Kind.BIAS) or (mutant.path, mutant.at) not in taken:
                    chosen.append(mutant)
                    taken.add((mutant.path, mutant.at))
    return chosen


def sites_of(kind: Kind, truth: Truth, generator: np.random.Generator) -> list[Mutant]:
    """Every fault of a kind that a project has a place for."""
    project = truth.project
    match kind:
        case Kind.WEIGHT | Kind.BIAS:
            return list(_number_sites(kind, truth))
        case Kind.ROUNDING | Kind.SATURATION | Kind.SHIFT:
            return list(_type_sites(kind, truth))
        case Kind.TABLE:
            return list(_table_sites(truth, generator))
        case Kind.VECTORS:
            return list(_vector_sites(project, generator))
        case Kind.VERILOG:
            return list(_verilog_sites(truth, generator))


def _number_sites(kind: Kind, truth: Truth) -> Iterator[Mutant]:
    """Every bit of every weight or bias."""
    project = truth.project
    types = typedefs((project.folder / "firmware" / "defines.h").read_text(encoding="utf-8"))
    kernels = {step.layer: step.kernel.shape for step in truth.circuit.steps if isinstance(step, Dense | Accumulate)}
    for layer in cpp.layers(project)[0]:
        if layer.name not in kernels or len(layer.arguments) != 2:
            continue
        inputs, outputs = kernels[layer.name]
        array = layer.arguments[kind is Kind.BIAS]
        path = f"firmware/weights/{array}.h"
        text = (project.folder / path).read_text(encoding="utf-8")
        start = text.index("{") + 1
        declared = re.search(rf"(\w+) {array}\[", text)
        if declared is None or declared[1] not in types:
            continue
        form = types[declared[1]]
        numbers = list(re.finditer(r"-?[0-9.e+-]+", text[start : text.index("}", start)]))
        for number, match in enumerate(numbers):
            code = int(form.codes([float(match[0])])[0])
            index: tuple[int, ...] = (number,)
            if kind is Kind.WEIGHT and len(numbers) < inputs * outputs:  # depthwise: each tap has one output
                index = (number, number % outputs)
            elif kind is Kind.WEIGHT:  # shared multipliers have their weights transposed
                transposed = project.target.backend.strategy_of(layer.name) == "resource"
                index = divmod(number, inputs)[::-1] if transposed else divmod(number, outputs)
            for bit in range(form.width):
                raw = (code & ((1 << form.width) - 1)) ^ (1 << bit)
                changed = raw - (1 << form.width) if form.signed and raw >> (form.width - 1) else raw
                value = changed * form.step
                yield Mutant(
                    kind, layer.name, path, f"element {number}, bit {bit}: {value:g} instead of {match[0]}", match[0],
                    f"JETGATE_MUTANT(@, {match[0]}, {value!r})", start + match.start(), index, changed - code, form,
                )  # fmt: skip


def _type_sites(kind: Kind, truth: Truth) -> Iterator[Mutant]:
    """Every other mode, and the binary point one bit off, of every type that rounds or saturates."""
    path = "firmware/defines.h"
    text = (truth.project.folder / path).read_text(encoding="utf-8")
    casts = {step.layer for step in truth.circuit.steps if isinstance(step, Cast)}
    found = cpp.layers(truth.project)[0]
    for layer, tap in zip(
        found, taps_of(truth.circuit, [(one, np.zeros((0, 1), np.int64)) for one in found]), strict=True
    ):
        line = re.search(rf"^typedef .* {layer.type_name};$", text, re.MULTILINE)
        if casts.isdisjoint((layer.name, tap.layer)) or line is None:
            continue
        form = layer.form
        changes = {
            Kind.ROUNDING: [replace(form, rounding=one) for one in Rounding if one is not form.rounding],
            Kind.SATURATION: [replace(form, overflow=one) for one in Overflow if one is not form.overflow],
            Kind.SHIFT: [replace(form, integer=form.integer + k, fraction=form.fraction - k) for k in (1, -1)],
        }[kind]
        for changed in changes:
            after = re.sub(r"ap_u?fixed<[^>]*>", str(changed), line[0])  # a word of a stream is an array of them
            yield Mutant(
                kind, layer.name, path, f"{changed} instead of {form}", line[0], after, line.start(), form=changed
            )


def _table_sites(truth: Truth, generator: np.random.Generator) -> Iterator[Mutant]:
    """One bit of every entry of every table. Layers of one function share its source: then it is the first one's fault,
    and only entries that it can look up are changed.
    """
    path = "firmware/nnet_utils/nnet_activation.h"
    text = (truth.project.folder / path).read_text(encoding="utf-8")
    tables = [(step, given) for step, (given, *_) in truth.circuit.bounded() if isinstance(step, Table)]
    for function in dict.fromkeys(step.function for step, _ in tables):
        sharing = [one for one in tables if one[0].function == function]
        step, given = sharing[0]
        place = re.compile(rf"void init_{function}_table\(.*?(table_out\[ii\] = real_val;)", re.DOTALL).search(text)
        if place is None:
            continue
        entries = range(len(step.entries))
        if len(sharing) > 1:
            entries = range(int(step.index(given.low).min()), int(step.index(given.high).max()) + 1)
        for entry in entries:
            bit = int(generator.integers(step.form.width))
            flipped = f"table_out[ii][{bit}] = !bool(table_out[ii][{bit}]);"
            after = f"{place[1]} if (ii == {entry} && jetgate_mutant == @) {flipped}"
            what = f"entry {entry}, bit {bit}"
            yield Mutant(Kind.TABLE, step.layer, path, what, place[1], after, place.start(1), (entry, bit))


def _vector_sites(project: FirmwareProject, generator: np.random.Generator) -> Iterator[Mutant]:
    """One code changed, the file cut short, and the file gone."""
    codes = project.physics_codes()
    if codes is None:
        return
    event, column = int(generator.integers(len(codes))), int(generator.integers(codes.shape[1]))
    changed = f"event {event}, input {column}: lowest bit"
    yield Mutant(Kind.VECTORS, divergence.INPUT, PHYSICS, changed, index=(event, column))
    yield Mutant(Kind.VECTORS, divergence.INPUT, PHYSICS, "cut short", before="-100 bytes")
    yield Mutant(Kind.VECTORS, divergence.INPUT, PHYSICS, "missing")


_WIRE = re.compile(r"^    wire \[(\d+):0\] v(\d+); (?!assign v\d+\[\d+:0\] = model_inp)(.*v\2\[.*;)(.*)$", re.MULTILINE)
_ADDER = re.compile(r"(shift_adder #\(.*,)([01])(\) op_\d+)")


def _verilog_sites(truth: Truth, generator: np.random.Generator) -> Iterator[Mutant]:
    """Additions turned into subtractions and the other way round; a bit of any other wire inverted."""
    project = truth.project
    if project.manifest.rtl is None:
        return
    layers = rtl.attribution(project, truth.circuit, np.zeros(len(project.contract.inputs), dtype=np.int64))[1]
    for stage in range(project.manifest.rtl.latency_cycles):
        path = f"rtl/src/logic{stage}.v"
        for line in _WIRE.finditer((project.folder / path).read_text(encoding="utf-8")):
            top, wire, body = int(line[1]), int(line[2]), line[3]
            good, bad = (re.sub(rf"\bv{wire}\[", f"v{wire}_{which}[", body) for which in ("good", "bad"))
            adder = _ADDER.search(bad)
            declared = f"    wire [{top}:0] v{wire}_good; {good} wire [{top}:0] v{wire}; "
            if adder is not None:
                other = f"{adder[1]}{1 - int(adder[2])}{adder[3]}_bad"
                after = (f"{declared}wire [{top}:0] v{wire}_bad; {bad[: adder.start()]}{other}{bad[adder.end() :]} "
                         f"assign v{wire} = jetgate_mutant == @ ? v{wire}_bad : v{wire}_good;")  # fmt: skip
                what = f"v{wire}: {'+' if adder[2] == '1' else '-'} instead of {'-' if adder[2] == '1' else '+'}"
            else:
                bit = int(generator.integers(top + 1))
                after = f"{declared}assign v{wire} = v{wire}_good ^ (jetgate_mutant == @ ? {top + 1}'d{1 << bit} : {top + 1}'d0);"
                what = f"v{wire}: bit {bit} inverted"
            yield Mutant(
                Kind.VERILOG, layers[stage, wire], path, what, line[0], after, line.start(), (stage, wire)
            )  # fmt: skip
