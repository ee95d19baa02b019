"""Offline studies from the command line: run one, put several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trigger import config
from trigger.digest import SHORT, digest
from trigger.errors import InputError
from trigger.files import locked, write_json, write_text

if TYPE_CHECKING:
    from models.analyses.recipe import AnalysisRecipe
    from models.analyses.study import Result, Table
    from trigger.app.console import Reporter

ANALYSIS_FORMAT = 2
"""Part of every study's key; raised when the same settings give other results than before."""
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
    """
    from models.analyses.recipe import load_analysis
    from models.analyses.study import RESULT, Result, Workplace
    from trigger.app.console import start_keras

    recipe = load_analysis(name, overrides)
    folder = out / "runs" / "analyses" / f"{recipe.name}-{_key(recipe)[:SHORT]}"
    with locked(folder):
        if (folder / RESULT).is_file():
            report.say(f"{recipe.name}: done before")
            return folder, recipe, Result.load(folder)
        write_text(folder / "recipe.yaml", config.dump(recipe))
        start_keras()
        with report.progress(recipe.name) as progress:
            place = Workplace(folder, out / "runs" / "data", recipe.seed, workers, progress)
            found = recipe.study.run(place)
        found = _with_curves_drawn(found, place)
        found.save(folder)
        found.verdict.save(folder / "verdict.json")
    return folder, recipe, found


def compare_studies(folders: Sequence[Path], out: Path) -> tuple[Path, Table]:
    """One table and one figure of the taggers of several finished studies, written into `out`.

    Raises:
        InputError: A folder holds no finished study, or none of them has a tagger.
    """
    from models.analyses.study import Result
    from trigger.plots.studies import rejection_curves
    from trigger.plots.style import save

    found = {folder.name: Result.load(folder) for folder in folders}
    if len(found) < len(folders):
        raise InputError("two of the folders have the same name")
    several = len(found) > 1
    taggers = {
        f"{name}: {tagger}" if several else tagger: merit
        for name, one in found.items()
        for tagger, merit in one.taggers.items()
    }
    if not taggers:
        raise InputError(f"{', '.join(map(str, folders))}: no tagger is in the results of these studies")
    curves = {
        f"{name}: {tagger}" if several else tagger: curve
        for name, one in found.items()
        for tagger, curve in one.curves.items()
    }
    save(rejection_curves(curves, all(one.simulated for one in found.values())), out / "comparison")
    table = merit_table("comparison", taggers)
    write_json(out / "comparison.json", {"folders": list(map(str, folders)), **table.summary()})
    return out / "comparison.json", table


def merit_table(title: str, taggers: dict[str, Any]) -> Table:
    """Figures of merit of several taggers as a table."""
    from models.analyses.study import Table

    rows = [
        (
            name, one.auc, one.rejection_30, one.rejection_50, one.accuracy, f"{one.models} ({one.dropped})", one.parameters,
            one.trained_per_s, one.judged_per_s,
        )
        for name, one in taggers.items()
    ]  # fmt: skip
    return Table(title, MERIT_COLUMNS, tuple(rows))


def tables_of(found: Result) -> list[Table]:
    """All that a study found, as tables."""
    first = [merit_table("taggers", found.taggers)] if found.taggers else []
    return [*first, *found.tables]


def _key(recipe: AnalysisRecipe) -> str:
    """Digest of all that decides the result."""
    import os
    from importlib.metadata import version

    from models.offline.fitting import FIT_FORMAT

    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    formats = (ANALYSIS_FORMAT, FIT_FORMAT, version("keras"), backend)
    return digest(recipe, recipe.study.content(recipe.seed), *formats)


def _with_curves_drawn(found: Result, place: Any) -> Result:
    from dataclasses import replace

    from trigger.plots.studies import rejection_curves

    if not found.curves:
        return found
    name = place.draw("rejection", rejection_curves(found.curves, found.simulated))
    return replace(found, figures=(*found.figures, name))
