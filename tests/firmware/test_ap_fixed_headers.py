"""Our casts against the C++ `ap_fixed` headers: every format of up to eight bits, every mode, every code."""

from __future__ import annotations

import ctypes
from pathlib import Path

import hls4ml
import numpy as np
import pytest

from firmware import tools
from trigger.fixed_point import FixedPoint, Overflow, Rounding

HEADERS = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
INTEGERS = range(-4, 13)
MODES = [(rounding, overflow) for rounding in Rounding for overflow in Overflow]


def pairs(widths, other_sign):
    """Target formats, without modes, each with a source that has bits to lose at either end."""
    for width in widths:
        for integer in INTEGERS:
            for signed in (True, False):
                source = signed is not other_sign
                target = FixedPoint(signed, integer - signed, width - integer)
                yield FixedPoint(source, integer + 3 - source, width + 3 - integer), target


def spelled(form):
    return str(form).replace(",AP_TRN,AP_WRAP>", ">")


def library(folder, found):
    """A library that runs through all codes of each source and casts each in every mode."""
    code, calls = ['#include "ap_fixed.h"\n#include <cstdint>'], []
    for number, (source, target) in enumerate(found):
        casts = "".join(
            f"*out++ = (int){spelled(target)[:-1]},AP_{rounding},AP_{overflow}>(s).V;" for rounding, overflow in MODES
        )
        code.append(f"static void cast{number}(int16_t *&out) {{ for (int c = 0; c < {1 << source.width}; c++) {{"
                    f"{spelled(source)} s; s.V = c; {casts} }} }}")  # fmt: skip
        calls.append(f"cast{number}(out);")
    code.append(f'extern "C" void run(int16_t *out) {{ {"".join(calls)} }}')
    (folder / "casts.cpp").write_text("\n".join(code))
    command = ["g++", "-O0", "-w", "-std=c++17", "-shared", "-fPIC", f"-I{HEADERS}", "casts.cpp", "-o", "casts.so"]
    tools.run(command, folder, folder / "log", 900)
    return ctypes.CDLL(str(folder / "casts.so"))


@pytest.mark.parametrize(
    ("widths", "other_sign"),
    [
        ((1, 2, 3), False),
        ((5,), True),
        pytest.param((4, 5), False, marks=pytest.mark.long),
        pytest.param((6, 7, 8), False, marks=pytest.mark.long),
        pytest.param((1, 2, 3, 4, 6, 7, 8), True, marks=pytest.mark.long),
    ],
)
def test_casts_equal_the_headers(widths, other_sign, tmp_path):
    found = list(pairs(widths, other_sign))
    sizes = [len(MODES) << source.width for source, _ in found]
    theirs = np.empty(sum(sizes), dtype=np.int16)
    library(tmp_path, found).run(theirs.ctypes.data_as(ctypes.c_void_p))
    wrong = []
    for (source, target), block in zip(found, np.split(theirs, np.cumsum(sizes)[:-1]), strict=True):
        raw = np.arange(1 << source.width)
        codes = np.where(raw > source.max_code, raw - (1 << source.width), raw)
        for (rounding, overflow), column in zip(MODES, block.reshape(-1, len(MODES)).T, strict=True):
            form = FixedPoint(target.signed, target.integer, target.fraction, rounding, overflow)
            ours = form.cast(codes, source)
            if not np.array_equal(ours, column):
                first = int(np.argmax(ours != column))
                wrong.append(f"{spelled(source)} {codes[first]} to {form}: {ours[first]}, C++ {column[first]}")
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"
