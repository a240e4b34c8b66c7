"""Label images of WildDash 2 v2p0, painted from what it ships: panoptic/*.png and panoptic.json.

The format is COCO's panoptic one (Kirillov et al., CVPR 2019): a pixel's R + 256 G + 65536 B is the id of a
segment, whose category id the JSON file gives.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unify import codecs, storage
from unify.errors import Problem, UnifyError, error
from unify.imagefile import MAX_PIXELS, image_header
from unify.sources.colors import read_rgb
from unify.sources.files import read_small
from unify.spaces import VOID, load_space

_MAX_JSON_BYTES = 1 << 29
_MAX_PNG_BYTES = 1 << 27
_NO_SEGMENT = 0  # the segment id of pixels of none
_UNLABELED = 0  # the category id that they become


def paint(root: Path, *, progress: Callable[[], None] = lambda: None) -> int:
    """Write the label images of v2p0, semantic/{name}.png, from panoptic.json and panoptic/*.png.

    Each pixel becomes the category id of its segment; one of no segment, 0 (unlabeled). `progress` is
    called for each. The answer is their number.

    Raises `UnifyError` (bad-config, bad-label, missing-label, unknown-id, ...) with all faults, after
    painting what has none.
    """
    annotations = _annotations(root)
    storage.make_dirs(root / "semantic")
    problems: list[Problem] = []
    count = 0
    for name, segments in annotations:
        path = f"panoptic/{name}"
        ids_hw = None
        try:
            _check_name(name)
            ids_hw = panoptic_to_ids(read_small(root / path, _MAX_PNG_BYTES), segments)
        except OSError as e:
            kind = "missing-label" if isinstance(e, FileNotFoundError) else "no-permission"
            what = f"panoptic.json lists it, but it cannot be read: {e.strerror}"
            problems.append(Problem(kind, path, what, "unpack all of panoptic/"))
        except UnifyError as e:
            problems += [dataclasses.replace(p, path=path) for p in e.problems]
        if ids_hw is not None:
            storage.write_file(root / "semantic" / name, codecs.encode_label(ids_hw)[0])
            count += 1
        progress()
    if problems:
        raise UnifyError(*problems)
    return count


def _annotations(root: Path) -> list[tuple[str, dict[int, int]]]:
    """(file name, segment id → category id) of every annotation. Raises `UnifyError` (bad-config, not-found)."""
    path = root / "panoptic.json"
    try:
        annotations = json.loads(read_small(path, _MAX_JSON_BYTES))["annotations"]
        return [
            (str(a["file_name"]), {int(s["id"]): int(s["category_id"]) for s in a["segments_info"]})
            for a in annotations
        ]
    except OSError as e:
        raise error("not-found", path, f"cannot be read: {e.strerror}", "give the folder of WildDash 2 v2p0") from e
    except (KeyError, TypeError, ValueError, RecursionError) as e:
        raise error("bad-config", path, f"is not COCO's panoptic format: {e!r}", "unpack it again") from e


def _check_name(name: str) -> None:
    """Refuse a file name from panoptic.json that leads elsewhere."""
    if Path(name).name != name or not name.lower().endswith(".png") or name.startswith("."):
        raise error("unsafe-path", "", f"panoptic.json names the file '{name}'", "unpack panoptic.json again")


def panoptic_to_ids(data: bytes, segments: Mapping[int, int], *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """(H, W) category ids of a panoptic PNG. `segments`: segment id → category id.

    Raises `UnifyError`: bad-label (no RGB PNG, or damaged), unknown-id (a segment that is not listed, a
    category that the policy does not have).
    """
    try:
        header = image_header(data, max_pixels=max_pixels)
    except UnifyError as e:
        raise UnifyError(*(dataclasses.replace(p, kind="bad-label") for p in e.problems)) from e
    if header.format != "png" or header.mode != "rgb" or header.bits != 8:
        raise error("bad-label", "", "is no RGB PNG of 8 bits", "use the files of panoptic/")
    if strange := sorted({c for c in segments.values() if c not in _policy_ids()}):
        raise error("unknown-id", "", f"category ids that wilddash-v2p0 does not have: {strange}", "is this v2p0?")
    rgb_hw3 = read_rgb(data, max_pixels=max_pixels).astype(np.uint32)
    segment_hw = rgb_hw3[..., 0] | rgb_hw3[..., 1] << 8 | rgb_hw3[..., 2] << 16
    known, where = np.unique(segment_hw, return_inverse=True)
    categories = {_NO_SEGMENT: _UNLABELED, **segments}
    table = np.array([categories.get(s, VOID) for s in known.tolist()], np.uint8)
    if (table == VOID).any():
        unlisted = known[table == VOID].tolist()
        what = f"{len(unlisted)} segments that panoptic.json does not list, such as {unlisted[0]}"
        raise error("unknown-id", "", what, "unpack panoptic.json and panoptic/ of the same release")
    ids_hw: npt.NDArray[np.uint8] = table[where].reshape(segment_hw.shape)
    return ids_hw


@cache
def _policy_ids() -> frozenset[int]:
    return load_space("wilddash-v2p0").ids
