"""Index and mixtures of `unify.draws` against versions read row by row, literal recounts, the papers' numbers."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unify import codecs
from unify.artifact import open_artifact
from unify.build import build
from unify.draws import mixtures
from unify.draws.index import Shard, Version, _clash, build_index
from unify.draws.mixturefile import mixture_named, read_mixture
from unify.draws.mixtures import (
    MIXTURES,
    Mixture,
    Part,
    Select,
    draw_epoch,
    draws_file,
    effective_epochs,
    effective_epochs_of_parts,
    faults,
    schedule,
    tally,
    with_options,
)
from unify.draws.samplers import shard
from unify.errors import UnifyError
from unify.mapping import Mapping
from unify.spaces import LabelClass, LabelSpace
from unify.taxonomy import Taxonomy

from .layouts import write_cityscapes, write_mapillary
from .layouts_more import write_coarse
from .test_samplers import make_index, same
from .worlds import plan_of

TILE_PX = 1024


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Fine and Mapillary in one version, coarse in another; both with centroids, coarse images two tiles wide."""
    folder = tmp_path_factory.mktemp("mixtures")
    write_cityscapes(folder / "raw/cityscapes", train=7, val=3)
    write_mapillary(folder / "raw/mapillary", train=8)
    write_coarse(folder / "coarse/cityscapes", extra=6, size=(1300, 40))
    fine = build(plan_of(folder / "raw", "C,M", "cityscapes19", options=["centroids"]), folder / "out").artifact
    plan = plan_of(
        folder / "coarse", "C@coarse", "cityscapes19", ["train", "train_extra"], options=["centroids"], name="coarse"
    )
    return fine, build(plan, folder / "out").artifact


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Fine only, without centroids."""
    folder = tmp_path_factory.mktemp("plain")
    write_cityscapes(folder / "raw/cityscapes", seed=1)
    return build(plan_of(folder / "raw", "C", "cityscapes19", name="plain"), folder / "out").artifact


@pytest.fixture(scope="module")
def index(versions):
    return build_index(versions)


def raw_rows(artifact) -> list[dict]:
    """All rows of a version with all columns, each with its file and place."""
    found = []
    for name in artifact.manifest.files:
        if name.startswith("data/"):
            for i, row in enumerate(pq.read_table(artifact.path / name, partitioning=None).to_pylist()):
                found.append({**row, "file": (artifact.path / name, i), "split": name.split("/")[2].split("-")[0]})
    return found


# --- The index ----------------------------------------------------------------------------------------------


def test_the_index_is_what_the_files_hold(index, versions):
    rows = {row["file"]: (artifact, row) for artifact in versions for row in raw_rows(artifact)}
    assert len(index) == len(rows) == sum(artifact.manifest.images for artifact in versions)
    for i in range(len(index)):
        artifact, row = rows.pop(index.file_of(i))
        place = index.shards[index.shard[i]]
        assert index.sample_id[i].as_py() == row["sample_id"]
        assert place.source == list(artifact.manifest.sources)[row["source"]]
        assert (place.split, place.release) == (row["split"], artifact.manifest.sources[place.source]["release"])
        assert np.flatnonzero(index.present[i]).tolist() == row["classes"]
        found = Counter()
        for k in range(len(index.classes)):
            there = index.centroids.of(k)
            for j in np.flatnonzero(index.centroids.row[there] == i):
                found[k, int(index.centroids.y[there][j]), int(index.centroids.x[there][j])] += 1
        assert found == Counter(zip(row["centroid_class"], row["centroid_y"], row["centroid_x"], strict=True))
    assert not rows
    assert index.classes == versions[0].taxonomy.space.names and index.space == "cityscapes19"


def test_the_order_of_the_versions_does_not_matter(index, versions):
    other = build_index(versions[::-1])
    assert other.sample_id.equals(index.sample_id)
    assert other.versions == index.versions
    plans = [schedule(MIXTURES["seethroughnet"], i, 40) for i in (index, other)]
    assert same(*(draw_epoch(plan, 3, 1) for plan in plans))


def test_an_index_of_some_rows(index):
    rows = np.array([0, 3, 4, 11, 20])
    part = index.take(rows)
    assert part.sample_id.to_pylist() == [index.sample_id[int(i)].as_py() for i in rows]
    assert [part.file_of(i) for i in range(5)] == [index.file_of(i) for i in rows]
    assert np.array_equal(part.present, index.present[rows])
    for k in range(len(index.classes)):
        whole, some = index.centroids.of(k), part.centroids.of(k)
        columns = (index.centroids.row[whole], index.centroids.y[whole], index.centroids.x[whole])
        expected = [(list(rows).index(r), y, x) for r, y, x in zip(*columns, strict=True) if r in rows]
        found = (part.centroids.row[some], part.centroids.y[some], part.centroids.x[some])
        assert list(zip(*found, strict=True)) == expected
    empty = index.take(np.zeros(0, np.int64))
    assert len(empty) == 0 and empty.centroids.count().sum() == 0


def test_sources_are_named_and_numbered(index):
    names, source = index.sources()
    assert names == ("cityscapes", "mapillary")
    assert [names[i] for i in source] == [s.as_py().split("/")[0] for s in index.sample_id]


# --- What does not go together -------------------------------------------------------------------------------


def messages(call, *arguments) -> list[str]:
    with pytest.raises(UnifyError) as e:
        call(*arguments)
    assert e.value.exit_code in (2, 65, 78)
    return str(e.value).splitlines()


def test_versions_of_different_spaces_are_refused(versions, tmp_path):
    write_cityscapes(tmp_path / "cityscapes")
    write_mapillary(tmp_path / "mapillary")
    other = build(plan_of(tmp_path, "M", "mapillary65"), tmp_path / "out").artifact
    (line,) = messages(build_index, [versions[0], other])
    assert (
        "m-mapillary65 1.0.0: does not go with cm-cityscapes19 1.0.0: of mapillary65 and cityscapes19, it has " in line
    )
    assert "and it lacks" in line
    assert "unify convert m-mapillary65 1.0.0 --space cityscapes19" in line


def taxonomy(*names, rules, void=255) -> Taxonomy:
    target = LabelSpace("toy", tuple(LabelClass(i, name, (0, 0, i)) for i, name in enumerate(names)), void)
    raw = LabelSpace("raw", tuple(LabelClass(i, name, (0, 0, i)) for i, name in enumerate(rules)))
    return Taxonomy(target, {"s": Mapping(raw, target, rules)})


def test_one_label_must_mean_one_thing():
    plain = taxonomy("a", "b", "c", rules={"x": ("a",)})
    ab = taxonomy("a", "b", "c", rules={"x": ("a", "b")})
    bc = taxonomy("a", "b", "c", rules={"x": ("b", "c")})
    both = taxonomy("a", "b", "c", rules={"x": ("a", "b"), "y": ("b", "c")})
    assert _clash(plain, taxonomy("b", "a", "c", rules={"x": ("a",)})) == "they have the same classes in another order"
    assert _clash(ab, bc) == "label 3 is b | c here and a | b there"
    for one, other in [(plain, ab), (ab, plain), (ab, both), (both, ab), (plain, plain)]:
        assert _clash(one, other) == ""


def test_the_same_version_or_sample_twice_is_refused(versions, plain, tmp_path):
    assert messages(build_index, [*versions, versions[0]]) == [
        "unify: usage: cm-cityscapes19 1.0.0: is given twice — give each version once"
    ]
    (line,) = messages(build_index, [plain, versions[0]])
    assert "plain 1.0.0: 3 of its samples are in cm-cityscapes19 1.0.0 too, as cityscapes/train/aachen" in line
    # Fine and coarse labels of one image are two samples.
    build_index(versions)


def edit(artifact, folder, change):
    """A copy of a version whose first file has other columns."""
    shutil.copytree(artifact.path, folder)
    file = sorted((folder / "data").rglob("*.parquet"))[0]
    pq.write_table(change(pq.read_table(file, partitioning=None)), file)
    return open_artifact(folder)


def set_column(name, values):
    return lambda table: table.set_column(table.schema.get_field_index(name), name, values(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["pixel_count"]), "a column is missing"),
        (lambda t: t.drop_columns(["centroid_y"]), "a column is missing"),
        (
            set_column("centroid_x", lambda t: pa.array([v[1:] for v in t["centroid_x"].to_pylist()])),
            "its centroids have lists of different lengths",
        ),
        (
            set_column("centroid_class", lambda t: pa.array([[19] * len(v) for v in t["centroid_class"].to_pylist()])),
            "it has a centroid of a class beyond the 19",
        ),
        (
            set_column("pixel_count", lambda t: pa.array([v[:19] for v in t["pixel_count"].to_pylist()])),
            "does not have an entry for each of 19 classes and void",
        ),
        (
            set_column(
                "pixel_count",
                lambda t: pa.array([v + [0] * (i == 0) for i, v in enumerate(t["pixel_count"].to_pylist())]),
            ),
            "does not have an entry for each of 19 classes and void",
        ),
    ],
)
def test_damaged_columns_are_told(versions, tmp_path, change, message):
    artifact = edit(versions[0], tmp_path / "copy", change)
    (line,) = messages(build_index, [artifact])
    assert line.startswith("unify: bad-artifact: ") and message in line


def test_a_flipped_bit_is_told(versions, tmp_path):
    shutil.copytree(versions[0].path, tmp_path / "copy")
    file = sorted((tmp_path / "copy/data").rglob("*.parquet"))[0]
    columns = pq.read_metadata(file).row_group(0)
    chunks = {columns.column(i).path_in_schema: columns.column(i) for i in range(columns.num_columns)}
    chunk = next(chunk for name, chunk in chunks.items() if name.startswith("pixel_count"))
    data = bytearray(file.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    file.write_bytes(data)
    (line,) = messages(build_index, [open_artifact(tmp_path / "copy")])
    assert "bad-artifact" in line and "CRC" in line


def test_a_missing_file_is_told(versions, tmp_path):
    shutil.copytree(versions[1].path, tmp_path / "copy")
    sorted((tmp_path / "copy/data").rglob("*.parquet"))[0].unlink()
    (line,) = messages(build_index, [open_artifact(tmp_path / "copy")])
    assert "bad-artifact" in line and "cannot be read" in line


# --- Mixtures -----------------------------------------------------------------------------------------------


def test_built_in_mixtures_are_faultless():
    for name, mixture in MIXTURES.items():
        assert (mixture.name, faults(mixture)) == (name, [])


def world(sizes: dict[tuple[str, str, str], int]):
    """A toy index with so many rows of each (source, release, split), all with centroids."""
    toy = make_index({f"{i}": n for i, n in enumerate(sizes.values())})
    shards = tuple(Shard(0, f"{i}.parquet", *key) for i, key in enumerate(sizes))
    return replace(toy, shards=shards)


PAPER = {
    ("cityscapes", "fine", "train"): 2975,
    ("cityscapes", "fine", "val"): 500,
    ("cityscapes", "coarse", "train_extra"): 1999,
    ("mapillary", "v1.2", "train"): 1800,
    ("mapillary", "v1.2", "val"): 200,
    ("idd", "part I", "train"): 70,
}


def test_seethroughnet_is_that_of_the_supplement():
    """Supplement A.2: of 2,975 draws, 1,190 (40 %) from Mapillary; 40 % fine + val; 20 % coarse."""
    plan = schedule(MIXTURES["seethroughnet"], world(PAPER))
    assert plan.length == 2975
    assert [(b.part.name, len(b.rows), b.draws) for b in plan.parts] == [
        ("fine", 3475, 1190),
        ("mapillary", 2000, 1190),
        ("coarse", 1999, 595),
    ]
    epoch = draw_epoch(plan, 0, 0)
    counted = tally(plan, epoch)
    assert counted.parts.tolist() == [1190, 1190, 595]
    assert counted.targeted.sum(axis=1).tolist() == [0, 1190, 595]
    for of_class in counted.targeted[1:]:
        assert np.ptp(of_class[of_class > 0]) <= 2
    half = schedule(with_options(MIXTURES["seethroughnet"], {"class_share": 0.5}), world(PAPER))
    assert tally(half, draw_epoch(half, 0, 0)).targeted.sum(axis=1).tolist() == [0, 595, 298]


def test_uniseg_is_every_training_image_once():
    plan = schedule(MIXTURES["uniseg"], world(PAPER))
    rows = draw_epoch(plan, 0, 0).row
    expected = [i for i, s in enumerate(plan.index.shard) if plan.index.shards[s].split == "train"]
    assert plan.length == 2975 + 1800 + 70
    assert sorted(rows.tolist()) == expected
    assert rows.tolist() != expected


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("length", [1, 7, 1000])
def test_shares_are_exact_to_rounding_in_every_epoch(name, length):
    plan = schedule(MIXTURES[name], world(PAPER), length)
    total = sum(bound.part.share or 1 for bound in plan.parts)
    for number in (0, 1, 5):
        epoch = draw_epoch(plan, 0, number)
        assert len(epoch) == length
        for place, bound in enumerate(plan.parts):
            drawn = int((epoch.part == place).sum())
            assert drawn == bound.draws
            assert abs(drawn - length * (bound.part.share or 1) / total) < 1
            assert set(epoch.row[epoch.part == place].tolist()) <= set(bound.rows.tolist())


def test_shares_by_images_where_none_is_given():
    parts = (Part("a", Select("mapillary")), Part("b", Select("idd")))
    plan = schedule(Mixture("m", "", parts), world(PAPER))
    assert (plan.length, [b.draws for b in plan.parts]) == (1870, [1800, 70])
    plan = schedule(Mixture("m", "", parts, length=187), world(PAPER))
    assert [b.draws for b in plan.parts] == [180, 7]
    third = tuple(replace(part, share=0.3333333 * (i + 1)) for i, part in enumerate(parts))
    assert [b.draws for b in schedule(Mixture("m", "", third), world(PAPER), 3).parts] == [1, 2]


def test_length_can_be_that_of_repeat_factors():
    mixture = with_options(MIXTURES["repeat-factor"], {"threshold": 1.0})
    plan = schedule(mixture, world({("idd", "part I", "train"): 300}))
    assert plan.length > 300
    assert plan.length == round(mixtures.SAMPLERS["repeat-factor"].images(plan.index, {"threshold": 1.0}))


def test_epochs_do_not_depend_on_what_was_drawn_before():
    plan = schedule(MIXTURES["seethroughnet"], world(PAPER), 100)
    later = draw_epoch(plan, 0, 9)
    fresh = schedule(MIXTURES["seethroughnet"], world(PAPER), 100)
    for number in range(9):
        draw_epoch(fresh, 0, number)
    assert same(later, draw_epoch(fresh, 0, 9))
    assert not same(later, draw_epoch(fresh, 1, 9))


def test_parts_draw_apart():
    """Two parts of the same images do not draw in step."""
    select = Select("mapillary")
    mixture = Mixture("m", "", (Part("a", select, 0.5), Part("b", select, 0.5)))
    plan = schedule(mixture, world(PAPER), 100)
    epoch = draw_epoch(plan, 0, 0)
    a, b = (set(epoch.row[epoch.part == i].tolist()) for i in (0, 1))
    assert len(a) == len(b) == 50 and a != b
    names, images = plan.sources, plan.images.tolist()
    assert (names, images) == (("mapillary",), [1800]), "an image in two parts is one image"


def test_targets_are_in_the_picture(index, versions):
    """Of built versions: the drawn label has the class, within the tile of the centre."""
    labels = {row["file"]: row["label"]["bytes"] for artifact in versions for row in raw_rows(artifact)}
    plan = schedule(MIXTURES["seethroughnet"], index, 60)
    tiles, seen = set(), set()
    for number in range(4):
        epoch = draw_epoch(plan, 0, number)
        for (row, k, y, x), part in zip(epoch, epoch.part, strict=True):
            if k < 0:
                assert part == 0
                continue
            assert part > 0
            label_hw = codecs.read_label(labels[index.file_of(row)])
            top, left = y // TILE_PX * TILE_PX, x // TILE_PX * TILE_PX
            assert (label_hw[top : top + TILE_PX, left : left + TILE_PX] == k).any()
            assert y < label_hw.shape[0] and x < label_hw.shape[1]
            tiles.add(left)
            seen.add(k)
    assert tiles == {0, TILE_PX}
    assert len(seen) == 19


# --- What was drawn -----------------------------------------------------------------------------------------


def test_tallies_are_a_literal_recount_and_add_up():
    plan = schedule(MIXTURES["seethroughnet"], world(PAPER), 200)
    epochs = [draw_epoch(plan, 0, number) for number in range(3)]
    total = tally(plan, epochs[0]) + tally(plan, epochs[1]) + tally(plan, epochs[2])
    parts, sources, targeted, seen = Counter(), Counter(), Counter(), Counter()
    for epoch in epochs:
        for (row, k, _, _), part in zip(epoch, epoch.part.tolist(), strict=True):
            place = plan.index.shards[plan.index.shard[row]]
            parts[part] += 1
            sources["mapillary" if place.source == "mapillary" else f"cityscapes {place.release}"] += 1
            if k >= 0:
                targeted[part, k] += 1
            seen.update((part, int(c)) for c in np.flatnonzero(plan.index.present[row]))
    assert {i: n for i, n in enumerate(total.parts.tolist()) if n} == parts
    assert dict(zip(plan.sources, total.sources.tolist(), strict=True)) == sources
    for found, expected in ((total.targeted, targeted), (total.seen, seen)):
        assert {(p, k): found[p, k] for p, k in np.argwhere(found).tolist()} == expected
    images = {"cityscapes fine": 3475, "mapillary": 2000, "cityscapes coarse": 1999}
    assert dict(zip(plan.sources, plan.images.tolist(), strict=True)) == images
    effective = effective_epochs(plan, total)
    assert effective == {name: pytest.approx(sources[name] / n) for name, n in images.items()}
    assert effective_epochs_of_parts(plan, total) == {
        "fine": pytest.approx(240 / 3475),
        "mapillary": pytest.approx(240 / 2000),
        "coarse": pytest.approx(120 / 1999),
    }
    ranks = [tally(plan, shard(epochs[0], rank, 4)) for rank in range(4)]
    together = ranks[0] + ranks[1] + ranks[2] + ranks[3]
    whole = tally(plan, epochs[0])
    assert all(
        np.array_equal(getattr(together, f), getattr(whole, f)) for f in ("parts", "sources", "targeted", "seen")
    )


def test_a_source_of_one_release_goes_by_its_name():
    plan = schedule(MIXTURES["uniseg"], world(PAPER))
    assert plan.sources == ("cityscapes", "mapillary", "idd"), "coarse has no train split here"
    assert effective_epochs(plan, tally(plan, draw_epoch(plan, 0, 0))) == dict.fromkeys(plan.sources, 1.0)


def test_the_file_of_draws_is_the_draws(index):
    plan = schedule(MIXTURES["seethroughnet"], index, 30)
    epochs = [draw_epoch(plan, 4, number) for number in range(3)]
    table = pq.read_table(pa.BufferReader(draws_file(plan, 4, iter(epochs))))
    facts = json.loads(table.schema.metadata[b"unify"])
    assert (facts["mixture"], facts["seed"], facts["length"]) == ("seethroughnet", 4, 30)
    assert facts["classes"] == list(index.classes)
    assert facts["versions"] == {v.digest: f"{v.name} {v.version}" for v in index.versions}
    rows = table.to_pylist()
    assert len(rows) == 90
    paths = {v.digest: v.path for v in index.versions}
    for i, row in enumerate(rows):
        number, position = divmod(i, 30)
        assert (row["epoch"], row["position"]) == (number, position)
        epoch = epochs[number]
        drawn = int(epoch.row[position])
        assert row["sample_id"] == index.sample_id[drawn].as_py()
        assert (paths[row["version"]] / row["shard"], row["row"]) == index.file_of(drawn)
        assert row["part"] == plan.parts[epoch.part[position]].part.name
        assert (row["target_class"], row["centre_y"], row["centre_x"]) == tuple(list(epoch)[position])[1:]


# --- Mistakes -----------------------------------------------------------------------------------------------


def test_parts_without_images_are_all_told_with_what_to_build(plain, index):
    lines = messages(schedule, MIXTURES["seethroughnet"], build_index([plain]))
    assert len(lines) == 2
    assert (
        "part 'mapillary' has no image here: it takes mapillary train+val, and there is cityscapes fine train"
        in lines[0]
    )
    assert "`unify build --datasets M --split train --split val --space cityscapes19 --centroids`" in lines[0]
    assert "`unify build --datasets C@coarse --split train_extra --space cityscapes19 --centroids`" in lines[1]
    only_val = Mixture("m", "", (Part("v", Select(splits=("test",))),), length=Select("idd"))
    lines = messages(schedule, only_val, index)
    assert "part 'v' has no image here: it takes every source test" in lines[0]
    assert "`unify build --datasets C,I,... --split test --space cityscapes19`" in lines[0]
    assert "its length has no image here: it takes idd train" in lines[1]


def test_centroids_are_asked_for_where_a_part_aims_at_them(plain):
    index = build_index([plain])
    (line,) = messages(schedule, MIXTURES["class-uniform"], index)
    assert "plain 1.0.0: has no centroids" in line and "--centroids" in line
    plan = schedule(with_options(MIXTURES["class-uniform"], {"centres": False}), index)
    epoch = draw_epoch(plan, 0, 0)
    assert (epoch.centre_yx == -1).all() and (epoch.target_class >= 0).any()
    schedule(MIXTURES["balanced"], index)


def test_only_versions_that_a_part_draws_from_need_centroids(versions, tmp_path):
    """Fine is drawn uniformly: it may come without."""
    toy = world(PAPER)
    without, with_them = (Version(None, f"{i}", "1.0.0", f"{i}", bool(i)) for i in (0, 1))
    shards = tuple(replace(s, version=int(s.release != "fine")) for s in toy.shards)
    schedule(MIXTURES["seethroughnet"], replace(toy, versions=(without, with_them), shards=shards))
    shards = tuple(replace(s, version=int(s.release != "coarse")) for s in toy.shards)
    (line,) = messages(schedule, MIXTURES["seethroughnet"], replace(toy, versions=(without, with_them), shards=shards))
    assert line.startswith("unify: usage: 0 1.0.0: has no centroids")


def test_all_faults_of_a_mixture_at_once():
    mixture = Mixture(
        "m",
        "",
        (
            Part("a", Select(), 0.5, "unifrom"),
            Part("a", Select(splits=()), 0.0),
            Part("c", Select(), 0.8, "class-uniform", {"class_share": 2}),
        ),
        length=0,
    )
    lines = messages(schedule, mixture, world(PAPER))
    assert [line.partition("usage: m: ")[2].partition(" — ")[0].partition(";")[0] for line in lines] == [
        "two parts are called 'a'",
        "part 'a': there is no sampler 'unifrom' (did you mean 'uniform'?)",
        "part 'a': it has no splits",
        "part 'a': its share is 0, not above 0 and up to 1",
        "part 'c': option class_share of sampler class-uniform is from 0 to 1, not 2",
        "the shares add up to 1.3, not to 1",
        "its length is 0, not from 1 to 100000000",
    ]
    some = Mixture("m", "", (Part("a", Select(), 0.5), Part("b", Select())))
    assert faults(some) == ["give a share to every part or to none; without is 'b'"]
    assert faults(Mixture("m", "", ())) == ["it has no parts"]
    for length in (0, 10**9):
        assert f"an epoch of {length} draws" in messages(schedule, MIXTURES["uniseg"], world(PAPER), length)[0]
    assert faults(Mixture("m", "", (Part("a", Select()),), 10**9)) == [
        "its length is 1000000000, not from 1 to 100000000"
    ]


def test_options_that_no_part_has(index):
    lines = messages(with_options, MIXTURES["seethroughnet"], {"temperature": 2.0, "class_share": 3.0})
    assert "has no option 'temperature' — it has class_share, centres" in lines[0]
    assert len(lines) == 3, "and class_share of both parts"
    assert "it has none" in messages(with_options, MIXTURES["uniseg"], {"x": 1.0})[0]


# --- Files --------------------------------------------------------------------------------------------------

YAML = """
name: mine
about: ours
length: {source: cityscapes, release: fine, splits: [train]}
parts:
  - {source: cityscapes, release: fine, splits: [train, val], share: 0.5}
  - {name: rare, source: mapillary, share: 0.25, sampler: class-uniform, options: {class_share: 1, centres: false}}
  - {splits: val, share: 0.25}
"""
TOML = """
name = "mine"
about = "ours"
length = { source = "cityscapes", release = "fine", splits = ["train"] }
[[parts]]
source = "cityscapes"
release = "fine"
splits = ["train", "val"]
share = 0.5
[[parts]]
name = "rare"
source = "mapillary"
share = 0.25
sampler = "class-uniform"
options = { class_share = 1, centres = false }
[[parts]]
splits = "val"
share = 0.25
"""
MINE = Mixture(
    "mine",
    "ours",
    (
        Part("cityscapes fine train+val", Select("cityscapes", "fine", ("train", "val")), 0.5),
        Part("rare", Select("mapillary"), 0.25, "class-uniform", {"class_share": 1, "centres": False}),
        Part("every source val", Select(splits=("val",)), 0.25),
    ),
    Select("cityscapes", "fine", ("train",)),
)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_mixture_from_yaml_or_toml(tmp_path, index):
    assert read_mixture(write(tmp_path / "a.yaml", YAML)) == MINE
    assert mixture_named(str(write(tmp_path / "a.toml", TOML))) == MINE
    plan = schedule(MINE, index)
    assert plan.length == 7
    assert [b.draws for b in plan.parts] == [3, 2, 2]


def test_what_a_file_leaves_out(tmp_path):
    found = read_mixture(write(tmp_path / "little.yml", "parts: [{}]\nlength: 12\n"))
    assert found == Mixture("little", "", (Part("every source train", Select()),), 12)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["it has no list of parts"]),
        ("parts: []", ["it has no list of parts"]),
        ("parts: 3", ["it has no list of parts"]),
        ("parts: [3]", ["parts[0]: has to have `key: value` lines, not 3"]),
        ("parts: [{}, {}]", ["two parts are called 'every source train'"]),
        ("part: []\nparts: [{}]", ["unknown part; known: name, about, length, parts"]),
        ("parts: [{sources: C}]", ["parts[0]: unknown sources; known: source, release, splits, name, share,"]),
        ("parts: [{share: x}]", ["parts[0]: share has to be a number, not 'x'"]),
        ("parts: [{share: true}]", ["parts[0]: share has to be a number, not True"]),
        ("parts: [{share: 40}]", ["part 'every source train': its share is 40", "the shares add up to 40"]),
        ("parts: [{share: .nan}]", ["part 'every source train': its share is nan"]),
        ("parts: [{splits: []}]", ["parts[0]: splits has to be a list of names, not []"]),
        ("parts: [{splits: [1]}]", ["parts[0]: splits has to be a list of names, not [1]"]),
        ("parts: [{release: 1.2}]", ["parts[0]: release has to be a text, not 1.2"]),
        ("parts: [{sampler: x}]", ["part 'every source train': there is no sampler 'x'"]),
        ("parts: [{options: 3}]", ["parts[0]: options has to have `key: value` lines, not 3"]),
        ("parts: [{options: {t: x}}]", ["parts[0]: option t has to be a number, true or false, not 'x'"]),
        ("parts: [{options: {t: 1}}]", ["part 'every source train': sampler uniform has no option 't'"]),
        ("length: 1.5\nparts: [{}]", ["length has to be a whole number, or a source and splits, not 1.5"]),
        ("length: true\nparts: [{}]", ["length has to be a whole number"]),
        ("length: -1\nparts: [{}]", ["its length is -1, not from 1 to 100000000"]),
        ("length: {split: x}\nparts: [{}]", ["length: unknown split; known: source, release, splits"]),
        ("name: 3\nlength: x\nparts: [{share: x}, 4]", ["length has", "name has", "parts[0]: share", "parts[1]: has"]),
        ("parts: [{}]\nparts: [{}]", ["line 2: duplicate key 'parts'"]),
        ("[1]", ["has no `key: value` lines"]),
        ("a: b: c", ["is not YAML"]),
    ],
)
def test_illegal_files(tmp_path, text, told):
    path = write(tmp_path / "bad.yaml", text)
    lines = messages(read_mixture, path)
    assert all(line.startswith(f"unify: bad-config: {path}: ") for line in lines)
    assert len(lines) == len(told), lines
    assert all(what in line for what, line in zip(told, lines, strict=True)), lines


def test_illegal_toml(tmp_path):
    (line,) = messages(read_mixture, write(tmp_path / "bad.toml", "parts = [[["))
    assert "bad-config" in line and "is not TOML" in line
    (line,) = messages(read_mixture, tmp_path / "none.toml")
    assert "cannot be read: No such file" in line
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    assert "is not UTF-8" in messages(read_mixture, tmp_path / "latin.toml")[0]
    write(tmp_path / "long.toml", "#" * (1 << 20) + "\n")
    assert "is larger than" in messages(read_mixture, tmp_path / "long.toml")[0]


def test_unknown_names():
    (line,) = messages(mixture_named, "seethroughnot")
    what = "is no mixture, nor a file that ends in .yaml or .toml (did you mean 'seethroughnet'?)"
    assert line.startswith(f"unify: usage: seethroughnot: {what}")
    assert "known: seethroughnet, uniseg" in line
