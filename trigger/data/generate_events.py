"""Crossings of bunches from simulated collisions: background, and signals on top of it.

A crossing holds a Poisson number of inelastic proton-proton collisions (Pythia's `SoftQCD:inelastic`: non-diffractive and
diffractive, 78.0 mb at 13 TeV; the mean is luminosity times this over the crossing rate), drawn with replacement from a
prepared pool. A background crossing has nothing else; a signal has one hard collision more. Collisions of neighbouring
crossings are not overlaid: there is no out-of-time pileup.

A pool collision takes part in many crossings, so these are not independent: minimum bias has few hard collisions, and a rate
is known no better than the number of *them* allows. Two things keep this honest. The pool is cut into twenty folds, and a
crossing draws from the fold of its event number alone, in which the twentieths of `split_by_event` (with the sample's seed)
are kept apart: what a network trained on is not in the test split. And the sample lists what each crossing drew and which of
them was the hardest: uncertainties are of a bootstrap over *these*, and slices of pTHat bring in more of them.

A hard collision that was put into a crossing (a signal, or a slice of pTHat) brings its particle-level jets and the weights
of variations of its parton shower with it. The soft collisions of the pool are not varied, whatever their pTHat.

| signal | process | |
| --- | --- | --- |
| A_4l | gg -> A(50) -> Z* Z* -> 4 e, mu | arXiv:2107.02157 |
| leptoquark | pairs of LQ(80) -> b tau | arXiv:2107.02157 |
| h_tautau | gg -> h(60) -> tau tau | arXiv:2107.02157 |
| hplus_taunu | q q' -> h+-(60) -> tau nu | arXiv:2107.02157 |
| ttbar | top pairs | |
| vbf_bb | vector-boson fusion to H(125) -> b b | |
| wprime_wz | W'(1000) -> W Z | |
| dark_jets | Z'(1000) -> dark quarks of a confining hidden valley, whose mesons of 20 GeV decay to s quarks | arXiv:1102.3795 |

The A of the challenge is a Higgs of Pythia's Standard Model with a mass of 50 GeV and Z bosons far off their shell: what
matters for the trigger are four soft leptons.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from trigger.config import Settings
from trigger.data.detector import Particles
from trigger.data.events import EVENT_FORMAT, EventDataset, concatenate_events, read_events, read_origin, write_events
from trigger.data.generate import MB_TO_PB, SHOWER_LINES, SHOWERS, Collided, Progress, collide, make_pieces, make_sample
from trigger.data.jets import Origin, Split, split_by_event
from trigger.data.level1 import (
    ACCEPTANCE,
    Fault,
    Signals,
    concatenate_signals,
    observe,
    overlay,
    trigger_objects,
    with_towers,
)
from trigger.data.stitching import stitched_rates
from trigger.digest import SHORT, digest
from trigger.errors import InputError
from trigger.files import replacing
from trigger.inputs.clustering import cluster
from trigger.kinematics import pseudorapidity, transverse_momentum
from trigger.workers import Workers

BACKGROUND = "background"
FOLDS = 20
POOL_CHUNK, SIGNAL_CHUNK, BACKGROUND_CHUNK = 500, 250, 1000
SLICE = 100
"""Crossings that are held in memory at a time; part of what decides the random numbers."""
EVENT_NUMBERS_PER_CLASS = 1_000_000_000
SLICE_PREFIX = "qcd_"
SLICES_FROM_GEV = 20.0
MIN_BIAS = ("SoftQCD:inelastic = on",)
FEW = 100
"""Collisions of a slice in the pool, below which inclusive crossings are not trusted for it."""
OFFLINE_RADIUS, OFFLINE_JET_GEV, OFFLINE_ETA = 0.4, 30.0, 2.5
"""Particle-level jets of hard collisions: anti-kt, smallest pT, largest |eta|."""
_DARK_MESONS = (4900111, 4900113, 4900211, 4900213)

Signal = Literal["A_4l", "leptoquark", "h_tautau", "hplus_taunu", "ttbar", "vbf_bb", "wprime_wz", "dark_jets"]
SIGNALS: dict[Signal, tuple[str, ...]] = {
    "A_4l": (
        "HiggsSM:gg2H = on", "25:m0 = 50", "25:mMin = 45", "23:mMin = 1", "25:onMode = off", "25:onIfMatch = 23 23",
        "23:onMode = off", "23:onIfAny = 11 13",
    ),
    "leptoquark": (
        "LeptoQuark:gg2LQLQbar = on", "LeptoQuark:qqbar2LQLQbar = on", "42:m0 = 80", "42:mMin = 40",
        "42:0:products = 5 15",
    ),
    "h_tautau": ("HiggsSM:gg2H = on", "25:m0 = 60", "25:mMin = 50", "25:onMode = off", "25:onIfMatch = 15 -15"),
    "hplus_taunu": ("Higgs:useBSM = on", "HiggsBSM:ffbar2H+- = on", "37:m0 = 60", "37:onMode = off", "37:onIfAny = 15"),
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
    "vbf_bb": ("HiggsSM:ff2Hff(t:ZZ) = on", "HiggsSM:ff2Hff(t:WW) = on", "25:onMode = off", "25:onIfMatch = 5 -5"),
    "wprime_wz": (
        "NewGaugeBoson:ffbar2Wprime = on", "Wprime:coup2WZ = 1", "34:m0 = 1000", "34:onMode = off", "34:onIfMatch = 24 23",
    ),
    "dark_jets": (
        "HiddenValley:ffbar2Zv = on", "4900023:m0 = 1000", "4900023:onMode = off", "4900023:onIfAny = 4900101",
        "HiddenValley:Ngauge = 3", "HiddenValley:FSR = on", "HiddenValley:fragment = on", "HiddenValley:alphaOrder = 1",
        "HiddenValley:Lambda = 10", "HiddenValley:pTminFSR = 11", "4900101:m0 = 10",
        *(line for code in _DARK_MESONS for line in (f"{code}:m0 = 20", f"{code}:onechannel = 1 1.0 91 3 -3")),
    ),
}  # fmt: skip
"""Pythia settings of each signal."""


def different_signals(signals: tuple[str, ...]) -> tuple[str, ...]:
    """Of settings: refuse signals that are none, or named twice."""
    if len(set(signals)) != len(signals) or not signals:
        raise ValueError(f"at least one signal, each once, is needed; found {list(signals)}")
    return signals


def rising_edges(edges: tuple[float, ...]) -> tuple[float, ...]:
    """Of settings: refuse lower edges of slices of pTHat that do not rise, or begin too low."""
    if any(low >= high for low, high in pairwise((0, *edges))) or (edges and edges[0] < SLICES_FROM_GEV):
        raise ValueError(
            f"edges of slices rise and begin at {SLICES_FROM_GEV:g} GeV or above, where one scattering in a collision is as "
            f"hard at the most; found {list(edges)}"
        )
    return edges


def slice_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Names of the slices of pTHat with these lower edges."""
    return tuple(f"{SLICE_PREFIX}{edge:g}" for edge in edges)


def slice_lines(edges: tuple[float, ...], at: int) -> tuple[str, ...]:
    """Pythia's settings for QCD jets of one slice, up to the next; the last one has no end."""
    ends = (*edges, -1)  # Pythia's word for no upper edge
    return ("HardQCD:all = on", f"PhaseSpace:pTHatMin = {ends[at]}", f"PhaseSpace:pTHatMax = {ends[at + 1]}")


class EventData(Settings):
    """Crossings simulated with Pythia 8 and the Level-1 detector of `trigger/data/level1.py`.

    Attributes:
        signals: Which signals; the classes are `background` and these.
        crossings: Number of background crossings.
        events_per_signal: Number of events of each signal.
        pileup: Mean number of inelastic collisions in a crossing, of signals besides the hard one.
        pool: Number of collisions that they are drawn from.
        energy_tev: Energy of the proton-proton collisions.
        slices_gev: Lower edges of slices of pTHat, each up to the next and the last without end. For each there are crossings
            with one collision of QCD jets of that slice beside the pileup: minimum bias has hardly any of them, and they are
            what low rates are made of. They are of the background, whose weights stitch them together
            (`trigger/data/stitching.py`).
        crossings_per_slice: Number of crossings of each slice.
    """

    kind: Literal["events"]
    signals: Annotated[tuple[Signal, ...], AfterValidator(different_signals)] = tuple(SIGNALS)
    crossings: int = Field(default=40_000, gt=0)
    events_per_signal: int = Field(default=3000, gt=0)
    pileup: float = Field(default=50.0, ge=0, le=200)
    pool: int = Field(default=20_000, ge=FOLDS)
    energy_tev: float = Field(default=13.0, gt=0, le=100)
    slices_gev: Annotated[tuple[float, ...], AfterValidator(rising_edges)] = ()
    crossings_per_slice: int = Field(default=2000, gt=0)

    @model_validator(mode="after")
    def _stitchable(self) -> Self:
        if self.slices_gev and self.pileup == 0:
            raise ValueError(
                "slices_gev: without pileup there is no crossing that a slice is a part of; leave them out"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes: the background, which crossings of slices belong to, and the signals."""
        return (BACKGROUND, *self.signals)

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that crossings are made of one after the other; the place in it is in the event's number."""
        return (*self.class_names, *self.slice_names)

    @property
    def slice_names(self) -> tuple[str, ...]:
        """Names of the slices of pTHat."""
        return slice_names(self.slices_gev)

    def lines(self, name: str) -> tuple[str, ...]:
        """Pythia's settings for the hard collisions of a class, and for the pool, whose showers are not varied."""
        if name in self.signals:
            return (*SIGNALS[name], *SHOWER_LINES)
        if name not in self.slice_names:
            return MIN_BIAS
        return (*slice_lines(self.slices_gev, self.slice_names.index(name)), *SHOWER_LINES)

    def slice_of(self, scale_gev: NDArray[np.float64]) -> NDArray[np.int64]:
        """Slice that a collision is in, -1 below all."""
        return np.searchsorted(self.slices_gev, scale_gev, side="right") - 1


@dataclass(frozen=True)
class EventChunk:
    """A piece of a sample: enough to make it anywhere, alone, once the pool is there.

    Attributes:
        data: Settings of the sample.
        seed: Its seed.
        name: `background`, or the signal.
        index: The how-manieth piece of it.
        first: Its first event.
        events: How many it has.
    """

    data: EventData
    seed: int
    name: str
    index: int
    first: int
    events: int


def events_digest(data: EventData, seed: int) -> str:
    """Digest of everything that decides the content of a sample."""
    from importlib.metadata import version

    return digest(data, seed, EVENT_FORMAT, version("pythia8mc"))


def generate_events(
    data: EventData, seed: int, folder: Path, *, workers: int = 1, progress: Progress | None = None,
    executor: Executor | None = None,
) -> Path:  # fmt: skip
    """Make a sample, or find the one made before.

    Like `generate`: chunks with seeds and files of their own, so that the sample is the same for any number of workers and a
    killed run goes on with what it had. The pool has a folder of its own, for samples that differ in nothing but their crossings
    share it.

    Args:
        data: What to make.
        seed: Seed of the whole sample.
        folder: Where samples are kept; this one gets a folder of its own, named by its digest.
        workers: Number of spawned processes.
        progress: Told of every finished chunk.
        executor: Runs the chunks instead of our own processes.

    Returns:
        The path of the sample.
    """
    home = folder / f"events-{events_digest(data, seed)[:SHORT]}"
    target = home / "events.npz"
    make = partial(_make_events, data, seed, target, progress)
    return make_sample(target, home / "chunks", make, workers, executor)


def _make_events(
    data: EventData, seed: int, target: Path, progress: Progress | None, chunks: Path, workers: Workers
) -> None:
    from importlib.metadata import version

    drawn_from = pool_path(data, seed, target.parent.parent)
    inelastic = _make_pool(data, seed, drawn_from, workers, progress)
    parts = [
        piece for name in data.signals for piece in _pieces(data, seed, name, data.events_per_signal, SIGNAL_CHUNK)
    ]
    parts += _background_pieces(data, seed)
    made = partial(make_event_chunk, folder=chunks, pool=drawn_from)
    hard = make_pieces(made, parts, workers, "crossings", progress)
    details = {
        "settings": data.model_dump(mode="json"), "seed": seed, "class_names": list(data.class_names),
        "inelastic_cross_section_mb": inelastic / MB_TO_PB, "out_of_time_pileup": False,
        "pool_folds": FOLDS, "showers": list(SHOWERS),
        "cross_section_pb": {name: hard[name] for name in (*data.signals, *data.slice_names)},
        "versions": {"pythia8mc": version("pythia8mc")},
    }  # fmt: skip
    whole = concatenate_events(_read_chunks(data, chunks, parts))
    weights = _stitched(data, whole, parts, details)
    write_events(target, replace(whole, weights=weights, origin=Origin("events", False, details)))


def pool_path(data: EventData, seed: int, folder: Path) -> Path:
    """Where the collisions that crossings are drawn from are, or would be."""
    from importlib.metadata import version

    key = digest("pool", data.pool, data.energy_tev, seed, EVENT_FORMAT, version("pythia8mc"))
    return folder / f"pool-{key[:SHORT]}" / "pool.npz"


def _make_pool(data: EventData, seed: int, path: Path, workers: Workers, progress: Progress | None) -> float:
    """Simulate the pool, unless it is there; the inelastic cross-section in pb."""

    def make(chunks: Path, by: Workers) -> None:
        pieces = _pieces(data, seed, "pool", data.pool, POOL_CHUNK)
        soft = partial(make_pool_chunk, folder=chunks)
        found = make_pieces(soft, pieces, by, "minimum-bias collisions", progress)
        files = [_file(chunks, one) for one in pieces]
        scale = np.concatenate([_read_scale(one) for one in files])
        _write_signals(path, concatenate_signals([_read_signals(one) for one in files]), scale, found["pool"])

    make_sample(path, path.parent / "chunks", make, workers.count, workers.pool)
    with np.load(path, allow_pickle=False) as file:
        return float(file["cross_section_pb"])


def _pieces(data: EventData, seed: int, name: str, events: int, size: int) -> list[EventChunk]:
    starts = range(0, events, size)
    return [EventChunk(data, seed, name, i, first, min(size, events - first)) for i, first in enumerate(starts)]


def _background_pieces(data: EventData, seed: int) -> list[EventChunk]:
    """The pieces of the slices and then, for they are the quickest, of inclusive crossings."""
    slices = [
        piece
        for name in data.slice_names
        for piece in _pieces(data, seed, name, data.crossings_per_slice, SIGNAL_CHUNK)
    ]
    return slices + _pieces(data, seed, BACKGROUND, data.crossings, BACKGROUND_CHUNK)


def _read_chunks(data: EventData, folder: Path, pieces: list[EventChunk]) -> list[EventDataset]:
    """The events of pieces that are made, inclusive crossings first."""
    return [read_events(_file(folder, one)) for one in sorted(pieces, key=lambda piece: data.parts.index(piece.name))]


def _stitched(
    data: EventData, whole: EventDataset, pieces: list[EventChunk], details: dict[str, Any]
) -> NDArray[np.float64]:
    """Weights of all events: of the background their sum is the number of inclusive crossings of the sample, up to chance."""
    weights = np.ones(len(whole))
    rows = whole.labels == 0
    names = (BACKGROUND, *data.slice_names)
    made = np.array([sum(piece.events for piece in pieces if piece.name == name) for name in names])
    if not data.slices_gev:
        weights[rows] = data.crossings / made[0]
        return weights
    assert whole.slices is not None
    sample = slice_number(data, whole.events[rows])
    weights[rows] = stitched_rates(
        sample, whole.slices[rows], made, data.pileup, _shares(data, details), data.crossings
    )
    return weights


def crossing_rates(data: EventData, events: EventDataset, total_hz: float, varied: bool = False) -> NDArray[np.float64]:
    """Rate that each background crossing of a sample stands for, in Hz, shape `(events,)`.

    Of slices that the pool has fewer than a hundred collisions of, forced ones alone are counted: an inclusive crossing has
    one of a handful again and again, and the weights of the sample, which take crossings for independent, would trust it.

    Args:
        data: Settings of the sample.
        events: Its background, or that of a remake with a fault.
        total_hz: Rate of filled crossings.
        varied: Count crossings with a collision of any slice only where it was put in, as those alone have varied showers.
    """
    details = events.origin.details
    whole = {BACKGROUND: data.crossings, **dict.fromkeys(data.slice_names, data.crossings_per_slice)}
    counts = details.get("crossings_with_fault", whole)
    made = np.array([counts[name] for name in (BACKGROUND, *data.slice_names)])
    if not data.slices_gev:
        return np.full(len(events), total_hz / made[0])
    assert events.slices is not None
    share = _shares(data, details)
    scarce = np.ones(len(share), dtype=bool) if varied else data.pool * share < FEW
    return stitched_rates(slice_number(data, events.events), events.slices, made, data.pileup, share, total_hz, scarce)


def _shares(data: EventData, details: dict[str, Any]) -> NDArray[np.float64]:
    """Cross-section of each slice over the inelastic one."""
    share = np.array([details["cross_section_pb"][name] for name in data.slice_names])
    shares: NDArray[np.float64] = share / (details["inelastic_cross_section_mb"] * MB_TO_PB)
    return shares


def slice_number(data: EventData, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """From the numbers of background crossings: 0 of inclusive ones, 1 and more of those that a slice was put into."""
    part = numbers // EVENT_NUMBERS_PER_CLASS
    return np.where(part == 0, 0, part - len(data.signals))  # slices come after the signals


def disturbed_events(
    data: EventData, seed: int, folder: Path, fault: Fault, *, share: float = 1.0, workers: int = 1,
    progress: Progress | None = None, executor: Executor | None = None,
) -> EventDataset:  # fmt: skip
    """The background of a sample made again with the same random numbers, seen by a calorimeter with a fault.

    Collisions, pileup and muons of an event are those of the event of the same number in the sample, to the last bit: what
    differs is of the fault. Events come in the order of the sample, without signals. The sample is made first where it is not
    there. Chunks and the result are kept beside it as they are of the sample.

    With a share of the crossings, weights are stitched anew: their sum is the number of inclusive crossings of the *whole*
    sample still, up to chance. To compare, take the sample's events of the same numbers with the weights found here.

    Args:
        data: What the sample is.
        seed: Seed of the sample.
        folder: Where samples are kept.
        fault: What is wrong with the calorimeter.
        share: Share of the inclusive crossings that are made: the first chunks. Slices are made whole.
        workers: Number of spawned processes.
        progress: Told of every finished chunk.
        executor: Runs the chunks instead of our own processes.

    Raises:
        InputError: The share is not of (0, 1].
    """
    pieces = _disturbed_pieces(data, seed, share)
    sample = generate_events(data, seed, folder, workers=workers, progress=progress, executor=executor)
    key = digest(asdict(fault), [(piece.name, piece.index) for piece in pieces])[:SHORT]
    target = sample.parent / f"disturbed-{key}.npz"
    make = partial(_make_disturbed, data, seed, sample, pieces, fault, target, progress)
    return read_events(make_sample(target, target.with_suffix(""), make, workers, executor))


def _disturbed_pieces(data: EventData, seed: int, share: float) -> list[EventChunk]:
    if not 0 < share <= 1:
        raise InputError(f"a share of the inclusive crossings is above 0 and at most 1, not {share:g}")
    pieces = _background_pieces(data, seed)
    kept = ceil(share * sum(piece.name == BACKGROUND for piece in pieces))
    return [piece for piece in pieces if piece.name != BACKGROUND or piece.index < kept]


def _make_disturbed(
    data: EventData, seed: int, sample: Path, pieces: list[EventChunk], fault: Fault, target: Path, progress: Progress | None,
    chunks: Path, workers: Workers,
) -> None:  # fmt: skip
    stored = pool_path(data, seed, sample.parent.parent)
    _make_pool(data, seed, stored, workers, progress)  # it may have been taken away to save space
    make = partial(make_event_chunk, folder=chunks, pool=stored, fault=fault)
    make_pieces(make, pieces, workers, "crossings with a fault", progress)
    whole = concatenate_events(_read_chunks(data, chunks, pieces), every_class=False)
    nominal = read_origin(sample)
    weights = _stitched(data, whole, pieces, nominal.details)
    made: dict[str, int] = {}
    for piece in pieces:
        made[piece.name] = made.get(piece.name, 0) + piece.events
    details = nominal.details | {"fault": asdict(fault), "crossings_with_fault": made}
    write_events(target, replace(whole, weights=weights, origin=replace(nominal, details=details)))


def make_pool_chunk(chunk: EventChunk, folder: Path) -> float:
    """Simulate some minimum-bias collisions into a file, unless it is there; the inelastic cross-section in pb."""
    path = _file(folder, chunk)
    if not path.is_file():
        signals, collided = _observed(chunk)
        _write_signals(path, signals, collided.scale_gev, collided.cross_section_pb)
    with np.load(path, allow_pickle=False) as file:
        return float(file["cross_section_pb"])


def make_event_chunk(chunk: EventChunk, folder: Path, pool: Path, fault: Fault | None = None) -> float:
    """Simulate some events into a file, unless it is there; the signal's cross-section in pb, 0 of background."""
    path = _file(folder, chunk)
    if not path.is_file():
        write_events(path, simulate_events(chunk, *_pool(pool), fault))
    return float(read_events(path).origin.details["cross_section_pb"])


def simulate_events(
    chunk: EventChunk, pool: Signals, pool_scale_gev: NDArray[np.float64], fault: Fault | None = None
) -> EventDataset:
    """The events of one chunk: collide, overlay, detect.

    Args:
        chunk: Which events.
        pool: The collisions of the pool.
        pool_scale_gev: The pTHat of each.
        fault: What is wrong with the calorimeter; it changes no random number.
    """
    import awkward as ak

    data, part = chunk.data, chunk.data.parts.index(chunk.name)
    label = part if part < len(data.class_names) else 0
    hard, scale, cross_section_pb = None, np.zeros(chunk.events), 0.0
    offline, showers = np.zeros(chunk.events), np.ones((chunk.events, len(SHOWERS)))
    if part > 0:
        hard, collided = _observed(chunk)
        scale, showers, cross_section_pb = collided.scale_gev, collided.showers, collided.cross_section_pb
        offline = offline_gev(collided.particles, chunk.events)
    generator = _generator(chunk, "crossings")
    numbers = part * EVENT_NUMBERS_PER_CLASS + chunk.first + np.arange(chunk.events)
    counts = generator.poisson(data.pileup, chunk.events)
    fold = np.repeat(folds(numbers, chunk.seed), counts)
    sizes = (len(pool) - np.arange(FOLDS) + FOLDS - 1) // FOLDS  # collision i of the pool is of fold i modulo FOLDS
    drawn = fold + FOLDS * generator.integers(0, sizes[fold])
    edges = np.concatenate([[0], np.cumsum(counts)])
    made = []
    for first in range(0, chunk.events, SLICE):
        last = min(first + SLICE, chunk.events)
        crossings = overlay(
            pool, drawn[edges[first] : edges[last]], counts[first:last], None if hard is None else hard.take(first, last),
            generator,
        )  # fmt: skip
        seen = crossings if fault is None else with_towers(crossings, fault)
        made.append(trigger_objects(seen, generator))
    return EventDataset(
        **{name: np.concatenate([one[name] for one in made]) for name in made[0]},
        labels=np.full(chunk.events, label, dtype=np.int64), class_names=data.class_names, weights=np.ones(chunk.events),
        events=numbers, origin=Origin("events", False, {"cross_section_pb": cross_section_pb}), collisions=counts,
        pool=ak.unflatten(drawn.astype(np.int32), counts), source=_hardest(drawn, edges, numbers, pool_scale_gev, scale),
        slices=_in_slices(data, pool_scale_gev[drawn], counts, chunk.name), offline_gev=offline, showers=showers,
    )  # fmt: skip


def offline_gev(particles: Particles, events: int) -> NDArray[np.float64]:
    """Scalar sum of pT of the particle-level jets of each event, 0 where there is none.

    Args:
        particles: All stable visible particles (muons and electrons too), ordered by event.
        events: How many events there are.

    Returns:
        In GeV, shape `(events,)`.
    """
    import awkward as ak

    columns = {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy}
    counts = np.bincount(particles.event, minlength=events)
    jets = cluster(ak.unflatten(ak.zip(columns), counts), OFFLINE_RADIUS, OFFLINE_JET_GEV)
    p = jets.momentum
    kept = np.abs(pseudorapidity(p["px"], p["py"], p["pz"])) < OFFLINE_ETA
    pt = transverse_momentum(p["px"], p["py"])
    return np.bincount(jets.event[kept], pt[kept], minlength=events).astype(np.float64)


def _hardest(
    drawn: NDArray[np.int64], edges: NDArray[np.int64], numbers: NDArray[np.int64], pool_scale_gev: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> NDArray[np.int64]:  # fmt: skip
    """Of each event the pool's collision that is hardest; of a harder one of its own, or without any, what no other has."""
    event = np.repeat(np.arange(len(numbers)), np.diff(edges))
    order = np.lexsort((pool_scale_gev[drawn], event))
    last = np.flatnonzero(np.diff(edges))
    found = -1 - numbers
    hardest = drawn[order[edges[last + 1] - 1]]
    shared = pool_scale_gev[hardest] >= scale[last]
    found[last[shared]] = hardest[shared]
    return found


def _in_slices(
    data: EventData, pool_scale_gev: NDArray[np.float64], counts: NDArray[np.int64], name: str
) -> NDArray[np.int64]:
    """How many collisions of each event are in each slice, shape `(events, slices)`.

    What was put in is of the slice that Pythia was told, for masses may move its pTHat a little across an edge.
    """
    row = np.arange(len(counts))
    found = np.zeros((len(counts), len(data.slices_gev) + 1), dtype=np.int64)  # below all slices is the last column
    np.add.at(found, (np.repeat(row, counts), data.slice_of(pool_scale_gev)), 1)
    if name in data.slice_names:
        found[:, data.slice_names.index(name)] += 1
    return found[:, :-1]


def folds(events: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Fold of the pool that each event draws from: the twentieth in which `split_by_event` places it."""
    fold = np.full(len(events), FOLDS - 1, dtype=np.int64)
    for k in range(1, FOLDS):
        fold -= split_by_event(events, seed, 0.0, k / FOLDS)[Split.TEST]
    return fold


def _observed(chunk: EventChunk) -> tuple[Signals, Collided]:
    """What the detector has of the chunk's collisions, and the collisions."""
    settings = (f"Beams:eCM = {1000 * chunk.data.energy_tev}", *chunk.data.lines(chunk.name))
    collided = collide(settings, chunk.seed, chunk.name, chunk.index, chunk.events, ACCEPTANCE)
    return observe(collided.particles, chunk.events, _generator(chunk, "detector")), collided


def _generator(chunk: EventChunk, purpose: str) -> np.random.Generator:
    return np.random.default_rng(int(digest(chunk.seed, chunk.name, chunk.index, purpose)[:16], 16))


def _file(folder: Path, chunk: EventChunk) -> Path:
    return folder / f"{chunk.name}-{chunk.index:05d}.npz"


def _write_signals(path: Path, signals: Signals, scale_gev: NDArray[np.float64], cross_section_pb: float = 0.0) -> None:
    about = {"scale_gev": scale_gev, "cross_section_pb": np.array(cross_section_pb)}
    with replacing(path) as fresh:
        np.savez(fresh, allow_pickle=False, **about, **asdict(signals))


def _read_signals(path: Path) -> Signals:
    with np.load(path, allow_pickle=False) as file:
        return Signals(**{name: file[name] for name in Signals.__dataclass_fields__})


def _read_scale(path: Path) -> NDArray[np.float64]:
    with np.load(path, allow_pickle=False) as file:
        scale: NDArray[np.float64] = file["scale_gev"]
    return scale


@lru_cache(maxsize=1)
def _pool(path: Path) -> tuple[Signals, NDArray[np.float64]]:
    return _read_signals(path), _read_scale(path)
