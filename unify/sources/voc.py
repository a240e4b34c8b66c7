"""Pascal VOC 2012, semantic segmentation (Everingham et al., IJCV 2015); the longer side has 500 pixels.

VOCdevkit/VOC2012/ with JPEGImages/{name}.jpg, SegmentationClass/{name}.png, palette PNGs whose indices
count, and ImageSets/Segmentation/{train|val}.txt. The root is that folder or one of the two around it.

Beside SegmentationClass/ lies SegmentationObject/, whose indices number the objects of a picture, all classes
together, 255 on borders; the class is what the label shows there, so that the two are read as one.

Release `voc2012`: the lists as they are. Release `trainaug`: for training also the labels of SBD
(Hariharan et al., ICCV 2011), converted to PNG by a tool of the community, in SegmentationClassAug/. Its
training split is what trainaug.txt lists or, without that file, train.txt and all of SegmentationClassAug/
that val.txt does not list. A picture of train.txt keeps VOC's own label, as in mmsegmentation.

Traps: SBD's own lists overlap val.txt, so that a trainaug.txt that names one of its pictures is refused;
255 is a border around every object in VOC, and SBD has none; converted labels are often gray without a
palette. VOC 2010 has the same folders. SBD as it ships (*.mat) is not read, so that most of trainaug's
pictures come without objects, and that release does not tell things apart.
Layout: mmsegmentation, datasets/voc.py and tools/dataset_converters/voc_aug.py. The counts 1,464 and 1,449
are the devkit's, quoted from memory; 10,582 is asserted by that converter. That an object lies on one class is what
public loaders take for granted (ChainerCV); not checked against data.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from unify.errors import Problem
from unify.publish.licences import LICENCES
from unify.sources.base import Detection, InstanceFiles, Listing, Release, Source
from unify.sources.files import walk
from unify.sources.lists import pair_names, read_names
from unify.sources.pairs import Side, join

_LISTS = "ImageSets/Segmentation"
_IMAGES, _LABELS, _MORE_LABELS = "JPEGImages", "SegmentationClass", "SegmentationClassAug"
_HOMES = (".", "VOC2012", "VOCdevkit/VOC2012")
_OBJECTS = InstanceFiles(
    256, ("SegmentationClass/", "SegmentationObject/"), first=1, things=frozenset(range(1, 21)), joined=True
)
_OTHER_YEAR = re.compile(r"voc20(0\d|1[01])", re.IGNORECASE)


def list_pairs(root: Path, split: str, follow_links: bool, *, augmented: bool) -> Listing:
    names, problem = read_names(root, f"{_LISTS}/{split}.txt")
    if problem:
        return Listing((), (problem,))
    listing = _pair(root, names, f"{_LISTS}/{split}.txt", _LABELS, follow_links)
    if not augmented or split != "train":
        return listing
    more, origin, problems = _augmentation(root, follow_links)
    added = [name for name in more if name not in set(names)]
    return join([listing, _pair(root, added, origin, _MORE_LABELS, follow_links), Listing((), problems)])


def _pair(root: Path, names: tuple[str, ...] | list[str], origin: str, labels: str, follow_links: bool) -> Listing:
    sides = Side(_IMAGES, (".jpg",)), Side(labels, (".png",))
    return pair_names(root, names, origin, *sides, follow_links=follow_links)


def _augmentation(root: Path, follow_links: bool) -> tuple[list[str], str, tuple[Problem, ...]]:
    """Names to train on beside train.txt, the list or folder they are from, and what is wrong with that."""
    held_out, problem = read_names(root, f"{_LISTS}/val.txt")
    if problem:  # without it, nothing says what is not to be trained on
        return [], problem.path, (problem,)
    origin = f"{_LISTS}/trainaug.txt"
    if (root / origin).exists():
        names, problem = read_names(root, origin)
        leaked = [name for name in names if name in set(held_out)]
        problems = [problem] if problem else []
        if leaked:
            what = f"lists {len(leaked):,} pictures of val.txt, such as '{leaked[0]}'"
            problems.append(Problem("duplicate-sample", origin, what, "remove them: they are what is evaluated on"))
        return [name for name in names if name not in set(leaked)], origin, tuple(problems)
    files = walk(root, _MORE_LABELS, (".png",), follow_links=follow_links).files
    names = tuple(Path(file).stem for file in files)
    return [name for name in names if name not in set(held_out)], _MORE_LABELS, ()


def detect(root: Path) -> Detection | None:
    """A folder with ImageSets/Segmentation/ and SegmentationClass/, also in VOC2012/ or VOCdevkit/VOC2012/."""
    for home in (root / name for name in _HOMES):
        other = _OTHER_YEAR.fullmatch(home.name) or (home / "SegmentationClassContext").is_dir()
        if other or not any((home / folder).is_dir() for folder in (_LABELS, _MORE_LABELS)):
            continue
        missing = tuple(f"{folder}/" for folder in (_IMAGES, _LABELS, _LISTS) if not (home / folder).is_dir())
        offers = ("voc2012", "trainaug") if (home / _MORE_LABELS).is_dir() else ("voc2012",)
        return Detection("voc", "voc2012", home, missing, offers)
    return None


def _release(name: str, train: int, label_file: str, instances: InstanceFiles | None) -> Release:
    return Release(
        name=name,
        space="voc2012",
        train_space="voc20",
        splits={"train": train, "val": 1449},
        label="palette",
        label_file=label_file,
        list_pairs=partial(list_pairs, augmented=name == "trainaug"),
        withheld={"test": "VOC keeps its test labels to itself"},
        instances=instances,
        list_folder=_LISTS,
    )


VOC = Source(
    name="voc",
    letter="P",
    title="Pascal VOC 2012",
    homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    license=LICENCES["voc"].name,
    citation=(
        "M. Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, International Journal of "
        "Computer Vision 111, 2015."
    ),
    layout="JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/",
    version=1,
    releases={
        "voc2012": _release("voc2012", 1464, "SegmentationClass/*.png (not SegmentationObject)", _OBJECTS),
        "trainaug": _release("trainaug", 10582, "SegmentationClass/*.png and SegmentationClassAug/*.png", None),
    },
    detect=detect,
)
