"""The data in mappings/ against the published tables, written down here a second time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unify.mapping import by_name, compose, load_mapping, mapped_spaces, validate_all
from unify.spaces import load_space, mappings_dir, naive_union, space_names

# Kim et al., ECCV 2022, supplement, Table A-3, as printed: Cityscapes, BDD, IDD, Mapillary.
TABLE_A3 = """
..I.  autorickshaw
...M  banner
...M  barrier
...M  bench
CBIM  bicycle
...M  bicyclist
...M  bike lane
...M  bike rack
..IM  billboard
...M  bird
...M  boat
..IM  bridge
CBIM  building
CBIM  bus
CBIM  car
...M  car mount
...M  caravan
...M  catch basin
...M  cctv camera
...M  crosswalk - plain
..IM  curb
...M  curb cut
...M  ego vehicle
CBIM  fence
...M  fire hydrant
...M  ground animal
..IM  guard rail
...M  junction box
...M  lane marking - crosswalk
...M  lane marking - general
...M  mailbox
...M  manhole
CBIM  motorcycle
...M  motorcyclist
...M  mountain
C...  obs-str-bar-fallback
...M  on rails
...M  other rider
...M  other vehicle
..IM  parking
...M  pedestrian area
CBIM  person
...M  phone booth
CBIM  pole
...M  pothole
..IM  rail track
CBI.  rider
CBIM  road
...M  sand
...M  service lane
CBIM  sidewalk
CBIM  sky
...M  snow
...M  street light
CB.M  terrain
CBIM  traffic light
CBIM  traffic sign
...M  traffic sign (back)
...M  traffic sign frame
...M  trailer
CB..  train
...M  trash can
CBIM  truck
..I.  tunnel
..I.  utility pole
CBIM  vegetation
..I.  vehicle fallback
CBIM  wall
...M  water
...M  wheeled slow
"""
# Cells that stand in a column where no such label exists, moved to the one where it does.
MOVED = {"obs-str-bar-fallback": "..I.", "tunnel": "...M", "utility pole": "...M"}
LETTERS = {"C": "cityscapes", "B": "bdd100k", "I": "idd", "M": "mapillary-v1.2"}
TRAIN = {"C": "cityscapes19", "B": "bdd19", "I": "idd26", "M": "mapillary65", "V": "camvid11"}


def listed(names: str) -> list[str]:
    return [name.strip().lower() for name in names.split(",")]


_ = 255
# Target ids by position in each raw space's list: trainId, level3Id, csTrainId of the official tables.
CITYSCAPES_TRAIN_IDS = [_, _, _, _, _, _, _, 0, 1, _, _, 2, 3, 4, _, _, _, 5, _, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
CITYSCAPES_TRAIN_IDS += [_, _, 16, 17, 18, _]
IDD_LEVEL3_IDS = [0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 20, 20]
IDD_LEVEL3_IDS += [21, 22, 23, 23, 24, 25, 25, _, _, _, _, _]
IDD_CS_TRAIN_IDS = [0, _, _, 1, _, 9, 11, _, 12, 17, 18, _, 13, 14, 15, _, _, 16, _, _, 3, 4, _, _, 7, 6, 5, _]
IDD_CS_TRAIN_IDS += [_, 2, _, _, 8, 10, _, _, _, _, _, _]
CAMVID_32_TO_11 = [9, 1, 10, 1, 1, 8, 9, 9, 2, 7, 3, 3, 6, 10, 8, 4, 9, 3, 4, 4, 6, 0, 8, 2, 6, 8, 5, 8, 1, 5, _, 1]

CITYSCAPES_19 = listed("""
    road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, rider,
    car, truck, bus, train, motorcycle, bicycle""")
IDD_26 = listed("""
    road, parking, sidewalk, rail track, person, rider, motorcycle, bicycle, autorickshaw, car, truck, bus,
    vehicle fallback, curb, wall, fence, guard rail, billboard, traffic sign, traffic light, pole,
    obs-str-bar-fallback, building, bridge, vegetation, sky""")
# The readable names of the data set's config; only "Traffic Sign (Front)" is shortened.
MAPILLARY_65 = listed("""
    Bird, Ground Animal, Curb, Fence, Guard Rail, Barrier, Wall, Bike Lane, Crosswalk - Plain, Curb Cut, Parking,
    Pedestrian Area, Rail Track, Road, Service Lane, Sidewalk, Bridge, Building, Tunnel, Person, Bicyclist,
    Motorcyclist, Other Rider, Lane Marking - Crosswalk, Lane Marking - General, Mountain, Sand, Sky, Snow, Terrain,
    Vegetation, Water, Banner, Bench, Bike Rack, Billboard, Catch Basin, CCTV Camera, Fire Hydrant, Junction Box,
    Mailbox, Manhole, Phone Booth, Pothole, Street Light, Pole, Traffic Sign Frame, Utility Pole, Traffic Light,
    Traffic Sign (Back), Traffic Sign, Trash Can, Bicycle, Boat, Bus, Car, Caravan, Motorcycle, On Rails,
    Other Vehicle, Trailer, Truck, Wheeled Slow, Car Mount, Ego Vehicle""")
CAMVID_11 = listed("sky, building, pole, road, pavement, tree, signsymbol, fence, car, pedestrian, bicyclist")

# Han, Yoo and Oh, CVPR 2022, supplement, Table 4, in Mapillary's readable names.
TABLE_4 = {
    "road": "Road, Bike Lane, Crosswalk - Plain, Rail Track, Service Lane, Lane Marking - Crosswalk, "
    "Lane Marking - General",
    "sidewalk": "Sidewalk, Curb, Curb Cut",
    "building": "Building",
    "wall": "Wall",
    "fence": "Fence, Guard Rail, Barrier",
    "pole": "Pole, Utility Pole, Traffic Sign Frame",
    "traffic light": "Traffic Light",
    "traffic sign": "Traffic Sign",
    "vegetation": "Vegetation",
    "terrain": "Terrain",
    "sky": "Sky",
    "person": "Person",
    "rider": "Bicyclist, Motorcyclist, Other Rider",
    "car": "Car, Other Vehicle",
    "truck": "Truck",
    "bus": "Bus",
    "motorcycle": "Motorcycle",
    "bicycle": "Bicycle",
}


def table_a3() -> dict[str, str]:
    rows = [line.split("  ") for line in TABLE_A3.strip().splitlines()]
    return {name: MOVED.get(name, cells) for cells, name in rows}


def rules_by_position(raw: str, target: str) -> list[tuple[str, ...]]:
    mapping = load_mapping(raw, target)
    return [mapping.rules[name] for name in mapping.source.names]


def named(names: list[str], positions: list[int]) -> list[tuple[str, ...]]:
    return [() if i == 255 else (names[i],) for i in positions]


def test_every_file_is_sound():
    validate_all()


def test_the_spaces_and_their_sizes():
    sizes = {name: len(load_space(name)) for name in space_names()}
    assert sizes == {
        "cityscapes": 35, "idd": 40, "bdd100k": 20, "mapillary-v1.2": 66, "mapillary-v2.0": 124,
        "camvid-segnet": 12, "camvid-32": 32,
        "cityscapes19": 19, "idd26": 26, "bdd19": 19, "mapillary65": 65, "mapillary123": 123, "camvid11": 11,
        "union70": 70,
        "voc2012": 22, "voc20": 20, "voc21": 21, "pascal-context": 60, "context59": 59, "context60": 60,
        "nyu-depth-v2": 41, "nyu40": 40, "nyu13": 13,
        "wilddash-v2p0": 81, "wilddash-public-02": 39, "wilddash26": 26,
    }  # fmt: skip


def test_every_space_and_mapping_says_where_it_is_from():
    for path in mappings_dir().glob("*/*.yaml"):
        assert "\nreference: " in path.read_text(encoding="utf-8"), path
    for name in space_names():
        assert load_space(name).title and load_space(name).reference, name


def test_training_spaces_are_the_benchmarks():
    expected = {
        "cityscapes19": CITYSCAPES_19, "bdd19": CITYSCAPES_19, "idd26": IDD_26, "mapillary65": MAPILLARY_65,
        "camvid11": CAMVID_11,
    }  # fmt: skip
    for name, names in expected.items():
        assert list(load_space(name).names) == names, name
        assert [c.id for c in load_space(name).classes] == list(range(len(names))), name


def test_raw_ids():
    assert [c.id for c in load_space("cityscapes").classes] == [*range(34), -1]
    assert load_space("cityscapes").ids == {*range(34), 255}
    assert [c.id for c in load_space("bdd100k").classes] == [*range(19), 255]
    for name, size in {
        "idd": 40,
        "mapillary-v1.2": 66,
        "mapillary-v2.0": 124,
        "camvid-segnet": 12,
        "camvid-32": 32,
    }.items():
        assert [c.id for c in load_space(name).classes] == list(range(size)), name


def test_the_usual_colours():
    expected = """
        804080 f423e8 464646 66669c be9999 999999 faaa1e dcdc00 6b8e23 98fb98 4682b4 dc143c ff0000 00008e 000046 003c64
        005064 0000e6 770b20"""
    for space in ("cityscapes19", "bdd19"):
        assert ["{:02x}{:02x}{:02x}".format(*c.color) for c in load_space(space).classes] == expected.split()


def test_colours_that_labels_are_decoded_from_are_distinct():
    for name in ("camvid-32", "mapillary-v1.2", "union70"):
        colors = [c.color for c in load_space(name).classes]
        assert len(set(colors)) == len(colors), name
    assert len({c.color for c in load_space("mapillary-v2.0").classes}) == 124 - 36 + 11, (
        "11 colours stand for 36 labels"
    )


def test_union70_is_table_a3_member_by_member():
    rows = table_a3()
    assert len(rows) == 70
    assert load_space("union70").names == tuple(rows)
    for i, (letter, raw) in enumerate(zip("CBIM", LETTERS.values(), strict=True)):
        annotated = load_mapping(raw, "union70").annotated()
        assert annotated.tolist() == [cells[i] == letter for cells in rows.values()], raw


def test_how_many_members_each_source_has():
    count = {letter: int(load_mapping(raw, "union70").annotated().sum()) for letter, raw in LETTERS.items()}
    assert count == {"C": 19, "I": 26, "B": 19, "M": 65}
    assert sum(cells == "CBIM" for cells in table_a3().values()) == 16
    assert sum(cells == "...M" for cells in table_a3().values()) == 42


def test_the_161_rules_to_union70():
    expected = {
        "cityscapes": named(CITYSCAPES_19, CITYSCAPES_TRAIN_IDS),
        "idd": named(IDD_26, IDD_LEVEL3_IDS),
        "bdd100k": named(CITYSCAPES_19, [*range(19), 255]),
        "mapillary-v1.2": named(MAPILLARY_65, [*range(65), 255]),
    }
    assert sum(map(len, expected.values())) == 161
    assert mapped_spaces("union70") == tuple(sorted(expected))
    for raw, rules in expected.items():
        assert rules_by_position(raw, "union70") == rules, raw


@pytest.mark.parametrize(("letter", "raw"), LETTERS.items())
def test_rules_to_union70_follow_from_training_spaces_and_names(letter, raw):
    derived = compose(load_mapping(raw, TRAIN[letter]), by_name(load_space(TRAIN[letter]), load_space("union70")))
    assert derived == load_mapping(raw, "union70")


def test_raw_to_training_spaces():
    assert rules_by_position("cityscapes", "cityscapes19") == named(CITYSCAPES_19, CITYSCAPES_TRAIN_IDS)
    assert rules_by_position("idd", "idd26") == named(IDD_26, IDD_LEVEL3_IDS)
    assert rules_by_position("bdd100k", "bdd19") == named(CITYSCAPES_19, [*range(19), 255])
    assert rules_by_position("mapillary-v1.2", "mapillary65") == named(MAPILLARY_65, [*range(65), 255])
    names123 = list(load_space("mapillary123").names)
    assert rules_by_position("mapillary-v2.0", "mapillary123") == named(names123, [*range(123), 255])
    assert rules_by_position("camvid-segnet", "camvid11") == named(CAMVID_11, [*range(11), 255])
    assert rules_by_position("camvid-32", "camvid11") == named(CAMVID_11, CAMVID_32_TO_11)


def test_mapillary_to_cityscapes_is_table_4():
    target_of = {label: name for name, labels in TABLE_4.items() for label in listed(labels)}
    assert len(target_of) == 33
    expected = [(target_of[name],) if name in target_of else () for name in MAPILLARY_65] + [()]
    assert rules_by_position("mapillary-v1.2", "cityscapes19") == expected
    assert sum(rule == () for rule in expected) == 33


def test_the_other_rules_to_cityscapes19():
    assert rules_by_position("idd", "cityscapes19") == named(CITYSCAPES_19, IDD_CS_TRAIN_IDS)
    assert load_mapping("bdd100k", "cityscapes19").rules == load_mapping("bdd100k", "bdd19").rules
    assert mapped_spaces("cityscapes19") == (
        "bdd100k", "camvid-32", "camvid-segnet", "cityscapes", "idd", "mapillary-v1.2", "mapillary-v2.0",
        "mapillary123", "mapillary65", "wilddash-public-02", "wilddash-v2p0",
    )  # fmt: skip


def test_camvid_to_cityscapes19_agrees_between_its_two_releases():
    """Each rule of the 11 groups names what the rules of its members among the 32 name."""
    fine, coarse = load_mapping("camvid-32", "cityscapes19"), load_mapping("camvid-segnet", "cityscapes19")
    group = load_mapping("camvid-32", "camvid11")
    name_of = {rule[0]: name for name, rule in load_mapping("camvid-segnet", "camvid11").rules.items() if rule}
    members: dict[str, set[str]] = {name: set() for name in coarse.source.names}
    for name, rule in fine.rules.items():
        members[name_of[group.rules[name][0]] if group.rules[name] else "Unlabelled"] |= set(rule)
    assert {name: set(rule) for name, rule in coarse.rules.items()} == members


@pytest.mark.parametrize(("letters", "size"), {"CIBM": 70, "CIB": 28, "IBM": 70, "CIM": 70, "CBM": 67}.items())
def test_leave_one_out_unions(letters, size):
    assert len(naive_union(load_space(TRAIN[x]) for x in letters)) == size


def test_the_union_of_all_four_is_union70():
    union = naive_union(load_space(TRAIN[x]) for x in "CIBM")
    assert union == load_space("union70"), "name, ids, names and colours"


@pytest.mark.parametrize("letters", ["".join(s) for n in range(1, 6) for s in itertools.combinations("CIBMV", n)])
def test_every_set_of_data_sets_has_a_union(letters):
    spaces = [load_space(TRAIN[x]) for x in letters]
    union = naive_union(spaces)
    assert list(union.names) == sorted(set().union(*(s.names for s in spaces)))
    assert len({c.color for c in union.classes}) == len(union)


def test_a_table_lookup_says_what_the_rules_say():
    mapping = load_mapping("cityscapes", "union70")
    names = load_space("union70").names
    table = mapping.compile({(): 255} | {(n,): i for i, n in enumerate(names)})
    assert table.dtype == np.uint8 and table.shape == (256,)
    assert names[table[7]] == "road" and names[table[26]] == "car"
    assert table[255] == table[0] == table[9] == 255, "license plate, unlabeled, parking"


# The same table as it is printed: id, class, labels.
PRINTED_TABLE_4 = """
0 | Road | Road, Bike Lane, Crosswalk plain, Rail Track, Service Lane, Lane Marking Crosswalk, Lane Marking General
1 | Sidewalk | Sidewalk, Curb, Curb cut
2 | Building | Building
3 | Wall | Wall
4 | Fence | Fence, Guard Rail, Barrier
5 | Pole | Pole, Utility Pole, Traffic Sign Frame
6 | Traffic light | Traffic Light
7 | Traffic sign | Traffic Sign Front
8 | Vegetation | Vegetation
9 | Terrain | Terrain
10 | Sky | Sky
11 | Person | Person
12 | Rider | Bicyclist, Motorcyclist, Other Rider
13 | Car | Car Other Vehicle
14 | Truck | Truck
15 | Bus | Bus
16 | Train | N/A
17 | Motorcycle | Motorcycle
18 | Bicycle | Bicycle
"""
#: What is printed → the labels of the config's readable names that it is read as.
READ_AS = {
    "Car Other Vehicle": ["car", "other vehicle"],  # a comma is lost
    "Traffic Sign Front": ["traffic sign"],  # "Traffic Sign (Front)", which our spaces shorten
    "Crosswalk plain": ["crosswalk - plain"],
    "Lane Marking Crosswalk": ["lane marking - crosswalk"],
    "Lane Marking General": ["lane marking - general"],
    "N/A": [],
}


def test_table_4_as_printed_rule_by_rule():
    rows = [[cell.strip() for cell in line.split("|")] for line in PRINTED_TABLE_4.strip().splitlines()]
    assert [(int(i), name.lower()) for i, name, _ in rows] == list(enumerate(CITYSCAPES_19))
    printed = [(name.lower(), label.strip()) for _, name, labels in rows for label in labels.split(",")]
    assert set(READ_AS) <= {label for _, label in printed}
    expected = {read: (name,) for name, label in printed for read in READ_AS.get(label, [label.lower()])}
    assert len(expected) == 33 and set(expected) <= set(MAPILLARY_65)
    readable = load_mapping("mapillary-v1.2", "mapillary65").rules
    for raw, rule in load_mapping("mapillary-v1.2", "cityscapes19").rules.items():
        assert rule == (expected.get(readable[raw][0], ()) if readable[raw] else ()), raw
    assert load_mapping("mapillary65", "cityscapes19").rules == {n: expected.get(n, ()) for n in MAPILLARY_65}
