"""`unify demo`: which commands it is made of; whole, once, in a slow test."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from unify import cli
from unify.cli import app, demo

DATA = ["sample", "doctor", "build", "list", "verify", "stats", "view"]


@pytest.fixture
def told(monkeypatch):
    """The commands of a demo, none of them run."""
    said: list[list[str]] = []
    score = {"f1": 0.5, "average_precision": None, "precision": 0.5, "recall": 0.5, "true": 7}
    answers = {
        "relations": {"all": score, "paper": {"all": score}},
        "evaluate": {"sources": {name: {"miou": 0.25} for name in ("kitti", "wilddash", "camvid")}},
    }

    def run(context, *words):
        said.append([str(word) for word in words])

    def answer(context, *words):
        run(context, *words)
        return answers[words[0]]

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "_answer", answer)
    return said


def test_from_raw_roots_to_nets_on_unseen_streets(told):
    result = CliRunner().invoke(app, ["demo", "there"])
    assert result.exit_code == 0, result.output
    train, later = ["train"] * 2, ["build"] * 2 + ["evaluate"] * 4
    assert [words[0] for words in told] == [*DATA, "train", "relations", "relations", *train, *later]
    assert [words[1] for words in told if words[0] == "train"] == ["null-bce", "cr-bce", "null-bce"]
    first, related, control = (words[words.index("--steps") + 1] for words in told if words[0] == "train")
    assert related == control and int(first) > int(related), "as many steps more with relations as without"
    assert "like KITTI" in result.output and "25.0" in result.output
    assert "+0.0 points by relations of which 50% are right" in result.output


@pytest.mark.parametrize("here", [True, False])
def test_without_training_it_ends_with_the_data(told, monkeypatch, here):
    monkeypatch.setattr(demo, "find_spec", lambda name: object() if here else None)
    result = CliRunner().invoke(app, ["demo", "there", *(["--steps", "0"] if here else [])])
    assert result.exit_code == 0, result.output
    assert [words[0] for words in told] == DATA
    assert ("no torch here" in result.output) is not here


@pytest.mark.parametrize("code", [3, 76])
def test_it_ends_where_a_step_does_with_its_code(monkeypatch, capsys, code):
    ends = dict.fromkeys(DATA[:4], 0) | {"verify": code}
    for name, value in ends.items():
        monkeypatch.setattr(app.commands[name], "callback", lambda value=value, **_: value)
    assert cli.run(["demo", "there"]) == code
    assert "unify verify" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
def test_the_whole_of_it(tmp_path):
    pytest.importorskip("torch")
    words = ["demo", str(tmp_path), "--images", "4", "--steps", "6"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "C-R BCE, with these relations" in result.output
    assert (tmp_path / "relations" / "graph.png").is_file() and (tmp_path / "sheet.png").is_file()
