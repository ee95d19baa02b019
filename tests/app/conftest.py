"""What tests of commands on finished runs share."""

from __future__ import annotations

import pytest

from trigger.app import cli


@pytest.fixture
def run(toy_run, tmp_path):
    """A finished run, to be changed: its folder."""
    return tmp_path / toy_run(tmp_path)["folder"]


@pytest.fixture
def call(capsys):
    """A command in this process: exit status, standard output, standard error."""

    def status(*arguments):
        capsys.readouterr()
        return cli.status_of([str(one) for one in arguments]), *capsys.readouterr()

    return status
