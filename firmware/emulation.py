"""The proof: integer codes of every engine, compared with the reference one by one. One difference fails.

The reference is the quantised network in float64. A network with declared types has no such reference; there the circuit that
the types make, walked in int64, is the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firmware import divergence, overflow, vectors
from firmware.backends import keras_layers, qkeras_layers
from firmware.circuit import Circuit
from firmware.divergence import Divergence, Tap
from firmware.engines import cpp, integer, rtl
from firmware.engines import keras as reference
from firmware.project import FirmwareProject
from firmware.vectors import Vectors
from trigger.errors import InputError
from trigger.files import read_json, write_json
from trigger.fixed_point import Codes, Values
from trigger.verdict import Requirement, Verdict, at_most, not_measured

if TYPE_CHECKING:
    import keras

RANDOM_VECTORS = 100_000
TIE_VECTORS = 10_000
POOL = 20_000
"""Events that saturation points are chosen from."""
REQUIRED_RANDOM_CODES = 65_536
TRACED_EVENTS = 2000
TRACED_WIRES = 4
"""Events for which every wire of the Verilog is compared."""
COUNTED_EVENTS = 100_000
"""Events of each kind that overflows are counted on."""
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
        divergences: For each engine that differs, where it first does.
        nodes: Every accumulator and cast, and what is known of its overflow.
        proofs: What carries each sum of the integer engine.
        timing: What the simulation showed of the Verilog's pipeline.
        clock_ns: Clock period of the target.
        overflow: What is known of the accumulators' overflow.
        absent: Engines that the project does not have, and why.
        physics: Output codes of the firmware on the physics events, shape `(events, outputs)`.
    """

    project: str
    inputs: int
    sources_digest: str
    edited: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    divergences: tuple[dict[str, Any], ...] = ()
    nodes: tuple[dict[str, Any], ...] = ()
    proofs: dict[str, str] = field(default_factory=dict)
    timing: rtl.Timing | None = None
    clock_ns: float = 0.0
    overflow: Requirement | None = None
    absent: dict[str, str] = field(default_factory=dict)
    physics: Codes | None = field(repr=False, default=None)

    @property
    def agrees(self) -> bool:
        """Whether no code differs."""
        return not any(one.differing_codes for one in self.agreements)

    def requirements(self) -> tuple[Requirement, ...]:
        """No code of any engine differs, the Verilog's latency is the declared one, no accumulator overflowed."""
        found = [self._bits(engine) for engine in dict.fromkeys(one.engine for one in self.agreements)]
        found += [
            not_measured(f"bits:{engine}", "<= 0", required=False, note=reason)
            for engine, reason in self.absent.items()
        ]
        if self.timing is not None:
            found.append(self.timing.requirement(self.clock_ns))
        if self.overflow is not None:
            found.append(self.overflow)
        return tuple(found)

    def _bits(self, engine: str) -> Requirement:
        mine = [one for one in self.agreements if one.engine == engine]
        kinds = ", ".join(f"{one.vectors} {one.events:,}" for one in mine)
        note = f"{sum(one.codes for one in mine):,} codes of {sum(one.events for one in mine):,} events ({kinds})"
        parting = next((one for one in self.divergences if one["engine"] == engine), None)
        first = next((one for one in mine if one.first), None)
        if first is not None and first.first is not None:
            d = first.first
            note += (f"; first difference in {first.vectors} event {d.event}, output {d.output!r}: "
                     f"{d.found} instead of {d.expected}")  # fmt: skip
        if parting is not None:
            note += f"; {parting['sentence']}"
        edited = [path for path in self.edited if path.startswith("rtl/") == (engine == "rtl")]
        if edited and engine != "integer":
            note += f"; edited after conversion: {', '.join(edited[:3])}"
        drawn = sum(one.events for one in mine if one.vectors == "random") * self.inputs
        differing = sum(one.differing_codes for one in mine)
        if drawn < REQUIRED_RANDOM_CODES and differing == 0:
            note = f"only {drawn:,} random input codes were compared, {REQUIRED_RANDOM_CODES:,} are needed; {note}"
            return not_measured(f"bits:{engine}", "<= 0", required=True, note=note)
        return at_most(f"bits:{engine}", differing, 0, note=note)

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
            "divergences": list(self.divergences),
            "overflow": list(self.nodes),
            "overflow_requirement": None if self.overflow is None else self.overflow.model_dump(mode="json"),
            "integer_proofs": self.proofs,
            "rtl_timing": None if self.timing is None else vars(self.timing),
            "clock_ns": self.clock_ns,
            "absent": self.absent,
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
        timing, overflowed = content["rtl_timing"], content["overflow_requirement"]
        return cls(
            project=content["project"], inputs=content["inputs"], sources_digest=content["sources_digest"],
            edited=tuple(content["edited"]), agreements=agreements, divergences=tuple(content["divergences"]),
            nodes=tuple(content["overflow"]), proofs=content["integer_proofs"],
            timing=None if timing is None else rtl.Timing(**timing), clock_ns=content["clock_ns"],
            overflow=None if overflowed is None else Requirement(**overflowed), absent=content["absent"], physics=physics,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Truth:
    """What every engine is held to.

    Attributes:
        project: The firmware.
        circuit: Our own reading of the network.
        model: The network itself; `None` for one with declared types, whose truth is the circuit.
    """

    project: FirmwareProject
    circuit: Circuit
    model: keras.Model | None

    @classmethod
    def of(cls, project: FirmwareProject) -> Truth:
        """Read the network of a project."""
        model = reference.load_reference(project)
        wire, types = project.contract.common_format, project.target.backend.types
        if types is not None:
            return cls(project, keras_layers.circuit(model, wire, types), None)
        return cls(project, qkeras_layers.circuit(model, wire), model)

    def codes(self, group: Vectors) -> Codes:
        """The expected output codes, shape `(events, outputs)`."""
        if self.model is not None:
            return reference.run(self.project, self.model, group.values)
        return self.circuit.to_port(self.circuit(group.codes), self.project.manifest.outputs.fixed_point)


def engines_of(project: FirmwareProject) -> tuple[str, ...]:
    """The engines that a project has besides its reference."""
    declared = project.target.backend.types is not None  # then the walk in integers is the reference
    return (*(() if declared else ("integer",)), "cpp", *(("rtl",) if project.manifest.rtl is not None else ()))


def absent_engines(project: FirmwareProject) -> dict[str, str]:
    """The engines that a project does not have, and why."""
    reason = project.target.backend.without_verilog
    return {} if project.manifest.rtl is not None or reason is None else {"rtl": reason}


def emulate(
    project: FirmwareProject, *, engines: tuple[str, ...] | None = None, random_vectors: int = RANDOM_VECTORS, seed: int = 1,
    threads: int = 1, trace: bool = False, progress: Progress | None = None,
) -> EmulationResult:  # fmt: skip
    """Compare every engine with the reference on physics, boundary, saturation, tie and random vectors.

    Args:
        project: The firmware.
        engines: Of `integer`, `cpp`, `rtl`; all that the project has by default.
        random_vectors: How many random vectors.
        seed: Of the random vectors.
        threads: Threads of each engine.
        trace: Compare every layer as well, of every engine.
        progress: Told of every kind of vectors that is done.

    Raises:
        InputError: The vectors test nothing, or the project has no such engine.
        ToolError: An engine cannot be built.
    """
    before = project.digest()
    truth = Truth.of(project)
    runs = built_engines(project, engines, threads, truth.circuit)
    groups = emulation_groups(project, truth.circuit, random_vectors, seed)
    nodes = overflow.analyse(truth.circuit, {} if truth.model is None else project.accumulators())
    agreements: list[Agreement] = []
    divergences: dict[str, Divergence] = {}
    physics: Codes | None = None
    for number, group in enumerate(groups, 1):
        expected = truth.codes(group)
        vectors.require_test(group, expected, project.manifest.outputs.fixed_point)
        for name, run in runs.items():
            found = run(group.codes)
            agreements.append(_compare(name, group, expected, found, project))
            if agreements[-1].differing_codes and name not in divergences:
                events = np.flatnonzero((found != expected).any(axis=1))
                divergences |= _locate(truth, name, group, events)
            if group.name == "physics" and name == "cpp":
                physics = found
        nodes = overflow.count(truth.circuit, nodes, group.codes[:COUNTED_EVENTS])
        if progress is not None:
            progress("kinds of vectors", number, len(groups))
    if trace:
        layers, more = _trace_all(truth, tuple(runs), groups[0])
        agreements += layers
        divergences = more | divergences
    timing = rtl.measure(project, truth.circuit) if "rtl" in runs else None
    if project.digest() != before:
        raise InputError(f"{project.folder}: the sources changed while they were compared")
    return EmulationResult(
        project=project.folder.name, inputs=len(project.contract.inputs), sources_digest=before,
        edited=tuple(project.edited()), agreements=tuple(agreements),
        divergences=tuple({**one.summary(), "sentence": one.sentence()} for one in divergences.values()),
        nodes=tuple(node.summary() for node in nodes),
        proofs={layer: str(proof) for layer, proof in integer.sums(truth.circuit).items()},
        timing=timing, clock_ns=project.target.clock_ns, overflow=overflow.requirement(nodes), absent=absent_engines(project),
        physics=physics,
    )  # fmt: skip


def require_engines(project: FirmwareProject, names: tuple[str, ...]) -> None:
    """Refuse the name of an engine that a project does not have."""
    there = engines_of(project)
    if len(set(names)) < len(names):
        raise InputError(f"an engine is named twice in {', '.join(names)}: that compares nothing")
    for name in names:
        if name not in there:
            raise InputError(f"{project.folder}: there is no engine {name!r} for it; there are {', '.join(there)}")


def built_engines(
    project: FirmwareProject, wanted: tuple[str, ...] | None, threads: int, circuit: Circuit | None = None
) -> dict[str, Callable[[Codes], Codes]]:
    """Build engines, those that are compiled side by side.

    Args:
        project: The firmware.
        wanted: Their names; all that there are where it is `None`.
        threads: Threads of each.
        circuit: The network, where it has been read already.

    Raises:
        InputError: The project has no such engine.
        ToolError: One cannot be built.
    """
    names = engines_of(project) if wanted is None else wanted
    require_engines(project, names)
    runs: dict[str, Callable[[Codes], Codes]] = {}
    with ThreadPoolExecutor(2) as pool:
        builders = {"rtl": rtl.build, "cpp": cpp.build}
        compiled = {name: pool.submit(build, project) for name, build in builders.items() if name in names}
        if "integer" in names:
            walk = integer.build(circuit or Truth.of(project).circuit)
            runs["integer"] = lambda codes: integer.run(project, walk, codes, threads)
        libraries = {name: one.result() for name, one in compiled.items()}
    for name, engine in (("cpp", cpp), ("rtl", rtl)):
        if name in names:  # the library that was built now, whatever becomes of the sources meanwhile
            runs[name] = partial(engine.run_library, cpp.load(libraries[name]), project, threads=threads)
    return runs


def emulation_groups(project: FirmwareProject, circuit: Circuit, random_vectors: int, seed: int) -> list[Vectors]:
    """Everything that engines are compared on."""
    physics = project.physics_codes()
    random = vectors.random(project.contract, random_vectors, seed)
    pool = vectors.random(project.contract, POOL, seed + 1).codes
    return [
        *([vectors.from_codes("physics", physics, project.contract)] if physics is not None else []),
        vectors.boundary(project.contract, seed),
        vectors.saturation(
            circuit, project.contract, pool if physics is None else np.concatenate([physics[:POOL], pool])
        ),
        # The values of ties are rounded by the network's own cast, which a network with declared types does not have.
        *([vectors.ties(project.contract, TIE_VECTORS, seed)] if project.target.backend.types is None else []),
        random,
    ]


def _locate(truth: Truth, engine: str, group: Vectors, events: Codes) -> dict[str, Divergence]:
    """Where an engine first parts from the network, looked for in events in which it does."""
    rest = np.arange(min(len(group.codes), TRACED_EVENTS // 2))  # a cause must explain what agrees, too
    chosen = np.concatenate([events[: TRACED_EVENTS // 2], rest])
    some = group.codes[chosen]
    if engine == "rtl":
        found = rtl_divergence(truth, group.name, some[0])
    else:
        found, _ = _layer_by_layer(truth, engine, group.name, some, group.values[chosen])
    return {} if found is None else {engine: replace(found, event=int(chosen[found.event]))}


def _layer_by_layer(
    truth: Truth, engine: str, name: str, codes: Codes, values: Values
) -> tuple[Divergence | None, int]:
    """The first difference in the layers of the C++, or of the walk in integers, and how many codes were compared."""
    if engine == "cpp":
        taps = cpp_taps(truth, codes)
        return divergence.first_difference(engine, name, truth.circuit, codes, taps), sum(
            tap.codes.size for tap in taps
        )
    # The walk's layers are the circuit's own, and the reference's are what they are held to: the sides are exchanged.
    taps = reference_taps(truth, values)
    found = divergence.first_difference(engine, name, truth.circuit, codes, taps)
    if found is not None:
        steps = {-step: count for step, count in found.histogram.items()}
        found = replace(found, expected=found.found, found=found.expected, histogram=steps)
    return found, sum(tap.codes.size for tap in taps)


def cpp_taps(truth: Truth, codes: Codes) -> list[Tap]:
    """Codes of every layer of the compiled C++."""
    return taps_of(truth.circuit, cpp.trace(truth.project, codes))


def taps_of(circuit: Circuit, traced: list[tuple[cpp.Layer, Codes]]) -> list[Tap]:
    """Layers of the C++ and what they are in the network: one may be a layer and the casts after it."""
    last = {step.layer: number for number, step in enumerate(circuit.steps)}
    own = {layer.name for layer, _ in traced}
    taps = []
    for layer, found in traced:
        if layer.name not in last:
            raise InputError(f"the C++ has a layer {layer.name!r} that the network has not")
        names = [circuit.steps[number].layer for number in circuit.following(last[layer.name])]
        merged = list(takewhile(lambda name: name not in own, names))
        taps.append(Tap(layer.name, (merged or [layer.name])[-1], layer.form.fraction, found))
    return taps


def reference_taps(truth: Truth, values: Values) -> list[Tap]:
    """Codes of every layer of the network in float64."""
    assert truth.model is not None
    points = {step.layer: step.fraction for step in truth.circuit.steps}
    outputs = reference.layer_outputs(truth.project, truth.model, values)
    return [
        Tap(name, name, points[name], np.ldexp(out.reshape(len(out), -1), points[name]).astype(np.int64))
        for name, out in outputs
        if name in points
    ]


def rtl_divergence(truth: Truth, name: str, codes: Codes, argument: str | None = None) -> Divergence | None:
    """The first wire of the Verilog that does not carry what its program says, for one event."""
    wrong = rtl.first_wrong(truth.project, truth.circuit, codes, argument)
    if wrong is None:
        return None
    return Divergence(
        "rtl", name, wrong.layer, 0, wrong.index, wrong.expected, wrong.found, 1, 1, {wrong.found - wrong.expected: 1},
        (f"signal {wrong.signal} of pipeline stage {wrong.stage}: the first wire that is not what the program says",),
    )  # fmt: skip


def _trace_all(truth: Truth, engines: tuple[str, ...], group: Vectors) -> tuple[list[Agreement], dict[str, Divergence]]:
    """Every layer of every engine on the first events of a group."""
    agreements: list[Agreement] = []
    divergences: dict[str, Divergence] = {}
    some = group.codes[:TRACED_EVENTS]
    for engine in engines:
        if engine == "rtl":
            wrong = [rtl_divergence(truth, group.name, codes) for codes in some[:TRACED_WIRES]]
            first = next((one for one in wrong if one is not None), None)
            wires = rtl.wires(truth.project) * len(wrong)
            differing = sum(one is not None for one in wrong)
            agreements.append(Agreement(engine, "wires of traced", len(wrong), wires, differing, differing, None))
        else:
            first, size = _layer_by_layer(truth, engine, group.name, some, group.values[:TRACED_EVENTS])
            differing = 0 if first is None else first.differing
            agreements.append(
                Agreement(engine, "layers of traced", len(some), size, differing, int(differing > 0), None)
            )
        if first is not None:
            divergences[engine] = first
    return agreements, divergences


def _compare(engine: str, group: Vectors, expected: Codes, found: Codes, project: FirmwareProject) -> Agreement:
    wrong = expected != found
    first = None
    if wrong.any():
        event, output = (int(index) for index in np.argwhere(wrong)[0])
        name = project.manifest.outputs.elements[output]
        first = Difference(event, name, int(expected[event, output]), int(found[event, output]))
    events = int(wrong.any(axis=1).sum())
    return Agreement(engine, group.name, len(expected), expected.size, int(wrong.sum()), events, first)
