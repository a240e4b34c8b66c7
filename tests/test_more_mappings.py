"""The label spaces and tables of the further datasets, against facts written down here a second time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unify.mapping import Mapping, compose, load_mapping
from unify.sources import SOURCES
from unify.spaces import LabelClass, LabelSpace, load_space, mappings_dir, naive_union, space_names
from unify.taxonomy import taxonomy_for

_ = 255


def listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


VOC_20 = listed("""
    aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, person,
    pottedplant, sheep, sofa, train, tvmonitor""")
CONTEXT_59 = listed("""
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat,
    ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse,
    keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves,
    sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood""")
NYU_40 = listed("""
    wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, blinds, desk, shelves,
    curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, books, refridgerator, television, paper, towel,
    shower curtain, box, whiteboard, person, night stand, toilet, sink, lamp, bathtub, bag, otherstructure,
    otherfurniture, otherprop""")
NYU_13 = listed("bed, books, ceiling, chair, floor, furniture, objects, picture, sofa, table, tv, wall, window")
# class13Mapping.mat: of each of the 40 classes, its class of 13, from 1.
NYU_40_TO_13 = [12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11]
NYU_40_TO_13 += [7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7]
WILDDASH_26 = listed("""
    ego vehicle, road, sidewalk, building, wall, fence, guard rail, pole, traffic light, traffic sign, vegetation,
    terrain, sky, person, rider, car, truck, bus, on rails, motorcycle, bicycle, pickup, van, billboard, street light,
    road marking""")
# Of each of the 81 ids of the policy, its class of 26 and of Cityscapes' 19.
WILDDASH_TO_26 = [_, 0, _, _, _, _, _, 1, 2, _, _, 3, 4, 5, 6, _, _, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, _, _]
WILDDASH_TO_26 += [18, 19, 20, 21, 22, 23, 24, 25, _, _, 1, _, 1, _, 7, 7, 14, 14, 14, _, _, 2, _, _, _, 4, _, 19, _]
WILDDASH_TO_26 += [_, 1, _, _, 1, 2, _, 0, _, _, 1, _, _, _, 1, 1, 1, 2, 11, 1, 2]
WILDDASH_TO_19 = [_, _, _, _, _, _, _, 0, 1, _, _, 2, 3, 4, _, _, _, 5, _, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, _, _]
WILDDASH_TO_19 += [16, 17, 18, 14, 13, _, _, 0, _, _, 0, _, 0, _, 5, 5, 12, 12, 12, _, _, 1, _, _, _, 3, _, 17, _]
WILDDASH_TO_19 += [_, 0, _, _, 0, 1, _, _, _, _, 0, _, _, _, 0, 0, 0, 1, 9, 0, 1]
CITYSCAPES_19 = listed("""
    road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, rider,
    car, truck, bus, train, motorcycle, bicycle""")

SIZES = {
    "voc2012": 22, "voc20": 20, "voc21": 21, "pascal-context": 60, "context59": 59, "context60": 60,
    "nyu-depth-v2": 41, "nyu40": 40, "nyu13": 13,
    "wilddash-v2p0": 81, "wilddash-public-02": 39, "wilddash26": 26,
}  # fmt: skip
TARGETS = {"voc20": VOC_20, "voc21": ["background", *VOC_20], "context59": CONTEXT_59,
           "context60": ["background", *CONTEXT_59], "nyu40": NYU_40, "nyu13": NYU_13,
           "wilddash26": WILDDASH_26}  # fmt: skip
#: (raw space, target) → position in the target of each raw class, in the raw space's order
TABLES = {
    ("voc2012", "voc20"): [_, *range(20), _],
    ("voc2012", "voc21"): [*range(21), _],
    ("pascal-context", "context59"): [_, *range(59)],
    ("pascal-context", "context60"): [*range(60)],
    ("nyu-depth-v2", "nyu40"): [_, *range(40)],
    ("nyu-depth-v2", "nyu13"): [_, *(i - 1 for i in NYU_40_TO_13)],
    ("wilddash-v2p0", "wilddash26"): WILDDASH_TO_26,
    ("wilddash-public-02", "wilddash26"): WILDDASH_TO_26[:39],
    ("wilddash-v2p0", "cityscapes19"): WILDDASH_TO_19,
    ("wilddash-public-02", "cityscapes19"): WILDDASH_TO_19[:39],
}


def every_mapping() -> list[Mapping]:
    files = [f for f in sorted(mappings_dir().glob("to_*/*.yaml")) if "@" not in f.stem]
    return [load_mapping(f.stem, f.parent.name.removeprefix("to_")) for f in files]


def test_sizes():
    assert {name: len(load_space(name)) for name in SIZES} == SIZES
    assert set(SIZES) <= set(space_names())


@pytest.mark.parametrize("name", TARGETS)
def test_targets_name_by_name(name):
    space = load_space(name)
    assert list(space.names) == TARGETS[name]
    assert space.is_target


@pytest.mark.parametrize(("raw", "target"), TABLES)
def test_tables_class_by_class(raw, target):
    mapping, names = load_mapping(raw, target), load_space(target).names
    expected = [() if i == 255 else (names[i],) for i in TABLES[raw, target]]
    assert [mapping.rules[c] for c in mapping.source.names] == expected


def test_raw_ids():
    assert [c.id for c in load_space("voc2012").classes] == [*range(21), 255]
    for name in ("pascal-context", "nyu-depth-v2", "wilddash-v2p0", "wilddash-public-02"):
        assert [c.id for c in load_space(name).classes] == list(range(SIZES[name])), name


def test_raw_names():
    assert list(load_space("voc2012").names) == ["background", *VOC_20, "void"]
    assert list(load_space("pascal-context").names) == ["background", *CONTEXT_59]
    assert sorted(CONTEXT_59) == CONTEXT_59, "ids ascend with the alphabet"
    assert list(load_space("nyu-depth-v2").names) == ["unlabeled", *NYU_40]
    cityscapes = list(load_space("cityscapes").names)
    beta = [n if n != "on rails" else "train" for n in load_space("wilddash-public-02").names]
    assert beta[:34] == cityscapes[:34], "the beta's first ids are Cityscapes'"


def test_both_label_spaces_of_wilddash_mean_the_same_by_id():
    new, beta = load_space("wilddash-v2p0").names[:39], load_space("wilddash-public-02").names
    differ = {b: n for n, b in zip(new, beta, strict=True) if n != b.replace(" ", "").replace("-", "")}
    assert differ == {"rectification border": "overlay"}


@pytest.mark.parametrize("space", ["voc2012", "nyu40", "nyu13"])
def test_colours_follow_the_bit_rule_of_voc(space):
    """Everingham's devkit: bits 0, 1, 2 of an id are the top bits of red, green, blue, and so on."""
    shift = 0 if space == "voc2012" else 1  # of the targets, id 0 is class 1
    for c in load_space(space).classes:
        text = f"{c.id + shift:08b}"[::-1]
        expected = tuple(int((text[k::3] + "0" * 8)[:8], 2) for k in range(3))
        assert c.color == expected


def test_colours():
    voc = {c.name: c.color for c in load_space("voc20").classes}
    assert voc["aeroplane"] == (128, 0, 0) and voc["tvmonitor"] == (0, 64, 128) and voc["person"] == (192, 128, 128)
    assert load_space("context59").classes[0].color == load_space("context60").classes[1].color == (180, 120, 120)
    assert {c.name: c.color for c in load_space("wilddash26").classes}["road"] == (128, 64, 128)


# ---- composition


def by_sets(first: Mapping, then: Mapping) -> dict[str, set[str]]:
    """What the definition says: all that the members may become, or void if one of them becomes void."""
    images = {name: [set(then.rules[member]) for member in rule] for name, rule in first.rules.items()}
    return {name: set().union(*sets) if sets and all(sets) else set() for name, sets in images.items()}


def as_sets(mapping: Mapping) -> dict[str, set[str]]:
    return {name: set(rule) for name, rule in mapping.rules.items()}


@st.composite
def onward(draw: st.DrawFn, source: LabelSpace) -> Mapping:
    """A mapping from `source` to a few classes: void, single and set-valued rules as they come."""
    target = LabelSpace("few", tuple(LabelClass(i, f"c{i}", (i, 0, 0)) for i in range(4)))
    rule = st.lists(st.sampled_from(target.names), max_size=3, unique=True).map(tuple)
    rules = draw(st.lists(rule, min_size=len(source), max_size=len(source)))
    return Mapping(source, target, dict(zip(source.names, rules, strict=True)))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("mapping", every_mapping(), ids=lambda m: m.origin)
def test_every_mapping_composes_with_any_other_and_in_any_order(mapping, data):
    then = data.draw(onward(mapping.target))
    last = data.draw(onward(then.target))
    assert as_sets(compose(mapping, then)) == by_sets(mapping, then)
    assert compose(compose(mapping, then), last) == compose(mapping, compose(then, last))


def every_variant() -> list[Mapping]:
    files = [f for f in sorted(mappings_dir().glob("to_*/*.yaml")) if "@" in f.stem]
    parts = [(*f.stem.split("@"), f.parent.name.removeprefix("to_")) for f in files]
    return [load_mapping(source, target, variants=[variant]) for source, variant, target in parts]


def chains() -> list[tuple[Mapping, Mapping, Mapping]]:
    """(a→b, b→c, a→c) for all a→b and a→c that are files, read with any one of their variants too.

    b→c is a file; or, from a space that a is trained in, names that go on, as a build without a→c would have it.
    """
    trained = {(release.space, release.train_space) for s in SOURCES.values() for release in s.releases.values()}
    plain = {(m.source.name, m.target.name): m for m in every_mapping()}
    found = []
    for first in [*plain.values(), *every_variant()]:
        for (raw, end), direct in plain.items():
            middle = first.target
            if raw != first.source.name or direct.target == middle:
                continue
            if then := plain.get((middle.name, end)):
                found.append((first, then, direct))
            elif (raw, middle.name) in trained and (
                set(middle.names) <= set(direct.target.names) or (middle.name, end) in ALMOST_BY_NAME
            ):
                names = set(direct.target.names)
                onward = {n: (n,) if n in names else () for n in middle.names}
                found.append((first, Mapping(middle, direct.target, onward), direct))
    return found


#: Spaces whose classes mostly go on by name, the others being void.
ALMOST_BY_NAME = {("idd26", "cityscapes19"), ("wilddash26", "cityscapes19")}
#: (a, b, c) → raw classes for which a→b→c is not a→c, and why.
EXCEPTIONS = {
    ("idd", "idd26", "cityscapes19"): {
        "non-drivable fallback": "level 3 has it in rail track, csTrainId in terrain",
        "animal": "level 3 has it in person, csTrainId voids it",
        "train": "level 3 has it in vehicle fallback, csTrainId in train",
        "polegroup": "level 3 has it in pole, csTrainId voids it as Cityscapes does",
        "fallback background": "level 3 has it in sky, csTrainId voids it",
    },
    ("pascal-context", "context59", "context60"): {"background": "void among 59, a class among 60"},
    ("voc2012", "voc20", "voc21"): {"background": "void among 20, a class among 21"},
    **{
        (raw, "wilddash26", "cityscapes19"): {
            "polegroup": "a pole in the benchmark of 26, void in Cityscapes",
            "pickup": "a class of its own in 26, a truck in Cityscapes",
            "van": "a class of its own in 26, a car in Cityscapes",
            rails: "called on rails in 26, train in Cityscapes",
            marking: "a class of its own in 26, road in Cityscapes",
        }
        for raw, rails, marking in (
            ("wilddash-v2p0", "onrails", "roadmarking"),
            ("wilddash-public-02", "on rails", "road-marking"),
        )
    },
}
#: What a variant of a→b changes of these exceptions: those that it mends, and those that it adds.
CHANGED_BY: dict[tuple[str, ...], tuple[set[str], set[str]]] = {
    # What level 3 merges is void, as in csTrainId, but for what that gives a class.
    ("mask-merged",): ({"animal", "fallback background"}, set()),
    ("ignore-in-eval",): ({"animal"}, set()),
    ("pickup-van-merged",): ({"pickup", "van"}, set()),
    ("autorickshaw-void",): (set(), {"autorickshaw"}),
}


def test_composition_is_checked():
    """compose(a→b, b→c) == a→c, for every chain: none but the exceptions, and all of these."""
    told = chains()
    assert {(f.source.name, f.target.name, d.target.name) for f, _, d in told} >= {
        ("mapillary-v1.2", "mapillary65", "cityscapes19"),
        ("mapillary-v2.0", "mapillary123", "cityscapes19"),
        ("mapillary-v1.2", "mapillary65", "union70"),
        ("cityscapes", "cityscapes19", "union70"),
        ("bdd100k", "bdd19", "union70"),
        ("bdd100k", "bdd19", "cityscapes19"),
        ("idd", "idd26", "union70"),
        ("nyu-depth-v2", "nyu40", "nyu13"),
        ("pascal-context", "context60", "context59"),
        ("voc2012", "voc21", "voc20"),
        *EXCEPTIONS,
    }
    for first, then, direct in told:
        composed = compose(first, then)
        differ = {raw for raw, rule in composed.rules.items() if rule != direct.rules[raw]}
        expected = set(EXCEPTIONS.get((first.source.name, first.target.name, direct.target.name), {}))
        if first.variants and direct.target.name == "union70":
            direct = with_same_variant(first, direct)
            assert composed == direct, "the variant has a file for both, and these agree"
        elif first.variants and expected:
            mended, added = CHANGED_BY.get(first.variants, (set(), set()))
            assert differ == expected - mended | added, (first.origin, first.variants)
        else:
            assert differ == expected, (first.origin, then.origin, first.variants)


def with_same_variant(first: Mapping, direct: Mapping) -> Mapping:
    return load_mapping(direct.source.name, direct.target.name, variants=list(first.variants))


@pytest.mark.parametrize("mapping", [*every_mapping(), *every_variant()], ids=lambda m: m.origin)
def test_every_mapping_is_complete(mapping):
    """A rule for each source class, to classes of the target; written anew, no look at `Mapping`'s own check."""
    assert list(mapping.rules) == [c.name for c in mapping.source.classes]
    assert {name for rule in mapping.rules.values() for name in rule} <= {c.name for c in mapping.target.classes}


@pytest.mark.parametrize("mapping", every_mapping(), ids=lambda m: m.origin)
def test_every_mapping_composes_with_identity_on_both_sides(mapping):
    own = Mapping(mapping.target, mapping.target, {n: (n,) for n in mapping.target.names})
    assert compose(mapping, own) == mapping
    assert set(mapping.rules) == set(mapping.source.names)


def test_coarser_spaces_factor_through_finer_ones():
    """Raw → 21 classes → 20 is raw → 20; 60 → 59 likewise; where a target adds only what the other voids."""
    for raw, fine, coarse in (("voc2012", "voc21", "voc20"), ("pascal-context", "context60", "context59")):
        middle, end = load_space(fine), load_space(coarse)
        drop = Mapping(middle, end, {n: (n,) if n in end.names else () for n in middle.names})
        assert compose(load_mapping(raw, fine), drop) == load_mapping(raw, coarse)


def test_nyu13_factors_through_nyu40():
    fine, coarse = load_mapping("nyu-depth-v2", "nyu40"), load_mapping("nyu-depth-v2", "nyu13")
    grouping = Mapping(fine.target, coarse.target, {n: coarse.rules[n] for n in fine.target.names})
    assert compose(fine, grouping) == coarse


def test_what_becomes_a_class_of_cityscapes_is_one_of_26_or_void_there():
    """The policy's two views: a pixel of the 19 classes is annotated in the 26, never the other way round."""
    for raw in ("wilddash-v2p0", "wilddash-public-02"):
        to19, to26 = load_mapping(raw, "cityscapes19"), load_mapping(raw, "wilddash26")
        assert all(to26.rules[name] for name in raw_names(to19))
        only26 = {name: rule for name, rule in to26.rules.items() if rule and not to19.rules[name]}
        assert only26.pop("polegroup") == ("pole",), "a class there, void in Cityscapes"
        assert {rule for (rule,) in only26.values()} == {"ego vehicle", "guard rail", "billboard", "street light"}


def raw_names(mapping: Mapping) -> list[str]:
    return [name for name, rule in mapping.rules.items() if rule]


def test_shared_names_meet_in_a_naive_union():
    """Readable names, so that WildDash's traffic lights are everybody's."""
    union = naive_union([load_space("wilddash26"), load_space("mapillary65"), load_space("cityscapes19")])
    assert len(union) == len({*WILDDASH_26, *load_space("mapillary65").names, *CITYSCAPES_19})
    assert set(WILDDASH_26) - set(load_space("mapillary65").names) == {"rider", "pickup", "van", "road marking"}


def test_taxonomies_over_the_new_spaces():
    """Indoor and outdoor together; and KITTI's way to the union of 70 is Cityscapes'."""
    spaces = {"voc": "voc2012", "context": "pascal-context", "nyu": "nyu-depth-v2", "wilddash": "wilddash-v2p0"}
    train = {"voc": "voc20", "context": "context59", "nyu": "nyu40", "wilddash": "wilddash26"}
    taxonomy = taxonomy_for(spaces, train)
    assert set(taxonomy.space.names) == {*VOC_20, *CONTEXT_59, *NYU_40, *WILDDASH_26}
    assert taxonomy.null_mask.sum(axis=1).tolist() == [20, 59, 40, 26]
    assert "background" not in taxonomy.space.names
    streets = taxonomy_for({"kitti": "cityscapes"}, {"kitti": "cityscapes19"}, "union70")
    assert streets.mappings["kitti"] == load_mapping("cityscapes", "union70")
