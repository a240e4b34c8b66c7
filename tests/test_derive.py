"""Versions made from versions: same bytes however they are made, whole or not there, never from altered data."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from unify import derive, rows
from unify.build import build
from unify.commit import commit
from unify.convert import conversion
from unify.derive import Step, derivation, samples_of
from unify.engine import processes
from unify.erase import Options, erasure
from unify.errors import UnifyError
from unify.verify import verify

from .test_crash import disturbed
from .worlds import plan_of, small_world, tree_bytes

VOIDED = Options("noise", "void")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    roots = small_world(tmp_path_factory.mktemp("raw"), "CIBM")
    plan = plan_of(roots, "C,I,B,M", "union70", options=["native"], shard_bytes=3000)
    return build(plan, tmp_path_factory.mktemp("out")).artifact


def shown(parent) -> str:
    """A class that some image shows and some does not."""
    images = {}
    for row in parent.stats().to_pylist():
        images[row["class"]] = images.get(row["class"], 0) + row["images"]
    return next(name for name, n in images.items() if 0 < n < parent.manifest.images and name != "void")


def jobs(parent):
    return [conversion(parent, "cityscapes19"), erasure(parent, [shown(parent)], VOIDED).job]


def test_samples_are_the_rows(parent):
    found = {sample.sample_id: sample for sample in samples_of(parent)}
    facts = {fact["sample_id"]: fact for fact in parent.inputs().to_pylist()}
    assert found.keys() == facts.keys()
    for path in (f for f in parent.manifest.files if f.startswith("data/")):
        for i, row in enumerate(pq.read_table(parent.path / path, partitioning=None).to_pylist()):
            sample, fact = found[row["sample_id"]], facts[row["sample_id"]]
            assert (sample.shard, sample.index) == (path, i)
            assert (sample.source, sample.split) == (fact["source"], fact["split"])
            assert (*sample.size_hw, list(sample.pixel_count)) == (row["height"], row["width"], row["pixel_count"])
            assert (sample.image.blake3, sample.label.path) == (fact["image_blake3"], fact["label"])


@pytest.mark.parametrize("which", [0, 1])
def test_same_bytes_for_any_number_of_workers(parent, tmp_path, which):
    for workers in (1, 2):
        commit(jobs(parent)[which], tmp_path / str(workers), engine=processes(workers))
    assert tree_bytes(tmp_path / "1") == tree_bytes(tmp_path / "2")
    assert sum("/data/" in name for name in tree_bytes(tmp_path / "1")) > 5


@pytest.mark.parametrize("which", [0, 1])
def test_inputs_are_carried_over(parent, tmp_path, which):
    child = commit(jobs(parent)[which], tmp_path).artifact
    assert child.inputs().to_pylist() == parent.inputs().to_pylist()
    assert verify(child).ok
    assert {n: f["splits"] for n, f in child.manifest.sources.items()} == {
        n: f["splits"] for n, f in parent.manifest.sources.items()
    }


@pytest.mark.parametrize("how", ["killed before", "killed after", "torn", "refused: full"])
def test_every_operation(parent, tmp_path, how):
    """As the crash test of builds, with every seventh operation: one version or none, then the same bytes."""
    undisturbed = tmp_path / "undisturbed"
    name = next(r["class"] for r in parent.stats().to_pylist() if r["split"] == "val" and r["images"])
    small = erasure(parent, [name], dataclasses.replace(VOIDED, splits=("val",)))
    commit(small.job, undisturbed)
    expected = tree_bytes(undisturbed)
    (whole,) = {f.split("/", 2)[1] for f in expected}
    k, codes = 1, []
    while not codes or codes[-1]:
        out = tmp_path / str(k)
        codes.append(disturbed(lambda out=out: commit(small.job, out), k, how))
        published = [m for m in out.rglob("manifest.json") if ".work" not in m.parts]
        if published:
            version = {f"{small.job.outline.name}/{whole}/{n}": d for n, d in tree_bytes(published[0].parent).items()}
            assert version == expected
        commit(small.job, out)
        assert tree_bytes(out) == expected, f"other bytes or stray files after operation {k} ({how})"
        k += 7
    assert len(codes) > 10
    assert set(codes[:-1]) == ({74} if how.startswith("refused") else {137})


def test_finished_shards_are_taken_over(parent, tmp_path, monkeypatch):
    job = conversion(parent, "cityscapes19")
    assert disturbed(lambda: commit(job, tmp_path), 60, "killed before") == 137
    made = []
    real = derive.write_shard
    monkeypatch.setattr(derive, "write_shard", lambda target, *rest: made.append(target.path) or real(target, *rest))
    commit(job, tmp_path)
    assert 0 < len(made) < len(job.outline.parts)


def test_an_altered_parent_is_refused(parent, tmp_path):
    import shutil

    copy = tmp_path / "copy" / "v" / "1.0.0"
    shutil.copytree(parent.path, copy)
    altered = type(parent)(copy, parent.manifest)
    job = conversion(altered, "cityscapes19")
    victim = copy / next(f for f in parent.manifest.files if f.startswith("data/"))
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    with pytest.raises(UnifyError, match=r"not-verified: .*parquet: holds other bytes than were published") as e:
        commit(job, tmp_path / "out")
    assert e.value.exit_code == 76
    assert not list((tmp_path / "out").rglob("manifest.json"))


def same(source, record):
    return record


def larger(source, record):
    return dataclasses.replace(record, image=bytes(record.image) * 3)


def test_shards_that_grow_are_divided(parent, tmp_path, monkeypatch):
    """With small limits: several row groups a shard, several shards from one, every row once and in order."""
    monkeypatch.setattr(derive, "SHARD_BYTES", 20_000)
    monkeypatch.setattr(rows, "ROW_GROUP_BYTES", 9_000)
    options = tuple(parent.manifest.recipe["options"])

    def make(shard_bytes, name, row):
        step = Step(name, {"operation": "test"}, parent.taxonomy, options, row, shard_bytes)
        return commit(derivation(parent, step, samples_of(parent)), tmp_path).artifact

    plain = make(None, "plain", same)
    data = [f for f in parent.manifest.files if f.startswith("data/")]
    assert [f for f in plain.manifest.files if f.startswith("data/")] == data
    assert [s.sample_id for s in samples_of(plain)] == [s.sample_id for s in samples_of(parent)]
    divided = make(lambda sample: 15_000, "divided", larger)
    found = samples_of(divided)
    assert [s.sample_id for s in found] == [s.sample_id for s in samples_of(parent)]
    assert len({s.shard for s in found}) == len(found) > len(data)
    assert verify(divided).ok
    images = {r["sample_id"]: r["image"]["bytes"] for r in all_rows(parent)}
    assert {r["sample_id"]: r["image"]["bytes"] for r in all_rows(divided)} == {k: 3 * v for k, v in images.items()}


def all_rows(artifact) -> list[dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()


READER = """
import json, sys, datasets, numpy as np
datasets.disable_progress_bars()
union = datasets.load_dataset(sys.argv[1])
row = union["val"][0]
print(json.dumps({
    "rows": {k: len(v) for k, v in union.items()},
    "one": {k: len(v) for k, v in datasets.load_dataset(sys.argv[1], "idd").items()},
    "columns": union["val"].column_names,
    "erased": sorted(set(np.unique(np.array(row["erased"])).tolist())), "mode": row["image"].mode,
    "table": datasets.load_dataset(sys.argv[1], "erased", split="train").column_names,
    "unify": "unify" in sys.modules,
}))
"""


def test_it_opens_with_datasets_alone(parent, tmp_path):
    child = commit(erasure(parent, [shown(parent)]).job, tmp_path).artifact
    env = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", READER, str(child.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["rows"] == {"train": 8, "val": 4}
    assert seen["one"] == {"train": 2, "val": 1}
    assert seen["columns"] == list(child.manifest.columns) == [*parent.manifest.columns[:8], "erased", "label_source"]
    assert set(seen["erased"]) <= {0, 255}
    assert seen["table"] == ["source", "split", "class_id", "class", "pixels", "images", "share"]
    assert not seen["unify"]
