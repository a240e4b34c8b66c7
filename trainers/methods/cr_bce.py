"""Class-relational BCE: Null BCE, and target 1 also for the classes that a label is related to (UniSeg, eq. a-8).

Relations are those of each image's own source, as `unify relations` writes them.
"""

from __future__ import annotations

from torch import Tensor

from trainers.methods.method import LogitsOptions, Method, Step, of_logits
from trainers.ops import bce


def loss(logits_bkhw: Tensor, step: Step) -> Tensor:
    assert step.teaching.targets is not None, "this method needs relations"
    return bce.class_relational_bce(
        logits_bkhw,
        step.labels_bhw,
        step.batch.allowed_bk,
        step.teaching.targets[step.batch.source_b],
        members=step.teaching.members,
        normalizer=step.normalizer,
        counts=step.counts_bc,
    )


METHOD = Method(
    "Null BCE, with the related classes as targets too", of_logits(loss), relations="required", options=LogitsOptions
)
