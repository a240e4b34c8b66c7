"""Pooled labels: in each cell of s x s pixels, how many pixels are of each class.

Class-probability-preserving (CPP) pooling of Han, Yoo and Oh, CVPR 2022, Algorithm 1 of its supplement: shares of the
classes instead of the nearest pixel's class, so that thin and distant objects stay in a small label. The cells cover
the image from the top left; of the last ones, what lies beyond the image counts as void.

`unify build --cpp 4,8` stores them, in columns `cpp_4` and `cpp_8`: a gray PNG with the maps of all codes that are in
the label, one below the other, in the order of `pixel_count` (classes, then sets; void has none). A value is a number
of pixels, of s * s in a cell; so void is what is missing. It takes 8 bits where s * s does, else 16. Without unify:

    counts = np.asarray(PIL.Image.open(io.BytesIO(row["cpp_4"]["bytes"])))
    present = np.flatnonzero(row["pixel_count"][:-1])
    shares = counts.reshape(len(present), -1, counts.shape[1]) / 4**2   # of the codes `present`: (P, h, w)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unify import codecs
from unify.errors import error
from unify.features import CPP_SCALES

SCALES = CPP_SCALES  #: sides of the cells that a version can store, pixels
_OPTIONS = {f"cpp-{scale}": scale for scale in SCALES}


def column(scale: int) -> str:
    return f"cpp_{scale}"


def option(scale: int) -> str:
    """What a build is asked for with, as in `Plan.options`."""
    return f"cpp-{scale}"


def scales_of(options: Iterable[str]) -> tuple[int, ...]:
    """The scales that these options of a build ask for, rising."""
    return tuple(sorted(_OPTIONS[name] for name in options if name in _OPTIONS))


def scales_in(columns: Iterable[str]) -> tuple[int, ...]:
    """The scales of the pooled labels that are among these columns, rising."""
    names = set(columns)
    return tuple(scale for scale in SCALES if column(scale) in names)


def parse_scales(text: str, where: str = "--cpp") -> tuple[int, ...]:
    """`"4,8"` -> (4, 8). Raises `UnifyError` (usage), naming the option `where`, for anything but `SCALES`."""
    parts = [part.strip() for part in text.split(",")]
    known = {str(scale): scale for scale in SCALES}
    if unknown := [part for part in parts if part not in known]:
        raise error("usage", where, f"there is no scale '{unknown[0]}'", f"known: {', '.join(known)}")
    return tuple(sorted({known[part] for part in parts}))


def count_cells(
    labels_bhw: NDArray[np.uint8],
    channel_of: NDArray[np.int16],
    channels: int,
    scale: int,
    *,
    levels: int = 1,
    with_rest: bool = False,
    as_shares: bool = False,
    out: NDArray[np.float32] | None = None,
) -> list[NDArray[np.float32]]:
    """Pixels of each channel in cells of `scale`, 2 * `scale`, ... pixels, `levels` sizes from one pass over labels.

    Args:
        labels_bhw: (B, H, W).
        channel_of: (256,) label -> channel 0..`channels` - 1; -1 for labels that are not counted, -2 for those that
            must not occur.
        with_rest: add a channel with what else there is of the scale^2 pixels of a cell: not counted, or beyond
            the image.
        as_shares: divide by scale^2: values in [0, 1]. Both are exact, or rounded once.
        out: zeros, as many as are needed, to write to.

    Returns for each size (B, channels [+ 1], ceil(H / s), ceil(W / s)): views of one array.

    Raises `UnifyError`: unknown-id (65) with the first label that must not occur.
    """
    from unify.kernels import cpp as loops
    from unify.kernels.compiled import BLOCK

    assert scale >= 1 and levels >= 1 and (scale << levels - 1) <= 4096, "counts are exact below 2^24"
    assert channel_of.shape == (256,) and channel_of.max(initial=-1) < channels
    batch, height, width = labels_bhw.shape
    planes = channels + with_rest
    shapes = [(batch, planes, -(-height // (scale << i)), -(-width // (scale << i))) for i in range(levels)]
    at = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    below = np.cumsum([0, *(channels * shape[3] for shape in shapes)])
    table = np.array([(*shape[2:], at[i], below[i]) for i, shape in enumerate(shapes)], np.int64)
    flat = np.zeros(at[-1], np.float32) if out is None else out
    assert flat.shape == (at[-1],) and flat.dtype == np.float32
    stray = loops.count_cells(
        np.require(labels_bhw, np.uint8, ["C", "W"]),  # Pillow's arrays are read-only, which compiled loops tell apart
        channel_of,
        np.flatnonzero(channel_of >= 0).astype(np.uint8),
        scale,
        with_rest,
        as_shares,
        table,
        np.zeros(below[-1], np.int32),
        np.zeros((levels, channels), np.uint8),
        np.empty(shapes[0][3], np.int32),
        np.empty(BLOCK, np.uint8),
        flat,
    )
    if stray >= 0:
        known = f"labels are 0..{channels - 1} and those that are not counted"
        raise error("unknown-id", "", f"label {stray} where {known}", "pool with the label space of the version")
    return [flat[at[i] : at[i + 1]].reshape(shape) for i, shape in enumerate(shapes)]


def stacked(
    ids_hw: NDArray[np.uint8], table: NDArray[np.uint8], pixel_count: Sequence[int], scales: Iterable[int]
) -> dict[str, bytes | None]:
    """The columns of a row: scale -> PNG, None for a label that is all void.

    Args:
        ids_hw: (H, W) ids.
        table: (256,) uint8, id -> code.
        pixel_count: of the row: pixels per code, void last.
    """
    present = np.flatnonzero(np.asarray(pixel_count[:-1]))
    channel_of_code = np.full(256, -1, np.int16)
    channel_of_code[present] = range(len(present))
    found: dict[str, bytes | None] = {}
    for scale in scales:
        if not len(present):
            found[column(scale)] = None
            continue
        counts_pw = count_cells(ids_hw[None], channel_of_code[table], len(present), scale)[0]
        rows = counts_pw.reshape(-1, counts_pw.shape[-1])
        if scale * scale < 256:
            found[column(scale)] = codecs.encode_label(rows.astype(np.uint8))[0]
        else:
            found[column(scale)] = codecs.encode_ids16(rows.astype(np.uint16))
    return found


def shares(row: Mapping[str, Any], scale: int) -> NDArray[np.float32]:
    """(K, h, w) float32 in [0, 1]: what share of each cell is of each code; K as in `pixel_count`, without void.

    The sum over K is the valid share of a cell: 1 without void.

    Args:
        row: of a version, as pyarrow or `datasets` give it: needs `pixel_count`, `height`, `width` and `cpp_<scale>`
            (Pillow image, {"bytes": ...} or bytes).
        scale: s, one that the version was built with.

    Raises `UnifyError`: usage (the version was built without it), bad-artifact (the column does not fit the row).
    """
    name = column(scale)
    if name not in row:
        raise error("usage", "", f"there is no column {name}", f"build the version with --cpp {scale}")
    codes = len(row["pixel_count"]) - 1
    present = np.flatnonzero(np.asarray(row["pixel_count"])[:-1])
    down, across = -(-int(row["height"]) // scale), -(-int(row["width"]) // scale)
    shares_khw = np.zeros((codes, down, across), np.float32)
    if not len(present) and row[name] is None:
        return shares_khw
    counts = _pixels(row[name])
    if counts.shape != (len(present) * down, across):
        due = f"{len(present)} maps of {across}x{down} are due"
        what = f"{name} has {counts.shape[1]}x{counts.shape[0]} values where {due}"
        raise error("bad-artifact", str(row.get("sample_id", "")), what, "run `unify verify`, then build it again")
    shares_khw[present] = counts.reshape(len(present), down, across)
    shares_khw /= scale * scale
    return shares_khw


def _pixels(cell: Any) -> NDArray[Any]:
    """(rows, w) of a stored PNG, in whatever form it is handed on."""
    if cell is None:
        return np.zeros((0, 0), np.uint8)
    data = cell["bytes"] if isinstance(cell, Mapping) else cell
    if isinstance(data, bytes | memoryview):
        # 8 bits are read without Pillow, which warns of images as large as stacks may be.
        return codecs.read_label(bytes(data), max_pixels=1 << 40)
    return np.asarray(data)
