"""The rates of a run: judged, written down, shown."""

from __future__ import annotations

from pathlib import Path

from trigger.app.console import Reporter
from trigger.app.finished import PLOTS, FinishedRun
from trigger.app.page import write_page
from trigger.app.rate_tables import PREFIX, draw_rates, rate_tables
from trigger.app.rates import Rates, has_rates, rates
from trigger.app.scored import Subject
from trigger.app.sections import RATES
from trigger.app.tagger_points import TaggerPoints, tagger_points
from trigger.app.zero_bias import ZeroBias, scored
from trigger.config import dump, load, packaged
from trigger.decision.menu import Menu, load_menu
from trigger.errors import InputError
from trigger.files import read_json, write_json, write_text
from trigger.verdict import Requirement

MENU = "menu.yaml"


def menu_of(folder: Path, name: str | None, overrides: tuple[str, ...] = ()) -> Menu:
    """The menu of that name, or the one that the run's recipe names.

    Raises:
        InputError: There is none, or neither was named.
    """
    named = name or FinishedRun.open(folder).recipe.menu
    if named is None:
        packaged_menus = ", ".join(packaged("trigger", "decision/menus"))
        raise InputError(f"{folder}: its recipe names no menu; name one with --menu: {packaged_menus}, or a YAML file")
    return load_menu(named, overrides)


def rates_of_run(
    folder: Path, menu: Menu, workers: int, report: Reporter, zero_bias: str | None = None, scheduler: str | None = None
) -> Rates | TaggerPoints:
    """Judge a finished run under a menu; its folder and its page say what was found.

    Args:
        folder: The run's folder.
        menu: What is asked.
        workers: Processes and threads.
        report: Told of progress.
        zero_bias: A YAML file that says where crossings of the detector itself are, in place of simulated ones.
        scheduler: Address of a dask scheduler for them.

    Raises:
        InputError: The run is not finished, the firmware was edited since, or the menu does not fit it.
    """
    run = FinishedRun.open(folder)
    subject = Subject(run.recipe, run.project, run.models, run.out / "runs" / "data")
    if zero_bias is None:
        found = judge(subject, menu, workers, report)
    else:
        data = load(Path(zero_bias), ZeroBias)
        found = rates(subject, menu, workers, report, scored(subject, data, menu.total_hz, workers, report, scheduler))
    record(found, run.folder)
    write_page(folder)
    return found


def judge(subject: Subject, menu: Menu, workers: int, report: Reporter) -> Rates | TaggerPoints:
    """Rates in kHz where there are any, else the background at fixed efficiencies."""
    return (rates if has_rates(subject) else tagger_points)(subject, menu, workers, report)


def record(found: Rates | TaggerPoints, folder: Path) -> None:
    """Write what was found into a run's folder: `rates.json`, the menu as it came out, and figures beside
    the others.
    """
    for old in (folder / PLOTS).glob(f"{PREFIX}*"):  # of another menu
        old.unlink()
    figures = draw_rates(found, folder / PLOTS)
    tables = [one.model_dump(mode="json") for one in rate_tables(found)]
    write_text(folder / MENU, dump(found.chosen_menu))
    write_json(folder / RATES, {"tables": tables, "figures": figures, **found.summary()})


def requirements_in(path: Path) -> tuple[Requirement, ...]:
    """The requirements that a `rates.json` holds."""
    return tuple(Requirement.model_validate(one) for one in read_json(path)["verdict"]["requirements"])
