"""`diff` of versions that were made to differ in one known way each."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion
from unify.diff import Instances, Names, RuleChange, changed_pixels, difference
from unify.erase import Options, erasure

from .test_convert import write_mapping, write_space
from .test_instances import rows
from .worlds import plan_of, small_world


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIV")


@pytest.fixture(scope="module")
def version(roots, tmp_path_factory):
    return build(plan_of(roots, "C,I", "union70", options=["native"]), tmp_path_factory.mktemp("out")).artifact


def labels(artifact) -> dict[str, np.ndarray]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    table = ds.dataset(files, format="parquet").to_table(columns=["sample_id", "label"])
    return {r["sample_id"]: np.asarray(Image.open(io.BytesIO(r["label"]["bytes"]))) for r in table.to_pylist()}


def naive_changes(a, b) -> dict[tuple[str, str], int]:
    """Pixel by pixel, by name."""
    names = [dict(enumerate(artifact.taxonomy.space.names)) | {255: "void"} for artifact in (a, b)]
    found = {}
    then, now = labels(a), labels(b)
    for sample in then.keys() & now.keys():
        for old, new in zip(then[sample].ravel().tolist(), now[sample].ravel().tolist(), strict=True):
            key = (names[0][old], names[1][new])
            if key[0] != key[1]:
                found[key] = found.get(key, 0) + 1
    return found


def test_nothing(roots, version, tmp_path):
    again = build(plan_of(roots, "C,I", "union70", options=["native"]), tmp_path).artifact
    assert difference(version, again, pixels=True).is_none
    assert difference(version, version).is_none


def test_another_space(version, tmp_path):
    other = commit(conversion(version, "cityscapes19"), tmp_path).artifact
    found = difference(version, other, pixels=True)
    assert next((f.name, f.before, f.after) for f in found.fields) == ("space", "union70", "cityscapes19")
    old, new = version.taxonomy, other.taxonomy
    assert set(found.classes.removed) == set(old.space.names) - set(new.space.names)
    assert not found.classes.added
    assert {n: (old.space.index(n), new.space.index(n)) for n in new.space.names} == found.ids
    expected = {
        RuleChange(source, raw, rule, new.mappings[source].rules[raw])
        for source, mapping in old.mappings.items()
        for raw, rule in mapping.rules.items()
        if rule != new.mappings[source].rules[raw]
    }
    assert set(found.rules) == expected
    assert len(expected) > 5
    changes = naive_changes(version, other)
    assert dict(found.exact) == changes
    assert list(found.exact.values()) == sorted(changes.values(), reverse=True)
    assert 0 < found.moved <= sum(changes.values())
    assert found.common_pixels == sum(label.size for label in labels(version).values())
    for name, (before, after) in found.pixels.items():
        gone, come = (sum(n for k, n in changes.items() if k[i] == name) for i in (0, 1))
        assert after - before == come - gone


def test_samples_files_and_columns(roots, tmp_path):
    raw = shutil.copytree(roots, tmp_path / "raw")
    first = build(plan_of(raw, "V", options=["native"]), tmp_path / "a").artifact
    for folder in ("train", "trainannot"):
        file = min(raw.rglob(f"{folder}/*.png"))
        shutil.copy(file, file.with_name("zz_new.png"))
    changed = min(raw.rglob("trainannot/*.png"))
    label = np.asarray(Image.open(changed)).copy()
    label[0, :5] = (label[0, :5] + 1) % 11
    Image.fromarray(label).save(changed)
    image = min(raw.rglob("val/*.png"))
    Image.fromarray(np.asarray(Image.open(image)) ^ 1).save(image)
    second = build(plan_of(raw, "V"), tmp_path / "b").artifact
    found = difference(first, second, pixels=True)
    assert found.samples == Names(added=("camvid/train/zz_new",))
    assert found.columns == Names(removed=("label_source",))
    assert found.labels == (f"camvid/train/{changed.stem}",)
    assert found.images == (f"camvid/val/{image.stem}",)
    assert sum(found.exact.values()) == 5
    assert dict(found.exact) == naive_changes(first, second)
    assert 0 < found.moved <= 5
    assert not (found.rules or found.classes or found.ids)


def test_a_renamed_class_is_no_change_of_pixels(version, tmp_path):
    own = tmp_path / "own"
    names = version.taxonomy.space.names
    new = ["street" if n == "road" else n for n in names]
    write_space(own, "renamed", *(f'"{n}"' for n in new))
    write_mapping(own, "union70", "renamed", ", ".join(f'"{a}": "{b}"' for a, b in zip(names, new, strict=True)))
    other = commit(conversion(version, "renamed", search=(own,)), tmp_path / "out").artifact
    found = difference(version, other, pixels=True)
    assert found.classes == Names(renamed=(("road", "street"),))
    assert not (found.rules or found.pixels or found.moved or found.exact or found.ids)
    assert not found.is_none
    back = difference(other, version, pixels=True)
    assert back.classes == Names(renamed=(("street", "road"),))


def test_voided_pixels_are_counted(version, tmp_path):
    name = next(r["class"] for r in version.stats().to_pylist() if r["images"])
    child = commit(erasure(version, [name], Options(labels="void")).job, tmp_path).artifact
    found = difference(version, child, pixels=True)
    total = sum(r["pixels"] for r in version.stats().to_pylist() if r["class"] == name)
    assert dict(found.exact) == {(name, "void"): total}
    assert found.moved == total
    assert found.pixels[name] == (total, 0)
    assert changed_pixels(version, version) == {}


def test_command(version, tmp_path, capsys):
    child = commit(conversion(version, "cityscapes19"), tmp_path).artifact
    a, b = str(version.path), str(child.path)
    assert run(["diff", a, b, "--pixels"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("ci-union70 1.0.0 → ci-cityscapes19 1.0.0\nspace: union70 → cityscapes19\n")
    assert "steps: none → convert (from union70; to cityscapes19)" in text
    assert "raw classes of " in text
    assert "labels compared: " in text
    assert run(["diff", a, b, "--exit-code"]) == 3
    assert run(["diff", a, a, "--exit-code"]) == 0
    assert "no difference: the same classes, rules," in capsys.readouterr().out
    assert run(["diff", a, b, "--json", "--pixels"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["a"]["digest"] == version.digest
    assert not facts["same"]
    assert sum(row["pixels"] for row in facts["exact"]) == sum(naive_changes(version, child).values())
    assert run(["diff", a, "nothing", "--root", str(tmp_path)]) == 66
    assert "not-found: nothing: is no version" in capsys.readouterr().err


def test_versions_of_nothing_in_common(roots, tmp_path, capsys):
    one, other = (build(plan_of(roots, letter, "cityscapes19"), tmp_path / letter).artifact for letter in "CI")
    found = difference(one, other, pixels=True)
    assert (found.common, found.common_pixels, found.moved, found.exact) == (0, 0, 0, {})
    assert (len(found.samples.removed), len(found.samples.added)) == (one.manifest.images, other.manifest.images)
    assert run(["diff", str(one.path), str(other.path)]) == 0
    assert "sources: 1 added: idd\nsources: 1 removed: cityscapes\n" in capsys.readouterr().out


# ---- Instances


@pytest.fixture(scope="module")
def told_apart(roots, tmp_path_factory):
    """Cityscapes with files of instances, IDD's drawn, CamVid without."""
    plan = plan_of(roots, "C,I,V", options=["instances", "native"])
    return build(plan, tmp_path_factory.mktemp("told")).artifact


def instance_counts(artifact) -> dict[str, dict[str, int] | None]:
    """Sample → class → things, from the rows."""
    names = [*artifact.taxonomy.space.names, *("|".join(s) for s in artifact.taxonomy.sets), "void"]
    return {
        sample_id: row["instance_count"] and dict(zip(names, row["instance_count"], strict=True))
        for sample_id, row in rows(artifact).items()
    }


def naive_instances(a, b) -> dict[str, tuple[int, int]]:
    before, after = {}, {}
    then, now = instance_counts(a), instance_counts(b)
    for sample in then.keys() & now.keys():
        if then[sample] and now[sample]:
            for total, counts in ((before, then[sample]), (after, now[sample])):
                for name, n in counts.items():
                    total[name] = total.get(name, 0) + n
    pairs = {name: (before.get(name, 0), after.get(name, 0)) for name in before | after}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def total(artifact) -> int:
    return sum(sum(counts.values()) for counts in instance_counts(artifact).values() if counts)


def test_a_version_without_instances(roots, told_apart, tmp_path, capsys):
    plain = build(plan_of(roots, "C,I,V", options=["native"]), tmp_path).artifact
    found = difference(plain, told_apart)
    assert not found.is_none
    assert found.instances == Instances(samples=(0, 6), total=(0, total(told_apart)))
    assert not (found.pixels or found.labels or found.images)
    back = difference(told_apart, plain).instances
    assert (back.samples, back.total, back.files) == ((6, 0), (total(told_apart), 0), ())
    assert run(["diff", str(plain.path), str(told_apart.path)]) == 0
    text = capsys.readouterr().out
    assert f"instances, of the samples of both: none → {total(told_apart)} in 6 samples\n" in text
    assert "columns: 2 added: instance, instance_count\n" in text
    assert run(["diff", str(plain.path), str(plain.path)]) == 0
    assert "instances" not in capsys.readouterr().out


def test_instances_of_another_space(told_apart, tmp_path, capsys):
    other = commit(conversion(told_apart, "cityscapes19"), tmp_path).artifact
    found = difference(told_apart, other).instances
    assert found.classes == naive_instances(told_apart, other)
    assert found.classes and found.classes["void"][1] > found.classes["void"][0]
    assert (found.samples, found.total, found.files) == ((6, 6), (total(told_apart),) * 2, ())
    assert run(["diff", str(told_apart.path), str(other.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["instances"]
    assert facts["classes"] == {name: list(pair) for name, pair in found.classes.items()}
    assert (facts["samples"], facts["total"]) == ([6, 6], [total(told_apart)] * 2)


def test_instances_that_changed(roots, told_apart, tmp_path, capsys):
    raw = tmp_path / "raw"
    shutil.copytree(roots, raw)
    first, second, *_ = sorted((raw / "cityscapes").rglob("*_instanceIds.png"))
    values = np.asarray(Image.open(first)).copy()
    values[:2, :3] = 26_777
    Image.fromarray(values).save(first)
    data = second.read_bytes()
    Image.open(second).save(second, compress_level=0)  # the same values in other bytes
    assert second.read_bytes() != data
    other = build(plan_of(raw, "C,I,V", options=["instances", "native"]), tmp_path / "out").artifact
    found = difference(told_apart, other)
    assert found.instances.files == tuple(sorted(f"cityscapes/train/{f.name[:-23]}" for f in (first, second)))
    assert found.instances.classes == naive_instances(told_apart, other)
    assert found.instances.classes["car"][1] == found.instances.classes["car"][0] + 1
    assert not (found.labels or found.images or found.pixels or found.fields or found.samples)
    assert not found.is_none
    assert run(["diff", str(told_apart.path), str(other.path), "--exit-code"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert f"2 raw instance files changed: {', '.join(found.instances.files)}" in lines
    assert f"instances, of the samples of both: {total(told_apart)} in 6 samples → {total(other)} in 6 samples" in lines
    car = found.instances.classes["car"]
    assert ["car", str(car[0]), str(car[1]), "+1"] in [line.split() for line in lines]
    assert run(["diff", str(told_apart.path), str(told_apart.path)]) == 0
    assert "columns and pixels per class, and instances per class" in capsys.readouterr().out
