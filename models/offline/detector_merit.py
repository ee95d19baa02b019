"""Figures of merit of detector layers: numbers of images, resolution of showers, edges and tracks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.offline.clustering_merit import TRUNCATED
from models.offline.tagging import Trial
from models.offline.tracking_merit import Match, TrackFigures, Tracks, find_tracks
from trigger.data.jets import Split
from trigger.data.tracks import HitGraphs
from trigger.decision.efficiency import Estimate
from trigger.errors import InputError

Floats = NDArray[np.float64]
Responses = NDArray[np.floating[Any]]


def channel_numbers(images: NDArray[np.float32]) -> Floats:
    """Of each image: the sum of each channel, then the pixels of each that are not 0, then its greatest pixel.

    Args:
        images: Shape `(events, rows, columns, channels)`.

    Returns:
        Shape `(events, 3 * channels)`.
    """
    sums = images.sum(axis=(1, 2), dtype=np.float64)
    return np.concatenate([sums, (images > 0).sum(axis=(1, 2)), images.max(axis=(1, 2))], axis=1)


def resolution(response: Responses, sampled: Floats) -> Floats:
    """Truncated standard deviation of responses over their truncated mean, for each replica of the events.

    Args:
        response: Shape `(events, 2)`; NaN for showers without energy.
        sampled: Weights of the events, shape `(replicas, events)`.

    Returns:
        Shape `(replicas,)`.

    Raises:
        InputError: No response is within the truncation.

    References:
        Truncated moments: arXiv:1902.07987.
    """
    inside = (response > TRUNCATED[0]) & (response < TRUNCATED[1])
    if not inside.any():
        raise InputError(f"of {response.size} responses none is between {TRUNCATED[0]} and {TRUNCATED[1]}")
    values = np.where(inside, response, 0.0)
    count, first, second = (
        sampled @ column.sum(axis=1) for column in (inside.astype(float), values, np.square(values))
    )  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):  # a replica may have none
        mean = first / count
        width: Floats = np.sqrt(np.maximum(second / count - mean**2, 0)) / mean
    return width


def edge_trial(graphs: HitGraphs, splits: dict[Split, NDArray[np.bool_]]) -> Trial:
    """True edges against all others; a graph counts as an event.

    Args:
        graphs: The graphs.
        splits: Masks of the graphs.

    Raises:
        InputError: No edge is true, or none is false.
    """
    graph = np.nonzero(graphs.edge_mask)[0]
    truth = graphs.truth[graphs.edge_mask]
    if truth.all() or not truth.any():
        raise InputError(f"of {len(truth)} edges {int(truth.sum())} are true; some and not all would be right")
    return Trial(truth, np.ones(len(truth)), graph, {split: chosen[graph] for split, chosen in splits.items()})


def scan_of(graphs: HitGraphs, accepted: list[NDArray[np.bool_]], match: Match) -> list[TrackFigures]:
    """Figures of tracks for each choice of edges; `match` as of `TrackFigures`."""
    return [find_tracks(graphs, one).figures(match) for one in accepted]


def best_point(scan: list[TrackFigures]) -> int:
    """Index of the greatest efficiency times one minus the fake rate; where nothing was found it is 0."""
    return int(np.argmax([one.efficiency * (1 - (1.0 if one.fake_rate is None else one.fake_rate)) for one in scan]))


def by_pt(tracks: Tracks, match: Match, pt_gev: tuple[float, float], bins: int) -> tuple[Floats, list[Estimate | None]]:
    """Efficiency in bins of pT of equal width in its logarithm; `None` where there is no particle.

    Args:
        tracks: What was found.
        match: When a candidate is a particle.
        pt_gev: Window of pT.
        bins: How many.

    Returns:
        Edges in GeV, and the efficiencies.
    """
    edges = np.geomspace(*pt_gev, bins + 1)
    place = np.clip(np.searchsorted(edges, tracks.particle_pt_gev, side="right") - 1, 0, bins - 1)
    good = tracks.found(match)
    counts = np.bincount(place, minlength=bins)
    hits = np.bincount(place, good, minlength=bins)
    return edges, [
        binomial(hit / count, int(count)) if count else None for hit, count in zip(hits, counts, strict=True)
    ]


def binomial(share: float, count: int) -> Estimate:
    """A share of so many with its standard deviation; that of half a case where it is 0 or 1."""
    safe = min(max(share, 0.5 / count), 1 - 0.5 / count) if count > 1 else 0.5
    return Estimate(float(share), float(np.sqrt(safe * (1 - safe) / count)))
