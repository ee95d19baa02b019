"""ParticleNet: convolutions on the graph of each particle's nearest neighbours.

References:
    arXiv:1902.08570, figures 1 and 2. Edge convolution: arXiv:1801.07829.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.layers import Nodes
from models.offline import layers
from models.offline.classifier import JetClassifier
from models.offline.clouds import leading
from trigger.data.jets import JetDataset

Channels = Annotated[Nodes, Field(min_length=1)]

_EXACT = 4
"""Up to so many coordinates, distances are taken coordinate by coordinate: a matrix product would lose small ones."""


class _EdgeNetwork(JetClassifier):
    """Edge convolutions, the average over particles, dense layers.

    The neighbours in the first convolution are the nearest in eta and phi, later the nearest in what came out of the one
    before. The features are normalised over the batch first, as the authors' code does.

    Where it departs: empty slots are nobody's neighbours, are in no statistics of a normalisation and not in the average,
    and a particle with fewer neighbours than asked for has the mean over those that there are. In the authors' code empty
    slots are put far away, but count in all of these.

    Attributes:
        particles: Constituents of largest pT that it is shown.
        identity: Whether it is shown what each constituent was taken for, and its charge, as in the paper for quarks and
            gluons.
        neighbours: Nearest neighbours of each particle in the graph.
        blocks: Channels of the three layers of each convolution; or of however many.
        hidden: Nodes of each dense layer.
        dropout: Share of their outputs that is dropped in training.
        momentum: Of the moving mean and variance of the batch normalisation, which are used once it is trained.
    """

    inputs: ClassVar[tuple[str, ...]] = ("points", "features", "mask")
    particles: int = Field(default=100, gt=1, le=1000)
    identity: bool = False
    neighbours: int = Field(default=16, gt=0)
    blocks: tuple[Channels, ...] = Field(default=((64,) * 3, (128,) * 3, (256,) * 3), min_length=1)
    hidden: Nodes = (256,)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    momentum: float = Field(default=0.9, gt=0, lt=1)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`points` (eta and phi from the jet's axis), `features` (`clouds.PARTICLE_FEATURES`), and the `mask`.

        Raises:
            InputError: See `clouds.leading` and `clouds.Cloud.identity`.
        """
        cloud = leading(jets, self.particles)
        features = cloud.features()
        if self.identity:
            features = np.concatenate([features, cloud.identity()], axis=1)
        return {
            "points": cloud.padded(features[:, :2]),
            "features": cloud.padded(features),
            "mask": cloud.mask(),
        }

    def _body(self, given: Mapping[str, Any]) -> Any:
        mask, points = given["mask"], given["points"]
        normalised = layers.masked_batch_normalization()(self.momentum, dtype="float32", name="features_normalised")
        x = normalised(given["features"], mask)
        for number, channels in enumerate(self.blocks, 1):
            neighbours = nearest_neighbours()(self.neighbours, dtype="float32", name=f"neighbours{number}")
            index, near = neighbours(points, mask)
            x = edge_convolution()(channels, self.momentum, name=f"edges{number}")(x, mask, index, near)
            points = x
        x = layers.masked_mean()(name="average")(x, mask)
        return layers.dense(x, self.hidden, "dense", self.dropout)


class ParticleNet(_EdgeNetwork):
    """ParticleNet: 366 thousand weights for seven features and two classes, as published.

    References:
        arXiv:1902.08570, figure 2 (left).
    """

    kind: Literal["particle_net"]


class ParticleNetLite(_EdgeNetwork):
    """ParticleNet-Lite: fewer neighbours, convolutions and channels; 26 thousand weights, as published.

    References:
        arXiv:1902.08570, figure 2 (right).
    """

    kind: Literal["particle_net_lite"]
    neighbours: int = Field(default=7, gt=0)
    blocks: tuple[Channels, ...] = Field(default=((32,) * 3, (64,) * 3), min_length=1)
    hidden: Nodes = (128,)


@cache
def nearest_neighbours() -> Any:
    """The class of a layer that finds the nearest neighbours of each particle, itself not counted.

    Called with places `(jets, slots, coordinates)` and a mask `(jets, slots)`; gives back indices of slots and whether there
    is a neighbour, both `(jets, slots, neighbours)`. Where there are fewer slots than neighbours asked for, it gives as many
    as there are others. It is to be made with `dtype="float32"`: places are closer together than half precision tells.
    """
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=layers.PACKAGE)
    class NearestNeighbours(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, neighbours: int, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.neighbours = neighbours

        def call(self, points: Any, filled: Any) -> tuple[Any, Any]:
            slots = points.shape[1]
            points = ops.stop_gradient(points)
            filled = filled > 0.5
            pair = filled[:, :, None] & filled[:, None, :] & ~ops.eye(slots, dtype="bool")
            distance = ops.where(pair, _squared_distances(points), layers.FAR)
            found, index = ops.top_k(-distance, min(self.neighbours, slots - 1))
            return ops.cast(index, "int32"), found > -layers.FAR / 2

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "neighbours": self.neighbours}

    return NearestNeighbours


@cache
def edge_convolution() -> Any:
    """The class of a layer: edge convolution with its short cut.

    Called with features `(jets, slots, fields)`, a mask `(jets, slots)` and what `nearest_neighbours` gives. Dense layers
    without bias, batch normalisation and rectifier act on each edge `(x_i, x_j - x_i)`; then come the mean over the
    neighbours `j`, the sum with a dense layer on `x_i`, and the rectifier. Empty slots come out as 0.

    The first dense layer, `W (x_i, x_j - x_i) = (W_1 - W_2) x_i + W_2 x_j`, is done particle by particle, and its results
    are gathered: the same numbers for a fraction of the multiplications. Its weights are kept as the published `W`, so that
    their gradients, and what an optimiser makes of them, are the same too.
    """
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=layers.PACKAGE)
    class EdgeConvolution(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, channels: tuple[int, ...], momentum: float = 0.9, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.channels = tuple(channels)
            self.momentum = momentum
            self.dense = [
                keras.layers.Dense(units, use_bias=False, kernel_initializer="glorot_normal", dtype=self.dtype_policy)
                for units in (*self.channels[1:], self.channels[-1])
            ]
            normalization = layers.masked_batch_normalization()
            self.normalise = [normalization(momentum, dtype=self.dtype_policy) for _ in (*self.channels, "short cut")]

        def build(self, x_shape: Any, filled_shape: Any, index_shape: Any, near_shape: Any) -> None:
            self.edge_kernel = self.add_weight(
                shape=(2 * x_shape[-1], self.channels[0]), initializer="glorot_normal", name="edge_kernel"
            )
            entering = (*self.channels[:-1], x_shape[-1])
            for layer, fields in zip(self.dense, entering, strict=True):
                layer.build((None, fields))
            for layer, fields in zip(self.normalise, (*self.channels, self.channels[-1]), strict=True):
                layer.build((None, fields), (None,))

        def call(self, x: Any, filled: Any, index: Any, near: Any, training: bool = False) -> Any:
            fields = x.shape[-1]
            of_centre, of_neighbour = self.edge_kernel[:fields], self.edge_kernel[fields:]
            edge = ops.matmul(x, of_centre - of_neighbour)[:, :, None] + _gathered(ops.matmul(x, of_neighbour), index)
            edge = ops.relu(self.normalise[0](edge, near, training=training))
            for dense, normalise in zip(self.dense[:-1], self.normalise[1:-1], strict=True):
                edge = ops.relu(normalise(dense(edge), near, training=training))
            weight = ops.cast(near, edge.dtype)
            gathered = ops.sum(edge * weight[..., None], axis=2) / ops.maximum(ops.sum(weight, axis=2), 1)[..., None]
            short = self.normalise[-1](self.dense[-1](x), filled, training=training)
            return ops.relu(gathered + short) * ops.cast(filled, gathered.dtype)[..., None]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "channels": self.channels, "momentum": self.momentum}

    return EdgeConvolution


def _squared_distances(points: Any) -> Any:
    """Of each pair of points, `(jets, slots, coordinates)` to `(jets, slots, slots)`."""
    from keras import ops

    if points.shape[-1] <= _EXACT:
        return ops.sum(ops.square(points[:, :, None] - points[:, None, :]), axis=-1)
    norm = ops.sum(ops.square(points), axis=-1)
    product = ops.matmul(points, ops.transpose(points, (0, 2, 1)))
    return norm[:, :, None] + norm[:, None, :] - 2 * product


def _gathered(x: Any, index: Any) -> Any:
    """Rows of each jet: `(jets, slots, channels)` and `(jets, slots, neighbours)` to `(jets, slots, neighbours, channels)`.

    On TensorFlow whole rows are taken out of one long table, which is several times quicker there than taking along an axis.
    On JAX both are alike, and along the axis each device has the jets that it needs.
    """
    import keras
    from keras import ops

    jets, slots, channels = ops.shape(x)
    if keras.config.backend() == "jax":
        rows = ops.take_along_axis(x, ops.reshape(index, (jets, -1, 1)), axis=1)
        return ops.reshape(rows, (jets, slots, index.shape[2], channels))
    first = ops.arange(jets, dtype="int32") * slots
    return ops.take(ops.reshape(x, (-1, channels)), index + first[:, None, None], axis=0)
