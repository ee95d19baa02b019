"""What is called proven cannot overflow, what can is named, with the width that is safe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firmware import overflow
from firmware.circuit import Accumulate, Cast, Circuit, Dense
from firmware.engines import integer
from firmware.overflow import Safety, analyse, count
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

WIRE = FixedPoint(True, 3, 4)
KERNEL = np.array([[3, -60], [5, 60], [-7, 60]])
DENSE = Dense("sum", KERNEL, np.array([0, 9]), 8)
CIRCUIT = Circuit((3,), WIRE, (DENSE,))
WORST = 60 * (128 + 127 + 127) + 9
EVENTS = np.random.default_rng(2).integers(WIRE.min_code, WIRE.max_code, (5000, 3), endpoint=True)


def test_the_worst_case_is_reached_and_the_safe_width_is_the_narrowest():
    (node,) = analyse(CIRCUIT, {"sum": FixedPoint(True, 9, 8)})
    worst = np.array([[-128, 127, 127]])
    assert DENSE(worst)[0, 1] == node.high == WORST
    assert (node.neuron, node.safety) == (1, Safety.PROVEN)
    assert node.safe == FixedPoint(True, 7, 8)
    assert node.safe.min_code <= node.low
    assert node.high <= node.safe.max_code
    assert node.spare_bits == 2
    assert FixedPoint(True, 6, 8).max_code < WORST


@pytest.mark.parametrize(("bits", "safety"), [(7, Safety.PROVEN), (6, Safety.UNSAFE), (5, Safety.UNSAFE)])
def test_what_overflows_is_unsafe_and_named(bits, safety):
    nodes = count(CIRCUIT, analyse(CIRCUIT, {"sum": FixedPoint(True, bits, 8)}), EVENTS)
    limit = FixedPoint(True, bits, 8).max_code
    assert nodes[0].safety is safety
    assert nodes[0].above == (DENSE(EVENTS) > limit).sum()
    assert nodes[0].below == (DENSE(EVENTS) < -limit - 1).sum()
    requirement = overflow.requirement(nodes)
    assert requirement.status == ("PASS" if safety is Safety.PROVEN else "FAIL")
    if safety is Safety.UNSAFE:
        assert "sum: neuron 1 may reach" in requirement.note
        assert "it takes 16 bits, 8 of them integer" in requirement.note


def test_safe_on_this_data_only():
    few = np.zeros((10, 3), dtype=np.int64)
    (node,) = count(CIRCUIT, analyse(CIRCUIT, {"sum": FixedPoint(True, 6, 8)}), few)
    assert node.safety is Safety.DATA_ONLY
    requirement = overflow.requirement((node,))
    assert requirement.status == "PASS"
    assert "0 of 1 accumulators proven; sum: neuron 1 may reach" in requirement.note


def test_bits_lost_below_are_no_proof():
    (node,) = analyse(CIRCUIT, {"sum": FixedPoint(True, 20, 7)})
    assert node.safety is Safety.DATA_ONLY


def test_a_proof_that_events_refute_is_an_error():
    (node,) = analyse(CIRCUIT, {"sum": FixedPoint(True, 5, 8)})
    with pytest.raises(InputError, match=r"sum: \d+ events overflow ap_fixed<14,6,AP_TRN,AP_WRAP>, proven never to"):
        count(CIRCUIT, (replace(node, safety=Safety.PROVEN),), EVENTS)


@pytest.mark.parametrize("mode", [Overflow.WRAP, Overflow.SAT])
def test_narrow_accumulators(mode):
    form = FixedPoint(True, 6, 8, Rounding.TRN, mode)
    step = Accumulate("sum", KERNEL, np.array([0, 9]), FixedPoint(True, 14, 8), form)
    nodes = count(Circuit((3,), WIRE, (step,)), analyse(Circuit((3,), WIRE, (step,)), {}), EVENTS)
    assert nodes[0].safety is Safety.UNSAFE
    assert nodes[0].below + nodes[0].above > 100
    wide = replace(step, form=replace(form, integer=nodes[0].safe.integer))
    assert analyse(Circuit((3,), WIRE, (wide,)), {})[0].safety is Safety.PROVEN


def test_saturation_by_design_is_counted_and_not_judged():
    cast = Cast("relu", FixedPoint(True, 7, 8), FixedPoint(False, 2, 3, Rounding.RND_CONV, Overflow.SAT))
    circuit = Circuit((3,), WIRE, (DENSE, cast))
    node = count(circuit, analyse(circuit, {"sum": FixedPoint(True, 9, 8)}), EVENTS)[-1]
    assert node.safety is Safety.BY_DESIGN
    rounded = np.rint(DENSE(EVENTS) / 32)
    assert (node.below, node.above) == ((rounded < 0).sum(), (rounded > 31).sum())
    assert overflow.requirement((node,)).status == "NOT MEASURED"  # a cast alone is no accumulator


def test_accumulators_that_are_not_declared_or_saturate_are_not_proven():
    with pytest.raises(InputError, match="the sources declare no accumulator for layer 'sum'"):
        analyse(CIRCUIT, {"smu": FixedPoint(True, 9, 8)})
    (node,) = analyse(CIRCUIT, {"sum": FixedPoint(True, 9, 8, Rounding.TRN, Overflow.SAT)})
    assert node.safety is Safety.DATA_ONLY  # partial sums may saturate on the way


def test_sums_that_int64_does_not_hold_are_refused():
    wide = FixedPoint(True, 29, 0)
    step = Accumulate("sum", np.full((64, 1), -(2**29)), np.zeros(1, dtype=np.int64), FixedPoint(True, 59, 0),
                      FixedPoint(True, 59, 0))  # fmt: skip
    with pytest.raises(UnsupportedError, match="layer 'sum': sums may need 65 bits, 59 are the most"):
        analyse(Circuit((64,), wide, (step,)), {})


def test_where_float32_is_not_proven_float64_is_taken_and_said():
    small, large = (
        Dense("d", np.full((4, 1), weight), np.zeros(1, dtype=np.int64), 8) for weight in (2**14, 2**15 + 1)
    )
    for dense, carrier in ((small, "float32"), (large, "float64")):
        circuit = Circuit((4,), WIRE, (dense,))
        engine = integer.build(circuit)
        proof = integer.sums(circuit)["d"]
        assert proof.carrier == carrier
        assert str(proof).startswith(f"{carrier}: sums of at most")
        codes = np.array([[-128] * 4, [127] * 4, [-128, -128, -128, -127]])
        np.testing.assert_array_equal(engine(codes), circuit(codes))
