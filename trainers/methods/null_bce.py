"""Null BCE: binary cross-entropy over the classes that an image's source annotates (UniSeg, ECCV 2022, eq. a-6)."""

from __future__ import annotations

from torch import Tensor

from trainers.data import Batch
from trainers.methods.method import LogitsOptions, Method, Teaching, of_logits
from trainers.ops import bce


def loss(logits_bkhw: Tensor, labels_bhw: Tensor, batch: Batch, teaching: Teaching, normalizer: Tensor) -> Tensor:
    return bce.null_bce(logits_bkhw, labels_bhw, batch.allowed_bk, members=teaching.members, normalizer=normalizer)


METHOD = Method("binary cross-entropy over the source's own classes", of_logits(loss), options=LogitsOptions)
