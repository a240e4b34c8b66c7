"""A user's own dataset, described by a table of unify.toml instead of an adapter.

    [datasets.mine]
    letter = "Y"
    root = "/data/mine"
    space = "mine"
    train_space = "cityscapes19"
    images = "photos/{split}/*.jpg"
    labels = "masks/{split}/*_mask.png"
    encoding = "gray"
    splits = { train = "training", val = "validation" }

An image and a label belong together where `*` stands for the same. `*/` before the last part goes one
folder deeper. `splits` gives each split the folder name that stands for {split}. The label space and the
mapping to the space to train on are YAML files in a folder of the user's (`--mappings`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unify.errors import Problem, UnifyError
from unify.sources.base import Detection, LabelFormat, Listing, Release, Source
from unify.sources.pairs import Side, pair_folders

RELEASE = "custom"  #: the one release that a dataset of this kind has
_FIX = "docs/own_dataset.md shows a whole table"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_LETTER = re.compile(r"[A-Za-z]")
_GLOB = re.compile(r"(?P<folder>(?:[^*/]+/)+)(?P<deeper>(?:\*/)*)\*(?P<suffix>[^*/]+)")
_SPLIT = "{split}"
#: Colours and polygons are decoded by label spaces of our own only.
_ENCODINGS: dict[str, LabelFormat] = {"gray": "gray", "palette": "palette"}
_TEXTS = ("letter", "space", "train_space", "images", "labels", "encoding")
_OPTIONAL = {"root": "", "title": "", "homepage": "", "license": "not stated", "citation": "not stated."}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Both sides, {split} still in their folders, and the folder name of each split."""

    images: Side
    labels: Side
    splits: Mapping[str, str]

    def sides(self, split: str) -> tuple[Side, Side]:
        folder = self.splits[split]
        images, labels = (
            Side(s.folder.replace(_SPLIT, folder), s.suffixes, s.levels) for s in (self.images, self.labels)
        )
        return images, labels


def custom_sources(tables: object, origin: str, known: Mapping[str, Source]) -> dict[str, Source]:
    """Name → source, of the tables below `[datasets]` in the file `origin`.

    known: sources whose names and letters are taken. Raises `UnifyError` (bad-config) with all faults.
    """
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UnifyError(Problem("bad-config", origin, "[datasets] holds something else than tables", _FIX))
    found: dict[str, Source] = {}
    problems: list[Problem] = []
    for name, table in tables.items():
        faults = _faults(name, table, {**known, **found})
        problems += [Problem("bad-config", origin, f"[datasets.{name}]: {what}", _FIX) for what in faults]
        if not faults:
            found[name] = _source(name, table)
    if problems:
        raise UnifyError(*problems)
    return found


def _faults(name: str, table: Mapping[str, object], known: Mapping[str, Source]) -> list[str]:
    """Everything wrong with a table."""
    faults = []
    if not _NAME.fullmatch(name) or name in known:
        faults.append(f"the name '{name}' is taken" if name in known else "a name has a-z, 0-9, - and _ only")
    if unknown := [key for key in table if key not in (*_TEXTS, *_OPTIONAL, "splits")]:
        faults.append(f"unknown keys: {', '.join(unknown)}")
    if missing := [key for key in (*_TEXTS, "splits") if key not in table]:
        faults.append(f"lacks {', '.join(missing)}")
    faults += [f"{k} has to be a text" for k in (*_TEXTS, *_OPTIONAL) if not isinstance(table.get(k, ""), str)]
    if faults:
        return faults
    letter, encoding, splits = str(table["letter"]), table["encoding"], table["splits"]
    if not _LETTER.fullmatch(letter):
        faults.append(f"letter has to be one of A to Z, not '{letter}'")
    if taken := [s.name for s in known.values() if s.letter.casefold() == letter.casefold()]:
        faults.append(f"the letter {letter} is that of {taken[0]}")
    if encoding not in _ENCODINGS:
        faults.append(f"encoding has to be {' or '.join(_ENCODINGS)}, not '{encoding}'")
    if not isinstance(splits, dict) or not splits or not all(isinstance(f, str) and f for f in splits.values()):
        faults.append('splits has to give folders, such as { train = "train", val = "val" }')
    for key in ("images", "labels"):
        text = str(table[key])
        if not _GLOB.fullmatch(text) or ".." in text.split("/"):
            faults.append(f"{key} has to look like FOLDER/{{split}}/*SUFFIX, below the root, not '{text}'")
    if table["images"] == table["labels"]:
        faults.append("images and labels are the same files")
    if isinstance(splits, dict) and len(splits) > 1 and not all(_SPLIT in str(table[k]) for k in ("images", "labels")):
        faults.append("several splits need {split} in images and in labels")
    return faults


def _source(name: str, table: Mapping[str, object]) -> Source:
    text = {**_OPTIONAL, **{key: str(value) for key, value in table.items() if key != "splits"}}
    splits = table["splits"]
    assert isinstance(splits, dict), "the table has been checked"
    layout = _Layout(_side(text["images"]), _side(text["labels"]), dict(splits))
    release = Release(
        name=RELEASE,
        space=text["space"],
        train_space=text["train_space"],
        splits=dict.fromkeys(splits, 0),
        label=_ENCODINGS[text["encoding"]],
        label_file=text["labels"],
        list_pairs=partial(list_pairs, layout=layout),
    )
    return Source(
        name=name,
        letter=text["letter"].upper(),
        title=text["title"] or name,
        homepage=text["homepage"],
        license=text["license"],
        citation=text["citation"],
        layout=f"{text['images']} and {text['labels']}",
        version=1,
        releases={RELEASE: release},
        detect=partial(detect, name=name, layout=layout),
    )


def _side(glob: str) -> Side:
    parts = _GLOB.fullmatch(glob)
    assert parts, "the table has been checked"
    return Side(parts["folder"].rstrip("/"), (parts["suffix"],), 1 + parts["deeper"].count("/"))


def list_pairs(root: Path, split: str, follow_links: bool, *, layout: _Layout) -> Listing:
    return pair_folders(root, *layout.sides(split), sample_id=_whole_key, follow_links=follow_links)


def _whole_key(key: str, suffix: str) -> str:
    """Names may repeat from folder to folder, so that an id keeps the folders."""
    return key


def detect(root: Path, *, name: str, layout: _Layout) -> Detection | None:
    """A folder in which both sides of some split are there."""
    if any(all((root / side.folder).is_dir() for side in layout.sides(split)) for split in layout.splits):
        return Detection(name, RELEASE, root, offers=(RELEASE,))
    return None
