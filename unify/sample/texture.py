"""Surfaces: tileable grey patterns, laid on the ground and on walls in perspective.

A tile is (SIDE, SIDE) uint8; 128 leaves a colour as it is, 64 halves it. Everything is integer
arithmetic, or single correctly rounded float operations, so a picture is the same on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from unify.sample.camera import Camera
from unify.sample.dice import Dice

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]

SIDE = 512
PER_M = 64  # tile pixels per metre: a tile repeats after 8 m


def _smooth(field_hw: Ints, reach: int) -> Ints:
    """Moving average of `reach` pixels along both axes, wrapping round."""
    for axis in (0, 1):
        wrapped = np.concatenate([field_hw, field_hw.take(range(reach), axis=axis)], axis=axis)
        total = np.cumsum(wrapped, axis=axis, dtype=np.int32)
        lead = total.take(range(reach, total.shape[axis]), axis=axis)
        field_hw = (lead - total.take(range(field_hw.shape[axis]), axis=axis)) // reach
    return field_hw


def _stretch(field_hw: Ints, amplitude: int, centre: int = 0) -> Ints:
    """`field_hw` moved and scaled so that 2.5 mean deviations fill `amplitude`."""
    moved = field_hw - int(field_hw.mean())
    spread = max(1, int(np.abs(moved).mean()))
    scaled: Ints = np.clip(moved * amplitude * 2 // (spread * 5), -amplitude * 2, amplitude * 2) + centre
    return scaled


@lru_cache(maxsize=64)
def value_noise(name: str, cell: int, side: int = SIDE) -> Ints:
    """(side, side) int32 smooth noise with lumps of `cell` pixels, 128 deep at most, mean about 0."""
    coarse = Dice("texture", name, cell).bytes_hw(side // cell, side // cell).astype(np.int32) * 64
    full = np.repeat(np.repeat(coarse, cell, axis=0), cell, axis=1)
    if cell > 1:
        full = _smooth(_smooth(full, cell), max(2, cell // 2))
    return _stretch(full, 48)


def fractal(name: str, cells: tuple[int, ...], side: int = SIDE) -> Ints:
    """Noise of several lump sizes, each counting half as much as the one before."""
    total = np.zeros((side, side), np.int32)
    for step, cell in enumerate(cells):
        total += value_noise(name, cell, side) >> step
    return total


def _tile(field_hw: Ints, amplitude: int, base: int = 128) -> Bytes:
    tile: Bytes = np.clip(_stretch(field_hw, amplitude) + base, 0, 255).astype(np.uint8)
    return tile


def _grid(name: str, height: int, width: int, joint: int, depth: int, spread: int, stagger: bool) -> Ints:
    """Stones of height x width pixels with joints `depth` darker, each a little lighter or darker."""
    row, column = np.mgrid[0:SIDE, 0:SIDE].astype(np.int32)
    course = row // height
    column = (column + (course % 2) * (width // 2)) % SIDE if stagger else column
    stones = Dice("stones", name).bytes_hw(SIDE // height + 1, SIDE // width + 1).astype(np.int32)
    tone: Ints = (stones[course, column // width] - 128) * spread // 128
    tone[(row % height < joint) | (column % width < joint)] -= depth
    return tone


def _asphalt() -> Bytes:
    grain = value_noise("asphalt", 1) + value_noise("asphalt", 2)
    chips = np.where(value_noise("chips", 2) > 70, 60, 0)
    return _tile(grain + fractal("asphalt wear", (64, 16)) // 2 + chips, 11)


def _cracked(base: Bytes, name: str) -> Bytes:
    lines = np.abs(fractal(name, (128, 32, 8)))
    rare = value_noise(name + " where", 128) > 18
    cracked: Bytes = np.where((lines < 2) & rare, base - np.minimum(base, 22), base)
    return cracked


def _paving() -> Bytes:
    return _plus(_grid("paving", 8, 16, 1, 22, 12, True), value_noise("paving", 1), 6)


def _slabs() -> Bytes:
    worn = fractal("slabs", (64, 8, 2))
    return _plus(_grid("slabs", 32, 32, 1, 26, 9, True), worn + value_noise("slabs", 1), 8)


def _cobbles() -> Bytes:
    return _plus(_grid("cobbles", 8, 8, 2, 34, 26, True), value_noise("cobbles", 2), 12)


def _plus(tone: Ints, noise: Ints, amplitude: int) -> Bytes:
    tile: Bytes = np.clip(tone + _stretch(noise, amplitude) + 128, 0, 255).astype(np.uint8)
    return tile


def _grass() -> Bytes:
    blades = value_noise("blades", 1) + value_noise("blades", 2) + value_noise("blades", 4)
    return _tile(blades + fractal("meadow", (128, 32)), 30)


def _rail_bed() -> Bytes:
    return _tile(value_noise("ballast", 4) + value_noise("ballast", 2) + value_noise("ballast", 1) // 2, 34)


def _water() -> Bytes:
    ripples = _smooth(fractal("water", (16, 4)), 2)
    long = (ripples + np.roll(ripples, 8, axis=1) + np.roll(ripples, 16, axis=1) + np.roll(ripples, 24, axis=1)) // 4
    return _tile(long, 16)


def _brick() -> Bytes:
    return _plus(_grid("brick", 8, 16, 1, -26, 22, True), value_noise("brick", 1), 8)


def _planks() -> Bytes:
    return _plus(_grid("planks", 16, 512, 2, 30, 8, False), value_noise("planks", 2), 5)


def _blocks() -> Bytes:
    return _plus(_grid("blocks", 32, 64, 2, 24, 14, True), fractal("blocks", (16, 2)), 8)


#: texture name -> how its tile is made
PATTERNS: dict[str, Callable[[], Bytes]] = {
    "asphalt": lambda: _cracked(_asphalt(), "cracks"),
    "paint": lambda: _tile(fractal("paint", (32, 8, 2)) + value_noise("paint", 1), 12, 124),
    "paving": _paving,
    "slabs": _slabs,
    "cobbles": _cobbles,
    "concrete": lambda: _tile(fractal("concrete", (64, 16, 4)) + value_noise("concrete", 1) // 2, 9),
    "grass": _grass,
    "dirt": lambda: _tile(fractal("dirt", (128, 32, 8)) + value_noise("dirt", 2) + value_noise("dirt", 1), 20),
    "gravel": lambda: _tile(value_noise("gravel", 2) + value_noise("gravel", 1), 28),
    "sand": lambda: _tile(fractal("sand", (64, 16, 4)) + value_noise("sand", 1) // 2, 10),
    "snow": lambda: _tile(fractal("snow", (128, 32, 8)), 7),
    "water": _water,
    "ballast": _rail_bed,
    "track": lambda: _plus(_grid("track", 16, 16, 1, 14, 8, True), value_noise("track", 1), 8),
    "iron": lambda: _plus(_grid("iron", 4, 4, 1, 26, 10, False), value_noise("iron", 1), 10),
    "plaster": lambda: _tile(fractal("plaster", (128, 32, 8)) + value_noise("plaster", 1) // 3, 6),
    "brick": _brick,
    "planks": _planks,
    "blocks": _blocks,
}

#: texture name -> how strongly the finished picture is grained where it shows (8-bit steps)
GRAIN: dict[str, int] = {
    "leaf": 9,
    "bark": 6,
    "cloth": 4,
    "metal": 2,
    "wall": 4,
    "grass": 6,
    "gravel": 6,
    "ballast": 6,
    "dirt": 5,
    "asphalt": 3,
    "paint": 3,
    "paving": 3,
    "slabs": 3,
    "cobbles": 4,
    "sand": 3,
    "concrete": 3,
}


@lru_cache(maxsize=64)
def pyramid(name: str) -> tuple[Bytes, ...]:
    """A pattern at full size, half, quarter ... down to 8 x 8."""
    levels = [PATTERNS[name]()]
    while levels[-1].shape[0] > 8:
        big = levels[-1].astype(np.uint16)
        four = big[::2, ::2] + big[1::2, ::2] + big[::2, 1::2] + big[1::2, 1::2]
        levels.append(((four + 2) >> 2).astype(np.uint8))
    return tuple(levels)


def _sample(name: str, across_px: Ints, along_px: Ints, level: int) -> Bytes:
    """A pattern's values at tile pixels (broadcast against each other), `level` halvings coarse."""
    tiles = pyramid(name)
    level = min(level, len(tiles) - 1)
    last = tiles[level].shape[0] - 1
    picked: Bytes = tiles[level][(along_px >> level) & last, (across_px >> level) & last]
    return picked


def shade_ground(image_hw3: Bytes, pattern_hw: Bytes, names: tuple[str, ...], camera: Camera, wear: float) -> None:
    """Lay patterns on the ground below the horizon, in place.

    `pattern_hw` holds 1 + an index into `names`, 0 where there is no ground. `wear` (0..1) is how
    blotched it all is.
    """
    first = max(0, int(camera.horizon_px) + 1)
    depth_m = camera.ground_depth(np.arange(first, camera.height, dtype=np.float64) + 0.5)
    lateral = depth_m * PER_M / camera.focal_px  # tile pixels per picture pixel, across
    ahead = lateral * (depth_m / camera.y_m)  # and along the road
    columns = np.arange(camera.width) + 0.5 - camera.centre_px
    blotches = np.clip(fractal("blotches", (64, 16, 4)) * wear * 0.55 + 128, 60, 200).astype(np.uint8)
    for row, z in enumerate(depth_m):
        kinds = pattern_hw[first + row]
        if not kinds.any() or z > 160:
            continue
        level = max(0, int(lateral[row] + ahead[row] * 0.25).bit_length())
        across = ((columns * z / camera.focal_px + camera.x_m - camera.bend * z * z) * PER_M).astype(np.int32)
        along = np.int32(z * PER_M)
        factor = np.full(camera.width, 128, np.int32)
        for kind in np.unique(kinds[kinds > 0]):
            here = kinds == kind
            factor[here] = _sample(names[kind - 1], across[here], np.asarray(along), level)
        factor = factor * blotches[(along >> 4) & (SIDE - 1), (across >> 4) & (SIDE - 1)] >> 7
        factor[kinds == 0] = 128
        line = image_hw3[first + row].astype(np.int32) * factor[:, None] >> 7
        np.minimum(line, 255, out=line)
        image_hw3[first + row] = line


def shade_wall(
    image_hw3: Bytes,
    mask_hw: Bytes,
    columns: tuple[int, int],
    rows: tuple[int, int],
    name: str,
    along_m: npt.NDArray[np.float64],
    up_m: npt.NDArray[np.float64],
    level: int,
) -> None:
    """Lay a pattern on an upright face, in place.

    The face lies within `columns` and `rows` (half open) and `mask_hw` says where; `along_m` (W,) is
    the distance along the wall in each column, `up_m` (H, W) the height.
    """
    window = image_hw3[rows[0] : rows[1], columns[0] : columns[1]]
    across = (along_m * PER_M).astype(np.int32)[None, :]
    factor = _sample(name, across, (up_m * PER_M).astype(np.int32), level).astype(np.uint16)
    shaded = np.minimum(window * factor[:, :, None] >> 7, 255).astype(np.uint8)
    np.copyto(window, shaded, where=(mask_hw > 0)[:, :, None])
