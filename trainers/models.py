"""Nets by name: a backbone, a head that makes features of its maps, and a classifier.

All take normalized float images of any size and give logits of that size. `build(**net.config)` makes the same net
again; its state dict then loads strictly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from trainers import encoders, seethrough
from trainers.ops.cosine import CosineClassifier
from trainers.ops.dropclass import DropConv, class_weights
from trainers.pretrained import load_weights
from unify.errors import Problem, UnifyError, error
from unify.spaces import did_you_mean

if TYPE_CHECKING:
    from trainers.ensemble import Ensemble

Classifier = Literal["cosine", "linear"]
CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "cosine": CosineClassifier,
    "linear": lambda features, classes: nn.Conv2d(features, classes, 1),
}
Look = Callable[["Segmenter", Tensor, bool], Any]
#: What may stand between the features and the classifier; it gets the classifier's rows too.
PATHS: dict[str, Callable[[int], nn.Module]] = {"dropclass": DropConv}


@dataclass(frozen=True, slots=True)
class Net:
    """How a net is made. encoder: its name in timm (HRNet) or segmentation_models_pytorch. strides: what
    `output_stride` may be, the usual one first. multiple: images are padded to multiples of it, or of the stride.
    look: a way of its own from images to logits, with the signature of `Segmenter.forward`.
    """

    make: Callable[[str, int, int, bool], encoders.Parts]
    encoder: str
    strides: tuple[int, ...]
    multiple: int
    look: Look | None = None


_MOBILENETV3 = "tu-mobilenetv3_large_100"
MODELS: dict[str, Net] = {
    "tiny": Net(encoders.tiny, "", (4, 2), 8),
    # The weights of HRNet's authors ("ms"), which UniSeg and DropClass start from.
    "hrnet-w18-small-v1": Net(encoders.hrnet_v2, "hrnet_w18_small.ms_in1k", (4,), 32),
    "hrnet-w18-small-v2": Net(encoders.hrnet_v2, "hrnet_w18_small_v2.ms_in1k", (4,), 32),
    "hrnet-w18": Net(encoders.hrnet_v2, "hrnet_w18.ms_in1k", (4,), 32),
    "hrnet-w48": Net(encoders.hrnet_v2, "hrnet_w48.ms_in1k", (4,), 32),
    "hrnet-w18-small-v1-headv1": Net(encoders.hrnet_v1, "hrnet_w18_small.ms_in1k", (4,), 32),
    "hrnet-w18-small-v2-headv1": Net(encoders.hrnet_v1, "hrnet_w18_small_v2.ms_in1k", (4,), 32),
    "hrnet-w18-headv1": Net(encoders.hrnet_v1, "hrnet_w18.ms_in1k", (4,), 32),
    "hrnet-w48-headv1": Net(encoders.hrnet_v1, "hrnet_w48.ms_in1k", (4,), 32),
    "hrnet-w48-ocr": Net(encoders.hrnet_ocr, "hrnet_w48.ms_in1k", (4,), 32),
    "deeplabv3-resnet50": Net(encoders.deeplabv3, "resnet50", (8, 16), 8),
    "deeplabv3-resnet101": Net(encoders.deeplabv3, "resnet101", (8, 16), 8),
    "deeplabv3-mobilenetv2": Net(encoders.deeplabv3, "mobilenet_v2", (8, 16), 8),
    "deeplabv3-mobilenetv3": Net(encoders.deeplabv3, _MOBILENETV3, (8, 16), 8),
    "deeplabv3plus-resnet50": Net(encoders.deeplabv3plus, "resnet50", (16, 8), 8),
    "deeplabv3plus-resnet101": Net(encoders.deeplabv3plus, "resnet101", (16, 8), 8),
    "deeplabv3plus-mobilenetv2": Net(encoders.deeplabv3plus, "mobilenet_v2", (16, 8), 8),
    "deeplabv3plus-mobilenetv3": Net(encoders.deeplabv3plus, _MOBILENETV3, (16, 8), 8),
    "pspnet-resnet50": Net(encoders.pspnet, "resnet50", (8, 16), 8),
    "pspnet-resnet101": Net(encoders.pspnet, "resnet101", (8, 16), 8),
    "pspnet-mobilenetv2": Net(encoders.pspnet, "mobilenet_v2", (8, 16), 8),
    "pspnet-mobilenetv3": Net(encoders.pspnet, _MOBILENETV3, (8, 16), 8),
    "fcn-resnet50": Net(encoders.fcn, "resnet50", (8, 16, 32), 8),
    "fcn-resnet101": Net(encoders.fcn, "resnet101", (8, 16, 32), 8),
    "fcn-mobilenetv2": Net(encoders.fcn, "mobilenet_v2", (8, 16, 32), 8),
    "fcn-mobilenetv3": Net(encoders.fcn, _MOBILENETV3, (8, 16, 32), 8),
    "upernet-resnet50": Net(encoders.upernet, "resnet50", (32,), 32),
    "upernet-resnet101": Net(encoders.upernet, "resnet101", (32,), 32),
    "upernet-mobilenetv2": Net(encoders.upernet, "mobilenet_v2", (32,), 32),
    "upernet-mobilenetv3": Net(encoders.upernet, _MOBILENETV3, (32,), 32),
    "upernet-mit-b0": Net(encoders.upernet, "mit_b0", (32,), 32),
    "upernet-mit-b1": Net(encoders.upernet, "mit_b1", (32,), 32),
    "upernet-mit-b2": Net(encoders.upernet, "mit_b2", (32,), 32),
    "upernet-mit-b3": Net(encoders.upernet, "mit_b3", (32,), 32),
    "upernet-mit-b4": Net(encoders.upernet, "mit_b4", (32,), 32),
    "segformer-b0": Net(encoders.segformer, "mit_b0", (32,), 32),
    "segformer-b1": Net(encoders.segformer, "mit_b1", (32,), 32),
    "segformer-b2": Net(encoders.segformer, "mit_b2", (32,), 32),
    "segformer-b3": Net(encoders.segformer, "mit_b3", (32,), 32),
    "segformer-b4": Net(encoders.segformer, "mit_b4", (32,), 32),
    "segformer-resnet50": Net(encoders.segformer, "resnet50", (32,), 32),
    "segformer-resnet101": Net(encoders.segformer, "resnet101", (32,), 32),
    "segformer-mobilenetv2": Net(encoders.segformer, "mobilenet_v2", (32,), 32),
    "segformer-mobilenetv3": Net(encoders.segformer, _MOBILENETV3, (32,), 32),
    "seethrough-tiny": Net(seethrough.of_tiny, "", (2,), 8, seethrough.look),
    "seethrough-hrnet-w18-small-v1": Net(seethrough.of_hrnet, "hrnet_w18_small.ms_in1k", (4,), 32, seethrough.look),
    "seethrough-hrnet-w48": Net(seethrough.of_hrnet, "hrnet_w48.ms_in1k", (4,), 32, seethrough.look),
    # Other readings of its fusion, see `trainers.seethrough`.
    "seethrough-tiny-relative": Net(partial(seethrough.of_tiny, fusion="relative"), "", (2,), 8, seethrough.look),
    "seethrough-tiny-mean": Net(partial(seethrough.of_tiny, fusion="mean"), "", (2,), 8, seethrough.look),
    "seethrough-hrnet-w48-relative": Net(
        partial(seethrough.of_hrnet, fusion="relative"), "hrnet_w48.ms_in1k", (4,), 32, seethrough.look
    ),
    "seethrough-hrnet-w48-mean": Net(
        partial(seethrough.of_hrnet, fusion="mean"), "hrnet_w48.ms_in1k", (4,), 32, seethrough.look
    ),
}


class Segmenter(nn.Module):
    """Backbone, head, classifier. `config`: what `build` takes to make the same net, as JSON can hold it."""

    def __init__(
        self,
        parts: encoders.Parts,
        classifier: nn.Module,
        multiple: int,
        config: dict[str, Any],
        path: nn.Module | None = None,
        look: Look | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.channels = parts
        self.classifier = classifier
        self.path = path
        self.look = look
        self.multiple = multiple
        self.config = config

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized floats -> (B, `channels`, h, w), the map that the classifier reads.

        It covers the image padded to the next multiples of `multiple` pixels on the right and below (the last row and
        column repeated), so that every map is an exact fraction of it.
        """
        return self._through(self._features(images)[0])

    def forward(self, images: Tensor, auxiliary: bool = False, size_hw: tuple[int, int] | None = None) -> Any:
        """(B, 3, H, W) normalized floats -> logits (B, K, H, W), upsampled bilinearly.

        auxiliary: give (logits, auxiliary logits) instead; the latter, of OCR only and None else, are to be trained
        as well, with weight 0.4 in its paper.
        size_hw: of the logits instead of the images' own, (H / s, W / s) with a whole s that divides both.

        Raises `UnifyError` (usage) when training on a single image with a net that averages whole images and then
        normalizes over the batch; and for `size_hw` with a net that looks at images at several sizes.
        """
        if self.look is not None:
            if size_hw is not None:
                what = f"{self.config['name']} answers at the images' own size"
                raise error("usage", "", what, "leave label_stride at 1")
            return self.look(self, images, auxiliary)
        features, guess = self._features(images)
        stride = 1 if size_hw is None else images.shape[2] // size_hw[0]
        logits = self._enlarged(self.classifier(self._through(features)), images, stride)
        if not auxiliary:
            return logits
        return logits, None if guess is None else self._enlarged(guess, images, stride)

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """What `forward` gives with `auxiliary`, and the maps of the backbone that it is from, fine to coarse.

        The maps cover the padded image, as `features` does.
        """
        features, guess, maps = self._features_and_maps(images)
        logits = self._enlarged(self.classifier(self._through(features)), images)
        return logits, None if guess is None else self._enlarged(guess, images), maps

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Those that ImageNet weights are for."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """All others: of the head and the classifier."""
        yield from self.head.parameters()
        yield from self.classifier.parameters()
        if self.path is not None:
            yield from self.path.parameters()

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._features_and_maps(images)[:2]

    def _features_and_maps(self, images: Tensor) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        found, maps = self._seen(images)
        features, guess = found[:2] if isinstance(found, tuple) else (found, None)
        return features, guess, maps

    def _seen(self, images: Tensor) -> tuple[Any, list[Tensor]]:
        """What the head gives, as it is, and the maps that it is from."""
        assert images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point(), (images.shape, images.dtype)
        height, width = images.shape[2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        if any(padding):
            images = F.pad(images, padding, mode="replicate")
        try:
            maps = list(self.backbone(images))
            return self.head(maps), maps
        except ValueError as e:
            if "more than 1 value per channel" not in str(e):  # torch's words, when BatchNorm has one value to average
                raise
            what = f"{self.config['name']} cannot be trained on a batch of one image of {width}x{height}"
            raise error("usage", "", what, "take a larger batch, larger crops, or a net without pooling") from e

    def _through(self, features: Tensor) -> Tensor:
        """What the classifier reads of the head's features: with a path, what comes out of it."""
        if self.path is None:
            return features
        passed: Tensor = self.path(features, class_weights(self.classifier))
        return passed

    def _enlarged(self, logits: Tensor, images: Tensor, stride: int = 1) -> Tensor:
        """To the size of the images, or of every `stride`-th pixel of them."""
        height, width = images.shape[2:]
        size = (height + -height % self.multiple, width + -width % self.multiple)
        if stride > 1:
            size, height, width = (-(-size[0] // stride), -(-size[1] // stride)), height // stride, width // stride
        if logits.shape[2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits[:, :, :height, :width]


def build(
    name: str,
    num_classes: int,
    *,
    weights: str | None = None,
    classifier: Classifier = "cosine",
    output_stride: int | None = None,
    path: str | None = None,
) -> Segmenter | Ensemble:
    """The net `name` of `MODELS` for `num_classes` classes, or several, their names joined by plus signs.

    Args:
        weights: None (random), "imagenet" (of the backbone, fetched by timm or segmentation_models_pytorch), or a
            file: of the whole net or of its backbone, .safetensors or torch.save.
        classifier: "cosine" (scale 20, no bias) or "linear" (1x1 convolution with bias).
        output_stride: image pixels per pixel of the backbone's last map; of the features in HRNet and tiny.
        path: "dropclass" for DropClass's layer between the features and the classifier; None for nothing there.

    Raises `UnifyError`: usage (unknown names, strides; a package is missing), io (weights cannot be fetched),
    not-found, bad-artifact (a file of weights).
    """
    if "+" in name:
        from trainers.ensemble import build_ensemble

        chosen = {"classifier": classifier, "output_stride": output_stride, "path": path}
        return build_ensemble(name, num_classes, weights=weights, **{k: v for k, v in chosen.items() if v is not None})
    problems = []
    net = MODELS.get(name)
    if net is None:
        what = f"no model '{name}'{did_you_mean(name, MODELS)}"
        problems.append(Problem("usage", "", what, f"known: {', '.join(MODELS)}"))
    else:
        known = ", ".join(map(str, net.strides))
        if output_stride is not None and output_stride not in net.strides:
            problems.append(Problem("usage", "", f"{name} has no output stride {output_stride}", f"known: {known}"))
        if weights == "imagenet" and not net.encoder:
            problems.append(Problem("usage", "", f"there are no ImageNet weights for {name}", "leave weights out"))
    if classifier not in CLASSIFIERS:
        problems.append(Problem("usage", "", f"no classifier '{classifier}'", f"known: {', '.join(CLASSIFIERS)}"))
    if path is not None and path not in PATHS:
        problems.append(Problem("usage", "", f"no path '{path}'", f"known: {', '.join(PATHS)}"))
    if num_classes < 1:
        problems.append(Problem("usage", "", f"{num_classes} classes", "a net needs at least one"))
    if problems:
        raise UnifyError(*problems)
    assert net is not None
    stride = output_stride or net.strides[0]
    parts = _parts(name, net, num_classes, stride, weights == "imagenet")
    config = {"name": name, "num_classes": num_classes, "classifier": classifier, "output_stride": stride}
    multiple = max(stride, net.multiple)
    if path is not None:
        config["path"] = path  # configs of nets without one stay what they were
    made_classifier = CLASSIFIERS[classifier](parts[2], num_classes)
    between = None if path is None else PATHS[path](parts[2])  # last, so that the seed gives the rest the same weights
    made = Segmenter(parts, made_classifier, multiple, config, between, net.look)
    if weights not in (None, "imagenet"):
        load_weights(made, weights)
    return made


def _parts(name: str, net: Net, num_classes: int, stride: int, pretrained: bool) -> encoders.Parts:
    try:
        return net.make(net.encoder, num_classes, stride, pretrained)
    except UnifyError:
        raise
    except Exception as e:
        if not pretrained:
            raise
        # The libraries fetch by several others, and each has exceptions of its own for a machine without a network.
        first = (str(e).splitlines() or [""])[0]
        what = f"ImageNet weights cannot be fetched ({type(e).__name__}: {first})"
        raise error("io", name, what, "try again, or give a file of weights") from e


def sync_batchnorm(net: nn.Module) -> nn.Module:
    """`net` with statistics of its BatchNorms over all processes, on GPUs. State dicts stay as they are."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if all(type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d) for norm in norms):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
        return converted
    # timm's norms have an activation in them, which torch's conversion would lose.
    return encoders.needed("timm.layers").convert_sync_batchnorm(net)  # type: ignore[no-any-return]


def parameter_groups(
    net: Segmenter | Ensemble, *, lr: float, weight_decay: float, backbone_factor: float = 1.0, decay_all: bool = True
) -> list[dict[str, Any]]:
    """Groups for an optimizer of torch: "name", "params", "lr", "weight_decay", and "factor", that of its rate.

    backbone_factor: of the backbone's learning rate. decay_all: False for no weight decay on norms and biases, that
    is on what has one axis.
    """
    groups = []
    sides = (("backbone", net.backbone_parameters(), backbone_factor), ("head", net.head_parameters(), 1.0))
    for name, parameters, factor in sides:
        mine = [p for p in parameters if p.requires_grad]
        plain = [p for p in mine if not decay_all and p.ndim <= 1]
        kept = [p for p in mine if decay_all or p.ndim > 1]
        for suffix, chosen, decay in (("", kept, weight_decay), ("-no-decay", plain, 0.0)):
            if chosen:
                group = {"name": name + suffix, "params": chosen, "weight_decay": decay}
                groups.append({**group, "lr": lr * factor, "factor": factor})
    return groups
