"""Message passing on the constituents of a jet, along edges that are learnt.

Every constituent has a hidden state. In each of a few rounds the states say how strongly each two are connected, messages go
along these connections, and the states are renewed by a gated recurrent unit; then a readout is averaged over the constituents,
and the classifier of `recursive` follows. All is matrix products over a batch.

    A_ij = exp(h_i M h_j) / sum_k exp(h_i M h_k),    m_i = sum_j A_ij relu(W h_j + b),    h_i <- GRU(h_i, m_i)

References:
    Henrion, Brehmer, Bruna, Cho, Cranmer, Louppe, Rochette, "Neural Message Passing for Jet Physics", workshop on deep learning
    for physical sciences, NIPS 2017; symmetric and identical adjacency too. The bilinear form and the readout are of the code
    that its authors published. Gated recurrent unit: arXiv:1406.1078.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.offline.recursive import FEATURES, Scale, aligned_constituents, classified, scaled_features
from trigger.config import Settings
from trigger.data.jets import JetDataset

if TYPE_CHECKING:
    import keras

Adjacency = Literal["learned", "symmetric", "identity"]
"""Which constituents hear each other: as learnt, as learnt with either direction the mean of both, each only itself."""


class MessagePassing(Settings):
    """Message passing with a learned adjacency.

    Attributes:
        adjacency: Which constituents hear each other.
        constituents: The most of a jet's constituents, by falling pT.
        width: Numbers of a state, and of each hidden layer of the classifier.
        rounds: How often messages are passed.
        scale: How momenta and energies are seen.
    """

    kind: Literal["message_passing"] = "message_passing"
    adjacency: Adjacency = "learned"
    constituents: int = Field(default=100, ge=2, le=1000)
    width: int = Field(default=40, gt=0)
    rounds: int = Field(default=2, gt=0, le=10)
    scale: Scale = "linear"

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """What the network is shown of each jet.

        Args:
            jets: The jets.
            workers: Not used.

        Returns:
            `nodes`, the seven numbers of each constituent, shape `(jets, constituents, 7)`, and `mask`, 1 where there is one,
            shape `(jets, constituents)`.

        Raises:
            InputError: A number is NaN or infinite, or a jet has no energy.
        """
        del workers
        momentum, offsets = aligned_constituents(jets, self.constituents)
        counts = np.diff(offsets)
        jet = np.repeat(np.arange(len(counts)), counts)
        slot = np.arange(len(jet)) - offsets[:-1][jet]
        nodes = np.zeros((len(counts), self.constituents, FEATURES), dtype=np.float32)
        nodes[jet, slot] = scaled_features(momentum, np.add.reduceat(momentum[:, 3], offsets[:-1])[jet], self.scale)
        return {"nodes": nodes, "mask": (np.arange(self.constituents) < counts[:, None]).astype(np.float32)}

    def build(self, shapes: dict[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network of the inputs that `seen` gives; logits in float32.

        Args:
            shapes: Shape of each input, without the rows.
            outputs: How many logits.
        """
        import keras
        from keras import layers, ops

        nodes, mask = (keras.Input(shapes[name], name=name) for name in ("nodes", "mask"))
        state = layers.Dense(self.width, activation="tanh", name="embedding")(nodes)
        for number in range(self.rounds):
            message = layers.Dense(self.width, activation="relu", name=f"message_{number}")(state)
            if self.adjacency != "identity":
                message = ops.matmul(self._adjacency(state, mask, number), message)
            state = self._renewed(state, message, number)
        x = layers.Dense(self.width, activation="tanh", name="readout_0")(state)
        x = layers.Dense(self.width, name="readout_1")(x)
        # Divided by all slots, as published: how many constituents there are is not lost.
        x = ops.mean(x * ops.cast(mask, x.dtype)[..., None], axis=1)
        return keras.Model({"nodes": nodes, "mask": mask}, classified(x, self.width, outputs))

    def _adjacency(self, state: Any, mask: Any, number: int) -> Any:
        """How strongly each constituent (row) hears each other, shape `(batch, constituents, constituents)`."""
        from keras import layers, ops

        turned = layers.Dense(self.width, use_bias=False, name=f"edges_{number}")(state)
        scores = ops.cast(ops.matmul(turned, ops.transpose(state, (0, 2, 1))), "float32")
        scores = scores - 1e4 * (1 - ops.cast(mask, "float32"))[:, None, :]
        heard = ops.softmax(scores, axis=-1) * ops.cast(mask, "float32")[:, :, None]
        if self.adjacency == "symmetric":
            heard = (heard + ops.transpose(heard, (0, 2, 1))) / 2
        return ops.cast(heard, state.dtype)

    def _renewed(self, state: Any, message: Any, number: int) -> Any:
        """A gated recurrent unit with the message as its input."""
        from keras import layers, ops

        both = ops.concatenate([message, state], axis=-1)
        keep, reset = (
            layers.Dense(self.width, activation="sigmoid", name=f"{gate}_{number}")(both) for gate in ("keep", "reset")
        )
        fresh = layers.Dense(self.width, activation="tanh", name=f"fresh_{number}")(
            ops.concatenate([message, reset * state], axis=-1)
        )
        return keep * state + (1 - keep) * fresh
