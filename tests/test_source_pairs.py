"""Pairing by name, and what folders that others filled may hold: orphans, doubles, links, pipes, odd names."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from unify.errors import UnifyError
from unify.sources.files import first_file, read_small, subfolders, walk

from . import layouts
from .raw import find, told


def test_orphans_are_listed_both_ways_and_never_paired_by_position(tmp_path):
    layouts.write_cityscapes(tmp_path, train=3)
    (tmp_path / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").unlink()
    (tmp_path / "leftImg8bit/train/bochum/bochum_000001_000020_leftImg8bit.png").unlink()
    listing = find(tmp_path)
    assert [p.sample_id for p in listing.pairs] == ["zurich_000002_000021"]
    assert told(listing) == [
        ("missing-label", "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
         "has no label: there is no gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"),
        ("missing-image", "gtFine/train/bochum/bochum_000001_000020_gtFine_labelIds.png",
         "has no image: there is no leftImg8bit/train/bochum/bochum_000001_000020_leftImg8bit.png"),
    ]  # fmt: skip
    assert [p.exit_code for p in listing.problems] == [65, 65]
    assert listing.problems[0].fix == "add the label, or build with --keep-going to leave it out"


def test_a_whole_side_that_is_missing_is_one_problem(tmp_path):
    layouts.write_bdd100k(tmp_path, train=5)
    shutil.rmtree(tmp_path / "labels/sem_seg/masks/train")
    assert told(find(tmp_path)) == [
        ("missing-label", "labels/sem_seg/masks/train", "no such folder, but images/10k/train holds 5 files")
    ]
    layouts.write_bdd100k(tmp_path, train=5)
    shutil.rmtree(tmp_path / "images/10k/train")
    assert told(find(tmp_path)) == [
        ("missing-image", "images/10k/train", "no such folder, but labels/sem_seg/masks/train holds 5 files")
    ]


def test_train_ids_in_place_of_label_ids(tmp_path):
    layouts.write_cityscapes(tmp_path, train=1)
    (label,) = tmp_path.rglob("gtFine/train/*/*_labelIds.png")
    label.rename(label.with_name(label.name.replace("labelIds", "labelTrainIds")))
    (problem,) = find(tmp_path).problems
    assert problem.kind == "missing-label"
    assert problem.what.endswith(
        "aachen_000000_000019_gtFine_labelIds.png, only a labelTrainIds file, which has too few ids to map from: "
        "unpack gtFine_trainvaltest.zip again"
    )


def test_drawn_labels_in_place_of_polygons(tmp_path):
    layouts.write_idd(tmp_path, train=1)
    (label,) = tmp_path.rglob("gtFine/train/*/*_polygons.json")
    label.rename(label.with_name(label.name.replace("polygons.json", "labelLevel3Ids.png")))
    (problem,) = find(tmp_path).problems
    assert "only label images drawn from polygons, at one of several levels" in problem.what


def test_colour_maps_in_place_of_masks(tmp_path):
    layouts.write_bdd100k(tmp_path, train=1, release="seg")
    (label,) = tmp_path.rglob("seg/labels/train/*.png")
    label.rename(label.with_name(label.name.replace("_train_id", "_train_color")))
    (problem,) = find(tmp_path).problems
    assert "only a colour map, where several classes share a colour" in problem.what


def test_a_sample_in_two_formats_is_there_twice(tmp_path):
    layouts.write_idd(tmp_path, parts=("I",))
    image = tmp_path / "leftImg8bit/train/201/frame0029_leftImg8bit.png"
    shutil.copy(image, image.with_suffix(".jpg"))
    listing = find(tmp_path)
    assert [p.sample_id for p in listing.pairs] == ["I/201/frame0030"]
    folder = "leftImg8bit/train/201"
    assert told(listing) == [
        ("duplicate-sample", f"{folder}/frame0029_leftImg8bit.jpg",
         f"the sample '201/frame0029' is there 2 times: {folder}/frame0029_leftImg8bit.jpg, "
         f"{folder}/frame0029_leftImg8bit.png"),
    ]  # fmt: skip
    assert listing.problems[0].exit_code == 65


@pytest.mark.parametrize("kind", ["images/10k", "labels/sem_seg/masks"])
def test_names_that_differ_in_case_only_clash(tmp_path, kind):
    layouts.write_bdd100k(tmp_path)
    path = min((tmp_path / kind / "train").iterdir())
    shutil.copy(path, path.with_name(path.name.upper()))
    listing = find(tmp_path)
    assert [p.sample_id for p in listing.pairs] == ["0b2d5081-7c39d842"]
    (problem,) = listing.problems
    assert problem.kind == "duplicate-sample" and "is there 2 times" in problem.what
    assert problem.fix == "keep one of them; letter case makes no difference"


def test_the_same_sample_in_two_folders(tmp_path):
    layouts.write_cityscapes(tmp_path, train=2)
    for kind in ("leftImg8bit", "gtFine"):
        (tmp_path / kind / "train/again").symlink_to(tmp_path / kind / "train/aachen")
    listing = find(tmp_path)
    assert [p.sample_id for p in listing.pairs] == ["bochum_000001_000020"]
    assert [p.kind for p in listing.problems] == ["duplicate-sample"]
    assert "the sample 'aachen_000000_000019' is there 2 times" in listing.problems[0].what


def test_parts_of_idd_with_the_same_frame_twice(tmp_path):
    layouts.write_idd(tmp_path / "root", parts=("I",), train=1)
    shutil.copytree(tmp_path / "root", tmp_path / "both/IDD_Segmentation")
    shutil.copytree(tmp_path / "root", tmp_path / "both/idd20kII")
    listing = find(tmp_path / "both")
    assert listing.pairs == ()
    assert "the sample 'I/201/frame0029' is there 2 times" in listing.problems[0].what


# ---- links, devices, permissions, names


def test_a_link_out_of_the_root_is_refused_and_followed_on_demand(tmp_path):
    layouts.write_cityscapes(tmp_path / "root", train=3)
    city = tmp_path / "root/leftImg8bit/train/aachen"
    shutil.move(city, tmp_path / "elsewhere")
    city.symlink_to(tmp_path / "elsewhere")
    label = tmp_path / "root/gtFine/train/bochum/bochum_000001_000020_gtFine_labelIds.png"
    shutil.move(label, tmp_path / "label.png")
    label.symlink_to("../../../../label.png")
    listing = find(tmp_path / "root")
    assert told(listing) == [
        ("unsafe-path", "leftImg8bit/train/aachen", f"is a link to {tmp_path}/elsewhere, out of the root"),
        ("unsafe-path", "gtFine/train/bochum/bochum_000001_000020_gtFine_labelIds.png",
         f"is a link to {tmp_path}/label.png, out of the root"),
    ]  # fmt: skip
    assert listing.problems[0].exit_code == 77
    assert listing.problems[0].fix == "allow that with --follow-links, or copy it"
    assert len(listing.pairs) == 1
    followed = find(tmp_path / "root", follow_links=True)
    assert followed.problems == () and len(followed.pairs) == 3


@pytest.mark.parametrize("at", ["gtFine", "gtFine/train"])
def test_a_linked_side_is_refused_once(tmp_path, at):
    layouts.write_cityscapes(tmp_path / "root", train=3)
    shutil.move(tmp_path / "root" / at, tmp_path / "elsewhere")
    (tmp_path / "root" / at).symlink_to(tmp_path / "elsewhere")
    assert [(kind, path) for kind, path, _ in told(find(tmp_path / "root"))] == [("unsafe-path", "gtFine/train")]
    assert len(find(tmp_path / "root", follow_links=True).pairs) == 3


def test_links_inside_the_root_and_a_linked_root_are_fine(tmp_path):
    layouts.write_cityscapes(tmp_path / "root", train=2)
    shutil.move(tmp_path / "root/gtFine", tmp_path / "root/labels")
    (tmp_path / "root/gtFine").symlink_to("labels")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    listing = find(tmp_path / "link")
    assert listing.problems == () and len(listing.pairs) == 2


def test_a_neighbour_whose_name_begins_alike_is_outside(tmp_path):
    layouts.write_cityscapes(tmp_path / "root", train=1)
    shutil.move(tmp_path / "root/gtFine", tmp_path / "root-old")
    (tmp_path / "root/gtFine").symlink_to(tmp_path / "root-old")
    assert [p.kind for p in find(tmp_path / "root").problems] == ["unsafe-path"]


def test_loops_and_dead_links_end(tmp_path):
    layouts.write_cityscapes(tmp_path, train=1)
    train = tmp_path / "leftImg8bit/train"
    (train / "loop").symlink_to(train)
    (train / "self").symlink_to("self")
    (train / "aachen/dead_leftImg8bit.png").symlink_to("nowhere.png")
    listing = find(tmp_path, follow_links=True)
    assert len(listing.pairs) == 1
    assert [(kind, path.rpartition("/")[2]) for kind, path, _ in told(listing)] == [
        ("not-found", "dead_leftImg8bit.png"),
        ("not-found", "self"),
    ]
    assert listing.problems[0].what == "is a link that leads nowhere: No such file or directory"


def test_pipes_are_named_and_never_opened(tmp_path):
    layouts.write_bdd100k(tmp_path, train=2)
    image = min((tmp_path / "images/10k/train").iterdir())
    image.unlink()
    os.mkfifo(image)
    listing = find(tmp_path)
    assert told(listing) == [("unsafe-path", f"images/10k/train/{image.name}", "is neither a file nor a folder")], (
        "and its label is no orphan"
    )
    assert len(listing.pairs) == 1


def test_a_folder_that_may_not_be_listed_is_no_empty_split(tmp_path, monkeypatch):
    layouts.write_cityscapes(tmp_path, train=3)
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "bochum" and "gtFine" in str(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = find(tmp_path)
    assert told(listing) == [("no-permission", "gtFine/train/bochum", "cannot be listed: Permission denied")]
    assert listing.problems[0].exit_code == 77
    assert len(listing.pairs) == 2


def test_a_side_that_may_not_be_listed_is_no_missing_side(tmp_path, monkeypatch):
    layouts.write_camvid(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "trainannot":
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = find(tmp_path)
    assert told(listing) == [("io", "trainannot", "cannot be listed: Input/output error")]


def test_names_that_are_no_text_and_hidden_files(tmp_path):
    layouts.write_camvid(tmp_path)
    shutil.copy(tmp_path / "train/0001TP_006690.png", os.fsencode(tmp_path / "train") + b"/\xff.png")
    for folder in ("train", "trainannot"):
        (tmp_path / folder / "._0001TP_006690.png").touch()  # what macOS leaves on foreign disks
        (tmp_path / folder / ".DS_Store").touch()
        (tmp_path / folder / "Thumbs.db").touch()
    listing = find(tmp_path)
    assert [(p.kind, p.what) for p in listing.problems] == [("unsafe-path", "its name is not UTF-8 text")]
    assert "\\udcff" in str(listing.problems[0]) and len(listing.pairs) == 2


def test_the_order_of_a_listing_does_not_matter(tmp_path, monkeypatch):
    layouts.write_cityscapes(tmp_path, train=6)
    for path in list(tmp_path.rglob("*_labelIds.png"))[:3]:
        path.unlink()
    expected = find(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert find(tmp_path) == expected


def test_walk_takes_one_level_only(tmp_path):
    for name in ("a.png", "x/b.png", "x/y/c.png"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).touch()
    assert walk(tmp_path, "top", [".png"]).files == ("a.png",)
    assert walk(tmp_path, "top", [".png"], levels=2).files == ("x/b.png",)
    assert walk(tmp_path, "top", [".png"], levels=3).files == ("x/y/c.png",)
    assert not walk(tmp_path, "top/a.png", [".png"]).exists
    assert first_file(tmp_path / "top", 2) == "b.png"
    assert first_file(tmp_path / "top", 4) == "" == first_file(tmp_path / "none", 1)
    assert subfolders(tmp_path / "top") == ["x"] and subfolders(tmp_path / "none") == []


def test_read_small_waits_for_no_pipe_and_reads_no_flood(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnifyError, match=r"unsafe-path: .*pipe: is not a regular file"):
        read_small(tmp_path / "pipe", 10)
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(UnifyError, match=r"bad-config: .*file: is larger than 10 bytes"):
        read_small(tmp_path / "file", 10)
    assert len(read_small(tmp_path / "file", 11)) == 11


def test_twenty_thousand_files_are_listed_in_well_under_a_second(tmp_path):
    layouts.write_mapillary(tmp_path, train=1, layout="v1.x")
    for i in range(20_000):
        (tmp_path / f"training/images/-{i:021d}.jpg").touch()
        (tmp_path / f"training/labels/-{i:021d}.png").touch()
    start = time.perf_counter()
    listing = find(tmp_path)
    assert time.perf_counter() - start < 1.5  # some 0.25 s on an idle core
    assert len(listing.pairs) == 20_001 and not listing.problems


# ---- CamVid's original


@pytest.fixture
def original(tmp_path):
    layouts.write_camvid(tmp_path, train=3, val=1, release="original")
    return tmp_path


def test_the_original_camvid_needs_lists(original):
    assert told(find(original)) == [
        ("empty-split", "train.txt", "the original CamVid has no splits of its own, and no list of this one is there")
    ]


@pytest.mark.parametrize(
    "line", ["{}", "{}.png", "/SegNet/CamVid/train/{}.png /SegNet/CamVid/trainannot/{}.png", "  {}_L.png\r"]
)
def test_lists_of_any_usual_form(original, line):
    names = ["0001TP_006750", "0001TP_006690"]
    (original / "train.txt").write_text("\n".join(line.format(n, n) for n in names) + "\n\n")
    listing = find(original)
    assert listing.problems == ()
    assert [p.sample_id for p in listing.pairs] == sorted(names)
    assert listing.pairs[0].label == "LabeledApproved_full/0001TP_006690_L.png"


def test_listed_frames_that_are_not_there(original):
    (original / "train.txt").write_text("0001TP_006690\n0001TP_006690\nnowhere\n0001TP_006720\n0001TP_006750\n")
    (original / "LabeledApproved_full/0001TP_006720_L.png").unlink()
    (original / "701_StillsRaw_full/0001TP_006750.png").unlink()
    (original / "701_StillsRaw_full/0016E5_006690.png").unlink()  # of another split
    listing = find(original)
    assert [p.sample_id for p in listing.pairs] == ["0001TP_006690"]
    assert told(listing) == [
        ("missing-label", "701_StillsRaw_full/0001TP_006720.png",
         "has no label: there is no LabeledApproved_full/0001TP_006720_L.png"),
        ("missing-image", "LabeledApproved_full/0001TP_006750_L.png",
         "has no image: there is no 701_StillsRaw_full/0001TP_006750.png"),
        ("duplicate-sample", "train.txt", "lists '0001TP_006690' 2 times"),
        ("missing-image", "train.txt", "lists 'nowhere', but there is no 701_StillsRaw_full/nowhere.png"),
    ]  # fmt: skip


def test_lists_that_cannot_be_read(original):
    (original / "train.txt").write_bytes(b"\xff\xfe")
    assert find(original).problems[0].kind == "bad-config"
    (original / "train.txt").unlink()
    os.mkfifo(original / "train.txt")
    assert told(find(original)) == [("unsafe-path", "train.txt", "is not a regular file")]


def test_the_original_camvid_without_one_of_its_folders(original):
    (original / "train.txt").write_text("0001TP_006690\n")
    shutil.rmtree(original / "LabeledApproved_full")
    assert [(k, p) for k, p, _ in told(find(original))] == [("missing-label", "LabeledApproved_full")]
