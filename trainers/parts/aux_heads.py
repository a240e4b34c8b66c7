"""Auxiliary heads: logits from each of a backbone's maps, to be trained with the net and thrown away.

Han, Yoo and Oh, CVPR 2022, Figure 3 of the supplement: heads on the stages of ResNet101, and on the four branches of
HRNetV2-W48. That a ResNet has one at each of its four stages, that a head is a 3x3 convolution, BatchNorm, ReLU and a
1x1 convolution, as SeeThroughNet's are, and its width, are our reconstruction; `aux_heads` and `aux_width` of method
`cpp` are other readings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainers.tiny import conv
from unify.errors import error

WIDEST = 256  #: channels within a head, at most, unless it is told otherwise
_PROBE = 64  #: side of the image that shows which maps there are, pixels


class AuxHeads(nn.Module):
    """`strides`: image pixels per pixel of each head's map, fine to coarse.

    channels: of the maps. widest: channels within a head, at most; else those of its map. 0: no 3x3 convolution.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], outputs: int, *, widest: int = WIDEST) -> None:
        super().__init__()
        assert len(channels) == len(strides)
        self.strides = tuple(strides)
        self.heads = nn.ModuleList(_head(each, min(each, widest), outputs) for each in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The backbone's maps, fine to coarse, of which the last ones have heads -> logits (B, outputs, h, w) of each.

        Raises `UnifyError` (usage) when training on maps of a single value, which BatchNorm cannot normalize.
        """
        with_head = maps[len(maps) - len(self.heads) :]
        normalized = any(isinstance(layer, nn.BatchNorm2d) for layer in self.modules())
        if self.training and normalized and any(len(each) * each[0, 0].numel() < 2 for each in with_head):
            what = f"an auxiliary head at stride {max(self.strides)} cannot be trained on a single image this small"
            raise error("usage", "", what, "take a larger batch, larger crops, or fewer heads")
        return [head(each) for head, each in zip(self.heads, with_head, strict=True)]


def _head(channels: int, width: int, outputs: int) -> nn.Sequential:
    if not width:
        return nn.Sequential(nn.Conv2d(channels, outputs, 1))
    return nn.Sequential(conv(channels, width), nn.Conv2d(width, outputs, 1))


def heads_for(net: nn.Module, outputs: int, most: int = 4, *, widest: int = WIDEST) -> AuxHeads:
    """Heads for the `most` coarsest maps of `net.outputs`, of those that are smaller than the image."""
    training = net.training
    with torch.no_grad():
        image = torch.zeros(1, 3, _PROBE, _PROBE, device=next(net.parameters()).device)
        _, _, maps = net.eval().outputs(image)  # type: ignore[operator]
    net.train(training)
    # Encoders of segmentation_models_pytorch begin with the image, those of SegFormer with a map without channels too.
    found = [(each.shape[1], _PROBE // each.shape[2]) for each in maps if each.shape[2] < _PROBE and each.shape[1]]
    chosen = found[len(found) - min(most, len(found)) :]
    return AuxHeads([channels for channels, _ in chosen], [stride for _, stride in chosen], outputs, widest=widest)
