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
from unify.diff import Names, RuleChange, changed_pixels, difference
from unify.erase import Options, erasure

from .test_convert import write_mapping, write_space
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
