"""Several nets that answer together: log of the mean of their softmax.

Their names are joined by plus signs: "deeplabv3plus-resnet101+deeplabv3plus-resnet50+deeplabv3plus-mobilenetv2". As
they are made one after the other, members of one name begin with different weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainers.models import Segmenter, build
from unify.errors import error


class Ensemble(nn.Module):
    """`members` in the order of the name. `config`: what `trainers.models.build` takes to make the same net."""

    def __init__(self, members: list[Segmenter], config: dict[str, Any]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.config = config

    def forward(self, images: Tensor, auxiliary: bool = False) -> Any:
        """(B, 3, H, W) normalized floats -> (B, K, H, W) float32, whose softmax is the mean of the members'.

        auxiliary: give (that, None), as nets without a first guess do.
        """
        log_p = [member(images).float().log_softmax(1) for member in self.members]
        mean = torch.stack(log_p).logsumexp(0) - math.log(len(log_p))
        return (mean, None) if auxiliary else mean

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        for member in self.members:
            assert isinstance(member, Segmenter)
            yield from member.backbone_parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        for member in self.members:
            assert isinstance(member, Segmenter)
            yield from member.head_parameters()


def member_groups(
    net: nn.Module, factors: Sequence[float], groups_of: Callable[[Segmenter], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Groups for an optimizer: those of each member, their rates times its factor.

    Raises `UnifyError` (usage) for more or fewer factors than members.
    """
    members = [m for m in net.members if isinstance(m, Segmenter)] if isinstance(net, Ensemble) else []
    if len(members) != len(factors):
        what = f"{len(factors)} factors for {len(members) or 'no'} members"
        raise error("usage", "member_lr", what, "give one for each name of a model as a+b+c")
    return [
        {**group, "name": f"{number}-{group['name']}", "lr": group["lr"] * factor, "factor": group["factor"] * factor}
        for number, (member, factor) in enumerate(zip(members, factors, strict=True))
        for group in groups_of(member)
    ]


def build_ensemble(name: str, num_classes: int, *, weights: str | None = None, **chosen: Any) -> Ensemble:
    """The nets of a name with plus signs; `chosen` is for each of them.

    Raises `UnifyError` (usage): what `trainers.models.build` raises; for weights from a file.
    """
    if weights not in (None, "imagenet"):
        fix = "load one member's, or take the checkpoint of an ensemble"
        raise error("usage", str(weights), "is of one net, and an ensemble has several", fix)
    members = [build(part, num_classes, weights=weights, **chosen) for part in name.split("+")]
    config = {"name": name, "num_classes": num_classes, **chosen}
    return Ensemble([m for m in members if isinstance(m, Segmenter)], config)
