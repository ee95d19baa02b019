"""Ready tables of jet features: npz, HDF5 and parquet."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from trigger.config import Settings
from trigger.data.jets import FeatureDataset, Origin, concatenate_features
from trigger.errors import InputError, nearest


class ColumnLabel(Settings):
    """The class by one column: class name to the values that mean it, numbers or text."""

    column: str
    values: dict[str, tuple[int | str, ...]]


class OneHotLabel(Settings):
    """The class by one column a class, of which one is 1: class name to column."""

    one_hot: dict[str, str]


class TableData(Settings):
    """Jets as a table, one row a jet.

    Attributes:
        classes: Class names, in the order of the network's outputs.
        files: Paths or patterns; `.npz`, `.h5`/`.hdf5` or `.parquet`.
        features: Name of each network input to the column that holds it; the order is the network's.
        units: Unit of an input, where it has one.
        label: How the class is told.
        weight: Column of the weight.
        event: Column of the event number; without it every row is an event of its own.
        dataset: For npz and HDF5 the array that holds the table, where it is one array: with named fields, or
            two-dimensional with the names in `column_names`.
        column_names: The array that holds the names of the columns of `dataset`.
    """

    kind: Literal["table"]
    classes: tuple[str, ...]
    files: tuple[str, ...]
    features: dict[str, str]
    units: dict[str, str] = {}
    label: ColumnLabel | OneHotLabel
    weight: str | None = None
    event: str | None = None
    dataset: str | None = None
    column_names: str | None = None

    @field_validator("features")
    @classmethod
    def _some(cls, features: dict[str, str]) -> dict[str, str]:
        if not features:
            raise ValueError("at least one feature is needed")
        return features


def read_table(data: TableData) -> FeatureDataset:
    """The whole table.

    Raises:
        InputError: A file or column is missing or broken, a number is NaN, or a class has no jets.
    """
    parts: list[FeatureDataset] = []
    rows = 0
    for pattern in data.files:
        paths = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207, patterns may be absolute
        if not paths:
            raise InputError(f"{pattern}: no such file")
        for path in paths:
            try:
                part = _one(data, Path(path), rows)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            rows += len(part)
            parts.append(part)
    return concatenate_features(parts)


def _one(data: TableData, path: Path, offset: int) -> FeatureDataset:
    table = _columns(data, path)

    def column(name: str) -> NDArray[Any]:
        if name not in table:
            raise InputError(f"there is no column {name!r}; nearest: {nearest(name, table)}")
        return np.asarray(table[name])

    values = np.stack([column(name).astype(np.float64) for name in data.features.values()], axis=1)
    rows = len(values)
    labels = np.full(rows, -1, dtype=np.int64)
    chosen = data.label.values if isinstance(data.label, ColumnLabel) else data.label.one_hot
    for name, means in chosen.items():
        if name not in data.classes:
            raise InputError(f"label {name!r} is none of the classes; nearest: {nearest(name, data.classes)}")
        if isinstance(data.label, ColumnLabel):
            found = column(data.label.column)
            found = np.char.decode(found) if found.dtype.kind == "S" else found
            hit = np.isin(found.astype(str), [str(value) for value in means])
        else:
            hit = column(str(means)) == 1
        labels[hit] = data.classes.index(name)
    keep = labels >= 0
    if not keep.any():
        raise InputError("the sample is empty: no row has one of the labels")
    weights = column(data.weight).astype(np.float64) if data.weight else np.ones(rows)
    events = column(data.event).astype(np.int64) if data.event else np.arange(rows) + offset
    return FeatureDataset(
        values[keep], tuple(data.features), labels[keep], data.classes, weights[keep], events[keep],
        Origin("table", False, {"settings": data.model_dump(mode="json")}),
    )  # fmt: skip


def _columns(data: TableData, path: Path) -> Mapping[str, Any]:
    try:
        match path.suffix:
            case ".npz":
                with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                    return _named(data, {name: stored[name] for name in stored.files})
            case ".h5" | ".hdf5":
                import h5py

                with h5py.File(path) as stored:
                    return _named(data, {name: stored[name][()] for name in stored if hasattr(stored[name], "dtype")})
            case ".parquet":
                import pyarrow.parquet

                table = pyarrow.parquet.read_table(path)
                return {name: table[name].to_numpy() for name in table.column_names}
            case other:
                raise InputError(f"a table is .npz, .h5, .hdf5 or .parquet, not {other!r}")
    except InputError:
        raise
    except Exception as error:  # three libraries, each with its own words for a broken file
        raise InputError(f"cannot be read as a table: {error}") from error


def _named(data: TableData, arrays: dict[str, Any]) -> dict[str, Any]:
    """Columns by name, out of single arrays or out of the one array that holds the table."""
    if data.dataset is None:
        return arrays
    if data.dataset not in arrays:
        raise InputError(f"there is no array {data.dataset!r}; nearest: {nearest(data.dataset, arrays)}")
    table = arrays[data.dataset]
    if table.dtype.names:
        return {name: table[name] for name in table.dtype.names}
    if data.column_names is None or data.column_names not in arrays:
        raise InputError(f"array {data.dataset!r} has no named fields: 'column_names' must name the array of names")
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in arrays[data.column_names].ravel()]
    if table.ndim != 2 or table.shape[1] != len(names):
        raise InputError(f"array {data.dataset!r} of shape {table.shape} has {len(names)} column names")
    return {name: table[:, index] for index, name in enumerate(names)}
