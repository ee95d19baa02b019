"""Tagging by observables: tasks, pairs and tables against numbers known otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from models.analyses import classical_tagging
from models.analyses.classical_tagging import COMBINATION, Task, learnt, pairwise_table
from models.analyses.recipe import load_analysis
from models.analyses.study import Workplace
from trigger.data.jets import FeatureDataset, Origin, Split
from trigger.errors import InputError
from trigger.inputs.classical_observables import FAMILIES

TOY = (
    "study.data={kind: toy, classes: [quark, W, Z], jets_per_class: 150}", "study.signal=[W, Z]", "study.seeds=2",
)  # fmt: skip
CLASSES = ("one", "two", "three")


@pytest.fixture(scope="module")
def table():
    """Three classes; `shift` moves the second by 1 and the third by 2, `noise` says nothing, `width` tells the third."""
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(3), 4000)
    values = generator.normal(size=(len(labels), 3))
    values[:, 0] += labels
    values[labels == 2, 2] *= 3
    return FeatureDataset(
        values,
        ("shift", "noise", "width"),
        labels,
        CLASSES,
        np.ones(len(labels)),
        np.arange(len(labels)),
        Origin("toy", True),
    )


def workplace(folder, workers=1, progress=lambda *_: None):
    return Workplace(folder, folder / "samples", 1, workers, progress)


def test_a_task_takes_its_classes_alone(table):
    jets, trial = Task("x", "three", ("one",), table.names).trial(table, 1)
    assert len(jets) == len(trial.is_signal) == 8000
    np.testing.assert_array_equal(trial.is_signal, jets.labels == 2)
    jets, trial = Task("x", "two", ("one", "three"), table.names).trial(table, 1)
    assert len(jets) == 12000
    assert trial.weights[trial.is_signal].sum() == pytest.approx(trial.weights[~trial.is_signal].sum())


def test_a_pair_knows_its_best_observable(table, tmp_path):
    tasks = [Task("two from one", "two", ("one",), table.names), Task("three from one", "three", ("one",), table.names)]
    trees = learnt(tasks, table, 2, workplace(tmp_path))
    first, second = (classical_tagging._pair(task, trees[task.name], table, 1) for task in tasks)
    assert (first.background, first.signal, first.best) == ("one", "two", "shift")
    # Of two normal distributions apart by d the area is Phi(d / sqrt(2)).
    for pair, apart in ((first, 1), (second, 2)):
        assert pair.best == "shift"
        assert pair.single.auc.value == pytest.approx(
            norm.cdf(apart / math.sqrt(2)), abs=4 * pair.single.auc.uncertainty
        )
    assert abs(first.gain.value) < 5 * first.gain.uncertainty, "the others say nothing"
    assert second.gain.value > 3 * second.gain.uncertainty, "the width adds to the shift"
    assert second.combined.auc.value - second.single.auc.value == pytest.approx(second.gain.value)

    cells = pairwise_table(CLASSES, [first, second])
    assert cells.columns == ("class", *CLASSES)
    assert cells.rows[0] == ("one", None, first.combined.auc, second.combined.auc)
    assert cells.rows[1] == ("two", first.combined.rejection_50, None, None)
    assert cells.rows[2] == ("three", second.combined.rejection_50, None, None)


def test_trees_are_trained_once_and_alike_by_any_number_of_workers(table, tmp_path, monkeypatch):
    tasks = [
        Task(f"{a} from {b}", a, (b,), table.names) for a, b in (("two", "one"), ("three", "one"), ("three", "two"))
    ]
    seen = []
    first = learnt(tasks, table, 1, workplace(tmp_path / "a", 1, lambda *told: seen.append(told)))
    assert seen == [("boosted trees", done, 3) for done in (1, 2, 3)]
    second = learnt(tasks, table, 1, workplace(tmp_path / "b", 3))
    for name, one in first.items():
        np.testing.assert_array_equal(one.scores, second[name].scores)
        assert one.scores.shape == (1, Task("", *name.split(" from ")[:1], (name.split(" from ")[1],), ()).trial(
            table, 1)[1].splits[Split.TEST].sum())  # fmt: skip

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(classical_tagging, "boosted_trees", never)
    again = learnt(tasks, table, 1, workplace(tmp_path / "a", 2))
    assert again.keys() == first.keys()
    for name, one in again.items():
        np.testing.assert_array_equal(one.scores, first[name].scores)


def test_a_study_of_toys_leaves_tags_out_and_says_so(tmp_path):
    recipe = load_analysis("classical_tagging", TOY)
    found = recipe.study.run(workplace(tmp_path))
    assert found.departures[-1] == classical_tagging.WITHOUT_TAGS
    assert not set(FAMILIES["b tags"]) & set(found.details["observables"])
    assert [one.name for one in found.requirements] == ["W:combination", "Z:combination", "Z from W:AUC above 0.5"]
    assert f"W: {COMBINATION}" in found.taggers
    families = next(table for table in found.tables if table.columns[0] == "observables")
    assert families.columns == ("observables", "W", "Z")
    assert [row[0] for row in families.rows] == [
        *FAMILIES["masses"], *(name for name in FAMILIES if name != "b tags"), COMBINATION,
    ]  # fmt: skip
    assert families.rows[-1][1] == found.taggers[f"W: {COMBINATION}"].auc
    packaged = load_analysis("classical_tagging").study
    assert packaged.has_tags
    assert not recipe.study.has_tags


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.radius=1.0", "the jets of data have 0.8"),
        ("study.apart=[[W, Y]]", "no class 'Y'"),
        ("study.apart=[[W, W]]", "from itself"),
        ("study.signal=[tops]", "no class 'tops'"),
        ("study.signal=[quark, gluon, W, Z, higgs, top]", "nothing is left for the background"),
    ],
)
def test_faults_of_a_recipe_are_named(override, message):
    with pytest.raises(InputError, match=message):
        load_analysis("classical_tagging", (override,))
