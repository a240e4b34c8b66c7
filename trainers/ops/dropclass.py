"""Class-specific features of DropClass, the mean of those that are kept, and the layer that makes them anew.

Chu, Kim and Han, Learning Debiased and Disentangled Representations for Semantic Segmentation, NeurIPS 2021. With A
the map that the classifier reads, and w_c the classifier's weights of class c, the features of c are ReLU(S_c ⊙ A),
where S_c is the gradient of the logit of c with respect to A. In a 1x1 convolution that is w_c at every pixel; and A
comes out of a ReLU, so the features are A ⊙ ReLU(w_c). Their mean over the kept classes is therefore

    A_mean = A ⊙ s,    s = mean over kept c of ReLU(w_c)

one vector s (D,) for the batch: no tensor of classes x features x pixels. (That S_c is w_c is our reading of the
authors' figure, and what their code does.) The gradient goes through w_c too.

A cosine classifier has a row of weights for each class as well, and they are taken as w_c. They are the gradient only
up to a factor and what the normalization of A takes away, so with it this is a variant of the paper's method; the
paper's classifier is the linear one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def class_weights(classifier: nn.Module) -> Tensor:
    """(K, D): the rows of a linear classifier (a 1x1 convolution) or a cosine classifier, gradient attached."""
    weight = classifier.weight
    assert isinstance(weight, Tensor), classifier
    return weight.flatten(1)


def mean_weight(weight_kd: Tensor, dropped: int | None = None) -> Tensor:
    """(D,), at least 0: the mean of ReLU(w_c) over all classes, or over all but `dropped`; 0 if none is left."""
    positive_kd = weight_kd.relu()
    if dropped is None:
        return positive_kd.mean(0)
    total = positive_kd[:dropped].sum(0) + positive_kd[dropped + 1 :].sum(0)
    return total / max(1, len(weight_kd) - 1)


class DropConv(nn.Module):
    """A_drop = ReLU(BatchNorm(Conv1x1(A_mean))), as wide as A: what the classifier reads in the second pass.

    The 1x1 convolution of A ⊙ s is that of A with its columns scaled by s, so A_mean itself is never made.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features_bdhw: Tensor, weight_kd: Tensor, dropped: int | None = None) -> Tensor:
        """A (B, D, H, W), at least 0, and the classifier's rows (K, D) -> A_drop (B, D, H, W).

        dropped: the class that is left out; None for none, as when a net is used.
        """
        scale_d = mean_weight(weight_kd, dropped)
        kernel = self.conv.weight * scale_d[None, :, None, None]
        return F.relu(self.norm(F.conv2d(features_bdhw, kernel)), inplace=True)
