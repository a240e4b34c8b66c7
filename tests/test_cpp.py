"""Pooled labels against counting cell by cell: the loop, columns and what is made of them, commands, the picture."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unify import cpp
from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion
from unify.erase import Options, erasure
from unify.errors import UnifyError
from unify.report.draw import SET
from unify.report.pooled import Region, blended, lost, pooled_sheet, regions, ringed, sample_of
from unify.verify import verify

from .worlds import plan_of, small_world, tree_bytes

SAME = np.arange(256, dtype=np.uint8)


def naive(label_hw: np.ndarray, codes: int, scale: int) -> np.ndarray:
    """(K, h, w): pixels of each code, slice by slice."""
    height, width = label_hw.shape
    found = np.zeros((codes, -(-height // scale), -(-width // scale)), np.int64)
    for k in range(codes):
        for y in range(found.shape[1]):
            for x in range(found.shape[2]):
                cell = label_hw[y * scale : (y + 1) * scale, x * scale : (x + 1) * scale]
                found[k, y, x] = np.count_nonzero(cell == k)
    return found


def channels(codes: int) -> np.ndarray:
    channel_of = np.full(256, -2, np.int16)
    channel_of[:codes] = range(codes)
    channel_of[255] = -1
    return channel_of


# --- The loop -----------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 200),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_counts_of_any_label(height, width, scale, levels, patch, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), (2, -(-height // patch), -(-width // patch)))
    labels_bhw = np.ascontiguousarray(np.kron(coarse, np.ones((1, patch, patch), np.uint8))[:, :height, :width])
    found = cpp.count_cells(labels_bhw, channels(4), 4, scale, levels=levels, with_rest=True)
    for i, counts in enumerate(found):
        side = scale << i
        for b in range(2):
            expected = naive(labels_bhw[b], 4, side)
            assert np.array_equal(counts[b, :4], expected)
            assert np.array_equal(counts[b, 4], side * side - expected.sum(0))


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 16, 32, 64, 128, 512])
def test_counts_of_noise(scale):
    """Where most pixels are runs of their own, labels are looked for one by one, and summed in bytes."""
    rng = np.random.default_rng(scale)
    codes = rng.permutation(200)[:37].astype(np.uint8)  # any labels, in any order of channels
    channel_of = np.full(256, -2, np.int16)
    channel_of[codes] = range(37)
    channel_of[[250, 255]] = -1
    labels_bhw = rng.choice(np.array([*codes, 250, 255], np.uint8), (2, 600, 200))
    labels_bhw[0, :, :63] = codes[np.arange(63) % 2]  # more rows of one label than a byte counts
    labels_bhw[1, 300:, 64:] = 255
    expected = np.zeros((2, 37, -(-600 // scale), -(-200 // scale)), np.int64)
    b, y, x = np.nonzero(channel_of[labels_bhw] >= 0)
    np.add.at(expected, (b, channel_of[labels_bhw[b, y, x]], y // scale, x // scale), 1)
    found = cpp.count_cells(labels_bhw, channel_of, 37, scale, levels=2, with_rest=True)
    assert np.array_equal(found[0][:, :37], expected)
    assert np.array_equal(found[0][:, 37], scale * scale - expected.sum(1))
    shares = cpp.count_cells(labels_bhw, channel_of, 37, scale, as_shares=True)[0]
    assert np.array_equal(shares, expected.astype(np.float32) / np.float32(scale * scale))
    larger = np.zeros((2, 37, *found[1].shape[2:]), np.int64)
    np.add.at(larger, (b, channel_of[labels_bhw[b, y, x]], y // (2 * scale), x // (2 * scale)), 1)
    assert np.array_equal(found[1][:, :37], larger)


NEXT_TO_A_WALL = """
import ctypes, mmap
import numpy as np
from unify import cpp

memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
page = np.frombuffer(memory, np.uint8, mmap.PAGESIZE)
lookup = np.zeros(256, np.int16)
for width in (1, 63, 64, 65, 127, 128, 129, 200):
    for height in (1, 2, 5, 16):
        labels = page[mmap.PAGESIZE - width * height :].reshape(1, height, width)
        for stripes in (0, 1):
            labels[:] = stripes * np.arange(width * height).reshape(height, width) % 7
            assert cpp.count_cells(labels, lookup, 1, 4)[0].sum() == width * height
print("whole")
"""


def test_nothing_is_read_behind_the_labels():
    """Labels that end where memory that may not be read begins."""
    done = subprocess.run([sys.executable, "-c", NEXT_TO_A_WALL], capture_output=True, text=True)
    assert done.stdout == "whole\n", (done.returncode, done.stderr)


def test_labels_may_be_views_and_read_only():
    labels_bhw = np.random.default_rng(0).integers(0, 4, (2, 30, 40), np.uint8)[:, ::-1, 5:]
    labels_bhw.flags.writeable = False
    for b, counts in enumerate(cpp.count_cells(labels_bhw, channels(4), 4, 4)[0]):
        assert np.array_equal(counts, naive(labels_bhw[b], 4, 4))


def test_labels_that_must_not_occur_are_named():
    labels_bhw = np.zeros((1, 9, 90), np.uint8)
    labels_bhw[0, 8, 89] = 4
    with pytest.raises(UnifyError, match=r"unknown-id: label 4 where labels are 0\.\.3"):
        cpp.count_cells(labels_bhw, channels(4), 4, 8)


@pytest.mark.parametrize("x", [0, 63, 64, 127])
def test_of_noise_too(x):
    labels_bhw = np.random.default_rng(0).choice(np.array([0, 1, 2, 3, 255], np.uint8), (1, 9, 128))
    assert len(cpp.count_cells(labels_bhw, channels(4), 4, 8)) == 1
    labels_bhw[0, 5, x] = 4
    with pytest.raises(UnifyError, match="unknown-id: label 4"):
        cpp.count_cells(labels_bhw, channels(4), 4, 8)


def test_scales_are_read():
    assert cpp.parse_scales("8, 4,8") == (4, 8)
    for text in ("", "3", "4;8", "4,", "64"):
        with pytest.raises(UnifyError, match="usage: --cpp: there is no scale"):
            cpp.parse_scales(text)


# --- Columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", cpp.SCALES)
def test_a_column_is_read_without_unify(scale):
    """As the module's docstring says."""
    rng = np.random.default_rng(scale)
    label_hw = np.kron(rng.choice(np.array([2, 5, 7, 255], np.uint8), (9, 12)), np.ones((8, 8), np.uint8))[:69, :90]
    label_hw[:32, :32] = 5  # a whole cell: at 1/16 more than a byte holds
    pixel_count = [*np.bincount(label_hw[label_hw < 255], minlength=9).tolist(), int((label_hw == 255).sum())]
    row = {"pixel_count": pixel_count, "height": 69, "width": 90}
    (name, png), *_ = cpp.stacked(label_hw, SAME, pixel_count, [scale]).items()
    counts = np.asarray(Image.open(io.BytesIO(png)))
    present = np.flatnonzero(row["pixel_count"][:-1])
    shares = counts.reshape(len(present), -1, counts.shape[1]) / scale**2
    assert present.tolist() == [2, 5, 7]
    expected = naive(label_hw, 9, scale) / scale**2
    assert np.array_equal(shares, expected[present])
    for cell in (png, {"bytes": png, "path": None}, Image.open(io.BytesIO(png)), memoryview(png)):
        found = cpp.shares({**row, name: cell}, scale)
        assert found.dtype == np.float32 and np.array_equal(found, expected.astype(np.float32))


def test_all_void_has_no_picture():
    label_hw = np.full((9, 12), 255, np.uint8)
    assert cpp.stacked(label_hw, SAME, [0, 0, 108], [4]) == {"cpp_4": None}
    found = cpp.shares({"pixel_count": [0, 0, 108], "height": 9, "width": 12, "cpp_4": None}, 4)
    assert found.shape == (2, 3, 3) and not found.any()


def test_a_wrong_column_is_told_of():
    row = {"pixel_count": [3, 0, 105], "height": 9, "width": 12, "sample_id": "a/b/c"}
    with pytest.raises(UnifyError, match=r"no column cpp_8.*--cpp 8"):
        cpp.shares(row, 8)
    label_hw = np.zeros((4, 12), np.uint8)
    png = cpp.stacked(label_hw, SAME, [48, 0, 0], [4])["cpp_4"]
    for cell in (png, None):
        with pytest.raises(UnifyError, match=r"bad-artifact: a/b/c: cpp_4 has .* where 1 maps of 3x3 are due"):
            cpp.shares({**row, "cpp_4": cell}, 4)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIBM")


OPTIONS = ["cpp-4", "cpp-16", "native", "centroids"]


@pytest.fixture(scope="module")
def version(roots, tmp_path_factory):
    return build(plan_of(roots, "C,I,B,M", options=OPTIONS), tmp_path_factory.mktemp("out")).artifact


def rows(artifact) -> list[dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()


def check(artifact, scales=(4, 16)) -> None:
    for row in rows(artifact):
        label_hw = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"])))
        for scale in scales:
            found = cpp.shares(row, scale)
            assert np.array_equal(found * scale**2, naive(label_hw, len(row["pixel_count"]) - 1, scale))


def test_of_every_image_of_a_version(version):
    check(version)
    assert verify(version).ok
    assert {"cpp_4", "cpp_16"} <= set(version.manifest.columns)
    assert "`cpp_4`" in version.read("README.md").decode()


def test_sets_have_maps_too():
    label_hw = np.array([[0, 0, 3], [3, 1, 255]], np.uint8)  # 3: a set behind three classes
    png = cpp.stacked(label_hw, SAME, [2, 1, 0, 2, 1], [2])
    found = cpp.shares({"pixel_count": [2, 1, 0, 2, 1], "height": 2, "width": 3, **png}, 2)
    assert np.array_equal(found * 4, naive(label_hw, 4, 2))


@pytest.mark.parametrize("order", [1, -1])
def test_same_bytes_for_any_shards_and_order(roots, version, tmp_path, order):
    plan = plan_of(roots, "C,I,B,M", options=OPTIONS[::order])
    again = build(plan, tmp_path).artifact
    assert again.digest == version.digest and tree_bytes(again.path) == tree_bytes(version.path)


def test_two_workers_write_the_same(roots, version, tmp_path):
    from unify.engine import processes

    again = build(plan_of(roots, "C,I,B,M", options=OPTIONS), tmp_path, engine=processes(2)).artifact
    assert tree_bytes(again.path) == tree_bytes(version.path)


def test_converted_are_those_of_building_directly(roots, version, tmp_path):
    child = commit(conversion(version, "cityscapes19"), tmp_path / "a").artifact
    check(child)
    direct = build(plan_of(roots, "C,I,B,M", "cityscapes19", options=OPTIONS), tmp_path / "b").artifact
    other = ("README.md", "manifest.json")
    one, two = ({n: d for n, d in tree_bytes(a.path).items() if n not in other} for a in (child, direct))
    assert one == two


@pytest.mark.parametrize("labels", ["keep", "void"])
def test_erased_sets_have_those_of_their_labels(version, tmp_path, labels):
    name = max((s for s in version.stats().to_pylist() if s["class"] != "void"), key=lambda s: s["images"])["class"]
    child = commit(erasure(version, [name], Options(labels=labels)).job, tmp_path).artifact
    check(child)
    k = version.taxonomy.space.index(name)
    left = sum(float(cpp.shares(row, 4)[k].sum()) for row in rows(child))
    assert (left == 0) == (labels == "void")


def test_a_column_more_is_a_minor_version(roots, tmp_path):
    assert build(plan_of(roots, "C", options=["cpp-4"]), tmp_path).artifact.manifest.version == "1.0.0"
    wider = build(plan_of(roots, "C", options=["cpp-4", "cpp-8"]), tmp_path).artifact
    assert wider.manifest.version == "1.1.0"
    assert not build(plan_of(roots, "C", options=["cpp-8", "cpp-4"]), tmp_path).fresh
    assert build(plan_of(roots, "C"), tmp_path).artifact.manifest.version == "2.0.0"


def test_columns_without_the_option_stay_as_they_are(roots, version, tmp_path):
    plain = build(plan_of(roots, "C,I,B,M", options=["native"]), tmp_path).artifact
    assert not [name for name in plain.manifest.columns if name.startswith("cpp")]
    after = {row["sample_id"]: row for row in rows(version)}
    for row in rows(plain):
        assert row == {name: after[row["sample_id"]][name] for name in row}


def test_datasets_reads_the_column(version):
    datasets = pytest.importorskip("datasets")
    data = datasets.load_dataset(str(version.path), split="train")
    row = data[0]
    assert isinstance(row["cpp_4"], Image.Image)
    label_hw = np.asarray(row["label"])
    assert np.array_equal(cpp.shares(row, 4) * 16, naive(label_hw, len(row["pixel_count"]) - 1, 4))
    assert np.array_equal(cpp.shares(row, 16) * 256, naive(label_hw, len(row["pixel_count"]) - 1, 16))


# --- Commands -----------------------------------------------------------------------------------------------


def test_build_takes_scales(roots, tmp_path, capsys):
    arguments = ["build", "--datasets", "C", "--root", str(roots), "--out", str(tmp_path), "--space", "cityscapes19"]
    assert run([*arguments, "--cpp", "4,8", "--json"]) == 0
    path = json.loads(capsys.readouterr().out)["path"]
    assert run(["view", "cpp", path, "--scales", "4,16", "-o", str(tmp_path / "a.png"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["regions"] >= facts["lost"]["16"]
    assert set(facts["lost"]) == {"4", "16"} and facts["lost"]["4"] <= facts["lost"]["16"]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000
    assert run(["view", "cpp", path, "--sample", facts["sample_id"], "-o", str(tmp_path / "b.jpg")]) == 0
    assert "nearest loses" in capsys.readouterr().out
    assert run([*arguments, "--cpp", "5"]) == 2
    assert "unify: usage: --cpp: there is no scale '5' — known: 2, 4, 8, 16, 32" in capsys.readouterr().err
    assert run(["view", "cpp", path, "--sample", "cityscapes/train/nix", "-o", str(tmp_path / "c.png")]) == 2
    assert "there is no sample 'cityscapes/train/nix'" in capsys.readouterr().err


# --- The picture --------------------------------------------------------------------------------------------


def test_what_is_lost():
    label_hw = np.zeros((16, 16), np.uint8)
    label_hw[3:13, 5] = 1  # a pole between the pixels that are taken at 4 and 8
    label_hw[8, 8] = 2  # a speck that lies on one
    label_hw[1, 1] = 255
    found, index_hw = regions(label_hw, 3)
    assert sorted(found, key=lambda each: each.class_id) == [
        Region(0, 244, 0, 0, 16, 16), Region(1, 10, 3, 5, 13, 6), Region(2, 1, 8, 8, 9, 9)
    ]  # fmt: skip
    for scale, classes in ((1, []), (2, [1]), (4, [1]), (8, [1]), (16, [1, 2])):
        assert [each.class_id for each in lost(found, index_hw, scale)] == classes
        for each in found:
            nearest = label_hw[::scale, ::scale]
            assert (each in lost(found, index_hw, scale)) == (each.class_id not in nearest)


def test_regions_are_those_of_a_flood_fill():
    rng = np.random.default_rng(0)
    label_hw = rng.integers(0, 4, (24, 30)).astype(np.uint8)
    label_hw[label_hw == 3] = 255
    found, index_hw = regions(label_hw, 3)
    seeds = label_hw.astype(np.int32).copy()
    count = 0
    for y, x in np.ndindex(*label_hw.shape):
        if 0 <= seeds[y, x] < 3:
            region = index_hw == index_hw[y, x]
            assert found[index_hw[y, x]].pixels == region.sum()
            cv2.floodFill(seeds, None, (x, y), 1000 + count, flags=8)
            assert np.array_equal(region, seeds == 1000 + count)
            count += 1
    assert count == len(found) and ((index_hw < 0) == (label_hw == 255)).all()


def test_rings_are_around_the_largest_and_keep_clear_of_each_other():
    def at(left: int, width: int, pixels: int) -> Region:
        return Region(0, pixels, 0, left, 4, left + width)

    one, two, hidden, far, beside = at(0, 10, 30), at(20, 5, 20), at(8, 6, 19), at(40, 2, 5), at(10, 3, 12)
    assert ringed([far, hidden, two, beside, one]) == [one, two, far], "boxes that touch are as bad"
    assert ringed([far, hidden, two, one], most=2) == [one, two]
    assert ringed([]) == []


def test_colours_are_weighed_by_shares(version):
    space = version.taxonomy.space
    label_hw = np.zeros((4, 6), np.uint8)
    label_hw[:2, :2], label_hw[2:, 4:] = 1, 255
    found, void_hw = blended(label_hw, space, 4)
    palette = space.palette().astype(float)
    expected = [(12 * palette[0] + 4 * palette[1]) / 16, 4 * palette[0] / 16]  # half of the second cell is beyond
    assert found.shape == (1, 2, 3) and np.abs(found[0] - expected).max() <= 0.5
    assert void_hw.tolist() == [[0, 12 / 16]], "what is beyond the image counts as void"
    several, _ = blended(np.full((4, 4), len(space), np.uint8), space, 4)
    assert tuple(several[0, 0]) == SET


def test_picture_of_the_richest_sample(version):
    sample = sample_of(version, None)
    assert np.array_equal(sample_of(version, sample.sample_id).label_hw, sample.label_hw)
    sheet = pooled_sheet(version, sample, (4, 8))
    larger = pooled_sheet(version, sample, (4, 8, 16))
    assert sheet.width == larger.width and sheet.height < larger.height
