"""Targets: parts and what they have, clocks, flows, releases and budgets, and what is said where they are wrong."""

from __future__ import annotations

import pytest

from firmware.budget import limits
from firmware.device import DEVICES, find_device, reported_device, same_part
from firmware.target import Target, load_target
from trigger.config import dump, packaged, parse
from trigger.errors import InputError


def target(more):
    return parse(
        f"name: t\npart: xcvu13p-flga2577-2-e\nclock_ns: 2.5\nbackend: {{kind: hls}}\n{more}\n", Target, "t.yaml"
    )


@pytest.mark.parametrize("name", packaged("firmware", "targets"))
def test_packaged_targets(name):
    packed = load_target(name)
    assert packed.name == name
    assert find_device(packed.part).lut > 0
    found = {(str(one.stage), one.figure): one for one in limits(packed.budget)}
    judged = {stage for stage, figure in found if figure == "lut"} & {"open", "estimate"}
    assert len(judged) == (packed.backend.without_verilog is None), "our own Verilog is read by Yosys, or estimated"
    assert all(one.required for (stage, _), one in found.items() if stage in judged)
    assert not found["implementation", "slack_ns"].required
    assert found["implementation", "slack_ns"].bound == 0
    assert parse(dump(packed), Target, name) == packed


@pytest.mark.parametrize(
    ("part", "device"),
    [("xcvu13p-flga2577-2-e", "xcvu13p"), ("xcvu9p-flga2104-2L-e", "xcvu9p"), ("xcku115-flvb2104-2-i", "xcku115"),
     ("xc7vx690tffg1927-2", "xc7vx690t"), ("xc7z020clg400-1", "xc7z020"), ("xc7z020-clg400-1", "xc7z020"),
     ("xcu250-figd2104-2L-e", "xcu250"), ("xcvu35p-fsvh2104-3-e", "xcvu35p"), ("xcu55c-fsvh2892-2L-e", "xcu55c"),
     ("xcku5p-ffvb676-2-e", "xcku5p"), ("xczu9eg-ffvb1156-2-e", "xczu9eg"), ("xcvu3p-ffvc1517-2-i", "xcvu3p"),
     ("xcvc1902-vsva2197-2MP-e-S", "xcvc1902"), ("xck26-sfvc784-2LV-c", "xck26"), ("xc7a35ticsg324-1L", "xc7a35t")],
)  # fmt: skip
def test_parts(part, device):
    assert find_device(part) is DEVICES[device]
    assert reported_device(part) is DEVICES[device]
    assert load_target("vu13p", (f"part={part}",)).part == part


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("xcvu14p-flga2577-2-e", "its device is not known; nearest: 'xcvu1.p', 'xcvu1"),
        ("xc7z021clg400-1", "its device is not known; nearest: .*'xc7z020'"),
        ("xcu55n-fsvh2892-2L-e", "its device is not known; nearest: .*'xcu55c'"),
        ("xcku5-ffvb676-2-e", "its device is not known; nearest: 'xcku5p'"),
        ("vu13p", "is not spelled device-package-speed; right would be 'xcvu13p-flga2577-2-e'"),
        ("xcvu13p", "is not spelled"),
        ("xcvu13p-flga2577", "is not spelled"),
        ("xcvu13p-flga2577-4-e", "is not spelled"),
        ("XCVU13P-FLGA2577-2-E", "is not spelled"),
        ("xcvu13p-flga2577-2-e; rm -rf", "is not spelled"),
        ("", "is not spelled"),
    ],
)
def test_wrong_parts(part, message):
    with pytest.raises(InputError, match=message):
        find_device(part)
    with pytest.raises(InputError, match=rf"part: part '{part}'"):
        load_target("vu13p", (f"part='{part}'",))


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_devices(device):
    assert device.ff == 2 * device.lut, "as the data sheets have it of every family"
    assert device.lut % 8 == 0 or device.name == "xcvu5p", "slices have four tables, those of UltraScale eight"
    assert 1 <= device.slr <= 4
    assert device.lut > 0
    assert device.dsp > 0
    assert device.bram36 > 0
    assert device.uram >= 0
    assert device.pins is None or 50 <= device.pins <= 2500
    assert device.yosys_family in {"xc7", "xcu", "xcup", None}
    assert (device.yosys_family is None) == device.family.startswith("Versal")
    assert device.yosys_family == "xcup" or device.uram == 0 or device.family.startswith("Versal")
    expected = {"xc7": ((25, 18), 48), None: ((27, 24), 58)}.get(device.yosys_family, ((27, 18), 48))
    assert (device.multiplier, device.accumulator) == expected


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("xcvu9p", ("xcup", 1_182_240, 6_840, 2_160, 960, 3)),
        ("xcvu13p", ("xcup", 1_728_000, 12_288, 2_688, 1_280, 4)),
        ("xcku115", ("xcu", 663_360, 5_520, 2_160, 0, 2)),
        ("xcvu35p", ("xcup", 871_680, 5_952, 1_344, 640, 2)),
        ("xcu55c", ("xcup", 1_303_680, 9_024, 2_016, 960, 3)),
        ("xczu9eg", ("xcup", 274_080, 2_520, 912, 0, 1)),
        ("xc7z020", ("xc7", 53_200, 220, 140, 0, 1)),
        ("xcku5p", ("xcup", 216_960, 1_824, 480, 64, 1)),
        ("xcvc1902", (None, 899_840, 1_968, 967, 463, 1)),
    ],
)
def test_figures_of_data_sheets(name, figures):
    one = DEVICES[name]
    assert (one.yosys_family, one.lut, one.dsp, one.bram36, one.uram, one.slr) == figures


@pytest.mark.parametrize(
    ("spelled", "device"),
    [
        ("7z020clg400-1", "xc7z020"), ("xc7z020clg484-1", "xc7z020"), ("XC7Z020CLG400-1", "xc7z020"),
        ("xcvu9p-flgb2104-2", "xcvu9p"), ("xcvu9p-flgb2104-2-i", "xcvu9p"), ("xcku115-flva1517-2-e", "xcku115"),
        ("xcvu13p", "xcvu13p"), ("vu13p", "xcvu13p"), ("xck26-sfvc784", "xck26"), ("xczu3egsbva484-1", "xczu3eg"),
        ("7a100tcsg324-1", "xc7a100t"), ("xcvc1902-vsva2197-2MP-e-S", "xcvc1902"), ("xcu55c-fsvh2892-2L-e", "xcu55c"),
        ("xcvu14p-flga2577-2-e", None), ("xcv80-lsva4737-2MHP-e-S", None), ("xcvu9pp", None), ("xcvu9", None),
        ("7z0201clg400-1", None), ("virtexuplus", None), ("not known", None), ("-", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_parts_as_reports_spell_them(spelled, device):
    assert reported_device(spelled) is (DEVICES[device] if device else None)


def test_spellings_of_one_part():
    assert same_part("7z020clg400-1", "xc7z020-clg400-1")
    assert same_part("xcvu9p-flgb2104-2", "xcvu9p-flgb2104-2-i")
    assert not same_part("xcvu9p-flgb2104-2-i", "xcvu9p-flgb2104-2-e")
    assert not same_part("xcvu9p-flgb2104-1", "xcvu9p-flgb2104-2")
    assert not same_part("xcvu9p-flga2104-2", "xcvu13p-flga2104-2")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("clock_ns=360", r"clock_ns: .*a period of 360 ns; if 360 MHz are meant, right would be 2\.7778"),
        ("clock_ns=2.5e-9", r"if 2\.5e-09 seconds are meant, right would be 2\.5000"),
        ("clock_ns=0.36", r"if 0\.36 GHz are meant, right would be 2\.7778"),
        ("clock_ns=0", "clock_ns: found 0: Input should be greater than 0"),
        ("clock_ns=-5", "clock_ns: found -5"),
        ("backend.flow=vivado_hls", "flow 'vivado_hls' does not drive the tool 'vitis'"),
        ("backend={kind: hls, tool: vivado, flow: vitis-run}", "flow 'vitis-run' does not drive the tool 'vivado'"),
        ("backend.flow=vitis_run", r"backend\.flow: 'vitis_run' is not known; nearest: 'vitis-run', 'vitis_hls'"),
        ("backend.tool=quartus", r"backend\.tool: 'quartus' is not known; nearest: 'vitis', 'vivado'"),
        *((f"backend.version={version}", r"backend\.version: .*would be right, such as 2023\.2$")
          for version in ("23.2", "'23.2'", "2023", "'2023'", "latest", "v2023.2", "2023.25", "1999.1")),
    ],
)  # fmt: skip
def test_wrong_settings(setting, message):
    with pytest.raises(InputError, match=message):
        load_target("vu13p", (setting,))


@pytest.mark.parametrize(
    "settings",
    [
        ("clock_ns=100",), ("clock_ns=1.2",), ("backend.flow=unified",), ("backend.flow=vitis_hls",),
        ("backend.tool=vivado", "backend.flow=vivado_hls"),
    ],
)  # fmt: skip
def test_right_settings(settings):
    load_target("vu13p", settings)


@pytest.mark.parametrize("spelled", ["2023.2", "'2023.2'"])
def test_a_release_need_not_be_quoted(spelled):
    found = load_target("vu13p", (f"backend.version={spelled}",))
    assert found.backend.version == "2023.2"
    assert parse(dump(found), Target, "t") == found


AMOUNT = r": a count such as 5000 would be right, or a share: '5%' of the device, '20% SLR' of one of its dies"


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        *((f"{{open: {{lut: {wrong}}}}}", rf"^t\.yaml: budget\.open\.lut: found {found}{AMOUNT}$") for wrong, found in [
            ("5 percent", "'5 percent'"), ("-1", "-1"), ('"5% of SLR"', "'5% of SLR'"), ("5.5", r"5\.5"), ("0.05", r"0\.05"),
            ("true", "True"), ("5% slr", "'5% slr'"), ("-5%", "'-5%'"), ("many", "'many'"),
        ]),
        ("{open: {luts: 5}}", r"budget\.open\.luts: there is no such key; nearest: 'lut'$"),
        ("{open: {latency: 5}}", r"budget\.open\.latency: there is no such key; nearest: 'latency_ns'"),
        ("{opne: {lut: 5}}", r"budget\.opne: there is no such key; nearest: 'open'"),
        ("{routed: {lut: 5}}", r"budget\.routed: there is no such key; nearest: "),
        ("{open: {latency_ns: 0}}", r"budget\.open\.latency_ns: found 0: Input should be greater than 0"),
        ("{open: {latency_cycles: 5%}}", r"budget\.open\.latency_cycles: found '5%': Input should be a valid integer"),
        ("{open: {slack_ns: none}}", r"budget\.open\.slack_ns: found 'none': Input should be a valid number"),
        ("{open: {interval_cycles: 0}}", r"budget\.open\.interval_cycles: found 0"),
        ("{open: {required: 1}}", r"budget\.open\.required: found 1"),
        ("5%", r"budget"),
    ],
)  # fmt: skip
def test_wrong_budgets(budget, message):
    with pytest.raises(InputError, match=message):
        target(f"budget: {budget}")


def test_every_fault_of_a_budget_is_named_at_once():
    with pytest.raises(InputError) as caught:
        target("budget: {open: {lut: 5 percent, ff: -1, slack: 0}, hsl: {}}")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "budget.open.lut",
        "budget.open.ff",
        "budget.open.slack",
        "budget.hsl",
    ]


def test_budgets():
    found = target(
        "budget: {hls: {lut: 5%, ff: 12.5 % SLR, dsp: 0, latency_ns: 50, slack_ns: -0.1}, open: {required: false}}"
    )
    assert [(one.figure, one.bound, one.of) for one in limits(found.budget)] == [
        ("latency_ns", 50, ""), ("slack_ns", -0.1, ""), ("lut", 0.05, "device"), ("ff", 0.125, "SLR"), ("dsp", 0, ""),
    ]  # fmt: skip
    assert limits(target("").budget) == ()
    assert parse(dump(found), Target, "t") == found
