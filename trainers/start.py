"""What a run begins with: net, optimizer, seeds; and the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.bound import Data
from trainers.distributed import Group, synced
from trainers.methods import Method
from trainers.settings import Settings
from unify.errors import error


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same while a net is trained: what is asked for, from what, by whom, and where it goes."""

    settings: Settings
    method: Method
    data: Data
    group: Group
    out: Path

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.settings.channels_last else torch.contiguous_format


@dataclass
class Run:
    """What changes while a net is trained.

    parts: what is trained besides the net (`Method.parts`). scaler: of float16's losses; does nothing for others.
    step: updates done. losses: of each of them. scores: what `_score` found, each with its step. seconds: spent.
    """

    net: nn.Module
    parts: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def begin(job: Job) -> Run:
    """A run before its first step. Nets of one seed are alike; what is random in training differs by process.

    Raises `UnifyError` (usage) for float16 without a GPU.
    """
    settings, method, group, device = job.settings, job.method, job.group, job.group.device
    refuse_float16_on_a_cpu(settings, device)
    torch.manual_seed(settings.seed)
    net = placed(build_net(settings, method, len(job.data.index.classes)), job)
    parts = None if method.parts is None else placed(method.parts(net, settings), job)
    if group.size > 1:
        if settings.sync_bn:
            net = synced(net, device)
            parts = None if parts is None else synced(parts, device)
        torch.manual_seed(seed_of(settings.seed, group.rank))
    scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "float16")
    return Run(net, parts, optimizer_of(net, parts, settings), scaler)


def refuse_float16_on_a_cpu(settings: Settings, device: torch.device) -> None:
    """Raises `UnifyError` (usage)."""
    if settings.precision == "float16" and device.type == "cpu":
        raise error("usage", "--set precision", "float16 is for GPUs", "take bf16, or float32")


def placed(module: nn.Module, job: Job) -> nn.Module:
    """On the device, in the order of memory that the settings ask for."""
    there: nn.Module = module.to(job.group.device).to(memory_format=job.memory_format)  # type: ignore[call-overload]
    return there


def seed_of(seed: int, rank: int) -> int:
    """Of one of several processes: no two of any two seeds share one, as they would with seed + rank."""
    return int(np.random.SeedSequence((seed, rank)).generate_state(1, np.uint64)[0])


def build_net(settings: Settings, method: Method, num_classes: int) -> nn.Module:
    from trainers import models

    if "+" in settings.model and not method.ensembles:
        fix = "give it one, or train uncertainty (with --set weighting=none for plain cross-entropy)"
        raise error("usage", "--model", f"{settings.method} trains one net, not {settings.model}", fix)
    chosen: dict[str, Any] = dict(method.net)
    if settings.classifier:
        chosen["classifier"] = settings.classifier
    if settings.output_stride:
        chosen["output_stride"] = settings.output_stride
    weights = "imagenet" if settings.pretrained else settings.begin_with or None
    net = models.build(settings.model, num_classes, weights=weights, **chosen)
    if settings.bn_momentum:
        for name, module in net.named_modules():
            if "backbone" in name.split(".") and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = settings.bn_momentum
    return net


def optimizer_of(net: Any, parts: nn.Module | None, settings: Settings) -> torch.optim.Optimizer:
    """Backbone and head are groups of their own, each with its factor on the learning rate; so are `parts`.

    With the option `member_lr` of a method, those of each member of an ensemble are.
    """
    from trainers.ensemble import member_groups
    from trainers.models import parameter_groups

    lr, decay = settings.lr, settings.weight_decay
    groups_of = partial(
        parameter_groups,
        lr=lr,
        weight_decay=decay,
        backbone_factor=settings.backbone_lr,
        decay_all=settings.decay_all,
    )
    factors: tuple[float, ...] = getattr(settings.own, "member_factors", tuple)()
    groups = member_groups(net, factors, groups_of) if factors else groups_of(net)
    if parts is not None:
        groups.append({"name": "parts", "params": list(parts.parameters()), "lr": lr, "factor": 1.0})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=settings.momentum, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr, weight_decay=decay)
    return torch.optim.AdamW(groups, lr, weight_decay=decay)


def learning_rate(settings: Settings, step: int) -> float:
    """Of step 0, 1, ...: lr * (1 - step / steps)^power, at least min_lr; in the first `warmup` steps times
    (step + 1) / warmup.
    """
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    return warm * max(settings.lr * math.pow(1 - step / settings.steps, settings.power), settings.min_lr)
