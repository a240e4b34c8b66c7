"""The losses of `bce`, written as the equations are. Slow: a dozen tensors as large as the logits.

Kim et al., Learning Semantic Segmentation from Multiple Datasets with Label Shifts (UniSeg), ECCV 2022. For a pixel
of dataset i with logits O, Q = sigmoid(O), and targets Y, equation (a-6) of the supplement is

    L = - sum_{k in K_i} Y_k log Q_k + (1 - Y_k) log(1 - Q_k)

summed over the classes K_i of the dataset and divided by the number of labelled pixels of the batch. Arguments
and results are those of the same functions in `bce`; labels are not checked, and sets of classes are not known here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.ops.labels import VOID


def null_bce(logits_bkhw: Tensor, labels_bhw: Tensor, allowed_bk: Tensor, *, void: int = VOID) -> Tensor:
    """Null BCE: Y is one-hot, and classes that the source does not annotate are left out of the sum."""
    target_bkhw = _one_hot(labels_bhw, logits_bkhw.shape[1], void)
    return _masked_bce(logits_bkhw, target_bkhw, allowed_bk[:, :, None, None], labels_bhw != void)


def class_relational_bce(
    logits_bkhw: Tensor, labels_bhw: Tensor, allowed_bk: Tensor, relations: Tensor, *, void: int = VOID
) -> Tensor:
    """Class-relational BCE: Y is 1 for the label and what it relates to, which the sum takes in as well."""
    label_bkhw = _one_hot(labels_bhw, logits_bkhw.shape[1], void).to(torch.float32)
    relations_bkk = relations.expand(len(logits_bkhw), -1, -1).to(torch.float32)
    related_bkhw = torch.einsum("bjk,bjhw->bkhw", relations_bkk, label_bkhw)
    target_bkhw = (label_bkhw + related_bkhw) > 0
    return _masked_bce(logits_bkhw, target_bkhw, allowed_bk[:, :, None, None] | target_bkhw, labels_bhw != void)


def bce(logits_bkhw: Tensor, labels_bhw: Tensor, *, void: int = VOID) -> Tensor:
    """Plain BCE: every class is supervised in every image."""
    everything_bk = torch.ones(logits_bkhw.shape[:2], dtype=torch.bool, device=logits_bkhw.device)
    return null_bce(logits_bkhw, labels_bhw, everything_bk, void=void)


def _one_hot(labels_bhw: Tensor, num_classes: int, void: int) -> Tensor:
    """(B, K, H, W) bool; void is class 0 here, and masked later."""
    ids_bhw = torch.where(labels_bhw == void, 0, labels_bhw).long()
    return F.one_hot(ids_bhw, num_classes).permute(0, 3, 1, 2).bool()


def _masked_bce(logits_bkhw: Tensor, target_bkhw: Tensor, active_bkhw: Tensor, labelled_bhw: Tensor) -> Tensor:
    logits_bkhw = logits_bkhw.to(torch.promote_types(logits_bkhw.dtype, torch.float32))
    loss_bkhw = F.binary_cross_entropy_with_logits(logits_bkhw, target_bkhw.to(logits_bkhw.dtype), reduction="none")
    counted_bkhw = active_bkhw & labelled_bhw[:, None]
    return (loss_bkhw * counted_bkhw).sum() / labelled_bhw.sum().clamp(min=1)
