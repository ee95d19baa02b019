from __future__ import annotations

import math

import numpy as np
import pytest

from trigger.errors import InputError
from trigger.inputs.subjet_btag import btag_probability


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


def test_wrong_input_is_refused():
    one = np.array([5])
    for call, message in [
        (lambda: btag_probability(one, np.ones(2)), "flavours of shape \\(1,\\)"),
        (lambda: btag_probability(-one, np.ones(1)), "absolute PDG code, found -5"),
        (lambda: btag_probability(one, np.array([np.nan])), "1 of 1 transverse momenta"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
