"""One look of a net at a labelled split: the sums that class relations are learnt from (`unify.relations.evidence`).

Whole images at their own size, in eval mode, one at a time, each decoded once. Of each image only sums are kept:
per label, the cosines with all classes, and the softmax over each source's classes. Sums are float64 on whatever
device the net is on. With a `stride` of n only every n-th pixel of every n-th row is looked at, the middle one of
n x n: as training with `label_stride` does, and most of the time that a small net takes on a CPU.

Scores are cosines in -1..1: logits over the scale of the cosine classifier. Nets without one have no cosines; there
2 sigmoid(logit) - 1 is taken, which is in the same range and rises with the logit. Thresholds of the paper's rule
mean nothing on that scale; its comparison with the own class does. So it is with nets of other people, whatever they
end in. Where such a net answers in another space, a class has the logit of the net's class of its name
(`unify.projection.by_name`); one that the net does not know never lights up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.checkpoint import Checkpoint
from trainers.data import Sample, Samples, in_order, normalized
from trainers.ensemble import Ensemble
from trainers.evaluate import device_named, device_of, rows_of
from trainers.metrics import VOID
from trainers.models import Segmenter
from trainers.ops.cosine import CosineClassifier
from unify.errors import error
from unify.relations.evidence import Evidence, fold_of

if TYPE_CHECKING:
    from unify.artifact import Artifact

Advance = Callable[[int, int], None]
#: Pixels whose logits are in float64 at a time: on a CPU a few thousand, which stay in a core's cache.
_BLOCK = {"cpu": 1 << 12}
_BLOCK_ELSEWHERE = 1 << 18
_TINY = 1e-200


def evidence_of(
    model: Path,
    artifact: Artifact,
    *,
    split: str = "train",
    advance: Advance = lambda images, size: None,
    device: str = "auto",
    classes: str | None = None,
    stride: int = 1,
) -> Evidence:
    """Evidence of the checkpoint at `model` over a split of a version, for all of its sources and classes.

    `made_from`: "checkpoint" (BLAKE3 of the file), "data" (the artifact's digest). `advance(1, 0)` after each image.
    `classes`: of a net of other people (`trainers.foreign.open_net`). `stride`: of the pixels, see the module's head.

    Raises:
        UnifyError: what `trainers.foreign.open_for` raises; usage (2) for a split that is not there.
    """
    from trainers.foreign import open_for

    loaded, net = open_for(model, artifact, classes=classes, device=device_named(device))
    return sweep(loaded, net, artifact, split=split, advance=advance, stride=stride)


@torch.inference_mode()
def sweep(
    loaded: Checkpoint,
    net: nn.Module,
    artifact: Artifact,
    *,
    split: str,
    advance: Advance = lambda images, size: None,
    stride: int = 1,
) -> Evidence:
    """`evidence_of` for a net that is there already."""
    from unify.draws.index import build_index

    evidence = Evidence.of_taxonomy(artifact.taxonomy, {"checkpoint": loaded.file_digest, "data": artifact.digest})
    samples = Samples(build_index([artifact]), None)
    device = device_of(net)
    annotated_sk = torch.from_numpy(evidence.annotated).to(device)
    scale = cosine_scale(net)
    folds = len(evidence.pixels)
    for sample in in_order(samples, rows_of(samples.index, split)):
        row = sample.row
        check_codes(sample, samples)
        source = samples.sources[sample.source]
        known_k = annotated_sk[evidence.sources.index(source)]
        label_hw = sample.label_hw[stride // 2 :: stride, stride // 2 :: stride].to(device)
        logits_khw = _logits(net, normalized(sample.image_chw[None].to(device)), stride)[0].float()
        sums = image_sums(logits_khw, label_hw, known_k, annotated_sk, scale)
        evidence = evidence.add_sums(source, fold_of(str(samples.index.sample_id[row]), folds), *sums)
        advance(1, 0)
    return evidence


def _logits(net: nn.Module, image_bchw: Tensor, stride: int) -> Tensor:
    """Logits of the middle pixel of each stride x stride; our own nets give them without those in between."""
    height, width = image_bchw.shape[2:]
    is_whole = stride > 1 and not height % stride and not width % stride
    logits: Tensor
    if is_whole and isinstance(net, Segmenter) and net.look is None:
        logits = net(image_bchw, size_hw=(height // stride, width // stride))
    else:
        logits = net(image_bchw)[..., stride // 2 :: stride, stride // 2 :: stride]
    return logits


def check_codes(sample: Sample, samples: Samples) -> None:
    """Raises `UnifyError` (unknown-id) for a label with codes of nothing."""
    if len(odd := odd_codes(sample.label_hw, samples)):
        where = f"{samples.index.file_of(sample.row)[0]}: {samples.index.sample_id[sample.row]}"
        what = f"has labels of no class, such as {int(odd[0])}"
        raise error("unknown-id", where, what, "run `unify verify`, then build it again")


def odd_codes(label_hw: Tensor, samples: Samples) -> Tensor:
    """The codes that are no class, no set and not void."""
    codes: Tensor = torch.unique(label_hw)
    return codes[(codes >= len(samples.index.classes) + len(samples.members)) & (codes != VOID)]


def cosine_scale(net: nn.Module) -> float | None:
    """What the net's cosine classifier multiplies cosines by; None without such a classifier.

    Nor has an ensemble one: its logits are the logarithm of a mean softmax, whatever its members have.
    """
    if isinstance(net, Ensemble):
        return None
    scales = [float(module.scale) for module in net.modules() if isinstance(module, CosineClassifier)]
    return scales[-1] if scales else None


def image_sums(
    logits_khw: Tensor, label_hw: Tensor, known_k: Tensor, annotated_sk: Tensor, scale: float | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """(K,) pixels, (K, K) summed scores, (K, S, K) summed answers of one image, as `Evidence.add_sums` takes them.

    `logits_khw`: float32 at the label's size. `label_hw`: codes; those of no class, or of a class that the source
    does not annotate (`known_k`), are passed over. `annotated_sk`: (S, K) bool, the null mask.
    """
    num_classes, num_sources = len(logits_khw), len(annotated_sk)
    code_n = label_hw.flatten().long()
    kept_n = (code_n < num_classes) & known_k[code_n.clamp(max=num_classes - 1)]
    place_n = kept_n.nonzero().flatten()
    label_n = code_n[place_n]
    logits_kn = logits_khw.flatten(1)
    present_p, row_n = torch.unique(label_n, return_inverse=True)
    shape = (len(present_p), 1 + num_sources, num_classes)
    sums_psk = torch.zeros(shape, dtype=torch.float64, device=logits_khw.device)
    columns = [mask_k.nonzero().flatten() for mask_k in annotated_sk]
    step = _BLOCK.get(logits_khw.device.type, _BLOCK_ELSEWHERE)
    for start in range(0, len(label_n), step):
        here = slice(start, start + step)
        x_kn = logits_kn[:, place_n[here]].double()
        one_hot_np = (row_n[here][:, None] == torch.arange(len(present_p), device=row_n.device)).double()
        score_kn = 2 * x_kn.sigmoid() - 1 if scale is None else x_kn / scale
        sums_psk[:, 0] += (score_kn @ one_hot_np).T
        power_kn = (x_kn - x_kn.amax(0)).exp_()  # once for all sources, whose softmaxes differ in the divisor
        total_sn = annotated_sk.double() @ power_kn
        for s, own in enumerate(columns):
            if len(own):
                is_lost = bool((total_sn[s] < _TINY).any())  # all of its classes are far below another's
                answer_on = x_kn[own].softmax(0) if is_lost else power_kn[own] / total_sn[s]
                sums_psk[:, 1 + s, own] += (answer_on @ one_hot_np).T
    all_ksk = torch.zeros(num_classes, *shape[1:], dtype=torch.float64, device=logits_khw.device)
    all_ksk[present_p] = sums_psk
    pixels_k = torch.bincount(label_n, minlength=num_classes)
    sums = all_ksk.cpu().numpy()
    return pixels_k.cpu().numpy(), sums[:, 0], sums[:, 1:]
