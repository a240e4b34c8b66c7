"""Mappings: lookup tables and composition against plain loops, and what is refused in which words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify.errors import UnifyError
from unify.mapping import (
    Mapping,
    by_name,
    compose,
    in_order,
    load_mapping,
    mapped_spaces,
    read_mapping,
    rule_codes,
    validate_all,
)
from unify.spaces import LabelClass, LabelSpace


def space_of(*names: str, name: str = "some", ids: list[int] | None = None) -> LabelSpace:
    rows = zip(names, ids or range(len(names)), strict=True)
    return LabelSpace(name, tuple(LabelClass(i, n, (0, 0, 0)) for n, i in rows))


RAW = space_of("car", "lorry", "kerb", "junk", name="raw", ids=[3, 7, 0, -1])
TARGET = space_of("road", "car", "truck", "bus", name="target")
RULES = {"car": ("car",), "lorry": ("truck", "bus"), "kerb": ("road",), "junk": ()}


# Property tests: a source of raw ids, a middle space, a target, and rules between them.


@st.composite
def mappings(draw, source: LabelSpace, target: LabelSpace) -> Mapping:
    rule = st.lists(st.sampled_from(target.names), max_size=3, unique=True).map(tuple)
    return Mapping(source, target, {name: draw(rule) for name in source.names})


@st.composite
def raw_spaces(draw) -> LabelSpace:
    ids = draw(st.lists(st.integers(-1, 255), min_size=1, max_size=20, unique_by=lambda i: i % 256))
    return space_of(*(f"raw {i}" for i in ids), name="raw", ids=ids)


targets = st.integers(1, 8).map(lambda n: space_of(*(f"class {i}" for i in range(n)), name="target"))


@given(st.data(), raw_spaces(), targets)
def test_compile_is_the_rules_pixel_by_pixel(data, source, target):
    mapping = data.draw(mappings(source, target))
    table = mapping.compile(rule_codes(target, mapping.sets))
    name_of = {c.id % 256: c.name for c in source.classes}
    sets: list[set[str]] = [set(rule) for rule in mapping.sets]
    for value in range(256):
        members = set(mapping.rules[name_of[value]]) if value in name_of else set()
        code = int(table[value])
        if not members:
            assert code == 255
        elif len(members) == 1:
            assert {target.names[code]} == members
        else:
            assert sets[code - len(target)] == members


@given(st.data(), raw_spaces(), targets, targets)
def test_compose_is_one_step_after_the_other(data, source, middle, target):
    first, then = data.draw(mappings(source, middle)), data.draw(mappings(middle, target))
    composed = compose(first, then)
    assert (composed.source, composed.target) == (source, target)
    for name in source.names:
        reached: set[str] = set()
        void = not first.rules[name]
        for member in first.rules[name]:
            void = void or not then.rules[member]
            reached.update(then.rules[member])
        assert set(composed.rules[name]) == (set() if void else reached)


@given(st.data(), raw_spaces(), targets, targets, targets)
def test_compose_is_associative(data, source, a, b, c):
    one, two, three = data.draw(mappings(source, a)), data.draw(mappings(a, b)), data.draw(mappings(b, c))
    assert compose(compose(one, two), three) == compose(one, compose(two, three))


@given(st.data(), raw_spaces(), targets)
def test_identity_by_name_changes_nothing(data, source, target):
    mapping = data.draw(mappings(source, target))
    assert compose(mapping, by_name(target, target)) == mapping


def test_a_set_that_may_be_void_is_void():
    then = Mapping(
        TARGET, space_of("road", "truck", name="c"), {"road": ("road",), "car": (), "truck": ("truck",), "bus": ()}
    )
    composed = compose(Mapping(RAW, TARGET, RULES), then)
    assert composed.rules["lorry"] == (), "a bus, perhaps, and then truck would be wrong"


def test_a_set_whose_members_become_one_class_is_that_class():
    vehicles = {"road": ("road",), "car": ("vehicle",), "truck": ("vehicle",), "bus": ("vehicle",)}
    then = Mapping(TARGET, space_of("road", "vehicle", name="c"), vehicles)
    assert compose(Mapping(RAW, TARGET, RULES), then).rules["lorry"] == ("vehicle",)


def test_the_order_within_a_set_and_of_rules_is_the_spaces():
    backwards = {name: RULES[name][::-1] for name in reversed(RULES)}
    mapping = Mapping(RAW, TARGET, backwards)
    assert mapping == Mapping(RAW, TARGET, RULES)
    assert list(mapping.rules.items()) == list(RULES.items())
    assert mapping.sets == (("truck", "bus"),)


def test_sets_are_ordered_by_the_ids_of_their_members():
    rules = [("truck", "bus"), ("road",), ("car", "bus"), (), ("car", "truck"), ("truck", "bus")]
    assert in_order(TARGET, rules) == (("car", "truck"), ("car", "bus"), ("truck", "bus"))


def test_codes_and_table():
    mapping = Mapping(RAW, TARGET, RULES)
    codes = rule_codes(TARGET, mapping.sets)
    assert codes == {(): 255, ("road",): 0, ("car",): 1, ("truck",): 2, ("bus",): 3, ("truck", "bus"): 4}
    assert mapping.by_id(codes) == {3: 1, 7: 4, 0: 0, -1: 255}
    table = mapping.compile(codes)
    assert table.dtype == np.uint8 and table.shape == (256,)
    assert {i: int(v) for i, v in enumerate(table) if v != 255} == {0: 0, 3: 1, 7: 4}
    assert mapping.annotated().tolist() == [True, True, True, True]


def test_by_name_says_what_is_missing():
    with pytest.raises(UnifyError, match="2 classes of raw not in target: 'lorry', 'kerb'"):
        by_name(space_of("car", "lorry", "kerb", name="raw"), TARGET)


def test_a_mapping_that_misses_a_rule_cannot_be_made():
    with pytest.raises(UnifyError, match=r"1 source class has no rule: 'junk' — add a rule, or .. for void"):
        Mapping(RAW, TARGET, {name: rule for name, rule in RULES.items() if name != "junk"})


def test_more_classes_and_sets_than_8_bits_hold():
    target = space_of(*(f"class {i}" for i in range(254)), name="target")
    source = space_of("a", "b", name="raw")
    pairs = [("class 0", "class 1"), ("class 1", "class 2")]
    assert Mapping(source, target, {"a": pairs[0], "b": pairs[0][::-1]}).sets == (pairs[0],)
    with pytest.raises(UnifyError, match="254 target classes and 2 sets of them — 8-bit labels hold 255 of both"):
        Mapping(source, target, dict(zip("ab", pairs, strict=True)))


# Files.

SPACE = "name: {}\ntitle: t\nreference: r\nvoid: 255\nclasses:\n"
CLASS = "- {{id: {}, name: {}, color: [0, 0, {}]}}\n"
GOOD = """\
from: raw
to: target
reference: this file
rules:
  car: car
  lorry: [truck, bus]
  kerb: road
  junk: []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for space in (RAW, TARGET, space_of("a", "b", name="gap", ids=[0, 2])):
        text = SPACE.format(space.name) + "".join(CLASS.format(c.id, c.name, i) for i, c in enumerate(space.classes))
        path = tmp_path / "spaces" / f"{space.name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    write(tmp_path, GOOD)
    return tmp_path


def write(folder: Path, text: str, source: str = "raw", target: str = "target") -> Path:
    path = folder / f"to_{target}" / f"{source}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_mapping_file(folder):
    mapping = load_mapping("raw", "target", [folder])
    assert mapping.rules == RULES
    assert (mapping.source.name, mapping.target.names) == ("raw", TARGET.names)
    assert mapped_spaces("target", [folder]) == ("raw",)
    validate_all([folder])


def test_the_users_file_comes_first(folder):
    text = "from: bdd100k\nto: union70\nrules:\n"
    text += "".join(f"  {name}: []\n" for name in load_mapping("bdd100k", "bdd19").source.names)
    write(folder, text, "bdd100k", "union70")
    assert not any(load_mapping("bdd100k", "union70", [folder]).rules.values())
    assert mapped_spaces("union70", [folder]) == mapped_spaces("union70")


ILLEGAL = {
    "rule_missing": (
        GOOD.replace("  car: car\n", "").replace("  junk: []\n", ""),
        "2 source classes have no rule: 'car', 'junk' — add a rule, or [] for void",
    ),
    "rule_for_an_unknown_class": (
        GOOD + "  sky: []\n",
        "rules for what is no class of raw: 'sky' — remove them, or correct the names",
    ),
    "source_class_misspelled": (GOOD.replace("kerb", "kreb"), "no class of raw: 'kreb' (did you mean 'kerb'?)"),
    "target_class_misspelled": (
        GOOD.replace("[truck, bus]", "[truk, bus]"),
        "rules to what is no class of target: 'truk' (did you mean 'truck'?) for 'lorry' — correct the names",
    ),
    "target_class_unknown": (GOOD.replace("kerb: road", "kerb: moon"), "no class of target: 'moon' for 'kerb'"),
    "rule_is_a_number": (GOOD.replace("kerb: road", "kerb: 3"), "wrong rules: 'kerb': 3 — a rule is one name, []"),
    "rule_is_null": (GOOD.replace("junk: []", "junk:"), "wrong rules: 'junk': None"),
    "rule_is_a_dict": (GOOD.replace("junk: []", "junk: {car: 1}"), "wrong rules: 'junk': {'car': 1}"),
    "rule_lists_one": (GOOD.replace("kerb: road", "kerb: [road]"), "wrong rules: 'kerb': ['road']"),
    "rule_lists_a_number": (GOOD.replace("bus]", "7]"), "wrong rules: 'lorry': ['truck', 7]"),
    "class_twice_in_a_rule": (GOOD.replace("bus]", "truck]"), "a class twice in the rules for 'lorry'"),
    "rule_twice": (GOOD + "  kerb: []\n", "line 9: duplicate key 'kerb', first on line 7 — keep one of them"),
    "class_is_no_text": (GOOD + "  no: []\n", "source classes that are not text: False — put them in quotes"),
    "no_rules": (GOOD.split("rules:")[0], "rules has to be lines of `source class: target class`"),
    "rules_in_a_list": (GOOD.split("rules:")[0] + "rules: [car]\n", "rules has to be lines of"),
    "unknown_key": (GOOD.replace("reference:", "from file:"), "unknown keys: 'from file'"),
    "from_another": (GOOD.replace("from: raw", "from: idd"), "`from` is 'idd', but its path says 'raw' — make them"),
    "to_another": (GOOD.replace("to: target", "to: union70"), "`to` is 'union70', but its path says 'target'"),
    "reference_no_text": (GOOD.replace("this file", "[1]"), "reference has to be text"),
    "not_yaml": (GOOD + "  - ]\n", "is not YAML: line 9"),
    "empty": ("", "rules has to be lines of"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_mappings(folder, case):
    text, message = ILLEGAL[case]
    path = write(folder, text)
    for load in (lambda: load_mapping("raw", "target", [folder]), lambda: validate_all([folder])):
        with pytest.raises(UnifyError) as e:
            load()
        assert e.value.exit_code == 78
        assert {p.kind for p in e.value.problems} == {"bad-mapping"}
        assert all(p.path == str(path) for p in e.value.problems)
        said = "\n".join(map(str, e.value.problems))
        assert message in said, said


def test_unknown_spaces_and_gaps_in_the_target(folder):
    write(folder, GOOD.replace("target", "traget"), "raw", "traget")
    with pytest.raises(UnifyError, match=r"it maps to 'traget', which is no label space \(did you mean 'target'\?\)"):
        read_mapping(folder / "to_traget" / "raw.yaml", [folder])
    write(folder, GOOD.replace("target", "gap"), "raw", "gap")
    with pytest.raises(UnifyError) as e:
        load_mapping("raw", "gap", [folder])
    assert {p.kind: Path(p.path).name for p in e.value.problems} == {"bad-mapping": "raw.yaml", "bad-space": "gap.yaml"}
    assert any("its ids are not 0..1 in this order" in p.what for p in e.value.problems)


def test_no_such_file(folder):
    with pytest.raises(UnifyError) as e:
        load_mapping("cityscapes", "target", [folder])
    assert re.search(
        r"bad-mapping: to_target/cityscapes.yaml: there is no mapping .* rule for each of the 35 classes", str(e.value)
    )
    with pytest.raises(UnifyError) as e:
        load_mapping("rwa", "../target", [folder])
    assert [p.what.split(" (")[0] for p in e.value.problems] == ["no label space 'rwa'", "no label space '../target'"]


def test_all_errors_of_all_files_at_once_each_once(folder):
    write(folder, GOOD.replace("  car: car\n", "").replace("road", "raod"))
    write(folder, GOOD.replace("raw", "gap"), "gap")
    write(folder, "from: x\n", "idd", "union70")
    (folder / "spaces" / "bdd19.yaml").write_text("name: bdd19\nclasses: []\n")
    (folder / "to_target" / "other.yml").write_text("")
    (folder / "notes.yaml").write_text("")
    with pytest.raises(UnifyError) as e:
        validate_all([folder])
    said = [(Path(p.path).name, p.what) for p in e.value.problems]
    assert len(said) == len(set(said)), "bdd19 is broken in three mappings and named once"
    for file, what in (
        ("raw.yaml", "1 source class has no rule: 'car'"),
        ("raw.yaml", "'raod' (did you mean 'road'?)"),
        ("gap.yaml", "2 source classes have no rule"),
        ("idd.yaml", "`from` is 'x', but its path says 'idd'"),
        ("bdd19.yaml", "it has no classes"),
        ("other.yml", "this file is never read"),
        ("notes.yaml", "this file is never read"),
    ):
        assert any(file == f and what in w for f, w in said), (file, what, said)


def test_messages_about_our_own_files_are_short(monkeypatch, folder):
    monkeypatch.setattr("unify.spaces.mappings_dir", lambda: folder)
    write(folder, GOOD.replace("  car: car\n", ""))
    with pytest.raises(UnifyError) as e:
        load_mapping("raw", "target")
    assert str(e.value) == (
        "unify: bad-mapping: to_target/raw.yaml: 1 source class has no rule: 'car' — add a rule, or [] for void"
    )
