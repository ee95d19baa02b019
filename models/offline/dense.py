"""Dense networks on what is known of a jet as a whole: multi-body N-subjettiness, and the pixels of its image.

References:
    arXiv:1704.08249, arXiv:1511.05190.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.layers import Nodes
from models.offline import layers
from models.offline.classifier import JetClassifier
from models.offline.image_cnn import COMMUNITY_IMAGES, pictures
from trigger.data.jets import JetDataset
from trigger.inputs.images import JetImageInputs

_BLOCK = 4096
"""Jets that a thread takes at once."""


class MultiBody(JetClassifier):
    """A dense network on the N-subjettiness of a jet, its mass and its pT.

    The phase space of M bodies has `3 M - 4` dimensions, and as many N-subjettinesses span it: of N = 1 to M - 2 with each of
    the exponents 0.5, 1 and 2, and of N = M - 1 with 1 and 2. Each input is brought to mean 0 and standard deviation 1 by a
    batch normalisation without weights.

    Attributes:
        bodies: M.
        radius: R0 of the jets.
        axes: Where the axes are; see `trigger.inputs.nsubjettiness`.
        minimise: Whether they are moved to a minimum nearby.
        scale_gev: Mass and pT are divided by it.
        momentum: Of the moving mean and variance of the normalisation.
        hidden: Nodes of each dense layer, those of the community's comparison; 56 thousand weights with 6 bodies, where the
            comparison states 57.
        dropout: Share of their outputs that is dropped in training.

    References:
        Observables: arXiv:1704.08249. Network: arXiv:1807.04769, arXiv:1902.09914.
    """

    kind: Literal["multi_body"]
    inputs: ClassVar[tuple[str, ...]] = ("observables",)
    bodies: int = Field(default=6, ge=2, le=12)
    radius: float = Field(default=0.8, gt=0)
    axes: Literal["kt", "winner_take_all_kt"] = "winner_take_all_kt"
    minimise: bool = False
    scale_gev: float = Field(default=500.0, gt=0)
    momentum: float = Field(default=0.9, gt=0, lt=1)
    hidden: Nodes = (200, 200, 50, 50)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`observables`: the N-subjettinesses, mass and pT, shape `(jets, 3 bodies - 2)`.

        Args:
            jets: Jets with constituents.
            workers: Threads; the result does not depend on it.

        Raises:
            InputError: A jet has no transverse momentum.
        """
        blocks = [jets.constituents[start : start + _BLOCK] for start in range(0, len(jets), _BLOCK)]
        with ThreadPoolExecutor(workers) as pool:
            taus = np.concatenate(list(pool.map(self._taus, blocks)))
        kinematics = jets.kinematics()
        scaled = np.stack([kinematics["mass_gev"], kinematics["pt_gev"]], axis=1) / self.scale_gev
        return {"observables": np.concatenate([taus, scaled], axis=1).astype(np.float32)}

    def _taus(self, constituents: Any) -> NDArray[np.float64]:
        from trigger.inputs.nsubjettiness import MULTI_BODY_BETAS, multi_body_names, nsubjettiness
        from trigger.inputs.trees import flat_momenta

        found = nsubjettiness(
            *flat_momenta(constituents), self.bodies - 1, MULTI_BODY_BETAS, self.axes, self.radius, self.minimise
        )
        return np.stack([found[name] for name in multi_body_names(self.bodies)], axis=1)

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras

        standard = keras.layers.BatchNormalization(
            momentum=self.momentum, center=False, scale=False, dtype="float32", name="standardised"
        )
        return layers.dense(standard(given["observables"]), self.hidden, "dense", self.dropout)


class ImageDnn(JetClassifier):
    """A dense network on all pixels of a jet image.

    Attributes:
        images: How the images are made; see `ImageCnn`.
        hidden: Nodes of each dense layer; those of the paper, whose first two have MaxOut in place of rectifiers.
        dropout: Share of their outputs that is dropped in training.

    References:
        arXiv:1511.05190, section 3.
    """

    kind: Literal["image_dnn"]
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    images: JetImageInputs = COMMUNITY_IMAGES
    hidden: Nodes = (256, 128, 64, 25)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """`image`, shape `(jets, rows, columns)`.

        Raises:
            InputError: See `trigger.inputs.images.JetImageInputs.images`.
        """
        return {"image": pictures(self.images, jets)}

    def _body(self, given: Mapping[str, Any]) -> Any:
        import keras

        x = keras.layers.Flatten(name="flatten")(given["image"])
        return layers.dense(x, self.hidden, "dense", self.dropout)
