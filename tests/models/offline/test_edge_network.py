"""The tracking graph network against loops, its symmetries, its loss, and that it learns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.offline.edge_network import EdgeNetwork, edge_loss
from trigger.data.tracks import TrackData, make_tracks

NETWORK = EdgeNetwork(kind="edge_network", hidden=5, iterations=2)
NODES, EDGES = 9, 14


def inputs(nodes=NODES, edges=EDGES, graphs=4):
    generator = np.random.default_rng(1)
    mask = np.arange(EDGES) < generator.integers(8, 12, (graphs, 1))
    given = {
        "nodes": generator.normal(size=(graphs, NODES, 3)).astype(np.float32),
        "edges": generator.normal(size=(graphs, EDGES, 2)).astype(np.float32),
        "senders": generator.integers(0, NODES, (graphs, EDGES)).astype(np.int32) * mask,
        "receivers": generator.integers(0, NODES, (graphs, EDGES)).astype(np.int32) * mask,
        "edge_mask": mask,
    }
    for name, value in given.items():
        extra = nodes - NODES if name == "nodes" else edges - EDGES
        given[name] = np.pad(value, ((0, 0), (0, extra), (0, 0))[: value.ndim])
    given["edges"][:, EDGES:] = 5  # whatever stands there
    return given


def built(given, network=NETWORK):
    model = network.build({name: value.shape[1:] for name, value in given.items()})
    generator = np.random.default_rng(2)
    model.set_weights([generator.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("geometry", [True, False])
def test_the_network_is_its_loop(geometry):
    given = inputs()
    model = built(given, NETWORK.model_copy(update={"geometry": geometry}))
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}

    def dense(name, x):
        return x @ weights[name][0] + weights[name][1]

    def logit(x, inner, outer, shape):
        return dense("edge_logit", np.tanh(dense("edge_hidden", np.concatenate([x[inner], x[outer], shape]))))[0]

    found = model.predict(given, verbose=0)
    for graph in range(4):
        start = given["nodes"][graph].astype(float)
        x = np.concatenate([np.tanh(dense("input_hidden", start)), start], axis=1)
        mask = given["edge_mask"][graph]
        shapes = given["edges"][graph][mask].astype(float) if geometry else np.zeros((mask.sum(), 0))
        edges = list(zip(given["senders"][graph][mask], given["receivers"][graph][mask], shapes, strict=True))
        for _ in range(2):
            before, behind = np.zeros((2, NODES, x.shape[1] + shapes.shape[1]))
            for inner, outer, shape in edges:
                weight = 1 / (1 + np.exp(-logit(x, inner, outer, shape)))
                before[outer] += weight * np.concatenate([x[inner], shape])
                behind[inner] += weight * np.concatenate([x[outer], shape])
            told = np.concatenate([before, behind, x], axis=1)
            told = np.tanh(dense("node_hidden2", np.tanh(dense("node_hidden1", told))))
            x = np.concatenate([told, start], axis=1)
        expected = [logit(x, *edge) for edge in edges]
        np.testing.assert_allclose(found[graph][mask], expected, atol=2e-5)


def test_the_order_of_hits_and_edges_does_not_matter():
    given = inputs()
    model = built(given)
    generator = np.random.default_rng(3)
    hits, edges = generator.permutation(NODES), generator.permutation(EDGES)
    new_place = np.argsort(hits).astype(np.int32)
    moved = {
        "nodes": given["nodes"][:, hits],
        "edges": given["edges"][:, edges],
        "senders": new_place[given["senders"]][:, edges],
        "receivers": new_place[given["receivers"]][:, edges],
        "edge_mask": given["edge_mask"][:, edges],
    }
    mask = moved["edge_mask"]
    first, second = model.predict(given, verbose=0)[:, edges], model.predict(moved, verbose=0)
    np.testing.assert_allclose(first[mask], second[mask], atol=1e-5)


def test_padding_changes_nothing():
    given, longer = inputs(), inputs(NODES + 6, EDGES + 9)
    mask = given["edge_mask"]
    found = built(longer).predict(longer, verbose=0)[:, :EDGES]
    np.testing.assert_allclose(found[mask], built(given).predict(given, verbose=0)[mask], atol=1e-5)


def test_the_loss_is_the_mean_cross_entropy_of_real_edges():
    answers = np.array([[1, 0, -1, -1], [0, 1, 1, -1], [-1, -1, -1, -1]], dtype=np.float32)
    logits = np.array([[2.0, -1, 50, -50], [0.5, 30, -3, 9], [1, 1, 1, 1]], dtype=np.float32)
    found = np.asarray(edge_loss(keras.ops.array(answers), keras.ops.array(logits)))
    expected = []
    for truth, logit in zip(answers, logits.astype(float), strict=True):
        terms = [
            np.logaddexp(0, -z) if t == 1 else np.logaddexp(0, z) for t, z in zip(truth, logit, strict=True) if t >= 0
        ]
        expected.append(np.mean(terms) if terms else 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_it_learns():
    graphs = make_tracks(TrackData(kind="toy_tracks", graphs=300, tracks=6), 1)
    given, answers = graphs.inputs(), graphs.answers()
    keras.utils.set_random_seed(1)
    network = EdgeNetwork(kind="edge_network", hidden=16, iterations=2)
    model = network.build({name: value.shape[1:] for name, value in given.items()})
    model.compile(keras.optimizers.Adam(0.01), edge_loss, jit_compile=True)
    losses = model.fit(given, answers, batch_size=50, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    chosen = graphs.edge_mask
    area = roc_auc_score(graphs.truth[chosen], model.predict(given, verbose=0)[chosen])
    assert area > 0.75


@pytest.mark.parametrize("field", ["hidden", "iterations"])
def test_sizes_are_positive(field):
    with pytest.raises(ValueError, match="greater than 0"):
        EdgeNetwork(kind="edge_network", **{field: 0})
