"""Digests of content: the key of every cached step and the seal of every project.

A digest is of what a thing *is* (arrays, weights, settings, sources), never of a file's bytes: `.keras` and ROOT files
carry dates and random names and are never equal byte by byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError

SHORT = 10
"""Characters of a digest that go into the name of a folder."""


def digest(*parts: Any) -> str:
    """SHA-256 over `parts`, in hexadecimal.

    Each part is `None`, a bool, number, string, bytes, numpy array, list, tuple, mapping, or anything with pydantic's
    `model_dump`. Mappings are taken in the order of their keys, and every part is prefixed with its kind and length, so
    that no two different contents are spelled alike.

    Raises:
        TypeError: A part is of another kind.
    """
    state = hashlib.sha256()
    _feed(state, parts)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file.

    Raises:
        InputError: The file cannot be read.
    """
    state = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                state.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return state.hexdigest()


def _feed(state: hashlib._Hash, part: Any) -> None:
    if hasattr(part, "model_dump"):
        part = part.model_dump(mode="json")
    if isinstance(part, np.generic):
        part = part.item()
    if part is None or isinstance(part, bool | int | float | str):
        _tagged(state, "scalar", json.dumps(part).encode())
    elif isinstance(part, bytes):
        _tagged(state, "bytes", part)
    elif isinstance(part, np.ndarray):
        array: NDArray[Any] = np.ascontiguousarray(part)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        _tagged(state, f"array {little.dtype.str} {array.shape}", little.tobytes())
    elif isinstance(part, list | tuple):
        _tagged(state, f"list {len(part)}", b"")
        for item in part:
            _feed(state, item)
    elif isinstance(part, Mapping):
        _tagged(state, f"mapping {len(part)}", b"")
        for key in sorted(part):
            _feed(state, key)
            _feed(state, part[key])
    else:
        raise TypeError(f"no digest is defined for {type(part).__name__}")


def _tagged(state: hashlib._Hash, tag: str, content: bytes) -> None:
    state.update(f"{tag} {len(content)}\n".encode())
    state.update(content)


def network_digest(network: Any) -> str:
    """Digest of a Keras network: its structure and its weights.

    Numbers that Keras draws for each process (shared object ids) and what only training needs are left out.

    Args:
        network: Anything with Keras's `get_config()` and `weights`.
    """
    return digest(_stable(network.get_config()), [np.asarray(weight) for weight in network.weights])


def _stable(config: Any) -> Any:
    if isinstance(config, Mapping):
        unstable = {"shared_object_id", "build_config", "compile_config", "trainable"}
        return {str(key): _stable(value) for key, value in config.items() if key not in unstable}
    if isinstance(config, list | tuple):
        return [_stable(value) for value in config]
    if config is None or isinstance(config, bool | int | float | str):
        return config
    inner = getattr(config, "get_config", None)
    return [type(config).__name__, _stable(inner())] if callable(inner) else str(config)
