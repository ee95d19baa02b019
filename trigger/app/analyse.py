"""Offline studies from the command line: run one, put several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trigger import config
from trigger.app.console import keras_backend, start_keras
from trigger.config import Settings
from trigger.digest import SHORT, digest
from trigger.errors import InputError
from trigger.files import locked, write_json, write_text

if TYPE_CHECKING:
    from models.analyses.recipe import AnalysisRecipe
    from models.analyses.study import Result, Table
    from models.offline.merit import Merit
    from trigger.app.console import Reporter

ANALYSIS_FORMAT = 2
"""Part of every study's key; raised when the same settings give other results than before."""
VERDICT = "verdict.json"
MERIT_COLUMNS = (
    "tagger", "AUC", "rejection at 30 %", "rejection at 50 %", "accuracy", "models (dropped)", "parameters",
    "jets/s learnt", "jets/s judged",
)  # fmt: skip


def analyse(
    name: str, overrides: tuple[str, ...], out: Path, workers: int, report: Reporter
) -> tuple[Path, AnalysisRecipe, Result]:
    """Run a study, or find the result of the same one; a killed one goes on where it was.

    Args:
        name: A packaged recipe of a study, or a path.
        overrides: `key.sub=value` each.
        out: Where `runs/` is.
        workers: Processes and threads.
        report: Told of progress.

    Returns:
        The folder of the run, the recipe, and what was found.

    Raises:
        InputError: The recipe has faults, Keras's backend is none that is right for it, or what is in the folder is broken.
    """
    from models.analyses.recipe import load_analysis
    from models.analyses.study import Workplace

    recipe = load_analysis(name, overrides)
    backend = keras_backend()
    _require_jax_to_distribute(recipe, backend)
    folder = out / "runs" / "analyses" / f"{recipe.name}-{_key(recipe, backend)[:SHORT]}"
    with locked(folder, lambda text: report.say(f"{recipe.name}: {text}")):
        before = _found_before(folder, recipe.name, report)
        if before is not None:
            return folder, recipe, before
        write_text(folder / "recipe.yaml", config.dump(recipe))
        start_keras()
        with report.progress(recipe.name) as progress:
            place = Workplace(folder, out / "runs" / "data", recipe.seed, workers, progress)
            found = recipe.study.run(place)
        found = _with_curves_drawn(found, place)
        found.verdict.save(folder / VERDICT)
        found.save(folder)  # last, because a run whose result is there is done
    return folder, recipe, found


@dataclass(frozen=True)
class Comparison:
    """Finished studies side by side.

    Attributes:
        folders: Of the studies.
        path: Where this is written.
        taggers: Figures of merit of all taggers; without rows where no study has any.
        tables: All tables of the studies without taggers.
        notes: What a reader has to know to compare, a sentence each.
    """

    folders: tuple[Path, ...]
    path: Path
    taggers: Table
    tables: tuple[Table, ...]
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {
            "folders": list(map(str, self.folders)), **self.taggers.summary(), "notes": list(self.notes),
            "tables": [one.summary() for one in self.tables],
        }  # fmt: skip

    @property
    def shown(self) -> list[Table]:
        """The tables that have rows."""
        return [one for one in (self.taggers, *self.tables) if one.rows]


def compare_studies(folders: Sequence[Path], out: Path) -> Comparison:
    """One table and one figure of the taggers of several finished studies, written into `out`.

    Raises:
        InputError: A folder holds no finished study, or there is nothing to compare.
    """
    from models.analyses.study import Result
    from trigger.plots.studies import rejection_curves
    from trigger.plots.style import save

    found = {folder.resolve().name: Result.load(folder) for folder in folders}
    if len(found) < len(folders):
        raise InputError("two of the folders have the same name")
    several = len(found) > 1
    called = {name: f"{name} (synthetic)" if one.synthetic else name for name, one in found.items()}
    curves = {
        f"{called[name]}: {tagger}" if several else f"{tagger}{called[name].removeprefix(name)}": curve
        for name, one in found.items()
        for tagger, curve in one.curves.items()
    }
    without = [name for name, one in found.items() if not one.taggers]
    notes = [f"{name}: there are no taggers in it; its tables are shown as they are" for name in without]
    judged = [_sample_of(*pair) for pair in zip(folders, found.values(), strict=True) if pair[1].taggers]
    different = _differences(judged)
    if different:
        notes.append(f"these are of different samples ({', '.join(different)}): which tagger is better does not follow")
    comparison = Comparison(
        tuple(folders), out / "comparison.json", _merits_of_studies(found, called),
        tuple(replace(one, title=f"{called[name]}: {one.title}") for name in without for one in found[name].tables), tuple(notes),
    )  # fmt: skip
    if not comparison.shown:
        raise InputError(f"{', '.join(map(str, folders))}: no tagger and no table is in the results of these studies")
    if curves:
        save(rejection_curves(curves, all(one.simulated for one in found.values())), out / "comparison")
    write_json(comparison.path, comparison.summary())
    return comparison


def merit_table(title: str, taggers: Mapping[str, Merit]) -> Table:
    """Figures of merit of several taggers as a table."""
    from models.analyses.study import Table

    return Table(title, MERIT_COLUMNS, tuple((name, *_figures(one)) for name, one in taggers.items()))


def _merits_of_studies(found: Mapping[str, Result], called: Mapping[str, str]) -> Table:
    """The taggers of all studies; of several a column says whose each is."""
    from models.analyses.study import Table

    if len(found) == 1:
        ((name, one),) = found.items()
        return merit_table(f"comparison: {called[name]}", one.taggers)
    rows = [
        (tagger, called[name], *_figures(merit)) for name, one in found.items() for tagger, merit in one.taggers.items()
    ]
    return Table("comparison", (MERIT_COLUMNS[0], "study", *MERIT_COLUMNS[1:]), tuple(rows))


def _figures(one: Merit) -> tuple[Any, ...]:
    return (
        one.auc, one.rejection_30, one.rejection_50, one.accuracy, f"{one.models} ({one.dropped})", one.parameters,
        one.trained_per_s, one.judged_per_s,
    )  # fmt: skip


def tables_of(found: Result) -> list[Table]:
    """All that a study found, as tables."""
    first = [merit_table("taggers", found.taggers)] if found.taggers else []
    return [*first, *found.tables]


def _key(recipe: AnalysisRecipe, backend: str) -> str:
    """Digest of all that decides the result."""
    from importlib.metadata import version

    from models.offline.fitting import FIT_FORMAT

    formats = (ANALYSIS_FORMAT, FIT_FORMAT, version("keras"), backend)
    return digest(recipe, recipe.study.content(recipe.seed), *formats)


def _found_before(folder: Path, name: str, report: Reporter) -> Result | None:
    """The result of the same run, where it is whole; a verdict that was lost is written again."""
    from models.analyses.study import CURVES, RESULT, Result
    from trigger.plots.style import SUFFIXES

    if not (folder / RESULT).is_file():
        return None
    lost = [] if (folder / CURVES).is_file() else [CURVES]
    if not lost:
        found = Result.load(folder)
        plots = [f"plots/{one}{suffix}" for one in found.figures for suffix in SUFFIXES]
        lost = [one for one in plots if not (folder / one).is_file()]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        report.say(f"{name}: done before, but lost: {lost[0]}{more}; done again, with the trainings that are there")
        return None
    if not (folder / VERDICT).is_file():
        found.verdict.save(folder / VERDICT)
    report.say(f"{name}: done before")
    return found


def _require_jax_to_distribute(recipe: AnalysisRecipe, backend: str) -> None:
    """Refuse what `fit` would refuse, before a sample is made.

    Raises:
        InputError: A training is to be spread over devices by another backend than JAX.
    """
    from models.offline.fitting import Fitting

    asked = [path for path, one in _settings_in(recipe, "") if isinstance(one, Fitting) and one.distributed]
    if asked and backend != "jax":
        raise InputError(
            f"{', '.join(f'{path}.distributed' for path in asked)}: Keras spreads a step over devices with JAX, not {backend}; "
            "right would be KERAS_BACKEND=jax"
        )


def _settings_in(value: Any, path: str) -> Iterator[tuple[str, Settings]]:
    """All settings within others, at any depth, by their path in YAML."""
    inner: Mapping[Any, Any] = {}
    if isinstance(value, Settings):
        yield path, value
        inner = dict(value)
    elif isinstance(value, Mapping):
        inner = value
    elif isinstance(value, tuple | list):
        inner = dict(enumerate(value))
    for key, one in inner.items():
        yield from _settings_in(one, f"{path}.{key}".lstrip("."))


def _sample_of(folder: Path, found: Result) -> dict[str, Any]:
    """What decides which jets a study judges its taggers by, as far as its folder says."""
    from models.analyses.recipe import load_analysis

    sample: dict[str, Any] = {"kind of study": found.study, "jets": found.details.get("jets")}
    try:
        recipe = load_analysis(str(folder / "recipe.yaml"))
    except InputError:  # of an earlier version, or moved away
        return sample
    for path, one in _settings_in(recipe, ""):
        if type(one).__module__.startswith("trigger.data."):
            sample[path] = one.model_dump(mode="json")
        else:
            sample |= {f"{path}.{name}": value for name, value in one if name.startswith("signal")}
    return sample | {"seed": recipe.seed}


def _differences(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """In what they are not all the same."""
    names = dict.fromkeys(name for one in samples for name in one)
    return [name for name in names if any(one.get(name) != samples[0].get(name) for one in samples)]


def _with_curves_drawn(found: Result, place: Any) -> Result:
    from trigger.plots.studies import rejection_curves

    if not found.curves:
        return found
    name = place.draw("rejection", rejection_curves(found.curves, found.simulated))
    return replace(found, figures=(*found.figures, name))
