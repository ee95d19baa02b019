"""Programs that succeed, fail, hang and are not there."""

from __future__ import annotations

import pytest

from firmware.tools import find_tool, look_up, run
from trigger.errors import ToolError


@pytest.fixture
def tool(tmp_path, monkeypatch):
    def make(script):
        path = tmp_path / "bin" / "faketool"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return make


def test_success(tool, tmp_path):
    tool('echo "working on $1"')
    run(["faketool", "this"], tmp_path, tmp_path / "logs" / "x.log", 10)
    assert (tmp_path / "logs" / "x.log").read_text() == "faketool this\nworking on this\n"


def test_failure_quotes_the_first_error(tool, tmp_path):
    tool('echo fine; echo "ERROR: [HLS 200-70] first" >&2; echo "ERROR: second"; exit 3')
    with pytest.raises(ToolError, match=r"exit status 3: ERROR: \[HLS 200-70\] first\nlog: .*x.log"):
        run(["faketool"], tmp_path, tmp_path / "x.log", 10)


def test_hanging(tool, tmp_path):
    tool("exec sleep 30")
    with pytest.raises(ToolError, match=r"did not end within 0\.3 s"):
        run(["faketool"], tmp_path, tmp_path / "x.log", 0.3)


def test_missing():
    with pytest.raises(ToolError, match="nosuchtool is not installed"):
        find_tool("nosuchtool")
    assert look_up("nosuchtool").path is None


def test_version(tool):
    tool('echo "Fake tool"; echo "version 1.2.3 of today"')
    assert look_up("faketool").version == "version 1.2.3 of today"
    tool("exit 1")
    assert look_up("faketool").version is None
