"""Ready tables of jet features: npz, HDF5 and parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trigger.config import Settings
from trigger.data.arrays import whole_arrays
from trigger.data.jets import Distinct, FeatureDataset, Origin, concatenate_features
from trigger.errors import InputError, nearest
from trigger.files import matching


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
    classes: Annotated[tuple[str, ...], Distinct]
    files: tuple[str, ...]
    features: dict[str, str] = Field(min_length=1)
    units: dict[str, str] = {}
    label: ColumnLabel | OneHotLabel
    weight: str | None = None
    event: str | None = None
    dataset: str | None = None
    column_names: str | None = None


def read_table(data: TableData) -> FeatureDataset:
    """The whole table.

    Raises:
        InputError: A file or column is missing or broken, a number is NaN, or a class has no jets.
    """
    parts: list[FeatureDataset] = []
    offset = 0
    for path in matching(data.files):
        try:
            part, rows = _one(data, path, offset)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        offset += rows
        parts += [part] if part is not None else []
    return concatenate_features(parts)


def _one(data: TableData, path: Path, offset: int) -> tuple[FeatureDataset | None, int]:
    """The labelled rows of one file, if there are any, and the number of all its rows."""
    named = data.label.values if isinstance(data.label, ColumnLabel) else data.label.one_hot
    for name in named:
        if name not in data.classes:
            raise InputError(f"label {name!r} is none of the classes; nearest: {nearest(name, data.classes)}")
    label_columns = [data.label.column] if isinstance(data.label, ColumnLabel) else list(data.label.one_hot.values())
    others = [name for name in (data.weight, data.event) if name is not None]
    table = _columns(data, path, [*data.features.values(), *label_columns, *others])
    rows = len(table[label_columns[0]])

    def numbers(name: str) -> NDArray[np.float64]:
        column = table[name]
        if column.ndim != 1 or len(column) != rows:
            raise InputError(
                f"column {name!r} has shape {column.shape}, the label {label_columns[0]!r} has {rows} rows"
            )
        if column.dtype.kind not in "biuf":
            raise InputError(f"column {name!r} does not hold numbers but {column.dtype}")
        return column.astype(np.float64)

    values = np.stack([numbers(name) for name in data.features.values()], axis=1)
    labels = np.full(rows, -1, dtype=np.int64)
    if isinstance(data.label, ColumnLabel):
        for name, means in data.label.values.items():
            labels[_is_one_of(table[data.label.column], means)] = data.classes.index(name)
    else:
        for name, column in data.label.one_hot.items():
            labels[numbers(column) == 1] = data.classes.index(name)
    keep = labels >= 0
    if not keep.any():
        return None, rows
    weights = numbers(data.weight) if data.weight else np.ones(rows)
    events = numbers(data.event) if data.event else np.arange(rows, dtype=np.float64) + offset
    if not np.isfinite(events).all() or (events % 1 != 0).any():
        raise InputError(f"column {data.event!r} does not hold event numbers: not all are whole numbers")
    origin = Origin("table", False, {"settings": data.model_dump(mode="json")})
    return FeatureDataset(
        values[keep], tuple(data.features), labels[keep], data.classes, weights[keep], events[keep].astype(np.int64), origin
    ), rows  # fmt: skip


def _is_one_of(column: NDArray[Any], means: tuple[int | str, ...]) -> NDArray[np.bool_]:
    """Which entries are one of the given numbers or texts; numbers are compared as numbers."""
    if column.dtype.kind in "biuf":
        return np.isin(column, [float(value) for value in means if not isinstance(value, str) or _is_number(value)])
    text = np.char.decode(column) if column.dtype.kind == "S" else column
    text = np.array([value.decode() if isinstance(value, bytes) else str(value) for value in text])
    return np.isin(text, [str(value) for value in means])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(data: TableData, path: Path, wanted: list[str]) -> dict[str, NDArray[Any]]:
    """The wanted columns, out of single arrays or out of the one array that holds the table; nothing else is read."""
    with whole_arrays(path) as (known, read):
        if data.dataset is None:
            _require(wanted, known)
            return {name: np.asarray(read(name)) for name in wanted}
        if data.dataset not in known:
            raise InputError(f"there is no array {data.dataset!r}; nearest: {nearest(data.dataset, known)}")
        table = read(data.dataset)
        if table.dtype.names:
            _require(wanted, table.dtype.names)
            return {name: table[name] for name in wanted}
        if data.column_names is None or data.column_names not in known:
            raise InputError(f"array {data.dataset!r} has no named fields: 'column_names' must name the array of names")
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in read(data.column_names).ravel()]
        if table.ndim != 2 or table.shape[1] != len(names):
            raise InputError(f"array {data.dataset!r} of shape {table.shape} has {len(names)} column names")
        _require(wanted, names)
        return {name: table[:, names.index(name)] for name in wanted}


def _require(wanted: list[str], known: Iterable[str]) -> None:
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no column {name!r}; nearest: {nearest(name, known)}")
