from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

FORMATS = st.builds(
    lambda signed, width, integer, rounding, overflow: FixedPoint(signed, integer, width - signed - integer, rounding, overflow),
    st.booleans(), st.sampled_from([*range(2, 21), 40, 59, 60]), st.integers(-4, 12), st.sampled_from(Rounding), st.sampled_from(Overflow),
)  # fmt: skip


def exact_code(value: Fraction, given: FixedPoint) -> int:
    """The definition, in rational numbers and one value at a time."""
    scaled = value * Fraction(2) ** given.fraction
    below = math.floor(scaled)
    rest = scaled - below
    half = Fraction(1, 2)
    toward_zero = int(scaled) if scaled >= 0 else -int(-scaled)
    nearest = below if rest < half else below + 1
    code = {
        Rounding.TRN: below,
        Rounding.TRN_ZERO: toward_zero,
        Rounding.RND: nearest,
        Rounding.RND_ZERO: nearest if rest != half else (below if scaled > 0 else below + 1),
        Rounding.RND_INF: nearest if rest != half else (below + 1 if scaled > 0 else below),
        Rounding.RND_MIN_INF: nearest if rest != half else below,
        Rounding.RND_CONV: nearest if rest != half else (below if below % 2 == 0 else below + 1),
    }[given.rounding]
    high = 2 ** (given.width - given.signed) - 1
    low = -(2 ** (given.width - 1)) if given.signed else 0
    if given.overflow is Overflow.WRAP:
        return (code - low) % 2**given.width + low
    if given.overflow is Overflow.SAT_SYM and given.signed:
        low += 1
    if given.overflow is Overflow.SAT_ZERO:
        return code if low <= code <= high else 0
    return min(max(code, low), high)


@given(FORMATS, st.lists(st.floats(-3000, 3000, allow_subnormal=False), min_size=1, max_size=8))
def test_codes_are_the_definition(form, values):
    ends = (form.min_code - 1, form.max_code) if form.width < 50 else ()
    ties = [form.step * (k + 0.5) for k in (-2, -1, 0, 1, *ends)]
    everything = [*values, *ties]
    assert form.codes(everything).tolist() == [exact_code(Fraction(value), form) for value in everything]


@given(FORMATS, FORMATS, st.integers(0, 2**31))
def test_casting_codes_is_quantising_their_values(form, source, seed):
    assume(source.width + max(0, form.fraction - source.fraction) <= 60)
    codes = np.random.default_rng(seed).integers(source.min_code, source.max_code, 64, endpoint=True)
    expected = [exact_code(Fraction(int(code)) / Fraction(2) ** source.fraction, form) for code in codes]
    assert form.cast(codes, source).tolist() == expected


def test_shifts_beyond_the_register():
    wide = FixedPoint(False, 0, 60)
    for rounding, expected in ((Rounding.TRN, [0, -1]), (Rounding.RND, [0, 0]), (Rounding.TRN_ZERO, [0, 0])):
        coarse = FixedPoint(True, 80, -70, rounding)
        assert coarse.cast([2**60 - 1], wide).tolist() == expected[:1]
        assert coarse.cast([-(2**58)], FixedPoint(True, 0, 59)).tolist() == expected[1:]


def test_every_number_survives_the_round_trip():
    for signed, width, integer in itertools.product((True, False), (2, 5, 8), (-2, 0, 3, 9)):
        form = FixedPoint(signed, integer, width - signed - integer)
        codes = np.arange(form.min_code, form.max_code + 1)
        np.testing.assert_array_equal(form.codes_of_exact(form.values(codes)), codes)


def test_halves_next_to_one_are_not_rounded_up_by_float_addition():
    form = FixedPoint(True, 4, 0, Rounding.RND, Overflow.SAT)
    assert form.codes([0.49999999999999994, 0.5, -0.5]).tolist() == [0, 1, 0]


def test_saturation_reaches_far_values_and_wrapping_is_exact_there():
    assert FixedPoint(True, 3, 4, overflow=Overflow.SAT).codes([1e300, -1e300]).tolist() == [127, -128]
    assert FixedPoint(False, 8, 0).codes([2.0**60 + 2.0**40, 259.0]).tolist() == [0, 3]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_has_no_code(value):
    with pytest.raises(InputError, match="NaN or infinite"):
        FixedPoint(True, 3, 4).codes([0.0, value])


def test_values_off_the_grid_are_refused_where_they_must_be_exact():
    with pytest.raises(InputError, match=r"1 values are not numbers of ap_fixed<8,4"):
        FixedPoint(True, 3, 4).codes_of_exact([0.5, 0.03])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ap_fixed<16,7>", FixedPoint(True, 6, 9)),
        ("ap_ufixed<6, 0, AP_RND_CONV, AP_SAT>", FixedPoint(False, 0, 6, Rounding.RND_CONV, Overflow.SAT)),
        ("ap_fixed<8,-2>", FixedPoint(True, -3, 10)),
        ("ap_ufixed<2,32>", FixedPoint(False, 32, -30)),
    ],
)
def test_spelling(text, expected):
    assert FixedPoint.parse(text) == expected
    assert FixedPoint.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixed<16,7>", "is not a fixed-point format"),
        ("ap_fixed<16>", "is not a fixed-point format"),
        ("ap_fixed<16,7,AP_RUND>", "AP_RUND is not a rounding mode"),
        ("ap_fixed<99,7>", "1 to 60 bits, not 99"),
    ],
)
def test_misspelling(text, message):
    with pytest.raises(InputError, match=message):
        FixedPoint.parse(text)
