from __future__ import annotations

import json

import pytest

from trigger.verdict import Overall, Status, Verdict, at_least, at_most, not_measured


def test_what_decides():
    good, bad = at_most("a:x", 1.0, 2.0), at_least("a:y", 1.0, 2.0)
    open_, shown = not_measured("a:z", "<= 1", required=True, note=""), at_most("a:w", 3.0, 2.0, required=False)
    assert Verdict(requirements=(good, shown)).overall is Overall.PASS
    assert Verdict(requirements=(good, bad, open_)).overall is Overall.FAIL
    assert Verdict(requirements=(good, open_)).overall is Overall.INCOMPLETE
    assert Verdict(requirements=(shown,)).overall is Overall.INCOMPLETE
    assert [Verdict(requirements=r).exit_status for r in ((good,), (bad,), (open_,))] == [0, 1, 3]


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_fails(figure):
    assert at_most("a:x", figure, 2.0).status is Status.FAIL
    assert at_least("a:x", -figure, 2.0).status is Status.FAIL


def test_file(tmp_path):
    verdict = Verdict(requirements=(at_most("bits:cpp", 0, 0, note="n"), at_most("b:c", None, 1)))
    verdict.save(tmp_path / "verdict.json")
    content = json.loads((tmp_path / "verdict.json").read_text())
    assert next(iter(content)) == "overall"
    assert set(content["requirements"][0]) >= {"name", "status", "figure", "limit", "required"}
    assert content["requirements"][1]["status"] == "NOT MEASURED"
    assert Verdict.load(tmp_path / "verdict.json") == verdict
