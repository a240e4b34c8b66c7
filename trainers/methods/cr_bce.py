"""Class-relational BCE: Null BCE, and target 1 also for the classes that a label is related to (UniSeg, eq. a-8).

Relations are those of each image's own source, as `unify relations` writes them.
"""

from __future__ import annotations

from torch import Tensor

from trainers.data import Batch
from trainers.methods.method import LogitsOptions, Method, Teaching, of_logits
from trainers.ops import bce


def loss(logits_bkhw: Tensor, labels_bhw: Tensor, batch: Batch, teaching: Teaching, normalizer: Tensor) -> Tensor:
    assert teaching.targets is not None, "this method needs relations"
    relations_bkk = teaching.targets[batch.source_b]
    return bce.class_relational_bce(
        logits_bkhw, labels_bhw, batch.allowed_bk, relations_bkk, members=teaching.members, normalizer=normalizer
    )


METHOD = Method(
    "Null BCE, with the related classes as targets too", of_logits(loss), relations="required", options=LogitsOptions
)
