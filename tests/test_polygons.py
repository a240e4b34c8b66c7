"""IDD polygons: the official tool's drawing loop written out, rectangles counted by hand, hostile files."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from unify import polygons
from unify.errors import UnifyError
from unify.sources import SOURCES, decode_label
from unify.spaces import load_space

from . import layouts

IDS = {c.name: c.id for c in load_space("idd").classes}
RELEASE = SOURCES["idd"].releases["20k"]


def encoded(objects, width=20, height=10) -> bytes:
    return json.dumps({"imgHeight": height, "imgWidth": width, "objects": objects}).encode()


def shape(label, polygon, **more):
    return {"label": label, "polygon": polygon, **more}


def official(data: bytes) -> np.ndarray:
    """createLabelImage of the IDD tools, encoding "id", object by object, points as tuples."""
    annotation = json.loads(data)
    image = Image.new("L", (annotation["imgWidth"], annotation["imgHeight"]), 35)
    drawer = ImageDraw.Draw(image)
    for obj in annotation["objects"]:
        label, polygon = obj["label"], [(p[0], p[1]) for p in obj["polygon"]]
        if obj.get("deleted", 0) or len(polygon) < 3:
            continue
        if label not in IDS and label.endswith("group"):
            label = label[: -len("group")]
        drawer.polygon(polygon, fill=IDS[label])
    return np.asarray(image)


def refused(data: bytes, **options) -> str:
    with pytest.raises(UnifyError) as e:
        decode_label(RELEASE, data, **options)
    assert e.value.exit_code == 65
    assert len(e.value.problems) == 1
    problem = e.value.problems[0]
    assert problem.kind in ("bad-polygons", "image-too-large")
    assert problem.path == "" and problem.fix
    return problem.what


@pytest.mark.parametrize("seed", range(25))
def test_draws_what_the_official_loop_draws(seed):
    rng = np.random.default_rng(seed)
    data = json.dumps(layouts.idd_polygons(rng, (int(rng.integers(1, 300)), int(rng.integers(1, 200))))).encode()
    assert np.array_equal(decode_label(RELEASE, data), official(data))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*IDS, "cargroup", "polegroup"]),
            st.lists(st.tuples(*[st.floats(-50, 70) | st.integers(-50, 70)] * 2), max_size=8),
            st.integers(0, 1),
        ),
        max_size=6,
    )
)
def test_draws_any_polygons_as_the_official_loop_does(objects):
    data = encoded([shape(label, points, deleted=deleted) for label, points, deleted in objects])
    assert np.array_equal(decode_label(RELEASE, data), official(data))


def test_rectangles_counted_by_hand():
    """Corners are inside: x 2..5 and y 1..3 are 4 x 3 pixels. What comes later lies on top."""
    data = encoded(
        [
            shape("road", [[2, 1], [5, 1], [5, 3], [2, 3]]),
            shape("car", [[5.9, 3.9], [9.2, 3.9], [9.2, 8.0], [5.9, 8.0]]),
        ]
    )
    ids_hw = decode_label(RELEASE, data)
    assert (ids_hw.shape, ids_hw.dtype) == ((10, 20), np.uint8)
    assert {int(v): int((ids_hw == v).sum()) for v in np.unique(ids_hw)} == {0: 4 * 3 - 1, 12: 5 * 6, 35: 200 - 41}
    assert ids_hw[3, 5] == 12 and (ids_hw[1:4, 2:5] == 0).all() and (ids_hw[3:9, 5:10] == 12).all()


def test_rules_of_the_official_tool():
    square = [[0, 0], [3, 0], [3, 3], [0, 3]]
    for label, more, expected in [
        ("car", {}, 12),
        ("car", {"deleted": 1}, 35),
        ("car", {"deleted": True}, 35),
        ("cargroup", {}, 12),
        ("polegroup", {}, 27),  # a class of its own, not poles
        ("unlabeled", {}, 35),
        ("license plate", {}, 39),
    ]:
        assert decode_label(RELEASE, encoded([shape(label, square, **more)]))[1, 1] == expected, label
    nothing = [shape("car", []), shape("car", [[0, 0], [9, 9]]), shape("nonsense", square, deleted=1), shape("no", [])]
    assert (decode_label(RELEASE, encoded(nothing)) == 35).all()
    parsed = polygons.parse(encoded(nothing))
    assert (parsed.shapes, parsed.deleted, parsed.empty) == ((), 1, 3)


def test_unknown_labels_are_all_named():
    square = [[0, 0], [3, 0], [3, 3]]
    data = encoded([shape("zebra", square), shape("car", square), shape("cartgroup", square), shape("zebra", square)])
    assert refused(data) == "unknown labels: 'cartgroup' (1 objects), 'zebra' (2 objects)"


SQUARE = [[0, 0], [3, 0], [3, 3]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe\x00", "is not JSON: 'utf-16-le' codec can't decode"),
        (b'{"imgWidth": 1', "is not JSON: Expecting ',' delimiter"),
        (b"[]", "is no object with imgWidth, imgHeight and objects"),
        (b"{}", "imgWidth and imgHeight have to be positive whole numbers"),
        (encoded([], width=0), "imgWidth and imgHeight have to be positive whole numbers"),
        (encoded([], height=-5), "imgWidth and imgHeight have to be positive whole numbers"),
        (encoded([], width="20"), "imgWidth and imgHeight have to be positive whole numbers"),
        (encoded([], width=True), "imgWidth and imgHeight have to be positive whole numbers"),
        (encoded([], width=20.5), "imgWidth and imgHeight have to be positive whole numbers"),
        (encoded([], width=30000, height=30000), "imgWidth x imgHeight is 30000 x 30000, more than 100,000,000 pixels"),
        (encoded([], width=10**30), "more than 100,000,000 pixels"),
        (encoded({}), "has no list of objects"),
        (encoded([17]), "object 0: is not {label, polygon}"),
        (encoded([shape(None, SQUARE)]), "object 0: its label is no text"),
        (encoded([shape("car", None)]), "object 0: its polygon is no list of points"),
        (encoded([shape("car", "abc")]), "object 0: its polygon is no list of points"),
        (encoded([shape("car", SQUARE, deleted="no")]), "object 0: 'deleted' is neither 0 nor 1"),
        (encoded([shape("car", [[0, 0], [3, 0], 3])]), "object 0: a point is not [x, y]"),
        (encoded([shape("car", [[0, 0], [3, 0], [3]])]), "object 0: a point is not [x, y]"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, 4, 5]])]), "object 0: a point is not [x, y]"),
        (encoded([shape("car", [[0, 0], [3, 0], "ab"])]), "object 0: a point is not [x, y]"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, "4"]])]), "object 0: a coordinate is no number"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, None]])]), "object 0: a coordinate is no number"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, True]])]), "object 0: a coordinate is no number"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, [4]]])]), "object 0: a coordinate is no number"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, math.nan]])]), "is not JSON: NaN is no number"),
        (encoded([shape("car", [[0, 0], [3, 0], [3, -math.inf]])]), "is not JSON: -Infinity is no number"),
        (encoded([shape("car", SQUARE)]).replace(b"3", b"1e999", 1), "object 0: a coordinate is beyond 1,000,000"),
        (encoded([shape("car", [[0, 0], [3, 0], [-2e6, 1]])]), "object 0: a coordinate is beyond 1,000,000"),
        (encoded([shape("car", [[0, 0], [3, 0], [10**400, 1]])]), "object 0: a coordinate is beyond 1,000,000"),
        (b'{"imgWidth": ' + b"9" * 5000 + b"}", "is not JSON: Exceeds the limit"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a":' * 200_000, "is nested too deeply"),
        (
            encoded([shape("car", [[0, 0]] * 1_000_000)]).replace(b" ", b""),
            "1,000,000 points, where 100,000 are the most",
        ),
        (encoded([shape("car", [[0, 0]] * 60_000)] * 2), "120,000 points, where 100,000 are the most"),
        (b" " * (9 << 20), "has 9,437,184 bytes, where 8,388,608 are the most"),
    ],
)
def test_bad_files_are_refused_with_a_reason(data, message):
    assert message in refused(data)


def test_all_bad_objects_are_counted_and_the_first_are_named():
    what = refused(encoded([shape(1, SQUARE), shape("car", SQUARE), *[shape("car", 2)] * 6]))
    assert what.startswith("object 0: its label is no text; object 2: its polygon is no list of points; object 3")
    assert what.endswith("; and 2 more")


def test_the_pixel_limit_can_be_moved():
    assert decode_label(RELEASE, encoded([]), max_pixels=200).size == 200
    assert "20 x 10, more than 199 pixels" in refused(encoded([]), max_pixels=199)


def test_a_huge_image_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(Image, "new", lambda *a: pytest.fail("allocated"))
    refused(encoded([], width=99_999_999, height=99))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
POINT = st.lists(st.floats(-2000, 2000) | st.integers(-2000, 2000) | JSON, min_size=2, max_size=2)
OBJECT = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["car", "road", "skygroup", "zebra"]) | JSON,
        "polygon": st.lists(POINT, max_size=6) | JSON,
    },
    optional={"deleted": st.integers(0, 1) | JSON},
)
FILE = st.fixed_dictionaries(
    {"imgWidth": st.integers(-1, 64) | JSON, "imgHeight": st.integers(-1, 64) | JSON},
    optional={"objects": st.lists(OBJECT | JSON, max_size=4) | JSON},
)


@settings(max_examples=300, deadline=None)
@given(FILE | JSON)
def test_nothing_but_unify_errors_escapes(value):
    data = json.dumps(value).encode()
    try:
        ids_hw = decode_label(RELEASE, data)
    except UnifyError as e:
        assert {p.kind for p in e.problems} <= {"bad-polygons", "image-too-large"}
    else:
        assert ids_hw.shape == (value["imgHeight"], value["imgWidth"])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nothing_but_unify_errors_escapes_damaged_bytes(data):
    whole = encoded(layouts.idd_polygons(np.random.default_rng(0), (20, 10))["objects"])
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    try:
        decode_label(RELEASE, damaged, max_pixels=100_000)
    except UnifyError as e:
        assert {p.kind for p in e.problems} <= {"bad-polygons", "image-too-large"}


def test_a_full_size_file_takes_about_ten_milliseconds():
    rng = np.random.default_rng(0)
    objects = []
    for _ in range(100):
        turn = np.sort(rng.uniform(0, 2 * np.pi, 50))
        points = rng.uniform((0, 0), (1920, 1080)) + rng.uniform(10, 200) * np.stack([np.cos(turn), np.sin(turn)], 1)
        objects.append(layouts.idd_object("car", points.tolist()))
    data = json.dumps({"imgHeight": 1080, "imgWidth": 1920, "objects": objects}, sort_keys=True, indent=4).encode()
    decode_label(RELEASE, data)

    def seconds() -> float:
        start = time.perf_counter()
        decode_label(RELEASE, data)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.03  # some 9 ms on an idle core
