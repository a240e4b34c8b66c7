"""Repeated runs and sweeps: their statistics, what is not done twice, and one seed that gives one result."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import loop, repeat, start  # noqa: E402
from trainers.repeat import Spread, parse_sweep, printed, seeds, spread  # noqa: E402
from trainers.repeat_plot import plot  # noqa: E402
from trainers.settings import settings_of  # noqa: E402
from unify.build import build  # noqa: E402
from unify.cli import run  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.papers.tables import load_tables  # noqa: E402
from unify.sample import write_streets  # noqa: E402

from . import nets  # noqa: E402
from .worlds import plan_of  # noqa: E402

GIVEN = {"model": "cosine", "steps": 4, "batch": 2, "crop": 32, "lr": 0.01, "seed": 3}


@pytest.fixture(autouse=True)
def small_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C"], images=3, seed=1, size=0.06)
    return build(plan_of(folder / "raw", "C"), folder / "out").artifact


@pytest.fixture
def train(artifact):
    return lambda folder, settings: loop.train([artifact], folder, settings, resume=True)


# --- Numbers ------------------------------------------------------------------------------------------------


def test_spread_is_that_of_the_sample():
    values = np.random.default_rng(0).normal(0.77, 0.005, 10).tolist()
    found = spread(values)
    assert (found.n, found.min, found.max) == (10, min(values), max(values))
    assert found.mean == pytest.approx(np.mean(values), rel=1e-14)
    assert found.variance == pytest.approx(statistics.variance(values), rel=1e-12)
    assert found.std == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert spread([0.5]) == Spread(1, 0.5, 0.5, 0.5, 0.0, 0.0)


def test_it_is_printed_as_table_2_prints_it():
    """Each row's figures, taken for ours, come out with the same digits."""
    table = load_tables()["cpp-2"]
    assert len(table.rows) == 8
    for row in table.rows:
        texts = [figure.text for figure in (*row.values.values(), *row.printed.values())]
        assert len(texts) == 5
        low, high, mean, variance, std = map(float, texts)
        assert printed(Spread(10, low / 100, high / 100, mean / 100, variance / 1e4, std / 100)) == texts


def test_seeds():
    assert seeds(9802, 3, same=True) == [9802] * 3 and seeds(7, 3, same=False) == [7, 8, 9]


def test_a_sweep_is_read():
    table_1 = [f"{k / 10:g}" for k in range(1, 11)]
    assert parse_sweep("aux_weight=0.1:1:0.1") == ("aux_weight", table_1) == parse_sweep("aux_weight=0.1:1.0:0.10")
    assert parse_sweep("batch=2:9:3") == ("batch", ["2", "5", "8"])
    assert parse_sweep("optimizer=sgd, adamw") == ("optimizer", ["sgd", "adamw"])
    assert parse_sweep("lr=1:1:5") == ("lr", ["1"])


@pytest.mark.parametrize(
    "text", ["", "lr", "lr=", "=1,2", "lr=1:2", "lr=1:2:0", "lr=2:1:1", "lr=a:b:c", "lr=0:1:1e-9", "lr=1,,2", "lr=1,1",
             "lr=nan:1:1", "lr=0:inf:1"],
)  # fmt: skip
def test_what_is_no_sweep_is_refused(text):
    with pytest.raises(UnifyError) as caught:
        parse_sweep(text)
    assert caught.value.exit_code == 2 and len(caught.value.problems) == 1


# --- Runs ---------------------------------------------------------------------------------------------------


def test_one_seed_gives_one_result_and_others_do_not(train, tmp_path):
    settings = settings_of("ce", GIVEN)
    same = repeat.repeat(train, tmp_path / "same", settings, 3, same_seed=True)
    assert same["results"] == 1 and same["miou"]["std"] == 0 and [r["seed"] for r in same["runs"]] == [3, 3, 3]
    other = repeat.repeat(train, tmp_path / "other", settings, 3, same_seed=False)
    assert other["results"] == 3 and [r["seed"] for r in other["runs"]] == [3, 4, 5]
    assert other["runs"][0]["weights"] == same["runs"][0]["weights"], "the first has the seed itself"
    mious = [run["miou"] for run in other["runs"]]
    assert other["miou"]["mean"] == pytest.approx(statistics.fmean(mious)) and other["miou"]["n"] == 3
    assert json.loads((tmp_path / "other/summary.json").read_text()) == other
    for run_of, folder in zip(other["runs"], ("repeat-00", "repeat-01", "repeat-02"), strict=True):
        metrics = json.loads((tmp_path / "other" / folder / "metrics.json").read_text())
        assert (metrics["miou"], metrics["settings"]["seed"]) == (run_of["miou"], run_of["seed"])


def test_what_is_done_is_not_done_again(artifact, train, tmp_path):
    settings = settings_of("ce", {**GIVEN, "save_every": 1})
    steps = []

    class Stop(Exception):
        pass

    def interrupted(folder, chosen):
        def advance(count, size):
            steps.append((folder.name, count))
            if len(steps) == 8:  # begun with 0 steps each: in the third step of the second run
                raise Stop

        return loop.train([artifact], folder, chosen, resume=True, advance=advance)

    with pytest.raises(Stop):
        repeat.repeat(interrupted, tmp_path / "run", settings, 3, same_seed=False)
    assert not (tmp_path / "run/summary.json").exists()
    done = {f: f.read_bytes() for f in (tmp_path / "run/repeat-00").iterdir()}
    found = repeat.repeat(interrupted, tmp_path / "run", settings, 3, same_seed=False)
    assert steps[8:] == [
        ("repeat-00", 4),
        ("repeat-01", 2),
        *[("repeat-01", 1)] * 2,
        ("repeat-02", 0),
        *[("repeat-02", 1)] * 4,
    ]
    assert {f: f.read_bytes() for f in done} == done
    undisturbed = repeat.repeat(train, tmp_path / "whole", settings, 3, same_seed=False)
    assert [r["weights"] for r in found["runs"]] == [r["weights"] for r in undisturbed["runs"]]
    with pytest.raises(UnifyError, match=r"lr was 0\.01, not 0\.5"):
        repeat.repeat(train, tmp_path / "run", settings_of("ce", {**GIVEN, "lr": 0.5}), 3, same_seed=False)


def test_a_sweep_has_a_run_for_each_value(train, tmp_path):
    def change(name, text):
        return settings_of("ce", {**GIVEN, name: text})

    found = repeat.sweep(train, tmp_path / "one", change, "lr", ["0.001", "0.1"])
    assert [row["value"] for row in found["rows"]] == ["0.001", "0.1"] and found["setting"] == "lr"
    for row in found["rows"]:
        metrics = json.loads((Path(row["path"]) / "metrics.json").read_text())
        assert metrics["settings"]["lr"] == float(row["value"]) and metrics["miou"] == row["miou"]["mean"]
        assert row["miou"]["n"] == 1
    assert json.loads((tmp_path / "one/table.json").read_text()) == found
    with Image.open(tmp_path / "one/table.png") as picture:
        assert picture.size == (720, 360)
    several = repeat.sweep(train, tmp_path / "several", change, "lr", ["0.001", "0.1"], count=2)
    assert [row["miou"]["n"] for row in several["rows"]] == [2, 2]
    assert (tmp_path / "several/lr=0.1/repeat-01/ckpt.pt").exists()
    with pytest.raises(UnifyError, match="lr is -1"):
        repeat.sweep(train, tmp_path / "bad", change, "lr", ["0.1", "-1"])
    assert not (tmp_path / "bad").exists(), "all values are looked at before the first run"


def test_without_a_split_to_score_there_is_nothing_to_sum_up(train, tmp_path):
    with pytest.raises(UnifyError, match="no split 'none' to score on"):
        repeat.repeat(train, tmp_path, settings_of("ce", {**GIVEN, "evaluate_split": "none"}), 2, same_seed=True)


def test_dots_of_the_picture_lie_where_their_values_are():
    """A rising line of means: the dots' heights are in proportion, the greatest one is dark."""
    rows = [
        {"value": f"{x:g}", "miou": {"n": 3, "min": m - 0.01, "max": m + 0.01, "mean": m, "std": 0.01}}
        for x, m in ((0.1, 0.70), (0.2, 0.72), (0.4, 0.76))
    ]
    pixels = np.asarray(plot("aux_weight", rows)).astype(int)
    blue = (np.abs(pixels - (38, 98, 180)).sum(2) < 30) | (np.abs(pixels - (28, 28, 30)).sum(2) < 30)
    left, right = 76 + 24, 720 - 28 - 24
    at = [left + (right - left) * (x - 0.1) / 0.3 for x in (0.1, 0.2, 0.4)]
    heights = []
    for x in at:
        column = blue[70:, round(x) - 3]  # beside the thin line, within the dot
        heights.append(float(np.flatnonzero(column).mean()))
    assert (heights[0] - heights[1]) * 2 == pytest.approx(heights[1] - heights[2], abs=4)
    assert heights[0] > heights[1] > heights[2]


# --- The command --------------------------------------------------------------------------------------------


def test_the_command_repeats_and_sweeps(artifact, tmp_path, capsys):
    common = ["train", "ce", "--data", str(artifact.path), "--model", "cosine", "--batch", "2", "--crop", "32"]
    common += ["--steps", "2", "--set", "threads=1"]
    out = tmp_path / "same"
    assert run([*common, "--out", str(out), "--repeat", "2", "--same-seed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "all ended with the same bits" in lines and lines[-1] == str(out / "summary.json")
    (head,) = (line for line in lines if line.startswith("mIoU, %, same seed"))
    assert head.split()[-5:] == ["min", "max", "average", "var.", "std."]
    assert run([*common, "--out", str(out), "--repeat", "2", "--same-seed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == 1
    swept = [*common, "--out", str(tmp_path / "swept"), "--sweep", "lr=0.001:0.003:0.001"]
    assert run(swept) == 0
    text = capsys.readouterr().out
    assert "best mIoU at lr=0.00" in text and len([r for r in text.splitlines() if r.startswith("0.00")]) == 3
    assert run([*swept, "--json"]) == 0
    assert [row["value"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["0.001", "0.002", "0.003"]
    assert run([*common, "--out", str(tmp_path / "x"), "--sweep", "colour=1,2"]) == 78
    assert "there is no setting 'colour'" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_the_command_takes_a_recipe(artifact, tmp_path, capsys):
    name = "dropclass-cityscapes-deeplabv3-baseline"
    common = ["train", "ce", "--recipe", name, "--data", str(artifact.path), "--out", str(tmp_path / "run"), "--json"]
    small = ["--model", "cosine", "--crop", "32", "--set", "pretrained=false", "--set", "evaluate_split=none"]
    assert run([*common, *small, "--batch", "2", "--steps", "2"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["lr"], settings["weight_decay"], settings["optimizer"]) == (0.01, 5e-4, "sgd")
    assert (settings["batch"], settings["accumulate"], settings["crop"], settings["crop_width"]) == (2, 6, 32, 0)
    assert settings["classifier"] == "linear" and settings["steps"] == 2
    again = [*common[:7], str(tmp_path / "epochs"), "--json", *small]
    assert run([*again, "--set", "workers=0", "--epochs", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 1, "3 images, 4 times, 12 an update"
    out = ["--out", str(tmp_path / "set"), "--json"]
    assert run([*common[:6], *out, *small, "--set", "steps=3", "--set", "accumulate=1"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3, "not the recipe's length"
    assert run([*common, *small, "--set", "batch=many"]) == 78
    assert "batch=many is not a whole number" in capsys.readouterr().err
    assert run(["train", "bce", *common[2:]]) == 2
    assert f"{name} trains ce, not bce" in capsys.readouterr().err
    assert run(["train", "nothing", *common[2:]]) == 2 and "there is no method" in capsys.readouterr().err


def test_a_run_begins_with_given_weights(artifact, tmp_path):
    from trainers import checkpoint

    loop.train([artifact], tmp_path / "first", settings_of("ce", GIVEN))
    weights = tmp_path / "first/ckpt.safetensors"
    given = {**GIVEN, "begin_with": str(weights), "bn_momentum": 0.01}
    settings = settings_of("ce", given)
    assert repeat and settings.begin_with == str(weights)
    seen = {}

    def build_with(name, num_classes, *, weights=None, **others):
        seen["weights"] = weights
        return nets.Net(num_classes)

    sys.modules["trainers.models"].build = build_with
    net = start.build_net(settings, loop.method_named("ce"), 19)
    assert seen["weights"] == str(weights)
    assert [m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)] == [0.01]
    start.build_net(settings_of("ce", {**GIVEN, "pretrained": True}), loop.method_named("ce"), 19)
    assert seen["weights"] == "imagenet"
    with pytest.raises(UnifyError, match="two kinds of weights"):
        settings_of("ce", {**given, "pretrained": True})
    assert checkpoint.load(weights).step == 4


def test_rates_end_at_the_least_one():
    settings = settings_of("ce", {"steps": 100, "lr": 1e-4, "power": 0.9, "min_lr": 5e-6})
    rates = [start.learning_rate(settings, step) for step in range(100)]
    assert rates == [max(1e-4 * (1 - step / 100) ** 0.9, 5e-6) for step in range(100)]


PROCESSES = """
import sys
from pathlib import Path
import torch
from tests import nets
from trainers import loop, repeat
from trainers.settings import settings_of
from unify.artifact import open_artifact

torch.set_num_threads(1)
nets.install()
artifact = open_artifact(sys.argv[1])
settings = settings_of("ce", {"model": "cosine", "steps": 2, "batch": 1, "crop": 32, "device": "cpu"})
found = repeat.repeat(
    lambda folder, s: loop.train([artifact], folder, s, resume=True), Path(sys.argv[2]), settings, 2, same_seed=True
)
assert found["results"] == 1
"""


@pytest.mark.slow
def test_several_processes_repeat_together(artifact, tmp_path):
    script = tmp_path / "repeat.py"
    script.write_text(PROCESSES)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(artifact.path), str(tmp_path / "out")], check=True, cwd=root, env=env, timeout=300)
    assert json.loads((tmp_path / "out/summary.json").read_text())["results"] == 1
