"""Polygon labels, as IDD ships them, to an image of ids.

Draws what the official tool draws (AutoNUE public-code, preparation/json2labelImg.py): objects in the order
of the file, each filled by Pillow's `ImageDraw.polygon`; deleted objects and those of fewer than three
points are passed over; a label that is unknown and ends with "group" stands for the class without it.
One thing differs: the tool passes over labels that are still unknown, here they are an error.

`draw_instances` draws the things of a class apart, as json2instanceImg.py beside that tool. It numbers objects
of two points, too, and draws a line for each; here such a line takes a number and is not drawn, so that labels
and instances agree in every pixel.

The file is checked in full before anything of its size is made: these files come from anywhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from unify.errors import error
from unify.imagefile import MAX_PIXELS

MAX_BYTES = 8 << 20  #: of JSON. A file has some 100 kB, and parsing needs up to 25 times its size.
MAX_POINTS = 100_000  #: of all objects together. Filling costs points times rows.
MAX_COORDINATE = 1_000_000.0  #: in pixels, either sign. Polygons may reach beyond the image.
_FIX = "get the file again from the dataset's own archive"
_SHOWN = 5  # faults that a message lists


@dataclass(frozen=True, slots=True)
class Polygons:
    """A polygon label file. `shapes`: (label, x0, y0, x1, y1, ...) in painting order, without those that
    are never drawn, of which `deleted` and `empty` (fewer than three points) are the numbers. `lines`: of those
    with two points, (how many shapes come before it, label).
    """

    width: int
    height: int
    shapes: tuple[tuple[str, list[float]], ...]
    deleted: int
    empty: int
    lines: tuple[tuple[int, str], ...] = ()


def parse(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Polygons:
    """The polygons in a JSON file. Raises `UnifyError` (bad-polygons, image-too-large), path empty."""
    file = _json(data)
    width, height = _size(file, max_pixels)
    objects = file.get("objects")
    if not isinstance(objects, list):
        raise error("bad-polygons", "", "has no list of objects", _FIX)
    faults: list[str] = []
    shapes: list[tuple[str, list[float]]] = []
    lines: list[tuple[int, str]] = []
    deleted = empty = points = 0
    for i, item in enumerate(objects):
        coordinates = _coordinates(item)
        if isinstance(coordinates, str):
            faults.append(f"object {i}: {coordinates}")
            continue
        points += len(coordinates) // 2
        if item.get("deleted"):
            deleted += 1
        elif len(coordinates) < 6:
            empty += 1
            if len(coordinates) == 4:
                lines.append((len(shapes), item["label"]))
        else:
            shapes.append((item["label"], coordinates))
    if points > MAX_POINTS:
        faults.append(f"{points:,} points, where {MAX_POINTS:,} are the most")
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise error("bad-polygons", "", "; ".join(faults[:_SHOWN]) + more, _FIX)
    return Polygons(width, height, tuple(shapes), deleted, empty, tuple(lines))


def label_ids(polygons: Polygons, ids: Mapping[str, int]) -> dict[str, int]:
    """Each label that is drawn → its id, by name or by name without "group".

    Raises `UnifyError` (bad-polygons) with all labels that `ids` does not have.
    """
    values = {label: ids.get(label, ids.get(label.removesuffix("group"), -1)) for label, _ in polygons.shapes}
    if unknown := Counter(label for label, _ in polygons.shapes if values[label] < 0):
        listed = ", ".join(f"'{label}' ({count} objects)" for label, count in sorted(unknown.items())[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise error("bad-polygons", "", f"unknown labels: {listed}{more}", "correct them, or mark the objects deleted")
    return values


def draw(polygons: Polygons, ids: Mapping[str, int], background: int) -> npt.NDArray[np.uint8]:
    """(H, W) ids: each shape filled with the id of its label, over `background`. Raises as `label_ids`."""
    values = label_ids(polygons, ids)
    image = Image.new("L", (polygons.width, polygons.height), background)
    drawer = ImageDraw.Draw(image)
    for label, coordinates in polygons.shapes:
        drawer.polygon(coordinates, fill=values[label])
    return np.array(image)


def draw_instances(
    polygons: Polygons, ids: Mapping[str, int], background: int, divisor: int, numbered_as: Mapping[str, int]
) -> npt.NDArray[np.uint16]:
    """(H, W): each shape of a class in `numbered_as` filled with id * `divisor` + number, others with their id.

    Numbers count from 0 in the order of the file, classes with one entry in `numbered_as` together. A group
    ("cargroup") has no number.

    Raises as `label_ids`, and bad-polygons for more than `divisor` things that are numbered together.
    """
    values = label_ids(polygons, ids)
    image = Image.new("I", (polygons.width, polygons.height), background)
    drawer = ImageDraw.Draw(image)
    count: Counter[int] = Counter()
    lines = iter([*polygons.lines, (len(polygons.shapes) + 1, "")])
    before, line = next(lines)
    for i, (label, coordinates) in enumerate(polygons.shapes):
        while before <= i:
            count[numbered_as.get(line, -1)] += 1
            before, line = next(lines)
        value = values[label]
        if label in numbered_as:  # a group's label is not
            kind = numbered_as[label]
            value = value * divisor + count[kind]
            count[kind] += 1
            if count[kind] > divisor:
                what = f"more than {divisor:,} objects that are numbered like '{label}'"
                raise error("bad-polygons", "", what, "correct it, or build without --instances")
        drawer.polygon(coordinates, fill=value)
    return np.array(image).astype(np.uint16)


def _json(data: bytes) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise error("bad-polygons", "", f"has {len(data):,} bytes, where {MAX_BYTES:,} are the most", _FIX)
    try:
        file = json.loads(data, parse_constant=_no_constant)
    except RecursionError:
        raise error("bad-polygons", "", "is nested too deeply", _FIX) from None
    except ValueError as e:  # JSON and UTF-8 errors, NaN, integers of thousands of digits
        raise error("bad-polygons", "", f"is not JSON: {e}", _FIX) from None
    if not isinstance(file, dict):
        raise error("bad-polygons", "", "is no object with imgWidth, imgHeight and objects", _FIX)
    return file


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _size(file: Mapping[str, object], max_pixels: int) -> tuple[int, int]:
    width, height = file.get("imgWidth"), file.get("imgHeight")
    if type(width) is not int or type(height) is not int or width < 1 or height < 1:
        raise error("bad-polygons", "", "imgWidth and imgHeight have to be positive whole numbers", _FIX)
    if width * height > max_pixels:
        what = f"imgWidth x imgHeight is {width} x {height}, more than {max_pixels:,} pixels"
        raise error("image-too-large", "", what, "allow it with --max-pixels if that is meant")
    return width, height


def _coordinates(item: object) -> list[float] | str:
    """An object's points as x0, y0, x1, y1, ..., or what is wrong with the object."""
    if not isinstance(item, dict):
        return "is not {label, polygon}"
    label, polygon = item.get("label"), item.get("polygon")
    if not isinstance(label, str):
        return "its label is no text"
    if not isinstance(item.get("deleted", 0), int):
        return "'deleted' is neither 0 nor 1"
    if not isinstance(polygon, list):
        return "its polygon is no list of points"
    if not all(type(point) is list and len(point) == 2 for point in polygon):
        return "a point is not [x, y]"
    flat = [v for point in polygon for v in point]
    if not set(map(type, flat)) <= {int, float}:
        return "a coordinate is no number"
    if flat and max(map(abs, flat)) > MAX_COORDINATE:  # 1e999 is inf
        return f"a coordinate is beyond {MAX_COORDINATE:,.0f}"
    return flat
