"""The command that made a version, run again, makes what was damaged since: the same bytes, and nothing more."""

from __future__ import annotations

import json
import shutil

import pytest

from unify import parquet
from unify.artifact import open_artifact
from unify.build import build
from unify.cli import run
from unify.commit import commit
from unify.convert import conversion
from unify.errors import UnifyError
from unify.verify import damaged

from .test_crash import disturbed
from .worlds import plan_of, small_world, tree_bytes

SHARD = "data/cityscapes/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("raw"), "CI")


@pytest.fixture(scope="module")
def built(roots, tmp_path_factory):
    return build(plan_of(roots, "C,I", options=["native"]), tmp_path_factory.mktemp("mend")).artifact.path


@pytest.fixture
def version(built, tmp_path):
    return shutil.copytree(built, tmp_path / built.parent.name / built.name)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("names", [[SHARD], ["stats.parquet"], ["inputs.parquet"], ["README.md", SHARD]])
def test_the_same_bytes(roots, version, names, how):
    expected, out = tree_bytes(version.parent), version.parents[1]
    for name in names:
        DAMAGE[how](version / name)
    assert damaged(open_artifact(version)) == set(names)
    made = []
    result = build(
        plan_of(roots, "C,I", options=["native"]), out, progress=lambda shard, receipt: made.append(shard.path)
    )
    assert result.mended == tuple(sorted(names))
    assert not result.fresh
    assert tree_bytes(version.parent) == expected, "with the version's folder, nothing else is left"
    if names == [SHARD]:
        assert made == [SHARD], "shards that are whole are not made again"
    assert build(plan_of(roots, "C,I", options=["native"]), out).mended == ()


def test_a_whole_folder_is_gone(roots, version):
    expected = tree_bytes(version)
    shutil.rmtree(version / "data")
    build(plan_of(roots, "C,I", options=["native"]), version.parents[1])
    assert tree_bytes(version) == expected


def test_a_derived_version(version):
    out = version.parents[1]
    parent = open_artifact(version)
    child = commit(conversion(parent, "cityscapes19"), out).artifact.path
    expected = tree_bytes(child)
    flip(child / SHARD)
    assert commit(conversion(parent, "cityscapes19"), out).mended == (SHARD,)
    assert tree_bytes(child) == expected


def test_what_does_not_come_out_the_same_is_left_and_named(roots, version, monkeypatch):
    """As by a unify that writes other bytes."""
    flip(version / SHARD)
    flip(version / "stats.parquet")
    before = (version / SHARD).read_bytes()
    monkeypatch.setattr(parquet, "WRITER", "another")
    with pytest.raises(UnifyError, match="does not come out as it was published") as e:
        build(plan_of(roots, "C,I", options=["native"]), version.parents[1])
    assert e.value.exit_code == 76
    assert [p.path for p in e.value.problems] == [f"{version.parent.name}/1.0.0/{SHARD}"]
    assert (version / SHARD).read_bytes() == before
    assert damaged(open_artifact(version)) == {SHARD}, "the other file was mended"


def test_changed_raw_data_makes_a_new_version_and_mends_nothing(tmp_path):
    roots, out = small_world(tmp_path / "raw", "C"), tmp_path / "out"
    old = build(plan_of(roots, "C"), out).artifact.path
    flip(old / SHARD)
    damaged_bytes = tree_bytes(old)
    image = next((roots / "cityscapes/leftImg8bit/train").rglob("*.png"))
    other = next((roots / "cityscapes/leftImg8bit/val").rglob("*.png"))
    image.write_bytes(other.read_bytes())
    result = build(plan_of(roots, "C"), out)
    assert result.fresh
    assert result.artifact.path != old
    assert tree_bytes(old) == damaged_bytes


def test_killed_at_every_operation(roots, version):
    """Each file of the version is always either as damaged or as published."""
    expected, out = tree_bytes(version.parent), version.parents[1]
    published = tree_bytes(version)
    for at in range(1, 200):
        flip(version / SHARD)
        flip(version / "README.md")
        hurt = tree_bytes(version)
        code = disturbed(lambda: build(plan_of(roots, "C,I", options=["native"]), out), at, "killed before")
        for name, data in tree_bytes(version).items():
            assert data in (published[name], hurt[name]), (at, name)
        build(plan_of(roots, "C,I", options=["native"]), out)
        assert tree_bytes(version.parent) == expected, at
        if code == 0:
            break
    assert at > 20


def test_the_command_says_so(roots, version, capsys):
    command = ["build", "--datasets", "C,I", "--root", str(roots), "--out", str(version.parents[1]), "--native"]
    flip(version / SHARD)
    assert run(["verify", str(version)]) == 76
    assert "run the command that made the version again" in capsys.readouterr().err
    assert run(command) == 0
    assert "1 damaged file made again" in capsys.readouterr().out
    assert run(["verify", str(version)]) == 0
    flip(version / SHARD)
    capsys.readouterr()
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mended"] == [SHARD]
