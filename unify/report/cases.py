"""Pictures of outputs side by side: cases down, nets across, the notable areas framed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unify.report.draw import FAINT, INK, PAPER, write
from unify.spaces import LabelSpace

if TYPE_CHECKING:
    from PIL.Image import Image

TILE_WIDTH = 320
_MARGIN, _GAP, _LINE, _TEXT = 28, 8, 21, 14
Box = tuple[int, int, int, int]  #: top, left, bottom, right, pixels; the last two outside


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """An image (H, W, 3) uint8, and what is framed in it."""

    image_hwc: NDArray[np.uint8]
    box: Box | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """`columns`: of each net (or what else a column shows) a panel for each row. shown: class ids for the legend."""

    name: str
    columns: Sequence[Sequence[Panel]]
    shown: tuple[int, ...]


def largest_area(mask_hw: NDArray[np.bool_], margin: float = 0.01) -> Box | None:
    """The box around the largest connected area of a mask, a little wider; None for an empty one."""
    import cv2

    count, _, stats, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    left, top, width, height, _ = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())].tolist()
    pad = max(2, round(margin * max(mask_hw.shape)))
    high, wide = mask_hw.shape
    return max(0, top - pad), max(0, left - pad), min(high, top + height + pad), min(wide, left + width + pad)


def draw_cases(
    cases: Sequence[Case],
    title: str,
    heads: Sequence[str],
    sides: Sequence[str],
    space: LabelSpace,
    tile_width: int = TILE_WIDTH,
) -> Image:
    """`heads` over the columns, `sides` beside the rows of each case, and the colours of the classes that appear."""
    from PIL import Image as PILImage
    from PIL import ImageDraw, ImageFont

    beside = 12 + math.ceil(max(ImageFont.load_default(_TEXT).getlength(side) for side in sides))
    tile_heights = [
        round(tile_width * case.columns[0][0].image_hwc.shape[0] / case.columns[0][0].image_hwc.shape[1])
        for case in cases
    ]
    shown = sorted({i for case in cases for i in case.shown if i < len(space)})
    width = 2 * _MARGIN + beside + len(heads) * (tile_width + _GAP) - _GAP
    per_row = max(1, (width - 2 * _MARGIN) // 170)
    legend = -(-len(shown) // per_row) * _LINE
    top = _MARGIN + 3 * _LINE
    rows = len(sides)
    height = top + sum(rows * (h + _GAP) + _LINE + _GAP for h in tile_heights) + legend + _MARGIN
    picture = PILImage.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    write(draw, (_MARGIN, _MARGIN - 8), title, 20)
    for column, head in enumerate(heads):
        x = _MARGIN + beside + column * (tile_width + _GAP)
        write(draw, (x, top - _LINE), head, _TEXT, FAINT)
    y = top
    for case, tile_height in zip(cases, tile_heights, strict=True):
        for row, side in enumerate(sides):
            write(draw, (_MARGIN, y + tile_height // 2), side, _TEXT, INK, anchor="lm")
            for column, panels in enumerate(case.columns):
                x = _MARGIN + beside + column * (tile_width + _GAP)
                _paste(picture, panels[row], (x, y), (tile_width, tile_height))
            y += tile_height + _GAP
        write(draw, (_MARGIN + beside, y - 2), case.name, 12, FAINT)
        y += _LINE + _GAP
    palette = space.palette()
    for k, class_id in enumerate(shown):
        x = _MARGIN + (k % per_row) * ((width - 2 * _MARGIN) // per_row)
        line = y + (k // per_row) * _LINE
        color = tuple(int(v) for v in palette[class_id])
        draw.rounded_rectangle((x, line + 2, x + 22, line + 15), 3, fill=color)
        write(draw, (x + 30, line), space.names[class_id], 13)
    return picture


def _paste(picture: Image, panel: Panel, xy: tuple[int, int], size: tuple[int, int]) -> None:
    from PIL import Image as PILImage
    from PIL import ImageDraw

    height, width = panel.image_hwc.shape[:2]
    is_flat = len(np.unique(panel.image_hwc.reshape(-1, 3), axis=0)) <= 256  # colours of classes stay pure
    how = PILImage.Resampling.NEAREST if is_flat else PILImage.Resampling.LANCZOS
    picture.paste(PILImage.fromarray(panel.image_hwc).resize(size, how), xy)
    if panel.box is None:
        return
    draw = ImageDraw.Draw(picture)
    scale_y, scale_x = size[1] / height, size[0] / width
    top, left, bottom, right = panel.box
    box = (
        xy[0] + round(left * scale_x),
        xy[1] + round(top * scale_y),
        xy[0] + round(right * scale_x) - 1,
        xy[1] + round(bottom * scale_y) - 1,
    )
    draw.rectangle(box, outline=(20, 20, 20), width=4)
    draw.rectangle((box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1), outline=(255, 255, 255), width=2)
