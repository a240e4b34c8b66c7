"""The world of shapes: Pascal VOC, Pascal Context and NYU-Depth-v2, their labels, lists and files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unify.cli import run
from unify.sample import shapes, write_streets
from unify.sample.shapes import deal, draw, voc_palette
from unify.sample.write import _sizes
from unify.sources import SOURCES
from unify.spaces import load_space

from .worlds import tree_bytes

IMAGES, SEED = 5, 3


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_streets(folder, "PXN", IMAGES, SEED, size=0.4)
    return folder


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def names(path: Path) -> list[str]:
    return path.read_text().split()


def test_voc_labels(world):
    """Palette images with a border around objects; SBD's are gray and have none; both agree inside."""
    home = world / "voc/VOC2012"
    space = load_space("voc2012")
    assert np.array_equal(voc_palette()[:21], space.palette()[:21])
    assert voc_palette()[255].tolist() == [224, 224, 192]
    for stem in names(home / "ImageSets/Segmentation/trainval.txt"):
        for folder in ("SegmentationClass", "SegmentationObject"):
            with Image.open(home / folder / f"{stem}.png") as image:
                assert image.mode == "P" and image.getpalette() == voc_palette().ravel().tolist()
        label_hw, object_hw = (
            picture(home / f / f"{stem}.png").astype(int) for f in ("SegmentationClass", "SegmentationObject")
        )
        plain_hw = picture(home / "SegmentationClassAug" / f"{stem}.png")
        inside = label_hw != 255
        assert 0.002 < 1 - inside.mean() < 0.2
        assert np.array_equal(label_hw[inside], plain_hw[inside])
        assert np.array_equal(object_hw == 255, ~inside)
        assert np.array_equal(object_hw[inside] > 0, label_hw[inside] > 0)
        # no class or object ends but at a border
        for plane in (label_hw, object_hw):
            for a, b in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
                assert ((a == b) | (a == 255) | (b == 255)).all()
    with Image.open(next((home / "SegmentationClassAug").iterdir())) as image:
        assert image.mode == "L" and 255 not in np.asarray(image)


def test_voc_lists_and_the_leak_in_sbd(world):
    home = world / "voc/VOC2012"
    train, val, both, more = (
        set(names(home / f"ImageSets/Segmentation/{n}.txt")) for n in ("train", "val", "trainval", "trainaug")
    )
    augmented = {p.stem for p in (home / "SegmentationClassAug").iterdir()}
    assert (len(train), len(val), len(more)) == (IMAGES, 1, 2 * IMAGES)
    assert both == train | val and train < more and not more & val
    assert augmented == more | val, "SBD labels pictures of val, too"
    sbd = [set(names(world / f"voc/benchmark_RELEASE/dataset/{n}.txt")) for n in ("train", "val")]
    assert val & sbd[0] and sbd[0] | sbd[1] == augmented
    assert {p.stem for p in (home / "JPEGImages").iterdir()} == augmented
    release = SOURCES["voc"].releases["trainaug"]
    built = {p.sample_id for p in release.find(home, "train").pairs}
    assert built == more
    (home / "ImageSets/Segmentation/trainaug.txt").rename(home / "aside.txt")
    try:
        assert {p.sample_id for p in release.find(home, "train").pairs} == more
    finally:
        (home / "aside.txt").rename(home / "ImageSets/Segmentation/trainaug.txt")


def test_context_names_a_picture_twice(world):
    home = world / "context/VOC2010"
    train = names(home / "ImageSets/SegmentationContext/train.txt")
    assert train[0] == train[-1] == "2008_000008" and len(set(train)) == len(train) - 1 == IMAGES
    with Image.open(home / "SegmentationClassContext/2008_000008.png") as image:
        assert image.mode == "L" and np.asarray(image).max() < 60


def test_nyu_has_a_white_frame_that_nobody_labelled(world):
    for path in (world / "nyu/label40").iterdir():
        label_hw, image = picture(path), picture(world / "nyu/image" / path.name)
        assert not label_hw[0].any() and not label_hw[:, -1].any() and label_hw.any()
        assert (image[0] == 255).all() and (image[:, -1] == 255).all()
    numbers = {split: names(world / f"nyu/{split}.txt") for split in ("train", "test")}
    assert min(int(n) for lines in numbers.values() for n in lines) == 1
    assert not set(numbers["train"]) & set(numbers["test"])


def test_truth_of_shapes_is_what_the_labels_show(world):
    told = json.loads((world / "truth.json").read_text())
    assert told["spaces"] == told["cooccurrence"] == told["pixels"] == {}
    for source, split, labels in (
        ("voc", "aug", "voc/VOC2012/SegmentationClassAug/2009_*"),
        ("context", "val", "context/VOC2010/SegmentationClassContext/2010_*"),
        ("nyu", "test", "nyu/label40/000001.png"),
    ):
        classes = {c.id: c.name for c in load_space(shapes.SPACES[source]).classes}
        counted = Counter(classes[v] for path in world.glob(labels) for v in picture(path).ravel().tolist())
        assert told["shapes"][source][split] == counted


@pytest.mark.parametrize(("source", "low", "high"), [("voc", 1.3, 1.7), ("context", 5, 9), ("nyu", 5, 10)])
def test_classes_in_a_picture(source, low, high):
    cards = deal(source, "train", 60, 0, _sizes(source, 0.2))
    space = load_space(shapes.SPACES[source])
    void = {space.index("background" if source != "nyu" else "unlabeled")}
    seen = [set(np.unique(draw(card).label_hw).tolist()) - void for card in cards]
    assert low < np.mean([len(ids) for ids in seen]) < high
    assert set.union(*seen) == space.ids - void - {255}, "every class comes round"


def test_classes_can_be_told_by_colour():
    """A table from colour to class, made of some pictures, names most object pixels of others."""

    def codes(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        pictures = [draw(card) for card in deal("voc", split, count, 0, _sizes("voc", 0.25))]
        colour = [(p.image_hw3.astype(int) // 16) @ (256, 16, 1) for p in pictures]
        return np.concatenate([c.ravel() for c in colour]), np.concatenate([p.label_hw.ravel() for p in pictures])

    colour, label = codes("train", 80)
    table = np.zeros((4096, 21), int)
    np.add.at(table, (colour, label), 1)
    colour, label = codes("val", 40)
    guess = table.argmax(axis=1)[colour]
    assert (guess[label > 0] == label[label > 0]).mean() > 0.6  # chance: 0.05
    assert (guess[label == 0] == 0).mean() > 0.9


def test_the_same_bytes_from_two_processes(world, tmp_path):
    write_streets(tmp_path, ["nyu", "X", "p"], IMAGES, SEED, size=0.4, workers=2)
    assert tree_bytes(tmp_path) == tree_bytes(world)


def test_nyu_as_it_ships(world, tmp_path, capfd):
    """`unify prepare nyu` makes of the .mat files what the other layout has: the numbers differ by rank only."""
    pytest.importorskip("h5py")
    pytest.importorskip("scipy")
    for name in ("a", "b"):
        write_streets(tmp_path / name, "N", IMAGES, SEED, size=0.4, layouts={"nyu": "mat"})
    assert tree_bytes(tmp_path / "a") == tree_bytes(tmp_path / "b")
    root = tmp_path / "a/nyu"
    assert sorted(p.name for p in root.iterdir()) == ["nyu_depth_v2_labeled.mat", "splits.mat"]
    assert b"Created on" not in (root / "splits.mat").read_bytes(), "no time of day"
    out = tmp_path / "out"
    assert run(["prepare", "nyu", str(root / "nyu_depth_v2_labeled.mat"), str(root / "splits.mat"), str(out)]) == 0
    expected = sorted(p.name for p in (world / "nyu/image").iterdir())
    found = sorted(p.name for p in (out / "image").iterdir())
    assert found == [f"{n:06d}.png" for n in range(1, IMAGES + 2)]
    for mine, theirs in zip(found, expected, strict=True):
        for folder in ("image", "label40"):
            assert np.array_equal(picture(out / folder / mine), picture(world / "nyu" / folder / theirs))
    rank = {name.removesuffix(".png"): f"{n:06d}" for n, name in enumerate(expected, start=1)}
    for split in ("train", "test"):
        assert names(out / f"{split}.txt") == [rank[name] for name in names(world / f"nyu/{split}.txt")]


def test_mat_files_need_their_packages(tmp_path, capfd, monkeypatch):
    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(shapes, "import_module", missing)
    assert run(["sample", str(tmp_path / "s"), "--datasets", "N", "--images", "1", "--layout", "nyu=mat"]) == 2
    assert "h5py is not installed — pip install 'unify[nyu]'" in capfd.readouterr().err
    assert not (tmp_path / "s").exists()
