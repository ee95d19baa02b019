"""The study of detector layers: its settings, its recipes, its content and its figures."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from models.analyses.low_level import ClusteringPart, ImagePart, LowLevel, TrackingPart
from models.analyses.recipe import load_analysis
from models.offline.detector_merit import by_pt
from models.offline.tracking_merit import find_tracks
from trigger.data.detector_images import CHANNELS, DetectorImages
from trigger.data.showers import ShowerData
from trigger.data.tracks import TrackData, make_tracks
from trigger.plots import low_level as plots

TRACKS = TrackData(kind="toy_tracks", graphs=60, tracks=4)


def test_settings_that_cannot_be():
    with pytest.raises(ValidationError, match="all left out"):
        LowLevel(kind="low_level")
    with pytest.raises(ValidationError, match="no class 'top_pair'; nearest: 'top_pairs'"):
        ImagePart(data=DetectorImages(kind="detector_images"), signal=("top_pair",))


def test_the_recipes_have_all_parts():
    for name in ("low_level", "low_level_large"):
        study = load_analysis(name).study
        assert isinstance(study.images, ImagePart)
        assert isinstance(study.clustering, ClusteringPart)
        assert isinstance(study.tracking, TrackingPart)


def test_the_content_is_that_of_the_images():
    tracks = LowLevel(kind="low_level", tracking=TrackingPart(data=TRACKS))
    assert tracks.content(1) is None
    showers = ClusteringPart(data=ShowerData(kind="parametrised_showers", events=20))
    images = ImagePart(data=DetectorImages(kind="detector_images", events_per_class=10))
    both = LowLevel(kind="low_level", images=images, clustering=showers)
    assert both.content(1) != both.content(2)


def test_figures_are_drawn():
    graphs = make_tracks(TRACKS, 1)
    averages = {name: np.random.default_rng(2).random((8, 8, 3)) for name in ("qcd_dijets", "top_pairs")}
    tracks = find_tracks(graphs, graphs.truth)
    figures = (
        plots.average_images(averages, CHANNELS, 2.4),
        plots.response_histograms({"one": np.array([0.9, 1.0, np.nan]), "other": np.array([1.1])}),
        plots.track_scan({"network": [(0.5, 0.1), (0.0, None)], "cuts": [(0.4, 0.2)]}, (0.0, 1.0), "network"),
        plots.efficiency_by_pt({"truth": by_pt(tracks, "lhc", TRACKS.pt_gev, 4)}),
    )
    assert [len(figure.axes) for figure in figures] == [12, 1, 2, 1]
