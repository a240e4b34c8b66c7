"""The camera: how a point of the world, in metres, becomes a pixel.

World axes: x to the right, y up, z ahead; the road runs along z. The optical axis stays level, and
looking aside or down is a shift of the vanishing point, so that verticals stay vertical. A bend and
a rise of the road move whole cross-sections by the square of their distance, and everything that
stands on the road goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
RGB = tuple[float, float, float]

#: Nothing nearer than this is drawn (metres).
NEAR_M = 0.7


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the picture is taken from. Pixel columns and rows are continuous: pixel i covers [i, i + 1)."""

    width: int
    height: int
    focal_px: float
    centre_px: float  # column of the vanishing point
    horizon_px: float  # row of the vanishing point
    x_m: float = 0.0
    y_m: float = 1.4
    bend: float = 0.0  # sideways drift of the road, metres per square metre of distance
    rise: float = 0.0  # climb of the road, likewise; never negative, so that no crest hides the road

    def project(self, points_n3: Points) -> Points:
        """(N, 3) world metres, all ahead of the camera, to (N, 2) columns and rows."""
        z = points_n3[:, 2]
        square = z * z
        scale = self.focal_px / z
        uv_n2 = np.empty((len(points_n3), 2))
        uv_n2[:, 0] = self.centre_px + (points_n3[:, 0] + self.bend * square - self.x_m) * scale
        uv_n2[:, 1] = self.horizon_px - (points_n3[:, 1] + self.rise * square - self.y_m) * scale
        return uv_n2

    def ground_depth(self, rows: Points) -> Points:
        """Distance z of the ground seen in each pixel row below the horizon: rise z^2 + b z - y = 0."""
        b = (rows - self.horizon_px) / self.focal_px
        return 2 * self.y_m / (b + np.sqrt(b * b + 4 * self.rise * self.y_m))

    def sees(self, normal: RGB, point: RGB) -> bool:
        """Whether a face with this outward normal, at this point, is turned towards the camera."""
        x, y, z = point
        square = z * z
        toward = (self.x_m - x - self.bend * square, self.y_m - y - self.rise * square, -z)
        return normal[0] * toward[0] + normal[1] * toward[1] + normal[2] * toward[2] > 0


def clip_near(points_n3: Points) -> Points:
    """The part of a polygon beyond `NEAR_M` (Sutherland and Hodgman); (0, 3) where nothing is."""
    ahead = points_n3[:, 2] >= NEAR_M
    if ahead.all():
        return points_n3
    if not ahead.any():
        return points_n3[:0]
    kept = []
    for i in range(len(points_n3)):
        p, q = points_n3[i - 1], points_n3[i]
        if ahead[i - 1] != ahead[i]:
            kept.append(p + (q - p) * ((NEAR_M - p[2]) / (q[2] - p[2])))
        if ahead[i]:
            kept.append(q)
    return np.array(kept)


def clip_box(uv_n2: Points, low: float, high_u: float, high_v: float) -> Points:
    """The part of a polygon within [low, high_u] x [low, high_v]; (0, 2) where nothing is."""
    for axis, bound, keep_above in ((0, low, True), (0, high_u, False), (1, low, True), (1, high_v, False)):
        side = uv_n2[:, axis] - bound
        inside = side >= 0 if keep_above else side <= 0
        if inside.all():
            continue
        kept = []
        for i in range(len(uv_n2)):
            if inside[i - 1] != inside[i]:
                share = side[i - 1] / (side[i - 1] - side[i])
                kept.append(uv_n2[i - 1] + (uv_n2[i] - uv_n2[i - 1]) * share)
            if inside[i]:
                kept.append(uv_n2[i])
        if not kept:
            return uv_n2[:0]
        uv_n2 = np.array(kept)
    return uv_n2


@dataclass(frozen=True, slots=True)
class Light:
    """How the world is lit: a level of light from the whole sky, and a sun."""

    ambient: RGB
    sun: RGB
    direction: RGB  # unit vector towards the sun
    haze: RGB  # colour (0..255) that things far away fade to
    haze_m: float  # distance at which half of the colour has faded
    sky_top: RGB
    sky_low: RGB
    cloud: float  # share of the sky under cloud, 0..1
    night: float = 0.0  # 0 by day; 1: lamps and windows are what is seen
    falls: str = ""  # what comes down and lies about: "rain" or "snow" (`weather.apply`)
    noise: int = 0  # more noise of the sensor, for want of light

    def factor(self, normal: RGB, sunlit: float = 1.0) -> RGB:
        """What a face's colour is multiplied by; `sunlit` is 0 in a shadow, 1 in the sun."""
        facing = sum(n * d for n, d in zip(normal, self.direction, strict=True))
        sun = max(0.0, facing) * sunlit
        sky = 0.72 + 0.28 * normal[1]
        r, g, b = (a * sky + s * sun for a, s in zip(self.ambient, self.sun, strict=True))
        return (r, g, b)

    def fade(self, colour: RGB, depth_m: float) -> RGB:
        """`colour` as seen through `depth_m` of air."""
        share = depth_m * depth_m / (depth_m * depth_m + self.haze_m * self.haze_m)
        r, g, b = (c + (h - c) * share for c, h in zip(colour, self.haze, strict=True))
        return (r, g, b)
