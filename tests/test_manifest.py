from __future__ import annotations

import dataclasses
import json

import pytest

from unify.errors import UnifyError
from unify.manifest import File, Manifest, next_version, version_key

RECIPE = {"taxonomy": "t", "adapters": {"idd": {"release": "x", "version": 1}}, "options": []}


def manifest(**changes) -> Manifest:
    fields = {
        "name": "ci-union28", "version": "1.4.2", "plan": "p", "recipe": RECIPE, "space": "union28", "classes": 28,
        "columns": ("image", "label"), "sources": {"idd": {"release": "x", "splits": {"train": 2}}}, "images": 2,
        "rejects": 0, "parents": (), "made_with": {"unify": "0"}, "files": {"a": File(1, "00")},
    }  # fmt: skip
    return Manifest(**(fields | changes))


def test_round_trip():
    m = manifest()
    assert Manifest.from_json(m.to_json(), "m") == m
    assert json.loads(m.to_json())["digest"] == m.digest


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Manifest)])
def test_digest_depends_on_every_field(field):
    old = getattr(manifest(), field)
    new = {str: lambda: old + "x", int: lambda: old + 1, tuple: lambda: (*old, "x"), dict: lambda: old | {"x": None}}
    changed = manifest(**{field: new[type(old)]()}) if field != "files" else manifest(files={"b": File(1, "00")})
    assert changed.digest != manifest().digest


def test_an_edited_manifest_is_refused():
    data = json.loads(manifest().to_json()) | {"images": 3}
    with pytest.raises(UnifyError, match="m: was changed after it was written") as e:
        Manifest.from_json(json.dumps(data).encode(), "m")
    assert e.value.exit_code == 76


def test_a_newer_format_is_refused_and_says_what_to_do():
    data = json.loads(manifest().to_json()) | {"format": 99}
    with pytest.raises(UnifyError, match="newer-format: m: has format 99 — update unify") as e:
        Manifest.from_json(json.dumps(data).encode(), "m")
    assert e.value.exit_code == 78


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"format": 1, "digest": ""}', b"null", b'{"format": "x"}'])
def test_what_is_no_manifest_is_bad_input(data):
    with pytest.raises(UnifyError) as e:
        Manifest.from_json(data, "m")
    assert e.value.exit_code == 65


A, B = ("i1", "l1"), ("i2", "l2")


@pytest.mark.parametrize(
    ("recipe", "inputs", "expected"),
    [
        ({"taxonomy": "other"}, {"a": A}, "2.0.0"),  # a rule changed
        ({"adapters": {"idd": {"release": "x", "version": 2}}}, {"a": A}, "2.0.0"),  # decoding changed
        ({}, {"a": ("i1", "other")}, "2.0.0"),  # a raw label changed
        ({}, {"b": B}, "2.0.0"),  # a sample is gone
        ({}, {"a": A, "b": B}, "1.5.0"),  # a sample more
        ({"options": ["native"]}, {"a": A}, "1.5.0"),  # a column more
        ({}, {"a": A}, "1.4.3"),  # same pixels, other bytes
    ],
)
def test_version_numbers_mean_something(recipe, inputs, expected):
    assert next_version(manifest(), {"a": A}, RECIPE | recipe, inputs) == expected


def test_a_lost_column_is_major_and_the_first_version_is_1():
    assert next_version(manifest(recipe=RECIPE | {"options": ["native"]}), {"a": A}, RECIPE, {"a": A}) == "2.0.0"
    assert next_version(None, {}, RECIPE, {}) == "1.0.0"


def test_versions_sort_as_numbers():
    assert sorted(["1.10.0", "1.9.0", "1.2.11"], key=version_key) == ["1.2.11", "1.9.0", "1.10.0"]
    assert [version_key(v) for v in ("1.0", "01.0.0", "1.0.0-rc", "work")] == [None] * 4
