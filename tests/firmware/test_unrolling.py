"""Multiplications of an unrolled network are counted before anything is written."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from qkeras import QActivation, QConv2D, QDense, quantized_bits

from firmware import unrolling
from firmware.project import convert
from firmware.target import load_target
from firmware.unrolling import most_multiplications, require_unrollable, unrolled
from trigger.errors import UnsupportedError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec

WEIGHTS = {"kernel_quantizer": quantized_bits(4, 0, alpha=1.0), "bias_quantizer": quantized_bits(4, 0, alpha=1.0)}
WIRE = FixedPoint.parse("ap_fixed<8,4,AP_RND_CONV,AP_SAT>")


def network(side, filters, strides=1, padding="valid"):
    x = start = keras.Input((side, side, 1))
    x = QActivation(quantized_bits(8, 3, alpha=1.0), name="cast")(x)
    x = QConv2D(filters, 3, strides=strides, padding=padding, name="conv", **WEIGHTS)(x)
    x = keras.layers.MaxPooling2D(side // 2 // strides)(x)
    model = keras.Model(start, QDense(2, name="logits", **WEIGHTS)(keras.layers.Flatten()(x)))
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.2, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("strides", "padding", "places"), [(1, "valid", 36), (1, "same", 64), (2, "valid", 9), (2, "same", 16)]
)
def test_every_weight_at_every_place(strides, padding, places):
    model = network(8, 3, strides, padding)
    conv = model.get_layer("conv")
    kernel = np.round(np.clip(np.asarray(conv.kernel), -1, 1 - 1 / 8) * 8)  # ties to even, as the quantiser
    found = {one.layer: one for one in unrolled(model)}
    assert (found["conv"].weights, found["conv"].positions) == (np.count_nonzero(kernel), places)
    assert found["conv"].multiplications == np.count_nonzero(kernel) * places
    assert found["logits"].positions == 1


def test_the_limit_is_a_die():
    """1,728,000 look-up tables in four dies, 1,182,240 in three, 433,200 in one."""
    parts = ("xcvu13p-flga2577-2-e", "xcvu9p-flga2104-2L-e", "xc7vx690tffg1927-2")
    assert [most_multiplications(part) for part in parts] == [108_000, 98_520, 108_300]


def test_exactly_at_the_limit(monkeypatch):
    model, target = network(8, 3), load_target("vu9p")
    total = sum(one.multiplications for one in unrolled(model))
    monkeypatch.setattr(unrolling, "most_multiplications", lambda part: total)
    require_unrollable(model, target)
    monkeypatch.setattr(unrolling, "most_multiplications", lambda part: total - 1)
    with pytest.raises(UnsupportedError, match=f"too large to unroll: {total:,} multiplications"):
        require_unrollable(model, target)


def test_refused_before_anything_is_written(tmp_path):
    model = network(44, 16, padding="same")
    contract = InputSpec(
        inputs=tuple(Input(name=f"p{k}", format=WIRE) for k in range(44 * 44)), outputs=("a", "b"), shape=(44, 44, 1)
    )
    with pytest.raises(UnsupportedError) as refused:
        convert(model, contract, load_target("vu9p"), "large", tmp_path)
    (conv, *_) = unrolled(model)
    text = str(refused.value)
    assert f"'conv' {conv.multiplications:,} ({conv.weights:,} weights other than 0 at 1,936 places)" in text
    assert "has room for 98,520" in text
    for remedy in ("Fewer channels", "larger strides", "io: stream", "reuse_factor"):
        assert remedy in text
    assert not list(tmp_path.iterdir())
