"""Events in ROOT files, in and out.

Our own files have a tree `events` with one entry an event and the string `jetgate` with class names and origin, as JSON.
Anybody's files are read by a mapping of branches in YAML (`EventMapping`), of which some are packaged
(`trigger/data/mappings/`): CMS nanoAOD with Level-1 objects, and our own layout.

No CMS file with Level-1 objects was at hand when this was written: the packaged mappings follow the sources that write
such files, and were tried on files of that layout which the tests make.

References:
    Branches: `PhysicsTools/NanoAOD/python/l1trig_cff.py`; types of energy sums:
    `DataFormats/L1Trigger/interface/EtSum.h`, both of github.com/cms-sw/cmssw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from trigger.config import Settings, find, load
from trigger.data.events import MET, OBJECTS, REGIONS, SUMS, EventDataset, leading
from trigger.data.jets import Origin
from trigger.data.rootfile import (
    DETAILS,
    STEP_SIZE,
    BranchLabel,
    RootFiles,
    Sample,
    blaming,
    branch_names,
    chunks,
    distinct_files,
    find_tree,
    input_files,
    labels_of,
    numbers_of_file,
    opened,
    sum_of_weights,
    weights_of,
)
from trigger.errors import InputError, nearest
from trigger.files import replacing

TREE = "events"
CODES = Callable[[NDArray[Any]], NDArray[np.int64]]
EVENTS_PER_BASKET = 10_000


class ObjectBranches(Settings):
    """Branches of one kind of object, all lists of the same lengths; a pT of 0 is no object.

    Attributes:
        pt: In GeV, or in counts of 0.5 GeV from 0 (CMS counts muons from 1: take their physical pT).
        eta: Pseudorapidity, or its counts.
        phi: In radians of any turn, or its counts.
        crossing: The bunch crossing that an object is of, relative to the triggered one; only those of crossing 0 are taken.
    """

    pt: str
    eta: str
    phi: str
    crossing: str | None = None


class TypedSums(Settings):
    """Energy sums in lists, told apart by a number.

    Attributes:
        pt: In GeV, or in counts of 0.5 GeV.
        phi: In radians, or in counts.
        type: The number.
        crossing: As of objects.
        missing_et: The number that means missing transverse energy.
        total_et: That of the total transverse energy; null where the files have none, and 0 stands for it.
        total_ht: That of HT; null likewise.
    """

    kind: Literal["typed"]
    pt: str
    phi: str
    type: str
    crossing: str | None = None
    missing_et: int
    total_et: int | None
    total_ht: int | None


class SeparateSums(Settings):
    """Energy sums in branches of one number an event each; see `TypedSums`."""

    kind: Literal["separate"]
    met_pt: str
    met_phi: str
    total_et: str | None
    total_ht: str | None


class EventMapping(Settings):
    """Which branches hold what.

    Attributes:
        units: Whether numbers are physical (GeV, eta, radians: they become the nearest hardware integers, pT saturating) or
            are the hardware integers of `trigger.data.events` already.
        egammas: Electrons and photons; null where the files have none, and 0 stands for them. In any order: the highest
            four are taken.
        muons: The same.
        jets: The same, the highest ten.
        sums: Missing and total energies.
        regions: Branch of the 18 x 14 counts of the calorimeter regions of an event (phi by phi, eta within); null where
            the files have none: then nothing that looks at regions can be made of them.
    """

    units: Literal["physical", "hardware"]
    egammas: ObjectBranches | None
    muons: ObjectBranches | None
    jets: ObjectBranches | None
    sums: Annotated[TypedSums | SeparateSums, Field(discriminator="kind")]
    regions: str | None = None

    def objects(self) -> dict[str, ObjectBranches]:
        """Kind of object to its branches, where it has any."""
        return {name: found for name in OBJECTS if (found := getattr(self, name)) is not None}

    def absent(self) -> list[str]:
        """What the files do not have."""
        missing = [name for name in (*OBJECTS, "regions") if getattr(self, name) is None]
        return missing + [name for name in ("total_et", "total_ht") if getattr(self.sums, name) is None]

    def branches(self) -> list[str]:
        """Every branch that is read."""
        sums = (value for name, value in self.sums.model_dump(exclude={"kind"}).items() if isinstance(value, str))
        lists = [name for one in self.objects().values() for name in one.model_dump(exclude_none=True).values()]
        return [*lists, *sums, *([self.regions] if self.regions is not None else [])]


def _packaged(given: object) -> object:
    """A mapping by its name or path is read here, so that settings, records and digests hold what it says."""
    if not isinstance(given, str):
        return given
    try:
        return load(find(given, "trigger.data", "mappings"), EventMapping)
    except InputError as error:
        raise ValueError(str(error)) from error


NamedMapping = Annotated[EventMapping, BeforeValidator(_packaged)]
"""A mapping, or the packaged name or path of one."""


class EventRootData(RootFiles):
    """Events from anybody's ROOT files; classes, weights, cuts and event numbers as of jets.

    Attributes:
        mapping: Which branches hold what: a packaged name (`cms_l1_nano`, `cms_nano`, `jetgate`), the path of a YAML file, or
            the mapping itself.
        collisions: Branch of the number of pileup collisions, one an entry (`Pileup_nPU` in simulated nanoAOD).
        max_events: Stop after so many events.
    """

    kind: Literal["event_root"]
    mapping: NamedMapping
    collisions: str | None = None
    max_events: int | None = Field(default=None, gt=0)


def iterate_events(data: EventRootData, step_size: int | str = STEP_SIZE) -> Iterator[EventDataset]:
    """The selected events, chunk by chunk; memory is bounded by the chunk.

    Raises:
        InputError: A file, tree or branch is missing or broken, lengths differ, a number is NaN or out of range, an event
            lacks an energy sum, or no event of a sample has any object of a kind that the mapping names.
    """
    count, entry_offset = 0, 0
    numbered = distinct_files(data)
    for sample, paths in input_files(data):
        scale = 1.0 if sample.cross_section_pb is None else 1.0 / sum_of_weights(data, sample, paths, step_size)
        found = dict.fromkeys(data.mapping.objects(), 0)
        before = count
        for path in paths:
            with opened(path) as file:
                tree = find_tree(file, path, data.tree)
                _require_objects(tree, path, data.mapping)
                for chunk in chunks(tree, path, _needed(data, sample), step_size):
                    try:
                        part = _chunk_events(data, sample, chunk, numbered.index(path.resolve()), entry_offset, scale)
                    except InputError as error:
                        raise InputError(f"{path}: {error}") from error
                    entry_offset += len(chunk)
                    if part is None:
                        continue
                    if data.max_events is not None and count + len(part) > data.max_events:
                        part = part.take(np.arange(data.max_events - count))
                    count += len(part)
                    for name in found:
                        found[name] += int(np.count_nonzero(getattr(part, name)[:, 0, 0]))
                    if count == data.max_events:
                        _require_found(data, sample, found, count - before)
                        yield part
                        return
                    yield part
        _require_found(data, sample, found, count - before)


def write_root_events(path: Path, sample: EventDataset) -> None:
    """Write a sample into a ROOT file of our layout; `read_root_events` reads back exactly the same."""
    import uproot

    with replacing(path) as fresh, uproot.recreate(fresh) as file:
        tree = None
        for start in range(0, len(sample), EVENTS_PER_BASKET):
            columns = _columns(sample.take(np.arange(start, min(start + EVENTS_PER_BASKET, len(sample)))))
            if tree is None:
                tree = file.mktree(TREE, {name: _branch_type(column) for name, column in columns.items()})
            tree.extend(columns)
        file[DETAILS] = json.dumps({"class_names": sample.class_names, "origin": asdict(sample.origin)})


def read_root_events(path: Path) -> EventDataset:
    """A sample that `write_root_events` wrote.

    Raises:
        InputError: The file is not one.
    """
    import awkward as ak

    with opened(path) as file:
        tree = find_tree(file, path, TREE)
        with blaming(path):
            said = json.loads(str(file[DETAILS]))
            class_names, origin = tuple(said["class_names"]), Origin(**said["origin"])
        there = branch_names(tree)
        optional = [name for name in ("regions", "collisions", "pool", "source", "slices") if name in there]
        reals = [name for name in ("offline_gev", "showers") if name in there]
        objects = [f"{name}_{field}" for name in OBJECTS for field in ("pt", "eta", "phi")]
        sums = ["met_pt", "met_phi", "total_et", "total_ht"]
        names = [*objects, *sums, "label", "weight", "event", *optional, *reals]
        stored = ak.concatenate(list(chunks(tree, path, names, STEP_SIZE)))

    def whole(*branches: str) -> NDArray[np.int64]:
        columns = [ak.to_numpy(stored[branch]).astype(np.int64) for branch in branches]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=-1)

    columns: dict[str, Any] = {name: whole(f"{name}_pt", f"{name}_eta", f"{name}_phi") for name in OBJECTS}
    columns |= {name: whole(name) for name in optional if name != "pool"}
    columns |= {name: ak.to_numpy(stored[name]) for name in reals}
    try:
        return EventDataset(
            met=whole("met_pt", "met_phi"),
            sums=whole("total_et", "total_ht"),
            **columns,
            pool=ak.values_astype(stored["pool"], np.int64) if "pool" in optional else None,
            labels=whole("label"),
            class_names=class_names,
            weights=ak.to_numpy(stored["weight"]),
            events=whole("event"),
            origin=origin,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _columns(sample: EventDataset) -> dict[str, Any]:
    """The branches of our layout; hardware integers have 32 bits there, which is more than any has."""
    columns: dict[str, Any] = {
        "event": sample.events,
        "label": sample.labels.astype(np.int32),
        "weight": sample.weights,
    }
    for name, table in (("met", sample.met), *((name, getattr(sample, name)) for name in OBJECTS)):
        fields = ("pt", "phi") if name == "met" else ("pt", "eta", "phi")
        columns |= {f"{name}_{field}": table[..., at].astype(np.int32) for at, field in enumerate(fields)}
    columns |= {name: sample.sums[:, at].astype(np.int32) for at, name in enumerate(("total_et", "total_ht"))}
    if sample.regions is not None:
        columns["regions"] = sample.regions.astype(np.int32)
    for name in ("collisions", "pool", "source", "slices", "offline_gev", "showers"):
        if getattr(sample, name) is not None:
            columns[name] = getattr(sample, name)
    return columns


def _branch_type(column: Any) -> Any:
    return np.dtype((column.dtype, column.shape[1:])) if isinstance(column, np.ndarray) else "var * int64"


def _needed(data: EventRootData, sample: Sample) -> list[str]:
    names = [*data.mapping.branches(), *(cut.branch for cut in data.cuts)]
    others = (sample.weight, sample.cross_section_pb, data.event, data.collisions)
    names += [name for name in others if isinstance(name, str)]
    if isinstance(sample.label, BranchLabel):
        names.append(sample.label.branch)
    return list(dict.fromkeys(names))


def _require_objects(tree: Any, path: Path, mapping: EventMapping) -> None:
    known = branch_names(tree)
    for name, branches in mapping.objects().items():
        for branch in branches.model_dump(exclude_none=True).values():
            if branch not in known:
                raise InputError(
                    f"{path}: tree {tree.name!r} has no branch {branch!r} for the {name}; nearest: {nearest(branch, known)}; "
                    f"right would be to name the branches of the {name} in the mapping, or '{name}: null' there if no event "
                    "of any class is to have them"
                )


def _require_found(data: EventRootData, sample: Sample, found: dict[str, int], events: int) -> None:
    """A file whose muons were never filled would pass as one of events without muons, and tell its class by that."""
    for name, count in found.items():
        if events and not count:
            branches = data.mapping.objects()[name]
            where = f" at {branches.crossing} 0" if branches.crossing is not None else ""
            raise InputError(
                f"{', '.join(sample.files)}: none of {events} events has any {name}{where} ({branches.pt!r}); right would be "
                f"files in which they are filled, or '{name}: null' in the mapping if no event of any class is to have them"
            )


def _chunk_events(
    data: EventRootData, sample: Sample, chunk: Any, file: int, entry_offset: int, scale: float
) -> EventDataset | None:
    if len(chunk) == 0:
        return None
    mapping = data.mapping
    labels = labels_of(data, sample, lambda branch: _numbers(chunk, branch), len(chunk))
    keep = labels >= 0
    for cut in data.cuts:
        values = _numbers(chunk, cut.branch)
        keep &= (values >= (-np.inf if cut.min is None else cut.min)) & (
            values < (np.inf if cut.max is None else cut.max)
        )
    if not keep.any():
        return None
    weights = weights_of(sample, lambda branch: _numbers(chunk, branch), len(chunk)) * scale
    numbers = np.arange(len(chunk)) + entry_offset
    if data.event is not None:
        numbers = numbers_of_file(_numbers(chunk, data.event), file)
    chosen = chunk[keep]
    met, sums = _sums(mapping, chosen)
    objects: dict[str, Any] = {name: _objects(mapping, name, chosen) for name in OBJECTS}
    return EventDataset(
        met=met,
        sums=sums,
        **objects,
        regions=_regions(mapping.regions, chosen) if mapping.regions is not None else None,
        collisions=_whole(data.collisions, _numbers(chosen, data.collisions)) if data.collisions is not None else None,
        labels=labels[keep],
        class_names=data.classes,
        weights=weights[keep],
        events=numbers[keep].astype(np.int64),
        origin=Origin(
            "event_root", False, {"settings": data.model_dump(mode="json"), "absent": mapping.absent()}
        ),
    )  # fmt: skip


def _numbers(chunk: Any, branch: str) -> NDArray[Any]:
    """A branch of one number an entry."""
    import awkward as ak

    if chunk[branch].ndim != 1:
        raise InputError(f"branch {branch!r} has more than one number an entry")
    column: NDArray[Any] = ak.to_numpy(chunk[branch])
    return column


def _lists(chunk: Any, branches: tuple[str, ...], crossing: str | None) -> list[Any]:
    """Branches of a list an entry, reduced to what is of crossing 0."""
    import awkward as ak

    names = [*branches, *([crossing] if crossing is not None else [])]
    for branch in names:
        if chunk[branch].ndim != 2:
            raise InputError(f"branch {branch!r} needs a list of numbers an entry, found {chunk[branch].type.content}")
        if not ak.array_equal(ak.num(chunk[branch]), ak.num(chunk[names[0]])):
            raise InputError(f"branches {names[0]!r} and {branch!r} differ in length")
    lists = [ak.from_regular(chunk[branch]) for branch in names]  # fixed lengths are lists too
    return lists if crossing is None else [one[lists[-1] == 0] for one in lists[:-1]]


def _codes(mapping: EventMapping, branch: str, values: NDArray[Any], nearest_codes: CODES) -> NDArray[np.int64]:
    """Hardware integers of a branch, whatever its units."""
    if mapping.units == "hardware":
        return _whole(branch, values)
    try:
        return nearest_codes(values)
    except InputError as error:
        raise InputError(f"branch {branch!r}: {error}") from error


def _whole(branch: str, values: NDArray[Any]) -> NDArray[np.int64]:
    wrong = np.zeros(0, bool) if values.dtype.kind in "iub" else ~(np.isfinite(values) & (values % 1 == 0))
    if wrong.any():
        raise InputError(f"branch {branch!r}: {np.count_nonzero(wrong)} of {values.size} values are no whole numbers, "
                         f"the first is {values[wrong][0]}")  # fmt: skip
    return values.astype(np.int64)


def _objects(mapping: EventMapping, name: str, chunk: Any) -> NDArray[np.int64]:
    """The highest objects of a kind, shape `(entries, count, 3)`."""
    import awkward as ak

    scale, count = OBJECTS[name]
    branches = mapping.objects().get(name)
    if branches is None:
        return np.zeros((len(chunk), count, 3), dtype=np.int64)
    lists = _lists(chunk, (branches.pt, branches.eta, branches.phi), branches.crossing)
    counts = ak.to_numpy(ak.num(lists[0]))
    pt, eta, phi = (ak.to_numpy(ak.flatten(one)) for one in lists)
    pt = _codes(mapping, branches.pt, pt, scale.pt_codes)
    if (pt < 0).any():
        raise InputError(f"branch {branches.pt!r}: a transverse momentum cannot be {pt.min()}")
    some = pt > 0  # what fills up lists of fixed length may be out of any range
    return leading(
        np.repeat(np.arange(len(chunk)), counts)[some],
        pt[some],
        _codes(mapping, branches.eta, eta[some], scale.eta_codes),
        _codes(mapping, branches.phi, phi[some], scale.phi_codes),
        len(chunk),
        count,
    )


def _sums(mapping: EventMapping, chunk: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Missing energy with its phi, and total energy with HT, each of shape `(entries, 2)`."""
    found = mapping.sums
    if isinstance(found, SeparateSums):
        met = [(name, _numbers(chunk, name)) for name in (found.met_pt, found.met_phi)]
        totals = [
            (name, _numbers(chunk, name)) if name is not None else None for name in (found.total_et, found.total_ht)
        ]
    else:
        met, totals = _typed_sums(found, chunk)
    codes = [
        np.zeros(len(chunk), dtype=np.int64) if one is None else _codes(mapping, *one, SUMS.pt_codes) for one in totals
    ]
    return (
        np.stack([_codes(mapping, *met[0], MET.pt_codes), _codes(mapping, *met[1], MET.phi_codes)], axis=1),
        np.stack(codes, axis=1),
    )


Column = tuple[str, NDArray[Any]]


def _typed_sums(found: TypedSums, chunk: Any) -> tuple[list[Column], list[Column | None]]:
    import awkward as ak

    pt, phi, kind = _lists(chunk, (found.pt, found.phi, found.type), found.crossing)

    def only(what: str, number: int, values: Any, branch: str) -> Column:
        chosen = kind == number
        counts = ak.to_numpy(ak.sum(chosen, axis=1))
        if (counts != 1).any():
            where = f" at {found.crossing} 0" if found.crossing is not None else ""
            there = np.unique(ak.to_numpy(ak.flatten(kind))).tolist()
            right = "" if what == "missing_et" else f"; where files have none, '{what}: null' in the mapping puts 0"
            raise InputError(
                f"{np.count_nonzero(counts != 1)} of {len(counts)} events have not one sum of {found.type} {number} "
                f"({what}){where} but {counts[counts != 1][0]}; found there: {there or 'none'}{right}"
            )
        return branch, ak.to_numpy(ak.flatten(values[chosen]))

    met = [only("missing_et", found.missing_et, *one) for one in ((pt, found.pt), (phi, found.phi))]
    totals = [
        only(what, number, pt, found.pt) if number is not None else None
        for what, number in (("total_et", found.total_et), ("total_ht", found.total_ht))
    ]
    return met, totals


def _regions(branch: str, chunk: Any) -> NDArray[np.int64]:
    import awkward as ak

    column, size = chunk[branch], REGIONS[0] * REGIONS[1]
    flat = ak.flatten(column, axis=2) if column.ndim == 3 else column
    if flat.ndim != 2 or not ak.all(ak.num(flat) == size):
        raise InputError(
            f"branch {branch!r} needs {REGIONS[0]} x {REGIONS[1]} numbers an entry, found {column.type.content}"
        )
    return _whole(branch, ak.to_numpy(ak.flatten(flat))).reshape(-1, *REGIONS)
