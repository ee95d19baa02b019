"""FPGA parts: what they are called and what they have.

References:
    UltraScale and UltraScale+: AMD DS890. 7 series: DS180. Zynq UltraScale+: DS891. Alveo: DS962.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trigger.errors import InputError, nearest


@dataclass(frozen=True)
class Device:
    """An FPGA.

    Attributes:
        name: As a part number begins.
        family: Marketing name of the family.
        lut: Look-up tables.
        ff: Flip-flops.
        dsp: DSP slices.
        bram36: Block RAMs of 36 kbit.
        uram: UltraRAMs; 0 where the family has none.
        slr: Super logic regions, the dies in the package.
    """

    name: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int
    slr: int


DEVICES = {
    device.name: device
    for device in (
        Device("xcvu5p", "Virtex UltraScale+", 600_577, 1_201_154, 3_474, 1_024, 470, 2),
        Device("xcvu7p", "Virtex UltraScale+", 788_160, 1_576_320, 4_560, 1_440, 640, 2),
        Device("xcvu9p", "Virtex UltraScale+", 1_182_240, 2_364_480, 6_840, 2_160, 960, 3),
        Device("xcvu11p", "Virtex UltraScale+", 1_296_000, 2_592_000, 9_216, 2_016, 960, 3),
        Device("xcvu13p", "Virtex UltraScale+", 1_728_000, 3_456_000, 12_288, 2_688, 1_280, 4),
        Device("xcku060", "Kintex UltraScale", 331_680, 663_360, 2_760, 1_080, 0, 1),
        Device("xcku115", "Kintex UltraScale", 663_360, 1_326_720, 5_520, 2_160, 0, 2),
        Device("xcku15p", "Kintex UltraScale+", 522_720, 1_045_440, 1_968, 984, 128, 1),
        Device("xc7vx690t", "Virtex-7", 433_200, 866_400, 3_600, 1_470, 0, 1),
        Device("xc7z020", "Zynq-7000", 53_200, 106_400, 220, 140, 0, 1),
        Device("xczu9eg", "Zynq UltraScale+", 274_080, 548_160, 2_520, 912, 0, 1),
        Device("xcu50", "Alveo", 872_000, 1_743_360, 5_952, 1_344, 640, 2),
        Device("xcu250", "Alveo", 1_728_000, 3_456_000, 12_288, 2_688, 1_280, 4),
    )
}
"""Known devices by name."""

# What follows the device: package with its pins, speed grade with its power variant, and the temperature range where the
# family spells one: xcvu13p-flga2577-2-e, xcvu9p-flga2104-2L-e, xcku115-flvb2104-2-i, xc7z020clg400-1.
_REST = r"-?[a-z]{3,4}\d{3,4}-[123](LV|L|HV)?(-[eiq])?"


def find_device(part: str) -> Device:
    """The device of a part number.

    Raises:
        InputError: The part is not spelled like one, or its device is not known.
    """
    if not re.fullmatch(rf"xc[a-z0-9]+?{_REST}", part):
        raise InputError(f"part {part!r} is not spelled device-package-speed; right would be 'xcvu13p-flga2577-2-e'")
    for name in sorted(DEVICES, key=len, reverse=True):
        if re.fullmatch(name + _REST, part):
            return DEVICES[name]
    raise InputError(
        f"part {part!r}: its device is not known; nearest: {nearest(part.split('-', maxsplit=1)[0], DEVICES)}"
    )
