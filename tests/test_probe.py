"""The probe of Appendix A: features by the formula, a frozen net, and a class that can or cannot be had back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

torch = pytest.importorskip("torch")

from trainers import checkpoint, models  # noqa: E402
from trainers.checkpoint import Checkpoint  # noqa: E402
from trainers.data import Samples, normalized  # noqa: E402
from trainers.ops.dropclass_reference import drop_features, mean_features  # noqa: E402
from trainers.probe import Reader, Training, answers_of, kept_features, new_classifiers, probe  # noqa: E402
from unify.build import build  # noqa: E402
from unify.cli import app  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.sample import write_streets  # noqa: E402

from .worlds import plan_of  # noqa: E402

QUICK = Training(steps=3, batch=2, crop=32)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C"], images=4, seed=1, size=0.06)
    return build(plan_of(folder / "raw", "C"), folder / "out").artifact


def net_of(artifact, path, seed=0):
    torch.manual_seed(seed)
    return models.build("tiny", len(artifact.taxonomy.space), classifier="linear", path=path).eval()


def saved(artifact, net, folder):
    taxonomy = artifact.taxonomy
    facts = (net.config, taxonomy.space.names, taxonomy.to_json()["space"], taxonomy.digest(), ("x",), "ce", 1)
    checkpoint.save(Checkpoint(*facts, dict(net.state_dict())), folder)
    return folder


@pytest.mark.parametrize("dropped", [None, 3])
def test_what_is_read_are_the_features_of_the_other_classes(artifact, dropped):
    classes = len(artifact.taxonomy.space)
    features, _ = net_of(artifact, None)._features(torch.randn(2, 3, 16, 16))
    with_layer, without = net_of(artifact, "dropclass"), net_of(artifact, None)
    literal = drop_features(
        features, with_layer.classifier, classes, with_layer.path.conv, with_layer.path.norm, dropped
    )
    torch.testing.assert_close(kept_features(with_layer, features, dropped), literal.detach(), rtol=1e-4, atol=1e-5)
    literal = mean_features(features, without.classifier, classes, dropped).detach()
    ours = kept_features(without, features, dropped)
    scale = float((ours.sum() / literal.sum()).detach())
    torch.testing.assert_close(ours, literal * scale, rtol=1e-4, atol=1e-5)


def test_only_the_new_classifiers_learn(artifact):
    net = net_of(artifact, "dropclass")
    before = {name: w.clone() for name, w in net.state_dict().items()}
    index = build_index([artifact])
    readers = new_classifiers(net, index, [None, 2, 2], QUICK, lambda n, size: None)
    assert all(torch.equal(w, before[name]) for name, w in net.state_dict().items())
    assert torch.equal(readers[1].layer.weight, readers[2].layer.weight)  # of the same crops and weights
    assert not torch.equal(readers[0].layer.weight, readers[1].layer.weight)
    again = new_classifiers(net, index, [2], QUICK, lambda n, size: None)
    assert torch.equal(again[0].layer.weight, readers[1].layer.weight)
    with pytest.raises(UnifyError, match="has no image in split 'x'"):
        new_classifiers(net, index, [None], Training(split="x"), lambda n, size: None)


class Known(torch.nn.Module):
    """Two features: where class 1 is (the red channel says so), for class 1 alone, and one more for class 0."""

    def __init__(self, apart):
        super().__init__()
        self.path, self.channels, self.apart = None, 2, apart
        self.classifier = torch.nn.Conv2d(2, 2, 1)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[:, :, None, None])

    def _features(self, images):
        here = (images[:, :1] > 0).float()
        return torch.cat([here, torch.ones_like(here) if self.apart else 1 - here], 1), None

    def _enlarged(self, logits, images):
        return logits

    def _through(self, features):
        return features


@pytest.mark.parametrize("apart", [True, False])
def test_a_class_can_be_had_back_where_features_of_others_tell_it(apart):
    """What is left is constant where features are apart, and the complement of the class where they are not."""
    net = Known(apart).eval()
    image = torch.zeros(3, 12, 12, dtype=torch.uint8)
    image[0, 3:9, 2:10] = 255
    labels = (image[0] > 0).long()
    features, _ = net._features(normalized(image[None]))
    readers = []
    for dropped in (None, 1):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(2, 2, 1)
        optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
        for _ in range(100):
            optimizer.zero_grad()
            logits = layer(kept_features(net, features, dropped))
            torch.nn.functional.cross_entropy(logits, labels[None]).backward()
            optimizer.step()
        readers.append(Reader(layer, dropped))
    _, kept, without = answers_of(net, readers, image, torch.ones(2, dtype=torch.bool))
    assert np.array_equal(kept, labels.numpy())
    assert np.array_equal(without, labels.numpy() * 0 if apart else labels.numpy())


@pytest.mark.parametrize("path", ["dropclass", None])
def test_figures_of_a_checkpoint(artifact, tmp_path, path):
    run = saved(artifact, net_of(artifact, path), tmp_path / "run")
    told = []
    facts, probed = probe(run, artifact, ["road", "pole"], training=QUICK, advance=lambda n, size: told.append(n))
    assert facts["path"] == ("dropclass" if path else "baseline") and sum(told) == 3 + facts["images"]
    samples = Samples(build_index([artifact]), None)
    rows = [i for i in range(len(samples)) if samples.index.shards[samples.index.shard[i]].split == "val"]
    for name in ("road", "pole"):
        k = artifact.taxonomy.space.index(name)
        place = {"net": 0, "kept": 1, "dropped": 2 + ["road", "pole"].index(name)}
        for key, number in place.items():
            both = either = 0
            for row in rows:
                sample = samples[row]
                answer = answers_of(probed.net, probed.readers, sample.image_chw, sample.allowed_k)[number]
                truth = sample.label_hw.numpy()
                both += ((answer == k) & (truth == k)).sum()
                either += ((answer == k) & (truth != 255) | (truth == k)).sum()
            assert facts["classes"][name][key] == both / either
    with torch.no_grad():
        sample = samples[rows[0]]
        own = net_of(artifact, path)(normalized(sample.image_chw[None]))[0].argmax(0)
    assert np.array_equal(answers_of(probed.net, [], sample.image_chw, sample.allowed_k)[0], own.numpy())


def test_the_command(artifact, tmp_path):
    runs = [str(saved(artifact, net_of(artifact, p), tmp_path / name)) for name, p in (("d", "dropclass"), ("b", None))]
    base = ["probe", "dropclass", *runs, "--data", str(artifact.path), "--class", "road", "--class", "pole"]
    base += ["--steps", "2", "--crop", "32", "--batch", "1"]
    run, picture = CliRunner(), tmp_path / "probe.png"
    text = run.invoke(app, [*base, "--picture", str(picture)], catch_exceptions=False).stdout
    assert text.count("road") == 2 and "baseline" in text and "class dropped" in text
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 2 * 320
    found = json.loads(run.invoke(app, [*base, "--json"], catch_exceptions=False).stdout)
    assert set(found) == {"d", "b"} and found["d"]["classes"]["pole"]["dropped"] is not None
    wrong = run.invoke(app, [*base, "--class", "roda"])
    assert isinstance(wrong.exception, UnifyError) and "roda" in str(wrong.exception)
