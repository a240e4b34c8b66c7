"""Compiled loops: how many pixels of each class lie in each cell of a label map.

Label maps are large areas of one id. The loops pass over rows that equal the one above 64 pixels at a time, and over
the rest by runs of one id, so that their time goes with the border pixels and the cells more than with the pixels.
Where runs are short, each id that there may be is looked for in 64 pixels at a time instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from unify.kernels.compiled import (
    ALL,
    BLOCK,
    ONE,
    Pointer,
    Word,
    differ_64,
    inner,
    kernel,
    lowest_bit,
    pointer,
    signed,
    word,
)

SKIPPED, STRAY = -1, -2  #: in `channel_of`: a label that is not counted, and one that must not occur
MOST = 255  #: rows that are counted in bytes
RUN = 4  #: a run takes about as long as it takes to look for so many labels in 64 pixels

_BYTES = ir.VectorType(ir.IntType(8), BLOCK)
_INT = ir.IntType(32)


# --- 64 pixels at a time ------------------------------------------------------------------------------------


def _at(builder: Any, data: Any, index: Any, kind: Any) -> Any:
    """Where data[index] is, to read or write a `kind` there."""
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _sums(builder: Any, given: Any, side: int) -> Any:
    """Sums of `side` neighbours of 64 bytes, a power of two: (64 / side) int32."""
    bits = 8
    while bits < min(8 * side, 64):  # two neighbours become one number of twice the width
        wide = ir.VectorType(ir.IntType(2 * bits), 4 * BLOCK // bits)
        pairs = builder.bitcast(given, wide)
        low = builder.and_(pairs, ir.Constant(wide, [(1 << bits) - 1] * wide.count))
        given = builder.add(low, builder.lshr(pairs, ir.Constant(wide, [bits] * wide.count)))
        bits *= 2
    lanes = 8 * BLOCK // bits
    if bits != 32:
        given = (builder.zext if bits < 32 else builder.trunc)(given, ir.VectorType(_INT, lanes))
    while lanes > BLOCK // side:
        lanes //= 2
        even, odd = (ir.Constant(ir.VectorType(_INT, lanes), [2 * x + k for x in range(lanes)]) for k in (0, 1))
        given = builder.add(builder.shuffle_vector(given, given, even), builder.shuffle_vector(given, given, odd))
    return given


def _adder(side: int) -> Any:
    """`add_label` for cells of `side` columns, a power of two up to 64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, at, width, rows, label, counts, cell, every = args
        label = builder.trunc(label, ir.IntType(8))
        lanes = ir.Constant(ir.VectorType(_INT, BLOCK), [0] * BLOCK)
        wanted = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), label, ir.Constant(_INT, 0))
        wanted = builder.shuffle_vector(wanted, wanted, lanes)
        zeros = ir.Constant(_BYTES, [0] * BLOCK)
        total = cgutils.alloca_once_value(builder, zeros)  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, rows) as row:
            here = _at(builder, data, builder.add(at, builder.mul(row.index, width)), _BYTES)
            same = builder.sext(builder.icmp_unsigned("==", builder.load(here, align=1), wanted), _BYTES)  # -1 if it is
            builder.store(builder.sub(builder.load(total), same), total)
        found = builder.load(total)
        target = _at(builder, every, ir.Constant(ir.IntType(64), 0), _BYTES)
        builder.store(builder.add(builder.load(target, align=1), found), target, align=1)
        whole = ir.IntType(8 * BLOCK)
        some = builder.icmp_unsigned("!=", builder.bitcast(found, whole), ir.Constant(whole, 0))
        with builder.if_then(some):
            sums = _sums(builder, found, side)
            target = _at(builder, counts, cell, sums.type)
            builder.store(builder.add(builder.load(target, align=4), sums), target, align=4)
        return builder.zext(some, ir.IntType(8))

    @word
    def add(_: Any, data: Any, at: Any, width: Any, rows: Any, label: Any, counts: Any, cell: Any, every: Any) -> Any:
        number = types.int64
        return types.uint8(data, number, number, number, number, counts, number, every), generate

    return add


_add_1, _add_2, _add_4, _add_8, _add_16, _add_32, _add_64 = (_adder(1 << i) for i in range(7))


@inner
def add_label(
    side: int, data: Pointer, at: int, width: int, rows: int, label: int, counts: Pointer, cell: int, every: Pointer
) -> Any:
    """Add the pixels that are `label` in 64 columns and `rows` <= `MOST` rows, the first at `at`, to counts[cell] and
    on, cells of `side` columns; and by column to `every`, 64 bytes. 1 if there are any, else 0.
    """
    if side == 1:
        return _add_1(data, at, width, rows, label, counts, cell, every)
    if side == 2:
        return _add_2(data, at, width, rows, label, counts, cell, every)
    if side == 4:
        return _add_4(data, at, width, rows, label, counts, cell, every)
    if side == 8:
        return _add_8(data, at, width, rows, label, counts, cell, every)
    if side == 16:
        return _add_16(data, at, width, rows, label, counts, cell, every)
    if side == 32:
        return _add_32(data, at, width, rows, label, counts, cell, every)
    return _add_64(data, at, width, rows, label, counts, cell, every)


@word
def ones(_: Any, bits: Any) -> Any:
    """How many bits of a uint64 are set; int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


# --- Counting -----------------------------------------------------------------------------------------------


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
def add_runs(
    data: Pointer, at: int, ends: Word, n: int, times: int, left: int, scale: int, lookup: Pointer, counts: Pointer,
    seen: Pointer, across: int,
) -> int:  # fmt: skip
    """Add n <= 64 pixels, which begin at column `left`, `times` times to counts (C, across); a stray label or -1.

    ends: bit k: a run of one label ends with pixel k.
    """
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
def add_labels(
    data: Pointer, at: int, rows: int, width: int, left: int, scale: int, labels: Pointer, number: int,
    lookup: Pointer, counts: Pointer, seen: Pointer, across: int, every: Pointer,
) -> int:  # fmt: skip
    """Add `rows` rows of 64 pixels, which begin at column `left`, to counts (C, across); a stray label or -1.

    `scale` is a power of two: the pixels are of whole cells, or all in the columns of one. labels: `number`, those
    that have a channel. every: see `add_label`.
    """
    side, first = min(scale, BLOCK), left // scale
    for y in range(0, rows, MOST):
        here, n = at + y * width, min(rows - y, MOST)
        for x in range(BLOCK):
            every[x] = 0
        for i in range(number):
            label = signed(labels[i])
            channel = signed(lookup[label])
            seen[channel] |= add_label(side, data, here, width, n, label, counts, channel * across + first, every)
        others = False
        for x in range(BLOCK):
            others |= every[x] != n
        if others:
            for row in range(here, here + n * width, width):
                for x in range(row, row + BLOCK):
                    if signed(lookup[data[x]]) == STRAY:
                        return np.int64(data[x])  # type: ignore[return-value]
    return -1


@inner
def add_rows(
    data: Pointer, at: int, rows: int, width: int, size: int, scale: int, labels: Pointer, number: int,
    lookup: Pointer, counts: Pointer, seen: Pointer, across: int, every: Pointer,
) -> int:  # fmt: skip
    """Add `rows` rows of pixels, the first at `at`, to counts (C, across); a stray label or -1."""
    is_power = scale & (scale - 1) == 0
    for left in range(0, width, BLOCK):
        n = min(BLOCK, width - left)
        y = 0
        while y < rows:
            here = at + y * width + left
            times = 1
            while y + times < rows and differ(data, here, here + times * width, n, size) == 0:
                times += 1
            ends = differ(data, here, here + 1, n - 1, size) | (ONE << np.uint64(n - 1))
            if is_power and n == BLOCK and RUN * ones(ends) > times * number:
                times = rows - y  # the rows below will be much like this one
                stray = add_labels(
                    data, here, times, width, left, scale, labels, number, lookup, counts, seen, across, every
                )
            else:
                stray = add_runs(data, here, ends, n, times, left, scale, lookup, counts, seen, across)
            if stray >= 0:
                return stray
            y += times
    return -1


@inner
def flush(
    i: int, row: int, first: int, planes: int, area: int, as_shares: bool, levels: Any, counts: Pointer, seen: Any,
    rest: Pointer, out: Pointer,
) -> None:  # fmt: skip
    """Write row `row` of the cells of level i to `out`, add it to the level above, and forget it.

    `first`: of the image's planes. Only channels that were met are written: the others are 0 already.
    """
    down, across, at, below = levels[i]
    channels = seen.shape[1]
    divisor = area if as_shares else 1
    target = at + (first * down + row) * across
    for x in range(across):
        rest[x] = area
    for channel in range(channels):
        if not seen[i, channel]:
            continue
        seen[i, channel] = 0
        cells = below + channel * across
        put(counts, cells, out, target + channel * down * across, across, divisor)
        if planes > channels:
            for x in range(across):
                rest[x] -= counts[cells + x]
        if i + 1 < len(levels):
            seen[i + 1, channel] = 1
            above = levels[i + 1, 3] + channel * levels[i + 1, 1]
            for x in range(across):
                counts[above + (x >> 1)] += counts[cells + x]
        for x in range(across):
            counts[cells + x] = 0
    if planes > channels:
        put(rest, 0, out, target + channels * down * across, across, divisor)


@inner
def put(counts: Pointer, start: int, out: Pointer, target: int, n: int, divisor: int) -> None:
    """out[target + x] = counts[start + x] / divisor, x < n."""
    if divisor & (divisor - 1) == 0:
        factor = np.float32(1) / np.float32(divisor)  # of a power of two: the same values, without a division each
        for x in range(n):
            out[target + x] = np.float32(counts[start + x]) * factor
    else:
        for x in range(n):
            out[target + x] = np.float32(counts[start + x]) / np.float32(divisor)


@kernel("i8(u1[:,:,::1], i2[::1], u1[::1], i8, b1, b1, i8[:,::1], i4[::1], u1[:,::1], i4[::1], u1[::1], f4[::1])")
def count_cells(
    labels: NDArray[np.uint8],
    channel_of: NDArray[np.int16],
    wanted: NDArray[np.uint8],
    scale: int,
    with_rest: bool,
    as_shares: bool,
    levels: NDArray[np.int64],
    counts: NDArray[np.int32],
    seen: NDArray[np.uint8],
    rest: NDArray[np.int32],
    every: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> int:
    """Pixels of each channel in cells of `scale`, 2 * `scale`, ... pixels, a level each, from one pass over labels.

    Args:
        labels: (B, H, W).
        channel_of: (256,) label -> channel, `SKIPPED` or `STRAY`. wanted: those that have a channel.
        with_rest: add a channel: what else there is of a cell's pixels, also beyond the image.
        as_shares: divide by the pixels of a cell.
        levels: (L, 4): rows and columns of cells; where the level begins in `out`, there (B, channels, rows, columns),
            and in `counts`, there (C, columns).
        counts, seen: zeros, (L, C) the latter. rest: room for the columns of the finest level; every: for 64.
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
                data, (b * height + top) * width, min(scale, height - top), width, labels.size, scale, pointer(wanted),
                wanted.size, lookup, pointer(counts), pointer(seen), across, pointer(every),
            )  # fmt: skip
            if stray >= 0:
                return stray
            for i in range(len(levels)):
                # A row of cells of level i is complete after 2^i rows of the finest, or with the last of them.
                if row + 1 < down and (row + 1) & ((1 << i) - 1):
                    break
                area = (scale << i) * (scale << i)
                flush(
                    i, row >> i, b * planes, planes, area, as_shares, levels, pointer(counts), seen, pointer(rest),
                    pointer(out),
                )  # fmt: skip
    return -1
