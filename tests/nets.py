"""A very small net for tests of training, in place of those of `trainers.models`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from trainers.ops.cosine import CosineClassifier


class Net(nn.Module):
    """Stride 4, with dropout, so that training depends on torch's random state, and batch statistics."""

    def __init__(self, num_classes: int, width: int = 12, cosine: bool = True) -> None:
        super().__init__()
        self.config = {"name": "cosine" if cosine else "plain", "num_classes": num_classes}
        self.backbone = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(width, width, 3, 2, 1),
        )
        self.head = CosineClassifier(width, num_classes) if cosine else nn.Conv2d(width, num_classes, 1)

    def forward(self, images_bchw: torch.Tensor, auxiliary: bool = False, size_hw: tuple[int, int] | None = None):
        logits = self.head(self.backbone(images_bchw))
        logits = F.interpolate(logits, size_hw or images_bchw.shape[2:], mode="bilinear", align_corners=False)
        return (logits, None) if auxiliary else logits

    def outputs(self, images_bchw: torch.Tensor):
        maps = [self.backbone(images_bchw)]
        logits = F.interpolate(self.head(maps[0]), images_bchw.shape[2:], mode="bilinear", align_corners=False)
        return logits, None, maps

    def backbone_parameters(self):
        return self.backbone.parameters()

    def head_parameters(self):
        return self.head.parameters()


def build(
    name: str, num_classes: int, *, weights: str | None = None, classifier: str = "", output_stride: int = 0
) -> Net:
    return Net(num_classes, cosine=name == "cosine")


def install(setitem=dict.__setitem__) -> None:
    """Let `trainers.models.build` make these; `setitem`: that of pytest's monkeypatch."""
    from trainers import models

    setitem(vars(models), "build", build)
