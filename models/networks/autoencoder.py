"""An autoencoder whose squared error is computed on the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from models import layers
from models.layers import Nodes
from models.networks.purpose import AnomalyDetector
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.quantization import Quantization


class Autoencoder(AnomalyDetector):
    """Dense layers down to a few latent values and, mirrored, back to the inputs.

    The score is the sum of the squares of what the reconstruction misses, in units of the scaled inputs. The same sum is
    what the training makes small. Inputs of any shape are taken as one row.

    Attributes:
        hidden: Nodes of each layer before the latent values; after them in reverse.
        latent: Latent values; fewer than inputs.

    References:
        arXiv:1808.08979, arXiv:1808.08992; as trigger firmware: arXiv:2108.03986.
    """

    kind: Literal["autoencoder"]
    hidden: Nodes = (32, 16)
    latent: int = Field(default=4, gt=0)

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The network, float where `quantization` is `None`; it has one output whatever `outputs` is.

        Raises:
            InputError: There are not more inputs than latent values, or these would be cast to an unsigned format.
        """
        import keras

        layers.require_bottleneck(contract, self.latent, self.kind)
        layers.require_signed(contract, quantization, self.kind)
        start, x = layers.inputs(contract, quantization)
        given = x = layers.flat(x)
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"encoder{number}")
            x = layers.relu(x, quantization, f"encoder{number}_relu")
        x = layers.dense(x, self.latent, quantization, "latent")
        x = layers.linear(x, contract, quantization, "latent_cast")
        for number, units in enumerate(reversed(self.hidden), 1):
            x = layers.dense(x, units, quantization, f"decoder{number}")
            x = layers.relu(x, quantization, f"decoder{number}_relu")
        x = layers.dense(x, len(contract.inputs), quantization, "reconstruction")
        x = layers.linear(x, contract, quantization, "reconstruction_cast")
        missed = keras.layers.Subtract(name="missed")([given, x])
        return keras.Model(start, layers.squared_norm(missed, "score"), name=self.kind)
