"""Emulating more events than fit into memory: ROOT files in chunks, each on whichever worker is free.

The files have one branch for each input of the contract, in physical units. A chunk is read, brought to codes, run through
every engine that was asked for, compared, counted, and forgotten.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.emulation import Progress, built_engines, require_engines
from firmware.project import FirmwareProject
from trigger.data.rootfile import entries, read_columns, write_columns
from trigger.errors import InputError
from trigger.files import make_folder, replacing
from trigger.fixed_point import Codes
from trigger.verdict import Requirement, Verdict, at_least, at_most
from trigger.workers import in_order

CHUNK = 1 << 16
SCORES = "Scores"
"""Tree of the output codes."""
_MAKING = threading.Lock()


@dataclass(frozen=True)
class Chunk:
    """Entries of a file, and what is to be done with them.

    Attributes:
        project: Folder of the firmware.
        digest: Of the project, so that all workers have the same one.
        path: The file.
        tree: Its tree.
        start: First entry.
        stop: The entry after the last.
        engines: The first one's outputs are kept, the others' compared with them.
        scores: Where the output codes go; `None` for nowhere.
        threads: Threads of each engine.
    """

    project: Path
    digest: str
    path: Path
    tree: str
    start: int
    stop: int
    engines: tuple[str, ...]
    scores: Path | None
    threads: int


@dataclass(frozen=True)
class Counts:
    """What a chunk, or all of them, came to.

    Attributes:
        events: Events emulated.
        differing: For each engine but the first, output codes that differ from the first one's.
        first: For each of these engines, the first event that differs, as a sentence.
        lowest: Lowest code of each output.
        highest: Highest code of each output.
        sums: Sum of the codes of each output.
        squares: Sum of their squares, in float64.
        chosen: Events in which each output is the largest; the first of equal ones.
        clipped: Values of each input that lie outside its format.
    """

    events: int
    differing: dict[str, int]
    first: dict[str, str]
    lowest: Codes
    highest: Codes
    sums: Codes
    squares: NDArray[np.float64]
    chosen: Codes
    clipped: dict[str, int]

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.events + other.events,
            {name: count + other.differing[name] for name, count in self.differing.items()},
            {**other.first, **self.first},
            np.minimum(self.lowest, other.lowest),
            np.maximum(self.highest, other.highest),
            self.sums + other.sums,
            self.squares + other.squares,
            self.chosen + other.chosen,
            {name: count + other.clipped[name] for name, count in self.clipped.items()},
        )


@dataclass(frozen=True)
class StreamResult:
    """The emulation of all events.

    Attributes:
        project: Name of the project's folder.
        engines: The engines that ran.
        outputs: Names of the outputs.
        step: Value of one unit in the last place of the outputs.
        counts: What was counted.
    """

    project: str
    engines: tuple[str, ...]
    outputs: tuple[str, ...]
    step: float
    counts: Counts

    def requirements(self) -> tuple[Requirement, ...]:
        """There were events, and no engine differs from the first."""
        counts = self.counts
        events = at_least("stream:events", counts.events, 1, note=f"emulated by {self.engines[0]}")
        return (events, *(
            at_most(f"bits:{name}", count, 0, note=f"against {self.engines[0]}; {counts.first.get(name, 'every code agrees')}")
            for name, count in counts.differing.items()
        ))  # fmt: skip

    def verdict(self) -> Verdict:
        """The verdict over these."""
        return Verdict(requirements=self.requirements())

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; values, not codes, of the outputs."""
        counts = self.counts
        mean = counts.sums / counts.events
        deviation = np.sqrt(np.maximum(counts.squares / counts.events - mean**2, 0.0))
        outputs = {
            name: {
                "lowest": float(counts.lowest[k] * self.step), "highest": float(counts.highest[k] * self.step),
                "mean": float(mean[k] * self.step), "standard_deviation": float(deviation[k] * self.step),
                "largest_in_events": int(counts.chosen[k]),
            }
            for k, name in enumerate(self.outputs)
        }  # fmt: skip
        return {
            "project": self.project, "engines": list(self.engines), "events": counts.events,
            "differing_codes": counts.differing, "outputs": outputs, "clipped_inputs": counts.clipped,
        }  # fmt: skip


def stream(
    project: FirmwareProject, files: list[Path], tree: str, pool: Executor, *, engines: tuple[str, ...] = ("integer",),
    scores: Path | None = None, chunk: int = CHUNK, at_once: int = 2, threads: int = 1, progress: Progress | None = None,
) -> StreamResult:  # fmt: skip
    """Emulate every event of ROOT files.

    Args:
        project: The firmware.
        files: ROOT files with one branch for each input.
        tree: Name of their tree.
        pool: Who does the work.
        engines: Of `integer`, `cpp`, `rtl`; the first one's outputs are kept.
        scores: A ROOT file for the output codes, in the order of the events.
        chunk: Events at a time.
        at_once: Chunks under way.
        threads: Threads of each engine in each worker.
        progress: Told of every chunk.

    Raises:
        InputError: A file is not as it should be, or there are no events.
        ToolError: An engine cannot be built.
    """
    require_engines(project, engines)
    if scores is not None and scores.is_dir():
        raise InputError(f"{scores}: a folder; --scores is the path of a ROOT file")
    built_engines(
        project, tuple(name for name in engines if name != "integer"), threads
    )  # workers find what is compiled
    with ExitStack() as stack:
        parts = None
        if scores is not None:
            make_folder(scores.parent)
            parts = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".scores-", dir=scores.parent)))
        tasks = list(_tasks(project, files, tree, engines, parts, chunk, threads))
        total = sum(one.stop - one.start for one in tasks)
        counts: Counts | None = None
        for found in in_order(pool, run_chunk, tasks, at_once):
            counts = found if counts is None else counts.plus(found)
            if progress is not None:
                progress("events", counts.events, total)
        if counts is None:
            raise InputError(f"{', '.join(map(str, files[:3]))}: tree {tree!r} has no events")
        if scores is not None and parts is not None:
            names = project.manifest.outputs.elements
            with replacing(scores) as fresh:
                write_columns(fresh, SCORES, _columns(sorted(parts.glob("*.npy")), names))
    step = project.manifest.outputs.fixed_point.step
    return StreamResult(project.folder.name, engines, project.manifest.outputs.elements, step, counts)


def _tasks(
    project: FirmwareProject, files: list[Path], tree: str, engines: tuple[str, ...], parts: Path | None, chunk: int,
    threads: int,
) -> Iterator[Chunk]:  # fmt: skip
    identity, number = project.digest(), 0
    for path in files:
        events = entries(path, tree)
        for start in range(0, events, chunk):
            scores = None if parts is None else (parts / f"{number:09d}.npy").absolute()
            number += 1
            yield Chunk(project.folder.absolute(), identity, path.absolute(), tree, start, min(start + chunk, events),
                        engines, scores, threads)  # fmt: skip


def run_chunk(task: Chunk) -> Counts:
    """Emulate one chunk, on a worker."""
    project, engines = _worker(task.project, task.digest, task.engines, task.threads)
    physical = read_columns(task.path, task.tree, project.contract.names, task.start, task.stop)
    try:
        codes = project.contract.codes(physical)
    except InputError as error:
        raise InputError(f"{task.path}: entries {task.start} to {task.stop}: {error}") from error
    kept = engines[task.engines[0]](codes)
    differing, first = {}, {}
    for name in task.engines[1:]:
        wrong = engines[name](codes) != kept
        differing[name] = int(wrong.sum())
        if wrong.any():
            first[name] = f"first in entry {task.start + int(np.argmax(wrong.any(axis=1)))} of {task.path.name}"
    if task.scores is not None:
        np.save(task.scores, kept)
    chosen = np.bincount(np.argmax(kept, axis=1), minlength=kept.shape[1]).astype(np.int64)
    return Counts(
        len(kept), differing, first, kept.min(axis=0), kept.max(axis=0), kept.sum(axis=0),
        (kept.astype(np.float64) ** 2).sum(axis=0), chosen, project.contract.clipped(physical),
    )  # fmt: skip


def _worker(
    folder: Path, digest: str, engines: tuple[str, ...], threads: int
) -> tuple[FirmwareProject, dict[str, Callable[[Codes], Codes]]]:
    """The project and its engines, made once in each worker, which may have several threads."""
    with _MAKING:
        return _made(folder, digest, engines, threads)


@cache
def _made(
    folder: Path, digest: str, engines: tuple[str, ...], threads: int
) -> tuple[FirmwareProject, dict[str, Callable[[Codes], Codes]]]:
    project = FirmwareProject.load(folder)
    if project.digest() != digest:
        raise InputError(f"{folder}: the worker finds another project there than the one that was given")
    return project, built_engines(project, engines, threads)


def _columns(parts: list[Path], names: tuple[str, ...]) -> Iterator[dict[str, NDArray[Any]]]:
    for path in parts:
        codes = np.load(path, allow_pickle=False)
        yield {name: codes[:, index].astype(np.int64) for index, name in enumerate(names)}
