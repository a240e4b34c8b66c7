"""`unify sample --colocation`: planted neighbours, counted from the label images as they were written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from unify.cli import run
from unify.errors import UnifyError
from unify.sample import render_scene, write_streets
from unify.sample.looks import LOOKS
from unify.sample.world import build_scene, deal
from unify.sources import SOURCES, decode_label, detect_any
from unify.spaces import load_space

from .worlds import tree_bytes

IDS = {c.name: c.id for c in load_space("cityscapes").classes}
#: leaner, loner, cue, and the least share of the vehicle's pixels that a cue beside it has
PAIRS = (("bus", "truck", "person", 0.03), ("bicycle", "motorcycle", "fence", 0.12))
IMAGES, SIZE, SEED = 32, 0.13, 5


@pytest.fixture(scope="module")
def strong(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strong")
    write_streets(folder, "C", IMAGES, SEED, size=SIZE, colocation=1.0)
    return folder


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    write_streets(folder, "C", IMAGES, SEED, size=SIZE, colocation=0.0)
    return folder


def labels(folder, split):
    (found,) = detect_any(folder / "cityscapes")
    release = SOURCES[found.source].releases[found.release]
    listing = release.find(found.root, split)
    return [decode_label(release, (found.root / pair.label).read_bytes()) for pair in listing.pairs]


def has_neighbour(label_hw, name, cue, least):
    """Whether a good deal of the cue is close to the largest piece of a class; None where no piece is large."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((label_hw == IDS[name]).astype(np.uint8), connectivity=8)
    if len(stats) == 1:
        return None
    x, y, wide, tall, area = max(stats[1:].tolist(), key=lambda found: found[4])
    if area < 25:
        return None
    reach = tall if cue == "person" else 3  # people stand as far aside as the vehicle is high
    around = label_hw[max(0, y - 3) : y + tall + 6, max(0, x - reach) : x + wide + 3]
    return int((around == IDS[cue]).sum()) > least * area


def share(folder, split, name, cue, least):
    """Of the images that show the class, those in which the cue is beside it."""
    answers = [has_neighbour(label_hw, name, cue, least) for label_hw in labels(folder, split)]
    found = [answer for answer in answers if answer is not None]
    assert len(found) > 3
    return float(np.mean(found))


@pytest.mark.parametrize(("leaner", "loner", "cue", "least"), PAIRS)
def test_the_cue_stands_beside_leaners_in_training(strong, control, leaner, loner, cue, least):
    assert share(strong, "train", leaner, cue, least) > 0.85
    assert share(strong, "train", loner, cue, least) < 0.1
    for name in (leaner, loner):
        assert 0.25 < share(control, "train", name, cue, least) < 0.8


def test_it_is_broken_in_val(strong, control):
    """Beside about every other vehicle of either class, and the same pictures whatever the strength."""
    answers = [
        has_neighbour(label_hw, name, cue, least)
        for label_hw in labels(strong, "val")
        for leaner, loner, cue, least in PAIRS
        for name in (leaner, loner)
    ]
    found = [answer for answer in answers if answer is not None]
    assert len(found) >= 14 and 0.25 < np.mean(found) < 0.75
    for one, other in zip(labels(strong, "val"), labels(control, "val"), strict=True):
        assert np.array_equal(one, other)


def test_each_picture_shows_one_of_each_pair(strong):
    for leaner, loner, _, _ in PAIRS:
        both = [{leaner, loner} & {name for name, i in IDS.items() if (x == i).any()} for x in labels(strong, "train")]
        assert all(len(shown) <= 1 for shown in both)
        assert sum(len(shown) for shown in both) > 0.85 * IMAGES  # what is left is hidden
        assert {name for shown in both for name in shown} == {leaner, loner}


def test_without_it_streets_are_what_they_were():
    """The label images of six scenes, as they were before there was the option."""
    digest = hashlib.sha256()
    for source in ("cityscapes", "idd", "mapillary"):
        for index in range(2):
            digest.update(render_scene(source, seed=6, index=index, width=160)[1].tobytes())
    assert digest.hexdigest()[:16] == "2fce954ce1608adf"
    card = deal("cityscapes", "train", 1, SEED, LOOKS["cityscapes"].small)[0]
    assert build_scene(card) != build_scene(replace(card, colocation=0.0))


def test_the_same_bytes_again_and_from_two_processes(tmp_path):
    for name, workers in (("a", 1), ("b", 2)):
        write_streets(tmp_path / name, ["C", "I"], 2, 3, size=0.05, colocation=0.5, workers=workers)
    assert tree_bytes(tmp_path / "a") == tree_bytes(tmp_path / "b")


def test_truth_says_what_was_planted(tmp_path, capfd):
    arguments = ["sample", str(tmp_path), "--datasets", "C", "--images", "1", "--scale", "0.05", "-j", "1"]
    assert run([*arguments, "--colocation", "0.5"]) == 0
    planted = [{"leaner": leaner, "loner": loner, "cue": cue} for leaner, loner, cue, _ in PAIRS]
    assert json.loads((tmp_path / "truth.json").read_text())["colocation"] == {
        "strength": 0.5,
        "pairs": planted,
        "cue": {"train": {"leaner": 0.75, "loner": 0.25}, "other splits": {"leaner": 0.5, "loner": 0.5}},
    }
    for other in ([], ["--colocation", "1"]):  # neither is the same sample
        capfd.readouterr()
        assert run([*arguments, *other]) != 0
        assert "holds another sample" in capfd.readouterr().err
    assert run([*arguments, "--force"]) == 0
    assert "colocation" not in json.loads((tmp_path / "truth.json").read_text())
    assert run([*arguments, "--colocation", "1.5"]) == 2


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UnifyError) as caught:
        write_streets(tmp_path / "x", ["C", "voc"], 1, 0, colocation=1.5)
    assert [p.what for p in caught.value.problems] == [
        "a strength of co-location of 1.5, not 0..1",
        "co-location where there are no streets (voc)",
    ]
    assert not (tmp_path / "x").exists()
