"""Reports held to limits and to earlier reports: exactly at a bound passes, and what is not known never does."""

from __future__ import annotations

import pytest

from firmware import budget
from firmware.reports.merge import with_device
from firmware.reports.report import Resources, Stage, SynthesisReport
from firmware.target import Target
from trigger.config import parse
from trigger.errors import InputError
from trigger.lhc import CROSSING_NS
from trigger.verdict import Overall, Verdict

PART = "xcvu13p-flga2577-2-e"
USED = Resources(lut=1000, ff=2000, dsp=30, bram18=5, uram=4)


def target(limits, part=PART, clock_ns=2.5):
    return parse(
        f"name: t\npart: {part}\nclock_ns: {clock_ns}\nbackend: {{kind: hls}}\nbudget: {limits}\n", Target, "t"
    )


def report(stage="implementation", **figures):
    figures = {"design": "top", "part": PART, "clock_ns": 2.5, "used": USED, **figures}
    return with_device(SynthesisReport(kind="k", stage=stage, tool="Vivado", version="2024.1", **figures))


def judged(limits, *reports, **options):
    return budget.judge(target(limits, **options), {str(number): one for number, one in enumerate(reports)})


def statuses(requirements):
    return [(one.name, str(one.status)) for one in requirements]


def only(requirements):
    (one,) = requirements
    return one


BOUNDS = [
    # limit, at it, beyond it
    ("latency_ns: 50", {"latency_ns": 50.0}, {"latency_ns": 50.001}),
    ("latency_crossings: 4", {"latency_ns": 4 * CROSSING_NS}, {"latency_ns": 4.0001 * CROSSING_NS}),
    ("latency_cycles: 9", {"latency_cycles": 9}, {"latency_cycles": 10}),
    ("latency_cycles: 0", {"latency_cycles": 0}, {"latency_cycles": 1}),
    ("interval_cycles: 1", {"interval_cycles": 1}, {"interval_cycles": 2}),
    ("slack_ns: 0", {"slack_ns": 0.0}, {"slack_ns": -0.001}),
    ("slack_ns: 0.1", {"slack_ns": 0.1}, {"slack_ns": 0.099}),
    ("slack_ns: -0.1", {"slack_ns": -0.1}, {"slack_ns": -0.101}),
    ("power_w: 3.5", {"power_w": 3.5}, {"power_w": 3.501}),
    *(
        (f"{name}: {limit}", {"used": Resources(**{field: at})}, {"used": Resources(**{field: at + 1})})
        for name, limit, field, at in [
            ("lut", 1000, "lut", 1000),
            ("lut", 1_234_567, "lut", 1_234_567),
            ("ff", 1000, "ff", 1000),
            ("dsp", 0, "dsp", 0),
            ("bram18", 7, "bram18", 7),
            ("bram36", 7, "bram18", 14),
            ("uram", 3, "uram", 3),
            # of 1,728,000 tables, 3,456,000 registers, 12,288 DSP, 2,688 block RAMs and 1,280 URAMs on four dies
            ("lut", "5%", "lut", 86_400),
            ("lut", "0.7 %", "lut", 12_096),
            ("lut", "0.1%", "lut", 1728),
            ("lut", "20% SLR", "lut", 86_400),
            ("ff", "10%SLR", "ff", 86_400),
            ("dsp", "25%", "dsp", 3072),
            ("dsp", "100% SLR", "dsp", 3072),
            ("bram18", "12.5%", "bram18", 672),
            ("bram36", "50 %  SLR", "bram18", 672),
            ("uram", "0%", "uram", 0),
            ("uram", "2.5% SLR", "uram", 8),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "at", "beyond"), BOUNDS)
def test_bounds(limit, at, beyond):
    name = f"implementation:{limit.split(':')[0]}"
    for figures, status in ((at, "PASS"), (beyond, "FAIL")):
        one = only(judged(f"{{implementation: {{{limit}}}}}", report(**figures)))
        assert (one.name, one.status, one.required) == (name, status, True)
        assert "placed and routed by Vivado 2024.1" in one.note
    better = {key: value for key, value in at.items() if key != "used"}
    if better and "slack_ns" not in better:
        better = {key: value / 2 if isinstance(value, float) else max(value - 1, 0) for key, value in better.items()}
        assert only(judged(f"{{implementation: {{{limit}}}}}", report(**better))).status == "PASS"
    unknown = only(judged(f"{{implementation: {{{limit}}}}}", report(used=Resources())))
    assert (unknown.status, unknown.figure) == ("NOT MEASURED", None)
    missing = only(judged(f"{{implementation: {{{limit}}}}}", report("synthesis", **at)))
    assert (missing.status, missing.figure) == ("NOT MEASURED", None)
    assert "no report of this stage: placed and routed" in missing.note


@pytest.mark.parametrize(
    ("limit", "shown", "figure", "note"),
    [
        ("lut: 1234567", "<= 1234567", 1_234_568, "placed and routed by Vivado 2024.1"),
        ("lut: 5%", "<= 5 % of the device", 100 * 1_234_568 / 1_728_000, "1,234,568 used; placed"),
        ("lut: 0.25 % SLR", "<= 0.25 % of an SLR", 100 * 1_234_568 / 432_000, "1,234,568 used; placed"),
        ("slack_ns: 0", ">= 0", -0.25, "ns; setup -0.25; placed and routed"),
    ],
)
def test_what_is_shown(limit, shown, figure, note):
    one = only(
        judged(
            f"{{implementation: {{{limit}}}}}",
            report(used=Resources(lut=1_234_568), slack_ns=-0.25, hold_slack_ns=None),
        )
    )
    assert (one.status, one.limit, one.figure) == ("FAIL", shown, pytest.approx(figure))
    assert note in one.note


def test_none_used_is_no_share_of_anything():
    """Also of a part that nobody knows."""
    reports = [report(part=None, used=Resources(dsp=0)), report(part="xczz99", used=Resources(dsp=0))]
    for one in reports:
        assert only(judged("{implementation: {dsp: 0%}}", one)).status == "PASS"
        assert only(judged("{implementation: {dsp: 5% SLR}}", one)).status == "PASS"


@pytest.mark.parametrize("part", [None, "xczz99-abcd1234-1-e"])
def test_a_share_of_what_is_not_known(part):
    for limit, of in (("5%", "device"), ("5% SLR", "SLR")):
        one = only(judged(f"{{implementation: {{lut: {limit}}}}}", report(part=part)))
        assert one.status == "NOT MEASURED"
        assert f"1,000 used, but what the {of} has is not known" in one.note
    assert only(judged("{implementation: {lut: 1000}}", report(part=part))).status == "PASS"


@pytest.mark.parametrize(
    ("figures", "status", "note"),
    [
        ({"slack_ns": 0.017, "hold_slack_ns": 0.011, "pulse_slack_ns": -0.055}, "FAIL", "pulse width -0.055"),
        ({"slack_ns": 0.017, "hold_slack_ns": -0.011, "pulse_slack_ns": 0.055}, "FAIL", "hold -0.011"),
        ({"slack_ns": -0.017, "hold_slack_ns": 0.011, "pulse_slack_ns": 0.055}, "FAIL", "setup -0.017"),
        ({"slack_ns": 0.017, "hold_slack_ns": 0.0, "pulse_slack_ns": 0.055}, "PASS", "hold 0"),
        ({"slack_ns": 0.017}, "PASS", "setup 0.017"),
        ({"slack_ns": None, "hold_slack_ns": 0.5, "pulse_slack_ns": 0.5}, "NOT MEASURED", "setup not known; hold 0.5"),
        ({}, "NOT MEASURED", "not known; placed and routed"),
    ],
)
def test_the_worst_slack_decides(figures, status, note):
    one = only(judged("{implementation: {slack_ns: 0}}", report(**figures)))
    assert one.status == status
    assert note in one.note
    known = [slack for slack in figures.values() if slack is not None]
    assert one.figure == (min(known) if status != "NOT MEASURED" else None)


def test_what_is_not_required_does_not_decide():
    limits = "{hls: {lut: 2000}, implementation: {required: false, lut: 10, slack_ns: 0}}"
    found = judged(limits, report("hls"), report())
    assert statuses(found) == [
        ("hls:lut", "PASS"),
        ("implementation:slack_ns", "NOT MEASURED"),
        ("implementation:lut", "FAIL"),
    ]
    assert [one.required for one in found] == [True, False, False]
    assert Verdict(requirements=found).overall is Overall.PASS
    required = judged(limits.replace("false", "true"), report("hls"), report())
    assert Verdict(requirements=required).overall is Overall.FAIL
    without = judged(limits.replace("false", "true"), report("hls"))
    assert Verdict(requirements=without).overall is Overall.INCOMPLETE


def test_every_stage_has_limits_of_its_own():
    """Figures of one stage are never held to a limit of another."""
    stages = ["hls", "cosim", "open", "synthesis", "implementation"]
    limits = "{" + ", ".join(f"{stage}: {{lut: {1000 + number}}}" for number, stage in enumerate(stages)) + "}"
    assert [one.stage for one in budget.limits(target(limits).budget)] == [one for one in Stage if one in stages]
    for stage in (*stages, "placement", "estimate"):
        found = {one.name: str(one.status) for one in judged(limits, report(stage))}
        assert found.pop(f"{stage}:lut", "PASS") == "PASS"
        assert set(found.values()) == {"NOT MEASURED"}
    assert {one.status for one in judged(limits, report(None))} == {"NOT MEASURED"}
    (limit,) = budget.limits(target("{hls: {lut: 5}}").budget)
    with pytest.raises(InputError, match=r"hls:lut cannot be judged by a report of the stage synthesis"):
        limit.judge(report("synthesis"))


def test_only_the_stages_that_are_asked_for():
    wanted = target("{hls: {lut: 5000}, cosim: {latency_cycles: 5}}")
    assert statuses(budget.judge(wanted, {"a": report("hls")}, [Stage.HLS])) == [("hls:lut", "PASS")]
    assert budget.judge(wanted, {}, [Stage.OPEN]) == ()


def test_several_reports_of_one_stage():
    """As a tool writes them: each knows a part, and who knows a figure is held to it."""
    used, timing = report(), report(used=Resources(), slack_ns=0.1)
    found = judged("{implementation: {lut: 1000, slack_ns: 0}}", used, timing)
    assert statuses(found) == [("implementation:slack_ns", "PASS"), ("implementation:lut", "PASS")]
    found = judged("{implementation: {lut: 999}}", report(used=Resources(lut=900)), used, timing)
    assert [(str(one.status), one.note[:3]) for one in found] == [("PASS", "0: "), ("FAIL", "1: ")]
    # One knows the count, but not of what it is a share.
    found = judged("{implementation: {lut: 5%}}", report(part=None), used)
    assert statuses(found) == [("implementation:lut", "PASS")]


def test_a_design_of_which_nothing_is_known():
    """The slack of one design says nothing of another."""
    found = judged("{implementation: {slack_ns: 0}}", report(slack_ns=0.1), report(design="other"))
    assert statuses(found) == [("implementation:slack_ns", "PASS"), ("implementation:slack_ns", "NOT MEASURED")]
    found = judged("{implementation: {slack_ns: 0}}", report(slack_ns=0.1), report(design=None))
    assert statuses(found) == [("implementation:slack_ns", "PASS")]
    found = judged("{implementation: {slack_ns: 0}}", report(design=None), report(design=None))
    assert statuses(found) == [("implementation:slack_ns", "NOT MEASURED")]


def test_a_part_of_a_design():
    found = judged("{implementation: {lut: 1000}}", report(whole=False, notes=("only cells of x",)))
    assert statuses(found) == [("implementation:lut", "NOT MEASURED")]
    assert "only cells of x" in found[0].note
    assert statuses(judged("{implementation: {lut: 1000}}", report(whole=False), report())) == [
        ("implementation:lut", "PASS")
    ]


def test_a_report_of_something_else_than_the_target():
    limits = "{implementation: {lut: 5%, slack_ns: 0, latency_cycles: 9, latency_ns: 100}}"
    one = report(part="xcku115-flva1517-2-e", slack_ns=1.0, latency_cycles=5, latency_ns=12.5)
    found = judged(limits, one)
    assert {str(one.status) for one in found} == {"NOT MEASURED"}
    assert all("it is of xcku115-flva1517-2-e, the target of xcvu13p-flga2577-2-e" in one.note for one in found)
    assert {one.status for one in judged(limits, one, part="xcku115-flvb2104-2-i")} == {"PASS"}
    faster = judged(limits, report(part="xcvu13p-flga2577-3-e", slack_ns=1.0, latency_cycles=5, latency_ns=12.5))
    assert {one.name.split(":")[1]: str(one.status) for one in faster} == {
        "latency_ns": "PASS", "latency_cycles": "NOT MEASURED", "slack_ns": "NOT MEASURED", "lut": "PASS",
    }  # fmt: skip
    assert "another speed grade" in faster[1].note
    unmet = report(slack_ns=1.0, timing_met=False, latency_cycles=5, latency_ns=12.5)
    assert {one.name.split(":")[1]: str(one.status) for one in judged(limits, unmet)}["slack_ns"] == "FAIL"
    clockless = report(clock_ns=None, slack_ns=1.0, latency_cycles=5, latency_ns=12.5)
    assert {one.name.split(":")[1]: str(one.status) for one in judged(limits, clockless)}["slack_ns"] == "NOT MEASURED"
    slower = report(clock_ns=5.0, slack_ns=1.0, latency_cycles=5, latency_ns=25.0)
    assert {one.name.split(":")[1]: str(one.status) for one in judged(limits, slower)} == {
        "latency_ns": "PASS", "latency_cycles": "NOT MEASURED", "slack_ns": "NOT MEASURED", "lut": "PASS",
    }  # fmt: skip
    rounded = report(clock_ns=2.78, slack_ns=1.0, latency_cycles=5, latency_ns=13.9)
    assert {one.status for one in judged(limits, rounded, clock_ns=2.7778)} == {"PASS"}


def test_a_simulation_that_failed():
    limits = "{cosim: {latency_cycles: 9}}"
    found = judged(limits, report("cosim", latency_cycles=5, passed=False))
    assert statuses(found) == [("cosim:latency_cycles", "PASS"), ("cosim:test_bench", "FAIL")]
    assert Verdict(requirements=found).overall is Overall.FAIL
    assert statuses(judged(limits, report("cosim", latency_cycles=5, passed=True))) == [
        ("cosim:latency_cycles", "PASS")
    ]


@pytest.mark.parametrize(
    ("stage", "figures", "note"),
    [
        ("hls", {"latency_cycles": 9, "latency_ns": 22.5}, "9 x 2.5 ns: timing not closed"),
        ("synthesis", {"latency_cycles": 9, "latency_ns": 22.5, "timing_met": True}, "9 x 2.5 ns: timing not closed"),
        (
            "implementation",
            {"latency_cycles": 9, "latency_ns": 22.5, "timing_met": False},
            "9 x 2.5 ns: timing not closed",
        ),
        ("implementation", {"latency_cycles": 9, "latency_ns": 22.5}, "9 x 2.5 ns: timing not closed"),
        ("implementation", {"latency_cycles": 9, "latency_ns": 22.5, "timing_met": True}, "2024.1; 9 x 2.5 ns"),
        ("hls", {"latency_cycles": 9, "latency_ns": 22.5, "clock_ns": None}, "2024.1; timing not closed"),
        ("hls", {"latency_cycles": 9, "latency_ns": 30.0}, "2024.1; timing not closed"),
    ],
)
def test_time_before_timing_is_closed_says_so(stage, figures, note):
    for limit in ("latency_ns: 50", "latency_crossings: 2"):
        assert only(judged(f"{{{stage}: {{{limit}}}}}", report(stage, **figures))).note.endswith(note)


def test_the_rule_of_the_open_lane_is_in_its_verdict():
    one = report("open", notes=("900 look-up tables after sharing, by rule; 950 before any two share one", "other"))
    assert only(judged("{open: {lut: 1000}}", one)).note.endswith(
        "; 900 look-up tables after sharing, by rule; 950 before any two share one"
    )


def compared(now, before, **options):
    found = budget.regressions(now, before, **options)
    assert all(one.name.startswith("baseline:") and one.required for one in found)
    return {one.name.split(":")[2]: str(one.status) for one in found}


FULL = {
    "latency_ns": 25.0, "latency_cycles": 10, "interval_cycles": 1, "power_w": 2.0, "slack_ns": 0.5, "hold_slack_ns": 0.1,
    "used": Resources(lut=1000, ff=2000, dsp=30, bram18=10, uram=4),
}  # fmt: skip


def changed(**figures):
    used = {name: figures.pop(name) for name in list(figures) if name in Resources.model_fields}
    return report(**{**FULL, "used": FULL["used"].model_copy(update=used), **figures})


def test_equal_reports():
    found = compared(changed(), changed(), tolerance=0.0)
    assert found == dict.fromkeys(
        [
            "latency_ns",
            "latency_cycles",
            "interval_cycles",
            "power_w",
            "lut",
            "ff",
            "dsp",
            "bram18",
            "uram",
            "slack_ns",
        ],
        "PASS",
    )


@pytest.mark.parametrize(
    ("figure", "tolerance", "at", "beyond"),
    [
        ("lut", 0.01, 1010, 1011),
        ("lut", 0.57, 1570, 1571),  # 1000 * 1.57 is less than 1570 as floats go
        ("lut", 0.0, 1000, 1001),
        ("ff", 0.05, 2100, 2101),
        ("dsp", 0.1, 33, 34),
        ("bram18", 0.01, 10, 11),
        ("uram", 0.25, 5, 6),
        ("latency_cycles", 0.1, 11, 12),
        ("latency_ns", 0.1, 27.5, 27.501),
        ("interval_cycles", 0.99, 1, 2),
        ("power_w", 0.01, 2.02, 2.021),
        ("slack_ns", 0.01, 0.075, 0.074),  # the least of the slacks, 0.1, less a hundredth of 2.5 ns
        ("slack_ns", 0.0, 0.1, 0.099),
    ],
)
def test_tolerance(figure, tolerance, at, beyond):
    assert compared(changed(**{figure: at}), changed(), tolerance=tolerance)[figure] == "PASS"
    found = compared(changed(**{figure: beyond}), changed(), tolerance=tolerance)
    assert [name for name, status in found.items() if status == "FAIL"] == [figure]


def test_the_tolerance_is_stated():
    found = {one.name: one for one in budget.regressions(changed(lut=1_250_000), changed(lut=1_234_567), 0.01)}
    lut = found["baseline:implementation:lut"]
    assert (lut.status, lut.limit) == ("FAIL", "<= 1246912.67")
    assert lut.note == "1,234,567 before, 1 % more is tolerated"
    assert found["baseline:implementation:slack_ns"].note == "0.1 ns before, 1 % of the clock period less is tolerated"


def test_better_is_never_a_regression():
    better = changed(
        lut=1, ff=1, dsp=0, bram18=0, uram=0, latency_ns=1.0, latency_cycles=1, slack_ns=2.0, hold_slack_ns=2.0
    )
    assert set(compared(better, changed(), tolerance=0.0).values()) == {"PASS"}
    # None before is none tolerated, however large the tolerance.
    assert compared(changed(dsp=1), changed(dsp=0), tolerance=0.5)["dsp"] == "FAIL"


def test_figures_that_became_unknown():
    for figures in ({"lut": None}, {"latency_cycles": None}, {"slack_ns": None}, {"power_w": None}):
        (name,) = figures
        found = budget.regressions(changed(**figures), changed())
        assert [one.name for one in found if one.status == "NOT MEASURED"] == [f"baseline:implementation:{name}"]
        assert Verdict(requirements=found).overall is Overall.INCOMPLETE
    # What was not known before cannot have become worse.
    assert "lut" not in compared(changed(), changed(lut=None))


@pytest.mark.parametrize("pulse", [-0.055, 0.05])
def test_another_slack_that_became_worse(pulse):
    assert compared(changed(pulse_slack_ns=pulse), changed())["slack_ns"] == "FAIL"


def test_a_simulation_that_passed_before():
    before = report("cosim", latency_cycles=5, passed=True, used=Resources())
    for passed, status in ((True, "PASS"), (False, "FAIL"), (None, "NOT MEASURED")):
        now = report("cosim", latency_cycles=5, passed=passed, used=Resources())
        assert compared(now, before) == {"latency_cycles": "PASS", "test_bench": status}


@pytest.mark.parametrize(
    ("now", "before", "message"),
    [
        ({"stage": "synthesis"}, {}, "of the stage synthesis cannot be compared with one of the stage implementation"),
        (
            {"stage": "synthesis"},
            {"stage": "placement"},
            "synthesis cannot be compared with one of the stage placement",
        ),
        ({"stage": None}, {"stage": None}, "of the stage None cannot be compared"),
        ({"part": "xcvu9p-flga2104-2L-e"}, {}, "for xcvu9p-flga2104-2L-e cannot be compared with one for xcvu13p"),
        (
            {},
            {"part": "xcvu13p-flga2577-1-e"},
            "for xcvu13p-flga2577-2-e cannot be compared with one for xcvu13p-flga2577-1",
        ),
        ({"whole": False}, {}, "of a whole design cannot be compared with one of a part"),
        ({}, {"used": Resources()}, "the earlier report has no figure to compare with"),
    ],
)
def test_what_cannot_be_compared(now, before, message):
    with pytest.raises(InputError, match=message):
        budget.regressions(report(**now), report(**before))


def test_spellings_of_one_part_are_compared():
    for part in ("xcvu13p-flga2577-2", "vu13p-flga2577-2-e", None):
        assert compared(report(part=part), report())["lut"] == "PASS"
