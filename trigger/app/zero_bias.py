"""Crossings of the detector itself, from ROOT files of events that were kept whatever was in them, file by file.

A file is read in chunks on whichever worker is free, each chunk is scored and forgotten; what stays of an event are its scores.
Every event stands for the same rate, or for one in proportion to its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from models.recipe import EVENTS
from trigger.app import sample as sample_of
from trigger.app.console import Reporter, start_keras
from trigger.app.event_rates import LARGEST, NETWORK, network_scores
from trigger.app.scored import FirmwareScore, Scored, Subject
from trigger.config import Settings
from trigger.data.event_rootfile import EventRootData, NamedMapping, iterate_events
from trigger.data.rootfile import Cut, Sample, input_files
from trigger.decision.rates import Crossings, Scores
from trigger.errors import InputError
from trigger.inputs.objects import single_counts
from trigger.workers import in_order, workers_of

STEP = 100_000
"""Events of a chunk."""
CLASSES = ("zero_bias", "other")  # events have classes, two at least; these have one


class ZeroBias(Settings):
    """Where the events are.

    Attributes:
        files: Paths and patterns.
        tree: Name of the tree.
        mapping: Which branches hold what: a packaged name (`cms_l1_nano`, `cms_nano`, `jetgate`), the path of a YAML file, or
            the mapping itself.
        cuts: Cuts on branches, such as a range of runs.
        weight: Branch of a weight; all events weigh the same where there is none.
    """

    files: tuple[str, ...] = Field(min_length=1)
    tree: str = "Events"
    mapping: NamedMapping
    cuts: tuple[Cut, ...] = ()
    weight: str | None = None

    def events(self, path: str) -> EventRootData:
        """The events of one of the files, or of a pattern, as data of a recipe."""
        sample = {"files": (path,), "label": CLASSES[0], **({} if self.weight is None else {"weight": self.weight})}
        return EventRootData(
            kind="event_root", classes=CLASSES, tree=self.tree, samples=(Sample.model_validate(sample),), cuts=self.cuts,
            mapping=self.mapping,
        )  # fmt: skip


@dataclass(frozen=True)
class ScoredFile:
    """What is kept of the events of a file.

    Attributes:
        scores: As of `Scored`, in types as narrow as they may be, shape `(events,)` each.
        weights: Of each event.
        absent: What the files do not have, by the mapping.
    """

    scores: dict[str, Scores]
    weights: np.ndarray[Any, np.dtype[np.float32]]
    absent: tuple[str, ...]


def scored(
    subject: Subject, data: ZeroBias, total_hz: float, workers: int, report: Reporter, scheduler: str | None = None
) -> Scored:
    """The events of all files with all scores, and signals of the run's own sample.

    Args:
        subject: The firmware, a detector of anomalies on events.
        data: Where the events are.
        total_hz: Rate that all of them together stand for, of filled crossings.
        workers: Processes.
        report: Told of progress.
        scheduler: Address of a dask scheduler, whose workers are used instead; they need to see the files.

    Raises:
        InputError: The run is of another kind, or a file is missing or broken.
    """
    recipe = subject.recipe
    if not isinstance(recipe.data, EVENTS) or recipe.network.task != "anomaly":
        raise InputError(
            f"a {recipe.network.task} of data {recipe.data.kind!r} decides on no whole events; events of ROOT files give rates "
            "of detectors on events"
        )
    found_paths = [path for pattern in data.files for _, found in input_files(data.events(pattern)) for path in found]
    paths = list(
        dict.fromkeys(str(path.resolve()) for path in found_paths)
    )  # a file that two patterns name counts once
    job = partial(score_file, subject=subject, digest=subject.project.digest())
    parts = []
    with workers_of(workers, scheduler, start_keras) as found, report.progress("zero-bias events") as progress:
        for part in in_order(found.pool, job, map(data.events, paths), found.count + 1):
            parts.append(part)
            progress("files", len(parts), len(paths))
    scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
    weights = np.concatenate([part.weights for part in parts]).astype(np.float64)
    crossings = Crossings(scores, weights * (total_hz / weights.sum()), np.arange(len(weights)))
    events = sample_of.events(recipe, subject.samples, workers, report)
    learnt = recipe.training.classes or ()
    own = {
        name: events.take(events.labels == label) for label, name in enumerate(events.class_names) if name not in learnt
    }
    port = subject.project.manifest.outputs.fixed_point
    (output,) = subject.project.manifest.outputs.elements
    return Scored(
        crossings=crossings,
        signals={
            name: {**network_scores(subject, one, workers), **_counts(single_counts(one), parts[0].absent)}
            for name, one in own.items()
        },
        scores=(FirmwareScore(NETWORK, output, (), port.max_code, port.step),), offline={}, offline_label="", largest=LARGEST,
        notes=(
            f"{len(weights):,} events of {len(paths)} files, as they came; signals of the run's own sample.",
            "Nothing is disturbed: stability is not measured.",
        ),
    )  # fmt: skip


def score_file(data: EventRootData, subject: Subject, digest: str) -> ScoredFile:
    """The scores of the events of one file; runs in a worker.

    Args:
        data: The file.
        subject: The firmware.
        digest: Of its content where the work was shared out.

    Raises:
        InputError: The firmware is not the same one here, or the file is missing or broken.
    """
    if subject.project.digest() != digest:
        raise InputError(f"{subject.project.folder}: this worker sees another firmware; all need the same files")
    parts: list[dict[str, Scores]] = []
    weights, absent = [], tuple(data.mapping.absent())
    for events in iterate_events(data, STEP):
        found = network_scores(subject, events, 1)
        parts.append(_narrow({**found, **_counts(single_counts(events), absent)}))
        weights.append(events.weights.astype(np.float32))
    if not parts:
        raise InputError(f"{data.samples[0].files[0]}: no event is left of it; look at the cuts")
    return ScoredFile(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, np.concatenate(weights), absent
    )


def _counts(found: dict[str, Any], absent: tuple[str, ...]) -> dict[str, Scores]:
    """Counts of what the files have; a seed on something else is then unknown, not 0."""
    lacking = {"egammas": "egamma_pt", "muons": "muon_pt", "jets": "jet_pt", "total_ht": "ht", "total_et": "total_et"}
    gone = {lacking[name] for name in absent if name in lacking}
    return {name: one for name, one in found.items() if name not in gone}


def _narrow(scores: dict[str, Scores]) -> dict[str, Scores]:
    """The same numbers in fewer bytes: codes as narrow as they may be, values as the networks compute them."""
    return {
        name: one.astype(np.float32)
        if one.dtype.kind == "f"
        else one.astype(np.min_scalar_type(-int(np.abs(one).max()) - 1))
        for name, one in scores.items()
    }
