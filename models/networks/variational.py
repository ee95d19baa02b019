"""A variational autoencoder of which the encoder goes on the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from models import layers, losses
from models.layers import Nodes
from models.networks.purpose import AnomalyDetector
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.losses import Lesson
    from models.quantization import Quantization


class Variational(AnomalyDetector):
    """Dense layers to the means of a few latent variables; the score is the sum of their squares.

    The training holds the latent variables of the background to a normal distribution of mean 0 and standard deviation 1,
    and lets a decoder rebuild the inputs from them. The decoder, the layer of the variances and the sampling are float and
    exist in the training alone. The loss of an event is `(1 - beta) R + beta D`: `R` is half the squared error of the
    reconstruction, summed over inputs, and `D` the Kullback-Leibler divergence, summed over latent variables. Half and half,
    it is half the (negative) evidence bound of unit variance.

    Attributes:
        hidden: Nodes of each layer before the means; in the decoder in reverse.
        latent: Latent variables; fewer than inputs.
        beta: Weight of the divergence, between 0 and 1.

    References:
        arXiv:1312.6114; the score and the weights of the loss: arXiv:2108.03986.
    """

    kind: Literal["variational"]
    hidden: Nodes = (32, 16)
    latent: int = Field(default=4, gt=0)
    beta: float = Field(default=0.5, ge=0, lt=1)

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The encoder and its score, float where `quantization` is `None`; one output whatever `outputs` is.

        Raises:
            InputError: There are not more inputs than latent variables, or the means would be cast to an unsigned format.
        """
        import keras

        layers.require_bottleneck(contract, self.latent, self.kind)
        layers.require_signed(contract, quantization, self.kind)
        start, x = layers.inputs(contract, quantization)
        x = layers.flat(x)
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"encoder{number}")
            x = layers.relu(x, quantization, f"encoder{number}_relu")
        x = layers.dense(x, self.latent, quantization, "mean")
        x = layers.linear(x, contract, quantization, "mean_cast")
        return keras.Model(start, layers.squared_norm(x, "score"), name=self.kind)

    def lesson(self, model: keras.Model) -> Lesson:
        """The encoder with all that the training needs; its output is the loss of each event."""
        import keras
        from keras import ops

        mean, seen = model.get_layer("score").input[0], model.get_layer("mean").input
        given = layers.flat(model.input, "given")
        log_variance = keras.layers.Dense(self.latent, kernel_initializer="zeros", name="log_variance")(seen)
        # In training normal, with a sample for each event; otherwise 0, so that the validation loss has no noise.
        noise = keras.layers.GaussianNoise(1.0, name="noise")(ops.zeros_like(mean))
        x = mean + ops.exp(log_variance / 2) * noise
        for number, units in enumerate(reversed(self.hidden), 1):
            x = layers.relu(layers.dense(x, units, None, f"decoder{number}"), None, f"decoder{number}_relu")
        rebuilt = layers.dense(x, given.shape[-1], None, "reconstruction")
        error = ops.sum(ops.square(given - rebuilt), axis=1) / 2
        divergence = ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=1) / 2
        return losses.smallest(keras.Model(model.input, (1 - self.beta) * error + self.beta * divergence))
