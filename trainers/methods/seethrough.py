"""SeeThroughNet's training: an image at two sizes, OCR's guess, and coarse answers that learn CPP-pooled labels.

Han, Yoo and Oh, CVPR 2022, with a net of `trainers.seethrough`. With p the answer of both sizes together, p_s that of
size s alone, X the guess that OCR starts from, x_i the coarse answers and q_i the labels pooled to their cells:

    L = CE(p) + unfused_weight sum_s CE(p_s) + auxiliary CE(X) + aux_weight sum_i KL(q_i || x_i)

Known are the CPP losses, three of them, and that training on two sizes is as Tao et al. (2020) have it, whose code has
the weights 0.05 and 0.4 and takes a region loss (RMI) in place of CE(p) and CE(p_s). Our reconstruction: whether that
was kept is unknown, and it is not here; the weight 0.6 of the CPP losses is that of the paper's other nets; what it
weighs, which coarse answers have such a loss, and at which sizes of the image, are options. `settings.auxiliary` is the
0.4. How coarse answers are fused is a choice of the net: seethrough-tiny, -relative, -mean (`trainers.seethrough`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trainers.data import normalized
from trainers.methods import cpp
from trainers.methods.method import VOID, Method, Step
from trainers.ops.kl import Void
from trainers.ops.softmax import cross_entropy
from trainers.seethrough import TRAINED_SCALES, View, look_at, resized
from unify.errors import Problem, UnifyError, error

#: `Options.aux_scales` -> which of the coarse answers, fine to coarse.
_CHOSEN = {"coarser": slice(1, None), "finer": slice(None, -1), "all": slice(None)}


@dataclass(frozen=True, slots=True)
class Options:
    """aux: what coarse answers learn: "cpp"; "nearest", the label of each cell's first pixel, by cross-entropy; "none".
    aux_weight: of the CPP losses. unfused_weight: of the loss of each size alone.
    aux_per: whether `aux_weight` is of each "head", that is coarse answer, or of their "mean".
    aux_scales: whose coarse answers learn: "coarser", all but the finest; "finer", all but the coarsest; "all". The
        paper has three of four. Our reconstruction.
    aux_sizes: of the image, whose coarse answers learn: "own", its own; "all", each that training looks at. Labels
        are pooled to the cells of each. Our reconstruction.
    cpp_void: "renormalize" or "drop", see `trainers.ops.kl`; coarse answers are fused, and have no channel for void.
    """

    aux_weight: float = 0.6
    unfused_weight: float = 0.05
    aux: str = "cpp"
    cpp_void: Void = "renormalize"
    aux_per: str = "head"
    aux_scales: str = "coarser"
    aux_sizes: str = "own"

    def __post_init__(self) -> None:
        self.of_cpp()
        known = {"aux_scales": tuple(_CHOSEN), "aux_sizes": ("own", "all")}
        faults = [
            f"{name} is '{getattr(self, name)}'; known: {', '.join(values)}"
            for name, values in known.items()
            if getattr(self, name) not in values
        ]
        if not self.unfused_weight >= 0:
            faults.append(f"unfused_weight is {self.unfused_weight:g}, not at least 0")
        if self.cpp_void == "channel":
            faults.append("cpp_void is 'channel', which coarse answers do not have; known: renormalize, drop")
        if faults:
            raise UnifyError(*(Problem("bad-config", "settings", what, "correct it") for what in faults))

    def of_cpp(self) -> cpp.Options:
        """The same for `trainers.methods.cpp`, which refuses what cannot be."""
        return cpp.Options(aux=self.aux, aux_weight=self.aux_weight, aux_per=self.aux_per, cpp_void=self.cpp_void)


def loss(net: Any, parts: nn.Module | None, step: Step) -> Tensor:
    """`net`: a Segmenter whose head is a SeeThroughHead. Raises `UnifyError` (usage) for any other."""
    if "coarse" not in dict(net.head.named_children()):
        what = f"{net.config['name']} has no coarse answers"
        raise error("usage", "--model", what, "take seethrough-tiny or seethrough-hrnet-w48")
    own: Options = step.settings.own
    images = normalized(step.batch.image_bchw)
    with step.autocast():
        looked = look_at(net, images, TRAINED_SCALES)
    total = _ce(looked.logits, step) + step.settings.auxiliary * _ce(looked.guess, step)
    for view in looked.views.values():
        total = total + own.unfused_weight * _ce(resized(view.logits, images.shape[2:]), step)
    if own.aux_weight and own.aux != "none":
        # Each is the mean over its own cells. Of several parts of an update, each counts as its pixels do.
        share = (step.labels_bhw != VOID).sum() / step.normalizer
        losses = torch.stack(_of_coarse(looked.views, net.multiple, step, own))
        total = total + own.aux_weight * share * (losses.mean() if own.aux_per == "mean" else losses.sum())
    return total


def _of_coarse(views: Mapping[float, View], multiple: int, step: Step, own: Options) -> list[Tensor]:
    """The losses of the coarse answers that learn pooled labels. multiple: what images are padded to."""
    found = []
    for scale in views if own.aux_sizes == "all" else (1.0,):
        coarse = views[scale].coarse[_CHOSEN[own.aux_scales]]
        height = views[scale].logits.shape[2]
        height += -height % multiple  # the maps are those of the padded image
        # A pixel of a smaller view is several of the label; what odd sides have left over is not learned.
        shrunk = round(1 / scale)
        strides = tuple(shrunk * height // answer.shape[2] for answer in coarse)
        down, across = (side - side % shrunk for side in step.labels_bhw.shape[1:])
        part = replace(step, labels_bhw=step.labels_bhw[:, :down, :across])
        found += cpp.aux_losses(coarse, strides, part, own.of_cpp())
    return found


def _ce(logits_bkhw: Tensor, step: Step) -> Tensor:
    return cross_entropy(logits_bkhw, step.labels_bhw, normalizer=step.normalizer, counts=step.counts_bc)


METHOD = Method(
    "cross-entropy on two sizes of an image, and CPP labels for coarse answers",
    loss,
    knows_sets=False,
    activation="softmax",
    options=Options,
    net={"classifier": "linear"},
)
