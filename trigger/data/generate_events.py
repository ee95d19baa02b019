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

import shutil
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from trigger.config import Settings
from trigger.data.events import EVENT_FORMAT, EventDataset, concatenate_events, read_events, write_events
from trigger.data.generate import Progress, collide
from trigger.data.jets import Origin, Split, split_by_event
from trigger.data.level1 import ACCEPTANCE, Signals, concatenate_signals, observe, overlay, trigger_objects
from trigger.data.stitching import stitched_rates
from trigger.digest import SHORT, digest
from trigger.files import locked, make_folder, replacing
from trigger.workers import in_order, workers_of

BACKGROUND = "background"
FOLDS = 20
POOL_CHUNK, SIGNAL_CHUNK, BACKGROUND_CHUNK = 500, 250, 1000
SLICE = 100
"""Crossings that are held in memory at a time; part of what decides the random numbers."""
EVENT_NUMBERS_PER_CLASS = 1_000_000_000
SLICE_PREFIX = "qcd_"
SLICES_FROM_GEV = 20.0
MIN_BIAS = ("SoftQCD:inelastic = on",)
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


def _different(signals: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(signals)) != len(signals) or not signals:
        raise ValueError(f"at least one signal, each once, is needed; found {list(signals)}")
    return signals


def _rising(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise((0, *edges))) or (edges and edges[0] < SLICES_FROM_GEV):
        raise ValueError(
            f"edges of slices rise and begin at {SLICES_FROM_GEV:g} GeV or above, where one scattering in a collision is as "
            f"hard at the most; found {list(edges)}"
        )
    return edges


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
    signals: Annotated[tuple[Signal, ...], AfterValidator(_different)] = tuple(SIGNALS)
    crossings: int = Field(default=40_000, gt=0)
    events_per_signal: int = Field(default=3000, gt=0)
    pileup: float = Field(default=50.0, ge=0, le=200)
    pool: int = Field(default=20_000, ge=FOLDS)
    energy_tev: float = Field(default=13.0, gt=0, le=100)
    slices_gev: Annotated[tuple[float, ...], AfterValidator(_rising)] = ()
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
        return tuple(f"{SLICE_PREFIX}{edge:g}" for edge in self.slices_gev)

    def lines(self, name: str) -> tuple[str, ...]:
        """Pythia's settings for the hard collisions of a class, and for the pool."""
        if name in self.signals:
            return SIGNALS[name]
        if name not in self.slice_names:
            return MIN_BIAS
        at = self.slice_names.index(name)
        edges = (*self.slices_gev, -1)  # Pythia's word for no upper edge
        return ("HardQCD:all = on", f"PhaseSpace:pTHatMin = {edges[at]}", f"PhaseSpace:pTHatMax = {edges[at + 1]}")

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
    killed run goes on with what it had. Beside `events.npz`, which `read_events` reads, lies the pool, `pool.npz`.

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
    if target.is_file():
        return target
    with locked(home):
        if not target.is_file():  # another run may have made it while we waited
            with workers_of(workers, pool=executor) as found:
                _make_sample(data, seed, home, target, found.pool, found.count, progress)
    return target


def _make_sample(
    data: EventData, seed: int, home: Path, target: Path, pool: Executor, workers: int, progress: Progress | None
) -> None:  # fmt: skip
    from importlib.metadata import version

    chunks = make_folder(home / "chunks")

    def run(function: partial[float], pieces: list[EventChunk], what: str) -> dict[str, list[float]]:
        """Cross-sections in pb of the pieces by name."""
        total, done = sum(piece.events for piece in pieces), 0
        found: dict[str, list[float]] = {}
        for piece, cross_section_pb in zip(pieces, in_order(pool, function, pieces, workers + 1), strict=True):
            done += piece.events
            found.setdefault(piece.name, []).append(cross_section_pb)
            if progress is not None:
                progress(what, done, total)
        return found

    def pieces(name: str, events: int, size: int) -> list[EventChunk]:
        starts = range(0, events, size)
        return [EventChunk(data, seed, name, i, first, min(size, events - first)) for i, first in enumerate(starts)]

    drawn_from = pieces("pool", data.pool, POOL_CHUNK)
    inelastic = run(partial(make_pool_chunk, folder=chunks), drawn_from, "minimum-bias collisions")["pool"]
    if not (home / "pool.npz").is_file():
        files = [_file(chunks, one) for one in drawn_from]
        scale = np.concatenate([_read_scale(one) for one in files])
        _write_signals(home / "pool.npz", concatenate_signals([_read_signals(one) for one in files]), scale)
    parts = [piece for name in data.signals for piece in pieces(name, data.events_per_signal, SIGNAL_CHUNK)]
    parts += [piece for name in data.slice_names for piece in pieces(name, data.crossings_per_slice, SIGNAL_CHUNK)]
    parts += pieces(BACKGROUND, data.crossings, BACKGROUND_CHUNK)
    hard = run(partial(make_event_chunk, folder=chunks, pool=home / "pool.npz"), parts, "crossings")
    details = {
        "settings": data.model_dump(mode="json"), "seed": seed, "class_names": list(data.class_names),
        "inelastic_cross_section_mb": float(np.mean(inelastic)) / 1e9, "out_of_time_pileup": False, "pool_folds": FOLDS,
        "cross_section_pb": {name: float(np.mean(hard[name])) for name in (*data.signals, *data.slice_names)},
        "versions": {"pythia8mc": version("pythia8mc")},
    }  # fmt: skip
    background_first = sorted(parts, key=lambda piece: data.parts.index(piece.name))
    whole = concatenate_events([read_events(_file(chunks, piece)) for piece in background_first])
    share = np.array([np.mean(hard[name]) for name in data.slice_names]) / np.mean(inelastic)
    write_events(target, replace(whole, weights=_stitched(data, whole, share), origin=Origin("events", False, details)))
    shutil.rmtree(chunks, ignore_errors=True)


def _stitched(data: EventData, whole: EventDataset, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of all events: of the background their sum is the number of its inclusive crossings, up to chance."""
    weights = np.ones(len(whole))
    if data.slices_gev:
        assert whole.slices is not None
        made = np.array([data.crossings, *[data.crossings_per_slice] * len(data.slices_gev)])
        rows = whole.labels == 0
        number = whole.events[rows] // EVENT_NUMBERS_PER_CLASS
        sample = np.where(number == 0, 0, number - len(data.signals))  # slices come after the signals
        weights[rows] = stitched_rates(sample, whole.slices[rows], made, data.pileup, share, data.crossings)
    return weights


def make_pool_chunk(chunk: EventChunk, folder: Path) -> float:
    """Simulate some minimum-bias collisions into a file, unless it is there; the inelastic cross-section in pb."""
    path = _file(folder, chunk)
    if not path.is_file():
        signals, scale, cross_section_pb = _observed(chunk)
        _write_signals(path, signals, scale, cross_section_pb)
    with np.load(path, allow_pickle=False) as file:
        return float(file["cross_section_pb"])


def make_event_chunk(chunk: EventChunk, folder: Path, pool: Path) -> float:
    """Simulate some events into a file, unless it is there; the signal's cross-section in pb, 0 of background."""
    path = _file(folder, chunk)
    if not path.is_file():
        write_events(path, simulate_events(chunk, *_pool(pool)))
    return float(read_events(path).origin.details["cross_section_pb"])


def simulate_events(chunk: EventChunk, pool: Signals, pool_scale_gev: NDArray[np.float64]) -> EventDataset:
    """The events of one chunk: collide, overlay, detect.

    Args:
        chunk: Which events.
        pool: The collisions of the pool.
        pool_scale_gev: The pTHat of each.
    """
    import awkward as ak

    data, part = chunk.data, chunk.data.parts.index(chunk.name)
    label = part if part < len(data.class_names) else 0
    hard, scale, cross_section_pb = (None, np.zeros(chunk.events), 0.0) if part == 0 else _observed(chunk)
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
        made.append(trigger_objects(crossings, generator))
    return EventDataset(
        **{name: np.concatenate([one[name] for one in made]) for name in made[0]},
        labels=np.full(chunk.events, label, dtype=np.int64), class_names=data.class_names, weights=np.ones(chunk.events),
        events=numbers, origin=Origin("events", False, {"cross_section_pb": cross_section_pb}), collisions=counts,
        pool=ak.unflatten(drawn.astype(np.int32), counts), source=_hardest(drawn, edges, numbers, pool_scale_gev, scale),
        slices=_in_slices(data, pool_scale_gev[drawn], counts, chunk.name),
    )  # fmt: skip


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


def _observed(chunk: EventChunk) -> tuple[Signals, NDArray[np.float64], float]:
    """What the detector has of the chunk's collisions, their pTHat, and their cross-section in pb."""
    settings = (f"Beams:eCM = {1000 * chunk.data.energy_tev}", *chunk.data.lines(chunk.name))
    particles, scale, cross_section_pb = collide(
        settings, chunk.seed, chunk.name, chunk.index, chunk.events, ACCEPTANCE
    )
    return observe(particles, chunk.events, _generator(chunk, "detector")), scale, cross_section_pb


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
