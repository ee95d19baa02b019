"""Vectors that reach what random ones do not."""

from __future__ import annotations

import numpy as np

from firmware import vectors
from firmware.circuit import Cast, Circuit, Dense, Shape
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec

WIRE = FixedPoint.parse("ap_fixed<8,4>")
CONTRACT = InputSpec(inputs=tuple(Input(name=f"x{k}", format=WIRE) for k in range(12)), outputs=("y",))


def rectifier(bias):
    """A neuron that is above 0 only where nearly all inputs are near their upper end."""
    dense = Dense("dense", np.ones((12, 1), dtype=np.int64), np.array([bias], dtype=np.int64), 4)
    form = FixedPoint.parse("ap_ufixed<6,2,AP_RND_CONV,AP_SAT>")
    before = (Cast("cast", WIRE, WIRE), Shape("shape", (12,), 4))  # of a first layer the worst cases are known
    return Circuit((12,), WIRE, (*before, dense, Cast("relu", FixedPoint.parse("ap_fixed<12,8>"), form)))


def test_a_sleeping_neuron_is_woken():
    circuit = rectifier(-1400)  # of 12 * 127 = 1524 at the most
    pool = vectors.random(CONTRACT, 2000, 3).codes
    assert not circuit(pool).any()
    found = vectors.saturation(circuit, CONTRACT, pool)
    CONTRACT.check_codes(found.codes)
    sums = found.codes.sum(axis=1) - 1400
    assert sums.max() == 124
    assert (circuit(found.codes) > 0).sum() >= 8
    again = vectors.saturation(circuit, CONTRACT, pool)
    np.testing.assert_array_equal(found.codes, again.codes)


def test_one_that_cannot_wake_is_left():
    circuit = rectifier(-1600)
    found = vectors.saturation(circuit, CONTRACT, vectors.random(CONTRACT, 500, 3).codes)
    assert not circuit(found.codes).any()
