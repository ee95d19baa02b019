"""Jets from the public samples of the field, as they are published.

* `top_landscape`: top against QCD, Delphes, R = 0.8, 550 to 650 GeV, 14 TeV (arXiv:1902.09914, doi:10.5281/zenodo.2603256).
  HDF5 of pandas, or parquet or npz with the same columns, `E_0, PX_0, PY_0, PZ_0 ... PZ_199` and `is_signal_new`.
* `quark_gluon`: quark against gluon, particles, R = 0.4, 500 to 550 GeV, 14 TeV (arXiv:1810.05165,
  doi:10.5281/zenodo.3164691 and, of Herwig, 10.5281/zenodo.3066475). npz of `X` (pT, rapidity, phi, PDG code) and `y`.
* `vectors`: the same jets as arrays `vectors`, `mask` and `labels`, each an npy, or in npz or HDF5.
* `jetclass`: ten classes, Delphes, R = 0.8, 500 to 1000 GeV, 13 TeV (arXiv:2202.03772, doi:10.5281/zenodo.6619768). ROOT, or
  parquet, npz or HDF5 with the same names, `part_px, part_py, part_pz, part_energy`, `label_QCD ... label_Tbl` and more.
* `particles_150`: gluon, quark, W, Z, top, R = 0.8, about 1 TeV, 13 TeV (arXiv:1908.05318, doi:10.5281/zenodo.3602260). HDF5
  of `jetConstituentList`, `particleFeatureNames`, `jets` and `jetFeatureNames`.

Free slots of arrays are filled with zeros, which are no constituents. Particles of `quark_gluon` get the mass of their PDG
code, with rapidity, not pseudorapidity; all others come with their energies. Charges are by the PDG code in `quark_gluon`, the
file's in `jetclass`, and 0 elsewhere. Impact parameters of `jetclass` are from Delphes, whose sign, `x sin(phi) - y cos(phi)`,
is turned round to that of `OPTIONAL_CONSTITUENT_FIELDS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.config import Settings
from trigger.data.arrays import Block, array_blocks, npy_blocks, pandas_blocks
from trigger.data.jets import MOMENTUM, Distinct, JetDataset, Origin, PtWindow, require_every_class
from trigger.data.public_layouts import (
    CLASSES,
    JETCLASS_MOMENTUM,
    JETCLASS_MORE,
    TOP_COLUMNS,
    TOP_SLOTS,
    LayoutName,
    Slots,
    jetclass,
    particles_150,
    quark_gluon,
    top_landscape,
    vectors,
)
from trigger.data.rootfile import branch_names, chunks, find_tree, opened
from trigger.data.users_jets import (
    named,
    require_numbers,
    require_possible_energies,
    require_transverse_momentum,
)
from trigger.errors import InputError, nearest
from trigger.files import matching
from trigger.kinematics import transverse_momentum


class VectorFiles(Settings):
    """The files of layout `vectors`.

    Attributes:
        vectors: npy of `px, py, pz, E` in GeV, shape `(jets, 4, slots)`.
        mask: npy that is 1 where a slot is a constituent, shape `(jets, 1, slots)` or `(jets, slots)`.
        labels: npy of 0 (gluon) and 1 (quark), shape `(jets,)`.
    """

    vectors: str
    mask: str
    labels: str


class PublicJets(Settings):
    """Jets of a public sample.

    Attributes:
        layout: Which sample.
        classes: Classes in the order of the network's outputs, all of the layout unless given; others are left out.
        files: Paths or patterns. Of `vectors` also folders with one `*_vectors.npy`, `*_mask.npy` and `*_labels.npy`, or the
            three files by name.
        key: Name of the table in HDF5 of pandas, or of the tree in ROOT; `table` and `tree` unless given.
        pt_gev: Window of the jet's pT (of the sum of all its constituents).
        max_jets: Take the first so many jets of each class.
        max_constituents: Take the so many constituents of most pT of each jet.
    """

    kind: Literal["public"]
    layout: LayoutName
    classes: Annotated[tuple[str, ...], Distinct] = Field(
        default_factory=lambda given: CLASSES.get(given.get("layout", ""), ())
    )
    files: tuple[str | VectorFiles, ...] = Field(min_length=1)
    key: str | None = None
    pt_gev: PtWindow | None = None
    max_jets: int | None = Field(default=None, gt=0)
    max_constituents: int = Field(default=200, gt=0)

    @model_validator(mode="after")
    def _of_the_layout(self) -> Self:
        known = CLASSES[self.layout]
        for name in self.classes:
            if name not in known:
                raise ValueError(f"layout {self.layout!r} has no class {name!r}; nearest: {nearest(name, known, 10)}")
        if self.layout != "vectors" and not all(isinstance(one, str) for one in self.files):
            raise ValueError(f"layout {self.layout!r} takes paths of files; files by name are of 'vectors'")
        return self


def input_files(data: PublicJets) -> list[Path]:
    """All files that are read.

    Raises:
        InputError: A path or pattern matches no file.
    """
    return [path for group in _groups(data) for path in group.values()]


def read_public(data: PublicJets, block: int = 20_000) -> Iterator[JetDataset]:
    """The jets, block by block; memory is bounded by two blocks.

    Each jet is an event of its own, whose number is that of its row over all files. Constituents are ordered by falling pT.
    `origin.details["left_out"]` counts what is missing of the rows of a block, and of those after it that have no jet; no
    block is read after `max_jets` of every class.

    Args:
        data: What to read.
        block: Rows of a file at a time.

    Raises:
        InputError: A file or array is missing or broken or has another shape, a number is NaN or text, a jet has a pT of 0 or
            more energy than a beam, a label is unknown, or a class has no jets.
    """
    so_far = _SoFar(np.zeros(len(data.classes), dtype=np.int64))
    held: JetDataset | None = None
    left_out: Counter[str] = Counter()
    for group in _groups(data):
        so_far.first = so_far.row
        so_far.paths.append(next(iter(group.values())))
        with _naming(group):
            for arrays in _arrays(data, group, block):
                for name, array in arrays.items():
                    require_numbers(name, array)
                jets, missing = _selected(data, _slots(data, so_far.paths[-1], arrays), so_far)
                if jets is not None and held is not None:
                    yield _stated(data, held, left_out)
                    left_out = Counter()
                left_out.update(missing)
                held = jets or held
                if _enough(data, so_far.taken):
                    break
        if _enough(data, so_far.taken):
            break
    require_every_class(
        np.repeat(np.arange(len(data.classes)), so_far.taken),
        data.classes,
        f"{named(so_far.paths)}: ",
        _why(data, so_far),
    )
    assert held is not None  # every class has jets
    yield _stated(data, held, left_out)


@dataclass
class _SoFar:
    """What has been read up to now.

    Attributes:
        taken: Jets of each of the wanted classes.
        row: Rows of all files.
        first: Rows of all files before this one.
        rows: Rows of each class of the layout that was found.
        left_out: How many there are of what was left out.
        paths: The files.
    """

    taken: NDArray[np.int64]
    row: int = 0
    first: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    paths: list[Path] = field(default_factory=list)


@contextmanager
def _naming(group: Mapping[str, Path]) -> Iterator[None]:
    """Put the file before each of our messages that does not begin with it."""
    try:
        yield
    except InputError as error:
        if str(error).startswith(tuple(f"{path}: " for path in group.values())):
            raise
        raise InputError(f"{next(iter(group.values()))}: {error}") from error


def _why(data: PublicJets, so_far: _SoFar) -> str:
    """Why a class may have no jets, and what would be right."""
    there = [name for name in CLASSES[data.layout] if so_far.rows[name]]
    told = f"; the rows are of {', '.join(f'{name} {so_far.rows[name]}' for name in there)}"
    missing = [
        f"{count} {why}" for why, count in so_far.left_out.items() if count and not why.startswith("constituents")
    ]
    if missing:
        window = f" {list(data.pt_gev)}" if data.pt_gev else ""
        told += f"; left out: {', '.join(missing).replace('outside pt_gev', f'outside pt_gev{window}')}"
    if set(data.classes) <= set(there):
        return told + "; right would be another 'pt_gev' or other files"
    if len(there) < 2:
        return told + "; right would be files of every class"
    return told + f"; right would be files of every class, or 'classes: [{', '.join(there)}]'"


def _enough(data: PublicJets, taken: NDArray[np.int64]) -> bool:
    return data.max_jets is not None and bool((taken >= data.max_jets).all())


def _stated(data: PublicJets, jets: JetDataset, left_out: Counter[str]) -> JetDataset:
    details = {"settings": data.model_dump(mode="json"), "left_out": dict(left_out)}
    return replace(jets, origin=Origin("public", False, details))


def _groups(data: PublicJets) -> list[dict[str, Path]]:
    """The files that are read together, by the names of their arrays."""
    groups: list[dict[str, Path]] = []
    for one in data.files:
        if isinstance(one, VectorFiles):
            groups.append({name: matching([path])[0] for name, path in one.model_dump().items()})
            continue
        for path in matching([one]):
            if not path.is_dir():
                groups.append({"": path})
                continue
            group = {}
            for name in VectorFiles.model_fields:
                found = sorted(path.glob(f"*_{name}.npy"))
                if data.layout != "vectors" or len(found) != 1:
                    raise InputError(f"{path}: a folder is right for layout 'vectors', with one file *_{name}.npy; found "
                                     f"{', '.join(each.name for each in found) or 'none'} for {data.layout!r}")  # fmt: skip
                group[name] = found[0]
            groups.append(group)
    return groups


def _arrays(data: PublicJets, group: Mapping[str, Path], block: int) -> Iterator[Block]:
    """What the layout needs of its files."""
    if "" not in group:
        yield from npy_blocks(group, block)
        return
    path = group[""]
    match data.layout:
        case "top_landscape":
            wanted = (*TOP_COLUMNS[0][: 4 * TOP_SLOTS], "is_signal_new")
            if path.suffix in (".h5", ".hdf5"):
                yield from pandas_blocks(path, data.key or "table", wanted, TOP_COLUMNS, block)
            else:
                yield from array_blocks(path, wanted, block)
        case "quark_gluon":
            yield from array_blocks(path, ("X", "y"), block)
        case "vectors":
            yield from array_blocks(path, tuple(VectorFiles.model_fields), block)
        case "particles_150":
            yield from array_blocks(path, ("jetConstituentList", "jets"), block)
        case "jetclass":
            wanted = (*JETCLASS_MOMENTUM.values(), *(f"label_{name}" for name in CLASSES["jetclass"]))
            if path.suffix == ".root":
                yield from _branches(path, data.key or "tree", wanted, block)
            else:
                yield from array_blocks(path, wanted, block, optional=JETCLASS_MORE)


def _branches(path: Path, tree: str, wanted: Sequence[str], block: int) -> Iterator[Block]:
    with opened(path) as file:
        found = find_tree(file, path, tree)
        known = branch_names(found)
        names = [*wanted, *(name for name in JETCLASS_MORE if name in known)]
        for chunk in chunks(found, path, names, block):
            if len(chunk) == 0:
                raise InputError(f"there are no jets: tree {tree!r} has 0 entries")
            yield {name: chunk[name] for name in names}


def _slots(data: PublicJets, path: Path, arrays: Block) -> Slots:
    match data.layout:
        case "top_landscape":
            return top_landscape(arrays)
        case "quark_gluon":
            return quark_gluon(arrays)
        case "vectors":
            return vectors(arrays)
        case "jetclass":
            return jetclass(arrays)
        case "particles_150":
            return particles_150(arrays, *(_names(path, f"{what}FeatureNames") for what in ("particle", "jet")))


def _names(path: Path, array: str) -> list[str]:
    """An array of names in HDF5."""
    (found,) = array_blocks(path, (array,), 10_000)
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found[array]]


def _selected(data: PublicJets, found: Slots, so_far: _SoFar) -> tuple[JetDataset | None, dict[str, int]]:
    """The wanted jets of a block, and how many there are of what was left out; both are noted in `so_far`."""
    _check_momenta(data.layout, found)
    label = np.array([data.classes.index(name) if name in data.classes else -1 for name in CLASSES[data.layout]])[
        found.labels
    ]
    keep, left_out = _wanted(data, found, label, so_far)
    rows = np.bincount(found.labels, minlength=len(CLASSES[data.layout]))
    so_far.rows.update(dict(zip(CLASSES[data.layout], rows.tolist(), strict=True)))
    so_far.left_out.update(left_out)
    places = so_far.row + np.flatnonzero(keep)
    so_far.row += len(keep)
    if not keep.any():
        return None, left_out
    so_far.taken += np.bincount(label[keep], minlength=len(data.classes))
    return _jets(data, found, keep, label, places), left_out


def _wanted(
    data: PublicJets, found: Slots, label: NDArray[np.int64], so_far: _SoFar
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which rows of a block are taken, and how many there are of what is not."""
    jet = np.repeat(np.arange(len(found.counts)), found.counts)
    px, py, energy = (_summed(jet, found.columns[name], len(label)) for name in ("px", "py", "E"))
    row = so_far.row - so_far.first + np.arange(len(label))
    require_possible_energies(energy, row, "row")
    pt = transverse_momentum(px, py)
    low, high = data.pt_gev or (0.0, np.inf)
    keep, left_out = found.counts > 0, {"without constituents": int((found.counts == 0).sum())}
    for why, good in (("outside pt_gev", (pt >= low) & (pt < high)), ("of other classes", label >= 0)):
        left_out[why] = int((keep & ~good).sum())
        keep &= good
    before = np.count_nonzero(keep)
    if data.max_jets is not None:
        for number, already in enumerate(so_far.taken):
            keep[np.flatnonzero(keep & (label == number))[data.max_jets - already :]] = False
    left_out["beyond max_jets"] = int(before - np.count_nonzero(keep))
    left_out["constituents beyond max_constituents"] = int(
        np.maximum(found.counts[keep] - data.max_constituents, 0).sum()
    )
    require_transverse_momentum(px[keep], py[keep], row[keep], "row")
    return keep, left_out


def _summed(jet: NDArray[np.int64], column: NDArray[Any], jets: int) -> NDArray[np.float64]:
    """The sums of a column over the constituents of each jet."""
    return np.bincount(jet, column.astype(np.float64), minlength=jets).astype(np.float64)


def _jets(
    data: PublicJets, found: Slots, keep: NDArray[np.bool_], label: NDArray[np.int64], places: NDArray[np.int64]
) -> JetDataset:
    """The jets of the rows that are taken, whose numbers are `places`."""
    import awkward as ak

    jet = np.repeat(np.arange(len(found.counts)), found.counts)
    px, py = (np.asarray(found.columns[name], dtype=np.float64) for name in ("px", "py"))
    order = np.lexsort((-np.hypot(px, py), jet))
    rank = np.arange(len(jet)) - np.repeat(np.cumsum(found.counts) - found.counts, found.counts)
    order = order[keep[jet] & (rank < data.max_constituents)]
    kinds = {"charge": np.int8, "pdg_id": np.int32}
    columns = {name: column[order].astype(kinds.get(name, np.float64)) for name, column in found.columns.items()}
    columns["vertex"] = np.zeros(len(order), dtype=np.int8)
    return JetDataset(
        ak.unflatten(ak.zip(columns), np.minimum(found.counts[keep], data.max_constituents)), label[keep], data.classes,
        np.ones(len(places)), places, Origin("public"),
    )  # fmt: skip


def _check_momenta(layout: LayoutName, found: Slots) -> None:
    px, py, pz, energy = (np.asarray(found.columns[name], dtype=np.float64) for name in MOMENTUM)
    for name, column in zip(MOMENTUM, (px, py, pz, energy), strict=True):
        if not np.isfinite(column).all():
            raise InputError(
                f"{np.count_nonzero(~np.isfinite(column))} of {len(column)} values of {name} are NaN or infinite"
            )
    light = energy < np.sqrt(px**2 + py**2 + pz**2) * (1 - 1e-3)
    if light.any():
        raise InputError(f"{np.count_nonzero(light)} of {len(energy)} constituents have less energy than momentum: are the "
                         f"columns in the order of layout {layout!r}?")  # fmt: skip
