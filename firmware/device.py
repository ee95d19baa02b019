"""FPGA parts: what they are called and what they have.

References:
    UltraScale and UltraScale+: AMD DS890. 7 series: DS180. Zynq-7000: DS190. Zynq UltraScale+: DS891, RFSoC: DS889. Alveo: DS962,
    DS963, DS965, DS978, with the figures of the chip: a platform's shell takes some. Kria: DS987. Versal: DS950.
    Pins: the most of any package, without those of transceivers. Carry and DSP widths: UG474, UG479, UG574, UG579, AM004.
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
        pins: User pins; `None` for chips that come on a card.
    """

    name: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int
    slr: int
    pins: int | None

    @property
    def multiplier(self) -> tuple[int, int]:
        """Widths, with sign, that one DSP slice multiplies."""
        return {"7": (25, 18), "V": (27, 24)}.get(self._generation, (27, 18))

    @property
    def accumulator(self) -> int:
        """Width of a DSP slice's accumulator."""
        return 58 if self._generation == "V" else 48

    @property
    def yosys_family(self) -> str | None:
        """What Yosys calls the family; `None` where it has none for it."""
        return {"7": "xc7", "U": "xcu", "P": "xcup"}.get(self._generation)

    @property
    def _generation(self) -> str:
        """7 series, UltraScale (U), UltraScale+ (P), Versal (V)."""
        if self.family.startswith("Versal"):
            return "V"
        if self.family.endswith("-7") or self.family == "Zynq-7000":
            return "7"
        return "U" if self.family.endswith("UltraScale") else "P"


_ULTRA, _PLUS = "UltraScale", "UltraScale+"
DEVICES = {
    device.name: device
    for device in (
        Device("xc7a35t", "Artix-7", 20_800, 41_600, 90, 50, 0, 1, 250),
        Device("xc7a100t", "Artix-7", 63_400, 126_800, 240, 135, 0, 1, 300),
        Device("xc7k325t", "Kintex-7", 203_800, 407_600, 840, 445, 0, 1, 500),
        Device("xc7k410t", "Kintex-7", 254_200, 508_400, 1_540, 795, 0, 1, 500),
        Device("xc7vx485t", "Virtex-7", 303_600, 607_200, 2_800, 1_030, 0, 1, 700),
        Device("xc7vx690t", "Virtex-7", 433_200, 866_400, 3_600, 1_470, 0, 1, 1_000),
        Device("xc7z020", "Zynq-7000", 53_200, 106_400, 220, 140, 0, 1, 200),
        Device("xc7z045", "Zynq-7000", 218_600, 437_200, 900, 545, 0, 1, 362),
        Device("xc7z100", "Zynq-7000", 277_400, 554_800, 2_020, 755, 0, 1, 400),
        Device("xcku040", f"Kintex {_ULTRA}", 242_400, 484_800, 1_920, 600, 0, 1, 520),
        Device("xcku060", f"Kintex {_ULTRA}", 331_680, 663_360, 2_760, 1_080, 0, 1, 624),
        Device("xcku115", f"Kintex {_ULTRA}", 663_360, 1_326_720, 5_520, 2_160, 0, 2, 832),
        Device("xcvu190", f"Virtex {_ULTRA}", 1_074_240, 2_148_480, 1_800, 3_780, 0, 3, 702),
        Device("xcku3p", f"Kintex {_PLUS}", 162_720, 325_440, 1_368, 360, 48, 1, 304),
        Device("xcku5p", f"Kintex {_PLUS}", 216_960, 433_920, 1_824, 480, 64, 1, 304),
        Device("xcku9p", f"Kintex {_PLUS}", 274_080, 548_160, 2_520, 912, 0, 1, 304),
        Device("xcku11p", f"Kintex {_PLUS}", 298_560, 597_120, 2_928, 600, 80, 1, 512),
        Device("xcku13p", f"Kintex {_PLUS}", 341_280, 682_560, 3_528, 744, 112, 1, 304),
        Device("xcku15p", f"Kintex {_PLUS}", 522_720, 1_045_440, 1_968, 984, 128, 1, 668),
        Device("xcvu3p", f"Virtex {_PLUS}", 394_080, 788_160, 2_280, 720, 320, 1, 520),
        Device("xcvu5p", f"Virtex {_PLUS}", 600_577, 1_201_154, 3_474, 1_024, 470, 2, 832),
        Device("xcvu7p", f"Virtex {_PLUS}", 788_160, 1_576_320, 4_560, 1_440, 640, 2, 832),
        Device("xcvu9p", f"Virtex {_PLUS}", 1_182_240, 2_364_480, 6_840, 2_160, 960, 3, 832),
        Device("xcvu11p", f"Virtex {_PLUS}", 1_296_000, 2_592_000, 9_216, 2_016, 960, 3, 624),
        Device("xcvu13p", f"Virtex {_PLUS}", 1_728_000, 3_456_000, 12_288, 2_688, 1_280, 4, 832),
        Device("xcvu31p", f"Virtex {_PLUS} HBM", 439_680, 879_360, 2_880, 672, 320, 1, 208),
        Device("xcvu33p", f"Virtex {_PLUS} HBM", 439_680, 879_360, 2_880, 672, 320, 1, 208),
        Device("xcvu35p", f"Virtex {_PLUS} HBM", 871_680, 1_743_360, 5_952, 1_344, 640, 2, 416),
        Device("xcvu37p", f"Virtex {_PLUS} HBM", 1_303_680, 2_607_360, 9_024, 2_016, 960, 3, 624),
        Device("xcvu47p", f"Virtex {_PLUS} HBM", 1_303_680, 2_607_360, 9_024, 2_016, 960, 3, 624),
        Device("xcvu19p", f"Virtex {_PLUS}", 4_085_760, 8_171_520, 3_840, 2_160, 320, 4, 2_072),
        Device("xcu50", "Alveo", 871_680, 1_743_360, 5_952, 1_344, 640, 2, None),
        Device("xcu55c", "Alveo", 1_303_680, 2_607_360, 9_024, 2_016, 960, 3, None),
        Device("xcu200", "Alveo", 1_182_240, 2_364_480, 6_840, 2_160, 960, 3, None),
        Device("xcu250", "Alveo", 1_728_000, 3_456_000, 12_288, 2_688, 1_280, 4, None),
        Device("xcu280", "Alveo", 1_303_680, 2_607_360, 9_024, 2_016, 960, 3, None),
        Device("xck26", "Kria", 117_120, 234_240, 1_248, 144, 64, 1, None),
        Device("xczu3eg", f"Zynq {_PLUS}", 70_560, 141_120, 360, 216, 0, 1, 252),
        Device("xczu5ev", f"Zynq {_PLUS}", 117_120, 234_240, 1_248, 144, 64, 1, 252),
        Device("xczu7ev", f"Zynq {_PLUS}", 230_400, 460_800, 1_728, 312, 96, 1, 464),
        Device("xczu9eg", f"Zynq {_PLUS}", 274_080, 548_160, 2_520, 912, 0, 1, 328),
        Device("xczu11eg", f"Zynq {_PLUS}", 298_560, 597_120, 2_928, 600, 80, 1, 512),
        Device("xczu15eg", f"Zynq {_PLUS}", 341_280, 682_560, 3_528, 744, 112, 1, 328),
        Device("xczu19eg", f"Zynq {_PLUS}", 522_720, 1_045_440, 1_968, 984, 128, 1, 668),
        Device("xczu28dr", f"Zynq {_PLUS} RFSoC", 425_280, 850_560, 4_272, 1_080, 80, 1, 347),
        Device("xczu48dr", f"Zynq {_PLUS} RFSoC", 425_280, 850_560, 4_272, 1_080, 80, 1, 347),
        Device("xcvc1902", "Versal AI Core", 899_840, 1_799_680, 1_968, 967, 463, 1, None),
        Device("xcve2302", "Versal AI Edge", 150_272, 300_544, 464, 155, 155, 1, None),
        Device("xcvp1202", "Versal Premium", 900_224, 1_800_448, 3_984, 1_341, 677, 1, None),
    )
}
"""Known devices by name."""

# What follows the device: package with its pins, speed grade with its power variant, and the temperature range where the
# family spells one: xcvu13p-flga2577-2-e, xcvu9p-flga2104-2L-e, xcku115-flvb2104-2-i, xc7z020clg400-1, xcvc1902-vsva2197-2MP-e-S.
_REST = r"-?[a-z]{3,4}\d{3,4}-[123](LV|L|HV|MP|MHP|HP|LP|LLI)?(-[eiqcm](-[SL])?)?"


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


def same_part(one: str, other: str) -> bool:
    """Whether two spellings may be of one part: tools leave out `xc`, dashes, and what stands at the end."""
    first, second = (re.sub(r"^xc|-", "", part.lower()) for part in (one, other))
    return first.startswith(second) or second.startswith(first)


def speed_grade(part: str | None) -> str | None:
    """Speed grade with its power variant, `2` or `2L`; `None` where the part is spelled without."""
    match = re.search(r"\d{3,4}-([123][A-Z]*)", part or "")
    return match[1] if match else None


def reported_device(part: str | None) -> Device | None:
    """The device of a part as a report spells it: without `xc`, without a speed grade; `None` where it is not known."""
    spelled = (part or "").lower()
    spelled = spelled if spelled.startswith("xc") else f"xc{spelled}"
    for name in sorted(DEVICES, key=len, reverse=True):
        if re.fullmatch(rf"{name}(-?[a-z]{{3,4}}\d{{3,4}}.*)?", spelled):
            return DEVICES[name]
    return None
