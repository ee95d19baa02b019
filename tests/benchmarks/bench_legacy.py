"""Two hundred networks with random narrow types: every code of every layer as the compiled C++ has it."""

from __future__ import annotations

import time

from tests.firmware.legacy import differing

NETWORKS, TOGETHER = 200, 20


def test_two_hundred_networks(tmp_path):
    start, wrong, varying = time.perf_counter(), {}, 0
    for first in range(1000, 1000 + 10 * NETWORKS, 10 * TOGETHER):
        counts = differing(first, TOGETHER, tmp_path / str(first), f"from{first}")
        wrong |= {seed: count for seed, (count, _) in counts.items() if count}
        varying += sum(layers for _, layers in counts.values())
    print(
        f"\n{NETWORKS} networks, {varying} layers with more than ten different outputs, {time.perf_counter() - start:.0f} s"
    )
    assert wrong == {}
    assert varying > 2 * NETWORKS
