"""Networks of observables: tables of numbers, standardised, into dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.offline import layers
from trigger.errors import InputError

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
FURTHEST = 10.0
"""Standard deviations beyond which an observable is clipped."""


def standardised(table: Floats, learn: NDArray[np.bool_], weights: Floats | None = None) -> NDArray[np.float32]:
    """Every column with mean 0 and standard deviation 1 over the rows that are learnt from, clipped at ten of these.

    A column that is the same in all rows becomes 0.

    Args:
        table: Shape `(rows, observables)`.
        learn: Which rows are learnt from, shape `(rows,)`.
        weights: Shape `(rows,)`; all 1 if not given.

    Raises:
        InputError: A number is NaN or infinite.
    """
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise InputError(f"observable {column} of row {row} is {table[row, column]}")
    weight = None if weights is None else weights[learn]
    mean = np.average(table[learn], axis=0, weights=weight)
    spread = np.sqrt(np.average((table[learn] - mean) ** 2, axis=0, weights=weight))
    constant = spread <= 1e-12 * np.maximum(np.abs(mean), 1.0)
    scaled = (table - mean) / np.where(constant, np.inf, spread)
    return np.clip(scaled, -FURTHEST, FURTHEST).astype(np.float32)


def dense_network(observables: int, hidden: tuple[int, ...], outputs: int, dropout: float = 0.0) -> keras.Model:
    """Dense layers with ReLU on the input `observables`, shape `(observables,)`, then `outputs` linear numbers in float32."""
    import keras

    inputs = keras.Input((observables,), name="observables")
    x = layers.dense(inputs, hidden, "dense", dropout)
    return keras.Model({"observables": inputs}, layers.logits(x, outputs))
