"""Backbones and decoders from timm and segmentation_models_pytorch; both are imported only when a net needs them.

Each function gives (backbone, head, channels): the backbone takes normalized images and gives its maps, fine to
coarse; the head takes those and gives features of `channels` channels. `pretrained` fetches the libraries' ImageNet
weights.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from trainers import heads
from trainers.ops.order import with_order
from trainers.tiny import CHANNELS, TinyBackbone, TinyHead
from unify.errors import error

Parts = tuple[nn.Module, nn.Module, int]


def needed(package: str) -> Any:
    """The module `package`. Raises `UnifyError` (usage) where it, or what it needs, is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as e:
        raise error("usage", "", f"{package} cannot be imported ({e})", "pip install 'unify[train]'") from e


def tiny(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    return TinyBackbone(), TinyHead(stride), CHANNELS


def hrnet(encoder: str, pretrained: bool) -> tuple[nn.Module, list[int]]:
    """timm's HRNet without its classification head: the four maps at stride 4, 8, 16, 32, and their widths."""
    timm = needed("timm")
    net = timm.create_model(
        encoder, pretrained=pretrained, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
    )
    return net, net.feature_info.channels()


def hrnet_v1(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    backbone, widths = hrnet(encoder, pretrained)
    # Of the last exchange only the finest map is used. What makes the other three would never get a gradient.
    last: Any = backbone.stage4[-1]  # type: ignore[index]
    last.fuse_layers = last.fuse_layers[:1]
    head = heads.LastMap(widths)
    return backbone, head, head.channels


def hrnet_v2(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    backbone, widths = hrnet(encoder, pretrained)
    head = heads.AllMaps(widths)
    return backbone, head, head.channels


def hrnet_ocr(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    backbone, widths = hrnet(encoder, pretrained)
    head = heads.OCR(widths, num_classes)
    return backbone, head, head.channels


def _weights(encoder: str, pretrained: bool) -> str | bool | None:
    """What segmentation_models_pytorch calls them: of its own encoders "imagenet", of timm's ("tu-") True."""
    if not pretrained:
        return None
    return True if encoder.startswith("tu-") else "imagenet"


def dilated(encoder: str, stride: int, pretrained: bool) -> tuple[Any, int]:
    """An encoder whose last map has stride `stride`, and the width of that map."""
    smp = needed("segmentation_models_pytorch")
    backbone = smp.encoders.get_encoder(encoder, weights=_weights(encoder, pretrained), output_stride=stride)
    _restore_first_convs(backbone, stride)
    return backbone, backbone.out_channels[-1]


def _restore_first_convs(backbone: Any, stride: int) -> None:
    """Let a dilated encoder compute what the plain one does, at more places; the weights were learned for that.

    The convolution that loses its stride reads a map of the old spacing, those behind it one of half that; so it is
    dilated half as much as they are. segmentation_models_pytorch (0.6) dilates them alike; timm does not.
    """
    if not hasattr(backbone, "get_stages"):  # timm's
        return
    for stage_stride, modules in backbone.get_stages().items():
        if stage_stride > stride:
            every = (layer for module in modules for layer in module.modules() if isinstance(layer, nn.Conv2d))
            first = next(layer for layer in every if layer.kernel_size[0] > 1)
            half = stage_stride // stride // 2
            first.dilation = (half, half)
            first.padding = tuple(half * (side // 2) for side in first.kernel_size)


def fcn(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    backbone, width = dilated(encoder, stride, pretrained)
    head = heads.FCN(width)
    return backbone, head, head.channels


def pspnet(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    # Not smp.PSPNet: that cuts the encoder after its third stage, and has no 3x3 convolution after the pyramid.
    backbone, width = dilated(encoder, stride, pretrained)
    head = heads.PSP(width)
    return backbone, head, head.channels


def deeplabv3(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    net = needed("segmentation_models_pytorch").DeepLabV3(
        encoder,
        encoder_weights=_weights(encoder, pretrained),
        encoder_output_stride=stride,
        decoder_atrous_rates=_rates(stride),
    )
    _restore_first_convs(net.encoder, stride)
    return net.encoder, net.decoder, 256


def deeplabv3plus(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    net = needed("segmentation_models_pytorch").DeepLabV3Plus(
        encoder,
        encoder_weights=_weights(encoder, pretrained),
        encoder_output_stride=stride,
        decoder_atrous_rates=_rates(stride),
    )
    _restore_first_convs(net.encoder, stride)
    # Aligned corners fit maps of 2^n + 1 pixels. Ours are padded to multiples, where they would shift up to half a
    # coarse pixel.
    net.decoder.up.align_corners = False
    return net.encoder, net.decoder, 256


def _rates(stride: int) -> tuple[int, int, int]:
    """Of the atrous convolutions. Chen et al., arXiv 1706.05587, Section 3.3: doubled at output stride 8."""
    return (12, 24, 36) if stride == 8 else (6, 12, 18)


def upernet(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    # 512 channels: Xiao et al., UPerNet, ECCV 2018, as OpenMMLab's published nets have it.
    net = needed("segmentation_models_pytorch").UPerNet(
        encoder, encoder_weights=_weights(encoder, pretrained), decoder_channels=512
    )
    return net.encoder, with_order(net.decoder), 512


def segformer(encoder: str, num_classes: int, stride: int, pretrained: bool) -> Parts:
    # Xie et al., SegFormer, NeurIPS 2021, Table 6: C = 256 for B0 and B1, 768 for the larger ones.
    channels = 256 if encoder in ("mit_b0", "mit_b1") else 768
    net = needed("segmentation_models_pytorch").Segformer(
        encoder, encoder_weights=_weights(encoder, pretrained), decoder_segmentation_channels=channels
    )
    return net.encoder, net.decoder, channels
