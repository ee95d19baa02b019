"""Writing files so that nobody ever sees half of one: beside first, then renamed."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trigger.errors import InputError

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents, or say why that cannot be.

    Raises:
        InputError: The folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: this output folder cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: this output folder cannot be written: permission denied")
    return folder


def matching(patterns: Iterable[str]) -> list[Path]:
    """The files that paths or patterns mean, in the order of the patterns, sorted within each.

    Raises:
        InputError: One of them matches no file.
    """
    found: list[Path] = []
    for pattern in patterns:
        literal = Path(pattern).expanduser()  # taken as it is where it is there: jets[1].root is a name too
        matches = [str(literal)] if literal.is_file() else sorted(glob.glob(str(literal), recursive=True))  # noqa: PTH207, it may be absolute
        if not matches:
            raise InputError(f"{pattern}: no such file")
        found += [Path(match) for match in matches]
    return found


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write (a file or a folder) that becomes `target` only when the block ends well.

    A file is renamed over the old one atomically. A folder is swapped in by two renames.

    Raises:
        InputError: The folder around `target` or the file itself cannot be written, as on a full disk.
    """
    make_folder(target.parent)
    _sweep(target)
    try:
        workspace = Path(tempfile.mkdtemp(prefix=f"{_workspace_prefix(target)}{os.getpid()}-", dir=target.parent))
    except OSError as error:
        raise InputError(f"{target.parent}: this output folder cannot be written: {error.strerror}") from error
    try:
        fresh = workspace / target.name
        yield fresh
        if fresh.is_dir() and target.is_dir():
            target.rename(workspace / "replaced")
        fresh.replace(target)
    except OSError as error:
        if not _of_writing(error, workspace):
            raise
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _of_writing(error: OSError, workspace: Path) -> bool:
    """Whether the system refused to write there: it names no other file, and is no lost connection."""
    elsewhere = error.filename is not None and not Path(os.fsdecode(error.filename)).is_relative_to(workspace)
    return error.errno is not None and not elsewhere and not isinstance(error, ConnectionError | ChildProcessError)


def _workspace_prefix(target: Path) -> str:
    return f".{target.name}-{socket.gethostname()}-"


def _sweep(target: Path) -> None:
    """Remove what killed processes of this machine left of earlier attempts at `target`."""
    prefix = _workspace_prefix(target)
    for left in target.parent.glob(f"{glob.escape(prefix)}*-*"):
        process = left.name.removeprefix(prefix).split("-")[0]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, OSError):
            continue  # not ours to judge


@contextmanager
def locked(folder: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Wait until no other process of this machine holds `folder`, then hold it; a killed process holds nothing.

    Args:
        folder: Made if it is not there.
        waiting: Told once, in a sentence, where another process has to be waited for.

    Raises:
        InputError: The folder cannot be made or written.
    """
    make_folder(folder)
    try:
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: this output folder cannot be written: {error.strerror}") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting(f"waits for another jetgate in {folder}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def make_once(target: Path, make: Callable[[], None], waiting: Callable[[str], None] | None = None) -> Path:
    """A file that `make` makes, unless it is there; of several processes one makes it, and the others wait for it.

    Args:
        target: The file.
        make: Makes it.
        waiting: Told once where another process has to be waited for.

    Returns:
        The file.
    """
    if not target.is_file():
        with locked(target.parent, waiting):
            if not target.is_file():  # another process may have made it while we waited
                make()
    return target


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` in one step."""
    with replacing(target) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON to `target` in one step; NaN and infinity are errors."""
    write_text(target, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(source: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: The file is missing or is not JSON.
    """
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read as JSON: {error}") from error


@contextmanager
def reading_arrays(source: Path) -> Iterator[NpzFile]:
    """The arrays of an npz file that this package made, for the time of the block; none is unpickled.

    What the block itself finds wrong with them, as `KeyError` or `ValueError`, is told in the same way.

    Raises:
        InputError: The file is missing, cut off or something else.
    """
    import numpy as np

    try:
        with source.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise ValueError("this is no whole npz file")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as stored:
                yield stored
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such file") from error
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{source}: cannot be read: {reason}; remove it, and it is made anew") from error
