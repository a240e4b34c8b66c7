"""I and I*: against scoring every erased set from the beginning, and the command from sets to tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import checkpoint, loop, metrics  # noqa: E402
from trainers.data import Samples  # noqa: E402
from trainers.evaluate import confusion_of, evaluate, rows_of  # noqa: E402
from trainers.robustness import names_of, robustness_of, table_of  # noqa: E402
from trainers.settings import settings_of  # noqa: E402
from unify.artifact import open_artifact  # noqa: E402
from unify.build import build  # noqa: E402
from unify.cli import app  # noqa: E402
from unify.commit import commit  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.erase import Options, erasure, erasures  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.report.cases import largest_area  # noqa: E402
from unify.sample import write_streets  # noqa: E402
from unify.spaces import load_space  # noqa: E402
from unify.unbiased import find_sets, sets_of, target_of  # noqa: E402

from .worlds import plan_of  # noqa: E402

INFLUENCE = {
    "car": {"road": 0.5, "sky": 0.4, "building": 0.1},
    "person": {"sidewalk": 0.3, "road": 0.2},
    "traffic light": {"pole": 0.3, "car": 0.2},
    "sky": {"building": 0.1, "bus": 0.05},
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A version of 12 images, two nets that have learned a little of it, the folder of versions."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C", "I"], images=6, seed=1, size=0.06)
    artifact = build(plan_of(folder / "raw", "C,I"), folder / "out").artifact
    for method, name in (("ce", "base"), ("dropclass", "drop")):
        given = {"steps": 16, "batch": 4, "crop": 32, "lr": 5e-3, "classifier": "linear", "evaluate_split": "none"}
        loop.train([artifact], folder / "runs" / name, settings_of(method, given))
    return artifact, (folder / "runs" / "base", folder / "runs" / "drop"), folder


def made(artifact, out, options, influence=None):
    influence = INFLUENCE if influence is None else influence
    return [commit(one.job, out).artifact for one in erasures(artifact, influence, 2, options).values()]


@pytest.mark.parametrize(
    "options",
    [
        Options(labels="void", splits=("val",)),
        Options(fill="black", splits=("val",), only_touched=True),
        Options(labels="void", only_touched=True),
    ],
)
def test_every_class_on_its_own_set_scored_from_the_beginning(world, tmp_path, options):
    """Without what is saved: all images of the split, those of the set where it has them, erased pixels void."""
    artifact, runs, _ = world
    told = []
    found = robustness_of(runs, artifact, made(artifact, tmp_path, options), advance=lambda n, size: told.append(n))
    samples = Samples(build_index([artifact]), None)
    rows, names = rows_of(samples.index, "val"), list(samples.index.classes)
    passes = len(rows)
    for number, run in enumerate(runs):
        net, model = checkpoint.net_of(checkpoint.load(run)), found["models"][number]
        whole = evaluate(run, artifact)["iou"]
        shown = samples.index.present[rows].any(0)
        assert model["biased"] == {n: whole[n] for n, s in zip(names, shown, strict=True) if s}
        scored = {name for name, value in model["unbiased"].items() if value is not None}
        assert scored == set(INFLUENCE) and model["name"] == run.name
        for target, others in INFLUENCE.items():
            erased = [names.index(n) for n in list(others)[:2]]
            path = next((tmp_path).glob(f"*-for-{target.replace(' ', '-')}*"))
            without = Samples(build_index([open_artifact(path / "1.0.0")]), None)
            place = {str(s): i for i, s in enumerate(without.index.sample_id)}
            total = np.zeros((len(names), len(names)), np.int64)
            for row in rows.tolist():
                touched = samples.index.present[row, erased].any()
                source, at = (without, place[str(samples.index.sample_id[row])]) if touched else (samples, row)
                passes += touched * (number == 0)
                for confusion in confusion_of(net, source, np.array([at])).values():
                    total += confusion
            if options.labels == "keep":  # pixels of the erased classes count there: take them out
                total[erased] = 0
            c = names.index(target)
            assert model["unbiased"][target] == metrics.class_iou(total)[c], target
    assert sum(told) == passes
    table = found["table"]
    assert table == table_of(json.loads(json.dumps(found))).to_json()
    rows_of_table = {row["name"]: row["values"] for row in table["rows"]}
    assert rows_of_table["base (I*)"]["car"] == 100 * found["models"][0]["unbiased"]["car"]
    assert rows_of_table["erased for it (base)"]["traffic light"] == "car, pole"


def test_the_other_model_can_order_the_classes(world, tmp_path):
    artifact, runs, _ = world
    sets = made(artifact, tmp_path, Options(labels="void", splits=("val",)))
    orders = []
    for selecting in (0, 1):
        found = robustness_of(runs, artifact, sets, selecting=selecting, most=2, names=("a", "b"))
        model = found["models"][selecting]
        lost = {n: model["biased"][n] - v for n, v in model["unbiased"].items() if v is not None}
        assert found["table"]["columns"][: len(lost)] == sorted(lost, key=lambda n: -lost[n])
        orders.append(found["table"]["columns"])
        rows = {row["name"]: row["values"] for row in found["table"]["rows"]}
        most = sorted(lost, key=lambda n: -lost[n])[:2]
        assert rows["b (I)"]["mIoU*"] == pytest.approx(50 * sum(found["models"][1]["biased"][n] for n in most))
    assert orders[0] != orders[1]


def test_one_set_for_all_classes(world, tmp_path):
    artifact, runs, _ = world
    one = commit(erasure(artifact, ["road"], Options(labels="void", splits=("val",))).job, tmp_path).artifact
    found = robustness_of(runs[:1], artifact, one)
    model = found["models"][0]
    assert model["unbiased"]["road"] is None and model["unbiased"]["car"] is not None
    expected = evaluate(runs[0], one)["iou"]
    assert {n: v for n, v in model["unbiased"].items() if v is not None} == {
        n: expected[n] for n in model["biased"] if n != "road"
    }


def test_what_is_answered_where_something_was_erased_does_not_count(world, tmp_path):
    """Whether the labels there were kept or not; with them, scores would be others."""
    artifact, runs, _ = world
    found = {}
    for labels in ("keep", "void"):
        one = commit(erasure(artifact, ["road"], Options(labels=labels, splits=("val",))).job, tmp_path).artifact
        found[labels] = robustness_of(runs[:1], artifact, one)["models"][0]["unbiased"]
        counted = evaluate(runs[0], one)["iou"]
        differs = [n for n, v in found[labels].items() if v is not None and v != counted[n]]
        assert bool(differs) == (labels == "keep")
    assert found["keep"] == found["void"]


def test_sets_that_do_not_fit_are_refused_together(world, tmp_path):
    artifact, runs, _ = world
    sets = made(artifact, tmp_path, Options(splits=("val",)), {"car": {"road": 1.0}})
    again = made(artifact, tmp_path, Options(splits=("val",), fill="black"), {"car": {"road": 1.0}})
    alone = commit(erasure(artifact, ["sky"], Options()).job, tmp_path).artifact
    with pytest.raises(UnifyError) as caught:
        sets_of([*sets, *again, alone, artifact], artifact)
    said = [p.what for p in caught.value.problems]
    assert said[0].endswith("is no erased set") and "2 sets are for 'car'" in said
    assert "a set for any class beside sets for one class each" in said
    with pytest.raises(UnifyError, match="was not made from"):
        sets_of(sets, sets[0])
    with pytest.raises(UnifyError, match="there is no set"):
        sets_of([], artifact)
    only_train = commit(erasure(artifact, ["sky"], Options(splits=("train",))).job, tmp_path).artifact
    with pytest.raises(UnifyError, match=r"lacks .* images of the split"):
        robustness_of(runs[:1], artifact, only_train)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("x-erase-for-car", "car"),
        ("x-erase-for-traffic-light-black-void", "traffic light"),
        ("x-erase-for-train-void", "train"),
        ("x-erase-road", None),
        ("x-erase-for-nothing", None),
    ],
)
def test_the_name_says_which_class_a_set_is_for(name, target):
    assert target_of(name, load_space("cityscapes19")) == target


def test_every_class_of_every_space_is_found_again():
    from unify.erase import _name

    for space in map(load_space, ("cityscapes19", "union70", "camvid11", "mapillary65")):
        for options in (Options(), Options(fill="noise", labels="void")):
            for name in space.names:
                assert target_of(_name("cibm-erase", ["for", name], options), space) == name


def test_names_of_checkpoints(tmp_path):
    assert names_of([tmp_path / "a", tmp_path / "b" / "ckpt.pt"]) == ("a", "b")
    assert names_of([tmp_path / "x" / "a", tmp_path / "y" / "a"]) == (str(tmp_path / "x/a"), str(tmp_path / "y/a"))


def test_the_largest_area_is_framed():
    mask = np.zeros((40, 60), bool)
    assert largest_area(mask) is None
    mask[2:4, 2:4], mask[10:20, 30:50] = True, True
    assert largest_area(mask) == (8, 28, 22, 52)


# --- The command --------------------------------------------------------------------------------------------


def test_from_sets_to_tables(world, tmp_path):
    artifact, runs, folder = world
    out = folder / "out"
    made(artifact, out, Options(labels="void", splits=("val",)))
    prefix = f"{artifact.manifest.name}-erase"
    assert len(find_sets([prefix], out)) == 4
    with pytest.raises(UnifyError, match="is no version"):
        find_sets(["nothing"], out)
    base = ["robustness", *map(str, runs), "--data", artifact.manifest.name, "--root", str(out), "--unbiased", prefix]
    run = CliRunner()
    found = json.loads(run.invoke(app, [*base, "--json"], catch_exceptions=False).stdout)
    assert [m["name"] for m in found["models"]] == ["base", "drop"]
    text = run.invoke(app, base, catch_exceptions=False).stdout
    assert "base (I)" in text and "mIoU*" in text and "4 erased sets" in text
    markdown = run.invoke(app, [*base, "--format", "markdown"], catch_exceptions=False).stdout
    assert (
        markdown.startswith("|  | ") and markdown.count("\n| ") == 8
    )  # a head, a rule, three rows each, what is erased
    assert r"\toprule" in run.invoke(app, [*base, "--format", "latex"], catch_exceptions=False).stdout
    picture = tmp_path / "cases.png"
    run.invoke(app, [*base, "--picture", str(picture)], catch_exceptions=False)
    with Image.open(picture) as drawn:
        width, height = drawn.size
    assert width > 3 * 320 and height > 300
    assert run.invoke(app, [*base, "--selecting", "3"]).exit_code == 2
    assert run.invoke(app, [*base, "--name", "one"]).exit_code == 2
