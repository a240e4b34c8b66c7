"""Versions of relations: what opens them, what they say, and the commands that make and read them."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from pathlib import Path

import datasets
import networkx as nx
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from unify.artifact import open_artifact
from unify.cli import app, run
from unify.errors import UnifyError
from unify.relations.evidence import Evidence
from unify.relations.files import TABLES, describe, open_relations, write_relations
from unify.relations.learner import calibrated
from unify.relations.rules import paper, to_graph
from unify.relations.stats import read_stats
from unify.report.relation_graph import draw_graph
from unify.taxonomy import taxonomy_for
from unify.verify import verify

from .test_relations_learner import make_world, perfect
from .test_relations_rules import SMALL, small
from .worlds import tree_bytes

SHARES = {"a": {"x": 1.0}, "b": {"x": 0.7, "y": 0.3}, "c": {"y": 1.0}, "d": {"z": 1.0}}


def paper_relations(tmp_path: Path):
    return paper(read_stats(small(tmp_path)))


def calibrated_relations():
    return calibrated(make_world(20, 300).evidence)


def as_stored(relations):
    return (relations.rule, dict(relations.settings), relations.edges, relations.estimates)


def invoke(*args: object):
    return CliRunner().invoke(app, ["relations", *map(str, args)])


def test_a_version_comes_back_as_it_was_and_verifies(tmp_path):
    for name, relations in (("p", paper_relations(tmp_path)), ("c", calibrated_relations())):
        artifact, fresh = write_relations(relations, tmp_path / "deep" / name)
        assert fresh and verify(artifact).ok
        again = open_relations(tmp_path / "deep" / name)
        assert as_stored(again) == as_stored(relations)
        assert again.evidence.digest == relations.evidence.digest
        assert artifact.manifest.recipe["made_from"] == dict(relations.evidence.made_from)
        assert artifact.manifest.parents == tuple(relations.evidence.made_from.values())
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["c", "p"], "nothing half-written is left"


def test_hugging_face_datasets_opens_every_part(tmp_path):
    relations = calibrated_relations()
    write_relations(relations, tmp_path / "v")
    parts = {name: datasets.load_dataset(str(tmp_path / "v"), name, cache_dir=str(tmp_path / "hf")) for name in TABLES}
    edges = parts["edges"]["train"]
    assert [e["related"] for e in edges] == [e.related for e in relations.edges]
    assert [e["is_target"] for e in edges] == [e.is_target for e in relations.edges]
    assert parts["nodes"]["train"]["name"] == list(relations.evidence.classes)
    assert parts["evidence"]["train"].num_rows == len(relations.estimates)
    row = next(r for r in parts["evidence"]["train"] if r["label"] == "g0.a" and r["related"] == "g0")
    s, c = relations.evidence.sources.index(row["source"]), relations.evidence.classes.index("g0.a")
    assert row["cosine"] == relations.evidence.mean_scores()[s, c, relations.evidence.classes.index("g0")]
    assert parts["sums"]["train"].num_rows == int((relations.evidence.pixels > 0).sum())
    default = datasets.load_dataset(str(tmp_path / "v"), cache_dir=str(tmp_path / "hf"))
    assert default["train"].column_names == edges.column_names


def test_the_paper_rules_evidence_has_every_label_and_class(tmp_path):
    write_relations(paper_relations(tmp_path), tmp_path / "v")
    rows = open_artifact(tmp_path / "v").table("evidence.parquet").to_pylist()
    assert len(rows) == 5 * 4, "five labels with pixels, four others each"
    kept = {
        (r["source"], r["label"], r["related"]) for r in rows if r["cosine"] > r["own_cosine"] and r["cosine"] > -0.08
    }
    assert kept == {(r["source"], r["label"], r["related"]) for r in rows if r["type"]}
    assert {r["other"] for r in rows} == {None}


def test_graphml_is_the_graph(tmp_path):
    relations = calibrated_relations()
    files = describe(relations)
    read = nx.parse_graphml(files["graph.graphml"].decode())
    wanted = to_graph(relations)
    assert dict(read.nodes(data=True)) == dict(wanted.nodes(data=True))
    assert {(a, b): d for a, b, d in read.edges(data=True)} == {(a, b): d for a, b, d in wanted.edges(data=True)}
    assert all(0 <= d["share"] <= 1 for _, _, d in read.edges(data=True))


def test_the_same_relations_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_relations(calibrated(perfect(SHARES)), tmp_path / name)
    assert tree_bytes(tmp_path / "one") == tree_bytes(tmp_path / "two")


def test_a_folder_is_written_once(tmp_path):
    relations = paper_relations(tmp_path)
    first, _ = write_relations(relations, tmp_path / "v")
    before = tree_bytes(tmp_path / "v")
    again, fresh = write_relations(relations, tmp_path / "v")
    assert not fresh and again.digest == first.digest and tree_bytes(tmp_path / "v") == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for other, folder in ((paper(relations.evidence, 0.0), "v"), (relations, "full"), (relations, "file")):
        with pytest.raises(UnifyError) as e:
            write_relations(other, tmp_path / folder)
        assert e.value.exit_code == 73
    assert tree_bytes(tmp_path / "v") == before
    (tmp_path / "empty").mkdir()
    assert write_relations(relations, tmp_path / "empty")[1]


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    relations = paper_relations(tmp_path)
    monkeypatch.setattr("unify.storage.publish", lambda tree, target: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_relations(relations, tmp_path / "out" / "v")
    assert list((tmp_path / "out").iterdir()) == []


def test_damaged_versions_are_told(tmp_path):
    write_relations(paper_relations(tmp_path), tmp_path / "v")
    files = tree_bytes(tmp_path / "v")
    for name, data in (
        ("relations.json", b"{"),
        ("relations.json", files["relations.json"].replace(b'"source"', b'"sauce"')),
        ("relations.json", b"[]"),
        ("sums.parquet", files["sums.parquet"][:100]),
        ("sums.parquet", b""),
        ("sums.parquet", files["nodes.parquet"]),
    ):
        (tmp_path / "v" / name).write_bytes(data)
        with pytest.raises(UnifyError) as e:
            open_relations(tmp_path / "v")
        assert e.value.exit_code == 65, name
        (tmp_path / "v" / name).write_bytes(files[name])
    newer = files["relations.json"].replace(b'"format": 1', b'"format": 2')
    (tmp_path / "v/relations.json").write_bytes(newer)
    with pytest.raises(UnifyError, match="update unify"):
        open_relations(tmp_path / "v")


def pixels(picture: Image.Image, box) -> int:
    return int((np.asarray(picture.crop(box)) < 200).any(axis=2).sum())


def test_the_picture_has_a_box_a_class_and_survives_any_graph(tmp_path):
    picture = draw_graph(paper_relations(tmp_path))  # two equal classes: one column
    assert picture.width >= 560 and pixels(picture, (0, 0, *picture.size)) > 500
    nothing = draw_graph(paper(Evidence.empty(["a"], ["one"], np.ones((1, 1), bool), with_answers=False)))
    assert nothing.height < picture.height
    many = draw_graph(calibrated_relations())
    assert many.width > 560 or many.height > picture.height


def test_a_taxonomy_travels_along(tmp_path):
    taxonomy = taxonomy_for({"cityscapes": "cityscapes", "idd": "idd"}, {"cityscapes": "cityscapes19", "idd": "idd26"})
    evidence = Evidence.of_taxonomy(taxonomy, {"checkpoint": "1f"})
    k = len(taxonomy.space)
    evidence = evidence.add("idd", "x", np.arange(k), np.eye(k), np.eye(k)).add(
        "cityscapes", "y", np.arange(k), np.eye(k), np.eye(k)
    )
    import dataclasses

    relations = dataclasses.replace(calibrated(evidence), taxonomy=taxonomy)
    artifact, _ = write_relations(relations, tmp_path / "v")
    assert open_relations(tmp_path / "v").taxonomy == taxonomy == artifact.taxonomy
    assert artifact.manifest.space == taxonomy.space.name


# --- Commands -----------------------------------------------------------------------------------------------


def test_learn_show_and_explain(tmp_path):
    stats, out = small(tmp_path), tmp_path / "v"
    made = invoke("--from-stats", stats, "-o", out)
    assert made.exit_code == 0, made.output
    assert made.output.splitlines()[0].split("  ")[0] == "primary label"
    assert "2 pairs of classes, 2 edges of mapillary, cityscapes, by the paper rule (tau -0.08)" in made.output
    told = json.loads(invoke("--from-stats", stats, "-o", out, "--json").output)
    assert told["path"] == str(out)
    assert [sorted(e) for e in told["edges"]] == [["label", "own_score", "pixels", "related", "score", "source"]] * 2
    assert json.loads(invoke("show", out, "--json").output)["edges"] == told["edges"]
    assert json.loads(invoke(out, "--json").output)["edges"] == told["edges"]
    assert invoke(out).output == invoke("show", out).output
    assert invoke(out).output.splitlines()[1].split()[:2] == ["rider", "bicyclist"]
    explained = invoke("explain", out, "bicyclist", "rider").output
    assert "mean cosine with rider 0.020 (rank 1), above its own -0.050" in explained
    assert "rider → bicyclist" in explained and "1,000 pixels of road" not in explained
    facts = json.loads(invoke("explain", out, "rider", "person", "--json").output)
    assert facts["forward"][0]["type"] is None and facts["backward"][0]["source"] == "mapillary"
    assert json.loads(invoke("--from-stats", stats, "--json").output)["path"] is None
    assert len(json.loads(invoke("--from-stats", stats, "--tau", "0.05", "--json").output)["edges"]) == 1


def test_explain_and_score_of_the_calibrated_rule(tmp_path):
    write_relations(calibrated(perfect(SHARES)), tmp_path / "v")
    explained = invoke("explain", tmp_path / "v", "a", "x").output
    assert "narrower: a is part of x" in explained and "broader: x contains a" in explained
    assert "coarse would call 1.00 of it x (the net alone says 1.00)" in explained
    assert "the paper's rule gives 0 edges on this evidence, 0 of these" in invoke(tmp_path / "v").output
    there = {"a": {"x": 1}, "c": {"y": 1}, "b": {"x": 7, "y": 3}, "d": {"z": 1}}
    truth = {"cooccurrence": {"fine": {"coarse": there}, "coarse": {"fine": {"z": {"d": 1}, "y": {"c": 10, "b": 3}}}}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    told = json.loads(invoke("score", tmp_path / "v", "--truth", tmp_path / "truth.json", "--json").output)
    assert told["all"]["recall"] == 1 and told["paper"]["all"]["recall"] == 0
    assert {(p["source"], p["other"]) for p in told["pairs"]} == {("fine", "coarse"), ("coarse", "fine")}
    text = invoke("score", tmp_path / "v", "--truth", tmp_path / "truth.json").output
    assert "all, by the paper's rule" in text


def test_recall_is_what_one_image_says_by_hand():
    """Two pixels of "a", of which the net gives 0.9 and 0.2 to "a" among the source's own classes; none of "b"."""
    evidence = Evidence.empty(("a", "b", "c"), ("one", "two"), np.array([[True, True, False], [False, False, True]]))
    logits = np.log([[0.9, 0.1, 0.7], [0.2, 0.8, 0.7]])
    evidence = evidence.add("one", "one/0", np.array([0, 0]), np.zeros((2, 3)), logits)
    recall = evidence.recall()
    assert recall[0, 0] == pytest.approx(0.55, abs=1e-6)
    assert np.isnan(recall).sum() == 5
    without = dataclasses.replace(evidence, answers=None)  # as stored statistics are
    assert np.isnan(without.recall()).all()


def test_what_the_net_has_not_learnt_is_called_a_guess(tmp_path):
    evidence = perfect(SHARES)
    evidence.answers[0, 0, 0, 0, 0] //= 20  # of "a", a twentieth is told
    write_relations(calibrated(evidence), tmp_path / "v")
    output = invoke("show", tmp_path / "v").output
    assert "a guess, as the net tells less than a tenth of their own pixels: a (0.05 of fine's)\n" in output
    write_relations(calibrated(perfect(SHARES)), tmp_path / "w")
    assert "guess" not in invoke("show", tmp_path / "w").output


def told_on_stderr(capfd, *args: object) -> tuple[int, str]:
    code = run(["relations", *map(str, args)])
    return code, capfd.readouterr().err


def test_mistakes_get_one_clear_line(tmp_path, capfd, monkeypatch):
    stats, out = small(tmp_path), tmp_path / "v"
    write_relations(paper(read_stats(stats)), out)
    cases = [
        ([], 2, "Give just one of --from-model and --from-stats"),
        (["--from-stats", stats, "--from-model", "x.pt"], 2, "Give just one"),
        (["--from-model", "x.pt"], 2, "--from-model and --data go together"),
        (["--from-stats", stats, "--data", "x"], 2, "--from-model and --data go together"),
        (["--from-stats", stats, "--refit"], 2, "--refit goes with --from-model"),
        (["--from-stats", stats, "--rule", "calibrated"], 2, "there are none — sweep a net"),
        (["--from-stats", stats, "--rule", "paper", "--threshold", "0.5"], 2, "--threshold is of the calibrated rule"),
        (["--from-stats", stats, "--rule", "calibrated", "--tau", "0"], 2, "--tau is of the paper's rule"),
        (["--from-stats", tmp_path / "no.json"], 66, "no such file"),
        (["--rule", "paper", out], 2, "--rule"),
        ([tmp_path / "nowhere"], 66, "holds no manifest.json"),
        (["explain", out, "bicyclst", "tram"], 2, "bicyclst: is no class here (did you mean 'bicyclist'?)"),
        (["explain", out, "bicyclst", "tram"], 2, "tram: is no class here"),
        (["score", out, "--truth", tmp_path / "no.json"], 66, "no such file"),
    ]
    for args, code, what in cases:
        found, err = told_on_stderr(capfd, *args)
        assert (found, "Traceback" in err) == (code, False), (args, err)
        assert what in err, (args, err)


def fake_version():
    """What `locate` finds: a version with a split "train" of two sources."""
    taxonomy = taxonomy_for({"cityscapes": "cityscapes", "idd": "idd"}, {"cityscapes": "cityscapes19", "idd": "idd26"})
    sources = {name: {"splits": {"train": 3}} for name in taxonomy.sources}
    return types.SimpleNamespace(path="v", taxonomy=taxonomy, manifest=types.SimpleNamespace(sources=sources))


def test_without_the_training_side_a_model_cannot_be_swept(capfd, monkeypatch):
    monkeypatch.setattr("unify.artifact.locate", lambda path, root: fake_version())
    monkeypatch.setitem(sys.modules, "trainers.sweep", None)
    code, err = told_on_stderr(capfd, "--from-model", "x.pt", "--data", "v")
    assert code == 2 and len(err.splitlines()) == 1 and "needs the training side" in err
    code, err = told_on_stderr(capfd, "--from-model", "x.pt", "--data", "v", "--split", "test")
    assert code == 2 and "has no split 'test'" in err


def test_a_model_is_swept_by_the_training_side(tmp_path, monkeypatch):
    artifact, asked = fake_version(), []

    def evidence_of(model, found, *, split, classes, advance):
        asked.append((model, found, split))
        advance(6, 0)
        evidence = Evidence.of_taxonomy(artifact.taxonomy, {"checkpoint": "1f", "data": "2e"})
        k = len(artifact.taxonomy.space)
        for source in artifact.taxonomy.sources:
            for i in range(3):
                evidence = evidence.add(source, f"{source}/{i}", np.arange(k), np.eye(k), 20 * np.eye(k))
        return evidence

    monkeypatch.setattr("unify.artifact.locate", lambda path, root: artifact)
    monkeypatch.setitem(sys.modules, "trainers", types.ModuleType("trainers"))
    monkeypatch.setitem(sys.modules, "trainers.sweep", types.SimpleNamespace(evidence_of=evidence_of))
    made = invoke("--from-model", "x.pt", "--data", "v", "-o", tmp_path / "r")
    assert made.exit_code == 0, (made.output, made.exception)
    assert asked == [(Path("x.pt"), artifact, "train")]
    relations = open_relations(tmp_path / "r")
    assert relations.rule == "calibrated" and relations.taxonomy == artifact.taxonomy
    assert open_artifact(tmp_path / "r").manifest.parents == ("1f", "2e")
    monkeypatch.setitem(sys.modules, "trainers.refit", types.SimpleNamespace(evidence_of=evidence_of))
    monkeypatch.setitem(sys.modules, "trainers.sweep", None)
    assert invoke("--from-model", "x.pt", "--data", "v", "--refit").exit_code == 0 and len(asked) == 2
    monkeypatch.setitem(sys.modules, "trainers.sweep", types.SimpleNamespace(evidence_of=evidence_of))
    told = json.loads(invoke("--from-model", "x.pt", "--data", "v", "--tau", "-0.08", "--json").output)
    assert told["edges"] == [], "--tau asks for the paper's rule, and this net is sure of itself"


def test_the_small_statistics_are_what_the_help_says():
    assert set(SMALL) == {"classes", "datasets"}
    assert all({"pixels", "mean_cosine"} == set(rows) for rows in SMALL["datasets"].values())
