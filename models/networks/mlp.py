"""A multilayer perceptron on jet features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from models import layers
from models.layers import Nodes
from models.networks.purpose import Classifier
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.quantization import Quantization


class Mlp(Classifier):
    """Dense layers with rectifiers between them; the outputs are logits, the softmax stays outside the chip.

    The default is the jet tagger of arXiv:1804.06913: 16 inputs, 64, 32 and 32 nodes, 5 outputs. Inputs of any shape are
    taken as one row.

    Attributes:
        hidden: Nodes of each hidden layer.

    Example:
        >>> network = Mlp(kind="mlp", hidden=(64, 32, 32)).build(contract, 5, quantization)
    """

    kind: Literal["mlp"]
    hidden: Nodes = (64, 32, 32)

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The network for `outputs` classes, float where `quantization` is `None`."""
        import keras

        start, x = layers.inputs(contract, quantization)
        x = layers.flat(x)
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"dense{number}")
            x = layers.relu(x, quantization, f"relu{number}")
        x = layers.dense(x, outputs, quantization, "logits")
        return keras.Model(start, x, name="mlp")
