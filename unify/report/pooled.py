"""What labels lose when they are made small: the nearest pixel's class against shares of the classes.

After Figures 1 and 2 of the supplement of Han, Yoo and Oh, CVPR 2022. A region is connected (8 neighbours) and of one
class: a thing, a part of one that others hide, or a speck of grass between fence posts. It is lost at 1/s if none of
its pixels is the first one of a cell of s x s, so that nothing of it is left in the nearest label. Of shares nothing is
lost: a region has at least 1/s^2 of a cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from unify import cpp
from unify.artifact import Artifact
from unify.codecs import read_label
from unify.errors import error
from unify.report.draw import BLACK, FAINT, INK, PAPER, SET, Color, colors_of, hatched, labels, write
from unify.report.sheet import Sample, pick
from unify.spaces import VOID, LabelSpace

if TYPE_CHECKING:
    from PIL.Image import Image

TILE_WIDTH = 620
RINGS = 16  #: in a picture, at most
LIGHT: Color = (255, 255, 255)
DARK: Color = (20, 20, 20)  #: on both sides of a light ring, so that it is seen on every class
_GAP, _MARGIN, _LINE, _NAMED = 12, 28, 21, 6


@dataclass(frozen=True, slots=True)
class Region:
    """Connected pixels of a class: its id, how many, and their box, top left and the first row and column behind."""

    class_id: int
    pixels: int
    top: int
    left: int
    bottom: int
    right: int


def regions(label_hw: NDArray[np.uint8], num_classes: int) -> tuple[list[Region], NDArray[np.int32]]:
    """All regions of ids below `num_classes`, and (H, W) int32: which one each pixel is of, -1 for none."""
    import cv2

    found: list[Region] = []
    index_hw = np.full(label_hw.shape, -1, np.int32)
    for class_id in np.unique(label_hw[label_hw < num_classes]).tolist():
        mask_hw = label_hw == class_id
        count, region_hw, facts, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=8)
        index_hw[mask_hw] = region_hw[mask_hw] - 1 + len(found)
        for left, top, width, height, pixels in facts[1:count].tolist():
            found.append(Region(class_id, pixels, top, left, top + height, left + width))
    return found, index_hw


def lost(found: Sequence[Region], index_hw: NDArray[np.int32], scale: int) -> list[Region]:
    """Those of which the nearest label at 1/`scale` has nothing."""
    kept = set(np.unique(index_hw[::scale, ::scale]).tolist())
    return [each for i, each in enumerate(found) if i not in kept]


def sample_of(artifact: Artifact, sample_id: str | None) -> Sample:
    """The row with this id; None for the one that shows the most classes.

    Raises `UnifyError`: usage for an id that is not there, and where there is no row at all.
    """
    if sample_id is None:
        for sample in pick(artifact, 1):
            return sample
        raise error("usage", artifact.path, "has no images", "build a version with some")
    files = [artifact.path / name for name in artifact.manifest.files if name.startswith("data/")]
    rows = ds.dataset(files, format="parquet")
    table = rows.to_table(columns=["sample_id", "image", "label"], filter=pc.field("sample_id") == sample_id)
    if not len(table):
        raise error("usage", "--sample", f"there is no sample '{sample_id}'", "sample_id is `<source>/<split>/<id>`")
    from unify.codecs_rgb import read_rgb

    (row,) = table.to_pylist()
    label_hw = read_label(row["label"]["bytes"]).astype(np.uint8, copy=False)
    return Sample(sample_id.partition("/")[0], sample_id, read_rgb(row["image"]["bytes"]), label_hw, None)


def pooled_sheet(
    artifact: Artifact, sample: Sample, scales: Sequence[int] = (4, 8, 16, 32), tile_width: int = TILE_WIDTH
) -> Image:
    """Image and label, then for each scale the nearest label, with rings around what is lost, and the shares.

    Shares are drawn as the mean of the classes' colours, weighed by them.
    """
    from PIL import Image, ImageDraw

    space, label_hw = artifact.taxonomy.space, sample.label_hw
    height, width = label_hw.shape
    tile = (tile_width, max(1, round(tile_width * height / width)))
    found, index_hw = regions(label_hw, len(space))
    step = _LINE + tile[1] + _LINE + _GAP
    sheet = Image.new("RGB", (2 * (_MARGIN + tile[0]) + _GAP, _MARGIN + 2 * _LINE + (1 + len(scales)) * step), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (_MARGIN, _MARGIN - 6), f"Labels made small: {sample.sample_id}", 20)
    columns = (_MARGIN, _MARGIN + tile[0] + _GAP)
    top = _MARGIN + 2 * _LINE
    palette = colors_of(space)
    first = f"label in {space.name}: {len(found):,} regions"
    photo = Image.fromarray(sample.image_hwc).resize(tile, Image.Resampling.LANCZOS)
    _row(sheet, top, columns, (photo, labels(label_hw, palette, tile)), ("image", first), "")
    for scale in scales:
        top += step
        gone = lost(found, index_hw, scale)
        nearest = labels(_cells(label_hw[::scale, ::scale], scale, label_hw.shape), palette, tile)
        _ring(nearest, ringed(gone), tile[0] / width)
        heads = (
            f"nearest, 1/{scale}; rings around the largest that are lost",
            f"shares (CPP), 1/{scale}: nothing is lost",
        )
        shares = _mixed(label_hw, space, scale, tile)
        _row(sheet, top, columns, (nearest, shares), heads, told(gone, len(found), space))
    return sheet


def blended(
    label_hw: NDArray[np.uint8], space: LabelSpace, scale: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(h, w, 3): the colours weighed by their shares of each cell, void black; and (h, w): the share of void."""
    channel_of = np.full(256, -1, np.int16)
    channel_of[:VOID] = np.minimum(np.arange(VOID), len(space))  # sets of classes have one colour
    colors = np.array([*(c.color for c in space.classes), SET, BLACK], np.float32)
    shares = cpp.count_cells(label_hw[None], channel_of, len(space) + 1, scale, with_rest=True, as_shares=True)[0][0]
    mixed_hwc: NDArray[np.float32] = np.einsum("khw,kc->hwc", shares, colors)
    return np.rint(mixed_hwc).clip(0, 255).astype(np.uint8), shares[-1]


def _mixed(label_hw: NDArray[np.uint8], space: LabelSpace, scale: int, size: tuple[int, int]) -> Image:
    from PIL import Image as PILImage

    rgb_hwc, void_hw = blended(label_hw, space, scale)
    colors, void = (
        np.asarray(_resized(_cells(part, scale, label_hw.shape), size))
        for part in (rgb_hwc, np.rint(void_hw * 255).astype(np.uint8))
    )
    return PILImage.fromarray(hatched(colors, void / 255))


def ringed(gone: Sequence[Region], most: int = RINGS) -> list[Region]:
    """The largest that are lost, `most` at most, whose boxes keep clear of those of larger ones."""
    found: list[Region] = []
    for each in sorted(gone, key=lambda region: -region.pixels):
        if len(found) < most and not any(_touch(each, other) for other in found):
            found.append(each)
    return found


def _touch(one: Region, other: Region) -> bool:
    down = one.top <= other.bottom and other.top <= one.bottom
    return down and one.left <= other.right and other.left <= one.right


def told(gone: Sequence[Region], total: int, space: LabelSpace) -> str:
    """ "12 of 80 regions lost: pole 5, traffic sign 4, ..." """
    counts = Counter(each.class_id for each in gone).most_common()
    named = ", ".join(f"{space.names[k]} {n}" for k, n in counts[:_NAMED])
    more = f", and of {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    return f"{len(gone):,} of {total:,} regions lost" + (f": {named}{more}" if gone else "")


def _cells(small: NDArray[np.uint8], scale: int, size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """(h, w) or (h, w, 3): each cell as large as it is in the image, cut where that ends."""
    return small.repeat(scale, 0).repeat(scale, 1)[: size_hw[0], : size_hw[1]]


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX)


def _ring(picture: Image, around: Sequence[Region], factor: float) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    for each in around:
        x, y = factor * (each.left + each.right) / 2, factor * (each.top + each.bottom) / 2
        across = max(4, factor * (each.right - each.left) / 2 + 3)
        down = max(4, factor * (each.bottom - each.top) / 2 + 3)
        draw.ellipse((x - across - 1, y - down - 1, x + across + 1, y + down + 1), outline=DARK, width=4)
        draw.ellipse((x - across, y - down, x + across, y + down), outline=LIGHT, width=2)


def _row(
    sheet: Image, top: int, columns: tuple[int, int], pictures: Sequence[Image], heads: Sequence[str], below: str
) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    for x, picture, head in zip(columns, pictures, heads, strict=True):
        write(draw, (x, top - 2), head, 14, FAINT)
        sheet.paste(picture, (x, top + _LINE))
    write(draw, (columns[0], top + _LINE + pictures[0].height + 3), below, 13, INK)
