"""A heat map of influences: classes by vulnerability down, the classes they lean on across."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from unify.influence import TOP, Influences
from unify.report.draw import FAINT, INK, PAPER, Color, write

if TYPE_CHECKING:
    from PIL.Image import Image

_MARGIN, _HEAD, _CELL_W, _CELL_H, _TEXT, _NAME = 28, 72, 44, 26, 11, 13
_UP: Color = (188, 60, 30)  # the answers get worse without the other class
_DOWN: Color = (40, 90, 170)  # they get better
_NONE: Color = (236, 236, 233)
_EDGE: Color = (28, 28, 30)


def draw_matrix(influences: Influences, most: int = TOP) -> Image:
    """A row for each class of which anything is known, the most vulnerable first, its greatest `most` framed.

    Of erasing, numbers are percentage points of IoU; a colour is full at the greatest influence there is.
    """
    from PIL import Image as PILImage
    from PIL import ImageDraw, ImageFont

    matrix, place = influences.matrix(), {name: i for i, name in enumerate(influences.classes)}
    rows = list(influences.vulnerability(most))
    top = influences.top(most)
    mean = {name: np.nanmean(row) for name, row in zip(influences.classes, matrix, strict=True) if _known(row)}
    columns = sorted(mean, key=lambda name: -mean[name])
    scale = 100.0 if influences.by == "erase" else 1.0
    full = float(np.nanmax(np.abs(matrix))) if np.isfinite(matrix).any() else 1.0

    font = ImageFont.load_default(_NAME)
    left = _MARGIN + math.ceil(max((font.getlength(name) for name in rows), default=0)) + 10
    slanted = math.ceil(max((font.getlength(name) for name in columns), default=0)) + 12
    above = _HEAD + slanted
    width = max(640, left + _CELL_W * len(columns) + _MARGIN)
    picture = PILImage.new("RGB", (width, above + _CELL_H * len(rows) + _MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    write(draw, (_MARGIN, _MARGIN - 10), "Influences between classes", 20)
    unit = "IoU lost, percentage points, where the class on top is erased" if scale == 100 else f"by {influences.by}"
    write(draw, (_MARGIN, _MARGIN + 16), f"{unit}. Framed: the {most} greatest of a row.", 12, FAINT)
    for i, name in enumerate(columns):
        _upright(picture, (left + i * _CELL_W + _CELL_W // 2, above - 6), name)
    for y, name in enumerate(rows):
        high = above + y * _CELL_H
        write(draw, (left - 8, high + _CELL_H // 2), name, _NAME, INK, anchor="rm")
        for x, other in enumerate(columns):
            value = matrix[place[other], place[name]]
            box = (left + x * _CELL_W, high, left + (x + 1) * _CELL_W - 2, high + _CELL_H - 2)
            if not np.isfinite(value):
                draw.rectangle(box, fill=_NONE if other != name else PAPER)
                continue
            share = min(1.0, abs(float(value)) / full) if full else 0.0
            draw.rectangle(box, fill=_mixed(_UP if value > 0 else _DOWN, share))
            if other in top[name] and value > 0:
                draw.rectangle(box, outline=_EDGE)
            text = f"{scale * value:.1f}" if scale == 100 else f"{value:.2f}"
            text = text.replace("-0.0", "0.0") if float(text) == 0 else text
            color = PAPER if share > 0.6 else INK
            write(draw, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, _TEXT, color, anchor="mm")
    return picture


def _known(row: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    return bool(np.isfinite(row).any())


def _mixed(color: Color, share: float) -> Color:
    """From white to the colour; the root, so that small influences are told apart."""
    weight = math.sqrt(share)
    mixed = [round(255 + (c - 255) * weight) for c in color]
    return mixed[0], mixed[1], mixed[2]


def _upright(picture: Image, bottom_xy: tuple[int, int], text: str) -> None:
    """`text` from below upwards, its beginning at `bottom_xy`."""
    from PIL import Image as PILImage
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(_NAME)
    size = math.ceil(font.getlength(text)) + 2, 20
    strip = PILImage.new("RGB", size, PAPER)
    write(ImageDraw.Draw(strip), (0, size[1] // 2), text, _NAME, INK, anchor="lm")
    turned = strip.transpose(PILImage.Transpose.ROTATE_90)
    picture.paste(turned, (bottom_xy[0] - turned.width // 2, bottom_xy[1] - turned.height))
