"""Layouts of the public samples of jets: from the arrays of a file to constituents. See `public.py` for what they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trigger.data.arrays import Block
from trigger.data.detector import CHARGED_HADRON, ELECTRON, MUON, NEUTRAL_HADRON, PHOTON
from trigger.data.jets import MOMENTUM
from trigger.data.particle_codes import charges, masses
from trigger.data.users_jets import require_finite, require_whole
from trigger.errors import InputError, nearest
from trigger.kinematics import from_pt_rapidity_phi_mass

LayoutName = Literal["top_landscape", "quark_gluon", "vectors", "jetclass", "particles_150"]
CLASSES: dict[str, tuple[str, ...]] = {
    "top_landscape": ("qcd", "top"),
    "quark_gluon": ("gluon", "quark"),
    "vectors": ("gluon", "quark"),
    "jetclass": ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"),
    "particles_150": ("gluon", "quark", "W", "Z", "top"),
}
"""Classes of each layout: where a file has a number for a label, it is the place here, where it has a column for each class,
the columns are in this order."""
TOP_SLOTS = 200
TOP_COLUMNS = (
    (*(f"{name}_{slot}" for slot in range(TOP_SLOTS) for name in ("E", "PX", "PY", "PZ")),
     "truthE", "truthPX", "truthPY", "truthPZ"),
    ("ttv", "is_signal_new"),
)  # fmt: skip
"""Columns of `top_landscape` in their order: those that are no whole numbers, and those that are."""
JETCLASS_MOMENTUM = dict(zip(MOMENTUM, ("part_px", "part_py", "part_pz", "part_energy"), strict=True))
JETCLASS_KINDS = {
    "part_isChargedHadron": CHARGED_HADRON, "part_isNeutralHadron": NEUTRAL_HADRON, "part_isPhoton": PHOTON,
    "part_isElectron": ELECTRON, "part_isMuon": MUON,
}  # fmt: skip
JETCLASS_MORE = ("part_charge", *JETCLASS_KINDS, "part_d0val", "part_d0err")
PARTICLES_150_MOMENTUM = dict(zip(MOMENTUM, ("j1_px", "j1_py", "j1_pz", "j1_e"), strict=True))
PARTICLES_150_LABELS = ("j_g", "j_q", "j_w", "j_z", "j_t")


@dataclass(frozen=True)
class Slots:
    """Jets as they are in a file, some of them perhaps without constituents.

    Attributes:
        columns: Fields of the constituents, one entry a constituent, ordered by jet.
        counts: Number of constituents of each jet.
        labels: Class of each jet as an index into `CLASSES`.
    """

    columns: dict[str, NDArray[Any]]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]


def top_landscape(arrays: Block) -> Slots:
    """Jets of `E_0, PX_0, PY_0, PZ_0 ...` and `is_signal_new`, shape `(jets,)` each."""
    for name in TOP_COLUMNS[0][: 4 * TOP_SLOTS]:
        _check_shape(name, arrays[name], ("jets",))
    columns = {
        name: np.stack([arrays[f"{spelled}_{slot}"] for slot in range(TOP_SLOTS)], axis=1)
        for name, spelled in zip(MOMENTUM, ("PX", "PY", "PZ", "E"), strict=True)
    }
    return _filled(columns, _by_number(arrays["is_signal_new"], "top_landscape"))


def quark_gluon(arrays: Block) -> Slots:
    """Jets of `X`, shape `(jets, slots, 4)`, of pT in GeV, rapidity, phi and PDG code, and `y`, shape `(jets,)`."""
    _check_shape("X", arrays["X"], ("jets", "slots", 4))
    pt, rapidity, phi, code = np.moveaxis(arrays["X"].astype(np.float64), -1, 0)
    good = np.abs(code) < 2**31  # not of NaN
    good &= np.where(good, code, 0) % 1 == 0
    if not good.all():
        raise InputError(f"{np.count_nonzero(~good)} PDG codes in 'X' are no whole numbers")
    if (pt < 0).any():
        raise InputError(f"{np.count_nonzero(pt < 0)} values of pT in 'X' are negative")
    filled = pt != 0
    signed = code[filled].astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused by name
        momentum = from_pt_rapidity_phi_mass(pt[filled], rapidity[filled], phi[filled], masses(signed))
    return Slots(
        {**dict(zip(MOMENTUM, momentum, strict=True)), "charge": charges(signed), "pdg_id": np.abs(signed)},
        filled.sum(axis=1), _by_number(arrays["y"], "quark_gluon"),
    )  # fmt: skip


def vectors(arrays: Block) -> Slots:
    """Jets of `vectors`, `mask` and `labels`: see `VectorFiles`."""
    found, mask = arrays["vectors"], arrays["mask"]
    _check_shape("vectors", found, ("jets", 4, "slots"))
    if mask.ndim == 2:
        mask = mask[:, None]
    _check_shape("mask", mask, (len(found), 1, found.shape[2]))
    require_whole("mask", mask, 0, 1)
    is_constituent = mask[:, 0] != 0
    columns = {name: np.where(is_constituent, found[:, place], 0) for place, name in enumerate(MOMENTUM)}
    return _filled(columns, _by_number(arrays["labels"], "vectors"))


def jetclass(arrays: Block) -> Slots:
    """Jets of the branches of JetClass: lists, or tables with zeros in free slots, and ten columns of labels."""
    import awkward as ak

    flags = {name: array for name, array in arrays.items() if name.startswith("label_")}
    lists = {name: array for name, array in arrays.items() if name not in flags}
    for name, array in flags.items():
        if array.ndim != 1:
            raise InputError(f"{name!r} holds {_meant(array)}; right would be one number a jet")
    labels = _one_hot({f"label_{name}": np.asarray(flags[f"label_{name}"]) for name in CLASSES["jetclass"]})
    energy = lists["part_energy"]
    for name, array in lists.items():
        if array.ndim != 2:
            raise InputError(f"{name!r} holds {_meant(array)}; right would be a list of numbers a jet, one a particle")
    if isinstance(energy, np.ndarray):
        _check_shape("part_energy", energy, (len(labels), "slots"))
        for name, array in lists.items():
            _check_shape(name, array, energy.shape)
        filled = np.any([lists[name] != 0 for name in JETCLASS_MOMENTUM.values()], axis=0)
        counts, flat = filled.sum(axis=1), {name: array[filled] for name, array in lists.items()}
    else:
        counts = ak.to_numpy(ak.num(energy)).astype(np.int64)
        for name, array in lists.items():
            if not np.array_equal(ak.num(array), counts):
                raise InputError(f"{name!r} and 'part_energy' differ in their numbers of particles")
        flat = {name: ak.to_numpy(ak.flatten(array)) for name, array in lists.items()}
    _check_particles(flat)
    columns = {name: flat[spelled] for name, spelled in JETCLASS_MOMENTUM.items()}
    nothing = np.zeros(counts.sum())
    columns["charge"] = flat.get("part_charge", nothing)
    columns["pdg_id"] = sum(
        (code * (flat[name] != 0) for name, code in JETCLASS_KINDS.items() if name in flat), nothing
    )
    if {"part_d0val", "part_d0err"} <= set(flat):
        d0, error = -flat["part_d0val"].astype(np.float64), flat["part_d0err"].astype(np.float64)
        columns["d0_mm"] = d0
        columns["d0_significance"] = np.divide(d0, error, out=np.zeros(len(d0)), where=error > 0)
    return Slots(columns, counts, labels)


def particles_150(arrays: Block, particle_names: Sequence[str], jet_names: Sequence[str]) -> Slots:
    """Jets of `jetConstituentList`, shape `(jets, slots, features)`, and the labels among `jets`, shape `(jets, features)`.

    Args:
        arrays: The two.
        particle_names: Names of the features of particles; published files have one more, at the end, than features.
        jet_names: Names of the features of jets.
    """
    constituents, jets = arrays["jetConstituentList"], arrays["jets"]
    _check_shape("jetConstituentList", constituents, ("jets", "slots", "features"))
    _check_shape("jets", jets, (len(constituents), "features"))

    def place(name: str, names: Sequence[str], among: int, array: str) -> int:
        if name not in names[:among]:
            raise InputError(f"array {array!r} has no feature {name!r}; nearest: {nearest(name, names[:among])}")
        return names.index(name)

    columns = {
        name: constituents[:, :, place(spelled, particle_names, constituents.shape[2], "jetConstituentList")]
        for name, spelled in PARTICLES_150_MOMENTUM.items()
    }
    flags = {name: jets[:, place(name, jet_names, jets.shape[1], "jets")] for name in PARTICLES_150_LABELS}
    return _filled(columns, _one_hot(flags))


def _filled(padded: Mapping[str, NDArray[Any]], labels: NDArray[np.int64]) -> Slots:
    """Four-momenta without the slots in which all is 0."""
    filled = np.any([table != 0 for table in padded.values()], axis=0)
    columns = {name: table[filled] for name, table in padded.items()}
    nothing = np.zeros(int(filled.sum()))
    return Slots({**columns, "charge": nothing, "pdg_id": nothing}, filled.sum(axis=1), labels)


def _check_particles(flat: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what JetClass says of particles besides their momenta where it cannot be."""
    for name in (one for one in JETCLASS_MORE if one in flat):
        if name == "part_charge":
            require_whole(name, flat[name], -127, 127)
        elif name in JETCLASS_KINDS:
            require_whole(name, flat[name], 0, 1)
        else:
            require_finite(name, flat[name])
    kinds = [flat[name] != 0 for name in JETCLASS_KINDS if name in flat]
    several = np.count_nonzero(np.sum(kinds, axis=0) > 1) if kinds else 0
    if several:
        raise InputError(
            f"{several} of {len(kinds[0])} particles are of more than one kind of {', '.join(JETCLASS_KINDS)}"
        )


def _check_shape(name: str, array: Any, expected: tuple[int | str, ...]) -> None:
    """Refuse another shape; of an axis of any length there is the name."""
    right = f"right would be the shape ({', '.join(map(str, expected))}{',' if len(expected) == 1 else ''})"
    if not isinstance(array, np.ndarray):
        raise InputError(f"array {name!r} holds {_meant(array)}; {right}")
    fits = array.ndim == len(expected) and all(
        isinstance(size, str) or size == found for size, found in zip(expected, array.shape, strict=True)
    )
    if not fits:
        raise InputError(f"array {name!r} has the shape {array.shape}; {right}")


def _meant(array: Any) -> str:
    """What an array holds for each jet."""
    if isinstance(array, np.ndarray):
        return "one number a jet" if array.ndim == 1 else f"numbers of the shape {array.shape}"
    return {1: "one number a jet", 2: "a list of numbers a jet"}.get(array.ndim, "lists of lists of numbers a jet")


def _by_number(values: NDArray[Any], layout: LayoutName) -> NDArray[np.int64]:
    """Labels that are the place of the class."""
    names = CLASSES[layout]
    meant = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
    if values.ndim != 1:
        raise InputError(f"labels are {_meant(values)}; right would be one number a jet, of {meant}")
    values = np.asarray(values)
    known = np.isin(values, np.arange(len(names)))
    if not known.all():
        raise InputError(f"a label is {values[~known][0]}, which is none of {meant}")
    return values.astype(np.int64)


def _one_hot(flags: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Labels by one column a class, in the order of the classes."""
    for name, column in flags.items():
        require_whole(name, column, 0, 1)
    table = np.stack(list(flags.values()), axis=-1)
    wrong = (table != 0).sum(axis=-1) != 1
    if wrong.any():
        raise InputError(f"{np.count_nonzero(wrong)} of {len(table)} jets have no label, or more than one")
    labels: NDArray[np.int64] = np.argmax(table != 0, axis=1)
    return labels
