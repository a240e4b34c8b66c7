"""`unify.stats` against plain loops over images and pixels, the printed table of a paper, and real CamVid."""

from __future__ import annotations

import dataclasses
import io
import math
import shutil
import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unify import codecs, stats
from unify.artifact import open_artifact
from unify.build import build
from unify.errors import UnifyError
from unify.stats import Counts, Group, adjacency, count

from .raw import CAMVID
from .worlds import plan_of, small_world

# --- Counting ---------------------------------------------------------------------------------------------


@st.composite
def sources(draw):
    """For each of some sources: (N, K + S + 1) pixels of N images, and which of the K classes it annotates."""
    num_classes, num_apart = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        annotated = np.array(draw(st.lists(st.booleans(), min_size=num_classes, max_size=num_classes)), np.bool_)
        row = st.lists(st.sampled_from([0, 0, 1, 7, 10**11]), min_size=num_classes, max_size=num_classes)
        rows = draw(st.lists(row, max_size=4))
        apart = [draw(st.lists(st.integers(0, 3), min_size=num_apart, max_size=num_apart)) for _ in rows]
        classes = np.array(rows, np.int64).reshape(len(rows), num_classes) * annotated
        found.append((np.hstack([classes, np.array(apart, np.int64).reshape(len(rows), num_apart)]), annotated))
    return found


def counted(per_source) -> Counts:
    first, *others = (count(pixels, annotated) for pixels, annotated in per_source)
    for more in others:
        first = first + more
    return first


@given(sources())
def test_counts_are_those_of_loops_and_add_up(per_source):
    counts = counted(per_source)
    num_codes, num_classes = per_source[0][0].shape[1], len(per_source[0][1])
    images = [(row.tolist(), annotated) for pixels, annotated in per_source for row in pixels]
    classes = range(num_classes)
    assert counts.num_images == len(images)
    assert counts.num_classes == num_classes
    assert counts.pixels.tolist() == [sum(row[i] for row, _ in images) for i in range(num_codes)]
    assert counts.images.tolist() == [sum(row[i] > 0 for row, _ in images) for i in range(num_codes)]
    assert counts.surroundings.tolist() == [sum(sum(row) for row, _ in images if row[k]) for k in classes]
    variety = [sum(n > 0 for n in row[:num_classes]) for row, _ in images]
    assert counts.variety.tolist() == [variety.count(n) for n in range(num_classes + 1)]
    for a in classes:
        assert counts.annotated[a] == any(annotated[a] for _, annotated in images)
        for b in classes:
            assert counts.together[a, b] == sum(row[a] > 0 and row[b] > 0 for row, _ in images)
            assert counts.judged[a, b] == sum(bool(row[a] and annotated[b]) for row, annotated in images)
            assert counts.comparable[a, b] == sum(bool(annotated[a] and annotated[b]) for _, annotated in images)


def naive_adjacency(label_hw: np.ndarray, num_classes: int) -> np.ndarray:
    """By shifted copies of the label, both ways."""
    borders = np.zeros((256, 256), np.int64)
    for one, other in ((label_hw[:, :-1], label_hw[:, 1:]), (label_hw[:-1], label_hw[1:])):
        pairs = np.bincount(256 * one.astype(int).ravel() + other.ravel(), minlength=1 << 16).reshape(256, 256)
        borders += pairs + pairs.T
    np.fill_diagonal(borders, 0)
    return borders[:num_classes, :num_classes]


def test_adjacency_by_hand():
    label_hw = np.array([[0, 0, 1], [0, 2, 1], [255, 2, 3]], np.uint8)  # 3 is no class here: a set
    assert adjacency([label_hw], 3).tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (23, 31)])
def test_adjacency_is_that_of_shifted_copies(size):
    rng = np.random.default_rng(0)
    labels = [rng.choice(np.array([0, 1, 2, 6, 7, 254, 255], np.uint8), size) for _ in range(3)]
    expected = sum(naive_adjacency(label, 7) for label in labels)
    assert np.array_equal(adjacency(labels, 7), expected)
    assert np.array_equal(adjacency((label[::-1, ::-1] for label in labels), 7), expected), "not contiguous"
    plain = np.zeros((7, 7), np.int64)
    for label in labels:
        stats.count_borders(label, plain)
    assert np.array_equal(plain + plain.T, expected), "the loop itself, not compiled"


# --- Ratios -----------------------------------------------------------------------------------------------

#: Three classes, a set, void, in images of 100 pixels; class 2 does not occur.
PIXELS = np.array([[90, 0, 0, 10, 0], [40, 10, 0, 0, 50], [50, 50, 0, 0, 0], [100, 0, 0, 0, 0]])
EVERY = np.ones(3, np.bool_)


def test_shares_and_frequencies_by_hand():
    counts = count(PIXELS, EVERY)
    assert stats.pixel_share(counts).tolist() == [0.7, 0.15, 0, 0.025, 0.125]
    assert stats.image_share(counts).tolist() == [1, 0.5, 0, 0.25, 0.25]
    assert stats.pixel_frequency(counts).tolist() == [280 / 340, 60 / 340, 0]
    assert stats.image_frequency(counts).tolist() == [4 / 6, 2 / 6, 0]
    assert stats.variety(counts) == stats.Variety(mean=1.5, median=1.5, min=1, max=2)


def test_variety_is_that_of_the_standard_library():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 2, (37, 9))
    found = stats.variety(count(pixels, np.ones(8, np.bool_)))
    per_image = [sum(row[:8]) for row in pixels.tolist()]
    assert found.mean == pytest.approx(statistics.mean(per_image))
    assert (found.median, found.min, found.max) == (statistics.median(per_image), min(per_image), max(per_image))


def test_nothing_is_divided_by_nothing():
    counts = count(np.zeros((2, 5), np.int64), EVERY)
    for ratio in (*stats.SHARES.values(), *stats.WEIGHTS.values(), stats.pixel_frequency, stats.image_frequency):
        assert not ratio(counts).any()
    assert not stats.company(counts).any()
    assert not stats.least_frequent_half(counts.of_classes("images")).any()


#: DropClass supplement, Table C-2: class and "Instance %", in the printed order; † are the first ten.
TABLE_C2 = [
    ("cow", 1.7), ("sheep", 1.9), ("bus", 2.4), ("potteplant", 2.7), ("bicycle", 2.8), ("horse", 2.8), ("boat", 2.8),
    ("motorbike", 3.0), ("sofa", 3.0), ("train", 3.1), ("diningtable", 3.2), ("tvmonitor", 3.2), ("bottle", 3.5),
    ("aeroplane", 3.6), ("bird", 4.2), ("car", 5.6), ("cat", 5.8), ("chair", 5.9), ("dog", 6.6), ("person", 14.5),
]  # fmt: skip


def test_order_and_half_of_table_c2():
    shuffled = sorted(TABLE_C2)
    frequency = np.array([f for _, f in shuffled])
    order = stats.rising(frequency)
    assert [frequency[k] for k in order] == [f for _, f in TABLE_C2]
    half = {shuffled[k][0] for k in np.flatnonzero(stats.least_frequent_half(frequency))}
    assert half == {name for name, _ in TABLE_C2[:10]}


def test_the_half_is_rounded_down_and_of_what_occurs():
    assert stats.least_frequent_half(np.arange(1, 20)).sum() == 9
    assert stats.least_frequent_half(np.array([5, 0, 3, 3, 0, 9])).tolist() == [False, False, True, True, False, False]
    assert stats.rising(np.array([3, 1, 3, 1])).tolist() == [1, 3, 0, 2], "equal ones by id"


@given(sources())
def test_company_is_asked_only_of_images_that_can_tell(per_source):
    counts = counted(per_source)
    share, expected = stats.company(counts), stats.expected_company(counts)
    images = [(row, annotated) for pixels, annotated in per_source for row in pixels]
    for a in range(counts.num_classes):
        for b in range(counts.num_classes):
            witnesses = [row for row, annotated in images if row[a] and annotated[b]]
            wanted = sum(row[b] > 0 for row in witnesses) / len(witnesses) if witnesses else 0
            assert share[a, b] == pytest.approx(wanted)
            both = [row for row, annotated in images if annotated[a] and annotated[b]]
            assert expected[a, b] == pytest.approx(sum(row[b] > 0 for row in both) / len(both) if both else 0)


def test_neighborhood():
    borders = np.array([[0, 3, 1], [3, 0, 0], [1, 0, 0]])
    assert stats.neighborhood(borders).tolist() == [[0, 0.75, 0.25], [1, 0, 0], [1, 0, 0]]
    assert not stats.neighborhood(np.zeros((2, 2), np.int64)).any()


# --- Class weights ----------------------------------------------------------------------------------------


def test_weights_by_hand():
    counts = count(PIXELS, EVERY)
    f = [280 / 340, 60 / 340]
    mean = (1 / f[0] + 1 / f[1]) / 2
    assert stats.inverse_frequency(counts) == pytest.approx([1 / f[0] / mean, 1 / f[1] / mean, 0])
    # Class 0 is in all four images, class 1 in two of them, of 100 pixels each.
    g = [280 / 400, 60 / 200]
    assert stats.median_frequency(counts) == pytest.approx([statistics.median(g) / v for v in g] + [0])
    enet = [1 / math.log(1.02 + v) for v in f] + [0]
    assert stats.bounded_inverse_frequency(counts) == pytest.approx(enet)


def test_bounds_of_the_enet_weights():
    counts = count(np.array([[10**12, 1, 0, 0]]), EVERY)
    high, low, none = stats.bounded_inverse_frequency(counts)
    assert (round(high, 2), round(low, 1), none) == (1.42, 50.5, 0)


# --- Of a version -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    roots = small_world(tmp_path_factory.mktemp("raw"), "CIBM")
    return build(plan_of(roots, "C,I,B,M"), tmp_path_factory.mktemp("out")).artifact


@pytest.fixture(scope="module")
def groups(version):
    return stats.statistics(version, stats.chosen_parts(version.manifest), with_adjacency=True)


def rows(artifact) -> list[dict]:
    files = [artifact.path / name for name in artifact.manifest.files if name.startswith("data/")]
    found = ds.dataset(files, format="parquet").to_table().to_pylist()
    for row in rows_split(artifact, files, found):
        row["label_hw"] = np.array(Image.open(io.BytesIO(row["label"]["bytes"])))
        row["source"] = artifact.taxonomy.sources[row["source"]]
    return found


def rows_split(artifact, files, found):
    """Adds "split", from the name of the file that each row is in."""
    at = 0
    for file in files:
        for row in found[at : at + pq.read_metadata(file).num_rows]:
            row["split"] = file.name.split("-")[0]
            at += 1
    return found


def recount(labels: list[np.ndarray], num_classes: int) -> dict[str, list]:
    """From decoded labels, one by one."""
    pixels, images = [0] * 256, [0] * 256
    together = np.zeros((num_classes, num_classes), int)
    variety = []
    for label_hw in labels:
        ids, sizes = np.unique(label_hw, return_counts=True)
        for i, size in zip(ids.tolist(), sizes.tolist(), strict=True):
            pixels[i] += size
            images[i] += 1
        shown = [i for i in ids.tolist() if i < num_classes]
        variety.append(len(shown))
        for a in shown:
            for b in shown:
                together[a, b] += 1
    return {"pixels": pixels, "images": images, "together": together.tolist(), "variety": variety}


def check(group: Group, labels: list[np.ndarray]) -> None:
    n = group.counts.num_classes
    expected = recount(labels, n)
    codes = [*range(len(group.counts.pixels) - 1), 255]
    assert group.counts.num_images == len(labels) > 0
    assert group.counts.pixels.tolist() == [expected["pixels"][i] for i in codes]
    assert group.counts.images.tolist() == [expected["images"][i] for i in codes]
    assert group.counts.together.tolist() == expected["together"]
    assert stats.variety(group.counts).mean == pytest.approx(statistics.mean(expected["variety"]))
    assert group.borders is not None
    assert np.array_equal(group.borders, sum(naive_adjacency(label, n) for label in labels))


def test_every_group_of_a_version(version, groups):
    samples = rows(version)
    keys = [(group.source, group.split) for group in groups]
    assert keys[:4] == [("all", "all"), ("all", "train"), ("all", "val"), ("cityscapes", "all")]
    assert len(keys) == len(set(keys)) == 3 * (1 + 4)
    null_masks = dict(zip(version.taxonomy.sources, version.null_mask, strict=True))
    for group in groups:
        chosen = [s for s in samples if group.source in ("all", s["source"]) and group.split in ("all", s["split"])]
        check(group, [s["label_hw"] for s in chosen])
        masks = [null_masks[s["source"]] for s in chosen]
        assert group.counts.annotated.tolist() == np.any(masks, axis=0).tolist()


def test_agrees_with_the_other_columns_and_with_the_stored_statistics(version, groups):
    together = np.zeros_like(groups[0].counts.together)
    for row in rows(version):
        together[np.ix_(row["classes"], row["classes"])] += 1
    assert np.array_equal(groups[0].counts.together, together)
    stored = version.stats().to_pylist()
    pairs = version.table("cooccurrence.parquet").to_pylist()
    names = version.taxonomy.space.names
    for group in groups:
        if "all" not in (group.source, group.split):
            mine = [s for s in stored if (s["source"], s["split"]) == (group.source, group.split)]
            assert group.counts.pixels.tolist() == [s["pixels"] for s in mine]
            assert group.counts.images.tolist() == [s["images"] for s in mine]
            assert {s["instances"] for s in mine} == {None} and group.counts.instances is None
            shown = [p for p in pairs if (p["source"], p["split"]) == (group.source, group.split)]
            together = group.counts.together
            assert [(p["class_a"], p["class_b"], p["images"]) for p in shown] == [
                (names[a], names[b], together[a, b])
                for a in range(len(names))
                for b in range(a + 1, len(names))
                if together[a, b]
            ]


def test_reads_one_column_and_decodes_nothing(version, monkeypatch):
    asked = []
    read = pq.ParquetFile.read
    monkeypatch.setattr(pq.ParquetFile, "read", lambda self, **kw: asked.append(kw["columns"]) or read(self, **kw))
    monkeypatch.setattr(codecs, "read_label", None)
    stats.statistics(version, stats.chosen_parts(version.manifest))
    assert asked == [["pixel_count"]] * 8


def test_progress_of_adjacency_is_of_images_and_bytes(version):
    seen = []
    parts = stats.chosen_parts(version.manifest, splits=["val"])
    stats.statistics(version, parts, with_adjacency=True, advance=lambda n, size: seen.append((n, size)))
    sizes = [len(row["label"]["bytes"]) for row in rows(version) if row["split"] == "val"]
    assert tuple(map(sum, zip(*seen, strict=True))) == (len(sizes), sum(sizes))


def test_parts_that_are_not_there(version):
    with pytest.raises(UnifyError) as e:
        stats.chosen_parts(version.manifest, ["cityscapes", "kitti"], ["dev"])
    assert [str(p) for p in e.value.problems] == [
        "usage: cibm-union70 1.0.0: has no source 'kitti' — choose one of cityscapes, idd, bdd100k, mapillary",
        "usage: cibm-union70 1.0.0: has no split 'dev' — choose one of train, val",
    ]
    sources = version.manifest.sources | {"bdd100k": {"splits": {"train": 2}}}
    manifest = dataclasses.replace(version.manifest, sources=sources)
    with pytest.raises(UnifyError) as e:
        stats.chosen_parts(manifest, ["bdd100k"], ["val"])
    message = "usage: cibm-union70 1.0.0: has no images of bdd100k in val — there is: bdd100k train"
    assert str(e.value.problems[0]) == message
    assert ("bdd100k", "val") not in stats.chosen_parts(manifest, splits=["val"])
    with pytest.raises(UnifyError, match="has no images — there is: nothing"):
        stats.chosen_parts(dataclasses.replace(version.manifest, sources={}))


def test_a_split_is_not_taken_for_another_that_begins_like_it(version):
    names = ["data/a/train-00000-of-00002.parquet", "data/a/train-extra-00000-of-00001.parquet"]
    manifest = dataclasses.replace(version.manifest, files=dict.fromkeys(names))
    found = [
        stats.part_files(dataclasses.replace(version, manifest=manifest), ("a", t)) for t in ("train", "train-extra")
    ]
    assert found == [[version.path / names[0]], [version.path / names[1]]]


def damaged(version, folder: Path, change) -> tuple:
    """A copy of the version, `change(table)` in place of its first file, and that file."""
    copy = open_artifact(shutil.copytree(version.path, folder / "copy"))
    file = stats.part_files(copy, ("cityscapes", "train"))[0]
    table = change(pq.read_table(file))
    file.unlink()
    if table is not None:
        pq.write_table(table, file)
    return copy, file


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda t: None, "cannot be read: [Errno 2] Failed to open local file"),
        (lambda t: t.drop_columns(["pixel_count"]), "cannot be read: a column is missing"),
        (
            lambda t: with_column(t, "pixel_count", pa.array([[1, 2]] * len(t), pa.list_(pa.int64()))),
            "cannot be read: its pixel_count does not have 71 entries an image",
        ),
        (
            lambda t: with_column(t, "label", pa.array([{"bytes": b"no", "path": ""}] * len(t))),
            "cannot be read: a label: not a PNG",
        ),
        (
            lambda t: with_column(t, "label", pa.array([{"bytes": sixteen_bit(), "path": ""}] * len(t))),
            "cannot be read: it has a 16-bit label",
        ),
    ],
)
def test_files_that_cannot_be_read(version, tmp_path, change, what):
    copy, file = damaged(version, tmp_path, change)
    with pytest.raises(UnifyError) as e:
        stats.statistics(copy, [("cityscapes", "train")], with_adjacency=True)
    (problem,) = e.value.problems
    assert (problem.kind, problem.path) == ("bad-artifact", str(file))
    assert problem.what.startswith(what)
    assert problem.fix == "run `unify verify`, then build it again"


def sixteen_bit() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((2, 2), 300, np.uint16)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.skipif(not CAMVID.is_dir(), reason="real CamVid is not on this machine")
def test_real_camvid(tmp_path):
    artifact = build(plan_of(CAMVID, "V"), tmp_path).artifact
    groups = stats.statistics(artifact, stats.chosen_parts(artifact.manifest), with_adjacency=True)
    # From the raw labels: SegNet's ids, by name, to those of the version.
    mapping = artifact.taxonomy.mappings["camvid"]
    table = np.full(256, 255, np.uint8)
    for c in mapping.source.classes:
        if mapping.rules[c.name]:
            table[c.id] = artifact.taxonomy.space.names.index(*mapping.rules[c.name])
    raw = {
        split: [table[np.array(Image.open(path))] for path in sorted((CAMVID / f"{split}annot").glob("*.png"))]
        for split in ("train", "val")
    }
    for group in groups:
        check(group, raw["train"] + raw["val"] if group.split == "all" else raw[group.split])
    assert groups[0].counts.num_images == 468
