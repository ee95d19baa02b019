"""Training of the offline networks: the sample on the device, compiled steps, and runs that go on where they were killed.

Keras is fed nothing but row numbers: a layer that holds the whole sample gathers the rows on the device. The order of the rows
of an epoch depends on the seed and the epoch alone, and after every epoch everything that the next one depends on is written
down; so a run that was killed ends with the same numbers as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.config import Settings
from trigger.errors import InputError
from trigger.files import make_folder, reading_arrays, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras

Arrays = Mapping[str, NDArray[np.float32]]
"""What a network is shown: for each input by name, `(rows, ...)`."""
Loss = Callable[[Any, Any], Any]
"""Of the answers and the outputs of a batch: the loss of each row, or one number for the batch."""
EpochProgress = Callable[[int, int], None]
"""Told of the epochs done and the epochs at the most."""
FINISHED, CHECKPOINT = "fitted.npz", "checkpoint.npz"
FIT_FORMAT = 1
"""Part of the key of every study; raised when the same settings give other numbers than before."""


class Fitting(Settings):
    """How a network is trained.

    Attributes:
        epochs: The most epochs.
        batch_size: Rows in a step; the rows that fill no batch are left to other epochs.
        learning_rate: Of the optimizer, at the start.
        optimizer: Adam, or AdamW with Keras's weight decay.
        schedule: The learning rate stays, halves after half of `patience` epochs without a better validation loss, or falls to
            0 over `epochs` as a cosine.
        patience: Epochs without a better validation loss after which training ends; without effect where `keep` is `last`.
        keep: The weights of the epoch of lowest validation loss, or, where no single loss tells a good epoch from a bad one as
            with an adversary, those of the last; then no epoch is left out, and the schedule cannot be `plateau`.
        precision: Of the computation; weights stay in float32, and so do outputs.
        distributed: Whether a step is spread over all devices of the machine by Keras's distribution interface (JAX).
    """

    epochs: int = Field(default=20, gt=0)
    batch_size: int = Field(default=256, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    optimizer: Literal["adam", "adamw"] = "adam"
    schedule: Literal["constant", "plateau", "cosine"] = "plateau"
    patience: int = Field(default=5, gt=0)
    keep: Literal["lowest", "last"] = "lowest"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    distributed: bool = False

    @model_validator(mode="after")
    def _schedule_has_an_effect(self) -> Fitting:
        if self.keep == "last" and self.schedule == "plateau":
            raise ValueError(
                "schedule: 'plateau' waits for epochs that are no better, which 'keep: last' does not look for; right would be "
                "constant or cosine"
            )
        return self

    def rate(self, epoch: int, since_best: int, rate: float) -> float:
        """The learning rate of an epoch.

        Args:
            epoch: Its number, from 0.
            since_best: Epochs since the lowest validation loss.
            rate: What the epoch before had.
        """
        if self.schedule == "cosine":
            return float(0.5 * self.learning_rate * (1 + np.cos(np.pi * epoch / self.epochs)))
        wait = max(1, self.patience // 2)
        if self.schedule == "plateau" and since_best and since_best % wait == 0:
            return rate / 2
        return rate


@dataclass(frozen=True)
class Rows:
    """Rows that a network learns from or is judged by.

    Attributes:
        inputs: By name, `(rows, ...)`.
        answers: What is right, in the form that the loss takes; first axis `rows`.
        weights: Shape `(rows,)`.

    Raises:
        InputError: Lengths differ, there is no row, or a number is NaN or infinite.
    """

    inputs: Arrays
    answers: NDArray[Any]
    weights: NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        rows = len(self.weights)
        if rows == 0:
            raise InputError("there is no row to learn from or to be judged by")
        for name, array in (*self.inputs.items(), ("answers", self.answers), ("weights", self.weights)):
            if len(array) != rows:
                raise InputError(f"{name}: {len(array)} rows, but there are {rows} weights")
            if not np.isfinite(array).all():
                raise InputError(f"{name}: a number is NaN or infinite")

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        model: With the weights of the epoch that `Fitting.keep` names: of the lowest validation loss, or the last.
        history: `loss`, `val_loss` and `learning_rate` by epoch.
        rows_per_s: Rows learnt from in a second, median over the epochs but the first, in which steps are compiled; `None`
            where there was no other.
    """

    model: keras.Model
    history: dict[str, list[float]]
    rows_per_s: float | None


def fit(
    build: Callable[[], keras.Model], learn: Rows, validate: Rows, how: Fitting, loss: Loss, seed: int, folder: Path,
    progress: EpochProgress | None = None, steps: Steps | None = None,
) -> Fitted:  # fmt: skip
    """Train a network, go on with one that was being trained, or take the one that is there.

    Args:
        build: Makes the untrained network; its outputs are float32.
        learn: What it learns from.
        validate: What decides which epoch is kept.
        how: How it is trained.
        loss: What is made small.
        seed: Of the initial weights, the order of rows and everything else that is random.
        folder: Of this training alone: it holds the state after the last epoch, and the trained network at the end.
        progress: Told of every epoch.
        steps: Compiled steps of other trainings that differ from this one in nothing but the seed; they are made if there are
            none. The numbers are the same as without.

    Raises:
        InputError: A loss became NaN or infinite, what lies in the folder is broken or of another network, or several devices
            were asked for where Keras cannot use them.
    """
    import keras

    make_folder(folder)
    keras.utils.set_random_seed(seed)
    with _precision(how.precision), _distribution(how.distributed):
        model = build()
        if (folder / FINISHED).is_file():
            return _finished(model, folder)
        state = _State(rate=how.learning_rate)
        if steps is None:
            device = _OnDevice(model, learn, validate, how, loss)
        else:
            device = steps.device = steps.device or _OnDevice(build(), learn, validate, how, loss)
            device.begin(model)
        if (folder / CHECKPOINT).is_file():
            state = _read(folder / CHECKPOINT, device.variables)
        while state.epoch < how.epochs and state.since_best < how.patience:
            _one_epoch(device, state, how, seed)
            _write(folder / CHECKPOINT, state, device.variables)
            if progress is not None:
                progress(state.epoch, how.epochs)
    for variable, value in zip(model.variables, state.best, strict=True):
        variable.assign(value)
    fitted = Fitted(model, state.history, _speed(state.seconds, device.used))
    with replacing(folder / FINISHED) as fresh, fresh.open("wb") as stream:
        np.savez(stream, allow_pickle=False, rows_per_s=np.array(fitted.rows_per_s or np.nan),
                 **_named("best", state.best), **_named("history", list(state.history.values())))  # fmt: skip
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return fitted


def cross_entropy(answers: Any, outputs: Any) -> Any:
    """Loss of logits against whole numbers of classes, for each row."""
    import keras

    return keras.losses.sparse_categorical_crossentropy(answers, outputs, from_logits=True)


def predict(model: keras.Model, inputs: Arrays, batch_size: int = 1024) -> NDArray[np.float64]:
    """Outputs for every row, in whole batches, so that one step is compiled; first axis `rows`."""
    rows = len(next(iter(inputs.values())))
    size = min(batch_size, rows)
    place = np.arange(-(-rows // size) * size) % rows
    outputs = model.predict({name: array[place] for name, array in inputs.items()}, batch_size=size, verbose=0)
    return np.asarray(outputs, dtype=np.float64)[:rows]


def inference_rate(model: keras.Model, inputs: Arrays, batch_size: int = 1024) -> float:
    """Rows judged in a second, of whole batches, without the time to compile."""
    rows = len(next(iter(inputs.values())))
    some = {name: array[: max(batch_size, rows // batch_size * batch_size)] for name, array in inputs.items()}
    predict(model, {name: array[:batch_size] for name, array in inputs.items()}, batch_size)
    start = time.perf_counter()
    predict(model, some, batch_size)
    return len(next(iter(some.values()))) / (time.perf_counter() - start)


@dataclass
class Steps:
    """Compiled steps, for several trainings of one network on the same rows: compiling takes seconds.

    Attributes:
        device: The network and the sample on the device; `None` until the first training.
    """

    device: _OnDevice | None = None


@dataclass
class _State:
    """All that the next epoch depends on besides the variables of the model."""

    rate: float
    epoch: int = 0
    since_best: int = 0
    lowest: float = float("inf")
    best: list[NDArray[Any]] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "val_loss": [], "learning_rate": []})
    seconds: list[float] = field(default_factory=list)


class _OnDevice:
    """A model with its sample on the device."""

    def __init__(self, model: keras.Model, learn: Rows, validate: Rows, how: Fitting, loss: Loss) -> None:
        import keras

        self.model, self.learn, self.validate, self.loss = model, learn, validate, loss
        self.batch_size = min(how.batch_size, len(learn))
        self.used = len(learn) // self.batch_size * self.batch_size
        index = keras.Input((), dtype="int32", name="row")
        rows = {
            name: _store(np.concatenate([array, validate.inputs[name]]), name)(index)
            for name, array in learn.inputs.items()
        }
        self.by_row = keras.Model(index, model(rows))
        optimizers = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
        optimizer = optimizers[how.optimizer](how.learning_rate)
        steps = self.used // self.batch_size

        def reduced(answers: Any, outputs: Any) -> Any:  # a plain function, whose mean Keras takes whatever `loss` is
            return loss(answers, outputs)

        self.by_row.compile(
            optimizer=optimizer, loss=reduced, steps_per_execution=max(1, min(steps, 16)), jit_compile=True
        )
        optimizer.build(model.trainable_variables)
        inner = getattr(self.by_row.optimizer, "inner_optimizer", None)  # Keras scales the loss of half precision
        if inner is not None:
            self.by_row.optimizer.build(model.trainable_variables)
        self.variables = [*model.variables, *self.by_row.optimizer.variables]
        self.untrained = [_array(variable) for variable in self.by_row.optimizer.variables]

    def begin(self, model: keras.Model) -> None:
        """Take the values of another untrained network of the same kind, and an optimizer that has seen nothing."""
        values = [*(_array(variable) for variable in model.variables), *self.untrained]
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def train(self, order: NDArray[np.int64], rate: float) -> float:
        """One epoch over the rows in this order; mean loss."""
        self.by_row.optimizer.learning_rate = rate
        told = self.by_row.fit(
            order.astype(np.int32), self.learn.answers[order], sample_weight=self.learn.weights[order].astype(np.float32),
            batch_size=self.batch_size, epochs=1, shuffle=False, verbose=0,
        )  # fmt: skip
        return float(told.history["loss"][-1])

    def validation_loss(self) -> float:
        """Weighted mean loss of the validation rows."""
        rows = len(self.validate)
        size = min(self.batch_size, rows)
        place = np.arange(-(-rows // size) * size) % rows
        outputs = self.by_row.predict((len(self.learn) + place).astype(np.int32), batch_size=size, verbose=0)[:rows]
        return mean_loss(self.loss, self.validate.answers, outputs, self.validate.weights)


def mean_loss(loss: Loss, answers: NDArray[Any], outputs: NDArray[Any], weights: NDArray[np.floating[Any]]) -> float:
    """The weighted mean of a loss over rows; of a loss of whole batches its value for all rows as one batch."""
    import keras

    each = np.asarray(keras.ops.convert_to_numpy(loss(keras.ops.convert_to_tensor(answers), outputs)), dtype=np.float64)
    if each.ndim == 0:
        return float(each)
    return float(np.average(each.reshape(len(weights), -1).mean(axis=1), weights=weights))


def _one_epoch(device: _OnDevice, state: _State, how: Fitting, seed: int) -> None:
    order = np.random.default_rng([seed, state.epoch]).permutation(len(device.learn))[: device.used]
    state.rate = how.rate(state.epoch, state.since_best, state.rate)
    start = time.perf_counter()
    loss = device.train(order, state.rate)
    state.seconds.append(time.perf_counter() - start)
    lowest = device.validation_loss()
    for name, value in (("training", loss), ("validation", lowest)):
        if not np.isfinite(value):
            raise InputError(
                f"the {name} loss became {value} in epoch {state.epoch + 1}: a smaller fitting.learning_rate would be right"
            )
    for name, value in (("loss", loss), ("val_loss", lowest), ("learning_rate", state.rate)):
        state.history[name].append(value)
    state.epoch += 1
    state.since_best += 1
    if lowest < state.lowest or how.keep == "last":
        state.lowest, state.since_best = lowest, 0
        state.best = [_array(variable) for variable in device.model.variables]


def _array(variable: Any) -> NDArray[Any]:
    import keras

    return np.array(keras.ops.convert_to_numpy(variable.value))


def _write(path: Path, state: _State, variables: list[Any]) -> None:
    numbers = {name: np.array(getattr(state, name)) for name in ("rate", "epoch", "since_best", "lowest", "seconds")}
    with replacing(path) as fresh, fresh.open("wb") as stream:
        np.savez(
            stream, allow_pickle=False, **numbers, **_named("best", state.best),
            **_named("history", list(state.history.values())), **_named("now", [_array(one) for one in variables]),
        )  # fmt: skip


def _read(path: Path, variables: list[Any]) -> _State:
    with reading_arrays(path) as stored:
        now = _listed("now", stored)
        state = _State(
            float(stored["rate"]), int(stored["epoch"]), int(stored["since_best"]), float(stored["lowest"]),
            _listed("best", stored), seconds=stored["seconds"].tolist(),
        )  # fmt: skip
        state.history = dict(zip(state.history, [one.tolist() for one in _listed("history", stored)], strict=True))
    _assign(variables, now, path)
    return state


def _finished(model: keras.Model, folder: Path) -> Fitted:
    with reading_arrays(folder / FINISHED) as stored:
        best = _listed("best", stored)
        names = ("loss", "val_loss", "learning_rate")
        history = dict(zip(names, [one.tolist() for one in _listed("history", stored)], strict=True))
        speed = float(stored["rows_per_s"])
    _assign(model.variables, best, folder / FINISHED)
    return Fitted(model, history, speed if np.isfinite(speed) else None)


def _assign(variables: list[Any], values: list[NDArray[Any]], path: Path) -> None:
    shapes = [tuple(one.shape) for one in variables], [one.shape for one in values]
    if shapes[0] != shapes[1]:
        raise InputError(f"{path}: this is of another network; remove its folder to train anew")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _named(what: str, arrays: list[Any]) -> dict[str, NDArray[Any]]:
    return {f"{what}_{number:05d}": np.asarray(array) for number, array in enumerate(arrays)}


def _listed(what: str, stored: Any) -> list[NDArray[Any]]:
    return [stored[name] for name in sorted(stored.files) if name.rpartition("_")[0] == what]


def _speed(seconds: list[float], rows: int) -> float | None:
    return rows / float(np.median(seconds[1:])) if len(seconds) > 1 else None


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _distribution(wanted: bool) -> Iterator[None]:
    import keras

    if not wanted:
        yield
        return
    if keras.backend.backend() != "jax":
        raise InputError(
            f"fitting.distributed: Keras spreads a step over devices with JAX, not {keras.backend.backend()}; right would be "
            "KERAS_BACKEND=jax"
        )
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=keras.distribution.list_devices()))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _store(array: NDArray[np.floating[Any]], name: str) -> Any:
    """A layer that holds rows and gives those that it is asked for."""
    return _store_class()(array, name=f"rows_{name}", dtype="float32")


@lru_cache(maxsize=1)
def _store_class() -> Any:
    import keras

    class Store(keras.layers.Layer):  # type: ignore[misc]
        """Rows on the device."""

        def __init__(self, array: NDArray[np.floating[Any]], **settings: Any) -> None:
            super().__init__(trainable=False, autocast=False, **settings)
            self.rows = self.add_weight(
                shape=array.shape, dtype="float32", initializer="zeros", trainable=False, name="rows"
            )
            self.rows.assign(array.astype(np.float32))

        def call(self, index: Any) -> Any:
            return keras.ops.take(self.rows, index, axis=0)

        def compute_output_shape(self, index_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return (*index_shape, *self.rows.shape[1:])

    return Store
