"""`unify mix` as people and scripts see it."""

from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest

from unify.build import build
from unify.cli import run
from unify.draws.mixtures import MIXTURES
from unify.draws.samplers import SAMPLERS

from .layouts import write_cityscapes, write_mapillary
from .layouts_more import write_coarse
from .worlds import plan_of


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mix")
    write_cityscapes(folder / "raw/cityscapes", train=4, val=1)
    write_mapillary(folder / "raw/mapillary", train=5)
    write_coarse(folder / "coarse/cityscapes", extra=6)
    build(plan_of(folder / "raw", "C,M", "cityscapes19", options=["centroids"]), folder / "out")
    plan = plan_of(folder / "coarse", "C@coarse", "cityscapes19", ["train_extra"], options=["centroids"], name="coarse")
    build(plan, folder / "out")
    build(plan_of(folder / "raw", "M", "cityscapes19", name="plain"), folder / "out")
    return folder / "out"


def mix(out, *arguments) -> int:
    return run(["mix", *arguments, "--root", str(out)])


def test_tables(out, capsys):
    assert mix(out, "seethroughnet", "cm-cityscapes19", "coarse", "--length", "50", "--epochs", "3") == 0
    text, err = capsys.readouterr()
    files = (out / "cm-cityscapes19/1.0.0/data/mapillary").iterdir()
    classes = {k for file in files for row in pq.read_table(file)["classes"].to_pylist() for k in row}
    lines = [re.sub(r"  +", "  ", line).strip() for line in text.splitlines()]
    assert err == ""
    assert lines[0] == ("seethroughnet of cm-cityscapes19 1.0.0, coarse 1.0.0: 50 draws an epoch, 3 epochs, seed 0")
    assert lines[2:6] == [
        "part  sampler  images  share  draws an epoch  effective epochs  classes",
        "fine  uniform  5  40.0 %  20  12.0  19",
        f"mapillary  class-uniform  6  40.0 %  20  10.0  {len(classes)}",
        "coarse  class-uniform  6  20.0 %  10  5.0  19",
    ]
    assert lines[7:11] == [
        "source  images  draws an epoch  effective epochs",
        "cityscapes fine  5  20.0  12.0",
        "mapillary  6  20.0  10.0",
        "cityscapes coarse  6  10.0  5.0",
    ]
    assert lines[12] == "class, rarest first  images  aimed at, an epoch  shown, an epoch"
    shown = [int(line.split("  ")[1]) for line in lines[13:21]]
    assert shown == sorted(shown)
    assert lines[21] == "11 more of the 19 classes are shown by more images (--json lists all)"


def test_json_and_file_agree(out, tmp_path, capsys):
    file = tmp_path / "draws.parquet"
    options = ["--epochs", "4", "--seed", "9", "--set", "class_share=0.5", "-o", str(file), "--json"]
    assert mix(out, "seethroughnet", "cm-cityscapes19", "coarse", *options) == 0
    told = json.loads(capsys.readouterr().out)
    rows = pq.read_table(file).to_pylist()
    assert (told["mixture"], told["seed"], told["epochs"], told["length"]) == ("seethroughnet", 9, 4, 4)
    assert told["output"] == str(file)
    assert len(rows) == 16
    assert [part["draws_per_epoch"] for part in told["parts"]] == [2, 1, 1]
    assert [part["options"] for part in told["parts"]] == [{}, *[{"class_share": 0.5, "centres": True}] * 2]
    for part in told["parts"]:
        mine = [row for row in rows if row["part"] == part["name"]]
        assert part["effective_epochs"] == len(mine) / part["images"]
    assert sum(source["draws"] for source in told["sources"]) == 16
    for place in told["classes"]:
        assert place["targeted"] == sum(row["target_class"] == place["id"] for row in rows)
    digests = {version["digest"] for version in told["versions"]}
    assert {row["version"] for row in rows} == digests


def test_the_same_command_writes_the_same_bytes(out, tmp_path, capsys):
    for name in ("a", "b"):
        assert mix(out, "uniseg", "cm-cityscapes19", "--epochs", "2", "-o", str(tmp_path / f"{name}.parquet")) == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert "b.parquet: 18 draws, " in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_a_file_in_place_of_a_name(out, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("length: 10\nparts:\n- {source: mapillary, share: 0.7}\n- {source: cityscapes, share: 0.3}\n")
    assert mix(out, str(file), "cm-cityscapes19", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(p["name"], p["share"], p["draws_per_epoch"]) for p in told["parts"]] == [
        ("mapillary train", 0.7, 7),
        ("cityscapes train", 0.3, 3),
    ]
    file.write_text("parts: [{share: 2, sampler: x}]")
    assert mix(out, str(file), "cm-cityscapes19") == 78
    assert capsys.readouterr().err.count("unify: bad-config: ") == 3


def test_list(capsys):
    assert run(["mix", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^{name}  ", text, re.MULTILINE) for name in (*MIXTURES, *SAMPLERS))
    assert "class_share" in text
    assert run(["mix", "--list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["mixtures"]) == list(MIXTURES) and list(told["samplers"]) == list(SAMPLERS)
    assert told["mixtures"]["seethroughnet"]["length"] == {
        "source": "cityscapes",
        "release": "fine",
        "splits": ["train"],
    }
    assert told["samplers"]["class-uniform"]["options"] == {"class_share": 0.5, "centres": True}


def test_every_mixture_of_one_version(out):
    for name in MIXTURES:
        if name != "seethroughnet":
            assert mix(out, name, "cm-cityscapes19", "--epochs", "2") == 0, name


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Give a mixture and at least one version, or --list."),
        (["uniseg"], 2, "Give a mixture and at least one version, or --list."),
        (["unisex", "coarse"], 2, "unify: usage: unisex: is no mixture"),
        (["uniseg", "nothing"], 66, "unify: not-found: nothing: is no version"),
        (["uniseg", "coarse"], 2, "part 'all' has no image here: it takes every source train"),
        (["seethroughnet", "cm-cityscapes19"], 2, "unify build --datasets C@coarse --split train_extra"),
        (["class-uniform", "plain"], 2, "unify: usage: plain 1.0.0: has no centroids"),
        (["uniseg", "plain", "cm-cityscapes19"], 2, "of its samples are in cm-cityscapes19 1.0.0 too"),
        (["uniseg", "plain", "plain"], 2, "unify: usage: plain 1.0.0: is given twice"),
        (["uniseg", "plain", "--set", "x"], 2, "--set: 'x' is not KEY=VALUE"),
        (["uniseg", "plain", "--set", "x=y"], 2, "--set: 'x=y' is not KEY=VALUE"),
        (["uniseg", "plain", "--set", "x=1"], 2, "unify: usage: uniseg: has no option 'x' — it has none"),
        (["class-uniform", "plain", "--set", "centres=2"], 2, "is true or false, not 2.0"),
        (["uniseg", "plain", "--length", "0"], 2, "--length"),
        (["uniseg", "plain", "-o", "draws.csv"], 2, "unify: usage: draws.csv: is not the name of a Parquet file"),
        (["uniseg", "plain", "-o", "/nowhere/at/all/draws.parquet"], 73, "cannot create"),
    ],
)
def test_mistakes(out, capsys, arguments, code, message):
    assert mix(out, *arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_whole_images_without_centroids(out, capsys):
    assert mix(out, "class-uniform", "plain", "--set", "centres=false", "--json") == 0
    (part,) = json.loads(capsys.readouterr().out)["parts"]
    assert part["options"] == {"class_share": 0.5, "centres": False}
