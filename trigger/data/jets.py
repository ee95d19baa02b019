"""Jets and tables of their features: the two samples that everything else takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from trigger.digest import digest
from trigger.errors import InputError
from trigger.kinematics import invariant_mass, pseudorapidity, transverse_momentum

MOMENTUM = ("px", "py", "pz", "E")
CONSTITUENT_FIELDS = (*MOMENTUM, "charge", "pdg_id", "vertex")
"""Fields of a constituent: momentum in GeV; charge in units of e; the absolute PDG code of what it was taken for (211
charged hadron, 130 neutral hadron, 22 photon, 11, 13; 0 for a calorimeter tower or where unknown); the vertex, 0 for the
leading one and 1 for pileup."""
OPTIONAL_CONSTITUENT_FIELDS = ("d0_mm", "d0_significance")
"""Fields that a constituent may have: the signed transverse impact parameter of its track in mm, `y cos(phi) - x sin(phi)`
of any point on it, and the same over its uncertainty; both 0 for what is no track."""


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise ValueError(f"at least two different classes are needed, found {list(classes)}")
    return classes


def _window(pt_gev: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= pt_gev[0] < pt_gev[1]:
        raise ValueError(f"a pT window is [low, high] with 0 <= low < high, found {list(pt_gev)}")
    return pt_gev


Distinct = AfterValidator(_distinct)
"""Of a recipe's classes: at least two, all different."""
PtWindow = Annotated[tuple[float, float], AfterValidator(_window)]
"""Of a recipe: a range of the jet's pT in GeV, lower edge included."""


MEASURED = ("root", "table", "event_root", "public")
"""Kinds of data that may be of a real detector; all others are simulated by ourselves, or were by somebody."""


class Vertex:
    """Where a constituent came from."""

    LEADING = 0
    PILEUP = 1


@dataclass(frozen=True)
class Origin:
    """Where a sample came from.

    Attributes:
        kind: The `kind` of the recipe's data.
        synthetic: Whether the jets are toys: then no figure of physics means anything.
        details: What a reader needs to judge it (settings, cross-sections, versions), as JSON would hold it.
    """

    kind: str
    synthetic: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether it is known to be simulated."""
        return self.kind not in MEASURED


@dataclass(frozen=True)
class JetDataset:
    """Labelled jets with their constituents.

    Attributes:
        constituents: Awkward array, one list of records a jet, with the fields `CONSTITUENT_FIELDS` and perhaps
            `OPTIONAL_CONSTITUENT_FIELDS`.
        labels: Class of each jet as an index into `class_names`, shape `(jets,)`.
        class_names: Names of the classes.
        weights: Training and evaluation weight of each jet, shape `(jets,)`, not negative.
        events: Number of the event each jet came from, shape `(jets,)`; rates count these, splits keep them whole.
        origin: Where the sample came from.
        target: What a network may learn beside the class, one number a jet, shape `(jets,)`.
        variations: Weights of other simulations relative to this one, such as of varied parton showers, shape
            `(jets, variations)`.

    Raises:
        InputError: Lengths differ, there is no jet, a jet has no constituent, or a number is NaN or infinite.
    """

    constituents: Any
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    weights: NDArray[np.float64]
    events: NDArray[np.int64]
    origin: Origin
    target: NDArray[np.float64] | None = None
    variations: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        import awkward as ak

        _check_columns(len(self.constituents), self.labels, self.class_names, self.weights, self.events, self.target)
        if self.variations is not None:
            if self.variations.ndim != 2 or len(self.variations) != len(self):
                raise InputError(f"{len(self)} jets have variations of shape {self.variations.shape}")
            _check_finite("variations", self.variations)
        missing = set(CONSTITUENT_FIELDS) - set(ak.fields(self.constituents))
        if missing:
            raise InputError(f"the constituents have no {', '.join(sorted(missing))}")
        empty = int(ak.sum(ak.num(self.constituents) == 0))
        if empty:
            raise InputError(f"{empty} of {len(self)} jets have no constituents")
        px, py, pz, energy = (ak.to_numpy(ak.flatten(self.constituents[name])) for name in MOMENTUM)
        for name, column in zip(MOMENTUM, (px, py, pz, energy), strict=True):
            _check_finite(f"constituent {name}", column)
        for name in optional_fields(self.constituents):
            _check_finite(f"constituent {name}", ak.to_numpy(ak.flatten(self.constituents[name])))
        # Rounding in files of single precision makes massless particles a little space-like.
        unphysical = energy < np.sqrt(px**2 + py**2 + pz**2) * (1 - 1e-3)
        if unphysical.any():
            raise InputError(
                f"{np.count_nonzero(unphysical)} of {len(energy)} constituents have less energy than momentum"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def momentum(self) -> dict[str, NDArray[np.float64]]:
        """The jets' `px`, `py`, `pz`, `E` in GeV: the sums over their constituents."""
        import awkward as ak

        return {name: ak.to_numpy(ak.sum(self.constituents[name], axis=1)).astype(np.float64) for name in MOMENTUM}

    def kinematics(self) -> dict[str, NDArray[np.float64]]:
        """The jets' `pt_gev`, `eta` and ungroomed `mass_gev`."""
        p = self.momentum()
        return {
            "pt_gev": transverse_momentum(p["px"], p["py"]),
            "eta": pseudorapidity(p["px"], p["py"], p["pz"]),
            "mass_gev": invariant_mass(p["px"], p["py"], p["pz"], p["E"]),
        }

    def take(self, selection: NDArray[Any]) -> JetDataset:
        """The jets that `selection` (a mask or indices) picks."""
        return replace(
            self,
            constituents=self.constituents[selection],
            labels=self.labels[selection],
            weights=self.weights[selection],
            events=self.events[selection],
            target=None if self.target is None else self.target[selection],
            variations=None if self.variations is None else self.variations[selection],
        )

    def digest(self) -> str:
        """Digest of the content: constituents, labels, class names, weights, events and, where there are, targets and
        variations.
        """
        import awkward as ak

        present = (*CONSTITUENT_FIELDS, *optional_fields(self.constituents))
        columns = [ak.to_numpy(ak.flatten(self.constituents[name])) for name in present]
        counts = ak.to_numpy(ak.num(self.constituents))
        more = [column for column in (self.target, self.variations) if column is not None]
        return digest(columns, counts, self.labels, self.class_names, self.weights, self.events, *more)


def optional_fields(constituents: Any) -> tuple[str, ...]:
    """Those of `OPTIONAL_CONSTITUENT_FIELDS` that the constituents have."""
    import awkward as ak

    return tuple(name for name in OPTIONAL_CONSTITUENT_FIELDS if name in ak.fields(constituents))


def concatenate_jets(parts: Sequence[JetDataset]) -> JetDataset:
    """One sample of several of the same classes.

    Raises:
        InputError: There is no part, the classes differ, or a class has no jet.
    """
    import awkward as ak

    if not parts:
        raise InputError("the sample is empty: no jet passed the selection")
    for part in parts:
        if part.class_names != parts[0].class_names:
            raise InputError(
                f"samples of the classes {parts[0].class_names} and {part.class_names} are not of one kind"
            )
    columns: dict[str, Any] = {}
    for name in ("labels", "weights", "events", "target", "variations"):
        found = [getattr(part, name) for part in parts if getattr(part, name) is not None]
        if found and len(found) < len(parts):
            raise InputError(f"{len(found)} of {len(parts)} parts of the sample have {name}, the others have none")
        columns[name] = np.concatenate(found) if found else None
    whole = replace(parts[0], constituents=ak.concatenate([part.constituents for part in parts]), **columns)
    require_every_class(whole.labels, whole.class_names)
    return whole


@dataclass(frozen=True)
class FeatureDataset:
    """Labelled jets as a table of features.

    Attributes:
        values: Features in their physical units, shape `(jets, features)`.
        names: Name of each column.
        labels: Class of each jet as an index into `class_names`, shape `(jets,)`.
        class_names: Names of the classes.
        weights: Training and evaluation weight of each jet, shape `(jets,)`, not negative.
        events: Number of the event each jet came from, shape `(jets,)`.
        origin: Where the sample came from.
        target: What a network may learn beside the class, one number a jet, shape `(jets,)`.

    Raises:
        InputError: Lengths differ, there is no jet, or a number is NaN or infinite.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    weights: NDArray[np.float64]
    events: NDArray[np.int64]
    origin: Origin
    target: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InputError(f"a table of {len(self.names)} features has shape {self.values.shape}")
        _check_columns(len(self.values), self.labels, self.class_names, self.weights, self.events, self.target)
        for name, column in zip(self.names, self.values.T, strict=True):
            _check_finite(f"feature {name}", column)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, selection: NDArray[Any]) -> FeatureDataset:
        """The jets that `selection` (a mask or indices) picks."""
        return replace(
            self,
            values=self.values[selection],
            labels=self.labels[selection],
            weights=self.weights[selection],
            events=self.events[selection],
            target=None if self.target is None else self.target[selection],
        )

    def column(self, name: str) -> NDArray[np.float64]:
        """One feature by its name."""
        return self.values[:, self.names.index(name)]

    def digest(self) -> str:
        """Digest of the content: values, names, labels, class names, weights, events and, where there is one, target."""
        target = () if self.target is None else (self.target,)
        return digest(self.values, self.names, self.labels, self.class_names, self.weights, self.events, *target)


def concatenate_features(parts: Sequence[FeatureDataset]) -> FeatureDataset:
    """One table of several with the same columns and classes.

    Raises:
        InputError: There is no part, a class has no jet, or some parts have a target and others have none.
    """
    if not parts:
        raise InputError("the sample is empty: no jet passed the selection")
    targets = [part.target for part in parts if part.target is not None]
    if targets and len(targets) < len(parts):
        raise InputError(f"{len(targets)} of {len(parts)} parts of the sample have a target, the others have none")
    whole = replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        events=np.concatenate([part.events for part in parts]),
        target=np.concatenate(targets) if targets else None,
    )
    require_every_class(whole.labels, whole.class_names)
    return whole


def require_every_class(labels: NDArray[np.int64], class_names: Sequence[str], where: str = "", why: str = "") -> None:
    """Refuse a sample in which a class has no jet.

    Args:
        labels: Class of each jet.
        class_names: Names of the classes.
        where: What the message begins with: the files.
        why: What it ends with: what was left out, and what would be right.

    Raises:
        InputError: Names the empty classes and what the others have.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if empty:
        found = ", ".join(f"{name} {count}" for name, count in zip(class_names, counts, strict=True))
        raise InputError(f"{where}class {', '.join(map(repr, empty))} has no jets (found: {found}){why}")


class Split(StrEnum):
    """What a jet is used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def split_by_event(
    events: NDArray[np.int64], seed: int, validation: float = 0.15, test: float = 0.25
) -> dict[Split, NDArray[np.bool_]]:
    """Masks of the three splits, in which all jets of an event stay together.

    An event's split depends on its number and the seed alone, so that a jet never changes sides when others are added.

    Args:
        events: Event numbers, shape `(jets,)`.
        seed: Another seed, another split.
        validation: Fraction of events to stop the training on.
        test: Fraction of events held out for every figure that is reported.
    """
    # The mixing function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195).
    with np.errstate(over="ignore"):
        mixed = (
            events.astype(np.uint64) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03) + np.uint64(0x9E3779B97F4A7C15)
        )
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    place = mixed.astype(np.float64) / 2.0**64
    is_test, is_validation = place < test, (place >= test) & (place < test + validation)
    return {Split.TEST: is_test, Split.VALIDATION: is_validation, Split.TRAIN: ~is_test & ~is_validation}


def flattening_weights(
    pt_gev: NDArray[np.float64], labels: NDArray[np.int64], base: NDArray[np.float64], window: tuple[float, float],
    bins: int = 16, largest: float = 10.0,
) -> NDArray[np.float64]:  # fmt: skip
    """Weights that give every class the same flat pT spectrum, so that pT alone does not tell the classes.

    Args:
        pt_gev: Transverse momentum of each jet.
        labels: Class of each jet.
        base: Weight of each jet before flattening.
        window: The pT range, in GeV.
        bins: Number of pT bins over the window.
        largest: A weight is not raised above this many times its class's mean, so that a few jets in a thin bin do not
            decide anything.

    Returns:
        Weights with mean 1 in each class, shape `(jets,)`.
    """
    place = np.clip(np.digitize(pt_gev, np.linspace(*window, bins + 1)) - 1, 0, bins - 1)
    weights = np.empty_like(base)
    for label in np.unique(labels):
        chosen = labels == label
        filled = np.bincount(place[chosen], base[chosen], minlength=bins)
        expected = filled[place[chosen]]
        flat = np.divide(base[chosen], expected, out=np.zeros(len(expected)), where=expected > 0)
        if not flat.any():
            raise InputError(f"all weights of class {label} are 0")
        flat = np.minimum(flat / flat.mean(), largest)
        weights[chosen] = flat / flat.mean()
    return weights


def _check_columns(
    length: int, labels: NDArray[np.int64], class_names: tuple[str, ...], weights: NDArray[np.float64],
    events: NDArray[np.int64], target: NDArray[np.float64] | None = None,
) -> None:  # fmt: skip
    if length == 0:
        raise InputError("the sample is empty: no jet passed the selection")
    for name, column in (("labels", labels), ("weights", weights), ("events", events), ("target", target)):
        if column is not None and column.shape != (length,):
            raise InputError(f"{length} jets have {name} of shape {column.shape}")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise InputError(f"labels run from {labels.min()} to {labels.max()}, but there are {len(class_names)} classes")
    _check_finite("weights", weights)
    if weights.min() < 0:
        raise InputError(f"{np.count_nonzero(weights < 0)} of {length} weights are negative")
    if not weights.any():
        raise InputError(f"all {length} weights are 0")
    if target is not None:
        _check_finite("target", target)


def _check_finite(name: str, column: NDArray[Any]) -> None:
    wrong = ~np.isfinite(column)
    if wrong.any():
        raise InputError(
            f"{name}: {np.count_nonzero(wrong)} of {column.size} values are NaN or infinite, the first at {wrong.argmax()}"
        )
