"""Cross-entropy with weights (1 + U)^2, U being how unsure an ensemble is of the thing that a pixel lies in.

Almeida, Dutra and Renna, Instance-wise Uncertainty for Class Imbalance in Semantic Segmentation (arXiv 2407.12609),
as in the authors' code; `trainers.ops.uncertainty` has U. What there is decides how:

    online     an ensemble (`--model a+b+c`): its members learn together, each with its own cross-entropy and all with
               the weights of what they answer together, now and in training mode. From the first step on, when all are
               unsure of all.
    offline    a single net and stored maps (`unify uncertainty`, then `--weights`): they never change.

Which of the two made which of the paper's tables, it does not say. The loss is a mean over all pixels, void among them
(their loss is 0), as the authors' code has it; `normalize=labelled` is the usual mean. One optimizer for all members
is one each, for optimizers that look at each weight alone, as Adam and SGD do.

`weighting` has the controls too. Of these the paper mentions inverse class proportions, without their form; all are
our reconstruction, to tell what the instances do from what hard pixels, or rare classes, would do:

    none            plain cross-entropy
    pixel           (1 + H)^2, the entropy of the pixel alone
    class           U is the mean over all pixels of the image that are predicted as the class
    truth           components of the label, not of the prediction
    shuffled        the components' U, dealt out again among them
    inverse         1 / f, f being the share of the class in the labelled pixels of the train split; mean 1
    inverse-sqrt    1 / sqrt(f); mean 1
    enet            1 / ln(1.02 + f) (Paszke et al., arXiv 1606.02147)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.data import normalized
from trainers.ensemble import Ensemble
from trainers.methods.method import VOID, Method, Step
from trainers.ops.labels import count_labels
from trainers.ops.order import cross_entropy_map, needs_order
from trainers.ops.uncertainty import MAPS, mean_softmax, predictive_entropy, weights_of
from unify.errors import Problem, UnifyError, error

OF_CLASSES = ("inverse", "inverse-sqrt", "enet")
WEIGHTINGS = (*MAPS, "none", *OF_CLASSES)
_STREAM = 2  #: of the draws of "shuffled"


@dataclass(frozen=True, slots=True)
class Options:
    """weighting: see above. normalize: what the sum is divided by, "all" pixels or the "labelled" ones. member_lr: of
    an ensemble, a factor on the learning rate for each member, as "1,1,10" (the paper's 1e-4 for ResNets and 1e-3 for
    MobileNetV2); "" is 1 for all.
    """

    weighting: str = "instance"
    normalize: str = "all"
    member_lr: str = ""

    def __post_init__(self) -> None:
        faults = []
        for name, known in (("weighting", WEIGHTINGS), ("normalize", ("all", "labelled"))):
            if getattr(self, name) not in known:
                faults.append((f"there is no {name} '{getattr(self, name)}'", f"known: {', '.join(known)}"))
        try:
            if not all(factor > 0 for factor in self.member_factors()):
                faults.append((f"member_lr is {self.member_lr}, not all above 0", "correct it"))
        except ValueError:
            faults.append((f"member_lr is {self.member_lr}", "give numbers with commas between them"))
        if faults:
            raise UnifyError(*(Problem("bad-config", "settings", what, fix) for what, fix in faults))

    def member_factors(self) -> tuple[float, ...]:
        """Of the members' learning rates; none for 1 each."""
        return tuple(float(text) for text in self.member_lr.split(",")) if self.member_lr else ()


def loss(net: nn.Module, parts: nn.Module | None, step: Step) -> Tensor:
    members = list(net.members) if isinstance(net, Ensemble) else [net]
    images = normalized(step.batch.image_bchw)
    with step.autocast():
        answers = [member(images, auxiliary=True) for member in members]
    weight_bhw = pixel_weights([logits for logits, _ in answers], step, isinstance(net, Ensemble))
    total = torch.zeros((), device=images.device)
    for logits_bkhw, guess_bkhw in answers:
        total = total + _weighted(logits_bkhw, weight_bhw, step)
        if guess_bkhw is not None:
            also = _weighted(guess_bkhw, weight_bhw, step)
            total = total + step.settings.auxiliary * also
    return total


def _weighted(logits_bkhw: Tensor, weight_bhw: Tensor | None, step: Step) -> Tensor:
    return weighted_cross_entropy(logits_bkhw, step.labels_bhw, weight_bhw, _divisor(step), step.counts_bc)


def _divisor(step: Step) -> Tensor | float:
    """The pixels of the whole update, as seen from one process: its parts are of one size."""
    own: Options = step.settings.own
    return step.normalizer if own.normalize == "labelled" else float(step.labels_bhw.numel() * step.settings.accumulate)


def weighted_cross_entropy(
    logits_bkhw: Tensor,
    labels_bhw: Tensor,
    weight_bhw: Tensor | None,
    divisor: Tensor | float,
    counts: Tensor | None = None,
) -> Tensor:
    """The sum over pixels of weight * cross-entropy / divisor. Labels are (B, H, W) class ids and void, which counts 0.

    Raises `UnifyError` (unknown-id) for any other label, unless `counts` shows that they were looked at before.
    """
    if counts is None:
        count_labels(labels_bhw, logits_bkhw.shape[1], VOID)
    x_bkhw = logits_bkhw.float()
    if needs_order(x_bkhw):
        each_bhw = cross_entropy_map(x_bkhw, labels_bhw)
    else:
        each_bhw = F.cross_entropy(x_bkhw, labels_bhw.long(), ignore_index=VOID, reduction="none")
    return (each_bhw if weight_bhw is None else each_bhw * weight_bhw).sum() / divisor


# --- Weights ------------------------------------------------------------------------------------------------


def pixel_weights(logits: Sequence[Tensor], step: Step, online: bool) -> Tensor | None:
    """(B, H, W) float32 on the device of the logits, without a graph; None for 1 everywhere.

    Raises `UnifyError` (usage) where there is nothing to take them from.
    """
    own: Options = step.settings.own
    stored_bhw, labels_bhw = step.batch.weight_bhw, step.labels_bhw
    if stored_bhw is not None:
        if own.weighting != "instance" or online:
            why = "an ensemble learns from its own answers" if online else f"weighting={own.weighting} takes no maps"
            raise error("usage", "--weights", why, "leave one of the two out")
        return stored_bhw
    if own.weighting == "none":
        return None
    if own.weighting in OF_CLASSES:
        assert step.teaching.pixels is not None, "the loop counts them"
        table = class_weights(step.teaching.pixels, own.weighting)
        return F.pad(table, (0, 256 - len(table))).to(labels_bhw.device, non_blocking=True)[labels_bhw.int()]
    if not online:
        what = f"weighting={own.weighting} needs the answers of an ensemble"
        raise error("usage", "--model", what, "give --weights from `unify uncertainty`, or a model as a+b+c")
    p_bkhw = mean_softmax(logits)
    entropy_bhw = predictive_entropy(p_bkhw).cpu().numpy()
    prediction_bhw = p_bkhw.argmax(1).to(torch.uint8).cpu().numpy()
    found = [
        MAPS[own.weighting](entropy_hw, prediction_hw, label_hw, _random(step, row))
        for entropy_hw, prediction_hw, label_hw, row in zip(
            entropy_bhw, prediction_bhw, labels_bhw.cpu().numpy(), step.batch.row_b.tolist(), strict=True
        )
    ]
    return weights_of(torch.from_numpy(np.stack(found)).to(labels_bhw.device))  # type: ignore[no-any-return]


def _random(step: Step, row: int) -> np.random.Generator:
    return np.random.default_rng((step.settings.seed, step.number, _STREAM, row))


def class_weights(pixels_k: Tensor, form: str) -> Tensor:
    """(K,) float32 weights of `OF_CLASSES` from (K,) labelled pixels; 0 for classes that do not occur.

    As `unify.stats` has them; "inverse-sqrt" is ours.
    """
    pixels = pixels_k.double()
    occurs = pixels > 0
    share = (pixels / pixels.sum().clamp(min=1))[occurs]
    if form == "enet":
        found = 1 / (1.02 + share).log()
    else:
        found = 1 / share if form == "inverse" else share.rsqrt()
        found = found / found.mean()
    weights = torch.zeros_like(pixels)
    weights[occurs] = found
    return weights.float()


ABOUT = "cross-entropy, weighted by how unsure an ensemble is of each instance"
NET: dict[str, Any] = {"classifier": "linear"}
METHOD = Method(
    ABOUT, loss, knows_sets=False, activation="softmax", weights=True, ensembles=True, options=Options, net=NET
)
