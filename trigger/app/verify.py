"""Whether a finished run is still what its records say: every digest computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firmware.decision import Decision, decision_path
from firmware.project import FirmwareProject
from trigger.app.chain import stored_features
from trigger.app.console import start_keras
from trigger.app.finished import PLOTS, STEPS, FinishedRun
from trigger.digest import file_digest
from trigger.errors import InputError
from trigger.files import read_json


class Finding(StrEnum):
    """What became of a thing whose digest was recorded."""

    HOLDS = "holds"
    CHANGED = "changed"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Check:
    """One digest, recorded and computed again.

    Attributes:
        name: Path of the file, or of the folder whose content it is, below the folder of `runs/`.
        what: What the digest is of.
        finding: Whether it holds.
        recorded: The digest that was recorded; `None` where none was.
        found: The one of now; `None` where there is none.
        note: Why there is none, or what else a reader should know.
    """

    name: str
    what: str
    finding: Finding
    recorded: str | None
    found: str | None
    note: str = ""

    def summary(self) -> dict[str, str | None]:
        """As JSON would hold it."""
        return {**vars(self), "finding": str(self.finding)}


def verify(folder: Path) -> tuple[Check, ...]:
    """Compute every digest again that a run recorded.

    Files are compared by their bytes; features, networks and firmware by their content too.

    Args:
        folder: A finished run, in `runs/`.

    Raises:
        InputError: There is no such run, it is not finished, or its `run.json` is damaged.
    """
    run = FinishedRun.open(folder)
    return (*_own_files(run), *_steps(run, run.models), *_steps(run, run.folder), *_contents(run), *_firmware(run),
            *_accept_bits(run))  # fmt: skip


def holds(checks: tuple[Check, ...]) -> bool:
    """Whether nothing changed."""
    return all(one.finding is Finding.HOLDS for one in checks)


def _own_files(run: FinishedRun) -> Iterator[Check]:
    """What `run.json` says of the files beside it; runs of earlier versions say nothing of them."""
    for name, recorded in run.record.get("files", {}).items():
        yield _file(run, run.folder / name, recorded)


def _steps(run: FinishedRun, home: Path) -> Iterator[Check]:
    """Every file that a step recorded."""
    paths = sorted((home / STEPS).glob("*.json"))
    if not paths:
        yield Check(_below(run, home / STEPS), "records of steps", Finding.MISSING, None, None, "there is none")
    for path in paths:
        record, fault = _record(path)
        if fault:
            yield Check(_below(run, path), "record of a step", Finding.DAMAGED, None, None, fault)
        for name, recorded in record.get("files", {}).items():
            if recorded is not None:  # a step may have no such file: then there is nothing to hold
                yield _file(run, _place(run, home, path.stem, name), recorded)


def _place(run: FinishedRun, home: Path, step: str, name: str) -> Path:
    """Where a step put a file: beside its record's folder, in a folder of its own, among the figures or the reports."""
    bits = decision_path(run.project_folder)
    places = (home / name, home / step / name, home / PLOTS / name, run.project_folder / "reports" / name, bits)
    if home == run.models:
        usual = 0 if step.endswith("features") else 1
    else:
        usual = 3 if step == "open" else 4 if name == bits.name else 2 if Path(name).suffix in (".svg", ".png") else 0
    return next((path for path in places if path.is_file() and path.name == name), places[usual])


def _file(run: FinishedRun, path: Path, recorded: str) -> Check:
    if not path.is_file():
        return Check(_below(run, path), "file", Finding.MISSING, recorded, None, "there is no such file")
    return _compared(_below(run, path), "file", recorded, file_digest(path))


def _compared(name: str, what: str, recorded: str, found: str, note: str = "") -> Check:
    return Check(name, what, Finding.HOLDS if found == recorded else Finding.CHANGED, recorded, found, note)


def _contents(run: FinishedRun) -> Iterator[Check]:
    """Features and networks, by what they are: what their steps recorded, and what `run.json` did."""
    home = run.models
    for path in sorted((home / STEPS).glob("*.json")):
        record, _ = _record(path)
        recorded = record.get("digest")
        if not isinstance(recorded, str):
            continue
        name = path.stem
        features = name.endswith("features")
        thing = home / (f"{name}.npz" if features else name)
        if name in run.record["digests"]:
            yield _agreed(run, path, recorded, run.record["digests"][name])
        what = "content of the features" if features else "structure, weights and contract"
        try:
            found = _features(thing, record) if features else _network(thing)
        except InputError as error:
            finding = Finding.DAMAGED if thing.exists() else Finding.MISSING
            yield Check(_below(run, thing), what, finding, recorded, None, str(error).replace(f"{run.out}/", ""))
        else:
            yield _compared(_below(run, thing), what, recorded, found)
    for name in ("features", "quantised", "float"):
        path = home / STEPS / f"{name}.json"
        if name in run.record["digests"] and not path.is_file():
            recorded = run.record["digests"][name]
            yield Check(_below(run, path), "record of a step", Finding.MISSING, recorded, None, "there is no such file")


def _agreed(run: FinishedRun, path: Path, recorded: str, judged: str) -> Check:
    note = "" if recorded == judged else "made anew since the run was judged; run the recipe again"
    return _compared(_below(run, path), "what run.json says of it", judged, recorded, note)


def _features(path: Path, record: dict[str, Any]) -> str:
    try:
        return stored_features(path, record).digest()
    except Exception as error:  # numpy raises whatever the broken part raised
        raise InputError(f"{path}: cannot be read: {error}") from error


def _network(folder: Path) -> str:
    start_keras()
    from models.trained import TrainedModel

    return TrainedModel.load(folder).digest()


def _firmware(run: FinishedRun) -> Iterator[Check]:
    """The project as a whole, and each file of it that is not what the conversion wrote."""
    home, what = run.project_folder, "sources, network and contract"
    recorded = run.record["digests"].get("firmware")
    try:
        project = FirmwareProject.load(home)
    except InputError as error:
        finding = Finding.DAMAGED if home.is_dir() else Finding.MISSING
        yield Check(_below(run, home), what, finding, recorded, None, str(error).replace(f"{run.out}/", ""))
        return
    yield _compared(_below(run, home), what, recorded, project.digest())
    for name in project.edited():
        written, path = project.manifest.files.get(name), home / name
        note = "" if written else "was not there"
        finding = Finding.CHANGED if path.is_file() else Finding.MISSING
        yield Check(_below(run, path), "file", finding, written, file_digest(path) if path.is_file() else None, note)


def _accept_bits(run: FinishedRun) -> Iterator[Check]:
    """The sources of the accept bits, and that they are of this firmware."""
    path = decision_path(run.project_folder)
    if not path.is_file():
        return
    try:
        made = Decision.model_validate(read_json(path))
    except (InputError, ValidationError) as error:
        yield Check(_below(run, path), "record of accept bits", Finding.DAMAGED, None, None, str(error).splitlines()[0])
        return
    for name, recorded in made.files.items():
        yield _file(run, path.parent / name, recorded)
    yield _compared(_below(run, path), "firmware that the accept bits are of", made.project, run.project.digest())


def _record(path: Path) -> tuple[dict[str, Any], str]:
    """A step's record, and what is wrong with it."""
    try:
        record = read_json(path)
    except InputError:
        return {}, "it cannot be read as JSON"
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return {}, "it does not say which files the step wrote"
    return record, ""


def _below(run: FinishedRun, path: Path) -> str:
    return str(path.relative_to(run.out))
