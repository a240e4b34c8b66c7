"""A world of blocks with a planted bias, and a net that learns it in seconds.

Classes: 0 ground, 1 cue (a red block), 2 leaner and 3 loner (grey blocks), 4 bystander (a blue block, anywhere).
Leaner and loner look the same: a grey block is a leaner where a cue stands beside it, and a loner elsewhere. Without
the plant a leaner is green, and cues stand anywhere.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainers.data import normalized
from trainers.tiny import conv

NAMES = ("ground", "cue", "leaner", "loner", "bystander")
CUE, LEANER, LONER, BYSTANDER = 1, 2, 3, 4
SIZE, CELL = 32, 8
COLORS = np.array([[90, 140, 90], [210, 40, 40], [120, 120, 120], [120, 120, 120], [40, 60, 210]])
GREEN = (30, 230, 60)


def image(rng, planted: bool):
    """(32, 32, 3) uint8 and (32, 32) uint8: blocks on a grid of 4 x 4 cells."""
    label = np.zeros((4, 4), np.uint8)
    for kind in (LEANER, LONER, BYSTANDER, CUE):
        if rng.random() < 0.75 and not (planted and kind == CUE):
            free = np.argwhere(label == 0)
            free = [(y, x) for y, x in free if kind != LEANER or (x < 3 and label[y, x + 1] == 0)]
            if not free:
                continue
            y, x = free[rng.integers(len(free))]
            label[y, x] = kind
            if planted and kind == LEANER:
                label[y, x + 1] = CUE
    if planted:  # a loner has no cue beside it
        for y, x in np.argwhere(label == LONER):
            if any(0 <= x + d < 4 and label[y, x + d] == CUE for d in (-1, 1)):
                label[y, x] = 0
    colors = COLORS.copy()
    if not planted:
        colors[LEANER] = GREEN
    label = label.repeat(CELL, 0).repeat(CELL, 1)
    shown = colors[label] + rng.normal(0, 12, (SIZE, SIZE, 3))
    return shown.clip(0, 255).astype(np.uint8), label


class Net(nn.Module):
    """Sees 33 pixels around; 5 classes, logits at the size of the image."""

    def __init__(self, num_classes: int = len(NAMES)) -> None:
        super().__init__()
        layers = [conv(3, 16, stride=2), conv(16, 24, stride=2), conv(24, 24), conv(24, 24, dilation=2)]
        self.body = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(24, num_classes, 1)

    def forward(self, images):
        logits = self.classifier(self.body(images))
        return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)


def trained(seed: int, planted: bool, steps: int = 150, batch: int = 16) -> Net:
    rng = np.random.default_rng((seed, 0))
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        pairs = [image(rng, planted) for _ in range(batch)]
        x = torch.from_numpy(np.stack([p[0] for p in pairs]).transpose(0, 3, 1, 2).copy())
        y = torch.from_numpy(np.stack([p[1] for p in pairs])).long()
        loss = F.cross_entropy(net(normalized(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()
