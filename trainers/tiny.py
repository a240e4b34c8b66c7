"""A small net for street scenes on a CPU: plain torch, 115k parameters, BatchNorm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 64  #: of the features


def conv(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU; the size stays, or is divided by `stride` and rounded up."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + a 3x3 convolution of x; a depthwise and a pointwise one where `separable`."""

    def __init__(self, channels: int, dilation: int = 1, *, separable: bool = True) -> None:
        super().__init__()
        spread = conv(channels, channels, dilation=dilation, groups=channels) if separable else nn.Identity()
        mix = nn.Conv2d(channels, channels, 1 if separable else 3, padding=0 if separable else 1, bias=False)
        self.change = nn.Sequential(spread, mix, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.change(x))


class TinyBackbone(nn.Module):
    """(B, 3, H, W) -> maps of 16, 32 and 64 channels at stride 2, 4 and 8.

    A pixel of the last has seen 279 x 279 pixels (dilation 1, 2, 4, 8), and the mean of the whole map as a gate.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, stride=2)
        self.down4 = nn.Sequential(conv(16, 32, stride=2), conv(32, 32))
        self.down8 = nn.Sequential(
            conv(32, 64, stride=2),
            Residual(64, separable=False),
            Residual(64, 2),
            Residual(64, 4),
            Residual(64, 8),
            Residual(64),
        )
        self.context = nn.Conv2d(64, 64, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        # Channels last: on a CPU these convolutions take about 0.6 of the time.
        at2 = self.stem(images.contiguous(memory_format=torch.channels_last))
        at4 = self.down4(at2)
        at8 = self.down8(at4)
        gate = self.context(at8.mean((2, 3), keepdim=True)).sigmoid()
        return [at2, at4, at8 * (2 * gate)]


class TinyHead(nn.Module):
    """The three maps, brought to stride `stride` (2 or 4) and added -> (B, 64, H / stride, W / stride).

    At stride 4 the fine map comes down by a convolution with stride, so that poles and edges are still told.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.from2 = conv(16, CHANNELS, stride=stride // 2)
        self.from4 = nn.Conv2d(32, CHANNELS, 1)
        self.from8 = nn.Conv2d(64, CHANNELS, 1)
        self.fuse = Residual(CHANNELS)

    def forward(self, maps: list[Tensor]) -> Tensor:
        at2, at4, at8 = maps
        fine = self.from2(at2)
        for coarse in (self.from4(at4), self.from8(at8)):
            fine = fine + F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.fuse(fine)
        return mixed
