"""Instances of Pascal VOC and WildDash 2, whose files say in two places what and which a thing is.

Every pixel and count against Pillow, the raw files and loops.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unify
from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion
from unify.describe import code_names
from unify.errors import UnifyError
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.sources.panoptic import paint

from .layouts_more import write_voc, write_wilddash
from .test_instances import rows, seen_by_datasets
from .worlds import plan_of

SPACES = {"P": "voc20", "W": "wilddash26"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Tiny roots; the beta of WildDash beside v2p0."""
    folder = tmp_path_factory.mktemp("raw")
    write_voc(folder / "voc")
    for release in ("v2p0", "public_02"):
        paint(write_wilddash(folder / release / "wilddash", release=release))
    return folder


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder, ["P", "W"], images=3, seed=4, size=0.25, layouts={"voc": "voc2012", "wilddash": "v2p0"})
    paint(folder / "wilddash/wd_public_v2p0")
    return folder


def opened(data: bytes | Path) -> np.ndarray:
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        return np.asarray(image).astype(int)


def voc_values(root: Path, name: str) -> list[list[int]]:
    label, objects = (opened(root / folder / name).tolist() for folder in ("SegmentationClass", "SegmentationObject"))
    return [
        [c * 256 + (0 if 255 in (c, n) else n) for c, n in zip(*lines, strict=True)]
        for lines in zip(label, objects, strict=True)
    ]


def wilddash_values(root: Path, name: str) -> list[list[int]]:
    file = json.loads((root / "panoptic.json").read_text())
    is_thing = {c["id"]: c["isthing"] for c in file["categories"]}
    value_of, count = {0: 0}, dict.fromkeys(is_thing, 0)
    (annotation,) = (a for a in file["annotations"] if a["file_name"] == name)
    for segment in annotation["segments_info"]:
        category = segment["category_id"]
        one = is_thing[category] and not segment["iscrowd"]
        count[category] += one
        value_of[segment["id"]] = category * 800 + one * count[category]
    lines = opened(root / "panoptic" / name).tolist()
    return [[value_of[r + 256 * g + 65536 * b] for r, g, b in line] for line in lines]


VALUES = {"voc": (256, voc_values), "wilddash": (800, wilddash_values)}


def check(artifact, roots: dict[str, Path]) -> dict[str, int]:
    """Compare all pixels and counts of a version; things told apart, by source."""
    totals: dict[str, int] = {}
    codes = len(code_names(artifact.taxonomy)) - 1
    inputs = {fact["sample_id"]: fact for fact in artifact.inputs().to_pylist()}
    for sample_id, row in rows(artifact).items():
        source = sample_id.partition("/")[0]
        divisor, values_of = VALUES[source]
        expected = values_of(roots[source], Path(inputs[sample_id]["label"]).name)
        assert opened(row["instance"]["bytes"]).tolist() == expected
        counts = [0] * (codes + 1)
        for value in {v for line in expected for v in line if v % divisor}:
            code = int(artifact.taxonomy.table(source)[value // divisor])
            counts[min(code, codes)] += 1
        assert row["instance_count"] == counts
        totals[source] = totals.get(source, 0) + sum(counts)
    return totals


@pytest.mark.parametrize("release", ["v2p0", "public_02"])
def test_wilddash(raw, tmp_path, release):
    root = raw / release / "wilddash"
    artifact = build(plan_of(raw / release, "W", splits=("train",), options=["instances"]), tmp_path).artifact
    assert artifact.manifest.sources["wilddash"]["release"] == release
    assert check(artifact, {"wilddash": root})["wilddash"] > 20
    for fact in artifact.inputs().to_pylist():
        assert fact["instance"] == f"instance/{Path(fact['label']).name}"


def test_a_root_of_the_beta_keeps_its_labels(raw):
    assert not (raw / "public_02/wilddash/semantic").exists()


def test_voc(raw, tmp_path):
    artifact = build(plan_of(raw, "P", options=["instances"]), tmp_path).artifact
    assert check(artifact, {"voc": raw / "voc"})["voc"] > 20
    for fact in artifact.inputs().to_pylist():
        file = raw / "voc" / fact["instance"]
        assert file.parent.name == "SegmentationObject" and fact["instance_bytes"] == file.stat().st_size


def test_trainaug_has_no_objects(tmp_path):
    write_voc(tmp_path / "voc", augmented=True)
    plan = plan_of(tmp_path, "P@trainaug", options=["instances"])
    artifact = build(plan, tmp_path / "out").artifact
    assert {row["instance"] for row in rows(artifact).values()} == {None}
    assert {s["instances"] for s in artifact.stats().to_pylist()} == {None}


def test_build_says_who_does_not_tell_things_apart(tmp_path, capsys):
    write_voc(tmp_path / "voc", augmented=True)
    arguments = ["build", "--root", str(tmp_path), "--dry-run", "--instances"]
    assert run([*arguments, "--datasets", "P@trainaug"]) == 0
    assert "unify: --instances: voc (trainaug) does not tell things of one class apart\n" in capsys.readouterr().err
    assert run([*arguments, "--datasets", "P"]) == 0
    assert "--instances" not in capsys.readouterr().err


def test_generated_data_from_the_command_line(streets, tmp_path, capsys):
    """Sample, build, statistics, `datasets`, conversion."""
    arguments = ["--root", str(streets), "-o", str(tmp_path), "--json", "--instances", "--native"]
    roots = {"voc": streets / "voc/VOC2012", "wilddash": streets / "wilddash/wd_public_v2p0"}
    for letter, space in SPACES.items():
        assert run(["build", "--datasets", letter, "--space", space, *arguments]) == 0
        artifact = unify.open(json.loads(capsys.readouterr().out)["path"])
        totals = check(artifact, roots)
        assert sum(totals.values()) > 5
        assert run(["stats", str(artifact.path), "--json"]) == 0
        groups = json.loads(capsys.readouterr().out)["groups"]
        whole = next(g for g in groups if g["source"] == g["split"] == "all")
        told = sum(c["instances"] for c in whole["classes"]) + whole["void"]["instances"]
        assert told == sum(totals.values())
        if letter == "W":
            child = commit(conversion(artifact, "cityscapes19"), tmp_path).artifact
            assert check(child, roots) == totals
        seen = seen_by_datasets(artifact, tmp_path)["found"]
        for sample_id, row in rows(artifact).items():
            mode, values, counts = seen[sample_id]
            assert mode == "I;16" and values == opened(row["instance"]["bytes"]).tolist()
            assert counts == row["instance_count"]


def test_groups_are_crowds(tmp_path):
    """Streets have groups of things now and then: a segment of its own that does not count."""
    write_streets(tmp_path, ["W"], images=6, seed=0, size=0.1, layouts={"wilddash": "v2p0"})
    file = json.loads((tmp_path / "wilddash/wd_public_v2p0/panoptic.json").read_text())
    is_thing = {c["id"]: c["isthing"] for c in file["categories"]}
    segments = [s for a in file["annotations"] for s in a["segments_info"]]
    crowds = [s for s in segments if s["iscrowd"]]
    assert crowds and all(is_thing[s["category_id"]] and s["id"] % 1000 == 0 for s in crowds)
    assert all(s["id"] % 1000 for s in segments if is_thing[s["category_id"]] and not s["iscrowd"])


# ---- Bad input


def palette(values_hw: np.ndarray) -> Image.Image:
    image = Image.fromarray(values_hw.astype(np.uint8)).convert("P")
    image.putpalette(list(range(256)) * 3)
    return image


def test_everything_wrong_with_objects_is_listed_at_once(tmp_path):
    root = write_voc(tmp_path / "raw/voc", train=8, val=1)
    names = [f"2007_{i:06d}.png" for i in range(8)]
    label_hw = np.zeros((32, 64), np.uint8)
    label_hw[:8], label_hw[8:10] = 15, 255
    for name in names[:-1]:
        palette(label_hw).save(root / "SegmentationClass" / name)

    def write(name: str, *boxes: tuple[int, int, int]) -> None:
        objects_hw = np.where(label_hw == 255, 255, 0)
        for number, top, bottom in boxes:
            objects_hw[top:bottom] = number
        palette(objects_hw).save(root / "SegmentationObject" / name)

    write(names[0], (1, 0, 8), (2, 12, 14))
    write(names[1], (1, 0, 4), (2, 4, 12))
    write(names[2], (1, 0, 8), (7, 8, 10))
    (root / "SegmentationObject" / names[3]).unlink()
    palette(label_hw[:, 1:] * 0).save(root / "SegmentationObject" / names[4])
    Image.fromarray(label_hw.astype(np.uint16)).save(root / "SegmentationObject" / names[5])
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(root / "SegmentationObject" / names[6])
    data = (root / "SegmentationObject" / names[7]).read_bytes()
    (root / "SegmentationObject" / names[7]).write_bytes(data[:-40])
    with pytest.raises(UnifyError) as e:
        build(plan_of(tmp_path / "raw", "P", options=["instances"]), tmp_path / "out")
    told = {(p.path.rpartition("/")[2], p.kind): p for p in e.value.problems}
    damaged = told.pop((names[7], "bad-label"))
    assert {p.path.split("/")[1] for p in told.values() if p.kind != "missing-label"} == {"SegmentationObject"}
    assert "truncated" in damaged.what
    assert {key: p.what for key, p in told.items()} == {
        (names[0], "bad-label"): "object 2 has no class: the label shows background in its 128 pixels",
        (names[1], "bad-label"): "object 2 covers 2 classes: background (128 pixels), person (256 pixels)",
        (names[2], "bad-label"): "object 7 has no class: the label shows void in its 128 pixels",
        (names[3], "missing-label"): f"has no instances: there is no SegmentationObject/{names[3]}",
        (names[4], "size-mismatch"): "has 63x32 pixels, its label 64x32",
        (names[5], "bad-label"): "16 bits a value where objects' numbers of 8 are due",
        (names[6], "bad-label"): "RGB colours where ids are due",
    }
    assert "keep-going" in told[names[0], "bad-label"].fix
    build(plan_of(tmp_path / "raw", "P"), tmp_path / "out")
    result = build(plan_of(tmp_path / "raw", "P", options=["instances"]), tmp_path / "out", keep_going=True)
    assert (result.artifact.manifest.images, result.artifact.manifest.rejects) == (1, 8)


def test_a_faulty_label_is_told_once(tmp_path):
    root = write_voc(tmp_path / "raw/voc", train=1, val=1)
    Image.fromarray(np.full((32, 64), 77, np.uint8)).save(root / "SegmentationClass/2007_000000.png")
    with pytest.raises(UnifyError) as e:
        build(plan_of(tmp_path / "raw", "P", options=["instances"]), tmp_path / "out")
    assert [(p.kind, p.path) for p in e.value.problems] == [("unknown-id", "voc/SegmentationClass/2007_000000.png")]


def test_a_border_and_void_count_nowhere(tmp_path):
    """An object's pixels on a border of the label keep no number, nor do a border's on the object."""
    root = write_voc(tmp_path / "raw/voc", train=1, val=0)
    label_hw, objects_hw = np.zeros((32, 64), int), np.zeros((32, 64), int)
    label_hw[2:8], label_hw[8] = 3, 255
    objects_hw[3:9], objects_hw[2] = 250, 255
    for folder, hw in (("SegmentationClass", label_hw), ("SegmentationObject", objects_hw)):
        palette(hw).save(root / folder / "2007_000000.png")
    plan = plan_of(tmp_path / "raw", "P", splits=("train",), options=["instances"])
    artifact = build(plan, tmp_path / "out").artifact
    (row,) = rows(artifact).values()
    found = opened(row["instance"]["bytes"])[:, 0].tolist()
    assert found[:10] == [0, 0, 768, *[3 * 256 + 250] * 5, 65_280, 0]
    assert sum(row["instance_count"]) == row["instance_count"][artifact.taxonomy.space.index("bird")] == 1


def test_what_was_not_painted_says_how(raw, tmp_path):
    shutil.copytree(raw / "v2p0", tmp_path / "raw")
    shutil.rmtree(tmp_path / "raw/wilddash/instance")
    (problem,) = plan_of(tmp_path / "raw", "W", splits=("train",), options=["instances"]).problems
    assert (problem.kind, problem.path) == ("missing-label", "wilddash/instance")
    assert problem.what.startswith("no instance files of 2 labels: there is no instance/")
    assert problem.fix == "run `unify prepare wilddash ROOT`, or build without --instances"
    assert not plan_of(tmp_path / "raw", "W", splits=("train",)).problems


def test_a_painted_file_of_another_size(raw, tmp_path):
    shutil.copytree(raw / "v2p0", tmp_path / "raw")
    file = min((tmp_path / "raw/wilddash/instance").iterdir())
    Image.fromarray(np.zeros((31, 64), np.uint16)).save(file)
    with pytest.raises(UnifyError, match=r"size-mismatch: wilddash/instance/.*: the image has 64x32 pixels"):
        build(plan_of(tmp_path / "raw", "W", splits=("train",), options=["instances"]), tmp_path / "out")


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (lambda a: a["segments_info"].pop(), "1 segments that panoptic.json does not list, such as "),
        (lambda a: a["segments_info"][0].update(category_id=99), r"that wilddash-v2p0 does not have: \[99\]"),
        (
            lambda a: a["segments_info"].append({**a["segments_info"][0], "category_id": 7}),
            "is of two categories in panoptic.json",
        ),
    ],
)
def test_panoptic_json_at_odds_with_its_pictures(tmp_path, capsys, fault, what):
    root = write_wilddash(tmp_path / "wilddash", release="v2p0", train=1)
    file = json.loads((root / "panoptic.json").read_text())
    fault(file["annotations"][0])
    (root / "panoptic.json").write_text(json.dumps(file))
    with pytest.raises(UnifyError, match=what) as e:
        paint(root)
    assert len(e.value.problems) == 1
    assert run(["prepare", "wilddash", str(root)]) == 65
    assert "Traceback" not in capsys.readouterr().err


def test_names_of_the_releases():
    assert SOURCES["voc"].releases["voc2012"].instances.path("SegmentationClass/a.png") == "SegmentationObject/a.png"
    for name, labels in (("v2p0", "semantic"), ("public_02", "labels")):
        assert SOURCES["wilddash"].releases[name].instances.path(f"{labels}/a.png") == "instance/a.png"
