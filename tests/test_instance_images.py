"""Instance images: 16 bits against Pillow and OpenCV, IDD's drawn as its tool draws them, the facts of each release."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import unify
from unify import codecs, polygons
from unify.errors import UnifyError
from unify.instances import count_instances, distinct, raw_ids
from unify.sources import SOURCES, InstanceFiles
from unify.spaces import load_space

from .layouts import idd_polygons

#: IDD's classes with instances, and their level3 ids (AutoNUE public-code, helpers/anue_labels.py).
IDD_THINGS = {
    "person": 4, "animal": 4, "rider": 5, "motorcycle": 6, "bicycle": 7, "autorickshaw": 8, "car": 9, "truck": 10,
    "bus": 11, "caravan": 12, "trailer": 12, "train": 12, "vehicle fallback": 12,
}  # fmt: skip


def official_idd(data: bytes) -> np.ndarray:
    """What json2instanceImg.py does with ids, but that lines are not drawn."""
    file = json.loads(data)
    ids = {c.name: c.id for c in load_space("idd").classes}
    picture = Image.new("I", (file["imgWidth"], file["imgHeight"]), ids["unlabeled"])
    numbers = dict.fromkeys(IDD_THINGS.values(), 0)
    for item in file["objects"]:
        label, points = item["label"], item["polygon"]
        if item["deleted"] or len(points) < 2:
            continue
        is_group = label not in ids and label.endswith("group")
        name = label[:-5] if is_group else label
        value = ids[name]
        if name in IDD_THINGS and not is_group:
            value = value * 1000 + numbers[IDD_THINGS[name]]
            numbers[IDD_THINGS[name]] += 1
        if len(points) > 2:
            ImageDraw.Draw(picture).polygon([tuple(p) for p in points], fill=value)
    return np.asarray(picture).astype(np.uint16)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1 << 32), st.sampled_from([2, 1 << 16]))
def test_sixteen_bits_survive(height, width, seed, top):
    values_hw = np.random.default_rng(seed).integers(0, top, (height, width)).astype(np.uint16)
    png = codecs.encode_ids16(values_hw)
    with Image.open(io.BytesIO(png)) as image:
        assert (image.mode, image.size) == ("I;16", (width, height))
        assert np.array_equal(np.asarray(image), values_hw)
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), values_hw)
    back = codecs.read_ids16(png)
    assert back.dtype == np.uint16 and np.array_equal(back, values_hw)
    assert codecs.encode_ids16(values_hw) == png
    assert distinct(values_hw).tolist() == np.unique(values_hw).tolist()


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (Image.new("L", (4, 3)), "8 bits a value where gray of 16 bits is due"),
        (Image.new("P", (4, 3)), "a palette where gray of 16 bits is due"),
        (Image.new("RGB", (4, 3)), "RGB colours where ids are due"),
    ],
)
def test_other_images_are_no_instances(image, what):
    with pytest.raises(UnifyError, match=f"bad-label: {what}"):
        codecs.read_ids16(encoded(image))


def idd_file(*objects: tuple[str, list]) -> bytes:
    made = [{"label": label, "polygon": points, "deleted": 0} for label, points in objects]
    return json.dumps({"imgWidth": 12, "imgHeight": 8, "objects": made}).encode()


def box(x: int, y: int) -> list[list[int]]:
    return [[x, y], [x + 2, y], [x + 2, y + 2], [x, y + 2]]


def drawn(data: bytes) -> np.ndarray:
    ids = {c.name: c.id for c in load_space("idd").classes}
    return polygons.draw_instances(polygons.parse(data), ids, ids["unlabeled"], 1000, IDD_THINGS)


def test_numbers_of_drawn_instances():
    ids = {c.name: c.id for c in load_space("idd").classes}
    data = idd_file(
        ("person", box(0, 0)), ("road", box(3, 0)), ("person", [[0, 0], [5, 5]]), ("animal", box(6, 0)),
        ("persongroup", box(9, 0)), ("person", []), ("person", box(0, 4)), ("car", box(3, 4)), ("car", box(6, 4)),
    )  # fmt: skip
    values_hw = drawn(data)
    seen = {(x, y): int(values_hw[y + 1, x + 1]) for x in (0, 3, 6, 9) for y in (0, 4)}
    # A line is a person with number 1; animals are numbered with persons; a group and an empty outline are not.
    assert seen == {
        (0, 0): 6000, (3, 0): ids["road"], (6, 0): 7002, (9, 0): 6,
        (0, 4): 6003, (3, 4): 12000, (6, 4): 12001, (9, 4): ids["unlabeled"],
    }  # fmt: skip
    assert np.array_equal(values_hw, official_idd(data))


def test_more_things_than_there_are_numbers():
    with pytest.raises(UnifyError, match="bad-polygons: more than 1,000 objects that are numbered like 'car'"):
        drawn(idd_file(*[("car", box(0, 0))] * 1001))
    assert drawn(idd_file(*[("car", box(0, 0))] * 1000)).max() == 12999


def test_drawn_instances_agree_with_labels():
    rng = np.random.default_rng(5)
    ids = {c.name: c.id for c in load_space("idd").classes}
    for _ in range(20):
        data = json.dumps(idd_polygons(rng, (64, 32))).encode()
        values_hw = drawn(data)
        assert np.array_equal(values_hw, official_idd(data))
        label_hw = polygons.draw(polygons.parse(data), ids, ids["unlabeled"])
        assert np.array_equal(np.where(values_hw < 1000, values_hw, values_hw // 1000), label_hw)


def test_three_ways_to_number():
    values = np.array([0, 7, 999, 1000, 26001, 26002])
    raw, counts = raw_ids(values, InstanceFiles(1000, plain=True))
    assert (raw.tolist(), counts.tolist()) == ([0, 7, 999, 1, 26, 26], [False] * 3 + [True] * 3)
    values = np.array([0, 1, 256, 257, 7 << 8, (7 << 8) + 3])
    raw, counts = raw_ids(values, InstanceFiles(256, first=1))
    assert (raw.tolist(), counts.tolist()) == ([0, 0, 1, 1, 7, 7], [False, True, False, True, False, True])
    raw, counts = raw_ids(values, InstanceFiles(256, things=frozenset([0, 7])))
    assert counts.tolist() == [True, True, False, False, True, True]
    table = np.full(256, 255, np.uint8)
    table[0] = 1
    assert count_instances(values, InstanceFiles(256, things=frozenset([0, 7])), table, 2) == (0, 2, 2)


def test_facts_of_the_releases():
    told = {(s, name) for s, source in SOURCES.items() for name, r in source.releases.items() if r.instances}
    assert told == {
        ("cityscapes", "fine"), ("cityscapes", "coarse"), ("idd", "20k"), ("kitti", "2015"),
        ("mapillary", "v1.2"), ("mapillary", "v2.0"), ("wilddash", "v2p0"), ("wilddash", "public_02"),
        ("voc", "voc2012"),
    }  # fmt: skip
    facts = yaml.safe_load((Path(unify.__file__).parent / "sample" / "mapillary.yaml").read_text())
    for name, number in (("v1.2", 37), ("v2.0", 72)):
        things = SOURCES["mapillary"].releases[name].instances.things
        assert len(things) == number
        assert things == {c.id for c in load_space(f"mapillary-{name}").classes if facts[name][c.name][2]}
    assert dict(SOURCES["idd"].releases["20k"].instances.numbered_as) == IDD_THINGS
    fine = SOURCES["cityscapes"].releases["fine"].instances
    assert fine.path("gtFine/a_labelIds.png/b_gtFine_LABELIDS.PNG") == (
        "gtFine/a_labelIds.png/b_gtFine_instanceIds.png"
    )
