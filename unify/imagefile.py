"""PNG and JPEG files from outside: their headers, and whether they are whole. No pixel is decoded.

A PNG carries a CRC-32 for each chunk, so that any flipped bit is found. A JPEG carries none: that its
segments follow each other up to the end-of-image marker shows that it was not cut short, no more.

All faults are `UnifyError`s with an empty path, which the caller knows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from deflate import crc32

from unify.errors import UnifyError, error

Data: TypeAlias = bytes | bytearray | memoryview
Kind: TypeAlias = Literal["bad-image", "bad-label"]

MAX_PIXELS = 100_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_MODES = {0: "gray", 2: "rgb", 3: "palette", 4: "gray-alpha", 6: "rgba"}  # by colour type
PNG_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
JPEG_MODES = {1: "gray", 3: "rgb", 4: "cmyk"}  # by number of components
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF markers
SOI, EOI, SOS, APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in entropy-coded data: neither stuffing nor restart
_EXIF, _XMP, _XMP_TEXT = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"XML:com.adobe.xmp\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_AGAIN = "copy or download it again"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image file says.

    `mode` is gray, palette, rgb, gray-alpha, rgba or (JPEG only) cmyk; `bits` are those of one value;
    `orientation` is the EXIF tag, 1 to 8, and 1 means that the pixels are stored upright.
    """

    format: Literal["png", "jpeg"]
    width: int
    height: int
    mode: str
    bits: int
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class Png:
    """A PNG whose structure was checked: what is needed to decode its pixels."""

    header: ImageHeader
    interlaced: bool
    ihdr: memoryview
    palette: memoryview  # PLTE, maybe empty
    idat: tuple[memoryview, ...]


def image_header(data: Data, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header of a PNG or JPEG file; what follows the header is not checked.

    Raises `UnifyError`: bad-image, or image-too-large if width x height exceeds `max_pixels`.
    """
    view = memoryview(data).cast("B")
    if _format_of(view) == "jpeg":
        return _jpeg(view, max_pixels, whole=False)
    header, _ = _png_header(view, "bad-image", max_pixels)
    return _turned(header, _png_orientation(view))


def check_image(data: Data, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header of a PNG or JPEG file that is whole: see the head of this module for what that means.

    Raises `UnifyError`: bad-image, or image-too-large if width x height exceeds `max_pixels`.
    """
    view = memoryview(data).cast("B")
    if _format_of(view) == "jpeg":
        return _jpeg(view, max_pixels, whole=True)
    return read_png(view, "bad-image", max_pixels).header


def _format_of(view: memoryview) -> Literal["png", "jpeg"]:
    start = bytes(view[:8])
    if start[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if start == SIGNATURE:
        return "png"
    if not start:
        raise error("bad-image", "", "an empty file", _AGAIN)
    raise error("bad-image", "", f"neither PNG nor JPEG: it begins with {start!r}", "convert or remove it")


def _check_size(width: int, height: int, kind: Kind, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise error(kind, "", f"its header says {width}x{height} pixels", _AGAIN)
    if width * height > max_pixels:
        what = f"{width}x{height} pixels are more than the limit of {max_pixels}"
        raise error("image-too-large", "", what, "remove it, or raise the limit if that size is meant")


# --- PNG (W3C PNG specification, sections 5 and 11) ---------------------------------------------------


def read_png(data: Data, kind: Kind, max_pixels: int) -> Png:
    """Check the structure of a whole PNG: header, order, lengths and CRC-32 of all chunks to IEND.

    Raises `UnifyError` of `kind`, or image-too-large.
    """
    view = memoryview(data).cast("B")
    if bytes(view[:8]) != SIGNATURE:
        what = "an empty file" if not view else f"not a PNG: it begins with {bytes(view[:8])!r}"
        raise error(kind, "", what, _AGAIN)
    header, interlaced = _png_header(view, kind, max_pixels)
    palette = memoryview(b"")
    idat: list[memoryview] = []
    exif = xmp = 0
    previous = b""
    for name, bodies in _chunks(view, kind):
        body = bodies[0]
        if name == b"IDAT":
            if idat and previous != b"IDAT":
                raise _out_of_order(name, kind)
            idat += bodies
        elif name == b"PLTE":
            if palette or idat:
                raise _out_of_order(name, kind)
            if not 3 <= len(body) <= 768 or len(body) % 3:
                raise error(kind, "", f"its palette has {len(body)} bytes, not 3 for each colour", _AGAIN)
            palette = body
        elif name == b"IHDR":
            if previous:
                raise _out_of_order(name, kind)
        elif name == b"eXIf":
            exif = exif or _exif_orientation(body)
        elif name == b"iTXt":
            xmp = xmp or _xmp_orientation(body, _XMP_TEXT)
        elif name != b"IEND" and not name[0] & 0x20:  # critical, says the case of the first letter
            raise error(kind, "", f"it has a critical chunk of unknown type {name!r}", "save it as a plain PNG")
        previous = name
    if not idat:
        raise error(kind, "", "it has no pixel data (no IDAT chunk)", _AGAIN)
    if header.mode == "palette" and not palette:
        raise error(kind, "", "its header says palette, but it has none (no PLTE chunk)", _AGAIN)
    return Png(_turned(header, exif or xmp), interlaced, view[16:29], palette, tuple(idat))


def _png_header(view: memoryview, kind: Kind, max_pixels: int) -> tuple[ImageHeader, bool]:
    """From the first chunk: the header, and whether the image is interlaced."""
    if len(view) < 33:
        raise error(kind, "", f"truncated: only {len(view)} bytes, less than a PNG header", _AGAIN)
    length, name, width, height, bits, color, *methods, crc = struct.unpack_from(">I4sIIBBBBBI", view, 8)
    if name != b"IHDR" or length != 13:
        raise error(kind, "", "its first chunk is not the header (IHDR)", _AGAIN)
    if crc != crc32(view[12:29]):
        raise _damaged(name, kind)
    if bits not in PNG_BITS.get(color, ()) or methods[:2] != [0, 0] or methods[2] > 1:
        what = f"its header says colour type {color}, {bits} bits, methods {methods}: there is no such PNG"
        raise error(kind, "", what, _AGAIN)
    _check_size(width, height, kind, max_pixels)
    return ImageHeader("png", width, height, PNG_MODES[color], bits), bool(methods[2])


def _chunks(view: memoryview, kind: Kind) -> Iterator[tuple[bytes, list[memoryview]]]:
    """Type and body of each chunk to IEND, its CRC-32 checked; chunks in a row that are alike come together."""
    at, name, size = 8, b"", len(view)
    while name != b"IEND":
        if at + 12 > size:
            raise error(kind, "", f"truncated: it ends after {size} bytes, without an IEND chunk", _AGAIN)
        length, name = struct.unpack_from(">I4s", view, at)
        stride = length + 12
        if at + stride > size:
            raise error(kind, "", f"truncated: it ends after {size} bytes, inside its {_text(name)} chunk", _AGAIN)
        run = _alike(view, at, stride) if name == b"IDAT" else 1
        after = at + run * stride
        given = np.ndarray(run, ">u4", view, at + 8 + length, stride).tolist()
        if given != [crc32(view[start : start + length + 4]) for start in range(at + 4, after, stride)]:
            raise _damaged(name, kind)
        yield name, [view[start : start + length] for start in range(at + 8, after, stride)]
        at = after
    if length:
        raise error(kind, "", f"its IEND chunk has {length} bytes, not 0", _AGAIN)


def _alike(view: memoryview, at: int, stride: int) -> int:
    """How many chunks in a row begin with the same 8 bytes: writers cut pixel data into hundreds of equal ones."""
    count = (len(view) - at) // stride
    if count < 2:
        return 1
    starts = np.frombuffer(view, np.uint8, count * stride, at).reshape(count, stride)[:, :8]
    other = (starts != starts[0]).any(axis=1)
    return int(other.argmax()) if other.any() else count


def _png_orientation(view: memoryview) -> int:
    """As far as the file goes: from its eXIf chunk, else from XMP; 0 if neither says."""
    at, xmp = 33, 0
    while at + 8 <= len(view):
        length, name = struct.unpack_from(">I4s", view, at)
        body = view[at + 8 : at + 8 + length]
        if name == b"eXIf" and (exif := _exif_orientation(body)):
            return exif
        if name == b"iTXt":
            xmp = xmp or _xmp_orientation(body, _XMP_TEXT)
        at += 12 + length
    return xmp


def _damaged(name: bytes, kind: Kind) -> UnifyError:
    return error(kind, "", f"damaged: the checksum of its {_text(name)} chunk is wrong", _AGAIN)


def _out_of_order(name: bytes, kind: Kind) -> UnifyError:
    return error(kind, "", f"its {_text(name)} chunks are out of order", _AGAIN)


def _text(name: bytes) -> str:
    return name.decode("latin-1")


def png_file(chunks: Iterable[tuple[bytes, Iterable[Data]]]) -> bytes:
    """A PNG file of these chunks and IEND; each is its type and the parts of its body."""
    file: list[Data] = [SIGNATURE]
    for name, parts in [*chunks, (b"IEND", [])]:
        parts = list(parts)
        crc = crc32(name)
        for part in parts:
            crc = crc32(part, crc)
        file += [sum(map(len, parts)).to_bytes(4), name, *parts, crc.to_bytes(4)]
    return b"".join(file)


# --- JPEG (ITU-T T.81, annex B) -----------------------------------------------------------------------


def _jpeg(view: memoryview, max_pixels: int, *, whole: bool) -> ImageHeader:
    """Walk the segments to the first scan, or to the end of the image if `whole`."""
    header = None
    exif = xmp = 0
    at, size, in_scan = 2, len(view), False
    while True:
        if in_scan:
            found = _MARKER.search(view, at)
            at = found.start() if found else size
        if at + 2 > size:
            where = "inside its pixel data" if in_scan else "before its pixel data"
            raise error("bad-image", "", f"truncated: it ends after {size} bytes, {where}", _AGAIN)
        if view[at] != 0xFF:
            raise error("bad-image", "", f"damaged: no JPEG marker at byte {at}", _AGAIN)
        marker = view[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == EOI and in_scan:
            assert header is not None, "a scan starts after the frame header only"
            return _turned(header, exif or xmp)
        if marker in (0x00, SOI, EOI):
            raise error("bad-image", "", f"damaged: JPEG marker {marker:02X} at byte {at}", _AGAIN)
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these have no body
            at += 2
            continue
        length = int.from_bytes(view[at + 2 : at + 4])
        if at + max(4, 2 + length) > size:
            raise error("bad-image", "", f"truncated: it ends after {size} bytes, inside a segment", _AGAIN)
        if length < 2:
            raise error("bad-image", "", f"damaged: a JPEG segment of {length} bytes", _AGAIN)
        body = view[at + 4 : at + 2 + length]
        at += 2 + length
        if marker in JPEG_FRAMES:
            if header is not None:
                raise error("bad-image", "", "damaged: it has two frame headers", _AGAIN)
            header = _frame(body, max_pixels)
        elif marker == APP1:
            exif = exif or (_exif_orientation(body) if body[:6] == _EXIF else 0)
            xmp = xmp or _xmp_orientation(body, _XMP)
        elif marker == SOS:
            if header is None:
                raise error("bad-image", "", "damaged: pixel data before the frame header", _AGAIN)
            if not whole:
                return _turned(header, exif or xmp)
            in_scan = True


def _frame(body: memoryview, max_pixels: int) -> ImageHeader:
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or body[5] not in JPEG_MODES:
        raise error("bad-image", "", "damaged: its frame header is of no known form", _AGAIN)
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    _check_size(width, height, "bad-image", max_pixels)
    return ImageHeader("jpeg", width, height, JPEG_MODES[components], bits)


# --- Orientation --------------------------------------------------------------------------------------


def _turned(header: ImageHeader, orientation: int) -> ImageHeader:
    h = header
    return ImageHeader(h.format, h.width, h.height, h.mode, h.bits, orientation or 1)


def _exif_orientation(body: memoryview) -> int:
    """Tag 0x0112 of the first directory of EXIF data (TIFF 6.0, section 2); 0 if there is none."""
    if body[:6] == _EXIF:
        body = body[6:]
    order = {b"II\x2a\0": "<", b"MM\0\x2a": ">"}.get(bytes(body[:4]))
    if order is None or len(body) < 8:
        return 0
    (directory,) = struct.unpack_from(order + "I", body, 4)
    try:
        (entries,) = struct.unpack_from(order + "H", body, directory)
        for i in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", body, directory + 2 + 12 * i)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 0
    except struct.error:  # the directory goes on after the end of the data
        pass
    return 0


def _xmp_orientation(body: memoryview, start: bytes) -> int:
    """What XMP data after `start` says; where EXIF says nothing, Pillow turns images by that."""
    if body[: len(start)] != start:
        return 0
    found = _XMP_ORIENTATION.search(body)
    return int(found[1]) if found else 0
