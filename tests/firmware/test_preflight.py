"""What is said before a run of hours: each finding alone, at its bound, and none for a good project."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from firmware import preflight as module
from firmware.preflight import preflight
from firmware.project import FirmwareProject


@pytest.fixture
def copy(project, tmp_path):
    """A copy of the project to be edited."""
    shutil.copytree(project.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("build", "ap_types", "nnet_utils"))
    for folder in ("ap_types", "nnet_utils"):
        (tmp_path / "copy" / "firmware" / folder).symlink_to(project.folder / "firmware" / folder)
    return FirmwareProject.load(tmp_path / "copy")


def edit(project, name, *changes):
    path = project.folder / "firmware" / name
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text)


def on(project, part=None, **backend):
    """The project for another part, or with other options."""
    target = project.target.model_copy(update={"backend": project.target.backend.model_copy(update=backend)})
    return replace(project, target=target.model_copy(update={"part": part}) if part else target)


def said(project, design="cpp", subject=None):
    return [
        (one.subject, one.fatal, one.sentence) for one in preflight(project, design) if subject in (None, one.subject)
    ]


def test_nothing_of_a_good_project(project):
    assert preflight(project) == preflight(project, "rtl") == ()
    for part in ("xc7z020clg400-1", "xcku115-flvb2104-2-i", "xcu55c-fsvh2892-2L-e", "xcvc1902-vsva2197-2MP-e-S"):
        assert preflight(on(project, part)) == ()


def test_too_large_to_be_unrolled(project, monkeypatch):
    monkeypatch.setattr(module, "UNROLLED", 48)
    assert preflight(project) == ()
    monkeypatch.setattr(module, "UNROLLED", 47)
    ((layer, fatal, sentence),) = said(project)
    assert (layer, fatal) == ("dense1", False)
    assert sentence.startswith(
        "48 weights are unrolled by the latency strategy, more than 47: Vitis HLS takes hours over that;"
    )
    assert "the resource strategy with a reuse factor would be right" in sentence
    ((layer, fatal, sentence),) = said(on(project, tool="vivado"))
    assert (layer, fatal) == ("dense1", True)
    assert "Vivado HLS refuses that" in sentence
    assert preflight(on(project, tool="vivado"), "rtl") == (), "our own Verilog is not made by HLS"
    assert preflight(on(project, tool="vivado", strategy="resource")) == ()
    resource = project.target.backend.model_validate({"kind": "hls", "layers": {"dense1": {"strategy": "resource"}}})
    assert preflight(on(project, layers=resource.layers)) == ()


def test_reuse_factors_that_do_not_divide(copy):
    text = (copy.folder / "firmware" / "parameters.h").read_text()
    edited = text.replace("reuse_factor = 1;", "reuse_factor = 6;", 1)
    (copy.folder / "firmware" / "parameters.h").write_text(edited)
    assert preflight(on(copy, strategy="resource")) == ()
    (copy.folder / "firmware" / "parameters.h").write_text(edited.replace("reuse_factor = 6;", "reuse_factor = 7;"))
    wrong = ("dense1", True, "a reuse factor of 7 does not divide its 48 multiplications")
    assert said(on(copy, strategy="resource")) == [wrong]
    assert preflight(on(copy, strategy="resource"), "rtl") == ()
    assert preflight(copy) == (), "with the latency strategy it is a hint to the scheduler"


@pytest.mark.parametrize(
    ("width", "part", "bits"),
    [
        (48, "xcvu13p-flga2577-2-e", None),
        (49, "xcvu13p-flga2577-2-e", "UltraScale+ 48"),
        (49, "xc7z020clg400-1", "Zynq-7000 48"),
        (70, "xcvu13p-flga2577-2-e", "UltraScale+ 48"),
        (58, "xcvc1902-vsva2197-2MP-e-S", None),
        (59, "xcvc1902-vsva2197-2MP-e-S", "Versal AI Core 58"),
    ],
)
def test_accumulators_wider_than_a_dsp(copy, width, part, bits):
    edit(copy, "defines.h", ("ap_fixed<16,7> dense1_accum_t", f"ap_fixed<{width},7> dense1_accum_t"))
    found = said(on(copy, part))
    if bits is None:
        assert found == []
    else:
        ((layer, fatal, sentence),) = found
        assert (layer, fatal) == ("dense1", False)
        assert f"its accumulator has {width} bits" in sentence
        assert bits in sentence


@pytest.mark.parametrize(
    ("weight", "source", "part", "shown"),
    [
        ("ap_fixed<27,1>", None, "xcvu13p-flga2577-2-e", None),
        ("ap_fixed<28,1>", None, "xcvu13p-flga2577-2-e", "6 x 28 bits do not fit the 18 x 27 multiplier"),
        ("ap_ufixed<27,1>", None, "xcvu13p-flga2577-2-e", "6 x 28 bits"),
        ("ap_fixed<25,1>", None, "xc7z020clg400-1", None),
        ("ap_fixed<26,1>", None, "xc7z020clg400-1", "6 x 26 bits do not fit the 18 x 25 multiplier"),
        ("ap_fixed<18,1>", "ap_ufixed<26,2>", "xcku115-flvb2104-2-i", None),
        ("ap_fixed<19,1>", "ap_ufixed<18,2>", "xcku115-flvb2104-2-i", "19 x 19 bits do not fit the 18 x 27 multiplier"),
        ("ap_fixed<18,1>", "ap_ufixed<27,2>", "xcku115-flvb2104-2-i", "18 x 28 bits"),
        ("ap_fixed<19,1>", "ap_ufixed<18,2>", "xcvc1902-vsva2197-2MP-e-S", None),
        (
            "ap_fixed<25,1>",
            "ap_ufixed<24,2>",
            "xcvc1902-vsva2197-2MP-e-S",
            "25 x 25 bits do not fit the 24 x 27 multiplier",
        ),
    ],
)
def test_operands_wider_than_a_multiplier(copy, weight, source, part, shown):
    edit(copy, "defines.h", ("ap_fixed<5,1> dense2_weight_t", f"{weight} dense2_weight_t"))
    if source:
        edit(copy, "defines.h", ("ap_ufixed<5,2,AP_RND_CONV,AP_SAT,0> dense1_t", f"{source} dense1_t"))
    found = said(on(copy, part))
    if shown is None:
        assert found == []
    else:
        ((layer, fatal, sentence),) = found
        assert (layer, fatal) == ("dense2", False)
        assert shown in sentence
        assert "each multiplication takes two or more" in sentence


def with_bits(project, inputs, outputs):
    """The project with ports of other widths."""
    ports = {
        "inputs": project.manifest.inputs.model_copy(update={"format": f"ap_fixed<{inputs},5>"}),
        "outputs": project.manifest.outputs.model_copy(update={"format": f"ap_fixed<{outputs},5>"}),
    }
    return replace(project, manifest=project.manifest.model_copy(update=ports))


@pytest.mark.parametrize("design", ["cpp", "rtl"])
def test_more_bits_than_pins(project, design):
    """Six inputs and three outputs; the part has 300 pins."""
    part = "xc7a100tcsg324-1"
    assert said(on(with_bits(project, 45, 10), part), design, "ports") == []
    wide = with_bits(project, 45, 11)
    ((_, fatal, sentence),) = said(on(wide, part), design, "ports")
    assert not fatal
    assert sentence.startswith("303 bits of inputs and outputs, 300 pins: fine out of context")
    assert said(wide, design, "ports") == []
    card = on(with_bits(project, 60, 60), "xcu55c-fsvh2892-2L-e")
    assert said(card, design, "ports") == [], "a card's pins are not known"


def costing(project, tables):
    rtl = project.manifest.rtl.model_copy(update={"cost": float(tables)})
    return replace(project, manifest=project.manifest.model_copy(update={"rtl": rtl}))


@pytest.mark.parametrize(
    ("part", "tables", "message", "fatal"),
    [
        ("xc7z020clg400-1", 53_200, None, False),
        ("xc7z020clg400-1", 53_201, "about 53,201 look-up tables are expected{}, the xc7z020 has 53,200", True),
        ("xcvu13p-flga2577-2-e", 432_000, None, False),
        (
            "xcvu13p-flga2577-2-e",
            432_001,
            "about 432,001 look-up tables are expected, one of the 4 dies has 432,000",
            False,
        ),
        (
            "xcvu13p-flga2577-2-e",
            1_728_000,
            "about 1,728,000 look-up tables are expected, one of the 4 dies has",
            False,
        ),
        (
            "xcvu13p-flga2577-2-e",
            1_728_001,
            "about 1,728,001 look-up tables are expected{}, the xcvu13p has 1,728,000",
            True,
        ),
    ],
)
def test_an_expected_size_that_does_not_fit(project, part, tables, message, fatal):
    large = costing(on(project, part), tables)
    for design in ("cpp", "rtl"):
        # The C++ may share multipliers, so that for it the size of the Verilog forbids nothing.
        found = said(large, design)
        if message is None:
            assert found == []
        else:
            ((subject, forbids, sentence),) = found
            assert (subject, forbids) == ("size", fatal and design == "rtl")
            assert sentence.startswith(message.format("" if design == "rtl" else ", if all is unrolled"))


def test_a_project_without_verilog(project):
    without = replace(project, manifest=project.manifest.model_copy(update={"rtl": None}))
    assert preflight(on(without, "xc7z020clg400-1")) == ()
