"""What a network is for: the part of its contract that all taggers share, and the part that all anomaly detectors share.

Together with `kind` and `build` it is all that a network must have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from models import losses
from trigger.config import Settings

if TYPE_CHECKING:
    import keras

    from models.losses import Lesson

Task = Literal["classification", "anomaly"]


class Classifier(Settings):
    """A network whose outputs are the logits of the classes."""

    task: ClassVar[Task] = "classification"

    def outputs(self, class_names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the network's outputs, in order."""
        return class_names

    def lesson(self, model: keras.Model) -> Lesson:
        """What `model`, which `build` made, is to learn."""
        return losses.classification(model)


class AnomalyDetector(Settings):
    """A network with one output, the score: the larger, the less like what it was trained on."""

    task: ClassVar[Task] = "anomaly"

    def outputs(self, class_names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the network's outputs, in order."""
        del class_names  # it knows none
        return ("score",)

    def lesson(self, model: keras.Model) -> Lesson:
        """What `model`, which `build` made, is to learn."""
        return losses.smallest(model)
