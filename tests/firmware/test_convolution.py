"""Convolution networks: patches against nested loops, ten random networks in all engines, faults in one of them."""

from __future__ import annotations

import itertools
import re
import shutil

import numpy as np
import pytest

from firmware import mutation
from firmware.backends import qkeras_layers
from firmware.circuit import Cast, Dense
from firmware.divergence import first_difference
from firmware.emulation import Truth, cpp_taps
from firmware.engines import integer
from firmware.faults import Kind, sites_of
from firmware.project import FirmwareProject, convert
from firmware.target import load_target
from firmware.vectors import random, saturation
from tests.firmware.convolutions import REASONS, compared
from trigger.errors import UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.contract import Input, InputSpec

WIRE = FixedPoint(True, 3, 0, Rounding.RND_CONV, Overflow.SAT)


def bits(width, integer=None):
    from qkeras import quantized_bits

    return quantized_bits(width, width - 1 if integer is None else integer, alpha=1.0)


def read(layers, shape, seed=1):
    """The circuit of some layers after a cast, with random weights."""
    import keras
    from qkeras import QActivation

    x = start = keras.Input(shape)
    for layer in (QActivation(bits(4, 3), name="cast"), *layers):
        x = layer(x)
    model = keras.Model(start, x)
    generator = np.random.default_rng(seed)
    model.set_weights([generator.integers(-7, 8, one.shape) for one in model.get_weights()])
    return model, qkeras_layers.circuit(model, WIRE)


def margins(n, size, step, padding):
    """Positions of a window of one axis: where each begins, as TensorFlow's documentation of `same` has it."""
    if padding == "valid":
        return range(0, n - size + 1, step)
    count = -(-n // step)
    lacking = max(size - (n % step or step), 0)
    return [k * step - lacking // 2 for k in range(count)]


def slow_convolution(image, kernel, bias, strides, padding, depthwise):
    """Nested loops over Python integers."""
    rows, columns, channels = image.shape
    outputs = []
    for top in margins(rows, kernel.shape[0], strides[0], padding):
        line = []
        for left in margins(columns, kernel.shape[1], strides[1], padding):
            pixel = []
            for out in range(channels if depthwise else kernel.shape[3]):
                total = int(bias[out])
                for i, j in itertools.product(range(kernel.shape[0]), range(kernel.shape[1])):
                    if 0 <= top + i < rows and 0 <= left + j < columns:
                        for channel in [out] if depthwise else range(channels):
                            weight = kernel[i, j, channel, 0 if depthwise else out]
                            total += int(image[top + i, left + j, channel]) * int(weight)
                pixel.append(total)
            line.append(pixel)
        outputs.append(line)
    return outputs


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2)])
def test_convolutions_are_nested_loops(padding, strides, size):
    from qkeras import QConv2D, QDense, QDepthwiseConv2D

    weights = {"bias_quantizer": bits(4), "name": "conv", "padding": padding, "strides": strides}
    kinds = [QConv2D(3, size, kernel_quantizer=bits(4), **weights)]
    if strides[0] == strides[1]:
        kinds.append(QDepthwiseConv2D(size, depthwise_quantizer=bits(4), **weights))
    codes = np.random.default_rng(2).integers(-8, 8, (3, 5, 4, 2))
    for layer in kinds:
        last = QDense(1, kernel_quantizer=bits(4), bias_quantizer=bits(4), name="last")
        model, circuit = read([layer, last], (5, 4, 2))
        sums = [out for step, _, out in circuit.walk(codes.reshape(3, -1)) if step.layer == "conv"][-1]
        kernel, bias = (np.asarray(one).astype(int) for one in model.get_layer("conv").get_weights())
        expected = [slow_convolution(image, kernel, bias, strides, padding, layer is not kinds[0]) for image in codes]
        assert sums.tolist() == expected


@pytest.mark.parametrize(("size", "strides"), [((2, 2), None), ((2, 1), (1, 2)), ((1, 2), (3, 3)), ((4, 2), (2, 1))])
def test_poolings_are_nested_loops(size, strides):
    import keras
    from qkeras import QDense

    codes = np.random.default_rng(3).integers(-8, 8, (4, 6, 5, 2))
    down, right = strides or size
    windows = [
        [codes[:, top : top + size[0], left : left + size[1]] for left in range(0, 5 - size[1] + 1, right)]
        for top in range(0, 6 - size[0] + 1, down)
    ]
    for kind, take in (("Max", np.max), ("Average", np.mean)):
        layer = getattr(keras.layers, f"{kind}Pooling2D")(size, strides, name="pool")
        last = QDense(1, kernel_quantizer=bits(4), bias_quantizer=bits(4), name="last")
        _, circuit = read([layer, last], (6, 5, 2))
        step, out = [(step, out) for step, _, out in circuit.walk(codes.reshape(4, -1)) if step.layer == "pool"][-1]
        expected = np.stack([np.stack([take(one, axis=(1, 2)) for one in line], axis=1) for line in windows], axis=1)
        np.testing.assert_array_equal(out * 2.0**-step.fraction, expected)


def test_whole_images_are_pooled():
    import keras
    from qkeras import QDense

    codes = np.random.default_rng(3).integers(-8, 8, (4, 4, 2, 3))
    for kind, take in (("Max", np.max), ("Average", np.mean)):
        for keep in (False, True):
            last = QDense(1, kernel_quantizer=bits(4), bias_quantizer=bits(4), name="last")
            layers = [getattr(keras.layers, f"Global{kind}Pooling2D")(keepdims=keep, name="pool"), last]
            _, circuit = read(layers, (4, 2, 3))
            step, out = [(step, out) for step, _, out in circuit.walk(codes.reshape(4, -1)) if step.layer == "pool"][-1]
            np.testing.assert_array_equal(out * 2.0**-step.fraction, take(codes, axis=(1, 2), keepdims=keep))


def autoencoder():
    """A network whose input is read twice, with its score."""
    import keras
    from qkeras import QActivation, QConv1D, QDense, quantized_relu

    weights = {"kernel_quantizer": bits(4, 0), "bias_quantizer": bits(4, 0)}
    start = keras.Input((6, 2))
    x = QActivation(bits(4, 3), name="cast")(start)
    flat = keras.layers.Flatten(name="flat")(x)
    y = QConv1D(3, 2, strides=2, activation=quantized_relu(4, 2), name="encoder", **weights)(x)
    y = keras.layers.Flatten(name="code")(y)
    y = QActivation(bits(6, 3), name="decoded")(QDense(12, name="decoder", **weights)(y))
    away = keras.layers.Subtract(name="difference")([flat, y])
    model = keras.Model(start, keras.layers.Dot(axes=1, name="score")([away, away]))
    generator = np.random.default_rng(5)
    model.set_weights([generator.normal(0, 0.6, one.shape) for one in model.get_weights()])
    return model


def test_a_graph_in_integers_is_the_graph():
    model = autoencoder()
    circuit = qkeras_layers.circuit(model, WIRE)
    assert any(len(readers) > 1 for readers in circuit.readers)
    engine = integer.build(circuit)
    assert engine.form == "xla"
    codes = np.random.default_rng(1).integers(-8, 8, (700, 12))
    found = engine(codes)
    np.testing.assert_array_equal(found, circuit(codes))
    expected = np.asarray(model(codes.reshape(-1, 6, 2).astype(np.float32)), dtype=float)
    np.testing.assert_array_equal(found * 2.0**-circuit.fraction, expected)
    assert {one.layer for one in engine.proofs} >= {"decoder", "difference", "score"}


def test_saturation_points_of_a_graph():
    circuit = qkeras_layers.circuit(autoencoder(), WIRE)
    contract = InputSpec(
        inputs=tuple(Input(name=f"x{k}", format=WIRE) for k in range(12)), outputs=("score",), shape=(6, 2)
    )
    pool = np.random.default_rng(1).integers(-8, 8, (2000, 12))
    group = saturation(circuit, contract, pool)
    assert 20 < len(group.codes) < 1000
    rows = {row.tobytes() for row in pool}
    assert all(row.tobytes() in rows for row in group.codes)
    for (step, (given, *_), _), (_, (chosen, *_), _) in zip(circuit.walk(pool), circuit.walk(group.codes), strict=True):
        if isinstance(step, Cast):  # the extremes of every channel are among them
            np.testing.assert_array_equal(chosen.max(axis=0), given.max(axis=0))
            np.testing.assert_array_equal(chosen.min(axis=0), given.min(axis=0))


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    return compared(0, 10, tmp_path_factory.mktemp("networks"), "ten")


def test_ten_random_networks_agree_in_all_engines(ten):
    assert len(ten.seeds) == 10
    assert ten.wrong == {}
    assert set(ten.codes) == {"keras", "integer", "cpp", "rtl"}
    assert min(ten.codes.values()) > 10_000
    assert ten.varying >= 25  # layers with more than four different outputs
    kinds = ("QConv1D", "QConv2D", "QDepthwiseConv2D", "AveragePooling2D", "MaxPooling1D", "Flatten")
    assert ten.layers.keys() >= set(kinds)
    assert all(any(one in text for one in REASONS) for text in ten.refused.values()), ten.refused


def small_cnn(depthwise=True):
    import keras
    from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D, quantized_relu

    weights = {"kernel_quantizer": bits(4, 0), "bias_quantizer": bits(4, 0)}
    x = start = keras.Input((4, 6, 1))
    x = QActivation(bits(4, 3), name="cast")(x)
    x = QConv2D(2, 2, strides=(1, 2), padding="same", activation=quantized_relu(4, 3), name="conv", **weights)(x)
    if depthwise:
        x = QDepthwiseConv2D(2, depthwise_quantizer=bits(4, 0), bias_quantizer=bits(4, 0), name="depth")(x)
        x = QActivation(quantized_relu(4, 2), name="relu")(x)
    x = keras.layers.GlobalMaxPooling2D(name="largest")(x)
    model = keras.Model(start, QDense(2, name="logits", **weights)(x))
    generator = np.random.default_rng(8)
    model.set_weights([generator.normal(0.1, 0.4, one.shape) for one in model.get_weights()])
    inputs = tuple(Input(name=f"x{k}", format=WIRE) for k in range(24))
    return model, InputSpec(inputs=inputs, outputs=("a", "b"), shape=(4, 6, 1))


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    return convert(*small_cnn(), load_target("vu13p"), "cnn", tmp_path_factory.mktemp("projects"))


@pytest.mark.parametrize(("strategy", "io"), [("latency", "parallel"), ("resource", "parallel"), ("resource", "stream")])  # fmt: skip
def test_a_weight_is_where_the_network_has_it(cnn, strategy, io, tmp_path):
    """Shared multipliers have their kernels transposed in the header; depthwise ones have a number for each tap."""
    project = cnn
    if strategy == "resource":
        settings = ("backend.strategy=resource", f"backend.io={io}")
        project = convert(*small_cnn(False), load_target("vu13p", settings), "cnn", tmp_path)
    truth = Truth.of(project)
    steps = {step.layer: step for step in truth.circuit.steps if isinstance(step, Dense)}
    given = {layer: truth.circuit.steps[k - 1].fraction for k, one in enumerate(truth.circuit.steps) for layer in steps
             if one is steps[layer]}  # fmt: skip
    assert len(steps) == (3 if project is cnn else 2)
    for kind in (Kind.WEIGHT, Kind.BIAS):
        seen = set()
        for one in sites_of(kind, truth, np.random.default_rng(1)):
            step = steps[one.layer]
            number = step.kernel[one.index] * 2.0 ** given[one.layer] if kind is Kind.WEIGHT else step.bias[one.index]
            assert float(one.before) == number * 2.0**-step.fraction
            seen.add((one.layer, *one.index))
        taps = {(layer, *index) for layer, step in steps.items() for index in np.ndindex(step.kernel.shape)
                if layer != "depth" or index[0] % 2 == index[1]}  # fmt: skip
        neurons = {(layer, k) for layer, step in steps.items() for k in range(len(step.bias))}
        assert seen == (taps if kind is Kind.WEIGHT else neurons)


def test_faults_are_caught_and_named(cnn, tmp_path, monkeypatch):
    """Weights and biases of the C++ and lines of the Verilog, of every layer: each by the layer that it is in."""
    monkeypatch.setattr(mutation, "RANDOM_VECTORS", 3000)
    monkeypatch.setattr(mutation, "MORE_VECTORS", 30_000)
    truth, generator = Truth.of(cnn), np.random.default_rng(3)
    chosen = []
    for kind, count in ((Kind.WEIGHT, 3), (Kind.BIAS, 1), (Kind.VERILOG, 2)):
        sites = sites_of(kind, truth, generator)
        for layer in dict.fromkeys(one.layer for one in sites):
            mine = {(one.path, one.at): one for one in sites if one.layer == layer}
            chosen += [list(mine.values())[k] for k in generator.permutation(len(mine))[:count]]
    assert {one.layer for one in chosen if one.kind is Kind.WEIGHT} == {"conv", "depth", "logits"}
    assert {one.layer for one in chosen if one.kind is Kind.VERILOG} >= {"conv", "largest", "logits"}
    outcomes = list(mutation._Trial(truth, 1, 2, True).judge(chosen, tmp_path / "mutants"))
    assert len(outcomes) == len(chosen)
    assert not [one for one in outcomes if one.fate is mutation.Fate.SURVIVED]
    caught = [one for one in outcomes if one.fate is mutation.Fate.CAUGHT]
    assert len(caught) >= len(chosen) - 4
    own = {"depth": ("depth", "relu"), "relu": ("depth", "relu")}  # the C++ does a sum and its cast in one
    wrong = [one for one in caught if one.named not in own.get(one.mutant.layer, (one.mutant.layer,))]
    assert wrong == []


def test_the_cause_of_a_fault_in_a_kernel(cnn, tmp_path):
    shutil.copytree(cnn.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("build"))
    copy = FirmwareProject.load(tmp_path / "copy")
    truth = Truth.of(copy)
    site = next(one for one in sites_of(Kind.WEIGHT, truth, np.random.default_rng(1))
                if one.layer == "conv" and one.index == (2, 1) and "bit 2" in one.what)  # fmt: skip
    path = copy.folder / site.path
    text = path.read_text()
    value = re.search(r"bit 2: (\S+) instead", site.what)[1]
    path.write_text(text[: site.at] + value + text[site.at + len(site.before) :])
    codes = random(copy.contract, 500, 1).codes
    found = first_difference("cpp", "random", truth.circuit, codes, cpp_taps(truth, codes))
    assert found.layer == "conv"
    step = next(one for one in truth.circuit.steps if isinstance(one, Dense))
    changed = step.kernel[2, 1] + (float(value) - float(site.before)) * 8
    assert found.causes[0] == f"weight from 2 to neuron 1: {changed:.0f} instead of {step.kernel[2, 1]}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("backend.strategy=resource",),
         "'depth': a depthwise convolution has no strategy 'resource' in hls4ml; 'layers: {depth: {strategy: latency}}' would"),
        (("backend.io=stream",), r"'pool' pools windows of \(2, 2\) in steps of \(1, 1\), which hls4ml cannot stream; strides=\(2, 2\)"),
    ],
)  # fmt: skip
def test_what_the_cpp_would_abort_on_is_refused(settings, message, tmp_path):
    import keras
    from qkeras import QDense

    model, contract = small_cnn()
    x = keras.layers.MaxPooling2D(2, 1, name="pool")(model.get_layer("relu").output)
    last = QDense(2, kernel_quantizer=bits(4, 0), bias_quantizer=bits(4, 0), name="last")
    model = keras.Model(model.inputs[0], last(keras.layers.Flatten(name="flat")(x)))
    with pytest.raises(UnsupportedError, match=message):
        convert(model, contract, load_target("vu13p", settings), "x", tmp_path)
    assert not list(tmp_path.iterdir())
