"""The nouns of the raw side: a source, its releases, what a folder is, and what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unify.errors import Problem, error

#: How a label file holds its ids: gray PNG, PNG with a palette whose indices count (gray will do, too),
#: JSON with polygons, RGB PNG with a colour a class.
LabelFormat = Literal["gray", "palette", "polygons", "colors"]

#: `unify sample` leaves this file in the folder that holds the roots it writes.
GENERATED_MARK = "truth.json"


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its label: POSIX paths relative to the root. `sample_id` is unique in the source."""

    sample_id: str
    image: str
    label: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A split: its pairs, sorted by `sample_id`, and everything that does not pair up."""

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """One published form of a dataset.

    `splits`: official number of pairs per split. `withheld`: split → why it cannot be built.
    `label_file`: which files are its labels, for messages.
    `list_pairs`: (root, split, follow_links) → listing. It crosses processes, so it has to be picklable.
    """

    name: str
    space: str
    train_space: str
    splits: Mapping[str, int]
    label: LabelFormat
    label_file: str
    list_pairs: Callable[[Path, str, bool], Listing]
    withheld: Mapping[str, str] = field(default_factory=dict)

    def find(self, root: Path, split: str, *, follow_links: bool = False) -> Listing:
        """The pairs of `split` below `root`, and what is wrong with them. Opens no image.

        Symbolic links may lead anywhere below `root`, and out of it only with `follow_links`.
        Raises `UnifyError` (usage) if there is no such split.
        """
        if split in self.splits:
            return self.list_pairs(root, split, follow_links)
        if split in self.withheld:
            fix = f"take {', '.join(self.splits)}"
            return Listing((), (Problem("empty-split", "", f"no '{split}' to build: {self.withheld[split]}", fix),))
        raise error("usage", "", f"no split '{split}'", f"known: {', '.join([*self.splits, *self.withheld])}")


@dataclass(frozen=True, slots=True)
class Detection:
    """What a folder is: a source, one of its releases, and where exactly its root lies.

    `missing`: what a root of this kind should hold and this one does not; empty if it can be used.
    `offers`: all releases that can be read from it; `release` is the default among them.
    `generated`: written by `unify sample`, not the real dataset.
    """

    source: str
    release: str
    root: Path
    missing: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset that `unify` can read.

    `version` is raised when the same files come to mean other ids. `layout` says in a few words what
    its root holds. `license` and `citation` are what has to be passed on with anything made from it.
    """

    name: str
    letter: str
    title: str
    homepage: str
    license: str
    citation: str
    layout: str
    version: int
    releases: Mapping[str, Release]
    detect: Callable[[Path], Detection | None]
