"""Class-probability-preserving (CPP) pooling: labels to shares of classes in cells of s x s pixels.

Han, Yoo and Oh, CVPR 2022, Algorithm 1 of the supplement: where the nearest pixel's class is lost or kept, each class
keeps its share of the cell. `cpp_reference` is the same as one-hot and average pooling.

Labels may have any size and s need not divide it: the cells begin at the top left, and what the last ones have beyond
the image counts as void. A cell's shares sum to its valid share, that of its pixels which are neither void nor beyond.

On the CPU counting is a compiled loop over runs of one label (`unify.cpp`); elsewhere it is a scatter of ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.ops.labels import VOID, count_labels
from unify import cpp
from unify.errors import error


def cpp_pool(labels_bhw: Tensor, num_classes: int, scale: int, *, void: int = VOID, keep_void: bool = False) -> Tensor:
    """(B, K, ceil(H / s), ceil(W / s)) float32 in [0, 1]: the share of each class in each cell.

    Args:
        labels_bhw: (B, H, W) uint8: classes 0..K-1 and `void`; with sets, K is of classes and sets together.
        scale: s >= 1, pixels. 1 gives one-hot labels.
        keep_void: give K + 1 channels, the last of void ("20 classes for Cityscapes including ignore", Figure 2).

    Raises `UnifyError`: unknown-id for any other label; usage for labels of another type or shape.
    """
    return _pool(labels_bhw, num_classes, scale, 1, void, keep_void, as_shares=True)[0]


def cpp_counts(
    labels_bhw: Tensor, num_classes: int, scale: int, *, void: int = VOID, keep_void: bool = False
) -> Tensor:
    """As `cpp_pool`, in pixels: int32, of s * s in a cell."""
    return _pool(labels_bhw, num_classes, scale, 1, void, keep_void, as_shares=False)[0].to(torch.int32)


def cpp_pyramid(
    labels_bhw: Tensor, num_classes: int, scales: Sequence[int], *, void: int = VOID, keep_void: bool = False
) -> list[Tensor]:
    """`cpp_pool` at each of `scales`, in their order.

    Scales of which each is twice the one before (4, 8, 16, 32) take one pass over the labels: the counts of a cell
    are the sums of those of the four cells in it.
    """
    found: dict[int, Tensor] = {}
    for first in sorted(set(scales)):
        if first in found:
            continue
        levels = 1
        while first << levels in scales:
            levels += 1
        pooled = _pool(labels_bhw, num_classes, first, levels, void, keep_void, as_shares=True)
        found |= {first << i: shares_bkhw for i, shares_bkhw in enumerate(pooled)}
    return [found[scale] for scale in scales]


def nearest(labels_bhw: Tensor, scale: int) -> Tensor:
    """(B, ceil(H / s), ceil(W / s)): what CPP pooling replaces, the label of each cell's first pixel.

    It is `F.interpolate(mode="nearest")` of labels whose sides s divides.
    """
    return labels_bhw[:, ::scale, ::scale]


def _pool(
    labels_bhw: Tensor, num_classes: int, scale: int, levels: int, void: int, keep_void: bool, *, as_shares: bool
) -> list[Tensor]:
    if labels_bhw.dtype != torch.uint8 or labels_bhw.ndim != 3:
        what = f"labels of {labels_bhw.dtype} and shape {tuple(labels_bhw.shape)} where uint8 (B, H, W) is due"
        raise error("usage", "", what, "give class ids")
    if scale < 1 or scale << levels - 1 > 4096:
        raise error("usage", "", f"cells of {scale << levels - 1} pixels", "take from 1 to 4096")
    if labels_bhw.device.type == "cpu":
        return _by_loop(labels_bhw, num_classes, scale, levels, void, keep_void, as_shares=as_shares)
    return by_scatter(labels_bhw, num_classes, scale, levels, void, keep_void, as_shares=as_shares)


def _by_loop(
    labels_bhw: Tensor, num_classes: int, scale: int, levels: int, void: int, keep_void: bool, *, as_shares: bool
) -> list[Tensor]:
    channel_of = np.full(256, -2, np.int16)
    channel_of[:num_classes] = range(num_classes)
    channel_of[void] = -1
    batch, height, width = labels_bhw.shape
    cells = sum(-(-height // (scale << i)) * -(-width // (scale << i)) for i in range(levels))
    flat = torch.zeros(batch * (num_classes + keep_void) * cells)
    parts = cpp.count_cells(
        labels_bhw.numpy(),
        channel_of,
        num_classes,
        scale,
        levels=levels,
        with_rest=keep_void,
        as_shares=as_shares,
        out=flat.numpy(),
    )
    return [torch.from_numpy(part) for part in parts]


def by_scatter(
    labels_bhw: Tensor, num_classes: int, scale: int, levels: int, void: int, keep_void: bool, *, as_shares: bool
) -> list[Tensor]:
    """The same on any device: a one to each pixel's class and cell, then sums of four cells.

    Sums of ones are exact in any order, so the result is the same bits each time.
    """
    count_labels(labels_bhw, num_classes, void)
    batch, height, width = labels_bhw.shape
    padded_bhw = F.pad(labels_bhw, (0, -width % scale, 0, -height % scale), value=void)
    down, across = padded_bhw.shape[1] // scale, padded_bhw.shape[2] // scale
    # (B, s * s, h, w): the pixels of a cell one behind the other
    pixels = padded_bhw.view(batch, down, scale, across, scale).permute(0, 2, 4, 1, 3).reshape(batch, -1, down, across)
    index = pixels.long().where(pixels != void, num_classes)
    counts_bkhw = torch.zeros(batch, num_classes + 1, down, across, device=labels_bhw.device)
    counts_bkhw.scatter_add_(1, index, torch.ones((), device=labels_bhw.device).expand_as(index))
    kept = num_classes + keep_void
    found = []
    for i in range(levels):
        if i:
            counts_bkhw = _four(counts_bkhw, void=(scale << i - 1) ** 2)
        area = (scale << i) ** 2 if as_shares else 1
        found.append(counts_bkhw[:, :kept] / area)
    return found


def _four(counts_bkhw: Tensor, void: int) -> Tensor:
    """Sums of 2 x 2 cells; `void`: pixels of a cell that lies beyond, all of them in the last channel."""
    down, across = counts_bkhw.shape[2:]
    padding = (0, across % 2, 0, down % 2)
    if any(padding):
        rest = F.pad(counts_bkhw[:, -1:], padding, value=void)
        counts_bkhw = torch.cat([F.pad(counts_bkhw[:, :-1], padding), rest], 1)
    batch, channels, down, across = counts_bkhw.shape
    return counts_bkhw.view(batch, channels, down // 2, 2, across // 2, 2).sum((3, 5))
