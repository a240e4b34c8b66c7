"""WildDash 2 (Zendel et al., CVPR 2022), 1920x1080, in its two public forms, which have different ids.

`public_02` (beta): images/{name}.jpg and labels/{name}.png, 8-bit ids 0..38, below a folder wd_public_02 or
not. `v2p0`: images/{name}.jpg, panoptic/{name}.png (RGB, segment id = R + 256 G + 65536 B) and
panoptic.json, which gives each segment one of 81 category ids; it ships no label images.
`unify.sources.panoptic.paint` makes them once, in semantic/{name}.png below the root, and they are what is read.

Things are told apart in panoptic/ and panoptic.json of both forms. The same tool paints them once, too, in
instance/{name}.png: 16 bits, category id * 800 + number.

There are no official train and val parts: all public pictures are "train" here. The space to train on has
the 26 classes of the benchmark.

Traps: instances/ and panoptic/ lie beside labels/, and how the former are numbered is not known here, so that
they are not read; rider and otherrider share a colour in v2p0; WildDash 1 (wd_val_01, *_labelIds.png) is a
third form, not read.
Layout: the toolkit (ozendelait/wilddash_scripts) and public loaders; not checked against data, nor is that
each form has the 4,256 pictures that are reported of the public part.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, InstanceFiles, Listing, Release, Source
from unify.sources.pairs import Side, pair_folders

DIVISOR = 800  #: of the instance values painted here: 81 categories * 800 are 64,800, which fits 16 bits
_HOMES = (".", "wd_public_v2p0", "wd_public_02")
_LABELS = {"v2p0": "semantic", "public_02": "labels"}


def list_pairs(root: Path, split: str, follow_links: bool, *, labels: str) -> Listing:
    return pair_folders(root, Side("images", (".jpg",)), Side(labels, (".png",)), follow_links=follow_links)


def detect(root: Path) -> Detection | None:
    """A folder with images/ and panoptic.json, also in wd_public_v2p0/ or wd_public_02/."""
    for home in (root / name for name in _HOMES):
        if not (home / "images").is_dir() or not (home / "panoptic.json").is_file():
            continue
        offers = tuple(release for release, labels in _LABELS.items() if (home / labels).is_dir())
        missing = () if offers else ("labels/ (public_02), or semantic/ (v2p0: `unify prepare wilddash` makes it)",)
        return Detection("wilddash", offers[0] if offers else "v2p0", home, missing, offers)
    return None


def _release(name: str, space: str, label_file: str) -> Release:
    return Release(
        name=name,
        space=space,
        train_space="wilddash26",
        splits={"train": 4256},
        label="gray",
        label_file=label_file,
        list_pairs=partial(list_pairs, labels=_LABELS[name]),
        withheld={"test": "WildDash keeps its benchmark labels to itself"},
        instances=InstanceFiles(
            DIVISOR, (f"{_LABELS[name]}/", "instance/"), first=1, made_by="unify prepare wilddash ROOT"
        ),
    )


WILDDASH = Source(
    name="wilddash",
    letter="W",
    title="WildDash 2",
    homepage="https://wilddash.cc",
    license=LICENCES["wilddash"].name,
    citation=("O. Zendel et al., Unifying Panoptic Segmentation for Autonomous Driving, CVPR 2022."),
    layout="images/, panoptic.json and labels/ (public_02) or panoptic/ (v2p0)",
    version=1,
    releases={
        "v2p0": _release("v2p0", "wilddash-v2p0", "semantic/*.png (not panoptic, not instances)"),
        "public_02": _release("public_02", "wilddash-public-02", "labels/*.png (not panoptic, not instances)"),
    },
    detect=detect,
)
