"""Every further source as `unify sample` writes it, built, and each pixel compared with the raw files.

The raw files are found by glob and read with Pillow; ids go through dictionaries made from the YAML text.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from unify.build import build
from unify.cli import run
from unify.sample import write_streets
from unify.sample.concepts import load_concepts
from unify.sample.looks import LOOKS
from unify.sample.world import deal, render_card
from unify.sample.write import _sizes, split_sizes
from unify.sources import SOURCES, detect_any
from unify.spaces import load_space

from .test_build import MAPPINGS, rows
from .worlds import plan_of

IMAGES, SEED, SIZE = 2, 5, 0.06


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("more")
    write_streets(folder, "CKAWPXN", IMAGES, SEED, size=SIZE, layouts={"cityscapes": "fine+coarse"})
    return folder


@pytest.fixture(scope="module")
def truth(streets) -> dict:
    return json.loads((streets / "truth.json").read_text())


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def swap(path: Path, *pairs: tuple[str, str]) -> Path:
    text = str(path)
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return Path(text)


DAMAGED = "troisdorf_000000_000073"  # of train_extra, which everybody leaves out


# -- built -----------------------------------------------------------------------------------------

FINE = (("leftImg8bit", "gtFine"), ("_gtFine.png", "_gtFine_labelIds.png"))
COARSE = (("leftImg8bit", "gtCoarse"), ("_gtCoarse.png", "_gtCoarse_labelIds.png"))
ACDC = (("/rgb_anon/", "/gt/"), ("_rgb_anon.png", "_gt_labelIds.png"))
VOC = (("JPEGImages", "SegmentationClass"), (".jpg", ".png"))
#: what is asked for, its splits, image files per split, how a label's path follows, raw space, space, pairs
BUILDS = [
    ("C", {s: f"cityscapes/leftImg8bit/{s}/*/*.png" for s in ("train", "val")}, FINE, "cityscapes", "cityscapes19", 3),
    (
        "C@coarse",
        {s: f"cityscapes/leftImg8bit/{s}/*/*.png" for s in ("train", "val", "train_extra")},
        COARSE,
        *("cityscapes", "cityscapes19", 5),
    ),
    (
        *("K", {"train": "kitti/training/image_2/*_10.png"}, (("image_2", "semantic"),)),
        *("cityscapes", "cityscapes19", 2),
    ),
    (
        "A",
        {s: f"acdc/rgb_anon/*/{s}/*/*_rgb_anon.png" for s in ("train", "val")},
        ACDC,
        *("cityscapes", "cityscapes19", 8),
    ),
    (
        "A@night",
        {s: f"acdc/rgb_anon/night/{s}/*/*_rgb_anon.png" for s in ("train", "val")},
        ACDC,
        *("cityscapes", "cityscapes19", 2),
    ),
    (
        "W",
        {"train": "wilddash/wd_public_02/images/*.jpg"},
        (("images", "labels"), (".jpg", ".png")),
        *("wilddash-public-02", "wilddash26", 2),
    ),
    (
        "P",
        {"train": "voc/VOC2012/JPEGImages/2007_*", "val": "voc/VOC2012/JPEGImages/2008_*"},
        VOC,
        "voc2012",
        "voc20",
        3,
    ),
    (
        "X",
        {"train": "context/VOC2010/JPEGImages/2008_*", "val": "context/VOC2010/JPEGImages/2010_*"},
        (("JPEGImages", "SegmentationClassContext"), (".jpg", ".png")),
        *("pascal-context", "context59", 3),
    ),
    (
        "N",
        {"train": "nyu/image/00000[23].png", "test": "nyu/image/000001.png"},
        (("/image/", "/label40/"),),
        *("nyu-depth-v2", "nyu40", 3),
    ),
]


def check_build(raw: Path, out: Path, wanted: str, globs: dict[str, str], label_of, raw_space: str, space: str) -> int:
    """Build it and compare every image and every pixel; the number of pairs."""
    artifact = build(plan_of(raw, wanted, splits=tuple(globs)), out).artifact
    facts = {fact["sample_id"]: fact for fact in artifact.inputs().to_pylist()}
    classes = yaml.safe_load((MAPPINGS / "spaces" / f"{raw_space}.yaml").read_text())["classes"]
    rules = yaml.safe_load((MAPPINGS / f"to_{space}" / f"{raw_space}.yaml").read_text())["rules"]
    names = list(artifact.taxonomy.space.names)
    way = {c["id"] % 256: names.index(rules[c["name"]]) if rules[c["name"]] else 255 for c in classes}
    found = {}
    for row in rows(artifact):
        fact = facts[row["sample_id"]]
        found[fact["image"]] = row
    (root,) = {found.root for found in plan_of(raw, wanted, splits=tuple(globs)).roots.values()}
    for split, pattern in globs.items():
        images = [path for path in sorted(raw.glob(pattern)) if DAMAGED not in path.name]
        assert images, pattern
        for path in images:
            row = found.pop(path.relative_to(root).as_posix())
            assert row["sample_id"].split("/")[1] == split
            assert row["image"]["bytes"] == path.read_bytes()
            raw_hw = picture(label_of(path))
            expected_hw = np.vectorize(way.__getitem__)(raw_hw).astype(np.uint8)
            label_hw = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"])))
            assert np.array_equal(label_hw, expected_hw), path
            with Image.open(path) as image:
                size = image.size
            assert size == (row["width"], row["height"]) == (raw_hw.shape[1], raw_hw.shape[0])
    assert not found, "what no glob names is built, too"
    assert all(fact["generated"] for fact in artifact.manifest.sources.values())
    return len(facts)


@pytest.mark.parametrize(("wanted", "globs", "swaps", "raw_space", "space", "pairs"), BUILDS)
def test_every_pixel_of_a_build(streets, tmp_path, wanted, globs, swaps, raw_space, space, pairs):
    assert check_build(streets, tmp_path, wanted, globs, lambda p: swap(p, *swaps), raw_space, space) == pairs


def test_every_pixel_of_voc_with_sbd(streets, tmp_path):
    """A picture of train.txt keeps VOC's own label; one of val.txt is never trained on."""

    def label_of(path: Path) -> Path:
        folder = "SegmentationClassAug" if path.name.startswith("2009") else "SegmentationClass"
        return swap(path, ("JPEGImages", folder), (".jpg", ".png"))

    globs = {"train": "voc/VOC2012/JPEGImages/200[79]_*", "val": "voc/VOC2012/JPEGImages/2008_*"}
    assert check_build(streets, tmp_path, "P@trainaug", globs, label_of, "voc2012", "voc20") == 5


@pytest.mark.parametrize("source", ["cityscapes", "kitti", "acdc", "wilddash", "voc", "context", "nyu"])
def test_adapters_find_every_pair_and_no_fault(streets, source):
    (found,) = detect_any(streets / source)
    assert (found.source, found.missing, found.generated) == (source, (), True)
    wanted = Counter()
    for split, count in split_sizes(source, IMAGES, {"cityscapes": "fine"}.get(source)).items():
        wanted[split.rpartition("/")[2]] += count
    release = SOURCES[source].releases[found.release]
    for split in release.splits:
        listing = release.find(found.root, split)
        assert listing.problems == ()
        assert len(listing.pairs) == wanted[split]


def test_doctor_has_no_fault_to_tell(streets, capfd):
    assert run(["doctor", "--root", str(streets), "--json"]) == 0
    assert "bad-" not in capfd.readouterr().out


# -- Cityscapes, coarse ------------------------------------------------------------------------------


def coarse_files(streets: Path) -> list[Path]:
    return [p for p in sorted(streets.glob("cityscapes/gtCoarse/*/*/*_labelIds.png")) if DAMAGED not in p.name]


def test_coarse_labels_are_their_polygons(streets):
    values = {c.name: c.id for c in load_space("cityscapes").classes}
    for path in coarse_files(streets):
        file = json.loads(swap(path, ("_labelIds.png", "_polygons.json")).read_text())
        drawn = Image.new("L", (file["imgWidth"], file["imgHeight"]), 0)
        for item in file["objects"]:
            name = item["label"] if item["label"] in values else item["label"].removesuffix("group")
            ImageDraw.Draw(drawn).polygon([tuple(point) for point in item["polygon"]], fill=values[name])
        label_hw = picture(path)
        assert np.array_equal(np.asarray(drawn), label_hw)
        coded_hw = picture(swap(path, ("_labelIds", "_instanceIds"))).astype(int)
        assert np.array_equal(np.where(coded_hw < 1000, coded_hw, coded_hw // 1000), label_hw)
        assert set(np.unique(label_hw[coded_hw >= 1000]).tolist()) <= set(range(24, 34))
        colour = picture(swap(path, ("_labelIds", "_color")))
        assert np.array_equal(colour[:, :, :3], load_space("cityscapes").palette()[label_hw])


@pytest.fixture(scope="module")
def coarse_pairs(tmp_path_factory) -> list[tuple[np.ndarray, np.ndarray, list[dict]]]:
    """Fine and coarse label images of larger pictures, and the coarse objects."""
    folder = tmp_path_factory.mktemp("coarse")
    write_streets(folder, "C", 4, 2, size=0.2, layouts={"cityscapes": "fine+coarse"})
    found = []
    for path in sorted(folder.glob("cityscapes/gtFine/*/*/*_labelIds.png")):
        coarse = swap(path, ("gtFine", "gtCoarse"))
        objects = json.loads(swap(coarse, ("_labelIds.png", "_polygons.json")).read_text())["objects"]
        found.append((picture(path), picture(coarse), objects))
    return found


FIXED = {"ego vehicle", "rectification border", "out of roi"}  # drawn exactly, and over each other


def test_coarse_is_coarse(coarse_pairs):
    """Much is unlabeled, boundaries above all; what is labelled is nearly always right; corners are few."""
    labelled, right, at_edges, edges = 0, 0, 0, 0
    pixels = 0
    for fine_hw, coarse_hw, objects in coarse_pairs:
        here = coarse_hw > 3  # without the camera's own parts
        labelled += here.sum()
        pixels += here.size
        right += (fine_hw[here] == coarse_hw[here]).sum()
        edge = np.zeros(fine_hw.shape, bool)
        edge[:, 1:] |= fine_hw[:, 1:] != fine_hw[:, :-1]
        edge[1:] |= fine_hw[1:] != fine_hw[:-1]
        edges += edge.sum()
        at_edges += (edge & here).sum()
        assert max(len(o["polygon"]) for o in objects if o["label"] not in FIXED) <= 12
        assert np.array_equal(coarse_hw == 1, fine_hw == 1), "the ego vehicle is drawn exactly"
    assert 0.25 < labelled / pixels < 0.6
    assert right / labelled > 0.98
    assert at_edges / edges < 0.15


def test_each_coarse_polygon_holds_one_class(coarse_pairs):
    """Filled alone, 97 % of it is its class: cars that stand on a road are not inside the road's outline."""
    values = {c.name: c.id for c in load_space("cityscapes").classes}
    for fine_hw, _, objects in coarse_pairs:
        for item in objects:
            name = item["label"] if item["label"] in values else item["label"].removesuffix("group")
            alone = Image.new("L", fine_hw.shape[::-1], 0)
            ImageDraw.Draw(alone).polygon([tuple(point) for point in item["polygon"]], fill=1)
            inside = np.asarray(alone) > 0
            assert (fine_hw[inside] == values[name]).mean() >= 0.97 or name in FIXED, name


def test_fine_and_coarse_share_their_pictures(streets):
    fine, coarse = (SOURCES["cityscapes"].releases[r] for r in ("fine", "coarse"))
    root = streets / "cityscapes"
    for split in ("train", "val"):
        assert [p.image for p in fine.find(root, split).pairs] == [p.image for p in coarse.find(root, split).pairs]
    extra = coarse.find(root, "train_extra").pairs
    assert len(extra) == IMAGES and not list(root.glob("gtFine/train_extra"))
    digests = {path.read_bytes() for path in root.glob("leftImg8bit/*/*/*.png")}
    assert len(digests) == 2 * IMAGES + 1 + 1, "all differ, and the damaged frame is one more"
    damaged = picture(next(root.glob(f"gtCoarse/train_extra/troisdorf/{DAMAGED}_gtCoarse_labelIds.png")))
    assert len(np.unique(damaged)) == 1


def test_coarse_alone_has_the_same_pictures_and_labels(streets, tmp_path):
    write_streets(tmp_path, "C", IMAGES, SEED, size=SIZE, layouts={"cityscapes": "coarse"})
    files = [p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("cityscapes/**/*") if p.is_file()]
    assert len(files) == 6 * 5  # an image and four annotation files of each, the damaged one too
    assert all((tmp_path / f).read_bytes() == (streets / f).read_bytes() for f in files)
    (found,) = detect_any(tmp_path / "cityscapes")
    assert found.offers == ("coarse",)


# -- KITTI -------------------------------------------------------------------------------------------


def test_kitti_encodings(streets):
    palette = load_space("cityscapes").palette()
    things = 0
    for path in sorted(streets.glob("kitti/training/semantic/*.png")):
        label_hw = picture(path)
        coded_hw = picture(swap(path, ("/semantic/", "/instance/"))).astype(int)
        assert np.array_equal(coded_hw >> 8, label_hw)
        assert set(np.unique(label_hw[coded_hw & 255 > 0]).tolist()) <= set(range(24, 34))
        things += np.count_nonzero(coded_hw & 255)
        assert np.array_equal(picture(swap(path, ("/semantic/", "/semantic_rgb/"))), palette[label_hw])
    assert things
    assert [p.name for p in (streets / "kitti/testing").iterdir()] == ["image_2"]
    assert all(w > 3 * h for w, h in _sizes("kitti", "full")) and (1242, 375) in _sizes("kitti", "full")


def concept_maps(source: str, splits: dict[str, int]) -> list[np.ndarray]:
    cards = [card for split, n in splits.items() for card in deal(source, split, n, SEED, _sizes(source, SIZE))]
    return [render_card(card).concept_hw() for card in cards]


@pytest.mark.parametrize(
    ("source", "splits", "space", "labels"),
    [
        ("kitti", {"train": IMAGES}, "cityscapes", "kitti/training/semantic/*.png"),
        ("wilddash", {"train": IMAGES}, "wilddash-public-02", "wilddash/wd_public_02/labels/*.png"),
        (
            "acdc",
            {f"{c}/{s}": 1 for c in ("fog", "night", "rain", "snow") for s in ("train", "val")},
            *("cityscapes", "acdc/gt/*/*/*/*_labelIds.png"),
        ),
    ],
)
def test_labels_are_the_concepts_through_the_table(streets, truth, source, splits, space, labels):
    table = load_concepts().raw_ids(space)
    expected = sorted(table[concept_hw].tobytes() for concept_hw in concept_maps(source, splits))
    found = [picture(path) for path in streets.glob(labels)]
    assert sorted(label_hw.tobytes() for label_hw in found) == expected
    view = source if source != "wilddash" else space
    names = {c.id: c.name for c in load_space(space).classes}
    counted = Counter(names[v] for label_hw in found for v in label_hw.ravel().tolist())
    told = Counter()
    for split, pixels in truth["pixels"][source].items():
        if split != "test":  # KITTI's test labels are withheld
            for concept, n in pixels.items():
                told[truth["concepts"][concept][view]] += n
    assert counted == told


# -- ACDC --------------------------------------------------------------------------------------------


def test_acdc_files_and_decoys(streets):
    for image in streets.glob("acdc/rgb_anon/*/*/*/*_rgb_anon.png"):
        label = swap(image, ("/rgb_anon/", "/gt/"), ("_rgb_anon.png", "_gt_labelIds.png"))
        reference = swap(image, ("/train/", "/train_ref/") if "/train/" in str(image) else ("/val/", "/val_ref/"))
        reference = swap(reference, ("_rgb_anon.png", "_rgb_ref_anon.png"))
        assert reference.is_file() and not np.array_equal(picture(reference), picture(image))
        rules = yaml.safe_load((MAPPINGS / "to_cityscapes19/cityscapes.yaml").read_text())["rules"]
        raw, train = load_space("cityscapes"), load_space("cityscapes19")
        ids = {c.id % 256: train.index(rules[c.name]) if rules[c.name] else 255 for c in raw.classes}
        expected = np.vectorize(ids.__getitem__)(picture(label))
        assert np.array_equal(picture(swap(label, ("labelIds", "labelTrainIds"))), expected)
        assert np.array_equal(picture(swap(label, ("labelIds", "labelColor"))), raw.palette()[picture(label)])
        assert set(np.unique(picture(swap(label, ("labelIds", "invIds"))))) <= {0, 1}
    assert len(list(streets.glob("acdc/rgb_anon/*/*/*/*.png"))) == 16
    assert not list(streets.glob("acdc/gt/*/*_ref"))


def test_conditions_look_like_what_they_are(tmp_path):
    """Against the reference frame of the same place: darker at night, grey in fog, a white road in snow."""
    write_streets(tmp_path, "A", 8, 1, size=0.1)
    found: dict[str, list[tuple[float, ...]]] = {}
    for path in sorted(tmp_path.glob("acdc/rgb_anon/*/train/*/*.png")):
        here = picture(path).astype(int)
        reference = picture(swap(path, ("/train/", "/train_ref/"), ("_rgb_anon", "_rgb_ref_anon"))).astype(int)
        label_hw = picture(swap(path, ("/rgb_anon/", "/gt/"), ("_rgb_anon.png", "_gt_labelIds.png")))
        numbers = tuple(
            measure(here) / measure(reference)
            for measure in (
                lambda image: image.mean(),
                lambda image: (image.max(axis=2) - image.min(axis=2)).mean(),
                lambda image, road=label_hw == 7: image[road].mean(),
                lambda image, sky=label_hw == 23: image[sky].mean() if sky.any() else 1.0,
            )
        )
        found.setdefault(path.relative_to(tmp_path).parts[2], []).append(numbers)
    light, colour, road, sky = ({c: float(np.mean([n[i] for n in v])) for c, v in found.items()} for i in range(4))
    assert light["night"] < 0.4 and sky["night"] < 0.25
    assert colour["fog"] < 0.6 and light["fog"] > 1
    assert road["snow"] > 1.25 and road["rain"] < 0.9
    assert light["night"] < light["rain"] < light["fog"]


# -- WildDash ----------------------------------------------------------------------------------------


def test_wilddash_v2p0_through_prepare(streets, tmp_path, capfd):
    """Doctor says what is missing, `prepare` paints it, and it is what the world was, in the other space."""
    raw = tmp_path / "raw"
    write_streets(raw, "W", IMAGES, SEED, size=SIZE, layouts={"wilddash": "v2p0"})
    home = raw / "wilddash/wd_public_v2p0"
    assert sorted(p.name for p in home.iterdir()) == ["images", "panoptic", "panoptic.json"]
    run(["doctor", "--root", str(raw)])
    assert "unify prepare wilddash" in "".join(capfd.readouterr())
    assert run(["prepare", "wilddash", str(home)]) == 0
    file = json.loads((home / "panoptic.json").read_text())
    assert [c["id"] for c in file["categories"]] == sorted(load_space("wilddash-v2p0").ids)
    assert [i["file_name"].removesuffix(".jpg") for i in file["images"]] == [a["image_id"] for a in file["annotations"]]
    for annotation in file["annotations"]:
        rgb = picture(home / "panoptic" / annotation["file_name"]).astype(int)
        segment_hw = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
        expected = np.zeros(segment_hw.shape, np.uint8)
        for segment in annotation["segments_info"]:
            here = segment_hw == segment["id"]
            expected[here] = segment["category_id"]
            left, top, width, high = segment["bbox"]
            assert here.sum() == segment["area"] == here[top : top + high, left : left + width].sum() > 0
        assert set(np.unique(segment_hw)) - {0} == {s["id"] for s in annotation["segments_info"]}
        assert np.array_equal(picture(home / "semantic" / annotation["file_name"]), expected)
    table = load_concepts().raw_ids("wilddash-v2p0")
    painted = sorted(picture(path).tobytes() for path in (home / "semantic").iterdir())
    assert painted == sorted(table[hw].tobytes() for hw in concept_maps("wilddash", {"train": IMAGES}))
    images = {p.name: p.read_bytes() for p in (home / "images").iterdir()}
    assert images == {p.name: p.read_bytes() for p in streets.glob("wilddash/wd_public_02/images/*")}
    globs = {"train": "wilddash/wd_public_v2p0/images/*.jpg"}
    swaps = (("images", "semantic"), (".jpg", ".png"))
    args = ("W", globs, lambda p: swap(p, *swaps), "wilddash-v2p0", "wilddash26")
    assert check_build(raw, tmp_path / "out", *args) == IMAGES


def test_wilddash_instances(streets):
    for path in streets.glob("wilddash/wd_public_02/labels/*.png"):
        assert np.array_equal(picture(swap(path, ("/labels/", "/instances/"))).astype(int) >> 8, picture(path))


# -- truth -------------------------------------------------------------------------------------------


def test_truth_lists_borrowed_spaces_under_their_own_names(truth):
    assert truth["spaces"] == {
        "cityscapes": "cityscapes",
        "kitti": "kitti",
        "acdc": "acdc",
        "wilddash-public-02": "wilddash",
    }
    assert truth["label_spaces"] == {"kitti": "cityscapes", "acdc": "cityscapes"}
    assert set(truth["cooccurrence"]["kitti"]) == {"cityscapes", "acdc", "wilddash-public-02"}
    row = truth["cooccurrence"]["kitti"]["wilddash-public-02"]["road"]
    assert row["road-marking"] > 0 and row["road"] > row["road-marking"]
    assert all(a == b for a, r in truth["cooccurrence"]["kitti"]["acdc"].items() for b in r)
    assert {concept["kitti"] == concept["cityscapes"] for concept in truth["concepts"].values()} == {True}
    assert set(truth["pixels"]["cityscapes"]) == {"train", "val", "train_extra"}
    assert "unfinished" not in truth


def test_looks_and_weathers_fit():
    from unify.sample.dice import Dice
    from unify.sample.looks import make_light

    for look in LOOKS.values():
        for weather in look.weather:
            make_light(weather, Dice(weather))
