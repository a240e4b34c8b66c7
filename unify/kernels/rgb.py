"""Compiled loops for RGB PNGs: rows filtered, filters undone, pixels filled in.

*Scanlines* are (H, 3 W + 1) uint8, flat; column 0 is the filter type of the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numpy.typing import NDArray

from unify.kernels.compiled import inner, kernel, pointer, signed, word
from unify.kernels.png import AVERAGE, PAETH, SUB, UP

BYTES_PER_PIXEL = 3
LANES = 32  # residuals that are computed at once

_NARROW = ir.VectorType(ir.IntType(8), LANES)
_WIDE = ir.VectorType(ir.IntType(16), LANES)


@word
def paeth_32(_: Any, pixels: Any, i: Any, above: Any, lines: Any, j: Any) -> Any:
    """lines[j + k] = pixels[i + k] less its Paeth prediction from pixels[above + k], for 32 bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, here, up_row, out, to = args

        def at(base: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(base, [index]), _NARROW.as_pointer())

        def load(index: Any, back: int) -> Any:
            narrow = builder.load(at(data, builder.sub(index, ir.Constant(ir.IntType(64), back))), align=1)
            return builder.zext(narrow, _WIDE)

        def size(value: Any) -> Any:
            negative = builder.icmp_signed("<", value, ir.Constant(_WIDE, [0] * LANES))
            return builder.select(negative, builder.neg(value), value)

        now, left = load(here, 0), load(here, BYTES_PER_PIXEL)
        up, upleft = load(up_row, 0), load(up_row, BYTES_PER_PIXEL)
        by_up, by_left = builder.sub(up, upleft), builder.sub(left, upleft)
        to_left, to_up, to_upleft = size(by_up), size(by_left), size(builder.add(by_up, by_left))
        guess = builder.select(builder.icmp_signed("<=", to_up, to_upleft), up, upleft)
        nearest = builder.and_(builder.icmp_signed("<=", to_left, to_up), builder.icmp_signed("<=", to_left, to_upleft))
        guess = builder.select(nearest, left, guess)
        residual = builder.trunc(builder.sub(now, guess), _NARROW)
        builder.store(residual, at(out, to), align=1)
        return context.get_dummy_value()

    return types.void(pixels, types.int64, types.int64, lines, types.int64), generate


@inner
def paeth(left: int, up: int, upleft: int) -> int:
    """The neighbour that is nearest to left + up - upleft (PNG specification, 9.4). Without branches."""
    to_left, to_up, to_upleft = abs(up - upleft), abs(left - upleft), abs(left + up - 2 * upleft)
    guess = up if to_up <= to_upleft else upleft
    return left if (to_left <= to_up) & (to_left <= to_upleft) else guess


@kernel("void(u1[::1], i8, i8, u1[::1])")
def filter_rgb(image: NDArray[np.uint8], height: int, width: int, scanlines: NDArray[np.uint8]) -> None:
    """Filter (H, W, 3) pixels, flat, to `scanlines`: the first row by Sub, the others by Paeth."""
    pixels, lines = pointer(image), pointer(scanlines)
    row_bytes = BYTES_PER_PIXEL * width
    for y in range(height):
        row, to = y * row_bytes, y * (row_bytes + 1) + 1
        lines[to - 1] = SUB if y == 0 else PAETH
        for x in range(BYTES_PER_PIXEL):
            up = signed(pixels[row - row_bytes + x]) if y else 0
            lines[to + x] = (signed(pixels[row + x]) - up) & 255
        if y == 0:
            for x in range(BYTES_PER_PIXEL, row_bytes):
                lines[to + x] = (signed(pixels[row + x]) - signed(pixels[row + x - BYTES_PER_PIXEL])) & 255
            continue
        x = BYTES_PER_PIXEL
        while x + LANES <= row_bytes:
            paeth_32(pixels, row + x, row + x - row_bytes, lines, to + x)
            x += LANES
        for i in range(row + x, row + row_bytes):
            above = i - row_bytes
            left, up = signed(pixels[i - BYTES_PER_PIXEL]), signed(pixels[above])
            upleft = signed(pixels[above - BYTES_PER_PIXEL])
            lines[to + i - row] = (signed(pixels[i]) - paeth(left, up, upleft)) & 255


@inner
def guess_of(kind: int, left: int, up: int, upleft: int) -> int:
    if kind == SUB:
        return left
    if kind == AVERAGE:
        return (left + up) >> 1
    return paeth(left, up, upleft)


@kernel("void(u1[::1], i8, i8, u1[::1])")
def unfilter_rgb(scanlines: NDArray[np.uint8], height: int, width: int, image: NDArray[np.uint8]) -> None:
    """Undo the filters of `scanlines`; their types have to be 0..4.

    `image`: (H + 1, W, 3), flat. The pixels go to rows 1 to H; row 0 has to be 0.
    """
    lines, pixels = pointer(scanlines), pointer(image)
    row_bytes = BYTES_PER_PIXEL * width
    for y in range(height):
        start, row = y * (row_bytes + 1) + 1, (y + 1) * row_bytes
        kind = lines[start - 1]
        above = row - row_bytes
        if kind == UP:
            for x in range(row_bytes):
                pixels[row + x] = lines[start + x] + pixels[above + x]
            continue
        if kind == 0:
            for x in range(row_bytes):
                pixels[row + x] = lines[start + x]
            continue
        left0 = left1 = left2 = upleft0 = upleft1 = upleft2 = 0
        for x in range(0, row_bytes, BYTES_PER_PIXEL):
            to, line = row + x, start + x
            up0, up1, up2 = signed(pixels[above + x]), signed(pixels[above + x + 1]), signed(pixels[above + x + 2])
            left0 = (signed(lines[line]) + guess_of(kind, left0, up0, upleft0)) & 255
            left1 = (signed(lines[line + 1]) + guess_of(kind, left1, up1, upleft1)) & 255
            left2 = (signed(lines[line + 2]) + guess_of(kind, left2, up2, upleft2)) & 255
            pixels[to], pixels[to + 1], pixels[to + 2] = left0, left1, left2
            upleft0, upleft1, upleft2 = up0, up1, up2


@kernel("void(u1[::1], u1[::1], u1[::1])")
def paste(image: NDArray[np.uint8], mask: NDArray[np.uint8], filling: NDArray[np.uint8]) -> None:
    """Fill (H, W, 3) pixels, flat, where (H, W) `mask` is not 0, with one colour (3,) or another image."""
    pixels, where, source = pointer(image), pointer(mask), pointer(filling)
    step = BYTES_PER_PIXEL if filling.size == image.size else 0
    for i in range(mask.size):
        if where[i]:
            for c in range(BYTES_PER_PIXEL):
                pixels[BYTES_PER_PIXEL * i + c] = source[step * i + c]
