"""Pascal VOC, Pascal Context and NYU-Depth-v2 as a world of shapes, in their true layouts.

Streets make no sense there. A picture is a ground of its own (muted noise in VOC; layers such as sky over grass
or wall over floor in the other two) with a few objects, each outlined and patterned as its class is: the name of
a class decides its two colours, pattern and number of corners, so that a class looks alike in every source and
can be learned. Everything follows from the seed, as in the streets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from unify.errors import error
from unify.sample.canvas import Bytes
from unify.sample.dice import Dice
from unify.sample.draw.kit import circle
from unify.sample.encode import Files, jpeg, palette_png, png
from unify.sample.texture import SIDE, fractal
from unify.sample.world import Card
from unify.spaces import load_space

Ints = npt.NDArray[np.int32]

#: source -> (true sizes, sizes for a quick look), width and height in pixels
SIZES: dict[str, tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]] = {
    "voc": (((500, 375), (375, 500), (500, 333), (500, 400)), ((250, 188), (188, 250), (250, 166), (250, 200))),
    "context": (((500, 375), (375, 500), (500, 333), (500, 400)), ((250, 188), (188, 250), (250, 166), (250, 200))),
    "nyu": (((640, 480),), ((320, 240),)),
}
SPACES = {"voc": "voc2012", "context": "pascal-context", "nyu": "nyu-depth-v2"}
LAYOUTS = (("voc", "trainaug"), ("voc", "voc2012"), ("context", "voc2010"), ("nyu", "folders"), ("nyu", "mat"))

#: Classes that fill the upper or the lower part of a picture, with a calm colour each.
_UPPER = {
    "sky": (120, 170, 225),
    "building": (160, 140, 125),
    "mountain": (95, 110, 125),
    "tree": (60, 105, 50),
    "wall": (215, 205, 180),
    "ceiling": (238, 238, 232),
}
_LOWER = {
    "grass": (95, 140, 60),
    "ground": (150, 120, 90),
    "road": (95, 95, 100),
    "water": (60, 105, 130),
    "sidewalk": (170, 162, 155),
    "snow": (228, 234, 242),
    "track": (120, 105, 90),
    "rock": (135, 130, 120),
    "floor": (150, 105, 65),
    "floor mat": (120, 50, 60),
}
_PATTERNS = ("stripes", "columns", "slanted", "checks", "dots", "plain")
_BORDER = 255


# -- pictures ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClassLook:
    """How a class looks: two colours (RGB), pattern, its size in thousandths of the picture's height, outline."""

    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    pattern: str
    period: int
    corners: int
    spikes: float  # radius of every other corner as a share of the others'


@dataclass(frozen=True, slots=True)
class Picture:
    """(H, W, 3) uint8 RGB; (H, W) uint8 raw ids; (H, W) int32 number of the object, 0 for none."""

    image_hw3: Bytes
    label_hw: Bytes
    object_hw: Ints


@lru_cache(maxsize=128)
def class_look(name: str) -> ClassLook:
    dice = Dice("class", name)
    if calm := {**_UPPER, **_LOWER}.get(name):
        darker = (calm[0] * 7 // 8, calm[1] * 7 // 8, calm[2] * 7 // 8)
        return ClassLook((calm, darker), dice.pick(_PATTERNS), dice.whole(12, 60), 5, 1.0)
    strong, weak = dice.whole(170, 245), dice.whole(20, 90)
    first = tuple(dice.shuffled((strong, weak, dice.whole(20, 245))))
    second = tuple(c // 2 if dice.chance(0.6) else 255 - (255 - c) // 3 for c in first)
    return ClassLook(
        ((first[0], first[1], first[2]), (second[0], second[1], second[2])),
        dice.pick(_PATTERNS),
        dice.whole(24, 80),
        dice.whole(3, 9),
        dice.pick((1.0, 1.0, 0.55, 0.75)),
    )


def _texture(look: ClassLook, height: int, width: int, scale: int, dice: Dice) -> Ints:
    """(H, W, 3) int32 of a class' pattern, somewhere on it, more or less bright."""
    size = max(3, look.period * scale // 1000)
    y, x = np.mgrid[0:height, 0:width].astype(np.int32)
    y, x = y + dice.whole(0, 999), x + dice.whole(0, 999)
    marks: dict[str, npt.NDArray[np.bool_]] = {
        "stripes": (y // size) % 2 == 1,
        "columns": (x // size) % 2 == 1,
        "slanted": ((x + y) // size) % 2 == 1,
        "checks": (x // size + y // size) % 2 == 1,
        "dots": (2 * (x % size) - size) ** 2 + (2 * (y % size) - size) ** 2 < size * size // 2,
        "plain": np.zeros((height, width), np.bool_),
    }
    first, second = (np.array(colour, np.int32) for colour in look.colours)
    rough = fractal("shapes", (16, 4, 1))[y[:, :1] % SIDE, x[:1] % SIDE] // 6
    tone = dice.whole(190, 270) + rough
    painted: Ints = np.where(marks[look.pattern][:, :, None], second, first) * tone[:, :, None] >> 8
    return painted


def _outline(look: ClassLook, centre: tuple[float, float], size: float, dice: Dice) -> npt.NDArray[np.int32]:
    """(N, 2) columns and rows of a shape, turned, stretched and a little uneven."""
    ring = circle(look.corners * 8)
    start = dice.whole(0, 7)
    wide = dice.between(0.8, 1.3)
    points = []
    for i in range(look.corners * 2):
        u, v = ring[(start + 4 * i) % len(ring)]
        reach = size * (look.spikes if i % 2 else 1.0) * dice.between(0.9, 1.1)
        points.append((centre[0] + u * reach * wide, centre[1] + v * reach))
    return np.rint(points).astype(np.int32)


class _Painting:
    """A picture being painted, back to front."""

    def __init__(self, source: str, size: tuple[int, int], dice: Dice) -> None:
        width, height = size
        self.space = load_space(SPACES[source])
        self.scale = min(size)
        self.dice = dice
        grey = 128 + fractal("backdrop", (128, 32, 8))[:height, :width][:, :, None] // 2
        tint = np.array([dice.whole(200, 270) for _ in range(3)], np.int32)
        self.image = np.clip(np.resize(grey, (height, width, 1)) * tint >> 8, 0, 255).astype(np.int32)
        self.label = np.zeros((height, width), np.uint8)
        self.object = np.zeros((height, width), np.int32)
        self.count = 0

    def paint(self, name: str, polygon_n2: npt.NDArray[np.int32]) -> None:
        """An object, or a layer, of a class. "" is something that nobody labelled: grey, and 0 in the label."""
        height, width = self.label.shape
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [polygon_n2], (1,))
        here = mask > 0
        self.count += 1
        if name:
            self.image[here] = _texture(class_look(name), height, width, self.scale, self.dice)[here]
            self.label[here] = self.space.index(name)
        else:
            self.image[here] = 96 + fractal("backdrop", (16, 4))[:1, :1]
            self.label[here] = 0
        self.object[here] = self.count

    def place(self, name: str, low: float, high: float) -> None:
        """An object somewhere, its radius a share of the picture's shorter side."""
        height, width = self.label.shape
        centre = (width * self.dice.between(0.12, 0.88), height * self.dice.between(0.18, 0.85))
        look = class_look(name or "nothing")
        self.paint(name, _outline(look, centre, self.scale * self.dice.between(low, high), self.dice))

    def layer(self, name: str, top: float, bottom: float) -> None:
        """A band across the picture between two shares of its height, its edge a little tilted."""
        height, width = self.label.shape
        tilt = self.dice.between(-0.04, 0.04) * height if top else 0.0
        corners = [
            (0, top * height - tilt),
            (width, top * height + tilt),
            (width, bottom * height),
            (0, bottom * height),
        ]
        self.paint(name, np.rint(corners).astype(np.int32))

    def done(self, noise: int = 6) -> Picture:
        height, width = self.label.shape
        grain = self.dice.bytes_hw(height, width * 3).reshape(height, width, 3).astype(np.int32) - 128
        image = np.clip(self.image + (grain * noise >> 7), 0, 255).astype(np.uint8)
        return Picture(image, self.label, self.object)


def draw(card: Card) -> Picture:
    """One picture: about 1.5 classes in VOC, half a dozen or more in the other two."""
    dice = Dice(card.seed, card.source, card.split, card.index, "shapes")
    painting = _Painting(card.source, card.size, dice)
    if card.source == "voc":
        for name in card.features:
            for _ in range(dice.whole(1, 2)):
                painting.place(name, 0.12, 0.3)
        return painting.done()
    upper, lower, *rest = card.features
    horizon = dice.between(0.35, 0.6)
    painting.layer(upper, 0.0, 1.0)
    painting.layer(lower, horizon, 1.0)
    if card.source == "nyu" and upper != "ceiling" and dice.chance(0.5):
        painting.layer("ceiling", 0.0, dice.between(0.1, 0.2))
    for name in rest:
        painting.place(name, 0.1, 0.22)
    painting.place("", 0.06, 0.12)
    picture = painting.done()
    return _framed(picture) if card.source == "nyu" else picture


def _framed(picture: Picture) -> Picture:
    """NYU's pictures have a white frame, which nobody labelled."""
    edge = max(2, picture.label_hw.shape[0] // 60)
    image, label = (np.array(a) for a in (picture.image_hw3, picture.label_hw))
    for plane, value in ((image, 255), (label, 0)):
        plane[:edge] = plane[-edge:] = value
        plane[:, :edge] = plane[:, -edge:] = value
    return replace(picture, image_hw3=image, label_hw=label)


def deal(source: str, split: str, count: int, seed: int, sizes: tuple[tuple[int, int], ...]) -> tuple[Card, ...]:
    """`count` pictures, their classes (in `features`) so that each class comes round."""
    dice = Dice(seed, source, split, "deal")
    names = [c.name for c in load_space(SPACES[source]).classes if c.name not in ("background", "unlabeled", "void")]
    layers = [[n for n in group if n in names] for group in (_UPPER, _LOWER)]
    objects = names if source == "voc" else [n for n in names if n not in {**_UPPER, **_LOWER}]
    queues = [_endless(group, dice.child(i)) for i, group in enumerate((*layers, objects))]
    cards = []
    for index in range(count):
        few = dice.whole(3, 6) if source != "voc" else 2 if dice.chance(0.45) else 1
        chosen = [] if source == "voc" else [next(queues[0]), next(queues[1])]
        chosen += [next(queues[2]) for _ in range(few)]
        cards.append(Card(source, split, index, seed, "shapes", "", "", dice.pick(sizes), tuple(chosen)))
    return tuple(cards)


def _endless(names: Sequence[str], dice: Dice) -> Any:
    """All names in random order, again and again; none where there are none."""
    while names:
        yield from dice.shuffled(names)


# -- layouts -------------------------------------------------------------------------------------


def splits_of(source: str, layout: str, images: int, val: int) -> dict[str, int]:
    """Split -> how many pictures. "aug" are those that SBD labelled and VOC did not: as many as VOC's."""
    if source == "nyu":
        return {"train": images, "test": val}
    return {"train": images, "val": val, **({"aug": images} if layout == "trainaug" else {})}


def files_of(card: Card, picture: Picture, layout: str) -> Files:
    """All files of one picture."""
    if card.source == "nyu":
        if layout == "mat":
            return {}
        return {
            f"image/{_number(card)}.png": png(picture.image_hw3),
            f"label40/{_number(card)}.png": png(picture.label_hw),
        }
    if card.source == "context":
        name = _context_name(card)
        return {
            f"VOC2010/JPEGImages/{name}.jpg": jpeg(picture.image_hw3, 92),
            f"VOC2010/SegmentationClassContext/{name}.png": png(picture.label_hw),
        }
    name = _voc_name(card)
    files = {f"VOC2012/JPEGImages/{name}.jpg": jpeg(picture.image_hw3, 92)}
    if card.split != "aug":
        reach = max(3, min(card.size) // 75)
        kernel = np.ones((reach, reach), np.uint8)
        things = picture.object_hw.astype(np.uint8)
        edge = cv2.dilate(things, kernel) != cv2.erode(things, kernel)
        for folder, ids_hw in (("SegmentationClass", picture.label_hw), ("SegmentationObject", things)):
            bordered = np.where(edge, _BORDER, ids_hw).astype(np.uint8)
            files[f"VOC2012/{folder}/{name}.png"] = palette_png(bordered, voc_palette())
    if layout == "trainaug":  # SBD has pictures of VOC's validation split, too: nobody is to train on these
        files[f"VOC2012/SegmentationClassAug/{name}.png"] = png(picture.label_hw)
    return files


def common_files(source: str, layout: str, cards: tuple[Card, ...], notes: list[Any]) -> Files:
    """Lists, and NYU's .mat files. `notes`: the pictures, for the latter."""
    if source == "nyu":
        return _mat_files(cards, notes) if layout == "mat" else _lists("", cards, _number, ("train", "test"))
    if source == "context":  # lists in circulation name a picture twice
        files = _lists("VOC2010/ImageSets/SegmentationContext/", cards, _context_name, ("train", "val"))
        path = "VOC2010/ImageSets/SegmentationContext/train.txt"
        return {**files, path: files[path] + files[path].splitlines(keepends=True)[0]}
    folder = "VOC2012/ImageSets/Segmentation/"
    files = _lists(folder, cards, _voc_name, ("train", "val"))
    files[f"{folder}trainval.txt"] = _lines(cards, _voc_name, {"train", "val"})
    if layout == "trainaug":
        files[f"{folder}trainaug.txt"] = _lines(cards, _voc_name, {"train", "aug"})
        for part, split in enumerate(("train", "val")):  # SBD's own lists, which mix with VOC's
            mixed = tuple(card for card in cards if card.index % 2 == part)
            files[f"benchmark_RELEASE/dataset/{split}.txt"] = _lines(mixed, _voc_name, {"train", "val", "aug"})
    return files


def _lists(folder: str, cards: tuple[Card, ...], name: Any, splits: tuple[str, ...]) -> Files:
    return {f"{folder}{split}.txt": _lines(cards, name, {split}) for split in splits}


def _lines(cards: tuple[Card, ...], name: Any, splits: set[str]) -> bytes:
    return "".join(f"{n}\n" for n in sorted(name(card) for card in cards if card.split in splits)).encode()


def _voc_name(card: Card) -> str:
    year, first = {"train": (2007, 32), "val": (2008, 33), "aug": (2009, 1)}[card.split]
    return f"{year}_{first + 7 * card.index:06d}"


def _context_name(card: Card) -> str:
    year, first = {"train": (2008, 8), "val": (2010, 6)}[card.split]
    return f"{year}_{first + 5 * card.index:06d}"


def _number(card: Card) -> str:
    """Numbers count from 1; every fifth picture is for testing."""
    i = card.index
    return f"{5 * i + 1 if card.split == 'test' else 2 + i + i // 4:06d}"


@lru_cache(maxsize=1)
def voc_palette() -> Bytes:
    """(256, 3) uint8: the bits of an index, three at a time, as the high bits of red, green and blue."""
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        for bit in range(8):
            colours[index, bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return colours


# -- NYU as it ships -----------------------------------------------------------------------------


def check_packages(layouts: dict[str, str]) -> None:
    """Raises `UnifyError` (usage) where .mat files are asked for and cannot be written."""
    if layouts.get("nyu") == "mat":
        for package in ("h5py", "scipy"):
            try:
                import_module(package)
            except ImportError as e:
                raise error("usage", "", f"{package} is not installed", "pip install 'unify[nyu]'") from e


def _mat_files(cards: tuple[Card, ...], pictures: list[Picture]) -> Files:
    """nyu_depth_v2_labeled.mat, HDF5 with MATLAB's axes reversed, and splits.mat."""
    from unify.sources.nyu_mat import class_table

    h5py, scipy_io = import_module("h5py"), import_module("scipy.io")
    shipped = [int(np.flatnonzero(class_table() == k)[0]) for k in range(41)]  # a label of each class of the 40
    order = sorted(range(len(cards)), key=lambda i: _number(cards[i]))
    data = BytesIO()
    with h5py.File(data, "w") as file:
        file["images"] = np.stack([pictures[i].image_hw3.transpose(2, 1, 0) for i in order])
        file["labels"] = np.stack([np.array(shipped, np.uint16)[pictures[i].label_hw].T for i in order])
    numbers = {
        f"{split}Ndxs": np.array([[n] for n, i in enumerate(order, start=1) if cards[i].split == split], np.float64)
        for split in ("train", "test")
    }
    splits = BytesIO()
    scipy_io.savemat(splits, numbers)
    stamped = splits.getvalue()
    header = b"MATLAB 5.0 MAT-file, generated by unify sample"  # scipy writes the time of day there
    return {
        "nyu_depth_v2_labeled.mat": data.getvalue(),
        "splits.mat": header.ljust(116) + stamped[116:],
    }
