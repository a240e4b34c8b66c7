"""`unify spaces`: list, show, and check the label spaces."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from unify.cli.spaces import spaces
from unify.errors import UnifyError
from unify.spaces import aliases, space_names

TINY = """\
name: tiny
title: A space for tests
reference: this file
void: 255
classes:
- {id: 0, name: road, color: [128, 64, 128]}
- {id: 1, name: sky, color: [70, 130, 180]}
"""


def run(*args: str):
    return CliRunner().invoke(spaces, args, catch_exceptions=False)


def test_spaces_lists_them():
    out = run().output
    table, others = out.split("\nOther names:\n")
    assert [line.split()[0] for line in table.splitlines()[1:]] == list(space_names())
    assert [line.split()[:2] for line in others.splitlines()[1:]] == [
        [name, "cityscapes19"] for name in ("acdc19", "kitti19", "wilddash19")
    ]
    assert "bdd100k, cityscapes, idd, mapillary-v1.2" in out
    rows = {row["name"]: row for row in json.loads(run("--json").output)}
    assert set(rows) == {*space_names(), *aliases()} and rows["kitti19"]["alias_of"] == "cityscapes19"
    assert rows["camvid11"] == {
        "name": "camvid11", "classes": 11, "title": "CamVid: the 11 classes of SegNet",
        "sources": ["camvid-32", "camvid-segnet"],
    }  # fmt: skip


def test_spaces_union70_json():
    shown = json.loads(run("union70", "--json").output)
    assert list(shown) == ["name", "void", "classes", "colors", "sources", "null_masks", "known_variants"]
    assert (shown["name"], shown["void"], len(shown["classes"])) == ("union70", 255, 70)
    sizes = {name: len(table) for name, table in shown["sources"].items()}
    assert sizes == {"bdd100k": 20, "cityscapes": 35, "idd": 40, "mapillary-v1.2": 66} and sum(sizes.values()) == 161
    cityscapes = shown["sources"]["cityscapes"]
    assert cityscapes["0"] == cityscapes["-1"] == 255
    assert shown["classes"][cityscapes["7"]] == "road"
    assert shown["colors"][cityscapes["7"]] == [128, 64, 128]
    assert {name: len(mask) for name, mask in shown["null_masks"].items()} == {
        "bdd100k": 19, "cityscapes": 19, "idd": 26, "mapillary-v1.2": 65,
    }  # fmt: skip
    assert shown["null_masks"]["idd"][0] == "autorickshaw"


def test_spaces_of_a_raw_space_shows_its_ids():
    shown = json.loads(run("cityscapes", "--json").output)
    assert shown["ids"][-1] == -1 and shown["classes"][-1] == "license plate" and shown["sources"] == {}


def test_spaces_as_text():
    lines = run("cityscapes19").output.splitlines()
    assert lines[0] == "cityscapes19: 19 classes, void 255"
    assert any(line.split() == ["6", "traffic", "light", "#faaa1e", *"xxxxxxxxxxx"] for line in lines)
    assert any(line.split() == ["-1", "license", "plate", "255", "void"] for line in lines)
    assert any(line.split() == ["18", "RoadShoulder", "255", "void"] for line in lines)
    assert "20  traffic light, traffic sign" in lines


def test_spaces_check_is_silent_where_all_is_well():
    assert (run("--check").output, run("--check").exit_code) == ("All label spaces and mappings are sound.\n", 0)
    assert json.loads(run("--check", "--json").output) == {"ok": True, "problems": []}


def test_spaces_check_lists_everything_wrong_in_all_files(tmp_path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "to_tiny").mkdir()
    (tmp_path / "spaces" / "tiny.yaml").write_text(TINY.replace("id: 1", "id: 0"))
    (tmp_path / "spaces" / "other.yaml").write_text(TINY)
    (tmp_path / "to_tiny" / "idd.yaml").write_text("from: idd\nto: nothing\nrules: {}\n")
    result = run("--check", "--mappings", str(tmp_path))
    assert result.exit_code == 78
    lines = result.stderr.splitlines()
    assert all(line.startswith("unify: bad-") for line in lines)
    for name, what in (
        ("tiny.yaml", "more than one class"),
        ("other.yaml", "its name is 'tiny'"),
        ("idd.yaml", "`to`"),
    ):
        assert any(name in line and what in line for line in lines), what
    shown = json.loads(run("--check", "--json", "--mappings", str(tmp_path)).stdout)
    assert not shown["ok"] and len(shown["problems"]) == len(lines)


def test_spaces_takes_one_question_at_a_time():
    result = run("union70", "--datasets", "C,I")
    assert result.exit_code == 2 and "Use just one of NAME, --datasets and --check." in result.output


def test_spaces_of_datasets_is_their_naive_union():
    whole, named = (
        json.loads(run("--datasets", "C,I,B,M", "--json").output),
        json.loads(run("union70", "--json").output),
    )
    variants = [shown.pop("known_variants") for shown in (whole, named)]
    assert whole == named
    assert set(variants[0]["idd"]) == {"mask-merged", "ignore-in-eval"} < set(variants[1]["idd"])
    assert len(json.loads(run("--datasets", "bdd100k,I,c", "--json").output)["classes"]) == 28


def test_spaces_of_an_unknown_dataset():
    with pytest.raises(UnifyError) as e:
        run("--datasets", "C,Z")
    assert e.value.exit_code == 2


def test_spaces_of_a_named_release():
    shown = json.loads(run("--datasets", "M@v2.0,V@original", "--json").output)
    assert set(shown["sources"]) == {"mapillary-v2.0", "camvid-32"}
    assert "parking meter" in shown["classes"] and "billboard" not in shown["classes"]


def test_an_alias_shows_the_space_that_it_stands_for():
    assert run("kitti19", "--json").output == run("cityscapes19", "--json").output


def test_variants_are_listed_and_one_shows_what_it_changes():
    lines = run("cityscapes19").output.splitlines()
    at = lines.index("Variants (--variant NAME shows one):")
    assert ["road-holes", "mapillary-v1.2", "3"] in [line.split()[:3] for line in lines[at + 2 :]]
    shown = run("cityscapes19", "--variant", "rail-track-void").output.splitlines()
    assert any(line.startswith("mapillary-v1.2 --variant rail-track-void: Table 4 sends") for line in shown)
    changed = [line.split() for line in shown[: shown.index("")] + shown if "rail-track" in line]
    assert ["construction--flat--rail-track", "road", "void"] in changed
    plain, other = (
        json.loads(run("cityscapes19", *more, "--json").output) for more in ((), ("--variant", "road-holes"))
    )
    assert other["variants"] == {"mapillary-v1.2": ["road-holes"], "mapillary-v2.0": ["road-holes"]}
    differ = {
        raw
        for raw, code in plain["sources"]["mapillary-v1.2"].items()
        if other["sources"]["mapillary-v1.2"][raw] != code
    }
    assert differ == {"36", "41", "43"}, "catch basin, manhole, pothole"
    facts = plain["known_variants"]["mapillary-v1.2"]["rail-track-void"]
    assert facts["rules"] == {"construction--flat--rail-track": []} and facts["why"] and facts["reference"]


def test_variants_of_a_naive_union():
    shown = json.loads(run("--datasets", "C,I", "--variant", "mask-merged", "--json").output)
    assert shown["variants"] == {"idd": ["mask-merged"]} and shown["sources"]["idd"]["7"] == 255, "animal"
    with pytest.raises(UnifyError, match=r"no variant 'raw-names' here.*known: idd: .*named --space"):
        run("--datasets", "C,I", "--variant", "raw-names")


def test_a_projection_is_shown():
    shown = json.loads(run("union70", "--project", "wilddash26", "--json").output)
    assert (shown["from"], shown["to"], shown["missing"]) == ("union70", "wilddash26", ["pickup", "van"])
    assert shown["members"]["road marking"] == ["lane marking - crosswalk", "lane marking - general"]
    assert "water" in shown["unused"]
    lines = run("union70", "--project", "wilddash26").output.splitlines()
    assert lines[0] == "union70 to wilddash26: 24 of 26 classes have a counterpart"
    assert any(line.split() == ["22", "van", "-", "(no", "score)"] for line in lines)


@pytest.mark.parametrize(
    "args",
    [
        ("--project", "camvid11"), ("--sssom", "idd"), ("--variant", "road-holes"),
        ("union70", "--project", "camvid11", "--sssom", "idd"),
        ("union70", "--project", "camvid11", "--variant", "one-train"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(args):
    result = run(*args)
    assert result.exit_code == 2 and "Usage" in result.output
