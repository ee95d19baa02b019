"""A trained network with what is needed to use it anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.quantization import register_layers
from trigger.digest import network_digest
from trigger.errors import InputError
from trigger.files import read_json, replacing, write_json
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.training import History


@dataclass(frozen=True)
class TrainedModel:
    """A network, its input contract and how it was trained.

    Attributes:
        network: The Keras model; its outputs are logits.
        contract: What its inputs are; `contract.outputs` are the class names.
        history: Loss and accuracy by epoch.
    """

    network: keras.Model
    contract: InputSpec
    history: History

    def digest(self) -> str:
        """Digest of the content: structure, weights and contract."""
        from trigger.digest import digest

        return digest(network_digest(self.network), self.contract)

    def save(self, folder: Path) -> None:
        """Write `model.keras`, `contract.yaml` and `history.json` into `folder`, replacing it as a whole."""
        with replacing(folder) as fresh:
            fresh.mkdir()
            self.network.save(fresh / "model.keras")
            self.contract.save(fresh / "contract.yaml")
            write_json(fresh / "history.json", self.history)

    @classmethod
    def load(cls, folder: Path) -> TrainedModel:
        """Read what `save` wrote.

        Raises:
            InputError: A file is missing or broken.
        """
        return cls(
            load_network(folder / "model.keras"),
            InputSpec.load(folder / "contract.yaml"),
            read_json(folder / "history.json"),
        )


def load_network(path: Path, register: Callable[[], None] = register_layers) -> keras.Model:
    """A `.keras` file; no code in it is run.

    Args:
        path: The file.
        register: Makes Keras know the layers that are not its own.

    Raises:
        InputError: There is no such file, or it cannot be read.
    """
    import keras

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    register()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the broken part raised
        raise InputError(
            f"{path}: cannot be read as a Keras model: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
        ) from error
