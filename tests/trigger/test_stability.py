"""What changes: paired ratios of rates against repeated experiments, efficiencies, bins of pileup."""

from __future__ import annotations

import numpy as np
import pytest

from trigger.decision.efficiency import Estimate
from trigger.decision.rates import Crossings
from trigger.decision.stability import Stability, against_pileup, efficiency_change, pileup_edges, rate_ratio
from trigger.errors import InputError


def experiment(generator, crossings=4000, shift=3):
    """Scores of crossings before and after a shift, some crossings of one source."""
    source = generator.integers(0, crossings, crossings)
    score = generator.geometric(0.02, crossings)
    hz = generator.choice([10.0, 50.0], crossings)
    after = score + generator.binomial(shift, 0.5, crossings)
    return Crossings({"s": score}, hz, source), Crossings({"s": after}, hz, source)


def test_the_ratio_of_rates_and_its_uncertainty():
    generator = np.random.default_rng(1)
    found = [rate_ratio(*experiment(generator), "s", 100) for _ in range(300)]
    ratios = np.array([one.value for one in found])
    spread, said = ratios.std(), np.mean([one.uncertainty for one in found])
    assert said == pytest.approx(spread, rel=0.15)
    before, after = experiment(generator)
    own = [one.rate_hz[one.scores["s"] >= 100].sum() for one in (before, after)]
    assert rate_ratio(before, after, "s", 100).value == pytest.approx(own[1] / own[0])
    unpaired = np.sqrt(2) * np.sqrt((before.rate_hz[before.scores["s"] >= 100] ** 2).sum()) / own[0]
    assert rate_ratio(before, after, "s", 100).uncertainty < unpaired / 2
    same = rate_ratio(before, before, "s", 100)
    assert (same.value, same.uncertainty) == (1, 0)


def test_rates_that_weights_change():
    before, _ = experiment(np.random.default_rng(2))
    after = Crossings(before.scores, 1.5 * before.rate_hz, before.source)
    found = rate_ratio(before, after, "s", 100)
    assert found.value == pytest.approx(1.5)
    assert found.uncertainty == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_compared():
    generator = np.random.default_rng(3)
    before, after = experiment(generator)
    other, _ = experiment(generator)
    with pytest.raises(InputError, match="not the same ones in the same order"):
        rate_ratio(before, other, "s", 100)
    assert rate_ratio(before, after, "s", 100_000) is None  # nothing is accepted: there is no change of nothing
    top = np.sort(before.scores["s"])[-8]
    assert rate_ratio(before, after, "s", int(top)) is None
    with pytest.raises(InputError, match="the same events twice"):
        efficiency_change(np.ones(3, bool), np.ones(4, bool))


def test_changes_of_efficiency_are_paired():
    before = np.array([True] * 50 + [False] * 50)
    after = before.copy()
    after[[0, 1, 60]] = [False, False, True]
    found = efficiency_change(before, after)
    assert found.value == pytest.approx(-0.01)
    assert found.uncertainty == pytest.approx(np.sqrt(0.03 - 0.01**2) / 10)


def test_bins_of_pileup():
    generator = np.random.default_rng(4)
    pileup = generator.poisson(50, 20_000)
    crossings = Crossings({"s": generator.poisson(pileup)}, np.full(20_000, 100.0), np.arange(20_000))
    accepted = crossings.scores["s"] >= 60
    edges = pileup_edges(pileup, crossings.rate_hz)
    signal = (np.array([45, 45, 80]), np.array([True, False, True]))
    bins = against_pileup(crossings, pileup, accepted, edges, {"x": signal})
    assert len(bins) == 5
    share = [((one.low <= pileup) & (pileup < one.high)).mean() for one in bins]
    assert sum(share) == pytest.approx(1)
    assert min(share) > 0.1
    rates = [one.rate.hz for one in bins]
    assert rates == sorted(rates)
    whole = crossings.rate_hz[accepted].sum()
    assert np.dot(share, rates) == pytest.approx(whole)
    (holds,) = [one for one in bins if one.low <= 45 < one.high]
    assert holds.signals["x"].value == 0.5
    assert bins[0].signals["x"] is None
    with pytest.raises(InputError, match="two or more that rise"):
        against_pileup(crossings, pileup, accepted, (3, 3), {})


def test_a_rate_that_is_gone_has_changed_more_than_any():
    def change(value):
        return Stability(None if value is None else Estimate(value, 0.1), {}).rate_change

    assert change(1.5) == pytest.approx(change(1 / 1.5)) == pytest.approx(0.5)
    assert change(0.0) == np.inf
    assert change(None) is None
