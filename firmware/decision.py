"""Accept bits in the firmware: integer thresholds, chosen for rates, as comparisons of the network's outputs.

```
<project>/decision/
  decision.json             the cuts, and the digest of the sources that they were chosen for
  jetgate_decision.h        the comparison as one inline function, and the thresholds by name
  <top>_decision.cpp        a top function with the network's ports and the accept bits
  <top>_decision.v          the same in Verilog, without a clock more: <top>_decide is the comparison alone
```

The folder is not a part of the project's digest: thresholds change with the rates, the network does not.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firmware.backends import decision as backend
from firmware.backends.decision import ACCEPT, FOLDER
from firmware.engines import cpp, rtl
from firmware.engines import decision as engine
from firmware.keywords import CPP, VERILOG
from firmware.project import FirmwareProject
from trigger.digest import SHORT, file_digest
from trigger.errors import InputError, UnsupportedError, nearest
from trigger.files import read_json, replacing, write_json
from trigger.fixed_point import Codes
from trigger.verdict import Requirement, equal_to, not_measured

TRIALS = 256
"""Sets of output codes at each distance from the threshold of each cut."""
RANDOM_TRIALS = 4000
DECISION = "decision.json"
Grid = NDArray[np.int64]


class Cut(BaseModel):
    """One accept bit: whether `code[output]`, less the largest of `against`, reaches the threshold.

    Attributes:
        name: Of the threshold in the sources: letters, digits and `_`.
        output: Element of the output port.
        against: Elements that it is held against; the code alone is judged where there is none.
        threshold: In codes of the output port.
        condition: What else has to hold for the rate that it was chosen for, such as the pT of a jet; said in the sources, and
            not a part of the bit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    output: str
    against: tuple[str, ...] = ()
    threshold: Annotated[int, Field(strict=True)]
    condition: str = Field(default="", pattern=r"^[\w .,%+-]*$")

    def accepts(self, codes: Codes, elements: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which events it accepts, shape `(events,)`.

        Args:
            codes: Output codes, shape `(events, outputs)`.
            elements: Names of the outputs, in order.
        """
        score = codes[:, elements.index(self.output)]
        if self.against:
            score = score - codes[:, [elements.index(name) for name in self.against]].max(axis=1)
        return np.asarray(score >= self.threshold)


class Decision(BaseModel):
    """The accept bits of a project.

    Attributes:
        project: Digest of the project that they were written for.
        cuts: Bit `i` is that of cut `i`.
        files: Digest of every source that was written, by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    cuts: tuple[Cut, ...]
    files: dict[str, str]

    def edited(self, project: FirmwareProject) -> list[str]:
        """Sources of it that are not what was written."""
        folder = project.folder / FOLDER
        return sorted(name for name, written in self.files.items() if file_digest(folder / name) != written)

    def require_current(self, project: FirmwareProject) -> None:
        """Refuse thresholds of another state of the firmware.

        Raises:
            InputError: The project is not the one that it was written for.
        """
        if self.project != (now := project.digest()):
            raise InputError(
                f"{project.folder / FOLDER}: the thresholds were written for other sources of this firmware: their digest was "
                f"{self.project[:SHORT]}, now it is {now[:SHORT]}; choose and write them again"
            )


@dataclass(frozen=True)
class Agreement:
    """What the comparison of one engine's accept bits gave.

    Attributes:
        engine: Which engine: `decision_cpp`, `decision_rtl`.
        cuts: Names of the cuts.
        events: Events that went through the network.
        trials: Sets of output codes that went through the comparison alone.
        bits: Accept bits compared.
        differing: Accept bits that differ, of each cut.
        differing_codes: Output codes beside the bits that are not those of the network by itself.
        accepted: Events that each cut accepts, by the network's own codes.
        first: The first difference, as a sentence; empty where there is none.
    """

    engine: str
    cuts: tuple[str, ...]
    events: int
    trials: int
    bits: int
    differing: tuple[int, ...]
    differing_codes: int
    accepted: tuple[int, ...]
    first: str = ""

    def requirement(self, edited: Sequence[str]) -> Requirement:
        """No accept bit differs, and no output code beside them.

        Args:
            edited: Sources that are not what was written.
        """
        shares = ", ".join(f"{name} {count:,}" for name, count in zip(self.cuts, self.accepted, strict=True))
        note = (
            f"{self.bits:,} accept bits of {self.events:,} events (accepted: {shares}) and of {self.trials:,} sets of output "
            "codes at the thresholds, at the ends and at random"
        )
        if self.first:
            note += f"; {self.first}"
        if self.differing_codes:
            note += f"; {self.differing_codes:,} output codes beside them are not those of the network by itself"
        if edited:
            note += f"; edited after it was written: {', '.join(edited[:3])}"
        return equal_to(f"bits:{self.engine}", sum(self.differing) + self.differing_codes, 0, note=note)


@dataclass(frozen=True)
class DecisionResult:
    """The accept bits of every engine, compared with the comparison in Python.

    Attributes:
        agreements: Of each engine.
        edited: Sources that are not what was written.
        absent: Engines that there are not, and why.
    """

    agreements: tuple[Agreement, ...]
    edited: tuple[str, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether no bit and no code differs."""
        return not any(sum(one.differing) + one.differing_codes for one in self.agreements)

    def requirements(self) -> tuple[Requirement, ...]:
        """One of each engine; of one that there is not, why."""
        return (
            *(one.requirement([name for name in self.edited if name.endswith(".v") == (one.engine == "decision_rtl")])
              for one in self.agreements),
            *(not_measured(f"bits:{name}", "== 0", required=False, note=reason) for name, reason in self.absent.items()),
        )  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "agreements": [vars(one) for one in self.agreements], "edited": list(self.edited), "absent": self.absent,
        }  # fmt: skip


def decision_path(project: Path) -> Path:
    """Where the accept bits of the project in a folder are recorded."""
    return project / FOLDER / DECISION


def write(project: FirmwareProject, cuts: Sequence[Cut]) -> Decision:
    """Write accept bits into a project's folder, in place of those that were there.

    Args:
        project: The firmware.
        cuts: Bit `i` becomes that of cut `i`.

    Raises:
        InputError: A cut is not one of this project's outputs, or its threshold is none that its score can have.
        UnsupportedError: The outputs are streamed.
    """
    _check(project, cuts)
    folder = project.folder / FOLDER
    with replacing(folder) as fresh:
        fresh.mkdir()
        backend.write(project.manifest, cuts, project.folder / "firmware" / f"{project.manifest.top}.cpp", fresh)
        files = {path.name: file_digest(path) for path in sorted(fresh.iterdir())}
        made = Decision(project=project.digest(), cuts=tuple(cuts), files=files)
        write_json(fresh / DECISION, made.model_dump(mode="json"))
    return made


def remove(project: FirmwareProject) -> None:
    """Take the accept bits of a project away, if there are any."""
    shutil.rmtree(project.folder / FOLDER, ignore_errors=True)


def load(project: FirmwareProject) -> Decision | None:
    """The accept bits of a project; `None` where nobody wrote any.

    Raises:
        InputError: They were written for other sources, are incomplete, or are none of this project's outputs.
    """
    path = decision_path(project.folder)
    if not path.is_file():
        return None
    try:
        made = Decision.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {error.error_count()} entries are missing or wrong") from error
    missing = [name for name in made.files if not (path.parent / name).is_file()]
    if missing:
        raise InputError(f"{path.parent}: sources of the accept bits are missing: {', '.join(missing[:3])}")
    made.require_current(project)
    _check(project, made.cuts)
    return made


def prove(
    project: FirmwareProject, decision: Decision, codes: Codes, threads: int = 1, reference: Codes | None = None
) -> DecisionResult:
    """Compile and simulate the accept bits and compare every one with the comparison in Python.

    The network's outputs may never come near a threshold, so that the comparison alone is given output codes one below, at and
    one above it besides.

    Args:
        project: The firmware.
        decision: Its accept bits.
        codes: Input codes, shape `(events, inputs)`.
        threads: Threads of each engine.
        reference: Output codes of the reference for the same events, shape `(events, outputs)`; then the bits are held to what
            follows from them, too.

    Raises:
        InputError: There is no event, the shape is wrong, or the accept bits are of other sources or not those in the folder.
        ToolError: An engine cannot be built.
    """
    if load(project) != decision:
        raise InputError(
            f"{project.folder / FOLDER}: these are not the accept bits that are written there; load them anew"
        )
    cuts, outputs = decision.cuts, project.manifest.outputs
    if len(codes) == 0:
        raise InputError("there are no events to compare accept bits on")
    if reference is not None and reference.shape != (len(codes), len(outputs.elements)):
        raise InputError(
            f"the reference's codes of shape {reference.shape} do not fit {len(codes)} events of {len(outputs.elements)} outputs"
        )
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.submit(engine.build_cpp, project, len(cuts))
        simulated = None if project.manifest.rtl is None else pool.submit(engine.build_rtl, project, len(cuts))
    library, count = cpp.load(compiled.result()), len(cuts)
    trials = _trials(project, cuts, _port_grid(project))
    agreements = [
        _compare("decision_cpp", project, cuts, cpp.run(project, codes, threads), reference,
                 engine.run_cpp(library, project, count, codes, threads),
                 (trials, engine.compare_cpp(library, count, trials)))
    ]  # fmt: skip
    absent = {}
    if simulated is None:
        absent["decision_rtl"] = project.target.backend.without_verilog or "this project has no Verilog"
    else:
        library, trials = cpp.load(simulated.result()), _trials(project, cuts, _wire_grid(project))
        agreements.append(
            _compare("decision_rtl", project, cuts, rtl.run(project, codes, threads), reference,
                     engine.run_rtl(library, project, count, codes, threads),
                     (trials, engine.compare_rtl(library, project, count, trials)))
        )  # fmt: skip
    decision.require_current(project)
    return DecisionResult(tuple(agreements), tuple(decision.edited(project)), absent)


def _compare(
    name: str, project: FirmwareProject, cuts: tuple[Cut, ...], own: Codes, reference: Codes | None,
    found: tuple[Codes, Codes], tried: tuple[Codes, Codes],
) -> Agreement:  # fmt: skip
    """Hold accept bits to what follows from outputs of the network by itself, of the reference, and from trials."""
    elements = project.manifest.outputs.elements
    outputs, bits = found
    groups = [("event", own, bits), *([("reference event", reference, bits)] if reference is not None else []),
              ("set of output codes", *tried)]  # fmt: skip
    differing, first = np.zeros(len(cuts), dtype=np.int64), ""
    for what, given, judged in groups:
        expected = np.stack([cut.accepts(given, elements) for cut in cuts], axis=1).astype(np.int64)
        wrong = expected != judged
        differing += wrong.sum(axis=0)
        if wrong.any() and not first:
            event, cut = (int(index) for index in np.argwhere(wrong)[0])
            codes = ", ".join(f"{element} {code}" for element, code in zip(elements, given[event], strict=True))
            first = (
                f"first difference in {what} {event}, cut {cuts[cut].name!r} at {cuts[cut].threshold}: "
                f"{judged[event, cut]} instead of {expected[event, cut]} for {codes}"
            )
    accepted = tuple(int(cut.accepts(own, elements).sum()) for cut in cuts)
    return Agreement(
        name, tuple(cut.name for cut in cuts), len(own), len(tried[0]), sum(judged.size for *_, judged in groups),
        tuple(differing.tolist()), int((outputs != own).sum()), accepted, first,
    )  # fmt: skip


def _check(project: FirmwareProject, cuts: Sequence[Cut]) -> None:
    """Refuse accept bits that cannot be written, or that decide nothing."""
    ports = (project.manifest.inputs, project.manifest.outputs)
    streamed = next((port for port in ports if port.word is not None), None)
    if streamed is not None:
        raise UnsupportedError(
            f"{project.folder}: the port {streamed.name!r} is a stream of words of {streamed.word} elements, and accept bits are "
            "of outputs that come at once; 'io: parallel' would be right"
        )
    taken = [port.name for port in ports if port.name == ACCEPT]
    if taken:
        raise UnsupportedError(
            f"{project.folder}: a port of the network is called {ACCEPT!r} already; call its layer otherwise"
        )
    if not cuts:
        raise InputError(f"{project.folder}: there is no cut: at least one accept bit would be right")
    for position, cut in enumerate(cuts):
        if not re.fullmatch(r"[A-Za-z]\w*", cut.name, re.ASCII):
            raise InputError(f"cut {cut.name!r}: its name is of letters, digits and '_', and begins with a letter")
        if cut.name in CPP | VERILOG:
            raise InputError(
                f"cut {cut.name!r}: that is a word of C++ or Verilog; another name, such as '{cut.name}_cut', would be right"
            )
        if cut.name in [one.name for one in cuts[:position]]:
            raise InputError(f"two cuts are called {cut.name!r}; every accept bit has a name of its own")
        _check_score(project, cut)


def _check_score(project: FirmwareProject, cut: Cut) -> None:
    port = project.manifest.outputs
    for name in (cut.output, *cut.against):
        if name not in port.elements:
            raise InputError(
                f"cut {cut.name!r}: the firmware has no output {name!r}; nearest: {nearest(name, port.elements)}"
            )
    if cut.output in cut.against:
        raise InputError(f"cut {cut.name!r}: {cut.output!r} is held against itself; other outputs would be right")
    if len(set(cut.against)) < len(cut.against):
        raise InputError(f"cut {cut.name!r}: an output is named twice in {', '.join(cut.against)}; once would be right")
    form = port.fixed_point
    spread = form.max_code - form.min_code
    low, high = (-spread, spread) if cut.against else (form.min_code, form.max_code)
    if not low <= cut.threshold <= high:
        always = "always" if cut.threshold < low else "never"
        what = f"the difference of two codes of {form}" if cut.against else f"a code of {form}"
        raise InputError(
            f"cut {cut.name!r}: with a threshold of {cut.threshold} it would {always} accept: {what} is from {low} to {high}"
        )


def _port_grid(project: FirmwareProject) -> Grid:
    """Lowest code, highest code and step of every output, shape `(3, outputs)`."""
    port = project.manifest.outputs
    return np.tile([[port.fixed_point.min_code], [port.fixed_point.max_code], [1]], len(port.elements))


def _wire_grid(project: FirmwareProject) -> Grid:
    """The same of what the Verilog's wires can carry."""
    columns = []
    for wire in rtl.design_of(project).outputs:
        shift = project.manifest.outputs.fixed_point.fraction - wire.fraction
        size = 1 << (wire.width - wire.signed) if wire.width else 1
        low, high = -size if wire.signed and wire.width else 0, size - 1
        down = max(0, -shift)  # of what is finer than a code, those that are a number of the port
        columns.append((-(-low >> down), high >> down, 1) if shift < 0 else (low << shift, high << shift, 1 << shift))
    return np.array(columns, dtype=np.int64).T


def _trials(project: FirmwareProject, cuts: tuple[Cut, ...], grid: Grid) -> Codes:
    """Output codes that tell comparisons apart, shape `(trials, outputs)`: for every cut the codes beside and at its threshold,
    whichever output it is held against is the largest; the ends of all formats; and random ones.
    """
    elements = project.manifest.outputs.elements
    low, high, step = grid
    generator = np.random.default_rng([1, 23])

    def drawn(count: int) -> Codes:
        codes: Codes = low + generator.integers(0, (high - low) // step, (count, len(low)), endpoint=True) * step
        return codes

    found = [drawn(RANDOM_TRIALS), low[None], high[None]]
    for cut in cuts:
        mine, others = elements.index(cut.output), [elements.index(name) for name in cut.against]
        for output, rest in ((low, high), (high, low)):
            found.append(np.where(np.arange(len(low)) == mine, output, rest)[None])
        coarse = int(step[[mine, *others]].max())
        for distance in sorted({-coarse, -1, 0, 1, coarse}):
            rows = drawn(TRIALS)
            largest = _largest(rows, others, grid, (int(low[mine]), int(high[mine])), cut.threshold, generator)
            _put(rows, mine, largest + cut.threshold + distance, grid)
            found.append(rows)
    return np.concatenate(found)


def _largest(
    rows: Codes, others: list[int], grid: Grid, ends: tuple[int, int], threshold: int, generator: np.random.Generator
) -> Codes:
    """Make one of `others` the largest of them, each in its turn, so that an output between `ends` can reach the threshold above
    it, and give its codes; 0 where there are no others.
    """
    largest = np.zeros(len(rows), dtype=np.int64)
    for turn, other in enumerate(others):
        mine = np.arange(len(rows)) % len(others) == turn
        lowest, highest = max(grid[0, other], ends[0] - threshold), min(grid[1, other], ends[1] - threshold)
        wanted = generator.integers(min(lowest, highest), max(lowest, highest), len(rows), endpoint=True)
        wanted[: 2 * len(others)] = np.resize([lowest, highest], 2 * len(others))
        chosen = rows[:, other].copy()
        _put(rows, other, wanted, grid)
        rows[:, other] = np.where(mine, rows[:, other], chosen)
        largest = np.where(mine, rows[:, other], largest)
    for other in others:
        _put(rows, other, np.minimum(rows[:, other], largest), grid)
    if others:
        largest = rows[:, others].max(axis=1)
    return largest


def _put(rows: Codes, column: int, codes: Codes, grid: Grid) -> None:
    """Put codes into a column, or the nearest that it can have: not above them, where it can."""
    low, high, step = grid[:, column]
    rows[:, column] = low + (np.clip(codes, low, high) - low) // step * step
