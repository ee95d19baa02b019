"""What the offline networks have in common whose outputs are the logits of classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.offline import layers
from trigger.config import Settings
from trigger.data.jets import JetDataset
from trigger.errors import InputError

if TYPE_CHECKING:
    import keras


class OfflineClassifier(Settings):
    """A network from named inputs to a logit for each class.

    One of its own says its `kind`, its `inputs`, and in `_body` what is between these and the logits.

    Attributes:
        kind: Its name in YAML, and that of its model.
        inputs: Names of its inputs, in order.
    """

    kind: str
    inputs: ClassVar[tuple[str, ...]]

    def build(self, shapes: Mapping[str, tuple[int, ...]], outputs: int = 2) -> keras.Model:
        """The network for `outputs` classes.

        Args:
            shapes: Shape of each input, without the rows.
            outputs: Number of classes.

        Returns:
            A model of a dictionary of inputs to logits in single precision, shape `(rows, outputs)`.

        Raises:
            InputError: An input is missing, there is another one, or a shape does not suit the settings.
        """
        import keras

        if set(shapes) != set(self.inputs):
            raise InputError(
                f"the network {self.kind!r} has the inputs {list(self.inputs)}; the shapes given are of {list(shapes)}"
            )
        given = {name: keras.Input(shapes[name], name=name, dtype="float32") for name in self.inputs}
        return keras.Model(given, layers.logits(self._body(given), outputs), name=self.kind)

    @abstractmethod
    def _body(self, given: Mapping[str, Any]) -> Any:
        """The tensor that the logits are made of, shape `(rows, features)`.

        Args:
            given: The inputs by their names.

        Raises:
            InputError: The shape of an input does not suit the settings.
        """


class JetClassifier(OfflineClassifier):
    """One that makes its inputs from the jets themselves."""

    @abstractmethod
    def seen(self, jets: JetDataset, workers: int = 1) -> dict[str, NDArray[np.float32]]:
        """The inputs, each an array with a row for each jet.

        Args:
            jets: Jets with constituents.
            workers: Threads, for those whose work is worth it; the result does not depend on it.

        Raises:
            InputError: A jet cannot be shown.
        """
