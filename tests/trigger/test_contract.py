from __future__ import annotations

import numpy as np
import pytest

from trigger.config import parse
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.contract import Input, InputSpec, standardised

WIRE = FixedPoint(True, 4, 5, Rounding.RND_CONV, Overflow.SAT)


def test_codes_follow_the_formula(contract):
    physical = np.random.default_rng(1).normal(0, 10, (50, 6))
    codes = contract.codes(physical)
    for column, one in enumerate(contract.inputs):
        expected = WIRE.codes((physical[:, column] - one.offset) * one.scale)
        np.testing.assert_array_equal(codes[:, column], expected)
    np.testing.assert_array_equal(contract.values(codes), codes * WIRE.step)


def test_clipping_is_counted(contract):
    physical = np.zeros((4, 6))
    physical[:, 2] = [2, 2 + 2 * 15.9, 2 + 2 * 16.5, -1000]
    assert contract.clipped(physical) == {"x0": 0, "x1": 0, "x2": 2, "x3": 0, "x4": 0, "x5": 0}


def test_file(contract, tmp_path):
    contract.save(tmp_path / "contract.yaml")
    assert InputSpec.load(tmp_path / "contract.yaml") == contract


def test_standardised_on_the_sample():
    values = np.random.default_rng(2).normal([5, -3], [2, 0.1], (4000, 2))
    values[:, 1] = np.where(values[:, 1] > -100, values[:, 1], 0)
    spec = standardised(values, ("a", "b"), ("GeV", "1"), np.ones(4000), WIRE, ("y",))
    scaled = spec.scaled(values)
    assert scaled.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert scaled.std(axis=0) == pytest.approx([1, 1])
    constant = standardised(np.full((1000, 1), 0.1), ("a",), ("1",), np.ones(1000), WIRE, ("y",))
    assert constant.inputs[0].scale == 1


def test_what_is_wrong_is_said(contract):
    with pytest.raises(InputError, match="6 inputs, the table has shape \\(3, 5\\)"):
        contract.codes(np.zeros((3, 5)))
    text = "inputs:\n- {name: a, format: 'ap_fixed<8,4>', scale: 0}\n- {name: a, format: 'ap_fixed<8>'}\noutputs: []\n"
    with pytest.raises(InputError) as caught:
        parse(text, InputSpec, "c.yaml")
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(InputError, match="does not hold 1 inputs"):
        parse("inputs: [{name: a, format: 'ap_fixed<8,4>'}]\noutputs: [y]\nshape: [2, 2]\n", InputSpec, "c")
    mixed = InputSpec(
        inputs=(Input(name="a", format=WIRE), Input(name="b", format=FixedPoint(True, 3, 4))), outputs=("y",)
    )
    with pytest.raises(InputError, match="all inputs of an HLS port have one format"):
        _ = mixed.common_format
    with pytest.raises(InputError, match="named more than once: a"):
        parse(
            "inputs: [{name: a, format: 'ap_fixed<8,4>'}, {name: a, format: 'ap_fixed<8,4>'}]\noutputs: [y]\n",
            InputSpec,
            "c",
        )
