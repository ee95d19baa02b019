from __future__ import annotations

import numpy as np
import pytest

from trigger.data.detector import PRESETS, Particles, detect


def particles(n, kind, charge, pt, eta, seed=1, spread=True):
    generator = np.random.default_rng(seed)
    phi = generator.uniform(-np.pi, np.pi, n)
    eta = generator.uniform(-eta, eta, n) if spread else np.full(n, eta)
    mass = {211: 0.13957, 13: 0.10566}.get(kind, 0.0)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    return Particles(
        np.arange(n), px, py, pz, energy, np.full(n, charge, np.int8), np.full(n, kind, np.int32), np.zeros(n, np.int8)
    )


def test_perfect_changes_nothing_but_acceptance():
    given = particles(500, 211, 1, 2.0, 6.0)
    seen = detect(given, PRESETS["perfect"], np.random.default_rng(1))
    inside = np.abs(np.arcsinh(given.pz / np.hypot(given.px, given.py))) < 5
    np.testing.assert_array_equal(seen.px, given.px[inside])


def test_tracking_efficiency_and_resolution():
    n = 40_000
    given = particles(n, 211, 1, 20.0, 0.5)
    seen = detect(given, PRESETS["particle_flow"], np.random.default_rng(2))
    tracks = seen.take(seen.charge != 0)
    # 95 % efficiency: standard deviation 0.0011; resolution hypot(0.01, 20 x 1.5e-4) = 0.0104.
    assert len(tracks.px) / n == pytest.approx(0.95, abs=0.005)
    ratio = np.hypot(tracks.px, tracks.py) / 20.0
    assert ratio.mean() == pytest.approx(1, abs=5e-4)
    assert ratio.std() == pytest.approx(0.0104, rel=0.03)
    # Hadrons without a track are seen in the calorimeter unless noise hides them.
    assert (seen.kind == 130).sum() > 0.9 * (n - len(tracks.px))


def test_calorimeter_resolution_is_the_cards():
    energy = 50.0
    given = particles(40_000, 22, 0, energy, 1e-3)
    seen = detect(given, PRESETS["particle_flow"], np.random.default_rng(3))
    expected = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2) / energy
    ratio = seen.energy / energy
    assert ratio.mean() == pytest.approx(1, abs=1e-3)
    assert ratio.std() == pytest.approx(expected, rel=0.03)
    assert set(seen.kind.tolist()) == {22}


def test_particle_flow_does_not_count_charged_energy_twice():
    given = particles(20_000, 211, 1, 30.0, 1.0)
    seen = detect(given, PRESETS["particle_flow"], np.random.default_rng(4))
    total = np.bincount(seen.event, seen.energy, minlength=20_000)
    # Fluctuations of towers above their tracks add a little.
    assert (total / given.energy).mean() == pytest.approx(1.0, abs=0.05)


def test_the_field_bends_and_stops_soft_particles():
    straight = particles(2000, 130, 0, 5.0, 0.5)
    curved = particles(2000, 211, 1, 5.0, 0.5)
    seen = detect(curved, PRESETS["calorimeter"], np.random.default_rng(5))
    phi = np.arctan2(curved.py, curved.px)[seen.event]
    turn = (np.arctan2(seen.py, seen.px) - phi + np.pi) % (2 * np.pi) - np.pi
    expected = -np.arcsin(0.15 * 3.8 * 1.29 / 5.0)
    assert np.median(turn) == pytest.approx(expected, abs=0.02)
    neutral = detect(straight, PRESETS["calorimeter"], np.random.default_rng(5))
    phi = np.arctan2(straight.py, straight.px)[neutral.event]
    assert np.median((np.arctan2(neutral.py, neutral.px) - phi + np.pi) % (2 * np.pi) - np.pi) == pytest.approx(
        0, abs=0.01
    )
    soft = particles(2000, 211, 1, 0.7, 0.5)
    assert len(detect(soft, PRESETS["calorimeter"], np.random.default_rng(6)).px) == 0


def test_calorimeter_sees_towers_only():
    seen = detect(particles(1000, 211, 1, 30.0, 2.5), PRESETS["calorimeter"], np.random.default_rng(7))
    assert set(seen.kind.tolist()) == {0}
    assert not seen.charge.any()


def test_muons_leave_no_energy_and_pileup_cells_are_told():
    muons = detect(particles(1000, 13, -1, 30.0, 1.0), PRESETS["particle_flow"], np.random.default_rng(8))
    assert set(muons.kind.tolist()) == {13}
    photons = particles(1000, 22, 0, 30.0, 1.0)
    pileup = Particles(
        *(
            getattr(photons, name) if name != "vertex" else np.ones(1000, np.int8)
            for name in photons.__dataclass_fields__
        )
    )
    assert detect(pileup, PRESETS["particle_flow"], np.random.default_rng(9)).vertex.all()
