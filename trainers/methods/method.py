"""What every method is: a loss of logits and a batch, and what it has to be told besides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainers.data import Batch

VOID = 255


@dataclass(frozen=True, slots=True)
class Teaching:
    """What holds for all batches of a run. S sources as in `Samples.sources`, K classes.

    members: (sets, K) bool, the classes of each set code K, K + 1, ...; None without sets.
    targets: (S, K, K) bool: [s, c, j] where a pixel that s labels c is also j (equal or narrower); None without
        relations.
    possible: (S, K, K) bool: [s, c, j] where it may be j as well: edges of any type, j not annotated by s itself.
    """

    members: Tensor | None = None
    targets: Tensor | None = None
    possible: Tensor | None = None

    def to(self, device: torch.device | str) -> Teaching:
        return Teaching(*(None if t is None else t.to(device) for t in (self.members, self.targets, self.possible)))


#: logits (B, K, H, W), labels (B, H, W), the batch they are of, what holds for all, and what to divide by -> scalar.
Loss = Callable[[Tensor, Tensor, Batch, Teaching, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Method:
    """`loss` gets labels in which set codes are void unless `knows_sets`. `relations`: whether it takes them.

    `activation`: what makes probabilities of its logits.
    """

    about: str
    loss: Loss
    relations: Literal["none", "optional", "required"] = "none"
    knows_sets: bool = True
    activation: Literal["softmax", "sigmoid"] = "sigmoid"

    def labels(self, batch: Batch, num_classes: int) -> Tensor:
        """(B, H, W) uint8: the labels of a batch as this method learns from them."""
        if self.knows_sets:
            return batch.label_bhw
        return torch.where(batch.label_bhw >= num_classes, VOID, batch.label_bhw)
