"""Compiled loops: run lengths to a deflate stream (RFC 1951).

*Tokens* are the steps of a stream that knows run lengths only, uint16: 0..255 is a literal byte,
256 + k repeats the byte before k + 3 times (a match of length k + 3 at distance 1). On filtered label maps
that comes within a few percent of a full search for matches, in a hundredth of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unify.kernels.compiled import Pointer, Word, inner, kernel, pointer, signed, store_word

MATCH, LONGEST, NUM_TOKENS = 256, 258, 512  # first match token; the longest match, in bytes; tokens
TOKEN_BITS = 21  # at most, in the stream: 15 for the code, 5 for the length, 1 for the distance
END, NUM_CODES, MAX_BITS = 256, 286, 15  # end-of-block symbol; literal and length symbols; longest code
NUM_DISTANCES = 30  # symbols of distances
NUM_LENGTH_CODES, MAX_LENGTH_BITS = 19, 7  # the code in which those codes' lengths are written
LENGTH_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])


@inner
def match_symbol(k: int) -> tuple[int, int, int]:
    """Symbol, number of extra bits and their value of a match of length k + 3 (RFC 1951, 3.2.5)."""
    if k == LONGEST - 3:
        return 285, 0, 0
    bits = 0
    while k >> bits >= 8:
        bits += 1
    return 257 + 4 * bits + (k >> bits), bits, k & ((1 << bits) - 1)


@inner
def distance_symbol(distance: int) -> tuple[int, int, int]:
    """Symbol, number of extra bits and their value of the distance of a match (RFC 1951, 3.2.5)."""
    k, bits = distance - 1, 0
    while k >> bits >= 4:
        bits += 1
    return 2 * bits + (k >> bits), bits, k & ((1 << bits) - 1)


@inner
def code_lengths(uses: Any, limit: int, lengths: Any) -> None:
    """Bits for each symbol in a prefix code, none over `limit`; 0 where `uses` is 0. Two symbols at least."""
    order = np.empty(uses.size, np.int64)  # symbols in use, the rarest first
    num = 0
    for symbol in range(uses.size):
        lengths[symbol] = 0
        if uses[symbol] > 0:
            at = num
            while at > 0 and uses[order[at - 1]] > uses[symbol]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = symbol
            num += 1

    # Huffman: join the two rarest nodes until one is left. Both leaves and joints come sorted.
    weight = np.zeros(2 * num, np.int64)
    parent = np.zeros(2 * num, np.int64)
    for i in range(num):
        weight[i] = uses[order[i]]
    leaf, joint = 0, num
    for new in range(num, 2 * num - 1):
        for _ in range(2):
            if joint == new or (leaf < num and weight[leaf] <= weight[joint]):
                child = leaf
                leaf += 1
            else:
                child = joint
                joint += 1
            weight[new] += weight[child]
            parent[child] = new

    depth = weight  # done with weights
    depth[2 * num - 2] = 0
    of_length = np.zeros(limit + 1, np.int64)
    space = 0  # that the codes take, of 1 << limit
    for i in range(2 * num - 3, -1, -1):
        depth[i] = depth[parent[i]] + 1
        if i < num:
            length = min(depth[i], limit)
            of_length[length] += 1
            space += 1 << (limit - length)
    # Where the limit cut codes short, let a longest one become the sibling of a shorter one.
    while space > 1 << limit:
        length = limit - 1
        while of_length[length] == 0:
            length -= 1
        of_length[length] -= 1
        of_length[length + 1] += 2
        of_length[limit] -= 1
        space -= 1
    i = 0
    for length in range(limit, 0, -1):
        for _ in range(of_length[length]):
            lengths[order[i]] = length
            i += 1


@inner
def assign_codes(lengths: Any, codes: Any) -> None:
    """Canonical codes (RFC 1951, 3.2.2), their bits reversed, as they are to be written."""
    code = 0
    for length in range(1, MAX_BITS + 1):
        for symbol in range(lengths.size):
            if lengths[symbol] == length:
                reverse = 0
                for bit in range(length):
                    reverse |= ((code >> bit) & 1) << (length - 1 - bit)
                codes[symbol] = reverse
                code += 1
        code <<= 1


@inner
def shorten(lengths: Any, symbols: Any, extras: Any) -> int:
    """Code lengths as run-length symbols with their extra values (RFC 1951, 3.2.7); how many."""
    n = i = 0
    while i < lengths.size:
        run = 1
        while i + run < lengths.size and lengths[i + run] == lengths[i] and run < 138:
            run += 1
        if lengths[i] == 0 and run > 10:
            symbols[n], extras[n] = 18, run - 11
        elif lengths[i] == 0 and run >= 3:
            symbols[n], extras[n] = 17, run - 3
        elif i > 0 and lengths[i] == lengths[i - 1] and run >= 3:
            run = min(run, 6)
            symbols[n], extras[n] = 16, run - 3
        else:
            run = 1
            symbols[n], extras[n] = lengths[i], 0
        i += run
        n += 1
    return n


@inner
def describe(lengths: Any, distances: Any, is_last: bool, values: Any, bits: Any) -> int:
    """Head of a block with dynamic codes (RFC 1951, 3.2.7) as `values` of `bits` each; how many.

    `lengths` and `distances`: the code lengths of literals and matches, and of distances.
    """
    last, last_distance = NUM_CODES, distances.size
    while lengths[last - 1] == 0:
        last -= 1
    while distances[last_distance - 1] == 0:
        last_distance -= 1
    both = np.empty(last + last_distance, np.int64)
    for i in range(last):
        both[i] = lengths[i]
    for i in range(last_distance):
        both[last + i] = distances[i]
    symbols = np.empty(both.size, np.int64)
    extras = np.empty(both.size, np.int64)
    num = shorten(both, symbols, extras)
    uses = np.zeros(NUM_LENGTH_CODES, np.int64)
    for i in range(num):
        uses[symbols[i]] += 1
    own_lengths = np.zeros(NUM_LENGTH_CODES, np.int64)
    own_codes = np.zeros(NUM_LENGTH_CODES, np.int64)
    code_lengths(uses, MAX_LENGTH_BITS, own_lengths)
    assign_codes(own_lengths, own_codes)
    written = NUM_LENGTH_CODES
    while own_lengths[LENGTH_ORDER[written - 1]] == 0:
        written -= 1

    values[0], bits[0] = 0b100 | is_last, 3  # dynamic codes
    values[1], bits[1] = last - 257, 5
    values[2], bits[2] = last_distance - 1, 5
    values[3], bits[3] = written - 4, 4
    n = 4
    for i in range(written):
        values[n], bits[n] = own_lengths[LENGTH_ORDER[i]], 3
        n += 1
    for i in range(num):
        symbol = symbols[i]
        values[n], bits[n] = own_codes[symbol], own_lengths[symbol]
        n += 1
        if symbol >= 16:
            values[n], bits[n] = extras[i], (2 if symbol == 16 else 3 if symbol == 17 else 7)
            n += 1
    return n


@inner
def put(out: Pointer, at: int, word: Word, value: int, bits: int) -> tuple[int, Word]:
    """Append `bits` <= 56 of `value` at bit `at`; `word` has the bits of its byte. The new two."""
    word |= np.uint64(value) << np.uint64(at & 7)
    store_word(out, at >> 3, word)
    after = at + bits
    return after, word >> np.uint64(((after >> 3) - (at >> 3)) << 3)


@kernel("i8(u2[::1], u1[::1])")
def deflate_tokens(tokens: NDArray[np.uint16], out: NDArray[np.uint8]) -> int:
    """Write `tokens` as a deflate stream of one block to `out`; its length in bytes.

    `out` has to have `deflate_room(tokens.size)` bytes.
    """
    token_uses = np.zeros(NUM_TOKENS, np.int64)
    for token in tokens:
        token_uses[token] += 1
    uses = np.zeros(NUM_CODES, np.int64)
    for i in range(256):
        uses[i] += token_uses[i]
        uses[match_symbol(i)[0]] += token_uses[MATCH + i]
    uses[END] = 1
    lengths = np.zeros(NUM_CODES, np.int64)
    codes = np.zeros(NUM_CODES, np.int64)
    code_lengths(uses, MAX_BITS, lengths)
    assign_codes(lengths, codes)

    to = pointer(out)
    at, word = 0, np.uint64(0)
    values = np.empty(4 + NUM_LENGTH_CODES + 2 * (NUM_CODES + 1), np.int64)
    bits = np.empty(values.size, np.int64)
    distances = np.ones(1, np.int64)  # the one distance, in one bit
    for i in range(describe(lengths, distances, True, values, bits)):
        at, word = put(to, at, word, values[i], bits[i])

    # Each token's bits, and in the lowest five their number. The distance, always 1, is a 0 bit.
    packed = np.empty(NUM_TOKENS, np.uint32)
    for i in range(256):
        packed[i] = codes[i] << 5 | lengths[i]
        symbol, extra_bits, extra = match_symbol(i)
        code = codes[symbol] | extra << lengths[symbol]
        packed[MATCH + i] = code << 5 | (lengths[symbol] + extra_bits + 1)
    for token in tokens:
        code = signed(packed[token])
        at, word = put(to, at, word, code >> 5, code & 31)
    at, word = put(to, at, word, codes[END], lengths[END])
    return (at + 7) >> 3


def deflate_room(num_tokens: int) -> int:
    """Bytes that `deflate_tokens` may touch: the tokens' longest codes, the block's head, a word beyond."""
    return num_tokens * TOKEN_BITS // 8 + 1024
