"""A hundred random convolution networks, every code of every layer in every engine that does them."""

from __future__ import annotations

import time
from collections import Counter

from tests.firmware.convolutions import REASONS, compared

NETWORKS, TOGETHER = 100, 10


def test_a_hundred_networks(tmp_path):
    start, codes, layers, refused = time.perf_counter(), Counter(), Counter(), Counter()
    first = 1000
    for part in range(NETWORKS // TOGETHER):
        found = compared(first, TOGETHER, tmp_path / str(part), f"part{part}")
        first = found.seeds[-1] + 1
        assert found.wrong == {}
        codes.update(found.codes)
        layers.update(found.layers)
        refused.update(next((one for one in REASONS if one in text), text) for text in found.refused.values())
    print(
        f"\n{NETWORKS} networks, {time.perf_counter() - start:.0f} s; codes compared: {dict(codes)}; layers: {dict(layers)}"
    )
    print(f"refused besides: {dict(refused)}")
    assert min(codes.values()) > 10_000 * NETWORKS // 10
