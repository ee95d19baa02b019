"""A tagger against an adversary that tries to tell something from the tagger's answer: both learn in one model.

Between the two is a layer that changes nothing on the way forward, and turns the gradient round on the way back, times a
strength. So one loss, the sum of both networks' cross-entropies, lets the adversary learn and the tagger unlearn:

    tagger: L_tagger - strength * L_adversary,    adversary: L_adversary.

The adversary says in which of some categories the protected number is, from the tagger's logit, which it sees as a row of
soft steps: so it learns from the first batches on, and is not left behind by the tagger. Only background counts for it.

References:
    Objective, adversary on the tagger's output, background alone: arXiv:1611.01046, eq. 16, section 5.2. Against the mass of
    jets: arXiv:1703.03507. Gradient reversal: arXiv:1409.7495.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from models.offline.decorrelated import BACKGROUND_SHARE, PROTECTED, SIGNAL, entropy
from models.offline.fitting import Loss
from models.offline.layers import PACKAGE

if TYPE_CHECKING:
    import keras

_STEPS, _REACH, _SLOPE = 13, 6.0, 2.0
"""Of the soft steps: their number, where the first and the last are, and how steep they are."""


@cache
def gradient_reversal() -> Any:
    """The class of a layer: what comes in goes out; its gradient is multiplied with `-strength`."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=PACKAGE)
    class GradientReversal(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, strength: float, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.strength = strength

        def call(self, x: Any) -> Any:
            return ops.stop_gradient(x + self.strength * x) - self.strength * x

        def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return shape

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "strength": self.strength}

    return GradientReversal


@cache
def soft_steps() -> Any:
    """The class of a layer: one number `(rows, 1)` as a row of sigmoids, each about a place of its own."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package=PACKAGE)
    class SoftSteps(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            places = ops.linspace(-_REACH, _REACH, _STEPS, dtype=x.dtype)
            return ops.sigmoid(_SLOPE * (x - places))

    return SoftSteps


def with_adversary(tagger: keras.Model, hidden: tuple[int, ...], categories: int, strength: float) -> keras.Model:
    """The tagger and its adversary as one network.

    Args:
        tagger: Gives one logit.
        hidden: Width of each hidden layer of the adversary.
        categories: How many it tells apart.
        strength: lambda in the reference.

    Returns:
        A network of the same inputs; its outputs are the tagger's logit, then the adversary's logits.
    """
    import keras

    logit = tagger.outputs[0]
    seen = gradient_reversal()(strength, dtype="float32", name="reversal")(logit)
    x = soft_steps()(dtype="float32", name="steps")(seen)
    for number, width in enumerate(hidden):
        x = keras.layers.Dense(width, activation="relu", name=f"adversary_{number}")(x)
    told = keras.layers.Dense(categories, dtype="float32", name="adversary_logits")(x)
    return keras.Model(tagger.input, keras.layers.Concatenate(name="both")([logit, told]))


def adversarial_loss(categories: int) -> Loss:
    """Cross-entropy of the tagger, plus that of the adversary over the background.

    Args:
        categories: Into so many of equal width is the protected number, between 0 and 1, divided.
    """

    def loss(answers: Any, outputs: Any) -> Any:
        import keras
        from keras import ops

        place = ops.cast(ops.minimum(answers[:, PROTECTED] * categories, categories - 1), "int32")
        told = keras.losses.sparse_categorical_crossentropy(place, outputs[:, 1:], from_logits=True)
        return entropy(answers, outputs) + (1 - answers[:, SIGNAL]) * told / BACKGROUND_SHARE

    return loss
