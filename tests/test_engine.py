from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from unify.engine import ATTEMPTS, processes, run
from unify.errors import UnifyError, error


def square(x: int) -> int:
    return x * x


def square_or_die(x: int) -> int:
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return x * x


def die_once(path: str) -> str:
    if not os.path.exists(path):  # noqa: PTH110
        open(path, "w").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def refuse(x: int) -> int:
    raise error("bad-label", f"{x}.png", "is broken")


@pytest.mark.parametrize("workers", [1, 2])
def test_all_results_arrive(workers):
    assert sorted(run(square, list(range(20)), processes(workers))) == [x * x for x in range(20)]


def test_a_task_that_kills_its_worker_is_named_and_the_others_are_done():
    done = []
    with pytest.raises(UnifyError, match=f"worker-died: task 3: its worker died {ATTEMPTS} times") as e:
        done.extend(run(square_or_die, list(range(8)), processes(2), name=lambda x: f"task {x}"))
        pytest.fail("not reached")
    assert e.value.exit_code == 70
    assert len(e.value.problems) == 1


def test_the_others_of_a_poisoned_run_are_all_yielded():
    done = []
    with pytest.raises(UnifyError):
        for result in run(square_or_die, list(range(8)), processes(2)):
            done.append(result)  # noqa: PERF402 - what came before the error counts
    assert sorted(done) == [x * x for x in range(8) if x != 3]


def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    names = [str(tmp_path / n) for n in "abc"]
    assert sorted(run(die_once, names, processes(2))) == names


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_the_function_pass_through(workers):
    with pytest.raises(UnifyError, match=r"bad-label: \d\.png: is broken"):
        list(run(refuse, [1, 2], processes(workers)))


def test_workers_leave_with_a_killed_parent(tmp_path):
    program = (
        "import os, sys, time\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[1]))\n"
        "from orphans import linger\n"
        "from unify.engine import processes, run\n"
        "if __name__ == '__main__':\n"
        "    list(run(linger, [sys.argv[2] + str(i) for i in range(2)], processes(2)))\n"
    )
    (tmp_path / "orphans.py").write_text(
        "import os, time\ndef linger(path):\n    open(path, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    script = tmp_path / "main.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, script, script, tmp_path / "pid"])
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    deadline = time.monotonic() + 20
    while not all(f.exists() and f.read_text() for f in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    pids = [int(f.read_text()) for f in files]
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
