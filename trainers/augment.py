"""An image and its label, altered alike: scale, rotation, flip and crop in one step, then colour and blur.

All is a function of arrays and of a random generator, which is drawn from in one fixed order, whatever is switched
off. Geometry is one affine map from crop to image: every pixel is interpolated once, only those of the crop are
computed, and the label takes the nearest pixel under the very same map. Positions follow the pixel-centre
convention: pixel (x, y) covers [x, x + 1) x [y, y + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unify.errors import error

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Label = NDArray[np.uint8]  # (H, W)
Matrix = NDArray[np.float64]  # (2, 3), a position in one image -> in another
Number = TypeVar("Number", np.uint8, np.uint16)

VOID = 255
#: Mean and standard deviation of ImageNet, RGB in 0..255: what pretrained encoders expect.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
_HUE_STEPS = 180  # of OpenCV's 8-bit hue


@dataclass(frozen=True, slots=True)
class Drawn:
    """What chance does to one image. to_image: as of `Augment.place`. chance: twelve numbers in 0..1."""

    to_image: Matrix
    chance: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Augment:
    """What is done at random. The defaults are scale, crop and flip alone, as all recipes have them.

    crop_hw: size of the result, pixels. Beyond the edge of the image the label is void and the colour is `MEAN`,
        which is about 0 when normalized.
    short_side: pixels that the shorter side is brought to before `scale`; None leaves it.
    scale: least and greatest factor, drawn uniformly.
    flip: chance to mirror left and right.
    rotation_deg: greatest angle either way, about the middle of the crop.
    brightness, contrast, saturation, hue: greatest change. Of brightness in 0..255, of contrast and saturation as a
        share, of hue in degrees. Each is done with the chance `photometric`. 32, 0.5, 0.5 and 36 are those of SSD
        (Liu et al., ECCV 2016), with the chance 0.5.
    blur: chance of a Gaussian blur, whose sigma is uniform in `blur_sigma_px`.
    stretch: show the whole image, each of its sides brought to that of the result; `short_side` and `scale` then do
        nothing.
    """

    crop_hw: tuple[int, int]
    short_side: int | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    rotation_deg: float = 0.0
    photometric: float = 0.0
    brightness: float = 32.0
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 36.0
    blur: float = 0.0
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    stretch: bool = False

    def __post_init__(self) -> None:
        faults = []
        if min(self.crop_hw) < 1 or (self.short_side is not None and self.short_side < 1):
            faults.append("sizes are at least 1")
        if not 0 < self.scale[0] <= self.scale[1]:
            faults.append("scale is a least and a greatest factor above 0")
        if not 0 <= self.blur_sigma_px[0] <= self.blur_sigma_px[1]:
            faults.append("blur_sigma_px is a least and a greatest width")
        if not all(0 <= chance <= 1 for chance in (self.flip, self.photometric, self.blur)):
            faults.append("flip, photometric and blur are chances in 0..1")
        if not (0 <= self.contrast <= 1 and 0 <= self.saturation <= 1 and self.brightness >= 0 and self.hue >= 0):
            faults.append("changes are at least 0, of contrast and saturation at most 1")
        if faults:
            raise error("bad-config", "augmentation", "; ".join(faults), "change the recipe")

    def __call__(
        self, image_hwc: Image, label_hw: Label, rng: np.random.Generator, centre_yx: tuple[int, int] | None = None
    ) -> tuple[Image, Label]:
        """A crop of the image and of its label. `centre_yx`: a pixel that the crop should show; None for anywhere."""
        drawn = self.draw((label_hw.shape[0], label_hw.shape[1]), rng, centre_yx)
        return self.apply(image_hwc, label_hw, drawn)

    def draw(
        self, size_hw: tuple[int, int], rng: np.random.Generator, centre_yx: tuple[int, int] | None = None
    ) -> Drawn:
        """What chance does to an image of that size."""
        chance = rng.random(12).tolist()
        return Drawn(self.place(size_hw, chance[:5], centre_yx), tuple(chance))

    def apply(self, image_hwc: Image, label_hw: Label, drawn: Drawn) -> tuple[Image, Label]:
        chance = drawn.chance
        image_hwc, label_hw, outside_hw = warp(image_hwc, label_hw, drawn.to_image, self.crop_hw)
        if chance[5] < self.photometric:
            image_hwc = _recolour(image_hwc, self, list(chance[6:10]))
        if chance[10] < self.blur:
            low, high = self.blur_sigma_px
            image_hwc = _blurred(image_hwc, low + (high - low) * chance[11])
        if outside_hw is not None:
            image_hwc[outside_hw] = np.rint(MEAN)
        return image_hwc, label_hw

    def place(self, size_hw: tuple[int, int], chance: list[float], centre_yx: tuple[int, int] | None = None) -> Matrix:
        """(2, 3): where in the image a position (x, y, 1) of the crop comes from. `chance`: five numbers in 0..1."""
        at_scale, at_y, at_x, at_flip, at_angle = chance
        (height, width), (crop_h, crop_w) = size_hw, self.crop_hw
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * at_scale
        if self.short_side is not None:
            factor *= self.short_side / min(size_hw)
        scaled_h, scaled_w = max(1, round(height * factor)), max(1, round(width * factor))
        if self.stretch:
            scaled_h, scaled_w = crop_h, crop_w
        centre_y, centre_x = (None, None) if centre_yx is None else centre_yx
        top = _start(scaled_h, crop_h, at_y, centre_y, scaled_h / height)
        left = _start(scaled_w, crop_w, at_x, centre_x, scaled_w / width)
        matrix = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        matrix = matrix @ _rotation(np.deg2rad(self.rotation_deg * (2 * at_angle - 1)), crop_w / 2, crop_h / 2)
        if at_flip < self.flip:
            matrix = matrix @ np.array([[-1, 0, crop_w], [0, 1, 0], [0, 0, 1]], np.float64)
        return (np.diag([width / scaled_w, height / scaled_h, 1.0]) @ matrix)[:2]


def _start(size: int, crop: int, at: float, centre: int | None, factor: float) -> int:
    """The first pixel of a crop along one axis, whole so that an unscaled image is copied, not interpolated.

    Within the image where the crop fits; else the image lies anywhere within the crop.
    """
    free = size - crop
    if free < 0 or centre is None:
        low, high = min(0, free), max(0, free)
    else:
        there = min(size - 1, int((centre + 0.5) * factor))
        low, high = max(0, there - crop + 1), min(free, there)
    return low + int(at * (high - low + 1))


def _rotation(angle: float, x: float, y: float) -> NDArray[np.float64]:
    """(3, 3), about (x, y)."""
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])


def stretched(height: int, width: int) -> Augment:
    """Whole images, brought to this size, and nothing else."""
    return Augment((height, width), flip=0.0, stretch=True)


def warp(
    image_hwc: Image, label_hw: Label, to_image: Matrix, size_hw: tuple[int, int]
) -> tuple[Image, Label, NDArray[np.bool_] | None]:
    """Image (bilinear) and label (nearest) at the positions that `to_image` gives, and (H, W) where these are outside.

    Outside, the label is void and the image has the colours of its border; None if nothing is. Where the map is a
    shift by whole pixels, mirrored or not, pixels are copied.
    """
    import cv2

    height, width = label_hw.shape
    by_index, size, linear = _of_indices(to_image), size_hw[::-1], cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    image = cv2.warpAffine(image_hwc, by_index, size, flags=linear, borderMode=cv2.BORDER_REPLICATE)
    label = warp_nearest(label_hw, to_image, size_hw, VOID)
    outside_hw = None
    corners = to_image @ np.array([[0, size[0], 0, size[0]], [0, 0, size[1], size[1]], [1, 1, 1, 1]])
    if corners.min() < 0 or corners[0].max() > width or corners[1].max() > height:
        outside_hw = warp_nearest(np.ones((height, width), np.uint8), to_image, size_hw, 0) == 0
    return np.asarray(image, np.uint8), label, outside_hw


def warp_nearest(map_hw: NDArray[Number], to_image: Matrix, size_hw: tuple[int, int], outside: int) -> NDArray[Number]:
    """The pixels of an 8- or 16-bit map nearest to the positions that `to_image` gives, and `outside` beyond its edge.

    Maps that are warped alike stay pixel on pixel.
    """
    import cv2

    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    warped = cv2.warpAffine(map_hw, _of_indices(to_image), size_hw[::-1], flags=flags, borderValue=outside)
    return np.asarray(warped, map_hw.dtype)


def _of_indices(to_image: Matrix) -> Matrix:
    """The same map from the middle of pixel (x, y) to the middle of another, written in pixel numbers."""
    moved = to_image.copy()
    moved[:, 2] += to_image[:, :2] @ [0.5, 0.5] - 0.5
    return moved


def _recolour(image_hwc: Image, how: Augment, chance: list[float]) -> Image:
    """Brightness, contrast, saturation, hue: each changed, `chance` of the way from the least to the greatest."""
    import cv2

    brightness, contrast, saturation, hue = (2 * c - 1 for c in chance)
    gain, offset = 1 + how.contrast * contrast, how.brightness * brightness
    steps = np.arange(256)
    table = np.clip(np.rint((steps + offset) * gain), 0, 255).astype(np.uint8)
    hsv = cv2.cvtColor(cv2.LUT(image_hwc, table), cv2.COLOR_RGB2HSV)
    hsv_table = np.empty((1, 256, 3), np.uint8)
    hsv_table[0, :, 0] = (steps + round(how.hue * hue * _HUE_STEPS / 360)) % _HUE_STEPS
    hsv_table[0, :, 1] = np.clip(np.rint(steps * (1 + how.saturation * saturation)), 0, 255)
    hsv_table[0, :, 2] = steps
    return np.asarray(cv2.cvtColor(cv2.LUT(hsv, hsv_table), cv2.COLOR_HSV2RGB), np.uint8)


def _blurred(image_hwc: Image, sigma_px: float) -> Image:
    import cv2

    return np.asarray(cv2.GaussianBlur(image_hwc, (0, 0), max(sigma_px, 1e-3)), np.uint8)


def resized(image_hwc: Image, short_side: int) -> Image:
    """The image with that shorter side, as it is evaluated. The label keeps its size, as predictions are resized."""
    import cv2

    height, width = image_hwc.shape[:2]
    factor = short_side / min(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    shrinking = factor < 1
    return np.asarray(
        cv2.resize(image_hwc, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR), np.uint8
    )
