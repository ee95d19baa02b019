"""Recipes of the offline studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from models.analyses.beyond_mass import BeyondMass
from models.analyses.classical_tagging import ClassicalTagging
from models.analyses.decorrelation import Decorrelation
from models.analyses.jet_images import JetImages
from models.analyses.jet_trees import JetTrees
from models.analyses.low_level import LowLevel
from models.analyses.regression import Regression
from models.analyses.shower_uncertainty import ShowerUncertainty
from models.analyses.top_tagging import TopTagging
from trigger import config
from trigger.config import Settings

FOLDER = "recipes/analyses"

Studies = Annotated[
    BeyondMass
    | ClassicalTagging
    | Decorrelation
    | JetImages
    | JetTrees
    | LowLevel
    | Regression
    | ShowerUncertainty
    | TopTagging,
    Field(discriminator="kind"),
]
"""Every study; one file of this folder each."""


class AnalysisRecipe(Settings):
    """A study with all its settings.

    Attributes:
        name: Letters, digits, `_` and `-`; it begins the name of the folder of the run.
        study: What is done.
        seed: Seed of everything random.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    study: Studies
    seed: int = Field(default=1, ge=0, lt=2**31)


def find_analysis(name: str) -> Path:
    """The file of a packaged recipe of a study, or the path itself.

    Raises:
        InputError: There is neither.
    """
    return config.find(name, "models", FOLDER, "study")


def load_analysis(name: str, overrides: tuple[str, ...] = ()) -> AnalysisRecipe:
    """A recipe of a study by packaged name or path, with `key.sub=value` overrides.

    Raises:
        InputError: There is none, or it has faults; each is named.
    """
    return config.load(find_analysis(name), AnalysisRecipe, overrides)
