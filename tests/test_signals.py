"""Ctrl-C and SIGTERM: out within two seconds, with the right code and one line; the next run finishes the job."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from unify.build import build

from . import layouts
from .worlds import plan_of, tree_bytes


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    layouts.write_camvid(folder / "raw" / "camvid", train=4000, val=2)
    build(plan_of(folder / "raw", "V"), folder / "undisturbed")
    return folder / "raw", tree_bytes(folder / "undisturbed")


@pytest.fixture(autouse=True)
def _sigint_reaches_children():
    """Jobs that a shell starts in the background ignore SIGINT, and so would all they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_stops_the_build(world, tmp_path, number, code, word, workers):
    roots, expected = world
    command = [sys.executable, "-m", "unify", "build", "--datasets", "V", "--root", str(roots), "--out", str(tmp_path)]
    process = subprocess.Popen([*command, "-j", str(workers)], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "v-union11" / ".work" / "tmp").exists():
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.005)
    start = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=10)
    assert time.monotonic() - start < 4  # two seconds is the aim, and room for a busy machine
    assert process.returncode == code, told
    assert told.splitlines()[-1] == f"unify: {word}"
    assert "Traceback" not in told
    build(plan_of(roots, "V"), tmp_path)
    assert tree_bytes(tmp_path) == expected
