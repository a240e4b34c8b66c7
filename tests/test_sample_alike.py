"""`unify sample --alike`: label shift without content shift, from the cards as they are dealt and files as written."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from unify.cli import run
from unify.errors import UnifyError
from unify.sample import write_streets
from unify.sample.looks import LOOKS
from unify.sample.world import deal

from .worlds import tree_bytes

FOUR = ("cityscapes", "idd", "bdd100k", "mapillary")
MANY = 600


def dealt(source, among, what):
    return Counter(getattr(card, what) for card in deal(source, "train", MANY, 3, LOOKS[source].small, among=among))


@pytest.mark.parametrize(("what", "weights"), [("kind", "kinds"), ("region", "regions"), ("weather", "weather")])
def test_each_shows_what_all_show_in_equal_shares(what, weights):
    due = Counter()
    for source in FOUR:
        own = getattr(LOOKS[source], weights)
        for name, weight in own.items():
            due[name] += weight / sum(own.values()) / len(FOUR)
    for source in FOUR:
        found = dealt(source, FOUR, what)
        for name, share in due.items():
            tolerance = 0.05 if what == "weather" else 0.01  # where it never snows, snow is sunshine
            assert found[name] / MANY == pytest.approx(share, abs=tolerance), (source, name)
        assert set(dealt(source, (), what)) <= set(getattr(LOOKS[source], weights))
    assert "bazaar" not in dealt("cityscapes", (), "kind"), "left to itself, it shows no Indian streets"


def test_what_has_one_dataset_is_what_it_was(tmp_path):
    write_streets(tmp_path / "a", ["C"], 1, 3, size=0.05)
    write_streets(tmp_path / "b", ["C"], 1, 3, size=0.05, alike=True)
    plain, alike = (tree_bytes(tmp_path / name) for name in "ab")
    assert json.loads(alike.pop("truth.json")) == {**json.loads(plain.pop("truth.json")), "alike": True}
    assert plain == alike


def test_it_is_another_sample(tmp_path, capfd):
    arguments = ["sample", str(tmp_path), "--datasets", "C,I", "--images", "1", "--scale", "0.05", "-j", "1"]
    assert run([*arguments, "--alike"]) == 0
    first = tree_bytes(tmp_path)
    assert run([*arguments, "--alike"]) == 0, "the same again"
    assert tree_bytes(tmp_path) == first
    assert run(arguments) != 0
    assert "holds another sample" in capfd.readouterr().err
    assert run([*arguments, "--force"]) == 0
    assert tree_bytes(tmp_path) != first


def test_where_there_are_no_streets(tmp_path):
    with pytest.raises(UnifyError, match="streets that are alike where there are no streets"):
        write_streets(tmp_path / "x", ["C", "voc"], 1, 0, alike=True)
    assert not (tmp_path / "x").exists()
