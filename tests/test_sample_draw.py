"""What is painted and what is annotated, one kind of thing after the other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from unify.sample.camera import Camera, Light, clip_box, clip_near
from unify.sample.canvas import Canvas, Shape, draw_shapes, enlarge, shrink
from unify.sample.concepts import load_concepts
from unify.sample.dice import Dice
from unify.sample.draw import PAINTERS
from unify.sample.layout import build_street
from unify.sample.layout.features import FEATURES
from unify.sample.layout.kinds import KINDS, REGIONS
from unify.sample.looks import LOOKS
from unify.sample.scene import AHEAD, RIGHT, TOWARDS, Thing
from unify.sample.texture import PATTERNS, pyramid
from unify.sample.world import build_scene, deal

CAMERA = Camera(320, 240, focal_px=300.0, centre_px=160.0, horizon_px=110.0, y_m=1.5)
OVERCAST = Light(
    (0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (0.0, 1.0, 0.0), (200, 200, 200), 200, (180, 190, 200), (220, 220, 220), 0.5
)

#: kind -> what to paint: variant, size, and distance
SPECIMENS: dict[str, tuple[str, tuple[float, float, float], float]] = {
    "animal": ("cow", (0.6, 1.5, 2.2), 6),
    "barrier": ("block", (0.6, 0.9, 6.0), 9),
    "bench": ("", (1.7, 0.85, 0.5), 5),
    "bicycle": ("", (0.6, 1.1, 1.8), 5),
    "bike rack": ("", (0.9, 0.8, 4.6), 8),
    "billboard": ("big", (4.4, 4.0, 0.3), 12),
    "banner": ("across", (6.0, 1.1, 0.1), 26),
    "bin": ("round", (0.55, 0.95, 0.55), 4),
    "bird": ("", (0.9, 0.1, 0.1), 8),
    "boat": ("", (2.4, 3.0, 7.0), 14),
    "boom": ("", (0.3, 1.2, 4.0), 7),
    "bridge": ("", (60.0, 5.5, 9.0), 40),
    "building": ("town", (10.0, 9.0, 10.0), 30),
    "bus": ("", (2.5, 3.1, 11.0), 16),
    "cabinet": ("mailbox", (0.6, 1.3, 0.5), 4),
    "car": ("hatch", (1.74, 1.5, 4.0), 8),
    "cctv": ("", (0.3, 3.0, 0.3), 8),
    "cone": ("", (0.4, 0.72, 0.4), 4),
    "direction": ("", (3.0, 3.6, 0.2), 12),
    "fence": ("picket", (0.08, 1.2, 8.0), 9),
    "fixed": ("stall", (2.2, 2.3, 1.4), 7),
    "gantry": ("boards", (12.0, 5.0, 0.5), 20),
    "guard rail": ("", (0.2, 0.8, 12.0), 12),
    "hedge": ("", (0.9, 1.2, 3.0), 7),
    "hydrant": ("", (0.4, 0.85, 0.4), 4),
    "kick scooter": ("", (0.5, 1.8, 1.1), 5),
    "loose": ("", (0.9, 0.6, 0.8), 4),
    "machine": ("digger", (2.3, 2.9, 4.6), 12),
    "meter": ("", (0.3, 1.5, 0.3), 4),
    "motorcycle": ("scooter", (0.7, 1.1, 2.0), 5),
    "person": ("walk", (0.5, 1.75, 0.4), 5),
    "pole": ("utility", (0.3, 4.0, 0.3), 9),
    "portal": ("gate", (20.0, 10.0, 4.0), 30),
    "rickshaw": ("", (1.35, 1.8, 2.7), 7),
    "sign": ("stop", (0.7, 2.2, 0.1), 6),
    "sitter": ("", (0.5, 1.7, 0.4), 5),
    "street light": ("arm", (0.3, 4.0, 1.0), 12),
    "traffic light": ("upright", (0.3, 3.0, 1.0), 7),
    "trailer": ("caravan", (2.1, 2.6, 5.2), 12),
    "tram": ("tram", (2.4, 3.4, 18.0), 26),
    "tree": ("broad", (4.0, 5.0, 1.0), 13),
    "truck": ("box", (2.45, 3.3, 8.0), 16),
    "vault": ("tunnel", (6.0, 6.0, 60.0), 40),
    "wall": ("brick", (0.3, 1.8, 8.0), 9),
    "wires": ("", (1.0, 6.0, 20.0), 8),
}


def paint(thing: Thing) -> tuple[np.ndarray, np.ndarray]:
    """A thing alone: the pixels that it covers, and those that it says it does.

    Covered is what looks the same over black and over white, unlike a shadow on the ground.
    """
    pictures = []
    for ground in (0, 255):
        canvas = Canvas(CAMERA, OVERCAST, load_concepts())
        canvas.image[:] = ground
        PAINTERS[thing.kind](canvas, thing)
        pictures.append(shrink(canvas.image).astype(int))
    covered = np.abs(pictures[0] - pictures[1]).max(axis=2) < 24
    return covered, draw_shapes(canvas.shapes, CAMERA.height, CAMERA.width) > 0


def grow(mask: np.ndarray, reach: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


def test_there_is_a_specimen_of_every_kind():
    assert set(SPECIMENS) == set(PAINTERS)


@pytest.mark.parametrize("kind", [kind for kind in SPECIMENS if kind != "wires"])
@pytest.mark.parametrize("heading", [AHEAD, TOWARDS, RIGHT, (0.6, 0.8)])
def test_picture_and_annotation_are_of_one_shape(kind, heading):
    variant, size, z = SPECIMENS[kind]
    parts = ("ridden",) if kind in ("bicycle", "motorcycle") else ()
    x = 2.2 if kind in ("wall", "fence", "guard rail", "hedge", "barrier", "building", "boom", "street light") else 0.2
    y = 2.0 if kind == "bird" else 0.0
    covered, annotated = paint(Thing(kind, x, z, size, 5, (210.0, 60.0, 50.0), heading, y, variant, parts=parts))
    area = int(annotated.sum())
    assert area
    outside = int((covered & ~grow(annotated, 1)).sum())
    ropes = kind == "banner"  # too thin to be annotated
    assert outside <= (0.05 if ropes else 0.02) * area + 3
    # annotators fill what they see through: spokes, pickets, twigs
    open_work = kind in ("fence", "bicycle", "bike rack", "guard rail", "bench", "fixed", "bridge", "gantry")
    unseen = int((annotated & ~grow(covered, 1)).sum())
    assert unseen <= (0.75 if open_work else 0.06) * area + 3


def test_wires_are_nothing_to_annotate():
    _, size, z = SPECIMENS["wires"]
    _, annotated = paint(Thing("wires", 0.0, z, size, 5))
    assert not annotated.any()


def test_shapes_are_filled_like_the_official_tools():
    """Each shape alone, through Pillow's 8-bit images, the later over the earlier."""
    dice = Dice("shapes")
    shapes = []
    for _ in range(40):
        corners = [[dice.whole(0, 79), dice.whole(0, 59)] for _ in range(dice.whole(3, 9))]
        shapes.append(Shape(1, 0, np.array(corners, np.int32)))
    expected = np.zeros((60, 80), np.int32)
    for index, shape in enumerate(shapes):
        picture = Image.new("L", (80, 60), 0)
        ImageDraw.Draw(picture).polygon([tuple(point) for point in shape.polygon.tolist()], fill=1)
        expected[np.asarray(picture) == 1] = index + 1
    assert (draw_shapes(shapes, 60, 80) == expected).all()


def test_shrink_undoes_enlarge():
    picture = Dice("picture").bytes_hw(20, 30 * 3).reshape(20, 30, 3)
    assert (shrink(enlarge(picture)) == picture).all()


def test_projection():
    points = np.array([[0.0, 1.5, 10.0], [3.0, 1.5, 10.0], [0.0, 0.0, 10.0], [0.0, 0.0, 30.0]])
    assert CAMERA.project(points).tolist() == [[160.0, 110.0], [250.0, 110.0], [160.0, 155.0], [160.0, 125.0]]
    assert CAMERA.ground_depth(np.array([155.0, 125.0])) == pytest.approx([10.0, 30.0])


def test_ground_depth_on_a_rise_is_the_inverse_of_projection():
    camera = Camera(320, 240, 300.0, 160.0, 110.0, y_m=1.5, rise=0.0004)
    z = np.array([3.0, 12.0, 40.0, 90.0])
    rows = camera.project(np.stack([np.zeros(4), np.zeros(4), z], axis=1))[:, 1]
    assert camera.ground_depth(rows) == pytest.approx(z)


def test_clipping():
    square = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
    assert clip_near(square)[:, 2].min() == pytest.approx(0.7)
    assert len(clip_near(square - np.array([0, 0, 5.0]))) == 0
    box = clip_box(np.array([[-10.0, 5.0], [50.0, -20.0], [50.0, 30.0]]), 0.0, 40.0, 20.0)
    assert box.min() >= 0 and box[:, 0].max() <= 40 and box[:, 1].max() <= 20


def test_dice_are_what_they_were():
    """Words of PCG64 for a key: a changed stream would change every picture."""
    dice = Dice(1, "idd", "train", 0)
    assert [dice.word() for _ in range(3)] == [8163685079156355801, 101471265348919962, 12629760024915720468]
    assert Dice("a", 1).child("b").word() == Dice("a", 1, "b").word()


def test_dice_are_fair():
    dice = Dice("fair")
    assert {dice.whole(2, 5) for _ in range(200)} == {2, 3, 4, 5}
    assert sorted(dice.shuffled(range(9))) == list(range(9))
    share = sum(dice.weighted({"a": 3.0, "b": 1.0}) == "a" for _ in range(4000)) / 4000
    assert 0.72 < share < 0.78
    values = [dice.unit() for _ in range(4000)]
    assert min(values) >= 0 and max(values) < 1 and abs(sum(values) / 4000 - 0.5) < 0.02
    assert dice.bytes_hw(3, 5).shape == (3, 5)


def test_patterns_tile_and_leave_colours_as_they_are_on_average():
    for name in PATTERNS:
        levels = pyramid(name)
        assert [level.shape[0] for level in levels] == [512, 256, 128, 64, 32, 16, 8]
        assert 110 < levels[0].mean() < 145, name


def test_every_kind_of_street_in_every_region():
    """Whatever is dealt can be laid out: ten features at a time, until all were placed."""
    for kind in KINDS:
        for number, region in enumerate(REGIONS):
            open_to = [n for n, f in FEATURES.items() if f.kinds is None or kind in f.kinds]
            for start in range(0, len(open_to), 12):
                street = build_street(
                    Dice(kind, region, start),
                    kind,
                    region,
                    tuple(open_to[start : start + 12]),
                    slope=0.6,
                    snow=number % 2 == 0,
                )
                assert street.patches and all(thing.kind in PAINTERS for thing in street.things)


def test_features_name_kinds_of_street():
    named = {kind for feature in FEATURES.values() for kind in feature.kinds or ()}
    assert named <= set(KINDS)
    assert {name for region in REGIONS.values() for name in region.skip} <= {*FEATURES, "tram", "snow", "meter"}
    for look in LOOKS.values():
        assert set(look.kinds) <= set(KINDS) and set(look.regions) <= set(REGIONS)


def test_left_hand_traffic_is_the_mirror_image():
    """One's own lane is left of the axis in India and right of it in Germany."""
    for source, side in (("idd", -1), ("cityscapes", 1)):
        for card in deal(source, "train", 6, 3, LOOKS[source].small):
            assert build_scene(card).camera.x_m * side > 0


def test_dealing_is_even():
    cards = deal("mapillary", "train", 64, 1, LOOKS["mapillary"].small)
    kinds = [card.kind for card in cards]
    assert set(kinds) == set(LOOKS["mapillary"].kinds)
    both = cards + deal("idd", "train", 64, 1, LOOKS["idd"].small)
    assert {name for card in both for name in card.features} == set(FEATURES)
    assert [c.features for c in deal("mapillary", "train", 64, 1, LOOKS["mapillary"].small)] == [
        c.features for c in cards
    ]
