"""A finished run as it lies on disk: where its parts are, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firmware.project import FirmwareProject
from firmware.target import Target
from models.recipe import Recipe
from trigger import config
from trigger.errors import InputError
from trigger.files import read_json
from trigger.verdict import Verdict

NEEDED = ("run.json", "recipe.yaml", "target.yaml", "emulation.json", "performance.json", "verdict.json")
"""What every finished run has."""
STEPS = "steps"
PLOTS = "plots"


@dataclass(frozen=True)
class FinishedRun:
    """A run that came to its verdict.

    Attributes:
        folder: Its folder, in `runs/`.
        record: What `run.json` holds.
    """

    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> FinishedRun:
        """Find a run.

        Raises:
            InputError: There is no such folder, the run is not finished, or `run.json` is damaged.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; 'jetgate run' makes such folders, in runs/")
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"{folder}: not a finished run, it has no {', '.join(missing)}; 'jetgate run' goes on where it stopped"
            )
        record = read_json(folder / "run.json")
        wanted = {"recipe": str, "target": str, "models": str, "project": str, "digests": dict, "versions": dict}
        wrong = [
            key for key, kind in wanted.items() if not isinstance(record, dict) or not isinstance(record.get(key), kind)
        ]
        if wrong:
            raise InputError(
                f"{folder / 'run.json'}: damaged, {', '.join(wrong)} missing or of another kind; "
                "'jetgate run' of the recipe writes it anew"
            )
        return cls(folder.resolve(), record)

    @property
    def out(self) -> Path:
        """The folder in which `runs/` and `vivado_projects/` are."""
        return self.folder.parent.parent

    @property
    def models(self) -> Path:
        """Features and networks."""
        return self.folder.parent / "models" / Path(self.record["models"]).name

    @property
    def project_folder(self) -> Path:
        """The firmware."""
        return self.out / "vivado_projects" / Path(self.record["project"]).name

    @cached_property
    def project(self) -> FirmwareProject:
        """The firmware project.

        Raises:
            InputError: It is not there, or files of it are missing.
        """
        return FirmwareProject.load(self.project_folder)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with what `--set` changed."""
        return config.load(self.folder / "recipe.yaml", Recipe)

    @cached_property
    def target(self) -> Target:
        """The target."""
        return config.load(self.folder / "target.yaml", Target)

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict.

        Raises:
            InputError: Its file is damaged.
        """
        path = self.folder / "verdict.json"
        try:
            return Verdict.load(path)
        except (ValidationError, AttributeError, TypeError) as error:
            faults = error.error_count() if isinstance(error, ValidationError) else 1
            raise InputError(
                f"{path}: damaged, {faults} entries are missing or wrong; 'jetgate run' of the recipe writes it anew"
            ) from error

    def content(self, name: str) -> dict[str, Any]:
        """A JSON file of the run.

        Raises:
            InputError: It is missing or holds no mapping.
        """
        return _mapping(self.folder / name)

    def optional(self, name: str) -> dict[str, Any] | None:
        """A JSON file that not every run has; `None` where it is not there."""
        return self.content(name) if (self.folder / name).is_file() else None

    def step(self, name: str, of_models: bool = False) -> dict[str, Any]:
        """The record of a step: of the run, or of its features and networks.

        Raises:
            InputError: It is missing or damaged.
        """
        return _mapping((self.models if of_models else self.folder) / STEPS / f"{name}.json")

    def networks(self) -> dict[str, dict[str, Any]]:
        """Records of all networks that were trained, by the name of their step, the one on the chip first."""
        found = {path.stem: _mapping(path) for path in sorted((self.models / STEPS).glob("*.json"))}
        trained = {name: record for name, record in found.items() if not name.endswith("features")}
        return {"quantised": self.step("quantised", of_models=True), **trained}


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged, it holds {type(content).__name__} and a mapping would be right")
    return content
