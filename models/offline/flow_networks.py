"""Energy flow and particle flow networks: the same layers on each particle, a sum over particles, layers on the sum.

References:
    arXiv:1810.05165. Deep sets: arXiv:1703.06114.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.layers import Nodes
from models.offline import layers
from models.offline.classifier import JetClassifier
from models.offline.clouds import leading
from trigger.data.jets import JetDataset


class _FlowNetwork(JetClassifier):
    """What both have.

    Attributes:
        particles: Constituents of largest pT that it is shown; 200 as in arXiv:1902.09914.
        particle: Nodes of each layer on a particle, Phi in the paper.
        hidden: Nodes of each layer on the sum, F in the paper.
        dropout: Share of the outputs of F's layers that is dropped in training.
    """

    particles: int = Field(default=200, gt=0, le=1000)
    particle: Nodes = Field(default=(100, 100, 256), min_length=1)
    hidden: Nodes = (100, 100, 100)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def _flow(self, weight: Any, particle: Any) -> Any:
        import keras

        x = layers.dense(particle, self.particle, "particle")
        # The sum in single precision: a jet has up to some hundred terms.
        x = keras.layers.Dot(axes=1, dtype="float32", name="sum")([weight, x])
        return layers.dense(x, self.hidden, "dense", self.dropout)


class EnergyFlow(_FlowNetwork):
    """An energy flow network: Phi sees the direction alone, and the sum is weighted with the shares of pT.

    It is safe in the infrared and collinear limits. Directions are from the jet's rapidity and azimuth; the shares are of the
    sum of the pT of all constituents, those included that it is not shown.

    References:
        arXiv:1810.05165, equation 1.3.
    """

    kind: Literal["energy_flow"]
    inputs: ClassVar[tuple[str, ...]] = ("share", "direction")

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`share` of pT, shape `(jets, particles)`, and `direction`, shape `(jets, particles, 2)`.

        Raises:
            InputError: See `clouds.leading`.
        """
        cloud = leading(jets, self.particles)
        return {
            "share": cloud.padded(cloud.share[:, None])[:, :, 0],
            "direction": cloud.padded(np.stack(cloud.rapidity_offsets(), axis=1)),
        }

    def _body(self, given: Mapping[str, Any]) -> Any:
        return self._flow(given["share"], given["direction"])


class ParticleFlow(_FlowNetwork):
    """A particle flow network: Phi sees everything of a particle, and each counts alike in the sum.

    Attributes:
        identity: Whether it is shown what each constituent was taken for, and its charge, each as a number of its own; in
            the paper's PFN-ID they are one small number.

    References:
        arXiv:1810.05165, equation 1.2.
    """

    kind: Literal["particle_flow"]
    inputs: ClassVar[tuple[str, ...]] = ("constituents", "mask")
    identity: bool = False

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`constituents`: share of pT, direction (as for `EnergyFlow`), and the `mask`.

        Raises:
            InputError: See `clouds.leading` and `clouds.Cloud.identity`.
        """
        cloud = leading(jets, self.particles)
        columns = np.stack([cloud.share, *cloud.rapidity_offsets()], axis=1)
        if self.identity:
            columns = np.concatenate([columns, cloud.identity()], axis=1)
        return {"constituents": cloud.padded(columns), "mask": cloud.mask()}

    def _body(self, given: Mapping[str, Any]) -> Any:
        return self._flow(given["mask"], given["constituents"])
