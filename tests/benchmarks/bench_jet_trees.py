"""Training of recursive networks on jet trees in jets a second, against a plain implementation in the published style.

The plain one is written for this benchmark from the paper's description: the trees of a batch are walked by Python to say which
nodes lie on which level, then all nodes of one level are computed together from those of the level below, whose places in it
are gathered; levels have other widths in every batch, so nothing is compiled. Both have the same weights.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from trigger.inputs.trees import Indices, MergingTrees

JETS, BATCH, CONSTITUENTS = 2048, 256, 40


def jets_like(jets: int, constituents: int):
    """Momenta and offsets of jets with as many constituents as particle flow has in large jets of some hundred GeV."""
    generator = np.random.default_rng(1)
    counts = np.clip(generator.normal(constituents, constituents / 3, jets), 5, constituents).astype(int)
    total = counts.sum()
    pt, eta, phi = generator.exponential(5.0, total) + 0.3, *generator.normal(0, 0.3, (2, total))
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    return momentum, np.concatenate([[0], np.cumsum(counts)])


def levels_of(trees: MergingTrees, rows: Indices):
    """For each depth the nodes of all jets on it, and for the inner ones where their children are on the next."""
    nodes, children = [[trees.offsets[row + 1] - 1 for row in rows]], []
    owner = list(rows)
    while True:
        below, owners, pairs = [], [], []
        for node, jet in zip(nodes[-1], owner, strict=True):
            if trees.first[node] < 0:
                pairs.append((-1, -1))
                continue
            pairs.append((len(below), len(below) + 1))
            pair = [trees.offsets[jet] + child[node] for child in (trees.first, trees.second)]
            below += sorted(pair, key=lambda k: -np.hypot(*trees.nodes[k, :2]))
            owners += [jet, jet]
        children.append(np.array(pairs))
        if not below:
            return nodes, children
        nodes.append(below)
        owner = owners


def plain(network, trees, features):
    """The recursion level by level, as a model that is fed with numbers of jets and runs eagerly."""
    import keras
    from keras import layers, ops

    q, gated = network.width, network.gated

    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.u, self.h = layers.Dense(q, "relu"), layers.Dense(q, "relu")
            if gated:
                self.r, self.z = layers.Dense(3 * q, "sigmoid"), layers.Dense(4 * q)
            self.classifier = [layers.Dense(q, "relu"), layers.Dense(q, "relu"), layers.Dense(2)]
            widths = {"u": 7, "h": 3 * q} | ({"r": 3 * q, "z": 4 * q} if gated else {})
            for name, size in widths.items():
                getattr(self, name).build((None, size))
            for layer in self.classifier:
                layer.build((None, q))
            self.built = True

        def call(self, rows):
            nodes, children = levels_of(trees, np.asarray(rows).reshape(-1).astype(int))
            below = None
            for level, pairs in zip(reversed(nodes), reversed(children), strict=True):
                own = self.u(features[np.array(level)])
                inner = np.flatnonzero(pairs[:, 0] >= 0)
                if len(inner):
                    three = [ops.take(below, pairs[inner, 0], axis=0), ops.take(below, pairs[inner, 1], axis=0),
                             ops.take(own, inner, axis=0)]  # fmt: skip
                    made = self.merge(three)
                    place = np.arange(len(level))
                    place[inner] = len(level) + np.arange(len(inner))
                    own = ops.take(ops.concatenate([own, made]), place, axis=0)
                below = own
            for layer in self.classifier:
                below = layer(below)
            return below

        def merge(self, three):
            joined = ops.concatenate(three, axis=-1)
            if not gated:
                return self.h(joined)
            fresh = self.h(self.r(joined) * joined)
            gates = ops.reshape(self.z(ops.concatenate([fresh, joined], axis=-1)), (-1, 4, q))
            return ops.sum(ops.softmax(gates, axis=1) * ops.stack([fresh, *three], axis=1), axis=1)

    return Plain()


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("order", ["kt", "descending_pt"])
def test_training_against_a_plain_implementation(order, gated, tmp_path):
    import keras

    from models.offline.fitting import Fitting, Rows, cross_entropy, fit
    from models.offline.recursive import Recursive, packed, scaled_features, trees_of
    from trigger.inputs.tree_programs import tree_programs

    if keras.backend.backend() != "tensorflow":
        pytest.skip("the plain implementation runs eagerly, which Keras does with TensorFlow alone")
    network = Recursive(order=order, gated=gated, constituents=CONSTITUENTS)
    momentum, offsets = jets_like(JETS, CONSTITUENTS)
    trees = trees_of(order, momentum, offsets, 1)
    energy = np.repeat(trees.nodes[trees.offsets[1:] - 1, 3], np.diff(trees.offsets))
    features = scaled_features(trees.nodes, energy, "linear")
    start = time.perf_counter()
    steps = packed(trees, tree_programs(trees, CONSTITUENTS - 1), "linear")
    preparation = JETS / (time.perf_counter() - start)
    labels = np.random.default_rng(2).integers(0, 2, JETS).astype(np.int32)
    rows = Rows({"steps": steps}, labels, np.ones(JETS))
    few = Rows({"steps": steps[:BATCH]}, labels[:BATCH], np.ones(BATCH))

    published = plain(network, trees, features)
    published.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                      run_eagerly=True)  # fmt: skip
    speeds = {"plain": [], "ours": []}
    for turn in range(2):  # in turns, so that what else the machine does hits both alike
        start = time.perf_counter()
        published.fit(np.arange(JETS), labels, batch_size=BATCH, epochs=1, verbose=0)
        speeds["plain"].append(JETS / (time.perf_counter() - start))
        ours = fit(lambda: network.build({"steps": steps.shape[1:]}, 2), rows, few,
                   Fitting(epochs=6, batch_size=BATCH, patience=9), cross_entropy, 1, tmp_path / f"{turn}")  # fmt: skip
        speeds["ours"].append(ours.rows_per_s)
    plain_speed, our_speed = (float(np.max(one)) for one in speeds.values())
    print(f"\n{order}, {'gated' if gated else 'simple'}, {CONSTITUENTS} constituents, batch {BATCH}: plain "
          f"{plain_speed:,.0f} jets/s, ours {our_speed:,.0f} jets/s, ratio {our_speed / plain_speed:.1f}; steps laid out before "
          f"the training: {preparation:,.0f} jets/s")  # fmt: skip
    weights = [sum(int(np.prod(one.shape)) for one in model.trainable_variables) for model in (published, ours.model)]
    assert weights[0] == weights[1], "both have the same weights"
    assert our_speed > plain_speed
