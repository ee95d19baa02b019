"""Background at fixed efficiency: against a scan of every code, with ties, weights and uncertainties."""

from __future__ import annotations

import numpy as np
import pytest

from trigger.decision.working_points import working_points
from trigger.errors import InputError


def sample(seed=1, jets=3000, step=0.25):
    generator = np.random.default_rng(seed)
    is_signal = generator.random(jets) < 0.4
    score = generator.normal(np.where(is_signal, 1.5, 0.0), 1.0)
    codes = np.floor(score / step).astype(np.int64)
    return {"float": score, "firmware": codes}, is_signal, generator.uniform(0.5, 1.5, jets)


def points(scores, is_signal, weights, efficiencies=(0.3, 0.5, 0.8), seed=2):
    return working_points(scores, "firmware", is_signal, weights, np.arange(len(weights)), efficiencies, seed)


def test_against_a_scan_of_every_code():
    scores, is_signal, weights = sample()
    codes = scores["firmware"]
    for one in points(scores, is_signal, weights):
        shares = {
            code: [weights[(codes >= code) & kind].sum() / weights[kind].sum() for kind in (is_signal, ~is_signal)]
            for code in range(codes.min(), codes.max() + 1)
        }
        wanted = max(code for code, (signal, _) in shares.items() if signal >= one.efficiency)
        assert one.threshold == wanted
        assert one.reached["firmware"].value == pytest.approx(shares[wanted][0])
        assert one.background["firmware"].value == pytest.approx(shares[wanted][1])
        assert one.passed == ((codes >= wanted) & ~is_signal).sum()
        increase = shares[wanted][1] / one.background["float"].value - 1
        assert one.increase["firmware"].value == pytest.approx(increase)


def test_uncertainties_are_those_of_repeated_experiments():
    found = [points(*sample(seed), efficiencies=(0.5,), seed=seed)[0] for seed in range(120)]
    for name in ("float", "firmware"):
        values = np.array([one.background[name].value for one in found])
        said = np.mean([one.background[name].uncertainty for one in found])
        assert said == pytest.approx(values.std(), rel=0.25)
    changes = np.array([one.increase["firmware"].value for one in found])
    assert np.mean([one.increase["firmware"].uncertainty for one in found]) == pytest.approx(changes.std(), rel=0.3)


def test_the_same_score_costs_nothing():
    scores, is_signal, weights = sample()
    codes = scores["firmware"]
    (one,) = points({"float": codes * 0.25, "firmware": codes}, is_signal, weights, (0.5,))
    assert (one.increase["firmware"].value, one.increase["firmware"].uncertainty) == (0, 0)


def test_no_jet_that_passes_is_a_limit():
    _, is_signal, weights = sample()
    codes = np.where(is_signal, 10, 0)
    (one,) = points({"float": codes * 1.0, "firmware": codes}, is_signal, weights, (0.5,))
    assert one.passed == one.share.value == 0
    low, high = one.share.interval_95
    assert low == 0
    background = weights[~is_signal]
    events = background.sum() ** 2 / (background**2).sum()
    assert high == pytest.approx(1 - 0.025 ** (1 / events))  # Clopper and Pearson's upper edge
    assert np.isnan(one.increase["firmware"].value)


def test_bad_input():
    scores, is_signal, weights = sample()
    with pytest.raises(InputError, match="right would be one integer code a jet"):
        points({**scores, "firmware": scores["float"]}, is_signal, weights)
    with pytest.raises(InputError, match="both kinds need some with a weight"):
        points(scores, np.ones_like(is_signal), weights)
    with pytest.raises(InputError, match="above 0 and below 1"):
        points(scores, is_signal, weights, (1.0,))
    with pytest.raises(InputError, match="is not finite"):
        points({**scores, "float": np.full(len(weights), np.nan)}, is_signal, weights)
