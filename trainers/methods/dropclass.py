"""DropClass: leave out one class's features in a second pass, and learn to answer without it.

Chu, Kim and Han, Learning Debiased and Disentangled Representations for Semantic Segmentation, NeurIPS 2021; what it
leaves open is as in the authors' code. With t from 0 to 1 over the run:

    L = (1 - t) CE(h(A), y) + t CE(h(A_drop), y without z) + alpha mean over pixels of softmax(h(A_drop))_z

In each update one class z is drawn, uniformly from all, shown or not; with probability t it is dropped: its features
are no part of A_drop (`trainers.ops.dropclass`), its pixels are void in the second term, and the third is there. Else
nothing is dropped and there is no third term. All processes draw alike. A net is used through A_drop with nothing
dropped; h(A) is for training alone. t is the share of updates done: the paper's epoch / epochs without its stairs.

Null masks: every softmax is over the classes that the image's source annotates. So no source teaches that a class
which it does not annotate is not there, neither by a cross-entropy nor by the third term, in which such an image
counts as probability 0. With sources that annotate all classes, or `null_mask=false`, it is the plain softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainers.data import normalized
from trainers.methods.method import VOID, Method, Step
from trainers.ops.dropclass import class_weights
from trainers.ops.dropclass_loss import loss_without
from trainers.ops.now import gradient_now
from trainers.ops.softmax import cross_entropy
from unify.errors import Problem, UnifyError

_STREAM = 1  #: of the draws; images have (seed, number of the draw)
_NEVER = -3e4  #: a logit whose probability is 0, in any float type


@dataclass(frozen=True, slots=True)
class Options:
    """alpha: of the third term. drop_from, drop_to: probability of dropping at the start and the end of the run,
    linear in between; weight_from, weight_to: the same of t in the loss. With drop_to=0 and weight_to=0 the loss is
    that of ce, exactly. null_mask: see above.
    """

    alpha: float = 10.0
    drop_from: float = 0.0
    drop_to: float = 1.0
    weight_from: float = 0.0
    weight_to: float = 1.0
    null_mask: bool = True

    def __post_init__(self) -> None:
        shares = ("drop_from", "drop_to", "weight_from", "weight_to")
        faults = [
            f"{name} is {getattr(self, name):g}, not 0..1" for name in shares if not 0 <= getattr(self, name) <= 1
        ]
        if not self.alpha >= 0:
            faults.append(f"alpha is {self.alpha:g}, not at least 0")
        if faults:
            raise UnifyError(*(Problem("bad-config", "settings", what, "correct it") for what in faults))


def drawn(step: Step, num_classes: int) -> int | None:
    """The class that is dropped in this update, None for none: a function of the seed and the update's number."""
    own: Options = step.settings.own
    rng = np.random.default_rng((step.settings.seed, step.number, _STREAM))
    class_id = int(rng.integers(num_classes))
    return class_id if rng.random() < _between(own.drop_from, own.drop_to, step.progress) else None


def loss(net: Any, parts: nn.Module | None, step: Step) -> Tensor:
    """`net`: a Segmenter with the path "dropclass"."""
    own: Options = step.settings.own
    images = step.batch.image_bchw
    rows_kd = class_weights(net.classifier)
    dropped = drawn(step, len(rows_kd))
    with step.autocast():
        features, guess = net._features(normalized(images))
        plain = net.classifier(features)
    t = _between(own.weight_from, own.weight_to, step.progress)

    def enlarged(logits: Tensor, of: slice = slice(None)) -> Tensor:
        if own.null_mask:
            logits = logits.masked_fill(~step.batch.allowed_bk[of, :, None, None], _NEVER)
        full: Tensor = net._enlarged(logits, images[of])
        return full

    def ce(logits: Tensor) -> Tensor:
        return cross_entropy(enlarged(logits), step.labels_bhw, normalizer=step.normalizer)

    # Logits at the images' size are most of what a small net keeps. Here none wait for the backward pass: of the first
    # pass they are done with before the second begins, and of the second there are those of one image at a time.
    total = (1 - t) * gradient_now(ce, plain)
    if guess is not None:
        total = total + step.settings.auxiliary * gradient_now(ce, guess)
    with step.autocast():
        second = net.classifier(net.path(features, rows_kd, dropped))
    a, b = weights(step.labels_bhw, step.normalizer, dropped, t, own.alpha)

    def without(of: slice, logits: Tensor) -> Tensor:
        return loss_without(enlarged(logits, of), step.labels_bhw[of], dropped, a, b)

    for i, logits in enumerate(second.split(1)):
        total = total + gradient_now(partial(without, slice(i, i + 1)), logits)
    return total


def weights(
    labels_bhw: Tensor, normalizer: Tensor, dropped: int | None, t: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """Of a pixel's cross-entropy, and of its probability of the dropped class; labels are class ids and void.

    Both terms are means of this part of an update, which counts in the update by its share of the labelled pixels:
    the cross-entropy over the labelled pixels that are not of the dropped class, the probability over all pixels.
    """
    if dropped is None:
        return t / normalizer, torch.zeros_like(normalizer)
    labelled = (labels_bhw != VOID).sum()
    kept = labelled - (labels_bhw == dropped).sum()
    share = labelled / normalizer
    return t * share / kept.clamp(min=1), alpha * share / labels_bhw.numel()


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


METHOD = Method(
    "cross-entropy, and once more without the features of one class",
    loss,
    knows_sets=False,
    activation="softmax",
    options=Options,
    net={"path": "dropclass", "classifier": "linear"},
)
