"""PNG and JPEG files made for tests, filtered and interlaced by the definitions; and label maps to put in them."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: first column and row, and steps, of the passes of an interlaced file
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
COLORS = bytes(np.random.default_rng(2).integers(0, 256, 768).astype(np.uint8))


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def ihdr(width, height, bits=8, color=0, compression=0, filtering=0, interlace=0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, compression, filtering, interlace))


def png_file(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND")


def filtered(ids_hw: np.ndarray, types) -> np.ndarray:
    """(H, W + 1) scanlines, row y filtered with type types[y], by the definitions of the specification."""
    height, width = ids_hw.shape
    padded = np.zeros((height + 1, width + 1), int)
    padded[1:, 1:] = ids_hw
    now, left, up, upleft = padded[1:, 1:], padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    nearest = left + up - upleft
    to_left, to_up, to_upleft = abs(nearest - left), abs(nearest - up), abs(nearest - upleft)
    paeth = np.where((to_left <= to_up) & (to_left <= to_upleft), left, np.where(to_up <= to_upleft, up, upleft))
    by_type = np.stack([now, now - left, now - up, now - (left + up) // 2, now - paeth])
    types = np.asarray(types)
    return np.column_stack([types, by_type[types, np.arange(height)]]).astype(np.uint8)


def label_png(ids_hw: np.ndarray, types=0, palette: bytes = b"", pieces: int = 1) -> bytes:
    height, width = ids_hw.shape
    lines = filtered(ids_hw, np.broadcast_to(types, height))
    data = zlib.compress(lines.tobytes())
    cuts = np.linspace(0, len(data), pieces + 1).astype(int)
    idat = [chunk(b"IDAT", data[a:b]) for a, b in pairwise(cuts)]
    plte = [chunk(b"PLTE", palette)] if palette else []
    return png_file(ihdr(width, height, color=3 if palette else 0), *plte, *idat)


def saved(image: Image.Image, format_="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def adam7(ids_hw: np.ndarray) -> bytes:
    passes = [ids_hw[t::d, f::s] for f, t, s, d in ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    height, width = ids_hw.shape
    return png_file(ihdr(width, height, interlace=1), chunk(b"IDAT", zlib.compress(rows)))


def constant(shape):
    return np.full(shape, 7, np.uint8)


def noise(shape):
    return np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)


def few_ids(shape):
    return np.random.default_rng(4).integers(0, 3, shape).astype(np.uint8)


def street(shape):
    """Areas with slanted, jagged and upright borders."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    jagged = np.random.default_rng(5).integers(0, 4, shape[1])
    label = np.where(y > shape[0] // 2 + jagged, 7, 23)
    label[(x - shape[1] // 2) ** 2 + (y * 3) ** 2 < shape[0] * 9] = 26
    label[:, shape[1] // 3 : shape[1] // 3 + 2] = 17
    return label.astype(np.uint8)


def blobs(shape):
    """Areas with round borders, as of vegetation."""
    fields = np.random.default_rng(7).random((5, shape[0] // 16 + 2, shape[1] // 16 + 2))
    smooth = [cv2.resize(f, shape[::-1], interpolation=cv2.INTER_CUBIC) for f in fields]
    return np.argmax(smooth, axis=0).astype(np.uint8)


def stripes(shape):
    return (np.mgrid[: shape[0], : shape[1]][0] % 5).astype(np.uint8)


MAPS = [constant, noise, few_ids, street, blobs, stripes]


def exif(orientation: int, order: str = "<", type_: int = 3) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, type_, 1, orientation, 0)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 7)
    return start + struct.pack(order + "I", 8) + struct.pack(order + "H", 2) + other + entry + bytes(4)


def xmp(orientation: int) -> bytes:
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF tiff:Orientation="%d"/></x:xmpmeta>' % orientation


def jpeg_with(*segments: bytes) -> bytes:
    data = saved(Image.fromarray(noise((50, 70))), "JPEG")
    return data[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments) + data[2:]


def png_with(*chunks: bytes, late: bool = False) -> bytes:
    """`chunks` right after the header, or before IEND if `late`."""
    data = label_png(street((20, 30)), 4)
    at = len(data) - 12 if late else 33
    return data[:at] + b"".join(chunks) + data[at:]


XMP_JPEG, XMP_PNG = b"http://ns.adobe.com/xap/1.0/\0", b"XML:com.adobe.xmp\0\0\0\0\0"
