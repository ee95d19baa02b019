from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from trigger.decision.efficiency import compare, roc_curve, softmax, weighted_quantiles
from trigger.errors import InputError

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def sample():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 1500)
    logits = generator.normal(0, 1.5, (1500, 3)) + 2 * np.eye(3)[labels]
    return labels, logits, generator.uniform(0.2, 2, 1500), np.arange(1500) // 2


def test_figures_against_scikit_learn(sample):
    labels, logits, weights, events = sample
    coarse = np.round(logits * 4) / 4  # with ties, as integers have
    found = compare({"x": coarse}, labels, CLASSES, weights, events, seed=1, replicas=20).performance["x"]
    assert found.accuracy.value == pytest.approx(accuracy_score(labels, coarse.argmax(axis=1), sample_weight=weights))
    for label, name in enumerate(CLASSES):
        expected = roc_auc_score(labels == label, softmax(coarse)[:, label], sample_weight=weights)
        assert found.auc[name].value == pytest.approx(expected, rel=1e-9)
    assert found.macro_auc.value == pytest.approx(np.mean([one.value for one in found.auc.values()]))


def test_rejection_by_counting(sample):
    labels, logits, _, events = sample
    found = compare({"x": logits}, labels, CLASSES, np.ones(1500), events, seed=1, replicas=20).performance["x"]
    score, signal = softmax(logits)[:, 0], labels == 0
    threshold = np.sort(score[signal])[::-1][int(np.ceil(0.5 * signal.sum())) - 1]
    assert found.rejection["a"].value == pytest.approx((~signal).sum() / (score[~signal] >= threshold).sum())


def test_uncertainties_are_those_of_repeated_samples():
    def draw(seed):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, 400)
        return labels, generator.normal(0, 1, (400, 2)) + np.eye(2)[labels]

    repeated = []
    for seed in range(120):
        labels, logits = draw(seed)
        one = compare({"x": logits}, labels, ("a", "b"), np.ones(400), np.arange(400), 1, replicas=2)
        repeated.append(one.performance["x"].macro_auc.value)
    labels, logits = draw(1000)
    stated = (
        compare({"x": logits}, labels, ("a", "b"), np.ones(400), np.arange(400), 1)
        .performance["x"]
        .macro_auc.uncertainty
    )
    # 120 repetitions and 200 replicas know a standard deviation to 7 and 5 %.
    assert stated == pytest.approx(np.std(repeated), rel=0.3)


def test_differences_are_paired(sample):
    labels, logits, weights, events = sample
    nearly = logits.copy()
    nearly[:10] = -nearly[:10]
    both = compare({"x": logits, "y": nearly, "z": logits}, labels, CLASSES, weights, events, seed=1)
    assert both.accuracy_loss["z"].value == both.accuracy_loss["z"].uncertainty == 0
    assert both.agreement["z"].value == 1
    assert both.accuracy_loss["y"].value == pytest.approx(
        both.performance["x"].accuracy.value - both.performance["y"].accuracy.value
    )
    assert both.accuracy_loss["y"].uncertainty < both.performance["x"].accuracy.uncertainty / 2


def test_another_tagger_on_the_same_jets(sample):
    labels, logits, weights, events = sample
    worse = logits + np.random.default_rng(2).normal(0, 2, logits.shape)
    both = compare({"x": logits, "y": logits}, labels, CLASSES, weights, events, seed=1, baseline={"y": worse})
    alone = compare({"y": worse}, labels, CLASSES, weights, events, seed=1)
    paired = compare({"x": logits, "y": worse}, labels, CLASSES, weights, events, seed=1)
    assert both.baseline == alone.performance
    assert both.auc_gain == {"y": paired.auc_loss["y"]}
    assert both.auc_gain["y"].significance > 5
    assert np.isnan(both.accuracy_loss["y"].significance)
    assert both.summary()["baseline"]["y"]["macro_auc"]["value"] == alone.performance["y"].macro_auc.value
    with pytest.raises(InputError, match=r"baseline's logits 'Y' have no counterpart.*'y'"):
        compare({"y": logits}, labels, CLASSES, weights, events, 1, baseline={"Y": worse})
    with pytest.raises(InputError, match="'baseline y'"):
        compare({"y": logits}, labels, CLASSES, weights, events, 1, baseline={"y": worse[:5]})


def test_roc_curve_runs_from_nothing_to_everything(sample):
    labels, logits, weights, _ = sample
    background, signal = roc_curve(logits[:, 0], labels == 0, weights)
    assert (background[0], signal[0], background[-1], signal[-1]) == pytest.approx((0, 0, 1, 1))
    area = np.trapezoid(signal, background)
    assert area == pytest.approx(roc_auc_score(labels == 0, logits[:, 0], sample_weight=weights))


def test_wrong_input(sample):
    labels, logits, weights, events = sample
    with pytest.raises(InputError, match="class 'c' has no jets"):
        compare({"x": logits}, np.minimum(labels, 1), CLASSES, weights, events, 1)
    with pytest.raises(InputError, match="logits 'x'"):
        compare({"x": logits * np.nan}, labels, CLASSES, weights, events, 1)


def test_few_jets_have_figures_that_can_be_written():
    """With three jets of a class some replicas have none of it."""
    generator = np.random.default_rng(3)
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = compare(
        {"x": generator.normal(size=(6, 2)), "y": np.zeros((6, 2))}, labels, ("a", "b"), np.ones(6), np.arange(6), 1
    )
    json.dumps(found.summary(), allow_nan=False)
    assert found.performance["y"].auc["a"].value == 0.5
    with pytest.raises(InputError, match="none with a weight"):
        compare({"x": np.zeros((6, 2))}, labels, ("a", "b"), np.array([1, 1, 1, 0, 0, 0.0]), np.arange(6), 1)


def test_quantiles_by_a_loop():
    generator = np.random.default_rng(4)
    values, weights = generator.normal(size=50), generator.random(50)
    found = weighted_quantiles(values, weights, 5)
    for part, edge in enumerate(found, 1):
        below = weights[values < edge].sum()
        assert below <= part / 5 * weights.sum() <= below + weights[values == edge].sum() + 1e-12
    assert len(weighted_quantiles(np.zeros(0), np.zeros(0), 5)) == 0
