"""The compiled loops of `components`. They check no arguments, and shapes and bounds are their caller's care."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unify.kernels.compiled import BLOCK, ONE, Pointer, differ_64, inner, kernel, lowest_bit, pointer

Runs = NDArray[np.int32]


@inner
def _root(parents: Pointer, run: Any) -> Any:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@inner
def _join(ids: Pointer, starts: Pointer, parents: Pointer, above: Any, run: Any) -> None:
    """Two runs that touch are one component if they are of one id."""
    if ids[starts[above]] == ids[starts[run]]:
        one, other = _root(parents, above), _root(parents, run)
        if one < other:  # a parent always comes before its child
            parents[other] = one
        else:
            parents[one] = other


@inner
def _join_rows(ids: Pointer, starts: Pointer, parents: Pointer, above: Any, first: Any, runs: Any, width: Any) -> None:
    """Joins the runs `first` to `runs` of a row with those from `above` to `first`, in the row above."""
    run = first
    while above < first and run < runs:
        _join(ids, starts, parents, above, run)
        ahead = starts[above + 1] + width - starts[run + 1]
        if ahead == 0:  # both end here, and touch what comes next in the other row at a corner
            if run + 1 < runs:
                _join(ids, starts, parents, above, run + 1)
                _join(ids, starts, parents, above + 1, run)
            above += 1
            run += 1
        elif ahead < 0:
            above += 1
        else:
            run += 1


@kernel("UniTuple(i8, 2)(u1[:,::1], i4[::1], i4[::1])")
def join_runs(id_hw: NDArray[np.uint8], start_r: Runs, parent_r: Runs) -> tuple[int, int]:
    """Fills `start_r`, and `parent_r` with each run's component; how many runs and components there are."""
    height, width = id_hw.shape
    ids, starts, parents = pointer(id_hw), pointer(start_r), pointer(parent_r)
    runs = above = 0
    for y in range(height):
        first, row = runs, y * width
        # Where runs begin: at the left edge, and wherever a pixel differs from the one before it.
        starts[runs] = row
        runs += 1
        i, end = row + 1, row + width
        while i + BLOCK <= end:
            word = differ_64(ids, i, i - 1)
            while word:
                starts[runs] = i + lowest_bit(word)
                runs += 1
                word &= word - ONE
            i += BLOCK
        while i < end:
            if ids[i] != ids[i - 1]:
                starts[runs] = i
                runs += 1
            i += 1
        starts[runs] = end
        for run in range(first, runs):
            parents[run] = run
        if y > 0:
            _join_rows(ids, starts, parents, above, first, runs, width)
        above = first
    count = 0
    for run in range(runs):
        if parents[run] == run:
            parents[run] = count
            count += 1
        else:
            parents[run] = parents[parents[run]]  # that one has its number already
    return runs, count


@kernel("void(f4[::1], i4[::1], i4[::1], f8[::1], i8[::1])")
def add_runs(
    value_n: NDArray[np.float32],
    start_r: Runs,
    component_r: Runs,
    sum_c: NDArray[np.float64],
    size_c: NDArray[np.int64],
) -> None:
    """Adds each pixel's value, and 1, to the sum and the size of its component."""
    values, starts = pointer(value_n), pointer(start_r)
    for run in range(component_r.size):
        component = component_r[run]
        total = sum_c[component]
        for i in range(starts[run], starts[run + 1]):
            total += values[i]
        sum_c[component] = total
        size_c[component] += starts[run + 1] - starts[run]


@kernel("void(f4[::1], i4[::1], i4[::1], f4[::1])")
def paint_runs(value_c: NDArray[np.float32], start_r: Runs, component_r: Runs, out_n: NDArray[np.float32]) -> None:
    """Each pixel gets the value of its component."""
    starts, out = pointer(start_r), pointer(out_n)
    for run in range(component_r.size):
        value = value_c[component_r[run]]
        for i in range(starts[run], starts[run + 1]):
            out[i] = value
