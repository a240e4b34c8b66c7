"""NYU-Depth-v2, its labeled set (Silberman et al., ECCV 2012), 640x480, as the usual export leaves it.

image/{n:06d}.png or .jpg and label40/{n:06d}.png, gray, 1..40 the classes of Gupta et al. (CVPR 2013) and 0 =
unlabeled; train.txt and test.txt list the numbers, which count from 1. `unify.sources.nyu_mat.extract`
makes these folders from the .mat files that the dataset ships as. There is no validation split.

The space to train on is nyu40 (class 1 is id 0, 0 is void); `--space nyu13` groups the 40 to 13.

Traps: some exports have the ids shifted already (0 = wall, 255 = unlabeled): their 255 is refused as an
unknown id; numbers that count from 0 pair images with other lists; mmsegmentation's NYU has depths and 27
scene classes instead; the images have a white frame, whose labels are 0.
Folders: as several public converters write them. Axis order of the .mat file and the frame: unverified.
"""

from __future__ import annotations

from pathlib import Path

from unify.publish.licences import LICENCES
from unify.sources.base import Detection, Listing, Release, Source
from unify.sources.lists import pair_names, read_names
from unify.sources.pairs import Side

_IMAGES, _LABELS = "image", "label40"
_MAT = "nyu_depth_v2_labeled.mat"


def list_pairs(root: Path, split: str, follow_links: bool) -> Listing:
    origin = f"{split}.txt"
    names, problem = read_names(root, origin)
    if problem:
        return Listing((), (problem,))
    sides = Side(_IMAGES, (".png", ".jpg")), Side(_LABELS, (".png",))
    return pair_names(root, names, origin, *sides, follow_links=follow_links)


def detect(root: Path) -> Detection | None:
    """A folder with label40/ in it, or with the .mat file that it can be made from."""
    if (root / _LABELS).is_dir():
        missing = [] if (root / _IMAGES).is_dir() else [f"{_IMAGES}/"]
        missing += [name for name in ("train.txt", "test.txt") if not (root / name).is_file()]
    elif (root / _MAT).is_file():
        missing = [f"{_IMAGES}/ and {_LABELS}/ (`unify prepare nyu` makes them from {_MAT})"]
    else:
        return None
    return Detection("nyu", "labeled", root, tuple(missing), offers=("labeled",))


NYU = Source(
    name="nyu",
    letter="N",
    title="NYU-Depth-v2",
    homepage="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
    license=LICENCES["nyu"].name,
    citation="N. Silberman et al., Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012.",
    layout="image/, label40/, train.txt and test.txt",
    version=1,
    releases={
        "labeled": Release(
            name="labeled",
            space="nyu-depth-v2",
            train_space="nyu40",
            splits={"train": 795, "test": 654},
            label="gray",
            label_file="label40/*.png, ids 0 to 40",
            list_pairs=list_pairs,
        )
    },
    detect=detect,
)
