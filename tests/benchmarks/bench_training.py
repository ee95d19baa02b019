"""Training in jets a second with each Keras backend, and the float network against boosted trees on the same jets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

SCRIPT = """
import json, os, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
from models.recipe import Training, load_recipe
from models.training import Batch, train
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec
recipe = load_recipe("jet_tagger")
spec = InputSpec(inputs=tuple(Input(name=f"x{k}", format=recipe.inputs.format) for k in range(16)), outputs=tuple("abcde"))
generator = np.random.default_rng(1)
jets = 262_144
labels = generator.integers(0, 5, jets)
batch = Batch(generator.normal(size=(jets, 16)) + np.eye(16)[labels], labels, np.ones(jets))
few = Batch(batch.inputs[:1000], labels[:1000], np.ones(1000))
for quantization, name in ((None, "float"), (recipe.quantization, "quantised")):
    for size in (1024, 8192):
        ends = []
        train(recipe.network, spec, 5, quantization, Training(epochs=4, batch_size=size, patience=99), 1, batch, few,
              lambda done, total: ends.append(time.perf_counter()))
        print(json.dumps([name, size, 3 * jets / (ends[-1] - ends[0])]))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_training_speed(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; 'pip install jetgate[{backend}]'")
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"\ntraining 16-64-32-32-5 on {backend}:")
    for line in answer.stdout.splitlines():
        name, size, speed = json.loads(line)
        print(f"  {name:10} batch {size:5}  {speed:12,.0f} jets/s")


def test_float_network_against_boosted_trees():
    """The main job's own jets and split; the network should be within a point of accuracy."""
    from firmware.target import load_target
    from models.recipe import load_recipe
    from trigger.app import chain as chain_of
    from trigger.app.chain import Chain, splits
    from trigger.app.console import Reporter
    from trigger.data.jets import Split

    chain = Chain(load_recipe("jet_tagger"), load_target("vu13p"), Path(), 2, Reporter())
    chain_of.run(chain)
    sample = chain_of.features(chain)
    parts = splits(chain.recipe, sample)
    test = sample.take(parts[Split.TEST])
    learn = sample.take(parts[Split.TRAIN] | parts[Split.VALIDATION])
    trees = HistGradientBoostingClassifier(max_iter=300, learning_rate=0.05, early_stopping=True, random_state=1)
    trees.fit(learn.values, learn.labels, sample_weight=learn.weights)
    probability = trees.predict_proba(test.values)
    accuracy = ((probability.argmax(axis=1) == test.labels) * test.weights).sum() / test.weights.sum()
    auc = roc_auc_score(test.labels, probability, multi_class="ovr", average="macro")
    found = json.loads((chain.folder / "performance.json").read_text())["performance"]
    print(f"\n{len(test):,} held-out jets      accuracy  macro AUC")
    for name in ("float", "quantised", "firmware"):
        one = found[name]
        print(
            f"  {name:22} {one['accuracy']['value']:.4f}    {one['macro_auc']['value']:.4f}   (± {one['accuracy']['uncertainty']:.4f})"
        )
    print(f"  {'boosted trees':22} {accuracy:.4f}    {auc:.4f}")
    assert found["float"]["accuracy"]["value"] > accuracy - 0.01
