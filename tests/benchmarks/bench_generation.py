"""Collisions: our generation against bare Pythia on the same settings, on one core and on two."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from trigger.data.generate import PROCESSES, Chunk, PythiaData, _started, seeded, simulate

EVENTS = 1000  # a chunk of the main job
DATA = PythiaData(kind="pythia", jets_per_class=4000)


def bare(process: str, seed: int) -> float:
    """Processor seconds for `next` alone."""
    pythia = seeded(PROCESSES[process].settings(DATA), seed)
    start = time.process_time()
    for _ in range(EVENTS):
        pythia.next()
    return time.process_time() - start


def ours(process: str, seed: int) -> float:
    """Processor seconds for collisions, detector, jets and labels."""
    _started(PROCESSES[process].settings(DATA))
    start = time.process_time()
    simulate(Chunk(DATA, process, 0, seed, EVENTS, None))
    return time.process_time() - start


def test_generation_against_bare_pythia():
    print(f"\n{'process':8} {'bare Pythia':>14} {'jetgate':>14} {'ratio':>7}   (events/s, one core)")
    for process in ("qcd", "wz", "top"):
        simulate(Chunk(DATA, process, 0, 1, 20, None))  # compiled and loaded before the clock runs
        bare_s = ours_s = 0.0
        for seed in (11, 12):  # alternating, so that a slow moment of the machine hits both
            bare_s += bare(process, seed)
            ours_s += ours(process, seed)
        print(f"{process:8} {2 * EVENTS / bare_s:14.0f} {2 * EVENTS / ours_s:14.0f} {bare_s / ours_s:7.2f}")


def test_two_workers():
    """What two workers gain, beside what the machine itself gives two bare Pythias."""
    for name, work in (("bare Pythia", bare), ("jetgate", ours)):
        seconds = {}
        for workers in (1, 2):
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                list(pool.map(work, ["qcd"] * workers, range(90, 90 + workers)))  # started and warm
                start = time.perf_counter()
                list(pool.map(work, ["qcd"] * 4, range(21, 25)))
                seconds[workers] = time.perf_counter() - start
        print(f"two workers against one, {name}: {seconds[1] / seconds[2]:.2f} times the events/s")
