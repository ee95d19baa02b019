"""The sign-off page of a finished run: one file that opens anywhere, and the same content as data beside it.

```
runs/<recipe>-<digest>/report/index.html     text, tables, figures and style in one file; nothing is loaded
runs/<recipe>-<digest>/report/report.json    the same content, machine-readable
```
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.reports.report import Stage, SynthesisReport
from trigger import config
from trigger.app.figures import inlined
from trigger.app.finished import PLOTS, FinishedRun
from trigger.app.page_parts import Section
from trigger.app.sections import sections, shown_figure, unit_of
from trigger.app.synthesis import latest
from trigger.errors import InputError
from trigger.files import replacing, write_json, write_text
from trigger.verdict import Overall, Status, Verdict

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT = "report"
PAGE = "index.html"
DATA = "report.json"
UNKNOWN = "not known"
TEMPLATE = "page.html.j2"


def write_page(folder: Path) -> Path:
    """Write the page of a finished run and its data, in place of earlier ones.

    Args:
        folder: The run's folder, in `runs/`; the networks and the firmware are found from it.

    Returns:
        Path of the page.

    Raises:
        InputError: There is no such run, it is not finished, files of it are damaged or missing, or the firmware was changed
            since: a page would then say of it what was found of another one.
    """
    run = FinishedRun.open(folder)
    if run.project.digest() != run.record["digests"].get("firmware"):
        raise InputError(
            f"{run.project_folder}: this is not the firmware that the run was judged by; 'jetgate verify {folder}' names what "
            "changed, 'jetgate run' of the recipe judges anew"
        )
    reports = _reports(run)
    found = sections(run, reports)
    with replacing(folder / REPORT) as fresh:
        fresh.mkdir()
        write_text(fresh / PAGE, _rendered(run, found))
        write_json(fresh / DATA, content(run, found, reports))
    return page_path(folder)


def page_path(folder: Path) -> Path:
    """Where the page of a run is."""
    return folder / REPORT / PAGE


def content(run: FinishedRun, found: tuple[Section, ...], reports: Mapping[str, SynthesisReport]) -> dict[str, Any]:
    """What the page says, as JSON would hold it; a cell that is not known is `None`."""
    requirements = [
        {**one.model_dump(mode="json"), "unit": unit_of(one)} for one in run.verdict.requirements
    ]  # fmt: skip
    return {
        "run": run.folder.name,
        "recipe": run.record["recipe"],
        "target": run.record["target"],
        "overall": str(run.verdict.overall),
        "synthetic": run.verdict.synthetic,
        "sentence": sentence(run.verdict),
        "requirements": requirements,
        "sections": [one.model_dump(mode="json") for one in found],
        "reports": {name: one.summary() for name, one in reports.items()},
        "settings": {"recipe": run.recipe.model_dump(mode="json"), "target": run.target.model_dump(mode="json")},
    }


def _reports(run: FinishedRun) -> dict[str, SynthesisReport]:
    """What tools and the estimate say of the firmware, early stages first."""
    from firmware.emulation import EmulationResult

    path = run.folder / "emulation.json"
    try:
        timing = EmulationResult.load(path).timing
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error}); run the recipe again") from error
    stages = list(Stage)
    found = latest(run.project, timing)
    order = sorted(found, key=lambda name: (stages.index(found[name].stage or stages[-1]), name))
    return {name: found[name] for name in order}


def sentence(verdict: Verdict) -> str:
    """What the verdict means, in words."""
    required = [one for one in verdict.requirements if one.required]
    failed = [one.name for one in required if one.status is Status.FAIL]
    unmeasured = [one.name for one in required if one.status is Status.NOT_MEASURED]
    match verdict.overall:
        case Overall.PASS:
            return f"All {len(required)} requirements were measured and hold."
        case Overall.FAIL:
            also = f" Not measured: {', '.join(unmeasured)}." if unmeasured else ""
            return f"Of {len(required)} requirements {len(failed)} do not hold: {', '.join(failed)}.{also}"
        case Overall.INCOMPLETE:
            if not required:
                return "Nothing is required of this run."
            return f"Of {len(required)} requirements {len(unmeasured)} were not measured: {', '.join(unmeasured)}."


# ----------------------------------------------------------------------------------------------------------------- HTML


def _rendered(run: FinishedRun, found: tuple[Section, ...]) -> str:
    from markupsafe import Markup

    figures = {
        figure.file: Markup(inlined(run.folder / PLOTS / figure.file, f"f{number}-", figure.caption))
        for number, figure in enumerate(figure for section in found for figure in section.figures)
    }
    requirements = [
        (one, cell(shown_figure(one)), unit_of(one)) for one in run.verdict.requirements
    ]  # fmt: skip
    return _environment().get_template(TEMPLATE).render(
        run=run.folder.name, recipe=run.record["recipe"], target=run.target, verdict=run.verdict, figures=figures,
        sentence=sentence(run.verdict), requirements=requirements, sections=found,
        settings={"recipe.yaml": config.dump(run.recipe), "target.yaml": config.dump(run.target)},
    )  # fmt: skip


def _environment() -> Environment:
    """The template, with every value escaped and every name that it uses known."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    source = (files("trigger.app") / TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({TEMPLATE: source}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "kind": kind}
    return environment


def cell(value: Any) -> str:
    """A cell of a table as text: numbers to six digits, an uncertainty to two and its figure as far as that goes."""
    match value:
        case None:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.6g}"
        case {"value": figure, "uncertainty": uncertainty}:
            return _estimate(figure, uncertainty)
        case _:
            return str(value)


def _estimate(figure: float | None, uncertainty: float | None) -> str:
    if figure is None:
        return UNKNOWN
    if not uncertainty:
        return f"{figure:,.6g}"
    exponent = int(f"{uncertainty:.1e}".partition("e")[2])  # after rounding: 0.00999 is 0.010
    digits = max(0, 1 - exponent)
    return f"{figure:,.{digits}f} ± {uncertainty:,.{digits}f}"


def kind(value: Any) -> str:
    """The class of a cell: a status, a number, what is not known, or text."""
    statuses = {str(one): f"status {str(one).lower().replace(' ', '-')}" for one in (*Status, *Overall)}
    match value:
        case None:
            return "unknown"
        case bool():
            return "text"
        case int() | float() | dict():
            return "number"
        case _:
            return statuses.get(str(value), "text")
