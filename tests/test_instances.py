"""Instances in versions: values against the raw files, through `datasets` too; counts against loops over pixels."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest
import yaml
from blake3 import blake3
from PIL import Image

import unify
from unify import shard
from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion
from unify.describe import code_names
from unify.engine import processes
from unify.erase import Options, erasure
from unify.errors import UnifyError
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.spaces import load_space
from unify.verify import verify

from .layouts_more import write_kitti
from .test_build import with_comment
from .test_instance_images import official_idd
from .worlds import plan_of, small_world, tree_bytes

ALL = "C,I,B,M,K"


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = small_world(tmp_path_factory.mktemp("raw"), "CIBM")
    write_kitti(folder / "kitti")
    return folder


@pytest.fixture(scope="module")
def version(roots, tmp_path_factory):
    plan = plan_of(roots, ALL, "union70", options=["instances", "native"])
    return build(plan, tmp_path_factory.mktemp("out")).artifact


def rows(artifact) -> dict[str, dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return {row["sample_id"]: row for row in ds.dataset(files, format="parquet").to_table().to_pylist()}


def raw_files(plan) -> dict[str, tuple[str, Path, Path]]:
    """Sample id → source, label file and the instance file beside it, by the datasets' own names."""
    found = {}
    for part in plan.shards:
        root = plan.roots[part.source].root
        for sample in part.samples:
            label = root / sample.label
            beside = {
                "cityscapes": lambda p: p.with_name(p.name.replace("labelIds", "instanceIds")),
                "mapillary": lambda p: p.parents[1] / "instances" / p.name,
                "kitti": lambda p: p.parents[1] / "instance" / p.name,
            }.get(part.source, lambda p: p)
            found[sample.sample_id] = (part.source, label, beside(label))
    return found


def raw_values(source: str, file: Path) -> np.ndarray | None:
    if source == "bdd100k":
        return None
    return official_idd(file.read_bytes()) if source == "idd" else np.asarray(Image.open(file)).astype(np.uint16)


def mapillary_things() -> set[int]:
    facts = yaml.safe_load((Path(unify.__file__).parent / "sample" / "mapillary.yaml").read_text())["v1.2"]
    return {c.id for c in load_space("mapillary-v1.2").classes if facts[c.name][2]}


def naive_counts(source: str, values_hw: np.ndarray, table: np.ndarray, codes: int) -> list[int]:
    """By a set of the values of all pixels."""
    counts = [0] * (codes + 1)
    for v in {int(v) for v in values_hw.reshape(-1)}:
        if source in ("cityscapes", "idd"):
            raw, is_thing = v // 1000, v >= 1000
        else:
            raw = v >> 8
            is_thing = bool(v & 255) if source == "kitti" else raw in mapillary_things()
        if is_thing:
            code = int(table[raw])
            counts[code if code < codes else codes] += 1
    return counts


# --- A version --------------------------------------------------------------------------------------------


def test_values_pass_through_and_are_counted(roots, version):
    plan = plan_of(roots, ALL, "union70", options=["instances"])
    found, inputs = rows(version), {f["sample_id"]: f for f in version.inputs().to_pylist()}
    codes, totals = len(code_names(version.taxonomy)) - 1, {}
    assert len(found) == 15
    for sample_id, (source, _, file) in raw_files(plan).items():
        row, fact = found[sample_id], inputs[sample_id]
        values_hw = raw_values(source, file)
        if values_hw is None:
            assert row["instance"] is None and row["instance_count"] is None
        else:
            png = row["instance"]["bytes"]
            decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
            assert decoded.dtype == np.uint16 and np.array_equal(decoded, values_hw)
            expected = naive_counts(source, values_hw, version.taxonomy.table(source), codes)
            assert row["instance_count"] == expected
            totals[source] = totals.get(source, 0) + sum(expected)
        if source in ("bdd100k", "idd"):
            assert (fact["instance"], fact["instance_bytes"], fact["instance_blake3"]) == (None, None, None)
        else:
            data = file.read_bytes()
            assert row["instance"]["bytes"] == data, "untouched"
            assert file == plan.roots[source].root / fact["instance"]
            assert (fact["instance_bytes"], fact["instance_blake3"]) == (len(data), blake3(data).hexdigest())
    assert all(totals[source] for source in ("cityscapes", "idd", "mapillary", "kitti"))
    assert verify(version).ok


READER = """
import json, sys, datasets, numpy as np
datasets.disable_progress_bars()
union = datasets.load_dataset(sys.argv[1])
found = {}
for split in union.values():
    for row in split:
        image = row["instance"]
        found[row["sample_id"]] = image and [image.mode, np.array(image).astype(int).tolist(), row["instance_count"]]
stats = datasets.load_dataset(sys.argv[1], "stats", split="train")
pairs = datasets.load_dataset(sys.argv[1], "cooccurrence", split="train")
print(json.dumps({"found": found, "stats": stats["instances"][:], "pairs": pairs.column_names, "n": len(pairs)}))
"""


def seen_by_datasets(artifact, home: Path) -> dict:
    env = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", READER, str(artifact.path)], capture_output=True, text=True, cwd=home, env=env
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_round_trip_on_streets_and_kitti(tmp_path):
    """Raw file → version → `datasets` → Pillow: every value of every pixel."""
    write_streets(tmp_path / "raw", ["C", "I", "B", "M"], images=2, seed=3, size=0.06)
    write_kitti(tmp_path / "raw" / "kitti")
    plan = plan_of(tmp_path / "raw", ALL, "union70", options=["instances", "centroids"])
    artifact = build(plan, tmp_path / "out").artifact
    seen = seen_by_datasets(artifact, tmp_path)
    counts = {row["sample_id"]: row["instance_count"] for row in rows(artifact).values()}
    things = 0
    for sample_id, (source, _, file) in raw_files(plan).items():
        values_hw = raw_values(source, file)
        if values_hw is None:
            assert seen["found"][sample_id] is None
            continue
        mode, decoded, count = seen["found"][sample_id]
        assert mode == "I;16"
        assert np.array_equal(decoded, values_hw), sample_id
        assert count == counts[sample_id]
        things += sum(count)
        assert values_hw.max() > 255
    assert things > 50
    assert seen["pairs"] == ["source", "split", "class_a", "class_b", "images"] and seen["n"] > 50
    assert {s is None for s in seen["stats"]} == {True, False}


def test_same_bytes_for_any_number_of_workers(roots, tmp_path):
    for workers in (1, 2):
        plan = plan_of(roots, ALL, "union70", options=["instances", "centroids"], shard_bytes=6000)
        build(plan, tmp_path / str(workers), engine=processes(workers))
    assert tree_bytes(tmp_path / "1") == tree_bytes(tmp_path / "2")
    assert sum("/data/" in name for name in tree_bytes(tmp_path / "1")) > 9


def test_more_columns_are_a_minor_version_and_nothing_else_changes(roots, tmp_path):
    plain = build(plan_of(roots, ALL, "union70"), tmp_path).artifact
    wider = build(plan_of(roots, ALL, "union70", options=["instances", "centroids"]), tmp_path).artifact
    assert (plain.manifest.version, wider.manifest.version) == ("1.0.0", "1.1.0")
    before, after = rows(plain), rows(wider)
    assert {i: {k: after[i][k] for k in row} for i, row in before.items()} == before
    again = build(plan_of(roots, ALL, "union70", options=["instances", "centroids"]), tmp_path)
    assert (again.fresh, again.artifact.digest) == (False, wider.digest)
    assert "instance" not in plain.inputs().column_names


def copied_world(tmp_path: Path) -> Path:
    small_world(tmp_path / "raw", "CM")
    return tmp_path / "raw"


def test_everything_wrong_is_listed_at_once(tmp_path):
    raw = copied_world(tmp_path)
    write_kitti(raw / "kitti", train=4)
    files = sorted((raw / "kitti/training/instance").iterdir())
    files[0].unlink()
    Image.fromarray(np.zeros((32, 65), np.uint8)).save(files[1])
    Image.fromarray(np.full((32, 65), 7 << 8, np.uint16)).save(files[2])
    files[3].write_bytes(files[3].read_bytes()[:-30])
    cut = sorted((raw / "cityscapes").rglob("*_instanceIds.png"))
    Image.fromarray(np.full((32, 64), 34_000, np.uint16)).save(cut[0])
    for file in (raw / "mapillary/training/v1.2/instances").iterdir():
        file.unlink()
    with pytest.raises(UnifyError) as e:
        build(plan_of(raw, "C,M,K", "cityscapes19", options=["instances"]), tmp_path / "out")
    assert e.value.exit_code == 65
    told = {(p.kind, p.path.rpartition("/")[2]): p.what for p in e.value.problems}
    assert told == {
        ("missing-label", "000000_10.png"): "has no instances: there is no training/instance/000000_10.png",
        ("bad-label", "000001_10.png"): "8 bits a value where gray of 16 bits is due",
        ("size-mismatch", "000002_10.png"): "the image has 66x32 pixels, the instance image 65x32",
        ("bad-label", "000003_10.png"): told["bad-label", "000003_10.png"],
        ("missing-label", "instances"): told["missing-label", "instances"],
        ("unknown-id", cut[0].name): "instance values of ids that cityscapes does not have: 34000",
    }
    assert "truncated" in told["bad-label", "000003_10.png"]
    assert told["missing-label", "instances"].startswith("no instance files of 2 labels: there is no training/v1.2/")


def test_values_of_no_class_are_refused(tmp_path):
    raw = copied_world(tmp_path)
    file = min((raw / "cityscapes").rglob("*_instanceIds.png"))
    values_hw = np.zeros((32, 64), np.uint16)
    values_hw[3, 4], values_hw[5, 6] = 34_000, 300
    Image.fromarray(values_hw).save(file)
    with pytest.raises(UnifyError) as e:
        build(plan_of(raw, "C", options=["instances"]), tmp_path / "out")
    (problem,) = e.value.problems
    assert (problem.kind, problem.path) == ("unknown-id", str(file.relative_to(raw)))
    assert problem.what == "instance values of ids that cityscapes does not have: 300, 34000"
    build(plan_of(raw, "C"), tmp_path / "out")


def test_keep_going_leaves_samples_without_instances_out(tmp_path):
    raw = copied_world(tmp_path)
    min((raw / "cityscapes/gtFine/train").rglob("*_instanceIds.png")).unlink()
    result = build(plan_of(raw, "C", options=["instances"]), tmp_path / "out", keep_going=True)
    assert (result.artifact.manifest.images, result.artifact.manifest.rejects) == (2, 1)


def test_links_out_of_the_root_are_not_followed(tmp_path):
    raw = copied_world(tmp_path)
    folder = raw / "mapillary/training/v1.2/instances"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    plan = plan_of(raw, "M", options=["instances"])
    assert {p.kind for p in plan.problems} == {"unsafe-path"} and len(plan.problems) == 2
    assert not plan_of(raw, "M", options=["instances"], follow_links=True).problems


def test_a_finished_shard_is_made_again_when_its_instances_changed(tmp_path, monkeypatch):
    raw = copied_world(tmp_path)
    made = []
    real = shard.write_shard
    monkeypatch.setattr(shard, "write_shard", lambda target, *rest: made.append(target.path) or real(target, *rest))
    tasks = shard.tasks_of(plan_of(raw, "C", options=["instances"]), tmp_path / "tree", tmp_path / "work")
    for task in tasks:
        for folder in (task.target.file.parent, task.target.temporary.parent, task.target.receipt.parent):
            folder.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        receipts = [shard.make_shard(task) for task in tasks]
    assert len(made) == len(tasks) == 2
    assert all(len(row.files) == 3 and row.instance_count for r in receipts for row in r.rows)
    os.utime(min((raw / "cityscapes/gtFine/val").rglob("*_instanceIds.png")), ns=(1, 1))
    for task in tasks:
        shard.make_shard(task)
    assert made[2:] == ["data/cityscapes/val-00000-of-00001.parquet"]


def test_the_plan_knows_the_files_and_only_with_the_option(tmp_path):
    raw = copied_world(tmp_path)
    plain, wide = plan_of(raw, "C"), plan_of(raw, "C", options=["instances"])
    assert {len(s.files) for part in plain.shards for s in part.samples} == {2}
    file = min((raw / "cityscapes").rglob("*_instanceIds.png"))
    more = sum(f.stat().st_size for f in (raw / "cityscapes").rglob("*_instanceIds.png"))
    assert wide.input_bytes == plain.input_bytes + more
    file.write_bytes(with_comment(file.read_bytes(), b"longer"))
    assert plan_of(raw, "C").digest() == plain.digest()
    assert plan_of(raw, "C", options=["instances"]).digest() != wide.digest()


def test_a_changed_instance_file_is_a_major_version(tmp_path, monkeypatch):
    raw = copied_world(tmp_path)
    file = min((raw / "cityscapes").rglob("*_instanceIds.png"))
    plain = file.read_bytes()
    file.write_bytes(with_comment(plain, b"a"))
    build(plan_of(raw, "C", options=["instances"]), tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("unify.build.make_shard", None)  # nothing to do
        assert not build(plan_of(raw, "C", options=["instances"]), tmp_path / "out").fresh
    wider = build(plan_of(raw, "C", options=["instances", "centroids"]), tmp_path / "out").artifact
    assert wider.manifest.version == "1.1.0"
    file.write_bytes(with_comment(plain, b"b"))  # same path, same size: only its content tells
    changed = build(plan_of(raw, "C", options=["instances", "centroids"]), tmp_path / "out").artifact
    assert changed.manifest.version == "2.0.0"


def test_an_instance_file_that_changes_during_the_build_is_noticed(tmp_path):
    raw = copied_world(tmp_path)
    file = min((raw / "cityscapes").rglob("*_instanceIds.png"))
    with pytest.raises(UnifyError, match=r"changed-while-reading: cityscapes/.*_instanceIds.png: changed during"):
        build(
            plan_of(raw, "C", options=["instances"]),
            tmp_path / "out",
            progress=lambda shard, receipt: os.utime(file, ns=(1, 1)),
        )


# --- Onward -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["cityscapes19", "union70"])
def test_converted_counts_are_those_of_building_directly(roots, tmp_path, target):
    options = ["centroids", "instances", "native"]
    first = {"cityscapes19": "union70", "union70": "cityscapes19"}[target]
    parent = build(plan_of(roots, ALL, first, options=options), tmp_path / "a").artifact
    direct = build(plan_of(roots, ALL, target, options=options), tmp_path / "b").artifact
    child = commit(conversion(parent, target), tmp_path / "a").artifact
    other = ("README.md", "manifest.json")
    one, two = ({n: d for n, d in tree_bytes(a.path).items() if n not in other} for a in (child, direct))
    assert one == two
    assert [r["instance_count"] for r in rows(child).values()] != [r["instance_count"] for r in rows(parent).values()]


def test_an_unknown_adapter_says_so(version, tmp_path):
    known = {name: source for name, source in SOURCES.items() if name != "kitti"}
    with pytest.raises(UnifyError, match="unknown-dataset: kitti: has instances, but how it numbers them is not"):
        commit(conversion(version, "cityscapes19", sources=known), tmp_path)


def test_an_erased_set_keeps_them_unless_labels_are_void(version, tmp_path):
    before = rows(version)
    kept = commit(erasure(version, ["car"]).job, tmp_path).artifact
    for sample_id, row in rows(kept).items():
        assert row["instance"] == before[sample_id]["instance"]
        assert row["instance_count"] == before[sample_id]["instance_count"]
    assert [s["instances"] for s in kept.stats().to_pylist()] == [s["instances"] for s in version.stats().to_pylist()]
    assert kept.inputs().to_pylist() == version.inputs().to_pylist()
    voided = commit(erasure(version, ["car"], Options(labels="void")).job, tmp_path).artifact
    assert not {"instance", "instance_count", "label_source"} & set(voided.manifest.columns)
    assert "instance" not in voided.inputs().column_names
    assert {s["instances"] for s in voided.stats().to_pylist()} == {None}


# --- Statistics -------------------------------------------------------------------------------------------


def recount(artifact) -> dict[tuple[str, str, str], int | None]:
    """(source, split, class) → instances, by loops over rows."""
    names, sources = code_names(artifact.taxonomy), list(artifact.manifest.sources)
    total: dict[tuple[str, str, str], int | None] = {}
    for sample_id, row in rows(artifact).items():
        for k, name in enumerate(names):
            key = (sources[row["source"]], sample_id.split("/")[1], name)
            n = None if row["instance_count"] is None else row["instance_count"][k]
            total[key] = n if total.get(key) is None else total[key] + n
    return total


def test_stored_statistics(version):
    stored = {(s["source"], s["split"], s["class"]): s["instances"] for s in version.stats().to_pylist()}
    assert stored == recount(version)
    assert all((n is None) == (source == "bdd100k") for (source, _, _), n in stored.items())


def test_stats_command(version, tmp_path, capsys):
    expected = recount(version)
    assert run(["stats", str(version.path), "--json", "--csv", str(tmp_path / "s.csv")]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    for group in groups:
        inside = {
            key: n for key, n in expected.items()
            if group["source"] in ("all", key[0]) and group["split"] in ("all", key[1]) and n is not None
        }  # fmt: skip
        for c in group["classes"]:
            numbers = [n for (_, _, name), n in inside.items() if name == c["class"]]
            assert c.get("instances") == (sum(numbers) if numbers else None)
        assert ("instances" in group["void"]) == (group["source"] != "bdd100k")
    head, *lines = (tmp_path / "s.csv").read_text().splitlines()
    column = head.split(",").index("instances")
    assert {line.split(",")[column] for line in lines if line.startswith("bdd100k")} == {""}
    assert run(["stats", str(version.path), "--order", "id"]) == 0
    out = capsys.readouterr().out
    (car,) = [line.split() for line in out.splitlines() if line.split("  ")[1:2] in (["car"], ["car †"])]
    assert int(car[-1]) == next(c["instances"] for c in groups[0]["classes"] if c["class"] == "car") > 0
    assert "instances: of cityscapes, idd, mapillary, kitti\n" in out
    assert max(map(len, out.splitlines())) <= 120


def test_build_command(roots, tmp_path, capsys):
    arguments = ["build", "--datasets", "C,B", "--root", str(roots), "-o", str(tmp_path), "--json"]
    assert run([*arguments, "--instances", "--centroids"]) == 0
    path = json.loads(capsys.readouterr().out)["path"]
    artifact = unify.open(path)
    assert artifact.manifest.recipe["options"] == ["centroids", "instances"]
    card = artifact.read("README.md").decode()
    assert "| `instance` | 16-bit gray PNG" in card and "tile of 1024x1024 pixels" in card
    assert dataclasses.asdict(artifact.manifest)["columns"][-5:] == (
        "centroid_class", "centroid_y", "centroid_x", "instance", "instance_count",
    )  # fmt: skip
