from __future__ import annotations

import math

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs.subjet_btag import btag_probability, number_of_btags


@pytest.mark.parametrize("pt", [0.0, 30.0, 250.0, 1500.0])
def test_the_curves_of_the_card(pt):
    found = btag_probability(np.array([5, 4, 1, 2, 3, 21, 0]), np.full(7, pt))
    light = 0.01 + 0.000038 * pt
    expected = [
        0.85 * math.tanh(0.0025 * pt) * (25.0 / (1 + 0.063 * pt)),
        0.25 * math.tanh(0.018 * pt) * (1 / (1 + 0.0013 * pt)),
        *5 * [light],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_values_known_at_30_gev_and_range():
    np.testing.assert_allclose(
        btag_probability(np.array([0, 4]), np.array([30.0, 30.0])), [0.01114, 0.1186207812], rtol=1e-9
    )
    everywhere = btag_probability(np.repeat([0, 4, 5], 1000), np.tile(np.geomspace(1e-3, 1e6, 1000), 3))
    assert everywhere.min() >= 0
    assert everywhere.max() <= 1


def test_tags_are_counted_per_jet():
    jets = 20000
    flavour, pt = np.tile([5, 0, 5], jets), np.full(3 * jets, 100.0)
    # Every second jet has all three subjets of two, the others none.
    offsets = np.repeat(3 * np.arange(jets + 1), 2)[:-1]
    found = number_of_btags(flavour, pt, offsets, np.random.default_rng(1))
    assert found.shape == (2 * jets,)
    assert not found[::2].any() or not found[1::2].any()
    b, light = btag_probability(np.array([5, 0]), np.array([100.0, 100.0]))
    mean, variance = 2 * b + light, 2 * b * (1 - b) + light * (1 - light)
    assert found.sum() / jets == pytest.approx(mean, abs=5 * math.sqrt(variance / jets))
    np.testing.assert_array_equal(found, number_of_btags(flavour, pt, offsets, np.random.default_rng(1)))


def test_wrong_input_is_refused():
    generator = np.random.default_rng(1)
    one = np.array([5])
    for call, message in [
        (lambda: btag_probability(one, np.ones(2)), "flavours of shape \\(1,\\)"),
        (lambda: btag_probability(-one, np.ones(1)), "absolute PDG code, found -5"),
        (lambda: btag_probability(one, np.array([np.nan])), "1 of 1 transverse momenta"),
        (lambda: number_of_btags(one, np.ones(1), np.array([0, 2]), generator), "run from 0 to the 1 subjets"),
        (lambda: number_of_btags(one, np.ones(1), np.array([0, 2, 1]), generator), "do not fall"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
