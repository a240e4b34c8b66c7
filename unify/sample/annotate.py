"""What annotators leave behind: label images, instance images, polygon files, for a finished picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unify.sample.concepts import Concepts
from unify.sample.dice import Dice
from unify.sample.render import Rendering

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One annotated polygon: its class name and outline; `group`: several things in one outline."""

    label: str
    polygon: npt.NDArray[np.int32]  # (N, 2) columns and rows
    thing: int
    group: bool


def label_image(rendering: Rendering, ids: Bytes) -> Bytes:
    """(H, W) uint8: each pixel's raw id, by the (256,) table of a source."""
    return ids[rendering.concept_hw()]


def drawn_polygons(rendering: Rendering, concepts: Concepts, space: str, background: str) -> list[Drawn]:
    """The outlines that one source's annotators draw, in painting order.

    Left out are shapes that nothing is seen of, and those that would change no pixel: nobody outlines
    lane paint in a space that calls it road. Filled in order over `background`, the rest gives the
    source's label image exactly.
    """
    from PIL import Image, ImageDraw

    names = concepts.raw_names(space)
    numbers = {name: number for number, name in enumerate(dict.fromkeys((background, *names)))}
    seen = np.unique(rendering.shape_hw)
    height, width = rendering.shape_hw.shape
    picture = Image.new("L", (width, height), numbers[background])
    pen = ImageDraw.Draw(picture)
    kept = []
    for index in seen[seen > 0]:
        shape = rendering.shapes[index - 1]
        name = names[shape.concept]
        (left, top), (right, bottom) = shape.polygon.min(axis=0).tolist(), shape.polygon.max(axis=0).tolist()
        box = (left, top, right + 1, bottom + 1)
        before = picture.crop(box).tobytes()
        pen.polygon(shape.polygon.ravel().tolist(), fill=numbers[name])
        if picture.crop(box).tobytes() != before:
            kept.append(Drawn(name, shape.polygon, shape.thing, shape.group))
    return kept


def instance_numbers(
    rendering: Rendering, ids: Bytes, countable: frozenset[int]
) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Per shape (index 0: no shape) the running number of its thing within its class, 0 where it is not
    counted (a class without instances, or a group), and its raw id."""
    numbers = np.zeros(len(rendering.shapes) + 1, np.int32)
    raw = np.concatenate([ids[:1], ids[[shape.concept for shape in rendering.shapes]]])
    seen = set(np.unique(rendering.shape_hw).tolist())
    count: Counter[int] = Counter()
    known: dict[tuple[int, int], int] = {}
    for index, shape in enumerate(rendering.shapes, start=1):
        value = int(raw[index])
        if index not in seen or value not in countable or shape.group:
            continue
        key = (value, shape.thing)
        if key not in known:
            count[value] += 1
            known[key] = count[value]
        numbers[index] = known[key]
    return numbers, raw


def cityscapes_json(drawn: list[Drawn], plates: list[Drawn], width: int, height: int) -> dict[str, Any]:
    """A _gtFine_polygons.json: licence plates are listed, though no tool ever draws them."""
    objects = [{"label": _label(d), "polygon": d.polygon.tolist()} for d in drawn]
    objects += [{"label": "license plate", "polygon": d.polygon.tolist()} for d in plates]
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


def _label(drawn: Drawn) -> str:
    """The class, with "group" behind it for a group of things, unless the class is one of groups itself."""
    return f"{drawn.label}group" if drawn.group and not drawn.label.endswith("group") else drawn.label


def plates_of(rendering: Rendering, concepts: Concepts) -> list[Drawn]:
    """The licence plates that are seen."""
    wanted = concepts.index("licence plate")
    seen = set(np.unique(rendering.shape_hw).tolist())
    return [
        Drawn("license plate", shape.polygon, shape.thing, False)
        for index, shape in enumerate(rendering.shapes, start=1)
        if shape.concept == wanted and index in seen
    ]


def idd_json(drawn: list[Drawn], width: int, height: int, dice: Dice) -> dict[str, Any]:
    """An IDD polygon file, as uneven as the real ones: coordinates with fractions, objects that were
    deleted, and some whose outline was never finished."""
    objects: list[dict[str, Any]] = []

    def add(label: str, polygon: list[list[float]], deleted: int) -> None:
        objects.append(
            {
                "date": "12-Jan-2018 10:24:07",
                "deleted": deleted,
                "draw": True,
                "id": len(objects),
                "label": label,
                "polygon": polygon,
                "user": "annotator",
                "verified": 1 - deleted,
            }
        )

    for one in drawn:
        points = [[x + dice.whole(0, 9) / 10, y + dice.whole(0, 9) / 10] for x, y in one.polygon.tolist()]
        add(_label(one), points, 0)
        if dice.chance(0.04):  # a first try, moved aside and deleted
            add(_label(one), [[x + 6.5, y + 3.5] for x, y in points], 1)
        if dice.chance(0.03):
            add(_label(one), points[:2], 0)
        if dice.chance(0.02):
            add(_label(one), [], 0)
    return {"imgHeight": height, "imgWidth": width, "objects": objects}
