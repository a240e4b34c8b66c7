"""Chance that is the same everywhere: every decision comes from the raw 64-bit words of PCG64.

`numpy.random.Generator` promises no fixed stream between numpy versions; its bit generators and
`SeedSequence` do (NEP 19). So words are drawn with `random_raw` and turned into numbers here, by
integer arithmetic and one exact multiplication.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

_UNIT = 1.0 / (1 << 53)


class Dice:
    """A stream of chances named by a key, e.g. `Dice(seed, "idd", "train", 3)`.

    The same key gives the same stream; `child` names a stream of its own, so that what one object
    draws never shifts what another one gets.
    """

    __slots__ = ("_bits", "_key")

    def __init__(self, *key: int | str) -> None:
        self._key = key
        digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
        self._bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big")))

    def child(self, *key: int | str) -> Dice:
        return Dice(*self._key, *key)

    def word(self) -> int:
        """64 random bits."""
        return int(self._bits.random_raw())

    def unit(self) -> float:
        """A number in [0, 1)."""
        return (self.word() >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def around(self, centre: float, spread: float) -> float:
        """A number within `spread` of `centre`, the middle more often (a triangular law)."""
        return centre + spread * (self.unit() + self.unit() - 1.0)

    def whole(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + (self.word() >> 11) % (high - low + 1)

    def chance(self, share: float) -> bool:
        return self.unit() < share

    def sign(self) -> int:
        return 1 if self.word() >> 63 else -1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.whole(0, len(options) - 1)]

    def weighted(self, options: dict[T, float]) -> T:
        """A key of `options`, in proportion to its weight."""
        mark = self.unit() * sum(options.values())
        for option, weight in options.items():
            mark -= weight
            if mark < 0:
                return option
        return next(reversed(options))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """A permutation of `items` (Fisher and Yates)."""
        out = list(items)
        for last in range(len(out) - 1, 0, -1):
            other = self.whole(0, last)
            out[last], out[other] = out[other], out[last]
        return out

    def bytes_hw(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """(height, width) uint8, every value equally likely, the same on any byte order."""
        words = self._bits.random_raw((height * width + 7) // 8).astype("<u8")
        return words.view(np.uint8)[: height * width].reshape(height, width)

    def units_n(self, count: int) -> npt.NDArray[np.float64]:
        """(count,) float64 in [0, 1)."""
        words: npt.NDArray[np.uint64] = self._bits.random_raw(count)
        return (words >> np.uint64(11)).astype(np.float64) * _UNIT
