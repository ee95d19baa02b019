"""What the command line shows: progress on standard error, results on standard output."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from firmware import tools
from trigger.digest import SHORT
from trigger.errors import InputError, ToolError
from trigger.verdict import Status, Verdict

if TYPE_CHECKING:
    from trigger.app.verify import Check

BACKENDS = {"tensorflow": "tensorflow", "jax": "'jetgate[jax]'"}
"""Keras's backends that the package runs on, and what pip would install for each."""
_COLOURS = {"PASS": "green", "FAIL": "red", "NOT MEASURED": "yellow", "INCOMPLETE": "yellow"}


class OutputConsole(Console):
    """Standard output; where its reader went away, as `head` does, that is no failure of ours."""

    def on_broken_pipe(self) -> None:
        """Leave it to the caller."""
        raise BrokenPipeError


class Reporter:
    """Tells what a long run is doing: bars on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._start = time.monotonic()
        self._last_line = 0.0

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        self.console.print(f"[dim]{time.monotonic() - self._start:6.1f} s[/dim]  {text}")

    @contextmanager
    def progress(self, title: str) -> Iterator[Any]:
        """A callable `(what, done, total)` that shows how far `title` is."""
        if not self.console.is_terminal:
            yield lambda what, done, total: self._line(f"{title}: {done:,} of {total:,} {what}", done >= total)
            return
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True) as bar:
            tasks: dict[str, TaskID] = {}

            def update(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(title, total=total, what=what)
                bar.update(tasks[what], completed=done, total=total)

            yield update

    @contextmanager
    def elapsed(self) -> Iterator[Callable[[str, float], None]]:
        """A callable `(what, seconds)` that shows what runs and for how long."""
        if not self.console.is_terminal:
            yield lambda what, seconds: self._line(f"{what}: {seconds:,.0f} s", False, 60)
            return
        with self.console.status("") as status:
            yield lambda what, seconds: status.update(f"{what}  {timedelta(seconds=int(seconds))}")

    def _line(self, text: str, last: bool, every_s: float = 10) -> None:
        now = time.monotonic()
        if last or now - self._last_line > every_s:
            self._last_line = now
            self.say(text)


def verdict_table(verdict: Verdict) -> Table:
    """The verdict as a table for a terminal."""
    table = Table(title=None, header_style="bold")
    for column in ("requirement", "status", "figure", "limit", "required", "note"):
        table.add_column(column, overflow="fold")
    for one in verdict.requirements:
        figure = "" if one.figure is None else f"{one.figure:,}" if isinstance(one.figure, int) else f"{one.figure:.4g}"
        if one.uncertainty is not None:
            figure += f" ± {one.uncertainty:.2g}"
        colour = _COLOURS[one.status] if one.required or one.status is Status.PASS else "dim"
        table.add_row(
            one.name, f"[{colour}]{one.status}[/]", figure, one.limit, "yes" if one.required else "no", escape(one.note)
        )
    return table


def verified_table(checks: Sequence[Check]) -> Table:
    """What became of everything whose digest a run recorded."""
    table = Table(header_style="bold")
    for column in ("of", "what", "finding", "recorded", "now", "note"):
        table.add_column(column, overflow="fold")
    for one in checks:
        colour = "green" if one.finding == "holds" else "red"
        digests = ((digest or "")[:SHORT] for digest in (one.recorded, one.found))
        table.add_row(escape(one.name), one.what, f"[{colour}]{one.finding}[/]", *digests, escape(one.note))
    return table


def divergence_tables(divergences: Sequence[Mapping[str, Any]]) -> list[Table]:
    """For each engine that differs, where it first does and by how much."""
    tables = []
    for one in divergences:
        table = Table(
            title=f"{one['engine']}: first difference in layer {one['layer']}",
            header_style="bold",
            title_justify="left",
        )
        table.add_column("", overflow="fold")
        table.add_column("found", overflow="fold")
        table.add_row("event, channel", f"{one['vectors']} event {one['event']}, channel {one['channel']}")
        table.add_row("code", f"{one['found']} instead of {one['expected']}")
        table.add_row("codes of the layer", f"{one['differing']:,} of {one['compared']:,} differ")
        table.add_row("off by steps", ", ".join(f"{step}: {count:,}" for step, count in one["histogram"].items()))
        for cause in one["causes"] or ["no single change that was tried explains it"]:
            table.add_row("cause", cause)
        tables.append(table)
    return tables


def overall_line(verdict: Verdict) -> str:
    """The last line of a run."""
    return f"[bold {_COLOURS[verdict.overall]}]{verdict.overall}[/]" + (
        " (synthetic jets: nothing physical follows)" if verdict.synthetic else ""
    )


def catch_interrupts() -> None:
    """Remember an interrupt, besides raising it: raised inside a callback of a library it is lost."""

    def remember(_: int, __: Any) -> None:
        tools.interrupted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a time limit and a lost connection end it as well
            signal.signal(kind, remember)


def raise_if_interrupted() -> None:
    """Raise the interrupt that was lost."""
    if tools.interrupted.is_set():
        raise KeyboardInterrupt


def keras_backend() -> str:
    """Keras's backend as `KERAS_BACKEND` asks for it, TensorFlow where it is empty or not set.

    Raises:
        InputError: It is none that the package runs on, or it is not installed.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise InputError(f"KERAS_BACKEND is {name!r}; right would be {' or '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise InputError(f"KERAS_BACKEND={name}: {name} is not installed: pip install {BACKENDS[name]}")
    return name


def start_keras() -> None:
    """Import Keras without the lines that TensorFlow prints of itself; they are shown only if the import fails.

    Raises:
        InputError: See `keras_backend`.
        ToolError: The backend is there, but cannot be imported.
    """
    if "keras" in sys.modules:
        return
    os.environ["KERAS_BACKEND"] = keras_backend()  # whatever ~/.keras says: the keys of the chain's steps hold it
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # other instructions, other rounding, on other machines
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # on a GPU float32 is to have its 24 bits
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    os.environ.setdefault("JAX_ENABLE_X64", "1")  # the reference computes in float64; Keras itself asks for float32
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as drain:
        os.dup2(drain.fileno(), 2)
        try:
            import keras

            keras.ops.zeros(1)
            logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of networks that are used once each
        except BaseException as error:
            os.dup2(kept, 2)
            drain.seek(0)
            sys.stderr.write(drain.read().decode(errors="replace"))
            if isinstance(error, ImportError):
                backend = os.environ["KERAS_BACKEND"]
                raise ToolError(f"Keras cannot be imported with KERAS_BACKEND={backend}: {error}") from error
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
