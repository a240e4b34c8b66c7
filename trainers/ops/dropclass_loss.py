"""The losses of DropClass's two passes, of logits as small as they leave the net, with their gradient in one piece.

With x the logits enlarged bilinearly, p their softmax, y the labels, z the dropped class, a and b two weights, of each
pixel

    L = a [y kept] (-log p_y) + b p_z
    dL/dx_k = a [y kept] (p_k - [k = y]) + b p_z ([k = z] - p_k)

where y is kept unless it is void or z. Without z, and with a = 1 / labelled pixels, that is cross-entropy.

Logits at the images' size are most of what a small net computes, and here they are never there: the picture is done
in tiles that stay in a core's cache, from the few small logits that a tile comes of to their gradient. To enlarge is
a linear map along each axis, so both ways are products with two small matrices, and what remains for the backward
pass is a gradient of the size of the small logits.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.ops.labels import VOID

#: Logits in a tile. On a CPU a tile of float32 stays in a core's second-level cache; elsewhere it has to be large
#: enough to be worth a launch.
_TILE = {"cpu": 1 << 18}
_TILE_ELSEWHERE = 1 << 26


def loss_without(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    dropped: int | None,
    a: Tensor,
    b: Tensor,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """The sum of L over all pixels, a scalar of float32 at least.

    Args:
        logits_bkhw: (B, K, h, w) of any float type.
        labels_bhw: (B, H, W) integers: class ids 0..K-1 and 255; others are not looked for.
        dropped: z; None for a loss of its first term alone, with every class kept.
        a, b: scalars, at least 0.
        size: height and width that the logits cover, in pixels, of which the labels are the upper left part; that of
            the labels if None.
    """
    height, width = size or labels_bhw.shape[1:]
    loss: Tensor = _Loss.apply(logits_bkhw, labels_bhw, dropped, a, b, (height, width))  # type: ignore[no-untyped-call]
    return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits_bkhw: Tensor,
        labels_bhw: Tensor,
        dropped: int | None,
        a: Tensor,
        b: Tensor,
        size: tuple[int, int],
    ) -> Tensor:
        small_bhkw = logits_bkhw.to(torch.promote_types(logits_bkhw.dtype, torch.float32)).transpose(1, 2).contiguous()
        slope_bhkw = torch.zeros_like(small_bhkw)
        total = torch.zeros((), dtype=torch.float64, device=small_bhkw.device)
        num_classes = logits_bkhw.shape[1]
        side = isqrt(_TILE.get(small_bhkw.device.type, _TILE_ELSEWHERE) // num_classes)
        down, across = (
            _pieces(logits_bkhw.shape[axis], size[axis - 2], labels_bhw.shape[axis - 1], side, small_bhkw)
            for axis in (2, 3)
        )
        for small_hkw, slope_hkw, labels_hw in zip(small_bhkw, slope_bhkw, labels_bhw, strict=True):
            for rows, low_rows, by_row in down:
                for columns, low_columns, by_column in across:
                    wide_hkw = small_hkw[low_rows, :, low_columns] @ by_column
                    x_hkw = (by_row.T @ wide_hkw.flatten(1)).unflatten(1, wide_hkw.shape[1:])
                    total += _tile(x_hkw, labels_hw[rows, columns], dropped, a, b)
                    wide_hkw = (by_row @ x_hkw.flatten(1)).unflatten(1, wide_hkw.shape[1:])
                    slope_hkw[low_rows, :, low_columns] += wide_hkw @ by_column.T
        ctx.save_for_backward(slope_bhkw)
        ctx.dtype = logits_bkhw.dtype
        return total.to(small_bhkw.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (slope_bhkw,) = ctx.saved_tensors
        return (slope_bhkw * grad).to(ctx.dtype).transpose(1, 2), None, None, None, None, None


class _Piece(NamedTuple):
    """A stretch of an axis, the stretch of the small one that it is enlarged from, and how: (low, here)."""

    here: slice
    low: slice
    matrix: Tensor


def _pieces(small: int, large: int, shown: int, side: int, like: Tensor) -> list[_Piece]:
    """The first `shown` of `large` pixels in pieces of about equal length, at most `side`."""
    matrix = F.interpolate(torch.eye(small, dtype=like.dtype)[None], large, mode="linear", align_corners=False)[0]
    count = -(-shown // side)
    pieces = []
    for i in range(count):
        here = slice(shown * i // count, shown * (i + 1) // count)
        low_n = matrix[:, here].any(1).nonzero()[:, 0].tolist()
        low = slice(low_n[0], low_n[-1] + 1)
        pieces.append(_Piece(here, low, matrix[low, here].to(like.device)))
    return pieces


def _tile(x_hkw: Tensor, labels_hw: Tensor, dropped: int | None, a: Tensor, b: Tensor) -> Tensor:
    """The loss of logits, which are replaced by its gradient."""
    kept_hw = labels_hw != VOID
    if dropped is not None:
        kept_hw &= labels_hw != dropped
    y_h1w = torch.where(kept_hw, labels_hw, 0).long()[:, None]
    weight_hw = kept_hw.to(x_hkw.dtype) * a
    highest_h1w = x_hkw.amax(1, keepdim=True)
    at_label_h1w = x_hkw.gather(1, y_h1w)
    x_hkw.sub_(highest_h1w).exp_()
    sum_h1w = x_hkw.sum(1, keepdim=True)
    total = ((sum_h1w.log() + highest_h1w - at_label_h1w)[:, 0] * weight_hw).sum()
    scale_hw = weight_hw
    if dropped is not None:
        p_hw = x_hkw[:, dropped] / sum_h1w[:, 0] * b
        total = total + p_hw.sum()
        scale_hw = weight_hw - p_hw
    x_hkw.mul_(scale_hw[:, None] / sum_h1w).scatter_add_(1, y_h1w, -weight_hw[:, None])
    if dropped is not None:
        x_hkw[:, dropped] += p_hw
    return total
