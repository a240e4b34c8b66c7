"""Real CamVid: every label pixel against Pillow and a plain table. Skipped where the data is not."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from unify.build import build

from .raw import CAMVID
from .worlds import plan_of

pytestmark = pytest.mark.skipif(not CAMVID.is_dir(), reason="real CamVid is not on this machine")

#: The order of the SegNet labels, and their names in the union.
SEGNET = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "signsymbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
]


def test_every_pixel_of_every_image(tmp_path):
    artifact = build(plan_of(CAMVID.parent, "V"), tmp_path).artifact
    assert artifact.manifest.sources["camvid"]["splits"] == {"train": 367, "val": 101}
    names = list(artifact.taxonomy.space.names)
    assert names == sorted(SEGNET)
    table = np.array([names.index(name) for name in SEGNET] + [255], np.uint8)  # 11 is void
    recount = np.zeros(12, np.int64)
    rows = 0
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    paths = {f["sample_id"]: f for f in artifact.inputs().to_pylist()}
    for batch in ds.dataset(files, format="parquet").to_batches(batch_size=32):
        for row in batch.to_pylist():
            fact = paths[row["sample_id"]]
            raw_hw = np.asarray(Image.open(CAMVID / fact["label"]))
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["label"]["bytes"]))), table[raw_hw])
            assert row["image"]["bytes"] == (CAMVID / fact["image"]).read_bytes()
            counts = np.bincount(table[raw_hw].ravel(), minlength=256)
            assert row["pixel_count"] == [*counts[:11], counts[255]]
            recount += row["pixel_count"]
            rows += 1
    assert rows == 468
    stats = artifact.stats().to_pylist()
    assert [sum(s["pixels"] for s in stats if s["class"] == n) for n in [*names, "void"]] == recount.tolist()
