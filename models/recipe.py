"""A recipe: everything that decides what a network becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from models.networks.autoencoder import Autoencoder
from models.networks.convolution import Convolution
from models.networks.deepsets import DeepSets
from models.networks.interaction import Interaction
from models.networks.mlp import Mlp
from models.networks.student import Student
from models.networks.variational import Variational
from models.quantization import Quantization, representable
from trigger import config
from trigger.config import Settings
from trigger.data.event_rootfile import EventRootData
from trigger.data.generate import PythiaData
from trigger.data.generate_events import EventData
from trigger.data.level1_jets import Level1JetData
from trigger.data.rootfile import RootData
from trigger.data.table import TableData
from trigger.data.toy import ToyData, ToyEventData
from trigger.inputs.features import JetFeatureInputs
from trigger.inputs.images import JetGridInputs, JetImageInputs
from trigger.inputs.objects import EventObjectInputs, RegionInputs
from trigger.inputs.particles import ParticleInputs

EVENTS = (EventData, EventRootData, ToyEventData)
"""Data of whole events; all other data is of jets."""
Data = PythiaData | Level1JetData | RootData | TableData | ToyData | EventData | EventRootData | ToyEventData
EVENT_INPUTS = (EventObjectInputs, RegionInputs)
Inputs = JetFeatureInputs | JetImageInputs | JetGridInputs | ParticleInputs | EventObjectInputs | RegionInputs
Network = Mlp | Convolution | DeepSets | Interaction | Autoencoder | Variational | Student
"""The networks that a recipe can name; another one is a file in `models/networks/` and a member here."""


class Training(Settings):
    """How the network is trained.

    Attributes:
        epochs: At the most.
        batch_size: Jets a step.
        learning_rate: Of Adam (arXiv:1412.6980), halved whenever the validation loss has not fallen for half the patience.
        patience: Epochs without a lower validation loss after which training stops; the best epoch's weights are kept.
        validation: Fraction of events to stop on.
        test: Fraction of events held out.
        classes: What is trained on, the background of an anomaly detector; the other classes are its signals. All by
            default.
    """

    epochs: int = Field(default=60, gt=0)
    batch_size: int = Field(default=256, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    patience: int = Field(default=12, gt=0)
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.25, gt=0, lt=1)
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} and test {self.test:g} leave nothing to train on; their sum has to be below 1"
            )
        return self


class Requirements(Settings):
    """What the network must reach; `None` shows the figure without requiring anything.

    Attributes:
        accuracy_loss: Of a tagger: largest accuracy that the firmware may lose against the float network, as a fraction.
        macro_auc: Of a tagger: smallest mean of the one-against-rest AUCs of the firmware's scores.
        auc_loss: Of an anomaly detector: largest mean AUC over the signals that the firmware may lose against float.
        signal_auc: Of an anomaly detector: smallest AUC of the firmware's scores for some signals.
        gained: Of an anomaly detector on events: smallest number of signals of which it finds significantly more than the
            best single cut at the same rate.
        fraction: Share of the background that detectors and cuts are given when they are compared.
        mutants: Faults that are put into copies of the firmware, each of which the comparison must find; 0 for none.
    """

    accuracy_loss: float | None = Field(default=0.015, ge=0)
    macro_auc: float | None = Field(default=None, gt=0, le=1)
    auc_loss: float | None = Field(default=0.03, ge=0)
    signal_auc: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    gained: int | None = Field(default=None, ge=0)
    fraction: float = Field(default=2.5e-3, gt=0, lt=1)
    mutants: int = Field(default=24, ge=0)


class Baseline(Settings):
    """A simpler tagger on the same jets, with which the recipe's is compared; it is trained in the same way.

    Attributes:
        inputs: What it sees.
        network: Its network.
        quantization: Formats of its numbers.
    """

    inputs: Annotated[Inputs, Field(discriminator="kind")]
    network: Annotated[Network, Field(discriminator="kind")]
    quantization: Quantization


class Recipe(Settings):
    """Data, inputs, network, quantisation, training, seed.

    Attributes:
        name: Letters, digits, `_` and `-`; it begins the names of folders and figures.
        data: Where jets or events come from.
        inputs: What the network sees of them.
        network: The network.
        quantization: Formats of its numbers.
        training: How it is trained.
        baseline: What a tagger is compared with.
        inverse: Classes that a second float detector is trained on, to see the inverse task.
        requirements: What it must reach.
        menu: Rates that it is judged at: a packaged menu or a path; none where it is not judged on rates.
        target: What it is run for unless another target is named: a packaged name or a path.
        seed: Seed of everything random.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    data: Annotated[Data, Field(discriminator="kind")]
    inputs: Annotated[Inputs, Field(discriminator="kind")]
    network: Annotated[Network, Field(discriminator="kind")]
    quantization: Quantization
    training: Training = Training()
    baseline: Baseline | None = None
    inverse: tuple[str, ...] | None = Field(default=None, min_length=1)
    requirements: Requirements = Requirements()
    menu: str | None = None
    target: str = "vu13p"
    seed: int = Field(default=1, ge=0, lt=2**32)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the data."""
        return self.data.class_names if isinstance(self.data, EventData | ToyEventData) else self.data.classes

    @model_validator(mode="after")
    def _fits(self) -> Self:
        seen = [("inputs", self.inputs)]
        if self.baseline is not None:
            seen.append(("baseline.inputs", self.baseline.inputs))
        for name, inputs in seen:
            try:
                representable(inputs.format)
            except ValueError as error:
                raise ValueError(f"{name}.format: {error}") from error
            if isinstance(inputs, EVENT_INPUTS) != isinstance(self.data, EVENTS):
                raise ValueError(
                    f"{name}: {inputs.kind!r} does not go with data of kind {self.data.kind!r}: events have event_objects and "
                    f"regions, jets have all others"
                )
            if isinstance(self.data, TableData) and not isinstance(inputs, JetFeatureInputs):
                raise ValueError(f"{name}: {inputs.kind!r} needs jets; a table of features goes with jet_features")
        self._check_classes()
        return self

    def _check_classes(self) -> None:
        named = {
            "training.classes": self.training.classes, "inverse": self.inverse,
            "requirements.signal_auc": tuple(self.requirements.signal_auc),
        }  # fmt: skip
        for what, names in named.items():
            unknown = [name for name in names or () if name not in self.class_names]
            if unknown:
                raise ValueError(f"{what}: there is no class {unknown[0]!r}; there are {', '.join(self.class_names)}")
        anomaly = self.network.task == "anomaly"
        if anomaly and (self.training.classes is None or set(self.training.classes) >= set(self.class_names)):
            raise ValueError(
                f"training.classes: name the background that a detector of anomalies learns, some of "
                f"{', '.join(self.class_names)}; the others are its signals"
            )
        if anomaly and set(self.requirements.signal_auc) & set(self.training.classes or ()):
            raise ValueError("requirements.signal_auc: the background is no signal")
        if not anomaly and self.training.classes is not None:
            raise ValueError("training.classes: a tagger learns all classes; leave it out")
        if anomaly and self.baseline is not None:
            raise ValueError("baseline: a detector of anomalies is compared with cuts; leave it out")
        if not anomaly and self.inverse is not None:
            raise ValueError("inverse: of a detector of anomalies alone")


def find_recipe(name: str) -> Path:
    """The file of a packaged recipe, or the path itself.

    Raises:
        InputError: There is neither.
    """
    return config.find(name, "models", "recipes")


def load_recipe(name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """A recipe by packaged name or path, with `key.sub=value` overrides.

    Raises:
        InputError: There is none, or it has faults; each is named.
    """
    return config.load(find_recipe(name), Recipe, overrides)
