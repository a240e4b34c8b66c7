"""One look of a net at a labelled split: the sums that class relations are learnt from (`unify.relations.evidence`).

Whole images at their own size, in eval mode, one at a time, each decoded once. Of each image only sums are kept:
per label, the cosines with all classes, and the softmax over each source's classes. Sums are float64 on whatever
device the net is on.

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
from trainers.data import Samples, normalized
from trainers.ensemble import Ensemble
from trainers.evaluate import device_named, device_of, rows_of
from trainers.metrics import VOID
from trainers.ops.cosine import CosineClassifier
from unify.errors import error
from unify.relations.evidence import Evidence, fold_of

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.projection import Projection
    from unify.spaces import LabelSpace

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
) -> Evidence:
    """Evidence of the checkpoint at `model` over a split of a version, for all of its sources and classes.

    `made_from`: "checkpoint" (BLAKE3 of the file), "data" (the artifact's digest). `advance(1, 0)` after each image.
    `classes`: of a net of other people (`trainers.foreign.open_net`).

    Raises:
        UnifyError: what `open_net` raises; bad-artifact (65) for a checkpoint of our own of other classes; usage (2)
            for a split that is not there, and for a net that knows no class of one of the sources.
    """
    from trainers.foreign import Projected, open_net

    space = artifact.taxonomy.space
    opened = open_net(model, classes=classes, target=space, device=device_named(device))
    net = opened.net
    if not opened.is_foreign:
        what = f"{artifact.manifest.name} {artifact.manifest.version}"
        opened.checkpoint.refuse_other_classes(space.names, what)
    elif opened.space.names != space.names:
        net = Projected(net, _by_name(opened.space, artifact, model))
    return sweep(opened.checkpoint, net, artifact, split=split, advance=advance)


def _by_name(source: LabelSpace, artifact: Artifact, model: Path) -> Projection:
    from unify.projection import by_name

    taxonomy = artifact.taxonomy
    said = by_name(source, taxonomy.space)
    is_known = np.array([bool(members) for members in said.members.values()])
    known = (taxonomy.null_mask & is_known).any(1)
    strangers = [name for name, is_one in zip(taxonomy.sources, known, strict=True) if not is_one]
    if strangers:
        what = f"knows no class of {', '.join(strangers)} by its name"
        raise error("usage", model, what, "name its classes as the version does: --classes names.txt")
    return said


@torch.inference_mode()
def sweep(
    loaded: Checkpoint, net: nn.Module, artifact: Artifact, *, split: str, advance: Advance = lambda images, size: None
) -> Evidence:
    """`evidence_of` for a net that is there already."""
    from unify.draws.index import build_index

    evidence = Evidence.of_taxonomy(artifact.taxonomy, {"checkpoint": loaded.file_digest, "data": artifact.digest})
    samples = Samples(build_index([artifact]), None)
    device = device_of(net)
    annotated_sk = torch.from_numpy(evidence.annotated).to(device)
    scale = cosine_scale(net)
    folds = len(evidence.pixels)
    for row in rows_of(samples.index, split).tolist():
        sample = samples[row]
        if len(odd := odd_codes(sample.label_hw, samples)):
            where = f"{samples.index.file_of(row)[0]}: {samples.index.sample_id[row]}"
            what = f"has labels of no class, such as {int(odd[0])}"
            raise error("unknown-id", where, what, "run `unify verify`, then build it again")
        source = samples.sources[sample.source]
        known_k = annotated_sk[evidence.sources.index(source)]
        logits_khw = net(normalized(sample.image_chw[None].to(device)))[0].float()
        sums = image_sums(logits_khw, sample.label_hw.to(device), known_k, annotated_sk, scale)
        evidence = evidence.add_sums(source, fold_of(str(samples.index.sample_id[row]), folds), *sums)
        advance(1, 0)
    return evidence


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
