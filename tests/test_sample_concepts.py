"""The table of concepts against the label spaces."""

from __future__ import annotations

import pytest

from unify.mapping import load_mapping
from unify.sample.concepts import load_concepts
from unify.sample.texture import GRAIN, PATTERNS
from unify.spaces import load_space

SPACES = ("cityscapes", "idd", "bdd100k", "mapillary-v1.2", "mapillary-v2.0", "camvid-32", "camvid-segnet")

#: Raw classes that no street shows: licence plates are in Cityscapes' polygon files only, and the other
#: four are of images that were annotated for their markings alone.
NEVER = {
    "cityscapes": {"license plate"},
    "mapillary-v2.0": {
        "marking-only--continuous--dashed",
        "marking-only--discrete--crosswalk-zebra",
        "marking-only--discrete--other-marking",
        "marking-only--discrete--text",
    },
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
