"""Looking into folders that others filled: no link out of the root, no loop, no device, no surprise.

Listing reads names only. What is opened (`read_start`, `read_small`) is a regular file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unify.errors import Problem, error


@dataclass(frozen=True, slots=True)
class Walk:
    """Files `levels` below a folder: POSIX paths relative to it, in a fixed order.

    `unseen`: files and folders, "" for the folder itself, that are there and were not looked at;
    `problems` says why. `exists`: whether there is such a folder.
    """

    files: tuple[str, ...]
    unseen: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    exists: bool = True


def walk(root: Path, folder: str, suffixes: Iterable[str], *, levels: int = 1, follow_links: bool = False) -> Walk:
    """Files whose names end with one of `suffixes` (in any case), exactly `levels` below `root / folder`.

    Names that start with a dot are passed over. What is refused becomes a problem, its path relative
    to `root`: a link that leads out of `root` (unless `follow_links`) or nowhere, what is neither file
    nor folder (never opened), a folder that may not be listed, a name that is not UTF-8.
    Since `levels` bounds the depth, a loop of links ends by itself.
    """
    home, top = root.resolve(), root / folder
    endings = tuple(s.lower() for s in suffixes)
    files: list[str] = []
    unseen: set[str] = set()
    problems: list[Problem] = []

    def refuse(below: str, kind: str, what: str, fix: str) -> None:
        unseen.add(below)
        problems.append(Problem(kind, f"{folder}/{below}" if below else folder, what, fix))

    def visit(below: str, level: int) -> None:
        try:
            entries = _entries(top / below)
        except OSError as e:
            refuse(below, *_refusal(e))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if level == levels and not entry.name.lower().endswith(endings):
                continue
            name = f"{below}/{entry.name}" if below else entry.name
            if not _is_text(name):
                refuse(name, "unsafe-path", "its name is not UTF-8 text", "rename it")
            elif entry.is_symlink() and (fault := _link_fault(Path(entry.path), home, follow_links)):
                refuse(name, *fault)
            elif entry.is_dir():
                if level < levels:
                    visit(name, level + 1)
            elif not entry.is_file():
                refuse(name, "unsafe-path", "is neither a file nor a folder", "remove it")
            elif level == levels:
                files.append(name)

    try:
        if not stat.S_ISDIR(top.stat().st_mode):
            return Walk((), exists=False)
    except (FileNotFoundError, NotADirectoryError):
        return Walk((), exists=False)
    except OSError as e:
        refuse("", *_refusal(e))
    else:
        if fault := _link_fault(top, home, follow_links):
            refuse("", *fault)
        else:
            visit("", 1)
    return Walk(tuple(files), frozenset(unseen), tuple(sorted(problems, key=lambda p: p.path)))


def _refusal(e: OSError) -> tuple[str, str, str]:
    kind = "no-permission" if isinstance(e, PermissionError) else "io"
    return kind, f"cannot be listed: {e.strerror}", "check its permissions and the disk"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda e: e.name)


def _link_fault(path: Path, home: Path, follow_links: bool) -> tuple[str, str, str] | None:
    """Why `path`, which goes through links, is not to be followed: (kind, what, fix)."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as e:  # RuntimeError: a link to itself, before Python 3.13
        reason = e.strerror if isinstance(e, OSError) else "it leads in a circle"
        return "not-found", f"is a link that leads nowhere: {reason}", "restore what it stands for, or remove it"
    if not (follow_links or target.is_relative_to(home)):
        return "unsafe-path", f"is a link to {target}, out of the root", "allow that with --follow-links, or copy it"
    return None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # os.fsdecode keeps undecodable bytes as lone surrogates
        return False
    return True


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, links to folders included, sorted; none if it cannot be listed."""
    try:
        return [e.name for e in _entries(folder) if not e.name.startswith(".") and e.is_dir() and _is_text(e.name)]
    except OSError:
        return []


def first_file(folder: Path, levels: int) -> str:
    """Name of one file exactly `levels` below `folder`, to tell a layout by, or ""."""
    if levels > 1:
        return next(filter(None, (first_file(folder / name, levels - 1) for name in subfolders(folder))), "")
    try:
        return next((e.name for e in _entries(folder) if not e.name.startswith(".") and e.is_file()), "")
    except OSError:
        return ""


def read_start(path: Path, max_bytes: int) -> bytes:
    """The first `max_bytes` of a regular file; a pipe or device is never waited for.

    Raises `OSError`, or `UnifyError` (unsafe-path) if it is no regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise error("unsafe-path", path, "is not a regular file", "remove it")
        return file.read(max_bytes)


def read_small(path: Path, max_bytes: int) -> bytes:
    """All of a regular file. Raises as `read_start`, and `UnifyError` (bad-config) if it is larger."""
    data = read_start(path, max_bytes + 1)
    if len(data) > max_bytes:
        raise error("bad-config", path, f"is larger than {max_bytes:,} bytes", "is this the right file?")
    return data
