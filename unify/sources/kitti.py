"""KITTI semantic segmentation, of the 2015 benchmark (Alhaija et al., IJCV 2018); sizes differ a little.

training/image_2/{n:06d}_10.png and training/semantic/{n:06d}_10.png, 200 pairs, below a folder
`data_semantics` or not. There is no validation split. A pixel is a Cityscapes label id, so that the label
space is Cityscapes' own: what goes there or to its 19 classes goes the same way.

Traps: semantic/ holds label ids, not train ids; semantic_rgb/ holds colours; instance/ has 16 bits, id * 256
+ n, not * 1000, n = 0 is no instance, and stuff may have numbers, too; unpacked over the stereo download,
image_2/ has the frames *_11.png, too, which have no labels.
Layout and counts: the benchmark's devkit; the image sizes are not checked against data.
"""

from __future__ import annotations

from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, InstanceFiles, Listing, Release, Source
from unify.sources.pairs import Side, pair_folders

_IMAGES, _LABELS = "training/image_2", "training/semantic"
_FRAME = "_10.png"  # the labelled one of each pair of frames


def list_pairs(root: Path, split: str, follow_links: bool) -> Listing:
    return pair_folders(root, Side(_IMAGES, (_FRAME,)), Side(_LABELS, (_FRAME,)), follow_links=follow_links)


def detect(root: Path) -> Detection | None:
    """A folder with training/semantic/, or one that has it in data_semantics/."""
    for home in (root, root / "data_semantics"):
        if (home / _LABELS).is_dir():
            missing = () if (home / _IMAGES).is_dir() else (f"{_IMAGES}/",)
            return Detection("kitti", "2015", home, missing, offers=("2015",))
    return None


KITTI = Source(
    name="kitti",
    letter="K",
    title="KITTI semantic segmentation",
    homepage="https://www.cvlibs.net/datasets/kitti/eval_semseg.php?benchmark=semantics2015",
    license=LICENCES["kitti"].name,
    citation=(
        "H. Abu Alhaija et al., Augmented Reality Meets Computer Vision: Efficient Data Generation for Urban "
        "Driving Scenes, International Journal of Computer Vision 126, 2018."
    ),
    layout="training/image_2/ and training/semantic/",
    version=1,
    releases={
        "2015": Release(
            name="2015",
            space="cityscapes",
            train_space="cityscapes19",
            splits={"train": 200},
            label="gray",
            label_file="training/semantic/*_10.png (not semantic_rgb, not instance)",
            list_pairs=list_pairs,
            withheld={"test": "KITTI keeps its test labels to itself"},
            instances=InstanceFiles(256, ("/semantic/", "/instance/"), first=1),
        )
    },
    detect=detect,
)
