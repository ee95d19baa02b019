"""ROOT files in and out, and jets in them: with `event_rootfile.py` the door to uproot.

Our own samples have a tree `jets` with one entry a jet and the string `jetgate` with everything that was set and measured
when they were made, as JSON. Anybody's files are read by a mapping of branches in YAML (`RootData`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from trigger.config import Settings
from trigger.data.jets import (
    CONSTITUENT_FIELDS,
    MOMENTUM,
    OPTIONAL_CONSTITUENT_FIELDS,
    Distinct,
    JetDataset,
    Origin,
    PtWindow,
    flattening_weights,
    optional_fields,
)
from trigger.data.users_jets import (
    require_numbers,
    require_possible_energies,
    require_transverse_momentum,
    require_whole,
)
from trigger.errors import InputError, nearest
from trigger.files import matching
from trigger.kinematics import from_pt_eta_phi_mass, pseudorapidity, transverse_momentum

TREE, DETAILS = "jets", "jetgate"
ROWS_FORMAT = 2
"""Raised when the jets or events that are read of the same file with the same recipe change."""
STEP_SIZE = "50 MB"
"""How much of a file is held in memory at a time, as uproot counts it."""


@dataclass(frozen=True)
class JetBlock:
    """A part of a sample as it lies in one of our files; unlike a JetDataset it may be empty.

    Attributes:
        constituents: Awkward array, `jets * var * record` with the fields `CONSTITUENT_FIELDS` and perhaps
            `OPTIONAL_CONSTITUENT_FIELDS`.
        labels: Index of each jet's class.
        weights: Weight of each jet in training and evaluation.
        events: Event number of each jet.
        generator_weights: Weight of the event that makes the biased sample follow the physical cross-section.
        details: What the file says of itself.
        target: What a network may learn beside the class, one number a jet.
        variations: Weights of other simulations relative to this one, shape `(jets, variations)`.
    """

    constituents: Any
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    events: NDArray[np.int64]
    generator_weights: NDArray[np.float64]
    details: dict[str, Any]
    target: NDArray[np.float64] | None = None
    variations: NDArray[np.float64] | None = None

    def pt_gev(self) -> NDArray[np.float64]:
        """Transverse momentum of each jet."""
        import awkward as ak

        px, py = (ak.to_numpy(ak.sum(self.constituents[name], axis=1)) for name in ("px", "py"))
        pt: NDArray[np.float64] = transverse_momentum(px, py)
        return pt

    def take(self, selection: NDArray[np.bool_], weights: NDArray[np.float64]) -> JetBlock:
        """The jets that `selection` picks, with new weights."""
        return JetBlock(
            self.constituents[selection], self.labels[selection], weights, self.events[selection],
            self.generator_weights[selection], self.details, None if self.target is None else self.target[selection],
            None if self.variations is None else self.variations[selection],
        )  # fmt: skip


def write_sample(
    path: Path, blocks: Iterable[JetBlock], details: dict[str, Any],
    tables: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
) -> None:  # fmt: skip
    """Write blocks of jets one after the other into one ROOT file of our layout.

    Args:
        path: The file.
        blocks: The jets.
        details: What the file says of itself.
        tables: Further trees by name, with their columns; `read_columns` reads them.
    """
    import uproot

    with uproot.recreate(path) as file:
        tree = None
        for block in blocks:
            columns = {
                "event": block.events.astype(np.int64),
                "label": block.labels.astype(np.int32),
                "weight": block.weights,
                "generator_weight": block.generator_weights,
                "constituent": block.constituents[[*CONSTITUENT_FIELDS, *optional_fields(block.constituents)]],
            }
            if block.target is not None:
                columns["target"] = block.target
            if block.variations is not None:
                columns["variation"] = block.variations
            if tree is None:
                tree = file.mktree(TREE, {name: _branch_type(name, column) for name, column in columns.items()})
            tree.extend(columns)
        for name, table in (tables or {}).items():
            file.mktree(name, {column: values.dtype for column, values in table.items()}).extend(dict(table))
        file[DETAILS] = json.dumps(details)


def _branch_type(name: str, column: Any) -> Any:
    if name == "variation":
        return f"{column.shape[1]} * float64"
    if name != "constituent":
        return column.dtype
    import awkward as ak

    integers = {"charge": "int8", "pdg_id": "int32", "vertex": "int8"}
    fields = [f"{field}: {integers.get(field, 'float64')}" for field in ak.fields(column)]
    return f"var * {{{', '.join(fields)}}}"


def read_block(path: Path) -> JetBlock:
    """All of one of our files at once."""
    import awkward as ak

    blocks = list(iterate_blocks(path, step_size=1 << 40))

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(block, name) for block in blocks])

    return JetBlock(
        ak.concatenate([block.constituents for block in blocks]),
        joined("labels"),
        joined("weights"),
        joined("events"),
        joined("generator_weights"),
        blocks[0].details,
        None if blocks[0].target is None else joined("target"),
        None if blocks[0].variations is None else joined("variations"),
    )


def entries(path: Path, tree: str) -> int:
    """Entries of a tree."""
    with opened(path) as file:
        return int(find_tree(file, path, tree).num_entries)


def read_columns(path: Path, tree: str, names: tuple[str, ...], start: int, stop: int) -> NDArray[np.float64]:
    """Branches of one number an entry, shape `(entries, names)`.

    Raises:
        InputError: A branch is missing, or has more than one number an entry.
    """
    import awkward as ak

    with opened(path) as file:
        found = find_tree(file, path, tree)
        _require_branches(found, path, list(names))
        with blaming(path):
            columns = found.arrays(list(names), entry_start=start, entry_stop=stop, library="ak")
    many = [name for name in names if columns[name].ndim != 1]
    if many:
        raise InputError(f"{path}: branch {many[0]!r} of tree {tree!r} has more than one number an entry")
    return np.stack([ak.to_numpy(columns[name]).astype(np.float64) for name in names], axis=1)


def write_columns(path: Path, tree: str, blocks: Iterable[dict[str, NDArray[Any]]]) -> None:
    """Write blocks of columns one after the other into one tree."""
    import uproot

    with uproot.recreate(path) as file:
        made = None
        for block in blocks:
            if made is None:
                made = file.mktree(tree, {name: column.dtype for name, column in block.items()})
            made.extend(block)


def iterate_blocks(path: Path, step_size: int | str = STEP_SIZE) -> Iterator[JetBlock]:
    """One of our files, block by block."""
    import awkward as ak

    with opened(path) as file:
        tree = find_tree(file, path, TREE)
        with blaming(path):
            details = json.loads(str(file[DETAILS]))
        known = set(tree.keys())
        names = [*CONSTITUENT_FIELDS, *(one for one in OPTIONAL_CONSTITUENT_FIELDS if f"constituent_{one}" in known)]
        fields = [f"constituent_{name}" for name in names]
        scalars = ["event", "label", "weight", "generator_weight", *sorted({"target", "variation"} & known)]
        for chunk in chunks(tree, path, [*scalars, *fields], step_size):
            yield JetBlock(
                constituents=ak.zip({name: chunk[f"constituent_{name}"] for name in names}),
                labels=ak.to_numpy(chunk["label"]).astype(np.int64),
                weights=ak.to_numpy(chunk["weight"]),
                events=ak.to_numpy(chunk["event"]),
                generator_weights=ak.to_numpy(chunk["generator_weight"]),
                details=details,
                target=ak.to_numpy(chunk["target"]) if "target" in known else None,
                variations=ak.to_numpy(chunk["variation"]) if "variation" in known else None,
            )


class Momenta(Settings):
    """Branches of particles: either `px, py, pz, E` or `pt, eta, phi` and perhaps `mass` (else massless)."""

    px: str | None = None
    py: str | None = None
    pz: str | None = None
    E: str | None = None
    pt: str | None = None
    eta: str | None = None
    phi: str | None = None
    mass: str | None = None
    charge: str | None = None
    pdg_id: str | None = None

    def branches(self) -> dict[str, str]:
        """Quantity to branch."""
        return {name: branch for name, branch in self.model_dump().items() if branch is not None}


def _complete(momenta: Momenta) -> Momenta:
    given = set(momenta.branches())
    if not ({"px", "py", "pz", "E"} <= given or {"pt", "eta", "phi"} <= given):
        raise ValueError(f"momenta need px, py, pz, E or pt, eta, phi; found {sorted(given)}")
    return momenta


CompleteMomenta = Annotated[Momenta, AfterValidator(_complete)]


class NestedLayout(Settings):
    """Jets with their constituents inside: one entry a jet, or one entry an event with lists of lists."""

    kind: Literal["nested"]
    constituents: CompleteMomenta


class FlatLayout(Settings):
    """Events of particles, which are clustered into anti-kt jets here.

    Attributes:
        particles: Branches of the particles.
        max_abs_eta: Particles beyond it are left out before anything else; some files mark what they could not measure by
            an eta of 999.
        radius: Radius parameter of the jets.
        min_pt_gev: Smallest pT of a jet.
    """

    kind: Literal["flat"]
    particles: CompleteMomenta
    max_abs_eta: float | None = Field(default=None, gt=0)
    radius: float = Field(default=0.8, gt=0, le=1.5)
    min_pt_gev: float = Field(default=20.0, gt=0)


class LinkedLayout(Settings):
    """Jets linked to particles by two index branches of equal length, as in CMS nanoAOD with particle-flow candidates.

    Attributes:
        particles: Branches of the particles.
        jet_index: For each link the index of its jet within the event.
        particle_index: For each link the index of its particle within the event.
        jets: The number of jets, or any branch with one value a jet.
    """

    kind: Literal["linked"]
    particles: CompleteMomenta
    jet_index: str
    particle_index: str
    jets: str


Layout = Annotated[NestedLayout | FlatLayout | LinkedLayout, Field(discriminator="kind")]


class BranchLabel(Settings):
    """The class of each jet by a branch: class name to the values of the branch that mean it."""

    branch: str
    values: dict[str, tuple[int, ...]]


class Cut(Settings):
    """A range of a branch with one value an entry, or one a jet; `min` is included, `max` is not."""

    branch: str
    min: float | None = None
    max: float | None = None


class Sample(Settings):
    """Some files and what is in them.

    Attributes:
        files: Paths or patterns.
        label: The class of all jets, or the branch that tells.
        weight: A number, or the branch that holds one an entry or one a jet.
        cross_section_pb: A number, or the branch that holds it: weights are scaled so that those of all entries of the
            sample, before any cut, add up to it.
    """

    files: tuple[str, ...]
    label: str | BranchLabel
    weight: float | str = 1.0
    cross_section_pb: float | str | None = None


class RootFiles(Settings):
    """Anybody's ROOT files, whatever is in them.

    Attributes:
        classes: Class names, in the order of the network's outputs.
        tree: Name of the tree.
        samples: The files.
        event: Branch of the event number; without it every entry of every file is an event of its own. The same number in
            two files is of two events: generators and runs begin to count anew.
        cuts: Further cuts.
    """

    classes: Annotated[tuple[str, ...], Distinct]
    tree: str = "Events"
    samples: tuple[Sample, ...]
    event: str | None = None
    cuts: tuple[Cut, ...] = ()


class RootData(RootFiles):
    """Jets from anybody's ROOT files.

    Attributes:
        layout: How jets and particles lie in the tree.
        pt_gev: Window of the jet's pT (of the sum of its constituents), applied after reading.
        max_abs_eta: Largest |eta| of a jet.
        flatten_pt: Whether weights make the pT spectrum of every class flat over `pt_gev`.
        max_jets: Stop after so many jets.
    """

    kind: Literal["root"]
    layout: Layout
    pt_gev: PtWindow | None = None
    max_abs_eta: float | None = None
    flatten_pt: bool = False
    max_jets: int | None = Field(default=None, gt=0)


def input_files(data: RootFiles) -> list[tuple[Sample, list[Path]]]:
    """The files of each sample.

    Raises:
        InputError: A path or pattern matches no file.
    """
    return [(sample, matching(sample.files)) for sample in data.samples]


def distinct_files(data: RootFiles) -> list[Path]:
    """All files, each once, in the order in which they are read: the place of one in it is the number of the file."""
    return list(dict.fromkeys(path.resolve() for _, paths in input_files(data) for path in paths))


def read_jets(data: RootData, step_size: int | str = STEP_SIZE) -> Iterator[JetDataset]:
    """The selected jets, chunk by chunk; memory is bounded by the chunk.

    Raises:
        InputError: A file, tree or branch is missing or broken, a label is none of the classes, or a number is NaN.
    """
    count, entry_offset = 0, 0
    numbered = distinct_files(data)
    for sample, paths in input_files(data):
        scale = 1.0 if sample.cross_section_pb is None else 1.0 / sum_of_weights(data, sample, paths, step_size)
        for path in paths:
            with opened(path) as file:
                tree = find_tree(file, path, data.tree)
                place = _Place(numbered.index(path.resolve()), 0, entry_offset)
                for chunk in chunks(tree, path, _needed(data, sample), step_size):
                    try:
                        jets = _chunk_jets(data, sample, chunk, place, scale)
                    except InputError as error:
                        raise InputError(f"{path}: {error}") from error
                    entry_offset += len(chunk)
                    place = _Place(place.file, place.entry + len(chunk), entry_offset)
                    if jets is None:
                        continue
                    if data.max_jets is not None and count + len(jets) >= data.max_jets:
                        yield jets.take(np.arange(data.max_jets - count))
                        return
                    count += len(jets)
                    yield jets


@dataclass(frozen=True)
class _Place:
    """Where a chunk lies: the number of its file, of its first entry in the file, and of that in all files."""

    file: int
    entry: int
    entry_of_all: int


def numbers_of_file(numbers: NDArray[Any], file: int) -> NDArray[np.int64]:
    """Event numbers that differ from those of other files, from 0 to 2^63 - 1; those of file 0 stay as they are.

    Files lie apart by multiples of the golden section of 2^63, which never come near each other: numbers below `3e13` of up to
    100 000 files are all different.

    Args:
        numbers: As a file has them.
        file: Number of the file.

    References:
        Knuth, The Art of Computer Programming 3, section 6.4, "Fibonacci hashing".
    """
    shift = np.uint64(file * 0x4F1BBCDCBFA53E0B % 2**63)
    moved = (numbers.astype(np.int64).astype(np.uint64) + shift) & np.uint64(2**63 - 1)
    return moved.astype(np.int64)


def sum_of_weights(data: RootFiles, sample: Sample, paths: list[Path], step_size: int | str) -> float:
    """Sum of the weights of all entries of a sample: a cross-section is of what was generated, not of what was selected."""
    import awkward as ak

    total = 0.0
    for path in paths:
        with opened(path) as file:
            tree = find_tree(file, path, data.tree)
            if not isinstance(sample.weight, str):
                total += sample.weight * tree.num_entries
                continue
            for chunk in chunks(tree, path, [sample.weight], step_size):
                if chunk[sample.weight].ndim != 1:
                    raise InputError(
                        f"{path}: with a cross-section, branch {sample.weight!r} must have one value an entry"
                    )
                total += float(ak.sum(chunk[sample.weight]))
    if not total > 0:
        raise InputError(
            f"{', '.join(sample.files)}: the weights add up to {total}; they cannot be scaled to a cross-section"
        )
    return total


def final_weights(
    data: RootData, pt_gev: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights after flattening, where that is asked for."""
    if not data.flatten_pt:
        return weights
    window = data.pt_gev or (float(pt_gev.min()), float(pt_gev.max()))
    return flattening_weights(pt_gev, labels, weights, window)


def _needed(data: RootData, sample: Sample) -> list[str]:
    layout = data.layout
    momenta = layout.constituents if isinstance(layout, NestedLayout) else layout.particles
    names = list(momenta.branches().values())
    if isinstance(layout, LinkedLayout):
        names += [layout.jet_index, layout.particle_index, layout.jets]
    names += [cut.branch for cut in data.cuts]
    names += [name for name in (sample.weight, sample.cross_section_pb, data.event) if isinstance(name, str)]
    if isinstance(sample.label, BranchLabel):
        names.append(sample.label.branch)
    return list(dict.fromkeys(names))


def _chunk_jets(data: RootData, sample: Sample, chunk: Any, place: _Place, scale: float) -> JetDataset | None:
    import awkward as ak

    if len(chunk) == 0:
        return None
    for branch in _needed(data, sample):
        require_numbers(branch, chunk[branch])
    constituents, entry = _constituents(data.layout, chunk)
    jets_per_entry = np.bincount(entry, minlength=len(chunk))

    def per_jet(branch: str) -> NDArray[Any]:
        column = chunk[branch]
        if column.ndim == 1:
            flat: NDArray[Any] = ak.to_numpy(column)
            return flat[entry]
        if not np.array_equal(ak.to_numpy(ak.num(column)), jets_per_entry):
            raise InputError(f"branch {branch!r} has neither one value an entry nor one a jet")
        listed: NDArray[Any] = ak.to_numpy(ak.flatten(column))
        return listed

    keep = ak.to_numpy(ak.num(constituents)) > 0
    for cut in data.cuts:
        values = per_jet(cut.branch)
        keep &= (values >= (-np.inf if cut.min is None else cut.min)) & (
            values < (np.inf if cut.max is None else cut.max)
        )
    for name in MOMENTUM:
        flat = ak.to_numpy(ak.flatten(constituents[name][keep]))
        if not np.isfinite(flat).all():
            raise InputError(
                f"{np.count_nonzero(~np.isfinite(flat))} of {flat.size} values of {name} are NaN or infinite"
            )
    px, py, pz, energy = (ak.to_numpy(ak.sum(constituents[name], axis=1)) for name in MOMENTUM)
    if data.max_abs_eta is not None:
        keep &= ~(np.abs(pseudorapidity(px, py, pz)) >= data.max_abs_eta)
    require_possible_energies(energy[keep], place.entry + entry[keep], "entry")
    pt = transverse_momentum(px, py)
    if data.pt_gev is not None:
        keep &= (pt >= data.pt_gev[0]) & (pt < data.pt_gev[1])
    labels = labels_of(data, sample, per_jet, len(entry))
    keep &= labels >= 0
    if not keep.any():
        return None
    require_transverse_momentum(px[keep], py[keep], place.entry + entry[keep], "entry")
    weights = weights_of(sample, per_jet, len(entry)) * scale
    numbers = entry + place.entry_of_all
    if data.event is not None:
        numbers = per_jet(data.event)
    return JetDataset(
        constituents[keep], labels[keep], data.classes, weights[keep], _events(data, numbers[keep], place.file),
        Origin("root", False, {"settings": data.model_dump(mode="json")}),
    )  # fmt: skip


def _events(data: RootData, numbers: NDArray[Any], file: int) -> NDArray[np.int64]:
    if data.event is None:
        return numbers.astype(np.int64)
    if numbers.dtype.kind == "f":
        require_whole(data.event, numbers, -(2**53), 2**53)
    return numbers_of_file(numbers, file)


def _check_finite(particles: Any) -> None:
    import awkward as ak

    for name in MOMENTUM:
        flat = ak.to_numpy(ak.flatten(particles[name]))
        if not np.isfinite(flat).all():
            raise InputError(
                f"{np.count_nonzero(~np.isfinite(flat))} of {flat.size} values of {name} are NaN or infinite"
            )


def labels_of(data: RootFiles, sample: Sample, column: Callable[[str], NDArray[Any]], count: int) -> NDArray[np.int64]:
    """The class of each jet or event, -1 where it has none.

    Args:
        data: The files.
        sample: Those of them that `column` reads.
        column: A branch's values, one a jet or event.
        count: How many of them there are.

    Raises:
        InputError: A label is none of the classes.
    """
    if isinstance(sample.label, str):
        if sample.label not in data.classes:
            raise InputError(
                f"label {sample.label!r} is none of the classes; nearest: {nearest(sample.label, data.classes)}"
            )
        return np.full(count, data.classes.index(sample.label), dtype=np.int64)
    labels = np.full(count, -1, dtype=np.int64)
    values = column(sample.label.branch)
    for name, codes in sample.label.values.items():
        if name not in data.classes:
            raise InputError(f"label {name!r} is none of the classes; nearest: {nearest(name, data.classes)}")
        labels[np.isin(values, codes)] = data.classes.index(name)
    return labels


def weights_of(sample: Sample, column: Callable[[str], NDArray[Any]], count: int) -> NDArray[np.float64]:
    """The weight of each jet or event, times the cross-section where there is one; see `labels_of` for the arguments."""
    weights = column(sample.weight) if isinstance(sample.weight, str) else np.full(count, sample.weight)
    if isinstance(sample.cross_section_pb, str):
        weights = weights * column(sample.cross_section_pb)
    elif sample.cross_section_pb is not None:
        weights = weights * sample.cross_section_pb
    return weights.astype(np.float64)


def _constituents(layout: Layout, chunk: Any) -> tuple[Any, NDArray[np.int64]]:
    """The constituents of all jets of a chunk, and the entry of each jet."""
    import awkward as ak

    if isinstance(layout, NestedLayout):
        particles = _filled(_records(layout.constituents, chunk))
        if particles.ndim == 2:
            return particles, np.arange(len(particles))
        counts = ak.to_numpy(ak.num(particles, axis=1))
        return ak.flatten(particles, axis=1), np.repeat(np.arange(len(counts)), counts)
    particles = _records(layout.particles, chunk)
    if isinstance(layout, FlatLayout):
        from trigger.inputs.clustering import cluster

        if layout.max_abs_eta is not None:
            particles = particles[abs(pseudorapidity(particles.px, particles.py, particles.pz)) < layout.max_abs_eta]
        particles = _filled(particles)
        _check_finite(particles)
        jets = cluster(particles, layout.radius, layout.min_pt_gev)
        start = np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(particles)))])
        places = jets.constituents + start[jets.event]
        return ak.unflatten(ak.flatten(particles)[ak.flatten(places)], ak.num(places)), jets.event
    jet_of, particle_of = chunk[layout.jet_index], chunk[layout.particle_index]
    if not ak.all(ak.num(jet_of) == ak.num(particle_of)):
        raise InputError(f"branches {layout.jet_index!r} and {layout.particle_index!r} differ in length")
    if ak.any(particle_of < 0) or ak.any(particle_of >= ak.num(particles)):
        raise InputError(f"branch {layout.particle_index!r} points beyond the particles")
    counted = chunk[layout.jets]
    jets_per_event = ak.to_numpy(ak.num(counted) if counted.ndim > 1 else counted)
    if not np.issubdtype(jets_per_event.dtype, np.integer):
        raise InputError(f"branch {layout.jets!r} has neither one value a jet nor the number of jets")
    jets_per_event = jets_per_event.astype(np.int64)
    linked = jet_of >= 0
    order = ak.argsort(jet_of[linked], axis=1, stable=True)
    jet_of, particle_of = jet_of[linked][order], particle_of[linked][order]
    first = np.concatenate([[0], np.cumsum(jets_per_event)])
    if ak.any(jet_of >= jets_per_event):
        raise InputError(f"branch {layout.jet_index!r} points beyond the jets")
    number = ak.to_numpy(ak.flatten(jet_of + first[:-1]))
    counts = np.bincount(number, minlength=first[-1])
    picked = ak.flatten(particles[particle_of])
    return _filled(ak.unflatten(picked, counts)), np.repeat(np.arange(len(jets_per_event)), jets_per_event)


def _records(momenta: Momenta, chunk: Any) -> Any:
    """Particles with our field names, whatever coordinates the file has.

    Raises:
        InputError: A branch is no list, the lists differ in length, or a number is NaN.
    """
    import awkward as ak

    branches = momenta.branches()
    q = {name: chunk[branch] for name, branch in branches.items()}
    for name, branch in branches.items():
        if q[name].ndim < 2:
            raise InputError(f"branch {branch!r} has one value an entry; momenta of particles are lists")
        q[name] = ak.from_regular(ak.values_astype(q[name], np.float64), axis=None)  # fixed lengths are lists too
        wrong = ak.sum(np.isnan(q[name]), axis=None)
        if wrong:
            raise InputError(f"{wrong} of {ak.count(q[name])} values of {branch} are NaN or infinite")
        if name in ("charge", "pdg_id"):
            require_whole(branch, ak.to_numpy(ak.flatten(q[name], axis=None)), -(2**31), 2**31)
        first = next(iter(q.values()))
        if q[name].ndim != first.ndim or not ak.array_equal(ak.num(q[name], axis=-1), ak.num(first, axis=-1)):
            raise InputError(f"branches {next(iter(branches.values()))!r} and {branch!r} differ in length")
    if {"px", "py", "pz", "E"} <= set(q):
        px, py, pz, energy = (q[name] for name in MOMENTUM)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused by name
            px, py, pz, energy = from_pt_eta_phi_mass(q["pt"], q["eta"], q["phi"], q.get("mass", 0 * q["pt"]))
    zero = ak.zeros_like(px)
    columns = {"px": px, "py": py, "pz": pz, "E": energy, "charge": q.get("charge", zero),
               "pdg_id": abs(q.get("pdg_id", zero)), "vertex": zero}  # fmt: skip
    return ak.zip(columns, depth_limit=px.ndim)


def _filled(particles: Any) -> Any:
    """The particles without empty slots: files of fixed length pad with zeros, which are no particles."""
    return particles[(particles.E != 0) | (particles.px != 0) | (particles.py != 0)]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A ROOT file, opened."""
    import uproot

    with blaming(path):
        file = uproot.open(path)
    with file:
        yield file


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Whatever uproot dislikes about a file becomes our error."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # decompressors and interpreters each have errors of their own
        first, *more = str(error).strip().splitlines() or [type(error).__name__]
        reason = f"{first} {more[0]}" if first.endswith(",") and more else first
        raise InputError(f"{path}: not a ROOT file, or a damaged one: {reason}") from error


def find_tree(file: Any, path: Path, name: str) -> Any:
    """A tree of an opened file.

    Raises:
        InputError: There is none of that name; the nearest are shown.
    """
    with blaming(path):
        trees = [key for key, kind in file.classnames(cycle=False).items() if kind in ("TTree", "ROOT::RNTuple")]
    if name not in trees:
        raise InputError(f"{path}: there is no tree {name!r}; nearest: {nearest(name, trees)}")
    with blaming(path):
        return file[name]


def branch_names(tree: Any) -> set[str]:
    """The branches of a tree, by their whole path and by its last part."""
    keys = [str(key) for key in tree.keys()]  # noqa: SIM118, iterating over a tree reads it
    return {key.split(";")[0] for key in keys} | {key.rsplit("/", 1)[-1] for key in keys}


def _require_branches(tree: Any, path: Path, names: list[str]) -> None:
    known = branch_names(tree)
    for name in names:
        if name not in known:
            raise InputError(f"{path}: tree {tree.name!r} has no branch {name!r}; nearest: {nearest(name, known)}")


def chunks(tree: Any, path: Path, names: list[str], step_size: int | str) -> Iterator[Any]:
    """The named branches of a tree, chunk by chunk.

    Raises:
        InputError: A branch is missing, or the file is damaged.
    """
    _require_branches(tree, path, names)
    # An empty tree has one empty chunk: it still says what its columns are.
    parts = tree.iterate(names, step_size=step_size, library="ak") if tree.num_entries else iter([tree.arrays(names)])
    while True:
        with blaming(path):
            chunk = next(parts, None)
        if chunk is None:
            return
        yield chunk
