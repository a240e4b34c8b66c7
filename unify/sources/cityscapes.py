"""Cityscapes (Cordts et al., CVPR 2016).

leftImg8bit/{split}/{city}/{city}_{seq}_{frame}_leftImg8bit.png and
gtFine/{split}/{city}/{city}_{seq}_{frame}_gtFine_labelIds.png, 2048x1024, pixel = label id; beside them
*_gtFine_instanceIds.png, 16 bits, label id * 1000 + number, or the plain label id of stuff and of groups.
Release `coarse` has gtCoarse and *_gtCoarse_* instead, for the same train and val and for 19,998 frames more,
train_extra.

Traps: `*_labelTrainIds.png` are not shipped, users make them, and they look alike; IDD has the same
folders with other names in them; the license plate's id is -1, which an 8-bit pixel shows as 255. Coarse
labels are mostly unlabeled: many crops have no pixel to train on. One frame of train_extra is damaged in the
copies that circulate and is left out of all of them, so that 19,997 remain, whichever copy it is.
Layout and counts: cityscapesScripts, README.md and helpers/labels.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, InstanceFiles, Listing, Release, Source
from unify.sources.files import first_file
from unify.sources.pairs import Side, pair_folders

_NAME = re.compile(r"[^_]+_\d{6}_\d{6}_(leftImg8bit|gtFine|gtCoarse)")
#: One-valued or damaged in circulating copies; many loaders skip it.
_DAMAGED = "troisdorf_000000_000073"
_KINDS = {"fine": "gtFine", "coarse": "gtCoarse"}
_ZIPS = {"fine": "gtFine_trainvaltest.zip", "coarse": "gtCoarse.zip"}
_TRAIN_IDS = "only a labelTrainIds file, which has too few ids to map from: unpack {} again"


def list_pairs(root: Path, split: str, follow_links: bool, *, release: str) -> Listing:
    kind = _KINDS[release]
    listing = pair_folders(
        root,
        Side(f"leftImg8bit/{split}", ("_leftImg8bit.png",), levels=2),
        Side(f"{kind}/{split}", (f"_{kind}_labelIds.png",), levels=2),
        lookalikes={f"_{kind}_labelTrainIds.png": _TRAIN_IDS.format(_ZIPS[release])},
        follow_links=follow_links,
    )
    return Listing(
        tuple(pair for pair in listing.pairs if pair.sample_id != _DAMAGED),
        tuple(p for p in listing.problems if _DAMAGED not in p.path),
    )


def detect(root: Path) -> Detection | None:
    """A folder with leftImg8bit/, gtFine/ or gtCoarse/ in it, its files named as Cityscapes names them."""
    there = [folder for folder in ("leftImg8bit", *_KINDS.values()) if (root / folder).is_dir()]
    names = {folder: name for folder in there if (name := first_file(root / folder, levels=3))}
    if not there or not all(is_cityscapes(name) for name in names.values()):
        return None
    offers = tuple(release for release, kind in _KINDS.items() if kind in names) or ("fine",)
    missing = [f"{folder}/" for folder in ("leftImg8bit", _KINDS[offers[0]]) if folder not in there]
    if not names:
        missing.append("images in leftImg8bit/{split}/{city}/")
    return Detection("cityscapes", offers[0], root, tuple(missing), offers)


def is_cityscapes(file_name: str) -> bool:
    """Whether a file is named {city}_{seq}_{frame}_{kind}, which tells Cityscapes from IDD."""
    return _NAME.match(file_name) is not None


def _release(name: str, splits: Mapping[str, int], no_test: str) -> Release:
    return Release(
        name=name,
        space="cityscapes",
        train_space="cityscapes19",
        splits=splits,
        label="gray",
        label_file=f"*_{_KINDS[name]}_labelIds.png",
        list_pairs=partial(list_pairs, release=name),
        withheld={"test": no_test},
        instances=InstanceFiles(1000, ("_labelIds.png", "_instanceIds.png"), plain=True),
    )


CITYSCAPES = Source(
    name="cityscapes",
    letter="C",
    title="Cityscapes",
    homepage="https://www.cityscapes-dataset.com",
    license=LICENCES["cityscapes"].name,
    citation=("M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016."),
    layout="leftImg8bit/ and gtFine/, with {split}/{city}/ in each",
    version=1,
    releases={
        "fine": _release("fine", {"train": 2975, "val": 500}, "the test labels that Cityscapes ships are dummies"),
        "coarse": _release(
            "coarse", {"train": 2975, "val": 500, "train_extra": 19998}, "the test split has no coarse labels"
        ),
    },
    detect=detect,
)
