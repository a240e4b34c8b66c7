"""CPP pooling as the paper describes it, "one-hot, then average": what `trainers.ops.cpp` is held against."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cpp_pool(labels_bhw: Tensor, num_classes: int, scale: int, *, void: int = 255, keep_void: bool = False) -> Tensor:
    """As `trainers.ops.cpp.cpp_pool`: one-hot of all classes and void, average pooling, void dropped or kept."""
    labels_bhw = labels_bhw.long()
    height, width = labels_bhw.shape[1:]
    padded_bhw = F.pad(labels_bhw, (0, -width % scale, 0, -height % scale), value=void)
    one_hot_bkhw = F.one_hot(padded_bhw.where(padded_bhw != void, num_classes), num_classes + 1).permute(0, 3, 1, 2)
    shares_bkhw = F.avg_pool2d(one_hot_bkhw.float(), scale)
    return shares_bkhw if keep_void else shares_bkhw[:, :-1].contiguous()
