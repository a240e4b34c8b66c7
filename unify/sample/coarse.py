"""Coarse annotation, as in Cityscapes' gtCoarse: few and simple polygons, each well inside one thing.

The paper (Cordts et al., CVPR 2016, section 2.3) asks for polygons that hold one class only and lets annotators
leave out what takes long, boundaries above all; pixels of no polygon are unlabeled. So every region that is
seen is shrunk, its pieces are outlined with few corners, and a piece whose outline does not fit is cut in two.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from unify.sample.annotate import Drawn
from unify.sample.canvas import Bytes
from unify.sample.concepts import Concepts
from unify.sample.dice import Dice
from unify.sample.render import Rendering

#: Drawn once for a camera, and exactly.
FIXED = frozenset({"ego vehicle", "rectification border", "out of roi"})
#: What nobody outlines in a hurry.
SKIPPED = frozenset({"unlabeled", "static", "dynamic", "ground"})

#: Of a polygon's pixels, the share that has to be of its region.
PURITY = 0.97
#: A piece is cut in two this often before it is given up.
_CUTS = 3
_MAX_CORNERS = 12


def coarse_polygons(
    rendering: Rendering, concepts: Concepts, space: str, things: frozenset[str], dice: Dice
) -> list[Drawn]:
    """Outlines for a picture, in painting order. `things`: classes that are told apart."""
    names = concepts.raw_names(space)
    height = rendering.shape_hw.shape[0]
    regions: dict[tuple[str, int, bool], int] = {}
    table = np.zeros(len(rendering.shapes) + 1, np.int32)
    for index, shape in enumerate(rendering.shapes, start=1):
        name = names[shape.concept]
        if name not in SKIPPED:
            one = name in things and not shape.group
            key = (name, shape.thing if one else -1, shape.group)
            table[index] = regions.setdefault(key, len(regions) + 1)
    region_hw = table[rendering.shape_hw]
    drawn = []
    for (name, thing, group), number in regions.items():
        if name in FIXED:
            continue
        margin = height * (0.006 if name in things else 0.02)
        drawn += [
            Drawn(name, polygon, thing, group)
            for polygon in _outlines((region_hw == number).astype(np.uint8), max(1, round(margin)), dice)
        ]
    for shape in rendering.shapes:
        if names[shape.concept] in FIXED:
            drawn.append(Drawn(names[shape.concept], shape.polygon, shape.thing, False))
    return [d for d in drawn if len(d.polygon) >= 3]


def _outlines(mask_hw: Bytes, margin_px: int, dice: Dice) -> Iterator[npt.NDArray[np.int32]]:
    """Simple polygons inside a region, none of what is small."""
    height, width = mask_hw.shape
    least = max(12, height * width // 2500)
    if np.count_nonzero(mask_hw) < least:
        return
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * margin_px + 1, 2 * margin_px + 1))
    # what the frame cuts off goes on outside: no margin there
    inner = cv2.erode(mask_hw, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    count, part_hw = cv2.connectedComponents(inner, connectivity=4)
    for part in range(1, count):
        piece = (part_hw == part).astype(np.uint8)
        if np.count_nonzero(piece) >= least and not dice.chance(0.2):
            yield from _fit(piece, mask_hw, least, _CUTS)


def _fit(piece_hw: Bytes, region_hw: Bytes, least_px: int, cuts: int) -> Iterator[npt.NDArray[np.int32]]:
    """The polygon of a piece, or of its halves."""
    slack_px = max(1.0, piece_hw.shape[0] * 0.012)
    contours, _ = cv2.findContours(piece_hw, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        if cv2.contourArea(contour) < least_px * 0.6:
            continue
        polygon = cv2.approxPolyDP(contour, slack_px, True)[:, 0].astype(np.int32)
        if 3 <= len(polygon) <= _MAX_CORNERS and _purity(polygon, region_hw) >= PURITY:
            yield np.ascontiguousarray(polygon)
        elif cuts:
            left, top, wide, high = cv2.boundingRect(contour)
            whole = np.zeros_like(piece_hw)
            cv2.drawContours(whole, [contour], -1, (1,), -1)
            whole &= piece_hw
            lap = round(slack_px) + 1  # halves overlap, or a line between them would stay unlabeled
            for half in (0, 1):
                part = np.zeros_like(piece_hw)
                if wide >= high:
                    middle = left + wide // 2
                    place = np.s_[:, middle - lap :] if half else np.s_[:, : middle + lap]
                else:
                    middle = top + high // 2
                    place = np.s_[middle - lap :, :] if half else np.s_[: middle + lap, :]
                part[place] = whole[place]
                yield from _fit(part, region_hw, least_px, cuts - 1)


def _purity(polygon_n2: npt.NDArray[np.int32], region_hw: Bytes) -> float:
    """Share of a polygon's pixels, as Pillow fills it, that belong to the region."""
    from PIL import Image, ImageDraw

    (left, top), (right, bottom) = polygon_n2.min(axis=0).tolist(), polygon_n2.max(axis=0).tolist()
    picture = Image.new("L", (right - left + 1, bottom - top + 1), 0)
    ImageDraw.Draw(picture).polygon((polygon_n2 - (left, top)).ravel().tolist(), fill=1)
    inside = np.asarray(picture) > 0
    return float(region_hw[top : bottom + 1, left : right + 1][inside].mean()) if inside.any() else 0.0
