"""The networks of detector hits give the same with JAX as with TensorFlow, and learn there too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models.offline.detector_cnn import DetectorCnn
from models.offline.edge_network import EdgeNetwork
from models.offline.gravnet import GarNet, GravNet
from trigger.data.showers import ShowerData, make_showers
from trigger.data.tracks import TrackData, make_tracks

ROOT = Path(__file__).resolve().parents[3]
OTHER = """
import sys
from pathlib import Path

import keras
import numpy as np

from models.offline.edge_network import edge_loss
from models.offline.gravnet import fraction_loss
from models.trained import load_network

assert keras.backend.backend() == "jax"
folder = Path(sys.argv[1])
losses = {"gravnet": fraction_loss, "garnet": fraction_loss, "edge_network": edge_loss,
          "detector_cnn": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
for path in sorted(folder.glob("*.keras")):
    stored = dict(np.load(folder / f"{path.stem}.npz"))
    answers, expected = stored.pop("answers"), stored.pop("expected")
    model = load_network(path)
    np.testing.assert_allclose(model.predict(stored, verbose=0), expected, atol=2e-4, rtol=1e-3)
    model.compile(keras.optimizers.Adam(0.003), losses[path.stem], jit_compile=True)
    history = model.fit(stored, answers, batch_size=16, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0], (path.stem, history)
"""


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares the default backend with JAX")
def test_jax_gives_the_same(tmp_path):
    pytest.importorskip("jax")
    keras.utils.set_random_seed(1)
    showers = make_showers(ShowerData(kind="parametrised_showers", events=32, hits=40), 1)
    graphs = make_tracks(TrackData(kind="toy_tracks", graphs=32, tracks=4), 1)
    image = np.random.default_rng(1).exponential(1, (32, 16, 12, 3)).astype(np.float32)
    cases = (
        (GravNet(kind="gravnet", blocks=1, dense=(8,), neighbours=6, hidden=(8,)), showers.inputs(), showers.answers()),
        (GarNet(kind="garnet", layers=2, hidden=(8,)), showers.inputs(), showers.answers()),
        (EdgeNetwork(kind="edge_network", hidden=8, iterations=2), graphs.inputs(), graphs.answers()),
        (DetectorCnn(kind="detector_cnn", filters=(4, 6), dropout=0.0), {"image": image}, np.arange(32) % 2),
    )
    for network, given, answers in cases:
        model = network.build({name: value.shape[1:] for name, value in given.items()})
        model.save(tmp_path / f"{network.kind}.keras")
        expected = model.predict(given, verbose=0)
        np.savez(tmp_path / f"{network.kind}.npz", answers=answers, expected=expected, **given)
    result = subprocess.run(
        [sys.executable, "-c", OTHER, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
