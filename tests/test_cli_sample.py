"""`unify sample`."""

from __future__ import annotations

import json

import pytest

from unify.cli import run


def test_writes_roots_and_says_so(tmp_path, capfd):
    assert run(["sample", str(tmp_path / "s"), "--datasets", "V,B", "--images", "2", "--scale", "0.1", "-j", "1"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{tmp_path / 's'}: 6 images in ")
    assert "sample: 6/6 images" in err
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["bdd100k", "camvid", "truth.json"]


def test_json(tmp_path, capfd):
    assert run(["sample", str(tmp_path), "--datasets", "V", "--images", "1", "--scale", "0.1", "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert (told["path"], told["images"], err) == (str(tmp_path), 2, "")


def test_other_layout(tmp_path):
    arguments = ["--datasets", "B", "--images", "1", "--scale", "0.1", "--layout", "bdd100k=seg"]
    assert run(["sample", str(tmp_path), *arguments]) == 0
    assert (tmp_path / "bdd100k/seg/labels/train").is_dir()


@pytest.mark.parametrize(
    ("datasets", "layout", "total"),
    [("A", "acdc=all", 8), ("C", "cityscapes=coarse", 5), ("K", "kitti=2015", 3), ("P", "voc=trainaug", 5)],
)
def test_how_many_images(tmp_path, capfd, datasets, layout, total):
    """ACDC has its four conditions, Cityscapes' train_extra and SBD as many as train."""
    arguments = ["--datasets", datasets, "--layout", layout, "--images", "2", "--scale", "0.06", "-j", "1"]
    assert run(["sample", str(tmp_path), *arguments]) == 0
    out, err = capfd.readouterr()
    assert f": {total} images in " in out and f"sample: {total}/{total} images" in err


def test_all_of_them(tmp_path, capfd):
    """Every dataset at once, found again by its letter; each can be asked about and built."""
    roots = str(tmp_path / "s")
    assert run(["sample", roots, "--datasets", "K,A,W,P,X,N", "--images", "1", "--scale", "0.06"]) == 0
    assert run(["doctor", "--root", roots]) == 0
    for letters in ("K", "K,A,W", "P,X,N"):
        assert run(["build", "--datasets", letters, "--root", roots, "--out", str(tmp_path / "o"), "-j", "1"]) == 0
    capfd.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--datasets", "C,Z"], 2, "unify: unknown-dataset: no dataset 'Z' — known: C cityscapes"),
        (["--scale", "0.5", "--full-size"], 2, "Use just one of --scale and --full-size."),
        (["--layout", "seg"], 2, "'seg' is not DATASET=NAME"),
        (["--layout", "bdd100k=new"], 2, "unify: usage: no layout 'new' of bdd100k"),
        (["--images", "0"], 2, "--images"),
    ],
)
def test_what_is_wrong_in_one_line(tmp_path, capfd, arguments, code, line):
    assert run(["sample", str(tmp_path / "s"), *arguments]) == code
    assert line in capfd.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_folder_that_is_not_empty(tmp_path, capfd):
    (tmp_path / "mine").write_text("")
    assert run(["sample", str(tmp_path), "--datasets", "V", "--images", "1"]) == 73
    assert capfd.readouterr().err == f"unify: cannot-create: {tmp_path}: is not empty — choose an empty folder\n"
