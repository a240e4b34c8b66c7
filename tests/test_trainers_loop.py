"""Training: the update is the formula, a killed run ends with the same bits, and mistakes get one line."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import bound, checkpoint, loop, runfiles, start  # noqa: E402
from trainers.data import Order, batches, normalized  # noqa: E402
from trainers.methods import METHODS, Step  # noqa: E402
from trainers.methods.method import LogitsOptions  # noqa: E402
from trainers.ops import bce_reference  # noqa: E402
from trainers.settings import Settings, settings_of  # noqa: E402
from unify.draws.mixtures import draw_epoch  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.relations.evidence import Evidence  # noqa: E402
from unify.relations.files import write_relations  # noqa: E402
from unify.relations.rules import Edge, Relations, matrix_of  # noqa: E402

from . import nets  # noqa: E402
from .worlds import tiny_streets  # noqa: E402

TINY = settings_of(
    "null-bce", {"model": "cosine", "steps": 6, "batch": 2, "crop": 32, "lr": 0.01, "save_every": 2, "seed": 3}
)
QUIET = {"evaluate_split": "none"}


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=3)


@pytest.fixture(scope="module")
def relations(artifact, tmp_path_factory):
    """A folder with four edges: three that say "all", and one that only says "some"."""
    taxonomy = artifact.taxonomy
    names, (first, second) = taxonomy.space.names, taxonomy.sources
    evidence = Evidence.of_taxonomy(taxonomy)
    own = [n for n, a, b in zip(names, *taxonomy.null_mask, strict=True) if a and not b]
    other = [n for n, a, b in zip(names, *taxonomy.null_mask, strict=True) if b and not a]
    both = [n for n, a, b in zip(names, *taxonomy.null_mask, strict=True) if a and b]
    edges = (
        Edge(first, both[0], other[0], "narrower", 0.9, 0.8, 10),
        Edge(first, both[1], both[2], "narrower", 0.9, 0.8, 10),
        Edge(second, both[0], own[0], "overlaps", 0.9, 0.8, 10),
        Edge(first, own[0], both[3], "narrower", 0.9, 0.8, 10),
    )
    folder = tmp_path_factory.mktemp("relations") / "r"
    write_relations(Relations("paper", {"tau": -0.08}, evidence, edges, (), taxonomy), folder)
    return folder, edges


def settings(**changes) -> Settings:
    return dataclasses.replace(TINY, **{"own": None, **changes})


def same_weights(one, other) -> bool:
    a, b = checkpoint.load(one).weights, checkpoint.load(other).weights
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Stop(Exception):
    pass


def stop_after(step: int):
    done = 0

    def advance(steps: int, size: int) -> None:
        nonlocal done
        done += steps
        if done == step:
            raise Stop

    return advance


# --- The update ---------------------------------------------------------------------------------------------


def test_two_steps_of_sgd_are_the_formulas(artifact, tmp_path):
    """Weights after two updates, from the reference loss, autograd and SGD with momentum and decay by hand."""
    chosen = settings(
        optimizer="sgd", steps=2, lr=0.05, backbone_lr=0.5, weight_decay=0.01, momentum=0.8, model="plain", **QUIET
    )
    loop.train([artifact], tmp_path / "run", chosen)
    data = bound.bind([artifact], chosen, METHODS["null-bce"], None)
    order = Order(lambda n: draw_epoch(data.schedule, chosen.seed, n), 2, 2)
    shown = list(batches(data.samples, order))
    torch.manual_seed(chosen.seed)
    net = nets.build("plain", len(data.index.classes)).train()
    backbone = {id(p) for p in net.backbone_parameters()}
    speed = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for step, batch in enumerate(shown):
        rate = 0.05 * (1 - step / 2) ** 0.9
        loss = bce_reference.null_bce(net(normalized(batch.image_bchw)), batch.label_bhw.long(), batch.allowed_bk)
        for (name, p), g in zip(net.named_parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True):
            speed[name] = 0.8 * speed[name] + g + 0.01 * p.detach()
            with torch.no_grad():
                p -= rate * (0.5 if id(p) in backbone else 1) * speed[name]
    found = checkpoint.load(tmp_path / "run").weights
    for name, p in net.named_parameters():
        assert torch.allclose(found[name], p.detach(), atol=1e-5), name


def test_accumulated_parts_are_one_batch(artifact, tmp_path):
    """Without batch statistics and dropout, 2 x 1 images and 1 x 2 images give the same update."""

    def frozen(name, num_classes, *, weights=None):
        net = nets.build(name, num_classes)
        net.backbone[1], net.backbone[3] = torch.nn.Identity(), torch.nn.Identity()
        return net

    sys.modules["trainers.models"].build = frozen
    common = {"steps": 3, "optimizer": "sgd", **QUIET}
    whole = loop.train([artifact], tmp_path / "whole", settings(batch=2, **common))
    parts = loop.train([artifact], tmp_path / "parts", settings(batch=1, accumulate=2, **common))
    assert whole["loss"] == pytest.approx(parts["loss"], rel=1e-5)
    one, other = (checkpoint.load(tmp_path / name).weights for name in ("whole", "parts"))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_learning_rates():
    chosen = settings(steps=10, lr=2.0, power=0.5, warmup=4)
    rates = [start.learning_rate(chosen, step) for step in range(10)]
    assert rates[0] == 2.0 / 4 and rates[4] == pytest.approx(2 * 0.6**0.5) and rates[9] == pytest.approx(2 * 0.1**0.5)


#: They need nets or maps that the small net here does not have, and have tests of their own.
PARTICULAR = {"dropclass", "seethrough", "uncertainty"}


@pytest.mark.parametrize("method", [method for method in METHODS if method not in PARTICULAR])
def test_every_method_learns(artifact, relations, tmp_path, method):
    folder = relations[0] if METHODS[method].relations != "none" else None
    chosen = settings(method=method, steps=12, lr=0.03, **QUIET)
    metrics = loop.train([artifact], tmp_path / "run", chosen, relations=folder)
    losses = [float(row["loss"]) for row in csv.DictReader((tmp_path / "run/log.csv").read_text().splitlines())]
    assert len(losses) == 12 and np.mean(losses[-3:]) < np.mean(losses[:3]) and metrics["miou"] is None


def test_bfloat16_is_close_to_float32(artifact, tmp_path):
    runs = [loop.train([artifact], tmp_path / p, settings(steps=2, precision=p, **QUIET)) for p in ("bf16", "float32")]
    assert runs[0]["loss"] != runs[1]["loss"] and runs[0]["loss"] == pytest.approx(runs[1]["loss"], rel=0.05)


def test_relations_become_targets(artifact, relations):
    folder, edges = relations
    data = bound.bind([artifact], settings(method="cr-bce"), METHODS["cr-bce"], folder)
    names, sources = data.index.classes, data.samples.sources
    assert np.array_equal(data.teaching.targets.numpy(), matrix_of(edges, sources, names))
    possible = {(sources[s], names[c], names[j]) for s, c, j in data.teaching.possible.nonzero().tolist()}
    overlapping, finer = edges[2], edges[3]
    # Who labels the broader class, and not the finer one, may mean it. That a class is within another says nothing.
    assert possible == {
        (overlapping.source, overlapping.label, overlapping.related),
        (overlapping.source, finer.related, finer.label),
    }


# --- Killed and gone on -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(artifact, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:  # later test files need the real nets
        nets.install(patch.setitem)
        return folder, loop.train([artifact], folder, TINY)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_run_that_was_stopped_ends_with_the_same_bits(artifact, undisturbed, tmp_path, step):
    whole, expected = undisturbed
    out = tmp_path / "run"
    with pytest.raises(Stop):
        loop.train([artifact], out, TINY, advance=stop_after(step))
    torch.manual_seed(99)  # what happened in between must not matter
    found = loop.train([artifact], out, TINY, resume=True)
    assert same_weights(out, whole)
    assert (out / "log.csv").read_bytes() == (whole / "log.csv").read_bytes()
    changing = {"seconds"}
    assert {k: v for k, v in found.items() if k not in changing} == {
        k: v for k, v in expected.items() if k not in changing
    }
    one, other = (torch.load(f / "ckpt.pt", weights_only=True)["training"] for f in (out, whole))
    assert torch.equal(one["random"][0]["cpu"], other["random"][0]["cpu"])
    states = [t["optimizer"]["state"] for t in (one, other)]
    assert all(torch.equal(states[0][i][k], states[1][i][k]) for i in states[0] for k in states[0][i])


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests import nets, test_trainers_loop as t
from trainers import loop
from unify.artifact import open_artifact

torch.set_num_threads(1)
nets.install()
done = 0
def advance(steps, size):
    global done
    done += steps
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
loop.train([open_artifact(sys.argv[1])], Path(sys.argv[2]), t.TINY, advance=advance)
"""


def test_a_run_that_was_killed_ends_with_the_same_bits(artifact, undisturbed, tmp_path):
    out = tmp_path / "run"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(artifact.path), str(out)], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert checkpoint.load(out).step == 2
    loop.train([artifact], out, TINY, resume=True)
    assert same_weights(out, undisturbed[0])


def test_workers_scores_and_kept_images_change_no_weight(artifact, undisturbed, tmp_path):
    changed = settings(workers=1, evaluate_every=1, save_every=5, evaluate_images=1, cache=0.1)
    loop.train([artifact], tmp_path / "run", changed)
    assert same_weights(tmp_path / "run", undisturbed[0])


def test_a_finished_run_has_nothing_to_do(artifact, undisturbed):
    folder, metrics = undisturbed
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert loop.train([artifact], folder, TINY, resume=True) == json.loads(json.dumps(metrics))
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


# --- What a run shows ---------------------------------------------------------------------------------------


def test_files_of_a_run(artifact, undisturbed):
    folder, metrics = undisturbed
    assert {f.name for f in folder.iterdir()} == {
        "ckpt.pt", "ckpt.safetensors", "ckpt.json", "log.csv", "metrics.json", "curves.png",
    }  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    assert [int(r["step"]) for r in rows] == [1, 2, 3, 4, 5, 6]
    assert float(rows[-1]["loss"]) == metrics["loss"] and float(rows[-1]["miou"]) == metrics["miou"]
    assert [s["step"] for s in metrics["scores"]] == [1, 2, 3, 4, 5, 6] and metrics["data"] == [artifact.digest]
    with Image.open(folder / "curves.png") as picture:
        assert picture.size == (900, 340)


def test_curves_of_nothing_and_of_one_step():
    assert runfiles.curves([], [], "empty").size == runfiles.curves([1.0], [], "one").size
    means = runfiles.running_mean(list(np.arange(200.0)))
    assert means[0] == (4, 1.5) and means[-1] == (200, 197.5)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(0, 9)], []),
        ([(0, 2)], [[(0, 2)]]),
        ([(0, 9), (1, 8), (2, 2), (3, 1)], [[(1.5, 5), (2, 2), (3, 1)]]),
        ([(0, 1), (1, 9), (2, 4)], [[(0, 1), (0.5, 5)], [(1.8, 5), (2, 4)]]),
        ([(0, 5), (1, 6), (2, 7)], [[(0, 5), (0, 5)]]),
    ],
)
def test_a_line_leaves_the_panel_where_it_is_higher(points, expected):
    assert runfiles.parts_below(points, 5) == expected


# --- Mistakes -----------------------------------------------------------------------------------------------


def problems_of(*args, **options):
    with pytest.raises(UnifyError) as caught:
        loop.train(*args, **options)
    return caught.value


def test_a_loss_that_is_not_a_number_is_one_line(artifact, tmp_path):
    """A weight becomes NaN by a learning rate beyond all bounds."""
    e = problems_of([artifact], tmp_path / "run", settings(optimizer="sgd", lr=1e38, model="plain", **QUIET))
    (line,) = str(e).splitlines()
    assert "the loss is" in line and "of 6" in line and "images " in line and e.exit_code == 78
    assert "cityscapes/" in line or "idd/" in line


def test_another_run_is_not_overwritten(artifact, undisturbed):
    e = problems_of([artifact], undisturbed[0], TINY)
    assert "--resume" in str(e) and e.exit_code == 73


@pytest.mark.parametrize("method", ["ce", "null-bce", "cr-bce", "nll-plus"])
def test_labels_with_a_stride_are_labels_with_holes(artifact, relations, monkeypatch, method):
    """Loss and gradients are those of logits at the net's own size, and labels in which all other pixels are void."""
    bare = settings(method=method, crop=48, model="tiny", scale_min=1.0, scale_max=1.0)
    coarse = dataclasses.replace(bare, own=LogitsOptions(label_stride=4))
    monkeypatch.undo()  # the real tiny net, whose logits are of every fourth pixel
    found = METHODS[method]
    data = loop.bind([artifact], bare, found, relations[0] if found.relations == "required" else None)
    batch = torch.utils.data.default_collate([tuple(data.samples[row])[:5] for row in (0, 1)])
    batch = loop.Batch(*batch)
    num_classes = len(data.index.classes)
    net = start.build_net(bare, found, num_classes)
    labels = found.labels(batch, num_classes, coarse.own)
    assert torch.equal(labels, found.labels(batch, num_classes)[:, 2::4, 2::4])
    pixels = (labels != 255).sum().float()
    loss = found.loss(net, None, Step(batch, labels, data.teaching, pixels, coarse, 0))
    loss.backward()
    gradient = net.classifier.weight.grad.clone()
    net.zero_grad()
    holes = torch.full_like(found.labels(batch, num_classes), 255)
    holes[:, 2::4, 2::4] = labels

    def enlarged(net, logits, images, stride=1):
        return logits.repeat_interleave(4, 2).repeat_interleave(4, 3)

    monkeypatch.setattr(type(net), "_enlarged", enlarged)
    expected = found.loss(net, None, Step(batch, holes, data.teaching, pixels, bare, 0))
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(gradient, net.classifier.weight.grad, rtol=1e-4, atol=1e-6)


def test_crops_are_multiples_of_the_label_stride():
    with pytest.raises(UnifyError, match="no multiples of label_stride"):
        settings_of("ce", {"crop": "50", "label_stride": "4"})
    with pytest.raises(UnifyError, match="label_stride is 0"):
        settings_of("ce", {"label_stride": "0"})
    with pytest.raises(UnifyError, match="no setting 'label_stride'"):
        settings_of("dropclass", {"label_stride": "4"})


def test_a_run_from_before_there_was_a_setting_goes_on(artifact, undisturbed, tmp_path):
    """It did what is the default now, and is refused with anything else."""
    out = tmp_path / "run"
    with pytest.raises(Stop):
        loop.train([artifact], out, settings(save_every=3), advance=stop_after(4))
    stored = torch.load(out / "ckpt.pt", weights_only=True)
    assert stored["training"]["settings"].pop("label_stride") == 1
    torch.save(stored, out / "ckpt.pt")
    other = settings(save_every=3, own=LogitsOptions(label_stride=2))
    refused = problems_of([artifact], out, other, resume=True)
    assert [p.what for p in refused.problems] == ["label_stride was 1, not 2"]
    loop.train([artifact], out, settings(save_every=3), resume=True)
    assert same_weights(out / "ckpt.pt", undisturbed[0] / "ckpt.pt")


def test_a_continuation_with_other_settings_is_refused(artifact, undisturbed):
    e = problems_of([artifact], undisturbed[0], settings(lr=0.5, batch=4, workers=0, save_every=3), resume=True)
    assert [p.what for p in e.problems] == ["batch was 2, not 4", "lr was 0.01, not 0.5"]


def test_relations_are_asked_for_and_refused(artifact, relations, tmp_path):
    assert "needs relations" in str(problems_of([artifact], tmp_path / "a", settings(method="cr-bce")))
    assert "takes no relations" in str(problems_of([artifact], tmp_path / "b", TINY, relations=relations[0]))


def test_all_wrong_settings_are_told():
    with pytest.raises(UnifyError) as caught:
        settings_of("ce", {"lr": "fast", "shade": "blue", "steps": "0"})
    found = [p.what for p in caught.value.problems]
    assert found == ["lr=fast is not a number", "there is no setting 'shade'", "steps is 0, not at least 1"]
    with pytest.raises(UnifyError) as caught:
        settings_of("ce", {"label_stride": "0", "crop": "7", "stepz": "4"})
    found = [p.what for p in caught.value.problems]
    assert found == [
        "there is no setting 'stepz' (did you mean 'steps'?)",
        "label_stride is 0, not at least 1",
        "crop is 7, not at least 8",
    ]
    with pytest.raises(UnifyError) as caught:
        settings_of("ce", {"lr": "-1", "optimizer": "sdg", "scale_min": "0"})
    assert len(caught.value.problems) == 3


def test_sets_teach_nothing_to_cross_entropy():
    labels = torch.tensor([[[0, 3, 4, 255]]], dtype=torch.uint8)
    batch = loop.Batch(None, labels, None, None, None)
    assert METHODS["ce"].labels(batch, 4).tolist() == [[[0, 3, 255, 255]]]
    assert METHODS["nll-plus"].labels(batch, 4) is labels


# --- The command --------------------------------------------------------------------------------------------


def test_the_command_trains_and_scores(artifact, tmp_path, capsys):
    from unify.cli import run

    out = str(tmp_path / "run")
    given = ["--data", str(artifact.path), "--model", "cosine", "--batch", "2", "--crop", "32", "--set", "threads=1"]
    assert run(["train", "null-bce", *given, "--out", out, "--epochs", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    images = sum(s["splits"]["train"] for s in artifact.manifest.sources.values())
    assert found["steps"] == found["step"] == -(-images // 2) and set(found) >= {"miou", "iou", "confusion", "loss"}
    assert run(["evaluate", out, "--data", str(artifact.path), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["miou"] == found["miou"] and scored["confusion"] == found["confusion"]
    assert run(["train", "null-bce", *given, "--out", out, "--epochs", "1", "--resume"]) == 0
    assert "of null-bce in" in capsys.readouterr().out
    assert run(["evaluate", out, "--data", str(artifact.path)]) == 0
    assert "mIoU" in capsys.readouterr().out
    relations = str(tmp_path / "relations")
    assert run(["relations", "--from-model", out, "--data", str(artifact.path), "-o", relations, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"path", "edges"}


def test_without_torch_the_command_says_so(artifact, tmp_path, capsys, monkeypatch):
    from unify.cli import run

    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("trainers")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(["train", "ce", "--data", str(artifact.path), "--out", str(tmp_path / "x")]) == 2
    assert run(["evaluate", "ckpt.pt", "--data", str(artifact.path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("torch" in line and "unify[train]" in line for line in lines)
    assert not (tmp_path / "x").exists()


def test_the_help_names_every_method_and_setting():
    from unify.cli.train import train_command

    words = set(re.findall(r"[\w-]+", train_command.help))
    options = {option for parameter in train_command.params for option in (parameter.name, *parameter.opts)}
    assert set(METHODS) <= words
    settings = {field.name for field in dataclasses.fields(Settings)} - {"method", "own"}
    assert settings <= words | options, "name them in the help of `unify train`"


def test_tensorboard_has_what_the_log_has(artifact, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, chosen = tmp_path / "run", settings(tensorboard=True, evaluate_every=3)
    with pytest.raises(Stop):
        loop.train([artifact], out, chosen, advance=stop_after(5))
    loop.train([artifact], out, chosen, resume=True)  # takes back step 5, which no checkpoint has
    read = EventAccumulator(str(out / runfiles.EVENTS)).Reload()
    with (out / "log.csv").open() as file:
        lines = list(csv.DictReader(file))
    for name in ("loss", "lr"):
        found = [(event.step, event.value) for event in read.Scalars(name)]
        assert found == [(int(line["step"]), pytest.approx(float(line[name]), rel=1e-6)) for line in lines]
    assert [event.step for event in read.Scalars("mIoU")] == [3, 6]


# --- The nets of `trainers.models` --------------------------------------------------------------------------


def test_the_real_tiny_net_goes_on_too(artifact, tmp_path, monkeypatch):
    import trainers

    monkeypatch.undo()
    for known in (sys.modules, vars(trainers)):
        for name in ("models", "trainers.models"):
            monkeypatch.delitem(known, name, raising=False)
    pytest.importorskip("trainers.models")
    chosen = settings(model="tiny", steps=3, save_every=1, optimizer="sgd", **QUIET)
    loop.train([artifact], tmp_path / "whole", chosen)
    with pytest.raises(Stop):
        loop.train([artifact], tmp_path / "run", chosen, advance=stop_after(2))
    loop.train([artifact], tmp_path / "run", chosen, resume=True)
    assert same_weights(tmp_path / "run", tmp_path / "whole")
    loaded = checkpoint.load(tmp_path / "run")
    assert loaded.config["name"] == "tiny" and checkpoint.net_of(loaded).classifier.scale == 20


# --- What is held out ---------------------------------------------------------------------------------------


def test_held_out_images_are_scored_and_never_drawn(artifact):
    from trainers.bound import scored_rows

    chosen = settings(holdout=0.5, evaluate_split="holdout")
    data = bound.bind([artifact], chosen, METHODS["null-bce"], None)
    whole = bound.bind([artifact], settings(), METHODS["null-bce"], None)
    train = {s for s in range(len(whole.index.shards)) if whole.index.shards[s].split == "train"}
    names = {str(whole.index.sample_id[row]) for row in range(len(whole.index)) if whole.index.shard[row] in train}
    drawn = {
        str(data.index.sample_id[draw.row]) for number in range(3) for draw in draw_epoch(data.schedule, 0, number)
    }
    scored = {str(data.scored.sample_id[row]) for row in scored_rows(data.scored, chosen, 0)}
    assert drawn and scored and drawn | scored == names and not drawn & scored


def test_the_best_checkpoint_is_that_of_the_highest_score(artifact, tmp_path):
    loop.train([artifact], tmp_path, settings(keep_best=True, evaluate_every=1, evaluate_images=0))
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]
    best = max(scores, key=lambda score: (score["miou"], -score["step"]))
    assert checkpoint.load(tmp_path / loop.BEST).step == best["step"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([(0.1, 8)], True), ([(0.1, 8), (0.2, 8)], True), ([(0.2, 8), (0.2, 8)], False), ([(0.1, 8), (0.9, 20)], False)],
)
def test_scores_are_compared_on_as_many_images(scores, expected):
    assert loop.is_best([{"miou": miou, "images": images, "step": 0} for miou, images in scores]) is expected


def test_a_run_at_one_size_is_scored_at_that_size_and_so_it_can_be_afterwards(artifact, tmp_path, capsys):
    from unify.cli import run

    loop.train([artifact], tmp_path, settings(stretch=True, steps=1))
    trained = json.loads((tmp_path / "metrics.json").read_text())
    found = []
    for given in (["--stretch", "32"], []):
        assert run(["evaluate", str(tmp_path), "--data", str(artifact.path), *given, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["confusion"] == trained["confusion"] != found[1]["confusion"]
    assert np.sum(found[0]["confusion"]) <= 32 * 32 * found[0]["images"]


def test_scores_on_what_is_held_out_need_something_held_out():
    with pytest.raises(UnifyError, match="nothing is held out"):
        settings(evaluate_split="holdout")
