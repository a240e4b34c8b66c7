"""Things of one class, told apart: instance images read, drawn from polygons, joined with labels, and counted.

An instance image has 16-bit values, raw id * divisor + number (`sources.InstanceFiles` says how exactly). Where a
source ships such files, a version keeps them as they are. What it adds is a count per code, for which the raw id
of every value that occurs goes through the same table as the labels.
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
from unify.spaces import VOID, LabelSpace

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


def join_objects(
    data: Data, label_hw: NDArray[np.uint8], files: InstanceFiles, space: LabelSpace, *, max_pixels: int = MAX_PIXELS
) -> Instances:
    """The instance image of a file that holds objects' numbers alone, and of the label that says what they are.

    A pixel's value is its label's id * divisor + number of the object. The number is 0 on borders (255), and
    where the label is void. Every object has to lie on one class of `files.things`, and on nothing else but void.

    Args:
        data: 8-bit palette or gray PNG; 0 is no object.
        label_hw: (H, W) raw ids, all of `space`.

    Raises `UnifyError`: bad-label (damaged, not 8 bits, an object of no class or of two), size-mismatch,
    image-too-large.
    """
    assert files.joined and files.things is not None and files.divisor == 256
    object_hw = codecs.read_label(data, max_pixels=max_pixels)
    if object_hw.dtype != np.uint8:
        raise error("bad-label", "", "16 bits a value where objects' numbers of 8 are due", "is this the right file?")
    if object_hw.shape != label_hw.shape:
        (height, width), (label_height, label_width) = object_hw.shape, label_hw.shape
        what = f"has {width}x{height} pixels, its label {label_width}x{label_height}"
        raise error("size-mismatch", "", what, "replace the wrong one")
    pairs_hw = label_hw.astype(np.uint16) << 8 | object_hw
    pixels = np.bincount(pairs_hw.reshape(-1), minlength=1 << 16).reshape(256, 256)  # by id and number
    _check_objects(pixels, files.things, space)
    values_hw = np.where((object_hw == VOID) | (label_hw == VOID), pairs_hw & 0xFF00, pairs_hw)
    height, width = values_hw.shape
    return Instances(codecs.encode_ids16(values_hw), (height, width), distinct(values_hw))


def _check_objects(pixels: NDArray[np.int64], things: frozenset[int], space: LabelSpace) -> None:
    """Refuse objects of no class and of several. `pixels`: (256, 256), by label id and number of the object."""
    names = {c.id % 256: c.name for c in space.classes}
    faults = []
    for number in np.flatnonzero(pixels.sum(axis=0)).tolist():
        if number in (0, VOID):
            continue
        found = {i: int(pixels[i, number]) for i in np.flatnonzero(pixels[:, number]).tolist() if i != VOID}
        if things.isdisjoint(found):
            count = int(pixels[:, number].sum())
            where = " and ".join(names[i] for i in np.flatnonzero(pixels[:, number]).tolist())
            faults.append(f"object {number} has no class: the label shows {where} in its {count:,} pixels")
        elif len(found) > 1:
            parts = ", ".join(f"{names[i]} ({n:,} pixels)" for i, n in found.items())
            faults.append(f"object {number} covers {len(found)} classes: {parts}")
    if faults:
        more = f"; and {len(faults) - _LISTED} more such objects" if len(faults) > _LISTED else ""
        fix = "do the two files belong together? Build with --keep-going to leave the sample out"
        raise error("bad-label", "", "; ".join(faults[:_LISTED]) + more, fix)


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
