"""Solids to build things from: boxes, prisms, tubes, discs, and upright walls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import cos, pi, sin

import cv2
import numpy as np
import numpy.typing as npt

from unify.sample.camera import RGB, Points
from unify.sample.canvas import FINE, Canvas
from unify.sample.scene import Heading, Thing
from unify.sample.texture import PER_M, shade_wall

Local = tuple[float, float, float]  # along, across (right is positive), up, from a thing's foot


@lru_cache(maxsize=32)
def circle(corners: int) -> tuple[tuple[float, float], ...]:
    """Points of the unit circle, rounded so that no platform's last digit matters."""
    return tuple((round(cos(2 * pi * i / corners), 9), round(sin(2 * pi * i / corners), 9)) for i in range(corners))


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`a` with a `share` of `b`."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def times(colour: RGB, factor: float) -> RGB:
    return (min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor))


class Frame:
    """A thing's own axes: along its heading, across to its right, and up."""

    __slots__ = ("hx", "hz", "x", "y", "z")

    def __init__(self, x: float, y: float, z: float, heading: Heading) -> None:
        self.x, self.y, self.z = x, y, z
        self.hx, self.hz = heading

    @classmethod
    def of(cls, thing: Thing) -> Frame:
        return cls(thing.x, thing.y, thing.z, thing.heading)

    def at(self, points: Iterable[Local]) -> Points:
        """(N, 3) world metres of local points."""
        local = np.array(list(points), np.float64).reshape(-1, 3)
        world = np.empty_like(local)
        world[:, 0] = self.x + local[:, 0] * self.hx + local[:, 1] * self.hz
        world[:, 1] = self.y + local[:, 2]
        world[:, 2] = self.z + local[:, 0] * self.hz - local[:, 1] * self.hx
        return world

    def normal(self, along: float, across: float, up: float) -> RGB:
        return (along * self.hx + across * self.hz, up, along * self.hz - across * self.hx)

    def point(self, along: float, across: float, up: float) -> RGB:
        x, y, z = self.at([(along, across, up)])[0]
        return (float(x), float(y), float(z))


def sees(canvas: Canvas, frame: Frame, normal: Local, point: Local) -> bool:
    """Whether a local face is turned towards the camera."""
    return canvas.camera.sees(frame.normal(*normal), frame.point(*point))


def box(
    canvas: Canvas,
    frame: Frame,
    along: tuple[float, float],
    across: tuple[float, float],
    up: tuple[float, float],
    colour: RGB,
    sunlit: float = 1.0,
) -> None:
    """A box, its visible faces lit each by its own normal."""
    (a0, a1), (b0, b1), (c0, c1) = along, across, up
    faces: tuple[tuple[Local, tuple[Local, ...]], ...] = (
        ((0, 0, 1), ((a0, b0, c1), (a1, b0, c1), (a1, b1, c1), (a0, b1, c1))),
        ((0, 0, -1), ((a0, b0, c0), (a1, b0, c0), (a1, b1, c0), (a0, b1, c0))),
        ((1, 0, 0), ((a1, b0, c0), (a1, b1, c0), (a1, b1, c1), (a1, b0, c1))),
        ((-1, 0, 0), ((a0, b0, c0), (a0, b1, c0), (a0, b1, c1), (a0, b0, c1))),
        ((0, 1, 0), ((a0, b1, c0), (a1, b1, c0), (a1, b1, c1), (a0, b1, c1))),
        ((0, -1, 0), ((a0, b0, c0), (a1, b0, c0), (a1, b0, c1), (a0, b0, c1))),
    )
    for normal, corners in faces:
        if sees(canvas, frame, normal, corners[0]):
            canvas.face(frame.at(corners), colour, frame.normal(*normal), sunlit)


def prism(
    canvas: Canvas,
    frame: Frame,
    profile: Sequence[tuple[float, float]],
    across: tuple[float, float],
    colour: RGB,
    sunlit: float = 1.0,
) -> None:
    """A side view (along, up), listed from the rear bottom over the top to the front, made `across` wide.

    The faces round the rim are painted where they are seen, the side that is seen last.
    """
    b0, b1 = across
    count = len(profile)
    rim = []
    for i in range(count):
        (a0, c0), (a1, c1) = profile[i], profile[(i + 1) % count]
        normal = _unit(-(c1 - c0), a1 - a0)
        if sees(canvas, frame, (normal[0], 0.0, normal[1]), (a0, 0.0, c0)):
            corners = frame.at([(a0, b0, c0), (a0, b1, c0), (a1, b1, c1), (a1, b0, c1)])
            rim.append((float(corners[:, 2].mean()), corners, frame.normal(normal[0], 0.0, normal[1])))
    for _, corners, facing in sorted(rim, key=lambda face: -face[0]):
        canvas.face(corners, colour, facing, sunlit)
    for b, side in ((b0, -1.0), (b1, 1.0)):
        if sees(canvas, frame, (0.0, side, 0.0), (0.0, b, 0.0)):
            canvas.face(frame.at((a, b, c) for a, c in profile), colour, frame.normal(0.0, side, 0.0), sunlit)


def _unit(a: float, c: float) -> tuple[float, float]:
    length = max(1e-6, float(np.sqrt(a * a + c * c)))
    return a / length, c / length


def disc(
    canvas: Canvas, frame: Frame, centre: Local, radius: float, colour: RGB, *, upright: str = "side", corners: int = 14
) -> None:
    """A round plate: "side" faces across, "front" faces along, "flat" lies."""
    a, b, c = centre
    if upright == "side":
        points = [(a + u * radius, b, c + v * radius) for u, v in circle(corners)]
    elif upright == "front":
        points = [(a, b + u * radius, c + v * radius) for u, v in circle(corners)]
    else:
        points = [(a + u * radius, b + v * radius, c) for u, v in circle(corners)]
    canvas.face(frame.at(points), colour)


def tube(
    canvas: Canvas, start: Sequence[float], end: Sequence[float], width0: float, width1: float, colour: RGB
) -> None:
    """A round bar between two world points, `width` metres thick at each end; `colour` is lit already."""
    if start[2] < 0.8 or end[2] < 0.8:
        return
    (u0, v0), (u1, v1) = canvas.camera.project(np.array([start, end], np.float64)).tolist()
    along_u, along_v = u1 - u0, v1 - v0
    length = float(np.sqrt(along_u * along_u + along_v * along_v))
    half0 = max(0.35, canvas.size_px(width0, start[2]) / 2)
    half1 = max(0.35, canvas.size_px(width1, end[2]) / 2)
    if length < 1e-6:
        along_u, along_v, length = 0.0, 1.0, 1.0
    n_u, n_v = -along_v / length, along_u / length
    corners = np.array(
        [
            [u0 + n_u * half0, v0 + n_v * half0],
            [u1 + n_u * half1, v1 + n_v * half1],
            [u1 - n_u * half1, v1 - n_v * half1],
            [u0 - n_u * half0, v0 - n_v * half0],
        ]
    )
    high = max(canvas.camera.width, canvas.camera.height) * 3
    if np.abs(corners).max() > high:
        return
    canvas.fill(corners, canvas.light.fade(colour, (start[2] + end[2]) / 2))


def column(
    canvas: Canvas, x: float, z: float, y0: float, y1: float, width: float, colour: RGB, sunlit: float = 1.0
) -> None:
    """An upright round post: a body, its lit side and its dark side."""
    side = canvas.light.direction[0]
    lit = canvas.tone(colour, 0.0, (0.0, 0.2, -0.9), sunlit)
    tube(canvas, (x, y0, z), (x, y1, z), width, width, lit)
    if canvas.size_px(width, z) < 3:
        return
    bright = canvas.tone(times(colour, 1.12), 0.0, (0.9 if side > 0 else -0.9, 0.2, -0.4), sunlit)
    shift = width * 0.3 * (1 if side > 0 else -1)
    tube(canvas, (x + shift, y0, z), (x + shift, y1, z), width * 0.3, width * 0.3, bright)
    tube(canvas, (x - shift, y0, z), (x - shift, y1, z), width * 0.36, width * 0.36, times(lit, 0.72))


class Wall:
    """An upright flat face between two points of the ground, drawn in its own (along, up) metres."""

    __slots__ = ("canvas", "depth", "length", "lit", "normal", "p0", "p1", "sunlit", "y")

    def __init__(
        self,
        canvas: Canvas,
        p0: tuple[float, float],
        p1: tuple[float, float],
        y: float,
        normal: RGB,
        sunlit: float = 1.0,
    ) -> None:
        self.canvas, self.p0, self.p1, self.y, self.normal, self.sunlit = canvas, p0, p1, y, normal, sunlit
        dx, dz = p1[0] - p0[0], p1[1] - p0[1]
        self.length = max(0.01, float(np.sqrt(dx * dx + dz * dz)))
        self.depth = max(1.0, (p0[1] + p1[1]) / 2)
        self.lit = canvas.light.factor(normal, sunlit)

    def shade(self, colour: RGB) -> RGB:
        r, g, b = (min(255.0, c * f) for c, f in zip(colour, self.lit, strict=True))
        return (r, g, b)

    def world(self, along_up: npt.NDArray[np.float64], out: float = 0.0) -> Points:
        """(..., 2) metres along and up to (..., 3) world points, `out` metres in front of the wall."""
        share = along_up[..., 0] / self.length
        points = np.empty((*along_up.shape[:-1], 3))
        points[..., 0] = self.p0[0] + (self.p1[0] - self.p0[0]) * share + self.normal[0] * out
        points[..., 1] = self.y + along_up[..., 1]
        points[..., 2] = self.p0[1] + (self.p1[1] - self.p0[1]) * share + self.normal[2] * out
        return points

    def px_per_m(self) -> float:
        return self.canvas.size_px(1.0, self.depth)

    def polygon(self, along_up: Sequence[tuple[float, float]], colour: RGB, out: float = 0.0) -> None:
        self.canvas.face(self.world(np.array(along_up), out), self.shade(colour))

    def rect(self, s0: float, s1: float, h0: float, h1: float, colour: RGB, out: float = 0.0) -> None:
        self.polygon(((s0, h0), (s1, h0), (s1, h1), (s0, h1)), colour, out)

    def rects(
        self, boxes: Sequence[tuple[float, float, float, float]], colour: RGB, out: float = 0.0, glowing: bool = False
    ) -> None:
        """Many rectangles (s0, s1, h0, h1) of one colour, which is final where it is `glowing`."""
        if not boxes:
            return
        s0, s1, h0, h1 = np.array(boxes, np.float64).T
        corners = np.stack(
            [np.stack([s0, h0], 1), np.stack([s1, h0], 1), np.stack([s1, h1], 1), np.stack([s0, h1], 1)], axis=1
        )
        world = self.world(corners, out)
        lit = colour if glowing else self.shade(colour)
        near, far = sorted((self.p0[1], self.p1[1]))
        bands = 1 if far < near * 1.6 + 6 else 4  # air between the near and the far end
        step = (far - near) / bands
        for band in range(bands):
            depth = world[:, :, 2].mean(axis=1)
            low = near + band * step if band else -np.inf
            high = near + (band + 1) * step if band < bands - 1 else np.inf
            inside = (depth >= low) & (depth < high)
            self.canvas.faces(world[inside], lit, max(1.0, near + (band + 0.5) * step))

    def surface(self, outline: Sequence[tuple[float, float]], colour: RGB, texture: str | None) -> None:
        """The wall itself, with a pattern laid on it in perspective."""
        canvas = self.canvas
        uv_n2, depth = canvas.outline(self.world(np.array(outline, np.float64)))
        if not len(uv_n2):
            return
        canvas.fill(uv_n2, canvas.light.fade(self.shade(colour), depth))
        if texture is None or depth > min(90, 1.2 * canvas.light.haze_m):  # fog leaves nothing of a pattern
            return
        low = np.floor(uv_n2.min(axis=0) * FINE).astype(int)
        high = np.ceil(uv_n2.max(axis=0) * FINE).astype(int)
        left, top = max(0, int(low[0])), max(0, int(low[1]))
        right = min(canvas.image.shape[1], int(high[0]))
        bottom = min(canvas.image.shape[0], int(high[1]))
        if right - left < 2 or bottom - top < 2:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        corners = np.rint(uv_n2 * FINE - 0.5).astype(np.int32) - np.array([left, top], np.int32)
        cv2.fillPoly(mask, [corners], (255,))
        along, z, base = self._columns((np.arange(left, right) + 0.5) / FINE)
        rows = (np.arange(top, bottom) + 0.5) / FINE
        up = (canvas.camera.horizon_px - rows[:, None]) * (z / canvas.camera.focal_px)[None, :] - base[None, :]
        texels = PER_M * depth / (canvas.camera.focal_px * FINE)
        facing = abs(self.normal[2]) + 0.35 * abs(self.normal[0])
        level = max(0, int(texels * (1.0 / max(0.2, facing)) * 0.9).bit_length())
        shade_wall(canvas.image, mask, (left, right), (top, bottom), texture, along, up, level)

    def _columns(self, u: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
        """Per picture column: metres along the wall, its depth there, and its foot below eye level.

        The wall is taken as straight between its two ends, where the road's bend has put them.
        """
        camera = self.canvas.camera
        (x0, z0), (x1, z1) = self.p0, self.p1
        ends = np.array(
            [
                x0 + camera.bend * z0 * z0 - camera.x_m,
                x1 + camera.bend * z1 * z1 - camera.x_m,
                self.y + camera.rise * z0 * z0 - camera.y_m,
                self.y + camera.rise * z1 * z1 - camera.y_m,
            ]
        )
        slope = (u - camera.centre_px) / camera.focal_px
        run_x, run_z = ends[1] - ends[0], z1 - z0
        down = run_x - slope * run_z
        down = np.where(np.abs(down) < 1e-9, 1e-9, down)
        share = np.clip((slope * z0 - ends[0]) / down, -0.2, 1.2)
        return share * self.length, np.maximum(z0 + share * run_z, 0.5), ends[2] + share * (ends[3] - ends[2])
