"""Bad input through the command line: exit code, one clear line, nothing written. One fixture a fault."""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unify import cli

from .worlds import small_world, tree_bytes


def first(raw: Path, pattern: str) -> Path:
    return min(raw.rglob(pattern))


def rewrite(raw: Path, pattern: str, change: Callable[[Path], None]) -> None:
    change(first(raw, pattern))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def bomb(path: Path) -> None:
    """A PNG header that promises 30000x30000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + path.read_bytes()[33:])


def save(image: Image.Image) -> Callable[[Path], None]:
    return lambda path: image.save(path)


def polygons(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text)


def shape(points: str, label: str = '"road"', size: str = '"imgWidth": 64, "imgHeight": 32') -> str:
    return '{%s, "objects": [{"label": %s, "deleted": 0, "polygon": %s}]}' % (size, label, points)  # noqa: UP031


def rotate(path: Path) -> None:
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


C_LABEL, C_IMAGE = "gtFine/train/*/*_labelIds.png", "leftImg8bit/train/*/*.png"
I_LABEL, B_IMAGE, B_LABEL = "gtFine/train/*/*_polygons.json", "images/10k/train/*.jpg", "masks/train/*.png"
M_LABEL = "training/v1.2/labels/*.png"
GRAY = Image.new("L", (64, 32), 7)

#: name -> (letter, files, what is done to the first of them, kind, words of the message)
FAULTS = {
    "missing label": ("C", C_LABEL, Path.unlink, "missing-label", "has no label"),
    "missing image": ("C", C_IMAGE, Path.unlink, "missing-image", "has no image"),
    "size mismatch": ("B", B_LABEL, save(Image.new("L", (32, 32))), "size-mismatch", "64x32 pixels, the label 32x32"),
    "unknown id": ("C", C_LABEL, save(Image.new("L", (64, 32), 99)), "unknown-id", "99 (2048 pixels)"),
    "RGB label": ("C", C_LABEL, save(Image.new("RGB", (64, 32))), "bad-label", "RGB colours where gray ids are due"),
    "16-bit label": ("C", C_LABEL, save(Image.new("I;16", (64, 32))), "bad-label", "16 bits a value"),
    "palette where gray is due": ("C", C_LABEL, save(GRAY.convert("P")), "bad-label", "a palette where gray ids"),
    "palette saved as RGB": ("M", M_LABEL, save(Image.new("RGB", (64, 32))), "bad-label", "RGB colours where ids are"),
    "truncated label": ("B", B_LABEL, cut, "bad-label", ""),
    "truncated PNG": ("C", C_IMAGE, cut, "bad-image", ""),
    "truncated JPEG": ("B", B_IMAGE, cut, "bad-image", ""),
    "flipped bit in a PNG": ("C", C_IMAGE, flip, "bad-image", ""),
    "flipped bit in a label": ("C", C_LABEL, flip, "bad-label", ""),
    "text for an image": ("B", B_IMAGE, lambda p: p.write_text("hello"), "bad-image", ""),
    "empty image": ("B", B_IMAGE, lambda p: p.write_bytes(b""), "bad-image", ""),
    "image bomb": ("C", C_IMAGE, bomb, "image-too-large", "30000x30000"),
    "label bomb": ("C", C_LABEL, bomb, "image-too-large", "30000x30000"),
    "EXIF orientation": ("B", B_IMAGE, rotate, "exif-orientation", "orientation 6 would turn the image"),
    "polygons: no JSON": ("I", I_LABEL, polygons("{"), "bad-polygons", ""),
    "polygons: wrong types": ("I", I_LABEL, polygons('{"imgWidth": "64"}'), "bad-polygons", ""),
    "polygons: NaN": ("I", I_LABEL, polygons(shape("[[0, 0], [NaN, 1], [1, 1]]")), "bad-polygons", ""),
    "polygons: infinity": ("I", I_LABEL, polygons(shape("[[0, 0], [1e999, 1], [1, 1]]")), "bad-polygons", ""),
    "polygons: points that are none": ("I", I_LABEL, polygons(shape("[[0], [1], [2]]")), "bad-polygons", ""),
    "polygons: a million points": ("I", I_LABEL, polygons(shape(f"[{'[0,0],' * 10**6}[0,0]]")), "bad-polygons", ""),
    "polygons: deep nesting": ("I", I_LABEL, polygons("[" * 100_000 + "]" * 100_000), "bad-polygons", ""),
    "polygons: huge canvas": (
        *("I", I_LABEL, polygons(shape("[]", size='"imgWidth": 1000000, "imgHeight": 1000000'))),
        *("image-too-large", "1000000 x 1000000"),
    ),
    "polygons: unknown label": ("I", I_LABEL, polygons(shape("[[0,0],[9,0],[9,9]]", '"spaceship"')), "", "spaceship"),
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No unify.toml of this machine and no variable of this shell has a say."""
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("UNIFY_ROOT")]:
        monkeypatch.delenv(name)


def run(capsys, *args: object) -> tuple[int, str]:
    """Exit code, and what a person sees on standard error."""
    code = cli.run([str(a) for a in args])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", FAULTS)
def test_raw_data(name, tmp_path, capsys):
    letter, pattern, change, kind, words = FAULTS[name]
    raw = small_world(tmp_path / "raw", letter)
    rewrite(raw, pattern, change)
    code, told = run(capsys, "build", "--datasets", letter, "--root", raw, "--out", tmp_path / "out", "-j", "1")
    assert code == 65, told
    assert "Traceback" not in told
    line = next(line for line in told.splitlines() if re.match(rf"unify: {kind or 'bad-polygons'}: ", line))
    assert words in line
    assert " — " in line, "every message says what to do"
    assert len(line) < 400
    folder = next(raw.iterdir()).name
    assert line.split(": ")[2].startswith(f"{folder}/"), "the path says which root"
    written = [n for n in tree_bytes(tmp_path / "out") if "/.work/" not in n]
    assert [Path(n).name for n in written] == ["rejects.jsonl"]
    rejects = next((tmp_path / "out").rglob("rejects.jsonl")).read_text().splitlines()
    assert {json.loads(r)["kind"] for r in rejects} == {kind or "bad-polygons"}


def test_faults_of_all_sources_are_listed_together(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "CIB")
    folders = {"missing label": "cityscapes", "truncated JPEG": "bdd100k", "polygons: NaN": "idd"}
    for name, folder in folders.items():
        _, pattern, change, _, _ = FAULTS[name]
        rewrite(raw / folder, pattern, change)
    code, told = run(capsys, "build", "--datasets", "C,I,B", "--root", raw, "--out", tmp_path / "out", "-j", "2")
    assert code == 65
    for kind in ("missing-label", "bad-image", "bad-polygons"):
        assert f"unify: {kind}: " in told


def test_no_root(tmp_path, capsys):
    code, told = run(capsys, "build", "--datasets", "C,I", "--out", tmp_path / "out")
    assert code == 66
    assert "no-root" in told
    assert "--root C=" in told


def test_wrong_root(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "I")
    code, told = run(capsys, "build", "--datasets", "C", "--root", f"C={raw / 'idd'}", "--out", tmp_path / "out")
    assert code == 66
    assert "wrong-root" in told
    assert "looks like India Driving Dataset" in told, "it says what the folder looks like"


def test_a_root_that_is_not_there(tmp_path, capsys):
    code, told = run(capsys, "build", "--datasets", "C", "--root", "C=/nowhere/at/all", "--out", tmp_path / "out")
    assert code == 66
    assert "/nowhere/at/all" in told


@pytest.mark.parametrize("args", [["--datasets", "C,Q"], ["--datasets", "C", "--no-such-option"], []])
def test_usage(args, capsys):
    code, told = run(capsys, "build", *args)
    assert code == 2
    assert "Traceback" not in told


def test_an_unknown_letter_lists_the_known(capsys):
    assert re.search(r"unknown-dataset: .*'Q'.*C cityscapes, I idd", run(capsys, "build", "--datasets", "Q")[1])


def test_an_unknown_split(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "V")
    code, told = run(capsys, "build", "--datasets", "V", "--root", raw, "--split", "trian", "--out", tmp_path / "out")
    assert code == 2
    assert "'trian'" in told
    assert "test, train, val" in told


def test_a_link_out_of_the_root(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "C")
    image = first(raw, C_IMAGE)
    image.rename(tmp_path / "outside.png")
    image.symlink_to(tmp_path / "outside.png")
    args = ["build", "--datasets", "C", "--root", raw, "--out", tmp_path / "out", "-j", "1"]
    code, told = run(capsys, *args)
    assert code == 77
    assert "unsafe-path" in told
    assert "--follow-links" in told
    assert run(capsys, *args, "--follow-links")[0] == 0


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir()])
def test_what_is_no_regular_file_is_never_opened(tmp_path, capsys, make):
    raw = small_world(tmp_path / "raw", "B")
    image = first(raw, B_IMAGE)
    image.unlink()
    make(image)
    code, told = run(capsys, "build", "--datasets", "B", "--root", raw, "--out", tmp_path / "out", "-j", "1")
    assert code in (65, 77)
    assert "Traceback" not in told


def test_a_place_that_cannot_be_written(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "V")
    (tmp_path / "file").write_text("in the way")
    code, told = run(capsys, "build", "--datasets", "V", "--root", raw, "--out", tmp_path / "file" / "out")
    assert code == 73
    assert "cannot-create" in told
    assert "--out" in told


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("road: road", "have no rule"),
        ("road: road\n  road: sky", "road"),
        ("road: highway", "highway"),
        ("road: 7", "road"),
    ],
)
def test_a_mapping_table_with_errors(tmp_path, capsys, rules, words):
    raw = small_world(tmp_path / "raw", "V")
    table = tmp_path / "mine" / "to_cityscapes19" / "camvid-segnet.yaml"
    table.parent.mkdir(parents=True)
    table.write_text(f"from: camvid-segnet\nto: cityscapes19\nreference: mine\nrules:\n  {rules}\n")
    options = ["--space", "cityscapes19", "--mappings", tmp_path / "mine"]
    code, told = run(capsys, "build", "--datasets", "V", "--root", raw, "--out", tmp_path / "out", *options)
    assert code == 78
    assert "to_cityscapes19/camvid-segnet.yaml" in told
    assert words in told
    assert not (tmp_path / "out").exists()


def test_a_name_that_would_break_the_terminal_is_escaped(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "B")
    image = first(raw, B_IMAGE)
    image.rename(image.with_name("\x1b[31mred\n.jpg"))
    code, told = run(capsys, "build", "--datasets", "B", "--root", raw, "--out", tmp_path / "out", "-j", "1")
    assert code == 65
    assert "\x1b" not in told
    assert "\\x1b[31mred\\n.jpg" in told


def test_keep_going_exits_3_and_the_rest_is_there(tmp_path, capsys):
    raw = small_world(tmp_path / "raw", "C")
    rewrite(raw, C_IMAGE, cut)
    options = ["--out", tmp_path / "out", "-j", "1", "--keep-going", "--json"]
    code = cli.run([str(a) for a in ["build", "--datasets", "C", "--root", raw, *options]])
    out, err = capsys.readouterr()
    assert code == 3
    assert "bad-image" in err
    facts = json.loads(out.splitlines()[-1])
    assert list(facts) == ["path", "name", "version", "digest", "images", "seconds"]
    assert facts["images"] == 2
    assert (Path(facts["path"]) / "rejects.jsonl").exists()


def test_a_bug_of_ours_shows_a_traceback_and_exits_1(monkeypatch, capsys):
    monkeypatch.setattr("unify.artifact.list_artifacts", lambda root: 1 / 0)
    code, told = run(capsys, "list", ".")
    assert code == 1
    assert "ZeroDivisionError" in told
    assert "bug in unify" in told
