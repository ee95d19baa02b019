"""Crossings against sums and loops by hand, and a few real Pythia events."""

from __future__ import annotations

from dataclasses import replace
from math import cos, sin
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest

from trigger.config import parse
from trigger.data.detector import Particles
from trigger.data.events import (
    EGAMMA,
    JET,
    MUON,
    EventDataset,
    concatenate_events,
    leading,
    read_events,
    read_origin,
    write_events,
)
from trigger.data.generate import SHOWER_LINES, SHOWERS, collide, shower_weights
from trigger.data.generate_events import (
    EVENT_NUMBERS_PER_CLASS,
    FOLDS,
    MIN_BIAS,
    SIGNALS,
    EventChunk,
    EventData,
    _pool,
    _read_signals,
    disturbed_events,
    folds,
    generate_events,
    make_event_chunk,
    offline_gev,
    pool_path,
    simulate_events,
)
from trigger.data.jets import Origin, split_by_event
from trigger.data.level1 import (
    CELLS,
    CENTRAL,
    COLUMNS,
    EM,
    ETA_CENTRES,
    ETA_EDGES,
    FAULTS,
    HAD,
    ROWS,
    Crossings,
    Fault,
    Signals,
    concatenate_signals,
    egamma_candidates,
    jet_candidates,
    missing_energy,
    observe,
    overlay,
    regions,
    tower_counts,
    trigger_objects,
    with_towers,
)
from trigger.data.toy import ToyEventData, toy_events
from trigger.digest import file_digest
from trigger.errors import InputError

NO_MUONS = (np.zeros(0, np.int64), np.zeros((0, 5)))


@pytest.fixture(scope="module")
def toy():
    (made,) = toy_events(ToyEventData(kind="toy_events", crossings=300, events_per_signal=50), seed=4)
    return made


def particles(n, kind, charge, pt, eta=None, seed=1, phi=None):
    generator = np.random.default_rng(seed)
    phi = generator.uniform(-np.pi, np.pi, n) if phi is None else np.full(n, phi)
    eta = generator.uniform(-2.3, 2.3, n) if eta is None else np.full(n, eta)
    mass = {211: 0.13957, 321: 0.49368, 13: 0.10566}.get(kind, 0.0)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    return Particles(
        np.arange(n), px, py, pz, energy, np.full(n, charge, np.int8), np.full(n, kind, np.int32), np.zeros(n, np.int8)
    )


def random_towers(crossings, seed, height=12.0):
    """Few small towers beside some large ones, with many ties."""
    generator = np.random.default_rng(seed)
    towers = generator.poisson(0.2, (crossings, 2, ROWS, COLUMNS)) * 0.5
    for _ in range(12):
        where = (np.arange(crossings), generator.integers(0, 2, crossings), generator.integers(0, ROWS, crossings),
                 generator.integers(0, COLUMNS, crossings))  # fmt: skip
        towers[where] += np.round(generator.exponential(height, crossings))
    return towers


# --- the sample ---------------------------------------------------------------------------------------------------------


def test_codes_round_saturate_and_refuse():
    assert EGAMMA.pt_codes([0.0, 0.26, 10.0, 255.4, 255.8, 1e4]).tolist() == [0, 1, 20, 511, 511, 511]
    assert JET.pt_codes([1023.5, 2000.0]).tolist() == [2047, 2047]
    assert MUON.eta_codes([-2.4, 0.0, 0.0109]).tolist() == [-221, 0, 1]
    assert JET.eta_codes([5.19]).tolist() == [119]
    assert JET.phi_codes([-1e-9, np.pi, -np.pi / 2, 2 * np.pi]).tolist() == [0, 72, 108, 0]
    with pytest.raises(InputError, match=r"eta 999 is beyond the 5\.52 that 8 bits reach"):
        JET.eta_codes([1.0, 999.0])
    with pytest.raises(InputError, match=r"cannot be -1\.0 GeV"):
        JET.pt_codes([-1.0])
    with pytest.raises(InputError, match="phi: 1 of 2 values are NaN"):
        MUON.phi_codes([0.0, np.nan])


def test_leading_objects_by_hand():
    event = np.array([2, 0, 0, 2, 0, 0])
    pt = np.array([7, 5, 9, 0, 5, 1])
    table = leading(event, pt, np.arange(6), 10 + np.arange(6), 3, 3)
    assert table[0].tolist() == [[9, 2, 12], [5, 1, 11], [5, 4, 14]]
    assert not table[1].any()
    assert table[2].tolist() == [[7, 0, 10], [0, 0, 0], [0, 0, 0]]


def test_taken_joined_written_and_read(toy, tmp_path):
    counts = np.arange(len(toy)) % 3
    toy = replace(
        toy, collisions=counts, pool=ak.unflatten(np.arange(counts.sum()), counts),
        offline_gev=np.linspace(0.0, 500.0, len(toy)), showers=np.random.default_rng(1).exponential(1.0, (len(toy), 4)),
    )  # fmt: skip
    path = tmp_path / "events.npz"
    write_events(path, toy)
    again = read_events(path)
    assert again.digest() == toy.digest()
    assert again.origin == read_origin(path) == toy.origin
    assert (again.showers.dtype, again.showers.shape, again.offline_gev.dtype) == (float, (len(toy), 4), float)
    assert toy.digest() != replace(toy, showers=toy.showers + 0.1).digest() != replace(toy, showers=None).digest()
    even, odd = toy.take(np.arange(0, len(toy), 2)), toy.take(np.arange(len(toy)) % 2 == 1)
    both = concatenate_events([even, odd])
    assert both.digest() != toy.digest()
    assert both.take(np.argsort(both.events)).digest() == toy.digest()
    assert concatenate_events([even, replace(odd, regions=None)]).regions is None
    without = concatenate_events([replace(even, offline_gev=None), replace(odd, showers=None)])
    assert without.offline_gev is without.showers is None
    np.testing.assert_array_equal(even.showers, toy.showers[::2])
    with pytest.raises(InputError, match="class 'toy_muons', 'toy_jets' has no events"):
        concatenate_events([toy.take(toy.labels == 0)])
    assert len(concatenate_events([toy.take(toy.labels == 0)], every_class=False)) == 300
    with pytest.raises(InputError, match="different classes"):
        concatenate_events([toy, replace(toy, class_names=("a", "b", "c"))])
    path.write_bytes(b"no sample")
    with pytest.raises(InputError, match="this is not a sample of events"):
        read_events(path)


def changed(toy, name, place, value):
    column = getattr(toy, name).copy()
    column[place] = value
    return {name: column}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"met": e.met[:, :1]}, r"met of 400 events need the shape \(400, 2\), found \(400, 1\)"),
        (lambda e: {"jets": e.jets.astype(float)}, "hardware integers"),
        (lambda e: changed(e, "jets", (7, 0, 0), 2048), r"jets pt: 2048 in event 7 is outside \[0, 2047\]; 1 are"),
        (lambda e: changed(e, "muons", (0, 0), [9, 300, 0]), r"muons eta: 300 in event 0 is outside \[-255, 255\]"),
        (lambda e: changed(e, "egammas", (0, 0), [99, 0, 144]), r"egammas phi: 144 in event 0 is outside \[0, 143\]"),
        (lambda e: changed(e, "jets", (3, 9, 0), 2000), "jets are not ordered by falling pt: event 3 has"),
        (lambda e: changed(e, "muons", (3, 3), [0, 1, 0]), "an entry without an object"),
        (lambda e: changed(e, "regions", (3, 3, 3), 1024), r"regions: 1024 in event 3 is outside \[0, 1023\]"),
        (lambda e: {"labels": e.labels + 1}, "labels run from 1 to 3, but there are 3 classes"),
        (lambda e: {"weights": -e.weights}, "finite and not negative"),
        (lambda e: {"pool": ak.Array([[1]] * 400)}, "as many collisions"),
        (lambda e: {"offline_gev": np.ones(399)}, r"offline_gev of 400 events need the shape \(400,\), found \(399,\)"),
        (lambda e: {"offline_gev": np.ones(400, int)}, r"offline_gev are real numbers \(float64\), found int64"),
        (lambda e: {"showers": np.ones(400)}, r"showers of 400 events need the shape \(400, 400\), found \(400,\)"),
        (lambda e: {"offline_gev": np.where(np.arange(400) == 7, np.nan, 1.0)},
         "offline_gev: nan in event 7 is not a finite number of 0 or more; 1 are not"),
        (lambda e: {"showers": np.where(np.arange(800).reshape(400, 2) > 797, -0.5, 1.0)},
         r"showers: -0\.5 in event 399 is not a finite number of 0 or more; 2 are not"),
    ],
)  # fmt: skip
def test_wrong_samples(toy, change, message):
    with pytest.raises(InputError, match=message):
        replace(toy, **change(toy))


def test_an_empty_sample(toy):
    with pytest.raises(InputError, match="the sample is empty"):
        toy.take(np.zeros(len(toy), dtype=bool))


def test_toys_are_seeded_and_synthetic(toy):
    (again,) = toy_events(ToyEventData(kind="toy_events", crossings=300, events_per_signal=50), seed=4)
    (other,) = toy_events(ToyEventData(kind="toy_events", crossings=300, events_per_signal=50), seed=5)
    assert again.digest() == toy.digest() != other.digest()
    assert toy.origin.synthetic


# --- the detector -------------------------------------------------------------------------------------------------------


def test_towers_are_those_of_cms():
    assert len(ETA_EDGES) == 81
    assert (np.diff(ETA_EDGES) > 0).all()
    np.testing.assert_allclose(ETA_EDGES, -ETA_EDGES[::-1])
    assert ETA_EDGES[CENTRAL.stop] == 3.0
    assert CENTRAL.stop - CENTRAL.start == 56
    # Centres of the towers of 0.087 lie on odd counts of the trigger's eta.
    assert JET.eta_codes(ETA_CENTRES[40:60]).tolist() == list(range(1, 41, 2))


def test_jets_against_nested_loops():
    total = tower_counts(random_towers(6, seed=1)).sum(axis=1)
    found = {}
    for event, row, column, pt in np.stack(jet_candidates(total), axis=1).tolist():
        found[event, row, column] = pt

    def at(event, row, column):
        return int(total[event, row % ROWS, column]) if 0 <= column < COLUMNS else 0

    expected = {}
    for event in range(len(total)):
        for row, column in np.argwhere(total[event] >= 8).tolist():
            centre = at(event, row, column)
            around = [(r, c) for r in range(-4, 5) for c in range(-4, 5)]
            best = all(
                at(event, row + r, column + c) < centre if (r, c) < (0, 0) else at(event, row + r, column + c) <= centre
                for r, c in around
            )
            if best:
                strips = [
                    sum(at(event, row + r, column + c) for r in rows for c in columns)
                    for rows, columns in (
                        (range(-7, -4), range(-4, 5)), (range(5, 8), range(-4, 5)),
                        (range(-4, 5), range(-7, -4)), (range(-4, 5), range(5, 8)),
                    )
                ]  # fmt: skip
                inside = sum(at(event, row + r, column + c) for r, c in around)
                expected[event, row, column] = max(inside - sum(sorted(strips)[:3]), 0)
    assert found == expected
    assert len(found) > 20


def test_egammas_against_nested_loops():
    counts = tower_counts(random_towers(6, seed=2))
    em, had = counts[:, EM], counts[:, HAD]
    expected = set()
    for event in range(len(counts)):
        for row in range(ROWS):
            for column in range(1, COLUMNS - 1):
                centre = em[event, row, column]
                if centre < 4 or abs(ETA_CENTRES[column]) > 2.5:
                    continue
                around = [em[event, (row + r) % ROWS, column + c] for r in (-1, 0, 1) for c in (-1, 0, 1)]
                largest = all(one < centre for one in around[:4]) and all(one <= centre for one in around[5:])
                if largest and had[event, row, column] * 8 <= sum(around):
                    expected.add((event, row, column, sum(around)))
    found = egamma_candidates(counts)
    assert set(zip(*(one.tolist() for one in found), strict=True)) == expected
    assert len(expected) > 10


def test_equal_neighbours_make_one_jet():
    total = np.zeros((1, ROWS, COLUMNS), dtype=np.int32)
    total[0, [71, 0, 1], 40] = 20  # across the seam of phi
    (event, row, column, pt) = jet_candidates(total)
    assert (len(event), column[0], pt[0]) == (1, 40, 60)
    assert row[0] == 71  # the first as one goes round


def test_sums_against_loops():
    towers = random_towers(4, seed=3, height=30.0)
    objects = trigger_objects(Crossings(towers, *NO_MUONS), np.random.default_rng(1))
    counts = tower_counts(towers).sum(axis=1)
    for event in range(4):
        x = y = scalar = 0.0
        grid = np.zeros((18, 14), dtype=int)
        for row in range(ROWS):
            for column in range(12, 68):
                count = int(counts[event, row, column])
                grid[row // 4, (column - 12) // 4] += count
                if count >= 6:
                    phi = (row + 0.5) * 2 * np.pi / 72
                    x, y, scalar = x - count * cos(phi), y - count * sin(phi), scalar + count
        assert objects["met"][event, 0] == round(np.hypot(x, y))
        assert objects["met"][event, 1] == round(np.arctan2(y, x) * 144 / (2 * np.pi)) % 144
        assert objects["sums"][event, 0] == scalar
        np.testing.assert_array_equal(objects["regions"][event], np.minimum(grid, 1023))
        eta = objects["jets"][event, :, 1] * 0.0435
        pt = objects["jets"][event, :, 0]
        assert objects["sums"][event, 1] >= pt[(pt >= 60) & (np.abs(eta) < 2.5)].sum()


def test_what_is_too_large_saturates():
    towers = np.zeros((1, 2, ROWS, COLUMNS))
    towers[0, EM, 10, 40] = 3000.0
    objects = trigger_objects(Crossings(towers, *NO_MUONS), np.random.default_rng(1))
    assert objects["egammas"][0, 0, 0] == 511
    assert objects["jets"][0, 0, 0] == 2047
    assert objects["met"][0, 0] == objects["sums"][0, 0] == objects["sums"][0, 1] == 4095
    assert objects["regions"].max() == 1023
    # At the centre of the tower; missing energy on the other side.
    assert objects["jets"][0, 0, 1:].tolist() == [1, 21]
    assert objects["met"][0, 1] == 21 + 72


def test_towers_are_conserved():
    counts = np.random.default_rng(1).integers(0, 3, (3, ROWS, COLUMNS)).astype(np.int32)
    assert regions(counts).sum() == counts[:, :, CENTRAL].sum()
    even = np.ones((1, ROWS, COLUMNS), dtype=np.int32)
    assert missing_energy(even).tolist() == [[0, 0]]


def test_deposits_keep_the_energy_and_have_the_resolution():
    n = 20_000
    for kind, charge, stochastic, constant in ((22, 0, 0.11, 0.008), (130, 0, 1.5, 0.05)):
        energy = 40.0
        signals = observe(particles(n, kind, charge, energy / np.cosh(0.04), eta=0.04), n, np.random.default_rng(3))
        owner = np.repeat(np.arange(n), np.diff(signals.cell_offsets))
        measured = np.bincount(owner, signals.et_gev, minlength=n)
        # Two cells of one hadron are smeared apart: the stochastic parts add up to the same, the constant ones to less.
        expected = np.hypot(stochastic * np.sqrt(energy), constant * energy) / energy
        true = energy / np.cosh(ETA_CENTRES[40])
        assert measured.mean() / true == pytest.approx(1, abs=4 * expected / np.sqrt(n))
        assert measured.std() / true == pytest.approx(expected, rel=0.06)
        part = signals.cell // (ROWS * COLUMNS)
        share = signals.et_gev[part == EM].sum() / signals.et_gev.sum()
        assert share == (1 if kind == 22 else pytest.approx(1 / 3, abs=0.01))


def test_the_field_turns_charged_particles():
    signals = observe(particles(500, 211, 1, 5.0, eta=0.04, phi=1.0), 500, np.random.default_rng(3))
    row = signals.cell // COLUMNS % ROWS
    expected = 1.0 - np.arcsin(0.15 * 3.8 * 1.29 / 5.0)
    assert set(row.tolist()) == {int(expected / (2 * np.pi / ROWS))}
    assert len(observe(particles(500, 211, 1, 0.7, eta=0.04), 500, np.random.default_rng(3)).cell) == 0


def crossings_of(signals):
    return overlay(signals, np.zeros(0, np.int64), np.zeros(len(signals), np.int64), signals, np.random.default_rng(9))


def test_muon_efficiency_and_resolution():
    n = 30_000
    signals = observe(particles(n, 13, -1, 20.0), n, np.random.default_rng(3))
    assert len(signals.cell) == 0  # no energy in the calorimeter
    crossings = Crossings(np.zeros((n, 2, 1, 1)), np.arange(n), signals.muon)
    from trigger.data.level1 import _muons

    muons = _muons(crossings, n, np.random.default_rng(4))
    pt = muons[:, 0, 0] / 2
    assert (pt > 0).mean() == pytest.approx(0.95, abs=0.005)
    inverse = 20.0 / pt[pt > 0]
    assert np.median(inverse) == pytest.approx(1, abs=0.02)
    low, high = np.quantile(inverse, [0.1587, 0.8413])
    assert (high - low) / 2 == pytest.approx(0.20, rel=0.05)
    # The tail: of a Gaussian of 20 % in 1/pT alone 0.9 per mille would be above 38 GeV... and 3e-5 above 100 GeV.
    assert 1e-3 < (pt > 100).mean() < 6e-3
    np.testing.assert_allclose(muons[:, 0, 1] * 0.010875, np.where(pt > 0, signals.muon[:, 1], 0), atol=0.0055)


@pytest.mark.parametrize(
    ("kind", "mass", "lifetime_m", "fraction"), [(211, 0.13957, 7.8045, 1), (321, 0.49368, 3.711, 0.6356)]
)
def test_decays_in_flight(kind, mass, lifetime_m, fraction):
    """At eta near 0 the way is 1.29 m; the muon has between (m_mu / m)^2 and all of the momentum."""
    n = 1000
    signals = observe(particles(n, kind, 1, 10.0, eta=0.01), n, np.random.default_rng(3))
    probability = fraction * (1 - np.exp(-1.29 * mass / (10.0 * lifetime_m)))
    np.testing.assert_allclose(signals.muon[:, 3], probability, rtol=1e-3)
    np.testing.assert_allclose(signals.muon[:, 4], (0.10566 / mass) ** 2, rtol=1e-2)
    assert len(observe(particles(n, 2212, 1, 10.0), n, np.random.default_rng(3)).muon) == 0


# --- crossings ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool():
    """Sixty collisions of some particles."""
    given = particles(3000, 22, 0, np.random.default_rng(2).exponential(2.0, 3000) + 0.1, seed=5)
    collisions = replace(given, event=np.sort(np.random.default_rng(3).integers(0, 60, 3000)))
    hadrons = replace(collisions, kind=np.full(3000, 211, np.int32))
    return observe(
        Particles(*(np.concatenate([getattr(a, name) for a in (collisions, hadrons)])[
            np.argsort(np.concatenate([collisions.event, hadrons.event]), kind="stable")]
            for name in ("event", "px", "py", "pz", "energy", "charge", "kind", "vertex"))),
        60, np.random.default_rng(4),
    )  # fmt: skip


def dense(signals, collision):
    """The towers of one collision."""
    cells = slice(signals.cell_offsets[collision], signals.cell_offsets[collision + 1])
    return np.bincount(signals.cell[cells], signals.et_gev[cells], minlength=CELLS).reshape(2, ROWS, COLUMNS)


def test_a_crossing_is_the_sum_of_its_collisions(pool):
    """Turned and mirrored as the generator says, in the order in which it is asked."""
    counts, drawn = np.array([3, 0, 2]), np.array([5, 5, 59, 0, 17])
    hard = pool.take(30, 33)
    made = overlay(pool, drawn, counts, hard, np.random.default_rng(7))
    generator = np.random.default_rng(7)
    turn, mirrored = generator.integers(0, ROWS, 5), generator.random(5) < 0.5
    expected = np.stack([dense(pool, 30 + crossing) for crossing in range(3)])
    for number, crossing in enumerate([0, 0, 0, 2, 2]):
        one = np.roll(dense(pool, drawn[number]), turn[number], axis=1)
        expected[crossing] += one[:, :, ::-1] if mirrored[number] else one
    np.testing.assert_allclose(made.towers, expected, rtol=1e-6, atol=1e-9)
    assert mirrored.any()
    assert not mirrored.all()
    muons = [pool.muon_offsets[c + 1] - pool.muon_offsets[c] for c in (*drawn, 30, 31, 32)]
    assert len(made.muon) == sum(muons)


def test_collisions_are_taken_and_joined(pool):
    joined = concatenate_signals([pool.take(0, 20), pool.take(20, 60)])
    for name in Signals.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(joined, name), getattr(pool, name))


def test_pileup_is_poisson_and_drawn_from_the_fold(pool):
    data = EventData(kind="events", crossings=800, pileup=12.5, pool=60)
    made = simulate_events(EventChunk(data, 3, "background", 0, 0, 800), pool, np.zeros(60))
    # Mean and variance of a Poisson number, four standard deviations.
    assert made.collisions.mean() == pytest.approx(12.5, abs=4 * np.sqrt(12.5 / 800))
    assert made.collisions.var() == pytest.approx(12.5, abs=4 * 12.5 * np.sqrt(2.1 / 800))
    drawn = [set(one) for one in made.pool.to_list()]
    fold = folds(made.events, 3)
    assert all({collision % FOLDS for collision in one} <= {f} for one, f in zip(drawn, fold, strict=True))
    assert set.union(*drawn) == set(range(60))
    assert np.bincount(fold, minlength=FOLDS).min() > 15
    # No collision is in two of the splits that the training makes.
    used = [set.union(*(drawn[k] for k in np.flatnonzero(mask))) for mask in split_by_event(made.events, 3).values()]
    assert len(set.union(*used)) == sum(map(len, used))


def test_the_hardest_collision_and_the_slices_of_a_crossing(pool):
    data = EventData(kind="events", crossings=200, pileup=6, pool=60, slices_gev=(20, 40))
    scale = np.random.default_rng(1).uniform(0, 60, 60)
    made = simulate_events(EventChunk(data, 3, "background", 0, 0, 200), pool, scale)
    for drawn, source, slices in zip(made.pool.to_list(), made.source, made.slices, strict=True):
        assert source == (max(drawn, key=lambda c: scale[c]) if drawn else source)
        assert slices.tolist() == [sum(20 <= scale[c] < 40 for c in drawn), sum(scale[c] >= 40 for c in drawn)]
    alone = np.flatnonzero(made.collisions == 0)
    assert (made.source[alone] < 0).all()
    assert len(np.unique(made.source[alone])) == len(alone)


def test_slices_hold_collisions_of_their_scale():
    data = EventData(kind="events", signals=("A_4l",), crossings=1, pileup=1, pool=20, slices_gev=(20, 40, 80))
    none = observe(particles(0, 22, 0, np.zeros(0)), 60, np.random.default_rng(4))
    areas = []
    for at, name in enumerate(data.slice_names):
        made = simulate_events(EventChunk(data, 1, name, 0, 0, 100), none, np.zeros(60))
        assert not made.labels.any()
        assert (made.slices[:, at] == 1).all()
        assert made.slices.sum() == 100
        assert (made.source < 0).all()
        areas.append(made.origin.details["cross_section_pb"])
    assert data.parts == ("background", "A_4l", "qcd_20", "qcd_40", "qcd_80")
    assert data.class_names == ("background", "A_4l")
    assert areas[0] > 5 * areas[1] > 25 * areas[2] > 0
    with pytest.raises(ValueError, match=r"rise and begin at 20 GeV or above.* found \[10.0, 40.0\]"):
        EventData(kind="events", slices_gev=(10, 40))


def test_dead_and_hot_towers_by_hand():
    given = Crossings(random_towers(5, seed=8), *NO_MUONS)
    before = given.towers.copy()
    made = with_towers(given, Fault(dead=((0, 40), (71, 79)), hot=((3, 5), (36, 41)), hot_gev=(16.0, 2.5)))
    expected = before.copy()
    for crossing in range(5):
        for part in (EM, HAD):
            expected[crossing, part, 0, 40] = expected[crossing, part, 71, 79] = 0
            for row, column in ((3, 5), (36, 41)):
                expected[crossing, part, row, column] += 16.0 if part == EM else 2.5
    np.testing.assert_array_equal(made.towers, expected)
    np.testing.assert_array_equal(given.towers, before)
    assert before[:, :, 0, 40].any() or before[:, :, 71, 79].any()
    np.testing.assert_array_equal(with_towers(given, Fault()).towers, before)


def test_the_packaged_faults_are_of_one_region():
    """Dead towers are a whole region of 4 x 4, and the hot tower is an e/gamma of its energy in an empty detector."""
    ones = Crossings(np.ones((1, 2, ROWS, COLUMNS)), *NO_MUONS)
    dead = trigger_objects(with_towers(ones, FAULTS["dead towers"]), np.random.default_rng(1))["regions"][0]
    assert np.argwhere(dead != dead[0, 0]).tolist() == [[9, 7]]
    assert dead[9, 7] == 0
    none = Crossings(np.zeros((1, 2, ROWS, COLUMNS)), *NO_MUONS)
    hot = trigger_objects(with_towers(none, FAULTS["a hot tower"]), np.random.default_rng(1))
    assert hot["regions"][0, 9, 7] == hot["regions"].sum() == 32
    assert hot["egammas"][0, 0, 0] == hot["jets"][0, 0, 0] == hot["met"][0, 0] == hot["sums"][0, 0] == 32


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"dead": ((72, 0),)}, r"no tower \(72, 0\): rows run from 0 to 71, columns from 0 to 79"),
        ({"hot": ((0, -1),)}, r"no tower \(0, -1\)"),
        ({"dead": ((1, 2),), "hot": ((1, 2),)}, "each tower is dead or hot and is named once"),
        ({"hot": ((1, 2),), "hot_gev": (np.nan, 0.0)}, "read 0 GeV more or a positive number of them, not"),
        ({"hot": ((1, 2),), "hot_gev": (0.0, -1.0)}, "read 0 GeV more or a positive number of them, not"),
    ],
)
def test_wrong_faults(fault, message):
    with pytest.raises(InputError, match=message):
        Fault(**fault)


def test_particle_level_jets_by_hand():
    """Two near particles are one jet; what is soft, or beyond 2.5, is none; muons count."""
    event = np.array([0, 0, 0, 0, 2, 2])
    pt = np.array([40.0, 35.0, 100.0, 29.0, 20.0, 15.0])
    eta = np.array([0.1, -2.4, 2.6, 1.0, 0.5, 0.55])
    phi = np.array([0.0, 2.0, -2.0, 1.0, 3.1, 3.1])
    kind = np.array([22, 13, 22, 22, 211, 130], np.int32)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    given = Particles(event, px, py, pz, pt * np.cosh(eta), np.zeros(6, np.int8), kind, np.zeros(6, np.int8))
    assert offline_gev(given, 4) == pytest.approx([75.0, 0.0, 35.0, 0.0])
    assert offline_gev(given.take(np.zeros(6, bool)), 2).tolist() == [0.0, 0.0]


def test_weights_of_showers_by_hand():
    """Relative to the nominal weight; the named ones come last."""
    weights = np.array([[2.0, 9, 9, 9, 9, 1.0, 2.0, 3.0, 8.0], [1.0, 9, 9, 9, 9, 0.0, 1.0, 2.0, 3.0]])
    batch = SimpleNamespace(info=SimpleNamespace(weights=weights))
    assert shower_weights(batch).tolist() == [[0.5, 1.0, 1.5, 4.0], [0.0, 1.0, 2.0, 3.0]]
    batch.info.weights = weights[:, :1]
    with pytest.raises(
        InputError, match="Pythia gave 1 weights an event; with the settings of SHOWER_LINES there are 9"
    ):
        shower_weights(batch)


def test_crossings_are_seeded(pool):
    def made(seed):
        data = EventData(kind="events", crossings=30, pileup=5, pool=60)
        return simulate_events(EventChunk(data, seed, "background", 0, 0, 30), pool, np.zeros(60)).digest()

    assert made(3) == made(3) != made(4)


def test_without_pileup_the_background_is_empty(pool):
    data = EventData(kind="events", crossings=10, pileup=0, pool=60)
    made = simulate_events(EventChunk(data, 3, "background", 0, 0, 10), pool, np.zeros(60))
    for column in (made.met, made.jets, made.egammas, made.muons, made.sums, made.regions, made.collisions):
        assert not column.any()


# --- Pythia -------------------------------------------------------------------------------------------------------------

SMALL = EventData(kind="events", signals=("A_4l", "dark_jets"), crossings=40, events_per_signal=5, pileup=3, pool=20)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder, steps = tmp_path_factory.mktemp("samples"), []
    return folder, generate_events(SMALL, 1, folder, progress=lambda *step: steps.append(step), executor=Here()), steps


class Here:
    """An executor that does everything at once in this process."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(function(*arguments))
        return future


def test_a_simulated_sample(simulated):
    folder, path, steps = simulated
    events = read_events(path)
    assert np.bincount(events.labels).tolist() == [40, 5, 5]
    assert events.class_names == ("background", "A_4l", "dark_jets")
    assert len(np.unique(events.events)) == 50
    details = events.origin.details
    assert details["inelastic_cross_section_mb"] == pytest.approx(78.05, abs=0.1)
    assert details["out_of_time_pileup"] is False
    assert all(cross_section > 0 for cross_section in details["cross_section_pb"].values())
    assert steps == [
        ("minimum-bias collisions", 20, 20), ("crossings", 5, 50), ("crossings", 10, 50), ("crossings", 50, 50)
    ]  # fmt: skip
    dark = events.labels == 2
    assert events.sums[dark, 1].mean() / 2 > 200  # GeV, of a resonance of 1 TeV
    assert len(_read_signals(pool_path(SMALL, 1, path.parents[1]))) == 20
    before = path.stat().st_mtime_ns
    assert generate_events(SMALL, 1, folder) == path
    assert path.stat().st_mtime_ns == before


def test_a_chunk_depends_on_its_seed_alone(simulated, tmp_path):
    """Other chunks, made before in the same process, change nothing; neither does one that is already there."""
    _, path, _ = simulated
    whole = read_events(path)
    chunk = EventChunk(SMALL, 1, "dark_jets", 0, 0, 5)
    cross_section = make_event_chunk(chunk, tmp_path, pool_path(SMALL, 1, path.parents[1]))
    made = read_events(tmp_path / "dark_jets-00000.npz")
    assert made.digest() == whole.take(whole.labels == 2).digest()
    assert make_event_chunk(chunk, tmp_path, pool_path(SMALL, 1, path.parents[1])) == cross_section


SLICED = EventData(
    kind="events", signals=("ttbar",), crossings=1100, events_per_signal=30, pileup=2, pool=40, slices_gev=(20,),
    crossings_per_slice=150,
)  # fmt: skip


@pytest.fixture(scope="module")
def sliced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sliced")
    return folder, read_events(generate_events(SLICED, 1, folder, executor=Here()))


def test_hard_collisions_bring_jets_and_weights_of_showers(sliced):
    _, events = sliced
    part = events.events // EVENT_NUMBERS_PER_CLASS
    inclusive, ttbar, slices = (events.take(part == number) for number in range(3))
    assert (inclusive.showers == 1).all()
    assert not inclusive.offline_gev.any()
    for hard in (ttbar, slices):
        assert hard.showers.shape == (len(hard), 4)
        spread = hard.showers.std(axis=0)
        assert (spread > 0.1).all()
        assert (np.abs(hard.showers.mean(axis=0) - 1) < 4 * spread / np.sqrt(len(hard))).all()
    initial_state = slices.showers[:, :2]  # scatters less
    assert initial_state.mean(axis=0) == pytest.approx([1, 1], abs=0.1)
    assert ttbar.offline_gev.mean() > 5 * slices.offline_gev.mean() > 0
    assert events.origin.details["showers"] == list(SHOWERS)


def test_minimum_bias_has_no_variations():
    assert not set(SHOWER_LINES) & set(SLICED.lines("pool"))
    assert (collide(("Beams:eCM = 13000.0", *MIN_BIAS), 1, "pool", 0, 3, 5.0).showers == np.ones((3, 4))).all()


def test_a_fault_changes_nothing_else(sliced):
    folder, events = sliced
    background = events.take(events.labels == 0)
    steps = []
    same = disturbed_events(SLICED, 1, folder, Fault(), progress=lambda *step: steps.append(step), executor=Here())
    assert same.digest() == background.digest()
    assert [done for _, done, _ in steps] == [150, 1150, 1250]
    changes, untouched = {}, set(same._columns()) - {"met", "egammas", "jets", "sums", "regions", "pool"}
    for name, fault in FAULTS.items():
        found = disturbed_events(SLICED, 1, folder, fault, executor=Here())
        for column in untouched:
            np.testing.assert_array_equal(getattr(found, column), getattr(background, column), err_msg=column)
        assert found.pool.to_list() == background.pool.to_list()
        assert found.origin.details["fault"]["hot_gev"] == list(fault.hot_gev)
        elsewhere = np.ones((18, 14), bool)
        elsewhere[9, 7] = False
        np.testing.assert_array_equal(found.regions[:, elsewhere], background.regions[:, elsewhere])
        changes[name] = (found.sums[:, 0] - background.sums[:, 0]).mean()
        # Made once: it is read again, and without a worker.
        assert disturbed_events(SLICED, 1, folder, fault, executor=None).digest() == found.digest()
    assert changes["dead towers"] < 0
    assert changes["a hot tower"] == pytest.approx(32, abs=0.5)


def test_a_part_of_the_crossings(sliced):
    """The first chunk of a thousand and all of the slice, with weights of their own."""
    folder, events = sliced
    found = disturbed_events(SLICED, 1, folder, Fault(), share=0.5, executor=Here())
    assert found.origin.details["crossings_with_fault"] == {"qcd_20": 150, "background": 1000}
    kept = events.take(np.isin(events.events, found.events))
    assert found.digest() == replace(kept, weights=found.weights).digest()
    assert found.weights.sum() == pytest.approx(1100, rel=0.1)
    for wrong in ({"share": 0.0}, {"share": 1.01}, {"share": np.nan}):
        with pytest.raises(InputError, match="above 0 and at most 1, not "):
            disturbed_events(SLICED, 1, folder, Fault(), **wrong)


class Killed(Here):
    """An executor that ends after so many chunks."""

    def __init__(self, chunks):
        self.left = chunks

    def submit(self, function, *arguments):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().submit(function, *arguments)


def test_a_killed_run_goes_on(sliced, monkeypatch):
    folder, events = sliced
    fault = Fault(dead=((5, 40),))
    with pytest.raises(KeyboardInterrupt):
        disturbed_events(SLICED, 1, folder, fault, executor=Killed(2))
    (home,) = folder.glob("events-*")
    (chunks,) = (path for path in home.glob("disturbed-*") if path.is_dir())
    assert sorted(path.name for path in chunks.iterdir()) == ["background-00000.npz", "qcd_20-00000.npz"]
    made = []

    def counted(chunk, *arguments):
        made.append((chunk.name, chunk.index))
        return simulate_events(chunk, *arguments)

    monkeypatch.setattr("trigger.data.generate_events.simulate_events", counted)
    found = disturbed_events(SLICED, 1, folder, fault, executor=Here())
    assert made == [("background", 1)]
    assert found.events.tolist() == events.events[events.labels == 0].tolist()
    assert not chunks.exists()


def test_samples_share_a_pool_and_make_it_again(sliced):
    folder, events = sliced
    path = pool_path(SLICED, 1, folder)
    more = SLICED.model_copy(update={"crossings": SLICED.crossings + 1})
    assert pool_path(more, 1, folder) == path != pool_path(SLICED, 2, folder)
    before = file_digest(path)
    path.unlink()
    found = disturbed_events(SLICED, 1, folder, Fault(dead=((6, 40),)), executor=Here())
    assert file_digest(path) == before
    assert found.events.tolist() == events.events[events.labels == 0].tolist()


@pytest.mark.long
@pytest.mark.parametrize("signal", SIGNALS)
def test_every_signal(signal, simulated):
    _, path, _ = simulated
    data = EventData(kind="events", signals=(signal,), events_per_signal=20, pileup=0, pool=20)
    made = simulate_events(EventChunk(data, 1, signal, 0, 0, 20), *_pool(pool_path(SMALL, 1, path.parents[1])))
    assert len(made) == 20
    assert made.origin.details["cross_section_pb"] > 0
    assert made.jets[:, 0, 0].mean() > 10
    assert (made.showers.std(axis=0) > 0.05).all()
    if signal == "A_4l":
        assert (made.muons[:, 0, 0] + made.egammas[:, 0, 0] > 0).mean() > 0.7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("signals: []", "at least one signal, each once"),
        ("signals: [ttbar, ttbar]", "at least one signal, each once"),
        ("signals: [top]", "'top' is not known; nearest: "),
        ("pileup: 201", "less than or equal to 200"),
        ("pileup: -1", "greater than or equal to 0"),
        ("pool: 19", "greater than or equal to 20"),
    ],
)
def test_wrong_settings(text, message):
    with pytest.raises(InputError, match=message):
        parse(f"kind: events\n{text}\n", EventData, "data")


def test_origins_are_kept(toy):
    assert isinstance(toy, EventDataset)
    assert toy.origin.kind == "toy_events"
    assert replace(toy, origin=Origin("x")).digest() == toy.digest()
