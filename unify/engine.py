"""Where work runs. A build asks for a `concurrent.futures.Executor` and nothing more of it."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import TypeVar

from unify.errors import Problem, UnifyError

T = TypeVar("T")
R = TypeVar("R")

#: How often a task may take its worker down with it before the build gives up on it.
ATTEMPTS = 3
#: What makes shards, with the kernels, which take longest to load.
_PRELOAD = ("unify.shard", "unify.derive", "unify.kernels.png")
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Engine:
    """How to open an executor, and how many tasks to hand it at a time."""

    open: Callable[[], Executor]
    window: int


def processes(workers: int) -> Engine | None:
    """A pool of `workers` processes; None, which `run` takes as "here", for a single one.

    They are forked from a server that has nothing in it but what all tasks import: half a second once, not
    for every worker, and safe, since that server never ran a thread of ours.
    """
    if workers <= 1:
        return None
    context = multiprocessing.get_context("forkserver")
    start_server()
    return Engine(lambda: ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker), 2 * workers)


def start_server() -> None:
    """Start the server that `processes` forks from, and do not wait: it imports while a build is being planned."""
    with _undisturbed():
        forkserver.set_forkserver_preload(list(_PRELOAD))
        forkserver.ensure_running()


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle, and no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)  # blocked by `_undisturbed`
    parent = multiprocessing.parent_process()
    assert parent is not None, "only ever called in a worker"
    gc.freeze()  # what was imported stays: to look through it for garbage time and again takes 3 % of a build

    def leave_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block is over: a worker whose start is broken off shows a traceback.

    The handlers only take a note, since another thread may be given the signal. Blocking it as well keeps it
    from the workers that start in the block, until they know what to do with it.
    """
    if threading.current_thread() is not threading.main_thread():  # nor do handlers run there
        yield
        return
    noted: list[int] = []
    handlers = {n: signal.signal(n, lambda number, frame: noted.append(number)) for n in _STOPPING}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not set from Python
        for stopping in noted:
            signal.raise_signal(stopping)


def run(
    function: Callable[[T], R], tasks: Sequence[T], engine: Engine | None, name: Callable[[T], str] = str
) -> Iterator[R]:
    """Results of `function` over `tasks`, in order of completion.

    A dead worker costs the tasks in flight one attempt each. They are then tried again one at a
    time, so that a task that kills its worker is found out and its neighbours are not blamed.

    Raises:
        UnifyError: worker-died (70), naming each task whose worker died `ATTEMPTS` times. All other
            results were yielded before. Exceptions of `function` itself pass through.
    """
    if engine is None:
        yield from map(function, tasks)
        return
    attempts = [0] * len(tasks)
    waiting, suspects, given_up = deque(range(len(tasks))), deque[int](), list[int]()
    while waiting or suspects:
        queue, window = (suspects, 1) if suspects else (waiting, engine.window)
        flying: dict[Future[R], int] = {}
        pool, finished = engine.open(), False
        try:
            while queue or flying:
                while queue and len(flying) < window:
                    with _undisturbed():
                        flying[pool.submit(function, tasks[queue[0]])] = queue[0]
                    queue.popleft()
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    del flying[future]
                    yield result
            finished = True
        except BrokenExecutor:
            for key in flying.values() or [queue.popleft()]:
                attempts[key] += 1
                (suspects if attempts[key] < ATTEMPTS else given_up).append(key)
        finally:
            _close(pool, at_once=not finished)
    if given_up:
        what = f"its worker died {ATTEMPTS} times"
        fix = "give the machine more memory, or take out the file that does it"
        raise UnifyError(*(Problem("worker-died", name(tasks[key]), what, fix) for key in given_up))


def _close(pool: Executor, at_once: bool) -> None:
    """Let go of a pool; `at_once` also stops what still runs, as after Ctrl-C."""
    workers = list((getattr(pool, "_processes", None) or {}).values()) if at_once else []
    pool.shutdown(wait=not at_once, cancel_futures=True)
    for worker in workers:
        with contextlib.suppress(OSError, ValueError):
            worker.kill()
