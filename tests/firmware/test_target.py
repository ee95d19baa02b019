from __future__ import annotations

import pytest

from firmware.device import DEVICES, find_device
from firmware.target import load_target
from trigger.config import packaged
from trigger.errors import InputError


@pytest.mark.parametrize("name", packaged("firmware", "targets"))
def test_packaged_targets(name):
    target = load_target(name)
    assert target.name == name
    assert find_device(target.part).lut > 0


@pytest.mark.parametrize(
    ("part", "device"),
    [("xcvu13p-flga2577-2-e", "xcvu13p"), ("xcvu9p-flga2104-2L-e", "xcvu9p"), ("xcku115-flvb2104-2-i", "xcku115"),
     ("xc7vx690tffg1927-2", "xc7vx690t"), ("xc7z020clg400-1", "xc7z020"), ("xcu250-figd2104-2L-e", "xcu250")],
)  # fmt: skip
def test_parts(part, device):
    assert find_device(part) is DEVICES[device]


def test_wrong_parts():
    with pytest.raises(InputError, match="its device is not known; nearest: 'xcvu1"):
        find_device("xcvu14p-flga2577-2-e")
    with pytest.raises(InputError, match="is not spelled device-package-speed"):
        find_device("vu13p")
    with pytest.raises(InputError, match=r"part: part 'xcvu99p-flga2577-2-e'"):
        load_target("vu13p", ("part=xcvu99p-flga2577-2-e",))
