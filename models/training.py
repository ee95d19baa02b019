"""Training: one function for every network, float or quantised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.losses import Lesson, smallest
from models.networks.student import Student
from models.recipe import Network, Training
from trigger.errors import InputError

if TYPE_CHECKING:
    import keras

    from models.quantization import Quantization
    from trigger.inputs.contract import InputSpec

History = dict[str, list[float]]
EpochProgress = Callable[[int, int], None]
"""Called with the epochs done and the epochs at the most."""


class Batch:
    """Inputs, labels and weights of one split.

    Attributes:
        inputs: What the network sees, shape `(jets, *input)`.
        labels: Class indices, shape `(jets,)`.
        weights: Shape `(jets,)`.
        target: A quantity that the network learns beside or in place of the class, shape `(jets,)`.
    """

    def __init__(
        self, inputs: NDArray[np.floating[Any]], labels: NDArray[np.int64], weights: NDArray[np.floating[Any]],
        target: NDArray[np.floating[Any]] | None = None,
    ) -> None:  # fmt: skip
        self.inputs = inputs.astype(np.float32)
        self.labels = labels
        self.weights = weights.astype(np.float32)
        self.target = None if target is None else target.astype(np.float32)

    def required_target(self) -> NDArray[np.float32]:
        """The target.

        Raises:
            InputError: There is none.
        """
        if self.target is None:
            raise InputError(
                "the network learns a quantity beside the class, and the sample has none: use inputs that give one, or a "
                "network without 'correction'"
            )
        return self.target


def train(
    network: Network, contract: InputSpec, outputs: int, quantization: Quantization | None, training: Training, seed: int,
    learn: Batch, validate: Batch, progress: EpochProgress | None = None,
) -> tuple[keras.Model, History]:  # fmt: skip
    """Build a network and train it on what its `lesson` says.

    A classifier learns by weighted cross-entropy of its logits. An anomaly detector learns from every row that it is given,
    whatever its label: give it the background alone. The same arguments give the same bits on the same machine and backend.

    Args:
        network: What to build.
        contract: Its inputs.
        outputs: Number of classes.
        quantization: Formats; `None` for the float network.
        training: How to train.
        seed: Of everything random.
        learn: What is learnt from.
        validate: What decides which epoch is kept.
        progress: Told of every epoch; a student's teacher is counted by itself.

    Returns:
        The network that goes on the chip, with the weights of the epoch of lowest validation loss, and the history: `loss`,
        `val_loss`, `learning_rate` and what the lesson counts (`accuracy`, `val_accuracy`) by epoch.

    Raises:
        InputError: There are too few jets, the contract does not suit the network, the sample lacks what the network is to
            learn, the loss became NaN, or an anomaly detector learnt to answer the same to everything.
    """
    import keras

    if len(learn.labels) < outputs or len(validate.labels) < outputs:
        raise InputError(
            f"{len(learn.labels)} jets to train on and {len(validate.labels)} to validate with are too few"
        )
    keras.utils.set_random_seed(seed)
    taught: History = {}
    if isinstance(network, Student):
        learn, validate, taught = teach(network, contract, training, seed, learn, validate, progress)
    model = network.build(contract, outputs, quantization)
    history = fit(network.lesson(model), training, learn, validate, progress)
    history.update(taught)
    if network.task == "anomaly" and len(validate.labels) > 1 and np.ptp(logits(model, validate.inputs)) == 0:
        raise InputError(
            "the trained network gives every input the same score: wider formats, another seed or a smaller "
            "training.learning_rate would be right"
        )
    return model, history


def teach(
    student: Student, contract: InputSpec, training: Training, seed: int, learn: Batch, validate: Batch,
    progress: EpochProgress | None = None,
) -> tuple[Batch, Batch, History]:  # fmt: skip
    """Train the teacher of a student on the background.

    Returns:
        What the student learns from and what it is validated with, the teacher's answers as targets; and the teacher's
        history, as `teacher_loss` and `teacher_val_loss`.
    """
    teacher = student.teacher.build(contract, learn.inputs)
    history = fit(smallest(teacher), training, learn, validate, progress)
    generator = np.random.default_rng(seed)
    background = logits(teacher, learn.inputs)[:, 0]

    def lesson_of(batch: Batch) -> Batch:
        added = student.scramble(batch.inputs, contract, generator)
        inputs = np.concatenate([batch.inputs, added])
        labels = np.concatenate([batch.labels, np.full(len(added), -1, dtype=np.int64)])  # of no class
        weights = np.concatenate([batch.weights, np.full(len(added), batch.weights.mean())])
        target = student.targets(logits(teacher, inputs)[:, 0], background, learn.weights)
        return Batch(inputs, labels, weights, target)

    return (
        lesson_of(learn), lesson_of(validate), {f"teacher_{name}": history[name] for name in ("loss", "val_loss")}
    )  # fmt: skip


def fit(
    lesson: Lesson, training: Training, learn: Batch, validate: Batch, progress: EpochProgress | None = None
) -> History:
    """Fit the lesson's model, and leave it with the weights of the epoch of lowest validation loss.

    Raises:
        InputError: The loss became NaN.
    """
    import keras

    steps = -(-len(learn.labels) // training.batch_size)
    lesson.model.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss=lesson.loss,
        weighted_metrics=list(lesson.metrics),
        # Several steps in one compiled call: feeding them one by one is what costs time under TensorFlow.
        steps_per_execution=max(1, min(steps, 16)),
        jit_compile=True,
    )
    callbacks: list[Any] = [
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=max(1, training.patience // 2)),
        keras.callbacks.EarlyStopping(patience=training.patience, restore_best_weights=True),
        keras.callbacks.TerminateOnNaN(raise_error=False),
    ]
    if progress is not None:
        callbacks.append(
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress(epoch + 1, training.epochs))
        )
    fitted = lesson.model.fit(
        learn.inputs, lesson.answers(learn), sample_weight=learn.weights, batch_size=training.batch_size,
        epochs=training.epochs, validation_data=(validate.inputs, lesson.answers(validate), validate.weights),
        callbacks=callbacks, verbose=0,
    )  # fmt: skip
    history = {name: [float(value) for value in values] for name, values in fitted.history.items()}
    if not np.isfinite(history["loss"]).all():
        raise InputError("the training loss became NaN: a smaller training.learning_rate would be right")
    return history


def logits(model: keras.Model, inputs: NDArray[np.floating[Any]], batch_size: int = 8192) -> NDArray[np.float64]:
    """The network's outputs, logits or scores, in its own precision; shape `(jets, outputs)`."""
    outputs = model.predict(inputs.astype(np.float32), batch_size=batch_size, verbose=0)
    return np.asarray(outputs, dtype=np.float64)
