"""Compiled loops: how many pixels of each class lie in each cell of a label map.

Label maps are large areas of one id. The loops pass over rows that equal the one above 64 pixels at a time, and over
the rest by runs of one id, so that their time goes with the border pixels and the cells more than with the pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unify.kernels import ALL, BLOCK, ONE, Pointer, Word, differ_64, inner, kernel, lowest_bit, pointer, signed

SKIPPED, STRAY = -1, -2  #: in `channel_of`: a label that is not counted, and one that must not occur


@inner
def differ(data: Pointer, i: int, j: int, n: int, size: int) -> Word:
    """Bit k < n <= 64: data[i + k] != data[j + k], where i < j; further bits are 0. Reads nothing from `size` on."""
    if j + BLOCK <= size:
        bits = differ_64(data, i, j)
        return bits if n == BLOCK else bits & ((ONE << np.uint64(n)) - ONE)
    bits = np.uint64(0)
    for k in range(n):
        if data[i + k] != data[j + k]:
            bits |= ONE << np.uint64(k)
    return bits


@inner
def add_block(
    data: Pointer, at: int, n: int, size: int, times: int, left: int, scale: int, lookup: Pointer, counts: Pointer,
    seen: Pointer, across: int,
) -> int:  # fmt: skip
    """Add n <= 64 pixels, which begin at column `left`, `times` times to counts (C, across); a stray label or -1."""
    ends = differ(data, at, at + 1, n - 1, size) | (ONE << np.uint64(n - 1))
    cell = left // scale
    edge = (cell + 1) * scale - left
    start = 0
    while start < n:
        end = lowest_bit(ends & (ALL << np.uint64(start))) + 1
        channel = signed(lookup[data[at + start]])
        if channel == STRAY:
            return np.int64(data[at + start])  # type: ignore[return-value]
        if channel >= 0:
            seen[channel] = 1
            row = channel * across
            while edge < end:
                counts[row + cell] += times * (edge - start)
                start = edge
                edge += scale
                cell += 1
            counts[row + cell] += times * (end - start)
        else:
            while edge < end:
                edge += scale
                cell += 1
        start = end
        if edge == end:
            edge += scale
            cell += 1
    return -1


@inner
def add_rows(
    data: Pointer, at: int, rows: int, width: int, size: int, scale: int, lookup: Pointer, counts: Pointer,
    seen: Pointer, across: int,
) -> int:  # fmt: skip
    """Add `rows` rows of pixels, the first at `at`, to counts (C, across); a stray label or -1."""
    for left in range(0, width, BLOCK):
        n = min(BLOCK, width - left)
        y = 0
        while y < rows:
            here = at + y * width + left
            times = 1
            while y + times < rows and differ(data, here, here + times * width, n, size) == 0:
                times += 1
            stray = add_block(data, here, n, size, times, left, scale, lookup, counts, seen, across)
            if stray >= 0:
                return stray
            y += times
    return -1


@inner
def flush(
    i: int, row: int, first: int, planes: int, area: int, divisor: Any, levels: Any, counts: Any, seen: Any, rest: Any,
    out: Any,
) -> None:  # fmt: skip
    """Write row `row` of the cells of level i to `out`, add it to the level above, and forget it.

    `first`: of the image's planes. Only channels that were met are written: the others are 0 already.
    """
    down, across, at, below = levels[i]
    channels = seen.shape[1]
    target = at + (first * down + row) * across
    rest[:across] = area
    for channel in range(channels):
        if not seen[i, channel]:
            continue
        seen[i, channel] = 0
        cells = counts[below + channel * across : below + (channel + 1) * across]
        plane = target + channel * down * across
        put(cells, out[plane : plane + across], divisor)
        if planes > channels:
            for x in range(across):
                rest[x] -= cells[x]
        if i + 1 < len(levels):
            seen[i + 1, channel] = 1
            start = levels[i + 1, 3] + channel * levels[i + 1, 1]
            above = counts[start : start + levels[i + 1, 1]]
            for x in range(across):
                above[x >> 1] += cells[x]
        cells[:] = 0
    if planes > channels:
        plane = target + channels * down * across
        put(rest, out[plane : plane + across], divisor)


@inner
def put(counts: Any, out: Any, divisor: Any) -> None:
    for x in range(len(out)):
        out[x] = np.float32(counts[x]) / divisor


@kernel("i8(u1[:,:,::1], i2[::1], i8, b1, b1, i8[:,::1], i4[::1], u1[:,::1], i4[::1], f4[::1])")
def count_cells(
    labels: NDArray[np.uint8],
    channel_of: NDArray[np.int16],
    scale: int,
    with_rest: bool,
    as_shares: bool,
    levels: NDArray[np.int64],
    counts: NDArray[np.int32],
    seen: NDArray[np.uint8],
    rest: NDArray[np.int32],
    out: NDArray[np.float32],
) -> int:
    """Pixels of each channel in cells of `scale`, 2 * `scale`, ... pixels, a level each, from one pass over labels.

    Args:
        labels: (B, H, W).
        channel_of: (256,) label -> channel, `SKIPPED` or `STRAY`.
        with_rest: add a channel: what else there is of a cell's pixels, also beyond the image.
        as_shares: divide by the pixels of a cell.
        levels: (L, 4): rows and columns of cells; where the level begins in `out`, there (B, channels, rows, columns),
            and in `counts`, there (C, columns).
        counts, seen: zeros, (L, C) the latter. rest: room for the columns of the finest level.
        out: zeros, all levels.

    Returns the first stray label that is met, -1 if there is none. All counts have to be below 2^24.
    """
    batch, height, width = labels.shape
    planes = seen.shape[1] + (1 if with_rest else 0)
    data, lookup = pointer(labels), pointer(channel_of)
    down, across = levels[0, 0], levels[0, 1]
    for b in range(batch):
        for row in range(down):
            top = row * scale
            stray = add_rows(
                data, (b * height + top) * width, min(scale, height - top), width, labels.size, scale,
                lookup, pointer(counts), pointer(seen), across,
            )  # fmt: skip
            if stray >= 0:
                return stray
            for i in range(len(levels)):
                # A row of cells of level i is complete after 2^i rows of the finest, or with the last of them.
                if row + 1 < down and (row + 1) & ((1 << i) - 1):
                    break
                area = (scale << i) * (scale << i)
                divisor = np.float32(area if as_shares else 1)
                flush(i, row >> i, b * planes, planes, area, divisor, levels, counts, seen, rest, out)
    return -1
