"""A command that is forked is as one that is started, for whoever gives it."""

import os
import subprocess
import sys

import pytest

from tests.commands import faust_ledger, interpreted

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="commands are forked on Linux alone"
)


def given(command, **environment):
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    "words", [["--version"], ["settings", "--json"], ["nothing"], ["up", "--no"]]
)
def test_it_prints_the_same_and_ends_the_same(words, tmp_path):
    place = {"FAUST_LEDGER_DATA_DIR": str(tmp_path), "FAUST_LEDGER_WINDOW_DAYS": "12"}
    forked, started = given(faust_ledger(*words), **place), given(interpreted(*words), **place)
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    # Usage has the program's name.
    assert forked.stderr.splitlines()[2:] == started.stderr.splitlines()[2:]


def test_one_that_concerns_python_has_an_interpreter_of_its_own():
    said = given(faust_ledger("--version"), PYTHONVERBOSE="1").stderr
    assert "import ledger.cli.main" in said or "ledger.cli" in said
