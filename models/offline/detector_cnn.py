"""A residual network on images of the whole detector.

References:
    End-to-end classification: arXiv:1807.11916, arXiv:1902.08276. Residual blocks: arXiv:1512.03385.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from models.layers import Nodes
from models.offline.classifier import OfflineClassifier
from trigger.errors import InputError


class DetectorCnn(OfflineClassifier):
    """A convolution, stages of residual blocks, the mean and the greatest value over the image, and the classes.

    The input is `image`, shape `(rows, columns, channels)`.

    Energies go in as `log(1 + E / scale)`: pixels differ by factors of a thousand. Rows are azimuth, and the image is closed
    over them: what leaves it at one end is seen at the other. The first block of each stage but the first halves the
    rows and columns.

    Departures from the papers: smaller (a ResNet-15 there), the logarithm, the closed azimuth.

    Attributes:
        filters: Of each stage.
        blocks: Residual blocks of a stage.
        scale_gev: Below it intensities are linear, above it logarithmic.
        momentum: Of the running means of batch normalisations.
        dropout: Share of the last features that are left out in training.
    """

    kind: Literal["detector_cnn"]
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    filters: Nodes = Field(default=(16, 32, 64), min_length=1)
    blocks: int = Field(default=1, gt=0)
    scale_gev: float = Field(default=1.0, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras
        from keras import ops

        image = given["image"]
        rows, columns = image.shape[1:3]
        least = 3 * 2 ** (len(self.filters) - 1)
        if min(rows, columns) < least or rows % (least // 3) or columns % (least // 3):
            raise InputError(
                f"the network {self.kind!r} with {len(self.filters)} stages needs rows and columns that are multiples of "
                f"{least // 3}, {least} at least; the image has {rows} x {columns}"
            )
        x = ops.log1p(image / self.scale_gev)
        x = self._convolution(x, self.filters[0], 1, "stem")
        x = keras.layers.Activation("relu", name="stem_relu")(x)
        for stage, filters in enumerate(self.filters, 1):
            for block in range(1, self.blocks + 1):
                x = self._block(x, filters, 2 if stage > 1 and block == 1 else 1, f"stage{stage}_block{block}")
        x = keras.layers.Concatenate(name="whole_image")(
            [
                keras.layers.GlobalAveragePooling2D(name="mean")(x),
                keras.layers.GlobalMaxPooling2D(name="greatest")(x),
            ]
        )
        return keras.layers.Dropout(self.dropout, name="dropout")(x)

    def _block(self, x: Any, filters: int, stride: int, name: str) -> Any:
        import keras

        shortcut = x
        if stride > 1 or x.shape[-1] != filters:
            shortcut = keras.layers.Conv2D(filters, 1, strides=stride, use_bias=False, name=f"{name}_shortcut")(x)
        x = self._convolution(x, filters, stride, f"{name}_first")
        x = keras.layers.Activation("relu", name=f"{name}_first_relu")(x)
        x = self._convolution(x, filters, 1, f"{name}_second")
        x = keras.layers.Add(name=f"{name}_sum")([x, shortcut])
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    def _convolution(self, x: Any, filters: int, stride: int, name: str) -> Any:
        """A convolution of 3 x 3 and a batch normalisation; the size is kept, or halved with a stride of 2."""
        import keras

        x = around(x, name)
        x = keras.layers.Conv2D(
            filters, 3, strides=stride, use_bias=False, kernel_initializer="he_normal", name=name
        )(x)  # fmt: skip
        return keras.layers.BatchNormalization(momentum=self.momentum, name=f"{name}_norm")(x)


def around(x: Any, name: str) -> Any:
    """An image with the row of the other end above and below, and one more column of zeros on each side."""
    import keras
    from keras import ops

    rows = x.shape[1]
    x = ops.concatenate([x[:, rows - 1 :], x, x[:, :1]], axis=1)
    return keras.layers.ZeroPadding2D(((0, 0), (1, 1)), name=f"{name}_columns")(x)
