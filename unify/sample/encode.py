"""Bytes of the files that data sets are made of."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import cv2
import numpy as np

from unify.sample.canvas import Bytes

Files = dict[str, bytes]  # path below the dataset's root -> content


def png(array: Bytes | np.ndarray[Any, np.dtype[np.uint16]]) -> bytes:
    """Gray (8 or 16 bit), RGB or RGBA."""
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done
    return data.tobytes()


def jpeg(image_hw3: Bytes, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image_hw3[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def palette_png(index_hw: Bytes, colours_n3: Bytes) -> bytes:
    """A palette PNG whose pixels are indices. Pillow leaves palette rows unfiltered, as the real files are."""
    from PIL import Image

    picture = Image.fromarray(index_hw)
    picture.putpalette(colours_n3.ravel().tolist())
    out = BytesIO()
    picture.save(out, "PNG", compress_level=6)
    return out.getvalue()


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(", ", ": ")).encode() + b"\n"
