"""Tensors in a file that holds no code: the safetensors format, by its own library."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


def raw_bytes(tensor: Tensor) -> bytes:
    """The elements of a tensor, row by row, as they lie in memory."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""


def dump(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A file of these tensors."""
    return bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(metadata)))


def parse(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata. Raises ValueError for anything that is no such file."""
    try:
        tensors = load(data)
    except SafetensorError as e:
        raise ValueError(str(e)) from e
    size = int.from_bytes(data[:8], "little")
    return tensors, json.loads(data[8 : 8 + size]).get("__metadata__", {})
