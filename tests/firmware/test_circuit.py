"""Steps against plain Python integers, and their bounds against everything that can come."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.circuit import Accumulate, Bounds, Cast, Circuit, Dense, Relu, Scale, Softmax, Sum, Table
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

FORMATS = st.builds(
    lambda signed, width, integer, rounding, overflow: FixedPoint(signed, integer, width - signed - integer, rounding, overflow),
    st.booleans(), st.integers(2, 7), st.integers(-2, 5), st.sampled_from(Rounding), st.sampled_from(Overflow),
)  # fmt: skip
SEEDS = st.integers(0, 2**31)


def everything(wire, inputs):
    """All combinations of all codes."""
    codes = range(wire.min_code, wire.max_code + 1)
    return np.array(list(itertools.product(codes, repeat=inputs)))


def whole(wire, inputs):
    return Bounds(np.full(inputs, wire.min_code), np.full(inputs, wire.max_code))


@given(FORMATS, FORMATS, SEEDS)
def test_bounds_hold_and_those_of_exact_sums_are_reached(form, accum, seed):
    """Two inputs of four bits: every code that can come is tried."""
    generator = np.random.default_rng(seed)
    wire = FixedPoint(bool(generator.integers(2)), 2, 1)
    codes, given_bounds = everything(wire, 2), whole(wire, 2)
    dense = Dense("d", generator.integers(-9, 10, (2, 3)), generator.integers(-20, 20, 3), 4)
    product = FixedPoint(True, 8, 4)
    accumulate = Accumulate("a", dense.kernel, accum.cast(dense.bias, product), product, accum)
    for step in (dense, accumulate):
        out, bounds = step(codes), step.bounds(given_bounds)
        assert (out >= bounds.low).all()
        assert (out <= bounds.high).all()
        cast = Cast("c", bounds.source(step.fraction), form)
        after = cast.bounds(bounds)
        assert (cast(out) >= after.low).all()
        assert (cast(out) <= after.high).all()
    sums, reached = dense(codes), dense.bounds(given_bounds)
    np.testing.assert_array_equal(sums.min(axis=0), reached.low)
    np.testing.assert_array_equal(sums.max(axis=0), reached.high)


@given(FORMATS, SEEDS)
def test_accumulators_are_what_a_slow_hand_would_do(accum, seed):
    generator = np.random.default_rng(seed)
    product = FixedPoint(True, 9, 5)
    kernel, bias = (
        generator.integers(-9, 10, (4, 2)),
        generator.integers(accum.min_code, accum.max_code, 2, endpoint=True),
    )
    codes = generator.integers(-8, 8, (20, 4))
    expected = []
    for row in codes.tolist():
        totals = []
        for column in range(2):
            total = int(bias[column])
            for code, weight in zip(row, kernel[:, column].tolist(), strict=True):
                one = int(accum.cast([code * weight], product)[0])
                total = int(accum.cast([total + one], FixedPoint(True, 40, accum.fraction))[0])
            totals.append(total)
        expected.append(totals)
    np.testing.assert_array_equal(Accumulate("a", kernel, bias, product, accum)(codes), expected)


@given(FORMATS, SEEDS)
def test_a_sum_that_is_said_to_fit_fits(accum, seed):
    generator = np.random.default_rng(seed)
    wire, product = FixedPoint(True, 1, 1), FixedPoint(True, 9, 3)
    step = Accumulate("a", generator.integers(-3, 4, (3, 2)), accum.cast([1, -1], accum), product, accum)
    low, high, fits = step.exact(whole(wire, 3))
    wide = FixedPoint(True, 40, accum.fraction, accum.rounding)
    codes = everything(wire, 3)
    exact = wide.cast(codes[..., None] * step.kernel, product).sum(axis=1) + step.bias
    assert (exact >= low).all()
    assert (exact <= high).all()
    np.testing.assert_array_equal(step(codes)[:, fits], exact[:, fits])


def test_rectifiers_scales_tables_and_sums():
    codes = np.arange(-16, 16)
    assert Relu("r", 3, 3, 7)(codes).tolist() == [8 * x if x > 0 else 3 * x for x in codes.tolist()]
    assert Scale("s", np.array([3]), np.array([-5]), 7)(codes[:, None])[:, 0].tolist() == [
        3 * x - 5 for x in codes.tolist()
    ]
    table = Table("t", "sigmoid", np.arange(10, 18), FixedPoint(False, 5, 0), 8, 16, 0, 4)
    assert table(codes).tolist() == [
        10 + min(max(int(x * 8 / 16) + 4, 0), 7) for x in codes.tolist()
    ]  # int() cuts towards 0
    for step in (Relu("r", -3, 3, 7), Relu("r", 0, 0, 4), Scale("s", np.array([-3]), np.array([1]), 7), table):
        for low, high in ((-16, 15), (-16, -3), (2, 9)):
            out = step(np.arange(low, high + 1)[:, None])
            bounds = step.bounds(Bounds(np.array([low]), np.array([high])))
            assert bounds.low[0] <= out.min()
            assert out.max() <= bounds.high[0]
    assert Sum("m", 6)(np.arange(12).reshape(2, 3, 2)).tolist() == [[6, 9], [24, 27]]


def test_softmax_adds_in_a_tree():
    wide, accum = FixedPoint(False, 3, 4), FixedPoint(True, 2, 4, Rounding.TRN, Overflow.SAT)
    step = Softmax("s", True, wide, wide, np.array([40, 20, 10, 5]), wide, accum, wide, np.arange(8), wide)
    # 40 + 40 saturates at 63, so the order in which five terms are added shows.
    assert step._added(np.array([[40, -40, 40, 40, -30]])).tolist() == [33]
    out = step(np.array([[3, 9, 100]]))
    assert out.shape == (1, 3)


def test_outputs_that_are_no_numbers_of_the_port():
    circuit = Circuit((1,), FixedPoint(True, 3, 4), (Dense("d", np.array([[1]]), np.array([0]), 4),))
    assert circuit.to_port(np.array([[4]]), FixedPoint(True, 4, 2)).tolist() == [[1]]
    for codes, port in (
        ([[5]], FixedPoint(True, 4, 2)),
        ([[70]], FixedPoint(True, 2, 4)),
        ([[-1]], FixedPoint(False, 4, 4)),
    ):
        with pytest.raises(InputError, match="outputs of the network are not numbers of the firmware's output port"):
            circuit.to_port(np.array(codes), port)


def test_sums_beyond_64_bits_are_refused():
    dense = Dense("d", np.full((4, 1), 2**40), np.zeros(1, dtype=np.int64), 60)
    with pytest.raises(UnsupportedError, match="layer 'd': sums may need 63 bits, 59 are the most"):
        dense.bounds(Bounds(np.full(4, -(2**20)), np.full(4, 2**20)))


@pytest.mark.parametrize("signed", [True, False])
def test_codes_of_sixty_bits_that_do_not_fit_are_seen(signed):
    source = FixedPoint(signed, 40 - signed, 20)
    cast = Cast("c", source, FixedPoint(True, 7, 4, Rounding.RND, Overflow.WRAP))
    ends = np.array([1 << 57, (1 << 58) + 5, source.max_code, 127 << 20, (127 << 20) + (31 << 15)])
    assert cast.overflows(ends).tolist() == [True, True, True, False, True]
