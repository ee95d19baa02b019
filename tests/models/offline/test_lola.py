"""Lorentz vectors by hand."""

from __future__ import annotations

import numpy as np

from models.offline.lola import Lola, combination_layer, lorentz_layer


def dot(a, b):
    return a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]


def test_combinations():
    momenta = np.array([[[5.0, 3.0, 0.0, 0.0], [2.0, 0.0, 2.0, 0.0], [9.0, 9.0, 9.0, 9.0]]], dtype=np.float32)
    filled = np.array([[1.0, 1.0, 0.0]], dtype=np.float32)
    layer = combination_layer()(2, dtype="float32")
    layer(momenta, filled)
    layer.set_weights([np.array([[1.0, 2.0], [-1.0, 0.5], [7.0, 7.0]])])
    vectors, there = (np.asarray(array) for array in layer(momenta, filled))
    wanted = [[7, 3, 2, 0], [5, 3, 0, 0], [2, 0, 2, 0], [0, 0, 0, 0], [3, 3, -2, 0], [11, 6, 1, 0]]
    np.testing.assert_allclose(vectors[0], wanted)
    assert there.tolist() == [[1, 1, 1, 0, 1, 1]]


def test_masses_by_hand():
    """Two photons back to back have the sum of their energies as mass; a massive particle has its own."""
    momenta = np.array(
        [[[3.0, 3.0, 0.0, 0.0], [3.0, -3.0, 0.0, 0.0], [5.0, 0.0, 0.0, 4.0], [0.0] * 4]], dtype=np.float32
    )
    filled = np.array([[1.0, 1.0, 1.0, 0.0]], dtype=np.float32)
    layer = lorentz_layer()(1, 1, dtype="float32")
    layer(momenta, filled)
    generator = np.random.default_rng(1)
    energies, sums, minima = (generator.normal(size=weight.shape) for weight in layer.get_weights())
    layer.set_weights([energies, sums, minima])
    found = np.asarray(layer(momenta, filled))[0]
    np.testing.assert_allclose(found[:, 0], [0, 0, 9, 0], atol=1e-5)
    np.testing.assert_allclose(found[:, 1], [3, 3, 0, 0], atol=1e-5)
    np.testing.assert_allclose(found[:3, 2], energies[:3, :3] @ [3, 3, 5], rtol=1e-5)
    for j in range(3):
        squared = [dot(momenta[0, j] - momenta[0, m], momenta[0, j] - momenta[0, m]) for m in range(3)]
        np.testing.assert_allclose(found[j, 3], np.dot(sums[j, :3, 0], squared), rtol=1e-5)
        np.testing.assert_allclose(found[j, 4], min(minima[j, :3, 0] * squared), rtol=1e-5, atol=1e-6)
    assert (
        dot(momenta[0, 0] - momenta[0, 1], momenta[0, 0] - momenta[0, 1]) == -36
    )  # minus four times the energies' product
    assert not found[3].any()


def test_the_first_vector_is_the_jet(toy):
    """Its squared mass and pT are those that the sample itself says."""
    network = Lola(kind="lola", particles=200, combinations=1)
    seen = network.seen(toy)
    whole = combination_layer()(1, dtype="float32")(seen["momenta"], seen["mask"])
    invariants = np.asarray(lorentz_layer()(1, 1, dtype="float32")(whole[0][:, :2], whole[1][:, :2]))
    kinematics = toy.kinematics()
    mass = 100.0 * np.sqrt(np.maximum(invariants[:, 0, 0], 0))
    np.testing.assert_allclose(mass, kinematics["mass_gev"], rtol=1e-3, atol=0.1)
    np.testing.assert_allclose(100.0 * invariants[:, 0, 1], kinematics["pt_gev"], rtol=1e-5)


def test_gradients_are_finite_where_there_is_no_particle(toy):
    import keras

    network = Lola(kind="lola", particles=100, combinations=2, hidden=(4,))
    jets = toy.take(np.arange(0, 600, 60))
    seen = network.seen(jets)
    assert not seen["mask"].all()
    model = network.build({name: array.shape[1:] for name, array in seen.items()}, 2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(seen, jets.labels % 2, epochs=1, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
