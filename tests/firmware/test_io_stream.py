"""Networks whose words are streamed, a pixel a clock: the same bits, in the same order, and nothing left behind."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from firmware import divergence, vectors
from firmware.emulation import EmulationResult, Truth, emulate, engines_of, taps_of
from firmware.engines import cpp, testbench
from firmware.estimates import estimate, multiplications
from firmware.faults import Kind, sites_of
from firmware.precision import typedefs, words
from firmware.preflight import preflight
from firmware.project import FirmwareProject, convert
from firmware.target import load_target
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec
from trigger.verdict import Status

ROWS, COLUMNS, CHANNELS = 5, 4, 2
WIRE = FixedPoint.parse("ap_fixed<8,4,AP_RND_CONV,AP_SAT>")


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """A small convolution network with random weights, streamed and compiled."""
    import keras
    from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu

    inputs = tuple(Input(name=f"p{k}", format=WIRE) for k in range(ROWS * COLUMNS * CHANNELS))
    contract = InputSpec(inputs=inputs, outputs=("a", "b", "c"), shape=(ROWS, COLUMNS, CHANNELS))
    weights = {"kernel_quantizer": quantized_bits(5, 1, alpha=1.0), "bias_quantizer": quantized_bits(5, 1, alpha=1.0)}
    x = start = keras.Input((ROWS, COLUMNS, CHANNELS))
    x = QActivation(quantized_bits(8, 3, alpha=1.0), name="cast")(x)
    x = QConv2D(3, 3, padding="same", activation=quantized_relu(6, 2), name="conv", **weights)(x)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Flatten(name="flat")(x)
    model = keras.Model(start, QDense(3, name="logits", **weights)(x))
    generator = np.random.default_rng(7)
    model.set_weights([generator.normal(0, 0.6, weight.shape) for weight in model.get_weights()])
    physics = generator.integers(-100, 100, (200, len(inputs)))
    made = convert(
        model, contract, load_target("vu9p_stream"), "streamed", tmp_path_factory.mktemp("projects"), physics
    )
    cpp.build(made)
    return made


def copied(project, folder):
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("build"))
    return FirmwareProject.load(folder)


def test_a_word_is_a_pixel_and_there_is_no_verilog(streamed):
    assert (streamed.manifest.inputs.word, streamed.manifest.inputs.words) == (CHANNELS, ROWS * COLUMNS)
    assert (streamed.manifest.outputs.word, streamed.manifest.outputs.words) == (3, 1)
    top = (streamed.folder / "firmware" / "streamed.cpp").read_text()
    assert re.search(r"hls::stream<input_layer\w*_t> &", top)
    assert streamed.manifest.rtl is None
    assert not (streamed.folder / "rtl").exists()
    assert engines_of(streamed) == ("integer", "cpp")


def test_no_bit_differs(streamed, tmp_path):
    result = emulate(streamed, random_vectors=2000, threads=2)
    assert result.agrees
    compared = {(one.engine, one.vectors) for one in result.agreements}
    kinds = ("physics", "boundary", "saturation", "ties", "random")
    assert compared == {(engine, kind) for engine in ("integer", "cpp") for kind in kinds}
    assert result.physics.shape == (200, 3)
    assert len(np.unique(result.physics, axis=0)) > 100
    absent = next(one for one in result.requirements() if one.name == "bits:rtl")
    assert (absent.status, absent.required) == (Status.NOT_MEASURED, False)
    assert "the ports are streams" in absent.note
    assert result.verdict().overall == "PASS"
    result.save(tmp_path / "emulation.json")
    assert EmulationResult.load(tmp_path / "emulation.json").absent == result.absent


def test_every_thread_has_lines_of_its_own(streamed):
    headers = (streamed.folder / "firmware" / "nnet_utils").glob("*_stream.h")
    kept = [line for path in headers for line in path.read_text().splitlines() if "static JETGATE_LINES " in line]
    assert any("line_buffer" in line for line in kept)
    assert any("int pX = 0;" in line for line in kept)
    codes = np.random.default_rng(1).integers(WIRE.min_code, WIRE.max_code + 1, (3001, ROWS * COLUMNS * CHANNELS))
    once = cpp.run(streamed, codes, threads=1)
    for _ in range(3):
        np.testing.assert_array_equal(cpp.run(streamed, codes, threads=4), once)


def test_a_flipped_weight_is_found_and_named(streamed, tmp_path):
    copy = copied(streamed, tmp_path / "copy")
    path = next(path for path in (copy.folder / "firmware" / "weights").glob("w*.h") if "logits" in path.read_text())
    text = path.read_text()
    first = re.search(r"= \{(-?[0-9.]+)", text)
    path.write_text(text.replace(first[0], f"= {{{float(first[1]) + (0.5 if float(first[1]) < 0 else -0.5)}", 1))
    truth = Truth.of(copy)
    group = vectors.random(copy.contract, 500, 1)
    library = cpp.load(cpp.build_traced(copy))
    assert (cpp.run_library(library, copy, group.codes) != truth.codes(group)).any()
    layers = cpp.layers(copy)[0]
    assert [(one.name, one.size) for one in layers] == [("conv", 60), ("pool", 12), ("logits", 3)]
    taps = taps_of(truth.circuit, cpp.trace_library(library.jetgate_trace, layers, group.codes))
    found = divergence.first_difference("cpp", "random", truth.circuit, group.codes, taps)
    assert found.layer == "logits", "the layers before it agree, each code of them"
    assert found.causes[0].startswith("weight from 0 to neuron 0: ")


TOP = """#include "streamed.h"
// Channel 1 of pixel 7, channel 0 of the last, channel 1 of the first; what the first code says goes wrong.
void streamed(hls::stream<@IN@> &in, hls::stream<@OUT@> &out) {
    @IN@ first = in.read(), seventh = first, last = first;
    const int fault = first[0].range(7, 0).to_int();
    for (int i = 1; i < @WORDS@ - (fault == 1); i++) {
        last = in.read();
        if (i == 7)
            seventh = last;
    }
    if (fault == 2)
        in.read();
    @OUT@ result;
    result[0].range() = ap_int<8>(seventh[1].range(7, 0));
    result[1].range() = ap_int<8>(last[0].range(7, 0));
    result[2].range() = ap_int<8>(first[1].range(7, 0));
    for (int i = 0; i < 1 + (fault == 3) - (fault == 4); i++)
        out.write(result);
}
"""


def test_order_of_elements_and_nothing_left(streamed, tmp_path):
    """The order is the contract's: row by row, all channels of a pixel together."""
    copy = copied(streamed, tmp_path / "copy")
    ports = copy.manifest.inputs, copy.manifest.outputs
    text = TOP.replace("@IN@", ports[0].cpp_type).replace("@OUT@", ports[1].cpp_type)
    source = text.replace("@WORDS@", str(ROWS * COLUMNS))
    (copy.folder / "firmware" / "streamed.cpp").write_text(source)
    codes = np.random.default_rng(2).integers(5, 100, (50, ROWS, COLUMNS, CHANNELS))
    flat = codes.reshape(50, -1)
    expected = np.stack([codes[:, 7 // COLUMNS, 7 % COLUMNS, 1], codes[:, -1, -1, 0], codes[:, 0, 0, 1]], axis=1)
    np.testing.assert_array_equal(cpp.run(copy, flat, threads=3), expected)
    for fault, message in (
        (1, "event 31: stream 'inputs' is left with 1 words"),
        (2, "event 31: stream 'inputs' is read while it is empty"),
        (3, "event 31: the output is not one event"),
        (4, "event 31: the output is not one event"),
    ):
        wrong = flat.copy()
        wrong[31, 0] = fault
        with pytest.raises(InputError, match=message):
            cpp.run(copy, wrong, threads=2)
    np.testing.assert_array_equal(cpp.run(copy, flat), expected)


def test_the_test_bench_passes(streamed):
    outcome = testbench.run(streamed)
    assert outcome.passed
    assert int(outcome.sentence.split()[5]) > 500


def test_scripts(streamed):
    settings = (streamed.folder / "tcl" / "settings.tcl").read_text()
    assert "set part {xcvu9p-flga2104-2L-e}" in settings
    assert "set clock_ns {5}" in settings
    assert {path.name for path in (streamed.folder / "tcl").glob("*.xdc")} == {"cpp.xdc"}


def test_types_of_words(streamed):
    declared = (streamed.folder / "firmware" / "defines.h").read_text()
    types, sizes = typedefs(declared), words(declared)
    source = streamed.manifest.inputs
    assert types[source.cpp_type] == WIRE
    assert sizes[source.cpp_type] == CHANNELS
    truth = Truth.of(streamed)
    generator = np.random.default_rng(1)
    for kind in (Kind.ROUNDING, Kind.SATURATION, Kind.SHIFT):
        sites = sites_of(kind, truth, generator)
        assert {one.layer for one in sites} >= {"conv"}
        for one in sites:
            changed = typedefs(declared.replace(one.before, one.after))
            assert changed.keys() == types.keys()
            assert [name for name in types if changed[name] != types[name]] == [one.before.split()[-1].rstrip(";")]
            assert words(declared.replace(one.before, one.after)) == sizes


def test_what_is_not_known_is_not_said(streamed):
    """Twenty pixels at 5 ns are four bunch crossings, and five copies."""
    assert [(one.layer, one.weights, one.positions) for one in multiplications(streamed)] == [
        ("conv", 54, 20), ("logits", 36, 1)
    ]  # fmt: skip
    report = estimate(streamed)
    assert (report.latency_cycles, report.interval_cycles, report.used.lut) == (None, None, None)
    assert any(
        "an event comes in 20 words, one a clock: at least 20 clocks (100 ns) apart" in note for note in report.notes
    )
    (finding,) = [one for one in preflight(streamed) if one.subject == "interval"]
    assert not finding.fatal
    assert "more than a bunch crossing of 24.951 ns: events of every crossing take 5 copies" in finding.sentence


@pytest.mark.parametrize(("kind", "shape", "outputs"), [("Dot", (6,), 1), ("Permute", (4, 3), 12)])
def test_what_cannot_be_streamed(tmp_path, kind, shape, outputs):
    import keras
    from qkeras import QActivation, QDense, quantized_bits

    start = keras.Input(shape)
    x = QActivation(quantized_bits(8, 3, alpha=1.0), name="cast")(start)
    weights = {"kernel_quantizer": quantized_bits(5, 1, alpha=1.0), "bias_quantizer": quantized_bits(5, 1, alpha=1.0)}
    x = QDense(3, name="dense", **weights)(x)
    last = (
        keras.layers.Dot(axes=1, name="last")([x, x]) if kind == "Dot" else keras.layers.Permute((2, 1), name="last")(x)
    )
    contract = InputSpec(
        inputs=tuple(Input(name=f"p{k}", format=WIRE) for k in range(int(np.prod(shape)))),
        outputs=tuple(f"y{k}" for k in range(outputs)), shape=shape,
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match=f"layer 'last': a {kind} cannot be streamed by hls4ml; 'io: parallel'"):
        convert(keras.Model(start, last), contract, load_target("vu9p_stream"), "last", tmp_path)
    assert not list(tmp_path.iterdir())
