from __future__ import annotations

import numpy as np
import pytest

from trigger.digest import digest
from trigger.errors import InputError, nearest
from trigger.files import make_folder, read_json, replacing, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "x.json"
    write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), replacing(target) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("one", "two"):
        with replacing(tmp_path / "folder") as fresh:
            fresh.mkdir()
            (fresh / content).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        make_folder(tmp_path / "file" / "folder")


def test_digests_tell_kinds_and_shapes_apart():
    values = [
        1,
        1.0,
        "1",
        True,
        None,
        [1],
        {"1": 1},
        np.array([1]),
        np.array([[1]]),
        np.array([1], dtype=np.int32),
        b"1",
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("ab", "c") != digest("a", "bc")
    with pytest.raises(TypeError, match="no digest"):
        digest(object())


def test_nearest_names():
    assert nearest("Jet_Pt", ["Jet_pt", "Jet_phi", "Muon_pt"]).startswith("'Jet_pt'")
    assert nearest("zzz", ["b", "a"]) == "'a', 'b'"
