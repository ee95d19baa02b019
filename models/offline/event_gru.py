"""Events as sequences of their jets, or of all constituents of these, read by a gated recurrent unit.

The sequence goes from the softest to the hardest, so that the hardest is read last. The embeddings of jets are those of
`recursive`, trained together with what reads them.

References:
    arXiv:1702.00748, section 3.2. Four numbers a jet, ten of the state, and the direction of the sequence: the code that its
    authors published. Gated recurrent unit: arXiv:1406.1078.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.offline.recursive import Recursive, classified
from trigger.config import Settings
from trigger.data.jets import JetDataset
from trigger.kinematics import azimuth, delta_phi, transverse_momentum

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
Reads = Literal["embeddings", "four_momenta", "constituents"]
"""What of an event is read: jets' embeddings beside their four-momenta, these alone, or all constituents of the jets."""
FOUR = 4
"""Azimuth relative to the leading jet's, pseudorapidity, logarithm of pT (of a jet in 300 GeV, of a constituent in GeV), and the
mass of a jet in 50 GeV or the logarithm of the energy of a constituent in GeV."""


@dataclass(frozen=True)
class JetEvents:
    """Which jets are of which event, by falling pT.

    Attributes:
        jets: Indices of the jets of each event, -1 where there is none, shape `(events, most)`.
        labels: Class of each event, that of its leading jet, shape `(events,)`.
        numbers: Event numbers, shape `(events,)`.
        pt_gev: Of the leading jet, shape `(events,)`.
    """

    jets: NDArray[np.int64]
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]
    pt_gev: Floats

    def __len__(self) -> int:
        return len(self.labels)


def events_of(jets: JetDataset, most: int) -> JetEvents:
    """The events of a sample, each with its leading jets; those of two classes with one number are two events.

    Args:
        jets: The sample.
        most: How many jets of an event at most.
    """
    pt = jets.kinematics()["pt_gev"]
    order = np.lexsort((-pt, jets.labels, jets.events))
    key = np.stack([jets.events[order], jets.labels[order]])
    fresh = np.concatenate([[True], (np.diff(key) != 0).any(axis=0)])
    event, first = np.cumsum(fresh) - 1, np.flatnonzero(fresh)
    rank = np.arange(len(order)) - first[event]
    found = np.full((len(first), most), -1)
    found[event[rank < most], rank[rank < most]] = order[rank < most]
    leading = order[first]
    return JetEvents(found, jets.labels[leading], jets.events[leading], pt[leading])


class EventGru(Settings):
    """A gated recurrent unit over what an event is made of, and a classifier on its last state.

    Attributes:
        reads: What is read.
        jets: The most jets of an event.
        constituents: The most constituents of an event, where these are read.
        width: Numbers of the state, and of each hidden layer of the classifier.
        embedding: How jets are embedded.
    """

    kind: Literal["event_gru"] = "event_gru"
    reads: Reads = "embeddings"
    jets: int = Field(default=5, gt=0, le=50)
    constituents: int = Field(default=50, gt=0, le=1000)
    width: int = Field(default=10, gt=0)
    embedding: Recursive = Recursive()

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """What the network is shown of each event, in the order of `events_of`.

        Args:
            jets: Jets of all events.
            workers: Not used.

        Returns:
            `sequence`, shape `(events, jets or constituents, 4)`, the hardest last; `mask`, 1 where there is one; and, where
            embeddings are read, `steps` of the jets.

        Raises:
            InputError: A number is NaN or infinite, or a jet has no energy.
        """
        events = events_of(jets, self.jets)
        if self.reads == "constituents":
            sequence, there = self._constituents(jets, events)
        else:
            there = events.jets >= 0
            sequence = _of_jets(jets)[events.jets]
        momentum, leading = jets.momentum(), events.jets[:, :1]
        sequence[..., 0] = delta_phi(sequence[..., 0], azimuth(momentum["px"], momentum["py"])[leading])
        sequence = np.where(there[..., None], sequence, 0.0)
        seen = {"sequence": sequence, "mask": there}
        if self.reads == "embeddings":
            steps = self.embedding.seen(jets, workers)["steps"]
            # Steps of a jet that is not there are those of another, whose embedding the mask keeps out.
            seen["steps"] = steps[events.jets]
        return {name: np.ascontiguousarray(array[:, ::-1], dtype=np.float32) for name, array in seen.items()}

    def build(self, shapes: dict[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network of the inputs that `seen` gives; logits in float32.

        Args:
            shapes: Shape of each input, without the rows.
            outputs: How many logits.
        """
        import keras
        from keras import layers, ops

        inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
        x = inputs["sequence"]
        if self.reads == "embeddings":
            length, *step = shapes["steps"]
            embedded = self.embedding.embedding()(ops.reshape(inputs["steps"], (-1, *step)))
            embedded = ops.reshape(embedded, (-1, length, self.embedding.width))
            x = ops.concatenate([ops.cast(x, embedded.dtype), embedded], axis=-1)
        # Its cuDNN form is no part of a compiled step, and wants the masked ones at the end.
        x = layers.GRU(self.width, use_cudnn=False, name="gru")(x, mask=inputs["mask"] > 0.5)
        return keras.Model(inputs, classified(x, self.width, outputs))

    def _constituents(self, jets: JetDataset, events: JetEvents) -> tuple[Floats, NDArray[np.bool_]]:
        """The hardest constituents of each event's jets, hardest first, and which are there."""
        from trigger.inputs.trees import flat_momenta  # compiled

        momentum, offsets = flat_momenta(jets.constituents)
        owner = np.full(len(jets), -1)
        event, rank = np.nonzero(events.jets >= 0)
        owner[events.jets[event, rank]] = event
        of = owner[np.repeat(np.arange(len(jets)), np.diff(offsets))]
        kept = np.flatnonzero(of >= 0)
        pt = np.hypot(momentum[kept, 0], momentum[kept, 1])
        order = kept[np.lexsort((-pt, of[kept]))]
        of = of[order]
        slot = np.arange(len(of)) - np.searchsorted(of, of)
        order, of, slot = (array[slot < self.constituents] for array in (order, of, slot))
        sequence = np.zeros((len(events), self.constituents, FOUR))
        there = np.zeros((len(events), self.constituents), dtype=bool)
        p = momentum[order]
        sequence[of, slot], there[of, slot] = _four(p, np.log(np.maximum(p[:, 3], 1e-3))), True
        return sequence, there


def _of_jets(jets: JetDataset) -> Floats:
    p = jets.momentum()
    mass = jets.kinematics()["mass_gev"]
    return _four(np.stack([p[name] for name in ("px", "py", "pz", "E")], axis=1) / 300.0, mass / 50.0)


def _four(momentum: Floats, last: Floats) -> Floats:
    px, py, pz, _ = momentum.T
    pt = np.maximum(transverse_momentum(px, py), 1e-3)
    return np.stack([azimuth(px, py), np.arcsinh(pz / pt), np.log(pt), last], axis=1)
