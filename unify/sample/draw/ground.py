"""The ground: patches of road, paint, paving and grass, then their patterns, then the shadows on it."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from unify.sample.camera import RGB, Points
from unify.sample.canvas import FINE, Bytes, Canvas, draw_shapes, enlarge, shrink
from unify.sample.scene import Patch, Thing
from unify.sample.texture import PATTERNS, shade_ground

UP: RGB = (0.0, 1.0, 0.0)
_NAMES = tuple(PATTERNS)


def paint_patches(canvas: Canvas, patches: Iterable[Patch]) -> None:
    """Paint ground patches in their order and record each polygon."""
    for patch in patches:
        concept = canvas.concepts[patch.concept]
        colour = patch.colour or concept.colour
        for polygon in patch.polygons:
            uv_n2, _ = canvas.outline(_drape(polygon, patch.y, canvas.camera.bend or canvas.camera.rise))
            if len(uv_n2):
                canvas.fill(uv_n2, canvas.tone(colour, 0.0, UP))
                canvas.region(patch.concept, uv_n2)


def _drape(polygon: Iterable[tuple[float, float]], y: float, curved: float) -> Points:
    """(N, 3) world points of a flat polygon, its long edges cut up so that they can follow a bend."""
    corners = list(polygon)
    points: list[tuple[float, float, float]] = []
    for (x0, z0), (x1, z1) in zip(corners, corners[1:] + corners[:1], strict=True):
        points.append((x0, y, z0))
        steps = min(24, int(abs(z1 - z0) / 4)) if curved else 0
        for step in range(1, steps + 1):
            share = step / (steps + 1)
            if z1 - z0 > 20:  # most of what is seen of a long edge lies near
                share *= share
            elif z0 - z1 > 20:
                share = 1 - (1 - share) * (1 - share)
            points.append((x0 + (x1 - x0) * share, y, z0 + (z1 - z0) * share))
    return np.array(points, np.float64)


def finish_ground(canvas: Canvas, patches: tuple[Patch, ...], wear: float) -> None:
    """Patterns, shadows and air on the ground painted so far, at the picture's own size."""
    camera = canvas.camera
    small = shrink(canvas.image)
    shape_hw = draw_shapes(canvas.shapes, camera.height, camera.width)
    textures = [patch.texture or canvas.concepts[patch.concept].texture for patch in patches]
    own = {patch.concept: texture for patch, texture in zip(patches, textures, strict=True)}
    table = np.zeros(len(canvas.shapes) + 1, np.uint8)
    for index, shape in enumerate(canvas.shapes):
        name = own.get(canvas.concepts.concepts[shape.concept].name, "none")
        table[index + 1] = _NAMES.index(name) + 1 if name in PATTERNS else 0
    pattern_hw = table[shape_hw]
    shade_ground(small, pattern_hw, _NAMES, camera, wear)
    _shadow_and_air(canvas, small, pattern_hw)
    canvas.image = enlarge(small)


def _shadow_and_air(canvas: Canvas, small: Bytes, pattern_hw: Bytes) -> None:
    """Darken what the sun does not reach, then fade the distance; in place."""
    camera, light = canvas.camera, canvas.light
    first = max(0, int(camera.horizon_px) - 2)
    lit, dark = light.factor(UP, 1.0), light.factor(UP, 0.0)
    shade = canvas.shadow[first:].astype(np.int32)
    window = small[first:].astype(np.int32)
    depth = camera.ground_depth(np.maximum(np.arange(first, camera.height) + 0.5, camera.horizon_px + 0.5))
    share = depth * depth / (depth * depth + light.haze_m * light.haze_m)
    air = np.rint(share * 256).astype(np.int32)[:, None]
    here = pattern_hw[first:] > 0
    for channel in range(3):
        keep = int(256 * dark[channel] / max(1e-6, lit[channel]))
        plane = window[:, :, channel] * (256 * 255 - shade * (256 - keep)) // (256 * 255)
        plane += (int(light.haze[channel]) - plane) * air >> 8
        np.copyto(window[:, :, channel], plane, where=here)
    small[first:] = np.clip(window, 0, 255)


def cast_shadows(canvas: Canvas, things: Iterable[Thing], softness_m: float) -> None:
    """Mark where things keep the sun off the ground: `canvas.shadow`, 255 in full shadow."""
    sun = canvas.light.direction
    if sun[1] < 0.15 or max(canvas.light.sun) < 0.05:
        return
    drift = (-sun[0] / sun[1], -sun[2] / sun[1])  # how far a shadow runs for each metre of height
    layer = np.zeros_like(canvas.shadow)
    for thing in things:
        for polygon in _shadow_outlines(thing, drift):
            uv_n2, _ = canvas.outline([(x, 0.0, z) for x, z in polygon])
            if len(uv_n2):
                cv2.fillPoly(layer, [np.rint((uv_n2 - 0.5) * 16).astype(np.int32)], (255,), shift=4)
    reach = max(1, int(canvas.size_px(softness_m, 14.0))) | 1
    soft = cv2.blur(cv2.blur(layer, (reach, reach)), (reach, reach))
    np.maximum(canvas.shadow, np.asarray(soft, np.uint8), out=canvas.shadow)


def _shadow_outlines(thing: Thing, drift: tuple[float, float]) -> list[list[tuple[float, float]]]:
    """Outlines on the ground of what a thing shades: the hull of its box's foot and shifted top."""
    width, height, length = thing.size
    if thing.kind == "tree":
        crown = height * 0.62
        return [_blob(thing.x + drift[0] * crown, thing.z + drift[1] * crown, width * 0.5)]
    if height < 0.2:
        return []
    hx, hz = thing.heading
    foot = [
        (thing.x + a * length * hx + b * width * hz, thing.z + a * length * hz - b * width * hx)
        for a, b in ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
    ]
    high = [(x + drift[0] * height, z + drift[1] * height) for x, z in foot]
    hull = cv2.convexHull(np.array(foot + high, np.float32))[:, 0]
    return [[(float(x), float(z)) for x, z in hull]]


def _blob(x: float, z: float, radius: float) -> list[tuple[float, float]]:
    from unify.sample.draw.kit import circle

    return [(x + u * radius, z + v * radius) for u, v in circle(14)]


def ground_contact(canvas: Canvas, thing: Thing, grow: float = 0.1) -> None:
    """The dark under a thing that stands close to the ground."""
    width, _, length = thing.size
    hx, hz = thing.heading
    dark = canvas.light.factor(UP, 0.0)
    for extra, strength in ((grow, 0.26), (grow * 0.3, 0.44), (-grow * 0.6, 0.66)):
        half_a, half_b = length / 2 + extra, width / 2 + extra
        corners = [
            (thing.x + a * hx + b * hz, thing.y + 0.01, thing.z + a * hz - b * hx)
            for a, b in ((-half_a, -half_b), (-half_a, half_b), (half_a, half_b), (half_a, -half_b))
        ]
        uv_n2, _ = canvas.outline(corners)
        if len(uv_n2):
            darken(canvas, uv_n2, 1 - strength * min(1.0, 0.35 + max(dark)))


def darken(canvas: Canvas, uv_n2: Points, factor: float) -> None:
    """Multiply what is painted inside a polygon by `factor`."""
    low = np.floor(uv_n2.min(axis=0) * FINE).astype(int)
    high = np.ceil(uv_n2.max(axis=0) * FINE).astype(int) + 1
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(canvas.image.shape[1], int(high[0])), min(canvas.image.shape[0], int(high[1]))
    if right <= left or bottom <= top:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    corners = np.rint(uv_n2 * FINE - 0.5).astype(np.int32) - np.array([left, top], np.int32)
    cv2.fillPoly(mask, [corners], (255,))
    window = canvas.image[top:bottom, left:right]
    scaled = (window.astype(np.uint16) * int(factor * 256) >> 8).astype(np.uint8)
    np.copyto(window, scaled, where=(mask > 0)[:, :, None])
