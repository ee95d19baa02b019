from __future__ import annotations

import pytest

from models.recipe import Recipe, load_recipe
from trigger.config import dump, packaged, parse
from trigger.errors import InputError


@pytest.mark.parametrize("name", packaged("models", "recipes"))
def test_packaged_recipes_are_good_and_survive_their_own_yaml(name):
    recipe = load_recipe(name)
    assert parse(dump(recipe), Recipe, "again") == recipe


def test_six_faults_in_one_answer(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        """
name: jet tagger
data: {kind: pythia, classes: [quark, gluon, boson], jets_per_clas: 10}
inputs: {kind: jet_features, format: "fixed<16,7>"}
network: {kind: mlp, hidden: [64, many]}
quantization: {weight: "ap_fixed<6,1>", activation: "ap_fixed<6,0>"}
training: {epochs: 0}
seed: 1
seed: 2
"""
    )
    with pytest.raises(InputError) as caught:
        load_recipe(str(path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 8
    for piece in (
        "line 9: key 'seed' is given twice, first in line 8", "name: found 'jet tagger'", "data.classes.2: 'boson' is not known",
        "data.jets_per_clas: there is no such key; nearest: 'jets_per_class'", "inputs.format: 'fixed<16,7>' is not",
        "network.hidden.1: found 'many'", "quantization.activation: found 'ap_fixed<6,0>'", "training.epochs: found 0",
    ):  # fmt: skip
        assert any(piece in line for line in lines), (piece, lines)
        assert all(line.startswith(str(path)) for line in lines)


def test_overrides_are_checked_like_the_file():
    assert load_recipe("jet_tagger", ("data.jets_per_class=7",)).data.jets_per_class == 7
    with pytest.raises(InputError, match=r"data.jets_per_class: found -1"):
        load_recipe("jet_tagger", ("data.jets_per_class=-1",))


def test_splits_that_leave_nothing_to_train_on():
    with pytest.raises(InputError, match=r"training: validation 0.6 and test 0.5 leave nothing to train on"):
        load_recipe("jet_tagger", ("training.validation=0.6", "training.test=0.5"))
