"""SeeThroughNet's training: an image at two sizes, OCR's guess, and coarse answers that learn CPP-pooled labels.

Han, Yoo and Oh, CVPR 2022, with a net of `trainers.seethrough`. With p the answer of both sizes together, p_s that of
size s alone, X the guess that OCR starts from, x_i the coarse answers and q_i the labels pooled to their cells:

    L = CE(p) + unfused_weight sum_s CE(p_s) + auxiliary CE(X) + aux_weight sum_i KL(q_i || x_i)

Known are the CPP losses, three of them, and that training on two sizes is as Tao et al. (2020) have it, whose code has
the weights 0.05 and 0.4 and takes a region loss (RMI) in place of CE(p) and CE(p_s). Our reconstruction: whether that
was kept is unknown, and it is not here; the weight 0.6 of the CPP losses is that of the paper's other nets; the CPP
losses are those of the image at its own size, of all coarse answers but the finest. `settings.auxiliary` is the 0.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainers.data import normalized
from trainers.methods import cpp
from trainers.methods.method import VOID, Method, Step
from trainers.ops.kl import Void
from trainers.ops.softmax import cross_entropy
from trainers.seethrough import TRAINED_SCALES, look_at, resized
from unify.errors import Problem, UnifyError, error


@dataclass(frozen=True, slots=True)
class Options:
    """aux_weight: of each CPP loss. unfused_weight: of the loss of each size alone. aux: what the coarse answers
    learn: "cpp"; "nearest", the label of each cell's first pixel, by cross-entropy; or "none". cpp_void: "renormalize"
    or "drop", see `trainers.ops.kl`; coarse answers are fused, and have no channel for void.
    """

    aux_weight: float = 0.6
    unfused_weight: float = 0.05
    aux: str = "cpp"
    cpp_void: Void = "renormalize"

    def __post_init__(self) -> None:
        self.of_cpp()
        faults = []
        if not self.unfused_weight >= 0:
            faults.append(f"unfused_weight is {self.unfused_weight:g}, not at least 0")
        if self.cpp_void == "channel":
            faults.append("cpp_void is 'channel', which coarse answers do not have; known: renormalize, drop")
        if faults:
            raise UnifyError(*(Problem("bad-config", "settings", what, "correct it") for what in faults))

    def of_cpp(self) -> cpp.Options:
        """The same for `trainers.methods.cpp`, which refuses what cannot be."""
        return cpp.Options(aux=self.aux, aux_weight=self.aux_weight, cpp_void=self.cpp_void)


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
        coarse = looked.views[1.0].coarse[1:]
        height = images.shape[2] + -images.shape[2] % net.multiple  # the maps are those of the padded image
        strides = tuple(height // answer.shape[2] for answer in coarse)
        # Each is the mean over its own cells. Of several parts of an update, each counts as its pixels do.
        share = (step.labels_bhw != VOID).sum() / step.normalizer
        total = total + own.aux_weight * share * torch.stack(cpp.aux_losses(coarse, strides, step, own.of_cpp())).sum()
    return total


def _ce(logits_bkhw: Tensor, step: Step) -> Tensor:
    return cross_entropy(logits_bkhw, step.labels_bhw, normalizer=step.normalizer)


METHOD = Method(
    "cross-entropy on two sizes of an image, and CPP labels for coarse answers",
    loss,
    knows_sets=False,
    activation="softmax",
    options=Options,
    net={"classifier": "linear"},
)
