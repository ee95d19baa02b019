"""Figures of merit over several seeds, against independent computations and toy experiments."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from models.offline.merit import (
    HeldOut,
    Merit,
    Scored,
    gain,
    kept_models,
    mean_difference,
    mean_over_models,
    median_curve,
    merit,
)
from trigger.errors import InputError


def experiment(seed, jets=2000, shift=1.0, models=3, noise=0.0):
    generator = np.random.default_rng(seed)
    is_signal = generator.random(jets) < 0.5
    score = generator.normal(size=jets) + shift * is_signal
    scores = score + noise * generator.normal(size=(models, jets))
    weights = generator.uniform(0.5, 1.5, jets)
    return Scored("a", scores, threshold=shift / 2), HeldOut(is_signal, weights, np.arange(jets))


def test_figures_are_those_of_others():
    tagger, held = experiment(1)
    found = merit(tagger, held, 1)
    score = tagger.scores[0]
    assert found.auc.value == pytest.approx(roc_auc_score(held.is_signal, score, sample_weight=held.weights))
    order = np.argsort(-score)
    signal = np.cumsum((held.weights * held.is_signal)[order])
    background = np.cumsum((held.weights * ~held.is_signal)[order])
    for share, figure in ((0.3, found.rejection_30), (0.5, found.rejection_50)):
        at = np.argmax(signal >= share * signal[-1])
        assert figure.value == pytest.approx(background[-1] / background[at])
    assert found.accuracy.value == pytest.approx(0.5 * sum(
        held.weights[which & ((score > 0.5) == side)].sum() / held.weights[which].sum()
        for which, side in ((held.is_signal, True), (~held.is_signal, False))
    ))  # fmt: skip


def test_uncertainties_cover():
    true = 0.7602499389065233  # of two Gaussians a standard deviation apart: the normal distribution at 1 / sqrt 2
    pulls = []
    for seed in range(120):
        tagger, held = experiment(seed, jets=400, models=1)
        found = merit(tagger, held, seed).auc
        pulls.append((found.value - true) / found.uncertainty)
    assert 0.8 < np.std(pulls) < 1.25
    assert abs(np.mean(pulls)) < 0.35


def test_a_paired_gain_is_sharper_than_two_figures():
    tagger, held = experiment(2, models=1)
    worse = Scored("b", tagger.scores + 0.6 * np.random.default_rng(3).normal(size=tagger.scores.shape))
    found = gain(tagger, worse, held, 1)
    assert found.value == pytest.approx(merit(tagger, held, 1).auc.value - merit(worse, held, 1).auc.value)
    assert found.uncertainty < 0.6 * merit(tagger, held, 1).auc.uncertainty
    assert found.significance > 3
    assert gain(tagger, tagger, held, 1).value == 0


def test_models_add_their_own_uncertainty():
    tagger, held = experiment(4, models=6, noise=0.5)
    alone, together = (merit(Scored("a", scores), held, 1) for scores in (tagger.scores[:1], tagger.scores))
    assert alone.spread == {}
    assert together.spread["auc"] > 0
    areas = [roc_auc_score(held.is_signal, one, sample_weight=held.weights) for one in tagger.scores]
    assert together.auc.value == pytest.approx(np.mean(areas))
    assert together.spread["auc"] == pytest.approx(np.std(areas, ddof=1))


def test_few_models_scatter_more_than_they_show():
    """Student's factor: the mean of two is within its uncertainty of the truth as often as that of many."""
    rows = np.random.default_rng(1).normal(size=(4000, 1, 2))
    found = [mean_over_models(np.repeat(one.T, 3, axis=1)) for one in rows]
    inside = np.mean([abs(one.value) < one.uncertainty for one in found])
    assert inside == pytest.approx(0.683, abs=4 * np.sqrt(0.683 * 0.317 / 4000))
    areas = np.array([[0.6, 0.61, 0.59], [0.7, 0.72, 0.68]])
    found = mean_over_models(areas)
    assert found.value == pytest.approx(0.65)
    student = scipy.stats.t.ppf(scipy.stats.norm.cdf(1), 1)
    assert found.uncertainty == pytest.approx(
        np.hypot(np.std([0.665, 0.635], ddof=1), student * np.std([0.6, 0.7], ddof=1) / np.sqrt(2))
    )
    difference = mean_difference(areas, areas[:1])
    assert difference.uncertainty == pytest.approx(np.hypot(np.std([0.055, 0.045], ddof=1), student * 0.05))


def test_the_rule_drops_a_failed_model_of_thirty():
    good = np.random.default_rng(1).normal(0.9, 0.001, 30)
    assert kept_models(good).sum() >= 24, "the rule as published drops some healthy ones too"
    failed = np.append(good[:29], 0.5)
    np.testing.assert_array_equal(kept_models(failed)[-1:], [False])
    middle = np.sort(failed)[5:25]
    expected = np.abs(failed - middle.mean()) <= 3 * middle.std(ddof=1)
    np.testing.assert_array_equal(kept_models(failed), expected)
    assert kept_models(np.array([0.9, 0.5, 0.9])).all(), "of three models nobody knows which one failed"


def test_dropped_models_are_counted_and_do_not_enter():
    tagger, held = experiment(5, models=12, noise=0.1)
    scores = tagger.scores.copy()
    scores[3] = -scores[3]
    found = merit(Scored("a", scores), held, 1)
    assert (found.models, found.dropped) == (12, 1)
    assert found.auc.value == pytest.approx(merit(Scored("a", np.delete(scores, 3, axis=0)), held, 1).auc.value)


def test_summaries_come_back():
    tagger, held = experiment(6)
    found = merit(Scored("a", tagger.scores, 0.0, 10, 3.0, None), held, 1)
    assert Merit.read(found.summary()) == found
    efficiency, rejection = median_curve(tagger, held)
    assert np.interp(0.5, efficiency, rejection) == pytest.approx(found.rejection_50.value, rel=0.02)


def test_what_cannot_be_judged_is_refused():
    _, held = experiment(7)
    with pytest.raises(InputError, match="no signal"):
        HeldOut(np.zeros(3, dtype=bool), np.ones(3), np.arange(3))
    with pytest.raises(InputError, match="no background"):
        HeldOut(np.ones(3, dtype=bool), np.ones(3), np.arange(3))
    with pytest.raises(InputError, match="a: scores"):
        Scored("a", np.full((1, 3), np.nan))
    with pytest.raises(InputError, match="3 scores for 2000 held-out jets"):
        merit(Scored("a", np.zeros((1, 3))), held, 1)
    assert merit(Scored("a", np.zeros((1, 2000))), held, 1).auc.value == 0.5
