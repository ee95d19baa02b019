"""Taggers of one logit that are to say nothing of a protected number, such as a jet's mass.

Their loss needs more than the class: answers have columns, `SIGNAL`, `PROTECTED` and `WEIGHT`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.offline.fitting import Fitting, Loss, Rows, Steps, fit, inference_rate, predict
from models.offline.merit import Scored
from models.offline.tagging import Progress, Trial
from trigger.data.jets import Split

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
SIGNAL, PROTECTED, WEIGHT = 0, 1, 2
"""Columns of the answers: 1 for signal, the protected number between 0 and 1, the weight of the jet."""
BACKGROUND_SHARE = 0.5
"""Of all weights in a trial."""


@dataclass(frozen=True)
class Lesson:
    """What taggers learn from and are judged by.

    Attributes:
        observables: Standardised, shape `(jets, observables)`.
        protected: Between 0 and 1, shape `(jets,)`; that of signal is not looked at.
        trial: Which jets are what.
    """

    observables: NDArray[np.float32]
    protected: Floats
    trial: Trial

    def rows(self, split: Split, weights: Floats) -> Rows:
        """The jets of a split, with the answers that the losses take."""
        chosen = self.trial.splits[split]
        columns = [self.trial.is_signal, self.protected, weights]
        answers = np.column_stack([column[chosen] for column in columns]).astype(np.float32)
        return Rows({"observables": self.observables[chosen]}, answers, weights[chosen])


def entropy(answers: Any, outputs: Any) -> Any:
    """Cross-entropy of the first output, a logit, for each row."""
    from keras import ops

    return ops.softplus(outputs[:, 0]) - answers[:, SIGNAL] * outputs[:, 0]


def train_decorrelated(
    name: str, build: Callable[[], keras.Model], loss: Loss, lesson: Lesson, how: Fitting, seeds: int, seed: int,
    folder: Path, progress: Progress | None = None, weights: Floats | None = None,
) -> Scored:  # fmt: skip
    """Train a tagger with several seeds and let it judge the held-out jets.

    Args:
        name: Of the tagger.
        build: Makes the untrained network; its first output is the tagger's logit.
        loss: Of answers and outputs.
        lesson: What it learns from and is judged by.
        how: How it is trained.
        seeds: How many models.
        seed: Of the first; the others follow.
        folder: Of this study's trainings.
        progress: Told of every epoch.
        weights: Of all jets in training, where they are not those of the trial.
    """
    used = lesson.trial.weights if weights is None else weights
    learn, validate = lesson.rows(Split.TRAIN, used), lesson.rows(Split.VALIDATION, used)
    test = {"observables": lesson.observables[lesson.trial.splits[Split.TEST]]}
    scores, speeds, steps = [], [], Steps()
    for number in range(seeds):

        def told(epoch: int, epochs: int, number: int = number) -> None:
            if progress is not None:
                progress(f"epochs of {name}, model {number + 1} of {seeds}", epoch, epochs)

        home = folder / f"{name.replace(' ', '_')}-{number}"
        fitted = fit(build, learn, validate, how, loss, seed + number, home, told, steps)
        scores.append(predict(fitted.model, test)[:, 0])
        if fitted.rows_per_s is not None:
            speeds.append(fitted.rows_per_s)
    return Scored(
        name, np.stack(scores), threshold=0.0,
        parameters=int(sum(np.prod(one.shape) for one in fitted.model.trainable_variables)),
        trained_per_s=float(np.median(speeds)) if speeds else None, judged_per_s=inference_rate(fitted.model, test),
    )  # fmt: skip
