"""Figures without any tool: counted again bit by bit, and never without their uncertainty."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from firmware.backends.qkeras_layers import quantized_weights
from firmware.estimates import estimate, multiplications
from firmware.project import FirmwareProject, convert
from firmware.reports.report import Resources, Stage
from firmware.target import load_target
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec


@pytest.fixture
def copy(project, tmp_path):
    shutil.copytree(project.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("build"))
    return FirmwareProject.load(tmp_path / "copy")


def span(weight, fraction):
    """Bits from the first to the last 1, on paper."""
    scaled = weight * 2**fraction
    assert scaled == int(scaled)
    return len(format(abs(int(scaled)), "b").strip("0"))


def operations(kernel, input_bits):
    return sum(span(float(weight), 12) * input_bits for weight in kernel.ravel())


@pytest.mark.parametrize(
    ("weight", "bits"), [(0, 0), (0.5, 1), (1, 1), (-1, 1), (0.625, 3), (-0.9375, 4), (0.75, 2), (2.5, 3)]
)
def test_spans_on_paper(weight, bits):
    assert span(weight, 12) == bits


def test_bit_operations(project, network):
    found = multiplications(project)
    assert [one.layer for one in found] == ["dense1", "dense2", "logits"]
    total = 0
    for one, input_bits in zip(found, (10, 5, 5), strict=True):
        kernel, _ = quantized_weights(network.get_layer(one.layer))
        assert one.weights == kernel.size
        assert one.nonzero == sum(1 for weight in kernel.ravel() if weight != 0)
        assert one.bit_operations == operations(kernel, input_bits)
        assert (one.weight.width, one.source.width) == (5, input_bits)
        total += one.bit_operations
    assert f"{total:,} effective bit operations" in estimate(project).notes[1]


def test_an_edited_weight_is_seen(copy):
    before = {one.layer: one for one in multiplications(copy)}
    path = copy.folder / "firmware" / "weights" / "w5.h"
    text = path.read_text()
    first = re.search(r"= \{(-?[0-9.]+)", text)
    for spelled, bits in (("0.0000", 0), ("0.5000", 1), ("-0.9375", 4), ("-0.6250", 3)):
        path.write_text(text.replace(first[0], f"= {{{spelled}", 1))
        after = {one.layer: one for one in multiplications(copy)}
        assert after["dense1"] == before["dense1"]
        changed = after["dense2"].bit_operations - before["dense2"].bit_operations
        assert changed == 5 * (bits - span(float(first[1]), 4))
        assert after["dense2"].nonzero == before["dense2"].nonzero - (float(first[1]) != 0) + (bits > 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dense2_weight_t w5[32]", "dense2_weigth_t w5[32]"),
        ("w5[32] = {", "w5[32] = "),
        ("w5[32]", "w6[32]"),
        ("w5[32] = {", "w5[32] = {x, "),
    ],
)
def test_weights_that_are_not_as_they_were_written(copy, old, new):
    path = copy.folder / "firmware" / "weights" / "w5.h"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=r"firmware/weights/w5.h: the weights are not declared as hls4ml does"):
        multiplications(copy)


def test_the_cost_is_what_alkaid_wrote(project):
    said = json.loads((project.folder / "rtl" / "metadata.json").read_text())
    found = estimate(project)
    assert found.used == Resources(lut=round(said["cost"]), ff=said["reg_bits"])
    assert (found.stage, found.tool, found.design) == (Stage.ESTIMATE, None, "tiny")
    assert (found.part, found.clock_ns) == (project.target.part, project.target.clock_ns)
    # No time, no clock and no interval is taken from it.
    assert found.latency_cycles is found.latency_ns is found.interval_cycles is found.slack_ns is None


def test_the_uncertainty_is_stated(project):
    tables, operations_note = estimate(project).notes
    assert re.search(r"alkaid's cost, mean error 5\.3 % on twenty routed designs", tables)
    assert operations_note.endswith("about LUT + 55 DSP of an unrolled design by HLS; its error is not published")


def test_a_project_without_verilog(project):
    found = estimate(replace(project, manifest=project.manifest.model_copy(update={"rtl": None})))
    assert found.used == Resources()
    assert len(found.notes) == 1


def test_layers_on_particles_and_without_biases(tmp_path):
    """A weight that is applied to each of eight particles is unrolled eight times."""
    import keras
    from qkeras import QActivation, QDense, quantized_bits

    q = {"kernel_quantizer": quantized_bits(5, 1, alpha=1.0), "bias_quantizer": quantized_bits(5, 1, alpha=1.0)}
    start = keras.Input((8, 3))
    x = QDense(4, name="phi", use_bias=False, **q)(QActivation(quantized_bits(10, 3, alpha=1.0))(start))
    x = keras.layers.GlobalAveragePooling1D()(QActivation("quantized_relu(6,2)", name="relu")(x))
    model = keras.Model(start, QDense(2, name="rho", **q)(x))
    generator = np.random.default_rng(3)
    model.set_weights([generator.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    form = FixedPoint.parse("ap_fixed<10,4,AP_RND_CONV,AP_SAT>")
    inputs = tuple(Input(name=f"p{k}", format=form) for k in range(24))
    spec = InputSpec(inputs=inputs, outputs=("a", "b"), shape=(8, 3))
    made = convert(model, spec, load_target("vu13p"), "particles", tmp_path)
    phi, rho = multiplications(made)
    assert (phi.weights, rho.weights) == (12, 8)
    assert phi.bit_operations == 8 * operations(quantized_weights(model.get_layer("phi"))[0], 10)
    assert rho.bit_operations == operations(quantized_weights(model.get_layer("rho"))[0], rho.source.width)
    assert 6 <= rho.source.width <= 9
