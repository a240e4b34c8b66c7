"""Label PNGs in and out; headers of image files. Pure functions: bytes and arrays, no paths.

A label is an image of ids. It is read so that every pixel keeps its id: palette images give indices,
never colours. It is written as 8-bit gray, which every decoder reads back as the same ids.

8-bit gray and palette files take the fast way: libdeflate, then the loops of `kernels.png` and
`kernels.deflate`. What is rare (interlaced, 1, 2, 4 or 16 bits) is decoded by Pillow. Before either
writes a pixel, `imagefile` has checked all chunks, and the length of the pixel data is known to be right.

All faults are `UnifyError`s with an empty path, which the caller knows.
"""

from __future__ import annotations

import io
import struct

import deflate
import numpy as np
from numpy.typing import NDArray

from unify.errors import error
from unify.imagefile import MAX_PIXELS, Data, ImageHeader, Png, check_image, image_header, png_file, read_png

__all__ = ["MAX_PIXELS", "ImageHeader", "check_image", "encode_label", "image_header", "read_label", "relabel_png"]

_AGAIN = "copy or download it again"
_FOUND = {"rgb": "RGB colours", "rgba": "RGBA colours", "gray-alpha": "gray with transparency"}
_SAME_IDS = np.arange(256, dtype=np.uint8)
#: Adam7: first column and row, and steps, of the seven passes (PNG specification, section 8)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def relabel_png(
    data: Data, table: NDArray[np.uint8], *, max_pixels: int = MAX_PIXELS
) -> tuple[bytes, NDArray[np.int64]]:
    """Decode a label PNG, count its ids, map them, encode.

    Args:
        data: an 8-bit gray or palette PNG; of other gray and palette files Pillow gives the ids.
        table: (256,) uint8, the new id of each id.
        max_pixels: the largest image to decode.

    Returns an 8-bit gray PNG, the same bytes for the same arguments, and (256,) int64, the number of
    pixels of each id *before* the table.

    Raises `UnifyError`: bad-label (damaged, truncated, colours, 16 bits), image-too-large.
    """
    png = _label(data, max_pixels)
    header = png.header
    if header.bits == 16:
        fix = "use the file of class ids: 16 bits are usual for instances"
        raise error("bad-label", "", "16-bit gray where 8-bit ids are due", fix)
    if _is_plain(png):
        return _encode(_scanlines(png), header.height, header.width, table)
    return encode_label(_by_pillow(png).astype(np.uint8, copy=False), table)


def read_label(data: Data, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a label PNG: (H, W) ids, uint16 if the file has 16 bits, else uint8.

    Gray of 1, 2 or 4 bits is as Pillow gives it: 0 and 1, or spread over 0..255.

    Raises `UnifyError`: bad-label (damaged, truncated, colours), image-too-large.
    """
    png = _label(data, max_pixels)
    if not _is_plain(png):
        return _by_pillow(png)
    lines_hw = _scanlines(png).reshape(png.header.height, png.header.width + 1)
    return np.ascontiguousarray(lines_hw[:, 1:])


def encode_label(
    label_hw: NDArray[np.uint8], table: NDArray[np.uint8] | None = None
) -> tuple[bytes, NDArray[np.int64]]:
    """Encode (H, W) uint8 ids, through a (256,) uint8 `table` if given.

    Returns an 8-bit gray PNG, the same bytes for the same arguments, and (256,) int64, the number of
    pixels of each id *before* the table.

    Raises `UnifyError` (bad-label) for arrays of another type or shape.
    """
    if label_hw.dtype != np.uint8 or label_hw.ndim != 2 or label_hw.size == 0:
        what = f"an array of {label_hw.dtype}, shape {label_hw.shape}, where uint8 (H, W) is due"
        raise error("bad-label", "", what, "convert it")
    height, width = label_hw.shape
    lines_hw = np.empty((height, width + 1), np.uint8)
    lines_hw[:, 1:] = label_hw
    return _encode(lines_hw.reshape(-1), height, width, _SAME_IDS if table is None else table)


def read_ids16(data: Data, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint16]:
    """Decode a 16-bit gray PNG, such as instance images are: (H, W) uint16.

    Raises `UnifyError`: bad-label (damaged, truncated, another kind of PNG), image-too-large.
    """
    png = _label(data, max_pixels)
    if png.header.mode != "gray" or png.header.bits != 16:
        found = f"{png.header.bits} bits a value" if png.header.mode == "gray" else "a palette"
        raise error("bad-label", "", f"{found} where gray of 16 bits is due", "use the file of instance ids")
    return _by_pillow(png).astype(np.uint16, copy=False)


def encode_ids16(ids_hw: NDArray[np.uint16]) -> bytes:
    """Encode (H, W) uint16 as a 16-bit gray PNG: the same bytes for the same values."""
    height, width = ids_hw.shape
    rows = ids_hw.astype(">u2").view(np.uint8)
    filtered = np.full((height, 2 * width + 1), 2, np.uint8)  # filter type 2, Up
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    ihdr = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return png_file([(b"IHDR", [ihdr]), (b"IDAT", [deflate.zlib_compress(filtered, 6)])])


def _label(data: Data, max_pixels: int) -> Png:
    png = read_png(data, "bad-label", max_pixels)
    if png.header.mode in _FOUND:
        fix = "use the file of ids, not the one of colours"
        raise error("bad-label", "", f"{_FOUND[png.header.mode]} where ids are due", fix)
    return png


def _is_plain(png: Png) -> bool:
    return png.header.bits == 8 and not png.interlaced


def _scanlines(png: Png) -> NDArray[np.uint8]:
    """(H * (W + 1),) uint8: in each row a byte without meaning, then its ids."""
    from unify.kernels.png import unfilter

    height, width = png.header.height, png.header.width
    lines = np.frombuffer(_inflate(png), np.uint8)
    worst = int(lines[:: width + 1].max())
    if worst > 4:
        raise error("bad-label", "", f"damaged: filter type {worst}, which PNG does not have", _AGAIN)
    unfilter(lines, height, width)
    return lines


def _inflate(png: Png) -> bytearray:
    """The filtered rows of all passes, exactly as long as the header says; their Adler-32 is right."""
    header = png.header
    passes = _PASSES if png.interlaced else ((0, 0, 1, 1),)
    size = 0
    for left, top, across, down in passes:
        columns, rows = -(-(header.width - left) // across), -(-(header.height - top) // down)
        if columns > 0 and rows > 0:
            size += rows * (1 + (columns * header.bits + 7) // 8)
    body = png.idat[0] if len(png.idat) == 1 else b"".join(png.idat)
    try:
        filtered = deflate.zlib_decompress(body, size)
    except deflate.DeflateError:
        what = f"damaged: its pixel data is no zlib stream of {header.width}x{header.height} pixels"
        raise error("bad-label", "", what, _AGAIN) from None
    if len(filtered) != size:
        what = f"damaged: its pixel data has {len(filtered)} bytes, {header.width}x{header.height} pixels need {size}"
        raise error("bad-label", "", what, _AGAIN)
    return filtered


def _by_pillow(png: Png) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W) ids of a label that is interlaced or has not 8 bits.

    Pillow is given only the chunks that pixels depend on. The class is called, not `Image.open`, because
    that has a limit of its own for the size.
    """
    from PIL.PngImagePlugin import PngImageFile

    _inflate(png)
    palette = [(b"PLTE", [png.palette])] if png.palette else []
    file = png_file([(b"IHDR", [png.ihdr]), *palette, (b"IDAT", png.idat)])
    try:
        with PngImageFile(io.BytesIO(file)) as image:
            ids_hw = np.asarray(image)
    except Exception as e:  # of any type, and that is a matter of the Pillow version
        raise error("bad-label", "", f"damaged: Pillow says {e}", _AGAIN) from None
    return ids_hw.astype(np.uint16) if png.header.bits == 16 else ids_hw.astype(np.uint8)


def _encode(
    lines: NDArray[np.uint8], height: int, width: int, table: NDArray[np.uint8]
) -> tuple[bytes, NDArray[np.int64]]:
    """`lines` as of `_scanlines`."""
    from unify.kernels.deflate import deflate_room, deflate_tokens
    from unify.kernels.png import tokenize

    assert table.shape == (256,) and table.dtype == np.uint8, "a table has a uint8 for each id"
    counts = np.zeros(256, np.int64)
    # Labels need a token per 30 pixels. With one per 4 they are noise or texture, and not for run lengths.
    room = max(lines.size // 4, min(lines.size, 1 << 16)) + width + 4
    tokens = np.empty(room, np.uint16)
    num, adler = tokenize(lines, height, width, np.array(table), counts, tokens)
    if num < 0:
        body: list[Data] = [deflate.zlib_compress(_filtered_up(lines, height, width, table), 6)]
    else:
        out = np.empty(deflate_room(num), np.uint8)
        size = deflate_tokens(tokens[:num], out)
        body = [b"\x78\x01", out[:size].data, adler.to_bytes(4)]
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return png_file([(b"IHDR", [ihdr]), (b"IDAT", body)]), counts


def _filtered_up(lines: NDArray[np.uint8], height: int, width: int, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scanlines with filter type 2, Up: (H, W + 1) uint8."""
    new_hw = table[lines.reshape(height, width + 1)[:, 1:]]
    filtered = np.full((height, width + 1), 2, np.uint8)
    filtered[0, 1:] = new_hw[0]
    np.subtract(new_hw[1:], new_hw[:-1], out=filtered[1:, 1:])
    return filtered
