"""Recursive networks on the merging trees of jets, simple and gated, fast for trees of any shape.

A jet's embedding is that of the root of its tree. With u the embedding of a node's own seven numbers and L, R its children,

    u_k = relu(W_u o_k + b_u),    h_k = u_k of a constituent, else    h_k = relu(W_h [h_L, h_R, u_k] + b_h)

or, gated,

    h_k = z_H h'_k + z_L h_L + z_R h_R + z_N u_k,    h'_k = relu(W_h [r_L h_L, r_R h_R, r_N u_k] + b_h)
    [z_H, z_L, z_R, z_N] = softmax(W_z [h'_k, h_L, h_R, u_k] + b_z),    [r_L, r_R, r_N] = sigmoid(W_r [h_L, h_R, u_k] + b_r)

where products of two vectors are element by element and the softmax is over the four of each element. Two dense layers and one
of logits follow.

The published code goes level by level through ragged trees. Here every tree is a program of as many steps as a jet may have
mergings (`trigger.inputs.tree_programs`): one loop whose length and whose arrays are the same for every order and every jet. A
step merges one pair of each jet of the batch, by matrix products over the batch; what is still to be merged is in at most
log2(constituents) registers, so nothing is gathered from, or scattered to, arrays of all nodes, forth or back. The price is
that a jet of few constituents takes as many steps as one of many.

References:
    arXiv:1702.00748, section 3.1 and appendix A. Numbers of the nodes, left and right, scaling by quartiles, two dense layers:
    the code that its authors published.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.offline import layers
from trigger.config import Settings
from trigger.data.jets import JetDataset
from trigger.inputs.alignment import aligned, aligned_pixels
from trigger.inputs.tree_programs import (
    Floats,
    Indices,
    TreePrograms,
    leading_constituents,
    most_registers,
    node_features,
    tree_programs,
)

if TYPE_CHECKING:
    import keras

    from trigger.inputs.trees import MergingTrees

Order = Literal["kt", "cambridge_aachen", "anti_kt", "descending_pt", "ascending_pt", "random"]
"""How constituents are merged."""
FEATURES = 7
WIDTH_OF_A_STEP = 3 * FEATURES + 4
"""A step in the array `steps`: the seven numbers of the node, of its left and of its right child; registers of the two, -1 for
constituents; the register that the node is put into, -1 for none; 1 where the node is itself a constituent."""
Scale = Literal["linear", "logarithmic"]
"""Whether momenta and energies are seen as they are, as in the paper, or their logarithms."""
_MIDDLE = {
    "linear": np.array([10.0, 0.0, np.pi / 2, 0.0, 10.0, 0.03, 10.0]),
    "logarithmic": np.array([2.3, 0.0, np.pi / 2, 0.0, 2.3, -3.5, 2.3]),
}
_SPREAD = {
    "linear": np.array([30.0, 0.1, 0.1, 0.3, 30.0, 0.1, 30.0]),
    "logarithmic": np.array([1.5, 0.1, 0.1, 0.3, 1.5, 1.5, 1.5]),
}
"""About the medians, and the distances of the quartiles (of logarithms less), of nodes of aligned jets of 200 to 500 GeV. They
are fixed, so that a jet is seen alike in every sample."""
_ENERGIES = [0, 4, 5, 6]
_SOFTEST = 1e-3  # GeV, or share: less counts as this, where a logarithm is taken


class Recursive(Settings):
    """A recursive network on one tree of each jet, and the classifier on the jet's embedding.

    Attributes:
        order: How the constituents are merged.
        gated: Whether the recursion has gates.
        constituents: The most of a jet's constituents that are merged, by falling pT.
        width: Numbers of an embedding, and of each hidden layer of the classifier.
        scale: How momenta and energies are seen.
        image: Whether the constituents are the pixels of the jet's image.
        tree_seed: Of random trees.
    """

    kind: Literal["recursive"] = "recursive"
    order: Order = "kt"
    gated: bool = False
    constituents: int = Field(default=100, ge=2, le=1000)
    width: int = Field(default=40, gt=0)
    scale: Scale = "linear"
    image: bool = False
    tree_seed: int = Field(default=1, ge=0)

    @property
    def registers(self) -> int:
        """How many registers the trees need at most: one in a row, else as `most_registers` says."""
        return 1 if self.order.endswith("_pt") else most_registers(self.constituents)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """What the network is shown of each jet.

        Args:
            jets: The jets.
            workers: Not used: the time is numba's, and short.

        Returns:
            `steps`, shape `(jets, constituents - 1, WIDTH_OF_A_STEP)`.

        Raises:
            InputError: A number is NaN or infinite, a jet has no energy or leaves nothing in its image.
        """
        del workers
        return {"steps": self.steps(*aligned_constituents(jets, self.constituents, self.image))}

    def steps(self, momentum: Floats, offsets: Indices) -> NDArray[np.float32]:
        """The steps of jets whose constituents are chosen and aligned.

        Args:
            momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
            offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.

        Returns:
            Shape `(jets, constituents - 1, WIDTH_OF_A_STEP)`.
        """
        trees = trees_of(self.order, momentum, offsets, self.tree_seed)
        return packed(trees, tree_programs(trees, self.constituents - 1), self.scale)

    def embedding(self) -> Any:
        """A layer that makes an embedding, shape `(width,)`, of the steps of a jet."""
        return _embedding_class()(self.width, self.registers, self.gated, name="embedding")

    def build(self, shapes: dict[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network of the inputs that `seen` gives; logits in float32.

        Args:
            shapes: Shape of each input, without the rows.
            outputs: How many logits.
        """
        import keras

        steps = keras.Input(shapes["steps"], name="steps")
        return keras.Model({"steps": steps}, classified(self.embedding()(steps), self.width, outputs))


def aligned_constituents(jets: JetDataset, most: int, image: bool = False) -> tuple[Floats, Indices]:
    """At most so many constituents of each jet, or pixels of its image, by falling pT, turned into one direction.

    Returns:
        `px, py, pz, E` in GeV, shape `(constituents, 4)`, and offsets: jet `j` is rows `offsets[j]` to `offsets[j + 1]`.
    """
    from trigger.inputs.trees import flat_momenta  # compiled, as all of it

    if image:
        return leading_constituents(*aligned_pixels(jets), most)
    momentum, offsets = flat_momenta(jets.constituents)
    return leading_constituents(aligned(momentum, offsets), offsets, most)


def trees_of(order: Order, momentum: Floats, offsets: Indices, seed: int) -> MergingTrees:
    """The trees of an order; `seed` decides random ones."""
    from trigger.inputs.trees import ANTI_KT, CAMBRIDGE, KT, merging_trees, random_trees, sequential_trees

    match order:
        case "kt":
            return merging_trees(momentum, offsets, KT)
        case "cambridge_aachen":
            return merging_trees(momentum, offsets, CAMBRIDGE)
        case "anti_kt":
            return merging_trees(momentum, offsets, ANTI_KT)
        case "descending_pt":
            return sequential_trees(momentum, offsets, "descending")
        case "ascending_pt":
            return sequential_trees(momentum, offsets, "ascending")
        case "random":
            return random_trees(momentum, offsets, seed)


def scaled_features(momentum: Floats, jet_energy_gev: Floats, scale: Scale) -> NDArray[np.float32]:
    """The seven numbers of nodes as networks take them, shape `(nodes, 7)`; see `node_features`."""
    features = node_features(momentum, jet_energy_gev)
    if scale == "logarithmic":
        features[:, _ENERGIES] = np.log(np.maximum(features[:, _ENERGIES], _SOFTEST))
    scaled: NDArray[np.float32] = ((features - _MIDDLE[scale]) / _SPREAD[scale]).astype(np.float32)
    return scaled


def packed(trees: MergingTrees, programs: TreePrograms, scale: Scale) -> NDArray[np.float32]:
    """Programs and the numbers of their nodes as one array; `WIDTH_OF_A_STEP` says what is where."""
    energy = np.repeat(trees.nodes[trees.offsets[1:] - 1, 3], np.diff(trees.offsets))
    none = np.zeros((1, FEATURES), dtype=np.float32)  # what the index -1 finds
    features = np.concatenate([scaled_features(trees.nodes, energy, scale), none])
    nodes = np.concatenate([programs.node[..., None], programs.children], axis=-1)
    steps = np.empty((*programs.node.shape, WIDTH_OF_A_STEP), dtype=np.float32)
    steps[..., : 3 * FEATURES] = features[nodes].reshape(*programs.node.shape, -1)
    steps[..., -4:-2], steps[..., -2] = programs.registers, programs.target
    steps[..., -1] = (programs.node >= 0) & (programs.children[..., 0] < 0)
    return steps


def classified(x: Any, width: int, outputs: int) -> Any:
    """Two dense layers with ReLU, and logits in float32."""
    import keras

    for number in range(2):
        x = keras.layers.Dense(width, activation="relu", name=f"dense_{number}")(x)
    return layers.logits(x, outputs)


@lru_cache(maxsize=1)
def _embedding_class() -> Any:
    import keras
    from keras import ops

    class Merging(keras.layers.Layer):  # type: ignore[misc]
        """One step: two registers or constituents become one register."""

        def __init__(self, width: int, registers: int, gated: bool, **settings: Any) -> None:
            super().__init__(**settings)
            self.width, self.registers, self.gated = width, registers, gated
            self.state_size, self.output_size = [width] * registers, 1

        def build(self, _: Any) -> None:
            q = self.width
            # As in the published code: orthogonal, and a little more than 1 lest what is deep in a tree fades.
            orthogonal = keras.initializers.Orthogonal(1.1)
            sizes = {"u": (FEATURES, q, "glorot_uniform"), "h": (3 * q, q, orthogonal)}
            if self.gated:
                sizes |= {"r": (3 * q, 3 * q, "glorot_uniform"), "z": (4 * q, 4 * q, "glorot_uniform")}
            self.weight, self.bias = {}, {}
            for name, (rows, columns, initializer) in sizes.items():
                self.weight[name] = self.add_weight(shape=(rows, columns), initializer=initializer, name=f"W_{name}")
                self.bias[name] = self.add_weight(shape=(columns,), initializer="zeros", name=f"b_{name}")

        def linear(self, name: str, x: Any) -> Any:
            return ops.matmul(x, self.weight[name]) + self.bias[name]

        def call(self, step: Any, registers: Any) -> Any:
            # Nothing is learnt from where gradients of the steps would go, and their way is the longer one.
            step = ops.stop_gradient(step)
            own, *leaves = (ops.relu(self.linear("u", step[:, k * FEATURES : (k + 1) * FEATURES])) for k in range(3))
            left, right = (
                self.read(step[:, 3 * FEATURES + k : 3 * FEATURES + k + 1], leaf, registers)
                for k, leaf in enumerate(leaves)
            )
            merged = ops.where(step[:, -1:] > 0.5, own, self.merge(left, right, own))
            after = [ops.where(_is(step[:, -2:-1], k), merged, before) for k, before in enumerate(registers)]
            return merged[:, :1], after

        def read(self, place: Any, leaf: Any, registers: Any) -> Any:
            found = ops.where(place < -0.5, leaf, 0.0)
            for k, held in enumerate(registers):
                found = found + ops.where(_is(place, k), held, 0.0)
            return found

        def merge(self, left: Any, right: Any, own: Any) -> Any:
            three = ops.concatenate([left, right, own], axis=-1)
            if not self.gated:
                return ops.relu(self.linear("h", three))
            reset = ops.sigmoid(self.linear("r", three))
            fresh = ops.relu(self.linear("h", reset * three))
            four = self.linear("z", ops.concatenate([fresh, three], axis=-1))
            gates = [four[:, k * self.width : (k + 1) * self.width] for k in range(4)]
            # A softmax over four, written out: over an axis that is not the last it does not compile with TensorFlow.
            highest = ops.stop_gradient(ops.maximum(ops.maximum(*gates[:2]), ops.maximum(*gates[2:])))
            gates = [ops.exp(gate - highest) for gate in gates]
            total = sum(gate * of for gate, of in zip(gates, (fresh, left, right, own), strict=True))
            return total / sum(gates)

    class Embedding(keras.layers.Layer):  # type: ignore[misc]
        """The jet's register after all steps."""

        def __init__(self, width: int, registers: int, gated: bool, **settings: Any) -> None:
            super().__init__(**settings)
            self.width = width
            merging = Merging(width, registers, gated, dtype=self.dtype_policy, name="merging")
            self.loop = keras.layers.RNN(merging, return_state=True, dtype=self.dtype_policy, name="loop")

        def build(self, steps_shape: tuple[int | None, ...]) -> None:
            self.loop.build(steps_shape)

        def call(self, steps: Any) -> Any:
            return self.loop(steps)[1]

        def compute_output_shape(self, steps_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return (steps_shape[0], self.width)

    def _is(place: Any, register: int) -> Any:
        return ops.abs(place - register) < 0.5

    return Embedding
