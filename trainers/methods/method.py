"""What every method is: a loss of a net on a batch, and what it has to be told besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from trainers.data import Batch, normalized
from unify.errors import error

if TYPE_CHECKING:
    from trainers.settings import Settings

VOID = 255


@dataclass(frozen=True, slots=True)
class Teaching:
    """What holds for all batches of a run, on the CPU. S sources as in `Samples.sources`, K classes.

    members: (sets, K) bool, the classes of each set code K, K + 1, ...; None without sets.
    targets: (S, K, K) bool: [s, c, j] where a pixel that s labels c is also j (equal or narrower); None without
        relations.
    possible: (S, K, K) bool: [s, c, j] where what s labels c may be j instead: a class equal to c, within it or
        overlapping it, that s does not tell apart from it.
    pixels: (K,) int64, labelled pixels of each class in what is drawn from.
    """

    members: Tensor | None = None
    targets: Tensor | None = None
    possible: Tensor | None = None
    pixels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass of an update. Images, labels and their weights are on the net's device, small tables on the
    CPU: a loss that asks the GPU for a number waits until it has done all that it was told before.

    labels_bhw: uint8, as `Method.labels` gives them.
    normalizer: scalar that sums over pixels are divided by: the labelled pixels of the whole update, of all
        processes; divided by the number of processes, over which gradients are averaged.
    number: of the update, from 0. What every process has to draw alike comes from the seed and this number.
    counts_bc: what `count_labels` found of the labels, on the CPU; None where nobody asked it: losses do so then.
    """

    batch: Batch
    labels_bhw: Tensor
    teaching: Teaching
    normalizer: Tensor
    settings: Settings
    number: int
    counts_bc: Tensor | None = None

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 <= t < 1. The papers' epoch / epochs, without its stairs."""
        return self.number / self.settings.steps

    def autocast(self) -> torch.autocast:
        """For what a net computes; losses stay in float32."""
        dtype = AUTOCAST.get(self.settings.precision)
        return torch.autocast(self.labels_bhw.device.type, dtype or torch.bfloat16, enabled=dtype is not None)


#: `Settings.precision` -> what nets compute in; float32 stands for itself.
AUTOCAST = {"bf16": torch.bfloat16, "float16": torch.float16}
#: net, what is trained besides (`Method.parts`), the step -> scalar.
Loss = Callable[[nn.Module, nn.Module | None, Step], Tensor]
#: logits (B, K, H, W), the step whose labels they are for -> scalar.
LogitsLoss = Callable[[Tensor, Step], Tensor]


@dataclass(frozen=True, slots=True)
class Method:
    """`loss` gets labels in which set codes are void unless `knows_sets`. `relations`: whether it takes them.

    weights: whether it takes stored maps of uncertainty. ensembles: whether it trains nets as a+b+c.
    activation: what makes probabilities of its logits.
    options: a frozen dataclass of what can be set for this method alone; a step finds it as `settings.own`.
    net: further keywords of `trainers.models.build` for nets of this method.
    parts: makes, for a net, what is trained besides and not used afterwards, such as auxiliary heads.
    """

    about: str
    loss: Loss
    relations: Literal["none", "optional", "required"] = "none"
    knows_sets: bool = True
    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    weights: bool = False
    ensembles: bool = False
    options: type[Any] | None = None
    net: Mapping[str, Any] = field(default_factory=dict)
    parts: Callable[[nn.Module, Settings], nn.Module] | None = None

    def codes(self, num_classes: int, teaching: Teaching) -> int:
        """How many codes, from 0 on, `labels` may hold besides void."""
        return num_classes + (len(teaching.members) if self.knows_sets and teaching.members is not None else 0)

    def labels(self, batch: Batch, num_classes: int, own: Any = None) -> Tensor:
        """(B, H, W) uint8: the labels of a batch as this method learns from them.

        own: the method's options. With a `label_stride` of s, the middle pixel of each s x s: (B, H / s, W / s).
        """
        stride = own.label_stride if isinstance(own, LogitsOptions) else 1
        label_bhw = batch.label_bhw
        if stride > 1:
            label_bhw = label_bhw[:, stride // 2 :: stride, stride // 2 :: stride].contiguous()
        if self.knows_sets:
            return label_bhw
        return torch.where(label_bhw >= num_classes, VOID, label_bhw)


@dataclass(frozen=True, slots=True)
class LogitsOptions:
    """label_stride: take the labels of every n-th pixel of every n-th row, and logits of that size. On a CPU, small
    nets spend most of a step on logits as large as the image; at the net's own stride they are not enlarged at all.
    1 for all pixels, as the papers have it. `crop` and `crop_width` are to be multiples of it.
    """

    label_stride: int = 1

    def __post_init__(self) -> None:
        if self.label_stride < 1:
            raise error("bad-config", "settings", f"label_stride is {self.label_stride}, not at least 1", "correct it")


def of_logits(loss: LogitsLoss) -> Loss:
    """A loss of logits alone, which are as large as the labels; the options of such methods are `LogitsOptions`.

    Nets with a first guess (OCR) have the same loss for that, times `settings.auxiliary`.
    """

    def of_net(net: nn.Module, parts: nn.Module | None, step: Step) -> Tensor:
        size = {"size_hw": tuple(step.labels_bhw.shape[1:])} if step.settings.own.label_stride > 1 else {}
        with step.autocast():
            logits_bkhw, guess_bkhw = net(normalized(step.batch.image_bchw), auxiliary=True, **size)
        total = loss(logits_bkhw, step)
        if guess_bkhw is not None:
            total = total + step.settings.auxiliary * loss(guess_bkhw, step)
        return total

    return of_net
