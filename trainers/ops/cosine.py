"""The cosine classifier: a class is a direction, and a logit the scaled cosine between it and the features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 20.0  #: of UniSeg with HRNet-W18


def cosine_logits(features: Tensor, weight_kd: Tensor, scale: float = SCALE) -> Tensor:
    """scale · cos(features, weight of each class).

    Args:
        features: (N, D), or (B, D, H, W): a 1x1 convolution then.
        weight_kd: (K, D).

    Returns:
        (N, K) or (B, K, H, W), in -scale..scale, float32 at least. Features or weights of length 0 (in float32:
        below 1e-19, where squares vanish) have no direction: their logits are 0, and so are the gradients through them.
    """
    direction_kd = weight_kd.float() if weight_kd.dtype.itemsize < 4 else weight_kd
    direction_kd = direction_kd * _inverse_length(direction_kd)
    # The length divides the K logits, not the D features: no normalized copy of those is kept. A length in units of
    # the largest feature would be safer still, and cost one more pass; squares overflow only beyond 1e19.
    inverse = _inverse_length(features if features.dtype.itemsize >= 4 else features.float()) * scale
    direction_kd = direction_kd.to(features.dtype)
    if features.ndim == 4:
        return F.conv2d(features, direction_kd[:, :, None, None]) * inverse
    return F.linear(features, direction_kd) * inverse


def _inverse_length(x: Tensor) -> Tensor:
    """1 / |x| over axis 1, which is kept with size 1; 0 with a zero gradient where |x| is 0."""
    square = x.square().sum(1, keepdim=True)
    is_zero = square < torch.finfo(square.dtype).tiny
    # The inner `where` keeps infinity out of the backward pass, the outer one out of the result.
    return torch.where(is_zero, 0, torch.where(is_zero, 1, square).rsqrt())


class CosineClassifier(nn.Module):
    """logit_c = scale · cos(f, w_c), no bias; for (N, D) and (B, D, H, W) features. `weight`: (K, D).

    UniSeg (Kim et al., ECCV 2022) has scale 20 with HRNet-W18.
    """

    def __init__(self, features: int, classes: int, scale: float = SCALE) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As `nn.Linear`: only directions count, but lengths set how fast they turn."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, features: Tensor) -> Tensor:
        return cosine_logits(features, self.weight, self.scale)

    def extra_repr(self) -> str:
        classes, features = self.weight.shape
        return f"features={features}, classes={classes}, scale={self.scale}"
