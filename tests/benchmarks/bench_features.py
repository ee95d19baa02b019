"""Features in jets a second, on real jets."""

from __future__ import annotations

import time
from pathlib import Path

from trigger.data.generate import PythiaData, generate, read_generated
from trigger.inputs.features import jet_features

FOLDER = Path("runs/data")


def test_features():
    path = generate(PythiaData(kind="pythia", jets_per_class=500), 1, FOLDER, workers=2)
    (jets,) = read_generated(path)
    jet_features(jets.take(range(10)))  # compiled before the clock runs
    print(
        f"\nsixteen features of {len(jets):,} jets with {len(jets.constituents.px.layout.content) / len(jets):.0f} constituents"
    )
    for workers in (1, 2):
        start = time.perf_counter()
        jet_features(jets, workers=workers)
        print(
            f"  {workers} thread{'s' if workers > 1 else ' '} {len(jets) / (time.perf_counter() - start):8,.0f} jets/s"
        )
