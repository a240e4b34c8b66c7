"""Scores against figures worked out by hand, average precision against its definition, truth in both forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unify.errors import UnifyError
from unify.relations.evidence import Evidence
from unify.relations.learner import calibrated
from unify.relations.rules import Edge, Relations, paper
from unify.relations.score import _shares, average_precision, read_truth, score
from unify.relations.stats import read_stats
from unify.taxonomy import taxonomy_for

from .test_relations_learner import perfect


def by_definition(scores: list[float], is_true: list[bool]) -> float:
    """For every true item: of all that score at least as high, the share that is true. Their mean."""
    shares = []
    for mine, true in zip(scores, is_true, strict=True):
        if true:
            above = [t for s, t in zip(scores, is_true, strict=True) if s >= mine]
            shares.append(sum(above) / len(above))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 30).astype(float)
    scores[rng.random(30) < 0.1] = -np.inf
    is_true = rng.random(30) < 0.3
    is_true[0] = True
    assert average_precision(scores.tolist(), is_true.tolist()) == pytest.approx(by_definition(scores, is_true))


def relations_of(edges: list[tuple[str, str, str]], cosines: dict[tuple[str, str, str], float]) -> Relations:
    """Sources one: a, b, c; two: x, y, c. By the paper's rule, own cosine 0."""
    names = ("a", "b", "c", "x", "y")
    annotated = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]], bool)
    evidence = Evidence.empty(names, ("one", "two"), annotated, folds=1, with_answers=False)
    for s, source in enumerate(("one", "two")):
        for c in np.flatnonzero(annotated[s]):
            sums = np.zeros((5, 5))
            sums[c] = [cosines.get((source, names[c], n), 0.0) for n in names]
            evidence = evidence.add_sums(source, 0, np.eye(5)[c], sums)
    found = tuple(Edge(*e, "narrower", cosines.get(e, 0.0), 0.0, 1) for e in edges)
    return Relations("paper", {"tau": 0.0}, evidence, found)


TRUTH = {
    "cooccurrence": {
        "one": {"two": {"a": {"x": 95, "void": 5}, "b": {"x": 30, "y": 70}, "c": {"c": 10, "y": 90}}},
        "two": {"one": {"x": {"a": 60, "b": 40}, "y": {"b": 100}, "c": {"c": 1}}},
    }
}


def truth_file(tmp_path: Path, data: object = TRUTH) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(data))
    return path


def test_scores_are_those_worked_out_by_hand(tmp_path):
    edges = [("one", "a", "x"), ("one", "b", "y"), ("two", "y", "b"), ("one", "a", "b")]
    cosines = {("one", "a", "x"): 0.5, ("one", "b", "y"): 0.4, ("one", "c", "y"): 0.3, ("two", "y", "b"): 0.2}
    relations = relations_of(edges, cosines)
    scores = score(relations, read_truth(truth_file(tmp_path), relations))
    # true: one a → x (0.95), one c → y (0.9), two y → b (1.0); c has one name, and is no candidate for itself
    assert scores.all.true == 3 and scores.all.edges == 3 and scores.all.right == 2
    assert scores.all.candidates == 8 + 8
    assert scores.all.precision == scores.all.recall == scores.all.f1 == pytest.approx(2 / 3)
    assert scores.all.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert scores.all.missed == (("one", "c", "y"),) and scores.all.wrong == (("one", "b", "y"),)
    assert scores.unjudged == (("one", "a", "b"),), "nobody else has b"
    there, back = scores.pairs["one", "two"], scores.pairs["two", "one"]
    assert (there.candidates, there.true, there.edges, there.right) == (8, 2, 2, 1)
    assert (back.candidates, back.true, back.edges, back.right) == (8, 1, 1, 1)
    assert (back.precision, back.recall, back.f1, back.average_precision) == (1, 1, 1, 1)
    lower = score(relations, read_truth(truth_file(tmp_path), relations), 0.7)
    assert lower.all.true == 4 and lower.all.right == 3


def test_no_edges_and_nothing_true_have_no_figures(tmp_path):
    relations = relations_of([], {})
    nothing = {"cooccurrence": {"one": {"two": {"a": {"x": 1, "y": 1}}}, "two": {"one": {}}}}
    scores = score(relations, read_truth(truth_file(tmp_path, nothing), relations)).all
    assert (scores.precision, scores.recall, scores.f1, scores.average_precision) == (None, None, None, None)
    assert scores.candidates == 3, "labels without pixels cannot be judged"
    json.dumps(scores.to_json())


def test_a_net_without_mistakes_scores_full_marks_by_the_calibrated_rule(tmp_path):
    shares = {"a": {"x": 1.0}, "b": {"x": 0.6, "y": 0.4}, "c": {"y": 1.0}, "d": {"z": 1.0}}
    relations = calibrated(perfect(shares))
    there = {c: {k: round(100 * share) for k, share in row.items()} for c, row in shares.items()}
    back = {k: {c: there[c][k] for c in there if k in there[c]} for k in "xyz"}
    truth = {"cooccurrence": {"fine": {"coarse": there}, "coarse": {"fine": back}}}
    scores = score(relations, read_truth(truth_file(tmp_path, truth), relations))
    assert scores.all.recall == scores.all.average_precision == 1
    assert scores.all.precision == 1 and scores.pairs["coarse", "fine"].precision == 1, "0.71 of y is c: no edge"
    assert score(paper(relations.evidence), read_truth(truth_file(tmp_path, truth), relations)).all.f1 is not None


def test_raw_classes_are_translated_by_the_taxonomy(tmp_path):
    names = ["bicyclist", "on rails", "rider", "road", "train"]
    sources = {"cityscapes": ["rider", "road", "train"], "mapillary": ["bicyclist", "on rails", "road"]}
    stats = {
        "classes": names,
        "datasets": {
            s: {
                "pixels": [int(n in labelled) for n in names],
                "mean_cosine": [[0.0] * 5 if n in labelled else None for n in names],
            }
            for s, labelled in sources.items()
        },
    }
    (tmp_path / "stats.json").write_text(json.dumps(stats))
    relations = paper(read_stats(tmp_path / "stats.json"))
    truth = {
        "spaces": {"cityscapes": "cityscapes", "mapillary-v1.2": "mapillary"},
        "cooccurrence": {
            "cityscapes": {
                "mapillary-v1.2": {
                    "rider": {"human--rider--bicyclist": 6, "human--rider--motorcyclist": 4},
                    "static": {"construction--flat--road": 9},
                }
            },
            "mapillary-v1.2": {
                "cityscapes": {
                    "human--rider--bicyclist": {"rider": 97, "static": 3},
                    "object--vehicle--on-rails": {"train": 1},
                }
            },
        },
    }
    path = truth_file(tmp_path, truth)
    with pytest.raises(UnifyError, match="knows none of cityscapes, mapillary"):  # classes that its spaces lack
        read_truth(path, relations)
    spaces = {"cityscapes": "cityscapes", "mapillary": "mapillary-v1.2"}
    taxonomy = taxonomy_for(spaces, {"cityscapes": "cityscapes19", "mapillary": "mapillary65"})
    null = taxonomy.null_mask
    evidence = Evidence.empty(taxonomy.space.names, taxonomy.sources, null, with_answers=False)
    for found in (paper(evidence), Relations("paper", {}, evidence, (), (), taxonomy)):
        shares = read_truth(path, found)
        index = taxonomy.space.names.index
        assert shares["mapillary", "cityscapes"][index("bicyclist"), index("rider")] == pytest.approx(0.97)
        assert shares["mapillary", "cityscapes"][index("on rails"), index("train")] == 1
        assert shares["cityscapes", "mapillary"][index("rider"), index("bicyclist")] == pytest.approx(0.6)
        assert np.isnan(shares["cityscapes", "mapillary"][index("road")]).all(), "no pixels of road"


@pytest.mark.parametrize(
    ("text", "what", "code"),
    [
        ("{", "is no truth", 65),
        ("{}", "is no truth", 65),
        ('{"cooccurrence": []}', "knows none of", 2),
        ('{"cooccurrence": {"one": {}, "two": {}}}', "is no truth", 65),
        ('{"cooccurrence": {"one": {"two": {"a": {"x": -1}}}, "two": {"one": {}}}}', "-1 pixels of 'a' and 'x'", 65),
        ('{"cooccurrence": {"one": {"two": 3}, "two": {"one": {}}}}', "is no truth", 65),
    ],
)
def test_files_that_are_no_truth(tmp_path, text, what, code):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(UnifyError, match=what) as e:
        read_truth(tmp_path / "truth.json", relations_of([], {}))
    assert e.value.exit_code == code


def test_a_missing_truth(tmp_path):
    with pytest.raises(UnifyError, match="no such file"):
        read_truth(tmp_path / "truth.json", relations_of([], {}))


def test_a_raw_class_that_may_be_several_counts_as_void(tmp_path):
    rules = {"vehicle": ("car", "truck"), "car": ("car",), "sky": ()}
    table = {"car": {"vehicle": 6, "car": 3, "sky": 1}, "vehicle": {"car": 5}}
    shares = _shares(table, ("car", "truck"), rules, rules)
    assert shares[0].tolist() == [0.3, 0.0], "6 of 10 may be either, 1 is void"
    assert np.isnan(shares[1]).all()
