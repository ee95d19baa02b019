"""Layers that several offline networks share, and layers for clouds in which empty slots count for nothing.

Keras is imported where a network is built and not before; therefore each class of ours is made once, by a function that
gives it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

PACKAGE = "jetgate"
"""What the names of our layers in a saved network begin with."""
FAR = 1e9
"""A distance, squared or not, beyond all others: of what is not there."""


def dense(x: Any, nodes: Sequence[int], name: str, dropout: float = 0.0) -> Any:
    """Dense layers on the last axis, each with its rectifier and, in training, dropout."""
    import keras

    for number, units in enumerate(nodes, 1):
        x = keras.layers.Dense(units, activation="relu", kernel_initializer="he_uniform", name=f"{name}{number}")(x)
        if dropout > 0:
            x = keras.layers.Dropout(dropout, name=f"{name}{number}_dropout")(x)
    return x


def logits(x: Any, outputs: int) -> Any:
    """The last layer; in single precision, whatever the network's is."""
    import keras

    return keras.layers.Dense(outputs, dtype="float32", name="logits")(x)


@cache
def masked_mean() -> Any:
    """The class of a layer: mean over the filled slots of each jet, in single precision.

    Called with a tensor `(jets, slots, channels)` and a mask `(jets, slots)`.
    """
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=PACKAGE)
    class MaskedMean(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any, filled: Any) -> Any:
            weight = ops.cast(filled, "float32")[..., None]
            total = ops.sum(ops.cast(x, "float32") * weight, axis=1)
            return total / ops.maximum(ops.sum(weight, axis=1), 1.0)

    return MaskedMean


@cache
def masked_batch_normalization() -> Any:
    """The class of a layer: batch normalisation whose mean and variance are those of the entries that a mask picks.

    Called with a tensor of any rank and a mask of its shape without the last axis; what the mask does not pick is
    normalised with the others' numbers. Mean and variance are taken in one pass over the tensor, in single precision,
    about the moving mean, so that nothing is lost where the mean is far from 0.

    References:
        arXiv:1502.03167.
    """
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=PACKAGE)
    class MaskedBatchNormalization(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.momentum = momentum
            self.epsilon = epsilon

        def build(self, x_shape: tuple[int, ...], filled_shape: tuple[int, ...]) -> None:
            def vector(name: str, value: str, trainable: bool = True) -> Any:
                return self.add_weight(
                    shape=(x_shape[-1],), initializer=value, trainable=trainable, autocast=False, name=name
                )

            self.gamma, self.beta = vector("gamma", "ones"), vector("beta", "zeros")
            self.moving_mean = vector("moving_mean", "zeros", trainable=False)
            self.moving_variance = vector("moving_variance", "ones", trainable=False)

        def call(self, x: Any, filled: Any, training: bool = False) -> Any:
            x = ops.cast(x, "float32")
            mean, variance = ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
            if training and self.trainable:
                mean, variance = self._moments(x, filled, mean)
                for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                    moving.assign(moving * self.momentum + now * (1 - self.momentum))
            scale = self.gamma * ops.rsqrt(variance + self.epsilon)
            return ops.cast(x * scale + (self.beta - mean * scale), self.compute_dtype)

        def _moments(self, x: Any, filled: Any, about: Any) -> tuple[Any, Any]:
            axes = list(range(len(x.shape) - 1))
            weight = ops.cast(filled, "float32")
            count = ops.maximum(ops.sum(weight), 1.0)
            x = (x - ops.stop_gradient(about)) * weight[..., None]
            mean = ops.sum(x, axis=axes) / count
            return mean + about, ops.maximum(ops.sum(ops.square(x), axis=axes) / count - ops.square(mean), 0.0)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}

    return MaskedBatchNormalization
