"""`convert` against building directly, against dictionaries pixel by pixel, and its refusals word by word."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from unify.artifact import open_artifact
from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion, onward
from unify.errors import UnifyError
from unify.mapping import Mapping
from unify.spaces import LabelClass, LabelSpace, load_space
from unify.taxonomy import taxonomy_for
from unify.verify import verify

from .worlds import plan_of, small_world, tree_bytes


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CIBMV")


def data_of(artifact) -> dict[str, bytes]:
    """Every file but the card and the manifest, which tell where a version is from."""
    return {n: d for n, d in tree_bytes(artifact.path).items() if n not in ("README.md", "manifest.json")}


def rows(artifact) -> list[dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()


@pytest.mark.parametrize(
    ("datasets", "options", "first", "then"),
    [
        ("C,I,B,M", ["native"], "union70", "cityscapes19"),
        ("C,I,B,M", ["native"], "cityscapes19", "union70"),
        ("C,B", [], "union70", "cityscapes19"),
        ("C,B", [], "cityscapes19", "bdd19"),
        ("M", [], "mapillary65", "cityscapes19"),
        ("M", [], "mapillary65", "union70"),
        ("V", [], "camvid11", "cityscapes19"),
    ],
)
def test_converted_is_what_building_directly_gives(roots, tmp_path, datasets, options, first, then):
    parent = build(plan_of(roots, datasets, first, options=options), tmp_path / "a").artifact
    direct = build(plan_of(roots, datasets, then, options=options), tmp_path / "b").artifact
    result = commit(conversion(parent, then), tmp_path / "a")
    assert result.fresh
    assert data_of(result.artifact) == data_of(direct)
    assert result.artifact.manifest.name == direct.manifest.name
    assert verify(result.artifact).ok


def test_lineage_is_told(roots, tmp_path):
    parent = build(plan_of(roots, "C,B", "union70"), tmp_path).artifact
    before = tree_bytes(parent.path)
    middle = commit(conversion(parent, "bdd19"), tmp_path).artifact
    last = commit(conversion(middle, "cityscapes19"), tmp_path).artifact
    assert middle.manifest.parents == (parent.digest,)
    assert last.manifest.parents == (middle.digest,) == (last.manifest.recipe["parent"],)
    assert [(s["operation"], s["from"], s["to"]) for s in last.manifest.recipe["steps"]] == [
        ("convert", "union70", "bdd19"),
        ("convert", "bdd19", "cityscapes19"),
    ]
    assert f"Made from cb-bdd19 1.0.0 (`{middle.digest[:12]}`)" in last.read("README.md").decode()
    assert tree_bytes(parent.path) == before
    assert open_artifact(last.path).taxonomy == last.taxonomy


def test_the_same_again_is_nothing_to_do_and_a_new_parent_a_new_version(roots, tmp_path):
    parent = build(plan_of(roots, "V", "camvid11"), tmp_path).artifact
    first = commit(conversion(parent, "cityscapes19"), tmp_path)
    before = tree_bytes(tmp_path)
    again = commit(conversion(parent, "cityscapes19"), tmp_path)
    assert (first.fresh, again.fresh) == (True, False)
    assert tree_bytes(tmp_path) == before
    wider = build(plan_of(roots, "V", "camvid11", options=["native"]), tmp_path).artifact
    assert commit(conversion(wider, "cityscapes19"), tmp_path).artifact.manifest.version == "1.1.0"


def space(name: str, *names: str) -> LabelSpace:
    return LabelSpace(name, tuple(LabelClass(i, n, (i + 1, 0, 0)) for i, n in enumerate(names)))


def write_mapping(folder, source: str, target: str, rules: str) -> None:
    (folder / f"to_{target}").mkdir(parents=True, exist_ok=True)
    (folder / f"to_{target}" / f"{source}.yaml").write_text(f"from: {source}\nto: {target}\nrules: {{{rules}}}\n")


def write_space(folder, name: str, *names: str) -> None:
    (folder / "spaces").mkdir(parents=True, exist_ok=True)
    classes = ", ".join(f"{{id: {i}, name: {n}, color: [{i + 1}, 0, 0]}}" for i, n in enumerate(names))
    (folder / "spaces" / f"{name}.yaml").write_text(f"name: {name}\nclasses: [{classes}]\n")


@pytest.fixture
def own(tmp_path):
    """A folder with the spaces raw (a b c d), old (x y z) and new (p q)."""
    write_space(tmp_path / "own", "raw", "a", "b", "c", "d")
    write_space(tmp_path / "own", "old", "x", "y", "z")
    write_space(tmp_path / "own", "new", "p", "q")
    return tmp_path / "own"


OLD = {"a": ("x",), "b": ("x",), "c": ("y",), "d": ()}


def via(own, rules=OLD, **options):
    old = Mapping(load_space("raw", (own,)), load_space("old", (own,)), rules)
    return onward(old, load_space("new", (own,)), "raw", search=(own,), **{"has_native": False, **options}).rules


def test_rules_of_the_raw_space_come_first(own):
    write_mapping(own, "raw", "new", "a: p, b: p, c: q, d: []")
    write_mapping(own, "old", "new", "x: q, y: q, z: q")
    assert via(own) == {"a": ("p",), "b": ("p",), "c": ("q",), "d": ()}


def test_a_file_from_the_old_space_helps_where_raw_rules_cannot_be_followed(own):
    write_mapping(own, "raw", "new", "a: p, b: q, c: q, d: []")
    write_mapping(own, "old", "new", "x: [p, q], y: q, z: []")
    assert via(own) == {"a": ("p", "q"), "b": ("p", "q"), "c": ("q",), "d": ()}
    assert via(own, has_native=True) == {"a": ("p",), "b": ("q",), "c": ("q",), "d": ()}


def test_sets_are_composed(own):
    write_mapping(own, "old", "new", "x: p, y: q, z: []")
    rules = {"a": ("x", "y"), "b": ("x", "z"), "c": ("y",), "d": ()}
    assert via(own, rules) == {"a": ("p", "q"), "b": (), "c": ("q",), "d": ()}


def test_every_class_in_the_way_is_named(own):
    write_mapping(own, "raw", "new", "a: p, b: q, c: q, d: q")
    with pytest.raises(UnifyError) as e:
        via(own)
    assert e.value.exit_code == 78
    assert [p.what for p in e.value.problems] == [
        "void of old cannot be told apart in new: 'd' → 'q'",
        "'x' of old cannot be told apart in new: 'a' → 'p'; 'b' → 'q'",
    ]
    assert all("built with --native" in p.fix for p in e.value.problems)


def test_by_name_only_what_the_source_annotates(own):
    write_space(own, "new", "x", "y")
    assert via(own) == {"a": ("x",), "b": ("x",), "c": ("y",), "d": ()}
    with pytest.raises(
        UnifyError, match=r"bad-mapping: there are no rules from raw or old to new, and by name it"
    ) as e:
        via(own, {**OLD, "d": ("z",)})
    assert "lacks 1 class of old: 'z'" in str(e.value)


def test_pixels_through_sets_and_back_to_classes(roots, tmp_path):
    """Camvid's classes into sets of a space of the user's, and from there onward: a dictionary per pixel."""
    own = tmp_path / "own"
    raw = load_space("camvid-segnet").names
    write_space(own, "mid", "up", "flat", "thing")
    write_space(own, "end", "world", "object")
    mid = {n: "[up, flat]" if i % 3 == 0 else ["up", "thing", "flat"][i % 3] for i, n in enumerate(raw)}
    mid[raw[-1]] = "[]"
    write_mapping(own, "camvid-segnet", "mid", ", ".join(f"{n}: {r}" for n, r in mid.items()))
    write_mapping(own, "mid", "end", "up: world, flat: world, thing: object")
    plan = plan_of(roots, "V", "camvid11", options=["native"])
    taxonomy = taxonomy_for({"camvid": "camvid-segnet"}, {"camvid": "camvid11"}, "mid", (own,))
    plan = plan.__class__(**{f: getattr(plan, f) for f in plan.__slots__} | {"taxonomy": taxonomy, "name": "mid"})
    parent = build(plan, tmp_path / "out").artifact
    assert parent.taxonomy.sets == (("up", "flat"),)
    child = commit(conversion(parent, "end", search=(own,)), tmp_path / "out").artifact
    image_of = {0: 0, 1: 0, 2: 1, 3: 0, 255: 255}  # up, flat, thing, up | flat
    olds = {row["sample_id"]: row for row in rows(parent)}
    for row in rows(child):
        old = np.asarray(Image.open(io.BytesIO(olds[row["sample_id"]]["label"]["bytes"])))
        new = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"])))
        assert np.array_equal(new, np.vectorize(image_of.get)(old))
        assert row["pixel_count"] == [int((new == i).sum()) for i in (0, 1, 255)]
        assert row["image"] == olds[row["sample_id"]]["image"]
        assert row["label_source"] == olds[row["sample_id"]]["label_source"]


def test_command(roots, tmp_path, capsys):
    out = str(tmp_path)
    build(plan_of(roots, "C,I"), tmp_path)
    (name,) = [p.name for p in tmp_path.iterdir()]
    assert run(["convert", name, "--space", "cityscape19", "-o", out]) == 2
    assert "usage: no label space 'cityscape19' (did you mean 'cityscapes19'?)" in capsys.readouterr().err
    assert run(["convert", "nothing", "--space", "cityscapes19", "-o", out]) == 66
    assert f"nothing: is no version; below {out} there is: {name} 1.0.0" in capsys.readouterr().err
    assert run(["convert", name, "--space", "idd26", "-o", out]) == 78
    err = capsys.readouterr().err
    assert "bad-mapping: cityscapes: there are no rules from cityscapes or" in err
    assert run(["convert", name, "--space", "cityscapes19", "-o", out, "--json"]) == 78
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith("unify: bad-mapping: idd: ") for line in told)
    assert any("'sky' of" in line and "'fallback background' → void" in line for line in told)
    build(plan_of(roots, "C,I", options=["native"]), tmp_path)
    assert run(["convert", name, "--space", "cityscapes19", "-o", out, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["version"], facts["fresh"]) == ("ci-cityscapes19", "1.0.0", True)
    assert run(["convert", facts["path"], "--space", "cityscapes19", "-o", out]) == 2
    assert "ci-cityscapes19 1.0.0 is in cityscapes19 already" in capsys.readouterr().err
