"""CPP pooling against Algorithm 1 as the paper has it, its loss against its definition, heads against what they are."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainers import checkpoint, loop  # noqa: E402
from trainers.data import Batch  # noqa: E402
from trainers.methods import METHODS, Step, Teaching  # noqa: E402
from trainers.methods.cpp import Options, aux_losses  # noqa: E402
from trainers.models import build as build_net  # noqa: E402
from trainers.ops import cpp, cpp_reference, kl  # noqa: E402
from trainers.ops.labels import VOID  # noqa: E402
from trainers.ops.softmax import cross_entropy, nll_plus  # noqa: E402
from trainers.parts.aux_heads import AuxHeads, heads_for  # noqa: E402
from trainers.settings import Settings, settings_of  # noqa: E402
from unify.build import build  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

from .worlds import plan_of, small_world  # noqa: E402

K = 6


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def labels_of(seed: int, size=(2, 37, 53), patch: int = 3, void: float = 0.2) -> torch.Tensor:
    """Patches of random classes with void in them."""
    rng = np.random.default_rng(seed)
    batch, height, width = size
    coarse = rng.integers(0, K, (batch, -(-height // patch), -(-width // patch)), np.uint8)
    found = np.kron(coarse, np.ones((1, patch, patch), np.uint8))[:, :height, :width]
    return torch.from_numpy(np.where(rng.random(found.shape) < void, VOID, found).astype(np.uint8))


# --- The operator -------------------------------------------------------------------------------------------


def algorithm_1(labels_bhw: torch.Tensor, scale: int) -> torch.Tensor:
    """For each pixel (l, m), for each class k: count (i, j) with sl <= i < s(l+1), sm <= j < s(m+1); over s^2."""
    batch, height, width = labels_bhw.shape
    maps = labels_bhw.tolist()
    found = torch.zeros(batch, K, -(-height // scale), -(-width // scale))
    for b in range(batch):
        for row in range(found.shape[2]):
            for column in range(found.shape[3]):
                for k in range(K):
                    count = 0
                    for i in range(scale * row, min(height, scale * (row + 1))):
                        for j in range(scale * column, min(width, scale * (column + 1))):
                            count += maps[b][i][j] == k
                    found[b, k, row, column] = count / scale**2
    return found


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("size", [(1, 32, 32), (2, 17, 41), (1, 1, 70), (2, 33, 1)])
def test_pooling_is_algorithm_1(scale, size):
    labels = labels_of(scale, size)
    expected = algorithm_1(labels, scale)
    assert torch.equal(cpp.cpp_pool(labels, K, scale), expected)
    assert torch.equal(cpp_reference.cpp_pool(labels, K, scale), expected)
    assert torch.equal(cpp.by_scatter(labels, K, scale, 1, VOID, False, as_shares=True)[0], expected)


@pytest.mark.parametrize("seed", range(6))
def test_all_forms_agree(seed):
    """Odd sizes, any scale, long runs and noise, with void and without: the same bits."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 4)), int(rng.integers(1, 150)), int(rng.integers(1, 300)))
    labels = labels_of(seed, size, patch=(1, 2, 5, 20, 64, 200)[seed], void=(0.0, 0.01, 0.5)[seed % 3])
    for scale in (int(rng.integers(1, 50)), 4):
        for keep_void in (False, True):
            expected = [cpp_reference.cpp_pool(labels, K, scale << i, keep_void=keep_void) for i in range(3)]
            alone = [cpp.cpp_pool(labels, K, scale << i, keep_void=keep_void) for i in range(3)]
            chain = cpp.cpp_pyramid(labels, K, (scale, 2 * scale, 4 * scale), keep_void=keep_void)
            scattered = cpp.by_scatter(labels, K, scale, 3, VOID, keep_void, as_shares=True)
            for ways in zip(expected, alone, chain, scattered, strict=True):
                assert all(torch.equal(ways[0], other) for other in ways[1:])


def test_shares_sum_to_the_valid_share():
    labels = labels_of(1)
    for scale in (2, 4, 8, 16, 32):
        valid = F.avg_pool2d(F.pad((labels != VOID).float(), (0, -53 % scale, 0, -37 % scale)), scale)
        assert torch.allclose(cpp.cpp_pool(labels, K, scale).sum(1), valid, atol=1e-6)
        assert torch.equal(
            cpp.cpp_pool(labels, K, scale, keep_void=True).sum(1).round(decimals=5), torch.ones_like(valid)
        )
        counts = cpp.cpp_counts(labels, K, scale)
        assert counts.dtype == torch.int32 and int(counts.sum()) == int((labels != VOID).sum())


def test_scales_in_any_order_and_number():
    labels = labels_of(2)
    found = cpp.cpp_pyramid(labels, K, (8, 2, 8, 16, 6))
    for scale, pooled in zip((8, 2, 8, 16, 6), found, strict=True):
        assert torch.equal(pooled, cpp_reference.cpp_pool(labels, K, scale))
    assert cpp.cpp_pyramid(labels, K, ()) == []


def test_labels_need_not_be_contiguous():
    labels = labels_of(3).transpose(1, 2)
    assert torch.equal(cpp.cpp_pool(labels, K, 4), cpp_reference.cpp_pool(labels.contiguous(), K, 4))


@pytest.mark.parametrize("pool", [cpp.cpp_pool, lambda *a: cpp.by_scatter(*a, 1, VOID, False, as_shares=True)])
def test_other_labels_are_refused(pool):
    labels = labels_of(4)
    labels[1, 5, 7] = K
    with pytest.raises(UnifyError, match=f"unknown-id: label {K}"):
        pool(labels, K, 4)


@pytest.mark.parametrize("wrong", [labels_of(0).long(), labels_of(0)[0], labels_of(0).float()])
def test_labels_are_bytes_of_a_batch(wrong):
    with pytest.raises(UnifyError, match="usage: labels of"):
        cpp.cpp_pool(wrong, K, 4)
    with pytest.raises(UnifyError, match="usage: cells of 0 pixels"):
        cpp.cpp_pool(labels_of(0), K, 0)


def test_nearest_is_that_of_torch():
    labels = labels_of(5, (2, 32, 64))
    for scale in (1, 2, 4, 8, 16, 32):
        size = (32 // scale, 64 // scale)
        expected = F.interpolate(labels[:, None].float(), size=size, mode="nearest")[:, 0].to(torch.uint8)
        assert torch.equal(cpp.nearest(labels, scale), expected)


# --- The loss -----------------------------------------------------------------------------------------------


def logits_of(shares: torch.Tensor, seed: int = 0, channels: int = K, dtype=torch.float32) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(len(shares), channels, *shares.shape[2:], generator=rng, dtype=dtype)


@pytest.mark.parametrize("void", kl.VOIDS)
def test_of_one_hot_labels_it_is_cross_entropy(void):
    labels = labels_of(6)
    shares = cpp.cpp_pool(labels, K, 1, keep_void=void == "channel")
    if void != "channel":
        logits = logits_of(shares)
        assert kl.kl(logits, shares, void=void).item() == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-6)
    else:
        logits = logits_of(shares, channels=K + 1)
        classes = torch.where(labels == VOID, K, labels).long()
        assert kl.kl(logits, shares, void=void).item() == pytest.approx(
            F.cross_entropy(logits, classes).item(), rel=1e-6
        )


@pytest.mark.parametrize("void", kl.VOIDS)
def test_it_is_its_definition(void):
    """Cell by cell, from torch's own kl_div."""
    labels = labels_of(7)
    labels[0, :16, :16] = VOID
    shares = cpp.cpp_pool(labels, K, 8, keep_void=void == "channel").double()
    logits = logits_of(shares, channels=shares.shape[1]).double()
    total = weight = 0.0
    for b, y, x in np.ndindex(shares.shape[0], *shares.shape[2:]):
        q, logp = shares[b, :, y, x], logits[b, :, y, x].log_softmax(0)
        valid = float(q[:K].sum())
        if void == "renormalize" and valid:
            total += valid * float(F.kl_div(logp, q / valid, reduction="sum"))
            weight += valid
        elif void == "channel" or (void == "drop" and valid):
            total += float(F.kl_div(logp, q, reduction="sum"))
            weight += 1
    assert kl.kl(logits, shares, void=void).item() == pytest.approx(total / weight, rel=1e-9)


def test_dropping_has_the_gradient_of_renormalizing():
    shares = cpp.cpp_pool(labels_of(8), K, 8).double()
    gradients = []
    for void in ("renormalize", "drop"):
        logits = logits_of(shares, dtype=torch.float64).requires_grad_()
        kl.divergence(logits, shares, void=void).total.backward()
        gradients.append(logits.grad)
    assert torch.allclose(*gradients, atol=1e-12) and gradients[0].abs().max() > 0.1


@pytest.mark.parametrize("void", kl.VOIDS)
@pytest.mark.parametrize("with_sets", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_gradients(void, with_sets, with_mask):
    labels = labels_of(9, (2, 12, 12))
    members = allowed = None
    codes = K
    if with_mask:
        allowed = torch.tensor([[1] * K, [1, 1, 1, 1, 0, 0]], dtype=torch.bool)
        labels[1] = torch.where((labels[1] == 4) | (labels[1] == 5), 0, labels[1])
    if with_sets:
        members = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0]], dtype=torch.bool)
        codes += len(members)
        labels[:, :5, :7] = K
        labels[:, 3:6, 2:8] = K + 1
    shares = cpp.cpp_pool(labels, codes, 4, keep_void=void == "channel").double()
    logits = logits_of(shares, channels=K + (void == "channel"), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: kl.kl(x, shares, void=void, members=members, allowed=allowed), (logits,), fast_mode=False
    )


def test_shares_of_sets_are_those_of_nll_plus():
    members = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0]], dtype=torch.bool)
    labels = labels_of(10)
    labels[0, 3:20, 5:30] = K
    labels[1, 10:, 20:] = K + 1
    shares = cpp.cpp_pool(labels, K + 2, 1)
    logits = logits_of(shares)
    expected = nll_plus(logits, labels, members=members).item()
    assert kl.kl(logits, shares, members=members).item() == pytest.approx(expected, rel=1e-6)


def test_classes_that_a_source_lacks_are_not_pushed_down():
    allowed = torch.tensor([[1, 1, 1, 0, 1, 0], [1] * K], dtype=torch.bool)
    labels = labels_of(11)
    labels[0] = torch.where((labels[0] == 3) | (labels[0] == 5), VOID, labels[0])
    shares = cpp.cpp_pool(labels, K, 8)
    logits = logits_of(shares).requires_grad_()
    found = kl.kl(logits, shares, allowed=allowed)
    found.backward()
    assert not logits.grad[0, [3, 5]].any() and logits.grad[1].abs().sum() > 0
    kept = [0, 1, 2, 4]
    first = kl.divergence(logits[:1, kept], shares[:1, kept])
    second = kl.divergence(logits[1:], shares[1:])
    expected = (first.total + second.total) / (first.weight + second.weight)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    with pytest.raises(UnifyError, match="unknown-id: label 3 in image 0"):
        kl.kl(logits, cpp.cpp_pool(labels_of(11), K, 8), allowed=allowed)


@pytest.mark.parametrize("void", ["renormalize", "drop"])
def test_without_labels_it_is_nothing(void):
    shares = cpp.cpp_pool(torch.full((1, 16, 16), VOID, dtype=torch.uint8), K, 8)
    logits = logits_of(shares).requires_grad_()
    found = kl.kl(logits, shares, void=void)
    found.backward()
    assert found.item() == 0 and not logits.grad.any()


def test_shapes_have_to_fit():
    shares = cpp.cpp_pool(labels_of(0), K, 8)
    with pytest.raises(UnifyError, match="usage: shares"):
        kl.kl(logits_of(shares, channels=K + 1), shares)
    with pytest.raises(UnifyError, match="no way 'ignore'"):
        kl.kl(logits_of(shares), shares, void="ignore")


# --- Heads and the method -----------------------------------------------------------------------------------


def step_of(size=(2, 40, 56), seed=0, members=None, codes=K, number=0, **own) -> Step:
    labels = labels_of(seed, size)
    if codes > K:
        labels[0, 3:20, 5:30] = K
    rng = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (size[0], 3, *size[1:]), generator=rng, dtype=torch.uint8)
    batch = Batch(image, labels, torch.ones(size[0], K, dtype=torch.bool), torch.zeros(2).long(), torch.arange(2))
    settings = settings_of("cpp", {"steps": 4, **own})
    return Step(batch, labels, Teaching(members), (labels != VOID).sum().float(), settings, number)


def made(step: Step) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    net = build_net("tiny", K).train()
    return net, METHODS["cpp"].parts(net, step.settings).train()


def test_heads_are_of_the_maps_of_the_net():
    net = build_net("tiny", K)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    heads = heads_for(net, K)
    assert net.training and net.backbone.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items()), "probing changed the net"
    assert heads.strides == (2, 4, 8) and [head[0][0].in_channels for head in heads.heads] == [16, 32, 64]
    found = heads(net.outputs(torch.zeros(2, 3, 40, 56))[2])
    assert [each.shape for each in found] == [(2, K, 20, 28), (2, K, 10, 14), (2, K, 5, 7)]
    assert heads_for(net, K, 2).strides == (4, 8)


@pytest.mark.parametrize("width", [0, 24, 256])
def test_heads_are_as_wide_as_is_said(width):
    step = step_of(aux_width=width)
    net, parts = made(step)
    kinds = [[type(layer).__name__ for layer in head.modules() if not list(layer.children())] for head in parts.heads]
    assert kinds == 3 * [["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"] if width else ["Conv2d"]]
    if width:
        assert [(head[0][0].out_channels, head[0][0].kernel_size) for head in parts.heads] == [
            (min(width, channels), (3, 3)) for channels in (16, 32, 64)
        ]
    assert [head[-1].kernel_size for head in parts.heads] == 3 * [(1, 1)]
    METHODS["cpp"].loss(net, parts, step).backward()
    assert all(p.grad is not None and p.grad.any() for head in parts.heads for p in head[-1].parameters())
    alone = parts([torch.zeros(1, c, 1, 1) for c in (16, 32, 64)]) if not width else None
    assert alone is None or [tuple(x.shape) for x in alone] == 3 * [(1, K, 1, 1)]  # nothing to normalize


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("hrnet-w18-small-v1", (4, 8, 16, 32)),
        ("pspnet-resnet50", (4, 8, 8, 8)),
        ("deeplabv3plus-resnet50", (4, 8, 16, 16)),
        ("upernet-resnet50", (4, 8, 16, 32)),
    ],
)
def test_real_backbones_have_four_heads(name, strides):
    pytest.importorskip("timm")
    pytest.importorskip("segmentation_models_pytorch")
    heads = heads_for(build_net(name, K), K)
    assert heads.strides == strides


def test_the_loss_is_its_sum():
    """With the definition of each part by another way; the net's running statistics do not matter in training."""
    step = step_of()
    net, parts = made(step)
    found = METHODS["cpp"].loss(net, parts, step)
    from trainers.data import normalized

    logits, _, maps = net.outputs(normalized(step.batch.image_bchw))
    expected = F.cross_entropy(logits, step.labels_bhw.long(), ignore_index=VOID)
    for each, stride in zip(parts(maps), (2, 4, 8), strict=True):
        q = cpp_reference.cpp_pool(step.labels_bhw, K, stride)
        valid = q.sum(1, keepdim=True)
        cells = F.kl_div(each.log_softmax(1), q / valid.clamp(min=1e-9), reduction="none").sum(1, keepdim=True)
        expected = expected + 0.6 * (cells * valid).sum() / valid.sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_nearest_is_the_same_heads_with_cross_entropy():
    step = step_of((2, 40, 56), aux="nearest")
    parts = made(step)[1]
    maps = [torch.randn(2, c, 40 // s, 56 // s) for c, s in ((16, 2), (32, 4), (64, 8))]
    of_heads = parts(maps)
    found = aux_losses(of_heads, parts.strides, step, step.settings.own)
    for each, loss in zip(of_heads, found, strict=True):
        size = each.shape[2:]
        small = F.interpolate(step.labels_bhw[:, None].float(), size=size, mode="nearest")[:, 0].long()
        assert loss.item() == pytest.approx(F.cross_entropy(each, small, ignore_index=VOID).item(), rel=1e-6)
    same = dict(made(step_of())[1].named_parameters())
    assert all(torch.equal(weight, same[name]) for name, weight in parts.named_parameters()), "other heads"


def test_weights_per_head_and_of_the_mean():
    losses = {}
    for per in ("head", "mean"):
        for weight in (0.0, 0.3, 0.6):
            step = step_of(aux_per=per, aux_weight=weight)
            losses[per, weight] = METHODS["cpp"].loss(*made(step), step).item()
    plain = step_of(aux="none")
    main = METHODS["cpp"].loss(*made(plain), plain).item()
    assert losses["head", 0.0] == losses["mean", 0.0] == pytest.approx(main, rel=1e-6)
    assert losses["head", 0.6] - main == pytest.approx(3 * (losses["mean", 0.6] - main), rel=1e-4)
    assert losses["head", 0.6] - main == pytest.approx(2 * (losses["head", 0.3] - main), rel=1e-4)


@pytest.mark.parametrize(
    "own", [{}, {"cpp_void": "channel"}, {"cpp_void": "drop"}, {"aux": "nearest"}, {"aux": "none"}]
)
def test_every_way_trains_every_weight_with_sets_and_masks(own):
    """Also images whose sides no stride divides, which the net pads."""
    members = torch.tensor([[1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    for mask in (False, True):
        step = step_of((2, 37, 53), members=members, codes=K + 1, null_mask=mask, **own)
        if mask:
            step.batch.allowed_bk[1, 5] = False
            step.labels_bhw[1] = torch.where(step.labels_bhw[1] == 5, VOID, step.labels_bhw[1])
        net, parts = made(step)
        loss = METHODS["cpp"].loss(net, parts, step)
        loss.backward()
        assert torch.isfinite(loss)
        for name, weight in [*net.named_parameters(), *parts.named_parameters()]:
            assert weight.grad is not None and torch.isfinite(weight.grad).all(), name


def test_parts_of_an_update_add_up_to_the_whole():
    """Accumulated batches: each one's mean counts as much as its labelled pixels."""
    step = step_of((2, 40, 56))
    net, parts = made(step)
    net.eval(), parts.eval()
    whole = METHODS["cpp"].loss(net, parts, step).item()
    halves = 0.0
    for i in range(2):
        batch = Batch(*(t[i : i + 1] for t in step.batch[:5]))
        halves += METHODS["cpp"].loss(net, parts, replace(step, batch=batch, labels_bhw=batch.label_bhw)).item()
    assert halves == pytest.approx(whole, rel=1e-5)


def test_options_are_checked():
    with pytest.raises(UnifyError) as e:
        Options("cp", -1, "cell", aux_heads=0, aux_width=-1, cpp_void="ignore")  # type: ignore[arg-type]
    assert len(e.value.problems) == 6
    with pytest.raises(UnifyError, match="bad-config: settings: aux is 'nn'; known: cpp, nearest, none"):
        settings_of("cpp", {"aux": "nn"})


def test_an_image_too_small_for_a_head_is_told_of():
    heads = AuxHeads([4], [8], K).train()
    with pytest.raises(UnifyError, match="usage: an auxiliary head at stride 8 cannot be trained"):
        heads([torch.zeros(1, 4, 1, 1)])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpp")
    return build(plan_of(small_world(folder, "C"), "C", "cityscapes19"), folder / "out").artifact


def test_heads_are_trained_kept_for_resuming_and_not_used(artifact, tmp_path):
    quiet = {"evaluate_every": 99, "save_every": 2}
    chosen = Settings("cpp", steps=3, batch=2, crop=32, **quiet)
    whole = loop.train([artifact], tmp_path / "whole", chosen)
    saved = checkpoint.load(tmp_path / "whole" / checkpoint.PT)
    assert len(saved.training["parts"]) == 3 * len(AuxHeads([4], [8], K).state_dict())
    assert not [name for name in saved.weights if "heads" in name]
    net = checkpoint.net_of(checkpoint.load(tmp_path / "whole"))
    assert {name for name, _ in net.named_parameters()} == {n for n, _ in build_net("tiny", 19).named_parameters()}
    assert whole["parameters"] == sum(p.numel() for p in build_net("tiny", 19).parameters())
    # Killed after two of three steps, and gone on: the same weights, of net and heads.
    torch.manual_seed(5)
    original = loop._finish
    try:
        loop._finish = lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            loop.train([artifact], tmp_path / "part", chosen)
    finally:
        loop._finish = original
    assert checkpoint.load(tmp_path / "part" / checkpoint.PT).step == 2
    loop.train([artifact], tmp_path / "part", chosen, resume=True)
    again = checkpoint.load(tmp_path / "part" / checkpoint.PT)
    for one, other in ((saved.weights, again.weights), (saved.training["parts"], again.training["parts"])):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert json.loads((tmp_path / "whole/metrics.json").read_text())["settings"]["aux_weight"] == 0.6


def test_nets_of_all_ways_begin_alike(artifact, tmp_path):
    """What compares poolings compares nothing else: without a step, the weights are the same."""
    found = []
    for aux in ("cpp", "nearest", "none"):
        torch.manual_seed(3)
        net = build_net("tiny", 19)
        METHODS["cpp"].parts(net, settings_of("cpp", {"aux": aux}))
        found.append(net.state_dict())
    assert all(torch.equal(value, other[name]) for other in found[1:] for name, value in found[0].items())


# --- The page -----------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["cpp", "cpp_evidence", "seethrough_evidence"])
def test_the_pages_tables_are_what_was_measured(name):
    benchmark = importlib.import_module(f"benchmarks.{name}")
    results = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    assert benchmark.tables(results) in (ROOT / "docs/cpp.md").read_text()


def test_evidence_is_complete():
    """At least three seeds of every way, none left out, and the goals of the operator kept."""
    for name, ways in {"cpp": ("cpp", "nearest", "none"), "seethrough": ("cpp", "mean", "none")}.items():
        evidence = json.loads((ROOT / f"benchmarks/results/{name}_evidence.json").read_text())
        for facts in evidence["data"].values():
            runs = sorted((run["way"], run["seed"]) for run in facts["runs"])
            seeds = max(seed for _, seed in runs) + 1
            assert seeds >= 3 and runs == [(way, s) for way in ways for s in range(seeds)]
    speed = json.loads((ROOT / "benchmarks/results/cpp.json").read_text())
    assert set(speed["operator"]) == {"street", "blocks", "street with specks", "noise"}
    for name, found in speed["operator"].items():
        for way in ("one-hot", "bincount", "numpy bincount"):
            missed = (name, way) == ("street with specks", "numpy bincount")  # the page says so
            assert found["times_as_long"][way] >= speed["goals"][way] or missed, (name, way)
    for step in speed["a step of the tiny net"].values():
        assert step["percent_of_step"]["targets of four heads"] <= speed["goals"]["targets of four heads, % of a step"]
