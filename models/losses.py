"""What a network learns: the loss, and what it is compared with.

References:
    Huber's loss: doi:10.1214/aoms/1177703732.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

    from models.training import Batch


@dataclass(frozen=True)
class Lesson:
    """What is fitted, and to what.

    Attributes:
        model: The network on the chip, or a larger one that shares its layers.
        loss: Of each event, from the answers and the model's outputs.
        answers: What the outputs are compared with.
        metrics: What the history holds beside the loss.
    """

    model: keras.Model
    loss: Callable[[Any, Any], Any]
    answers: Callable[[Batch], NDArray[Any]]
    metrics: tuple[Any, ...] = ()


def classification(model: keras.Model) -> Lesson:
    """Cross-entropy of logits."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Lesson(model, loss, lambda batch: batch.labels, ("accuracy",))


def classification_and_correction(model: keras.Model, weight: float) -> Lesson:
    """Cross-entropy of all outputs but the last, plus `weight` times Huber's loss of the last against the target."""
    from keras import losses, metrics

    def loss(answers: Any, outputs: Any) -> Any:
        entropy = losses.sparse_categorical_crossentropy(answers[:, 0], outputs[:, :-1], from_logits=True)
        return entropy + weight * losses.huber(answers[:, 1:], outputs[:, -1:])

    def accuracy(answers: Any, outputs: Any) -> Any:
        return metrics.sparse_categorical_accuracy(answers[:, :1], outputs[:, :-1])

    def correction_loss(answers: Any, outputs: Any) -> Any:
        return losses.huber(answers[:, 1:], outputs[:, -1:])

    def answers(batch: Batch) -> NDArray[Any]:
        return np.stack([batch.labels.astype(np.float32), batch.required_target()], axis=1)

    return Lesson(model, loss, answers, (accuracy, correction_loss))


def smallest(model: keras.Model) -> Lesson:
    """The model's one output is the loss itself, as an autoencoder's squared error is."""
    from keras import ops

    def loss(_: Any, outputs: Any) -> Any:
        return ops.reshape(outputs, (-1,))

    return Lesson(model, loss, lambda batch: np.zeros(len(batch.labels), dtype=np.float32))


def regression(model: keras.Model) -> Lesson:
    """Huber's loss of the one output against the target."""
    from keras import losses, ops

    def loss(answers: Any, outputs: Any) -> Any:
        return losses.huber(ops.reshape(answers, (-1, 1)), ops.reshape(outputs, (-1, 1)))

    return Lesson(model, loss, lambda batch: batch.required_target())
