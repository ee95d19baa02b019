from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from trigger.config import Format, Settings, dump, find, packaged, parse
from trigger.errors import InputError


class Small(Settings):
    kind: Literal["small"]
    count: int = Field(gt=0)


class Large(Settings):
    kind: Literal["large"]
    form: Format


class Whole(Settings):
    name: str
    part: Annotated[Small | Large, Field(discriminator="kind")]
    rate: float
    flag: bool = False


GOOD = "name: no\npart: {kind: small, count: 3}\nrate: 1e-3\n"


def faults(text, *overrides):
    with pytest.raises(InputError) as caught:
        parse(text, Whole, "file.yaml", overrides)
    return str(caught.value).splitlines()


def test_yaml_without_its_traps():
    whole = parse(GOOD, Whole, "x")
    assert (whole.name, whole.rate) == ("no", 0.001)
    assert parse(GOOD.replace("3", "010"), Whole, "x").part.count == 10
    assert parse(GOOD.replace("no", "2026-01-01"), Whole, "x").name == "2026-01-01"


def test_every_fault_is_named_in_one_answer():
    text = "name: 3\npart: {kind: small, count: -1, cuont: 2}\nrate: fast\nflag: 1\nrate: 2\nfoo: 1\n"
    lines = faults(text)
    assert len(lines) == 6
    joined = "\n".join(lines)
    for piece in ("line 5: key 'rate' is given twice, first in line 3", "name: found 3", "part.count: found -1",
                  "part.cuont: there is no such key; nearest: 'count'", "flag: found 1", "foo: there is no such key"):  # fmt: skip
        assert piece in joined


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nrate: 1\npart: {kind: smal}\n", "part.kind: 'smal' is not known; nearest: 'small'"),
        ("name: a\nrate: 1\npart: {count: 1}\n", "part: the key 'kind' is required and missing"),
        ("name: a\nrate: .nan\npart: {kind: small, count: 1}\n", "rate: found NaN"),
        (
            "name: a\nrate: 1\npart: {kind: large, form: 'ap_fxed<1>'}\n",
            "part.form: 'ap_fxed<1>' is not a fixed-point format",
        ),
        ("name: [1\n", "this is not YAML"),
        ("name: a\x01b\n", "this is not YAML"),
        ("name: !!int abc\n", "this is not YAML"),
        ("name: !!timestamp abc\n", "this is not YAML"),
        ("name: &a [*a]\n", "Circular"),
        ("name: " + "[" * 3000 + "\n", "this is not YAML"),
        ("- 1\n", "a mapping of keys to values is expected, found list"),
    ],
)
def test_messages(text, message):
    assert any(message in line for line in faults(text)), faults(text)


def test_overrides():
    assert parse(GOOD, Whole, "x", ["part.count=7", "flag=true"]).part.count == 7
    assert "right would be key.sub=value" in faults(GOOD, "part.count")[0]
    assert "'name' is not a mapping" in faults(GOOD, "name.x=1")[0]


def test_a_format_in_yaml_rounds_and_saturates():
    whole = parse("name: a\nrate: 1\npart: {kind: large, form: 'ap_fixed<6,1>'}\n", Whole, "x")
    assert str(whole.part.form) == "ap_fixed<6,1,AP_RND_CONV,AP_SAT>"
    assert parse(dump(whole), Whole, "again") == whole


@pytest.mark.parametrize("text", ["1e3", "1e-3", "08", "no", "true", "~", "1.5", "2026-01-01", "a: b", ""])
def test_what_is_written_is_read_back(text):
    whole = Whole(name=text, part=Small(kind="small", count=1), rate=0.5)
    assert parse(dump(whole), Whole, "again") == whole


def test_no_code_is_run():
    assert "this is not YAML" in faults("name: !!python/object/apply:os.getcwd []\n")[0]


def test_packaged_files_are_found_by_name_or_path(tmp_path, monkeypatch):
    assert find("jet_tagger", "models", "recipes") == packaged("models", "recipes")["jet_tagger"]
    own = tmp_path / "own.yaml"
    own.write_text("x: 1\n")
    monkeypatch.chdir(tmp_path)
    assert find("own.yaml", "models", "recipes").read_text() == "x: 1\n"
    with pytest.raises(InputError, match=r"no packaged recipe 'jet_taggr'.*nearest: 'jet_tagger'"):
        find("jet_taggr", "models", "recipes")
    with pytest.raises(InputError, match="no such file"):
        find("there/is.yaml", "models", "recipes")
