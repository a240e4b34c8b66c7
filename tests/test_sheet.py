from __future__ import annotations

import numpy as np
from PIL import Image

from unify.build import build
from unify.cli import run
from unify.report.sheet import contact_sheet, pick

from .worlds import plan_of, small_world


def test_tiles_show_the_pixels_in_the_colours_of_their_spaces(tmp_path):
    plan = plan_of(small_world(tmp_path / "raw", "CM"), "C,M", options=["native"])
    artifact = build(plan, tmp_path / "out").artifact
    samples = list(pick(artifact, per_source=1))
    assert [s.source for s in samples] == ["cityscapes", "mapillary"]
    width = samples[0].image_hwc.shape[1]
    sheet = np.asarray(contact_sheet(artifact, samples, tile_width=width))
    for sample in samples:
        raw = artifact.taxonomy.mappings[sample.source].source
        for picture in (
            sample.image_hwc,
            raw.palette()[sample.native_hw],
            artifact.taxonomy.space.palette()[sample.label_hw],
        ):
            assert contains(sheet, picture)


def contains(sheet: np.ndarray, picture: np.ndarray) -> bool:
    h, w, _ = picture.shape
    spots = np.argwhere((sheet[: -h + 1, : -w + 1] == picture[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + h, x : x + w], picture) for y, x in spots)


def test_pick_takes_the_samples_with_most_classes(tmp_path):
    artifact = build(plan_of(small_world(tmp_path / "raw", "V"), "V"), tmp_path / "out").artifact
    (sample,) = pick(artifact, per_source=1)
    rows = artifact.table(next(f for f in artifact.manifest.files if "train" in f)).to_pylist()
    rows += artifact.table(next(f for f in artifact.manifest.files if "val" in f)).to_pylist()
    assert len(set(np.unique(sample.label_hw)) - {255}) == max(len(r["classes"]) for r in rows)


def test_the_command_writes_a_picture(tmp_path, capsys):
    artifact = build(plan_of(small_world(tmp_path / "raw", "V"), "V"), tmp_path / "out").artifact
    for name, kind in (("sheet.png", "PNG"), ("sheet.jpg", "JPEG")):
        assert run(["view", "sheet", str(artifact.path), "-o", str(tmp_path / name)]) == 0
        with Image.open(tmp_path / name) as picture:
            assert picture.format == kind
    assert "of v-union11 1.0.0" in capsys.readouterr().out
