"""What pictures share: paper, ink, text, and the file they end in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Color = tuple[int, int, int]

INK: Color = (28, 28, 30)
FAINT: Color = (120, 120, 126)
PAPER: Color = (250, 250, 248)


def write(
    draw: ImageDraw, xy: tuple[float, float], text: str, size_px: int, color: Color = INK, anchor: str = "la"
) -> None:
    """Text in Pillow's own font; `anchor` as Pillow has it (left ascender)."""
    from PIL import ImageFont

    draw.text(xy, text, fill=color, font=ImageFont.load_default(size_px), anchor=anchor)


def encode(picture: Image, suffix: str) -> bytes:
    """The bytes of a file: JPEG for `suffix` .jpg or .jpeg, else PNG."""
    out = io.BytesIO()
    if suffix.lower() in (".jpg", ".jpeg"):
        picture.save(out, "JPEG", quality=88)
    else:
        picture.save(out, "PNG", optimize=True)
    return out.getvalue()
