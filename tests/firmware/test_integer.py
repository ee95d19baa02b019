"""The integer walk against exact arithmetic, and its proofs against what they promise."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from firmware import emulation, vectors
from firmware.backends import qkeras_layers
from firmware.emulation import Truth, built_engines
from firmware.engines import integer
from firmware.engines import keras as reference
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding


def network(weight, relu, inputs, seed, bias=None):
    import keras
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    q = {
        "kernel_quantizer": quantized_bits(*weight, alpha=1.0),
        "bias_quantizer": quantized_bits(*(bias or weight), alpha=1.0),
    }
    start = keras.Input((4,))
    x = QActivation(quantized_bits(inputs.width, inputs.integer, alpha=1.0))(start)
    x = QActivation(quantized_relu(*relu), name="relu")(QDense(5, name="first", **q)(x))
    model = keras.Model(start, QDense(2, name="last", **q)(x))
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(0, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def exact(model, codes, inputs):
    """One event in rational numbers."""
    first, last = (model.get_layer(name) for name in ("first", "last"))
    relu = model.get_layer("relu").activation
    step, top = Fraction(2) ** (relu.integer - relu.bits), 2**relu.bits - 1

    def dense(layer, x):
        kernel, bias = (
            np.asarray(q(w), dtype=float) for q, w in zip(layer.quantizers, (layer.kernel, layer.bias), strict=True)
        )
        return [
            sum((x[i] * Fraction(kernel[i, j]) for i in range(len(x))), Fraction(bias[j])) for j in range(len(bias))
        ]

    x = [Fraction(int(code)) * Fraction(inputs.step) for code in codes]
    x = [min(max(round(value / step), 0), top) * step for value in dense(first, x)]  # Python rounds ties to even
    return dense(last, x)


@pytest.mark.parametrize(
    ("weight", "relu", "width", "carriers"),
    [
        ((5, 0), (6, 2), 10, {"float32"}),
        ((12, 1), (14, 3), 16, {"float64"}),
        ((20, 2), (20, 5), 24, {"float64"}),
        ((24, 1), (22, 30), 34, {"int64", "float32"}),
        ((4, 3), (5, 8), 6, {"float32"}),
    ],
)
def test_every_carrier_is_exact(weight, relu, width, carriers):
    wire = FixedPoint(True, 3, width - 4, Rounding.RND_CONV, Overflow.SAT)
    model = network(weight, relu, wire, seed=width)
    circuit = qkeras_layers.circuit(model, wire)
    engine = integer.build(circuit)
    assert {proof.carrier for proof in integer.sums(circuit).values()} == carriers
    assert engine.form == ("numpy" if "int64" in carriers else "xla")
    generator = np.random.default_rng(1)
    codes = np.concatenate([
        generator.integers(wire.min_code, wire.max_code, (40, 4), endpoint=True),
        generator.integers(-9, 9, (40, 4)), np.full((1, 4), wire.min_code), np.full((1, 4), wire.max_code),
    ])  # fmt: skip
    expected = [exact(model, row, wire) for row in codes]
    for found in (circuit(codes), engine(codes)):
        assert [[Fraction(int(value)) / 2**circuit.fraction for value in row] for row in found] == expected


def test_what_cannot_be_carried_is_refused():
    wire = FixedPoint(True, 3, 46, Rounding.RND_CONV, Overflow.SAT)
    with pytest.raises(UnsupportedError, match=r"layer 'first': sums may need \d+ bits, 59 are the most"):
        qkeras_layers.circuit(network((24, 1), (8, 3), wire, seed=1), wire)


def test_it_agrees_with_the_reference(project, network):
    codes = np.random.default_rng(9).integers(-512, 512, (20_000, 6))
    model = reference.load_reference(project)
    circuit = qkeras_layers.circuit(model, project.contract.common_format)
    found = integer.run(project, integer.build(circuit), codes)
    np.testing.assert_array_equal(found, reference.run(project, model, project.contract.values(codes)))
    assert set(integer.sums(circuit)) == {"dense1", "dense2", "logits"}


@pytest.mark.parametrize("engine", ["integer", "cpp", "rtl"])
def test_codes_outside_the_inputs_range_are_refused_by_every_engine(project, engine):
    codes = np.zeros((5, 6), dtype=np.int64)
    codes[3, 2] = -513
    run = built_engines(project, (engine,), 1)[engine]
    with pytest.raises(
        InputError, match=r"codes: code -513 of input 'x2' in event 3 is outside \[-512, 511\]; 1 codes are"
    ):
        run(codes)


def test_where_the_walk_parts_from_the_reference_the_reference_is_what_is_expected(project, network):
    """A circuit with one weight changed stands for a walk that is wrong."""
    truth = Truth.of(project)
    at = next(k for k, step in enumerate(truth.circuit.steps) if step.layer == "logits")
    kernel = truth.circuit.steps[at].kernel.copy()
    kernel[0, 1] += 4
    steps = (*truth.circuit.steps[:at], replace(truth.circuit.steps[at], kernel=kernel))
    wrong = replace(truth, circuit=replace(truth.circuit, steps=steps))
    group = vectors.random(project.contract, 500, 1)
    found, compared = emulation._layer_by_layer(wrong, "integer", "random", group.codes, group.values)
    assert compared == 500 * (6 + 8 + 8 + 4 + 4 + 3)
    assert (found.layer, found.channel) == ("logits", 1)
    assert found.expected == truth.circuit(group.codes)[found.event, 1]
    assert found.found == wrong.circuit(group.codes)[found.event, 1]
    assert found.found - found.expected in found.histogram
