"""Compiled loops: PNG filters undone, label pixels to run lengths.

Label maps are large areas of one id, so nearly every pixel equals the one above it. The loops here pass
over what is equal 64 pixels at a time and work only where something changes: their time goes with the
number of border pixels more than with the size of the image.

*Scanlines* are what a PNG inflates to: (H, W + 1) uint8, flat; column 0 is the filter type of the row.
Filters are undone in place, so the same buffer then holds the pixels in columns 1 to W.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unify.kernels.compiled import (
    ALL,
    BLOCK,
    ONE,
    Pointer,
    Word,
    differ_64,
    fill_zeros_64,
    inner,
    kernel,
    lowest_bit,
    pointer,
    signed,
)
from unify.kernels.deflate import LONGEST, MATCH

SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4  # filter types (PNG specification, section 9); 0 is none
ADLER = 65521  # the modulus of Adler-32


@inner
def differ(data: Pointer, i: int, j: int, n: int) -> Word:
    """`differ_64` of the first n <= 64 bytes."""
    if n == BLOCK:
        return differ_64(data, i, j)
    bits = np.uint64(0)
    for k in range(n):
        if data[i + k] != data[j + k]:
            bits |= ONE << np.uint64(k)
    return bits


@inner
def fill_zeros(data: Pointer, i: int, j: int, n: int) -> Word:
    """`fill_zeros_64` of the first n <= 64 bytes."""
    if n == BLOCK:
        return fill_zeros_64(data, i, j)
    bits = np.uint64(0)
    for k in range(n):
        if data[i + k] == 0:
            data[i + k] = data[j + k]
        else:
            bits |= ONE << np.uint64(k)
    return bits


@inner
def undo_sub(data: Pointer, row: int, width: int) -> None:
    left = 0
    for x in range(row, row + width):
        left = (left + signed(data[x])) & 255
        data[x] = left


@inner
def undo_up(data: Pointer, row: int, width: int) -> None:
    for x in range(row, row + width):
        data[x] = np.uint8(data[x] + data[x - width - 1])


@inner
def undo_average(data: Pointer, row: int, width: int, is_top: bool) -> None:
    left = 0
    for x in range(row, row + width):
        up = 0 if is_top else signed(data[x - width - 1])
        left = (signed(data[x]) + ((left + up) >> 1)) & 255
        data[x] = left


@inner
def undo_paeth(data: Pointer, row: int, width: int) -> None:
    """Paeth predicts by the neighbour nearest to left + up - upleft: by up, whenever left == upleft.

    So pixels are those above until a residual is not 0; from there one by one, until left == upleft again.
    """
    above = row - width - 1
    left = upleft = 0
    for start in range(0, width, BLOCK):
        n = min(BLOCK, width - start)
        residuals = fill_zeros(data, row + start, above + start, n)  # bit: data still has the residual
        k = 0
        while k < n:
            if left == upleft:
                k = lowest_bit(residuals & (ALL << np.uint64(k)))
                if k >= n:
                    break
            x = start + k
            residual = signed(data[row + x]) if (residuals >> np.uint64(k)) & ONE else 0
            up = signed(data[above + x])
            to_left, to_up, to_upleft = abs(up - upleft), abs(left - upleft), abs(left + up - 2 * upleft)
            guess = up if to_up <= to_upleft else upleft
            guess = left if to_left <= to_up and to_left <= to_upleft else guess
            left = (residual + guess) & 255
            upleft = up
            data[row + x] = left
            k += 1


@kernel("void(u1[::1], i8, i8)")
def unfilter(scanlines: NDArray[np.uint8], height: int, width: int) -> None:
    """Undo the filters of (H, W + 1) `scanlines` in place. Their types have to be 0..4."""
    data = pointer(scanlines)
    for y in range(height):
        row = y * (width + 1) + 1
        kind = data[row - 1]
        is_top = y == 0  # above is all 0: Paeth comes to Sub, Up to nothing
        if kind == SUB or (kind == PAETH and is_top):
            undo_sub(data, row, width)
        elif kind == UP and not is_top:
            undo_up(data, row, width)
        elif kind == AVERAGE:
            undo_average(data, row, width, is_top)
        elif kind == PAETH:
            undo_paeth(data, row, width)


@inner
def add_run(tokens: Pointer, n: int, value: int, length: int) -> int:
    """Append `length` >= 1 times `value`; the new number of tokens. May write one token beyond."""
    tokens[n] = value
    n += 1
    length -= 1
    while length >= LONGEST:
        tokens[n] = MATCH + LONGEST - 3
        n += 1
        length -= LONGEST
    tokens[n] = value if length < 3 else MATCH + length - 3
    tokens[n + 1] = value
    return n + (length if length < 3 else 1)


@inner
def add_top_row(
    data: Pointer, width: int, total: int, height: int, new: Pointer, pixels: Pointer, tokens: Pointer
) -> tuple[int, int, int]:
    """`tokenize` for the first row, with nothing above it: number of tokens, the two sums of Adler-32."""
    n = 0
    value, length = UP, 1
    plain, weighted = 1 + UP, total + UP * total
    for x in range(1, width + 1):
        pixels[data[x]] += height
        residual = signed(new[data[x]])
        plain = (plain + residual) % ADLER
        weighted = (weighted + residual * (total - x)) % ADLER
        if residual != value:
            n = add_run(tokens, n, value, length)
            value, length = residual, 0
        length += 1
    return add_run(tokens, n, value, length), plain, weighted


@kernel("Tuple((i8, i8))(u1[::1], i8, i8, u1[::1], i8[::1], u2[::1])")
def tokenize(
    scanlines: NDArray[np.uint8],
    height: int,
    width: int,
    table: NDArray[np.uint8],
    counts: NDArray[np.int64],
    tokens: NDArray[np.uint16],
) -> tuple[int, int]:
    """Map pixels through `table` and filter them Up, as tokens of `deflate`.

    Args:
        scanlines: (H, W + 1), unfiltered; column 0 is not used.
        table: (256,), the new id of each id.
        counts: (256,); pixels of each id, before the table, are added to it.
        tokens: room for them, at least W + 4.

    Returns the number of tokens, -1 if there was no room for them, and the Adler-32 of the filtered
    scanlines. `counts` is right in either case.
    """
    data, new, pixels, to = pointer(scanlines), pointer(table), pointer(counts), pointer(tokens)
    total = height * (width + 1)
    is_full = False
    # Adler-32 is the sum of all bytes, and the sum of each times the number of bytes from it to the end.
    n, plain, weighted = add_top_row(data, width, total, height, new, pixels, to)
    for y in range(1, height):
        if n + width + 4 > tokens.size:
            is_full = True
            n = 0
        row = y * (width + 1) + 1
        above = row - width - 1
        plain += UP
        weighted += UP * (total - row + 1)
        # The run to be added next: the filter type at first, then the last residuals that are not 0.
        value, length = UP, 1
        end = 0  # the column after it; from there on all residuals so far are 0
        for start in range(0, width, BLOCK):
            size = min(BLOCK, width - start)
            changed = differ(data, row + start, above + start, size)
            if changed == 0:
                continue
            # Cut where either row goes over to another id, so that all pixels of a piece are alike.
            cuts = differ(data, row + start, row + start - 1, size)
            cuts |= differ(data, above + start, above + start - 1, size) | ~changed
            while changed:
                first = lowest_bit(changed)
                last = lowest_bit(cuts & (ALL << np.uint64(first) << ONE))
                changed &= ALL << np.uint64(last - 1) << ONE
                x, run = start + first, last - first
                here, up = data[row + x], data[above + x]
                # An id holds for the rows below too, until one of them changes it.
                pixels[here] += run * (height - y)
                pixels[up] -= run * (height - y)
                residual = (signed(new[here]) - signed(new[up])) & 255
                if residual == 0:
                    continue
                plain += residual * run
                from_end = total - row - x  # of the first pixel; the next one's is 1 less
                weighted = (weighted + residual * (run * from_end - (run * (run - 1) >> 1))) % ADLER
                if x > end or residual != value:
                    n = add_run(to, n, value, length)
                    if x > end:
                        n = add_run(to, n, 0, x - end)
                    value, length = residual, 0
                length += run
                end = x + run
        n = add_run(to, n, value, length)
        if end < width:
            n = add_run(to, n, 0, width - end)
        plain %= ADLER
        weighted %= ADLER
    return -1 if is_full else n, (weighted << 16) | plain
