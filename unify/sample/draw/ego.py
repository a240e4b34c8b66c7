"""What belongs to the camera: the bonnet below, the mount, and the edges of a rectified picture."""

from __future__ import annotations

import numpy as np

from unify.sample.camera import RGB, Points
from unify.sample.canvas import FINE, Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import circle, mix, times

BANDS = 28  # of the sky's reflection on a bonnet


def paint_bonnet(canvas: Canvas, dice: Dice, colour: RGB, height: float) -> None:
    """The bonnet of the camera's own car along the lower edge, `height` (share of the picture) high."""
    camera, light = canvas.camera, canvas.light
    wide, tall = camera.width, camera.height
    top = tall * (1 - height)
    steps = 24
    shift = dice.between(-0.05, 0.05)
    edge = []
    for i in range(steps + 1):
        u = i / steps
        bow = (2 * u - 1 + shift) ** 2
        edge.append((wide * u, top + tall * height * 0.75 * bow * bow + tall * height * 0.1 * bow))
    outline = np.array([*edge, (wide, tall + 2.0), (0.0, tall + 2.0)])
    with canvas.solid("ego vehicle"):
        canvas.fill(outline, canvas.tone(colour, 0.0, (0, 0.5, -0.6)))
    sheen = mix(light.sky_low, light.sky_top, 0.4)
    base = canvas.tone(colour, 0.0, (0, 0.9, -0.2))
    for band in range(BANDS):  # the sky reflected, fading towards the windscreen
        share = band / BANDS
        low = [(u, v + tall * height * (0.04 + 0.62 * share)) for u, v in edge]
        strip = np.array([*low, (wide, tall + 2.0), (0.0, tall + 2.0)])
        canvas.fill(strip, mix(mix(base, sheen, 0.5), times(base, 0.7), share))
    for at in (0.28, 0.72):
        u = wide * (at + shift)
        crease = np.array(
            [
                (u, top + tall * height * 0.2),
                (u + 3, top + tall * height * 0.2),
                (u + (u - wide / 2) * 0.12 + 3, tall + 2.0),
                (u + (u - wide / 2) * 0.12 - 2, tall + 2.0),
            ]
        )
        canvas.fill(crease, times(base, 0.62))


def paint_dashboard(canvas: Canvas, dice: Dice, height: float) -> None:
    """A dark dashboard and windscreen edge, as behind a windscreen camera."""
    camera = canvas.camera
    wide, tall = camera.width, camera.height
    top = tall * (1 - height)
    edge = [(wide * i / 16, top + tall * height * (0.35 * (i / 8 - 1) ** 2 + 0.04 * dice.unit())) for i in range(17)]
    with canvas.solid("ego vehicle"):
        canvas.fill(np.array([*edge, (wide, tall + 2.0), (0.0, tall + 2.0)]), (26, 26, 28))
    upper = [(u, v + tall * height * 0.22) for u, v in edge]
    canvas.fill(np.array([*upper, (wide, tall + 2.0), (0.0, tall + 2.0)]), (18, 18, 20))


def paint_mount(canvas: Canvas, dice: Dice) -> None:
    """The camera's bracket, out of focus at the lower edge."""
    camera = canvas.camera
    wide, tall = camera.width, camera.height
    u = wide * dice.between(0.35, 0.65)
    size = tall * dice.between(0.08, 0.14)
    body = np.array(
        [
            (u - size * 0.9, tall + 2.0),
            (u - size * 0.5, tall - size * 0.75),
            (u + size * 0.35, tall - size),
            (u + size * 0.8, tall + 2.0),
        ]
    )
    ring = np.array([(u + x * size * 0.42, tall - size * 0.8 + y * size * 0.36) for x, y in circle(20)])
    with canvas.solid("car mount"):
        canvas.fill(body, (30, 30, 33))
        canvas.fill(ring, (40, 40, 44))
    canvas.fill(
        np.array([(u + x * size * 0.26, tall - size * 0.8 + y * size * 0.22) for x, y in circle(16)]), (18, 18, 20)
    )


def paint_borders(canvas: Canvas, dice: Dice) -> None:
    """Black curved slivers left by undistortion, and a thin frame out of the region of interest."""
    camera = canvas.camera
    wide, tall = float(camera.width), float(camera.height)
    deep = wide * dice.between(0.006, 0.011)
    slivers: list[Points] = []
    for left in (True, False):
        curve = []
        for i in range(13):
            share = i / 12
            bulge = deep * (2 * share - 1) ** 2
            curve.append((bulge if left else wide - bulge, tall * share))
        corner = 0.0 if left else wide
        slivers.append(np.array([(corner, 0.0), *curve, (corner, tall)]))
    low = [(wide * i / 12, tall - deep * 0.6 * (i / 6 - 1) ** 2) for i in range(13)]
    slivers.append(np.array([(0.0, tall), *low, (wide, tall)]))
    for sliver in slivers:
        canvas.fill(sliver, (0, 0, 0))
        canvas.region("rectification border", sliver)
    thin = max(1.0, wide / 512)
    frame = ((0, 0, wide, thin), (0, 0, thin, tall), (wide - thin, 0, wide, tall))
    for u0, v0, u1, v1 in frame:
        corners = np.array([(u0, v0), (u1 - 0.01, v0), (u1 - 0.01, v1 - 0.01), (u0, v1 - 0.01)])
        window = canvas.image[int(v0 * FINE) : int(np.ceil(v1)) * FINE, int(u0 * FINE) : int(np.ceil(u1)) * FINE]
        window //= 3
        canvas.region("out of roi", corners)
