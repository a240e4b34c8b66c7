"""A scalar whose gradient is computed at once, so that what its computation keeps can go.

Two losses of full-size logits would keep the logits of both until the backward pass. Done one after the other, each
leaves but a gradient of the size of its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def gradient_now(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """loss(x), a scalar: the same value, and the same gradient with respect to x, with less memory held in between.

    `loss` may depend on nothing else that needs a gradient. Where x needs none (or gradients are off), it is loss(x).
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return loss(x)
    value: Tensor = _Now.apply(x, loss)  # type: ignore[no-untyped-call]
    return value


class _Now(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            value = loss(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
        ctx.save_for_backward(gradient)
        return value.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None
