from __future__ import annotations

import json

import numpy as np
import pytest

from trigger.decision.response import correction_summary
from trigger.errors import InputError


@pytest.fixture(scope="module")
def jets():
    """A detector that measures 0.8 of the pT with 20 %, and a head that knows half of what it got wrong."""
    generator = np.random.default_rng(1)
    true = generator.uniform(30, 200, 4000)
    known, not_known = generator.normal(0, 0.2 / np.sqrt(2), (2, 4000))
    response = 0.8 * np.exp(known + not_known)
    predicted = 1 / (0.8 * np.exp(known))
    return 1 / response, predicted, generator.uniform(0.5, 1.5, 4000), np.arange(4000) // 2, true * response


def test_figures_of_a_detector_that_is_known(jets):
    target, predicted, weights, events, measured = jets
    whole, *bins = correction_summary(target, {"float": predicted, "firmware": np.round(predicted * 8) / 8}, weights,
                                      events, 1, measured, (30, 80, 200))  # fmt: skip
    assert whole.pt_gev is None
    assert [one.pt_gev for one in bins] == [(30, 80), (80, 200)]
    assert whole.jets == sum(one.jets for one in bins) == 4000
    for one in (whole, *bins):
        for found, bias, width in ((one.before, -0.2, 0.2), (one.after["float"], 0, 0.2 / np.sqrt(2))):
            assert found.bias.value == pytest.approx(bias, abs=4 * found.bias.uncertainty)
            assert found.resolution.value == pytest.approx(width, abs=4 * found.resolution.uncertainty + 0.003)
        assert one.gain["float"].value == pytest.approx(
            one.before.resolution.value - one.after["float"].resolution.value
        )
        assert one.gain["float"].significance > 5
        assert one.gain["firmware"].value < one.gain["float"].value
    json.dumps([one.summary() for one in bins], allow_nan=False)


def test_quantiles_against_numpy(jets):
    target, predicted, weights, events, measured = jets
    found = correction_summary(target, {"x": predicted}, weights, events, 1, measured, (50, 60), replicas=2)[1]
    rows = (measured * target >= 50) & (measured * target < 60)
    low, median, high = np.quantile((predicted / target)[rows], (0.158655, 0.5, 0.841345), weights=weights[rows],
                                    method="inverted_cdf")  # fmt: skip
    assert found.jets == rows.sum()
    assert found.after["x"].bias.value == pytest.approx(median - 1)
    assert found.after["x"].resolution.value == pytest.approx((high - low) / 2 / median)


def test_a_scale_is_no_resolution(jets):
    target, _, weights, events, _ = jets
    (found,) = correction_summary(target, {"x": np.full(4000, 3.0)}, weights, events, 1)
    assert found.gain["x"].value == pytest.approx(0, abs=1e-12)
    assert found.gain["x"].uncertainty == pytest.approx(0, abs=1e-12)


def test_uncertainties_are_those_of_repeated_samples():
    def draw(seed):
        response = np.repeat(1 + 0.1 * np.random.default_rng(seed).normal(size=300), 2)  # two jets an event, alike
        return correction_summary(1 / response, {}, np.ones(600), np.arange(600) // 2, 1, replicas=200)[0].before

    repeated = [draw(seed) for seed in range(100)]
    for name in ("bias", "resolution"):
        spread = np.std([getattr(one, name).value for one in repeated])
        stated = np.mean([getattr(one, name).uncertainty for one in repeated])
        assert stated == pytest.approx(spread, rel=0.25)


def test_few_jets_and_wrong_input(jets):
    target, predicted, weights, events, measured = jets
    few = correction_summary(target, {"x": predicted}, weights, events, 1, measured, (30, 200, 500), replicas=5)[2]
    assert (few.jets, few.before, few.after) == (0, None, {})
    (dead,) = correction_summary(target, {"x": np.zeros(4000)}, weights, events, 1, replicas=5)
    assert dead.after["x"].bias.value == -1
    assert dead.summary()["after"]["x"]["resolution"] == {"value": None, "uncertainty": None}
    for message, given in (
        (r"predicted x of shape \(3999,\)", {"predicted": {"x": predicted[1:]}}),
        ("predicted x .* not finite", {"predicted": {"x": predicted * np.nan}}),
        ("target has -.*true over measured", {"target": -target}),
        ("measured pT has 0", {"measured_gev": measured * 0}),
        ("weights are not negative", {"weights": weights * 0}),
        ("rising edges", {"edges_gev": (30,)}),
        ("rising edges", {"edges_gev": (80, 30)}),
        ("and the measured pT", {"edges_gev": (30, 80), "measured_gev": None}),
    ):
        arguments = {"target": target, "predicted": {"x": predicted}, "weights": weights, "measured_gev": measured}
        with pytest.raises(InputError, match=message):
            correction_summary(events=events, seed=1, **{**arguments, **given})
