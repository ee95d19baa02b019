"""Images of the whole detector: what goes into which channel, and that a sample can be made again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from trigger.config import parse
from trigger.data import detector_images
from trigger.data.detector import PRESETS, Particles
from trigger.data.detector_images import (
    CHANNELS,
    DetectorImages,
    ImageChunk,
    fill,
    generate_images,
    images_digest,
    layers,
    make_image_chunk,
    read_images,
)
from trigger.data.generate import collide
from trigger.errors import InputError
from trigger.kinematics import delta_phi, pseudorapidity, transverse_momentum

DATA = DetectorImages(kind="detector_images", events_per_class=30, rows=16, columns=12, max_abs_eta=2.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, steps = tmp_path_factory.mktemp("samples"), []
    with ThreadPoolExecutor(1) as pool:
        path = generate_images(DATA, 1, folder, progress=lambda *step: steps.append(step), executor=pool)
    return path, steps, read_images(path)


def some(kind, charge, pt=50.0, eta=0.4, phi=1.0, count=400):
    """Events of one particle each."""
    ones = np.ones(count)
    return Particles(
        event=np.arange(count), px=pt * np.cos(phi) * ones, py=pt * np.sin(phi) * ones, pz=pt * np.sinh(eta) * ones,
        energy=pt * np.cosh(eta) * ones, charge=np.full(count, charge, np.int8), kind=np.full(count, kind, np.int32),
        vertex=np.zeros(count, np.int8), d0_mm=np.zeros(count),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "charge", "channels"),
    [(22, 0, {1}), (11, -1, {0, 1}), (13, 1, {0}), (211, 1, {0, 2}), (130, 0, {2}), (2112, 0, {2}), (321, -1, {0, 2})],
)
@pytest.mark.parametrize("detector", ["particle_flow", "perfect"])
def test_what_a_particle_leaves(kind, charge, channels, detector):
    seen = layers(some(kind, charge), PRESETS[detector], np.random.default_rng(1))
    for channel, found in enumerate(seen):
        if channel not in channels:
            assert len(found.event) == 0
            continue
        assert len(found.event) > 300
        pt = transverse_momentum(found.px, found.py)
        per_event = np.bincount(found.event, pt, minlength=400)
        assert np.median(per_event) == pytest.approx(50, rel=0.04)


def test_a_charged_particle_reaches_the_calorimeter_at_another_azimuth():
    tracks, _, hadronic = layers(some(211, 1, pt=5.0), PRESETS["particle_flow"], np.random.default_rng(1))
    turned = delta_phi(np.arctan2(hadronic.py, hadronic.px), 1.0)
    # arcsin(0.15 B r / pT) with 3.8 T and 1.29 m; a tower is 0.087 wide.
    assert np.median(turned) == pytest.approx(-np.arcsin(0.15 * 3.8 * 1.29 / 5), abs=0.05)
    assert np.abs(delta_phi(np.arctan2(tracks.py, tracks.px), 1.0)).max() < 1e-6


def test_pixels_by_a_loop():
    made = collide(DATA.lines("qcd_dijets"), 3, "qcd_dijets", 0, 8, 3.0)
    seen = layers(made.particles, PRESETS["particle_flow"], np.random.default_rng(2))
    expected = np.zeros((8, 16, 12, 3))
    for channel, found in enumerate(seen):
        eta = pseudorapidity(found.px, found.py, found.pz)
        for event, px, py, place in zip(found.event, found.px, found.py, eta, strict=True):
            if abs(place) < 2.5:
                row = int(np.round((np.arctan2(py, px) + np.pi) / (2 * np.pi / 16), 9)) % 16
                column = int(np.round((place + 2.5) / (5 / 12), 9))
                expected[event, row, column, channel] += np.hypot(px, py)
    images = np.zeros((8, 16 * 12 * 3))
    event, pixel, value = fill(DATA, seen)
    images[event, pixel] = value
    np.testing.assert_allclose(images.reshape(expected.shape), expected, rtol=1e-5)
    assert len(CHANNELS) == 3


def test_a_perfect_detector_loses_nothing():
    made = collide(DATA.lines("top_pairs"), 3, "top_pairs", 0, 10, 5.0)
    seen = layers(made.particles, PRESETS["perfect"], np.random.default_rng(2))
    visible = made.particles
    inside = np.abs(pseudorapidity(visible.px, visible.py, visible.pz)) < 2.5
    _, pixel, value = fill(DATA, seen)
    pt = transverse_momentum(visible.px, visible.py)
    muon, electromagnetic = visible.kind == 13, np.isin(visible.kind, (11, 22))
    for channel, chosen in enumerate((visible.charge != 0, electromagnetic, ~muon & ~electromagnetic)):
        assert value[pixel % 3 == channel].sum() == pytest.approx(pt[chosen & inside].sum(), rel=1e-4)


def test_a_pixel_of_the_defaults_is_a_tower():
    data = DetectorImages(kind="detector_images")
    made = collide(data.lines("qcd_dijets"), 4, "qcd_dijets", 0, 20, 3.0)
    seen = layers(made.particles, PRESETS["particle_flow"], np.random.default_rng(2))
    event, pixel, _ = fill(data, seen)
    inside = np.abs(pseudorapidity(seen[2].px, seen[2].py, seen[2].pz)) < data.max_abs_eta
    assert (pixel % 3 == 2).sum() == inside.sum()
    assert len(event) > 100


def test_the_sample(made):
    path, steps, found = made
    assert path.parent.name == f"detector_images-{images_digest(DATA, 1)[:10]}"
    assert [entry.name for entry in path.parent.iterdir() if entry.name != ".lock"] == ["images.npz"]
    assert steps[-1] == ("events", 60, 60)
    assert found.images.shape == (60, 16, 12, 3)
    assert found.images.dtype == np.float32
    assert np.bincount(found.labels).tolist() == [30, 30]
    assert found.class_names == ("qcd_dijets", "top_pairs")
    assert ((found.pt_hat_gev >= 200) & (found.pt_hat_gev < 400)).all()
    assert found.weights[found.labels == 1].mean() == pytest.approx(1)
    # Two jets of 200 to 400 GeV, charged for two thirds.
    total = found.images.sum(axis=(1, 2)).mean(axis=0)
    assert 300 < total[1:].sum() < 900
    assert 0.5 < total[0] / total[1:].sum() < 0.9
    assert not found.origin.synthetic
    assert set(found.origin.details["cross_section_pb"]) == {"qcd_dijets", "top_pairs"}


def test_a_killed_run_goes_on_and_gives_the_same(made, tmp_path, monkeypatch):
    _, _, first = made
    pieces = [ImageChunk(DATA, 1, process, 0, 30) for process in DATA.processes]
    home = tmp_path / f"detector_images-{images_digest(DATA, 1)[:10]}" / "chunks"
    home.mkdir(parents=True)
    make_image_chunk(pieces[0], home)
    made_again = []
    simulate = detector_images.simulate_images

    def counted(chunk):
        made_again.append(chunk.process)
        return simulate(chunk)

    monkeypatch.setattr(detector_images, "simulate_images", counted)
    with ThreadPoolExecutor(1) as pool:
        path = generate_images(DATA, 1, tmp_path, executor=pool)
        generate_images(DATA, 1, tmp_path, executor=pool)
    assert made_again == ["top_pairs"]
    again = read_images(path)
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.weights, first.weights)


def test_another_setting_is_another_sample():
    digests = {
        images_digest(DATA, 1), images_digest(DATA, 2),
        *(images_digest(DATA.model_copy(update=change), 1) for change in ({"rows": 20}, {"detector": "perfect"})),
    }  # fmt: skip
    assert len(digests) == 4


def test_wrong_settings_and_files_are_refused(made, tmp_path):
    for text, message in (
        ("processes: [qcd_dijets, gluon_dijets]", "contains 'quark_dijets' and 'gluon_dijets'"),
        ("processes: [top_pairs]", "at least two different classes"),
        ("pt_gev: [5, 50]", "begins at 20 GeV"),
        ("detector: calorimeter", "'calorimeter' is not known"),
    ):
        with pytest.raises(InputError, match=message):
            parse(f"kind: detector_images\n{text}\n", DetectorImages, "d")
    with pytest.raises(InputError, match="no such file"):
        read_images(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read as images"):
        read_images(tmp_path / "broken.npz")
    sample = made[2]
    with pytest.raises(InputError, match="'top_pairs' has no images"):
        replace(sample, labels=np.zeros_like(sample.labels))
    with pytest.raises(InputError, match="negative, NaN or infinite"):
        replace(sample, images=sample.images - 1)
    with pytest.raises(InputError, match="right is"):
        replace(sample, images=sample.images[..., :2])
    with pytest.raises(InputError, match="have weights of shape"):
        replace(sample, weights=sample.weights[:3])
