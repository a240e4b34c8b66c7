"""Means of IoU: against cityscapesScripts on raw files, against sums by hand; classes of mIoU* and mIoU†."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import checkpoint, evaluate  # noqa: E402
from trainers.data import Samples, normalized  # noqa: E402
from trainers.evaluate import Means, report  # noqa: E402
from unify import stats  # noqa: E402
from unify.build import build  # noqa: E402
from unify.classlists import rarer, read_names, vulnerable  # noqa: E402
from unify.cli import run  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.influence import Influences  # noqa: E402
from unify.influence_files import write_influences  # noqa: E402
from unify.sample import write_streets  # noqa: E402
from unify.spaces import LabelClass, LabelSpace  # noqa: E402

from . import nets  # noqa: E402
from .test_trainers_evaluate import saved  # noqa: E402
from .worlds import plan_of  # noqa: E402


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C", "I"], images=3, seed=4, size=0.06)
    return folder


@pytest.fixture(scope="module")
def artifact(raw):
    """In the order of cityscapesScripts, in which it adds up."""
    return build(plan_of(raw / "raw", "C", "cityscapes19"), raw / "out").artifact


@pytest.fixture(scope="module")
def both(raw):
    return build(plan_of(raw / "raw", "C,I"), raw / "both").artifact


# --- cityscapesScripts ----------------------------------------------------------------------------------------

#: Its labels that are evaluated: id -> name.
EVALUATED = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(raw, artifact, tmp_path_factory):
    """Checkpoint; (prediction, truth) files of the training images as cityscapesScripts takes them: its own ids."""
    folder = tmp_path_factory.mktemp("predictions")
    with pytest.MonkeyPatch.context() as patch:
        nets.install(patch.setitem)
        path = saved(artifact.taxonomy, folder / "run", method="ce")
        net = checkpoint.net_of(checkpoint.load(path))
    samples = Samples(build_index([artifact]), None)
    id_of = {name: number for number, name in EVALUATED.items()}
    ids = np.array([id_of[name] for name in samples.index.classes], np.uint8)
    found = []
    for row in range(len(samples)):
        if samples.index.shards[samples.index.shard[row]].split != "train":
            continue
        sample = samples[row]
        with torch.no_grad():
            answer = net(normalized(sample.image_chw[None]))[0].argmax(0).numpy()
        stem = str(samples.index.sample_id[row]).rpartition("/")[2]
        (truth,) = (raw / "raw").rglob(f"{stem}_gtFine_labelIds.png")
        Image.fromarray(ids[answer]).save(folder / f"{stem}.png")
        found.append((folder / f"{stem}.png", truth))
    assert len(found) >= 3
    return path, found


def its_scores(pairs) -> tuple[dict[str, float], float]:
    """evalPixelLevelSemanticLabeling.py, in its order of operations: IoU of each label, and their mean."""
    matrix = np.zeros((34, 34), np.ulonglong)
    for prediction, truth in pairs:
        for t, p in zip(np.array(Image.open(truth)).ravel(), np.array(Image.open(prediction)).ravel(), strict=True):
            matrix[t, p] += np.ulonglong(1)
    scores = {}
    for label, name in EVALUATED.items():
        tp = np.longlong(matrix[label, label])
        fn = np.longlong(matrix[label, :].sum()) - tp
        fp = np.longlong(matrix[[other for other in EVALUATED if other != label], label].sum())
        scores[name] = float("nan") if tp + fp + fn == 0 else float(tp) / (tp + fp + fn)
    valid, total = 0, 0.0
    for score in scores.values():
        if not math.isnan(score):
            valid += 1
            total += score
    return {name: float(score) for name, score in scores.items()}, float(total / valid)


def test_scores_are_those_of_cityscapes_scripts_to_the_last_digit(artifact, pairs):
    """Of the raw labels with its ids, and of our version: nothing is rounded in between."""
    path, files = pairs
    found = evaluate.evaluate(path, artifact, split="train")
    scores, mean = its_scores(files)
    there = {name: score for name, score in scores.items() if not math.isnan(score)}
    assert {name: v for name, v in found["iou"].items() if v is not None} == there
    assert found["miou"] == mean and len(there) > 8 and 0 < mean < 1


def test_scores_are_those_of_the_package_itself(artifact, pairs, tmp_path, monkeypatch):
    package = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    path, files = pairs
    for key, value in {"quiet": True, "JSONOutput": False, "evalInstLevelScore": False}.items():
        monkeypatch.setattr(package.args, key, value)
    theirs = package.evaluateImgLists([str(p) for p, _ in files], [str(t) for _, t in files], package.args)
    found = evaluate.evaluate(path, artifact, split="train")
    scores = {name: score for name, score in theirs["classScores"].items() if not math.isnan(score)}
    assert {name: v for name, v in found["iou"].items() if v is not None} == scores
    assert found["miou"] == theirs["averageScoreClasses"]


@pytest.mark.parametrize("seed", range(20))
def test_means_add_up_one_after_the_other(seed):
    """As a plain loop does; pairwise and compensated sums differ in the last digit for some of these."""
    rng = np.random.default_rng(seed)
    confusion = rng.integers(0, 10**9, (70, 70))
    total = 0.0
    for k in range(70):
        total += int(confusion[k, k]) / int(confusion[k].sum() + confusion[:, k].sum() - confusion[k, k])
    assert evaluate.ratios(confusion, [str(k) for k in range(70)])["miou"] == total / 70


# --- Which classes --------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")
#: IoU of a is 4/6, of b 3/5; c and d are absent.
CONFUSION = np.array([[4, 1, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_means_by_hand():
    found = report({"x": CONFUSION}, NAMES, Means("skip", ("b",), ("a", "c")))
    assert found["miou"] == (4 / 6 + 3 / 5) / 2 and found["miou_star"] == 3 / 5 and found["miou_dagger"] == 4 / 6
    zero = report({"x": CONFUSION}, NAMES, Means("zero", ("b",), ("a", "c")))
    assert zero["miou"] == (4 / 6 + 3 / 5) / 4 and zero["miou_star"] == 3 / 5 and zero["miou_dagger"] == 4 / 6 / 2
    assert zero["iou"]["c"] is None and zero["sources"]["x"]["miou"] == zero["miou"]
    only = Means("zero", ("b", "d"), ("c",), {"x": ("a", "b", "c")})
    told = report({"x": CONFUSION}, NAMES, only)
    assert told["miou"] == pytest.approx((4 / 6 + 3 / 5) / 3) and told["miou_star"] == 3 / 5
    assert told["miou_dagger"] == 0
    plain = report({"x": CONFUSION}, NAMES)
    assert "miou_star" not in plain and "miou_dagger" not in plain
    assert report({"x": CONFUSION}, NAMES, Means("skip", (), ("c",)))["miou_dagger"] is None


def test_zero_counts_what_a_source_annotates(both, tmp_path):
    """A class that no image of the source could have shown is not one that was missed."""
    path = saved(both.taxonomy, tmp_path)
    skip, zero = (evaluate.evaluate(path, both, absent=absent) for absent in ("skip", "zero"))
    assert skip["confusion"] == zero["confusion"] and skip["absent"] == "skip" and zero["absent"] == "zero"
    annotated = dict(zip(both.taxonomy.sources, both.taxonomy.null_mask, strict=True))
    every = np.logical_or.reduce(list(annotated.values()))
    ious = [v for v in zero["iou"].values() if v is not None]
    assert zero["miou"] == pytest.approx(sum(ious) / every.sum()) and skip["miou"] == pytest.approx(np.mean(ious))
    assert zero["miou"] < skip["miou"]
    for source in zero["sources"]:
        assert zero["sources"][source]["miou"] <= skip["sources"][source]["miou"]


@pytest.mark.parametrize("by", ["images", "pixels"])
def test_the_rarer_half_is_that_of_the_statistics(both, by):
    """Of stats.parquet, against the counts of the images themselves."""
    groups = stats.statistics(both, stats.chosen_parts(both.manifest, splits=["train"]))
    half = stats.least_frequent_half(groups[0].counts.of_classes(by))
    names = both.taxonomy.space.names
    assert rarer(both, by) == tuple(n for n, is_rare in zip(names, half, strict=True) if is_rare) != ()
    assert rarer(both, by, "nights") == ()


def test_rare_and_vulnerable_classes_are_reported(both, tmp_path):
    path = saved(both.taxonomy, tmp_path)
    found = evaluate.evaluate(path, both, vulnerable=["car", "sky"], rare_by="pixels")
    assert found["vulnerable"] == ["car", "sky"] and found["rare"] == list(rarer(both, "pixels"))
    for key, names in (("miou_star", found["vulnerable"]), ("miou_dagger", found["rare"])):
        ious = [v for name, v in found["iou"].items() if name in names and v is not None]
        assert found[key] == pytest.approx(np.mean(ious))
    with pytest.raises(UnifyError) as caught:
        evaluate.evaluate(path, both, vulnerable=["cra", "sky", "moon"])
    assert "did you mean 'car'" in str(caught.value) and len(caught.value.problems) == 2


def test_names_of_classes_from_files(tmp_path, artifact):
    space = artifact.taxonomy.space
    (tmp_path / "a.txt").write_text("car\n\n sky \n")
    (tmp_path / "a.json").write_text(json.dumps(["car", "sky"]))
    (tmp_path / "b.json").write_text(json.dumps({"1": "sky", "0": "car"}))
    for name in ("a.txt", "a.json", "b.json"):
        assert read_names(tmp_path / name) == vulnerable(str(tmp_path / name), space) == ("car", "sky")
    assert vulnerable("car, sky,car", space) == ("car", "sky")
    bad = {"c.json": '{"1": "sky"}', "d.json": "[1]", "e.txt": "", "f.txt": "car\ncar\n", "g.json": "[", "h.json": "{}"}
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UnifyError) as caught:
            read_names(tmp_path / name)
        assert caught.value.exit_code == 78 and len(str(caught.value).splitlines()) == 1, name
    (tmp_path / "i.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("i.txt", "none.txt"):
        with pytest.raises(UnifyError):
            read_names(tmp_path / name)


def test_the_most_vulnerable_of_an_influence_folder(tmp_path, artifact):
    """The first nine that the space has, by the mean of what the three others of most influence take from each."""
    space = artifact.taxonomy.space
    classes = ("moon", *space.names)
    takes = np.random.default_rng(0).random((1, 20, 20))
    write_influences(Influences("cosine", classes, {"cosine": takes}, {}, {"checkpoint": "1f"}), tmp_path / "i")

    def lost(name: str) -> float:
        c = classes.index(name)
        return sum(sorted(takes[0, j, c] for j in range(20) if j != c)[-3:])

    expected = sorted(space.names, key=lost, reverse=True)[:9]
    assert vulnerable(str(tmp_path / "i"), space) == tuple(expected)
    with pytest.raises(UnifyError, match="is of no class of mars"):
        vulnerable(str(tmp_path / "i"), LabelSpace("mars", (LabelClass(0, "crater", (1, 2, 3)),)))
    with pytest.raises(UnifyError, match="holds no manifest"):
        vulnerable(str(tmp_path), space)


# --- The command ----------------------------------------------------------------------------------------------


def test_the_command_tells_all_means(both, tmp_path, capsys):
    path = str(saved(both.taxonomy, tmp_path))
    given = ["evaluate", path, "--data", str(both.path), "--vulnerable", "car,sky", "--absent", "zero"]
    assert run([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["vulnerable"] == ["car", "sky"] and found["miou_star"] is not None and found["absent"] == "zero"
    assert run(given) == 0
    out = capsys.readouterr().out
    assert f"mIoU* {100 * found['miou_star']:.2f} %, mIoU† {100 * found['miou_dagger']:.2f} %" in out
    assert "car *" in out and "absent classes count as 0" in out
    assert run([*given, "--vulnerable", "cra"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no class 'cra' in union28 (did you mean 'car'?)" in line


def test_erased_sets_are_scored_as_unify_robustness_does(artifact, tmp_path, capsys):
    path = str(saved(artifact.taxonomy, tmp_path / "run"))
    data = str(artifact.path)
    erased = ["erase", data, "--classes", "road", "--labels", "void", "--split", "val", "--out", str(tmp_path / "out")]
    assert run([*erased, "--json"]) == 0
    unbiased = ["--unbiased", json.loads(capsys.readouterr().out)["path"]]
    assert run(["evaluate", path, "--data", data, *unbiased, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["robustness"]
    assert run(["robustness", path, "--data", data, *unbiased, "--json"]) == 0
    assert found == json.loads(capsys.readouterr().out)
    assert run(["evaluate", path, "--data", data, *unbiased]) == 0
    assert "I*" in capsys.readouterr().out
    assert run(["evaluate", path, "--data", data, *unbiased, "--classes", "cityscapes19"]) == 2
    assert "leave it out: checkpoints of unify know their classes" in capsys.readouterr().err
