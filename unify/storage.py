"""Every change `unify` makes to a disk goes through this module, one operation a call.

Each operation runs inside `_do`, which turns the operating system's refusal into a `UnifyError`
and gives tests one place at which any operation can be made to fail or the process to die.
Files are written under a temporary name, synced, then renamed: a name is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from unify.errors import UnifyError, error

T = TypeVar("T")

_FIX = {
    errno.ENOSPC: ("io", "free some space and run the same command again: finished shards are kept"),
    errno.EDQUOT: ("io", "raise the quota and run the same command again: finished shards are kept"),
    errno.EIO: ("io", "check the disk, then run the same command again"),
    errno.EACCES: ("cannot-create", "choose a folder you may write to with --out"),
    errno.EPERM: ("cannot-create", "choose a folder you may write to with --out"),
    errno.EROFS: ("cannot-create", "choose a folder on a writable disk with --out"),
    errno.ENOTDIR: ("cannot-create", "a file stands where a folder is due: choose another --out"),
    errno.EISDIR: ("cannot-create", "a folder stands where a file is due: choose another place"),
    errno.EEXIST: ("cannot-create", "something else is there already: choose another place"),
    errno.ENAMETOOLONG: ("cannot-create", "choose a shorter name or folder"),
    errno.ENOTEMPTY: ("busy", "another build was first: run the same command again"),
}


def _do(operation: str, path: Path, call: Callable[..., T], *args: Any) -> T:
    """Run one operation on `path`; an `OSError` becomes a `UnifyError` (io 74 or cannot-create 73)."""
    try:
        return call(*args)
    except OSError as e:
        raise refused(operation, path, e) from e


def refused(operation: str, path: Path, e: OSError) -> UnifyError:
    """What the operating system's refusal `e` means for the user."""
    kind, fix = _FIX.get(e.errno or 0, ("io", "check the folder, then run the same command again"))
    if e.errno == errno.ENOENT and operation.startswith("create"):
        kind, fix = "cannot-create", "choose a folder that is there, or one that can be made"
    return error(kind, path, f"cannot {operation}: {e.strerror or e}", fix)


#: Smaller writes are gathered to this size before they are passed on.
_GATHER_BYTES = 1 << 16


class NewFile:
    """A file being written: not visible under its own name before `commit`.

    Has what `pyarrow.PythonFile` asks of a sink (`write`, `flush`, `tell`, `close`, `closed`), and
    hashes what passes through, so that nothing is read twice.
    """

    def __init__(self, target: Path, temporary: Path) -> None:
        self.target, self.temporary = target, temporary
        self._hash = blake3()
        self._size = 0
        self._pending = bytearray()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = _do("create", temporary, os.open, temporary, flags, 0o644)
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._size += len(view)
        if len(self._pending) + len(view) <= _GATHER_BYTES:
            self._pending += view
        else:
            self.flush()
            self._write(view)
        return len(view)

    def flush(self) -> None:
        """Pass on what was gathered from small writes, of which Parquet makes many."""
        pending, self._pending = self._pending, bytearray()
        self._write(memoryview(pending))

    def _write(self, view: memoryview) -> None:
        while len(view):
            view = view[_do("write", self.temporary, os.write, self._fd, view) :]

    def tell(self) -> int:
        return self._size

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._fd)

    def commit(self, *, durable: bool = True) -> tuple[int, str]:
        """Sync and take the final name; the size in bytes and the BLAKE3 hex digest.

        `durable=False` leaves syncing to a `sync_all` after the last of many files.
        """
        self.flush()
        if durable:
            _do("sync", self.temporary, os.fsync, self._fd)
        _do("rename", self.target, os.replace, self.temporary, self.target)
        self.close()  # last: what is not closed is thrown away
        if durable:
            sync_dir(self.target.parent)
        return self._size, self._hash.hexdigest()

    def discard(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self.temporary.unlink()


@contextlib.contextmanager
def new_file(target: Path, temporary: Path | None = None) -> Iterator[NewFile]:
    """A `NewFile` that is thrown away when the block raises. The block calls `commit` itself."""
    file = NewFile(target, temporary or target.with_name(f".{target.name}.{os.getpid()}.tmp"))
    try:
        yield file
    finally:
        if not file.closed:
            file.discard()


def write_file(target: Path, data: bytes, temporary: Path | None = None, *, durable: bool = True) -> tuple[int, str]:
    """Write `data` as the whole of `target`; its size in bytes and BLAKE3 hex digest. `durable` as of `commit`."""
    with new_file(target, temporary) as file:
        file.write(data)
        return file.commit(durable=durable)


def sync_all(path: Path) -> None:
    """Sync whatever was written so far, `path` with it."""
    _do("sync", path, os.sync)


def make_dirs(path: Path) -> None:
    _do("create folder", path, lambda: path.mkdir(parents=True, exist_ok=True))


def sync_dir(path: Path) -> None:
    fd = _do("open folder", path, os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _do("sync folder", path, os.fsync, fd)
    finally:
        os.close(fd)


def publish(tree: Path, target: Path) -> None:
    """Give the finished folder `tree` its final name, unless something has that name already.

    A directory rename is atomic, and refuses a target that is not empty: the version is there whole
    or not at all, and of two racing builders one wins.
    """
    _do("publish", target, os.rename, tree, target)
    sync_dir(target.parent)


def move(file: Path, target: Path) -> None:
    """Give a finished file the place of `target`, of which its folder may be gone."""
    make_dirs(target.parent)
    _do("rename", target, os.replace, file, target)
    sync_dir(target.parent)


def remove_file(path: Path) -> None:
    _do("remove", path, lambda: path.unlink(missing_ok=True))


def remove_tree(path: Path) -> None:
    """Remove a folder of ours with all in it; absent is fine."""
    if path.exists():
        _do("remove folder", path, shutil.rmtree, path)


def hash_file(path: Path) -> tuple[int, str]:
    """Size in bytes and BLAKE3 hex digest of a file, read in one sequential pass."""
    digest = blake3()
    size = 0
    buffer = memoryview(bytearray(1 << 20))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                size += count
    except OSError as e:
        raise refused("read", path, e) from e
    return size, digest.hexdigest()


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold `directory` against a second builder: busy (75) if one is at work.

    A courtesy that saves work. Nothing is lost where a file system ignores locks, because a version
    is published by one rename.
    """
    fd = _do("open folder", directory, os.open, directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise error("busy", directory, "another build works here", "wait for it to end") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(fd)
