"""Cityscapes, fine annotations (Cordts et al., CVPR 2016).

leftImg8bit/{split}/{city}/{city}_{seq}_{frame}_leftImg8bit.png and
gtFine/{split}/{city}/{city}_{seq}_{frame}_gtFine_labelIds.png, 2048x1024, pixel = label id.

Traps: `*_labelTrainIds.png` are not shipped, users make them, and they look alike; IDD has the same
folders with other names in them; the license plate's id is -1, which an 8-bit pixel shows as 255.
Layout and counts: cityscapesScripts, README.md and helpers/labels.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from unify.sources.base import Detection, Listing, Release, Source
from unify.sources.files import first_file
from unify.sources.pairs import Side, pair_folders

_NAME = re.compile(r"[^_]+_\d{6}_\d{6}_(leftImg8bit|gtFine|gtCoarse)")
_TRAIN_IDS = "only a labelTrainIds file, which has too few ids to map from: unpack gtFine_trainvaltest.zip again"


def list_pairs(root: Path, split: str, follow_links: bool) -> Listing:
    return pair_folders(
        root,
        Side(f"leftImg8bit/{split}", ("_leftImg8bit.png",), levels=2),
        Side(f"gtFine/{split}", ("_gtFine_labelIds.png",), levels=2),
        lookalikes={"_gtFine_labelTrainIds.png": _TRAIN_IDS},
        follow_links=follow_links,
    )


def detect(root: Path) -> Detection | None:
    """A folder with leftImg8bit/ or gtFine/ in it, its files named as Cityscapes names them."""
    there = [folder for folder in ("leftImg8bit", "gtFine") if (root / folder).is_dir()]
    names = [name for folder in there if (name := first_file(root / folder, levels=3))]
    if not there or not all(is_cityscapes(name) for name in names):
        return None
    missing = [f"{folder}/" for folder in ("leftImg8bit", "gtFine") if folder not in there]
    if not names:
        missing.append("images in leftImg8bit/{split}/{city}/")
    return Detection("cityscapes", "fine", root, tuple(missing), offers=("fine",))


def is_cityscapes(file_name: str) -> bool:
    """Whether a file is named {city}_{seq}_{frame}_{kind}, which tells Cityscapes from IDD."""
    return _NAME.match(file_name) is not None


CITYSCAPES = Source(
    name="cityscapes",
    letter="C",
    title="Cityscapes",
    homepage="https://www.cityscapes-dataset.com",
    license="Cityscapes terms of use: research and other non-commercial use, no redistribution",
    citation=("M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016."),
    layout="leftImg8bit/ and gtFine/, with {split}/{city}/ in each",
    version=1,
    releases={
        "fine": Release(
            name="fine",
            space="cityscapes",
            train_space="cityscapes19",
            splits={"train": 2975, "val": 500},
            label="gray",
            label_file="*_gtFine_labelIds.png",
            list_pairs=list_pairs,
            withheld={"test": "the test labels that Cityscapes ships are dummies"},
        )
    },
    detect=detect,
)
