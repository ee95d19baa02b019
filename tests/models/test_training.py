from __future__ import annotations

import numpy as np
import pytest

from models.networks.mlp import Mlp
from models.quantization import Quantization
from models.recipe import Training
from models.trained import TrainedModel
from models.training import Batch, logits, train
from trigger.config import parse
from trigger.errors import InputError

QUANTIZATION = parse('weight: "ap_fixed<6,1>"\nactivation: "ap_ufixed<6,2>"\n', Quantization, "q")


@pytest.fixture(scope="module")
def data(contract):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 1200)
    inputs = generator.normal(0, 1, (1200, 6)) + 1.5 * np.eye(6)[labels]
    return Batch(inputs[:900], labels[:900], np.ones(900)), Batch(inputs[900:], labels[900:], np.ones(300))


def fit(contract, data, quantization, seed=1, **settings):
    training = Training(**{"epochs": 15, "batch_size": 64, **settings})
    return train(Mlp(kind="mlp", hidden=(8,)), contract, 3, quantization, training, seed, *data)


@pytest.mark.parametrize("quantization", [None, QUANTIZATION], ids=["float", "quantised"])
def test_it_learns_and_does_so_again(contract, data, quantization):
    model, history = fit(contract, data, quantization)
    accuracy = (logits(model, data[1].inputs).argmax(axis=1) == data[1].labels).mean()
    assert accuracy > 0.5  # one in three by chance
    assert history["val_loss"][-1] < history["val_loss"][0]
    again, _ = fit(contract, data, quantization)
    trained = [TrainedModel(one, contract, history).digest() for one in (model, again)]
    assert trained[0] == trained[1]
    other, _ = fit(contract, data, quantization, seed=2)
    assert TrainedModel(other, contract, history).digest() != trained[0]


def test_the_best_epoch_is_kept(contract, data):
    model, history = fit(contract, data, None, epochs=40, learning_rate=0.05, patience=6)
    assert len(history["loss"]) < 40
    check_best(model, history, data)
    # Also where the best epoch is one of the first and the last is not.
    model, history = fit(contract, data, None, epochs=4, learning_rate=1.0, patience=9)
    assert np.argmin(history["val_loss"]) < 3
    check_best(model, history, data)


def check_best(model, history, data):
    scores = logits(model, data[1].inputs)
    shifted = scores - scores.max(axis=1, keepdims=True)
    loss = -(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))[np.arange(300), data[1].labels].mean()
    assert loss == pytest.approx(min(history["val_loss"]), rel=1e-5)


def test_file(contract, data, tmp_path):
    model, history = fit(contract, data, QUANTIZATION, epochs=2)
    trained = TrainedModel(model, contract, history)
    trained.save(tmp_path / "trained")
    again = TrainedModel.load(tmp_path / "trained")
    assert again.digest() == trained.digest()
    assert again.history == history


def test_wrong_input(contract, data, tmp_path):
    few = Batch(data[0].inputs[:2], data[0].labels[:2], np.ones(2))
    with pytest.raises(InputError, match="too few"):
        train(Mlp(kind="mlp"), contract, 3, None, Training(), 1, few, few)
    with pytest.raises(InputError, match="became NaN"):
        fit(contract, data, None, learning_rate=1e30)
    (tmp_path / "model.keras").write_text("no")
    with pytest.raises(InputError, match="cannot be read as a Keras model"):
        TrainedModel.load(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        TrainedModel.load(tmp_path / "none")
