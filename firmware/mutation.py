"""Can the comparison fail? Faults are put into copies of the firmware, one at a time, and every one must be found.

A mutant that is not found counts only if it is proven to change nothing: because what it changes is dead, or because all
codes that can reach it were enumerated. Every other survivor is a failure of the comparison.

Faults in numbers and in lines of Verilog are all compiled into one copy and switched on one at a time, which saves hundreds of
compilations; a fault in a type takes a compilation of its own.

References:
    Mutation testing: R. A. DeMillo, R. J. Lipton, F. G. Sayward, doi:10.1109/C-M.1978.218136. Mutants compiled together:
    R. H. Untch, A. J. Offutt, M. J. Harrold, doi:10.1145/154183.154265.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from firmware import divergence, vectors
from firmware.backends import keras_layers
from firmware.circuit import Accumulate, Bounds, Cast, Circuit, Dense, Table
from firmware.emulation import Truth, emulation_groups, rtl_divergence, taps_of
from firmware.engines import cpp, rtl
from firmware.precision import typedefs
from firmware.project import PHYSICS, FirmwareProject, convert
from firmware.target import DeclaredTypes
from trigger.errors import InputError, ToolError
from trigger.files import make_folder
from trigger.fixed_point import Codes, FixedPoint, Overflow, Rounding
from trigger.inputs.contract import Input, InputSpec
from trigger.verdict import Requirement, at_least, not_measured

MUTANTS = 24
RANDOM_VECTORS = 20_000
MORE_VECTORS = 300_000
"""Random vectors for mutants that the first ones did not find."""
_FIRST = 2000
_ENUMERATED = 1 << 25
Progress = Callable[[str, int, int], None]


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


class Fate(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    EQUIVALENT = "equivalent"
    SURVIVED = "survived"


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
        index: Where in the layer: input and output of a weight, output of a bias, entry of a table, stage and wire of Verilog.
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


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, and how it is known.

    Attributes:
        mutant: The fault.
        fate: What became of it.
        reason: Which vectors caught it, or the proof that it changes nothing.
        named: The layer that the divergence report names; `None` where it was not asked for or there is none.
        network: Name of the network, where it is not the project's own.
    """

    mutant: Mutant
    fate: Fate
    reason: str
    named: str | None = None
    network: str | None = None

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        one = self.mutant
        return {
            "kind": str(one.kind), "layer": one.layer, "file": one.path, "what": one.what, "fate": str(self.fate),
            "reason": self.reason, "named": self.named, "network": self.network,
        }  # fmt: skip


@dataclass(frozen=True)
class MutationResult:
    """All outcomes."""

    outcomes: tuple[Outcome, ...]

    def count(self, fate: Fate) -> int:
        """How many mutants met it."""
        return sum(one.fate is fate for one in self.outcomes)

    @property
    def score(self) -> float:
        """Share of the mutants caught, those aside that are proven to change nothing."""
        return self.count(Fate.CAUGHT) / max(1, len(self.outcomes) - self.count(Fate.EQUIVALENT))

    def requirement(self) -> Requirement:
        """Every mutant was caught or proven to change nothing."""
        return mutation_requirement([one.summary() for one in self.outcomes])

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "mutants": len(self.outcomes), **{str(fate): self.count(fate) for fate in Fate}, "score": self.score,
            "outcomes": [one.summary() for one in self.outcomes],
        }  # fmt: skip


def mutation_requirement(outcomes: list[dict[str, Any]]) -> Requirement:
    """The requirement `mutation` of outcomes as JSON holds them."""
    fates = Counter(one["fate"] for one in outcomes)
    judged = len(outcomes) - fates["equivalent"]
    if not judged:
        return not_measured("mutation", ">= 1", required=True, note="no mutant was made")
    kinds = Counter(one["kind"] for one in outcomes)
    note = f"{fates['caught']} of {judged} mutants caught, {fates['equivalent']} more proven to change nothing: "
    note += ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    for one in outcomes:
        if one["fate"] == "survived":
            note += f"; survived: {one['kind']} in {one['layer']} ({one['file']}, {one['what']})"
    return at_least("mutation", fates["caught"] / judged, 1.0, note=note)


def mutate(
    project: FirmwareProject, *, count: int = MUTANTS, seed: int = 1, threads: int = 1, locate: bool = False,
    progress: Progress | None = None,
) -> MutationResult:  # fmt: skip
    """Put faults into copies of a project and compare each copy.

    Args:
        project: The firmware; its bits must agree with the network's.
        count: How many faults, one of each kind first; kinds that the project has no place for are left out, but a fault
            in a table is put into a small network of ours then, besides.
        seed: Which ones.
        threads: Threads of each engine.
        locate: Ask the divergence report for the layer of each; takes more builds.
        progress: Told of every mutant.

    Raises:
        InputError: The project differs without any fault.
        ToolError: A copy cannot be built.
    """
    truth = Truth.of(project)
    generator = np.random.default_rng([seed, 17])
    sites = {kind: _sites(kind, truth, generator) for kind in Kind}
    chosen = _choose(sites, count, generator)
    own = _Trial(truth, seed, threads, locate)
    outcomes: list[Outcome] = []
    total = len(chosen) + (not any(one.kind is Kind.TABLE for one in chosen))

    def told(found: Iterator[Outcome]) -> None:
        for one in found:
            outcomes.append(one)
            if progress is not None:
                progress("mutants", len(outcomes), total)

    with tempfile.TemporaryDirectory(prefix="mutants-", dir=_scratch(project)) as folder:
        told(own.judge(chosen, Path(folder)))
        if not any(one.kind is Kind.TABLE for one in chosen):
            other = _Trial(_table_truth(project, Path(folder)), seed, threads, locate)
            table = _choose({Kind.TABLE: _sites(Kind.TABLE, other.truth, generator)}, 1, generator)
            told(
                replace(one, network="a small network with a table")
                for one in other.judge(table, Path(folder) / "table")
            )
    return MutationResult(tuple(outcomes))


def _scratch(project: FirmwareProject) -> Path:
    folder = project.folder / "build"
    make_folder(folder)
    return folder


def _choose(sites: dict[Kind, list[Mutant]], count: int, generator: np.random.Generator) -> list[Mutant]:
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


# ------------------------------------------------------------------------------------------------------ where faults can be


def _sites(kind: Kind, truth: Truth, generator: np.random.Generator) -> list[Mutant]:
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
        for number, match in enumerate(re.finditer(r"-?[0-9.e+-]+", text[start : text.index("}", start)])):
            code = int(form.codes([float(match[0])])[0])
            index: tuple[int, ...] = (number,)
            if kind is Kind.WEIGHT:  # shared multipliers have their weights transposed
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
        if tap.layer not in casts or line is None:
            continue
        form = layer.form
        changes = {
            Kind.ROUNDING: [replace(form, rounding=one) for one in Rounding if one is not form.rounding],
            Kind.SATURATION: [replace(form, overflow=one) for one in Overflow if one is not form.overflow],
            Kind.SHIFT: [replace(form, integer=form.integer + k, fraction=form.fraction - k) for k in (1, -1)],
        }[kind]
        for changed in changes:
            after = f"typedef {changed} {layer.type_name};"
            yield Mutant(
                kind, layer.name, path, f"{changed} instead of {form}", line[0], after, line.start(), form=changed
            )


def _table_sites(truth: Truth, generator: np.random.Generator) -> Iterator[Mutant]:
    """One bit of every entry of every table. Layers of one function share its source: then it is the first one's fault,
    and only entries that it can look up are changed.
    """
    path = "firmware/nnet_utils/nnet_activation.h"
    text = (truth.project.folder / path).read_text(encoding="utf-8")
    tables = [
        (step, given)
        for step, given in zip(truth.circuit.steps, truth.circuit.bounds(), strict=False)
        if isinstance(step, Table)
    ]
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
            yield Mutant(Kind.TABLE, step.layer, path, what, place[1], after, place.start(1), (entry,))


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


# ---------------------------------------------------------------------------------------------------------------- judging

_SWITCH_CPP = """// Written by jetgate, in copies that are tested with faults alone.
#ifndef JETGATE_MUTANT_H_
#define JETGATE_MUTANT_H_
#include <cstdlib>
static const int jetgate_mutant = std::getenv("JETGATE_MUTANT") ? std::atoi(std::getenv("JETGATE_MUTANT")) : 0;
#define JETGATE_MUTANT(number, good, bad) (jetgate_mutant == number ? bad : good)
#endif
"""
_SWITCH_VERILOG = """
    reg [31:0] jetgate_mutant;
    initial if (!$value$plusargs("mutant=%d", jetgate_mutant)) jetgate_mutant = 0;
"""


class _Trial:
    """Mutants of one project against one set of vectors."""

    def __init__(self, truth: Truth, seed: int, threads: int, locate: bool) -> None:
        self.truth, self.threads, self.locate = truth, threads, locate
        self.project, self.seed, self.accumulators = truth.project, seed, truth.project.accumulators()
        groups = emulation_groups(self.project, truth.circuit, RANDOM_VECTORS, seed)
        # Random events first: a few of them find nearly everything.
        self.groups = [one for one in groups[::-1] if one.name != "ties"]
        self.expected = [truth.codes(group) for group in self.groups]

    def judge(self, mutants: list[Mutant], folder: Path) -> Iterator[Outcome]:
        """What becomes of each."""
        numbered = list(enumerate(mutants, 1))
        yield from self._switched([one for one in numbered if one[1].kind in SWITCHED], folder / "switched")
        yield from self._types([one[1] for one in numbered if one[1].kind in TYPES], folder)
        yield from self._verilog([one for one in numbered if one[1].kind is Kind.VERILOG], folder / "verilog")
        for number, mutant in numbered:
            if mutant.kind is Kind.VECTORS:
                yield self._vector_file(mutant, folder / f"vectors{number}")

    def _switched(self, mutants: list[tuple[int, Mutant]], folder: Path) -> Iterator[Outcome]:
        """Faults in numbers, all in one library that is loaded once for each."""
        if not mutants:
            return
        copy = _copy(self.project, folder)
        (copy.folder / "jetgate_mutant.h").write_text(_SWITCH_CPP, encoding="utf-8")
        _edit(copy.folder, mutants, '#include "jetgate_mutant.h"\n')
        library = self._build(copy)
        self._require_agreement(_loaded(library, 0), copy)
        for number, mutant in mutants:
            yield self._judged(mutant, copy, _loaded(library, number))

    def _types(self, mutants: list[Mutant], folder: Path) -> Iterator[Outcome]:
        """Faults in types, each compiled by itself, two at a time."""

        def build(numbered: tuple[int, Mutant]) -> tuple[FirmwareProject, Path | None]:
            copy = _copy(self.project, folder / f"type{numbered[0]}")
            _edit(copy.folder, [numbered], "")
            try:
                return copy, self._build(copy)
            except ToolError:
                return copy, None

        with ThreadPoolExecutor(2) as pool:
            for mutant, (copy, library) in zip(mutants, pool.map(build, enumerate(mutants)), strict=True):
                if library is None:
                    yield Outcome(mutant, Fate.CAUGHT, "the compiler", mutant.layer if self.locate else None)
                else:
                    yield self._judged(mutant, copy, cpp.load(library))
                shutil.rmtree(copy.folder)

    def _build(self, copy: FirmwareProject) -> Path:
        """A library that can be traced where layers are to be named."""
        return cpp.build_traced(copy) if self.locate else cpp.build(copy)

    def _judged(self, mutant: Mutant, copy: FirmwareProject, library: Any) -> Outcome:
        run = partial(cpp.run_library, library, copy, threads=self.threads)
        return self._outcome(mutant, run, partial(self._named, copy, library) if self.locate else None)

    def _verilog(self, mutants: list[tuple[int, Mutant]], folder: Path) -> Iterator[Outcome]:
        """Faults in lines of Verilog, all in one simulation that is started once for each."""
        if not mutants:
            return
        copy = _copy(self.project, folder)
        _edit(copy.folder, mutants, "")
        for path in {mutant.path for _, mutant in mutants}:
            text = (copy.folder / path).read_text(encoding="utf-8")
            (copy.folder / path).write_text(text.replace(");\n", f");\n{_SWITCH_VERILOG}", 1), encoding="utf-8")
        sound = self._differs(partial(rtl.run, copy, threads=self.threads))
        if sound is not None:
            raise InputError(f"{self.project.folder}: the Verilog differs without any fault; emulate it first")
        for number, mutant in mutants:
            switch = f"+mutant={number}"
            run = partial(rtl.run, copy, threads=self.threads, argument=switch)
            yield self._outcome(mutant, run, partial(self._named_in_verilog, copy, switch) if self.locate else None)

    def _vector_file(self, mutant: Mutant, folder: Path) -> Outcome:
        copy = _copy(self.project, folder)
        path = copy.folder / mutant.path
        if mutant.index:
            codes = np.array(self.project.physics_codes())
            codes[mutant.index] ^= 1
            np.savez_compressed(path, codes=codes)
        elif mutant.before:
            path.write_bytes(path.read_bytes()[:-100])
        else:
            path.unlink()
        try:
            FirmwareProject.load(copy.folder).physics_codes()
        except InputError:
            return Outcome(mutant, Fate.CAUGHT, "the seal of the vectors", divergence.INPUT)
        return Outcome(mutant, Fate.SURVIVED, "the vectors were read")

    def _differs(self, run: Callable[[Codes], Codes]) -> str | None:
        """Which vectors an engine differs on."""
        for some in (slice(0, _FIRST), slice(_FIRST, None)):
            for group, expected in zip(self.groups, self.expected, strict=True):
                if len(group.codes[some]) and not np.array_equal(run(group.codes[some]), expected[some]):
                    return group.name
        return None

    def _outcome(
        self, mutant: Mutant, run: Callable[[Codes], Codes], locate: Callable[[], str | None] | None
    ) -> Outcome:
        """Caught, proven to change nothing, or neither, after more events were tried."""
        reason = self._differs(run)
        if reason is None:
            proof = equivalent(self.truth.circuit, mutant, self.accumulators)
            if proof is not None:
                return Outcome(mutant, Fate.EQUIVALENT, proof)
            codes, expected = self._more
            reason = None if np.array_equal(run(codes), expected) else f"{len(codes):,} more random"
        if reason is None:
            return Outcome(mutant, Fate.SURVIVED, "no vector tells it apart and nothing proves that none can")
        return Outcome(mutant, Fate.CAUGHT, f"{reason} vectors", locate() if locate is not None else None)

    @cached_property
    def _more(self) -> tuple[Codes, Codes]:
        more = vectors.random(self.project.contract, MORE_VECTORS, self.seed + 1000)
        return more.codes, self.truth.codes(more)

    def _require_agreement(self, library: Any, copy: FirmwareProject) -> None:
        if self._differs(partial(cpp.run_library, library, copy, threads=self.threads)) is not None:
            raise InputError(f"{self.project.folder}: the C++ differs without any fault; emulate it first")

    def _named(self, copy: FirmwareProject, library: Any) -> str | None:
        """The layer that the divergence report names."""
        found = cpp.layers(copy)[0]
        for group in self.groups:
            some = group.codes[:_FIRST]
            taps = taps_of(self.truth.circuit, cpp.trace_library(library.jetgate_trace, found, some))
            first = divergence.first_difference("cpp", group.name, self.truth.circuit, some, taps, causes=False)
            if first is not None:
                return first.layer
        return None

    def _named_in_verilog(self, copy: FirmwareProject, switch: str) -> str | None:
        at = replace(self.truth, project=copy)
        for group, expected in zip(self.groups, self.expected, strict=True):
            wrong = np.flatnonzero((rtl.run(copy, group.codes, self.threads, switch) != expected).any(axis=1))
            if len(wrong):
                first = rtl_divergence(at, group.name, group.codes[wrong[0]], switch)
                return None if first is None else first.layer
        return None


def _copy(project: FirmwareProject, folder: Path) -> FirmwareProject:
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("build"))
    return FirmwareProject(folder, project.manifest, project.contract, project.target)


def _edit(folder: Path, mutants: list[tuple[int, Mutant]], head: str) -> None:
    """Put mutants into a copy, from the end of each file to its beginning so that places stay where they are."""
    for path in {mutant.path for _, mutant in mutants}:
        text = (folder / path).read_text(encoding="utf-8")
        mine = sorted((one for one in mutants if one[1].path == path), key=lambda one: -one[1].at)
        for number, mutant in mine:
            # Several faults of a table are put in at one place: what each puts there begins with what was there.
            assert text.startswith(mutant.before, mutant.at)
            after = mutant.after.replace("@", str(number))
            text = text[: mutant.at] + after + text[mutant.at + len(mutant.before) :]
        (folder / path).write_text(head + text, encoding="utf-8")


def _loaded(library: Path, number: int) -> Any:
    """A fresh instance of a library, with one of its faults switched on."""
    own = library.with_name(f"{library.stem}-{number}.so")
    shutil.copy(library, own)
    os.environ["JETGATE_MUTANT"] = str(number)
    try:
        return cpp.load(own)
    finally:
        del os.environ["JETGATE_MUTANT"]


def _table_truth(project: FirmwareProject, folder: Path) -> Truth:
    """A small project with a table in it, for the same target."""
    wire = FixedPoint.parse("ap_fixed<10,4>")
    contract = InputSpec(inputs=tuple(Input(name=f"x{k}", format=wire) for k in range(4)), outputs=("a", "b"))
    types = DeclaredTypes.model_validate({"default": "ap_fixed<16,6>"})
    target = project.target.model_copy(
        update={"backend": project.target.backend.model_copy(update={"types": types, "layers": {}})}
    )
    return Truth.of(convert(keras_layers.table_network(), contract, target, "table", folder))


# ------------------------------------------------------------------------------------------------------------------ proofs


def equivalent(circuit: Circuit, mutant: Mutant, accumulators: Mapping[str, FixedPoint]) -> str | None:
    """Why a mutant changes nothing, or `None` where that cannot be proven.

    Args:
        circuit: The network without the fault.
        mutant: The fault.
        accumulators: Declared type of each layer's accumulator.
    """
    bounds = circuit.bounds()
    number = next((k for k, step in enumerate(circuit.steps) if step.layer == mutant.layer), None)
    if number is None:
        return None
    step = circuit.steps[number]
    if mutant.kind in TYPES:
        at = next((k for k, one in enumerate(circuit.steps[number:], number) if isinstance(one, Cast)), None)
        return None if at is None else _same_cast(circuit, at, bounds[at], mutant)
    match step:
        case Dense() if mutant.kind in (Kind.WEIGHT, Kind.BIAS):
            return _dead_sum(circuit, number, bounds[number], mutant, accumulators.get(step.layer))
        case Table() if mutant.kind is Kind.TABLE:
            first, last = step.index(bounds[number].low).min(), step.index(bounds[number].high).max()
            entry = mutant.index[0]
            return None if first <= entry <= last else f"entry {entry} is never looked up: only {first} to {last} are"
        case _:
            return None


def _dead_sum(
    circuit: Circuit, number: int, given: Bounds, mutant: Mutant, accumulator: FixedPoint | None
) -> str | None:
    """A weight of an input that is always 0, or of a neuron that nothing reads or whose casts give one code whatever comes."""
    step, channel = circuit.steps[number], mutant.index[-1]
    assert isinstance(step, Dense)
    if (
        mutant.kind is Kind.WEIGHT
        and given.low[..., mutant.index[0]].min() == 0 == given.high[..., mutant.index[0]].max()
    ):
        return f"input {mutant.index[0]} of the layer is always 0"
    casts = list(takewhile(lambda one: isinstance(one, Cast), circuit.steps[number + 1 :]))
    after = circuit.steps[number + 1 + len(casts) :][:1]
    if after and isinstance(after[0], Dense) and not after[0].kernel[channel].any():
        return f"nothing reads neuron {channel}"
    changed = _with_fault(circuit, number, mutant)
    if not casts or changed is None or accumulator is None:
        return None
    sums = changed.bounds(given)
    finer = max(accumulator.fraction - changed.fraction, 0)
    if accumulator.fraction < changed.fraction or (sums.low << finer).min() < accumulator.min_code:
        return None  # the declared accumulator does not hold the sums with the fault
    if (sums.high << finer).max() > accumulator.max_code:
        return None
    ends = []
    for one in (step, changed):
        reach = one.bounds(given)
        for cast in casts:
            reach = cast.bounds(reach)
        ends.append((int(reach.low[..., channel].min()), int(reach.high[..., channel].max())))
    if ends[0] == ends[1] and ends[0][0] == ends[0][1]:
        return f"neuron {channel} gives {ends[0][0]} whatever comes, with the fault and without"
    return None


def _with_fault(circuit: Circuit, number: int, mutant: Mutant) -> Dense | None:
    """The sums with the fault, where it is a whole number of their steps."""
    step = circuit.steps[number]
    assert isinstance(step, Dense)
    assert mutant.form is not None
    before = circuit.steps[number - 1].fraction if number else circuit.wire.fraction
    change = mutant.change * 2.0 ** (
        step.fraction - mutant.form.fraction - (before if mutant.kind is Kind.WEIGHT else 0)
    )
    if not change.is_integer():
        return None
    kernel, bias = step.kernel.copy(), step.bias.copy()
    if mutant.kind is Kind.BIAS:
        bias[mutant.index[-1]] += int(change)
    else:
        kernel[mutant.index] += int(change)
    return replace(step, kernel=kernel, bias=bias)


def _same_cast(circuit: Circuit, at: int, reach: Bounds, mutant: Mutant) -> str | None:
    """All codes that can come, enumerated; sums are multiples of what their weights have in common, off the bias."""
    cast, before = circuit.steps[at], circuit.steps[at - 1] if at else None
    assert isinstance(cast, Cast)
    assert mutant.form is not None
    changed = replace(cast, form=mutant.form)
    if changed.form.fraction != cast.form.fraction:
        return None
    low, high = int(reach.low.min()), int(reach.high.max())
    if high - low < _ENUMERATED and _cast_alike(cast, changed, np.arange(low, high + 1, dtype=np.int64)):
        return f"all {high - low + 1:,} codes that can come were cast both ways"
    if not isinstance(before, Dense):
        return None
    total = 0
    for channel in range(reach.low.shape[-1]):
        common, offset = max(1, int(np.gcd.reduce(np.abs(before.kernel[:, channel])))), int(before.bias[channel])
        low, high = int(reach.low[..., channel].min()), int(reach.high[..., channel].max())
        total += (high - low) // common + 1
        if total > _ENUMERATED:
            return None
        codes = np.arange(-((offset - low) // common), (high - offset) // common + 1, dtype=np.int64) * common + offset
        if not _cast_alike(cast, changed, codes):
            return None
    return f"all {total:,} sums that can come were cast both ways"


def _cast_alike(one: Cast, other: Cast, codes: Codes) -> bool:
    block = 1 << 20
    return all(
        np.array_equal(one(codes[k : k + block]), other(codes[k : k + block])) for k in range(0, len(codes), block)
    )
