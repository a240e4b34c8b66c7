"""What a net says of an image besides the answer: which other classes light up (Fig. A-1 to A-3 of UniSeg).

A net of many datasets knows classes that the image's own dataset does not annotate. Where one of them is above the
threshold it is lit: a sigmoid above 0.5, a softmax above 0.1 (UniSeg's code; Kim et al., ECCV 2022). The softmax is
over all classes of the net: our reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trainers import metrics
from unify.report.prediction import Lit, Prediction

if TYPE_CHECKING:
    from trainers.data import Samples
    from trainers.evaluate import Answered
    from unify.projection import Projection
    from unify.spaces import LabelSpace

THRESHOLDS = {"sigmoid": 0.5, "softmax": 0.1}
_HEATS = 3  #: classes whose probabilities are kept, the most lit first


def prediction_of(
    answered: Answered,
    samples: Samples,
    target: LabelSpace,
    source: LabelSpace,
    projection: Projection | None,
    activation: str,
    multi: Sequence[str] | None,
) -> Prediction:
    """All that a picture of it shows. `source`, `target`: the spaces of the net and of the labels."""
    sample = answered.sample
    lit = None
    if multi is not None:
        extra = extras(source, sample.allowed_k, projection)
        names = [name for name in source.names if name in extra and (not multi or name in multi)]
        lit = lit_of(answered.logits_khw, source, names, activation, answered.answer_hw, target)
    return Prediction(
        samples.sources[sample.source],
        str(samples.index.sample_id[sample.row]),
        np.ascontiguousarray(sample.image_chw.numpy().transpose(1, 2, 0)),
        answered.truth_hw,
        answered.answer_hw,
        target,
        lit,
    )


def extras(source: LabelSpace, allowed_k: Tensor, projection: Projection | None) -> set[str]:
    """The net's classes that count for no class which the image's source annotates. `allowed_k`: of the labels."""
    if projection is None:
        return {name for name, is_own in zip(source.names, allowed_k.tolist(), strict=True) if not is_own}
    own = zip(projection.members.values(), allowed_k.tolist(), strict=True)
    return set(source.names) - {name for members, is_own in own if is_own for name in members}


@torch.inference_mode()
def lit_of(
    logits_khw: Tensor,
    source: LabelSpace,
    names: Sequence[str],
    activation: str,
    answer_hw: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
    target: LabelSpace,
) -> Lit:
    """Which of the classes `names` are lit, where, and on which answers."""
    threshold = THRESHOLDS[activation]
    if not names:
        none = np.full(answer_hw.shape, metrics.VOID, np.uint8)
        return Lit(activation, threshold, source, none, {}, {}, {})
    id_e = [source.index(name) for name in names]
    p_ehw = logits_khw[id_e].sigmoid_() if activation == "sigmoid" else logits_khw.softmax(0)[id_e]
    best, place = p_ehw.max(0)
    best_hw = torch.tensor(id_e, device=place.device)[place].where(best > threshold, metrics.VOID)
    shares, on = {}, {}
    for e, name in enumerate(names):
        is_lit = (p_ehw[e] > threshold).cpu().numpy()
        if is_lit.any():
            shares[name] = float(is_lit.mean())
            on[name] = target.names[int(np.bincount(answer_hw[is_lit]).argmax())]
    order = sorted(shares, key=lambda name: -shares[name])
    heats = {name: p_ehw[names.index(name)].cpu().numpy() for name in order[:_HEATS]}
    return Lit(
        activation,
        threshold,
        source,
        best_hw.to(torch.uint8).cpu().numpy(),
        {name: shares[name] for name in order},
        {name: on[name] for name in order},
        heats,
    )
