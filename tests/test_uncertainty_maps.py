"""Maps of uncertainty: what is in them, against the nets themselves; that they are a version like others."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import checkpoint, models, uncertainty_sweep  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from trainers.data import Samples, normalized  # noqa: E402
from trainers.ops.uncertainty_reference import instance_uncertainty  # noqa: E402
from trainers.uncertainty_sweep import Looking, make_maps  # noqa: E402
from unify.artifact import open_artifact, versions  # noqa: E402
from unify.build import build  # noqa: E402
from unify.cli import app  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.uncertainty_maps import (  # noqa: E402
    MapRow,
    nats_per_step,
    open_maps,
    planned,
    quantized,
    write_maps,
)
from unify.verify import verify  # noqa: E402

from .layouts import write_cityscapes, write_idd  # noqa: E402
from .worlds import plan_of, tree_bytes  # noqa: E402


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("data")
    write_cityscapes(folder / "raw/cityscapes", train=3, val=2)
    write_idd(folder / "raw/idd", train=2, val=1, size=(56, 40))
    return build(plan_of(folder / "raw", "C,I"), folder / "out").artifact


def saved(artifact, folder, seed, model="tiny", classes=None):
    """A checkpoint of random weights, far enough from 0 that answers are of many classes."""
    names = classes or artifact.taxonomy.space.names
    torch.manual_seed(seed)
    net = models.build(model, len(names), classifier="linear")
    with torch.no_grad():
        for p in net.head_parameters():
            p.mul_(2)
    space, digest = artifact.taxonomy.to_json()["space"], artifact.taxonomy.digest()
    whole = Checkpoint(dict(net.config), names, space, digest, ("x",), "ce", 1, dict(net.state_dict()))
    checkpoint.save(whole, folder)
    return folder


@pytest.fixture(scope="module")
def members(artifact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    return [saved(artifact, folder / str(seed), seed) for seed in range(3)]


@pytest.fixture(scope="module")
def made(artifact, members, tmp_path_factory):
    out = tmp_path_factory.mktemp("maps")
    result = make_maps(members, artifact, out, splits=("train", "val"), options=("component", "entropy"))
    assert result.fresh
    return result.artifact


def rows_in(artifact) -> dict:
    """sample_id -> the row of its Parquet file, PNGs decoded by Pillow."""
    found = {}
    for name in artifact.manifest.files:
        if name.startswith("maps/"):
            for row in pq.read_table(artifact.path / name, partitioning=None).to_pylist():
                images = {k: np.asarray(Image.open(io.BytesIO(v["bytes"]))) for k, v in row.items() if type(v) is dict}
                found[row["sample_id"]] = row | images
    return found


def answers(artifact, members, number):
    """sample_id, label, and the mean of the members' softmax (K, H, W) float64 of a row, by torch alone."""
    samples = Samples(build_index([artifact]), None)
    sample = samples[number]
    with torch.inference_mode():
        logits = [checkpoint.net_of(checkpoint.load(m))(normalized(sample.image_chw[None]))[0] for m in members]
        p_khw = sum(x.double().softmax(0) for x in logits) / len(logits)
    return str(samples.index.sample_id[number]), sample.label_hw.numpy(), p_khw.numpy()


# --- What is in them ----------------------------------------------------------------------------------------


def test_maps_are_what_the_nets_are_unsure_of(artifact, members, made):
    rows, step = rows_in(made), math.log(len(artifact.taxonomy.space)) / 65535
    assert open_maps(made.path).nats_per_step == step
    assert len(rows) == artifact.manifest.images == made.manifest.images
    counts = []
    for number in range(len(rows)):
        sample_id, label_hw, p_khw = answers(artifact, members, number)
        row = rows[sample_id]
        entropy_hw = -(p_khw * np.log(p_khw + 1e-10)).sum(0)
        prediction_hw = p_khw.argmax(0).astype(np.uint8)
        assert (row["height"], row["width"]) == label_hw.shape == row["uncertainty"].shape
        assert np.array_equal(row["prediction"], prediction_hw)
        expected_hw = instance_uncertainty(entropy_hw.astype(np.float32), prediction_hw)
        assert np.abs(row["uncertainty"] * step - expected_hw).max() < step / 2 + 2e-6
        assert np.abs(row["entropy"] * step - entropy_hw).max() < step / 2 + 2e-6
        assert row["mean"] == pytest.approx(expected_hw.mean(dtype=np.float64), abs=2e-6)
        # Components: one value of U each, one class each, numbered without gaps.
        numbers = np.unique(row["component"])
        assert numbers.tolist() == list(range(row["components"]))
        for i in numbers:
            inside = row["component"] == i
            assert len(np.unique(row["uncertainty"][inside])) == len(np.unique(prediction_hw[inside])) == 1
        counts.append(row["components"])
    assert max(counts) > 5, "the nets have to see several things"


def test_stored_values_are_half_a_step_off_at_most():
    step = nats_per_step(19)
    nats_hw = np.linspace(-1e-9, math.log(19) + 1e-6, 100_000, dtype=np.float32)[None]
    stored = quantized(nats_hw, step)
    assert stored.min() == 0 and stored.max() == 65535
    assert np.abs(stored * step - nats_hw).max() <= step / 2 * 1.02


def test_sums_by_class(artifact, members, made):
    step, space = nats_per_step(made.manifest.classes), artifact.taxonomy.space
    sums: dict = {}
    stored = rows_in(made)
    index = build_index([artifact])
    for number in range(len(index)):
        sample_id, label_hw, _ = answers(artifact, members[:1], number)
        shard, row = index.shards[index.shard[number]], stored[sample_id]
        for k, name in enumerate(space.names):
            found = sums.setdefault((shard.source, shard.split, name), {"predicted": [], "labelled": [], "n": 0})
            for what, ids in (("predicted", row["prediction"]), ("labelled", label_hw)):
                found[what] += (row["uncertainty"][ids == k] * step).tolist()
            found["n"] += len(np.unique(row["component"][row["prediction"] == k]))
    table = made.table("classes.parquet").to_pylist()
    assert len(table) == len(sums)
    for row in table:
        expected = sums[row["source"], row["split"], row["class"]]
        assert row["components"] == expected["n"] and row["class_id"] == space.index(row["class"])
        for what in ("predicted", "labelled"):
            nats = np.array(expected[what])
            assert row[f"{what}_pixels"] == len(nats)
            if len(nats):
                assert row[f"{what}_uncertainty"] == pytest.approx(nats.mean(), abs=step)
                assert row[f"{what}_weight"] == pytest.approx(((1 + nats) ** 2).mean(), abs=10 * step)
            else:
                assert row[f"{what}_uncertainty"] is None and row[f"{what}_weight"] is None


def test_they_open_with_datasets(made):
    import datasets

    loaded = datasets.load_dataset(str(made.path))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 5, "val": 3}
    row = loaded["train"][0]
    assert row["uncertainty"].mode == "I;16" and row["prediction"].mode == "L"
    assert loaded["train"].features["source"].names == list(made.manifest.sources)
    assert np.array_equal(np.asarray(row["uncertainty"]), rows_in(made)[row["sample_id"]]["uncertainty"])
    one = datasets.load_dataset(str(made.path), "idd", split="train")
    assert {row["sample_id"].split("/")[0] for row in one} == {"idd"}
    assert datasets.load_dataset(str(made.path), "classes", split="train").num_rows == 4 * made.manifest.classes


# --- A version like others ----------------------------------------------------------------------------------


def test_lineage_leads_to_nets_data_and_raw_files(artifact, members, made):
    digests = [checkpoint.load(m).file_digest for m in members]
    assert made.manifest.parents == (artifact.digest, *digests)
    assert made.manifest.recipe["parent"] == artifact.digest
    raw = {row["sample_id"]: row for row in artifact.inputs().to_pylist()}
    assert {row["sample_id"]: row for row in made.table("samples.parquet").to_pylist()} == raw
    assert verify(made).ok


def test_the_same_bytes_again(artifact, members, made, tmp_path):
    again = make_maps(members, artifact, tmp_path, splits=("train", "val"), options=("entropy", "component"))
    assert tree_bytes(again.artifact.path) == tree_bytes(made.path)


def test_numbers_of_versions_say_what_changed(artifact, members, tmp_path):
    first = make_maps(members, artifact, tmp_path)
    assert not make_maps(members, artifact, tmp_path).fresh
    more = make_maps(members, artifact, tmp_path, options=("entropy",))
    others = make_maps(members[:2], artifact, tmp_path)
    found = [r.artifact.manifest.version for r in (first, more, others)]
    assert found == ["1.0.0", "1.1.0", "2.0.0"]
    assert verify(open_artifact(first.artifact.path)).ok
    assert "entropy" not in first.artifact.manifest.columns


def test_a_sweep_that_breaks_off_leaves_no_version(artifact, members, tmp_path, monkeypatch):
    whole = uncertainty_sweep.map_rows

    def broken(*args):
        yield from list(whole(*args))[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(uncertainty_sweep, "map_rows", broken)
    with pytest.raises(KeyboardInterrupt):
        make_maps(members, artifact, tmp_path, name="m")
    assert tree_bytes(tmp_path) == {"m/": b""} and not versions(tmp_path / "m")


def map_row(label_hw) -> MapRow:
    zero_hw = np.zeros(label_hw.shape, np.float32)
    place = ("cityscapes/train/a", "cityscapes", "train", "data/cityscapes/train-00000-of-00001.parquet")
    numbers_hw = np.arange(label_hw.size, dtype=np.int32).reshape(label_hw.shape)
    return MapRow(*place, label_hw, label_hw, zero_hw, zero_hw, numbers_hw)


def test_more_components_than_16_bits_number(artifact, tmp_path):
    row = map_row(np.zeros((257, 256), np.uint8))
    plan = planned(artifact, ["train"], {}, [], options=["component"])
    with pytest.raises(UnifyError, match="has 65,792 components, more than 16 bits number — leave their numbers out"):
        write_maps(plan, [row], tmp_path)
    assert not versions(tmp_path / plan.name)


# --- Other ways to look -------------------------------------------------------------------------------------


def only(artifact, models, out, how=None, **options):
    result = make_maps(models, artifact, out, how or Looking(), name="m", **options)
    return rows_in(result.artifact)


def test_an_ensemble_in_one_file_is_its_members(artifact, members, tmp_path):
    joined = models.build("tiny+tiny+tiny", len(artifact.taxonomy.space), classifier="linear")
    for member, path in zip(joined.members, members, strict=True):
        member.load_state_dict(checkpoint.load(path).weights)
    parts = checkpoint.load(members[0])
    whole = Checkpoint(
        dict(joined.config), parts.classes, parts.space, parts.taxonomy, ("x",), "uncertainty", 1, joined.state_dict()
    )
    checkpoint.save(whole, tmp_path / "joined")
    one, three = only(artifact, [tmp_path / "joined"], tmp_path / "a"), only(artifact, members, tmp_path / "b")
    for sample_id, row in three.items():
        assert np.array_equal(row["prediction"], one[sample_id]["prediction"])
        difference = row["uncertainty"].astype(int) - one[sample_id]["uncertainty"]
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("weighting", ["pixel", "class", "truth", "shuffled"])
def test_each_control_is_stored(artifact, members, made, tmp_path, weighting):
    found, instance = only(artifact, members, tmp_path, Looking(weighting)), rows_in(made)
    assert any(not np.array_equal(row["uncertainty"], instance[i]["uncertainty"]) for i, row in found.items())
    for sample_id, row in found.items():
        values = np.unique(instance[sample_id]["uncertainty"])
        if weighting == "pixel":
            assert np.array_equal(row["uncertainty"], instance[sample_id]["entropy"])
        if weighting == "shuffled":
            assert set(np.unique(row["uncertainty"])) <= set(values)


def test_dropout_is_drawn_by_sample_and_pass(artifact, members, tmp_path):
    plain = only(artifact, members[:1], tmp_path / "plain")
    how = Looking(dropout_passes=3, dropout=0.5, seed=1)
    one, again = (only(artifact, members[:1], tmp_path / name, how) for name in ("a", "b"))
    other = only(artifact, members[:1], tmp_path / "c", Looking(dropout_passes=3, dropout=0.5, seed=2))
    assert all(np.array_equal(row["uncertainty"], again[i]["uncertainty"]) for i, row in one.items())
    for unlike in (plain, other):
        assert any(not np.array_equal(row["uncertainty"], unlike[i]["uncertainty"]) for i, row in one.items())


def test_dropout_leaves_nets_and_torch_as_they_were(artifact):
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm2d(3))
    net.classifier = torch.nn.Identity()
    net.eval()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with uncertainty_sweep._dropping(net, Looking(dropout_passes=1, dropout=0.5), 7):
        assert net[0].training and not net[1].training and net.classifier._forward_pre_hooks
        torch.rand(5)
    assert not any(m.training for m in net.modules()) and not net.classifier._forward_pre_hooks
    assert torch.equal(torch.rand(3), expected)


def test_images_may_be_stretched_first(artifact, members, tmp_path):
    rows, plain = (only(artifact, members, tmp_path / str(side), Looking(side=side)) for side in (48, 0))
    assert all(row["uncertainty"].shape == plain[i]["uncertainty"].shape for i, row in rows.items())
    assert any(not np.array_equal(row["uncertainty"], plain[i]["uncertainty"]) for i, row in rows.items())


# --- Mistakes -----------------------------------------------------------------------------------------------


def test_mistakes_are_told(artifact, members, made, tmp_path):
    with pytest.raises(UnifyError, match="has no split 'tset' — known: train, val"):
        make_maps(members, artifact, tmp_path, splits=["tset"])
    other = saved(artifact, tmp_path / "other", 0, classes=("a", "b"))
    with pytest.raises(UnifyError, match="answers in 2 classes"):
        make_maps([members[0], other], artifact, tmp_path)
    with pytest.raises(UnifyError, match="has no dropout, so every pass would be the same — give --dropout P"):
        make_maps(members, artifact, tmp_path, Looking(dropout_passes=2))
    with pytest.raises(UnifyError, match="holds no maps of uncertainty — give what `unify uncertainty` wrote"):
        open_maps(artifact.path)
    with pytest.raises(UnifyError) as e:
        Looking("enet", side=-1, dropout=0.5)
    assert [p.what.split(",")[0] for p in e.value.problems] == [
        "there is no weighting 'enet' to store",
        "sizes and numbers are at least 0",
        "dropout has no effect without passes",
    ]


# --- Command line -------------------------------------------------------------------------------------------


def test_commands(artifact, members, tmp_path):
    nets = [f"--from-model={path}" for path in members]
    data = str(artifact.path)
    done = CliRunner().invoke(
        app, ["uncertainty", *nets, "--data", data, "-o", str(tmp_path), "--name", "m", "--entropy", "--json"]
    )
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts["images"] == 5 and facts["fresh"] and facts["version"] == "1.0.0"
    weights = [row["weight"] for row in facts["classes"]]
    assert weights == sorted(weights, reverse=True) and weights[-1] >= 1
    listed = ["--from-models", *map(str, members)]
    again = CliRunner().invoke(
        app, ["uncertainty", *listed, "--data", data, "-o", str(tmp_path), "--name", "m", "--entropy"]
    )
    assert again.exit_code == 0 and "the same as before, nothing to do" in again.output
    picture = tmp_path / "u.png"
    seen = CliRunner().invoke(
        app,
        ["view", "uncertainty", "m", "--root", str(tmp_path), "--data", data, "--pictures", "2", "-o", str(picture)],
    )
    assert seen.exit_code == 0, seen.output
    with Image.open(picture) as opened:
        assert opened.width > 5 * 300 and "2 images of m 1.0.0" in seen.output
