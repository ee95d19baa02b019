"""TopoDNN: a dense network on the leading constituents.

References:
    arXiv:1704.02124.
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
from models.offline.clouds import aligned, leading
from trigger.data.jets import JetDataset


class TopoDnn(JetClassifier):
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
    inputs: ClassVar[tuple[str, ...]] = ("constituents",)
    particles: int = Field(default=30, gt=0, le=1000)
    scale_gev: float = Field(default=1700.0, gt=0)
    hidden: Nodes = (300, 102, 12, 6)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`constituents`: scaled pT, eta and phi as `clouds.aligned` has them, shape `(jets, particles, 3)`.

        Raises:
            InputError: See `clouds.leading`.
        """
        cloud = leading(jets, self.particles)
        return {"constituents": cloud.padded(aligned(cloud) / [self.scale_gev, 1.0, 1.0])}

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras

        x = keras.layers.Flatten(name="flatten")(given["constituents"])
        return layers.dense(x, self.hidden, "dense")
