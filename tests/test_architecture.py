"""Who may import whom, and one door for each foreign library."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("trigger", "models", "firmware")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

DOORS = {
    "uproot": ["trigger/data/rootfile.py", "trigger/data/event_rootfile.py"],
    "pythia8mc": ["trigger/data/generate.py"],
    "fastjet": ["trigger/inputs/clustering.py"],
    "numba": [
        "trigger/inputs/grooming.py",
        "trigger/inputs/correlators.py",
        "trigger/inputs/trees.py",
        "trigger/inputs/subjets.py",
        "trigger/inputs/groomers.py",
        "trigger/inputs/nsubjettiness.py",
        "trigger/inputs/top_finder.py",
    ],
    "matplotlib": ["trigger/plots/"],
    "mplhep": ["trigger/plots/"],
    "yaml": ["trigger/config.py"],
    "h5py": ["trigger/data/arrays.py"],
    "hdf5plugin": ["trigger/data/arrays.py"],
    "pyarrow": ["trigger/data/arrays.py"],
    "sklearn": ["models/offline/tagging.py"],
    "threadpoolctl": ["models/offline/tagging.py"],
    "pyhepmc": ["trigger/data/hepmc.py"],
    "typer": ["trigger/app/"],
    "jinja2": ["trigger/app/page.py"],
    "markupsafe": ["trigger/app/page.py"],
    "rich": ["trigger/app/"],
    "qkeras": [
        "models/quantization.py",
        "firmware/backends/qkeras_layers.py",
    ],
    "keras": ["models/", "firmware/backends/", "firmware/engines/", "trigger/app/console.py"],
    "hls4ml": ["firmware/backends/hls"],
    "alkaid": ["firmware/backends/rtl"],
    "distributed": ["trigger/workers.py"],
    "subprocess": ["firmware/tools.py"],
    "tensorflow": [],
    "jax": [],
    "pickle": [],
}
HEAVY = ("awkward", "fastjet", "h5py", "hls4ml", "keras", "matplotlib", "mplhep", "numba", "pyarrow", "pythia8mc", "qkeras",
         "sklearn", "tensorflow", "uproot")  # fmt: skip
BANNED_NAMES = ("utils", "helpers", "common", "base", "misc")


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Every imported module: its name, its line, and whether the import is outside every function."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }  # fmt: skip
    inside = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, node not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(f"{node.module}.{alias.name}", node.lineno, node not in inside) for alias in node.names]
    return found


def matches(module: str, wanted: str) -> bool:
    return module == wanted or module.startswith(f"{wanted}.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_house_rules(path):
    name = str(path.relative_to(ROOT))
    assert path.stem not in BANNED_NAMES, f"{name}: a file is named by what is in it, not {path.stem!r}"
    for module, line, at_top in imports(path):
        where, first = f"{name}:{line}", module.split(".")[0]
        app = name.startswith("trigger/app/")
        if first in ("models", "firmware") and not app:
            assert first == name.split("/", maxsplit=1)[0], (
                f"{where}: {name.split('/', maxsplit=1)[0]}/ may not import {first}/"
            )
        assert app or not matches(module, "trigger.app"), f"{where}: nobody imports trigger/app/"
        for library, doors in DOORS.items():
            if matches(module, library):
                good = any(name.startswith(door) for door in doors)
                assert good, f"{where}: {library} is imported only in {', '.join(doors) or 'no file'}"
        if at_top and first in HEAVY and name not in DOORS["numba"]:
            pytest.fail(f"{where}: {first} is heavy and is imported inside the function that needs it")


def test_the_rules_can_fail(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import uproot\ndef f():\n    from keras import ops\n")
    assert imports(bad) == [("uproot", 1, True), ("keras.ops", 3, False)]


def test_tests_have_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))
