"""Erased sets against Pillow and plain loops: what was filled in, what was not, and what is told of it."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow.dataset as ds
import pytest
from blake3 import blake3
from PIL import Image

from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion
from unify.erase import FILLS, MEAN, Options, erasure, erasures, most_influential, read_influence
from unify.errors import UnifyError
from unify.verify import verify

from .raw import CAMVID
from .worlds import plan_of, small_world, tree_bytes


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    roots = small_world(tmp_path_factory.mktemp("raw"), "CIBM")
    return build(plan_of(roots, "C,I,B,M", "union70", options=["native"]), tmp_path_factory.mktemp("out")).artifact


def rows(artifact) -> dict[str, dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return {row["sample_id"]: row for row in ds.dataset(files, format="parquet").to_table().to_pylist()}


def pixels(cell: dict, mode: str | None = None) -> np.ndarray:
    with Image.open(io.BytesIO(cell["bytes"])) as image:
        return np.asarray(image.convert(mode) if mode else image)


def some_classes(parent, count: int = 2) -> list[str]:
    """Classes that some images show, and even together not all; the most frequent first."""
    images = {}
    for row in parent.stats().to_pylist():
        images[row["class"]] = images.get(row["class"], 0) + row["images"]
    images.pop("void")
    found = [n for n, i in images.items() if 0 < i <= parent.manifest.images // (2 * count)]
    return sorted(found, key=lambda n: -images[n])[:count]


def occurring(parent) -> list[str]:
    return sorted({row["class"] for row in parent.stats().to_pylist() if row["pixels"]} - {"void"})


@pytest.mark.parametrize("labels", ["keep", "void"])
@pytest.mark.parametrize("fill", FILLS)
def test_erased_pixels_are_the_mask_and_all_others_are_untouched(parent, tmp_path, fill, labels):
    names = some_classes(parent)
    ids = [parent.taxonomy.space.index(n) for n in names]
    child = commit(erasure(parent, names, Options(fill, labels)).job, tmp_path).artifact
    assert verify(child).ok
    before, after = rows(parent), rows(child)
    assert list(after) == list(before)
    touched = 0
    for sample, row in after.items():
        old = before[sample]
        mask = np.isin(pixels(old["label"]), ids)
        assert np.array_equal(pixels(row["erased"]), np.where(mask, 255, 0))
        if not mask.any():
            assert row["image"] == old["image"]
            assert row["label"] == old["label"]
            continue
        touched += 1
        image, original = pixels(row["image"]), pixels(old["image"], "RGB")
        assert row["image"]["bytes"][:8] == b"\x89PNG\r\n\x1a\n"
        assert row["image"]["path"].endswith(".png")
        assert image.shape == original.shape
        assert np.array_equal(image[~mask], original[~mask])
        if fill in ("mean", "black"):
            assert (image[mask] == (MEAN if fill == "mean" else 0)).all()
        expected = pixels(old["label"]) if labels == "keep" else np.where(mask, 255, pixels(old["label"]))
        assert np.array_equal(pixels(row["label"]), expected)
        assert row["pixel_count"] == [int((expected == i).sum()) for i in [*range(70), 255]]
        assert row["classes"] == [i for i in range(70) if (expected == i).any()]
    assert 0 < touched < len(after)
    assert ("label_source" in child.manifest.columns) == (labels == "keep")


def test_noise_is_the_sample_s_own_and_the_same_in_every_set(parent, tmp_path):
    one, two = some_classes(parent)
    noise = Options("noise")
    both = rows(commit(erasure(parent, [one, two], noise).job, tmp_path).artifact)
    single = rows(commit(erasure(parent, [one], noise).job, tmp_path).artifact)
    id_ = parent.taxonomy.space.index(one)
    seen = []
    for sample, row in single.items():
        mask = pixels(row["label"]) == id_
        if mask.any():
            values = pixels(row["image"])[mask]
            noise = np.frombuffer(blake3(sample.encode()).digest(length=3 * mask.size), np.uint8)
            assert np.array_equal(values, noise.reshape(*mask.shape, 3)[mask])
            assert np.array_equal(values, pixels(both[sample]["image"])[mask])
            seen.append(values.tobytes())
    assert len(set(seen)) == len(seen) > 1


def test_inpainting_leaves_nothing_of_the_original(parent, tmp_path):
    """An image that shows nothing but erased classes has no edge to paint from."""
    before = rows(parent)
    names = occurring(parent)
    child = commit(erasure(parent, names, Options("inpaint"), name="all").job, tmp_path).artifact
    full = 0
    for sample, row in rows(child).items():
        mask = pixels(row["erased"]) == 255
        if mask.all():
            full += 1
            assert (pixels(row["image"]) == MEAN).all()
        assert before[sample]["image"]["bytes"] != row["image"]["bytes"]
    assert full


def test_what_was_erased_is_counted(parent, tmp_path):
    names = some_classes(parent)
    erased = erasure(parent, names, Options(only_touched=True))
    child = commit(erased.job, tmp_path).artifact
    recount = {}
    for sample, row in rows(child).items():
        source, split, _ = sample.split("/", 2)
        label = pixels(row["label"])
        for name in names:
            n = int((label == parent.taxonomy.space.index(name)).sum())
            p, i, total = recount.get((source, split, name), (0, 0, 0))
            recount[source, split, name] = (p + n, i + (n > 0), total + label.size)
    found = child.table("erased.parquet").to_pylist()
    assert found == erased.table.to_pylist()
    assert {(r["source"], r["split"], r["class"]): (r["pixels"], r["images"]) for r in found} == {
        k: v[:2] for k, v in recount.items()
    }
    for r in found:
        p, _, total = recount[r["source"], r["split"], r["class"]]
        assert r["share"] == pytest.approx(p / total)
    assert child.manifest.images == erased.touched == erased.images < parent.manifest.images


def test_only_a_split(parent, tmp_path):
    name = some_classes(parent)[0]
    child = commit(erasure(parent, [name], Options(splits=("val",))).job, tmp_path).artifact
    assert {split for f in child.manifest.sources.values() for split in f["splits"]} == {"val"}
    assert set(rows(child)) == {s for s in rows(parent) if "/val/" in s}


def test_an_erased_set_can_be_converted(parent, tmp_path):
    """Voided pixels stay void, and the mask stays."""
    name = some_classes(parent)[0]
    erased = commit(erasure(parent, [name], Options()).job, tmp_path).artifact
    converted = rows(commit(conversion(erased, "cityscapes19"), tmp_path).artifact)
    for sample, row in rows(erased).items():
        assert converted[sample]["erased"] == row["erased"]
        assert converted[sample]["image"] == row["image"]


def test_names(parent):
    one, two = some_classes(parent)
    space = parent.taxonomy.space
    first, second = sorted((one, two), key=space.index)
    assert erasure(parent, [one]).job.outline.name == f"cibm-union70-erase-{one.replace(' ', '-')}"
    erased = erasure(parent, [two, one, two], Options("black", "void"))
    assert erased.classes == (first, second)
    assert erased.job.outline.name.endswith("-black-void")
    assert erased.job.outline.recipe["steps"] == [
        {
            "operation": "erase",
            "classes": [first, second],
            "fill": "black",
            "labels": "void",
            "splits": [],
            "only_touched": False,
        }
    ]


def test_mistakes_are_told_together(parent, tmp_path):
    with pytest.raises(UnifyError) as e:
        erasure(parent, ["road"], Options("blak", "viod", ("vall",)))
    assert [p.what for p in e.value.problems] == [
        "no fill 'blak' (did you mean 'black'?)",
        "no labels 'viod' (did you mean 'void'?)",
        "cibm-union70 has no split 'vall'",
    ]
    with pytest.raises(UnifyError) as e:
        erasure(parent, ["raod", "ski"])
    assert [p.what for p in e.value.problems] == [
        "no class 'raod' in union70 (did you mean 'road'?)",
        "no class 'ski' in union70 (did you mean 'sky'?)",
    ]
    absent = [n for n in parent.taxonomy.space.names if n not in occurring(parent)]
    with pytest.raises(UnifyError, match=f"no image of cibm-union70 1.0.0 shows '{absent[0]}' — choose other classes"):
        erasure(parent, absent[:1])
    child = commit(erasure(parent, some_classes(parent)).job, tmp_path).artifact
    with pytest.raises(UnifyError, match="is an erased set itself — start from its parent"):
        erasure(child, some_classes(parent))


# --- By influence ---------------------------------------------------------------------------------------------


def test_the_most_influential_first_and_never_the_class_itself():
    influence = {"car": {"car": 9.0, "road": 0.25, "sky": -1, "bus": 0.5, "pole": 0.25}}
    assert most_influential(influence, "car", 1) == ("bus",)
    assert most_influential(influence, "car", 3) == ("bus", "road", "pole")
    assert most_influential(influence, "car", 9) == ("bus", "road", "pole", "sky")


def test_a_set_for_each_class(parent, tmp_path):
    one, two, three = some_classes(parent, 3)
    influence = {one: {two: 0.5, three: 0.7}, two: {one: 0.1}}
    sets = erasures(parent, influence, 1, Options(labels="void"))
    assert {name: s.classes for name, s in sets.items()} == {one: (three,), two: (one,)}
    names = [commit(s.job, tmp_path).artifact.manifest.name for s in sets.values()]
    assert names == [f"cibm-union70-erase-for-{n.replace(' ', '-')}-void" for n in (one, two)]
    alone = commit(erasure(parent, [three], Options(labels="void")).job, tmp_path).artifact
    first = rows(commit(sets[one].job, tmp_path).artifact)
    assert first == rows(alone)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", ["is not JSON: "]),
        ("[1]", ["it holds no classes"]),
        ('{"raod": {"sky": 1}}', ["no class 'raod' in union70 (did you mean 'road'?)"]),
        (
            '{"road": {"ski": 1, "sky": "much"}}',
            ["no class 'ski' in union70", "the influence of 'sky' on 'road' is 'm"],
        ),
        ('{"road": {}, "sky": {"road": NaN}}', ["'road' has to have other classes", "is nan, no number"]),
    ],
)
def test_a_bad_file_of_influences(parent, tmp_path, text, told):
    path = tmp_path / "influence.json"
    path.write_text(text)
    with pytest.raises(UnifyError) as e:
        read_influence(path, parent.taxonomy.space)
    assert e.value.exit_code == 78
    assert len(e.value.problems) == len(told)
    assert all(part in p.what for part, p in zip(told, e.value.problems, strict=True))


# --- The command ----------------------------------------------------------------------------------------------


def test_command(parent, tmp_path, capsys):
    path, out = str(parent.path), ["-o", str(tmp_path)]
    name = some_classes(parent)[0]
    assert run(["erase", path, *out]) == 2
    assert "usage: either --classes or --influence is due" in capsys.readouterr().err
    assert run(["erase", path, "--classes", "raod", *out]) == 2
    assert "unify: usage: no class 'raod' in union70 (did you mean 'road'?)" in capsys.readouterr().err
    assert run(["erase", path, "--classes", name, "--fill", "pink", *out]) == 2
    assert "unify: usage: no fill 'pink' — known: mean, black, noise, inpaint" in capsys.readouterr().err
    assert run(["erase", path, "--influence", str(tmp_path / "no.json"), *out]) == 66
    capsys.readouterr()
    assert run(["erase", path, "--classes", name, *out]) == 0
    text = capsys.readouterr().out
    assert "% of pixels" in text
    assert "of its images had something erased" in text
    assert run(["erase", path, "--classes", name, "--json", *out]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert not facts["fresh"]
    assert sum(r["pixels"] for r in facts["erased"]) > 0
    (tmp_path / "i.json").write_text(json.dumps({"sky": {name: 1}}))
    assert run(["erase", path, "--influence", str(tmp_path / "i.json"), "--json", *out]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["for"], facts["name"]) == ("sky", "cibm-union70-erase-for-sky")


@pytest.mark.skipif(not CAMVID.is_dir(), reason="real CamVid is not on this machine")
def test_real_camvid_without_its_road(tmp_path):
    """Every pixel of every training image, against the raw files."""
    parent = build(plan_of(CAMVID.parent, "V", splits=("train",)), tmp_path).artifact
    child = commit(erasure(parent, ["road"]).job, tmp_path).artifact
    assert child.manifest.images == 367
    raw_road, total, road = 3, 0, 0  # the id in the SegNet labels
    paths = {f["sample_id"]: f for f in parent.inputs().to_pylist()}
    files = [child.path / f for f in child.manifest.files if f.startswith("data/")]
    for batch in ds.dataset(files, format="parquet").to_batches(batch_size=32):
        for row in batch.to_pylist():
            fact = paths[row["sample_id"]]
            mask = np.asarray(Image.open(CAMVID / fact["label"])) == raw_road
            image, original = pixels(row["image"]), np.asarray(Image.open(CAMVID / fact["image"]))
            assert np.array_equal(pixels(row["erased"]) == 255, mask)
            assert (image[mask] == MEAN).all()
            assert np.array_equal(image[~mask], original[~mask])
            total, road = total + mask.size, road + int(mask.sum())
    (counted,) = child.table("erased.parquet").to_pylist()
    assert (counted["pixels"], counted["images"]) == (road, 367)
    assert counted["share"] == pytest.approx(road / total)
    assert len(tree_bytes(tmp_path / "v-union11-erase-road")) > 5
