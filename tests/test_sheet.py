from __future__ import annotations

import numpy as np
from PIL import Image

from unify.build import build
from unify.cli import run
from unify.mapping import Mapping
from unify.report import sheet as module
from unify.report.draw import LINES, PAPER, SET
from unify.report.sheet import Change, Native, contact_sheet, pick
from unify.spaces import LabelClass, LabelSpace
from unify.taxonomy import Taxonomy

from .worlds import plan_of, small_world


def test_tiles_show_the_pixels_in_the_colours_of_their_spaces(tmp_path):
    plan = plan_of(small_world(tmp_path / "raw", "CM"), "C,M", options=["native"])
    artifact = build(plan, tmp_path / "out").artifact
    samples = list(pick(artifact, per_source=1))
    assert [s.source for s in samples] == ["cityscapes", "mapillary"]
    width = samples[0].image_hwc.shape[1]
    sheet = np.asarray(contact_sheet(artifact, samples, tile_width=width))
    space, seen = artifact.taxonomy.space, set()
    for sample in samples:
        assert contains(sheet, sample.image_hwc)
        mapping = artifact.taxonomy.mappings[sample.source]
        own = {c.id % 256: c for c in mapping.source.classes}
        native, union = np.zeros((2, *sample.image_hwc.shape))
        for y, x in np.ndindex(*sample.label_hw.shape):
            raw, code = own.get(int(sample.native_hw[y, x])), int(sample.label_hw[y, x])
            void = LINES if (x + y) % 8 == 0 else (0, 0, 0)
            union[y, x] = void if code == 255 else space.classes[code].color
            if raw is None or (raw.color == (0, 0, 0) and code == 255):
                native[y, x], kind = void, "void"
            elif code < 255 and raw.name == space.names[code]:
                native[y, x], kind = np.round(0.66 * np.array(PAPER) + 0.34 * np.array(raw.color)), "kept"
            else:
                native[y, x], kind = raw.color, "changed"
            seen.add(kind)
        assert contains(sheet, native.astype(np.uint8)) and contains(sheet, union.astype(np.uint8))
    assert seen == {"void", "kept", "changed"}


def test_what_becomes_of_which_stands_below(tmp_path, monkeypatch):
    plan = plan_of(small_world(tmp_path / "raw", "CBM"), "C,B,M", options=["native"])
    artifact = build(plan, tmp_path / "out").artifact
    told: list[str] = []
    real = module.write
    monkeypatch.setattr(module, "write", lambda *a, **b: (told.append(a[2]), real(*a, **b)))
    taxonomy = artifact.taxonomy
    for sample in pick(artifact, per_source=1):
        told.clear()
        contact_sheet(artifact, [sample])
        mapping, count = taxonomy.mappings[sample.source], {}
        for raw_id, pixels in zip(*np.unique(sample.native_hw, return_counts=True), strict=True):
            for c in mapping.source.classes:
                new = "void" if (rule := mapping.rules[c.name]) == () else rule[0]
                is_black_void = c.color == (0, 0, 0) and new == "void"
                if c.id % 256 == raw_id and c.name != new and not is_black_void:
                    count[c.name, new] = int(pixels)
        names = told[told.index(sample.sample_id) + 1 :]
        if not count:
            assert sample.source == "bdd100k" and names[0] == "every class keeps its name"
            continue
        shown = [pair for pair in zip(names[::2], names[1::2], strict=False) if pair in count]
        assert len(shown) >= 3 and sorted(shown, key=lambda pair: -count[pair]) == shown == list(
            dict.fromkeys(shown)
        ), "the largest first"
        if len(shown) < len(count):
            assert names[2 * len(shown)] == f"and {len(count) - len(shown)} more"
        assert "void" in names


def test_a_class_that_becomes_one_of_several_is_gray():
    target = LabelSpace("two", (LabelClass(0, "car", (200, 0, 0)), LabelClass(1, "bus", (0, 0, 200))))
    rules = {"car": ("car",), "vehicle": ("car", "bus"), "sky": (), "nothing": ()}
    colors = [(200, 0, 0), (9, 9, 9), (70, 130, 180), (0, 0, 0)]
    raw = LabelSpace("raw", tuple(LabelClass(i, n, c) for i, (n, c) in enumerate(zip(rules, colors, strict=True))))
    native = Native.of(Taxonomy(target, {"a": Mapping(raw, target, rules, "here")}), "a")
    assert native.changes(np.array([[0, 1, 2, 2, 3, 3, 3]], np.uint8)) == [
        Change("sky", (70, 130, 180), "void", (0, 0, 0)),
        Change("vehicle", (9, 9, 9), "car or bus", SET),
    ]
    assert native.keeps.nonzero()[0].tolist() == [0] and native.is_void[3] and not native.is_void[:3].any()


def test_without_labels_of_its_own_a_source_has_two_columns(tmp_path):
    artifact = build(plan_of(small_world(tmp_path / "raw", "V"), "V"), tmp_path / "out").artifact
    (sample,) = pick(artifact, per_source=1)
    assert contact_sheet(artifact, [sample], tile_width=100).width == 2 * 28 + 2 * 100 + 10


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
