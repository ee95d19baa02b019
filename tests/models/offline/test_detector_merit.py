"""Figures of merit of images, showers and tracks against loops, numpy and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.offline.detector_merit import (
    best_point,
    binomial,
    by_pt,
    channel_numbers,
    edge_trial,
    resolution,
    scan_of,
)
from models.offline.merit import merit
from models.offline.tagging import cut
from models.offline.tracking_merit import TrackFigures, find_tracks
from trigger.data.jets import Split, split_by_event
from trigger.data.tracks import TrackData, make_tracks
from trigger.errors import InputError

TRACKS = TrackData(kind="toy_tracks", graphs=60, tracks=4)


@pytest.fixture(scope="module")
def graphs():
    return make_tracks(TRACKS, 1)


def test_numbers_of_an_image():
    images = np.zeros((2, 4, 4, 3), dtype=np.float32)
    images[0, 1, 2, 0], images[0, 3, 3, 0], images[1, 0, 0, 2] = 2.0, 5.0, 7.0
    assert channel_numbers(images).tolist() == [[7, 0, 0, 2, 0, 0, 5, 0, 0], [0, 0, 7, 0, 0, 1, 0, 0, 7]]


def test_resolution_is_that_of_repeated_events():
    generator = np.random.default_rng(1)
    response = generator.normal(1.1, 0.4, (50, 2))
    response[3, 1], response[7, 0] = np.nan, 5.0
    counts = generator.integers(0, 3, (4, 50))
    found = resolution(response, counts.astype(float))
    for replica, width in zip(counts, found, strict=True):
        values = np.repeat(response, replica, axis=0).ravel()
        values = values[(values > 0.2) & (values < 2.8)]
        assert width == pytest.approx(values.std() / values.mean())
    with pytest.raises(InputError, match="none is between"):
        resolution(np.full((3, 2), np.nan), np.ones((1, 3)))


def test_edges_are_split_with_their_graphs(graphs):
    splits = split_by_event(np.arange(len(graphs)), 1)
    sample = edge_trial(graphs, splits)
    assert len(sample.is_signal) == graphs.edge_mask.sum()
    for split, chosen in splits.items():
        assert sample.splits[split].sum() == graphs.edge_mask[chosen].sum()
        assert set(sample.events[sample.splits[split]]) <= set(np.flatnonzero(chosen))
    test = splits[Split.TEST]
    z0 = np.abs(graphs.edge_geometry()[1])
    mask = graphs.edge_mask[test]
    area = roc_auc_score(graphs.truth[test][mask], -z0[test][mask])
    scored = cut("z0", -z0[graphs.edge_mask], sample)
    assert merit(scored, sample.held, 1).auc.value == pytest.approx(max(area, 1 - area))


def test_edges_of_one_kind_are_refused(graphs):
    splits = split_by_event(np.arange(len(graphs)), 1)
    broken = graphs.take(np.arange(len(graphs)))
    broken.truth[:] = False
    with pytest.raises(InputError, match="0 are true"):
        edge_trial(broken, splits)


def test_more_edges_find_more_and_the_best_point_weighs_fakes(graphs):
    nothing = np.zeros_like(graphs.edge_mask)
    scan = scan_of(graphs, [nothing, graphs.truth, graphs.edge_mask], "double_majority")
    assert scan[0].efficiency == 0
    assert scan[0].fake_rate is None
    assert best_point(scan) == 1, "the truth is best"
    figures = [
        TrackFigures("lhc", efficiency, fake, 0.0, 10, 10) for efficiency, fake in ((0.9, 0.5), (0.8, 0.1), (1, 1))
    ]
    assert best_point(figures) == 1


def test_efficiency_by_pt_is_a_loop(graphs):
    tracks = find_tracks(graphs, graphs.edge_mask)
    edges, shares = by_pt(tracks, "double_majority", TRACKS.pt_gev, 4)
    assert edges[0] == pytest.approx(0.5)
    assert edges[-1] == pytest.approx(10)
    good = tracks.found("double_majority")
    for low, high, share in zip(edges, edges[1:], shares, strict=False):
        inside = (tracks.particle_pt_gev >= low) & (tracks.particle_pt_gev < high)
        if inside.any():
            assert share.value == pytest.approx(good[inside].mean())
        else:
            assert share is None


def test_binomial_uncertainty():
    assert binomial(0.2, 100).uncertainty == pytest.approx(0.04)
    assert binomial(1.0, 50).uncertainty == pytest.approx(math.sqrt(0.01 * 0.99 / 50))
    assert binomial(0.0, 1).uncertainty == pytest.approx(0.5)
