"""Every offline network keeps the whole contract, on both backends."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from models.offline import networks
from models.offline.dense import ImageDnn, MultiBody
from models.offline.detector_cnn import DetectorCnn
from models.offline.edge_network import EdgeNetwork
from models.offline.flow_networks import EnergyFlow, ParticleFlow
from models.offline.gravnet import GarNet, GravNet
from models.offline.image_cnn import COMMUNITY_IMAGES, ImageBlock, ImageCnn, ResponseNormalisation
from models.offline.lola import Lola
from models.offline.networks import CloudNetwork
from models.offline.particle_lstm import ParticleLstm
from models.offline.particle_net import ParticleNet, ParticleNetLite
from models.offline.topo_dnn import TopoDnn
from models.trained import load_network
from trigger.data.showers import ShowerData, make_showers
from trigger.data.tracks import TrackData, make_tracks
from trigger.errors import InputError

SMALL_IMAGES = COMMUNITY_IMAGES.model_copy(update={"rows": 12, "columns": 12, "pixel_width": 0.15})
EXAMPLES = [
    ParticleNet(kind="particle_net", particles=24, neighbours=4, blocks=((6, 6), (8,)), hidden=(8,), dropout=0.0),
    ParticleNetLite(kind="particle_net_lite", particles=24, blocks=((6,),), hidden=(), dropout=0.0),
    EnergyFlow(kind="energy_flow", particles=24, particle=(16, 8), hidden=(8,)),
    ParticleFlow(kind="particle_flow", particles=24, particle=(16, 8), hidden=(8,)),
    Lola(kind="lola", particles=24, combinations=3, scale_gev=300.0, hidden=(16,)),
    TopoDnn(kind="topo_dnn", particles=24, scale_gev=300.0, hidden=(16, 8)),
    ParticleLstm(kind="particle_lstm", particles=24, scale_gev=300.0, units=8, hidden=(8,)),
    ImageCnn(
        kind="image_cnn", images=SMALL_IMAGES, blocks=(ImageBlock(filters=4, kernel=3, padding=1, pool=2),),
        response=ResponseNormalisation(channels=3), hidden=(8,),
    ),
    ImageDnn(kind="image_dnn", images=SMALL_IMAGES, hidden=(16,)),
    MultiBody(kind="multi_body", bodies=3, hidden=(16, 8)),
]  # fmt: skip
KINDS = [example.kind for example in EXAMPLES]
MORE_SLOTS = ["particle_net", "particle_net_lite", "energy_flow", "particle_flow", "particle_lstm"]
UNORDERED = ["particle_net", "particle_net_lite", "energy_flow", "particle_flow"]
OF_HITS = [
    DetectorCnn(kind="detector_cnn", filters=(4, 6)),
    EdgeNetwork(kind="edge_network", hidden=5, iterations=2),
    GravNet(kind="gravnet", blocks=2, dense=(8,), coordinates=3, neighbours=4, propagated=6, filters=7, hidden=(9,)),
    GarNet(kind="garnet", layers=2, dense=8, aggregators=3, propagated=4, filters=6, hidden=(9,)),
]
every_network = pytest.mark.parametrize("network", EXAMPLES, ids=KINDS)


def of_kind(kind):
    return EXAMPLES[KINDS.index(kind)]


@pytest.fixture(scope="module")
def jets(toy):
    """Quark and top jets of different numbers of constituents, some with empty slots."""
    return toy.take(np.flatnonzero(np.isin(toy.labels, (0, 4)))[::4])


@pytest.fixture(scope="module")
def targets(jets):
    return (jets.labels == 4).astype(np.int32)


def shapes(seen):
    return {name: array.shape[1:] for name, array in seen.items()}


def built(network, seen, seed=1, policy="float32"):
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(seed)
        return network.build(shapes(seen), 2)
    finally:
        keras.config.set_dtype_policy(before)


def answers(model, seen):
    if os.environ.get("KERAS_BACKEND") == "jax":  # which compiles a single operation as slowly as a whole network
        return model.predict(seen, batch_size=len(next(iter(seen.values()))), verbose=0)
    return np.asarray(model(seen, training=False))


def taught(model, seen, targets):
    """Losses of three compiled steps on one batch."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=True)
    return model.fit(seen, targets, batch_size=len(targets), epochs=4, shuffle=False, verbose=0).history["loss"]


def test_examples_name_every_member():
    union = typing.get_args(typing.get_args(CloudNetwork)[0])
    assert {type(example) for example in EXAMPLES} == set(union)


@every_network
def test_settings_are_read_back(network):
    adapter = TypeAdapter(CloudNetwork)
    assert adapter.validate_json(adapter.dump_json(network)) == network
    assert adapter.validate_json(f'{{"kind": "{network.kind}"}}') == type(network)(kind=network.kind)


@every_network
def test_seen_is_finite_and_single_precision(network, jets):
    for name, array in network.seen(jets, workers=2).items():
        assert array.dtype == np.float32, name
        assert len(array) == len(jets)
        assert np.isfinite(array).all()
        assert np.ptp(array) > 0, name


@every_network
def test_an_input_that_is_missing_is_refused(network):
    with pytest.raises(InputError, match=network.kind):
        network.build({"other": (3,)}, 2)


@every_network
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_contract(network, policy, jets, targets, tmp_path):
    seen = network.seen(jets)
    model, twin = built(network, seen, policy=policy), built(network, seen, policy=policy)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses = taught(model, seen, targets)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    found = answers(model, seen)
    assert found.shape == (len(jets), 2)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(answers(networks.load(tmp_path / "model.keras"), seen), found)
    if policy != "float32":
        single = built(network, seen)
        single.set_weights(model.get_weights())
        np.testing.assert_allclose(answers(single, seen), found, atol=0.1)


@pytest.fixture(scope="module")
def hits():
    """What networks of hits are given, by their kinds."""
    image = np.random.default_rng(1).exponential(20, (6, 16, 12, 3)).astype(np.float32)
    showers = make_showers(ShowerData(kind="parametrised_showers", events=6, hits=24), 1).inputs()
    graphs = make_tracks(TrackData(kind="toy_tracks", graphs=6, tracks=4), 1).inputs()
    return {"detector_cnn": {"image": image}, "edge_network": graphs, "gravnet": showers, "garnet": showers}


@pytest.mark.parametrize("network", OF_HITS, ids=lambda network: network.kind)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"], ids=["single", "mixed"])
def test_networks_of_hits_answer_in_single_precision_and_are_saved_without_code(network, policy, hits, tmp_path):
    import keras

    given = hits[network.kind]
    keras.config.set_dtype_policy(policy)
    try:
        model = network.build(shapes(given))
    finally:
        keras.config.set_dtype_policy("float32")
    generator = np.random.default_rng(2)
    for weight in model.weights:  # biases and running means too
        if weight.dtype == "float32":
            value = generator.normal(0, 0.5, weight.shape)
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.path else value)
    found = model.predict(given, verbose=0)
    assert found.dtype == np.float32
    assert model.outputs[0].dtype == "float32"
    assert np.isfinite(found).all()
    assert np.ptp(found) > 0.1
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_network(tmp_path / "model.keras").predict(given, verbose=0), found)


@pytest.mark.parametrize("kind", MORE_SLOTS)
def test_more_empty_slots_change_nothing(kind, jets):
    few = of_kind(kind).model_copy(update={"particles": 60})
    many = few.model_copy(update={"particles": 67})
    seen, padded = few.seen(jets), many.seen(jets)
    for name, array in seen.items():
        np.testing.assert_array_equal(padded[name][:, :60], array)
        assert not padded[name][:, 60:].any()
    model, wider = built(few, seen), built(many, padded)
    wider.set_weights(model.get_weights())
    np.testing.assert_allclose(answers(wider, padded), answers(model, seen), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [*MORE_SLOTS, "lola"])
def test_what_is_in_an_empty_slot_is_not_looked_at(kind, jets):
    network = of_kind(kind).model_copy(update={"particles": 60})
    seen = network.seen(jets)
    model = built(network, seen)
    empty = seen["mask"] == 0 if "mask" in seen else seen["share"] == 0
    assert empty.any()
    spoilt = {name: array.copy() for name, array in seen.items()}
    for name in set(seen) - {"mask", "share"}:
        spoilt[name][empty] = np.random.default_rng(2).normal(size=spoilt[name][empty].shape)
    np.testing.assert_allclose(answers(model, spoilt), answers(model, seen), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", UNORDERED)
def test_the_order_of_particles_does_not_matter(kind, jets):
    network = of_kind(kind)
    seen = network.seen(jets)
    model = built(network, seen)
    order = np.random.default_rng(3).permutation(network.particles)
    shuffled = {name: array[:, order] for name, array in seen.items()}
    np.testing.assert_allclose(answers(model, shuffled), answers(model, seen), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        (ParticleNet(kind="particle_net"), 366_160),  # 366 thousand in 1902.08570
        (ParticleNetLite(kind="particle_net_lite"), 26_416),  # 26 thousand there
        (EnergyFlow(kind="energy_flow"), 82_358),  # 82 thousand in 1902.09914
        (ParticleFlow(kind="particle_flow"), 82_458),  # 82 thousand there
        (TopoDnn(kind="topo_dnn"), 59_330),  # 59 thousand there
        (ImageCnn(kind="image_cnn"), 609_666),  # 610 thousand there
        (MultiBody(kind="multi_body"), 56_302),  # 57 thousand there, whose list of inputs is not given to the last
        (Lola(kind="lola"), 60_732),  # 127 thousand there, for more constituents than the 40 of the first paper
        (ParticleLstm(kind="particle_lstm"), 75_970),  # not given
    ],
    ids=lambda value: getattr(value, "kind", ""),
)  # fmt: skip
def test_weights_are_as_many_as_published(network, weights):
    particles = getattr(network, "particles", 0)
    vectors = {"particle_net": 7, "particle_net_lite": 7, "lola": 4}.get(network.kind, 3)
    inputs = {
        "energy_flow": {"share": (particles,), "direction": (particles, 2)},
        "topo_dnn": {"constituents": (particles, 3)},
        "image_cnn": {"image": (40, 40, 1)},
        "multi_body": {"observables": (16,)},
        "lola": {"momenta": (particles, 4), "mask": (particles,)},
        "particle_net": {"points": (particles, 2), "features": (particles, vectors), "mask": (particles,)},
    }
    inputs["particle_net_lite"] = inputs["particle_net"]
    given = inputs.get(network.kind, {"constituents": (particles, 3), "mask": (particles,)})
    model = network.build(given, 2)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == weights


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="this is that run")
def test_the_same_on_jax():
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", __file__,
         "-k", "test_contract and float32"],
        cwd=root, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]
