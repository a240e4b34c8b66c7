"""From a scene to a picture and what it shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from unify.sample import weather
from unify.sample.camera import Light
from unify.sample.canvas import Bytes, Canvas, Shape, draw_shapes, shrink
from unify.sample.concepts import load_concepts
from unify.sample.dice import Dice
from unify.sample.draw import PAINTERS, ego
from unify.sample.draw.ground import cast_shadows, finish_ground, paint_patches
from unify.sample.draw.kit import circle
from unify.sample.draw.sky import paint_ridge, paint_sky, paint_skyline
from unify.sample.looks import Look
from unify.sample.scene import Scene
from unify.sample.texture import GRAIN, value_noise

#: Kinds of things whose shadow falls on other things too, not on the ground alone.
LARGE = frozenset({"building", "wall", "bridge", "portal"})
FLAT = frozenset({"wires", "vault", "bird", "banner", "gantry", "bridge", "portal", "street light"})


@dataclass(frozen=True, slots=True)
class Rendering:
    """A finished picture.

    `image_hw3` is (H, W, 3) uint8 RGB; `shapes` are the annotated outlines in painting order;
    `shape_hw` is (H, W) int32, 1 + the index of the shape seen in a pixel, 0 where there is none.
    """

    image_hw3: Bytes
    shapes: tuple[Shape, ...]
    shape_hw: npt.NDArray[np.int32]

    def concept_hw(self) -> Bytes:
        """(H, W) uint8 concept indices."""
        table = np.array([0, *(shape.concept for shape in self.shapes)], np.uint8)
        return table[self.shape_hw]


def render(scene: Scene, look: Look) -> Rendering:
    """Paint a scene far to near, then photograph it."""
    dice = Dice(scene.seed, "render")
    canvas = Canvas(scene.camera, scene.light, load_concepts())
    paint_sky(canvas, dice.child("sky"))
    for name in scene.far:
        if name == "skyline":
            paint_skyline(canvas, dice.child(name))
        else:
            high, colour = (3.6, (100, 114, 120)) if name == "mountain" else (1.5, (84, 104, 70))
            paint_ridge(canvas, name, dice.child(name), high, colour, 0.52, 260.0 if name == "mountain" else 150.0)
    things = sorted(scene.things, key=lambda thing: -thing.depth)
    cast_shadows(canvas, [t for t in things if t.kind in LARGE and t.kind not in FLAT], 0.35)
    shade = canvas.shadow.copy()
    paint_patches(canvas, scene.patches)
    cast_shadows(canvas, [t for t in things if t.kind not in LARGE and t.kind not in FLAT], 0.16)
    finish_ground(canvas, scene.patches, scene.wear)
    canvas.shadow = shade
    for thing in things:
        PAINTERS[thing.kind](canvas, thing)
    if scene.light.night == 1.0:
        for ahead in (7.0, 11.0, 17.0, 26.0):  # one's own headlamps on the road
            canvas.glow((scene.camera.x_m, 0.0, ahead), 1.5 + ahead * 0.1, (150, 142, 122))
    _leave_gaps(canvas, scene.gaps, dice.child("gaps"))
    _ego(canvas, scene, dice.child("ego"))
    shape_hw = draw_shapes(canvas.shapes, scene.camera.height, scene.camera.width)
    picture = _photograph(shrink(canvas.image), canvas, shape_hw, look, dice.child("photo"))
    return Rendering(picture, tuple(canvas.shapes), shape_hw)


def _leave_gaps(canvas: Canvas, count: int, dice: Dice) -> None:
    """Small places at the far end that nobody could tell what they are: drawn over as unlabeled."""
    camera = canvas.camera
    for _ in range(count):
        u = camera.width * dice.between(0.2, 0.8)
        v = camera.horizon_px + camera.height * dice.between(-0.05, 0.02)
        size = camera.height * dice.between(0.006, 0.014)
        ring = [(u + x * size * dice.between(0.8, 2.0), v + y * size * dice.between(0.7, 1.2)) for x, y in circle(9)]
        canvas.region("unlabeled", np.array(ring))


def _ego(canvas: Canvas, scene: Scene, dice: Dice) -> None:
    for name, value in scene.ego:
        if name == "bonnet":
            ego.paint_bonnet(canvas, dice, scene.ego_colour, value)
        elif name == "dashboard":
            ego.paint_dashboard(canvas, dice, value)
        elif name == "mount":
            ego.paint_mount(canvas, dice)
        else:
            ego.paint_borders(canvas, dice)


def _photograph(image: Bytes, canvas: Canvas, shape_hw: npt.NDArray[np.int32], look: Look, dice: Dice) -> Bytes:
    """What a camera makes of it: surface grain, lamps by night, rain and snow, colour, vignette, blur, noise."""
    grain = np.array([0, *(GRAIN.get(canvas.concepts.concepts[s.concept].texture, 0) for s in canvas.shapes)], np.int32)
    height, width = shape_hw.shape
    noise = value_noise("grain", 1) + value_noise("grain", 2)
    top, left = dice.whole(0, 511), dice.whole(0, 511)
    rows, columns = (np.arange(height) + top) & 511, (np.arange(width) + left) & 511
    rough = noise[rows[:, None], columns[None, :]] * grain[shape_hw] >> 6
    work = image.astype(np.int32) * (128 + rough[:, :, None]) >> 7
    work = np.clip(work, 0, 255)
    if canvas.light.night:
        work = _lamplight(work, canvas, canvas.light)
    if canvas.light.falls:
        work = weather.apply(work.astype(np.uint8), canvas, shape_hw, dice.child("weather")).astype(np.int32)
    picture = _grade(work.astype(np.uint8), look)
    if look.soft:
        blurred = cv2.blur(picture, (3, 3)).astype(np.int32)
        picture = (picture.astype(np.int32) * (256 - look.soft) + blurred * look.soft >> 8).astype(np.uint8)
    return _sensor(picture, look.noise + canvas.light.noise, dice)


def _lamplight(work: npt.NDArray[np.int32], canvas: Canvas, light: Light) -> npt.NDArray[np.int32]:
    """Add the halo of every lamp and what it lights up around it."""
    height, width = work.shape[:2]
    small_h, small_w = (height + 3) // 4, (width + 3) // 4
    halo = np.zeros((small_h, small_w, 3), np.float32)
    y, x = np.mgrid[0:small_h, 0:small_w].astype(np.float32) * 4 + 2
    for u, v, radius, colour in canvas.glows:
        reach = max(3.0, radius)
        r0, r1 = max(0, int((v - reach * 3) / 4)), min(small_h, int((v + reach * 3) / 4) + 1)
        c0, c1 = max(0, int((u - reach * 3) / 4)), min(small_w, int((u + reach * 3) / 4) + 1)
        if r0 >= r1 or c0 >= c1:
            continue
        square = ((x[r0:r1, c0:c1] - u) ** 2 + (y[r0:r1, c0:c1] - v) ** 2) / (reach * reach)
        fall = np.maximum(0.0, 1.0 - square / 9.0)
        strength = (fall * fall / (1.0 + 3.0 * square))[:, :, None]
        halo[r0:r1, c0:c1] += strength * np.array(colour, np.float32)
    soft = np.rint(255 * halo * light.night / (halo * light.night + 330)).astype(np.uint8)
    smooth = cv2.resize(soft, (small_w * 4, small_h * 4), interpolation=cv2.INTER_LINEAR_EXACT)
    full = np.asarray(smooth, np.int32)[:height, :width]
    if light.night == 1.0:
        lit: npt.NDArray[np.int32] = work + (work * full >> 6) + (full >> 3)
    else:  # in daylight a lamp adds little to what there is, and shows by the haze around it
        lit = work + (work * full >> 9) + (full * 90 >> 8)
    np.minimum(255, lit, out=lit)
    return lit


def _grade(picture: Bytes, look: Look) -> Bytes:
    """Contrast, colour cast, saturation, vignette."""
    ramp = np.arange(256) / 255.0
    curve = ramp + look.contrast * (ramp * ramp * (3 - 2 * ramp) - ramp)
    out = np.empty_like(picture)
    for channel in range(3):
        table = np.clip(np.rint((curve * look.gain[channel] + look.lift[channel]) * 255), 0, 255).astype(np.uint8)
        out[:, :, channel] = table[picture[:, :, channel]]
    wide = out.astype(np.int32)
    grey = (wide[:, :, 0] * 77 + wide[:, :, 1] * 150 + wide[:, :, 2] * 29) >> 8
    wide = grey[:, :, None] + ((wide - grey[:, :, None]) * int(look.saturation * 256) >> 8)
    height, width = grey.shape
    v = (np.arange(height) * 2 + 1) / height - 1
    u = (np.arange(width) * 2 + 1) / width - 1
    corner = (u * u)[None, :] + (v * v)[:, None]
    dim = 256 - np.rint(corner * (look.vignette * 128)).astype(np.int32)
    graded: Bytes = np.clip(wide * dim[:, :, None] >> 8, 0, 255).astype(np.uint8)
    return graded


def _sensor(picture: Bytes, level: int, dice: Dice) -> Bytes:
    """Noise of the sensor: a sum of two uniform bytes, a little coloured."""
    height, width = picture.shape[:2]
    draw = dice.bytes_hw(height, width * 4).reshape(height, width, 4).astype(np.int32)
    common = draw[:, :, 3] - 128
    spread = (draw[:, :, :3] - 128 + 2 * common[:, :, None]) * level >> 8
    noisy: Bytes = np.clip(picture.astype(np.int32) + spread, 0, 255).astype(np.uint8)
    return noisy
