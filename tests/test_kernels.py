"""The deflate stream of the label codec by itself, against zlib."""

from __future__ import annotations

import heapq
import zlib

import numpy as np
import pytest

from unify.kernels.deflate import code_lengths, deflate_room, deflate_tokens, distance_symbol, match_symbol


def inflated(tokens) -> bytes:
    tokens = np.array(tokens, np.uint16)
    out = np.full(deflate_room(tokens.size), 0xAA, np.uint8)
    size = deflate_tokens(tokens, out)
    stream = zlib.decompressobj(-15)
    data = stream.decompress(out[:size].tobytes())
    assert stream.eof and not stream.unused_data
    return data


def expanded(tokens) -> bytes:
    out = bytearray()
    for token in tokens:
        out += bytes([token]) if token < 256 else out[-1:] * (token - 253)
    return bytes(out)


def fibonacci(n: int) -> list[int]:
    """Token i as often as the i-th Fibonacci number: the deepest code trees there are."""
    a, b, tokens = 1, 1, []
    for i in range(n):
        tokens += [i] * a
        a, b = b, a + b
    return tokens


@pytest.mark.parametrize(
    "tokens",
    [
        [5],
        [5, 256],
        list(range(256)),
        [0, *range(256, 512)],
        [*range(256), *range(256, 512)],
        [0, 511] * 1000,
        fibonacci(16),
        fibonacci(24),
        [0] * 70000 + list(range(512)) * 3,
        [0, 300] * 20000 + list(range(100)),
    ],
    ids=lambda t: f"{len(t)}",
)
def test_tokens_survive_zlib(tokens):
    assert inflated(tokens) == expanded(tokens)


def test_random_tokens_survive_zlib():
    rng = np.random.default_rng(7)
    for _ in range(200):
        spread = rng.choice([1, 3, 20, 100, 500])
        tokens = [0, *(rng.geometric(1 / spread, rng.integers(1, 3000)) % 512)]
        assert inflated(tokens) == expanded(tokens)


def test_code_lengths_are_huffmans_where_the_limit_does_not_bind():
    rng = np.random.default_rng(8)
    for _ in range(100):
        uses = rng.integers(0, rng.choice([2, 5, 1000]), 60) * rng.integers(0, 2, 60)
        uses[:2] += 1
        lengths = np.zeros(60, np.int64)
        code_lengths(uses, 15, lengths)
        assert ((lengths > 0) == (uses > 0)).all()
        assert (0.5 ** lengths[lengths > 0]).sum() == 1
        heap = [int(u) for u in uses if u]
        heapq.heapify(heap)
        cost = 0
        while len(heap) > 1:
            joined = heapq.heappop(heap) + heapq.heappop(heap)
            cost += joined
            heapq.heappush(heap, joined)
        assert (uses * lengths).sum() == cost
        code_lengths(uses, 6, lengths)
        assert lengths.max() <= 6 and (0.5 ** lengths[lengths > 0]).sum() == 1


def test_match_symbols_are_those_of_the_table_in_rfc_1951():
    extra_bits = [0] * 8 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4 + [0]
    starts = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195]
    starts += [227, 258]
    for length in range(3, 259):
        row = max(i for i, start in enumerate(starts) if start <= length)
        assert match_symbol(length - 3) == (257 + row, extra_bits[row], length - starts[row])


def test_distance_symbols_are_those_of_the_table_in_rfc_1951():
    starts = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073]
    starts += [4097, 6145, 8193, 12289, 16385, 24577]
    extra_bits = [0, 0, *(n for n in range(14) for _ in range(2))]
    for distance in range(1, 32769):
        row = max(i for i, start in enumerate(starts) if start <= distance)
        assert distance_symbol(distance) == (row, extra_bits[row], distance - starts[row])
