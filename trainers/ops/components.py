"""Connected components of a map of ids, of all ids in one pass, as runs of equal pixels.

A run is a stretch of one id within a row. Runs that touch a run of the same id in the row above, also at a corner, are
joined (union-find); a second pass over the runs numbers what came together. A street scene of two million pixels has
some ten thousand runs, so that all but the search for them costs little. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.ops.components_kernels import add_runs, join_runs, paint_runs


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """C components of an (H, W) map, 8-connected, numbered in the order of their first pixels, row by row.

    start_r: (R + 1,) int32, where each run begins in the flattened map; last, H * W. component_r: (R,) int32, of which
    component it is. id_c: (C,) uint8, the id of its pixels.
    """

    size_hw: tuple[int, int]
    start_r: NDArray[np.int32]
    component_r: NDArray[np.int32]
    id_c: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.id_c)

    def means(self, value_hw: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(C,) mean of `value_hw` in each, and its pixels. Sums are float64, pixel after pixel in the order of rows."""
        assert value_hw.shape == self.size_hw, "a value for each pixel"
        sum_c, size_c = np.zeros(len(self)), np.zeros(len(self), np.int64)
        value_n = np.ascontiguousarray(value_hw, np.float32).reshape(-1)
        add_runs(value_n, self.start_r, self.component_r, sum_c, size_c)
        return sum_c / size_c, size_c

    def painted(self, value_c: NDArray[Any]) -> NDArray[np.float32]:
        """(H, W) float32: each pixel with the value of its component."""
        out_n = np.empty(self.size_hw[0] * self.size_hw[1], np.float32)
        paint_runs(value_c.astype(np.float32), self.start_r, self.component_r, out_n)
        return out_n.reshape(self.size_hw)

    def numbers(self) -> NDArray[np.int32]:
        """(H, W) int32: each pixel with the number of its component."""
        return np.repeat(self.component_r, np.diff(self.start_r)).reshape(self.size_hw)


def components(id_hw: NDArray[np.uint8]) -> Components:
    """The components of (H, W) uint8 ids, at least one pixel and less than 2^31."""
    assert id_hw.dtype == np.uint8 and id_hw.ndim == 2 and id_hw.size, "(H, W) uint8"
    id_hw = np.ascontiguousarray(id_hw)
    start_r = np.empty(id_hw.size + 1, np.int32)  # one run a pixel is the worst; what is not used is never touched
    parent_r = np.empty(id_hw.size, np.int32)
    runs, count = join_runs(id_hw, start_r, parent_r)
    start_r, component_r = start_r[: runs + 1], parent_r[:runs]
    id_c = np.empty(count, np.uint8)
    id_c[component_r] = id_hw.reshape(-1)[start_r[:-1]]
    return Components((id_hw.shape[0], id_hw.shape[1]), start_r, component_r, id_c)
