"""The comparison of top taggers: what is its own, against independent computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from models.analyses import top_tagging
from models.analyses.recipe import load_analysis
from models.analyses.study import Workplace
from models.analyses.top_tagging import (
    COMBINATION,
    MASS,
    MASS_AND_TAU,
    POLYNOMIALS,
    PUBLISHED,
    _beside_published,
    as_many,
    combination,
    leading_constituents,
)
from models.offline import networks, polynomials
from models.offline.merit import Scored, merit
from models.offline.polynomials import Polynomials
from models.offline.tagging import likelihood, trial, trial_of
from trigger.data.jets import Split
from trigger.data.toy import ToyData, toy_jets
from trigger.decision.efficiency import Estimate
from trigger.errors import InputError
from trigger.inputs.energy_flow import energy_flow_polynomials
from trigger.inputs.trees import flat_momenta
from trigger.plots.top_tagging import rejection_and_size, rejections
from trigger.verdict import Status

SMALL = (
    "study.data={kind: toy, classes: [quark, top], jets_per_class: 150}",
    "study.networks={topo_dnn: {kind: topo_dnn, particles: 4, hidden: [4]}}",
    "study.fittings={topo_dnn: {epochs: 1, batch_size: 64}}",
    "study.polynomials=null",
    "study.seeds=2",
)


@pytest.fixture(scope="module")
def jets():
    return next(toy_jets(ToyData(kind="toy", classes=("quark", "W"), jets_per_class=150), 3))


@pytest.fixture(scope="module")
def answers():
    """Two taggers with noise of their own, one of three models and one of one: `(validation, held-out)` each."""
    generator = np.random.default_rng(5)
    rows = 8000
    is_signal = generator.random(rows) < 0.4
    one = trial(is_signal, generator.uniform(0.5, 1.5, rows), np.arange(rows), 1)
    first, second = (
        1.0 * is_signal + generator.normal(size=(3, rows)),
        0.7 * is_signal + generator.normal(size=(1, rows)),
    )
    pairs = [
        (scores[:, one.splits[Split.VALIDATION]], scores[:, one.splits[Split.TEST]]) for scores in (first, 20 * second)
    ]
    return one, pairs


def place_of(folder, seed=1, workers=1):
    return Workplace(folder, folder / "samples", seed, workers, lambda *_: None)


def test_only_the_leading_constituents_are_kept(jets):
    kept = leading_constituents(jets, 10)
    for before, after in zip(jets.constituents.to_list()[:40], kept.constituents.to_list()[:40], strict=True):
        falling = sorted(before, key=lambda one: -np.hypot(one["px"], one["py"]))
        assert after == falling[:10]
    assert leading_constituents(jets, 10_000) is jets


def test_as_many_of_each_class(jets):
    few = jets.take(np.r_[0:30, 150:170])
    taken = as_many(jets, few)
    assert np.bincount(taken.labels).tolist() == [30, 20]
    np.testing.assert_array_equal(taken.events, few.events)
    assert len(as_many(few, jets)) == 50


def test_the_combination_is_the_maximum_of_its_likelihood(answers):
    one, pairs = answers
    found = combination(pairs, one)
    assert found.scores.shape == (3, one.splits[Split.TEST].sum())
    validation = one.splits[Split.VALIDATION]
    right, weights = one.is_signal[validation], one.weights[validation]
    for number in range(3):
        learn = np.stack([pairs[0][0][number], pairs[1][0][0]], axis=1)
        mean, spread = learn.mean(axis=0), learn.std(axis=0)

        def cost(beta, x=(learn - mean) / spread):
            logit = beta[0] + x @ beta[1:]
            return weights @ np.logaddexp(0, np.where(right, -logit, logit)) + beta[1:] @ beta[1:] / 2

        beta = minimize(cost, np.zeros(3), tol=1e-10).x
        test = np.stack([pairs[0][1][number], pairs[1][1][0]], axis=1)
        np.testing.assert_allclose(found.scores[number], beta[0] + (test - mean) / spread @ beta[1:], atol=2e-3)


def test_the_combination_is_better_than_its_parts(answers):
    one, pairs = answers
    held = one.held
    alone = [roc_auc_score(held.is_signal, pair[1][0], sample_weight=held.weights) for pair in pairs]
    combined = combination(pairs, one)
    assert merit(combined, held, 1).auc.value > max(alone) + 0.02
    # Nothing of the jets that judge, or that the networks learn from, goes in.
    turned = replace(one, is_signal=np.where(one.splits[Split.VALIDATION], one.is_signal, ~one.is_signal))
    np.testing.assert_array_equal(combination(pairs, turned).scores, combined.scores)


def test_polynomials_are_made_once_and_in_blocks(jets, tmp_path, monkeypatch):
    one = trial_of(jets, ("W",), 1)
    settings = Polynomials(edges=2, beta=1.0)
    whole = top_tagging._linear(settings, jets, one, place_of(tmp_path / "whole"))
    with np.load(tmp_path / "whole" / "polynomials.npz") as stored:
        direct = energy_flow_polynomials(*flat_momenta(jets.constituents), 2, 1.0)
        np.testing.assert_allclose(stored["values"], np.stack(list(direct.values()), axis=1), rtol=1e-6)
    assert whole.scored.scores.shape == (1, one.splits[Split.TEST].sum())
    assert whole.validated.shape == (1, one.splits[Split.VALIDATION].sum())
    monkeypatch.setattr(polynomials, "BLOCK", 64)
    parts = top_tagging._linear(settings, jets, one, place_of(tmp_path / "parts", workers=3))
    np.testing.assert_allclose(parts.scored.scores, whole.scored.scores, rtol=1e-5)
    monkeypatch.setattr(Polynomials, "_made", None)  # they are there
    again = top_tagging._linear(settings, jets, one, place_of(tmp_path / "whole"))
    np.testing.assert_array_equal(again.scored.scores, whole.scored.scores)
    np.testing.assert_array_equal(again.validated, whole.validated)
    with pytest.raises(
        InputError, match=r"polynomials\.npz: cannot be read: values of shape .* for 10 jets; remove it"
    ):
        settings.table(jets.take(np.arange(10)), tmp_path / "whole" / "polynomials.npz", 1, lambda *_: None)
    (tmp_path / "whole" / "polynomials.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"polynomials\.npz: cannot be read: .*; remove it, and it is made anew"):
        top_tagging._linear(settings, jets, one, place_of(tmp_path / "whole"))


def test_baselines_are_of_mass_and_tau32(jets):
    one = trial_of(jets, ("W",), 1)
    mass, both = top_tagging._baselines(jets, one)
    assert [mass.name, both.name] == [MASS, MASS_AND_TAU]
    expected = likelihood(MASS, jets.kinematics()["mass_gev"][:, None], one)
    np.testing.assert_array_equal(mass.scores, expected.scores)
    assert not np.array_equal(both.scores, mass.scores)


def _scored(scores, names):
    return {name: Scored(name, np.stack([scores])) for name in names}


def test_the_order_is_claimed_only_where_the_recipe_says_so():
    generator = np.random.default_rng(2)
    is_signal = generator.random(3000) < 0.5
    held = trial(is_signal, np.ones(3000), np.arange(3000), 1).held
    study = load_analysis("top_tagging").study
    noise = generator.normal(size=len(held))
    good = Scored("good", (2.0 * held.is_signal + noise)[None])
    poor = Scored("poor", (1.0 * held.is_signal + noise)[None])
    singles = {"particle_net_lite": good, "particle_flow": poor}
    assert study._order(singles, held, 1).status is Status.FAIL, "so few jets show no difference"
    assert study._order(singles, held, 1).required
    own = study.model_copy(update={"signal": ("W",)})
    assert not own._order(singles, held, 1).required, "figures of top jets say nothing of others"
    swapped = {"particle_net_lite": poor, "particle_flow": good}
    assert study._order(swapped, held, 1).status is Status.FAIL
    assert study._order(dict.fromkeys(singles, good), held, 1).status is Status.FAIL, (
        "equal to the bit is no measurement"
    )
    large = load_analysis("top_tagging_large").study
    assert large.claims_order
    claimed = large._order({"particle_net": good, "particle_flow": poor}, held, 1)
    assert (claimed.name, claimed.status) == ("order:particle_net", Status.PASS)
    assert large._order({"particle_net": poor, "particle_flow": good}, held, 1).status is Status.FAIL
    alone = study.model_copy(update={"networks": {"particle_flow": study.networks["particle_flow"]}})
    missing = alone._order({"particle_flow": good}, held, 1)
    assert missing.status is Status.NOT_MEASURED
    assert "particle_net_lite" in missing.note


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.signal=[topp]", "nearest: 'top'"),
        ("study.signal=[qcd, top]", "nothing is left"),
        ("study.fittings={lolla: {epochs: 2}}", "no network 'lolla'"),
        ("study.networks={combination: {kind: lola}}", "name of another tagger"),
        ("study.networks={A/b: {kind: lola}}", "networks"),
        ("study.pileup={kind: toy, classes: [top, quark]}", "its classes are"),
    ],
)
def test_settings_that_do_not_go_together(override, message):
    with pytest.raises(InputError, match=message):
        load_analysis("top_tagging", (override,) if "networks" not in override else (override, "study.fittings={}"))
    with pytest.raises(InputError, match="none of the networks is of kind topo_dnn"):
        load_analysis("top_tagging", (
            "study.networks={l: {kind: lola}}", "study.fittings={}",
            "study.pileup={kind: offline_jets, classes: [qcd, top]}",
        ))  # fmt: skip


def test_every_family_is_in_both_recipes_and_published_figures_are_found():
    small, large = (load_analysis(name).study for name in ("top_tagging", "top_tagging_large"))
    families = {"image_cnn", "topo_dnn", "multi_body", "lola", "energy_flow", "particle_flow", "particle_lstm",
                "particle_net_lite"}  # fmt: skip
    assert families <= {one.kind for one in small.networks.values()}
    assert families | {"particle_net"} <= {one.kind for one in large.networks.values()}
    assert small.polynomials is not None
    assert large.polynomials is not None
    assert large.pileup is not None
    known = families - {"particle_lstm", "multi_body"} | {"multi_body 6", POLYNOMIALS, COMBINATION, "particle_net"}
    assert known <= set(PUBLISHED)


def test_topo_dnn_with_pileup_and_on_as_many_jets_without(tmp_path):
    pileup = "study.pileup={kind: toy, classes: [quark, top], jets_per_class: 100}"
    recipe = load_analysis("top_tagging", (*SMALL, pileup))
    result = recipe.study.run(place_of(tmp_path))
    assert {"topo_dnn", "topo_dnn_without_pileup", "topo_dnn_with_pileup", MASS, MASS_AND_TAU} == set(result.taggers)
    assert set(result.curves) == {"topo_dnn", MASS, MASS_AND_TAU}, "of the same jets; one alone is not combined"
    order, crowded = result.tables
    assert [row[0] for row in order.rows] == ["topo_dnn"]
    table = _beside_published({"topo_dnn": result.taggers["topo_dnn"]}, {"topo_dnn": PUBLISHED["topo_dnn"]})
    assert table.rows[0][2] == PUBLISHED["topo_dnn"].auc
    assert load_analysis("top_tagging").study.of_the_comparison
    assert not recipe.study.of_the_comparison, "published figures are not of these jets"
    assert crowded.rows[-1][0] == "difference"
    assert sum(result.details["jets"].values()) == 300
    kept = networks.load(tmp_path / "networks" / "topo_dnn.keras")
    assert kept.count_params() == result.taggers["topo_dnn"].parameters


def test_figures_leave_out_what_is_infinite():
    ours = {"topo_dnn": Estimate(100.0, 5.0), "lola": Estimate(float("inf"), float("nan")), "mass": Estimate(20.0, 1.0)}
    axes = rejections(ours, {"topo_dnn": 295.0, "lola": 722.0}).axes[0]
    assert [text.get_text() for text in axes.texts][-3:] == ["topo dnn", "lola", "mass"]
    assert sorted(axes.lines[-1].get_xdata()) == [295.0, 722.0]
    sizes = {name: (100 * (k + 1), one) for k, (name, one) in enumerate(ours.items())}
    labels = [text.get_text() for text in rejection_and_size(sizes).axes[0].get_legend().get_texts()]
    assert labels == ["topo dnn", "mass"]
