"""What can go wrong, in one line each: kind, where, what, what to do.

Every fault a user can cause or must act on is a `Problem`. Library code collects problems and
raises them together in one `UnifyError`; the command line prints a line per kind and exits with
the code of the gravest. Anything else that escapes is a bug of ours and shows a traceback.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

#: Exit codes, stable and documented: what a script can rely on.
OK, BUG, USAGE, REJECTS = 0, 1, 2, 3
BAD_INPUT, WRONG_ROOT, GAVE_UP, CANNOT_CREATE = 65, 66, 70, 73
IO_FAILED, BUSY, NOT_VERIFIED, UNSAFE, BAD_CONFIG = 74, 75, 76, 77, 78

#: kind of problem -> exit code. The kind is the second word of every message.
KINDS: dict[str, int] = {
    "usage": USAGE,
    "unknown-dataset": USAGE,
    # raw data
    "missing-label": BAD_INPUT,
    "missing-image": BAD_INPUT,
    "duplicate-sample": BAD_INPUT,
    "empty-split": BAD_INPUT,
    "bad-image": BAD_INPUT,
    "bad-label": BAD_INPUT,
    "bad-polygons": BAD_INPUT,
    "image-too-large": BAD_INPUT,
    "exif-orientation": BAD_INPUT,
    "size-mismatch": BAD_INPUT,
    "unknown-id": BAD_INPUT,
    "changed-while-reading": BAD_INPUT,
    "bad-artifact": BAD_INPUT,
    # roots
    "no-root": WRONG_ROOT,
    "wrong-root": WRONG_ROOT,
    "not-found": WRONG_ROOT,
    # running
    "worker-died": GAVE_UP,
    "cannot-create": CANNOT_CREATE,
    "io": IO_FAILED,
    "busy": BUSY,
    "not-verified": NOT_VERIFIED,
    "unsafe-path": UNSAFE,
    "no-permission": UNSAFE,
    # mappings and settings
    "bad-space": BAD_CONFIG,
    "bad-mapping": BAD_CONFIG,
    "bad-config": BAD_CONFIG,
    "newer-format": BAD_CONFIG,
}

#: When kinds with several exit codes are raised together, the first of these wins.
_GRAVITY = (
    IO_FAILED,
    GAVE_UP,
    CANNOT_CREATE,
    BUSY,
    BAD_CONFIG,
    USAGE,
    UNSAFE,
    WRONG_ROOT,
    NOT_VERIFIED,
    BAD_INPUT,
)


def shown(text: object) -> str:
    """`text` on one line and safe for a terminal: control and undecodable characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: `kind` (a key of `KINDS`), the path it concerns, what is wrong, what to do."""

    kind: str
    path: str
    what: str
    fix: str = ""

    @property
    def exit_code(self) -> int:
        return KINDS[self.kind]

    def __str__(self) -> str:
        where = f"{shown(self.path)}: " if self.path else ""
        fix = f" — {shown(self.fix)}" if self.fix else ""
        return f"{self.kind}: {where}{shown(self.what)}{fix}"


class UnifyError(Exception):
    """One or more problems that the user has to know of. Picklable, so it crosses processes."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "a UnifyError needs at least one Problem"
        super().__init__(*problems)
        self.problems: tuple[Problem, ...] = problems

    @property
    def exit_code(self) -> int:
        codes = {p.exit_code for p in self.problems}
        return next(code for code in _GRAVITY if code in codes)

    def __str__(self) -> str:
        return "\n".join(summary(self.problems))


def error(kind: str, path: object, what: str, fix: str = "") -> UnifyError:
    """A `UnifyError` of a single problem."""
    return UnifyError(Problem(kind, str(path), what, fix))


#: Faults of raw data come by the thousand, and rejects.jsonl lists them all.
_COUNTED = (BAD_INPUT, UNSAFE)


def summary(problems: Iterable[Problem]) -> list[str]:
    """Lines for the terminal. Of the faults of raw data one a kind, with a count; of all others each."""
    problems = list(problems)
    count = Counter(p.kind for p in problems)
    lines, told = [], set()
    for problem in dict.fromkeys(problems):
        counted = problem.exit_code in _COUNTED
        if counted and problem.kind in told:
            continue
        told.add(problem.kind)
        more = f" (and {count[problem.kind] - 1} more)" if counted and count[problem.kind] > 1 else ""
        lines.append(f"unify: {problem}{more}")
    return lines
