"""Taxonomies: unions and named targets, null masks, sets, and the round trip through JSON."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify.errors import UnifyError
from unify.mapping import Mapping, load_mapping
from unify.spaces import LabelClass, LabelSpace, load_space
from unify.taxonomy import Taxonomy, taxonomy_for, taxonomy_of

RAW = {
    "cityscapes": "cityscapes", "idd": "idd", "bdd100k": "bdd100k", "mapillary": "mapillary-v1.2",
    "camvid": "camvid-segnet",
}  # fmt: skip
TRAIN = {
    "cityscapes": "cityscapes19", "idd": "idd26", "bdd100k": "bdd19", "mapillary": "mapillary65", "camvid": "camvid11",
}  # fmt: skip
CIBM = ("cityscapes", "idd", "bdd100k", "mapillary")


def build(*sources: str, target: str | None = None, **raw: str) -> Taxonomy:
    chosen = {s: raw.get(s, RAW[s]) for s in sources}
    return taxonomy_for(chosen, {s: TRAIN[s] for s in sources}, target)


def space_of(*names: str, name: str = "some") -> LabelSpace:
    return LabelSpace(name, tuple(LabelClass(i, n, (i, 0, 0)) for i, n in enumerate(names)))


def test_the_naive_union_of_four_is_union70():
    union, named = build(*CIBM), build(*CIBM, target="union70")
    assert union == named and union.digest() == named.digest()
    assert union.sources == CIBM
    assert union.null_mask.sum(axis=1).tolist() == [19, 26, 19, 65]


def test_null_mask_against_a_loop():
    taxonomy = build(*CIBM, "camvid", target="cityscapes19")
    mask = taxonomy.null_mask
    assert mask.shape == (5, 19) and mask.dtype == np.bool_
    for s, mapping in enumerate(taxonomy.mappings.values()):
        for k, name in enumerate(taxonomy.space.names):
            assert mask[s, k] == any(name in rule for rule in mapping.rules.values())
    assert not mask[3, taxonomy.space.index("train")], "Table 4 gives train nothing"
    assert mask[4].all(), "CamVid annotates all 19, some within sets only"


def test_one_source_and_its_own_space():
    taxonomy = build("camvid", target="camvid11")
    assert taxonomy.table("camvid")[:13].tolist() == [*range(11), 255, 255]
    assert taxonomy.mappings["camvid"] == load_mapping("camvid-segnet", "camvid11")


def test_a_target_without_a_file_is_reached_by_name():
    """No file leads from Cityscapes to bdd19, but bdd19 has every name of cityscapes19."""
    taxonomy = build("cityscapes", target="bdd19")
    assert taxonomy.mappings["cityscapes"].rules == load_mapping("cityscapes", "cityscapes19").rules
    assert taxonomy.space == load_space("bdd19")


def test_a_target_that_cannot_be_reached_names_every_missing_file():
    with pytest.raises(UnifyError) as e:
        build("cityscapes", "idd", "camvid", target="idd26")
    assert [p.path for p in e.value.problems] == ["to_idd26/cityscapes.yaml", "to_idd26/camvid-segnet.yaml"]
    assert "there is no such file, and by name 2 classes of cityscapes19 not in idd26: 'terrain', 'train'" in str(
        e.value
    )
    assert "a rule for each of the 35 classes of cityscapes, or choose another target" in str(e.value)
    assert e.value.exit_code == 78


def test_an_unknown_target_lists_the_known():
    with pytest.raises(UnifyError, match=r"no label space 'union71' .did you mean 'union70'"):
        build("idd", target="union71")


def test_everything_wrong_is_said_at_once():
    with pytest.raises(UnifyError) as e:
        taxonomy_for({"a": "idd", "b": "cityscapes"}, {"a": "nope", "b": "neither"})
    assert [p.what.split(" (")[0] for p in e.value.problems] == ["no label space 'nope'", "no label space 'neither'"]


def test_the_users_mappings_are_used(tmp_path: Path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "to_ground").mkdir()
    (tmp_path / "spaces" / "ground.yaml").write_text(
        "name: ground\nclasses:\n- {id: 0, name: road, color: [1, 2, 3]}\n- {id: 1, name: rest, color: [4, 5, 6]}\n"
    )
    rules = "".join(f"  {n}: {'road' if n == 'road' else 'rest'}\n" for n in load_space("idd").names)
    (tmp_path / "to_ground" / "idd.yaml").write_text(f"from: idd\nto: ground\nrules:\n{rules}")
    taxonomy = taxonomy_for({"idd": "idd"}, {"idd": "idd26"}, "ground", [tmp_path])
    assert taxonomy.table("idd")[:40].tolist() == [0] + [1] * 39
    assert taxonomy_of("ground", [tmp_path]).sources == ("idd",)


def test_a_naive_union_goes_by_no_file_even_if_one_has_its_name(tmp_path: Path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "to_union19").mkdir()
    (tmp_path / "spaces" / "union19.yaml").write_text(
        "name: union19\nclasses:\n- {id: 0, name: all, color: [1, 2, 3]}\n"
    )
    rules = "".join(f"  {n}: all\n" for n in load_space("bdd100k").names)
    (tmp_path / "to_union19" / "bdd100k.yaml").write_text(f"from: bdd100k\nto: union19\nrules:\n{rules}")
    chosen = {"bdd100k": "bdd100k"}, {"bdd100k": "bdd19"}
    assert taxonomy_for(*chosen, None, [tmp_path]) == taxonomy_for(*chosen)
    assert len(taxonomy_for(*chosen, "union19", [tmp_path]).space) == 1


def test_codes_members_and_sets():
    taxonomy = build("cityscapes", "camvid", target="cityscapes19")
    assert len(taxonomy.sets) == 5 and taxonomy.sets[0] == ("building", "wall")
    names = np.array(taxonomy.space.names)
    table = taxonomy.table("camvid")
    for raw, rule in taxonomy.mappings["camvid"].rules.items():
        code = int(table[taxonomy.mappings["camvid"].source.index(raw)])
        assert tuple(names[taxonomy.members(code)]) == rule
        assert (code >= 19) == (len(rule) != 1)
    assert taxonomy.members(3).tolist() == [k == 3 for k in range(19)]
    assert not taxonomy.members(255).any()
    for code in (24, 254, -1, 256):
        with pytest.raises(UnifyError, match=f"code {code} is no class of cityscapes19.*codes are 0..23 and 255"):
            taxonomy.members(code)


def test_two_sources_share_the_code_of_one_set():
    taxonomy = taxonomy_of("cityscapes19")
    coarse, fine = taxonomy.table("camvid-segnet"), taxonomy.table("camvid-32")
    tree = load_space("camvid-segnet").index("Tree")
    assert coarse[tree] == fine[load_space("camvid-32").index("VegetationMisc")] >= 19


def test_an_unknown_source_lists_the_known():
    with pytest.raises(UnifyError, match="no source 'kitti' here — known: cityscapes, idd"):
        build("cityscapes", "idd").table("kitti")


def test_more_classes_and_sets_of_all_sources_than_8_bits_hold():
    target = space_of(*(f"class {i}" for i in range(254)), name="target")
    raw = space_of("a", name="raw")
    one, two = (Mapping(raw, target, {"a": ("class 0", f"class {i}")}) for i in (1, 2))
    assert len(Taxonomy(target, {"one": one, "same": one}).sets) == 1
    with pytest.raises(UnifyError, match="target: 254 target classes and 2 sets of them"):
        Taxonomy(target, {"one": one, "two": two})


def test_id2label():
    labels = build(*CIBM).id2label()
    assert (len(labels), labels["0"], labels["69"]) == (70, "autorickshaw", "wheeled slow")


# Through JSON.

names = st.text("abc ()", min_size=1, max_size=4).filter(lambda s: s == s.strip())


@st.composite
def taxonomies(draw) -> Taxonomy:
    target = space_of(*draw(st.lists(names, min_size=1, max_size=6, unique=True)), name="target")
    mappings = {}
    for source in draw(st.lists(names, max_size=3, unique=True)):
        raw = space_of(*draw(st.lists(names, min_size=1, max_size=6, unique=True)), name="raw")
        rule = st.lists(st.sampled_from(target.names), max_size=3, unique=True).map(tuple)
        mappings[source] = Mapping(raw, target, {name: draw(rule) for name in raw.names})
    return Taxonomy(target, mappings)


@given(taxonomies())
def test_json_round_trip(taxonomy):
    back = Taxonomy.from_json(json.loads(json.dumps(taxonomy.to_json())))
    assert back == taxonomy
    assert back.sources == taxonomy.sources, "and the order of the sources"
    assert back.digest() == taxonomy.digest()
    assert np.array_equal(back.null_mask, taxonomy.null_mask)
    assert all(np.array_equal(back.table(s), taxonomy.table(s)) for s in taxonomy.sources)


@given(taxonomies(), taxonomies())
def test_equal_digests_only_of_equal_taxonomies(a, b):
    assert (a.digest() == b.digest()) == (a == b and a.sources == b.sources)


def test_json_has_all_that_a_reader_needs():
    data = build(*CIBM).to_json()
    assert list(data) == ["format", "space", "sets", "sources"]
    assert data["space"]["classes"][0] == {"id": 0, "name": "autorickshaw", "color": [255, 204, 54]}
    cityscapes = data["sources"][0]
    assert (cityscapes["name"], cityscapes["space"]["name"]) == ("cityscapes", "cityscapes")
    assert cityscapes["rules"]["road"] == ["road"] and cityscapes["rules"]["license plate"] == []
    assert len(cityscapes["annotates"]) == 19


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.pop("format"), "is no taxonomy: KeyError"),
        (lambda d: d.pop("sources"), "is no taxonomy: KeyError"),
        (lambda d: d.update(format="1"), "its parts do not agree"),
        (lambda d: d.update(sources=3), "is no taxonomy: TypeError"),
        (lambda d: d.update(space=[]), "is no taxonomy: AttributeError"),
        (lambda d: d["sources"][0]["rules"].pop("road"), "1 source class has no rule: 'road'"),
        (lambda d: d["sources"][0]["rules"].update(road=["raod"]), "no class of union28: 'raod'"),
        (lambda d: d["sources"][0]["rules"].update(road=[["road"]]), "is no taxonomy|no class of"),
        (lambda d: d["sources"][0]["annotates"].pop(), "its parts do not agree"),
        (lambda d: d["sources"].append(d["sources"][0]), "its parts do not agree"),
        (lambda d: d.update(sets=[["road", "sky"]]), "its parts do not agree"),
        (lambda d: d["space"]["classes"][0].update(id=7), "more than one class"),
        (lambda d: d.update(extra=1), "its parts do not agree"),
    ],
)
def test_damaged_json(damage, message):
    data = copy.deepcopy(build("cityscapes", "idd").to_json())
    damage(data)
    with pytest.raises(UnifyError, match=message) as e:
        Taxonomy.from_json(data, "v/taxonomy.json")
    assert {(p.kind, p.path) for p in e.value.problems} == {("bad-artifact", "v/taxonomy.json")}


def test_json_of_a_later_version():
    with pytest.raises(
        UnifyError, match=r"newer-format: taxonomy.json: its format is 2, and this version reads up to 1"
    ):
        Taxonomy.from_json(build("idd").to_json() | {"format": 2})
