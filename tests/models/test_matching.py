"""Weights that take variables away, against loops and cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.offline.matching import matching
from models.offline.merit import mean_over_models
from models.offline.tagging import trial
from trigger.data.jets import Split
from trigger.errors import InputError


def sample(jets=6000, seed=1):
    """Signal is higher in the first of two variables, which depend on one another, and in a third that it is weighted by not."""
    generator = np.random.default_rng(seed)
    is_signal = generator.random(jets) < 0.7
    first = generator.normal(0.8 * is_signal, 1.0)
    second = generator.normal(0.6 * first + 0.5 * is_signal, 1.0)
    third = generator.normal(0.5 * is_signal, 1.0)
    table = np.column_stack([first, second, third])
    return table, trial(is_signal, generator.uniform(0.5, 1.5, jets), np.arange(jets) // 2, seed)


def test_spectra_of_the_learnt_jets_are_the_same_after_weighting():
    table, one = sample()
    bins = matching("both", table[:, :2], one, 6, 3)
    weights = one.weights * bins.factors(one, one.weights)
    learn = one.splits[Split.TRAIN]
    for number in range(36):
        here = learn & (bins.place == number)
        signal, background = weights[here & one.is_signal].sum(), weights[here & ~one.is_signal].sum()
        assert signal == pytest.approx(background)
        enough = min((here & one.is_signal).sum(), (here & ~one.is_signal).sum()) >= 3
        assert bins.used[number] == enough
        if not enough:
            assert signal == background == 0
    assert (
        weights[~one.is_signal & bins.used[bins.place]] == one.weights[~one.is_signal & bins.used[bins.place]]
    ).all()
    signal_out, background_out = bins.left_out(one)
    outside = ~bins.used[bins.place]
    assert signal_out == pytest.approx(one.weights[outside & one.is_signal].sum() / one.weights[one.is_signal].sum())
    assert background_out == pytest.approx(
        one.weights[outside & ~one.is_signal].sum() / one.weights[~one.is_signal].sum()
    )


def test_the_weighted_variables_tell_nothing_and_another_does():
    table, one = sample(20_000)
    test = one.splits[Split.TEST]
    for columns in ((0,), (1,), (0, 1)):
        bins = matching("x", table[:, columns], one, 30 if len(columns) == 1 else 12, 3)
        for column in columns:
            found = mean_over_models(bins.areas(one, table[test, column][None], 1))
            assert found.uncertainty > 0
            assert abs(found.value - 0.5) < 3.5 * found.uncertainty
        other = mean_over_models(bins.areas(one, table[test, 2][None], 1))
        # Two normal distributions half a standard deviation apart: Phi(0.5 / sqrt 2).
        assert other.value == pytest.approx(0.6382, abs=4 * other.uncertainty)
        assert other.value > 0.5 + 5 * other.uncertainty


def test_without_weights_the_first_variable_does_tell():
    """The test above can fail: bins of another variable leave it as it was."""
    table, one = sample(20_000)
    bins = matching("third", table[:, 2:], one, 30, 3)
    found = mean_over_models(bins.areas(one, table[one.splits[Split.TEST], 0][None], 1))
    assert found.value == pytest.approx(0.7142, abs=4 * found.uncertainty)  # Phi(0.8 / sqrt 2)


def test_areas_are_those_of_pairs():
    table, one = sample(300)
    bins = matching("first", table[:, :1], one, 3, 1)
    test = one.splits[Split.TEST]
    scores = np.round(table[test, 2], 1)  # some are the same
    weights = (one.weights * bins.factors(one, one.weights))[test]
    signal = one.is_signal[test]
    above = total = 0.0
    for i in np.flatnonzero(signal):
        for j in np.flatnonzero(~signal):
            above += weights[i] * weights[j] * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
            total += weights[i] * weights[j]
    assert bins.areas(one, scores[None], 1)[0, 0] == pytest.approx(above / total)


def test_replicas_make_the_weights_anew():
    """A replica's weights come from the learnt jets that it drew; with those of the sample areas would scatter less."""
    table, one = sample(2000)
    bins = matching("first", table[:, :1], one, 5, 1)
    test = one.splits[Split.TEST]
    scores = table[test, 0][None]
    anew = bins.areas(one, scores, 1)[0, 1:].std()
    fixed = replace(one, weights=one.weights * bins.factors(one, one.weights))
    everything = matching("nothing", np.zeros((len(table), 1)), fixed, 1, 1)
    assert anew > 1.1 * everything.areas(fixed, scores, 1)[0, 1:].std()


def test_the_weighted_trial_is_balanced():
    table, one = sample()
    weighted = matching("first", table[:, :1], one, 10, 3).weighted(one)
    assert weighted.weights[one.is_signal].sum() == pytest.approx(weighted.weights[~one.is_signal].sum())
    assert (weighted.is_signal == one.is_signal).all()


def test_too_many_variables_and_too_few_jets():
    table, one = sample(300)
    with pytest.raises(InputError, match="one or two variables"):
        matching("all", table, one, 3, 1)
    with pytest.raises(InputError, match="fewer bins"):
        matching("first", table[:, :1], one, 100, 50).weighted(one)
