"""Accept bits: right in every engine, wrong ones are found at the threshold, and nothing is written that decides nothing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from firmware import decision as decisions
from firmware.decision import Cut, load, prove, write
from firmware.engines import cpp
from firmware.engines import decision as engine
from firmware.project import FirmwareProject, Wire, convert
from firmware.target import load_target
from trigger.errors import InputError, UnsupportedError
from trigger.verdict import Status

CUTS = (
    Cut(name="plain", output="a", threshold=-37),
    Cut(name="over_rest", output="b", against=("a", "c"), threshold=-12),
    Cut(name="over_one", output="c", against=("a",), threshold=30),
    Cut(name="below_zero", output="c", threshold=-300),
    Cut(name="last", output="b", threshold=1023),
)


def copied(project, folder):
    shutil.copytree(project.folder, folder)  # with what was compiled
    return FirmwareProject.load(folder)


def with_manifest(project, **changes):
    return FirmwareProject(
        project.folder, project.manifest.model_copy(update=changes), project.contract, project.target
    )


@pytest.fixture(scope="module")
def decided(project, tmp_path_factory):
    """A copy of the project with accept bits that were compiled, and what comparing them gave."""
    copy = copied(project, tmp_path_factory.mktemp("decided") / project.folder.name)
    made = write(copy, CUTS)
    return copy, made, prove(copy, made, copy.physics_codes(), threads=2)


@pytest.fixture
def copy(decided, tmp_path):
    return copied(decided[0], tmp_path / decided[0].folder.name)


def test_every_bit_is_the_comparison(decided):
    project, made, result = decided
    assert load(project) == made
    assert result.agrees
    assert [one.engine for one in result.agreements] == ["decision_cpp", "decision_rtl"]
    codes = cpp.run(project, project.physics_codes())
    a, b, c = codes.T
    expected = [a >= -37, b - np.maximum(a, c) >= -12, c - a >= 30, c >= -300, b >= 1023]
    for one in result.agreements:
        assert (one.events, len(one.differing), one.differing_codes) == (400, 5, 0)
        assert one.bits == 5 * (one.events + one.trials)
        assert one.accepted == tuple(int(bit.sum()) for bit in expected)
    assert 0 < result.agreements[0].accepted[1] < 400
    for requirement in result.requirements():
        assert (requirement.status, requirement.figure, requirement.limit) == (Status.PASS, 0, "== 0")
        assert "accepted: plain" in requirement.note
    assert [one.name for one in result.requirements()] == ["bits:decision_cpp", "bits:decision_rtl"]


def test_trials_are_at_every_threshold(decided):
    project, made, _ = decided
    elements = project.manifest.outputs.elements
    port = project.manifest.outputs.fixed_point
    trials = decisions._trials(project, made.cuts, decisions._port_grid(project))
    assert (trials.min(axis=0) == port.min_code).all()
    assert (trials.max(axis=0) == port.max_code).all()
    for cut in made.cuts:
        score = trials[:, elements.index(cut.output)]
        others = [elements.index(name) for name in cut.against]
        if others:
            for other in others:  # each of them is the largest in some
                at = (trials[:, others].max(axis=1) == trials[:, other]) & (
                    score - trials[:, other] == cut.threshold - 1
                )
                assert at.sum() > 50
            score = score - trials[:, others].max(axis=1)
        assert min((score == cut.threshold + distance).sum() for distance in (-1, 0)) > 100


def test_the_project_is_the_same_with_accept_bits(decided, network, contract, project):
    copy, made, _ = decided
    assert copy.digest() == project.digest()
    assert copy.edited() == []
    again = convert(network, contract, load_target("vu13p"), "tiny", copy.folder.parent, project.physics_codes())
    assert again.folder == copy.folder
    assert load(again) == made
    assert load(project) is None


def test_what_is_written(decided):
    project, made, _ = decided
    folder = project.folder / "decision"
    assert sorted(made.files) == ["jetgate_decision.h", "tiny_decision.cpp", "tiny_decision.v"]
    assert "constexpr long long threshold_over_rest = -12;" in (folder / "jetgate_decision.h").read_text()
    function = (folder / "tiny_decision.cpp").read_text()
    network = (project.folder / "firmware" / "tiny.cpp").read_text()
    assert "#pragma HLS INTERFACE ap_vld port=accept" in function
    for pragma in ("ARRAY_RESHAPE variable=inputs", "ARRAY_PARTITION variable=layer7_out", "#pragma HLS PIPELINE"):
        assert pragma in network
        assert pragma in function
    assert "output wire [4:0] accept" in (folder / "tiny_decision.v").read_text()


def test_a_reference_that_differs_is_found(decided):
    project, made, before = decided
    codes = project.physics_codes()
    reference = cpp.run(project, codes)
    assert prove(project, made, codes, 2, reference).agrees
    wrong = reference.copy()
    wrong[7, 0] = -37 if reference[7, 0] < -37 else -38
    result = prove(project, made, codes, 2, wrong)
    for one in result.agreements:
        assert one.bits == 5 * (2 * one.events + one.trials)
        assert one.differing[0] == 1
        assert "first difference in reference event 7, cut 'plain' at -37" in one.first
    assert not before.agreements[0].first


def test_faults_are_found_in_the_cuts_that_have_them(copy):
    """A threshold one too high, `>` for `>=` and a comparison without signs, each in a cut of its own, in both languages; and
    in the C++ outputs that are not passed on.
    """
    folder = copy.folder / "decision"
    header, function, verilog = (folder / name for name in load(copy).files)
    faults = {
        header: (
            ("threshold_plain = -37", "threshold_plain = -36"),
            ("score_over_rest >= score_t", "score_over_rest > score_t"),
            ("score_below_zero >= score_t(", "ap_uint<12>(score_below_zero) >= ap_uint<12>("),
        ),
        function: (("outputs[i] = found[i]", "outputs[i] = found[0]"),),
        verilog: (
            ("threshold_plain = -12'sd37", "threshold_plain = -12'sd36"),
            ("score_over_rest >= threshold", "score_over_rest > threshold"),
            (
                "score_below_zero >= threshold_below_zero",
                "$unsigned(score_below_zero) >= $unsigned(threshold_below_zero)",
            ),
        ),
    }
    for path, changes in faults.items():
        text = path.read_text()
        for good, bad in changes:
            assert text.count(good) == 1
            text = text.replace(good, bad)
        path.write_text(text)
    result = prove(copy, load(copy), copy.physics_codes(), threads=2)
    assert not result.agrees
    for one in result.agreements:
        assert [count > 0 for count in one.differing] == [True, True, False, True, False]
        assert (one.differing_codes > 0) == (one.engine == "decision_cpp")
    names = ("jetgate_decision.h, tiny_decision.cpp", "tiny_decision.v")
    for requirement, name in zip(result.requirements(), names, strict=True):
        assert requirement.status is Status.FAIL
        assert requirement.note.endswith(f"edited after it was written: {name}")
        assert "first difference in" in requirement.note


def test_wires_of_every_shape(decided, tmp_path):
    """Another module in the network's place, each output a part of an input: coarse, without a sign, finer than a code (with zeros
    behind), constant, of one bit, and wider than the port.
    """
    copy = copied(decided[0], tmp_path / "copy")
    shapes = {
        "a": (True, 2, 5),
        "b": (False, 3, 7),
        "c": (True, 2, 9),
        "d": (False, 0, 0),
        "e": (True, 0, 0),
        "f": (False, 4, 6),
    }
    wires = tuple(
        Wire(signed=signed, integer=integer, fraction=fraction) for signed, integer, fraction in shapes.values()
    )
    for path in (copy.folder / "rtl" / "src").rglob("*.v"):
        path.unlink()
    (copy.folder / "rtl" / "src" / "tiny.v").write_text("""`timescale 1 ns / 1 ps
module tiny (input clk, input wire [59:0] model_inp, output reg [40:0] model_out);
    always @(posedge clk) model_out <= {model_inp[59:50], model_inp[40], model_inp[29:20], 2'b0, model_inp[19:10], model_inp[7:0]};
endmodule
""")
    elements = tuple(shapes)
    other = with_manifest(
        copy, rtl=copy.manifest.rtl.model_copy(update={"latency_cycles": 0, "outputs": wires}),
        outputs=copy.manifest.outputs.model_copy(update={"elements": elements}),
    )  # fmt: skip
    cuts = (
        Cut(name="coarse", output="a", threshold=-5),
        Cut(name="no_sign", output="b", against=("e",), threshold=600),
        Cut(name="finer", output="c", threshold=-100),
        Cut(name="constant", output="d", against=("c",), threshold=70),
        Cut(name="one_bit", output="e", threshold=-1),
        Cut(name="wide", output="f", against=("a", "b", "c", "d", "e"), threshold=7),
    )
    write(other, cuts)
    library = cpp.load(engine.build_rtl(other, len(cuts)))
    codes = np.random.default_rng(1).integers(-512, 512, (2000, 6))
    raw = codes & 1023
    expected = [
        4 * ((raw[:, 0] & 255 ^ 128) - 128),
        raw[:, 1],
        codes[:, 2],
        0 * raw[:, 3],
        -128 * (raw[:, 4] & 1),
        2 * raw[:, 5],
    ]
    a, b, c, d, e, f = expected
    highest = np.max([a, b, c, d, e], axis=0)
    bits = np.stack([a >= -5, b - e >= 600, c >= -100, d - c >= 70, e >= -1, f - highest >= 7], axis=1)
    outputs, found = engine.run_rtl(library, other, len(cuts), codes, threads=2)
    np.testing.assert_array_equal(outputs, np.stack(expected, axis=1))
    np.testing.assert_array_equal(found, bits)
    assert ((bits.sum(axis=0) > 100) & (bits.sum(axis=0) < 1900)).all()
    trials = decisions._trials(other, cuts, decisions._wire_grid(other))
    accepted = np.stack([cut.accepts(trials, elements) for cut in cuts], axis=1)
    np.testing.assert_array_equal(engine.compare_rtl(library, other, len(cuts), trials), accepted)
    assert (
        (trials[:, 0] >= -8) & (trials[:, 0] < -4)
    ).sum() > 100  # the last code below the threshold, and the first at it
    assert ((trials[:, 0] >= -4) & (trials[:, 0] < 0)).sum() > 100
    distance = trials[:, 5] - trials[:, :5].max(axis=1)
    assert min(((distance >= 5) & (distance < 7)).sum(), ((distance >= 7) & (distance < 9)).sum()) > 50


def test_a_project_without_verilog(copy):
    without = with_manifest(copy, rtl=None)
    made = write(without, CUTS[:1])
    assert sorted(made.files) == ["jetgate_decision.h", "tiny_decision.cpp"]
    cpp_bits, rtl_bits = prove(without, made, copy.physics_codes()).requirements()
    assert (cpp_bits.name, cpp_bits.status) == ("bits:decision_cpp", Status.PASS)
    assert (rtl_bits.name, rtl_bits.status, rtl_bits.required) == ("bits:decision_rtl", Status.NOT_MEASURED, False)
    assert rtl_bits.note == "this project has no Verilog"
    with pytest.raises(InputError, match="this project has no Verilog"):
        engine.build_rtl(without, 1)


def test_thresholds_of_other_sources_are_stale(copy):
    made = load(copy)
    path = copy.folder / "firmware" / "tiny.cpp"
    path.write_text(path.read_text() + "\n// changed\n")
    stale = r"decision: the thresholds were written for other sources of this firmware: their digest was \w{10}, now it is \w{10}"
    with pytest.raises(InputError, match=stale):
        load(copy)
    with pytest.raises(InputError, match=stale):
        prove(copy, made, copy.physics_codes())


def test_what_is_written_last_counts(copy):
    made = load(copy)
    again = write(copy, CUTS[:2])
    assert load(copy) == again != made
    with pytest.raises(InputError, match="these are not the accept bits that are written there; load them anew"):
        prove(copy, made, copy.physics_codes())
    with pytest.raises(InputError, match="there are no events to compare accept bits on"):
        prove(copy, again, np.zeros((0, 6), dtype=np.int64))
    with pytest.raises(InputError, match=r"codes of shape \(4, 2\) do not fit 3 events of 3 outputs"):
        prove(copy, again, np.zeros((3, 6), dtype=np.int64), reference=np.zeros((4, 2), dtype=np.int64))


def test_a_decision_that_is_broken(copy):
    folder = copy.folder / "decision"
    text = (folder / "decision.json").read_text()
    (folder / "decision.json").write_text(text.replace('"plain"', '"module"'))
    with pytest.raises(InputError, match="cut 'module': that is a word of C"):
        load(copy)
    (folder / "decision.json").write_text(text.replace('"threshold": -37', '"threshold": -37.5'))
    with pytest.raises(InputError, match=r"decision.json: 1 entries are missing or wrong"):
        load(copy)
    (folder / "decision.json").write_text(text)
    (folder / "tiny_decision.v").unlink()
    with pytest.raises(InputError, match=r"sources of the accept bits are missing: tiny_decision.v"):
        load(copy)
    shutil.rmtree(folder)
    assert load(copy) is None


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ([], "there is no cut: at least one accept bit would be right"),
        ([Cut(name="x", output="A", threshold=0)], "cut 'x': the firmware has no output 'A'; nearest: 'a'"),
        ([Cut(name="x", output="a", against=("d",), threshold=0)], "cut 'x': the firmware has no output 'd'; nearest: 'a', 'b', 'c'"),
        ([Cut(name="x", output="a", against=("b", "a"), threshold=0)], "cut 'x': 'a' is held against itself"),
        ([Cut(name="x", output="a", against=("b", "b"), threshold=0)], "cut 'x': an output is named twice in b, b"),
        ([Cut(name="x", output="a", threshold=1024)], "a threshold of 1024 it would never accept: a code of ap_fixed<11,4,.*> is from -1024 to 1023"),
        ([Cut(name="x", output="a", threshold=-1025)], "a threshold of -1025 it would always accept"),
        ([Cut(name="x", output="a", against=("b",), threshold=2048)], "never accept: the difference of two codes of .* is from -2047 to 2047"),
        ([Cut(name="x", output="a", threshold=1), Cut(name="x", output="b", threshold=1)], "two cuts are called 'x'"),
        ([Cut(name="wire", output="a", threshold=1)], "cut 'wire': that is a word of C.. or Verilog; another name, such as 'wire_cut'"),
        ([Cut(name="double", output="a", threshold=1)], "cut 'double': that is a word of C"),
        ([Cut(name="1x", output="a", threshold=1)], "cut '1x': its name is of letters, digits and '_', and begins with a letter"),
        ([Cut(name="x y", output="a", threshold=1)], "cut 'x y': its name is of letters"),
        ([Cut(name="", output="a", threshold=1)], "cut '': its name is of letters"),
    ],
)  # fmt: skip
def test_cuts_that_cannot_be_written(cuts, message, project):
    with pytest.raises(InputError, match=message):
        write(project, cuts)
    assert not (project.folder / "decision").exists()


def test_thresholds_are_integers():
    for wrong in (1.5, 2.0, "3", True):
        with pytest.raises(ValidationError):
            Cut(name="x", output="a", threshold=wrong)


def test_ports_that_cannot_have_accept_bits(project):
    streamed = project.manifest.outputs.model_copy(update={"word": 3})
    with pytest.raises(
        UnsupportedError, match=r"'layer7_out' is a stream of words of 3 elements.*'io: parallel' would"
    ):
        write(with_manifest(project, outputs=streamed), CUTS)
    taken = project.manifest.inputs.model_copy(update={"name": "accept"})
    with pytest.raises(UnsupportedError, match="a port of the network is called 'accept' already"):
        write(with_manifest(project, inputs=taken), CUTS)
