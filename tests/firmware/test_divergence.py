"""The first layer that differs is named, and its cause is found by trying causes: each is put in here and must come out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firmware.circuit import Accumulate, Cast, Circuit, Dense, Table
from firmware.divergence import INPUT, Tap, first_difference
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

WIRE = FixedPoint(True, 3, 4, Rounding.RND_CONV, Overflow.SAT)
RELU = FixedPoint(False, 2, 3, Rounding.RND_CONV, Overflow.SAT)
GENERATOR = np.random.default_rng(4)
CODES = GENERATOR.integers(WIRE.min_code, WIRE.max_code, (1500, 5), endpoint=True)
FIRST = Dense("first", GENERATOR.integers(-15, 16, (5, 6)), GENERATOR.integers(-40, 40, 6), 8)
CAST = Cast("relu", FixedPoint(True, 12, 8), RELU)
LAST = Dense("last", GENERATOR.integers(-15, 16, (6, 2)), GENERATOR.integers(-40, 40, 2), 7)
TABLE = Table("table", "sigmoid", GENERATOR.integers(0, 200, 64), FixedPoint(False, 0, 8), 1, 1 << 7, 0, 32)
ROUND = Cast("input_cast", WIRE, WIRE)
CIRCUIT = Circuit((5,), WIRE, (ROUND, FIRST, CAST, LAST, TABLE))


def taps(circuit, points=("relu", "last", "table")):
    """Taps of an engine that computes another circuit and does the first layer and its cast in one."""
    found = {step.layer: (step.fraction, out) for step, _, out in circuit.walk(CODES)}
    return [Tap(name, name, *found[name]) for name in points]


def with_step(index, step):
    return Circuit((5,), WIRE, (*CIRCUIT.steps[:index], step, *CIRCUIT.steps[index + 1 :]))


def changed_weight(step, source, neuron, change):
    kernel = step.kernel.copy()
    kernel[source, neuron] += change
    return replace(step, kernel=kernel)


def changed_bias(step, neuron, change):
    bias = step.bias.copy()
    bias[neuron] += change
    return replace(step, bias=bias)


def narrow(step, integer, fraction, rounding=Rounding.TRN):
    form = FixedPoint(True, integer, fraction, rounding)
    product = FixedPoint(True, 40, step.fraction)
    return Accumulate(step.layer, step.kernel, form.cast(step.bias, product), product, form)


def changed_entry(entry, value):
    entries = TABLE.entries.copy()
    entries[entry] = value
    return replace(TABLE, entries=entries)


CASES = {
    "saturation": (2, replace(CAST, form=replace(RELU, overflow=Overflow.SAT_ZERO)), "relu", "saturation: SAT_ZERO instead of SAT"),
    "wrap": (2, replace(CAST, form=replace(RELU, overflow=Overflow.WRAP)), "relu", "wrap: WRAP instead of SAT"),
    "rounding": (2, replace(CAST, form=replace(RELU, rounding=Rounding.TRN)), "relu", "rounding mode: TRN instead of RND_CONV"),
    "shift": (2, replace(CAST, form=replace(RELU, integer=1, fraction=4)), "relu", "shift: the binary point is -1 bits off"),
    "accumulator": (1, narrow(FIRST, 2, 8), "relu", "accumulator too narrow: 3 integer bits"),
    "product": (3, narrow(LAST, 20, 5), "last", "product cast: each product loses 2 bits (TRN) before it is added"),
    "weight": (1, changed_weight(FIRST, 3, 4, -8), "relu",
               f"weight from 3 to neuron 4: {FIRST.kernel[3, 4] - 8} instead of {FIRST.kernel[3, 4]}"),
    "bias": (3, changed_bias(LAST, 1, 16), "last", "bias of neuron 1: off by 16 steps of the sum"),
    "table": (4, changed_entry(30, int(TABLE.entries[30]) + 5), "table",
              f"table entry 30: {TABLE.entries[30] + 5} instead of {TABLE.entries[30]}"),
    "input": (0, replace(ROUND, form=replace(WIRE, fraction=3)), "relu", "input cast, width: -1 fraction bits"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_cause_is_found(case):
    index, step, layer, cause = CASES[case]
    found = first_difference("cpp", "random", CIRCUIT, CODES, taps(with_step(index, step)))
    assert found is not None
    assert found.layer == layer
    assert cause in found.causes
    place = ("relu", "last", "table").index(layer)
    ours, theirs = taps(CIRCUIT)[place], taps(with_step(index, step))[place]
    if ours.fraction == theirs.fraction:
        wrong = np.argwhere(ours.codes != theirs.codes)
        assert [found.event, found.channel] == wrong[0].tolist()
        assert found.expected == ours.codes[found.event, found.channel]
        assert found.found == theirs.codes[found.event, found.channel]
        assert sum(found.histogram.values()) <= found.differing == len(wrong)
    assert found.summary()["histogram"].keys() == {str(one) for one in found.histogram}


def test_no_difference():
    assert first_difference("cpp", "random", CIRCUIT, CODES, taps(CIRCUIT)) is None


def test_what_nothing_explains_is_not_explained():
    noisy = [replace(tap, codes=tap.codes + (GENERATOR.random(tap.codes.shape) < 0.01)) for tap in taps(CIRCUIT)]
    found = first_difference("cpp", "random", CIRCUIT, CODES, noisy)
    assert found is not None
    assert (found.layer, found.causes) == ("relu", ())
    assert "no single cause" in found.sentence()


def test_two_causes_in_different_layers_name_the_first():
    both = Circuit((5,), WIRE, (ROUND, FIRST, CASES["wrap"][1], CASES["bias"][1], TABLE))
    found = first_difference("cpp", "random", CIRCUIT, CODES, taps(both))
    assert found is not None
    assert (found.layer, found.causes[0]) == ("relu", "wrap: WRAP instead of SAT")


def test_a_tap_of_no_layer():
    with pytest.raises(InputError, match=f"layer 'other' is not in the network; there are {INPUT}, input_cast, first"):
        first_difference("cpp", "random", CIRCUIT, CODES, [Tap("other", "other", 4, CODES)])
