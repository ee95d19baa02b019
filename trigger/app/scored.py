"""What a trigger computes of a sample: the firmware's scores, the networks' own beside them, and what they are when disturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from trigger.app.chain import network_inputs
from trigger.data.jets import FeatureDataset
from trigger.decision.rates import Array, Crossings, Scores
from trigger.decision.stability import Stability, efficiency_change, rate_ratio
from trigger.fixed_point import Codes

if TYPE_CHECKING:
    from firmware.project import FirmwareProject
    from models.recipe import Recipe

FLOAT, QUANTISED = "float", "quantised"
"""Networks whose values stand beside the firmware's codes, as `of(name, FLOAT)`."""
SHIFTS = {"energy scale +3 %": 1.03, "energy scale -3 %": 0.97}
"""Errors of the energy scale that everything is tried with."""


def of(name: str, network: str) -> str:
    """Name of a score as a network has it, real-valued; the firmware's codes have the plain name."""
    return f"{name} {network}"


@dataclass(frozen=True)
class Subject:
    """A firmware whose rates are asked for.

    Attributes:
        recipe: What it was made from.
        project: The firmware.
        models: Folder of its networks.
        samples: Folder of generated samples.
    """

    recipe: Recipe
    project: FirmwareProject
    models: Path
    samples: Path


@dataclass(frozen=True)
class FirmwareScore:
    """A score of the firmware: one of its outputs, or how far that is above others.

    Attributes:
        name: Its name; letters, digits and `_`.
        output: Name of the output.
        against: Outputs whose largest code is subtracted; none for the output itself.
        max_code: Largest code that it can have.
        step: Value of one code.
        condition: What else holds where it is judged, such as the pT of jets.
    """

    name: str
    output: str
    against: tuple[str, ...]
    max_code: int
    step: float
    condition: str = ""

    def of(self, outputs: NDArray[Any], elements: Sequence[str]) -> NDArray[Any]:
        """Its codes or values, shape `(rows,)`.

        Args:
            outputs: Codes or values of all outputs, shape `(rows, outputs)`.
            elements: Names of the outputs, in order.
        """
        own: NDArray[Any] = outputs[:, elements.index(self.output)]
        return own - outputs[:, [elements.index(name) for name in self.against]].max(axis=1) if self.against else own


@dataclass(frozen=True)
class Disturbed:
    """The same events before and after something changed; their chance is the same in both.

    Attributes:
        before: Background with at least the firmware's scores.
        after: The same crossings with other scores or other rates.
        signals_before: For each signal the firmware's scores.
        signals_after: The same, disturbed; empty where signals were left as they are.
    """

    before: Crossings
    after: Crossings
    signals_before: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    signals_after: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)

    def change(self, score: str, code: int) -> Stability:
        """What became of the rate and of efficiencies at one threshold."""
        return Stability(
            rate_ratio(self.before, self.after, score, code),
            {
                signal: efficiency_change(self.signals_before[signal][score] >= code, after[score] >= code)
                for signal, after in self.signals_after.items()
            },
        )


@dataclass(frozen=True)
class Scored:
    """A sample with everything that a trigger computes of it.

    Attributes:
        crossings: Background. Its scores are the codes of each of `scores`, `of(name, FLOAT)` and `of(name, QUANTISED)` in values
            of the same unit, and counts of single objects.
        signals: For each signal the same scores, shape `(events,)` each.
        scores: The firmware's scores that are judged.
        offline: For each signal an offline quantity in GeV, shape `(events,)`.
        offline_label: What it is, for an axis.
        offline_edges: Edges of bins of it.
        largest: Largest code of each count of single objects.
        pileup: Number of collisions in each background crossing; `None` where there is none.
        signal_pileup: The same of each signal.
        disturbed: For each disturbance, by its name, what makes it; made one after the other, for they are large.
        notes: What a reader needs to judge the sample.
    """

    crossings: Crossings
    signals: dict[str, dict[str, Scores]]
    scores: tuple[FirmwareScore, ...]
    offline: dict[str, Array]
    offline_label: str
    offline_edges: tuple[float, ...] = (0.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0)
    largest: Mapping[str, int] = field(default_factory=dict)
    pileup: NDArray[Any] | None = None
    signal_pileup: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    disturbed: Mapping[str, Callable[[], Disturbed]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def firmware_codes(subject: Subject, table: FeatureDataset, workers: int) -> Codes:
    """Output codes of the compiled C++ for what the network sees, shape `(rows, outputs)`."""
    from firmware.engines import cpp

    return cpp.run(subject.project, subject.project.contract.codes(table.values), workers)


def network_values(subject: Subject, table: FeatureDataset, which: str) -> Array:
    """Outputs of one of the networks for the same, in values, shape `(rows, outputs)`."""
    from models.trained import TrainedModel
    from models.training import logits

    trained = TrainedModel.load(subject.models / which)
    return logits(trained.network, network_inputs(trained.contract, table, which == QUANTISED))
