"""Crossings of bunches as the Level-1 trigger sees them: objects in hardware integers, and a grid of regions.

The integers are those of the CMS Global Trigger, with one simplification: a pT code is the pT over its step for all
objects (CMS counts muons from 1, because 0 means none there). An entry without an object is 0 in all its fields.

References:
    Objects, their numbers, steps and ranges: CMS Level-1 trigger in Run 2, arXiv:2006.10165. The 18 x 14 regions of 10 bits
    are the input of CICADA (CMS-DP-2023-086), the 19 objects that of AXOL1TL (arXiv:2411.19506).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trigger.data.jets import Origin
from trigger.digest import digest
from trigger.errors import InputError
from trigger.files import replacing

PT_STEP_GEV = 0.5
"""One count of any transverse momentum or energy."""
REGIONS = (18, 14)
"""Rows (phi) and columns (eta) of the grid of calorimeter regions, each of 4 x 4 trigger towers."""
REGION_BITS = 10
EVENT_FORMAT = 3
"""Part of the digest of every generated sample; raised when the same settings give other events than before."""


@dataclass(frozen=True)
class HardwareScale:
    """How one kind of object is written in integers.

    Attributes:
        pt_bits: Bits of the transverse momentum; larger ones saturate.
        eta_step: Width of a count of eta; 0 where there is none.
        eta_bits: Bits of eta, the sign's included.
        phi_steps: Counts of phi in a full turn, from 0.
    """

    pt_bits: int
    eta_step: float = 0.0
    eta_bits: int = 0
    phi_steps: int = 144

    @property
    def phi_step(self) -> float:
        """Width of a count of phi in radians."""
        return 2 * np.pi / self.phi_steps

    def pt_codes(self, pt_gev: ArrayLike) -> NDArray[np.int64]:
        """Transverse momenta to the nearest count, saturating.

        Raises:
            InputError: One is negative, NaN or infinite.
        """
        pt = _finite("pt", pt_gev)
        if (pt < 0).any():
            raise InputError(f"a transverse momentum cannot be {pt.min()} GeV")
        codes: NDArray[np.int64] = np.minimum(np.rint(pt / PT_STEP_GEV), 2**self.pt_bits - 1).astype(np.int64)
        return codes

    def eta_codes(self, eta: ArrayLike) -> NDArray[np.int64]:
        """Pseudorapidities to the nearest count.

        Raises:
            InputError: One is NaN, infinite or out of range.
        """
        values = _finite("eta", eta)
        codes = np.rint(values / self.eta_step).astype(np.int64)
        largest = 2 ** (self.eta_bits - 1) - 1
        if (np.abs(codes) > largest).any():
            found = values.flat[np.abs(codes).argmax()]
            raise InputError(
                f"eta {found:g} is beyond the {largest * self.eta_step:.2f} that {self.eta_bits} bits reach"
            )
        return codes

    def phi_codes(self, phi: ArrayLike) -> NDArray[np.int64]:
        """Azimuths in radians, of any turn, to the nearest count."""
        return np.rint(_finite("phi", phi) / self.phi_step).astype(np.int64) % self.phi_steps


MET = HardwareScale(pt_bits=12)
SUMS = HardwareScale(pt_bits=12)
EGAMMA = HardwareScale(pt_bits=9, eta_step=0.0435, eta_bits=8)
MUON = HardwareScale(pt_bits=9, eta_step=0.010875, eta_bits=9, phi_steps=576)
JET = HardwareScale(pt_bits=11, eta_step=0.0435, eta_bits=8)
OBJECTS: dict[str, tuple[HardwareScale, int]] = {"egammas": (EGAMMA, 4), "muons": (MUON, 4), "jets": (JET, 10)}
"""Objects with a place: scale, and how many an event has."""


@dataclass(frozen=True)
class EventDataset:
    """Labelled crossings in hardware integers, all `int64`.

    Attributes:
        met: Missing transverse energy: pt and phi, shape `(n, 2)`.
        egammas: Electrons and photons: pt, eta and phi, by falling pt, shape `(n, 4, 3)`.
        muons: The same of muons, shape `(n, 4, 3)`.
        jets: The same of jets, shape `(n, 10, 3)`.
        sums: Total transverse energy and HT, shape `(n, 2)`.
        labels: Class of each event as an index into `class_names`, shape `(n,)`.
        class_names: Names of the classes.
        weights: Training and evaluation weight of each event, shape `(n,)`, not negative.
        events: Number of each event, shape `(n,)`.
        origin: Where the sample came from.
        regions: Transverse energy of each calorimeter region, shape `(n, 18, 14)`; `None` where the source has none.
        collisions: Number of pileup collisions in each event, shape `(n,)`; `None` where unknown.
        pool: Which collisions of a pool they were, `n * var * int` (awkward); `None` where there was no pool. Events that
            share one are not independent: whoever bootstraps draws collisions, not events.
        source: Number of the hardest collision of each event, shape `(n,)`; events that share it are hardly independent.
        slices: Number of collisions of each event in each slice of pTHat, shape `(n, slices)`.
        offline_gev: Scalar sum of pT of the particle-level jets of the event's own hard collision, shape `(n,)`; 0 where it has
            no hard collision of its own, or no jet.
        showers: Weights of the variations of the parton shower of the event's own hard collision relative to the nominal one,
            shape `(n, variations)`; 1 where there is none.

    Raises:
        InputError: A shape, type or range is wrong, objects are not ordered, or there is no event.
    """

    met: NDArray[np.int64]
    egammas: NDArray[np.int64]
    muons: NDArray[np.int64]
    jets: NDArray[np.int64]
    sums: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    weights: NDArray[np.float64]
    events: NDArray[np.int64]
    origin: Origin
    regions: NDArray[np.int64] | None = None
    collisions: NDArray[np.int64] | None = None
    pool: Any = None
    source: NDArray[np.int64] | None = None
    slices: NDArray[np.int64] | None = None
    offline_gev: NDArray[np.float64] | None = None
    showers: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        import awkward as ak

        n = len(self)
        if n == 0:
            raise InputError("the sample is empty: there is no event")
        for name, shape in (("met", (n, 2)), ("sums", (n, 2)), ("labels", (n,)), ("events", (n,)),
                            ("regions", (n, *REGIONS)), ("collisions", (n,)), ("source", (n,)),
                            ("slices", (n, 0 if self.slices is None else self.slices.shape[-1])),
                            *((name, (n, count, 3)) for name, (_, count) in OBJECTS.items())):  # fmt: skip
            _check_integers(name, getattr(self, name), shape)
        _check_reals("offline_gev", self.offline_gev, (n,))
        _check_reals("showers", self.showers, (n, 0 if self.showers is None else self.showers.shape[-1]))
        if self.labels.min() < 0 or self.labels.max() >= len(self.class_names):
            raise InputError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, but there are {len(self.class_names)} classes"
            )
        if self.weights.shape != (n,) or not np.isfinite(self.weights).all() or self.weights.min() < 0:
            raise InputError(f"{n} events need as many weights, finite and not negative")
        if not self.weights.any():
            raise InputError(f"all {n} weights are 0")
        _check_range("met pt", self.met[:, 0], 0, 2**MET.pt_bits - 1)
        _check_range("met phi", self.met[:, 1], 0, MET.phi_steps - 1)
        _check_range("sums", self.sums, 0, 2**SUMS.pt_bits - 1)
        for name, (scale, _) in OBJECTS.items():
            _check_objects(name, getattr(self, name), scale)
        if self.regions is not None:
            _check_range("regions", self.regions, 0, 2**REGION_BITS - 1)
        if self.collisions is not None:
            _check_range("collisions", self.collisions, 0, None)
        if self.pool is not None and not (
            self.collisions is not None and np.array_equal(ak.to_numpy(ak.num(self.pool)), self.collisions)
        ):
            raise InputError("the pool does not list as many collisions for each event as there are in it")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, selection: NDArray[Any]) -> EventDataset:
        """The events that `selection` (a mask or indices) picks."""
        return replace(
            self, **{name: column[selection] for name, column in self._columns().items() if column is not None}
        )

    def digest(self) -> str:
        """Digest of the content: everything but the origin."""
        import awkward as ak

        columns = self._columns()
        pool = columns.pop("pool")
        drawn = None if pool is None else ak.to_numpy(ak.flatten(pool)).astype(np.int64)
        return digest(columns, drawn, self.class_names)

    def _columns(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("class_names", "origin")
        }


def concatenate_events(parts: Sequence[EventDataset], every_class: bool = True) -> EventDataset:
    """One sample of several with the same classes, and the first one's origin.

    A column that is missing in one part (regions, collisions, pool, showers) is missing in the whole.

    Args:
        parts: The samples.
        every_class: Whether each class has to have an event.

    Raises:
        InputError: There is no part, classes differ, or a class has no event and has to.
    """
    import awkward as ak

    if not parts:
        raise InputError("the sample is empty: there is no event")
    if len({part.class_names for part in parts}) > 1:
        found = " and ".join(str(list(names)) for names in dict.fromkeys(part.class_names for part in parts))
        raise InputError(f"parts of a sample have different classes: {found}")
    columns: dict[str, Any] = {}
    for name in parts[0]._columns():
        pieces = [getattr(part, name) for part in parts]
        if any(piece is None for piece in pieces):
            columns[name] = None
        else:
            columns[name] = ak.concatenate(pieces) if name == "pool" else np.concatenate(pieces)
    if columns["collisions"] is None:
        columns["pool"] = None
    whole = replace(parts[0], **columns)
    empty = [name for label, name in enumerate(whole.class_names) if not (whole.labels == label).any()]
    if every_class and empty:
        raise InputError(f"class {', '.join(map(repr, empty))} has no events")
    return whole


def leading(
    event: NDArray[np.int64], pt: NDArray[np.int64], eta: NDArray[np.int64], phi: NDArray[np.int64], events: int, count: int
) -> NDArray[np.int64]:  # fmt: skip
    """The `count` objects of largest pt of every event, in order; of equal pt the one that is given first comes first.

    Args:
        event: Index of the event of each object, shape `(objects,)`.
        pt: In counts; an object of 0 is none.
        eta: In counts.
        phi: In counts.
        events: How many events there are.
        count: How many objects an event has room for; the rest is 0.

    Returns:
        Table of shape `(events, count, 3)`.
    """
    order = np.lexsort((-pt, event))
    event, found = event[order], np.stack([pt, eta, phi], axis=1)[order]
    rank = np.arange(len(event)) - np.searchsorted(event, event)
    kept = (rank < count) & (found[:, 0] > 0)
    table = np.zeros((events, count, 3), dtype=np.int64)
    table[event[kept], rank[kept]] = found[kept]
    return table


def write_events(path: Path, sample: EventDataset) -> None:
    """Write a sample as one `.npz` without pickles, beside and then renamed."""
    import awkward as ak

    columns = {name: column for name, column in sample._columns().items() if column is not None}
    if "pool" in columns:
        columns["pool"] = ak.to_numpy(ak.flatten(columns["pool"]))
    said = json.dumps({"class_names": sample.class_names, "origin": asdict(sample.origin)})
    with replacing(path) as fresh:
        np.savez_compressed(fresh, allow_pickle=False, said=np.array(said), **columns)


def read_events(path: Path) -> EventDataset:
    """A sample that `write_events` wrote.

    Raises:
        InputError: The file is not one.
    """
    import awkward as ak

    said, columns = _stored(path)
    if "pool" in columns:
        columns["pool"] = ak.unflatten(columns["pool"], columns["collisions"])
    return EventDataset(**columns, class_names=tuple(said["class_names"]), origin=Origin(**said["origin"]))


def read_origin(path: Path) -> Origin:
    """The origin of a sample that `write_events` wrote, without its events.

    Raises:
        InputError: The file is not one.
    """
    return Origin(**_stored(path, columns=False)[0]["origin"])


def _stored(path: Path, columns: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file of events says of itself, and its columns, or none of them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(str(file["said"]))
            return said, {name: file[name] for name in file.files if columns and name != "said"}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path}: this is not a sample of events: {error}") from error


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: {np.count_nonzero(~np.isfinite(array))} of {array.size} values are NaN or infinite")
    return array


def _check_integers(name: str, column: NDArray[np.int64] | None, shape: tuple[int, ...]) -> None:
    if column is None:
        return
    if column.shape != shape:
        raise InputError(f"{name} of {shape[0]} events need the shape {shape}, found {column.shape}")
    if column.dtype != np.int64:
        raise InputError(f"{name} are hardware integers (int64), found {column.dtype}")


def _check_reals(name: str, column: NDArray[np.float64] | None, shape: tuple[int, ...]) -> None:
    if column is None:
        return
    if column.shape != shape:
        raise InputError(f"{name} of {shape[0]} events need the shape {shape}, found {column.shape}")
    if column.dtype != np.float64:
        raise InputError(f"{name} are real numbers (float64), found {column.dtype}")
    wrong = ~(np.isfinite(column) & (column >= 0))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        raise InputError(
            f"{name}: {column[tuple(where)]} in event {where[0]} is not a finite number of 0 or more; "
            f"{np.count_nonzero(wrong)} are not"
        )


def _check_range(name: str, column: NDArray[np.int64], low: int, high: int | None) -> None:
    outside = (column < low) | (False if high is None else column > high)
    if outside.any():
        where = np.argwhere(outside)[0]
        raise InputError(
            f"{name}: {column[tuple(where)]} in event {where[0]} is outside [{low}, {'' if high is None else high}]; "
            f"{np.count_nonzero(outside)} are"
        )


def _check_objects(name: str, table: NDArray[np.int64], scale: HardwareScale) -> None:
    pt, eta, phi = np.moveaxis(table, -1, 0)
    largest = 2 ** (scale.eta_bits - 1) - 1
    _check_range(f"{name} pt", pt, 0, 2**scale.pt_bits - 1)
    _check_range(f"{name} eta", eta, -largest, largest)
    _check_range(f"{name} phi", phi, 0, scale.phi_steps - 1)
    if (np.diff(pt, axis=1) > 0).any():
        event = np.flatnonzero((np.diff(pt, axis=1) > 0).any(axis=1))[0]
        raise InputError(f"{name} are not ordered by falling pt: event {event} has {pt[event].tolist()}")
    if ((pt == 0) & ((eta != 0) | (phi != 0))).any():
        raise InputError(f"{name}: an entry without an object (pt 0) must be 0 in all fields")
