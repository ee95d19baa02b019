"""Training of ParticleNet in jets a second, against a plain implementation as the paper describes it, in one run.

The plain one is written for this benchmark: for every edge its two particles are gathered and joined, three convolutions of one
by one with batch normalisation follow on all edges, and the arrays are handed to Keras step by step. Ours has the same
weights, multiplies once a particle in the first of them, and keeps the sample on the device.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

BATCH = 256


def plain(network, particles, features):
    """The paper's figures 1 and 2, layer by layer."""
    import keras
    from keras import layers, ops

    class Neighbours(keras.layers.Layer):
        def __init__(self, count):
            super().__init__()
            self.count = count

        def call(self, points, x):
            norm = ops.sum(ops.square(points), axis=-1, keepdims=True)
            distance = norm - 2 * ops.matmul(points, ops.transpose(points, (0, 2, 1))) + ops.transpose(norm, (0, 2, 1))
            _, index = ops.top_k(-distance, self.count + 1)
            index = index[:, :, 1:]
            jets, slots, channels = ops.shape(x)
            flat = ops.reshape(index, (jets, -1, 1))
            near = ops.reshape(ops.take_along_axis(x, flat, axis=1), (jets, slots, self.count, channels))
            centre = ops.repeat(x[:, :, None], self.count, axis=2)
            return ops.concatenate([centre, near - centre], axis=-1)

    points, shown = keras.Input((particles, 2), name="points"), keras.Input((particles, features), name="features")
    mask = keras.Input((particles,), name="mask")
    # Empty slots are put far away.
    place = points + 999.0 * (1 - mask[..., None])
    x = layers.BatchNormalization()(shown)
    for channels in network.blocks:
        edges = Neighbours(min(network.neighbours, particles - 1))(place, x)
        for width in channels:
            edges = layers.Conv2D(width, 1, use_bias=False)(edges)
            edges = layers.Activation("relu")(layers.BatchNormalization()(edges))
        short = layers.BatchNormalization()(layers.Conv1D(channels[-1], 1, use_bias=False)(x))
        x = layers.Activation("relu")(ops.mean(edges, axis=2) + short)
        place = x + 999.0 * (1 - mask[..., None])
    x = ops.mean(x * mask[..., None], axis=1)
    for width in network.hidden:
        x = layers.Dropout(network.dropout)(layers.Dense(width, activation="relu")(x))
    return keras.Model({"points": points, "features": shown, "mask": mask}, layers.Dense(2)(x))


@pytest.mark.parametrize(
    ("kind", "particles", "jets"),
    [("particle_net_lite", 32, 2048), ("particle_net_lite", 100, 1024), ("particle_net", 32, 512)],
)
def test_training_against_a_plain_implementation(kind, particles, jets, tmp_path):
    import keras

    from models.offline.fitting import Fitting, Rows, cross_entropy, fit
    from models.offline.particle_net import ParticleNet, ParticleNetLite

    network = {"particle_net": ParticleNet, "particle_net_lite": ParticleNetLite}[kind](kind=kind, particles=particles)
    generator = np.random.default_rng(1)
    counts = generator.integers(particles // 3, particles + 1, jets)
    mask = (np.arange(particles) < counts[:, None]).astype(np.float32)
    features = generator.normal(size=(jets, particles, 7)).astype(np.float32) * mask[..., None]
    inputs = {"points": features[..., :2].copy(), "features": features, "mask": mask}
    labels = generator.integers(0, 2, jets).astype(np.int32)
    rows = Rows(inputs, labels, np.ones(jets))
    few = Rows({name: array[:BATCH] for name, array in inputs.items()}, labels[:BATCH], np.ones(BATCH))

    published = plain(network, particles, 7)
    published.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ours = None
    speeds = {"plain": [], "ours": []}
    for epoch in range(2):  # in turns, so that what else the machine does hits both alike
        start = time.perf_counter()
        published.fit(inputs, labels, batch_size=BATCH, epochs=1, verbose=0)
        if epoch:
            speeds["plain"].append(jets / (time.perf_counter() - start))
        ours = fit(
            lambda: network.build({name: array.shape[1:] for name, array in inputs.items()}, 2), rows, few,
            Fitting(epochs=3, batch_size=BATCH, patience=9), cross_entropy, 1, tmp_path / f"{epoch}",
        )  # fmt: skip
        speeds["ours"].append(ours.rows_per_s)
    plain_speed, our_speed = (float(np.median(one)) for one in speeds.values())
    print(f"\n{kind}, {particles} particles, batch {BATCH}, {keras.backend.backend()}: plain {plain_speed:,.0f} jets/s, "
          f"ours {our_speed:,.0f} jets/s, ratio {our_speed / plain_speed:.2f}")  # fmt: skip
    weights = [sum(int(np.prod(one.shape)) for one in model.trainable_variables) for model in (published, ours.model)]
    assert weights[0] == weights[1], "both have the same weights"
    assert our_speed > 0.8 * plain_speed, "slower than the plain one by more than the noise of a machine"
