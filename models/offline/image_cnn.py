"""Convolutional networks on jet images.

References:
    arXiv:1511.05190, arXiv:1803.00107.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from models.layers import Nodes
from models.offline import layers
from models.offline.classifier import JetClassifier
from trigger.config import Settings
from trigger.data.jets import JetDataset
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.images import JetImageInputs

_NO_WIRE = FixedPoint(False, 0, 16, Rounding.RND_CONV, Overflow.SAT)
"""`JetImageInputs` asks for a format; no pixel is ever brought to it here."""

COMMUNITY_IMAGES = JetImageInputs(
    kind="jet_images", format=_NO_WIRE, rows=40, columns=40, pixel_width=0.04, trim_subjets=0.0, centre="centroid",
    rotate="principal_axis", flip=True, norm="sum",
)  # fmt: skip
"""Images of 40 x 40 pixels as wide as a jet of R = 0.8, centred on the centroid, turned, mirrored, with sum 1: the steps of
arXiv:1803.00107, section 2."""


class ImageBlock(Settings):
    """A convolution, its rectifier, its pooling, and dropout.

    Attributes:
        filters: Channels that come out.
        kernel: Pixels a side of the kernel.
        padding: Rows and columns of zeros that are put around the image before.
        pool: Pixels a side of the square of which the greatest is kept; 1 keeps all.
        dropout: Share of the pixels that is dropped in training.
    """

    filters: int = Field(gt=0)
    kernel: int = Field(gt=0)
    padding: int = Field(default=0, ge=0)
    pool: int = Field(default=1, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class ResponseNormalisation(Settings):
    """Local response normalisation: each channel divided by what its neighbours say at the same pixel.

    `a_i / (offset + slope * sum_j a_j^2) ** power`, the sum over the `channels` nearest to `i`, itself among them.

    Attributes:
        channels: How many, an odd number.
        offset: k in the reference.
        slope: alpha in the reference.
        power: beta in the reference.

    References:
        Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3.3, with its numbers.
    """

    channels: int = Field(default=5, gt=0)
    offset: float = Field(default=2.0, gt=0)
    slope: float = Field(default=1e-4, ge=0)
    power: float = Field(default=0.75, ge=0)

    @field_validator("channels")
    @classmethod
    def _odd(cls, channels: int) -> int:
        if channels % 2 == 0:
            raise ValueError(f"as many channels on both sides and the one itself are an odd number, not {channels}")
        return channels


class ImageCnn(JetClassifier):
    """Convolutions on jet images, then dense layers.

    The default is the network of the community's comparison. With margins of one pixel before each convolution it has the
    610 thousand weights that the comparison states.

    Attributes:
        images: How the images are made; their `format` and `saturate` are not used, pixels are floating-point numbers.
        blocks: The convolutions.
        response: Local response normalisation after the last of them.
        hidden: Nodes of each dense layer.
        dropout: Share of their outputs that is dropped in training.

    References:
        arXiv:1803.00107, section 3; arXiv:1902.09914, section 3.1. With other blocks and `response`: arXiv:1511.05190.
    """

    kind: Literal["image_cnn"]
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    images: JetImageInputs = COMMUNITY_IMAGES
    blocks: tuple[ImageBlock, ...] = Field(
        default=(
            ImageBlock(filters=128, kernel=4, padding=1),
            ImageBlock(filters=64, kernel=4, padding=1, pool=2),
            ImageBlock(filters=64, kernel=4, padding=1),
            ImageBlock(filters=64, kernel=4, padding=1, pool=2),
        ),
        min_length=1,
    )
    response: ResponseNormalisation | None = None
    hidden: Nodes = (64, 256, 256)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`image`, shape `(jets, rows, columns, 1)`.

        Raises:
            InputError: See `trigger.inputs.images.JetImageInputs.images`.
        """
        return {"image": pictures(self.images, jets)[..., None]}

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras

        x = given["image"]
        for number, block in enumerate(self.blocks, 1):
            x = _convolved(x, block, f"convolution{number}")
        if self.response is not None:
            x = response_normalisation()(**self.response.model_dump(), dtype="float32", name="response")(x)
        x = keras.layers.Flatten(name="flatten")(x)
        return layers.dense(x, self.hidden, "dense", self.dropout)


def pictures(images: JetImageInputs, jets: JetDataset) -> NDArray[np.float32]:
    """The images of the jets in single precision, shape `(jets, rows, columns)`.

    Raises:
        InputError: See `JetImageInputs.images`.
    """
    found = images.images(jets)
    whole: NDArray[np.float32] = replace(found, value=found.value.astype(np.float32)).dense()
    return whole


def _convolved(x: Any, block: ImageBlock, name: str) -> Any:
    import keras

    side = min(x.shape[1:3]) + 2 * block.padding - block.kernel + 1
    if side < block.pool:
        raise InputError(
            f"{name}: a kernel of {block.kernel} and pooling of {block.pool} do not fit into the {x.shape[1]} x "
            f"{x.shape[2]} pixels that are left there; fewer of them, or a 'padding', would be right"
        )
    if block.padding:
        x = keras.layers.ZeroPadding2D(block.padding, name=f"{name}_padding")(x)
    x = keras.layers.Conv2D(block.filters, block.kernel, activation="relu", kernel_initializer="he_uniform", name=name)(
        x
    )
    if block.pool > 1:
        x = keras.layers.MaxPooling2D(block.pool, name=f"{name}_pool")(x)
    if block.dropout > 0:
        x = keras.layers.Dropout(block.dropout, name=f"{name}_dropout")(x)
    return x


@cache
def response_normalisation() -> Any:
    """The class of a layer: see `ResponseNormalisation`, whose fields are its arguments."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=layers.PACKAGE)
    class LocalResponseNormalisation(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, channels: int, offset: float, slope: float, power: float, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.channels, self.offset, self.slope, self.power = channels, offset, slope, power

        def call(self, x: Any) -> Any:
            place = np.arange(x.shape[-1])
            near = np.abs(place[:, None] - place) <= self.channels // 2
            total = ops.matmul(ops.square(x), ops.convert_to_tensor(near.astype(np.float32), dtype=x.dtype))
            return x * (self.offset + self.slope * total) ** -self.power

        def get_config(self) -> dict[str, Any]:
            settings = {name: getattr(self, name) for name in ("channels", "offset", "slope", "power")}
            return {**super().get_config(), **settings}

    return LocalResponseNormalisation
