"""What every study has, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.offline.fitting import Fitting
from models.offline.merit import HeldOut, Merit, Scored, median_curve, merit
from trigger.config import Settings
from trigger.decision.efficiency import Estimate
from trigger.errors import InputError, nearest
from trigger.files import read_json, reading_arrays, replacing, write_json
from trigger.verdict import Requirement, Status, Verdict, not_measured

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from trigger.data.jets import JetDataset
    from trigger.data.sources import JetSource

Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are to be."""
Cell = str | int | float | Estimate | None
OTHER_SAMPLE = ("The jets are those that the recipe names, not the papers' and not those of the packaged recipe.",)
ROUNDING = 1e-12
"""An uncertainty that is not larger is one of rounding."""
RESULT, CURVES = "result.json", "curves.npz"
Seeds = Annotated[int, Field(ge=2, le=100)]
"""Of a recipe: how many models of each network are trained; with one alone nobody knows how trainings scatter."""


@dataclass(frozen=True)
class Workplace:
    """Where a study works.

    Attributes:
        folder: Of this run; the same settings have the same.
        samples: Where generated samples are kept.
        seed: Of everything random.
        workers: Processes and threads.
        progress: Told of all that takes long.
    """

    folder: Path
    samples: Path
    seed: int
    workers: int
    progress: Progress

    @property
    def trainings(self) -> Path:
        """Where trainings are kept, so that a killed run goes on."""
        return self.folder / "trainings"

    def jets(self, source: JetSource, seed: int | None = None) -> JetDataset:
        """All jets of a source, made with the study's seed unless another is given. See `trigger.data.sources.all_jets`."""
        from trigger.data.sources import all_jets

        return all_jets(source, self.seed if seed is None else seed, self.samples, self.workers, self.progress)

    def draw(self, name: str, figure: Figure) -> str:
        """Save a figure; its name."""
        from trigger.plots.style import save

        save(figure, self.folder / "plots" / name)
        return name

    def keep(self, name: str, network: keras.Model) -> None:
        """Save a trained network, which `models.offline.networks.load` reads."""
        with replacing(self.folder / "networks" / f"{name}.keras") as fresh:
            network.save(fresh)


@dataclass(frozen=True)
class Table:
    """Numbers that a study found, as it would print them.

    Attributes:
        title: What the table is of.
        columns: Their names, the first that of the rows.
        rows: Text, numbers, estimates; `None` where something was not measured.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        wrong = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if wrong is not None:
            raise ValueError(f"{self.title}: {len(self.columns)} columns, but a row of {len(wrong)}")

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        rows = [[cell.summary() if isinstance(cell, Estimate) else _finite(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Table:
        """What `summary` gave."""
        rows = tuple(tuple(_estimate(cell) for cell in row) for row in content["rows"])
        return cls(content["title"], tuple(content["columns"]), rows)


class _Written(BaseModel):
    """The form of what `result.json` holds; a number in quotes is none."""

    model_config = ConfigDict(strict=True)


class _WrittenEstimate(_Written):
    value: float | None
    uncertainty: float | None


class _WrittenMerit(_Written):
    name: str
    auc: _WrittenEstimate
    rejection_30: _WrittenEstimate
    rejection_50: _WrittenEstimate
    accuracy: _WrittenEstimate | None
    spread: dict[str, float]
    models: int
    dropped: int
    parameters: int | None
    trained_per_s: float | None
    judged_per_s: float | None


class _WrittenTable(_Written):
    title: str
    columns: list[str]
    rows: list[list[str | bool | int | float | _WrittenEstimate | None]]


class _WrittenResult(_Written):
    study: str
    papers: list[str]
    departures: list[str]
    requirements: list[dict[str, Any]]
    taggers: dict[str, _WrittenMerit]
    tables: list[_WrittenTable]
    figures: list[str]
    details: dict[str, Any]
    synthetic: bool
    simulated: bool


@dataclass(frozen=True)
class Result:
    """What a study found.

    Attributes:
        study: Its kind.
        papers: What it follows, arXiv numbers.
        departures: Where it departs from them, a sentence each.
        requirements: The effects that it is to show, with figures.
        taggers: Figures of merit by name.
        curves: For each tagger signal efficiencies and background rejections.
        tables: Further numbers.
        figures: Names of the plots.
        details: What else a reader needs: sizes of samples, settings, versions.
        synthetic: Whether the sample is a toy: then nothing physical follows.
        simulated: Whether the sample is known to be simulated, which figures say.
    """

    study: str
    papers: tuple[str, ...]
    departures: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    taggers: dict[str, Merit] = field(default_factory=dict)
    curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    figures: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    synthetic: bool = False
    simulated: bool = True

    @property
    def verdict(self) -> Verdict:
        """What follows from the requirements; of a toy nothing was measured."""
        judged = self.requirements
        if self.synthetic:
            judged = tuple(
                not_measured(one.name, one.limit, required=False, note="synthetic data")
                if one.status is not Status.NOT_MEASURED
                else one
                for one in judged
            )
        return Verdict(requirements=judged, synthetic=self.synthetic)

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it, without the curves."""
        return {
            "study": self.study, "papers": list(self.papers), "departures": list(self.departures),
            "requirements": [one.model_dump(mode="json") for one in self.requirements],
            "taggers": {name: one.summary() for name, one in self.taggers.items()},
            "tables": [one.summary() for one in self.tables], "figures": list(self.figures), "details": self.details,
            "synthetic": self.synthetic, "simulated": self.simulated,
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write `curves.npz`, then `result.json`, into the folder."""
        columns = {
            f"{axis} of {name}": one for name, pair in self.curves.items() for axis, one in zip("xy", pair, strict=True)
        }
        with replacing(folder / CURVES) as fresh:
            np.savez(fresh, allow_pickle=False, **columns)
        write_json(folder / RESULT, self.summary())

    @classmethod
    def load(cls, folder: Path) -> Result:
        """Read what `save` wrote.

        Raises:
            InputError: There is no result in the folder, one of its files is missing, or one is broken.
        """
        if not (folder / RESULT).is_file():
            raise InputError(f"{folder}: there is no {RESULT}: this is not the folder of a finished study")
        content = _checked(folder / RESULT)
        with reading_arrays(folder / CURVES) as stored:
            curves = {
                name: _curve(name, stored[f"x of {name}"], stored[f"y of {name}"])
                for name in content["taggers"]
                if f"x of {name}" in stored.files
            }
        try:
            requirements = tuple(Requirement.model_validate(one) for one in content["requirements"])
            tables = tuple(Table.read(one) for one in content["tables"])
        except ValueError as error:
            raise InputError(f"{folder / RESULT}: cannot be read: {error}; remove it, and it is made anew") from error
        return cls(
            content["study"], tuple(content["papers"]), tuple(content["departures"]), requirements,
            {name: Merit.read(one) for name, one in content["taggers"].items()}, curves, tables, tuple(content["figures"]),
            content["details"], content["synthetic"], content["simulated"],
        )  # fmt: skip


class Study(Settings):
    """A published analysis: its fields are its settings, `run` does it.

    Attributes:
        fitting: How its networks are trained.
        seeds: How many models of each network.
    """

    PAPERS: ClassVar[tuple[str, ...]]
    SAMPLE: ClassVar[tuple[str, ...]]
    """Where our own simulation departs from the papers' samples."""
    DEPARTURES: ClassVar[tuple[str, ...]]
    """Where else the study departs from them."""

    kind: str
    fitting: Fitting = Fitting()
    seeds: Seeds = 3

    def departures(self, *sources: JetSource) -> tuple[str, ...]:
        """What a result says of where it departs from the papers, if its jets come from these sources."""
        from trigger.data.offline_jets import OfflineJets

        own = all(isinstance(source, OfflineJets) for source in sources)
        return (*(self.SAMPLE if own else OTHER_SAMPLE), *self.DEPARTURES)

    def content(self, seed: int) -> Any:
        """Digests of everything that it is made from besides its settings."""
        raise NotImplementedError

    def run(self, place: Workplace) -> Result:
        """Do it.

        Raises:
            InputError: The sample or a setting does not suit.
        """
        raise NotImplementedError


def require_classes(name: str, wanted: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Refuse classes that a sample does not have, before it is made.

    Raises:
        ValueError: One of them is unknown, or nothing is left over for the background.
    """
    unknown = next((one for one in wanted if one not in classes), None)
    if unknown is not None:
        raise ValueError(f"{name}: there is no class {unknown!r}; nearest: {nearest(unknown, classes)}")
    if set(wanted) >= set(classes):
        raise ValueError(f"{name}: all of {', '.join(classes)} are signal; nothing is left for the background")


def judged(
    taggers: list[Scored], held: HeldOut, seed: int
) -> tuple[dict[str, Merit], dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """Figures of merit and curves of several taggers, by name."""
    return (
        {one.name: merit(one, held, seed) for one in taggers},
        {one.name: median_curve(one, held) for one in taggers},
    )  # fmt: skip


def beyond(name: str, found: Estimate, sigmas: float, note: str = "", *, required: bool = True) -> Requirement:
    """A requirement that an effect is larger than 0 by so many of its standard deviations."""
    limit = f"> {sigmas:g} standard deviations"
    return _requirement(name, found, limit, found.value > sigmas * found.uncertainty, note, required)


def compatible(
    name: str, found: Estimate, with_: float, sigmas: float, note: str = "", *, required: bool = True
) -> Requirement:
    """A requirement that a figure is a number within so many of its standard deviations."""
    limit = f"{with_:g} within {sigmas:g} standard deviations"
    return _requirement(name, found, limit, abs(found.value - with_) <= sigmas * found.uncertainty, note, required)


def not_below(name: str, found: Estimate, than: float, sigmas: float, note: str = "") -> Requirement:
    """A requirement that a figure is not below a number by more than so many of its standard deviations."""
    limit = f"not below {than:g} by more than {sigmas:g} standard deviations"
    return _requirement(name, found, limit, found.value >= than - sigmas * found.uncertainty, note)


def _requirement(name: str, found: Estimate, limit: str, good: bool, note: str, required: bool = True) -> Requirement:
    """Nothing is known of a figure that does not scatter: such are two taggers that are one."""
    known = math.isfinite(found.value) and math.isfinite(found.uncertainty) and found.uncertainty > ROUNDING
    status = Status.PASS if known and good else Status.FAIL
    return Requirement(
        name=name, status=status, figure=found.value if known else None, limit=limit, required=required,
        uncertainty=found.uncertainty if known else None,
        note=note if known else f"the figure, or how it scatters, is not known; {note}".rstrip("; "),
    )  # fmt: skip


def _checked(path: Path) -> Any:
    """What a file of a result holds, whose form is as it was written."""
    try:
        content = read_json(path)
    except InputError as error:
        raise InputError(f"{error}; remove it, and it is made anew") from error
    try:
        _WrittenResult.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: cannot be read: {where}: {first['msg']}; remove it, and it is made anew"
            if where
            else f"{path}: cannot be read: this is no result of a study; remove it, and it is made anew"
        ) from error
    return content


def _curve(name: str, *axes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both axes of a curve, which have as many points."""
    x, y = axes
    if x.ndim != 1 or x.shape != y.shape or (x.dtype.kind, y.dtype.kind) != ("f", "f"):
        raise ValueError(f"the curve of {name} has efficiencies {x.dtype}{x.shape} and rejections {y.dtype}{y.shape}")
    return x, y


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _estimate(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        found: Cell = cell
        return found
    return Estimate(*(float("nan") if cell[name] is None else cell[name] for name in ("value", "uncertainty")))
