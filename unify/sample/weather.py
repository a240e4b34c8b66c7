"""What rain and snow do to a finished picture: wet or white surfaces, things in the air, drops on the lens.

Fog and darkness are light alone (`looks.make_light`). Labels stay what they are: snow on a road is road, as
ACDC's annotators have it. Integer arithmetic and single float operations, as everywhere in the world.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from unify.sample.camera import Camera
from unify.sample.canvas import Bytes, Canvas
from unify.sample.dice import Dice
from unify.sample.texture import SIDE, value_noise

Ints = npt.NDArray[np.int32]

_PAVED = frozenset({"asphalt", "paint", "paving", "slabs", "cobbles", "concrete", "track", "iron"})
_SOFT = frozenset({"grass", "dirt", "gravel", "sand", "ballast"})
#: Concepts that nothing lies on.
_BARE = frozenset(
    {
        "sky",
        "unlabeled",
        "person",
        "sitting person",
        "child",
        "person group",
        "bicyclist",
        "motorcyclist",
        "other rider",
    }
    | {"bird", "ground animal", "ego vehicle", "car mount", "rectification border", "out of roi", "water"}
)
#: Concepts of the camera itself, which stay dry.
_INSIDE = frozenset({"car mount", "rectification border", "out of roi"})


def apply(picture_hw3: Bytes, canvas: Canvas, shape_hw: npt.NDArray[np.int32], dice: Dice) -> Bytes:
    """The picture in the rain or snow that `canvas.light.falls` names."""
    concept_hw = np.array([0, *(shape.concept for shape in canvas.shapes)], np.uint8)[shape_hw]
    inside = _is(canvas, _INSIDE)[concept_hw]
    if canvas.light.falls == "rain":
        wet = _wet_ground(picture_hw3, canvas, _has(canvas, _PAVED)[concept_hw], dice)
        done = _drops(_streaks(wet, dice), dice)
    else:
        done = _flakes(_whiten(picture_hw3, canvas, shape_hw, concept_hw, dice), dice)
    done[inside] = picture_hw3[inside]
    return done


def _is(canvas: Canvas, names: frozenset[str]) -> npt.NDArray[np.bool_]:
    return np.array([c.name in names for c in canvas.concepts.concepts])


def _has(canvas: Canvas, textures: frozenset[str]) -> npt.NDArray[np.bool_]:
    return np.array([c.texture in textures for c in canvas.concepts.concepts])


def _ground_noise(camera: Camera, name: str, cell: int, per_m: float, drawn_out: float = 1.0) -> Ints:
    """(H, W) int32 smooth noise of about -96..96 that lies on the ground; 0 above the horizon.

    per_m: noise pixels per metre across; `drawn_out`: how much longer its lumps are along the road.
    """
    noise = value_noise(name, cell)
    out = np.zeros((camera.height, camera.width), np.int32)
    first = min(camera.height, max(0, int(camera.horizon_px) + 2))
    depth_m = camera.ground_depth(np.arange(first, camera.height, dtype=np.float64) + 0.5)
    columns = np.arange(camera.width) + 0.5 - camera.centre_px
    x_m = columns[None, :] * depth_m[:, None] / camera.focal_px + camera.x_m
    across = (x_m * per_m).astype(np.int32) & (SIDE - 1)
    along = (depth_m * (per_m / drawn_out)).astype(np.int32)[:, None] & (SIDE - 1)
    out[first:] = noise[along, across]
    return out


# -- rain ----------------------------------------------------------------------------------------


def _wet_ground(picture_hw3: Bytes, canvas: Canvas, paved_hw: npt.NDArray[np.bool_], dice: Dice) -> Bytes:
    """Paved ground turns dark and mirrors what stands on it, most where water has gathered."""
    height, width = paved_hw.shape
    rows = np.arange(height, dtype=np.int32)[:, None]
    # the row in which the paved run of each pixel's column begins: what stands there is mirrored about it
    starts = np.where(paved_hw, -1, rows + 1)
    contact = np.maximum.accumulate(starts, axis=0)
    mirror = np.clip(2 * contact - rows, 0, height - 1)
    blurred = cv2.blur(picture_hw3, (3, max(3, height // 40) | 1))
    reflected = blurred[mirror, np.arange(width)[None, :]].astype(np.int32)
    reach = max(1, int(height - canvas.camera.horizon_px))
    far = np.clip(256 - (rows - int(canvas.camera.horizon_px)) * 200 // reach, 40, 256)  # flat views mirror more
    puddle = np.clip(_ground_noise(canvas.camera, f"puddles {dice.whole(0, 7)}", 64, 26.0, 2.0) * 5 + 70, 0, 150)
    share = np.minimum(210, (70 + puddle) * far >> 8)[:, :, None]
    dark = picture_hw3.astype(np.int32) * 150 >> 8
    wet = (dark * (256 - share) + reflected * share) >> 8
    return np.where(paved_hw[:, :, None], np.clip(wet, 0, 255), picture_hw3).astype(np.uint8)


def _streaks(picture_hw3: Bytes, dice: Dice) -> Bytes:
    """Falling drops, drawn out by the shutter, all with one slant; and the grey of those too far to tell."""
    height, width = picture_hw3.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    slant = dice.between(-0.25, 0.25)
    count = 240 + width // 8
    u, v, size, light = (dice.units_n(count) for _ in range(4))
    for i in range(count):
        near = size[i] * size[i]
        long = height * (0.015 + 0.09 * near)
        x, y = u[i] * width * 1.2 - width * 0.1, v[i] * height * 1.2 - height * 0.1
        half = max(0.35, height * 0.0011 * (0.5 + near))
        ends = np.array(
            [(x - half, y), (x + half, y), (x + half + slant * long, y + long), (x + slant * long, y + long)]
        )
        cv2.fillPoly(layer, [np.rint(ends * 16).astype(np.int32)], (int(90 + 120 * light[i]),), shift=4)
    layer = np.asarray(cv2.blur(layer, (3, 3)), np.uint8)
    share = np.minimum(layer.astype(np.int32) * 150 >> 8, 190)[:, :, None] + 14
    rainy: Bytes = np.clip((picture_hw3 * (256 - share) + 178 * share) >> 8, 0, 255).astype(np.uint8)
    return rainy


def _drops(picture_hw3: Bytes, dice: Dice) -> Bytes:
    """Drops on the windscreen: each a small wide view of the scene, upside down and out of focus."""
    height, width = picture_hw3.shape[:2]
    out = picture_hw3.copy()
    reach = max(3, height // 28) | 1
    blurred = cv2.blur(picture_hw3, (reach, reach))
    for _ in range(dice.whole(16, 34)):
        radius = max(2, int(height * (0.008 + 0.028 * dice.unit() * dice.unit())))
        row, column = dice.whole(0, height - 1), dice.whole(0, width - 1)
        top, left = max(0, row - radius), max(0, column - radius)
        bottom, right = min(height, row + radius + 1), min(width, column + radius + 1)
        y, x = np.mgrid[top - row : bottom - row, left - column : right - column]
        square = x * x + y * y * 3 // 4
        inside = square <= radius * radius
        view = blurred[np.clip(row - 4 * y, 0, height - 1), np.clip(column - 4 * x, 0, width - 1)].astype(np.int32)
        rim = square * 3 > radius * radius * 2
        tone = np.where(rim & (y > 0), 300, np.where(rim, 190, 262))[:, :, None]
        patch = np.clip(view * tone >> 8, 0, 255).astype(np.uint8)
        np.copyto(out[top:bottom, left:right], patch, where=inside[:, :, None])
    return out


# -- snow ----------------------------------------------------------------------------------------


def _whiten(
    picture_hw3: Bytes, canvas: Canvas, shape_hw: npt.NDArray[np.int32], concept_hw: Bytes, dice: Dice
) -> Bytes:
    """Snow on the ground, thinner in the wheel tracks, on the tops of things and in the trees."""
    camera = canvas.camera
    height, width = shape_hw.shape
    paved, soft = _has(canvas, _PAVED)[concept_hw], _has(canvas, _SOFT)[concept_hw]
    road = _is(canvas, frozenset({"road", "tram track", "service lane", "plain crosswalk", "worn marking"}))[concept_hw]
    road |= _has(canvas, frozenset({"paint"}))[concept_hw]
    noise = _ground_noise(camera, f"snow {dice.whole(0, 7)}", 32, 24.0, 2.5) + _ground_noise(camera, "snow", 8, 20.0)
    cover = np.zeros((height, width), np.int32)
    deep = dice.whole(120, 215)  # of the carriageway, 256: nothing else is seen
    cover[paved] = np.clip(232 + noise[paved] // 3, 150, 250)
    cover[soft] = np.clip(240 + noise[soft] // 6, 200, 252)
    tracks = _wheel_tracks(camera) * dice.whole(90, 150) >> 8
    cover[road] = np.clip(deep + noise[road] - tracks[road], 30, 245)
    leaves = _has(canvas, frozenset({"leaf"}))[concept_hw]
    light = picture_hw3[:, :, 1].astype(np.int32)
    cover[leaves] = np.clip((light[leaves] - 44) * 3, 30, 170)
    cover = np.maximum(cover, _tops(canvas, shape_hw, concept_hw) * 235)
    depth = camera.ground_depth(np.maximum(np.arange(height) + 0.5, camera.horizon_px + 0.5))
    share = depth * depth / (depth * depth + canvas.light.haze_m * canvas.light.haze_m)
    fade = np.rint(share * 256).astype(np.int32)[:, None, None]
    white = np.array((222, 227, 235), np.int32) * 236 // 256
    tint = white + ((np.array(canvas.light.haze, np.int32) - white) * fade >> 8)
    shade = np.clip(256 + noise // 6, 230, 262)[:, :, None]
    snow = np.clip(tint * shade >> 8, 0, 255)
    mixed = (picture_hw3 * (256 - cover[:, :, None]) + snow * cover[:, :, None]) >> 8
    white_over: Bytes = np.clip(mixed, 0, 255).astype(np.uint8)
    return white_over


def _wheel_tracks(camera: Camera) -> Ints:
    """(H, W) 0..256, where tyres run: 0.75 m aside of the middle of lanes 3.3 m wide, one of them the camera's."""
    first = min(camera.height, max(0, int(camera.horizon_px) + 2))
    depth_m = camera.ground_depth(np.arange(first, camera.height, dtype=np.float64) + 0.5)[:, None]
    columns = np.arange(camera.width) + 0.5 - camera.centre_px
    x_m = columns[None, :] * depth_m / camera.focal_px - camera.bend * depth_m * depth_m
    off_m = np.abs((x_m + 1.65) % 3.3 - 1.65)
    tracks = np.zeros((camera.height, camera.width), np.int32)
    tracks[first:] = np.clip(256 - np.abs(off_m - 0.75) * 900, 0, 256).astype(np.int32)
    return tracks


def _tops(canvas: Canvas, shape_hw: npt.NDArray[np.int32], concept_hw: Bytes) -> Ints:
    """(H, W) 1 on the upper rim of whatever stands before something farther, which was painted earlier."""
    height = shape_hw.shape[0]
    solid = ~(_is(canvas, _BARE) | _has(canvas, _PAVED | _SOFT))[concept_hw]
    rim = np.zeros(shape_hw.shape, np.uint8)
    rim[1:] = solid[1:] & (shape_hw[:-1] < shape_hw[1:])
    thick = max(1, round(height * 0.007))
    own = np.where(rim > 0, shape_hw, 0)
    out = rim.astype(np.int32)
    for _ in range(thick):
        own[1:] = np.where(own[1:] > 0, own[1:], np.where(own[:-1] == shape_hw[1:], own[:-1], 0))
        out = np.maximum(out, own > 0)
    return out


def _flakes(picture_hw3: Bytes, dice: Dice) -> Bytes:
    """Flakes in the air: many small ones far away, a few large and blurred ones close to the lens."""
    height, width = picture_hw3.shape[:2]
    out = picture_hw3
    for count, size, blur, strength in ((width * 2, 0.0016, 1, 190), (width // 3, 0.0042, 3, 200), (26, 0.015, 7, 130)):
        layer = np.zeros((height, width), np.uint8)
        u, v, spread = (dice.units_n(count) for _ in range(3))
        fall = dice.between(-1.0, 1.0)
        for i in range(count):
            radius = max(0.45, height * size * (0.5 + spread[i]))
            x, y = u[i] * width, v[i] * height
            corners = [
                (x - radius, y),
                (x, y - radius),
                (x + radius + fall * radius, y),
                (x + fall * radius, y + radius),
            ]
            cv2.fillPoly(layer, [np.rint(np.array(corners) * 16).astype(np.int32)], (255,), shift=4)
        if blur > 1:
            layer = np.asarray(cv2.blur(layer, (blur, blur)), np.uint8)
        share = (layer.astype(np.int32) * strength >> 8)[:, :, None]
        out = ((out * (256 - share) + 240 * share) >> 8).astype(np.uint8)
    return out
