"""Exported folders, read back as mmsegmentation, torchvision and cityscapesScripts walk them, pixel by pixel."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from blake3 import blake3
from PIL import Image

from unify import storage
from unify.build import build
from unify.cli import run
from unify.derive import Sample
from unify.errors import UnifyError
from unify.publish.export import export
from unify.publish.export_names import cityscapes_names, mmseg_names
from unify.rows import Input
from unify.spaces import load_space

from .worlds import plan_of, small_world, tree_bytes


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIBMV")


@pytest.fixture(scope="module")
def union(roots, tmp_path_factory):
    return build(plan_of(roots, "C,I,B,M"), tmp_path_factory.mktemp("out")).artifact


@pytest.fixture(scope="module")
def cityscapes19(roots, tmp_path_factory):
    return build(plan_of(roots, "C,B,M", "cityscapes19"), tmp_path_factory.mktemp("out")).artifact


def pixels(data: bytes | Path) -> np.ndarray:
    with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as image:
        return np.asarray(image)


def rows_of(artifact) -> list[dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()


def sample_of(folder: Path) -> dict[str, str]:
    """Image path → sample_id."""
    with (folder / "samples.csv").open(newline="") as file:
        return {row["image"]: row["sample_id"] for row in csv.DictReader(file)}


def read_config(folder: Path) -> dict:
    """dataset.py as mmengine's text configs are read: the folder put in, then executed."""
    text = (folder / "dataset.py").read_text().replace("{{ fileDirname }}", str(folder))
    found: dict = {}
    exec(compile(text, "dataset.py", "exec"), found)
    return found


def walk_mmseg(dataset: dict) -> list[tuple[Path, Path]]:
    """The pairs of a `BaseSegDataset` without ann_file: files by suffix, the label's name by replacement."""
    assert dataset["type"] == "BaseSegDataset"
    root = Path(dataset["data_root"])
    images, labels = (root / dataset["data_prefix"][k] for k in ("img_path", "seg_map_path"))
    names = sorted(p.relative_to(images).as_posix() for p in images.rglob("*") if p.is_file())
    names = [name for name in names if name.endswith(dataset["img_suffix"])]
    return [(images / n, labels / n.replace(dataset["img_suffix"], dataset["seg_map_suffix"])) for n in names]


def walk_torchvision(root: Path, split: str, kind: str) -> list[tuple[Path, Path]]:
    """The pairs of `torchvision.datasets.Cityscapes`, target_type semantic being kind "labelIds"."""
    pairs = []
    for city in sorted((root / "leftImg8bit" / split).iterdir()):
        for file in sorted(city.iterdir()):
            stem = file.name.split("_leftImg8bit")[0]
            pairs.append((file, root / "gtFine" / split / city.name / f"{stem}_gtFine_{kind}.png"))
    return pairs


@pytest.mark.parametrize("layout", ["mmseg", "cityscapes"])
def test_mmsegmentation_finds_every_pixel(union, tmp_path, layout):
    out = tmp_path / "o"
    done = export(union, layout, out)
    config = read_config(out)
    assert config["metainfo"]["classes"] == union.taxonomy.space.names
    assert config["metainfo"]["palette"] == [list(c.color) for c in union.taxonomy.space.classes]
    pairs = {
        split: [pair for dataset in datasets for pair in walk_mmseg(dataset)]
        for split, datasets in config["split_datasets"].items()
    }
    assert set(pairs) == {"train", "val"}
    rows, ids = {row["sample_id"]: row for row in rows_of(union)}, sample_of(out)
    met = Counter()
    for split, found in pairs.items():
        for image, label in found:
            row = rows[ids[image.relative_to(out).as_posix()]]
            met[row["sample_id"]] += 1
            assert row["sample_id"].split("/")[1] == split
            assert image.read_bytes() == row["image"]["bytes"], "images pass through"
            assert label.read_bytes() == row["label"]["bytes"], "labels pass through"
            assert np.array_equal(pixels(label), pixels(row["label"]["bytes"]))
    assert met == Counter(rows.keys()), "each sample once"
    assert done.images == len(rows)
    for loader, split in (("train", "train"), ("val", "val"), ("test", "val")):
        dataset = config[f"{loader}_dataloader"]["dataset"]
        assert dataset == {"type": "ConcatDataset", "datasets": config["split_datasets"][split]}


def test_torchvision_and_cityscapes_scripts_find_cityscapes_ids(cityscapes19, tmp_path):
    out = tmp_path / "o"
    done = export(cityscapes19, "cityscapes", out)
    assert not done.notes
    raw = {c.name: c.id for c in load_space("cityscapes").classes}
    names = cityscapes19.taxonomy.space.names
    rows, ids = {row["sample_id"]: row for row in rows_of(cityscapes19)}, sample_of(out)
    seen = set()
    for split in ("train", "val"):
        for image, label in walk_torchvision(out, split, "labelIds"):
            row = rows[ids[image.relative_to(out).as_posix()]]
            seen.add(row["sample_id"])
            assert image.read_bytes() == row["image"]["bytes"]
            got, want = pixels(label), pixels(row["label"]["bytes"])
            for y in range(want.shape[0]):
                for x in range(want.shape[1]):
                    code = int(want[y, x])
                    assert got[y, x] == (0 if code == 255 else raw[names[code]])
            # getCsFileInfo of cityscapesScripts: city, sequence, frame, two words of the kind, suffix
            parts = label.name.replace(".", "_").split("_")
            assert len(parts) == 6 and re.fullmatch(r"\d{6}", parts[1]) and re.fullmatch(r"\d{6}", parts[2])
        for image, label in walk_torchvision(out, split, "labelTrainIds"):
            assert label.read_bytes() == rows[ids[image.relative_to(out).as_posix()]]["label"]["bytes"]
    assert seen == set(rows)
    original = "gtFine/train/cityscapes/aachen_000000_000019_gtFine_labelIds.png"
    assert (out / original).is_file(), "Cityscapes' own names stay"


def test_label_ids_of_another_space_are_not_called_cityscapes(union, tmp_path):
    done = export(union, "cityscapes", tmp_path / "o")
    assert not list((tmp_path / "o").rglob("*_labelIds.png"))
    assert "no *_labelIds.png" in done.notes[0]


def test_set_valued_pixels_become_void(tmp_path, roots):
    union = build(plan_of(roots, "V"), tmp_path / "out").artifact
    from unify.mapping import Mapping
    from unify.taxonomy import Taxonomy

    old = union.taxonomy
    first, second = old.space.names[:2]
    rules = dict(old.mappings["camvid"].rules)
    raw = next(name for name, rule in rules.items() if rule == (first,))
    rules[raw] = (first, second)
    taxonomy = Taxonomy(old.space, {"camvid": Mapping(old.mappings["camvid"].source, old.space, rules, "test")})
    plan = plan_of(roots, "V")
    import dataclasses

    made = build(dataclasses.replace(plan, taxonomy=taxonomy), tmp_path / "sets").artifact
    assert made.taxonomy.sets
    done = export(made, "mmseg", tmp_path / "o")
    rows, total, touched = {row["sample_id"]: row for row in rows_of(made)}, 0, 0
    classes = len(made.taxonomy.space)
    for image, sample_id in sample_of(tmp_path / "o").items():
        label = tmp_path / "o" / Path(image.replace("img_dir", "ann_dir")).with_suffix(".png")
        want = pixels(rows[sample_id]["label"]["bytes"]).copy()
        sets = (want >= classes) & (want != 255)
        total, touched = total + int(sets.sum()), touched + bool(sets.any())
        want[sets] = 255
        assert np.array_equal(pixels(label), want)
        if not sets.any():
            assert label.read_bytes() == rows[sample_id]["label"]["bytes"]
    assert total
    assert done.notes == (f"{total:,} pixels of {touched:,} labels meant one of several classes and became void",)


def test_png_converts_only_jpegs_and_to_the_pixels_of_pillow(union, tmp_path):
    export(union, "mmseg", tmp_path / "o", png=True)
    for image, sample_id in sample_of(tmp_path / "o").items():
        assert image.endswith(".png")
        want = next(r["image"]["bytes"] for r in rows_of(union) if r["sample_id"] == sample_id)
        with Image.open(io.BytesIO(want)) as picture:
            assert np.array_equal(pixels(tmp_path / "o" / image), np.asarray(picture.convert("RGB")))
            if picture.format == "PNG":
                assert (tmp_path / "o" / image).read_bytes() == want


def test_the_manifest_names_every_file_and_its_parent(union, tmp_path):
    export(union, "mmseg", tmp_path / "o", splits=["val"], sources=["idd", "bdd100k"])
    found = tree_bytes(tmp_path / "o")
    manifest = json.loads(found.pop("export.json"))
    assert manifest["parent"] == {"name": "cibm-union70", "version": "1.0.0", "digest": union.digest}
    assert manifest["images"] == {"val": {"bdd100k": 1, "idd": 1}}
    assert manifest["files"] == {n: {"size": len(d), "blake3": blake3(d).hexdigest()} for n, d in found.items()}
    assert set(sample_of(tmp_path / "o").values()) == {
        r["sample_id"] for r in rows_of(union) if r["sample_id"].startswith(("idd/val", "bdd100k/val"))
    }
    with (tmp_path / "o" / "classes.csv").open(newline="") as file:
        classes = list(csv.DictReader(file))
    assert [c["name"] for c in classes] == list(union.taxonomy.space.names)
    assert json.loads(found["id2label.json"]) == {c["id"]: c["name"] for c in classes}
    readme = found["README.md"].decode()
    assert "idd: IDD terms of use" in readme and "cityscapes:" not in readme


def test_the_same_again_is_the_same_bytes(union, tmp_path):
    for i, workers in enumerate((1, 4)):
        export(union, "cityscapes", tmp_path / str(i), workers=workers)
    assert tree_bytes(tmp_path / "0") == tree_bytes(tmp_path / "1")


def test_generated_images_are_called_free_to_share():
    from unify.publish.licences import notice

    assert notice({"idd": {"generated": True}}, ["idd"]) == ["idd: generated by `unify sample`, free to share"]


# --- refusals -----------------------------------------------------------------------------------------


def refused(kind: str, what: str, call) -> None:
    with pytest.raises(UnifyError) as caught:
        call()
    problem = caught.value.problems[0]
    assert problem.kind == kind
    assert what in str(caught.value)


def test_unknown_names_are_told_together(union, tmp_path):
    refused("usage", "no layout 'yolo'", lambda: export(union, "yolo", tmp_path / "o"))
    with pytest.raises(UnifyError) as caught:
        export(union, "mmseg", tmp_path / "o", splits=["tset"], sources=["kitty", "idd"])
    assert [p.what for p in caught.value.problems] == ["has no split 'tset'", "has no source 'kitty'"]
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(union, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    export(union, "mmseg", out)  # an empty one will do
    before = tree_bytes(out)
    refused("cannot-create", "is there already and not empty", lambda: export(union, "mmseg", out))
    assert tree_bytes(out) == before
    file = tmp_path / "f"
    file.write_text("mine")
    refused("cannot-create", "is there already", lambda: export(union, "mmseg", file))
    refused("usage", "lies inside the version", lambda: export(union, "mmseg", union.path / "exported"))


def test_a_changed_shard_is_noticed_and_nothing_is_left(roots, tmp_path):
    artifact = build(plan_of(roots, "V"), tmp_path / "out").artifact
    shard = next(artifact.path / f for f in artifact.manifest.files if f.startswith("data/"))
    data = bytearray(shard.read_bytes())
    at = data.find(b"IDAT")
    data[at + 9] ^= 1
    shard.write_bytes(data)
    refused("not-verified", "other bytes than were published", lambda: export(artifact, "mmseg", tmp_path / "o"))
    assert not (tmp_path / "o").exists() and not list(tmp_path.glob(".o*"))


def test_a_full_disk_leaves_nothing_and_the_next_run_succeeds(union, tmp_path, monkeypatch):
    write, calls = storage.write_file, Counter()

    def full(target, data, temporary=None, **options):
        calls["n"] += 1
        if calls["n"] == 9:
            raise storage.refused("write", target, OSError(28, "No space left on device"))
        return write(target, data, temporary, **options)

    monkeypatch.setattr(storage, "write_file", full)
    refused("io", "No space left", lambda: export(union, "mmseg", tmp_path / "o"))
    assert not list(tmp_path.iterdir())
    leftover = tmp_path / ".o.export" / "img_dir"  # of a run that was killed
    leftover.mkdir(parents=True)
    (leftover / "half.png").write_bytes(b"half")
    export(union, "mmseg", tmp_path / "o")
    assert [p.name for p in tmp_path.iterdir()] == ["o"]
    assert not list((tmp_path / "o").rglob("half.png"))


def test_two_at_once_do_not_mix(union, tmp_path):
    scratch = tmp_path / ".o.export"
    scratch.mkdir()
    with storage.lock(scratch):
        refused("busy", "another", lambda: export(union, "mmseg", tmp_path / "o"))
    assert scratch.is_dir(), "the other's work is not ours to remove"


def test_the_command_prints_and_gives_json(union, tmp_path, capsys):
    assert run(["export", str(union.path), "--layout", "mmseg", "-o", str(tmp_path / "o"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 12 and told["parent"] == union.digest
    assert told["files"] == len([p for p in (tmp_path / "o").rglob("*") if p.is_file()])
    assert told["bytes"] == sum(
        p.stat().st_size for p in (tmp_path / "o").rglob("*") if p.name != "export.json" and p.is_file()
    )
    assert {"split": "train", "source": "idd", "suffix": ".jpg", "images": 1} in told["counts"]
    assert run(["export", str(union.path), "--layout", "mmseg", "-o", str(tmp_path / "o")]) == 73
    assert "not empty" in capsys.readouterr().err
    assert run(["export", str(union.path), "--layout", "cityscapes", "-o", str(tmp_path / "p")]) == 0
    out = capsys.readouterr().out
    assert "note: no *_labelIds.png" in out and "12 images" in out


# --- names --------------------------------------------------------------------------------------------


def sample(key: str, index: int = 0, split: str = "train") -> Sample:
    raw = Input("", 0, "", 0)
    shard = f"data/idd/{split}-00003-of-00007.parquet"
    return Sample(f"idd/{split}/{key}", "idd", split, shard, index, (1, 1), (1,), raw, raw)


def test_names_are_unique_safe_and_stay_what_they_were():
    keys = ["a/b", "a_b", "A_B", "x.jpg.y", "con", "ü n", "ok", "", "z" * 300, "..", "a_b-12345678", "-dash"]
    samples = [sample(key, i) for i, key in enumerate(keys)]
    for naming in (mmseg_names, cityscapes_names):
        names = naming(samples)
        assert len({n.casefold() for n in names.values()}) == len(keys)
        for name in names.values():
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,210}", name), "no dots: mmsegmentation replaces suffixes anywhere"
            assert "_leftImg8bit" not in name
    names = mmseg_names(samples)
    assert names["idd/train/ok"] == "ok" and names["idd/train/x.jpg.y"] == "x-jpg-y"
    assert names["idd/train/a/b"] == f"a_b-{blake3(b'idd/train/a/b').hexdigest()[:8]}"
    assert mmseg_names(samples[::-1]) == names, "whatever the order"
    assert names["idd/train/con"].startswith("con-")
    assert cityscapes_names(samples)["idd/train/a_b"] == "a-b_000003_000001"


def test_a_name_that_looks_like_anothers_digest_is_told_apart():
    digest = blake3(b"idd/train/a/b").hexdigest()[:8]
    names = mmseg_names([sample("a/b"), sample("a_b"), sample(f"a_b-{digest}")])
    assert len(set(names.values())) == 3


def test_equal_names_of_other_splits_need_no_digest():
    names = mmseg_names([sample("1"), sample("1", split="val")])
    assert set(names.values()) == {"1"}
