"""What pictures share: paper, ink, text, labels in colours, and the file they end in.

Void is black with light diagonal lines, so that it is no dark class, as Cityscapes' truck and car are, nor one that is
black, as Pascal VOC's background is. Sets of classes are gray.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unify.spaces import VOID

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from unify.spaces import LabelSpace

Color = tuple[int, int, int]
Pixels = NDArray[np.uint8]

INK: Color = (28, 28, 30)
FAINT: Color = (120, 120, 126)
PAPER: Color = (250, 250, 248)
BLACK: Color = (0, 0, 0)  #: void, below its lines
LINES: Color = (120, 120, 126)  #: of void
SET: Color = (134, 134, 140)  #: one of several classes
IS_VOID: NDArray[np.bool_] = np.arange(256) == VOID
_PITCH = 8  #: of the lines, pixels: that of the blocks of a JPEG, which keeps files small


def write(
    draw: ImageDraw, xy: tuple[float, float], text: str, size_px: int, color: Color = INK, anchor: str = "la"
) -> None:
    """Text in Pillow's own font; `anchor` as Pillow has it (left ascender)."""
    from PIL import ImageFont

    draw.text(xy, text, fill=color, font=ImageFont.load_default(size_px), anchor=anchor)


def colors_of(space: LabelSpace) -> Pixels:
    """(256, 3): of a target space's classes; `SET` for codes of sets, black for void."""
    palette = space.palette()
    palette[len(space) : VOID] = SET
    return palette


def labels(
    ids_hw: NDArray[np.uint8], palette: Pixels, size: tuple[int, int], is_void: NDArray[np.bool_] = IS_VOID
) -> Image:
    """Ids in the colours of `palette` (256, 3), those of `is_void` (256,) as void, at `size` (width, height).

    Smaller by averages, larger in squares: ids have nothing between them.
    """
    from PIL import Image as PILImage

    how = PILImage.Resampling.BOX if size[0] < ids_hw.shape[1] else PILImage.Resampling.NEAREST
    colors, void = (
        np.asarray(PILImage.fromarray(part).resize(size, how))
        for part in (palette[ids_hw], (is_void * np.uint8(255))[ids_hw])
    )
    return PILImage.fromarray(hatched(colors, void / 255))


def hatched(rgb_hwc: Pixels, void_hw: NDArray[np.floating[Any]]) -> Pixels:
    """With the lines of void, as light as the share of a pixel that is void, 0..1."""
    height, width = void_hw.shape
    is_line_hw = (np.arange(height)[:, None] + np.arange(width)) % _PITCH == 0
    lighter_hwc = rgb_hwc + (is_line_hw * void_hw)[:, :, None] * np.array(LINES)
    return np.asarray(lighter_hwc.clip(0, 255), np.uint8)


def hatch(picture: Image, box: tuple[int, int, int, int]) -> None:
    """The lines of void over what is black in the box (left, top, right, bottom; the last two outside)."""
    from PIL import Image as PILImage

    part_hwc = np.asarray(picture.crop(box))
    picture.paste(PILImage.fromarray(hatched(part_hwc, (part_hwc == 0).all(2).astype(np.float64))), box[:2])


def swatch(picture: Image, xy: tuple[int, int], color: Color, *, is_void: bool = False) -> None:
    """A colour of a legend, 22 pixels wide, 13 high; with an edge, so that white ones are seen."""
    from PIL import ImageDraw

    x, y = xy
    edge = tuple(v * 4 // 5 for v in color)
    ImageDraw.Draw(picture).rounded_rectangle((x, y, x + 22, y + 13), 3, fill=color, outline=edge)
    if is_void:
        hatch(picture, (x + 1, y + 1, x + 22, y + 13))


def text_width(text: str, size_px: int) -> int:
    """Of what `write` writes, pixels."""
    from PIL import ImageFont

    return math.ceil(ImageFont.load_default(size_px).getlength(text))


def encode(picture: Image, suffix: str) -> bytes:
    """The bytes of a file: JPEG for `suffix` .jpg or .jpeg, else PNG."""
    out = io.BytesIO()
    if suffix.lower() in (".jpg", ".jpeg"):
        picture.save(out, "JPEG", quality=84, optimize=True, progressive=True)
    else:
        picture.save(out, "PNG", optimize=True)
    return out.getvalue()
