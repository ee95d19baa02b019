"""The demo's network with random weights, for benchmarks that need its size and not its training."""

from __future__ import annotations

import numpy as np
import pytest

from firmware.project import convert
from firmware.target import load_target
from models.recipe import load_recipe
from trigger.inputs.contract import Input, InputSpec


@pytest.fixture(scope="module")
def make_demo(tmp_path_factory):
    """Network, contract and project; the seed and the width of the weights, and physics events where there are to be some."""

    def make(seed, width, physics=0):
        recipe = load_recipe("jet_tagger")
        inputs = tuple(Input(name=f"x{k}", format=recipe.inputs.format) for k in range(16))
        spec = InputSpec(inputs=inputs, outputs=tuple("abcde"))
        model = recipe.network.build(spec, 5, recipe.quantization)
        generator = np.random.default_rng(seed)
        model.set_weights([generator.normal(0, width, weight.shape) for weight in model.get_weights()])
        codes = spec.codes(generator.normal(0, 1.5, (physics, 16))) if physics else None
        return model, spec, convert(model, spec, load_target("vu13p"), "bench", tmp_path_factory.mktemp("bench"), codes)

    return make
