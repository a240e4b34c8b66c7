"""`write_streets`: the bytes, the layouts, the labels and the truth, each against another way to get there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unify.errors import UnifyError
from unify.sample import render_scene, write_streets
from unify.sample.concepts import load_concepts
from unify.sample.looks import LOOKS
from unify.sample.world import deal, render_card
from unify.sample.write import _sizes
from unify.sources import SOURCES, decode_label, detect_any
from unify.spaces import load_space

from .worlds import tree_bytes

IMAGES, SEED, SIZE = 3, 7, 0.08
SPLITS = {"train": IMAGES, "val": 1}


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder, "CIBMV", IMAGES, SEED, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def truth(streets) -> dict:
    return json.loads((streets / "truth.json").read_text())


def pairs(folder: Path, release: str | None = None):
    """(split, image path, label path) of a root, as its own adapter finds them."""
    (found,) = detect_any(folder)
    chosen = SOURCES[found.source].releases[release or found.release]
    for split in SPLITS:
        listing = chosen.find(found.root, split)
        assert listing.problems == ()
        for pair in listing.pairs:
            yield split, found.root / pair.image, found.root / pair.label


@cache
def concept_maps(source: str) -> list[np.ndarray]:
    """The concepts of every picture that `write_streets` should have written, made again."""
    cards = [card for split, count in SPLITS.items() for card in deal(source, split, count, SEED, _sizes(source, SIZE))]
    return [render_card(card).concept_hw() for card in cards]


# -- the same bytes ------------------------------------------------------------------------------


def test_same_bytes_from_two_processes(streets, tmp_path):
    write_streets(tmp_path, ["camvid", "B", "i", "M", "cityscapes"], IMAGES, SEED, size=SIZE, workers=2)
    assert tree_bytes(tmp_path) == tree_bytes(streets)


def test_same_bytes_in_another_process_with_another_hash_seed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from unify.sample import write_streets; "
        "write_streets(Path(sys.argv[1]), 'IM', 1, 3, size=0.05)"
    )
    for name, hash_seed in (("a", "1"), ("b", "4242")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True, env=environment)
    assert tree_bytes(tmp_path / "a") == tree_bytes(tmp_path / "b")


def test_a_source_is_the_same_alone(streets, tmp_path):
    write_streets(tmp_path, "V", IMAGES, SEED, size=SIZE)
    assert tree_bytes(tmp_path / "camvid") == tree_bytes(streets / "camvid")


def test_another_seed_gives_other_pictures():
    first, _ = render_scene("bdd100k", seed=1, width=128)
    second, _ = render_scene("bdd100k", seed=2, width=128)
    assert (first != second).mean() > 0.5


def test_render_scene():
    image, concepts = render_scene("cityscapes", seed=4, index=2, kind="old town", width=200)
    assert image.shape == (100, 200, 3) and image.dtype == np.uint8
    assert concepts.shape == (100, 200) and concepts.dtype == np.uint8
    names = {load_concepts().concepts[i].name for i in np.unique(concepts)}
    assert {"road", "building", "ego vehicle", "sky"} <= names


# -- layouts -------------------------------------------------------------------------------------

PATHS = {
    "cityscapes": [
        r"leftImg8bit/(train|val)/([a-z]+)/\2_\d{6}_\d{6}_leftImg8bit\.png",
        r"gtFine/(train|val)/([a-z]+)/\2_\d{6}_\d{6}_gtFine_(labelIds|instanceIds|color)\.png",
        r"gtFine/(train|val)/([a-z]+)/\2_\d{6}_\d{6}_gtFine_polygons\.json",
    ],
    "idd": [
        r"IDD_Segmentation/leftImg8bit/(train|val)/\d+/\d{6}_leftImg8bit\.png",
        r"IDD_Segmentation/gtFine/(train|val)/\d+/\d{6}_gtFine_polygons\.json",
        r"idd20kII/leftImg8bit/(train|val)/\d+/frame\d{4}_leftImg8bit\.jpg",
        r"idd20kII/gtFine/(train|val)/\d+/frame\d{4}_gtFine_polygons\.json",
    ],
    "bdd100k": [
        r"images/10k/(train|val)/[0-9a-f]{8}-[0-9a-f]{8}\.jpg",
        r"labels/sem_seg/(masks|colormaps)/(train|val)/[0-9a-f]{8}-[0-9a-f]{8}\.png",
    ],
    "mapillary": [
        r"(training|validation)/images/[\w-]{22}\.jpg",
        r"(training|validation)/v(1\.2|2\.0)/(labels|instances)/[\w-]{22}\.png",
        r"config_v(1\.2|2\.0)\.json",
    ],
    "camvid": [r"(train|val)(annot)?/\w{6}_\d{6}\.png", r"(train|val)\.txt"],
}


@pytest.mark.parametrize("source", PATHS)
def test_paths_are_the_data_sets_own(streets, source):
    found = [path.relative_to(streets / source).as_posix() for path in (streets / source).rglob("*") if path.is_file()]
    assert [name for name in found if not any(re.fullmatch(p, name) for p in PATHS[source])] == []
    assert [p for p in PATHS[source] if not any(re.fullmatch(p, name) for name in found)] == []


@pytest.mark.parametrize("source", PATHS)
def test_adapters_find_every_pair(streets, source):
    (found,) = detect_any(streets / source)
    assert (found.source, found.missing, found.generated) == (source, (), True)
    assert Counter(split for split, _, _ in pairs(streets / source)) == SPLITS
    for _, image, _ in pairs(streets / source):
        with Image.open(image) as picture:
            assert picture.mode == "RGB" and picture.size in _sizes(source, SIZE)


def test_names_with_traps(streets):
    keys = [path.stem for path in (streets / "mapillary/training/images").iterdir()]
    assert any(key.startswith("-") for key in keys) and any(key.startswith("_") for key in keys)
    val = {path.name for path in (streets / "cityscapes/gtFine/val").iterdir()}
    assert val <= {"frankfurt", "lindau", "munster"}
    lines = (streets / "camvid/train.txt").read_text().splitlines()
    names = sorted(path.name for path in (streets / "camvid/train").iterdir())
    assert sorted(lines) == [f"/SegNet/CamVid/train/{n} /SegNet/CamVid/trainannot/{n}" for n in names]


MODES = {
    "cityscapes/gtFine/*/*/*_labelIds.png": "L",
    "cityscapes/gtFine/*/*/*_instanceIds.png": "I;16",
    "cityscapes/gtFine/*/*/*_color.png": "RGBA",
    "bdd100k/labels/sem_seg/masks/*/*.png": "L",
    "mapillary/*/v*/labels/*.png": "P",
    "mapillary/*/v*/instances/*.png": "I;16",
    "camvid/*annot/*.png": "L",
}


@pytest.mark.parametrize("pattern", MODES)
def test_label_encodings(streets, pattern):
    paths = list(streets.glob(pattern))
    assert paths
    for path in paths:
        with Image.open(path) as picture:
            assert picture.mode == MODES[pattern]


@pytest.mark.parametrize("release", ["v1.2", "v2.0"])
def test_mapillary_config_and_palette(streets, release):
    config = json.loads((streets / f"mapillary/config_{release}.json").read_text())
    space = load_space(f"mapillary-{release}")
    assert [label["name"] for label in config["labels"]] == list(space.names)
    assert [tuple(label["color"]) for label in config["labels"]] == [c.color for c in space.classes]
    assert config["version"] == {"v1.2": "1.1", "v2.0": "2.0"}[release]
    counts = [sum(label[flag] for label in config["labels"]) for flag in ("evaluate", "instances")]
    assert counts == {"v1.2": [65, 37], "v2.0": [116, 72]}[release]
    with Image.open(next(streets.glob(f"mapillary/training/{release}/labels/*.png"))) as picture:
        assert picture.getpalette()[: 3 * len(space)] == [v for c in space.classes for v in c.color]


@pytest.mark.parametrize(
    ("source", "layout", "release", "space"),
    [
        ("bdd100k", "seg", "seg", "bdd100k"),
        ("mapillary", "v1", "v1.2", "mapillary-v1.2"),
        ("camvid", "original", None, "camvid-32"),
    ],
)
def test_other_layouts(tmp_path, source, layout, release, space):
    write_streets(tmp_path, [source], IMAGES, SEED, size=SIZE, layouts={source: layout})
    assert json.loads((tmp_path / "truth.json").read_text())["layouts"] == {source: layout}
    table = load_concepts().raw_ids(space)
    expected = [table[concept_hw] for concept_hw in concept_maps(source)]
    (found,) = detect_any(tmp_path / source)
    chosen = SOURCES[source].releases[release or found.release]
    found_ids = [decode_label(chosen, label.read_bytes()) for _, _, label in pairs(tmp_path / source, release)]
    assert sorted(ids.tobytes() for ids in found_ids) == sorted(ids.tobytes() for ids in expected)


# -- labels --------------------------------------------------------------------------------------

RELEASES = [
    ("cityscapes", "fine"),
    ("idd", "20k"),
    ("bdd100k", "sem_seg"),
    ("mapillary", "v1.2"),
    ("mapillary", "v2.0"),
    ("camvid", "segnet"),
]


@pytest.mark.parametrize(("source", "release"), RELEASES)
def test_labels_are_the_concepts_through_the_table(streets, source, release):
    chosen = SOURCES[source].releases[release]
    table = load_concepts().raw_ids(chosen.space)
    expected = sorted(table[concept_hw].tobytes() for concept_hw in concept_maps(source))
    found = sorted(
        decode_label(chosen, label.read_bytes()).tobytes() for _, _, label in pairs(streets / source, release)
    )
    assert found == expected


def fill(path: Path, ids: dict[str, int], background: int, skip: tuple[str, ...] = ()) -> np.ndarray:
    """A polygon file as the official tools draw it, written down anew."""
    file = json.loads(path.read_text())
    picture = Image.new("L", (file["imgWidth"], file["imgHeight"]), background)
    pen = ImageDraw.Draw(picture)
    for item in file["objects"]:
        label = item["label"]
        if item.get("deleted") or len(item["polygon"]) < 3 or label in skip:
            continue
        if label not in ids and label.endswith("group"):
            label = label[: -len("group")]
        pen.polygon([tuple(point) for point in item["polygon"]], fill=ids[label])
    return np.asarray(picture)


def test_idd_polygons_filled_naively_give_the_truth(streets, truth):
    ids = {c.name: c.id for c in load_space("idd").classes}
    counts = {split: Counter() for split in SPLITS}
    oddities = Counter()
    for split, _, label in pairs(streets / "idd"):
        values, pixels = np.unique(fill(label, ids, 35), return_counts=True)
        counts[split].update(dict(zip(values.tolist(), pixels.tolist(), strict=True)))
        for item in json.loads(label.read_text())["objects"]:
            oddities["deleted"] += item["deleted"]
            oddities["short"] += len(item["polygon"]) < 3
            oddities["fraction"] += any(value % 1 for point in item["polygon"] for value in point)
    assert all(oddities[name] > 0 for name in ("deleted", "short", "fraction"))
    raw = {concept: names["idd"] for concept, names in truth["concepts"].items()}
    for split, found in counts.items():
        expected = Counter()
        for concept, pixels in truth["pixels"]["idd"][split].items():
            expected[ids[raw[concept]]] += pixels
        assert found == expected


def test_cityscapes_polygons_give_its_label_images(streets):
    ids = {c.name: c.id for c in load_space("cityscapes").classes}
    plates = 0
    for path in (streets / "cityscapes").rglob("*_polygons.json"):
        label = np.asarray(Image.open(str(path).replace("_polygons.json", "_labelIds.png")))
        assert (fill(path, ids, 0, skip=("license plate",)) == label).all()
        plates += sum(item["label"] == "license plate" for item in json.loads(path.read_text())["objects"])
    assert plates > 0


def test_instance_images(streets):
    things = 0
    for path in (streets / "cityscapes").rglob("*_instanceIds.png"):
        coded = np.asarray(Image.open(path)).astype(int)
        label = np.asarray(Image.open(str(path).replace("_instanceIds", "_labelIds")))
        assert (np.where(coded < 1000, coded, coded // 1000) == label).all()
        assert set(np.unique(label[coded >= 1000])) <= set(range(24, 34))
        things += len(np.unique(coded[coded >= 1000]))
    assert things > 10
    for path in (streets / "mapillary").rglob("instances/*.png"):
        coded = np.asarray(Image.open(path)).astype(int)
        label = np.asarray(Image.open(str(path).replace("/instances/", "/labels/")))
        assert (coded // 256 == label).all()


def test_colour_images(streets):
    palette = load_space("cityscapes").palette()
    for path in (streets / "cityscapes").rglob("*_color.png"):
        label = np.asarray(Image.open(str(path).replace("_color", "_labelIds")))
        colour = np.asarray(Image.open(path))
        assert (colour[:, :, :3] == palette[label]).all() and (colour[:, :, 3] == 255).all()


# -- truth ---------------------------------------------------------------------------------------


def test_truth_marks_what_is_generated(truth):
    assert truth["generated_by"] == "unify sample"
    assert (truth["seed"], truth["images"], truth["size"]) == (SEED, IMAGES, SIZE)


def test_pixel_counts_are_those_of_the_label_files(streets, truth):
    for source, release in RELEASES:
        chosen = SOURCES[source].releases[release]
        space = load_space(chosen.space)
        names = {c.id % 256: c.name for c in space.classes}
        for split in SPLITS:
            found = Counter()
            for at, _, label in pairs(streets / source, release):
                if at == split:
                    for value in decode_label(chosen, label.read_bytes()).ravel().tolist():
                        found[names[value]] += 1
            expected = Counter()
            for concept, pixels in truth["pixels"][source][split].items():
                expected[truth["concepts"][concept][chosen.space]] += pixels
            assert found == expected


def test_cooccurrence_by_single_pixels(truth):
    """Count each pixel of the first source once more, under both its names."""
    concepts = load_concepts()
    pairs_of_names = Counter()
    for concept_hw in concept_maps("mapillary"):
        for index in concept_hw.ravel().tolist():
            raw = concepts.concepts[index].raw
            pairs_of_names[raw["mapillary-v1.2"], raw["idd"]] += 1
    told = {(a, b): n for a, row in truth["cooccurrence"]["mapillary-v1.2"]["idd"].items() for b, n in row.items()}
    assert told == pairs_of_names


def test_cooccurrence_has_every_ordered_pair(truth):
    spaces = list(truth["spaces"])
    assert len(spaces) == 6
    assert {first: list(row) for first, row in truth["cooccurrence"].items()} == {
        first: [second for second in spaces if second != first] for first in spaces
    }


# -- folders in the way --------------------------------------------------------------------------


def test_an_identical_sample_may_be_written_again(tmp_path):
    write_streets(tmp_path, "V", 1, 0, size=0.1)
    before = tree_bytes(tmp_path)
    (tmp_path / "camvid/train.txt").unlink()
    write_streets(tmp_path, "V", 1, 0, size=0.1)
    assert tree_bytes(tmp_path) == before


def test_another_sample_is_in_the_way(tmp_path):
    write_streets(tmp_path, "V", 1, 0, size=0.1)
    with pytest.raises(UnifyError, match=r"cannot-create: .*: holds another sample — .*--force") as caught:
        write_streets(tmp_path, "V", 1, 1, size=0.1)
    assert caught.value.exit_code == 73
    write_streets(tmp_path, "B", 1, 1, size=0.1, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bdd100k", "truth.json"]


@pytest.mark.parametrize("force", [False, True])
def test_strange_files_are_never_touched(tmp_path, force):
    (tmp_path / "cityscapes").mkdir()
    (tmp_path / "cityscapes/mine.txt").write_text("real")
    with pytest.raises(UnifyError, match=r"cannot-create: .*: is not empty — choose an empty folder"):
        write_streets(tmp_path, "C", 1, 0, size=0.1, force=force)
    assert tree_bytes(tmp_path) == {"cityscapes/mine.txt": b"real"}


def test_a_file_where_the_folder_is_due(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnifyError, match=r"cannot-create: .*cannot be made: Not a directory") as caught:
        write_streets(tmp_path / "file/below", "V", 1, 0, size=0.1)
    assert caught.value.exit_code == 73


def test_unknown_names(tmp_path):
    with pytest.raises(UnifyError) as caught:
        write_streets(tmp_path, ["C", "Q", "coco"], 1, 0)
    assert [p.what.split()[-1] for p in caught.value.problems] == ["'Q'", "'coco'"]
    assert {p.kind for p in caught.value.problems} == {"unknown-dataset"}
    assert caught.value.exit_code == 2
    with pytest.raises(UnifyError, match="usage: no layout 'v3' of mapillary"):
        write_streets(tmp_path, "M", 1, 0, layouts={"mapillary": "v3"})
    assert list(tmp_path.iterdir()) == []


def test_sizes():
    assert _sizes("cityscapes", "full") == ((2048, 1024),)
    assert _sizes("cityscapes", 0.5) == ((1024, 512),)
    assert all(min(size) >= 64 for source in LOOKS for size in _sizes(source, 0.001))
    assert (4032, 3024) in _sizes("mapillary", "full")


@pytest.mark.slow
def test_every_raw_class_is_seen(tmp_path):
    """In 64 small pictures a source shows nearly every class it has."""
    from unify.sample.layouts import SPACES

    write_streets(tmp_path, "CIBMVW", 64, 0, size=0.25, workers=2)
    told = json.loads((tmp_path / "truth.json").read_text())
    rare = {"license plate"} | {n for n in load_space("mapillary-v2.0").names if n.startswith("marking-only--")}
    for (source, layout), spaces in SPACES.items():
        if told["layouts"].get(source) != layout:
            continue
        seen = Counter()
        for split in told["pixels"][source].values():
            seen.update(split)
        for space in spaces:
            shown = {told["concepts"][concept][space] for concept in seen}
            assert [name for name in load_space(space).names if name not in shown | rare] == [], space
    shutil.rmtree(tmp_path)
