"""Softmax losses: the controls beside BCE. Cross-entropy, NLL+ and softmax over merged logits.

All are divided by the labelled pixels of the batch, or by `normalizer`, and are 0 with a zero gradient where there
is none. Logits are (B, K, H, W) of any float type and the arithmetic is float32, or float64 for float64. Labels are
(B, H, W) integers: class ids, set codes K, K + 1, ... with their classes in `members` (S, K) bool, and `void`. All
raise `UnifyError` (unknown-id) for any other label. `counts`: what `count_labels` found of these labels, where it was
asked before; then they are not looked at again, for which a GPU would have to be waited for. Tables (members, also)
are best on the CPU, for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.ops.labels import VOID, count_labels
from trainers.ops.order import cross_entropy_map, needs_order
from unify.errors import error

Merge = Literal["max", "mean", "logsumexp"]
_MERGES: dict[str, Callable[[Tensor], Tensor]] = {  # (members, H, W) -> (H, W)
    "max": lambda x: x.amax(0),
    "mean": lambda x: x.mean(0),
    "logsumexp": lambda x: x.logsumexp(0),
}


def cross_entropy(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    *,
    void: int = VOID,
    normalizer: Tensor | float | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """Softmax cross-entropy over all K classes: equation (a-3) of the UniSeg supplement, its CE baseline.

    Sets are unknown labels here; `nll_plus` is the same loss with sets.
    """
    counts_bc = count_labels(labels_bhw, logits_bkhw.shape[1], void) if counts is None else counts
    x_bkhw = _precise(logits_bkhw)
    if needs_order(x_bkhw):
        total = cross_entropy_map(x_bkhw, labels_bhw, void).sum()
    else:
        total = F.cross_entropy(x_bkhw, labels_bhw.long(), ignore_index=void, reduction="sum")
    return total / _divisor(counts_bc, normalizer)


def nll_plus(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    *,
    void: int = VOID,
    members: Tensor | None = None,
    also: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """NLL+: -log of the summed probability of all classes that a label stands for.

    Bevandić et al., Multi-domain semantic segmentation with overlapping labels, WACV 2022 (arXiv 2108.11224). With
    probabilities from a softmax over all K classes. Where a label stands for itself alone it is cross-entropy.

    `also`: (K, K) or (B, K, K) bool, row = label, True for each class that pixels of this label may be as well (a
    source's "rider" may be another's "motorcyclist"); the diagonal is taken as True. Of a set, that of its members.
    """
    if counts is None:
        counts = count_labels(labels_bhw, logits_bkhw.shape[1] + (0 if members is None else len(members)), void)
    stands_for_bck = _stands_for(logits_bkhw, members, also)
    x_bkhw = _precise(logits_bkhw)
    labelled_bhw = labels_bhw != void
    code_bhw = torch.where(labelled_bhw, labels_bhw, 0).long()
    several_bc, first_bc = stands_for_bck.sum(-1) > 1, stands_for_bck.int().argmax(-1)
    several_bhw, first_bhw = (
        _there(table, code_bhw).gather(1, code_bhw.flatten(1)).view_as(code_bhw) for table in (several_bc, first_bc)
    )
    several_bhw = several_bhw & labelled_bhw
    # One class is an index. Only pixels of several are taken out, as rows of K logits.
    x_first_bhw = x_bkhw.gather(1, first_bhw[:, None])[:, 0]
    single_bhw = labelled_bhw & ~several_bhw
    total = torch.where(labelled_bhw, x_bkhw.logsumexp(1), 0).sum() - torch.where(single_bhw, x_first_bhw, 0).sum()
    if (several_bc & _there(counts > 0, several_bc)).any():
        image_n, y_n, x_n = several_bhw.nonzero(as_tuple=True)
        outside_nk = ~_there(stands_for_bck, code_bhw)[image_n, code_bhw[image_n, y_n, x_n]]
        total = total - x_bkhw[image_n, :, y_n, x_n].masked_fill(outside_nk, -torch.inf).logsumexp(1).sum()
    return total / _divisor(counts, normalizer)


def merged_softmax(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    codes_bc: Tensor,
    *,
    merge: Merge = "max",
    void: int = VOID,
    members: Tensor | None = None,
    also: Tensor | None = None,
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Cross-entropy in each source's own label space, whose logits are merged from those of the classes meant.

    A reconstruction of the control that the literature on NLL+ compares with, not any paper's code. The logit of a
    code is the `merge` of the logits of all classes that it stands for; the softmax is over the codes that the source
    uses: classes that it does not know are not pushed down. With "logsumexp", and codes that share no class and leave
    none out, it is NLL+.

    `codes_bc`: (B, K + S) bool, the codes that the source of each image uses. `also` as in `nll_plus`.

    Raises:
        UnifyError: unknown-id (65) for a label that the source of its image does not use.
    """
    num_classes = logits_bkhw.shape[1]
    counts_bc = count_labels(labels_bhw, num_classes + (0 if members is None else len(members)), void)
    unused = ((counts_bc > 0) & ~codes_bc.cpu()).nonzero().tolist()
    if unused:
        image, code = unused[0]
        what = f"label {code} in image {image} of the batch, which its source does not use"
        raise error("unknown-id", "", what, "give each image the codes of its own source")
    stands_for_bck = _stands_for(logits_bkhw, members, also)
    total = logits_bkhw.new_zeros((), dtype=torch.promote_types(logits_bkhw.dtype, torch.float32))
    for x_khw, label_hw, used_c, stands_for_ck in zip(logits_bkhw, labels_bhw, codes_bc, stands_for_bck, strict=True):
        used = used_c.nonzero().flatten().to(label_hw.device)
        x_ghw = torch.stack([_MERGES[merge](_precise(x_khw)[stands_for_ck[code]]) for code in used.tolist()])
        place_c = torch.full((256,), -1, device=label_hw.device)
        place_c[used] = torch.arange(len(used), device=label_hw.device)
        group_hw = place_c[torch.where(label_hw == void, used[0], label_hw).long()]
        group_hw = torch.where(label_hw == void, -1, group_hw)
        if needs_order(x_ghw):
            total = total + cross_entropy_map(x_ghw[None], group_hw[None], -1).sum()
        else:
            total = total + F.cross_entropy(x_ghw[None], group_hw[None], ignore_index=-1, reduction="sum")
    return total / _divisor(counts_bc, normalizer)


def _stands_for(logits_bkhw: Tensor, members: Tensor | None, also: Tensor | None) -> Tensor:
    """(B, C, K) bool, on the CPU: the classes that a pixel of each code may be."""
    batch, num_classes = logits_bkhw.shape[:2]
    own_kk = torch.eye(num_classes, dtype=torch.bool)
    label_bkk = (own_kk if also is None else own_kk | also.cpu()).expand(batch, -1, -1)
    if members is None:
        return label_bkk
    of_sets_bsk = torch.bmm(members.cpu().expand(batch, -1, -1).float(), label_bkk.float()) > 0
    return torch.cat([label_bkk, of_sets_bsk], 1)


def _there(table: Tensor, like: Tensor) -> Tensor:
    """A small table, where `like` is."""
    return table.to(like.device, non_blocking=True)


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _divisor(counts_bc: Tensor, normalizer: Tensor | float | None) -> Tensor | float:
    return max(1, int(counts_bc.sum())) if normalizer is None else normalizer
