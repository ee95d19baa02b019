from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from trigger.digest import digest
from trigger.errors import InputError, nearest
from trigger.files import locked, make_folder, make_once, read_json, reading_arrays, replacing, write_json, write_text


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


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    write_text(tmp_path / "x.txt", "before")
    with (
        pytest.raises(InputError, match=r"x\.txt: cannot be written: No space left on device"),
        replacing(tmp_path / "x.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (tmp_path / "x.txt").read_text() == "before"
    with pytest.raises(InputError, match="cannot be written: No such file"), replacing(tmp_path / "x.txt"):
        pass  # nothing was written
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x.txt"):
        (tmp_path / "another").read_text()
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "x.txt"):
        raise BrokenPipeError(errno.EPIPE, "lost")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


FULL = """
import resource, numpy as np, warnings
from pathlib import Path
from trigger.errors import InputError
from trigger.files import replacing, write_text
from trigger.plots.style import labelled_axes, save
figure, _ = labelled_axes(simulated=True)
save(figure, Path("figure"))
before = Path("figure.png").read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
def text(): write_text(Path("x.txt"), "x" * 10000)
def arrays():
    with replacing(Path("x.npz")) as fresh, fresh.open("wb") as stream:
        np.savez(stream, x=np.arange(10000))
for write in (text, arrays, lambda: save(figure, Path("figure"))):
    try:
        write()
    except InputError as error:
        print(error)
assert Path("figure.png").read_bytes() == before
"""


def test_what_the_system_does_not_write_is_named(tmp_path):
    """With a limit on the size of files in place of a full disk."""
    found = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.split("\n")[:3] == [
        f"{name}: cannot be written: File too large" for name in ("x.txt", "x.npz", "figure.svg")
    ]
    assert found.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == {"figure.svg", "figure.png"}


def test_a_process_that_waits_says_so(tmp_path):
    told, held = [], threading.Event()

    def waits():
        with locked(tmp_path, told.append):
            held.set()

    with locked(tmp_path, told.append):
        assert not told, "nobody is waited for"
        other = threading.Thread(target=waits)
        other.start()
        while not told:
            assert not held.wait(0.01)
    other.join()
    assert held.is_set()
    assert told == [f"waits for another jetgate in {tmp_path}"]
    make_once(tmp_path / "x", (tmp_path / "x").touch, told.append)
    assert len(told) == 1


@pytest.mark.parametrize("broken", ["empty", "cut", "junk", "changed", "one array", "folder", "less"])
def test_broken_arrays_are_named(tmp_path, broken):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(1000), b=np.ones(3))
    with reading_arrays(path) as stored:
        assert stored["a"].sum() == 499500
    whole = path.read_bytes()
    path.unlink()
    match broken:
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(whole[:4000])
        case "junk":
            path.write_bytes(b"junk" * 100)
        case "changed":
            path.write_bytes(whole[:2000] + bytes(8) + whole[2008:])
        case "one array":
            with path.open("wb") as stream:
                np.save(stream, np.ones(3))
        case "folder":
            path.mkdir()
        case "less":
            np.savez(path, b=np.ones(3))
    with pytest.raises(InputError, match=r"x\.npz: cannot be read: .*; remove it, and it is made anew$") as raised:  # noqa: SIM117
        with reading_arrays(path) as stored:
            assert len(stored["a"]) == 1000
    assert "pickle" not in str(raised.value)


def test_arrays_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"x\.npz: no such file"), reading_arrays(tmp_path / "x.npz"):
        pass


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
