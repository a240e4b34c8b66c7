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
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainers.data import normalized
from trainers.methods.method import VOID, Method, Step
from trainers.ops.dropclass import class_weights
from trainers.ops.dropclass_both import both_logits
from trainers.ops.dropclass_loss import loss_without
from trainers.ops.labels import count_labels
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
    images, labels_bhw = step.batch.image_bchw, step.labels_bhw
    rows_kd = class_weights(net.classifier)
    if step.counts_bc is None:
        count_labels(labels_bhw, len(rows_kd), VOID)  # for labels that are none
    dropped = drawn(step, len(rows_kd))
    t = _between(own.weight_from, own.weight_to, step.progress)
    with step.autocast():
        features, guess = net._features(normalized(images))
        if t == 0:  # by ce's own way, and so equal to the bit
            first, second = net.classifier(features), net.classifier(net.path(features, rows_kd, dropped))
        else:
            first, second = both_logits(net.path, net.classifier, features, dropped)

    def allowed(logits: Tensor) -> Tensor:
        if not own.null_mask:
            return logits
        other_bk = ~step.batch.allowed_bk.to(logits.device, non_blocking=True)
        return logits.masked_fill(other_bk[:, :, None, None], _NEVER)

    def without(logits: Tensor, dropped: int | None, a: Tensor, b: Tensor) -> Tensor:
        height, width = (n + -n % net.multiple for n in labels_bhw.shape[1:])
        return loss_without(allowed(logits), labels_bhw, dropped, a, b, (height, width))

    def ce(logits: Tensor) -> Tensor:
        if t == 0:  # as above
            enlarged = net._enlarged(allowed(logits), images)
            return cross_entropy(enlarged, labels_bhw, normalizer=step.normalizer, counts=step.counts_bc)
        return without(logits, None, *weights(labels_bhw, step.normalizer, None, 1.0, 0.0))

    total = (1 - t) * ce(first) + without(second, dropped, *weights(labels_bhw, step.normalizer, dropped, t, own.alpha))
    return total if guess is None else total + step.settings.auxiliary * ce(guess)


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
