"""Decorrelation: the parts of its losses and its figures against loops, closed forms and other libraries."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm, poisson

from models.analyses.decorrelation import _mixture, _ranks
from models.offline.adversary import adversarial_loss, gradient_reversal, with_adversary
from models.offline.decorrelated import entropy
from models.offline.disco import disco_loss, squared_distance_correlation
from models.offline.flatness import (
    Bending,
    bending,
    chance_divergence,
    gain_at_equal_flatness,
    jensen_shannon,
    log_ratio,
)
from models.offline.merit import HeldOut, Scored
from models.offline.observables import dense_network
from models.offline.significance import approximate_median_significance, stability
from trigger.data.jets import Split
from trigger.decision.efficiency import weighted_quantiles
from trigger.errors import InputError


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)


def correlation_by_loops(x, y, weights):
    """From the definition: four sums over pairs and triples of rows."""
    share, rows = weights / weights.sum(), range(len(x))

    def centred(values, j, k):
        of_row = sum(share[m] * abs(values[j] - values[m]) for m in rows)
        of_column = sum(share[m] * abs(values[m] - values[k]) for m in rows)
        of_all = sum(share[m] * share[n] * abs(values[m] - values[n]) for m in rows for n in rows)
        return abs(values[j] - values[k]) - of_row - of_column + of_all

    def covariance(first, second):
        return sum(share[j] * share[k] * centred(first, j, k) * centred(second, j, k) for j in rows for k in rows)

    return covariance(x, y) / np.sqrt(covariance(x, x) * covariance(y, y))


def test_distance_correlation_is_that_of_the_definition():
    generator = np.random.default_rng(1)
    x = generator.normal(size=9)
    y = x**2 + generator.normal(size=9)
    weights = generator.uniform(0, 2, 9)
    weights[3] = 0
    found = squared_distance_correlation(*(one.astype(np.float32) for one in (x, y, weights)))
    assert float(numbers(found)) == pytest.approx(correlation_by_loops(x, y, weights), rel=1e-4)


def test_distance_correlation_is_1_for_a_line_and_falls_to_0_for_what_is_independent():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 2000)).astype(np.float32)
    ones = np.ones(2000, dtype=np.float32)
    assert float(numbers(squared_distance_correlation(x, 3 - 2 * x, ones))) == pytest.approx(1, abs=1e-4)
    assert float(numbers(squared_distance_correlation(x, y, ones))) < 0.01
    assert float(numbers(squared_distance_correlation(x, x**2, ones))) > 0.1, "without any linear correlation"
    assert float(numbers(squared_distance_correlation(x, 0 * x, ones))) == 0


def test_disco_looks_at_background_alone():
    generator = np.random.default_rng(3)
    logit = generator.normal(size=200).astype(np.float32)
    answers = np.stack([np.arange(200) % 2, generator.uniform(size=200), generator.uniform(size=200)], axis=1).astype(
        np.float32
    )
    other = answers.copy()
    other[1::2, 1:] = generator.uniform(size=(100, 2))  # of signal
    loss = disco_loss(5.0)
    first, second = (numbers(loss(one, logit[:, None])) for one in (answers, other))
    np.testing.assert_allclose(first, second, rtol=1e-5)
    assert (first > numbers(entropy(answers, logit[:, None]))).all()


def test_cross_entropy_is_the_negative_log_likelihood():
    logit = np.array([-30.0, -1.0, 0.5, 40.0], dtype=np.float32)
    answers = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [1, 0, 1]], dtype=np.float32)
    probability = 1 / (1 + np.exp(-logit.astype(np.float64)))
    expected = -np.log(np.where(answers[:, 0] == 1, probability, 1 - probability))
    np.testing.assert_allclose(numbers(entropy(answers, logit[:, None])), expected, atol=1e-6)


def test_the_reversal_keeps_values_and_turns_the_gradient_round():
    """A single weight: after one step without momentum it has moved against the plain gradient, times the strength."""
    moved = {}
    for strength in (None, 3.0):
        inputs = keras.Input((1,))
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        x = dense(inputs)
        if strength is not None:
            x = gradient_reversal()(strength)(x)
        model = keras.Model(inputs, x)
        model.compile(keras.optimizers.SGD(0.01), loss=lambda answers, outputs: outputs)
        rows = np.full((4, 1), 2.0, dtype=np.float32)
        np.testing.assert_allclose(model.predict(rows, verbose=0), 2.0, rtol=1e-6)
        model.fit(rows, np.zeros((4, 1)), epochs=1, verbose=0)
        moved[strength] = float(dense.get_weights()[0][0, 0]) - 1
    assert moved[None] == pytest.approx(-0.02, rel=1e-4)
    assert moved[3.0] == pytest.approx(0.06, rel=1e-4)


def test_the_adversary_learns_from_background_and_the_model_can_be_saved(tmp_path):
    model = with_adversary(dense_network(3, (4,), 1), (5,), 10, 2.0)
    assert model.output_shape == (None, 11)
    model.save(tmp_path / "model.keras")
    inputs = {"observables": np.random.default_rng(4).normal(size=(6, 3)).astype(np.float32)}
    outputs = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(
        keras.models.load_model(tmp_path / "model.keras").predict(inputs, verbose=0), outputs, rtol=1e-6
    )
    answers = np.array(
        [[1, 0.3, 1], [0, 0.0, 1], [0, 0.39, 1], [0, 1.0, 1], [1, 1.0, 1], [0, 0.95, 1]], dtype=np.float32
    )
    likelihood = outputs[:, 1:] - np.log(np.exp(outputs[:, 1:]).sum(axis=1, keepdims=True))
    told = -likelihood[np.arange(6), [3, 0, 3, 9, 9, 9]] * (answers[:, 0] == 0) / 0.5
    expected = numbers(entropy(answers, outputs)) + told
    np.testing.assert_allclose(numbers(adversarial_loss(10)(answers, outputs)), expected, rtol=1e-5)


def test_divergence_is_scipys():
    first, second = np.random.default_rng(5).uniform(size=(2, 4, 7))
    first[0, 2] = second[0, 3] = 0
    expected = jensenshannon(first, second, base=2, axis=1) ** 2
    np.testing.assert_allclose(jensen_shannon(first, second), expected, rtol=1e-10)
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 2.0])) == pytest.approx(1), "bits: nothing in common is 1"
    assert jensen_shannon(first[0], 3 * first[0]) == pytest.approx(0, abs=1e-12)


def held_out(jets, seed=6):
    generator = np.random.default_rng(seed)
    is_signal = np.arange(jets) % 2 == 0
    mass = np.where(is_signal, generator.normal(80, 8, jets), generator.uniform(50, 300, jets))
    return HeldOut(is_signal, generator.uniform(0.5, 1.5, jets), np.arange(jets) // 2), mass


def test_bending_counts_what_passes_and_what_fails():
    held, mass = held_out(400)
    edges = np.array([70.0, 90.0, 200.0])
    scores = np.round(-np.abs(mass - 80), 0)  # with equal ones
    found = bending(Scored("near the peak", scores[None]), held, mass, edges, seed=1)
    background, signal = ~held.is_signal, held.is_signal
    threshold = next(
        value for value in sorted(set(scores), reverse=True)
        if held.weights[signal & (scores >= value)].sum() >= 0.5 * held.weights[signal].sum()
    )  # fmt: skip
    passing = scores >= threshold
    spectra = [
        [
            held.weights[background & chosen & (np.searchsorted(edges, mass, side="right") == place)].sum()
            for place in range(4)
        ]
        for chosen in (passing, ~passing)
    ]
    assert found.divergence[0, 0] == pytest.approx(jensenshannon(*spectra, base=2) ** 2, rel=1e-9)
    assert found.background_rejection.value == pytest.approx(np.sum(spectra) / np.sum(spectra[0]), rel=1e-9)
    assert found.flatness.value == pytest.approx(1 / found.divergence[0, 0])
    assert found.divergence.shape == (1, 101)


def test_what_knows_nothing_of_the_mass_has_the_divergence_of_chance():
    held, mass = held_out(4000)
    generator = np.random.default_rng(7)
    scores = generator.normal(size=(60, len(held))) + 1.2 * held.is_signal
    edges = weighted_quantiles(mass[~held.is_signal], held.weights[~held.is_signal], 8)
    found = bending(Scored("flat", scores), held, mass, edges, seed=1)
    expected = chance_divergence(held, 8, found.background_rejection.value)
    assert found.divergence[:, 0].mean() == pytest.approx(expected, rel=0.15)


def curve(name, flatness, rejection, replicas=50, spread=0.05, seed=9):
    """Taggers with these figures, two models each, and replicas that scatter."""
    generator = np.random.default_rng(seed)
    scatter = np.exp(spread * generator.normal(size=(2, 2, 1 + replicas)))
    scatter[..., 0] = 1
    return [Bending(f"{name} {place}", scatter[0] / one, scatter[1] * two) for place, (one, two) in
            enumerate(zip(flatness, rejection, strict=True))]  # fmt: skip


def test_methods_are_compared_at_equal_flatness():
    """Two straight lines on logarithmic axes, one 20 % above the other, at other strengths."""
    first = np.array([2.0, 9.0, 30.0, 80.0])
    second = np.array([2.0, 5.0, 50.0])
    gain = gain_at_equal_flatness(curve("a", first, 1.2 * 100 / first), curve("b", second, 100 / second, seed=10))
    assert gain.value == pytest.approx(np.log(1.2), abs=1e-6)
    assert 0.005 < gain.uncertainty < 0.1
    apart = gain_at_equal_flatness(curve("a", [1, 2], [5, 4]), curve("b", [3, 4], [5, 4]))
    assert np.isnan(apart.value), "there is no flatness that both reach"
    with pytest.raises(InputError, match="two strengths"):
        gain_at_equal_flatness(curve("a", [1], [1]), curve("b", [3, 4], [5, 4]))


def test_the_logarithm_of_a_ratio_has_the_paired_uncertainty():
    (one,), (two,) = (curve("a", [10], [7], seed=11), curve("a", [5], [7], seed=11))
    found = log_ratio(two.divergence, one.divergence)
    assert found.value == pytest.approx(np.log(2))
    assert found.uncertainty == pytest.approx(0, abs=1e-9), "the same replicas scatter alike"


def profiled_significance(s, b, u):
    """Square root of twice the logarithm of the likelihood ratio of no signal, for the median of signal and background.

    The number of events is a Poisson number and takes the value s + b; what is known of the background is a Gaussian.
    """

    def without_signal(background):
        return (s + b) * np.log(background) - background + norm.logpdf(b, background, u)

    best = minimize_scalar(lambda one: -without_signal(one), bounds=(1e-6, s + b + 10 * u), method="bounded",
                           options={"xatol": 1e-10})  # fmt: skip
    with_signal = (s + b) * np.log(s + b) - (s + b) + norm.logpdf(b, b, u)
    return np.sqrt(2 * (with_signal + best.fun))


@pytest.mark.parametrize(("s", "b", "u"), [(50, 30, 6.0), (5, 100, 20.0), (20, 3, 0.5), (80, 900, 90.0)])
def test_significance_is_the_profiled_likelihoods(s, b, u):
    assert approximate_median_significance(s, b, u) == pytest.approx(profiled_significance(s, b, u), rel=1e-4)


def test_significance_without_uncertainty_is_the_known_limit():
    s, b = 10.0, 50.0
    expected = np.sqrt(2 * ((s + b) * np.log(1 + s / b) - s))
    assert approximate_median_significance(s, b, 0.0) == pytest.approx(expected)
    assert approximate_median_significance(s, b, 1e-4) == pytest.approx(expected, rel=1e-6)
    # The median number of signal and background events, and how improbable so many are of background alone.
    assert expected == pytest.approx(norm.isf(poisson.sf(s + b - 1, b)), rel=0.1)
    assert approximate_median_significance(0.0, b, 3.0) == 0


def test_a_pivot_is_more_significant_where_the_nuisance_moves_the_background():
    generator = np.random.default_rng(12)
    jets = 40_000
    is_signal, is_nominal = np.arange(jets) % 2 == 0, np.arange(jets) % 4 < 2
    pivot = generator.normal(size=jets) + 1.5 * is_signal
    moved = pivot + 0.8 * (~is_signal & ~is_nominal)
    weights, events = np.ones(jets), np.arange(jets)
    stable, shaky = (
        stability(Scored(name, one[None]), is_signal, is_nominal, weights, events, 1)
        for name, one in (("pivot", pivot), ("moved", moved))
    )
    assert stable.largest.value > shaky.largest.value + 3 * np.hypot(
        stable.largest.uncertainty, shaky.largest.uncertainty
    )
    middle = stability(Scored("moved", moved[None]), is_signal, is_nominal, weights, events, 1).shift
    threshold = 1.5 + norm.ppf(0.2)
    expected = np.log(norm.sf(threshold - 0.8) / norm.sf(threshold))
    assert middle.value == pytest.approx(expected, abs=4 * middle.uncertainty)
    assert stable.shift.value < 4 * stable.shift.uncertainty


def test_ranks_are_shares_of_the_background_below():
    among, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0])
    np.testing.assert_allclose(_ranks(np.array([0.0, 1.0, 2.5, 9.0]), among, weights), [0.5, 0.5, 0.875, 1.0])


def test_both_values_of_a_nuisance_weigh_the_same_in_each_class(toy):
    few = toy.take(np.arange(0, len(toy), 3))
    whole, is_nominal = _mixture(toy, few, ("W",), 1)
    for signal in (True, False):
        sums = [whole.weights[(whole.is_signal == signal) & (is_nominal == chosen)].sum() for chosen in (True, False)]
        assert sums[0] == pytest.approx(sums[1])
    assert not set(whole.events[is_nominal]) & set(whole.events[~is_nominal])
    assert set(whole.splits) == set(Split)
    assert replace(whole).weights.sum() == pytest.approx(len(toy) + len(few))
