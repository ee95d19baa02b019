"""Calibration and overtraining of a classifier, and gains at equal truth, against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from models.analyses.regression import NETWORK, TREES, binned_gain, calibration, overtraining
from models.offline.tagging import trial
from trigger.data.jets import Split
from trigger.decision.efficiency import Estimate
from trigger.decision.response import Response, ResponseBin


def test_calibration_counted_by_hand():
    probability = np.repeat(np.linspace(0.05, 0.95, 10), 20)
    is_signal = np.zeros(200, dtype=bool)
    for place in range(10):
        is_signal[20 * place : 20 * place + 2 * place + 1] = True  # 1, 3, ... 19 of 20: what the probability says
    found = calibration(probability, is_signal, np.ones(200))
    np.testing.assert_allclose(found.predicted, np.linspace(0.05, 0.95, 10))
    np.testing.assert_allclose(found.found, np.linspace(0.05, 0.95, 10))
    assert found.error == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.uncertainty[5], np.sqrt(0.55 * 0.45 / 20))
    turned = calibration(1 - probability, is_signal, np.ones(200))
    assert turned.error == pytest.approx(np.mean(np.abs(2 * np.linspace(0.05, 0.95, 10) - 1)))


def test_weights_count_in_the_calibration():
    generator = np.random.default_rng(1)
    probability = generator.random(4000)
    is_signal = generator.random(4000) < probability
    weights = np.where(is_signal, 3.0, 1.0)
    expected = 3 * probability / (3 * probability + 1 - probability)
    assert calibration(expected, is_signal, weights).error < 0.03
    assert calibration(probability, is_signal, weights).error > 0.1


def scored(shift, jets=3000, seed=2):
    """A trial of one jet an event, and scores that are higher by so much for the jets that were learnt from."""
    generator = np.random.default_rng(seed)
    one = trial(generator.random(jets) < 0.5, np.ones(jets), np.arange(jets), 1)
    return one, generator.normal(size=jets) + one.is_signal + shift * one.splits[Split.TRAIN] * (2 * one.is_signal - 1)


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    one, scores = scored(0.1)
    found = overtraining(scores, one, 1)
    for name, kind in (("signal", one.is_signal), ("background", ~one.is_signal)):
        learnt, held = (scores[kind & one.splits[split]] for split in (Split.TRAIN, Split.TEST))
        assert found[name][0] == pytest.approx(ks_2samp(learnt, held).statistic)


def test_what_was_learnt_by_heart_is_found_and_what_was_not_is_not():
    one, scores = scored(0.0)
    assert min(share for _, share in overtraining(scores, one, 1).values()) > 0.01
    one, scores = scored(0.5)
    assert max(share for _, share in overtraining(scores, one, 1).values()) <= 1 / 201


def test_gains_at_equal_truth_are_means_over_the_bins():
    def of(pt_gev, jets, trees, network):
        nothing = Response(Estimate(0.0, 0.1), Estimate(0.2, 0.1))
        return ResponseBin(pt_gev, jets, nothing, {}, {TREES: Estimate(trees, 0.01), NETWORK: Estimate(network, 0.03)})

    empty = ResponseBin((500.0, 600.0), 3, None, {}, {})
    found = (of(None, 400, 0.9, 0.9), of((100.0, 200.0), 300, 0.02, -0.04), of((200.0, 500.0), 100, 0.06, 0.08), empty)
    assert binned_gain(found, TREES).value == pytest.approx(0.75 * 0.02 + 0.25 * 0.06)
    network = binned_gain(found, NETWORK)
    assert network.value == pytest.approx(0.75 * -0.04 + 0.25 * 0.08)
    assert network.uncertainty == pytest.approx(0.03 * np.hypot(0.75, 0.25))
