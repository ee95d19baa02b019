"""Our own walk over the network, in integers, at the speed of matrix products.

The circuit itself computes in int64 and is right by its looks; that is the oracle, and the form for circuits that cannot be
carried otherwise. For speed the same steps are compiled by XLA on floating-point numbers that hold integers: for each sum it
is proven, from the integer weights and the bounds of its inputs, that every partial sum in any order is exact in float32
(24 bits) or float64 (53 bits).

References:
    Integers up to 2^24 and 2^53 are exact in IEEE 754 binary32 and binary64: doi:10.1109/IEEESTD.2019.8766229.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.circuit import (
    Add,
    Bounds,
    Cast,
    Circuit,
    Concatenate,
    Dense,
    Gather,
    Max,
    Multiply,
    Shape,
    Step,
    Sum,
)
from firmware.project import FirmwareProject
from trigger.errors import ToolError
from trigger.fixed_point import Codes, Overflow, Rounding

_BLOCK = 1 << 15
_PROBE = 256
_NUMBERS = 1 << 25
"""Numbers of one tensor held at once."""
_EXACT = (("float32", 24), ("float64", 53))
"""What carries integers, and up to how many bits exactly."""


@dataclass(frozen=True)
class Proof:
    """What carries the sums of a layer.

    Attributes:
        layer: Name of the layer.
        largest: The largest absolute value that any partial sum may have.
        carrier: `float32`, `float64` or `int64`.
    """

    layer: str
    largest: int
    carrier: str

    def __str__(self) -> str:
        """As a sentence."""
        return f"{self.carrier}: sums of at most {self.largest.bit_length()} bits"


def prove(circuit: Circuit) -> tuple[Proof, ...]:
    """For each step what carries it: the narrowest type in which nothing is rounded."""
    proofs = []
    for step, given in circuit.bounded():
        largest = _largest(step, given)
        carrier = next((dtype for dtype, bits in _EXACT if largest is not None and largest <= 1 << bits), "int64")
        proofs.append(Proof(step.layer, given[0].largest if largest is None else largest, carrier))
    return tuple(proofs)


def sums(circuit: Circuit) -> dict[str, Proof]:
    """The proofs of the layers that add."""
    found = zip(circuit.steps, prove(circuit), strict=True)
    return {step.layer: proof for step, proof in found if isinstance(step, Dense | Sum | Add | Multiply)}


@dataclass(frozen=True, eq=False)
class Engine:
    """A circuit that is ready to run.

    Attributes:
        circuit: The network.
        proofs: What carries each step.
        compiled: The steps compiled by XLA; `None` where a step is carried by int64 alone.
    """

    circuit: Circuit
    proofs: tuple[Proof, ...]
    compiled: Callable[[NDArray[Any]], NDArray[Any]] | None

    def __call__(self, codes: Codes, threads: int = 2) -> Codes:
        """Output codes of the circuit, shape `(events, outputs)`."""
        return self.circuit(codes) if self.compiled is None else _in_blocks(self.compiled, self.circuit, codes, threads)

    @property
    def form(self) -> str:
        """`xla` or `numpy`."""
        return "numpy" if self.compiled is None else "xla"


def build(circuit: Circuit) -> Engine:
    """Compile a circuit, where its proofs allow it.

    Raises:
        ToolError: What was compiled differs from the circuit; nothing is computed then.
    """
    proofs = prove(circuit)
    if any(proof.carrier == "int64" for proof in proofs):
        return Engine(circuit, proofs, None)
    engine = Engine(circuit, proofs, _compile(circuit, proofs))
    generator = np.random.default_rng(1)
    inputs = int(np.prod(circuit.shape))
    probe = generator.integers(circuit.wire.min_code, circuit.wire.max_code, (_PROBE, inputs), endpoint=True)
    if not np.array_equal(engine(probe), circuit(probe)):
        raise ToolError(
            "the compiled integer engine differs from its oracle: the Keras backend does not compute exactly"
        )
    return engine


def run(project: FirmwareProject, engine: Engine, codes: Codes, threads: int = 2) -> Codes:
    """Output codes of the network in the format of the firmware's port, shape `(events, outputs)`.

    Raises:
        InputError: A code is outside its input's range, or an output is not a number of the firmware's output format.
    """
    project.contract.check_codes(codes)
    return engine.circuit.to_port(engine(codes, threads), project.manifest.outputs.fixed_point)


def _largest(step: Step, read: tuple[Bounds, ...]) -> int | None:
    """The largest integer that occurs inside a step, or `None` where only int64 will do."""
    given = read[0]
    match step:
        case Dense():
            return max(step.partial(given), given.largest)
        case Sum():
            return given.largest * len(given.low)
        case Shape() | Gather() | Max():
            return given.largest
        case Add():
            return sum(one.largest << up for one, up in zip(read, step.shifts, strict=True))
        case Multiply():
            return max(given.largest * read[-1].largest, given.largest, read[-1].largest)
        case Concatenate():
            return max(one.largest << up for one, up in zip(read, step.shifts, strict=True))
        case Cast():
            up = step.form.fraction - step.source.fraction
            nearest = step.form.rounding is Rounding.RND_CONV or up >= 0
            clips = step.form.overflow in (Overflow.SAT, Overflow.SAT_SYM)
            return max(given.largest, 2 * (step.form.max_code - step.form.min_code)) if nearest and clips else None
        case _:
            return None


def _compile(circuit: Circuit, proofs: tuple[Proof, ...]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A function from float32 codes (float64, where float32 does not hold the inputs) to float codes, compiled by XLA."""
    import keras
    from keras import ops

    def cast(step: Cast, x: Any) -> Any:
        shift = step.form.fraction - step.source.fraction
        if shift > 0:
            near = ops.clip(x, float((step.form.min_code >> shift) - 1), float((step.form.max_code >> shift) + 1))
            scaled = near * 2.0**shift
        else:
            scaled = ops.round(x * 2.0**shift) if shift else x  # ties to even
        return ops.clip(scaled, float(step.form.min_code), float(step.form.max_code))

    def gather(step: Gather, x: Any) -> Any:
        flat = ops.reshape(x, (-1, int(np.prod(x.shape[1:]))))
        if step.padded:  # -1 is the last one
            flat = ops.pad(flat, ((0, 0), (0, 1)))
        place = np.where(step.index < 0, flat.shape[1] - 1, step.index).astype(np.int32)
        return ops.reshape(ops.take(flat, place.ravel(), axis=1), (-1, *place.shape))

    first = proofs[0].carrier
    source = keras.Input(circuit.shape, dtype=first)
    tensors = [source]
    for step, proof, read in zip(circuit.steps, proofs, circuit.reads, strict=True):
        carrier = proof.carrier
        given = [tensors[one] for one in read]
        x, *rest = [one if one.dtype == carrier else ops.cast(one, carrier) for one in given]
        match step:
            case Cast():
                x = cast(step, x)
            case Dense():
                x = ops.matmul(x, ops.convert_to_tensor(step.kernel.astype(carrier)))
                x = ops.add(x, ops.convert_to_tensor(step.bias.astype(carrier)))
            case Sum():
                x = ops.sum(x, axis=1)
            case Max():
                x = ops.max(x, axis=1)
            case Shape():
                x = ops.reshape(x, (-1, *step.shape))
            case Gather():
                x = gather(step, x)
            case Add():
                terms = [
                    one * float(sign << up) for one, sign, up in zip([x, *rest], step.signs, step.shifts, strict=True)
                ]
                x = sum(terms[1:], start=terms[0])
            case Multiply():
                x = x * (rest[0] if rest else x)
            case Concatenate():
                scaled = [one * float(1 << up) for one, up in zip([x, *rest], step.shifts, strict=True)]
                x = ops.concatenate(scaled, axis=step.axis + 1)
        tensors.append(x)
    model = keras.Model(source, tensors[-1])
    model.compile(jit_compile=True)

    def call(codes: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(model.predict_on_batch(codes.astype(first)))

    return call


def _in_blocks(compiled: Callable[[NDArray[Any]], NDArray[Any]], circuit: Circuit, codes: Codes, threads: int) -> Codes:
    """Blocks of one size, so that one compilation serves them all; while some are computed others are converted."""
    widest = max(bounds.low.size for bounds in circuit.bounds())
    size = _PROBE if len(codes) <= _PROBE else max(_PROBE, min(_BLOCK, _NUMBERS // widest))
    result = np.empty((len(codes), int(np.prod(circuit.output_shape))), dtype=np.int64)

    def one(start: int) -> None:
        block = codes[start : start + size].reshape(-1, *circuit.shape)
        events = len(block)
        if events < size:
            block = np.concatenate([block, np.zeros((size - events, *circuit.shape), dtype=block.dtype)])
        result[start : start + events] = compiled(block).reshape(size, -1)[:events]

    with ThreadPoolExecutor(threads + 1) as pool:
        list(pool.map(one, range(0, len(codes), size)))
    return result
