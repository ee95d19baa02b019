"""Crossings: collisions laid over one another and objects built of their towers, in events/s on one core, by pileup."""

from __future__ import annotations

import time

import numpy as np
import pytest

from trigger.data.generate import collide
from trigger.data.generate_events import MIN_BIAS, SIGNALS
from trigger.data.level1 import ACCEPTANCE, observe, overlay, trigger_objects

COLLISIONS, CROSSINGS, SLICE = 1000, 500, 100
ENERGY = "Beams:eCM = 13000"


@pytest.fixture(scope="module")
def pool():
    particles = collide((ENERGY, *MIN_BIAS), 1, "pool", 0, COLLISIONS, ACCEPTANCE).particles
    return observe(particles, COLLISIONS, np.random.default_rng(1))


def test_object_building(pool):
    cells = len(pool.cell) / COLLISIONS
    print(
        f"\n{'pileup':>6} {'overlay':>10} {'objects':>10} {'both':>10}   (events/s; {cells:.0f} deposits a collision)"
    )
    for pileup in (0, 50, 140, 200):
        generator = np.random.default_rng(2)
        seconds = np.zeros(2)
        for first in range(-SLICE, CROSSINGS, SLICE):  # the first slice warms up
            counts = generator.poisson(pileup, SLICE)
            drawn = generator.integers(0, COLLISIONS, counts.sum())
            start = time.process_time()
            crossings = overlay(pool, drawn, counts, None, generator)
            middle = time.process_time()
            trigger_objects(crossings, generator)
            if first >= 0:
                seconds += (middle - start, time.process_time() - middle)
        rates = CROSSINGS / np.array([*seconds, seconds.sum()])
        print(f"{pileup:6} {rates[0]:10,.0f} {rates[1]:10,.0f} {rates[2]:10,.0f}")


def test_generation():
    print(f"\n{'process':>12} {'start':>8} {'events/s':>10}   (one core: Pythia and detector)")
    for name, lines in {"minimum bias": MIN_BIAS, **SIGNALS}.items():
        start = time.process_time()
        collide((ENERGY, *lines), 1, name, 0, 1, ACCEPTANCE)
        started = time.process_time()
        particles = collide((ENERGY, *lines), 1, name, 1, 100, ACCEPTANCE).particles
        observe(particles, 100, np.random.default_rng(1))
        print(f"{name:>12} {started - start:6.1f} s {100 / (time.process_time() - started):10.0f}")
