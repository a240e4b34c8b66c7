"""Splits that a text file lists, a sample a line, of folders that hold more than the split."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from unify.errors import Problem, UnifyError
from unify.sources.base import Listing
from unify.sources.files import read_small
from unify.sources.pairs import Side, pair_folders

_MAX_LIST_BYTES = 1 << 20


def read_names(root: Path, path: str) -> tuple[tuple[str, ...], Problem | None]:
    """The names in a list, each once, in its order; or why it cannot be read.

    A line's first word counts, without folders and suffix: the lines "2007_000032" and
    "/JPEGImages/2007_000032.jpg /SegmentationClass/2007_000032.png" name the same sample.
    """
    try:
        text = read_small(root / path, _MAX_LIST_BYTES).decode()
    except FileNotFoundError:
        return (), Problem("empty-split", path, "no such list", "restore it, a sample's name a line")
    except (OSError, UnicodeDecodeError) as e:
        return (), Problem("bad-config", path, f"cannot be read: {e}", "write one sample's name a line")
    except UnifyError as e:
        return (), Problem(e.problems[0].kind, path, e.problems[0].what, e.problems[0].fix)
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    return tuple(dict.fromkeys(PurePosixPath(word).stem for word in words)), None


def pair_names(
    root: Path, names: Iterable[str], origin: str, images: Side, labels: Side, *, follow_links: bool = False
) -> Listing:
    """The pairs of two folders that `names` asks for. `origin`: the list that they are from, for messages.

    Problems are those of `pair_folders`, as far as they concern the names, and missing-image for a name
    of which there is no file at all.
    """
    wanted = dict.fromkeys(names)
    found = pair_folders(root, images, labels, follow_links=follow_links)
    if any(p.path in (images.folder, labels.folder) for p in found.problems):  # a whole side is not there
        return Listing((), found.problems)
    suffixes = (*images.suffixes, *labels.suffixes)
    problems = [p for p in found.problems if not p.kind.startswith("missing-") or _name(p.path, suffixes) in wanted]
    told = {_name(p.path, suffixes) for p in problems}
    pairs = {pair.sample_id: pair for pair in found.pairs}
    for name in wanted:
        if name not in pairs and name not in told:
            what = f"lists '{name}', but there is no {images.folder}/{name}{images.suffixes[0]}"
            problems.append(Problem("missing-image", origin, what, "unpack all images, or remove the line"))
    return Listing(tuple(pairs[name] for name in sorted(wanted) if name in pairs), tuple(problems))


def _name(path: str, suffixes: Iterable[str]) -> str:
    """A file's name without folders and without the first of `suffixes` that it ends with."""
    name = PurePosixPath(path).name
    return next((name[: -len(s)] for s in suffixes if name.lower().endswith(s.lower())), name)
