from __future__ import annotations

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from trigger.decision.anomaly import compare_scores, gain_over_cuts
from trigger.errors import InputError
from trigger.plots import anomaly as figures

CLASSES = ("qcd", "easy", "minbias", "hard")
BACKGROUND = ("qcd", "minbias")


@pytest.fixture(scope="module")
def sample():
    """Two backgrounds and two signals, with weights; events of two rows each."""
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2, 3], [1500, 400, 1500, 400])
    score = generator.normal(size=len(labels)) + np.array([0, 1.5, 0.2, 0.5])[labels]
    return score, labels, generator.uniform(0.2, 2, len(labels)), np.arange(len(labels)) // 2


def brute_threshold(codes, background, weights, fraction):
    """Every code from the largest down, in exact fractions: the smallest that does not accept too much."""
    exact = [Fraction(float(weight)) for weight in weights]
    total = sum(weight for weight, back in zip(exact, background, strict=True) if back)
    found = None
    for code in range(int(codes.max()) + 1, int(codes.min()) - 1, -1):
        passed = sum(weight for weight, back, one in zip(exact, background, codes, strict=True) if back and one >= code)
        if passed > Fraction(fraction) * total:
            break
        found = code, float(passed / total)
    return found


def test_areas_against_scikit_learn(sample):
    score, labels, weights, events = sample
    codes = np.floor(score * 3).astype(np.int64)  # many ties
    found = compare_scores({"float": score, "firmware": codes}, labels, CLASSES, BACKGROUND, weights, events, 1,
                           replicas=10)  # fmt: skip
    back = np.isin(labels, [0, 2])
    for name, one in (("float", score), ("firmware", codes)):
        for label, signal in ((1, "easy"), (3, "hard")):
            rows = back | (labels == label)
            expected = roc_auc_score(labels[rows] == label, one[rows], sample_weight=weights[rows])
            assert found.performance[name].auc[signal].value == pytest.approx(expected, rel=1e-9)
        areas = [area.value for area in found.performance[name].auc.values()]
        assert found.performance[name].mean_auc.value == pytest.approx(np.mean(areas))
    assert list(found.performance["float"].auc) == ["easy", "hard"]


@pytest.mark.parametrize("steps", [2, 7, 40])
@pytest.mark.parametrize("fraction", [0.1, 0.03])
def test_thresholds_by_trying_every_code(sample, steps, fraction):
    score, labels, weights, events = sample
    codes = np.floor(score * steps).astype(np.int64)
    point = compare_scores({"x": codes}, labels, CLASSES, BACKGROUND, weights, events, 1, (fraction,), 5)
    point = point.performance["x"].points[fraction]
    code, reached = brute_threshold(codes, np.isin(labels, [0, 2]), weights, fraction)
    assert point.threshold == code
    assert isinstance(point.threshold, int)
    assert point.reached == pytest.approx(reached)
    assert reached <= fraction
    for label, signal in ((1, "easy"), (3, "hard")):
        own = labels == label
        expected = weights[own & (codes >= code)].sum() / weights[own].sum()
        assert point.efficiency[signal].value == pytest.approx(expected)
    assert bool(point.note) == (reached < 0.9 * fraction)


def test_a_real_threshold_accepts_what_is_said(sample):
    score, labels, weights, events = sample
    point = compare_scores({"x": score}, labels, CLASSES, BACKGROUND, weights, events, 1, (0.05,), 5)
    point = point.performance["x"].points[0.05]
    back = np.isin(labels, [0, 2])
    accepted = score >= point.threshold
    assert weights[back & accepted].sum() / weights[back].sum() == pytest.approx(point.reached)
    assert weights[(labels == 3) & accepted].sum() / weights[labels == 3].sum() == pytest.approx(
        point.efficiency["hard"].value
    )


def test_a_fraction_that_is_reached_exactly_is_not_exceeded():
    """0.07 * 100 is more than 7 in binary, and 7 / 100 less than 0.07 for other numbers."""
    score = np.concatenate([np.arange(1000.0), [2000.0]])
    labels = np.repeat([0, 1], [1000, 1])
    for percent in (1, 3, 7, 29, 57):
        for weight in (1.0, 0.1):
            found = compare_scores({"x": score}, labels, ("b", "s"), ("b",), np.full(1001, weight), np.arange(1001), 1,
                                   (percent / 100,), 2)  # fmt: skip
            point = found.performance["x"].points[percent / 100]
            assert point.reached == pytest.approx(percent / 100)


def test_signal_between_the_backgrounds_levels_and_beyond_them():
    score = np.array([*range(0, 200, 2), 199, 197, 500, 1])
    labels = np.repeat([0, 1], [100, 4])
    found = compare_scores({"x": score}, labels, ("b", "s"), ("b",), np.ones(104), np.arange(104), 1, (0.1,), 2)
    point = found.performance["x"].points[0.1]
    assert (point.reached, point.threshold) == (0.1, 179)  # 180, 182 ... 198 pass
    assert point.efficiency["s"].value == 0.75


def test_many_events_of_few_hard_collisions_resolve_nothing():
    """Half of the background has sources of its own; what passes at 1 % comes from three collisions, a hundred times each."""
    generator = np.random.default_rng(3)
    score, source = generator.normal(0, 1, 30_000), np.arange(30_000)
    score[:300], source[:300] = 10 + generator.random(300), np.repeat([0, 1, 2], 100)
    labels = np.zeros(30_500, dtype=np.int64)
    labels[30_000:] = 1
    score = np.append(score, generator.normal(9, 3, 500))
    about = (labels, ("back", "signal"), ("back",), np.ones(30_500))
    apart, together = np.arange(30_500), np.append(source, 40_000 + np.arange(500))
    known = compare_scores({"x": score}, *about, apart, 1, (0.01, 0.2), 50).performance["x"].points
    shared = compare_scores({"x": score}, *about, together, 1, (0.01, 0.2), 50).performance["x"].points
    assert known[0.01].efficiency["signal"] is not None
    assert "0.01 of the background is 3 independent events; 10 are needed" in shared[0.01].note
    assert shared[0.2].efficiency["signal"] is not None
    # At 20 % the three are a twentieth of what passes; the threshold is as good as known in both.
    assert shared[0.2].efficiency["signal"].value == known[0.2].efficiency["signal"].value
    cut = {"x": score + generator.normal(0, 0.1, len(score))}
    assert "independent events" in gain_over_cuts(score, cut, *about, together, 1, 0.01, replicas=20).notes[0]


def test_below_resolution_is_not_known_and_says_why(sample):
    score, labels, weights, events = sample
    found = compare_scores({"x": score, "y": score}, labels, CLASSES, BACKGROUND, weights, events, 1, (0.02, 1e-3), 5)
    # 1500 events of two rows, fewer as their weights differ
    by_event = np.bincount(events[np.isin(labels, [0, 2])], weights[np.isin(labels, [0, 2])])
    assert found.background_events == pytest.approx(by_event.sum() ** 2 / (by_event**2).sum())
    assert 1200 < found.background_events < 1500
    point = found.performance["x"].points[1e-3]
    assert (point.reached, point.threshold, point.efficiency) == (None, None, {"easy": None, "hard": None})
    assert "below resolution: 0.001 of" in point.note
    assert "is 2.8 independent events; 10 are needed, so 3.59 times as many" in point.note
    assert found.efficiency_loss["y"][1e-3] == {"easy": None, "hard": None}
    assert found.efficiency_loss["y"][0.02]["easy"].value == 0
    json.dumps(found.summary(), allow_nan=False)


def test_one_code_for_much_of_the_background():
    """A score that saturates: no threshold on its codes accepts a little of the background."""
    score = np.minimum(np.arange(1200) // 10, 100)
    labels = np.repeat([0, 1], [1190, 10])
    found = compare_scores({"x": score}, labels, ("b", "s"), ("b",), np.ones(1200), np.arange(1200), 1, (0.05,), 20)
    point = found.performance["x"].points[0.05]
    assert (point.reached, point.threshold) == (0, 101)
    assert "0.16 of the background has one and the same score" in point.note
    assert point.efficiency["s"].value == 0
    assert point.summary()["efficiency"]["s"] == {"value": 0, "uncertainty": None}


def test_losses_are_paired(sample):
    score, labels, weights, events = sample
    nearly = score + np.random.default_rng(2).normal(0, 0.05, len(score))
    found = compare_scores({"float": score, "same": score, "firmware": nearly}, labels, CLASSES, BACKGROUND, weights,
                           events, 1, (0.05,))  # fmt: skip
    assert found.auc_loss["same"]["hard"].value == found.auc_loss["same"]["hard"].uncertainty == 0
    assert found.efficiency_loss["same"][0.05]["easy"].uncertainty == 0
    loss = found.auc_loss["firmware"]["hard"]
    both = [found.performance[name].auc["hard"] for name in ("float", "firmware")]
    assert loss.value == pytest.approx(both[0].value - both[1].value)
    assert loss.uncertainty < both[0].uncertainty / 3
    assert found.mean_auc_loss["firmware"].value == pytest.approx(
        np.mean([one.value for one in found.auc_loss["firmware"].values()])
    )


def test_intervals_cover_the_truth():
    """Gaussians whose AUC and efficiency are known: 68 % of the intervals hold them, within what 150 trials can tell."""
    from scipy.stats import norm

    fraction = 0.05
    truth = {"auc": norm.cdf(1 / np.sqrt(2)), "efficiency": norm.sf(norm.isf(fraction) - 1)}
    inside = dict.fromkeys(truth, 0)
    for seed in range(150):
        generator = np.random.default_rng(seed)
        labels = np.repeat([0, 1], [800, 300])
        # Two rows of an event are one and the same: an uncertainty that took them for two would be too small by 1.4.
        score = np.repeat(generator.normal(size=550) + labels[::2], 2)
        found = compare_scores({"x": score}, labels, ("b", "s"), ("b",), np.ones(1100), np.arange(1100) // 2, seed,
                               (fraction,), 100).performance["x"]  # fmt: skip
        for name, one in (("auc", found.auc["s"]), ("efficiency", found.points[fraction].efficiency["s"])):
            inside[name] += abs(one.value - truth[name]) < one.uncertainty
    for name, count in inside.items():
        assert 0.58 < count / 150 < 0.80, f"{name}: {count} of 150"


# ------------------------------------------------------------------------------------------------------- cuts and menus


@pytest.fixture(scope="module")
def crossings():
    """Integer quantities with ties, mostly zero for one, as a trigger has them; the signals are seen by one cut each."""
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2, 3], [2500, 300, 300, 300])
    muon = np.where(generator.random(3400) < 0.04, generator.exponential(20, 3400), 0) + 40 * (labels == 1)
    jet, met = generator.exponential(30, (2, 3400)) + np.stack([90 * (labels == 2), 0 * labels])
    score = generator.normal(size=3400) + 1.5 * (labels > 0) + (labels == 3)
    cuts = {"muon": muon, "jet": jet, "met": met}
    cuts = {name: np.floor(one * 2).astype(np.int64) for name, one in cuts.items()}
    return np.floor(score * 16).astype(np.int64), cuts, labels, np.ones(3400), np.arange(3400)


NAMES = ("b", "muonic", "jetty", "hidden")


def brute_menu(cuts, back, fraction):
    """Thresholds of a menu, step by step: each cut in its turn may have one more share, until the OR would be too much."""
    passing = {name: (one[back] >= np.arange(one.max() + 2)[:, None]).sum(axis=1) for name, one in cuts.items()}
    allowed, best, accepted = dict.fromkeys(cuts, 0), {}, np.zeros(len(back), bool)
    for share, name in itertools.product(range(back.sum()), cuts):
        allowed[name] = share
        thresholds = {cut: int(np.argmax(passing[cut] <= allowed[cut])) for cut in cuts}
        if thresholds == best:
            continue
        both = np.logical_or.reduce([one >= thresholds[cut] for cut, one in cuts.items()])
        if both[back].sum() > fraction * back.sum() + 1e-9:
            break
        best, accepted = thresholds, both
    return best, accepted


def brute_beside(score, menu, back, fraction):
    for code in range(score.max() + 1, score.min() - 1, -1):
        both = menu | (score >= code)
        if both[back].sum() > fraction * back.sum() + 1e-9:
            return menu | (score >= code + 1)
    raise AssertionError


@pytest.mark.parametrize(("fraction", "share"), list(itertools.product([0.02, 0.05], [0.5, 0.3])))
def test_menus_by_trying_every_threshold(crossings, fraction, share):
    score, cuts, labels, weights, events = crossings
    back = labels == 0
    found = gain_over_cuts(score, cuts, labels, NAMES, ("b",), weights, events, 1, fraction, share, replicas=5)
    thresholds, menu = brute_menu(cuts, back, fraction)
    assert found.menu_thresholds == thresholds
    assert found.reached["menu"] == pytest.approx(menu[back].mean())
    together = brute_beside(score, brute_menu(cuts, back, fraction * (1 - share))[1], back, fraction)
    assert found.reached["menu_and_score"] == pytest.approx(together[back].mean())
    alone = {cut: brute_threshold(values, back, weights, fraction) for cut, values in cuts.items()}
    for cut, (threshold, reached) in alone.items():
        assert found.thresholds[f"cut:{cut}"] == threshold
        assert found.reached[f"cut:{cut}"] == pytest.approx(reached)
    for label, name in enumerate(NAMES[1:], start=1):
        one = found.signals[name]
        assert one.menu.value == pytest.approx(menu[labels == label].mean())
        if one.menu_and_score is not None:
            assert one.menu_and_score.value == pytest.approx(together[labels == label].mean())
            assert one.gain_beside_menu.value == pytest.approx((together[labels == label].mean()) - one.menu.value)
        for cut, values in cuts.items():
            assert one.cuts[cut].value == pytest.approx((values[labels == label] >= alone[cut][0]).mean())
        assert one.gain_over_menu.value == pytest.approx(one.score.value - one.menu.value)
    assert ("menu_and_score" in " ".join(found.notes)) == (fraction * min(share, 1 - share) * 2500 < 10 - 1e-9)


def test_everything_has_the_same_total(crossings):
    """Continuous quantities waste nothing: all reach the fraction, the menu's cuts in turn."""
    score, cuts, labels, weights, events = crossings
    generator = np.random.default_rng(5)
    smooth = {name: one + generator.random(len(one)) for name, one in cuts.items()}
    found = gain_over_cuts(score + generator.random(len(score)), smooth, labels, NAMES, ("b",), weights, events, 1, 0.02,
                           replicas=5)  # fmt: skip
    assert found.reached == {name: pytest.approx(0.02) for name in found.reached}
    assert set(found.reached) == {"score", "menu", "menu_and_score", "cut:muon", "cut:jet", "cut:met"}


def test_a_replica_is_what_the_sample_would_be_with_its_weights(crossings):
    """Weighted by a replica's draws, the sample itself has the figures that the bootstrap gives that replica."""
    from trigger.decision.efficiency import bootstrap

    score, cuts, labels, weights, events = crossings
    draws = bootstrap(events, weights, 1, 40)[1:]
    direct = [
        gain_over_cuts(score, cuts, labels, NAMES, ("b",), draw, events, 1, 0.04, replicas=2).signals["hidden"]
        for draw in draws
    ]
    stated = gain_over_cuts(score, cuts, labels, NAMES, ("b",), weights, events, 1, 0.04, replicas=40).signals["hidden"]
    for name in ("score", "menu", "menu_and_score", "gain_over_menu", "gain_beside_menu"):
        expected = np.std([getattr(one, name).value for one in direct], ddof=1)
        assert getattr(stated, name).uncertainty == pytest.approx(expected, rel=1e-9), name


def test_gains_are_where_they_were_put(crossings):
    score, cuts, labels, weights, events = crossings
    found = gain_over_cuts(score, cuts, labels, NAMES, ("b",), weights, events, 1, 0.02)
    assert found.signals["muonic"].chosen == ("muon", "muon")
    assert found.signals["jetty"].chosen == ("jet", "jet")
    assert found.signals["hidden"].gain_over_best_cut.significance > 3
    assert found.signals["hidden"].gain_beside_menu.significance > 3
    assert found.signals["muonic"].gain_over_best_cut.significance < -3
    told = found.summary()
    assert told["signals"]["hidden"]["gain_over_menu"]["significance"] > 3
    json.dumps(told, allow_nan=False)


def test_choosing_the_best_cut_does_not_bias():
    """Twelve cuts that see nothing: the best on the same events is above the fraction, the best on others is not."""
    labels = np.repeat([0, 1], [2000, 200])
    honest, biased = [], []
    for seed in range(25):
        values = np.random.default_rng(seed).normal(size=(13, 2200))
        found = gain_over_cuts(values[0], {f"{n}": one for n, one in enumerate(values[1:])}, labels, ("b", "s"), ("b",),
                               np.ones(2200), np.arange(2200), seed, 0.05, replicas=2)  # fmt: skip
        honest.append(found.signals["s"].best_cut.value)
        biased.append(max(one.value for one in found.signals["s"].cuts.values()))
    spread = np.std(honest) / 5
    assert np.mean(honest) == pytest.approx(0.05, abs=3 * spread)
    assert np.mean(biased) > 0.05 + 5 * spread


def test_the_score_itself_as_the_only_cut_gains_nothing(crossings):
    score, _, labels, weights, events = crossings
    found = gain_over_cuts(score, {"same": score}, labels, NAMES, ("b",), weights, events, 1, 0.02, replicas=20)
    for one in found.signals.values():
        for gain in (one.gain_over_best_cut, one.gain_over_menu, one.gain_beside_menu):
            assert gain.value == gain.uncertainty == 0
    assert found.thresholds["score"] == found.thresholds["cut:same"] == found.menu_thresholds["same"]


def test_a_sample_too_small_for_a_part_or_for_all(crossings):
    score, cuts, labels, weights, events = crossings
    found = gain_over_cuts(score, cuts, labels, NAMES, ("b",), weights, events, 1, 0.006, replicas=5)  # 15 events
    one = found.signals["hidden"]
    assert one.best_cut is one.menu_and_score is one.gain_over_best_cut is one.gain_beside_menu is None
    assert one.chosen == ()
    assert one.menu.value >= 0
    assert [note.split(":")[0] for note in found.notes] == ["best_cut", "menu_and_score"]
    found = gain_over_cuts(score, cuts, labels, NAMES, ("b",), weights, events, 1, 0.001, replicas=5)
    assert found.signals == dict.fromkeys(NAMES[1:])
    assert found.notes[0].startswith("all: below resolution")
    json.dumps(found.summary(), allow_nan=False)
    with pytest.raises(InputError, match="no efficiency to draw: all: below resolution"):
        figures.efficiencies(found, simulated=True)


def test_a_signal_of_one_event(crossings):
    """It is in one half alone, so that no cut can be chosen without it."""
    score, cuts, labels, weights, events = crossings
    rows = (labels == 0) | (np.arange(3400) == 3399)
    found = gain_over_cuts(score[rows], {name: one[rows] for name, one in cuts.items()}, np.minimum(labels[rows], 1),
                           ("b", "s"), ("b",), weights[rows], events[rows], 1, 0.05, replicas=20)  # fmt: skip
    assert np.isnan(found.signals["s"].best_cut.value)
    assert found.signals["s"].score.value in (0, 1)
    json.dumps(found.summary(), allow_nan=False)


def test_wrong_input(sample):
    score, labels, weights, events = sample

    def compare(scores=None, labels=labels, background=BACKGROUND, weights=weights, fractions=(0.1,)):
        scores = {"x": score} if scores is None else scores
        return compare_scores(scores, labels, CLASSES, background, weights, events, 1, fractions, 2)

    for message, given in (
        ("no scores", {"scores": {}}),
        ("'x' of shape .* is not finite", {"scores": {"x": np.where(labels == 0, np.nan, score)}}),
        ("'x' of shape .* is not finite", {"scores": {"x": np.where(labels == 0, np.inf, score)}}),
        (r"'y' of shape \(3799,\)", {"scores": {"x": score, "y": score[1:]}}),
        ("type bool", {"scores": {"x": score > 0}}),
        ("weights are not negative", {"weights": -weights}),
        ("'QCD' is none of the sample; nearest: 'qcd'", {"background": ("QCD",)}),
        (r"background \(qcd, minbias\) has no rows", {"labels": np.where(labels % 2, labels, 1)}),
        (r"background \(no class\) has no rows", {"background": ()}),
        ("background.*or none with a weight", {"weights": weights * (labels % 2)}),
        ("there is no signal", {"background": CLASSES}),
        ("signal 'hard' has no rows", {"labels": np.minimum(labels, 2)}),
        ("fraction 0: it is a share", {"fractions": (0,)}),
        ("fraction nan", {"fractions": (np.nan,)}),
    ):
        with pytest.raises(InputError, match=message):
            compare(**given)
    with pytest.raises(InputError, match="no cut to compare"):
        gain_over_cuts(score, {}, labels, CLASSES, BACKGROUND, weights, events, 1, 0.1)
    with pytest.raises(InputError, match="share 1: it is a share"):
        gain_over_cuts(score, {"a": score}, labels, CLASSES, BACKGROUND, weights, events, 1, 0.1, share=1)
    with pytest.raises(InputError, match="'cut:a' of shape"):
        gain_over_cuts(score, {"a": score * np.nan}, labels, CLASSES, BACKGROUND, weights, events, 1, 0.1)


def test_figures_show_what_was_found(crossings, tmp_path):
    from trigger.plots.style import save

    score, cuts, labels, weights, events = crossings
    scores = {"float": score + 0.5, "quantised": score / 2, "firmware": score}
    figure = figures.roc(scores, labels, weights, NAMES, ("b",), simulated=True)
    axes = figure.axes[0]
    assert [one.get_text() for one in figure.legends[0].get_texts()] == [*NAMES[1:], *scores, "chance"]
    assert axes.get_xscale() == "log"
    accepted, efficiency = axes.lines[2].get_data()
    background, signal = score[labels == 0], score[labels == 3]
    for x, y in list(zip(accepted, efficiency, strict=True))[::9]:
        code = np.sort(background)[::-1][round(x * 2500) - 1]
        assert y == pytest.approx((signal >= code).mean())
    figure = figures.score_distributions(score, labels, weights, NAMES, ("b",), simulated=True, threshold=40)
    assert figure.axes[0].get_yscale() == "log"
    filled = figure.axes[0].patches[0].get_data()
    assert filled.values.sum() == pytest.approx(1)
    assert np.allclose(filled.edges % 1, 0.5)
    found = gain_over_cuts(score, cuts, labels, NAMES, ("b",), weights, events, 1, 0.02, replicas=20)
    figure = figures.efficiencies(found, simulated=True)
    assert [one.get_text() for one in figure.axes[0].get_yticklabels()] == list(NAMES[1:])
    drawn = {one.get_label(): one.lines[0].get_xdata() for one in figure.axes[0].containers}
    assert list(drawn["score"]) == [one.score.value for one in found.signals.values()]
    save(figure, tmp_path / "x")
    assert (tmp_path / "x.svg").stat().st_size > 5000
