"""An interaction network: what pairs of particles tell each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from models import layers
from models.layers import Nodes
from models.networks.purpose import Classifier
from trigger.errors import InputError
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.quantization import Quantization


class Interaction(Classifier):
    """Dense layers on each ordered pair of particles, summed at the one that receives; dense layers on each particle with
    what it received; the average (or the greatest) over particles; dense layers on that.

    The inputs are `(particles, fields)`. `n` particles have `n (n - 1)` ordered pairs, each with its own copy of the pair's
    layers on the chip: eight particles are 56, sixteen are 240. Which particles a pair has is picked by fixed matrices of 0
    and 1, so that the network is dense layers alone.

    Attributes:
        pair: Nodes of each layer on a pair; it sees the fields of the receiver, then of the sender.
        particle: Nodes of each layer on a particle; it sees the particle's fields, then the sum of its pairs.
        aggregation: What is kept of all particles; an `average` is over a power of two of them.
        hidden: Nodes of each layer on the jet.

    References:
        arXiv:1612.00222; for jets: arXiv:1908.05318, whose sums over particles are averages here; as trigger firmware:
        arXiv:2209.14065.
    """

    kind: Literal["interaction"]
    pair: Nodes = Field(default=(8, 4), min_length=1)
    particle: Nodes = Field(default=(8,), min_length=1)
    aggregation: Literal["average", "max"] = "average"
    hidden: Nodes = (16,)

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The network for `outputs` classes, float where `quantization` is `None`.

        Raises:
            InputError: The contract has another shape or a single particle, or the average is over a number that is no power
                of two.
        """
        import keras

        layers.require_shape(contract, ("particles", "fields"), self.kind)
        particles = contract.network_shape[0]
        if particles < 2:
            raise InputError(
                f"the network {self.kind!r} needs pairs of particles; the contract has {particles} particle"
            )
        start, given = layers.inputs(contract, quantization)
        receivers, senders = pairs(particles)
        x = keras.layers.Concatenate(name="pairs")(
            [
                layers.select(given, receivers, quantization, "receivers"),
                layers.select(given, senders, quantization, "senders"),
            ]
        )
        for number, units in enumerate(self.pair, 1):
            x = layers.dense(x, units, quantization, f"pair{number}")
            x = layers.relu(x, quantization, f"pair{number}_relu")
        x = layers.select(x, receivers.T, quantization, "received")
        x = keras.layers.Concatenate(name="particles")([given, x])
        for number, units in enumerate(self.particle, 1):
            x = layers.dense(x, units, quantization, f"particle{number}")
            x = layers.relu(x, quantization, f"particle{number}_relu")
        x = layers.global_pooling(x, self.aggregation, self.kind, "aggregation")
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"dense{number}")
            x = layers.relu(x, quantization, f"dense{number}_relu")
        x = layers.dense(x, outputs, quantization, "logits")
        return keras.Model(start, x, name=self.kind)


def pairs(particles: int) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.int64]], ...]:
    """Receiver and sender of each ordered pair as matrices of 0 and 1, both of shape `(pairs, particles)`."""
    receiver, sender = np.nonzero(~np.eye(particles, dtype=bool))
    return np.eye(particles, dtype=np.int64)[receiver], np.eye(particles, dtype=np.int64)[sender]
