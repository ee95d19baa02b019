"""Networks that share the energy of calorimeter hits out among showers: GravNet and GarNet.

Both move information between hits that are near each other in a space that is learnt, so that cells need be on no grid. The
networks here give, for each hit, a logit for each shower; the softmax of these is the share of the shower in the hit.

Padded hits take no part: they are no neighbours, in no mean and in no greatest value. The order of the hits does not matter.

Where the text of the paper leaves something open, it is as in the layers that its authors published: the potential of
GravNet is exp(-10 d^2), a hit is not its own neighbour, a batch normalisation follows each layer. Where both name a number,
it is the paper's. Departures: inputs are scaled by hand and not by a batch normalisation, and the last layer has an output a
shower.

References:
    arXiv:1902.07987.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from models.layers import Nodes
from models.offline import layers
from trigger.config import Settings
from trigger.errors import InputError

if TYPE_CHECKING:
    import keras

POTENTIAL = 10.0
"""Slope of the potential of GravNet, of the authors' layers."""


class GravNet(Settings):
    """Dense layers on each hit with the mean of all, then a GravNet layer, several times; all outputs together to the end.

    Attributes:
        blocks: How often.
        dense: Nodes of each dense layer before a GravNet layer.
        coordinates: Dimensions of the learnt space.
        neighbours: How many of the nearest hits a hit listens to.
        propagated: Features that hits tell each other.
        filters: Features of a hit after a GravNet layer.
        hidden: Nodes of each layer before the last.
        momentum: Of the running means of batch normalisations; the authors' 0.99 needs thousands of steps.

    References:
        arXiv:1902.07987.
    """

    kind: Literal["gravnet"]
    blocks: int = Field(default=4, gt=0)
    dense: Nodes = (64, 64, 64)
    coordinates: int = Field(default=4, gt=0)
    neighbours: int = Field(default=40, gt=0)
    propagated: int = Field(default=22, gt=0)
    filters: int = Field(default=48, gt=0)
    hidden: Nodes = (128,)
    momentum: float = Field(default=0.9, ge=0, lt=1)

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int = 2) -> keras.Model:
        """The network.

        Args:
            shapes: Shapes of the inputs without the batch: `hits` `(hits, features)` and `mask` `(hits,)`.
            outputs: Number of showers.

        Returns:
            A model of a dictionary of inputs to logits, shape `(batch, hits, outputs)`, 0 at padding.

        Raises:
            InputError: There are not more hits than neighbours.
        """
        import keras
        from keras import ops

        if shapes["hits"][0] <= self.neighbours:
            raise InputError(
                f"the network {self.kind!r} listens to {self.neighbours} neighbours of a hit, and there are "
                f"{shapes['hits'][0]} hits; fewer neighbours or more hits would be right"
            )
        inputs, x, mask = _inputs(shapes)
        kept = []
        for block in range(1, self.blocks + 1):
            x = ops.concatenate([x, mean_of_all(x, mask)], axis=-1)
            for number, units in enumerate(self.dense, 1):
                x = keras.layers.Dense(units, activation="tanh", name=f"dense{block}_{number}")(x)
            x = gravnet_layer(
                x, mask, self.coordinates, self.neighbours, self.propagated, self.filters, f"gravnet{block}"
            )
            x = keras.layers.BatchNormalization(momentum=self.momentum, name=f"norm{block}")(x, mask=mask)
            kept.append(x)
        return _finished(inputs, kept, self.hidden, outputs, self.kind)


class GarNet(Settings):
    """The mean of all hits and a dense layer, then GarNet layers; all outputs together to the end.

    Attributes:
        layers: How many GarNet layers.
        dense: Nodes of the dense layer before them.
        aggregators: Where information of all hits is gathered.
        propagated: Features that hits tell the aggregators.
        filters: Features of a hit after a GarNet layer.
        hidden: Nodes of each layer before the last.
        momentum: Of the running means of batch normalisations; the authors' 0.99 needs thousands of steps.

    References:
        arXiv:1902.07987.
    """

    kind: Literal["garnet"]
    layers: int = Field(default=11, gt=0)
    dense: int = Field(default=32, gt=0)
    aggregators: int = Field(default=4, gt=0)
    propagated: int = Field(default=20, gt=0)
    filters: int = Field(default=32, gt=0)
    hidden: Nodes = (48,)
    momentum: float = Field(default=0.9, ge=0, lt=1)

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int = 2) -> keras.Model:
        """The network; arguments and result as of `GravNet.build`."""
        import keras
        from keras import ops

        inputs, x, mask = _inputs(shapes)
        x = ops.concatenate([x, mean_of_all(x, mask)], axis=-1)
        x = keras.layers.Dense(self.dense, activation="tanh", name="dense")(x)
        kept = []
        for number in range(1, self.layers + 1):
            x = garnet_layer(x, mask, self.aggregators, self.propagated, self.filters, f"garnet{number}")
            x = keras.layers.BatchNormalization(momentum=self.momentum, name=f"norm{number}")(x, mask=mask)
            kept.append(x)
        return _finished(inputs, kept, self.hidden, outputs, self.kind)


def _inputs(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], Any, Any]:
    import keras

    hits = keras.Input(shapes["hits"], name="hits")
    mask = keras.Input(shapes["mask"], dtype="bool", name="mask")
    return {"hits": hits, "mask": mask}, hits, mask


def _finished(inputs: dict[str, Any], kept: list[Any], hidden: Nodes, outputs: int, name: str) -> keras.Model:
    import keras
    from keras import ops

    x = ops.concatenate(kept, axis=-1) if len(kept) > 1 else kept[0]
    for number, units in enumerate(hidden, 1):
        x = keras.layers.Dense(units, activation="relu", name=f"hidden{number}")(x)
    x = layers.logits(x, outputs)
    # An operation, which ends the mask that layers hand on: the loss knows what is padding by its energy.
    x = x * ops.expand_dims(ops.cast(inputs["mask"], "float32"), -1)
    return keras.Model(inputs, x, name=name)


def mean_of_all(x: Any, mask: Any) -> Any:
    """The mean over hits, at each hit; shape `(batch, hits, features)` as `x`."""
    from keras import ops

    there = ops.expand_dims(ops.cast(mask, x.dtype), -1)
    count = ops.maximum(ops.sum(there, axis=1, keepdims=True), 1)
    return ops.zeros_like(x) + ops.sum(x * there, axis=1, keepdims=True) / count


def gravnet_layer(
    x: Any, mask: Any, coordinates: int, neighbours: int, propagated: int, filters: int, name: str
) -> Any:
    """A GravNet layer.

    Each hit gets coordinates s and features f. At hit i the features of its nearest hits j are weighed by
    `exp(-10 |s_i - s_j|^2)`; their mean and their greatest value go, with `x`, through a dense layer with tanh. Where an event
    has fewer hits than neighbours, the missing ones count like hits that are far away: zeros.

    Args:
        x: Shape `(batch, hits, features)`.
        mask: Whether there is a hit, shape `(batch, hits)`.
        coordinates: Dimensions of the learnt space.
        neighbours: How many nearest hits.
        propagated: How many features f.
        filters: Features of the result.
        name: Of the layer.

    References:
        arXiv:1902.07987.
    """
    import keras
    from keras import ops

    hits = x.shape[1]
    # In full precision whatever the policy is: small differences of large numbers.
    place = keras.layers.Dense(coordinates, dtype="float32", name=f"{name}_coordinates")(x)
    features = keras.layers.Dense(propagated, name=f"{name}_features")(x)
    # Which hits are near: by an expression that is fast, without gradients.
    fixed = ops.stop_gradient(place)
    squared = ops.sum(ops.square(fixed), axis=-1)
    product = ops.matmul(fixed, ops.transpose(fixed, (0, 2, 1)))
    distance = ops.expand_dims(squared, 2) + ops.expand_dims(squared, 1) - 2 * product
    absent = ops.cast(ops.logical_not(mask), "float32")
    far = layers.FAR * (ops.expand_dims(absent, 1) + ops.eye(hits))
    nearest, where = ops.top_k(-(distance + far), neighbours)
    # How near: by one that is exact.
    distance = ops.sum(ops.square(ops.expand_dims(place, 2) - rows_of(place, where)), axis=-1)
    weight = ops.exp(-POTENTIAL * distance) * ops.cast(nearest > -layers.FAR / 2, "float32")
    told = rows_of(features, where) * ops.expand_dims(ops.cast(weight, features.dtype), -1)
    x = ops.concatenate([x, ops.max(told, axis=2), ops.mean(told, axis=2)], axis=-1)
    return keras.layers.Dense(filters, activation="tanh", name=f"{name}_output")(x)


def rows_of(table: Any, where: Any) -> Any:
    """Rows of a table for each event: `(batch, rows, features)` and indices `(batch, ...)` give `(batch, ..., features)`.

    The events are put below each other first: compilers gather whole rows of one table fastest.
    """
    from keras import ops

    rows, features = table.shape[1:]
    flat = ops.reshape(first_row(where, rows) + ops.reshape(where, (-1, _product(where.shape[1:]))), (-1,))
    found = ops.take(ops.reshape(table, (-1, features)), flat, axis=0)
    return ops.reshape(found, (-1, *where.shape[1:], features))


def first_row(like: Any, rows: int) -> Any:
    """Index of each event's first row, once the events are below each other, shape `(batch, 1)`.

    Args:
        like: Any tensor with the batch as its first axis, and integers.
        rows: Rows of an event.
    """
    from keras import ops

    one = ops.ones_like(ops.reshape(like, (-1, _product(like.shape[1:])))[:, :1])
    return (ops.cumsum(one, axis=0) - 1) * rows


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def garnet_layer(x: Any, mask: Any, aggregators: int, propagated: int, filters: int, name: str) -> Any:
    """A GarNet layer.

    Each hit gets features f and a distance d to each aggregator, and the weights `exp(-d^2)` are features too. An aggregator
    gathers the mean and the greatest value of the weighed features of all hits, and each hit gets them back with the same
    weight; with `x` and the weights they go through a dense layer with tanh.

    Args:
        x: Shape `(batch, hits, features)`.
        mask: Whether there is a hit, shape `(batch, hits)`.
        aggregators: How many.
        propagated: How many features f.
        filters: Features of the result.
        name: Of the layer.

    References:
        arXiv:1902.07987.
    """
    import keras
    from keras import ops

    hits = x.shape[1]
    distance = keras.layers.Dense(aggregators, name=f"{name}_distances")(x)
    weight = ops.exp(-ops.square(distance))
    features = ops.concatenate([keras.layers.Dense(propagated, name=f"{name}_features")(x), weight], axis=-1)
    there = ops.expand_dims(ops.cast(mask, features.dtype), -1)
    count = ops.maximum(ops.sum(there, axis=1, keepdims=True), 1)
    mean = ops.matmul(ops.transpose(weight * there, (0, 2, 1)), features) / count
    told = ops.expand_dims(weight, -1) * ops.expand_dims(features, 2)  # hits, aggregators, features
    absent = ops.expand_dims(1 - there, -1) * 1e4  # below everything, also in half precision
    gathered = ops.concatenate([ops.max(told - absent, axis=1), mean], axis=-1)
    back = ops.expand_dims(weight, -1) * ops.expand_dims(gathered, 1)
    back = ops.reshape(back, (-1, hits, aggregators * 2 * (propagated + aggregators)))
    x = ops.concatenate([x, back, weight], axis=-1)
    return keras.layers.Dense(filters, activation="tanh", name=f"{name}_output")(x)


def fraction_loss(answers: Any, logits: Any) -> Any:
    """Squared error of the shares, weighed by the root of the energy of the shower in the hit.

    `L = sum_k [ sum_i sqrt(E_i t_ik) (p_ik - t_ik)^2 / sum_i sqrt(E_i t_ik) ]`, with the energy E of hit i, and the predicted
    share p and the true one t of shower k.

    Two showers have no order. The loss is that of the better of both orders.

    Args:
        answers: True shares of two showers, and the energy, 0 for padding; shape `(batch, hits, 3)`.
        logits: Shape `(batch, hits, 2)`.

    Returns:
        Loss of each event, shape `(batch,)`.

    References:
        arXiv:1902.07987, the loss of the clustering models; the better order: ours.
    """
    from keras import ops

    truth, energy = answers[..., :2], answers[..., 2:]
    predicted = ops.softmax(logits, axis=-1)
    weight = ops.sqrt(ops.maximum(energy * truth, 0.0))
    norm = ops.maximum(ops.sum(weight, axis=1), 1e-6)

    def loss_of(shares: Any) -> Any:
        return ops.sum(ops.sum(weight * ops.square(shares - truth), axis=1) / norm, axis=-1)

    return ops.minimum(loss_of(predicted), loss_of(ops.flip(predicted, axis=-1)))
