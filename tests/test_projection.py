"""Projections to test spaces: against loops over pixels and members, by hand-written lists, and as files."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unify.errors import UnifyError
from unify.mapping import validate_all
from unify.projection import Projection, by_name, from_graph, projection_files, read_projection
from unify.spaces import LabelClass, LabelSpace, aliases, load_space, naive_union, space_names

TRAIN = {"C": "cityscapes19", "I": "idd26", "B": "bdd19", "M": "mapillary65"}


def space_of(*names: str, name: str = "some") -> LabelSpace:
    return LabelSpace(name, tuple(LabelClass(i, n, (i, 0, 0)) for i, n in enumerate(names)))


def union(letters: str) -> LabelSpace:
    return naive_union(load_space(TRAIN[letter]) for letter in letters)


UNION = space_of("bicyclist", "car", "motorcyclist", "parking", "rider", "road", name="union")
TEST = space_of("road", "rider", "train", name="test")
MEMBERS = {"road": ("road", "parking"), "rider": ("rider",), "train": ()}


@st.composite
def projections(draw) -> Projection:
    source = space_of(*(f"s{i}" for i in range(draw(st.integers(1, 7)))))
    target = space_of(*(f"t{i}" for i in range(draw(st.integers(1, 5)))), name="other")
    members = st.lists(st.sampled_from(source.names), max_size=4, unique=True).map(tuple)
    return Projection(source, target, {name: draw(members) for name in target.names})


@given(projections(), st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
def test_scores_are_those_of_a_loop(projection, seed, dtype):
    p_bkhw = np.random.default_rng(seed).random((2, len(projection.source), 3, 2)).astype(dtype)
    summed, best = projection.project_probabilities(p_bkhw), projection.project_probabilities(p_bkhw, "max")
    predicted = projection.predict(p_bkhw, "max") if projection.scored else None
    assert summed.shape == best.shape == (2, len(projection.target), 3, 2) and summed.dtype == best.dtype == dtype
    index = {name: i for i, name in enumerate(projection.source.names)}
    for b, y, x in np.ndindex(2, 3, 2):
        scores = {}
        for t, (name, members) in enumerate(projection.members.items()):
            own = [float(p_bkhw[b, index[m], y, x]) for m in members]
            assert summed[b, t, y, x] == pytest.approx(sum(own), rel=1e-5)
            assert best[b, t, y, x] == (max(own) if own else -np.inf)
            if own:
                scores[name] = max(own)
        if predicted is not None:
            assert projection.target.names[predicted[b, y, x]] == max(scores, key=lambda n: scores[n])


@given(projections(), st.integers(0, 2**32 - 1))
def test_the_axis_of_the_classes_may_be_the_last(projection, seed):
    p = np.random.default_rng(seed).random((4, 3, len(projection.source)))
    for how in ("sum", "max"):
        last = projection.project_probabilities(p, how, axis=-1)
        first = projection.project_probabilities(np.moveaxis(p, -1, 0), how, axis=0)
        assert np.array_equal(last, np.moveaxis(first, 0, -1))
    assert np.allclose(p @ projection.matrix(), projection.project_probabilities(p, axis=-1), atol=1e-6)


def test_a_class_without_a_counterpart_never_wins():
    projection = Projection(UNION, TEST, MEMBERS)
    assert (projection.scored, projection.missing) == (("road", "rider"), ("train",))
    assert projection.unused == ("bicyclist", "car", "motorcyclist")
    assert projection.members["road"] == ("parking", "road"), "in the source's order"
    logits = np.full((1, 6, 1, 1), -9.0)  # all below the 0 that a sum over no member is
    assert projection.predict(logits, "sum").tolist() == [[[1]]] and projection.predict(logits, "max").tolist() == [
        [[0]]
    ]
    assert projection.matrix().sum(axis=0).tolist() == [2, 1, 0] and projection.matrix().dtype == np.float32


def test_the_sum_and_the_maximum_may_differ():
    p = np.array([0, 0, 0, 0.3, 0.4, 0.3]).reshape(1, 6, 1, 1)
    projection = Projection(UNION, TEST, MEMBERS)
    assert projection.predict(p, "sum").item() == 0 and projection.predict(p, "max").item() == 1


def test_wrong_shapes_and_choices():
    projection = Projection(UNION, TEST, MEMBERS)
    for call in (
        lambda: projection.project_probabilities(np.zeros((1, 5, 2, 2))),
        lambda: projection.project_probabilities(np.zeros(6), axis=1),
        lambda: projection.project_probabilities(np.zeros((1, 6, 2, 2)), "mean"),  # type: ignore[arg-type]
        lambda: Projection(UNION, TEST, dict.fromkeys(TEST.names, ())).predict(np.zeros((1, 6, 2, 2))),
    ):
        with pytest.raises(UnifyError) as e:
            call()
        assert e.value.exit_code == 2


def test_everything_wrong_with_a_projection_at_once():
    with pytest.raises(UnifyError) as e:
        Projection(UNION, load_space("cityscapes"), {"road": ("raod",), "rider": ("rider", "rider"), "sky!": ()})
    text = str(e.value)
    for what in ("'sky!'", "'raod' (did you mean 'road'?) for 'road'", "twice among the members of 'rider'",
                 "nothing is said of 'unlabeled'", "the ids of cityscapes are not"):  # fmt: skip
        assert what in text


# --- By name


def test_union70_by_name_to_every_test_space():
    """How many classes have a score, and which of their names are not the union's own."""
    source = load_space("union70")
    other = {
        "camvid11": {"pavement": "sidewalk", "tree": "vegetation", "signsymbol": "traffic sign",
                     "pedestrian": "person"},
        "voc20": {"motorbike": "motorcycle"},
        "context59": {"grass": "terrain", "light": "street light", "motorbike": "motorcycle", "sign": "traffic sign",
                      "track": "rail track", "tree": "vegetation"},
    }  # fmt: skip
    sizes = {"cityscapes19": 19, "kitti19": 19, "wilddash19": 19, "acdc19": 19, "bdd19": 19, "idd26": 26,
             "mapillary65": 65, "camvid11": 11, "wilddash26": 24, "voc20": 8, "voc21": 8, "context59": 24,
             "context60": 24, "nyu40": 1}  # fmt: skip
    for name, scored in sizes.items():
        target = load_space(name)
        projection = by_name(source, target)
        assert len(projection.scored) == scored, name
        if name not in ("wilddash26", "voc21", "context60"):
            expected = {n: (other.get(name, {}).get(n, n),) for n in projection.scored}
            assert {n: m for n, m in projection.members.items() if m} == expected, name
    assert by_name(source, load_space("wilddash26")).missing == ("pickup", "van")
    assert by_name(source, load_space("nyu40")).scored == ("person",), "a room's wall is not the street's"


@pytest.mark.parametrize("letters", ["CIBM", "CIB", "IBM", "CIM", "CBM", "CI", "IM"])
def test_leave_one_out_unions_by_name(letters):
    """UniSeg: CamVid's bicyclist is the union's where Mapillary is in it, and rider where it is not."""
    source = union(letters)
    members = by_name(source, load_space("camvid11")).members
    assert members["bicyclist"] == (("bicyclist",) if "M" in letters else ("rider",))
    assert members["tree"] == ("vegetation",) and all(members.values())
    cityscapes = by_name(source, load_space("cityscapes19"))
    assert cityscapes.missing == (), "of Mapillary and IDD alone, on rails is for train"
    assert cityscapes.members["train"] == (("train",) if set("CB") & set(letters) else ("on rails",))
    assert by_name(source, load_space("wilddash26")).members["on rails"] == (
        ("on rails",) if "M" in letters else ("train",)
    )


def test_mapillary_alone():
    members = by_name(load_space("mapillary65"), load_space("cityscapes19")).members
    assert members["rider"] == ("bicyclist", "motorcyclist", "other rider") and members["train"] == ("on rails",)


def test_spaces_without_a_file_go_by_names_alone():
    source = naive_union([load_space("camvid11"), load_space("cityscapes19")])
    projection = by_name(source, load_space("voc20"))
    assert set(projection.scored) == {"bicycle", "bus", "car", "person", "train"}, "motorbike is nobody's here"


# --- By the relation graph


def graph_of(*edges) -> nx.DiGraph:
    graph = nx.DiGraph()
    for a, b, *share in edges:
        graph.add_edge(a, b, **({"share": share[0]} if share else {}))
    return graph


def test_relatives_count_for_the_class_that_they_are_a_part_of():
    graph = graph_of(("bicyclist", "rider"), ("motorcyclist", "rider", 0.9), ("parking", "road", 0.5), ("road", "car"))
    projection = from_graph(graph, UNION, TEST)
    assert projection.members == {
        "road": ("parking", "road"), "rider": ("bicyclist", "motorcyclist", "rider"), "train": (),
    }  # fmt: skip
    strict = from_graph(graph, UNION, TEST, min_share=0.8)
    assert strict.members["road"] == ("road",) and len(strict.members["rider"]) == 3


def test_what_counts_by_name_for_one_class_counts_for_no_other():
    test = space_of("road", "parking", name="test")
    projection = from_graph(graph_of(("parking", "road")), UNION, test)
    assert projection.members == {"road": ("road",), "parking": ("parking",)}


def test_chains_count_where_asked_for():
    source = space_of("a", "b", "c", "d")
    graph = graph_of(("a", "b"), ("b", "c"), ("c", "a"), ("d", "d"))
    target = space_of("c", name="test")
    assert from_graph(graph, source, target).members == {"c": ("b", "c")}
    assert from_graph(graph, source, target, transitive=True).members == {"c": ("a", "b", "c")}
    both = space_of("c", "b", name="test")
    assert from_graph(graph, source, both, transitive=True).members == {"c": ("c",), "b": ("a", "b")}


@given(st.data())
def test_a_graph_without_edges_is_by_name_and_more_edges_only_add(data):
    source, target = load_space("union70"), load_space("cityscapes19")
    some = st.tuples(st.sampled_from(source.names), st.sampled_from(source.names))
    edges = data.draw(st.lists(some, max_size=30))
    named, related = by_name(source, target), from_graph(graph_of(*edges), source, target)
    anchors = {m for members in named.members.values() for m in members}
    for name, own in named.members.items():
        added = set(related.members[name]) - set(own)
        assert set(own) <= set(related.members[name])
        assert added == {a for a, b in edges if b in own and a not in anchors}


def test_unisegs_relations_let_riders_count():
    graph = graph_of(("bicyclist", "rider"), ("motorcyclist", "rider"), ("other rider", "person"),
                     ("on rails", "train"), ("banner", "billboard"), ("pothole", "road"))  # fmt: skip
    members = from_graph(graph, load_space("union70"), load_space("kitti19")).members
    assert members["rider"] == ("bicyclist", "motorcyclist", "rider") and members["train"] == ("on rails", "train")
    assert members["person"] == ("other rider", "person") and members["road"] == ("pothole", "road")


def test_graphs_that_are_none():
    with pytest.raises(UnifyError, match="no directions"):
        from_graph(nx.Graph([("bicyclist", "rider")]), UNION, TEST)
    with pytest.raises(UnifyError) as e:
        from_graph(graph_of(("cyclist", "rider"), ("road", "car", 1.5), ("car", "road", "much")), UNION, TEST)
    assert e.value.exit_code == 2 and len(e.value.problems) == 3
    assert "'cyclist' is no class of union" in str(e.value) and "share of 'road' → 'car' is 1.5" in str(e.value)


# --- Files


def test_every_file_is_complete_and_says_where_it_is_from():
    files = projection_files()
    assert {target for source, target in files if source == "union70"} >= {
        "cityscapes19", "bdd19", "idd26", "camvid11", "wilddash26", "voc20", "context59", "nyu40",
    }  # fmt: skip
    for path in files.values():
        said = read_projection(path)
        assert said.reference
        told = {*said.source.names, *said.members, *said.without}
        assert set(said.target.names) <= told
        assert not set(said.members) & set(said.without)
    assert not {target for _, target in files} & set(aliases()) and set(space_names()) > {t for _, t in files}


GOOD = """\
from: union70
to: camvid11
reference: this file
members:
  pavement: sidewalk
  tree: [vegetation, terrain]
  pedestrian: person
fallbacks:
  bicyclist: rider
without:
  signsymbol: two classes of the union
"""
ILLEGAL = {
    "silent": (GOOD.replace("  pedestrian: person\n", ""), "does not name: 'pedestrian'"),
    "unknown_target": (GOOD.replace("pavement", "pavment"), "what is no class of camvid11: 'pavment' (did you mean"),
    "unknown_source": (GOOD.replace("sidewalk", "sidewlk"), "'sidewlk' (did you mean 'sidewalk'?) for 'pavement'"),
    "unknown_fallback": (GOOD.replace("rider", "ridr"), "'ridr' (did you mean 'rider'?) for 'bicyclist'"),
    "redundant": (GOOD.replace("  pedestrian", "  road: road\n  pedestrian"), "that the name says already: 'road'"),
    "twice": (GOOD.replace("terrain", "vegetation"), "a class twice among the members of 'tree'"),
    "both": (GOOD + "  tree: none\n", "with members and without: 'tree'"),
    "no_reference": (GOOD.replace("reference: this file\n", ""), "it has no `reference`"),
    "no_reason": (GOOD.replace("two classes of the union", "[]"), "without has to be lines of"),
    "bad_members": (GOOD.replace("sidewalk", "[sidewalk]"), "wrong members: 'pavement': ['sidewalk']"),
    "unknown_key": (GOOD + "note: x\n", "unknown keys: 'note'"),
    "unknown_space": (GOOD.replace("union70", "union7"), "`from` is 'union7', which is no label space (did you mean"),
    "no_members": (GOOD.replace("members:\n", "members: x\nmore:\n"), "members has to be lines of"),
}  # fmt: skip


def write(folder, text):
    path = folder / "projections" / "union70_to_camvid11.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_users_file_comes_first(tmp_path):
    write(tmp_path, GOOD)
    validate_all([tmp_path])
    projection = by_name(load_space("union70"), load_space("camvid11"), [tmp_path])
    assert projection.members["tree"] == ("terrain", "vegetation") and projection.missing == ("signsymbol",)
    assert by_name(union("CIB"), load_space("camvid11"), [tmp_path]).members["bicyclist"] == ("rider",)


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_files(tmp_path, case):
    text, message = ILLEGAL[case]
    path = write(tmp_path, text)
    for load in (lambda: read_projection(path), lambda: validate_all([tmp_path])):
        with pytest.raises(UnifyError) as e:
            load()
        assert e.value.exit_code == 78 and message in str(e.value) and str(path) in str(e.value)


def test_a_file_of_another_name_is_never_read(tmp_path):
    path = write(tmp_path, GOOD).rename(tmp_path / "projections" / "union70_to_camvid.yaml")
    with pytest.raises(UnifyError, match=r"its name is union70_to_camvid.yaml, not union70_to_camvid11.yaml"):
        read_projection(path)
