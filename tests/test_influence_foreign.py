"""Influences and robustness of nets of other people: those of our own net that they are copies of."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainers import influence_sweep, robustness  # noqa: E402
from unify.cli import run  # noqa: E402
from unify.commit import commit  # noqa: E402
from unify.erase import Options, erasures  # noqa: E402

from .test_trainers_foreign import artifact, bare, fault, names_file, own, tiny_nets, written  # noqa: E402, F401


@pytest.mark.parametrize(("name", "by"), [("net.ts", "erase"), ("net.pt2", "erase"), ("net.ts", "gradient")])
def test_influences_are_those_of_the_net_that_it_is_of(artifact, tmp_path, name, by):  # noqa: F811
    """Its classes turned round: they are matched by name."""
    path = own(artifact, tmp_path / "own")
    order = list(range(len(artifact.taxonomy.space)))[::-1]
    theirs = written(bare(path, order), tmp_path / name)
    names = names_file(artifact.taxonomy.space.names[::-1], tmp_path)
    found = influence_sweep.influence_of(theirs, artifact, by=by, classes=names)
    expected = influence_sweep.influence_of(path, artifact, by=by)
    assert found.classes == expected.classes == artifact.taxonomy.space.names
    for field, sums in expected.sums.items():
        np.testing.assert_allclose(found.sums[field], sums, rtol=1e-5 if by == "gradient" else 0)
    assert any(sums.any() for sums in found.sums.values())
    assert found.made_from["checkpoint"] != expected.made_from["checkpoint"]


def test_robustness_beside_our_own(artifact, tmp_path):  # noqa: F811
    path = own(artifact, tmp_path / "own")
    theirs = written(bare(path), tmp_path / "net.ts")
    names = names_file(artifact.taxonomy.space.names, tmp_path)
    influence = {"road": {"car": 0.5}, "sky": {"road": 0.5}}
    made = erasures(artifact, influence, 1, Options(labels="void", splits=("val",)))
    sets = [commit(one.job, tmp_path / "out").artifact for one in made.values()]
    found = robustness.robustness_of([path, theirs], artifact, sets, classes=names)
    ours, other = found["models"]
    assert ours["biased"] == other["biased"] and ours["unbiased"] == other["unbiased"]
    assert any(v is not None for v in other["unbiased"].values())
    assert other["method"] == "foreign"
    said = fault(lambda: robustness.robustness_of([path], artifact, sets, classes=names))
    assert "is for nets of other people" in said
    assert "does not say what its classes are" in fault(lambda: robustness.robustness_of([theirs], artifact, sets))


def test_the_commands_take_them(artifact, tmp_path, capsys):  # noqa: F811
    path = own(artifact, tmp_path / "own")
    theirs, data = str(written(bare(path), tmp_path / "net.ts")), str(artifact.path)
    named = ["--classes", names_file(artifact.taxonomy.space.names, tmp_path)]
    out = tmp_path / "influence"
    given = ["influence", "--from-model", theirs]
    assert run([*given, *named, "--data", data, "-o", str(out), "--json"]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    assert run([*given, "--data", data]) == 2 and "does not say what its classes are" in capsys.readouterr().err
    assert run([*given, "--by", "cosine"]) == 2 and "is of other people" in capsys.readouterr().err
    assert run([*given, *named, "--by", "cosine"]) == 2 and "takes checkpoints of unify only" in capsys.readouterr().err

    assert any(top.values())

    sets = ["erase", data, "--influence", str(out / "influence.json"), "--labels", "void", "--split", "val"]
    assert run([*sets, "-o", str(tmp_path / "sets"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)[0]["path"]
    picture = str(tmp_path / "cases.png")
    words = ["--data", data, "--unbiased", made, *named]
    assert run(["robustness", theirs, str(path), *words, "--picture", picture, "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert models[0]["unbiased"] == models[1]["unbiased"]
    assert run(["evaluate", theirs, *words, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)["robustness"]["models"]
    assert scored[0]["unbiased"] == models[0]["unbiased"]
