"""The sums of a sweep, against a loop over pixels, and in all against `Evidence.add`."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainers import checkpoint, sweep  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from trainers.data import Samples, normalized  # noqa: E402
from trainers.models import build as build_net  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.relations.evidence import UNIT, Evidence, fold_of, softmax_over  # noqa: E402

from . import nets  # noqa: E402
from .worlds import tiny_streets  # noqa: E402


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=2)


def saved(artifact, folder, model="cosine", classes=None):
    taxonomy = artifact.taxonomy
    torch.manual_seed(5)
    names = classes or taxonomy.space.names
    net = nets.build(model, len(names))
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3)
    whole = Checkpoint(
        net.config, names, taxonomy.to_json()["space"], taxonomy.digest(), ("x",), "ce", 1, dict(net.state_dict())
    )
    checkpoint.save(whole, folder)
    return folder / "ckpt.pt"


def by_pixel(logits_khw, label_hw, known_k, annotated_sk, scale):
    """The definition, a pixel at a time, in Python's own floats."""
    k, s = len(logits_khw), len(annotated_sk)
    pixels, scores, answers = np.zeros(k, np.int64), np.zeros((k, k)), np.zeros((k, s, k))
    for y, x in np.ndindex(*label_hw.shape):
        label = int(label_hw[y, x])
        if label >= k or not known_k[label]:
            continue
        logits = [float(v) for v in logits_khw[:, y, x]]
        pixels[label] += 1
        for j, v in enumerate(logits):
            scores[label, j] += 2 / (1 + math.exp(-v)) - 1 if scale is None else v / scale
        for o in range(s):
            total = sum(math.exp(v) for v, there in zip(logits, annotated_sk[o], strict=True) if there)
            for j, v in enumerate(logits):
                answers[label, o, j] += math.exp(v) / total if annotated_sk[o, j] else 0
    return pixels, scores, answers


@pytest.mark.parametrize("scale", [20.0, None])
def test_sums_of_an_image_are_those_of_a_loop(monkeypatch, scale):
    """With void, a set code, a class that the source does not annotate, a source without classes; blocks of 7."""
    monkeypatch.setattr(sweep, "_BLOCK", {"cpu": 7})
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (5, 6, 7)).astype(np.float32)
    label = rng.choice([0, 1, 2, 3, 5, 255], (6, 7)).astype(np.uint8)
    known = np.array([True, True, False, True, True])
    annotated = np.array([known, [True, False, True, True, False], [False] * 5])
    found = sweep.image_sums(*(torch.from_numpy(a) for a in (logits, label, known, annotated)), scale)
    for one, other in zip(found, by_pixel(logits, label, known, annotated, scale), strict=True):
        assert one.shape == other.shape and np.allclose(one, other, rtol=1e-12, atol=1e-12)
    assert found[0][2] == 0 and found[0].sum() == ((label < 4) & (label != 2)).sum()


def test_answers_of_a_source_that_is_far_below_another():
    """Logits beyond what an exponential holds, where the source's classes differ all the same."""
    logits = torch.tensor([2000.0, -1.0, 1.0])[:, None, None].expand(3, 2, 2)
    mask = torch.tensor([[True, False, False], [False, True, True]])
    _, _, answers = sweep.image_sums(logits, torch.zeros(2, 2, dtype=torch.uint8), mask[0], mask, None)
    expected = softmax_over(logits.flatten(1).T.numpy(), mask[1].numpy()).sum(axis=0)
    assert np.allclose(answers[0, 1], expected) and answers[0, 0].tolist() == [4, 0, 0] and expected[1] > 0


def test_an_image_of_void_adds_nothing():
    label = torch.full((4, 4), 255, dtype=torch.uint8)
    mask = torch.ones(1, 3, dtype=torch.bool)
    pixels, scores, answers = sweep.image_sums(torch.randn(3, 4, 4), label, mask[0], mask, 20.0)
    assert not pixels.any() and not scores.any() and not answers.any() and answers.shape == (3, 1, 3)


@pytest.mark.parametrize("model", ["cosine", "plain"])
def test_a_sweep_is_the_evidence_of_all_images(artifact, tmp_path, model):
    """The net run by hand on each image, its features' cosines taken from their definition, and `Evidence.add`."""
    path = saved(artifact, tmp_path, model)
    told = []
    found = sweep.evidence_of(path, artifact, split="train", advance=lambda images, size: told.append(images))
    net = checkpoint.net_of(checkpoint.load(path))
    index = build_index([artifact])
    samples = Samples(index, None)
    expected = Evidence.of_taxonomy(artifact.taxonomy, found.made_from)
    rows = [row for row in range(len(index)) if index.shards[index.shard[row]].split == "train"]
    for row in rows:
        sample = samples[row]
        with torch.no_grad():
            logits = net(normalized(sample.image_chw[None]))[0].flatten(1).T.double().numpy()
        scores = logits / 20 if model == "cosine" else 2 / (1 + np.exp(-logits)) - 1
        sample_id = index.sample_id[row].as_py()
        labels = sample.label_hw.numpy().ravel()
        expected = expected.add(samples.sources[sample.source], sample_id, labels, scores, logits)
    assert told == [1] * len(rows) and len(rows) == 4
    assert np.array_equal(found.pixels, expected.pixels) and np.array_equal(found.images, expected.images)
    assert np.abs(found.scores - expected.scores).max() <= 2 and np.abs(found.answers - expected.answers).max() <= 2
    assert found.scores.any() and np.abs(found.scores).max() > UNIT
    assert found.made_from == {"checkpoint": checkpoint.load(path).file_digest, "data": artifact.digest}
    assert {fold_of(index.sample_id[row].as_py()) for row in rows} == set(np.flatnonzero(found.pixels.sum((1, 2))))


def test_a_sweep_with_a_stride_looks_at_the_middle_of_each_square(artifact, tmp_path):
    """Against all images cut by hand: pixel 1 of every 3, in both directions."""
    path = saved(artifact, tmp_path)
    found = sweep.evidence_of(path, artifact, stride=3)
    net = checkpoint.net_of(checkpoint.load(path))
    index = build_index([artifact])
    samples = Samples(index, None)
    expected = Evidence.of_taxonomy(artifact.taxonomy, found.made_from)
    for row in (row for row in range(len(index)) if index.shards[index.shard[row]].split == "train"):
        sample = samples[row]
        with torch.no_grad():
            logits = net(normalized(sample.image_chw[None]))[0].double().numpy()[:, 1::3, 1::3].reshape(28, -1).T
        labels = sample.label_hw.numpy()[1::3, 1::3].ravel()
        sample_id = index.sample_id[row].as_py()
        expected = expected.add(samples.sources[sample.source], sample_id, labels, logits / 20, logits)
    assert np.array_equal(found.pixels, expected.pixels) and found.pixels.any()
    assert np.abs(found.scores - expected.scores).max() <= 2 and np.abs(found.answers - expected.answers).max() <= 2


def test_our_own_nets_give_the_logits_of_a_stride_without_those_in_between():
    """At the net's own stride they are not enlarged at all; where the stride does not divide the image, cut out."""
    torch.manual_seed(0)
    net = build_net("tiny", 5, output_stride=4).eval()
    images = torch.randn(1, 3, 24, 40)
    with torch.no_grad():
        own = net.classifier(net.features(images))
        whole = net(images)
        assert own.shape == (1, 5, 6, 10) and torch.equal(sweep._logits(net, images, 4), own)
        assert torch.equal(sweep._logits(net, images, 1), whole)
        assert torch.equal(sweep._logits(net, images, 3), whole[:, :, 1::3, 1::3])


def test_cosines_are_those_of_features_and_classes(artifact, tmp_path):
    """Mean scores at stride 4, before logits are enlarged, from vectors of length 1."""
    net = checkpoint.net_of(checkpoint.load(saved(artifact, tmp_path)))
    features = net.backbone(torch.randn(1, 3, 32, 32))
    directions = torch.nn.functional.normalize(net.head.weight, dim=1)
    cosines = torch.einsum("bdhw,kd->bkhw", torch.nn.functional.normalize(features, dim=1), directions)
    assert torch.allclose(net.head(features) / sweep.cosine_scale(net), cosines, atol=1e-6)


def test_the_same_sweep_gives_the_same_bytes(artifact, tmp_path):
    path = saved(artifact, tmp_path)
    assert sweep.evidence_of(path, artifact).digest == sweep.evidence_of(path, artifact).digest


def test_what_cannot_be_swept_is_one_line(artifact, tmp_path):
    path = saved(artifact, tmp_path / "a")
    with pytest.raises(UnifyError, match="has no image in split 'test' — there is train, val"):
        sweep.evidence_of(path, artifact, split="test")
    fewer = saved(artifact, tmp_path / "b", classes=artifact.taxonomy.space.names[:-1])
    with pytest.raises(UnifyError, match=r"answers in 27 classes, and ci-union28 1\.0\.0 has 28"):
        sweep.evidence_of(fewer, artifact)
