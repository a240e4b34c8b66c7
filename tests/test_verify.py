"""`verify` finds every damage, and the loader passes on none of it."""

from __future__ import annotations

import json
import random
import shutil

import pytest

from unify.artifact import open_artifact
from unify.build import build
from unify.cli import run
from unify.errors import UnifyError
from unify.verify import unreadable, verify

from .worlds import plan_of, small_world


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    return build(plan_of(small_world(folder / "raw", "CV"), "C,V"), folder / "out").artifact.path


@pytest.fixture
def version(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "version")


def files(version):
    return sorted(p for p in version.rglob("*") if p.is_file())


def found(version) -> set[str]:
    try:
        return {p.path for p in verify(open_artifact(version)).problems}
    except UnifyError as e:
        return {p.path for p in e.problems}


def test_a_whole_version_is_whole(version):
    result = verify(open_artifact(version))
    assert result.ok
    assert result.files == len(files(version))


def test_every_flipped_bit_is_found(version):
    dice = random.Random(0)
    for path in files(version):
        data = path.read_bytes()
        for _ in range(12):
            damaged = bytearray(data)
            damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            path.write_bytes(damaged)
            assert any(name.endswith(path.name) for name in found(version)), path
        path.write_bytes(data)
    assert not found(version)


@pytest.mark.parametrize("how", ["truncate", "delete", "zero", "grow", "link"])
def test_every_damaged_file_is_named(version, how, tmp_path):
    for path in files(version):
        data = path.read_bytes()
        if how == "truncate":
            path.write_bytes(data[:-1])
        elif how == "zero":
            path.write_bytes(bytes(len(data)))
        elif how == "grow":
            path.write_bytes(data + b"\0")
        else:
            path.unlink()
            if how == "link":
                (tmp_path / "same").write_bytes(data)
                path.symlink_to(tmp_path / "same")
        expected = version.name if path.name == "manifest.json" and how == "delete" else path.name
        if path.name != "manifest.json" or how != "link":  # a link to a manifest is read like one
            assert any(name.endswith(expected) for name in found(version)), path
        path.unlink(missing_ok=True)
        path.write_bytes(data)


def test_swapped_shards_and_strangers_are_named(version):
    shards = sorted(version.rglob("*.parquet"))[:2]
    first, second = (s.read_bytes() for s in shards)
    shards[0].write_bytes(second)
    shards[1].write_bytes(first)
    assert found(version) == {s.relative_to(version).as_posix() for s in shards}
    shards[0].write_bytes(first)
    shards[1].write_bytes(second)
    (version / "data" / "camvid" / "train-00001-of-00002.parquet").write_bytes(first)
    assert found(version) == {"data/camvid/train-00001-of-00002.parquet"}


def test_what_a_copy_from_the_hub_has_besides_is_no_fault(version):
    for name in ("croissant.json", ".gitattributes", "data/croissant.json", "croissant2.json"):
        (version / name).write_text("{}")
    assert found(version) == {"data/croissant.json", "croissant2.json"}


def test_page_checksums_are_read(version):
    """A page that was damaged before the manifest was made would pass every digest."""
    shard = min((version / "data").rglob("*.parquet"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 4] ^= 1  # within the image column
    shard.write_bytes(data)
    assert "cannot be read as Parquet" in (unreadable(shard) or "")


def test_the_command(version, capsys):
    assert run(["verify", str(version)]) == 0
    told = capsys.readouterr()
    assert "all as published" in told.out
    assert f"{len(files(version))} files" in told.out
    assert f"verify: {len(files(version))}/{len(files(version))} files" in told.err
    assert run(["verify", str(version), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "files": len(files(version)), "bad": []}
    (version / "README.md").write_text("other")
    assert run(["verify", str(version)]) == 76
    assert "unify: not-verified: README.md: has 5 bytes instead of " in capsys.readouterr().err
    assert run(["verify", str(version), "--json"]) == 76
    assert json.loads(capsys.readouterr().out)["bad"] == ["README.md"]
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "manifest.json").write_text(json.dumps(manifest | {"images": 0}))
    assert run(["verify", str(version), "--json"]) == 76
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_the_list_for_scripts_has_what_the_table_has(whole, capsys):
    root = str(whole.parents[1])
    assert run(["list", root, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["bytes"] == sum(p.stat().st_size for p in files(whole) if p.name != "manifest.json")
    assert list(row["sources"]) == ["cityscapes", "camvid"]
    assert set(row["sources"]["camvid"]["splits"]) == {"train", "val"}
    assert run(["list", root]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert "cityscapes camvid" in line and head.split() == [
        "name", "version", "space", "classes", "sources", "images", "size", "digest",
    ]  # fmt: skip
