"""Binary cross-entropy over all classes of the union, whatever a source annotates (UniSeg, ECCV 2022, §3.2)."""

from __future__ import annotations

from torch import Tensor

from trainers.methods.method import LogitsOptions, Method, Step, of_logits
from trainers.ops import bce


def loss(logits_bkhw: Tensor, step: Step) -> Tensor:
    members = step.teaching.members
    return bce.bce(logits_bkhw, step.labels_bhw, members=members, normalizer=step.normalizer, counts=step.counts_bc)


METHOD = Method("binary cross-entropy over all classes", of_logits(loss), options=LogitsOptions)
