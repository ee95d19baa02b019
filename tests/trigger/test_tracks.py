"""Toy tracks: helices, resolutions, edges, and their truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from trigger.config import parse
from trigger.data import tracks
from trigger.data.tracks import (
    HALF_LENGTH_MM,
    NO_TRACK,
    RADIUS_MM,
    TrackData,
    curvature_radius_mm,
    make_tracks,
    propagate,
)
from trigger.errors import InputError

DATA = TrackData(kind="toy_tracks", graphs=60)
CLEAN = DATA.model_copy(update={"material": 0.0, "noise": 0.0, "efficiency": 1.0})


@pytest.fixture(scope="module")
def graphs():
    return make_tracks(DATA, 2)


@pytest.fixture
def exact(monkeypatch):
    """A detector without errors of measurement."""
    monkeypatch.setattr(tracks, "RESOLUTION_MM", (0.0,) * 10)
    monkeypatch.setattr(tracks, "Z_RESOLUTION_MM", (0.0,) * 10)


@pytest.mark.usefixtures("exact")
def test_hits_are_on_a_helix():
    generator = np.random.default_rng(1)
    pt, eta, phi = generator.uniform(0.5, 10, 200), generator.uniform(-2, 2, 200), generator.uniform(-3, 3, 200)
    azimuth, z = propagate(CLEAN, pt, eta, phi, generator)
    x, y = np.array(RADIUS_MM) * np.cos(azimuth), np.array(RADIUS_MM) * np.sin(azimuth)
    # The circle through the beam line and two hits: its radius from sides and area of the triangle.
    for first, second in ((0, 9), (4, 7)):
        side = np.hypot(x[:, second] - x[:, first], y[:, second] - y[:, first])
        area = np.abs(x[:, first] * y[:, second] - x[:, second] * y[:, first]) / 2
        radius = RADIUS_MM[first] * RADIUS_MM[second] * side / (4 * area)
        # pT [GeV] = 0.3 B [T] R [m]
        np.testing.assert_allclose(radius, 1000 * pt / (0.299792458 * 2.0), rtol=1e-6)
    # z rises with the length of the arc as the sine of eta.
    curvature = curvature_radius_mm(pt, 2.0)[:, None]
    chord = np.hypot(x[:, 1:] - x[:, :-1], y[:, 1:] - y[:, :-1])
    arc = 2 * curvature * np.arcsin(chord / (2 * curvature))
    np.testing.assert_allclose(np.diff(z, axis=1), arc * np.sinh(eta)[:, None], rtol=1e-6)


@pytest.mark.usefixtures("exact")
def test_hard_tracks_point_back_to_their_vertex():
    generator = np.random.default_rng(2)
    eta, phi = generator.uniform(-1, 1, (2, 2000))
    azimuth, z = propagate(CLEAN, np.full(2000, 1e6), eta, phi, generator)
    np.testing.assert_allclose(azimuth, np.repeat(phi[:, None], 10, axis=1), atol=1e-5)
    begin = z - np.array(RADIUS_MM) * np.sinh(eta)[:, None]
    np.testing.assert_allclose(begin, np.repeat(begin[:, :1], 10, axis=1), atol=1e-3)
    assert begin.std() == pytest.approx(DATA.vertex_mm, rel=0.06)


def test_measurement_and_scattering_have_the_size_they_should():
    count = 20000
    straight = {"vertex_mm": 0.0, "field_tesla": 1e-6}
    hard = CLEAN.model_copy(update=straight)
    azimuth, z = propagate(hard, np.full(count, 1e3), np.zeros(count), np.zeros(count), np.random.default_rng(3))
    spread = (azimuth * RADIUS_MM).std(axis=0)
    np.testing.assert_allclose(spread, tracks.RESOLUTION_MM, rtol=0.03)
    np.testing.assert_allclose(z.std(axis=0), tracks.Z_RESOLUTION_MM, rtol=0.03)
    # One pion of 1 GeV through 2 % of a radiation length: 13.6 MeV / 1 GeV * sqrt(0.02) * (1 + 0.038 ln 0.02) = 1.64 mrad.
    thick = hard.model_copy(update={"material": 0.02})
    azimuth, _ = propagate(thick, np.ones(count), np.zeros(count), np.zeros(count), np.random.default_rng(4))
    kink = (azimuth * RADIUS_MM).std(axis=0)
    assert kink[0] == pytest.approx(tracks.RESOLUTION_MM[0], rel=0.03)
    assert np.sqrt(kink[1] ** 2 - tracks.RESOLUTION_MM[1] ** 2) == pytest.approx(1.637e-3 * 40, rel=0.04)


def test_the_spectrum_falls_with_the_power():
    found = make_tracks(DATA.model_copy(update={"graphs": 400, "power": 3.0, "pt_gev": (20.0, 100.0)}), 1)
    pt = found.pt_gev[found.pt_gev > 0]

    def below(value):
        return (1 - (value / 20) ** -2) / (1 - 5.0**-2)

    # So hard that none bends into another sector: softer ones are seen in several.
    assert stats.kstest(pt, below).statistic < 0.02
    assert np.abs(found.eta).max() <= 1.5


def test_hits_are_inside_the_detector_and_the_sector(graphs):
    inside = graphs.node_mask
    assert (np.abs(graphs.phi[inside]) < np.pi / 8).all()
    assert (np.abs(graphs.z_mm[inside]) < np.array(HALF_LENGTH_MM)[graphs.layer[inside]]).all()
    np.testing.assert_array_equal(graphs.r_mm[inside], np.array(RADIUS_MM, np.float32)[graphs.layer[inside]])
    assert (graphs.track[~inside] == NO_TRACK).all()
    noise = (graphs.track[inside] == NO_TRACK).mean()
    assert noise == pytest.approx(0.1 / 1.1, abs=0.01)
    # One hit a layer of each particle.
    for row in range(10):
        real = graphs.track[row] >= 0
        pairs = list(zip(graphs.track[row][real], graphs.layer[row][real], strict=True))
        assert len(pairs) == len(set(pairs))
        assert set(graphs.track[row][real]) == set(np.flatnonzero(graphs.pt_gev[row]))


def test_a_hit_in_a_hundred_is_missing():
    central = {"noise": 0.0, "efficiency": 0.9, "max_abs_eta": 0.3, "pt_gev": (8.0, 10.0), "vertex_mm": 1.0}
    found = make_tracks(DATA.model_copy(update=central), 1)
    hits = [np.bincount(row[row >= 0]) for row in found.track]
    whole = np.concatenate([count[count > 0] for count in hits])
    # Some leave the sector at its sides; in the middle the mean is nine of ten.
    assert np.median(whole) == 9
    assert 8.4 < whole.mean() < 9


def test_edges_are_all_pairs_that_keep_the_limits(graphs):
    for row in range(4):
        expected = set()
        count = int(graphs.node_mask[row].sum())
        r, phi, z, layer = (getattr(graphs, name)[row].astype(float) for name in ("r_mm", "phi", "z_mm", "layer"))
        for inner in range(count):
            for outer in range(count):
                if layer[outer] == layer[inner] + 1:
                    slope = (phi[outer] - phi[inner]) / (r[outer] - r[inner])
                    z0 = z[inner] - r[inner] * (z[outer] - z[inner]) / (r[outer] - r[inner])
                    if abs(slope) < DATA.phi_slope_max and abs(z0) < DATA.z0_max_mm:
                        expected.add((inner, outer))
        mask = graphs.edge_mask[row]
        found = list(zip(graphs.senders[row][mask], graphs.receivers[row][mask], strict=True))
        assert len(found) == len(set(found))
        assert set(found) == expected
        track = graphs.track[row]
        true = [track[inner] == track[outer] != NO_TRACK for inner, outer in found]
        np.testing.assert_array_equal(graphs.truth[row][mask], true)
        slopes, beginnings = (values[row][mask] for values in graphs.edge_geometry())
        for (inner, outer), slope, z0 in zip(found, slopes, beginnings, strict=True):
            assert slope == pytest.approx((phi[outer] - phi[inner]) / (r[outer] - r[inner]))
            # The line through both hits, at no radius.
            assert z0 == pytest.approx(np.polyval(np.polyfit(r[[inner, outer]], z[[inner, outer]], 1), 0), abs=1e-6)
    assert not graphs.truth[~graphs.edge_mask].any()


def test_the_limits_keep_nearly_all_true_edges(graphs):
    kept = total = 0
    for row in range(len(graphs)):
        for track in np.unique(graphs.track[row][graphs.track[row] >= 0]):
            total += int((np.diff(np.sort(graphs.layer[row][graphs.track[row] == track])) == 1).sum())
        kept += int(graphs.truth[row].sum())
    assert kept / total > 0.995
    assert 0.4 < graphs.truth.sum() / graphs.edge_mask.sum() < 0.7


def test_the_same_seed_gives_the_same_bits(graphs):
    again = make_tracks(DATA, 2)
    for name in ("phi", "z_mm", "track", "senders", "receivers", "truth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(graphs, name))
    assert not np.array_equal(make_tracks(DATA, 3).phi[:, :50], graphs.phi[:, :50])
    assert graphs.origin.synthetic


def test_what_a_network_sees(graphs):
    inputs = graphs.inputs()
    assert graphs.node_mask.shape[1] % 32 == 0
    assert np.abs(inputs["nodes"]).max() <= 1.1
    assert np.abs(inputs["edges"]).max() <= 1.0
    assert (inputs["edges"][~graphs.edge_mask] == 0).all()
    assert set(np.unique(graphs.answers())) == {-1, 0, 1}
    few = graphs.take(np.array([3, 1]))
    np.testing.assert_array_equal(few.phi, graphs.phi[[3, 1]])


def test_wrong_settings_and_graphs_are_refused(graphs):
    with pytest.raises(InputError, match=r"curl up before the last layer; right would be more than 0.306 GeV"):
        parse("kind: toy_tracks\npt_gev: [0.3, 5]\n", TrackData, "t")
    phi = graphs.phi.copy()
    phi[0, 0] = np.inf
    with pytest.raises(InputError, match="phi has numbers that are NaN or infinite"):
        replace(graphs, phi=phi)
    with pytest.raises(InputError, match="senders names hits that are not there"):
        replace(graphs, senders=graphs.senders + 1000)
    with pytest.raises(InputError, match="receivers names places without a hit"):
        replace(graphs, receivers=np.full_like(graphs.receivers, graphs.node_mask.shape[1] - 1))
    with pytest.raises(InputError, match="truth has the shape"):
        replace(graphs, truth=graphs.truth[:, :4])
    with pytest.raises(InputError, match="no edge between hits"):
        replace(graphs, edge_mask=np.zeros_like(graphs.edge_mask))
    with pytest.raises(InputError, match="no edge between hits"):
        make_tracks(DATA.model_copy(update={"graphs": 1, "tracks": 1e-6}), 1)
