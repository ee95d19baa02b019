"""What a network is shown of a crossing: the trigger's objects, or the grid of calorimeter regions, in hardware integers.

On the board an input is `(u - offset) * 2^-shift` of the integer `u`, a subtraction and a choice of bits. Offset and shift are
shared by all inputs of one kind (the pT of all jets, the phi of all muons), so that the network sees alike objects alike.

References:
    The 57 inputs and their scaling by shifts: AXOL1TL, arXiv:2411.19506, and arXiv:2107.02157 for the same 19 objects. The 18 x
    14 regions: CICADA, CMS-DP-2023-086.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trigger.config import Format, Settings
from trigger.data.events import MET, OBJECTS, PT_STEP_GEV, REGIONS, EventDataset
from trigger.data.jets import FeatureDataset
from trigger.errors import InputError
from trigger.inputs.contract import Input, InputSpec

_FIELDS = ("pt", "eta", "phi")
_WORDS = {"egammas": "e/gamma", "muons": "muon", "jets": "jet"}


def _object_inputs() -> dict[str, tuple[str, str]]:
    """Name of each of the 57 inputs to its kind and unit."""
    met = {"met_pt": f"{PT_STEP_GEV} GeV", "met_eta": "1", "met_phi": f"2pi/{MET.phi_steps}"}
    found = {name: (name, unit) for name, unit in met.items()}
    for objects, (scale, count) in OBJECTS.items():
        units = (f"{PT_STEP_GEV} GeV", f"{scale.eta_step:g}", f"2pi/{scale.phi_steps}")
        for number in range(count):
            for field, unit in zip(_FIELDS, units, strict=True):
                found[f"{objects[:-1]}{number}_{field}"] = (f"{objects}_{field}", unit)
    return found


OBJECT_INPUTS = _object_inputs()
"""The 57 inputs in order: missing energy, four e/gamma, four muons, ten jets, each pt, eta, phi; name to kind and unit. Missing
energy has no eta: its slot is 0 for ever, and only there so that all objects look alike."""


class EventObjectInputs(Settings):
    """The network sees the trigger's objects.

    Attributes:
        format: Fixed-point format of every input.
    """

    kind: Literal["event_objects"]
    format: Format

    def table(self, sample: EventDataset, workers: int = 1) -> FeatureDataset:
        """One row an event, one column an integer of an object, in the order of `OBJECT_INPUTS`. `workers` is not used."""
        del workers
        met = np.stack([sample.met[:, 0], np.zeros(len(sample), dtype=np.int64), sample.met[:, 1]], axis=1)
        objects = [getattr(sample, name).reshape(len(sample), -1) for name in OBJECTS]
        return _table(np.concatenate([met, *objects], axis=1), tuple(OBJECT_INPUTS), sample)

    def contract(self, learn: FeatureDataset) -> InputSpec:
        """Offset and shift of each kind, from the objects that are there in the training events.

        Raises:
            InputError: The table is another one, or no event has an object of some kind.
        """
        if not self.format.signed:
            raise InputError(f"eta has a sign, {self.format} has none; right would be ap_fixed<...>")
        _require_columns(learn, tuple(OBJECT_INPUTS))
        require_objects(learn)
        there = np.repeat(learn.values[:, :: len(_FIELDS)] > 0, len(_FIELDS), axis=1)
        return _shifted(learn, there, OBJECT_INPUTS, self.format, None)


class RegionInputs(Settings):
    """The network sees the transverse energies of the calorimeter regions as an image, phi by eta.

    Attributes:
        format: Fixed-point format of every input.
    """

    kind: Literal["regions"]
    format: Format

    def table(self, sample: EventDataset, workers: int = 1) -> FeatureDataset:
        """One row an event, one column a region, eta running fastest. `workers` is not used.

        Raises:
            InputError: The sample has no regions.
        """
        del workers
        if sample.regions is None:
            raise InputError(
                f"these events ({sample.origin.kind}) have no calorimeter regions; right would be files with a branch of "
                f"them, or inputs of kind 'event_objects'"
            )
        return _table(sample.regions.reshape(len(sample), -1), region_names(), sample)

    def contract(self, learn: FeatureDataset) -> InputSpec:
        """One offset and one shift for all regions, from the training events.

        Raises:
            InputError: The table is another one, or no region has any energy.
        """
        names = region_names()
        _require_columns(learn, names)
        if not learn.values.any():
            raise InputError(f"no calorimeter region has any energy in {len(learn)} events")
        everywhere = np.ones(learn.values.shape, dtype=bool)
        units = dict.fromkeys(names, ("region", f"{PT_STEP_GEV} GeV"))
        return _shifted(learn, everywhere, units, self.format, (*REGIONS, 1))


def region_names() -> tuple[str, ...]:
    """Names of the regions: phi, then eta."""
    return tuple(f"region_{row}_{column}" for row in range(REGIONS[0]) for column in range(REGIONS[1]))


def require_objects(table: FeatureDataset) -> None:
    """Refuse a table of the 57 inputs in which a kind of object never occurs.

    Raises:
        InputError: Names the kinds.
    """
    leading = {objects: table.column(f"{objects[:-1]}0_pt") for objects in OBJECTS}
    absent = [_WORDS[objects] for objects, pt in leading.items() if not pt.any()]
    if absent:
        raise InputError(
            f"none of {len(table)} events ({table.origin.kind}) has any {' or any '.join(absent)}: the 57 inputs need "
            f"e/gammas, muons and jets; right would be the branches of them where events are read, and more events where not"
        )


def single_cuts(sample: EventDataset) -> dict[str, NDArray[np.float64]]:
    """The quantities that a menu cuts on, one at a time, in GeV, each of shape `(n,)`: what a detector of anomalies has to beat.

    The leading muon, e/gamma and jet, missing transverse energy, HT, and the total transverse energy.
    """
    return {f"{name}_gev": one.astype(np.float64) * PT_STEP_GEV for name, one in single_counts(sample).items()}


def single_counts(sample: EventDataset) -> dict[str, NDArray[np.int64]]:
    """The same in hardware steps."""
    return {
        "muon_pt": sample.muons[:, 0, 0],
        "egamma_pt": sample.egammas[:, 0, 0],
        "jet_pt": sample.jets[:, 0, 0],
        "met": sample.met[:, 0],
        "ht": sample.sums[:, 1],
        "total_et": sample.sums[:, 0],
    }


def _table(values: NDArray[np.int64], names: tuple[str, ...], sample: EventDataset) -> FeatureDataset:
    return FeatureDataset(
        values.astype(np.float64),
        names,
        sample.labels,
        sample.class_names,
        sample.weights,
        sample.events,
        sample.origin,
    )


def _require_columns(table: FeatureDataset, names: tuple[str, ...]) -> None:
    if table.names != names:
        raise InputError(
            f"{len(names)} columns {names[0]!r} to {names[-1]!r} are needed; the table has {len(table.names)}, "
            f"{table.names[0]!r} to {table.names[-1]!r}"
        )


def _shifted(
    learn: FeatureDataset, there: NDArray[np.bool_], inputs: dict[str, tuple[str, str]], wire: Format,
    shape: tuple[int, ...] | None,
) -> InputSpec:  # fmt: skip
    """The contract that brings every kind near mean 0 and standard deviation 1 by a whole number and a power of two.

    Only values that are `there` count: most events have no muon, and with their zeros a muon would be far off the scale.
    A kind that never varies gets scale 1. With an unsigned format nothing is subtracted, because what is below 0 would be lost.
    """
    kinds = np.array([kind for kind, _ in inputs.values()])
    scaling: dict[str, tuple[float, float]] = {}
    for kind in dict.fromkeys(kinds.tolist()):
        chosen = there[:, kinds == kind] & (learn.weights > 0)[:, None]
        values = learn.values[:, kinds == kind][chosen]
        if values.size == 0:
            scaling[kind] = (0.0, 1.0)
            continue
        weights = np.broadcast_to(learn.weights[:, None], chosen.shape)[chosen]
        mean = float(np.average(values, weights=weights))
        variance = float(np.average((values - mean) ** 2, weights=weights))
        varies = values.min() < values.max()
        offset = float(round(mean)) if wire.signed else 0.0
        scaling[kind] = (offset, 2.0 ** -round(float(np.log2(variance)) / 2) if varies else 1.0)
    return InputSpec(
        inputs=tuple(
            Input(name=name, unit=unit, format=wire, offset=scaling[kind][0], scale=scaling[kind][1])
            for name, (kind, unit) in inputs.items()
        ),
        outputs=learn.class_names,
        shape=shape,
    )
