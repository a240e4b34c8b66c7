"""ACDC, the Adverse Conditions Dataset with Correspondences (Sakaridis et al., ICCV 2021), 1920x1080.

rgb_anon/{condition}/{split}/{seq}/{seq}_frame_{n:06d}_rgb_anon.png and
gt/{condition}/{split}/{seq}/{seq}_frame_{n:06d}_gt_labelIds.png; or both below the folders that the zips are
named after, rgb_anon_trainvaltest/ and gt_trainval/. A pixel is a Cityscapes label id.

A release is a condition, or "all" of them; a sample's id starts with its condition.

Traps: {split}_ref/ holds the same places in good weather, *_rgb_ref_anon.png, without labels; they are no
part of the 4,006 and are not read. *_gt_labelTrainIds.png lies beside the label ids and looks alike.
*_gt_invIds.png marks uncertain regions and is not read. A cardiac MRI dataset has the same name.
Layout: as in several public loaders. Totals: the paper. Counts per condition: unverified, but they add up.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, Listing, Release, Source
from unify.sources.pairs import Side, join, pair_folders

_VAL_COUNTS = {"fog": 100, "night": 106, "rain": 100, "snow": 100}
_TRAIN_COUNT = 400
_IMAGE_FOLDERS = ("rgb_anon", "rgb_anon_trainvaltest/rgb_anon")
_LABEL_FOLDERS = ("gt", "gt_trainval/gt")
_TRAIN_IDS = "only a labelTrainIds file, which has too few ids to map from: unpack gt_trainval.zip again"


def list_pairs(root: Path, split: str, follow_links: bool, *, conditions: tuple[str, ...]) -> Listing:
    images, labels = _folder(root, _IMAGE_FOLDERS), _folder(root, _LABEL_FOLDERS)
    return join(
        pair_folders(
            root,
            Side(f"{images}/{condition}/{split}", ("_rgb_anon.png",), levels=2),
            Side(f"{labels}/{condition}/{split}", ("_gt_labelIds.png",), levels=2),
            sample_id=partial(_sample_id, condition),
            lookalikes={"_gt_labelTrainIds.png": _TRAIN_IDS},
            follow_links=follow_links,
        )
        for condition in conditions
    )


def _sample_id(condition: str, key: str, suffix: str) -> str:
    return f"{condition}/{key.rpartition('/')[2]}"


def _folder(root: Path, candidates: tuple[str, ...]) -> str:
    """The first folder that is there, or the first at all."""
    return next((folder for folder in candidates if (root / folder).is_dir()), candidates[0])


def detect(root: Path) -> Detection | None:
    """A folder with rgb_anon/ or gt/, and folders of the four conditions in it."""
    images, labels = _folder(root, _IMAGE_FOLDERS), _folder(root, _LABEL_FOLDERS)
    there = {folder: [c for c in _VAL_COUNTS if (root / folder / c).is_dir()] for folder in (images, labels)}
    some = [c for c in _VAL_COUNTS if c in there[images] or c in there[labels]]
    if not some:
        return None
    both = [c for c in some if c in there[images] and c in there[labels]]
    missing = () if both else tuple(f"{folder}/{c}/" for folder in there for c in some if c not in there[folder])
    offers = ("all", *both) if len(both) == len(_VAL_COUNTS) else tuple(both)
    return Detection("acdc", offers[0] if offers else "all", root, missing, offers)


def _release(name: str, conditions: tuple[str, ...]) -> Release:
    return Release(
        name=name,
        space="cityscapes",
        train_space="cityscapes19",
        splits={"train": _TRAIN_COUNT * len(conditions), "val": sum(_VAL_COUNTS[c] for c in conditions)},
        label="gray",
        label_file="*_gt_labelIds.png",
        list_pairs=partial(list_pairs, conditions=conditions),
        withheld={"test": "ACDC keeps its test labels to itself"},
    )


ACDC = Source(
    name="acdc",
    letter="A",
    title="ACDC",
    homepage="https://acdc.vision.ee.ethz.ch",
    license=LICENCES["acdc"].name,
    citation=(
        "C. Sakaridis, D. Dai, L. Van Gool, ACDC: The Adverse Conditions Dataset with Correspondences for Semantic "
        "Driving Scene Understanding, ICCV 2021."
    ),
    layout="rgb_anon/ and gt/, with {condition}/{split}/{sequence}/ in each",
    version=1,
    releases={"all": _release("all", tuple(_VAL_COUNTS)), **{c: _release(c, (c,)) for c in _VAL_COUNTS}},
    detect=detect,
)
