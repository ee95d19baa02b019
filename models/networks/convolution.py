"""A convolutional network on images: jets as images, calorimeter regions, or rows of particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from models import layers
from models.layers import Nodes, Padding, Pooling
from models.networks.purpose import Classifier
from trigger.config import Settings
from trigger.errors import InputError
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from models.quantization import Quantization


class Block(Settings):
    """A convolution, its rectifier and its pooling.

    Attributes:
        filters: Channels that come out.
        kernel: Pixels a side of the kernel.
        stride: Pixels from one place of the kernel to the next.
        padding: `valid` stays within the image, `same` continues it by zeros.
        pooling: What is kept of each square of `pool` pixels a side: nothing is pooled, the greatest, or the average.
        pool: Pixels a side of a pooled square; what does not fill one at the edge is left out.
        separable: A kernel for each channel and a mixing of the channels pixel by pixel, in place of one kernel for all
            (arXiv:1704.04861): fewer multiplications. Of images alone.
    """

    filters: int = Field(gt=0)
    kernel: int = Field(default=3, gt=0)
    stride: int = Field(default=1, gt=0)
    padding: Padding = "valid"
    pooling: Pooling = "none"
    pool: int = Field(default=2, gt=1)
    separable: bool = False

    @model_validator(mode="after")
    def _exact(self) -> Block:
        if self.pooling == "average":
            try:
                layers.require_power_of_two(self.pool, f"a side of {self.pool}", "max")
            except InputError as error:
                raise ValueError(str(error)) from error
        return self

    def apply(self, x: Any, quantization: Quantization | None, name: str) -> Any:
        """The block on a tensor.

        Raises:
            InputError: The kernel or the pooled square is larger than what is left of the image.
        """
        if self.padding == "valid":
            _require_room(x, self.kernel, f"{name}: a kernel")
        if self.separable:
            x = layers.depthwise(x, self.kernel, self.stride, self.padding, quantization, f"{name}_depthwise")
            x = layers.relu(x, quantization, f"{name}_depthwise_relu")
            x = layers.convolution(x, self.filters, 1, 1, "valid", quantization, name)
        else:
            x = layers.convolution(x, self.filters, self.kernel, self.stride, self.padding, quantization, name)
        x = layers.relu(x, quantization, f"{name}_relu")
        if self.pooling != "none":
            _require_room(x, self.pool, f"{name}: pooling")
        return layers.pooling(x, self.pooling, self.pool, f"{name}_pool")


class Convolution(Classifier):
    """Convolutions, then dense layers; the outputs are logits.

    The inputs are `(rows, columns, channels)`, or `(length, channels)` for convolutions along one axis.

    Attributes:
        blocks: The convolutions.
        gather: How the last image becomes a row of numbers: all its pixels, or each channel's `average` or `max`.
        hidden: Nodes of each dense layer before the logits.

    References:
        CNNs as trigger firmware: arXiv:2101.05108.
    """

    kind: Literal["convolution"]
    blocks: tuple[Block, ...] = Field(min_length=1)
    gather: Literal["flatten", "average", "max"] = "flatten"
    hidden: Nodes = (16,)

    def build(self, contract: InputSpec, outputs: int, quantization: Quantization | None) -> keras.Model:
        """The network for `outputs` classes, float where `quantization` is `None`.

        Raises:
            InputError: The contract has another shape, or a block is larger than what is left of the image.
        """
        import keras

        if len(contract.network_shape) != 2 or any(block.separable for block in self.blocks):
            layers.require_shape(contract, ("rows", "columns", "channels"), self.kind)
        start, x = layers.inputs(contract, quantization)
        for number, block in enumerate(self.blocks, 1):
            x = block.apply(x, quantization, f"convolution{number}")
        x = layers.flat(x) if self.gather == "flatten" else layers.global_pooling(x, self.gather, self.kind, "gather")
        for number, units in enumerate(self.hidden, 1):
            x = layers.dense(x, units, quantization, f"dense{number}")
            x = layers.relu(x, quantization, f"dense{number}_relu")
        x = layers.dense(x, outputs, quantization, "logits")
        return keras.Model(start, x, name=self.kind)


def _require_room(x: Any, side: int, what: str) -> None:
    if min(x.shape[1:-1]) < side:
        raise InputError(
            f"{what} of {side} does not fit into the {' x '.join(map(str, x.shape[1:-1]))} that is left there"
        )
