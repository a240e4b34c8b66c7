"""How a net is shown an image, and the logits that come back.

A net answers at the size of its input; logits are brought to the size of the label (bilinear). Views of one image
(mirrored, at other scales) are averaged as logits, windows as logits where they overlap: sums of saturated sigmoids
would tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.data import normalized
from unify.errors import Problem, UnifyError


@dataclass(frozen=True, slots=True)
class Views:
    """How an image is shown to the net.

    short_side: pixels that its shorter side is brought to; 0 leaves it. scales: factors on that; several are
    averaged. flip: the mirrored image too. window: side of square windows, pixels, `stride` apart (0: two thirds of
    a window); 0 shows the image whole.
    """

    short_side: int = 0
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: int = 0
    stride: int = 0

    def __post_init__(self) -> None:
        faults = []
        if min(self.short_side, self.window, self.stride) < 0:
            faults.append("sizes are at least 0")
        if not self.scales or not all(0 < s <= 16 for s in self.scales):
            faults.append("scales are above 0 and at most 16")
        if self.window and self.stride > self.window:
            faults.append(f"windows of {self.window} that are {self.stride} apart leave gaps")
        if faults:
            raise UnifyError(*(Problem("usage", "views", what, "correct it") for what in faults))


WHOLE = Views()  #: the image as it is, once


@torch.inference_mode()
def logits_of(net: nn.Module, image_chw: Tensor, size_hw: tuple[int, int], views: Views, bf16: bool = False) -> Tensor:
    """(K, H, W) float32: the mean over all views, at `size_hw`. `image_chw`: uint8 RGB, on the net's device."""
    image = normalized(image_chw[None])
    height, width = image.shape[2:]
    base = views.short_side / min(height, width) if views.short_side else 1.0
    total: Tensor | None = None
    for scale in views.scales:
        size = max(1, round(height * base * scale)), max(1, round(width * base * scale))
        # Images are smoothed where they shrink; logits keep their peaks.
        shown = image if size == (height, width) else _resized(image, size, antialias=size[0] < height)
        for mirrored in (False, True) if views.flip else (False,):
            logits = _windowed(net, shown.flip(3) if mirrored else shown, views, bf16)
            logits = logits.flip(3) if mirrored else logits
            logits = logits if tuple(logits.shape[2:]) == tuple(size_hw) else _resized(logits, size_hw)
            total = logits if total is None else total + logits
    assert total is not None
    return (total / (len(views.scales) * (2 if views.flip else 1)))[0]


def _resized(x_bchw: Tensor, size_hw: tuple[int, int], antialias: bool = False) -> Tensor:
    return F.interpolate(x_bchw, size_hw, mode="bilinear", align_corners=False, antialias=antialias)


def _windowed(net: nn.Module, image_bchw: Tensor, views: Views, bf16: bool) -> Tensor:
    """(1, K, H, W) float32 at the image's size."""

    def run(part: Tensor) -> Tensor:
        with torch.autocast(part.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = net(part).float()
            return logits

    height, width = image_bchw.shape[2:]
    window = views.window
    if not window or (height <= window and width <= window):
        return run(image_bchw)
    stride = views.stride or max(1, window * 2 // 3)
    total: Tensor | None = None
    count = torch.zeros(1, 1, height, width, device=image_bchw.device)
    for top in starts(height, window, stride):
        for left in starts(width, window, stride):
            here = (slice(None), slice(None), slice(top, top + window), slice(left, left + window))
            logits = run(image_bchw[here])
            if total is None:
                total = logits.new_zeros(1, logits.shape[1], height, width)
            total[here] += logits
            count[here] += 1
    assert total is not None
    return total / count


def starts(size: int, window: int, stride: int) -> list[int]:
    """Where windows begin; the last one ends with the image."""
    last = max(0, size - window)
    return [*range(0, last, stride), last]
