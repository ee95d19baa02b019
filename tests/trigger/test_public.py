"""Files of every public layout, written here in their published shapes, and read back."""

from __future__ import annotations

import pickle
import zipfile

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from tests.conftest import realdata
from trigger.config import parse
from trigger.data.arrays import array_blocks
from trigger.data.jets import JetDataset
from trigger.data.public import PublicJets, read_public
from trigger.data.public_layouts import CLASSES
from trigger.data.sources import JetSource, content_of, jets_of
from trigger.data.toy import ToyData, toy_jets
from trigger.errors import InputError

MOMENTA = ("px", "py", "pz", "E")
JETS = 24
TOP_COLUMNS = [f"{name}_{slot}" for slot in range(200) for name in ("E", "PX", "PY", "PZ")]
TRUTH = ["truthE", "truthPX", "truthPY", "truthPZ"]
PARTICLES_150 = (
    "px", "py", "pz", "e", "erel", "pt", "ptrel", "eta", "etarel", "etarot", "phi", "phirel", "phirot", "deltaR", "costheta",
    "costhetarel",
)  # fmt: skip
JETCLASS_LABELS = [f"label_{name}" for name in CLASSES["jetclass"]]


@pytest.fixture(scope="module")
def jets():
    """Toy jets of two classes in turn; the second has no constituents in files."""
    (made,) = toy_jets(ToyData(kind="toy", classes=("gluon", "top"), jets_per_class=JETS // 2), seed=8)
    return made.take(np.argsort(np.tile(np.arange(JETS // 2), 2), kind="stable"))


def padded(jets: JetDataset, slots: int) -> np.ndarray:
    """`px, py, pz, E` in the order of the toy, shape `(jets, slots, 4)`; the second jet is empty."""
    table = np.zeros((len(jets), slots, 4), dtype=np.float32)
    for number, jet in enumerate(jets.constituents):
        for place, name in enumerate(MOMENTA):
            table[number, : len(jet), place] = jet[name]
    table[1] = 0
    return table


def read(path, layout, block=7, **more):
    text = "".join(f"{key}: {value}\n" for key, value in more.items())
    data = parse(f"kind: public\nlayout: {layout}\nfiles: ['{path}']\n{text}", PublicJets, "test")
    return list(read_public(data, block))


def check(parts, table, labels, most=200):
    """The jets of a padded table, each sorted by pT, the empty one left out and counted."""
    kept = [number for number in range(len(table)) if table[number].any()]
    events = np.concatenate([part.events for part in parts])
    assert events.tolist() == kept
    assert np.concatenate([part.labels for part in parts]).tolist() == [labels[number] for number in kept]
    found = ak.concatenate([part.constituents for part in parts])
    for number, jet in zip(kept, found, strict=True):
        rows = table[number][table[number].any(axis=1)].astype(float)
        rows = rows[np.argsort(-np.hypot(rows[:, 0], rows[:, 1]), kind="stable")][:most]
        assert np.stack([jet[name] for name in MOMENTA], axis=1) == pytest.approx(rows, rel=1e-6, abs=1e-6)
    assert sum(part.origin.details["left_out"]["without constituents"] for part in parts) == len(table) - len(kept)


# top_landscape


def write_top(path, table, labels, form="table", name="table", pickled=0, kind=np.float32):
    """As pandas does it; without pandas, from its description."""
    energy_first = table[..., [3, 0, 1, 2]].reshape(len(table), 4 * table.shape[1]).astype(kind)
    floats = np.concatenate([energy_first, np.ones((len(table), 4), dtype=kind)], axis=1)
    whole = np.stack([np.zeros(len(table), dtype=np.int64), labels], axis=1)
    names = [TOP_COLUMNS + TRUTH, ["ttv", "is_signal_new"]]
    with h5py.File(path, "w") as file:
        group = file.create_group(name)
        if form == "fixed":
            for number, (block, items) in enumerate(zip((floats, whole), names, strict=True)):
                group[f"block{number}_values"] = block
                group[f"block{number}_items"] = np.array(items, dtype="S")
            return
        fields = [("index", "<i8"), ("values_block_0", kind, floats.shape[1:]), ("values_block_1", "<i8", (2,))]
        rows = np.zeros(len(table), dtype=fields)
        rows["values_block_0"], rows["values_block_1"] = floats, whole
        made = group.create_dataset("table", data=rows, chunks=(5,), shuffle=True, compression="gzip")
        if pickled is not None:
            for number, items in enumerate(names):
                made.attrs[f"values_block_{number}_kind"] = np.bytes_(pickle.dumps(items, pickled))


def top_arrays(table, labels):
    columns = dict(zip(TOP_COLUMNS, table[..., [3, 0, 1, 2]].reshape(len(table), -1).T, strict=True))
    return columns | {"is_signal_new": labels, "ttv": 0 * labels}


@pytest.mark.parametrize(
    "how", [{"pickled": 0}, {"pickled": 4}, {"pickled": None}, {"form": "fixed"}, {"kind": np.float64}]
)
def test_top_landscape_of_pandas(jets, tmp_path, how):
    table = padded(jets, 200)
    write_top(tmp_path / "val.h5", table, jets.labels, **how)
    parts = read(tmp_path / "val.h5", "top_landscape")
    assert parts[0].class_names == ("qcd", "top")
    check(parts, table, jets.labels)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_top_landscape_of_columns(jets, tmp_path, suffix):
    table, path = padded(jets, 200), tmp_path / f"val.{suffix}"
    columns = top_arrays(table, jets.labels)
    if suffix == "npz":
        np.savez(path, **columns)
    else:
        pa.parquet.write_table(pa.table(columns), path, row_group_size=5)
    check(read(path, "top_landscape"), table, jets.labels)


def test_columns_of_pandas_in_another_order(jets, tmp_path):
    """What the file says of its columns counts, not the usual order."""
    table = padded(jets, 200)
    write_top(tmp_path / "val.h5", table, jets.labels)
    with h5py.File(tmp_path / "val.h5", "a") as file:
        rows = file["table/table"][()]
        turned = rows["values_block_0"][:, ::-1].copy()
        rows["values_block_0"] = turned
        file["table/table"][...] = rows
        file["table/table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps((TOP_COLUMNS + TRUTH)[::-1], 0))
    check(read(tmp_path / "val.h5", "top_landscape"), table, jets.labels)


class Exploding:
    """Of which a pickle, when loaded, raises."""

    def __reduce__(self):
        return (exec, ("raise RuntimeError('unpickled')",))


def test_nothing_is_unpickled(jets, tmp_path):
    write_top(tmp_path / "val.h5", padded(jets, 200), jets.labels)
    with h5py.File(tmp_path / "val.h5", "a") as file:
        file["table/table"].attrs["info"] = file["table/table"].attrs["values_block_1_kind"] = np.void(
            pickle.dumps([Exploding(), "ttv", "is_signal_new"], 0)
        )
    assert sum(map(len, read(tmp_path / "val.h5", "top_landscape"))) == JETS - 1
    np.savez(tmp_path / "QG_jets.npz", X=np.array([Exploding()], dtype=object), y=np.array([0]))
    with pytest.raises(InputError, match="'X' is of Python objects"):
        read(tmp_path / "QG_jets.npz", "quark_gluon")


def test_top_landscape_refused(jets, tmp_path):
    table, path = padded(jets, 200), tmp_path / "val.h5"
    write_top(path, table, jets.labels, name="tabel")
    with pytest.raises(InputError, match=r"val\.h5: there is no table of pandas 'table'; nearest: 'tabel'"):
        read(path, "top_landscape")
    assert sum(map(len, read(path, "top_landscape", key="tabel"))) == JETS - 1
    write_top(path, table[..., [3, 0, 1, 2]], jets.labels)
    with pytest.raises(InputError, match=r"val\.h5: .* less energy than momentum: .*order of layout 'top_landscape'"):
        read(path, "top_landscape")
    write_top(path, table, jets.labels + 1)
    with pytest.raises(InputError, match=r"a label is 2, which is none of 0 \(qcd\), 1 \(top\)"):
        read(path, "top_landscape")
    broken = table.copy()
    broken[3, 0, 1] = np.nan
    write_top(path, broken, jets.labels)
    with pytest.raises(InputError, match=r"1 of .* values of py are NaN"):
        read(path, "top_landscape")
    write_top(path, table[:0], jets.labels[:0], form="fixed")
    with pytest.raises(InputError, match="there are no jets"):
        read(path, "top_landscape")
    columns = top_arrays(table, jets.labels)
    del columns["PX_17"]
    np.savez(tmp_path / "val.npz", **columns)
    with pytest.raises(InputError, match=r"val\.npz: there is no array 'PX_17'; nearest: 'PX_1.*'"):
        read(tmp_path / "val.npz", "top_landscape")
    write_top(path, table[:, :150], jets.labels, pickled=None)
    with pytest.raises(InputError, match=r"values_block_0 has the shape \(24, 604\), and 804 names"):
        read(path, "top_landscape")


def test_a_filter_that_hdf5_comes_without(jets, tmp_path):
    """The published files are compressed by blosc."""
    with h5py.File(tmp_path / "val.h5", "w") as file:
        group = file.create_group("table")
        kind = np.dtype([("index", "<i8"), ("values_block_0", "<f4", (804,)), ("values_block_1", "<i8", (2,))])
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((8,))
        made.set_filter(31_999, h5py.h5z.FLAG_OPTIONAL, (2, 2, 4))
        space = h5py.h5s.create_simple((8,))
        raw = h5py.h5d.create(group.id, b"table", h5py.h5t.py_create(kind), space, dcpl=made)
        raw.write_direct_chunk((0,), b"packed" * 100)
    with pytest.raises(InputError, match=r"compressed by filter 31999 \(no name\) .*neither h5py nor hdf5plugin has"):
        read(tmp_path / "val.h5", "top_landscape")


# quark_gluon


def quark_gluon_arrays(jets):
    """By hand: rapidity from energy and pz; masses of pions, kaons, photons and electrons."""
    generator = np.random.default_rng(4)
    slots = int(ak.max(ak.num(jets.constituents)))
    X, table = np.zeros((len(jets), slots, 4)), np.zeros((len(jets), slots, 4))
    charge, kind = np.zeros((len(jets), slots)), np.zeros((len(jets), slots))
    choices = [(211, 0.13957, 1), (-321, 0.493677, -1), (22, 0.0, 0), (11, 0.000511, -1), (-2212, 0.938272, -1)]
    for number, jet in enumerate(jets.constituents):
        if number == 1:
            continue
        for slot, one in enumerate(jet):
            code, mass, charge[number, slot] = choices[generator.integers(len(choices))]
            energy = np.sqrt(one.px**2 + one.py**2 + one.pz**2 + mass**2)
            rapidity = 0.5 * np.log((energy + one.pz) / (energy - one.pz))
            X[number, slot] = np.hypot(one.px, one.py), rapidity, np.arctan2(one.py, one.px), code
            table[number, slot], kind[number, slot] = (one.px, one.py, one.pz, energy), abs(code)
    return X, table, charge, kind


@pytest.mark.parametrize("order", ["C", "F"])
def test_quark_gluon(jets, tmp_path, order):
    X, table, charge, kind = quark_gluon_arrays(jets)
    np.savez_compressed(tmp_path / "QG_jets.npz", X=np.array(X, order=order), y=jets.labels.astype(float))
    parts = read(tmp_path / "QG_jets.npz", "quark_gluon")
    assert parts[0].class_names == ("gluon", "quark")
    check(parts, table, jets.labels)
    found = parts[0].constituents[0]
    order_of = np.argsort(-np.hypot(table[0, :, 0], table[0, :, 1]), kind="stable")[: len(found)]
    assert found.charge.to_list() == charge[0, order_of].tolist()
    assert found.pdg_id.to_list() == kind[0, order_of].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"X": X}, "there is no array 'y'; nearest: 'X'"),
        (
            lambda X, y: {"X": X[..., :3], "y": y},
            r"array 'X' has the shape \(7, .*, 3\); right would be the shape \(jets, slots, 4\)",
        ),
        (lambda X, y: {"X": X[:5], "y": y}, "the arrays differ in length: 'X' has the shape"),
        (lambda X, y: {"X": X * [1, np.nan, 1, 1], "y": y}, "values of pz are NaN"),
        (lambda X, y: {"X": X * [1, 1, 1, 0] + [0, 0, 0, 1000022], "y": y}, "PDG code 1000022, of which the mass"),
        (lambda X, y: {"X": X + np.array([0, 0, 0, 0.5]), "y": y}, "PDG codes in 'X' are no whole numbers"),
        (lambda X, y: {"X": X * [-1, 1, 1, 1], "y": y}, "values of pT in 'X' are negative"),
        (lambda X, y: {"X": X, "y": 0 * y}, "class 'quark' has no jets"),
        (lambda X, y: {"X": X[:0], "y": y[:0]}, "there are no jets: 'X' has the shape"),
    ],
)
def test_quark_gluon_refused(jets, tmp_path, change, message):
    X = quark_gluon_arrays(jets)[0]
    np.savez(tmp_path / "QG_jets.npz", **change(X, jets.labels))
    with pytest.raises(InputError, match=message):
        read(tmp_path / "QG_jets.npz", "quark_gluon")


def test_damage_in_the_middle_of_an_npz(jets, tmp_path):
    """Wherever bytes are overwritten: jets come out or a message, never a traceback."""
    np.savez_compressed(tmp_path / "QG_jets.npz", X=quark_gluon_arrays(jets)[0], y=jets.labels)
    whole, refused = (tmp_path / "QG_jets.npz").read_bytes(), 0
    for place in range(0, len(whole) - 16, len(whole) // 40):
        (tmp_path / "broken.npz").write_bytes(whole[:place] + bytes(range(16)) + whole[place + 16 :])
        try:
            read(tmp_path / "broken.npz", "quark_gluon")
        except InputError as error:
            refused += "broken.npz: " in str(error)
    assert refused > 30


# vectors


def write_vectors(folder, table, labels, slots=128):
    folder.mkdir(exist_ok=True)
    np.save(folder / "qg_pf_vectors.npy", np.moveaxis(table[:, :slots], 1, 2))
    np.save(folder / "qg_pf_mask.npy", table[:, None, :slots].any(axis=-1).astype(np.float32))
    np.save(folder / "qg_labels.npy", labels)


def test_vectors(jets, tmp_path):
    table = padded(jets, 128)
    write_vectors(tmp_path / "qg", table, jets.labels)
    check(read(tmp_path / "qg", "vectors"), table, jets.labels)
    by_name = (
        f"kind: public\nlayout: vectors\nfiles: [{{vectors: {tmp_path}/qg/qg_pf_vectors.npy, "
        f"mask: {tmp_path}/qg/qg_pf_mask.npy, labels: {tmp_path}/qg/qg_labels.npy}}]"
    )
    check(list(read_public(parse(by_name, PublicJets, "test"))), table, jets.labels)
    arrays = {"vectors": np.moveaxis(table, 1, 2), "mask": table.any(axis=-1), "labels": jets.labels}
    np.savez(tmp_path / "qg.npz", **arrays)
    check(read(tmp_path / "qg.npz", "vectors"), table, jets.labels)


def test_masked_slots_are_no_constituents(jets, tmp_path):
    table = padded(jets, 128)
    write_vectors(tmp_path / "qg", table, jets.labels)
    mask = np.load(tmp_path / "qg" / "qg_pf_mask.npy")
    mask[..., 5:] = 0
    np.save(tmp_path / "qg" / "qg_pf_mask.npy", mask)
    table[:, 5:] = 0
    check(read(tmp_path / "qg", "vectors"), table, jets.labels)


def test_vectors_refused(jets, tmp_path):
    table, folder = padded(jets, 128), tmp_path / "qg"
    write_vectors(folder, table, jets.labels)
    np.save(folder / "qg_pf_mask.npy", np.zeros((JETS, 1, 100)))
    with pytest.raises(
        InputError, match=r"array 'mask' has the shape \(7, 1, 100\); right would be the shape \(7, 1, 128\)"
    ):
        read(folder, "vectors")
    (folder / "qg_pf_mask.npy").unlink()
    with pytest.raises(
        InputError, match=r"qg: a folder is right for layout 'vectors', with one file \*_mask\.npy; found none"
    ):
        read(folder, "vectors")
    write_vectors(folder, table, jets.labels[:-1])
    with pytest.raises(InputError, match=r"the arrays differ in length: .*'labels' has the shape"):
        read(folder, "vectors")
    write_vectors(folder, table, np.where(jets.labels, 0.5, 0.0))
    with pytest.raises(InputError, match=r"a label is 0\.5, which is none of 0 \(gluon\), 1 \(quark\)"):
        read(folder, "vectors")
    write_vectors(folder, table[..., [3, 0, 1, 2]], jets.labels)
    with pytest.raises(InputError, match="less energy than momentum"):
        read(folder, "vectors")
    (folder / "qg_labels.npy").write_bytes(b"nothing of numpy")
    with pytest.raises(InputError, match=r"qg_labels\.npy: cannot be read"):
        read(folder, "vectors")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "away", "vectors")


def test_real_quark_gluon_jets():
    """Public jets: all of them lie in the window that their description gives."""
    folder = realdata("jets/quark_gluon")
    parts = read(folder, "vectors", block=700)
    assert [len(part) for part in parts] == [700, 700, 600]
    stored, labels = np.load(folder / "qg_pf_vectors.npy"), np.load(folder / "qg_labels.npy")
    check(parts, np.moveaxis(stored, 1, 2), labels)
    pt = np.concatenate([part.kinematics()["pt_gev"] for part in parts])
    assert (pt.min(), pt.max()) == pytest.approx((500.0005, 549.9736), abs=1e-4)
    assert np.bincount(np.concatenate([part.labels for part in parts])).tolist() == [1010, 990]


# jetclass


def jetclass_columns(jets, table):
    """Lists, of every branch that is read; the class is the one of the toy's two, as Hbb and Tbl."""
    generator = np.random.default_rng(5)
    filled = table.any(axis=-1)
    counts = filled.sum(axis=1)
    kind = generator.integers(0, 5, counts.sum())
    d0 = np.where(kind % 2 == 0, generator.normal(0, 0.1, counts.sum()), 0.0)
    flat = {
        **{f"part_{name}": np.ascontiguousarray(table[filled][:, place]) for place, name in enumerate(("px", "py", "pz", "energy"))},
        "part_charge": np.where(kind % 2 == 0, 1.0, 0.0), "part_d0val": d0, "part_d0err": np.where(d0 != 0, 0.02, 0.0),
        **{f"part_is{name}": kind == place
           for place, name in enumerate(("ChargedHadron", "NeutralHadron", "Electron", "Photon", "Muon"))},
    }  # fmt: skip
    columns = {name: ak.unflatten(np.asarray(column, dtype=np.float32), counts) for name, column in flat.items()}
    label = np.where(jets.labels == 0, JETCLASS_LABELS.index("label_Hbb"), JETCLASS_LABELS.index("label_Tbl"))
    return columns, {name: (label == place) for place, name in enumerate(JETCLASS_LABELS)}


def write_jetclass(path, columns, labels, tree="tree"):
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            whole = {**columns, **labels}
            types = {name: ak.type(ak.Array(column)).content for name, column in whole.items()}
            file.mktree(tree, types).extend(whole)
    elif path.suffix == ".parquet":
        lists = {name: ak.to_arrow(column, extensionarray=False) for name, column in columns.items()}
        pa.parquet.write_table(pa.table({**lists, **labels}), path, row_group_size=9)
    else:
        tables = {
            name: ak.to_numpy(ak.fill_none(ak.pad_none(one, 128, clip=True), 0.0)) for name, one in columns.items()
        }
        if path.suffix == ".npz":
            np.savez(path, **tables, **labels)
        else:
            with h5py.File(path, "w") as file:
                for name, array in {**tables, **labels}.items():
                    file[name] = array


@pytest.mark.parametrize("suffix", ["root", "parquet", "npz", "h5"])
def test_jetclass(jets, tmp_path, suffix):
    table = padded(jets, 128)
    columns, labels = jetclass_columns(jets, table)
    path = tmp_path / f"HToBB_000.{suffix}"
    write_jetclass(path, columns, labels)
    parts = read(path, "jetclass", classes="[Hbb, Tbl]")
    check(parts, table, jets.labels)
    found = parts[0].constituents[0]
    order = np.argsort(-np.hypot(table[0, :, 0], table[0, :, 1]), kind="stable")[: len(found)]
    d0 = np.asarray(columns["part_d0val"][0])[order].astype(float)
    assert found.d0_mm.to_list() == (-d0).tolist()  # Delphes turns the other way round
    assert found.d0_significance.to_list() == pytest.approx((-d0 / np.float32(0.02)).tolist())
    assert found.charge.to_list() == np.asarray(columns["part_charge"][0])[order].tolist()
    kinds = {"ChargedHadron": 211, "NeutralHadron": 130, "Electron": 11, "Photon": 22, "Muon": 13}
    expected = sum(code * np.asarray(columns[f"part_is{name}"][0])[order] for name, code in kinds.items())
    assert found.pdg_id.to_list() == expected.tolist()


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_jetclass_in_lists_of_arrow(jets, tmp_path, kind):
    """Offsets of 32 bits are what pandas and pyarrow write."""
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    lists = {name: pa.array(column.to_list(), kind(pa.float32())) for name, column in columns.items()}
    pa.parquet.write_table(pa.table({**lists, **labels}), tmp_path / "HToBB_000.parquet", row_group_size=9)
    parts = read(tmp_path / "HToBB_000.parquet", "jetclass", classes="[Hbb, Tbl]")
    check(parts, padded(jets, 128), jets.labels)


def test_jetclass_of_momenta_alone(jets, tmp_path):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    few = {name: columns[name] for name in ("part_px", "part_py", "part_pz", "part_energy")}
    write_jetclass(tmp_path / "few.parquet", few, labels)
    (part,) = read(tmp_path / "few.parquet", "jetclass", block=100, classes="[Tbl, Hbb]")
    check([part], padded(jets, 128), 1 - jets.labels)
    assert not ak.any(part.constituents.charge)
    assert "d0_mm" not in ak.fields(part.constituents)


@pytest.mark.parametrize("suffix", ["root", "parquet", "npz"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, y: c.pop("part_pz"), "part_pz"),
        (lambda c, y: y.pop("label_Hqql"), "label_Hqql"),
        (lambda c, y: y.update(label_QCD=np.ones(JETS, dtype=bool)), "7 of 7 jets have no label, or more than one"),
        (lambda c, y: c.update(part_px=c["part_px"] * np.nan), "values of px are NaN"),
        (lambda c, y: c.update(part_energy=c["part_px"]), "less energy than momentum"),
        (lambda c, y: y.update(label_Tbl=y["label_Hbb"], label_Hbb=y["label_Tbl"] & False), "jets have no label"),
    ],
)
def test_jetclass_refused(jets, tmp_path, change, message, suffix):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    change(columns, labels)
    write_jetclass(tmp_path / f"broken.{suffix}", columns, labels)
    with pytest.raises(InputError, match=message):
        read(tmp_path / f"broken.{suffix}", "jetclass", classes="[Hbb, Tbl]")


def test_jetclass_lists_that_differ(jets, tmp_path):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    columns["part_py"] = columns["part_py"][:, :-1]
    write_jetclass(tmp_path / "broken.parquet", columns, labels)
    with pytest.raises(InputError, match="'part_py' and 'part_energy' differ in their numbers of particles"):
        read(tmp_path / "broken.parquet", "jetclass")
    columns["part_py"] = ak.pad_none(columns["part_py"], 3)
    write_jetclass(tmp_path / "broken.parquet", columns, labels)
    with pytest.raises(InputError, match="'part_py' has missing values"):
        read(tmp_path / "broken.parquet", "jetclass")
    write_jetclass(tmp_path / "broken.root", *jetclass_columns(jets, padded(jets, 128)), tree="Events")
    with pytest.raises(InputError, match="there is no tree 'tree'; nearest: 'Events'"):
        read(tmp_path / "broken.root", "jetclass")


# particles_150


def write_particles_150(path, table, labels, spoil=lambda arrays: None):
    generator = np.random.default_rng(6)
    constituents = generator.normal(size=(len(table), 150, 16)) * table[:, :150].any(axis=-1)[..., None]
    constituents[..., :4] = table[:, :150]
    features = generator.normal(size=(len(table), 59))
    features[:, 53:] = np.eye(6)[np.where(labels == 0, 0, 4)]  # gluon and top
    arrays = {
        "jetConstituentList": constituents, "jets": features,
        "particleFeatureNames": np.array([f"j1_{name}" for name in (*PARTICLES_150, "pdgid")], dtype="S"),
        "jetFeatureNames": np.array([*(f"j_zlogz{k}" for k in range(53)),
                                     *(f"j_{name}" for name in ("g", "q", "w", "z", "t", "undef"))], dtype="S"),
    }  # fmt: skip
    spoil(arrays)
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="lzf")
        file["jetImage"] = np.zeros((len(table), 4, 4))


@pytest.mark.parametrize("ending", ["h5", "npz"])
def test_particles_150(jets, tmp_path, ending):
    table = padded(jets, 150)
    write_particles_150(tmp_path / f"jetImage_0_150p_0_24.{ending}", table, jets.labels)
    parts = read(tmp_path / f"jetImage_*_150p_*.{ending}", "particles_150", classes="[gluon, top]")
    check(parts, table, jets.labels)


def renamed(old, new):
    def change(arrays):
        for name in ("particleFeatureNames", "jetFeatureNames"):
            arrays[name] = np.where(arrays[name] == old, new, arrays[name])

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (renamed(b"j1_pz", b"j1_p3"), r"array 'jetConstituentList' has no feature 'j1_pz'; nearest: .*'j1_p"),
        (renamed(b"j_w", b"j_W"), "array 'jets' has no feature 'j_w'; nearest: 'j_W'"),
        (lambda a: a.pop("jetFeatureNames"), "there is no array 'jetFeatureNames'; nearest: 'particleFeatureNames'"),
        (lambda a: a.update(jets=a["jets"] * 0), "7 of 7 jets have no label"),
        (
            lambda a: a.update(jets=a["jets"][:, None]),
            r"array 'jets' has the shape \(7, 1, 59\); right would be the shape \(7, features\)",
        ),
        (lambda a: a.update(jetConstituentList=a["jetConstituentList"][:, :, 1:]), "less energy than momentum"),
        (lambda a: a.update(jetConstituentList=a["jetConstituentList"][:9]), "the arrays differ in length"),
    ],
)
def test_particles_150_refused(jets, tmp_path, spoil, message):
    write_particles_150(tmp_path / "jets.h5", padded(jets, 150), jets.labels, spoil)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "jets.h5", "particles_150", classes="[gluon, top]")


# what is the same for all


def test_selection(jets, tmp_path):
    table = padded(jets, 128)
    write_vectors(tmp_path / "qg", table, jets.labels)
    whole = read(tmp_path / "qg", "vectors", block=1000)[0]
    pt = whole.kinematics()["pt_gev"]
    low, high = np.quantile(pt, [0.3, 0.8])
    (window,) = read(tmp_path / "qg", "vectors", block=1000, pt_gev=f"[{low}, {high}]")
    inside = (pt >= low) & (pt < high)
    assert window.events.tolist() == whole.events[inside].tolist()
    assert window.origin.details["left_out"]["outside pt_gev"] == (~inside).sum()
    (few,) = read(tmp_path / "qg", "vectors", block=1000, max_constituents=4)
    check([few], table, jets.labels, most=4)
    beyond = np.maximum(ak.to_numpy(ak.num(whole.constituents)) - 4, 0).sum()
    assert few.origin.details["left_out"]["constituents beyond max_constituents"] == beyond
    for block in (1, 5, 1000):
        parts = read(tmp_path / "qg", "vectors", block=block, max_jets=3)
        assert np.concatenate([part.events for part in parts]).tolist() == [
            0,
            2,
            3,
            4,
            5,
            7,
        ]  # jet 1 of class 1 is empty
    (turned,) = read(tmp_path / "qg", "vectors", block=1000, classes="[quark, gluon]")
    assert turned.labels.tolist() == (1 - whole.labels).tolist()


def test_jets_that_are_left_out_at_the_end_are_counted(jets, tmp_path):
    table = padded(jets, 128)
    table[-5:] = 0
    write_vectors(tmp_path / "qg", table, jets.labels)
    parts = read(tmp_path / "qg", "vectors", block=2)
    check(parts, table, jets.labels)


def test_numbers_run_over_all_files(jets, tmp_path):
    for number in range(2):
        write_vectors(tmp_path / f"qg{number}", padded(jets, 128), jets.labels)
    parts = read(tmp_path / "qg?", "vectors")
    rows = np.delete(np.arange(2 * JETS), [1, JETS + 1])
    assert np.concatenate([part.events for part in parts]).tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layout: top", r"layout: 'top' is not known; nearest: .*'top_landscape', 'vectors'$"),
        ("layout: vectors\nclasses: [gluon, qark]", "layout 'vectors' has no class 'qark'; nearest: 'quark'"),
        ("layout: quark_gluon\nclasses: [quark]", "at least two different classes"),
        ("layout: vectors\nfiles: []", "files"),
        ("layout: jetclass\nfiles: [{vectors: a, mask: b, labels: c}]", "files by name are of 'vectors'"),
        ("layout: vectors\nmax_jets: 0", "max_jets"),
    ],
)
def test_recipes_refused(text, message):
    files = "" if "files" in text else "files: [a.npz]\n"
    with pytest.raises(InputError, match=message):
        parse(f"kind: public\n{files}{text}\n", PublicJets, "test")


def test_other_files(jets, tmp_path):
    (tmp_path / "jets.txt").write_text("E_0")
    with pytest.raises(InputError, match=r"arrays are in \.npz, \.h5, \.hdf5 or \.parquet, not '\.txt'"):
        read(tmp_path / "jets.txt", "quark_gluon")
    for suffix in ("npz", "h5", "parquet", "root"):
        (tmp_path / f"jets.{suffix}").write_bytes(b"no such thing" * 20)
        with pytest.raises(InputError, match=f"jets.{suffix}: "):
            read(tmp_path / f"jets.{suffix}", "jetclass")
    write_vectors(tmp_path / "qg", padded(jets, 128), jets.labels)
    with pytest.raises(InputError, match=r"found .* for 'quark_gluon'"):
        read(tmp_path / "qg", "quark_gluon")


def test_an_npz_is_not_unpacked_as_a_whole(tmp_path):
    """The first rows can be had of an array whose end is missing."""
    np.savez(tmp_path / "a.npz", X=np.arange(1000.0), y=np.arange(1000))
    with zipfile.ZipFile(tmp_path / "a.npz") as whole, zipfile.ZipFile(tmp_path / "b.npz", "w") as cut:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[: 128 + 8 * 500])
    blocks = array_blocks(tmp_path / "b.npz", ("X", "y"), 100)
    assert [next(blocks)["X"][0] for _ in range(5)] == [0, 100, 200, 300, 400]
    with pytest.raises(InputError, match="cannot be read"):
        next(blocks)


def test_classes_of_the_layouts():
    """As their descriptions have them."""
    assert CLASSES == {
        "top_landscape": ("qcd", "top"), "quark_gluon": ("gluon", "quark"), "vectors": ("gluon", "quark"),
        "jetclass": ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"),
        "particles_150": ("gluon", "quark", "W", "Z", "top"),
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_text_is_no_number(jets, tmp_path, suffix):
    """Not even text that looks like numbers."""
    path, columns = tmp_path / f"val.{suffix}", top_arrays(padded(jets, 200), jets.labels)
    for text in (np.array(["a"] * JETS), columns["PX_7"].astype(str)):
        changed = columns | {"PX_7": text}
        if suffix == "npz":
            np.savez(path, **changed)
        else:
            pa.parquet.write_table(pa.table(changed), path)
        with pytest.raises(
            InputError, match=rf"val\.{suffix}: array 'PX_7' does not hold numbers but (<U|object).*first is '"
        ):
            read(path, "top_landscape")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X.astype(str), y), "array 'X' does not hold numbers but <U"),
        (lambda X, y: (X.astype(complex), y), "array 'X' does not hold numbers but complex128"),
        (lambda X, y: (X.astype("S"), y), r"array 'X' does not hold numbers but \|S"),
        (lambda X, y: (X, y.astype(str)), "array 'y' does not hold numbers but <U"),
        (lambda X, y: (X, y.astype("datetime64[s]")), "array 'y' does not hold numbers but datetime64"),
        (lambda X, y: (X, y[:, None]), r"labels are numbers of the shape \(7, 1\); right would be one number a jet"),
        (lambda X, y: (X * [1, 1000, 1, 1], y), "values of pz are NaN or infinite"),
    ],
)
def test_numbers_of_other_kinds(jets, tmp_path, change, message):
    X, y = change(quark_gluon_arrays(jets)[0], jets.labels)
    np.savez(tmp_path / "QG_jets.npz", X=X, y=y)
    with pytest.raises(InputError, match=rf"QG_jets\.npz: .*{message}"):
        read(tmp_path / "QG_jets.npz", "quark_gluon")


def test_lists_are_no_columns(jets, tmp_path):
    columns = top_arrays(padded(jets, 200), jets.labels)
    path = tmp_path / "val.parquet"
    pa.parquet.write_table(pa.table(columns | {"E_3": [[1.0]] * JETS}), path)
    with pytest.raises(
        InputError, match=r"array 'E_3' holds a list of numbers a jet; right would be the shape \(jets,\)"
    ):
        read(path, "top_landscape")
    pa.parquet.write_table(pa.table(columns | {"is_signal_new": [[1]] * JETS}), path)
    with pytest.raises(InputError, match="labels are a list of numbers a jet; right would be one number a jet"):
        read(path, "top_landscape")


@pytest.mark.parametrize("suffix", ["root", "parquet"])
@pytest.mark.parametrize("name", ["part_energy", "part_px", "part_charge"])
def test_flat_jetclass(jets, tmp_path, suffix, name):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    columns[name] = np.ones(JETS)
    if suffix == "parquet":
        lists = {key: one if key == name else ak.to_arrow(one, extensionarray=False) for key, one in columns.items()}
        pa.parquet.write_table(pa.table({**lists, **labels}), tmp_path / "flat.parquet")
    else:
        write_jetclass(tmp_path / "flat.root", columns, labels)
    with pytest.raises(InputError, match=rf"flat\.{suffix}: '{name}' holds one number a jet; right would be a list"):
        read(tmp_path / f"flat.{suffix}", "jetclass")


def test_jetclass_labels_that_are_lists(jets, tmp_path):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    labels["label_QCD"] = columns["part_charge"]
    write_jetclass(tmp_path / "lists.root", columns, labels)
    with pytest.raises(InputError, match="'label_QCD' holds a list of numbers a jet; right would be one number a jet"):
        read(tmp_path / "lists.root", "jetclass")


@pytest.mark.parametrize("suffix", ["root", "npz"])
@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("part_charge", np.nan, "values of 'part_charge' are NaN or infinite"),
        ("part_charge", 0.5, "values of 'part_charge' are no whole numbers from -127 to 127, the first is 0.5"),
        ("part_charge", 200.0, "values of 'part_charge' are no whole numbers from -127 to 127, the first is 200.0"),
        ("part_d0val", np.nan, "values of 'part_d0val' are NaN"),
        ("part_d0err", np.inf, "values of 'part_d0err' are NaN or infinite"),
        ("part_isMuon", np.nan, "values of 'part_isMuon' are NaN"),
        ("part_isMuon", 0.5, "values of 'part_isMuon' are no whole numbers from 0 to 1"),
        ("part_isMuon", 1.0, "particles are of more than one kind"),
    ],
)
def test_what_jetclass_says_of_particles(jets, tmp_path, name, bad, message, suffix):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    columns[name] = ak.full_like(columns[name], bad)
    if bad == 1.0:
        columns["part_isPhoton"] = columns[name]
    write_jetclass(tmp_path / f"broken.{suffix}", columns, labels)
    with pytest.raises(InputError, match=rf"broken\.{suffix}: .*{message}"):
        read(tmp_path / f"broken.{suffix}", "jetclass", classes="[Hbb, Tbl]")


def test_flags_of_classes_and_masks_are_0_or_1(jets, tmp_path):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    labels["label_Hbb"] = np.where(labels["label_Hbb"], np.nan, 0.0)
    write_jetclass(tmp_path / "nan.npz", columns, labels)
    with pytest.raises(InputError, match="values of 'label_Hbb' are NaN"):
        read(tmp_path / "nan.npz", "jetclass")
    write_vectors(tmp_path / "qg", padded(jets, 128), jets.labels)
    mask = np.load(tmp_path / "qg" / "qg_pf_mask.npy")
    np.save(tmp_path / "qg" / "qg_pf_mask.npy", mask * 0.5)
    with pytest.raises(InputError, match=r"values of 'mask' are no whole numbers from 0 to 1, the first is 0.5"):
        read(tmp_path / "qg", "vectors")


def test_a_class_without_jets_says_why(jets, tmp_path):
    table, path = padded(jets, 200), tmp_path / "val.h5"
    write_top(path, table, jets.labels)
    with pytest.raises(
        InputError,
        match=r"^\S*val\.h5: class 'qcd', 'top' has no jets \(found: qcd 0, top 0\); the rows are of qcd 12, top 12; left out: "
        r"1 without constituents, 23 outside pt_gev \[5000\.0, 6000\.0\]; right would be another 'pt_gev' or other files$",
    ):
        read(path, "top_landscape", pt_gev="[5000, 6000]")
    write_top(path, table, 0 * jets.labels)
    with pytest.raises(
        InputError, match=r"'top' has no jets .*; the rows are of qcd 24; .*right would be files of every class$"
    ):
        read(path, "top_landscape")
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    for number in range(5):
        write_jetclass(tmp_path / f"jc{number}.root", columns, labels)
    with pytest.raises(
        InputError,
        match=r"jc0\.root, .*jc1\.root, .*jc2\.root and 2 more: class 'QCD', .*the rows are of Hbb 60, Tbl 60; .*"
        r"or 'classes: \[Hbb, Tbl\]'$",
    ):
        read(tmp_path / "jc?.root", "jetclass")


def test_jets_beyond_the_most_are_counted(jets, tmp_path):
    write_vectors(tmp_path / "qg", padded(jets, 128), jets.labels)
    for block in (5, 1000):
        parts = read(tmp_path / "qg", "vectors", block=block, max_jets=3)
        rows = JETS if block > JETS else 10  # those of the blocks that were read
        told = sum(part.origin.details["left_out"]["beyond max_jets"] for part in parts)
        assert told == rows - 1 - 6  # one has no constituents


def test_jets_without_transverse_momentum(jets, tmp_path):
    """Their row is that of the file."""
    table = padded(jets, 200)
    write_top(tmp_path / "a.h5", table, jets.labels)
    table[20, :, :2] = 0
    write_top(tmp_path / "b.h5", table, jets.labels)
    with pytest.raises(InputError, match=r"b\.h5: row 20 \(from 0\): a jet has a pT of 0; 1 of \d jets"):
        read(tmp_path / "?.h5", "top_landscape")
    parts = read(tmp_path / "b.h5", "top_landscape", pt_gev="[1, 5000]")
    assert sum(part.origin.details["left_out"]["outside pt_gev"] for part in parts) == 1


def test_jets_of_more_energy_than_a_beam(jets, tmp_path):
    table = padded(jets, 200)
    write_top(tmp_path / "mev.h5", table * 1000, jets.labels)
    for window in ({}, {"pt_gev": "[500, 1000]"}):
        with pytest.raises(
            InputError, match=r"mev\.h5: row 0 \(from 0\): .* energy of .*are these MeV\? Right would be GeV"
        ):
            read(tmp_path / "mev.h5", "top_landscape", **window)


def test_paths_are_told_once(jets, tmp_path):
    columns, labels = jetclass_columns(jets, padded(jets, 128))
    write_jetclass(tmp_path / "whole.root", columns, labels)
    content = (tmp_path / "whole.root").read_bytes()
    (tmp_path / "cut.root").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"damaged one: expected Chunk of length \d+, received \d+ bytes") as caught:
        read(tmp_path / "cut.root", "jetclass")
    assert str(caught.value).count("cut.root") == 1
    write_vectors(tmp_path / "qg", padded(jets, 128), jets.labels)
    (tmp_path / "qg" / "qg_labels.npy").write_bytes(b"nothing of numpy")
    with pytest.raises(InputError, match=r"^\S*qg_labels\.npy: cannot be read"):
        read(tmp_path / "qg", "vectors")


def test_public_jets_are_a_source(jets, tmp_path):
    write_vectors(tmp_path / "qg", padded(jets, 128), jets.labels)
    source: JetSource = parse(f"kind: public\nlayout: vectors\nfiles: [{tmp_path}/qg]\n", PublicJets, "test")
    (part,) = jets_of(source, 1, tmp_path)
    assert part.digest() == read(tmp_path / "qg", "vectors", block=100)[0].digest()
    before = content_of(source, 1)
    assert [path.rsplit("_", 1)[1] for path, _ in before] == ["vectors.npy", "mask.npy", "labels.npy"]
    write_vectors(tmp_path / "qg", padded(jets, 128), 1 - jets.labels)
    after = content_of(source, 1)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]
