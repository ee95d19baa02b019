"""The sample of a recipe, whatever kind its data is of, and what a network sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.recipe import EVENTS, Inputs, Recipe
from trigger.data.event_rootfile import EventRootData, iterate_events
from trigger.data.events import EventDataset, concatenate_events, read_events
from trigger.data.generate import SimulatedJets, generate
from trigger.data.generate_events import EventData, events_digest, generate_events
from trigger.data.jets import FeatureDataset, JetDataset, concatenate_features
from trigger.data.rootfile import ROWS_FORMAT, input_files
from trigger.data.sources import content_of, digests_of, jets_of, weights_of
from trigger.data.table import TableData, read_table
from trigger.data.toy import ToyEventData, toy_events
from trigger.errors import InputError, nearest
from trigger.files import matching

if TYPE_CHECKING:
    from trigger.app.console import Reporter


def generated(recipe: Recipe, folder: Path, workers: int, report: Reporter) -> Path | None:
    """The file of a generated sample, made if need be; `None` where the data is the user's own or a toy."""
    data = recipe.data
    if not isinstance(data, SimulatedJets | EventData):
        return None
    with report.progress("collisions") as progress:
        if isinstance(data, EventData):
            return generate_events(data, recipe.seed, folder, workers=workers, progress=progress)
        return generate(data, recipe.seed, folder, workers=workers, progress=progress)


def jets(recipe: Recipe, folder: Path, workers: int, report: Reporter) -> Iterator[JetDataset]:
    """The jets of a recipe, block by block.

    Raises:
        InputError: There are no jets in the recipe's data.
    """
    data = recipe.data
    if isinstance(data, TableData | EventData | EventRootData | ToyEventData):
        raise InputError(f"there are no jets in data of kind {data.kind!r}")
    generated(recipe, folder, workers, report)  # where it has to be made, with progress
    yield from jets_of(data, recipe.seed, folder, workers)


def events(recipe: Recipe, folder: Path, workers: int, report: Reporter) -> EventDataset:
    """All events of a recipe.

    Raises:
        InputError: There are no whole events in the recipe's data.
    """
    match recipe.data:
        case EventData():
            path = generated(recipe, folder, workers, report)
            assert path is not None
            return read_events(path)
        case EventRootData():
            return concatenate_events(list(iterate_events(recipe.data)))
        case ToyEventData():
            return concatenate_events(list(toy_events(recipe.data, recipe.seed)))
        case other:
            raise InputError(f"there are no whole events in data of kind {other.kind!r}")


def table(recipe: Recipe, inputs: Inputs, folder: Path, workers: int, report: Reporter) -> FeatureDataset:
    """What a network sees of the whole sample.

    Args:
        recipe: Says what the sample is.
        inputs: What is seen of it.
        folder: Where generated samples are kept.
        workers: Processes and threads.
        report: Told of progress.
    """
    data: Any = recipe.data
    seen: Any = inputs  # the recipe has checked that inputs and data go together
    if isinstance(data, EVENTS):
        whole: FeatureDataset = seen.table(events(recipe, folder, workers, report), workers)
        return whole
    if isinstance(data, TableData):
        return _chosen(read_table(data), seen.features)
    parts, pts = [], []
    for block in jets(recipe, folder, workers, report):
        parts.append(seen.table(block, workers))
        pts.append(block.kinematics()["pt_gev"])
    whole = concatenate_features(parts)
    whole = replace(whole, weights=weights_of(data, np.concatenate(pts), whole.labels, whole.weights))
    counted = [part.origin.details["images"] for part in parts if "images" in part.origin.details]
    if counted:  # each part has counted what lies outside its own images
        summed = {name: sum(one[name] for one in counted) for name in counted[0]}
        whole = replace(whole, origin=replace(whole.origin, details={**whole.origin.details, "images": summed}))
    return whole


def content(recipe: Recipe) -> Any:
    """Digests of everything that the sample is made from besides the recipe."""
    data = recipe.data
    match data:
        case EventData():
            return events_digest(data, recipe.seed)
        case EventRootData():
            return [ROWS_FORMAT, *digests_of(path for _, group in input_files(data) for path in group)]
        case TableData():
            return digests_of(matching(data.files))
        case ToyEventData():
            return []
        case _:
            return content_of(data, recipe.seed)


def _chosen(whole: FeatureDataset, wanted: tuple[str, ...] | None) -> FeatureDataset:
    """Columns of a table by name."""
    if wanted is None:
        return whole
    unknown = [name for name in wanted if name not in whole.names]
    if unknown:
        raise InputError(
            f"inputs.features: the table has no {unknown[0]!r}; nearest: {nearest(unknown[0], whole.names)}"
        )
    columns = [whole.names.index(name) for name in wanted]
    return replace(whole, values=whole.values[:, columns], names=wanted)
