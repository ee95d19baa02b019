"""Image networks: what they are shown, and local response normalisation against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from models.offline.dense import ImageDnn
from models.offline.image_cnn import (
    COMMUNITY_IMAGES,
    ImageBlock,
    ImageCnn,
    ResponseNormalisation,
    response_normalisation,
)
from trigger.errors import InputError


def test_images_are_those_of_the_inputs(toy):
    jets = toy.take(np.arange(0, 600, 50))
    image = ImageCnn(kind="image_cnn").seen(jets)["image"]
    assert image.shape == (len(jets), 40, 40, 1)
    np.testing.assert_allclose(image[..., 0], COMMUNITY_IMAGES.images(jets).dense(), rtol=1e-6)
    np.testing.assert_array_equal(ImageDnn(kind="image_dnn").seen(jets)["image"], image[..., 0])


def test_response_normalisation_is_that_of_a_loop():
    settings = ResponseNormalisation(channels=3, offset=1.5, slope=0.1, power=0.6)
    x = np.random.default_rng(1).normal(size=(2, 3, 3, 6)).astype(np.float32)
    wanted = np.empty_like(x)
    for i in range(6):
        near = range(max(0, i - 1), min(5, i + 1) + 1)
        wanted[..., i] = x[..., i] / (1.5 + 0.1 * sum(x[..., j] ** 2 for j in near)) ** 0.6
    np.testing.assert_allclose(response_normalisation()(**settings.model_dump())(x), wanted, rtol=1e-5)


def test_an_even_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="odd"):
        ResponseNormalisation(channels=4)


@pytest.mark.parametrize("block", [ImageBlock(filters=2, kernel=9), ImageBlock(filters=2, kernel=7, pool=3)])
def test_a_block_that_does_not_fit_is_refused(block):
    with pytest.raises(InputError, match=r"convolution1: .* do not fit into the 8 x 10 pixels"):
        ImageCnn(kind="image_cnn", blocks=(block,)).build({"image": (8, 10, 1)}, 2)


def test_dropout_is_where_it_is_said():
    network = ImageCnn(
        kind="image_cnn", blocks=(ImageBlock(filters=2, kernel=3, dropout=0.2),), hidden=(3,), dropout=0.5
    )
    model = network.build({"image": (8, 8, 1)}, 2)
    assert {layer.name: layer.rate for layer in model.layers if "dropout" in layer.name} == {
        "convolution1_dropout": 0.2, "dense1_dropout": 0.5,
    }  # fmt: skip
