"""Arrays in files, some rows at a time: npz, npy, HDF5, parquet, and what pandas writes to HDF5. Nothing is unpickled."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError, nearest

Block = dict[str, Any]
"""Some rows of arrays, by the names of the arrays: numpy, or awkward for the lists of a parquet file."""
_Rows = tuple[
    tuple[int, ...], Callable[[int, int], NDArray[Any]]
]  # an array's shape, and what reads rows start to stop


def array_blocks(path: Path, wanted: Sequence[str], rows: int, optional: Sequence[str] = ()) -> Iterator[Block]:
    """Arrays of an npz, HDF5 or parquet file.

    Args:
        path: The file.
        wanted: Names of arrays that are as long as each other.
        rows: How many rows a block has.
        optional: Further names, left out where the file has none.

    Raises:
        InputError: An array is missing, the lengths differ, there are no rows, or the file is broken.
    """
    with _blaming():
        match path.suffix:
            case ".npz":
                yield from _npz_blocks(path, wanted, rows, optional)
            case ".h5" | ".hdf5":
                with _hdf5_file(path) as stored:
                    names = _present(wanted, optional, _datasets(stored))
                    yield from _blocks({name: _hdf5_rows(stored[name]) for name in names}, rows)
            case ".parquet":
                yield from _parquet_blocks(path, wanted, rows, optional)
            case other:
                raise InputError(f"arrays are in .npz, .h5, .hdf5 or .parquet, not {other!r}")


@contextmanager
def whole_arrays(path: Path) -> Iterator[tuple[list[str], Callable[[str], NDArray[Any]]]]:
    """The arrays of an npz, HDF5 or parquet file: their names, and a function that reads one of them whole.

    Args:
        path: The file, open within the block.

    Raises:
        InputError: The file is broken or of another kind, also where what is read in the block shows it.
    """
    with _blaming(), ExitStack() as files:
        match path.suffix:
            case ".npz":
                archive = files.enter_context(np.load(files.enter_context(path.open("rb")), allow_pickle=False))
                yield archive.files, lambda name: archive[name]
            case ".h5" | ".hdf5":
                stored = files.enter_context(_hdf5_file(path))
                yield list(stored), lambda name: _hdf5_part(stored[name], ())
            case ".parquet":
                import pyarrow.parquet

                table = files.enter_context(pyarrow.parquet.ParquetFile(path))
                yield table.schema_arrow.names, lambda name: table.read([name])[name].to_numpy()
            case other:
                raise InputError(f"arrays are in .npz, .h5, .hdf5 or .parquet, not {other!r}")


def npy_blocks(paths: Mapping[str, Path], rows: int) -> Iterator[Block]:
    """Arrays that are npy files of their own.

    Args:
        paths: Name and file of each array.
        rows: How many rows a block has.

    Raises:
        InputError: The lengths differ, there are no rows, or a file is broken.
    """

    def stored(path: Path) -> _Rows:
        with _blaming(f"{path}: "):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.shape, lambda start, stop: np.array(array[start:stop])  # into memory: it is used several times

    yield from _blocks({name: stored(path) for name, path in paths.items()}, rows)


def pandas_blocks(
    path: Path, key: str, wanted: Sequence[str], order: Sequence[Sequence[str]], rows: int
) -> Iterator[Block]:
    """Columns of a table that pandas wrote to HDF5, in its "table" or its "fixed" format.

    Such a file holds the columns of each type in one two-dimensional array. The names of the columns of a "table" are pickled
    in an attribute; they are searched for in its bytes, and where there are none `order` is taken.

    Args:
        path: The file.
        key: Name of the table in the file.
        wanted: Names of columns.
        order: For each array the names of all its columns.
        rows: How many rows a block has.

    Raises:
        InputError: There is no such table or column, there are no rows, or the file is broken.
    """
    import h5py

    with _blaming(), _hdf5_file(path) as stored:
        tables = [name for name, found in stored.items() if isinstance(found, h5py.Group)]
        if key not in tables:
            raise InputError(f"there is no table of pandas {key!r}; nearest: {nearest(key, tables or list(stored))}")
        parts, names = _pandas_parts(stored[key], order)
        places = {name: (part, place) for part, found in names.items() for place, name in enumerate(found)}
        _present(wanted, (), list(places))
        for block in _blocks(parts, rows):
            yield {name: block[part][:, place] for name in wanted for part, place in [places[name]]}


def _pandas_parts(group: Any, order: Sequence[Sequence[str]]) -> tuple[dict[str, _Rows], dict[str, list[str]]]:
    """The two-dimensional arrays of a table of pandas, and the names of the columns of each."""
    parts: dict[str, _Rows] = {}
    if "table" in group and group["table"].dtype.names:
        table = group["table"]
        (length,), read = _hdf5_rows(table)
        once = lru_cache(maxsize=1)(read)  # all arrays lie in the same rows
        known = [name for each in order for name in each]
        found = sorted(name for name in table.dtype.names if name.startswith("values_block_"))
        for part in found:
            parts[part] = ((length, *table.dtype[part].shape), partial(_field, once, part))
        spelled = [_names_in(table.attrs.get(f"{part}_kind"), known) for part in found]
    else:
        found = sorted(name for name in group if re.fullmatch(r"block\d+_values", name))
        parts = {part: _hdf5_rows(group[part]) for part in found}
        spelled = [[one.decode() for one in group[part.replace("values", "items")][()]] for part in found]
    names: dict[str, list[str]] = {}
    for number, (part, columns) in enumerate(zip(found, spelled, strict=True)):
        names[part] = columns or list(order[number] if number < len(order) else ())
        shape = parts[part][0]
        if len(shape) != 2 or shape[1] != len(names[part]):
            raise InputError(f"{part} has the shape {shape}, and {len(names[part])} names of columns are known")
    if not found:
        raise InputError(f"{group.name!r} holds no table of pandas, but {', '.join(map(repr, group))}")
    return parts, names


def _field(read: Callable[[int, int], NDArray[Any]], name: str, start: int, stop: int) -> NDArray[Any]:
    field: NDArray[Any] = read(start, stop)[name]
    return field


def _names_in(attribute: Any, known: Iterable[str]) -> list[str]:
    """Those of the known names that the bytes of an attribute have in them, in the order of their places."""
    if attribute is None:
        return []
    content = attribute.tobytes() if hasattr(attribute, "tobytes") else str(attribute).encode()
    longest_first = sorted(known, key=len, reverse=True)  # PX_12 begins like PX_1
    return [name.decode() for name in re.findall("|".join(map(re.escape, longest_first)).encode(), content)]


def _blocks(arrays: Mapping[str, _Rows], rows: int) -> Iterator[Block]:
    shapes = {name: shape for name, (shape, _) in arrays.items()}
    lengths = {shape[:1] for shape in shapes.values()}
    if len(lengths) > 1 or () in lengths:
        raise InputError(f"the arrays differ in length: {_spelled(shapes)}")
    ((length,),) = lengths
    if length == 0:
        raise InputError(f"there are no jets: {_spelled(shapes)}")
    for start in range(0, length, rows):
        stop = min(start + rows, length)
        yield {name: read(start, stop) for name, (_, read) in arrays.items()}


def _spelled(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name!r} has the shape {shape}" for name, shape in list(shapes.items())[:5])


def _npz_blocks(path: Path, wanted: Sequence[str], rows: int, optional: Sequence[str]) -> Iterator[Block]:
    """Unpacked as they are read; `np.load` would unpack whole arrays."""
    with zipfile.ZipFile(path) as archive, ExitStack() as streams:
        known = [name.removesuffix(".npy") for name in archive.namelist()]
        names = _present(wanted, optional, known)
        arrays = {name: _npy_rows(streams.enter_context(archive.open(f"{name}.npy")), name) for name in names}
        yield from _blocks(arrays, rows)


def _npy_rows(stream: Any, name: str) -> _Rows:
    """An array in a stream, whose blocks are read in their order."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, column_by_column, kind = header(stream)
    if kind.hasobject:
        raise InputError(f"array {name!r} is of Python objects, which would have to be unpickled; numbers are right")
    if column_by_column and len(shape) > 1:
        whole = np.frombuffer(stream.read(), dtype=kind).reshape(shape, order="F")
        return shape, lambda start, stop: whole[start:stop]
    row = int(np.prod(shape[1:], dtype=np.int64)) * kind.itemsize

    def read(start: int, stop: int) -> NDArray[Any]:
        content = stream.read((stop - start) * row)
        return np.frombuffer(content, dtype=kind).reshape(stop - start, *shape[1:])

    return shape, read


def _datasets(stored: Any) -> list[str]:
    """Names of all arrays in an HDF5 file, with the groups that they are in."""
    import h5py

    found: list[str] = []
    stored.visititems(lambda name, one: found.append(name) if isinstance(one, h5py.Dataset) else None)
    return found


def _hdf5_file(path: Path) -> Any:
    import h5py
    import hdf5plugin  # noqa: F401 - HDF5 knows its filters once it is imported

    return h5py.File(path)


def _hdf5_rows(dataset: Any) -> _Rows:
    return dataset.shape, lambda start, stop: _hdf5_part(dataset, slice(start, stop))


def _hdf5_part(dataset: Any, chosen: slice | tuple[()]) -> NDArray[Any]:
    import h5py

    try:
        found: NDArray[Any] = dataset[chosen]
    except OSError as error:
        made = dataset.id.get_create_plist()
        filters = [made.get_filter(number) for number in range(made.get_nfilters())]
        absent = [(code, name.decode()) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]
        if not absent:
            raise
        raise InputError(
            f"array {dataset.name!r} was compressed by filter {absent[0][0]} ({absent[0][1] or 'no name'}) of HDF5, which "
            "neither h5py nor hdf5plugin has; right would be one of theirs, none, or parquet or npz"
        ) from error
    return found


def _parquet_blocks(path: Path, wanted: Sequence[str], rows: int, optional: Sequence[str]) -> Iterator[Block]:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        names = _present(wanted, optional, file.schema_arrow.names)
        if file.metadata.num_rows == 0:
            raise InputError("there are no jets: the table has 0 rows")
        for batch in file.iter_batches(rows, columns=names):
            lists = {name for name in names if pyarrow.types.is_nested(batch.schema.field(name).type)}
            columns = {name: batch[name] for name in names}
            yield {
                name: _lists(one, name) if name in lists else one.to_numpy(zero_copy_only=False)
                for name, one in columns.items()
            }


def _lists(column: Any, name: str) -> Any:
    """A column of lists as awkward array; what parquet calls missing is refused."""
    import awkward as ak

    found = ak.from_arrow(column.cast(_large(column.type)))
    if ak.any(ak.is_none(found)) or ak.any(ak.is_none(found, axis=1), axis=None):
        raise InputError(f"array {name!r} has missing values")
    return ak.drop_none(found)


def _large(kind: Any) -> Any:
    """A type of arrow with lists of 64-bit offsets: awkward drops missing values from no others."""
    import pyarrow

    return pyarrow.large_list(_large(kind.value_type)) if pyarrow.types.is_list(kind) else kind


def _present(wanted: Sequence[str], optional: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no array {name!r}; nearest: {nearest(name, known)}")
    return [*wanted, *(name for name in optional if name in known)]


@contextmanager
def _blaming(prefix: str = "") -> Iterator[None]:
    """Whatever the libraries dislike about a file becomes our error: each has its own words for a broken one."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{prefix}cannot be read: {str(error) or type(error).__name__}") from error
