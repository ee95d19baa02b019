"""Figures of merit of tracking, by hand and by loops."""

from __future__ import annotations

import numpy as np
import pytest

from models.offline.tracking_merit import find_tracks, narrower_cuts
from trigger.data.jets import Origin
from trigger.data.tracks import HitGraphs, TrackData, make_tracks
from trigger.errors import InputError


@pytest.fixture(scope="module")
def graphs():
    return make_tracks(TrackData(kind="toy_tracks", graphs=20), 1)


def by_hand(track, edges):
    """One graph: the track of each hit, and pairs of hits."""
    track = np.array([track], dtype=np.int32)
    ends = np.array(edges, dtype=np.int32).T[:, None]
    zeros = np.zeros(track.shape, dtype=np.float32)
    particles = int(track.max()) + 1
    return HitGraphs(
        r_mm=zeros + 1, phi=zeros, z_mm=zeros, layer=zeros.astype(np.int16), node_mask=np.ones(track.shape, dtype=bool),
        track=track, senders=ends[0], receivers=ends[1], edge_mask=np.ones(ends[0].shape, dtype=bool),
        truth=(track[0][ends[0]] == track[0][ends[1]]) & (track[0][ends[0]] >= 0), pt_gev=np.ones((1, particles)),
        eta=np.zeros((1, particles)), half_width=0.4, origin=Origin("toy_tracks", True),
    )  # fmt: skip


def test_figures_by_hand():
    # Particle 0 has hits 0 to 3, particle 1 hits 4 to 7, particle 2 hits 8 and 9 (too few), 10 and 11 are noise.
    track = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, -1, -1]
    edges = [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 10), (8, 9), (9, 11)]
    graph = by_hand(track, edges)
    every = np.ones((1, 8), dtype=bool)
    found = find_tracks(graph, every)
    # Candidates: 0-3 whole; 4, 5, 6 and noise; 8, 9 and noise.
    assert sorted(found.candidate_hits.tolist()) == [3, 4, 4]
    assert found.particle_hits.tolist() == [4, 4]
    perfect, majority, lhc = (found.figures(match) for match in ("perfect", "double_majority", "lhc"))
    assert (perfect.efficiency, perfect.fake_rate) == (0.5, pytest.approx(2 / 3))
    # The candidate of particle 2 is its, though the particle is none to be found: not a fake, by the majority of both.
    assert (majority.efficiency, majority.fake_rate) == (1.0, 0.0)
    assert (lhc.efficiency, lhc.fake_rate) == (1.0, pytest.approx(1 / 3))
    assert (perfect.particles, perfect.candidates, perfect.duplicate_rate) == (2, 3, 0.0)
    some = np.array([[True] * 5 + [False] * 3])
    assert find_tracks(graph, some).figures("perfect").fake_rate == 0.5


def test_a_particle_in_two_parts_is_a_duplicate_by_one_definition():
    graph = by_hand([0] * 6, [(0, 1), (1, 2), (3, 4), (4, 5)])
    found = find_tracks(graph, np.ones((1, 4), dtype=bool))
    lhc = found.figures("lhc")
    assert (lhc.efficiency, lhc.fake_rate, lhc.duplicate_rate) == (1.0, 0.0, 0.5)
    majority = found.figures("double_majority")
    assert (majority.efficiency, majority.fake_rate, majority.duplicate_rate) == (0.0, 1.0, 0.0)


def test_two_particles_in_one_candidate():
    graph = by_hand([0, 0, 0, 1, 1, 1], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    merged = find_tracks(graph, np.ones((1, 5), dtype=bool))
    for match in ("perfect", "double_majority", "lhc"):
        assert merged.figures(match).efficiency == 0.0
        assert merged.figures(match).fake_rate == 1.0
    apart = find_tracks(graph, graph.truth)
    assert apart.figures("perfect").efficiency == 1.0


def test_true_edges_find_all_tracks_that_have_no_gap(graphs):
    found = find_tracks(graphs, graphs.truth)
    whole = []
    for row in range(len(graphs)):
        for track in np.unique(graphs.track[row][graphs.track[row] >= 0]):
            hits = np.flatnonzero(graphs.track[row] == track)
            inside = graphs.truth[row] & np.isin(graphs.senders[row], hits)
            if len(hits) >= 3:
                whole.append(int(inside.sum()) == len(hits) - 1)
    assert found.figures("perfect").particles == len(whole)
    assert found.figures("perfect").efficiency == pytest.approx(np.mean(whole))
    assert found.figures("perfect").efficiency > 0.9
    assert found.figures("lhc").fake_rate == 0.0


def test_matches_by_a_loop(graphs):
    accepted = graphs.edge_mask & (np.random.default_rng(1).random(graphs.edge_mask.shape) < 0.6)
    found = find_tracks(graphs, accepted)
    efficient, fake, candidates = {}, {}, 0
    for row in range(len(graphs)):
        count = int(graphs.node_mask[row].sum())
        group = list(range(count))

        def root(hit, group=group):
            while group[hit] != hit:
                hit = group[hit]
            return hit

        for inner, outer in zip(graphs.senders[row][accepted[row]], graphs.receivers[row][accepted[row]], strict=True):
            group[root(inner)] = root(outer)
        sets = {}
        for hit in range(count):
            sets.setdefault(root(hit), set()).add(hit)
        particles = {
            track: set(np.flatnonzero(graphs.track[row][:count] == track)) for track in set(graphs.track[row]) - {-1}
        }
        large = [hits for hits in sets.values() if len(hits) >= 3]
        candidates += len(large)
        for match, rule in {
            "perfect": lambda c, p: c == p,
            "double_majority": lambda c, p: 2 * len(c & p) > len(c) and 2 * len(c & p) > len(p),
            "lhc": lambda c, p: len(c & p) >= 0.75 * len(c),
        }.items():
            for hits in particles.values():
                if len(hits) >= 3:
                    efficient.setdefault(match, []).append(any(rule(one, hits) for one in large))
            fake.setdefault(match, []).extend(not any(rule(one, hits) for hits in particles.values()) for one in large)
    for match in ("perfect", "double_majority", "lhc"):
        figures = found.figures(match)
        assert figures.efficiency == pytest.approx(np.mean(efficient[match]))
        assert figures.fake_rate == pytest.approx(np.mean(fake[match]))
        assert figures.candidates == candidates
        assert found.found(match).mean() == figures.efficiency


def test_narrower_cuts(graphs):
    np.testing.assert_array_equal(narrower_cuts(graphs, 0.001, 200.0), graphs.edge_mask)
    narrow = narrower_cuts(graphs, 0.0003, 60.0)
    assert graphs.truth[narrow].sum() < graphs.truth[graphs.edge_mask].sum(), "some true edges are lost"
    assert graphs.truth[narrow].mean() > graphs.truth[graphs.edge_mask].mean()
    smaller = make_tracks(TrackData(kind="toy_tracks", graphs=20, phi_slope_max=0.0003, z0_max_mm=60.0), 1)
    assert narrow.sum() == smaller.edge_mask.sum()


def test_what_cannot_be_judged_is_refused(graphs):
    with pytest.raises(InputError, match="right would be bool of the shape"):
        find_tracks(graphs, graphs.edge_mask.astype(float))
    with pytest.raises(InputError, match="right would be bool of the shape"):
        find_tracks(graphs, graphs.edge_mask[:, :3])
    with pytest.raises(InputError, match="no particle has 11 hits"):
        find_tracks(graphs, graphs.edge_mask, min_hits=11)
    nothing = find_tracks(graphs, np.zeros_like(graphs.edge_mask)).figures("lhc")
    assert (nothing.efficiency, nothing.fake_rate, nothing.candidates) == (0.0, None, 0)
