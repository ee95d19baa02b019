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

from models.offline.fitting import Fitting, Loss, Rows, inference_rate, predict
from models.offline.merit import Scored
from models.offline.tagging import Progress, Trial, trained
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
    found = trained(name, build, learn, validate, how, loss, seeds, seed, folder, progress)
    return Scored(
        name, np.stack([predict(model, test)[:, 0] for model in found.models]), threshold=0.0, parameters=found.parameters,
        trained_per_s=found.rows_per_s, judged_per_s=inference_rate(found.models[-1], test),
    )  # fmt: skip
