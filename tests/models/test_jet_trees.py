"""The study of jet trees: who learns and who judges, and all its parts with networks that are not trained."""

from __future__ import annotations

import numpy as np
import pytest

from models.analyses import jet_trees
from models.analyses.recipe import load_analysis
from models.analyses.study import Workplace
from models.offline.merit import Scored
from trigger.data.jets import Split
from trigger.data.toy import ToyData, toy_jets
from trigger.errors import InputError

TOY = "{kind: toy, classes: [quark, W], jets_per_class: 150, pt_gev: [200, 500]}"
OVERRIDES = (
    f"study.particles={{learn: {TOY}, judge: {TOY}}}", f"study.towers={{learn: {TOY}, judge: {TOY}}}", f"study.events={TOY}",
    "study.signal_of_events=[W]", "study.mass_gev=[0, 1000]", "study.constituents=6", "study.constituents_of_event=8",
    "study.seeds=2", "study.adjacencies=[learned, symmetric]",
)  # fmt: skip


def place(folder, recipe):
    return Workplace(folder, folder, recipe.seed, 1, lambda *_: None)


def recipe(*more):
    return load_analysis("jet_trees", (*OVERRIDES, *more))


def test_some_learn_and_others_judge(tmp_path):
    found = recipe("study.mass_gev=[0, 60]")
    data = found.study._jets(found.study.particles, place(tmp_path, found))
    learn, judge = (next(toy_jets(ToyData(kind="toy", classes=("quark", "W"), jets_per_class=150, pt_gev=(200, 500)), seed))
                    for seed in (found.seed, found.seed + 1))  # fmt: skip
    kinematics = judge.kinematics()
    inside = np.array([250 <= pt < 300 and mass < 60 for pt, mass in
                       zip(kinematics["pt_gev"], kinematics["mass_gev"], strict=True)])  # fmt: skip
    assert 0 < inside.sum() < len(judge)
    trial, jets = data.trial, data.jets
    assert len(jets) == len(learn) + inside.sum()
    test = trial.splits[Split.TEST]
    assert test.tolist() == [False] * len(learn) + [True] * inside.sum()
    assert sum(one.astype(int) for one in trial.splits.values()).tolist() == [1] * len(jets)
    assert not set(trial.events[test]) & set(trial.events[~test])
    np.testing.assert_array_equal(trial.is_signal, jets.labels == 1)
    for part in (test, ~test):
        signal = part & trial.is_signal
        np.testing.assert_allclose(trial.weights[signal].sum(), trial.weights[part & ~trial.is_signal].sum())
    pt = jets.kinematics()["pt_gev"]
    edges = np.linspace(250, 300, 17)
    for chosen in (test & trial.is_signal, test & ~trial.is_signal):
        filled, count = (np.histogram(pt[chosen], edges, weights=one)[0] for one in (trial.weights[chosen], None))
        np.testing.assert_allclose(filled[count > 0], filled[count > 0].mean(), rtol=1e-9)


def test_an_empty_window_is_refused(tmp_path):
    found = recipe("study.mass_gev=[900, 1000]")
    with pytest.raises(InputError, match=r"judge: none of 300 jets has a pT in \(250.0, 300.0\) and a mass in"):
        found.study._jets(found.study.particles, place(tmp_path, found))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.orders=[random]", "kt is among them"),
        ("study.orders=[kt, kt]", "none is given twice"),
        ("study.signal=[Z]", "signal: there is no class 'Z'"),
        ("study.signal_of_events=[quark, W]", "nothing is left for the background"),
        (f"study.particles={{learn: {TOY}, judge: {TOY.replace('quark', 'top')}}}", "of other classes"),
    ],
)
def test_settings_that_do_not_suit_are_refused(override, message):
    with pytest.raises(InputError, match=message):
        recipe(override)


def test_all_parts(tmp_path, monkeypatch):
    """Each network has an answer of its own that grows with a number of the jet's, as its input shows it."""
    trained = {}

    def answers(name, build, inputs, trial, how, seeds, seed, folder, progress):
        del build, how, folder, progress
        trained[name] = {key: array.shape for key, array in inputs.items()}
        energy = np.abs(next(iter(inputs.values()))).reshape(len(trial.weights), -1).sum(axis=1)
        generator = np.random.default_rng([seed, len(trained)])
        noise = generator.normal(0, energy.std(), (seeds, len(energy)))
        return Scored(name, (energy + noise)[:, trial.splits[Split.TEST]], 0.0, 7), []

    monkeypatch.setattr(jet_trees, "train_tagger", answers)
    found = recipe()
    result = found.study.run(place(tmp_path, found))
    orders = ["kt", "Cambridge-Aachen", "anti-kt", "falling pT", "random"]
    networks = [name for order in orders for name in (order, f"{order} gated")]
    classical = ["tau21", "mass", "mass and tau21", "trees of mass, tau21, pT"]
    events = [f"events: {name}" for name in ("jets' embeddings", "jets' four-momenta", "constituents")]
    towers = ["towers kt", "towers kt gated", "images kt"]
    passing = ["message passing learned", "message passing symmetric"]
    assert sorted(trained) == sorted([*networks, *towers, *passing, *events])
    assert sorted(result.taggers) == sorted([*trained, *classical, *(f"towers {name}" for name in classical)])
    assert trained["kt"]["steps"][1:] == (5, 25)
    assert trained[events[0]]["steps"][1:] == (3, 5, 25)
    assert [table.title for table in result.tables] == [
        "tree orders and gating", "AUC minus that of random trees", "what kt trees are made of", "events, W' to W Z against QCD",
    ]  # fmt: skip
    rows = {row[0]: row for row in result.tables[0].rows}
    assert list(rows) == orders
    merits = result.taggers
    assert rows["anti-kt"][1].value == merits["anti-kt"].auc.value
    assert rows["anti-kt"][5].value == pytest.approx(merits["anti-kt gated"].auc.value - merits["anti-kt"].auc.value)
    difference = result.tables[1].rows[0]
    assert difference[0] == "kt"
    assert difference[2].value == pytest.approx(merits["kt gated"].auc.value - merits["random gated"].auc.value)
    names = [one.name for one in result.requirements]
    assert names == [
        "kt:gated_over_mass_and_tau21",
        "kt:gated_over_trees_of_them",
        "kt:gated_over_simple",
        "kt:over_random",
        "kt:over_random_gated",
    ]
    assert result.requirements[0].figure == pytest.approx(
        merits["kt gated"].auc.value - merits["mass and tau21"].auc.value
    )
    assert result.synthetic
    assert {"tree_orders", "events"} == set(result.figures)
    assert result.details["events"]["events"] == 150
