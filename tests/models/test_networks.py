"""Every network that a recipe can name keeps the whole contract."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from models.networks.mlp import Mlp
from models.quantization import Quantization, linear
from models.recipe import Network
from trigger.config import parse
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding

QUANTIZATION = 'weight: "ap_fixed<5,1>"\nactivation: "ap_ufixed<5,2>"\n'
EXAMPLES = [Mlp(kind="mlp", hidden=(5,)), Mlp(kind="mlp", hidden=())]


def test_there_is_an_example_of_every_network():
    members = typing.get_args(Network) or (Network,)
    assert {type(example) for example in EXAMPLES} == set(members)


@pytest.mark.parametrize("network", EXAMPLES, ids=repr)
def test_contract_of_a_network(network, contract, tmp_path):
    from firmware.backends.qkeras_layers import check_network
    from models.trained import load_network
    from trigger.digest import network_digest

    quantization = parse(QUANTIZATION, Quantization, "q")
    inputs = contract.network_input(np.random.default_rng(1).integers(-500, 500, (20, 6)))
    floating, quantised = network.build(contract, 3, None), network.build(contract, 3, quantization)
    for model in (floating, quantised):
        assert model.output_shape == (None, 3)
        assert np.asarray(model(inputs)).shape == (20, 3)
    assert [w.shape for w in floating.weights] == [w.shape for w in quantised.weights]
    check_network(quantised)  # it can become firmware
    quantised.save(tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again(inputs)), np.asarray(quantised(inputs)))
    assert network_digest(again) == network_digest(quantised)
    assert network_digest(floating) != network_digest(quantised)


@pytest.mark.parametrize(
    "form",
    [
        FixedPoint(True, 0, 5, Rounding.RND_CONV, Overflow.SAT),
        FixedPoint(True, 3, 4, Rounding.RND_CONV, Overflow.SAT_SYM),
        FixedPoint(False, 2, 4, Rounding.RND_CONV, Overflow.SAT),
        FixedPoint(True, 6, 9, Rounding.RND_CONV, Overflow.SAT),
        FixedPoint(True, 5, -2, Rounding.RND_CONV, Overflow.SAT),
    ],
    ids=str,
)
def test_a_qkeras_quantiser_is_its_format(form):
    steps = (
        np.arange(2 * form.min_code - 8, 2 * form.max_code + 9) * form.step / 2
    )  # every code and every tie, and beyond
    found = np.asarray(linear(form)(steps.astype(np.float32)), dtype=np.float64)
    np.testing.assert_array_equal(found, form.values(form.codes(steps)))


def test_formats_that_qkeras_has_not():
    with pytest.raises(UnsupportedError, match="AP_RND_CONV with AP_SAT"):
        linear(FixedPoint(True, 3, 4))
    with pytest.raises(UnsupportedError, match="one signed bit"):
        linear(FixedPoint(True, 0, 0, Rounding.RND_CONV, Overflow.SAT))
    with pytest.raises(InputError) as caught:
        parse('weight: "ap_fixed<6,1,AP_TRN>"\nactivation: "ap_fixed<6,2>"\n', Quantization, "q")
    assert len(str(caught.value).splitlines()) == 2
