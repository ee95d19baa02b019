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
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from firmware import divergence, vectors
from firmware.backends import keras_layers
from firmware.emulation import Progress, Truth, emulation_groups, rtl_divergence, taps_of
from firmware.engines import cpp, rtl
from firmware.equivalence import equivalent
from firmware.faults import SWITCHED, TYPES, Kind, Mutant, choose, sites_of
from firmware.project import FirmwareProject, convert
from firmware.target import DeclaredTypes
from trigger.errors import InputError, ToolError
from trigger.files import make_folder
from trigger.fixed_point import Codes, FixedPoint
from trigger.inputs.contract import Input, InputSpec
from trigger.verdict import Requirement, at_least, not_measured

MUTANTS = 24
RANDOM_VECTORS = 20_000
MORE_VECTORS = 300_000
"""Random vectors for mutants that the first ones did not find."""
_FIRST = 2000


class Fate(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    EQUIVALENT = "equivalent"
    SURVIVED = "survived"


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
    sites = {kind: sites_of(kind, truth, generator) for kind in Kind}
    chosen = choose(sites, count, generator)
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
            table = choose({Kind.TABLE: sites_of(Kind.TABLE, other.truth, generator)}, 1, generator)
            told(
                replace(one, network="a small network with a table")
                for one in other.judge(table, Path(folder) / "table")
            )
    return MutationResult(tuple(outcomes))


def _scratch(project: FirmwareProject) -> Path:
    folder = project.folder / "build"
    make_folder(folder)
    return folder


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
        library = cpp.load(rtl.build(copy))
        sound = self._differs(partial(rtl.run_library, library, copy, threads=self.threads))
        if sound is not None:
            raise InputError(f"{self.project.folder}: the Verilog differs without any fault; emulate it first")
        for number, mutant in mutants:
            switch = f"+mutant={number}"
            run = partial(rtl.run_library, library, copy, threads=self.threads, argument=switch)
            yield self._outcome(
                mutant, run, partial(self._named_in_verilog, copy, run, switch) if self.locate else None
            )

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

    def _named_in_verilog(self, copy: FirmwareProject, run: Callable[[Codes], Codes], switch: str) -> str | None:
        at = replace(self.truth, project=copy)
        for group, expected in zip(self.groups, self.expected, strict=True):
            wrong = np.flatnonzero((run(group.codes) != expected).any(axis=1))
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
