"""Decoders that neither timm nor segmentation_models_pytorch has, or not as their papers have them.

A head takes the backbone's maps, fine to coarse, and gives the features that a classifier reads: (B, D, h, w) after a
ReLU. `channels` is D.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.ops.order import AveragePool
from trainers.tiny import conv


def concatenated(maps: Sequence[Tensor]) -> Tensor:
    """The maps, upsampled bilinearly to the size of the first, side by side."""
    size = maps[0].shape[2:]
    larger = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in maps[1:]]
    return torch.cat([maps[0], *larger], 1)


class LastMap(nn.Module):
    """HRNetV1: a 1x1 convolution of the finest map. Sun et al. 2019, arXiv 1904.04514, Fig. 3 (a)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.channels = widths[0]
        self.mix = conv(widths[0], self.channels, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        mixed: Tensor = self.mix(maps[0])
        return mixed


class AllMaps(nn.Module):
    """HRNetV2: all maps at the finest one's size, mixed by a 1x1 convolution. arXiv 1904.04514, Fig. 3 (b)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.channels = sum(widths)
        self.mix = conv(self.channels, self.channels, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        mixed: Tensor = self.mix(concatenated(maps))
        return mixed


class FCN(nn.Module):
    """A 3x3 convolution to a quarter of the channels on the last map, as torchvision's FCN on dilated backbones has."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.channels = inputs // 4
        self.mix = nn.Sequential(conv(inputs, self.channels), nn.Dropout(0.1))

    def forward(self, maps: list[Tensor]) -> Tensor:
        mixed: Tensor = self.mix(maps[-1])
        return mixed


class PSP(nn.Module):
    """Pyramid pooling of the last map. Zhao et al., PSPNet, CVPR 2017, Section 3.2: bins of 1, 2, 3 and 6."""

    def __init__(self, inputs: int, channels: int = 512, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.channels = channels
        width = inputs // len(bins)
        self.pools = nn.ModuleList(nn.Sequential(AveragePool(n), conv(inputs, width, 1)) for n in bins)
        self.mix = nn.Sequential(conv(inputs + width * len(bins), channels), nn.Dropout(0.1))

    def forward(self, maps: list[Tensor]) -> Tensor:
        mixed: Tensor = self.mix(concatenated([maps[-1], *(pool(maps[-1]) for pool in self.pools)]))
        return mixed


class OCR(nn.Module):
    """Object-contextual representations. Yuan et al., ECCV 2020, Section 3.2, on all maps of HRNetV2.

    A first guess of the classes (`auxiliary` logits, which the paper trains with weight 0.4) says which pixels belong
    to a class; a class's region is the mean of the features there; each pixel then attends to the regions.

    Returns features and the auxiliary logits (B, K, h, w). Without `num_classes` the head has no guess of its own, and
    is given one.
    """

    def __init__(
        self, widths: Sequence[int], num_classes: int | None, channels: int = 512, key_channels: int = 256
    ) -> None:
        super().__init__()
        inputs = sum(widths)
        self.channels = channels
        self.auxiliary = None
        if num_classes is not None:
            self.auxiliary = nn.Sequential(conv(inputs, inputs, 1), nn.Conv2d(inputs, num_classes, 1))
        self.pixels = conv(inputs, channels)
        self.query = nn.Sequential(conv(channels, key_channels, 1), conv(key_channels, key_channels, 1))
        self.key = nn.Sequential(conv(channels, key_channels, 1), conv(key_channels, key_channels, 1))
        self.value = conv(channels, key_channels, 1)
        self.context = conv(key_channels, channels, 1)
        self.mix = nn.Sequential(conv(2 * channels, channels, 1), nn.Dropout2d(0.05))

    def forward(self, maps: list[Tensor], guess: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = concatenated(maps)
        if guess is None:
            assert self.auxiliary is not None, "this head has to be given a guess"
            guess = self.auxiliary(x)
        pixels = self.pixels(x)
        share_bkn = guess.flatten(2).float().softmax(2).to(pixels.dtype)  # of each class's region, over the pixels
        regions = torch.einsum("bkn,bcn->bck", share_bkn, pixels.flatten(2)).unsqueeze(3)  # an image of K x 1 pixels
        query, key, value = self.query(pixels).flatten(2), self.key(regions).flatten(2), self.value(regions).flatten(2)
        weight_bnk = (torch.einsum("bcn,bck->bnk", query, key) * query.shape[1] ** -0.5).softmax(2)
        context = torch.einsum("bnk,bck->bcn", weight_bnk, value).reshape(*value.shape[:2], *pixels.shape[2:])
        return self.mix(torch.cat([self.context(context), pixels], 1)), guess
