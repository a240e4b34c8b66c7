"""Compiled loops: filtered RGB rows to a deflate stream (RFC 1951).

A photograph's residuals hardly repeat at length, and looking for the best match costs a compressor most of its time.
But what changes brightness changes red, green and blue alike, so that the three residuals of a pixel are often those
of a pixel close by. Rows are therefore taken pixel by pixel: each is three literals, or begins a match with the last
pixel that was hashed to the same place, if that has the same residuals and is at most `NEAR` bytes back, and if that
is shorter by the codes of the block before. Where that hardly happens, only the pixel before is compared, which finds
areas of one colour.

Which of the two comes next is hard to foretell, and a branch on it would cost more than all the rest. Hence *steps*,
uint32: three places, of 10 bits each, in one table of codes. A pixel is three literals; a match is a length, a
distance and nothing; the filter type of a row is a literal and nothing twice. All are counted and written alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numpy.typing import NDArray

from unify.kernels.compiled import BLOCK, Pointer, Word, differ_64, inner, kernel, lowest_bit, pointer, signed, word
from unify.kernels.deflate import (
    END,
    LONGEST,
    MAX_BITS,
    NUM_CODES,
    NUM_DISTANCES,
    assign_codes,
    code_lengths,
    describe,
    distance_symbol,
    match_symbol,
    put,
)

BYTES_PER_PIXEL = 3
NEAR = 512  # bytes to the pixel that is repeated, at most; farther matches save less than they cost in time
MATCH_PRICE = 7  # bits of a match, about, without those that tell its distance
LITERAL_PRICE = 5  # of a literal in the first block
SPARE = BLOCK  # bytes after the scanlines that may be read
BLOCK_BYTES = 1 << 17  # of scanlines, about, that share their codes
TABLE_BITS = 10  # of the table of pixels seen last
RARE = 4  # of so many pixels, one at least is in a match where it is worth to look in that table
PATIENCE = 8  # blocks, after which it is looked in again in any case

FIELD_BITS, FIELD = 10, 1023
NUM_LENGTHS = LONGEST // BYTES_PER_PIXEL  # matches are of whole pixels
LENGTH = 256  # place of the match of one pixel, after the literals
NOTHING = LENGTH + NUM_LENGTHS
DISTANCE = NOTHING  # distance d is at DISTANCE + d
PIXEL_BITS, HEAD_BYTES = 3 * MAX_BITS, 640  # at most: of a step, and of a block's head and end


@word
def pixel_at(_: Any, data: Any, i: Any) -> Any:
    """data[i : i + 3] as one int64, the first byte lowest. Reads 4 bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = builder.bitcast(builder.gep(args[0], [args[1]]), ir.IntType(32).as_pointer())
        both = builder.and_(builder.load(address, align=1), ir.Constant(ir.IntType(32), 0xFFFFFF))
        return builder.zext(both, ir.IntType(64))

    return types.int64(data, types.int64), generate


@inner
def step_of(first: int, second: int, third: int) -> int:
    """The step of these three places."""
    return first | second << FIELD_BITS | third << (2 * FIELD_BITS)


@inner
def same_bytes(data: Pointer, i: int, back: int, limit: int) -> int:
    """How many bytes from i on are those `back` bytes before them; `limit` at most."""
    size = 0
    while size < limit:
        more = lowest_bit(differ_64(data, i + size, i + size - back))
        size += more
        if more < BLOCK:
            break
    return min(size, limit)


@inner
def find_steps(
    lines: Pointer, start: int, end: int, looks: bool, last: Pointer, price: Pointer, steps: Pointer, n: int
) -> int:
    """Append the steps of a row of pixels, lines[start:end], to the `n` there are; the new number.

    `last`: where pixels were seen last, by hash; unless it `looks` there, only the pixel before is compared. `price`:
    bits of the places of literals, and at those of distances of a whole match.
    """
    i = start
    while i < end:
        pixel = pixel_at(lines, i)
        seen = max(i - BYTES_PER_PIXEL, 0)
        if looks:
            place = (pixel * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - TABLE_BITS)
            seen = signed(last[place])
            last[place] = i
        back = i - seen
        is_same = pixel_at(lines, seen) == pixel
        cost = signed(price[DISTANCE + min(back, NEAR + 1)])
        worth = signed(price[pixel & 255]) + signed(price[pixel >> 8 & 255]) + signed(price[pixel >> 16])
        pixels = 1
        if is_same & (back <= NEAR) & (pixel_at(lines, i + BYTES_PER_PIXEL) == pixel_at(lines, seen + BYTES_PER_PIXEL)):
            pixels = same_bytes(lines, i, back, min(LONGEST, end - i)) // BYTES_PER_PIXEL
        if (pixels > 1) & (pixels * worth > cost):
            steps[n] = step_of(LENGTH + pixels - 1, DISTANCE + back, NOTHING)
            i += BYTES_PER_PIXEL * pixels
        else:
            literals = step_of(pixel & 255, pixel >> 8 & 255, pixel >> 16)
            match = step_of(LENGTH, DISTANCE + back, NOTHING)
            steps[n] = literals ^ (literals ^ match) & -np.int64(is_same & (worth > cost))  # a choice without a branch
            i += BYTES_PER_PIXEL
        n += 1
    return n


@inner
def write_block(steps: Any, is_last: bool, price: Pointer, out: Pointer, at: int, word: Word) -> tuple[int, Word, int]:
    """Append a block with codes of its own at bit `at` of `out`; `word` has the bits of its byte. The new two, and the
    number of its matches.

    Leaves the bits of its literals in `price`, for the next block.
    """
    uses = np.zeros((3, FIELD + 1), np.int64)
    for step in steps:
        uses[0, step & FIELD] += 1
        uses[1, step >> FIELD_BITS & FIELD] += 1
        uses[2, step >> (2 * FIELD_BITS)] += 1
    symbol_uses = np.zeros(NUM_CODES, np.int64)
    for i in range(256):
        symbol_uses[i] = uses[0, i] + uses[1, i] + uses[2, i]
    matches = 0
    for k in range(NUM_LENGTHS):
        symbol_uses[match_symbol(BYTES_PER_PIXEL * k)[0]] += uses[0, LENGTH + k]
        matches += uses[0, LENGTH + k]
    symbol_uses[END] = 1
    distance_uses = np.zeros(NUM_DISTANCES, np.int64)
    distance_uses[:2] = 1  # a code needs two symbols; these are rare
    for distance in range(1, NEAR + 1):
        distance_uses[distance_symbol(distance)[0]] += uses[1, DISTANCE + distance]

    lengths, codes = np.zeros(NUM_CODES, np.int64), np.zeros(NUM_CODES, np.int64)
    code_lengths(symbol_uses, MAX_BITS, lengths)
    assign_codes(lengths, codes)
    distance_lengths, distance_codes = np.zeros(NUM_DISTANCES, np.int64), np.zeros(NUM_DISTANCES, np.int64)
    code_lengths(distance_uses, MAX_BITS, distance_lengths)
    assign_codes(distance_lengths, distance_codes)
    values = np.empty(HEAD_BYTES, np.int64)
    bits = np.empty(HEAD_BYTES, np.int64)
    for i in range(describe(lengths, distance_lengths, is_last, values, bits)):
        at, word = put(out, at, word, values[i], bits[i])

    packed = np.zeros(FIELD + 1, np.int64)  # the bits of each place, and in the lowest five their number
    for i in range(256):
        packed[i] = codes[i] << 5 | lengths[i]
        price[i] = lengths[i] if lengths[i] else MAX_BITS
    for k in range(NUM_LENGTHS):
        symbol, extra_bits, extra = match_symbol(BYTES_PER_PIXEL * k)
        packed[LENGTH + k] = (codes[symbol] | extra << lengths[symbol]) << 5 | (lengths[symbol] + extra_bits)
    for distance in range(1, NEAR + 1):
        symbol, extra_bits, extra = distance_symbol(distance)
        code = distance_codes[symbol] | extra << distance_lengths[symbol]
        packed[DISTANCE + distance] = code << 5 | (distance_lengths[symbol] + extra_bits)
    for step in steps:
        first, second = packed[step & FIELD], packed[step >> FIELD_BITS & FIELD]
        third = packed[step >> (2 * FIELD_BITS)]
        one = first & 31
        two = one + (second & 31)
        at, word = put(out, at, word, first >> 5 | second >> 5 << one | third >> 5 << two, two + (third & 31))
    at, word = put(out, at, word, codes[END], lengths[END])
    return at, word, matches


@kernel("i8(u1[::1], i8, i8, i8, u4[::1], u1[::1], u4[::1], u1[::1])")
def write_rows(
    scanlines: NDArray[np.uint8],
    height: int,
    width: int,
    block_rows: int,
    table: NDArray[np.uint32],
    prices: NDArray[np.uint8],
    steps: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> int:
    """Write rows as a deflate stream to `out`; its length in bytes. Arguments: see `deflate_rows`."""
    lines, last, price = pointer(scanlines), pointer(table), pointer(prices)
    to_steps, to = pointer(steps), pointer(out)
    row_bytes = BYTES_PER_PIXEL * width + 1
    at, word = 0, np.uint64(0)
    matched, pixels = 0, 0
    for first in range(0, height, block_rows):
        # Photographs have hardly any repeats. Whether that is still so is asked again every so often.
        looks = matched * RARE >= pixels or (first // block_rows) % PATIENCE == 0
        n = 0
        after = min(first + block_rows, height)
        for y in range(first, after):
            start = y * row_bytes
            to_steps[n] = step_of(signed(lines[start]), NOTHING, NOTHING)
            n = find_steps(lines, start + 1, start + row_bytes, looks, last, price, to_steps, n + 1)
        at, word, matches = write_block(steps[:n], after == height, price, to, at, word)
        pixels = (after - first) * width
        matched = pixels - (n - matches - (after - first))  # all steps but those of a row's filter are of pixels
    return (at + 7) >> 3


def deflate_rows(scanlines: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The deflate stream of filtered rows: (H, 3 W + 1) uint8, flat, then `SPARE` bytes whose values do not matter."""
    row_bytes = BYTES_PER_PIXEL * width + 1
    assert scanlines.size == height * row_bytes + SPARE
    block_rows = min(height, max(1, BLOCK_BYTES // row_bytes))
    num_blocks = -(-height // block_rows)
    table = np.zeros(1 << TABLE_BITS, np.uint32)
    prices = np.full(FIELD + 1, LITERAL_PRICE, np.uint8)
    for distance in range(1, NEAR + 1):
        prices[DISTANCE + distance] = MATCH_PRICE + distance.bit_length() - 1
    prices[DISTANCE + NEAR + 1] = 255  # more than any literals
    steps = np.empty(block_rows * (width + 1), np.uint32)
    out = np.empty(height * (width + 1) * PIXEL_BITS // 8 + num_blocks * HEAD_BYTES + 16, np.uint8)
    size = write_rows(scanlines, height, width, block_rows, table, prices, steps, out)
    return out[:size]
