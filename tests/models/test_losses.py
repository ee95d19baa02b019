"""What networks learn: losses against formulas written out, the same bits twice, and that it is learnt."""

from __future__ import annotations

import typing

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.losses import classification_and_correction
from models.networks.autoencoder import Autoencoder
from models.networks.convolution import Convolution
from models.networks.deepsets import DeepSets
from models.networks.interaction import Interaction
from models.networks.mlp import Mlp
from models.networks.student import Student, Teacher
from models.networks.variational import Variational
from models.quantization import Quantization
from models.recipe import Network, Training
from models.training import Batch, logits, train
from trigger.config import parse
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.contract import Input, InputSpec

WIRE = FixedPoint(True, 3, 6, Rounding.RND_CONV, Overflow.SAT)
QUANTIZATION = 'weight: "ap_fixed<8,2>"\nactivation: "ap_ufixed<8,4>"\n'
EXAMPLES = [
    (Convolution(kind="convolution", blocks=({"filters": 2, "pooling": "max"},), hidden=()), (4, 6, 1)),
    (DeepSets(kind="deepsets", particle=(4,), hidden=(), correction=True, correction_hidden=()), (4, 6)),
    (Interaction(kind="interaction", pair=(4,), particle=(4,), hidden=()), (4, 6)),
    (Autoencoder(kind="autoencoder", hidden=(), latent=2), (24,)),
    (Variational(kind="variational", hidden=(6,), latent=2), (24,)),
    (Student(kind="student", hidden=(4,), teacher=Teacher(hidden=(), latent=2)), (24,)),
]


def spec(shape):
    inputs = tuple(Input(name=f"x{k}", format=WIRE) for k in range(int(np.prod(shape))))
    return InputSpec(inputs=inputs, outputs=("a", "b"), shape=shape if len(shape) > 1 else None)


def quantised(text=QUANTIZATION):
    return parse(text, Quantization, "q")


def batch(shape, rows=300, seed=1):
    """Two classes on different planes through 0, and the mean of the inputs as target."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    planes = np.random.default_rng(7).normal(size=(2, 2, int(np.prod(shape)))) / 2
    table = np.einsum("ni,nij->nj", generator.normal(size=(rows, 2)), planes[labels])
    values = WIRE.values(WIRE.codes(table + generator.normal(0, 0.1, table.shape)))
    return Batch(values.reshape(rows, *shape), labels, generator.uniform(0.5, 1.5, rows), values.mean(axis=1))


def test_every_network_is_here_or_in_the_test_of_the_training():
    assert {type(network) for network, _ in EXAMPLES} | {Mlp} == set(typing.get_args(Network))


@pytest.mark.parametrize(("network", "shape"), EXAMPLES, ids=[network.kind for network, _ in EXAMPLES])
def test_every_network_is_trained_and_has_a_history(network, shape):
    learn, validate = batch(shape), batch(shape, 100, seed=2)
    told = []
    model, history = train(
        network, spec(shape), 2, quantised(), Training(epochs=2, batch_size=512), 3, learn, validate,
        lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert {"loss", "val_loss", "learning_rate"} <= set(history)
    assert ("accuracy" in history) == (network.task == "classification")
    assert ("teacher_val_loss" in history) == (network.kind == "student")
    assert {len(values) for values in history.values()} == {2}
    assert np.isfinite(list(history.values())).all()
    assert told == [(1, 2), (2, 2)] * (2 if network.kind == "student" else 1)
    assert logits(model, validate.inputs).shape == (100, len(network.outputs(("a", "b"))))
    fixed = [weight for weight in model.non_trainable_weights if weight.name == "kernel"]
    assert len(fixed) == (3 if network.kind == "interaction" else 0)
    assert all(set(np.unique(weight)) == {0.0, 1.0} for weight in fixed)
    if network.kind == "autoencoder":  # the loss that it was validated by is the score on the chip
        score = logits(model, validate.inputs)[:, 0]
        assert (score * validate.weights).mean() == pytest.approx(history["val_loss"][1], rel=1e-5)

    if network.kind in ("convolution", "variational"):  # what could differ: threads, and sampling
        again, same = train(
            network, spec(shape), 2, quantised(), Training(epochs=2, batch_size=512), 3, learn, validate
        )  # fmt: skip
        assert history == same
        for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def huber(difference):
    size = np.abs(difference)
    return np.where(size < 1, size**2 / 2, size - 0.5)


def test_the_loss_of_two_heads():
    network = DeepSets(kind="deepsets", correction=True)
    lesson = classification_and_correction(network.build(spec((4, 6)), 2, None), 0.25)
    one = batch((4, 6))
    one.target = one.target * 40  # both regimes of Huber's loss
    answers = lesson.answers(one)
    outputs = np.random.default_rng(3).normal(0, 2, (300, 3)).astype(np.float32)
    entropy = np.logaddexp(outputs[:, 0], outputs[:, 1]) - outputs[np.arange(300), one.labels]
    expected = entropy + 0.25 * huber(outputs[:, 2] - one.target)
    np.testing.assert_allclose(lesson.loss(answers, outputs), expected, rtol=1e-4, atol=1e-5)
    assert (np.abs(outputs[:, 2] - one.target) > 1).any()
    accuracy, correction_loss = lesson.metrics
    np.testing.assert_array_equal(accuracy(answers, outputs), outputs[:, :2].argmax(axis=1) == one.labels)
    np.testing.assert_allclose(
        correction_loss(answers, outputs), huber(outputs[:, 2] - one.target), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("quantization", [None, quantised()], ids=["float", "quantised"])
def test_the_loss_of_a_variational_autoencoder(quantization):
    import keras

    network = Variational(kind="variational", hidden=(8,), latent=3, beta=0.3)
    keras.utils.set_random_seed(4)
    model = network.build(spec((4, 6)), 2, quantization)
    lesson = network.lesson(model)
    kernel = lesson.model.get_layer("log_variance").kernel
    kernel.assign(np.random.default_rng(1).normal(0, 0.3, kernel.shape))
    inputs = batch((4, 6), 50).inputs
    tap = keras.Model(model.input, [model.get_layer("score").input[0], model.get_layer("encoder1_relu").output])
    mean, seen = (np.asarray(one, dtype=np.float64) for one in tap(inputs))

    def dense(x, name):
        kernel, bias = lesson.model.get_layer(name).get_weights()
        return x @ kernel + bias

    log_variance = dense(seen, "log_variance")
    rebuilt = dense(np.maximum(dense(mean, "decoder1"), 0), "reconstruction")
    error = ((inputs.reshape(50, -1) - rebuilt) ** 2).sum(axis=1) / 2
    divergence = (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1) / 2
    np.testing.assert_allclose(lesson.model(inputs), 0.7 * error + 0.3 * divergence, rtol=1e-4)
    np.testing.assert_allclose(lesson.loss(None, lesson.model(inputs)), lesson.model(inputs))
    trained = [np.asarray(lesson.model(inputs, training=True)) for _ in range(2)]
    assert not np.array_equal(*trained)  # sampled
    # The expectation over the noise of the squared error adds what the decoder makes of it, which is not negative.
    sampled = np.mean([lesson.model(np.repeat(inputs[:1], 4000, axis=0), training=True)])
    assert sampled > 0.7 * error[0] + 0.3 * divergence[0]


def test_what_a_student_is_shown():
    student, shape = EXAMPLES[-1][0], (4, 6, 1)
    background = batch(shape, 500).inputs
    added = student.scramble(background, spec(shape), np.random.default_rng(1))
    assert added.shape == (250, *shape)
    np.testing.assert_array_equal(WIRE.values(WIRE.codes(added)), added)  # what the wire can carry
    # Every input of every second row is some row's own, times one number of the row between 1 and 4, within half a step.
    table, known = added.reshape(250, -1), background.reshape(500, -1)
    for row in table[:40:2]:
        possible = np.ones(301, dtype=bool)
        gains = np.linspace(1, 4, 301)
        for column, value in enumerate(row):
            if WIRE.min_code < WIRE.codes(value) < WIRE.max_code:
                near = np.abs(gains[:, None] * known[:, column] - value) <= WIRE.step / 2 + 0.01 * np.abs(
                    known[:, column]
                )
                possible &= near.any(axis=1)
        assert possible.any()
    assert (np.abs(table[::2]).max(axis=1) > np.abs(known).max()).any()
    # In the others one to six are replaced: by the same draws, one is replaced where `hot` is 1.
    fewer = student.model_copy(update={"hot": 1}).scramble(background, spec(shape), np.random.default_rng(1))
    differ = (fewer.reshape(250, -1) != table).sum(axis=1)
    np.testing.assert_array_equal(differ[::2], 0)
    assert 1 < differ[1::2].max() <= 7
    assert np.median(table[1::2].max(axis=1)) > np.median(table[::2].max(axis=1))
    assert (
        len(student.model_copy(update={"scrambled": 0.0}).scramble(background, spec(shape), np.random.default_rng(1)))
        == 0
    )


def test_what_a_student_is_to_answer():
    student = EXAMPLES[-1][0]
    background = np.exp(np.random.default_rng(1).normal(2, 0.5, 20_000))
    weights = np.ones(20_000)
    # Of a normal distribution of logarithms: the median and the 84 % quantile are mean and mean + 0.9945 deviations.
    scores = np.exp(2 + 0.5 * 0.9945 * np.array([-9.0, -4.0, -1.0, 0.0, 1.0, 2.0, 11.0, 30.0]))
    found = student.targets(scores, background, weights)
    np.testing.assert_allclose(found[2:-1], [3, 4, 5, 6, 15], rtol=0.02)
    assert found[0] == 0
    assert found[-1] == 16 - 2**-8  # the largest number of ap_ufixed<12,4>
    wider = student.model_copy(update={"score": FixedPoint(False, 6, 2, Rounding.RND_CONV, Overflow.SAT)})
    np.testing.assert_allclose(wider.targets(scores, background, weights)[:-1], 4 * found[:-1])
    lighter = student.targets(scores, background, np.where(background > np.e**2, 0.1, 1.0))
    assert (lighter[2:-1] > found[2:-1]).all()  # with less weight above it the median is lower
    with pytest.raises(InputError, match="most of the background the same score"):
        student.targets(scores, np.ones(100), np.ones(100))


def test_an_autoencoder_learns_what_its_background_looks_like():
    every, shape = batch((24,), 2000), (24,)
    background = every.labels == 0
    rows = [np.flatnonzero(background)[:800], np.flatnonzero(background)[800:]]
    learn, validate = (Batch(every.inputs[one], every.labels[one], every.weights[one]) for one in rows)
    settings = Training(epochs=25, batch_size=32, learning_rate=5e-3)
    model, history = train(EXAMPLES[3][0], spec(shape), 2, quantised(), settings, 1, learn, validate)
    assert min(history["val_loss"]) < history["val_loss"][0] / 3
    held_out = batch(shape, 600, seed=5)
    score = logits(model, held_out.inputs)[:, 0]
    assert (score >= 0).all()
    assert roc_auc_score(held_out.labels, score) > 0.9


def test_what_cannot_be_learnt():
    one, shape = batch((4, 6)), (4, 6)
    bare = Batch(one.inputs, one.labels, one.weights)
    with pytest.raises(InputError, match="the sample has none"):
        train(EXAMPLES[1][0], spec(shape), 2, None, Training(epochs=1), 1, bare, bare)
    # Means that are rounded to whole numbers, of inputs that are almost 0: every score is 0.
    small = Batch(one.inputs.reshape(300, -1) / 100, one.labels, one.weights)
    with pytest.raises(InputError, match="every input the same score"):
        train(
            EXAMPLES[4][0], spec((24,)), 2, quantised(QUANTIZATION + 'linear: "ap_fixed<4,4>"\n'), Training(epochs=1), 1,
            small, small,
        )  # fmt: skip
