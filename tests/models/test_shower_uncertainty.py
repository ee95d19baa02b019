"""Shower uncertainty: what it makes of judgements, against counting by hand and against chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.analyses.recipe import load_analysis
from models.analyses.shower_uncertainty import (
    EFFICIENCIES,
    MIDDLE,
    Judgement,
    Simulation,
    _judge,
    _means,
    _only,
    _weights,
    against,
    envelope,
    mean_weights,
)
from models.offline.merit import HeldOut, Scored
from models.offline.tagging import trial_of
from trigger.data.generate import SHOWERS
from trigger.data.jets import Split
from trigger.decision.efficiency import Estimate
from trigger.errors import InputError
from trigger.verdict import Status


def judgement(name, separation, seed, jets=4000, weights=None):
    generator = np.random.default_rng(seed)
    is_signal = np.arange(jets) % 2 == 0
    scores = generator.normal(size=(3, jets)) * 0.1 + generator.normal(size=jets) + separation * is_signal
    held = HeldOut(is_signal, np.ones(jets) if weights is None else weights, np.arange(jets))
    return _judge(name, Scored(name, scores), held, seed)


def test_the_same_jets_with_other_weights_are_compared_in_pairs():
    default = judgement("default", 1.5, 1)
    other = judgement("default", 1.5, 1, weights=np.random.default_rng(2).uniform(0.9, 1.1, 4000))
    area, rows = against(other, default)
    apart, _ = against(judgement("other", 1.5, 3), default)
    assert area.uncertainty < apart.uncertainty / 5, "jets that are the same do not count"
    assert len(rows) == len(EFFICIENCIES)
    assert abs(apart.value) < 4 * apart.uncertainty


def test_a_worse_separation_is_seen():
    area, rows = against(judgement("other", 1.2, 4), judgement("default", 1.5, 5))
    assert area.value < -3 * area.uncertainty
    assert rows[MIDDLE].value < -3 * rows[MIDDLE].uncertainty


def test_the_envelope_reaches_from_the_smallest_to_the_largest():
    ratios = {"a": Estimate(-0.3, 0.03), "b": Estimate(0.1, 0.04), "c": Estimate(float("nan"), float("nan"))}
    width, chance, names = envelope(ratios, 1)
    assert width.value == pytest.approx(0.4)
    assert width.uncertainty == pytest.approx(0.05)
    assert names == "a to b"
    # The range of two normal numbers with these widths and 0, by many draws of another generator.
    drawn = np.random.RandomState(7).normal(size=(200_000, 2)) * [0.03, 0.04]
    assert chance == pytest.approx(np.ptp(np.column_stack([drawn, np.zeros(len(drawn))]), axis=1).mean(), rel=0.05)
    assert envelope({"a": Estimate(0.2, 0.1)}, 1)[2] == "default to a"


def test_weights_of_mean_1_are_compatible_with_1_and_others_are_not():
    generator = np.random.default_rng(8)
    events = np.arange(6000) // 2
    one_an_event = generator.lognormal(-0.5 * 0.8**2, 0.8, (3000, 4))[events]
    means = mean_weights(one_an_event, events, 1)
    spread = 0.8**2
    expected = np.sqrt((np.exp(spread) - 1) / 3000)
    for one in means:
        assert abs(one.value - 1) < 4 * one.uncertainty
        assert one.uncertainty == pytest.approx(expected, rel=0.3), "jets of an event have one weight together"
    low, *_ = mean_weights(0.8 * one_an_event, events, 1)
    assert low.value < 1 - 4 * low.uncertainty


@pytest.fixture
def simulation(toy):
    two = toy.take(np.isin(toy.labels, [toy.class_names.index(name) for name in ("quark", "W")]))
    images = np.random.default_rng(9).uniform(size=(len(two), 4, 5, 1)).astype(np.float32)
    return Simulation("toy", trial_of(two, ("W",), 1), {"image": images}, two.class_names, two.labels, None)


def test_requirements_on_weights(simulation):
    assert {one.status for one in _weights(simulation, 1)} == {Status.NOT_MEASURED}
    weights = np.random.default_rng(10).uniform(0.5, 1.5, (len(simulation.labels), len(SHOWERS)))
    weights[:, 0] *= 2
    found = _weights(replace(simulation, variations=weights), 1)
    assert [one.status for one in found] == [Status.FAIL, Status.PASS, Status.PASS, Status.PASS]


def test_each_simulation_learns_from_as_many_jets(simulation):
    fewest = {
        (Split.TRAIN, True): 20,
        (Split.TRAIN, False): 30,
        (Split.VALIDATION, True): 3,
        (Split.VALIDATION, False): 4,
    }
    few = _only(simulation.trial, fewest)
    for (split, signal), number in fewest.items():
        assert (few.splits[split] & (few.is_signal == signal)).sum() == number
        assert not (few.splits[split] & ~simulation.trial.splits[split]).any()
    np.testing.assert_array_equal(few.splits[Split.TEST], simulation.trial.splits[Split.TEST])


def test_mean_images_are_weighted_means(simulation):
    there = [label for label in range(len(simulation.class_names)) if (simulation.labels == label).any()]
    names = tuple(simulation.class_names[label] for label in there)
    numbered = replace(simulation, class_names=names, labels=np.searchsorted(there, simulation.labels))
    found = _means(numbered)
    chosen = np.flatnonzero(numbered.labels == 1)
    weights = numbered.trial.weights[chosen]
    expected = (
        sum(w * numbered.inputs["image"][jet, ..., 0] for w, jet in zip(weights, chosen, strict=True)) / weights.sum()
    )
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)


def test_names_of_simulations_are_their_own():
    with pytest.raises(InputError, match="is the name of something else"):
        load_analysis("shower_uncertainty", ("study.showers={default: {kind: toy}}",))
    with pytest.raises(InputError, match="there is no class 'Z'"):
        load_analysis("shower_uncertainty", ("study.signal=[Z]",))
    assert isinstance(judgement("a", 1.0, 1, jets=200), Judgement)
