"""A small network that learns an autoencoder's score: the autoencoder stays off the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from models import layers, losses
from models.layers import Nodes
from models.networks.convolution import Block
from models.networks.purpose import AnomalyDetector
from models.quantization import rectified, representable
from trigger.config import Format, Settings
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.losses import Lesson
    from models.quantization import Quantization

SCORE = FixedPoint(False, 4, 8, Rounding.RND_CONV, Overflow.SAT)


class Teacher(Settings):
    """A float autoencoder, trained first; its score is the squared error of its reconstruction.

    It sees, and rebuilds, how far each input lies from its mean in the background, in standard deviations there: otherwise
    the regions with most pileup, whose energies vary most, would decide.

    Attributes:
        filters: Channels of convolutions of 3 x 3 pixels, the first of which halves the image; the decoder is the mirror.
            None for dense layers alone.
        hidden: Nodes of each dense layer before the latent values; after them in reverse.
        latent: Latent values; fewer than inputs.
    """

    filters: Nodes = ()
    hidden: Nodes = (64,)
    latent: int = Field(default=16, gt=0)

    def build(self, contract: InputSpec, background: NDArray[np.float32]) -> keras.Model:
        """The autoencoder and its score.

        Args:
            contract: Its inputs.
            background: Rows of inputs, which give mean and spread of each; shape `(rows, *shape)`.

        Raises:
            InputError: The contract's shape does not suit the convolutions, or there are not more inputs than latent values.
        """
        import keras

        layers.require_bottleneck(contract, self.latent, "teacher")
        start, _ = layers.inputs(contract, None)
        step = contract.common_format.step  # the spread of an input that is the same in every row
        each = tuple(range(1, background.ndim))
        given = keras.layers.Normalization(
            each, background.mean(axis=0), np.maximum(background.var(axis=0), step**2), name="pulls"
        )(start)
        x, halved = given, (0, 0, 0)
        for number, filters in enumerate(self.filters, 1):
            if number == 1:
                layers.require_shape(contract, ("rows", "columns", "channels"), "teacher")
                if contract.network_shape[0] % 2 or contract.network_shape[1] % 2:
                    raise InputError(
                        f"the teacher halves its images; the contract's {list(contract.network_shape)} has an odd side: use "
                        f"a teacher without filters"
                    )
            x = layers.convolution(x, filters, 3, 1, "same", None, f"encoder{number}")
            x = layers.relu(x, None, f"encoder{number}_relu")
            x = layers.pooling(x, "average" if number == 1 else "none", 2, "halved")
            halved = x.shape[1:]
        x = layers.flat(x)
        nodes = [*self.hidden, self.latent, *reversed(self.hidden)]
        for number, units in enumerate(nodes):
            x = layers.dense(x, units, None, f"dense{number}")
            x = x if number == len(self.hidden) else layers.relu(x, None, f"dense{number}_relu")
        if self.filters:
            x = layers.relu(layers.dense(x, int(np.prod(halved)), None, "spread"), None, "spread_relu")
            x = keras.layers.Reshape(halved)(x)
            for number, filters in enumerate((*reversed(self.filters[:-1]), contract.network_shape[2]), 1):
                last = number == len(self.filters)
                x = keras.layers.UpSampling2D(2)(x) if last else x
                x = layers.convolution(x, filters, 3, 1, "same", None, f"decoder{number}")
                x = x if last else layers.relu(x, None, f"decoder{number}_relu")
        else:
            x = layers.dense(x, len(contract.inputs), None, "reconstruction")
        missed = keras.layers.Subtract()([layers.flat(given, "given"), layers.flat(x, "rebuilt")])
        return keras.Model(start, layers.squared_norm(missed, "score"), name="teacher")


class Student(AnomalyDetector):
    """Convolutions, dense layers and one rectified output, trained on the score of a float autoencoder, the teacher.

    The teacher is trained first, on the same rows (the background). What the student learns is the logarithm of the
    teacher's score, shifted and scaled so that the background's median lies at a quarter of what `score` can hold and the
    distance from there to its 84 % quantile is a sixteenth: the largest score is twelve such distances above the median.

    The background hardly shows what large scores look like. Therefore rows are added to it, to training and validation:
    each input of such a row is that input of another background row, drawn by itself, so that nothing is left of what
    belongs together; the row is multiplied by a number between 1 and `gain`. In every second of them a few inputs are
    replaced by numbers that are evenly spread over the format's orders of magnitude: energy in few places, as jets are.

    Attributes:
        blocks: Convolutions; none for a dense student. Without them inputs of any shape are taken as one row.
        hidden: Nodes of each dense layer.
        teacher: The autoencoder.
        score: Format of the output; unsigned.
        scrambled: Number of rows added, as a fraction of the background's.
        gain: Largest factor of an added row.
        hot: Most inputs that are replaced in an added row.

    References:
        CICADA: arXiv:2411.19506. Distillation: arXiv:1503.02531.
    """

    kind: Literal["student"]
    blocks: tuple[Block, ...] = ()
    hidden: Nodes = (16,)
    teacher: Teacher = Teacher()
    score: Format = SCORE
    scrambled: float = Field(default=0.5, ge=0)
    gain: float = Field(default=4.0, ge=1)
    hot: int = Field(default=6, gt=0)

    @field_validator("score")
    @classmethod
    def _rectified(cls, given: FixedPoint) -> FixedPoint:
        return rectified(representable(given))

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The student, float where `quantization` is `None`; it has one output whatever `outputs` is.

        Raises:
            InputError: The contract has another shape, or a block is larger than what is left of the image.
        """
        import keras

        if self.blocks:
            layers.require_shape(contract, ("rows", "columns", "channels"), self.kind)
        start, x = layers.inputs(contract, quantization)
        for number, block in enumerate(self.blocks, 1):
            x = block.apply(x, quantization, f"convolution{number}")
        x = layers.flat(x)
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"dense{number}")
            x = layers.relu(x, quantization, f"dense{number}_relu")
        # A rectifier that begins below 0 for every event would never learn.
        x = layers.dense(x, 1, quantization, "output", bias="ones")
        return keras.Model(start, layers.relu(x, quantization, "score", self.score), name=self.kind)

    def lesson(self, model: keras.Model) -> Lesson:
        """Huber's loss against the target, which is what `targets` makes of the teacher's scores."""
        return losses.regression(model)

    def scramble(
        self, inputs: NDArray[np.float32], contract: InputSpec, generator: np.random.Generator
    ) -> NDArray[np.float32]:
        """The rows to be added to `inputs`, which are of shape `(rows, *shape)`."""
        wire, table = contract.common_format, inputs.reshape(len(inputs), -1)
        rows, width = round(self.scrambled * len(table)), table.shape[1]
        picked = generator.integers(0, len(table), (rows, width))
        mixed = np.take_along_axis(table, picked, axis=0) * generator.uniform(1, self.gain, (rows, 1))
        hot = generator.permuted(np.arange(width) < generator.integers(1, self.hot + 1, (rows, 1)), axis=1)
        hot[::2] = False
        largest = wire.max_code * wire.step
        mixed[hot] = np.exp(generator.uniform(np.log(wire.step), np.log(largest), hot.sum()))
        values: NDArray[np.float32] = wire.values(wire.codes(mixed)).astype(np.float32)
        return values.reshape(rows, *inputs.shape[1:])

    def targets(self, scores: NDArray[Any], background: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
        """What the student is to answer.

        Args:
            scores: The teacher's, shape `(rows,)`.
            background: The teacher's scores of the background that sets shift and scale.
            weights: Of the background.

        Raises:
            InputError: The teacher's scores do not differ.
        """
        tiny = np.finfo(np.float32).tiny
        median, upper = np.quantile(
            np.log(np.maximum(background, tiny)), [0.5, 0.84], weights=weights, method="inverted_cdf"
        )
        if upper <= median:
            raise InputError(
                "the teacher gives most of the background the same score: there is nothing for a student to learn"
            )
        distances = (np.log(np.maximum(scores, tiny)) - median) / (upper - median)
        unit = 2.0**self.score.integer / 16
        targets: NDArray[np.float64] = np.clip((distances + 4) * unit, 0, self.score.max_code * self.score.step)
        return targets
