"""Every network that a recipe can name keeps the whole contract."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from models.networks.autoencoder import Autoencoder
from models.networks.convolution import Convolution
from models.networks.deepsets import DeepSets
from models.networks.interaction import Interaction, pairs
from models.networks.mlp import Mlp
from models.networks.student import Student
from models.networks.variational import Variational
from models.quantization import Quantization, linear
from models.recipe import Network, Recipe
from trigger.config import dump, parse
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.contract import Input, InputSpec

QUANTIZATION = 'weight: "ap_fixed<5,1>"\nactivation: "ap_ufixed<5,2>"\n'
WIRE = FixedPoint(True, 4, 5, Rounding.RND_CONV, Overflow.SAT)
FLAT, IMAGE, PARTICLES = (6,), (8, 6, 1), (4, 3)
BLOCK = {"filters": 3, "pooling": "max"}
EXAMPLES = [
    (Mlp(kind="mlp", hidden=(5,)), FLAT),
    (Mlp(kind="mlp", hidden=()), IMAGE),
    (Convolution(kind="convolution", blocks=(BLOCK, {"filters": 4, "kernel": 2, "separable": True})), IMAGE),
    (
        Convolution(kind="convolution", blocks=({"filters": 2, "padding": "same", "stride": 2, "pooling": "average"},)),
        IMAGE,
    ),
    (Convolution(kind="convolution", blocks=({"filters": 2, "kernel": 1},), gather="average", hidden=()), PARTICLES),
    (DeepSets(kind="deepsets", particle=(4, 3), hidden=(4,)), PARTICLES),
    (DeepSets(kind="deepsets", particle=(4,), aggregation="max", correction=True), PARTICLES),
    (Interaction(kind="interaction", pair=(4, 3), particle=(4,), hidden=(4,)), PARTICLES),
    (Autoencoder(kind="autoencoder", hidden=(4,), latent=2), FLAT),
    (Autoencoder(kind="autoencoder", hidden=(), latent=2), IMAGE),
    (Variational(kind="variational", hidden=(4,), latent=2), FLAT),
    (Variational(kind="variational", hidden=(4,), latent=2), IMAGE),
    (Student(kind="student", hidden=(4,)), FLAT),
    (Student(kind="student", hidden=(4,), blocks=({"filters": 2, "kernel": 2, "stride": 2},)), IMAGE),
]
NAMES = [f"{network.kind}-{index}" for index, (network, _) in enumerate(EXAMPLES)]


def spec(shape, wire=WIRE):
    inputs = tuple(Input(name=f"x{k}", format=wire) for k in range(int(np.prod(shape))))
    return InputSpec(inputs=inputs, outputs=("a", "b", "c"), shape=shape if len(shape) > 1 else None)


def quantised(text=QUANTIZATION):
    return parse(text, Quantization, "q")


def codes(shape, rows=20, seed=1):
    return np.random.default_rng(seed).integers(-200, 200, (rows, int(np.prod(shape))))


def randomised(model):
    """Random numbers for every weight that is trained, biases included."""
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0, 0.4, weight.shape))
    if model.name == "student":  # else its rectified output may be 0 everywhere
        kernel = model.get_layer("output").kernel
        kernel.assign(np.abs(kernel))
    return model


def test_there_is_an_example_of_every_network():
    assert {type(network) for network, _ in EXAMPLES} == set(typing.get_args(Network))


@pytest.mark.parametrize(("network", "shape"), EXAMPLES, ids=NAMES)
def test_contract_of_a_network(network, shape, tmp_path):
    from firmware.backends.qkeras_layers import check_network
    from models.trained import load_network
    from trigger.digest import network_digest

    contract = spec(shape)
    inputs = contract.network_input(codes(shape))
    models = [randomised(network.build(contract, 3, given)) for given in (None, quantised())]
    names = network.outputs(("a", "b", "c"))
    for model in models:
        assert model.input_shape == (None, *shape)
        assert model.output_shape == (None, len(names))
        outputs = np.asarray(model(inputs))
        assert outputs.shape == (20, len(names))
        assert np.ptp(outputs, axis=0).min() > 0
    floating, firmware = models
    kept = [[(weight.shape, weight.trainable) for weight in model.weights] for model in models]
    assert kept[0] == kept[1]
    check_network(firmware)  # it can become firmware
    firmware.save(tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again(inputs)), np.asarray(firmware(inputs)))
    assert network_digest(again) == network_digest(firmware)
    assert network_digest(floating) != network_digest(firmware)


@pytest.mark.parametrize(("network", "shape"), EXAMPLES, ids=NAMES)
def test_a_network_and_its_formats_survive_their_own_yaml(network, shape):
    del shape
    for text in (QUANTIZATION, QUANTIZATION.replace('"ap_fixed<5,1>"', "ternary") + 'bias: "ap_fixed<6,2>"\n'):
        assert parse(dump(quantised(text)), Quantization, "again") == quantised(text)
    background = '"classes": ["quark"]' if network.task == "anomaly" else ""
    recipe = Recipe.model_validate_json(
        '{"name": "any", "data": {"kind": "toy", "jets_per_class": 10}, "quantization": {"weight": "binary", '
        '"bias": "ap_fixed<6,2>", "activation": "ap_ufixed<4,2>"}, "inputs": {"kind": "jet_features", "format": '
        f'"ap_fixed<8,4>"}}, "network": {network.model_dump_json()}, "training": {{{background}}}}}'
    )
    assert recipe.network == network
    assert parse(dump(recipe), Recipe, "again") == recipe


@pytest.mark.parametrize("weight", ["binary", "ternary"])
@pytest.mark.parametrize(
    ("network", "shape"), [one for one in EXAMPLES if one[0].kind in ("convolution", "interaction", "autoencoder")]
)
def test_weights_that_are_signs(network, shape, weight):
    from firmware.backends.qkeras_layers import check_network

    text = f'weight: {weight}\nbias: "ap_fixed<6,2>"\nactivation: "ap_ufixed<5,2>"\n'
    model = randomised(network.build(spec(shape), 3, quantised(text)))
    check_network(model)
    kernels = [layer for layer in model.layers if getattr(layer, "use_bias", False)]
    for layer in kernels:
        kernel, depthwise = getattr(layer, "kernel", None), getattr(layer, "depthwise_kernel", None)
        quantiser = getattr(layer, "depthwise_quantizer_internal", None) or layer.kernel_quantizer_internal
        values = np.unique(np.asarray(quantiser(depthwise if kernel is None else kernel)))
        fan_in = int(np.prod(layer.input.shape[1:] if kernel is None else kernel.shape[:-1]))
        fan_in = depthwise.shape[0] * depthwise.shape[1] if kernel is None else fan_in
        scale = np.abs(values).max()
        assert np.log2(scale) == round(np.log2(np.sqrt(2 / fan_in)))
        assert set(values / scale) <= ({-1.0, 1.0} if weight == "binary" else {-1.0, 0.0, 1.0})


@pytest.mark.parametrize(("network", "shape"), [one for one in EXAMPLES if one[0].kind in ("deepsets", "interaction")])
@pytest.mark.parametrize("quantization", [None, QUANTIZATION], ids=["float", "quantised"])
def test_the_order_of_particles_does_not_matter(network, shape, quantization):
    contract = spec(shape)
    model = randomised(network.build(contract, 3, quantization and quantised(quantization)))
    inputs = contract.network_input(codes(shape)).astype(np.float32)
    answers = np.asarray(model(inputs))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(shape[0])
        np.testing.assert_allclose(np.asarray(model(inputs[:, order])), answers, rtol=1e-5, atol=1e-5)
        if quantization:  # sums of fixed-point numbers have no rounding that could depend on the order
            np.testing.assert_array_equal(np.asarray(model(inputs[:, order])), answers)
    assert np.abs(np.asarray(model(inputs * (np.arange(shape[0]) < 2)[:, None])) - answers).max() > 0.01


def test_deep_sets_against_a_loop():
    network, contract = DeepSets(kind="deepsets", particle=(4,), hidden=(5,), correction=True), spec(PARTICLES)
    model = randomised(network.build(contract, 3, None))
    inputs = contract.network_input(codes(PARTICLES, rows=5))
    weights = {layer.name: [np.asarray(w, dtype=np.float64) for w in layer.weights] for layer in model.layers}

    def dense(x, name):
        kernel, bias = weights[name]
        return x @ kernel + bias

    for jet, answer in zip(inputs, np.asarray(model(inputs)), strict=True):
        mean = np.mean([np.maximum(dense(particle, "particle1"), 0) for particle in jet], axis=0)
        logits = dense(np.maximum(dense(mean, "dense1"), 0), "logits")
        correction = dense(np.maximum(dense(mean, "correction1"), 0), "correction")
        np.testing.assert_allclose(answer, [*logits, *correction], rtol=1e-4, atol=1e-4)


def test_an_interaction_network_against_a_loop_over_pairs():
    network, contract = Interaction(kind="interaction", pair=(4,), particle=(3,), hidden=()), spec(PARTICLES)
    model = randomised(network.build(contract, 2, None))
    inputs = contract.network_input(codes(PARTICLES, rows=5))
    weights = {layer.name: [np.asarray(w, dtype=np.float64) for w in layer.weights] for layer in model.layers}

    def relu_dense(x, name):
        kernel, bias = weights[name]
        return np.maximum(x @ kernel + bias, 0)

    for jet, answer in zip(inputs, np.asarray(model(inputs)), strict=True):
        nodes = []
        for i, receiver in enumerate(jet):
            told = [relu_dense(np.append(receiver, sender), "pair1") for j, sender in enumerate(jet) if i != j]
            nodes.append(relu_dense(np.append(receiver, np.sum(told, axis=0)), "particle1"))
        kernel, bias = weights["logits"]
        np.testing.assert_allclose(answer, np.mean(nodes, axis=0) @ kernel + bias, rtol=1e-4, atol=1e-4)
    receivers, senders = pairs(3)
    assert [(int(r.argmax()), int(s.argmax())) for r, s in zip(receivers, senders, strict=True)] == [
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("quantization", [None, QUANTIZATION], ids=["float", "quantised"])
def test_scores_are_what_they_are_called(quantization):
    import keras

    quantization = quantization and quantised(quantization)
    contract = spec(FLAT)
    inputs = contract.network_input(codes(FLAT)).astype(np.float32)
    last = "" if quantization is None else "_cast"
    model = randomised(Autoencoder(kind="autoencoder", hidden=(4,), latent=2).build(contract, 3, quantization))
    rebuilt = np.asarray(keras.Model(model.input, model.get_layer(f"reconstruction{last}").output)(inputs))
    squares = np.sum((inputs.astype(np.float64) - rebuilt) ** 2, axis=1)
    np.testing.assert_allclose(np.asarray(model(inputs))[:, 0], squares, rtol=1e-5)
    model = randomised(Variational(kind="variational", hidden=(4,), latent=2).build(contract, 3, quantization))
    means = np.asarray(keras.Model(model.input, model.get_layer(f"mean{last}").output)(inputs), dtype=np.float64)
    assert (means < 0).any()
    np.testing.assert_allclose(np.asarray(model(inputs))[:, 0], np.sum(means**2, axis=1), rtol=1e-5)


def test_formats_inside_an_autoencoder():
    text = QUANTIZATION + 'linear: "ap_fixed<7,3>"\n'
    network = Autoencoder(kind="autoencoder", hidden=(4,), latent=2)
    for given, bits, integer in ((text, 7, 2), (QUANTIZATION, WIRE.width, WIRE.integer)):
        model = network.build(spec(FLAT), 3, quantised(given))
        for name in ("latent_cast", "reconstruction_cast"):
            quantiser = model.get_layer(name).activation
            assert (quantiser.bits, quantiser.integer, bool(quantiser.keep_negative)) == (bits, integer, True)


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (EXAMPLES[2][0], FLAT, r"'convolution' needs inputs of shape \(rows, columns, channels\).*\[6\]"),
        (EXAMPLES[2][0], PARTICLES, r"\(rows, columns, channels\).*\[4, 3\]"),
        (EXAMPLES[2][0], (4, 6, 1), r"convolution2: a kernel of 2 does not fit into the 1 x 2"),
        (EXAMPLES[2][0], (3, 9, 1), r"convolution1: pooling of 2 does not fit into the 1 x 7"),
        (EXAMPLES[4][0], (6, 3), r"'convolution' averages over 6 entries.*'max'"),
        (DeepSets(kind="deepsets"), IMAGE, r"'deepsets' needs inputs of shape \(particles, fields\).*\[8, 6, 1\]"),
        (DeepSets(kind="deepsets"), (10, 3), r"'deepsets' averages over 10 entries.*'max'"),
        (Interaction(kind="interaction"), FLAT, r"\(particles, fields\); the contract has the shape \[6\]"),
        (Interaction(kind="interaction"), (1, 6), r"needs pairs of particles"),
        (Autoencoder(kind="autoencoder", latent=6), FLAT, r"6 latent values for 6 inputs"),
        (Variational(kind="variational", latent=9), FLAT, r"9 latent values for 6 inputs"),
        (EXAMPLES[-1][0], FLAT, r"'student' needs inputs of shape \(rows, columns, channels\)"),
    ],
)
@pytest.mark.parametrize("quantization", [None, QUANTIZATION], ids=["float", "quantised"])
def test_contracts_that_do_not_suit_a_network(network, shape, message, quantization):
    with pytest.raises(InputError, match=message):
        network.build(spec(shape), 3, quantization and quantised(quantization))


def test_unsigned_formats_have_no_latent_values():
    wire = FixedPoint(False, 4, 4, Rounding.RND_CONV, Overflow.SAT)
    for network in (EXAMPLES[8][0], EXAMPLES[10][0]):
        with pytest.raises(InputError, match=r"set 'quantization.linear' to an ap_fixed"):
            network.build(spec(FLAT, wire), 3, quantised())
        network.build(spec(FLAT, wire), 3, quantised(QUANTIZATION + 'linear: "ap_fixed<7,3>"\n'))


def test_settings_that_are_wrong():
    for text, message in (
        ('blocks: [{filters: 2, pooling: average, pool: 3}]', "averages over 3 entries"),
        ('blocks: [{filters: 0}]', "blocks.0.filters: found 0"),
        ('blocks: []', "blocks"),
        ('blocks: [{filters: 2, padding: full}]', "'full' is not known; nearest: "),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            parse(f"kind: convolution\n{text}\n", Convolution, "n")
    with pytest.raises(InputError, match=r"score: .*ap_ufixed<W,I> with I >= 0"):
        parse('kind: student\nscore: "ap_fixed<8,4>"\n', Student, "n")


@pytest.mark.parametrize(
    "form",
    [
        FixedPoint(True, 0, 5, Rounding.RND_CONV, Overflow.SAT),
        FixedPoint(True, 1, 0, Rounding.RND_CONV, Overflow.SAT),
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
    with pytest.raises(InputError, match=r"weight: 'ternery' is not .*; or binary, or ternary") as caught:
        quantised('weight: ternery\nactivation: "ap_ufixed<6,2>"\n')
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="binary weights give biases no format: set 'bias'"):
        quantised('weight: binary\nactivation: "ap_ufixed<6,2>"\n')
