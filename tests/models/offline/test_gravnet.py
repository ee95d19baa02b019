"""GravNet and GarNet against loops, their symmetries, their loss, and that they learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.offline.gravnet import GarNet, GravNet, fraction_loss, garnet_layer, gravnet_layer, rows_of
from trigger.data.showers import ShowerData, make_showers
from trigger.errors import InputError

HITS, FEATURES = 12, 5
NETWORKS = {
    "gravnet": GravNet(
        kind="gravnet", blocks=2, dense=(8,), coordinates=3, neighbours=4, propagated=6, filters=7, hidden=(9,)
    ),
    "garnet": GarNet(kind="garnet", layers=2, dense=8, aggregators=3, propagated=4, filters=6, hidden=(9,)),
}


def inputs(hits=HITS, events=6, seed=1):
    generator = np.random.default_rng(seed)
    mask = np.arange(hits) < generator.integers(6, 9, (events, 1))
    values = generator.normal(size=(events, hits, FEATURES)).astype(np.float32)
    return {"hits": values * mask[..., None], "mask": mask}


def built(name, hits=HITS, seed=2):
    keras.utils.set_random_seed(seed)
    model = NETWORKS[name].build({"hits": (hits, FEATURES), "mask": (hits,)})
    generator = np.random.default_rng(seed)
    for weight in model.weights:  # biases and running means too
        if weight.dtype == "float32":
            value = generator.normal(0, 0.5, weight.shape)
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.path else value)
    return model


def layer_model(function, *sizes):
    keras.utils.set_random_seed(3)
    hits, mask = keras.Input((HITS, FEATURES), name="hits"), keras.Input((HITS,), dtype="bool", name="mask")
    model = keras.Model({"hits": hits, "mask": mask}, function(hits, mask, *sizes, "layer"))
    generator = np.random.default_rng(4)
    model.set_weights([generator.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    parts = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
    return model, lambda part, x: x @ parts[f"layer_{part}"][0] + parts[f"layer_{part}"][1]


def test_gravnet_is_its_loop():
    neighbours, propagated = 4, 6
    model, dense = layer_model(gravnet_layer, 3, neighbours, propagated, 7)
    given = inputs()
    found = model.predict(given, verbose=0)
    for x, mask, result in zip(given["hits"].astype(float), given["mask"], found, strict=True):
        place, features = dense("coordinates", x), dense("features", x)
        for hit in np.flatnonzero(mask):
            others = [other for other in np.flatnonzero(mask) if other != hit]
            distance = {other: float(((place[hit] - place[other]) ** 2).sum()) for other in others}
            nearest = sorted(others, key=distance.__getitem__)[:neighbours]
            told = [features[other] * np.exp(-10 * distance[other]) for other in nearest]
            told += [np.zeros(propagated)] * (neighbours - len(nearest))
            whole = np.concatenate([x[hit], np.max(told, axis=0), np.mean(told, axis=0)])
            np.testing.assert_allclose(result[hit], np.tanh(dense("output", whole)), atol=2e-5)


def test_garnet_is_its_loop():
    aggregators, propagated = 3, 4
    model, dense = layer_model(garnet_layer, aggregators, propagated, 6)
    given = inputs()
    found = model.predict(given, verbose=0)
    for x, mask, result in zip(given["hits"].astype(float), given["mask"], found, strict=True):
        real = np.flatnonzero(mask)
        weight = np.exp(-(dense("distances", x) ** 2))
        features = np.concatenate([dense("features", x), weight], axis=1)
        gathered = []
        for aggregator in range(aggregators):
            told = np.array([weight[hit, aggregator] * features[hit] for hit in real])
            gathered.append(np.concatenate([told.max(axis=0), told.mean(axis=0)]))
        for hit in real:
            back = [weight[hit, aggregator] * gathered[aggregator] for aggregator in range(aggregators)]
            whole = np.concatenate([x[hit], *back, weight[hit]])
            np.testing.assert_allclose(result[hit], np.tanh(dense("output", whole)), atol=2e-5)


def test_rows_are_those_of_the_event():
    generator = np.random.default_rng(5)
    table, where = generator.normal(size=(3, 5, 2)).astype(np.float32), generator.integers(0, 5, (3, 4, 2))
    first, second = keras.Input((5, 2)), keras.Input((4, 2), dtype="int32")
    found = keras.Model([first, second], rows_of(first, second)).predict([table, where], verbose=0)
    np.testing.assert_array_equal(found, np.stack([table[event][where[event]] for event in range(3)]))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_hits_does_not_matter(name):
    model, given = built(name), inputs()
    order = np.random.default_rng(6).permutation(HITS)
    moved = model.predict({key: value[:, order] for key, value in given.items()}, verbose=0)
    first = model.predict(given, verbose=0)
    np.testing.assert_allclose(
        np.where(given["mask"][..., None], first, 0)[:, order],
        np.where(given["mask"][:, order, None], moved, 0),
        atol=1e-4,
    )
    assert np.ptp(first, axis=(0, 1)).min() > 0.1
    assert (first[~given["mask"]] == 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_changes_nothing(name):
    short, given = built(name), inputs()
    long = built(name, hits=HITS + 5)
    padded = {key: np.pad(value, ((0, 0), (0, 5), (0, 0))[: value.ndim]) for key, value in given.items()}
    padded["hits"][:, HITS:] = 7.0  # whatever stands there
    found = long.predict(padded, verbose=0)[:, :HITS]
    mask = given["mask"]
    np.testing.assert_allclose(found[mask], short.predict(given, verbose=0)[mask], atol=1e-5)


def test_the_loss_is_its_formula_in_the_better_order():
    generator = np.random.default_rng(7)
    truth = generator.dirichlet((1, 1), (4, HITS))
    energy = generator.exponential(1, (4, HITS, 1)) * (generator.random((4, HITS, 1)) < 0.8)
    logits = generator.normal(0, 2, (4, HITS, 2))
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    found = np.asarray(
        fraction_loss(keras.ops.convert_to_tensor(np.concatenate([truth, energy], axis=2)), keras.ops.array(logits))
    )
    for event in range(4):
        both = []
        for order in ((0, 1), (1, 0)):
            total = 0.0
            for shower in range(2):
                above = below = 0.0
                for hit in range(HITS):
                    weight = np.sqrt(energy[event, hit, 0] * truth[event, hit, shower])
                    above += weight * (shares[event, hit, order[shower]] - truth[event, hit, shower]) ** 2
                    below += weight
                total += above / below
            both.append(total)
        assert found[event] == pytest.approx(min(both), rel=1e-5)
    right = np.log(np.maximum(truth, 1e-9))[..., ::-1]
    perfect = fraction_loss(keras.ops.array(np.concatenate([truth, energy], axis=2)), keras.ops.array(right))
    assert np.abs(np.asarray(perfect)).max() < 1e-6


def test_it_learns():
    events = make_showers(ShowerData(kind="parametrised_showers", events=256, separation_cm=(8, 15), hits=48), 1)
    given = events.inputs()
    keras.utils.set_random_seed(1)
    model = NETWORKS["gravnet"].build({key: value.shape[1:] for key, value in given.items()})
    model.compile(keras.optimizers.Adam(0.01), fraction_loss, jit_compile=True)
    losses = model.fit(given, events.answers(), batch_size=64, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.75 * losses[0]


def test_too_many_neighbours_are_refused():
    with pytest.raises(InputError, match="listens to 4 neighbours of a hit, and there are 4 hits"):
        NETWORKS["gravnet"].build({"hits": (4, 5), "mask": (4,)})
