"""Figures of merit of clustering, by hand and by loops."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.offline.clustering_merit import (
    best_order,
    central_width,
    fraction_errors,
    nearest_axis,
    responses,
    summarise,
    two_means,
)
from models.offline.gravnet import fraction_loss
from trigger.data.showers import ShowerData, make_showers
from trigger.errors import InputError


@pytest.fixture(scope="module")
def events():
    return make_showers(ShowerData(kind="parametrised_showers", events=80), 1)


def test_responses_by_hand():
    energy = np.array([[4.0, 1.0, 0.0]])
    truth = np.array([[[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]])
    predicted = np.array([[[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]]])
    # 3 of 4.5 GeV, and 2 of 0.5 GeV.
    np.testing.assert_allclose(responses(energy, predicted, truth), [[3 / 4.5, 2 / 0.5]])
    np.testing.assert_allclose(responses(energy, truth, truth), [[1, 1]])
    alone = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]])
    found = responses(energy, predicted, alone)
    assert found[0, 0] == pytest.approx(0.6)
    assert np.isnan(found[0, 1])


def test_the_better_order_is_that_of_the_loss(events):
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 1, events.fractions.shape)
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    ordered = best_order(events.energy_gev, shares, events.fractions)
    loss = fraction_loss(keras.ops.array(events.answers()), keras.ops.array(logits.astype(np.float32)))
    found = fraction_errors(events.energy_gev, ordered, events.fractions)
    np.testing.assert_allclose(found, np.asarray(loss), rtol=1e-4)
    exchanged = best_order(events.energy_gev, shares[..., ::-1], events.fractions)
    np.testing.assert_allclose(exchanged, ordered)
    swapped = (ordered != shares).any(axis=(1, 2))
    assert 0.2 < swapped.mean() < 0.8


def test_the_nearest_axis_by_a_loop(events):
    found = nearest_axis(events.x_cm, events.y_cm, events.axes_cm)
    for event in range(3):
        for hit in range(30):
            distance = [
                np.hypot(events.x_cm[event, hit] - x, events.y_cm[event, hit] - y) for x, y in events.axes_cm[event]
            ]
            expected = [1, 0] if distance[0] <= distance[1] else [0, 1]
            np.testing.assert_array_equal(found[event, hit], expected)
    # Showers far from each other are told apart by it.
    far = make_showers(ShowerData(kind="parametrised_showers", events=80, separation_cm=(25, 30), spread_cm=1), 1)
    widths = [
        central_width(
            responses(e.energy_gev, nearest_axis(e.x_cm, e.y_cm, e.axes_cm), e.fractions), np.ones((1, len(e)))
        )[0]
        for e in (far, events)
    ]
    assert widths[0] < 0.02 < widths[1]


def test_two_means_find_two_heaps():
    generator = np.random.default_rng(4)
    x = np.concatenate(
        [generator.normal(-5, 1, (20, 30)), generator.normal(5, 1, (20, 30)), np.zeros((20, 10))], axis=1
    )
    y = generator.normal(0, 1, x.shape)
    energy = generator.exponential(1, x.shape) * (np.arange(70) < 60)
    found = two_means(energy, x, y)
    truth = np.stack([np.arange(70) < 30, (np.arange(70) >= 30) & (np.arange(70) < 60)], axis=1)
    truth = np.repeat(truth[None].astype(float), 20, axis=0)
    ordered = best_order(energy, found, truth)
    np.testing.assert_array_equal(ordered[:, :60], truth[:, :60])


def test_two_means_are_where_scikit_learn_has_them(events):
    from sklearn.cluster import KMeans

    found = two_means(events.energy_gev, events.x_cm, events.y_cm, 100)
    for event in range(12):
        place = np.stack([events.x_cm[event], events.y_cm[event]], axis=1).astype(float)
        weight = events.energy_gev[event].astype(float)
        start = np.stack([np.average(place, axis=0, weights=weight * found[event, :, k]) for k in range(2)])
        # What it found is a fixed point of the algorithm.
        fixed = KMeans(2, init=start, n_init=1).fit(place, sample_weight=weight)
        np.testing.assert_allclose(fixed.cluster_centers_, start, atol=1e-6)


def test_summary_by_hand():
    found = summarise(np.array([[0.1, 0.9], [1.0, 1.1], [3.0, np.nan]]))
    assert found.showers == 5
    assert found.truncated_mean == pytest.approx(1.0)
    assert found.accuracy == pytest.approx(3 / 5)
    normal = np.random.default_rng(3).normal(1, 0.1, (20000, 2))
    normal[::7] = np.nan
    weights = np.stack([np.ones(20000), np.arange(20000) < 10000]).astype(float)
    np.testing.assert_allclose(central_width(normal, weights), 0.1, rtol=0.03)
    expected = np.subtract(*np.nanquantile(normal[:10000], [0.8415, 0.1585])) / 2
    assert central_width(normal, weights)[1] == pytest.approx(expected, rel=1e-3)


def test_what_cannot_be_judged_is_refused():
    energy, truth = np.ones((1, 3)), np.full((1, 3, 2), 0.5)
    with pytest.raises(InputError, match="right would be"):
        responses(energy, truth[:, :2], truth)
    with pytest.raises(InputError, match="predicted shares have numbers that are NaN"):
        responses(energy, truth * np.nan, truth)
    with pytest.raises(InputError, match="no event"):
        fraction_errors(energy[:0], truth[:0], truth[:0])
    with pytest.raises(InputError, match=r"of 2 responses none is between 0\.2 and 2\.8"):
        summarise(np.array([0.1, 5.0]))
