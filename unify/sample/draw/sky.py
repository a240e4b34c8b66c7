"""The sky, and what stands against it: clouds, mountains, the far side of town."""

from __future__ import annotations

import itertools

import numpy as np

from unify.sample.camera import RGB
from unify.sample.canvas import FINE, Bytes, Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import mix, times
from unify.sample.texture import fractal

_CLOUD_SIDE = 512


def paint_sky(canvas: Canvas, dice: Dice) -> None:
    """Fill the picture with sky, from the zenith's colour to the horizon's, and clouds in perspective."""
    camera, light = canvas.camera, canvas.light
    rows = np.arange(camera.height) + 0.5
    up = np.clip((camera.horizon_px - rows) / (camera.focal_px * 0.55), 0.0, 1.0)
    blend = (up * (2.0 - up))[:, None]
    low, top = np.array(light.sky_low), np.array(light.sky_top)
    sky_h3 = low + (top - low) * blend
    picture = np.repeat(sky_h3[:, None, :], camera.width, axis=1)
    if light.cloud > 0.02:
        _add_clouds(picture, canvas, dice)
    small = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    canvas.image = np.repeat(np.repeat(small, FINE, axis=0), FINE, axis=1)
    high = (camera.horizon_px + 40.0) if camera.rise == 0 else camera.height - 1.0
    canvas.region("sky", np.array([[0.0, 0.0], [camera.width, 0.0], [camera.width, high], [0.0, high]]))


def _add_clouds(picture: np.ndarray[tuple[int, int, int], np.dtype[np.float64]], canvas: Canvas, dice: Dice) -> None:
    camera, light = canvas.camera, canvas.light
    last = min(camera.height, int(camera.horizon_px) - 1)
    if last < 2:
        return
    thick = fractal("clouds", (128, 64, 32, 16, 8), _CLOUD_SIDE)
    rows = np.arange(last) + 0.5
    far = camera.focal_px / (camera.horizon_px - rows)
    columns = (np.arange(camera.width) + 0.5 - camera.centre_px) / camera.focal_px
    scale = 60.0
    shift_x, shift_z = dice.whole(0, 511), dice.whole(0, 511)
    along = (np.minimum(far, 60.0) * scale * 1.6).astype(np.int32)[:, None] + shift_z
    across = (columns[None, :] * np.minimum(far, 60.0)[:, None] * scale).astype(np.int32) + shift_x
    density = thick[along & 511, across & 511]
    ahead = thick[(along + 6) & 511, (across + (9 if light.direction[0] > 0 else -9)) & 511]
    threshold = 46.0 - 110.0 * light.cloud
    cover = np.clip((density - threshold) / 46.0, 0.0, 1.0)
    cover *= np.clip((camera.horizon_px - rows) / (camera.focal_px * 0.06), 0.0, 1.0)[:, None]
    rim = np.clip((density - ahead) / 90.0 + 0.55, 0.0, 1.0)
    body = np.array(mix(light.sky_low, (205.0, 208.0, 214.0), 0.55)) * (1.0 - 0.22 * light.cloud)
    bright = np.array(mix(light.sky_low, (255.0, 253.0, 248.0), 0.8))
    if light.night:
        body, bright = np.array(times(light.sky_low, 0.9)), np.array(times(light.sky_low, 1.25))
    cloud = body + (bright - body) * rim[:, :, None]
    window = picture[:last]
    window += (cloud - window) * (cover * (1.0 - 0.1 * cover))[:, :, None]


def paint_ridge(
    canvas: Canvas, concept: str, dice: Dice, height_deg: float, colour: RGB, roughness: float, depth_m: float
) -> None:
    """A long silhouette on the horizon: mountains or woods, `height_deg` of arc high."""
    camera = canvas.camera
    tall = camera.focal_px * height_deg / 57.3
    steps = 128
    heights = _midpoints(dice, steps, roughness)
    top = [(camera.width * i / steps, camera.horizon_px - tall * (0.35 + 0.65 * heights[i])) for i in range(steps + 1)]
    base = camera.horizon_px + 3.0
    outline = np.array([(0.0, base), *top, (float(camera.width), base)])
    shade = canvas.tone(colour, depth_m)
    with canvas.solid(concept):
        canvas.fill(outline, shade)
    for step in range(2, steps, 3):  # ribs that give the slope its form
        u, v = top[step]
        drop = tall * dice.between(0.2, 0.6)
        lean = dice.between(-0.5, 0.9) * drop
        rib = np.array([(u, v + 1), (u + lean, v + drop), (u + lean + drop * 0.5, v + drop)])
        rib[:, 1] = np.minimum(rib[:, 1], base)
        canvas.fill(rib, mix(shade, times(shade, 0.86 if step % 2 else 1.06), 0.7))


def _midpoints(dice: Dice, count: int, roughness: float) -> list[float]:
    """`count` + 1 heights in 0..1 by repeated displacement of midpoints; `count` is a power of two."""
    line = [dice.unit() * 0.7, dice.unit() * 0.7]
    spread = 0.5
    while len(line) <= count:
        middles = [(a + b) / 2 + dice.between(-spread, spread) for a, b in itertools.pairwise(line)]
        line = [value for pair in zip(line, [*middles, 0.0], strict=True) for value in pair][:-1]
        spread *= roughness
    low, high = min(line), max(line)
    return [(value - low) / max(1e-6, high - low) for value in line]


def paint_skyline(canvas: Canvas, dice: Dice) -> None:
    """Blocks of the far town along the horizon."""
    camera = canvas.camera
    with canvas.solid("skyline"):
        u = -10.0
        blocks: list[tuple[float, float, float, RGB]] = []
        while u < camera.width + 10:
            wide = camera.focal_px * dice.between(0.015, 0.05)
            tall = camera.focal_px * dice.between(0.008, 0.05) * (1.6 if dice.chance(0.15) else 1.0)
            grey = dice.between(112, 168)
            blocks.append((u, wide, tall, (grey, grey * dice.between(0.93, 1.0), grey * dice.between(0.86, 1.02))))
            u += wide * dice.between(0.7, 1.0)
        for u, wide, tall, colour in blocks:
            base = camera.horizon_px + 3.0
            top = camera.horizon_px - tall
            corners = np.array([(u, base), (u, top), (u + wide, top), (u + wide, base)])
            canvas.fill(corners, canvas.tone(colour, 260.0))
    for u, wide, tall, colour in blocks:
        _far_windows(canvas, u, wide, tall, canvas.tone(times(colour, 0.72), 260.0))


def _far_windows(canvas: Canvas, u: float, wide: float, tall: float, colour: RGB) -> None:
    columns, floors = max(1, int(wide / 5)), int(tall / 5)
    panes: list[Bytes] = []
    for floor in range(floors):
        for place in range(columns):
            left = u + wide * (place + 0.25) / columns
            top = canvas.camera.horizon_px - tall + 2.0 + floor * 5
            panes.append(np.array([(left, top), (left + 2, top), (left + 2, top + 2.4), (left, top + 2.4)]))
    if panes:
        canvas.fill_many(np.array(panes, np.float64), colour)
