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
class InstanceFiles:
    """How a release tells things of one class apart: (H, W) 16-bit values, raw id * `divisor` + number.

    `beside`: a part of every label's path, and what stands there in the path of its instance image. None: the
    label's polygons are drawn, each of a class in `numbered_as` with the next number; classes with the same
    entry are numbered together.
    `plain`: values below `divisor` are raw ids, of what is not told apart.
    `first`: the lowest number; lower ones are of what is not told apart.
    `things`: raw ids that are told apart at all; None for those of any value that the above leaves.
    `joined`: the files hold numbers alone, 8 bits, and the labels say of which class; `divisor` is ours.
    `made_by`: the command that writes the files, where the dataset ships them in another form.
    """

    divisor: int
    beside: tuple[str, str] | None = None
    numbered_as: Mapping[str, int] = field(default_factory=dict)
    plain: bool = False
    first: int = 0
    things: frozenset[int] | None = None
    joined: bool = False
    made_by: str = ""

    def path(self, label: str) -> str:
        """Path of the instance image that belongs to a label; "" if it is drawn from the label itself."""
        if self.beside is None:
            return ""
        old, new = self.beside
        at = label.casefold().rfind(old.casefold())
        assert at >= 0, f"labels of this release have '{old}' in their paths"
        return label[:at] + new + label[at + len(old) :]


@dataclass(frozen=True, slots=True)
class Release:
    """One published form of a dataset.

    `splits`: official number of pairs per split. `withheld`: split → why it cannot be built.
    `label_file`: which files are its labels, for messages.
    `list_pairs`: (root, split, follow_links) → listing. It crosses processes, so it has to be picklable.
    `instances`: how it tells things of one class apart; None if it does not.
    `list_folder`: where the lists lie that say what belongs to a split; "" for no lists, or in the root itself.
    """

    name: str
    space: str
    train_space: str
    splits: Mapping[str, int]
    label: LabelFormat
    label_file: str
    list_pairs: Callable[[Path, str, bool], Listing]
    withheld: Mapping[str, str] = field(default_factory=dict)
    instances: InstanceFiles | None = None
    list_folder: str = ""

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
