"""Three hundred faults in the demo's network: each is caught, its layer is named, or it is proven to change nothing."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from firmware.mutation import Fate, mutate
from firmware.project import convert
from firmware.target import load_target
from models.recipe import load_recipe
from trigger.inputs.contract import Input, InputSpec

MUTANTS = 320


def test_three_hundred_mutants(tmp_path):
    recipe = load_recipe("jet_tagger")
    spec = InputSpec(
        inputs=tuple(Input(name=f"x{k}", format=recipe.inputs.format) for k in range(16)), outputs=tuple("abcde")
    )
    model = recipe.network.build(spec, 5, recipe.quantization)
    generator = np.random.default_rng(2)
    model.set_weights([generator.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    physics = spec.codes(generator.normal(0, 1.5, (5000, 16)))
    project = convert(model, spec, load_target("vu13p"), "bench", tmp_path, physics)
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
