"""Who does the work that outgrows one process: processes of our own, or a cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from trigger.errors import InputError, ToolError

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes:
        pool: Takes it.
        count: How much of it at once.
    """

    pool: Executor
    count: int


@contextmanager
def workers_of(
    workers: int, scheduler: str | None = None, prepare: Callable[[], None] | None = None, pool: Executor | None = None
) -> Iterator[Workers]:
    """Spawned processes (TensorFlow and fork do not mix), or the workers of a dask scheduler.

    Args:
        workers: Number of processes, where there is no scheduler.
        scheduler: Address of a `dask.distributed` scheduler, such as `tcp://host:8786`.
        prepare: Called once on every worker.
        pool: Somebody else's executor, to be used instead.

    Raises:
        ToolError: A worker was ended from outside, or `distributed` is not installed.
        InputError: The scheduler does not answer.
    """
    try:
        if pool is not None:
            yield Workers(pool, workers)
        elif scheduler is None:
            with ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(os.getpid(), prepare),
            ) as own:
                try:
                    yield Workers(own, workers)
                except BaseException:
                    own.shutdown(wait=False, cancel_futures=True)
                    raise
        else:
            with _cluster(scheduler, prepare) as cluster:
                yield cluster
    except BrokenExecutor as error:
        raise ToolError(
            "a worker process was ended from outside, perhaps for lack of memory: use fewer --workers"
        ) from error


@contextmanager
def _cluster(scheduler: str, prepare: Callable[[], None] | None) -> Iterator[Workers]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ToolError("a scheduler needs dask.distributed: pip install 'jetgate[dask]'") from error
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(f"scheduler {scheduler!r} does not answer: {str(error).splitlines()[0]}") from error
    with client:
        if prepare is not None:
            client.run(prepare)
        yield Workers(client.get_executor(pure=False), max(1, sum(client.nthreads().values())))


def in_order(
    pool: Executor, function: Callable[[Task], Result], tasks: Iterable[Task], at_once: int
) -> Iterator[Result]:
    """Results in the order of their tasks; no more than `at_once` tasks are under way, so that memory stays constant."""
    waiting = iter(tasks)
    running: list[Future[Result]] = []
    while True:
        while len(running) < at_once and (task := next(waiting, None)) is not None:
            running.append(pool.submit(function, task))
        if not running:
            return
        wait(running[:1], return_when=FIRST_COMPLETED)
        yield running.pop(0).result()


def _begin(parent: int, prepare: Callable[[], None] | None) -> None:
    """Prepare this worker, and end it when the run that started it is killed: it would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if prepare is not None:
        prepare()
