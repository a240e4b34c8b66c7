"""The further adapters against their true layouts and the traps in them."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unify.errors import UnifyError
from unify.imagefile import image_header
from unify.sources import SOURCES, decode_label, detect_any
from unify.spaces import load_space

from . import layouts, layouts_more
from .layouts_more import CONDITIONS, WORLD, write_list, write_world
from .pngs import saved
from .raw import find, only, release, told


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("raw"))


def ids(listing) -> list[str]:
    return [pair.sample_id for pair in listing.pairs]


# ---- all of them


def test_letters_are_single_and_unique():
    letters = [s.letter for s in SOURCES.values()]
    assert len(set(letters)) == len(letters) and all(len(x) == 1 for x in letters)
    assert {s: SOURCES[s].letter for s in ("kitti", "acdc", "wilddash", "voc", "context", "nyu")} == {
        "kitti": "K", "acdc": "A", "wilddash": "W", "voc": "P", "context": "X", "nyu": "N",
    }  # fmt: skip


@pytest.mark.parametrize("folder", WORLD)
def test_true_layouts_are_told_apart_and_pair_up_by_name(world, folder):
    _, source, offers, pairs = WORLD[folder]
    found = only(world / folder)
    assert (found.source, found.release, found.root) == (source, offers[0], world / folder)
    assert (found.missing, found.offers) == ((), offers)
    listing = find(world / folder)
    assert listing.problems == () and len(listing.pairs) == pairs
    assert ids(listing) == sorted(set(ids(listing)))
    for pair in listing.pairs:
        assert (world / folder / pair.image).is_file() and (world / folder / pair.label).is_file()
        stem = pair.sample_id.rpartition("/")[2]
        assert Path(pair.image).name.startswith(stem) and Path(pair.label).name.startswith(stem)


@pytest.mark.parametrize("folder", WORLD)
def test_labels_decode_to_the_ids_that_were_written(world, folder):
    found = only(world / folder)
    for name in found.offers:
        r = release(found.source, name)
        for split in r.splits:
            for pair in r.find(found.root, split).pairs:
                data = (found.root / pair.label).read_bytes()
                ids_hw = decode_label(r, data)
                assert np.array_equal(ids_hw, np.asarray(Image.open(io.BytesIO(data)))), "Pillow, unconverted"
                assert set(np.unique(ids_hw).tolist()) <= load_space(r.space).ids


@pytest.mark.parametrize("folder", WORLD)
def test_releases_cross_processes(world, folder):
    found = only(world / folder)
    for name in found.offers:
        r = release(found.source, name)
        again = pickle.loads(pickle.dumps(r))
        assert again == r or again.find(found.root, "train") == r.find(found.root, "train")


def test_official_counts():
    assert release("kitti", "2015").splits == {"train": 200}
    assert release("acdc", "all").splits == {"train": 1600, "val": 406}
    assert {c: release("acdc", c).splits for c in CONDITIONS} == {
        c: {"train": 400, "val": 106 if c == "night" else 100} for c in CONDITIONS
    }
    assert release("voc", "voc2012").splits == {"train": 1464, "val": 1449}
    assert release("voc", "trainaug").splits == {"train": 1464 + 9118, "val": 1449}
    assert release("context", "voc2010").splits == {"train": 4998, "val": 5105}
    assert release("nyu", "labeled").splits == {"train": 795, "test": 654}
    assert {r.splits["train"] for r in SOURCES["wilddash"].releases.values()} == {4256}
    assert release("cityscapes", "coarse").splits == {"train": 2975, "val": 500, "train_extra": 19998}


def test_splits_that_are_withheld_or_not_there(world):
    for folder in ("kitti", "acdc", "wd beta", "voc"):
        (problem,) = find(world / folder, "test").problems
        assert problem.kind == "empty-split" and "labels to itself" in problem.what
    with pytest.raises(UnifyError, match="usage: no split 'val' — known: train, test"):
        find(world / "kitti", "val")
    with pytest.raises(UnifyError, match="usage: no split 'val' — known: train, test"):
        find(world / "nyu", "val")


def test_nothing_new_is_detected_in_ordinary_folders(tmp_path):
    for name in ("images", "labels", "train", "gt", "JPEGImages", "image", "panoptic", "ImageSets/Segmentation"):
        (tmp_path / name).mkdir(parents=True)
    assert detect_any(tmp_path) == []


# ---- Cityscapes, coarse


def test_coarse_has_the_extra_frames_but_the_damaged_one(world):
    assert ids(find(world / "coarse", "train_extra")) == ["augsburg_000000_000013", "augsburg_000001_000113"]
    assert (world / "coarse/leftImg8bit/train_extra/troisdorf/troisdorf_000000_000073_leftImg8bit.png").exists()
    assert find(world / "coarse").pairs[0].label == ("gtCoarse/train/aachen/aachen_000000_000019_gtCoarse_labelIds.png")


def test_the_damaged_frame_is_no_fault_without_its_partner(tmp_path):
    layouts_more.write_coarse(tmp_path)
    shutil.rmtree(tmp_path / "gtCoarse/train_extra/troisdorf")
    assert find(tmp_path, "train_extra").problems == ()


def test_fine_and_coarse_side_by_side(tmp_path):
    layouts.write_cityscapes(tmp_path, train=1)
    layouts_more.write_coarse(tmp_path)
    found = only(tmp_path)
    assert (found.release, found.offers) == ("fine", ("fine", "coarse"))
    assert release("cityscapes", "fine").find(tmp_path, "train").pairs[0].label.startswith("gtFine/")
    assert release("cityscapes", "coarse").find(tmp_path, "train").pairs[0].label.startswith("gtCoarse/")


def test_coarse_without_images(tmp_path):
    layouts_more.write_coarse(tmp_path)
    shutil.rmtree(tmp_path / "leftImg8bit")
    found = only(tmp_path)
    assert (found.release, found.missing) == ("coarse", ("leftImg8bit/",))


def test_coarse_train_ids_are_told_from_label_ids(tmp_path):
    layouts_more.write_coarse(tmp_path)
    label = tmp_path / "gtCoarse/val/munster/munster_000000_000019_gtCoarse_labelIds.png"
    label.rename(label.with_name(label.name.replace("labelIds", "labelTrainIds")))
    ((kind, path, what),) = told(find(tmp_path, "val"))
    assert (kind, path) == ("missing-label", "leftImg8bit/val/munster/munster_000000_000019_leftImg8bit.png")
    assert what.endswith("which has too few ids to map from: unpack gtCoarse.zip again")


# ---- KITTI


def test_kitti_leaves_second_frames_and_other_images_out(world):
    listing = find(world / "kitti")
    assert ids(listing) == ["000000", "000001", "000002"]
    assert (listing.pairs[0].image, listing.pairs[0].label) == (
        "training/image_2/000000_10.png",
        "training/semantic/000000_10.png",
    )


def test_kitti_below_the_folder_of_its_zip_and_without_images(tmp_path):
    layouts_more.write_kitti(tmp_path / "data_semantics")
    assert only(tmp_path).root == tmp_path / "data_semantics"
    shutil.rmtree(tmp_path / "data_semantics/training/image_2")
    assert only(tmp_path).missing == ("training/image_2/",)


def test_the_stereo_download_alone_is_no_semantic_set(tmp_path):
    layouts_more.write_kitti(tmp_path)
    shutil.rmtree(tmp_path / "training/semantic")
    assert detect_any(tmp_path) == []


def test_kitti_colours_and_instances_are_no_labels(world):
    r = release("kitti", "2015")
    for folder, what in (("semantic_rgb", "RGB colours where gray ids are due"), ("instance", "16 bits a value")):
        with pytest.raises(UnifyError, match=f"bad-label: {what}.* — use training/semantic/") as e:
            decode_label(r, (world / f"kitti/training/{folder}/000000_10.png").read_bytes())
        assert e.value.exit_code == 65


# ---- ACDC


def test_acdc_ids_carry_the_condition_and_reference_frames_stay_out(world):
    listing = find(world / "acdc")
    assert ids(listing)[:3] == ["fog/GOPR0475_frame_000041", "fog/GOPR0475_frame_000042", "night/GOPR0475_frame_000041"]
    assert not any("ref" in pair.image for pair in listing.pairs)
    assert ids(release("acdc", "night").find(world / "acdc", "val")) == ["night/GP010476_frame_000041"]


def test_acdc_below_the_folders_of_its_zips(tmp_path, world):
    layouts_more.write_acdc(tmp_path, zips=True)
    found = only(tmp_path)
    assert (found.root, found.offers, found.missing) == (tmp_path, ("all", *CONDITIONS), ())
    assert ids(find(tmp_path)) == ids(find(world / "acdc"))
    assert find(tmp_path).pairs[0].label.startswith("gt_trainval/gt/fog/train/GOPR0475/")


def test_acdc_with_some_conditions(tmp_path):
    layouts_more.write_acdc(tmp_path)
    shutil.rmtree(tmp_path / "gt/night")
    assert only(tmp_path).offers == ("fog", "rain", "snow")
    assert told(release("acdc", "all").find(tmp_path, "val")) == [
        ("missing-label", "gt/night/val", "no such folder, but rgb_anon/night/val holds 1 files")
    ]
    shutil.rmtree(tmp_path / "rgb_anon/fog")
    for condition in ("rain", "snow"):
        shutil.rmtree(tmp_path / "gt" / condition)
    found = only(tmp_path)
    assert found.missing == ("rgb_anon/fog/", "gt/night/", "gt/rain/", "gt/snow/") and found.offers == ()


def test_acdc_train_ids_are_told_from_label_ids(tmp_path):
    layouts_more.write_acdc(tmp_path)
    (tmp_path / "gt/snow/val/GP010476/GP010476_frame_000041_gt_labelIds.png").unlink()
    ((kind, path, what),) = told(find(tmp_path, "val"))
    assert (kind, path) == ("missing-label", "rgb_anon/snow/val/GP010476/GP010476_frame_000041_rgb_anon.png")
    assert "only a labelTrainIds file" in what


def test_a_cardiac_dataset_of_the_same_name_is_not_ours(tmp_path):
    (tmp_path / "database/training/patient001").mkdir(parents=True)
    (tmp_path / "gt/patient001").mkdir(parents=True)
    assert detect_any(tmp_path) == []


# ---- Pascal VOC


@pytest.mark.parametrize("around", ["VOC2012", "VOCdevkit/VOC2012"])
def test_voc_is_seen_through_the_folders_around_it(tmp_path, around):
    layouts_more.write_voc(tmp_path / around)
    assert only(tmp_path).root == tmp_path / around


@pytest.mark.parametrize("name", ["VOC2007", "voc2010"])
def test_other_years_of_voc_are_not_2012(tmp_path, name):
    layouts_more.write_voc(tmp_path / name)
    assert detect_any(tmp_path / name) == []


def test_what_voc_lacks_is_named(tmp_path):
    layouts_more.write_voc(tmp_path)
    shutil.rmtree(tmp_path / "ImageSets")
    assert only(tmp_path).missing == ("ImageSets/Segmentation/",)


def test_voc_labels_are_indices_with_a_border_of_255(world):
    r = release("voc", "voc2012")
    pair = r.find(world / "voc", "train").pairs[0]
    data = (world / "voc" / pair.label).read_bytes()
    assert image_header(data).mode == "palette"
    gray = saved(Image.fromarray(np.array([[0, 20, 255]], np.uint8)))
    assert decode_label(r, gray).tolist() == [[0, 20, 255]]
    with pytest.raises(UnifyError, match="RGB colours where ids are due"):
        decode_label(r, saved(Image.open(io.BytesIO(data)).convert("RGB")))


def test_trainaug_without_a_list_is_everything_but_val(world):
    r = release("voc", "trainaug")
    listing = r.find(world / "voc aug", "train")
    assert listing.problems == ()
    assert [(p.sample_id, p.label.split("/")[0]) for p in listing.pairs] == [
        ("2007_000000", "SegmentationClass"),
        ("2007_000001", "SegmentationClass"),
        ("2009_000000", "SegmentationClassAug"),
        ("2009_000001", "SegmentationClassAug"),
    ]
    val = r.find(world / "voc aug", "val")
    assert ids(val) == ["2008_000000", "2008_000001"]
    assert {p.label.split("/")[0] for p in val.pairs} == {"SegmentationClass"}
    assert set(ids(val)).isdisjoint(ids(listing))


def test_trainaug_with_a_list(tmp_path):
    layouts_more.write_voc(tmp_path, more=3, augmented=True)
    lines = [f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png" for n in ("2007_000000", "2009_000001")]
    write_list(tmp_path / "ImageSets/Segmentation/trainaug.txt", lines)
    listing = release("voc", "trainaug").find(tmp_path, "train")
    assert listing.problems == ()
    assert ids(listing) == ["2007_000000", "2007_000001", "2009_000001"]


def test_a_trainaug_list_that_leaks_val_is_refused(tmp_path):
    layouts_more.write_voc(tmp_path, augmented=True)
    write_list(tmp_path / "ImageSets/Segmentation/trainaug.txt", ["2009_000000", "2008_000001", "2008_000000"])
    listing = release("voc", "trainaug").find(tmp_path, "train")
    (problem,) = listing.problems
    assert str(problem) == (
        "duplicate-sample: ImageSets/Segmentation/trainaug.txt: lists 2 pictures of val.txt, such as '2008_000001' — "
        "remove them: they are what is evaluated on"
    )
    assert ids(listing) == ["2007_000000", "2007_000001", "2009_000000"], "and they are out, whoever goes on"


def test_trainaug_without_val_txt_takes_nothing_more(tmp_path):
    layouts_more.write_voc(tmp_path, augmented=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").unlink()
    listing = release("voc", "trainaug").find(tmp_path, "train")
    assert told(listing) == [("empty-split", "ImageSets/Segmentation/val.txt", "no such list")]
    assert ids(listing) == ["2007_000000", "2007_000001"]


def test_only_what_is_listed_has_to_be_there(tmp_path):
    layouts_more.write_voc(tmp_path, train=3)
    (tmp_path / "SegmentationClass/2007_000000.png").unlink()
    (tmp_path / "JPEGImages/2007_000001.jpg").unlink()
    (tmp_path / "JPEGImages/2007_000002.jpg").unlink()
    (tmp_path / "SegmentationClass/2007_000002.png").unlink()
    assert told(find(tmp_path)) == [
        ("missing-label", "JPEGImages/2007_000000.jpg",
         "has no label: there is no SegmentationClass/2007_000000.png"),
        ("missing-image", "SegmentationClass/2007_000001.png", "has no image: there is no JPEGImages/2007_000001.jpg"),
        ("missing-image", "ImageSets/Segmentation/train.txt",
         "lists '2007_000002', but there is no JPEGImages/2007_000002.jpg"),
    ]  # fmt: skip
    assert told(find(tmp_path, "val")) == []
    shutil.rmtree(tmp_path / "JPEGImages")
    assert told(find(tmp_path)) == [
        ("missing-image", "JPEGImages", "no such folder, but SegmentationClass holds 3 files")
    ]


@pytest.mark.parametrize(
    ("content", "kind", "what"),
    [
        (None, "empty-split", "no such list"),
        (b"\xff", "bad-config", "cannot be read: "),
        (b"a" * (2 << 20), "bad-config", "is larger than"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, content, kind, what):
    layouts_more.write_voc(tmp_path)
    path = tmp_path / "ImageSets/Segmentation/train.txt"
    path.unlink() if content is None else path.write_bytes(content)
    ((found, where, text),) = told(find(tmp_path))
    assert (found, where) == (kind, "ImageSets/Segmentation/train.txt") and text.startswith(what)


# ---- Pascal Context


def test_context_takes_a_repeated_line_once_and_is_not_voc(world):
    assert (world / "context/SegmentationClass").is_dir(), "as VOC has"
    assert only(world / "context").source == "context"
    assert (world / "context/ImageSets/SegmentationContext/train.txt").read_text().count("2008_000008") == 2
    assert ids(find(world / "context")) == ["2008_000008", "2008_000009"]


def test_context_below_its_devkit_and_without_lists(tmp_path):
    layouts_more.write_context(tmp_path / "VOCdevkit/VOC2010")
    assert only(tmp_path).root == tmp_path / "VOCdevkit/VOC2010"
    shutil.rmtree(tmp_path / "VOCdevkit/VOC2010/ImageSets")
    assert only(tmp_path).missing == ("ImageSets/SegmentationContext/",)


def test_the_conversion_to_59_ids_has_an_id_that_60_have_not():
    assert 255 not in load_space("pascal-context").ids


# ---- NYU-Depth-v2


def test_nyu_lists_count_from_one(world):
    assert ids(find(world / "nyu")) == ["000002", "000003"]
    assert ids(find(world / "nyu", "test")) == ["000001"]
    assert 255 not in load_space("nyu-depth-v2").ids, "shifted labels are refused by their 255"


def test_nyu_may_have_jpegs_and_says_what_it_lacks(tmp_path):
    layouts_more.write_nyu(tmp_path)
    for path in (tmp_path / "image").iterdir():
        path.rename(path.with_suffix(".jpg"))
    assert find(tmp_path).pairs[0].image == "image/000002.jpg"
    (tmp_path / "test.txt").unlink()
    shutil.rmtree(tmp_path / "image")
    assert only(tmp_path).missing == ("image/", "test.txt")


def test_the_mat_file_alone_is_known_and_says_what_to_do(tmp_path):
    (tmp_path / "nyu_depth_v2_labeled.mat").touch()
    (missing,) = only(tmp_path).missing
    assert missing == ("image/ and label40/ (`unify prepare nyu` makes them from nyu_depth_v2_labeled.mat)")
