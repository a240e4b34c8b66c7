"""Training with weights from uncertainty: the loss, stored maps under augmentation, ensembles, and runs."""

from __future__ import annotations

import csv
import dataclasses
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from trainers import checkpoint, ensemble, loop, models, start  # noqa: E402
from trainers.augment import VOID, Augment, warp_nearest  # noqa: E402
from trainers.bound import bind  # noqa: E402
from trainers.data import Batch, Order, Place, Samples, batches, normalized  # noqa: E402
from trainers.methods import METHODS, Step, Teaching  # noqa: E402
from trainers.methods import uncertainty as method  # noqa: E402
from trainers.ops.uncertainty import MAPS, instance_uncertainty  # noqa: E402
from trainers.settings import Settings, settings_of  # noqa: E402
from trainers.uncertainty_sweep import Looking, make_maps  # noqa: E402
from unify.build import build  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.draws.samplers import draw  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.stats import WEIGHTS, statistics  # noqa: E402
from unify.uncertainty_maps import STEPS, MapRow, nats_per_step, open_maps, planned, write_maps  # noqa: E402

from .layouts import write_cityscapes  # noqa: E402
from .worlds import plan_of  # noqa: E402

K = 19
QUIET = {"evaluate_split": "none", "batch": 2, "crop": 32, "threads": 1}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("data")
    write_cityscapes(folder / "raw/cityscapes", train=4, val=1, size=(80, 56))
    return build(plan_of(folder / "raw", "C"), folder / "out").artifact


def chosen(**values) -> Settings:
    return settings_of("uncertainty", {"model": "tiny+tiny", "steps": 4, "lr": 0.01, "seed": 3, **QUIET, **values})


def written(artifact, out, uncertainty_of, splits=("train",)):
    """Maps of `uncertainty_of(label_hw)`, float32 nats, for each row."""
    samples = Samples(build_index([artifact]), None)
    index, rows = samples.index, []
    for number in range(len(index)):
        shard, label_hw = index.shards[index.shard[number]], samples[number].label_hw.numpy()
        if shard.split in splits:
            nats_hw = uncertainty_of(label_hw).astype(np.float32)
            place = (str(index.sample_id[number]), shard.source, shard.split, shard.path)
            rows.append(MapRow(*place, label_hw, label_hw, nats_hw, nats_hw, np.zeros(label_hw.shape, np.int32)))
    return write_maps(planned(artifact, splits, {}, [], name="maps"), rows, out).artifact


@pytest.fixture(scope="module")
def coordinates(artifact, tmp_path_factory):
    """Maps whose stored value is the number of the pixel, row by row."""
    step = nats_per_step(K)
    return written(
        artifact,
        tmp_path_factory.mktemp("maps"),
        lambda label_hw: np.arange(label_hw.size).reshape(label_hw.shape) * step,
    )


# --- Under augmentation -------------------------------------------------------------------------------------

AUGMENTS = {
    "crop": Augment((24, 40), scale=(1, 1), flip=0),
    "flip": Augment((24, 40), scale=(1, 1), flip=1),
    "scale": Augment((24, 40), scale=(0.4, 2.5), flip=0),
    "small": Augment((96, 96), scale=(0.3, 0.6), flip=0.5),
    "rotation": Augment((32, 32), scale=(0.7, 1.5), rotation_deg=30, flip=0.5),
    "short side": Augment((32, 32), short_side=100, scale=(1, 1)),
    "stretch": Augment((48, 48), stretch=True, flip=0.5),
    "colour": Augment((24, 40), photometric=1.0, blur=1.0),
}


@pytest.mark.parametrize("augment", AUGMENTS.values(), ids=AUGMENTS)
def test_a_picture_of_coordinates_stays_pixel_on_pixel(augment):
    """Each pixel of image, label and map says where it is from: the three have to say the same."""
    height, width = 90, 120
    y_hw, x_hw = np.indices((height, width))
    image_hwc = np.stack([x_hw, y_hw, 0 * x_hw], 2).astype(np.uint8)
    label_hw = ((x_hw // 6 + 20 * (y_hw // 6)) % 200).astype(np.uint8)
    code_hw = (y_hw * width + x_hw + 1).astype(np.uint16)
    seen = 0
    for number in range(20):
        drawn = augment.draw((height, width), np.random.default_rng(number))
        image, label = augment.apply(image_hwc, label_hw, drawn)
        code = warp_nearest(code_hw, drawn.to_image, augment.crop_hw, 0).astype(int) - 1
        inside = code >= 0
        assert np.array_equal(inside, label != VOID)
        y, x = code[inside] // width, code[inside] % width
        assert np.array_equal(label[inside], label_hw[y, x])
        # Against the map from crop to image itself: the nearest pixel, or one of several that are as near.
        v, u = np.nonzero(inside)
        at = drawn.to_image @ np.stack([u + 0.5, v + 0.5, np.ones(len(u))])
        assert np.abs(at - np.stack([x + 0.5, y + 0.5])).max() < 0.5 + 0.04
        if not (augment.photometric or augment.rotation_deg):
            # Bilinear: within a pixel of the nearest one.
            assert np.abs(image[inside][:, :2].astype(int) - np.stack([x, y], 1)).max() <= 1
        seen += inside.sum()
    assert seen > 1000


@pytest.mark.parametrize("augment", AUGMENTS.values(), ids=AUGMENTS)
def test_weights_of_samples_lie_on_their_labels(artifact, coordinates, augment):
    maps = open_maps(coordinates.path)
    index = build_index([artifact])
    samples, plain = Samples(index, augment, seed=5, maps=maps), Samples(index, augment, seed=5)
    whole, table = Samples(index, None), maps.weight_table()
    row = int(np.flatnonzero([str(i) in maps.place for i in index.sample_id])[0])
    for number in range(6):
        sample = samples[Place(number, row, -1, -1)]
        value_hw = np.searchsorted(table, sample.weight_hw.numpy())
        assert np.array_equal(table[value_hw], sample.weight_hw)
        inside = sample.label_hw.numpy() != VOID
        assert np.array_equal(sample.label_hw[inside], whole[row].label_hw.flatten()[value_hw[inside]])
        bare = plain[Place(number, row, -1, -1)]
        assert bare.weight_hw is None
        assert torch.equal(bare.image_chw, sample.image_chw) and torch.equal(bare.label_hw, sample.label_hw)


def test_batches_carry_weights_with_any_number_of_workers(artifact, coordinates):
    index = build_index([artifact]).take(np.arange(4))
    samples = Samples(index, Augment((24, 24)), maps=open_maps(coordinates.path))
    order = Order(lambda epoch: draw("uniform", index, 0, epoch), 2, 3)
    one, two = (list(batches(samples, order, workers=n, context="fork")) for n in (0, 2))
    for a, b in zip(one, two, strict=True):
        assert a.weight_bhw.shape == (2, 24, 24) and torch.equal(a.weight_bhw, b.weight_bhw)
    assert next(batches(Samples(index, Augment((24, 24))), order)).weight_bhw is None


# --- The loss -----------------------------------------------------------------------------------------------


def step_of(batch: Batch, settings: Settings, number: int = 0, teaching: Teaching | None = None) -> Step:
    labels_bhw = METHODS["uncertainty"].labels(batch, K)
    normalizer = (labels_bhw != VOID).sum().float()
    return Step(batch, labels_bhw, teaching or Teaching(), normalizer, settings, number)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    labels = torch.randint(0, K, (2, 5, 6), dtype=torch.uint8).repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels[:, :8] = VOID
    return Batch(images, labels, torch.ones(2, K, dtype=torch.bool), torch.zeros(2).long(), torch.arange(2))


def net_of(name: str, seed: int = 0):
    torch.manual_seed(seed)
    return models.build(name, K, classifier="linear").train()


def literal(logits, labels_bhw, weight_bhw) -> float:
    """The sum over pixels of weight * -ln p[label], in float64."""
    p = np.stack([x.detach().double().softmax(1).numpy() for x in [logits]])[0]
    total = 0.0
    for b, y, x in np.argwhere(labels_bhw.numpy() != VOID):
        total -= weight_bhw[b, y, x] * math.log(p[b, labels_bhw[b, y, x], y, x])
    return total


@pytest.mark.parametrize("weighting", [*MAPS, "none"])
@pytest.mark.parametrize("normalize", ["all", "labelled"])
def test_members_learn_with_the_weights_of_what_they_answer_together(batch, weighting, normalize):
    settings, net = chosen(weighting=weighting, normalize=normalize), net_of("tiny+tiny")
    found = method.loss(net, None, step_of(batch, settings))
    net = net_of("tiny+tiny")  # the same again: BatchNorm has seen a batch
    logits = [member(normalized(batch.image_bchw)) for member in net.members]
    p = sum(x.double().softmax(1) for x in logits).detach() / 2
    entropy = (-(p * (p + 1e-10).log()).sum(1)).numpy().astype(np.float32)
    answer = p.argmax(1).byte().numpy()
    weight = np.ones(entropy.shape)
    if weighting != "none":
        rng = [np.random.default_rng((3, 0, 2, row)) for row in range(2)]
        weight = np.stack(
            [
                (1 + MAPS[weighting](*maps).astype(np.float64)) ** 2
                for maps in zip(entropy, answer, batch.label_bhw.numpy(), rng, strict=True)
            ]
        )
    divisor = batch.label_bhw.numel() if normalize == "all" else (batch.label_bhw != VOID).sum().item()
    expected = sum(literal(x, batch.label_bhw, weight) for x in logits) / divisor
    assert float(found.detach()) == pytest.approx(expected, rel=2e-5)


def test_no_gradient_goes_through_the_weights(batch):
    """The gradient is that of cross-entropy times constants."""
    settings, net = chosen(), net_of("tiny+tiny")
    method.loss(net, None, step_of(batch, settings)).backward()
    again = net_of("tiny+tiny")
    logits = [member(normalized(batch.image_bchw)) for member in again.members]
    p = sum(x.detach().softmax(1) for x in logits) / 2
    entropy = -(p * (p + 1e-10).log()).sum(1)
    u = [instance_uncertainty(h, c) for h, c in zip(entropy.numpy(), p.argmax(1).byte().numpy(), strict=True)]
    weight = (1 + torch.from_numpy(np.stack(u))) ** 2
    for x in logits:
        each = F.cross_entropy(x, batch.label_bhw.long(), ignore_index=VOID, reduction="none")
        (each * weight).mean().backward()
    for (name, one), other in zip(net.named_parameters(), again.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-6), name


def test_stored_maps_give_the_loss_of_those_in_memory(artifact, tmp_path):
    """From the nets to the loss, on disk and in memory: apart by what 16 bits cost, and no more."""
    nets = [net_of("tiny", seed).eval() for seed in (1, 2)]
    paths = []
    for seed, net in enumerate(nets):
        taxonomy = artifact.taxonomy
        space, digest = taxonomy.to_json()["space"], taxonomy.digest()
        names = taxonomy.space.names
        whole = checkpoint.Checkpoint(dict(net.config), names, space, digest, ("x",), "ce", 1, net.state_dict())
        checkpoint.save(whole, tmp_path / str(seed))
        paths.append(tmp_path / str(seed))
    maps = open_maps(make_maps(paths, artifact, tmp_path / "maps", Looking()).artifact.path)
    samples, student = Samples(build_index([artifact]), None, maps=maps), net_of("tiny", 3)
    row = int(np.flatnonzero([str(i) in maps.place for i in samples.index.sample_id])[0])
    order = [[Place(0, row, -1, -1)]]
    stored = next(batches(samples, order))
    with torch.inference_mode():
        p = sum(net(normalized(stored.image_bchw)).softmax(1) for net in nets) / 2
        entropy = -(p * (p + 1e-10).log()).sum(1)
    u = instance_uncertainty(entropy[0].numpy(), p[0].argmax(0).byte().numpy())
    exact = torch.from_numpy(((1 + u.astype(np.float64)) ** 2)[None])
    half = math.log(K) / STEPS / 2
    assert (stored.weight_bhw - exact).abs().max() <= (2 * (1 + math.log(K)) * half) * 1.05
    settings = chosen(model="tiny")
    by_disk = float(method.loss(student, None, step_of(stored, settings)).detach())
    memory = stored._replace(weight_bhw=exact.float())
    by_memory = float(method.loss(net_of("tiny", 3), None, step_of(memory, settings)).detach())
    assert by_disk == pytest.approx(by_memory, rel=2 * half)  # d(1 + U)^2 / (1 + U)^2 is 2 dU / (1 + U)


def test_shuffles_differ_by_update_and_image_and_come_again(batch):
    settings, net = chosen(weighting="shuffled"), net_of("tiny+tiny").eval()
    logits = [member(normalized(batch.image_bchw)) for member in net.members]
    weights = [method.pixel_weights(logits, step_of(batch, settings, number), True) for number in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


# --- Weights of classes -------------------------------------------------------------------------------------


def test_weights_of_classes_are_those_of_the_statistics(artifact, batch):
    settings = chosen(model="tiny", weighting="inverse")
    pixels = bind([artifact], settings, METHODS["uncertainty"], None).teaching.pixels
    counted = np.zeros(256, np.int64)
    samples = Samples(build_index([artifact]), None)
    for row in range(len(samples)):
        if samples.index.shards[samples.index.shard[row]].split == "train":
            counted += np.bincount(samples[row].label_hw.flatten(), minlength=256)
    assert pixels.tolist() == counted[:K].tolist()
    counts = statistics(artifact, [("cityscapes", "train")])[0].counts
    for form in ("inverse", "enet"):
        assert np.allclose(method.class_weights(pixels, form), WEIGHTS[form](counts), rtol=1e-6)
    root = method.class_weights(pixels, "inverse-sqrt")
    assert float(root.mean()) == pytest.approx(1) and torch.allclose(root**2 * pixels, (root**2 * pixels)[:1])
    rare = pixels.clone()
    rare[3] = 0
    assert method.class_weights(rare, "inverse")[3] == 0
    weight = method.pixel_weights([], step_of(batch, settings, teaching=Teaching(pixels=pixels)), False)
    table = method.class_weights(pixels, "inverse").tolist()
    for b, y, x in ((0, 20, 20), (1, 39, 47), (0, 8, 0)):
        assert weight[b, y, x] == table[batch.label_bhw[b, y, x]]
    assert (weight[:, :8] == 0).all()


# --- Ensembles ----------------------------------------------------------------------------------------------


def test_an_ensemble_answers_with_the_mean_of_its_members():
    net = net_of("tiny+tiny+tiny").eval()
    images = torch.randn(2, 3, 33, 47)
    with torch.no_grad():
        expected = torch.stack([m(images).double().softmax(1) for m in net.members]).mean(0)
        found, guess = net(images, auxiliary=True)
    assert guess is None and torch.equal(found, net(images))
    assert torch.allclose(found.double().exp(), expected, atol=1e-6)
    assert not torch.equal(net.members[0].classifier.weight, net.members[1].classifier.weight)


def test_parameters_of_an_ensemble_are_all_of_its_members():
    net = net_of("tiny+tiny")
    backbone, head = list(net.backbone_parameters()), list(net.head_parameters())
    assert len({id(p) for p in backbone + head}) == len(list(net.parameters())) == len(backbone) + len(head)
    groups = start.optimizer_of(net, None, chosen(member_lr="1,10", backbone_lr=0.1)).param_groups
    assert {g["name"]: g["factor"] for g in groups} == {
        "0-backbone": 0.1, "0-head": 1, "1-backbone": pytest.approx(1), "1-head": 10,
    }  # fmt: skip
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))
    plain = start.optimizer_of(net, None, chosen(backbone_lr=0.1)).param_groups
    assert [(g["name"], g["factor"]) for g in plain] == [("backbone", 0.1), ("head", 1.0)]


def test_an_ensemble_is_built_again_from_its_config():
    net = net_of("tiny+tiny")
    assert net.config == {"name": "tiny+tiny", "num_classes": K, "classifier": "linear"}
    again = models.build(**net.config)
    again.load_state_dict(net.state_dict())
    assert ensemble.build_ensemble("tiny+tiny", K, output_stride=2).config["output_stride"] == 2


def test_mistakes_with_ensembles_are_told():
    with pytest.raises(UnifyError, match="no model 'tinny'"):
        models.build("tiny+tinny", K)
    with pytest.raises(UnifyError, match="is of one net, and an ensemble has several"):
        models.build("tiny+tiny", K, weights="net.safetensors")
    for model, members in (("tiny", "no"), ("tiny+tiny", "2")):
        with pytest.raises(UnifyError, match=f"3 factors for {members} members — give one for each name"):
            start.optimizer_of(net_of(model), None, chosen(model=model, member_lr="1,1,10"))


# --- Runs ---------------------------------------------------------------------------------------------------


def losses_in(folder) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((folder / "log.csv").read_text().splitlines())]


def test_online_and_offline_runs_learn(artifact, coordinates, tmp_path):
    loop.train([artifact], tmp_path / "online", chosen(steps=14))
    loop.train([artifact], tmp_path / "offline", chosen(model="tiny", steps=14), weights=coordinates.path)
    for name in ("online", "offline"):
        losses = losses_in(tmp_path / name)
        assert np.mean(losses[-3:]) < np.mean(losses[:3]), name
    assert len(checkpoint.net_of(checkpoint.load(tmp_path / "online")).members) == 2


def test_a_run_goes_on_with_the_same_maps_only(artifact, coordinates, tmp_path):
    settings = chosen(model="tiny", save_every=2)
    loop.train([artifact], tmp_path / "whole", settings, weights=coordinates.path)

    class Killed(BaseException):
        pass

    def kill(number, _):
        nonlocal left
        left -= number
        if left == 0:
            raise Killed

    left = 2
    with pytest.raises(Killed):
        loop.train([artifact], tmp_path / "cut", settings, weights=coordinates.path, advance=kill)
    other = written(artifact, tmp_path / "maps", lambda label_hw: np.zeros(label_hw.shape))
    with pytest.raises(UnifyError, match="the maps of --weights were others"):
        loop.train([artifact], tmp_path / "cut", settings, weights=other.path, resume=True)
    loop.train([artifact], tmp_path / "cut", settings, weights=coordinates.path, resume=True)
    one, two = (checkpoint.load(tmp_path / name).weights for name in ("whole", "cut"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    zero = loop.train([artifact], tmp_path / "zero", settings, weights=other.path)
    none = loop.train([artifact], tmp_path / "none", dataclasses.replace(settings, own=method.Options("none")))
    assert zero["loss"] == none["loss"], "maps of 0 nats weigh 1"


def test_scores_in_training_are_of_stretched_images(artifact, tmp_path):
    settings = chosen(model="tiny", stretch=True, crop=48, evaluate_split="val", weighting="none")
    metrics = loop.train([artifact], tmp_path, settings)
    assert sum(map(sum, metrics["confusion"])) <= 48 * 48 < 80 * 56
    view = settings.view()
    assert view is not None and view.crop_hw == (48, 48) and chosen().view() is None


# --- Mistakes -----------------------------------------------------------------------------------------------


def test_mistakes_are_told(artifact, coordinates, tmp_path):
    runs = {
        "needs the answers of an ensemble — give --weights from `unify uncertainty`": (chosen(model="tiny"), None),
        "an ensemble learns from its own answers — leave one of the two out": (chosen(), coordinates.path),
        "weighting=none takes no maps": (chosen(model="tiny", weighting="none"), coordinates.path),
        "holds no maps of uncertainty": (chosen(model="tiny"), artifact.path),
        "ce takes no maps — leave them out, or train uncertainty": (settings_of("ce", QUIET), coordinates.path),
    }
    for number, (message, (settings, weights)) in enumerate(runs.items()):
        with pytest.raises(UnifyError, match=message):
            loop.train([artifact], tmp_path / str(number), settings, weights=weights)
    of_val = written(artifact, tmp_path / "val", lambda label_hw: np.zeros(label_hw.shape), ("val",))
    with pytest.raises(UnifyError, match="has no map of 4 of the 4 images that are drawn from, as cityscapes/train/"):
        loop.train([artifact], tmp_path / "v", chosen(model="tiny"), weights=of_val.path)


def test_an_ensemble_and_a_method_for_one_net(artifact, tmp_path):
    with pytest.raises(UnifyError, match=r"ce trains one net, not tiny\+tiny — give it one, or train uncertainty"):
        loop.train([artifact], tmp_path, settings_of("ce", {"model": "tiny+tiny", **QUIET}))


def test_maps_of_another_size_are_told(artifact, tmp_path):
    other = write_cityscapes(tmp_path / "raw/cityscapes", train=4, val=1, size=(40, 24)).parent
    small = written(build(plan_of(other, "C"), tmp_path / "out").artifact, tmp_path, lambda label_hw: 0 * label_hw)
    samples = Samples(build_index([artifact]), None, maps=open_maps(small.path))
    with pytest.raises(UnifyError, match=r"is \(24, 40\), its label \(56, 80\) — make the maps of the version"):
        samples[0]


def test_options_that_are_none_are_told():
    with pytest.raises(UnifyError) as e:
        settings_of("uncertainty", {"weighting": "instances", "normalize": "some", "member_lr": "1,x"})
    assert [p.what for p in e.value.problems] == [
        "there is no weighting 'instances'", "there is no normalize 'some'", "member_lr is 1,x",
    ]  # fmt: skip
    with pytest.raises(UnifyError, match="not all above 0"):
        method.Options(member_lr="1,0")
