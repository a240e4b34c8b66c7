"""The table of concepts against the label spaces."""

from __future__ import annotations

import pytest

from unify.mapping import load_mapping
from unify.sample.concepts import load_concepts
from unify.sample.texture import GRAIN, PATTERNS
from unify.spaces import load_space

SPACES = (
    *("cityscapes", "idd", "bdd100k", "mapillary-v1.2", "mapillary-v2.0", "camvid-32", "camvid-segnet"),
    *("wilddash-v2p0", "wilddash-public-02"),
)

#: Raw classes that no street shows: licence plates are in Cityscapes' polygon files only, four of Mapillary's
#: are of images that were annotated for their markings alone, and three of WildDash's for want of knowing better.
NEVER = {
    "cityscapes": {"license plate"},
    "mapillary-v2.0": {
        "marking-only--continuous--dashed",
        "marking-only--discrete--crosswalk-zebra",
        "marking-only--discrete--other-marking",
        "marking-only--discrete--text",
    },
    "wilddash-v2p0": {"rider", "trafficsignany", "curbterrain"},
}


def test_every_space_has_its_column():
    assert load_concepts().spaces == SPACES


@pytest.mark.parametrize("space", SPACES)
def test_concepts_are_called_what_the_space_has(space):
    concepts, known = load_concepts(), load_space(space)
    assert [name for name in concepts.raw_names(space) if name not in known.names] == []
    assert set(known.names) - set(concepts.raw_names(space)) == NEVER.get(space, set())


@pytest.mark.parametrize("space", SPACES)
def test_table_of_ids(space):
    concepts, known = load_concepts(), load_space(space)
    table = concepts.raw_ids(space)
    by_name = {c.name: c.id % 256 for c in known.classes}
    for index, concept in enumerate(concepts.concepts):
        assert table[index] == by_name[concept.raw[space]]
    assert not table[len(concepts) :].any()


def test_both_columns_of_camvid_agree():
    grouping = load_mapping("camvid-32", "camvid11").rules
    for concept in load_concepts().concepts:
        (grouped,) = grouping[concept.raw["camvid-32"]] or ("Unlabelled",)
        assert grouped.casefold() == concept.raw["camvid-segnet"].casefold(), concept.name


@pytest.mark.parametrize("target", ["cityscapes19", "wilddash26"])
def test_both_releases_of_wilddash_agree(target):
    """What the early release keeps apart, it names so that it goes where the later one goes."""
    late, early = (load_mapping(space, target).rules for space in ("wilddash-v2p0", "wilddash-public-02"))
    for concept in load_concepts().concepts:
        assert late[concept.raw["wilddash-v2p0"]] == early[concept.raw["wilddash-public-02"]], concept.name


def test_policies_of_wilddash():
    """A few that tell it from Cityscapes: concept → v2p0, public_02."""
    concepts = load_concepts()
    told = {
        "van": ("van", "van"),
        "pickup": ("pickup", "pickup"),
        "street light": ("streetlight", "streetlight"),
        "stop line": ("roadmarking", "road-marking"),
        "zebra stripe": ("crosswalkzebra", "road"),
        "ego vehicle": ("egovehicle", "ego vehicle"),
        "car mount": ("dashcammount", "ego vehicle"),
        "rectification border": ("overlay", "rectification border"),
        "tram": ("onrails", "on rails"),
        "motorcyclist": ("motorcyclist", "rider"),
        "autorickshaw": ("autorickshaw", "motorcycle"),
        "driveway": ("ground", "ground"),
        "traffic cone": ("static", "static"),
    }
    for concept, names in told.items():
        raw = concepts[concept].raw
        assert (raw["wilddash-v2p0"], raw["wilddash-public-02"]) == names


def test_names_and_textures():
    concepts = load_concepts()
    assert len(concepts) <= 256
    assert concepts.index("unlabeled") == 0
    for concept in concepts.concepts:
        assert concept.texture in {*GRAIN, *PATTERNS, "none"}
        assert all(0 <= channel <= 255 for channel in concept.colour)


def test_policies():
    """A few that tell the data sets apart."""
    concepts = load_concepts()

    def named(concept: str) -> list[str]:
        return [concepts[concept].raw[space] for space in SPACES[:4]]

    assert named("bicyclist") == ["rider", "rider", "rider", "human--rider--bicyclist"]
    assert named("curb") == ["sidewalk", "curb", "sidewalk", "construction--barrier--curb"]
    assert named("zebra stripe") == ["road", "road", "road", "marking--crosswalk-zebra"]
    assert named("sign back") == ["static", "obs-str-bar-fallback", "unknown", "object--traffic-sign--back"]
    assert named("tram") == ["train", "train", "train", "object--vehicle--on-rails"]
    assert named("guard rail") == ["guard rail", "guard rail", "unknown", "construction--barrier--guard-rail"]
    assert named("licence plate") == ["car", "license plate", "car", "object--vehicle--car"]
