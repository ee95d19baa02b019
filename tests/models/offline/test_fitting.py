"""Training on the device: the same numbers whether it was interrupted or not, in every precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.offline.fitting import CHECKPOINT, FINISHED, Fitting, Rows, Steps, cross_entropy, fit, mean_loss, predict
from trigger.errors import InputError


def rows(count, seed=1):
    generator = np.random.default_rng(seed)
    inputs = {"a": generator.normal(size=(count, 5)), "b": generator.normal(size=(count, 2))}
    answers = (inputs["a"][:, 0] + inputs["b"][:, 1] > 0).astype(np.int32)
    return Rows({name: one.astype(np.float32) for name, one in inputs.items()}, answers, np.ones(count))


def build():
    import keras

    inputs = {"a": keras.Input((5,), name="a"), "b": keras.Input((2,), name="b")}
    x = keras.layers.Concatenate()(list(inputs.values()))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(16, activation="relu")(x))
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(x))


class KilledError(Exception):
    """Stands for whatever ends a process."""


HOW = Fitting(epochs=4, batch_size=64, learning_rate=3e-3)


def killed_after(epochs):
    def told(epoch, _):
        if epoch == epochs:
            raise KilledError

    return told


@pytest.mark.parametrize("how", [HOW, HOW.model_copy(update={"precision": "mixed_bfloat16", "schedule": "cosine"}),
                                 HOW.model_copy(update={"precision": "mixed_float16", "optimizer": "adamw"})])  # fmt: skip
def test_a_killed_training_ends_with_the_same_numbers(tmp_path, how):
    learn, validate = rows(1000), rows(300, 2)
    whole = fit(build, learn, validate, how, cross_entropy, 3, tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(build, learn, validate, how, cross_entropy, 3, tmp_path / "killed", killed_after(2))
    assert (tmp_path / "killed" / CHECKPOINT).is_file()
    resumed = fit(build, learn, validate, how, cross_entropy, 3, tmp_path / "killed")
    assert resumed.history == whole.history
    assert not (tmp_path / "killed" / CHECKPOINT).exists()
    again = fit(build, learn, validate, how, cross_entropy, 3, tmp_path / "killed")
    for other in (resumed, again):
        np.testing.assert_array_equal(predict(whole.model, validate.inputs), predict(other.model, validate.inputs))
    assert whole.history["val_loss"][-1] < whole.history["val_loss"][0]
    assert whole.model.output.dtype == "float32"


def test_another_seed_gives_other_numbers(tmp_path):
    learn, validate = rows(500), rows(100, 2)
    one, two = (fit(build, learn, validate, HOW, cross_entropy, seed, tmp_path / str(seed)) for seed in (1, 2))
    assert one.history != two.history


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_steps_compiled_once_give_the_same_numbers(tmp_path, precision):
    learn, validate = rows(500), rows(100, 2)
    how = HOW.model_copy(update={"precision": precision})
    steps, compiled = Steps(), []
    for seed in (1, 2):
        alone = fit(build, learn, validate, how, cross_entropy, seed, tmp_path / f"alone{seed}")
        compiled.append(fit(build, learn, validate, how, cross_entropy, seed, tmp_path / f"{seed}", None, steps))
        assert compiled[-1].history == alone.history
        for one, other in zip(alone.model.variables, compiled[-1].model.variables, strict=True):
            np.testing.assert_array_equal(one, other)
    first = fit(build, learn, validate, how, cross_entropy, 1, tmp_path / "1")
    outputs = [predict(one.model, validate.inputs) for one in (first, *compiled)]
    np.testing.assert_array_equal(*outputs[:2], "the second training leaves the first network as it was")
    assert (outputs[0] != outputs[2]).any()


def test_the_kept_epoch_is_that_of_the_lowest_validation_loss(tmp_path):
    learn, validate = rows(200), rows(100, 2)
    wrong = np.random.default_rng(1).random(200) < 0.35  # learnt by heart in the end
    learn = Rows(learn.inputs, np.where(wrong, 1 - learn.answers, learn.answers).astype(np.int32), learn.weights)
    how = Fitting(epochs=20, batch_size=50, learning_rate=0.05, patience=20)
    fitted = fit(build, learn, validate, how, cross_entropy, 1, tmp_path / "x")
    now = mean_loss(
        cross_entropy, validate.answers, predict(fitted.model, validate.inputs).astype(np.float32), validate.weights
    )
    assert now == pytest.approx(min(fitted.history["val_loss"]), rel=1e-5)
    assert now < fitted.history["val_loss"][-1]


def test_training_ends_when_nothing_gets_better(tmp_path):
    # Labels that nothing follows from.
    learn, validate = rows(200), rows(200, 2)
    noise = Rows(learn.inputs, np.random.default_rng(5).integers(0, 2, 200).astype(np.int32), learn.weights)
    fitted = fit(build, noise, validate, Fitting(epochs=60, batch_size=50, learning_rate=0.01, patience=3), cross_entropy, 1,
                 tmp_path / "x")  # fmt: skip
    assert len(fitted.history["loss"]) < 60
    assert fitted.history["learning_rate"][-1] < fitted.history["learning_rate"][0]


def test_weights_count(tmp_path):
    learn = rows(600)
    # Of the two halves, one with wrong labels, only the right one has a weight.
    wrong = Rows(learn.inputs, np.where(np.arange(600) < 300, learn.answers, 1 - learn.answers).astype(np.int32),
                 (np.arange(600) < 300).astype(float))  # fmt: skip
    fitted = fit(
        build,
        wrong,
        rows(200, 2),
        Fitting(epochs=15, batch_size=60, learning_rate=0.01),
        cross_entropy,
        1,
        tmp_path / "x",
    )
    held = rows(400, 3)
    assert (predict(fitted.model, held.inputs).argmax(axis=1) == held.answers).mean() > 0.85


def test_prediction_does_not_depend_on_the_batch():
    model = build()
    inputs = rows(130).inputs
    np.testing.assert_allclose(predict(model, inputs, 50), predict(model, inputs, 1024), atol=1e-5)
    assert predict(model, inputs, 50).shape == (130, 2)


def test_a_loss_of_whole_batches_is_taken_as_it_is():
    def whole(answers, outputs):
        import keras

        return keras.ops.mean(outputs[:, 0]) + 0 * keras.ops.sum(keras.ops.cast(answers, "float32"))

    outputs = np.array([[1.0], [3.0]], dtype=np.float32)
    assert mean_loss(whole, np.array([0, 1]), outputs, np.array([1.0, 9.0])) == 2.0


def test_what_cannot_be_learnt_from_is_refused(tmp_path):
    good = rows(100)
    with pytest.raises(InputError, match="a: a number is NaN"):
        Rows({"a": np.full((3, 2), np.nan, dtype=np.float32)}, np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match="answers: 2 rows, but there are 3"):
        Rows({"a": np.zeros((3, 2), dtype=np.float32)}, np.zeros(2), np.ones(3))
    with pytest.raises(InputError, match="no row"):
        Rows({"a": np.zeros((0, 2), dtype=np.float32)}, np.zeros(0), np.ones(0))
    with pytest.raises(InputError, match=r"the (training|validation) loss became (nan|inf) in epoch 1"):
        fit(build, good, good, HOW.model_copy(update={"learning_rate": 1e30}), cross_entropy, 1, tmp_path / "nan")
    with pytest.raises(InputError, match="KERAS_BACKEND=jax"):
        fit(build, good, good, HOW.model_copy(update={"distributed": True}), cross_entropy, 1, tmp_path / "devices")
    fit(build, good, good, HOW, cross_entropy, 1, tmp_path / "x")

    def other():
        import keras

        inputs = {"a": keras.Input((5,), name="a"), "b": keras.Input((2,), name="b")}
        return keras.Model(inputs, keras.layers.Dense(2)(inputs["a"]))

    with pytest.raises(InputError, match="of another network"):
        fit(other, good, good, HOW, cross_entropy, 1, tmp_path / "x")
    assert (tmp_path / "x" / FINISHED).is_file()


def test_the_loss_that_is_infinite_is_named(tmp_path):
    learn = rows(100)
    # Finite, but its square is not; the training rows are as they should be.
    validate = Rows({name: one + np.float32(3e38) for name, one in learn.inputs.items()}, learn.answers, learn.weights)

    def squares(answers, outputs):
        import keras

        return keras.ops.square(keras.ops.convert_to_tensor(outputs)[:, 0])

    def plain():
        import keras

        inputs = {"a": keras.Input((5,), name="a"), "b": keras.Input((2,), name="b")}
        return keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(inputs["a"]))

    with pytest.raises(InputError, match=r"the validation loss became (nan|inf) in epoch 1"):
        fit(plain, learn, validate, HOW, squares, 1, tmp_path)


@pytest.mark.parametrize("name", [CHECKPOINT, FINISHED])
@pytest.mark.parametrize("broken", ["empty", "cut", "junk"])
def test_broken_states_are_named_and_made_anew(tmp_path, name, broken):
    learn = rows(100)
    if name == CHECKPOINT:
        with pytest.raises(KilledError):
            fit(build, learn, learn, HOW, cross_entropy, 1, tmp_path, killed_after(1))
    else:
        fit(build, learn, learn, HOW, cross_entropy, 1, tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "junk": b"junk" * 99}[broken])
    with pytest.raises(InputError, match=rf"{name}: cannot be read: .*; remove it, and it is made anew"):
        fit(build, learn, learn, HOW, cross_entropy, 1, tmp_path)
    (tmp_path / name).unlink()
    again = fit(build, learn, learn, HOW, cross_entropy, 1, tmp_path)
    assert len(again.history["loss"]) == HOW.epochs


def test_a_schedule_without_effect_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'keep: last' does not look for; right would be constant or cosine"):
        Fitting(keep="last")
    learn = rows(100)
    noise = Rows(learn.inputs, np.random.default_rng(5).integers(0, 2, 100).astype(np.int32), learn.weights)
    how = Fitting(keep="last", schedule="constant", epochs=4, patience=1, learning_rate=0.05)
    fitted = fit(build, noise, rows(100, 2), how, cross_entropy, 1, tmp_path)
    assert len(fitted.history["loss"]) == 4, "patience is without effect"
    assert np.argmin(fitted.history["val_loss"]) < 3
    now = mean_loss(cross_entropy, rows(100, 2).answers, predict(fitted.model, rows(100, 2).inputs).astype(np.float32),
                    np.ones(100))  # fmt: skip
    assert now == pytest.approx(fitted.history["val_loss"][-1], rel=1e-5), "the weights are those of the last epoch"


JAX = """
import importlib.util, pathlib, sys, tempfile
spec = importlib.util.spec_from_file_location("these", {path!r})
these = importlib.util.module_from_spec(spec)
spec.loader.exec_module(these)
import keras
assert keras.backend.backend() == "jax"
folder = pathlib.Path({folder!r})
these.test_a_killed_training_ends_with_the_same_numbers(folder / "one", these.HOW)
these.test_a_killed_training_ends_with_the_same_numbers(folder / "two", these.HOW.model_copy(update={{"distributed": True}}))
"""


def test_the_same_on_jax_and_over_several_devices(tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed; 'make bench' installs it")
    flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    code = JAX.format(path=str(Path(__file__)), folder=str(tmp_path))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
