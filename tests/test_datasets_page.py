"""docs/datasets.md is what `unify datasets --markdown` prints. `python -m tests.test_datasets_page` writes it anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unify.catalogue import catalogue
from unify.cli import run
from unify.errors import UnifyError
from unify.sources import SOURCES
from unify.spaces import load_space, space_names
from unify.taxonomy import taxonomy_for

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "datasets.md"

#: Pairs in the official splits, from the datasets' papers.
PUBLISHED = {
    "cityscapes": {"train": 2975, "val": 500},
    "idd": {"train": 14027, "val": 2036},
    "bdd100k": {"train": 7000, "val": 1000},
    "mapillary": {"train": 18000, "val": 2000},
    "camvid": {"train": 367, "val": 101, "test": 233},
    "kitti": {"train": 200},
    "acdc": {"train": 1600, "val": 406},
    "wilddash": {"train": 4256},
    "voc": {"train": 1464, "val": 1449},
    "context": {"train": 4998, "val": 5105},
    "nyu": {"train": 795, "test": 654},
}


@pytest.fixture(scope="module")
def printed() -> str:
    command = [sys.executable, "-m", "unify", "datasets", "--markdown"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_the_page_is_fresh(printed):
    assert PAGE.read_text(encoding="utf-8") == printed, "run `python -m tests.test_datasets_page`"


def test_a_row_for_every_dataset_with_the_published_counts(printed):
    table = printed.split("\n\n")[2].splitlines()[2:]
    assert len(table) == len(SOURCES)
    for line, source in zip(table, SOURCES.values(), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert cells[0] == source.letter and source.title in cells[1]
        counts = ", ".join(f"{split} {n:,}" for split, n in PUBLISHED[source.name].items())
        assert cells[4].split("<br>")[0] == counts
        for name in source.releases:
            assert name in cells[2].split("<br>")
        assert (cells[8] == "no") == (source.name != "camvid")


def test_the_columns_of_releases_stand_side_by_side(printed):
    acdc = next(line for line in printed.splitlines() if line.startswith("| A | [ACDC]")).split(" | ")
    assert len(acdc[2].split("<br>")) == len(acdc[4].split("<br>")) == 5
    assert acdc[4].split("<br>")[4] == "train 400, val 100"


def test_where_a_dataset_can_go_is_what_build_takes():
    """All spaces tried, one by one."""
    for facts in catalogue({name: SOURCES[name] for name in ("mapillary", "kitti", "nyu")}):
        for release in facts.releases:
            taken = []
            for name in space_names():
                try:
                    found = taxonomy_for({"x": release.space}, {"x": release.train_space}, name)
                except UnifyError:
                    continue
                if name != release.space and found.null_mask.any():
                    taken.append(name)
            assert list(release.goes_to) == taken
            assert release.train_space in taken
            assert (release.raw_classes, release.classes) == (
                len(load_space(release.space).ids),
                len(load_space(release.train_space).ids),
            )


def test_json_and_table(capsys):
    assert run(["datasets", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [d["letter"] for d in found] == [s.letter for s in SOURCES.values()]
    assert found[0]["releases"][1]["splits"]["train_extra"] == 19998
    assert found[0]["sharing"] == "no"
    assert run(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + sum(len(s.releases) for s in SOURCES.values())
    assert run(["datasets", "--json", "--markdown"]) == 2


def test_one_by_name_or_letter(capsys):
    assert run(["datasets", "--json"]) == 0
    every = {d["name"]: d for d in json.loads(capsys.readouterr().out)}
    for asked in ("mapillary", "M"):
        assert run(["datasets", asked, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == every["mapillary"]
    assert run(["datasets", "cityscapes"]) == 0
    told = capsys.readouterr().out
    for words in ("not to be passed on", "gtFine/", "C@coarse", "train_extra 19998", "35 ids", "union70"):
        assert words in told
    assert "not to be built     test: the test split has no coarse labels" in told
    assert run(["datasets", "citiscapes"]) == 2
    assert "no dataset 'citiscapes' (did you mean 'cityscapes'?)" in capsys.readouterr().err
    assert run(["datasets", "M", "--markdown"]) == 2


def test_a_dataset_of_ones_own_is_listed(tmp_path, capsys):
    (tmp_path / "unify.toml").write_text(
        '[datasets.mine]\ntitle = "Mine"\nletter = "Z"\nspace = "camvid-segnet"\n'
        'train_space = "camvid11"\nencoding = "gray"\n'
        'images = "img/{split}/*.jpg"\nlabels = "ann/{split}/*.png"\nsplits = { train = "train" }\n'
    )
    code = run(["datasets", "--config", str(tmp_path / "unify.toml"), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    mine = json.loads(out)[-1]
    assert (mine["name"], mine["letter"], mine["sharing"]) == ("mine", "Z", "unclear")
    assert mine["releases"][0]["goes_to"] == ["camvid11", "cityscapes19"]
    assert run(["datasets", "z", "--config", str(tmp_path / "unify.toml")]) == 0
    assert "  images              train\n" in capsys.readouterr().out, "how many there are, nobody said"


if __name__ == "__main__":
    done = subprocess.run([sys.executable, "-m", "unify", "datasets", "--markdown"], capture_output=True, check=True)
    PAGE.write_bytes(done.stdout)
