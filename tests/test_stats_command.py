"""`unify stats` as a command: its tables, --json and --csv against the library, and its picture."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from unify import stats
from unify.build import build
from unify.cli import stats as command
from unify.errors import UnifyError
from unify.mapping import Mapping
from unify.report.draw import LINES
from unify.report.frequencies import Panel, Row, bar_chart, frequency_chart
from unify.spaces import LabelClass, LabelSpace
from unify.stats import Group, count
from unify.taxonomy import Taxonomy

from .worlds import plan_of, small_world


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    roots = small_world(tmp_path_factory.mktemp("raw"), "CIBM")
    return build(plan_of(roots, "C,I,B,M"), tmp_path_factory.mktemp("out")).artifact


@pytest.fixture(scope="module")
def groups(version):
    return stats.statistics(version, stats.chosen_parts(version.manifest), with_adjacency=True)


def run(*args: object):
    return CliRunner().invoke(command.stats_command, [str(a) for a in args], catch_exceptions=False)


def printed(text: str) -> list[dict[str, str]]:
    """The first table of the output: its cells by column, split where two spaces are."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["id", "class"])
    end = lines.index("", start)
    head = [w.strip() for w in lines[start].split("  ") if w.strip()]
    return [
        dict(zip(head, (c.strip() for c in line.split("  ") if c.strip()), strict=True))
        for line in lines[start + 1 : end]
    ]


def test_table(version, groups):
    out = run(version.path, "--split", "train").output
    counts = next(g.counts for g in groups if (g.source, g.split) == ("all", "train"))
    found = printed(out)
    assert [int(row["images"].replace(",", "")) for row in found] == sorted(counts.of_classes("images"))
    assert {row["class"].removesuffix(" †"): int(row["pixels"].replace(",", "")) for row in found} == dict(
        zip(version.taxonomy.space.names, counts.of_classes("pixels").tolist(), strict=True)
    )
    occurring = int((counts.of_classes("images") > 0).sum())
    assert out.count(" †") == occurring // 2
    assert "† the less frequent half of the classes that occur, by images" in out
    assert f"cibm-union70 1.0.0: {counts.num_images} images (train {counts.num_images}) of cityscapes, idd," in out
    (void,) = [line.split() for line in out.splitlines() if line.startswith("255  void")]
    assert void[2] == str(counts.images[-1])
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("by", ["images", "pixels"])
def test_orders(version, groups, by):
    values = groups[0].counts.of_classes(by).tolist()
    ids = {}
    for order in ("rising", "falling", "id"):
        table = printed(run(version.path, "--by", by, "--order", order).output)
        ids[order] = [int(row["id"]) for row in table]
    assert ids["id"] == list(range(70))
    assert all((values[a], a) < (values[b], b) for a, b in pairwise(ids["rising"]))
    assert all((-values[a], a) < (-values[b], b) for a, b in pairwise(ids["falling"]))


def test_a_column_per_source_and_a_dash_for_what_it_does_not_annotate(version, groups):
    found = printed(run(version.path, "--per-source", "--by", "pixels", "--weights").output)
    masks = dict(zip(version.taxonomy.sources, version.null_mask, strict=True))
    for row in found:
        for source, mask in masks.items():
            assert (row[f"{source} %"] == "-") == (not mask[int(row["id"])])
    counts = next(g.counts for g in groups if (g.source, g.split) == ("idd", "all"))
    road = version.taxonomy.space.names.index("road")
    cell = next(row["idd %"] for row in found if int(row["id"]) == road)
    assert float(cell) == pytest.approx(100 * counts.pixels[road] / counts.pixels.sum(), abs=0.0005)
    weight = next(row["enet"] for row in found if int(row["id"]) == road)
    assert float(weight) == pytest.approx(stats.bounded_inverse_frequency(groups[0].counts)[road], rel=0.005)


def test_classes_that_no_chosen_source_annotates_are_not_listed(version):
    out = run(version.path, "--source", "bdd100k").output
    assert len(printed(out)) == 19
    assert "51 of the 70 classes of union70 are annotated by no source here" in out


def test_pairs(version):
    out = run(version.path, "--cooccurrence", "--adjacency").output
    assert "Shown together: " in out and "Side by side: " in out
    assert "Side by side: " not in run(version.path).output


def test_json_is_complete(version, groups):
    found = json.loads(run(version.path, "--json", "--adjacency").stdout)
    assert (found["name"], found["digest"]) == ("cibm-union70", version.digest)
    assert len(found["groups"]) == len(groups)
    for plain, group in zip(found["groups"], groups, strict=True):
        assert (plain["source"], plain["split"], plain["images"]) == (
            group.source,
            group.split,
            group.counts.num_images,
        )
        assert [c["pixels"] for c in plain["classes"]] == group.counts.of_classes("pixels").tolist()
        assert [c["images"] for c in plain["classes"]] == group.counts.of_classes("images").tolist()
        assert plain["cooccurrence"] == group.counts.together.tolist()
        assert plain["adjacency"] == group.borders.tolist()
        assert plain["void"]["pixels"] == group.counts.pixels[-1]
        total = sum(c["pixel_share"] for c in [*plain["classes"], *plain["sets"], plain["void"]])
        assert total == pytest.approx(1)
        for kind in ("images", "pixels"):
            order = plain["rising"][kind]
            assert sorted(order) == [c["id"] for c in plain["classes"] if c["images"]]
            assert set(plain["least_frequent_half"][kind]) == set(order[: len(order) // 2])
        assert plain["weights"].keys() == {"inverse", "median", "enet"}
    assert "adjacency" not in json.loads(run(version.path, "--json").stdout)["groups"][0]


def test_csv_has_what_json_has(version, tmp_path):
    out = run(version.path, "--json", "--csv", tmp_path / "stats.csv").stdout
    with (tmp_path / "stats.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    expected = [
        {"source": g["source"], "split": g["split"], "class": c.get("class", "void")} | c
        for g in json.loads(out)["groups"]
        for c in (*g["classes"], g["void"])
    ]
    assert len(found) == len(expected) == 15 * 71
    for row, wanted in zip(found, expected, strict=True):
        assert {k: row[k] for k in wanted} == {k: str(v) for k, v in wanted.items()}


def test_mistakes_are_one_clear_line(version, tmp_path):
    for args, line in (
        (
            [version.path, "--split", "tset"],
            "usage: cibm-union70 1.0.0: has no split 'tset' — choose one of train, val",
        ),
        ([version.path, "-o", "a.pdf"], "usage: a.pdf: is not the name of a PNG or JPEG file — end it in .png or"),
        (["nowhere", "--root", tmp_path], f"not-found: nowhere: is no version; below {tmp_path} there is: none — see"),
    ):
        with pytest.raises(UnifyError) as e:
            run(*args)
        assert len(e.value.problems) == 1 and str(e.value.problems[0]).startswith(line)


# --- Sets of classes, and the picture ---------------------------------------------------------------------


@pytest.fixture
def with_sets() -> tuple[Taxonomy, list[Group]]:
    """Two classes, the set of them, void; in ten images of 1000 pixels."""
    colors = {"car": (200, 0, 0), "bus": (0, 0, 200)}
    target = LabelSpace("two", tuple(LabelClass(i, name, color) for i, (name, color) in enumerate(colors.items())))
    raw = LabelSpace("raw", tuple(LabelClass(i, f"r{i}", (i, i, i)) for i in range(3)))
    mapping = Mapping(raw, target, {"r0": ("car",), "r1": ("bus",), "r2": ("car", "bus")}, "here")
    pixels = np.array([[900, 0, 0, 100]] + [[0, 0, 10, 990]] * 9)
    counts = count(pixels, np.ones(2, np.bool_))
    return Taxonomy(target, {"a": mapping}), [Group(s, t, counts) for s in ("all", "a") for t in ("all", "train")]


def colors_of(picture: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.unique(np.array(picture).reshape(-1, 3), axis=0).tolist()}


def test_picture_of_a_version(version, groups, tmp_path):
    run(version.path, "-o", tmp_path / "chart.png", "--json")
    run(version.path, "-o", tmp_path / "each.jpg", "--per-source", "--source", "idd", "--source", "bdd100k")
    with Image.open(tmp_path / "chart.png") as chart, Image.open(tmp_path / "each.jpg") as each:
        assert (chart.format, each.format) == ("PNG", "JPEG")
        assert each.height < chart.height, "idd and bdd100k annotate fewer classes than all four"
        colors = colors_of(chart)
    occurs = groups[0].counts.of_classes("images") > 0
    assert {c.color for c in version.taxonomy.space.classes if occurs[c.id]} <= colors, "each has its bar"


def test_picture_shows_sets_and_void_apart(with_sets):
    taxonomy, groups = with_sets
    picture = frequency_chart("t", groups, taxonomy, ids=[0, 1], by="images")
    colors = colors_of(picture)
    assert {(200, 0, 0), (168, 168, 172), (0, 0, 0)} <= colors
    assert (0, 0, 200) not in colors, "a class that does not occur has no bar"
    pixels = np.asarray(picture)
    is_line, is_black = (pixels == LINES).all(axis=2), (pixels == 0).all(axis=2)
    assert (is_line[:, :-1] & is_black[:, 1:]).sum() >= 8, "void is no black class"


def test_bars_are_logarithmic():
    red, green = (200, 0, 0), (0, 200, 0)
    shares = (1.0, 0.1, 0.01, None, 0.0)
    bars = [Row("a", red), Row("b", green), Row("c", red), Row("d", red), Row("e", green)]
    picture = np.array(bar_chart("t", "f", bars, [Panel("p", shares, 3)], "n"))
    lengths = []
    for color in (red, green):
        hit = (picture == color).all(axis=2)
        lengths += sorted({int(n) for n in hit.sum(axis=1)} - {0})
    hundredth, all_, tenth = lengths
    assert all_ - tenth == pytest.approx(tenth - hundredth, abs=1), "a decade each"
    assert hundredth == pytest.approx(all_ / 3, abs=2), "which begins a decade below"


def test_sets_are_shown_apart(with_sets):
    taxonomy, groups = with_sets
    plain = command._plain(groups[0], taxonomy)
    assert plain["sets"] == [{"id": 2, "classes": ["car", "bus"], "pixels": 90, "images": 9} | {
        "pixel_share": 0.009, "image_share": 0.9,
    }]  # fmt: skip
    assert [c["pixel_frequency"] for c in plain["classes"]] == [1, 0]
    table = list(csv.DictReader(io.StringIO(command._csv([plain]).decode())))
    assert [(row["id"], row["class"], row["pixels"], row["weight_enet"]) for row in table[1:]] == [
        ("1", "bus", "0", "0.0"), ("2", "car | bus", "90", ""), ("255", "void", "9010", ""),
    ]  # fmt: skip
