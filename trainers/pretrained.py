"""Weights from a local file: of a whole net of ours, or of a backbone as its library or its authors publish it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers import tensorfile
from trainers.checkpoint import refuse_not_finite
from unify.errors import error

_FIX = "give a .safetensors file or one of torch.save that holds tensors only"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Names and tensors of a .safetensors file, or of one written by torch.save; nothing in the file is run.

    A state dict may lie below "weights" (our checkpoints), "model" or "state_dict", and its names below "module.".
    Raises `UnifyError`: not-found, bad-artifact (unreadable, no tensors, NaN or infinite values).
    """
    path = Path(path)
    if not path.is_file():
        raise error("not-found", path, "no such file of weights")
    try:
        if path.suffix == ".safetensors":
            found: Any = tensorfile.parse(path.read_bytes())[0]
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # whatever a parser says of a broken file
        first = (str(e).splitlines() or [type(e).__name__])[0]
        raise error("bad-artifact", path, f"cannot be read as weights: {first}", _FIX) from e
    for key in ("weights", "model", "state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = {str(k): v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise error("bad-artifact", path, "holds no named tensors", _FIX)
    if all(key.startswith("module.") for key in tensors):  # what DistributedDataParallel puts before
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    refuse_not_finite(tensors, path)
    return tensors


def load_weights(net: nn.Module, path: str | Path) -> None:
    """Copy weights from `path` into `net`, all of it, or else all of `net.backbone` (a classifier is then ignored).

    Raises `UnifyError` (not-found, bad-artifact) unless every weight has its tensor of the right shape.
    """
    weights = read_weights(path)
    if any(key.startswith("backbone.") for key in weights) and any(key.startswith("classifier.") for key in weights):
        besides = sorted(weights.keys() - net.state_dict().keys())
        if besides:
            raise error(
                "bad-artifact", path, f"has weights of another net: {_some(besides)}", "weights of the same net"
            )
        _copy(net, weights, path, "the net")
        return
    backbone: Any = net.backbone
    # timm inside segmentation_models_pytorch has one "model." more than timm's own files.
    names = [
        {ours: theirs + ours.removeprefix(more) for ours in backbone.state_dict()}
        for theirs in ("", "backbone.", "encoder.")
        for more in ("", "model.")
    ]
    best = max(names, key=lambda name: sum(theirs in weights for theirs in name.values()))
    _copy(backbone, {ours: weights[theirs] for ours, theirs in best.items() if theirs in weights}, path, "its backbone")


@torch.no_grad()
def _copy(module: nn.Module, weights: Mapping[str, Tensor], path: str | Path, what: str) -> None:
    own = module.state_dict()
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    if missing:
        some = f"{len(missing)} of {len(own)} weights of {what} are not in it: {_some(missing)}"
        raise error("bad-artifact", path, some, "weights of the same net, or of its backbone")
    shapes = {key: (tuple(weights[key].shape), tuple(own[key].shape)) for key in own if key in weights}
    wrong = [f"{key} {theirs}, not {ours}" for key, (theirs, ours) in shapes.items() if theirs != ours]
    if wrong:
        raise error("bad-artifact", path, f"shapes of another net: {_some(wrong)}", "weights of the same net")
    for key in shapes:
        own[key].copy_(weights[key])


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
