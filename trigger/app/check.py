"""Is everything there, and is it ours? What `jetgate check` finds out."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from firmware.tools import HOW_TO_GET, look_up

OURS = ("trigger", "models", "firmware")
LIBRARIES = (
    "numpy",
    "awkward",
    "uproot",
    "fastjet",
    "pythia8mc",
    "keras",
    "qkeras-v3",
    "hls4ml",
    "alkaid",
    "tensorflow",
    "jax",
)
OPTIONAL_LIBRARIES = ("jax",)
REQUIRED_TOOLS = ("g++", "verilator")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What.
        good: Whether it is as it should be.
        required: Whether the main job needs it.
        found: What was found.
    """

    subject: str
    good: bool
    required: bool
    found: str


def check() -> list[Finding]:
    """Look at the packages, libraries, tools and the Keras backend; nothing heavy is imported."""
    return [*_own_packages(), *_libraries(), _qkeras(), _backend(), *_tools()]


def _own_packages() -> list[Finding]:
    """The three package names are common words: another distribution's may lie before ours on the path."""
    home = Path(__file__).resolve().parents[2]
    findings = []
    for name in OURS:
        spec = importlib.util.find_spec(name)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or [])] if spec else []
        ours = places == [home / name]
        found = str(places[0]) if places else "not found"
        findings.append(
            Finding(f"package {name}", ours, True, found if ours else f"{found} is not jetgate's {home / name}")
        )
    return findings


def _libraries() -> list[Finding]:
    findings = []
    for name in LIBRARIES:
        required = name not in OPTIONAL_LIBRARIES
        try:
            findings.append(Finding(f"library {name}", True, required, version(name)))
        except PackageNotFoundError:
            findings.append(Finding(f"library {name}", False, required, "not installed"))
    return findings


def _qkeras() -> Finding:
    """QKeras 0.9, qkeras-v3 and HGQ2 all install a package `qkeras`; two of them break each other silently."""
    owners = sorted(
        {
            found.metadata["Name"]
            for found in distributions()
            if any(file.parts[:1] == ("qkeras",) for file in (found.files or []))
        }
    )
    good = owners == ["qkeras-v3"]
    text = ", ".join(owners) or "nobody"
    return Finding(
        "package qkeras", good, True,
        f"installed by {text}" + ("" if good else "; exactly qkeras-v3 is right, others need an environment of their own"),
    )  # fmt: skip


def _backend() -> Finding:
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    known = {"tensorflow": "tensorflow", "jax": "jax"}
    if name not in known:
        return Finding("Keras backend", False, True, f"KERAS_BACKEND={name}: tensorflow and jax are supported")
    there = importlib.util.find_spec(known[name]) is not None
    return Finding("Keras backend", there, True, name if there else f"{name}, which is not installed")


def _tools() -> list[Finding]:
    findings = []
    for name, origin in HOW_TO_GET.items():
        tool = look_up(name)
        found = f"{tool.path}: {tool.version or 'version not known'}" if tool.path else f"not found ({origin})"
        findings.append(Finding(f"tool {name}", tool.path is not None, name in REQUIRED_TOOLS, found))
    return findings
