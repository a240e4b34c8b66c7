"""BDD100K, semantic segmentation of its 10K images (Yu et al., CVPR 2020), 1280x720.

Release `sem_seg`: images/10k/{split}/{name}.jpg and labels/sem_seg/masks/{split}/{name}.png; the older
release `seg`: seg/images/{split}/{name}.jpg and seg/labels/{split}/{name}_train_id.png.
Both below a folder `bdd100k`, which is the root.

Traps: masks hold Cityscapes train ids already; the panoptic bitmasks hold other ids (R of RGBA, road = 7);
several classes share a colour, so colour maps cannot be read back.
Layout and counts: the BDD100K documentation, doc/source/format.rst and download.rst.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, Listing, Release, Source
from unify.sources.pairs import Side, pair_folders

#: release → (folder of images, folder of masks, suffix of masks)
_LAYOUTS = {
    "sem_seg": ("images/10k", "labels/sem_seg/masks", ".png"),
    "seg": ("seg/images", "seg/labels", "_train_id.png"),
}
_COLORS = "only a colour map, where several classes share a colour: unpack the label masks, too"


def list_pairs(root: Path, split: str, follow_links: bool, *, release: str) -> Listing:
    images, masks, suffix = _LAYOUTS[release]
    return pair_folders(
        root,
        Side(f"{images}/{split}", (".jpg",)),
        Side(f"{masks}/{split}", (suffix,)),
        lookalikes={"_train_color.png": _COLORS} if release == "seg" else {},
        follow_links=follow_links,
    )


def detect(root: Path) -> Detection | None:
    """A folder of one of the two layouts, or one that has it in `bdd100k/`."""
    for home in (root, root / "bdd100k"):
        complete = [
            r for r, (images, masks, _) in _LAYOUTS.items() if (home / images).is_dir() and (home / masks).is_dir()
        ]
        if complete:
            return Detection("bdd100k", complete[0], home, offers=tuple(complete))
    for home in (root, root / "bdd100k"):
        for release, (images, masks, _) in _LAYOUTS.items():
            if (home / images).is_dir() or (home / masks).is_dir():
                missing = tuple(f"{folder}/" for folder in (images, masks) if not (home / folder).is_dir())
                return Detection("bdd100k", release, home, missing, offers=(release,))
    return None


def _release(name: str, label_file: str) -> Release:
    return Release(
        name=name,
        space="bdd100k",
        train_space="bdd19",
        splits={"train": 7000, "val": 1000},
        label="gray",
        label_file=label_file,
        list_pairs=partial(list_pairs, release=name),
        withheld={"test": "BDD100K keeps its test labels to itself"},
    )


BDD100K = Source(
    name="bdd100k",
    letter="B",
    title="BDD100K",
    homepage="https://www.vis.xyz/bdd100k/",
    license=LICENCES["bdd100k"].name,
    citation=("F. Yu et al., BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning, CVPR 2020."),
    layout="images/10k/ and labels/sem_seg/masks/, or seg/images/ and seg/labels/, with {split}/ in each",
    version=1,
    releases={
        "sem_seg": _release("sem_seg", "labels/sem_seg/masks/*.png (not colormaps, not panoptic bitmasks)"),
        "seg": _release("seg", "seg/labels/*_train_id.png (not color_labels)"),
    },
    detect=detect,
)
