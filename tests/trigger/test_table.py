from __future__ import annotations

import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trigger.config import parse
from trigger.data.table import TableData, read_table
from trigger.errors import InputError

ROWS = 30
COLUMNS = {"m": np.linspace(0, 1, ROWS), "n": np.arange(ROWS) % 7, "run": np.arange(ROWS) // 2}
KIND = np.array(["q", "g", "t"])[np.arange(ROWS) % 3]


def recipe(path, label="{column: kind, values: {quark: [q], gluon: [g]}}", more=""):
    text = f"kind: table\nclasses: [quark, gluon]\nfiles: ['{path}']\nfeatures: {{mass_gev: m, multiplicity: n}}\nlabel: {label}\n"
    return parse(text + more, TableData, "t")


def write(kind, folder):
    path = folder / f"table{kind}"
    if kind == ".npz":
        np.savez(path, **COLUMNS, kind=KIND)
    elif kind == ".parquet":
        pq.write_table(pa.table({**COLUMNS, "kind": KIND}), path)
    else:
        with h5py.File(path, "w") as file:
            for name, column in {**COLUMNS, "kind": KIND.astype("S1")}.items():
                file[name] = column
    return path


@pytest.mark.parametrize("kind", [".npz", ".h5", ".parquet"])
def test_every_format(kind, tmp_path):
    table = read_table(recipe(write(kind, tmp_path), more="event: run\n"))
    keep = KIND != "t"
    assert table.names == ("mass_gev", "multiplicity")
    np.testing.assert_array_equal(table.values[:, 0], COLUMNS["m"][keep])
    np.testing.assert_array_equal(table.labels, np.where(KIND == "q", 0, 1)[keep])
    np.testing.assert_array_equal(table.events, COLUMNS["run"][keep])
    assert not table.origin.synthetic


def test_the_layouts_of_the_public_jet_set(tmp_path):
    """One structured array with one column a class, and one plain array with its names beside it."""
    names = ["m", "n", "j_q", "j_g"]
    plain = np.stack([COLUMNS["m"], COLUMNS["n"], KIND == "q", KIND == "g"], axis=1).astype(float)
    structured = np.array([tuple(row) for row in plain], dtype=[(name, float) for name in names])
    with h5py.File(tmp_path / "public.h5", "w") as file:
        file["t_allpar_new"], file["jets"], file["jetFeatureNames"] = structured, plain, np.array(names, dtype="S")
    label = "{one_hot: {quark: j_q, gluon: j_g}}"
    one = read_table(recipe(tmp_path / "public.h5", label, "dataset: t_allpar_new\n"))
    other = read_table(recipe(tmp_path / "public.h5", label, "dataset: jets\ncolumn_names: jetFeatureNames\n"))
    assert one.digest() == other.digest()
    assert len(one) == 20


def test_compressed_by_a_filter_that_hdf5_comes_without(tmp_path):
    with h5py.File(tmp_path / "blosc.h5", "w") as file:
        for name, column in {**COLUMNS, "kind": KIND.astype("S1")}.items():
            file.create_dataset(name, data=column, chunks=True, **hdf5plugin.Blosc())
    found = read_table(recipe(tmp_path / "blosc.h5"))
    np.testing.assert_array_equal(found.values, read_table(recipe(write(".h5", tmp_path))).values)


def test_wrong_tables(tmp_path):
    path = write(".npz", tmp_path)
    with pytest.raises(InputError, match=r"table.npz: there is no column 'knd'; nearest: 'kind'"):
        read_table(recipe(path, "{column: knd, values: {quark: [q]}}"))
    with pytest.raises(InputError, match="class 'gluon' has no jets"):
        read_table(recipe(path, "{column: kind, values: {quark: [q], gluon: [x]}}"))
    with pytest.raises(InputError, match="the sample is empty"):
        read_table(recipe(path, "{column: kind, values: {quark: [x]}}"))
    with pytest.raises(InputError, match="label 'qark' is none of the classes; nearest: 'quark'"):
        read_table(recipe(path, "{column: kind, values: {qark: [q]}}"))
    with pytest.raises(InputError, match="no such file"):
        read_table(recipe(tmp_path / "none.npz"))
    np.savez(tmp_path / "nan.npz", **{**COLUMNS, "m": np.full(ROWS, np.nan)}, kind=KIND)
    with pytest.raises(InputError, match="feature mass_gev: 20 of 20 values are NaN"):
        read_table(recipe(tmp_path / "nan.npz"))
    for kind in (".npz", ".h5", ".parquet"):
        (tmp_path / f"broken{kind}").write_bytes(write(kind, tmp_path).read_bytes()[:40])
        with pytest.raises(InputError, match="cannot be read: "):
            read_table(recipe(tmp_path / f"broken{kind}"))
    (tmp_path / "table.txt").write_text("m n kind")
    with pytest.raises(InputError, match=r"table.txt: arrays are in .npz, .h5, .hdf5 or .parquet, not '.txt'"):
        read_table(recipe(tmp_path / "table.txt"))
    with pytest.raises(InputError, match=r"table.parquet: there is no array 'jets'"):
        read_table(recipe(tmp_path / "table.parquet", more="dataset: jets\n"))
    np.savez(tmp_path / "pickled.npz", **COLUMNS, kind=KIND.astype(object))
    with pytest.raises(InputError, match="cannot be read: "):
        read_table(recipe(tmp_path / "pickled.npz"))


def test_columns_that_do_not_fit(tmp_path):
    def refused(message, label="{column: kind, values: {quark: [q], gluon: [g]}}", more="", **changes):
        np.savez(tmp_path / "odd.npz", **{**COLUMNS, "kind": KIND, **changes})
        with pytest.raises(InputError, match=message):
            read_table(recipe(tmp_path / "odd.npz", label, more))

    refused("column 'm' does not hold numbers", m=KIND)
    refused(r"column 'm' has shape \(7,\), the label 'kind' has 30 rows", m=np.ones(7))
    refused(r"column 'm' has shape \(30, 2\)", m=np.ones((ROWS, 2)))
    refused("'run' does not hold event numbers", more="event: run\n", run=np.full(ROWS, np.nan))
    refused("'run' does not hold event numbers", more="event: run\n", run=np.full(ROWS, 0.5))


def test_numbers_are_labels_whatever_their_type(tmp_path):
    np.savez(tmp_path / "f.npz", **COLUMNS, kind=np.arange(ROWS) % 3.0)
    assert len(read_table(recipe(tmp_path / "f.npz", "{column: kind, values: {quark: [0], gluon: ['1']}}"))) == 20


def test_events_of_several_files_are_different_events(tmp_path):
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", **COLUMNS, kind=KIND)
    table = read_table(recipe(tmp_path / "*.npz"))
    assert len(np.unique(table.events)) == len(table) == 40
