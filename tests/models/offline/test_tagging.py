"""Taggers without a network against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from models.offline.merit import merit
from models.offline.observables import dense_network, standardised
from models.offline.tagging import boosted_trees, cut, fisher, likelihood, train_tagger, trial, trial_of
from trigger.data.jets import Split
from trigger.errors import InputError


@pytest.fixture(scope="module")
def gaussians():
    """Three observables: one shifted, one whose width differs, one that says nothing alone."""
    generator = np.random.default_rng(1)
    jets = 6000
    is_signal = generator.random(jets) < 0.3
    table = generator.normal(size=(jets, 3))
    table[is_signal, 0] += 1.0
    table[is_signal, 1] *= 0.2
    return table, trial(is_signal, np.ones(jets), np.arange(jets), 1)


def auc(tagger, trial):
    return merit(tagger, trial.held, 1).auc.value


def test_signal_and_background_weigh_the_same(gaussians):
    _, one = gaussians
    assert one.weights[one.is_signal].sum() == pytest.approx(one.weights[~one.is_signal].sum())
    assert one.weights.mean() == pytest.approx(1)
    assert sum(mask.astype(int) for mask in one.splits.values()).tolist() == [1] * 6000


def test_a_cut_finds_its_side(gaussians):
    table, one = gaussians
    assert auc(cut("up", table[:, 0], one), one) == pytest.approx(auc(cut("down", -table[:, 0], one), one))
    assert auc(cut("up", table[:, 0], one), one) == pytest.approx(0.76, abs=0.03)


def test_a_likelihood_finds_a_window(gaussians):
    table, one = gaussians
    assert auc(cut("width", table[:, 1], one), one) < 0.55
    # Of the true ratio of densities.
    test = one.splits[Split.TEST]
    true = roc_auc_score(one.is_signal[test], -np.abs(table[test, 1]), sample_weight=one.weights[test])
    assert auc(likelihood("width", table[:, 1:2], one), one) == pytest.approx(true, abs=0.015)
    both = auc(likelihood("both", table[:, :2], one), one)
    assert both > max(true, 0.76) + 0.02
    with pytest.raises(InputError, match="not of 3"):
        likelihood("three", table, one)


def test_fisher_is_linear_discriminant_analysis(gaussians):
    table, one = gaussians
    learn = np.flatnonzero(one.splits[Split.TRAIN])
    # Equal classes by repetition, in place of weights.
    signal, background = learn[one.is_signal[learn]], learn[~one.is_signal[learn]][: one.is_signal[learn].sum()]
    oracle = LinearDiscriminantAnalysis().fit(
        table[np.r_[signal, background]], np.r_[np.ones(len(signal)), np.zeros(len(background))]
    )
    found = fisher("both", table, one)
    score = oracle.decision_function(table[one.splits[Split.TEST]])
    assert np.corrcoef(score, found.scores[0])[0, 1] > 0.995


def test_trees_use_all(gaussians):
    table, one = gaussians
    tagger = boosted_trees("trees", table, one, 2, 1)
    assert auc(tagger, one) > auc(fisher("fisher", table, one), one) + 0.05
    np.testing.assert_array_equal(tagger.scores, boosted_trees("trees", table, one, 2, 1).scores)


def test_a_network_is_trained_with_every_seed(gaussians, tmp_path):
    from models.offline.fitting import Fitting

    table, one = gaussians
    inputs = {"observables": standardised(table, one.splits[Split.TRAIN])}
    tagger, models = train_tagger(
        "dense", lambda: dense_network(3, (16,), 2), inputs, one, Fitting(epochs=6, batch_size=128, learning_rate=0.01), 2, 5, tmp_path
    )  # fmt: skip
    assert len(models) == 2
    assert tagger.scores.shape == (2, one.splits[Split.TEST].sum())
    assert (tagger.scores[0] != tagger.scores[1]).any()
    assert tagger.parameters == 3 * 16 + 16 + 16 * 2 + 2
    assert merit(tagger, one.held, 1).accuracy.value > 0.75
    assert auc(tagger, one) > auc(fisher("fisher", table, one), one)


def test_classes_are_found_by_name(toy):
    one = trial_of(toy, ("top", "W"), 1)
    assert one.is_signal.sum() == 240
    with pytest.raises(InputError, match="there is no class 'topp'; nearest: 'top'"):
        trial_of(toy, ("topp",), 1)
    with pytest.raises(InputError, match="no background"):
        trial_of(toy, toy.class_names, 1)


def test_observables_are_standardised_by_what_is_learnt_from():
    table = np.array([[1.0, 5.0], [3.0, 5.0], [1000.0, 5.0]])
    found = standardised(table, np.array([True, True, False]))
    np.testing.assert_allclose(found, [[-1, 0], [1, 0], [10, 0]])
    with pytest.raises(InputError, match="observable 1 of row 0 is nan"):
        standardised(np.array([[1.0, np.nan]]), np.array([True]))
