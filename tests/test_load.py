"""A version opens with Hugging Face `datasets` alone: in a fresh process that never imports unify."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import unify
from unify.build import build
from unify.errors import UnifyError

from .worlds import plan_of, small_world

READER = """
import json, sys, datasets, numpy as np
path, sample = sys.argv[1:]
datasets.disable_progress_bars()
union = datasets.load_dataset(path)
one = datasets.load_dataset(path, "idd")
streamed = datasets.load_dataset(path, split="train", streaming=True)
columns = datasets.load_dataset(path, split="train", columns=["source", "sample_id"])
filtered = datasets.load_dataset(path, split="train", filters=[("source", "==", 2)])
row = next(r for r in union["train"] if r["sample_id"] == sample)
print(json.dumps({
    "rows": {k: len(v) for k, v in union.items()},
    "idd": {k: len(v) for k, v in one.items()},
    "streamed": sum(1 for _ in streamed),
    "columns": columns.column_names,
    "filtered": filtered["source"][:],
    "sources": union["train"].features["source"].names,
    "classes": union["train"].features["classes"].feature.names,
    "label": np.array(row["label"]).tolist(), "mode": row["label"].mode,
    "image": np.array(row["image"]).tolist(),
    "stats": datasets.load_dataset(path, "stats", split="train").column_names,
    "unify": "unify" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIBM")


@pytest.fixture(scope="module")
def version(roots, tmp_path_factory):
    return build(plan_of(roots, "C,I,B,M"), tmp_path_factory.mktemp("out")).artifact


@pytest.fixture(scope="module")
def seen(version, tmp_path_factory):
    first = version.inputs().to_pylist()[0]["sample_id"]
    home = str(tmp_path_factory.mktemp("hf"))
    out = subprocess.run(
        [sys.executable, "-c", READER, str(version.path), first],
        capture_output=True, text=True, cwd=home, env={"HF_HOME": home, "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout.splitlines()[-1])


def test_rows_sources_and_class_names(version, seen):
    assert seen["rows"] == {"train": 8, "val": 4}
    assert seen["idd"] == {"train": 2, "val": 1}
    assert seen["sources"] == ["cityscapes", "idd", "bdd100k", "mapillary"]
    assert tuple(seen["classes"]) == version.taxonomy.space.names
    assert not seen["unify"]


def test_streaming_columns_and_filters(seen):
    assert seen["streamed"] == 8
    assert seen["columns"] == ["source", "sample_id"]
    assert seen["filtered"] == [2, 2]


def test_pixels(roots, version, seen):
    fact = version.inputs().to_pylist()[0]
    root = plan_of(roots, "C").roots["cityscapes"].root
    assert seen["image"] == np.asarray(Image.open(root / fact["image"])).tolist()
    raw = np.asarray(Image.open(root / fact["label"]))
    assert seen["mode"] == "L"
    assert np.array_equal(np.array(seen["label"]), version.taxonomy.table("cityscapes")[raw])


def test_the_statistics_are_a_config(seen):
    assert seen["stats"] == ["source", "split", "class_id", "class", "pixels", "images", "instances"]


def test_unify_load_by_name_and_path(version, monkeypatch):
    by_path = unify.load(version.path)
    by_name = unify.load("cibm-union70", root=version.path.parents[1], source="bdd100k")
    assert by_path.taxonomy == version.taxonomy
    assert {k: len(v) for k, v in by_name.items()} == {"train": 2, "val": 1}
    with pytest.raises(UnifyError, match=r"usage: .* has no source 'kitti' — choose one of union, cityscapes, idd"):
        unify.load(version.path, source="kitti")
    with pytest.raises(UnifyError, match=r"not-found: nothing: is no version; .*cibm-union70 1\.0\.0"):
        unify.load("nothing", root=version.path.parents[1])
    with pytest.raises(UnifyError, match=r"is no version \(did you mean 'cibm-union70'\?\); below"):
        unify.load("cibm-unoin70", root=version.path.parents[1])


def test_open_gives_manifest_taxonomy_and_null_masks(version):
    artifact = unify.open(version.path)
    assert artifact.manifest.images == 12
    assert artifact.null_mask.shape == (4, 70)
    assert artifact.null_mask.sum(axis=1).tolist() == [19, 26, 19, 65]


def test_id2label_is_what_transformers_reads(version):
    id2label = json.loads(version.read("id2label.json"))
    assert {int(k): v for k, v in id2label.items()} == dict(enumerate(version.taxonomy.space.names))
