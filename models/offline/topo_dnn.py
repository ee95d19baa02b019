"""TopoDNN: a dense network on the leading constituents.

References:
    arXiv:1704.02124.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.offline import layers
from models.offline.clouds import aligned, leading
from trigger.config import Settings
from trigger.data.jets import JetDataset

if TYPE_CHECKING:
    import keras


class TopoDnn(Settings):
    """Dense layers on pT, eta and phi of the leading constituents of a jet that was moved, turned and mirrored.

    Attributes:
        particles: Constituents of largest pT that it is shown.
        scale_gev: The pT of each is divided by it. The paper divides by 1700 GeV, with which most numbers of jets between
            600 and 2500 GeV are below 1; softer jets want a smaller one, in proportion.
        hidden: Nodes of each dense layer.

    References:
        arXiv:1704.02124, section 3; 59 thousand weights in arXiv:1902.09914.
    """

    kind: Literal["topo_dnn"]
    particles: int = Field(default=30, gt=0, le=1000)
    scale_gev: float = Field(default=1700.0, gt=0)
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = (300, 102, 12, 6)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`constituents`: scaled pT, eta and phi as `clouds.aligned` has them, shape `(jets, particles, 3)`.

        Args:
            jets: Jets with constituents.
            workers: Not used: it is sorting, which numpy does in one go.

        Raises:
            InputError: See `clouds.leading`.
        """
        del workers
        cloud = leading(jets, self.particles)
        return {"constituents": cloud.padded(aligned(cloud) / [self.scale_gev, 1.0, 1.0])}

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network for `outputs` classes.

        Args:
            shapes: Shape of one jet of each input.
            outputs: Number of logits.

        Raises:
            InputError: There are other inputs than `seen` has.
        """
        import keras

        given = layers.start(shapes, ("constituents",), self.kind)
        x = keras.layers.Flatten(name="flatten")(given["constituents"])
        x = layers.dense(x, self.hidden, "dense")
        return keras.Model(given, layers.logits(x, outputs), name=self.kind)
