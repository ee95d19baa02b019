"""LoLa: a network that makes Lorentz vectors out of Lorentz vectors, and invariants out of these.

References:
    arXiv:1707.08966.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.layers import Nodes
from models.offline import layers
from models.offline.classifier import JetClassifier
from models.offline.clouds import leading
from trigger.data.jets import JetDataset

_SMALLEST = 1e-12
"""Square of a pT below which its root is not differentiated."""


class Lola(JetClassifier):
    """A layer that combines Lorentz vectors, a layer of their invariants, and dense layers.

    The order of the constituents matters: they come by falling pT. Empty slots are left out of sums and minima and have no
    entries of their own; in the paper they are vectors of zeros, whose distance to another is the other's mass.

    Attributes:
        particles: Constituents of largest pT that it is shown.
        combinations: Trained sums of Lorentz vectors.
        sums: For each vector, trained sums of its distances to all.
        minima: For each vector, minima of its distances to all, with trained weights.
        scale_gev: Momenta are divided by it. The paper does not say by what; the default brings constituents of jets of some
            hundred GeV to about 1.
        hidden: Nodes of each dense layer.

    References:
        Layers: arXiv:1707.08966, equations 4 to 7, whose network for 40 constituents has 61 thousand weights. In
        arXiv:1902.09914 it has 127 thousand, for more constituents.
    """

    kind: Literal["lola"]
    inputs: ClassVar[tuple[str, ...]] = ("momenta", "mask")
    particles: int = Field(default=40, gt=0, le=500)
    combinations: int = Field(default=15, gt=0)
    sums: int = Field(default=2, gt=0)
    minima: int = Field(default=2, gt=0)
    scale_gev: float = Field(default=100.0, gt=0)
    hidden: Nodes = (100, 50)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`momenta`, `E, px, py, pz` in units of `scale_gev`, and the `mask`.

        Raises:
            InputError: See `clouds.leading`.
        """
        cloud = leading(jets, self.particles)
        return {"momenta": cloud.padded(cloud.momentum[:, [3, 0, 1, 2]] / self.scale_gev), "mask": cloud.mask()}

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras

        # In single precision throughout: masses are small differences of large squares.
        combined = combination_layer()(self.combinations, dtype="float32", name="combinations")
        invariants = lorentz_layer()(self.sums, self.minima, dtype="float32", name="invariants")
        x = invariants(*combined(given["momenta"], given["mask"]))
        x = keras.layers.Flatten(name="flatten")(x)
        return layers.dense(x, self.hidden, "dense")


@cache
def combination_layer() -> Any:
    """The class of a layer: the sum of all vectors, the vectors themselves, and trained sums of them.

    Called with vectors `(jets, slots, 4)` and a mask `(jets, slots)`; gives back vectors `(jets, 1 + slots + combinations,
    4)` and their mask.

    References:
        arXiv:1707.08966, equations 4 and 5.
    """
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=layers.PACKAGE)
    class CombinationLayer(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, combinations: int, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.combinations = combinations

        def build(self, momenta_shape: Any, filled_shape: Any) -> None:
            self.weight = self.add_weight(
                shape=(momenta_shape[1], self.combinations), initializer="random_uniform", name="weight"
            )

        def call(self, momenta: Any, filled: Any) -> tuple[Any, Any]:
            momenta = momenta * filled[..., None]
            # Products and sums, not a matrix product: on a GPU that may round its factors to ten bits.
            mixed = ops.sum(momenta[:, :, None] * ops.convert_to_tensor(self.weight)[..., None], axis=1)
            whole = ops.sum(momenta, axis=1, keepdims=True)
            there = ops.ones_like(filled[:, :1])
            every = ops.repeat(there, self.combinations, axis=1)
            return ops.concatenate([whole, momenta, mixed], axis=1), ops.concatenate([there, filled, every], axis=1)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "combinations": self.combinations}

    return CombinationLayer


@cache
def lorentz_layer() -> Any:
    """The class of a layer: what is invariant, or has a meaning, of each Lorentz vector and of its distances to the others.

    Called with vectors `(jets, vectors, 4)` and their mask; gives back `(jets, vectors, 3 + sums + minima)`: squared mass,
    pT, a trained sum of all energies, trained sums of squared distances to all vectors, and minima of such distances, each
    times a trained weight. Squares are of the metric `(+, -, -, -)`.

    References:
        arXiv:1707.08966, equation 7 and the text after it.
    """
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=layers.PACKAGE)
    class LorentzLayer(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, sums: int, minima: int, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.sums, self.minima = sums, minima

        def build(self, momenta_shape: Any, filled_shape: Any) -> None:
            pairs = (momenta_shape[1], momenta_shape[1])
            self.of_energy = self.add_weight(shape=pairs, initializer="random_uniform", name="of_energy")
            self.of_sums = self.add_weight(shape=(*pairs, self.sums), initializer="random_uniform", name="of_sums")
            self.of_minima = self.add_weight(
                shape=(*pairs, self.minima), initializer="random_uniform", name="of_minima"
            )

        def call(self, momenta: Any, filled: Any) -> Any:
            energy, px, py = momenta[..., 0] * filled, momenta[..., 1], momenta[..., 2]
            pt = ops.sqrt(ops.maximum(ops.square(px) + ops.square(py), _SMALLEST))
            energies = ops.matmul(energy, ops.transpose(self.of_energy))
            distance = _squared(momenta[:, :, None] - momenta[:, None, :])[..., None]
            other = filled[:, None, :, None]
            sums = ops.sum(distance * other * self.of_sums, axis=2)
            minima = ops.min(ops.where(other > 0.5, distance * self.of_minima, layers.FAR), axis=2)
            single = ops.stack([_squared(momenta), pt, energies], axis=-1)
            return ops.concatenate([single, sums, minima], axis=-1) * filled[..., None]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "sums": self.sums, "minima": self.minima}

    return LorentzLayer


def _squared(momentum: Any) -> Any:
    """Square of vectors `E, px, py, pz` on the last axis."""
    from keras import ops

    return ops.square(momentum[..., 0]) - ops.sum(ops.square(momentum[..., 1:]), axis=-1)
