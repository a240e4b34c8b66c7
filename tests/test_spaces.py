"""Label spaces: loading, what is refused and in which words, and the naive union."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify.errors import UnifyError
from unify.spaces import LabelClass, LabelSpace, load_space, mappings_dir, naive_union, read_space, space_names

GOOD = """\
name: tiny
title: A space for tests
reference: this file
void: 255
classes:
- {id: 0, name: road, color: [128, 64, 128]}
- {id: 1, name: sky, color: [70, 130, 180]}
"""


def space_of(*names: str, name: str = "some") -> LabelSpace:
    return LabelSpace(name, tuple(LabelClass(i, n, (i + 1, 0, 0)) for i, n in enumerate(names)))


def write(folder: Path, text: str | bytes, name: str = "tiny") -> Path:
    path = folder / "spaces" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_space_file(tmp_path):
    write(tmp_path, GOOD)
    space = load_space("tiny", [tmp_path])
    assert space.names == ("road", "sky")
    assert space.classes[1] == LabelClass(1, "sky", (70, 130, 180))
    assert (space.title, space.reference, space.void) == ("A space for tests", "this file", 255)
    assert len(space) == 2 and space.is_target and space.ids == {0, 1}


def test_title_reference_and_origin_are_no_part_of_a_space():
    assert space_of("road") == LabelSpace("some", (LabelClass(0, "road", (1, 0, 0)),), 255, "a.yaml", "title", "ref")


def test_palette_is_black_where_there_is_no_class():
    palette = load_space("cityscapes").palette()
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    assert palette[7].tolist() == [128, 64, 128]
    assert palette[255].tolist() == [0, 0, 142], "license plate, -1"
    assert not palette[34:255].any()


def test_index_is_the_id_of_a_name():
    space = load_space("cityscapes")
    assert (space.index("road"), space.index("license plate")) == (7, -1)
    with pytest.raises(UnifyError, match=r"no class 'raod' in cityscapes \(did you mean 'road'\?\)"):
        space.index("raod")


def test_is_target_only_with_ids_in_order():
    assert load_space("union70").is_target
    assert not load_space("cityscapes").is_target
    assert not load_space("bdd100k").is_target


def test_an_unknown_name_lists_the_known():
    with pytest.raises(
        UnifyError, match=r"no label space 'union7' .did you mean 'union70'.*known: .*cityscapes19"
    ) as e:
        load_space("union7")
    assert e.value.exit_code == 2


def test_a_name_cannot_leave_the_folder(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "mine" / "spaces").mkdir(parents=True)
    with pytest.raises(UnifyError, match="no label space"):
        load_space("../../spaces/tiny", [tmp_path / "mine"])


def test_the_users_folder_comes_first(tmp_path):
    write(tmp_path, GOOD.replace("name: tiny", "name: union70"), "union70")
    assert len(load_space("union70", [tmp_path])) == 2
    assert len(load_space("union70")) == 70
    assert space_names([tmp_path]) == space_names()


def test_the_data_of_an_installed_package_lies_inside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("unify.spaces.__file__", str(tmp_path / "unify" / "spaces.py"))
    assert mappings_dir() == tmp_path / "mappings"
    (tmp_path / "unify" / "_mappings").mkdir(parents=True)
    assert mappings_dir() == tmp_path / "unify" / "_mappings"


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UnifyError, match=r"not-found: .*nowhere: no such folder") as e:
        space_names([tmp_path / "nowhere"])
    assert e.value.exit_code == 66


ILLEGAL = {
    "no_name": (GOOD.replace("name: tiny\n", ""), "its name is None, but its file is tiny.yaml"),
    "other_name": (GOOD.replace("tiny", "other"), "its name is 'other', but its file is tiny.yaml — make them agree"),
    "unknown_key": (GOOD + "colour: red\n", "unknown keys: 'colour'"),
    "number_as_title": (GOOD.replace("A space for tests", "17"), "name, title and reference have to be text"),
    "void_not_255": (GOOD.replace("void: 255", "void: 0"), "void is 0 — void is 255 in every label image"),
    "void_as_text": (GOOD.replace("void: 255", "void: none"), "void has to be a number, not 'none'"),
    "no_classes": (GOOD.split("classes:")[0], "classes has to be a list"),
    "empty_classes": (GOOD.split("classes:")[0] + "classes: []\n", "it has no classes"),
    "class_key_missing": (GOOD.replace(", color: [70, 130, 180]", ""), "class 1: .* has to be {id, name, color}"),
    "class_key_unknown": (GOOD.replace("name: sky,", "name: sky, train_id: 3,"), "no more and no less"),
    "id_as_text": (GOOD.replace("id: 1", "id: one"), "class 1: the id has to be a number, not 'one'"),
    "id_is_yes": (GOOD.replace("id: 1", "id: yes"), "class 1: the id has to be a number, not True"),
    "id_too_large": (GOOD.replace("id: 1", "id: 256"), "ids outside -1..255: 256 'sky'"),
    "id_too_small": (GOOD.replace("id: 1", "id: -2"), "ids outside -1..255: -2 'sky'"),
    "id_twice": (GOOD.replace("id: 1", "id: 0"), "pixel values of more than one class: 0 'road', 0 'sky'"),
    "id_wraps": (
        GOOD.replace("id: 0", "id: -1").replace("id: 1", "id: 255"),
        "pixel values of more than one class: -1 'road', 255 'sky'",
    ),
    "name_twice": (GOOD.replace("sky", "road"), "names of more than one class: 'road'"),
    "name_is_no": (GOOD.replace("sky", "no"), "class 1: the name has to be text, not False: put it in quotes"),
    "name_empty": (GOOD.replace("sky", '""'), "odd names: ''"),
    "name_padded": (GOOD.replace("sky", '"sky "'), "odd names: 'sky '"),
    "name_with_tab": (GOOD.replace("sky", r'"open\tsky"'), r"odd names: 'open\\tsky'"),
    "name_with_nbsp": (GOOD.replace("sky", r'"open\u00a0sky"'), r"odd names: 'open\\xa0sky'"),
    "name_with_zero_width": (GOOD.replace("sky", r'"sky\u200b"'), r"odd names: 'sky\\u200b'"),
    "name_with_lookalike": (GOOD.replace("sky", r'"half\u2011sky"'), r"odd names: 'half\\u2011sky'"),
    "color_short": (GOOD.replace("[70, 130, 180]", "[70, 130]"), r"the color has to be \[red, green, blue\]"),
    "color_null": (GOOD.replace("[70, 130, 180]", "null"), r"the color has to be .* not None"),
    "color_float": (GOOD.replace("[70, 130, 180]", "[0.5, 0, 0]"), r"the color has to be \[red, green, blue\]"),
    "color_large": (GOOD.replace("[70, 130, 180]", "[70, 130, 256]"), "colours outside 0..255: 'sky'"),
    "key_twice": (GOOD + "void: 255\n", "line 8: duplicate key 'void', first on line 4"),
    "class_key_twice": (GOOD.replace("id: 1,", "id: 1, id: 2,"), "line 7: duplicate key 'id', first on line 7"),
    "empty_file": ("", "has to be a list"),
    "a_list": ("- 1\n- 2\n", "has no `key: value` lines at its top"),
    "not_yaml": ("name: [tiny\n", r"is not YAML: line \d+, column \d+"),
    "a_tag": ("name: !!python/object/apply:os.getcwd []\n", "is not YAML: .*python"),
    "an_alias": ("a: &a [1]\nb: *a\n", r"line 2: an alias \(\*a\)"),
    "deep": ("a: " + "[" * 100_000, "line 1: nested deeper than 8 levels"),
    "an_impossible_date": ("title: 2024-99-99\n", "is not YAML: month must be"),
    "not_utf8": (b"name: \xff\xfe\n", "is not UTF-8"),
    "a_null_byte": ("name: a\0b\n", "is not YAML"),
    "huge": ("#" * (1 << 20) + "\n", "the file is larger than 1,048,576 bytes"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_spaces(tmp_path, case):
    text, message = ILLEGAL[case]
    path = write(tmp_path, text)
    with pytest.raises(UnifyError) as e:
        read_space(path)
    assert e.value.exit_code == 78
    assert {p.kind for p in e.value.problems} == {"bad-space"}
    assert all(p.path == str(path) for p in e.value.problems)
    said = "\n".join(map(str, e.value.problems))
    assert re.search(message, said), said


def test_everything_wrong_with_a_space_is_said_at_once(tmp_path):
    text = GOOD.replace("[70, 130, 180]", "[70, 130, 256]").replace("id: 1", "id: x").replace("name: tiny", "name: t")
    text += "- {id: 0, name: road, color: [0, 0, 999]}\nvoid: 0\n"
    with pytest.raises(UnifyError) as e:
        read_space(write(tmp_path, text))
    said = "\n".join(map(str, e.value.problems))
    for what in (
        "duplicate key 'void'",
        "void is 0",
        "the id has to be",
        "more than one class: 'road'",
        "colours",
        "its name",
    ):
        assert what in said, what


names = st.text(st.sampled_from("abcdefgh -()"), min_size=1, max_size=6).filter(lambda s: s == s.strip())
colors = st.tuples(*[st.integers(0, 2).map(lambda v: v * 100)] * 3)  # few, so that they clash


@st.composite
def spaces(draw, name: str = "a"):
    classes = draw(st.dictionaries(names, colors, min_size=1, max_size=12))
    return LabelSpace(name, tuple(LabelClass(i, n, c) for i, (n, c) in enumerate(classes.items())))


@given(st.tuples(spaces("a"), spaces("b"), spaces("c")), st.permutations(range(3)))
def test_naive_union_is_every_name_once(three, order):
    union = naive_union(three)
    expected: list[str] = []
    for space in three:
        for c in space.classes:
            if c.name not in expected:
                expected.append(c.name)
    assert list(union.names) == sorted(expected)
    assert union.is_target and union.name == f"union{len(expected)}"
    assert len({c.color for c in union.classes} - {(0, 0, 0)}) == len(union), "distinct, and none is void's black"
    assert naive_union(three[i] for i in order) == union


def test_a_union_takes_the_finest_spaces_colours_and_moves_the_taken():
    coarse = LabelSpace("coarse", (LabelClass(0, "rider", (255, 0, 0)), LabelClass(1, "sky", (9, 9, 9))))
    fine = space_of("bicyclist", "sky", "road")
    fine = LabelSpace("fine", (LabelClass(0, "bicyclist", (255, 0, 0)), *fine.classes[1:]))
    colors = {c.name: c.color for c in naive_union([coarse, fine]).classes}
    assert colors == {"bicyclist": (255, 0, 0), "rider": (255, 41, 0), "road": (3, 0, 0), "sky": (2, 0, 0)}


def test_a_union_of_255_classes_of_one_colour_still_has_distinct_ones():
    space = LabelSpace("one", tuple(LabelClass(i, f"class {i}", (7, 7, 7)) for i in range(255)))
    assert len({c.color for c in naive_union([space]).classes}) == 255


def test_a_union_that_8_bits_cannot_hold():
    one, two = (space_of(*(f"{x}{i}" for i in range(128)), name=x) for x in "ab")
    with pytest.raises(UnifyError, match="the union of a, b has 256 classes — 8-bit labels hold 255"):
        naive_union([one, two])
