"""Null BCE: binary cross-entropy over the classes that an image's source annotates (UniSeg, ECCV 2022, eq. a-6)."""

from __future__ import annotations

from torch import Tensor

from trainers.methods.method import LogitsOptions, Method, Step, of_logits
from trainers.ops import bce


def loss(logits_bkhw: Tensor, step: Step) -> Tensor:
    return bce.null_bce(
        logits_bkhw,
        step.labels_bhw,
        step.batch.allowed_bk,
        members=step.teaching.members,
        normalizer=step.normalizer,
        counts=step.counts_bc,
    )


METHOD = Method("binary cross-entropy over the source's own classes", of_logits(loss), options=LogitsOptions)
