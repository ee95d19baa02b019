"""Recursive networks, message passing and event networks against plain loops of numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.offline.event_gru import EventGru, events_of
from models.offline.message_passing import MessagePassing
from models.offline.recursive import Recursive, aligned_constituents, scaled_features, trees_of

ORDERS = ["kt", "cambridge_aachen", "anti_kt", "descending_pt", "ascending_pt", "random"]
CONSTITUENTS = 12


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def built(network, seen):
    """The network with biases that are not 0."""
    import keras

    keras.utils.set_random_seed(4)
    model = network.build({name: array.shape[1:] for name, array in seen.items()}, 2)
    generator = np.random.default_rng(3)
    for weight in model.trainable_variables:
        if len(weight.shape) == 1:
            weight.assign(generator.normal(0, 0.2, weight.shape))
    return model


def numbers(variables):
    import keras

    return [np.array(keras.ops.convert_to_numpy(one), dtype=np.float64) for one in variables]


def dense(model, name):
    return numbers(model.get_layer(name).trainable_variables)


def weights_of(model):
    return dict(zip([one.name for one in model.get_layer("embedding").trainable_variables],
                    numbers(model.get_layer("embedding").trainable_variables), strict=True))  # fmt: skip


def recursion(network, jets, weights):
    """Embedding of each jet, node by node, as equations of the paper read."""
    trees = trees_of(network.order, *aligned_constituents(jets, network.constituents), network.tree_seed)
    energy = np.repeat(trees.nodes[trees.offsets[1:] - 1, 3], np.diff(trees.offsets))
    features = scaled_features(trees.nodes, energy, network.scale).astype(np.float64)
    w = weights

    def embedding(start, k):
        own = relu(features[start + k] @ w["W_u"] + w["b_u"])
        if trees.first[start + k] < 0:
            return own
        children = sorted((trees.first[start + k], trees.second[start + k]),
                          key=lambda c: -np.hypot(*trees.nodes[start + c, :2]))  # fmt: skip
        left, right = (embedding(start, c) for c in children)
        three = np.concatenate([left, right, own])
        if not network.gated:
            return relu(three @ w["W_h"] + w["b_h"])
        fresh = relu(sigmoid(three @ w["W_r"] + w["b_r"]) * three @ w["W_h"] + w["b_h"])
        gates = np.exp(np.concatenate([fresh, three]) @ w["W_z"] + w["b_z"]).reshape(4, -1)
        return (gates * np.stack([fresh, left, right, own])).sum(axis=0) / gates.sum(axis=0)

    return np.array(
        [embedding(start, end - start - 1) for start, end in zip(trees.offsets, trees.offsets[1:], strict=False)]
    )


def classifier(model, x):
    for name in ("dense_0", "dense_1"):
        weight, bias = dense(model, name)
        x = relu(x @ weight + bias)
    weight, bias = dense(model, "logits")
    return x @ weight + bias


def some(toy):
    """Jets of one constituent and of two, and whole ones."""
    from dataclasses import replace

    import awkward as ak

    jets = toy.take(np.arange(0, 600, 40))
    kept = ak.Array([1, 2, *ak.num(jets.constituents)[2:]])
    return replace(jets, constituents=jets.constituents[ak.local_index(jets.constituents) < kept])


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_the_batched_network_is_the_recursion(toy, order, gated):
    jets = some(toy)
    network = Recursive(order=order, gated=gated, constituents=CONSTITUENTS, width=6)
    seen = network.seen(jets)
    assert seen["steps"].shape == (len(jets), CONSTITUENTS - 1, 25)
    model = built(network, seen)
    expected = classifier(model, recursion(network, jets, weights_of(model)))
    np.testing.assert_allclose(model.predict(seen, verbose=0), expected, rtol=1e-5, atol=1e-5)
    assert expected.std(axis=0).min() > 1e-3


def test_logarithms_and_images(toy):
    jets = some(toy)
    network = Recursive(constituents=CONSTITUENTS, width=6, scale="logarithmic")
    seen = network.seen(jets)
    model = built(network, seen)
    expected = classifier(model, recursion(network, jets, weights_of(model)))
    np.testing.assert_allclose(model.predict(seen, verbose=0), expected, rtol=1e-5, atol=1e-5)
    image = Recursive(constituents=CONSTITUENTS, image=True).seen(jets)
    assert np.isfinite(image["steps"]).all()
    assert (image["steps"] != Recursive(constituents=CONSTITUENTS).seen(jets)["steps"]).any()


@pytest.mark.parametrize("gated", [False, True])
def test_gradients_of_the_compiled_step(toy, gated):
    """One step of plain gradient descent against finite differences of the recursion."""
    import keras

    jets = some(toy)
    network = Recursive(order="kt", gated=gated, constituents=CONSTITUENTS, width=5, scale="logarithmic")
    seen, labels = network.seen(jets), np.arange(len(jets)) % 2
    model = built(network, seen)
    before = weights_of(model)
    fixed = [dense(model, name) for name in ("dense_0", "dense_1", "logits")]

    def loss(weights):
        x = recursion(network, jets, weights)
        for number, (weight, bias) in enumerate(fixed):
            x = x @ weight + bias
            x = relu(x) if number < 2 else x
        return np.mean(np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(x)), labels])

    model.compile(
        keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True
    )
    model.fit(seen, labels, batch_size=len(jets), epochs=1, verbose=0)
    after = weights_of(model)
    generator = np.random.default_rng(6)
    for name, weight in before.items():
        place = tuple(generator.integers(0, size) for size in weight.shape)
        slopes = []
        for width in (1e-4, -1e-4):
            moved = {key: one.copy() for key, one in before.items()}
            moved[name][place] += width
            slopes.append(loss(moved) / (2 * width))
        np.testing.assert_allclose(weight[place] - after[name][place], sum(slopes), rtol=1e-3, atol=1e-5)
    assert any((before[name] != after[name]).any() for name in before)


@pytest.mark.parametrize("adjacency", ["learned", "symmetric", "identity"])
def test_message_passing_is_its_equations(toy, adjacency):
    jets = some(toy)
    network = MessagePassing(adjacency=adjacency, constituents=CONSTITUENTS, width=6)
    seen = network.seen(jets)
    model = built(network, seen)
    outputs = []
    for nodes, mask in zip(seen["nodes"].astype(np.float64), seen["mask"], strict=True):
        n = int(mask.sum())
        weight, bias = dense(model, "embedding")
        h = np.tanh(nodes[:n] @ weight + bias)
        for number in range(network.rounds):
            edges = None if adjacency == "identity" else dense(model, f"edges_{number}")[0]
            weight, bias = dense(model, f"message_{number}")
            message = relu(h @ weight + bias)
            if edges is not None:
                a = np.array([[np.exp(h[i] @ edges @ h[j]) for j in range(n)] for i in range(n)])
                a /= a.sum(axis=1, keepdims=True)
                message = ((a + a.T) / 2 if adjacency == "symmetric" else a) @ message
            keep, reset = (
                sigmoid(np.hstack([message, h]) @ weight + bias)
                for weight, bias in (dense(model, f"{gate}_{number}") for gate in ("keep", "reset"))
            )
            weight, bias = dense(model, f"fresh_{number}")
            h = keep * h + (1 - keep) * np.tanh(np.hstack([message, reset * h]) @ weight + bias)
        (w0, b0), (w1, b1) = dense(model, "readout_0"), dense(model, "readout_1")
        outputs.append((np.tanh(h @ w0 + b0) @ w1 + b1).sum(axis=0) / CONSTITUENTS)
    expected = classifier(model, np.array(outputs))
    np.testing.assert_allclose(model.predict(seen, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_constituents_of_message_passing(toy):
    jets = some(toy)
    seen = MessagePassing(constituents=CONSTITUENTS).seen(jets)
    momentum, offsets = aligned_constituents(jets, CONSTITUENTS)
    for jet, mask in enumerate(seen["mask"]):
        own = momentum[offsets[jet] : offsets[jet + 1]]
        assert mask.sum() == len(own)
        expected = scaled_features(own, np.full(len(own), own[:, 3].sum()), "linear")
        np.testing.assert_allclose(seen["nodes"][jet, : len(own)], expected, rtol=1e-5)
        assert (seen["nodes"][jet, len(own) :] == 0).all()


def shuffled_events(toy):
    from dataclasses import replace

    generator = np.random.default_rng(8)
    jets = toy.take(generator.permutation(len(toy))[:60])
    return replace(jets, events=generator.integers(0, 20, len(jets)), labels=np.minimum(jets.labels, 1))


def test_events_hold_their_leading_jets(toy):
    jets = shuffled_events(toy)
    events = events_of(jets, 3)
    pt = jets.kinematics()["pt_gev"]
    expected = {}
    for jet, key in enumerate(zip(jets.events, jets.labels, strict=True)):
        expected.setdefault(key, []).append(jet)
    assert sorted(zip(events.numbers, events.labels, strict=True)) == sorted(expected)
    for row, key in enumerate(zip(events.numbers, events.labels, strict=True)):
        order = sorted(expected[key], key=lambda jet: -pt[jet])
        assert events.pt_gev[row] == pt[order[0]]
        order = order[:3]
        assert events.jets[row].tolist() == order + [-1] * (3 - len(order))


def test_an_event_is_read_from_its_softest_to_its_hardest(toy):
    jets = shuffled_events(toy)
    events = events_of(jets, 2)
    network = EventGru(reads="constituents", jets=2, constituents=30)
    seen = network.seen(jets)
    for row, chosen in enumerate(events.jets):
        parts = [part for jet in chosen if jet >= 0 for part in jets.constituents[int(jet)].to_list()]
        hard = sorted((np.hypot(part["px"], part["py"]) for part in parts), reverse=True)[:30][::-1]
        there = seen["mask"][row] > 0
        np.testing.assert_allclose(seen["sequence"][row, there, 2], np.log(hard), rtol=1e-5)
        assert there[-len(hard) :].all()
        assert not there[: 30 - len(hard)].any()
    four = EventGru(reads="four_momenta", jets=2).seen(jets)
    pt = jets.kinematics()["pt_gev"]
    np.testing.assert_allclose(four["sequence"][:, -1, 2], np.log(pt[events.jets[:, 0]] / 300), rtol=1e-5, atol=1e-6)
    assert (four["mask"][:, 0] == (events.jets[:, 1] >= 0)).all()
    np.testing.assert_allclose(
        four["sequence"][:, -1, 0], 0.0, atol=1e-6, err_msg="the leading jet is where azimuths are 0"
    )
    assert (np.abs(seen["sequence"][..., 0]) <= np.pi + 1e-6).all()


def test_jets_that_are_not_there_do_not_count(toy):
    """The event network against a plain gated recurrent unit over the embeddings."""
    import keras

    jets = shuffled_events(toy)
    network = EventGru(jets=3, width=4, embedding=Recursive(constituents=CONSTITUENTS, width=6))
    seen = network.seen(jets)
    model = built(network, seen)
    outputs = model.predict(seen, verbose=0)
    absent = seen["mask"] == 0
    assert absent.any()
    changed = {name: array.copy() for name, array in seen.items()}
    changed["steps"][absent] = seen["steps"][0, -1]
    changed["sequence"][absent] = 7.0
    np.testing.assert_allclose(model.predict(changed, verbose=0), outputs, rtol=1e-5, atol=1e-6)

    embedded = recursion(network.embedding, jets, weights_of(model))
    kernel, recurrent, bias = dense(model, "gru")
    events = events_of(jets, 3)
    final = []
    for row, chosen in enumerate(events.jets):
        h = np.zeros(4)
        for slot in range(2, -1, -1):
            if chosen[slot] < 0:
                continue
            x = np.concatenate([seen["sequence"][row, 2 - slot], embedded[chosen[slot]]]) @ kernel + bias[0]
            own = h @ recurrent + bias[1]
            z, r = sigmoid(x[:4] + own[:4]), sigmoid(x[4:8] + own[4:8])
            h = z * h + (1 - z) * np.tanh(x[8:] + r * own[8:])
        final.append(h)
    np.testing.assert_allclose(outputs, classifier(model, np.array(final)), rtol=1e-4, atol=1e-5)
    assert keras.backend.backend() in ("tensorflow", "jax")


def test_the_same_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed; 'make bench' installs it")
    if os.environ.get("KERAS_BACKEND") == "jax":
        pytest.skip("this is JAX")
    chosen = "(gradients and True) or learned or not_there"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__)), "-k", chosen],
        env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True, check=False,
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert "passed" in result.stdout
