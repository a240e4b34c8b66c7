"""Binary cross-entropy over all classes of the union, whatever a source annotates (UniSeg, ECCV 2022, §3.2)."""

from __future__ import annotations

from torch import Tensor

from trainers.data import Batch
from trainers.methods.method import LogitsOptions, Method, Teaching, of_logits
from trainers.ops import bce


def loss(logits_bkhw: Tensor, labels_bhw: Tensor, batch: Batch, teaching: Teaching, normalizer: Tensor) -> Tensor:
    return bce.bce(logits_bkhw, labels_bhw, members=teaching.members, normalizer=normalizer)


METHOD = Method("binary cross-entropy over all classes", of_logits(loss), options=LogitsOptions)
