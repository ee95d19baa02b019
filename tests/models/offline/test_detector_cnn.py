"""The network on images of the whole detector."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.offline.detector_cnn import DetectorCnn, around
from trigger.errors import InputError

NETWORK = DetectorCnn(kind="detector_cnn", filters=(4, 6, 8))
SHAPE = (16, 12, 3)


def images(count=6, seed=1):
    generator = np.random.default_rng(seed)
    energy = generator.exponential(20, (count, *SHAPE)) * (generator.random((count, *SHAPE)) < 0.1)
    return {"image": energy.astype(np.float32)}


def built(network=NETWORK):
    model = network.build({"image": SHAPE}, 3)
    generator = np.random.default_rng(2)
    for weight in model.weights:
        if weight.dtype == "float32":
            value = generator.normal(0, 0.4, weight.shape)
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.path else value)
    return model


def test_an_image_is_closed_in_azimuth_and_open_in_pseudorapidity():
    start = keras.Input((3, 2, 1))
    table = np.arange(6, dtype=np.float32).reshape(1, 3, 2, 1)
    found = keras.Model(start, around(start, "around")).predict(table, verbose=0)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[0, 4, 5, 0], [0, 0, 1, 0], [0, 2, 3, 0], [0, 4, 5, 0], [0, 0, 1, 0]])


def test_turning_the_detector_changes_nothing():
    model, given = built(), images()
    first = model.predict(given, verbose=0)
    # By a multiple of the pixels that the last stage puts together.
    np.testing.assert_allclose(
        model.predict({"image": np.roll(given["image"], 4, axis=1)}, verbose=0), first, atol=1e-4
    )
    other = model.predict({"image": np.roll(given["image"], 4, axis=2)}, verbose=0)
    assert np.abs(other - first).max() > 0.1


def test_it_learns():
    given = images(200)
    labels = np.arange(200) % 2
    given["image"][labels == 1, :, :, 1] *= 3  # more electromagnetic energy
    keras.utils.set_random_seed(1)
    model = NETWORK.build({"image": SHAPE})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=True)
    losses = model.fit(given, labels, batch_size=50, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("shape", [(15, 12, 3), (16, 8, 3), (16, 14, 3)])
def test_images_that_do_not_suit_the_stages_are_refused(shape):
    with pytest.raises(InputError, match=r"3 stages needs rows and columns that are multiples of 4, 12 at least"):
        NETWORK.build({"image": shape})
