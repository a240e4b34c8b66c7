"""NLL+: -log of the summed probability of all classes that a label may stand for (Bevandić et al., WACV 2022).

A control for class-relational BCE. That a label of a source stands for its own class and, with relations, for every
class equal to it, within it or overlapping it that the source does not tell apart from it, is our reading: their
classes are disjoint, those of a naive union are not. Broader classes are none of these: were Road "Road or ground",
ground would take it all. Without relations, and without sets, it is cross-entropy.
"""

from __future__ import annotations

from torch import Tensor

from trainers.methods.method import LogitsOptions, Method, Step, of_logits
from trainers.ops.softmax import nll_plus


def loss(logits_bkhw: Tensor, step: Step) -> Tensor:
    teaching = step.teaching
    return nll_plus(
        logits_bkhw,
        step.labels_bhw,
        members=teaching.members,
        also=None if teaching.possible is None else teaching.possible[step.batch.source_b],
        normalizer=step.normalizer,
        counts=step.counts_bc,
    )


ABOUT = "log of the summed probability of what a label may be"
METHOD = Method(ABOUT, of_logits(loss), "optional", activation="softmax", options=LogitsOptions)
