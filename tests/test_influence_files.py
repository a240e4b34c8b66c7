"""The version of influences: what is written is what was measured, opens everywhere, and feeds `unify erase`."""

from __future__ import annotations

import io
import json

import networkx as nx
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from unify.artifact import open_artifact
from unify.build import build
from unify.cli import app
from unify.erase import erasures, read_influence
from unify.errors import UnifyError
from unify.influence import Influences, empty_sums
from unify.influence_files import describe, open_influences, tables, write_influences
from unify.report.influence_map import draw_matrix
from unify.sample import write_streets
from unify.verify import verify

from .worlds import plan_of

NAMES = ("road", "car", "sky", "pole")


def example(over="all", names=NAMES):
    """Counts from a fixed seed; the last two classes are never seen together."""
    rng = np.random.default_rng(0)
    sums = empty_sums("erase", len(names), 4)
    for f, j, c in np.ndindex(4, len(names), len(names)):
        if j == c or {j, c} == {2, 3}:
            continue
        pixels, wrong = rng.integers(50, 90, 2)
        values = (3, pixels, pixels - 5, wrong, rng.integers(wrong), rng.integers(pixels), rng.integers(60))
        for name, value in zip(sums, values, strict=True):
            sums[name][f, j, c] = value
    return Influences("erase", names, sums, {"split": "val", "fill": "mean"}, {"checkpoint": "ab", "data": "cd"}, over)


@pytest.mark.parametrize("over", ["all", "same"])
def test_what_is_read_is_what_was_written(tmp_path, over):
    first = example(over)
    artifact, fresh = write_influences(first, tmp_path / "v")
    again = open_influences(tmp_path / "v")
    assert fresh and again.digest == first.digest and np.array_equal(again.matrix(), first.matrix(), equal_nan=True)
    assert again.settings == first.settings and again.made_from == first.made_from
    assert artifact.manifest.parents == ("ab", "cd") and not verify(artifact).problems
    assert write_influences(first, tmp_path / "v")[1] is False
    with pytest.raises(UnifyError, match="holds influence"):
        write_influences(example("same" if over == "all" else "all"), tmp_path / "v")


@pytest.mark.parametrize("by", ["gradient", "cosine"])
def test_other_ways_are_written_too(tmp_path, by):
    rng = np.random.default_rng(0)
    sums = {name: rng.random((4, 3, 3)) for name in empty_sums(by, 3)}
    if "images" in sums:
        sums["images"] = np.full((4, 3, 3), 2.0)
    first = Influences(by, ("a", "b", "c"), sums, {}, {"checkpoint": "ab"})
    write_influences(first, tmp_path / "v")
    again = open_influences(tmp_path / "v")
    assert again.by == by and np.array_equal(again.matrix(), first.matrix(), equal_nan=True)
    assert (again.images() == first.images()).all()


def test_the_same_influences_give_the_same_bytes():
    assert describe(example()) == describe(example())


def test_tables_by_another_way_of_counting():
    found = example()
    rows = tables(found)["pairs"].to_pylist()
    total = {name: a.sum(0) for name, a in found.sums.items()}
    place = {name: i for i, name in enumerate(NAMES)}
    assert len(rows) == 10  # of 12 pairs, two are never seen
    for row in rows:
        j, c = place[row["other"]], place[row["class"]]
        before = total["hit"][j, c] / (total["pixels"][j, c] + total["wrong"][j, c])
        after = total["hit_erased"][j, c] / (total["pixels"][j, c] + total["wrong_erased"][j, c])
        assert row["iou"] == before and row["iou_erased"] == after and row["influence"] == before - after
        larger = [r for r in rows if r["class"] == row["class"] and r["influence"] > row["influence"]]
        assert row["rank"] == 1 + len(larger) and row["images"] == 12
    classes = tables(found)["classes"].to_pylist()
    assert [c["class"] for c in classes] == list(found.vulnerability())
    assert all(len(c["top"]) == (3 if c["class"] in ("road", "car") else 2) for c in classes)


def test_it_opens_as_a_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_influences(example(), tmp_path / "v")
    for name, count in (("pairs", 10), ("classes", 4), ("sums", 40)):
        rows = datasets.load_dataset(str(tmp_path / "v"), name, cache_dir=str(tmp_path / "cache"))["train"]
        assert len(rows) == count


def test_the_graph_has_the_greatest_positive_influences(tmp_path):
    found = example()
    graph = nx.read_graphml(io.BytesIO(describe(found)["graph.graphml"]))
    expected = {(o, n) for n, others in found.ranked().items() for o, v in list(others.items())[:3] if v > 0}
    assert set(graph.edges) == expected and expected
    for other, name, facts in graph.edges(data=True):
        assert facts["influence"] == found.ranked()[name][other] and facts["images"] == 12
    assert {n: d["vulnerability"] for n, d in graph.nodes(data=True)} == found.vulnerability()


def test_the_heat_map_has_a_cell_for_each_pair():
    found = example()
    names = list(found.vulnerability())
    picture = draw_matrix(found)
    assert picture.size[0] >= 640 and picture.size[1] > 26 * len(names)
    assert len(picture.getcolors(1 << 20)) > 20  # cells of several shades, and text
    assert Image.open(io.BytesIO(describe(found)["matrix.png"])).size == picture.size


def test_mistakes_are_one_line(tmp_path):
    write_influences(example(), tmp_path / "v")
    (tmp_path / "v" / "sums.parquet").write_bytes(b"no")
    with pytest.raises(UnifyError, match="holds no influences"):
        open_influences(tmp_path / "v")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UnifyError, match="is not empty"):
        write_influences(example(), tmp_path / "full")


# --- The command --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C"], images=2, seed=1, size=0.06)
    return build(plan_of(folder / "raw", "C"), folder / "out").artifact


def test_the_file_feeds_unify_erase(tmp_path, streets):
    names = streets.taxonomy.space.names
    place = [names.index(n) for n in ("road", "car", "sky", "pole")]
    small, sums = example(), empty_sums("erase", len(names), 4)
    for name, array in small.sums.items():
        sums[name][np.ix_(range(4), place, place)] = array
    found = Influences("erase", names, sums, {}, {})
    write_influences(found, tmp_path / "v", streets.taxonomy)
    influence = read_influence(tmp_path / "v" / "influence.json", streets.taxonomy.space)
    assert influence == found.ranked() and set(influence) == set(NAMES)
    sets = erasures(streets, influence, 1)
    assert {name: one.classes for name, one in sets.items()} == found.top(1)
    assert open_artifact(tmp_path / "v").manifest.space == "union19"


def test_from_a_checkpoint_to_erased_sets(tmp_path, streets, monkeypatch):
    torch = pytest.importorskip("torch")
    from trainers import checkpoint, models

    torch.set_num_threads(1)
    taxonomy = streets.taxonomy
    torch.manual_seed(0)
    net = models.build("tiny", len(taxonomy.space))
    facts = (net.config, taxonomy.space.names, taxonomy.to_json()["space"], taxonomy.digest(), ("x",), "ce", 1)
    checkpoint.save(checkpoint.Checkpoint(*facts, dict(net.state_dict())), tmp_path / "run")
    runner = CliRunner()
    base = ["influence", "--from-model", str(tmp_path / "run"), "--data", str(streets.path)]
    out = runner.invoke(app, [*base, "-o", str(tmp_path / "v"), "--json"], catch_exceptions=False)
    said = json.loads(out.stdout)
    assert said["by"] == "erase" and said["settings"]["images"] == 1
    assert json.loads((tmp_path / "v" / "influence.json").read_text()) == said["influence"]
    text = runner.invoke(app, [*base, "--images", "1"], catch_exceptions=False).stdout
    assert "by erase, 1 image of val; percentage points" in text
    by_row = runner.invoke(app, [*base[:3], "--by", "cosine", "--json"], catch_exceptions=False)
    assert len(json.loads(by_row.stdout)["vulnerability"]) == len(taxonomy.space)
    assert runner.invoke(app, base[:3]).exit_code == 2
    assert runner.invoke(app, [*base, "--by", "cosine"]).exit_code == 2
    wrong = runner.invoke(app, [*base, "--fill", "meen"])
    assert isinstance(wrong.exception, UnifyError) and "did you mean 'mean'" in str(wrong.exception)
    erased = runner.invoke(
        app, ["erase", str(streets.path), "--influence", str(tmp_path / "v" / "influence.json"), "--labels", "void",
              "--split", "val", "-o", str(tmp_path / "sets"), "--json"],
        catch_exceptions=False,
    )  # fmt: skip
    assert {one["for"] for one in json.loads(erased.stdout)} == set(said["influence"])
