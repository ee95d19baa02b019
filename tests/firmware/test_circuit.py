"""Steps against plain Python integers, and their bounds against everything that can come."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.circuit import (
    Accumulate,
    Add,
    Bounds,
    Cast,
    Circuit,
    Concatenate,
    Dense,
    Gather,
    Max,
    Multiply,
    Relu,
    Scale,
    Shape,
    Softmax,
    Sum,
    Table,
)
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


WIRE = FixedPoint(True, 2, 1)  # codes from -8 to 7
SQUARE = Multiply("square", True, 2)
TWO_READERS = Circuit(
    (3,), WIRE,
    (
        Dense("first", np.array([[1, -2], [3, 0], [-1, 4]]), np.array([5, -6]), 3),
        Cast("cast", FixedPoint(True, 9, 3), FixedPoint(True, 3, 2, Rounding.RND_CONV, Overflow.SAT)),
        Dense("second", np.array([[2, -1, 1], [1, 3, -3]]), np.array([0, 1, 2]), 4),
        Add("difference", (1, -1), (3, 0), 4),
        Multiply("product", False, 5),
        Concatenate("both", 0, (0, 1), 5),
        Multiply("squares", True, 10),
        Shape("column", (6, 1), 10),
        Sum("score", 10),
    ),
    ((0,), (1,), (2,), (0, 3), (4, 0), (5, 4), (6,), (7,), (8,)),
)  # fmt: skip
"""A network whose input is read three times and whose differences are read twice."""


def by_hand(row):
    """`TWO_READERS` for one event, in Python's integers."""
    hidden = [row[0] + 3 * row[1] - row[2] + 5, -2 * row[0] + 4 * row[2] - 6]
    cast = [min(max(round(Fraction(one, 2)), -32), 31) for one in hidden]  # ties to even
    second = [2 * cast[0] + cast[1], -cast[0] + 3 * cast[1] + 1, cast[0] - 3 * cast[1] + 2]
    differences = [8 * x - y for x, y in zip(row, second, strict=True)]
    products = [d * x for d, x in zip(differences, row, strict=True)]
    return sum(one**2 for one in (*products, *(2 * d for d in differences)))


def test_a_graph_is_what_a_slow_hand_would_do():
    codes = everything(WIRE, 3)
    out = TWO_READERS(codes)
    assert out[:, 0].tolist() == [by_hand(row) for row in codes.tolist()]
    tensors = [codes] + [made for _, _, made in TWO_READERS.walk(codes)]
    for found, bounds in zip(tensors, TWO_READERS.bounds(), strict=True):
        assert (found >= bounds.low).all()
        assert (found <= bounds.high).all()
    for step, read, made in TWO_READERS.walk(codes[:7]):
        np.testing.assert_array_equal(step(*read), made)


def test_readers_and_what_follows():
    assert TWO_READERS.readers == ((0, 3, 4), (1,), (2,), (3,), (4, 5), (5,), (6,), (7,), (8,), ())
    # A chain ends where a tensor is read twice, and where a step reads another one besides.
    assert [TWO_READERS.following(k) for k in range(9)] == [[1, 2], [2], [], [], [], [6, 7, 8], [7, 8], [8], []]


def test_few_events_of_a_large_network_are_held_at_once():
    wide = Gather("wide", np.zeros((1 << 14, 2), dtype=np.int64), 1)
    narrow = Circuit((3,), WIRE, (Sum("sum", 1),))
    assert narrow.block == 4096
    large = Circuit((3,), WIRE, (wide, Shape("flat", (1 << 15,), 1), Sum("sum", 1)))
    assert large.block == 128
    codes = np.random.default_rng(1).integers(-8, 8, (300, 3))
    np.testing.assert_array_equal(large(codes)[:, 0], codes[:, 0] << 15)


@given(SEEDS)
def test_bounds_of_tensors_put_together_hold_and_are_reached(seed):
    """Two inputs of a few codes each: every pair of codes is tried."""
    generator = np.random.default_rng(seed)
    low = generator.integers(-9, 4, 2)
    high = low + generator.integers(0, 9, 2)
    one, other = (
        codes.reshape(-1, 1) for codes in np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)))
    )
    bounds = [Bounds(low[k : k + 1], high[k : k + 1]) for k in (0, 1)]
    signs = (1, int(generator.choice([-1, 1])))
    for step, given_codes, given_bounds in (
        (Add("add", signs, (0, 2), 4), (one, other), bounds),
        (Multiply("product", False, 4), (one, other), bounds),
        (SQUARE, (one,), bounds[:1]),
        (Concatenate("side by side", 0, (1, 0), 4), (one, other), bounds),
    ):
        out, reached = step(*given_codes), step.bounds(*given_bounds)
        np.testing.assert_array_equal(out.min(axis=0), reached.low)
        np.testing.assert_array_equal(out.max(axis=0), reached.high)
    expected = [a + signs[1] * 4 * b for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)]
    assert Add("add", signs, (0, 2), 4)(one, other)[:, 0].tolist() == expected


@given(SEEDS)
def test_bounds_of_windows_hold_and_are_reached(seed):
    generator = np.random.default_rng(seed)
    codes = everything(FixedPoint(True, 1, 1), 3) + generator.integers(-3, 4, 3)
    given_bounds = Bounds(codes.min(axis=0), codes.max(axis=0))
    index = generator.integers(-1, 3, (2, 2))
    gather = Gather("windows", index, 1)
    out, reached = gather(codes), gather.bounds(given_bounds)
    expected = [
        [[row[place] if place >= 0 else 0 for place in line] for line in index.tolist()] for row in codes.tolist()
    ]
    assert out.tolist() == expected
    np.testing.assert_array_equal(out.min(axis=0), reached.low)
    np.testing.assert_array_equal(out.max(axis=0), reached.high)
    largest = Max("largest", 1)
    assert largest(out).tolist() == [[max(one) for one in zip(*window, strict=True)] for window in expected]
    np.testing.assert_array_equal(largest(out).min(axis=0) >= largest.bounds(reached).low, True)
    np.testing.assert_array_equal(largest(codes).max(axis=0), largest.bounds(given_bounds).high)
    np.testing.assert_array_equal(largest(codes).min(axis=0), largest.bounds(given_bounds).low)


def test_products_and_sums_beyond_64_bits_are_refused():
    wide = Bounds(np.array([-(1 << 31)]), np.array([1 << 31]))
    with pytest.raises(UnsupportedError, match="layer 'square': sums may need 63 bits, 59 are the most"):
        SQUARE.bounds(wide)
    with pytest.raises(UnsupportedError, match="layer 'add': sums may need 72 bits"):
        Add("add", (1, -1), (0, 40), 40).bounds(wide, wide)
