"""Several reports of one run as one: the first that knows a figure decides, and what is of another run is refused."""

from __future__ import annotations

import pytest

from firmware.device import DEVICES
from firmware.reports.merge import merged, with_device
from firmware.reports.report import Module, Resources, SynthesisReport
from trigger.errors import ReportError


def report(**content):
    return SynthesisReport.model_validate({"kind": "part", "stage": "implementation", "tool": "Vivado", **content})


def test_the_first_that_knows_a_figure_decides():
    found = merged(
        [
            report(used=Resources(lut=10), part="xcvu9p-flgb2104-2", notes=("a", "b")),
            report(
                used=Resources(lut=11, ff=20),
                slack_ns=0.0,
                timing_met=False,
                clock_ns=2.0,
                design="top",
                notes=("b", "c"),
            ),
            report(slack_ns=0.5, timing_met=True, hold_slack_ns=0.1, power_w=3.0, version="2024.1", part="xcvu9p"),
        ],
        "all",
    )
    assert found == report(
        kind="all", used=Resources(lut=10, ff=20), part="xcvu9p-flgb2104-2", notes=("a", "b", "c"), slack_ns=0.0,
        timing_met=False, clock_ns=2.0, design="top", hold_slack_ns=0.1, power_w=3.0, version="2024.1",
    )  # fmt: skip


def test_nothing_known_stays_unknown():
    found = merged([report(), report(stage=None, tool=None)], "all")
    assert found == report(kind="all")
    assert found.used == found.available == Resources()
    assert (found.modules, found.cells) == ((), {})
    assert found.timing_met is found.passed is None


def test_zero_and_no_are_known():
    found = merged([report(used=Resources(dsp=0), passed=False, latency_cycles=0), report(used=Resources(dsp=9), passed=True,
                    latency_cycles=9)], "all")  # fmt: skip
    assert (found.used.dsp, found.passed, found.latency_cycles) == (0, False, 0)


def test_modules_and_cells_are_taken_whole():
    first, second = (Module(name="a"), Module(name="b")), (Module(name="c"),)
    found = merged(
        [report(), report(modules=first), report(modules=second, cells={"LUT6": 5}), report(cells={"FDRE": 1})], "k"
    )
    assert (found.modules, found.cells) == (first, {"LUT6": 5})


def test_a_part_of_a_design_makes_no_whole():
    assert merged([report(), report()], "k").whole
    assert not merged([report(), report(whole=False)], "k").whole


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("stage", "synthesis", "implementation"), ("design", "top", "other"), ("version", "2023.2", "2024.1"),
        ("tool", "Vivado", "Vitis HLS"),
    ],
)  # fmt: skip
def test_reports_of_different_runs(name, one, other):
    reports = [report(**{name: one}), report(**{name: None}), report(**{name: other})]
    with pytest.raises(ReportError, match=f"reports of one run differ in their {name}: {one}, {other}"):
        merged(reports, "all")
    assert getattr(merged(reports[:2], "all"), name) == one
    assert getattr(merged(reports[:0:-1], "all"), name) == other


def test_what_the_device_has():
    found = with_device(report(part="xcvu9p-flgb2104-2-i"))
    assert found.available == Resources(lut=1_182_240, ff=2_364_480, dsp=6_840, bram18=4_320, uram=960)
    assert found.available_slr == Resources(lut=394_080, ff=788_160, dsp=2_280, bram18=1_440, uram=320)
    single = with_device(report(part="7z020clg400-1"))
    assert single.available == single.available_slr == Resources(lut=53_200, ff=106_400, dsp=220, bram18=280, uram=0)


def test_what_a_report_says_is_kept():
    says = Resources(lut=1000, bram18=7)
    found = with_device(
        report(part="xcvu9p-flgb2104-2-i", used=Resources(lut=10), available=says, available_slr=Resources(ff=5))
    )
    assert found.available == Resources(lut=1000, ff=2_364_480, dsp=6_840, bram18=7, uram=960)
    assert found.available_slr == Resources(lut=394_080, ff=5, dsp=2_280, bram18=1_440, uram=320)
    assert found.used == Resources(lut=10)
    assert with_device(found) == found


@pytest.mark.parametrize("part", [None, "xcvu14p-flga2577-2-e", "nonsense"])
def test_an_unknown_device_adds_nothing(part):
    one = report(part=part, used=Resources(lut=10))
    assert with_device(one) == one


def test_dies_never_have_more_than_the_device():
    for name, device in DEVICES.items():
        found = with_device(report(part=name))
        for resource in Resources.model_fields:
            whole, die = getattr(found.available, resource), getattr(found.available_slr, resource)
            assert die * device.slr <= whole < (die + 1) * device.slr
