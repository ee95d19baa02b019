"""How well tracks are found: those that hang together by accepted edges.

A candidate is a connected component of the accepted edges with `min_hits` hits or more. A particle is reconstructable if as
many of its hits are in the graph. A candidate and a particle match by one of three definitions:

- `perfect`: the candidate has all hits of the particle and no other;
- `double_majority`: more than half of the candidate's hits are the particle's, and more than half of the particle's hits are
  the candidate's;
- `lhc`: at least 75 % of the candidate's hits are the particle's.

The efficiency is the share of reconstructable particles that have a match, the fake rate the share of candidates without a
match to any particle, and the duplicate rate the share that matches a particle that another candidate matches too (only
possible by `lhc`).

References:
    Definitions of matches: arXiv:2103.16701, arXiv:2309.16754; double majority: the score of arXiv:1904.06778.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trigger.data.tracks import HitGraphs
from trigger.errors import InputError

Match = Literal["perfect", "double_majority", "lhc"]


@dataclass(frozen=True)
class TrackFigures:
    """Of tracks.

    Attributes:
        match: The definition of a match.
        efficiency: Share of the reconstructable particles with a match.
        fake_rate: Share of the candidates without one; `None` where there is no candidate.
        duplicate_rate: Share of the candidates that are one too many for their particle; `None` likewise.
        particles: How many reconstructable particles there are.
        candidates: How many candidates there are.
    """

    match: Match
    efficiency: float
    fake_rate: float | None
    duplicate_rate: float | None
    particles: int
    candidates: int


@dataclass(frozen=True)
class Tracks:
    """Candidates and particles of all graphs, and how many hits they share.

    Attributes:
        candidate_hits: Hits of each candidate.
        particle_hits: Hits of each particle in the graphs, the reconstructable ones alone.
        particle_pt_gev: pT of each.
        candidate: Of each pair with hits in common: the candidate.
        particle: And the particle, -1 for one that is not reconstructable.
        shared: How many hits they have in common.
        total: How many hits the particle has.
    """

    candidate_hits: NDArray[np.int64]
    particle_hits: NDArray[np.int64]
    particle_pt_gev: NDArray[np.float64]
    candidate: NDArray[np.int64]
    particle: NDArray[np.int64]
    shared: NDArray[np.int64]
    total: NDArray[np.int64]

    def matched(self, match: Match) -> NDArray[np.bool_]:
        """Of each pair with hits in common, whether it is a match."""
        of_candidate: NDArray[np.float64] = self.shared / self.candidate_hits[self.candidate]
        good: NDArray[np.bool_] = (of_candidate > 0.5) & (2 * self.shared > self.total)
        if match == "perfect":
            good = (of_candidate == 1) & (self.shared == self.total)
        elif match == "lhc":
            good = of_candidate >= 0.75
        return good

    def found(self, match: Match) -> NDArray[np.bool_]:
        """Whether each reconstructable particle has a match: what an efficiency against pT is counted from."""
        good = self.matched(match) & (self.particle >= 0)
        return np.bincount(self.particle[good], minlength=len(self.particle_hits)) > 0

    def figures(self, match: Match) -> TrackFigures:
        """Efficiency, fake and duplicate rate."""
        good = self.matched(match)
        candidates = len(self.candidate_hits)
        real = np.bincount(self.candidate[good], minlength=candidates) > 0
        # A candidate matches one particle at the most, by any definition: more than half of its hits are that one's.
        first = good & (self.particle >= 0)
        surplus = int(first.sum() - self.found(match).sum())
        return TrackFigures(
            match=match, efficiency=float(self.found(match).mean()),
            fake_rate=float(1 - real.mean()) if candidates else None,
            duplicate_rate=surplus / candidates if candidates else None,
            particles=len(self.particle_hits), candidates=candidates,
        )  # fmt: skip


def find_tracks(graphs: HitGraphs, accepted: NDArray[np.bool_], min_hits: int = 3) -> Tracks:
    """The candidates that hang together by accepted edges, and what they have in common with particles.

    Args:
        graphs: The graphs.
        accepted: Whether each edge is accepted, shape `(graphs, edges)`.
        min_hits: Fewest hits of a candidate, and of a particle that is to be found.

    Raises:
        InputError: The shape is another one, or no particle has so many hits.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _check(graphs, accepted)
    count, rows = graphs.node_mask.shape
    first = np.arange(count)[:, None] * rows
    chosen = accepted & graphs.edge_mask
    inner, outer = (graphs.senders + first)[chosen], (graphs.receivers + first)[chosen]
    links = coo_array((np.ones(len(inner), dtype=np.int8), (inner, outer)), shape=(count * rows, count * rows))
    _, component = connected_components(links, directed=False)
    hit = np.flatnonzero(graphs.node_mask)
    component = component[hit]
    # Particles are numbered within their graphs.
    width = graphs.pt_gev.shape[1]
    track = graphs.track.ravel()[hit]
    particle = np.where(track >= 0, hit // rows * width + track, -1)

    candidate_hits = np.bincount(component)
    particle_hits = np.bincount(particle[particle >= 0], minlength=count * width)
    reconstructable = np.flatnonzero(particle_hits >= min_hits)
    if len(reconstructable) == 0:
        raise InputError(f"no particle has {min_hits} hits or more in a graph")
    kept = np.flatnonzero(candidate_hits >= min_hits)
    new_candidate, new_particle = _renumbered(kept, len(candidate_hits)), _renumbered(reconstructable, count * width)
    common = (particle >= 0) & (new_candidate[component] >= 0)
    pairs, shared = np.unique(np.stack([component[common], particle[common]]), axis=1, return_counts=True)
    return Tracks(
        candidate_hits=candidate_hits[kept], particle_hits=particle_hits[reconstructable],
        particle_pt_gev=graphs.pt_gev.ravel()[reconstructable],
        candidate=new_candidate[pairs[0]], particle=new_particle[pairs[1]], shared=shared, total=particle_hits[pairs[1]],
    )  # fmt: skip


def _renumbered(kept: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """New numbers of what is kept, -1 for the rest."""
    numbers = np.full(size, -1, dtype=np.int64)
    numbers[kept] = np.arange(len(kept))
    return numbers


def _check(graphs: HitGraphs, accepted: NDArray[Any]) -> None:
    if accepted.shape != graphs.edge_mask.shape or accepted.dtype != np.bool_:
        raise InputError(
            f"accepted edges of the shape {list(accepted.shape)} and type {accepted.dtype}; right would be bool of the shape "
            f"{list(graphs.edge_mask.shape)}"
        )


def narrower_cuts(graphs: HitGraphs, phi_slope_max: float, z0_max_mm: float) -> NDArray[np.bool_]:
    """Edges that keep narrower limits than those the graphs were made with: tracking by cuts alone.

    Args:
        graphs: The graphs.
        phi_slope_max: Largest change of azimuth per radius, in radians per mm.
        z0_max_mm: Largest |z| at the beam line of the straight line through both hits.

    Returns:
        Shape `(graphs, edges)`.
    """
    slope, z0 = graphs.edge_geometry()
    kept: NDArray[np.bool_] = graphs.edge_mask & (np.abs(slope) < phi_slope_max) & (np.abs(z0) < z0_max_mm)
    return kept
