"""Centroids against the mean of coordinates, tile by tile; their column in versions, and in what is made of them."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unify import centroids as module
from unify.build import build
from unify.centroids import TILE_PX, add_positions, centroids
from unify.commit import commit
from unify.convert import conversion
from unify.erase import Options, erasure
from unify.verify import verify

from .worlds import plan_of, small_world, tree_bytes

SAME = np.arange(256, dtype=np.uint8)


def naive(label_hw: np.ndarray, num_classes: int, tile_px: int = TILE_PX) -> list[tuple[int, int, int]]:
    """(class, y, x) by the coordinates of all pixels of a tile."""
    found = []
    for top in range(0, label_hw.shape[0], tile_px):
        for left in range(0, label_hw.shape[1], tile_px):
            tile = label_hw[top : top + tile_px, left : left + tile_px]
            for k in range(num_classes):
                ys, xs = np.nonzero(tile == k)
                if len(ys):
                    found.append((k, int(np.floor(ys.mean() + 0.5)) + top, int(np.floor(xs.mean() + 0.5)) + left))
    return found


def triples(found) -> list[tuple[int, int, int]]:
    return list(zip(found.classes, found.y, found.x, strict=True))


def test_by_hand():
    label_hw = np.array([[0, 0, 1], [2, 255, 1], [2, 3, 3]], np.uint8)  # 3 is a set here
    # Class 0 lies at x = 0 and 1: 0.5 is rounded up. A single pixel is enough.
    assert triples(centroids(label_hw, SAME, 3)) == [(0, 0, 1), (1, 1, 2), (2, 2, 0)]
    assert triples(centroids(label_hw[:1, 2:], SAME, 3)) == [(1, 0, 0)]
    assert centroids(np.full((4, 4), 255, np.uint8), SAME, 3).columns() == dict.fromkeys(module.COLUMNS, ())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 23), st.integers(1, 23), st.integers(0, 1 << 32), st.sampled_from([3, 8, 64]))
def test_tiles_of_any_image(height, width, seed, tile_px):
    """The loop itself with small tiles: the compiled one has its constant in it."""
    rng = np.random.default_rng(seed)
    label_hw = rng.choice(np.array([0, 0, 0, 1, 5, 6, 255], np.uint8), (height, width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_PX", tile_px)
        patch.setattr(module, "_compiled", lambda: add_positions)
        assert triples(centroids(label_hw, SAME, 6)) == naive(label_hw, 6, tile_px)


@pytest.mark.parametrize("size", [(1, 1), (1024, 1024), (1025, 2050), (700, 3000), (2300, 5)])
def test_tiles_of_large_images(size):
    rng = np.random.default_rng(1)
    coarse = rng.choice(np.array([0, 1, 2, 7, 255], np.uint8), (-(-size[0] // 16), -(-size[1] // 16)))
    label_hw = np.kron(coarse, np.ones((16, 16), np.uint8))[: size[0], : size[1]]
    found = triples(centroids(label_hw, SAME, 7))
    assert found == naive(label_hw, 7)
    assert triples(centroids(label_hw[::-1, ::-1], SAME, 7)) == naive(label_hw[::-1, ::-1], 7), "not contiguous"


def test_ids_of_one_class_are_taken_together():
    label_hw = np.array([[4, 4, 9, 9, 9, 9]], np.uint8)
    table = np.full(256, 255, np.uint8)
    table[[4, 9]] = 2
    assert triples(centroids(label_hw, table, 3)) == [(2, 0, 3)], "2.5, rounded up"


# --- In a version -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIBM")


@pytest.fixture(scope="module")
def version(roots, tmp_path_factory):
    plan = plan_of(roots, "C,I,B,M", options=["centroids", "native"])
    return build(plan, tmp_path_factory.mktemp("out")).artifact


def rows(artifact) -> dict[str, dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return {row["sample_id"]: row for row in ds.dataset(files, format="parquet").to_table().to_pylist()}


def column(row: dict) -> list[tuple[int, int, int]]:
    return list(zip(*(row[name] for name in module.COLUMNS), strict=True))


def check(artifact) -> None:
    num_classes = len(artifact.taxonomy.space)
    for sample_id, row in rows(artifact).items():
        label_hw = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"])))
        assert column(row) == naive(label_hw, num_classes), sample_id
        assert sorted(set(row["centroid_class"])) == row["classes"]


def test_of_every_image_of_a_version(version):
    check(version)
    assert verify(version).ok


def test_converted_are_those_of_building_directly(roots, version, tmp_path):
    child = commit(conversion(version, "cityscapes19"), tmp_path / "a").artifact
    check(child)
    plan = plan_of(roots, "C,I,B,M", "cityscapes19", options=["centroids", "native"])
    direct = build(plan, tmp_path / "b").artifact
    other = ("README.md", "manifest.json")
    one, two = ({n: d for n, d in tree_bytes(a.path).items() if n not in other} for a in (child, direct))
    assert one == two


@pytest.mark.parametrize("labels", ["keep", "void"])
def test_erased_sets_have_those_of_their_labels(version, tmp_path, labels):
    name = max((s for s in version.stats().to_pylist() if s["class"] != "void"), key=lambda s: s["images"])["class"]
    child = commit(erasure(version, [name], Options(labels=labels)).job, tmp_path).artifact
    check(child)
    before, after = (sum(len(column(row)) for row in rows(a).values()) for a in (version, child))
    assert (after == before) == (labels == "keep")


def test_columns_without_the_option_stay_as_they_are(roots, version, tmp_path):
    plain = build(plan_of(roots, "C,I,B,M", options=["native"]), tmp_path).artifact
    assert not set(module.COLUMNS) & set(plain.manifest.columns)
    after = rows(version)
    for sample_id, row in rows(plain).items():
        assert row == {name: after[sample_id][name] for name in row}
