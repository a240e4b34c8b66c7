"""What torch refuses on a GPU with deterministic algorithms, made of operations that each have an order of sums.

Of torch 2.13's list ("torch.use_deterministic_algorithms") nets and losses here use three: cross-entropy of maps
(nll_loss2d), adaptive average pooling, and bilinear interpolation, which torch itself makes of others in this mode.
Elsewhere torch's own are faster, and stay.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.ops.labels import VOID


def needs_order(x: Tensor) -> bool:
    """Whether torch would refuse its own."""
    return x.is_cuda and torch.are_deterministic_algorithms_enabled()


def cross_entropy_map(x_bkhw: Tensor, labels_bhw: Tensor, void: int = VOID) -> Tensor:
    """(B, H, W): `F.cross_entropy(..., reduction="none")`; void counts 0.

    On a CPU it takes 1.7 times as long (19 classes of 4 x 512 x 512 pixels, forward and backward).
    """
    labelled_bhw = labels_bhw != void
    x_own_bhw = x_bkhw.gather(1, torch.where(labelled_bhw, labels_bhw, 0).long()[:, None])[:, 0]
    return torch.where(labelled_bhw, x_bkhw.logsumexp(1) - x_own_bhw, 0)


class AveragePool(nn.Module):
    """(B, C, H, W) -> (B, C, n, n): the mean of each of n x n windows, which overlap where n does not divide a side."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x_bchw: Tensor) -> Tensor:
        return pooled(x_bchw, self.bins) if needs_order(x_bchw) else F.adaptive_avg_pool2d(x_bchw, self.bins)


def pooled(x_bchw: Tensor, bins: int) -> Tensor:
    """The same by two matrices, one for each axis."""
    down, across = (_windows(side, bins).to(x_bchw, non_blocking=True) for side in x_bchw.shape[2:])
    return down @ x_bchw @ across.T


def _windows(side: int, bins: int) -> Tensor:
    """(bins, side): 1 / length in each bin's window, which reaches from floor(i side / n) to ceil((i + 1) side / n)."""
    first = torch.arange(bins)[:, None] * side // bins
    end = -(-(torch.arange(bins)[:, None] + 1) * side // bins)
    place = torch.arange(side)
    return ((place >= first) & (place < end)) / (end - first)


def with_order(net: nn.Module) -> nn.Module:
    """`net` with such pools in place of torch's, but for those of whole maps: these are plain means."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.AdaptiveAvgPool2d and isinstance(child.output_size, int) and child.output_size > 1:
                setattr(module, name, AveragePool(child.output_size))
    return net
