"""The test bench that vendors' simulators run, here under g++: it passes on good firmware and on nothing else."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from firmware.engines import testbench
from firmware.project import FirmwareProject
from firmware.scripts import hexadecimal
from trigger.verdict import Status


@pytest.fixture
def copy(project, tmp_path):
    """A copy of the project with everything that was compiled."""
    shutil.copytree(project.folder, tmp_path / "copy")
    return FirmwareProject.load(tmp_path / "copy")


def flip_a_weight(project):
    """Change the sign of the largest weight of a layer that has the other sign too: of -1 there is none."""
    path = sorted((project.folder / "firmware" / "weights").glob("w*.h"))[0]
    text = path.read_text()
    head, values = re.search(r"(\w+ w\d+\[\d+\] = \{)([^}]*)\}", text).groups()
    words = values.split(", ")
    largest = max((k for k, word in enumerate(words) if abs(float(word)) < 1), key=lambda k: abs(float(words[k])))
    words[largest] = f"{-float(words[largest]):.5f}"
    path.write_text(text.replace(head + values, head + ", ".join(words)))


def test_good_firmware(copy):
    outcome = testbench.run(copy)
    assert outcome.passed
    assert re.fullmatch(r"0 of \d+ outputs of \d+ events differ", outcome.sentence)
    assert outcome.requirement().status is Status.PASS
    events = int(outcome.sentence.split()[5])
    assert events > 1000


def test_one_weight_flipped(copy):
    flip_a_weight(copy)
    outcome = testbench.run(copy)
    assert outcome.differing > 0
    assert outcome.requirement().status is Status.FAIL
    assert re.search(r"ERROR: jetgate: event \d+, output \d: 0x\w+ instead of 0x\w+", outcome.log.read_text())


INPUTS, OUTPUTS = "tb_data/inputs.hex", "tb_data/outputs.hex"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (INPUTS, None, "inputs.hex: the vectors are missing"),
        (OUTPUTS, None, "outputs.hex: the vectors are missing"),
        (INPUTS, lambda text: "", "inputs.hex: the first line is not 'events elements bits'"),
        (INPUTS, lambda text: text[: len(text) // 2], "a line is short or long|is not a hexadecimal number|are announced"),
        (OUTPUTS, lambda text: text.rsplit("\n", 2)[0] + "\n", "are announced: the file is short or long"),
        (OUTPUTS, lambda text: text + text.split("\n")[1] + "\n", "are announced: the file is short or long"),
        (OUTPUTS, lambda text: text.replace("\n", " 000\n", 2), "a line is short or long|of another port"),
        (OUTPUTS, lambda text: text.replace("\n0", "\ng", 1), "is not a hexadecimal number|differ"),
        (INPUTS, lambda text: "5 5 5\n", "the vectors are of another port: '5 5 5'"),
    ],
)  # fmt: skip
def test_vectors_that_test_nothing(copy, name, change, message):
    path = copy.folder / name
    text = path.read_text()
    path.unlink() if change is None else path.write_text(change(text))
    outcome = testbench.run(copy)
    assert outcome.differing is None
    assert re.search(message, outcome.sentence)
    assert outcome.requirement().status is Status.NOT_MEASURED
    assert outcome.requirement().required


@pytest.mark.parametrize("name", ["inputs", "outputs"])
def test_vectors_of_zeros(copy, name):
    path = copy.folder / "tb_data" / f"{name}.hex"
    events, elements, bits = map(int, path.read_text().split("\n")[0].split())
    path.write_text(hexadecimal(np.zeros((events, elements), dtype=np.int64), bits))
    outcome = testbench.run(copy)
    assert outcome.differing is None
    assert "every bit is 0: that tests nothing" in outcome.sentence


def test_another_output_expected(copy):
    path = copy.folder / OUTPUTS
    head, first, rest = path.read_text().split("\n", 2)
    flipped = f"{int(first.split()[0], 16) ^ 1:0{len(first.split()[0])}x}"
    path.write_text("\n".join([head, " ".join([flipped, *first.split()[1:]]), rest]))
    outcome = testbench.run(copy)
    assert outcome.differing == 1
    assert "event 0, output 0" in outcome.log.read_text()


def test_a_copy_runs_its_own_firmware(copy, project):
    """What was compiled elsewhere is not what is run, even where a copy holds the same program."""
    testbench.run(copy)
    moved = copy.folder.with_name("moved")
    copy.folder.rename(moved)
    again = FirmwareProject.load(moved)
    assert testbench.run(again).passed
    flip_a_weight(again)
    assert not testbench.run(again).passed
    assert testbench.run(project).passed
