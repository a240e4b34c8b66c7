"""Label and instance images of WildDash 2, painted from what it ships: panoptic/*.png and panoptic.json.

The format is COCO's panoptic one (Kirillov et al., CVPR 2019): a pixel's R + 256 G + 65536 B is the id of a
segment, whose category id the JSON file gives, and whether it is a crowd of things. Categories are things or
stuff, of which a picture has one segment each.

Segment ids have 24 bits, instance images 16: a value is category id * 800 + number. The segments of a category
of things are numbered from 1 in the order in which the file lists them; stuff and crowds have 0. (The toolkit's
pano2sem.py has category id * 1000 + number instead, which leaves 16 bits at category 66.)
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unify import codecs, storage
from unify.errors import Problem, UnifyError, error
from unify.imagefile import MAX_PIXELS, image_header
from unify.sources.colors import read_rgb
from unify.sources.files import read_small
from unify.sources.wilddash import DIVISOR
from unify.spaces import LabelSpace, load_space

_MAX_JSON_BYTES = 1 << 29
_MAX_PNG_BYTES = 1 << 27
_NO_SEGMENT = 0  # the segment id of pixels of none
_UNLABELED = 0  # the category id that they become

_Info = tuple[int, int, bool]  # of segments_info: id, category id, whether it is a thing by itself


@dataclass(frozen=True, slots=True)
class Segment:
    """An entry of segments_info. `number` tells it from others of its category; 0 for stuff and crowds."""

    category: int
    number: int = 0


def paint(root: Path, *, progress: Callable[[], None] = lambda: None) -> tuple[int, bool]:
    """Write instance/{name}.png, and semantic/{name}.png where no labels/ are shipped, from panoptic.json and
    panoptic/*.png.

    In semantic/, each pixel becomes the category id of its segment; one of no segment, 0 (unlabeled). In
    instance/, 16 bits, see above. `progress` is called for each picture. The answer is their number, and whether
    label images were painted.

    Raises `UnifyError` (bad-config, bad-label, missing-label, unknown-id, ...) with all faults, after
    painting what has none.
    """
    annotations = _annotations(root)
    has_labels = (root / "labels").is_dir()  # the beta's; its ids are those of its own panoptic.json
    known = load_space("wilddash-public-02" if has_labels else "wilddash-v2p0")
    for folder in ("instance",) if has_labels else ("instance", "semantic"):
        storage.make_dirs(root / folder)
    problems: list[Problem] = []
    count = 0
    for name, segments in annotations:
        path = f"panoptic/{name}"
        values_hw = None
        try:
            _check_name(name)
            values_hw = panoptic_to_values(read_small(root / path, _MAX_PNG_BYTES), numbered(segments), known)
        except OSError as e:
            kind = "missing-label" if isinstance(e, FileNotFoundError) else "no-permission"
            what = f"panoptic.json lists it, but it cannot be read: {e.strerror}"
            problems.append(Problem(kind, path, what, "unpack all of panoptic/"))
        except UnifyError as e:
            problems += [dataclasses.replace(p, path=path) for p in e.problems]
        if values_hw is not None:
            if not has_labels:
                ids_hw = (values_hw // DIVISOR).astype(np.uint8)
                storage.write_file(root / "semantic" / name, codecs.encode_label(ids_hw)[0])
            storage.write_file(root / "instance" / name, codecs.encode_ids16(values_hw))
            count += 1
        progress()
    if problems:
        raise UnifyError(*problems)
    return count, not has_labels


def _annotations(root: Path) -> list[tuple[str, list[_Info]]]:
    """(file name, its segments) of every annotation. Raises `UnifyError` (bad-config, not-found)."""
    path = root / "panoptic.json"
    try:
        found = json.loads(read_small(path, _MAX_JSON_BYTES))
        things = {int(c["id"]) for c in found["categories"] if c["isthing"]}
        return [
            (
                str(a["file_name"]),
                [
                    (int(s["id"]), int(s["category_id"]), int(s["category_id"]) in things and not s.get("iscrowd", 0))
                    for s in a["segments_info"]
                ],
            )
            for a in found["annotations"]
        ]
    except OSError as e:
        raise error("not-found", path, f"cannot be read: {e.strerror}", "give the folder of WildDash 2") from e
    except (KeyError, TypeError, ValueError, RecursionError) as e:
        raise error("bad-config", path, f"is not COCO's panoptic format: {e!r}", "unpack it again") from e


def _check_name(name: str) -> None:
    """Refuse a file name from panoptic.json that leads elsewhere."""
    if Path(name).name != name or not name.lower().endswith(".png") or name.startswith("."):
        raise error("unsafe-path", "", f"panoptic.json names the file '{name}'", "unpack panoptic.json again")


def numbered(infos: Iterable[_Info]) -> dict[int, Segment]:
    """Segment id → its category and number.

    Raises `UnifyError` (bad-label): a segment of two categories, more of one category than there are numbers.
    """
    segments: dict[int, Segment] = {}
    count: Counter[int] = Counter()
    for segment, category, told_apart in infos:
        if segment in segments:
            if segments[segment].category != category:
                both = f"{segments[segment].category} and {category}"
                what = f"segment {segment} is of two categories in panoptic.json, {both}"
                raise error("bad-label", "", what, "unpack panoptic.json again")
            continue
        count[category] += told_apart
        segments[segment] = Segment(category, count[category] if told_apart else 0)
    if too_many := [category for category, n in count.items() if n >= DIVISOR]:
        what = f"more than {DIVISOR - 1} segments of category {too_many[0]} in one picture"
        raise error("bad-label", "", what, "tell the makers of unify: 16 bits are too few for it")
    return segments


def panoptic_to_values(
    data: bytes, segments: Mapping[int, Segment], space: LabelSpace, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint16]:
    """(H, W) instance values of a panoptic PNG, category id * `DIVISOR` + number. `segments`: by their ids.

    Raises `UnifyError`: bad-label (no RGB PNG, or damaged), unknown-id (a segment that is not listed, a
    category that `space` does not have).
    """
    try:
        header = image_header(data, max_pixels=max_pixels)
    except UnifyError as e:
        raise UnifyError(*(dataclasses.replace(p, kind="bad-label") for p in e.problems)) from e
    if header.format != "png" or header.mode != "rgb" or header.bits != 8:
        raise error("bad-label", "", "is no RGB PNG of 8 bits", "use the files of panoptic/")
    if strange := sorted({s.category for s in segments.values()} - space.ids):
        fix = "is this the right release?"
        raise error("unknown-id", "", f"category ids that {space.name} does not have: {strange}", fix)
    rgb_hw3 = read_rgb(data, max_pixels=max_pixels).astype(np.uint32)
    segment_hw = rgb_hw3[..., 0] | rgb_hw3[..., 1] << 8 | rgb_hw3[..., 2] << 16
    known, where = np.unique(segment_hw, return_inverse=True)
    of_segment = {_NO_SEGMENT: Segment(_UNLABELED), **segments}
    if unlisted := [s for s in known.tolist() if s not in of_segment]:
        what = f"{len(unlisted)} segments that panoptic.json does not list, such as {unlisted[0]}"
        raise error("unknown-id", "", what, "unpack panoptic.json and panoptic/ of the same release")
    found = [of_segment[s] for s in known.tolist()]
    table = np.array([s.category * DIVISOR + s.number for s in found], np.uint16)
    values_hw: npt.NDArray[np.uint16] = table[where].reshape(segment_hw.shape)
    return values_hw
