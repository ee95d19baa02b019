"""Jets from simulated collisions: the door to Pythia 8.

Quark and gluon are leading-order labels: the flavour of the outgoing parton of the hard 2 -> 2 scattering nearest to the
jet (within half the radius). `quark` means u, d or s; jets matched to a c or b quark of the hard scattering are left out,
and a gluon that splits to heavy quarks in the shower stays a gluon. A W, Z, Higgs or top jet is one that contains *all*
quarks its boson or top decayed into (within the radius of the jet axis); others are left out.

W and Z come from W' -> WZ and are longitudinally polarised: of Standard Model dibosons a fifth would lose a prong to
grooming. Hard scatterings are generated with a biased pT spectrum, so that the window is filled about evenly, starting
below its edge and ending above; Pythia's compensating weights are kept beside the training weights.

References:
    Pythia 8.3: arXiv:2203.11601. W' couplings and decay angles: its manual, "New-Gauge-Boson Processes". Variations of the
    parton shower: arXiv:1605.08352, and "Automated Variations of Shower Parameters" in the manual.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from trigger.config import Settings
from trigger.data.detector import PRESETS, Particles, PresetName, concatenate, detect
from trigger.data.jets import (
    Distinct,
    JetDataset,
    Origin,
    PtWindow,
    Vertex,
    flattening_weights,
    require_every_class,
)
from trigger.data.rootfile import JetBlock, read_block, write_sample
from trigger.digest import SHORT, digest
from trigger.errors import InputError
from trigger.files import make_folder, make_once, replacing
from trigger.inputs.clustering import Clustered, cluster
from trigger.kinematics import delta_phi, pseudorapidity, transverse_momentum
from trigger.workers import Workers, in_order, workers_of

JetClass = Literal["quark", "gluon", "W", "Z", "top", "higgs"]
Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are to be."""

SAMPLE_FORMAT = 3
"""Part of every sample's digest; raised when the same settings give other jets than before."""
PILEUP_SLICE = 50
"""Events that are overlaid with pileup at a time; part of what decides the random numbers."""
_STRING_RADIUS = 0.4
MAX_CHUNKS = 4000
EMPTY_CHUNKS = 8
"""After so many chunks without a single jet of a class, nobody waits for it any longer."""
EVENT_NUMBERS_PER_CHUNK = 1_000_000
MB_TO_PB = 1e9
SHOWERS: dict[str, str] = {
    "ISR scale x0.5": "isr:muRfac=0.5",
    "ISR scale x2": "isr:muRfac=2.0",
    "FSR scale x0.5": "fsr:muRfac=0.5",
    "FSR scale x2": "fsr:muRfac=2.0",
}
"""Variations of the parton shower: name, and Pythia's text (factor on the renormalisation scale of initial- or final-state
radiation)."""
SHOWER_LINES: tuple[str, ...] = (
    "UncertaintyBands:doVariations = on",
    # Only emissions off final partons of 2.2 GeV and more, as in samples of CMS: with softer ones weights scatter by three
    # times their mean.
    "UncertaintyBands:FSRpTmin2Fac = 20",
    # A space ends Pythia's name of a variation.
    "UncertaintyBands:List = {" + ", ".join(f"{name.replace(' ', '_')} {text}" for name, text in SHOWERS.items()) + "}",
)
"""Pythia's settings for them. They do not change what events are like, but other random numbers are drawn: with them, a seed
gives other events than without."""


class Piece(Protocol):
    """A part of a sample that is made alone."""

    @property
    def name(self) -> str:
        """What it is of."""

    @property
    def events(self) -> int:
        """How many events it has."""


PieceT = TypeVar("PieceT", bound=Piece)


def make_sample(
    target: Path, chunks: Path, make: Callable[[Path, Workers], None], workers: int, executor: Executor | None
) -> Path:
    """A sample that is joined of pieces, unless it is there; the pieces are kept until then, so that a killed run can go on.

    Args:
        target: The sample.
        chunks: Folder of the pieces.
        make: Makes the sample, told where the pieces are to be and who makes them.
        workers: Number of spawned processes, or of pieces at once.
        executor: Makes the pieces instead of our own processes.

    Returns:
        The sample.
    """

    def joined() -> None:
        make_folder(chunks)
        with workers_of(workers, pool=executor) as found:
            make(chunks, found)
        shutil.rmtree(chunks, ignore_errors=True)

    return make_once(target, joined)


def make_pieces(
    make: Callable[[PieceT], float], pieces: list[PieceT], workers: Workers, what: str, progress: Progress | None
) -> dict[str, float]:
    """Make every piece of a sample; mean of the cross-sections in pb that `make` returns, by the pieces' names.

    Args:
        make: Makes one, in a worker.
        pieces: All of them.
        workers: Who makes them.
        what: What progress counts.
        progress: Told of every finished piece.
    """
    total, done = sum(piece.events for piece in pieces), 0
    found: dict[str, list[float]] = {}
    for piece, cross_section_pb in zip(pieces, in_order(workers.pool, make, pieces, workers.count + 1), strict=True):
        done += piece.events
        found.setdefault(piece.name, []).append(cross_section_pb)
        if progress is not None:
            progress(what, done, total)
    return {name: float(np.mean(each)) for name, each in found.items()}


class SimulatedJets(Settings):
    """What all jets from Pythia 8 and a parametrised detector have in common.

    Attributes:
        classes: Which jets, in the order of the network's outputs.
        jets_per_class: How many of each.
        pt_gev: Window of the jet's pT, as the detector sees it.
        max_abs_eta: Largest |eta| of a jet.
        energy_tev: Energy of the proton-proton collisions.
        radius: Radius parameter of the anti-kt jets.
        detector: Preset of `trigger/data/detector.py`.
        pileup: Mean number of minimum-bias collisions added to each event (Poisson).
        pileup_pool: Number of minimum-bias collisions they are drawn from.
        flatten_pt: Whether weights make the pT spectrum of every class flat.
        pythia: Further lines of Pythia settings, applied last.
    """

    kind: str
    classes: tuple[str, ...]
    jets_per_class: int = Field(default=5000, gt=0)
    pt_gev: PtWindow
    max_abs_eta: float = Field(default=2.0, gt=0, le=2.5)
    energy_tev: float = Field(default=13.0, gt=0, le=100)
    radius: float = Field(default=0.8, gt=0, le=1.5)
    detector: PresetName = "particle_flow"
    pileup: float = Field(default=0.0, ge=0, le=300)
    pileup_pool: int = Field(default=2000, gt=0)
    flatten_pt: bool = True
    pythia: tuple[str, ...] = ()

    @property
    def wanted(self) -> NDArray[np.int64]:
        """How many jets of each class, in their order."""
        return np.full(len(self.classes), self.jets_per_class)

    @property
    def processes(self) -> dict[str, Process]:
        """The kinds of collisions that its jets come from, by name."""
        raise NotImplementedError

    def match(
        self, process: str, record: Record, event: NDArray[np.int64], eta: NDArray[np.float64], phi: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Label of each jet of a process as an index into the classes, -1 where there is none.

        Args:
            process: Name of the process.
            record: What Pythia made.
            event: Index of each jet's event.
            eta: Pseudorapidity of each jet.
            phi: Azimuth of each jet.
        """
        raise NotImplementedError

    def tracked(self, seen: Particles, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        """Further fields of the constituents, of `OPTIONAL_CONSTITUENT_FIELDS`; none without a parametrised tracking."""
        return {}

    def target(self, particles: Particles, jets: Clustered, events: int) -> NDArray[np.float64] | None:
        """What a network may learn beside the class, NaN for jets that are to be left out; `None` for nothing."""
        return None

    def ghosts(self, record: Record) -> Particles | None:
        """Particles without momentum that are clustered with what is seen, to say what a jet holds; `None` for none."""
        return None

    @property
    def lines(self) -> tuple[str, ...]:
        """All further lines of Pythia settings; showers are varied where `SHOWER_LINES` are among them."""
        return self.pythia


class PythiaData(SimulatedJets):
    """Large jets of quarks, gluons, bosons and tops, simulated with Pythia 8 and a parametrised detector."""

    kind: Literal["pythia"]
    classes: Annotated[tuple[JetClass, ...], Distinct] = ("quark", "gluon", "W", "Z", "top")
    pt_gev: PtWindow = (800.0, 1200.0)

    @property
    def processes(self) -> dict[str, Process]:
        """QCD, W' to W Z, top pairs, ZH."""
        return PROCESSES

    def match(
        self, process: str, record: Record, event: NDArray[np.int64], eta: NDArray[np.float64], phi: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Labels by the partons of the hard process."""
        return _match(self, process, hard_partons(record), event, eta, phi)

    @field_validator("pt_gev")
    @classmethod
    def _heavy_enough(cls, pt_gev: tuple[float, float]) -> tuple[float, float]:
        if pt_gev[0] < 100:
            raise ValueError(
                f"a pT window begins at 100 GeV or above, found {list(pt_gev)}: a lighter W' does not decay to W Z"
            )
        return pt_gev


_HADRONIC = ("{id}:onMode = off", "{id}:onIfAny = 1 2 3 4 5")


@dataclass(frozen=True)
class Process:
    """A kind of collision.

    Attributes:
        classes: The jet classes that it yields.
        commands: Pythia settings; `{low}` and `{high}` are the edges of the jets' pT window in GeV.
    """

    classes: tuple[str, ...]
    commands: tuple[str, ...]

    def settings(self, data: SimulatedJets) -> tuple[str, ...]:
        """All lines for Pythia but those of `_started`."""
        low, high = data.pt_gev
        lines = [f"Beams:eCM = {1000 * data.energy_tev}"]
        for command in self.commands:
            name, equals, value = command.partition("=")
            if "*" in value:  # a multiple of an edge of the window
                factor, edge = value.split("*")
                value = f" {float(factor) * {'low': low, 'high': high}[edge.strip()]:.6g}"
            lines.append(name + equals + value)
        return (*lines, *data.lines)


# From 0.87 of the lower edge to 1.25 of the upper one: half of the jets fall into a window of 800 to 1200 GeV, and losing
# another tenth of momentum to final-state radiation is possible from either side.
_BIASED = (
    "PhaseSpace:pTHatMin = 0.87 * low",
    "PhaseSpace:pTHatMax = 1.25 * high",
    "PhaseSpace:bias2Selection = on",
    "PhaseSpace:bias2SelectionPow = 6.0",
    "PhaseSpace:bias2SelectionRef = 1.0 * low",
)
_W, _Z = (tuple(line.format(id=code) for line in _HADRONIC) for code in (24, 23))
PROCESSES: dict[str, Process] = {
    "qcd": Process(("quark", "gluon"), ("HardQCD:all = on", *_BIASED)),
    "wz": Process(
        ("W", "Z"),
        (
            "NewGaugeBoson:ffbar2Wprime = on",
            "Wprime:coup2WZ = 1.0",
            "Wprime:anglesWZ = 1.0",
            "34:onMode = off",
            "34:onIfMatch = 24 23",
            # A resonance as broad as the window, tilted against the fall of the parton luminosities.
            "34:doForceWidth = on",
            "34:m0 = 2.0 * high",
            "34:mWidth = 0.58 * high",
            "34:mMin = 1.75 * low",
            "34:mMax = 2.67 * high",
            *_W,
            *_Z,
        ),
    ),
    "top": Process(("top",), ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_BIASED, *_W)),
    "higgs": Process(
        ("higgs",),
        ("HiggsSM:ffbar2HZ = on", *_BIASED, "25:onMode = off", "25:onIfMatch = 5 -5", "23:onMode = off",
         "23:onIfAny = 12 14 16"),
    ),
}  # fmt: skip
_DECAYS: dict[JetClass, tuple[tuple[int, ...], int]] = {
    # For each jet class: the codes of the mothers of its quarks, and how many quarks there are.
    "W": ((24, -24), 2),
    "Z": ((23,), 2),
    "higgs": ((25,), 2),
}
_MIN_BIAS = ("SoftQCD:inelastic = on",)


@dataclass(frozen=True)
class Chunk:
    """A piece of a sample: enough to make it anywhere, alone."""

    data: SimulatedJets
    process: str
    index: int
    seed: int
    events: int
    pool: Path | None

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.process}-{self.index:04d}.root"


@dataclass(frozen=True)
class ChunkSummary:
    """What a chunk contains: jets per class, and the cross-section."""

    counts: tuple[int, ...]
    events: int
    sum_of_weights: float
    cross_section_pb: float


def sample_digest(data: SimulatedJets, seed: int) -> str:
    """Digest of everything that decides the content of a sample."""
    from importlib.metadata import version

    return digest(data, seed, SAMPLE_FORMAT, version("pythia8mc"), version("fastjet"))


def generate(
    data: SimulatedJets, seed: int, folder: Path, *, workers: int = 1, progress: Progress | None = None,
    executor: Executor | None = None,
) -> Path:  # fmt: skip
    """Make a sample, or find the one made before.

    The work is cut into chunks, each with its own seed and its own file, so that the sample is the same for any number of
    workers and a killed run goes on with what it had. Then the chunks are joined into one ROOT file, `jets.root`.

    Args:
        data: What to make.
        seed: Seed of the whole sample.
        folder: Where samples are kept; this one gets a folder of its own, named by its digest.
        workers: Number of spawned processes.
        progress: Told of every finished chunk.
        executor: Runs the chunks instead of our own processes.

    Returns:
        The path of the ROOT file.

    Raises:
        InputError: A class has no jets, or a Pythia setting is wrong.
    """
    home = folder / f"{data.kind}-{sample_digest(data, seed)[:SHORT]}"
    target = home / "jets.root"

    def make(chunks: Path, found: Workers) -> None:
        minbias = _prepare_pool(data, seed, folder, found.pool, progress) if data.pileup > 0 else None
        wanted = [name for name, process in data.processes.items() if set(process.classes) & set(data.classes)]
        made = _run_chunks(data, seed, chunks, wanted, minbias, found, progress)
        _join(data, seed, chunks, made, target)

    return make_sample(target, home / "chunks", make, workers, executor)


def _run_chunks(
    data: SimulatedJets, seed: int, folder: Path, wanted: list[str], minbias: Path | None, workers: Workers,
    progress: Progress | None,
) -> dict[str, list[Path]]:  # fmt: skip
    """Make chunks of each process, in order, until the first of them hold all jets that are needed."""
    jets = data.wanted
    events = int(np.clip(jets.max() // 4, 100, 1000))
    done: dict[str, dict[int, ChunkSummary]] = {name: {} for name in wanted}
    submitted = dict.fromkeys(wanted, 0)
    running: dict[Future[ChunkSummary], tuple[str, int]] = {}

    def prefix(name: str) -> tuple[int, NDArray[np.int64]]:
        """How many chunks are there without a gap, until all jets are; and the jets in them."""
        classes = [data.classes.index(c) for c in data.processes[name].classes if c in data.classes]
        counts = np.zeros(len(data.classes), dtype=np.int64)
        for index in range(MAX_CHUNKS):
            if (counts[classes] >= jets[classes]).all() or index not in done[name]:
                return index, counts[classes]
            counts += done[name][index].counts
        return MAX_CHUNKS, counts[classes]

    def needed(name: str) -> int:
        """Chunks that this process will need in all, as far as can be told; exact once they are there."""
        length, counts = prefix(name)
        classes = [data.classes.index(c) for c in data.processes[name].classes if c in data.classes]
        if (counts >= jets[classes]).all():
            return length
        if length >= EMPTY_CHUNKS and (counts == 0).any():
            empty = [data.classes[c] for c, count in zip(classes, counts, strict=True) if count == 0]
            raise InputError(f"class {', '.join(map(repr, empty))} has no jets after {length * events} events of process "
                             f"{name!r}: look at pt_gev, max_abs_eta, radius and pythia")  # fmt: skip
        if length == MAX_CHUNKS:
            raise InputError(f"process {name!r} gave only {counts.min()} jets of a class in {length * events} events")
        rate = (counts / jets[classes]).min() / length if length else 0.0
        estimate = int(np.ceil(1.02 / rate)) if rate > 0 else length + 4
        return min(max(estimate, length + 1), MAX_CHUNKS)

    while True:
        # Keep every worker busy, with the process that is furthest from its end.
        while len(running) < workers.count + 1:
            open_chunks = {name: needed(name) - submitted[name] for name in wanted}
            name = max(open_chunks, key=lambda n: open_chunks[n])
            if open_chunks[name] <= 0:
                break
            index = submitted[name]
            chunk_seed = pythia_seed(seed, name, index)
            future = workers.pool.submit(make_chunk, Chunk(data, name, index, chunk_seed, events, minbias), folder)
            running[future] = (name, index)
            submitted[name] += 1
        if not running:
            break
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            name, index = running.pop(future)
            done[name][index] = future.result()
        if progress is not None:
            sums = np.sum([s.counts for chunks in done.values() for s in chunks.values()], axis=0)
            progress("jets", int(np.minimum(sums, jets).sum()), int(jets.sum()))
    return {
        name: [folder / Chunk(data, name, index, 0, events, None).name for index in range(needed(name))]
        for name in wanted
    }


def pythia_seed(seed: int, name: str, index: int) -> int:
    """A seed of its own for every chunk; Pythia takes 1 to 900,000,000, this is at most 2^28."""
    return 1 + int(digest(seed, name, index)[:7], 16)


def make_chunk(chunk: Chunk, folder: Path) -> ChunkSummary:
    """Simulate one chunk into its file, unless it is there; runs in a worker process."""
    path = folder / chunk.name
    if not path.is_file():
        block = simulate(chunk)
        with replacing(path) as fresh:
            write_sample(fresh, [block], block.details)
    block = read_block(path)
    counts = np.bincount(block.labels, minlength=len(chunk.data.classes))
    details = block.details
    return ChunkSummary(
        tuple(int(count) for count in counts), details["events"], details["sum_of_weights"], details["cross_section_pb"]
    )


def simulate(chunk: Chunk) -> JetBlock:
    """The jets of one chunk: collide, detect, cluster, match."""
    import awkward as ak

    data, process = chunk.data, chunk.data.processes[chunk.process]
    pythia = seeded(process.settings(data), chunk.seed)
    generator = np.random.default_rng([chunk.seed, 1])
    batch = pythia.nextBatch(chunk.events)
    weights = ak.to_numpy(batch.info.weights[:, 0])
    record = record_of(batch)
    particles = visible(pythia, record, PRESETS[data.detector].acceptance, Vertex.LEADING)
    if chunk.pool is None:
        seen = detect(particles, PRESETS[data.detector], generator)
    else:
        seen = _detect_with_pileup(particles, chunk, generator)
    if (ghosts := data.ghosts(record)) is not None:
        seen = concatenate([seen, ghosts])
    varied = shower_weights(batch) if set(SHOWER_LINES) <= set(data.lines) else None
    block = _jets(chunk, record, particles, seen, weights, varied, generator)
    block.details.update(
        process=chunk.process, events=chunk.events, sum_of_weights=float(weights.sum()),
        cross_section_pb=float(pythia.infoPython().sigmaGen() * MB_TO_PB),
    )  # fmt: skip
    return block


@dataclass(frozen=True)
class Collided:
    """Simulated collisions.

    Attributes:
        particles: Their stable visible particles; `event` is the index of the collision.
        scale_gev: The pT of each collision's hardest scattering of partons (pTHat), 0 where Pythia gives none, shape
            `(events,)`.
        showers: Weights of `SHOWERS` relative to the nominal shower, 1 where nothing was varied, shape
            `(events, len(SHOWERS))`.
        cross_section_pb: The cross-section.
    """

    particles: Particles
    scale_gev: NDArray[np.float64]
    showers: NDArray[np.float64]
    cross_section_pb: float


def collide(lines: tuple[str, ...], seed: int, name: str, index: int, events: int, acceptance: float) -> Collided:
    """Collisions with these Pythia settings; showers are varied where `SHOWER_LINES` are among them.

    Those with broken strings are left out, and others made in their place.

    Args:
        lines: Settings of Pythia.
        seed: Seed of the whole sample.
        name: What the collisions are part of; with `index` it decides the random numbers.
        index: The how-manieth chunk of it.
        events: How many collisions.
        acceptance: Largest |eta| of a particle.

    Raises:
        InputError: Pythia does not know a setting or cannot be started.
    """
    pythia = seeded(lines, pythia_seed(seed, name, index))
    varied = set(SHOWER_LINES) <= set(lines)
    parts: list[Collided] = []
    while (missing := events - sum(len(part.scale_gev) for part in parts)) > 0:
        batch = pythia.nextBatch(missing)
        record = record_of(batch)
        whole = ~broken_strings(record)
        squared = np.asarray(batch.info.pT2Hat, dtype=np.float64)
        scale = np.sqrt(np.where(np.isfinite(squared) & (squared > 0), squared, 0.0))
        showers = shower_weights(batch) if varied else np.ones((missing, len(SHOWERS)))
        particles = visible(pythia, record, acceptance, Vertex.LEADING)
        kept = particles.take(whole[particles.event])
        first = sum(len(part.scale_gev) for part in parts)
        kept = replace(kept, event=(first + whole.cumsum() - 1)[kept.event])
        parts.append(Collided(kept, scale[whole], showers[whole], 0.0))
    return Collided(
        concatenate([part.particles for part in parts]), np.concatenate([part.scale_gev for part in parts]),
        np.concatenate([part.showers for part in parts]), float(pythia.infoPython().sigmaGen() * MB_TO_PB),
    )  # fmt: skip


def broken_strings(record: Record) -> NDArray[np.bool_]:
    """Collisions with a hadron, straight from a string, of far more pT than the hardest jet of the partons of all strings.

    Rarely, once in some ten or hundred thousand collisions, Pythia's strings break in a wrong way, those with junctions above
    all: hadrons of 80 and 60 GeV were seen, back to back, from partons of less than 10 GeV. In a pool of minimum bias one of
    them stands for several kilohertz of jets. A hadron of more than 1.5 times the jet and 10 GeV is taken for such a one; a
    single parton would be no limit, for a b hadron may take up many collinear gluons.

    Returns:
        Shape `(events,)`.
    """
    import awkward as ak

    status = np.abs(record.status)
    pt = transverse_momentum(record.momentum["px"], record.momentum["py"])
    # Pythia's codes of what goes into strings, and of what comes of them.
    partons, hadrons = (np.flatnonzero((status >= low) & (status < low + 9)) for low in (71, 81))
    events = len(record.offsets) - 1
    owner = record.event_of(partons)
    hardest_parton, hardest_jet, hardest_hadron = (np.zeros(events) for _ in range(3))
    np.maximum.at(hardest_parton, owner, pt[partons])
    np.maximum.at(hardest_hadron, record.event_of(hadrons), pt[hadrons])
    # No jet is softer than its hardest parton by much, so few collisions need be clustered.
    suspect = hardest_hadron > hardest_parton + 9.0
    chosen = suspect[owner]
    columns = {name: record.momentum[name.lower()][partons][chosen] for name in ("px", "py", "pz", "E")}
    jets = cluster(ak.unflatten(ak.zip(columns), np.bincount(owner[chosen], minlength=events)), _STRING_RADIUS, 1.0)
    np.maximum.at(hardest_jet, jets.event, transverse_momentum(jets.momentum["px"], jets.momentum["py"]))
    broken: NDArray[np.bool_] = suspect & (hardest_hadron > 1.5 * hardest_jet + 10.0)
    return broken


def shower_weights(batch: Any) -> NDArray[np.float64]:
    """Weights of the variations `SHOWERS` of each event, relative to the nominal shower.

    Only the shower off the hardest scattering and its resonances is varied, not that of the other scatterings of a collision
    (Pythia's default), and of final partons only emissions of 2.2 GeV and more. Nothing is capped: weights of "FSR scale x0.5"
    scatter by about their mean.

    Args:
        batch: Events of a Pythia that was started with `SHOWER_LINES`.

    Returns:
        Table of shape `(events, len(SHOWERS))`, about 1 on average.

    Raises:
        InputError: The events have no such weights.
    """
    import awkward as ak

    weights = ak.to_numpy(batch.info.weights).astype(np.float64)
    # The nominal weight, one for each text in the order of the alphabet, and one for each name in the order of the list.
    expected = 1 + 2 * len(SHOWERS)
    if weights.shape[1] != expected:
        raise InputError(
            f"Pythia gave {weights.shape[1]} weights an event; with the settings of SHOWER_LINES there are {expected}"
        )
    relative: NDArray[np.float64] = weights[:, -len(SHOWERS) :] / weights[:, :1]
    return relative


def seeded(lines: tuple[str, ...], seed: int) -> Any:
    """A Pythia with these settings whose next events depend on `seed` alone, whatever it generated before.

    Starting Pythia takes as long as fifty events, so a worker keeps it. Between chunks only the random numbers and the
    statistics carry over, and both are reset here; the maxima of phase space stay as they are (`increaseMaximum`).
    """
    pythia = _started(lines)
    pythia.stat()
    pythia.rndm.init(seed)
    return pythia


@lru_cache(maxsize=2)
def _started(lines: tuple[str, ...]) -> Any:
    import pythia8mc

    # Vincia heeds the verbosity alone: without it a banner goes to standard output, which belongs to --json.
    fixed = ("Print:quiet = on", "Print:verbosity = 0", "Random:setSeed = on", "Random:seed = 1",
             "PhaseSpace:increaseMaximum = off", "Stat:reset = on", "Stat:showProcessLevel = off",
             "Stat:showErrors = off")  # fmt: skip
    pythia = pythia8mc.Pythia("", False)
    for line in (*lines, *fixed):
        if not pythia.readString(line, False):
            raise InputError(f"Pythia does not know the setting {line!r}")
    if not pythia.init():
        raise InputError(f"Pythia cannot be started with: {'; '.join(lines)}")
    return pythia


@dataclass(frozen=True)
class Record:
    """The event records of a batch, flat: every array has one entry a particle, ordered by event.

    Attributes:
        offsets: Event `e` is entries `offsets[e]` to `offsets[e + 1]`, shape `(events + 1,)`.
        code: PDG code.
        status: Pythia's status code.
        mother: Index of the first mother within its event.
        momentum: `px`, `py`, `pz`, `e` in GeV.
        place: `x` and `y` in mm of where it was made; 0 where Pythia gives none, which is in the collision.
    """

    offsets: NDArray[np.int64]
    code: NDArray[np.int32]
    status: NDArray[np.int32]
    mother: NDArray[np.int32]
    momentum: dict[str, NDArray[np.float64]]
    place: tuple[NDArray[np.float64], NDArray[np.float64]]

    def event_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The events that entries belong to."""
        return np.searchsorted(self.offsets, places, side="right") - 1


def record_of(batch: Any) -> Record:
    """The event records of a batch, flat."""
    import awkward as ak

    prt = batch.prt
    flat = ak.flatten(prt)
    return Record(
        offsets=np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(prt)), dtype=np.int64)]),
        code=ak.to_numpy(flat.id),
        status=ak.to_numpy(flat.status),
        mother=ak.to_numpy(flat.mother1),
        momentum={name: ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz", "e")},
        place=(ak.to_numpy(ak.fill_none(flat.vProd.px, 0.0)), ak.to_numpy(ak.fill_none(flat.vProd.py, 0.0))),
    )


def visible(pythia: Any, record: Record, acceptance: float, vertex: int) -> Particles:
    """Stable particles that leave a trace, of all events."""
    code = np.abs(record.code)
    places = np.flatnonzero((record.status > 0) & (code != 12) & (code != 14) & (code != 16))
    px, py, pz, energy = (record.momentum[name][places] for name in ("px", "py", "pz", "e"))
    inside = np.abs(pz) < np.sinh(acceptance) * np.hypot(px, py)
    places, px, py, pz, energy = (column[inside] for column in (places, px, py, pz, energy))
    signed = record.code[places]
    codes, which = np.unique(signed, return_inverse=True)
    charges = np.array([pythia.particleData.charge(int(one)) for one in codes], dtype=np.int8)[which]
    vertices = np.full(len(places), vertex, dtype=np.int8)
    x, y = (column[places] for column in record.place)
    # A straight line from where it was made: for a pion of 2 GeV from 1 cm off the bend is 30 micrometres.
    d0 = np.where(charges != 0, (y * px - x * py) / transverse_momentum(px, py), 0.0)
    return Particles(record.event_of(places), px, py, pz, energy, charges, np.abs(signed), vertices, d0)


@dataclass(frozen=True)
class HardPartons:
    """Partons of the hard process that jets are matched to, padded to the largest number in an event.

    Attributes:
        code: PDG code, 0 where there is none, shape `(events, partons)`.
        mother: PDG code of the mother.
        eta: Pseudorapidity.
        phi: Azimuth.
    """

    code: NDArray[np.int64]
    mother: NDArray[np.int64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]


def hard_partons(record: Record) -> HardPartons:
    """The outgoing partons of the hard process and of its resonance decays (status 23)."""
    places = np.flatnonzero(np.abs(record.status) == 23)
    event = record.event_of(places)
    events = len(record.offsets) - 1
    column = np.arange(len(places)) - np.searchsorted(event, event)  # the how-manieth of its event
    width = int(column.max(initial=0)) + 1

    def padded(values: NDArray[Any]) -> NDArray[Any]:
        table = np.zeros((events, width), dtype=values.dtype)
        table[event, column] = values
        return table

    px, py, pz = (record.momentum[name][places] for name in ("px", "py", "pz"))
    return HardPartons(
        code=padded(record.code[places].astype(np.int64)),
        mother=padded(record.code[record.offsets[event] + record.mother[places]].astype(np.int64)),
        eta=padded(pseudorapidity(px, py, pz)),
        phi=padded(np.arctan2(py, px)),
    )


def measured_jets(
    data: SimulatedJets, seen: Particles, events: int, min_pt_gev: float, generator: np.random.Generator
) -> tuple[Clustered, Any]:
    """Jets of what a detector saw, of any pseudorapidity, and the constituents of each.

    Args:
        data: What a jet is.
        seen: What the detector saw.
        events: Number of events.
        min_pt_gev: Softer jets are dropped.
        generator: Of what the tracks measure.

    Returns:
        The jets, and an awkward array `jets * var * record` with the fields `CONSTITUENT_FIELDS` and those of `tracked`.
    """
    return particle_jets(seen, events, data.radius, min_pt_gev, data.tracked(seen, generator))


def particle_jets(
    seen: Particles,
    events: int,
    radius: float,
    min_pt_gev: float,
    tracked: dict[str, NDArray[np.float64]] | None = None,
) -> tuple[Clustered, Any]:
    """Anti-kt jets of particles, of any pseudorapidity, and the constituents of each.

    Args:
        seen: The particles.
        events: Number of events.
        radius: Radius parameter of the jets.
        min_pt_gev: Softer jets are dropped.
        tracked: Further fields of the particles.

    Returns:
        The jets, and an awkward array `jets * var * record` with the fields `CONSTITUENT_FIELDS` and those of `tracked`.
    """
    import awkward as ak

    columns: dict[str, NDArray[Any]] = {
        "px": seen.px, "py": seen.py, "pz": seen.pz, "E": seen.energy, "charge": seen.charge, "pdg_id": seen.kind,
        "vertex": seen.vertex, **(tracked or {}),
    }  # fmt: skip
    counts = np.bincount(seen.event, minlength=events)
    jets = cluster(ak.unflatten(ak.zip(columns), counts), radius, min_pt_gev)
    places = jets.constituents + np.concatenate([[0], np.cumsum(counts)])[jets.event]
    flat = ak.flatten(places)
    return jets, ak.unflatten(ak.zip({name: column[flat] for name, column in columns.items()}), ak.num(places))


def _jets(
    chunk: Chunk, record: Record, particles: Particles, seen: Particles, weights: NDArray[np.float64],
    varied: NDArray[np.float64] | None, generator: np.random.Generator,
) -> JetBlock:  # fmt: skip
    """Cluster what was seen and keep the labelled jets in the window."""
    data = chunk.data
    low, high = data.pt_gev
    jets, constituents = measured_jets(data, seen, chunk.events, low, generator)
    p = jets.momentum
    pt, eta = transverse_momentum(p["px"], p["py"]), pseudorapidity(p["px"], p["py"], p["pz"])
    label = data.match(chunk.process, record, jets.event, eta, np.arctan2(p["py"], p["px"]))
    chosen = (pt >= low) & (pt < high) & (np.abs(eta) < data.max_abs_eta) & (label >= 0)
    target = data.target(particles, jets, chunk.events)
    if target is not None:
        chosen &= ~np.isnan(target)
    number = (list(data.processes).index(chunk.process) * MAX_CHUNKS + chunk.index) * EVENT_NUMBERS_PER_CHUNK
    return JetBlock(
        constituents=constituents[chosen],
        labels=label[chosen],
        weights=np.ones(int(chosen.sum())),
        events=number + jets.event[chosen],
        generator_weights=weights[jets.event[chosen]],
        details={},
        target=None if target is None else target[chosen],
        variations=None if varied is None else varied[jets.event[chosen]],
    )


def _match(
    data: PythiaData,
    process: str,
    quarks: HardPartons,
    event: NDArray[np.int64],
    eta: NDArray[np.float64],
    phi: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Label of each jet as an index into the classes, -1 where there is none."""
    code, mother = quarks.code[event], quarks.mother[event]
    distance = np.hypot(eta[:, None] - quarks.eta[event], delta_phi(phi[:, None], quarks.phi[event]))
    distance[code == 0] = np.inf
    label = np.full(len(event), -1, dtype=np.int64)
    for index, name in enumerate(data.classes):
        if name not in PROCESSES[process].classes:
            continue  # the W of a top decay is no jet of the W sample
        if name in ("quark", "gluon"):
            nearest_parton = distance.argmin(axis=1)
            row = np.arange(len(event))
            flavour = np.abs(code[row, nearest_parton])
            from_scattering = np.isin(np.abs(mother[row, nearest_parton]), (1, 2, 3, 4, 5, 21))  # not from a resonance
            good = (distance[row, nearest_parton] < data.radius / 2) & from_scattering
            label[good & (flavour == 21 if name == "gluon" else (flavour >= 1) & (flavour <= 3))] = index
            continue
        groups = ([(6, 24), (-6, -24)] if name == "top" else [(m,) for m in _DECAYS[name][0]])  # fmt: skip
        size = 3 if name == "top" else _DECAYS[name][1]
        for mothers in groups:
            decay = np.isin(mother, mothers) & (code != 0) & (np.abs(code) <= 5)
            contained = (decay & (distance < data.radius)).sum(axis=1) == size
            label[contained & (decay.sum(axis=1) == size)] = index
    return label


def _prepare_pool(data: SimulatedJets, seed: int, folder: Path, pool: Executor, progress: Progress | None) -> Path:
    """The pool of minimum-bias collisions, made once for its settings."""
    from importlib.metadata import version

    size, energy = data.pileup_pool, data.energy_tev
    key = digest("pool with impact parameters", size, energy, seed, SAMPLE_FORMAT, version("pythia8mc"))
    target = folder / f"minbias-{key[:SHORT]}.npz"
    if target.is_file():
        return target
    piece = 500
    futures = [
        pool.submit(_min_bias, energy, pythia_seed(seed, "minbias", index), min(piece, size - start))
        for index, start in enumerate(range(0, size, piece))
    ]
    parts = []
    for number, future in enumerate(futures):
        parts.append(future.result())
        if progress is not None:
            progress("minimum-bias collisions", min((number + 1) * piece, size), size)
    first = np.cumsum([0, *(part[1] for part in parts[:-1])])
    columns = {
        name: np.concatenate([getattr(part[0], name) + (offset if name == "event" else 0)
                              for part, offset in zip(parts, first, strict=True)])
        for name in parts[0][0].columns()
    }  # fmt: skip
    with replacing(target) as fresh:
        np.savez(fresh, allow_pickle=False, collisions=np.array(size), **columns)
    return target


def _min_bias(energy_tev: float, seed: int, events: int) -> tuple[Particles, int]:
    pythia = seeded((f"Beams:eCM = {1000 * energy_tev}", *_MIN_BIAS), seed)
    return visible(pythia, record_of(pythia.nextBatch(events)), 5.0, Vertex.PILEUP), events


def _detect_with_pileup(particles: Particles, chunk: Chunk, generator: np.random.Generator) -> Particles:
    """Overlay minbias collisions and detect, some events at a time: two hundred collisions have 50,000 particles."""
    assert chunk.pool is not None
    with np.load(chunk.pool, allow_pickle=False) as stored:
        collisions = Particles(**{name: stored[name] for name in stored.files if name != "collisions"})
        size = int(stored["collisions"])
    seen = []
    for first in range(0, chunk.events, PILEUP_SLICE):
        last = min(first + PILEUP_SLICE, chunk.events)
        mine = particles.take((particles.event >= first) & (particles.event < last))
        overlaid = _pileup(collisions, size, chunk.data.pileup, first, last, generator)
        seen.append(detect(concatenate([mine, overlaid]), PRESETS[chunk.data.detector], generator))
    return concatenate(seen)


def _pileup(
    collisions: Particles, size: int, mean: float, first: int, last: int, generator: np.random.Generator
) -> Particles:
    """Particles of a Poisson number of the `size` pool collisions for each of the events `first` to `last`."""
    edges = np.searchsorted(collisions.event, np.arange(size + 1))
    target = np.repeat(np.arange(first, last), generator.poisson(mean, last - first))
    drawn = generator.integers(0, size, len(target))
    lengths = edges[drawn + 1] - edges[drawn]
    start = np.repeat(edges[drawn] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    taken = collisions.take(start + np.arange(lengths.sum()))
    return replace(taken, event=np.repeat(target, lengths))


def _join(data: SimulatedJets, seed: int, folder: Path, made: dict[str, list[Path]], target: Path) -> None:
    """Join chunks into the sample: the first jets of each class, with weights that flatten the pT spectrum."""
    labels, pts, keep, weights = [], [], [], []
    missing = data.wanted
    processes: dict[str, dict[str, float]] = {}
    for process, paths in made.items():
        sums = processes.setdefault(process, {"events": 0, "sum_of_weights": 0.0, "cross_section_pb": 0.0})
        for path in paths:
            block = read_block(path)
            chosen = np.zeros(len(block.labels), dtype=bool)
            for label in range(len(data.classes)):
                places = np.flatnonzero(block.labels == label)[: missing[label]]
                missing[label] -= len(places)
                chosen[places] = True
            keep.append(chosen)
            labels.append(block.labels[chosen])
            pts.append(block.pt_gev()[chosen])
            weights.append(block.weights[chosen])
            sums["events"] += block.details["events"]
            sums["sum_of_weights"] += block.details["sum_of_weights"]
            sums["cross_section_pb"] += block.details["cross_section_pb"] / len(paths)
    all_labels, base = np.concatenate(labels), np.concatenate(weights)
    require_every_class(all_labels, data.classes)
    if data.flatten_pt:
        base = flattening_weights(np.concatenate(pts), all_labels, base, data.pt_gev)
    edges = np.cumsum([0, *(len(part) for part in labels)])

    def blocks() -> Iterable[JetBlock]:
        paths = [path for group in made.values() for path in group]
        for path, chosen, start, stop in zip(paths, keep, edges[:-1], edges[1:], strict=True):
            yield read_block(path).take(chosen, base[start:stop])

    from importlib.metadata import version

    details = {
        "settings": data.model_dump(mode="json"), "seed": seed, "class_names": list(data.classes), "processes": processes,
        "versions": {name: version(name) for name in ("pythia8mc", "fastjet")},
    }  # fmt: skip
    with replacing(target) as fresh:
        write_sample(fresh, blocks(), details)


def read_generated(path: Path) -> Iterable[JetDataset]:
    """The jets of a generated sample, in the blocks that it was written in."""
    from trigger.data.rootfile import iterate_blocks

    for block in iterate_blocks(path):
        names = tuple(block.details["class_names"])
        yield JetDataset(
            block.constituents, block.labels, names, block.weights, block.events,
            Origin(block.details["settings"]["kind"], False, block.details), block.target, block.variations,
        )  # fmt: skip
