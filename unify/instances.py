"""Things of one class, told apart: instance images read, drawn from polygons, and counted.

A source has its own 16-bit values, raw id * divisor + number (`sources.InstanceFiles` says how exactly), and a
version keeps them as they are. What it adds is a count per code, for which the raw id of every value that
occurs goes through the same table as the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unify import codecs
from unify.errors import error
from unify.imagefile import MAX_PIXELS, Data
from unify.sources import InstanceFiles, Release
from unify.sources.decode import ids_by_name
from unify.spaces import LabelSpace

COLUMN, COUNT = "instance", "instance_count"  #: the image, and instances per code
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Instances:
    """An instance image: PNG bytes, its size, and the distinct values in it."""

    png: bytes
    size_hw: tuple[int, int]
    values: NDArray[np.int64]


def read_instances(data: Data, *, max_pixels: int = MAX_PIXELS) -> Instances:
    """An instance image as the source ships it; its bytes are kept.

    Raises `UnifyError`: bad-label (damaged, truncated, not 16-bit gray), image-too-large.
    """
    values_hw = codecs.read_ids16(data, max_pixels=max_pixels)
    return Instances(bytes(data), (values_hw.shape[0], values_hw.shape[1]), distinct(values_hw))


def draw_instances(release: Release, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Instances:
    """The instance image that a release's polygons stand for.

    Raises `UnifyError`: bad-polygons, image-too-large.
    """
    from unify import polygons

    files = release.instances
    assert files and release.label == "polygons", "other releases ship instance images"
    ids = ids_by_name(release.space)
    parsed = polygons.parse(data, max_pixels=max_pixels)
    values_hw = polygons.draw_instances(parsed, ids, ids["unlabeled"], files.divisor, files.numbered_as)
    return Instances(codecs.encode_ids16(values_hw), (parsed.height, parsed.width), distinct(values_hw))


def distinct(values_hw: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The values that occur, rising."""
    occurs = np.zeros(1 << 16, np.bool_)
    occurs[values_hw.reshape(-1)] = True
    return np.flatnonzero(occurs)


def raw_ids(values: NDArray[np.int64], files: InstanceFiles) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Each value's raw id, and whether it is a thing that was told apart."""
    is_plain = (values < files.divisor) & files.plain
    raw = np.where(is_plain, values, values // files.divisor)
    counts = ~is_plain & (values % files.divisor >= files.first)
    if files.things is not None:
        counts &= np.isin(raw, list(files.things))
    return raw, counts


def count_instances(
    values: NDArray[np.int64], files: InstanceFiles, table: NDArray[np.uint8], codes: int
) -> tuple[int, ...]:
    """Distinct instances per code and, last, of what is void: (codes + 1,).

    Args:
        values: the distinct values of an instance image, whose raw ids have been checked.
        table: (256,) raw id → code, void 255.
        codes: classes and sets.
    """
    raw, counts = raw_ids(values, files)
    found = np.bincount(table[raw[counts]], minlength=256)
    return (*found[:codes].tolist(), int(found[codes:].sum()))


def check_values(values: NDArray[np.int64], files: InstanceFiles, space: LabelSpace) -> None:
    """Refuse values whose raw ids are no class of `space`. Raises `UnifyError` (unknown-id), path empty."""
    raw, _ = raw_ids(values, files)
    known = space.ids
    unknown = [v for v, i in zip(values.tolist(), raw.tolist(), strict=True) if i not in known]
    if unknown:
        listed = ", ".join(map(str, unknown[:_LISTED]))
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        what = f"instance values of ids that {space.name} does not have: {listed}{more}"
        raise error("unknown-id", "", what, "is this the right instance file, of the right release?")
