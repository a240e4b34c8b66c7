"""Kullback-Leibler divergence of a prediction from pooled labels: KL(q || p) = sum_k q_k log(q_k / p_k).

Han, Yoo and Oh, CVPR 2022, train their models with "KL divergence" between CPP-pooled labels and the prediction. All
else here is our reconstruction: that q is the label and p the prediction, without which classes that a cell does not
show would have no finite loss; and what becomes of void. For one-hot q it is cross-entropy, and it always has the
gradient of cross-entropy with soft labels.

Three ways with void, q being a cell's shares of the codes, and v <= 1 their sum:

- "renormalize": q / v against p, weighed by v. The divisor is the sum of v: the labelled area.
- "channel": void is a class too, the last channel of q and of the logits. All cells count alike.
- "drop": q as it is, of cells that are not void altogether; the divisor is their number. It is "renormalize" but for
  the divisor and, in the value and not in the gradient, the constant v log v of each cell: no divergence where v < 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from trainers.ops.labels import refuse_foreign
from unify.errors import error

Void = Literal["renormalize", "channel", "drop"]
VOIDS: tuple[Void, ...] = ("renormalize", "channel", "drop")


class Divergence(NamedTuple):
    """total: summed over cells, differentiable. weight: what to divide it by for the mean; both scalars."""

    total: Tensor
    weight: Tensor


def kl(
    logits_bkhw: Tensor,
    shares_bchw: Tensor,
    *,
    void: Void = "renormalize",
    members: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """The mean of `divergence` over its weight; 0 with a zero gradient where nothing is labelled."""
    total, weight = divergence(logits_bkhw, shares_bchw, void=void, members=members, allowed=allowed)
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def divergence(
    logits_bkhw: Tensor,
    shares_bchw: Tensor,
    *,
    void: Void = "renormalize",
    members: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Divergence:
    """KL(q || softmax(logits)) over cells. float32, or float64 for float64 logits.

    Args:
        logits_bkhw: (B, K, h, w), any float type; (B, K + 1, h, w) for "channel".
        shares_bchw: (B, C, h, w) in [0, 1], as from `trainers.ops.cpp.cpp_pool`: of K classes and S sets, and for
            "channel" of void (`keep_void`).
        members: (S, K) bool, the classes of each set. A share of a set counts -log of the summed probability of its
            classes, as in NLL+ (`trainers.ops.softmax`). Sets overlap classes, so that the value is no divergence
            between distributions there and may be negative.
        allowed: (B, K) bool, the classes that the source of each image annotates: the softmax is over these alone,
            and no other class is pushed down.

    Raises `UnifyError`: usage for shapes that do not fit; unknown-id for a share of what is not allowed.
    """
    num_codes = _num_codes(logits_bkhw, shares_bchw, void, members)
    x_bkhw = logits_bkhw.to(torch.promote_types(logits_bkhw.dtype, torch.float32))
    shares_bchw = shares_bchw.to(x_bkhw.dtype)
    logp_bkhw = _log_softmax(x_bkhw, allowed)
    num_classes = logp_bkhw.shape[1] - (void == "channel")
    singles = [shares_bchw[:, :num_classes]]
    if void == "channel":
        singles.append(shares_bchw[:, num_codes:])
    q_bkhw = torch.cat(singles, 1) if len(singles) > 1 else singles[0]
    if allowed is not None:
        present_bc = (shares_bchw[:, :num_codes] > 0).sum((2, 3)).cpu()
        refuse_foreign(present_bc, allowed.cpu(), None if members is None else members.cpu())
        logp_bkhw = logp_bkhw.clamp(min=torch.finfo(logp_bkhw.dtype).min)  # 0 * -inf is no number
    total = torch.xlogy(q_bkhw, q_bkhw).sum() - (q_bkhw * logp_bkhw).sum()
    if members is not None and len(members):
        total = total + _of_sets(logp_bkhw, shares_bchw[:, num_classes:num_codes], members)
    valid_bhw = shares_bchw[:, :num_codes].sum(1)
    if void == "renormalize":
        return Divergence(total - torch.xlogy(valid_bhw, valid_bhw).sum(), valid_bhw.sum())
    counted_bhw = valid_bhw > 0 if void == "drop" else torch.ones_like(valid_bhw)
    return Divergence(total, counted_bhw.sum().to(total.dtype))


def _num_codes(logits_bkhw: Tensor, shares_bchw: Tensor, void: Void, members: Tensor | None) -> int:
    """Classes and sets."""
    if void not in VOIDS:
        raise error("usage", "", f"there is no way '{void}' with void", f"known: {', '.join(VOIDS)}")
    sets = 0 if members is None else len(members)
    due = logits_bkhw.shape[1] + sets
    fits = logits_bkhw.shape[0] == shares_bchw.shape[0] and logits_bkhw.shape[2:] == shares_bchw.shape[2:]
    if not fits or shares_bchw.shape[1] != due:
        what = f"shares {tuple(shares_bchw.shape)} for logits {tuple(logits_bkhw.shape)} and {sets} sets"
        extra = ", and one of void in both" if void == "channel" else ""
        raise error("usage", "", what, f"pool to the size of the logits, with a channel for each class and set{extra}")
    return due - (void == "channel")


def _log_softmax(x_bkhw: Tensor, allowed: Tensor | None) -> Tensor:
    if allowed is None:
        return x_bkhw.log_softmax(1)
    extra = x_bkhw.shape[1] - allowed.shape[1]  # the channel of void, which every source has
    allowed_bk = torch.nn.functional.pad(allowed.to(x_bkhw.device), (0, extra), value=True)
    return x_bkhw.masked_fill(~allowed_bk[:, :, None, None], -torch.inf).log_softmax(1)


def _of_sets(logp_bkhw: Tensor, shares_bshw: Tensor, members: Tensor) -> Tensor:
    """The sum over cells and sets of q log(q / summed probability of the set's classes)."""
    total = torch.xlogy(shares_bshw, shares_bshw).sum()
    for s, classes_k in enumerate(members.cpu()):
        share_bhw = shares_bshw[:, s]
        if share_bhw.any():
            ids = classes_k.nonzero().flatten().to(logp_bkhw.device)
            total = total - (share_bhw * logp_bkhw.index_select(1, ids).logsumexp(1)).sum()
    return total
