from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from trigger.config import dump, parse
from trigger.decision.menu import Menu, Seed, menu_acceptance, menu_rates
from trigger.decision.rates import Crossings, rate
from trigger.decision.sharing import _choose, shared_out
from trigger.errors import InputError

TEXT = """
name: level1
seeds:
  - {name: SingleJet, score: jet_pt, threshold: 360}
  - {name: ZeroBias, score: ht, threshold: 0, prescale: 1000}
  - {name: Anomaly, score: network, rate_khz: 1}
"""


@pytest.fixture(scope="module")
def crossings():
    """Three scores of few codes that know of each other, with several crossings of one source."""
    generator = np.random.default_rng(1)
    source = generator.integers(0, 1500, 5000)
    hard = generator.exponential(4, 1500)[source]
    scores = {name: (hard * part + generator.exponential(3, 5000)).astype(np.int64) for name, part in
              (("jet_pt", 1.0), ("ht", 0.7), ("network", 0.3))}  # fmt: skip
    return Crossings(scores, generator.uniform(1, 3, 5000), source)


# ---------------------------------------------------------------------------------------------------------------- YAML


def test_menu_is_read_and_written():
    menu = parse(TEXT, Menu, "menu.yaml")
    assert menu.total_hz == 2340 * 11245.5
    assert menu.rates_khz == (1.0, 10.0)
    assert [seed.prescale for seed in menu.seeds] == [1, 1000, 1]
    assert parse(dump(menu), Menu, "again") == menu


def test_every_fault_of_a_menu_is_named():
    wrong = """
name: level1
filled_bunches: 4000
rates_khz: [0]
seeds:
  - {name: A, score: jet_pt}
  - {name: B, score: jet_pt, threshold: 3, rate_khz: 1}
  - {name: C, score: jet_pt, treshold: 3}
  - {name: D, score: jet_pt, threshold: 3, prescale: 0}
  - {name: E, score: jet_pt, threshold: 3.5}
"""
    with pytest.raises(InputError) as caught:
        parse(wrong, Menu, "menu.yaml")
    said = str(caught.value)
    for part in ("filled_bunches", "rates_khz.0", "seed 'A' has neither", "seed 'B' has both", "nearest: 'threshold'",
                 "seeds.3.prescale", "seeds.4.threshold"):  # fmt: skip
        assert part in said
    with pytest.raises(InputError, match="'SingleJet' twice"):
        parse(TEXT.replace("ZeroBias", "SingleJet"), Menu, "menu.yaml")
    with pytest.raises(InputError, match="no seed that it could be shared out among"):
        parse("name: level1\ntotal_khz: 20", Menu, "menu.yaml")
    with pytest.raises(InputError, match="each class once, in one of them"):
        parse("name: level1\njets: {tagged: [b], against: [b, gluon]}", Menu, "menu.yaml")
    with pytest.raises(InputError, match="at least 1"):
        parse("name: level1\njets: {tagged: [], against: [gluon]}", Menu, "menu.yaml")


# --------------------------------------------------------------------------------------------------------------- rates


def test_rates_by_counting_every_way_prescales_can_fall(crossings):
    """A seed that accepts a crossing lets it pass or not: all eight ways, with their probabilities."""
    seeds = (
        Seed(name="jet", score="jet_pt", threshold=12),
        Seed(name="ht", score="ht", threshold=8, prescale=3),
        Seed(name="network", score="network", threshold=9, prescale=2),
    )
    found = menu_rates(crossings, seeds)
    total, single, pure, both = 0.0, np.zeros(3), np.zeros(3), np.zeros((3, 3))
    for row, hz in enumerate(crossings.rate_hz):
        cut = [bool(crossings.scores[seed.score][row] >= seed.threshold) for seed in seeds]
        for passed in itertools.product([False, True], repeat=3):
            likely = hz
            for one, accepts, seed in zip(passed, cut, seeds, strict=True):
                share = accepts / seed.prescale
                likely *= share if one else 1 - share
            if not likely:
                continue
            total += likely * any(passed)
            for at in range(3):
                single[at] += likely * passed[at]
                pure[at] += likely * (passed[at] and sum(passed) == 1)
                for to in range(3):
                    both[at, to] += likely * (passed[at] and passed[to])
    assert found.total.hz == pytest.approx(total)
    names = [seed.name for seed in seeds]
    for at, name in enumerate(names):
        assert found.seeds[name].rate.hz == pytest.approx(single[at])
        assert found.seeds[name].pure.hz == pytest.approx(pure[at])
        for to, other in enumerate(names):
            assert found.overlap[name][other].hz == pytest.approx(both[at, to])
    json.dumps(found.summary(), allow_nan=False)


def test_or_of_one_seed_is_its_rate(crossings):
    found = menu_rates(crossings, [Seed(name="jet", score="jet_pt", threshold=12)])
    expected = rate(crossings, crossings.scores["jet_pt"] >= 12)
    assert found.total == found.seeds["jet"].rate == found.seeds["jet"].pure == expected


def test_closed_and_prescaled_seed_has_a_limit_of_its_prescale(crossings):
    seeds = [Seed(name="a", score="ht", threshold=999), Seed(name="b", score="ht", threshold=999, prescale=10)]
    found = menu_rates(crossings, seeds)
    assert found.total.hz == 0
    top = [found.seeds[name].rate.interval_95[1] for name in "ab"]
    assert top[0] == pytest.approx(10 * top[1]) == pytest.approx(found.total.interval_95[1])


def test_seed_is_set_by_its_rate_after_the_prescale(crossings):
    for prescale in (1, 4):
        seed = Seed(name="jet", score="jet_pt", rate_khz=0.5, prescale=prescale)
        found = menu_rates(crossings, [seed]).seeds["jet"]
        assert found.rate.hz <= 500
        looser = (crossings.rate_hz[crossings.scores["jet_pt"] >= found.threshold - 1]).sum() / prescale
        assert looser > 500
        assert ("no threshold reaches" in found.note) == (found.rate.hz < 450)
    unresolved = menu_rates(crossings, [Seed(name="jet", score="jet_pt", rate_khz=0.01)]).seeds["jet"]
    assert "below the pool's resolution" in unresolved.note


def test_unknown_scores_and_names_are_refused(crossings):
    with pytest.raises(InputError, match="no score 'jet_tp'; nearest: 'jet_pt'"):
        menu_rates(crossings, [Seed(name="jet", score="jet_tp", threshold=1)])
    with pytest.raises(InputError, match="at least one"):
        menu_rates(crossings, [])
    seed = Seed(name="jet", score="ht", threshold=1)
    with pytest.raises(InputError, match="'jet' twice"):
        menu_rates(crossings, [seed, seed])
    with pytest.raises(InputError, match="no score 'ht'"):
        menu_acceptance({"hT": np.ones(1)}, [seed], {"jet": 1})
    with pytest.raises(InputError, match="no threshold 'jet'"):
        menu_acceptance({"ht": np.ones(1)}, [seed], {})


# ------------------------------------------------------------------------------------------------- sharing out a rate


def signals_of(generator, events=800):
    """One signal that the first score sees, one that the second sees, and one for both."""
    boosts = {"jets": (14, 2, 1), "sums": (1, 12, 1), "both": (7, 6, 0)}
    return {
        name: {
            score: (boost * generator.uniform(0.3, 1.5, events) + generator.exponential(3, events)).astype(np.int64)
            for score, boost in zip(("jet_pt", "ht", "network"), row, strict=True)
        }
        for name, row in boosts.items()
    }  # fmt: skip


SEEDS = tuple(Seed(name=name, score=score, threshold=0) for name, score in
              (("jet", "jet_pt"), ("ht", "ht"), ("network", "network")))  # fmt: skip


def mean_efficiency(signals, thresholds):
    return np.mean([(menu_acceptance(one, SEEDS, thresholds) > 0).mean() for one in signals.values()])


@pytest.mark.parametrize("total_hz", [150.0, 600.0, 2000.0])
def test_search_against_every_menu(crossings, total_hz):
    signals = signals_of(np.random.default_rng(3))
    found = _choose(crossings, signals, SEEDS, total_hz)
    passing = {seed.name: [crossings.scores[seed.score] >= code for code in range(50)] for seed in SEEDS}
    caught = {
        seed.name: [[one[seed.score] >= code for code in range(51)] for one in signals.values()] for seed in SEEDS
    }
    best = 0.0
    for codes in itertools.product(range(50), repeat=2):
        two = passing["jet"][codes[0]] | passing["ht"][codes[1]]
        if crossings.rate_hz[two].sum() > total_hz:
            continue
        # For two thresholds the third is best as low as the rate allows.
        hz = np.bincount(crossings.scores["network"][~two].clip(max=50), crossings.rate_hz[~two], minlength=51)
        room = total_hz - crossings.rate_hz[two].sum()
        last = int(np.flatnonzero(hz[::-1].cumsum()[::-1] <= room)[0])
        accepted = {"jet": codes[0], "ht": codes[1], "network": last}
        three = [np.logical_or.reduce([caught[name][at][code] for name, code in accepted.items()]) for at in range(3)]
        best = max(best, float(np.mean([one.mean() for one in three])))
    accepted = np.logical_or.reduce([crossings.scores[seed.score] >= found[seed.name] for seed in SEEDS])
    assert crossings.rate_hz[accepted].sum() <= total_hz * (1 + 1e-9)
    reached = mean_efficiency(signals, found)
    print(f"{total_hz} Hz: search {reached:.4f}, best of all menus {best:.4f}")
    assert 0.97 * best <= reached <= best + 1e-12


def test_shared_out_is_measured_on_the_other_half(crossings):
    signals = signals_of(np.random.default_rng(4), 2000)
    found = shared_out(crossings, signals, SEEDS, 600.0, seed=1)
    assert not found.note
    assert found.chosen_rate.hz <= 600
    # The search takes what fluctuated down, so the other half lies above it, though not by more than chance allows.
    measured, chosen = found.menu.total, found.chosen_rate
    assert abs(measured.hz - chosen.hz) < 4 * np.hypot(measured.uncertainty, chosen.uncertainty)
    assert found.mean_efficiency == pytest.approx(np.mean([one.value for one in found.efficiency.values()]))
    assert found.mean_efficiency == pytest.approx(mean_efficiency(signals, found.thresholds), abs=0.03)
    assert found.menu.total.sources < rate(crossings, np.ones(5000)).sources / 2
    again = shared_out(crossings, signals, SEEDS, 600.0, seed=1)
    assert again.summary() == found.summary()
    json.dumps(found.summary(), allow_nan=False)


def test_what_is_chosen_by_chance_is_not_measured():
    """Scores that know nothing: the chosen half shows a gain over the rate, the measured one none."""
    chosen, measured, rates = [], [], []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        scores = {name: generator.integers(0, 40, 600) for name in ("jet_pt", "ht", "network")}
        crossings = Crossings(scores, np.ones(600), np.arange(600), np.arange(600) % 10 if seed % 2 else None)
        signals = {"none": {name: generator.integers(0, 40, 60) for name in scores}}
        found = shared_out(crossings, signals, SEEDS, 60.0, seed)
        chosen.append(found.chosen_mean_efficiency - found.chosen_rate.hz / 600)
        measured.append(found.mean_efficiency - found.menu.total.hz / 600)
        rates.append(found.menu.total.hz)
    error = np.std(measured, ddof=1) / np.sqrt(40)
    assert np.mean(chosen) > 5 * error
    assert abs(np.mean(measured)) < 4 * error
    assert np.mean(rates) > 55


def test_shared_out_finds_the_score_that_a_signal_needs(crossings):
    signals = signals_of(np.random.default_rng(5))
    one = shared_out(crossings, {"jets": signals["jets"]}, SEEDS, 600.0, seed=1)
    assert one.menu.seeds["jet"].rate.hz > 0.8 * one.menu.total.hz
    alone = shared_out(crossings, signals, SEEDS[:1], 600.0, seed=1)
    assert shared_out(crossings, signals, SEEDS, 600.0, seed=1).mean_efficiency > alone.mean_efficiency + 0.05


def test_rates_that_cannot_be_shared_out(crossings):
    signals = signals_of(np.random.default_rng(6))
    for changed, said in (
        ({"total_hz": 1e9}, "of all crossings"),
        ({"total_hz": 0.1}, "nothing to share out"),
        ({"signals": {}}, "no signal"),
        ({"signals": {"x": {"jet_pt": np.arange(3)}}}, "has no score 'ht'"),
        ({"signals": {"x": {**signals["jets"], "ht": np.arange(3)}}}, "as many as the other"),
        ({"seeds": (Seed(name="a", score="ht", threshold=0, prescale=2),)}, "'a' is prescaled"),
        ({"seeds": (Seed(name="a", score="nowhere", threshold=0),)}, "no score 'nowhere'"),
    ):
        given = {"crossings": crossings, "signals": signals, "seeds": SEEDS, "total_hz": 600.0, "seed": 1, **changed}
        with pytest.raises(InputError, match=said):
            shared_out(**given)
    assert "below the pool's resolution" in shared_out(crossings, signals, SEEDS, 20.0, seed=1).note
