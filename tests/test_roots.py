"""Where roots come from, in which order, and everything that can be wrong with them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from unify.errors import UnifyError
from unify.roots import Wanted, parse_datasets, resolve_roots

from . import layouts


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """cityscapes/, idd/, bdd100k/, vistas/ and something else in one folder."""
    root = tmp_path_factory.mktemp("data")
    layouts.write_cityscapes(root / "cityscapes")
    layouts.write_idd(root / "idd")
    layouts.write_bdd100k(root / "bdd100k")
    layouts.write_mapillary(root / "vistas")
    (root / "notes").mkdir()
    (root / "readme.txt").touch()
    return root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def resolve(datasets, *options, environ=None, **more):
    return resolve_roots(datasets, options, environ=environ or {}, **more)


def faults(datasets, *options, code: int, **more) -> list[str]:
    with pytest.raises(UnifyError) as e:
        resolve(datasets, *options, **more)
    assert e.value.exit_code == code
    assert all(p.fix for p in e.value.problems)
    return [str(p) for p in e.value.problems]


# ---- names


@pytest.mark.parametrize("text", ["I,C,M@v2.0", "i, cityscapes ,MAPILLARY@v2.0", ["M@v2.0", "idd", "C"]])
def test_datasets_by_letter_or_name_in_the_order_of_the_sources(text):
    assert parse_datasets(text) == (Wanted("cityscapes"), Wanted("idd"), Wanted("mapillary", "v2.0"))


def test_all_wrong_names_are_listed_at_once():
    with pytest.raises(UnifyError) as e:
        parse_datasets("C,Z,M@v3,,c")
    assert e.value.exit_code == 2
    known = (
        "known: C cityscapes, I idd, B bdd100k, M mapillary, V camvid, K kitti, A acdc, W wilddash, P voc, X context, "
        "N nyu"
    )
    assert [str(p) for p in e.value.problems] == [
        f"unknown-dataset: no dataset 'Z' — {known}",
        "unknown-dataset: Mapillary Vistas has no release 'v3' — known: v1.2, v2.0",
        f"unknown-dataset: no dataset '' — {known}",
        "usage: Cityscapes is named twice — name each dataset once",
    ]


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("CIBM", "no dataset 'CIBM' (did you mean C,I,B,M?)"),
        ("cv", "no dataset 'cv' (did you mean C,V?)"),
        ("CZ", "no dataset 'CZ'"),
        ("cityscape", "no dataset 'cityscape' (did you mean 'cityscapes'?)"),
        ("M@v20", "Mapillary Vistas has no release 'v20' (did you mean 'v2.0'?)"),
    ],
)
def test_what_may_be_meant(text, guess):
    with pytest.raises(UnifyError) as e:
        parse_datasets(text)
    assert [p.what for p in e.value.problems] == [guess]


# ---- places


def test_a_parent_folder_serves_all(data):
    found = resolve("M,I,C,B", str(data))
    assert {name: d.root.name for name, d in found.items()} == {
        "cityscapes": "cityscapes", "idd": "idd", "bdd100k": "bdd100k", "mapillary": "vistas",
    }  # fmt: skip
    assert list(found) == ["cityscapes", "idd", "bdd100k", "mapillary"]
    assert found["mapillary"].release == "v1.2"
    assert resolve("M@v2.0", str(data))["mapillary"].release == "v2.0"


def test_a_folder_by_letter_or_name(data):
    for key in ("C", "c", "cityscapes"):
        assert resolve("C", f"{key}={data}/cityscapes")["cityscapes"].root == data / "cityscapes"


def test_roots_are_absolute_and_links_keep_their_names(data, tmp_path):
    (tmp_path / "link").symlink_to(data / "cityscapes")
    assert resolve("C", "C=link")["cityscapes"].root == tmp_path / "link"


def test_options_before_environment_before_file(data, tmp_path):
    for name in ("option", "environment", "file"):
        layouts.write_cityscapes(tmp_path / name)
    (tmp_path / "unify.toml").write_text('[roots]\nC = "file"\n')
    environ = {"UNIFY_ROOT_C": "environment", "UNIFY_ROOT": str(data)}

    def root(*options, environ):
        return resolve("C", *options, environ=environ)["cityscapes"].root

    assert root("C=option", environ=environ) == tmp_path / "option"
    assert root("I=nowhere", environ=environ) == tmp_path / "environment", "a folder of idd says nothing of cityscapes"
    assert root(environ={"UNIFY_ROOT": str(data)}) == data / "cityscapes"
    assert root(environ={"UNIFY_ROOT_C": "", "UNIFY_ROOT": ""}) == tmp_path / "file"
    assert root(str(data), environ=environ) == data / "cityscapes", "a parent among the options, too"
    assert root(str(data), "C=option", environ={}) == tmp_path / "option", "a folder by name before a parent"
    (tmp_path / "empty").mkdir()
    assert root("empty", environ=environ) == tmp_path / "environment"


def test_the_file_by_name_and_its_relative_folders(data, tmp_path):
    (tmp_path / "sub").mkdir()
    layouts.write_cityscapes(tmp_path / "sub/cs")
    (tmp_path / "sub/mine.toml").write_text(f'[roots]\ncityscapes = "cs"\nI = "{data}/idd"\n[other]\nx = 1\n')
    found = resolve("C,I", config=Path("sub/mine.toml"))
    assert [d.root for d in found.values()] == [tmp_path / "sub/cs", data / "idd"]


def test_a_home_folder(data, monkeypatch):
    monkeypatch.setenv("HOME", str(data))
    assert resolve("C", "C=~/cityscapes")["cityscapes"].root == data / "cityscapes"
    assert faults("C", "C=~nobody-of-that-name/x", code=66)[0].startswith("not-found: ~nobody-of-that-name/x")


def test_a_parent_that_is_itself_the_root_is_preferred_to_its_parts(data):
    assert resolve("I", str(data / "idd"))["idd"].root == data / "idd"
    assert resolve("B", str(data / "bdd100k"))["bdd100k"].root == data / "bdd100k"


def test_a_complete_root_is_preferred_to_an_incomplete_one(data, tmp_path):
    layouts.write_cityscapes(tmp_path / "a")
    shutil.rmtree(tmp_path / "a/gtFine")
    layouts.write_cityscapes(tmp_path / "b")
    assert resolve("C", str(tmp_path))["cityscapes"].root == tmp_path / "b"


def test_whatever_is_found(data):
    assert list(resolve(None, str(data))) == ["cityscapes", "idd", "bdd100k", "mapillary"]
    assert list(resolve(None, f"I={data}/idd", f"C={data}/cityscapes")) == ["cityscapes", "idd"]


def test_a_folder_with_an_equals_sign_in_its_name(data, tmp_path):
    (tmp_path / "a=b").mkdir()
    shutil.copytree(data / "cityscapes", tmp_path / "a=b/cs")
    assert resolve("C", f"{tmp_path}/a=b")["cityscapes"].root == tmp_path / "a=b/cs"


# ---- faults


def test_no_root_says_how_to_give_one(tmp_path):
    assert faults("C,M", code=66) == [
        "no-root: no folder of Cityscapes is given — give --root C=DIR, set UNIFY_ROOT_C, "
        'or write C = "DIR" below [roots] in unify.toml',
        "no-root: no folder of Mapillary Vistas is given — give --root M=DIR, set UNIFY_ROOT_M, "
        'or write M = "DIR" below [roots] in unify.toml',
    ]
    assert faults("C", str(tmp_path), code=66)[0].startswith(f"no-root: no folder of Cityscapes in {tmp_path} — give")
    assert faults(None, code=66) == [
        "no-root: no folder is given — give --root DIR, a folder of datasets, or --root C=DIR for one"
    ]
    assert faults(None, str(tmp_path), code=66)[0].startswith(f"no-root: no dataset that we know in {tmp_path}")


def test_folders_that_are_not_there_or_are_files(tmp_path):
    Path("file").touch()
    assert faults("C,I,B", "C=gone", "I=file", "other", code=66) == [
        "not-found: gone: is no folder: No such file or directory — give an existing folder",
        "not-found: file: is no folder: Not a directory — give an existing folder",
        "not-found: other: is no folder: No such file or directory — give an existing folder",
    ]
    assert len(faults("C,I,B", "other", code=66)) == 1, "told once, not for each dataset"


def test_a_folder_that_may_not_be_listed(monkeypatch, tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert faults("C", f"C={tmp_path}", code=77) == [
        f"no-permission: {tmp_path}: cannot be listed: Permission denied — check its permissions"
    ]


def test_another_data_set_than_said(data):
    assert faults("C", f"C={data}/idd", code=66) == [
        f"wrong-root: {data}/idd: looks like India Driving Dataset, not like Cityscapes — "
        f"give --root I={data}/idd, or another folder"
    ]
    assert "looks like Cityscapes, not like India Driving Dataset" in faults("I", f"I={data}/cityscapes", code=66)[0]
    assert "looks like BDD100K, not like CamVid" in faults("V", f"V={data}/bdd100k", code=66)[0]


def test_the_folder_around_a_root_is_no_root_but_a_hint(data):
    assert faults("C", f"C={data}", code=66) == [
        f"wrong-root: {data}: is no Cityscapes root — give --root C={data}/cityscapes"
    ]


def test_no_data_set_at_all(data):
    assert faults("C", f"C={data}/notes", code=66) == [
        f"wrong-root: {data}/notes: is no Cityscapes root — "
        "a root of it holds leftImg8bit/ and gtFine/, with {split}/{city}/ in each"
    ]


def test_what_is_missing_is_named(data, tmp_path):
    layouts.write_cityscapes(tmp_path / "cs")
    shutil.rmtree(tmp_path / "cs/leftImg8bit")
    expected = [
        f"wrong-root: {tmp_path}/cs: looks like Cityscapes, but lacks leftImg8bit/ — "
        "a root of it holds leftImg8bit/ and gtFine/, with {split}/{city}/ in each"
    ]
    assert faults("C", f"C={tmp_path}/cs", code=66) == expected
    assert faults("C", str(tmp_path), code=66) == expected
    found = resolve("C", str(tmp_path), incomplete=True)["cityscapes"]
    assert found.missing == ("leftImg8bit/",)


def test_an_unknown_mapillary_release_is_refused_with_its_count(tmp_path):
    layouts.write_mapillary(tmp_path / "m", layout="v1.x")
    layouts.write_json(tmp_path / "m/config.json", {"labels": [{"name": "a--b"}] * 30})
    assert (
        "but lacks the 66 labels of v1.2 or the 124 labels of v2.0 in config.json (it lists 30, other ones)"
        in (faults("M", "M=m", code=66)[0])
    )


def test_a_release_that_the_root_does_not_hold(tmp_path):
    layouts.write_mapillary(tmp_path / "m", layout="v1.x")
    assert faults("M@v2.0", "M=m", code=66) == [
        f"wrong-root: {tmp_path}/m: holds release v1.2 of Mapillary Vistas, not v2.0 — give the folder of v2.0"
    ]


def test_two_roots_of_one_data_set(data, tmp_path):
    layouts.write_cityscapes(tmp_path / "a")
    layouts.write_cityscapes(tmp_path / "b")
    assert faults("C", str(tmp_path), code=66) == [
        f"wrong-root: Cityscapes is in 2 folders: {tmp_path}/a, {tmp_path}/b — say which with --root C=DIR"
    ]
    assert faults("C", "C=a", "cityscapes=b", code=2) == [
        "usage: --root: gives Cityscapes two folders: a and b — give one"
    ]


def test_options_that_say_nothing(tmp_path):
    assert faults("C", "C=", code=2)[0] == "usage: --root: names no folder after C= — write C=DIR"
    assert faults("C", "Z=.", code=2)[0].startswith("unknown-dataset: --root: no dataset 'Z' — known: C cityscapes")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[roots\n", "unify.toml: is not TOML: Expected"),
        (b"\xff\xfe", "unify.toml: is not TOML: 'utf-8' codec can't decode"),
        (b"roots = 3\n", "unify.toml: [roots] does not give a text for each letter — write C ="),
        (b"[roots]\nC = 3\n", "unify.toml: [roots] does not give a text for each letter"),
        (b"#" * (1 << 21), "unify.toml: is larger than 1,048,576 bytes"),
        (b"x = " + b"[" * 10_000, "unify.toml: is not TOML: "),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, content, message):
    (tmp_path / "unify.toml").write_bytes(content)
    assert message in faults("C", code=78)[0]


def test_a_file_that_is_not_there_or_names_unknown_sources(tmp_path):
    assert faults("C", config=Path("my.toml"), code=66)[0] == (
        "not-found: my.toml: cannot be read: No such file or directory — check the file, or leave it out"
    )
    (tmp_path / "unify.toml").write_text('[roots]\nZ = "a"\n')
    assert faults("C", code=2)[0].startswith("unknown-dataset: unify.toml: no dataset 'Z'")


def test_everything_wrong_is_told_at_once(data, tmp_path):
    (tmp_path / "unify.toml").write_text("roots = 3")
    kinds = [f.partition(":")[0] for f in faults("C,Z,I", "Q=1", "I=gone", f"C={data}/idd", code=78)]
    assert kinds == ["unknown-dataset", "unknown-dataset", "bad-config"]
    (tmp_path / "unify.toml").unlink()
    kinds = [f.partition(":")[0] for f in faults("C,I,B", "Q=1", "I=gone", f"C={data}/idd", code=2)]
    assert kinds == ["unknown-dataset", "wrong-root", "not-found", "no-root"]


def test_neighbours_that_cannot_be_looked_into_are_passed_over(data, tmp_path, monkeypatch):
    layouts.write_cityscapes(tmp_path / "cs")
    (tmp_path / "lost+found").mkdir()
    is_dir = Path.is_dir

    def refuse(self):
        if self.parent.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return is_dir(self)

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert resolve("C", str(tmp_path))["cityscapes"].root == tmp_path / "cs"
