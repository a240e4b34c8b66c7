"""Pascal Context (Mottaghi et al., CVPR 2014), on the pictures of VOC 2010, as its usual conversion leaves it.

VOCdevkit/VOC2010/ with JPEGImages/{name}.jpg, SegmentationClassContext/{name}.png, 0 = background and
1..59 the classes, and ImageSets/SegmentationContext/{train|val}.txt. The root is that folder or one of the
two around it. The space to train on leaves background void; `--space context60` keeps it.

Traps: the dataset ships 459 labels in *.mat files, which are not read; some convert to 59 ids, 0 = aeroplane
and 255 = background, and those labels look alike (their 255 is refused as an unknown id); lists in circulation
name 2008_000008 twice, which counts once; the authors' list of 59 has another order.
Layout and order: mmsegmentation, tools/dataset_converters/pascal_context.py.
"""

from __future__ import annotations

from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, Listing, Release, Source
from unify.sources.lists import pair_names, read_names
from unify.sources.pairs import Side

_IMAGES, _LABELS, _LISTS = "JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext"
_HOMES = (".", "VOC2010", "VOCdevkit/VOC2010")


def list_pairs(root: Path, split: str, follow_links: bool) -> Listing:
    origin = f"{_LISTS}/{split}.txt"
    names, problem = read_names(root, origin)
    if problem:
        return Listing((), (problem,))
    sides = Side(_IMAGES, (".jpg",)), Side(_LABELS, (".png",))
    return pair_names(root, names, origin, *sides, follow_links=follow_links)


def detect(root: Path) -> Detection | None:
    """A folder with SegmentationClassContext/, also in VOC2010/ or VOCdevkit/VOC2010/."""
    for home in (root / name for name in _HOMES):
        if (home / _LABELS).is_dir():
            missing = tuple(f"{folder}/" for folder in (_IMAGES, _LISTS) if not (home / folder).is_dir())
            return Detection("context", "voc2010", home, missing, offers=("voc2010",))
    return None


CONTEXT = Source(
    name="context",
    letter="X",
    title="Pascal Context",
    homepage="https://www.cs.stanford.edu/~roozbeh/pascal-context/",
    license=LICENCES["context"].name,
    citation=(
        "R. Mottaghi et al., The Role of Context for Object Detection and Semantic Segmentation in the Wild, CVPR 2014."
    ),
    layout="JPEGImages/, SegmentationClassContext/ and ImageSets/SegmentationContext/",
    version=1,
    releases={
        "voc2010": Release(
            name="voc2010",
            space="pascal-context",
            train_space="context59",
            splits={"train": 4998, "val": 5105},
            label="palette",
            label_file="SegmentationClassContext/*.png, converted to 60 ids",
            list_pairs=list_pairs,
            list_folder=_LISTS,
        )
    },
    detect=detect,
)
