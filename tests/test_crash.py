"""No version or a whole one: the builder dies, or the disk refuses, at every single operation in turn.

Each attempt runs in a forked child whose `storage._do` counts operations and, at the k-th, kills the process
(with or without the operation done), or raises the error a full or failing disk would. The next run, undisturbed,
must then reach the very bytes of a build that was never disturbed, and leave nothing else.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from unify import storage
from unify.build import build
from unify.errors import UnifyError

from .worlds import plan_of, small_world, tree_bytes


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Raw roots of two sources, and the bytes of an undisturbed build of them."""
    folder = tmp_path_factory.mktemp("crash")
    roots = small_world(folder / "raw", "CI")
    build(plan_of(roots, "C,I"), folder / "out")
    return roots, tree_bytes(folder / "out")


def in_child(action: Callable[[], None]) -> int:
    """Run `action` in a forked child; 0, or its UnifyError's exit code, or 137 if it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            action()
            code = 0
        except UnifyError as e:
            code = e.exit_code
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return 137 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def disturbed(action: Callable[[], object], at: int, how: str) -> int:
    """Run `action` in a child that is disturbed at operation number `at`; 0 means that there were fewer."""

    def with_trouble() -> None:
        count, real = 0, storage._do

        def do(operation, path, call, *args):
            nonlocal count
            count += 1
            if count == at or (count > at and how.endswith("for good")):
                if how == "killed after":
                    real(operation, path, call, *args)
                if how == "torn" and operation == "write":
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
                if how.startswith("refused"):
                    number = errno.ENOSPC if "full" in how else errno.EACCES
                    return real(operation, path, _refuse, number)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(operation, path, call, *args)

        storage._do = do
        action()

    return in_child(with_trouble)


def _refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("how", ["killed before", "killed after", "torn", "refused: full", "refused: full, for good"])
def test_every_operation(world, tmp_path, how):
    roots, expected = world
    codes, k = [], 0
    while True:
        k += 1
        out = tmp_path / str(k)
        code = disturbed(lambda out=out: build(plan_of(roots, "C,I"), out), k, how)
        codes.append(code)
        manifests = list(out.rglob("manifest.json"))
        published = [m for m in manifests if ".work" not in m.parts]
        if published:
            assert tree_bytes(published[0].parent) == {
                name.split("/", 2)[2]: data for name, data in expected.items()
            }, f"a version that is not whole after operation {k}"
        build(plan_of(roots, "C,I"), out)
        assert tree_bytes(out) == expected, f"other bytes or stray files after operation {k} ({how})"
        if code == 0:  # there is no operation number k
            break
    assert len(codes) > 60, "the seam must see every operation"
    wanted = {137} if how.startswith(("killed", "torn")) else {74}
    assert set(codes[:-1]) == wanted


def test_killed_twice_and_then_left_alone(world, tmp_path):
    roots, expected = world
    dice = random.Random(0)
    for attempt in range(20):
        out = tmp_path / str(attempt)
        for _ in range(3):
            disturbed(lambda out=out: build(plan_of(roots, "C,I"), out), dice.randrange(1, 60), "killed before")
        build(plan_of(roots, "C,I"), out)
        assert tree_bytes(out) == expected


@pytest.mark.slow
def test_the_real_command_killed_at_random_moments(world, tmp_path):
    """20 times SIGKILL to `unify build` with two workers, at a random moment of its life."""
    roots, expected = world
    command = [sys.executable, "-m", "unify", "build", "--datasets", "C,I", "--root", str(roots), "-j", "2", "--out"]
    for name in ("first", "undisturbed"):  # the first finds nothing in the disk's cache, and takes longer
        start = time.perf_counter()
        subprocess.run([*command, str(tmp_path / name)], check=True, capture_output=True)
        life = time.perf_counter() - start
        assert tree_bytes(tmp_path / name) == expected
    dice, killed = random.Random(1), 0
    for attempt in range(60):  # one may be done before its moment comes
        out = tmp_path / str(attempt)
        process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.2, 1.0) * life)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        subprocess.run([*command, str(out)], check=True, capture_output=True)
        assert tree_bytes(out) == expected
        if killed == 20:
            break
    assert killed == 20
