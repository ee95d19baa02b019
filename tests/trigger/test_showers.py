"""Parametrised showers: the formulas, the cells, and that energy is neither made nor lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from trigger.config import parse
from trigger.data import showers
from trigger.data.showers import (
    CELL_CM,
    CRITICAL_ENERGY_GEV,
    HALF_WIDTH_CM,
    INTERACTION_LENGTH_CM,
    MOLIERE_RADIUS_CM,
    RADIATION_LENGTH_CM,
    THICKNESS_CM,
    ShowerData,
    calorimeter_cells,
    cell_of,
    draw_spots,
    make_showers,
    photon_profile,
    pion_profile,
)
from trigger.errors import InputError

SMALL = ShowerData(kind="parametrised_showers", events=300)


@pytest.fixture(scope="module")
def events():
    return make_showers(SMALL, 3)


def test_cells_tile_every_layer():
    cells = calorimeter_cells()
    area = np.bincount(cells.layer, cells.size_cm**2)
    np.testing.assert_allclose(area, (2 * HALF_WIDTH_CM) ** 2)
    fine = (cells.x_cm > 0) & (cells.y_cm > 0)
    np.testing.assert_allclose(cells.size_cm[fine], np.array(CELL_CM)[cells.layer[fine]] / 2)
    np.testing.assert_allclose(cells.size_cm[~fine], np.array(CELL_CM)[cells.layer[~fine]])


def test_a_place_is_in_the_cell_around_it():
    generator = np.random.default_rng(1)
    x, y = generator.uniform(-33, 33, (2, 500))
    z = generator.uniform(-5, 195, 500)
    cells = calorimeter_cells()
    front = np.cumsum([0, *THICKNESS_CM])
    for found, px, py, pz in zip(cell_of(x, y, z), x, y, z, strict=True):
        around = np.flatnonzero(
            (np.abs(cells.x_cm - px) <= cells.size_cm / 2)
            & (np.abs(cells.y_cm - py) <= cells.size_cm / 2)
            & (front[cells.layer] <= pz)
            & (pz < front[cells.layer + 1])
        )
        assert found == (around[0] if len(around) else -1)
    assert 0.3 < (cell_of(x, y, z) >= 0).mean() < 0.95


def test_depths_of_a_photon_are_of_the_gamma_distribution():
    energy = np.full(3000, 50.0)
    spots = draw_spots(energy, True, 0.2, np.random.default_rng(2))
    maximum, shape = photon_profile(energy, np.random.default_rng(5))
    # The most likely shower, by hand: ln(50 GeV / 21.68 MeV) = 7.7435.
    most_likely, most_likely_shape = photon_profile(np.array([50.0]), None)
    assert np.log(50 / CRITICAL_ENERGY_GEV) == pytest.approx(7.7435, abs=1e-3)
    assert most_likely[0] == pytest.approx(7.7435 - 0.812, abs=1e-3)
    assert most_likely_shape[0] == pytest.approx(0.81 + (0.458 + 2.26 / 26) * 7.7435, abs=1e-3)
    mean = (maximum * shape / (shape - 1)).mean() + 9 / 7
    assert spots.z_cm.mean() / RADIATION_LENGTH_CM == pytest.approx(mean, rel=0.02)
    # Showers fluctuate by what the parametrisation says, and are correlated.
    expected = 1 / (-1.4 + 1.26 * 7.7435)
    assert np.log(maximum).std() == pytest.approx(expected, rel=0.05)
    assert np.corrcoef(np.log(maximum), np.log(shape))[0, 1] == pytest.approx(0.705 - 0.023 * 7.7435, abs=0.05)


def test_one_and_two_moliere_radii_hold_what_the_radius_is_defined_by():
    spots = draw_spots(np.full(300, 30.0), True, 0.2, np.random.default_rng(3))
    radius = np.hypot(spots.x_cm, spots.y_cm)
    assert 0.87 < (radius < MOLIERE_RADIUS_CM).mean() < 0.93
    assert (radius < 3.5 * MOLIERE_RADIUS_CM).mean() > 0.96
    assert abs(spots.x_cm[radius < 10].mean()) < 0.02


def test_pions_have_the_profile_of_the_formula():
    energy = 40.0
    shape, slope, hadronic_slope, fraction = (np.ravel(value)[0] for value in pion_profile(np.array([energy])))
    weight = 1.032 - 0.159 * np.log(energy)

    def density(x, length, factor, rate):  # a term of the formula, from where the shower begins
        return factor * (x / length) ** (shape - 1) * np.exp(-rate * x / length)

    first = integrate.quad(density, 0, 400, args=(RADIATION_LENGTH_CM, weight, slope))[0]
    second = integrate.quad(density, 0, 4000, args=(INTERACTION_LENGTH_CM, 1 - weight, hadronic_slope))[0]
    assert fraction == pytest.approx(first / (first + second), rel=1e-4)
    spots = draw_spots(np.full(4000, energy), False, 0.5, np.random.default_rng(4))
    expected = INTERACTION_LENGTH_CM + fraction * shape * RADIATION_LENGTH_CM / slope
    expected += (1 - fraction) * shape * INTERACTION_LENGTH_CM / hadronic_slope
    assert spots.z_cm.mean() == pytest.approx(expected, rel=0.02)
    radius = np.hypot(spots.x_cm, spots.y_cm)
    outside = (1 - fraction) * 0.05
    assert (radius > INTERACTION_LENGTH_CM).mean() == pytest.approx(outside, abs=0.01)


def test_pions_begin_after_an_interaction_length():
    spots = draw_spots(np.full(4000, 80.0), False, 0.5, np.random.default_rng(6))
    first = np.full(4000, np.inf)
    np.minimum.at(first, spots.shower, spots.z_cm)
    # Of some hundred spots the first is close to the beginning, a little behind it.
    behind = np.mean(first) - INTERACTION_LENGTH_CM
    assert 0.5 < behind < 2
    assert stats.kstest(first - behind, stats.expon(scale=INTERACTION_LENGTH_CM).cdf).statistic < 0.08


@pytest.mark.parametrize(("photon", "resolution"), [(True, 0.2), (False, 0.5)])
def test_the_energy_is_right_on_average_and_has_the_resolution(photon, resolution):
    energy = np.full(3000, 50.0)
    spots = draw_spots(energy, photon, resolution, np.random.default_rng(7))
    seen = resolution**2 * np.bincount(spots.shower, minlength=3000)
    assert seen.mean() == pytest.approx(50, rel=4 * resolution / np.sqrt(50 * 3000))
    assert seen.std() / 50 == pytest.approx(resolution / np.sqrt(50), rel=0.06)


def test_hits_hold_the_energy_that_was_deposited():
    data = SMALL.model_copy(update={"noise_gev": 0.0, "hits": 1000, "events": 40, "threshold_gev": 1e-6})
    found = make_showers(data, 5)
    np.testing.assert_allclose(found.energy_gev.sum(axis=1), found.deposited_gev.sum(axis=1), rtol=1e-5)
    each = (found.energy_gev[..., None] * found.fractions).sum(axis=1)
    np.testing.assert_allclose(each, found.deposited_gev, rtol=1e-4)
    assert (found.fractions.sum(axis=2)[found.mask] > 0.9999).all()


def test_hits_are_the_most_energetic_cells(events):
    energy = np.where(events.mask, events.energy_gev, 0)
    assert (np.diff(energy, axis=1) <= 0).all()
    assert events.energy_gev[events.mask].min() > SMALL.threshold_gev
    for name in ("energy_gev", "x_cm", "y_cm", "z_cm", "size_cm", "layer", "fractions"):
        assert (getattr(events, name)[~events.mask] == 0).all()
    fewer = make_showers(SMALL.model_copy(update={"hits": 32}), 3)
    np.testing.assert_array_equal(fewer.energy_gev, events.energy_gev[:, :32])
    # In a block of 11 interaction lengths a few per cent leak out.
    assert 0.95 < (events.deposited_gev / events.shower_energy_gev).mean() < 1.0


def test_noise_alone_is_of_no_shower():
    loud = make_showers(SMALL.model_copy(update={"noise_gev": 0.02, "hits": 1000, "events": 20}), 1)
    total = loud.fractions.sum(axis=2)[loud.mask]
    assert 0.01 < (total == 0).mean() < 0.9
    expected = 9520 * stats.norm.sf(0.05 / 0.02)
    alone = (loud.mask & (loud.fractions.sum(axis=2) == 0)).sum(axis=1)
    assert alone.mean() == pytest.approx(expected, rel=0.15)


def test_showers_are_where_they_were_aimed(events):
    gap = np.hypot(*(events.axes_cm[:, 1] - events.axes_cm[:, 0]).T)
    assert gap.min() >= 2
    assert gap.max() <= 15
    weight = events.energy_gev[..., None] * events.fractions
    for axis, place in enumerate((events.x_cm, events.y_cm)):
        centre = (weight * place[..., None]).sum(axis=1) / weight.sum(axis=1)
        assert np.median(np.abs(centre - events.axes_cm[:, :, axis])) < 1.0


def test_the_same_seed_gives_the_same_bits(events):
    again = make_showers(SMALL, 3)
    for name in ("energy_gev", "fractions", "layer", "axes_cm"):
        np.testing.assert_array_equal(getattr(again, name), getattr(events, name))
    assert not np.array_equal(make_showers(SMALL, 4).energy_gev, events.energy_gev)
    assert events.origin.synthetic
    assert events.origin.details["seed"] == 3


def test_what_a_network_sees(events):
    inputs = events.inputs()
    assert inputs["hits"].shape == (300, 192, 5)
    assert inputs["hits"].dtype == np.float32
    assert (inputs["hits"][~events.mask] == 0).all()
    assert np.abs(inputs["hits"]).max() < 5
    assert events.answers().shape == (300, 192, 3)
    few = events.take(np.arange(5))
    assert len(few) == 5
    np.testing.assert_array_equal(few.inputs()["hits"], inputs["hits"][:5])


def test_mixed_particles():
    found = make_showers(SMALL.model_copy(update={"particles": "mixed"}), 1)
    assert 0.4 < found.photon.mean() < 0.6
    # Photons end in the first layers, pions do not.
    deep = found.energy_gev * (found.layer >= 10)
    share = (deep[..., None] * found.fractions).sum(axis=1) / found.deposited_gev
    assert share[found.photon].mean() < 0.05
    assert share[~found.photon].mean() > 0.3
    assert make_showers(SMALL.model_copy(update={"particles": "photon"}), 1).photon.all()


def test_wrong_settings_and_events_are_refused(events):
    with pytest.raises(InputError, match="low < high"):
        parse("kind: parametrised_showers\nseparation_cm: [5, 5]\n", ShowerData, "s")
    with pytest.raises(InputError, match="energy_gev"):
        parse("kind: parametrised_showers\nenergy_gev: [0.1, 5]\n", ShowerData, "s")
    energy = events.energy_gev.copy()
    energy[0, 0] = np.nan
    with pytest.raises(InputError, match="energy_gev has numbers that are NaN"):
        replace(events, energy_gev=energy)
    with pytest.raises(InputError, match="add up to 1"):
        replace(events, fractions=events.fractions / 2)
    with pytest.raises(InputError, match="right is"):
        replace(events, layer=events.layer[:, :5])
    with pytest.raises(InputError, match="no calorimeter event"):
        events.take(np.zeros(300, dtype=bool))


def test_blocks_are_cut_anywhere(monkeypatch):
    monkeypatch.setattr(showers, "BLOCK", 7)
    assert len(make_showers(SMALL.model_copy(update={"events": 15}), 1)) == 15
