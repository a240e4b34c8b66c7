"""The loss of DropClass's second pass, with its gradient in one piece.

With p the softmax, y the labels, z the dropped class, a and b two weights, of each pixel

    L = a [y kept] (-log p_y) + b p_z
    dL/dx_k = a [y kept] (p_k - [k = y]) + b p_z ([k = z] - p_k)

where y is kept unless it is void or z. Left to autograd, either term has a full-size gradient of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.ops.labels import VOID


def loss_without(logits_bkhw: Tensor, labels_bhw: Tensor, dropped: int | None, a: Tensor, b: Tensor) -> Tensor:
    """The sum of L over all pixels, a scalar of float32 at least.

    Args:
        logits_bkhw: (B, K, H, W) of any float type.
        labels_bhw: (B, H, W) integers: class ids 0..K-1 and 255; others are not looked for.
        dropped: z; None for a loss of its first term alone, with every class kept.
        a, b: scalars, at least 0.
    """
    loss: Tensor = _Loss.apply(logits_bkhw, labels_bhw, dropped, a, b)  # type: ignore[no-untyped-call]
    return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, labels_bhw: Tensor, dropped: int | None, a: Tensor, b: Tensor) -> Tensor:
        log_p_bkhw = x.to(torch.promote_types(x.dtype, torch.float32)).log_softmax(1)
        kept_bhw = labels_bhw != VOID
        if dropped is not None:
            kept_bhw = kept_bhw & (labels_bhw != dropped)
        y_b1hw = torch.where(kept_bhw, labels_bhw, 0).long()[:, None]
        weight_bhw = kept_bhw.to(log_p_bkhw.dtype) * a
        total = -(log_p_bkhw.gather(1, y_b1hw)[:, 0] * weight_bhw).sum()
        slope_bkhw = log_p_bkhw.exp_()
        scale_bhw = weight_bhw
        if dropped is not None:
            p_bhw = slope_bkhw[:, dropped] * b
            total = total + p_bhw.sum()
            scale_bhw = weight_bhw - p_bhw
        slope_bkhw.mul_(scale_bhw[:, None]).scatter_add_(1, y_b1hw, -weight_bhw[:, None])
        if dropped is not None:
            slope_bkhw[:, dropped] += p_bhw
        ctx.save_for_backward(slope_bkhw)
        ctx.dtype = x.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope_bkhw,) = ctx.saved_tensors
        return (slope_bkhw * grad).to(ctx.dtype), None, None, None, None
