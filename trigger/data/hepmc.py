"""Jets from anybody's generator by HepMC: the door to pyhepmc.

HepMC3 and HepMC2 text, plain or gzipped: what Herwig, Sherpa and Pythia write. Stable particles (status 1) that leave a trace
go through the same detector, clustering and selection as those of our own collisions; nothing else of an event is looked at,
so that a jet's class is that of its file. There is no pileup, and no impact parameter.

References:
    HepMC3: arXiv:1912.08005.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.config import Settings
from trigger.data.detector import PRESETS, Particles, PresetName, concatenate, detect
from trigger.data.generate import particle_jets
from trigger.data.jets import Distinct, JetDataset, Origin, PtWindow, Vertex, require_every_class
from trigger.data.particle_codes import NEUTRINOS, charges
from trigger.data.users_jets import named, require_possible_energies, require_transverse_momentum
from trigger.errors import InputError, nearest
from trigger.files import matching
from trigger.inputs.clustering import Clustered
from trigger.kinematics import pseudorapidity, transverse_momentum
from trigger.workers import in_order, workers_of

EVENTS_PER_BLOCK = 500
"""Events that go through detector and clustering at once; part of what decides the random numbers."""
_FORMATS = {b"HepMC::Asciiv3": ("ReaderAscii", b"HepMC::Asciiv3-END_EVENT_LISTING"),
            b"HepMC::IO_GenEvent": ("ReaderAsciiHepMC2", b"HepMC::IO_GenEvent-END_EVENT_LISTING")}  # fmt: skip


class HepMcSample(Settings):
    """Some files and what is in them.

    Attributes:
        files: Paths or patterns; `.gz` is unpacked.
        label: The class of all their jets.
        weight: Factor on the weights of their events, for example to bring the weights of two generators to the same scale.
    """

    files: tuple[str, ...] = Field(min_length=1)
    label: str
    weight: float = Field(default=1.0, gt=0)


class HepMcJets(Settings):
    """Jets of events that some generator has written.

    Attributes:
        classes: Class names, in the order of the network's outputs.
        samples: The files.
        pt_gev: Window of the jet's pT, as the detector sees it.
        max_abs_eta: Largest |eta| of a jet.
        radius: Radius parameter of the anti-kt jets.
        detector: Preset of `trigger/data/detector.py`.
        leading: How many jets of an event are looked at, the hardest first, of those within `max_abs_eta`; they are taken
            where they are in the window.
    """

    kind: Literal["hepmc"]
    classes: Annotated[tuple[str, ...], Distinct]
    samples: tuple[HepMcSample, ...] = Field(min_length=1)
    pt_gev: PtWindow
    max_abs_eta: float = Field(default=2.0, gt=0, le=5)
    radius: float = Field(default=0.8, gt=0, le=1.5)
    detector: PresetName = "particle_flow"
    leading: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        labels = [sample.label for sample in self.samples]
        for label in labels:
            if label not in self.classes:
                raise ValueError(f"label {label!r} is none of the classes; nearest: {nearest(label, self.classes)}")
        absent = [name for name in self.classes if name not in labels]
        if absent:
            raise ValueError(f"no sample has the label {absent[0]!r}")
        return self


@dataclass(frozen=True)
class _File:
    """One file of a sample, and all that decides its jets."""

    data: HepMcJets
    sample: HepMcSample
    path: Path
    seed: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """Some events of a file.

    Attributes:
        jets: Their jets, if there are any.
        events: How many events there are.
        left_out: How many jets above the lower edge of `pt_gev` there are of those that were left out, by why.
    """

    jets: JetDataset | None
    events: int
    left_out: dict[str, int]


@dataclass
class _Tally:
    """What was read for a class."""

    paths: list[Path] = field(default_factory=list)
    events: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def told(self, name: str) -> str:
        """For a message."""
        left_out = ", ".join(f"{count} {why}" for why, count in self.left_out.items() if count)
        return f"{name!r} is {self.events} events of {named(self.paths)}, left out: {left_out or 'none'}"


def input_files(data: HepMcJets) -> list[tuple[HepMcSample, list[Path]]]:
    """The files of each sample.

    Raises:
        InputError: A path or pattern matches no file.
    """
    return [(sample, matching(sample.files)) for sample in data.samples]


def read_hepmc(data: HepMcJets, seed: int, workers: int = 1) -> Iterator[JetDataset]:
    """The jets, block by block, the same for any number of workers.

    Events are numbered through all files. The weight of a jet is the nominal (first) weight of its event, 1 where events have
    none, times that of the sample.

    Args:
        data: What to read.
        seed: Seed of the detector.
        workers: Processes, a file each at a time. With one, memory is bounded by a block of events; with more, by the jets of
            as many files.

    Raises:
        InputError: A file is missing, cut off, damaged or none of HepMC, a weight is negative, or a class has no jets.
    """
    files = [
        _File(data, sample, path, (seed, number, place))
        for number, (sample, paths) in enumerate(input_files(data))
        for place, path in enumerate(paths)
    ]
    taken, first = np.zeros(len(data.classes), dtype=np.int64), 0
    tallies = {name: _Tally() for name in data.classes}
    with _read(files, workers) as found:
        for file, parts in zip(files, found, strict=True):
            tally = tallies[file.sample.label]
            tally.paths.append(file.path)
            for part in parts:
                if part.jets is not None:
                    taken += np.bincount(part.jets.labels, minlength=len(taken))
                    yield replace(part.jets, events=part.jets.events + first)
                first += part.events
                tally.events += part.events
                tally.left_out.update(part.left_out)
    empty = [name for name, count in zip(data.classes, taken, strict=True) if count == 0]
    low, high = data.pt_gev
    why = (f"; of the jets of at least {low:g} GeV: {'; '.join(tallies[name].told(name) for name in empty)}; right would be a "
           f"'pt_gev' that they reach, not [{low:g}, {high:g}], or other files")  # fmt: skip
    require_every_class(
        np.repeat(np.arange(len(taken)), taken), data.classes,
        f"{named(path for name in empty for path in tallies[name].paths)}: ", why,
    )  # fmt: skip


@contextmanager
def _read(files: list[_File], workers: int) -> Iterator[Iterable[Iterable[_Part]]]:
    if workers == 1:
        yield map(_parts, files)
    else:
        with workers_of(workers) as found:
            yield in_order(found.pool, _all_parts, files, workers + 1)


def _all_parts(file: _File) -> list[_Part]:
    return list(_parts(file))


def _parts(file: _File) -> Iterator[_Part]:
    """The jets of a file, some events at a time; events are numbered from 0 in each part."""
    from importlib.metadata import version

    data, preset = file.data, PRESETS[file.data.detector]
    low = data.pt_gev[0]
    details = {"settings": data.model_dump(mode="json"), "seed": file.seed[0],
               "versions": {name: version(name) for name in ("pyhepmc", "fastjet")}}  # fmt: skip
    for number, (particles, weights) in enumerate(_events(file.path, preset.acceptance)):
        seen = detect(particles, preset, np.random.default_rng([*file.seed, number]))
        jets, constituents = particle_jets(seen, len(weights), data.radius, low)
        first = number * EVENTS_PER_BLOCK
        found: JetDataset | None = None
        try:
            chosen, left_out = _chosen(data, jets, first)
            event = jets.event[chosen].astype(np.int64)
            if len(chosen) and not weights[event].any():
                raise InputError(f"all {len(chosen)} jets of the events {first} to {first + len(weights) - 1} (from 0) have the "
                                 "weight 0: right would be events whose nominal (first) weight is above 0")  # fmt: skip
            if len(chosen):
                labels = np.full(len(chosen), data.classes.index(file.sample.label), dtype=np.int64)
                found = JetDataset(
                    constituents[chosen], labels, data.classes, file.sample.weight * weights[event], event,
                    Origin("hepmc", False, details),
                )  # fmt: skip
        except InputError as error:
            raise InputError(f"{file.path}: {error}") from error
        yield _Part(found, len(weights), left_out)


def _chosen(data: HepMcJets, jets: Clustered, first: int) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Places of the wanted jets of some events, the hardest of an event first, and how many others there are, by why.

    Args:
        data: What is wanted.
        jets: All jets above the lower edge of the window.
        first: Number of the first event.
    """
    low, high = data.pt_gev
    px, py, energy = (jets.momentum[name] for name in ("px", "py", "E"))
    pt, eta = transverse_momentum(px, py), pseudorapidity(px, py, jets.momentum["pz"])
    inside = np.flatnonzero(np.abs(eta) < data.max_abs_eta)
    ordered = inside[np.lexsort((-pt[inside], jets.event[inside]))]
    event = jets.event[ordered]
    require_possible_energies(energy[ordered], first + event, "event")
    rank = np.arange(len(event)) - np.searchsorted(event, event)  # 0 is the hardest of its event
    leading, in_window = rank < data.leading, (pt[ordered] >= low) & (pt[ordered] < high)
    chosen = ordered[leading & in_window]
    require_transverse_momentum(px[chosen], py[chosen], first + jets.event[chosen], "event")
    return chosen, {
        f"beyond max_abs_eta {data.max_abs_eta:g}": len(pt) - len(inside),
        f"not among the leading {data.leading} of their event": int(np.count_nonzero(~leading)),
        f"outside pt_gev [{low:g}, {high:g}]": int(np.count_nonzero(leading & ~in_window)),
    }


def _events(path: Path, acceptance: float) -> Iterator[tuple[Particles, NDArray[np.float64]]]:
    """Visible particles and weights of blocks of events."""
    parts: list[Particles] = []
    weights: list[float] = []
    for number, event in enumerate(_generator_events(path)):
        try:
            weights.append(_weight(event))
            parts.append(_visible(event, len(parts), acceptance))
        except InputError as error:
            raise InputError(f"{path}: event {number} (from 0): {error}") from error
        if len(parts) == EVENTS_PER_BLOCK:
            yield concatenate(parts), np.array(weights)
            parts, weights = [], []
    if parts:
        yield concatenate(parts), np.array(weights)


def _weight(event: Any) -> float:
    weight = float(event.weights[0]) if len(event.weights) else 1.0
    if not np.isfinite(weight):
        raise InputError(f"its weight is {weight}")
    if weight < 0:
        raise InputError(
            f"its weight is {weight}, and no network can be trained on jets of negative weight: right would be a sample of "
            "leading order, or one whose negative weights were resampled (arXiv:2005.09375, arXiv:2109.07851)"
        )
    return weight


def _visible(event: Any, number: int, acceptance: float) -> Particles:
    """Stable particles that leave a trace, in GeV."""
    import pyhepmc

    event.set_units(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    stored = event.numpy.particles
    code = np.asarray(stored.pid, dtype=np.int64)
    px, py, pz, energy = (np.asarray(getattr(stored, name), dtype=np.float64) for name in ("px", "py", "pz", "e"))
    seen = (np.asarray(stored.status) == 1) & ~np.isin(np.abs(code), NEUTRINOS)
    wrong = seen & ~(np.isfinite(px) & np.isfinite(py) & np.isfinite(pz) & np.isfinite(energy))
    if wrong.any():
        raise InputError(f"{np.count_nonzero(wrong)} of its particles have momenta that are NaN or infinite")
    seen &= np.abs(pz) < np.sinh(acceptance) * np.hypot(px, py)
    places = np.flatnonzero(seen)
    return Particles(
        np.full(len(places), number, dtype=np.int64), px[places], py[places], pz[places], energy[places],
        charges(code[places]), np.abs(code[places]).astype(np.int32), np.full(len(places), Vertex.LEADING, dtype=np.int8),
    )  # fmt: skip


class _Watched:
    """A stream that counts what goes by and remembers its end: HepMC's readers pass over faults without a word.

    Attributes:
        events: Lines that begin an event.
        weights: Lines of weights after the first event's.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.events = self.weights = 0
        self.end = b""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as a file does; pyhepmc calls it."""
        content = self.stream.read(len(buffer))
        buffer[: len(content)] = content
        seen = self.end[-2:] + content  # a line may begin between two buffers
        begin = 0 if self.events else seen.find(b"\nE ")
        if begin >= 0:  # the header has a line of weights, too
            self.events += seen.count(b"\nE ", begin)
            self.weights += seen.count(b"\nW ", begin)
        self.end = (self.end + content)[-100:]
        return len(content)

    def drain(self) -> None:
        """Read what is left."""
        while self.readinto(bytearray(1 << 20)):
            pass


def _generator_events(path: Path) -> Iterator[Any]:
    """The events of a file, every one of them.

    Raises:
        InputError: The file is none of HepMC, is cut off, has no events, or an event cannot be read.
    """
    from pyhepmc import Setup, io

    Setup.print_errors = Setup.print_warnings = False  # they become our messages
    Setup.debug_level = 0
    count = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.read(256)
            stream.seek(0)
            formats = [one for tag, one in _FORMATS.items() if tag in header]
            if not header:
                raise InputError(f"{path}: it is empty; right would be HepMC3 or HepMC2 text")
            if header.startswith(b"\x1f\x8b"):
                raise InputError(f"{path}: it is gzipped{' twice' if path.suffix == '.gz' else '; name it .gz'}")
            if not formats:
                raise InputError(
                    f"{path}: the file does not begin as HepMC3 or HepMC2 text does, but with {header[:40]!r}"
                )
            ((reader, last),) = formats
            watched = _Watched(cast(BinaryIO, stream))
            source = io.pyiostream(watched, 1 << 20)
            for event in getattr(io, reader)(source):
                if len(event.weights) == 0 and watched.weights:
                    raise InputError(f"{path}: event {count} (from 0): its weight is no number")
                yield event
                count += 1
            watched.drain()
    except gzip.BadGzipFile as error:
        hint = "; name it without .gz if it is not gzipped" if count == 0 and "Not a gzipped" in str(error) else ""
        raise InputError(f"{path}: cannot be read after {count} events: {error}{hint}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read after {count} events: {error}") from error
    if count < watched.events:
        raise InputError(f"{path}: event {count} (from 0) of {watched.events} cannot be read: it is damaged or cut off")
    if not watched.end.rstrip().endswith(last):
        raise InputError(f"{path}: the file is cut off after {count} events: its last line is not {last.decode()!r}")
    if count == 0:
        raise InputError(f"{path}: there are no events")
