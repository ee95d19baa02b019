"""Edge convolutions and masked normalisation against loops."""

from __future__ import annotations

import numpy as np
import pytest

from models.offline import layers
from models.offline.particle_net import ParticleNet, edge_convolution, nearest_neighbours

EPSILON = 1e-3


def brute_neighbours(points, filled, k):
    """Sets of the nearest filled slots of each filled slot."""
    found = []
    for i, here in enumerate(points):
        others = [j for j in range(len(points)) if j != i and filled[j] and filled[i]]
        others.sort(key=lambda j: sum((here - points[j]) ** 2))
        found.append(set(others[:k]))
    return found


def randomised(layer, seed=4):
    generator = np.random.default_rng(seed)
    layer.set_weights([
        generator.uniform(0.5, 1.5, weight.shape) if "variance" in weight.path or "gamma" in weight.path
        else generator.normal(0, 0.5, weight.shape)
        for weight in layer.weights
    ])  # fmt: skip


@pytest.mark.parametrize("coordinates", [2, 9])
def test_nearest_neighbours(coordinates):
    generator = np.random.default_rng(1)
    points = generator.normal(size=(4, 7, coordinates)).astype(np.float32)
    filled = (np.arange(7) < np.array([7, 5, 2, 1])[:, None]).astype(np.float32)
    index, near = (np.asarray(array) for array in nearest_neighbours()(3, dtype="float32")(points, filled))
    for jet in range(4):
        found = [set(index[jet, i][near[jet, i]].tolist()) for i in range(7)]
        assert found == brute_neighbours(points[jet], filled[jet], 3)
    assert near[2].sum() == 2
    assert not near[3].any()


def test_fewer_slots_than_neighbours():
    index, near = nearest_neighbours()(16, dtype="float32")(np.eye(3, dtype=np.float32)[None], np.ones((1, 3)))
    assert tuple(index.shape) == (1, 3, 2)
    assert np.asarray(near).all()


def normalised(values, moments, gamma, beta):
    return gamma * (values - moments[0]) / np.sqrt(moments[1] + EPSILON) + beta


@pytest.mark.parametrize("training", [False, True])
def test_edge_convolution_is_that_of_a_loop(training):
    """Five particles and an empty slot, edge by edge, with the published `W (x_i, x_j - x_i)`."""
    generator = np.random.default_rng(2)
    x = generator.normal(size=(2, 6, 3)).astype(np.float32)
    filled = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]], dtype=np.float32)
    index, near = nearest_neighbours()(3, dtype="float32")(x, filled)
    layer = edge_convolution()((4, 5))
    layer(x, filled, index, near)
    randomised(layer)
    kernel, second, short = layer.get_weights()[0], *(dense.get_weights()[0] for dense in layer.dense)
    norms = [norm.get_weights() for norm in layer.normalise]

    pairs = [
        (b, i, j) for b in range(2) for i in range(6) for j in sorted(brute_neighbours(x[b], filled[b], 3)[i])
    ]  # fmt: skip
    edges = np.array([np.concatenate([x[b, i], x[b, j] - x[b, i]]) @ kernel for b, i, j in pairs])
    for number, following in enumerate((second, None)):
        gamma, beta, mean, variance = norms[number]
        moments = (edges.mean(axis=0), edges.var(axis=0)) if training else (mean, variance)
        edges = np.maximum(normalised(edges, moments, gamma, beta), 0)
        edges = edges if following is None else edges @ following
    nodes = [(b, i) for b in range(2) for i in range(6) if filled[b, i]]
    straight = np.array([x[b, i] @ short for b, i in nodes])
    gamma, beta, mean, variance = norms[2]
    moments = (straight.mean(axis=0), straight.var(axis=0)) if training else (mean, variance)
    straight = normalised(straight, moments, gamma, beta)
    wanted = np.zeros((2, 6, 5))
    for row, (b, i) in enumerate(nodes):
        mine = [edges[n] for n, pair in enumerate(pairs) if pair[:2] == (b, i)]
        wanted[b, i] = np.maximum(np.mean(mine, axis=0) + straight[row], 0)
    np.testing.assert_allclose(np.asarray(layer(x, filled, index, near, training=training)), wanted, atol=1e-5)


def test_masked_batch_normalisation_learns_the_moments_of_what_is_there():
    generator = np.random.default_rng(5)
    layer = layers.masked_batch_normalization()(momentum=0.5)
    x = generator.normal(100.0, 0.1, size=(50, 8, 3)).astype(np.float32)
    filled = (generator.random((50, 8)) < 0.6).astype(np.float32)
    x[filled == 0] = 1e6
    there = x[filled == 1].astype(np.float64)
    for _ in range(40):
        out = np.asarray(layer(x, filled, training=True))
    np.testing.assert_allclose(np.asarray(layer.moving_mean), there.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(layer.moving_variance), there.var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(
        out[filled == 1].std(axis=0), np.sqrt(there.var(0) / (there.var(0) + EPSILON)), rtol=1e-3
    )
    np.testing.assert_allclose(out[filled == 1].mean(axis=0), 0, atol=1e-3)


def test_it_is_keras_batch_normalisation_where_all_is_there():
    import keras

    x = np.random.default_rng(6).normal(2, 3, size=(9, 5, 4)).astype(np.float32)
    ours, theirs = layers.masked_batch_normalization()(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    for _ in range(3):
        found, wanted = ours(x, np.ones((9, 5)), training=True), theirs(x, training=True)
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=1e-5)
    np.testing.assert_allclose(np.asarray(ours(x, np.ones((9, 5)))), np.asarray(theirs(x)), atol=1e-5)


def test_a_step_of_training_does_not_see_empty_slots(toy):
    """Weights and statistics after a step are the same with more empty slots."""
    import keras

    jets = toy.take(np.arange(0, 600, 25))
    after = []
    for particles in (60, 66):
        network = ParticleNet(
            kind="particle_net", particles=particles, neighbours=4, blocks=((5, 5), (6,)), hidden=(4,), dropout=0.0
        )
        seen = network.seen(jets)
        keras.utils.set_random_seed(8)
        model = network.build({name: array.shape[1:] for name, array in seen.items()}, 2)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=True)
        model.fit(seen, jets.labels % 2, batch_size=len(jets), epochs=1, shuffle=False, verbose=0)
        after.append(model.get_weights())
    for few, many in zip(*after, strict=True):
        np.testing.assert_allclose(many, few, atol=2e-5, rtol=2e-5)


def test_identity_is_more_features(toy):
    from dataclasses import replace

    import awkward as ak

    known = replace(toy, constituents=ak.with_field(toy.constituents, 0 * toy.constituents["pdg_id"] + 211, "pdg_id"))
    plain = ParticleNet(kind="particle_net", particles=5).seen(known)
    more = ParticleNet(kind="particle_net", particles=5, identity=True).seen(known)
    assert more["features"].shape[2] == plain["features"].shape[2] + 6
    np.testing.assert_array_equal(more["features"][:, :, :7], plain["features"])
