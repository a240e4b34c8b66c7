"""DropClass as its paper says it: the features of each class, one after the other, and their mean.

Slow, and as large as the features times the classes. Arguments are those of `dropclass`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def class_features(features_bdhw: Tensor, classifier: nn.Module, class_id: int) -> Tensor:
    """ReLU(S_c ⊙ A) (B, D, H, W), S_c from autograd: the gradient of the summed logits of c with respect to A.

    Of a linear classifier. With `create_graph`, so that the gradient of what is made of it goes through S_c.
    """
    if not features_bdhw.requires_grad:
        features_bdhw = features_bdhw.detach().requires_grad_()
    logits_bkhw = classifier(features_bdhw)
    (slope_bdhw,) = torch.autograd.grad(logits_bkhw[:, class_id].sum(), features_bdhw, create_graph=True)
    return F.relu(slope_bdhw * features_bdhw)


def mean_features(features_bdhw: Tensor, classifier: nn.Module, num_classes: int, dropped: int | None = None) -> Tensor:
    """A_mean (B, D, H, W): Σ_c r_c A_c / Σ_c r_c, with r_c = 0 for the class that is dropped and 1 for the others."""
    kept = [float(c != dropped) for c in range(num_classes)]
    total = torch.zeros_like(features_bdhw)
    for class_id, r in enumerate(kept):
        total = total + r * class_features(features_bdhw, classifier, class_id)
    return total / max(1.0, sum(kept))


def drop_features(
    features_bdhw: Tensor,
    classifier: nn.Module,
    num_classes: int,
    conv: nn.Module,
    norm: nn.Module,
    dropped: int | None,
) -> Tensor:
    """A_drop = ReLU(norm(conv(A_mean)))."""
    mean_bdhw = mean_features(features_bdhw, classifier, num_classes, dropped)
    return F.relu(norm(conv(mean_bdhw)))
