"""IDD, the India Driving Dataset, segmentation parts I and II (Varma et al., WACV 2019).

{part}/leftImg8bit/{split}/{drive}/{frame}_leftImg8bit.png in part I (IDD_Segmentation), .jpg in part II
(idd20kII); {part}/gtFine/{split}/{drive}/{frame}_gtFine_polygons.json in both. A root holds both
parts, is one part, or is both poured together. Sizes differ between images.

Labels ship as polygons only; `unify.polygons` draws them as the official tool does. A sample's id starts
with its part, told by the image's suffix, since drives are numbered anew in each.
Layout: AutoNUE public-code, README.md and preparation/; counts of part II as commonly reported.
"""

from __future__ import annotations

from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, InstanceFiles, Listing, Release, Source
from unify.sources.cityscapes import is_cityscapes
from unify.sources.files import first_file, subfolders
from unify.sources.pairs import Side, join, pair_folders

_PARTS = ("idd_segmentation", "idd20kii")  # letter case varies between mirrors
_PART_OF_SUFFIX = {"_leftImg8bit.png": "I", "_leftImg8bit.jpg": "II"}
#: Classes whose things are told apart → their level3 id: the official tool numbers those of one together.
_THINGS = {
    "person": 4, "animal": 4, "rider": 5, "motorcycle": 6, "bicycle": 7, "autorickshaw": 8, "car": 9, "truck": 10,
    "bus": 11, "caravan": 12, "trailer": 12, "train": 12, "vehicle fallback": 12,
}  # fmt: skip
_DRAWN = "only label images drawn from polygons, at one of several levels: unpack the *_polygons.json, too"


def list_pairs(root: Path, split: str, follow_links: bool) -> Listing:
    """The pairs of all parts. A part without the split is no fault if another has it."""
    parts = [
        pair_folders(
            root,
            Side(f"{part}leftImg8bit/{split}", tuple(_PART_OF_SUFFIX), levels=2),
            Side(f"{part}gtFine/{split}", ("_gtFine_polygons.json",), levels=2),
            sample_id=_sample_id,
            lookalikes={f"_gtFine_label{level}s.png": _DRAWN for level in ("Id", "level3Id", "csTrainId")},
            follow_links=follow_links,
        )
        for part in [f"{name}/" for name in _parts(root)] or [""]
    ]
    with_split = [part for part in parts if part.pairs or any(p.kind != "empty-split" for p in part.problems)]
    return join(with_split or parts)


def _sample_id(key: str, suffix: str) -> str:
    return f"{_PART_OF_SUFFIX[suffix]}/{key}"


def _parts(root: Path) -> list[str]:
    return [name for name in subfolders(root) if name.casefold() in _PARTS]


def detect(root: Path) -> Detection | None:
    """A folder with part folders in it, or with leftImg8bit/ or gtFine/ of files named as in IDD."""
    folders = [root / part for part in _parts(root)] or [root]
    missing: list[str] = []
    names: list[str] = []
    for folder in folders:
        for kind in ("leftImg8bit", "gtFine"):
            where = (folder / kind).relative_to(root).as_posix()
            if not (folder / kind).is_dir():
                missing.append(f"{where}/")
            elif name := first_file(folder / kind, levels=3):
                names.append(name)
    if any(is_cityscapes(name) for name in names) or (folders == [root] and not names):
        return None
    if not names and not missing:
        missing.append("images in leftImg8bit/{split}/{drive}/")
    return Detection("idd", "20k", root, tuple(missing), offers=("20k",))


IDD = Source(
    name="idd",
    letter="I",
    title="India Driving Dataset",
    homepage="https://idd.insaan.iiit.ac.in",
    license=LICENCES["idd"].name,
    citation=(
        "G. Varma et al., IDD: A Dataset for Exploring Problems of Autonomous Navigation in Unconstrained "
        "Environments, WACV 2019."
    ),
    layout="IDD_Segmentation/ and idd20kII/, or leftImg8bit/ and gtFine/ of one of them",
    version=1,
    releases={
        "20k": Release(
            name="20k",
            space="idd",
            train_space="idd26",
            splits={"train": 14027, "val": 2036},
            label="polygons",
            label_file="*_gtFine_polygons.json",
            list_pairs=list_pairs,
            withheld={"test": "IDD keeps its test labels to itself"},
            instances=InstanceFiles(1000, numbered_as=_THINGS, plain=True),
        )
    },
    detect=detect,
)
