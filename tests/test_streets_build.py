"""The main job on Streets in their true layouts: every pixel of every image against the raw files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unify.build import build
from unify.sample import write_streets
from unify.sources import SOURCES, decode_label

from .test_build import naive_map, rows
from .worlds import plan_of


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C", "I", "B", "M"], images=3, seed=1, size=0.06)
    plan = plan_of(folder / "raw", "C,I,B,M")
    return plan, build(plan, folder / "out").artifact


def test_every_label_is_its_raw_file_through_the_table(version):
    plan, artifact = version
    facts = {fact["sample_id"]: fact for fact in artifact.inputs().to_pylist()}
    recount = np.zeros(71, np.int64)
    for row in rows(artifact):
        fact = facts[row["sample_id"]]
        found = plan.roots[fact["source"]]
        data = (found.root / fact["label"]).read_bytes()
        if fact["source"] == "idd":  # polygons: drawn, as tests/test_polygons.py checks
            raw_hw = decode_label(SOURCES["idd"].releases[found.release], data)
        else:
            raw_hw = np.asarray(Image.open(io.BytesIO(data)))
        label_hw = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"])))
        assert np.array_equal(label_hw, naive_map(raw_hw, fact["source"])), row["sample_id"]
        assert row["image"]["bytes"] == (found.root / fact["image"]).read_bytes()
        recount += [int((label_hw == k).sum()) for k in [*range(70), 255]]
    assert len(facts) == artifact.manifest.images == 16
    assert all(facts["generated"] for facts in artifact.manifest.sources.values())
    stats = artifact.stats().to_pylist()
    names = [*artifact.taxonomy.space.names, "void"]
    assert [sum(s["pixels"] for s in stats if s["class"] == name) for name in names] == recount.tolist()


def test_unions_of_streets_have_the_sizes_of_the_paper(version):
    _, artifact = version
    assert (artifact.manifest.name, artifact.manifest.classes) == ("cibm-union70", 70)
    assert artifact.null_mask.sum(axis=1).tolist() == [19, 26, 19, 65]
