"""Three hundred faults in the demo's network: each is caught, its layer is named, or it is proven to change nothing."""

from __future__ import annotations

import time
from collections import Counter

from firmware.mutation import Fate, mutate

MUTANTS = 320


def test_three_hundred_mutants(make_demo):
    _, _, project = make_demo(seed=2, width=0.3, physics=5000)
    start = time.perf_counter()
    result = mutate(project, count=MUTANTS, threads=2, locate=True)
    print(f"\n{time.perf_counter() - start:.0f} s: {result.requirement().note}")
    fates = Counter((str(one.mutant.kind), str(one.fate)) for one in result.outcomes)
    for (kind, fate), count in sorted(fates.items()):
        print(f"  {kind:18} {fate:11} {count:4}")
    unnamed = [one for one in result.outcomes if one.fate is Fate.CAUGHT and one.named != one.mutant.layer]
    for one in unnamed:
        print(f"  named {one.named} instead of {one.mutant.layer}: {one.mutant.what} in {one.mutant.path}")
    assert len(result.outcomes) >= 300
    assert result.count(Fate.SURVIVED) == 0
    assert result.count(Fate.EQUIVALENT) <= 0.1 * len(result.outcomes)
    assert not unnamed
