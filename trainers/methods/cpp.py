"""Auxiliary heads that learn class-probability-preserving (CPP) labels (Han, Yoo and Oh, CVPR 2022).

Softmax cross-entropy of the net's logits, and 0.6 times the KL divergence of each auxiliary head from the labels
pooled to its own resolution: `trainers.ops.cpp`, `trainers.ops.kl`. The supplement gives the weight (Table 1) and the
pooling (Algorithm 1). How the heads' losses are added, and what becomes of void, is our reconstruction: see `Options`.

Sets of classes count as in NLL+, in the main loss and in the heads' losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainers.data import normalized
from trainers.methods.method import VOID, Method, Step
from trainers.ops.cpp import cpp_pyramid, nearest
from trainers.ops.kl import VOIDS, Void, kl
from trainers.ops.softmax import nll_plus
from trainers.parts.aux_heads import WIDEST, AuxHeads, heads_for
from unify.errors import Problem, UnifyError

if TYPE_CHECKING:
    from trainers.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """aux: what the heads learn: "cpp", or "nearest": the same heads, cross-entropy, and the label of each cell's
        first pixel, so that only the pooling differs; "none": no heads.
    aux_weight: of their losses; 0.6 in the paper.
    aux_per: whether that weighs each "head", or the "mean" over heads; which one the paper does is unknown.
    aux_heads: how many at most, on the coarsest maps. aux_width: channels of the 3x3 convolution in a head, which has
        no more than its map; 0 for none, a 1x1 convolution alone. How these heads are made is our reconstruction.
    cpp_void: see `trainers.ops.kl`. "channel" is a literal reading of the paper's "20 classes including ignore class".
    null_mask: take every softmax over those classes only that the image's source annotates. In no paper.
    """

    aux: str = "cpp"
    aux_weight: float = 0.6
    aux_per: str = "head"
    aux_heads: int = 4
    aux_width: int = WIDEST
    cpp_void: Void = "renormalize"
    null_mask: bool = False

    def __post_init__(self) -> None:
        known = {"aux": ("cpp", "nearest", "none"), "aux_per": ("head", "mean"), "cpp_void": VOIDS}
        faults = [
            f"{name} is '{getattr(self, name)}'; known: {', '.join(values)}"
            for name, values in known.items()
            if getattr(self, name) not in values
        ]
        if not self.aux_weight >= 0:
            faults.append(f"aux_weight is {self.aux_weight:g}, not at least 0")
        if self.aux_heads < 1:
            faults.append(f"aux_heads is {self.aux_heads}, not at least 1")
        if self.aux_width < 0:
            faults.append(f"aux_width is {self.aux_width}, not at least 0")
        if faults:
            raise UnifyError(*(Problem("bad-config", "settings", what, "correct it") for what in faults))


def loss(net: nn.Module, parts: nn.Module | None, step: Step) -> Tensor:
    own = step.settings.own
    assert isinstance(own, Options) and isinstance(parts, AuxHeads)
    with step.autocast():
        logits_bkhw, guess_bkhw, maps = net.outputs(normalized(step.batch.image_bchw))  # type: ignore[operator]
        of_heads = parts(maps)
    total = _main(logits_bkhw, step, own)
    if guess_bkhw is not None:
        total = total + step.settings.auxiliary * _main(guess_bkhw, step, own)
    if of_heads:
        weight = own.aux_weight / (len(of_heads) if own.aux_per == "mean" else 1)
        # A head's loss is the mean over its own cells. Of several parts of an update, each counts as its pixels do.
        share = (step.labels_bhw != VOID).sum() / step.normalizer
        total = total + weight * share * torch.stack(aux_losses(of_heads, parts.strides, step, own)).sum()
    return total


def aux_losses(of_heads: list[Tensor], strides: tuple[int, ...], step: Step, own: Options) -> list[Tensor]:
    """The loss of each head: the mean over its cells that are labelled."""
    members = step.teaching.members
    allowed_bk = step.batch.allowed_bk if own.null_mask else None
    found = []
    if own.aux == "nearest":
        for logits_bkhw, stride in zip(of_heads, strides, strict=True):
            labels_bhw = nearest(step.labels_bhw, stride)
            fitting_bkhw = _restricted(_cropped(logits_bkhw, labels_bhw), allowed_bk)
            found.append(nll_plus(fitting_bkhw, labels_bhw, members=members))
        return found
    has_void = own.cpp_void == "channel"
    num_codes = step.batch.allowed_bk.shape[1] + (0 if members is None else len(members))
    pooled = cpp_pyramid(step.labels_bhw, num_codes, strides, keep_void=has_void)
    for logits_bkhw, shares_bchw in zip(of_heads, pooled, strict=True):
        fitting_bkhw = _cropped(logits_bkhw, shares_bchw)
        found.append(kl(fitting_bkhw, shares_bchw, void=own.cpp_void, members=members, allowed=allowed_bk))
    return found


def _main(logits_bkhw: Tensor, step: Step, own: Options) -> Tensor:
    allowed_bk = step.batch.allowed_bk if own.null_mask else None
    x_bkhw = _restricted(logits_bkhw, allowed_bk)
    members = step.teaching.members
    return nll_plus(x_bkhw, step.labels_bhw, members=members, normalizer=step.normalizer, counts=step.counts_bc)


def _restricted(logits_bkhw: Tensor, allowed_bk: Tensor | None) -> Tensor:
    if allowed_bk is None:
        return logits_bkhw
    other_bk = ~allowed_bk.to(logits_bkhw.device, non_blocking=True)
    return logits_bkhw.masked_fill(other_bk[:, :, None, None], -torch.inf)


def _cropped(logits_bkhw: Tensor, cells: Tensor) -> Tensor:
    """Without what lies beyond the image, which was padded for the net."""
    return logits_bkhw[:, :, : cells.shape[-2], : cells.shape[-1]]


def make_heads(net: nn.Module, settings: Settings) -> nn.Module:
    own = settings.own
    assert isinstance(own, Options)
    outputs = int(net.config["num_classes"])  # type: ignore[index]
    if own.aux == "none":
        return AuxHeads((), (), outputs)
    has_void = own.aux == "cpp" and own.cpp_void == "channel"
    return heads_for(net, outputs + has_void, own.aux_heads, widest=own.aux_width)


METHOD = Method(
    "cross-entropy, and auxiliary heads that learn shares of classes",
    loss,
    activation="softmax",
    options=Options,
    parts=make_heads,
)
