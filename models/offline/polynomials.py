"""Energy flow polynomials of many jets, made once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trigger.config import Settings
from trigger.data.jets import JetDataset
from trigger.files import reading_arrays, replacing

Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are to be."""
BLOCK = 2000
"""Jets that are worked on together; part of what decides the last bits."""


class Polynomials(Settings):
    """Energy flow polynomials that a linear discriminant sees.

    Attributes:
        edges: Largest number of edges of a graph. All up to 7, as in arXiv:1902.09914, are 999, and up to 6 they are 313, in a
            quarter of the time.
        beta: Exponent of the distances between constituents.
    """

    edges: int = Field(default=7, ge=1, le=7)
    beta: float = Field(default=0.5, gt=0)

    def table(
        self, jets: JetDataset, path: Path, workers: int, progress: Progress
    ) -> tuple[NDArray[np.float32], float]:
        """The polynomials of every jet, read from a file if that is there.

        Args:
            jets: Jets with constituents.
            path: The file, npz, of these jets alone.
            workers: Threads; the result does not depend on it.
            progress: Told of every finished block.

        Returns:
            Shape `(jets, polynomials)`, and jets done in a second when they were made.

        Raises:
            InputError: The file is broken or of other jets, or see `trigger.inputs.energy_flow.energy_flow_polynomials`.
        """
        if not path.is_file():
            begin = time.perf_counter()
            values = self._made(jets, workers, progress)
            rate = len(jets) / (time.perf_counter() - begin)
            with replacing(path) as fresh, fresh.open("wb") as stream:
                np.savez(stream, allow_pickle=False, values=values, rate=np.array(rate))
        with reading_arrays(path) as stored:
            values, made_per_s = stored["values"], float(stored["rate"])
            if values.ndim != 2 or len(values) != len(jets):
                raise ValueError(f"values of shape {values.shape} for {len(jets)} jets")
        return values, made_per_s

    def _made(self, jets: JetDataset, workers: int, progress: Progress) -> NDArray[np.float32]:
        from trigger.inputs.energy_flow import energy_flow_polynomials
        from trigger.inputs.trees import flat_momenta

        def block(start: int) -> NDArray[np.float32]:
            momenta = flat_momenta(jets.constituents[start : start + BLOCK])
            found = energy_flow_polynomials(*momenta, self.edges, self.beta)
            return np.stack(list(found.values()), axis=1).astype(np.float32)

        parts = []
        with ThreadPoolExecutor(workers) as pool:
            for part in pool.map(block, range(0, len(jets), BLOCK)):
                parts.append(part)
                progress("jets with energy flow polynomials", min(len(parts) * BLOCK, len(jets)), len(jets))
        return np.concatenate(parts)
