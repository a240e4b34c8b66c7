"""Where the classes of an image are: a mean position for each class in each tile.

For class-uniform sampling as of Zhu et al., Improving Semantic Segmentation via Video Propagation and Label
Relaxation, CVPR 2019: crops are drawn around places that are known to show a class. Tiles of 1024x1024 pixels
are what its code uses; the paper does not say.

A class counts for a tile if a single pixel of it lies there. The mean position of a ring lies in its hole, so
that the pixel at a centroid need not be of the class; a crop around it is what holds some.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

TILE_PX = 1024  #: sides of a tile. They cover the image from the top left; the last ones are cut.
COLUMNS = ("centroid_class", "centroid_y", "centroid_x")  #: in a version


@dataclass(frozen=True, slots=True)
class Centroids:
    """Of all tiles, row by row, in each by rising class id. Positions are pixels of the whole image."""

    classes: tuple[int, ...]
    y: tuple[int, ...]
    x: tuple[int, ...]

    def columns(self) -> dict[str, tuple[int, ...]]:
        return dict(zip(COLUMNS, (self.classes, self.y, self.x), strict=True))


def centroids(ids_hw: NDArray[np.uint8], table: NDArray[np.uint8], num_classes: int) -> Centroids:
    """The mean position of each class in each tile of an image, rounded half up.

    Args:
        ids_hw: (H, W) ids.
        table: (256,) id → code; codes from `num_classes` on (sets, void) have no centroids.
    """
    height, width = ids_hw.shape
    across, down = -(-width // TILE_PX), -(-height // TILE_PX)
    sums = np.zeros((across * down, 256, 3), np.int64)
    _compiled()(np.ascontiguousarray(ids_hw), sums)
    tiles, ids = np.nonzero(sums[:, :, 0])
    by_code = np.zeros((across * down, 256, 3), np.int64)
    np.add.at(by_code, (tiles, table[ids]), sums[tiles, ids])
    tiles, classes = np.nonzero(by_code[:, :num_classes, 0])
    pixels, y, x2 = by_code[tiles, classes].T
    mean_y, mean_x = (2 * y + pixels) // (2 * pixels), (x2 + pixels) // (2 * pixels)
    return Centroids(tuple(classes.tolist()), tuple(mean_y.tolist()), tuple(mean_x.tolist()))


def add_positions(ids_hw: NDArray[np.uint8], sums: NDArray[np.int64]) -> None:
    """Add to `sums` (tiles, 256, 3) int64, of each tile and id: pixels, their rows, twice their columns.

    By runs of one id in a row, since labels have few. A plain loop: what `centroids` runs is this compiled.
    """
    height, width = ids_hw.shape
    across = (width + TILE_PX - 1) // TILE_PX
    for y in range(height):
        row = ids_hw[y]
        for column in range(across):
            tile = (y // TILE_PX) * across + column
            start = column * TILE_PX
            stop = min(start + TILE_PX, width)
            while start < stop:
                here = row[start]
                end = start + 1
                while end < stop and row[end] == here:
                    end += 1
                run = end - start
                sums[tile, here, 0] += run
                sums[tile, here, 1] += run * y
                sums[tile, here, 2] += run * (start + end - 1)
                start = end


@cache
def _compiled() -> Callable[[NDArray[np.uint8], NDArray[np.int64]], None]:
    from unify.kernels.compiled import kernel  # numba, which a build without centroids of gray labels may not need

    return kernel("void(u1[:,::1], i8[:,:,::1])")(add_positions)
