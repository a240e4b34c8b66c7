"""SeeThroughNet: fusion against formulas written pixel by pixel, and a net without a dead part."""

from __future__ import annotations

import dataclasses
import math

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from trainers import checkpoint, loop, seethrough  # noqa: E402
from trainers.data import Batch, Samples, normalized  # noqa: E402
from trainers.evaluate import confusion_of, rows_of  # noqa: E402
from trainers.methods import METHODS, Step, Teaching  # noqa: E402
from trainers.methods.seethrough import Options, loss  # noqa: E402
from trainers.models import build  # noqa: E402
from trainers.seethrough import (  # noqa: E402
    FUSIONS,
    SeeThroughHead,
    fuse_maps,
    fuse_mean,
    fuse_relative,
    fuse_scales,
    look_at,
)
from trainers.settings import settings_of  # noqa: E402
from unify.build import build as build_version  # noqa: E402
from unify.draws.index import build_index  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.sample import write_streets  # noqa: E402

from .worlds import plan_of  # noqa: E402

CLASSES = 5
NETS = {"attention": "seethrough-tiny", "relative": "seethrough-tiny-relative", "mean": "seethrough-tiny-mean"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def enlarged(x_hw, height: int, width: int):
    """Bilinear with pixels that cover [i, i + 1), one result pixel after the other."""
    rows, columns = len(x_hw), len(x_hw[0])

    def at(position: float, size: int) -> tuple[int, int, float]:
        position = max(position, 0.0)
        low = min(int(position), size - 1)
        return low, min(low + 1, size - 1), position - low

    out = [[0.0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            top, bottom, dy = at((y + 0.5) * rows / height - 0.5, rows)
            left, right, dx = at((x + 0.5) * columns / width - 0.5, columns)
            upper = (1 - dx) * x_hw[top][left] + dx * x_hw[top][right]
            lower = (1 - dx) * x_hw[bottom][left] + dx * x_hw[bottom][right]
            out[y][x] = (1 - dy) * upper + dy * lower
    return out


def mixed(low, attention, high) -> list:
    """U(a low) + (1 - U(a)) high, pixel by pixel, of one class."""
    height, width = len(high), len(high[0])
    weighed = [[a * v for a, v in zip(row_a, row, strict=True)] for row_a, row in zip(attention, low, strict=True)]
    u, ua = enlarged(weighed, height, width), enlarged(attention, height, width)
    return [[u[y][x] + (1 - ua[y][x]) * high[y][x] for x in range(width)] for y in range(height)]


# --- Fusion -------------------------------------------------------------------------------------------------


def test_coarse_answers_are_fused_as_the_formula_says():
    sizes = [(8, 12), (4, 6), (2, 3)]
    answers = [torch.randn(2, 3, *size).double() for size in sizes]
    attentions = [torch.rand(2, 1, *size).double() for size in sizes[1:]]
    found = fuse_maps(answers, attentions)
    for b in range(2):
        for k in range(3):
            fused = answers[2][b, k].tolist()
            for s in (1, 0):
                fused = mixed(fused, attentions[s][b, 0].tolist(), answers[s][b, k].tolist())
            assert torch.allclose(found[b, k], torch.tensor(fused, dtype=torch.float64), rtol=0, atol=1e-12)


def each_class(answers, fuse_two):
    """X of every image and class: fuse_two(X_{s+1}, x_s, s, b), coarse to fine, on lists."""
    found = torch.zeros_like(answers[0])
    for b in range(answers[0].shape[0]):
        for k in range(answers[0].shape[1]):
            fused = answers[-1][b, k].tolist()
            for s in reversed(range(len(answers) - 1)):
                fused = fuse_two(fused, answers[s][b, k].tolist(), s, b)
            found[b, k] = torch.tensor(fused, dtype=torch.float64)
    return found


def test_neighbours_share_by_softmax_of_their_scores():
    """Of 9 x 13 pixels too, that are no whole multiple of those of the scale above."""
    sizes = [(9, 13), (5, 7), (2, 3)]
    answers = [torch.randn(2, 3, *size).double() for size in sizes]
    scores = [3 * torch.randn(2, 1, *size).double() for size in sizes]

    def fuse_two(coarse, fine, s, b):
        height, width = len(fine), len(fine[0])
        larger, theirs = (enlarged(x, height, width) for x in (coarse, scores[s + 1][b, 0].tolist()))
        ours = scores[s][b, 0].tolist()
        out = []
        for y in range(height):
            weights = [(math.exp(theirs[y][x]), math.exp(ours[y][x])) for x in range(width)]
            out.append([(t * larger[y][x] + o * fine[y][x]) / (t + o) for x, (t, o) in enumerate(weights)])
        return out

    assert torch.allclose(fuse_relative(answers, scores), each_class(answers, fuse_two), rtol=0, atol=1e-12)


def test_the_mean_is_half_of_each_of_two():
    sizes = [(9, 13), (5, 7), (2, 3)]
    answers = [torch.randn(2, 3, *size).double() for size in sizes]

    def fuse_two(coarse, fine, s, b):
        larger = enlarged(coarse, len(fine), len(fine[0]))
        return [[(u + v) / 2 for u, v in zip(*rows, strict=True)] for rows in zip(larger, fine, strict=True)]

    found = fuse_mean(answers)
    assert torch.allclose(found, each_class(answers, fuse_two), rtol=0, atol=1e-12)
    halves = [torch.full_like(x[:, :1], 0.5) for x in answers[1:]]
    assert torch.allclose(found, fuse_maps(answers, halves), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_head_fuses_as_it_is_told(fusion):
    head = SeeThroughHead((6, 8, 10, 12), CLASSES, channels=16, key_channels=8, fusion=fusion).eval()
    maps = [torch.randn(2, width, 32 // 2**i, 48 // 2**i) for i, width in enumerate((6, 8, 10, 12))]
    scored = [part.attention is not None for part in head.coarse]
    assert scored == {"attention": [False, True, True, True], "relative": [True] * 4, "mean": [False] * 4}[fusion]
    with torch.no_grad():
        seen = head(maps)
        answers = [part.answer(part.mix(x)) for part, x in zip(head.coarse, maps, strict=True)]
        scores = [part.attention(part.mix(x)) for part, x in zip(head.coarse, maps, strict=True) if part.attention]
        expected = {
            "attention": lambda: fuse_maps(answers, [score.sigmoid() for score in scores]),
            "relative": lambda: fuse_relative(answers, scores),
            "mean": lambda: fuse_mean(answers),
        }[fusion]()
    assert torch.equal(seen.guess, expected)
    assert all(torch.equal(one, other) for one, other in zip(seen.coarse, answers, strict=True))


def test_the_coarse_answer_counts_where_its_attention_is_one():
    fine, coarse = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 2, 2)
    assert torch.equal(fuse_maps([fine, coarse], [torch.zeros(1, 1, 2, 2)]), fine)
    everything = fuse_maps([fine, coarse], [torch.ones(1, 1, 2, 2)])
    assert torch.allclose(everything, F.interpolate(coarse, size=(4, 4), mode="bilinear", align_corners=False))


def test_sizes_of_an_image_are_fused_as_the_formula_says():
    """0.5, 1 and 2: P = p_2 brought to 1; then 1 against it; then 0.5, enlarged, against both."""
    sizes = {0.5: (3, 4), 1.0: (6, 8), 2.0: (12, 16)}
    maps = {scale: torch.randn(1, 2, *size).double() for scale, size in sizes.items()}
    attentions = {scale: torch.rand(1, 1, *size).double() for scale, size in sizes.items()}
    found = fuse_scales(maps, attentions, (6, 8))
    for k in range(2):
        a1, p1 = attentions[1.0][0, 0].tolist(), maps[1.0][0, k].tolist()
        larger = enlarged(maps[2.0][0, k].tolist(), 6, 8)
        both = [[a1[y][x] * p1[y][x] + (1 - a1[y][x]) * larger[y][x] for x in range(8)] for y in range(6)]
        expected = mixed(maps[0.5][0, k].tolist(), attentions[0.5][0, 0].tolist(), both)
        assert torch.allclose(found[0, k], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert fuse_scales({2.0: maps[2.0]}, attentions, (6, 8)).shape == (1, 2, 6, 8)
    assert torch.equal(fuse_scales({1.0: maps[1.0]}, attentions, (6, 8)), maps[1.0])


# --- The net ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_one_size_alone_is_the_plain_net(size):
    net = build("seethrough-tiny", CLASSES, classifier="linear").eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        found = look_at(net, images, (1.0,))
        height, width = (side + -side % 8 for side in size)
        maps = net.backbone(F.pad(images, (0, width - size[1], 0, height - size[0]), mode="replicate"))
        features, guess, coarse, attention = net.head(maps)
        for expected, answer in ((net.classifier(features), found.logits), (guess, found.guess)):
            whole = F.interpolate(expected, size=(height, width), mode="bilinear", align_corners=False)
            assert torch.equal(answer, whole[:, :, : size[0], : size[1]])
    assert torch.equal(net.features(images), features)
    assert [tuple(x.shape[2:]) for x in coarse] == [(height // s, width // s) for s in (2, 4, 8)]
    assert attention.shape == (2, 1, height // 2, width // 2) and 0 < attention.min() <= attention.max() < 1


def test_training_looks_at_two_sizes_and_use_at_three(monkeypatch):
    net = build("seethrough-tiny", CLASSES)
    shown = []
    monkeypatch.setattr(net.backbone, "forward", lambda x, f=net.backbone.forward: (shown.append(x.shape[2]), f(x))[1])
    images = torch.randn(2, 3, 64, 64)
    net(images)
    assert shown == [32, 64]
    shown.clear()
    with torch.no_grad():
        logits = net.eval()(images)
        assert shown == [32, 64, 128]
        assert torch.equal(logits, look_at(net, images, (0.5, 1.0, 2.0)).logits)
        assert not torch.equal(logits, look_at(net, images, (1.0,)).logits)


def test_four_scales_as_hrnet_has_them():
    head = SeeThroughHead((6, 8, 10, 12), CLASSES, channels=16, key_channels=8)
    maps = [torch.randn(2, width, 32 // 2**i, 48 // 2**i) for i, width in enumerate((6, 8, 10, 12))]
    features, guess, coarse, _ = head(maps)
    assert features.shape == (2, 16, 32, 48) and guess.shape == (2, CLASSES, 32, 48)
    assert [tuple(x.shape) for x in coarse] == [(2, CLASSES, 32 // 2**i, 48 // 2**i) for i in range(4)]
    assert [part.attention is None for part in head.coarse] == [True, False, False, False]
    assert head.ocr.auxiliary is None, "X is the guess that OCR starts from"
    conv, norm, relu = head.coarse[0].mix
    assert conv.kernel_size == (3, 3) and head.coarse[0].answer.kernel_size == (1, 1)
    assert isinstance(norm, torch.nn.BatchNorm2d) and isinstance(relu, torch.nn.ReLU)


def test_the_papers_net():
    pytest.importorskip("timm")
    with torch.device("meta"):
        net = build("seethrough-hrnet-w48", 19, classifier="linear")
        plain = build("hrnet-w48-ocr", 19, classifier="linear")
    assert len(net.head.coarse) == 4
    more = sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in plain.parameters())
    assert 3e6 < more < 6e6
    for fusion in ("relative", "mean"):
        with torch.device("meta"):
            other = build(f"seethrough-hrnet-w48-{fusion}", 19, classifier="linear")
        assert other.head.fusion == fusion and other.config["name"].endswith(fusion) and len(other.head.coarse) == 4


# --- The method ---------------------------------------------------------------------------------------------


def step_of(net, *, seed: int = 0, size=(40, 48), **given) -> Step:
    height, width = size
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, height, width), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (2, -(-height // 4), -(-width // 4)), generator=rng)
    labels = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width]
    labels[torch.rand(labels.shape, generator=rng) < 0.1] = 255
    labels = labels.to(torch.uint8)
    batch = Batch(images, labels, torch.ones(2, CLASSES, dtype=torch.bool), torch.zeros(2), torch.zeros(2))
    settings = settings_of("seethrough", {"model": "seethrough-tiny", **given})
    return Step(batch, labels, Teaching(), (labels != 255).sum(), settings, 0)


def literal_kl(logits, labels, stride: int):
    """The mean over cells of KL(q || softmax), with q of one-hot labels, averaged; cells count as they are labelled."""
    one_hot = torch.stack([(labels == k).double() for k in range(CLASSES)], 1)
    q = F.avg_pool2d(one_hot, stride, ceil_mode=True, count_include_pad=False)
    valid = F.avg_pool2d((labels != 255).double()[:, None], stride, ceil_mode=True, count_include_pad=False)
    p = logits.double().softmax(1)
    shares = q / valid.clamp(min=1e-12)
    each = (shares * (shares.clamp(min=1e-300) / p).log()).sum(1, keepdim=True)
    return (each * valid).sum() / valid.sum()


def test_the_loss_is_its_formula():
    net = build("seethrough-tiny", CLASSES, classifier="linear").eval()  # no dropout, no batch statistics
    step = step_of(net, auxiliary=0.4, aux_weight=0.6, unfused_weight=0.05)
    with torch.no_grad():
        found = loss(net, None, step)
        images, labels = normalized(step.batch.image_bchw), step.labels_bhw
        views = {
            s: look_at(
                net, F.interpolate(images, scale_factor=s, mode="bilinear", antialias=True) if s < 1 else images, (1.0,)
            )
            for s in (0.5, 1.0)
        }
        attention = {s: each.views[1.0].attention for s, each in views.items()}

        def ce(logits):
            return F.cross_entropy(
                F.interpolate(logits, size=(40, 48), mode="bilinear"), labels.long(), ignore_index=255
            )

        expected = ce(fuse_scales({s: each.logits for s, each in views.items()}, attention, (40, 48)))
        expected += 0.4 * ce(fuse_scales({s: each.guess for s, each in views.items()}, attention, (40, 48)))
        expected += 0.05 * sum(ce(each.logits) for each in views.values())
        coarse = views[1.0].views[1.0].coarse
        expected = expected + 0.6 * sum(
            literal_kl(x, labels, stride) for x, stride in zip(coarse[1:], (4, 8), strict=True)
        )
    assert len(coarse) == 3
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def literal_cells(logits, labels, stride: int):
    """`literal_kl` of cells that may reach beyond the labels, where all is void."""
    rows, columns = -(-labels.shape[1] // stride), -(-labels.shape[2] // stride)
    padding = (0, columns * stride - labels.shape[2], 0, rows * stride - labels.shape[1])
    return literal_kl(logits[:, :, :rows, :columns], F.pad(labels, padding, value=255), stride)


@pytest.mark.parametrize("size", [(40, 48), (37, 51)])
@pytest.mark.parametrize("aux_per", ["head", "mean"])
@pytest.mark.parametrize(
    ("aux_scales", "aux_sizes", "chosen"),
    [
        ("coarser", "own", {1.0: (1, 2)}),
        ("finer", "own", {1.0: (0, 1)}),
        ("all", "own", {1.0: (0, 1, 2)}),
        ("coarser", "all", {0.5: (1, 2), 1.0: (1, 2)}),
        ("all", "all", {0.5: (0, 1, 2), 1.0: (0, 1, 2)}),
    ],
)
def test_cpp_losses_are_of_the_chosen_coarse_answers(aux_scales, aux_sizes, chosen, aux_per, size):
    net = build("seethrough-tiny", CLASSES, classifier="linear").eval()
    chosen_by = {"aux_scales": aux_scales, "aux_sizes": aux_sizes, "aux_per": aux_per}
    step = step_of(net, size=size, aux_weight=0.7, **chosen_by)
    without = step_of(net, size=size, aux_weight=0, **chosen_by)
    with torch.no_grad():
        found = float(loss(net, None, step)) - float(loss(net, None, without))
        views = look_at(net, normalized(step.batch.image_bchw), (0.5, 1.0)).views
        losses = []
        for scale, numbers in chosen.items():
            # A cell of the view at a half is of twice as many pixels of the label; an odd row or column is left over.
            times = round(1 / scale)
            labels = step.labels_bhw[:, : size[0] // times * times, : size[1] // times * times]
            cells = [(views[scale].coarse[i], times * (2, 4, 8)[i]) for i in numbers]
            losses += [float(literal_cells(answer, labels, stride)) for answer, stride in cells]
    expected = sum(losses) / (len(losses) if aux_per == "mean" else 1)
    assert found == pytest.approx(0.7 * expected, rel=1e-4)


@pytest.mark.parametrize("name", NETS.values())
@pytest.mark.parametrize("aux", ["cpp", "nearest", "none"])
def test_gradients_reach_every_parameter(aux, name):
    net = build(name, CLASSES, classifier="linear")
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    loss(net, None, step_of(net, aux=aux)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_without_the_extras_it_is_cross_entropy_of_the_fused_answer():
    net = build("seethrough-tiny", CLASSES, classifier="linear").eval()
    step = step_of(net, auxiliary=0, aux_weight=0, unfused_weight=0)
    with torch.no_grad():
        fused = look_at(net, normalized(step.batch.image_bchw), (0.5, 1.0)).logits
        expected = F.cross_entropy(fused, step.labels_bhw.long(), ignore_index=255)
        assert float(loss(net, None, step)) == pytest.approx(float(expected), rel=1e-6)


def test_parts_of_an_update_add_up():
    """The normalizer is that of the whole update: two halves together are the mean by labelled pixels."""
    net = build("seethrough-tiny", CLASSES, classifier="linear").eval()
    steps = [step_of(net, seed=seed) for seed in (1, 2)]
    pixels = [int(step.normalizer) for step in steps]
    with torch.no_grad():
        alone = [float(loss(net, None, step)) for step in steps]
        total = torch.tensor(sum(pixels))
        together = sum(float(loss(net, None, dataclasses.replace(step, normalizer=total))) for step in steps)
    assert together == pytest.approx(sum(n * x for n, x in zip(pixels, alone, strict=True)) / sum(pixels), rel=1e-5)


# --- Trained ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C"], images=3, seed=1, size=0.06)
    return build_version(plan_of(folder / "raw", "C"), folder / "out").artifact


def test_it_learns_and_its_checkpoint_makes_the_same_net(artifact, tmp_path):
    given = {"model": "seethrough-tiny", "steps": 12, "batch": 2, "crop": 48, "crop_width": 64, "lr": 0.01}
    settings = settings_of("seethrough", {**given, "evaluate_split": "none", "power": 0.0})
    assert settings.crop_hw == (48, 64)
    loop.train([artifact], tmp_path / "run", settings)
    lines = (tmp_path / "run/log.csv").read_text().splitlines()[1:]
    losses = [float(line.split(",")[2]) for line in lines]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4]) and all(math.isfinite(x) for x in losses)
    loaded = checkpoint.load(tmp_path / "run")
    net = checkpoint.net_of(loaded)
    assert net.config["name"] == "seethrough-tiny" and net.config["classifier"] == "linear"
    with torch.no_grad():
        assert net.eval()(torch.randn(1, 3, 50, 70)).shape == (1, 19, 50, 70)


@pytest.mark.parametrize(("fusion", "name"), NETS.items())
def test_a_checkpoint_of_any_fusion_answers_as_the_net_did(artifact, tmp_path, fusion, name):
    given = {"model": name, "steps": 2, "batch": 2, "crop": 48, "aux_scales": "all", "aux_sizes": "all"}
    metrics = loop.train([artifact], tmp_path / "run", settings_of("seethrough", given))
    whole = checkpoint.load(tmp_path / "run")
    alone = checkpoint.load(tmp_path / "run/ckpt.safetensors")
    nets = [checkpoint.net_of(each) for each in (whole, alone)]
    assert [(net.config["name"], net.head.fusion) for net in nets] == 2 * [(name, fusion)]
    assert whole.training["settings"]["aux_scales"] == whole.training["settings"]["aux_sizes"] == "all"
    # As it scored when it was trained, so it does now.
    index = build_index([artifact])
    seen = []
    confusion_of(nets[1], Samples(index, None), rows_of(index, "val"), activation="softmax", watch=seen.append)
    ious = []
    for k in range(19):
        pairs = [(each.truth_hw == k, (each.answer_hw == k) & (each.truth_hw < 19)) for each in seen]
        union = sum(int((truth | answer).sum()) for truth, answer in pairs)
        ious += [sum(int((truth & answer).sum()) for truth, answer in pairs) / union] if union else []
    assert sum(ious) / len(ious) == pytest.approx(metrics["miou"], abs=1e-9)
    images = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        assert torch.equal(nets[0](images), nets[1](images))
    with pytest.raises(UnifyError, match="its weights are not those of"):
        other = next(model for model in NETS.values() if model != name)
        checkpoint.put_weights(build(other, 19, classifier="linear"), whole)


def test_mistakes_are_one_line():
    with pytest.raises(UnifyError, match="tiny has no coarse answers"):
        loss(build("tiny", CLASSES), None, step_of(None))
    with pytest.raises(UnifyError) as caught:
        Options(unfused_weight=-1, cpp_void="channel", aux_scales="three", aux_sizes="both")
    assert len(caught.value.problems) == 4
    with pytest.raises(UnifyError, match="aux_scales is 'three'; known: coarser, finer, all"):
        settings_of("seethrough", {"aux_scales": "three"})
    with pytest.raises(UnifyError, match="aux is 'far'"):
        settings_of("seethrough", {"aux": "far"})
    net = build("seethrough-hrnet-w18-small-v1", CLASSES) if _has("timm") else None
    if net is not None:
        with pytest.raises(UnifyError, match="cannot be trained on a batch of one image"):
            net(torch.randn(1, 3, 32, 32))
    assert METHODS["seethrough"].knows_sets is False and seethrough.TRAINED_SCALES == (0.5, 1.0)


def _has(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None
