"""Flow networks by hand, and what they are safe against."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import numpy as np

from models.offline.flow_networks import EnergyFlow, ParticleFlow


def perceptron(x, model, name, layers):
    for number in range(1, layers + 1):
        kernel, bias = (np.asarray(w, dtype=np.float64) for w in model.get_layer(f"{name}{number}").get_weights())
        x = np.maximum(x @ kernel + bias, 0)
    return x


def by_hand(model, weights, particles):
    kernel, bias = (np.asarray(w, dtype=np.float64) for w in model.get_layer("logits").get_weights())
    rows = []
    for weight, cloud in zip(weights, particles, strict=True):
        total = sum(w * perceptron(p, model, "particle", 2) for w, p in zip(weight, cloud, strict=True))
        rows.append(perceptron(total, model, "dense", 1) @ kernel + bias)
    return np.array(rows)


def built(network, seen):
    import keras

    keras.utils.set_random_seed(3)
    model = network.build({name: array.shape[1:] for name, array in seen.items()}, 3)
    generator = np.random.default_rng(4)
    model.set_weights([generator.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def test_energy_flow_by_hand(toy):
    network = EnergyFlow(kind="energy_flow", particles=30, particle=(6, 5), hidden=(4,))
    seen = network.seen(toy.take(np.arange(0, 600, 60)))
    model = built(network, seen)
    np.testing.assert_allclose(model(seen), by_hand(model, seen["share"], seen["direction"]), atol=1e-4, rtol=1e-4)


def test_particle_flow_by_hand(toy):
    network = ParticleFlow(kind="particle_flow", particles=30, particle=(6, 5), hidden=(4,))
    seen = network.seen(toy.take(np.arange(0, 600, 60)))
    model = built(network, seen)
    np.testing.assert_allclose(model(seen), by_hand(model, seen["mask"], seen["constituents"]), atol=1e-4, rtol=1e-4)


def split(jets, softest):
    """Every jet with its first constituent cut in two collinear halves, or with soft ones added."""
    one = jets.constituents[:, :1]
    more = ak.zip({name: one[name] * (softest if name in ("px", "py", "pz", "E") else 1) for name in ak.fields(one)})
    rest = jets.constituents
    if softest == 0.5:
        rest = ak.concatenate([more, rest[:, 1:]], axis=1)
    return replace(jets, constituents=ak.concatenate([rest, more], axis=1))


def test_energy_flow_is_infrared_and_collinear_safe(toy):
    jets = toy.take(np.arange(0, 600, 60))
    energy = EnergyFlow(kind="energy_flow", particles=100, particle=(6, 5), hidden=(4,))
    particle = ParticleFlow(kind="particle_flow", particles=100, particle=(6, 5), hidden=(4,))
    for changed in (split(jets, 0.5), split(jets, 1e-7)):
        for network, safe in ((energy, True), (particle, False)):
            model = built(network, network.seen(jets))
            shift = np.abs(np.asarray(model(network.seen(changed))) - np.asarray(model(network.seen(jets)))).max()
            assert (shift < 1e-4) == safe
