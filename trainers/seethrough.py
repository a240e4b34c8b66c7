"""SeeThroughNet: coarse answers at every scale of the backbone, fused into a fine one that OCR starts from.

Han, Yoo and Oh, SeeThroughNet: Resurrection of Auxiliary Loss by Preserving Class Probability Information, CVPR 2022.
Known of it: HRNetV2-W48; for each of its four scales a head (3x3 convolution, BatchNorm, ReLU, 1x1 convolution) with a
coarse answer; labels pooled by CPP for three of them; a trainable relative attention between neighbouring scales, the
lower one upsampled bilinearly; one scale after the other fused into a fine map X; the final answer by OCR; training on
an image at two sizes and answers from three, as Tao et al. (Hierarchical Multi-Scale Attention, 2020) have it.

Our reconstruction: that X, which is a map of classes, takes the place of the first guess of OCR, which sums up the
backbone's maps over the regions that X shows; and the formula of fusion, which is lost. Nets have one of three
(`FUSIONS`), and say which by their name:

    attention   seethrough-tiny            by analogy with Tao et al.: the coarser scale says how much it counts, where
                                           it is (`fuse_maps`)
    relative    seethrough-tiny-relative   every scale has a score; two neighbours share by softmax (`fuse_relative`)
    mean        seethrough-tiny-mean       half of each, a control (`fuse_mean`)

Which of the coarse answers learn pooled labels is an option of the method, see `trainers.methods.seethrough`.

Nets of this kind weigh several sizes of an image themselves: `look` is their way from images to logits. What
`unify evaluate --scale` adds is a mean over such answers, and mostly not wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from trainers import encoders, heads
from trainers.tiny import TinyBackbone, conv

if TYPE_CHECKING:
    from trainers.models import Segmenter

TRAINED_SCALES = (0.5, 1.0)  #: sizes of an image that training looks at
SCALES = (0.5, 1.0, 2.0)  #: and those of every other look
Fusion = Literal["attention", "relative", "mean"]
FUSIONS: tuple[Fusion, ...] = ("attention", "relative", "mean")


# --- One size of an image -----------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What the head makes of the maps. n scales, fine to coarse; h, w of the finest.

    features: (B, D, h, w), for the classifier. guess: (B, K, h, w), X, the fused coarse answers. coarse: n maps of
    (B, K, hi, wi), the coarse answers. attention: (B, 1, h, w) in 0..1, of this size of the image against larger ones.
    """

    features: Tensor
    guess: Tensor
    coarse: list[Tensor]
    attention: Tensor


class CoarseHead(nn.Module):
    """A map -> its coarse answer (B, K, h, w); and a score (B, 1, h, w), None unless `scored`."""

    def __init__(self, width: int, num_classes: int, *, scored: bool) -> None:
        super().__init__()
        self.mix = conv(width, width)
        self.answer = nn.Conv2d(width, num_classes, 1)
        self.attention = nn.Conv2d(width, 1, 1) if scored else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.mix(x)
        return self.answer(x), None if self.attention is None else self.attention(x)


class SeeThroughHead(nn.Module):
    """The backbone's maps, fine to coarse -> `Seen`. `channels`: of the features.

    widths: channels of the maps. channels, key_channels: of OCR, see `trainers.heads.OCR`. fusion: of the coarse
    answers, one of `FUSIONS`, our reconstruction.
    """

    def __init__(
        self,
        widths: Sequence[int],
        num_classes: int,
        channels: int = 512,
        key_channels: int = 256,
        fusion: Fusion = "attention",
    ) -> None:
        super().__init__()
        self.channels = channels
        self.fusion = fusion
        scored = [fusion == "relative" or (fusion == "attention" and i > 0) for i in range(len(widths))]
        self.coarse = nn.ModuleList(
            CoarseHead(width, num_classes, scored=each) for width, each in zip(widths, scored, strict=True)
        )
        self.ocr = heads.OCR(widths, None, channels, key_channels)
        middle = channels // 2
        self.attention = nn.Sequential(conv(channels, middle), conv(middle, middle), nn.Conv2d(middle, 1, 1))

    def forward(self, maps: list[Tensor]) -> Seen:
        answers, scores = zip(*(head(x) for head, x in zip(self.coarse, maps, strict=True)), strict=True)
        if self.fusion == "attention":
            guess = fuse_maps(answers, [score.sigmoid() for score in scores[1:]])
        elif self.fusion == "relative":
            guess = fuse_relative(answers, scores)
        else:
            guess = fuse_mean(answers)
        features, _ = self.ocr(maps, guess)
        return Seen(features, guess, list(answers), self.attention(features).sigmoid())


def fuse_maps(answers: Sequence[Tensor], attentions: Sequence[Tensor]) -> Tensor:
    """X_1 of x_1 .. x_n, fine to coarse: X_n = x_n, X_s = U(a_{s+1} X_{s+1}) + (1 - U(a_{s+1})) x_s.

    U upsamples bilinearly. answers: n maps (B, K, hi, wi). attentions: (B, 1, hi, wi) in 0..1, of all but the first.
    """
    fused = answers[-1]
    for finer, attention in zip(reversed(answers[:-1]), reversed(attentions), strict=True):
        size = finer.shape[2:]
        fused = resized(attention * fused, size) + (1 - resized(attention, size)) * finer
    return fused


def fuse_relative(answers: Sequence[Tensor], scores: Sequence[Tensor]) -> Tensor:
    """As `fuse_maps`, where (w, 1 - w) = softmax(U(t_{s+1}), t_s): X_s = w U(X_{s+1}) + (1 - w) x_s.

    scores: t_1 .. t_n, (B, 1, hi, wi), any number. Our reconstruction: "relative" taken at its word.
    """
    fused = answers[-1]
    for i in reversed(range(len(answers) - 1)):
        size = answers[i].shape[2:]
        share = (resized(scores[i + 1], size) - scores[i]).sigmoid()  # the softmax of two
        fused = share * resized(fused, size) + (1 - share) * answers[i]
    return fused


def fuse_mean(answers: Sequence[Tensor]) -> Tensor:
    """X_s = (U(X_{s+1}) + x_s) / 2: `fuse_maps` with an attention of a half everywhere. A control, of no paper."""
    fused = answers[-1]
    for finer in reversed(answers[:-1]):
        fused = (resized(fused, finer.shape[2:]) + finer) / 2
    return fused


def resized(x_bchw: Tensor, size_hw: Sequence[int]) -> Tensor:
    if tuple(x_bchw.shape[2:]) == tuple(size_hw):
        return x_bchw
    return F.interpolate(x_bchw, tuple(size_hw), mode="bilinear", align_corners=False)


# --- Several sizes ------------------------------------------------------------------------------------------


class View(NamedTuple):
    """One size of an image: logits, guess (B, K, H, W) and attention (B, 1, H, W) at that size; `Seen.coarse`."""

    logits: Tensor
    guess: Tensor
    attention: Tensor
    coarse: list[Tensor]


class Looked(NamedTuple):
    """logits, guess: (B, K, H, W), of all sizes together. views: of each, by its scale."""

    logits: Tensor
    guess: Tensor
    views: dict[float, View]


def look(net: Segmenter, images: Tensor, auxiliary: bool = False) -> Any:
    """What `Segmenter.forward` gives: of `TRAINED_SCALES` in training, else of `SCALES`."""
    logits, guess, _ = look_at(net, images, TRAINED_SCALES if net.training else SCALES)
    return (logits, guess) if auxiliary else logits


def look_at(net: Segmenter, images: Tensor, scales: Sequence[float]) -> Looked:
    """Answers to images (B, 3, H, W), shown at these scales of their size."""
    height, width = images.shape[2:]
    views = {}
    for scale in sorted(set(scales)):
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        shown = images
        if size != (height, width):
            shown = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=scale < 1)
        views[scale] = view(net, shown)
    attentions = {scale: each.attention for scale, each in views.items()}
    logits = fuse_scales({scale: each.logits for scale, each in views.items()}, attentions, (height, width))
    guess = fuse_scales({scale: each.guess for scale, each in views.items()}, attentions, (height, width))
    return Looked(logits, guess, views)


def view(net: Segmenter, images: Tensor) -> View:
    """Answers to images at the size that they have."""
    seen, _ = net._seen(images)
    logits = net._enlarged(net.classifier(net._through(seen.features)), images)
    return View(logits, net._enlarged(seen.guess, images), net._enlarged(seen.attention, images), seen.coarse)


def fuse_scales(maps: Mapping[float, Tensor], attentions: Mapping[float, Tensor], size_hw: tuple[int, int]) -> Tensor:
    """Maps of several sizes of an image to one of its own, (B, K, H, W): the hierarchical attention of Tao et al.

    From the largest on, each smaller size says by its attention a where it knows better than all larger ones together,
    P: a p + (1 - a) P, at that size or, below 1, upsampled to the image's. The attention of the largest is not used.

    maps, attentions: by scale, (B, K, h, w) and (B, 1, h, w) in 0..1.
    """
    largest, *smaller = sorted(maps, reverse=True)
    fused = maps[largest]
    for scale in smaller:
        own, attention = attentions[scale] * maps[scale], attentions[scale]
        size = tuple(own.shape[2:]) if scale >= 1 else size_hw
        fused = resized(own, size) + (1 - resized(attention, size)) * resized(fused, size)
    return resized(fused, size_hw)


# --- Nets ---------------------------------------------------------------------------------------------------


def of_hrnet(
    encoder: str, num_classes: int, stride: int, pretrained: bool, *, fusion: Fusion = "attention"
) -> encoders.Parts:
    """The paper's with "hrnet_w48.ms_in1k"."""
    backbone, widths = encoders.hrnet(encoder, pretrained)
    head = SeeThroughHead(widths, num_classes, fusion=fusion)
    return backbone, head, head.channels


def of_tiny(
    encoder: str, num_classes: int, stride: int, pretrained: bool, *, fusion: Fusion = "attention"
) -> encoders.Parts:
    """A small one for CPUs: three scales, at stride 2, 4 and 8, and CPP labels for two of them."""
    head = SeeThroughHead((16, 32, 64), num_classes, channels=64, key_channels=32, fusion=fusion)
    return TinyBackbone(), head, head.channels
