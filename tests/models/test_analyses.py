"""Every packaged study, tiny: what all of them must hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.analyses.recipe import FOLDER, load_analysis
from models.analyses.study import Result, Table, Workplace, beyond, compatible, not_below
from models.offline.merit import Merit
from tests.conftest import jetgate
from trigger.config import packaged
from trigger.decision.efficiency import Estimate
from trigger.errors import InputError
from trigger.verdict import Status

PAIR = "{kind: toy, classes: [quark, W], jets_per_class: 150}"
ANOTHER_PAIR = "{other: {kind: toy, classes: [quark, W], jets_per_class: 120, pt_gev: [700, 1200]}}"
WITH_TARGET = "{kind: toy, classes: [W, quark], jets_per_class: 150, learn: true}"
SOFT_PAIR = "{kind: toy, classes: [quark, W], jets_per_class: 150, pt_gev: [200, 500]}"
TRIMMED = f"study.sample={{data: {PAIR}, signal: [W], pt_gev: null, mass_gev: null}}"
TOYS: dict[str, tuple[str, ...]] = {
    "beyond_mass": (TRIMMED, "study.bins=4", "study.bins_each=2", "study.least=1"),
    "classical_tagging": ("study.data={kind: toy, classes: [quark, W, Z], jets_per_class: 150}", "study.signal=[W, Z]"),
    "decorrelation": (
        f"study.jets={PAIR}", f"study.nuisances={ANOTHER_PAIR}", "study.mass_gev=[1, 1000]", "study.mass_bins=4",
        "study.nuisance_fitting.epochs=2",
    ),
    "jet_images": (TRIMMED, "study.scan_epochs=1"),
    "jet_trees": (
        f"study.particles.learn={SOFT_PAIR}", f"study.particles.judge={SOFT_PAIR}", "study.towers=null", "study.events=null",
        "study.mass_gev=[0, 1000]",
    ),
    "low_level": (
        "study.images=null", "study.clustering.data.events=120", "study.clustering.data.hits=48",
        "study.clustering.fitting.epochs=2", "study.tracking.data.graphs=60", "study.tracking.data.tracks=3",
        "study.tracking.fitting.epochs=2",
    ),
    "regression": (f"study.energy={WITH_TARGET}", f"study.mass={WITH_TARGET}", "study.bins=2"),
    "shower_uncertainty": (f"study.default={PAIR}", f"study.showers={ANOTHER_PAIR}"),
    "top_tagging": ("study.data={kind: toy, classes: [quark, top], jets_per_class: 150}", "study.pileup=null"),
}  # fmt: skip
"""Of each study what makes its packaged recipes a run on jets that no simulation made."""
FEW_PIXELS = ("study.network.blocks=[{filters: 2, kernel: 5, pool: 4}]", "study.network.hidden=[4]")
SMALL: dict[str, tuple[str, ...]] = {
    "beyond_mass": FEW_PIXELS,
    "decorrelation": ("study.adversary=[3]", "study.disco=[3]", "study.nuisance=[3]"),
    "jet_images": (*FEW_PIXELS, "study.filter_sizes=[3]", "study.dense=[4]"),
    "jet_trees": ("study.orders=[kt]", "study.adjacencies=[]", "study.constituents=6"),
    "low_level": (
        "study.clustering.gravnet={kind: gravnet, blocks: 1, dense: [8], neighbours: 4, filters: 8, hidden: [8]}",
        "study.clustering.garnet={kind: garnet, layers: 1, hidden: [8]}",
        "study.tracking.network={kind: edge_network, hidden: 4, iterations: 1}",
    ),
    "top_tagging": (
        "study.networks={topo_dnn: {kind: topo_dnn, particles: 8, hidden: [8]}, particle_flow: {kind: particle_flow, "
        "particles: 8, particle: [8], hidden: [8]}, particle_net_lite: {kind: particle_net_lite, particles: 8, neighbours: 3, "
        "blocks: [[4]], hidden: [4]}}",
        "study.fittings={topo_dnn: {epochs: 2}}", "study.polynomials.edges=2",
    ),
}  # fmt: skip
"""Of some what makes their networks small enough for seconds."""
FEW_STEPS = ("study.seeds=2", "study.fitting.epochs=2")
NAMES = sorted(name for name in packaged("models", FOLDER) if not name.endswith("_large"))


class KilledError(Exception):
    """Stands for whatever ends a process."""


def tiny(name):
    return load_analysis(name, (*TOYS[name], *SMALL.get(name, ()), *FEW_STEPS))


def run(recipe, folder, samples, progress=lambda *_: None, workers=1):
    place = Workplace(folder, samples, recipe.seed, workers, progress)
    result = recipe.study.run(place)
    result.save(folder)
    return result


def without_speeds(result):
    """What must be equal bit by bit: all but jets per second."""
    content = result.summary()
    for one in content["taggers"].values():
        del one["trained_per_s"], one["judged_per_s"]
    content["tables"] = [table for table in content["tables"] if "/s" not in json.dumps(table["columns"])]
    return content


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return tmp_path_factory.mktemp("samples")


@pytest.mark.parametrize("name", NAMES)
def test_contract(name, tmp_path, samples):
    """The same seed gives the same numbers, with more workers and after a kill; the result saves and loads."""
    recipe = tiny(name)
    whole = run(recipe, tmp_path / "whole", samples, workers=2)
    assert whole.study == name == recipe.study.kind
    assert whole.synthetic
    assert all(one.status is Status.NOT_MEASURED for one in whole.verdict.requirements), "a toy passes nothing"
    assert whole.requirements
    assert whole.figures
    for figure in whole.figures:
        assert (tmp_path / "whole" / "plots" / f"{figure}.png").stat().st_size > 1000
    loaded = Result.load(tmp_path / "whole")
    assert json.dumps(loaded.summary()) == json.dumps(whole.summary())
    for one, (efficiency, rejection) in whole.curves.items():
        np.testing.assert_array_equal(loaded.curves[one], (efficiency, rejection))

    seen = []

    def killing(what, done, total):
        seen.append("epoch" in what or "trees" in what)
        if sum(seen) == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(recipe, tmp_path / "killed", samples, killing)
    assert not (tmp_path / "killed" / "result.json").exists()
    resumed = run(recipe, tmp_path / "killed", samples)
    assert without_speeds(resumed) == without_speeds(whole)


@pytest.mark.parametrize("name", NAMES)
def test_large_recipes_are_the_same_study(name):
    assert set(NAMES) == set(TOYS), "every packaged study has a tiny run"
    large = load_analysis(f"{name}_large")
    assert large.study.kind == name
    assert large.name == f"{name}_large"


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_large_recipes_take_a_few_steps_on_jax(name, tmp_path):
    """Without a GPU: the networks of the large recipe, as large as they are, on jets that no simulation made."""
    pytest.importorskip("jax", reason="JAX is not installed; 'make bench' installs it")
    overrides = [part for one in (*TOYS[name], *FEW_STEPS) for part in ("--set", one)]
    result = jetgate(
        "analyse", f"{name}_large", *overrides, "--json", folder=tmp_path, env={"KERAS_BACKEND": "jax"}, timeout=1200
    )
    assert result.returncode == 3, result.stderr[-3000:]
    found = json.loads(result.stdout)
    assert found["study"] == name
    assert all(np.isfinite(one["auc"]["value"]) for one in found["taggers"].values())


def test_effects_are_judged_by_their_uncertainty():
    strong, weak, unknown = Estimate(0.4, 0.1), Estimate(0.2, 0.1), Estimate(0.4, float("nan"))
    assert beyond("x", strong, 3).status is Status.PASS
    assert beyond("x", weak, 3).status is Status.FAIL
    assert beyond("x", unknown, 3).status is Status.FAIL
    assert "not known" in beyond("x", unknown, 3).note
    assert compatible("x", weak, 0.45, 3).status is Status.PASS
    assert compatible("x", weak, 0.55, 3).status is Status.FAIL
    assert not_below("x", Estimate(-0.1, 0.1), 0, 2).status is Status.PASS
    assert not_below("x", Estimate(-0.3, 0.1), 0, 2).status is Status.FAIL
    assert beyond("x", Estimate(1.0, 0.0), 3).status is Status.FAIL, "nothing is known without an uncertainty"


def test_tables_come_back():
    table = Table(
        "t", ("a", "b", "c", "d"), (("x", 1, Estimate(2.0, 0.5), None), ("y", 2.5, Estimate(1.0, float("nan")), "z"))
    )
    assert json.dumps(Table.read(table.summary()).summary()) == json.dumps(table.summary())
    with pytest.raises(ValueError, match="2 columns, but a row of 1"):
        Table("t", ("a", "b"), (("x",),))


@pytest.fixture
def written(tmp_path):
    """A folder with a result of one tagger, and what its JSON holds."""
    one = Estimate(0.5, float("nan"))
    merit = Merit("a", one, one, one, None, {"auc": 0.1}, 2, 0, None, 1.5, None)
    curve = (np.linspace(0, 1, 5), np.full(5, np.inf))
    found = Result("x", ("1",), (), (compatible("x", Estimate(1, 1), 0, 3),), {"a": merit}, {"a": curve},
                   (Table("t", ("a", "b"), (("x", one),)),))  # fmt: skip
    found.save(tmp_path)
    assert json.dumps(Result.load(tmp_path).summary()) == json.dumps(found.summary())
    return tmp_path, json.loads((tmp_path / "result.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.clear(), "study: Field required"),
        (lambda content: content.update(taggers=["a"]), "taggers: Input should be a valid dictionary"),
        (lambda content: content["taggers"]["a"].update(auc=0.5), r"taggers\.a\.auc: Input should be"),
        (
            lambda content: content["taggers"]["a"]["auc"].update(value="0.5"),
            r"taggers\.a\.auc\.value: .* valid number",
        ),
        (lambda content: content["taggers"]["a"].pop("models"), r"taggers\.a\.models: Field required"),
        (lambda content: content["tables"][0]["rows"][0].pop(), "t: 2 columns, but a row of 1"),
        (lambda content: content["tables"][0]["rows"][0][1].update(value="x"), r"tables\.0\.rows\.0\.1"),
        (lambda content: content["requirements"][0].update(status="GOOD"), "status"),
        (lambda content: content.pop("simulated"), "simulated: Field required"),
    ],
)
def test_a_broken_result_is_named(written, change, message):
    folder, content = written
    change(content)
    (folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=rf"(?s)result\.json: cannot be read: .*{message}.*; remove it, and it is made anew"
    ):
        Result.load(folder)


def test_missing_and_broken_files_of_a_result_are_named(written):
    folder, _ = written
    np.savez(folder / "curves.npz", **{"x of a": np.ones(3), "y of a": np.ones(2)})
    with pytest.raises(InputError, match=r"curves\.npz: cannot be read: the curve of a has efficiencies"):
        Result.load(folder)
    np.savez(folder / "curves.npz", **{"x of a": np.ones(3)})
    with pytest.raises(InputError, match=r"curves\.npz: cannot be read: .*y of a"):
        Result.load(folder)
    (folder / "curves.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"curves\.npz: cannot be read: this is no whole npz file"):
        Result.load(folder)
    (folder / "curves.npz").unlink()
    with pytest.raises(InputError, match=r"curves\.npz: no such file"):
        Result.load(folder)
    (folder / "result.json").write_text("")
    with pytest.raises(InputError, match=r"result\.json: cannot be read as JSON: .*; remove it, and it is made anew"):
        Result.load(folder)
    (folder / "result.json").write_text("[]")
    with pytest.raises(InputError, match="this is no result of a study"):
        Result.load(folder)
    (folder / "result.json").unlink()
    with pytest.raises(InputError, match=r"no result.json"):
        Result.load(folder)
