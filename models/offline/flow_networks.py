"""Energy flow and particle flow networks: the same layers on each particle, a sum over particles, layers on the sum.

References:
    arXiv:1810.05165. Deep sets: arXiv:1703.06114.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.offline import layers
from models.offline.clouds import leading
from trigger.config import Settings
from trigger.data.jets import JetDataset

if TYPE_CHECKING:
    import keras

Nodes = tuple[Annotated[int, Field(gt=0)], ...]


class _FlowNetwork(Settings):
    """What both have.

    Attributes:
        particles: Constituents of largest pT that it is shown; 200 as in arXiv:1902.09914.
        particle: Nodes of each layer on a particle, Phi in the paper.
        hidden: Nodes of each layer on the sum, F in the paper.
        dropout: Share of the outputs of F's layers that is dropped in training.
    """

    kind: str
    particles: int = Field(default=200, gt=0, le=1000)
    particle: Nodes = Field(default=(100, 100, 256), min_length=1)
    hidden: Nodes = (100, 100, 100)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def _build(self, given: dict[str, Any], weight: str, particle: str, outputs: int) -> keras.Model:
        import keras

        x = layers.dense(given[particle], self.particle, "particle")
        # The sum in single precision: a jet has up to some hundred terms.
        x = keras.layers.Dot(axes=1, dtype="float32", name="sum")([given[weight], x])
        x = layers.dense(x, self.hidden, "dense", self.dropout)
        return keras.Model(given, layers.logits(x, outputs), name=self.kind)


class EnergyFlow(_FlowNetwork):
    """An energy flow network: Phi sees the direction alone, and the sum is weighted with the shares of pT.

    It is safe in the infrared and collinear limits. Directions are from the jet's rapidity and azimuth; the shares are of the
    sum of the pT of all constituents, those included that it is not shown.

    References:
        arXiv:1810.05165, equation 1.3.
    """

    kind: Literal["energy_flow"]

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`share` of pT, shape `(jets, particles)`, and `direction`, shape `(jets, particles, 2)`.

        Args:
            jets: Jets with constituents.
            workers: Not used: it is sorting, which numpy does in one go.

        Raises:
            InputError: See `clouds.leading`.
        """
        del workers
        cloud = leading(jets, self.particles)
        return {
            "share": cloud.padded(cloud.share[:, None])[:, :, 0],
            "direction": cloud.padded(np.stack(cloud.rapidity_offsets(), axis=1)),
        }

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network for `outputs` classes.

        Args:
            shapes: Shape of one jet of each input.
            outputs: Number of logits.

        Raises:
            InputError: There are other inputs than `seen` has.
        """
        given = layers.start(shapes, ("share", "direction"), self.kind)
        return self._build(given, "share", "direction", outputs)


class ParticleFlow(_FlowNetwork):
    """A particle flow network: Phi sees everything of a particle, and each counts alike in the sum.

    Attributes:
        identity: Whether it is shown what each constituent was taken for, and its charge, each as a number of its own; in
            the paper's PFN-ID they are one small number.

    References:
        arXiv:1810.05165, equation 1.2.
    """

    kind: Literal["particle_flow"]
    identity: bool = False

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`constituents`: share of pT, direction (as for `EnergyFlow`), and the `mask`.

        Args:
            jets: Jets with constituents.
            workers: Not used: it is sorting, which numpy does in one go.

        Raises:
            InputError: See `clouds.leading` and `clouds.Cloud.identity`.
        """
        del workers
        cloud = leading(jets, self.particles)
        columns = np.stack([cloud.share, *cloud.rapidity_offsets()], axis=1)
        if self.identity:
            columns = np.concatenate([columns, cloud.identity()], axis=1)
        return {"constituents": cloud.padded(columns), "mask": cloud.mask()}

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network for `outputs` classes.

        Args:
            shapes: Shape of one jet of each input.
            outputs: Number of logits.

        Raises:
            InputError: There are other inputs than `seen` has.
        """
        given = layers.start(shapes, ("constituents", "mask"), self.kind)
        return self._build(given, "mask", "constituents", outputs)
