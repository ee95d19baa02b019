"""A recurrent network that reads the constituents of a jet one after the other.

References:
    arXiv:1711.09059.
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


class ParticleLstm(JetClassifier):
    """Long short-term memory over the constituents by falling pT, then dense layers on its last state.

    The last state is that after the last constituent: it does not read on over empty slots. The paper compares orders; by
    falling pT is one of them.

    Attributes:
        particles: Constituents of largest pT that it reads.
        scale_gev: The pT of each is divided by it; see `TopoDnn`.
        units: Size of the memory.
        hidden: Nodes of each dense layer.

    References:
        arXiv:1711.09059. Long short-term memory: doi:10.1162/neco.1997.9.8.1735.
    """

    kind: Literal["particle_lstm"]
    inputs: ClassVar[tuple[str, ...]] = ("constituents", "mask")
    particles: int = Field(default=120, gt=0, le=1000)
    scale_gev: float = Field(default=1700.0, gt=0)
    units: int = Field(default=128, gt=0)
    hidden: Nodes = (64,)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`constituents` as `TopoDnn` has them, and the `mask`.

        Raises:
            InputError: See `clouds.leading`.
        """
        cloud = leading(jets, self.particles)
        return {
            "constituents": cloud.padded(aligned(cloud) / [self.scale_gev, 1.0, 1.0]),
            "mask": cloud.mask(),
        }

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras

        # cuDNN's own has no place in a step that XLA compiles. In single precision, because rounding adds up over the steps.
        memory = keras.layers.LSTM(self.units, use_cudnn=False, dtype="float32", name="memory")
        x = memory(given["constituents"], mask=given["mask"] > 0.5)
        return layers.dense(x, self.hidden, "dense")
