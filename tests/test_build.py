"""`build` against naive ways: PIL and a per-id dictionary for pixels, loops for counts, file copies for bytes."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from blake3 import blake3
from PIL import Image

from unify.artifact import open_artifact, versions
from unify.build import build
from unify.engine import Engine, processes
from unify.errors import UnifyError
from unify.features import arrow_schema
from unify.sources import SOURCES, decode_label

from .worlds import plan_of, small_world, tree_bytes

MAPPINGS = Path(__file__).parents[1] / "mappings"
RAW_SPACES = {"cityscapes": "cityscapes", "idd": "idd", "bdd100k": "bdd100k", "mapillary": "mapillary-v1.2"}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIBM")


@pytest.fixture(scope="module")
def version(roots, tmp_path_factory):
    return build(plan_of(roots, "C,I,B,M", options=["native"]), tmp_path_factory.mktemp("out")).artifact


def rows(artifact) -> list[dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()


def naive_map(raw_hw: np.ndarray, source: str, target: str = "union70") -> np.ndarray:
    """Pixel by pixel through dictionaries made from the YAML text itself."""
    raw = yaml.safe_load((MAPPINGS / "spaces" / f"{RAW_SPACES[source]}.yaml").read_text())["classes"]
    out = yaml.safe_load((MAPPINGS / "spaces" / f"{target}.yaml").read_text())["classes"]
    rules = yaml.safe_load((MAPPINGS / f"to_{target}" / f"{RAW_SPACES[source]}.yaml").read_text())["rules"]
    position = {c["name"]: i for i, c in enumerate(out)}
    way = {c["id"] % 256: 255 if rules[c["name"]] == [] else position[rules[c["name"]]] for c in raw}
    return np.array([[way[int(v)] for v in line] for line in raw_hw], np.uint8)


def test_every_pixel_of_every_source(roots, version):
    seen = set()
    for row in rows(version):
        source = list(version.manifest.sources)[row["source"]]
        seen.add(source)
        label = Image.open(io.BytesIO(row["label"]["bytes"]))
        assert label.mode == "L"
        native = np.asarray(Image.open(io.BytesIO(row["label_source"]["bytes"])))
        assert np.array_equal(np.asarray(label), naive_map(native, source)), row["sample_id"]
        assert (row["height"], row["width"]) == native.shape
    assert seen == {"cityscapes", "idd", "bdd100k", "mapillary"}


def test_threads_make_the_same_bytes(roots, tmp_path):
    """An executor may run tasks in threads of one process: nothing that a shard is made in may be shared."""
    plan = plan_of(roots, "C,I,B,M", options=["native"], shard_bytes=1)
    assert len(plan.shards) > 8, "many small ones, so that they meet"
    expected = tree_bytes(build(plan, tmp_path / "one").artifact.path)
    threads = Engine(lambda: ThreadPoolExecutor(4), window=8)
    assert tree_bytes(build(plan, tmp_path / "four", engine=threads).artifact.path) == expected


def test_native_ids_are_the_raw_files(roots, version):
    inputs = {r["sample_id"]: r for r in version.inputs().to_pylist()}
    for row in rows(version):
        facts = inputs[row["sample_id"]]
        plan_root = plan_of(roots, "C,I,B,M").roots[facts["source"]].root
        data = (plan_root / facts["label"]).read_bytes()
        if facts["source"] == "idd":
            raw = decode_label(SOURCES["idd"].releases[plan_of(roots, "I").roots["idd"].release], data)
        else:
            image = Image.open(io.BytesIO(data))
            assert image.mode == ("P" if facts["source"] == "mapillary" else "L")
            raw = np.asarray(image)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["label_source"]["bytes"]))), raw)


def test_images_pass_through_untouched_and_inputs_are_hashed(roots, version):
    images = {row["sample_id"]: row["image"]["bytes"] for row in rows(version)}
    facts = version.inputs().to_pylist()
    assert len(facts) == len(images) == version.manifest.images
    plan = plan_of(roots, "C,I,B,M")
    for fact in facts:
        root = plan.roots[fact["source"]].root
        for kind in ("image", "label"):
            data = (root / fact[kind]).read_bytes()
            assert (len(data), blake3(data).hexdigest()) == (fact[f"{kind}_bytes"], fact[f"{kind}_blake3"])
        assert images[fact["sample_id"]] == (root / fact["image"]).read_bytes()


def test_statistics_equal_a_recount(version):
    names = [*version.taxonomy.space.names, "void"]
    pixels, images = {}, {}
    for row in rows(version):
        source = list(version.manifest.sources)[row["source"]]
        ids = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"])))
        counts = [int((ids == k).sum()) for k in [*range(70), 255]]
        assert row["pixel_count"] == counts
        assert row["classes"] == [k for k in range(70) if counts[k]]
        split = next(f["split"] for f in version.inputs().to_pylist() if f["sample_id"] == row["sample_id"])
        for name, n in zip(names, counts, strict=True):
            key = (source, split, name)
            pixels[key] = pixels.get(key, 0) + n
            images[key] = images.get(key, 0) + (n > 0)
    stats = version.stats().to_pylist()
    assert {(s["source"], s["split"], s["class"]): s["pixels"] for s in stats} == pixels
    assert {(s["source"], s["split"], s["class"]): s["images"] for s in stats} == images
    assert {s["class"]: s["class_id"] for s in stats} == {n: i for i, n in enumerate(names[:-1])} | {"void": 255}


def test_the_manifest_names_every_file_and_its_digest(version):
    found = {n: d for n, d in tree_bytes(version.path).items() if n != "manifest.json"}
    assert {n: (f.size, f.blake3) for n, f in version.manifest.files.items()} == {
        n: (len(d), blake3(d).hexdigest()) for n, d in found.items()
    }


def test_parquet_is_written_as_promised(version):
    for name in version.manifest.files:
        if not name.startswith("data/"):
            continue
        file = pq.ParquetFile(version.path / name)
        promised = arrow_schema(["native"], list(version.manifest.sources), version.taxonomy.space.names)
        assert file.schema_arrow.equals(promised)
        assert file.schema_arrow.metadata[b"huggingface"] == promised.metadata[b"huggingface"]
        for group in range(file.num_row_groups):
            for column in range(file.metadata.num_columns):
                chunk = file.metadata.row_group(group).column(column)
                assert chunk.compression == "UNCOMPRESSED"
                assert not chunk.has_dictionary_page
        assert file.metadata.row_group(0).column(0).statistics is None, "no image belongs into statistics"


@pytest.mark.parametrize("workers", [2, 4])
def test_same_bytes_for_any_number_of_workers(roots, tmp_path, workers):
    build(plan_of(roots, "C,I,B,M", shard_bytes=3000), tmp_path / "one")
    build(plan_of(roots, "C,I,B,M", shard_bytes=3000), tmp_path / "many", engine=processes(workers))
    assert tree_bytes(tmp_path / "one") == tree_bytes(tmp_path / "many")
    assert sum(name.startswith("cibm-union70/1.0.0/data") for name in tree_bytes(tmp_path / "one")) > 8


def test_the_order_of_a_folder_listing_does_not_matter(roots, tmp_path, monkeypatch):
    build(plan_of(roots, "C,I,B,M"), tmp_path / "a")
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = iter(list(entries)[::-1])

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def close(self):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    build(plan_of(roots, "C,I,B,M"), tmp_path / "b")
    assert tree_bytes(tmp_path / "a") == tree_bytes(tmp_path / "b")


def test_the_order_of_datasets_does_not_matter(roots, tmp_path):
    build(plan_of(roots, "M,B,C,I"), tmp_path / "a")
    build(plan_of(roots, "C,I,B,M"), tmp_path / "b")
    assert tree_bytes(tmp_path / "a") == tree_bytes(tmp_path / "b")


@pytest.fixture
def camvid(tmp_path):
    return small_world(tmp_path / "raw", "V"), tmp_path / "out"


def test_the_same_inputs_again_are_nothing_to_do(camvid):
    roots, out = camvid
    first = build(plan_of(roots, "V"), out)
    before = tree_bytes(out)
    again = build(plan_of(roots, "V"), out)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.artifact.digest == first.artifact.digest
    assert tree_bytes(out) == before


def with_comment(png: bytes, text: bytes) -> bytes:
    """The same picture in other bytes: a tEXt chunk behind IHDR."""
    body = b"tEXtComment\0" + text
    return png[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


def test_a_changed_label_file_is_a_major_version_and_the_old_one_stays(camvid):
    roots, out = camvid
    label = min(roots.rglob("trainannot/*.png"))
    plain = label.read_bytes()
    label.write_bytes(with_comment(plain, b"a"))
    first = build(plan_of(roots, "V"), out).artifact
    old = tree_bytes(first.path)
    label.write_bytes(with_comment(plain, b"b"))  # same path, same size: only its content tells
    second = build(plan_of(roots, "V"), out).artifact
    assert second.manifest.plan == first.manifest.plan
    assert second.manifest.version == "2.0.0"
    assert tree_bytes(first.path) == old
    assert [a.manifest.version for a in versions(first.path.parent)] == ["1.0.0", "2.0.0"]


def test_a_sample_more_is_a_minor_version(camvid):
    roots, out = camvid
    build(plan_of(roots, "V"), out)
    for folder in ("train", "trainannot"):
        file = min(roots.rglob(f"{folder}/*.png"))
        shutil.copy(file, file.with_name("zz_new.png"))
    assert build(plan_of(roots, "V"), out).artifact.manifest.version == "1.1.0"


def test_a_column_more_is_a_minor_version(camvid):
    roots, out = camvid
    build(plan_of(roots, "V"), out)
    assert build(plan_of(roots, "V", options=["native"]), out).artifact.manifest.version == "1.1.0"


def test_an_older_version_that_is_the_same_is_not_made_again(camvid):
    roots, out = camvid
    first = build(plan_of(roots, "V", options=["native"]), out).artifact
    assert build(plan_of(roots, "V"), out).artifact.manifest.version == "2.0.0", "a column is gone"
    again = build(plan_of(roots, "V", options=["native"]), out)
    assert (again.artifact.path, again.fresh) == (first.path, False)
    assert [a.manifest.version for a in versions(first.path.parent)] == ["1.0.0", "2.0.0"]


def damage(roots: Path) -> None:
    """One fault of each of four kinds, in four samples of the train split."""
    images = sorted(roots.rglob("train/*.png"))
    labels = sorted(roots.rglob("trainannot/*.png"))
    labels[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:-20])
    Image.new("L", (5, 5)).save(labels[2])
    Image.fromarray(np.full_like(np.asarray(Image.open(labels[3])), 77)).save(labels[3])


@pytest.fixture
def damaged(tmp_path):
    from . import layouts

    layouts.write_camvid(tmp_path / "raw" / "camvid", train=6, val=1)
    damage(tmp_path / "raw")
    return tmp_path / "raw", tmp_path / "out"


def test_everything_wrong_is_listed_at_once_and_no_version_is_written(damaged):
    roots, out = damaged
    with pytest.raises(UnifyError) as e:
        build(plan_of(roots, "V"), out)
    assert e.value.exit_code == 65
    assert {p.kind for p in e.value.problems} == {"missing-label", "bad-image", "size-mismatch", "unknown-id"}
    assert all(p.path.startswith("camvid/") and p.fix for p in e.value.problems)
    listed = [json.loads(line) for line in (out / "v-union11" / "rejects.jsonl").read_text().splitlines()]
    assert [row["path"] for row in listed] == [p.path for p in e.value.problems]
    assert not versions(out / "v-union11")


def test_keep_going_leaves_the_faulty_out_and_says_so(damaged):
    roots, out = damaged
    result = build(plan_of(roots, "V"), out, keep_going=True)
    assert len(result.problems) == 4
    manifest = result.artifact.manifest
    assert (manifest.images, manifest.rejects) == (3, 4)
    assert len(result.artifact.read("rejects.jsonl").splitlines()) == 4
    again = build(plan_of(roots, "V"), out, keep_going=True)
    assert (again.fresh, again.artifact.digest, len(again.problems)) == (False, result.artifact.digest, 4)
    with pytest.raises(UnifyError):
        build(plan_of(roots, "V"), out)


def test_a_repaired_root_builds_like_one_that_was_never_damaged(damaged, tmp_path):
    roots, out = damaged
    with pytest.raises(UnifyError):
        build(plan_of(roots, "V"), out)
    from . import layouts

    shutil.rmtree(roots)
    layouts.write_camvid(roots / "camvid", train=6, val=1)
    build(plan_of(roots, "V"), out)
    build(plan_of(roots, "V"), tmp_path / "clean")
    assert tree_bytes(out) == tree_bytes(tmp_path / "clean")


def test_a_file_that_changes_during_the_build_is_noticed(camvid, monkeypatch):
    roots, out = camvid
    plan = plan_of(roots, "V")
    victim = min(roots.rglob("train/*.png"))

    def touch(shard, receipt):
        os.utime(victim, ns=(1, 1))

    with pytest.raises(UnifyError, match=r"changed-while-reading: camvid/.*changed during the build"):
        build(plan, out, progress=touch)
    assert not versions(out / plan.name)


def test_a_full_disk_is_refused_before_hours_of_work(camvid, monkeypatch):
    roots, out = camvid
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1))
    with pytest.raises(UnifyError, match=r"needs about .* GB more, 0.0 GB are free") as e:
        build(plan_of(roots, "V"), out)
    assert e.value.exit_code == 74


def test_open_refuses_what_is_no_version(tmp_path):
    with pytest.raises(UnifyError, match=r"not-found: .* holds no manifest.json — give the folder of a version") as e:
        open_artifact(tmp_path)
    assert e.value.exit_code == 66
