"""Cross-entropy over all classes of the union: the baseline that label shifts hurt (UniSeg, ECCV 2022, eq. a-3).

Pixels of a set of classes teach nothing here.
"""

from __future__ import annotations

from torch import Tensor

from trainers.methods.method import LogitsOptions, Method, Step, of_logits
from trainers.ops.softmax import cross_entropy


def loss(logits_bkhw: Tensor, step: Step) -> Tensor:
    return cross_entropy(logits_bkhw, step.labels_bhw, normalizer=step.normalizer, counts=step.counts_bc)


METHOD = Method(
    "softmax cross-entropy over all classes",
    of_logits(loss),
    knows_sets=False,
    activation="softmax",
    options=LogitsOptions,
)
