"""What cannot be represented bit for bit is refused by name."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from qkeras import (
    QActivation,
    QConv1D,
    QConv2D,
    QConv2DBatchnorm,
    QDense,
    QDenseBatchnorm,
    QDepthwiseConv2DBatchnorm,
    quantized_bits,
    quantized_po2,
    quantized_relu,
)

from firmware.backends.qkeras_layers import check_network, circuit, folded, quantized_weights, quantizer_format
from trigger.errors import UnsupportedError

BITS = {"bits": 6, "integer": 1}


@pytest.mark.parametrize(
    ("quantizer", "message"),
    [
        (quantized_bits(1, 0, alpha=1.0), "-1 and \\+1"),
        (quantized_bits(6, 0, alpha=0.5), "alpha=0.5"),
        (quantized_bits(6, 0, alpha="auto"), "alpha='auto'"),
        (quantized_bits(6, 0, alpha="auto_po2"), "alpha='auto_po2'"),
        (quantized_bits(6, 0, alpha=1.0, use_stochastic_rounding=True), "stochastic rounding"),
        (quantized_bits(6, 0, alpha=1.0, qnoise_factor=0.5), "qnoise_factor=0.5"),
        (quantized_relu(6, 0, use_sigmoid=1), "use_sigmoid"),
        (quantized_relu(6, 0, negative_slope=0.25), "negative_slope"),
        (quantized_relu(6, -1), "integer=-1"),
        (quantized_relu(6, 2, relu_upper_bound=1.5, is_quantized_clip=False), "relu_upper_bound"),
        (quantized_po2(4), "quantized_po2 is not supported; supported are quantized_bits, quantized_relu"),
    ],
)
def test_activations_that_are_no_cast(quantizer, message):
    with pytest.raises(UnsupportedError, match=f"here.*{message}|{message}"):
        quantizer_format(quantizer, "here")


@pytest.mark.parametrize(
    "quantizer",
    [
        quantized_bits(8, 3, alpha=1.0), quantized_bits(8, 3, symmetric=1, alpha=1.0), quantized_bits(6, 2, keep_negative=0, alpha=1.0),
        quantized_relu(6, 2), quantized_relu(4, 6), quantized_bits(5, 7, alpha=1.0),
    ],
    ids=str,
)  # fmt: skip
def test_activations_that_are(quantizer):
    form = quantizer_format(quantizer, "here")
    halves = np.arange(2 * form.min_code - 9, 2 * form.max_code + 10) * form.step / 2
    np.testing.assert_array_equal(np.asarray(quantizer(halves.astype(np.float32))), form.values(form.codes(halves)))


def layer(**quantizers):
    dense = QDense(3, name="fc", **quantizers)
    dense.build((None, 4))
    return dense


def test_weights_are_the_ones_that_the_network_computes_with():
    for alpha in (1.0, 0.5, "auto_po2", None):
        dense = layer(
            kernel_quantizer=quantized_bits(4, 0, alpha=alpha), bias_quantizer=quantized_bits(4, 0, alpha=1.0)
        )
        kernel, bias = quantized_weights(dense)
        expected = np.asarray(dense(np.eye(4, dtype=np.float32))) - np.asarray(dense(np.zeros((1, 4), np.float32)))
        np.testing.assert_array_equal(kernel, expected)
        assert bias.shape == (3,)


@pytest.mark.parametrize(
    ("quantizers", "message"),
    [
        ({"kernel_quantizer": quantized_bits(4, 0, alpha="auto"), "bias_quantizer": quantized_bits(4, 0, alpha=1.0)}, "fc.kernel.*alpha='auto'"),
        ({"kernel_quantizer": quantized_bits(4, 0, alpha=0.3), "bias_quantizer": quantized_bits(4, 0, alpha=1.0)}, "alpha=0.3"),
        ({"kernel_quantizer": quantized_bits(4, 0, alpha=1.0)}, "fc.bias has no quantiser"),
        ({"bias_quantizer": quantized_bits(4, 0, alpha=1.0)}, "fc.kernel has no quantiser"),
    ],
)  # fmt: skip
def test_weights_without_an_exact_format(quantizers, message):
    with pytest.raises(UnsupportedError, match=message):
        quantized_weights(layer(**quantizers))


def cast():
    return QActivation(quantized_bits(8, 3, alpha=1.0), name="cast")


def dense(name, units=3):
    return QDense(
        units,
        kernel_quantizer=quantized_bits(4, 0, alpha=1.0),
        bias_quantizer=quantized_bits(4, 0, alpha=1.0),
        name=name,
    )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([cast(), keras.layers.LSTM(4, name="memory")], "layer 'memory' is a LSTM, which is not supported; supported are InputLayer, QActivation, QDense, QConv1D"),
        ([cast(), dense("a"), keras.layers.GlobalAveragePooling1D(name="mean")], "'mean' averages over 6 entries.*power of two"),
        ([cast(), keras.layers.Dense(3, name="plain")], "'plain' is a Dense.*QDense is its quantised form"),
        ([cast(), dense("a"), keras.layers.Softmax(name="soft")], "'soft' is a Softmax.*outside the chip"),
        ([dense("a")], "not a QActivation"),
        ([cast(), QDense(3, activation="tanh", kernel_quantizer=quantized_bits(4, 0, alpha=1.0), use_bias=False, name="t")], "'t'.*tanh"),
    ],
)  # fmt: skip
def test_layers_are_refused_by_name(layers, message):
    x = start = keras.Input((6, 2))
    for one in layers:
        x = one(x)
    with pytest.raises(UnsupportedError, match=message):
        check_network(keras.Model(start, x))


def test_two_quantisers_in_a_row():
    """hls4ml would keep one of the two casts."""
    for layers in (
        [cast(), QActivation(quantized_bits(6, 2, alpha=1.0), name="again"), dense("a")],
        [cast(), keras.layers.Flatten(), QActivation(quantized_bits(6, 2, alpha=1.0), name="again"), dense("a")],
        [cast(), QDense(3, activation=quantized_relu(6, 2), kernel_quantizer=quantized_bits(4, 0, alpha=1.0), use_bias=False),
         QActivation(quantized_bits(6, 2, alpha=1.0), name="again")],
    ):  # fmt: skip
        x = start = keras.Input((6, 2))
        for one in layers:
            x = one(x)
        with pytest.raises(UnsupportedError, match=r"'again' quantises what '.*' has quantised"):
            check_network(keras.Model(start, x))


def test_sequential_models():
    check_network(keras.Sequential([keras.Input((6,)), cast(), dense("a")]))
    with pytest.raises(UnsupportedError, match="not a QActivation"):
        check_network(keras.Sequential([keras.Input((6,)), dense("a")]))
    with pytest.raises(UnsupportedError, match="no inputs yet"):
        check_network(keras.Sequential([cast(), dense("a")]))
    with pytest.raises(UnsupportedError, match="is not fixed"):
        check_network(keras.Sequential([keras.Input((None, 3)), cast(), dense("a")]))
    with pytest.raises(UnsupportedError, match="no QDense or convolution layer"):
        check_network(keras.Sequential([keras.Input((6,)), cast()]))


def test_all_reasons_are_named_at_once():
    x = start = keras.Input((6, 2))
    x = keras.layers.LSTM(4, name="one")(cast()(x))
    x = keras.layers.Dense(3, name="two")(x)
    with pytest.raises(UnsupportedError) as caught:
        check_network(keras.Model(start, x))
    assert [line.split("'")[1] for line in str(caught.value).splitlines()] == ["one", "two"]


def normalised(layers, shape, seed):
    """A network with random weights and random statistics of its normalisations."""
    x = start = keras.Input(shape)
    for one in (cast(), *layers):
        x = one(x)
    model = keras.Model(start, x)
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype == "int64":
            continue
        positive = weight.path.endswith(("gamma", "moving_variance"))
        weight.assign(generator.uniform(0.3, 2, weight.shape) if positive else generator.normal(0, 0.5, weight.shape))
    return model


def test_batch_normalisation_is_folded_into_the_layer_before_it():
    """What comes out has no normalisation and is the same function; every kind that QKeras has."""
    weights = {"kernel_quantizer": quantized_bits(6, 1, alpha=1.0), "bias_quantizer": quantized_bits(7, 2, alpha=1.0)}
    depthwise = {"depthwise_quantizer": quantized_bits(6, 1, alpha=1.0), "bias_quantizer": weights["bias_quantizer"]}
    layers = [
        QConv2DBatchnorm(3, 2, padding="same", strides=2, name="conv", **weights),
        QActivation(quantized_relu(6, 2), name="relu"),
        QDepthwiseConv2DBatchnorm(2, name="depth", activation=quantized_relu(5, 2), **depthwise),
        keras.layers.Flatten(name="flat"),
        QDenseBatchnorm(4, use_bias=False, name="fc", **weights),
    ]
    model = normalised(layers, (5, 6, 2), 1)
    plain = folded(model)
    kinds = ["QConv2D", "QActivation", "QDepthwiseConv2D", "Flatten", "QDense"]
    assert [type(one).__name__ for one in plain.layers[2:]] == kinds
    assert [one.name for one in plain.layers[1:]] == [one.name for one in model.layers[1:]]
    x = np.random.default_rng(2).integers(-128, 128, (500, 5, 6, 2)) / 16
    expected = np.asarray(model(x.astype(np.float32)))
    np.testing.assert_array_equal(np.asarray(plain(x.astype(np.float32))), expected)
    assert len(np.unique(expected, axis=0)) > 300
    # The folding itself, by hand: no library's own.
    kernel, bias = quantized_weights(plain.get_layer("conv"))
    norm = model.get_layer("conv").batchnorm
    factor = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    want = np.clip(np.rint(np.asarray(model.get_layer("conv").kernel, dtype=float) * factor * 16), -32, 31) / 16
    np.testing.assert_array_equal(kernel, want)
    offset = factor * (np.asarray(model.get_layer("conv").bias) - np.asarray(norm.moving_mean)) + np.asarray(norm.beta)
    np.testing.assert_array_equal(bias, np.clip(np.rint(offset * 16), -64, 63) / 16)
    assert folded(plain) is plain
    # Read as it is, it is the same circuit; and a normalisation without a quantiser is refused.
    wire = quantizer_format(quantized_bits(8, 3, alpha=1.0), "cast")
    codes = (x * 16).astype(np.int64)
    steps = circuit(model, wire)
    np.testing.assert_array_equal(steps(codes) * 2.0**-steps.fraction, expected)
    with pytest.raises(UnsupportedError, match=r"fc\.bias has no quantiser"):
        bare = QDenseBatchnorm(4, kernel_quantizer=quantized_bits(6, 1, alpha=1.0), name="fc")
        check_network(normalised([bare], (4,), 1))


FOUR_BITS = {"kernel_quantizer": quantized_bits(4, 0, alpha=1.0), "use_bias": False}


def image(*layers, shape=(6, 6, 2)):
    x = start = keras.Input(shape)
    for one in (cast(), *layers):
        x = one(x)
    return keras.Model(start, x)


def joined(layer, count=2, **options):
    """A network that joins tensors of 3, 4, ... numbers, or all of 3."""
    start = keras.Input((6,))
    x = cast()(start)
    sizes = options.get("sizes", (3,) * count)
    return keras.Model(start, layer([dense(f"d{k}", size)(x) for k, size in enumerate(sizes)]))


def twice():
    start = keras.Input((6,))
    shared = dense("shared", 6)
    return keras.Model(start, shared(QActivation(quantized_relu(4, 2), name="relu")(shared(cast()(start)))))


def two_inputs():
    one, other = keras.Input((6,)), keras.Input((6,))
    return keras.Model([one, other], keras.layers.Add()([cast()(one), dense("b", 6)(other)]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: image(QConv2D(2, 2, dilation_rate=2, name="c", **FOUR_BITS)), r"layer 'c': dilation_rate=\(2, 2\) is not supported; use 1"),
        (lambda: image(keras.layers.Conv2D(2, 2, name="c")), "'c' is a Conv2D, which is not supported; QConv2D is its quantised form"),
        (lambda: image(keras.layers.BatchNormalization(name="n")), "'n' is a BatchNormalization.*QDenseBatchnorm, QConv2DBatchnorm or"),
        (lambda: image(QConv2D(2, 2, name="c", kernel_quantizer=None, use_bias=False)), r"c\.kernel has no quantiser"),
        (lambda: image(QConv2D(2, 2, name="c", kernel_quantizer=FOUR_BITS["kernel_quantizer"])), r"c\.bias has no quantiser"),
        (lambda: image(QConv2D(2, 2, name="c", activation="relu", **FOUR_BITS)), "layer 'c': activation 'relu' is not quantised"),
        (lambda: image(QConv1D(2, 2, padding="causal", name="c", **FOUR_BITS), shape=(6, 2)), "padding='causal' fails in QKeras itself"),
        (lambda: image(dense("d"), keras.layers.AveragePooling2D((2, 3), name="p")), "'p' averages over 6 entries.*use 2, 4, 8, 16"),
        (lambda: image(dense("d"), keras.layers.GlobalAveragePooling2D(name="p")), "'p' averages over 36 entries"),
        (lambda: image(dense("d"), keras.layers.MaxPooling2D(4, padding="same", name="p")),
         r"'p' pools \(4, 4\) windows beyond the edge of \(6, 6\); use padding='valid'"),
        (lambda: image(dense("d"), keras.layers.MaxPooling2D(2, data_format="channels_first", name="p")), "'p' has its channels first"),
        (twice, "layer 'shared' is used twice; firmware has one of each"),
        (two_inputs, "the model has 2 inputs and 1 outputs; one of each is right"),
        (lambda: image(dense("d"), keras.layers.Reshape((36, 3)), matrix_product("dot")), r"'dot': Dot is of two flat tensors, axes=1"),
        (lambda: joined(keras.layers.Dot(axes=1, normalize=True, name="dot")), "'dot': Dot is of two flat tensors, axes=1, not normalised"),
        (lambda: joined(keras.layers.Concatenate(name="cat"), 3), "layer 'cat' joins 3 tensors; hls4ml joins two at a time"),
        (lambda: joined(keras.layers.Add(name="sum"), sizes=(3, 1)), r"'sum': tensors of one shape are needed, found \[\(3,\), \(1,\)\]"),
    ],
)  # fmt: skip
def test_graphs_and_images_are_refused_by_name(model, message):
    with pytest.raises(UnsupportedError, match=message):
        check_network(model())


def matrix_product(name):
    """A dot product of a matrix with itself."""
    return lambda x: keras.layers.Dot(axes=(1, 1), name=name)([x, x])


def test_layers_that_are_put_together():
    check_network(joined(keras.layers.Concatenate(name="cat")))
    check_network(joined(keras.layers.Concatenate(name="cat"), sizes=(3, 5)))
    check_network(joined(keras.layers.Dot(axes=1, name="dot")))
    check_network(image(dense("d"), keras.layers.MaxPooling2D(2, padding="same", name="p")))
