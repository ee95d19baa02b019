"""A recurrent network that reads the constituents of a jet one after the other.

References:
    arXiv:1711.09059.
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


class ParticleLstm(Settings):
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
    particles: int = Field(default=120, gt=0, le=1000)
    scale_gev: float = Field(default=1700.0, gt=0)
    units: int = Field(default=128, gt=0)
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64,)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`constituents` as `TopoDnn` has them, and the `mask`.

        Args:
            jets: Jets with constituents.
            workers: Not used: it is sorting, which numpy does in one go.

        Raises:
            InputError: See `clouds.leading`.
        """
        del workers
        cloud = leading(jets, self.particles)
        return {
            "constituents": cloud.padded(aligned(cloud) / [self.scale_gev, 1.0, 1.0]),
            "mask": cloud.mask(),
        }

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int) -> keras.Model:
        """The network for `outputs` classes.

        Args:
            shapes: Shape of one jet of each input.
            outputs: Number of logits.

        Raises:
            InputError: There are other inputs than `seen` has.
        """
        import keras

        given = layers.start(shapes, ("constituents", "mask"), self.kind)
        # cuDNN's own has no place in a step that XLA compiles. In single precision, because rounding adds up over the steps.
        memory = keras.layers.LSTM(self.units, use_cudnn=False, dtype="float32", name="memory")
        x = memory(given["constituents"], mask=given["mask"] > 0.5)
        x = layers.dense(x, self.hidden, "dense")
        return keras.Model(given, layers.logits(x, outputs), name=self.kind)
