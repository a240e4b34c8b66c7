"""Images and labels that belong together, by name and never by position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from unify.errors import Problem
from unify.sources.base import Listing, Pair
from unify.sources.files import walk

_LEAVE_OUT = "or build with --keep-going to leave it out"


@dataclass(frozen=True, slots=True)
class Side:
    """Where one half of the pairs lies: files `levels` below `folder` whose names end with a suffix.

    Their path below `folder` without the suffix is the key that they are paired by. Letter case of
    suffix and key do not matter. Of several suffixes, the first is the one that messages propose.
    """

    folder: str
    suffixes: tuple[str, ...]
    levels: int = 1


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    suffix: str
    path: str


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of one side by folded key; `unseen` as in `Walk`, with suffixes taken off."""

    files: dict[str, list[_File]]
    lookalikes: dict[str, str]
    unseen: frozenset[str]
    problems: tuple[Problem, ...]
    exists: bool

    def may_hold(self, key: str) -> bool:
        """Whether the file of that key may lie where we could not look."""
        return not self.unseen.isdisjoint(("", key, *map(str, PurePosixPath(key).parents)))


def last_part(key: str, suffix: str) -> str:
    """The sample id where file names alone are unique: the key without its folders."""
    return key.rpartition("/")[2]


def pair_folders(
    root: Path,
    images: Side,
    labels: Side,
    *,
    sample_id: Callable[[str, str], str] = last_part,
    lookalikes: Mapping[str, str] | None = None,
    follow_links: bool = False,
) -> Listing:
    """All pairs of two folders, sorted by sample id, and what does not pair up.

    sample_id: (key, suffix) of an image → its id. lookalikes: suffix of files that lie among the labels
    and are none → what to tell someone who has only these.

    Problems, one a file, or one a folder where a whole side is not there: missing-label,
    missing-image, duplicate-sample (a key or id more than once, also if only the case differs),
    empty-split, and those of `walk`. Files whose partner may lie where we could not look, because of
    an unsafe link or missing permission, are not reported a second time.
    """
    image_side = _look(root, images, {}, follow_links)
    label_side = _look(root, labels, lookalikes or {}, follow_links)
    problems = [*image_side.problems, *label_side.problems]
    if not image_side.files and not label_side.files and not problems:
        what = f"no images (*{images.suffixes[0]})" if image_side.exists else "no such folder"
        return Listing((), (Problem("empty-split", images.folder, what, "unpack the split there, or leave it out"),))
    every = [*image_side.files.values(), *label_side.files.values()]
    problems += [_duplicate(files[0].key, [f.path for f in files]) for files in every if len(files) > 1]
    problems += _missing("label", image_side, label_side, images, labels)
    problems += _missing("image", label_side, image_side, labels, images)
    pairs = [
        Pair(sample_id(found[0].key, found[0].suffix), found[0].path, label_side.files[key][0].path)
        for key, found in image_side.files.items()
        if len(found) == 1 and len(label_side.files.get(key, ())) == 1
    ]
    return join([Listing(tuple(pairs), tuple(problems))])


def join(listings: Iterable[Listing]) -> Listing:
    """Several listings of one split as one: sorted, and no sample id twice."""
    listings = list(listings)
    by_id: dict[str, list[Pair]] = {}
    for pair in (pair for listing in listings for pair in listing.pairs):
        by_id.setdefault(pair.sample_id.casefold(), []).append(pair)
    problems = [p for listing in listings for p in listing.problems]
    problems += [_duplicate(same[0].sample_id, [p.image for p in same]) for same in by_id.values() if len(same) > 1]
    pairs = [same[0] for same in by_id.values() if len(same) == 1]
    return Listing(tuple(sorted(pairs, key=lambda p: p.sample_id)), tuple(problems))


def _look(root: Path, side: Side, lookalikes: Mapping[str, str], follow_links: bool) -> _Found:
    walked = walk(root, side.folder, (*side.suffixes, *lookalikes), levels=side.levels, follow_links=follow_links)
    files: dict[str, list[_File]] = {}
    similar: dict[str, str] = {}
    for name in walked.files:
        key, suffix = _split(name, side.suffixes)
        if suffix:
            files.setdefault(key.casefold(), []).append(_File(key, suffix, f"{side.folder}/{name}"))
        else:
            key, suffix = _split(name, lookalikes)
            similar[key.casefold()] = lookalikes[suffix]
    unseen = frozenset(_split(name, side.suffixes)[0].casefold() for name in walked.unseen)
    return _Found(files, similar, unseen, walked.problems, walked.exists)


def _split(name: str, suffixes: Iterable[str]) -> tuple[str, str]:
    """`name` as (key, suffix); the suffix is "" if it is none of `suffixes`."""
    lower = name.lower()
    for suffix in suffixes:
        if lower.endswith(suffix.lower()):
            return name[: -len(suffix)], suffix
    return name, ""


def _missing(what: Literal["image", "label"], here: _Found, there: _Found, mine: Side, other: Side) -> list[Problem]:
    """The files of `here` that have no partner `there`."""
    kind = f"missing-{what}"
    if here.files and not there.exists:
        text = f"no such folder, but {mine.folder} holds {len(here.files):,} files"
        return [Problem(kind, other.folder, text, "unpack it there, or leave the split out")]
    problems = []
    for folded, files in here.files.items():
        if folded in there.files or there.may_hold(folded):
            continue
        file = files[0]
        text = f"has no {what}: there is no {other.folder}/{file.key}{other.suffixes[0]}"
        if hint := there.lookalikes.get(folded):
            text += f", {hint}"
        problems.append(Problem(kind, file.path, text, f"add the {what}, {_LEAVE_OUT}"))
    return problems


def _duplicate(key: str, paths: list[str]) -> Problem:
    what = f"the sample '{key}' is there {len(paths)} times: {', '.join(paths)}"
    return Problem("duplicate-sample", paths[0], what, "keep one of them; letter case makes no difference")
