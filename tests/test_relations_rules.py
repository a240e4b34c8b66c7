"""The paper's rule against a loop and the authors' own relations; matrices, tables and graphs of edges."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from unify.errors import UnifyError
from unify.projection import from_graph
from unify.relations.rules import Edge, Relations, matrix_of, paper, relation_matrix, to_graph, two_columns
from unify.relations.stats import read_stats
from unify.spaces import load_space
from unify.taxonomy import taxonomy_for

STORED = Path(__file__).parents[2] / "shared/data"  #: the authors' statistics, not part of this repository
NAMES = ["bicyclist", "car", "person", "rider", "road"]


def stats_of(rows: dict[str, dict[str, list[float]]]) -> dict[str, object]:
    """dataset -> label -> its mean cosines with `NAMES`; 1000 pixels each, the first of a dataset 10."""
    datasets = {}
    for dataset, labels in rows.items():
        pixels = [0 if n not in labels else 10 if n == next(iter(labels)) else 1000 for n in NAMES]
        datasets[dataset] = {"pixels": pixels, "mean_cosine": [labels.get(n) for n in NAMES]}
    return {"classes": NAMES, "datasets": datasets}


#: a hand-made world: bicyclist is also rider; 0.05 is not above 0.05, and -0.08 not above tau
SMALL = stats_of(
    {
        "mapillary": {
            "bicyclist": [-0.05, -0.3, -0.1, 0.02, -0.5],
            "car": [-0.2, 0.05, 0.05, -0.2, -0.4],
            "person": [-0.3, -0.3, -0.09, -0.08, -0.4],
        },
        "cityscapes": {"rider": [0.1, -0.3, -0.1, 0.09, -0.5], "road": [-0.4, -0.2, -0.5, -0.5, 0.3]},
    }
)


def small(tmp_path: Path, data: object = SMALL) -> Path:
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(data))
    return path


def triples(relations: Relations) -> set[tuple[str, str, str]]:
    return {(e.source, e.label, e.related) for e in relations.edges}


def by_loop(data: dict, tau: float) -> set[tuple[str, str, str]]:
    found = set()
    for dataset, rows in data["datasets"].items():
        for c, row in enumerate(rows["mean_cosine"]):
            for j, value in enumerate(row or ()):
                if value > row[c] and value > tau:
                    found.add((dataset, data["classes"][c], data["classes"][j]))
    return found


@pytest.mark.parametrize("tau", [-1.0, -0.2, -0.08, 0.0, 0.5])
def test_the_rule_is_that_of_a_loop(tmp_path, tau):
    assert triples(paper(read_stats(small(tmp_path)), tau)) == by_loop(SMALL, tau)


def test_ties_and_the_threshold_itself_are_no_edges(tmp_path):
    relations = paper(read_stats(small(tmp_path)))
    assert triples(relations) == {
        ("mapillary", "bicyclist", "rider"),
        ("cityscapes", "rider", "bicyclist"),
        # car → person ties with car's own; person → rider is at tau exactly
    }
    assert {e.type for e in relations.edges} == {"equal"}, "each is also the other"
    edge = next(e for e in relations.edges if e.source == "mapillary")
    assert (edge.score, edge.own_score, edge.pixels) == (0.02, -0.05, 10)
    assert edge.to_json() == {
        "source": "mapillary",
        "label": "bicyclist",
        "related": "rider",
        "score": 0.02,
        "own_score": -0.05,
        "pixels": 10,
    }


@pytest.mark.parametrize("path", sorted(STORED.glob("uniseg_*.json")) or [None], ids=lambda p: p.stem if p else "none")
def test_the_authors_own_relations_come_out_exactly(path):
    if path is None:
        pytest.skip("the authors' statistics are not at ../shared/data")
    data = json.loads(path.read_text())
    wanted = {(name, *pair) for name, rows in data["datasets"].items() for pair in rows["relations"]}
    relations = paper(read_stats(path))
    assert triples(relations) == wanted == by_loop(data, -0.08)
    if path.stem == "uniseg_cim_hrnet_w18":
        assert len(wanted) == 23 and {e.source for e in relations.edges} == {"mapillary"}


def test_means_come_back_to_the_last_digit(tmp_path):
    rng = np.random.default_rng(0)
    data = stats_of({"one": {n: np.round(rng.uniform(-1, 1, 5), 5).tolist() for n in NAMES}})
    data["datasets"]["one"]["pixels"] = [1, 3, 999_999_937, 10**11, 7]
    assert np.array_equal(read_stats(small(tmp_path, data)).mean_scores()[0], data["datasets"]["one"]["mean_cosine"])


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    bad = json.loads(json.dumps(SMALL))
    bad["datasets"]["mapillary"]["mean_cosine"][0] = None
    bad["datasets"]["mapillary"]["mean_cosine"][1][2] = 1.5
    bad["datasets"]["cityscapes"]["pixels"][0] = -4
    bad["datasets"]["idd"] = {"pixels": [1]}
    with pytest.raises(UnifyError) as e:
        read_stats(small(tmp_path, bad))
    assert e.value.exit_code == 65
    assert [p.what for p in e.value.problems] == [
        "mapillary: 'bicyclist' has pixels, so its mean cosines have to be 5 numbers in -1..1",
        "mapillary: 'car' has pixels, so its mean cosines have to be 5 numbers in -1..1",
        "cityscapes: -4 pixels of 'bicyclist'",
        "idd: `pixels` has to be a list of 5, one a class",
        "idd: `mean_cosine` has to be a list of 5, one a class",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "is a list, not an object"),
        ("{}", "`classes` has to be a list of names"),
        ('{"classes": ["a", "a"], "datasets": {}}', "names a class twice"),
        ('{"classes": ["a\\u0000"], "datasets": {"x": 1}}', "odd names of classes"),
        ('{"classes": ["a"], "datasets": {"x": {"pixels": [1], "mean_cosine": [[NaN]]}}}', "numbers in -1..1"),
        ('{"classes": ["a"], "datasets": {"x": {"pixels": [true], "mean_cosine": [[1]]}}}', "True pixels of 'a'"),
        ('{"classes": ["a"], "datasets": {"x": {"pixels": [1], "mean_cosine": [["1"]]}}}', "numbers in -1..1"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_files_that_are_no_statistics(tmp_path, text, what):
    (tmp_path / "stats.json").write_text(text)
    with pytest.raises(UnifyError, match=what) as e:
        read_stats(tmp_path / "stats.json")
    assert e.value.exit_code == 65


def test_a_missing_file(tmp_path):
    with pytest.raises(UnifyError, match="no such file") as e:
        read_stats(tmp_path / "nothing.json")
    assert e.value.exit_code == 66


def edge(source: str, label: str, related: str, kind="narrower", score=0.5, pixels=1, **more) -> Edge:
    return Edge(source, label, related, kind, score, 0.1, pixels, **more)


EDGES = [
    edge("mapillary", "bicyclist", "rider", score=0.9, pixels=30),
    edge("idd", "bicyclist", "rider", score=0.5, pixels=10),
    edge("mapillary", "parking", "road"),
    edge("mapillary", "pothole", "road"),
    edge("mapillary", "curb", "sidewalk", "overlaps"),
    edge("idd", "rider", "bicyclist", "broader"),
]


def test_the_matrix_has_a_true_where_training_gets_a_second_target():
    names = ["bicyclist", "curb", "parking", "pothole", "rider", "road", "sidewalk"]
    matrix = matrix_of(EDGES, ["idd", "mapillary"], names)
    wanted = {(e.source, e.label, e.related) for e in EDGES if e.type in ("equal", "narrower")}
    found = {(("idd", "mapillary")[s], names[c], names[k]) for s, c, k in np.argwhere(matrix)}
    assert matrix.dtype == bool and matrix.shape == (2, 7, 7) and found == wanted
    spaces = {"idd": "idd", "mapillary": "mapillary-v1.2"}
    taxonomy = taxonomy_for(spaces, {"idd": "idd26", "mapillary": "mapillary65"})
    large = relation_matrix(EDGES, taxonomy)
    index = taxonomy.space.names.index
    assert large.sum() == 4 and large[1, index("bicyclist"), index("rider")] and not large.diagonal(0, 1, 2).any()


def test_the_matrix_names_all_that_is_not_there():
    with pytest.raises(UnifyError) as e:
        matrix_of(EDGES, ["mapillary"], ["bicyclist", "rider", "road", "pothole"])
    assert [p.what for p in e.value.problems] == ["there is no class 'parking' here", "there is no source 'idd' here"]


def test_two_columns_name_every_pair_once_the_most_frequent_secondary_first():
    assert two_columns(EDGES) == [("parking", "road"), ("pothole", "road"), ("bicyclist", "rider")]


def relations_of(edges: list[Edge], tmp_path: Path) -> Relations:
    names = sorted({n for e in edges for n in (e.label, e.related)})
    unit = [[1.0 if i == j else -1.0 for j in range(len(names))] for i in range(len(names))]
    datasets = {s: {"pixels": [5] * len(names), "mean_cosine": unit} for s in ("idd", "mapillary")}
    evidence = read_stats(small(tmp_path, {"classes": names, "datasets": datasets}))
    return Relations("paper", {"tau": -0.08}, evidence, tuple(edges))


def test_the_graph_says_what_pixels_are_also(tmp_path):
    relations = relations_of(EDGES, tmp_path)
    graph = to_graph(relations)
    assert isinstance(graph, nx.DiGraph)
    assert set(graph.edges) == {("bicyclist", "rider"), ("parking", "road"), ("pothole", "road")}
    facts = graph.edges["bicyclist", "rider"]
    assert facts["type"] == "narrower" and facts["sources"] == "mapillary, idd" and facts["pixels"] == 40
    assert facts["score"] == pytest.approx((0.9 * 30 + 0.5 * 10) / 40) and "share" not in facts
    assert graph.nodes["road"] == {"sources": "idd, mapillary", "pixels": 10}
    everything = to_graph(relations, ("equal", "narrower", "broader", "overlaps"))
    assert everything.edges["rider", "bicyclist"]["type"] == "broader" and len(everything.edges) == 5


def test_a_projection_takes_the_graph(tmp_path):
    shares = [edge("mapillary", "bicyclist", "rider", share=0.95, low=0.9, high=1.0, back=0.4)]
    union, city = load_space("union70"), load_space("cityscapes19")
    projection = from_graph(to_graph(relations_of(shares, tmp_path)), union, city, min_share=0.9)
    assert projection.members["rider"] == ("bicyclist", "rider")
    assert from_graph(to_graph(relations_of(shares, tmp_path)), union, city, min_share=0.96).members["rider"] == (
        "rider",
    )
