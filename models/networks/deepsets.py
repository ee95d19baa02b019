"""Deep sets: a network on particles that does not care for their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from models import layers, losses
from models.layers import Nodes
from models.networks.purpose import Classifier
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.losses import Lesson
    from models.quantization import Quantization


class DeepSets(Classifier):
    """The same dense layers on each particle, the average (or the greatest) over particles, dense layers on that.

    The inputs are `(particles, fields)`; an empty place counts like a particle whose fields are all 0. With a correction
    the last output is no logit but the quantity that the sample gives as target: what the jet's pT is to be corrected by.

    Attributes:
        particle: Nodes of each layer on a particle.
        aggregation: What is kept of all particles; an `average` is over a power of two of them.
        hidden: Nodes of each layer on the jet.
        correction: Whether there is a second head.
        correction_hidden: Nodes of each layer of the second head.
        correction_weight: Of the second head's loss (Huber's), beside the cross-entropy: squared errors of a factor near 1
            are some thousandths, and cross-entropies near 1.

    References:
        Deep sets: arXiv:1703.06114; for particles: arXiv:1810.05165; as trigger firmware: arXiv:2402.01876.
    """

    kind: Literal["deepsets"]
    particle: Nodes = Field(default=(16, 16), min_length=1)
    aggregation: Literal["average", "max"] = "average"
    hidden: Nodes = (16,)
    correction: bool = False
    correction_hidden: Nodes = (8,)
    correction_weight: float = Field(default=50.0, gt=0)

    def outputs(self, class_names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the network's outputs: the classes, and `pt_correction`."""
        return (*class_names, "pt_correction") if self.correction else class_names

    def lesson(self, model: keras.Model) -> Lesson:
        """Cross-entropy, with the second head's loss where there is one."""
        if not self.correction:
            return super().lesson(model)
        return losses.classification_and_correction(model, self.correction_weight)

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The network for `outputs` classes, float where `quantization` is `None`.

        Raises:
            InputError: The contract has another shape, or the average is over a number that is no power of two.
        """
        import keras

        layers.require_shape(contract, ("particles", "fields"), self.kind)
        start, x = layers.inputs(contract, quantization)
        for number, units in enumerate(self.particle, 1):
            x = layers.dense(x, units, quantization, f"particle{number}")
            x = layers.relu(x, quantization, f"particle{number}_relu")
        jet = layers.global_pooling(x, self.aggregation, self.kind, "aggregation")
        x = jet
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"dense{number}")
            x = layers.relu(x, quantization, f"dense{number}_relu")
        x = layers.dense(x, outputs, quantization, "logits")
        if self.correction:
            y = jet
            for number, units in enumerate(self.correction_hidden, 1):
                y = layers.dense(y, units, quantization, f"correction{number}")
                y = layers.relu(y, quantization, f"correction{number}_relu")
            y = layers.dense(y, 1, quantization, "correction")
            x = keras.layers.Concatenate(name="outputs")([x, y])
        return keras.Model(start, x, name=self.kind)
