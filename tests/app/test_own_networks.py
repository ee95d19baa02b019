"""A user's own networks, written in plain Keras and QKeras and saved: convert, emulate and synth, without a recipe."""

from __future__ import annotations

import json
import re

import keras
import numpy as np
import pytest
import qkeras

from trigger.app import cli

IMAGE = """# Towers in GeV, a quarter of a GeV a step, five by five around the seed.
shape: [5, 5, 1]
outputs: [signal, background]
inputs:
"""
FIELDS = """outputs: [anomaly]
inputs:
"""


def image_contract():
    rest = "unit: GeV, format: 'ap_ufixed<7,5,AP_RND_CONV,AP_SAT>'}\n"
    return IMAGE + "".join(f"  - {{name: tower_{k // 5}_{k % 5}, {rest}" for k in range(25))


def field_contract():
    rest = "format: 'ap_fixed<8,3,AP_RND_CONV,AP_SAT>'}\n"
    return FIELDS + "".join(f"  - {{name: feature_{k}, {rest}" for k in range(8))


def own_cnn():
    """A sequential model with a normalisation in its convolution, trained on a few events."""
    keras.utils.set_random_seed(3)
    weights = {"kernel_quantizer": "quantized_bits(5,1,alpha=1)", "bias_quantizer": "quantized_bits(6,2,alpha=1)"}
    model = keras.Sequential([
        keras.Input((5, 5, 1)),
        qkeras.QActivation("quantized_bits(7,5,keep_negative=0,alpha=1)", name="towers"),
        qkeras.QConv2DBatchnorm(2, (3, 3), strides=(1, 2), padding="same", name="shapes", **weights),
        qkeras.QActivation("quantized_relu(6,3)", name="rectified"),
        keras.layers.AveragePooling2D((2, 1), name="halved"),
        keras.layers.Flatten(name="flat"),
        qkeras.QDense(2, name="classes", **weights),
    ])  # fmt: skip
    x = np.random.default_rng(1).gamma(1, 4, (400, 5, 5, 1))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, (x[:, 2, 2, 0] > x[:, 0, 0, 0]).astype(int), epochs=2, verbose=0)
    return model


def own_autoencoder():
    """Eight numbers through three, and the squared distance as the score, in the network itself."""
    keras.utils.set_random_seed(4)
    five = qkeras.quantized_bits(5, 0, alpha=1)
    weights = {"kernel_quantizer": five, "bias_quantizer": five}
    start = keras.Input((8,))
    given = qkeras.QActivation(qkeras.quantized_bits(8, 2, alpha=1), name="given")(start)
    hidden = qkeras.QDense(3, activation=qkeras.quantized_relu(6, 2), name="code", **weights)(given)
    rebuilt = qkeras.QDense(8, name="rebuilt", **weights)(hidden)
    rounded = qkeras.QActivation(qkeras.quantized_bits(7, 2, alpha=1), name="rounded")(rebuilt)
    missed = keras.layers.Subtract(name="missed")([given, rounded])
    return keras.Model(start, keras.layers.Dot(axes=1, name="score")([missed, missed]))


@pytest.mark.parametrize(
    ("build", "contract", "shape"),
    [(own_cnn, image_contract, (5, 5, 1)), (own_autoencoder, field_contract, (8,))],
    ids=["cnn", "autoencoder"],
)
def test_convert_emulate_and_synth(build, contract, shape, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        status = cli.status_of([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert status == 0, out + err
        return json.loads(out)

    model = build()
    model.save(tmp_path / "mine.keras")
    (tmp_path / "contract.yaml").write_text(contract())
    made = call("convert", "mine.keras", "--inputs", "contract.yaml", "--target", "vu13p")
    inputs = int(np.prod(shape))
    assert len(made["inputs"]["elements"]) == inputs

    found = call("emulate", made["project"], "--vectors", 66_000 // inputs + 1)
    assert found["differing_codes"] == 0
    assert {one["engine"] for one in found["agreements"]} == {"integer", "cpp", "rtl"}
    assert {one["vectors"] for one in found["agreements"]} == {"boundary", "saturation", "ties", "random"}

    # What the firmware gives is what the user's own network gives, as it was saved: folded or not, in his float32.
    from firmware.engines import cpp
    from firmware.project import FirmwareProject

    project = FirmwareProject.load(tmp_path / made["project"])
    codes = project.contract.codes(np.random.default_rng(2).gamma(1, 2, (500, inputs)))
    theirs = np.asarray(keras.saving.load_model(tmp_path / "mine.keras")(project.contract.network_input(codes)))
    port = project.manifest.outputs.fixed_point
    np.testing.assert_array_equal(port.values(cpp.run(project, codes)), theirs)
    assert len(np.unique(theirs, axis=0)) > 100

    planned = call("synth", made["project"], "--stage", "hls", "--dry-run")["commands"]
    assert any(re.search(r"vitis|vivado|v\+\+", one) for one in planned)


def test_a_contract_of_another_shape(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    start = keras.Input((5, 5, 1))
    x = qkeras.QActivation("quantized_bits(7,5,keep_negative=0,alpha=1)")(start)
    weights = {"kernel_quantizer": "quantized_bits(5,1,alpha=1)", "use_bias": False}
    x = keras.layers.Flatten()(qkeras.QConv2D(1, 3, **weights)(x))
    keras.Model(start, qkeras.QDense(2, **weights)(x)).save(tmp_path / "mine.keras")

    def refused(text):
        (tmp_path / "contract.yaml").write_text(text)
        assert cli.status_of(["convert", "mine.keras", "--inputs", "contract.yaml"]) == 2
        out, err = capsys.readouterr()
        assert (out, "Traceback" in err) == ("", False)
        assert not (tmp_path / "vivado_projects").exists()
        return " ".join(err.split())

    text, found = image_contract(), "the network's input has shape (5, 5, 1), the contract describes"
    assert f"{found} (25,)" in refused(text.replace("shape: [5, 5, 1]\n", ""))
    assert f"{found} (5, 1, 5)" in refused(text.replace("[5, 5, 1]", "[5, 1, 5]"))
    assert "a shape of [4, 5, 1] does not hold 25 inputs" in refused(text.replace("[5, 5, 1]", "[4, 5, 1]"))
    assert "the network has 2 outputs, the contract names 3" in refused(text.replace("[signal,", "[signal, other,"))
    other = refused(text.replace("<7,5,", "<8,5,"))
    assert "the contract's inputs are ap_ufixed<8,5,AP_RND_CONV,AP_SAT>, the network casts its input to" in other
