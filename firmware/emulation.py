"""The proof: integer codes of the reference and of the firmware, compared one by one. One difference fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from firmware import vectors
from firmware.backends import qkeras_layers
from firmware.engines import cpp, integer
from firmware.engines import keras as reference
from firmware.project import FirmwareProject
from firmware.vectors import Vectors
from trigger.errors import InputError
from trigger.files import read_json, write_json
from trigger.fixed_point import Codes
from trigger.verdict import Requirement, Verdict, at_most, not_measured

RANDOM_VECTORS = 100_000
TIE_VECTORS = 10_000
REQUIRED_RANDOM_CODES = 65_536
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Difference:
    """The first event in which an engine differs.

    Attributes:
        event: Index within its vectors.
        output: Name of the first output that differs.
        expected: Code of the reference.
        found: Code of the engine.
    """

    event: int
    output: str
    expected: int
    found: int


@dataclass(frozen=True)
class Agreement:
    """What the comparison of one engine on one kind of vectors gave.

    Attributes:
        engine: Which engine.
        vectors: Which vectors.
        events: Events compared.
        codes: Output codes compared.
        differing_codes: Output codes that differ.
        differing_events: Events with at least one.
        first: The first difference.
    """

    engine: str
    vectors: str
    events: int
    codes: int
    differing_codes: int
    differing_events: int
    first: Difference | None


@dataclass(frozen=True)
class EmulationResult:
    """The whole comparison.

    Attributes:
        project: Name of the project's folder.
        inputs: Number of inputs of an event.
        sources_digest: Digest of the project as it was compared.
        edited: Sources that are not what the conversion wrote.
        agreements: Each engine on each kind of vectors.
        physics: Output codes of the firmware on the physics events, shape `(events, outputs)`.
    """

    project: str
    inputs: int
    sources_digest: str
    edited: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    physics: Codes | None = field(repr=False, default=None)

    def requirements(self) -> tuple[Requirement, ...]:
        """One requirement an engine: no code differs."""
        found = []
        for engine in dict.fromkeys(one.engine for one in self.agreements):
            mine = [one for one in self.agreements if one.engine == engine]
            note = "; ".join(f"{one.codes:,} codes of {one.events:,} {one.vectors} events" for one in mine)
            first = next((one for one in mine if one.first), None)
            if first is not None and first.first is not None:
                d = first.first
                note += (f"; first difference in {first.vectors} event {d.event}, output {d.output!r}: "
                         f"{d.found} instead of {d.expected}")  # fmt: skip
            if self.edited:
                note += f"; edited after conversion: {', '.join(self.edited[:3])}"
            drawn = sum(one.events for one in mine if one.vectors == "random") * self.inputs
            differing = sum(one.differing_codes for one in mine)
            if drawn < REQUIRED_RANDOM_CODES and differing == 0:
                note = f"only {drawn:,} random input codes were compared, {REQUIRED_RANDOM_CODES:,} are needed; {note}"
                found.append(not_measured(f"bits:{engine}", "<= 0", required=True, note=note))
            else:
                found.append(at_most(f"bits:{engine}", differing, 0, note=note))
        return tuple(found)

    def verdict(self) -> Verdict:
        """The verdict over the bits alone."""
        return Verdict(requirements=self.requirements())

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "project": self.project,
            "inputs": self.inputs,
            "sources_digest": self.sources_digest,
            "edited": list(self.edited),
            "codes_compared": sum(one.codes for one in self.agreements),
            "differing_codes": sum(one.differing_codes for one in self.agreements),
            "agreements": [
                {**vars(one), "first": vars(one.first) if one.first is not None else None} for one in self.agreements
            ],
        }

    def save(self, path: Path) -> None:
        """Write the summary as JSON."""
        write_json(path, self.summary())

    @classmethod
    def load(cls, path: Path, physics: Codes | None = None) -> EmulationResult:
        """Read what `save` wrote; the physics codes are kept apart."""
        content = read_json(path)
        agreements = tuple(
            Agreement(**{**one, "first": Difference(**one["first"]) if one["first"] else None})
            for one in content["agreements"]
        )
        return cls(
            content["project"],
            content["inputs"],
            content["sources_digest"],
            tuple(content["edited"]),
            agreements,
            physics,
        )


def emulate(
    project: FirmwareProject, *, random_vectors: int = RANDOM_VECTORS, seed: int = 1, threads: int = 1,
    progress: Progress | None = None,
) -> EmulationResult:  # fmt: skip
    """Compare every engine with the reference on physics, boundary, tie and random vectors.

    Args:
        project: The firmware.
        random_vectors: How many random vectors.
        seed: Of the random vectors.
        threads: Threads of the compiled engine.
        progress: Told of every kind of vectors that is done.

    Raises:
        InputError: The vectors test nothing: every event has the same outputs.
        ToolError: An engine cannot be built.
    """
    before = project.digest()
    model = reference.load_reference(project)
    walk = integer.build(qkeras_layers.circuit(model, project.contract.common_format))
    physics = project.physics_codes()
    groups = [
        *([vectors.from_codes("physics", physics, project.contract)] if physics is not None else []),
        vectors.boundary(project.contract, seed),
        vectors.ties(project.contract, TIE_VECTORS, seed),
        vectors.random(project.contract, random_vectors, seed),
    ]
    agreements: list[Agreement] = []
    physics_out: Codes | None = None
    distinct: set[bytes] = set()
    for number, group in enumerate(groups, 1):
        expected = reference.run(project, model, group.values)
        distinct.update(map(bytes, np.unique(expected, axis=0)[:3]))
        agreements.append(_compare("integer", group, expected, integer.run(project, walk, group.codes), project))
        found = cpp.run(project, group.codes, threads)
        agreements.append(_compare("cpp", group, expected, found, project))
        if group.name == "physics":
            physics_out = found
        if progress is not None:
            progress("kinds of vectors", number, len(groups))
    if len(distinct) < 2 and not any(one.differing_codes for one in agreements):
        raise InputError("these vectors test nothing: the reference gives the same outputs for every event")
    if project.digest() != before:
        raise InputError(f"{project.folder}: the sources changed while they were compared")
    return EmulationResult(
        project.folder.name,
        len(project.contract.inputs),
        before,
        tuple(project.edited()),
        tuple(agreements),
        physics_out,
    )


def _compare(engine: str, group: Vectors, expected: Codes, found: Codes, project: FirmwareProject) -> Agreement:
    wrong = expected != found
    first = None
    if wrong.any():
        event, output = (int(index) for index in np.argwhere(wrong)[0])
        name = project.manifest.outputs.elements[output]
        first = Difference(event, name, int(expected[event, output]), int(found[event, output]))
    events = int(wrong.any(axis=1).sum())
    return Agreement(engine, group.name, len(expected), expected.size, int(wrong.sum()), events, first)
