from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import beta, binom, chi2

from trigger.data.stitching import stitched_rates
from trigger.decision.acceptance import efficiency, share_of, turn_on
from trigger.decision.cost import cost
from trigger.decision.rates import Crossings, lowest_rate_hz, rate
from trigger.decision.thresholds import rate_curve
from trigger.errors import InputError

TOTAL_HZ = 2.6e7


def crossings_of(scores, rate_hz, source=None, fold=None):
    return Crossings(
        {name: np.asarray(one) for name, one in scores.items()}, np.asarray(rate_hz, float),
        np.arange(len(rate_hz)) if source is None else np.asarray(source), fold,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sample():
    """Crossings of unequal rates, several of one source, in twelve folds; scores with ties."""
    generator = np.random.default_rng(1)
    source = generator.integers(0, 400, 1500)
    codes = np.minimum(generator.exponential(12, 1500) + generator.exponential(12, 400)[source], 60).astype(np.int64)
    return crossings_of({"network": codes}, generator.uniform(0.1, 3, 1500), source, source % 12)


# ------------------------------------------------------------------------------------------------ what is refused


def test_wrong_crossings_are_refused():
    whole, ones = np.arange(3), np.ones(3)
    for scores, rate_hz, source, fold, said in (
        ({"x": whole}, np.array([1, np.nan, 1]), whole, None, "rate_hz of shape"),
        ({"x": whole}, np.array([1, -1.0, 1]), whole, None, "none is negative"),
        ({"x": whole}, np.zeros(3), whole, None, "one is positive"),
        ({"x": whole}, ones[:0], whole[:0], None, "one crossing"),
        ({"x": whole[:2]}, ones, whole, None, "score 'x' of shape"),
        ({"x": np.array([1, np.inf, 0])}, ones, whole, None, "score 'x'"),
        ({"x": whole}, ones, ones, None, "one whole number"),
        ({"x": whole}, ones, whole, whole[:1], "fold of shape"),
    ):
        with pytest.raises(InputError, match=said):
            Crossings(scores, rate_hz, source, fold)
    good = crossings_of({"jet_pt": whole, "real": ones / 3}, ones)
    with pytest.raises(InputError, match="no score 'jet_tp'; nearest: 'jet_pt'"):
        rate_curve(good, "jet_tp")
    with pytest.raises(InputError, match="an integer code"):
        rate_curve(good, "real")
    with pytest.raises(InputError, match="above 1, the largest"):
        rate_curve(good, "jet_pt", max_code=1)
    with pytest.raises(InputError, match="0 to 1"):
        rate(good, np.array([0, 2, 1]))
    with pytest.raises(InputError, match="positive number"):
        rate_curve(good, "jet_pt").threshold_for(float("nan"))


def test_wrong_stitching_is_refused():
    right = {
        "sample": np.array([0, 1]), "counts": np.array([[0], [1]]), "made": np.array([1, 1]), "mean_pileup": 5.0,
        "share": np.array([0.1]), "total_hz": 1.0,
    }  # fmt: skip
    stitched_rates(**right)
    for name, wrong, said in (
        ("counts", np.array([[0], [0]]), "count no collision"),
        ("counts", np.array([0, 1]), "do not fit"),
        ("made", np.array([0, 1]), "some have to be inclusive"),
        ("made", np.array([1, 0]), "no more can be here"),
        ("share", np.array([0.0]), "positive"),
        ("mean_pileup", float("nan"), "positive"),
        ("sample", np.array([0, 2]), "they are 0 to 1"),
    ):
        with pytest.raises(InputError, match=said):
            stitched_rates(**{**right, name: wrong})


# ------------------------------------------------------------------------------------------------------- stitching

SLICES_GEV = (15.0, 50.0, 170.0)  # of a pT spectrum that falls as pT^-4 from 5 GeV on
MEAN = 6.0


def survival(pt_gev):
    return (5.0 / pt_gev) ** 3


SHARE = np.array([survival(15) - survival(50), survival(50) - survival(170), survival(170)])


def draw_pt(generator, size, low=5.0, high=math.inf):
    top, bottom = survival(low), 0.0 if math.isinf(high) else survival(high)
    return 5.0 / (bottom + (top - bottom) * generator.uniform(size=size)) ** (1 / 3)


def overlaid(generator, n, forced):
    """Crossings of Poisson(MEAN) collisions and one of a slice: counts of each slice, hardest pT, scalar sum."""
    pileup = generator.poisson(MEAN, n)
    pt = draw_pt(generator, pileup.sum())
    row = np.repeat(np.arange(n), pileup)
    if forced:
        low, high = SLICES_GEV[forced - 1], (*SLICES_GEV, math.inf)[forced]
        pt, row = np.r_[pt, draw_pt(generator, n, low, high)], np.r_[row, np.arange(n)]
    in_slice = np.digitize(pt, SLICES_GEV)
    counts = np.stack([np.bincount(row[in_slice == j], minlength=n) for j in (1, 2, 3)], axis=1)
    hardest = np.zeros(n)
    np.maximum.at(hardest, row, pt)
    return counts, hardest, np.bincount(row, pt, minlength=n)


@pytest.fixture(scope="module")
def stitched():
    generator = np.random.default_rng(5)
    made = np.array([20_000, 10_000, 10_000, 5_000])
    parts = [overlaid(generator, int(n), j) for j, n in enumerate(made)]
    counts, hardest, ht = (np.concatenate(one) for one in zip(*parts, strict=True))
    number = np.repeat(np.arange(4), made)
    return stitched_rates(number, counts, made, MEAN, SHARE, TOTAL_HZ), hardest, ht


def test_stitched_rates_are_the_known_ones(stitched):
    rate_hz, hardest, _ = stitched
    crossings = crossings_of({"x": hardest.astype(np.int64)}, rate_hz)
    assert crossings.total_hz == pytest.approx(TOTAL_HZ, rel=0.02)
    for threshold in (20.0, 60.0, 150.0, 200.0, 600.0):
        found = rate(crossings, hardest > threshold)
        truth = TOTAL_HZ * -math.expm1(-MEAN * survival(threshold))
        assert abs(found.hz - truth) < 4 * found.uncertainty
        assert found.uncertainty < 0.15 * truth
        assert found.effective_events > 100  # of the last, 45,000 inclusive crossings would have 0.16
    # By their effective events far lower rates would be known, but one inclusive crossing that nobody saw would be more.
    assert rate_curve(crossings, "x").lowest_rate_hz == pytest.approx(math.sqrt(10) * rate_hz.max(), rel=0.05)
    assert lowest_rate_hz(crossings) > 2 * rate_curve(crossings, "x").lowest_rate_hz


@pytest.mark.parametrize("heavy", [0.05, 0.1, 0.3, 0.7, 3.0])
def test_coverage_where_heavy_crossings_hardly_pass(heavy):
    """Thirty light crossings of 1 Hz pass on average and `heavy` of 132 Hz each, of a sample that has many more of both."""
    generator = np.random.default_rng(8)
    truth, light_hz, heavy_hz, experiments = 30.0 + heavy * 132, 1.0, 132.0, 1000
    hits = np.zeros(2)
    for _ in range(experiments):
        passing = generator.poisson([30.0, heavy])
        rates = np.concatenate([np.full(passing[0] + 5, light_hz), np.full(passing[1] + 5, heavy_hz)])
        accepted = np.concatenate([np.arange(passing[0] + 5) < passing[0], np.arange(passing[1] + 5) < passing[1]])
        found = rate(crossings_of({}, rates), accepted)
        hits += [low <= truth <= high for low, high in (found.interval_68, found.interval_95)]
        assert not found.resolved or found.hz > 3 * heavy_hz
    narrow, wide = hits / experiments
    assert narrow >= 0.68
    assert wide >= 0.95


@pytest.mark.parametrize("scarce", [(False, False, True), (False, True, True), (True, True, True)])
def test_slices_may_be_left_to_their_own_samples(scarce):
    """Inclusive crossings with a collision of a scarce slice get no rate, and the rates are the known ones still."""
    generator = np.random.default_rng(5)
    made = np.array([20_000, 10_000, 10_000, 5_000])
    parts = [overlaid(generator, int(n), j) for j, n in enumerate(made)]
    counts, hardest, ht = (np.concatenate(one) for one in zip(*parts, strict=True))
    number = np.repeat(np.arange(4), made)
    rate_hz = stitched_rates(number, counts, made, MEAN, SHARE, TOTAL_HZ, np.array(scarce))
    without = (counts[:, np.array(scarce)] > 0).any(axis=1) & (number == 0)
    assert without.any()
    assert ((rate_hz == 0) == without).all()
    crossings = crossings_of({}, rate_hz)
    assert crossings.total_hz == pytest.approx(TOTAL_HZ, rel=0.03)
    for threshold in (20.0, 60.0, 150.0, 200.0, 600.0):
        found = rate(crossings, hardest > threshold)
        assert abs(found.hz - TOTAL_HZ * -math.expm1(-MEAN * survival(threshold))) < 4 * found.uncertainty
    inclusive = overlaid(np.random.default_rng(6), 400_000, 0)[2]
    for threshold in (60.0, 80.0, 120.0, 200.0):
        found, hits = rate(crossings, ht > threshold), (inclusive > threshold).sum()
        plain, error = TOTAL_HZ * hits / 400_000, TOTAL_HZ * math.sqrt(hits) / 400_000
        assert abs(found.hz - plain) < 4 * math.hypot(found.uncertainty, error)


def test_stitched_sums_are_those_of_an_unsliced_sample(stitched):
    """A sum over collisions may be large by several of them, in any slices: no single slice knows it."""
    rate_hz, _, ht = stitched
    inclusive = overlaid(np.random.default_rng(6), 400_000, 0)[2]
    crossings = crossings_of({}, rate_hz)
    for threshold in (60.0, 80.0, 120.0, 200.0):
        found, hits = rate(crossings, ht > threshold), (inclusive > threshold).sum()
        plain, error = TOTAL_HZ * hits / 400_000, TOTAL_HZ * math.sqrt(hits) / 400_000
        assert abs(found.hz - plain) < 4 * math.hypot(found.uncertainty, error)


def test_without_counting_the_others_stitching_would_be_biased():
    """The test of the sums can fail: with one for the forced collision alone, crossings count twice."""
    generator = np.random.default_rng(7)
    made = np.array([20_000, 10_000])
    plain, forced = overlaid(generator, 20_000, 0), overlaid(generator, 10_000, 1)
    number, counts = np.repeat([0, 1], made), np.concatenate([plain[0], forced[0]])[:, :1]
    right = stitched_rates(number, counts, made, MEAN, SHARE[:1], TOTAL_HZ).sum()
    wrong = stitched_rates(number, (number == 1).astype(int)[:, None], made, MEAN, SHARE[:1], TOTAL_HZ).sum()
    assert right == pytest.approx(TOTAL_HZ, rel=0.02)
    assert wrong > 1.05 * TOTAL_HZ


# ------------------------------------------------------------------------------------------------- rates and intervals


def test_intervals_of_equal_events_are_garwoods():
    crossings = crossings_of({}, np.full(100, 7.0))
    for hits in (0, 1, 3, 40):
        found = rate(crossings, np.arange(100) < hits)
        for level, (low, high) in ((0.682689, found.interval_68), (0.95, found.interval_95)):
            tail = (1 - level) / 2
            expected = 7 * chi2.ppf(tail, 2 * hits) / 2 if hits else 0.0
            assert low == pytest.approx(expected, rel=1e-6)
            assert high == pytest.approx(7 * chi2.ppf(1 - tail, 2 * hits + 2) / 2, rel=1e-6)
        assert found.sources == found.effective_events == pytest.approx(hits)
        assert ("limit" in found.note) == (hits == 0)
        if hits:
            assert found.uncertainty == pytest.approx(7 * math.sqrt(hits))


def test_variance_is_of_sources_and_of_folds(sample):
    accepted = sample.scores["network"] >= 30
    found = rate(sample, accepted)
    by_source = [sample.rate_hz[accepted & (sample.source == one)].sum() for one in np.unique(sample.source)]
    assert found.sources == np.count_nonzero(by_source)
    folds = np.array([sample.rate_hz[accepted & (sample.fold == one)].sum() for one in range(12)])
    share = np.array([sample.rate_hz[sample.fold == one].sum() for one in range(12)]) / sample.total_hz
    scatter = ((folds - folds.sum() * share) ** 2).sum() / (1 - (share**2).sum())
    assert found.uncertainty == pytest.approx(math.sqrt(max(np.square(by_source).sum(), scatter)))
    alone = rate(Crossings(sample.scores, sample.rate_hz, sample.source), accepted)
    assert alone.uncertainty == pytest.approx(math.sqrt(np.square(by_source).sum()))


def test_nothing_accepted_is_a_limit_of_the_heaviest_source(sample):
    found = rate(sample, np.zeros(1500))
    heaviest = max(sample.rate_hz[sample.source == one].sum() for one in np.unique(sample.source))
    assert found.hz == 0
    assert found.interval_95 == pytest.approx((0, heaviest * chi2.ppf(0.975, 2) / 2))
    assert found.summary()["uncertainty"] is None
    prescaled = rate(sample, np.zeros(1500), ceiling=0.1)
    assert prescaled.interval_95[1] == pytest.approx(found.interval_95[1] / 10)


# ------------------------------------------------------------------------------------------------------------ coverage

EXPERIMENTS = 1500


def tolerated(level, experiments=EXPERIMENTS):
    """The least number of intervals that hold the truth, which a nominal one falls short of once in 10,000 tests."""
    return binom.ppf(1e-4, experiments, level)


def pool_experiment(generator, pool, n, mean, probability, folds=1):
    """Crossings of Poisson(mean) collisions of a pool, in folds: whether each passes, and its source and fold.

    A crossing passes by its hardest collision. Which one is hardest among those that do not pass cannot matter.
    """
    harder = generator.permuted(np.tile(np.arange(pool), (folds, 1)), axis=1)  # rank of each collision in its fold
    passing = generator.binomial(pool, probability, folds)
    fold = np.arange(n) % folds
    count = generator.poisson(mean, n)
    row = np.repeat(np.arange(n), count)
    drawn = harder[fold[row], generator.integers(0, pool, len(row))]
    best = np.full(n, pool)
    np.minimum.at(best, row, drawn)
    source = np.where(best < pool, fold * pool + best, -1 - np.arange(n))
    return best < passing[fold], source, fold


def covered(make, truth, experiments=EXPERIMENTS):
    """How often intervals hold the truth: with the sources, and with every crossing a source of its own."""
    hits = np.zeros(4, int)
    for seed in range(experiments):
        generator = np.random.default_rng(seed)
        passed, rate_hz, source, fold = make(generator)
        for at, sources in enumerate((source, np.arange(len(source)))):
            found = rate(Crossings({}, rate_hz, sources, fold if at == 0 else None), passed)
            hits[2 * at] += found.interval_68[0] <= truth <= found.interval_68[1]
            hits[2 * at + 1] += found.interval_95[0] <= truth <= found.interval_95[1]
    return hits


@pytest.mark.parametrize(
    ("pool", "n", "mean", "probability"),
    [
        (4000, 400, 2.0, 0.002),  # little reuse, 1.6 crossings pass
        (4000, 400, 2.0, 0.02),  # 16 pass
        (200, 500, 4.0, 0.004),  # each collision is in ten crossings, 0.8 of the pool pass
        (200, 500, 4.0, 0.02),  # 4 of the pool
        (500, 500, 8.0, 0.04),  # 20 of the pool, in eight crossings each
    ],
)
@pytest.mark.parametrize("folds", [1, 10])
def test_intervals_cover_the_truth(pool, n, mean, probability, folds):
    truth = TOTAL_HZ * -math.expm1(-mean * probability)

    def make(generator):
        passed, source, fold = pool_experiment(generator, pool // folds, n, mean, probability, folds)
        return passed, np.full(n, TOTAL_HZ / n), source, fold

    with_sources = covered(make, truth, 1000)[:2]
    print(f"coverage {pool, n, mean, probability, folds}: {with_sources / 1000}")
    assert with_sources[0] >= tolerated(0.682689, 1000)
    assert with_sources[1] >= tolerated(0.95, 1000)


def test_without_sources_intervals_would_not_cover():
    truth = TOTAL_HZ * -math.expm1(-4 * 0.02)

    def make(generator):
        passed, source, fold = pool_experiment(generator, 200, 500, 4.0, 0.02)
        return passed, np.full(500, TOTAL_HZ / 500), source, fold

    right_68, right_95, wrong_68, wrong_95 = covered(make, truth, 500) / 500
    print(f"coverage with sources {right_68, right_95}, without {wrong_68, wrong_95}")
    assert right_68 >= tolerated(0.682689, 500) / 500
    assert right_95 >= tolerated(0.95, 500) / 500
    assert wrong_68 < 0.5
    assert wrong_95 < 0.8


@pytest.mark.parametrize("threshold", [1.0, 3.0, 5.0])
def test_intervals_of_stitched_pools_cover_the_truth(threshold):
    """Collisions with exponential hardness; slice 1 is above 2. Pools of both, drawn from again and again."""
    mean, cut, pools, made = 3.0, 2.0, (600, 60), np.array([400, 200])
    share = math.exp(-cut)
    truth = TOTAL_HZ * -math.expm1(-mean * math.exp(-threshold))

    def make(generator):
        hardness = np.r_[generator.exponential(1, pools[0]), cut + generator.exponential(1, pools[1])]
        row = np.repeat(np.arange(600), generator.poisson(mean, 600))
        drawn = np.r_[generator.integers(0, pools[0], len(row)), pools[0] + generator.integers(0, pools[1], 200)]
        row = np.r_[row, np.arange(400, 600)]
        counts = np.bincount(row, hardness[drawn] > cut, minlength=600).astype(int)[:, None]
        order = np.lexsort((hardness[drawn], row))
        source = -1 - np.arange(600)
        source[row[order]] = drawn[order]  # the last one of a row, the hardest, stays
        hardest = np.where(source >= 0, hardness[source], 0)
        rate_hz = stitched_rates((np.arange(600) >= 400).astype(int), counts, made, mean, np.array([share]), TOTAL_HZ)
        return hardest > threshold, rate_hz, source, None

    found = covered(make, truth, 1000)[:2]
    print(f"coverage, stitched at {threshold}: {found / 1000}")
    assert found[0] >= tolerated(0.682689, 1000)
    assert found[1] >= tolerated(0.95, 1000)


def pairs_experiment(generator, folds, pool, n, probability):
    """Crossings of two collisions that pass where both are hard: one that is not the hardest is reused as often."""
    hard = generator.uniform(size=(folds, pool))
    fold = np.arange(n) % folds
    drawn = generator.integers(0, pool, (n, 2))
    values = hard[fold[:, None], drawn]
    source = fold * pool + drawn[np.arange(n), values.argmax(axis=1)]
    return values.min(axis=1) > 1 - probability, np.ones(n), source, fold


def test_folds_see_what_sources_do_not():
    """The rate of pairs goes as the square of what the pool has of hard ones; the folds' scatter knows it."""
    folds, pool, n, probability = 12, 40, 24_000, 0.1
    truth = n * (probability / pool + (1 - 1 / pool) * probability**2)
    hits = {"folds": np.zeros(2), "sources": np.zeros(2)}
    for seed in range(500):
        passed, rate_hz, source, fold = pairs_experiment(np.random.default_rng(seed), folds, pool, n, probability)
        for name, groups in (("folds", fold), ("sources", None)):
            found = rate(Crossings({}, rate_hz, source, groups), passed)
            hits[name] += [low <= truth <= high for low, high in (found.interval_68, found.interval_95)]
    print(f"coverage of pairs: { {name: one / 500 for name, one in hits.items()} }")
    assert hits["folds"][0] >= tolerated(0.682689, 500)
    assert hits["folds"][1] >= tolerated(0.95, 500)
    assert hits["sources"][1] < tolerated(0.95, 500)


def test_limits_of_nothing_accepted_cover_the_truth():
    """Where nothing is accepted the truth may be above the limit in 2.5 % of all samples at most."""
    pool, n, mean, zero, beyond = 200, 500, 4.0, 0, 0
    for probability in (0.005, 0.01, 0.0185, 0.025):
        truth, zero, beyond = TOTAL_HZ * -math.expm1(-mean * probability), 0, 0
        for seed in range(1000):
            passed, source, _ = pool_experiment(np.random.default_rng(seed), pool, n, mean, probability)
            found = rate(Crossings({}, np.full(n, TOTAL_HZ / n), source), passed)
            zero += not passed.any()
            beyond += not passed.any() and truth > found.interval_95[1]
            assert found.interval_95[1] > 0
        assert zero > 0
        assert beyond <= binom.ppf(1 - 1e-4, 1000, 0.025)


# ---------------------------------------------------------------------------------------------------------- rate curve


def test_every_threshold_by_scanning(sample):
    curve = rate_curve(sample, "network", max_code=60)
    codes = sample.scores["network"]
    assert curve.codes.tolist() == sorted(set(codes.tolist()))
    for code in range(-1, 63):
        expected, found = rate(sample, codes >= code), curve.at(code)
        for name, one in expected.summary().items():
            assert getattr(found, name) == (
                pytest.approx(one) if one is not None else pytest.approx(np.nan, nan_ok=True)
            )
    assert curve.saturated == pytest.approx(sample.rate_hz[codes == 60].sum() / sample.total_hz)


@pytest.mark.parametrize("folded", [True, False])
def test_every_target_by_scanning(sample, folded):
    codes = 3 * sample.scores["network"] - 20  # with gaps, and below zero
    crossings = Crossings({"x": codes}, sample.rate_hz, sample.source, sample.fold if folded else None)
    curve = rate_curve(crossings, "x")
    total = crossings.total_hz
    for target in [*np.linspace(0.004, 0.99, 40) * total, *curve.hz[3:40:9]]:
        found = curve.threshold_for(target)
        passing = [code for code in range(-20, 200) if crossings.rate_hz[codes >= code].sum() <= target * (1 + 1e-9)]
        assert found.code == min(passing)
        assert found.rate.hz == pytest.approx(crossings.rate_hz[codes >= found.code].sum())
        assert found.above.hz == pytest.approx(crossings.rate_hz[codes >= found.code - 1].sum())
        assert found.above.hz > target
        slopes = [
            (crossings.rate_hz[codes >= low].sum() - crossings.rate_hz[codes >= high].sum()) / (high - low) / 1e3
            for low, high in around(codes, crossings.source, found.code)
        ]
        assert found.step_khz == pytest.approx(slopes[0])
        assert found.distinct == len(curve.codes)
        assert found.saturated is None
        assert found.resolved == (not found.note)


def around(codes, source, code):
    """The nearest two populated codes around a threshold that thirty sources or more are between, by counting."""
    there = [*np.unique(codes), codes.max() + 1]
    at = next(place for place, one in enumerate(there) if one >= code)
    for wide in range(len(there)):
        low, high = there[max(at - 1 - wide, 0)], there[min(at + wide, len(there) - 1)]
        between = len(np.unique(source[codes >= low])) - len(np.unique(source[codes >= high]))
        if between >= 30 or (low == there[0] and high == there[-1]):
            return [(low, high)]
    raise AssertionError


def test_what_a_code_is_worth_where_codes_are_sparse():
    """The rate over the scale that it falls with, to a fifth: 20,000 crossings lie on a million codes."""
    steps = []
    for seed in range(20):
        score = np.random.default_rng(seed).exponential(100_000, 20_000).astype(np.int64)
        crossings = crossings_of({"x": score}, np.full(20_000, 100.0))
        steps.append(rate_curve(crossings, "x").threshold_for(200_000.0).step_khz)
    assert np.mean(steps) == pytest.approx(200 / 100_000, rel=0.15)
    assert np.std(steps) < 0.35 * np.mean(steps)


def test_targets_that_no_threshold_reaches():
    codes = np.repeat([0, 1, 2, 3], [5000, 3000, 1500, 500])
    crossings = crossings_of({"x": codes}, np.full(10_000, 2.0))
    coarse = rate_curve(crossings, "x").threshold_for(3000)
    assert (coarse.code, coarse.resolved, coarse.rate.hz, coarse.above.hz) == (3, False, 1000, 4000)
    assert coarse.note == "no threshold reaches 3 kHz: nearest above 4 kHz (code 2), below 1 kHz (code 3)"
    saturated = rate_curve(crossings, "x", max_code=3).threshold_for(500)
    assert (saturated.code, saturated.rate, saturated.resolved, saturated.saturated) == (None, None, False, 0.05)
    assert "below nothing, for that is the largest code" in saturated.note
    assert saturated.summary()["code"] is None
    exact = rate_curve(crossings, "x").threshold_for(4000)
    assert (exact.code, exact.resolved, exact.note) == (2, True, "")
    everything = rate_curve(crossings, "x").threshold_for(30_000)
    assert (everything.code, everything.above, everything.resolved) == (0, None, False)
    assert "all crossings together have 20 kHz only" in everything.note


def test_targets_below_the_resolution():
    crossings = crossings_of({"x": np.arange(1000)}, np.full(1000, 100.0))
    assert lowest_rate_hz(crossings) == pytest.approx(1000)
    curve = rate_curve(crossings, "x")
    assert curve.lowest_rate_hz == pytest.approx(1000)
    assert curve.threshold_for(1000).resolved
    few = curve.threshold_for(500)
    assert (few.code, few.resolved) == (995, False)
    assert few.note.startswith("below the pool's resolution: 0.5 kHz has 5 sources and 5 effective events")
    shared = rate_curve(crossings_of({"x": np.arange(1000)}, np.full(1000, 100.0), np.arange(1000) // 50), "x")
    assert not shared.threshold_for(5000).resolved  # fifty crossings, and one collision


def test_curve_of_many_crossings_is_fast():
    import time

    generator = np.random.default_rng(1)
    codes = np.minimum(generator.exponential(300, 100_000), 4095).astype(np.int64)
    source = generator.integers(0, 20_000, 100_000)
    crossings = crossings_of({"x": codes}, np.full(100_000, 260.0), source, source % 20)
    start = time.perf_counter()
    curve = rate_curve(crossings, "x", 4095)
    assert time.perf_counter() - start < 5
    json.dumps(curve.summary(), allow_nan=False)


# --------------------------------------------------------------------------------------------------------- efficiencies


def test_efficiencies_are_clopper_pearsons():
    for hits, events in ((0, 10), (10, 10), (3, 10), (1, 400)):
        found = efficiency(np.arange(events), events - hits)
        assert found.value == hits / events
        for level, (low, high) in ((0.682689, found.interval_68), (0.95, found.interval_95)):
            tail = (1 - level) / 2
            assert low == pytest.approx(beta.ppf(tail, hits, events - hits + 1) if hits else 0)
            assert high == pytest.approx(beta.ppf(1 - tail, hits + 1, events - hits) if hits < events else 1)
    same = efficiency(np.arange(10), 7, np.full(10, 0.3))
    assert same.interval_95 == pytest.approx(efficiency(np.arange(10), 7).interval_95)
    for codes, weights in ((np.arange(0), None), (np.arange(3), np.zeros(3)), (np.array([np.nan]), None),
                           (np.arange(3), np.ones(2)), (np.arange(3), -np.ones(3))):  # fmt: skip
        with pytest.raises(InputError):
            efficiency(codes, 1, weights)


def test_weighted_efficiencies_cover_the_truth():
    hits = np.zeros(2)
    for seed in range(1000):
        generator = np.random.default_rng(seed)
        weights = generator.exponential(1, 80)
        passed = generator.uniform(size=80) < np.where(weights > 1, 0.5, 0.1)
        found = share_of(passed, weights)
        truth = 0.1 + 0.4 * 2 / math.e  # two e-ths of the weight is in those above 1
        hits += [low <= truth <= high for low, high in (found.interval_68, found.interval_95)]
    print(f"coverage of weighted efficiencies: {hits / 1000}")
    assert hits[0] >= tolerated(0.682689, 1000)
    assert hits[1] >= tolerated(0.95, 1000)


def test_turn_on_by_counting():
    generator = np.random.default_rng(1)
    pt, weights = generator.uniform(0, 80, 500), generator.uniform(0.5, 2, 500)
    passed = pt + generator.normal(0, 10, 500) > 40
    found = turn_on(passed, pt, [0, 20, 40, 60, 80, 100], weights)
    for (low, high), one, events in zip(itertools.pairwise(found.edges), found.bins, found.events, strict=True):
        rows = (pt >= low) & (pt < high)
        assert events == rows.sum()
        if low == 80:
            assert one is None
            continue
        assert one.value == pytest.approx(weights[rows & passed].sum() / weights[rows].sum())
        assert one.interval_68[0] <= one.value <= one.interval_68[1]
    assert found.summary()["bins"][-1] is None
    with pytest.raises(InputError, match="rise"):
        turn_on(passed, pt, [0, 0])


# ------------------------------------------------------------------------------------------------ cost of quantisation


@pytest.fixture(scope="module")
def scored():
    generator = np.random.default_rng(2)
    source = generator.integers(0, 6000, 20_000)
    real = generator.exponential(1, 6000)[source] + 0.2 * generator.exponential(1, 20_000)
    coarse = np.floor(real * 8 + generator.normal(0, 1, 20_000)).astype(np.int64)
    crossings = crossings_of({"float": real, "firmware": coarse, "same": np.floor(real * 8).astype(np.int64)},
                             np.full(20_000, 5.0), source)  # fmt: skip
    signal = 2 + generator.exponential(1, 1500)
    noisy = np.floor(signal * 8 + generator.normal(0, 1, 1500)).astype(np.int64)
    return crossings, {"heavy": {"float": signal, "firmware": noisy, "same": np.floor(signal * 8).astype(np.int64)}}


def test_cost_by_counting(scored):
    crossings, signals = scored
    found = cost(crossings, signals, "float", "firmware", 2000.0, seed=1, step=0.125)
    real, codes = crossings.scores["float"] * 8, crossings.scores["firmware"]
    threshold = next(code for code in range(200) if crossings.rate_hz[real >= code].sum() <= 2000)
    assert found.threshold == threshold
    assert found.rate_change_hz.value == pytest.approx(5.0 * ((codes >= threshold).sum() - (real >= threshold).sum()))
    own = next(code for code in range(200) if crossings.rate_hz[codes >= code].sum() <= 2000)
    assert found.reached_hz["firmware"] == pytest.approx(5.0 * (codes >= own).sum())
    assert found.signals["heavy"].other.value == pytest.approx((signals["heavy"]["firmware"] >= own).mean())
    level = np.sort(real)[::-1][400]  # the first that is not accepted
    assert found.signals["heavy"].reference.value == pytest.approx((signals["heavy"]["float"] * 8 > level).mean())
    # Paired: what both scores share does not count.
    assert found.rate_change_hz.uncertainty < 0.7 * found.reference_hz.uncertainty
    json.dumps(found.summary(), allow_nan=False)


def test_equal_scores_cost_nothing(scored):
    crossings, signals = scored
    found = cost(crossings, signals, "float", "same", 2000.0, seed=1, step=0.125)
    assert found.rate_change_hz.value == found.rate_change_hz.uncertainty == 0
    twice = cost(crossings, signals, "same", "same", 2000.0, seed=1)
    assert twice.signals["heavy"].loss.value == twice.signals["heavy"].loss.uncertainty == 0
    with pytest.raises(InputError, match="no score 'flaot'; nearest: 'float'"):
        cost(crossings, {"heavy": {"float": np.ones(1)}}, "float", "flaot", 2000.0, seed=1)
    with pytest.raises(InputError, match="all crossings"):
        cost(crossings, signals, "float", "same", 2e9, seed=1)


def test_stated_uncertainty_is_that_of_repeated_samples():
    def draw(seed):
        generator = np.random.default_rng(seed)
        source = generator.integers(0, 400, 2000)
        real = generator.exponential(1, 400)[source]
        other = np.floor(8 * real + generator.normal(0, 2, 2000)).astype(np.int64)
        return crossings_of({"float": 8 * real, "firmware": other}, np.ones(2000), source)

    def change(crossings):
        return float((crossings.scores["firmware"] >= 24).sum() - (crossings.scores["float"] >= 24).sum())

    repeated = np.std([change(draw(seed)) for seed in range(300)])
    stated = []
    for seed in range(300, 320):
        crossings = draw(seed)
        target = float((crossings.scores["float"] >= 24).sum())
        found = cost(crossings, {}, "float", "firmware", target, seed)
        assert abs(found.threshold - 24) <= 3
        stated.append(found.rate_change_hz.uncertainty)
    assert np.mean(stated) == pytest.approx(repeated, rel=0.25)
