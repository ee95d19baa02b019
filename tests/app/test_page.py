"""The sign-off page: that it says all that was found, loads nothing, and can be made again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tests.conftest import jetgate
from trigger.app.figures import inlined
from trigger.app.page import cell, write_page
from trigger.app.page_parts import flattened
from trigger.app.sections import unit_of
from trigger.errors import InputError
from trigger.verdict import at_least, at_most

VOID = {"meta", "br", "hr", "img", "link", "input"}
LOADING = {"script", "link", "iframe", "object", "embed", "img", "video", "audio", "source", "base"}


class Page(HTMLParser):
    """What a browser would read: elements with their attributes, and the text; tags that are not closed in order are errors."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def change(path, alter):
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))


def check_self_contained(text):
    """Well-formed as XML and as HTML, ids unique, every reference inside, and nothing that a browser would fetch."""
    ElementTree.fromstring(text)
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert [one for one, count in Counter(ids).items() if count > 1] == []
    for tag, attributes in page.elements:
        assert tag not in LOADING
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "action", "data", "xlink:href"), (tag, name)
            assert not name.startswith("on"), (tag, name)
            if name == "href" and not (tag == "image" and value.startswith("data:image/")):
                assert value.startswith("#"), (tag, value)
                assert value[1:] in ids, (tag, value)
            for target in re.findall(r"url\(([^)]*)\)", value):
                assert target.startswith("#"), (tag, name, value)
                assert target[1:] in ids, (tag, name, value)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "@import" not in style
    assert "url(" not in style
    return page


def test_it_says_what_was_found(run):
    path = write_page(run)
    page = check_self_contained(path.read_text())
    text = " ".join(" ".join(page.text).split())
    verdict = json.loads((run / "verdict.json").read_text())
    rows = re.findall(
        r"<tr(?: class=\"shown\")?><th scope=\"row\">([^<]*)</th><td class=\"status ([a-z-]+)\">([^<]*)<",
        path.read_text(),
    )
    assert [(name, status) for name, _, status in rows] == [
        (one["name"], one["status"]) for one in verdict["requirements"]
    ]
    assert any(status == "NOT MEASURED" and kind == "not-measured" for _, kind, status in rows)
    for one in verdict["requirements"]:
        assert one["limit"] in text
        assert " ".join(one["note"].split()) in text
    assert verdict["overall"] == "PASS"
    assert page.named("strong") == [{}]
    assert ("div", {"class": "verdict pass"}) in page.elements
    assert "The sample is synthetic: nothing physical follows from this run." in text
    assert "Rates, thresholds, menu and stability: not measured." in text
    assert "No report of the stage implementation: not measured." in text
    assert "quark 400" in text
    for digest in json.loads((run / "run.json").read_text())["digests"].values():
        assert digest in text
    assert f"jetgate run runs/{run.name}/recipe.yaml --target runs/{run.name}/target.yaml" in text
    assert str(run.parents[1]) not in path.read_text()
    (viewport,) = [one["content"] for one in page.named("meta") if one.get("name") == "viewport"]
    assert "width=device-width" in viewport
    assert "@media print" in path.read_text()


def test_every_figure_once(run):
    shutil.copy(run / "plots" / "roc.svg", run / "plots" / "another_one.svg")
    page = Page(write_page(run).read_text())
    files = sorted((run / "plots").glob("*.svg"))
    drawings = page.named("svg")
    assert len(files) == len(drawings) == len(page.named("figure")) == len(page.named("figcaption")) >= 5
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert "width" not in drawing
    assert len({drawing["aria-label"] for drawing in drawings}) == len(files)
    assert "Another one." in {drawing["aria-label"] for drawing in drawings}
    shown = [one["file"] for section in data_of(run)["sections"] for one in section["figures"]]
    assert sorted(shown) == [path.name for path in files]


def data_of(run):
    return json.loads((run / "report" / "report.json").read_text())


def test_the_data_beside_it(run):
    write_page(run)
    data = data_of(run)
    verdict = json.loads((run / "verdict.json").read_text())
    assert data["overall"] == verdict["overall"]
    assert [{key: one[key] for key in one if key != "unit"} for one in data["requirements"]] == verdict["requirements"]
    names = ["data", "training", "quantisation", "bits", "synthesis", "rates", "provenance"]
    assert [section["name"] for section in data["sections"]] == names
    tables = {table["title"]: table for section in data["sections"] for table in section["tables"]}
    merit = next(table for title, table in tables.items() if title.startswith("Figures of merit"))
    performance = json.loads((run / "performance.json").read_text())["performance"]
    found = {row[0]: row[1:] for row in merit["rows"]}
    assert found["accuracy"][:3] == [performance[form]["accuracy"] for form in ("float", "quantised", "firmware")]
    assert (
        sum(row[3] for row in tables["Comparison, code by code"]["rows"])
        == json.loads((run / "emulation.json").read_text())["codes_compared"]
    )
    assert [row[1] for row in tables["Samples and classes"]["rows"]] == [400, 400, 400, 1200]
    counts = tables["Samples and classes"]["rows"]
    assert all(sum(row[2:5]) == row[1] for row in counts)
    used = {row[0]: row[1] for row in tables["Resources: estimate without a tool"]["rows"]}
    assert used["LUT"] > 0
    assert used["DSP"] is None  # not known, which is not 0


def test_made_again_it_is_the_same(run, call, monkeypatch):
    page = run / "report" / "index.html"
    before = page.read_bytes(), (run / "report" / "report.json").read_bytes()
    shutil.rmtree(run / "report")
    monkeypatch.chdir(run.parents[1])
    status, out, _ = call("page", f"runs/{run.name}", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer == {
        "page": f"runs/{run.name}/report/index.html",
        "data": f"runs/{run.name}/report/report.json",
        "overall": "PASS",
    }
    assert (page.read_bytes(), (run / "report" / "report.json").read_bytes()) == before
    assert call("page", f"runs/{run.name}")[1].strip() == answer["page"]
    assert [path.name for path in (run / "report").parent.glob(".report*")] == []


def test_what_a_run_says_is_text_and_not_markup(run):
    evil = "<script>alert('1')</script>&amp;\"x"
    change(run / "run.json", lambda one: one.update(recipe=evil, overrides=[f"name={evil}"]))
    change(run / "verdict.json", lambda one: one["requirements"][0].update(note=evil, name=f"data:{evil}"))
    change(run / "emulation.json", lambda one: one["overflow"][0].update(layer=evil))
    text = write_page(run).read_text()
    page = check_self_contained(text)
    assert "<script" not in text
    assert "".join(page.text).count(evil) >= 5
    assert data_of(run)["recipe"] == evil


def test_incomplete_and_failed_are_worded(run):
    def required(one):
        next(r for r in one["requirements"] if r["name"] == "physics:macro_auc").update(required=True)

    change(run / "verdict.json", required)
    text = write_page(run).read_text()
    assert "<strong>INCOMPLETE</strong>" in text
    assert "1 were not measured: physics:macro_auc." in text
    change(run / "verdict.json", lambda one: one["requirements"][2].update(status="FAIL", required=True))
    text = write_page(run).read_text()
    assert "<strong>FAIL</strong>" in text
    assert "1 do not hold: " in text
    assert "Not measured: physics:macro_auc." in text
    assert data_of(run)["overall"] == "FAIL"  # not what the file says, but what follows


def test_rates_where_they_were_measured(run):
    table = {"title": "Menu", "columns": ["seed", "rate, kHz", "threshold"], "note": "At a pileup of 50.",
             "rows": [["single jet", {"value": 12.5, "uncertainty": 0.31}, 180.5], ["MET", None, 1900000]]}  # fmt: skip
    shutil.copy(run / "plots" / "roc.svg", run / "plots" / "rate_curve.svg")
    (run / "rates.json").write_text(
        json.dumps({"tables": [table], "figures": {"rate_curve.svg": "Rate."}, "raw": {"x": 1}})
    )
    text = write_page(run).read_text()
    page = check_self_contained(text)
    assert "single jet 12.50 ± 0.31 180.5" in " ".join(" ".join(page.text).split())
    assert '<td class="unknown">not known</td>' in text
    assert "stability: not measured" not in text
    (section,) = [one for one in data_of(run)["sections"] if one["name"] == "rates"]
    assert section["tables"] == [table]
    assert [one["file"] for one in section["figures"]] == ["rate_curve.svg"]
    for wrong, message in (
        ({"tables": [{"rows": []}]}, "tables.0.title"),
        ({"tables": [{**table, "rows": [["one"]]}]}, "table 'Menu' has rows of another length"),
        ({"figures": {"no.svg": "x"}}, "figure 'no.svg' is not in"),
        ({"figures": {"../plots/roc.svg": "x"}}, "figure '../plots/roc.svg' is not in"),
        ({"tables": [{**table, "rows": [["a", float("nan"), 1]]}]}, "would be right"),
        ([1], "a mapping would be right"),
    ):
        (run / "rates.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=re.escape(message)):
            write_page(run)


def test_wrong_input(run, call, tmp_path):
    def fails(*arguments):
        status, out, err = call("page", *arguments)
        assert (status, out) == (2, "")
        assert "Traceback" not in err
        return err

    assert "no such folder" in fails(tmp_path / "nothing")
    assert "not a finished run, it has no run.json" in fails(run.parent)
    page = run / "report" / "index.html"
    before = page.read_bytes()
    for name, content, message in (
        ("verdict.json", "{", "verdict.json: cannot be read as JSON"),
        ("verdict.json", '{"requirements": [{"name": 1}]}', "verdict.json: damaged, "),
        ("verdict.json", "[]", "verdict.json: damaged, "),
        ("run.json", "{}", "run.json: damaged, recipe, target, models, project"),
        ("emulation.json", "{}", "emulation.json: damaged"),
        ("performance.json", '{"task": "tagger"}', "damaged or of another version (KeyError"),
        ("recipe.yaml", "name: 1", "recipe.yaml"),
        ("plots/roc.svg", "<svg", "cannot be read as an SVG figure"),
        ("plots/roc.svg", "<p/>", "an <svg> with a viewBox would be right, found <p>"),
    ):
        kept = (run / name).read_bytes()
        (run / name).write_text(content)
        assert message in fails(run)
        (run / name).write_bytes(kept)
    assert page.read_bytes() == before  # a page that cannot be made leaves the earlier one
    (run / "verdict.json").unlink()
    assert "it has no verdict.json; 'jetgate run' goes on where it stopped" in fails(run)


def test_firmware_that_was_changed_since(run, call):
    (weights, *_) = (run.parents[1] / json.loads((run / "run.json").read_text())["project"]).glob(
        "firmware/weights/w*.h"
    )
    weights.write_text(weights.read_text() + "\n")
    status, _, err = call("page", run)
    assert status == 2
    assert "this is not the firmware that the run was judged by" in err


def test_figures_are_stripped_of_code_and_outer_references(tmp_path):
    path = tmp_path / "f.svg"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'viewBox="0 0 1 1" width="9pt" onload="alert(1)"><metadata><a/></metadata><script>alert(1)</script><style>*{}</style>'
        '<!-- x --><defs><path id="a" d="M 0 0"/><clipPath id="c"/></defs><use xlink:href="#a" clip-path="url(#c)" style="fill: url(\'#c\')"/>'
        '<image xlink:href="https://example.org/x.png"/><image href="data:image/png;base64,AA=="/>'
        '<rect style="fill: url(https://example.org/y)" onclick="alert(1)"/><foreignObject/></svg>'
    )  # fmt: skip
    text = inlined(path, "f1-", 'a "label" <here>')
    assert text.startswith("<svg ")
    for word in (
        "script",
        "alert",
        "example.org",
        "metadata",
        "style>",
        "foreignObject",
        "xlink",
        "xmlns",
        "<!",
        "9pt",
    ):
        assert word not in text
    assert 'id="f1-a"' in text
    assert 'href="#f1-a"' in text
    assert 'clip-path="url(#f1-c)"' in text
    assert "fill: url(#f1-c)" in text
    assert 'href="data:image/png;base64,AA=="' in text
    assert ElementTree.fromstring(text).get("aria-label") == 'a "label" <here>'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not known"), (True, "yes"), (0, "0"), (1234567, "1,234,567"), (0.000123456789, "0.000123457"), ("<", "<"),
        ({"value": 0.78912, "uncertainty": 0.00285}, "0.7891 ± 0.0029"), ({"value": 0.8761, "uncertainty": 0.00999}, "0.876 ± 0.010"),
        ({"value": 1234.5, "uncertainty": 120.0}, "1,234 ± 120"), ({"value": None, "uncertainty": None}, "not known"),
        ({"value": 0.5, "uncertainty": None}, "0.5"), ({"value": 0.5, "uncertainty": 0.0}, "0.5"),
    ],
)  # fmt: skip
def test_cells(value, shown):
    assert cell(value) == shown


def test_units_and_settings():
    assert unit_of(at_most("open:lut", 3.0, 5.0).model_copy(update={"limit": "<= 5 % of the device"})) == "%"
    assert unit_of(at_most("implementation:latency_ns", 3.0, 5.0)) == "ns"
    assert unit_of(at_most("estimate:latency_crossings", 3.0, 5.0)) == "bunch crossings"
    assert unit_of(at_most("physics:mass_peak_W", 1.0, 3.0)) == "GeV"
    assert unit_of(at_least("physics:macro_auc", 0.9, 0.8)) == ""
    settings = {"a": {"b": [1.0, 2.5]}, "c": [{"d": 1}, {"d": 2}], "e": None, "f": [], "g": {}}
    assert dict(flattened(settings)) == {
        "a.b": "1, 2.5",
        "c.1.d": 1,
        "c.2.d": 2,
        "e": "not set",
        "f": "none",
        "g": "none",
    }


def test_a_browser_opens_it(run, tmp_path):
    """It shows every figure and the verdict, fetches nothing, and nothing is wider than a phone."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome on the PATH")
    page = write_page(run)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="{page.as_uri()}" style="width:390px;height:800px;border:0"></iframe><p id="found"></p>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument; "
        "document.getElementById('found').textContent = [d.documentElement.scrollWidth - d.documentElement.clientWidth, d.querySelectorAll('svg').length, "
        "d.defaultView.performance.getEntriesByType('resource').length, d.querySelector('strong').textContent].join(' ') }</script>"
    )
    result = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=5000",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<p id="found">([^<]*)</p>', result.stdout)[1]
    assert found == f"0 {len(list((run / 'plots').glob('*.svg')))} 0 PASS"
    assert "Refused to" not in result.stderr


def test_the_command_in_a_process_of_its_own(run):
    result = jetgate("page", f"runs/{run.name}", folder=run.parents[1])
    assert (result.returncode, result.stdout, result.stderr) == (0, f"runs/{run.name}/report/index.html\n", "")
