"""The command line as a whole: what it ends with when nobody reads it, what its list of commands says."""

from __future__ import annotations

import subprocess
import sys

import pytest

import unify

from .test_docs import commands

NO_READER = 141  # as a shell says of what SIGPIPE ends


@pytest.mark.parametrize("words", ["spaces union70", "datasets --json", "--help", "--version", "spaces -h"])
def test_a_reader_that_goes_away_is_no_bug(words):
    """As in `unify spaces | head -1`: no word of it, and not 0, since what was asked for was not finished."""
    command = [sys.executable, "-m", "unify", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", NO_READER)


@pytest.mark.parametrize("words", ["no-such-command", "spaces no-such-space"])
def test_nor_is_one_of_messages(words):
    command = [sys.executable, "-m", "unify", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stderr.close()
        assert (process.stdout.read(), process.wait()) == (b"", NO_READER)


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=[path for path, _ in commands()])
def test_the_list_of_commands_says_all_of_what_each_does(path, command):
    told = command.get_short_help_str(limit=50)
    assert told.endswith(".") and not told.endswith("...")


def test_what_the_package_offers_is_listed():
    assert {*unify.__all__, "__version__"} <= set(dir(unify))
