"""Images of whole collisions as a detector sees them, without jets: the input of end-to-end classification.

Three channels on a grid of azimuth (rows) and pseudorapidity (columns), both rising with the index:

- `tracks`: pT of every track (charged hadrons, electrons, muons), at its direction at the vertex;
- `electromagnetic`: transverse energy in the cells of the electromagnetic calorimeter, which photons and electrons leave;
- `hadronic`: transverse energy in the towers of the hadronic calorimeter, which charged and neutral hadrons leave.

Calorimeter energies are as measured, before any track is subtracted from them, and where the particle reached the
calorimeter: a charged particle is in two channels, and at another azimuth in the second. Muons leave nothing but tracks. With
the detector `perfect` all particles are taken as they are, at their direction at the vertex.

Collisions are of Pythia 8 in a window of pTHat, with a spectrum biased so that the window is filled about evenly, and weights
that make the spectrum of every class flat: the hardness of the scattering alone does not tell the classes.

| process | what scatters |
| --- | --- |
| top_pairs | top pairs, both W to quarks |
| qcd_dijets | all QCD scatterings |
| quark_dijets | two light quarks go out: q q -> q q, q qbar -> q' qbar', g g -> q qbar |
| gluon_dijets | two gluons go out: g g -> g g, q qbar -> g g |

Departures from the papers: a parametrised detector and not the CMS simulation; coarser pixels over the whole detector by
default; no pileup; no endcap or preshower images.

References:
    arXiv:1807.11916 (events), arXiv:1902.08276 (quarks and gluons, tracks as an image).
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from trigger.config import Settings
from trigger.data.detector import ELECTRON, MUON, PHOTON, PRESETS, Particles, Preset, detect
from trigger.data.generate import Progress, collide, make_pieces, make_sample, pythia_seed
from trigger.data.jets import Distinct, Origin, PtWindow, flattening_weights
from trigger.digest import SHORT, digest
from trigger.errors import InputError
from trigger.files import replacing
from trigger.kinematics import azimuth, pseudorapidity, transverse_momentum
from trigger.workers import Workers

CHANNELS = ("tracks", "electromagnetic", "hadronic")
IMAGES_FORMAT = 1
"""Part of every sample's digest; raised when the same settings give other images than before."""
CHUNK = 250
CollisionProcess = Literal["top_pairs", "qcd_dijets", "quark_dijets", "gluon_dijets"]
PROCESSES: dict[CollisionProcess, tuple[str, ...]] = {
    "top_pairs": (
        "Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5",
    ),
    "qcd_dijets": ("HardQCD:all = on",),
    "quark_dijets": ("HardQCD:qq2qq = on", "HardQCD:qqbar2qqbarNew = on", "HardQCD:gg2qqbar = on"),
    "gluon_dijets": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
}  # fmt: skip
"""Pythia settings of each process."""


def _known(processes: tuple[str, ...]) -> tuple[str, ...]:
    both = {"qcd_dijets"} & set(processes) and {"quark_dijets", "gluon_dijets"} & set(processes)
    if both:
        raise ValueError("'qcd_dijets' contains 'quark_dijets' and 'gluon_dijets'; right would be one or the others")
    return processes


class DetectorImages(Settings):
    """Images of collisions simulated with Pythia 8 and a parametrised detector.

    With the grid of the defaults a pixel is a tower of the hadronic calorimeter; other grids have pixels with more towers
    than their neighbours.

    Attributes:
        processes: The classes, in the order of the network's outputs.
        events_per_class: How many of each.
        pt_gev: Window of pTHat, the pT of the partons' scattering.
        energy_tev: Energy of the proton-proton collisions.
        detector: Preset of `trigger/data/detector.py` with a tracker.
        rows: Pixels in azimuth, all the way around.
        columns: Pixels in pseudorapidity.
        max_abs_eta: The image reaches to plus and minus this.
        pythia: Further lines of Pythia settings, applied last.
    """

    kind: Literal["detector_images"]
    processes: Annotated[tuple[CollisionProcess, ...], Distinct, AfterValidator(_known)] = ("qcd_dijets", "top_pairs")
    events_per_class: int = Field(default=4000, gt=0)
    pt_gev: PtWindow = (200.0, 400.0)
    energy_tev: float = Field(default=13.0, gt=0, le=100)
    detector: Literal["perfect", "particle_flow", "level1_particle_flow"] = "particle_flow"
    rows: int = Field(default=72, ge=4, le=1024)
    columns: int = Field(default=56, ge=4, le=1024)
    max_abs_eta: float = Field(default=2.436, gt=0, le=3.0)
    pythia: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _hard_enough(self) -> Self:
        if self.pt_gev[0] < 20:
            raise ValueError(f"pt_gev: a window of pTHat begins at 20 GeV or above, found {list(self.pt_gev)}")
        return self

    def lines(self, process: CollisionProcess) -> tuple[str, ...]:
        """Pythia's settings for a process."""
        low, high = self.pt_gev
        # Cross-sections fall like pT^-5 to pT^-6 in the window.
        return (
            f"Beams:eCM = {1000 * self.energy_tev}", *PROCESSES[process], f"PhaseSpace:pTHatMin = {low}",
            f"PhaseSpace:pTHatMax = {high}", "PhaseSpace:bias2Selection = on", "PhaseSpace:bias2SelectionPow = 5.0",
            f"PhaseSpace:bias2SelectionRef = {low}", *self.pythia,
        )  # fmt: skip


@dataclass(frozen=True)
class DetectorImageDataset:
    """Images of collisions.

    Attributes:
        images: Transverse energy in GeV, shape `(events, rows, columns, 3)`; channels as `CHANNELS`.
        labels: Class of each event as an index into `class_names`.
        class_names: Names of the classes.
        weights: They make the pTHat spectrum of each class flat; mean 1 in each.
        events: Number of each event.
        pt_hat_gev: pT of the partons' scattering.
        origin: Where the events came from.

    Raises:
        InputError: There is no event, a class has none, lengths differ, or an energy is negative, NaN or infinite.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    weights: NDArray[np.float64]
    events: NDArray[np.int64]
    pt_hat_gev: NDArray[np.float64]
    origin: Origin

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise InputError("there is no image; one at least is needed")
        if self.images.ndim != 4 or self.images.shape[3] != len(CHANNELS):
            raise InputError(f"images have the shape {list(self.images.shape)}; right is (events, rows, columns, 3)")
        for name in ("labels", "weights", "events", "pt_hat_gev"):
            if getattr(self, name).shape != (len(self.images),):
                raise InputError(f"{len(self.images)} images have {name} of shape {list(getattr(self, name).shape)}")
        if not (self.images >= 0).all() or not np.isfinite(self.images).all():
            raise InputError("images have pixels that are negative, NaN or infinite")
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        if (counts == 0).any():
            empty = [name for name, count in zip(self.class_names, counts, strict=True) if count == 0]
            raise InputError(f"class {', '.join(map(repr, empty))} has no images")

    def __len__(self) -> int:
        return len(self.images)

    def inputs(self) -> dict[str, NDArray[Any]]:
        """What a network sees: `image`."""
        return {"image": self.images}


@dataclass(frozen=True)
class ImageChunk:
    """A piece of a sample: enough to make it anywhere, alone.

    Attributes:
        data: Settings of the sample.
        seed: Its seed.
        process: Which of its processes.
        index: The how-manieth piece of it.
        events: How many events it has.
    """

    data: DetectorImages
    seed: int
    process: CollisionProcess
    index: int
    events: int

    @property
    def name(self) -> str:
        """The process."""
        return self.process

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.process}-{self.index:05d}.npz"


def images_digest(data: DetectorImages, seed: int) -> str:
    """Digest of everything that decides the content of a sample."""
    from importlib.metadata import version

    return digest(data, seed, IMAGES_FORMAT, version("pythia8mc"), version("fastjet"))


def generate_images(
    data: DetectorImages, seed: int, folder: Path, *, workers: int = 1, progress: Progress | None = None,
    executor: Executor | None = None,
) -> Path:  # fmt: skip
    """Make a sample, or find the one made before.

    Like `generate` of jets: pieces with seeds and files of their own, so that the sample is the same for any number of
    workers and a killed run goes on with what it had.

    Args:
        data: What to make.
        seed: Seed of the whole sample.
        folder: Where samples are kept; this one gets a folder of its own, named by its digest.
        workers: Number of spawned processes.
        progress: Told of every finished piece.
        executor: Makes the pieces instead of our own processes.

    Returns:
        The path of the sample, which `read_images` reads.

    Raises:
        InputError: A Pythia setting is wrong.
    """
    home = folder / f"{data.kind}-{images_digest(data, seed)[:SHORT]}"
    target = home / "images.npz"
    pieces = [
        ImageChunk(data, seed, process, index, min(CHUNK, data.events_per_class - start))
        for process in data.processes
        for index, start in enumerate(range(0, data.events_per_class, CHUNK))
    ]

    def make(chunks: Path, found: Workers) -> None:
        cross_section_pb = make_pieces(partial(make_image_chunk, folder=chunks), pieces, found, "events", progress)
        _join(data, seed, chunks, pieces, cross_section_pb, target)

    return make_sample(target, home / "chunks", make, workers, executor)


def make_image_chunk(chunk: ImageChunk, folder: Path) -> float:
    """Simulate some events into a file, unless it is there; their cross-section in pb. Runs in a worker process."""
    path = folder / chunk.file
    if not path.is_file():
        columns, cross_section_pb = simulate_images(chunk)
        with replacing(path) as fresh:
            np.savez(fresh, allow_pickle=False, cross_section_pb=np.array(cross_section_pb), **columns)
    with np.load(path, allow_pickle=False) as stored:
        return float(stored["cross_section_pb"])


def simulate_images(chunk: ImageChunk) -> tuple[dict[str, NDArray[Any]], float]:
    """The events of one piece.

    Returns:
        Their pixels that are not 0 (`event`, `pixel`, `value`), and `pt_hat_gev`; and the cross-section in pb.
    """
    data = chunk.data
    preset = PRESETS[data.detector]
    made = collide(data.lines(chunk.process), chunk.seed, chunk.process, chunk.index, chunk.events, preset.acceptance)
    generator = np.random.default_rng([pythia_seed(chunk.seed, chunk.process, chunk.index), 1])
    event, pixel, value = fill(data, layers(made.particles, preset, generator))
    return {"event": event, "pixel": pixel, "value": value, "pt_hat_gev": made.scale_gev}, made.cross_section_pb


def layers(particles: Particles, preset: Preset, generator: np.random.Generator) -> tuple[Particles, ...]:
    """What tracker, electromagnetic and hadronic calorimeter see, each by itself.

    Args:
        particles: Stable visible particles.
        preset: The detector.
        generator: The source of randomness.
    """
    electromagnetic = (particles.kind == PHOTON) | (particles.kind == ELECTRON)
    if not preset.smear:
        seen = detect(particles, preset, generator)
        soft = (seen.kind == PHOTON) | (seen.kind == ELECTRON)
        return seen.take(seen.charge != 0), seen.take(soft), seen.take(~soft & (seen.kind != MUON))
    tracks = detect(particles, preset, generator)
    # Without a tracker nothing is subtracted, and what is seen are the cells.
    cells = replace(preset, tracks=False)
    return (
        tracks.take(tracks.charge != 0), detect(particles.take(electromagnetic), cells, generator),
        detect(particles.take(~electromagnetic), cells, generator),
    )  # fmt: skip


def fill(
    data: DetectorImages, seen: tuple[Particles, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Event, pixel and transverse energy of the pixels that are not 0; ordered by event, then by pixel.

    Args:
        data: The grid.
        seen: Of each channel.

    Returns:
        Three arrays of shape `(pixels,)`; a pixel is `(row * columns + column) * 3 + channel`.
    """
    keys, values = [], []
    size = data.rows * data.columns * len(CHANNELS)
    for channel, found in enumerate(seen):
        eta = pseudorapidity(found.px, found.py, found.pz)
        # Middles of towers may lie on edges of pixels: rounded, they fall to the same side on every machine.
        column = np.floor(np.round((eta / data.max_abs_eta + 1) / 2 * data.columns, 9))
        row = np.floor(np.round((azimuth(found.px, found.py) / np.pi + 1) / 2 * data.rows, 9))
        row = np.minimum(row, data.rows - 1)  # an azimuth of pi itself
        inside = (column >= 0) & (column < data.columns)
        pixel = (row[inside] * data.columns + column[inside]) * len(CHANNELS) + channel
        keys.append(found.event[inside] * size + pixel.astype(np.int64))
        values.append(transverse_momentum(found.px, found.py)[inside])
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    value = np.bincount(place, np.concatenate(values), minlength=len(key))
    event, pixel = np.divmod(key, size)
    return event.astype(np.int32), pixel.astype(np.int32), value.astype(np.float32)


def _join(
    data: DetectorImages, seed: int, folder: Path, pieces: list[ImageChunk], cross_section_pb: dict[str, float],
    target: Path,
) -> None:  # fmt: skip
    """Join pieces into the sample, with weights that flatten the spectra."""
    import json
    from importlib.metadata import version

    parts: list[dict[str, NDArray[Any]]] = []
    first = 0
    for piece in pieces:
        with np.load(folder / piece.file, allow_pickle=False) as stored:
            part = {name: stored[name] for name in ("event", "pixel", "value", "pt_hat_gev")}
        part["event"] = part["event"] + np.int32(first)
        part["labels"] = np.full(piece.events, data.processes.index(piece.process))
        parts.append(part)
        first += piece.events
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["weights"] = flattening_weights(columns["pt_hat_gev"], columns["labels"], np.ones(first), data.pt_gev)
    details = {
        "settings": data.model_dump(mode="json"), "seed": seed, "cross_section_pb": cross_section_pb,
        "versions": {name: version(name) for name in ("pythia8mc", "fastjet")},
    }  # fmt: skip
    with replacing(target) as fresh:
        np.savez_compressed(fresh, allow_pickle=False, details=np.array(json.dumps(details)), **columns)


def read_images(path: Path) -> DetectorImageDataset:
    """Read what `generate_images` made.

    Raises:
        InputError: The file is missing or none of ours.
    """
    import json
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
        details = json.loads(str(columns.pop("details")))
        data = DetectorImages.model_validate_json(json.dumps(details["settings"]))
        labels = columns["labels"].astype(np.int64)
        images = np.zeros((len(labels), data.rows * data.columns * len(CHANNELS)), dtype=np.float32)
        images[columns["event"], columns["pixel"]] = columns["value"]
        weights, pt_hat = columns["weights"], columns["pt_hat_gev"]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as images of the detector: {error}") from error
    return DetectorImageDataset(
        images.reshape(-1, data.rows, data.columns, len(CHANNELS)), labels, data.processes, weights,
        np.arange(len(labels)), pt_hat, Origin(data.kind, False, details),
    )  # fmt: skip
