"""Inclusive collisions with all of their Level-1 jets: what rates of a tagger of jets are counted from.

The jets that a tagger learns from are no sample of a rate: their pT is biased, they are a given number of each class, and
those without a label are left out. Here every collision is kept, with all of its jets above a pT whatever they are, and with
the cross-section that it stands for.

The background is QCD jets in slices of pTHat (`HardQCD:all`: with gluon splitting, flavour excitation and pairs of heavy
quarks), which tile it from the lowest edge on; prompt photons, W, Z and top quarks are left out of it. Signals are those of
`trigger/data/generate_events.py`. There is no pileup. Each collision has the weights of variations of its parton showers.

Collisions with broken strings (`trigger/data/generate.py`) get no weight: of the lowest slice one stands for kilohertz.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from trigger.config import Settings
from trigger.data.detector import PRESETS, detect
from trigger.data.generate import (
    MB_TO_PB,
    SHOWER_LINES,
    SHOWERS,
    Progress,
    broken_strings,
    collide,
    make_pieces,
    make_sample,
    measured_jets,
    pythia_seed,
    record_of,
    seeded,
    shower_weights,
    visible,
)
from trigger.data.generate_events import (
    BACKGROUND,
    MIN_BIAS,
    SIGNALS,
    Signal,
    different_signals,
    rising_edges,
    slice_lines,
    slice_names,
)
from trigger.data.jets import JetDataset, Origin, Vertex
from trigger.data.level1_jets import Level1JetData, particle_jets
from trigger.data.rootfile import JetBlock, entries, read_block, read_columns, write_sample
from trigger.digest import SHORT, digest
from trigger.files import replacing
from trigger.inputs.clustering import Clustered
from trigger.kinematics import pseudorapidity, transverse_momentum
from trigger.workers import Workers

COLLISIONS_FORMAT = 2
"""Part of every sample's digest; raised when the same settings give other collisions than before."""
CHUNK = 250
INELASTIC, INELASTIC_COLLISIONS = "inelastic", 200
"""What the inelastic cross-section is read from; Pythia has it from a parametrisation, without an error of counting."""
LOWEST_PT_OVER_EDGE = 1.5
TREE = "collisions"
SHOWER_COLUMNS = tuple(f"shower{at}" for at in range(len(SHOWERS)))
COLUMNS = ("label", "weight", "offline_gev", *SHOWER_COLUMNS)
"""Numbers of a collision in a file; the weight is its cross-section in pb, in a chunk's the generator's own."""
JET_FIELDS = {"max_abs_eta", "energy_tev", "radius", "detector", "pythia", "d0_resolution_um"}
"""Settings of jets that decide what is here; the others are of samples with classes."""


class Level1Collisions(Settings):
    """Collisions simulated with Pythia 8, and their jets with the detector of Level-1 jets.

    Attributes:
        jets: What a jet is: energy of the collisions, radius, detector, largest |eta|, impact parameters. Its classes, its
            window of pT and its number of jets mean nothing here.
        slices_gev: Lower edges of slices of pTHat, each up to the next and the last without end.
        collisions_per_slice: Collisions of each slice.
        signals: Which signals.
        collisions_per_signal: Collisions of each signal.
        pt_gev: Smallest pT of a jet, as the detector sees it, that is kept.
    """

    jets: Level1JetData
    slices_gev: Annotated[tuple[float, ...], AfterValidator(rising_edges)] = Field(
        default=(20.0, 30.0, 50.0, 80.0, 120.0, 200.0, 400.0), min_length=1
    )
    collisions_per_slice: int = Field(default=3000, gt=0)
    signals: Annotated[tuple[Signal, ...], AfterValidator(different_signals)] = (
        "ttbar", "vbf_bb", "h_tautau", "hplus_taunu",
    )  # fmt: skip
    collisions_per_signal: int = Field(default=1000, gt=0)
    pt_gev: float = Field(default=40.0, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        lowest = LOWEST_PT_OVER_EDGE * self.slices_gev[0]
        if self.pt_gev < lowest:
            raise ValueError(
                f"pt_gev: {self.pt_gev:g} GeV with slices from {self.slices_gev[0]:g} GeV on: jets would be missing, of "
                f"collisions below all slices; right would be {lowest:g} GeV and more, or a lower first edge"
            )
        if self.jets.pileup > 0:
            raise ValueError(
                f"jets.pileup: {self.jets.pileup:g}: what is counted are collisions, one by one; right would be 0"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes: the background, which all slices belong to, and the signals."""
        return (BACKGROUND, *self.signals)

    @property
    def parts(self) -> dict[str, int]:
        """Everything that collisions are made of one after the other, and how many there are of each."""
        return {
            **dict.fromkeys(slice_names(self.slices_gev), self.collisions_per_slice),
            **dict.fromkeys(self.signals, self.collisions_per_signal),
        }

    def lines(self, name: str) -> tuple[str, ...]:
        """Pythia's settings for a part."""
        if name in self.signals:
            process = SIGNALS[name]
        else:
            process = slice_lines(self.slices_gev, slice_names(self.slices_gev).index(name))
        return (f"Beams:eCM = {1000 * self.jets.energy_tev}", *process, *SHOWER_LINES, *self.jets.pythia)


@dataclass(frozen=True)
class Collisions:
    """Inclusive collisions with all of their jets.

    Attributes:
        jets: Jets of all collisions, of every flavour, those of a collision one after the other. Their label is that of the
            collision, `events` is its index, and the weight its cross-section.
        labels: Class of each collision as an index into `class_names`, shape `(n,)`, also where it has no jet.
        class_names: The background and the signals.
        cross_section_pb: What each collision stands for, shape `(n,)`; 0 where its strings are broken.
        inelastic_cross_section_pb: Of all inelastic collisions, which the mean pileup counts.
        offline_gev: pT of the leading particle-level jet, 0 where there is none of 10 GeV, shape `(n,)`.
        showers: Weights of `SHOWERS` relative to the nominal one, shape `(n, len(SHOWERS))`.
    """

    jets: JetDataset
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    cross_section_pb: NDArray[np.float64]
    inelastic_cross_section_pb: float
    offline_gev: NDArray[np.float64]
    showers: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class CollisionChunk:
    """A piece of a sample: enough to make it anywhere, alone.

    Attributes:
        data: Settings of the sample.
        seed: Its seed.
        name: Slice or signal, or `inelastic`.
        index: The how-manieth piece of it.
        events: How many collisions it has.
    """

    data: Level1Collisions
    seed: int
    name: str
    index: int
    events: int

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}-{self.index:05d}.root"


def collisions_digest(data: Level1Collisions, seed: int) -> str:
    """Digest of everything that decides the content of a sample."""
    from importlib.metadata import version

    jets = data.jets.model_dump(mode="json", include=JET_FIELDS)
    rest = data.model_dump(mode="json", exclude={"jets"})
    return digest(jets, rest, seed, COLLISIONS_FORMAT, list(SHOWER_LINES), version("pythia8mc"), version("fastjet"))


def generate_collisions(
    data: Level1Collisions, seed: int, folder: Path, *, workers: int = 1, progress: Progress | None = None,
    executor: Executor | None = None,
) -> Path:  # fmt: skip
    """Make a sample, or find the one made before.

    Like `generate`: chunks with seeds and files of their own, so that the sample is the same for any number of workers and a
    killed run goes on with what it had.

    Args:
        data: What to make.
        seed: Seed of the whole sample.
        folder: Where samples are kept; this one gets a folder of its own, named by its digest.
        workers: Number of spawned processes.
        progress: Told of every finished chunk.
        executor: Runs the chunks instead of our own processes.

    Returns:
        The path of the sample, which `read_collisions` reads.

    Raises:
        InputError: A Pythia setting is wrong.
    """
    home = folder / f"level1_collisions-{collisions_digest(data, seed)[:SHORT]}"
    target = home / "collisions.root"
    pieces = [CollisionChunk(data, seed, INELASTIC, 0, INELASTIC_COLLISIONS)]
    for name, count in data.parts.items():
        starts = range(0, count, CHUNK)
        pieces += [
            CollisionChunk(data, seed, name, index, min(CHUNK, count - start)) for index, start in enumerate(starts)
        ]

    def make(chunks: Path, found: Workers) -> None:
        cross_section = make_pieces(partial(make_collision_chunk, folder=chunks), pieces, found, "collisions", progress)
        _join(data, seed, chunks, pieces[1:], cross_section, target)

    return make_sample(target, home / "chunks", make, workers, executor)


def make_collision_chunk(chunk: CollisionChunk, folder: Path) -> float:
    """Simulate some collisions into a file, unless it is there; their cross-section in pb. Runs in a worker process."""
    if chunk.name == INELASTIC:
        lines = (f"Beams:eCM = {1000 * chunk.data.jets.energy_tev}", *MIN_BIAS, *chunk.data.jets.pythia)
        return collide(lines, chunk.seed, chunk.name, chunk.index, chunk.events, 1.0).cross_section_pb
    path = folder / chunk.file
    if not path.is_file():
        block, columns = simulate_collisions(chunk)
        with replacing(path) as fresh:
            write_sample(fresh, [block], block.details, {TREE: columns})
    return float(read_block(path).details["cross_section_pb"])


def simulate_collisions(chunk: CollisionChunk) -> tuple[JetBlock, dict[str, NDArray[np.float64]]]:
    """The collisions of one chunk: collide, detect, cluster.

    Returns:
        Their jets, whose event is the index of the collision in the chunk; and for each of `COLUMNS` a number a collision.
    """
    import awkward as ak

    data, jet = chunk.data, chunk.data.jets
    chunk_seed = pythia_seed(chunk.seed, chunk.name, chunk.index)
    pythia = seeded(data.lines(chunk.name), chunk_seed)
    generator = np.random.default_rng([chunk_seed, 1])
    batch = pythia.nextBatch(chunk.events)
    preset = PRESETS[jet.detector]
    record = record_of(batch)
    particles = visible(pythia, record, preset.acceptance, Vertex.LEADING)
    seen = detect(particles, preset, generator)
    found, constituents = measured_jets(jet, seen, chunk.events, data.pt_gev, generator)
    pt, eta = _pt_and_eta(found)
    chosen = (pt >= data.pt_gev) & (np.abs(eta) < jet.max_abs_eta)
    label = data.class_names.index(chunk.name) if chunk.name in data.signals else 0
    weight = np.where(broken_strings(record), 0.0, ak.to_numpy(batch.info.weights[:, 0]))
    event = found.event[chosen]
    block = JetBlock(
        constituents=constituents[chosen], labels=np.full(len(event), label), weights=np.ones(len(event)), events=event,
        generator_weights=weight[event], details={"cross_section_pb": float(pythia.infoPython().sigmaGen() * MB_TO_PB)},
    )  # fmt: skip
    true_jets = particle_jets(particles, jet.radius, chunk.events)
    true_pt, true_eta = _pt_and_eta(true_jets)
    offline, inside = np.zeros(chunk.events), np.abs(true_eta) < jet.max_abs_eta
    np.maximum.at(offline, true_jets.event[inside], true_pt[inside])
    columns = {"label": np.full(chunk.events, float(label)), "weight": weight, "offline_gev": offline}
    return block, columns | dict(zip(SHOWER_COLUMNS, shower_weights(batch).T, strict=True))


def _pt_and_eta(jets: Clustered) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    px, py, pz = (jets.momentum[name] for name in ("px", "py", "pz"))
    return transverse_momentum(px, py), pseudorapidity(px, py, pz)


def _join(
    data: Level1Collisions, seed: int, folder: Path, pieces: list[CollisionChunk], cross_section_pb: dict[str, float],
    target: Path,
) -> None:  # fmt: skip
    """Join chunks into the sample; the weights of each part add up to its cross-section."""
    from importlib.metadata import version

    tables = {piece: _read_table(folder / piece.file) for piece in pieces}
    whole = np.concatenate(list(tables.values()))
    part = np.repeat([piece.name for piece in pieces], [len(table) for table in tables.values()])
    weight = whole[:, COLUMNS.index("weight")]  # a view
    for name in data.parts:
        weight[part == name] *= cross_section_pb[name] / weight[part == name].sum()
    first = np.cumsum([0, *(len(table) for table in tables.values())])

    def blocks() -> Iterable[JetBlock]:
        for piece, start in zip(pieces, first[:-1], strict=True):
            block = read_block(folder / piece.file)
            yield replace(block, events=block.events + start, weights=weight[block.events + start])

    details = {
        "settings": data.model_dump(mode="json"), "seed": seed, "class_names": list(data.class_names),
        "inelastic_cross_section_pb": cross_section_pb[INELASTIC],
        "cross_section_pb": {name: cross_section_pb[name] for name in data.parts},
        "versions": {name: version(name) for name in ("pythia8mc", "fastjet")},
    }  # fmt: skip
    with replacing(target) as fresh:
        write_sample(fresh, blocks(), details, {TREE: dict(zip(COLUMNS, whole.T, strict=True))})


def _read_table(path: Path) -> NDArray[np.float64]:
    return read_columns(path, TREE, COLUMNS, 0, entries(path, TREE))


def read_collisions(path: Path) -> Collisions:
    """Read what `generate_collisions` made.

    Raises:
        InputError: The file is none of ours or damaged, or no collision has a jet.
    """
    block, table = read_block(path), _read_table(path)
    names: tuple[Any, ...] = tuple(block.details["class_names"])
    columns = dict(zip(COLUMNS, table.T, strict=True))
    jets = JetDataset(
        block.constituents, block.labels, names, block.weights, block.events,
        Origin("level1_collisions", False, block.details),
    )  # fmt: skip
    return Collisions(
        jets, columns["label"].astype(np.int64), names, columns["weight"], block.details["inelastic_cross_section_pb"],
        columns["offline_gev"], table[:, -len(SHOWERS) :],
    )  # fmt: skip
