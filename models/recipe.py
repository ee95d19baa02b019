"""A recipe: everything that decides what a network becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from models.networks.autoencoder import Autoencoder
from models.networks.convolution import Convolution
from models.networks.deepsets import DeepSets
from models.networks.interaction import Interaction
from models.networks.mlp import Mlp
from models.networks.student import Student
from models.networks.variational import Variational
from models.quantization import Quantization, representable
from trigger import config
from trigger.config import Format, Settings
from trigger.data.generate import PythiaData
from trigger.data.rootfile import RootData
from trigger.data.table import TableData
from trigger.data.toy import ToyData
from trigger.fixed_point import FixedPoint

Data = PythiaData | RootData | TableData | ToyData
Network = Mlp | Convolution | DeepSets | Interaction | Autoencoder | Variational | Student
"""The networks that a recipe can name; another one is a file in `models/networks/` and a member here."""


class JetFeatureInputs(Settings):
    """The network sees high-level features of jets.

    Attributes:
        features: Which, in order: names of `trigger/inputs/features.py`, or of the table's `features`; all by default.
        format: Fixed-point format of every input, after standardisation.
    """

    kind: Literal["jet_features"]
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    format: Format

    @field_validator("features")
    @classmethod
    def _distinct(cls, features: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if features is not None and len(set(features)) != len(features):
            raise ValueError(f"a feature is named twice in {list(features)}")
        return features

    @field_validator("format")
    @classmethod
    def _representable(cls, given: FixedPoint) -> FixedPoint:
        return representable(given)


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


class Requirements(Settings):
    """What the network must reach; `None` shows the figure without requiring anything.

    Attributes:
        accuracy_loss: Largest accuracy that the firmware may lose against the float network, as a fraction.
        macro_auc: Smallest mean of the one-against-rest AUCs of the firmware's scores.
        mutants: Faults that are put into copies of the firmware, each of which the comparison must find; 0 for none.
    """

    accuracy_loss: float | None = Field(default=0.015, ge=0)
    macro_auc: float | None = Field(default=None, gt=0, le=1)
    mutants: int = Field(default=24, ge=0)


class Recipe(Settings):
    """Data, inputs, network, quantisation, training, seed.

    Attributes:
        name: Letters, digits, `_` and `-`; it begins the names of folders and figures.
        data: Where jets come from.
        inputs: What the network sees of them.
        network: The network.
        quantization: Formats of its numbers.
        training: How it is trained.
        requirements: What it must reach.
        seed: Seed of everything random.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    data: Annotated[Data, Field(discriminator="kind")]
    inputs: JetFeatureInputs
    network: Annotated[Network, Field(discriminator="kind")]
    quantization: Quantization
    training: Training = Training()
    requirements: Requirements = Requirements()
    seed: int = Field(default=1, ge=0, lt=2**32)


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
