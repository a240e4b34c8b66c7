"""DropClass: against the literal formulas, autograd, and sums by hand."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from trainers import checkpoint, loop, models  # noqa: E402
from trainers.data import Batch, normalized  # noqa: E402
from trainers.methods import METHODS, Step, Teaching  # noqa: E402
from trainers.methods.dropclass import Options, drawn, weights  # noqa: E402
from trainers.ops import dropclass_both, dropclass_loss  # noqa: E402
from trainers.ops.cosine import CosineClassifier  # noqa: E402
from trainers.ops.dropclass import DropConv, class_weights, mean_weight  # noqa: E402
from trainers.ops.dropclass_both import both_logits  # noqa: E402
from trainers.ops.dropclass_loss import loss_without  # noqa: E402
from trainers.ops.dropclass_reference import drop_features, mean_features  # noqa: E402
from trainers.settings import Settings, settings_of  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

from .worlds import tiny_streets  # noqa: E402

B, K, D, H, W = 2, 5, 7, 6, 4


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def inputs(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    features = torch.randn(B, D, H, W, dtype=dtype).relu().requires_grad_()
    classifier = nn.Conv2d(D, K, 1).to(dtype)
    return features, classifier, DropConv(D).to(dtype).train()


# --- The features -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", [None, 0, 2, K - 1])
def test_one_vector_is_the_mean_of_the_features_of_each_class(dropped):
    """Values, and the gradients through A, w_c, the convolution and BatchNorm, of autograd on the literal formula."""
    _, classifier, layer = inputs()
    torch.manual_seed(1)
    before = torch.randn(B, D, H, W, dtype=torch.float64, requires_grad=True)
    features = before.relu()  # where A is 0 only what comes before it has the same gradient in both
    along = torch.randn(B, D, H, W, dtype=torch.float64)
    leaves = [before, classifier.weight, *layer.parameters()]
    ours = layer(features, class_weights(classifier), dropped)
    literal = drop_features(features, classifier, K, layer.conv, layer.norm, dropped)
    torch.testing.assert_close(ours, literal, rtol=1e-12, atol=1e-12)
    found, expected = (torch.autograd.grad((x * along).sum(), leaves, retain_graph=True) for x in (ours, literal))
    for a, b in zip(found, expected, strict=True):
        assert float(b.abs().max()) > 1e-6
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_mean_weight_by_hand():
    weight = torch.tensor([[1.0, -2.0, 3.0], [-1.0, 4.0, 5.0], [2.0, 2.0, -7.0]])
    assert mean_weight(weight).tolist() == pytest.approx([1, 2, 8 / 3])
    assert mean_weight(weight, 1).tolist() == pytest.approx([1.5, 1, 1.5])
    assert mean_weight(weight[:1], 0).tolist() == [0, 0, 0]  # nothing is left
    features, classifier, _ = inputs()
    expected = mean_features(features, classifier, K, 3)
    ours = features * mean_weight(class_weights(classifier), 3)[:, None, None]
    torch.testing.assert_close(ours, expected)


def test_a_cosine_classifier_has_rows_too():
    rows = class_weights(CosineClassifier(D, K))
    assert rows.shape == (K, D) and rows.requires_grad


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.most = max([self.most, *(t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor))])
        return out


def test_no_tensor_of_classes_by_features_by_pixels():
    features, classifier, layer = inputs()
    with Largest() as ours:
        layer(features, class_weights(classifier), 1).sum().backward()
    assert ours.most == features.numel()
    with Largest() as stacked:  # the guard sees what it is there for
        (features[:, None] * class_weights(classifier).relu()[None, :, :, None, None]).mean(1)
    assert stacked.most == K * features.numel()


# --- Both answers in tiles ----------------------------------------------------------------------------------


def literally(features, classifier, layer, dropped):
    return classifier(features), classifier(drop_features(features, classifier, K, layer.conv, layer.norm, dropped))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("size", [(H, W), (20, 15), (16, 8)])  # one tile; two and a piece, as tiles are 128 pixels; one
@pytest.mark.parametrize("dropped", [None, 2])
def test_both_answers_in_tiles_are_those_of_autograd(dropped, size, momentum, monkeypatch):
    monkeypatch.setattr(dropclass_both, "_TILE", 128 * D)
    _, classifier, layer = inputs()
    with torch.no_grad():
        layer.norm.weight.uniform_(-1, 2)  # BatchNorm starts with 1 and 0, with which much is the same
        layer.norm.bias.uniform_(-1, 1)
    layer.norm.momentum = momentum
    twin = copy.deepcopy(layer)
    before = torch.randn(B, D, *size, dtype=torch.float64, requires_grad=True)
    features = before.relu()  # where A is 0 only what comes before it has the same gradient in both
    kept = features.detach().clone()
    along = torch.randn(2, B, K, *size, dtype=torch.float64)
    for _ in range(2):  # once more, for the running statistics
        ours = both_logits(layer, classifier, features, dropped)
        literal = literally(features, classifier, twin, dropped)
    assert type(ours[0].grad_fn).__name__ == "_BothBackward"
    leaves = [before, *classifier.parameters()]
    found, expected = (
        torch.autograd.grad((torch.stack(pair) * along).sum(), [*leaves, *of.parameters()], retain_graph=True)
        for pair, of in ((ours, layer), (literal, twin))
    )
    for a, b in zip([*ours, *found], [*literal, *expected], strict=True):
        assert float(b.detach().abs().max()) > 1e-6
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    assert torch.equal(features, kept)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[name], value, rtol=1e-12, atol=1e-12)


def test_a_mean_far_from_0_costs_no_precision_in_tiles():
    torch.manual_seed(2)
    layer, classifier = DropConv(D).train(), nn.Conv2d(D, K, 1)
    features = 300 + torch.rand(B, D, 40, 40)
    twin = [copy.deepcopy(module).double() for module in (classifier, layer)]
    exact = literally(features.double(), *twin, None)[1].detach()
    with torch.no_grad():
        ours = both_logits(layer, classifier, features)[1]
        plain = classifier(layer(features, class_weights(classifier)))
    error = float((ours - exact).abs().max())
    assert error < 2 * float((plain - exact).abs().max()) and error < 0.02 * float(exact.std())


def test_where_tiles_are_no_use_the_modules_answer():
    features, classifier, layer = inputs()
    last = features.detach().contiguous(memory_format=torch.channels_last)
    for chosen, other, read in (
        (CosineClassifier(D, K).double(), layer, features),
        (classifier, copy.deepcopy(layer).eval(), features),
        (nn.Conv2d(D, K, 1, bias=False).double(), layer, features),
        (classifier, layer, last),
    ):
        first, second = both_logits(other, chosen, read, 1)
        assert type(first.grad_fn).__name__ != "_BothBackward"
        assert torch.equal(first, chosen(read))
        assert torch.equal(second, chosen(other(read, class_weights(chosen), 1)))
    with pytest.raises(ValueError, match="more than 1 value per channel"):  # BatchNorm's own words
        both_logits(layer, classifier, features[:1, :, :1, :1], 1)


def test_in_tiles_one_more_map_is_kept_and_no_more():
    features, classifier, layer = inputs()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
        both_logits(layer, classifier, features, 1)
    maps = {x.data_ptr() for x in kept if x.numel() == features.numel()}
    assert len(maps) == 2 and features.data_ptr() in maps


# --- The loss -----------------------------------------------------------------------------------------------


def second(logits, labels, normalizer, dropped, t, alpha):
    return loss_without(logits, labels, dropped, *weights(labels, normalizer, dropped, t, alpha))


@pytest.mark.parametrize("dropped", [None, 0, 3])
def test_the_gradient_of_the_second_loss_is_that_of_autograd(dropped):
    torch.manual_seed(4)
    logits = torch.randn(B, K, H, W, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, K, (B, H, W), dtype=torch.uint8)
    labels[0, :2] = 255
    a, b = torch.tensor(0.7), torch.tensor(0.0 if dropped is None else 1.3)
    kept = labels.long().masked_fill(labels == (255 if dropped is None else dropped), 255)
    plain = a * F.cross_entropy(logits, kept, ignore_index=255, reduction="sum")
    plain = plain + b * logits.softmax(1)[:, dropped or 0].sum()
    ours = loss_without(logits, labels, dropped, a, b)
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=0)
    found, expected = (torch.autograd.grad(2.5 * x, logits)[0] for x in (ours, plain))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert loss_without(logits.half(), labels, dropped, a, b).dtype == torch.float32


@pytest.mark.parametrize("dropped", [None, 2])
@pytest.mark.parametrize(("small", "size", "shown"), [
    ((6, 9), (24, 36), (24, 36)), ((5, 4), (20, 16), (17, 13)), ((3, 7), (10, 17), (10, 16)), ((4, 4), (4, 4), (4, 4)),
])  # fmt: skip
def test_tiles_of_enlarged_logits_are_the_whole(dropped, small, size, shown, monkeypatch):
    """In tiles of 6 x 6 pixels, padded sizes and scales that are no whole number among them: torch's own functions."""
    monkeypatch.setattr(dropclass_loss, "_TILE", {"cpu": 36 * K})
    torch.manual_seed(5)
    logits = (4 * torch.randn(B, K, *small, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(0, K, (B, *shown), dtype=torch.uint8)
    labels[1, -4:, 2:] = 255
    a, b = torch.tensor(0.7, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64)
    full = F.interpolate(logits, size, mode="bilinear")[:, :, : shown[0], : shown[1]]
    kept = labels.long().masked_fill(labels == (255 if dropped is None else dropped), 255)
    expected = a * F.cross_entropy(full, kept, ignore_index=255, reduction="sum")
    if dropped is not None:
        expected = expected + b * full.softmax(1)[:, dropped].sum()
    ours = loss_without(logits, labels, dropped, a, b, size)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)
    found, slope = (torch.autograd.grad(0.4 * x, logits)[0] for x in (ours, expected))
    torch.testing.assert_close(found, slope, rtol=1e-9, atol=1e-12)
    with Largest() as most:
        loss_without(logits.detach(), labels, dropped, a, b, size)
    assert most.most <= max(logits.numel(), labels.numel(), 36 * K)  # no logits at the size of the images


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision(dtype):
    torch.manual_seed(6)
    logits = torch.randn(B, K, 6, 4).to(dtype).requires_grad_()
    labels = torch.randint(0, K, (B, 24, 16), dtype=torch.uint8)
    a, b = torch.tensor(0.01), torch.tensor(0.02)
    exact = logits.detach().float().requires_grad_()
    expected = loss_without(exact, labels, 1, a, b, (24, 16))
    ours = loss_without(logits, labels, 1, a, b, (24, 16))
    assert ours.dtype == torch.float32 and ours.item() == expected.item()
    (slope,), (wanted,) = torch.autograd.grad(ours, logits), torch.autograd.grad(expected, exact)
    assert slope.dtype == dtype
    torch.testing.assert_close(slope, wanted.to(dtype), rtol=0, atol=0)


def test_labels_that_are_no_classes_are_refused():
    for number in (0, 5):
        step = step_of(number=number)
        step.labels_bhw[0, 0, 0] = K + 1
        with pytest.raises(UnifyError, match=f"label {K + 1} in a batch"):
            METHODS["dropclass"].loss(net_of("dropclass"), None, step)


def step_of(number=0, steps=10, size=(16, 16), num_classes=K, allowed=None, seed=0, **options):
    torch.manual_seed(seed)
    image = torch.randint(0, 256, (B, 3, *size), dtype=torch.uint8)
    label = torch.randint(0, num_classes, (B, *size), dtype=torch.uint8)
    label[:, :3] = 255
    allowed = torch.ones(B, num_classes, dtype=torch.bool) if allowed is None else allowed
    batch = Batch(image, label, allowed, torch.zeros(B, dtype=torch.int64), torch.arange(B))
    settings = Settings("dropclass", steps=steps, own=Options(**options))
    return Step(batch, label, Teaching(), (label != 255).sum(), settings, number)


def net_of(path, seed=3):
    torch.manual_seed(seed)
    return models.build("tiny", K, classifier="linear", path=path).train()


def test_nothing_dropped_and_t_0_is_the_loss_of_the_baseline_exactly():
    """ce of a net without the path, of the same seed: the loss, and every gradient, to the bit."""
    ours, base = net_of("dropclass"), net_of(None)
    step = step_of(number=7, drop_to=0.0, weight_to=0.0)
    found = METHODS["dropclass"].loss(ours, None, step)
    expected = METHODS["ce"].loss(base, None, replace(step, settings=Settings("ce")))
    assert found.item() == expected.item() and found.item() > 0
    found.backward()
    expected.backward()
    own = dict(ours.named_parameters())
    for name, weight in base.named_parameters():
        assert torch.equal(own[name].grad, weight.grad), name
    assert all(not w.grad.any() for name, w in own.items() if name.startswith("path."))


def test_the_beginning_of_a_run_is_the_baseline_too():
    assert drawn(step_of(number=0), K) is None
    found = METHODS["dropclass"].loss(net_of("dropclass"), None, step_of(number=0))
    expected = METHODS["ce"].loss(net_of(None), None, replace(step_of(), settings=Settings("ce")))
    assert found.item() == expected.item()


def test_the_whole_loss_by_the_formula():
    """(1 - t) CE + t CE without z + alpha mean p_z, from the literal features and F.cross_entropy."""
    step = step_of(number=5, drop_from=1.0, alpha=3.0)
    z, t = drawn(step, K), 0.5
    assert z is not None
    net = net_of("dropclass")
    features, _ = net._features(normalized(step.batch.image_bchw))
    literal = drop_features(features, net.classifier, K, net.path.conv, net.path.norm, z)
    size = step.labels_bhw.shape[1:]
    plain, again = (F.interpolate(net.classifier(x), size, mode="bilinear") for x in (features, literal))
    labels = step.labels_bhw.long()
    expected = (1 - t) * F.cross_entropy(plain, labels, ignore_index=255)
    expected = expected + t * F.cross_entropy(again, labels.masked_fill(labels == z, 255), ignore_index=255)
    expected = expected + 3.0 * again.softmax(1)[:, z].mean()
    weights = [w for w in net.parameters() if w.requires_grad]
    slopes = torch.autograd.grad(expected, weights, allow_unused=True)
    found = METHODS["dropclass"].loss(net_of("dropclass"), None, step)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    fresh = net_of("dropclass")
    METHODS["dropclass"].loss(fresh, None, step).backward()
    for own, slope in zip(fresh.parameters(), slopes, strict=True):
        torch.testing.assert_close(own.grad, slope, rtol=2e-3, atol=2e-5)


def test_the_second_and_third_term_pixel_by_pixel():
    torch.manual_seed(4)
    logits = torch.randn(B, K, H, W, dtype=torch.float64)
    labels = torch.randint(0, K, (B, H, W), dtype=torch.uint8)
    labels[0, :2] = 255
    for dropped in (None, 1):
        errors, rest, pixels = 0.0, 0.0, 0
        for (b, y, x), label in np.ndenumerate(labels.numpy()):
            p = np.exp(logits[b, :, y, x].numpy())
            p /= p.sum()
            if dropped is not None:
                rest += p[dropped] / labels.numel()
            if label not in (255, dropped):
                errors, pixels = errors - math.log(p[label]), pixels + 1
        found = second(logits, labels, (labels != 255).sum(), dropped, 0.3, 10.0)
        assert float(found) == pytest.approx(0.3 * errors / pixels + 10.0 * rest, rel=1e-6)


def test_parts_of_an_update_count_by_their_labelled_pixels():
    torch.manual_seed(4)
    logits = torch.randn(B, K, H, W, dtype=torch.float64)
    labels = torch.randint(0, K, (B, H, W), dtype=torch.uint8)
    labels[0, :4] = 255
    whole = (labels != 255).sum()
    parts = [second(logits[i : i + 1], labels[i : i + 1], whole, 2, 0.3, 10.0) for i in range(B)]
    alone = [second(logits[i : i + 1], labels[i : i + 1], (labels[i] != 255).sum(), 2, 0.3, 10.0) for i in range(B)]
    shares = [float((labels[i] != 255).sum() / whole) for i in range(B)]
    assert float(sum(parts)) == pytest.approx(sum(s * float(x) for s, x in zip(shares, alone, strict=True)))


def test_only_void_is_no_loss():
    labels = torch.full((B, H, W), 255, dtype=torch.uint8)
    for dropped in (None, 1):
        logits = torch.randn(B, K, H, W, requires_grad=True)
        loss = second(logits, labels, torch.tensor(1), dropped, 0.5, 10.0)
        loss.backward()
        assert loss.item() == 0 and not logits.grad.any()


def test_a_null_mask_keeps_other_classes_out_of_every_term():
    """The first image's source annotates 0..2: as if the others had no logits there."""
    allowed = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    step = step_of(number=5, allowed=allowed, drop_from=1.0)
    step.labels_bhw[0] = torch.where(step.labels_bhw[0] < 3, step.labels_bhw[0], 255)
    net = net_of("dropclass")
    net.eval()  # BatchNorm would mix the images
    z = drawn(step, K)
    t, pixels = 0.5, (step.labels_bhw != 255).sum()
    step = replace(step, normalizer=pixels)
    features, _ = net._features(normalized(step.batch.image_bchw))
    size = step.labels_bhw.shape[1:]
    first, second, third, kept = 0.0, 0.0, 0.0, 0
    for i, ids in enumerate(([0, 1, 2], [0, 1, 2, 3, 4])):
        labels = step.labels_bhw[i : i + 1].long()
        plain = net.classifier(features[i : i + 1])[:, ids]
        again = net.classifier(net.path(features[i : i + 1], class_weights(net.classifier), z))[:, ids]
        plain, again = (F.interpolate(x, size, mode="bilinear") for x in (plain, again))
        without = labels.masked_fill(labels == z, 255)
        kept += int((without != 255).sum())
        first += F.cross_entropy(plain, labels, ignore_index=255, reduction="sum")
        second += F.cross_entropy(again, without, ignore_index=255, reduction="sum")
        third += again.softmax(1)[:, ids.index(z)].mean() / B if z in ids else 0.0
    expected = (1 - t) * first / pixels + t * second / kept + 10 * third
    assert METHODS["dropclass"].loss(net, None, step).item() == pytest.approx(expected.item(), rel=1e-5)
    classes = {drawn(replace(step, number=n), K) for n in range(5, 10)}
    assert classes & {3, 4}, "one of those that the first source does not annotate has to be among them"


def test_no_source_learns_of_classes_that_it_does_not_annotate():
    allowed = torch.tensor([[1, 1, 1, 0, 0]] * B, dtype=torch.bool)
    for number in range(5, 10):
        step = step_of(number=number, allowed=allowed, drop_from=1.0)
        step.labels_bhw.copy_(torch.where(step.labels_bhw < 3, step.labels_bhw, 255))
        net = net_of("dropclass")
        METHODS["dropclass"].loss(net, None, step).backward()
        assert not net.classifier.bias.grad[3:].any() and net.classifier.bias.grad[:3].any()
        # Their rows are part of the mean, which the gradient goes through; with null_mask=false also of the softmax.
        open_step = replace(step, settings=Settings("dropclass", steps=10, own=Options(drop_from=1.0, null_mask=False)))
        net = net_of("dropclass")
        METHODS["dropclass"].loss(net, None, open_step).backward()
        assert net.classifier.bias.grad[3:].all()


# --- The draw -----------------------------------------------------------------------------------------------


def test_one_class_uniformly_as_often_as_the_run_is_advanced():
    steps = 6000
    step = step_of(steps=steps)
    found = [drawn(replace(step, number=n), K) for n in range(steps)]
    assert found == [drawn(replace(step, number=n), K) for n in range(steps)]  # whoever asks
    for tenth in range(10):
        share = np.mean([z is not None for z in found[tenth * 600 : (tenth + 1) * 600]])
        assert abs(share - (tenth + 0.5) / 10) < 0.07  # three standard deviations and a bit
    counts = Counter(z for z in found if z is not None)
    assert set(counts) == set(range(K)) and all(abs(n - 600) < 75 for n in counts.values())
    other = replace(step, settings=replace(step.settings, seed=1))
    assert found != [drawn(replace(other, number=n), K) for n in range(steps)]


def test_options_are_read_and_refused():
    assert settings_of("dropclass", {"alpha": "2.5", "null_mask": "false"}).own == Options(alpha=2.5, null_mask=False)
    with pytest.raises(UnifyError) as caught:
        settings_of("dropclass", {"alpha": "-1", "drop_to": "1.5"})
    assert [p.what for p in caught.value.problems] == ["drop_to is 1.5, not 0..1", "alpha is -1, not at least 0"]


# --- The net ------------------------------------------------------------------------------------------------


def test_a_net_is_used_through_the_path_with_nothing_dropped():
    net = net_of("dropclass").eval()
    images = torch.randn(2, 3, 24, 20)
    features, _ = net._features(images)
    literal = drop_features(features, net.classifier, K, net.path.conv, net.path.norm, None)
    torch.testing.assert_close(net.features(images), literal, rtol=1e-4, atol=1e-5)
    expected = F.interpolate(net.classifier(literal), scale_factor=4, mode="bilinear")[:, :, :24, :20]
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-4)
    assert net.config["path"] == "dropclass" and "path" not in net_of(None).config
    with pytest.raises(UnifyError, match="no path 'x'"):
        models.build("tiny", 3, path="x")


def test_every_weight_is_trained_once():
    net = net_of("dropclass")
    groups = models.parameter_groups(net, lr=1.0, weight_decay=0.0)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in net.parameters())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=2)


@pytest.mark.parametrize("classifier", ["", "cosine"])
def test_a_run_and_its_checkpoint(artifact, tmp_path, classifier):
    settings = Settings("dropclass", steps=3, batch=2, crop=32, classifier=classifier, own=Options(drop_from=1.0))
    done = loop.train([artifact], tmp_path / "run", settings)
    assert math.isfinite(done["loss"]) and done["miou"] is not None
    loaded = checkpoint.load(tmp_path / "run")
    assert loaded.config["path"] == "dropclass" and loaded.config["classifier"] == (classifier or "linear")
    net = checkpoint.net_of(loaded)
    assert isinstance(net.path, DropConv) and int(net.path.norm.num_batches_tracked) == 3
