"""Label images that hold a colour a class instead of ids."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import numpy.typing as npt

from unify.errors import error
from unify.imagefile import MAX_PIXELS, read_png
from unify.spaces import VOID, load_space

_SHOWN = 5  # unknown colours that a message lists


@cache
def color_table(space: str) -> npt.NDArray[np.uint8]:
    """(2**24,) ids by colour, packed as R << 16 | G << 8 | B; 255 where the space has no such colour.

    16 MB, made once a process: one look-up a pixel, however many classes there are.
    """
    classes = load_space(space).classes
    assert len({c.color for c in classes}) == len(classes), f"{space} has a colour twice and cannot be read back"
    assert all(0 <= c.id < VOID for c in classes), f"{space} uses the id that stands for unknown here"
    table = np.full(1 << 24, VOID, np.uint8)
    for c in classes:
        red, green, blue = c.color
        table[red << 16 | green << 8 | blue] = c.id
    return table


def colors_to_ids(rgb_hw3: npt.NDArray[np.uint8], space: str) -> npt.NDArray[np.uint8]:
    """(H, W) ids of an (H, W, 3) image in the colours of `space`.

    Raises `UnifyError` (bad-label) with the colours that are none of its, and their pixel counts.
    """
    packed_hw = rgb_hw3[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed_hw <<= 8
        packed_hw |= rgb_hw3[..., channel]
    ids_hw: npt.NDArray[np.uint8] = color_table(space)[packed_hw]
    if (unknown := packed_hw[ids_hw == VOID]).size:
        colors, counts = np.unique(unknown, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_SHOWN]
        listed = ", ".join(
            f"({c >> 16}, {c >> 8 & 255}, {c & 255}) ({n} pixels)"
            for c, n in zip(colors[order].tolist(), counts[order].tolist(), strict=True)
        )
        more = f" and {len(colors) - _SHOWN} more" if len(colors) > _SHOWN else ""
        what = f"colours that {space} does not have: {listed}{more}"
        raise error("bad-label", "", what, "is this a label, and was it saved without loss?")
    return ids_hw


def read_rgb(data: bytes, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """(H, W, 3) pixels of an RGB PNG of 8 bits. Raises `UnifyError` (bad-label, image-too-large)."""
    from PIL.PngImagePlugin import PngImageFile

    read_png(data, "bad-label", max_pixels)
    try:
        with PngImageFile(io.BytesIO(data)) as image:  # not Image.open, which has a size limit of its own
            rgb_hw3 = np.array(image)
    except Exception as e:  # a damaged stream makes Pillow raise OSError, SyntaxError, ValueError, struct.error, ...
        raise error("bad-label", "", f"damaged: Pillow says {e}", "copy or download it again") from e
    assert rgb_hw3.ndim == 3 and rgb_hw3.shape[2] == 3, "the caller has looked at the header"
    return rgb_hw3
