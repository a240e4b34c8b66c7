"""RGB images in and out, without loss: what erased images are written with.

The pixels are those of Pillow, which `datasets` shows: it decodes JPEG itself (libjpeg-turbo by its defaults, the
slow integer DCT and smooth upsampling) and rare PNGs; of PNG, pixels are exact whoever decodes them.
What is written is 8-bit RGB PNG, rows filtered by Paeth, and a deflate stream that looks for matches close by only:
somewhat larger than Pillow's PNGs, and many times faster.
"""

from __future__ import annotations

import io
import struct

import deflate
import numpy as np
from numpy.typing import NDArray

from unify.errors import error
from unify.imagefile import MAX_PIXELS, Data, Png, image_header, png_file, read_png

_AGAIN = "copy or download it again"
_LAST_FILTER = 4  # PNG specification, section 9


def read_rgb(data: Data, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a PNG or JPEG file to (H, W, 3) uint8 RGB, as Pillow converts it: gray is repeated, alpha dropped.

    Raises `UnifyError`: bad-image (damaged, 16 bits), image-too-large.
    """
    header = image_header(data, max_pixels=max_pixels)
    if header.bits == 16:
        raise error("bad-image", "", "16 bits a value, which would lose half of them", "convert it to 8 bits")
    if header.format == "png" and header.mode == "rgb":
        png = read_png(data, "bad-image", max_pixels)
        if not png.interlaced:
            return _pixels(png)
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    opened = {"png": PngImageFile, "jpeg": JpegImageFile}[header.format]
    try:
        with opened(io.BytesIO(data)) as image:  # not `Image.open`, which has a limit of its own for the size
            return np.array(image.convert("RGB"))
    except Exception as e:  # of any type, and that is a matter of the Pillow version
        raise error("bad-image", "", f"damaged: Pillow says {e}", _AGAIN) from None


def _pixels(png: Png) -> NDArray[np.uint8]:
    """(H, W, 3) of a PNG that is 8-bit RGB and not interlaced."""
    from unify.kernels.rgb import unfilter_rgb

    height, width = png.header.height, png.header.width
    row_bytes = 3 * width
    body = png.idat[0] if len(png.idat) == 1 else b"".join(png.idat)
    try:
        lines = np.frombuffer(deflate.zlib_decompress(body, height * (row_bytes + 1)), np.uint8)
    except deflate.DeflateError:
        lines = np.empty(0, np.uint8)
    if lines.size != height * (row_bytes + 1) or lines[:: row_bytes + 1].max() > _LAST_FILTER:
        raise error("bad-image", "", f"damaged: its data is not that of {width}x{height} pixels", _AGAIN)
    image = np.empty((height + 1, width, 3), np.uint8)
    image[0] = 0
    unfilter_rgb(lines, height, width, image.reshape(-1))
    return image[1:]


def encode_rgb(image_hwc: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG: the same bytes for the same pixels."""
    from unify.kernels.rgb import filter_rgb
    from unify.kernels.rgb_deflate import SPARE, deflate_rows

    height, width, channels = image_hwc.shape
    assert image_hwc.dtype == np.uint8 and channels == 3 and image_hwc.size, "an RGB image"
    size = height * (3 * width + 1)
    lines = np.empty(size + SPARE, np.uint8)
    filter_rgb(np.require(image_hwc, requirements=("C", "W")).reshape(-1), height, width, lines)
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    idat = (b"\x78\x01", deflate_rows(lines, height, width).data, deflate.adler32(lines[:size]).to_bytes(4))
    return png_file([(b"IHDR", [ihdr]), (b"IDAT", idat)])
