"""The nets: shapes, gradients, output strides, published sizes, weights from files, and faults in one line."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from trainers import encoders  # noqa: E402
from trainers.models import MODELS, Segmenter, build, parameter_groups, sync_batchnorm  # noqa: E402
from trainers.ops.cosine import SCALE  # noqa: E402
from trainers.tiny import TinyBackbone  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

#: One of each kind, the smallest; the others are built by the slow tests.
QUICK = [
    "hrnet-w18-small-v1",
    "hrnet-w18-small-v1-headv1",
    "deeplabv3-mobilenetv3",
    "deeplabv3plus-mobilenetv2",
    "pspnet-mobilenetv2",
    "fcn-mobilenetv3",
    "segformer-b0",
]


def names(*, dilated: bool = False) -> list:
    """Parameters of a test: all names, or those with several output strides."""
    chosen = [name for name, net in MODELS.items() if not dilated or 8 in net.strides]
    return [pytest.param(name, marks=[] if name in ["tiny", *QUICK] else [pytest.mark.slow]) for name in chosen]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def made(name: str, num_classes: int = 19, **options) -> Segmenter:
    if MODELS[name].encoder:
        pytest.importorskip("timm")
        pytest.importorskip("segmentation_models_pytorch")
    return build(name, num_classes, **options)


def problems(*args, **kwargs) -> list:
    with pytest.raises(UnifyError) as caught:
        build(*args, **kwargs)
    return list(caught.value.problems)


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ---- every net


@pytest.mark.parametrize("name", names())
def test_logits_have_the_size_of_the_image_and_every_parameter_gets_a_gradient(name):
    net = made(name, 7)
    for module in net.modules():  # chance would leave layers out
        if "drop_prob" in vars(module):
            module.drop_prob = 0.0
    images = torch.randn(2, 3, 65, 97)
    logits, auxiliary = net(images, auxiliary=True)
    assert logits.shape == (2, 7, 65, 97) and logits.dtype == torch.float32
    assert (auxiliary is not None) == (name.endswith("ocr") or name.startswith("seethrough"))
    loss = (logits * torch.randn_like(logits)).sum()  # the main logits alone reach all
    loss.backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad.isfinite().all() for p in net.parameters())
    own = {id(p) for p in net.parameters()}
    sides = [id(p) for p in net.backbone_parameters()], [id(p) for p in net.head_parameters()]
    assert own == {*sides[0], *sides[1]} and len(own) == len(sides[0]) + len(sides[1])


@pytest.mark.parametrize("name", names())
def test_the_config_makes_the_same_net(name):
    stride = MODELS[name].strides[-1]
    net = made(name, 5, classifier="linear", output_stride=stride).eval()
    config = json.loads(json.dumps(net.config))
    assert config == {"name": name, "num_classes": 5, "classifier": "linear", "output_stride": stride}
    again = build(**config).eval()
    again.load_state_dict(net.state_dict(), strict=True)
    images = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        first, second = net(images), net(images)
        assert torch.equal(first, second)  # evaluation has no chance in it, and leaves no trace
        assert torch.equal(first, again(images))
        features = net.features(images)
        assert features.shape[:2] == (1, net.channels)
        if net.look is not None:  # it has other sizes of the image in it
            return
        multiple = net.multiple
        padded = F.pad(images, (0, -56 % multiple, 0, -40 % multiple), mode="replicate")
        logits = F.interpolate(net.classifier(features), size=padded.shape[2:], mode="bilinear")
        assert torch.equal(logits[:, :, :40, :56], first)


@pytest.mark.parametrize("name", names(dilated=True))
def test_output_stride_is_what_was_asked_for(name):
    for stride in MODELS[name].strides:
        net = made(name, 5, output_stride=stride).eval()
        with torch.no_grad():
            last = net.backbone(torch.randn(1, 3, 96, 160))[-1]
            features = net.features(torch.randn(1, 3, 96, 160))
        assert last.shape[2:] == (96 // stride, 160 // stride)
        expected = 4 if name.startswith("deeplabv3plus") else stride
        assert features.shape[2:] == (96 // expected, 160 // expected)
    sizes = {size(made(name, 5, output_stride=stride)) for stride in MODELS[name].strides}
    assert len(sizes) == 1  # dilation costs no parameters


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", ["fcn-resnet50", "deeplabv3-mobilenetv2", "deeplabv3plus-mobilenetv2"])
def test_a_dilated_encoder_is_the_plain_one_at_more_places(name, stride):
    """What dilation is for: weights learned at stride 32 mean the same at 8 (Chen et al., arXiv 1706.05587, 3.1)."""
    dilated = made(name, 3, output_stride=stride).backbone.eval()
    smp = pytest.importorskip("segmentation_models_pytorch")
    plain = smp.encoders.get_encoder(MODELS[name].encoder, weights=None).eval()
    plain.load_state_dict(dilated.state_dict())
    images = torch.randn(1, 3, 64, 96)
    step = 32 // stride
    with torch.no_grad():
        expected, found = plain(images)[-1], dilated(images)[-1][:, :, ::step, ::step]
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["tiny", "hrnet-w18-small-v1", "deeplabv3plus-mobilenetv2"])
def test_a_pixel_of_padding_changes_little_far_away(name):
    """Logits lie where their pixels are: shifting the image by the padding multiple shifts the logits."""
    net = made(name, 5).eval()
    step = net.multiple
    images = torch.randn(1, 3, 8 * step, 12 * step)
    with torch.no_grad():
        if name.startswith("deeplab"):  # the mean of the image is not local
            net.head.aspp[0].convs[-1].register_forward_hook(lambda module, args, out: torch.zeros_like(out))
        elif name == "tiny":
            net.backbone.context.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
        whole = net(images)
        part = net(images[:, :, :, step:-3])
    near = (whole[:, :, 4 * step, 6 * step] - part[:, :, 4 * step, 5 * step]).abs().max()
    far = (whole[:, :, 4 * step, 6 * step] - part[:, :, 4 * step, 6 * step]).abs().max()
    assert near < far / 4


# ---- published sizes

#: In millions, with 19 classes.
PUBLISHED = {
    "hrnet-w18-small-v1": 1.5,  # README of HRNet-Semantic-Segmentation
    "hrnet-w18-small-v2": 3.9,  # the same
    "hrnet-w48": 65.8,  # the same
    "hrnet-w48-ocr": 70.5,  # Xie et al. 2021, SegFormer, Table 2
    "deeplabv3-resnet101": 58.0,  # Sun et al. 2019, arXiv 1904.04514, Table 1 (Cityscapes val)
    "pspnet-resnet101": 65.7,  # the same
    "upernet-resnet101": 86.0,  # Liu et al. 2021, Swin Transformer, Table 3; with an auxiliary head of 2.4
    "segformer-b0": 3.8,  # Xie et al. 2021, SegFormer, Table 1, with 150 classes
    "segformer-b1": 13.7,
    "segformer-b2": 27.5,
    "segformer-b3": 47.3,
    "segformer-b4": 64.1,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name):
    pytest.importorskip("timm")
    with torch.device("cpu" if name.startswith("segformer") else "meta"):  # its rates of stochastic depth are tensors
        millions = size(made(name, classifier="linear")) / 1e6
    assert millions == pytest.approx(PUBLISHED[name], rel=0.05)


@pytest.mark.parametrize("name", ["fcn-resnet50", "fcn-resnet101", "deeplabv3-resnet50", "deeplabv3-resnet101"])
def test_size_is_torchvisions_to_the_parameter(name):
    """torchvision states how many parameters the nets of its weights have: 21 classes, and an auxiliary head."""
    segmentation = pytest.importorskip("torchvision.models.segmentation")
    from torchvision.models import get_model_weights
    from torchvision.models.segmentation.fcn import FCNHead

    stated = next(iter(get_model_weights(name.replace("-", "_")))).meta["num_params"]
    with torch.device("meta"):
        assert segmentation and size(made(name, 21, classifier="linear")) == stated - size(FCNHead(1024, 21))


def test_deeplabv3plus_has_the_layers_of_its_paper():
    """Counted by hand, ResNet-101, arXiv 1802.02611: separable ASPP, 48 channels of the fine map, one 3x3 (ours and
    segmentation_models_pytorch's have one less than the paper's two), a classifier."""

    def separable(inputs):  # depthwise 3x3, pointwise, norm
        return 9 * inputs + inputs * 256 + 2 * 256

    point = 2048 * 256 + 2 * 256
    aspp = point + 3 * separable(2048) + point + 5 * 256 * 256 + 2 * 256
    decoder = aspp + separable(256) + 256 * 48 + 2 * 48 + separable(304)
    backbone = 44_549_160 - 2048 * 1000 - 1000  # torchvision's ResNet-101 without its classifier
    with torch.device("meta"):
        net = made("deeplabv3plus-resnet101", 19, classifier="linear")
    assert size(net) == backbone + decoder + 256 * 19 + 19
    assert net.head.aspp[0].convs[1][0][0].dilation == (6, 6)  # output stride 16
    assert net.head.up.align_corners is False  # as all other maps are enlarged


def test_hrnet_v1_head_reads_the_finest_map_only():
    net = made("hrnet-w18-small-v1-headv1", 5)
    assert [tuple(m.shape[1:]) for m in net.backbone(torch.randn(1, 3, 64, 64))] == [(16, 16, 16)]
    both = made("hrnet-w18-small-v1", 5)
    assert [m.shape[1:] for m in both.backbone(torch.randn(1, 3, 64, 64))] == [
        (16 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)
    ]
    assert (net.channels, both.channels) == (16, 16 * 15)


def test_ocr_is_its_equations():
    """arXiv 1909.11065, eqs. (3) to (6), with loops over images and classes."""
    from trainers.heads import OCR, concatenated

    head = OCR([4, 6], 3, channels=8, key_channels=5).eval().double()
    maps = [torch.randn(2, 4, 6, 5).double(), torch.randn(2, 6, 3, 3).double()]
    with torch.no_grad():
        for layer in (head.query[1][0], head.key[1][0], head.auxiliary[1]):
            layer.weight *= 20  # untrained, all pixels attend to all regions alike
        features, guess = head(maps)
        x = concatenated(maps)
        pixels = head.pixels(x)
        for b in range(2):
            pixel = pixels[b].flatten(1)  # (8, N)
            share = torch.softmax(head.auxiliary(x)[b].flatten(1), 1)
            regions = torch.stack([(share[k] * pixel).sum(1) for k in range(3)], 1)[None, :, :, None]  # f_k, eq. (4)
            query, key = head.query(pixels[b : b + 1])[0].flatten(1), head.key(regions)[0, :, :, 0]
            value = head.value(regions)[0, :, :, 0]
            weight = torch.softmax(key.T @ query / 5**0.5, 0)  # (K, N), eq. (5)
            context = torch.stack([sum(weight[k, n] * value[:, k] for k in range(3)) for n in range(30)], 1)
            y = head.context(context.view(1, 5, 6, 5))  # eq. (3)
            expected = head.mix(torch.cat([y, pixels[b : b + 1]], 1))  # eq. (6)
            assert torch.allclose(features[b : b + 1], expected)
    assert guess.shape == (2, 3, 6, 5)


# ---- tiny


def test_tiny_is_small_and_needs_no_library(monkeypatch):
    monkeypatch.setattr(encoders, "needed", lambda package: pytest.fail(f"asked for {package}"))
    assert 80_000 < size(build("tiny", 19)) < 130_000


def test_tiny_sees_the_whole_image():
    net = build("tiny", 3).eval()
    images = torch.randn(1, 3, 600, 640, requires_grad=True)
    net(images)[0, :, 300, 320].sum().backward()
    seen = images.grad[0].abs().sum(0)
    assert seen[0, 0] > 0 and seen[-1, -1] > 0
    backbone = TinyBackbone().eval()
    backbone.context.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    images.grad = None
    backbone(images)[-1][0, :, 37, 40].sum().backward()
    rows = images.grad[0].abs().sum((0, 2)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 279


def test_tiny_overfits_two_streets():
    from unify.sample import render_scene
    from unify.sample.concepts import load_concepts

    pairs = [render_scene("cityscapes", 1, i, width=256) for i in range(2)]
    images = torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1) for image, _ in pairs]).float() / 58 - 2
    raw = torch.from_numpy(load_concepts().raw_ids("cityscapes")).long()
    kinds, labels = raw[torch.stack([torch.from_numpy(concept.copy()) for _, concept in pairs]).long()].unique(
        return_inverse=True
    )
    assert len(kinds) >= 10 and labels.flatten().bincount().max() < 0.5 * labels.numel()
    for classifier in ("cosine", "linear"):
        torch.manual_seed(0)
        net = build("tiny", len(kinds), classifier=classifier)
        optimizer = torch.optim.AdamW(parameter_groups(net, lr=1e-2, weight_decay=1e-4))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=100)
        for _ in range(100):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            right = (net.eval()(images).argmax(1) == labels).float().mean()
        assert right > 0.94


# ---- classifier, groups, SyncBN


def test_cosine_logits_lie_within_the_scale():
    net = build("tiny", 9).eval()
    logits = net(torch.randn(2, 3, 32, 48) * 100)
    assert logits.abs().max() <= SCALE * (1 + 1e-5)
    assert "bias" not in dict(net.classifier.named_parameters())
    assert build("tiny", 9, classifier="linear").classifier.weight.shape == (9, net.channels, 1, 1)


def test_parameter_groups_are_disjoint_and_whole():
    net = build("tiny", 5)
    whole = parameter_groups(net, lr=0.1, weight_decay=1e-4, backbone_factor=0.1)
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in whole] == [
        ("backbone", pytest.approx(0.01), 1e-4),
        ("head", 0.1, 1e-4),
    ]
    split = parameter_groups(net, lr=0.1, weight_decay=1e-4, decay_all=False)
    assert [(g["name"], g["weight_decay"]) for g in split] == [
        ("backbone", 1e-4), ("backbone-no-decay", 0.0), ("head", 1e-4), ("head-no-decay", 0.0),
    ]  # fmt: skip
    for groups in (whole, split):
        ids = [id(p) for g in groups for p in g["params"]]
        assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in net.parameters()}
    plain = {id(p) for g in split if g["weight_decay"] == 0 for p in g["params"]}
    of_norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    biases = {id(m.bias) for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is not None}
    assert plain == of_norms | biases and biases
    for p in net.backbone.parameters():
        p.requires_grad = False
    assert [g["name"] for g in parameter_groups(net, lr=0.1, weight_decay=0)] == ["head"]
    torch.optim.SGD(split, momentum=0.9)


def test_sync_batchnorm_changes_the_norms_only():
    net = build("tiny", 5).eval()
    state, images = net.state_dict(), torch.randn(1, 3, 24, 24)
    expected, norms = net(images), sum(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    synced = sync_batchnorm(net)
    assert isinstance(synced, Segmenter) and synced.config["name"] == "tiny"
    assert not any(isinstance(m, nn.BatchNorm2d) for m in synced.modules())
    assert sum(isinstance(m, nn.SyncBatchNorm) for m in synced.modules()) == norms > 10
    assert synced.state_dict().keys() == state.keys()
    assert torch.equal(synced.eval()(images), expected)


# ---- weights


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_of_a_whole_net(tmp_path, suffix):
    from trainers import tensorfile

    net = build("tiny", 5)
    file = tmp_path / f"net{suffix}"
    if suffix == ".pt":  # as others wrap it
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, file)
    else:
        file.write_bytes(tensorfile.dump(net.state_dict(), {}))
    again = build("tiny", 5, weights=str(file))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    assert "weights" not in again.config
    [problem] = problems("tiny", 6, weights=str(file))
    assert problem.kind == "bad-artifact" and "classifier.weight (5, 64), not (6, 64)" in problem.what


def test_weights_of_a_backbone(tmp_path):
    file = tmp_path / "backbone.pt"
    torch.save(TinyBackbone().state_dict() | {"fc.weight": torch.zeros(2)}, file)
    net, other = build("tiny", 5, weights=str(file)), build("tiny", 8, weights=str(file))
    for name, value in net.backbone.state_dict().items():
        assert torch.equal(value, other.backbone.state_dict()[name])
    assert not torch.equal(net.head.from4.weight, other.head.from4.weight)


@pytest.mark.parametrize(
    ("name", "library", "theirs"),
    [
        ("hrnet-w18-small-v1", "timm", "hrnet_w18_small"),
        ("hrnet-w18-small-v1-headv1", "timm", "hrnet_w18_small"),
        ("deeplabv3-mobilenetv3", "timm", "mobilenetv3_large_100"),
        ("fcn-mobilenetv2", "torchvision.models", "mobilenet_v2"),
        ("deeplabv3plus-resnet50", "torchvision.models", "resnet50"),
    ],
)
def test_files_of_classification_nets_fit_the_backbones(tmp_path, name, library, theirs):
    """The names in published files are those of the libraries' own classification nets."""
    module = pytest.importorskip(library)
    published = module.create_model(theirs) if library == "timm" else getattr(module, theirs)()
    torch.save(published.state_dict(), tmp_path / "published.pth")
    net = made(name, 4, weights=str(tmp_path / "published.pth"))
    values = {value.double().sum().item() for value in published.state_dict().values() if value.ndim == 4}
    assert {value.double().sum().item() for value in net.backbone.state_dict().values() if value.ndim == 4} <= values


def test_bad_files_of_weights_give_one_line_each(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    state = build("tiny", 5).state_dict()
    files = {
        "evil.pt": {"state_dict": state, "x": Evil()},
        "list.pt": [1, 2],
        "nan.pt": {**state, "head.from4.weight": torch.full((64, 32, 1, 1), float("nan"))},
        "other.pt": {"conv1.weight": torch.zeros(3), "fc.weight": torch.zeros(3)},
        "more.pt": {**state, "backbone.more": torch.zeros(3)},
        "less.pt": {k: v for k, v in state.items() if k != "head.from4.bias"},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (tmp_path / "empty.pt").write_bytes(b"")
    said = {
        "evil.pt": "cannot be read as weights",
        "list.pt": "holds no named tensors",
        "nan.pt": "NaN or infinite: head.from4.weight",
        "other.pt": "weights of its backbone are not in it: stem.0.weight",
        "more.pt": "weights of another net: backbone.more",
        "less.pt": f"1 of {len(state)} weights of the net are not in it: head.from4.bias",
        "text.pt": "cannot be read",
        "cut.safetensors": "cannot be read",
        "empty.pt": "cannot be read",
    }
    for name, words in said.items():
        [problem] = problems("tiny", 5, weights=str(tmp_path / name))
        assert problem.kind == "bad-artifact" and words in problem.what and "\n" not in str(problem), problem
        assert name in problem.path
    [problem] = problems("tiny", 5, weights=str(tmp_path / "none.pt"))
    assert problem.kind == "not-found"


@pytest.mark.parametrize("name", ["hrnet-w18-small-v1", "fcn-mobilenetv2", "fcn-mobilenetv3"])
def test_imagenet_weights_without_a_network(name, monkeypatch, tmp_path):
    """The libraries' own fetching is reached, and what it says is one line."""
    pytest.importorskip("timm")
    pytest.importorskip("segmentation_models_pytorch")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    [problem] = problems(name, 5, weights="imagenet")
    assert (problem.kind, problem.path) == ("io", name) and "\n" not in str(problem)
    assert problem.what.startswith("ImageNet weights cannot be fetched")


# ---- faults


def test_all_wrong_arguments_are_told_at_once():
    told = problems("resnet", 0, classifier="cos")
    assert {p.kind for p in told} == {"usage"} and len(told) == 3
    assert "no model 'resnet'" in told[0].what and "tiny, hrnet-w18-small-v1" in told[0].fix
    [stride] = problems("hrnet-w48", 19, output_stride=8)
    assert (stride.what, stride.fix) == ("hrnet-w48 has no output stride 8", "known: 4")
    [weights] = problems("tiny", 19, weights="imagenet")
    assert "no ImageNet weights for tiny" in weights.what


@pytest.mark.parametrize(("name", "package"), [("hrnet-w18", "timm"), ("segformer-b0", "segmentation_models_pytorch")])
def test_a_missing_package_is_one_line(name, package, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, package, None)  # import raises ImportError then
    for weights in (None, "imagenet"):
        [problem] = problems(name, 19, weights=weights)
        assert problem.kind == "usage" and package in problem.what and problem.fix == "pip install 'unify[train]'"


@pytest.mark.parametrize("name", ["deeplabv3-mobilenetv3", "pspnet-mobilenetv2"])
def test_training_on_one_image_is_refused_where_it_is_averaged(name):
    net = made(name, 5)
    with pytest.raises(UnifyError, match=f"{name} cannot be trained on a batch of one image of 48x40") as caught:
        net(torch.randn(1, 3, 40, 48))
    assert caught.value.problems[0].kind == "usage"
    net.eval()(torch.randn(1, 3, 40, 48))


def test_half_precision_runs():
    net = build("tiny", 5).eval()
    images = torch.randn(1, 3, 33, 47)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = net(images)
    with torch.no_grad():
        assert (logits.float() - net(images)).abs().max() < 0.5
