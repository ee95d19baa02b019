"""The test bench that vendors' simulators run, run here: compiled by g++ against the library of the C++ engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from firmware import tools
from firmware.engines import cpp
from firmware.project import FirmwareProject
from firmware.scripts import TEST_BENCH, VECTORS
from trigger.digest import SHORT, digest
from trigger.errors import ToolError
from trigger.files import replacing
from trigger.verdict import Requirement, at_most, not_measured

TIMEOUT_S = 3600.0
SENTENCE = re.compile(r"^jetgate: (\d+) of [1-9]\d* outputs of [1-9]\d* events differ\s*$", re.MULTILINE)
"""What the test bench ends with when it compared."""


@dataclass(frozen=True)
class Outcome:
    """What the test bench said.

    Attributes:
        differing: Outputs that differ; `None` where the vectors are missing, short, of another port, or all zero.
        sentence: Its last line, or its first error.
        log: Everything that it said.
    """

    differing: int | None
    sentence: str
    log: Path

    @property
    def passed(self) -> bool:
        """Whether every output is the reference's."""
        return self.differing == 0

    def requirement(self) -> Requirement:
        """The verdict; vectors that test nothing are not a pass."""
        if self.differing is None:
            return not_measured("testbench:cpp", "<= 0", required=True, note=self.sentence)
        return at_most("testbench:cpp", self.differing, 0, note=f"compiled by g++; {self.sentence}")


def build(project: FirmwareProject) -> Path:
    """Compile the test bench with the sources as they are now.

    Raises:
        ToolError: g++ is missing or fails.
    """
    library = cpp.build(project)
    key = digest(library.name, project.source_digests("tool").get(TEST_BENCH))
    program = library.with_name(f"testbench-{key[:SHORT]}")
    if not program.is_file():
        with replacing(program) as fresh:
            command = [
                "g++", "-std=c++17", "-O1", *cpp.QUICK, *cpp.INCLUDES, TEST_BENCH,
                *cpp.linked(library), "-o", str(fresh.absolute()),
            ]  # fmt: skip
            tools.run(command, project.folder, program.with_suffix(".build.log"), TIMEOUT_S)
    return program


def run(project: FirmwareProject) -> Outcome:
    """Build the test bench and run it with the sources and vectors as they are now.

    Raises:
        ToolError: g++ is missing or fails, or the program does not end.
    """
    program = build(project)
    log = program.with_suffix(".log")
    try:
        tools.run([str(program.absolute()), VECTORS], project.folder, log, TIMEOUT_S)
        failed = False
    except ToolError as error:
        if error.status is None:
            raise
        failed = True
    count = SENTENCE.search(log.read_text(encoding="utf-8", errors="replace"))
    if count is None:
        return Outcome(None, tools.first_error(log), log)
    if failed != (int(count[1]) > 0):
        raise ToolError(f"the test bench says {count[0]!r} and ends as if it {'failed' if failed else 'passed'}", log)
    return Outcome(int(count[1]), count[0].strip().removeprefix("jetgate: "), log)
