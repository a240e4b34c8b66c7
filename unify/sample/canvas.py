"""The canvas: every stroke that shows in the picture also says which concept it shows.

A picture is painted far to near at `FINE` times its size and shrunk at the end, so its edges are
smooth. What it shows is kept beside it as a list of shapes, integer polygons in the order in which
they hide each other, as an annotator would draw them; label maps are these shapes filled by Pillow,
without smoothing. That is how the polygon files of Cityscapes and IDD are made into label images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from unify.sample.camera import RGB, Camera, Light, Points, clip_box, clip_near
from unify.sample.concepts import Concepts

Bytes = npt.NDArray[np.uint8]

#: The picture is painted at this multiple of its size.
FINE = 2

_SHIFT = 4  # cv2 takes sub-pixel coordinates as integers with this many binary digits
_ONE = 1 << _SHIFT
_LIMIT = 16000  # beyond cv2's and Pillow's comfort; nothing larger than this is asked for


@dataclass(frozen=True, slots=True)
class Shape:
    """One annotated outline: its concept, the thing it belongs to, and (N, 2) pixel columns and rows."""

    concept: int
    thing: int
    polygon: npt.NDArray[np.int32]
    group: bool = False


class Canvas:
    """A picture being painted, with the shapes it shows. All coordinates are world metres."""

    def __init__(self, camera: Camera, light: Light, concepts: Concepts) -> None:
        self.camera, self.light, self.concepts = camera, light, concepts
        self.image = np.zeros((camera.height * FINE, camera.width * FINE, 3), np.uint8)
        self.shapes: list[Shape] = []
        self.glows: list[tuple[float, float, float, RGB]] = []  # column, row, radius (pixels), colour
        self.shadow: Bytes = np.zeros((camera.height, camera.width), np.uint8)  # 255: no sun
        self._mask = np.zeros((camera.height, camera.width), np.uint8)
        self._box: list[float] | None = None

    # -- seeing -------------------------------------------------------------------------------

    def outline(self, points: Points | Sequence[Sequence[float]]) -> tuple[Points, float]:
        """A polygon's pixel columns and rows, cut to a little more than the picture, and its mean depth."""
        world_n3 = clip_near(np.asarray(points, np.float64))
        if len(world_n3) < 3:
            return np.empty((0, 2)), 0.0
        uv_n2 = self.camera.project(world_n3)
        depth = float(world_n3[:, 2].mean())
        high = max(self.camera.width, self.camera.height) + 64.0
        if uv_n2.min() < -64.0 or uv_n2.max() > high:
            uv_n2 = clip_box(uv_n2, -64.0, self.camera.width + 64.0, self.camera.height + 64.0)
        return uv_n2, depth

    def size_px(self, metres: float, depth_m: float) -> float:
        """How many pixels a length at a distance covers."""
        return metres * self.camera.focal_px / max(depth_m, 0.7)

    def sunlit(self, x: float, z: float, y: float = 0.0) -> float:
        """1 where the sun reaches the ground at a place, 0 in a building's shadow."""
        if z < 1.0:
            return 1.0
        u, v = self.camera.project(np.array([[x, y, z]]))[0]
        row, column = int(v), int(u)
        if not (0 <= row < self.camera.height and 0 <= column < self.camera.width):
            return 1.0
        return 1.0 - float(self.shadow[row, column]) / 255.0

    def tone(self, colour: RGB, depth_m: float, normal: RGB = (0.0, 0.3, -0.6), sunlit: float = 1.0) -> RGB:
        """A surface's colour in this light and through this much air."""
        factor = self.light.factor(normal, sunlit)
        r, g, b = (min(255.0, c * f) for c, f in zip(colour, factor, strict=True))
        return self.light.fade((r, g, b), depth_m)

    # -- painting -----------------------------------------------------------------------------

    def fill(self, uv_n2: Points, colour: RGB) -> None:
        """Paint pixels and, inside `solid`, claim them. `colour` is final."""
        if len(uv_n2) < 3:
            return
        fine = np.rint((uv_n2 * FINE - 0.5) * _ONE).astype(np.int32)
        cv2.fillPoly(self.image, [fine], colour, shift=_SHIFT)
        self.claim(uv_n2)

    def fill_many(self, uv_mn2: Points, colour: RGB) -> None:
        """`fill` for (M, N, 2) polygons of one colour, one by one: in a single call, overlaps would be holes."""
        if not len(uv_mn2):
            return
        for polygon in np.rint((uv_mn2 * FINE - 0.5) * _ONE).astype(np.int32):
            cv2.fillPoly(self.image, [polygon], colour, shift=_SHIFT)
        if self._box is not None:
            for polygon in np.rint((uv_mn2 - 0.5) * _ONE).astype(np.int32):
                cv2.fillPoly(self._mask, [polygon], (255,), shift=_SHIFT)
            self._stretch(uv_mn2.reshape(-1, 2))

    def claim(self, uv_n2: Points) -> None:
        """Inside `solid`: these pixels belong to it, whatever they show."""
        if self._box is None or len(uv_n2) < 3:
            return
        cv2.fillPoly(self._mask, [np.rint((uv_n2 - 0.5) * _ONE).astype(np.int32)], (255,), shift=_SHIFT)
        self._stretch(uv_n2)

    def face(
        self, points: Points | Sequence[Sequence[float]], colour: RGB, normal: RGB | None = None, sunlit: float = 1.0
    ) -> None:
        """Paint a flat polygon of the world, lit by its normal (as it is without one), faded by its depth."""
        uv_n2, depth = self.outline(points)
        if len(uv_n2):
            lit = self.light.fade(colour, depth) if normal is None else self.tone(colour, depth, normal, sunlit)
            self.fill(uv_n2, lit)

    def faces(self, points_mn3: Points, colour: RGB, depth_m: float) -> None:
        """Paint (M, N, 3) small polygons of one colour, all at about one depth; `colour` is lit already."""
        ahead = points_mn3[(points_mn3[:, :, 2] > 0.8).all(axis=1)]
        if not len(ahead):
            return
        uv_n2 = self.camera.project(ahead.reshape(-1, 3)).reshape(*ahead.shape[:2], 2)
        near = (uv_n2.max(axis=1) > -64).all(axis=1) & (np.abs(uv_n2) < _LIMIT).all(axis=(1, 2))
        near &= (uv_n2[:, :, 0].min(axis=1) < self.camera.width + 64) & (
            uv_n2[:, :, 1].min(axis=1) < self.camera.height + 64
        )
        self.fill_many(uv_n2[near], self.light.fade(colour, depth_m))

    def glow(self, point: Sequence[float], radius_m: float, colour: RGB) -> None:
        """A lamp: by night it lights its surroundings."""
        if point[2] < 1.0:
            return
        u, v = self.camera.project(np.asarray([point], np.float64))[0]
        radius = self.size_px(radius_m, point[2])
        if -radius < u < self.camera.width + radius and -radius < v < self.camera.height + radius:
            self.glows.append((float(u), float(v), radius, colour))

    # -- what it shows ------------------------------------------------------------------------

    def region(self, concept: str, uv_n2: Points, thing: int = 0) -> None:
        """Record a polygon of the ground or the background as it is."""
        if len(uv_n2) < 3:
            return
        high = np.array([self.camera.width - 1, self.camera.height - 1])
        cut = clip_box(uv_n2, 0.0, float(high[0]), float(high[1]))
        if len(cut) >= 3:
            polygon = np.clip(np.floor(cut).astype(np.int32), 0, high.astype(np.int32))
            self.shapes.append(Shape(self.concepts.index(concept), thing, _without_repeats(polygon)))

    @contextmanager
    def solid(self, concept: str, thing: int = 0, group: bool = False) -> Iterator[None]:
        """All that is painted within is one thing of this concept, annotated by its outer contour."""
        assert self._box is None, "solids do not nest"
        self._box = [np.inf, np.inf, -np.inf, -np.inf]
        yield
        box, self._box = self._box, None
        if box[2] < box[0]:
            return
        left, top = max(0, int(max(box[0], 0)) - 2), max(0, int(max(box[1], 0)) - 2)
        right = int(min(box[2], self.camera.width)) + 3
        bottom = int(min(box[3], self.camera.height)) + 3
        if right <= left or bottom <= top:
            return
        patch = self._mask[top:bottom, left:right]
        contours, _ = cv2.findContours(patch, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
        patch[:] = 0
        for contour in contours:
            polygon = cv2.approxPolyDP(contour, 0.7, True)[:, 0]
            if len(polygon) < 3:
                polygon = contour[:, 0]
            if len(polygon) >= 3:
                index = self.concepts.index(concept)
                self.shapes.append(Shape(index, thing, np.ascontiguousarray(polygon, np.int32), group))

    def _stretch(self, uv_n2: Points) -> None:
        assert self._box is not None
        low, high = uv_n2.min(axis=0), uv_n2.max(axis=0)
        box = self._box
        self._box = [
            min(box[0], float(low[0])),
            min(box[1], float(low[1])),
            max(box[2], float(high[0])),
            max(box[3], float(high[1])),
        ]


def shrink(image_hw3: Bytes) -> Bytes:
    """A painting at the picture's own size: the mean of each `FINE` x `FINE` block."""
    height, width = image_hw3.shape[0] // FINE, image_hw3.shape[1] // FINE
    return np.asarray(cv2.resize(image_hw3, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def enlarge(picture_hw3: Bytes) -> Bytes:
    """A picture at the painting's size; `shrink` gives it back unchanged."""
    return np.repeat(np.repeat(picture_hw3, FINE, axis=0), FINE, axis=1)


def _without_repeats(polygon_n2: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The polygon without a corner that equals the one before it."""
    keep = (polygon_n2 != np.roll(polygon_n2, 1, axis=0)).any(axis=1)
    return polygon_n2[keep] if keep.sum() >= 3 else polygon_n2


def draw_shapes(shapes: Iterable[Shape], height: int, width: int) -> npt.NDArray[np.int32]:
    """Fill shapes in their order with Pillow, as the official tools do: (height, width) of 1 + the index
    of the shape seen in each pixel, 0 where there is none."""
    from PIL import Image, ImageDraw

    picture = Image.new("I", (width, height), 0)
    pen = ImageDraw.Draw(picture)
    for index, shape in enumerate(shapes):
        pen.polygon(shape.polygon.ravel().tolist(), fill=index + 1)
    return np.asarray(picture, np.int32)
