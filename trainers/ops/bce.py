"""Binary cross-entropy over the channels that a label says something about: the losses of UniSeg, and plain BCE.

Kim et al., Learning Semantic Segmentation from Multiple Datasets with Label Shifts (UniSeg), ECCV 2022; equations
(a-6) to (a-8) of its supplement. `bce_reference` has the same losses as the equations are written.

How the fast form works. With targets Y in {0, 1} the loss of a channel is softplus(O) - Y O and its gradient Q - Y,
Q = sigmoid(O). Y is 1 in one channel of a pixel and perhaps a few related ones, so no tensor of targets is made:
softplus is summed over the channels, and the logit at the label is gathered and taken away. Loss and gradient come
from one pass over blocks of pixels that fit a cache. The divisor depends on labels only, so the gradient is complete
in the forward pass, and it is the only tensor as large as the logits that is made; logits are not kept.

What a set of classes ("one of these", a code K, K + 1, ...) teaches is our reconstruction, no paper's: a channel gets
a gradient only where every member of the set would give it the same target. Members themselves get none, unless all
others relate to them; what all members relate to gets 1; the source's classes that no member relates to get 0. A set
of one class is thereby that class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.ops.labels import VOID, count_labels, refuse_foreign
from unify.errors import error

#: Logits in a block. On a CPU three blocks of float32 stay in a core's second-level cache; elsewhere a block has to
#: be large enough to be worth a launch.
_BLOCK = {"cpu": 1 << 18}
_BLOCK_ELSEWHERE = 1 << 26


def null_bce(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    allowed_bk: Tensor,
    *,
    void: int = VOID,
    members: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """Null BCE: BCE over the classes that an image's source annotates. The other channels get a gradient of exactly 0.

    Args:
        logits_bkhw: (B, K, H, W) float16, bfloat16, float32 or float64.
        labels_bhw: (B, H, W) integers: class ids 0..K-1, set codes K..K+S-1, `void`.
        allowed_bk: (B, K) bool, the row of the null mask of each image's source.
        members: (S, K) bool, the classes of each set; see the head of this file.
        normalizer: what to divide the sum over pixels and channels by; the labelled pixels of this batch if None.
            To be given where the batch is a part: with accumulated gradients or several processes.
        counts: what `count_labels` found of these labels, where it was asked before; then they are not looked at
            again, for which a GPU would have to be waited for. Tables are best on the CPU, for the same reason.

    Returns:
        A scalar, float32 or float64: 0 with a zero gradient where no pixel is labelled. A second backward through it
        (retain_graph) works where the incoming gradient is 1, and is refused by torch elsewhere.

    Raises:
        UnifyError: unknown-id (65) for a label beyond the label space, or beyond that of the source; usage (2) for
            shapes that do not go together.
    """
    return _loss(logits_bkhw, labels_bhw, allowed_bk, None, members, void, normalizer, counts)


def class_relational_bce(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    allowed_bk: Tensor,
    relations: Tensor,
    *,
    void: int = VOID,
    members: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """Class-relational BCE: target 1 for the label and the classes it relates to, 0 for the source's other classes.

    `relations`: (K, K) or (B, K, K) bool, row = label, True where the column gets target 1 as well; the diagonal is
    taken as True. A related class need not be one that the source annotates. The rest as in `null_bce`, which it
    equals without relations.
    """
    return _loss(logits_bkhw, labels_bhw, allowed_bk, relations, members, void, normalizer, counts)


def bce(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    *,
    void: int = VOID,
    members: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """Plain BCE: all K channels are supervised in every image, whatever its source annotates."""
    everything_bk = torch.ones(logits_bkhw.shape[:2], dtype=torch.bool)
    return _loss(logits_bkhw, labels_bhw, everything_bk, None, members, void, normalizer, counts)


# --- From labels to targets ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What the codes that an image shows teach which channels.

    plain: (P,) channels active in every labelled pixel, target 1 where they are the label and 0 elsewhere.
    mixed: (M,) channels for which that depends on the code: `active_mc` and `target_mc` (M, C), float, say how. The
        target of the label's own channel is not among them, as it is added in the same way for both.
    rest: (K - P - M,) channels without a gradient.
    """

    plain: Tensor
    mixed: Tensor
    rest: Tensor
    active_mc: Tensor
    target_mc: Tensor


def _lessons(
    counts_bc: Tensor, allowed_bk: Tensor, relations: Tensor | None, members_sk: Tensor | None
) -> list[_Lesson]:
    """For each image; all on the CPU."""
    batch, num_classes = allowed_bk.shape
    own_kk = torch.eye(num_classes, dtype=torch.bool)
    label_bkk = (own_kk if relations is None else own_kk | relations).expand(batch, -1, -1)
    target_bck, unclear_bck = label_bkk, torch.zeros_like(label_bkk)
    if members_sk is not None:
        sets = members_sk.expand(batch, -1, -1).float()
        some_bsk = torch.bmm(sets, label_bkk.float()) > 0
        all_bsk = torch.bmm(sets, (~label_bkk).float()) == 0
        target_bck = torch.cat([label_bkk, all_bsk], 1)
        unclear_bck = torch.cat([unclear_bck, some_bsk & ~all_bsk], 1)
    active_bck = target_bck | (allowed_bk[:, None] & ~unclear_bck)
    besides_bck = target_bck.clone()
    besides_bck[:, :num_classes] &= ~own_kk
    shown_bc1 = (counts_bc > 0)[:, :, None]
    always_bk = (active_bck | ~shown_bc1).all(1) & ~(besides_bck & shown_bc1).any(1)
    ever_bk = (active_bck & shown_bc1).any(1)
    lessons = []
    for always_k, ever_k, active_ck, besides_ck in zip(
        always_bk & ever_bk, ever_bk, active_bck, besides_bck, strict=True
    ):
        plain, mixed, rest = (chosen.nonzero().flatten() for chosen in (always_k, ever_k & ~always_k, ~ever_k))
        lessons.append(_Lesson(plain, mixed, rest, active_ck[:, mixed].T.float(), besides_ck[:, mixed].T.float()))
    return lessons


def _loss(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    allowed_bk: Tensor,
    relations: Tensor | None,
    members_sk: Tensor | None,
    void: int,
    normalizer: Tensor | float | None,
    counts_bc: Tensor | None,
) -> Tensor:
    if logits_bkhw.ndim != 4 or logits_bkhw.shape[:1] + logits_bkhw.shape[2:] != labels_bhw.shape:
        what = f"logits {tuple(logits_bkhw.shape)} and labels {tuple(labels_bhw.shape)} do not go together"
        raise error("usage", "", what, "give (B, K, H, W) and (B, H, W)")
    batch, num_classes = logits_bkhw.shape[:2]
    allowed_bk = _table("allowed", allowed_bk, (batch, num_classes))
    if relations is not None:
        whole = (num_classes, num_classes)
        relations = _table("relations", relations, whole, (batch, *whole))
    if members_sk is not None:
        members_sk = _table("members", members_sk, (len(members_sk), num_classes))
    if counts_bc is None:
        counts_bc = count_labels(labels_bhw, num_classes + (0 if members_sk is None else len(members_sk)), void)
    refuse_foreign(counts_bc, allowed_bk, members_sk)
    lessons = _lessons(counts_bc, allowed_bk, relations, members_sk)
    divisor = counts_bc.sum().clamp(min=1) if normalizer is None else normalizer
    loss: Tensor = _Bce.apply(logits_bkhw, labels_bhw, lessons, void, divisor)  # type: ignore[no-untyped-call]
    return loss


def _table(name: str, table: Tensor, *shapes: tuple[int, ...]) -> Tensor:
    """On the CPU, if it is bool and has one of the shapes."""
    if table.dtype != torch.bool or tuple(table.shape) not in shapes:
        what = f"{name} is {table.dtype} of shape {tuple(table.shape)}"
        raise error("usage", "", what, f"give bool of shape {' or '.join(map(str, shapes))}")
    return table.detach().cpu()


# --- One pass -----------------------------------------------------------------------------------------------


class _Bce(torch.autograd.Function):
    """sum over pixels and active channels of softplus(O) - Y O, over `divisor`."""

    @staticmethod
    def forward(
        ctx: Any, logits_bkhw: Tensor, labels_bhw: Tensor, lessons: list[_Lesson], void: int, divisor: Tensor | float
    ) -> Tensor:
        precise = torch.promote_types(logits_bkhw.dtype, torch.float32)
        with_gradient = ctx.needs_input_grad[0]
        weight = 1.0 / torch.as_tensor(divisor, dtype=precise, device=logits_bkhw.device)
        # One over a million pixels is next to nothing in float16: such gradients are divided after loss scaling.
        ctx.owed = weight if logits_bkhw.dtype == torch.float16 else None
        weight_now = weight if ctx.owed is None else torch.ones_like(weight)
        grad_bkhw = _like(logits_bkhw) if with_gradient else None
        total = torch.zeros((), dtype=torch.float64, device=logits_bkhw.device)
        for i, lesson in enumerate(lessons):
            grad_kn = None if grad_bkhw is None else grad_bkhw[i].flatten(1)
            total += _one_image(logits_bkhw[i].flatten(1), labels_bhw[i].flatten(), lesson, void, weight_now, grad_kn)
        if with_gradient:
            ctx.save_for_backward(grad_bkhw)
        return (total * weight).to(precise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None, None]:
        (grad_bkhw,) = ctx.saved_tensors
        factor = grad_output if ctx.owed is None else grad_output * ctx.owed
        # A look at the value would make a GPU wait. In place: autograd refuses to hand out the tensor once more.
        if factor.device.type != "cpu" or factor.item() != 1:
            grad_bkhw.mul_(factor)
        return grad_bkhw, None, None, None, None


def _like(logits_bkhw: Tensor) -> Tensor:
    """Empty, in the memory order of the logits; flattening the pixels of an image copies nothing."""
    last = not logits_bkhw.is_contiguous() and logits_bkhw.is_contiguous(memory_format=torch.channels_last)
    return torch.empty_like(logits_bkhw, memory_format=torch.channels_last if last else torch.contiguous_format)


def _one_image(
    logits_kn: Tensor, labels_n: Tensor, lesson: _Lesson, void: int, weight: Tensor, grad_kn: Tensor | None
) -> Tensor:
    """The summed loss of an image, a float64 scalar; its gradient times `weight` goes to `grad_kn`."""
    device, precise, num_classes = logits_kn.device, weight.dtype, len(logits_kn)
    plain, mixed, rest = (part.to(device, non_blocking=True) for part in (lesson.plain, lesson.mixed, lesson.rest))
    active_mc, target_mc = (t.to(device, precise, non_blocking=True) for t in (lesson.active_mc, lesson.target_mc))
    total = torch.zeros((), dtype=torch.float64, device=device)
    step = max(1, _BLOCK.get(device.type, _BLOCK_ELSEWHERE) // num_classes)
    for start in range(0, len(labels_n), step):
        here = slice(start, start + step)
        code_n = labels_n[here]
        labelled_n = code_n != void
        code_n = torch.where(labelled_n, code_n, 0).long()
        is_class_n = labelled_n & (code_n < num_classes)
        own_1n = torch.where(is_class_n, code_n, 0)[None]
        x_kn = logits_kn[:, here]
        x_own_1n = x_kn.gather(0, own_1n).to(precise)
        loss_n = torch.where(is_class_n, -x_own_1n[0], 0)
        weight_n = labelled_n * weight
        grad_here_kn = None if grad_kn is None else grad_kn[:, here]
        if grad_here_kn is not None and len(rest):
            grad_here_kn[rest] = 0
        if len(plain):
            x_pn = _rows(x_kn, plain, precise)
            loss_n += _softplus(x_pn).sum(0)
            if grad_here_kn is not None:
                _put(grad_here_kn, plain, torch.sigmoid(x_pn).mul_(weight_n))
        if len(mixed):
            x_mn = _rows(x_kn, mixed, precise)
            active_mn, target_mn = (table.index_select(1, code_n) for table in (active_mc, target_mc))
            loss_n += ((_softplus(x_mn) - target_mn * x_mn) * active_mn).sum(0)
            if grad_here_kn is not None:
                _put(grad_here_kn, mixed, (torch.sigmoid(x_mn) - target_mn).mul_(active_mn).mul_(weight_n))
        if grad_here_kn is not None:
            # Q - 1 at the label, without the cancellation; other pixels keep what they have in channel 0.
            at_label_1n = torch.sigmoid(-x_own_1n).mul_(-weight_n).to(grad_here_kn.dtype)
            grad_here_kn.scatter_(0, own_1n, torch.where(is_class_n, at_label_1n, grad_here_kn[:1]))
        total += torch.where(labelled_n, loss_n, 0).sum(dtype=torch.float64)
    return total


def _softplus(x: Tensor) -> Tensor:
    """log(1 + e^x). Above the threshold it is x to the last digit."""
    return torch.nn.functional.softplus(x, threshold=37 if x.dtype == torch.float64 else 20)


def _rows(x_kn: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """x_kn[rows] as `dtype`; a view if that is all of it."""
    return (x_kn if len(rows) == len(x_kn) else x_kn.index_select(0, rows)).to(dtype)


def _put(grad_kn: Tensor, rows: Tensor, values_rn: Tensor) -> None:
    if len(rows) == len(grad_kn):
        grad_kn.copy_(values_rn)
    else:
        grad_kn[rows] = values_rn.to(grad_kn.dtype)
