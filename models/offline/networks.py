"""The offline networks that learn from the jets themselves as one type, and how a saved one is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from models.offline import image_cnn, layers, lola, particle_net
from models.offline.dense import ImageDnn, MultiBody
from models.offline.flow_networks import EnergyFlow, ParticleFlow
from models.offline.image_cnn import ImageCnn
from models.offline.lola import Lola
from models.offline.particle_lstm import ParticleLstm
from models.offline.particle_net import ParticleNet, ParticleNetLite
from models.offline.topo_dnn import TopoDnn
from models.trained import load_network

if TYPE_CHECKING:
    import keras

CloudNetwork = Annotated[
    ParticleNet | ParticleNetLite | EnergyFlow | ParticleFlow | Lola | TopoDnn | ParticleLstm | ImageCnn | ImageDnn
    | MultiBody,
    Field(discriminator="kind"),
]  # fmt: skip
"""Networks that make their inputs from jets (`seen`). Those of graphs of hits and of showers (`EdgeNetwork`, `GravNet`, `GarNet`,
`DetectorCnn`), and those of trees, are named by their analyses."""

OWN_LAYERS = (
    layers.masked_mean, layers.masked_batch_normalization, particle_net.nearest_neighbours, particle_net.edge_convolution,
    lola.combination_layer, lola.lorentz_layer, image_cnn.response_normalisation,
)  # fmt: skip
"""Functions that give the classes of layers that are not Keras's own."""


def register_layers() -> None:
    """Make Keras know our layers, so that a saved network can be loaded."""
    for layer in OWN_LAYERS:
        layer()


def load(path: Path) -> keras.Model:
    """A saved offline network; no code in its file is run.

    Raises:
        InputError: There is no such file, or it cannot be read.
    """
    return load_network(path, register_layers)
