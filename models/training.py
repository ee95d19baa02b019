"""Training: one function for every network, float or quantised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    """

    def __init__(self, inputs: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        self.inputs = inputs.astype(np.float32)
        self.labels = labels
        self.weights = weights.astype(np.float32)


def train(
    network: Network, contract: InputSpec, outputs: int, quantization: Quantization | None, training: Training, seed: int,
    learn: Batch, validate: Batch, progress: EpochProgress | None = None,
) -> tuple[keras.Model, History]:  # fmt: skip
    """Build a network and train it with weighted cross-entropy on its logits.

    The same arguments give the same bits on the same machine and backend.

    Returns:
        The trained network with the weights of the epoch of lowest validation loss, and the history: `loss`,
        `accuracy`, `val_loss`, `val_accuracy` and `learning_rate` by epoch.

    Raises:
        InputError: There are too few jets, or the loss became NaN.
    """
    import keras

    if len(learn.labels) < outputs or len(validate.labels) < outputs:
        raise InputError(
            f"{len(learn.labels)} jets to train on and {len(validate.labels)} to validate with are too few"
        )
    keras.utils.set_random_seed(seed)
    model = network.build(contract, outputs, quantization)
    steps = -(-len(learn.labels) // training.batch_size)
    model.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
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
    fitted = model.fit(
        learn.inputs, learn.labels, sample_weight=learn.weights, batch_size=training.batch_size, epochs=training.epochs,
        validation_data=(validate.inputs, validate.labels, validate.weights), callbacks=callbacks, verbose=0,
    )  # fmt: skip
    history = {name: [float(value) for value in values] for name, values in fitted.history.items()}
    if not np.isfinite(history["loss"]).all():
        raise InputError("the training loss became NaN: a smaller training.learning_rate would be right")
    return model, history


def logits(model: keras.Model, inputs: NDArray[np.float64], batch_size: int = 8192) -> NDArray[np.float64]:
    """The network's outputs, in its own precision."""
    outputs = model.predict(inputs.astype(np.float32), batch_size=batch_size, verbose=0)
    return np.asarray(outputs, dtype=np.float64)
