"""Both answers of DropClass in training, h(A) and h(A_drop), in tiles that stay in a core's cache.

    first = rows A + bias
    z = kernel A,   A_drop = ReLU(gamma (z - mean) / std + beta),   second = rows A_drop + bias

Layer by layer, a CPU spends nearly half of the time of this on carrying maps as wide as the features from and to
memory. In tiles, z is the one such map that is made: A_drop is made anew of it for the backward pass, which costs as
little as a classifier, and the gradient with respect to A comes of both answers at once. What is left are the products
D x D x pixels, three of them, at the speed of large matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainers.ops.dropclass import DropConv, class_weights, mean_weight

_TILE = 1 << 18  #: values of a map in a tile, for each thread: of float32, a megabyte
_PIXELS = 64  #: of a tile, a multiple of it; products of odd lengths are slower


def both_logits(
    path: DropConv, classifier: nn.Module, features_bdhw: Tensor, dropped: int | None = None
) -> tuple[Tensor, Tensor]:
    """A (B, D, h, w), at least 0 -> h(A) and h(A_drop), (B, K, h, w) each; `dropped` as in `DropConv.forward`.

    In tiles on a CPU, in training, with a linear classifier, channels first, and float32 or float64; else as the
    modules have it.
    """
    if not (_in_tiles(path, features_bdhw) and isinstance(classifier, nn.Conv2d) and classifier.bias is not None):
        second: Tensor = classifier(path(features_bdhw, class_weights(classifier), dropped))
        return classifier(features_bdhw), second
    rows_kd, norm = class_weights(classifier), path.norm
    kernel_dd = path.conv.weight.flatten(1) * mean_weight(rows_kd, dropped)
    first, again, mean_d, var_d = _Both.apply(  # type: ignore[no-untyped-call]
        features_bdhw, rows_kd, classifier.bias, kernel_dd, norm.weight, norm.bias, norm.eps
    )
    _track(norm, mean_d, var_d, features_bdhw[:, 0].numel())
    return first, again


def _in_tiles(path: DropConv, features_bdhw: Tensor) -> bool:
    norm = path.norm
    return (
        features_bdhw.device.type == "cpu"
        and features_bdhw.is_contiguous()  # with channels last the layers are as fast
        and features_bdhw.dtype == path.conv.weight.dtype
        and not torch.is_autocast_enabled("cpu")
        and type(norm) is nn.BatchNorm2d  # not one over several processes
        and norm.training
        and norm.track_running_stats
        and features_bdhw[:, 0].numel() > 1
    )


def _track(norm: nn.BatchNorm2d, mean_d: Tensor, var_d: Tensor, count: int) -> None:
    """What BatchNorm2d remembers of a batch for later use; the variance unbiased."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked += 1
        share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean_d, share)
        norm.running_var.lerp_(var_d * (count / (count - 1)), share)


class _Tile(NamedTuple):
    image: int
    pixels: slice
    start: int  # in z, whose tiles lie one after the other


def _tiles(batch: int, width: int, pixels: int) -> Iterator[_Tile]:
    length = max(_PIXELS, torch.get_num_threads() * _TILE // width // _PIXELS * _PIXELS)
    for image in range(batch):
        for start in range(0, pixels, length):
            yield _Tile(image, slice(start, min(start + length, pixels)), (image * pixels + start) * width)


class _Both(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features_bdhw: Tensor,
        rows_kd: Tensor,
        bias_k: Tensor,
        kernel_dd: Tensor,
        gamma_d: Tensor,
        beta_d: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        batch, width, *size = features_bdhw.shape
        a_bdn = features_bdhw.flatten(2)
        pixels = a_bdn.shape[2]
        tiles = list(_tiles(batch, width, pixels))
        first, second = (a_bdn.new_empty(batch, len(rows_kd), pixels) for _ in range(2))
        z = a_bdn.new_empty(a_bdn.numel())
        bias_k1 = bias_k[:, None]
        moments = []
        for tile in tiles:
            a = a_bdn[tile.image, :, tile.pixels].contiguous()
            torch.addmm(bias_k1, rows_kd, a, out=first[tile.image, :, tile.pixels])
            z_dn = torch.mm(kernel_dd, a, out=_of(z, tile, width))
            mean_d1 = z_dn.mean(1, keepdim=True)
            moments.append((mean_d1[:, 0], (z_dn - mean_d1).square_().mean(1)))
        # The variance of all is the mean of the tiles' variances, and the variance of their means.
        length_t1 = a_bdn.new_tensor([[tile.pixels.stop - tile.pixels.start] for tile in tiles])
        share_t1 = length_t1 / (batch * pixels)
        means_td, vars_td = (torch.stack(values) for values in zip(*moments, strict=True))
        mean_d = (share_t1 * means_td).sum(0)
        var_d = (share_t1 * (vars_td + (means_td - mean_d) ** 2)).sum(0)
        scale_d = gamma_d * (var_d + eps).rsqrt()
        shift_d = beta_d - mean_d * scale_d
        for tile in tiles:
            drop_dn = _dropped(_of(z, tile, width), scale_d, shift_d)
            torch.addmm(bias_k1, rows_kd, drop_dn, out=second[tile.image, :, tile.pixels])
        ctx.save_for_backward(features_bdhw, rows_kd, kernel_dd, z, mean_d, (var_d + eps).rsqrt(), scale_d, shift_d)
        ctx.tiles = tiles
        ctx.mark_non_differentiable(mean_d, var_d)
        shape = (batch, len(rows_kd), *size)
        return first.view(shape), second.view(shape), mean_d, var_d

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, slope_first: Tensor, slope_second: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, None]:
        """With g the gradient at ReLU's input and n values a channel, BatchNorm's own way back to z is

        scale (g - sum(g) / n - (z - mean) / var sum(g (z - mean)) / n)
        """
        features_bdhw, rows_kd, kernel_dd, z, mean_d, inverse_d, scale_d, shift_d = ctx.saved_tensors
        a_bdn, first, second = (x.flatten(2) for x in (features_bdhw, slope_first, slope_second))
        width, count = len(kernel_dd), a_bdn[:, 0].numel()
        mean_d1 = mean_d[:, None]
        d_beta, d_gamma, d_rows, d_kernel = map(torch.zeros_like, (scale_d, scale_d, rows_kd, kernel_dd))

        def at_norm(tile: _Tile, drop_dn: Tensor) -> Tensor:
            slope_dn = rows_kd.T @ second[tile.image, :, tile.pixels]
            return torch.ops.aten.threshold_backward(slope_dn, drop_dn, 0)  # type: ignore[no-any-return]

        for tile in ctx.tiles:
            z_dn = _of(z, tile, width)
            drop_dn = _dropped(z_dn, scale_d, shift_d)
            slope_dn = at_norm(tile, drop_dn)
            d_rows.addmm_(second[tile.image, :, tile.pixels], drop_dn.T)
            d_beta += slope_dn.sum(1)
            d_gamma += torch.sub(z_dn, mean_d1, out=drop_dn).mul_(slope_dn).sum(1)
        d_gamma *= inverse_d
        # The formula as scale g + by_z z + constant.
        by_z_d = -scale_d * inverse_d * d_gamma / count
        constant_d1 = (-scale_d * d_beta / count - by_z_d * mean_d)[:, None]
        d_features = torch.empty_like(a_bdn)
        for tile in ctx.tiles:
            z_dn = _of(z, tile, width)
            spare_dn = _dropped(z_dn, scale_d, shift_d)
            slope_dn = at_norm(tile, spare_dn).mul_(scale_d[:, None])
            slope_dn += torch.mul(z_dn, by_z_d[:, None], out=spare_dn)
            slope_dn += constant_d1
            a_dn, first_kn = a_bdn[tile.image, :, tile.pixels].contiguous(), first[tile.image, :, tile.pixels]
            d_kernel.addmm_(slope_dn, a_dn.T)
            d_rows.addmm_(first_kn, a_dn.T)
            both_dn = torch.mm(kernel_dd.T, slope_dn, out=spare_dn).addmm_(rows_kd.T, first_kn)
            d_features[tile.image, :, tile.pixels] = both_dn
        d_bias = first.sum((0, 2)) + second.sum((0, 2))
        return d_features.view_as(features_bdhw), d_rows, d_bias, d_kernel, d_gamma, d_beta, None


def _of(z: Tensor, tile: _Tile, width: int) -> Tensor:
    length = tile.pixels.stop - tile.pixels.start
    return z[tile.start : tile.start + width * length].view(width, length)


def _dropped(z_dn: Tensor, scale_d: Tensor, shift_d: Tensor) -> Tensor:
    """A_drop: ReLU(BatchNorm(z))."""
    return torch.mul(z_dn, scale_d[:, None]).add_(shift_d[:, None]).relu_()
