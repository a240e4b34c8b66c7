"""Memory that is ready, so that programs are measured and not the machine below.

A virtual machine may hand free memory back to its host within seconds; touching it again then takes several times
as long as writing a file does, and which program is hit is chance. `warm` touches memory once and keeps a page of
every 128 KiB, so that what lies between is free, and too scattered to be handed back. It is a matter of the whole
machine: all programs find the same. Elsewhere it changes nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator

_FOLDER = "/dev/shm"
_PAGE, _BLOCK = 4096, 1 << 17  # a block is the least that is handed back
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of fallocate(2)


@contextlib.contextmanager
def warm(n_bytes: int) -> Iterator[None]:
    """Keep about `n_bytes` of free memory ready while the block runs; does nothing where there is no /dev/shm."""
    if not os.path.isdir(_FOLDER):  # noqa: PTH112
        yield
        return
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    with tempfile.TemporaryFile(dir=_FOLDER) as file:
        for _ in range(0, n_bytes, 1 << 22):
            file.write(bytes(1 << 22))
        file.flush()
        for at in range(0, n_bytes, _BLOCK):
            if fallocate(file.fileno(), _KEEP_SIZE | _PUNCH_HOLE, at + _PAGE, _BLOCK - _PAGE):
                raise OSError(ctypes.get_errno(), "fallocate")
        yield
