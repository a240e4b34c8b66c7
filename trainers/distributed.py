"""Several processes that train one net, as `torchrun` starts them; one process alone is a group of one.

Gradients are averaged by torch's DistributedDataParallel. What else has to be known of all processes goes through
`Group`: sums of numbers, and plain values of each. On GPUs by NCCL, on CPUs by gloo.
"""

from __future__ import annotations

import functools
import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]  # exported, but not to mypy
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from unify.errors import error


@dataclass(frozen=True, slots=True)
class Group:
    """This process is number `rank` of `size`, and computes on `device`."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """The first process writes the files."""
        return self.rank == 0

    def summed(self, value: float) -> Tensor:
        """The sum over all processes: a float64 scalar on the device, which nobody waits for here."""
        total = torch.full((), value, dtype=torch.float64, device=self.device)
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def total(self, value: float) -> float:
        """The sum over all processes."""
        return value if self.size == 1 else float(self.summed(value))

    def gathered(self, value: Any) -> list[Any]:
        """The plain values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def shared(self, module: nn.Module) -> nn.Module:
        """`module` with gradients averaged over the processes, and weights as the first one has them."""
        if self.size == 1:
            return module
        # Depthwise kernels have an axis of length 1, whose stride means nothing: torch warns of it all the same.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        on = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=on)

    def meet(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier()


def world_size() -> int:
    """Processes that torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this is the first of them, the one that speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The group that torchrun's environment names. Each process takes the GPU of its local number.

    Within it, that GPU is what torch calls the current one.

    Raises `UnifyError` (usage) for more processes than GPUs.
    """
    if world_size() == 1:
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            yield Group(device)
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            what = f"{local + 1} processes for {torch.cuda.device_count()} GPUs"
            raise error("usage", "torchrun", what, "start one for each, or --set device=cpu")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=_store(), rank=rank, world_size=world_size())
    try:
        yield Group(device, rank, world_size())
    finally:
        dist.destroy_process_group()


_groups = itertools.count()  # that this process has joined; all processes join the same ones in the same order


def _store() -> Store:
    """Where a new group's processes tell each other their addresses: not where an earlier group told its own."""
    return PrefixStore(f"group-{next(_groups)}", _rendezvous())


@functools.cache
def _rendezvous() -> Store:
    """The store that torchrun's environment names; asked for once."""
    store: Store
    store, _, _ = next(rendezvous("env://"))
    return store


def apart(module: nn.Module) -> AbstractContextManager[None]:
    """Within it, gradients add up in each process alone: for all but the last part of an update."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


# --- BatchNorm ----------------------------------------------------------------------------------------------


class _Total(torch.autograd.Function):
    """The sum over all processes; each one's share of the gradient is the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Total.forward(ctx, gradients[0])


class SyncedBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d over the batches of all processes together, on CPUs too: torch's own is for GPUs alone."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        share = input.new_full((1,), input.numel() / input.shape[1])
        total: Tensor = _Total.apply(torch.cat([input.sum((0, 2, 3)), share]))  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = input - mean[:, None, None]
        variance: Tensor = _Total.apply(centred.square().sum((0, 2, 3)))  # type: ignore[no-untyped-call]
        variance = variance / count
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, rate)
            self.running_var.lerp_(variance * count / (count - 1), rate)
        gain = self.weight * torch.rsqrt(variance + self.eps)
        return centred * gain[:, None, None] + self.bias[:, None, None]


def synced(net: nn.Module, device: torch.device) -> nn.Module:
    """`net` with BatchNorms that average over all processes; its state dict has the same names.

    Raises `UnifyError` (usage) on a CPU for nets whose BatchNorms do more than normalize (timm's, of MobileNetV3).
    """
    from trainers.models import sync_batchnorm

    if device.type == "cuda":
        return sync_batchnorm(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                norm = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)
            elif isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, SyncedBatchNorm):
                what = f"{type(child).__name__} cannot be synchronized on a CPU"
                raise error("usage", "torchrun", what, "--set sync_bn=false, or take another net")
    return net
