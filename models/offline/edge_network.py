"""A graph network that decides which pairs of hits belong to one track.

An edge network gives each edge a weight from the features of both hits; a node network gives each hit new features from its
own and from the sums, over edges to the layer before and to the layer behind, of the neighbours' features times the weight of
the edge. Both are repeated with the same weights; the edge network has the last word.

Padded edges have the weight 0, so padding changes nothing. The order of hits and edges does not matter.

References:
    arXiv:1810.06111. Input network, shortcuts of the inputs and sizes are those of the code that the HEP.TrkX project
    published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from models.offline.gravnet import first_row
from trigger.config import Settings

if TYPE_CHECKING:
    import keras


class EdgeNetwork(Settings):
    """An edge network and a node network, iterated.

    Attributes:
        hidden: Features of a hit besides the inputs, and nodes of every layer.
        iterations: How often hits are told of their neighbours.
        geometry: Whether the edge network sees features of the edge too, and hits are told of them. Without, as in the paper,
            it has to learn how to subtract first.

    References:
        arXiv:1810.06111.
    """

    kind: Literal["edge_network"]
    hidden: int = Field(default=32, gt=0)
    iterations: int = Field(default=4, gt=0)
    geometry: bool = True

    def build(self, shapes: Mapping[str, tuple[int, ...]]) -> keras.Model:
        """The network.

        Args:
            shapes: Shapes of the inputs without the batch: `nodes` `(nodes, features)`; `edges` `(edges, features)`;
                `senders`, `receivers` and `edge_mask`, all `(edges,)`.

        Returns:
            A model of a dictionary of inputs to a logit for each edge, shape `(batch, edges)`.
        """
        import keras
        from keras import ops

        (rows, features), (count, _) = shapes["nodes"], shapes["edges"]
        nodes, edges = (keras.Input(shapes[name], name=name) for name in ("nodes", "edges"))
        senders, receivers = (keras.Input((count,), dtype="int32", name=name) for name in ("senders", "receivers"))
        edge_mask = keras.Input((count,), dtype="bool", name="edge_mask")
        # Events below each other, hits and edges as rows of one table: compilers gather and add whole rows fastest.
        given = ops.reshape(nodes, (-1, features))
        inner, outer = (ops.reshape(ends + first_row(ends, rows), (-1,)) for ends in (senders, receivers))
        there = ops.reshape(ops.cast(edge_mask, "float32"), (-1, 1))
        geometry = [ops.reshape(edges, (-1, shapes["edges"][1]))] if self.geometry else []

        edge_layers = [
            keras.layers.Dense(self.hidden, activation="tanh", name="edge_hidden"),
            # In full precision, so that the logits are.
            keras.layers.Dense(1, dtype="float32", name="edge_logit"),
        ]
        node_layers = [
            keras.layers.Dense(self.hidden, activation="tanh", name=f"node_hidden{number}") for number in (1, 2)
        ]
        x = ops.concatenate(
            [keras.layers.Dense(self.hidden, activation="tanh", name="input_hidden")(given), given], axis=-1
        )
        for _ in range(self.iterations):
            at_inner, at_outer = ops.take(x, inner, axis=0), ops.take(x, outer, axis=0)
            logit = _through(edge_layers, [at_inner, at_outer, *geometry])
            weight = ops.cast(ops.sigmoid(logit) * there, x.dtype)
            from_inner, from_outer = (
                weight * ops.concatenate([side, *geometry], axis=-1) for side in (at_inner, at_outer)
            )
            told = [sum_at(from_inner, outer, x), sum_at(from_outer, inner, x), x]
            x = ops.concatenate([_through(node_layers, told), given], axis=-1)
        last = _through(edge_layers, [ops.take(x, inner, axis=0), ops.take(x, outer, axis=0), *geometry])
        inputs = {"nodes": nodes, "edges": edges, "senders": senders, "receivers": receivers, "edge_mask": edge_mask}
        return keras.Model(inputs, ops.reshape(last, (-1, count)), name=self.kind)


def _through(layers: list[Any], inputs: list[Any]) -> Any:
    from keras import ops

    x = ops.concatenate(inputs, axis=-1)
    for layer in layers:
        x = layer(x)
    return x


def sum_at(values: Any, rows: Any, table: Any) -> Any:
    """Sums of values at the rows they belong to.

    Args:
        values: Shape `(edges, features)`.
        rows: Row of each of them, shape `(edges,)`.
        table: A table with as many rows as the result.
    """
    from keras import ops

    # Zeros of a shape that is known only when the network runs.
    zeros = ops.repeat(ops.zeros_like(table[:, :1]), values.shape[-1], axis=1)
    return ops.scatter_update(zeros, ops.expand_dims(rows, -1), values, reduction="add")


def edge_loss(answers: Any, logits: Any) -> Any:
    """Cross-entropy, averaged over the edges of each graph.

    Args:
        answers: 1 for true edges, 0 for others, -1 for padding; shape `(batch, edges)`.
        logits: Shape `(batch, edges)`.

    Returns:
        Loss of each graph, shape `(batch,)`.
    """
    from keras import ops

    there = ops.cast(answers >= 0, logits.dtype)
    entropy = ops.maximum(logits, 0.0) - logits * answers + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.sum(entropy * there, axis=-1) / ops.maximum(ops.sum(there, axis=-1), 1.0)
