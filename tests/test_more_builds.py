"""The further datasets through the whole build, against Pillow and dictionaries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from unify.cli import app
from unify.errors import UnifyError
from unify.sources import SOURCES
from unify.spaces import load_space

from . import layouts, layouts_more
from .layouts_more import write_world
from .raw import only, release

NYU_SAMPLES = ("test/000001", "train/000002", "train/000003")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("raw"))


def build(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["build", "-j", "1", *args], standalone_mode=False)
    if isinstance(result.exception, UnifyError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None, result.exception
    return result.return_value, result.output


def rows_of(path: Path, config: str) -> dict[str, np.ndarray]:
    """Sample id → label (H, W), of one source of a version."""
    import datasets

    found = datasets.load_dataset(str(path), config)
    return {row["sample_id"]: np.asarray(row["label"]) for split in found.values() for row in split}


def test_a_dataset_without_a_validation_split_has_its_test_split_by_default(world, tmp_path):
    code, text = build("--datasets", "N", "--root", f"N={world / 'nyu'}", "-o", str(tmp_path), "--space", "nyu40")
    assert code == 0, text
    assert sorted(rows_of(tmp_path / "n-nyu40/1.0.0", "nyu")) == [f"nyu/{s}" for s in NYU_SAMPLES]


def test_all_of_them_in_one_version(world, tmp_path):
    """Streets, rooms and objects; sources without a validation split are passed over for it."""
    folders = {"K": "kitti", "A": "acdc", "W": "wd beta", "P": "voc aug", "X": "context", "N": "nyu"}
    roots = [text for letter, folder in folders.items() for text in ("--root", f"{letter}={world / folder}")]
    code, text = build("--datasets", "K,A@night,W,P@trainaug,X,N", *roots, "-o", str(tmp_path), "--name", "all")
    assert code == 0, text
    path = tmp_path / "all/1.0.0"
    taxonomy = json.loads((path / "taxonomy.json").read_text())
    names = [c["name"] for c in taxonomy["space"]["classes"]]
    for source, splits in {
        "kitti": 3, "acdc": 3, "wilddash": 2, "voc": 6, "context": 3, "nyu": 2,
    }.items():  # fmt: skip
        labels = rows_of(path, source)
        assert len(labels) == splits, source
        root = world / folders[SOURCES[source].letter]
        r = release(source, {"acdc": "night", "voc": "trainaug"}.get(source, only(root).release))
        raw_space = load_space(r.space)
        for split in ("train", "val"):
            for pair in r.find(root, split).pairs if split in r.splits else ():
                raw_hw = np.asarray(Image.open(root / pair.label))
                rules = next(s["rules"] for s in taxonomy["sources"] if s["name"] == source)
                becomes = {c.id: names.index(rules[c.name][0]) if rules[c.name] else 255 for c in raw_space.classes}
                expected_hw = np.vectorize(becomes.get)(raw_hw)
                assert np.array_equal(labels[f"{source}/{split}/{pair.sample_id}"], expected_hw)


@pytest.mark.parametrize(
    ("write", "letter", "label", "ids"),
    [
        (layouts_more.write_context, "X", "SegmentationClassContext/2008_000008.png", "255 (1 pixels)"),
        (layouts_more.write_nyu, "N", "label40/000002.png", "255 (1 pixels)"),
        (layouts_more.write_voc, "P", "SegmentationClass/2007_000000.png", "21 (1 pixels)"),
    ],
)
def test_ids_of_another_convention_stop_the_build(tmp_path, write, letter, label, ids):
    write(tmp_path / "raw")
    ids_hw = np.asarray(Image.open(tmp_path / "raw" / label)).copy()
    ids_hw[ids_hw == 255] = 0
    ids_hw[0, 0] = int(ids.split()[0])
    layouts.save(Image.fromarray(ids_hw), tmp_path / "raw" / label)
    code, text = build("--datasets", letter, "--root", f"{letter}={tmp_path / 'raw'}", "-o", str(tmp_path / "out"))
    assert code == 65 and f"unknown-id: raw/{label}: ids that " in text and ids in text


def test_a_source_without_validation_split_is_built_alone(world, tmp_path):
    assert build("--datasets", "K", "--root", f"K={world / 'kitti'}", "-o", str(tmp_path))[0] == 0
    assert len(rows_of(tmp_path / "k-union19/1.0.0", "kitti")) == 3
    code, text = build("--datasets", "K", "--root", f"K={world / 'kitti'}", "--split", "val", "-o", str(tmp_path))
    assert code == 2 and "no dataset has a split 'val'" in text


def test_the_extra_frames_alone(world, tmp_path):
    args = ["--datasets", "C@coarse", "--split", "train_extra", "--root", str(world / "coarse")]
    assert build(*args, "-o", str(tmp_path))[0] == 0
    assert sorted(rows_of(tmp_path / "c-union19/1.0.0", "cityscapes")) == [
        "cityscapes/train_extra/augsburg_000000_000013",
        "cityscapes/train_extra/augsburg_000001_000113",
    ]
