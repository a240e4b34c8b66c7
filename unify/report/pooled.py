"""What labels lose when they are made small: the nearest pixel's class against shares of the classes.

After Figures 1 and 2 of the supplement of Han, Yoo and Oh, CVPR 2022. An object is a connected region of one class (8
neighbours). It is lost at 1/s if none of its pixels is the first one of a cell of s x s, so that nothing of it is left
in the nearest label. Of shares nothing is lost: an object has at least 1/s^2 of a cell.
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
from unify.report.draw import FAINT, INK, PAPER, Color, write
from unify.report.sheet import Sample, pick
from unify.spaces import LabelSpace

if TYPE_CHECKING:
    from PIL.Image import Image

TILE_WIDTH = 620
MARK: Color = (255, 0, 200)  #: rings around what is lost
_GAP, _MARGIN, _LINE, _NAMED = 12, 28, 21, 6


@dataclass(frozen=True, slots=True)
class Object:
    """A connected region: its class, and its box in pixels, top left and the first row and column behind."""

    class_id: int
    top: int
    left: int
    bottom: int
    right: int


def objects(label_hw: NDArray[np.uint8], num_classes: int) -> tuple[list[Object], NDArray[np.int32]]:
    """All regions of ids below `num_classes`, and (H, W) int32: which one each pixel is of, -1 for none."""
    import cv2

    found: list[Object] = []
    index_hw = np.full(label_hw.shape, -1, np.int32)
    for class_id in np.unique(label_hw[label_hw < num_classes]).tolist():
        mask_hw = label_hw == class_id
        count, region_hw, facts, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=8)
        index_hw[mask_hw] = region_hw[mask_hw] - 1 + len(found)
        for left, top, width, height, _ in facts[1:count].tolist():
            found.append(Object(class_id, top, left, top + height, left + width))
    return found, index_hw


def lost(found: Sequence[Object], index_hw: NDArray[np.int32], scale: int) -> list[Object]:
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
    """Image and label, then for each scale the nearest label, with a ring around each object lost, and the shares.

    Shares are drawn as the mean of the classes' colours, weighed by them; void is black.
    """
    from PIL import Image, ImageDraw

    space, label_hw = artifact.taxonomy.space, sample.label_hw
    height, width = label_hw.shape
    tile = (tile_width, max(1, round(tile_width * height / width)))
    found, index_hw = objects(label_hw, len(space))
    step = _LINE + tile[1] + _LINE + _GAP
    sheet = Image.new("RGB", (2 * (_MARGIN + tile[0]) + _GAP, _MARGIN + 2 * _LINE + (1 + len(scales)) * step), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (_MARGIN, _MARGIN - 6), f"Labels made small: {sample.sample_id}", 20)
    columns = (_MARGIN, _MARGIN + tile[0] + _GAP)
    top = _MARGIN + 2 * _LINE
    palette = space.palette()
    first = f"label in {space.name}: {len(found):,} objects"
    photo = Image.fromarray(sample.image_hwc).resize(tile, Image.Resampling.LANCZOS)
    _row(sheet, top, columns, (photo, _resized(palette[label_hw], tile)), ("image", first), "")
    for scale in scales:
        top += step
        gone = lost(found, index_hw, scale)
        nearest = _resized(_cells(palette[label_hw[::scale, ::scale]], scale, label_hw.shape), tile)
        _ring(nearest, gone, tile[0] / width)
        heads = (f"nearest, 1/{scale}", f"shares (CPP), 1/{scale}: nothing is lost")
        shares = _resized(_cells(blended(label_hw, space, scale), scale, label_hw.shape), tile)
        _row(sheet, top, columns, (nearest, shares), heads, told(gone, len(found), space))
    return sheet


def blended(label_hw: NDArray[np.uint8], space: LabelSpace, scale: int) -> NDArray[np.uint8]:
    """(h, w, 3): the classes' colours, weighed by their shares of each cell. Void and sets of classes are black."""
    channel_of = np.full(256, -1, np.int16)
    channel_of[: len(space)] = range(len(space))
    shares = cpp.count_cells(label_hw[None], channel_of, len(space), scale, as_shares=True)[0][0]
    colors = space.palette()[: len(space)].astype(np.float32)
    mixed_hwc: NDArray[np.float32] = np.einsum("khw,kc->hwc", shares, colors)
    return np.rint(mixed_hwc).clip(0, 255).astype(np.uint8)


def told(gone: Sequence[Object], total: int, space: LabelSpace) -> str:
    """ "12 of 80 objects lost: pole 5, traffic sign 4, ..." """
    counts = Counter(each.class_id for each in gone).most_common()
    named = ", ".join(f"{space.names[k]} {n}" for k, n in counts[:_NAMED])
    more = f", and of {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    return f"{len(gone):,} of {total:,} objects lost" + (f": {named}{more}" if gone else "")


def _cells(small_hwc: NDArray[np.uint8], scale: int, size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """Each cell as large as it is in the image, cut where that ends."""
    return small_hwc.repeat(scale, 0).repeat(scale, 1)[: size_hw[0], : size_hw[1]]


def _resized(rgb_hwc: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(rgb_hwc)).resize(size, Image.Resampling.BOX)


def _ring(picture: Image, gone: Sequence[Object], factor: float) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    for each in gone:
        x, y = factor * (each.left + each.right) / 2, factor * (each.top + each.bottom) / 2
        across = max(4, factor * (each.right - each.left) / 2 + 3)
        down = max(4, factor * (each.bottom - each.top) / 2 + 3)
        draw.ellipse((x - across, y - down, x + across, y + down), outline=MARK, width=2)


def _row(
    sheet: Image, top: int, columns: tuple[int, int], pictures: Sequence[Image], heads: Sequence[str], below: str
) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    for x, picture, head in zip(columns, pictures, heads, strict=True):
        write(draw, (x, top - 2), head, 14, FAINT)
        sheet.paste(picture, (x, top + _LINE))
    write(draw, (columns[0], top + _LINE + pictures[0].height + 3), below, 13, INK)
