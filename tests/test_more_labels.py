"""Label images made once from what ships: panoptic images of WildDash, .mat files of NYU-Depth-v2."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unify.errors import UnifyError
from unify.sources import decode_label
from unify.sources.nyu_mat import class_table, extract
from unify.sources.panoptic import Segment, numbered, paint, panoptic_to_values
from unify.spaces import load_space

from . import layouts, layouts_more
from .pngs import saved
from .raw import find, only, release


def ids(listing) -> list[str]:
    return [pair.sample_id for pair in listing.pairs]


# ---- WildDash


def test_wilddash_v2p0_says_what_has_to_be_painted_first(tmp_path):
    layouts_more.write_wilddash(tmp_path, release="v2p0")
    found = only(tmp_path)
    assert (found.release, found.offers) == ("v2p0", ())
    assert found.missing == ("labels/ (public_02), or semantic/ (v2p0: `unify prepare wilddash` makes it)",)


def test_painted_labels_are_the_categories_of_the_segments(tmp_path):
    layouts_more.write_wilddash(tmp_path / "wd_public_v2p0", train=3, release="v2p0")
    root = tmp_path / "wd_public_v2p0"
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    calls: list[int] = []
    assert paint(root, progress=lambda: calls.append(1)) == (3, True) and len(calls) == 3
    assert all(p.read_bytes() == data for p, data in before.items()), "nothing that was there has changed"
    found = only(tmp_path)
    assert (found.root, found.offers) == (root, ("v2p0",))
    category_of = {
        a["file_name"]: {s["id"]: s["category_id"] for s in a["segments_info"]}
        for a in json.loads((root / "panoptic.json").read_text())["annotations"]
    }
    r = release("wilddash", "v2p0")
    pairs = r.find(root, "train").pairs
    assert len(pairs) == 3
    for pair in pairs:
        rgb = Image.open(root / "panoptic" / Path(pair.label).name)
        categories = {0: 0, **category_of[Path(pair.label).name]}
        naive = [
            [categories[sum(c << 8 * k for k, c in enumerate(rgb.getpixel((x, y))))] for x in range(rgb.width)]
            for y in range(rgb.height)
        ]
        assert decode_label(r, (root / pair.label).read_bytes()).tolist() == naive
        assert {i for row in naive for i in row} <= set(range(81))


def test_both_forms_in_one_folder(tmp_path):
    layouts_more.write_wilddash(tmp_path)
    (tmp_path / "semantic").mkdir()
    assert only(tmp_path).offers == ("v2p0", "public_02")


def panoptic_png(segment_hw) -> bytes:
    return saved(layouts_more.segment_rgb(np.asarray(segment_hw, np.uint32)))


@pytest.mark.parametrize(
    ("data", "categories", "message"),
    [
        (panoptic_png([[5, 70_000]]), {5: 7}, "unknown-id: 1 segments that panoptic.json does not list, such as 70000"),
        (panoptic_png([[5]]), {5: 81}, r"unknown-id: category ids that wilddash-v2p0 does not have: \[81\] — is this"),
        (saved(Image.new("L", (4, 4))), {}, "bad-label: is no RGB PNG of 8 bits — use the files of panoptic/"),
        (saved(Image.new("RGB", (4, 4)), "JPEG"), {}, "bad-label: is no RGB PNG of 8 bits"),
        (b"text", {}, "bad-label: "),
    ],
)
def test_what_is_no_panoptic_image(data, categories, message):
    with pytest.raises(UnifyError, match=message) as e:
        panoptic_to_values(data, {s: Segment(c) for s, c in categories.items()}, load_space("wilddash-v2p0"))
    assert e.value.exit_code == 65


def test_pixels_of_no_segment_are_unlabeled_and_high_ids_count_three_bytes():
    segment_hw = [[0, 255, 256], [65_535, 65_536, 16_777_215]]
    segments = numbered([(255, 1, False), (256, 2, True), *((s, 80, True) for s in (65_535, 65_536, 16_777_215))])
    values_hw = panoptic_to_values(panoptic_png(segment_hw), segments, load_space("wilddash-v2p0"))
    assert values_hw.dtype == np.uint16
    assert values_hw.tolist() == [[0, 800, 1601], [64_001, 64_002, 64_003]]


def test_numbers_of_segments():
    """From 1 in each category, in the order of the file; 0 for what is not told apart."""
    infos = [(9, 26, True), (5, 24, True), (7, 26, True), (3, 26, False), (2, 7, False), (1, 24, True), (9, 26, True)]
    assert numbered(infos) == {
        9: Segment(26, 1), 5: Segment(24, 1), 7: Segment(26, 2), 3: Segment(26), 2: Segment(7), 1: Segment(24, 2),
    }  # fmt: skip
    with pytest.raises(UnifyError, match=r"bad-label: segment 9 is of two categories in panoptic\.json, 26 and 27"):
        numbered([*infos, (9, 27, True)])
    many = [(i, 80, True) for i in range(1, 801)]
    assert max(s.category * 800 + s.number for s in numbered(many[:799]).values()) == 64_799
    with pytest.raises(UnifyError, match="bad-label: more than 799 segments of category 80 in one picture"):
        numbered(many)


def test_every_fault_of_painting_is_listed_and_the_rest_painted(tmp_path):
    layouts_more.write_wilddash(tmp_path, train=4, release="v2p0")
    (tmp_path / "panoptic/aa0001_100000.png").unlink()
    (tmp_path / "panoptic/aa0002_100000.png").write_bytes(b"")
    config = json.loads((tmp_path / "panoptic.json").read_text())
    config["annotations"][3]["file_name"] = "../aa0003_100000.png"
    layouts.write_json(tmp_path / "panoptic.json", config)
    with pytest.raises(UnifyError) as e:
        paint(tmp_path)
    assert [(p.kind, p.path) for p in e.value.problems] == [
        ("missing-label", "panoptic/aa0001_100000.png"),
        ("bad-label", "panoptic/aa0002_100000.png"),
        ("unsafe-path", "panoptic/../aa0003_100000.png"),
    ]
    for folder in ("semantic", "instance"):
        assert [p.name for p in (tmp_path / folder).iterdir()] == ["aa0000_100000.png"]


@pytest.mark.parametrize("content", ["[]", '{"annotations": 3}', "{", '{"annotations": [{"file_name": "a.png"}]}'])
def test_a_file_that_is_no_panoptic_json(tmp_path, content):
    (tmp_path / "panoptic.json").write_text(content)
    with pytest.raises(UnifyError, match=r"bad-config: .*panoptic.json: is not COCO's panoptic format") as e:
        paint(tmp_path)
    assert e.value.exit_code == 78
    with pytest.raises(UnifyError, match=r"not-found: .*cannot be read: No such file"):
        paint(tmp_path / "nowhere")


def test_the_894_labels_of_nyu():
    table = class_table()
    assert table.shape == (895,) and table.dtype == np.uint8
    assert table[0] == 0 and set(table.tolist()) == set(range(41))
    # the dataset's own names from 1 on: book, bottle, cabinet, ceiling, chair, cone, counter
    assert table[1:8].tolist() == [40, 40, 3, 22, 5, 40, 12]
    assert (table[11], table[19], table[21], table[28]) == (2, 7, 1, 8), "floor, table, wall, door"
    assert np.bincount(table)[40] > 600, "most are other props"


class FakeHdf5(dict):
    """What h5py gives: arrays by name, MATLAB's axes reversed; opening reads the arrays of the test."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def mat_files(monkeypatch, tmp_path):
    """(images (N, H, W, 3), labels (N, H, W)) that the packages for .mat files will find."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (3, 6, 8, 3), np.uint8), rng.integers(0, 895, (3, 6, 8)).astype(np.uint16)
    arrays = {"images": images.transpose(0, 3, 2, 1), "labels": labels.transpose(0, 2, 1)}
    splits = {"trainNdxs": np.array([[3], [1]], np.uint16), "testNdxs": np.array([[2]], np.uint16)}
    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=lambda path, mode: FakeHdf5(arrays)))
    monkeypatch.setitem(sys.modules, "scipy", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "scipy.io", SimpleNamespace(loadmat=lambda path: splits))
    (tmp_path / "a.mat").touch()
    (tmp_path / "s.mat").touch()
    return images, labels, arrays, splits


def test_extracted_folders_hold_what_the_mat_files_hold(tmp_path, mat_files):
    images, labels, *_ = mat_files
    assert extract(tmp_path / "a.mat", tmp_path / "s.mat", tmp_path / "nyu") == 3
    assert ids(find(tmp_path / "nyu")) == ["000001", "000003"] and ids(find(tmp_path / "nyu", "test")) == ["000002"]
    table = class_table()
    for i in range(3):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"nyu/image/{i + 1:06d}.png")), images[i])
        label = decode_label(release("nyu", "labeled"), (tmp_path / f"nyu/label40/{i + 1:06d}.png").read_bytes())
        assert label.tolist() == [[table[v] for v in row] for row in labels[i].tolist()]


def test_mat_files_that_do_not_fit(tmp_path, mat_files):
    _, _, arrays, splits = mat_files
    splits["testNdxs"] = np.array([[4]])
    with pytest.raises(UnifyError, match=r"bad-config: .*3 images, 3 labels and the numbers in s.mat do not fit"):
        extract(tmp_path / "a.mat", tmp_path / "s.mat", tmp_path / "nyu")
    del splits["testNdxs"]
    with pytest.raises(UnifyError, match=r"bad-config: .*s.mat: is not NYU-Depth-v2's splits.mat: 'testNdxs'"):
        extract(tmp_path / "a.mat", tmp_path / "s.mat", tmp_path / "nyu")
    splits["testNdxs"] = np.array([[2]])
    arrays["labels"] = arrays["labels"] + np.uint16(895)
    with pytest.raises(UnifyError, match=r"bad-label: labels\[0\]: label \d+ of at most 894"):
        extract(tmp_path / "a.mat", tmp_path / "s.mat", tmp_path / "nyu")
    del arrays["labels"]
    with pytest.raises(UnifyError, match=r"bad-config: .*a.mat: is not NYU-Depth-v2's labeled set: 'labels'"):
        extract(tmp_path / "a.mat", tmp_path / "s.mat", tmp_path / "nyu")


def test_mat_files_that_are_not_there(tmp_path, mat_files):
    with pytest.raises(UnifyError) as e:
        extract(tmp_path / "b.mat", tmp_path / "t.mat", tmp_path / "nyu")
    assert [str(p) for p in e.value.problems] == [
        f"not-found: {tmp_path}/{name}: no such file — download it" for name in ("b.mat", "t.mat")
    ]
    assert e.value.exit_code == 66


def test_without_the_packages_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnifyError) as e:
        extract(tmp_path / "a.mat", tmp_path / "s.mat", tmp_path)
    assert str(e.value) == "unify: usage: h5py is not installed — pip install 'unify[nyu]'"
    assert e.value.exit_code == 2
